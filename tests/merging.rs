//! Parts of a corpus and their merge: the same bytes as one run, and what can't be merged.

use crate::support::{Dir, Output, Random, assert_same_bytes};
use serde_json::json;
use std::fs;
use std::process::Command;

/// Some hundred documents in folders, a few of which fail, and record files of several MiB, so that they are divided.
fn corpus() -> Dir {
    let mut random = Random::new(27);
    let dir = Dir::with_corpus(&[("empty.txt", "")]);
    for number in 0..100 {
        let words = random.below(40);
        let mut content = random.text(words).into_bytes();
        match number % 25 {
            7 => content.push(0xFF),
            19 => content.clear(),
            _ => {}
        }
        dir.add(format!("{}/{}.txt", ["a", "b", "\u{e9}"][random.below(3)], number).as_bytes(), &content);
    }
    let mut lines = String::new();
    while lines.len() < 3 << 20 {
        let number = random.below(1 << 30);
        let text = random.text(200);
        match number % 50 {
            0 => lines.push_str("{\"text\": null}\n"),
            1 => lines.push_str("broken\n"),
            _ => lines.push_str(&format!("{{\"id\": \"d{number}\", \"text\": \"{text}\"}}\n")),
        }
    }
    dir.write("records.jsonl", &lines);
    let mut rows = String::from("id,text\n");
    while rows.len() < 2 << 20 {
        rows.push_str(&format!("{},\"{}\n{}\"\n", random.below(1000), random.text(50), random.text(50)));
    }
    dir.write("records.csv", &rows);
    dir
}

const CORPORA: &[&str] = &["corpus", "records.jsonl", "records.csv"];

/// Embeds parts of the corpora and returns the names of their outputs.
fn embed_parts(dir: &Dir, of: usize, options: &[&str]) -> Vec<String> {
    (1..=of)
        .map(|part| {
            let (output, shard) = (format!("part-{part}-of-{of}"), format!("{part}/{of}"));
            let fixed = ["embed", "--no-sync", "--force", "--output", &output, "--shard", &shard];
            let finished = dir.bowline(&fixed).args(options).args(CORPORA).run();
            let code = finished.status.code();
            assert!(code == Some(0) || code == Some(3), "{shard}: {}", finished.stderr);
            output
        })
        .collect()
}

fn whole(dir: &Dir, options: &[&str]) -> Output {
    let fixed = ["embed", "--no-sync", "--force", "--output", "whole"];
    dir.bowline(&fixed).args(options).args(CORPORA).run().expect(3);
    dir.output("whole")
}

fn merged(dir: &Dir, parts: &[String], options: &[&str]) -> Output {
    dir.bowline(&["merge", "--no-sync", "--force", "--output", "merged"])
        .args(options)
        .args(parts)
        .run()
        .expect(3);
    dir.output("merged")
}

/// What is merged of parts that were counted with `counting` is what one run with the same options gives.
fn assert_merges(counting: &[&str], values: &[&[&str]]) {
    let dir = corpus();
    for of in [1, 3, 8] {
        let parts = embed_parts(&dir, of, counting);
        for values in values {
            let whole = whole(&dir, &[counting, values].concat());
            for running in [&["--workers", "1"][..], &["--mode", "threads", "--workers", "3"]] {
                let context = format!("{of} parts, {counting:?} {values:?} {running:?}");
                assert_same_bytes(&whole, &merged(&dir, &parts, &[*values, running].concat()), &context);
            }
        }
    }
}

#[test]
fn parts_merge_to_the_bytes_of_one_run() {
    assert_merges(
        &[],
        &[
            &[],
            &["--weight", "tfidf", "--min-df", "2", "--max-df", "0.9", "--max-features", "300"],
            &["--weight", "bm25", "--format", "parquet"],
        ],
    );
}

#[test]
fn parts_with_hashed_terms_merge_to_the_bytes_of_one_run() {
    assert_merges(
        &["--features", "hashed", "--n-features", "500", "--no-alternate-sign"],
        &[&[], &["--weight", "tfidf"], &["--weight", "bm25", "--dtype", "f64"]],
    );
}

#[test]
fn parts_with_ngrams_merge_to_the_bytes_of_one_run() {
    assert_merges(&["--ngrams", "1:2"], &[&["--weight", "binary", "--max-features", "1000"]]);
}

#[test]
fn more_parts_than_documents_are_empty_and_merge() {
    let dir = Dir::with_corpus(&[("a", "one two"), ("b", "")]);
    let whole = dir.embedded(&[]);
    let parts: Vec<String> = (1..=5).map(|part| format!("part-{part}")).collect();
    for (part, output) in (1..).zip(&parts) {
        let shard = format!("{part}/5");
        dir.embed_to(output, &["--shard", &shard]).run().expect(0);
    }
    let rows = parts.iter().map(|output| dir.output(output).documents().len()).sum::<usize>();
    assert_eq!(rows, 2);
    dir.bowline(&["merge", "--output", "merged"]).args(&parts).run().expect(0);
    assert_same_bytes(&whole, &dir.output("merged"), "five parts of two documents");
}

#[test]
fn documents_are_appended_and_weighed_again() {
    let dir = Dir::with_corpus(&[("a", "one two two"), ("b", "two three")]);
    dir.write("more/c", "four two");
    let embed = |output: &str, options: &[&str]| {
        dir.bowline(&["embed", "--output", output]).args(options).run().expect(0);
    };
    embed("first", &["corpus"]);
    embed("second", &["more"]);
    dir.bowline(&["merge", "--force", "--output", "first", "first", "second"]).run().expect(0);
    let first = dir.output("first");
    assert_eq!(first.paths(), ["a", "b", "c"]);
    assert_eq!(first.terms(), ["four", "one", "three", "two"]);
    assert_eq!(first.csr().dense(), [0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
    // One output alone gets other values.
    dir.write("all/a", "one two two");
    dir.write("all/b", "two three");
    dir.write("all/c", "four two");
    embed("expected", &["--weight", "tfidf", "all"]);
    dir.bowline(&["merge", "--weight", "tfidf", "--output", "weighed", "first"]).run().expect(0);
    assert_same_bytes(&dir.output("expected"), &dir.output("weighed"), "counts that are weighed");
}

/// Merging these is refused with these words, and nothing is written.
fn assert_refused(dir: &Dir, code: i32, outputs: &[&str], words: &str) {
    let before = dir.entries();
    let finished = dir.bowline(&["merge", "--output", "merged"]).args(outputs).run().expect(code);
    assert_eq!(finished.line(), words);
    assert_eq!(dir.entries(), before, "nothing is written");
}

#[test]
fn what_does_not_go_together_is_refused() {
    let dir = Dir::with_corpus(&[("a", "one two"), ("b", "two three"), ("c", "four")]);
    let embed = |output: &str, options: &[&str]| {
        dir.embed_to(output, options).run().expect(0);
    };
    embed("counts", &[]);
    embed("bigrams", &["--ngrams", "1:2"]);
    embed("hashed", &["--features", "hashed"]);
    embed("fewer", &["--features", "hashed", "--n-features", "8"]);
    embed("named", &["--features", "hashed", "--n-features", "8", "--hash-terms"]);
    embed("tfidf", &["--weight", "tfidf"]);
    embed("normed", &["--norm", "l1"]);
    embed("pruned", &["--min-df", "2"]);
    embed("given", &["--vocabulary", "counts"]);
    embed("dense", &["--dense"]);
    for part in ["1", "2", "3"] {
        embed(part, &["--shard", &format!("{part}/3")]);
    }
    embed("1of2", &["--shard", "1/2"]);
    for (output, merge) in [("counts", json!("terms")), ("hashed", json!("buckets")), ("1", json!("terms"))] {
        assert_eq!(dir.output(output).manifest()["merge"], merge, "{output}");
    }
    for output in ["named", "tfidf", "normed", "pruned", "given", "dense"] {
        assert_eq!(dir.output(output).manifest()["merge"], json!(null), "{output}");
    }
    let ngrams = r#"bigrams: its ngrams is {"max":2,"min":1}, but that of counts is {"max":1,"min":1}"#;
    assert_refused(&dir, 2, &["counts", "bigrams"], ngrams);
    let features = r#"hashed: its features is "hashed", but that of counts is "vocabulary""#;
    assert_refused(&dir, 2, &["counts", "hashed"], features);
    assert_refused(
        &dir,
        2,
        &["hashed", "fewer"],
        "fewer: its n_features is 8, but that of hashed is 1048576",
    );
    let named = "named: a merge can't make hash_terms.jsonl, which it has";
    assert_refused(&dir, 1, &["named"], named);
    let tfidf = "tfidf: it has values of tfidf, and only counts can be merged";
    assert_refused(&dir, 1, &["counts", "tfidf"], tfidf);
    let normed = "normed: it has rows divided by their norm (l1), and only counts can be merged";
    assert_refused(&dir, 1, &["normed"], normed);
    assert_refused(&dir, 1, &["pruned"], "pruned: terms were pruned from it that a merge needs");
    let given = "given: its vocabulary was given, so terms are missing that a merge needs";
    assert_refused(&dir, 1, &["given"], given);
    let dense = "dense: its matrix is matrix.npy, and only matrix.npz can be merged";
    assert_refused(&dir, 1, &["dense"], dense);
    assert_refused(&dir, 2, &["1", "2"], "part 3 of 3 is missing");
    assert_refused(&dir, 2, &["2", "1", "3"], "2: it is part 2 of 3, where part 1 of 3 is expected");
    assert_refused(&dir, 2, &["1", "2", "2"], "2: it is part 2 of 3, where part 3 of 3 is expected");
    assert_refused(&dir, 2, &["1", "2", "3", "3"], "3: it is part 3 of 3, behind all 3 parts");
    assert_refused(&dir, 2, &["1of2", "2", "3"], "2: it is part 2 of 3, where part 2 of 2 is expected");
    assert_refused(&dir, 2, &["1", "counts"], "counts: it is no part of a corpus, but other outputs are");
    assert_refused(&dir, 1, &["corpus"], "corpus: no output of bowline: it has no manifest.json");
}

#[test]
fn a_damaged_output_is_refused() {
    let dir = Dir::with_corpus(&[("a", "one two"), ("b", "two three")]);
    let damaged = |file: &str, damage: &dyn Fn(Vec<u8>) -> Vec<u8>, words: &str| {
        dir.embed_to("out", &["--force"]).run().expect(0);
        let path = dir.path("out").join(file);
        fs::write(&path, damage(fs::read(&path).expect("a file"))).expect("a file");
        assert_refused(&dir, 1, &["out"], words);
    };
    let first_line = |bytes: Vec<u8>| bytes.split_inclusive(|&byte| byte == b'\n').next().unwrap().to_vec();
    damaged("documents.jsonl", &first_line, "out/documents.jsonl: 1 lines, but 2 rows");
    damaged("documents.jsonl", &|_| Vec::new(), "out/documents.jsonl: 0 lines, but 2 rows");
    damaged("vocabulary.jsonl", &first_line, "out/vocabulary.jsonl: 1 lines, but 3 columns");
    let reversed = |bytes: Vec<u8>| {
        let mut lines: Vec<_> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
        lines.reverse();
        lines.concat()
    };
    damaged("vocabulary.jsonl", &reversed, "out/vocabulary.jsonl: its terms are not in order");
    let frequency =
        |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replacen("\"df\":2", "\"df\":1", 1).into();
    let words = "out/vocabulary.jsonl: line 3: its df is 1, but the term is in 2 rows";
    damaged("vocabulary.jsonl", &frequency, words);
    let failed =
        |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replacen("\"ok\"", "\"failed\"", 1).into();
    let words = "out/documents.jsonl: 1 failed documents, but manifest.json says 0";
    damaged("documents.jsonl", &failed, words);
    let shorter = |bytes: Vec<u8>| bytes[..bytes.len() - 9].to_vec();
    damaged("matrix.npz", &shorter, "out/matrix.npz: not the matrix that manifest.json describes");
    let value = |mut bytes: Vec<u8>| {
        let counts = [1, 0, 0, 0].repeat(4);
        let start = bytes.windows(16).rposition(|four| four == counts).expect("the counts");
        bytes[start..start + 4].copy_from_slice(&i32::MIN.to_le_bytes());
        bytes
    };
    damaged("matrix.npz", &value, "out/matrix.npz: not the matrix that manifest.json describes");
}

#[test]
fn parts_that_can_not_be_merged_are_said_to_be() {
    let dir = Dir::with_corpus(&[("a", "one two"), ("b", "two three")]);
    let finished = dir.embed(&["--shard", "1/2", "--weight", "tfidf"]).run().expect(0);
    let notice = "the parts can't be merged: each has values of tfidf, and only counts can be merged";
    assert!(finished.stderr.contains(notice), "{}", finished.stderr);
    for shard in ["0/2", "3/2", "1", "1/0", "a/b"] {
        let finished = dir.embed_to("no", &["--shard", shard]).run().expect(2);
        assert!(finished.stderr.contains("two numbers, as 1/8 to 8/8"), "{}", finished.stderr);
    }
}

/// The line of docs/BEYOND_ONE_MACHINE.md, in which a part is killed halfway and resumed.
#[test]
fn parts_run_by_gnu_parallel_and_are_resumed() {
    if !Command::new("parallel").arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("left out: there is no GNU parallel");
        return;
    }
    let dir = corpus();
    let whole = whole(&dir, &["--weight", "tfidf"]);
    let program = crate::support::bowline();
    // The first attempt of part 3 is killed once it has counted something.
    let script = format!(
        r#"
        set -eu
        part() {{
            if [ "$1" = 3 ] && [ ! -e killed ]; then
                : >killed
                timeout --signal KILL 0.05 {0} embed --resume --quiet --no-sync --output "part-$1" --shard "$1/4" {1} || true
                return 1
            fi
            {0} embed --resume --quiet --no-sync --output "part-$1" --shard "$1/4" {1} || [ $? = 3 ]
        }}
        export -f part
        HOME="$PWD" parallel --retries 2 --jobs 2 part ::: 1 2 3 4
        {0} merge --quiet --no-sync --weight tfidf --output merged part-1 part-2 part-3 part-4 || [ $? = 3 ]
        "#,
        program.display(),
        CORPORA.join(" ")
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(dir.path(""))
        .env("PARALLEL_SHELL", "/bin/bash")
        .output()
        .expect("bash");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(dir.path("killed").exists());
    assert_same_bytes(&whole, &dir.output("merged"), "four parts by GNU parallel");
}
