//! `bowline inspect`: its report of an output, as JSON and as a table.
//!
//! The output has three documents, whose counts can be checked by eye.

use crate::support::Dir;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
    for (option, value, part) in
        [("--document", "d.txt", "d.txt, 1 byte, 0 tokens\n"), ("--term", "dog", "dog, 1 document, sum")]
    {
        let shown = dir.bowline(&["inspect", "out", option, value]).run().expect(0).stdout;
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

/// Formats that are written and never read.
#[test]
fn outputs_without_values() {
    for (format, name) in [
        ("mtx", "matrix.mtx"),
        ("svmlight", "matrix.svm"),
        ("parquet", "matrix.parquet"),
        ("arrow", "matrix.arrow"),
    ] {
        let dir = pets();
        dir.embed(&["--format", format]).run().expect(3);
        let view = inspected(&dir, &[]);
        assert_eq!(
            (&view["nonzeros"], &view["longest"][0]["path"]),
            (&json!(6), &json!("b.txt")),
            "{format}"
        );
        assert_eq!([&view["empty"], &view["top_by_sum"], &view["top_by_df"]], [&Value::Null; 3]);
        let table = dir.bowline(&["inspect", "out"]).run().expect(0).stdout;
        assert!(table.contains("4  documents, 1 failed\n"), "{table}");
        assert!(table.contains("\nvalues are shown of npz and npy outputs only\n"), "{table}");
        for look in [["--document", "0"], ["--term", "dog"]] {
            let finished = dir.bowline(&["inspect", "out"]).args(&look).run().expect(2);
            let expected = format!("{name}: inspect shows values of npz and npy outputs only");
            assert!(finished.line().contains(&expected), "{}", finished.line());
        }
        std::fs::remove_file(dir.path("out").join(name)).unwrap();
        let finished = dir.bowline(&["inspect", "out"]).run().expect(1);
        assert!(finished.line().contains(&format!("out/{name}: ")), "{}", finished.line());
    }
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
    // More bytes than a pipe holds.
    let text: String = (0..20_000).map(|word| format!("word{word} ")).collect();
    let dir = Dir::with_corpus(&[("a.txt", text)]);
    dir.embedded(&[]);
    let wrapper = ["sh", "-c", "{ \"$@\"; echo $? > code; } | true", "sh"];
    let finished =
        dir.through(&wrapper).args(&["inspect", "--json", "--top", "20000", "out"]).run().expect(0);
    let code = std::fs::read_to_string(dir.path("code")).unwrap();
    assert_eq!((finished.stderr.as_str(), code.as_str()), ("", "0\n"));
}

/// Names, terms and causes come from documents.
#[test]
fn nothing_that_it_prints_steers_the_terminal() {
    let unseen = "\u{7}\u{1b}]0;title\u{7}\u{9b}31m\u{202e}\u{2066}\u{2028}\u{7f}\u{200b}\u{feff}\u{e0041}";
    let is_unseen = |c: char| !c.is_ascii_graphic() && c != '\n' && unseen.contains(c);
    let name = format!("a{unseen}\nb");
    let dir =
        Dir::with_corpus(&[(name.as_bytes(), unseen.as_bytes().to_vec()), (b"c", b"e\xCC\x81".to_vec())]);
    dir.add(format!("bad{unseen}").as_bytes(), b"\xFF");
    dir.embed(&["--analyzer", "char", "--no-lowercase", "--ngrams", "1:3"]).run().expect(3);
    let terms = dir.output("out").terms();
    assert!(terms.contains(&"\u{1b}]0".to_owned()), "a file has it as it is");
    let looks: [&[&str]; 4] = [
        &["--top", "1000"],
        &["--document", &name],
        &["--term", "\u{1b}]0"],
        &["--document", "0", "--top", "3"],
    ];
    for look in looks {
        for form in [&[][..], &["--json"]] {
            let shown = dir.bowline(&["inspect", "out"]).args(look).args(form).run().expect(0).stdout;
            assert!(!shown.contains(is_unseen), "{look:?}: {}", shown.escape_debug());
            if form.is_empty() {
                assert!(!shown.lines().any(|line| line.starts_with('b')), "{}", shown.escape_debug());
            } else {
                // The parsed JSON contains the original characters.
                let view: Value = serde_json::from_str(&shown).expect("JSON");
                let is_there = |text: &Value| text.as_str().is_some_and(|text| text.contains(unseen));
                let path = ["path", "term"].into_iter().find_map(|key| view.get(key));
                let path = path.unwrap_or(&view["longest"][0]["path"]);
                assert!(is_there(path) || view["term"] == "\u{1b}]0", "{view}");
            }
        }
    }
    let shown = dir.bowline(&["inspect", "out", "--top", "1000"]).run().expect(0).stdout;
    assert!(shown.contains("e\u{301}") && shown.contains(r#""\u{1b}]0""#), "{}", shown.escape_debug());
}

/// `embed --force` exchanges an output with a new one, and then removes the old one file by file.
#[test]
fn an_output_that_is_replaced_meanwhile_is_seen_whole() {
    let dir = pets();
    dir.embed_to("one", &[]).run().expect(3);
    dir.embed_to("other", &["--ngrams", "1:3"]).run().expect(3);
    let outputs = [dir.path("one"), dir.path("other")];
    dir.embed(&[]).run().expect(3);
    let is_over = AtomicBool::new(false);
    let (out, new) = (dir.path("out"), dir.path("new"));
    std::thread::scope(|scope| {
        let replacing = scope.spawn(|| {
            for next in outputs.iter().cycle().take_while(|_| !is_over.load(Ordering::Relaxed)) {
                fs::create_dir(&new).unwrap();
                for entry in fs::read_dir(next).unwrap() {
                    let entry = entry.unwrap();
                    fs::hard_link(entry.path(), new.join(entry.file_name())).unwrap();
                }
                renameat2(AT_FDCWD, &new, AT_FDCWD, &out, RenameFlags::RENAME_EXCHANGE).unwrap();
                fs::remove_dir_all(&new).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let looks = (0..100).map(|_| dir.bowline(&["inspect", "out"]).run()).chain((0..20).map(|number| {
            dir.embed_to(&format!("next{number}"), &["--vocabulary", "out", "--mode", "inline"]).run()
        }));
        let failed: Vec<_> = looks.filter(|look| !matches!(look.status.code(), Some(0 | 3))).collect();
        is_over.store(true, Ordering::Relaxed);
        replacing.join().unwrap();
        assert!(failed.is_empty(), "{} failed: {}", failed.len(), failed[0].stderr);
    });
}

/// Writes a zip archive.
fn zipped(dir: &Dir, path: &str, members: &[(&str, &[u8])]) {
    let mut archive = zip::ZipWriter::new(fs::File::create(dir.path(path)).unwrap());
    for (name, bytes) in members {
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap();
}

/// Two record files with identifiers, an archive and a plain file.
fn records() -> Dir {
    let dir = Dir::new();
    dir.write(
        "a.jsonl",
        "{\"id\":\"x\",\"text\":\"cat\"}\n{\"id\":\"7\",\"text\":\"cat dog\"}\n{\"id\":\"x:1\"}\n",
    );
    dir.write("b.csv", "id,text\nx,bird\n1,dog dog dog\n");
    zipped(&dir, "c.zip", &[("docs/1.txt", b"fish fish"), ("7", b"owl"), ("bad", b"\xFF")]);
    dir.write("id:7", "newt");
    let arguments = ["embed", "--no-sync", "--output", "out", "a.jsonl", "b.csv", "c.zip", "id:7"];
    let finished = dir.bowline(&arguments).workers(Some("2")).run().expect(3);
    for line in ["a.jsonl, record 2, id x:1: no ", "c.zip, bad: invalid UTF-8 at byte 0"] {
        assert!(finished.stderr.contains(line), "{line}: {}", finished.stderr);
    }
    dir
}

#[test]
fn documents_of_record_files_and_archives() {
    let dir = records();
    let name = |document: &str| {
        let mut view = inspected(&dir, &["--document", document]);
        let view = view.as_object_mut().expect("an object");
        ["status", "cause", "bytes", "tokens", "terms"].iter().for_each(|key| drop(view.remove(*key)));
        Value::from(view.clone())
    };
    let first = json!({"row": 0, "path": "a.jsonl", "record": 0, "id": "x"});
    let second = json!({"row": 1, "path": "a.jsonl", "record": 1, "id": "7"});
    let member = json!({"row": 5, "path": "c.zip", "member": "docs/1.txt"});
    for (wanted, expected) in [
        ("a.jsonl:0", &first),
        ("a.jsonl:1", &second),
        // A number is a row.
        ("0", &first),
        ("1", &second),
        ("c.zip:docs/1.txt", &member),
        ("5", &member),
        ("c.zip:7", &json!({"row": 6, "path": "c.zip", "member": "7"})),
        ("b.csv:1", &json!({"row": 4, "path": "b.csv", "record": 1, "id": "1"})),
        ("id:1", &json!({"row": 4, "path": "b.csv", "record": 1, "id": "1"})),
        ("x:1", &json!({"row": 2, "path": "a.jsonl", "record": 2, "id": "x:1"})),
        ("id:x:1", &json!({"row": 2, "path": "a.jsonl", "record": 2, "id": "x:1"})),
        // A path goes before every other form.
        ("id:7", &json!({"row": 8, "path": "id:7"})),
        ("7", &json!({"row": 7, "path": "c.zip", "member": "bad"})),
    ] {
        assert_eq!(&name(wanted), expected, "{wanted}");
    }
    for (wanted, why) in [
        ("a.jsonl", "3 documents, from a.jsonl:0 (row 0) to a.jsonl:2 (row 2): name one of them"),
        ("c.zip", "3 documents, from c.zip:docs/1.txt (row 5) to c.zip:bad (row 7)"),
        ("x", "2 documents, from a.jsonl:0 (row 0) to b.csv:0 (row 3)"),
        ("id:x", "2 documents, from a.jsonl:0 (row 0) to b.csv:0 (row 3)"),
        ("a.jsonl:3", "no such path, record, member or id, and no row from 0 to 8"),
        ("c.zip:docs", "no such path"),
        ("99", "no such path, record, member or id, and no row from 0 to 8"),
    ] {
        let finished = dir.bowline(&["inspect", "out", "--document", wanted]).run().expect(2);
        let expected = format!("document {wanted}: {why}");
        assert!(finished.line().contains(&expected), "{expected}: {}", finished.line());
    }
}

/// A number beyond the rows that is an identifier: the message says how to name it.
#[test]
fn an_identifier_that_looks_like_a_row() {
    let dir = Dir::new();
    dir.write("a.jsonl", "{\"_id\":\"184\",\"text\":\"cat\"}\n");
    dir.bowline(&["embed", "--no-sync", "--output", "out", "a.jsonl"]).run().expect(0);
    let finished = dir.bowline(&["inspect", "out", "--document", "184"]).run().expect(2);
    let expected = "no row from 0 to 0; id:184 names an identifier";
    assert!(finished.line().ends_with(expected), "{}", finished.line());
    for document in ["id:184", "a.jsonl"] {
        assert_eq!(inspected(&dir, &["--document", document])["row"], json!(0));
    }
}

#[test]
fn lists_name_records_and_members() {
    let dir = records();
    let view = inspected(&dir, &["--top", "2"]);
    let longest = json!([
        {"path": "b.csv", "record": 1, "id": "1", "tokens": 3},
        {"path": "a.jsonl", "record": 1, "id": "7", "tokens": 2},
    ]);
    assert_eq!(view["longest"], longest);
    let failed: Vec<_> = view["failures"].as_array().expect("a list").iter().map(|one| &one["id"]).collect();
    assert_eq!(failed, [&json!("x:1"), &Value::Null]);
    assert_eq!(view["failures"][1]["member"], "bad");
    let table = dir.bowline(&["inspect", "out"]).run().expect(0).stdout;
    for line in [
        "           3  b.csv, record 1, id 1\n",
        "           2  c.zip, docs/1.txt\n",
        "  c.zip, bad: invalid UTF-8 at byte 0\n",
    ] {
        assert!(table.contains(line), "{line}: {table}");
    }
    let term = dir.bowline(&["inspect", "out", "--term", "dog"]).run().expect(0).stdout;
    assert!(term.contains("           1  a.jsonl, record 1, id 7\n"), "{term}");
    let document = dir.bowline(&["inspect", "out", "--document", "c.zip:docs/1.txt"]).run().expect(0).stdout;
    assert!(document.starts_with("row 5: c.zip, docs/1.txt, 9 bytes, 2 tokens\n"), "{document}");
}

/// A member that is read in several chunks, and one that fails before it is read, behind another.
#[test]
fn bytes_of_members_are_their_own() {
    let dir = Dir::new();
    let (long, longer) = ("cat ".repeat(100_000), "cat ".repeat(200_000));
    zipped(
        &dir,
        "c.zip",
        &[("1", b"cat"), ("2", long.as_bytes()), ("3", longer.as_bytes()), ("4", b"cat dog")],
    );
    let arguments = ["embed", "--no-sync", "--output", "out", "--max-document-bytes", "500000", "c.zip"];
    dir.bowline(&arguments).run().expect(3);
    let bytes = |row: &str| inspected(&dir, &["--document", row])["bytes"].clone();
    assert_eq!(["0", "1", "2", "3"].map(bytes), [json!(3), json!(400_000), json!(0), json!(7)]);
}
