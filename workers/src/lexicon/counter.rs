//! What all counters of terms have in common, for a worker that gives them one document after the other.

use super::numbers::Numbers;
use super::row::Row;
use crate::analyzer::TermSink;

/// Counts the terms of one document after the other.
pub trait Counter: TermSink {
    /// Forgets the row and starts a new one.
    fn begin_document(&mut self);
    /// The row of the document at hand, complete, and what gives the numbers in it.
    fn finish_document(&mut self) -> (&Row, &mut Numbers);
    /// Whether a number may stand twice in a row.
    fn may_repeat(&self) -> bool;
    /// Bytes that the lexicon takes.
    fn memory(&self) -> usize;
    /// Forgets all terms. Only where a term gets the same number again.
    fn forget(&mut self);
}
