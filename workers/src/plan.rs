//! The input of the second generation of workers: the matrix as it is to be computed, and where it goes.
//!
//! All of it is in shared memory or in files, and workers inherit it through the fork.

use crate::documents::{DocumentName, display_path};
use crate::failure::Failure;
use crate::lines::DocumentLine;
use crate::matrix_plan::MatrixPlan;
use crate::pieces::PieceFormat;
use crate::records::RecordSettings;
use crate::split::Rows;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// All data that the output depends on: the matrix, and where it goes.
#[derive(Debug)]
pub struct Plan {
    /// The matrix, and the terms of its columns.
    pub matrix: MatrixPlan,
    /// The documents of the rows.
    pub documents: RowDocuments,
    /// How documents were found in record files. Names the fields in causes of failure.
    pub records: RecordSettings,
    /// Rows without a record, and their failures.
    pub condemned: BTreeMap<usize, Failure>,
    /// The output files.
    pub files: Files,
    /// The form of the matrix.
    pub container: Container,
    /// Bytes of private memory that a worker may take.
    pub worker_memory: u64,
}

/// Where the names of the rows' documents are, and what else their lines say.
#[derive(Clone, Debug)]
pub enum RowDocuments {
    /// In the records of this run, and in the paths of its files.
    OfRun(Rows),
    /// In the lines of the outputs that are merged, by the numbers of their segments.
    OfOutputs(Vec<Arc<dyn MergedLines>>),
}

/// The lines of the documents of an output that is merged. They were checked when it was loaded.
pub trait MergedLines: Debug + Send + Sync {
    /// The line of a row's document, as it is in the merged output.
    ///
    /// # Errors
    /// If it is no such line.
    fn line(&self, row: u64) -> io::Result<DocumentLine<'_>>;

    /// The bytes of a row's line, with the line end; `None` if the merged output has another line.
    fn unchanged(&self, row: u64) -> Option<&[u8]>;
}

/// The files that workers write to, each worker at its own offsets.
#[derive(Debug)]
pub struct Files {
    /// The matrix.
    pub matrix: File,
    /// One line for each document.
    pub documents: File,
    /// One line for each term, where the corpus makes the vocabulary.
    pub terms: Option<File>,
}

/// The form of the matrix in its file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Container {
    /// Compressed sparse rows (CSR): an array of column indices and one of values.
    Sparse,
    /// One element for each row and column.
    Dense,
    /// Rows whose size is known once they are encoded.
    Pieces(PieceFormat),
}

impl Plan {
    /// The line of a merged row's document; `None` if the document was counted in this run.
    pub fn merged_line(&self, row: usize) -> Option<io::Result<DocumentLine<'_>>> {
        let RowDocuments::OfOutputs(outputs) = &self.documents else { return None };
        let (output, row) = self.matrix.places.counted(row)?;
        Some(outputs.get(output)?.line(row))
    }

    /// The name of a row's document.
    pub fn name(&self, row: usize) -> DocumentName {
        let RowDocuments::OfRun(rows) = &self.documents else {
            return self.merged_line(row).and_then(Result::ok).map(|line| line.name()).unwrap_or_default();
        };
        let about = self.matrix.record(row).map(|record| record.about()).unwrap_or_default();
        let (file, record) = rows.place(row);
        DocumentName {
            path: rows.files().shown(file),
            record,
            member: about.member.map(display_path),
            id: about.id_text().map(Cow::into_owned),
        }
    }
}
