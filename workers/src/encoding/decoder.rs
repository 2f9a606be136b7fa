//! Decodes a text piece by piece. What a piece leaves unfinished is kept for the next one.

use super::{Encoding, Endian, Kind, UTF_8_MARK, mark16, mark32};
use crate::analyzer::decode::DecodeError;
use crate::failure::Failure;
use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::DecoderResult;

/// Bytes from which an encoding is guessed: 1 MiB. Of a longer document, the rest does not count.
const SAMPLE: usize = 1 << 20;

/// Bytes that are decoded at once where the result passes through a buffer: 4 KiB.
const BUFFER: usize = 4 << 10;

/// Converts the bytes of one text to UTF-8.
#[derive(Debug)]
pub(crate) struct Decoder {
    policy: DecodeError,
    state: State,
    /// Bytes decoded.
    taken: u64,
    /// The number of the encoding that was guessed, unless it is UTF-8.
    guessed: Option<u8>,
}

/// The method of a decoder, with the bytes that are not decoded yet.
enum State {
    /// The first bytes decide. There are too few of them.
    Unknown(Kind, Vec<u8>),
    Table(&'static [u16; 128]),
    Utf32(Endian, Vec<u8>),
    /// The decoder, a buffer, and whether text is UTF-8.
    Standard(Box<encoding_rs::Decoder>, Box<[u8; BUFFER]>, bool),
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            State::Unknown(..) => "Unknown",
            State::Table(_) => "Table",
            State::Utf32(..) => "Utf32",
            State::Standard(..) => "Standard",
        })
    }
}

impl State {
    fn standard(encoding: &'static encoding_rs::Encoding) -> State {
        let decoder = Box::new(encoding.new_decoder_without_bom_handling());
        State::Standard(decoder, Box::new([0; BUFFER]), encoding == encoding_rs::UTF_8)
    }

    fn utf16(order: Endian) -> State {
        State::standard(match order {
            Endian::Little => encoding_rs::UTF_16LE,
            Endian::Big => encoding_rs::UTF_16BE,
        })
    }
}

/// Bytes of the beginning that a decision needs; `None` if there is none to be made.
fn needed(kind: Kind) -> Option<usize> {
    match kind {
        Kind::Utf8Sig => Some(3),
        Kind::Utf16(None) => Some(2),
        Kind::Utf32(None) => Some(4),
        Kind::Auto => Some(SAMPLE),
        _ => None,
    }
}

impl Decoder {
    /// Creates a decoder for the beginning of a text.
    pub(crate) fn new(encoding: Encoding, policy: DecodeError) -> Self {
        let kind = encoding.kind();
        let state = match needed(kind) {
            Some(_) => State::Unknown(kind, Vec::new()),
            None => state(kind),
        };
        Decoder { policy, state, taken: 0, guessed: None }
    }

    /// The number of the encoding that was guessed, if it was and is not UTF-8.
    pub(crate) fn guessed(&self) -> Option<u8> {
        self.guessed
    }

    /// Appends the text of the next `bytes` to `out`. `is_last`: no more follow.
    ///
    /// # Errors
    /// Under [`DecodeError::Strict`]: [`Failure::InvalidInEncoding`], or [`Failure::InvalidUtf8`] if the text is UTF-8,
    /// with the offset in the whole text.
    pub(crate) fn decode(&mut self, bytes: &[u8], is_last: bool, out: &mut Vec<u8>) -> Result<(), Failure> {
        if let State::Unknown(kind, beginning) = &mut self.state {
            let (kind, mut beginning) = (*kind, std::mem::take(beginning));
            if beginning.is_empty() && (is_last || Some(bytes.len()) >= needed(kind)) {
                let mark = self.decide(kind, bytes);
                return self.decode_known(&bytes[mark..], is_last, out);
            }
            beginning.extend_from_slice(bytes);
            if !is_last && Some(beginning.len()) < needed(kind) {
                self.state = State::Unknown(kind, beginning);
                return Ok(());
            }
            let mark = self.decide(kind, &beginning);
            return self.decode_known(&beginning[mark..], is_last, out);
        }
        self.decode_known(bytes, is_last, out)
    }

    /// Chooses the state from the beginning of the text. Returns the length of its byte-order mark, which is removed.
    fn decide(&mut self, kind: Kind, beginning: &[u8]) -> usize {
        let (wide, narrow) = (mark32(beginning), mark16(beginning));
        let has_mark = beginning.starts_with(UTF_8_MARK);
        let mark;
        (self.state, mark) = match (kind, wide, narrow) {
            (Kind::Utf16(_), _, order) => {
                (State::utf16(order.unwrap_or(Endian::Little)), if order.is_some() { 2 } else { 0 })
            }
            (Kind::Utf32(_), order, _) => {
                let order_or = order.unwrap_or(Endian::Little);
                (State::Utf32(order_or, Vec::new()), if order.is_some() { 4 } else { 0 })
            }
            (Kind::Auto, Some(order), _) => {
                self.guessed = Encoding::named("utf32").map(Encoding::number);
                (State::Utf32(order, Vec::new()), 4)
            }
            (Kind::Auto, None, Some(order)) => {
                self.guessed = Encoding::named("utf16").map(Encoding::number);
                (State::utf16(order), 2)
            }
            (Kind::Auto, None, None) if !has_mark => match guess(&beginning[..beginning.len().min(SAMPLE)]) {
                Some(encoding) => {
                    self.guessed = Some(encoding.number());
                    (state(encoding.kind()), 0)
                }
                None => (State::standard(encoding_rs::UTF_8), 0),
            },
            _ => (State::standard(encoding_rs::UTF_8), if has_mark { 3 } else { 0 }),
        };
        self.taken = mark as u64;
        mark
    }

    fn decode_known(&mut self, bytes: &[u8], is_last: bool, out: &mut Vec<u8>) -> Result<(), Failure> {
        // The text has at least half as many bytes, and usually not many more.
        out.try_reserve(bytes.len()).map_err(|_| Failure::OutOfMemory)?;
        let Decoder { policy, state, taken, .. } = self;
        match state {
            // The beginning was decided on.
            State::Unknown(..) => {}
            State::Table(table) => {
                let mut left = bytes;
                while !left.is_empty() {
                    let ascii = encoding_rs::Encoding::ascii_valid_up_to(left);
                    out.extend_from_slice(&left[..ascii]);
                    *taken += ascii as u64;
                    left = &left[ascii..];
                    let others = left.iter().take_while(|byte| !byte.is_ascii()).count();
                    for &byte in &left[..others] {
                        match char::from_u32(table[usize::from(byte & 0x7F)].into()) {
                            Some(c) if c != '\0' => push(c, out),
                            _ => invalid(*policy, Failure::InvalidInEncoding(*taken), out)?,
                        }
                        *taken += 1;
                    }
                    left = &left[others..];
                }
            }
            State::Utf32(order, part) => {
                let mut unit = |unit: [u8; 4], out: &mut Vec<u8>| -> Result<(), Failure> {
                    let number = match order {
                        Endian::Little => u32::from_le_bytes(unit),
                        Endian::Big => u32::from_be_bytes(unit),
                    };
                    match char::from_u32(number) {
                        Some(c) => push(c, out),
                        None => invalid(*policy, Failure::InvalidInEncoding(*taken), out)?,
                    }
                    *taken += 4;
                    Ok(())
                };
                let mut left = bytes;
                if !part.is_empty() {
                    let (first, rest) = left.split_at(left.len().min(4 - part.len()));
                    part.extend_from_slice(first);
                    left = rest;
                    if let Ok(whole) = <[u8; 4]>::try_from(part.as_slice()) {
                        part.clear();
                        unit(whole, out)?;
                    }
                }
                let (units, rest) = left.as_chunks();
                for &whole in units {
                    unit(whole, out)?;
                }
                part.extend_from_slice(rest);
                if is_last && !part.is_empty() {
                    invalid(*policy, Failure::InvalidInEncoding(*taken), out)?;
                    *taken += part.len() as u64;
                    part.clear();
                }
            }
            State::Standard(decoder, buffer, is_utf8) => {
                let mut left = bytes;
                loop {
                    let (result, read, written) =
                        decoder.decode_to_utf8_without_replacement(left, &mut buffer[..], is_last);
                    out.extend_from_slice(&buffer[..written]);
                    *taken += read as u64;
                    left = &left[read..];
                    match result {
                        DecoderResult::InputEmpty => break,
                        DecoderResult::OutputFull => {}
                        DecoderResult::Malformed(length, behind) => {
                            // The bytes of the sequence, and those read behind it.
                            let at = taken.saturating_sub(u64::from(length) + u64::from(behind));
                            let failure = match is_utf8 {
                                true => Failure::InvalidUtf8(at),
                                false => Failure::InvalidInEncoding(at),
                            };
                            invalid(*policy, failure, out)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// The state for an encoding about which nothing is to be decided.
fn state(kind: Kind) -> State {
    match kind {
        Kind::Table(table) => State::Table(table),
        Kind::Multibyte(encoding) => State::standard(encoding),
        Kind::Utf16(order) => State::utf16(order.unwrap_or(Endian::Little)),
        Kind::Utf32(order) => State::Utf32(order.unwrap_or(Endian::Little), Vec::new()),
        Kind::Utf8 | Kind::Utf8Sig | Kind::Auto => State::standard(encoding_rs::UTF_8),
    }
}

/// The encoding of a text that begins like this; `None` for UTF-8.
fn guess(beginning: &[u8]) -> Option<Encoding> {
    match simdutf8::compat::from_utf8(beginning) {
        Ok(_) => return None,
        // The end of the sample may split a character.
        Err(error) if error.error_len().is_none() && beginning.len() == SAMPLE => return None,
        Err(_) => {}
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(beginning, beginning.len() < SAMPLE);
    Encoding::of_standard(detector.guess(None, Utf8Detection::Deny))
}

fn push(c: char, out: &mut Vec<u8>) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Treats an invalid sequence.
fn invalid(policy: DecodeError, failure: Failure, out: &mut Vec<u8>) -> Result<(), Failure> {
    match policy {
        DecodeError::Strict => return Err(failure),
        DecodeError::Replace => push('\u{FFFD}', out),
        DecodeError::Ignore => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn in_pieces(
        encoding: Encoding,
        policy: DecodeError,
        bytes: &[u8],
        most: usize,
    ) -> Result<Vec<u8>, Failure> {
        let (mut decoder, mut out) = (Decoder::new(encoding, policy), Vec::new());
        for piece in bytes.chunks(most.max(1)) {
            decoder.decode(piece, false, &mut out)?;
        }
        decoder.decode(b"", true, &mut out)?;
        Ok(out)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn pieces_make_the_same_text_and_the_same_failure(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0x80u8.., Just(0), Just(0xD8), Just(b'a')], 0..40),
            most in 1usize..9,
        ) {
            for encoding in (0..).map_while(Encoding::of_number) {
                for policy in [DecodeError::Strict, DecodeError::Replace, DecodeError::Ignore] {
                    let whole = in_pieces(encoding, policy, &bytes, usize::MAX);
                    prop_assert_eq!(&in_pieces(encoding, policy, &bytes, most), &whole, "{} {:?}", encoding, policy);
                    match whole {
                        Ok(text) => prop_assert!(std::str::from_utf8(&text).is_ok()),
                        Err(Failure::InvalidInEncoding(at) | Failure::InvalidUtf8(at)) => {
                            prop_assert!(at < bytes.len() as u64, "{} {}", encoding, at);
                            // The text before it is valid.
                            let before = in_pieces(encoding, policy, &bytes[..at as usize], most);
                            let is_fixed = !matches!(encoding.kind(), Kind::Auto | Kind::Multibyte(_));
                            prop_assert!(before.is_ok() || !is_fixed, "{} {}", encoding, at);
                        }
                        Err(other) => prop_assert!(false, "{}", other),
                    }
                }
            }
        }
    }

    #[test]
    fn much_invalid_text_takes_little_time() {
        for encoding in (0..).map_while(Encoding::of_number) {
            let text = in_pieces(encoding, DecodeError::Replace, &[0xFF; 300_000], 1 << 17).expect("text");
            assert!(text.len() <= 4 * 300_000, "{encoding}");
        }
    }

    #[test]
    fn the_sample_of_a_guess_may_split_a_character() {
        let auto: Encoding = "auto".parse().expect("a name");
        let mut text = vec![b'a'; SAMPLE - 1];
        text.extend_from_slice("é\u{e9}".as_bytes());
        assert_eq!(in_pieces(auto, DecodeError::Strict, &text, 1 << 17).expect("text"), text);
        // Behind the sample, nothing is guessed.
        text.extend_from_slice(b"\xE9 ");
        let failure = Failure::InvalidUtf8(text.len() as u64 - 2);
        assert_eq!(in_pieces(auto, DecodeError::Strict, &text, 1 << 17), Err(failure));
    }
}
