//! The budget of maps: memory as long as it lasts, and scratch files beyond it.
//!
//! Owns the bytes that are left of memory and of address space, and the losses of its maps. How a map is made is the
//! matter of `map`.

use super::disk::shortage;
use super::log::FILE_CAPACITY;
use super::map::{Losses, Map, Region, kind, reserve};
use memmap2::{MmapOptions, MmapRaw};
use nix::errno::Errno;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Creates maps: in memory up to a budget, and beyond it in unnamed files of a scratch directory. Clones share the
/// budget. Only the coordinator creates maps.
#[derive(Clone, Debug)]
pub struct Store(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    /// Bytes of memory that are still free.
    memory: AtomicU64,
    /// Bytes of address space still free for logs in files; `u64::MAX` where there is no limit.
    addresses: AtomicU64,
    scratch: Option<PathBuf>,
    /// Total bytes of disk that maps have taken.
    on_disk: AtomicU64,
    /// A word that all processes share: the kinds of the lost maps.
    losses: OnceLock<Losses>,
    /// Whether tables and logs are ordinary allocations.
    is_private: bool,
}

impl Store {
    /// A store whose maps take up to `memory` bytes of memory, and scratch files in `scratch` beyond that.
    pub fn new(memory: u64, scratch: Option<PathBuf>) -> Self {
        Store::bounded(memory, scratch, u64::MAX)
    }

    /// As [`Store::new`], with logs in files limited to `addresses` bytes of this process's address space (`ulimit -v`).
    pub fn bounded(memory: u64, scratch: Option<PathBuf>, addresses: u64) -> Self {
        Store::made(memory, scratch, addresses, false)
    }

    /// A store of ordinary allocations: no other process sees them, and nothing limits them.
    pub fn private() -> Self {
        Store::made(u64::MAX, None, u64::MAX, true)
    }

    fn made(memory: u64, scratch: Option<PathBuf>, addresses: u64, is_private: bool) -> Self {
        let [memory, addresses, on_disk] = [memory, addresses, 0].map(AtomicU64::new);
        let losses = OnceLock::new();
        Store(Arc::new(Budget { memory, addresses, scratch, on_disk, losses, is_private }))
    }

    /// Whether tables and logs are ordinary allocations.
    pub(super) fn is_private(&self) -> bool {
        self.0.is_private
    }

    /// Returns an error if a map of this store was lost. Then no value that was read from its maps may be used.
    ///
    /// # Errors
    /// The loss of a map, with the likely cause.
    pub fn check(&self) -> io::Result<()> {
        let losses = match self.0.losses.get() {
            Some(_) => self.losses()?.load(Ordering::Relaxed),
            None => 0,
        };
        let scratch = self.0.scratch.as_deref().unwrap_or(Path::new("")).display();
        let (text, errno) = match losses {
            0 => return Ok(()),
            losses if losses & kind::TABLE != 0 => {
                (format!("a table in {scratch} was lost, since the disk is full or fails"), Errno::ENOSPC)
            }
            losses if losses & kind::LOG != 0 => (format!("rows in {scratch} can't be read"), Errno::EIO),
            _ => ("the system commits no more memory for maps".to_owned(), Errno::ENOMEM),
        };
        let error = io::Error::from(errno);
        Err(io::Error::new(error.kind(), format!("{text}: {error}")))
    }

    /// The word of losses, which exists before the first map.
    fn losses(&self) -> io::Result<&AtomicU32> {
        let losses = match self.0.losses.get() {
            Some(losses) => losses,
            None => {
                let losses = Losses::new()?;
                self.0.losses.get_or_init(|| losses)
            }
        };
        Ok(losses.word())
    }

    /// Registers the map of a whole file.
    pub(super) fn guarded(&self, map: MmapRaw, kind: u32) -> io::Result<Map> {
        Ok(Map::registered(map, kind, self.losses()?))
    }

    /// Capacity in bytes of the next log in a file. Where address space is limited, a log takes an eighth of what is
    /// left: the number of logs is not known, and each is smaller than the one before it.
    pub(super) fn file_capacity(&self) -> usize {
        let left = self.0.addresses.load(Ordering::Relaxed);
        if left == u64::MAX {
            return FILE_CAPACITY;
        }
        let capacity = (left / 8).min(FILE_CAPACITY as u64);
        self.0.addresses.store(left - capacity, Ordering::Relaxed);
        capacity as usize
    }

    /// A store without a memory limit.
    pub fn unlimited() -> Self {
        Store::new(u64::MAX, None)
    }

    /// Bytes of memory that maps may still take.
    pub(crate) fn memory_left(&self) -> u64 {
        self.0.memory.load(Ordering::Relaxed)
    }

    /// Bytes of memory for the log of one of `workers` workers: an equal part. Less where address space is limited: a
    /// writer may leave most of its log empty, which returns memory but not address space.
    pub fn memory_share(&self, workers: usize) -> usize {
        let addresses = self.0.addresses.load(Ordering::Relaxed);
        let most = if addresses == u64::MAX { u64::MAX } else { addresses / 16 };
        (self.memory_left() / workers as u64).min(most) as usize
    }

    /// Keeps a quarter of the memory that is left for later maps, until the reservation is dropped.
    pub fn reserve_quarter(&self) -> Reservation {
        Reservation { _share: self.take(self.memory_left() / 4) }
    }

    /// Total bytes of scratch files created so far.
    pub fn on_disk(&self) -> u64 {
        self.0.on_disk.load(Ordering::Relaxed)
    }

    /// Takes `bytes` from the budget; `None` if it has less.
    fn take(&self, bytes: u64) -> Option<Share> {
        let left = self.memory_left().checked_sub(bytes)?;
        self.0.memory.store(left, Ordering::Relaxed);
        Some(Share { store: self.clone(), bytes: AtomicU64::new(bytes) })
    }

    /// Creates the map of a table: in memory, or in a file whose disk is reserved at once.
    pub(super) fn region(&self, bytes: usize) -> io::Result<Region> {
        let bytes = bytes.max(1);
        if let Some(share) = self.take(bytes as u64) {
            return Region::in_memory(bytes, share);
        }
        let file = self.scratch_file()?;
        reserve(&file, bytes).map_err(|error| match self.scratch() {
            Some(directory) => shortage(&file, directory, bytes as u64, error),
            None => error,
        })?;
        self.add_on_disk(bytes as u64);
        let map = MmapOptions::new().len(bytes).map_raw(&file)?;
        Ok(Region { map: self.guarded(map, kind::TABLE)?, share: self.no_memory() })
    }

    /// A share of 0 bytes.
    pub(super) fn no_memory(&self) -> Share {
        Share { store: self.clone(), bytes: AtomicU64::new(0) }
    }

    /// The directory of scratch files.
    pub fn scratch(&self) -> Option<&Path> {
        self.0.scratch.as_deref()
    }

    /// Adds to the total of scratch files.
    pub(super) fn add_on_disk(&self, bytes: u64) {
        self.0.on_disk.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Creates a file without a name in the scratch directory.
    pub(super) fn scratch_file(&self) -> io::Result<File> {
        let directory = self.0.scratch.as_deref().ok_or(io::ErrorKind::OutOfMemory)?;
        tempfile::tempfile_in(directory)
    }
}

/// Bytes of a budget. Dropping it returns them.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) store: Store,
    bytes: AtomicU64,
}

impl Share {
    /// Returns all but `kept` bytes.
    pub(super) fn shrink(&self, kept: u64) {
        let had = self.bytes.swap(kept, Ordering::Relaxed);
        self.store.0.memory.fetch_add(had.saturating_sub(kept), Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

/// Memory that is kept for maps of later phases.
#[derive(Debug)]
pub struct Reservation {
    _share: Option<Share>,
}

#[cfg(test)]
mod tests {
    use super::super::Table;
    use super::*;

    #[test]
    fn maps_beyond_the_budget_lie_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(1000, Some(dir.path().to_owned()));
        let table: Table<AtomicU64> = Table::new(100, &store).unwrap();
        assert_eq!((store.memory_left(), store.on_disk()), (200, 0));
        let beyond: Table<AtomicU64> = Table::new(100, &store).unwrap();
        assert_eq!((store.memory_left(), store.on_disk()), (200, 800));
        beyond[99].store(7, Ordering::Relaxed);
        assert_eq!(beyond.iter().map(|word| word.load(Ordering::Relaxed)).sum::<u64>(), 7);
        drop(table);
        assert_eq!(store.memory_left(), 1000);
        assert!(Table::<AtomicU64>::new(200, &Store::new(1000, None)).is_err(), "there is no scratch");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "scratch files have no name");
    }

    #[test]
    fn a_reservation_ends() {
        let store = Store::new(1000, None);
        let reserved = store.reserve_quarter();
        assert_eq!(store.memory_left(), 750);
        drop(reserved);
        assert_eq!(store.memory_left(), 1000);
    }
}
