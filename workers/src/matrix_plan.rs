//! A matrix as it is to be computed: every segment, and the tables that map local ids to columns and rows to records.
//!
//! Owns the layout of these tables; computes nothing but BM25's saturation. Knows nothing of the output.

use crate::counted_rows::SegmentRows;
use crate::dictionary::{Dictionary, Spellings, Tier};
use crate::hashing::Buckets;
use crate::idf::Idf;
use crate::mapped::{Passage, Store, Table};
use crate::ngram::Packing;
use crate::segment::Record;
use serde::{Deserialize, Serialize};
use std::io;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A column number that means no column.
pub const NO_COLUMN: u32 = u32::MAX;

/// All data that the sorting of terms and the values of rows depend on.
#[derive(Debug)]
pub struct MatrixPlan {
    /// The segments, by number.
    pub segments: Vec<SegmentPlan>,
    /// Where each row's record is.
    pub places: Places,
    /// The meaning of the numbers in the records' rows.
    pub numbering: Numbering,
    /// The document frequencies with which a term is kept.
    pub kept: RangeInclusive<f64>,
    /// The words of n-grams. Empty where terms are spelled.
    pub words: Dictionary,
    /// The spelling of each merged word. Empty where terms are spelled.
    pub spellings: Spellings,
    /// The terms. Empty where numbers are columns.
    pub terms: Dictionary,
    /// The keys of n-grams; `None` where terms are spelled.
    pub packing: Option<Packing>,
    /// First non-zero of each row, and after the last row the number of all non-zeros (one element more than rows).
    /// Before the rows are laid out, an element contains its row's length.
    pub indptr: Table<AtomicU64>,
    /// The number of documents in which each column is stored. Filled only where numbers are columns already.
    pub frequencies: Table<AtomicU32>,
    /// The bits of each column's idf, if the weight has one.
    pub idf: Table<AtomicU64>,
    /// The formula of idf; `None` if idf was given or is not used.
    pub formula: Option<Idf>,
    /// Number of documents that did not fail.
    pub embedded: u64,
    /// Mean number of terms of a document, for bm25.
    pub mean_length: f64,
    /// The conversion from counts to values.
    pub values: ValueSettings,
    /// Whether the occurrences of terms in the corpus are counted, in addition to their documents.
    pub counts_occurrences: bool,
}

/// The meaning of the numbers in the records' rows.
#[derive(Clone, Copy, Debug)]
pub enum Numbering {
    /// Columns. Rows are sorted by them.
    Columns,
    /// Local ids. The segment's table maps them to columns.
    LocalIds,
    /// Local ids. The segment's table maps them to `bucket << 1 | negative`, and values in the same bucket are added up.
    LocalIdsOfBuckets(Buckets),
}

/// One segment, and its columns.
#[derive(Debug)]
pub struct SegmentPlan {
    /// Its rows.
    pub rows: SegmentRows,
    /// The rank of each local word of n-grams: its place among the merged words.
    pub(crate) ranks: Table<AtomicU32>,
    /// Until local ids are numbered, in how many accepted documents each occurs; then its column, or [`NO_COLUMN`], if it
    /// occurs. Empty where numbers are columns.
    pub columns: Table<AtomicU32>,
    /// How often each local id occurs in accepted documents. Empty if that is not counted.
    pub(crate) occurrences: Table<AtomicU64>,
}

impl SegmentPlan {
    /// Tables for a segment with `ids` local ids, and with `words` words of n-grams.
    ///
    /// # Errors
    /// The system's, if there is no memory for them.
    pub fn new(
        rows: SegmentRows,
        words: usize,
        ids: usize,
        counts_occurrences: bool,
        store: &Store,
    ) -> io::Result<Self> {
        let (ranks, columns) = (Table::new(words, store)?, Table::new(ids, store)?);
        let occurrences = Table::new(if counts_occurrences { ids } else { 0 }, store)?;
        Ok(SegmentPlan { rows, ranks, columns, occurrences })
    }

    /// The numbers of the words or of the terms, by their ids in the segment.
    pub(crate) fn numbers(&self, tier: Tier) -> &[AtomicU32] {
        match tier {
            Tier::Words => &self.ranks,
            Tier::Terms => &self.columns,
        }
    }
}

/// The formula of a cell's value.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Weight {
    /// The number of occurrences of the term in the document, tf.
    Count,
    /// 1 for each stored cell.
    Binary,
    /// tf * idf, or (1 + ln tf) * idf.
    TfIdf {
        /// Whether tf is 1 + ln tf.
        sublinear: bool,
    },
    /// idf times a saturated tf (Robertson and Zaragoza, 2009), by document length.
    Bm25 {
        /// How fast tf saturates: larger values saturate later.
        k1: f64,
        /// The weight of the document's length, from 0 to 1.
        b: f64,
        /// The formula of the saturation.
        tf: Bm25Tf,
    },
}

/// The saturation of tf in BM25. With s = k1 (1 - b + b length / mean length):
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Bm25Tf {
    /// tf c / (s + tf).
    Plain {
        /// c, the limit for large tf: k1 + 1 for atire, 1 for lucene and robertson.
        ceiling: f64,
    },
    /// BM25+ (Lv and Zhai, 2011): tf (k1 + 1) / (s + tf) + delta.
    Plus {
        /// The amount added for each term that occurs.
        delta: f64,
    },
    /// BM25L (Lv and Zhai, 2011), with t = tf k1 / s + delta: t (k1 + 1) / (k1 + t).
    Long {
        /// The amount added to the tf of each term that occurs.
        delta: f64,
    },
}

impl Bm25Tf {
    /// The saturated tf of a term that occurs `tf` times in a document. `length` is the document's normalised length:
    /// 1 - b + b length / mean length.
    ///
    /// Returns the saturated tf and the amount to subtract. As in the bm25s package, stored values of BM25+ and BM25L
    /// are reduced by the value of a term that does not occur. So a value that is not stored is 0, and the ranking of
    /// documents for a query stays the same.
    pub(crate) fn of(self, tf: f64, k1: f64, length: f64) -> (f64, f64) {
        match self {
            Bm25Tf::Plain { ceiling } => (tf * ceiling / (k1 * length + tf), 0.0),
            Bm25Tf::Plus { delta } => ((k1 + 1.0) * tf / (k1 * length + tf) + delta, delta),
            Bm25Tf::Long { delta } => {
                let saturated = |tf: f64| (k1 + 1.0) * (tf + delta) / (k1 + tf + delta);
                let absent = if delta > 0.0 { saturated(0.0) } else { 0.0 };
                (saturated(tf / length), absent)
            }
        }
    }
}

/// The divisor of each row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// No division.
    None,
    /// The sum of absolute values.
    L1,
    /// The square root of the sum of squares.
    L2,
}

/// The element type of the values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dtype {
    /// 32-bit integers.
    I32,
    /// 64-bit integers.
    I64,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

impl Dtype {
    /// Bytes of an element.
    pub fn size(self) -> u64 {
        match self {
            Dtype::I32 | Dtype::F32 => 4,
            Dtype::I64 | Dtype::F64 => 8,
        }
    }
}

/// The conversion from counts to values.
#[derive(Clone, Copy, Debug)]
pub struct ValueSettings {
    /// The formula of a cell's value.
    pub weight: Weight,
    /// The divisor of each row.
    pub norm: Norm,
    /// The element type of the values.
    pub dtype: Dtype,
}

/// The segment of each row, and where it is there: the byte offset of its record, or 8 times its row in a merged output. A row
/// without a record has no place.
#[derive(Clone, Debug)]
pub struct Places(Table<AtomicU64>);

/// Bits of a place that hold the offset in units of 8.
const OFFSET_BITS: u32 = 40;

impl Places {
    /// Creates a table for `rows` rows, all without a place.
    ///
    /// # Errors
    /// The system's error, if memory for the table runs out.
    pub fn new(rows: usize, store: &Store) -> io::Result<Self> {
        Table::new(rows, store).map(Places)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets the place of `row`: the record at byte `offset` of segment number `segment`.
    pub fn set(&self, row: usize, segment: usize, offset: usize) {
        let place = ((segment as u64 + 1) << OFFSET_BITS) | (offset as u64 / 8);
        self.0[row].store(place, Ordering::Relaxed);
    }

    /// Sets the place of `row`: the row `counted` of the merged output that is segment number `segment`.
    pub fn set_counted(&self, row: usize, segment: usize, counted: u64) {
        self.set(row, segment, 8 * counted as usize);
    }

    /// The segment number of a merged row, and its row there.
    pub(crate) fn counted(&self, row: usize) -> Option<(usize, u64)> {
        self.get(row).map(|(segment, offset)| (segment, offset as u64 / 8))
    }

    /// The segment number and byte offset of a row's record; `None` if the row has no record.
    pub fn get(&self, row: usize) -> Option<(usize, usize)> {
        let place = self.0[row].load(Ordering::Relaxed);
        let segment = (place >> OFFSET_BITS).checked_sub(1)?;
        Some((segment as usize, (place & ((1 << OFFSET_BITS) - 1)) as usize * 8))
    }
}

/// The places of a reader of rows in the segments. Each segment has its rows about in order.
#[derive(Debug, Default)]
pub(crate) struct RowPassages(Vec<Passage>);

impl MatrixPlan {
    /// The record of a row; `None` if the row has no record.
    pub fn record(&self, row: usize) -> Option<Record<'_>> {
        let (segment, offset) = self.places.get(row)?;
        Record::at(self.segments.get(segment)?.rows.records()?.bytes(), offset)
    }

    /// As [`MatrixPlan::record`], for a reader of rows in about their order.
    pub(crate) fn record_in_order(&self, row: usize, passages: &mut RowPassages) -> Option<Record<'_>> {
        let (number, offset) = self.places.get(row)?;
        let segment = self.segments.get(number)?;
        if passages.0.len() <= number {
            passages.0.resize(self.segments.len(), Passage::over_records());
        }
        segment.rows.records()?.record_in_order(offset, &mut passages.0[number])
    }

    /// The words or the terms.
    pub fn dictionary(&self, tier: Tier) -> &Dictionary {
        match tier {
            Tier::Words => &self.words,
            Tier::Terms => &self.terms,
        }
    }

    /// Takes what lies in scratch files out of this process's memory until it is accessed again.
    pub fn give_back(&self) {
        self.words.give_back();
        self.terms.give_back();
        for SegmentPlan { rows, ranks, columns, occurrences } in &self.segments {
            rows.give_back();
            ranks.give_back();
            columns.give_back();
            occurrences.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let places = Places::new(2, &Store::private()).unwrap();
        assert_eq!(places.get(0), None);
        places.set(0, 0, 0);
        places.set(1, 70_000, 8 << 30);
        assert_eq!(places.get(0), Some((0, 0)));
        assert_eq!(places.get(1), Some((70_000, 8 << 30)));
    }
}
