//! Last words: what ends a worker is noted in its line of the flight heartbeats.
//!
//! An allocation that fails is no panic in Rust: the process aborts. The allocator's note tells such a death from a
//! crash, and a document that needs too much memory from one that has found a fault. Where workers are threads, a crash
//! of one would end the process before anybody could say which document it was: there the thread that crashes notes it
//! and stands still, and the coordinator ends the run.
//!
//! SIGBUS at an address of a shared map is no crash: the map was lost ([`guard_maps`]).

#![expect(unsafe_code, reason = "a global allocator, and handlers of signals")]

use crate::heartbeat::{Crash, Heartbeat};
use crate::mapped::LostMap;
use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::ptr::null;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The system's allocator, with a note of each allocation that fails.
pub struct NotingAllocator;

thread_local! {
    /// Where this thread notes. It needs neither a constructor nor a destructor: it may be asked for at any time.
    static PEN: Cell<*const Heartbeat> = const { Cell::new(null()) };
}

/// While it lives, its thread notes its crash.
pub(crate) struct Noting {
    /// Where `PEN` points to. Only here is it dropped, and it bounds this to its thread.
    heartbeat: *mut Heartbeat,
}

impl Noting {
    /// From now on this thread notes its crash with `heartbeat`.
    pub(crate) fn with(heartbeat: Heartbeat) -> Self {
        let heartbeat = Box::into_raw(Box::new(heartbeat));
        PEN.set(heartbeat);
        Noting { heartbeat }
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        PEN.set(null());
        // SAFETY: it comes from a box, and nobody points to it any more: handlers of this thread's signals look at `PEN`.
        drop(unsafe { Box::from_raw(self.heartbeat) });
    }
}

/// Notes it, if this thread is a worker.
fn note(crash: Crash) -> bool {
    let heartbeat = PEN.get();
    // SAFETY: null, or the box of a `Noting` of this thread, which sets it to null before it drops it.
    let heartbeat = unsafe { heartbeat.as_ref() };
    heartbeat.inspect(|heartbeat| heartbeat.note(crash)).is_some()
}

/// Notes that this thread has failed to get memory.
pub(crate) fn note_out_of_memory() {
    // What follows would ask for memory, too, and hold the locks of whoever writes backtraces.
    if note(Crash::OutOfMemory) && HOLDS.load(Ordering::Relaxed) {
        stand_still();
    }
}

/// Whether threads in crash stand still.
static HOLDS: AtomicBool = AtomicBool::new(false);

/// From now on a worker's thread that crashes, or ends the process, notes it and does nothing more.
///
/// # Errors
/// The system's.
pub fn hold_crashed_threads() -> io::Result<()> {
    // The standard library has given each of its threads a stack for handlers.
    let action = SigAction::new(SigHandler::Handler(crashed), SaFlags::SA_ONSTACK, SigSet::empty());
    guard_maps()?;
    for signal in [Signal::SIGSEGV, Signal::SIGABRT, Signal::SIGILL, Signal::SIGFPE] {
        // SAFETY: the handler calls only what may be called in one (signal-safety(7)): stores to a map, `pause`.
        unsafe { sigaction(signal, &action) }?;
    }
    HOLDS.store(true, Ordering::Relaxed);
    // SAFETY: the function may be called at any time, and by any thread.
    match unsafe { libc::atexit(ended) } {
        0 => Ok(()),
        _ => Err(io::ErrorKind::OutOfMemory.into()),
    }
}

/// What SIGBUS did before [`guard_maps`], or why that failed. Until this is set, the system's default.
static EARLIER: OnceLock<Result<SigHandler, Errno>> = OnceLock::new();

/// Whether SIGBUS is never given to [`EARLIER`].
static FORGETS_EARLIER: AtomicBool = AtomicBool::new(false);

/// From now on SIGBUS at an address of a map of a [`Store`](crate::mapped::Store) is noted in that store, which returns it
/// as an error. A thread that is a worker ends by it, or stands still. Any other one goes on with a map of zeroes. For all
/// other addresses nothing changes.
///
/// # Errors
/// The system's.
pub fn guard_maps() -> io::Result<()> {
    let flags = SaFlags::SA_ONSTACK | SaFlags::SA_SIGINFO;
    let action = SigAction::new(SigHandler::SigAction(bus_error), flags, SigSet::empty());
    let earlier = EARLIER.get_or_init(|| {
        // SAFETY: the handler calls only what may be called in one (signal-safety(7)): atomics and system calls.
        unsafe { sigaction(Signal::SIGBUS, &action) }.map(|earlier| earlier.handler())
    });
    earlier.as_ref().map(|_| ()).map_err(|&errno| errno.into())
}

/// From now on SIGBUS at any other address ends this process without a word.
pub fn forget_earlier_handler() {
    FORGETS_EARLIER.store(true, Ordering::Relaxed);
}

extern "C" fn bus_error(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a description of the signal, whose address is set for the code that is asked for below.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    let lost = if code == libc::BUS_ADRERR { LostMap::at(address) } else { None };
    if let Some(lost) = lost
        && PEN.get().is_null()
    {
        let errno = Errno::last_raw();
        let is_replaced = lost.replace();
        Errno::set_raw(errno);
        if is_replaced {
            return;
        }
    }
    if HOLDS.load(Ordering::Relaxed) && note(Crash::Signal(signal)) {
        stand_still();
    }
    match EARLIER.get().filter(|_| !FORGETS_EARLIER.load(Ordering::Relaxed)) {
        Some(Ok(SigHandler::Handler(handler))) => handler(signal),
        Some(Ok(SigHandler::SigAction(handler))) => handler(signal, info, context),
        // What the kernel raises can't be ignored.
        Some(Ok(SigHandler::SigIgn)) if code <= 0 => {}
        _ => {
            // SAFETY: all may be called in a handler. What the kernel has raised comes again when the instruction is tried again.
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
                if code <= 0 && libc::raise(signal) != 0 {
                    // In the sandbox.
                    libc::abort();
                }
            }
        }
    }
}

/// Whether this process ignores the signal of that number.
pub fn is_ignored(signal: libc::c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: no new action is given, and the present one is written to a place that is large enough. All zeroes are one.
    let action = unsafe {
        libc::sigaction(signal, null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

extern "C" fn crashed(signal: libc::c_int) {
    if note(Crash::Signal(signal)) {
        stand_still();
    }
    // Not a worker's: back to what happens to any program, when the instruction is tried again.
    // SAFETY: both may be called in a handler.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

extern "C" fn ended() {
    if note(Crash::Exit) {
        stand_still();
    }
}

fn stand_still() -> ! {
    // Whoever ends the run may need memory for that.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_DATA) {
        let _ = setrlimit(Resource::RLIMIT_DATA, hard, hard);
    }
    loop {
        // SAFETY: it only waits.
        unsafe { libc::pause() };
    }
}

fn noting(pointer: *mut u8) -> *mut u8 {
    if pointer.is_null() {
        note_out_of_memory();
    }
    pointer
}

// SAFETY: every call goes to the system's allocator as it is; a note is a store to a map that exists already.
unsafe impl GlobalAlloc for NotingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        noting(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        noting(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        noting(unsafe { System.realloc(pointer, layout, size) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heartbeat::Heartbeats;

    #[test]
    fn a_thread_notes_while_it_is_a_worker() {
        let heartbeats = Heartbeats::new(1).unwrap();
        assert!(!note(Crash::Exit), "no worker yet");
        let noting = Noting::with(heartbeats.heartbeat(0));
        assert!(note(Crash::OutOfMemory));
        drop(noting);
        assert!(!note(Crash::Exit), "no worker any more");
        assert_eq!(heartbeats.position(0).crash, Some(Crash::OutOfMemory));
    }
}
