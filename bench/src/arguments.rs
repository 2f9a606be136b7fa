//! The command line of `bowline-bench`: `bowline bench` and `bowline generate` run it with theirs.

use bowline::cli::ManArgs;
use bowline::cli::values::parse_latency;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Benchmarks of bowline, and the generator of corpora for them
#[derive(Parser, Debug)]
#[command(name = "bowline-bench", version, max_term_width = 110)]
pub struct BenchProgram {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Measure processes against threads against one worker, on your corpus
    Bench(Box<BenchArgs>),
    /// Write a synthetic corpus of a natural shape, for measurements
    Generate(GenerateArgs),
    /// Write the manual pages to a directory
    #[command(hide = true)]
    Man(ManArgs),
}

/// `bowline bench`.
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// Directories and files, as for embed
    #[arg(required = true, value_name = "CORPUS")]
    pub corpus: Vec<PathBuf>,

    /// What to measure; may be repeated, or a list
    #[arg(
        long = "suite",
        value_name = "SUITE",
        value_enum,
        value_delimiter = ',',
        default_value = "scaling"
    )]
    suites: Vec<SuiteChoice>,

    /// Numbers of workers to measure, as 1,2,4, in suites scaling, io and memory [default: by suite, from 1 to
    /// eight times the cores]
    #[arg(short, long, value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1024), verbatim_doc_comment)]
    pub workers: Option<Vec<u32>>,

    /// Runs of each way; medians are shown, with the least and the greatest. Suite faults has one of each
    /// [default: 5; 3 of suites io and memory, and of Python]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100), verbatim_doc_comment)]
    pub runs: Option<u32>,

    /// Milliseconds that each read is delayed at least in suite io [default: such that the delays come to 2.5 s]
    #[arg(long, value_name = "MILLISECONDS", value_parser = parse_latency)]
    pub read_latency: Option<Duration>,

    /// Leave Python out, which otherwise does the same where python3 is found
    #[arg(long)]
    pub no_python: bool,

    /// Write all that was found to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Write a page with plots to FILE
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

impl BenchArgs {
    /// The suites that were asked for, each once, in their own order.
    pub fn suites(&self) -> Vec<SuiteChoice> {
        let is_wanted = |suite: &&SuiteChoice| {
            **suite != SuiteChoice::All
                && (self.suites.contains(suite) || self.suites.contains(&SuiteChoice::All))
        };
        SuiteChoice::value_variants().iter().filter(is_wanted).copied().collect()
    }
}

/// What to measure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum SuiteChoice {
    /// One worker, threads and processes: time, phases, costs
    Scaling,
    /// The same where each read waits, with a semaphore around reads, and from the disk
    Io,
    /// A counter that all workers share: what is lost, and what a lock or an atomic addition costs
    Counters,
    /// Lock, re-entrant lock, semaphore, event and condition, between threads and between processes
    Locks,
    /// Memory of all processes together
    Memory,
    /// What is delivered when workers are killed
    Faults,
    /// All of these
    All,
}

/// `bowline generate`.
#[derive(Args, Debug)]
pub struct GenerateArgs {
    /// Directory to write to: an empty one, or one that does not exist
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,

    /// Number of documents
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub documents: u64,

    /// What the corpus is made from: the same seed makes the same bytes, and more documents of it begin with the fewer
    #[arg(long, value_name = "S", default_value = "1")]
    pub seed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        BenchProgram::command().debug_assert();
    }
}
