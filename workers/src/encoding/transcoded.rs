//! A stream of bytes in any encoding as a stream of UTF-8.

use super::{Decoder, Encoding};
use crate::analyzer::decode::DecodeError;
use std::io::{self, Read};
use std::sync::{Arc, OnceLock};

/// Bytes that are read at once: 64 KiB.
const AT_ONCE: usize = 64 << 10;

/// Reads UTF-8 from a stream in another encoding. An invalid sequence is an error that contains the [`crate::failure::Failure`],
/// whose offset counts the bytes of the stream; all text before it is read first.
#[derive(Debug)]
pub struct Transcoded<R> {
    from: R,
    decoder: Decoder,
    /// Bytes of `from`.
    bytes: Vec<u8>,
    /// Text of which the first `given` bytes were read.
    text: Vec<u8>,
    given: usize,
    has_ended: bool,
    /// The error behind the text.
    error: Option<crate::failure::Failure>,
    guessed: Arc<OnceLock<u8>>,
}

impl<R: Read> Transcoded<R> {
    /// Reads `from`, whose bytes are in `encoding`. Text that is given as UTF-8 is checked, too.
    pub fn new(from: R, encoding: Encoding, policy: DecodeError) -> Self {
        Transcoded {
            from,
            decoder: Decoder::new(encoding, policy),
            bytes: vec![0; AT_ONCE],
            text: Vec::new(),
            given: 0,
            has_ended: false,
            error: None,
            guessed: Arc::default(),
        }
    }

    /// The number of the encoding that was guessed, if it was and is not UTF-8. Set by the first read that returns text.
    pub(crate) fn guessed(&self) -> Arc<OnceLock<u8>> {
        self.guessed.clone()
    }
}

impl<R: Read> Read for Transcoded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        while self.given == self.text.len() {
            if let Some(failure) = self.error {
                return Err(io::Error::other(failure));
            }
            if self.has_ended {
                return Ok(0);
            }
            let read = self.from.read(&mut self.bytes)?;
            self.has_ended = read == 0;
            (self.given, self.error) = (0, None);
            self.text.clear();
            let decoded = self.decoder.decode(&self.bytes[..read], self.has_ended, &mut self.text);
            self.error = decoded.err();
            if let Some(guessed) = self.decoder.guessed() {
                self.guessed.get_or_init(|| guessed);
            }
        }
        let left = &self.text[self.given..];
        let bytes = left.len().min(into.len());
        into[..bytes].copy_from_slice(&left[..bytes]);
        self.given += bytes;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    #[test]
    fn a_stream_is_decoded_up_to_its_end_or_its_fault() {
        let utf16: Encoding = "utf-16".parse().expect("a name");
        let text = "id,text\n1,caf\u{e9} \u{1F431}\n".repeat(9000);
        let mut bytes: Vec<u8> =
            format!("\u{FEFF}{text}").encode_utf16().flat_map(u16::to_be_bytes).collect();
        let mut decoded = String::new();
        Transcoded::new(&bytes[..], utf16, DecodeError::Strict).read_to_string(&mut decoded).expect("text");
        assert_eq!(decoded, text);
        let end = bytes.len() as u64;
        bytes.extend_from_slice(b"\xDC\0\0a");
        let (mut decoded, mut reader) = (Vec::new(), Transcoded::new(&bytes[..], utf16, DecodeError::Strict));
        let error = reader.read_to_end(&mut decoded).expect_err("invalid");
        assert_eq!((Failure::from(error), &*decoded), (Failure::InvalidInEncoding(end), text.as_bytes()));
        decoded.clear();
        let replaced = Transcoded::new(&bytes[..], utf16, DecodeError::Replace).read_to_end(&mut decoded);
        assert!(replaced.is_ok() && decoded.ends_with("\n\u{FFFD}a".as_bytes()));
    }
}
