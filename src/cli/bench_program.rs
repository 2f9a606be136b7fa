//! `bowline bench` and `bowline generate`: they are `bowline-bench`, a program of its own, so that bowline itself links no
//! plots, tables or generators.

use anyhow::{Result, anyhow};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The program's name.
const PROGRAM: &str = "bowline-bench";

/// The variable by which it learns which bowline it measures.
pub const MEASURED: &str = "BOWLINE";

/// Becomes `bowline-bench COMMAND ARGUMENTS...`: the one beside this program, or else the first one in `PATH`.
///
/// # Errors
/// If there is none, or it can't be started. Otherwise it does not return.
pub fn run(command: &str, arguments: &[OsString]) -> Result<bool> {
    let own = std::env::current_exe()?;
    let become_it =
        |program: OsString| Command::new(program).arg(command).args(arguments).env(MEASURED, &own).exec();
    let beside = become_it(own.with_file_name(PROGRAM).into());
    let error = match beside.kind() {
        ErrorKind::NotFound => become_it(PROGRAM.into()),
        _ => beside,
    };
    Err(match error.kind() {
        ErrorKind::NotFound => anyhow!(
            "bowline {command} needs the program {PROGRAM}, which is neither beside bowline nor in PATH (`make install` installs both)"
        ),
        _ => anyhow::Error::from(error).context(PROGRAM),
    })
}
