//! What `--vocabulary` gives: a file of terms, or an earlier output with its settings, vocabulary and idf. Fit once,
//! transform later.

use crate::cancel::Cancel;
use crate::corpus::display_path;
use crate::error::Error;
use crate::output::{IDF, MANIFEST, ManifestFile, OpenOutput, TermLine, VOCABULARY, read_idf};
use crate::settings::{Settings, SettingsError};
use crate::word_list::{self, WordList};
use anyhow::{Context as _, Result, bail, ensure};
use bowline_workers::lexicon::FixedVocabulary;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// A vocabulary that was given.
#[derive(Clone, Debug)]
pub struct Model {
    /// The terms, in column order; none for an earlier output of hashed features.
    pub vocabulary: Option<Arc<FixedVocabulary>>,
    /// The data of an earlier output; `None` if a file of terms was given.
    pub earlier: Option<Earlier>,
}

/// The data of an earlier output.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// Its settings.
    pub settings: Settings,
    /// Document frequency of each column, in its corpus; empty for hashed features.
    pub frequencies: Vec<u64>,
    /// idf of each column, if it had a weight with one.
    pub idf: Option<Vec<f64>>,
    /// Terms a document, on the average.
    pub mean_length: f64,
}

impl Model {
    /// Reads what stands at `path`. White space around the terms of a list is dropped if `trims`.
    ///
    /// # Errors
    /// If it can't be read, is not an output, or has a term twice.
    pub fn read(path: &Path, trims: bool, cancel: &Cancel) -> Result<Self, Error> {
        let model = Self::read_unnamed(path, trims, cancel.flag());
        Ok(model.with_context(|| display_path(path.as_os_str().as_bytes()))?)
    }

    /// As [`Model::read`], without the path in errors.
    pub(crate) fn read_unnamed(path: &Path, trims: bool, interrupted: &AtomicUsize) -> Result<Self> {
        if path.is_dir() {
            OpenOutput::open(path).and_then(|output| Self::read_output(&output))
        } else {
            Self::read_terms(path, trims, interrupted)
        }
    }

    /// A list of terms.
    fn read_terms(path: &Path, trims: bool, interrupted: &AtomicUsize) -> Result<Self> {
        let WordList { words, unit } = word_list::read(path, trims, interrupted)?;
        if let Some(empty) = words.iter().position(|word| word.is_empty() && unit == "line") {
            bail!("line {}: is empty, and so no term", empty + 1);
        }
        let terms = words.into_iter().map(|word| word.into_bytes().into_boxed_slice()).collect();
        Ok(Model { vocabulary: Some(fixed(terms, unit)?), earlier: None })
    }

    fn read_output(output: &OpenOutput) -> Result<Self> {
        let manifest = ManifestFile::read(output)?;
        let mut earlier = Earlier {
            settings: manifest.settings,
            frequencies: Vec::new(),
            idf: None,
            mean_length: manifest.counts.mean_length,
        };
        if let Some(buckets) = earlier.settings.columns.buckets() {
            if output.has(IDF) {
                earlier.idf = Some(read_idf(output, IDF, buckets.n_features as usize).context(IDF)?);
            }
            return Ok(Model { vocabulary: None, earlier: Some(earlier) });
        }
        let lines: Vec<TermLine> = output.lines(VOCABULARY).context(VOCABULARY)?;
        if lines.len() as u64 != manifest.counts.columns {
            let (lines, columns) = (lines.len(), manifest.counts.columns);
            bail!("{VOCABULARY} has {lines} lines, but {MANIFEST} says {columns} columns");
        }
        let (mut terms, mut idf) = (Vec::new(), Vec::new());
        for (line, number) in lines.into_iter().zip(1..) {
            let is_idf = line.idf.is_none_or(|idf| idf >= 0.0);
            ensure!(is_idf, "{VOCABULARY}: line {number}: its idf is not a number of 0 or more");
            terms.push(line.term.into_owned().into_bytes().into_boxed_slice());
            earlier.frequencies.push(line.df);
            // An infinite idf has no number in JSON.
            idf.push(line.idf.unwrap_or(f64::INFINITY));
        }
        if earlier.settings.values.idf().is_some() {
            earlier.idf = Some(idf);
        }
        Ok(Model { vocabulary: Some(fixed(terms, "line")?), earlier: Some(earlier) })
    }
}

fn fixed(terms: Vec<Box<[u8]>>, unit: &str) -> Result<Arc<FixedVocabulary>> {
    if terms.is_empty() {
        bail!("the vocabulary is empty");
    }
    FixedVocabulary::new(terms).map(Arc::new).map_err(|(place, term)| {
        let term = String::from_utf8_lossy(&term).into_owned();
        anyhow::anyhow!("{unit} {}: the term `{term}` stands there a second time", place + 1)
    })
}

/// The idf that a run takes over.
///
/// # Errors
/// Wrong usage: the run's weight needs another idf than the earlier output has.
pub fn earlier_idf(earlier: &Earlier, settings: &Settings) -> Result<Option<Vec<f64>>, SettingsError> {
    let Some(formula) = settings.values.idf() else { return Ok(None) };
    match (&earlier.idf, earlier.settings.values.idf()) {
        (Some(idf), Some(theirs)) if theirs == formula => Ok(Some(idf.clone())),
        _ => Err(SettingsError::NoEarlierIdf),
    }
}
