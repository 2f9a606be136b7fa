//! The segments' sorted terms become one vocabulary: columns numbered in the order of the terms' bytes.
//!
//! The result depends on the terms and their document frequencies only, not on which segment a term came from.

use super::{RunError, system};
use bowline_workers::mapped::Table;
use bowline_workers::plan::{NO_COLUMN, SegmentPlan, SortedTerm};
use bowline_workers::segment::term_at;
use std::sync::atomic::{AtomicU32, Ordering};

/// The terms of all columns, in column order. Their bytes stay in the segments.
#[derive(Debug, Default)]
pub struct Vocabulary(Vec<Column>);

#[derive(Clone, Copy, Debug)]
struct Column {
    segment: u32,
    offset: u64,
    documents: u64,
}

impl Vocabulary {
    /// Number of columns.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each column's term and the number of documents it occurs in.
    pub fn terms<'a>(&'a self, segments: &'a [SegmentPlan]) -> impl Iterator<Item = (&'a [u8], u64)> {
        self.0.iter().map(|column| {
            let bytes = segments[column.segment as usize].segment.bytes();
            (term_at(bytes, column.offset as usize).unwrap_or_default(), column.documents)
        })
    }
}

/// A table for the column of each of `ids` local ids.
///
/// # Errors
/// If there is no memory for it.
pub fn columns(ids: usize) -> Result<Table<AtomicU32>, RunError> {
    Table::new(ids).map_err(system("mapping a table of columns"))
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

/// Merges the sorted terms of all segments, `counts[i]` of segment `i`, and fills each segment's table of columns.
///
/// # Errors
/// If there are more columns than a column number can tell.
pub fn merge(segments: &[SegmentPlan], counts: &[u64]) -> Result<Vocabulary, RunError> {
    let mut cursors: Vec<Cursor> = Vec::new();
    for (segment, plan) in segments.iter().enumerate().filter(|&(segment, _)| counts[segment] > 0) {
        plan.columns.iter().for_each(|column| column.store(NO_COLUMN, Ordering::Relaxed));
        let (bytes, head) = (plan.segment.bytes(), plan.sorted.get(0));
        cursors.push(Cursor {
            segment: segment as u32,
            plan,
            bytes,
            rank: 0,
            terms: counts[segment] as usize,
            head,
        });
    }
    let mut vocabulary = Vocabulary::default();
    while let Some(least) = least(&cursors) {
        let column = u32::try_from(vocabulary.len()).ok().filter(|&column| column < NO_COLUMN);
        let column = column.ok_or_else(|| RunError::Broken("more than 4,294,967,294 columns".into()))?;
        let (prefix, term) = (cursors[least].head.prefix, cursors[least].term());
        let mut entry =
            Column { segment: cursors[least].segment, offset: cursors[least].head.offset, documents: 0 };
        cursors.retain_mut(|cursor| {
            if cursor.head.prefix != prefix || cursor.term() != term {
                return true;
            }
            entry.documents += cursor.head.documents as u64;
            cursor.plan.columns[cursor.head.id as usize].store(column, Ordering::Relaxed);
            cursor.advance()
        });
        vocabulary.0.push(entry);
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
