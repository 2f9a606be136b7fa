//! `manifest.json`: the kind of the output, and every setting that changes the result. It contains no time, host or path:
//! the same corpus and settings give the same bytes.

use super::names::MANIFEST;
use super::reader::OpenOutput;
use crate::coordinator::Shard;
use crate::settings::Settings;
use anyhow::{Context as _, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};

/// The manifest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Version of the program.
    pub bowline: String,
    /// Name of the matrix's file.
    pub matrix: String,
    /// Settings that change the result.
    pub settings: Settings,
    /// What was counted.
    pub counts: Counts,
    /// What it can be merged for; nothing if it can't be merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<Mergeable>,
    /// Which part of its corpus it is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Part>,
}

/// What an output can be merged for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mergeable {
    /// Any columns and values: it has the counts of all terms.
    Terms,
    /// Any values: it has the counts of all buckets.
    Buckets,
}

/// A part of a corpus.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Part {
    /// Which of how many.
    #[serde(flatten)]
    pub shard: Shard,
    /// Whether the part before has read the first records of the first file, whose numbers begin at 0 in each part.
    pub continues_file: bool,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Counts {
    /// Rows.
    pub documents: u64,
    /// Rows whose document failed.
    pub failed: u64,
    /// Columns.
    pub columns: u64,
    /// Stored cells.
    pub nonzeros: u64,
    /// Terms counted in all documents, before pruning.
    pub tokens: u64,
    /// Those of them that a given vocabulary does not have.
    pub unknown: u64,
    /// Terms per document that did not fail: of the corpus that idf is from.
    pub mean_length: f64,
}

impl ManifestFile {
    /// Reads the manifest of an output.
    ///
    /// # Errors
    /// If there is none, or [`ManifestFile::parse`] refuses it.
    pub fn read(output: &OpenOutput) -> Result<Self> {
        if !output.has(MANIFEST) {
            anyhow::bail!("no output of bowline: it has no {MANIFEST}");
        }
        output.read(MANIFEST).and_then(|bytes| Self::parse(&bytes)).context(MANIFEST)
    }

    /// The manifest that these bytes are.
    ///
    /// # Errors
    /// If they are not a manifest, or contain settings that the command line refuses.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let manifest: ManifestFile = serde_json::from_slice(bytes)?;
        // The manifest is wrong, not what the caller has chosen.
        manifest.settings.check().map_err(|error| anyhow!(error.to_string()))?;
        let mean = manifest.counts.mean_length;
        ensure!(mean >= 0.0 && mean.is_finite(), "mean_length: not a number of 0 or more");
        Ok(manifest)
    }

    /// Writes the manifest.
    ///
    /// # Errors
    /// The writer's.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        out.write_all(b"\n")
    }
}
