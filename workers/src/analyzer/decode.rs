//! Bytes to text: applies `--decode-error` to bytes that are not UTF-8.
//!
//! Removes no byte-order mark and changes no line end, as Python's `bytes.decode`. Detects other encodings by their
//! byte-order mark, or guesses them, only to name the failure; never converts them.

use crate::failure::Failure;
use serde::{Deserialize, Serialize};

/// The treatment of bytes that are not UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecodeError {
    /// The document fails.
    Strict,
    /// U+FFFD for each maximal part of a sequence, as Rust's and Python's lossy decoders do.
    Replace,
    /// The bytes are removed, and the text on both sides is joined.
    Ignore,
}

/// The offset of the first byte that is not UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct InvalidUtf8(pub u64);

/// Converts `bytes` to UTF-8 under `policy`. `spare` is a buffer to keep between calls.
///
/// # Errors
/// [`InvalidUtf8`] under [`DecodeError::Strict`]. Then `bytes` are unchanged.
pub(crate) fn decode(
    bytes: &mut Vec<u8>,
    policy: DecodeError,
    spare: &mut Vec<u8>,
) -> Result<(), InvalidUtf8> {
    if simdutf8::basic::from_utf8(bytes).is_ok() {
        return Ok(());
    }
    let replacement = match policy {
        DecodeError::Strict => {
            let valid = std::str::from_utf8(bytes).err().map_or(0, |error| error.valid_up_to());
            return Err(InvalidUtf8(valid as u64));
        }
        DecodeError::Replace => "\u{FFFD}",
        DecodeError::Ignore => "",
    };
    spare.clear();
    for chunk in bytes.utf8_chunks() {
        spare.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            spare.extend_from_slice(replacement.as_bytes());
        }
    }
    std::mem::swap(bytes, spare);
    Ok(())
}

/// The failure for the encoding of a byte-order mark at the beginning of a document; `None` if there is no mark, or that
/// of UTF-8. UTF-8 text never begins with the other marks.
pub(crate) fn byte_order_mark(beginning: &[u8]) -> Option<Failure> {
    match beginning {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => Some(Failure::Utf32),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Some(Failure::Utf16),
        _ => None,
    }
}

/// The failure for a document with a NUL in its beginning: binary, unless the beginning is plausible in an encoding that
/// contains NULs. This is a guess; only the wording of the failure depends on it.
pub(crate) fn with_nul(beginning: &[u8]) -> Failure {
    let is_text = |code: u32| code >= 0x20 || matches!(code, 0x9..=0xD);
    let is_utf32 = |number: fn([u8; 4]) -> u32| {
        let (units, rest) = beginning.as_chunks();
        let mut codes = units.iter().map(|&unit| number(unit));
        rest.is_empty() && codes.all(|code| is_text(code) && char::from_u32(code).is_some())
    };
    // UTF-8 text with NULs between its words.
    let is_utf8 = match std::str::from_utf8(beginning) {
        Err(error) if error.error_len().is_some() => false,
        _ => beginning.iter().all(|&byte| byte == 0 || is_text(byte.into())),
    };
    let is_utf16 = |number: fn([u8; 2]) -> u16| {
        let (units, rest) = beginning.as_chunks();
        let units = || units.iter().map(|&unit| number(unit));
        let latin = units().filter(|unit| *unit < 0x100).count();
        // Text in other scripts has at least spaces and line ends; random bytes have fewer of them.
        let has_latin = latin == units().len() || !is_utf8 && 16 * latin >= units().len();
        // The end of the beginning may split a surrogate pair.
        let is_parted = units().next_back().is_some_and(|unit| (0xD800..0xDC00).contains(&unit));
        let unpaired = char::decode_utf16(units()).filter(Result::is_err).count();
        rest.is_empty()
            && has_latin
            && unpaired == usize::from(is_parted)
            && units().all(|unit| is_text(unit.into()))
    };
    match () {
        () if is_utf32(u32::from_le_bytes) || is_utf32(u32::from_be_bytes) => Failure::PerhapsUtf32,
        () if is_utf16(u16::from_le_bytes) || is_utf16(u16::from_be_bytes) => Failure::PerhapsUtf16,
        () => Failure::Binary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    fn utf32(text: &str, bytes: fn(u32) -> [u8; 4]) -> Vec<u8> {
        text.chars().flat_map(|c| bytes(c as u32)).collect()
    }

    const TEXTS: [&str; 4] = ["The cat\r\nsat.\n", "Кошка сидела на окне.", "\u{1F431} cats", "a"];

    #[test]
    fn byte_order_marks_are_known() {
        for text in TEXTS {
            let marked = format!("\u{FEFF}{text}");
            for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
                assert_eq!(byte_order_mark(&utf16(&marked, bytes)), Some(Failure::Utf16));
                assert_eq!(byte_order_mark(&utf16(text, bytes)), None);
            }
            for bytes in [u32::to_le_bytes, u32::to_be_bytes] {
                assert_eq!(byte_order_mark(&utf32(&marked, bytes)), Some(Failure::Utf32));
                assert_eq!(byte_order_mark(&utf32(text, bytes)), None);
            }
            assert_eq!(byte_order_mark(marked.as_bytes()), None);
        }
        assert_eq!(byte_order_mark(b"\xFF\xFE"), Some(Failure::Utf16));
        assert_eq!((byte_order_mark(b"\xFF"), byte_order_mark(b"")), (None, None));
    }

    #[test]
    fn wide_text_without_a_mark_is_guessed() {
        for text in TEXTS {
            for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
                assert_eq!(with_nul(&utf16(text, bytes)), Failure::PerhapsUtf16, "{text}");
            }
            for bytes in [u32::to_le_bytes, u32::to_be_bytes] {
                assert_eq!(with_nul(&utf32(text, bytes)), Failure::PerhapsUtf32, "{text}");
            }
        }
        let parted = utf16(&"\u{1F431} ".repeat(2), u16::to_le_bytes);
        assert_eq!(with_nul(&parted[..8]), Failure::PerhapsUtf16);
        let binary = [
            &b"ab\0cd"[..],
            b"\0",
            b"\0\0\0\0",
            b"\x7FELF\x02\x01\x01\0\0\0\0\0",
            b"one\0three\0five\0",
            b"cat\0dog\0",
            "cafés\0\n".as_bytes(),
        ];
        for bytes in binary {
            assert_eq!(with_nul(bytes), Failure::Binary, "{bytes:?}");
        }
    }

    fn decoded(bytes: &[u8], policy: DecodeError) -> Result<Vec<u8>, InvalidUtf8> {
        let mut bytes = bytes.to_vec();
        decode(&mut bytes, policy, &mut Vec::new()).map(|()| bytes)
    }

    #[test]
    fn policies() {
        let bad = b"ab\xFFcd \xE4\xB8 \xC3\xFF\xA9";
        assert_eq!(decoded(bad, DecodeError::Strict), Err(InvalidUtf8(2)));
        assert_eq!(decoded(bad, DecodeError::Ignore).unwrap(), b"abcd  ");
        assert_eq!(decoded(bad, DecodeError::Replace).unwrap(), String::from_utf8_lossy(bad).as_bytes());
        for policy in [DecodeError::Strict, DecodeError::Replace, DecodeError::Ignore] {
            assert_eq!(decoded("\u{FEFF}é\r\n".as_bytes(), policy).unwrap(), "\u{FEFF}é\r\n".as_bytes());
        }
    }
}
