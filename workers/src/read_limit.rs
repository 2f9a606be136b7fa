//! The limit on reads of documents: how many reads may run at a time, in all workers together (`--max-reads`), and how
//! much each of them is delayed (`--read-latency`, for measurements).
//!
//! A semaphore whose permits cannot leak. A permit is the lock on one byte of a file in memory, held by the worker's
//! own open file description (`F_OFD_SETLK`, fcntl(2)). So it works the same between processes and between threads, and
//! the kernel releases it when its holder ends, for whatever reason. A worker that waits for a permit holds none, so
//! that no deadlock is possible.

use crate::heartbeat::Heartbeat;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The source of the read limits of all workers of a run. The coordinator creates it, and one [`ReadLimit`] for each
/// worker.
#[derive(Clone, Debug, Default)]
pub struct ReadLimits {
    /// The number of permits, and the file whose bytes they are.
    permits: Option<(u32, Arc<File>)>,
    latency: Duration,
}

impl ReadLimits {
    /// Creates limits that allow `max_reads` reads at a time, or any number, and delay each by `latency`.
    ///
    /// # Errors
    /// The system's error, if memory or descriptors for the permits run out.
    pub fn new(max_reads: Option<u32>, latency: Duration) -> io::Result<Self> {
        let permits = match max_reads {
            Some(permits) => {
                Some((permits, Arc::new(memfd_create(c"bowline permits", MemfdFlags::CLOEXEC)?.into())))
            }
            None => None,
        };
        Ok(ReadLimits { permits, latency })
    }

    /// Creates the read limit of the worker at `slot`. It updates `heartbeat` while it waits.
    ///
    /// # Errors
    /// The system's error, if descriptors run out.
    pub fn read_limit(&self, slot: usize, heartbeat: &Heartbeat) -> io::Result<ReadLimit> {
        let permits = match &self.permits {
            Some((permits, file)) => {
                // Opens the file again, for an open file description of its own: locks exclude descriptions, not
                // processes.
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                let file = File::options().read(true).write(true).open(path)?;
                Some(Permits {
                    number: *permits,
                    first: slot as u32 % permits,
                    file,
                    heartbeat: heartbeat.clone(),
                })
            }
            None => None,
        };
        Ok(ReadLimit { permits, latency: self.latency })
    }
}

/// The read limit of one worker. The default does not limit reads.
#[derive(Debug, Default)]
pub struct ReadLimit {
    permits: Option<Permits>,
    latency: Duration,
}

#[derive(Debug)]
struct Permits {
    number: u32,
    /// The permit to try first. Where there are enough permits, each worker has its own.
    first: u32,
    file: File,
    heartbeat: Heartbeat,
}

/// The permission to read, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Permit<'a>(Option<(&'a Permits, u32)>);

impl ReadLimit {
    /// Waits for a permit. A worker that waits has no current document, since the time is not its document's fault.
    ///
    /// # Errors
    /// The system's error, if it has no room for the lock.
    pub fn enter(&self) -> Result<Permit<'_>, Errno> {
        let permit = match &self.permits {
            Some(permits) => Some((permits, permits.take()?)),
            None => None,
        };
        if !self.latency.is_zero() {
            thread::sleep(self.latency);
        }
        Ok(Permit(permit))
    }

    /// Whether reads are limited. Then no worker may read ahead.
    pub(crate) fn is_bounded(&self) -> bool {
        self.permits.is_some()
    }

    /// The file of the permits; `None` if reads are not limited.
    pub(crate) fn file(&self) -> Option<&File> {
        self.permits.as_ref().map(|permits| &permits.file)
    }
}

impl Permits {
    /// Takes any permit and returns its number.
    fn take(&self) -> Result<u32, Errno> {
        for permit in (0..self.number).map(|step| (self.first + step) % self.number) {
            match fcntl(&self.file, FcntlArg::F_OFD_SETLK(&byte(permit, libc::F_WRLCK))) {
                Ok(_) => return Ok(permit),
                Err(Errno::EAGAIN | Errno::EACCES) => {}
                Err(errno) => return Err(errno),
            }
        }
        let _pause = self.heartbeat.pause();
        loop {
            match fcntl(&self.file, FcntlArg::F_OFD_SETLKW(&byte(self.first, libc::F_WRLCK))) {
                Ok(_) => return Ok(self.first),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Some((permits, permit)) = self.0 {
            // If the unlock fails, the permit is released when the worker ends.
            let _ = fcntl(&permits.file, FcntlArg::F_OFD_SETLK(&byte(permit, libc::F_UNLCK)));
        }
    }
}

/// A lock request of that kind for one byte.
fn byte(number: u32, kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: number as libc::off_t,
        l_len: 1,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heartbeat::Heartbeats;
    use crate::split::Key;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::time::Instant;

    #[test]
    fn no_more_are_within_than_there_are_permits() {
        let heartbeats = Heartbeats::new(7).unwrap();
        for permits in [1, 2, 3, 10] {
            let read_limits = ReadLimits::new(Some(permits), Duration::from_micros(200)).unwrap();
            let within = AtomicU32::new(0);
            thread::scope(|scope| {
                for slot in 0..7 {
                    let read_limit = read_limits.read_limit(slot, &heartbeats.heartbeat(slot)).unwrap();
                    let within = &within;
                    scope.spawn(move || {
                        for _ in 0..30 {
                            let permit = read_limit.enter().unwrap();
                            let others = within.fetch_add(1, Ordering::SeqCst);
                            assert!(others < permits, "{others} others, of {permits} permits");
                            thread::sleep(Duration::from_micros(200));
                            within.fetch_sub(1, Ordering::SeqCst);
                            drop(permit);
                        }
                    });
                }
            });
        }
    }

    #[test]
    fn every_permit_can_be_had_at_once_and_the_next_waits() {
        let heartbeats = Heartbeats::new(7).unwrap();
        for permits in 1..7 {
            let read_limits = ReadLimits::new(Some(permits), Duration::ZERO).unwrap();
            let read_limits: Vec<ReadLimit> = (0..7)
                .map(|slot| read_limits.read_limit(slot, &heartbeats.heartbeat(slot)).unwrap())
                .collect();
            let (last, holders) = read_limits.split_last().unwrap();
            let mut held: Vec<Permit<'_>> =
                holders.iter().take(permits as usize).map(|read_limit| read_limit.enter().unwrap()).collect();
            let entered = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    let permit = last.enter().unwrap();
                    entered.store(true, Ordering::SeqCst);
                    drop(permit);
                });
                thread::sleep(Duration::from_millis(20));
                assert!(!entered.load(Ordering::SeqCst), "of {permits} permits");
                held.clear();
            });
            assert!(entered.into_inner());
        }
    }

    #[test]
    fn a_worker_that_waits_has_no_document_at_hand_and_gets_what_a_lost_one_held() {
        let heartbeats = Heartbeats::new(2).unwrap();
        let read_limits = ReadLimits::new(Some(1), Duration::ZERO).unwrap();
        let (held, waiting) = (heartbeats.heartbeat(0), heartbeats.heartbeat(1));
        let holder = read_limits.read_limit(0, &held).unwrap();
        std::mem::forget(holder.enter().unwrap());
        let read_limit = read_limits.read_limit(1, &waiting).unwrap();
        let document = Key { split: 0, ordinal: 7 };
        waiting.begin(document);
        let waiter = thread::spawn(move || read_limit.enter().map(drop));
        let began = Instant::now();
        while heartbeats.position(1).document.is_some() {
            assert!(began.elapsed() < Duration::from_secs(10), "it waits");
            thread::sleep(Duration::from_millis(1));
        }
        assert!(!waiter.is_finished());
        // A holder that dies with its permit leaves a closed description.
        drop(holder);
        waiter.join().unwrap().unwrap();
        assert_eq!(heartbeats.position(1).document, Some(document));
    }

    #[test]
    fn latency_is_waited_for() {
        let read_limit = ReadLimits::new(None, Duration::from_millis(20))
            .unwrap()
            .read_limit(0, &Heartbeats::new(1).unwrap().heartbeat(0));
        let began = Instant::now();
        drop(read_limit.unwrap().enter().unwrap());
        assert!(began.elapsed() >= Duration::from_millis(20));
    }
}
