//! The vocabulary as a whole: which chunks of a dictionary's merged terms are the columns, in order.
//!
//! Pruning follows scikit-learn's `CountVectorizer`: first by document frequency, which the merging workers do, then the
//! most frequent ones of the rest; between equals the lesser term stays (scikit-learn leaves that to its sorting).

use crate::dictionary::{Dictionary, MergedTerm, Run};
use crate::mapped::{Store, Table};
use crate::matrix_plan::{MatrixPlan, NO_COLUMN};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// Terms of a chunk that is written in one go, at most.
const CHUNK: u64 = 64 << 10;

/// Terms that are looked at to cut the alphabet.
const SAMPLE: usize = 4096;

/// A part of the alphabet: the terms whose prefix (`dictionary::prefix`) is in a range.
#[derive(Clone, Debug)]
pub struct Part {
    /// The prefixes.
    pub prefixes: Range<u64>,
    /// Where its merged terms begin in the dictionary's.
    pub first: u64,
    /// How many were kept.
    pub kept: u64,
}

/// The terms of all columns, in column order. Their bytes stay in the runs.
#[derive(Debug, Default)]
pub struct Vocabulary {
    parts: Vec<Part>,
    /// The dictionary's terms that are columns, in order.
    chunks: Vec<Range<u64>>,
}

impl Vocabulary {
    /// Cuts the alphabet into parts of about as many terms, `wanted` of them if there are enough terms. The dictionary's
    /// runs are sorted.
    pub fn cut(dictionary: &Dictionary, wanted: usize) -> Self {
        let terms: usize = dictionary.runs.iter().map(|run| run.sorted.len()).sum();
        let parts = wanted.min(terms / 1024).max(1);
        let mut sample = sample(dictionary);
        sample.sort_unstable();
        let border = |part: usize| sample.get(part * sample.len() / parts).copied().unwrap_or(0);
        // Each part begins at another place, which identifies its tasks.
        let mut borders: Vec<u64> = (1..parts).map(border).filter(|&border| border > 0).collect();
        borders.dedup();
        // No prefix is that large: a term is UTF-8, and no byte of it is 0xFF; and no key of an n-gram is all ones.
        borders.push(u64::MAX);
        let (mut low, mut first) = (0, 0);
        let part = |high| {
            let part = Part { prefixes: low..high, first, kept: 0 };
            first += dictionary.runs.iter().map(|run| run.ranks(&part.prefixes).len() as u64).sum::<u64>();
            low = high;
            part
        };
        Vocabulary { parts: borders.into_iter().map(part).collect(), chunks: Vec::new() }
    }

    /// The parts of the alphabet, in order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Takes in how many terms each part has kept.
    pub fn set_kept(&mut self, kept: impl Iterator<Item = u64>) {
        for (part, kept) in self.parts.iter_mut().zip(kept) {
            part.kept = kept;
        }
        let chunks = self.parts.iter().flat_map(|part| chunks(part.first..part.first + part.kept));
        self.chunks = chunks.collect();
    }

    /// Number of columns.
    pub fn len(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.end - chunk.start).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ranges of the dictionary's terms with the column of the first of each.
    pub fn chunks(&self) -> impl Iterator<Item = (Range<u64>, u64)> {
        self.chunks.iter().scan(0, |column, chunk| {
            let first = *column;
            *column += chunk.end - chunk.start;
            Some((chunk.clone(), first))
        })
    }

    /// Where the terms are in the dictionary's, in column order.
    pub fn places(&self) -> impl Iterator<Item = usize> {
        self.chunks.iter().cloned().flatten().map(|place| place as usize)
    }

    /// The terms, in column order.
    pub fn terms<'a>(&'a self, plan: &'a MatrixPlan) -> impl Iterator<Item = MergedTerm> + 'a {
        self.places().map(|place| plan.terms.merged.get(place))
    }

    /// The column of the first term of each part; the same for all of them once the plan's tables hold columns.
    pub fn bases(&self) -> impl Iterator<Item = u64> {
        self.parts.iter().scan(0, |base, part| {
            let first = *base;
            *base += part.kept;
            Some(first)
        })
    }

    /// Keeps the `most` terms with the highest number of occurrences: moves them to the front of the dictionary's, and
    /// puts their columns in the runs' tables of merged terms. A table of `store` has a number for each term; beside it, no
    /// memory depends on their number.
    ///
    /// # Errors
    /// The system's, if there is no room for the table.
    pub fn keep_most_frequent(&mut self, most: u64, plan: &MatrixPlan, store: &Store) -> io::Result<()> {
        if self.len() <= most {
            return Ok(());
        }
        let (least, mut ties) = self.least_of_most_frequent(most, plan);
        let renumbered: Table<AtomicU32> = Table::new(self.len() as usize, store)?;
        let mut kept = 0;
        for (term, column) in self.terms(plan).zip(&*renumbered) {
            let is_tie = term.occurrences == least && ties > 0;
            ties -= u64::from(is_tie);
            let is_kept = is_tie || term.occurrences > least;
            column.store(if is_kept { kept } else { NO_COLUMN }, Ordering::Relaxed);
            kept += u32::from(is_kept);
        }
        plan.give_back();
        for (part, base) in self.parts.iter().zip(self.bases()) {
            for run in &plan.terms.runs {
                for place in run.merged_in_order(run.ranks(&part.prefixes)) {
                    let old = place.load(Ordering::Relaxed);
                    if old != NO_COLUMN {
                        // Beyond the end only where the table was lost.
                        let new = renumbered.get(base as usize + old as usize);
                        let new = new.map_or(NO_COLUMN, |new| new.load(Ordering::Relaxed));
                        place.store(new, Ordering::Relaxed);
                    }
                }
            }
        }
        for (term, column) in self.terms(plan).zip(&*renumbered) {
            let column = column.load(Ordering::Relaxed);
            if column != NO_COLUMN {
                // Never behind the place it is read from.
                plan.terms.merged.set(column as usize, term);
            }
        }
        self.parts.iter_mut().for_each(|part| part.kept = 0);
        self.chunks = chunks(0..most).collect();
        Ok(())
    }

    /// How often the last of the `most` most frequent terms occurs, and how many terms that occur as often are among them.
    /// Finds the number 16 bits at a time, from the highest: a pass over all terms counts those with each value of the next
    /// 16 bits.
    fn least_of_most_frequent(&self, most: u64, plan: &MatrixPlan) -> (u64, u64) {
        let (mut found, mut wanted) = (0, most);
        for shift in [48, 32, 16, 0] {
            let mut terms = vec![0; 1 << 16];
            let known = |occurrences: u64| occurrences.checked_shr(shift + 16).unwrap_or(0);
            let alike = self.terms(plan).filter(|term| known(term.occurrences) == known(found));
            alike.for_each(|term| terms[(term.occurrences >> shift) as usize & 0xFFFF] += 1);
            let mut value = terms.len() - 1;
            // Of a lost table, there may be fewer.
            while value > 0 && terms[value] < wanted {
                wanted -= terms[value];
                value -= 1;
            }
            found |= (value as u64) << shift;
        }
        (found, wanted)
    }
}

/// About [`SAMPLE`] prefixes, from all runs alike, of those that they have an index of.
fn sample(dictionary: &Dictionary) -> Vec<u64> {
    let of_runs = || dictionary.runs.iter().flat_map(Run::prefixes);
    let step = (of_runs().count() / SAMPLE).max(1);
    of_runs().step_by(step).collect()
}

fn chunks(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    range.clone().step_by(CHUNK as usize).map(move |first| first..(first + CHUNK).min(range.end))
}
