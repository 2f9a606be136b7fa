//! The terms of named buckets: hashed features whose terms are listed (`hash_terms`).

use bowline_workers::columns::Vocabulary;
use bowline_workers::dictionary::MergedTerm;
use bowline_workers::hashing::Buckets;
use bowline_workers::mapped::{Store, Table};
use bowline_workers::matrix_plan::MatrixPlan;
use bowline_workers::spelling::{Speller, spelled};
use std::borrow::Cow;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Named buckets' terms, sorted by their buckets.
pub struct TermsOfBuckets<'a> {
    plan: &'a MatrixPlan,
    buckets: Buckets,
    /// Where the terms of each bucket end.
    ends: Table<AtomicU64>,
    /// Places in the plan's terms.
    sorted: Table<AtomicU64>,
}

impl<'a> TermsOfBuckets<'a> {
    /// Sorts the terms of `vocabulary` by their buckets, by counting, in two tables of `store`. Terms of one bucket stay in order
    /// of their bytes.
    ///
    /// # Errors
    /// The system's, if there is no room for the tables.
    pub fn sort(
        plan: &'a MatrixPlan,
        vocabulary: &Vocabulary,
        buckets: Buckets,
        store: &Store,
    ) -> io::Result<Self> {
        let places = || vocabulary.places();
        let mut speller = Speller::new(plan);
        let mut bucket = |place: usize| buckets.bucket(speller.spell(&plan.terms.merged.get(place)));
        let ends: Table<AtomicU64> = Table::new(buckets.n_features as usize + 1, store)?;
        let after = |bucket: u32| &ends[(bucket >> 1) as usize + 1];
        let add = |number: &AtomicU64| number.fetch_add(1, Ordering::Relaxed);
        places().for_each(|place| _ = add(after(bucket(place))));
        let mut terms = 0;
        for end in ends.iter() {
            terms += end.load(Ordering::Relaxed);
            end.store(terms, Ordering::Relaxed);
        }
        let sorted: Table<AtomicU64> = Table::new(terms as usize, store)?;
        for place in places() {
            // Each bucket's start moves to its end, which is the start of the next one.
            let at = add(&ends[(bucket(place) >> 1) as usize]);
            // Beyond the end only where a table was lost.
            if let Some(slot) = sorted.get(at as usize) {
                slot.store(place as u64, Ordering::Relaxed);
            }
        }
        Ok(TermsOfBuckets { plan, buckets, ends, sorted })
    }

    /// The terms of each bucket.
    pub fn iter(
        &self,
    ) -> impl Iterator<Item = impl Iterator<Item = (u32, Cow<'_, [u8]>, MergedTerm)> + Clone> {
        let ends = self.ends.iter().take(self.buckets.n_features as usize);
        let mut first = 0;
        ends.map(move |end| {
            let end = end.load(Ordering::Relaxed) as usize;
            let places = self.sorted.get(first..end).unwrap_or_default();
            first = end;
            places.iter().map(|place| {
                let term = self.plan.terms.merged.get(place.load(Ordering::Relaxed) as usize);
                let bytes = spelled(self.plan, &term);
                (self.buckets.bucket(&bytes), bytes, term)
            })
        })
    }
}
