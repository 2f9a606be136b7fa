//! The number of a term: a local id, a hash bucket, or a column of a given vocabulary. Determined once for each distinct
//! term of a worker. Before that, words are stopped and stemmed here.

use super::row::{STOPPED, UNKNOWN};
use crate::analyzer::stems::Stemmer;
use crate::analyzer::stop_words::StopWords;
use crate::hashing::Buckets;
use crate::segment::push_term;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// The source of terms' numbers.
pub enum Numbers {
    /// In order of first occurrence.
    Local(LocalIds),
    /// By hash: `bucket << 1 | negative`.
    Buckets(Buckets),
    /// By a given vocabulary.
    Fixed(Arc<FixedVocabulary>),
}

/// A given vocabulary.
#[derive(Debug, Default)]
pub struct FixedVocabulary {
    terms: Vec<Box<[u8]>>,
    columns: HashMap<Box<[u8]>, u32>,
}

impl FixedVocabulary {
    /// Creates the vocabulary of `terms`, which are in column order.
    ///
    /// # Errors
    /// The first term that occurs a second time: the index of its second occurrence, from 0, and its bytes.
    pub fn new(terms: Vec<Box<[u8]>>) -> Result<Self, (usize, Box<[u8]>)> {
        let mut columns = HashMap::with_capacity(terms.len());
        for (column, term) in terms.iter().enumerate() {
            if columns.insert(term.clone(), column as u32).is_some() {
                return Err((column, term.clone()));
            }
        }
        Ok(FixedVocabulary { terms, columns })
    }

    /// The terms, in column order.
    pub fn terms(&self) -> &[Box<[u8]>] {
        &self.terms
    }
}

/// Numbers terms in order of first occurrence. Keeps the terms that no record contains yet.
#[derive(Default)]
pub struct LocalIds {
    next: u32,
    /// Terms since the last record, as `segment::push_term` writes them.
    pub terms: Vec<u8>,
    /// Number of those terms.
    pub(crate) new: u32,
}

impl LocalIds {
    /// Marks the new terms as recorded.
    pub fn recorded(&mut self) {
        self.terms.clear();
        self.new = 0;
    }
}

impl Numbers {
    /// The number of `term`. It must be called once for each distinct term.
    pub(crate) fn number(&mut self, term: &[u8]) -> u32 {
        match self {
            Numbers::Local(ids) => {
                push_term(&mut ids.terms, term);
                ids.new += 1;
                ids.next += 1;
                ids.next - 1
            }
            Numbers::Buckets(buckets) => buckets.bucket(term),
            Numbers::Fixed(vocabulary) => vocabulary.columns.get(term).copied().unwrap_or(UNKNOWN),
        }
    }
}

/// The conversion from words to terms.
#[derive(Clone, Default)]
pub struct TermFilter {
    /// Words that are dropped.
    pub stop_words: Option<Arc<StopWords>>,
    /// Reduces a word to its stem.
    pub stemmer: Option<Arc<Stemmer>>,
}

impl TermFilter {
    /// The term that `word` counts as; `None` for a stop word.
    pub fn filtered<'a>(&self, word: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        if self.stop_words.as_ref().is_some_and(|stop_words| stop_words.contains(word)) {
            return None;
        }
        let (Some(stemmer), Ok(text)) = (&self.stemmer, std::str::from_utf8(word)) else {
            return Some(Cow::Borrowed(word));
        };
        Some(match stemmer.stem(text) {
            Cow::Borrowed(stem) => Cow::Owned(stem.as_bytes().to_vec()),
            Cow::Owned(stem) => Cow::Owned(stem.into_bytes()),
        })
    }
}

/// Numbers words after filtering them. Words with the same stem get the same number.
pub(crate) struct SiftedNumbers {
    term_filter: TermFilter,
    /// The source of the numbers.
    pub(crate) numbers: Numbers,
    /// The number of each stem.
    stems: HashMap<Box<[u8]>, u32>,
}

impl SiftedNumbers {
    /// Numbers the terms that `term_filter` returns by `numbers`.
    pub(crate) fn new(term_filter: TermFilter, numbers: Numbers) -> Self {
        SiftedNumbers { term_filter, numbers, stems: HashMap::new() }
    }

    /// The number of `word`. It must be called once for each distinct word.
    #[cold]
    #[inline(never)]
    pub(crate) fn number(&mut self, word: &[u8]) -> u32 {
        let Some(term) = self.term_filter.filtered(word) else { return STOPPED };
        if self.term_filter.stemmer.is_none() {
            return self.numbers.number(&term);
        }
        if let Some(&number) = self.stems.get(&*term) {
            return number;
        }
        let number = self.numbers.number(&term);
        self.stems.insert(term.into_owned().into_boxed_slice(), number);
        number
    }

    /// Whether several words may have the same number.
    pub(crate) fn may_share(&self) -> bool {
        self.term_filter.stemmer.is_some()
    }

    /// Bytes that the stems take, approximately.
    pub(crate) fn memory(&self) -> usize {
        self.stems.len() * 48
    }

    /// Forgets the stems' numbers.
    pub(crate) fn forget(&mut self) {
        self.stems = HashMap::new();
    }
}
