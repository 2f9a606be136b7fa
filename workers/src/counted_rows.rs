//! The rows of outputs that are merged: counts that an earlier run has made. They stay where they are, in the maps of the
//! outputs' files; such an output is a segment whose terms are sorted already, so that a column is the local id of its term.

use crate::segment::Segment;
use std::fmt::Debug;
use std::sync::Arc;

/// The rows of an output that contains counts of all its terms. They were checked when it was loaded.
pub trait CountedRows: Debug + Send + Sync {
    /// Replaces `cells` with the columns and counts of a row, in the order of columns.
    fn cells(&self, row: u64, cells: &mut Vec<(u32, i32)>);

    /// Number of rows.
    fn rows(&self) -> u64;

    /// Number of cells of a row.
    fn nonzeros(&self, row: u64) -> u64;

    /// Number of terms counted in the document of a row.
    fn tokens(&self, row: u64) -> u64;

    /// Takes the pages of the files out of this process's memory until they are accessed again.
    fn give_back(&self);
}

/// Where the rows of a segment are.
#[derive(Clone, Debug)]
pub enum SegmentRows {
    /// In the records that a worker has written.
    Records(Segment),
    /// In an output that is merged.
    Counted(Arc<dyn CountedRows>),
}

impl SegmentRows {
    /// The records; `None` if there are none.
    pub fn records(&self) -> Option<&Segment> {
        match self {
            SegmentRows::Records(segment) => Some(segment),
            SegmentRows::Counted(_) => None,
        }
    }

    /// Takes what lies in files out of this process's memory until it is accessed again.
    pub(crate) fn give_back(&self) {
        match self {
            SegmentRows::Records(segment) => segment.give_back(),
            SegmentRows::Counted(output) => output.give_back(),
        }
    }
}
