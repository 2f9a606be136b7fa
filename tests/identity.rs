//! The promise of equal bytes: the output does not depend on the mode, the number of workers, the time of day, the
//! working directory or the path by which the corpus is named.
//!
//! The reference is the inline mode, which has one worker.

use crate::support::{Dir, Output, Random, assert_same_bytes, repository};
use std::os::unix::fs::symlink;

/// Numbers of workers: fewer and more than cores. None divides the documents evenly.
const WORKERS: [&str; 5] = ["1", "2", "3", "7", "13"];

/// Settings that use different code paths.
const VOCABULARY: &[&str] = &[];
const HASHED: &[&str] = &["--features", "hashed", "--n-features", "500"];
const BINARY: &[&str] = &["--weight", "binary", "--dtype", "i64"];
const L2: &[&str] = &["--norm", "l2", "--dtype", "f64"];
const DENSE: &[&str] = &["--dense", "--norm", "l1"];

/// Some hundred documents in folders: most are fine, some are empty, some fail.
fn generated() -> Dir {
    let mut random = Random::new(2026);
    let dir = Dir::with_corpus(&[("empty.txt", "")]);
    for number in 0..400 {
        let words = random.below(60);
        let mut content = random.text(words).into_bytes();
        match number % 40 {
            7 => content.push(0xFF),
            19 => content.insert(0, 0),
            23 => content.clear(),
            _ => {}
        }
        let path =
            format!("{}/{}.txt", ["a", "a-b", "b/c", "\u{e9}"][random.below(4)], random.below(1 << 30));
        dir.add(path.as_bytes(), &content);
    }
    dir
}

/// Runs the corpus in every mode with every number of workers.
fn assert_identity(dir: &Dir, corpus: &str, code: i32, options: &[&str]) {
    let embedded = |mode: &str, workers: &str| {
        let output = format!("{mode}-{workers}");
        let fixed = ["embed", "--no-sync", "--output", &output, "--mode", mode, "--workers", workers];
        dir.bowline(&fixed).args(options).args(&[corpus]).run().expect(code);
        dir.output(&output)
    };
    let reference = embedded("inline", "1");
    assert!(reference.documents().len() >= 100, "the corpus is large enough to be shared out");
    for mode in ["processes", "threads"] {
        for workers in WORKERS {
            let context = format!("{corpus} {options:?}: {mode} with {workers} workers");
            assert_same_bytes(&reference, &embedded(mode, workers), &context);
        }
    }
}

fn assert_identity_of_generated(options: &[&str]) {
    let dir = generated();
    assert_identity(&dir, "corpus", 3, options);
    let causes: Vec<_> = dir.output("inline-1").failures().into_iter().map(|(_, cause)| cause).collect();
    let binary = causes.iter().filter(|&cause| cause == "binary").count();
    assert_eq!((binary, causes.len()), (10, 20), "both kinds of failures are there: {causes:?}");
}

fn assert_identity_of_sample(options: &[&str]) {
    let sample = repository().join("data/sample");
    assert_identity(&Dir::new(), sample.to_str().expect("a path of UTF-8"), 0, options);
}

#[test]
fn vocabulary_of_a_generated_corpus() {
    assert_identity_of_generated(VOCABULARY);
}

#[test]
fn hashed_features_of_a_generated_corpus() {
    assert_identity_of_generated(HASHED);
}

#[test]
fn binary_weight_of_a_generated_corpus() {
    assert_identity_of_generated(BINARY);
}

#[test]
fn norm_of_a_generated_corpus() {
    assert_identity_of_generated(L2);
}

#[test]
fn dense_matrix_of_a_generated_corpus() {
    assert_identity_of_generated(DENSE);
}

#[test]
fn vocabulary_of_the_sample() {
    assert_identity_of_sample(VOCABULARY);
}

#[test]
fn hashed_features_of_the_sample() {
    assert_identity_of_sample(HASHED);
}

#[test]
fn binary_weight_of_the_sample() {
    assert_identity_of_sample(BINARY);
}

#[test]
fn norm_of_the_sample() {
    assert_identity_of_sample(L2);
}

#[test]
fn dense_matrix_of_the_sample() {
    assert_identity_of_sample(DENSE);
}

/// Every counter, every way to number columns, and every weight.
#[test]
fn options_of_the_vectorizers() {
    for options in [
        "--ngrams 1:3 --min-df 2",
        "--analyzer char --ngrams 1:4 --max-features 500",
        "--analyzer char-wb --ngrams 2:5 --weight tfidf --sublinear-tf",
        "--weight bm25 --bm25 atire --norm l2 --stop-words english --stem english",
        "--features hashed --n-features 700 --weight tfidf --hash-terms",
        "--features hashed --analyzer char --ngrams 3 --no-alternate-sign --weight bm25 --n-features 700",
        "--token-pattern [a-z]+(?=[a-z]) --max-df 0.5",
        "--tokenizer unicode --strip-accents unicode",
    ] {
        assert_identity_of_sample(&options.split(' ').collect::<Vec<_>>());
    }
}

#[test]
fn run_again() {
    let dir = generated();
    let embedded = |output: &str| {
        dir.embed_to(output, &[]).run().expect(3);
        dir.output(output)
    };
    assert_same_bytes(&embedded("first"), &embedded("second"), "the same command twice");
}

#[test]
fn documents_written_in_another_order() {
    let files: Vec<_> =
        (0..60).map(|number| (format!("{number}.txt"), Random::new(number).text(20))).collect();
    let reversed: Vec<_> = files.iter().rev().collect();
    let there = Dir::with_corpus(&files).embedded(&[]);
    let back = Dir::new();
    reversed.into_iter().for_each(|(path, text)| back.add(path.as_bytes(), text.as_bytes()));
    assert_same_bytes(&there, &back.embedded(&[]), "the order of the files' creation");
}

#[test]
fn another_working_directory_and_other_names_of_the_corpus() {
    let dir = generated();
    let reference: Output = dir.embedded_with(3, &[]);
    symlink("corpus", dir.path("link")).unwrap();
    std::fs::create_dir(dir.path("elsewhere")).unwrap();
    let absolute = dir.path("corpus");
    let absolute = absolute.to_str().expect("a path of UTF-8");
    let ways =
        [(".", "./corpus/"), (".", "link"), (".", absolute), ("elsewhere", "../corpus"), ("corpus", ".")];
    for (number, (directory, corpus)) in ways.into_iter().enumerate() {
        let name = format!("out-{number}");
        let output = dir.path(&name);
        let invocation = dir.bowline(&["embed", "--output"]).args(&[output]).args(&[corpus]);
        invocation.within(&dir.path(directory)).run().expect(3);
        assert_same_bytes(&reference, &dir.output(&name), &format!("{corpus} from {directory}"));
    }
}
