//! The heartbeats: one cache line for each slot in shared memory. The worker writes its line while it works, and the
//! coordinator reads it at any time.
//!
//! A line survives any death of its worker, and an update costs one store. It contains the document that a worker holds,
//! its progress, and a counter of its steps. It never carries results.

use crate::mapped::{Store, Table};
use crate::split::Key;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Words of a line: 64 bytes, a cache line.
const LINE: usize = 8;
const DOCUMENT: usize = 0;
const STEPS: usize = 1;
const DOCUMENTS_DONE: usize = 2;
const BYTES_DONE: usize = 3;
const DISTRESS: usize = 4;
const BYTES_AT_HAND: usize = 5;

/// The lines of all slots. Clones share them.
#[derive(Clone, Debug)]
pub struct Heartbeats(Table<AtomicU64>);

/// The progress of a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Position {
    /// The worker's current document, if it has one.
    pub document: Option<Key>,
    /// Increases with every step of the worker.
    pub steps: u64,
    /// Documents finished at this slot, in this phase.
    pub(crate) documents_done: u64,
    /// Bytes of those documents, plus the bytes read so far of the current document.
    pub(crate) bytes_done: u64,
    /// The crash that the worker noted during the current document.
    pub crash: Option<Crash>,
}

/// A crash that a worker can note itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crash {
    /// An allocation failed.
    OutOfMemory,
    /// The worker was about to end the process.
    Exit,
    /// The worker raised this signal.
    Signal(i32),
}

impl Crash {
    fn encode(self) -> u64 {
        match self {
            Crash::OutOfMemory => 1,
            Crash::Exit => 2,
            Crash::Signal(signal) => 3 + signal as u64,
        }
    }

    fn decode(word: u64) -> Option<Self> {
        Some(match word {
            0 => return None,
            1 => Crash::OutOfMemory,
            2 => Crash::Exit,
            signal => Crash::Signal((signal - 3) as i32),
        })
    }
}

impl Heartbeats {
    /// Creates the lines of `slots` slots, all zero.
    ///
    /// # Errors
    /// The system's error, if memory or descriptors for the map run out.
    pub fn new(slots: usize) -> io::Result<Self> {
        Table::new(slots * LINE, &Store::unlimited()).map(Heartbeats)
    }

    /// Returns the line of one slot for a worker that starts there, and clears its current document.
    pub fn heartbeat(&self, slot: usize) -> Heartbeat {
        for field in [DOCUMENT, DISTRESS, BYTES_AT_HAND] {
            self.0[slot * LINE + field].store(0, Ordering::Relaxed);
        }
        Heartbeat { table: self.0.clone(), line: slot * LINE }
    }

    /// The progress of the worker at `slot`.
    pub fn position(&self, slot: usize) -> Position {
        let get = |field: usize| self.0[slot * LINE + field].load(Ordering::Relaxed);
        Position {
            document: get(DOCUMENT).checked_sub(1).map(Key::of_number),
            steps: get(STEPS),
            documents_done: get(DOCUMENTS_DONE),
            bytes_done: get(BYTES_DONE) + get(BYTES_AT_HAND),
            crash: Crash::decode(get(DISTRESS)),
        }
    }

    /// Documents and bytes done at all slots.
    pub fn done(&self) -> (u64, u64) {
        (0..self.0.len() / LINE)
            .map(|slot| self.position(slot))
            .fold((0, 0), |(documents, bytes), position| {
                (documents + position.documents_done, bytes + position.bytes_done)
            })
    }

    /// Sets all lines to zero, for a new phase.
    pub fn clear(&self) {
        self.0.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }
}

/// The write access to one line. A line has one writer, so plain loads and stores suffice.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    table: Table<AtomicU64>,
    line: usize,
}

impl Heartbeat {
    fn add(&self, field: usize, amount: u64) {
        let word = &self.table[self.line + field];
        word.store(word.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// Notes that the worker begins a document.
    pub fn begin(&self, document: Key) {
        self.table[self.line + DOCUMENT].store(document.to_number() + 1, Ordering::Relaxed);
        self.table[self.line + DISTRESS].store(0, Ordering::Relaxed);
        self.add(STEPS, 1);
    }

    /// Notes a crash. The first note stays: an abort follows from a failed allocation.
    pub fn note(&self, crash: Crash) {
        let word = &self.table[self.line + DISTRESS];
        // The line has one writer, so no store can come between load and store. A signal handler may be that writer.
        if word.load(Ordering::Relaxed) == 0 {
            word.store(crash.encode(), Ordering::Relaxed);
        }
    }

    /// Notes that the worker waits for other workers. It has no current document until the pause is dropped.
    pub(crate) fn pause(&self) -> Pause<'_> {
        let document = self.table[self.line + DOCUMENT].swap(0, Ordering::Relaxed);
        Pause { heartbeat: self, document }
    }

    /// Notes that the worker has no current document.
    pub(crate) fn leave(&self) {
        self.table[self.line + DOCUMENT].store(0, Ordering::Relaxed);
        self.add(STEPS, 1);
    }

    /// Counts a step.
    pub fn step(&self) {
        self.add(STEPS, 1);
    }

    /// Notes that the worker has read `bytes` bytes of its current document. A document that begins again sets fewer.
    pub(crate) fn reach(&self, bytes: u64) {
        self.table[self.line + BYTES_AT_HAND].store(bytes, Ordering::Relaxed);
        self.add(STEPS, 1);
    }

    /// Notes that `bytes` bytes of a file have no further document.
    pub(crate) fn pass(&self, bytes: u64) {
        self.add(BYTES_DONE, bytes);
    }

    /// Notes that the current document, of `bytes` bytes, is finished.
    pub(crate) fn end(&self, bytes: u64) {
        self.table[self.line + DOCUMENT].store(0, Ordering::Relaxed);
        self.table[self.line + BYTES_AT_HAND].store(0, Ordering::Relaxed);
        self.add(DOCUMENTS_DONE, 1);
        self.add(BYTES_DONE, bytes);
        self.add(STEPS, 1);
    }
}

/// A time in which a worker has no current document. Dropping it restores the document.
#[derive(Debug)]
pub(crate) struct Pause<'a> {
    heartbeat: &'a Heartbeat,
    document: u64,
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.heartbeat.table[self.heartbeat.line + DOCUMENT].store(self.document, Ordering::Relaxed);
        self.heartbeat.add(STEPS, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(ordinal: u32) -> Key {
        Key { split: 3, ordinal }
    }

    #[test]
    fn a_line_a_desk() {
        let heartbeats = Heartbeats::new(2).unwrap();
        let heartbeat = heartbeats.heartbeat(1);
        heartbeat.begin(key(0));
        assert_eq!(heartbeats.position(1).document, Some(key(0)));
        assert_eq!(heartbeats.position(0), Position::default());
        heartbeat.end(100);
        heartbeat.begin(key(5));
        assert_eq!(heartbeats.done(), (1, 100));
        assert_eq!(heartbeats.position(1).steps, 3);
        heartbeat.note(Crash::OutOfMemory);
        heartbeat.note(Crash::Signal(6));
        assert_eq!(heartbeats.position(1).crash, Some(Crash::OutOfMemory));
        heartbeat.begin(key(6));
        assert_eq!(heartbeats.position(1).crash, None, "of the document before");
        heartbeat.note(Crash::Signal(11));
        assert_eq!(heartbeats.position(1).crash, Some(Crash::Signal(11)));
        heartbeats.clear();
        assert_eq!(heartbeats.done(), (0, 0));
    }

    #[test]
    fn bytes_of_the_document_at_hand_count_once() {
        let heartbeats = Heartbeats::new(2).unwrap();
        let heartbeat = heartbeats.heartbeat(0);
        heartbeat.begin(key(0));
        heartbeat.end(5);
        heartbeat.begin(key(1));
        let steps = heartbeats.position(0).steps;
        for (bytes, done) in [(100, 105), (200, 205), (0, 5), (100, 105)] {
            heartbeat.reach(bytes);
            assert_eq!(heartbeats.done(), (1, done));
        }
        assert_eq!(heartbeats.position(0).steps, steps + 4);
        // The worker dies, and another worker takes its document.
        let heartbeat = heartbeats.heartbeat(0);
        assert_eq!(heartbeats.done(), (1, 5));
        heartbeat.begin(key(1));
        heartbeat.reach(100);
        heartbeat.end(300);
        assert_eq!(heartbeats.done(), (2, 305));
    }
}
