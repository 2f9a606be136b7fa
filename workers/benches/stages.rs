//! What each stage of a worker's work costs, in memory, on one core: `make bench-stages CORPUS=...`.
//!
//! The corpus is read once, up to a limit; every run takes each document in a buffer of its own, as the worker does
//! after reading it.

use bowline_workers::analyzer::classes::{Kernel, Masks};
use bowline_workers::analyzer::decode::DecodeError;
use bowline_workers::analyzer::words::Words;
use bowline_workers::analyzer::{Analyzer, Grams, Span, TermSink, TextSettings, Tokenizer};
use bowline_workers::hashing::{Buckets, murmur3};
use bowline_workers::lexicon::{Counter, LocalIds, Ngrams, Numbers, Sieve, Terms, WordChars};
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Bytes of the corpus that are used.
const MOST_BYTES: usize = 32 << 20;

fn main() {
    let (documents, bytes) = (corpus().len(), total());
    println!("{documents} documents, {:.1} MB", bytes as f64 / 1e6);
    divan::main();
}

/// The documents of the corpus that are UTF-8.
fn corpus() -> &'static [Vec<u8>] {
    static CORPUS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    CORPUS.get_or_init(|| {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/sample");
        let root = std::env::var_os("CORPUS").map_or(sample, PathBuf::from);
        let (mut pending, mut documents, mut bytes) = (vec![root], Vec::new(), 0);
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
                if bytes > MOST_BYTES {
                    break;
                }
            }
        }
        documents
    })
}

fn total() -> usize {
    corpus().iter().map(Vec::len).sum()
}

/// Runs `each` for every document, in a buffer that it may use.
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

/// Looks at the terms and forgets them.
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
    let (mut words, mut seen) = (Words::new(kernel, true), Seen(0));
    over(bencher, |text| words.scan(text, &mut seen));
    black_box(seen.0);
}

fn settings(grams: Grams) -> TextSettings {
    TextSettings { lowercase: true, decode_error: DecodeError::Strict, strip_accents: None, grams }
}

fn words(sizes: std::ops::RangeInclusive<usize>) -> TextSettings {
    settings(Grams::Words { tokenizer: Tokenizer::Words, sizes })
}

/// From bytes to rows, the whole way; the lexicon starts empty each time.
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
            analyzer.analyze(&mut buffer, &mut counter).expect("it is UTF-8");
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
    rows(bencher, &words(1..=1), || Terms::new(Sieve::default(), local()));
}

#[divan::bench]
fn rows_of_hashed_words(bencher: Bencher) {
    rows(bencher, &words(1..=1), || Terms::new(Sieve::default(), buckets()));
}

#[divan::bench]
fn rows_of_ngrams_1_2(bencher: Bencher) {
    rows(bencher, &words(1..=2), || Ngrams::new(1..=2, false, Sieve::default(), local()));
}

#[divan::bench]
fn rows_of_char_wb_3_5(bencher: Bencher) {
    rows(bencher, &settings(Grams::WordChars { sizes: 3..=5 }), || WordChars::new(3..=5, local()));
}

#[divan::bench]
fn rows_of_char_3_3(bencher: Bencher) {
    rows(bencher, &settings(Grams::Chars { sizes: 3..=3 }), || Terms::new(Sieve::default(), local()));
}

#[divan::bench]
fn hash(bencher: Bencher) {
    over(bencher, |text| {
        text.split(|byte| *byte == b' ').for_each(|word| {
            black_box(murmur3(word));
        });
    });
}
