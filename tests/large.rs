//! Documents that are read in pieces: larger than a worker's memory, or with a failure in the middle.
//!
//! A window holds 128 KiB. The unit tests of `tally` check the contents of pieces and terms across their ends.

use crate::support::{Dir, Random, assert_costs_only_themselves, assert_same_bytes};

/// Counts line by line, so that a repeated text has a multiple of its terms.
fn text(words: usize) -> String {
    let mut text = Random::new(words as u64).text(words);
    text.push('\n');
    text
}

/// A corpus of one file, `times` the same text.
fn repeated(text: &str, times: usize) -> Dir {
    Dir::with_corpus(&[("large.txt", text.repeat(times))])
}

#[test]
fn a_document_larger_than_memory() {
    let text = text(150_000);
    let times = (64 << 20) / text.len() + 1;
    let small = repeated(&text, 1).embedded(&[]);
    let dir = repeated(&text, times);
    let large = dir.embedded(&["--worker-memory", "32M", "--memory", "16M"]);
    assert_eq!(large.file("vocabulary.jsonl"), small.file("vocabulary.jsonl"));
    let expected: Vec<_> =
        small.csr().rows()[0].iter().map(|&(column, count)| (column, count * times as f64)).collect();
    assert_eq!(large.csr().rows(), [expected]);
    let (large_document, small_document) = (&large.documents()[0], &small.documents()[0]);
    assert_eq!(large_document.bytes, (text.len() * times) as u64);
    assert_eq!(large_document.tokens, small_document.tokens * times as u64);
    dir.embed_to("roomy", &["--worker-memory", "1G", "--mode", "threads"]).run().expect(0);
    assert_same_bytes(&large, &dir.output("roomy"), "with much memory");
}

#[test]
fn a_large_document_of_characters_or_unicode_words_in_little_memory() {
    let text = text(20_000);
    let dir = repeated(&text, (9 << 20) / text.len());
    for options in [&["--analyzer", "char", "--ngrams", "1:2"][..], &["--tokenizer", "unicode"]] {
        let output = dir.embedded(&[options, &["--worker-memory", "48M", "--force"]].concat());
        let roomy = ["--worker-memory", "1G", "--mode", "inline", "--force"];
        dir.embed_to("roomy", &[options, &roomy].concat()).run().expect(0);
        assert_same_bytes(&output, &dir.output("roomy"), "with much memory");
    }
}

#[test]
fn a_large_document_that_fails_in_its_middle_leaves_no_trace() {
    let dir = Dir::with_corpus(&[("a.txt", "the cat"), ("c.txt", "the dog")]);
    let clean = dir.embedded(&[]);
    let mut bad = b"only here, the cat\n".repeat((9 << 20) / 19);
    let middle = bad.len() / 2;
    bad[middle] = 0xFF;
    dir.add(b"b.txt", &bad);
    let cause = format!("invalid UTF-8 at byte {middle}");
    for workers in ["1", "2"] {
        dir.embed_to("found", &["--force", "--workers", workers]).run().expect(3);
        assert_costs_only_themselves(&clean, &dir.output("found"), &[(1, &cause)], workers);
    }
}

#[test]
fn progress_moves_within_a_document() {
    let text = text(20_000);
    let dir = repeated(&text, (48 << 20) / text.len());
    let finished = dir.embed(&["--progress", "always", "--analyzer", "char"]).run().expect(0);
    // The progress counts the document only when all of it is counted.
    let within = |line: &&str| line.contains(" 0/1 ") && line.contains("MiB, ");
    assert!(finished.stderr.lines().any(|line| within(&line)), "{}", finished.stderr);
}
