//! Exit codes, and the one place that prints the error that ends a command.

use crate::coordinator::RunError;
use crate::say;
use crate::usage_error::UsageError;
use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use std::io::{self, ErrorKind};
use std::process::ExitCode;

/// Finished, but some documents failed.
const SOME_FAILED: u8 = 3;
/// Could not finish.
const NOT_FINISHED: u8 = 1;
/// Wrong usage.
const WRONG_USAGE: u8 = 2;
/// Ended by a signal: this and its number.
pub(super) const SIGNALLED: u8 = 128;

/// The exit code of a command's result: whether every document was embedded, or an error, which is printed.
pub fn code(result: anyhow::Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(SOME_FAILED),
        Err(error) => fail(&error),
    }
}

/// Prints the error and returns its exit code.
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
