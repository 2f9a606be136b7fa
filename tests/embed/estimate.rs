//! `--estimate`: what a run is expected to come to.

use crate::support::{Dir, Random};
use serde_json::Value;
use std::fs;

/// The estimate of the corpus with these options, as JSON.
fn estimate(dir: &Dir, options: &[&str]) -> Value {
    let mut arguments = vec!["embed", "--estimate=json", "--workers", "2"];
    arguments.extend(options);
    let run = dir.bowline(&arguments).run().expect(0);
    serde_json::from_str(&run.stdout).expect("JSON")
}

/// The name of each number of an estimate, and its interval.
fn interval(estimate: &Value, name: &str) -> [u64; 3] {
    ["low", "value", "high"]
        .map(|part| estimate[name][part].as_u64().unwrap_or_else(|| panic!("{name} {part}")))
}

fn pets() -> Dir {
    Dir::with_corpus(&[
        ("b.txt", "The cat sat. The cat!\n"),
        ("a.txt", "A dog; the cat"),
        ("c.txt", "Dog dog DOG, 2 cats"),
    ])
}

/// Bytes of all files of an output.
fn bytes(dir: &Dir, output: &str) -> u64 {
    let files = fs::read_dir(dir.path(output)).expect("an output");
    files.map(|file| file.expect("a file").metadata().expect("its size").len()).sum()
}

#[test]
fn a_small_corpus_is_read_whole_and_its_numbers_are_exact() {
    let dir = pets();
    dir.write("records.jsonl", "{\"text\": \"one two\"}\n{\"text\": \"two three\"}\n{\"other\": 1}\n");
    let cases: [&[&str]; 10] = [
        &["corpus"],
        &["--ngrams", "1:2", "corpus"],
        &["--min-df", "2", "corpus"],
        &["--max-features", "2", "corpus"],
        &["--features", "hashed", "--n-features", "16", "--hash-terms", "corpus"],
        &["--weight", "tfidf", "corpus"],
        &["--dense", "corpus"],
        &["--format", "parquet", "corpus"],
        &["--format", "mtx", "corpus"],
        &["records.jsonl", "corpus"],
    ];
    for (number, options) in cases.into_iter().enumerate() {
        let found = estimate(&dir, options);
        let output = format!("out{number}");
        let mut arguments = vec!["embed", "--no-sync", "--output", &output];
        arguments.extend(options);
        dir.bowline(&arguments).run();
        let manifest = fs::read(dir.path(&output).join("manifest.json")).expect("a manifest");
        let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
        assert_eq!(found["is_exact"], true, "{options:?}");
        for name in ["documents", "failed", "tokens", "columns", "nonzeros"] {
            let count = manifest["counts"][name].as_u64().expect("a count");
            assert_eq!(interval(&found, name), [count; 3], "{name} {options:?}");
        }
        assert_eq!(interval(&found, "output_bytes"), [bytes(&dir, &output); 3], "{options:?}");
    }
}

#[test]
fn nothing_is_written() {
    let dir = pets();
    dir.write("corpus/bad.txt", b"\xff\xfe\xfd");
    let run = dir.bowline(&["embed", "--estimate", "--output", "out", "corpus"]).run().expect(0);
    assert_eq!(dir.entries(), ["corpus"]);
    let text = run.stdout;
    assert!(text.contains("documents                              4"), "{text}");
    assert!(text.contains("about 25.0 % of documents would fail: "), "{text}");
    assert!(text.contains("exact, but for memory and seconds: all was read, 4 documents"), "{text}");
    dir.bowline(&["embed", "--estimate", "--scratch", ".", "corpus"]).run().expect(0);
    assert_eq!(dir.entries(), ["corpus"]);
    // An output that is there stays, and is no part of the corpus.
    dir.bowline(&["embed", "--output", "corpus/out", "corpus"]).run().expect(3);
    let found = estimate(&dir, &["--output", "corpus/out", "--force", "corpus"]);
    assert_eq!(interval(&found, "documents"), [4; 3]);
    assert!(dir.path("corpus/out/manifest.json").exists());
}

#[test]
fn wrong_use_is_refused_as_without_it() {
    let dir = pets();
    let run = |arguments: &[&str]| dir.bowline(&[&["embed"], arguments].concat()).run();
    let wrong: [&[&str]; 4] = [
        &["corpus"],
        &["--estimate", "corpus", "--report", "report.json"],
        &["--estimate=yaml", "corpus"],
        &["--estimate", "--max-features", "0", "corpus"],
    ];
    wrong.iter().for_each(|arguments| drop(run(arguments).expect(2)));
    run(&["--estimate", "absent"]).expect(1);
    let refused = run(&["--estimate", "--scratch", "absent", "corpus"]).expect(1);
    assert!(
        refused.line().contains("absent: cannot hold the sample's temporary files"),
        "{}",
        refused.line()
    );
    let refused = run(&["--estimate", "--min-df", "4", "corpus"]).expect(1);
    assert!(refused.line().contains("a term must occur in 4 documents or more"), "{}", refused.line());
    assert_eq!(dir.entries(), ["corpus"]);
}

/// A text of some words, of which many are rare.
fn text(random: &mut Random, words: usize) -> String {
    let word = |_| {
        let rank = (1.0 / (random.below(1_000_000) as f64 / 1e6 + 1e-6)).powf(1.1) as u64;
        format!("word{rank}")
    };
    (0..words).map(word).collect::<Vec<_>>().join(" ")
}

/// Requires that an estimate from a sample holds what the run comes to, and that it is the same each time.
#[track_caller]
fn assert_holds(dir: &Dir, options: &[&str]) {
    let found = estimate(dir, options);
    assert_eq!(found["is_exact"], false);
    let mut arguments = vec!["embed", "--no-sync", "--force", "--output", "out", "--report", "report.json"];
    arguments.extend(options);
    dir.bowline(&arguments).run();
    let report = dir.report();
    let sampled = found["sampled_bytes"].as_u64().expect("a number");
    assert!(sampled < report["bytes"].as_u64().expect("bytes") * 9 / 10, "{options:?}: {sampled}");
    for name in ["documents", "failed", "tokens", "columns", "nonzeros"] {
        let count = report[name].as_u64().expect("a count");
        let [low, value, high] = interval(&found, name);
        assert!(low <= value && value <= high, "{name}");
        assert!((low..=high).contains(&count), "{options:?}: {count} {name}, not {low} to {high}");
    }
    let [low, _, high] = interval(&found, "output_bytes");
    let real = bytes(dir, "out");
    assert!((low..=high).contains(&real), "{options:?}: {real} bytes, not {low} to {high}");
    let again = estimate(dir, options);
    for name in ["documents", "columns", "nonzeros", "output_bytes", "sampled_documents"] {
        assert_eq!(again[name], found[name], "{name}");
    }
}

#[test]
fn a_sample_of_files_holds_the_numbers_of_all() {
    let mut random = Random::new(7);
    let dir = Dir::with_corpus(&[("0.txt", "first")]);
    for number in 1..1500 {
        let words = 100 + random.below(900);
        let text = match number % 50 {
            0 => "\u{0}\u{1} binary".to_owned(),
            _ => text(&mut random, words),
        };
        dir.add(format!("{number}.txt").as_bytes(), text.as_bytes());
    }
    assert_holds(&dir, &["corpus"]);
    assert_holds(&dir, &["--min-df", "2", "--format", "svmlight", "corpus"]);
}

#[test]
fn a_sample_of_records_holds_the_numbers_of_all() {
    let mut random = Random::new(8);
    let dir = Dir::new();
    let mut lines = String::new();
    for number in 0..12_000 {
        let words = 20 + random.below(100);
        lines += &format!("{{\"id\": {number}, \"text\": \"{}\"}}\n", text(&mut random, words));
    }
    dir.write("records.jsonl", &lines);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, lines.as_bytes()).expect("room");
    dir.write("records.jsonl.gz", packed.finish().expect("room"));
    assert_holds(&dir, &["records.jsonl"]);
    assert_holds(&dir, &["--features", "hashed", "--n-features", "1024", "records.jsonl.gz"]);
}

#[test]
fn samples_of_long_documents_and_of_none() {
    let dir = Dir::with_corpus(&[("large.txt", "lorem ipsum dolor sit amet ".repeat(250_000))]);
    for number in 0..40 {
        dir.add(format!("{number}.txt").as_bytes(), format!("alpha beta gamma{number} delta").as_bytes());
    }
    dir.write("blank.jsonl", "\n".repeat(6 << 20));
    // The large file is not read, but it has its part of the tokens.
    let found = estimate(&dir, &["corpus"]);
    assert_eq!(interval(&found, "documents"), [41; 3]);
    let [low, _, high] = interval(&found, "tokens");
    assert!((low..=high).contains(&1_250_160), "{low} to {high}");
    let run = dir.bowline(&["embed", "--estimate", "blank.jsonl"]).run().expect(1);
    assert!(run.line().ends_with("blank.jsonl: no documents found"), "{}", run.line());
    // Records that are longer than the ranges of the sample.
    let record = format!("{{\"text\": \"{}\"}}\n", "lorem ipsum ".repeat(100_000));
    dir.write("long.jsonl", record.repeat(6));
    let [low, _, high] = interval(&estimate(&dir, &["long.jsonl"]), "documents");
    assert!((low..=high).contains(&6), "{low} to {high}");
}
