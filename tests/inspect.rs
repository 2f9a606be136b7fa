//! `bowline inspect`: what it tells of an output, as JSON and as a table.
//!
//! The output is that of three documents, whose counts can be checked by eye.

use crate::support::Dir;
use serde_json::{Value, json};

fn pets() -> Dir {
    let dir =
        Dir::with_corpus(&[("a.txt", "a dog; the cat"), ("b.txt", "the cat sat. the cat!"), ("c.txt", "")]);
    dir.add(b"d.txt", b"\xFF");
    dir
}

fn inspected(dir: &Dir, options: &[&str]) -> Value {
    let finished = dir.bowline(&["inspect", "out", "--json"]).args(options).run().expect(0);
    serde_json::from_str(&finished.stdout).expect("JSON")
}

#[test]
fn the_whole() {
    for (options, form) in [(&[][..], "sparse"), (&["--dense"], "dense")] {
        let dir = pets();
        dir.embed(options).run().expect(3);
        let view = inspected(&dir, &["--top", "2"]);
        assert_eq!(view["documents"], json!(4), "{form}");
        assert_eq!((&view["failed"], &view["empty"], &view["columns"]), (&json!(1), &json!(1), &json!(4)));
        assert_eq!(view["nonzeros"], json!(6));
        let by_sum = json!([{"term": "cat", "value": 3.0}, {"term": "the", "value": 3.0}]);
        let by_df = json!([{"term": "cat", "value": 2.0}, {"term": "the", "value": 2.0}]);
        assert_eq!((&view["top_by_sum"], &view["top_by_df"]), (&by_sum, &by_df));
        assert_eq!(view["longest"][0], json!({"path": "b.txt", "tokens": 5}));
        assert_eq!(view["failures"], json!([{"path": "d.txt", "cause": "invalid UTF-8 at byte 0"}]));
    }
}

#[test]
fn one_document_and_one_term() {
    let dir = pets();
    dir.embed(&["--dtype", "f64"]).run().expect(3);
    let best = json!([
        {"term": "cat", "value": 2.0}, {"term": "the", "value": 2.0}, {"term": "sat", "value": 1.0},
    ]);
    for document in ["b.txt", "1"] {
        let view = inspected(&dir, &["--document", document]);
        assert_eq!((&view["row"], &view["terms"]), (&json!(1), &best));
    }
    let view = inspected(&dir, &["--term", "dog"]);
    assert_eq!((&view["column"], &view["df"], &view["sum"]), (&json!(1), &json!(1), &json!(1.0)));
    assert_eq!(view["documents"], json!([{"path": "a.txt", "value": 1.0}]));
}

#[test]
fn tables_for_people() {
    let dir = pets();
    dir.embed(&["--features", "hashed", "--n-features", "8"]).run().expect(3);
    let table = dir.bowline(&["inspect", "out"]).run().expect(0).stdout;
    for part in
        ["4  documents, 1 failed, 1 empty", "8  columns", "terms by documents", "#", "d.txt: invalid UTF-8"]
    {
        assert!(table.contains(part), "{part}: {table}");
    }
}

#[test]
fn what_is_not_there() {
    let dir = pets();
    dir.embed(&[]).run().expect(3);
    let line = |arguments: &[&str], code| dir.bowline(arguments).run().expect(code).line().to_owned();
    assert!(line(&["inspect", "out", "--document", "9"], 2).contains("no row from 0 to 3"));
    assert!(line(&["inspect", "out", "--term", "bird"], 2).contains("not in the vocabulary"));
    assert!(line(&["inspect", "corpus"], 1).starts_with("corpus: no output of bowline"));
    dir.write("out/matrix.npz", "no archive");
    assert!(line(&["inspect", "out"], 1).starts_with("out/matrix.npz: "));
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    // More than a pipe holds.
    let text: String = (0..20_000).map(|word| format!("word{word} ")).collect();
    let dir = Dir::with_corpus(&[("a.txt", text)]);
    dir.embedded(&[]);
    let wrapper = ["sh", "-c", "{ \"$@\"; echo $? > code; } | true", "sh"];
    let finished =
        dir.through(&wrapper).args(&["inspect", "--json", "--top", "20000", "out"]).run().expect(0);
    let code = std::fs::read_to_string(dir.path("code")).unwrap();
    assert_eq!((finished.stderr.as_str(), code.as_str()), ("", "0\n"));
}
