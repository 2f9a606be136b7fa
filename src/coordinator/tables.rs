//! The tables that a plan begins with.

use bowline_workers::idf::Idf;
use bowline_workers::mapped::{Store, Table};
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
