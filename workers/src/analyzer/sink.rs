//! The receiver of a text's terms: a [`TermSink`], which receives them in groups, as places in the text.
//!
//! Owns the form of these groups, and collects terms that are found one by one. Finds no terms itself.

use std::ops::Range;

/// Bytes that can be read from a term's first byte on, even if the term is shorter: the width of a register.
pub const PADDING: usize = 16;

/// The place of a term in its text: its first byte, and the byte after its last.
pub type Span = [u32; 2];

/// A receiver of terms.
pub trait TermSink {
    /// Receives more terms: the parts of `text` at `spans`. [`PADDING`] bytes of `text` can be read from each term's
    /// first byte on; bytes behind the term's end have no meaning.
    fn terms(&mut self, text: &[u8], spans: &[Span]);
}

/// Terms in a group.
const GROUP: usize = 256;

/// Collects terms of one text into groups.
pub(super) struct Grouped<'a, S: TermSink> {
    text: &'a [u8],
    /// The place in the text that spans are relative to.
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
        // Character n-grams begin again at the start of the text for each length.
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
