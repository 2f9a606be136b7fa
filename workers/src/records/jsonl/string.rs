//! Strings of JSON in a line: where they end, and their characters.
//!
//! Looks at 64 bytes at a time, as a mask of those that do not stand for themselves (`json_marks`). Texts of short lines
//! have an escape every 16 bytes, so a run between two of them is copied as a whole block, whose end the next run
//! overwrites: a copy of the run's length would branch on it. Decides nothing about what is valid besides the strings.

use crate::analyzer::PADDING;
use crate::analyzer::classes::{BLOCK, json_marks};
use crate::failure::Failure;
use std::ops::Range;

/// Bytes of the longest escape: a pair of surrogates.
const LONGEST_ESCAPE: usize = 12;

/// Bytes that are accessed for a block: an escape may begin at its end, and a block is copied from behind it.
const WINDOW: usize = 2 * BLOCK + LONGEST_ESCAPE;

/// The characters of the string at `at`, if it has no escapes.
pub(super) fn plain(line: &[u8], at: usize) -> Option<Range<usize>> {
    let start = at + 1;
    let end = (line.get(at) == Some(&b'"')).then(|| start + before_mark(line, start))?;
    (line.get(end) == Some(&b'"')).then_some(start..end)
}

/// The place behind the string at `at`, if all its escapes are of one letter.
pub(super) fn end(line: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        at += before_mark(line, at);
        match line.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' if ESCAPED[usize::from(*line.get(at + 1)?)] > 0 => at += 2,
            _ => return None,
        }
    }
}

/// The number of bytes of `line` from `at` on before the first quote, backslash or control character.
fn before_mark(line: &[u8], at: usize) -> usize {
    let (blocks, rest) = line.get(at..).unwrap_or_default().as_chunks();
    // The padding has marks.
    let mut last = [0; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    let marks = blocks.iter().chain([&last]).map(json_marks).enumerate().find(|&(_, marks)| marks != 0);
    marks.map_or(0, |(block, marks)| block * BLOCK + marks.trailing_zeros() as usize)
}

/// Appends the characters of the string at `at`, and returns the place behind it.
///
/// # Errors
/// [`Failure::InvalidJson`] with the place of what is invalid in a string: its beginning, an escape, a control character, or
/// the end of the line. [`Failure::OutOfMemory`].
pub(super) fn decode(line: &[u8], at: usize, text: &mut Vec<u8>) -> Result<usize, Failure> {
    if line.get(at) != Some(&b'"') {
        return Err(Failure::InvalidJson(at as u64));
    }
    let start = at + 1;
    let length = text.len();
    // No escape is shorter than its character.
    let most = line.len() - start + WINDOW;
    text.try_reserve(most + PADDING).map_err(|_| Failure::OutOfMemory)?;
    text.resize(length + most, 0);
    let mut progress = Progress { at: start, to: length };
    let decoded = progress.decode(line, text).and_then(|is_at_end| {
        if is_at_end {
            return Ok(progress);
        }
        // The last bytes are decoded from a copy, whose padding has marks.
        let (base, mut padded) = (progress.at, [0; 2 * WINDOW]);
        let rest = &line[base..];
        padded[..rest.len()].copy_from_slice(rest);
        let mut progress = Progress { at: 0, ..progress };
        match progress.decode(&padded, text) {
            Ok(true) => Ok(Progress { at: base + progress.at, ..progress }),
            Ok(false) => Err(line.len()),
            Err(at) => Err(base + at),
        }
    });
    text.truncate(decoded.map_or(length, |progress| progress.to));
    decoded.map(|progress| progress.at).map_err(|at| Failure::InvalidJson(at as u64))
}

/// How far a string is decoded.
#[derive(Clone, Copy)]
struct Progress {
    /// The next byte of the line.
    at: usize,
    /// The end of the text.
    to: usize,
}

impl Progress {
    /// Goes on up to the end of the string, and past its quote, as long as the line has a window. Returns whether it is at
    /// the end; or the place of what is not valid.
    fn decode(&mut self, line: &[u8], text: &mut [u8]) -> Result<bool, usize> {
        let Progress { mut at, mut to } = *self;
        while let Some(window) = line[at..].first_chunk::<WINDOW>() {
            let (block, _) = window.split_first_chunk::<BLOCK>().unwrap_or((&[0; BLOCK], &[]));
            let mut marks = json_marks(block);
            // Bytes of the block that are done.
            let mut done = 0;
            while marks != 0 {
                let mark = marks.trailing_zeros() as usize;
                copy_block(window, done, text, to);
                to += mark - done;
                let size = match window[mark] {
                    b'"' => {
                        *self = Progress { at: at + mark + 1, to };
                        return Ok(true);
                    }
                    b'\\' => {
                        let simple = ESCAPED[usize::from(window[mark + 1])];
                        text[to] = simple;
                        to += 1;
                        match simple {
                            0 => {
                                let (character, size) = code_point(&window[mark..]).ok_or(at + mark)?;
                                to += character.encode_utf8(&mut text[to - 1..]).len() - 1;
                                size
                            }
                            _ => 2,
                        }
                    }
                    _ => return Err(at + mark),
                };
                done = mark + size;
                marks &= u64::MAX.checked_shl(done as u32).unwrap_or(0);
            }
            copy_block(window, done, text, to);
            to += BLOCK.saturating_sub(done);
            at += BLOCK.max(done);
        }
        *self = Progress { at, to };
        Ok(false)
    }
}

/// Copies a block from byte `from` of a window to byte `to` of the text.
#[inline(always)]
fn copy_block(window: &[u8; WINDOW], from: usize, text: &mut [u8], to: usize) {
    text[to..to + BLOCK].copy_from_slice(&window[from..from + BLOCK]);
}

/// The character of each escape of a backslash and a letter; 0 for others.
const ESCAPED: [u8; 256] = {
    let mut escaped = [0; 256];
    let pairs = *b"\"\"\\\\//b\x08f\x0Cn\nr\rt\t";
    let mut at = 0;
    while at < pairs.len() {
        escaped[pairs[at] as usize] = pairs[at + 1];
        at += 2;
    }
    escaped
};

/// The character of the escape `\u0000` at the beginning of `string`, and the bytes of the escape, which may be a pair of
/// surrogates. `None` for one without its partner.
fn code_point(string: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = string.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |code, &digit| Some(code << 4 | char::from(digit).to_digit(16)?))
    };
    match (unit(0)?, unit(6)) {
        (high @ 0xD800..0xDC00, Some(low @ 0xDC00..0xE000)) => {
            let character = char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))?;
            Some((character, LONGEST_ESCAPE))
        }
        (code, _) => Some((char::from_u32(code)?, 6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Decodes the string at the beginning of a line, behind a text.
    fn decoded(line: &[u8]) -> Result<(usize, Vec<u8>), Failure> {
        let mut text = b"text".to_vec();
        let behind = decode(line, 0, &mut text).inspect_err(|_| assert_eq!(text, b"text"))?;
        assert_eq!(&text[..4], b"text");
        Ok((behind, text.split_off(4)))
    }

    #[test]
    fn escapes_at_all_places_of_a_block() {
        for before in 0..3 * BLOCK {
            for after in [0, 1, BLOCK, WINDOW, 3 * BLOCK] {
                let string =
                    |escape: &str| format!("\"{}{escape}{}\"", "a".repeat(before), "b".repeat(after));
                for (escape, character) in [
                    ("\\n", "\n"),
                    ("\\\"\\\\", "\"\\"),
                    ("\\u00e9", "é"),
                    ("\\ud83d\\uDE00", "😀"),
                    ("\\u0000é", "\0é"),
                ] {
                    let line = string(escape);
                    let expected = string(character);
                    let expected = &expected.as_bytes()[1..expected.len() - 1];
                    assert_eq!(decoded(line.as_bytes()), Ok((line.len(), expected.to_vec())), "{line}");
                    assert_eq!(decoded((line.clone() + ",\"").as_bytes()), decoded(line.as_bytes()));
                    assert!(plain(line.as_bytes(), 0).is_none());
                    let is_simple = !line.contains("\\u");
                    assert_eq!(end(line.as_bytes(), 0), is_simple.then_some(line.len()));
                }
                for wrong in ["\\ud800", "\\udc00\\ud800", "\\x", "\\u+123", "\u{1F}", "\n", "\0"] {
                    let expected = Err(Failure::InvalidJson(1 + before as u64));
                    assert_eq!(decoded(string(wrong).as_bytes()), expected, "{before} {after} {wrong:?}");
                }
                let line = string("");
                assert_eq!(plain(line.as_bytes(), 0), Some(1..line.len() - 1));
                let cut = &line.as_bytes()[..line.len() - 1];
                assert_eq!(decoded(cut), Err(Failure::InvalidJson(cut.len() as u64)));
                assert_eq!((plain(cut, 0), end(cut, 0)), (None, None));
            }
        }
        for no_string in ["", "1", "a\"b\""] {
            assert_eq!(decoded(no_string.as_bytes()), Err(Failure::InvalidJson(0)));
        }
    }

    proptest! {
        #[test]
        fn as_serde_json_decodes(
            parts in prop::collection::vec(
                prop_oneof![
                    prop::sample::select(vec!["\\n", "\\\"", "\\\\", "\\/", "\\u0041", "\\ud83d\\ude00", "é", "\\ud800", "\\x"])
                        .prop_map(str::to_owned),
                    "[a-z]{0,20}",
                    (0usize..200).prop_map(|length| "a".repeat(length)),
                ],
                0..40,
            ),
            tail in ",{0,200}",
        ) {
            let string = format!("\"{}\"", parts.concat());
            let line = format!("{string}{tail}");
            let expected = serde_json::from_str::<String>(&string).ok();
            prop_assert_eq!(decoded(line.as_bytes()).ok(), expected.map(|text| (string.len(), text.into_bytes())));
        }
    }
}
