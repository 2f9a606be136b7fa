//! What `bowline embed` computes and writes, option by option, against answers worked out by hand.
//!
//! Corpora are a handful of words. Hash values are the known answers of scikit-learn's `murmurhash3_32`.

use crate::support::{Array, Dir, DocumentLine, Npz, Output};
use serde_json::json;
use std::os::unix::fs::symlink;

type Row = Vec<(usize, f64)>;

/// The matrix, which has the expected rows.
#[track_caller]
fn assert_rows(output: &Output, columns: usize, rows: &[&[(usize, f64)]]) {
    let csr = output.csr();
    assert_eq!(csr.shape, [rows.len(), columns]);
    assert_eq!(csr.rows(), rows.iter().map(|row| row.to_vec()).collect::<Vec<Row>>());
}

fn ok(path: &str, bytes: u64, tokens: u64) -> DocumentLine {
    DocumentLine { path: path.to_owned(), bytes, tokens, status: "ok".to_owned(), cause: None }
}

fn failed(path: &str, bytes: u64, cause: &str) -> DocumentLine {
    let (status, cause) = ("failed".to_owned(), Some(cause.to_owned()));
    DocumentLine { path: path.to_owned(), bytes, tokens: 0, status, cause }
}

fn pets() -> Dir {
    Dir::with_corpus(&[
        ("b.txt", "The cat sat. The cat!\n"),
        ("a.txt", "A dog; the cat"),
        ("c.txt", "Dog dog DOG, 2 cats"),
    ])
}

// h mod 8: hello 7 (+), world 5 (-), quick 5 (+), the 6 (-).
fn greetings() -> Dir {
    Dir::with_corpus(&[("1", "hello world quick"), ("2", "the the THE hello"), ("3", "quick world")])
}

#[test]
fn vocabulary_of_a_corpus() {
    let output = pets().embedded(&[]);
    let terms = [("cat", 2), ("cats", 1), ("dog", 2), ("sat", 1), ("the", 2)];
    assert_eq!(output.vocabulary(), terms.map(|(term, df)| (term.to_owned(), df)));
    assert_eq!(output.documents(), [ok("a.txt", 14, 3), ok("b.txt", 22, 5), ok("c.txt", 19, 4)]);
    let rows: [&[_]; 3] =
        [&[(0, 1.0), (2, 1.0), (4, 1.0)], &[(0, 2.0), (3, 1.0), (4, 2.0)], &[(1, 1.0), (2, 3.0)]];
    assert_rows(&output, 5, &rows);
    assert_eq!(output.csr().data.descr, "<i4");
    assert_eq!(
        output.files().into_keys().collect::<Vec<_>>(),
        ["documents.jsonl", "manifest.json", "matrix.npz", "vocabulary.jsonl"]
    );
}

#[test]
fn manifest_tells_settings_and_counts() {
    let expected = json!({
        "bowline": env!("CARGO_PKG_VERSION"),
        "matrix": "matrix.npz",
        "settings": {
            "text": {
                "max_document_bytes": null, "binary": "fail", "decode_error": "strict", "lowercase": true,
                "strip_accents": null, "analyzer": "word", "ngrams": {"min": 1, "max": 1}, "tokenizer": "pattern",
                "token_pattern": r"(?u)\b\w\w+\b", "stop_words": null, "stem": null,
            },
            "columns": {
                "features": "vocabulary", "fixed_vocabulary": false, "min_df": 1, "max_df": 1.0,
                "max_features": null, "n_features": null, "alternate_sign": null,
            },
            "values": {
                "weight": "count", "sublinear_tf": false, "smooth_idf": true, "bm25": "lucene", "k1": 1.5,
                "b": 0.75, "delta": 0.5, "norm": "none", "dtype": "i32",
            },
        },
        "counts": {
            "documents": 3, "failed": 0, "columns": 5, "nonzeros": 8, "tokens": 12, "unknown": 0,
            "mean_length": 4.0,
        },
    });
    assert_eq!(pets().embedded(&[]).manifest(), expected);
    let options = [
        "--features",
        "hashed",
        "--n-features",
        "9",
        "--norm",
        "l1",
        "--max-document-bytes",
        "1K",
        "--dense",
    ];
    let manifest = pets().embedded(&options).manifest();
    let settings = &manifest["settings"];
    let (text, columns, values) = (&settings["text"], &settings["columns"], &settings["values"]);
    assert_eq!((&manifest["matrix"], &values["dtype"]), (&json!("matrix.npy"), &json!("f32")));
    assert_eq!((&columns["n_features"], &columns["alternate_sign"]), (&json!(9), &json!(true)));
    assert_eq!((&values["norm"], &text["max_document_bytes"]), (&json!("l1"), &json!(1024)));
}

#[test]
fn hashed_terms_have_the_columns_and_signs_of_scikit_learn() {
    let corpus =
        Dir::with_corpus(&[("1", "hello world, the quick 日本語"), ("2", "Hello hello \u{c9}\u{e9} the")]);
    let output = corpus.embedded(&["--features", "hashed"]);
    let first = [(286878, -1.0), (587725, 1.0), (639749, -1.0), (757097, -1.0), (784967, 1.0)];
    let csr = output.csr();
    assert_eq!(csr.shape, [2, 1 << 20]);
    assert_eq!(csr.rows()[0], first);
    let second = &csr.rows()[1];
    assert!(
        second.contains(&(286878, -1.0)) && second.contains(&(784967, 2.0)) && second.len() == 3,
        "{second:?}"
    );
    assert!(!output.files().contains_key("vocabulary.jsonl"));
    assert_eq!(output.documents()[1].tokens, 4);
}

#[test]
fn a_cancelled_pair_stays_as_a_stored_zero() {
    let output = greetings().embedded(&["--features", "hashed", "--n-features", "8"]);
    assert_rows(&output, 8, &[&[(5, 0.0), (7, 1.0)], &[(6, -3.0), (7, 1.0)], &[(5, 0.0)]]);
    assert_eq!(output.manifest()["counts"]["nonzeros"], 5);
}

#[test]
fn without_alternate_sign_all_terms_count_positively() {
    let output = greetings().embedded(&["--features", "hashed", "--n-features", "8", "--no-alternate-sign"]);
    assert_rows(&output, 8, &[&[(5, 2.0), (7, 1.0)], &[(6, 3.0), (7, 1.0)], &[(5, 2.0)]]);
}

#[test]
fn binary_weight_sets_stored_cells_to_one() {
    let output = pets().embedded(&["--weight", "binary"]);
    let rows: [&[_]; 3] =
        [&[(0, 1.0), (2, 1.0), (4, 1.0)], &[(0, 1.0), (3, 1.0), (4, 1.0)], &[(1, 1.0), (2, 1.0)]];
    assert_rows(&output, 5, &rows);
    let output = greetings().embedded(&["--weight", "binary", "--features", "hashed", "--n-features", "8"]);
    assert_rows(&output, 8, &[&[(5, 1.0), (7, 1.0)], &[(6, 1.0), (7, 1.0)], &[(5, 1.0)]]);
}

#[test]
fn norms_divide_rows_and_leave_zero_rows() {
    let dir = Dir::with_corpus(&[("1", "cat cat cat dog dog dog dog"), ("2", ""), ("3", "dog")]);
    let output = dir.embedded(&["--norm", "l2", "--dtype", "f64"]);
    assert_rows(&output, 2, &[&[(0, 0.6), (1, 0.8)], &[], &[(1, 1.0)]]);
    let output = dir.embedded(&["--norm", "l1", "--dtype", "f64", "--force"]);
    assert_rows(&output, 2, &[&[(0, 3.0 / 7.0), (1, 4.0 / 7.0)], &[], &[(1, 1.0)]]);
    let hashed = ["--norm", "l1", "--features", "hashed", "--n-features", "8"];
    assert_rows(
        &greetings().embedded(&hashed),
        8,
        &[&[(5, 0.0), (7, 1.0)], &[(6, -0.75), (7, 0.25)], &[(5, 0.0)]],
    );
}

#[test]
fn value_types() {
    let dir = pets();
    for (option, descr) in [("i32", "<i4"), ("i64", "<i8"), ("f32", "<f4"), ("f64", "<f8")] {
        let csr = dir.embedded(&["--force", "--dtype", option]).csr();
        assert_eq!((csr.data.descr.as_str(), csr.data.numbers()[3]), (descr, 2.0));
        let dense = dir.embedded(&["--force", "--dtype", option, "--dense"]).dense();
        assert_eq!((dense.descr.as_str(), dense.numbers()), (descr, csr.dense()));
    }
    let csr = dir.embedded(&["--force", "--norm", "l2"]).csr();
    assert_eq!((csr.data.descr.as_str(), csr.data.numbers()[0]), ("<f4", (1.0 / 3f64.sqrt()) as f32 as f64));
}

#[test]
fn dense_has_the_values_of_sparse() {
    let variants: [&[&str]; 4] = [
        &[],
        &["--weight", "binary", "--dtype", "i64"],
        &["--norm", "l2", "--dtype", "f64"],
        &["--features", "hashed", "--n-features", "13", "--norm", "l1"],
    ];
    let dir = Dir::with_corpus(&[
        ("1", "cat cat hello world"),
        ("2", ""),
        ("3", "quick dog"),
        ("4", "cat \u{fc}ber"),
    ]);
    for options in variants {
        let sparse = dir.embedded(&[options, &["--force"]].concat()).csr();
        let output = dir.embedded(&[options, &["--force", "--format", "npy"]].concat());
        let dense = output.dense();
        assert_eq!((dense.shape.as_slice(), &dense.descr), (&sparse.shape[..], &sparse.data.descr));
        assert_eq!(dense.numbers(), sparse.dense(), "{options:?}");
        assert_eq!(dense.header % 64, 0);
        assert!(!output.files().contains_key("matrix.npz"));
    }
}

#[test]
fn archive_is_sound_and_aligned() {
    let output = pets().embedded(&["--dtype", "f64"]);
    let members = Npz::read(&output.matrix()).0;
    let names = ["data.npy", "format.npy", "indices.npy", "indptr.npy", "shape.npy"];
    assert_eq!(members.keys().collect::<Vec<_>>(), names);
    for (name, member) in members {
        assert_eq!((member.offset + member.array.header as u64) % 64, 0, "the elements of {name}");
    }
}

#[test]
fn a_flipped_byte_is_seen_by_a_reader_of_the_archive() {
    let dir = pets();
    let output = dir.embedded(&[]);
    let members = Npz::read(&output.matrix()).0;
    let data = &members["data.npy"];
    let mut bytes = output.file("matrix.npz");
    bytes[data.offset as usize + data.array.header] ^= 1;
    dir.write("damaged.npz", bytes);
    let damaged = dir.path("damaged.npz");
    assert!(std::panic::catch_unwind(|| Npz::read(&damaged)).is_err(), "the checksum covers the elements");
}

#[test]
fn rows_are_sorted_by_the_bytes_of_their_paths() {
    let paths = ["Z", "a-b.txt", "a.txt", "a/x", "a/x.txt", "a/x/y", "b", "\u{e9}", "\u{65e5}"];
    // Files can't bear a directory's name, so `a/x` is only one of the two.
    let files: Vec<_> =
        paths.iter().filter(|&&path| path != "a/x").rev().map(|&path| (path, "word")).collect();
    let output = Dir::with_corpus(&files).embedded(&[]);
    assert_eq!(output.paths(), paths.into_iter().filter(|&path| path != "a/x").collect::<Vec<_>>());
}

#[test]
fn several_corpora_keep_their_order_and_prefix_their_paths() {
    let dir = Dir::new();
    for (path, text) in
        [("one/b.txt", "bb"), ("one/a.txt", "aa"), ("two/sub/c.txt", "cc"), ("three.txt", "dd")]
    {
        dir.write(path, text);
    }
    dir.bowline(&["embed", "-o", "out", "two", "three.txt", "one/", "one/b.txt"]).run().expect(0);
    let output = dir.output("out");
    assert_eq!(output.paths(), ["two/sub/c.txt", "three.txt", "one/a.txt", "one/b.txt", "one/b.txt"]);
    assert_rows(&output, 4, &[&[(2, 1.0)], &[(3, 1.0)], &[(0, 1.0)], &[(1, 1.0)], &[(1, 1.0)]]);
}

#[test]
fn a_single_file_is_one_document() {
    let dir = pets();
    dir.bowline(&["embed", "-o", "out", "corpus/b.txt"]).run().expect(0);
    assert_eq!(dir.output("out").documents(), [ok("corpus/b.txt", 22, 5)]);
    assert_eq!(dir.output("out").terms(), ["cat", "sat", "the"]);
}

#[test]
fn hidden_files_are_left_out_unless_asked_for() {
    let files = [(".hidden", "aa"), (".folder/shown.txt", "bb"), ("shown.txt", "cc"), ("a/.b", "dd")];
    let dir = Dir::with_corpus(&files);
    let finished = dir.embed(&[]).run().expect(0);
    assert_eq!(dir.output("out").paths(), ["shown.txt"]);
    assert!(finished.stderr.starts_with("1 document, 3 entries left out, 1 token,"), "{}", finished.stderr);
    assert_eq!(
        dir.embedded(&["--hidden", "--force"]).paths(),
        [".folder/shown.txt", ".hidden", "a/.b", "shown.txt"]
    );
}

#[test]
fn ignore_files_are_not_obeyed() {
    let files = [(".gitignore", "*.txt"), (".ignore", "*.txt"), ("a.txt", "aa"), (".git/HEAD", "bb")];
    assert_eq!(Dir::with_corpus(&files).embedded(&[]).paths(), ["a.txt"]);
}

#[test]
fn globs_include_and_exclude() {
    let dir = Dir::with_corpus(&[("a.txt", "aa"), ("b.md", "bb"), ("sub/c.txt", "cc"), ("sub/d.md", "dd")]);
    let cases: [(&[&str], &[&str]); 13] = [
        (&["--glob", "sub/"], &["sub/c.txt", "sub/d.md"]),
        (&["--glob", "sub/**"], &["sub/c.txt", "sub/d.md"]),
        (&["--glob", "./a.txt"], &["a.txt"]),
        (&["--glob", "!sub/"], &["a.txt", "b.md"]),
        (&["--glob", "!sub", "--glob", "sub/d.*"], &["sub/d.md"]),
        (&["--glob", "{a,c}.{txt,md}"], &["a.txt", "sub/c.txt"]),
        (&["--glob", "*.txt"], &["a.txt", "sub/c.txt"]),
        (&["--glob", "!*.txt"], &["b.md", "sub/d.md"]),
        (&["--glob", "*.txt", "--glob", "!c.*"], &["a.txt"]),
        (&["--glob", "*.txt", "--glob", "*.md"], &["a.txt", "b.md", "sub/c.txt", "sub/d.md"]),
        (&["--glob", "!sub"], &["a.txt", "b.md"]),
        (&["--glob", "/*.txt"], &["a.txt"]),
        (&["--glob", "sub/*.md"], &["sub/d.md"]),
    ];
    for (options, paths) in cases {
        assert_eq!(dir.embedded(&[options, &["--force"]].concat()).paths(), paths, "{options:?}");
    }
}

/// `#` begins a comment in ignore files, and spaces at the end of their lines don't count.
#[test]
fn a_glob_is_no_line_of_an_ignore_file() {
    let dir = Dir::with_corpus(&[("#a", "aa"), ("b", "bb"), ("b ", "cc"), ("!d", "dd"), ("e\\", "ee")]);
    for (glob, path) in
        [("#*", "#a"), ("\\#?", "#a"), ("b ", "b "), ("\\!d", "!d"), ("[!b#e]?", "!d"), ("?\\\\", "e\\\\")]
    {
        assert_eq!(dir.embedded(&["--glob", glob, "--force"]).paths(), [path], "{glob}");
    }
    assert_eq!(dir.embedded(&["--glob", "!!d", "--force"]).paths(), ["#a", "b", "b ", "e\\\\"]);
}

#[test]
fn globs_choose_in_directories_only() {
    let dir = Dir::with_corpus(&[("a.txt", "aa"), ("b.md", "bb")]);
    dir.write("c.md", "cc");
    let run = |corpora: &[&str]| {
        dir.bowline(&["embed", "--force", "--glob", "*.txt", "-o", "out"]).args(corpora).run().expect(0)
    };
    let finished = run(&["corpus", "c.md"]);
    assert_eq!(dir.output("out").paths(), ["corpus/a.txt", "c.md"]);
    assert!(finished.stderr.starts_with("2 documents,"), "{}", finished.stderr);
    let finished = run(&["c.md"]);
    let notice = "bowline: globs apply to the files of a directory, but no CORPUS is a directory (--glob)\n1 document,";
    assert!(finished.stderr.starts_with(notice), "{}", finished.stderr);
}

#[test]
fn record_files_in_a_directory_are_one_document_each_with_a_notice() {
    let files =
        [("a/B.JSONL", "aa"), ("a/c.csv", "bb"), ("d.jsonl", "cc"), ("e.txt", "dd"), ("f.jsonl.gz", "ee")];
    let dir = Dir::with_corpus(&files);
    let finished = dir.embed(&[]).run().expect(0);
    assert_eq!(dir.output("out").paths(), ["a/B.JSONL", "a/c.csv", "d.jsonl", "e.txt", "f.jsonl.gz"]);
    let notice = "bowline: record files and archives are one document each \
                  (1 .csv, 2 .jsonl, 1 .jsonl.gz; such as corpus/a/B.JSONL): \
                  unpack them into a file for each record, or leave them out (--glob '!*.JSONL')\n5 documents,";
    assert!(finished.stderr.starts_with(notice), "{}", finished.stderr);
    let globs = ["--glob", "!*.[jJ]*", "--glob", "!*.csv"];
    let finished = dir.embed(&[&globs[..], &["--force"]].concat()).run().expect(0);
    assert!(finished.stderr.starts_with("1 document,"), "{}", finished.stderr);
    assert_eq!(dir.embed(&["--quiet", "--force"]).run().expect(0).stderr, "");
}

#[test]
fn links_are_not_followed() {
    let dir = Dir::with_corpus(&[("a.txt", "aa"), ("sub/b.txt", "bb")]);
    dir.write("elsewhere.txt", "cc");
    symlink("../elsewhere.txt", dir.path("corpus/file-link")).unwrap();
    symlink("sub", dir.path("corpus/directory-link")).unwrap();
    symlink("..", dir.path("corpus/sub/loop")).unwrap();
    symlink("nowhere", dir.path("corpus/dangling")).unwrap();
    let finished = dir.embed(&[]).run().expect(0);
    assert_eq!(dir.output("out").paths(), ["a.txt", "sub/b.txt"]);
    assert!(finished.stderr.contains("2 documents, 4 entries left out,"), "{}", finished.stderr);
}

#[test]
fn links_are_followed_on_request_and_each_file_is_taken_once() {
    let dir = Dir::with_corpus(&[("b.txt", "one"), ("sub/c.txt", "two"), ("sub/deep/d.txt", "three")]);
    dir.write("elsewhere/e.txt", "four");
    dir.write("alone.txt", "five");
    for (target, link) in [
        ("../alone.txt", "corpus/file-link"),
        ("../alone.txt", "corpus/second-link"),
        ("sub", "corpus/same-directory"),
        ("../elsewhere", "corpus/a-directory"),
        ("..", "corpus/sub/loop"),
        ("nowhere", "corpus/dangling"),
        ("circle", "corpus/circle"),
    ] {
        symlink(target, dir.path(link)).unwrap();
    }
    let expected =
        ["a-directory/e.txt", "b.txt", "file-link", "same-directory/c.txt", "same-directory/deep/d.txt"];
    for (mode, workers) in [("processes", "1"), ("processes", "3"), ("threads", "2"), ("inline", "1")] {
        let options = ["--follow", "--force", "--mode", mode, "--workers", workers];
        let finished = dir.embed(&options).run().expect(0);
        assert_eq!(dir.output("out").paths(), expected);
        assert!(finished.stderr.contains("5 entries left out"), "{}", finished.stderr);
    }
}

#[test]
fn links_to_folders_above_are_left_out() {
    let dir = Dir::new();
    for (path, text) in [
        ("all/corpus/a.txt", "aa"),
        ("all/corpus/sub/b.txt", "bb"),
        ("all/sibling/c.txt", "cc"),
        ("other/place/d.txt", "dd"),
        ("other/e.txt", "ee"),
        ("second/corpus/f.txt", "ff"),
        ("second/g.txt", "gg"),
    ] {
        dir.write(path, text);
    }
    for (target, link) in [
        ("..", "all/corpus/up"),
        ("../../..", "all/corpus/sub/further-up"),
        ("/", "all/corpus/root"),
        ("up", "all/corpus/by-another-link"),
        ("../sibling", "all/corpus/sibling"),
        ("../../other/place", "all/corpus/place"),
        ("..", "other/place/up"),
        ("..", "all/corpus/sub/loop"),
        ("../../second", "all/corpus/to-second"),
    ] {
        symlink(target, dir.path(link)).unwrap();
    }
    let run = |corpora: &[&str]| {
        dir.bowline(&["embed", "--follow", "--force", "--no-sync", "-o", "out"]).args(corpora).run().expect(0)
    };
    let notice = |count: usize, link: &str| {
        let links = if count == 1 { "link" } else { "links" };
        format!("bowline: left out {count} {links} to folders above them or above CORPUS, such as {link}\n")
    };
    let mut expected = vec![
        "a.txt",
        "place/d.txt",
        "sibling/c.txt",
        "sub/b.txt",
        "to-second/corpus/f.txt",
        "to-second/g.txt",
    ];
    for corpus in ["all/corpus", "all/corpus/"] {
        let finished = run(&[corpus]);
        assert_eq!(dir.output("out").paths(), expected);
        assert!(finished.stderr.starts_with(&notice(5, "all/corpus/by-another-link")), "{}", finished.stderr);
        assert!(finished.stderr.contains("6 documents, 6 entries left out"), "{}", finished.stderr);
    }
    // A folder that contains another CORPUS is above, too.
    expected.truncate(4);
    let finished = run(&["all/corpus", "second/corpus"]);
    let expected: Vec<_> = expected.iter().map(|path| format!("all/corpus/{path}")).collect();
    assert_eq!(dir.output("out").paths(), [&expected[..], &["second/corpus/f.txt".to_owned()]].concat());
    assert!(finished.stderr.starts_with(&notice(6, "all/corpus/by-another-link")), "{}", finished.stderr);
    // What is above one CORPUS and in another is walked from there.
    let finished = run(&["all"]);
    assert!(finished.stderr.starts_with(&notice(3, "all/corpus/place/up")), "{}", finished.stderr);
}

#[test]
fn a_corpus_that_is_itself_a_link_is_read() {
    let dir = pets();
    symlink("corpus", dir.path("directory-link")).unwrap();
    symlink("corpus/b.txt", dir.path("file-link")).unwrap();
    dir.bowline(&["embed", "-o", "out", "directory-link", "file-link"]).run().expect(0);
    let paths = ["directory-link/a.txt", "directory-link/b.txt", "directory-link/c.txt", "file-link"];
    assert_eq!(dir.output("out").paths(), paths);
}

#[test]
fn special_files_are_left_out_unopened() {
    let dir = Dir::with_corpus(&[("a.txt", "aa")]);
    // Whoever opens a pipe without a writer waits: the time limit of the run would tell.
    nix::unistd::mkfifo(&dir.path("corpus/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    // No socket is bound: its path may be longer than an address can be.
    let mode = nix::sys::stat::Mode::S_IRWXU;
    nix::sys::stat::mknod(&dir.path("corpus/socket"), nix::sys::stat::SFlag::S_IFSOCK, mode, 0).unwrap();
    let finished = dir.embed(&[]).run().expect(0);
    assert_eq!(dir.output("out").paths(), ["a.txt"]);
    assert!(finished.stderr.contains("1 document, 2 entries left out,"), "{}", finished.stderr);
}

#[test]
fn a_document_may_be_as_large_as_the_limit() {
    let dir = Dir::with_corpus(&[("a", "12345"), ("b", "123456"), ("c", "")]);
    let finished = dir.embed(&["--max-document-bytes", "5"]).run().expect(3);
    let documents = [ok("a", 5, 1), failed("b", 6, "too large: 6 bytes"), ok("c", 0, 0)];
    assert_eq!(dir.output("out").documents(), documents);
    let told = "bowline: b: too large: 6 bytes (--max-document-bytes sets the limit)\n3 documents, 1 failed,";
    assert!(finished.stderr.starts_with(told), "{}", finished.stderr);
    let text = "word ".repeat(205);
    let dir = Dir::with_corpus(&[("1024", &text[..1024]), ("1025", &text)]);
    let output = dir.embedded_with(3, &["--max-document-bytes", "1K"]);
    assert_eq!(output.failures(), [(1, "too large: 1025 bytes".to_owned())]);
}

#[test]
fn binary_documents_fail_or_are_embedded() {
    let mut late = vec![b' '; 8192];
    late.extend_from_slice(b"\0late");
    let mut just = vec![b' '; 8191];
    just.extend_from_slice(b"\0just");
    let dir = Dir::with_corpus(&[("a", &b"ab\0cd"[..]), ("b", &just), ("c", &late)]);
    let finished = dir.embed(&[]).run().expect(3);
    let output = dir.output("out");
    assert_eq!(output.documents(), [failed("a", 5, "binary"), failed("b", 8196, "binary"), ok("c", 8197, 1)]);
    assert!(
        finished.stderr.contains("bowline: a: binary (--binary embed accepts it)\n"),
        "{}",
        finished.stderr
    );
    assert_rows(&output, 1, &[&[], &[], &[(0, 1.0)]]);
    let output = dir.embedded(&["--binary", "embed", "--force"]);
    assert_eq!(output.terms(), ["ab", "cd", "just", "late"]);
}

/// No option that the program names makes text of it that has no words.
#[test]
fn text_in_utf_16_or_32_fails_as_such() {
    let utf16 =
        |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let utf32 = |text: &str, bytes: fn(u32) -> [u8; 4]| text.chars().flat_map(|c| bytes(c as u32)).collect();
    let (plain, marked) = ("The cat sat.\r\n", "\u{FEFF}The cat sat.\r\n");
    let dir = Dir::with_corpus(&[
        ("a", utf16(marked, u16::to_le_bytes)),
        ("b", utf16(marked, u16::to_be_bytes)),
        ("c", utf32(marked, u32::to_le_bytes)),
        ("d", utf32(marked, u32::to_be_bytes)),
        // No NUL in it.
        ("e", utf16("\u{FEFF}\u{732B}\u{5EA7}", u16::to_le_bytes)),
        ("f", marked.as_bytes().to_vec()),
    ]);
    let causes = ["UTF-16", "UTF-16", "UTF-32", "UTF-32", "UTF-16"].map(str::to_owned);
    let expected: Vec<_> = causes.into_iter().enumerate().collect();
    let ways = ["strict", "replace", "ignore"].map(|way| ["--binary", "embed", "--decode-error", way]);
    for options in [&[][..], &["--decode-error", "ignore"]].into_iter().chain(ways.iter().map(|way| &way[..]))
    {
        let finished = dir.embed(options).args(&["--force"]).run().expect(3);
        let output = dir.output("out");
        assert_eq!(output.failures(), expected, "{options:?}");
        assert_eq!(output.documents()[5].tokens, 3);
        let hint = "bowline: a: UTF-16 (iconv -f UTF-16 -t UTF-8 converts it)\n";
        assert!(finished.stderr.contains(hint), "{}", finished.stderr);
    }
    let dir = Dir::with_corpus(&[
        ("a", utf16(plain, u16::to_le_bytes)),
        ("b", utf16(plain, u16::to_be_bytes)),
        ("c", utf32(plain, u32::to_le_bytes)),
        ("d", b"NUL\0between\0words\0".to_vec()),
    ]);
    let finished = dir.embed(&[]).run().expect(3);
    let causes = ["binary, perhaps UTF-16", "binary, perhaps UTF-16", "binary, perhaps UTF-32", "binary"];
    let causes: Vec<_> = causes.map(str::to_owned).into_iter().enumerate().collect();
    assert_eq!(dir.output("out").failures(), causes);
    let hint = "bowline: a: binary, perhaps UTF-16 (iconv -f UTF-16LE -t UTF-8 converts it, or UTF-16BE; ";
    assert!(finished.stderr.contains(hint), "{}", finished.stderr);
}

/// Files of the kernel, whose size is 0 or 4096 whatever they hold.
#[test]
fn a_file_whose_size_is_made_up_is_read_to_its_end() {
    let dir = pets();
    let paths = ["/proc/version", "/proc/sys/kernel/ostype", "/sys/kernel/mm/transparent_hugepage/enabled"];
    let paths = paths.map(|path| (path, std::fs::read(path).unwrap_or_default()));
    // Not every system has all of them.
    let paths: Vec<_> = paths.into_iter().filter(|(_, content)| !content.is_empty()).collect();
    for mode in ["processes", "threads", "inline"] {
        let files: Vec<_> = paths.iter().map(|(path, _)| *path).collect();
        dir.embed(&["--force", "--mode", mode]).args(&files).run().expect(0);
        let documents = dir.output("out").documents();
        for (path, content) in &paths {
            let line = documents.iter().find(|line| line.path == *path).expect("a line");
            assert_eq!((line.bytes, &*line.status), (content.len() as u64, "ok"), "{path} {mode}");
            assert!(line.tokens > 0, "{path} {mode}");
        }
        let limited = ["--force", "--mode", mode, "--max-document-bytes", "5", "/proc/version"];
        let finished = dir.embed(&limited).run().expect(3);
        let line =
            "bowline: /proc/version: too large: more than 5 bytes (--max-document-bytes sets the limit)\n";
        assert!(finished.stderr.contains(line), "{}", finished.stderr);
    }
}

#[test]
fn invalid_utf_8_fails_is_replaced_or_left_out() {
    let dir = Dir::with_corpus(&[("a", &b"ab\xFFcd ef"[..]), ("b", b"ef")]);
    let output = dir.embedded_with(3, &[]);
    assert_eq!(output.documents(), [failed("a", 8, "invalid UTF-8 at byte 2"), ok("b", 2, 1)]);
    assert_rows(&output, 1, &[&[], &[(0, 1.0)]]);
    let output = dir.embedded(&["--decode-error", "replace", "--force"]);
    assert_eq!(output.terms(), ["ab", "cd", "ef"]);
    assert_rows(&output, 3, &[&[(0, 1.0), (1, 1.0), (2, 1.0)], &[(2, 1.0)]]);
    assert_eq!(dir.embedded(&["--decode-error", "ignore", "--force"]).terms(), ["abcd", "ef"]);
    let output = dir.embedded_with(3, &["--decode-error", "strict", "--force"]);
    assert_eq!(output.failures(), [(0, "invalid UTF-8 at byte 2".to_owned())]);
}

#[test]
fn a_failed_document_counts_in_no_frequency_and_no_mean() {
    let dir = Dir::with_corpus(&[("a", &b"cat \xFF"[..]), ("b", b"cat dog"), ("c", b"")]);
    let output = dir.embedded_with(3, &[]);
    assert_eq!(output.vocabulary(), [("cat".to_owned(), 1), ("dog".to_owned(), 1)]);
    let counts = json!({
        "documents": 3, "failed": 1, "columns": 2, "nonzeros": 2, "tokens": 2, "unknown": 0, "mean_length": 1.0,
    });
    assert_eq!(output.manifest()["counts"], counts);
}

#[test]
fn capitals_are_lowered_unless_kept() {
    let dir = Dir::with_corpus(&[("a", "Cat cat CAT \u{39f}\u{394}\u{39f}\u{3a3} \u{130}x stra\u{df}e")]);
    // The final sigma is ς; U+0130 is lowered to `i` and a mark, which is no word character.
    assert_eq!(dir.embedded(&[]).terms(), ["cat", "stra\u{df}e", "\u{3bf}\u{3b4}\u{3bf}\u{3c2}"]);
    let kept = ["CAT", "Cat", "cat", "stra\u{df}e", "\u{130}x", "\u{39f}\u{394}\u{39f}\u{3a3}"];
    assert_eq!(dir.embedded(&["--no-lowercase", "--force"]).terms(), kept);
}

#[test]
fn an_empty_document_is_a_row_of_zeroes() {
    let dir = Dir::with_corpus(&[("a", ""), ("b", "cat"), ("c", "? ! x")]);
    let output = dir.embedded(&[]);
    assert_eq!(output.documents(), [ok("a", 0, 0), ok("b", 3, 1), ok("c", 5, 0)]);
    assert_rows(&output, 1, &[&[], &[(0, 1.0)], &[]]);
    assert_eq!(dir.embedded(&["--dense", "--force"]).dense().numbers(), [0.0, 1.0, 0.0]);
}

#[test]
fn odd_paths_are_told_reversibly() {
    let paths: [&[u8]; 5] = [b"a\nb.txt", b"back\\slash", b"byte-\xFF", b"byte-\\xFF", b"quote\"tab\t"];
    let files: Vec<_> = paths.iter().map(|path| (path, "word")).collect();
    let output = Dir::with_corpus(&files).embedded(&[]);
    let told = ["a\nb.txt", "back\\\\slash", "byte-\\\\xFF", "byte-\\xFF", "quote\"tab\t"];
    assert_eq!(output.paths(), told);
    assert_eq!(output.csr().shape, [5, 1]);
}

#[test]
fn report_tells_phases_counts_and_usage() {
    let dir = Dir::with_corpus(&[("a", &b"cat dog cat"[..]), ("b", b"\xFF"), ("c", b"")]);
    dir.embed(&["--report", "report.json", "--workers", "2", "--mode", "processes"]).run().expect(3);
    let report = dir.report();
    let counts = json!({
        "bowline": env!("CARGO_PKG_VERSION"), "mode": "processes", "workers": 2, "documents": 3, "failed": 1,
        "bytes": 12, "tokens": 3, "columns": 2, "nonzeros": 2, "workers_lost": 0,
    });
    for (field, value) in counts.as_object().unwrap() {
        assert_eq!(&report[field], value, "{field}");
    }
    let phases = report["phases"].as_array().unwrap();
    let names: Vec<_> = phases.iter().map(|phase| phase["phase"].as_str().unwrap()).collect();
    assert_eq!(names, ["walk", "tally", "merge", "emit", "publish"]);
    let sum: f64 = phases.iter().map(|phase| phase["seconds"].as_f64().unwrap()).sum();
    let seconds = report["seconds"].as_f64().unwrap();
    assert!(sum > 0.0 && (sum - seconds).abs() < 1e-6, "{sum} of {seconds}");
    let usage = report["usage"].as_array().unwrap();
    assert!(!usage.is_empty() && usage.iter().all(|one| one["user_seconds"].as_f64().is_some()), "{usage:?}");
}

#[test]
fn summary_says_what_was_done() {
    let dir = pets();
    let finished = dir.embed(&[]).run().expect(0);
    let (counts, rest) = finished.stderr.split_once('\n').expect("two lines");
    assert_eq!(counts, "3 documents, 12 tokens, 5 columns, 8 non-zeros");
    assert!(rest.starts_with("0.0 MB in ") && rest.contains(" s, ") && rest.contains(" MB/s, in "), "{rest}");
    assert!(rest.ends_with("/out\n") && rest.matches('\n').count() == 1, "{rest}");
    assert_eq!(finished.stdout, "");
}

#[test]
fn summary_names_ten_failures_and_counts_the_others() {
    let names: Vec<_> = (10..23).map(|number| number.to_string()).collect();
    let files: Vec<_> = names.iter().map(|name| (name, b"\xFF")).collect();
    let dir = Dir::with_corpus(&files);
    let finished = dir.embed(&[]).run().expect(3);
    let lines: Vec<_> = finished.stderr.lines().collect();
    let first = "bowline: 10: invalid UTF-8 at byte 0 (iconv -t UTF-8 converts it from its encoding; ";
    assert!(lines[0].starts_with(first), "{lines:?}");
    assert!(lines[9].starts_with("bowline: 19: "), "{lines:?}");
    assert_eq!(lines[10], "bowline: and 3 more failed; documents.jsonl lists all");
    assert!(lines[11].starts_with("13 documents, 13 failed, 0 tokens, 0 columns, 0 non-zeros"), "{lines:?}");
    assert_eq!(lines.len(), 13);
}

#[test]
fn quiet_prints_nothing() {
    let dir = pets();
    for (options, code) in [(&["--quiet"][..], 0), (&["-q", "--force", "--max-document-bytes", "15"], 3)] {
        let finished = dir.embed(options).run().expect(code);
        assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("", ""));
    }
}

#[test]
fn progress_is_drawn_anywhere_if_asked_for() {
    let finished = pets().embed(&["--progress", "always", "--quiet"]).run().expect(0);
    assert!(finished.stderr.contains("walking"), "{}", finished.stderr);
    let finished = pets().embed(&["--progress", "never", "--quiet"]).run().expect(0);
    assert_eq!(finished.stderr, "");
}

#[test]
fn help_and_version_go_to_standard_output() {
    let dir = Dir::new();
    let version = dir.bowline(&["--version"]).run().expect(0);
    let expected = concat!("bowline ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!((version.stdout.as_str(), version.stderr.as_str()), (expected, ""));
    let help = dir.bowline(&["embed", "--help"]).run().expect(0);
    for heading in ["Output:", "Documents:", "Terms:", "Columns:", "Values:", "Running:"] {
        assert!(help.stdout.contains(heading), "{heading}");
    }
}

#[test]
fn force_replaces_an_output() {
    let dir = pets();
    dir.embedded(&["--dense"]);
    let output = dir.embedded(&["--force"]);
    assert!(!output.files().contains_key("matrix.npy"), "nothing of the old output stays");
    assert_eq!(dir.entries(), ["corpus", "out"]);
}

#[test]
fn output_may_be_an_empty_directory_if_forced() {
    let dir = pets();
    std::fs::create_dir(dir.path("out")).unwrap();
    assert_eq!(dir.embedded(&["--force"]).paths().len(), 3);
}

#[test]
fn synced_output_is_the_same() {
    let dir = pets();
    let fast = dir.embedded(&[]).files();
    dir.bowline(&["embed", "-o", "synced/", "corpus"]).run().expect(0);
    assert_eq!(dir.output("synced").files(), fast);
}

/// The reader itself: NumPy's example of a header, and what it refuses.
#[test]
fn reader_of_arrays_is_strict() {
    let bytes = |shape: &str, elements: &[u8]| {
        let text = format!("{{'descr': '<i4', 'fortran_order': False, 'shape': {shape}, }}\n");
        [&b"\x93NUMPY\x01\x00"[..], &(text.len() as u16).to_le_bytes(), text.as_bytes(), elements].concat()
    };
    assert_eq!(Array::parse(&bytes("(2,)", &[1, 0, 0, 0, 255, 255, 255, 255])).integers(), [1, -1]);
    assert!(std::panic::catch_unwind(|| Array::parse(&bytes("(3,)", &[0; 8]))).is_err());
    assert!(std::panic::catch_unwind(|| Array::parse(b"\x93NUMPY\x02\x00")).is_err());
}
