//! The command line: the only place that knows options, exit codes and terminals, and that prints.
//!
//! `args` has the options and `values` what their values may be; `embed`, `inspect`, `bench_program` and `reference` are the
//! commands; `hints` says which option helps against an error, and `exit` ends the program with its code.

pub mod args;
pub mod bench_program;
pub mod embed;
pub mod exit;
mod hints;
pub mod inspect;
pub mod messages;
mod progress;
pub mod reference;
mod report;
pub mod result_file;
pub mod signals;
pub mod values;

pub use args::{EmbedArgs, InspectArgs};

use clap::{Arg, Args, CommandFactory as _, FromArgMatches, Parser, Subcommand};
use messages::{printable, say};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Bag-of-words document embeddings of a corpus: a row a document, a column a term.
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
    /// Show what an output holds
    Inspect(InspectArgs),
    /// Measure processes against threads against one worker, on your corpus (runs bowline-bench)
    #[command(disable_help_flag = true)]
    Bench(BenchProgramArgs),
    /// Write a synthetic corpus of a natural shape, for measurements (runs bowline-bench)
    #[command(disable_help_flag = true)]
    Generate(BenchProgramArgs),
    /// Print completions of the command line for a shell
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
    /// A directory that exists
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// The arguments of a command that `bowline-bench` has, as they were written.
#[derive(Args, Debug)]
pub struct BenchProgramArgs {
    /// Passed on to bowline-bench, which explains them with --help
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    pub arguments: Vec<OsString>,
}

/// The command line that this program was started with; or what is wrong with it, or was asked for instead, is printed, and
/// the exit code is returned.
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
    // clap repeats arguments as they are. With printable ones it finds the same fault, and its message is printable.
    let shown = arguments.iter().map(|argument| printable(&argument.to_string_lossy()).into_owned().into());
    let shown = parsed(&shown.collect::<Vec<_>>()).err().unwrap_or(error);
    let text = shown.render().to_string();
    match text.lines().all(|line| printable(line) == line) {
        // In colours, where the terminal has them. If it is closed there is nowhere to report it.
        true => _ = shown.print(),
        false => text.lines().for_each(say),
    }
    Err(ExitCode::from(shown.exit_code() as u8))
}

/// The command line's definition.
pub fn command() -> clap::Command {
    with_negative_numbers(Cli::command())
}

/// `command`, whose options take what begins with a hyphen as their value if they ask for a number: it is a wrong one, and
/// their own messages say so.
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

/// What values of options are called that are numbers.
const NUMBERS: [&str; 10] =
    ["N", "K", "S", "SIZE", "NUMBER", "SECONDS", "MILLISECONDS", "LIST", "N|SHARE", "MIN[:MAX]"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }
}
