//! From text to terms.
//!
//! Owns the order of steps (decode, lower, strip accents, find the terms) and their settings, and determines where a text
//! may be cut into chunks. Passes each term to a [`TermSink`] and never depends on its further use.

pub mod accents;
pub mod characters;
pub mod chars;
pub mod chunks;
pub mod classes;
pub mod decode;
mod edges;
pub mod pattern;
pub(crate) mod segmenter;
mod sink;
pub mod stems;
pub mod stop_words;
pub mod unicode;
pub mod words;

pub use sink::{PADDING, Span, TermSink};

use crate::failure::Failure;
use accents::StripAccents;
use characters::lower;
use chars::{Overlap, char_ngrams, pad_words};
use chunks::{Chunk, ChunkBoundary, LONGEST};
use classes::Kernel;
use decode::{DecodeError, InvalidUtf8};
use pattern::{TokenPattern, TooManySteps};
use segmenter::UnicodeWords;
use sink::Grouped;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use unicode::UnicodeVersion;
use words::Words;

/// Returns an error if a text is longer than a chunk may be.
fn bounded(text: &[u8]) -> Result<(), Failure> {
    if text.len() <= LONGEST { Ok(()) } else { Err(Failure::Unbroken) }
}

/// The settings of the conversion from text to terms.
#[derive(Clone, Debug)]
pub struct TextSettings {
    /// Lower the text first, as Python's `str.lower` does.
    pub lowercase: bool,
    /// The treatment of bytes that are not UTF-8.
    pub decode_error: DecodeError,
    /// How to strip accents, if at all.
    pub strip_accents: Option<StripAccents>,
    /// The kind of terms.
    pub grams: Grams,
    /// The version of Unicode that determines words, lower case and accents. A token pattern must have been made for the
    /// same one.
    pub unicode: UnicodeVersion,
}

impl TextSettings {
    /// Terms of this kind in lowered text, in strict UTF-8, with the newest version of Unicode.
    pub fn new(grams: Grams) -> Self {
        TextSettings {
            lowercase: true,
            decode_error: DecodeError::Strict,
            strip_accents: None,
            grams,
            unicode: UnicodeVersion::default(),
        }
    }

    /// `text` after these settings are applied: lowered and without accents, if they say so.
    pub fn normalised(&self, text: &str) -> String {
        let (mut lowered, mut out) = (String::new(), String::new());
        normalise(self, text.as_bytes(), &mut lowered, &mut out);
        out
    }
}

/// The kind and the size of terms.
#[derive(Clone, Debug)]
pub enum Grams {
    /// Words. The analyzer passes on single words; the counter forms the n-grams.
    Words {
        /// The tokenizer.
        tokenizer: Tokenizer,
        /// Words of a term.
        sizes: RangeInclusive<usize>,
    },
    /// Characters, including n-grams across words.
    Chars {
        /// Characters of a term.
        sizes: RangeInclusive<usize>,
    },
    /// Characters within words, with a space on each side. The analyzer passes on the words with these two spaces; the
    /// counter forms the n-grams.
    WordChars {
        /// Characters of a term.
        sizes: RangeInclusive<usize>,
    },
}

impl Grams {
    /// Whether terms are n-grams of words, of which no two have the same spelling, and which compare as the tuples of their
    /// words do: all bytes of words are above the space that joins them. Tokens of a pattern may hold any byte.
    pub fn are_word_tuples(&self) -> bool {
        let Grams::Words { tokenizer, sizes } = self else { return false };
        *sizes != (1..=1) && !matches!(tokenizer, Tokenizer::Pattern(_))
    }
}

/// A method to find words.
#[derive(Clone, Debug)]
pub enum Tokenizer {
    /// Words by scikit-learn's default pattern.
    Words,
    /// Matches of another pattern.
    Pattern(Arc<TokenPattern>),
    /// Words by Unicode's word boundaries.
    Unicode,
}

/// Finds the terms of one text after the other. Keeps its buffers between them.
pub struct Analyzer {
    settings: TextSettings,
    words: Words,
    segmenter: Option<UnicodeWords>,
    overlap: Overlap,
    spare: Vec<u8>,
    lowered: String,
    text: String,
}

impl From<TooManySteps> for Failure {
    fn from(_: TooManySteps) -> Self {
        Failure::TooManySteps
    }
}

impl Analyzer {
    /// Creates an analyzer for these settings, with the best vector kernel of this machine.
    pub fn new(settings: &TextSettings) -> Self {
        if let Grams::Words { tokenizer: Tokenizer::Pattern(pattern), .. } = &settings.grams {
            debug_assert_eq!(pattern.unicode(), settings.unicode, "one version of Unicode");
        }
        let is_segmented = matches!(settings.grams, Grams::Words { tokenizer: Tokenizer::Unicode, .. });
        // The word scanner lowers by itself, unless accents must be stripped after the lowering.
        let lowers = settings.lowercase && settings.strip_accents.is_none();
        Analyzer {
            words: Words::new(Kernel::best(), lowers, settings.unicode),
            segmenter: is_segmented.then(|| UnicodeWords::new(settings.unicode)),
            overlap: Overlap::default(),
            settings: settings.clone(),
            spare: Vec::new(),
            lowered: String::new(),
            text: String::new(),
        }
    }

    /// The kind of its terms.
    pub fn grams(&self) -> &Grams {
        &self.settings.grams
    }

    /// Where a document may be cut into chunks.
    pub(crate) fn chunk_boundary(&self) -> ChunkBoundary {
        match &self.settings.grams {
            Grams::Words { tokenizer: Tokenizer::Words, .. } | Grams::Chars { .. } => {
                ChunkBoundary::BehindSeparators
            }
            // A pattern may depend on any part of the text.
            Grams::Words { tokenizer: Tokenizer::Pattern(_), .. } => ChunkBoundary::Nowhere,
            Grams::Words { tokenizer: Tokenizer::Unicode, .. } => ChunkBoundary::BetweenSegments,
            Grams::WordChars { .. } => ChunkBoundary::BehindSpaces,
        }
    }

    /// Passes the terms of a document's next chunk to `sink`, in order. A document begins with a chunk at offset 0 and is
    /// cut as `Analyzer::chunk_boundary` allows. `bytes` are the chunk; they are overwritten.
    ///
    /// # Errors
    /// If the bytes are not text and the settings are strict, if a pattern takes too many steps, or if the chunk is too
    /// long. Terms of the document that were passed on before the error are not valid.
    pub fn analyze(
        &mut self,
        bytes: &mut Vec<u8>,
        chunk: Chunk,
        sink: &mut impl TermSink,
    ) -> Result<(), Failure> {
        let Analyzer { settings, words, segmenter, overlap, spare, lowered, text } = self;
        decode::decode(bytes, settings.decode_error, spare)
            .map_err(|InvalidUtf8(at)| Failure::InvalidUtf8(chunk.offset + at))?;
        bounded(bytes)?;
        if let (Grams::Words { tokenizer: Tokenizer::Words, .. }, None) =
            (&settings.grams, settings.strip_accents)
        {
            words.scan(bytes, sink);
            return Ok(());
        }
        normalise(settings, bytes, lowered, text);
        // Bytes of the text that belong to the chunk before.
        let mut passed = 0;
        match &settings.grams {
            Grams::Words { .. } => {}
            Grams::Chars { sizes } => {
                passed = overlap.join(text, *sizes.end(), chunk, lowered);
                std::mem::swap(text, lowered);
            }
            Grams::WordChars { .. } => {
                pad_words(text, lowered);
                std::mem::swap(text, lowered);
            }
        }
        bounded(text.as_bytes())?;
        if let Grams::Words { tokenizer: Tokenizer::Words, .. } = settings.grams {
            bytes.clear();
            bytes.extend_from_slice(text.as_bytes());
            words.scan(bytes, sink);
            return Ok(());
        }
        let length = text.len();
        text.extend(['\0'; PADDING]);
        let (padded, text) = (text.as_bytes(), &text[..length]);
        let mut grouped = Grouped::new(padded, sink);
        let mut found = |range| grouped.push(range);
        match (&settings.grams, segmenter) {
            (Grams::Words { tokenizer: Tokenizer::Pattern(pattern), .. }, _) => {
                pattern.find(text, &mut found)?
            }
            (Grams::Words { .. }, Some(segmenter)) => segmenter.find(text, &mut found),
            (Grams::Words { .. }, None) => {}
            (Grams::Chars { sizes }, _) => {
                let mut found = |range: Range<usize>| {
                    if range.end > passed {
                        found(range)
                    }
                };
                char_ngrams(text, *sizes.start(), *sizes.end(), &mut found);
            }
            (Grams::WordChars { .. }, _) => {
                let mut spaces = memchr::memchr_iter(b' ', text.as_bytes());
                let mut start = spaces.next().unwrap_or(0);
                for end in spaces {
                    found(start..end + 1);
                    start = end;
                }
            }
        }
        grouped.hand_on();
        Ok(())
    }
}

/// Replaces `out` with the normalised text: lowered, then without accents. `lowered` is a buffer to keep.
fn normalise(settings: &TextSettings, bytes: &[u8], lowered: &mut String, out: &mut String) {
    // The decoding step made it UTF-8.
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let Some(mode) = settings.strip_accents else {
        match settings.lowercase {
            true => lower(text, settings.unicode, out),
            false => text.clone_into(out),
        }
        return;
    };
    out.clear();
    if settings.lowercase {
        lower(text, settings.unicode, lowered);
        accents::strip(lowered, mode, settings.unicode, out);
    } else {
        accents::strip(text, mode, settings.unicode, out);
    }
}
