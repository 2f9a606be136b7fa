//! `documents.jsonl`, `vocabulary.jsonl` and `hash_terms.jsonl`: a line a row, a line a column.

use crate::coordinator::Term;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io::{self, Write};

/// A line of `documents.jsonl`.
#[derive(Serialize, Deserialize)]
pub struct DocumentLine<'a> {
    /// Its path, escaped.
    pub path: Cow<'a, str>,
    /// Bytes of its file.
    pub bytes: u64,
    /// Terms counted.
    pub tokens: u64,
    /// `ok` or `failed`.
    pub status: Cow<'a, str>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// One document for [`write_documents`].
#[derive(Debug)]
pub struct Document {
    /// Its path, escaped.
    pub path: String,
    /// Bytes of its file.
    pub bytes: u64,
    /// Terms counted.
    pub tokens: u64,
    /// Why it failed, if it did.
    pub cause: Option<String>,
}

/// Writes a line for each document, in row order.
///
/// # Errors
/// The writer's.
pub fn write_documents(out: &mut dyn Write, documents: impl Iterator<Item = Document>) -> io::Result<()> {
    for document in documents {
        let status = if document.cause.is_some() { "failed" } else { "ok" };
        let line = DocumentLine {
            path: Cow::Owned(document.path),
            bytes: document.bytes,
            tokens: document.tokens,
            status: Cow::Borrowed(status),
            cause: document.cause,
        };
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// A line of `vocabulary.jsonl`.
#[derive(Serialize, Deserialize)]
pub struct TermLine<'a> {
    /// The column's term.
    pub term: Cow<'a, str>,
    /// In how many documents it occurs.
    pub df: u64,
    /// Its idf, where the weight has one; none if it is infinite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idf: Option<f64>,
}

/// A term and its document frequency.
pub type TermDocuments<'a> = (&'a [u8], u64);

/// Writes a line for each term, in column order. `idf` tells as many numbers, or none.
///
/// # Errors
/// The writer's, and one if a term is no UTF-8, which no analyzer makes.
pub fn write_vocabulary<'a>(
    out: &mut dyn Write,
    terms: impl Iterator<Item = TermDocuments<'a>>,
    mut idf: impl Iterator<Item = f64>,
) -> io::Result<()> {
    for (term, df) in terms {
        let idf = idf.next().filter(|idf| idf.is_finite());
        let line = TermLine { term: Cow::Borrowed(text(term)?), df, idf };
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")?;
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
/// `Buckets::bucket` tells them; they are in order of their bytes.
///
/// # Errors
/// The writer's, and one if a term is no UTF-8, which no analyzer makes.
pub fn write_hash_terms<'a>(
    out: &mut dyn Write,
    terms: impl Iterator<Item = (u32, Term<'a>)>,
) -> io::Result<()> {
    let mut terms: Vec<(u32, Term)> = terms.collect();
    terms.sort_by_key(|(bucket, _)| bucket >> 1);
    for bucket in terms.chunk_by(|a, b| a.0 >> 1 == b.0 >> 1) {
        let named = bucket.iter().map(|(bucket, term)| {
            let sign = if bucket & 1 == 1 { -1 } else { 1 };
            Ok(BucketTerm { term: text(term.bytes)?, sign, count: term.occurrences, df: term.documents })
        });
        let line = BucketLine { column: bucket[0].0 >> 1, terms: named.collect::<io::Result<_>>()? };
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn text(term: &[u8]) -> io::Result<&str> {
    std::str::from_utf8(term).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
