//! Texts in chunks: where a text may be cut so that the terms of its chunks, one chunk after the other, are the terms
//! of the whole.
//!
//! A cut lies behind an ASCII byte, so it parts no character, and no sequence that fails to be one. That byte is neither
//! cased nor case-ignorable, so no final sigma (Unicode Standard, table 3-17) looks across it. What else must hold
//! depends on who finds the terms.

use super::characters::Properties;

/// Bytes that a chunk has at most, before and after it was decoded and normalised: what is counted from its beginning
/// fits in 32 bits, even after a word of it was lowered, which makes three bytes of two.
pub(crate) const LONGEST: usize = 2 << 30;

/// A chunk of a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// Bytes of the document before it.
    pub(crate) offset: u64,
    /// Whether nothing comes after it.
    pub(crate) is_last: bool,
}

impl Chunk {
    /// A document in one chunk.
    pub const WHOLE: Chunk = Chunk { offset: 0, is_last: true };
}

/// Where a text may be cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ChunkBoundary {
    /// Nowhere.
    Nowhere,
    /// Behind ASCII that belongs to no word.
    BehindSeparators,
    /// Behind white space of ASCII.
    BehindSpaces,
    /// Where Unicode's rules for words (UAX #29) part in any context: behind a newline (WB3a), or between other white
    /// space and a visible character of ASCII. Marks and joiners belong to the space before them (WB4).
    BetweenSegments,
}

impl ChunkBoundary {
    /// The last place within `text` where it may be cut. Neither of the two parts is empty.
    pub(crate) fn last(self, text: &[u8]) -> Option<usize> {
        match self {
            ChunkBoundary::Nowhere => None,
            _ => (1..text.len()).rev().find(|&at| self.allow(text[at - 1], text[at])),
        }
    }

    fn allow(self, before: u8, after: u8) -> bool {
        let is_space = matches!(before, b'\t'..=b'\r' | b' ');
        match self {
            ChunkBoundary::Nowhere => false,
            ChunkBoundary::BehindSeparators => {
                let properties = Properties::of(before as u32);
                before.is_ascii() && !properties.is_word() && !properties.is_case_ignorable()
            }
            ChunkBoundary::BehindSpaces => is_space,
            ChunkBoundary::BetweenSegments => before == b'\n' || is_space && after.is_ascii_graphic(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_cut() {
        let last = |chunk_boundary: ChunkBoundary, text: &str| chunk_boundary.last(text.as_bytes());
        for (text, separators, spaces, segments) in [
            ("", None, None, None),
            ("word", None, None, None),
            (" ", None, None, None),
            ("a b", Some(2), Some(2), Some(2)),
            ("a b ", Some(2), Some(2), Some(2)),
            ("a b,c", Some(4), Some(2), Some(2)),
            ("a\nb\0c", Some(4), Some(2), Some(2)),
            ("a.b'c:d^e`f_g", None, None, None),
            ("a b \u{301}", Some(4), Some(4), Some(2)),
            ("a b\r\n", Some(4), Some(4), Some(2)),
            ("a b \n\u{301}", Some(5), Some(5), Some(5)),
            ("a\u{2003}b\u{3000}", None, None, None),
            ("слово слово", Some(11), Some(11), None),
        ] {
            let found = (
                last(ChunkBoundary::BehindSeparators, text),
                last(ChunkBoundary::BehindSpaces, text),
                last(ChunkBoundary::BetweenSegments, text),
            );
            assert_eq!(found, (separators, spaces, segments), "{text:?}");
            assert_eq!(last(ChunkBoundary::Nowhere, text), None);
        }
    }

    #[test]
    fn no_final_sigma_looks_across_a_separator() {
        for byte in (0..0x80).filter(|&byte| ChunkBoundary::BehindSeparators.allow(byte, b'x')) {
            let (byte, text) = (byte as char, format!("ΑΣ{}ΣΒ", byte as char));
            assert_eq!(text.to_lowercase(), format!("ας{byte}σβ"), "{byte:?}");
        }
    }
}
