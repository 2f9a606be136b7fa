//! Writes `documents.jsonl`, one line for each row, and `vocabulary.jsonl`, one line for each column.
//!
//! Ranges of lines are written in parallel, each at its own offset, so all lines are measured first. Owns the two line
//! formats.

use crate::plan::{Passages, Plan};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::Ordering;

/// A line of `documents.jsonl`.
#[derive(Serialize, Deserialize)]
pub struct DocumentLine<'a> {
    /// Its path, escaped as in `documents::display_path`.
    pub path: Cow<'a, str>,
    /// Size of its file in bytes.
    pub bytes: u64,
    /// Terms counted.
    pub tokens: u64,
    /// `ok` or `failed`.
    pub status: Cow<'a, str>,
    /// The cause of its failure, if it failed.
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
    /// Its idf, where the weight has one; `None` if it is infinite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idf: Option<f64>,
}

impl<'a> TermLine<'a> {
    /// Creates the line of a term in UTF-8.
    ///
    /// # Errors
    /// If the term is not UTF-8, which no analyzer produces.
    pub fn new(term: &'a [u8], df: u64, idf: Option<f64>) -> io::Result<Self> {
        let term =
            std::str::from_utf8(term).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(TermLine { term: Cow::Borrowed(term), df, idf: idf.filter(|idf| idf.is_finite()) })
    }

    /// Bytes of the line, if they can be computed without writing it: a line without an idf and without an escape.
    fn plain_length(&self) -> Option<usize> {
        let needs_escape = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
        if self.idf.is_some() || self.term.bytes().any(needs_escape) {
            return None;
        }
        let digits = self.df.checked_ilog10().unwrap_or(0) as usize + 1;
        Some(r#"{"term":"","df":}"#.len() + self.term.len() + digits + 1)
    }
}

/// Appends one line to `out`.
///
/// # Errors
/// The writer's error.
pub fn write_line(mut out: impl io::Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut out, line)?;
    out.write_all(b"\n")
}

fn term_line<'a>(
    plan: &'a Plan,
    index: usize,
    column: u64,
    passages: &mut Passages,
) -> io::Result<TermLine<'a>> {
    let term = plan.terms.get(index);
    let idf = plan.idf.get(column as usize).map(|bits| f64::from_bits(bits.load(Ordering::Relaxed)));
    TermLine::new(plan.term_in_order(&term, passages), term.documents as u64, idf)
}

/// Sets the idf of the columns from `column` on, which belong to the plan's terms `terms`. Returns the bytes of their
/// lines.
///
/// # Errors
/// If a term is not UTF-8.
pub(crate) fn measure_terms(plan: &Plan, terms: Range<u64>, column: u64) -> io::Result<u64> {
    let (mut bytes, mut line, mut passages) = (0, Vec::new(), plan.passages());
    for (index, column) in (terms.start as usize..terms.end as usize).zip(column..) {
        if let (Some(formula), Some(slot)) = (plan.formula, plan.idf.get(column as usize)) {
            let idf = formula.of(plan.embedded, plan.terms.get(index).documents as u64);
            slot.store(idf.to_bits(), Ordering::Relaxed);
        }
        let term = term_line(plan, index, column, &mut passages)?;
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

/// Writes the lines of the plan's terms `terms` to their file from byte `offset` on. Returns the bytes written.
///
/// # Errors
/// The system's error.
pub(crate) fn write_terms(plan: &Plan, terms: Range<u64>, column: u64, offset: u64) -> io::Result<u64> {
    let (mut lines, mut passages) = (Lines::new(plan.files.terms.as_ref(), offset), plan.passages());
    for (index, column) in (terms.start as usize..terms.end as usize).zip(column..) {
        lines.push(&term_line(plan, index, column, &mut passages)?)?;
    }
    lines.flush()
}

/// Returns the bytes of the lines of the rows `rows`.
///
/// # Errors
/// None with a correct plan.
pub(crate) fn measure_documents(plan: &Plan, rows: Range<u64>) -> io::Result<u64> {
    document_lines(plan, rows, Lines::new(None, 0))
}

/// Writes the lines of the rows `rows` to their file from byte `offset` on. Returns the bytes written.
///
/// # Errors
/// The system's error.
pub(crate) fn write_documents(plan: &Plan, rows: Range<u64>, offset: u64) -> io::Result<u64> {
    document_lines(plan, rows, Lines::new(Some(&plan.files.documents), offset))
}

fn document_lines(plan: &Plan, rows: Range<u64>, mut lines: Lines) -> io::Result<u64> {
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
        lines.push(&line)?;
    }
    lines.flush()
}

/// Bytes of lines that are written at a time, about: 1 MiB.
const PENDING: usize = 1 << 20;

/// Consecutive lines of a file. Without a file they are only measured.
struct Lines<'a> {
    file: Option<&'a File>,
    offset: u64,
    /// Bytes that are written or measured.
    done: u64,
    pending: Vec<u8>,
}

impl<'a> Lines<'a> {
    /// No lines yet; the first one will be at byte `offset` of `file`.
    fn new(file: Option<&'a File>, offset: u64) -> Self {
        Lines { file, offset, done: 0, pending: Vec::new() }
    }

    fn push(&mut self, line: &impl Serialize) -> io::Result<()> {
        write_line(&mut self.pending, line)?;
        if self.pending.len() >= PENDING {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what is pending. Returns the bytes of all lines.
    fn flush(&mut self) -> io::Result<u64> {
        if let Some(file) = self.file {
            file.write_all_at(&self.pending, self.offset + self.done)?;
        }
        self.done += self.pending.len() as u64;
        self.pending.clear();
        Ok(self.done)
    }
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
