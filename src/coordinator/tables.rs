//! The tables that a plan begins with.

use super::RunError;
use super::tally::TalliedSegment;
use bowline_workers::dictionary::{Dictionary, Run, RunRange, Spellings};
use bowline_workers::idf::Idf;
use bowline_workers::mapped::{Store, Table};
use bowline_workers::ngram::Packing;
use bowline_workers::plan::SegmentPlan;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where idf comes from.
#[derive(Clone, Debug)]
pub enum IdfSource {
    /// The weight has none.
    None,
    /// This corpus.
    Corpus(Idf),
    /// An earlier one: idf by column, and terms a document on the average.
    Earlier(Vec<f64>, f64),
}

/// The layout of the keys of n-grams of up to `size` words.
pub(super) fn packing(segments: &[TalliedSegment], size: usize) -> Result<Packing, RunError> {
    let words: usize = segments.iter().map(TalliedSegment::word_ids).sum();
    let ranks = u32::try_from(words).ok().filter(|&ranks| ranks < u32::MAX);
    let ranks = ranks.ok_or_else(|| RunError::Broken("more than 4,294,967,294 words".into()))?;
    Ok(Packing::new(ranks, size))
}

/// The plans of all segments, the words of their n-grams with their spellings, and their terms.
pub(super) fn dictionaries(
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
        let segment = tallied.segment;
        segments.push(SegmentPlan::new(segment, local_words, local_terms, counts_occurrences, store)?);
        words.extend(tallied.words.into_iter().map(|range| (number, range)));
        terms.extend(tallied.terms.into_iter().map(|range| (number, range)));
    }
    let runs = |ranges: Vec<(usize, RunRange)>, packing, counts_occurrences| {
        let runs = ranges.into_iter();
        let runs = runs.map(|(number, range)| Run::new(number, range, packing, counts_occurrences, store));
        Dictionary::new(runs.collect::<io::Result<_>>()?, counts_occurrences, store)
    };
    let words = runs(words, None, false)?;
    Ok((segments, spellings, words, runs(terms, packing, counts_occurrences)?))
}

/// Terms a document, on the average: of the corpus that idf is from.
pub(super) fn mean_length(idf: &IdfSource, tokens: u64, embedded: u64) -> f64 {
    match idf {
        IdfSource::Earlier(_, mean_length) => *mean_length,
        _ if embedded > 0 => tokens as f64 / embedded as f64,
        _ => 0.0,
    }
}

/// The table of each column's idf, empty if the weight has none; and the formula that fills it, unless it is filled already.
pub(super) fn idf_table(
    source: &IdfSource,
    columns: usize,
    store: &Store,
) -> io::Result<(Table<AtomicU64>, Option<Idf>)> {
    match source {
        IdfSource::None => Ok((Table::new(0, store)?, None)),
        IdfSource::Corpus(formula) => Ok((Table::new(columns, store)?, Some(*formula))),
        IdfSource::Earlier(earlier, _) => {
            let idf = Table::new(columns, store)?;
            let set = |(slot, idf): (&AtomicU64, &f64)| slot.store(idf.to_bits(), Ordering::Relaxed);
            idf.iter().zip(earlier).for_each(set);
            Ok((idf, None))
        }
    }
}
