//! `bowline inspect`: what an output holds, as a table for people or as JSON for scripts.

use crate::cli::InspectArgs;
use crate::matrix::Matrix;
use crate::output::{DOCUMENTS, DocumentLine, ManifestFile, OpenOutput, TermLine, VOCABULARY};
use crate::say::{self, printable, write_line};
use crate::usage_error::UsageError;
use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

/// An output, read back.
struct Output {
    manifest: ManifestFile,
    documents: Vec<DocumentLine<'static>>,
    /// None for hashed features.
    terms: Vec<TermLine<'static>>,
    matrix: Matrix,
}

/// What a whole output is like.
#[derive(Serialize)]
struct Overview {
    documents: u64,
    failed: u64,
    empty: usize,
    columns: u64,
    nonzeros: u64,
    density: f64,
    tokens: u64,
    mean_length: f64,
    weight: String,
    dtype: String,
    top_by_sum: Vec<TermValue>,
    top_by_df: Vec<TermValue>,
    longest: Vec<DocumentTokens>,
    failures: Vec<DocumentFailure>,
}

/// A term, or a bucket, and a number.
#[derive(Serialize)]
struct TermValue {
    term: String,
    value: f64,
}

/// A document and its length in tokens.
#[derive(Serialize)]
struct DocumentTokens {
    path: String,
    tokens: u64,
}

/// A document and why it failed.
#[derive(Serialize)]
struct DocumentFailure {
    path: String,
    cause: String,
}

/// One document.
#[derive(Serialize)]
struct DocumentView {
    row: usize,
    path: String,
    status: String,
    cause: Option<String>,
    bytes: u64,
    tokens: u64,
    terms: Vec<TermValue>,
}

/// One term.
#[derive(Serialize)]
struct TermView {
    term: String,
    column: usize,
    df: u64,
    idf: Option<f64>,
    sum: f64,
    documents: Vec<DocumentValue>,
}

/// A document and a term's value in it.
#[derive(Serialize)]
struct DocumentValue {
    path: String,
    value: f64,
}

/// Runs the command, which writes to `out`.
///
/// # Errors
/// If the output can't be read, or has no such document or term, or the writer's.
pub fn inspect(args: &InspectArgs, out: &mut dyn Write) -> Result<()> {
    let output = Output::read(&args.output)?;
    let top = args.top;
    match (&args.document, &args.term) {
        (Some(document), _) => {
            let view = output.document(document)?;
            print(out, args.json, &view, |out| print_document(out, &view, top))
        }
        (None, Some(term)) => {
            let view = output.term(term, top)?;
            print(out, args.json, &view, |out| print_term(out, &view))
        }
        (None, None) => {
            let overview = output.overview(top)?;
            print(out, args.json, &overview, |out| print_overview(out, &overview))
        }
    }
}

fn print<T: Serialize>(
    out: &mut dyn Write,
    json: bool,
    value: &T,
    table: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    if json {
        writeln!(out, "{}", say::json(value)?)?;
    } else {
        table(out)?;
    }
    Ok(out.flush()?)
}

impl Output {
    fn read(path: &Path) -> Result<Self> {
        let output = OpenOutput::open(path)?;
        let manifest = ManifestFile::read(&output).with_context(|| output.shown(None))?;
        let documents: Vec<DocumentLine> = lines(&output, DOCUMENTS)?;
        let has_terms = output.has(VOCABULARY);
        let terms: Vec<TermLine> = if has_terms { lines(&output, VOCABULARY)? } else { Vec::new() };
        let agrees = documents.len() as u64 == manifest.counts.documents
            && (terms.is_empty() || terms.len() as u64 == manifest.counts.columns);
        if !agrees {
            bail!("{}: its files contradict each other", output.shown(None));
        }
        let matrix = Matrix::read(&output, &manifest)?;
        Ok(Output { manifest, documents, terms, matrix })
    }

    /// The name of a column: its term, or its number if it is a bucket.
    fn name(&self, column: u64) -> String {
        self.terms.get(column as usize).map_or_else(|| format!("#{column}"), |line| line.term.to_string())
    }

    fn overview(&self, top: usize) -> Result<Overview> {
        let counts = &self.manifest.counts;
        // Of columns that occur: there may be many more.
        let (mut sums, mut documents) = (HashMap::new(), HashMap::new());
        let mut empty = 0;
        for row in 0..self.documents.len() {
            let cells = self.matrix.row(row);
            empty += usize::from(cells.is_empty() && self.documents[row].cause.is_none());
            for (column, value) in cells {
                *sums.entry(column).or_default() += value;
                *documents.entry(column).or_default() += 1.0;
            }
        }
        let mut longest: Vec<&DocumentLine> = self.documents.iter().collect();
        longest.sort_by_key(|document| std::cmp::Reverse(document.tokens));
        let failed = self.documents.iter().filter_map(|document| {
            let cause = document.cause.clone()?;
            Some(DocumentFailure { path: document.path.to_string(), cause })
        });
        let cells = counts.documents as f64 * counts.columns as f64;
        Ok(Overview {
            documents: counts.documents,
            failed: counts.failed,
            empty,
            columns: counts.columns,
            nonzeros: counts.nonzeros,
            density: if cells > 0.0 { counts.nonzeros as f64 / cells } else { 0.0 },
            tokens: counts.tokens,
            mean_length: counts.mean_length,
            weight: crate::cli::name(self.manifest.settings.values.weight),
            dtype: crate::cli::name(self.manifest.settings.values.dtype),
            top_by_sum: self.best(&sums, top),
            top_by_df: self.best(&documents, top),
            longest: longest
                .iter()
                .take(top)
                .map(|document| DocumentTokens { path: document.path.to_string(), tokens: document.tokens })
                .collect(),
            failures: failed.collect(),
        })
    }

    /// The columns with the highest values above 0, the first one between equals.
    fn best(&self, values: &HashMap<u64, f64>, top: usize) -> Vec<TermValue> {
        let mut best: Vec<_> = values.iter().filter(|column| *column.1 > 0.0).collect();
        best.sort_by(|a, b| b.1.total_cmp(a.1).then(a.0.cmp(b.0)));
        let best = best.into_iter().take(top);
        best.map(|(&column, &value)| TermValue { term: self.name(column), value }).collect()
    }

    fn document(&self, wanted: &str) -> Result<DocumentView> {
        let by_path = self.documents.iter().position(|document| document.path == wanted);
        let by_row = || wanted.parse::<usize>().ok().filter(|&row| row < self.documents.len());
        let row = by_path.or_else(by_row).ok_or_else(|| {
            let last = self.documents.len().saturating_sub(1);
            UsageError(format!("--document {wanted}: no such path, and no row from 0 to {last}"))
        })?;
        let mut cells = self.matrix.row(row);
        cells.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let line = &self.documents[row];
        Ok(DocumentView {
            row,
            path: line.path.to_string(),
            status: line.status.to_string(),
            cause: line.cause.clone(),
            bytes: line.bytes,
            tokens: line.tokens,
            terms: cells
                .into_iter()
                .map(|(column, value)| TermValue { term: self.name(column), value })
                .collect(),
        })
    }

    fn term(&self, wanted: &str, top: usize) -> Result<TermView> {
        if self.terms.is_empty() {
            return Err(UsageError("--term: hashed features have no terms".to_owned()).into());
        }
        let column = self.terms.iter().position(|line| line.term == wanted);
        let column = column.ok_or_else(|| UsageError(format!("--term {wanted}: not in the vocabulary")))?;
        let mut documents = Vec::new();
        for (row, document) in self.documents.iter().enumerate() {
            if let Some((_, value)) = self.matrix.row(row).into_iter().find(|cell| cell.0 == column as u64) {
                documents.push(DocumentValue { path: document.path.to_string(), value });
            }
        }
        let sum = documents.iter().map(|document| document.value).sum();
        documents.sort_by(|a, b| b.value.total_cmp(&a.value));
        documents.truncate(top);
        let TermLine { term, df, idf } = &self.terms[column];
        Ok(TermView { term: term.to_string(), column, df: *df, idf: *idf, sum, documents })
    }
}

fn lines<T: DeserializeOwned>(output: &OpenOutput, name: &str) -> Result<Vec<T>> {
    output.lines(name).with_context(|| output.shown(Some(name)))
}

fn print_overview(out: &mut dyn Write, view: &Overview) -> io::Result<()> {
    let mut line = |line: String| write_line(out, &line);
    line(format!("{:>12}  documents, {} failed, {} empty", view.documents, view.failed, view.empty))?;
    line(format!("{:>12}  columns", view.columns))?;
    line(format!("{:>12}  non-zeros, density {:.4} %", view.nonzeros, 100.0 * view.density))?;
    line(format!("{:>12}  tokens, {:.1} a document", view.tokens, view.mean_length))?;
    line(format!("{:>12}  of {}", view.weight, view.dtype))?;
    writeln!(out, "\nterms by sum of their values")?;
    print_terms(out, &view.top_by_sum)?;
    writeln!(out, "\nterms by documents")?;
    print_terms(out, &view.top_by_df)?;
    writeln!(out, "\nlongest documents, in tokens")?;
    for document in &view.longest {
        write_line(out, &format!("{:>12}  {}", document.tokens, document.path))?;
    }
    if !view.failures.is_empty() {
        writeln!(out, "\nfailed documents")?;
        for failure in &view.failures {
            write_line(out, &format!("  {}: {}", failure.path, failure.cause))?;
        }
    }
    Ok(())
}

fn print_terms(out: &mut dyn Write, terms: &[TermValue]) -> io::Result<()> {
    let mut print =
        |term: &TermValue| write_line(out, &format!("{:>12}  {}", number(term.value), shown(&term.term)));
    terms.iter().try_for_each(&mut print)
}

fn print_document(out: &mut dyn Write, view: &DocumentView, top: usize) -> io::Result<()> {
    let DocumentView { row, path, bytes, tokens, .. } = view;
    write_line(out, &format!("row {row}: {path}, {bytes} bytes, {tokens} tokens"))?;
    if let Some(cause) = &view.cause {
        write_line(out, &format!("failed: {cause}"))?;
    }
    print_terms(out, &view.terms[..view.terms.len().min(top)])?;
    if view.terms.len() > top {
        writeln!(out, "{:>12}  and {} more terms (--top shows more)", "", view.terms.len() - top)?;
    }
    Ok(())
}

fn print_term(out: &mut dyn Write, view: &TermView) -> io::Result<()> {
    let idf = view.idf.map(|idf| format!(", idf {idf:.4}")).unwrap_or_default();
    let (term, sum) = (shown(&view.term), number(view.sum));
    let TermView { column, df, .. } = view;
    write_line(out, &format!("column {column}: {term}, {df} documents{idf}, sum of values {sum}"))?;
    for document in &view.documents {
        write_line(out, &format!("{:>12}  {}", number(document.value), document.path))?;
    }
    Ok(())
}

/// A whole number as such, another one with four decimals.
fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.4}") }
}

/// A term; in quotes and escaped if it has spaces at its ends, or characters that can't be seen.
fn shown(term: &str) -> String {
    if term.trim() != term || printable(term) != term { format!("{term:?}") } else { term.to_owned() }
}
