//! An output, read back: views of the whole, of a document, and of a term.

use super::manifest::ManifestFile;
use super::matrix::Matrix;
use super::names::{DOCUMENTS, VOCABULARY};
use super::reader::OpenOutput;
use crate::error::{Error, ErrorKind, Fault};
use crate::settings::name;
use anyhow::{Context as _, bail};
use bowline_workers::documents::DocumentName;
use bowline_workers::lines::{DocumentLine, TermLine};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::path::Path;

/// An output, read back.
pub struct Output {
    manifest: ManifestFile,
    documents: Vec<DocumentLine<'static>>,
    /// None for hashed features.
    terms: Vec<TermLine<'static>>,
    /// `None` if its format is not read.
    matrix: Option<Matrix>,
}

/// What a whole output is like.
#[derive(Clone, Debug, Serialize)]
pub struct Overview {
    /// Rows.
    pub documents: u64,
    /// Rows whose document failed.
    pub failed: u64,
    /// Rows without a cell whose document did not fail. `None`, as `top_by_sum` and `top_by_df`, if the matrix has a format
    /// that is not read.
    pub empty: Option<usize>,
    /// Columns.
    pub columns: u64,
    /// Stored cells.
    pub nonzeros: u64,
    /// Share of the cells that are stored.
    pub density: f64,
    /// Terms counted.
    pub tokens: u64,
    /// Terms a document, on the average.
    pub mean_length: f64,
    /// What cells hold.
    pub weight: String,
    /// Their type.
    pub dtype: String,
    /// The columns with the largest sums of values.
    pub top_by_sum: Option<Vec<TermValue>>,
    /// The columns in the most documents.
    pub top_by_df: Option<Vec<TermValue>>,
    /// The documents with the most tokens.
    pub longest: Vec<DocumentTokens>,
    /// The documents that failed.
    pub failures: Vec<DocumentFailure>,
}

/// A term, or a bucket, and a number.
#[derive(Clone, Debug, Serialize)]
pub struct TermValue {
    /// The term, or `#` and the number of a bucket.
    pub term: String,
    /// The number.
    pub value: f64,
}

/// A document and its length in tokens.
#[derive(Clone, Debug, Serialize)]
pub struct DocumentTokens {
    /// The document's name.
    #[serde(flatten)]
    pub name: DocumentName,
    /// Its tokens.
    pub tokens: u64,
}

/// A document and why it failed.
#[derive(Clone, Debug, Serialize)]
pub struct DocumentFailure {
    /// The document's name.
    #[serde(flatten)]
    pub name: DocumentName,
    /// Why it failed.
    pub cause: String,
}

/// One document.
#[derive(Clone, Debug, Serialize)]
pub struct DocumentView {
    /// Its row.
    pub row: usize,
    /// The document's name.
    #[serde(flatten)]
    pub name: DocumentName,
    /// `ok`, or how it failed.
    pub status: String,
    /// Why it failed.
    pub cause: Option<String>,
    /// Its bytes.
    pub bytes: u64,
    /// Its tokens.
    pub tokens: u64,
    /// Its terms, the highest values first.
    pub terms: Vec<TermValue>,
}

/// One term.
#[derive(Clone, Debug, Serialize)]
pub struct TermView {
    /// The term, or `#` and the number of a bucket.
    pub term: String,
    /// Its column.
    pub column: usize,
    /// Documents that have it.
    pub df: u64,
    /// Its inverse document frequency, if there is one.
    pub idf: Option<f64>,
    /// Sum of its values.
    pub sum: f64,
    /// The documents with its highest values.
    pub documents: Vec<DocumentValue>,
}

/// A document and a term's value in it.
#[derive(Clone, Debug, Serialize)]
pub struct DocumentValue {
    /// The document's name.
    #[serde(flatten)]
    pub name: DocumentName,
    /// The number.
    pub value: f64,
}

impl Output {
    /// Opens and reads the output at `path`.
    ///
    /// # Errors
    /// If it is none, is damaged, or can't be read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self::read(path)?)
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
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

    /// What the whole output is like, with the `top` columns and documents.
    pub fn overview(&self, top: usize) -> Overview {
        let counts = &self.manifest.counts;
        let (empty, top_by_sum, top_by_df) = match &self.matrix {
            Some(matrix) => {
                let (empty, [sums, documents]) = self.sums(matrix);
                (Some(empty), Some(self.best(&sums, top)), Some(self.best(&documents, top)))
            }
            None => (None, None, None),
        };
        let mut longest: Vec<&DocumentLine> = self.documents.iter().collect();
        longest.sort_by_key(|document| std::cmp::Reverse(document.tokens));
        let failed = self.documents.iter().filter_map(|document| {
            let cause = document.cause.clone()?;
            Some(DocumentFailure { name: document.name(), cause })
        });
        let cells = counts.documents as f64 * counts.columns as f64;
        Overview {
            documents: counts.documents,
            failed: counts.failed,
            empty,
            columns: counts.columns,
            nonzeros: counts.nonzeros,
            density: if cells > 0.0 { counts.nonzeros as f64 / cells } else { 0.0 },
            tokens: counts.tokens,
            mean_length: counts.mean_length,
            weight: name(&self.manifest.settings.values.weight),
            dtype: name(&self.manifest.settings.values.dtype),
            top_by_sum,
            top_by_df,
            longest: longest
                .iter()
                .take(top)
                .map(|document| DocumentTokens { name: document.name(), tokens: document.tokens })
                .collect(),
            failures: failed.collect(),
        }
    }

    /// The number of empty rows, and the sum of each column's values and the number of its documents. A column that does not
    /// occur has none: there may be many.
    fn sums(&self, matrix: &Matrix) -> (usize, [HashMap<u64, f64>; 2]) {
        let (mut sums, mut documents) = (HashMap::new(), HashMap::new());
        let mut empty = 0;
        for row in 0..self.documents.len() {
            let cells = matrix.row(row);
            empty += usize::from(cells.is_empty() && self.documents[row].cause.is_none());
            for (column, value) in cells {
                *sums.entry(column).or_default() += value;
                *documents.entry(column).or_default() += 1.0;
            }
        }
        (empty, [sums, documents])
    }

    /// The matrix.
    ///
    /// # Errors
    /// If its format is not read.
    fn matrix(&self) -> Result<&Matrix, Fault> {
        self.matrix.as_ref().ok_or_else(|| {
            let text = format!("{}: inspect shows values of npz and npy outputs only", self.manifest.matrix);
            Fault::new(ErrorKind::Usage, text)
        })
    }

    /// The columns with the highest values above 0, the first one between equals.
    fn best(&self, values: &HashMap<u64, f64>, top: usize) -> Vec<TermValue> {
        let mut best: Vec<_> = values.iter().filter(|column| *column.1 > 0.0).collect();
        best.sort_by(|a, b| b.1.total_cmp(a.1).then(a.0.cmp(b.0)));
        let best = best.into_iter().take(top);
        best.map(|(&column, &value)| TermValue { term: self.name(column), value }).collect()
    }

    /// One document. `wanted` is its path, its path with its record or its member (`PATH:5`, `PATH:MEMBER`), `id:` and its
    /// identifier, its row, or its identifier. The first of these forms that fits a document decides; a number without `id:`
    /// is never an identifier.
    ///
    /// # Errors
    /// If `wanted` names no document or more than one, or the matrix has a format that is not read.
    pub fn document(&self, wanted: &str) -> Result<DocumentView, Fault> {
        let row = self
            .row(wanted)
            .map_err(|why| Fault::new(ErrorKind::Usage, format!("document {wanted}: {why}")))?;
        let mut cells = self.matrix()?.row(row);
        cells.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let line = &self.documents[row];
        Ok(DocumentView {
            row,
            name: line.name(),
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

    /// The row of the document that `wanted` names, or why it names none.
    fn row(&self, wanted: &str) -> Result<usize, String> {
        let rows = |fits: &dyn Fn(&DocumentLine) -> bool| -> Vec<usize> {
            (0..self.documents.len()).filter(|&row| fits(&self.documents[row])).collect()
        };
        let with_id = |id: &str| rows(&|line| line.id.as_deref() == Some(id));
        let is_number = wanted.bytes().all(|byte| byte.is_ascii_digit());
        let forms: [&dyn Fn() -> Vec<usize>; 4] = [
            &|| rows(&|line| line.path == wanted),
            &|| rows(&|line| wanted.starts_with(&*line.path) && part(&line.name()) == wanted),
            &|| wanted.strip_prefix("id:").map(with_id).unwrap_or_default(),
            &|| match wanted.parse() {
                Ok(row) if is_number => (row..self.documents.len()).take(1).collect(),
                _ if is_number => Vec::new(),
                _ => with_id(wanted),
            },
        ];
        let found = forms.iter().map(|form| form()).find(|rows| !rows.is_empty()).unwrap_or_default();
        match found[..] {
            [row] => Ok(row),
            [] => {
                let last = self.documents.len().saturating_sub(1);
                let is_id = is_number && !with_id(wanted).is_empty();
                let hint = if is_id { format!("; id:{wanted} names an identifier") } else { String::new() };
                Err(format!("no such path, record, member or id, and no row from 0 to {last}{hint}"))
            }
            [first, .., last] => {
                let shown = |row: usize| format!("{} (row {row})", part(&self.documents[row].name()));
                Err(format!(
                    "{} documents, from {} to {}: name one of them",
                    found.len(),
                    shown(first),
                    shown(last)
                ))
            }
        }
    }

    /// One term, with the `top` documents that have its highest values.
    ///
    /// # Errors
    /// If there is no such term, or the matrix has a format that is not read.
    pub fn term(&self, wanted: &str, top: usize) -> Result<TermView, Fault> {
        if self.terms.is_empty() {
            return Err(Fault::new(ErrorKind::Usage, "hashed features have no terms"));
        }
        let column = self.terms.iter().position(|line| line.term == wanted);
        let column = column
            .ok_or_else(|| Fault::new(ErrorKind::Usage, format!("term {wanted}: not in the vocabulary")))?;
        let (matrix, mut documents) = (self.matrix()?, Vec::new());
        for (row, document) in self.documents.iter().enumerate() {
            if let Some((_, value)) = matrix.row(row).into_iter().find(|cell| cell.0 == column as u64) {
                documents.push(DocumentValue { name: document.name(), value });
            }
        }
        let sum = documents.iter().map(|document| document.value).sum();
        documents.sort_by(|a, b| b.value.total_cmp(&a.value));
        documents.truncate(top);
        let TermLine { term, df, idf } = &self.terms[column];
        Ok(TermView { term: term.to_string(), column, df: *df, idf: *idf, sum, documents })
    }
}

/// The form of a document's name that [`Output::document`] takes: the path, and the record or the member in it.
fn part(name: &DocumentName) -> String {
    let DocumentName { path, record, member, id: _ } = name;
    match (record, member) {
        (Some(record), _) => format!("{path}:{record}"),
        (None, Some(member)) => format!("{path}:{member}"),
        (None, None) => path.clone(),
    }
}

fn lines<T: DeserializeOwned>(output: &OpenOutput, name: &str) -> anyhow::Result<Vec<T>> {
    output.lines(name).with_context(|| output.shown(Some(name)))
}
