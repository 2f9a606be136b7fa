//! Tables of atomics in shared memory.

use super::map::{Passage, Region};
use super::store::Store;
use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// The element types of a [`Table`]: atomics without padding, for which all zeroes are a value.
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
    /// Creates a table of `length` zeroes.
    ///
    /// # Errors
    /// The system's error, if memory, disk or descriptors for the map run out.
    pub fn new(length: usize, store: &Store) -> io::Result<Self> {
        let bytes = length.checked_mul(size_of::<A>()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Table { region: Arc::new(store.region(bytes)?), length, element: PhantomData })
    }

    /// As `Map::pass`, for an element.
    #[inline]
    pub(crate) fn pass(&self, element: usize, passage: &mut Passage) {
        self.region.map.pass(element * size_of::<A>(), self.region.map.len(), passage);
    }

    /// As `Map::read_by_passages`.
    pub(crate) fn read_by_passages(&self) {
        self.region.map.read_by_passages();
    }

    /// Takes the pages of a scratch file out of this process's memory until they are accessed again.
    pub(crate) fn give_back(&self) {
        self.region.map.give_back();
    }

    /// Announces that the first `length` elements will be written soon.
    pub(crate) fn expect(&self, length: usize) {
        self.region.populate(0, length.min(self.length) * size_of::<A>());
    }
}

impl<A: Atomic> Deref for Table<A> {
    type Target = [A];

    fn deref(&self) -> &[A] {
        self.region.atomics(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn clones_of_a_table_share_it() {
        let table: Table<AtomicU32> = Table::new(5, &Store::unlimited()).unwrap();
        table.clone()[3].store(7, Ordering::Relaxed);
        assert_eq!(table.iter().map(|n| n.load(Ordering::Relaxed)).collect::<Vec<_>>(), [0, 0, 0, 7, 0]);
        assert!(Table::<AtomicU64>::new(0, &Store::unlimited()).unwrap().is_empty());
    }
}
