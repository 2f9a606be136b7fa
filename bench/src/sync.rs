//! The usual means of synchronisation: lock, re-entrant lock, semaphore, condition, event. They lie in shared memory,
//! so the same objects work between threads and between forked processes.
//!
//! They are the C library's (`PTHREAD_PROCESS_SHARED`, pthreads(7)), which Python's `multiprocessing` and most programs
//! use. They are only measured here. The engine does not use them, since its workers share no lock.

#![expect(unsafe_code, reason = "calls of the C library on objects in a shared map")]

use anyhow::{Context as _, Result, ensure};
use bowline_workers::mapped::{Store, Table};
use nix::libc;
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Words of shared memory for one object, more than any object needs.
const WORDS: usize = 16;

/// Room for one object of the C library.
struct Place(Table<AtomicU64>);

impl Place {
    fn new<T>() -> Result<Self> {
        ensure!(
            size_of::<T>() <= WORDS * size_of::<AtomicU64>() && align_of::<T>() <= align_of::<AtomicU64>()
        );
        Ok(Place(Table::new(WORDS, &Store::unlimited()).context("mapping shared memory")?))
    }

    /// The address of the object. Any thread or process may change it at any time, as with the atomics that Rust sees
    /// there.
    fn object<T>(&self) -> *mut T {
        self.0.as_ptr().cast_mut().cast()
    }
}

/// The error of a call that returns it.
fn check(what: &'static str, code: libc::c_int) -> Result<()> {
    match code {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)).context(what),
    }
}

/// The deadline of a wait that begins now.
fn deadline(patience: Duration) -> libc::timespec {
    let mut now = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the pointer is to a value of that type, for which zeroes are valid.
    let now = unsafe {
        libc::clock_gettime(libc::CLOCK_REALTIME, now.as_mut_ptr());
        now.assume_init()
    };
    let nanoseconds = now.tv_nsec + i64::from(patience.subsec_nanos());
    libc::timespec {
        tv_sec: now.tv_sec + patience.as_secs() as i64 + nanoseconds / 1_000_000_000,
        tv_nsec: nanoseconds % 1_000_000_000,
    }
}

/// The behaviour of a lock when its holder takes it again or dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockKind {
    /// It waits for ever in both cases.
    Plain,
    /// Its holder may take it again.
    Reentrant,
    /// The next thread gets it when its holder dies, and learns of the death.
    Robust,
}

/// The result of an attempt to take a lock or a permit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It is held.
    Yes,
    /// It is held, and its last holder died. The data that it protects may be inconsistent.
    AfterDeath,
    /// It was not free in time.
    No,
}

/// A lock (`pthread_mutex_t`). A robust lock must be given back before it is dropped, since the thread that holds it
/// has it in a list.
pub struct Lock(Place);

impl Lock {
    /// Makes a free lock.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(kind: LockKind) -> Result<Self> {
        let lock = Lock(Place::new::<libc::pthread_mutex_t>()?);
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::zeroed();
        let attributes = attributes.as_mut_ptr();
        let (re_entrant, robust) = match kind {
            LockKind::Plain => (libc::PTHREAD_MUTEX_NORMAL, libc::PTHREAD_MUTEX_STALLED),
            LockKind::Reentrant => (libc::PTHREAD_MUTEX_RECURSIVE, libc::PTHREAD_MUTEX_STALLED),
            LockKind::Robust => (libc::PTHREAD_MUTEX_NORMAL, libc::PTHREAD_MUTEX_ROBUST),
        };
        // SAFETY: the attributes are a local value, initialised first; the place is large enough, aligned (checked when
        // it was made), and no other code has its address yet.
        unsafe {
            check("attributes of a lock", libc::pthread_mutexattr_init(attributes))?;
            let shared = libc::PTHREAD_PROCESS_SHARED;
            check("a lock between processes", libc::pthread_mutexattr_setpshared(attributes, shared))?;
            check("a kind of lock", libc::pthread_mutexattr_settype(attributes, re_entrant))?;
            check("a robust lock", libc::pthread_mutexattr_setrobust(attributes, robust))?;
            check("a lock", libc::pthread_mutex_init(lock.0.object(), attributes))?;
            libc::pthread_mutexattr_destroy(attributes);
        }
        Ok(lock)
    }

    /// Takes it.
    pub fn lock(&self) {
        // SAFETY: initialised when it was made, and never moved nor destroyed.
        let code = unsafe { libc::pthread_mutex_lock(self.0.object()) };
        assert_eq!(code, 0, "a lock that was initialised can be taken");
    }

    /// Takes it if it is free.
    pub fn try_lock(&self) -> bool {
        // SAFETY: as in `lock`.
        unsafe { libc::pthread_mutex_trylock(self.0.object()) == 0 }
    }

    /// Takes it, or gives up after `patience`.
    pub fn lock_within(&self, patience: Duration) -> Taken {
        // SAFETY: as in `lock`; the deadline is a local value.
        let code = unsafe { libc::pthread_mutex_timedlock(self.0.object(), &deadline(patience)) };
        match code {
            0 => Taken::Yes,
            libc::EOWNERDEAD => {
                // The new holder must declare the data consistent, or the lock could never be taken again.
                // SAFETY: as in `lock`; it is held, and its holder before is dead.
                unsafe { libc::pthread_mutex_consistent(self.0.object()) };
                Taken::AfterDeath
            }
            _ => Taken::No,
        }
    }

    /// Gives it back.
    pub fn unlock(&self) {
        // SAFETY: as in `lock`.
        unsafe { libc::pthread_mutex_unlock(self.0.object()) };
    }
}

/// A semaphore (`sem_t`).
pub struct Semaphore(Place);

impl Semaphore {
    /// Makes a semaphore with `permits` permits.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(permits: u32) -> Result<Self> {
        let semaphore = Semaphore(Place::new::<libc::sem_t>()?);
        // SAFETY: the place is large enough and aligned (checked), and no other code has its address yet.
        let code = unsafe { libc::sem_init(semaphore.0.object(), 1, permits) };
        ensure!(code == 0, "a semaphore: {}", io::Error::last_os_error());
        Ok(semaphore)
    }

    /// Takes a permit.
    pub fn acquire(&self) {
        // SAFETY: initialised when it was made, and never moved nor destroyed. Only a signal makes it fail.
        while unsafe { libc::sem_wait(self.0.object()) } != 0 {}
    }

    /// Takes a permit, or gives up after `patience`.
    pub fn acquire_within(&self, patience: Duration) -> Taken {
        // SAFETY: as in `acquire`; the deadline is a local value.
        match unsafe { libc::sem_timedwait(self.0.object(), &deadline(patience)) } {
            0 => Taken::Yes,
            _ => Taken::No,
        }
    }

    /// Gives a permit back.
    pub fn release(&self) {
        // SAFETY: as in `acquire`.
        unsafe { libc::sem_post(self.0.object()) };
    }
}

/// A condition (`pthread_cond_t`). The lock that belongs to it protects its state.
pub struct Condition(Place);

impl Condition {
    /// Makes a condition without waiters.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new() -> Result<Self> {
        let condition = Condition(Place::new::<libc::pthread_cond_t>()?);
        let mut attributes = MaybeUninit::<libc::pthread_condattr_t>::zeroed();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: as for a lock.
        unsafe {
            check("attributes of a condition", libc::pthread_condattr_init(attributes))?;
            let shared = libc::PTHREAD_PROCESS_SHARED;
            check("a condition between processes", libc::pthread_condattr_setpshared(attributes, shared))?;
            check("a condition", libc::pthread_cond_init(condition.0.object(), attributes))?;
            libc::pthread_condattr_destroy(attributes);
        }
        Ok(condition)
    }

    /// Gives the lock back, waits to be notified, and takes the lock again.
    pub fn wait(&self, lock: &Lock) {
        // SAFETY: both were initialised when they were made, and are never moved nor destroyed; the caller holds the
        // lock.
        unsafe { libc::pthread_cond_wait(self.0.object(), lock.0.object()) };
    }

    /// Wakes all waiters.
    pub fn notify_all(&self) {
        // SAFETY: as in `wait`.
        unsafe { libc::pthread_cond_broadcast(self.0.object()) };
    }
}

/// An event. When a thread or process sets it, all waiters continue. It is a flag, a lock and a condition, as in
/// Python.
pub struct Event {
    lock: Lock,
    condition: Condition,
    is_set: Table<AtomicU64>,
}

impl Event {
    /// Makes an event that is not set.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new() -> Result<Self> {
        let is_set = Table::new(1, &Store::unlimited()).context("mapping shared memory")?;
        Ok(Event { lock: Lock::new(LockKind::Plain)?, condition: Condition::new()?, is_set })
    }

    /// Sets it.
    pub fn set(&self) {
        self.lock.lock();
        self.is_set[0].store(1, Ordering::Relaxed);
        self.condition.notify_all();
        self.lock.unlock();
    }

    /// Clears it.
    pub fn clear(&self) {
        self.lock.lock();
        self.is_set[0].store(0, Ordering::Relaxed);
        self.lock.unlock();
    }

    /// Waits until it is set.
    pub fn wait(&self) {
        self.lock.lock();
        while self.is_set[0].load(Ordering::Relaxed) == 0 {
            self.condition.wait(&self.lock);
        }
        self.lock.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_a_re_entrant_one_by_its_holder_again() {
        let within = Duration::from_millis(20);
        let plain = Lock::new(LockKind::Plain).unwrap();
        plain.lock();
        assert!(!plain.try_lock());
        assert_eq!(plain.lock_within(within), Taken::No);
        plain.unlock();
        assert_eq!(plain.lock_within(within), Taken::Yes);
        let re_entrant = Lock::new(LockKind::Reentrant).unwrap();
        re_entrant.lock();
        assert!(re_entrant.try_lock());
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(!re_entrant.try_lock(), "another thread is another holder"));
        });
    }

    #[test]
    fn a_robust_lock_outlives_its_holder() {
        let lock = Lock::new(LockKind::Robust).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| lock.lock());
        });
        assert_eq!(lock.lock_within(Duration::from_secs(10)), Taken::AfterDeath);
        lock.unlock();
        assert_eq!(lock.lock_within(Duration::from_secs(10)), Taken::Yes);
        lock.unlock();
    }

    #[test]
    fn permits_run_out_and_come_back() {
        let semaphore = Semaphore::new(2).unwrap();
        semaphore.acquire();
        semaphore.acquire();
        assert_eq!(semaphore.acquire_within(Duration::from_millis(20)), Taken::No);
        semaphore.release();
        assert_eq!(semaphore.acquire_within(Duration::from_millis(20)), Taken::Yes);
    }

    #[test]
    fn an_event_lets_those_go_on_that_wait() {
        let event = Event::new().unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| event.wait());
            std::thread::sleep(Duration::from_millis(20));
            assert!(!waiter.is_finished());
            event.set();
        });
        event.wait();
        event.clear();
        assert_eq!(event.is_set[0].load(Ordering::Relaxed), 0);
    }
}
