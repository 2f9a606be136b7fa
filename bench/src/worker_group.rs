//! Workers that run one small task at the same time, as threads or as forked processes. They are timed from their
//! common start to the end of the last worker, to measure objects in shared memory.
//!
//! The calling process has one thread when it forks. Its worker threads have ended when the measurement returns.

#![expect(unsafe_code, reason = "fork, and the end of a forked child")]

use anyhow::{Context as _, Result, bail, ensure};
use bowline_workers::mapped::{Store, Table};
use nix::libc;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use procfs::process::Process;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The kind of the workers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Threads of this process.
    Threads,
    /// Processes forked from this one.
    Processes,
}

/// Both kinds, in the order of the tables.
pub const KINDS: [Kind; 2] = [Kind::Threads, Kind::Processes];

impl Kind {
    /// The value of `--mode`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Threads => "threads",
            Kind::Processes => "processes",
        }
    }
}

/// The time limit of a group; a group that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs `work` in `workers` workers, each with its number. Returns the seconds from their common start to the end of
/// the last worker.
///
/// # Errors
/// If the system can't start a thread or process, if a worker fails, or if a process hangs.
pub fn run(kind: Kind, workers: usize, work: &(dyn Fn(usize) + Sync)) -> Result<f64> {
    let start = Start::new(workers)?;
    match kind {
        Kind::Threads => thread::scope(|scope| {
            let start = &start;
            let (mut threads, mut refused) = (Vec::with_capacity(workers), None);
            for number in 0..workers {
                match thread::Builder::new().spawn_scoped(scope, move || start.timed(number, work)) {
                    Ok(thread) => threads.push(thread),
                    Err(error) => refused = Some(error),
                }
            }
            match refused {
                None => start.go_together(),
                // The workers that have started must not wait for the others.
                Some(_) => start.say(HOME),
            }
            // Each thread is joined: a scope may end a moment before its threads are gone, and the next step may fork.
            let joined: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
            ensure!(joined.iter().all(Result::is_ok), "a thread of a measurement panicked");
            refused.map_or(Ok(()), |error| Err(error).context("starting a thread"))
        })?,
        Kind::Processes => {
            let mut children = Children(Vec::with_capacity(workers));
            for number in 0..workers {
                children.0.push(start_process(|| start.timed(number, work))?);
            }
            start.go_together();
            let began = Instant::now();
            children.wait(began + LIMIT)?;
        }
    }
    Ok(start.seconds())
}

/// Starts a process that runs `work` and ends.
///
/// # Errors
/// If the system can't start a process.
pub fn start_process(work: impl FnOnce()) -> Result<Pid> {
    let threads = Process::myself().and_then(|own| own.stat()).context("counting threads")?.num_threads;
    ensure!(threads == 1, "a process of {threads} threads does not fork");
    // SAFETY: this process has one thread (checked), so the child's memory is consistent.
    match unsafe { fork() }.context("starting a process")? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            // If this fails, the child can outlive its parent, but only until its work is done.
            let _ = set_pdeathsig(Signal::SIGKILL);
            let code = catch_unwind(AssertUnwindSafe(work)).map_or(101, |()| 0);
            // SAFETY: ends the child at once, without running destructors of the parent's objects.
            unsafe { libc::_exit(code) }
        }
    }
}

/// Whether a process that was started here ends by itself within `patience`. It is killed otherwise.
///
/// # Errors
/// If it can't be waited for.
pub fn ends_within(process: Pid, patience: Duration) -> Result<bool> {
    Ok(Children(vec![process]).wait(Instant::now() + patience).is_ok())
}

/// Processes that are killed when dropped.
struct Children(Vec<Pid>);

impl Children {
    fn wait(&mut self, deadline: Instant) -> Result<()> {
        while let Some(&child) = self.0.last() {
            match waitpid(child, Some(WaitPidFlag::WNOHANG)).context("waiting for a process")? {
                WaitStatus::StillAlive if Instant::now() > deadline => {
                    bail!("a process of a measurement is stuck")
                }
                WaitStatus::StillAlive => thread::sleep(Duration::from_micros(500)),
                WaitStatus::Exited(_, 0) => drop(self.0.pop()),
                status => {
                    self.0.pop();
                    bail!("a process of a measurement failed: {status:?}");
                }
            }
        }
        Ok(())
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for &child in &self.0 {
            let _ = kill(child, Signal::SIGKILL);
            let _ = waitpid(child, None);
        }
    }
}

/// The common start and each worker's own times, in shared memory.
struct Start {
    /// The number of waiting workers and the start signal, then begin and end of each worker in nanoseconds since
    /// `epoch`.
    words: Table<AtomicU64>,
    workers: usize,
    epoch: Instant,
}

const READY: usize = 0;
const GO: usize = 1;
const TIMES: usize = 2;

/// The start signals: work, or exit without work.
const WORK: u64 = 1;
const HOME: u64 = 2;

impl Start {
    fn new(workers: usize) -> Result<Self> {
        let words = Table::new(TIMES + 2 * workers, &Store::unlimited()).context("mapping shared memory")?;
        Ok(Start { words, workers, epoch: Instant::now() })
    }

    /// Waits for the start, runs the work, and records the times.
    fn timed(&self, number: usize, work: &(dyn Fn(usize) + Sync)) {
        self.words[READY].fetch_add(1, Ordering::AcqRel);
        while self.words[GO].load(Ordering::Acquire) == 0 {
            thread::yield_now();
        }
        if self.words[GO].load(Ordering::Acquire) == HOME {
            return;
        }
        let now = || self.epoch.elapsed().as_nanos() as u64;
        let began = now();
        work(number);
        let ended = now();
        self.words[TIMES + 2 * number].store(began, Ordering::Release);
        self.words[TIMES + 2 * number + 1].store(ended, Ordering::Release);
    }

    fn say(&self, word: u64) {
        self.words[GO].store(word, Ordering::Release);
    }

    /// Gives the start signal when all workers wait.
    fn go_together(&self) {
        let began = Instant::now();
        while self.words[READY].load(Ordering::Acquire) < self.workers as u64 && began.elapsed() < LIMIT {
            thread::sleep(Duration::from_micros(100));
        }
        self.say(WORK);
    }

    fn seconds(&self) -> f64 {
        let times = |offset: usize| {
            (0..self.workers).map(move |n| self.words[TIMES + 2 * n + offset].load(Ordering::Acquire))
        };
        let (first, last) = (times(0).min().unwrap_or(0), times(1).max().unwrap_or(0));
        last.saturating_sub(first) as f64 * 1e-9
    }
}
