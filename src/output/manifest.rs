//! `manifest.json`: what the output is, and every setting that made it so. No time, host or path: the same corpus
//! and settings give the same bytes.

use serde::Serialize;
use std::io::{self, Write};

/// The manifest.
#[derive(Clone, Debug, Serialize)]
pub struct Manifest<S> {
    /// Version of the program.
    pub bowline: &'static str,
    /// Name of the matrix's file.
    pub matrix: &'static str,
    /// Settings that change the result.
    pub settings: S,
    /// What was counted.
    pub counts: Counts,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Serialize)]
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
    /// Terms per document that did not fail.
    pub mean_length: f64,
}

impl<S: Serialize> Manifest<S> {
    /// Writes the manifest.
    ///
    /// # Errors
    /// The writer's.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        out.write_all(b"\n")
    }
}
