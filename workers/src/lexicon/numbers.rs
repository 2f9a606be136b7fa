//! The number of a term: a local id, a hash bucket, or a column of a given vocabulary. Determined once for each distinct
//! term of a worker. Before that, words are stopped and stemmed here.

use super::row::{STOPPED, UNKNOWN};
use crate::analyzer::stems::Stemmer;
use crate::analyzer::stop_words::StopWords;
use crate::hashing::Buckets;
use crate::ngram;
use crate::segment::{NewNgrams, NewTerms, push_term, term_at, term_size};
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
        let mut vocabulary = FixedVocabulary::with_capacity(terms.len());
        for (column, term) in terms.into_iter().enumerate() {
            vocabulary.push(term).map_err(|term| (column, term))?;
        }
        Ok(vocabulary)
    }

    /// Creates a vocabulary without terms, with room for `capacity` terms.
    pub fn with_capacity(capacity: usize) -> Self {
        FixedVocabulary { terms: Vec::with_capacity(capacity), columns: HashMap::with_capacity(capacity) }
    }

    /// Adds a term as the last column.
    ///
    /// # Errors
    /// The term, if the vocabulary contains it.
    pub fn push(&mut self, term: Box<[u8]>) -> Result<(), Box<[u8]>> {
        match self.columns.insert(term.clone(), self.terms.len() as u32) {
            None => self.terms.push(term),
            Some(column) => {
                self.columns.insert(term.clone(), column);
                return Err(term);
            }
        }
        Ok(())
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
    /// The number of terms that were spelled.
    words: u32,
    /// Terms since the last record, as `segment::push_term` writes them.
    terms: Vec<u8>,
    /// Number of those terms.
    new_terms: u32,
    /// N-grams since the last record, as `ngram::push` writes them.
    ngrams: Vec<u32>,
    /// Number of those n-grams.
    new_ngrams: u32,
}

/// Ids beyond this number are not given out: a lexicon that has as many is full. So the terms of another document have
/// numbers, too.
const MAX_IDS: u32 = 1 << 30;

impl LocalIds {
    /// The number of `term`.
    fn term(&mut self, term: &[u8]) -> u32 {
        self.word(term);
        self.advance()
    }

    /// Lists a word of n-grams. Its id is the number of words before it.
    pub(crate) fn word(&mut self, word: &[u8]) {
        push_term(&mut self.terms, word);
        self.new_terms += 1;
        self.words += 1;
    }

    /// The number of the n-gram of these word ids.
    #[inline]
    pub(crate) fn ngram(&mut self, words: &[u32]) -> u32 {
        ngram::push(&mut self.ngrams, words);
        self.new_ngrams += 1;
        self.advance()
    }

    #[inline]
    fn advance(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    /// How many numbers there are.
    pub(crate) fn len(&self) -> u32 {
        self.next
    }

    /// Whether no further document should be counted.
    pub(crate) fn is_full(&self) -> bool {
        self.next.max(self.words) > MAX_IDS
    }

    /// The terms that no record contains yet, as `segment::push_term` writes them, and their number.
    pub(crate) fn new_terms(&self) -> NewTerms<'_> {
        NewTerms { bytes: &self.terms, number: self.new_terms }
    }

    /// The n-grams that no record contains yet.
    pub(crate) fn new_ngrams(&self) -> NewNgrams<'_> {
        NewNgrams { list: &self.ngrams, number: self.new_ngrams }
    }

    /// The new terms, spelled, in the order of their numbers: n-grams, if there are any.
    pub fn spelled(&self) -> Vec<Vec<u8>> {
        let mut at = 0;
        let terms = std::iter::from_fn(|| {
            let term = term_at(&self.terms, at)?;
            at += term_size(term.len());
            Some(term)
        });
        let terms: Vec<&[u8]> = terms.collect();
        if self.ngrams.is_empty() {
            return terms.into_iter().map(<[u8]>::to_vec).collect();
        }
        let spell = |ngram| ngram::word_ids(ngram).map(|word| terms[word as usize]).collect::<Vec<_>>();
        ngram::ngrams(&self.ngrams).map(|ngram| spell(ngram).join(&b' ')).collect()
    }

    /// Marks the new terms as recorded.
    pub fn recorded(&mut self) {
        self.terms.clear();
        self.new_terms = 0;
        self.ngrams.clear();
        self.new_ngrams = 0;
    }
}

impl Numbers {
    /// The number of `term`. It must be called once for each distinct term.
    pub(crate) fn number(&mut self, term: &[u8]) -> u32 {
        match self {
            Numbers::Local(ids) => ids.term(term),
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
