//! The signals that ask a command to end: SIGINT, SIGTERM and SIGHUP, unless they were ignored from the start. And those
//! that say that a disk is full, which are errors here.

use super::exit::SIGNALLED;
use bowline_workers::distress::{guard_maps, is_ignored};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

/// A flag that holds the number of a signal to end by, once one came. The second SIGINT ends at once.
///
/// # Errors
/// If a handler can't be installed.
pub fn watch() -> io::Result<Arc<AtomicUsize>> {
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
    // A write beyond `ulimit -f` returns an error, and does not end the program without a word.
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    // Nor does a write to a map whose disk is full.
    guard_maps()?;
    Ok(interrupted)
}
