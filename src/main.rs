//! bowline: bag-of-words document embeddings of a corpus, by worker processes.
//!
//! Parses the command line, runs the command, and turns what comes back into an exit code. The only place that
//! prints an error.

use bowline::cli::{Cli, Command};
use bowline::{RunError, UsageError, bench, embed, generate, inspect, say};
use bowline_workers::distress::{NotingAllocator, is_ignored};
use clap::Parser as _;
use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use std::io::{self, ErrorKind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

#[global_allocator]
static ALLOCATOR: NotingAllocator = NotingAllocator;

/// Finished, but some documents failed.
const SOME_FAILED: u8 = 3;
/// Could not finish.
const NOT_FINISHED: u8 = 1;
/// Wrong usage.
const WRONG_USAGE: u8 = 2;
/// Ended by a signal: this and its number.
const SIGNALLED: u8 = 128;

fn main() -> ExitCode {
    let cli = Cli::parse();
    keep_panics_of_documents_quiet();
    let result = watch_signals().map_err(anyhow::Error::from).and_then(|interrupted| match &cli.command {
        Command::Embed(args) => embed::embed(args, interrupted),
        Command::Inspect(args) => inspect::inspect(args, &mut io::stdout().lock()).map(|()| true),
        Command::Bench(args) => bench::bench(args, &interrupted).map(|()| true),
        Command::Generate(args) => generate::generate(args, &interrupted).map(|()| true),
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(SOME_FAILED),
        Err(error) => fail(&error),
    }
}

/// Prints the error and tells the exit code it deserves.
fn fail(error: &anyhow::Error) -> ExitCode {
    if let Some(RunError::Interrupted(signal)) = error.downcast_ref() {
        return ExitCode::from(SIGNALLED + *signal as u8);
    }
    if error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == ErrorKind::BrokenPipe))
    {
        return ExitCode::SUCCESS;
    }
    let names_limit = matches!(error.downcast_ref(), Some(RunError::NoMemory { .. }));
    let hint = error.chain().find_map(limit_that_helps).filter(|_| !names_limit).unwrap_or_default();
    say::say(&format!("bowline: {error:#}{hint}"));
    if let Some(RunError::Crashed(..)) = error.downcast_ref() {
        // A thread that was about to end the process keeps everybody else from it: without farewells, then. The
        // partial output has gone with the run.
        signal_hook::low_level::exit(NOT_FINISHED as i32);
    }
    match error.downcast_ref::<UsageError>() {
        Some(_) => ExitCode::from(WRONG_USAGE),
        None => ExitCode::from(NOT_FINISHED),
    }
}

/// The limit of the shell's that an error comes from, if it does.
fn limit_that_helps(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let errno = cause.downcast_ref::<io::Error>()?.raw_os_error()?;
    match Errno::from_raw(errno) {
        Errno::EMFILE => Some(" (ulimit -n allows more)"),
        Errno::EFBIG => Some(" (ulimit -f allows more)"),
        Errno::ENOMEM if has_address_limit() => Some(" (ulimit -v allows more)"),
        _ => None,
    }
}

/// Whether `ulimit -v` bounds the addresses of this process.
fn has_address_limit() -> bool {
    getrlimit(Resource::RLIMIT_AS).is_ok_and(|(soft, _)| soft != RLIM_INFINITY)
}

/// A flag that holds the number of a signal to end by, once one came. The second SIGINT ends at once.
fn watch_signals() -> io::Result<Arc<AtomicUsize>> {
    let interrupted = Arc::new(AtomicUsize::new(0));
    let again = Arc::new(AtomicBool::new(false));
    // One that was ignored from the start stays so: SIGHUP with nohup(1), SIGINT behind a shell's `&`.
    let is_heeded = |&signal: &i32| !is_ignored(signal);
    if is_heeded(&SIGINT) {
        signal_hook::flag::register_conditional_shutdown(SIGINT, (SIGNALLED as i32) + SIGINT, again.clone())?;
        signal_hook::flag::register(SIGINT, again)?;
    }
    for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(is_heeded) {
        signal_hook::flag::register_usize(signal, interrupted.clone(), signal as usize)?;
    }
    // A file beyond `ulimit -f` is an error of whoever writes it, and not the end of the program without a word.
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    Ok(interrupted)
}

/// A panic while a document is analyzed is that document's failure, and is reported as such.
fn keep_panics_of_documents_quiet() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !bowline_workers::tally::is_in_document() {
            usual(panic);
        }
    }));
}
