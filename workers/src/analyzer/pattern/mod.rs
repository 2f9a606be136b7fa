//! Tokens by a pattern: the results of Python's `re.findall` for a `str` pattern, with scikit-learn's rule that a single
//! capture group, if there is one, is the token.
//!
//! `python` translates the pattern to the syntax of two engines. `regex` runs in linear time and is used where it can be.
//! `fancy-regex` backtracks, with a limit on its steps, and takes the rest: look-around, back-references,
//! patterns that match the empty string, and `\b` where the text has characters that are word characters for the engines
//! and not for Python, or the reverse. Neither runs for a pattern that matches runs of one class (`runs`).

mod python;
mod runs;

use super::characters::Properties;
use super::unicode::UnicodeVersion;
use fancy_regex::{CompileError, RegexBuilder};
use python::Translation;
use regex::CaptureLocations;
use runs::Runs;
use std::ops::Range;

pub use python::PatternError;

/// Maximum steps of the backtracking engine for one token.
const MAX_STEPS: usize = 10_000_000;

/// The pattern takes more steps on a document than allowed.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
#[error("the token pattern takes too many steps")]
pub struct TooManySteps;

/// A pattern that finds tokens.
#[derive(Clone, Debug)]
pub struct TokenPattern {
    /// The pattern, if it matches runs of a class.
    runs: Option<Runs>,
    /// The linear engine, for texts in which it finds the same tokens.
    linear: Option<Linear>,
    exact: fancy_regex::Regex,
    /// The pattern, restricted to a non-empty match at the start of a search; `None` if every match is empty.
    not_empty: Option<fancy_regex::Regex>,
    has_group: bool,
    looks_around: bool,
    version: UnicodeVersion,
}

/// A pattern for the linear engine.
#[derive(Clone, Debug)]
struct Linear {
    regex: regex::Regex,
    /// It uses word boundaries, which are correct only where Python and the engine agree on word characters.
    has_borders: bool,
}

/// A match, and the part of it that is the token.
struct Match {
    whole: Range<usize>,
    token: Range<usize>,
}

impl TokenPattern {
    /// Compiles a pattern as Python's `re.compile` does, with no flags except those in the pattern.
    ///
    /// # Errors
    /// [`PatternError`] if it does not compile, has more than one capture group, or has a meaning that the engines do not
    /// support.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        Self::of_version(pattern, UnicodeVersion::Newest)
    }

    /// Compiles a pattern whose classes and cases of letters are those of a version of Unicode.
    ///
    /// # Errors
    /// As [`TokenPattern::new`].
    pub fn of_version(pattern: &str, version: UnicodeVersion) -> Result<Self, PatternError> {
        let Translation { linear, exact, groups, has_borders } = python::translate(pattern, version)?;
        if groups > 1 {
            return Err(PatternError::Groups(groups));
        }
        let compile = |pattern: &str, not_empty: bool| {
            RegexBuilder::new(pattern).backtrack_limit(MAX_STEPS).find_not_empty(not_empty).build()
        };
        let not_empty = match compile(&format!(r"\G(?:{exact})"), true) {
            Ok(regex) => Some(regex),
            Err(fancy_regex::Error::CompileError(error))
                if matches!(*error, CompileError::PatternCanNeverMatch) =>
            {
                None
            }
            Err(error) => return Err(refused(&error)),
        };
        let exact = compile(&exact, false).map_err(|error| refused(&error))?;
        // With a capture group, the rest of the match is context around the token.
        let looks_around = groups == 1 || linear.is_none() || pattern.contains(r"\B");
        Ok(TokenPattern {
            looks_around,
            version,
            runs: linear.as_deref().filter(|_| groups == 0).and_then(|pattern| Runs::of(pattern, version)),
            linear: linear.and_then(|pattern| Linear::new(&pattern, has_borders)),
            exact,
            not_empty,
            has_group: groups == 1,
        })
    }

    /// Whether `pattern` means the same as scikit-learn's default, `(?u)\b\w\w+\b`: every run of two or more word
    /// characters. Then the word scanner finds the same tokens, faster.
    pub fn is_default(pattern: &str) -> bool {
        let pattern = pattern.strip_prefix("(?u)").unwrap_or(pattern);
        let inner = pattern.strip_prefix(r"\b").and_then(|pattern| pattern.strip_suffix(r"\b"));
        matches!(inner.unwrap_or(pattern), r"\w\w+" | r"\w{2,}")
    }

    /// The version of Unicode that it was compiled for.
    pub fn unicode(&self) -> UnicodeVersion {
        self.version
    }

    /// Whether the text around a token may determine if it is a token. True if the pattern looks ahead or behind, or
    /// has a capture group.
    pub fn looks_around(&self) -> bool {
        self.looks_around
    }

    /// Calls `found` with each token of `text` in order, as a range of its bytes: each match, or its capture group, or an
    /// empty range if the group did not take part in the match.
    ///
    /// # Errors
    /// [`TooManySteps`] if the pattern backtracks too often. `found` has received the tokens before that place.
    pub fn find(&self, text: &str, found: &mut impl FnMut(Range<usize>)) -> Result<(), TooManySteps> {
        match (&self.runs, &self.linear) {
            (Some(runs), _) => runs.find(text, found),
            (_, Some(linear)) if !linear.has_borders || notions_agree(text, self.version) => {
                linear.find(text, self.has_group, found);
            }
            _ => return self.find_exactly(text, found),
        }
        Ok(())
    }

    /// Continues as `re.findall` since Python 3.7: an empty match may follow any match, and after an empty match the
    /// next one may begin at the same place if it is not empty.
    fn find_exactly(&self, text: &str, found: &mut impl FnMut(Range<usize>)) -> Result<(), TooManySteps> {
        let mut at = 0;
        let mut was_empty = false;
        loop {
            let mut matched = None;
            if was_empty {
                if let Some(not_empty) = &self.not_empty {
                    matched = self.search(not_empty, text, at)?;
                }
                if matched.is_none() {
                    let Some(passed) = text[at..].chars().next() else { return Ok(()) };
                    at += passed.len_utf8();
                }
            }
            if matched.is_none() {
                matched = self.search(&self.exact, text, at)?;
            }
            let Some(Match { whole, token }) = matched else { return Ok(()) };
            found(token);
            was_empty = whole.is_empty();
            at = whole.end;
        }
    }

    /// The first match at or after `at`.
    fn search(
        &self,
        regex: &fancy_regex::Regex,
        text: &str,
        at: usize,
    ) -> Result<Option<Match>, TooManySteps> {
        if !self.has_group {
            let whole = regex.find_from_pos(text, at).map_err(|_| TooManySteps)?;
            return Ok(whole.map(|whole| Match { whole: whole.range(), token: whole.range() }));
        }
        let captures = regex.captures_from_pos(text, at).map_err(|_| TooManySteps)?;
        Ok(captures.and_then(|captures| {
            let whole = captures.get(0)?.range();
            let token = captures.get(1).map_or(whole.end..whole.end, |group| group.range());
            Some(Match { whole, token })
        }))
    }
}

impl Linear {
    /// Compiles the pattern; `None` if the engine does not accept it.
    fn new(pattern: &str, has_borders: bool) -> Option<Self> {
        regex::Regex::new(pattern).ok().map(|regex| Linear { regex, has_borders })
    }

    fn find(&self, text: &str, has_group: bool, found: &mut impl FnMut(Range<usize>)) {
        if !has_group {
            return self.regex.find_iter(text).for_each(|token| found(token.range()));
        }
        let mut locations: CaptureLocations = self.regex.capture_locations();
        let mut at = 0;
        while let Some(whole) = self.regex.captures_read_at(&mut locations, text, at) {
            at = whole.end();
            found(locations.get(1).map_or(at..at, |(start, end)| start..end));
        }
    }
}

/// Whether each character of `text` is a word character for both Python and the engines, or for neither.
fn notions_agree(text: &str, version: UnicodeVersion) -> bool {
    // The engines' `\w` adds marks, connectors and joiners to Python's; Python's adds numbers such as ½.
    text.is_ascii()
        || text.chars().all(|c| {
            c.is_ascii() || Properties::of(c as u32, version).is_word() == regex_syntax::is_word_character(c)
        })
}

/// The reason why the backtracking engine rejects a pattern.
fn refused(error: &fancy_regex::Error) -> PatternError {
    let is_too_large = |error: &CompileError| match error {
        CompileError::InnerError(error) => error.size_limit().is_some(),
        CompileError::PatternTooComplex => true,
        _ => false,
    };
    match error {
        fancy_regex::Error::CompileError(error) if is_too_large(error) => PatternError::TooLarge,
        error => PatternError::Syntax(error.to_string().lines().next().unwrap_or_default().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens<'a>(pattern: &str, text: &'a str) -> Vec<&'a str> {
        let mut found = Vec::new();
        let pattern = TokenPattern::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        pattern.find(text, &mut |range| found.push(&text[range])).unwrap();
        found
    }

    /// Each with the result of `re.findall` in Python 3.11.
    #[test]
    fn as_python_finds() {
        for (pattern, text, expected) in [
            (r"(?u)\b\w\w+\b", "a bc d\u{e9}f_1 ²½", &["bc", "déf_1", "²½"][..]),
            (r"\w*", "ab c", &["ab", "", "c", ""]),
            (r"|a", "a", &["", "a", ""]),
            (r"a?", "baa", &["", "a", "a", ""]),
            (r"\d+", "12 ٣५ ²", &["12", "٣५"]),
            (r"[^\s]+", "a\u{1c}b\u{85}c\u{200b}d", &["a", "b", "c\u{200b}d"]),
            (r"\w+$", "one two\n", &["two"]),
            (r"\w+\Z", "one two\n", &[]),
            (r"(?m)^\w+$", "one\ntwo\n", &["one", "two"]),
            (r"(\w)\w*|(-)?", "ab", &["two groups"]),
            (r"(a)|b", "ab", &["a", ""]),
            (r"(?:x)(?P<n>\w)", "xyxz", &["y", "z"]),
            (r"(\w)\1", "aabbc", &["a", "b"]),
            (r"(?P<c>\w)(?P=c)", "aabbc", &["a", "b"]),
            (r"(?=(\w\w))", "abc", &["ab", "bc"]),
            (r"(?<![\w])\w{2,}", "ab c def", &["ab", "def"]),
            (r"(?i)straSSe|[k]", "STRASSE K \u{212a}", &["STRASSE", "K", "\u{212a}"]),
            (r"(?i)i", "iIıİ", &["i", "I", "ı", "İ"]),
            (r"(?a)\w+", "aé1", &["a", "1"]),
            (r"(?x) a  b # nothing", "ab", &["ab"]),
            (r"[]a]+[[]", "]a[", &["]a["]),
            (r"[a&&b]+", "&a&b", &["&a&b"]),
            (r"x{,2}y", "xxxy", &["xxy"]),
            (r"a{1,x}", "a{1,x}", &["a{1,x}"]),
            (r"\101\x42\u0043", "ABC", &["ABC"]),
            (r"a++b|(?>a+)c", "aab aac", &["aab", "aac"]),
            (r"\Bb", "ab b", &["b"]),
            (r"\b\w", "a\u{301}b", &["a", "b"]),
            (r".", "a\n\r", &["a", "\r"]),
            (r"(?s).", "a\n", &["a", "\n"]),
        ] {
            if expected == ["two groups"] {
                assert_eq!(TokenPattern::new(pattern).unwrap_err(), PatternError::Groups(2));
            } else {
                assert_eq!(tokens(pattern, text), expected, "{pattern} on {text:?}");
            }
        }
    }

    /// The results of Python 3.11. In Unicode 15.0, U+1E4D0 is a letter and U+1E4F0 a digit. U+A7CB is U+0264's capital in 16.0.
    #[test]
    fn as_an_older_python_finds() {
        let text = "ab\u{1E4D0}c1\u{1E4F0} \u{264}\u{A7CB} İi";
        for (pattern, expected) in [
            (r"\w+", &["ab", "c1", "\u{264}", "İi"][..]),
            (r"\b\w+\b", &["ab", "c1", "\u{264}", "İi"]),
            (r"\b\w", &["a", "c", "\u{264}", "İ"]),
            (r"\B\w", &["b", "1", "i"]),
            (r"\d+", &["1"]),
            (r"[^\W\d]+", &["ab", "c", "\u{264}", "İi"]),
            (r"\W+", &["\u{1E4D0}", "\u{1E4F0} ", "\u{A7CB} "]),
            (r"[^\s\w]", &["\u{1E4D0}", "\u{1E4F0}", "\u{A7CB}"]),
            ("(?i)[\u{1E4D0}A]", &["a", "\u{1E4D0}"]),
            ("(?i)\u{264}", &["\u{264}"]),
            ("(?i)\u{A7CB}", &["\u{A7CB}"]),
            ("(?i)[^\u{A7CB}\\s\u{1E4D0}-\u{1E4F9}]+", &["ab", "c1", "\u{264}", "İi"]),
            (r"(?i)[\Wc]+", &["\u{1E4D0}c", "\u{1E4F0} ", "\u{A7CB} "]),
            (r"(?i)i", &["İ", "i"]),
            (r"(?a)\w+", &["ab", "c1", "i"]),
        ] {
            let compiled = TokenPattern::of_version(pattern, UnicodeVersion::V14_0).unwrap();
            let mut found = Vec::new();
            compiled.find(text, &mut |range| found.push(&text[range])).unwrap();
            assert_eq!(found, expected, "{pattern}");
        }
        assert_eq!(tokens(r"\w+", text), ["ab\u{1E4D0}c1\u{1E4F0}", "\u{264}\u{A7CB}", "İi"]);
        assert!(TokenPattern::of_version("(?P<\u{1E4D0}>a)", UnicodeVersion::V14_0).is_err());
    }

    /// Patterns, texts and the results of Python 3.11's `re.findall`. Many were found by a random search.
    const RECORDED: &str = include_str!("../testdata/findall.jsonl");

    #[test]
    fn as_python_has_found() {
        let mut compared = 0;
        // Lines without a text are patterns that Python rejects.
        let recorded = RECORDED
            .lines()
            .filter_map(|line| serde_json::from_str::<(String, String, Vec<String>)>(line).ok());
        let recorded: Vec<_> = recorded.collect();
        for (pattern, text, expected) in &recorded {
            // CPython itself ignores the cases of letters beyond U+FFFF in a class.
            if pattern == "(?i)[𐐀x]" {
                continue;
            }
            // A pattern that the engines do not support must be rejected, not matched otherwise.
            let Ok(compiled) = TokenPattern::new(pattern) else { continue };
            let mut found = Vec::new();
            compiled.find(text, &mut |range| found.push(&text[range])).unwrap();
            assert_eq!(found, *expected, "{pattern} on {text:?}");
            compared += 1;
        }
        assert!(compared * 10 > recorded.len() * 7, "{compared} patterns are taken");
    }

    #[test]
    fn the_engines_agree_where_both_may_run() {
        let text = "The well-known naïve café's 2nd word_list, 日本語 и ещё.";
        for pattern in [r"\b\w+\b", r"\b[a-z]{3,}\b", r"(\w+)'s", r"[^\W\d]+", r"\w+-\w+"] {
            let pattern = TokenPattern::new(pattern).unwrap();
            let (mut linear, mut exact) = (Vec::new(), Vec::new());
            pattern
                .linear
                .as_ref()
                .expect("linear")
                .find(text, pattern.has_group, &mut |range| linear.push(range));
            pattern.find_exactly(text, &mut |range| exact.push(range)).unwrap();
            assert_eq!(linear, exact);
        }
    }

    #[test]
    fn patterns_of_runs_are_known() {
        for (pattern, are_runs) in [
            (r"(?u)\b\w+\b", true),
            (r"\b[a-z]{3,}\b", true),
            (r"\w\w\w*", true),
            (r"\S+", true),
            (r"[^\W\d]+", true),
            (r"(?i)[a-z]+", true),
            (r"(?a)\w+", true),
            (r"(?:[a-z])+", true),
            (r"\b\S+\b", false),
            (r"\b\w+", false),
            (r"(?a)\b\w+\b", false),
            (r"\w+?", false),
            (r"\w{2,5}", false),
            (r"(\w+)", false),
            (r"\d\w+", false),
            (r"\w+-\w+", false),
            (r"\w+|x", false),
        ] {
            assert_eq!(TokenPattern::new(pattern).unwrap().runs.is_some(), are_runs, "{pattern}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn runs_are_what_the_exact_engine_finds(
            class in proptest::sample::select(vec![
                r"\w", "[a-z]", "(?:[a-z])", "[a-zA-Z_]", r"[^\W\d_]", "[éß½a]", r"\S", r"[^\s,]", r"\d", r"\D",
            ]),
            form in proptest::sample::select(vec!["C+", "CC+", "CCC*", "C{3,}", r"\bC+\b", r"(?u)\bCC+\b", "(?i)C+"]),
            parts in proptest::collection::vec(
                prop_oneof!["[a-z]{0,4}", "[ _.,'A-Z0-9\n]{0,3}", "[éßÉ½²²中\u{300}\u{345}\u{200D}‿٣Ⅷ]{0,3}", any::<String>()], 0..12),
        ) {
            let (text, pattern) = (parts.concat(), TokenPattern::new(&form.replace('C', class)).unwrap());
            let (mut runs, mut exact) = (Vec::new(), Vec::new());
            pattern.find(&text, &mut |range| runs.push(range)).unwrap();
            pattern.find_exactly(&text, &mut |range| exact.push(range)).unwrap();
            prop_assert_eq!(runs, exact);
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for wrong in [
            "(", ")", "[", "a**", "*", "a{2,1}", r"\q", r"\1", "(?P<1>a)", "(?L)a", "[b-a]", r"\", "a(?i)b",
            "(?#", "(?i\n:a)", "[\n-\t]",
        ] {
            let error = TokenPattern::new(wrong).expect_err(wrong).to_string();
            assert!(!error.is_empty() && !error.contains('\n'), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_pattern_that_grows_beyond_all_bounds_is_refused() {
        for large in [r"(?:(?:(?:\w{1000}){1000}){1000}){1000}", r"(?:(?=a)\w{1000}){1000}"] {
            assert_eq!(TokenPattern::new(large).unwrap_err(), PatternError::TooLarge, "{large}");
        }
    }

    #[test]
    fn steps_have_a_limit() {
        let pattern = TokenPattern::new(r"(a|aa)+\1c").unwrap();
        assert_eq!(pattern.find(&"a".repeat(60), &mut |_| {}), Err(TooManySteps));
    }

    #[test]
    fn the_default_is_known() {
        assert!(TokenPattern::is_default(r"(?u)\b\w\w+\b") && TokenPattern::is_default(r"\w{2,}"));
        assert!(!TokenPattern::is_default(r"\b\w+\b"));
    }
}
