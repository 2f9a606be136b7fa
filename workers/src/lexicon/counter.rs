//! The interface of all counters of terms, for a worker that passes them one document after the other.

use super::numbers::Numbers;
use super::row::Row;
use crate::analyzer::TermSink;

/// Counts the terms of one document after the other.
pub trait Counter: TermSink {
    /// Forgets the row and starts a new one.
    fn begin_document(&mut self);
    /// The complete row of the current document, and the source of the numbers in it.
    fn finish_document(&mut self) -> (&Row, &mut Numbers);
    /// Whether a row may contain a number twice.
    fn may_repeat(&self) -> bool;
    /// Bytes that the lexicon takes.
    fn memory(&self) -> usize;
    /// Whether there are no numbers for the terms of another document.
    fn is_full(&mut self) -> bool {
        matches!(self.finish_document(), (_, Numbers::Local(ids)) if ids.is_full())
    }
    /// Forgets all terms. Allowed only where a term gets the same number again.
    fn forget(&mut self);
}
