//! Writes `documents.jsonl`, one line for each row, and `vocabulary.jsonl`, one line for each column.
//!
//! Ranges of lines are written in parallel, each at its own offset, so all lines are measured first. Owns the two line
//! formats.

use crate::documents::{DocumentName, display_path};
use crate::encoding::Encoding;
use crate::mapped::write_behind;
use crate::matrix_plan::{MatrixPlan, RowPassages};
use crate::plan::{MergedLines, Plan, RowDocuments};
use crate::spelling::Speller;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A line of `documents.jsonl`.
#[derive(Serialize, Deserialize)]
pub struct DocumentLine<'a> {
    /// Its path, escaped as in `documents::display_path`.
    pub path: Cow<'a, str>,
    /// Its number in its file, from 0, if the file contains many documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
    /// Its path in an archive, escaped as its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<Cow<'a, str>>,
    /// Its identifier, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Cow<'a, str>>,
    /// The encoding that was guessed for it, if it was and is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Cow<'a, str>>,
    /// Bytes of its text.
    pub bytes: u64,
    /// Terms counted.
    pub tokens: u64,
    /// `ok` or `failed`.
    pub status: Cow<'a, str>,
    /// The cause of its failure, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

impl DocumentLine<'_> {
    /// Whether the document failed.
    pub fn has_failed(&self) -> bool {
        self.status != "ok"
    }

    /// The document's name.
    pub fn name(&self) -> DocumentName {
        DocumentName {
            path: self.path.to_string(),
            record: self.record,
            member: self.member.as_ref().map(|member| member.to_string()),
            id: self.id.as_ref().map(|id| id.to_string()),
        }
    }
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

    /// Reads a line. Most lines have no escape and no idf; these take a fraction of the time of a parser of JSON.
    ///
    /// # Errors
    /// If it is no such line.
    pub fn read(line: &'a [u8]) -> serde_json::Result<Self> {
        TermLine::read_plain(line).map_or_else(|| serde_json::from_slice(line), Ok)
    }

    /// The same for a line without an escape and an idf, as [`push_term_line`] writes it; `None` if it is none.
    fn read_plain(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_prefix(BEFORE_TERM)?.strip_suffix(END)?;
        let (rest, digits) = rest.split_at(rest.iter().rposition(|byte| !byte.is_ascii_digit())? + 1);
        let term = rest.strip_suffix(BEFORE_DF).filter(|term| !needs_escape(term))?;
        // Neither empty nor with a leading zero, which is no number of JSON.
        let df =
            str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('0') || digits.len() == 1)?;
        let (term, df) = (str::from_utf8(term).ok()?, df.parse().ok()?);
        Some(TermLine { term: Cow::Borrowed(term), df, idf: None })
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

/// The parts of a term's line, as [`TermLine`] is serialized.
const BEFORE_TERM: &[u8] = br#"{"term":""#;
const BEFORE_DF: &[u8] = br#"","df":"#;
const BEFORE_IDF: &[u8] = br#","idf":"#;
const END: &[u8] = b"}\n";

/// Whether JSON needs an escape in a term. Looks at all bytes, which takes less time than to stop at the first.
fn needs_escape(term: &[u8]) -> bool {
    term.iter().fold(false, |needs, &byte| needs | (byte < 0x20) | (byte == b'"') | (byte == b'\\'))
}

/// Appends the digits of a number.
pub(crate) fn push_digits(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Appends the line of a term. Whether the term is UTF-8 is for the caller to check.
///
/// # Errors
/// If the term needs an escape and is not UTF-8.
fn push_term_line(out: &mut Vec<u8>, term: &[u8], df: u64, idf: Option<f64>) -> io::Result<()> {
    if needs_escape(term) {
        return write_line(out, &TermLine::new(term, df, idf)?);
    }
    out.extend_from_slice(BEFORE_TERM);
    out.extend_from_slice(term);
    out.extend_from_slice(BEFORE_DF);
    push_digits(out, df);
    if let Some(idf) = idf.filter(|idf| idf.is_finite()) {
        out.extend_from_slice(BEFORE_IDF);
        serde_json::to_writer(&mut *out, &idf)?;
    }
    out.extend_from_slice(END);
    Ok(())
}

/// Bytes of the line of a term, if they can be computed without writing it: a line without an idf and without an escape.
fn plain_length(term: &[u8], df: u64, idf: Option<f64>) -> Option<usize> {
    if idf.is_some() || needs_escape(term) {
        return None;
    }
    let digits = df.checked_ilog10().unwrap_or(0) as usize + 1;
    Some(BEFORE_TERM.len() + term.len() + BEFORE_DF.len() + digits + END.len())
}

/// Appends a string of JSON.
fn push_string(out: &mut Vec<u8>, text: &str) -> io::Result<()> {
    if needs_escape(text.as_bytes()) {
        return Ok(serde_json::to_writer(out, text)?);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
    Ok(())
}

/// Appends the line of a document, as `write_line` does in several times the time.
fn push_document_line(out: &mut Vec<u8>, line: &DocumentLine) -> io::Result<()> {
    let DocumentLine { path, record, member, id, encoding, bytes, tokens, status, cause } = line;
    let number = |out: &mut Vec<u8>, before: &[u8], number: u64| {
        out.extend_from_slice(before);
        push_digits(out, number);
    };
    let string = |out: &mut Vec<u8>, before: &[u8], text: Option<&str>| match text {
        None => Ok(()),
        Some(text) => {
            out.extend_from_slice(before);
            push_string(out, text)
        }
    };
    string(out, br#"{"path":"#, Some(path))?;
    record.iter().for_each(|&record| number(out, br#","record":"#, record));
    string(out, br#","member":"#, member.as_deref())?;
    string(out, br#","id":"#, id.as_deref())?;
    string(out, br#","encoding":"#, encoding.as_deref())?;
    number(out, br#","bytes":"#, *bytes);
    number(out, br#","tokens":"#, *tokens);
    string(out, br#","status":"#, Some(status))?;
    string(out, br#","cause":"#, cause.as_deref())?;
    out.extend_from_slice(END);
    Ok(())
}

/// How many terms ahead words are prefetched.
const AHEAD: usize = 8;

/// The idf of a column, if the weight has one.
fn idf(plan: &MatrixPlan, column: u64) -> Option<f64> {
    plan.idf.get(column as usize).map(|bits| f64::from_bits(bits.load(Ordering::Relaxed)))
}

/// Sets the idf of the columns from `column` on, which belong to the plan's terms `terms`. Returns the bytes of their
/// lines.
///
/// # Errors
/// If a term is not UTF-8.
pub(crate) fn measure_terms(plan: &MatrixPlan, terms: Range<u64>, column: u64) -> io::Result<u64> {
    plan.words.expect_texts();
    let (mut bytes, mut line, mut speller) = (0, Vec::new(), Speller::new(plan));
    for (index, column) in (terms.start as usize..terms.end as usize).zip(column..) {
        speller.expect(index + AHEAD);
        let term = plan.terms.merged.get(index);
        let df = term.documents as u64;
        if let (Some(formula), Some(slot)) = (plan.formula, plan.idf.get(column as usize)) {
            slot.store(formula.of(plan.embedded, df).to_bits(), Ordering::Relaxed);
        }
        let (spelled, idf) = (speller.spell(&term), idf(plan, column));
        bytes += match plain_length(spelled, df, idf) {
            Some(length) => length,
            None => {
                line.clear();
                push_term_line(&mut line, spelled, df, idf)?;
                line.len()
            }
        };
    }
    Ok(bytes as u64)
}

/// Writes the lines of the plan's terms `terms` to their file from byte `offset` on. Returns the bytes written.
///
/// # Errors
/// The system's error. If a term is not UTF-8, which no analyzer produces.
pub(crate) fn write_terms(plan: &Plan, terms: Range<u64>, column: u64, offset: u64) -> io::Result<u64> {
    plan.matrix.words.expect_texts();
    let (mut lines, mut speller) =
        (Lines::new(plan.files.terms.as_ref(), offset), Speller::new(&plan.matrix));
    for (index, column) in (terms.start as usize..terms.end as usize).zip(column..) {
        speller.expect(index + AHEAD);
        let term = plan.matrix.terms.merged.get(index);
        let (spelled, df) = (speller.spell(&term), term.documents as u64);
        lines.push(|out| push_term_line(out, spelled, df, idf(&plan.matrix, column)))?;
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
    let of_run = match &plan.documents {
        RowDocuments::OfRun(of_run) => of_run,
        RowDocuments::OfOutputs(outputs) => return merged_lines(plan, outputs, rows, lines),
    };
    let mut passages = RowPassages::default();
    // The file of the last line. Many documents may have the same.
    let mut shown: Option<(usize, String)> = None;
    for row in rows.start as usize..rows.end as usize {
        let record = plan.matrix.record_in_order(row, &mut passages);
        let failure = match record {
            Some(record) => record.failure(),
            None => plan.condemned.get(&row).copied(),
        };
        let about = record.map(|record| record.about()).unwrap_or_default();
        let (file, number) = of_run.place(row);
        let (_, path) = match shown.take_if(|(last, _)| *last == file) {
            Some(last) => shown.insert(last),
            None => shown.insert((file, of_run.files().shown(file))),
        };
        let line = DocumentLine {
            path: Cow::Borrowed(path),
            record: number,
            member: about.member.map(|member| Cow::Owned(display_path(member))),
            id: about.id_text(),
            encoding: about.encoding.and_then(Encoding::of_number).map(|encoding| encoding.label().into()),
            bytes: record.map_or(0, |record| record.text_bytes()),
            tokens: record.map_or(0, |record| record.tokens()),
            status: Cow::Borrowed(if failure.is_some() { "failed" } else { "ok" }),
            cause: failure.map(|failure| failure.with_fields(&plan.records).to_string()),
        };
        lines.push(|out| push_document_line(out, &line))?;
    }
    lines.flush()
}

/// The lines of rows of outputs that are merged.
fn merged_lines(
    plan: &Plan,
    outputs: &[Arc<dyn MergedLines>],
    rows: Range<u64>,
    mut lines: Lines,
) -> io::Result<u64> {
    for row in rows.start as usize..rows.end as usize {
        let place = plan.matrix.places.counted(row);
        let place = place.and_then(|(output, row)| Some((outputs.get(output)?, row)));
        let (output, row) = place.ok_or(io::ErrorKind::InvalidData)?;
        lines.push(|out| match output.unchanged(row) {
            Some(bytes) => {
                out.extend_from_slice(bytes);
                Ok(())
            }
            None => push_document_line(out, &output.line(row)?),
        })?;
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

    /// Adds the line that `write` appends.
    fn push(&mut self, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        write(&mut self.pending)?;
        if self.pending.len() >= PENDING {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what is pending, if it is UTF-8. Returns the bytes of all lines.
    fn flush(&mut self) -> io::Result<u64> {
        let is_text = simdutf8::basic::from_utf8(&self.pending);
        is_text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if let Some(file) = self.file {
            let start = self.offset + self.done;
            file.write_all_at(&self.pending, start)?;
            write_behind(file, start..start + self.pending.len() as u64);
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
        fn lines_are_those_of_serde(term in "[a-zé\"\\\\\u{1}\u{7F}]{0,9}", df in prop_oneof![0u64..1000, any::<u64>()],
                                    idf in proptest::option::of(any::<f64>())) {
            let (mut expected, mut written) = (Vec::new(), Vec::new());
            write_line(&mut expected, &TermLine::new(term.as_bytes(), df, idf).unwrap()).unwrap();
            push_term_line(&mut written, term.as_bytes(), df, idf).unwrap();
            prop_assert_eq!(&written, &expected);
            let read = TermLine::read(&written).unwrap();
            prop_assert_eq!((&*read.term, read.df, read.idf), (&*term, df, idf.filter(|idf| idf.is_finite())));
            let length = plain_length(term.as_bytes(), df, idf);
            prop_assert!(length.is_none_or(|length| length == written.len()));
        }

        #[test]
        fn lines_of_documents_are_those_of_serde(
            texts in proptest::array::uniform5(proptest::option::of("[a-zé\"\\\\\u{1}\u{7F}]{0,9}")),
            record in proptest::option::of(any::<u64>()),
            [bytes, tokens] in any::<[u64; 2]>(),
        ) {
            let [path, member, id, encoding, cause] = texts;
            let line = DocumentLine {
                path: path.unwrap_or_default().into(),
                record,
                member: member.map(Cow::Owned),
                id: id.map(Cow::Owned),
                encoding: encoding.map(Cow::Owned),
                bytes,
                tokens,
                status: Cow::Borrowed("ok"),
                cause,
            };
            let (mut expected, mut written) = (Vec::new(), Vec::new());
            write_line(&mut expected, &line).unwrap();
            push_document_line(&mut written, &line).unwrap();
            prop_assert_eq!(&written, &expected);
        }
    }
}
