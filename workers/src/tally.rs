//! The first half of a worker's work: documents to records. Each document is read and tokenised once; its row goes
//! to the segment, its new terms with it.
//!
//! A document that fails is a record with a cause. One that panics costs its worker, which retires after it.

use crate::analyzer::{Analyzer, Grams, TextSettings, Tokenizer};
use crate::documents::{Documents, ReadSettings, Reader, Source};
use crate::failure::Failure;
#[cfg(feature = "faults")]
use crate::faults;
use crate::hashing::Buckets;
use crate::lexicon::{Counter, FixedVocabulary, LocalIds, Ngrams, Numbers, Posting, Sieve, Terms, WordChars};
use crate::protocol::{Batch, Report};
use crate::recorder::Pen;
use crate::row;
use crate::segment::{AppendError, Key, Outcome, SegmentWriter};
use std::cell::Cell;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What a worker numbers terms by.
#[derive(Clone, Debug)]
pub enum Features {
    /// Local ids, to be merged into one vocabulary.
    Vocabulary,
    /// Buckets that terms are hashed to.
    Hashed(Buckets),
    /// Columns of a vocabulary that was given.
    Fixed(Arc<FixedVocabulary>),
}

/// All that the tally of documents depends on.
#[derive(Clone)]
pub struct TallySettings {
    /// Which files are read, and which fail.
    pub reading: ReadSettings,
    /// How text becomes terms.
    pub text: TextSettings,
    /// What becomes of words before they are terms.
    pub sieve: Sieve,
    /// What terms are numbered by.
    pub features: Features,
    /// Bytes a worker's lexicon may take before the worker retires, or empties it if its numbers are not its own.
    pub lexicon_bytes: usize,
    /// Bytes of private memory that a worker in a process of its own may take.
    pub worker_memory: u64,
}

/// Bytes that a lexicon may take where it is only a cache: a few million terms.
const CACHE_BYTES: usize = 192 << 20;

/// A worker's desk for the tally.
pub struct Tally {
    documents: Arc<Documents>,
    reading: ReadSettings,
    reader: Reader,
    analyzer: Analyzer,
    counter: AnyCounter,
    /// Whether the lexicon's numbers are not its own: what it forgets, it finds again.
    is_cache: bool,
    lexicon_bytes: usize,
    worker_memory: u64,
    segment: SegmentWriter,
    pen: Pen,
    text: Vec<u8>,
    words: Vec<u32>,
    pairs: Vec<u64>,
}

/// The counters, by what they count.
enum AnyCounter {
    Terms(Terms),
    Ngrams(Ngrams),
    WordChars(WordChars),
}

impl AnyCounter {
    fn new(settings: &TallySettings) -> Self {
        let numbers = match &settings.features {
            Features::Vocabulary => Numbers::Local(LocalIds::default()),
            Features::Hashed(buckets) => Numbers::Buckets(*buckets),
            Features::Fixed(vocabulary) => Numbers::Fixed(vocabulary.clone()),
        };
        let sieve = settings.sieve.clone();
        match &settings.text.grams {
            Grams::Words { tokenizer, sizes } if *sizes != (1..=1) => {
                let hold_spaces = matches!(tokenizer, Tokenizer::Pattern(_));
                AnyCounter::Ngrams(Ngrams::new(sizes.clone(), hold_spaces, sieve, numbers))
            }
            Grams::Words { .. } => AnyCounter::Terms(Terms::new(sieve, numbers)),
            Grams::Chars { .. } => AnyCounter::Terms(Terms::new(Sieve::default(), numbers)),
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

thread_local! {
    static IN_DOCUMENT: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is analyzing a document: a panic then is a failed document, to be reported as such and not
/// to be printed.
pub fn is_in_document() -> bool {
    IN_DOCUMENT.get()
}

impl Tally {
    /// A desk with an empty lexicon, which appends to `segment` and writes `pen`'s line.
    pub fn new(
        settings: &TallySettings,
        documents: Arc<Documents>,
        segment: SegmentWriter,
        pen: Pen,
    ) -> Self {
        let is_cache = !matches!(settings.features, Features::Vocabulary);
        let most = if is_cache { CACHE_BYTES } else { usize::MAX };
        Tally {
            documents,
            reading: settings.reading,
            reader: Reader::default(),
            analyzer: Analyzer::new(&settings.text),
            counter: AnyCounter::new(settings),
            is_cache,
            lexicon_bytes: settings.lexicon_bytes.min(most),
            worker_memory: settings.worker_memory,
            segment,
            pen,
            text: Vec::new(),
            words: Vec::new(),
            pairs: Vec::new(),
        }
    }

    /// Bytes of private memory that it may take.
    pub fn memory(&self) -> u64 {
        self.worker_memory
    }

    /// Who notes what happens to the worker.
    pub fn pen(&self) -> &Pen {
        &self.pen
    }

    /// The scratch file that records go to, if they do.
    pub fn scratch(&self) -> Option<&File> {
        self.segment.file()
    }

    /// The documents of the run.
    pub fn documents(&self) -> &Documents {
        &self.documents
    }

    /// Tallies the batch's documents, a record each.
    pub fn batch(&mut self, batch: Batch) -> Report {
        for ordinal in batch.start..batch.end {
            let row = batch.first_row + ordinal as u64;
            self.pen.begin(row);
            let key = Key { batch: batch.id, ordinal };
            IN_DOCUMENT.set(true);
            let read = catch_unwind(AssertUnwindSafe(|| self.read_and_count(row as usize)));
            IN_DOCUMENT.set(false);
            let panicked = read.is_err();
            let read = read.unwrap_or(Err((Source::default(), Failure::Panicked)));
            let bytes = match read {
                Ok(source) | Err((source, _)) => source.bytes,
            };
            let fits = match read {
                Ok(source) => self.commit_row(key, source),
                Err((source, failure)) => self.commit_failure(key, source, failure),
            };
            match fits {
                Ok(()) => {}
                Err(AppendError::System(error)) => {
                    return Report::Broken { errno: error.raw_os_error().unwrap_or(0) };
                }
                Err(AppendError::Full) => return Report::Retired { next: ordinal },
            }
            self.pen.end(bytes);
            if panicked || !self.has_memory() {
                return Report::Retired { next: ordinal + 1 };
            }
        }
        Report::Tallied
    }

    fn read_and_count(&mut self, row: usize) -> Result<Source, (Source, Failure)> {
        let source = self.reader.read(&self.documents, row, &self.reading, &mut self.text)?;
        #[cfg(feature = "faults")]
        faults::act(&self.text);
        self.counter.get().begin_document();
        let text = &mut self.text;
        match &mut self.counter {
            AnyCounter::Terms(counter) => self.analyzer.analyze(text, counter),
            AnyCounter::Ngrams(counter) => self.analyzer.analyze(text, counter),
            AnyCounter::WordChars(counter) => self.analyzer.analyze(text, counter),
        }
        .map(|()| source)
        .map_err(|failure| (source, failure))
    }

    fn commit_row(&mut self, key: Key, source: Source) -> Result<(), AppendError> {
        let counter = self.counter.get();
        let may_repeat = counter.may_repeat();
        let (row, numbers) = counter.finish_document();
        self.words.clear();
        let nonzeros = match &*numbers {
            Numbers::Local(_) if !may_repeat => {
                row.postings().for_each(|p| row::push(&mut self.words, p.number, p.count as i32));
                row.postings().len()
            }
            numbers => sum_up(row.postings(), numbers, &mut self.pairs, &mut self.words),
        };
        let (terms, new_terms) = match numbers {
            Numbers::Local(ids) => (ids.terms.as_slice(), ids.new),
            Numbers::Buckets(_) | Numbers::Fixed(_) => (&[][..], 0),
        };
        self.segment.commit(&Outcome {
            key,
            source,
            failure: None,
            tokens: row.tokens,
            unknown: row.unknown,
            row: &self.words,
            nonzeros: nonzeros as u32,
            terms,
            new_terms,
        })?;
        if let Numbers::Local(ids) = numbers {
            ids.recorded();
        }
        Ok(())
    }

    fn commit_failure(&mut self, key: Key, source: Source, failure: Failure) -> Result<(), AppendError> {
        self.segment.commit(&Outcome {
            key,
            source,
            failure: Some(failure),
            tokens: 0,
            unknown: 0,
            row: &[],
            nonzeros: 0,
            terms: &[],
            new_terms: 0,
        })
    }

    /// Whether another document may be counted. A lexicon that is only a cache is emptied instead.
    fn has_memory(&mut self) -> bool {
        let counter = self.counter.get();
        if counter.memory() <= self.lexicon_bytes {
            return true;
        }
        if self.is_cache {
            counter.forget();
        }
        self.is_cache
    }
}

/// Packs a row sorted by number, with what has the same number added up, and returns how many pairs that makes. A
/// pair of hashed features that cancels out stays, as a stored 0.
fn sum_up(
    postings: impl Iterator<Item = Posting>,
    numbers: &Numbers,
    pairs: &mut Vec<u64>,
    words: &mut Vec<u32>,
) -> usize {
    pairs.clear();
    pairs.extend(postings.map(|posting| {
        let count = posting.count as i32;
        let (number, value) = match numbers {
            Numbers::Buckets(_) if posting.number & 1 == 1 => (posting.number >> 1, count.wrapping_neg()),
            Numbers::Buckets(_) => (posting.number >> 1, count),
            Numbers::Local(_) | Numbers::Fixed(_) => (posting.number, count),
        };
        (number as u64) << 32 | value as u32 as u64
    }));
    pairs.sort_unstable();
    let mut nonzeros = 0;
    for same in pairs.chunk_by(|a, b| a >> 32 == b >> 32) {
        let sum = same.iter().fold(0i32, |sum, &pair| sum.wrapping_add(pair as u32 as i32));
        row::push(words, (same[0] >> 32) as u32, sum);
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
        assert_eq!(sum_up(postings.into_iter(), &numbers, &mut Vec::new(), &mut words), 2);
        assert_eq!(row::pairs(&words).collect::<Vec<_>>(), [(3, -5), (9, 0)]);
    }
}
