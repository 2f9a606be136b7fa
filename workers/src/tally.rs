//! The first phase of a worker: from documents to records.
//!
//! Reads and tokenises each document once, one chunk after the other, and appends its row and its new terms to the
//! segment. A failed document becomes a record with a cause. If the analyzer panics, the worker records that failure
//! and then retires.

use crate::about::About;
use crate::analyzer::chunks::Chunk;
use crate::count::{CountSettings, Counted, DocumentCounter};
use crate::documents::{Documents, Source};
use crate::failure::Failure;
#[cfg(feature = "faults")]
use crate::faults;
use crate::heartbeat::Heartbeat;
use crate::protocol::Report;
use crate::read_limit::ReadLimit;
use crate::reader::{ReadSettings, Reader};
use crate::records::{OpenRecords, RecordReader, RecordSettings};
use crate::segment::{AppendError, Outcome, SegmentWriter};
use crate::split::{Key, Part, RecordRange, STATES, SplitKind, UNKNOWN_STATE};
use std::cell::Cell;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The settings of the tally.
#[derive(Clone)]
pub struct TallySettings {
    /// Which files are read, and which fail.
    pub reading: ReadSettings,
    /// How to find the documents of record files.
    pub records: RecordSettings,
    /// The step from texts to rows. A worker retires when its lexicon is full.
    pub counting: CountSettings,
    /// Bytes of private memory that a worker process may take.
    pub worker_memory: u64,
}

/// The wait before a worker reads a document again: 10 ms, in which other processes may release a resource.
pub(crate) const SECOND_TRY: Duration = Duration::from_millis(10);

/// The state of a worker in the first phase.
pub struct Tally {
    documents: Arc<Documents>,
    reader: Reader,
    counter: DocumentCounter,
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
        let counter = DocumentCounter::new(&settings.counting);
        let reader = Reader::new(settings.reading, counter.chunk_boundary(), read_limit);
        let records = RecordReader::new(
            settings.records.clone(),
            settings.reading,
            counter.chunk_boundary(),
            settings.counting.text.decode_error,
            reader.read_limit().clone(),
        );
        Tally {
            documents,
            reader,
            counter,
            worker_memory: settings.worker_memory,
            segment,
            heartbeat,
            text: Vec::new(),
            is_whole: false,
            records,
            about: About::default(),
            about_bytes: Vec::new(),
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
        (panicked || !self.counter.has_memory()).then_some(Report::Retired { next: key.ordinal + 1 })
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
        let Tally { reader, counter, text, heartbeat, is_whole, about, .. } = self;
        let read = open.records.next(text)?;
        open.about(about);
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
            counter.begin();
            loop {
                counter.count(text, chunk)?;
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
            open.about(about);
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
        let Tally { reader, documents, counter, text, heartbeat, is_whole, about, .. } = self;
        about.clear();
        let mut reading = reader.begin(documents, row, text)?;
        #[cfg(feature = "faults")]
        faults::act(text).map_err(|errno| (reading.source, errno.into()))?;
        counter.begin();
        loop {
            counter.count(text, reading.chunk).map_err(|failure| (reading.source, failure))?;
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
        let Tally { counter, segment, text, is_whole, about, about_bytes, .. } = self;
        // `text` contains the last chunk.
        let counted = counter.finish(is_whole.then_some(text));
        about.encode(about_bytes);
        let Counted { tokens, unknown, row, nonzeros, terms, ngrams, absence } = counted;
        segment.commit(&Outcome {
            key,
            source,
            failure: None,
            tokens,
            absence,
            unknown,
            row,
            nonzeros,
            terms,
            ngrams,
            about: about_bytes,
        })?;
        counter.recorded();
        Ok(())
    }

    fn commit_failure(&mut self, key: Key, source: Source, failure: Failure) -> Result<(), AppendError> {
        self.about.encode(&mut self.about_bytes);
        let nothing = Outcome::nothing(key);
        self.segment.commit(&Outcome { source, failure: Some(failure), about: &self.about_bytes, ..nothing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyzer::accents::StripAccents;
    use crate::analyzer::decode::DecodeError;
    use crate::analyzer::pattern::TokenPattern;
    use crate::analyzer::stems::Stemmer;
    use crate::analyzer::stop_words::StopWords;
    use crate::analyzer::{Grams, TextSettings, Tokenizer};
    use crate::count::Features;
    use crate::hashing::Buckets;
    use crate::heartbeat::Heartbeats;
    use crate::mapped::Store;
    use crate::ngram;
    use crate::row;
    use crate::segment::RowNumbers;
    use crate::segment::term_at;
    use crate::split::Split;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::io::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    use tempfile::NamedTempFile;

    fn file(content: &[u8]) -> NamedTempFile {
        let mut file = NamedTempFile::new().expect("a file");
        file.write_all(content).expect("room for it");
        file
    }

    fn settings(text: TextSettings, window: usize) -> TallySettings {
        TallySettings {
            reading: ReadSettings { embed_binary: true, window, ..ReadSettings::default() },
            records: RecordSettings::default(),
            counting: CountSettings::new(text, Features::Vocabulary),
            worker_memory: u64::MAX,
        }
    }

    fn words(sizes: std::ops::RangeInclusive<usize>, tokenizer: Tokenizer) -> TextSettings {
        let grams = Grams::Words { tokenizer, sizes };
        TextSettings::new(grams)
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
            let spelled = |number: u32| match settings.counting.row_numbers() {
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
                unicode: Default::default(),
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
                streamed.counting.features = Features::Hashed(Buckets { n_features: 50, alternate_sign: true });
            }
            if sifted {
                streamed.counting.term_filter.stop_words = Some(Arc::new(["the", "42"].into_iter().collect::<StopWords>()));
                streamed.counting.term_filter.stemmer = Stemmer::new("english").ok().map(Arc::new);
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
                let Tally { reader, documents, counter, text, .. } = tally;
                let reading = reader.begin(documents, 0, text).expect("a first chunk");
                assert!(!reading.chunk.is_last);
                counter.begin();
                counter.count(text, reading.chunk).expect("it is UTF-8");
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
