//! The command line of `bowline-bench`. `bowline bench` and `bowline generate` run this program with their arguments.

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
    /// Compare processes, threads and one worker on your corpus
    Bench(Box<BenchArgs>),
    /// Write a synthetic corpus with natural word frequencies, for measurements
    Generate(GenerateArgs),
    /// Write the manual pages to a directory
    #[command(hide = true)]
    Man(ManArgs),
}

/// `bowline bench`.
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// Measure on these directories and files, as embed takes them
    #[arg(required = true, value_name = "CORPUS")]
    pub corpus: Vec<PathBuf>,

    /// Run these suites; repeat the option or give a list
    #[arg(
        long = "suite",
        value_name = "SUITE",
        value_enum,
        value_delimiter = ',',
        default_value = "scaling"
    )]
    suites: Vec<SuiteChoice>,

    /// Measure these numbers of workers, such as 1,2,4, in the suites scaling, io and memory
    /// [default: depends on the suite, from 1 to eight times the cores]
    #[arg(short, long, value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1024), verbatim_doc_comment)]
    pub workers: Option<Vec<u32>>,

    /// Run each variant N times; tables show medians, minima and maxima. The suite faults runs once
    /// [default: 5; 3 for the suites io and memory, and for Python]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100), verbatim_doc_comment)]
    pub runs: Option<u32>,

    /// Delay each read of the suite io by at least this many milliseconds [default: all delays add up to 2.5 s]
    #[arg(long, value_name = "MILLISECONDS", value_parser = parse_latency)]
    pub read_latency: Option<Duration>,

    /// Do not run the same tasks in Python, which bench does if it finds python3
    #[arg(long)]
    pub no_python: bool,

    /// Write all results to FILE as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Write an HTML page with plots to FILE
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

impl BenchArgs {
    /// The requested suites, each once, in the order of [`SuiteChoice`].
    pub fn suites(&self) -> Vec<SuiteChoice> {
        let is_wanted = |suite: &&SuiteChoice| {
            **suite != SuiteChoice::All
                && (self.suites.contains(suite) || self.suites.contains(&SuiteChoice::All))
        };
        SuiteChoice::value_variants().iter().filter(is_wanted).copied().collect()
    }
}

/// The suites to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum SuiteChoice {
    /// One worker, threads and processes: time, phases, costs
    Scaling,
    /// The same with delayed reads, with a semaphore around reads, and from the disk
    Io,
    /// A counter that all workers share: lost updates, and the cost of a lock or an atomic addition
    Counters,
    /// Lock, re-entrant lock, semaphore, event and condition, between threads and between processes
    Locks,
    /// Peak memory of all processes together
    Memory,
    /// The output after workers are killed
    Faults,
    /// All suites
    All,
}

/// `bowline generate`.
#[derive(Args, Debug)]
pub struct GenerateArgs {
    /// Write to this directory, which must be empty or not exist
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,

    /// Write N documents
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub documents: u64,

    /// Seed of the generator: the same seed makes the same bytes, and a larger corpus begins with the smaller one
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
