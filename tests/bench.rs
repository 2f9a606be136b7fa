//! `bowline bench`: a table of the modes, nothing left behind, and no table where a run fails.
//!
//! Times are the machine's affair and not looked at.

use crate::support::{Dir, Finished};

/// Runs `bench` with a directory for its temporary files, in which nothing may be left.
fn bench(dir: &Dir, arguments: &[&str], code: i32) -> Finished {
    std::fs::create_dir_all(dir.path("temporary")).unwrap();
    let invocation =
        dir.bowline(&["bench", "--runs", "2"]).args(arguments).env("TMPDIR", dir.path("temporary"));
    let finished = invocation.run().expect(code);
    assert_eq!(std::fs::read_dir(dir.path("temporary")).unwrap().count(), 0, "temporary files are left");
    finished
}

#[test]
fn a_line_for_each_mode_and_number_of_workers() {
    let dir = Dir::with_corpus(&[("a.txt", "the cat"), ("b.txt", "the dog")]);
    let finished = bench(&dir, &["--workers", "1,3", "corpus"], 0);
    let mut lines = finished.stdout.lines();
    let first = lines.next().unwrap_or_default();
    assert!(
        first.starts_with("2 documents, ") && first.ends_with("same bytes every time"),
        "{}",
        finished.stdout
    );
    let contestants: Vec<Vec<_>> = lines.map(|line| line.split_whitespace().take(2).collect()).collect();
    let expected = [
        ["mode", "workers"],
        ["inline", "1"],
        ["threads", "1"],
        ["threads", "3"],
        ["processes", "1"],
        ["processes", "3"],
    ];
    assert_eq!(contestants, expected);
}

#[test]
fn a_run_that_fails_is_no_row() {
    let finished = bench(&Dir::new(), &["nowhere"], 1);
    let line = finished.line();
    assert!(line.contains("nowhere: No such file or directory"), "{line}");
}
