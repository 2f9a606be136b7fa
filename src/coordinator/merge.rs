//! The vocabulary as the coordinator knows it: which chunks of the plan's merged terms are the columns, in order.
//!
//! Pruning follows scikit-learn's `CountVectorizer`: first by document frequency, which the merging workers do, then the
//! most frequent ones of the rest; between equals the lesser term stays (scikit-learn leaves that to its sorting).

use bowline_workers::plan::{MergedTerm, NO_COLUMN, Plan, prefix};
use std::cmp::Reverse;
use std::ops::Range;
use std::sync::atomic::Ordering;

/// Terms of a chunk that is written in one go, at most.
const CHUNK: u64 = 64 << 10;

/// A part of the alphabet: the terms whose prefix (`plan::prefix`) is in a range.
#[derive(Clone, Debug)]
pub struct Part {
    /// The prefixes.
    pub prefixes: Range<u64>,
    /// Where its merged terms begin in the plan's.
    pub first: u64,
    /// How many were kept.
    pub kept: u64,
}

/// The terms of all columns, in column order. Their bytes stay in the segments.
#[derive(Debug, Default)]
pub struct Vocabulary {
    parts: Vec<Part>,
    /// The plan's terms that are columns, in order.
    chunks: Vec<Range<u64>>,
}

impl Vocabulary {
    /// ChunkBoundary the alphabet into parts of about as many terms, `wanted` of them if there are enough terms. The plan's
    /// segments are sorted.
    pub fn cut(plan: &Plan, wanted: usize) -> Self {
        let longest = plan.segments.iter().max_by_key(|segment| segment.sorted.len());
        let terms = longest.map_or(0, |segment| segment.sorted.len());
        let parts = wanted.min(terms / 1024).max(1);
        let border = |part: usize| longest.map_or(0, |segment| prefix(segment.text(part * terms / parts)));
        // Each part begins at another place, which identifies its tasks.
        let mut borders: Vec<u64> = (1..parts).map(border).filter(|&border| border > 0).collect();
        borders.dedup();
        // No prefix is that large: a term is UTF-8, and no byte of it is 0xFF.
        borders.push(u64::MAX);
        let (mut low, mut first) = (0, 0);
        let part = |high| {
            let part = Part { prefixes: low..high, first, kept: 0 };
            first += plan.segments.iter().map(|s| s.ranks(&part.prefixes).len() as u64).sum::<u64>();
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

    /// Ranges of the plan's terms with the column of the first of each.
    pub fn chunks(&self) -> impl Iterator<Item = (Range<u64>, u64)> {
        self.chunks.iter().scan(0, |column, chunk| {
            let first = *column;
            *column += chunk.end - chunk.start;
            Some((chunk.clone(), first))
        })
    }

    /// The terms, in column order.
    pub fn terms<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = MergedTerm> + 'a {
        self.chunks.iter().cloned().flatten().map(|index| plan.terms.get(index as usize))
    }

    /// The column of the first term of each part; the same for all of them once the plan's tables hold columns.
    pub fn bases(&self) -> impl Iterator<Item = u64> {
        self.parts.iter().scan(0, |base, part| {
            let first = *base;
            *base += part.kept;
            Some(first)
        })
    }

    /// Keeps the `most` terms with the highest number of occurrences: moves them to the front of the plan's terms, and
    /// puts their columns in the segments' tables of merged terms.
    pub fn keep_most_frequent(&mut self, most: u64, plan: &Plan) {
        if self.len() <= most {
            return;
        }
        let occurrences: Vec<u64> = self.terms(plan).map(|term| term.occurrences).collect();
        let mut ranked: Vec<u32> = (0..occurrences.len() as u32).collect();
        ranked.sort_unstable_by_key(|&column| (Reverse(occurrences[column as usize]), column));
        let mut renumbered = vec![NO_COLUMN; occurrences.len()];
        ranked[..most as usize].iter().for_each(|&column| renumbered[column as usize] = 0);
        let kept = renumbered.iter_mut().filter(|column| **column != NO_COLUMN);
        kept.zip(0..).for_each(|(column, number)| *column = number);
        for (part, base) in self.parts.iter().zip(self.bases()) {
            for segment in &plan.segments {
                for place in &segment.merged[segment.ranks(&part.prefixes)] {
                    let old = place.load(Ordering::Relaxed);
                    if old != NO_COLUMN {
                        // Beyond the end only where the table was lost.
                        let new = renumbered.get(base as usize + old as usize).copied();
                        place.store(new.unwrap_or(NO_COLUMN), Ordering::Relaxed);
                    }
                }
            }
        }
        for (term, &column) in self.terms(plan).zip(&renumbered) {
            if column != NO_COLUMN {
                // Never behind the place it is read from.
                plan.terms.set(column as usize, term);
            }
        }
        self.parts.iter_mut().for_each(|part| part.kept = 0);
        self.chunks = chunks(0..most).collect();
    }
}

fn chunks(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    range.clone().step_by(CHUNK as usize).map(move |first| first..(first + CHUNK).min(range.end))
}
