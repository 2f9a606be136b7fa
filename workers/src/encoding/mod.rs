//! The encodings of documents (`--encoding`): their names, and the conversion to UTF-8.
//!
//! Names mean what they mean in Python; names of the Encoding Standard that Python does not know are known, too. Encodings
//! of one byte a character are Python's, from its tables. `encoding_rs` decodes those of several bytes. UTF-8 itself is
//! left to the analyzer, which checks all text.

mod decoder;
#[rustfmt::skip]
mod table;
mod transcoded;

pub(crate) use decoder::Decoder;
pub use transcoded::Transcoded;

use crate::analyzer::decode::{DecodeError, byte_order_mark};
use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use table::{ENCODINGS, NAMES};

/// The order of bytes in a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Endian {
    Little,
    Big,
}

/// The method that decodes an encoding.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Utf8,
    /// UTF-8 whose byte-order mark is removed.
    Utf8Sig,
    /// Without an order, the byte-order mark decides and is removed; else it is little.
    Utf16(Option<Endian>),
    Utf32(Option<Endian>),
    /// One byte a character: ASCII, and these from 0x80. 0 is none.
    Table(&'static [u16; 128]),
    Multibyte(&'static encoding_rs::Encoding),
    /// A guess for each document.
    Auto,
}

/// An encoding, or the guess of one for each document.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Encoding(u8);

impl Encoding {
    /// UTF-8.
    pub const UTF_8: Encoding = Encoding(0);

    /// The encoding of a number that a [`Encoding::number`] was; `None` if there is none.
    pub fn of_number(number: u8) -> Option<Self> {
        ENCODINGS.get(usize::from(number)).map(|_| Encoding(number))
    }

    /// The number of the encoding in this version of the program.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Its label, which Python knows, too; `auto` for the guess.
    pub fn label(self) -> &'static str {
        ENCODINGS[usize::from(self.0)].0
    }

    fn kind(self) -> Kind {
        ENCODINGS[usize::from(self.0)].1
    }

    /// The encoding of `encoding_rs`; `None` if it is not one of text.
    fn of_standard(encoding: &'static encoding_rs::Encoding) -> Option<Self> {
        let name = match encoding.name() {
            "ISO-8859-8-I" => "ISO-8859-8",
            name => name,
        };
        Self::named(&squeezed(name))
    }

    /// The encoding of a name that is squeezed.
    fn named(name: &str) -> Option<Self> {
        let place = NAMES.binary_search_by_key(&name, |&(name, _)| name).ok()?;
        Some(Encoding(NAMES[place].1))
    }

    /// Whether it needs no conversion: UTF-8 as it is.
    pub fn is_utf8(self) -> bool {
        self == Encoding::UTF_8
    }

    /// Whether text contains NUL bytes.
    pub(crate) fn has_nuls(self) -> bool {
        matches!(self.kind(), Kind::Utf16(_) | Kind::Utf32(_))
    }

    /// The failure of a document that begins with the byte-order mark of another encoding.
    pub(crate) fn wrong_mark(self, beginning: &[u8]) -> Option<Failure> {
        let failure = byte_order_mark(beginning)?;
        let is_right = match (self.kind(), failure) {
            (Kind::Auto, _) => true,
            (Kind::Utf16(order), Failure::Utf16) => {
                order.is_none_or(|order| mark16(beginning) == Some(order))
            }
            (Kind::Utf32(order), Failure::Utf32) => {
                order.is_none_or(|order| mark32(beginning) == Some(order))
            }
            _ => false,
        };
        (!is_right).then_some(failure)
    }

    /// Converts one whole text to UTF-8 under `policy`. `spare` is a buffer to keep between calls. Returns the number of
    /// the encoding that was guessed, if it was and is not UTF-8. Leaves UTF-8 as it is: the analyzer checks it.
    ///
    /// # Errors
    /// [`Failure::InvalidInEncoding`] under [`DecodeError::Strict`], with the offset in the text. Then `text` is unchanged.
    pub fn decode(
        self,
        text: &mut Vec<u8>,
        policy: DecodeError,
        spare: &mut Vec<u8>,
    ) -> Result<Option<u8>, Failure> {
        let is_plain = match self.kind() {
            Kind::Utf8 => true,
            Kind::Table(_) | Kind::Utf8Sig => text.is_ascii(),
            Kind::Auto => !text.starts_with(UTF_8_MARK) && simdutf8::basic::from_utf8(text).is_ok(),
            _ => false,
        };
        if is_plain {
            return Ok(None);
        }
        spare.clear();
        let mut decoder = Decoder::new(self, policy);
        decoder.decode(text, true, spare)?;
        std::mem::swap(text, spare);
        Ok(decoder.guessed())
    }
}

/// The byte-order mark of UTF-8.
const UTF_8_MARK: &[u8] = "\u{FEFF}".as_bytes();

/// The order of a byte-order mark of UTF-16.
fn mark16(beginning: &[u8]) -> Option<Endian> {
    match beginning {
        [0xFF, 0xFE, ..] => Some(Endian::Little),
        [0xFE, 0xFF, ..] => Some(Endian::Big),
        _ => None,
    }
}

/// The order of a byte-order mark of UTF-32.
fn mark32(beginning: &[u8]) -> Option<Endian> {
    match beginning {
        [0xFF, 0xFE, 0, 0, ..] => Some(Endian::Little),
        [0, 0, 0xFE, 0xFF, ..] => Some(Endian::Big),
        _ => None,
    }
}

/// A name as in the table: lower case, only letters and digits.
fn squeezed(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// A name that no encoding has.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no encoding is named `{name}`{}", near_names(.name))]
pub struct UnknownEncoding {
    name: String,
}

/// The part of a message that names the labels most like `name`.
fn near_names(name: &str) -> String {
    let name: Vec<u8> = squeezed(name).into_bytes().into_iter().take(40).collect();
    let distances = NAMES.iter().map(|&(known, number)| (distance(&name, known.as_bytes()), number));
    let mut near: Vec<_> = distances.filter(|&(distance, _)| distance <= 1 + name.len() / 4).collect();
    near.sort_unstable();
    let nearest = near.first().map(|&(distance, _)| distance);
    near.retain(|&(distance, _)| Some(distance) == nearest);
    let mut labels: Vec<_> = near.iter().map(|&(_, number)| Encoding(number).label()).collect();
    let mut seen = Vec::new();
    labels.retain(|&label| {
        let is_new = !seen.contains(&label);
        seen.push(label);
        is_new
    });
    labels.truncate(3);
    match labels.is_empty() {
        true => " (as utf-8, utf-16, latin1, windows-1252, shift_jis, gb18030, or auto)".to_owned(),
        false => format!(" (near it: {})", labels.join(", ")),
    }
}

/// The number of bytes to insert, remove or replace to turn `a` into `b`.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

impl FromStr for Encoding {
    type Err = UnknownEncoding;

    fn from_str(name: &str) -> Result<Self, UnknownEncoding> {
        Self::named(&squeezed(name))
            .or_else(|| Self::of_standard(encoding_rs::Encoding::for_label(name.as_bytes())?))
            .ok_or_else(|| UnknownEncoding { name: name.to_owned() })
    }
}

impl Default for Encoding {
    fn default() -> Self {
        Encoding::UTF_8
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl Serialize for Encoding {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

impl<'de> Deserialize<'de> for Encoding {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoding(name: &str) -> Encoding {
        name.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn names_mean_what_they_mean_in_python() {
        for (label, names) in [
            ("utf-8", &["utf8", "UTF_8", "U8", "cp65001", "unicode-1-1-utf-8"][..]),
            ("iso-8859-1", &["latin1", "latin-1", "L1", "ISO_8859-1", "iso8859-1", "8859"]),
            ("ascii", &["us-ascii", "646", "ANSI_X3.4-1968"]),
            ("windows-1252", &["cp1252", "1252", "x-cp1252"]),
            ("shift_jis", &["shift-jis", "SJIS", "x-sjis"]),
            ("gb2312", &["chinese", "euc_cn"]),
            ("gbk", &["cp936", "936", "x-gbk"]),
            ("koi8-r", &["koi8_r", "koi8"]),
            ("utf-16", &["utf16", "U16"]),
            ("utf-16le", &["utf_16_le", "UTF-16LE", "unicodefeff"]),
            ("iso-8859-8", &["iso-8859-8-i", "logical"]),
            ("iso-8859-9", &["latin5", "l5"]),
            ("auto", &["auto", "AUTO"]),
        ] {
            for name in names {
                assert_eq!(encoding(name).label(), label, "{name}");
            }
        }
    }

    #[test]
    fn each_label_is_its_own_name() {
        for number in 0..ENCODINGS.len() as u8 {
            let known = Encoding::of_number(number).expect("an encoding");
            assert_eq!((encoding(known.label()), known.number()), (known, number));
        }
        assert_eq!(Encoding::of_number(ENCODINGS.len() as u8), None);
        assert!(NAMES.is_sorted_by_key(|&(name, _)| name));
    }

    #[test]
    fn an_unknown_name_names_near_ones() {
        let message = |name: &str| name.parse::<Encoding>().expect_err(name).to_string();
        assert_eq!(message("lattin1"), "no encoding is named `lattin1` (near it: iso-8859-1)");
        assert!(message("windows1259").contains("windows-125"), "{}", message("windows1259"));
        assert!(message("klingon").ends_with("gb18030, or auto)"), "{}", message("klingon"));
        for name in ["", "-", "replacement", "x-user-defined", "hz-gb-2312", "\u{e9}", &"utf".repeat(1000)] {
            assert!(name.parse::<Encoding>().is_err(), "{name}");
        }
    }

    #[test]
    fn whole_texts() {
        let mut spare = Vec::new();
        let mut decoded = |name: &str, text: &[u8], policy| {
            let mut text = text.to_vec();
            let guessed = encoding(name).decode(&mut text, policy, &mut spare)?;
            Ok((String::from_utf8(text).expect("UTF-8"), guessed.and_then(Encoding::of_number)))
        };
        let (strict, replace, ignore) = (DecodeError::Strict, DecodeError::Replace, DecodeError::Ignore);
        for (name, bytes, text) in [
            ("latin1", &b"caf\xE9 \x80"[..], "café \u{80}"),
            ("cp1252", b"caf\xE9 \x80", "café €"),
            ("koi8-r", b"\xF2\xD5\xD3\xD8", "Русь"),
            ("shift_jis", b"\x93\xFA\x96\x7B a", "日本 a"),
            ("euc-jp", b"\xC6\xFC\xCB\xDC", "日本"),
            ("iso-2022-jp", b"\x1B$BF|K\\\x1B(B a", "日本 a"),
            ("gb18030", b"\xD6\xD0\x81\x30\x81\x30", "中\u{80}"),
            ("utf-16", b"\xFF\xFEa\0\xE9\0", "aé"),
            ("utf-16", b"\xFE\xFF\0a\0\xE9", "aé"),
            ("utf-16", b"a\0\x3D\xD8\x31\xDC", "a\u{1F431}"),
            ("utf-16le", b"\xFF\xFEa\0", "\u{FEFF}a"),
            ("utf-16be", b"\0a", "a"),
            ("utf-32", b"\xFF\xFE\0\0a\0\0\0", "a"),
            ("utf-32", b"\0\0\xFE\xFF\0\x01\xF4\x31", "\u{1F431}"),
            ("utf-32", b"\xE9\0\0\0", "é"),
            ("utf-32be", b"\0\0\xFE\xFF\0\0\0a", "\u{FEFF}a"),
            ("utf-8-sig", b"\xEF\xBB\xBFa\xC3\xA9", "aé"),
            ("utf-8-sig", b"a\xC3\xA9", "aé"),
            ("utf-8", b"\xEF\xBB\xBFa", "\u{FEFF}a"),
            ("auto", b"\xEF\xBB\xBFa", "a"),
            ("auto", b"a\xC3\xA9", "aé"),
            ("auto", b"\xFF\xFEa\0", "a"),
            ("auto", b"\xFF\xFE\0\0a\0\0\0", "a"),
            ("utf-16", b"", ""),
            ("auto", b"", ""),
        ] {
            for policy in [strict, replace, ignore] {
                let found = decoded(name, bytes, policy).map(|(text, _)| text);
                assert_eq!(found.as_deref(), Ok(text), "{name} {bytes:?}");
            }
        }
        let invalid = |at| Err(Failure::InvalidInEncoding(at));
        for (name, bytes, at, replaced, ignored) in [
            ("ascii", &b"ab\xE9c"[..], 2, "ab\u{FFFD}c", "abc"),
            ("cp1252", b"\x81a", 0, "\u{FFFD}a", "a"),
            ("shift_jis", b"ab\x93", 2, "ab\u{FFFD}", "ab"),
            ("gb18030", b"a\xFFb", 1, "a\u{FFFD}b", "ab"),
            ("utf-16", b"a\0b", 2, "a\u{FFFD}", "a"),
            ("utf-16le", b"\x3D\xD8a\0", 0, "\u{FFFD}a", "a"),
            ("utf-16be", b"\0a\xDC\x31\0b", 2, "a\u{FFFD}b", "ab"),
            ("utf-32", b"\xFF\xFE\0\0a\0\0\0\0\xD8\0\0b", 8, "a\u{FFFD}\u{FFFD}", "a"),
            ("utf-32be", b"\0\x11\0\0\0\0\0a", 0, "\u{FFFD}a", "a"),
        ] {
            assert_eq!(decoded(name, bytes, strict), invalid(at), "{name}");
            assert_eq!(decoded(name, bytes, replace), Ok((replaced.to_owned(), None)), "{name}");
            assert_eq!(decoded(name, bytes, ignore), Ok((ignored.to_owned(), None)), "{name}");
        }
        assert_eq!(decoded("utf-8-sig", b"\xEF\xBB\xBFa\xFF", strict), Err(Failure::InvalidUtf8(4)));
        let german = "Die Stra\u{df}e f\u{fc}hrt \u{fc}ber die gr\u{fc}ne Wiese zum M\u{fc}hlbach. ";
        let bytes: Vec<u8> = german.chars().map(|c| c as u8).collect();
        let (text, guessed) = decoded("auto", &bytes, strict).expect("text");
        assert_eq!((&*text, guessed), (german, Some(encoding("windows-1252"))));
        let (_, guessed) = decoded("auto", b"\xFE\xFF\0a", strict).expect("text");
        assert_eq!(guessed, Some(encoding("utf-16")));
    }
}
