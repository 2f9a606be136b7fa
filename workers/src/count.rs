//! From a text to its row: finds the terms of one document after the other, and counts them in a lexicon of its own.
//!
//! Owns the settings of this step, the choice of the counter, and the packed row. Does not know where texts come from, and
//! where rows go.

use crate::absence::Absence;
use crate::analyzer::chunks::{Chunk, ChunkBoundary};
use crate::analyzer::{Analyzer, Grams, TextSettings};
use crate::failure::Failure;
use crate::hashing::Buckets;
use crate::lexicon::{
    Counter, FixedVocabulary, LocalIds, Ngrams, Numbers, Posting, TermFilter, Terms, WordChars,
};
use crate::radix::sort_by_column;
use crate::row;
use crate::segment::{NewNgrams, NewTerms, RowNumbers};
use std::sync::Arc;

/// The numbers that a worker gives to terms.
#[derive(Clone, Debug)]
pub enum Features {
    /// Local ids, merged into one vocabulary later.
    Vocabulary,
    /// Buckets that terms are hashed to.
    Hashed(Buckets),
    /// Columns of a given vocabulary.
    Fixed(Arc<FixedVocabulary>),
}

/// The settings of the step from texts to rows.
#[derive(Clone)]
pub struct CountSettings {
    /// The conversion from text to terms.
    pub text: TextSettings,
    /// The conversion from words to terms: stop words and stems.
    pub term_filter: TermFilter,
    /// The numbers of terms.
    pub features: Features,
    /// Bytes that a lexicon may take. Beyond that it is full, or is emptied if it is only a cache.
    pub lexicon_bytes: usize,
}

impl CountSettings {
    /// Counts all terms of texts, in a lexicon of any size.
    pub fn new(text: TextSettings, features: Features) -> Self {
        CountSettings { text, term_filter: TermFilter::default(), features, lexicon_bytes: usize::MAX }
    }

    /// What the numbers in rows are.
    pub fn row_numbers(&self) -> RowNumbers {
        match (&self.features, &self.text.grams) {
            (Features::Hashed(buckets), _) => RowNumbers::Columns(buckets.n_features as u64),
            (Features::Fixed(vocabulary), _) => RowNumbers::Columns(vocabulary.terms().len() as u64),
            (Features::Vocabulary, grams) if grams.are_word_tuples() => RowNumbers::Ngrams,
            (Features::Vocabulary, _) => RowNumbers::Terms,
        }
    }

    /// Words of the longest n-gram, if that is what the numbers in rows are of.
    pub fn ngram_size(&self) -> Option<usize> {
        match &self.text.grams {
            Grams::Words { sizes, .. } if self.row_numbers() == RowNumbers::Ngrams => Some(*sizes.end()),
            _ => None,
        }
    }
}

/// Bytes that a lexicon may take if it is only a cache: 192 MiB, a few million terms.
const CACHE_BYTES: usize = 192 << 20;

/// Counts the terms of one document after the other.
pub(crate) struct DocumentCounter {
    analyzer: Analyzer,
    term_filter: TermFilter,
    counter: AnyCounter,
    /// Whether the lexicon is only a cache of numbers that are defined elsewhere: a forgotten term gets the same number
    /// again.
    is_cache: bool,
    lexicon_bytes: usize,
    words: Vec<u32>,
    /// Buffers of a row that is sorted.
    pairs: [Vec<u64>; 2],
}

/// The row of a document, and the terms that are new in it.
#[derive(Clone, Copy)]
pub(crate) struct Counted<'a> {
    /// Terms counted.
    pub(crate) tokens: u64,
    /// Those of them that a given vocabulary does not contain.
    pub(crate) unknown: u64,
    /// The packed row (`row`), in order of first occurrence or of columns.
    pub(crate) row: &'a [u32],
    /// Number of pairs in the row.
    pub(crate) nonzeros: u32,
    /// The new terms that are spelled.
    pub(crate) terms: NewTerms<'a>,
    /// The new n-grams.
    pub(crate) ngrams: NewNgrams<'a>,
    /// The reason why the document has no term (`Absence::encode`), or 0.
    pub(crate) absence: u32,
}

impl DocumentCounter {
    /// A counter with an empty lexicon.
    pub(crate) fn new(settings: &CountSettings) -> Self {
        let is_cache = !matches!(settings.features, Features::Vocabulary);
        let most = if is_cache { CACHE_BYTES } else { usize::MAX };
        DocumentCounter {
            analyzer: Analyzer::new(&settings.text),
            term_filter: settings.term_filter.clone(),
            counter: AnyCounter::new(settings),
            is_cache,
            lexicon_bytes: settings.lexicon_bytes.min(most),
            words: Vec::new(),
            pairs: Default::default(),
        }
    }

    /// Where a document may be cut into chunks.
    pub(crate) fn chunk_boundary(&self) -> ChunkBoundary {
        self.analyzer.chunk_boundary()
    }

    /// Begins a document. Forgets the one before.
    pub(crate) fn begin(&mut self) {
        self.counter.get().begin_document();
    }

    /// Counts the terms of the document's next chunk, as [`Analyzer::analyze`] finds them.
    ///
    /// # Errors
    /// As for [`Analyzer::analyze`].
    pub(crate) fn count(&mut self, text: &mut Vec<u8>, chunk: Chunk) -> Result<(), Failure> {
        let DocumentCounter { analyzer, counter, .. } = self;
        match counter {
            AnyCounter::Terms(counter) => analyzer.analyze(text, chunk, counter),
            AnyCounter::Ngrams(counter) => analyzer.analyze(text, chunk, counter),
            AnyCounter::WordChars(counter) => analyzer.analyze(text, chunk, counter),
        }
    }

    /// The row of the document. If it has no term, the reason is found in `whole`, which is its text if it had one chunk.
    pub(crate) fn finish(&mut self, whole: Option<&mut Vec<u8>>) -> Counted<'_> {
        let DocumentCounter { analyzer, term_filter, counter, words, pairs, .. } = self;
        let counter = counter.get();
        let may_repeat = counter.may_repeat();
        let (row, numbers) = counter.finish_document();
        let absence = match (row.tokens, whole) {
            (0, Some(text)) => Absence::of(text, analyzer, term_filter).encode(),
            _ => 0,
        };
        words.clear();
        let nonzeros = match &*numbers {
            Numbers::Local(_) if !may_repeat => {
                row.postings().for_each(|p| row::push(words, p.number, p.value()));
                row.postings().len()
            }
            numbers => sum_up(row.postings(), numbers, pairs, words),
        };
        let (terms, ngrams) = match numbers {
            Numbers::Local(ids) => (ids.new_terms(), ids.new_ngrams()),
            Numbers::Buckets(_) | Numbers::Fixed(_) => Default::default(),
        };
        let (tokens, unknown) = (row.tokens, row.unknown);
        Counted { tokens, unknown, row: words, nonzeros: nonzeros as u32, terms, ngrams, absence }
    }

    /// Marks the new terms of the document as recorded.
    pub(crate) fn recorded(&mut self) {
        if let (_, Numbers::Local(ids)) = self.counter.get().finish_document() {
            ids.recorded();
        }
    }

    /// Whether there is memory for another document. Empties a lexicon that is only a cache.
    pub(crate) fn has_memory(&mut self) -> bool {
        let counter = self.counter.get();
        if counter.memory() <= self.lexicon_bytes && !counter.is_full() {
            return true;
        }
        if self.is_cache {
            counter.forget();
        }
        self.is_cache
    }
}

/// The counters, by the kind of terms.
enum AnyCounter {
    Terms(Terms),
    Ngrams(Ngrams),
    WordChars(WordChars),
}

impl AnyCounter {
    fn new(settings: &CountSettings) -> Self {
        let numbers = match &settings.features {
            Features::Vocabulary => Numbers::Local(LocalIds::default()),
            Features::Hashed(buckets) => Numbers::Buckets(*buckets),
            Features::Fixed(vocabulary) => Numbers::Fixed(vocabulary.clone()),
        };
        let term_filter = settings.term_filter.clone();
        match &settings.text.grams {
            grams @ Grams::Words { sizes, .. } if *sizes != (1..=1) => {
                let are_tuples = grams.are_word_tuples();
                AnyCounter::Ngrams(Ngrams::new(sizes.clone(), are_tuples, term_filter, numbers))
            }
            Grams::Words { .. } => AnyCounter::Terms(Terms::new(term_filter, numbers)),
            Grams::Chars { .. } => AnyCounter::Terms(Terms::new(TermFilter::default(), numbers)),
            Grams::WordChars { sizes } => AnyCounter::WordChars(WordChars::new(sizes.clone(), numbers)),
        }
    }

    fn get(&mut self) -> &mut dyn Counter {
        match self {
            AnyCounter::Terms(counter) => counter,
            AnyCounter::Ngrams(counter) => counter,
            AnyCounter::WordChars(counter) => counter,
        }
    }
}

/// Packs a row sorted by number, adds up the values of equal numbers, and returns the number of pairs. A pair of
/// hashed features whose sum is 0 stays, as a stored 0. Sums saturate at `i32::MAX` and `-i32::MAX`.
fn sum_up(
    postings: impl Iterator<Item = Posting>,
    numbers: &Numbers,
    [pairs, spare]: &mut [Vec<u64>; 2],
    words: &mut Vec<u32>,
) -> usize {
    pairs.clear();
    pairs.extend(postings.map(|posting| {
        let count = posting.value();
        let (number, value) = match numbers {
            Numbers::Buckets(_) if posting.number & 1 == 1 => (posting.number >> 1, -count),
            Numbers::Buckets(_) => (posting.number >> 1, count),
            Numbers::Local(_) | Numbers::Fixed(_) => (posting.number, count),
        };
        (number as u64) << 32 | value as u32 as u64
    }));
    sort_by_column(pairs, spare);
    let mut nonzeros = 0;
    for same in pairs.chunk_by(|a, b| a >> 32 == b >> 32) {
        let sum: i64 = same.iter().map(|&pair| pair as u32 as i32 as i64).sum();
        let most = i32::MAX as i64;
        row::push(words, (same[0] >> 32) as u32, sum.clamp(-most, most) as i32);
        nonzeros += 1;
    }
    nonzeros
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up_and_may_cancel() {
        let posting =
            |column: u32, negative: bool, count| Posting { number: column << 1 | negative as u32, count };
        let postings =
            vec![posting(9, false, 2), posting(3, true, 1), posting(9, true, 2), posting(3, true, 4)];
        let numbers = Numbers::Buckets(Buckets { n_features: 10, alternate_sign: true });
        let mut words = Vec::new();
        assert_eq!(sum_up(postings.into_iter(), &numbers, &mut Default::default(), &mut words), 2);
        assert_eq!(row::pairs(&words).collect::<Vec<_>>(), [(3, -5), (9, 0)]);
    }

    #[test]
    fn counts_end_at_the_largest_value() {
        let posting =
            |column: u32, negative: bool, count| Posting { number: column << 1 | negative as u32, count };
        let most = u32::MAX;
        let postings =
            [posting(1, false, most), posting(1, false, most), posting(2, true, most), posting(2, true, 1)];
        let numbers = Numbers::Buckets(Buckets { n_features: 10, alternate_sign: true });
        let mut words = Vec::new();
        sum_up(postings.into_iter(), &numbers, &mut Default::default(), &mut words);
        assert_eq!(row::pairs(&words).collect::<Vec<_>>(), [(1, i32::MAX), (2, -i32::MAX)]);
        assert_eq!(
            [0, 1, 1 << 31, most].map(|count| Posting { number: 0, count }.value()),
            [0, 1, i32::MAX, i32::MAX]
        );
    }
}
