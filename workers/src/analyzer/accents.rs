//! Removes accents in scikit-learn's two ways (`sklearn.feature_extraction.text`, `strip_accents_unicode` and
//! `strip_accents_ascii`). Runs after the text is lowered and before its terms are found.
//!
//! Both ways decompose by compatibility (NFKD, UAX #15), drop characters, and do not compose again. The dropped
//! characters include every character that the canonical order of NFKD could move, so each character is mapped by
//! itself.

use super::characters::Properties;
use super::unicode::UnicodeVersion;
use serde::{Deserialize, Serialize};
use unicode_normalization::char::{canonical_combining_class, decompose_compatible};

/// The characters of the decomposed text that are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StripAccents {
    /// Characters of combining class zero. Hangul syllables become letters (jamo), ligatures become their letters.
    Unicode,
    /// ASCII characters. Letters of other scripts are lost.
    Ascii,
}

impl StripAccents {
    fn keeps(self, c: char) -> bool {
        match self {
            StripAccents::Unicode => canonical_combining_class(c) == 0,
            StripAccents::Ascii => c.is_ascii(),
        }
    }
}

/// Replaces `out` with `text` without accents, by a version of Unicode. ASCII text is unchanged.
pub fn strip(text: &str, mode: StripAccents, version: UnicodeVersion, out: &mut String) {
    out.clear();
    out.reserve(text.len());
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| !byte.is_ascii()) {
        let (ascii, beyond) = rest.split_at(at);
        out.push_str(ascii);
        let end = beyond.bytes().position(|byte| byte.is_ascii()).unwrap_or(beyond.len());
        let (beyond, after) = beyond.split_at(end);
        for c in beyond.chars() {
            if !Properties::is_assigned(c, version) {
                // It neither decomposes nor combines.
                if mode == StripAccents::Unicode {
                    out.push(c);
                }
                continue;
            }
            decompose_compatible(c, |part| {
                if mode.keeps(part) {
                    out.push(part);
                }
            });
        }
        rest = after;
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unicode_normalization::UnicodeNormalization;

    fn stripped(text: &str, mode: StripAccents) -> String {
        let mut out = String::from("what was there before");
        strip(text, mode, UnicodeVersion::Newest, &mut out);
        out
    }

    #[test]
    fn known_cases() {
        let cases = [
            ("", "", ""),
            ("plain ASCII ~", "plain ASCII ~", "plain ASCII ~"),
            ("été naïve Ångström", "ete naive Angstrom", "ete naive Angstrom"),
            ("e\u{301}\u{327}t", "et", "et"),
            ("ﬁne ①½ ℌ", "fine 11⁄2 H", "fine 112 H"),
            ("한국", "\u{1112}\u{1161}\u{11AB}\u{1100}\u{116E}\u{11A8}", ""),
            ("øłđß", "øłđß", ""),
            ("й їж", "и іж", " "),
            ("が", "か", ""),
            ("ế…ﷺ", "e...صلى الله عليه وسلم", "e...   "),
            ("\u{344}x\u{903}", "x\u{903}", "x"),
        ];
        for (text, unicode, ascii) in cases {
            assert_eq!(stripped(text, StripAccents::Unicode), unicode, "{text:?}");
            assert_eq!(stripped(text, StripAccents::Ascii), ascii, "{text:?}");
        }
    }

    /// U+1E4EE is a mark and U+1E030 a letter that decomposes, both of Unicode 15.0; U+105C9 is of 16.0 and decomposes.
    #[test]
    fn a_later_character_stays() {
        let text = "é\u{1E4EE}\u{1E030}\u{105C9}";
        for (version, unicode, ascii) in [
            (UnicodeVersion::V14_0, "e\u{1E4EE}\u{1E030}\u{105C9}", "e"),
            (UnicodeVersion::V15_1, "eа\u{105C9}", "e"),
            (UnicodeVersion::V16_0, "eа\u{105D2}", "e"),
        ] {
            for (mode, expected) in [(StripAccents::Unicode, unicode), (StripAccents::Ascii, ascii)] {
                let mut out = String::new();
                strip(text, mode, version, &mut out);
                assert_eq!(out, expected, "{version:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn is_the_definition(text in proptest::collection::vec(prop_oneof![
            2 => any::<char>(), 2 => proptest::char::range(' ', '~'), 3 => proptest::char::range('\u{80}', '\u{500}'),
            1 => proptest::char::range('\u{1100}', '\u{2200}'), 1 => proptest::char::range('\u{AC00}', '\u{D7A3}')], 0..60)) {
            let text: String = text.into_iter().collect();
            let decomposed: String = text.nfkd().collect();
            let unicode: String = decomposed.chars().filter(|&c| canonical_combining_class(c) == 0).collect();
            let ascii: String = decomposed.chars().filter(char::is_ascii).collect();
            prop_assert_eq!(stripped(&text, StripAccents::Unicode), unicode);
            prop_assert_eq!(stripped(&text, StripAccents::Ascii), ascii);
        }
    }
}
