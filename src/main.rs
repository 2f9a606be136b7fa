//! bowline: bag-of-words document embeddings of a corpus, by worker processes.
//!
//! Parses the command line, runs the command, and turns its result into an exit code.

use bowline::cli::{
    self, Cli, Command, bench_program, embed, exit, inspect, merge, messages, reference, signals,
};
use bowline_workers::crash::NotingAllocator;
use std::io;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: NotingAllocator = NotingAllocator;

/// Commands with a manual page here; `bowline-bench` has those of its own.
const PAGES: [&str; 5] = ["bowline", "embed", "merge", "inspect", "completions"];

fn main() -> ExitCode {
    let cli: Cli = match cli::parse(cli::command()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    report_panics_but_those_of_documents();
    exit::expect_failed_allocations();
    exit::code(signals::watch().map_err(anyhow::Error::from).and_then(|cancel| match &cli.command {
        Command::Embed(args) => embed::embed(args, &cancel),
        Command::Merge(args) => merge::merge(args, &cancel),
        Command::Inspect(args) => inspect::inspect(args, &mut io::stdout().lock()).map(|()| true),
        Command::Bench(args) => bench_program::run("bench", &args.arguments),
        Command::Generate(args) => bench_program::run("generate", &args.arguments),
        Command::Completions(args) => {
            reference::completions(args, cli::command(), &mut io::stdout().lock()).map(|()| true)
        }
        Command::Man(args) => reference::manual(args, cli::command(), &PAGES).map(|()| true),
    }))
}

/// A panic while a document is analyzed is that document's failure, and is reported as such.
fn report_panics_but_those_of_documents() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.to_string();
        match text.lines().all(|line| messages::printable(line) == line) {
            _ if bowline_workers::tally::is_in_document() => {}
            true => usual(panic),
            false => messages::say(&text),
        }
    }));
}
