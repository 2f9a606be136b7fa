//! What the terms of a text are given to: a [`TermSink`], which takes them in groups, as places in the text.
//!
//! Owns the form of these groups, and gathers terms that are found one by one; finds none itself.

use std::ops::Range;

/// Bytes that can be read from a term's first byte on, however short the term: a register's width.
pub const PADDING: usize = 16;

/// Where a term lies in its text: its first byte, and the one after its last.
pub type Span = [u32; 2];

/// What a stream of terms is given to.
pub trait TermSink {
    /// More terms: the parts of `text` at `spans`. [`PADDING`] bytes of `text` can be read from each term's first one
    /// on; what lies beyond its end means nothing.
    fn terms(&mut self, text: &[u8], spans: &[Span]);
}

/// Terms that are handed on at a time.
const GROUP: usize = 256;

/// Gathers terms of one text into groups.
pub(super) struct Grouped<'a, S: TermSink> {
    text: &'a [u8],
    /// Where the part of the text begins that spans are relative to.
    base: usize,
    spans: Vec<Span>,
    sink: &'a mut S,
}

impl<'a, S: TermSink> Grouped<'a, S> {
    pub(super) fn new(text: &'a [u8], sink: &'a mut S) -> Self {
        Grouped { text, base: 0, spans: Vec::with_capacity(GROUP), sink }
    }

    #[inline]
    pub(super) fn push(&mut self, range: Range<usize>) {
        // Character n-grams begin anew with each length.
        if self.spans.len() == GROUP || range.start < self.base {
            self.hand_on();
        }
        if self.spans.is_empty() {
            self.base = range.start;
        }
        self.spans.push([offset(range.start - self.base), offset(range.end - self.base)]);
    }

    pub(super) fn hand_on(&mut self) {
        self.sink.terms(&self.text[self.base..], &self.spans);
        self.spans.clear();
    }
}

/// A place in a chunk of a text, which is no longer than [`LONGEST`](super::chunks::LONGEST).
#[inline]
pub(super) fn offset(place: usize) -> u32 {
    debug_assert!(u32::try_from(place).is_ok());
    place as u32
}
