//! The threads of a call: one for each consumer of texts, or for tasks of any kind.

use super::{Host, Texts, TextsError};
use crate::failure::Failure;
use crate::key::Key;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The longest time between two calls of [`Host::check`].
const PATIENCE: Duration = Duration::from_millis(50);

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

/// Does tasks `0..tasks` by up to `threads` threads, in any order.
pub(super) fn in_parallel<H: Host>(
    host: &mut H,
    threads: usize,
    tasks: usize,
    act: impl Fn(usize) -> io::Result<()> + Sync,
) -> Result<(), TextsError<H::Error>> {
    if threads == 1 || tasks <= 1 {
        for task in 0..tasks {
            act(task)?;
            host.check().map_err(TextsError::Host)?;
        }
        return Ok(());
    }
    let (next, is_cancelled) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, done) = channel();
    thread::scope(|scope| {
        for _ in 0..threads.min(tasks) {
            let (sender, next, is_cancelled, act) = (sender.clone(), &next, &is_cancelled, &act);
            let work = move || {
                while !is_cancelled.load(Ordering::Relaxed) {
                    let task = next.fetch_add(1, Ordering::Relaxed);
                    if task >= tasks || sender.send(act(task)).is_err() {
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
                Ok(Ok(())) => {}
                Ok(Err(error)) => return cancelled(TextsError::System(error)),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    if let Err(error) = host.check() {
                        return cancelled(TextsError::Host(error));
                    }
                }
            }
        }
    })
}
