//! The signals that ask a command to end: SIGINT, SIGTERM and SIGHUP, unless they were ignored from the start. Also
//! the signals of a full disk, which become errors.

use super::hints::SIGNALLED;
use crate::cancel::Cancel;
use bowline_workers::crash::{guard_maps, is_ignored};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A request to end that the first of these signals makes. The second SIGINT ends at once.
///
/// # Errors
/// If a handler can't be installed.
pub fn watch() -> io::Result<Cancel> {
    let cancel = Cancel::new();
    let again = Arc::new(AtomicBool::new(false));
    // One that was ignored from the start stays so: SIGHUP with nohup(1), SIGINT behind a shell's `&`.
    let is_heeded = |&signal: &i32| !is_ignored(signal);
    if is_heeded(&SIGINT) {
        signal_hook::flag::register_conditional_shutdown(SIGINT, (SIGNALLED as i32) + SIGINT, again.clone())?;
        signal_hook::flag::register(SIGINT, again)?;
    }
    for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(is_heeded) {
        signal_hook::flag::register_usize(signal, cancel.flag().clone(), signal as usize)?;
    }
    // A write beyond `ulimit -f` returns an error, and does not end the program without a word.
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    // Nor does a write to a map whose disk is full.
    guard_maps()?;
    Ok(cancel)
}
