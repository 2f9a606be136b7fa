//! Any bytes under any text settings: terms are parts of the text, equal the definition's terms, and are counted
//! correctly.
//!
//! Four bytes choose the settings; the rest is the document. The definitions are scikit-learn's, one character after
//! the other.

use bowline_workers::analyzer::accents::{self, StripAccents};
use bowline_workers::analyzer::characters::Properties;
use bowline_workers::analyzer::chars::is_space;
use bowline_workers::analyzer::chunks::Chunk;
use bowline_workers::analyzer::decode::DecodeError;
use bowline_workers::analyzer::pattern::TokenPattern;
use bowline_workers::analyzer::unicode::UnicodeVersion;
use bowline_workers::analyzer::{Analyzer, Grams, PADDING, Span, TermSink, TextSettings, Tokenizer};
use bowline_workers::failure::Failure;
use bowline_workers::lexicon::{Counter, LocalIds, Ngrams, Numbers, TermFilter, Terms, WordChars};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Collects the terms in order.
#[derive(Default)]
struct Collected(Vec<String>);

impl TermSink for Collected {
    fn terms(&mut self, text: &[u8], spans: &[Span]) {
        for &[start, end] in spans {
            let (start, end) = (start as usize, end as usize);
            assert!(start <= end && text.len() >= end.max(start + PADDING), "a term is padded");
            self.0.push(String::from_utf8(text[start..end].to_vec()).expect("a term is UTF-8"));
        }
    }
}

thread_local! {
    /// A pattern for each case of the engines. Compiling them takes longer than anything else here.
    static PATTERNS: [Arc<TokenPattern>; 3] = [r"\b\w+\b", r"(?<!\w)\w[\w ]*", r"\w*|\W"]
        .map(|pattern| Arc::new(TokenPattern::new(pattern).expect("a pattern")));
}

/// The settings that four bytes choose.
fn settings([decoding, accents, what, size]: [u8; 4]) -> TextSettings {
    let least = 1 + (size & 3) as usize;
    let sizes = least..=least + (size >> 2 & 3) as usize;
    let words = |tokenizer| Grams::Words { tokenizer, sizes: sizes.clone() };
    TextSettings {
        lowercase: decoding & 4 == 0,
        decode_error: match decoding & 3 {
            0 | 1 => DecodeError::Replace,
            2 => DecodeError::Ignore,
            _ => DecodeError::Strict,
        },
        strip_accents: match accents & 3 {
            0 | 1 => None,
            2 => Some(StripAccents::Unicode),
            _ => Some(StripAccents::Ascii),
        },
        grams: match what & 7 {
            0 | 1 => words(Tokenizer::Words),
            2 => words(Tokenizer::Unicode),
            pattern @ 3..=5 => {
                words(Tokenizer::Pattern(PATTERNS.with(|all| all[pattern as usize - 3].clone())))
            }
            6 => Grams::Chars { sizes: sizes.clone() },
            _ => Grams::WordChars { sizes: sizes.clone() },
        },
        unicode: UnicodeVersion::Newest,
    }
}

/// The text of the document, by the standard library.
fn text(bytes: &[u8], settings: &TextSettings) -> Result<String, Failure> {
    let text = match (settings.decode_error, std::str::from_utf8(bytes)) {
        (_, Ok(text)) => text.to_owned(),
        (DecodeError::Strict, Err(error)) => return Err(Failure::InvalidUtf8(error.valid_up_to() as u64)),
        (DecodeError::Replace, _) => String::from_utf8_lossy(bytes).into_owned(),
        (DecodeError::Ignore, _) => bytes.utf8_chunks().map(|chunk| chunk.valid()).collect(),
    };
    let text = if settings.lowercase { text.to_lowercase() } else { text };
    let Some(mode) = settings.strip_accents else { return Ok(text) };
    let mut stripped = String::new();
    accents::strip(&text, mode, settings.unicode, &mut stripped);
    Ok(stripped)
}

/// The terms that the analyzer must pass on, where the definition is simple.
fn expected(text: &str, grams: &Grams) -> Option<Vec<String>> {
    Some(match grams {
        Grams::Words { tokenizer: Tokenizer::Words, .. } => text
            .split(|c| !Properties::of(c as u32, UnicodeVersion::Newest).is_word())
            .filter(|word| word.chars().nth(1).is_some())
            .map(str::to_owned)
            .collect(),
        Grams::Words { .. } => return None,
        Grams::Chars { sizes } => {
            let mut collapsed: Vec<char> = Vec::new();
            for run in text.chars().collect::<Vec<_>>().chunk_by(|a, b| is_space(*a) && is_space(*b)) {
                collapsed.extend(if run.len() > 1 { &[' '] } else { run });
            }
            sizes.clone().flat_map(|size| collapsed.windows(size).map(|gram| gram.iter().collect())).collect()
        }
        Grams::WordChars { .. } => {
            let words = text.split(is_space).filter(|word| !word.is_empty());
            words.map(|word| format!(" {word} ")).collect()
        }
    })
}

/// The n-grams that must be counted for these terms.
fn grams(terms: &[String], grams: &Grams) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let mut count = |gram: String| *counts.entry(gram).or_default() += 1;
    match grams {
        Grams::Chars { .. } => terms.iter().cloned().for_each(count),
        Grams::Words { sizes, .. } => {
            sizes.clone().for_each(|size| terms.windows(size).for_each(|run| count(run.join(" "))));
        }
        Grams::WordChars { sizes } => {
            for word in terms {
                let word: Vec<char> = word.chars().collect();
                for size in sizes.clone() {
                    word.windows(size.min(word.len())).for_each(|gram| count(gram.iter().collect()));
                    // A word shorter than an n-gram is counted whole, once.
                    if size >= word.len() {
                        break;
                    }
                }
            }
        }
    }
    counts
}

/// Counts a document as a worker does.
fn counted<C: Counter>(mut counter: C, settings: &TextSettings, bytes: &[u8]) -> BTreeMap<String, u64> {
    counter.begin_document();
    Analyzer::new(settings)
        .analyze(&mut bytes.to_vec(), Chunk::WHOLE, &mut counter)
        .expect("it was analyzed before");
    let (row, Numbers::Local(ids)) = counter.finish_document() else { panic!("local ids") };
    let terms: Vec<String> =
        ids.spelled().into_iter().map(|term| String::from_utf8(term).expect("a term is UTF-8")).collect();
    let mut counts = BTreeMap::new();
    for posting in row.postings() {
        *counts.entry(terms[posting.number as usize].clone()).or_default() += posting.count as u64;
    }
    assert_eq!(row.tokens, counts.values().sum::<u64>());
    counts
}

/// Analyzes one document.
pub fn run(data: &[u8]) {
    let Some((&head, bytes)) = data.split_first_chunk() else { return };
    let settings = settings(head);
    let mut found = Collected::default();
    let analyzed = Analyzer::new(&settings).analyze(&mut bytes.to_vec(), Chunk::WHOLE, &mut found);
    let text = match text(bytes, &settings) {
        Ok(text) => text,
        Err(failure) => return assert_eq!(analyzed, Err(failure)),
    };
    if analyzed == Err(Failure::TooManySteps) {
        return;
    }
    assert_eq!(analyzed, Ok(()));
    match expected(&text, &settings.grams) {
        Some(expected) => assert_eq!(found.0, expected, "{settings:?}"),
        None => assert!(found.0.iter().all(|term| text.contains(term)), "{settings:?}"),
    }
    let numbers = Numbers::Local(LocalIds::default());
    let counts = match &settings.grams {
        Grams::Words { sizes, .. } if *sizes != (1..=1) => {
            let are_tuples = settings.grams.are_word_tuples();
            counted(Ngrams::new(sizes.clone(), are_tuples, TermFilter::default(), numbers), &settings, bytes)
        }
        Grams::Words { .. } | Grams::Chars { .. } => {
            counted(Terms::new(TermFilter::default(), numbers), &settings, bytes)
        }
        Grams::WordChars { sizes } => counted(WordChars::new(sizes.clone(), numbers), &settings, bytes),
    };
    assert_eq!(counts, grams(&found.0, &settings.grams), "{settings:?}");
}
