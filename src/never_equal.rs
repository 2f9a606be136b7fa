//! The entries of a list that no token of a run can equal: the run's own analyzer reads each entry and must return it
//! unchanged. Returns the entries; the notices about them are in `term_notices`.

use crate::settings::{AnalyzerKind, Text};
use anyhow::Result;
use bowline_workers::analyzer::chunks::Chunk;
use bowline_workers::analyzer::{self, Grams, Span, TermSink, TextSettings, Tokenizer};
use bowline_workers::lexicon::TermFilter;
use std::time::{Duration, Instant};

/// The entries of a list that no token of a run with these settings can equal.
#[derive(Debug, Default, PartialEq)]
pub struct NeverEqual {
    /// How many there are.
    pub count: usize,
    /// The first ones.
    pub first: Vec<String>,
}

/// Entries that a notice names.
const NAMED: usize = 3;

/// Characters of an entry that a notice shows.
const SHOWN: usize = 40;

/// Entries that are checked where a pattern finds words, and how long: each may take it many steps.
const MAX_BY_PATTERN: usize = 10_000;
const MAX_TIME_BY_PATTERN: Duration = Duration::from_secs(1);

impl NeverEqual {
    /// Which of `terms` can't be terms of `text` (word n-grams among them), after `term_filter`.
    ///
    /// # Errors
    /// If the settings are wrong.
    pub fn among<'a>(
        terms: impl Iterator<Item = &'a str>,
        text: &Text,
        term_filter: &TermFilter,
    ) -> Result<Self> {
        let mut checker = Checker::new(text)?;
        let mut never = NeverEqual::default();
        let has_pattern = text.analyzer == AnalyzerKind::Word && !checker.is_default;
        let most = if has_pattern { MAX_BY_PATTERN } else { usize::MAX };
        let began = Instant::now();
        let terms = terms.take(most).take_while(|_| !has_pattern || began.elapsed() < MAX_TIME_BY_PATTERN);
        for term in terms.filter(|term| !checker.can_be(term, term_filter)) {
            never.count += 1;
            if never.first.len() < NAMED {
                never.first.push(term.chars().take(SHOWN).collect());
            }
        }
        Ok(never)
    }

    /// The entries by name, and how many more there are: `Foo`, `don't` and 7 more.
    pub fn named(&self) -> String {
        let named: Vec<String> = self.first.iter().map(|word| format!("`{word}`")).collect();
        match self.count - self.first.len() {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    }
}

/// Runs entries through the analyzer of a run.
struct Checker {
    settings: TextSettings,
    analyzer: analyzer::Analyzer,
    kind: AnalyzerKind,
    sizes: std::ops::RangeInclusive<usize>,
    /// Whether words are found by the default pattern.
    is_default: bool,
    /// Whether a text that an entry stands in may decide if it is a word.
    looks_around: bool,
    found: Found,
    buffer: Vec<u8>,
}

/// The terms that were found in an entry.
#[derive(Default)]
struct Found(Vec<String>);

impl TermSink for Found {
    fn terms(&mut self, text: &[u8], spans: &[Span]) {
        let spans = spans.iter().map(|&[start, end]| &text[start as usize..end as usize]);
        self.0.extend(spans.map(|term| String::from_utf8_lossy(term).into_owned()));
    }
}

impl Checker {
    fn new(text: &Text) -> Result<Self> {
        let mut settings = text.analysis()?;
        let sizes = text.ngrams.min as usize..=text.ngrams.max as usize;
        if text.analyzer != AnalyzerKind::Word {
            // One character after the other is the text as n-grams are taken from it.
            settings.grams = Grams::Chars { sizes: 1..=1 };
        }
        let looks_around = match &settings.grams {
            Grams::Words { tokenizer: Tokenizer::Pattern(pattern), .. } => pattern.looks_around(),
            _ => false,
        };
        Ok(Checker {
            analyzer: analyzer::Analyzer::new(&settings),
            settings,
            looks_around,
            kind: text.analyzer,
            sizes,
            is_default: text.has_plain_words(),
            found: Found::default(),
            buffer: Vec::new(),
        })
    }

    fn can_be(&mut self, term: &str, term_filter: &TermFilter) -> bool {
        let is_plain = |word: &str| {
            word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        // Most lists: no need to analyze anything.
        if self.is_default && *self.sizes.start() == 1 && is_plain(term) {
            return is_kept(term, term_filter);
        }
        // A pattern may ask for what stands around a word: for spaces, or for what can't be guessed.
        let around: &[&str] = if self.looks_around { &["", " "] } else { &[""] };
        around.iter().any(|around| self.comes_out(around, term, term_filter))
            || self.looks_around && self.settings.normalised(term) == term && is_kept(term, term_filter)
    }

    /// Whether an entry comes out as it is, or can't be analyzed.
    fn comes_out(&mut self, around: &str, term: &str, term_filter: &TermFilter) -> bool {
        self.found.0.clear();
        self.buffer.clear();
        for part in [around, term, around] {
            self.buffer.extend_from_slice(part.as_bytes());
        }
        if self.analyzer.analyze(&mut self.buffer, Chunk::WHOLE, &mut self.found).is_err() {
            return true;
        }
        let found = &self.found.0;
        match self.kind {
            // Where a pattern finds words with spaces in them, the words of an n-gram can no longer be recognized.
            AnalyzerKind::Word if !self.is_default => {
                found.len() > 1 || found.iter().any(|word| word == term && is_kept(word, term_filter))
            }
            AnalyzerKind::Word => {
                self.sizes.contains(&found.len())
                    && found.join(" ") == term
                    && found.iter().all(|word| is_kept(word, term_filter))
            }
            AnalyzerKind::Char => self.sizes.contains(&found.len()) && found.concat() == term,
            // A short word is a term with its two spaces, however many characters are asked for.
            AnalyzerKind::CharWb => found.len() <= *self.sizes.end() && found.concat() == term,
        }
    }
}

/// Whether a word is a term as it is: no stop word, and its own stem.
fn is_kept(word: &str, term_filter: &TermFilter) -> bool {
    term_filter.filtered(word.as_bytes()).is_some_and(|term| *term == *word.as_bytes())
}
