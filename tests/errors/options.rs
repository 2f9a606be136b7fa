//! Errors of the command line: unknown values, missing arguments, contradictory options, and options whose values
//! cannot be computed.

use super::{misused, pets, refused};
use crate::support::{Array, Dir, Finished};
use std::fs;

#[test]
fn values_that_no_option_has() {
    let dir = pets();
    let wrong = [
        ("--format", "csv"),
        ("--binary", "maybe"),
        ("--decode-error", "panic"),
        ("--features", "words"),
        ("--weight", "heavy"),
        ("--bm25", "bm25"),
        ("--delta", "-0.1"),
        ("--delta", "inf"),
        ("--norm", "l3"),
        ("--dtype", "i8"),
        ("--mode", "fibers"),
        ("--progress", "often"),
        ("--workers", "0"),
        ("--workers", "1025"),
        ("--workers", "two"),
        ("--n-features", "0"),
        ("--n-features", "2147483648"),
        ("--document-timeout", "0"),
        ("--document-timeout", "-1"),
        ("--document-timeout", "nan"),
        ("--document-timeout", "inf"),
        ("--max-crashes", "-1"),
        ("--max-crashes", "many"),
        ("--max-document-bytes", "1x"),
        ("--max-document-bytes", ""),
        ("--max-document-bytes", "99999999T"),
    ];
    for (option, value) in wrong {
        let pair = format!("{option}={value}");
        let said = misused(&dir, &["embed", "-o", "out", &pair, "corpus"]);
        let first = said.lines().next().unwrap_or_default();
        assert!(first.contains(option) && first.contains(value), "{pair}: {said}");
    }
}

#[test]
fn arguments_that_are_missing_or_too_many() {
    let dir = pets();
    let wrong: [(&[&str], &str); 7] = [
        (&["embed", "corpus"], "--output"),
        (&["embed", "--output", "out"], "<CORPUS>"),
        (&["embed", "--output", "", "corpus"], "--output"),
        (&["embed", "--output", "out", "--bogus", "corpus"], "--bogus"),
        (&["embed", "--output", "out", "--output", "other", "corpus"], "--output"),
        (&["embed", "--output", "out", "--dense", "--format", "npz", "corpus"], "--dense"),
        (&["embd", "corpus"], "embd"),
    ];
    for (arguments, named) in wrong {
        let said = misused(&dir, arguments);
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
    assert!(dir.bowline(&[]).run().expect(2).stderr.contains("Usage: bowline"));
}

#[test]
fn options_that_contradict_each_other() {
    let dir = pets();
    let wrong: [(&[&str], &str); 6] = [
        (
            &["--norm", "l2", "--dtype", "i32"],
            "--norm needs --dtype f32 or f64: an integer can't hold its values",
        ),
        (
            &["--norm", "l1", "--dtype", "i64"],
            "--norm needs --dtype f32 or f64: an integer can't hold its values",
        ),
        (&["--n-features", "8"], "--n-features needs --features hashed"),
        (&["--features", "vocabulary", "--n-features", "8"], "--n-features needs --features hashed"),
        (&["--no-alternate-sign"], "--no-alternate-sign needs --features hashed"),
        (&["--n-features", "8", "--quiet"], "--n-features needs --features hashed"),
    ];
    for (options, line) in wrong {
        assert_eq!(refused(&dir, dir.embed(options), 2), line, "{options:?}");
    }
}

#[test]
fn globs_without_a_meaning_are_wrong_usage() {
    let dir = pets();
    for (glob, what) in [
        ("", "names no file: '**' matches all of them"),
        ("!", "names no file: '**' matches all of them"),
        ("./", "names no file: '**' matches all of them"),
        ("../corpus/*", "leaves CORPUS: a glob is a path below it"),
    ] {
        let line = refused(&dir, dir.embed(&["--glob", glob]), 2);
        assert_eq!(line, format!("glob '{glob}' {what}"));
    }
}

#[test]
fn glob_that_makes_no_sense() {
    let dir = pets();
    let finished = dir.embed(&["--glob", "[a"]).run();
    assert!(finished.line().starts_with("glob '[a': "), "{}", finished.stderr);
    assert_eq!(dir.entries(), ["corpus"]);
}

#[test]
fn glob_that_makes_no_sense_is_wrong_usage() {
    let dir = pets();
    let line = refused(&dir, dir.embed(&["--glob", "[a"]), 2);
    assert_eq!(line.matches("unclosed character class").count(), 1, "{line}");
}

#[test]
fn a_cause_is_told_once() {
    let dir = pets();
    let line = refused(&dir, dir.bowline(&["embed", "-o", "out", "nowhere"]), 1);
    assert_eq!(line, "nowhere: No such file or directory");
}

#[test]
fn a_path_cannot_break_a_line_nor_steer_the_terminal() {
    let name = format!("a\nb{UNSEEN}.txt");
    let dir = Dir::with_corpus(&[(name.as_bytes(), b"\xFF".to_vec())]);
    let finished = dir.embed(&[]).run().expect(3);
    assert_eq!(finished.stderr.lines().count(), 3, "{}", finished.stderr.escape_debug());
    assert_unseen(&finished);
    assert_eq!(dir.output("out").paths(), [name.as_str()], "a file has it as it is");
    let target = format!("out{UNSEEN}");
    assert_unseen(&dir.embed_to(&target, &[]).run().expect(3));
    for options in [&[][..], &["--resume"]] {
        assert_unseen(&dir.embed_to(&target, options).run().expect(1));
    }
    assert_unseen(&dir.embed_to(&format!("no{UNSEEN}/such"), &[]).run().expect(1));
    // The other commands that print their arguments, and the parser of the command line.
    let said: [&[&str]; 12] = [
        &["embed", "-o", "new", UNSEEN],
        &["embed", "-o", "new", "corpus", "--scratch", UNSEEN],
        &["embed", "-o", "new", "corpus", "--vocabulary", UNSEEN],
        &["embed", "-o", "new", "corpus", "--stop-words", UNSEEN],
        &["embed", "-o", "new", "corpus", "--format", UNSEEN],
        &["embed", "-o", "new", "corpus", &format!("--{UNSEEN}")],
        &["embed", "-o", "new", "corpus", "--token-pattern", &format!("({UNSEEN}")],
        &["inspect", UNSEEN],
        &["inspect", "out", "--term", UNSEEN],
        &["generate", &format!("no{UNSEEN}"), "--documents", UNSEEN],
        &["bench", UNSEEN],
        &[&format!("{UNSEEN}\nerror: nothing")],
    ];
    for arguments in said {
        let finished = dir.bowline(arguments).run();
        assert!(matches!(finished.status.code(), Some(1 | 2)), "{arguments:?}");
        assert_unseen(&finished);
    }
    let forged = dir.bowline(&["a\nerror: nothing"]).run().expect(2);
    assert!(!forged.stderr.lines().any(|line| line.starts_with("error: nothing")), "{}", forged.stderr);
}

/// Characters that control a terminal, change the direction of the text or are invisible.
const UNSEEN: &str = "\u{7}\u{1b}[31m\u{7f}\u{9b}2J\u{202e}\u{2066}\u{2028}\u{200b}\u{e0041}";

/// Requires that no such character was printed.
#[track_caller]
fn assert_unseen(finished: &Finished) {
    let printed = [&*finished.stdout, &*finished.stderr].concat();
    let found = printed.chars().find(|&c| c != '\n' && UNSEEN.contains(c) && !c.is_ascii_graphic());
    assert_eq!(found, None, "{}", printed.escape_debug());
    assert!(!printed.is_empty());
}

#[test]
fn standard_error_that_takes_nothing_changes_no_exit_code() {
    let dir = pets();
    dir.embed(&[]).stderr_to("/dev/full").run().expect(0);
    assert_eq!(dir.output("out").documents().len(), 2);
    dir.embed(&[]).stderr_to("/dev/full").run().expect(1);
}

#[test]
fn negative_numbers_are_values_of_their_options() {
    let dir = pets();
    let options = [
        "--k1",
        "--b",
        "--delta",
        "--min-df",
        "--max-df",
        "--max-features",
        "--n-features",
        "--ngrams",
        "--workers",
        "--max-reads",
        "--memory",
        "--worker-memory",
        "--document-timeout",
        "--max-crashes",
        "--read-latency",
        "--max-document-bytes",
    ];
    for option in options {
        let said = misused(&dir, &["embed", "-o", "out", option, "-1", "corpus"]);
        assert!(said.starts_with(&format!("error: invalid value '-1' for '{option} <")), "{said}");
        assert!(!said.contains("tip:") && !said.contains("digit"), "{said}");
    }
    for (option, value) in [("--memory", "-1M"), ("--ngrams", "-1:2"), ("--k1", "-inf"), ("--max-df", "-0.5")]
    {
        let said = misused(&dir, &["embed", "-o", "out", option, value, "corpus"]);
        assert!(said.starts_with(&format!("error: invalid value '{value}' for '{option} <")), "{said}");
    }
    let said = misused(&dir, &["inspect", "corpus", "--top", "-1"]);
    assert!(said.starts_with("error: invalid value '-1' for '--top <N>'"), "{said}");
}

#[test]
fn values_that_are_not_finite_are_not_written() {
    let dir = Dir::with_corpus(&[("1", "aa"), ("2", "aa")]);
    dir.write("words", "aa\nzz\n");
    fs::create_dir(dir.path("later")).unwrap();
    dir.write("later/1", "aa zz");
    let hashed = "--features hashed --n-features 8";
    let unsmoothed = "--weight tfidf --no-smooth-idf";
    let (list, atire) = ("--vocabulary words", "--weight bm25 --bm25 atire");
    let term = "1: the term `zz` has no idf, since no document of the earlier output has it";
    let bucket = "1: a term of bucket 0 has no idf, since no document of the earlier output has it";
    for (options, said, option) in [
        (format!("{unsmoothed} {hashed}"), bucket, "without --no-smooth-idf"),
        (format!("{unsmoothed} {list} --dtype f64"), term, "without --no-smooth-idf"),
        (format!("{unsmoothed} {list} --norm none --dense"), term, "without --no-smooth-idf"),
        (format!("{atire} {list}"), term, "--bm25 lucene"),
        (format!("--weight bm25 --bm25 bm25+ {list}"), term, "--bm25 lucene"),
        (format!("{atire} {hashed} --no-alternate-sign"), bucket, "--bm25 lucene"),
    ] {
        let output = dir.embedded(&[&["--force"], &*options.split(' ').collect::<Vec<_>>()].concat());
        let files = output.files();
        if let Some(idf) = files.get("idf.npy") {
            assert!(Array::parse(idf).numbers().iter().all(|idf| idf.is_finite()));
        }
        // The earlier output's own documents have a value for each cell, as in scikit-learn.
        dir.embed_to("again", &["--vocabulary", "out", "--force"]).run().expect(0);
        for mode in ["processes", "threads", "inline"] {
            let run = dir.bowline(&["embed", "--vocabulary", "out", "--mode", mode, "-o", "new", "later"]);
            let line = refused(&dir, run, 1);
            assert!(line.starts_with(said) && line.contains(option), "{options}: {line}");
        }
    }
    let dir = Dir::with_corpus(&[("1", "aa aa"), ("2", "bb")]);
    let line = refused(&dir, dir.embed(&["--weight", "bm25", "--bm25", "atire", "--k1", "1.7e308"]), 1);
    assert!(line.contains("the term `aa` has a value"), "{line}");
}

#[test]
fn terms_of_a_list_that_no_document_has_are_noticed_where_they_get_no_idf() {
    let dir = pets();
    dir.write("words", "cat\nzz\nyy\n");
    let options = ["--vocabulary", "words", "--weight", "tfidf", "--no-smooth-idf"];
    let finished = dir.embed(&options).run().expect(0);
    let said =
        "bowline: terms of the vocabulary that occur in no document: 2, the first is `zz`; they have no idf";
    assert!(finished.stderr.starts_with(said), "{}", finished.stderr);
    assert_eq!(
        dir.embed(&[&options[..3], &["tfidf", "--force"]].concat()).run().expect(0).stderr.lines().count(),
        2
    );
}
