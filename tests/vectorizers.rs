//! Subjects beyond the goldens: fit once and transform later, named buckets, contradictory options.
//!
//! The goldens compare every option with scikit-learn. These tests compare the rows of two runs.

use crate::support::{Dir, assert_same_bytes};
use serde_json::{Value, json};

fn pets() -> Dir {
    Dir::with_corpus(&[
        ("a.txt", "a dog; the cat"),
        ("b.txt", "the cat sat. the cat!"),
        ("c.txt", "dog dog dog, 2 cats"),
    ])
}

fn words(list: &str) -> Vec<String> {
    list.split(' ').map(str::to_owned).collect()
}

/// A transform of the fitted corpus gives the rows of the fit.
#[test]
fn transforming_the_fitted_corpus_changes_nothing() {
    for options in [
        "--ngrams 1:2 --no-lowercase",
        "--weight tfidf --sublinear-tf --dtype f64",
        "--weight bm25 --k1 2 --norm l2",
        "--analyzer char-wb --ngrams 2:3 --weight tfidf --no-smooth-idf",
        "--features hashed --n-features 64 --weight tfidf",
        "--stop-words english --stem english",
        "--token-pattern [a-z]+ --strip-accents ascii",
    ] {
        let dir = pets();
        let options: Vec<&str> = options.split(' ').collect();
        dir.embed_to("model", &options).run().expect(0);
        dir.embed_to("again", &["--vocabulary", "model"]).run().expect(0);
        let (model, again) = (dir.output("model"), dir.output("again"));
        assert_eq!(again.file("matrix.npz"), model.file("matrix.npz"), "{options:?}");
        for name in ["vocabulary.jsonl", "idf.npy"] {
            assert_eq!(again.files().get(name), model.files().get(name), "{options:?}: {name}");
        }
        assert_eq!(again.manifest()["settings"]["text"], model.manifest()["settings"]["text"]);
    }
}

#[test]
fn a_transform_knows_only_the_fitted_terms() {
    let dir = pets();
    dir.embed_to("model", &["--weight", "tfidf"]).run().expect(0);
    dir.write("new/x.txt", "cat bird bird dog");
    let finished = dir.bowline(&["embed", "--vocabulary", "model", "-o", "out", "new"]).run().expect(0);
    assert!(finished.stderr.contains("50.0 % of them unknown to the vocabulary"), "{}", finished.stderr);
    let (model, out) = (dir.output("model"), dir.output("out"));
    assert_eq!(out.terms(), model.terms());
    // Both terms occur in two of the three documents: the same idf, so the same values.
    let half = (0.5f32).sqrt() as f64;
    let rows = out.csr().rows();
    assert_eq!(rows[0].iter().map(|cell| cell.0).collect::<Vec<_>>(), [0, 2]);
    assert!(rows[0].iter().all(|cell| (cell.1 - half).abs() < 1e-6), "{rows:?}");
    assert_eq!(out.manifest()["counts"]["unknown"], json!(2));
}

#[test]
fn what_contradicts_the_fit_is_refused() {
    let dir = pets();
    dir.embed_to("model", &["--ngrams", "1:2"]).run().expect(0);
    for (option, value) in
        [("--ngrams", "1:3"), ("--analyzer", "char"), ("--features", "hashed"), ("--stop-words", "english")]
    {
        let finished = dir.embed(&["--vocabulary", "model", option, value]).run().expect(2);
        assert!(finished.line().starts_with(option), "{}", finished.stderr);
    }
    let finished = dir.embed(&["--vocabulary", "model", "--weight", "tfidf"]).run().expect(2);
    assert!(finished.line().contains("idf"), "{}", finished.stderr);
    // Equal options, and options that only change values, are accepted.
    dir.embed_to("same", &["--vocabulary", "model", "--ngrams", "1:2", "--norm", "l1"]).run().expect(0);
    assert_eq!(dir.entries(), ["corpus", "model", "same"]);
}

#[test]
fn buckets_named_by_their_terms() {
    let dir = pets();
    let options = ["--features", "hashed", "--n-features", "2"];
    let plain = dir.embedded(&options);
    dir.embed_to("named", &[&options[..], &["--hash-terms"]].concat()).run().expect(0);
    let named = dir.output("named");
    assert_eq!(named.file("matrix.npz"), plain.file("matrix.npz"));
    let lines = String::from_utf8(named.file("hash_terms.jsonl")).unwrap();
    let buckets: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let terms = buckets.iter().flat_map(|bucket| bucket["terms"].as_array().unwrap());
    let mut terms: Vec<(&str, u64, u64)> = terms
        .map(|term| {
            (term["term"].as_str().unwrap(), term["count"].as_u64().unwrap(), term["df"].as_u64().unwrap())
        })
        .collect();
    terms.sort_unstable();
    assert_eq!(terms, [("cat", 3, 2), ("cats", 1, 1), ("dog", 4, 2), ("sat", 1, 1), ("the", 3, 2)]);
}

#[test]
fn a_vocabulary_is_taken_as_it_stands() {
    let dir = pets();
    dir.write("terms.txt", "the\nbird\ncat\n");
    let out = dir.embedded(&["--vocabulary", "terms.txt"]);
    let expected = [("the", 2), ("bird", 0), ("cat", 2)];
    assert_eq!(out.vocabulary(), expected.map(|(term, df)| (term.to_owned(), df)));
    assert_eq!(out.csr().rows(), [vec![(0, 1.0), (2, 1.0)], vec![(0, 2.0), (2, 2.0)], vec![]]);
}

#[test]
fn terms_that_are_equally_frequent_are_kept_in_their_order() {
    let out = pets().embedded(&["--max-features", "2"]);
    // dog 4; cat and the 3 each.
    assert_eq!(out.terms(), ["cat", "dog"]);
}

#[test]
fn a_manifest_names_settings_that_give_the_output_again() {
    let dir = pets();
    let first = dir.embedded(&["--max-df", "1.0", "--min-df", "1", "--weight", "bm25"]);
    let second = dir.embedded(&["--weight", "bm25", "--force"]);
    assert_same_bytes(&first, &second, "the defaults, written out");
}

#[test]
fn lists_of_words_as_editors_and_tools_write_them() {
    let dir = Dir::with_corpus(&[("a.txt", "the cat and the dog")]);
    let plain = [("the".to_owned(), 1), ("and".to_owned(), 1)];
    for (list, what) in [
        (&b"the\nand\n"[..], "lines"),
        (b"\xEF\xBB\xBFthe\nand\n", "a byte-order mark"),
        (b"the\r\nand\r\n\r\n", "lines of Windows, and a blank one"),
        (b"the\rand", "lines of old Macs"),
        (b"the \nand\t\n\n \n", "white space"),
        (b"[\"the\",\"and\"]", "a JSON array"),
        (b"{\"and\":1,\"the\":0}", "a JSON object of columns"),
    ] {
        dir.write("list", list);
        let finished = dir.embed(&["--stop-words", "list", "--force"]).run().expect(0);
        assert_eq!(
            (finished.stderr.lines().count(), dir.output("out").terms()),
            (2, words("cat dog")),
            "{what}"
        );
        dir.embedded(&["--vocabulary", "list", "--force"]);
        assert_eq!(dir.output("out").vocabulary(), plain, "{what}");
    }
    for (list, said) in [
        (
            &b"the\nth\xE9\n"[..],
            "line 2: not UTF-8 (if it is Latin-1, `iconv -f latin1 -t UTF-8` converts the list)",
        ),
        (b"\xFF\xFEt\0h\0", "UTF-16, not UTF-8 (`iconv -f UTF-16 -t UTF-8` converts it)"),
        (b"the\nand\0\n", "line 2: has a NUL byte, so this is not a list of words"),
        (
            b"the\t3\nand\t1\n",
            "line 1: has a tab; a list has one term per line (`cut -f1` takes the first column)",
        ),
        (
            b"PK\x03\x04",
            "a zip archive, not a list (unpack it and give the file of words; an output is given by its directory)",
        ),
    ] {
        dir.write("list", list);
        for option in ["--stop-words", "--vocabulary"] {
            let finished = dir.embed(&[option, "list", "--force"]).run().expect(1);
            assert_eq!(finished.line(), format!("{option} list: {said}"));
        }
    }
    dir.write("list", "the\n\nand\n");
    let finished = dir.embed(&["--vocabulary", "list", "--force"]).run().expect(1);
    assert_eq!(finished.line(), "--vocabulary list: line 2: is empty, and so no term");
    // With characters, white space is part of a term.
    dir.write("list", " t\nt \n");
    let out = dir.embedded(&["--vocabulary", "list", "--analyzer", "char", "--ngrams", "2", "--force"]);
    assert_eq!(out.terms(), [" t", "t "]);
}

#[test]
fn the_vocabulary_of_an_output_is_a_list_of_terms() {
    let dir = pets();
    let first = dir.embedded(&["--ngrams", "1:2", "--weight", "tfidf"]);
    let options = ["--ngrams", "1:2", "--weight", "tfidf", "--vocabulary", "out/vocabulary.jsonl"];
    dir.embed_to("again", &options).run().expect(0);
    assert_eq!(dir.output("again").file("matrix.npz"), first.file("matrix.npz"));
    for (file, said) in
        [("manifest.json", "JSON, but not a list of terms"), ("matrix.npz", "a NumPy archive")]
    {
        let finished = dir.embed_to("more", &["--vocabulary", &format!("out/{file}")]).run().expect(1);
        let line = finished.line();
        assert!(line.starts_with(&format!("--vocabulary out/{file}: {said}")), "{line}");
    }
}

#[test]
fn words_and_terms_that_nothing_can_equal_are_noticed() {
    let dir = pets();
    let notices = |options: &str| {
        let options: Vec<&str> = options.split(' ').filter(|option| !option.is_empty()).collect();
        let finished = dir.embed(&[&options[..], &["--force"]].concat()).run().expect(0);
        let lines = finished.stderr.lines().filter(|line| line.contains("can equal under")).map(|line| {
            let named = line.split_once("settings: ").expect("what nothing equals").1;
            named.split_once(" (").expect("a hint").0.to_owned()
        });
        lines.collect::<Vec<_>>().join("; ")
    };
    dir.write("odd", "The\ndon't\ncafé\nthe\na\nthe cat\n");
    assert_eq!(notices("--stop-words odd"), "`The`, `don't`, `a` and 1 more");
    assert_eq!(
        notices("--stop-words odd --no-lowercase --strip-accents ascii"),
        "`don't`, `café`, `a` and 1 more"
    );
    assert_eq!(notices("--stop-words odd --tokenizer unicode"), "`The`, `the cat`");
    assert_eq!(notices("--stop-words english"), "");
    assert_eq!(notices("--vocabulary odd"), "`The`, `don't`, `a` and 1 more");
    assert_eq!(notices("--vocabulary odd --ngrams 1:2"), "`The`, `don't`, `a`");
    assert_eq!(
        notices("--vocabulary odd --ngrams 2 --stop-words english"),
        "`The`, `don't`, `café` and 3 more"
    );
    assert_eq!(notices("--vocabulary odd --analyzer char --ngrams 1:3"), "`The`, `don't`, `café` and 1 more");
    dir.write("stems", "cats\ncat\n");
    assert_eq!(notices("--vocabulary stems --stem english"), "`cats`");
    let finished = dir.embed(&["--stop-words", "odd", "--quiet", "--force"]).run().expect(0);
    assert_eq!(finished.stderr, "");
    dir.write("unknown", "xx\nyy\n");
    let finished = dir.embed(&["--vocabulary", "unknown", "--force"]).run().expect(0);
    assert!(
        finished.stderr.starts_with("bowline: no document has a term of the vocabulary"),
        "{}",
        finished.stderr
    );
}

#[test]
fn stop_words_of_a_language() {
    let dir =
        Dir::with_corpus(&[("a.txt", "der Hund und die Katze"), ("b.txt", "I don\u{2019}t, I don't stop")]);
    let out = dir.embedded(&["--stop-words", "german"]);
    assert_eq!(out.terms(), words("don hund katze stop"));
    assert_eq!(out.manifest()["settings"]["text"]["stop_words"], "german");
    dir.embed_to("again", &["--vocabulary", "out"]).run().expect(0);
    assert_eq!(dir.output("again").file("matrix.npz"), out.file("matrix.npz"));
    let out = dir.embedded(&["--stop-words", "english", "--tokenizer", "unicode", "--force"]);
    assert_eq!(out.terms(), words("der die hund katze stop und"));
    dir.write("german", "hund\n");
    let finished = dir.embed(&["--stop-words", "german", "--force"]).run().expect(0);
    let said = "bowline: stop words german are the built-in list; ./german is the file\n";
    assert!(finished.stderr.starts_with(said), "{}", finished.stderr);
    assert!(!dir.embedded(&["--stop-words", "./german", "--force"]).terms().contains(&"hund".to_owned()));
    let finished = dir.embed(&["--stop-words", "germann", "--force"]).run().expect(2);
    let said = "--stop-words germann: no such file, and no list of stop words for \"germann\"; there are afrikaans, ";
    assert!(finished.line().starts_with(said), "{}", finished.stderr);
}

#[test]
fn values_that_make_no_sense() {
    let dir = pets();
    dir.write("twice.txt", "cat\ndog\ncat\n");
    dir.write("nothing.txt", "");
    for (options, code, said) in [
        ("--ngrams 3:1", 2, "--ngrams"),
        ("--max-df 0.1 --min-df 0.5", 2, "--min-df is above --max-df"),
        ("--max-df 1 --min-df 0.9", 1, "a term may occur in 1 document at most"),
        ("--min-df 0", 2, "--min-df"),
        ("--min-df 3", 1, "no term is left: none of"),
        ("--weight bm25 --delta 1", 2, "--delta needs --bm25 bm25+ or bm25l"),
        ("--delta 1", 2, "--delta needs --weight bm25"),
        ("--max-features 0", 2, "--max-features"),
        ("--token-pattern (", 2, "--token-pattern: missing )"),
        ("--token-pattern (a)(b)", 2, "--token-pattern: 2 capture groups"),
        ("--vocabulary twice.txt", 1, "line 3: the term `cat`"),
        ("--vocabulary nothing.txt", 1, "the vocabulary is empty"),
        ("--vocabulary nowhere", 1, "--vocabulary nowhere: No such file"),
        ("--vocabulary twice.txt --min-df 2", 1, "--vocabulary twice.txt"),
        ("--stop-words nowhere", 2, "--stop-words nowhere: no such file"),
        ("--stop-words no/where", 1, "--stop-words no/where: No such file"),
        ("--stem klingon", 2, "--stem: no stemmer for"),
        ("--features hashed --weight bm25", 2, "--no-alternate-sign"),
        ("--features hashed --min-df 2", 2, "--min-df needs --features vocabulary"),
        ("--analyzer char --stem english", 2, "--stem needs --analyzer word"),
        ("--weight tfidf --dtype i32", 2, "--dtype f32 or f64"),
        ("--sublinear-tf", 2, "--sublinear-tf needs --weight tfidf"),
        ("--hash-terms", 2, "--hash-terms needs --features hashed"),
    ] {
        let before = dir.entries();
        let finished = dir.embed(&options.split(' ').collect::<Vec<_>>()).run().expect(code);
        let first = finished.stderr.lines().next().unwrap_or_default();
        assert!(first.contains(said), "{options}: {}", finished.stderr);
        assert_eq!(dir.entries(), before, "{options}");
    }
}
