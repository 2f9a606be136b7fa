//! `documents.jsonl` and `vocabulary.jsonl`: a line a row, a line a column.

use serde::Serialize;
use std::io::{self, Write};

/// A line of `documents.jsonl`.
#[derive(Serialize)]
struct DocumentLine<'a> {
    path: &'a str,
    bytes: u64,
    tokens: u64,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
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
            path: &document.path,
            bytes: document.bytes,
            tokens: document.tokens,
            status,
            cause: document.cause,
        };
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// A line of `vocabulary.jsonl`.
#[derive(Serialize)]
struct TermLine<'a> {
    term: &'a str,
    df: u64,
}

/// Writes a line for each term and the number of documents it occurs in, in column order.
///
/// # Errors
/// The writer's, and one if a term is no UTF-8, which no analyzer makes.
pub fn write_vocabulary<'a>(
    out: &mut dyn Write,
    terms: impl Iterator<Item = (&'a [u8], u64)>,
) -> io::Result<()> {
    for (term, df) in terms {
        let term =
            std::str::from_utf8(term).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        serde_json::to_writer(&mut *out, &TermLine { term, df })?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
