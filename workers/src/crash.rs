//! Notes the cause of a worker's death in its heartbeat line.
//!
//! A failed allocation is not a panic in Rust: the process aborts. The allocator's note distinguishes such an abort
//! from a crash, that is, a document that needs too much memory from a document that triggers a fault. Where workers
//! are threads, a crash of one thread would end the process before the document could be reported. There the crashing
//! thread notes the crash and stops, and the coordinator ends the run. The coordinator itself ends with a line of its program
//! ([`end_without_memory`]).
//!
//! SIGBUS at an address of a shared map is not a crash: the map was lost ([`guard_maps`]).

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

/// The system's allocator, which also notes each failed allocation.
pub struct NotingAllocator;

thread_local! {
    /// The heartbeat of this thread. It has neither constructor nor destructor, so a handler may read it at any time.
    static PEN: Cell<*const Heartbeat> = const { Cell::new(null()) };
    /// Whether this thread is in [`handling_failed_allocations`].
    static HANDLES: Cell<bool> = const { Cell::new(false) };
}

/// While this value exists, its thread notes its crashes.
pub(crate) struct Noting {
    /// The pointer that `PEN` holds. Only this type drops it. A raw pointer also keeps this value on its thread.
    heartbeat: *mut Heartbeat,
}

impl Noting {
    /// Starts to note crashes of this thread with `heartbeat`.
    pub(crate) fn with(heartbeat: Heartbeat) -> Self {
        let heartbeat = Box::into_raw(Box::new(heartbeat));
        PEN.set(heartbeat);
        Noting { heartbeat }
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        PEN.set(null());
        // SAFETY: it comes from a box, and no pointer to it is left: handlers of this thread's signals read `PEN`.
        drop(unsafe { Box::from_raw(self.heartbeat) });
    }
}

/// Notes a crash if this thread is a worker. Returns whether it is.
fn note(crash: Crash) -> bool {
    let heartbeat = PEN.get();
    // SAFETY: null, or the box of a `Noting` of this thread, which sets it to null before it drops it.
    let heartbeat = unsafe { heartbeat.as_ref() };
    heartbeat.inspect(|heartbeat| heartbeat.note(crash)).is_some()
}

/// Notes that an allocation of this thread failed. Returns whether it is a worker's.
pub(crate) fn note_out_of_memory() -> bool {
    let is_worker = note(Crash::OutOfMemory);
    // The code after this would allocate, too, and hold the lock for backtraces.
    if is_worker && HOLDS.load(Ordering::Relaxed) {
        stand_still();
    }
    is_worker
}

/// The line and the exit code of [`end_without_memory`].
static LAST_WORDS: OnceLock<(&str, i32)> = OnceLock::new();

/// From now on a failed allocation of a thread that is no worker ends the process at once: it writes `line`, which ends with a
/// line break, to standard error, and exits with `code`. Otherwise Rust would abort. The program's allocator must be
/// [`NotingAllocator`]. Only the first call counts.
pub fn end_without_memory(line: &'static str, code: i32) {
    LAST_WORDS.get_or_init(|| (line, code));
}

/// Runs `run`, which returns failed allocations as errors, so that they don't end the process.
pub fn handling_failed_allocations<T>(run: impl FnOnce() -> T) -> T {
    let before = HANDLES.replace(true);
    let result = run();
    HANDLES.set(before);
    result
}

/// Whether crashed threads stop instead of ending the process.
static HOLDS: AtomicBool = AtomicBool::new(false);

/// From now on a worker thread that crashes, or ends the process, notes the crash and then stops.
///
/// # Errors
/// The system's error.
pub fn hold_crashed_threads() -> io::Result<()> {
    // The standard library gives each of its threads a stack for handlers.
    let action = SigAction::new(SigHandler::Handler(crashed), SaFlags::SA_ONSTACK, SigSet::empty());
    guard_maps()?;
    for signal in [Signal::SIGSEGV, Signal::SIGABRT, Signal::SIGILL, Signal::SIGFPE] {
        // SAFETY: the handler only makes calls that a handler may make (signal-safety(7)): stores to a map, `pause`.
        unsafe { sigaction(signal, &action) }?;
    }
    HOLDS.store(true, Ordering::Relaxed);
    // SAFETY: the function may be called at any time, and by any thread.
    match unsafe { libc::atexit(ended) } {
        0 => Ok(()),
        _ => Err(io::ErrorKind::OutOfMemory.into()),
    }
}

/// The action for SIGBUS before [`guard_maps`], or the error of that call. The system's default until it is set.
static EARLIER: OnceLock<Result<SigHandler, Errno>> = OnceLock::new();

/// Whether SIGBUS is never passed on to [`EARLIER`], nor [`LAST_WORDS`] written.
static IS_SILENT: AtomicBool = AtomicBool::new(false);

/// From now on SIGBUS at an address of a map of a [`Store`](crate::mapped::Store) is noted in that store, which returns
/// it as an error. A worker process ends with the signal, and a worker thread stops. Any other thread continues with a
/// map of zeroes. SIGBUS at all other addresses works as before.
///
/// # Errors
/// The system's error.
pub fn guard_maps() -> io::Result<()> {
    let flags = SaFlags::SA_ONSTACK | SaFlags::SA_SIGINFO;
    let action = SigAction::new(SigHandler::SigAction(bus_error), flags, SigSet::empty());
    let earlier = EARLIER.get_or_init(|| {
        // SAFETY: the handler only makes calls that a handler may make (signal-safety(7)): atomics and system calls.
        unsafe { sigaction(Signal::SIGBUS, &action) }.map(|earlier| earlier.handler())
    });
    earlier.as_ref().map(|_| ()).map_err(|&errno| errno.into())
}

/// From now on SIGBUS at any other address, or a failed allocation, ends this process without a message.
pub fn end_silently() {
    IS_SILENT.store(true, Ordering::Relaxed);
}

extern "C" fn bus_error(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a description of the signal. Its address is set for the code that is compared below.
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
    match EARLIER.get().filter(|_| !IS_SILENT.load(Ordering::Relaxed)) {
        Some(Ok(SigHandler::Handler(handler))) => handler(signal),
        Some(Ok(SigHandler::SigAction(handler))) => handler(signal, info, context),
        // A signal that the kernel raises cannot be ignored.
        Some(Ok(SigHandler::SigIgn)) if code <= 0 => {}
        _ => {
            // SAFETY: a handler may make all these calls. A signal that the kernel raised comes again when the
            // instruction is retried.
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
    // SAFETY: no new action is given, and the present one is written to a place that is large enough. All zeroes are a
    // valid one.
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
    // This thread is not a worker. Restore the default action, which takes effect when the instruction is retried.
    // SAFETY: a handler may make both calls.
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
    // The thread that ends the run may need memory for that.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_DATA) {
        let _ = setrlimit(Resource::RLIMIT_DATA, hard, hard);
    }
    loop {
        // SAFETY: the call only waits.
        unsafe { libc::pause() };
    }
}

fn noting(pointer: *mut u8) -> *mut u8 {
    if pointer.is_null()
        && !note_out_of_memory()
        && !HANDLES.get()
        && let Some(&(line, code)) = LAST_WORDS.get()
        && !IS_SILENT.load(Ordering::Relaxed)
    {
        // SAFETY: the bytes are those of a string. Nothing of this process runs after the second call.
        unsafe {
            libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len());
            libc::_exit(code);
        }
    }
    pointer
}

// SAFETY: every call goes to the system's allocator unchanged. A note is a store to a map that exists already, and a line is
// written without an allocation.
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
