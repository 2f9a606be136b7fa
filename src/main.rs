//! bowline: bag-of-words document embeddings of a corpus, by worker processes.
//!
//! Parses the command line, runs the command, and turns what comes back into an exit code. The only place that
//! prints an error.

use bowline::cli::{Cli, Command};
use bowline::{RunError, UsageError, bench, embed, generate, inspect, say};
use bowline_workers::distress::NotingAllocator;
use clap::Parser as _;
use nix::errno::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use std::ffi::OsString;
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
    let cli = match parse(std::env::args_os().collect()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    report_panics_but_those_of_documents();
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

/// The command line; or what is wrong with it, or was asked for instead, is printed, and this is the exit code.
fn parse(arguments: Vec<OsString>) -> Result<Cli, ExitCode> {
    let error = match Cli::try_parse_from(&arguments) {
        Ok(cli) => return Ok(cli),
        Err(error) => error,
    };
    // clap repeats arguments as they are. With printable ones it finds the same fault, and says it in one line of theirs.
    let shown = arguments.iter().map(|argument| say::printable(&argument.to_string_lossy()).into_owned());
    let shown = Cli::try_parse_from(shown).err().unwrap_or(error);
    let text = shown.render().to_string();
    match text.lines().all(|line| say::printable(line) == line) {
        // In colours, where the terminal has them. If it is closed there is nowhere to report it.
        true => _ = shown.print(),
        false => text.lines().for_each(say::say),
    }
    Err(ExitCode::from(shown.exit_code() as u8))
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
    let hint = error.chain().find_map(limit_that_helps).unwrap_or_default();
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
        _ => None,
    }
}

/// A flag that holds the number of a signal to end by, once one came. The second SIGINT ends at once.
fn watch_signals() -> io::Result<Arc<AtomicUsize>> {
    let interrupted = Arc::new(AtomicUsize::new(0));
    let again = Arc::new(AtomicBool::new(false));
    let ignored = ignored_signals();
    let is_heeded = |&signal: &i32| ignored & 1 << (signal - 1) == 0;
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

/// The signals that whoever has started the program wants it to ignore, a bit each: SIGHUP with nohup(1), SIGINT behind a
/// shell's `&` (proc_pid_status(5)).
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// A panic while a document is analyzed is that document's failure, and is reported as such.
fn report_panics_but_those_of_documents() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.to_string();
        match text.lines().all(|line| say::printable(line) == line) {
            _ if bowline_workers::tally::is_in_document() => {}
            true => usual(panic),
            false => say::say(&text),
        }
    }));
}
