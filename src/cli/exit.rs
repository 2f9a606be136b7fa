//! The end of a command: its exit code. This is the only place that prints the error that ends a command.

use super::hints::{self, NOT_FINISHED, SOME_FAILED};
use super::messages::say;
use crate::error::{Error, ErrorKind};
use crate::run::classified;
use bowline_workers::crash::end_without_memory;
use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use std::process::ExitCode;

/// The exit code of a command's result: whether every document was embedded, or an error, which is printed.
pub fn code(result: anyhow::Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(SOME_FAILED),
        Err(error) => fail(error),
    }
}

/// From now on the command ends with an error if an allocation fails. It then has no memory to end in order: a partial output
/// stays, as after a kill.
pub fn expect_failed_allocations() {
    let hint = hints::of_error(&ErrorKind::NoMemory).unwrap_or_default();
    let line = format!("bowline: the system gives no more memory ({hint})\n");
    end_without_memory(line.leak(), NOT_FINISHED.into());
}

/// Prints the error and returns its exit code.
fn fail(error: anyhow::Error) -> ExitCode {
    let error = classified(error);
    let kind = error.kind();
    if !matches!(kind, ErrorKind::Interrupted(_) | ErrorKind::BrokenPipe) {
        say(&format!("bowline: {}", line(&error)));
    }
    if *kind == ErrorKind::Crashed {
        // The crashed thread blocks a normal exit of the process, so this exits without clean-up. The run has already
        // removed the partial output.
        signal_hook::low_level::exit(NOT_FINISHED as i32);
    }
    ExitCode::from(hints::exit_code(kind))
}

/// The error and its advice: an option, or a limit of the shell.
fn line(error: &Error) -> String {
    let kind = error.kind();
    let text = match kind {
        ErrorKind::Settings(settings) => hints::of_settings(settings),
        _ => error.to_string(),
    };
    match hints::of_error(kind).or_else(|| limit_that_helps(error.os_error()?)) {
        Some(hint) => format!("{text} ({hint})"),
        None => text,
    }
}

/// The advice for a system error that comes from a limit of the shell.
fn limit_that_helps(errno: i32) -> Option<&'static str> {
    match Errno::from_raw(errno) {
        Errno::EMFILE => Some("ulimit -n allows more"),
        Errno::EFBIG => Some("ulimit -f allows more"),
        Errno::ENOMEM if has_address_limit() => Some("ulimit -v allows more"),
        _ => None,
    }
}

/// Whether `ulimit -v` bounds the addresses of this process.
fn has_address_limit() -> bool {
    getrlimit(Resource::RLIMIT_AS).is_ok_and(|(soft, _)| soft != RLIM_INFINITY)
}
