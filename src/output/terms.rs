//! `hash_terms.jsonl`, and the `vocabulary.jsonl` of a given vocabulary: one line per column. The workers write
//! the lines that come from the corpus (`bowline_workers::lines`).

use bowline_workers::dictionary::MergedTerm;
use bowline_workers::lines::{TermLine, write_line};
use serde::ser::{Error as _, SerializeSeq as _};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
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
struct BucketLine<T> {
    column: u32,
    terms: T,
}

/// The terms of a bucket: written one after the other, however many there are.
struct BucketTerms<I>(I);

impl<'a, I: Iterator<Item = (u32, Cow<'a, [u8]>, MergedTerm)> + Clone> Serialize for BucketTerms<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut terms = serializer.serialize_seq(None)?;
        for (bucket, bytes, term) in self.0.clone() {
            let sign = if bucket & 1 == 1 { -1 } else { 1 };
            let named = std::str::from_utf8(&bytes).map_err(S::Error::custom)?;
            let (count, df) = (term.occurrences, term.documents as u64);
            terms.serialize_element(&BucketTerm { term: named, sign, count, df })?;
        }
        terms.end()
    }
}

/// A term that fell in a bucket.
#[derive(Serialize)]
struct BucketTerm<'a> {
    term: &'a str,
    sign: i32,
    count: u64,
    df: u64,
}

/// Writes a line for each bucket that has terms. `buckets` returns their terms in column order; each term comes with its bucket
/// and sign, as `Buckets::bucket` returns them.
///
/// # Errors
/// The writer's, and one if a term is no UTF-8, which no analyzer makes.
pub fn write_hash_terms<'a, I>(out: &mut dyn Write, buckets: impl Iterator<Item = I>) -> io::Result<()>
where
    I: Iterator<Item = (u32, Cow<'a, [u8]>, MergedTerm)> + Clone,
{
    for terms in buckets {
        if let Some((bucket, ..)) = terms.clone().next() {
            write_line(&mut *out, &BucketLine { column: bucket >> 1, terms: BucketTerms(terms) })?;
        }
    }
    Ok(())
}
