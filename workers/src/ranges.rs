//! The addresses of all shared maps of this process, for the SIGBUS handler.
//!
//! Owns a table that a signal handler may read at any time: it grows and never shrinks, it has no lock, and a read is a
//! series of atomic loads. Each slot is a sequence lock (Boehm, Can Seqlocks Get Along With Programming Language Memory
//! Models?, 2012): a reader skips a slot that changes during the read. That is never the slot of the map that a thread
//! is using, since a map is registered before its first use and until after its last.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering, fence};

/// A map of this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapRange {
    /// Its first address.
    pub start: usize,
    /// Its length in bytes.
    pub bytes: usize,
    /// The bit of the map's kind.
    pub kind: u32,
    /// The word in which a loss sets that bit. It exists for as long as the map is registered.
    pub losses: *mut AtomicU32,
}

/// Keeps a map registered until it is dropped.
#[derive(Debug)]
pub struct Registration(&'static Slot);

#[derive(Debug)]
struct Slot {
    is_taken: AtomicBool,
    /// Odd while the fields below change.
    version: AtomicUsize,
    start: AtomicUsize,
    /// 0 if the slot is free.
    bytes: AtomicUsize,
    kind: AtomicU32,
    losses: AtomicPtr<AtomicU32>,
}

/// Slots in a chunk of the table.
const SLOTS: usize = 64;

struct Chunk {
    slots: [Slot; SLOTS],
    next: OnceLock<Box<Chunk>>,
}

impl Chunk {
    const fn new() -> Self {
        Chunk { slots: [const { Slot::free() }; SLOTS], next: OnceLock::new() }
    }
}

static FIRST: Chunk = Chunk::new();

/// Registers a map.
pub fn register(range: MapRange) -> Registration {
    let mut chunk = &FIRST;
    loop {
        let take = |slot: &&Slot| !slot.is_taken.swap(true, Ordering::Acquire);
        if let Some(slot) = chunk.slots.iter().find(take) {
            slot.set(range);
            return Registration(slot);
        }
        chunk = chunk.next.get_or_init(|| Box::new(Chunk::new()));
    }
}

/// The registered map that contains `address`. May be called in a signal handler.
pub fn find(address: usize) -> Option<MapRange> {
    let mut chunk = Some(&FIRST);
    while let Some(Chunk { slots, next }) = chunk {
        let mut ranges = slots.iter().filter_map(Slot::get);
        let found = ranges.find(|range| address.wrapping_sub(range.start) < range.bytes);
        if found.is_some() {
            return found;
        }
        chunk = next.get().map(|next| &**next);
    }
    None
}

impl Slot {
    const fn free() -> Self {
        Slot {
            is_taken: AtomicBool::new(false),
            version: AtomicUsize::new(0),
            start: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            kind: AtomicU32::new(0),
            losses: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    /// Only the caller that took the slot may call this.
    fn set(&self, range: MapRange) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.start.store(range.start, Ordering::Relaxed);
        self.bytes.store(range.bytes, Ordering::Relaxed);
        self.kind.store(range.kind, Ordering::Relaxed);
        self.losses.store(range.losses, Ordering::Relaxed);
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    /// The map, or `None` if the slot changes during the read.
    fn get(&self) -> Option<MapRange> {
        let version = self.version.load(Ordering::Acquire);
        let range = MapRange {
            start: self.start.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            kind: self.kind.load(Ordering::Relaxed),
            losses: self.losses.load(Ordering::Relaxed),
        };
        fence(Ordering::Acquire);
        let is_whole = version.is_multiple_of(2) && version == self.version.load(Ordering::Relaxed);
        is_whole.then_some(range)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.0.set(MapRange { start: 0, bytes: 0, kind: 0, losses: std::ptr::null_mut() });
        self.0.is_taken.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_found_by_any_address_while_it_is_registered() {
        // No map has these addresses: they lie beyond the address space of a process.
        let range = |number: usize| MapRange {
            start: usize::MAX / 2 + number * 100,
            bytes: 100,
            kind: number as u32,
            losses: std::ptr::null_mut(),
        };
        let registered: Vec<_> = (0..3 * SLOTS).map(|number| register(range(number))).collect();
        for number in 0..3 * SLOTS {
            let MapRange { start, bytes, .. } = range(number);
            for address in [start, start + bytes - 1] {
                assert_eq!(find(address), Some(range(number)));
            }
        }
        let end = range(3 * SLOTS).start;
        assert_eq!((find(end), find(usize::MAX / 2 - 1)), (None, None));
        drop(registered);
        assert_eq!(find(range(7).start), None);
    }
}
