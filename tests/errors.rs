//! Wrong use and bad input: one clear line that names the path or the option, the right exit code, and nothing left
//! behind.
//!
//! Exit codes: 2 wrong usage, 1 could not finish, 3 finished with failed documents.

use crate::support::{Dir, Finished, Invocation, processes, wrapper};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, symlink};

fn pets() -> Dir {
    Dir::with_corpus(&[("a.txt", "the cat"), ("b.txt", "the dog")])
}

/// Runs what must fail with `code`, and returns its one line. Nothing may be left of it.
#[track_caller]
fn refused(dir: &Dir, invocation: Invocation, code: i32) -> String {
    let before = dir.entries();
    let finished = invocation.run().expect(code);
    assert_eq!(dir.entries(), before, "something is left:\n{}", finished.stderr);
    finished.line().to_owned()
}

/// The path of `name` in `dir`, as messages show it.
fn shown(dir: &Dir, name: &str) -> String {
    dir.path(name).to_str().expect("a path of UTF-8").to_owned()
}

/// Runs what the parser of the command line must refuse, and returns what it says.
#[track_caller]
fn misused(dir: &Dir, arguments: &[&str]) -> String {
    let before = dir.entries();
    let finished = dir.bowline(arguments).run().expect(2);
    assert_eq!((dir.entries(), finished.stdout.as_str()), (before, ""));
    assert!(finished.stderr.starts_with("error: "), "{}", finished.stderr);
    finished.stderr
}

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
fn no_such_corpus() {
    let dir = pets();
    for corpora in [&["nowhere"][..], &["corpus", "nowhere"], &["nowhere", "corpus"]] {
        let line = refused(&dir, dir.bowline(&["embed", "-o", "out"]).args(corpora), 1);
        assert!(line.starts_with("nowhere: No such file or directory"), "{line}");
    }
}

#[test]
fn empty_directory() {
    let dir = pets();
    fs::create_dir(dir.path("empty")).unwrap();
    let line = refused(&dir, dir.bowline(&["embed", "-o", "out", "empty"]), 1);
    assert_eq!(line, "empty: no documents found");
}

#[test]
fn nothing_but_what_is_left_out() {
    let dir = Dir::with_corpus(&[(".hidden", "cat")]);
    let line = refused(&dir, dir.embed(&[]), 1);
    assert_eq!(line, "corpus: no documents found (--hidden and --glob decide what is left out)");
    let line = refused(&dir, dir.embed(&["--hidden", "--glob", "!.*"]), 1);
    assert_eq!(line, "corpus: no documents found (--hidden and --glob decide what is left out)");
}

#[test]
fn corpus_that_is_no_file() {
    let dir = pets();
    nix::unistd::mkfifo(&dir.path("pipe"), Mode::S_IRWXU).unwrap();
    for special in ["/dev/null", "pipe"] {
        let line = refused(&dir, dir.bowline(&["embed", "-o", "out", special]), 1);
        let said = format!("{special}: neither a directory nor a regular file: put its text into a file");
        assert_eq!(line, said);
    }
}

#[test]
fn kinds_of_input_that_are_not_read_yet() {
    let dir = pets();
    let record = "write the text of each record into a file of its own";
    let packed = "unpack it first";
    for (name, ending, next) in [
        ("table.csv", ".csv", record),
        ("lines.jsonl", ".jsonl", record),
        ("LINES.NDJSON", ".ndjson", record),
        ("COLUMNS.PARQUET", ".parquet", record),
        ("text.txt.gz", ".gz", packed),
        ("lines.jsonl.gz", ".jsonl.gz", packed),
        ("texts.tar.gz", ".tar.gz", packed),
        ("texts.tgz", ".tgz", packed),
        ("texts.tar", ".tar", packed),
        ("Texts.Zip", ".zip", packed),
    ] {
        dir.write(name, "the cat");
        let line = refused(&dir, dir.bowline(&["embed", "-o", "out", "corpus", name]), 1);
        let said = format!("{name}: {ending} input is not supported yet: {next}");
        assert!(line.starts_with(&said), "{line}");
    }
}

#[test]
fn corpora_that_people_mean_otherwise() {
    let dir = pets();
    for (corpus, said) in [
        (
            "-",
            "-: standard input is not supported yet: put its text into a file, or write ./- for a file of that name",
        ),
        ("https://example.org/a.txt", "(download it first: a CORPUS is a directory or a file)"),
        ("corpus/*.txt", "(the shell has not expanded it: give the directory, and the pattern with --glob)"),
        ("~/corpus", "(the shell expands ~ only at the beginning and unquoted)"),
    ] {
        let line = refused(&dir, dir.bowline(&["embed", "-o", "out", corpus]), 1);
        assert!(line.starts_with(&format!("{corpus}: ")) && line.ends_with(said), "{line}");
    }
    assert!(misused(&dir, &["embed", "-o", "out", ""]).contains("CORPUS"));
    // A file that has such a name is read.
    dir.write("-", "cat");
    dir.write("[a]*.txt", "dog");
    dir.bowline(&["embed", "-o", "out", "./-", "[a]*.txt"]).run().expect(0);
    assert_eq!(dir.output("out").terms(), ["cat", "dog"]);
}

#[test]
fn globs_that_match_no_file_get_advice() {
    let dir = Dir::with_corpus(&[("a.txt", "cat"), ("sub/b.txt", "dog"), (".c", "cow")]);
    let name = "a glob without a slash matches a name, one with a slash a path below CORPUS";
    for (globs, hint) in [
        (&["sub"][..], "glob 'sub' names a folder: 'sub/' matches all files below it".to_owned()),
        (&["*.md"], format!("no file matches glob '*.md': {name}")),
        (&["b.txt/", "/b.txt"], format!("no file matches glob 'b.txt/', '/b.txt': {name}")),
        (&["corpus/a.txt"], format!("no file matches glob 'corpus/a.txt': {name}")),
        (&[".c"], "no file matches glob '.c': hidden ones are left out (--hidden takes them)".to_owned()),
    ] {
        let options: Vec<_> = globs.iter().flat_map(|glob| ["--glob", glob]).collect();
        let line = refused(&dir, dir.embed(&options), 1);
        assert_eq!(line, format!("corpus: no documents found: {hint}"));
    }
    // Where others match, it is a notice.
    let finished = dir.embed(&["--glob", "a.txt", "--glob", "sub", "--glob", "!*.rst"]).run().expect(0);
    let notice = "bowline: glob 'sub' names a folder: 'sub/' matches all files below it\n1 document,";
    assert!(finished.stderr.starts_with(notice), "{}", finished.stderr);
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
    // The others that name what they are given, and the parser of the command line.
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

/// Characters that steer a terminal, turn the direction of the text or can't be seen.
const UNSEEN: &str = "\u{7}\u{1b}[31m\u{7f}\u{9b}2J\u{202e}\u{2066}\u{2028}\u{200b}\u{e0041}";

/// Requires that nothing of that kind was printed.
#[track_caller]
pub fn assert_unseen(finished: &Finished) {
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
fn no_term_in_any_document() {
    let cases: [(&str, &[&str], &str); 9] = [
        ("", &[], "1 empty"),
        ("\u{a0}\n", &[], "1 empty"),
        ("! ?", &[], "1 without a letter or a digit"),
        ("a b c", &[], "1 with words of one character only"),
        ("the", &["--token-pattern", "x+"], "1 in which the token pattern matches nothing"),
        ("the and", &["--stop-words", "english"], "1 with stop words only"),
        ("the cat", &["--ngrams", "3"], "1 shorter than an n-gram"),
        ("the cat", &["--ngrams", "9", "--analyzer", "char"], "1 shorter than an n-gram"),
        ("the", &["--tokenizer", "unicode", "--ngrams", "2"], "1 shorter than an n-gram"),
    ];
    for (text, options, reason) in cases {
        let dir = Dir::with_corpus(&[("a.txt", text)]);
        let line = refused(&dir, dir.embed(options), 1);
        let (said, hint) = line.split_once(" (--").unwrap_or((&line, ""));
        assert_eq!(said, format!("empty vocabulary: no document has a term ({reason})"), "{options:?}");
        let helps = match reason {
            _ if reason.contains("one character") => hint.contains("token-pattern '(?u)\\b\\w+\\b'"),
            _ if reason.contains("empty") || reason.contains("letter") => hint.is_empty(),
            _ => hint.contains("--stop-words and --ngrams"),
        };
        assert!(helps, "{line}");
        let hashed = [options, &["--features", "hashed"]].concat();
        assert_eq!(dir.embedded(&hashed).csr().rows(), [[]]);
    }
    let dir = Dir::with_corpus(&[("a.txt", ""), ("b.txt", "a"), ("c.txt", ""), ("d.txt", "\0")]);
    let line = refused(&dir, dir.embed(&[]), 1);
    assert!(line.contains("(2 empty; 1 with words of one character only) (--token-pattern "), "{line}");
}

#[test]
fn no_term_is_left_after_pruning() {
    let dir = Dir::with_corpus(&[("a.txt", &b"cat"[..]), ("b.txt", b"dog"), ("c.txt", b"\xff")]);
    for (options, said) in [
        (
            &["--min-df", "5"][..],
            "min_df asks for 5 documents or more, but the corpus has 2 documents (lower --min-df)",
        ),
        (
            &["--min-df", "2"],
            "no term is left: none of the 2 terms occurs in 2 documents or more (lower --min-df)",
        ),
        (
            &["--max-df", "0.2"],
            "max_df allows 0.4 documents at most, so no term can be kept (raise --max-df)",
        ),
        (
            &["--min-df", "2", "--max-df", "0.5"],
            "max_df allows 1 documents at most, but min_df asks for 2 or more (lower --min-df or raise --max-df)",
        ),
    ] {
        assert_eq!(refused(&dir, dir.embed(options), 1), said);
    }
    let dir = Dir::with_corpus(&[("a.txt", "cat"), ("b.txt", "cat")]);
    let line = refused(&dir, dir.embed(&["--max-df", "1"]), 1);
    assert_eq!(line, "no term is left: each of the 1 terms occurs in more than 1 documents (raise --max-df)");
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
            assert!(crate::support::Array::parse(idf).numbers().iter().all(|idf| idf.is_finite()));
        }
        // What it was made from has a value for each of its cells, as in scikit-learn.
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

#[test]
fn invalid_utf_8_names_the_document_its_cause_and_the_way_out() {
    let dir = Dir::with_corpus(&[("a.txt", &b"the cat"[..]), ("b.txt", b"dog \xC3\x28")]);
    let finished = dir.embed(&[]).run().expect(3);
    let line = "bowline: b.txt: invalid UTF-8 at byte 4 (iconv -t UTF-8 converts it from its encoding; \
                --decode-error replace or ignore gives up such bytes)\n";
    assert!(finished.stderr.starts_with(line), "{}", finished.stderr);
    assert_eq!(dir.output("out").failures(), [(1, "invalid UTF-8 at byte 4".to_owned())]);
}

#[test]
fn every_document_fails() {
    let dir = Dir::with_corpus(&[("a.txt", b"\xFF"), ("b.txt", b"\0")]);
    let variants: [&[&str]; 3] = [&[], &["--dense"], &["--features", "hashed", "--n-features", "4"]];
    for options in variants {
        let output = dir.embedded_with(3, &[options, &["--force"]].concat());
        let causes = [(0, "invalid UTF-8 at byte 0".to_owned()), (1, "binary".to_owned())];
        assert_eq!(output.failures(), causes, "{options:?}");
    }
    assert_eq!(dir.embedded_with(3, &["--force"]).csr().shape, [2, 0]);
    assert_eq!(dir.embedded_with(3, &["--force", "--dense"]).dense().shape, [2, 0]);
}

#[test]
fn output_that_exists() {
    let dir = pets();
    let before = dir.embedded(&[]).files();
    let line = refused(&dir, dir.embed(&["--dense"]), 1);
    assert_eq!(line, format!("{}: exists already (--force replaces it)", shown(&dir, "out")));
    assert_eq!(dir.output("out").files(), before);
    fs::create_dir(dir.path("empty")).unwrap();
    let line = refused(&dir, dir.embed_to("empty", &[]), 1);
    assert_eq!(line, format!("{}: exists already (--force replaces it)", shown(&dir, "empty")));
}

#[test]
fn force_replaces_nothing_but_an_output() {
    let dir = pets();
    dir.write("precious/thesis.txt", "years of work");
    dir.write("file", "more work");
    symlink("precious", dir.path("link")).unwrap();
    symlink("nowhere", dir.path("dangling")).unwrap();
    nix::unistd::mkfifo(&dir.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    dir.embed_to("annotated", &[]).run().expect(0);
    dir.write("annotated/notes.txt", "what I found");
    dir.write("half/matrix.npz", "");
    for (target, why) in [
        ("precious", "contains thesis.txt, which is not a file of an output"),
        ("precious/", "contains thesis.txt, which is not a file of an output"),
        ("annotated", "contains notes.txt, which is not a file of an output"),
        ("corpus", "contains a.txt, which is not a file of an output"),
        ("half", "has no manifest.json"),
        ("file", "is a file"),
        ("link", "is a symbolic link"),
        ("dangling", "is a symbolic link"),
        ("pipe", "is a special file"),
    ] {
        // The same with the option and without: no advice that the next run takes back.
        for options in [&[][..], &["--force"]] {
            let line = refused(&dir, dir.embed_to(target, options), 1);
            let path = shown(&dir, target.trim_end_matches('/'));
            let advice = "so it is never replaced (--output names another place)";
            assert_eq!(line, format!("{path}: exists and {why}, {advice}"));
        }
    }
    assert_eq!(fs::read(dir.path("precious/thesis.txt")).unwrap(), b"years of work");
    assert_eq!(fs::read(dir.path("annotated/notes.txt")).unwrap(), b"what I found");
    assert_eq!(fs::read(dir.path("file")).unwrap(), b"more work");
}

/// Known before the run, and not at its end.
#[test]
fn an_output_that_may_not_be_replaced() {
    let Some(user) = wrapper::unprivileged() else { return };
    let dir = pets();
    fs::create_dir(dir.path("open")).unwrap();
    dir.embed_to("open/out", &[]).run().expect(0);
    let (_place, _output) = (dir.chmod("open", 0o777), dir.chmod("open/out", 0o555));
    let run = dir.through(&user).args(&["embed", "--force", "-o", "open/out", "corpus"]);
    let line = refused(&dir, run, 1);
    let expected = format!("{}: cannot be replaced: ", shown(&dir, "open/out"));
    assert!(line.starts_with(&expected) && line.contains("Permission denied"), "{line}");
    assert!(!dir.path("open/out.partial").exists());
    let _output = dir.chmod("open/out", 0);
    let run = dir.through(&user).args(&["embed", "--force", "-o", "open/out", "corpus"]);
    let line = refused(&dir, run, 1);
    let cannot = "exists and can't be read: Permission denied";
    assert!(line.starts_with(&format!("{}: {cannot}", shown(&dir, "open/out"))), "{line}");
}

#[test]
fn an_output_without_a_name() {
    let dir = pets();
    for target in ["..", ".", "/", "corpus/.."] {
        let line = refused(&dir, dir.embed_to(target, &["--force"]), 1);
        assert_eq!(
            line,
            format!(
                "{target}: not the name of a directory to create (--output takes the name of the directory that is made)"
            )
        );
    }
}

#[test]
fn a_failing_run_keeps_the_output_that_it_was_to_replace() {
    let dir = pets();
    let before = dir.embedded(&[]).files();
    let line = refused(&dir, dir.bowline(&["embed", "--force", "-o", "out", "nowhere"]), 1);
    assert!(line.starts_with("nowhere: "), "{line}");
    assert_eq!(dir.output("out").files(), before);
}

#[test]
fn parent_of_the_output_is_missing() {
    let dir = pets();
    let line = refused(&dir, dir.embed_to("no/such/out", &[]), 1);
    let cannot_hold = "cannot hold the output";
    let expected = format!("{}: {cannot_hold}: No such file or directory", shown(&dir, "no/such"));
    assert!(line.starts_with(&expected), "{line}");
    let line = refused(&dir, dir.embed_to("corpus/a.txt/out", &[]), 1);
    let expected = format!("{}: {cannot_hold}: Not a directory", shown(&dir, "corpus/a.txt"));
    assert!(line.starts_with(&expected), "{line}");
}

#[test]
fn report_that_cannot_be_written() {
    let dir = pets();
    let line = refused(&dir, dir.embed(&["--report", "no/such/report.json"]), 1);
    assert!(line.starts_with("no/such/report.json: No such file or directory"), "{line}");
}

#[test]
fn parent_of_the_output_is_not_writable() {
    let Some(user) = wrapper::unprivileged() else { return };
    let dir = pets();
    fs::create_dir(dir.path("locked")).unwrap();
    let _mode = dir.chmod("locked", 0o555);
    let arguments = ["embed", "-o", "locked/out", "corpus"];
    let line = refused(&dir, dir.through(&user).args(&arguments), 1);
    let expected = format!("{}: cannot be written: ", shown(&dir, "locked/out.partial"));
    assert!(line.starts_with(&expected) && line.contains("Permission denied"), "{line}");
}

#[test]
fn unreadable_file() {
    let Some(user) = wrapper::unprivileged() else { return };
    let dir = pets();
    let _modes = (dir.chmod(".", 0o777), dir.chmod("corpus/b.txt", 0));
    let finished = dir.through(&user).args(&["embed", "-o", "out", "corpus"]).run().expect(3);
    assert!(finished.stderr.starts_with("bowline: b.txt: Permission denied\n"), "{}", finished.stderr);
    assert_eq!(dir.output("out").failures(), [(1, "Permission denied".to_owned())]);
}

#[test]
fn unreadable_directory() {
    let Some(user) = wrapper::unprivileged() else { return };
    let dir = Dir::with_corpus(&[("a.txt", "cat"), ("folder/b.txt", "dog"), ("z.txt", "cat")]);
    let _modes = (dir.chmod(".", 0o777), dir.chmod("corpus/folder", 0));
    let finished = dir.through(&user).args(&["embed", "-o", "out", "corpus"]).run().expect(3);
    let first = finished.stderr.lines().next().unwrap_or_default();
    assert!(first.starts_with("bowline: corpus/folder: ") && first.contains("Permission denied"), "{first}");
    assert_eq!(dir.output("out").paths(), ["a.txt", "z.txt"]);
    assert_eq!(dir.output("out").failures(), []);
}

#[test]
fn unreadable_corpus() {
    let Some(user) = wrapper::unprivileged() else { return };
    let dir = pets();
    let _modes = (dir.chmod(".", 0o777), dir.chmod("corpus", 0));
    let line = refused(&dir, dir.through(&user).args(&["embed", "-o", "out", "corpus"]), 1);
    assert!(line.starts_with("corpus: Permission denied"), "{line}");
}

#[test]
fn unreadable_directory_is_told_in_the_systems_words() {
    let Some(user) = wrapper::unprivileged() else { return };
    let dir = Dir::with_corpus(&[("a.txt", "cat"), ("folder/b.txt", "cat")]);
    let _modes = (dir.chmod(".", 0o777), dir.chmod("corpus/folder", 0));
    let finished = dir.through(&user).args(&["embed", "-o", "out", "corpus"]).run().expect(3);
    assert!(
        finished.stderr.starts_with("bowline: corpus/folder: Permission denied\n"),
        "{}",
        finished.stderr
    );
}

#[test]
fn nothing_but_an_unreadable_directory() {
    let Some(user) = wrapper::unprivileged() else { return };
    let dir = Dir::with_corpus(&[("folder/a.txt", "cat")]);
    let _modes = (dir.chmod(".", 0o777), dir.chmod("corpus/folder", 0));
    let finished = dir.through(&user).args(&["embed", "-o", "out", "corpus"]).run().expect(1);
    assert!(finished.stderr.contains("corpus/folder: Permission denied"), "{}", finished.stderr);
}

#[test]
fn what_is_unreadable_behind_a_link_has_the_links_path() {
    let Some(user) = wrapper::unprivileged() else { return };
    let dir = Dir::with_corpus(&[("a.txt", "cat"), ("sub/b.txt", "dog")]);
    dir.write("closed/inner/c.txt", "cow");
    dir.write("shut/d.txt", "cow");
    // The first folder can be neither listed nor entered, the second can be listed only.
    symlink("../../closed", dir.path("corpus/sub/list")).unwrap();
    symlink("../../shut/d.txt", dir.path("corpus/sub/file")).unwrap();
    symlink("../closed/inner", dir.path("corpus/folder")).unwrap();
    let _modes = (dir.chmod(".", 0o777), dir.chmod("closed", 0), dir.chmod("shut", 0o644));
    for corpus in ["corpus", "corpus/"] {
        let options = ["embed", "--follow", "--force", "-o", "out", corpus];
        let finished = dir.through(&user).args(&options).run().expect(3);
        let said = "bowline: corpus/folder: Permission denied\n\
                    bowline: corpus/sub/file: Permission denied\n\
                    bowline: corpus/sub/list: Permission denied\n2 documents,";
        assert!(finished.stderr.starts_with(said), "{}", finished.stderr);
        assert_eq!(dir.output("out").paths(), ["a.txt", "sub/b.txt"]);
    }
}

#[test]
fn a_folder_that_opens_and_can_not_be_listed_is_named() {
    let dir = Dir::with_corpus(&[("a.txt", "cat"), ("sub/folder/b.txt", "dog"), ("z.txt", "cat")]);
    dir.write("elsewhere/c.txt", "cow");
    symlink("../elsewhere", dir.path("corpus/link")).unwrap();
    for (folder, shown, follow) in [
        ("corpus/sub/folder", "corpus/sub/folder", &[][..]),
        ("corpus/sub/folder", "corpus/sub/folder", &["--follow"]),
        ("elsewhere", "corpus/link", &["--follow"]),
    ] {
        let path = dir.path(folder).canonicalize().unwrap();
        let path = path.to_str().expect("a path of UTF-8");
        let Some(fault) = wrapper::failing_at("inject=getdents64:error=EIO", path) else { return };
        let options = [&["embed", "--force", "-o", "out", "corpus"][..], follow].concat();
        let finished = dir.through(&fault).args(&options).workers(Some("1")).run().expect(3);
        let said = format!("bowline: {shown}: I/O error\n");
        assert!(finished.stderr.starts_with(&said), "{}", finished.stderr);
    }
}

#[test]
fn a_path_that_is_too_long_for_the_system_is_named() {
    let dir = Dir::with_corpus(&[("a.txt", "cat")]);
    // Deeper than a path can be: each folder is made from within the one above it.
    let name = "d".repeat(200);
    let mut folder: OwnedFd = fs::File::open(dir.path("corpus")).unwrap().into();
    for _ in 0..25 {
        mkdirat(&folder, name.as_str(), Mode::S_IRWXU).unwrap();
        folder = openat(&folder, name.as_str(), OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    }
    for follow in [&[][..], &["--follow"]] {
        let finished = dir.embed(&[follow, &["--force"]].concat()).run().expect(3);
        let first = finished.stderr.lines().next().unwrap_or_default();
        assert!(first.starts_with(&format!("bowline: corpus/{name}/")), "{first}");
        assert!(first.ends_with(": File name too long"), "{first}");
        assert_eq!(dir.output("out").paths(), ["a.txt"]);
    }
}

/// The line of a run whose output lies on a disk of 16 KiB. The wrapper prints what is left there: nothing.
fn on_small_disk(dir: &Dir) -> Option<String> {
    let disk = wrapper::small_disk("16k")?;
    fs::create_dir(dir.path("disk")).unwrap();
    Some(refused(dir, dir.through(&disk).args(&["embed", "-o", "disk/out", "corpus"]), 1))
}

/// The bytes that a line says are needed.
fn bytes_needed(line: &str) -> Option<u64> {
    line.split("needs ").nth(1)?.split(' ').next()?.parse().ok()
}

#[test]
fn disk_too_small_for_the_matrix() {
    let text: String = (0..5000).map(|number| format!("word{number} ")).collect();
    let Some(line) = on_small_disk(&Dir::with_corpus(&[("a.txt", text)])) else { return };
    // 5000 cells of 8 bytes.
    assert!(bytes_needed(&line).is_some_and(|bytes| (40_000..44_000).contains(&bytes)), "{line}");
    assert!(line.contains("--output") && line.contains("No space left on device"), "{line}");
    let free = line.split("and ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    assert!(free.is_some_and(|free| free <= 16_384), "{line}");
}

#[test]
fn disk_too_small_for_the_list_of_documents() {
    let name = "a-name-of-some-length-".repeat(5);
    let files: Vec<_> = (0..200).map(|number| (format!("{name}{number}.txt"), "word")).collect();
    let dir = Dir::with_corpus(&files);
    let Some(line) = on_small_disk(&dir) else { return };
    // 200 lines of more than a hundred bytes.
    assert!(bytes_needed(&line).is_some_and(|bytes| (30_000..50_000).contains(&bytes)), "{line}");
    assert!(line.starts_with("documents.jsonl needs ") && line.contains("No space left on device"), "{line}");
}

#[test]
fn what_a_killed_run_left_is_replaced_with_a_notice() {
    let dir = pets();
    let expected = dir.embedded(&[]).files();
    for (quiet, options) in [(false, &["--force"][..]), (true, &["--force", "--quiet"])] {
        for name in ["matrix.npz", "documents.jsonl", ".tmpa1B2c3", "out.0123abcd.checkpoint/0/plan"] {
            dir.write(format!("out.partial/{name}"), "half");
        }
        let finished = dir.embed(options).run().expect(0);
        let notice =
            format!("bowline: {}: left by a run that did not finish; replaced\n", shown(&dir, "out.partial"));
        assert_eq!(finished.stderr.contains(&notice), !quiet, "{}", finished.stderr);
        assert_eq!(
            (dir.output("out").files(), dir.entries()),
            (expected.clone(), vec!["corpus".into(), "out".into()])
        );
    }
}

/// What bears the partial name and is none of a run's doing is nobody's to remove.
#[test]
fn what_no_run_has_left_stays() {
    let dir = pets();
    dir.write("precious/thesis.txt", "years of work");
    dir.write("foreign.partial/chapters/one.txt", "years of work");
    dir.write("mixed.partial/matrix.npz", "half");
    dir.write("mixed.partial/mixed.0123abcd.checkpoint/0/plan", "");
    dir.write("mixed.partial/mixed.0123abcd.checkpoint/0/thesis.txt", "years of work");
    symlink("precious", dir.path("link.partial")).unwrap();
    dir.write("file.partial", "more work");
    nix::unistd::mkfifo(&dir.path("pipe.partial"), Mode::S_IRWXU).unwrap();
    for (target, said) in [
        ("foreign", "contains chapters, which no run has made, so it is not replaced"),
        (
            "mixed",
            "contains mixed.0123abcd.checkpoint/0/thesis.txt, which no run has made, so it is not replaced",
        ),
        ("link", "is a symbolic link, and no run has left it"),
        ("file", "is a file, and no run has left it"),
        ("pipe", "is a special file, and no run has left it"),
    ] {
        for options in [&[][..], &["--force"], &["--resume"]] {
            let line = refused(&dir, dir.embed_to(target, options), 1);
            let path = shown(&dir, &format!("{target}.partial"));
            assert_eq!(line, format!("{path}: {said} (remove it, or --output names another place)"));
        }
    }
    assert_eq!(fs::read(dir.path("mixed.partial/matrix.npz")).unwrap(), b"half");
    assert_eq!(fs::read(dir.path("precious/thesis.txt")).unwrap(), b"years of work");
    assert_eq!(fs::read(dir.path("foreign.partial/chapters/one.txt")).unwrap(), b"years of work");
    assert_eq!(fs::read(dir.path("file.partial")).unwrap(), b"more work");
}

/// As over a network, where a directory can't be exchanged with another in one step.
#[test]
fn a_file_system_that_only_renames_is_enough() {
    let Some(wrapper) = wrapper::failing("inject=renameat2:error=EINVAL") else { return };
    let dir = pets();
    let expected = dir.embed_to("expected", &["--dense"]).run().expect(0);
    assert!(!expected.stderr.is_empty());
    let expected = dir.output("expected").files();
    for options in [&["--dense"][..], &["--dense", "--force"]] {
        let arguments = ["embed", "--output", "out", "corpus"];
        dir.through(&wrapper).args(&arguments).args(options).run().expect(0);
        assert_eq!(
            (dir.output("out").files(), dir.entries()),
            (expected.clone(), vec!["corpus".into(), "expected".into(), "out".into()])
        );
    }
}

#[test]
fn disk_too_small_for_a_list_of_buckets() {
    let Some(disk) = wrapper::small_disk("64k") else { return };
    let text: String = (0..5000).map(|number| format!("word{number} ")).collect();
    let dir = Dir::with_corpus(&[("a.txt", text)]);
    fs::create_dir(dir.path("disk")).unwrap();
    let options = ["--features", "hashed", "--n-features", "10", "--hash-terms"];
    let run = dir.through(&disk).args(&["embed", "-o", "disk/out", "corpus"]).args(&options);
    let line = refused(&dir, run, 1);
    let begins = format!("{} needs more than ", shown(&dir, "disk/out.partial/hash_terms.jsonl"));
    assert!(
        line.starts_with(&begins)
            && line.contains("are free: ")
            && line.ends_with(" (--output names another place)"),
        "{line}"
    );
    // What the file has taken was free.
    let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(matches!(numbers[..], [needed, free] if free >= needed && free > 30_000), "{line}");
}

/// While the output that is replaced is removed, it bears the partial name.
#[test]
fn an_output_that_is_being_replaced_is_not_taken_for_what_is_left() {
    let Some(wrapper) = wrapper::failing("inject=renameat2:delay_exit=5000000") else { return };
    let dir = pets();
    dir.embedded(&[]);
    let inode = |name: &str| fs::metadata(dir.path(name)).map(|metadata| metadata.ino()).ok();
    let replaced = inode("out");
    let mut first = dir.through(&wrapper).args(&["embed", "--force", "-o", "out", "corpus"]).start();
    first.until("the new output's name", |_| inode("out.partial") == replaced);
    let line = dir.embed(&["--force"]).run().expect(1).line().to_owned();
    assert!(line.contains("/out.partial: another run is writing it"), "{line}");
    first.wait().expect(0);
    assert_eq!(dir.entries(), ["corpus", "out"]);
}

/// The lock that a run gets may be that of a directory which has another name by now.
#[test]
fn a_lock_on_what_another_run_has_just_finished_is_none() {
    let Some(wrapper) = wrapper::failing("inject=flock:delay_enter=4000000:when=1") else { return };
    for (options, code) in [(&[][..], 1), (&["--force"], 0)] {
        let dir = pets();
        fs::create_dir(dir.path("out.partial")).unwrap();
        let mut second = dir.through(&wrapper).args(&["embed", "-o", "out", "corpus"]).args(options).start();
        second.until("it has the directory open, and waits", |second| {
            let open = second.children().into_iter().flat_map(processes::open_files);
            open.into_iter().any(|path| path.ends_with("/out.partial"))
        });
        dir.embed(&[]).run().expect(0);
        let finished = second.wait().expect(code);
        assert!(code == 0 || finished.line().ends_with("/out: exists already (--force replaces it)"));
        assert_eq!(dir.entries(), ["corpus", "out"]);
    }
}
