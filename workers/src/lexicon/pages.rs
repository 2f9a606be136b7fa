//! Zeroed private memory for large tables, on huge pages where the system has them.
//!
//! A table of megabytes is probed at random places. With ordinary pages, each probe would first miss in the processor's
//! TLB.

use bytemuck::Pod;
use memmap2::MmapMut;
use std::alloc::{Layout, handle_alloc_error};
use std::marker::PhantomData;

/// Alignment of the elements: a cache line, which every map has.
const ALIGNMENT: usize = 64;

/// A fixed number of elements, zero at first.
pub(crate) struct Pages<T> {
    /// `None` if there are no elements.
    map: Option<MmapMut>,
    elements: PhantomData<T>,
}

impl<T: Pod> Pages<T> {
    /// No elements, and no memory.
    pub(crate) const fn none() -> Self {
        Pages { map: None, elements: PhantomData }
    }

    /// `length` elements, all zero. If memory runs out, ends as any failed allocation does.
    pub(crate) fn zeroed(length: usize) -> Self {
        let bytes = length.saturating_mul(size_of::<T>()).max(1);
        let map = MmapMut::map_anon(bytes).unwrap_or_else(|_| {
            #[cfg(feature = "processes")]
            crate::crash::note_out_of_memory();
            handle_alloc_error(Layout::from_size_align(bytes, ALIGNMENT).unwrap_or(Layout::new::<T>()))
        });
        // Hints: without huge pages the table works, but more slowly. All pages of a table are written soon, but read
        // first. Without populating them, each page would fault twice, and the second fault would interrupt the
        // processors of all other threads.
        #[cfg(target_os = "linux")]
        for hint in [memmap2::Advice::HugePage, memmap2::Advice::PopulateWrite] {
            let _ = map.advise(hint);
        }
        Pages { map: Some(map), elements: PhantomData }
    }

    /// The elements.
    #[inline]
    pub(crate) fn all(&self) -> &[T] {
        self.map.as_ref().map_or(&[], |map| bytemuck::cast_slice(map))
    }

    /// The elements, to be changed.
    #[inline]
    pub(crate) fn all_mut(&mut self) -> &mut [T] {
        self.map.as_mut().map_or(&mut [], |map| bytemuck::cast_slice_mut(map))
    }

    /// Bytes that they take.
    pub(crate) fn bytes(&self) -> usize {
        self.map.as_ref().map_or(0, |map| map.len())
    }
}

/// Prefetches an element's cache line for an access a little later.
#[inline(always)]
pub(crate) fn prefetch<T>(elements: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(element) = elements.get(index) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        #[expect(unsafe_code, reason = "a hint to the processor, which has no effect on memory")]
        // SAFETY: the address is that of a live element, and a prefetch neither reads nor writes in a way that the
        // program can observe.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(element).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (elements, index);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_until_written() {
        let mut pages: Pages<u32> = Pages::zeroed(5);
        assert_eq!(pages.all(), [0; 5]);
        pages.all_mut()[4] = 7;
        prefetch(pages.all(), 4);
        prefetch(pages.all(), 5);
        assert_eq!((pages.all()[4], pages.bytes()), (7, 20));
        assert!(Pages::<u64>::none().all().is_empty());
    }
}
