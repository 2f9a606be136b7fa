//! Text to terms. Owns the order of work (decode, lower, find the terms) and the settings of it; hands each term
//! to a [`TermSink`] and never asks what becomes of it.

pub mod characters;
pub mod classes;
pub mod decode;
pub mod words;

use classes::Kernel;
use decode::{DecodeError, InvalidUtf8};
use words::Words;

/// Bytes that can be read from a term's first byte on, however short the term: a register's width.
pub const PADDING: usize = 16;

/// What a stream of terms is given to.
pub trait TermSink {
    /// One more term: `padded[..length]`. `padded` holds at least [`PADDING`] bytes; what lies beyond `length` means
    /// nothing.
    fn term(&mut self, padded: &[u8], length: usize);
}

/// How text becomes terms.
#[derive(Clone, Debug)]
pub struct TextSettings {
    /// Lower the text first, as Python's `str.lower` does.
    pub lowercase: bool,
    /// What to do with bytes that are no UTF-8.
    pub decode_error: DecodeError,
}

/// Finds the terms of texts, one after the other. Keeps its buffers between them.
#[derive(Debug)]
pub struct Analyzer {
    decode_error: DecodeError,
    words: Words,
    spare: Vec<u8>,
}

impl Analyzer {
    /// An analyzer for these settings, with the best vector kernel of this machine.
    pub fn new(settings: &TextSettings) -> Self {
        Analyzer {
            decode_error: settings.decode_error,
            words: Words::new(Kernel::best(), settings.lowercase),
            spare: Vec::new(),
        }
    }

    /// Hands the terms of a document to `sink`, in order. `bytes` are the document; they are used as a buffer.
    ///
    /// # Errors
    /// [`InvalidUtf8`] if the bytes are no text and the settings are strict; no term was handed on then.
    pub fn analyze(&mut self, bytes: &mut Vec<u8>, sink: &mut impl TermSink) -> Result<(), InvalidUtf8> {
        decode::decode(bytes, self.decode_error, &mut self.spare)?;
        self.words.scan(bytes, sink);
        Ok(())
    }
}
