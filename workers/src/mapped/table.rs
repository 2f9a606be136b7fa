//! Tables of atomics, in shared memory or in that of this process.

use super::map::{Passage, Region, name};
use super::store::Store;
use bytemuck::Zeroable;
use bytemuck::allocation::try_zeroed_slice_box;
use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// The element types of a [`Table`]: atomics without padding, for which all zeroes are a value.
pub trait Atomic: sealed::Sealed + Sync + Zeroable {}
impl Atomic for AtomicU32 {}
impl Atomic for AtomicU64 {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::AtomicU32 {}
    impl Sealed for super::AtomicU64 {}
}

/// A fixed number of atomics, zero at first. Clones share it.
#[derive(Debug)]
pub struct Table<A>(Elements<A>);

/// Where the elements of a table are.
#[derive(Debug)]
enum Elements<A> {
    /// The first `length` of a map that processes share.
    Shared { region: Arc<Region>, length: usize },
    /// In an allocation, whose pages the system makes when they are first written.
    Private(Arc<Box<[A]>>),
}

impl<A> Clone for Table<A> {
    fn clone(&self) -> Self {
        Table(match &self.0 {
            Elements::Shared { region, length } => {
                Elements::Shared { region: region.clone(), length: *length }
            }
            Elements::Private(elements) => Elements::Private(elements.clone()),
        })
    }
}

impl<A: Atomic> Table<A> {
    /// Creates a table of `length` zeroes.
    ///
    /// # Errors
    /// The system's error, if memory, disk or descriptors for the map run out.
    pub fn new(length: usize, store: &Store) -> io::Result<Self> {
        if store.is_private() {
            let elements = try_zeroed_slice_box(length).map_err(|()| io::ErrorKind::OutOfMemory)?;
            return Ok(Table(Elements::Private(Arc::new(elements))));
        }
        let bytes = length.checked_mul(size_of::<A>()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Table(Elements::Shared { region: Arc::new(store.region(bytes, name::TABLE)?), length }))
    }

    fn region(&self) -> Option<&Region> {
        match &self.0 {
            Elements::Shared { region, .. } => Some(region),
            Elements::Private(_) => None,
        }
    }

    /// As `Map::pass`, for an element.
    #[inline]
    pub(crate) fn pass(&self, element: usize, passage: &mut Passage) {
        if let Some(region) = self.region() {
            region.map.pass(element * size_of::<A>(), region.map.len(), passage);
        }
    }

    /// As `Map::read_by_passages`.
    pub(crate) fn read_by_passages(&self) {
        self.region().iter().for_each(|region| region.map.read_by_passages());
    }

    /// Takes the pages of a scratch file out of this process's memory until they are accessed again.
    pub(crate) fn give_back(&self) {
        self.region().iter().for_each(|region| region.map.give_back());
    }

    /// Announces that the first `length` elements will be written soon.
    pub(crate) fn expect(&self, length: usize) {
        self.region().iter().for_each(|region| region.populate(0, length.min(self.len()) * size_of::<A>()));
    }
}

impl<A: Atomic> Deref for Table<A> {
    type Target = [A];

    #[inline]
    fn deref(&self) -> &[A] {
        match &self.0 {
            Elements::Shared { region, length } => region.atomics(*length),
            Elements::Private(elements) => elements,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn clones_of_a_table_share_it() {
        for store in [Store::unlimited(), Store::private()] {
            let table: Table<AtomicU32> = Table::new(5, &store).unwrap();
            table.clone()[3].store(7, Ordering::Relaxed);
            assert_eq!(table.iter().map(|n| n.load(Ordering::Relaxed)).collect::<Vec<_>>(), [0, 0, 0, 7, 0]);
            assert!(Table::<AtomicU64>::new(0, &store).unwrap().is_empty());
        }
    }
}
