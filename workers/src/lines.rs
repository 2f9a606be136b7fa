//! `documents.jsonl` and `vocabulary.jsonl`: a line a row, a line a column.
//!
//! Lines are written in parallel, each range at its own place: so they are measured first.

use crate::plan::Plan;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::Ordering;

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

impl<'a> TermLine<'a> {
    /// The line of a term, which is UTF-8.
    ///
    /// # Errors
    /// If it isn't, which no analyzer brings about.
    pub fn new(term: &'a [u8], df: u64, idf: Option<f64>) -> io::Result<Self> {
        let term =
            std::str::from_utf8(term).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(TermLine { term: Cow::Borrowed(term), df, idf: idf.filter(|idf| idf.is_finite()) })
    }

    /// Bytes of the line, if that can be told without writing it: without an idf, and nothing to escape.
    fn plain_length(&self) -> Option<usize> {
        let needs_escape = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
        if self.idf.is_some() || self.term.bytes().any(needs_escape) {
            return None;
        }
        let digits = self.df.checked_ilog10().unwrap_or(0) as usize + 1;
        Some(r#"{"term":"","df":}"#.len() + self.term.len() + digits + 1)
    }
}

/// Adds one line to `out`.
///
/// # Errors
/// The writer's.
pub fn write_line(mut out: impl io::Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut out, line)?;
    out.write_all(b"\n")
}

fn term_line(plan: &Plan, index: usize, column: u64) -> io::Result<TermLine<'_>> {
    let term = plan.terms.get(index);
    let idf = plan.idf.get(column as usize).map(|bits| f64::from_bits(bits.load(Ordering::Relaxed)));
    TermLine::new(plan.term(&term), term.documents as u64, idf)
}

/// Sets the idf of the columns from `column` on, which are the plan's terms `terms`, and returns the bytes of their
/// lines.
///
/// # Errors
/// If a term is no UTF-8.
pub(crate) fn measure_terms(plan: &Plan, terms: Range<u64>, column: u64) -> io::Result<u64> {
    let (mut bytes, mut line) = (0, Vec::new());
    for (index, column) in (terms.start as usize..terms.end as usize).zip(column..) {
        if let (Some(formula), Some(slot)) = (plan.formula, plan.idf.get(column as usize)) {
            let idf = formula.of(plan.embedded, plan.terms.get(index).documents as u64);
            slot.store(idf.to_bits(), Ordering::Relaxed);
        }
        let term = term_line(plan, index, column)?;
        bytes += match term.plain_length() {
            Some(length) => length,
            None => {
                line.clear();
                write_line(&mut line, &term)?;
                line.len()
            }
        };
    }
    Ok(bytes as u64)
}

/// Writes the lines of the plan's terms `terms` from `offset` of their file on; returns their bytes.
///
/// # Errors
/// The system's.
pub(crate) fn write_terms(plan: &Plan, terms: Range<u64>, column: u64, offset: u64) -> io::Result<u64> {
    let mut lines = Vec::new();
    for (index, column) in (terms.start as usize..terms.end as usize).zip(column..) {
        write_line(&mut lines, &term_line(plan, index, column)?)?;
    }
    if let Some(file) = &plan.files.terms {
        file.write_all_at(&lines, offset)?;
    }
    Ok(lines.len() as u64)
}

/// Bytes of the lines of `rows`.
///
/// # Errors
/// None that a correct plan brings about.
pub(crate) fn measure_documents(plan: &Plan, rows: Range<u64>) -> io::Result<u64> {
    Ok(document_lines(plan, rows)?.len() as u64)
}

/// Writes the lines of `rows` from `offset` of their file on; returns their bytes.
///
/// # Errors
/// The system's.
pub(crate) fn write_documents(plan: &Plan, rows: Range<u64>, offset: u64) -> io::Result<u64> {
    let lines = document_lines(plan, rows)?;
    plan.files.documents.write_all_at(&lines, offset)?;
    Ok(lines.len() as u64)
}

fn document_lines(plan: &Plan, rows: Range<u64>) -> io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for row in rows.start as usize..rows.end as usize {
        let record = plan.record(row);
        let failure = match record {
            Some(record) => record.failure(),
            None => plan.condemned.get(&row).copied(),
        };
        let line = DocumentLine {
            path: Cow::Owned(plan.documents.shown(row)),
            bytes: record.map_or(0, |record| record.source().bytes),
            tokens: record.map_or(0, |record| record.tokens()),
            status: Cow::Borrowed(if failure.is_some() { "failed" } else { "ok" }),
            cause: failure.map(|failure| failure.to_string()),
        };
        write_line(&mut lines, &line)?;
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lengths_are_told_right(term in "[a-zé\"\\\\\u{1}\u{7F}]{0,9}", df in prop_oneof![0u64..1000, any::<u64>()],
                                  idf in proptest::option::of(any::<f64>())) {
            let line = TermLine::new(term.as_bytes(), df, idf).unwrap();
            let mut written = Vec::new();
            write_line(&mut written, &line).unwrap();
            prop_assert!(line.plain_length().is_none_or(|length| length == written.len()));
        }
    }
}
