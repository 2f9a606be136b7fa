//! Text to terms. Owns the order of work (decode, lower, take accents off, find the terms) and the settings of it, and
//! says where a text may be cut into chunks; hands each term to a [`TermSink`] and never asks what becomes of it.

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
pub mod words;

pub use sink::{PADDING, Span, TermSink};

use crate::failure::Failure;
use accents::StripAccents;
use chars::{Overlap, char_ngrams, pad_words};
use chunks::{Chunk, ChunkBoundary, LONGEST};
use classes::Kernel;
use decode::{DecodeError, InvalidUtf8};
use pattern::{TokenPattern, TooManySteps};
use segmenter::UnicodeWords;
use sink::Grouped;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use words::Words;

/// Lets a text pass that is no longer than a chunk may be.
fn bounded(text: &[u8]) -> Result<(), Failure> {
    if text.len() <= LONGEST { Ok(()) } else { Err(Failure::Unbroken) }
}

/// How text becomes terms.
#[derive(Clone, Debug)]
pub struct TextSettings {
    /// Lower the text first, as Python's `str.lower` does.
    pub lowercase: bool,
    /// What to do with bytes that are no UTF-8.
    pub decode_error: DecodeError,
    /// How to take accents off.
    pub strip_accents: Option<StripAccents>,
    /// What terms are made of.
    pub grams: Grams,
}

impl TextSettings {
    /// `text` as terms are found in it: lowered and without accents, if these settings say so.
    pub fn normalised(&self, text: &str) -> String {
        let (mut lowered, mut out) = (String::new(), String::new());
        normalise(self, text.as_bytes(), &mut lowered, &mut out);
        out
    }
}

/// What terms are made of, and of how many.
#[derive(Clone, Debug)]
pub enum Grams {
    /// Words. The analyzer hands on single words; runs of several are made by who counts them.
    Words {
        /// What finds words.
        tokenizer: Tokenizer,
        /// Words a term.
        sizes: RangeInclusive<usize>,
    },
    /// Characters, across words.
    Chars {
        /// Characters a term.
        sizes: RangeInclusive<usize>,
    },
    /// Characters of words, with a space on either side. The analyzer hands on the words with these two spaces; their
    /// n-grams are made by who counts them.
    WordChars {
        /// Characters a term.
        sizes: RangeInclusive<usize>,
    },
}

/// What finds words.
#[derive(Clone, Debug)]
pub enum Tokenizer {
    /// scikit-learn's default pattern.
    Words,
    /// Another pattern.
    Pattern(Arc<TokenPattern>),
    /// Unicode's word boundaries.
    Unicode,
}

/// Finds the terms of texts, one after the other. Keeps its buffers between them.
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
    /// An analyzer for these settings, with the best vector kernel of this machine.
    pub fn new(settings: &TextSettings) -> Self {
        let is_segmented = matches!(settings.grams, Grams::Words { tokenizer: Tokenizer::Unicode, .. });
        // The word scanner lowers by itself, unless accents go first.
        let lowers = settings.lowercase && settings.strip_accents.is_none();
        Analyzer {
            words: Words::new(Kernel::best(), lowers),
            segmenter: is_segmented.then(UnicodeWords::new),
            overlap: Overlap::default(),
            settings: settings.clone(),
            spare: Vec::new(),
            lowered: String::new(),
            text: String::new(),
        }
    }

    /// What its terms are made of.
    pub fn grams(&self) -> &Grams {
        &self.settings.grams
    }

    /// Where a document may be cut into chunks.
    pub(crate) fn chunk_boundary(&self) -> ChunkBoundary {
        match &self.settings.grams {
            Grams::Words { tokenizer: Tokenizer::Words, .. } | Grams::Chars { .. } => {
                ChunkBoundary::BehindSeparators
            }
            // A pattern may see anything.
            Grams::Words { tokenizer: Tokenizer::Pattern(_), .. } => ChunkBoundary::Nowhere,
            Grams::Words { tokenizer: Tokenizer::Unicode, .. } => ChunkBoundary::BetweenSegments,
            Grams::WordChars { .. } => ChunkBoundary::BehindSpaces,
        }
    }

    /// Hands the terms of a document's next chunk to `sink`, in order. A document begins with a chunk at offset 0 and is
    /// cut as `Analyzer::chunk_boundary` allows. `bytes` are the chunk; they are used as a buffer.
    ///
    /// # Errors
    /// If the bytes are no text and the settings are strict, a pattern takes too many steps, or the chunk is too long.
    /// Terms of the document that were handed on by then mean nothing.
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
        // Bytes of the text that were found in with the chunk before.
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
        // The terms are parts of a padded copy: whatever lies behind one may be read.
        bytes.clear();
        bytes.extend_from_slice(text.as_bytes());
        if let Grams::Words { tokenizer: Tokenizer::Words, .. } = settings.grams {
            words.scan(bytes, sink);
            return Ok(());
        }
        bytes.resize(text.len() + PADDING, 0);
        let mut grouped = Grouped::new(bytes, sink);
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

/// Puts the text that terms are found in into `out`: lowered, then without accents. `lowered` is a buffer to keep.
fn normalise(settings: &TextSettings, bytes: &[u8], lowered: &mut String, out: &mut String) {
    // Decoding has made it UTF-8.
    let mut text = std::str::from_utf8(bytes).unwrap_or_default();
    if settings.lowercase {
        *lowered = text.to_lowercase();
        text = lowered;
    }
    out.clear();
    match settings.strip_accents {
        Some(mode) => accents::strip(text, mode, out),
        None => out.push_str(text),
    }
}
