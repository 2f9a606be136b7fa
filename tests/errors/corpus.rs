//! Errors of the corpus: missing, empty, unreadable or unsuitable files and directories, and documents without terms.

use super::{misused, pets, refused};
use crate::support::{Dir, wrapper};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;

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
        let said = format!(
            "{special}: neither a directory nor a regular file: put its text into a file, or pipe it to standard input and give -"
        );
        assert_eq!(line, said);
    }
}

#[test]
fn kinds_of_input_that_no_option_reads() {
    let dir = pets();
    for (name, ending) in [("texts.7z", ".7z"), ("texts.RAR", ".rar")] {
        dir.write(name, "the cat");
        let line = refused(&dir, dir.bowline(&["embed", "-o", "out", "corpus", name]), 1);
        assert_eq!(line, format!("{name}: {ending} files are not supported: unpack it first"));
    }
}

#[test]
fn record_files_without_a_record() {
    let dir = pets();
    dir.write("empty.jsonl", "\n");
    let line = refused(&dir, dir.bowline(&["embed", "-o", "out", "empty.jsonl"]), 1);
    assert_eq!(line, "empty.jsonl: no documents found");
}

#[test]
fn corpora_that_people_mean_otherwise() {
    let dir = pets();
    for (corpus, said) in [
        (
            "-",
            "standard input is closed or a device: pipe the text in, or redirect a file (./- is a file of that name)",
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
            "a term must occur in 5 documents or more, but the corpus has 2 documents (lower --min-df)",
        ),
        (
            &["--min-df", "2"],
            "no term is left: none of the 2 terms occurs in 2 documents or more (lower --min-df)",
        ),
        (
            &["--max-df", "0.2"],
            "a term may occur in 0.4 documents at most, so no term can be kept (raise --max-df)",
        ),
        (
            &["--min-df", "2", "--max-df", "0.5"],
            "a term may occur in 1 document at most, but must occur in 2 or more (lower --min-df or raise --max-df)",
        ),
    ] {
        assert_eq!(refused(&dir, dir.embed(options), 1), said);
    }
    let dir = Dir::with_corpus(&[("a.txt", "cat"), ("b.txt", "cat")]);
    let line = refused(&dir, dir.embed(&["--max-df", "1"]), 1);
    assert_eq!(line, "no term is left: of 1 term, each occurs in more than 1 document (raise --max-df)");
}

#[test]
fn invalid_utf_8_names_the_document_its_cause_and_the_way_out() {
    let dir = Dir::with_corpus(&[("a.txt", &b"the cat"[..]), ("b.txt", b"dog \xC3\x28")]);
    let finished = dir.embed(&[]).run().expect(3);
    let line = "bowline: b.txt: invalid UTF-8 at byte 4 (--encoding names its encoding, or auto guesses it; \
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
