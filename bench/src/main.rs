//! bowline-bench: benchmarks of bowline, and the generator of corpora for them.
//!
//! Parses the command line, runs the command, and turns its result into an exit code.

mod arguments;
mod bench;
mod comparison;
mod counters;
mod faults;
mod generate;
mod io;
mod locks;
mod machine;
mod memory;
mod page;
mod plot;
mod process;
mod process_tree;
mod python;
mod results;
mod scaling;
mod sync;
mod terminal;
mod worker_group;

use arguments::{BenchProgram, Command};
use bowline::cli::{self, exit, reference, signals};
use clap::CommandFactory as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = cli::with_negative_numbers(BenchProgram::command());
    // Usage and errors name `bowline` if the user started that program.
    let command = match std::env::var_os(bowline::cli::bench_program::MEASURED) {
        Some(_) => command.bin_name("bowline"),
        None => command,
    };
    let program: BenchProgram = match cli::parse(command) {
        Ok(program) => program,
        Err(code) => return code,
    };
    exit::code(signals::watch().map_err(anyhow::Error::from).and_then(|cancel| {
        match &program.command {
            Command::Bench(args) => bench::bench(args, cancel.flag()),
            Command::Generate(args) => generate::generate(args, cancel.flag()),
            Command::Man(args) => {
                reference::manual(args, BenchProgram::command().name("bowline"), &["bench", "generate"])
            }
        }
        .map(|()| true)
    }))
}
