//! Guesses from the first bytes the format of a file that is not a list of words, and advises what to give instead.
//! It knows common formats of word lists: archives, tables, documents, saved Python objects, text in other encodings.

/// The advice for a format that a program writes.
const AS_TEXT: &str = "save the words as plain text in UTF-8, one per line";

/// Why `bytes`, the beginning of a file, can't be a list; nothing if they may. Terms have no white space and no brackets in them
/// if `has_plain_words`.
pub fn refusal(bytes: &[u8], has_plain_words: bool) -> Option<String> {
    let known = binary(bytes).or_else(|| markup(bytes, has_plain_words));
    if let Some((what, advice)) = known {
        return Some(format!("{what}, not a list ({advice})"));
    }
    let encoding = wide_encoding(bytes)?;
    let name = match encoding {
        "UTF-16LE" | "UTF-16BE" => "UTF-16 without a byte-order mark",
        name => name,
    };
    Some(format!("{name}, not UTF-8 (`iconv -f {encoding} -t UTF-8` converts it)"))
}

/// The encoding of a text in units of 16 or 32 bits.
fn wide_encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => Some("UTF-32"),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Some("UTF-16"),
        _ if is_utf16_with_high_at(1, bytes) => Some("UTF-16LE"),
        _ if is_utf16_with_high_at(0, bytes) => Some("UTF-16BE"),
        _ => None,
    }
}

/// Whether these are units of 16 bits whose high byte comes first (0) or second (1): spaces and ends of lines have a NUL there
/// and nowhere else. In most scripts all high bytes are small; in the others, the bytes are not UTF-8.
fn is_utf16_with_high_at(place: usize, bytes: &[u8]) -> bool {
    let high = || bytes.iter().skip(place).step_by(2);
    let low = || bytes.iter().skip(1 - place).step_by(2);
    let small = high().filter(|&&byte| byte < b' ').count();
    bytes.len().is_multiple_of(2)
        && high().any(|&byte| byte == 0)
        && low().all(|&byte| byte != 0)
        && (10 * small >= 9 * high().count() || std::str::from_utf8(bytes).is_err())
}

/// A format with bytes of its own.
fn binary(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let has_nul = || bytes.contains(&0);
    Some(match bytes {
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => zip(bytes),
        [0x1F, 0x8B, ..] => ("compressed by gzip", "`gzip -d` decompresses it"),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, ..] => {
            ("compressed by bzip2", "`bzip2 -d` decompresses it")
        }
        [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => ("compressed by xz", "`xz -d` decompresses it"),
        [0x28, 0xB5, 0x2F, 0xFD, ..] => ("compressed by zstd", "`zstd -d` decompresses it"),
        [b'7', b'z', 0xBC, 0xAF, ..] => ("a 7z archive", "unpack it and give the file of words"),
        _ if bytes.get(257..262) == Some(b"ustar") => {
            ("a tar archive", "unpack it and give the file of words")
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => ("a NumPy array (.npy)", AS_TEXT),
        [0x80, 2..=5, ..] => {
            ("a Python pickle", "save the words as plain text, one per line, or as a JSON array")
        }
        [0x89, b'H', b'D', b'F', ..] => ("an HDF5 file", AS_TEXT),
        [b'P', b'A', b'R', b'1', ..] if has_nul() => ("a Parquet file", AS_TEXT),
        [b'A', b'R', b'R', b'O', b'W', b'1', 0, ..] => ("an Arrow file", AS_TEXT),
        _ if bytes.starts_with(b"SQLite format 3\0") => ("an SQLite database", AS_TEXT),
        [0xD0, 0xCF, 0x11, 0xE0, ..] => ("an Office document (.doc, .xls)", AS_TEXT),
        [b'%', b'P', b'D', b'F', b'-', ..] => ("a PDF document", AS_TEXT),
        [0x7F, b'E', b'L', b'F', ..] => ("a program", "give a file of words, one per line"),
        _ => return None,
    })
}

/// What a zip archive is, by the names in it.
fn zip(bytes: &[u8]) -> (&'static str, &'static str) {
    let has = |name: &[u8]| bytes.windows(name.len()).any(|part| part == name);
    let first_name = bytes.get(30..).and_then(|rest| {
        let length = u16::from_le_bytes([*bytes.get(26)?, *bytes.get(27)?]);
        rest.get(..usize::from(length))
    });
    match first_name {
        Some(name) if name.ends_with(b".npy") => {
            ("a NumPy archive (.npz)", "an output is given by its directory")
        }
        Some(b"mimetype") => ("an OpenDocument file (.ods, .odt)", AS_TEXT),
        _ if has(b"xl/workbook.xml") => ("an Excel workbook (.xlsx)", AS_TEXT),
        _ if has(b"[Content_Types].xml") => ("an Office document (.xlsx, .docx)", AS_TEXT),
        _ => ("a zip archive", "unpack it and give the file of words; an output is given by its directory"),
    }
}

/// A text with marks of its own.
fn markup(bytes: &[u8], has_plain_words: bool) -> Option<(&'static str, &'static str)> {
    let bytes = bytes.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(bytes).trim_ascii_start();
    let starts = |with: &[u8]| bytes.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    if starts(b"{\\rtf") {
        Some(("rich text (RTF)", AS_TEXT))
    } else if starts(b"<!doctype html") || has_plain_words && starts(b"<html") {
        Some(("an HTML page", AS_TEXT))
    } else if has_plain_words && starts(b"<?xml") {
        Some(("an XML file", AS_TEXT))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn text_in_units_of_16_bits_is_recognised_without_a_mark() {
        for text in ["the\nand\n", "это\r\nвсе\r\n", "的\n是\n这\n", "यह\nवह\n", "a\n"] {
            for (bytes, encoding) in
                [(utf16(text, u16::to_le_bytes), "UTF-16LE"), (utf16(text, u16::to_be_bytes), "UTF-16BE")]
            {
                assert_eq!(wide_encoding(&bytes), Some(encoding), "{text:?}");
            }
        }
        for bytes in [&b"the\nand\0\n"[..], b"the\nt\0h\0", b"", b"the\nand\n", b"\0\0\0\0", b"ab"] {
            assert_eq!(wide_encoding(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn lists_of_tags_are_lists_where_a_pattern_takes_them() {
        assert!(refusal(b"<html>\n<body>\n", true).is_some());
        assert_eq!(refusal(b"<html>\n<body>\n", false), None);
        for list in [&b"PAR1\nPK\n7z\n"[..], b"BZh\n", b"", b"the\n", b"{the\n"] {
            assert_eq!(refusal(list, true), None);
        }
    }
}
