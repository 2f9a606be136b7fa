//! Measures each stage of a worker's work, in memory, on one core: `make bench-stages CORPUS=...`.
//!
//! Reads the corpus once, up to a limit. Every run takes each document in its own buffer, as the worker does
//! after reading it.

use bowline_workers::analyzer::chunks::Chunk;
use bowline_workers::analyzer::classes::{Kernel, Masks};
use bowline_workers::analyzer::words::Words;
use bowline_workers::analyzer::{Analyzer, Grams, Span, TermSink, TextSettings, Tokenizer};
use bowline_workers::count::{CountSettings, Features};
use bowline_workers::counted_rows::SegmentRows;
use bowline_workers::dictionary::{Dictionary, Run, RunRange, Spellings, Tier};
use bowline_workers::documents::Documents;
use bowline_workers::hashing::{Buckets, murmur3};
use bowline_workers::heartbeat::Heartbeats;
use bowline_workers::lexicon::{Counter, LocalIds, Ngrams, Numbers, TermFilter, Terms, WordChars};
use bowline_workers::mapped::{Store, Table};
use bowline_workers::matrix_plan::{
    Dtype, MatrixPlan, NO_COLUMN, Norm, Numbering, Places, SegmentPlan, ValueSettings, Weight,
};
use bowline_workers::plan::{Container, Files, Plan, RowDocuments};
use bowline_workers::protocol::{Layout, Report, Task};
use bowline_workers::read_limit::ReadLimit;
use bowline_workers::reader::ReadSettings;
use bowline_workers::records::RecordSettings;
use bowline_workers::segment::{Segment, SegmentWriter};
use bowline_workers::split::{Part, Rows, Split, SplitKind};
use bowline_workers::tally::{Tally, TallySettings};
use bowline_workers::worker::Worker;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Maximum bytes of the corpus that are used: 32 MiB.
const MAX_BYTES: usize = 32 << 20;

fn main() {
    let (documents, bytes) = (corpus().len(), total());
    println!("{documents} documents, {:.1} MB", bytes as f64 / 1e6);
    divan::main();
}

/// The texts of the corpus that are UTF-8.
fn corpus() -> &'static [Vec<u8>] {
    &files().1
}

/// Paths and texts of the corpus.
fn files() -> &'static (Vec<PathBuf>, Vec<Vec<u8>>) {
    static CORPUS: OnceLock<(Vec<PathBuf>, Vec<Vec<u8>>)> = OnceLock::new();
    CORPUS.get_or_init(|| {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/sample");
        let root = std::env::var_os("CORPUS").map_or(sample, PathBuf::from);
        let (mut pending, mut paths, mut documents, mut bytes) = (vec![root], Vec::new(), Vec::new(), 0);
        while let Some(path) = pending.pop() {
            if path.is_dir() {
                let entries = std::fs::read_dir(&path).expect("a readable directory");
                let mut entries: Vec<PathBuf> =
                    entries.map(|entry| entry.expect("an entry").path()).collect();
                entries.sort();
                pending.extend(entries.into_iter().rev());
            } else if let Some(text) =
                std::fs::read(&path).ok().filter(|text| std::str::from_utf8(text).is_ok())
            {
                bytes += text.len();
                documents.push(text);
                paths.push(path);
                if bytes > MAX_BYTES {
                    break;
                }
            }
        }
        (paths, documents)
    })
}

fn total() -> usize {
    corpus().iter().map(Vec::len).sum()
}

/// Runs `each` for every document, in a buffer that `each` may overwrite.
fn over(bencher: Bencher, mut each: impl FnMut(&mut Vec<u8>)) {
    let mut buffer = Vec::new();
    bencher.counter(BytesCount::new(total())).bench_local(|| {
        for document in corpus() {
            buffer.clear();
            buffer.extend_from_slice(document);
            each(&mut buffer);
        }
    });
}

#[divan::bench]
fn validate(bencher: Bencher) {
    over(bencher, |text| assert!(simdutf8::basic::from_utf8(text).is_ok()));
}

#[divan::bench(args = Kernel::available())]
fn classify(bencher: Bencher, kernel: Kernel) {
    let mut masks = Masks::default();
    over(bencher, |text| {
        text.resize(text.len().next_multiple_of(64), 0);
        kernel.classify(text, true, &mut masks);
    });
}

/// Reads the terms and discards them.
struct Seen(u64);

impl TermSink for Seen {
    fn terms(&mut self, text: &[u8], spans: &[Span]) {
        for &[start, end] in spans {
            self.0 = self.0.wrapping_add((text[start as usize] as u32 + end - start) as u64);
        }
    }
}

#[divan::bench(args = Kernel::available())]
fn scan(bencher: Bencher, kernel: Kernel) {
    let (mut words, mut seen) = (Words::new(kernel, true, Default::default()), Seen(0));
    over(bencher, |text| words.scan(text, &mut seen));
    black_box(seen.0);
}

fn settings(grams: Grams) -> TextSettings {
    TextSettings::new(grams)
}

fn words(sizes: std::ops::RangeInclusive<usize>) -> TextSettings {
    settings(Grams::Words { tokenizer: Tokenizer::Words, sizes })
}

/// The whole path from bytes to rows. The lexicon is empty at the start of each run.
fn rows<C: Counter>(bencher: Bencher, settings: &TextSettings, counter: impl Fn() -> C) {
    let mut analyzer = Analyzer::new(settings);
    let mut buffer = Vec::new();
    bencher.counter(BytesCount::new(total())).bench_local(|| {
        let mut counter = counter();
        let mut cells = 0;
        for document in corpus() {
            buffer.clear();
            buffer.extend_from_slice(document);
            counter.begin_document();
            analyzer.analyze(&mut buffer, Chunk::WHOLE, &mut counter).expect("it is UTF-8");
            let (row, numbers) = counter.finish_document();
            cells += row.postings().len();
            if let Numbers::Local(ids) = numbers {
                ids.recorded();
            }
        }
        cells
    });
}

fn local() -> Numbers {
    Numbers::Local(LocalIds::default())
}

fn buckets() -> Numbers {
    Numbers::Buckets(Buckets { n_features: 1 << 20, alternate_sign: true })
}

#[divan::bench]
fn rows_of_words(bencher: Bencher) {
    rows(bencher, &words(1..=1), || Terms::new(TermFilter::default(), local()));
}

#[divan::bench]
fn rows_of_hashed_words(bencher: Bencher) {
    rows(bencher, &words(1..=1), || Terms::new(TermFilter::default(), buckets()));
}

#[divan::bench]
fn rows_of_ngrams_1_2(bencher: Bencher) {
    rows(bencher, &words(1..=2), || Ngrams::new(1..=2, true, TermFilter::default(), local()));
}

#[divan::bench]
fn rows_of_char_wb_3_5(bencher: Bencher) {
    rows(bencher, &settings(Grams::WordChars { sizes: 3..=5 }), || WordChars::new(3..=5, local()));
}

#[divan::bench]
fn rows_of_char_3_3(bencher: Bencher) {
    rows(bencher, &settings(Grams::Chars { sizes: 3..=3 }), || Terms::new(TermFilter::default(), local()));
}

#[divan::bench]
fn hash(bencher: Bencher) {
    over(bencher, |text| {
        text.split(|byte| *byte == b' ').for_each(|word| {
            black_box(murmur3(word));
        });
    });
}

/// Workers whose segments are merged.
const SEGMENTS: usize = 2;

/// The corpus as two workers have tallied it.
fn segments() -> &'static (Arc<Documents>, Vec<Segment>) {
    static SEGMENTS_OF_CORPUS: OnceLock<(Arc<Documents>, Vec<Segment>)> = OnceLock::new();
    SEGMENTS_OF_CORPUS.get_or_init(|| {
        let mut documents = Documents::new();
        documents.add_root(None, Vec::new());
        files().0.iter().for_each(|path| documents.add(path.as_os_str().as_bytes()));
        let documents = Arc::new(documents);
        let settings = TallySettings {
            reading: ReadSettings { embed_binary: true, ..ReadSettings::default() },
            records: RecordSettings::default(),
            counting: CountSettings::new(words(1..=1), Features::Vocabulary),
            worker_memory: u64::MAX,
        };
        let heartbeats = Heartbeats::new(SEGMENTS).expect("a heartbeats");
        let rows = documents.len();
        let tallied = |part: usize| {
            let writer = SegmentWriter::new(1 << 30, &Store::unlimited()).expect("a segment");
            let segment = writer.segment();
            let tally = Tally::new(
                &settings,
                documents.clone(),
                ReadLimit::default(),
                writer,
                heartbeats.heartbeat(part),
            );
            let (first, last) = (part * rows / SEGMENTS, (part + 1) * rows / SEGMENTS);
            let end = (last - first) as u32;
            let split = Split { file: first as u64, kind: SplitKind::Files(end) };
            let task = Task::Tally(Part::whole(part as u32, split));
            assert_eq!(Worker::tallying(tally).perform(task), Report::Tallied { end });
            segment
        };
        (documents.clone(), (0..SEGMENTS).map(tallied).collect())
    })
}

/// A plan without sorted terms.
fn plan(weight: Weight, norm: Norm, dtype: Dtype) -> Arc<Plan> {
    let (documents, segments) = segments();
    let rows = documents.len();
    let whole = [Split { file: 0, kind: SplitKind::Files(rows as u32) }];
    let places = Places::new(rows, &Store::unlimited()).expect("places");
    let indptr: Table<AtomicU64> = Table::new(rows + 1, &Store::unlimited()).expect("offsets");
    let (mut all_ids, mut nonzeros, mut runs) = (0, 0, Vec::new());
    let segments = segments.iter().enumerate().map(|(number, segment)| {
        let (mut ids, mut bytes) = (0, 0);
        for record in segment.records() {
            let row = record.key().split as usize * rows / SEGMENTS + record.key().ordinal as usize;
            places.set(row, number, record.offset());
            ids += record.new_terms() as usize;
            bytes += record.term_bytes();
            indptr[row + 1].store(record.nonzeros() as u64, Ordering::Relaxed);
        }
        all_ids += ids;
        let range = RunRange { start: 0, ids: 0..ids, bytes };
        runs.push(Run::new(number, range, None, false, &Store::unlimited()).expect("tables"));
        SegmentPlan::new(SegmentRows::Records(segment.clone()), 0, ids, false, &Store::unlimited())
            .expect("a table")
    });
    let segments: Vec<SegmentPlan> = segments.collect();
    for offset in indptr.iter() {
        nonzeros += offset.load(Ordering::Relaxed);
        offset.store(nonzeros, Ordering::Relaxed);
    }
    let file = || tempfile::tempfile().expect("a file");
    let matrix = MatrixPlan {
        segments,
        words: Dictionary::new(Vec::new(), false, &Store::unlimited()).expect("a table"),
        terms: Dictionary::new(runs, false, &Store::unlimited()).expect("a table"),
        spellings: Spellings::new(0, &Store::unlimited()).expect("a table"),
        packing: None,
        places,
        numbering: Numbering::LocalIds,
        kept: 1.0..=f64::INFINITY,
        indptr,
        frequencies: Table::new(0, &Store::unlimited()).expect("a table"),
        idf: Table::new(all_ids, &Store::unlimited()).expect("a table"),
        formula: None,
        embedded: rows as u64,
        mean_length: 0.0,
        values: ValueSettings { weight, norm, dtype },
        counts_occurrences: false,
    };
    Arc::new(Plan {
        matrix,
        records: RecordSettings::default(),
        documents: RowDocuments::OfRun(Rows::new(
            documents.clone(),
            whole.into(),
            whole.iter().filter_map(Split::documents),
        )),
        condemned: Default::default(),
        files: Files { matrix: file(), documents: file(), terms: Some(file()) },
        container: Container::Sparse,
        worker_memory: u64::MAX,
    })
}

fn counts() -> Arc<Plan> {
    plan(Weight::Count, Norm::None, Dtype::I32)
}

/// A worker of the second generation.
fn finisher(plan: &Arc<Plan>) -> Worker {
    Worker::finishing(plan.clone(), Heartbeats::new(1).expect("a heartbeats").heartbeat(0))
}

fn sort_all(worker: &mut Worker) {
    for segment in 0..SEGMENTS as u32 {
        assert_eq!(worker.perform(Task::Count { segment }), Report::Done);
    }
    for run in 0..SEGMENTS as u32 {
        assert_eq!(worker.perform(Task::Sort { tier: Tier::Terms, run }), Report::Done);
    }
}

fn merge_all(worker: &mut Worker) -> u64 {
    match worker.perform(Task::Merge { tier: Tier::Terms, low: 0, high: u64::MAX, first: 0 }) {
        Report::Merged { kept, .. } => kept,
        report => panic!("{report:?}"),
    }
}

fn local_terms() -> ItemsCount {
    ItemsCount::new(counts().matrix.segments.iter().map(|segment| segment.columns.len()).sum::<usize>())
}

/// Sorts the local terms of two segments.
#[divan::bench]
fn sort(bencher: Bencher) {
    bencher.counter(local_terms()).with_inputs(|| finisher(&counts())).bench_local_values(|mut worker| {
        sort_all(&mut worker);
        worker
    });
}

/// Merges and numbers the sorted terms of two segments.
#[divan::bench]
fn merge(bencher: Bencher) {
    let sorted = || {
        let mut worker = finisher(&counts());
        sort_all(&mut worker);
        worker
    };
    bencher.counter(local_terms()).with_inputs(sorted).bench_local_values(|mut worker| {
        merge_all(&mut worker);
        worker.perform(Task::Number { tier: Tier::Terms, low: 0, high: u64::MAX, base: 0 });
        worker
    });
}

/// Writes all rows to a file in the directory of temporary files, in memory or on disk.
fn emit(bencher: Bencher, plan: &Arc<Plan>) {
    let mut worker = finisher(plan);
    sort_all(&mut worker);
    let columns = merge_all(&mut worker);
    worker.perform(Task::Number { tier: Tier::Terms, low: 0, high: u64::MAX, base: 0 });
    assert!(plan.matrix.segments[0].columns.iter().all(|column| column.load(Ordering::Relaxed) < NO_COLUMN));
    let rows = plan.matrix.places.len() as u64;
    let nonzeros = plan.matrix.indptr[rows as usize].load(Ordering::Relaxed);
    let layout = Layout { indices: 0, data: nonzeros * 4, columns, wide: false };
    bencher.counter(ItemsCount::new(nonzeros)).bench_local(|| {
        for first in (0..rows).step_by(256) {
            let report = worker.perform(Task::Emit { first, last: (first + 256).min(rows), layout });
            assert!(matches!(report, Report::Emitted { .. }));
        }
    });
}

#[divan::bench]
fn emit_counts(bencher: Bencher) {
    emit(bencher, &counts());
}

#[divan::bench]
fn emit_tfidf(bencher: Bencher) {
    emit(bencher, &plan(Weight::TfIdf { sublinear: false }, Norm::L2, Dtype::F32));
}
