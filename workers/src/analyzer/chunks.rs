//! Chunk boundaries: where a text may be cut so that the terms of its chunks, in order, are the terms of the whole text.
//!
//! A boundary lies behind an ASCII byte, so it splits neither a character nor an invalid sequence. That byte is neither
//! cased nor case-ignorable, so the rule of the final sigma (Unicode Standard, table 3-17) never looks across it. Further
//! conditions depend on the tokenizer.

use super::characters::Properties;
use super::unicode::UnicodeVersion;

/// Maximum bytes of a chunk, before and after it is decoded and normalised: 2 GiB. Offsets in a chunk fit in 32 bits,
/// even after a word of it is lowered, which may turn two bytes into three.
pub(crate) const LONGEST: usize = 2 << 30;

/// A chunk of a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// Bytes of the document before the chunk.
    pub(crate) offset: u64,
    /// Whether the chunk is the document's last.
    pub(crate) is_last: bool,
}

impl Chunk {
    /// A document in a single chunk.
    pub const WHOLE: Chunk = Chunk { offset: 0, is_last: true };
}

/// The places where a text may be cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ChunkBoundary {
    /// Nowhere.
    Nowhere,
    /// Behind an ASCII character that is not a word character.
    BehindSeparators,
    /// Behind ASCII white space.
    BehindSpaces,
    /// Where Unicode's rules for words (UAX #29) separate in any context: behind a newline (WB3a), or between other white
    /// space and a visible ASCII character. Marks and joiners belong to the space before them (WB4).
    BetweenSegments,
}

impl ChunkBoundary {
    /// The last boundary within `text`. Neither of the two parts is empty.
    pub(crate) fn last(self, text: &[u8]) -> Option<usize> {
        match self {
            ChunkBoundary::Nowhere => None,
            _ => (1..text.len()).rev().find(|&at| self.allows(text[at - 1], text[at])),
        }
    }

    /// Whether a text may be cut between these two bytes.
    pub(crate) fn allows(self, before: u8, after: u8) -> bool {
        let is_space = matches!(before, b'\t'..=b'\r' | b' ');
        match self {
            ChunkBoundary::Nowhere => false,
            ChunkBoundary::BehindSeparators => {
                // ASCII is the same in all versions.
                let properties = Properties::of(before as u32, UnicodeVersion::Newest);
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
        for byte in (0..0x80).filter(|&byte| ChunkBoundary::BehindSeparators.allows(byte, b'x')) {
            let (byte, text) = (byte as char, format!("ΑΣ{}ΣΒ", byte as char));
            assert_eq!(text.to_lowercase(), format!("ας{byte}σβ"), "{byte:?}");
        }
    }
}
