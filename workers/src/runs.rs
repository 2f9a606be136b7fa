//! The runs that the terms of segments are sorted in, and the tables for them.

use crate::counted_rows::{CountedRows, SegmentRows};
use crate::dictionary::{Dictionary, Run, RunRange, Spellings};
use crate::mapped::Store;
use crate::matrix_plan::SegmentPlan;
use crate::ngram::Packing;
use crate::segment::{Record, RowNumbers, Segment};
use std::io;
use std::sync::Arc;

/// Adds `ids` terms of a record at `start` with `bytes` bytes to the last run, or to a new one if that would cost more than
/// `most` bytes.
fn add_to_runs(runs: &mut Vec<RunRange>, start: usize, ids: u32, bytes: usize, most: usize) {
    let ids = ids as usize;
    if ids == 0 {
        return;
    }
    let of_record = |first: usize| RunRange { start, ids: first..first + ids, bytes };
    match runs.last_mut() {
        Some(run) if run.cost() + of_record(run.ids.end).cost() <= most => {
            run.ids.end += ids;
            run.bytes += bytes;
        }
        Some(run) => {
            let next = of_record(run.ids.end);
            runs.push(next);
        }
        None => runs.push(of_record(0)),
    }
}

/// A segment, and the runs that it is sorted in.
#[derive(Debug)]
pub struct TalliedSegment {
    /// Its rows.
    pub rows: SegmentRows,
    /// The runs of words of n-grams.
    pub words: Vec<RunRange>,
    /// The runs of terms that are to be sorted.
    pub terms: Vec<RunRange>,
    /// The run of all terms of a merged output, which is sorted.
    pub sorted: Option<Run>,
}

impl TalliedSegment {
    /// A segment of which no record was added to its runs.
    pub fn new(segment: Segment) -> Self {
        let rows = SegmentRows::Records(segment);
        TalliedSegment { rows, words: Vec::new(), terms: Vec::new(), sorted: None }
    }

    /// An output that is merged, with the run of its terms; `None` if its columns are buckets.
    pub fn counted(output: Arc<dyn CountedRows>, sorted: Option<Run>) -> Self {
        TalliedSegment { rows: SegmentRows::Counted(output), words: Vec::new(), terms: Vec::new(), sorted }
    }

    /// The number of local ids of terms.
    pub fn ids(&self) -> usize {
        let last = self.terms.last().or(self.sorted.as_ref().map(|run| &run.range));
        last.map_or(0, |run| run.ids.end)
    }

    /// The number of local ids of words of n-grams.
    pub fn word_ids(&self) -> usize {
        self.words.last().map_or(0, |run| run.ids.end)
    }

    /// Adds the new terms of a record to the runs, each of which may cost `most` bytes.
    pub fn add(&mut self, record: &Record, numbers: RowNumbers, most: usize) {
        let start = record.offset();
        let spelled = match numbers {
            RowNumbers::Columns(_) | RowNumbers::Terms => &mut self.terms,
            RowNumbers::Ngrams => {
                add_to_runs(&mut self.terms, start, record.new_ngrams(), record.ngram_bytes(), most);
                &mut self.words
            }
        };
        add_to_runs(spelled, start, record.new_terms(), record.term_bytes(), most);
    }
}

/// The layout of the keys of n-grams of up to `size` words; `None` if there are more than 4,294,967,294 words.
pub fn packing(segments: &[TalliedSegment], size: usize) -> Option<Packing> {
    let words: usize = segments.iter().map(TalliedSegment::word_ids).sum();
    let ranks = u32::try_from(words).ok().filter(|&ranks| ranks < u32::MAX)?;
    Some(Packing::new(ranks, size))
}

/// The plans of all segments, the words of their n-grams with their spellings, and their terms.
///
/// # Errors
/// The system's, if there is no memory for the tables.
pub fn dictionaries(
    tallied: Vec<TalliedSegment>,
    packing: Option<Packing>,
    counts_occurrences: bool,
    store: &Store,
) -> io::Result<(Vec<SegmentPlan>, Spellings, Dictionary, Dictionary)> {
    let local_words = tallied.iter().map(TalliedSegment::word_ids).sum();
    let spellings = Spellings::new(local_words, store)?;
    let (mut segments, mut words, mut terms) = (Vec::with_capacity(tallied.len()), Vec::new(), Vec::new());
    for (number, tallied) in tallied.into_iter().enumerate() {
        let (local_words, local_terms) = (tallied.word_ids(), tallied.ids());
        let TalliedSegment { rows, words: of_words, terms: of_terms, sorted } = tallied;
        segments.push(SegmentPlan::new(rows, local_words, local_terms, counts_occurrences, store)?);
        for range in of_words {
            words.push(Run::new(number, range, None, false, store)?);
        }
        for range in of_terms {
            terms.push(Run::new(number, range, packing, counts_occurrences, store)?);
        }
        terms.extend(sorted.map(|run| run.of_segment(number)));
    }
    let words = Dictionary::new(words, false, store)?;
    Ok((segments, spellings, words, Dictionary::new(terms, counts_occurrences, store)?))
}
