//! Memory that several processes share: an append-only log, tables of atomic numbers, and rows of an output file.
//!
//! Owns the maps and the reasons why they are sound; the other files use them without `unsafe`. Three rules keep
//! them so. A log has one writer, which never touches a byte below the mark that it has published. A table's
//! elements are atomics. An output file's rows are mapped by the one worker that fills them. Nothing here blocks.

#![expect(unsafe_code, reason = "shared maps: raw memory, given out by the three rules above")]

use memmap2::{Advice, Mmap, MmapMut, MmapOptions, MmapRaw};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// A shared map of zeroes, inherited by forked children. Sparse: a page takes memory once it is written.
#[derive(Debug)]
struct Region(MmapRaw);

impl Region {
    fn new(bytes: usize) -> io::Result<Self> {
        let file = File::from(memfd_create(c"bowline", MFdFlags::MFD_CLOEXEC)?);
        file.set_len(bytes.max(1) as u64)?;
        Ok(Region(MmapOptions::new().len(bytes.max(1)).map_raw(&file)?))
    }

    /// Asks for the pages of a range in one go, which is cheaper than one by one as they are touched. A hint: without
    /// it, and where the kernel is older than 5.14, they come when they are touched.
    fn populate(&self, start: usize, bytes: usize) {
        let bytes = bytes.min(self.0.len().saturating_sub(start));
        let _ = self.0.advise_range(Advice::PopulateWrite, start, bytes);
    }

    /// The map as a slice of atomics.
    fn atomics<A: Atomic>(&self, length: usize) -> &[A] {
        assert!(length <= self.0.len() / size_of::<A>(), "a table is within its map");
        // SAFETY: the map is page-aligned, long enough (checked), zeroed at first, and lives as long as `self`.
        // Atomics may be shared and written by anyone at any time.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast::<A>(), length) }
    }
}

/// The types a [`Table`] may hold: atomics without padding, for which all zeroes are a value.
pub trait Atomic: sealed::Sealed + Sync {}
impl Atomic for AtomicU32 {}
impl Atomic for AtomicU64 {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::AtomicU32 {}
    impl Sealed for super::AtomicU64 {}
}

/// A fixed number of atomics in shared memory, zero at first. Clones share it.
#[derive(Debug)]
pub struct Table<A> {
    region: Arc<Region>,
    length: usize,
    element: PhantomData<A>,
}

impl<A> Clone for Table<A> {
    fn clone(&self) -> Self {
        Table { region: self.region.clone(), length: self.length, element: PhantomData }
    }
}

impl<A: Atomic> Table<A> {
    /// A table of `length` zeroes.
    ///
    /// # Errors
    /// The system's, if there is no memory or no descriptor for the map.
    pub fn new(length: usize) -> io::Result<Self> {
        let bytes = length.checked_mul(size_of::<A>()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Table { region: Arc::new(Region::new(bytes)?), length, element: PhantomData })
    }

    /// Says that the first `length` elements are about to be written.
    pub fn expect(&self, length: usize) {
        self.region.populate(0, length.min(self.length) * size_of::<A>());
    }
}

impl<A: Atomic> Deref for Table<A> {
    type Target = [A];

    fn deref(&self) -> &[A] {
        self.region.atomics(self.length)
    }
}

/// Bytes before a log's first one: the mark lies there, on a cache line of its own.
const LOG_HEAD: usize = 64;

/// An append-only log of bytes in shared memory, with one writer and any number of readers.
#[derive(Debug)]
pub struct Log {
    region: Region,
    capacity: usize,
    has_writer: AtomicBool,
}

impl Log {
    /// An empty log that takes up to `capacity` bytes.
    ///
    /// # Errors
    /// The system's, if there is no address space or no descriptor for the map.
    pub fn new(capacity: usize) -> io::Result<Self> {
        Ok(Log { region: Region::new(LOG_HEAD + capacity)?, capacity, has_writer: AtomicBool::new(false) })
    }

    /// The log's writer: given out once.
    pub fn writer(self: &Arc<Self>) -> Option<LogWriter> {
        let taken = self.has_writer.swap(true, Ordering::Relaxed);
        (!taken).then(|| LogWriter { log: self.clone(), end: 0, populated: 0 })
    }

    fn mark(&self) -> &AtomicU64 {
        &self.region.atomics(1)[0]
    }

    /// What was committed. The writer may go on appending behind it.
    pub fn committed(&self) -> &[u8] {
        let length = (self.mark().load(Ordering::Acquire) as usize).min(self.capacity);
        // SAFETY: the range is within the map. The only writer has published the mark after it wrote these bytes,
        // and never writes below it again: they are constant from now on.
        unsafe { std::slice::from_raw_parts(self.region.0.as_ptr().add(LOG_HEAD), length) }
    }
}

/// Bytes of pages that a log's writer asks for in one go.
const POPULATED: usize = 256 << 10;

/// The one that may append to a [`Log`].
#[derive(Debug)]
pub struct LogWriter {
    log: Arc<Log>,
    end: usize,
    /// Up to where pages were asked for.
    populated: usize,
}

impl LogWriter {
    /// Bytes that were appended so far.
    pub fn len(&self) -> usize {
        self.end
    }

    /// Whether nothing was appended yet.
    pub fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Bytes that still fit.
    pub fn room(&self) -> usize {
        self.log.capacity - self.end
    }

    /// Appends `bytes`, which readers don't see before [`LogWriter::commit`].
    ///
    /// # Panics
    /// If they don't fit: the caller asks [`LogWriter::room`] first.
    pub fn append(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.room(), "a record is within its segment");
        if self.end + bytes.len() > self.populated {
            let ahead = POPULATED.max(bytes.len());
            self.log.region.populate(self.populated, ahead);
            self.populated += ahead;
        }
        // SAFETY: the range is within the map (checked) and above the mark, where this writer, the only one, is
        // also the only one to look.
        unsafe {
            let end = self.log.region.0.as_mut_ptr().add(LOG_HEAD + self.end);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), end, bytes.len());
        }
        self.end += bytes.len();
    }

    /// Makes all that was appended visible to readers, at once.
    pub fn commit(&mut self) {
        self.log.mark().store(self.end as u64, Ordering::Release);
    }
}

/// Maps `bytes` bytes of `file` from `offset` on, to be written by the caller alone.
///
/// # Errors
/// The system's, for example if the file is shorter.
pub fn output_rows(file: &File, offset: u64, bytes: usize) -> io::Result<MmapMut> {
    // SAFETY: the file is the run's own, not yet under its final name, and each range of rows belongs to one task;
    // its space is reserved, so that no write beyond the disk's end can raise a signal.
    unsafe { MmapOptions::new().offset(offset).len(bytes).map_mut(file) }
}

/// Maps a file that is only read.
///
/// # Errors
/// The system's.
pub fn input(file: &File) -> io::Result<Mmap> {
    // SAFETY: an output is renamed into place once it is whole and never written again by this program. Somebody
    // else who shortens it meanwhile ends a command that only shows it, and spoils no result.
    unsafe { Mmap::map(file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_shows_what_was_committed() {
        let log = Arc::new(Log::new(100).unwrap());
        let mut writer = log.writer().expect("the first writer");
        assert!(log.writer().is_none(), "there is one writer");
        writer.append(b"one");
        assert_eq!(log.committed(), b"");
        writer.commit();
        writer.append(b"two");
        assert_eq!(log.committed(), b"one");
        writer.commit();
        assert_eq!(log.committed(), b"onetwo");
        assert_eq!(writer.room(), 94);
    }

    #[test]
    fn a_mark_beyond_the_end_shows_no_more_than_there_is() {
        let log = Log::new(10).unwrap();
        log.mark().store(u64::MAX, Ordering::Release);
        assert_eq!(log.committed().len(), 10);
    }

    #[test]
    fn clones_of_a_table_share_it() {
        let table: Table<AtomicU32> = Table::new(5).unwrap();
        table.clone()[3].store(7, Ordering::Relaxed);
        assert_eq!(table.iter().map(|n| n.load(Ordering::Relaxed)).collect::<Vec<_>>(), [0, 0, 0, 7, 0]);
        assert!(Table::<AtomicU64>::new(0).unwrap().is_empty());
    }
}
