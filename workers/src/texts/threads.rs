//! The threads of a call: one for each consumer of texts, or for tasks of any kind.

use super::{Host, Texts, TextsError};
use crate::failure::Failure;
use crate::key::Key;
use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The longest time between two calls of [`Host::check`].
const PATIENCE: Duration = Duration::from_millis(50);

/// Steps of [`Watch::step`] between two looks at the clock.
const STEPS: u32 = 1024;

/// Asks the host each [`PATIENCE`] of a long loop whether to go on.
pub(super) struct Watch<'h, H> {
    host: &'h mut H,
    asked: Instant,
    steps: u32,
}

impl<'h, H: Host> Watch<'h, H> {
    pub(super) fn new(host: &'h mut H) -> Self {
        Watch { host, asked: Instant::now(), steps: 0 }
    }

    /// Asks the host if it is time to. Looks at the clock.
    pub(super) fn check(&mut self) -> Result<(), TextsError<H::Error>> {
        if self.asked.elapsed() >= PATIENCE {
            self.host.check().map_err(TextsError::Host)?;
            self.asked = Instant::now();
        }
        Ok(())
    }

    /// The same, for loops whose steps take less than a microsecond.
    #[inline]
    pub(super) fn step(&mut self) -> Result<(), TextsError<H::Error>> {
        self.steps = (self.steps + 1) % STEPS;
        if self.steps == 0 { self.check() } else { Ok(()) }
    }
}

/// Bytes of a batch that is counted by the calling thread, if it is the only one: starting threads takes longer.
const SMALL: usize = 32 << 10;

/// Batches that wait for each thread.
const WAITING: usize = 2;

/// What a thread does with texts.
pub(super) trait Consumer: Send {
    /// Consumes a text.
    fn consume(&mut self, key: Key, text: &mut Vec<u8>) -> Result<(), Failure>;
}

/// Has the texts of `host` consumed by these consumers, one for each thread. The batches are numbered from `first` on. Returns
/// the number of texts of each batch.
pub(super) fn consume<H: Host, C: Consumer>(
    host: &mut H,
    first: u32,
    consumers: &mut [C],
) -> Result<Vec<u32>, TextsError<H::Error>> {
    let mut sizes = Vec::new();
    let (mut batch, mut is_last) = host.next().map_err(TextsError::Host)?;
    let bytes = |batch: &H::Batch| (0..batch.len()).map(|index| batch.text(index).len()).sum::<usize>();
    if is_last && (consumers.len() == 1 || bytes(&batch) < SMALL) {
        sizes.push(batch.len() as u32);
        let failed = consume_batch(&batch, first, &mut consumers[0], &mut Vec::new(), || false);
        return match failed {
            None => Ok(sizes),
            Some((index, failure)) => Err(TextsError::Text { index: index as u64, failure }),
        };
    }
    let (sender, batches) = channel::<(u32, H::Batch)>();
    let (giver, done) = channel::<(H::Batch, Option<(u32, usize, Failure)>)>();
    let batches = Mutex::new(batches);
    // The first batch with a failed text. No later one needs to be counted.
    let failed_in = AtomicU32::new(u32::MAX);
    let mut failed: Option<(u32, usize, Failure)> = None;
    let mut note = |this: Option<(u32, usize, Failure)>| {
        failed = [failed, this].into_iter().flatten().min_by_key(|&(batch, text, _)| (batch, text));
        failed.is_some()
    };
    thread::scope(|scope| {
        let sender = sender;
        let most = consumers.len() * WAITING;
        for consumer in consumers {
            let (giver, batches, failed_in) = (giver.clone(), &batches, &failed_in);
            let work = move || {
                let mut text = Vec::new();
                loop {
                    let next = lock(batches).recv();
                    let Ok((number, batch)) = next else { return };
                    let is_futile = || failed_in.load(Ordering::Relaxed) < number;
                    let failed = consume_batch(&batch, number, consumer, &mut text, is_futile);
                    if failed.is_some() {
                        failed_in.fetch_min(number, Ordering::Relaxed);
                    }
                    let failed = failed.map(|(index, failure)| (number, index, failure));
                    // The calling thread drops the batch.
                    if giver.send((batch, failed)).is_err() {
                        return;
                    }
                }
            };
            thread::Builder::new().name("bowline".to_owned()).spawn_scoped(scope, work)?;
        }
        let ended = |error| {
            failed_in.store(0, Ordering::Relaxed);
            Err(TextsError::Host(error))
        };
        let gone = || TextsError::System(io::ErrorKind::BrokenPipe.into());
        let (mut in_flight, mut has_failed) = (0, false);
        loop {
            let number = first + sizes.len() as u32;
            sizes.push(batch.len() as u32);
            sender.send((number, batch)).map_err(|_| gone())?;
            in_flight += 1;
            while in_flight >= if is_last { 1 } else { most } {
                match done.recv_timeout(PATIENCE) {
                    Ok((_, this)) => {
                        in_flight -= 1;
                        has_failed = note(this);
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return Err(gone()),
                }
                if let Err(error) = host.check() {
                    return ended(error);
                }
            }
            if is_last || has_failed {
                break;
            }
            (batch, is_last) = match host.next() {
                Ok(next) => next,
                Err(error) => return ended(error),
            };
        }
        drop(sender);
        // Those before the failed one may have failed, too.
        while in_flight > 0 {
            let Ok((_, this)) = done.recv() else { break };
            in_flight -= 1;
            note(this);
        }
        Ok(())
    })?;
    match failed {
        None => Ok(sizes),
        Some((batch, index, failure)) => {
            let before: u64 = sizes[..(batch - first) as usize].iter().map(|&size| u64::from(size)).sum();
            Err(TextsError::Text { index: before + index as u64, failure })
        }
    }
}

/// Has the texts of a batch consumed. Returns the first that failed.
fn consume_batch(
    batch: &impl Texts,
    number: u32,
    consumer: &mut impl Consumer,
    text: &mut Vec<u8>,
    is_futile: impl Fn() -> bool,
) -> Option<(usize, Failure)> {
    for index in 0..batch.len() {
        if is_futile() {
            return None;
        }
        text.clear();
        text.extend_from_slice(batch.text(index));
        let key = Key { split: number, ordinal: index as u32 };
        let consumed = catch_unwind(AssertUnwindSafe(|| consumer.consume(key, text)));
        if let Err(failure) = consumed.unwrap_or(Err(Failure::Panicked)) {
            return Some((index, failure));
        }
    }
    None
}

/// A lock whose holder has panicked guards a value that is still whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does tasks `0..tasks` by up to `threads` threads, in any order. A task that takes longer than [`PATIENCE`] must ask its second
/// argument now and then: if that returns true, the call has ended, and the task returns without a result.
pub(super) fn in_parallel<H: Host>(
    host: &mut H,
    threads: usize,
    tasks: usize,
    act: impl Fn(usize, &dyn Fn() -> bool) -> io::Result<()> + Sync,
) -> Result<(), TextsError<H::Error>> {
    let mut watch = Watch::new(host);
    if threads == 1 || tasks <= 1 {
        let checked = RefCell::new((watch, Ok(())));
        let has_ended = || {
            let (watch, result) = &mut *checked.borrow_mut();
            if result.is_ok() {
                *result = watch.check();
            }
            result.is_err()
        };
        for task in 0..tasks {
            act(task, &has_ended)?;
            if has_ended() {
                break;
            }
        }
        return checked.into_inner().1;
    }
    let (next, is_cancelled) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, done) = channel();
    thread::scope(|scope| {
        for _ in 0..threads.min(tasks) {
            let (sender, next, is_cancelled, act) = (sender.clone(), &next, &is_cancelled, &act);
            let work = move || {
                while !is_cancelled.load(Ordering::Relaxed) {
                    let task = next.fetch_add(1, Ordering::Relaxed);
                    let has_ended = || is_cancelled.load(Ordering::Relaxed);
                    if task >= tasks || sender.send(act(task, &has_ended)).is_err() {
                        return;
                    }
                }
            };
            thread::Builder::new().name("bowline".to_owned()).spawn_scoped(scope, work)?;
        }
        drop(sender);
        let cancelled = |error| {
            is_cancelled.store(true, Ordering::Relaxed);
            Err(error)
        };
        loop {
            match done.recv_timeout(PATIENCE) {
                Ok(Ok(())) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Err(error)) => return cancelled(TextsError::System(error)),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            // Short tasks end so often that the wait has no time-out.
            if let Err(error) = watch.check() {
                return cancelled(error);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host that ends each call when it is asked.
    struct Ends;

    impl Host for Ends {
        type Error = ();
        type Batch = Vec<String>;
        fn next(&mut self) -> Result<(Vec<String>, bool), ()> {
            Ok((Vec::new(), true))
        }
        fn check(&mut self) -> Result<(), ()> {
            Err(())
        }
    }

    /// Much longer than the host takes to end a call.
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn short_tasks_do_not_keep_the_host_from_ending_a_call() {
        for threads in [1, 3] {
            let tasks = LONG.as_millis() as usize * threads;
            let ended = in_parallel(&mut Ends, threads, tasks, |_, _| {
                thread::sleep(Duration::from_millis(1));
                Ok(())
            });
            assert!(matches!(ended, Err(TextsError::Host(()))), "{threads} threads: {ended:?}");
        }
    }

    #[test]
    fn a_long_task_can_see_that_the_call_has_ended() {
        for (threads, tasks) in [(1, 2), (2, 1), (2, 2)] {
            let start = Instant::now();
            let ended = in_parallel(&mut Ends, threads, tasks, |_, has_ended| {
                while !has_ended() && start.elapsed() < LONG {
                    thread::yield_now();
                }
                Ok(())
            });
            assert!(matches!(ended, Err(TextsError::Host(()))), "{threads} threads: {ended:?}");
            assert!(start.elapsed() < LONG, "{threads} threads, {tasks} tasks");
        }
    }

    #[test]
    fn a_long_loop_asks_the_host() {
        let (mut host, start) = (Ends, Instant::now());
        let mut watch = Watch::new(&mut host);
        while watch.step().is_ok() {
            assert!(start.elapsed() < LONG);
        }
    }
}
