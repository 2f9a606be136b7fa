//! The rows of outputs that are merged: counts that an earlier run has made, with the lines of their documents.
//!
//! A worker takes such a row over as a record. It spells a column's term with the first row that contains it. So a merge is a
//! run whose documents are counted already, and all that follows is the same for both.

use crate::lines::DocumentLine;
use crate::row;
use crate::segment::{NewTerms, push_term};
use std::fmt::Debug;
use std::io;
use std::sync::Arc;

/// The rows of an output, which contains counts of all its terms. They were checked when it was opened.
pub trait CountedRows: Debug + Send + Sync {
    /// Number of columns.
    fn columns(&self) -> usize;

    /// The term of a column in UTF-8; `None` if columns are buckets.
    fn term(&self, column: u32) -> Option<&[u8]>;

    /// Replaces `cells` with the columns and counts of a row, in the order of columns.
    fn cells(&self, row: u64, cells: &mut Vec<(u32, i32)>);

    /// The line of a row's document, as it stands in the merged output.
    ///
    /// # Errors
    /// If it is no such line.
    fn line(&self, row: u64) -> io::Result<DocumentLine<'_>>;
}

/// The outputs that are merged, in order. Empty in a run that counts documents.
pub type CountedOutputs = Arc<[Arc<dyn CountedRows>]>;

/// No local id.
const NO_ID: u32 = u32::MAX;

/// Takes rows over into one segment.
#[derive(Debug, Default)]
pub(crate) struct RowCopier {
    /// The output whose columns have local ids.
    output: Option<usize>,
    /// The local id of each of its columns, or [`NO_ID`].
    ids: Vec<u32>,
    /// The next local id of the segment.
    next: u32,
    cells: Vec<(u32, i32)>,
    row: Vec<u32>,
    terms: Vec<u8>,
}

/// A row that was taken over.
#[derive(Debug)]
pub(crate) struct CopiedRow<'a> {
    /// The packed row.
    pub(crate) row: &'a [u32],
    /// Number of pairs in it.
    pub(crate) nonzeros: u32,
    /// The terms that are new in the segment.
    pub(crate) terms: NewTerms<'a>,
}

impl RowCopier {
    /// Takes over a row of the output number `number`.
    pub(crate) fn copy(&mut self, number: usize, output: &dyn CountedRows, row: u64) -> CopiedRow<'_> {
        if self.output.replace(number) != Some(number) {
            self.ids.clear();
            self.ids.resize(output.columns(), NO_ID);
        }
        let RowCopier { ids, next, cells, row: packed, terms, .. } = self;
        output.cells(row, cells);
        packed.clear();
        terms.clear();
        let first = *next;
        for &(column, count) in &*cells {
            let Some(term) = output.term(column) else {
                row::push(packed, column, count);
                continue;
            };
            let id = &mut ids[column as usize];
            if *id == NO_ID {
                push_term(terms, term);
                *id = *next;
                *next += 1;
            }
            row::push(packed, *id, count);
        }
        let terms = NewTerms { bytes: terms, number: *next - first };
        CopiedRow { row: packed, nonzeros: cells.len() as u32, terms }
    }
}
