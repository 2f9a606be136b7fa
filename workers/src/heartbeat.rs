//! The flight heartbeats: one cache line a worker in shared memory, written by the worker while it works and read by
//! the coordinator at any time.
//!
//! It survives any death, costs a store, and says which document a dead worker held, how far the run is, and
//! whether a worker still moves. It carries no results.

use crate::mapped::{Store, Table};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Words a worker: a cache line.
const LINE: usize = 8;
const DOCUMENT: usize = 0;
const STEPS: usize = 1;
const DOCUMENTS_DONE: usize = 2;
const BYTES_DONE: usize = 3;
const DISTRESS: usize = 4;
const BYTES_AT_HAND: usize = 5;

/// The lines of all slots.
#[derive(Clone, Debug)]
pub struct Heartbeats(Table<AtomicU64>);

/// How far a worker is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Position {
    /// The row of the document at hand, if there is one.
    pub document: Option<u64>,
    /// Goes up with everything that the worker does.
    pub steps: u64,
    /// Documents finished at this slot, in this phase.
    pub(crate) documents_done: u64,
    /// Bytes of them, and of the document at hand so far.
    pub(crate) bytes_done: u64,
    /// What has happened to it with this document at hand.
    pub crash: Option<Crash>,
}

/// What a worker can say of its own end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crash {
    /// It asked for memory and did not get it.
    OutOfMemory,
    /// It was about to end the process.
    Exit,
    /// It has raised this signal.
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
    /// A heartbeats for `slots` workers at a time.
    ///
    /// # Errors
    /// The system's, if there is no memory or no descriptor for the map.
    pub fn new(slots: usize) -> io::Result<Self> {
        Table::new(slots * LINE, &Store::unlimited()).map(Heartbeats)
    }

    /// The line of one slot, for the worker that begins there: it holds no document yet.
    pub fn heartbeat(&self, slot: usize) -> Heartbeat {
        for field in [DOCUMENT, DISTRESS, BYTES_AT_HAND] {
            self.0[slot * LINE + field].store(0, Ordering::Relaxed);
        }
        Heartbeat { table: self.0.clone(), line: slot * LINE }
    }

    /// Where the worker at `slot` is.
    pub fn position(&self, slot: usize) -> Position {
        let get = |field: usize| self.0[slot * LINE + field].load(Ordering::Relaxed);
        Position {
            document: get(DOCUMENT).checked_sub(1),
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

/// What a worker writes its line with. The only writer of that line, so plain loads and stores will do.
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

    /// The worker takes up document `row`.
    pub fn begin(&self, row: u64) {
        self.table[self.line + DOCUMENT].store(row + 1, Ordering::Relaxed);
        self.table[self.line + DISTRESS].store(0, Ordering::Relaxed);
        self.add(STEPS, 1);
    }

    /// Something has happened to the worker. The first word counts: an abort follows from a failed allocation.
    pub fn note(&self, crash: Crash) {
        let word = &self.table[self.line + DISTRESS];
        // One writer, so nothing comes between; a handler of a signal may be that writer.
        if word.load(Ordering::Relaxed) == 0 {
            word.store(crash.encode(), Ordering::Relaxed);
        }
    }

    /// The worker waits for others, with no document at hand until the pause is dropped.
    pub(crate) fn pause(&self) -> Pause<'_> {
        let document = self.table[self.line + DOCUMENT].swap(0, Ordering::Relaxed);
        Pause { heartbeat: self, document }
    }

    /// The worker moves.
    pub fn step(&self) {
        self.add(STEPS, 1);
    }

    /// The worker has done so many bytes of its document; fewer than before, if it began anew.
    pub(crate) fn reach(&self, bytes: u64) {
        self.table[self.line + BYTES_AT_HAND].store(bytes, Ordering::Relaxed);
        self.add(STEPS, 1);
    }

    /// The worker is done with it, and with that many bytes.
    pub(crate) fn end(&self, bytes: u64) {
        self.table[self.line + DOCUMENT].store(0, Ordering::Relaxed);
        self.table[self.line + BYTES_AT_HAND].store(0, Ordering::Relaxed);
        self.add(DOCUMENTS_DONE, 1);
        self.add(BYTES_DONE, bytes);
        self.add(STEPS, 1);
    }
}

/// A time in which a worker has no document at hand.
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

    #[test]
    fn a_line_a_desk() {
        let heartbeats = Heartbeats::new(2).unwrap();
        let heartbeat = heartbeats.heartbeat(1);
        heartbeat.begin(0);
        assert_eq!(heartbeats.position(1).document, Some(0));
        assert_eq!(heartbeats.position(0), Position::default());
        heartbeat.end(100);
        heartbeat.begin(5);
        assert_eq!(heartbeats.done(), (1, 100));
        assert_eq!(heartbeats.position(1).steps, 3);
        heartbeat.note(Crash::OutOfMemory);
        heartbeat.note(Crash::Signal(6));
        assert_eq!(heartbeats.position(1).crash, Some(Crash::OutOfMemory));
        heartbeat.begin(6);
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
        heartbeat.begin(0);
        heartbeat.end(5);
        heartbeat.begin(1);
        let steps = heartbeats.position(0).steps;
        for (bytes, done) in [(100, 105), (200, 205), (0, 5), (100, 105)] {
            heartbeat.reach(bytes);
            assert_eq!(heartbeats.done(), (1, done));
        }
        assert_eq!(heartbeats.position(0).steps, steps + 4);
        // The worker dies, and its document is done elsewhere.
        let heartbeat = heartbeats.heartbeat(0);
        assert_eq!(heartbeats.done(), (1, 5));
        heartbeat.begin(1);
        heartbeat.reach(100);
        heartbeat.end(300);
        assert_eq!(heartbeats.done(), (2, 305));
    }
}
