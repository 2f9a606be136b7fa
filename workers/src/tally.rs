//! The first phase of a worker: from documents to records.
//!
//! Reads and tokenises each document once, one chunk after the other, and appends its row and its new terms to the
//! segment. A failed document becomes a record with a cause. If the analyzer panics, the worker records that failure
//! and then retires.

use crate::about::About;
use crate::absence::Absence;
use crate::analyzer::chunks::Chunk;
use crate::analyzer::{Analyzer, Grams, TextSettings};
use crate::documents::{Documents, Source};
use crate::failure::Failure;
#[cfg(feature = "faults")]
use crate::faults;
use crate::hashing::Buckets;
use crate::heartbeat::Heartbeat;
use crate::lexicon::{
    Counter, FixedVocabulary, LocalIds, Ngrams, Numbers, Posting, TermFilter, Terms, WordChars,
};
use crate::protocol::Report;
use crate::radix::sort_by_column;
use crate::read_limit::ReadLimit;
use crate::reader::{ReadSettings, Reader};
use crate::records::{OpenRecords, RecordReader, RecordSettings};
use crate::row;
use crate::segment::{AppendError, Outcome, RowNumbers, SegmentWriter};
use crate::split::{Key, Part, RecordRange, STATES, SplitKind, UNKNOWN_STATE};
use std::cell::Cell;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

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

/// The settings of the tally.
#[derive(Clone)]
pub struct TallySettings {
    /// Which files are read, and which fail.
    pub reading: ReadSettings,
    /// How to find the documents of record files.
    pub records: RecordSettings,
    /// The conversion from text to terms.
    pub text: TextSettings,
    /// The conversion from words to terms: stop words and stems.
    pub term_filter: TermFilter,
    /// The numbers of terms.
    pub features: Features,
    /// Bytes that a worker's lexicon may take. Beyond that, the worker retires, or empties a lexicon that is only a
    /// cache.
    pub lexicon_bytes: usize,
    /// Bytes of private memory that a worker process may take.
    pub worker_memory: u64,
}

impl TallySettings {
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

/// The wait before a worker reads a document again: 10 ms, in which other processes may release a resource.
pub(crate) const SECOND_TRY: Duration = Duration::from_millis(10);

/// Bytes that a lexicon may take if it is only a cache: 192 MiB, a few million terms.
const CACHE_BYTES: usize = 192 << 20;

/// The state of a worker in the first phase.
pub struct Tally {
    documents: Arc<Documents>,
    reader: Reader,
    analyzer: Analyzer,
    term_filter: TermFilter,
    counter: AnyCounter,
    /// Whether the lexicon is only a cache of numbers that are defined elsewhere: a forgotten term gets the same number
    /// again.
    is_cache: bool,
    lexicon_bytes: usize,
    worker_memory: u64,
    segment: SegmentWriter,
    heartbeat: Heartbeat,
    text: Vec<u8>,
    /// Whether the last document was read in one chunk.
    is_whole: bool,
    records: RecordReader,
    /// What else is known of the current document, and its form in a record.
    about: About,
    about_bytes: Vec<u8>,
    words: Vec<u32>,
    /// Buffers of a row that is sorted.
    pairs: [Vec<u64>; 2],
}

/// The counters, by the kind of terms.
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

    /// Counts the terms of a document's next chunk.
    fn count(&mut self, analyzer: &mut Analyzer, text: &mut Vec<u8>, chunk: Chunk) -> Result<(), Failure> {
        match self {
            AnyCounter::Terms(counter) => analyzer.analyze(text, chunk, counter),
            AnyCounter::Ngrams(counter) => analyzer.analyze(text, chunk, counter),
            AnyCounter::WordChars(counter) => analyzer.analyze(text, chunk, counter),
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

/// The report of a record that was not appended.
fn not_appended(key: Key, error: AppendError) -> Report {
    match error {
        AppendError::System(error) => Report::Broken { errno: error.raw_os_error().unwrap_or(0) },
        AppendError::Full => Report::Retired { next: key.ordinal },
    }
}

thread_local! {
    static IN_DOCUMENT: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is analyzing a document. Then a panic is a failed document; it is reported as such and not
/// printed.
pub fn is_in_document() -> bool {
    IN_DOCUMENT.get()
}

impl Tally {
    /// Creates the state with an empty lexicon. It reads through `read_limit`, appends to `segment` and updates
    /// `heartbeat`.
    pub fn new(
        settings: &TallySettings,
        documents: Arc<Documents>,
        read_limit: ReadLimit,
        segment: SegmentWriter,
        heartbeat: Heartbeat,
    ) -> Self {
        let is_cache = !matches!(settings.features, Features::Vocabulary);
        let most = if is_cache { CACHE_BYTES } else { usize::MAX };
        let analyzer = Analyzer::new(&settings.text);
        let reader = Reader::new(settings.reading, analyzer.chunk_boundary(), read_limit);
        let records = RecordReader::new(
            settings.records.clone(),
            settings.reading,
            analyzer.chunk_boundary(),
            settings.text.decode_error,
            reader.read_limit().clone(),
        );
        Tally {
            documents,
            reader,
            analyzer,
            term_filter: settings.term_filter.clone(),
            counter: AnyCounter::new(settings),
            is_cache,
            lexicon_bytes: settings.lexicon_bytes.min(most),
            worker_memory: settings.worker_memory,
            segment,
            heartbeat,
            text: Vec::new(),
            is_whole: false,
            records,
            about: About::default(),
            about_bytes: Vec::new(),
            words: Vec::new(),
            pairs: Default::default(),
        }
    }

    /// Bytes of private memory that the worker may take.
    pub(crate) fn memory(&self) -> u64 {
        self.worker_memory
    }

    /// The worker's heartbeat.
    pub(crate) fn heartbeat(&self) -> &Heartbeat {
        &self.heartbeat
    }

    /// The file that the segment is in; `None` if it is in memory.
    pub(crate) fn scratch(&self) -> Option<&File> {
        self.segment.file()
    }

    /// The file of the read limit's permits; `None` if reads are not limited.
    pub(crate) fn read_limit(&self) -> Option<&File> {
        self.reader.gate_file()
    }

    /// The documents of the run.
    pub(crate) fn documents(&self) -> &Documents {
        &self.documents
    }

    /// Tallies the part's documents, one record each. Readers see the records of all documents up to the report.
    pub(crate) fn part(&mut self, part: Part) -> Report {
        let report = match part.split.kind {
            SplitKind::Files(_) => self.files(part),
            SplitKind::Records(range) => self.records(part, range),
        };
        match self.segment.flush() {
            Err(error) if !matches!(report, Report::Broken { .. }) => {
                Report::Broken { errno: error.raw_os_error().unwrap_or(0) }
            }
            _ => report,
        }
    }

    /// Tallies files, each of which is one document.
    fn files(&mut self, part: Part) -> Report {
        for ordinal in part.start..part.end {
            let key = part.key(ordinal);
            self.heartbeat.begin(key);
            let file = part.split.file_of(ordinal);
            let read = self.caught(|tally| tally.read_and_count(file));
            let bytes = match read {
                Some(Ok(source) | Err((source, _))) => source.bytes,
                None => 0,
            };
            if let Some(report) = self.commit(key, read, bytes) {
                return report;
            }
        }
        Report::Tallied { end: part.end }
    }

    /// Tallies documents of a record file. Passes over those before the part's first.
    fn records(&mut self, part: Part, range: RecordRange) -> Report {
        let file = part.split.file as usize;
        let first = part.key(part.start);
        // If the file can't be read up to the first document, this is the first document's failure.
        self.heartbeat.begin(part.opening());
        let opened = self.caught(|tally| tally.open_records(file, range, part.state));
        let mut open = match opened.unwrap_or(Err(Failure::Panicked)) {
            Ok(open) => open,
            Err(failure) => return self.unreadable(first, failure),
        };
        for _ in 0..part.start {
            self.heartbeat.step();
            match self.caught(|tally| open.records.skip(&mut tally.text)) {
                Some(true) => {}
                // Another worker has read more documents than there are now.
                Some(false) => return self.unreadable(first, Failure::Changed),
                None => return self.unreadable(first, Failure::Panicked),
            }
        }
        // Whether the last document, perhaps one that was passed over, may have failed and be the last for this reason.
        let mut may_go_on = part.start > 0;
        for ordinal in part.start..part.end {
            let key = part.key(ordinal);
            self.heartbeat.begin(key);
            let read = self.caught(|tally| tally.next_and_count(&mut open, range.source));
            let Some(read) = read.map_or(Some(None), |read| read.map(Some)) else {
                self.heartbeat.pass(open.advance_to_end());
                return match open.has_changed() {
                    true => self.unreadable(key, Failure::Changed),
                    false => self.end_split(key, open.records.left_out(), may_go_on),
                };
            };
            may_go_on = !matches!(read, Some(Ok(_)));
            // Nothing is read behind this document that could find the change.
            let read = match ordinal + 1 == part.end && open.has_changed() {
                true => Some(Err((Source::default(), Failure::Changed))),
                false => read,
            };
            let bytes = open.advance();
            if let Some(report) = self.commit(key, read, bytes) {
                return report;
            }
        }
        Report::Tallied { end: part.end }
    }

    /// Calls `act` for a document. Returns `None` if it panics.
    fn caught<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> Option<T> {
        IN_DOCUMENT.set(true);
        let done = catch_unwind(AssertUnwindSafe(|| act(self)));
        IN_DOCUMENT.set(false);
        done.ok()
    }

    /// Commits the record of the document that was read, if it did not panic. `bytes` of the input are done with it. Returns
    /// a report if the worker takes no further document.
    fn commit(
        &mut self,
        key: Key,
        read: Option<Result<Source, (Source, Failure)>>,
        bytes: u64,
    ) -> Option<Report> {
        let panicked = read.is_none();
        let fits = match read.unwrap_or(Err((Source::default(), Failure::Panicked))) {
            Ok(source) => self.commit_row(key, source),
            Err((source, failure)) => self.commit_failure(key, source, failure),
        };
        if let Err(error) = fits {
            return Some(not_appended(key, error));
        }
        self.heartbeat.end(bytes);
        (panicked || !self.has_memory()).then_some(Report::Retired { next: key.ordinal + 1 })
    }

    /// Commits that a split has no document from this one on, and how many members of its archive are none. `may_go_on` as
    /// for [`SegmentWriter::end_split`].
    fn end_split(&mut self, end: Key, left_out: u64, may_go_on: bool) -> Report {
        match self.segment.end_split(end, left_out, may_go_on) {
            Ok(()) => {
                self.heartbeat.leave();
                Report::Tallied { end: end.ordinal }
            }
            Err(error) => not_appended(end, error),
        }
    }

    /// Commits that nothing can be read of a split from this document on. It stands for all that are behind it.
    fn unreadable(&mut self, document: Key, failure: Failure) -> Report {
        self.about.clear();
        match self.commit_failure(document, Source::default(), failure) {
            Ok(()) => self.heartbeat.end(0),
            Err(error) => return not_appended(document, error),
        }
        self.end_split(Key { ordinal: document.ordinal + 1, ..document }, 0, true)
    }

    /// Opens the record file `file` for the documents of a range. `state` is that of a scan of the file at the range's first
    /// byte.
    fn open_records(&mut self, file: usize, range: RecordRange, state: u8) -> Result<OpenRecords, Failure> {
        let opened = self.open_unchanged(file, range)?;
        self.records.open(file as u64, opened, range, state)
    }

    /// Opens the record file `file`, which must be in the state in which it was cut.
    fn open_unchanged(&mut self, file: usize, range: RecordRange) -> Result<File, Failure> {
        let opened = match self.reader.open(&self.documents, file) {
            Err(failure) if failure.may_pass() => {
                thread::sleep(SECOND_TRY);
                self.reader.open(&self.documents, file)?
            }
            opened => opened?,
        };
        let (opened, source) = opened;
        if source == range.source { Ok(opened) } else { Err(Failure::Changed) }
    }

    /// Counts the terms of the next document of a record file; `None` behind the last one.
    fn next_and_count(
        &mut self,
        open: &mut OpenRecords,
        file: Source,
    ) -> Option<Result<Source, (Source, Failure)>> {
        let Tally { reader, analyzer, counter, text, heartbeat, is_whole, about, .. } = self;
        let read = open.records.next(text)?;
        about.clone_from(open.records.about());
        let mut source = Source { bytes: 0, modified: file.modified };
        let mut chunk = match read {
            Ok(chunk) => chunk,
            Err(failure) => return Some(Err((source, failure))),
        };
        source.bytes = text.len() as u64;
        let has_more = !chunk.is_last;
        let mut count = || {
            if open.are_texts {
                reader.check_text(text)?;
            }
            #[cfg(feature = "faults")]
            faults::act(text)?;
            counter.get().begin_document();
            loop {
                counter.count(analyzer, text, chunk)?;
                if chunk.is_last {
                    *is_whole = chunk == Chunk::WHOLE;
                    return Ok(());
                }
                chunk = open.records.more(text)?;
                source.bytes += text.len() as u64;
                heartbeat.step();
            }
        };
        let counted: Result<(), Failure> = count();
        if has_more {
            // The number of bytes and the guessed encoding are those of all chunks.
            about.clone_from(open.records.about());
        }
        Some(counted.map(|()| source).map_err(|failure| (source, failure)))
    }

    /// Scans the range of a part.
    pub(crate) fn scan(&mut self, part: Part) -> Report {
        let SplitKind::Records(range) = part.split.kind else { return Report::Broken { errno: 0 } };
        self.heartbeat.step();
        let ends = self.caught(|tally| {
            let file = tally.open_unchanged(part.split.file as usize, range)?;
            tally.records.scan(file, range)
        });
        // The worker that reads the range finds out why it can't be read.
        let ends = ends.and_then(Result::ok).unwrap_or([UNKNOWN_STATE; STATES]);
        Report::Scanned { ends }
    }

    /// Counts document `row`. Repeats it once if the failure may be temporary.
    fn read_and_count(&mut self, row: usize) -> Result<Source, (Source, Failure)> {
        match self.count_chunks(row) {
            Err((_, failure)) if failure.may_pass() => {
                if failure != Failure::Changed {
                    thread::sleep(SECOND_TRY);
                }
                self.count_chunks(row)
            }
            counted => counted,
        }
    }

    /// Counts the terms of document `row`, from its first chunk on. Discards earlier counts of it.
    fn count_chunks(&mut self, row: usize) -> Result<Source, (Source, Failure)> {
        let Tally { reader, documents, analyzer, counter, text, heartbeat, is_whole, about, .. } = self;
        about.clear();
        let mut reading = reader.begin(documents, row, text)?;
        #[cfg(feature = "faults")]
        faults::act(text).map_err(|errno| (reading.source, errno.into()))?;
        counter.get().begin_document();
        loop {
            counter.count(analyzer, text, reading.chunk).map_err(|failure| (reading.source, failure))?;
            if reading.chunk.is_last {
                *is_whole = reading.chunk == Chunk::WHOLE;
                about.encoding = reading.guessed();
                about.bytes = reading.text_bytes();
                return Ok(reading.source);
            }
            reader.next(&mut reading, text).map_err(|failure| (reading.source, failure))?;
            // A file without a stated size may never end, so it gets the time of one chunk for all of them.
            if reading.has_size() {
                heartbeat.reach(reading.chunk.offset);
            }
        }
    }

    fn commit_row(&mut self, key: Key, source: Source) -> Result<(), AppendError> {
        let counter = self.counter.get();
        let may_repeat = counter.may_repeat();
        let (row, numbers) = counter.finish_document();
        let absence = match row.tokens {
            // `text` contains the last chunk.
            0 if self.is_whole => Absence::of(&mut self.text, &mut self.analyzer, &self.term_filter).encode(),
            _ => 0,
        };
        self.words.clear();
        let nonzeros = match &*numbers {
            Numbers::Local(_) if !may_repeat => {
                row.postings().for_each(|p| row::push(&mut self.words, p.number, p.value()));
                row.postings().len()
            }
            numbers => sum_up(row.postings(), numbers, &mut self.pairs, &mut self.words),
        };
        let (terms, ngrams) = match numbers {
            Numbers::Local(ids) => (ids.new_terms(), ids.new_ngrams()),
            Numbers::Buckets(_) | Numbers::Fixed(_) => Default::default(),
        };
        self.about.encode(&mut self.about_bytes);
        self.segment.commit(&Outcome {
            key,
            source,
            failure: None,
            tokens: row.tokens,
            absence,
            unknown: row.unknown,
            row: &self.words,
            nonzeros: nonzeros as u32,
            terms,
            ngrams,
            about: &self.about_bytes,
        })?;
        if let Numbers::Local(ids) = numbers {
            ids.recorded();
        }
        Ok(())
    }

    fn commit_failure(&mut self, key: Key, source: Source, failure: Failure) -> Result<(), AppendError> {
        self.about.encode(&mut self.about_bytes);
        let nothing = Outcome::nothing(key);
        self.segment.commit(&Outcome { source, failure: Some(failure), about: &self.about_bytes, ..nothing })
    }

    /// Whether the worker has memory for another document. Empties a lexicon that is only a cache.
    fn has_memory(&mut self) -> bool {
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
    use crate::analyzer::Tokenizer;
    use crate::analyzer::accents::StripAccents;
    use crate::analyzer::decode::DecodeError;
    use crate::analyzer::pattern::TokenPattern;
    use crate::analyzer::stems::Stemmer;
    use crate::analyzer::stop_words::StopWords;
    use crate::heartbeat::Heartbeats;
    use crate::mapped::Store;
    use crate::ngram;
    use crate::segment::term_at;
    use crate::split::Split;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::io::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    use tempfile::NamedTempFile;

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

    fn file(content: &[u8]) -> NamedTempFile {
        let mut file = NamedTempFile::new().expect("a file");
        file.write_all(content).expect("room for it");
        file
    }

    fn settings(text: TextSettings, window: usize) -> TallySettings {
        TallySettings {
            reading: ReadSettings { embed_binary: true, window, ..ReadSettings::default() },
            records: RecordSettings::default(),
            text,
            term_filter: TermFilter::default(),
            features: Features::Vocabulary,
            lexicon_bytes: usize::MAX,
            worker_memory: u64::MAX,
        }
    }

    fn words(sizes: std::ops::RangeInclusive<usize>, tokenizer: Tokenizer) -> TextSettings {
        let grams = Grams::Words { tokenizer, sizes };
        TextSettings { lowercase: true, decode_error: DecodeError::Strict, strip_accents: None, grams }
    }

    /// The contents of a record: terms are spelled out, or given as columns if they have no local ids.
    #[derive(PartialEq, Debug)]
    struct Recorded {
        failure: Option<Failure>,
        bytes: u64,
        tokens: u64,
        unknown: u64,
        counts: BTreeMap<String, i32>,
    }

    /// The records of these files, tallied in order by one worker.
    fn tallied(files: &[&NamedTempFile], settings: &TallySettings, heartbeats: &Heartbeats) -> Vec<Recorded> {
        tallied_after(|_| (), files, settings, heartbeats)
    }

    /// As `tallied`, after `before` has changed the worker's state.
    fn tallied_after(
        before: impl FnOnce(&mut Tally),
        files: &[&NamedTempFile],
        settings: &TallySettings,
        heartbeats: &Heartbeats,
    ) -> Vec<Recorded> {
        let mut documents = Documents::new();
        documents.add_root(None, Vec::new());
        files.iter().for_each(|file| documents.add(file.path().as_os_str().as_bytes()));
        let writer = SegmentWriter::new(1 << 20, &Store::unlimited()).expect("a segment");
        let segment = writer.segment();
        let mut tally =
            Tally::new(settings, Arc::new(documents), ReadLimit::default(), writer, heartbeats.heartbeat(0));
        before(&mut tally);
        let split = Split { file: 0, kind: SplitKind::Files(files.len() as u32) };
        let part = Part::whole(0, split);
        assert_eq!(tally.part(part), Report::Tallied { end: part.end });
        let (mut terms, mut ngrams) = (Vec::new(), Vec::new());
        let records = segment.records().map(|record| {
            let new = record.term_offsets().filter_map(|at| term_at(segment.bytes(), at));
            terms.extend(new.map(|term| String::from_utf8(term.to_vec()).expect("a term is UTF-8")));
            let spell = |ngram| ngram::word_ids(ngram).map(|word| terms[word as usize].as_str());
            ngrams.extend(record.ngrams().map(|ngram| spell(ngram).collect::<Vec<_>>().join(" ")));
            let spelled = |number: u32| match settings.row_numbers() {
                RowNumbers::Terms => terms[number as usize].clone(),
                RowNumbers::Ngrams => ngrams[number as usize].clone(),
                RowNumbers::Columns(_) => number.to_string(),
            };
            let mut counts = BTreeMap::new();
            for (number, count) in row::pairs(record.row()) {
                *counts.entry(spelled(number)).or_default() += count;
            }
            let (failure, bytes) = (record.failure(), record.source().bytes);
            Recorded { failure, bytes, tokens: record.tokens(), unknown: record.unknown(), counts }
        });
        records.collect()
    }

    /// Fragments that may stand at a chunk boundary, or whose terms depend on bytes across it.
    const FRAGMENTS: [&[u8]; 67] = [
        b"a",
        b"B",
        b"word",
        b"Word's",
        b"x_1",
        b"42",
        b"3.14",
        b"the",
        b"running",
        b"runs",
        b" ",
        b" ",
        b" ",
        b"  ",
        b"\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"\t",
        b"\x0B",
        b"\x0C",
        b"\x1C",
        b"\x1F",
        b"\0",
        b",",
        b". ",
        b"'",
        b":",
        b"^",
        b"`",
        b"-",
        "\u{85}".as_bytes(),
        "\u{A0}".as_bytes(),
        "\u{2003}".as_bytes(),
        "\u{2028}".as_bytes(),
        "\u{3000}".as_bytes(),
        "\u{FEFF}".as_bytes(),
        "Σ".as_bytes(),
        "ΑΣ".as_bytes(),
        "ΟΔΟΣ".as_bytes(),
        "İ".as_bytes(),
        "ẞ".as_bytes(),
        "É".as_bytes(),
        "e\u{301}".as_bytes(),
        "\u{301}".as_bytes(),
        "\u{300}\u{327}".as_bytes(),
        "\u{AD}".as_bytes(),
        "\u{200D}".as_bytes(),
        "ℹ".as_bytes(),
        "´".as_bytes(),
        "\u{37A}".as_bytes(),
        "\u{FE70}".as_bytes(),
        "\u{FDFA}".as_bytes(),
        "\u{FF9E}".as_bytes(),
        "½".as_bytes(),
        "👩\u{200D}💻".as_bytes(),
        "🇩🇪🇫".as_bytes(),
        "日本語の文章".as_bytes(),
        "ภาษาไทย".as_bytes(),
        "ไทยง่าย".as_bytes(),
        "한국".as_bytes(),
        "слово".as_bytes(),
        "हिन्दी".as_bytes(),
        b"\xFF",
        b"\xE4\xB8",
        b"\xF0\x9F\x98",
        b"\x80",
    ];

    fn content() -> impl Strategy<Value = Vec<u8>> {
        let fragment = proptest::sample::select(FRAGMENTS.to_vec()).prop_map(<[u8]>::to_vec);
        let character = any::<char>().prop_map(|c| c.to_string().into_bytes());
        proptest::collection::vec(prop_oneof![12 => fragment, 1 => character], 0..100)
            .prop_map(|parts| parts.concat())
    }

    fn text_settings() -> impl Strategy<Value = TextSettings> {
        let sizes = || (1usize..4, 0usize..3).prop_map(|(least, more)| least..=least + more);
        let pattern = Arc::new(TokenPattern::new(r"\w+\s+\w+").expect("a pattern"));
        let tokenizer = proptest::sample::select(vec![
            Tokenizer::Words,
            Tokenizer::Words,
            Tokenizer::Unicode,
            Tokenizer::Unicode,
            Tokenizer::Pattern(pattern),
        ]);
        let grams = prop_oneof![
            4 => (sizes(), tokenizer).prop_map(|(sizes, tokenizer)| Grams::Words { tokenizer, sizes }),
            3 => sizes().prop_map(|sizes| Grams::Chars { sizes }),
            2 => sizes().prop_map(|sizes| Grams::WordChars { sizes }),
        ];
        let decode_error =
            proptest::sample::select(vec![DecodeError::Strict, DecodeError::Replace, DecodeError::Ignore]);
        let accents =
            proptest::sample::select(vec![None, Some(StripAccents::Unicode), Some(StripAccents::Ascii)]);
        (any::<bool>(), decode_error, accents, grams).prop_map(
            |(lowercase, decode_error, strip_accents, grams)| TextSettings {
                lowercase,
                decode_error,
                strip_accents,
                grams,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn pieces_have_the_terms_of_the_whole(
            contents in proptest::collection::vec(content(), 1..3), text in text_settings(),
            window in 1usize..64, hashed: bool, sifted: bool,
        ) {
            let mut streamed = settings(text, window);
            if hashed {
                streamed.features = Features::Hashed(Buckets { n_features: 50, alternate_sign: true });
            }
            if sifted {
                streamed.term_filter.stop_words = Some(Arc::new(["the", "42"].into_iter().collect::<StopWords>()));
                streamed.term_filter.stemmer = Stemmer::new("english").ok().map(Arc::new);
            }
            let mut whole = streamed.clone();
            whole.reading.window = usize::MAX;
            let heartbeats = Heartbeats::new(1).unwrap();
            let files: Vec<_> = contents.iter().map(|content| file(content)).collect();
            let files: Vec<_> = files.iter().collect();
            prop_assert_eq!(tallied(&files, &streamed, &heartbeats), tallied(&files, &whole, &heartbeats));
        }
    }

    #[test]
    fn a_document_that_fails_in_its_middle_leaves_no_trace() {
        let (first, bad, last) = (
            file(b"one two"),
            file(&[&b"one three ".repeat(20)[..], b"\xFF"].concat()),
            file(b"two one two"),
        );
        for sizes in [1..=1, 1..=2] {
            let settings = settings(words(sizes, Tokenizer::Words), 16);
            let heartbeats = Heartbeats::new(1).unwrap();
            let clean = tallied(&[&first, &last], &settings, &heartbeats);
            let mut found = tallied(&[&first, &bad, &last], &settings, &heartbeats);
            let failed = found.remove(1);
            assert_eq!(found, clean);
            assert_eq!((failed.failure, failed.bytes), (Some(Failure::InvalidUtf8(200)), 201));
            assert_eq!((failed.tokens, failed.counts.len()), (0, 0));
        }
    }

    /// A file that changed while it was read begins again.
    #[test]
    fn a_document_that_is_begun_anew_counts_once() {
        let (large, heartbeats) = (file(&b"one two, two three ".repeat(20)), Heartbeats::new(1).unwrap());
        let grams = [Grams::Chars { sizes: 1..=4 }, Grams::WordChars { sizes: 2..=3 }];
        let texts = grams.map(|grams| TextSettings { grams, ..words(1..=1, Tokenizer::Words) });
        for text in [words(1..=1, Tokenizer::Words), words(1..=3, Tokenizer::Words)].into_iter().chain(texts)
        {
            let settings = settings(text, 50);
            let clean = tallied(&[&large], &settings, &heartbeats);
            let stop = |tally: &mut Tally| {
                let Tally { reader, documents, analyzer, counter, text, .. } = tally;
                let reading = reader.begin(documents, 0, text).expect("a first chunk");
                assert!(!reading.chunk.is_last);
                counter.get().begin_document();
                counter.count(analyzer, text, reading.chunk).expect("it is UTF-8");
            };
            assert_eq!(tallied_after(stop, &[&large], &settings, &heartbeats), clean);
        }
    }

    #[test]
    fn progress_within_a_document_is_noted_and_counted_once() {
        let heartbeats = Heartbeats::new(1).unwrap();
        let large = file(&b"word ".repeat(20));
        let steps = |window: usize| {
            heartbeats.clear();
            tallied(&[&large, &large], &settings(words(1..=1, Tokenizer::Words), window), &heartbeats);
            assert_eq!(heartbeats.done(), (2, 200));
            heartbeats.position(0).steps
        };
        // A chunk is four words. A step follows each chunk but the last of each document.
        assert_eq!((steps(100), steps(25)), (4, 4 + 2 * 4));
    }
}
