//! `hash_terms.jsonl`, and the `vocabulary.jsonl` of a given vocabulary: one line per column. The workers write
//! the lines that come from the corpus (`bowline_workers::lines`).

use bowline_workers::lines::{TermLine, write_line};
use bowline_workers::plan::MergedTerm;
use serde::Serialize;
use std::io::{self, Write};

/// A term and its document frequency.
pub type TermDocuments<'a> = (&'a [u8], u64);

/// Writes a line for each term, in column order. `idf` yields one number per term, or none.
///
/// # Errors
/// The writer's, and one if a term is no UTF-8, which no analyzer makes.
pub fn write_vocabulary<'a>(
    out: &mut dyn Write,
    terms: impl Iterator<Item = TermDocuments<'a>>,
    mut idf: impl Iterator<Item = f64>,
) -> io::Result<()> {
    for (term, df) in terms {
        write_line(&mut *out, &TermLine::new(term, df, idf.next())?)?;
    }
    Ok(())
}

/// A line of `hash_terms.jsonl`.
#[derive(Serialize)]
struct BucketLine<'a> {
    column: u32,
    terms: Vec<BucketTerm<'a>>,
}

/// A term that fell in a bucket.
#[derive(Serialize)]
struct BucketTerm<'a> {
    term: &'a str,
    sign: i32,
    count: u64,
    df: u64,
}

/// Writes a line for each bucket that has terms, in column order. Each of `terms` comes with its bucket and sign, as
/// `Buckets::bucket` returns them; they are in order of their bytes.
///
/// # Errors
/// The writer's, and one if a term is no UTF-8, which no analyzer makes.
pub fn write_hash_terms<'a>(
    out: &mut dyn Write,
    terms: impl Iterator<Item = (u32, &'a [u8], MergedTerm)>,
) -> io::Result<()> {
    let mut terms: Vec<(u32, &[u8], MergedTerm)> = terms.collect();
    terms.sort_by_key(|(bucket, ..)| bucket >> 1);
    for bucket in terms.chunk_by(|a, b| a.0 >> 1 == b.0 >> 1) {
        let named = bucket.iter().map(|&(bucket, bytes, term)| {
            let sign = if bucket & 1 == 1 { -1 } else { 1 };
            Ok(BucketTerm { term: text(bytes)?, sign, count: term.occurrences, df: term.documents as u64 })
        });
        let line = BucketLine { column: bucket[0].0 >> 1, terms: named.collect::<io::Result<_>>()? };
        write_line(&mut *out, &line)?;
    }
    Ok(())
}

fn text(term: &[u8]) -> io::Result<&str> {
    std::str::from_utf8(term).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
