//! The properties of a character that the analyzers use: whether it is a word character, its lower case, and its role in
//! the rule of the final sigma.
//!
//! Owns the two-stage table that `build.rs` writes. A word character is a character that Python's `\w` matches: general
//! category L* or N*, or `_` (CPython, `Modules/_sre` and `Objects/unicodectype.c`). Cased and case-ignorable are
//! defined in the Unicode Standard, section 3.13, D135 and D136, and used as the standard library applies them. Under a
//! version of Unicode, the characters of later versions have no properties.

use super::unicode::UnicodeVersion;

include!(concat!(env!("OUT_DIR"), "/characters.rs"));

/// The properties of one character.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Properties(i32);

impl Properties {
    /// The properties of code point `code` in a version of Unicode. A code point that it does not assign, or a number that
    /// is not a code point, has none.
    #[inline]
    pub fn of(code: u32, version: UnicodeVersion) -> Self {
        match STAGE.get((code / 128) as usize) {
            Some(&block) => {
                let properties = Properties(BLOCKS[block as usize][(code % 128) as usize]);
                if properties.age() <= version as i32 { properties } else { Properties(0) }
            }
            None => Properties(0),
        }
    }

    /// Whether a version of Unicode assigns the character. The newest one is taken to assign all.
    #[inline]
    pub(crate) fn is_assigned(c: char, version: UnicodeVersion) -> bool {
        Properties::of(c as u32, UnicodeVersion::Newest).age() <= version as i32
    }

    /// The number of the first version of Unicode that assigns the character.
    #[inline]
    fn age(self) -> i32 {
        self.0 >> 3 & 7
    }

    /// A word character: general category L* or N*, or `_`.
    #[inline]
    pub fn is_word(self) -> bool {
        self.0 & 1 != 0
    }

    /// Cased and not case-ignorable.
    #[inline]
    pub(crate) fn is_cased(self) -> bool {
        self.0 & 2 != 0
    }

    /// Case-ignorable: the rule of the final sigma skips it.
    #[inline]
    pub(crate) fn is_case_ignorable(self) -> bool {
        self.0 & 4 != 0
    }

    /// The difference from the code point to its lower case; 0 for most. U+0130 lowers to two characters: the
    /// difference leads to the first, `i`. The second is U+0307, which is not a word character.
    #[inline]
    pub(crate) fn to_lower(self) -> i32 {
        self.0 >> 6
    }
}

/// The character that begins at `text[at]`, and its length in bytes. `text` is UTF-8. A truncated sequence gives U+FFFD,
/// never a panic.
#[inline]
pub(crate) fn decode(text: &[u8], at: usize) -> (u32, usize) {
    let byte = |i: usize| text.get(at + i).map_or(0, |b| (b & 0x3F) as u32);
    match text.get(at).copied().unwrap_or(0) {
        first @ 0..0x80 => (first as u32, 1),
        first @ 0xC0..0xE0 => ((first as u32 & 0x1F) << 6 | byte(1), 2),
        first @ 0xE0..0xF0 => ((first as u32 & 0x0F) << 12 | byte(1) << 6 | byte(2), 3),
        first @ 0xF0.. => ((first as u32 & 0x07) << 18 | byte(1) << 12 | byte(2) << 6 | byte(3), 4),
        0x80..0xC0 => (0xFFFD, 1),
    }
}

/// The character that ends before `text[end]`, and its first byte; `None` at the beginning of the text.
pub(crate) fn decode_before(text: &[u8], end: usize) -> Option<(u32, usize)> {
    let mut start = end.checked_sub(1)?;
    while start > 0 && text[start] & 0xC0 == 0x80 {
        start -= 1;
    }
    Some((decode(text, start).0, start))
}

/// Whether a capital sigma at `text[at]` is final: a cased character precedes it and none follows it,
/// with any number of case-ignorable ones between. Unicode Standard, table 3-17, `Final_Sigma`.
pub(crate) fn is_final_sigma(text: &[u8], at: usize, version: UnicodeVersion) -> bool {
    let mut end = at;
    let before = loop {
        let Some((code, start)) = decode_before(text, end) else { return false };
        let properties = near_sigma(code, version);
        if !properties.is_case_ignorable() {
            break properties;
        }
        end = start;
    };
    if !before.is_cased() {
        return false;
    }
    let mut next = at + 2;
    while next < text.len() {
        let (code, length) = decode(text, next);
        let properties = near_sigma(code, version);
        if !properties.is_case_ignorable() {
            return !properties.is_cased();
        }
        next += length;
    }
    true
}

/// The properties of a character next to a sigma. Those of two characters have changed between versions of Unicode.
fn near_sigma(code: u32, version: UnicodeVersion) -> Properties {
    match code {
        // General category Ll up to 16.0, then Lo: cased, and a word character.
        0x295 if version <= UnicodeVersion::V16_0 => Properties(0b011),
        // General category Mn up to 15.1, then Mc: case-ignorable.
        0x1171E if version <= UnicodeVersion::V15_1 => Properties(0b100),
        _ => Properties::of(code, version),
    }
}

/// Replaces `out` with `text` in lower case: the results of `str::to_lowercase` with the tables of a version, but faster on
/// texts of which some characters are not ASCII.
pub(crate) fn lower(text: &str, version: UnicodeVersion, out: &mut String) {
    out.clear();
    out.reserve(text.len());
    let bytes = text.as_bytes();
    let (mut copied, mut at) = (0, 0);
    let copy = |out: &mut String, unchanged: &str| {
        let start = out.len();
        out.push_str(unchanged);
        out[start..].make_ascii_lowercase();
    };
    while at < bytes.len() {
        if bytes[at..].first_chunk::<16>().is_some_and(|chunk| chunk.is_ascii()) {
            at += 16;
            continue;
        }
        let (code, length) = decode(bytes, at);
        if code >= 0x80 && Properties::of(code, version).to_lower() != 0 {
            copy(out, &text[copied..at]);
            match text[at..].chars().next() {
                Some('Σ') if is_final_sigma(bytes, at, version) => out.push('ς'),
                changed => out.extend(changed.into_iter().flat_map(char::to_lowercase)),
            }
            copied = at + length;
        }
        at += length;
    }
    copy(out, &text[copied..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NEWEST: UnicodeVersion = UnicodeVersion::Newest;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn lowers_as_the_standard_library_does(
            parts in proptest::collection::vec(
                prop_oneof!["[A-Za-z ]{0,40}", "[ΑΣσς.\u{AD}İIßẞDŽé’中\u{300}]{0,6}", any::<String>()], 0..12),
        ) {
            let text = parts.concat();
            let mut lowered = String::from("before");
            lower(&text, NEWEST, &mut lowered);
            prop_assert_eq!(lowered, text.to_lowercase());
        }
    }

    /// Also those that only the standard library knows: else a text would have other words before it is lowered than after.
    #[test]
    fn capitals_are_in_words_as_their_small_letters_are() {
        for c in '\0'..=char::MAX {
            let lower = c.to_lowercase().next().expect("a lower case form is never empty");
            let (of_capital, of_lower) =
                (Properties::of(c as u32, NEWEST), Properties::of(lower as u32, NEWEST));
            assert_eq!(of_capital.is_word(), of_lower.is_word(), "{c:?} {lower:?}");
        }
    }

    /// U+1E4D0 to U+1E4EA are letters of Unicode 15.0, U+1E4EC to U+1E4EF its marks; U+1C89 and U+1C8A are of 16.0.
    #[test]
    fn a_later_character_has_no_properties() {
        let of = Properties::of;
        for (code, before, since) in [
            (0x1E4D0, UnicodeVersion::V14_0, UnicodeVersion::V15_0),
            (0x1E4EC, UnicodeVersion::V14_0, UnicodeVersion::V15_0),
            (0x2EBF0, UnicodeVersion::V15_0, UnicodeVersion::V15_1),
            (0x1C89, UnicodeVersion::V15_1, UnicodeVersion::V16_0),
            (0xA7CB, UnicodeVersion::V15_1, UnicodeVersion::V16_0),
        ] {
            let later = of(code, before);
            assert!(!later.is_word() && !later.is_cased() && !later.is_case_ignorable(), "{code:X}");
            assert_eq!(later.to_lower(), 0, "{code:X}");
            assert_eq!(of(code, since), of(code, NEWEST), "{code:X}");
            assert!(of(code, since).is_word() || of(code, since).is_case_ignorable(), "{code:X}");
        }
        for code in (0..0x80).chain("éΣσſK中한İ\u{345}".chars().map(u32::from)) {
            assert_eq!(of(code, UnicodeVersion::V14_0), of(code, NEWEST));
        }
    }

    /// Also the rule of the final sigma, which passes over U+1E4EC and ends at U+1C8A if they are assigned.
    #[test]
    fn lowers_by_a_version() {
        let lowered = |text, version| {
            let mut out = String::new();
            lower(text, version, &mut out);
            out
        };
        let text = "A\u{1E4EC}Σ \u{1C8A}Σ AΣ\u{1E4EC}B AΣ\u{1C8A} \u{1C89} É";
        let old = "a\u{1E4EC}σ \u{1C8A}σ aς\u{1E4EC}b aς\u{1C8A} \u{1C89} é";
        assert_eq!(lowered(text, UnicodeVersion::V14_0), old);
        assert_eq!(lowered(text, NEWEST), text.to_lowercase());
        let changed = "A\u{295}Σ \u{295}Σ A\u{1171E}Σ AΣ\u{1171E}B";
        assert_eq!(lowered(changed, UnicodeVersion::V15_1), "a\u{295}ς \u{295}ς a\u{1171E}ς aσ\u{1171E}b");
        assert_eq!(lowered(changed, UnicodeVersion::V16_0), "a\u{295}ς \u{295}ς a\u{1171E}σ aς\u{1171E}b");
        assert_eq!(lowered(changed, NEWEST), changed.to_lowercase());
        assert_eq!(text.to_lowercase(), "a\u{1E4EC}ς \u{1C8A}ς aσ\u{1E4EC}b aσ\u{1C8A} \u{1C8A} é");
    }

    #[test]
    fn lower_is_the_standard_librarys() {
        for c in '\0'..=char::MAX {
            let lower = (c as i32 + Properties::of(c as u32, NEWEST).to_lower()) as u32;
            assert_eq!(char::from_u32(lower), c.to_lowercase().next(), "{c:?}");
            let second = c.to_lowercase().nth(1);
            assert_eq!(second.is_some(), c == '\u{130}', "{c:?}");
        }
    }

    #[test]
    fn word_characters_are_pythons() {
        let words = "aZ_09éßñΩяאبतไ中ひ한ÅⅧ½²٣५𝔸ʰªº";
        let others = " -.'’\u{300}\u{301}\u{200D}\u{AD}‿⁀Ⓐ€😀\u{903}\u{E31}\u{FEFF}\u{FFFD}\0";
        for c in words.chars() {
            assert!(Properties::of(c as u32, NEWEST).is_word(), "{c:?}");
        }
        for c in others.chars() {
            assert!(!Properties::of(c as u32, NEWEST).is_word(), "{c:?}");
        }
    }

    #[test]
    fn final_sigma_is_the_standard_librarys() {
        for text in ["ΑΣ", "ΑΣ.Β", "ΑΣ. Β", "Σ", "ΑΣΑ", "Α\u{AD}Σ\u{301}", "1Σ", "ΑΣ'Σ", "ʰΣ", "ΑʰΣ:", "ΣΣ"]
        {
            let ours: String = text
                .char_indices()
                .map(|(at, c)| match c {
                    'Σ' if is_final_sigma(text.as_bytes(), at, NEWEST) => 'ς',
                    c => c.to_lowercase().next().unwrap(),
                })
                .collect();
            assert_eq!(ours, text.to_lowercase(), "{text:?}");
        }
    }

    #[test]
    fn decodes_in_both_directions() {
        let text = "aé中😀z";
        let mut at = 0;
        for c in text.chars() {
            assert_eq!(decode(text.as_bytes(), at), (c as u32, c.len_utf8()));
            at += c.len_utf8();
            assert_eq!(decode_before(text.as_bytes(), at), Some((c as u32, at - c.len_utf8())));
        }
        assert_eq!(decode_before(text.as_bytes(), 0), None);
    }
}
