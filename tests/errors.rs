//! Wrong use and bad input. Each error is one clear line that names the path or the option, has the right exit code,
//! and leaves no file behind.
//!
//! Exit codes: 2 wrong usage, 1 could not finish, 3 finished with failed documents.

mod corpus;
mod options;
mod output;

use crate::support::{Dir, Invocation};

fn pets() -> Dir {
    Dir::with_corpus(&[("a.txt", "the cat"), ("b.txt", "the dog")])
}

/// Runs a command that must fail with `code` and leave no file, and returns its one line.
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

/// Runs a command that the parser of the command line must refuse, and returns its message.
#[track_caller]
fn misused(dir: &Dir, arguments: &[&str]) -> String {
    let before = dir.entries();
    let finished = dir.bowline(arguments).run().expect(2);
    assert_eq!((dir.entries(), finished.stdout.as_str()), (before, ""));
    assert!(finished.stderr.starts_with("error: "), "{}", finished.stderr);
    finished.stderr
}
