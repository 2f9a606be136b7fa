//! The command line: the only place that knows options, exit codes and terminals, and that prints.
//!
//! `args` has the options and `values` their possible values; `embed` (with `estimate`), `merge`, `inspect`, `bench_program` and `reference` are the
//! commands; `hints` maps an error to the option that helps, and `exit` ends the program with its exit code.

pub mod args;
pub mod bench_program;
pub mod embed;
mod estimate;
mod event_lines;
pub mod exit;
mod hints;
pub mod inspect;
pub mod merge;
pub mod messages;
mod progress;
pub mod reference;
mod report;
pub mod result_file;
pub mod signals;
pub mod values;

pub use args::{EmbedArgs, InspectArgs, MergeArgs};

use clap::{Arg, Args, CommandFactory as _, FromArgMatches, Parser, Subcommand};
use messages::{printable, say};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Bag-of-words document embeddings of a corpus: one row per document, one column per term.
///
/// Exit codes: 0 all documents embedded; 3 finished, some documents failed; 1 could not finish; 2 wrong usage;
/// 130, 143, 129 ended by SIGINT, SIGTERM, SIGHUP.
#[derive(Parser, Debug)]
#[command(name = "bowline", bin_name = "bowline", version, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Embed a corpus: write the matrix, its vocabulary and its list of documents
    Embed(Box<EmbedArgs>),
    /// Merge the outputs of the parts of a corpus, or append documents to an output: one matrix, as of one run over all of them
    Merge(Box<MergeArgs>),
    /// Show the contents of an output
    Inspect(InspectArgs),
    /// Compare the speed of processes, threads and a single worker on a corpus (runs bowline-bench)
    #[command(disable_help_flag = true)]
    Bench(BenchProgramArgs),
    /// Write a synthetic corpus for measurements (runs bowline-bench)
    #[command(disable_help_flag = true)]
    Generate(BenchProgramArgs),
    /// Print the completion script of a shell
    Completions(CompletionsArgs),
    /// Write the manual pages to a directory
    #[command(hide = true)]
    Man(ManArgs),
}

/// `bowline completions`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// `bowline man`.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// An existing directory
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// The arguments of a command of `bowline-bench`, as written.
#[derive(Args, Debug)]
pub struct BenchProgramArgs {
    /// Passed on to bowline-bench, which explains them with --help
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    pub arguments: Vec<OsString>,
}

/// Parses the command line of this program. Prints an error, the help or the version otherwise, and returns the exit code.
///
/// # Errors
/// The exit code.
pub fn parse<T: FromArgMatches>(command: clap::Command) -> Result<T, ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let parsed = |arguments: &[OsString]| {
        let matches = command.clone().try_get_matches_from(arguments)?;
        T::from_arg_matches(&matches)
    };
    let error = match parsed(&arguments) {
        Ok(parsed) => return Ok(parsed),
        Err(error) => error,
    };
    // clap repeats arguments unchanged. With printable arguments it reports the same error in a printable message.
    let shown = arguments.iter().map(|argument| printable(&argument.to_string_lossy()).into_owned().into());
    let shown = parsed(&shown.collect::<Vec<_>>()).err().unwrap_or(error);
    let text = shown.render().to_string();
    match text.lines().all(|line| printable(line) == line) {
        // In colours if the terminal supports them. If it is closed there is nowhere to report it.
        true => _ = shown.print(),
        false => text.lines().for_each(say),
    }
    Err(ExitCode::from(shown.exit_code() as u8))
}

/// The command line's definition.
pub fn command() -> clap::Command {
    with_negative_numbers(Cli::command())
}

/// `command`, with options of numbers that accept a value with a leading hyphen: their parsers then report the wrong
/// number.
pub fn with_negative_numbers(command: clap::Command) -> clap::Command {
    let asks_for_a_number = |argument: &Arg| {
        let names = argument.get_value_names().unwrap_or_default();
        let is_number = |name: &clap::builder::Str| NUMBERS.contains(&name.as_str());
        argument.get_long().is_some() && names.iter().any(is_number)
    };
    let taking = |argument: Arg| match asks_for_a_number(&argument) {
        true => argument.allow_hyphen_values(true),
        false => argument,
    };
    command.mut_subcommands(|command| command.mut_args(taking))
}

/// The value names of options that take a number.
const NUMBERS: [&str; 11] =
    ["N", "K", "K/N", "S", "SIZE", "NUMBER", "SECONDS", "MILLISECONDS", "LIST", "N|SHARE", "MIN[:MAX]"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }
}
