//! The segments' sorted terms become one vocabulary: columns numbered in the order of the terms' bytes.
//!
//! The result depends on the terms and their counts only, not on which segment a term came from. Pruning follows
//! scikit-learn's `CountVectorizer`: first by document frequency, then the most frequent ones of the rest; between
//! equals the lesser term stays (scikit-learn leaves that to its sorting).

use super::RunError;
use bowline_workers::plan::{NO_COLUMN, SegmentPlan, SortedTerm};
use bowline_workers::segment::term_at;
use std::cmp::Reverse;
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;

/// The terms of all columns, in column order. Their bytes stay in the segments.
#[derive(Debug, Default)]
pub struct Vocabulary(Vec<Column>);

#[derive(Clone, Copy, Debug)]
struct Column {
    segment: u32,
    offset: u64,
    documents: u64,
    occurrences: u64,
}

/// A term of the vocabulary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Term<'a> {
    /// Its bytes, which are UTF-8.
    pub bytes: &'a [u8],
    /// In how many documents it occurs.
    pub documents: u64,
    /// How often it occurs in all of them; 0 if that was not counted.
    pub occurrences: u64,
}

impl Vocabulary {
    /// Number of terms.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The terms, in column order. `segments` are those that were merged.
    pub fn terms<'a>(&'a self, segments: &'a [SegmentPlan]) -> impl Iterator<Item = Term<'a>> {
        self.0.iter().map(|column| {
            let bytes = segments[column.segment as usize].segment.bytes();
            Term {
                bytes: term_at(bytes, column.offset as usize).unwrap_or_default(),
                documents: column.documents,
                occurrences: column.occurrences,
            }
        })
    }

    /// Keeps the `most` terms with the highest number of occurrences, and numbers the columns anew in the segments'
    /// tables.
    pub fn keep_most_frequent(&mut self, most: usize, segments: &[SegmentPlan]) {
        if self.0.len() <= most {
            return;
        }
        let mut ranked: Vec<u32> = (0..self.0.len() as u32).collect();
        ranked.sort_unstable_by_key(|&column| (Reverse(self.0[column as usize].occurrences), column));
        let mut kept = vec![false; self.0.len()];
        ranked[..most].iter().for_each(|&column| kept[column as usize] = true);
        let mut columns = 0..;
        let mut renumber = |&kept: &bool| if kept { columns.next() } else { None };
        let renumbered: Vec<u32> = kept.iter().map(|kept| renumber(kept).unwrap_or(NO_COLUMN)).collect();
        for column in segments.iter().flat_map(|segment| segment.columns.iter()) {
            let old = column.load(Ordering::Relaxed);
            if old != NO_COLUMN {
                column.store(renumbered[old as usize], Ordering::Relaxed);
            }
        }
        let mut kept = kept.into_iter();
        self.0.retain(|_| kept.next().unwrap_or(false));
    }
}

/// One segment's terms, and how far the merge is in them.
struct Cursor<'a> {
    segment: u32,
    plan: &'a SegmentPlan,
    bytes: &'a [u8],
    rank: usize,
    terms: usize,
    head: SortedTerm,
}

impl<'a> Cursor<'a> {
    fn term(&self) -> &'a [u8] {
        term_at(self.bytes, self.head.offset as usize).unwrap_or_default()
    }

    /// Moves to the next term; false at the end.
    fn advance(&mut self) -> bool {
        self.rank += 1;
        if self.rank < self.terms {
            self.head = self.plan.sorted.get(self.rank);
        }
        self.rank < self.terms
    }
}

/// Merges the sorted terms of all segments, `counts[i]` of segment `i`, and keeps those that as many documents have
/// as `documents` says. Each segment's table gets what `number` makes of a kept term and its column.
///
/// # Errors
/// If there are more columns than a column number can tell.
pub fn merge(
    segments: &[SegmentPlan],
    counts: &[u64],
    documents: RangeInclusive<f64>,
    number: impl Fn(u32, &[u8]) -> u32,
) -> Result<Vocabulary, RunError> {
    let mut cursors: Vec<Cursor> = Vec::new();
    for (segment, plan) in segments.iter().enumerate() {
        plan.columns.iter().for_each(|column| column.store(NO_COLUMN, Ordering::Relaxed));
        if counts[segment] > 0 {
            let (bytes, head) = (plan.segment.bytes(), plan.sorted.get(0));
            let terms = counts[segment] as usize;
            cursors.push(Cursor { segment: segment as u32, plan, bytes, rank: 0, terms, head });
        }
    }
    let mut vocabulary = Vocabulary::default();
    while let Some(least) = least(&cursors) {
        let least = &cursors[least];
        let (prefix, term) = (least.head.prefix, least.term());
        let mut entry =
            Column { segment: least.segment, offset: least.head.offset, documents: 0, occurrences: 0 };
        for cursor in cursors.iter().filter(|cursor| cursor.head.prefix == prefix && cursor.term() == term) {
            entry.documents += cursor.head.documents as u64;
            entry.occurrences += cursor.head.occurrences;
        }
        let is_kept = documents.contains(&(entry.documents as f64));
        let column = u32::try_from(vocabulary.len()).ok().filter(|&column| column < NO_COLUMN);
        let column = column.ok_or_else(|| RunError::Broken("more than 4,294,967,294 columns".into()))?;
        let number = if is_kept { number(column, term) } else { NO_COLUMN };
        cursors.retain_mut(|cursor| {
            if cursor.head.prefix != prefix || cursor.term() != term {
                return true;
            }
            cursor.plan.columns[cursor.head.id as usize].store(number, Ordering::Relaxed);
            cursor.advance()
        });
        if is_kept {
            vocabulary.0.push(entry);
        }
    }
    Ok(vocabulary)
}

/// The cursor with the least term.
fn least(cursors: &[Cursor]) -> Option<usize> {
    let key = |cursor: &Cursor| cursor.head.prefix;
    (0..cursors.len()).reduce(|best, other| {
        let order = key(&cursors[other]).cmp(&key(&cursors[best]));
        let order = order.then_with(|| cursors[other].term().cmp(cursors[best].term()));
        if order.is_lt() { other } else { best }
    })
}
