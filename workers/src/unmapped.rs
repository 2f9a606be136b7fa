//! Logs and tables of a build without the feature `processes`: those of the module `mapped`, in this process's own memory alone.
//!
//! Nothing here makes a call of the system. Hints about files and shared maps do nothing.

use crate::private_log::{CAPACITY, PrivateLog, PrivateWriter};
use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Gives out private logs and tables.
#[derive(Clone, Debug)]
pub struct Store(());

impl Store {
    /// A store of ordinary allocations.
    pub fn private() -> Self {
        Store(())
    }
}

/// The element types of a [`Table`].
pub trait Atomic: Sync + Default {}
impl Atomic for AtomicU32 {}
impl Atomic for AtomicU64 {}

/// A fixed number of atomics, zero at first. Clones share it.
#[derive(Debug)]
pub struct Table<A>(Arc<[A]>);

impl<A> Clone for Table<A> {
    fn clone(&self) -> Self {
        Table(self.0.clone())
    }
}

impl<A: Atomic> Table<A> {
    /// Creates a table of `length` zeroes.
    ///
    /// # Errors
    /// None.
    pub fn new(length: usize, _store: &Store) -> io::Result<Self> {
        Ok(Table((0..length).map(|_| A::default()).collect()))
    }

    #[inline]
    pub(crate) fn pass(&self, _element: usize, _passage: &mut Passage) {}

    pub(crate) fn read_by_passages(&self) {}

    pub(crate) fn give_back(&self) {}

    pub(crate) fn expect(&self, _length: usize) {}
}

impl<A> Deref for Table<A> {
    type Target = [A];

    #[inline]
    fn deref(&self) -> &[A] {
        &self.0
    }
}

/// The place of a reader that goes through a log or a table in order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Passage(());

impl Passage {
    pub(crate) fn over_records() -> Self {
        Passage(())
    }
}

/// An append-only log of bytes, with one writer and any number of readers.
#[derive(Debug, Default)]
pub(crate) struct Log {
    bytes: PrivateLog,
    has_writer: AtomicBool,
}

impl Log {
    pub(crate) fn new(_capacity: usize, _store: &Store) -> io::Result<Self> {
        Ok(Log::default())
    }

    /// Creates an empty log and returns its writer.
    pub(crate) fn growing(_wanted: usize, _store: &Store) -> io::Result<LogWriter> {
        let log = Arc::new(Log { has_writer: true.into(), ..Log::default() });
        Ok(LogWriter { writer: log.bytes.writer(), log, length: 0 })
    }

    /// The log's writer. Only the first call returns it.
    pub(crate) fn writer(self: &Arc<Self>) -> Option<LogWriter> {
        let is_taken = self.has_writer.swap(true, Ordering::Relaxed);
        (!is_taken).then(|| LogWriter { writer: self.bytes.writer(), log: self.clone(), length: 0 })
    }

    /// The committed bytes: none as long as there is a writer.
    pub(crate) fn committed(&self) -> &[u8] {
        self.bytes.committed()
    }

    /// Bytes of the log that lie on the disk.
    pub(crate) fn on_disk(&self) -> usize {
        0
    }

    #[inline]
    pub(crate) fn pass(&self, _at: usize, _passage: &mut Passage) {}

    pub(crate) fn read_by_passages(&self) {}

    pub(crate) fn give_back(&self) {}

    pub(crate) fn expect(&self) {}
}

/// The writer of a [`Log`].
#[derive(Debug)]
pub(crate) struct LogWriter {
    log: Arc<Log>,
    writer: PrivateWriter,
    length: usize,
}

impl LogWriter {
    /// The log that this writer appends to.
    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Bytes appended so far.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Bytes that still fit.
    pub(crate) fn room(&self) -> usize {
        CAPACITY - self.length
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.append(bytes);
        self.length += bytes.len();
        Ok(())
    }

    pub(crate) fn commit(&mut self) -> io::Result<()> {
        self.writer.commit();
        Ok(())
    }
}
