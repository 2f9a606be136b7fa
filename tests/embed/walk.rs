//! The documents that a run finds: order of rows, several corpora, globs, hidden files, links and special files.

use super::{assert_rows, ok, pets};
use crate::support::Dir;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;
use std::os::unix::fs::symlink;

#[test]
fn rows_are_sorted_by_the_bytes_of_their_paths() {
    let paths = ["Z", "a-b.txt", "a.txt", "a/x", "a/x.txt", "a/x/y", "b", "\u{e9}", "\u{65e5}"];
    // A file and a directory can't have the same name, so the file `a/x` is left out.
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

/// In ignore files, `#` begins a comment and spaces at the end of a line are ignored. Here they are part of the glob.
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
    let files = [("a/B.JSONL", "aa"), ("a/c.csv", "bb"), ("d.jsonl", "cc"), ("e.txt", "dd")];
    let dir = Dir::with_corpus(&files);
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(b"ee").unwrap();
    dir.write("corpus/f.jsonl.gz", packed.finish().unwrap());
    let finished = dir.embed(&[]).run().expect(0);
    assert_eq!(dir.output("out").paths(), ["a/B.JSONL", "a/c.csv", "d.jsonl", "e.txt", "f.jsonl.gz"]);
    let notice = "bowline: files that look like record files are one document each: 1 csv, 2 jsonl, \
                  1 jsonl (gzip), such as corpus/a/B.JSONL (--input-format jsonl)\n5 documents,";
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
    // Opening a pipe without a writer blocks, so the run would exceed its time limit.
    nix::unistd::mkfifo(&dir.path("corpus/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    // No socket is bound: its path may be longer than an address can be.
    let mode = nix::sys::stat::Mode::S_IRWXU;
    nix::sys::stat::mknod(&dir.path("corpus/socket"), nix::sys::stat::SFlag::S_IFSOCK, mode, 0).unwrap();
    let finished = dir.embed(&[]).run().expect(0);
    assert_eq!(dir.output("out").paths(), ["a.txt"]);
    assert!(finished.stderr.contains("1 document, 2 entries left out,"), "{}", finished.stderr);
}
