//! A request to end a run.

use crate::error::{ErrorKind, Fault};
use nix::libc::SIGTERM;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Asks runs that have a clone of it to end: within a fraction of a second, leaving nothing behind but what `resume` keeps.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicUsize>);

impl Cancel {
    /// A request that has not been made.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the request, as SIGTERM does it for a program.
    pub fn cancel(&self) {
        self.0.store(SIGTERM as usize, Ordering::Relaxed);
    }

    /// The flag: the number of the signal that made the request, or 0. A signal handler may set it.
    pub fn flag(&self) -> &Arc<AtomicUsize> {
        &self.0
    }
}

/// An error of the kind [`ErrorKind::Interrupted`] if the request with this flag was made.
///
/// # Errors
/// That one.
pub fn check(flag: &AtomicUsize) -> Result<(), Fault> {
    match flag.load(Ordering::Relaxed) {
        0 => Ok(()),
        signal => Err(Fault::new(ErrorKind::Interrupted(signal as i32), "interrupted")),
    }
}
