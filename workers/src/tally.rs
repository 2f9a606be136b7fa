//! The first half of a worker's work: documents to records. Each document is read and tokenised once; its row goes
//! to the segment, its new terms with it.
//!
//! A document that fails is a record with a cause. One that panics costs its worker, which retires after it.

use crate::analyzer::{Analyzer, TextSettings};
use crate::documents::{Documents, ReadSettings, Source};
use crate::failure::Failure;
#[cfg(feature = "faults")]
use crate::faults;
use crate::hashing::Buckets;
use crate::lexicon::{Lexicon, Numbering, Posting};
use crate::protocol::{Batch, Report};
use crate::recorder::Pen;
use crate::row;
use crate::segment::{Full, Key, Outcome, SegmentWriter, push_term};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What columns stand for.
#[derive(Clone, Copy, Debug)]
pub enum Features {
    /// A column a term of the corpus.
    Vocabulary,
    /// A column a bucket that terms are hashed to.
    Hashed(Buckets),
}

/// All that the tally of documents depends on.
#[derive(Clone, Debug)]
pub struct TallySettings {
    /// Which files are read, and which fail.
    pub reading: ReadSettings,
    /// How text becomes terms.
    pub text: TextSettings,
    /// What columns stand for.
    pub features: Features,
    /// Bytes a worker's lexicon may take before the worker retires, or empties it if its terms are hashed.
    pub lexicon_bytes: usize,
}

/// A worker's desk for the tally.
pub struct Tally {
    documents: Arc<Documents>,
    reading: ReadSettings,
    analyzer: Analyzer,
    counts: Counts,
    lexicon_bytes: usize,
    segment: SegmentWriter,
    pen: Pen,
    text: Vec<u8>,
    words: Vec<u32>,
}

/// The lexicon, by what its numbers mean.
enum Counts {
    Vocabulary(Lexicon<LocalIds>),
    Hashed { lexicon: Lexicon<Buckets>, pairs: Vec<u64> },
}

/// Numbers terms in order of first occurrence, and keeps those that no record holds yet.
#[derive(Default)]
struct LocalIds {
    next: u32,
    terms: Vec<u8>,
    new: u32,
}

impl Numbering for LocalIds {
    fn number(&mut self, term: &[u8]) -> u32 {
        push_term(&mut self.terms, term);
        self.new += 1;
        self.next += 1;
        self.next - 1
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
        let counts = match settings.features {
            Features::Vocabulary => Counts::Vocabulary(Lexicon::new(LocalIds::default())),
            Features::Hashed(buckets) => Counts::Hashed { lexicon: Lexicon::new(buckets), pairs: Vec::new() },
        };
        Tally {
            documents,
            reading: settings.reading,
            analyzer: Analyzer::new(&settings.text),
            counts,
            lexicon_bytes: settings.lexicon_bytes,
            segment,
            pen,
            text: Vec::new(),
            words: Vec::new(),
        }
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
                // Not even an empty segment holds the row.
                Err(Full) if self.segment.is_empty() => {
                    if self.commit_failure(key, Source { bytes, modified: 0 }, Failure::OutOfMemory).is_err()
                    {
                        return Report::Broken { errno: 0 };
                    }
                    self.pen.end(bytes);
                    return Report::Retired { next: ordinal + 1 };
                }
                Err(Full) => return Report::Retired { next: ordinal },
            }
            self.pen.end(bytes);
            if panicked || !self.has_memory() {
                return Report::Retired { next: ordinal + 1 };
            }
        }
        Report::Tallied
    }

    fn read_and_count(&mut self, row: usize) -> Result<Source, (Source, Failure)> {
        let source = self.documents.read(row, &self.reading, &mut self.text)?;
        #[cfg(feature = "faults")]
        faults::act(&self.text);
        let text = &mut self.text;
        let analyzed = match &mut self.counts {
            Counts::Vocabulary(lexicon) => {
                lexicon.begin_document();
                analyzer_result(self.analyzer.analyze(text, lexicon))
            }
            Counts::Hashed { lexicon, .. } => {
                lexicon.begin_document();
                analyzer_result(self.analyzer.analyze(text, lexicon))
            }
        };
        analyzed.map(|()| source).map_err(|failure| (source, failure))
    }

    fn commit_row(&mut self, key: Key, source: Source) -> Result<(), Full> {
        self.words.clear();
        let (nonzeros, tokens) = match &mut self.counts {
            Counts::Vocabulary(lexicon) => {
                lexicon.row().iter().for_each(|p| row::push(&mut self.words, p.number, p.count as i32));
                (lexicon.row().len(), lexicon.tokens())
            }
            Counts::Hashed { lexicon, pairs } => {
                (sum_buckets(lexicon.row(), pairs, &mut self.words), lexicon.tokens())
            }
        };
        let (terms, new_terms) = match &mut self.counts {
            Counts::Vocabulary(lexicon) => {
                let ids = lexicon.numbering();
                (ids.terms.as_slice(), ids.new)
            }
            Counts::Hashed { .. } => (&[][..], 0),
        };
        self.segment.commit(&Outcome {
            key,
            source,
            failure: None,
            tokens,
            row: &self.words,
            nonzeros: nonzeros as u32,
            terms,
            new_terms,
        })?;
        if let Counts::Vocabulary(lexicon) = &mut self.counts {
            let ids = lexicon.numbering();
            ids.terms.clear();
            ids.new = 0;
        }
        Ok(())
    }

    fn commit_failure(&mut self, key: Key, source: Source, failure: Failure) -> Result<(), Full> {
        self.segment.commit(&Outcome {
            key,
            source,
            failure: Some(failure),
            tokens: 0,
            row: &[],
            nonzeros: 0,
            terms: &[],
            new_terms: 0,
        })
    }

    /// Whether another document may be counted. A lexicon of hashed terms is only a cache: it is emptied instead.
    fn has_memory(&mut self) -> bool {
        match &mut self.counts {
            Counts::Vocabulary(lexicon) => lexicon.memory() <= self.lexicon_bytes,
            Counts::Hashed { lexicon, .. } => {
                if lexicon.memory() > self.lexicon_bytes {
                    lexicon.clear();
                }
                true
            }
        }
    }
}

fn analyzer_result(result: Result<(), crate::analyzer::decode::InvalidUtf8>) -> Result<(), Failure> {
    result.map_err(|invalid| Failure::InvalidUtf8(invalid.0))
}

/// Packs the row of a document whose terms are numbered by [`Buckets`]: sorted by column, what falls in one bucket
/// added up. A pair that cancels out stays, as a stored 0. Returns the number of pairs.
fn sum_buckets(row: &[Posting], pairs: &mut Vec<u64>, words: &mut Vec<u32>) -> usize {
    pairs.clear();
    pairs.extend(row.iter().map(|posting| {
        let count = if posting.number & 1 == 0 { posting.count as i32 } else { -(posting.count as i32) };
        (posting.number as u64 >> 1) << 32 | count as u32 as u64
    }));
    pairs.sort_unstable();
    let mut nonzeros = 0;
    for bucket in pairs.chunk_by(|a, b| a >> 32 == b >> 32) {
        let sum = bucket.iter().fold(0i32, |sum, &pair| sum.wrapping_add(pair as u32 as i32));
        row::push(words, (bucket[0] >> 32) as u32, sum);
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
        let row = [posting(9, false, 2), posting(3, true, 1), posting(9, true, 2), posting(3, true, 4)];
        let mut words = Vec::new();
        assert_eq!(sum_buckets(&row, &mut Vec::new(), &mut words), 2);
        assert_eq!(row::pairs(&words).collect::<Vec<_>>(), [(3, -5), (9, 0)]);
    }
}
