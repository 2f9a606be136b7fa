//! Standard input as a CORPUS, and lists of files (`--files-from`).

use crate::support::wrapper::{can_confine, small_disk};
use crate::support::{Dir, Finished, Invocation, processes};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, pipe};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;

/// Two records.
const RECORDS: &str = "{\"id\":\"x\",\"text\":\"the cat\"}\n{\"id\":7,\"text\":\"the dog\"}\n";

/// [`RECORDS`], compressed.
const PACKED: [(&str, &[u8]); 4] = [
    (
        "gzip",
        b"\x1F\x8B\x08\x00\x00\x00\x00\x00\x02\xFF\xABV\xCALQ\xB2R\xAAP\xD2Q*I\xAD(\x012K2R\x15\x92\
        \x13K\x94j\xB9\xAA\xC1r\xE6(2)\xF9\xE9@\x19\x004\x08lj6\x00\x00\x00",
    ),
    (
        "bzip2",
        b"BZh91AY&SY3\xA8\xB1\x03\x00\x00\x19Y\x80\x00\x10P\x04\x00\x90.\xE0\x84J \x00@\x95\x00\x06\
        \x86\xD4)\xA6F&&\x224;\x8C#&\xE1\xDA\xED\xA9 \xEF\x1C\x8B\x97\x14K\x0D\xC1N\x07\x84H\xF8\
        \xBB\x92)\xC2\x84\x81\x9DE\x88\x18",
    ),
    (
        "xz",
        b"\xFD7zXZ\x00\x00\x04\xE6\xD6\xB4F\x02\x00!\x01\x16\x00\x00\x00t/\xE5\xA3\xE0\x005\x00)]\
        \x00=\x88\x89&\x81\x93S\x85\xD85n\xDC\x07vz\xA2h\xF3\x9F\x01\xF4\x0E\x7F\x5C\x95\xE1\xDB0\
        \x91\xB4\x18mE\x14\x96\x82\x8F\x85Z\x87\x00\x00\x00\x00\x00\xA1\xCA[\x19Y\xFD\x1E\xFA\x00\
        \x01E6\xF2\x9B2b\x1F\xB6\xF3}\x01\x00\x00\x00\x00\x04YZ",
    ),
    (
        "zstd",
        b"(\xB5/\xFD\x04Xm\x01\x004\x02{\x22id\x22:\x22x\x22,\x22text\x22:\x22the cat\x22}\x0A7dog\
        \x22}\x0A\x02\x00=\x8F\xE0\x87\xE9\x04\xE5 4\x09",
    ),
];

/// `bowline embed --output out OPTIONS`, with what `from` contains as standard input.
fn embed_from(dir: &Dir, from: impl Into<OwnedFd>, options: &[&str]) -> Invocation {
    let run = dir.bowline(&["embed", "--no-sync", "--force", "--output", "out"]).args(options);
    run.workers(Some("2")).standard_input(from)
}

/// The same, with these bytes in a pipe, which holds 64 KiB.
fn embed_piped(dir: &Dir, bytes: impl AsRef<[u8]>, options: &[&str]) -> Invocation {
    let (reader, writer) = pipe().unwrap();
    File::from(writer).write_all(bytes.as_ref()).unwrap();
    embed_from(dir, reader, options)
}

/// The same, with these bytes in a file.
fn embed_redirected(dir: &Dir, bytes: impl AsRef<[u8]>, options: &[&str]) -> Invocation {
    dir.write("redirected", bytes);
    embed_from(dir, File::open(dir.path("redirected")).unwrap(), options)
}

/// The lines of `documents.jsonl`.
fn documents(dir: &Dir) -> Vec<Value> {
    let text = String::from_utf8(dir.output("out").file("documents.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The paths of all rows, each with its cause if it failed.
fn rows(dir: &Dir) -> Vec<(String, Option<String>)> {
    let text = |line: &Value, name: &str| line[name].as_str().map(str::to_owned);
    documents(dir).iter().map(|line| (text(line, "path").unwrap(), text(line, "cause"))).collect()
}

fn pets() -> Dir {
    Dir::with_corpus(&[("a.txt", "the cat"), ("b.txt", "the dog"), ("sub/c.txt", "the cow")])
}

/// The one line of a run that ends with `code` and leaves no file.
#[track_caller]
fn refused(dir: &Dir, run: Invocation, code: i32) -> String {
    let before = dir.entries();
    let finished = run.run().expect(code);
    assert_eq!(dir.entries(), before, "{}", finished.stderr);
    finished.line().to_owned()
}

#[test]
fn standard_input_is_one_document_or_many() {
    let dir = Dir::new();
    for embed in [
        embed_piped as fn(&Dir, &'static str, &[&str]) -> Invocation,
        embed_redirected as fn(&Dir, &'static str, &[&str]) -> Invocation,
    ] {
        for mode in ["processes", "threads", "inline"] {
            let run = |options: &[&str]| {
                embed(&dir, RECORDS, &[options, &["--mode", mode, "-"]].concat()).run().expect(0);
                documents(&dir)
            };
            for options in [&[][..], &["--input-format", "files"]] {
                let expected = json!([{"path": "-", "bytes": 54, "tokens": 8, "status": "ok"}]);
                assert_eq!(json!(run(options)), expected, "{mode}");
            }
            let record = |number: u32, id: &str| json!({"path": "-", "record": number, "id": id, "bytes": 7, "tokens": 2, "status": "ok"});
            assert_eq!(run(&["--input-format", "jsonl"]), [record(0, "x"), record(1, "7")], "{mode}");
            assert_eq!(dir.output("out").terms(), ["cat", "dog", "the"]);
            assert_eq!(run(&["--input-format", "lines"]).len(), 2, "{mode}");
        }
    }
}

#[test]
fn compressed_standard_input_is_known_by_its_first_bytes() {
    let dir = Dir::new();
    for options in [&["--input-format", "jsonl", "-"][..], &["-"]] {
        embed_piped(&dir, RECORDS, options).run().expect(0);
        let expected = documents(&dir);
        for (name, bytes) in PACKED {
            embed_piped(&dir, bytes, options).run().expect(0);
            assert_eq!(documents(&dir), expected, "{name} in a pipe");
            embed_redirected(&dir, bytes, options).run().expect(0);
            assert_eq!(documents(&dir), expected, "{name} in a file");
        }
    }
    // The other names of standard input, as a CORPUS and as a list.
    for name in ["/dev/stdin", "/dev/fd/0"] {
        embed_redirected(&dir, "the cat", &[name]).run().expect(0);
        assert_eq!(rows(&dir), [(name.to_owned(), None)]);
        embed_redirected(&dir, "redirected\n", &["--files-from", name]).run().expect(0);
        assert_eq!(rows(&dir), [("redirected".to_owned(), None)]);
    }
    // Text that begins as a file of bzip2 does, almost.
    embed_piped(&dir, "BZh9 is a word\n", &["-"]).run().expect(0);
}

/// Enough for several ranges and workers, and for a copy that is written in many parts.
#[test]
fn many_workers_read_standard_input_and_its_position_stays() {
    let dir = Dir::new();
    let text: String = (0..200_000).map(|number| format!("the {number} cats\n")).collect();
    dir.write("text", &text);
    let lines = ["--input-format", "lines"];
    dir.bowline(&["embed", "--no-sync", "-o", "expected", "text"]).args(&lines).run().expect(0);
    let expected = dir.output("expected").file("matrix.npz");
    let found = |run: Invocation, workers: &'static str| {
        run.args(&lines).args(&["--workers", workers, "-"]).run().expect(0);
        let (found, rows) = (dir.output("out").file("matrix.npz"), documents(&dir));
        assert!(found == expected && rows.len() == 200_000, "{workers} workers");
        assert_eq!(rows[199_999]["record"], 199_999);
    };
    for workers in ["1", "3"] {
        let mut file = File::open(dir.path("text")).unwrap();
        found(embed_from(&dir, file.try_clone().unwrap(), &[]), workers);
        assert_eq!(file.stream_position().unwrap(), 0, "the position of the caller's file");
        let pipe = dir.through(&["sh", "-c", r#"cat text | "$0" "$@""#]);
        found(pipe.args(&["embed", "--no-sync", "--force", "-o", "out", "--report", "report.json"]), workers);
        assert!(dir.report()["scratch_bytes"].as_u64() >= Some(text.len() as u64), "{}", dir.report());
    }
    // No worker may write to a file of the caller's, so this one is copied.
    let file = File::options().read(true).write(true).open(dir.path("text")).unwrap();
    found(embed_from(&dir, file, &["--report", "report.json"]), "2");
    assert!(dir.report()["scratch_bytes"].as_u64() >= Some(text.len() as u64), "{}", dir.report());
    // A file that the caller has read a part of.
    let mut file = File::open(dir.path("text")).unwrap();
    file.seek(SeekFrom::Start("the 0 cats\n".len() as u64)).unwrap();
    embed_from(&dir, file, &[&lines[..], &["-"]].concat()).run().expect(0);
    assert_eq!(documents(&dir).len(), 199_999);
}

#[test]
fn standard_input_may_be_one_of_several() {
    let dir = pets();
    embed_piped(&dir, "the pig", &["corpus/b.txt", "-", "corpus"]).run().expect(0);
    let paths: Vec<_> = rows(&dir).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["corpus/b.txt", "-", "corpus/a.txt", "corpus/b.txt", "corpus/sub/c.txt"]);
    if can_confine("strict") {
        for embed in [
            embed_piped as fn(&Dir, &'static str, &[&str]) -> Invocation,
            embed_redirected as fn(&Dir, &'static str, &[&str]) -> Invocation,
        ] {
            embed(&dir, "the pig", &["--sandbox", "strict", "-", "corpus"]).run().expect(0);
            assert!(rows(&dir).iter().all(|(_, cause)| cause.is_none()));
        }
    }
}

/// Left out by `make test-release`, whose program has no documents that crash.
#[cfg(feature = "faults")]
mod crashes {
    use super::*;

    /// The second worker reads the document from its beginning.
    #[test]
    fn a_worker_that_dies_with_standard_input_is_replaced() {
        let dir = Dir::new();
        let records = "the cat\nbowline-fault: segv\nthe dog\n";
        embed_piped(&dir, records, &["--input-format", "lines", "-"]).run().expect(3);
        let segv = Some("its worker was killed by SIGSEGV".to_owned());
        assert_eq!(
            rows(&dir),
            [("-".to_owned(), None), ("-".to_owned(), segv.clone()), ("-".to_owned(), None)]
        );
        embed_redirected(&dir, "bowline-fault: segv", &["-"])
            .args(&["--vocabulary", "redirected"])
            .run()
            .expect(3);
        assert_eq!(rows(&dir), [("-".to_owned(), segv)]);
    }
}

#[test]
fn standard_input_that_is_no_corpus() {
    let dir = pets();
    let write_only = File::create(dir.path("write-only")).unwrap();
    for (input, said) in [
        (OwnedFd::from(File::open("/dev/null").unwrap()), "is closed or a device: pipe the text in"),
        (File::open("/dev/zero").unwrap().into(), "is closed or a device: pipe the text in"),
        (File::open(dir.path("corpus")).unwrap().into(), "is a directory: give its path as CORPUS"),
        (write_only.into(), "is open for writing only"),
    ] {
        let line = refused(&dir, embed_from(&dir, input, &["-"]), 1);
        assert!(line.starts_with(&format!("-: standard input {said}")), "{line}");
    }
    let run = dir.through(&["sh", "-c", r#"exec "$0" "$@" <&-"#]);
    let line = refused(&dir, run.args(&["embed", "-o", "out", "-"]), 1);
    assert!(line.starts_with("-: standard input is closed or a device"), "{line}");
    // The master's side of a new terminal.
    match File::options().read(true).write(true).open("/dev/ptmx") {
        Ok(terminal) => {
            let line = refused(&dir, embed_from(&dir, terminal, &["-"]), 1);
            assert!(line.starts_with("-: standard input is a terminal: pipe the text in"), "{line}");
        }
        Err(_) => _ = writeln!(std::io::stderr(), "\nnot tried: a terminal as standard input"),
    }
    // An error of another CORPUS comes before anything is read.
    let (reader, _writer) = pipe().unwrap();
    let line = refused(&dir, embed_from(&dir, reader, &["-", "nowhere"]), 1);
    assert!(line.starts_with("nowhere: No such file"), "{line}");
}

#[test]
fn an_endless_pipe_can_be_interrupted() {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        for options in [&["-"][..], &["--files-from", "-"]] {
            let dir = Dir::new();
            let (reader, writer) = pipe().unwrap();
            let mut run = embed_from(&dir, reader, options).start();
            File::from(writer.try_clone().unwrap()).write_all(b"the cat\n").unwrap();
            run.until("its lock", |run| processes::has_lock(run.pid()));
            run.signal(signal);
            assert_eq!(run.wait().expect(code).stderr, "");
            assert_eq!(dir.entries(), [""; 0]);
        }
    }
}

#[test]
fn a_disk_that_is_too_small_for_standard_input() {
    let Some(wrapper) = small_disk("2M") else { return };
    let dir = Dir::new();
    fs::create_dir(dir.path("disk")).unwrap();
    dir.write("text", "the cat\n".repeat(1 << 19));
    let run = dir.through(
        &["sh", "-c", r#"cat text 2>&- | "$@""#, "sh"].into_iter().chain(wrapper).collect::<Vec<_>>(),
    );
    let Finished { stdout, stderr, .. } =
        run.args(&["embed", "-o", "out", "--scratch", "disk", "-"]).run().expect(1);
    assert!(stderr.starts_with("bowline: -: copying standard input to a scratch file: "), "{stderr}");
    assert!(stderr.ends_with("(--scratch names another directory)\n"), "{stderr}");
    assert_eq!(
        (stderr.lines().count(), stdout.as_str(), dir.entries()),
        (1, "", vec!["disk".into(), "text".into()])
    );
}

#[test]
fn a_list_keeps_its_order() {
    let dir = pets();
    dir.add(b"odd\xFF", b"the fox");
    let mut list = b"\xEF\xBB\xBFcorpus/b.txt\r\n\n./corpus/a.txt\nnowhere.txt\ncorpus/b.txt\ncorpus/sub\ncorpus/odd\xFF\n".to_vec();
    list.extend_from_slice(dir.path("corpus/a.txt").to_str().unwrap().as_bytes());
    let ok = |path: &str| (path.to_owned(), None);
    let failed = |path: &str, cause: &str| (path.to_owned(), Some(cause.to_owned()));
    let expected = [
        ok("corpus/b.txt"),
        ok("./corpus/a.txt"),
        failed("nowhere.txt", "No such file or directory"),
        ok("corpus/b.txt"),
        failed("corpus/sub", "not a file"),
        ok("corpus/odd\\xFF"),
        ok(dir.path("corpus/a.txt").to_str().unwrap()),
    ];
    dir.write("list", &list);
    let sandboxes: &[&str] = if can_confine("strict") { &["off", "auto", "strict"] } else { &["off"] };
    for sandbox in sandboxes {
        embed_piped(&dir, "", &["--files-from", "list", "--sandbox", sandbox]).run().expect(3);
        assert_eq!(rows(&dir), expected, "{sandbox}");
    }
    let reference = dir.output("out").files();
    // Standard input, NULs, and the working directory of the run.
    embed_piped(&dir, &list, &["--files-from", "-"]).run().expect(3);
    assert_eq!(dir.output("out").files(), reference);
    let list = &list[3..];
    let nuls: Vec<u8> = list
        .iter()
        .filter(|&&byte| byte != b'\r')
        .map(|&byte| if byte == b'\n' { 0 } else { byte })
        .collect();
    for null in ["-0", "--null"] {
        embed_piped(&dir, &nuls, &["--files-from=-", null]).run().expect(3);
        assert_eq!(dir.output("out").files(), reference);
    }
}

#[test]
fn a_list_comes_behind_other_corpora() {
    let dir = pets();
    dir.write("records.jsonl", RECORDS);
    dir.write("absent", "records.jsonl\ngone.jsonl\ncorpus/a.txt\n");
    embed_piped(&dir, "", &["--files-from", "absent", "corpus/sub"]).run().expect(3);
    let shown: Vec<_> = documents(&dir)
        .iter()
        .map(|line| format!("{} {} {}", line["path"], line["record"], line["cause"]))
        .collect();
    assert_eq!(
        shown,
        [
            r#""corpus/sub/c.txt" null null"#,
            r#""records.jsonl" 0 null"#,
            r#""records.jsonl" 1 null"#,
            r#""gone.jsonl" 0 "No such file or directory""#,
            r#""corpus/a.txt" null null"#,
        ]
    );
    embed_piped(&dir, RECORDS, &["--files-from", "absent", "-"]).run().expect(3);
    assert_eq!(rows(&dir)[0], ("-".to_owned(), None));
}

#[test]
fn a_list_may_come_through_a_named_pipe() {
    let dir = pets();
    mkfifo(&dir.path("list"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let running = embed_piped(&dir, "", &["--files-from", "list"]).start();
    // Waits until the run has opened it.
    let mut list = File::options().write(true).open(dir.path("list")).unwrap();
    list.write_all(b"corpus/a.txt\ncorpus").unwrap();
    list.write_all(b"/b.txt\n").unwrap();
    drop(list);
    running.wait().expect(0);
    assert_eq!(dir.output("out").paths(), ["corpus/a.txt", "corpus/b.txt"]);
}

/// The opening of a pipe would wait, and that of a device may have an effect.
#[test]
fn special_files_of_a_list_are_not_opened() {
    let dir = pets();
    mkfifo(&dir.path("pipe"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    embed_piped(&dir, "pipe\n/dev/zero\n/proc/self/nothing\ncorpus/a.txt\n", &["--files-from", "-"])
        .run()
        .expect(3);
    let causes: Vec<_> = rows(&dir).into_iter().map(|(_, cause)| cause.unwrap_or_default()).collect();
    assert_eq!(causes, ["not a file", "not a file", "No such file or directory", ""]);
}

#[test]
fn what_is_no_list_of_paths_is_refused() {
    let dir = pets();
    dir.write("nul", "corpus/a.txt\ncorpus/b.txt\0corpus/a.txt\0");
    dir.write("long", "a".repeat(70_000));
    dir.write("empty", "\n\r\n");
    for (list, said) in [
        (
            "nul",
            "nul: line 2: has a NUL byte, and no path has one (--null reads a list whose paths end in NUL bytes)",
        ),
        (
            "long",
            "long: line 1: longer than 65536 bytes, so this is not a list of paths (--null reads a list whose paths end in NUL bytes)",
        ),
        ("empty", "empty: no documents found"),
        ("corpus", "corpus: a directory, not a list"),
        ("nowhere", "nowhere: No such file or directory (os error 2)"),
    ] {
        assert_eq!(refused(&dir, embed_piped(&dir, "", &["--files-from", list]), 1), said);
    }
}

#[test]
fn a_run_on_a_list_can_be_resumed() {
    let dir = Dir::with_generated(2000);
    let list: String = (1..2000).rev().map(|number| format!("corpus/{number}.txt\n")).collect();
    dir.write("list", format!("{list}corpus/7.txt\ncorpus/gone\n"));
    embed_piped(&dir, "", &["--files-from", "list"]).run().expect(3);
    let expected = dir.output("out").files();
    let options = ["--files-from", "list", "--resume"];
    let mut run = embed_piped(&dir, "", &options).args(&["--read-latency", "20"]).start();
    run.until("a worker", |run| !run.workers().is_empty());
    std::thread::sleep(std::time::Duration::from_millis(300));
    run.signal(Signal::SIGTERM);
    run.wait().expect(143);
    let finished = embed_piped(&dir, "", &options).run().expect(3);
    assert_eq!(dir.output("out").files(), expected, "{}", finished.stderr);
}

#[test]
fn options_without_use_are_refused() {
    let dir = pets();
    let (fields, table) =
        ("needs --input-format auto, jsonl, csv, tsv or parquet", "needs --input-format auto, csv or tsv");
    let twice = "-: standard input can be read once only";
    for (options, said) in [
        (&["--text-field", "a", "--input-format", "files", "corpus"][..], format!("--text-field {fields}")),
        (&["--text-field", "a", "--input-format", "lines", "corpus"], format!("--text-field {fields}")),
        (&["--id-field", "a", "--input-format", "tar", "corpus"], format!("--id-field {fields}")),
        (&["--delimiter", ";", "--input-format", "jsonl", "corpus"], format!("--delimiter {table}")),
        (&["--no-header", "--input-format", "parquet", "corpus"], format!("--no-header {table}")),
        (&["--null", "corpus"], "--null needs --files-from".to_owned()),
        (&["-0", "corpus"], "--null needs --files-from".to_owned()),
        (&["-", "corpus", "-"], twice.to_owned()),
        (&["--files-from", "-", "-"], twice.to_owned()),
        (
            &["--resume", "-"],
            "-: a run on standard input can't be resumed: put its text into a file".to_owned(),
        ),
    ] {
        assert_eq!(refused(&dir, embed_piped(&dir, "the cat", options), 2), said);
    }
    let finished = dir.bowline(&["embed", "-o", "out"]).run().expect(2);
    assert!(finished.stderr.contains("CORPUS"), "{}", finished.stderr);
}

#[test]
fn options_for_records_without_records_get_a_notice() {
    let dir = pets();
    dir.write("a.jsonl", RECORDS);
    dir.write("a.csv", "text\nthe cat\n");
    let hint = "(--input-format reads any file as one of records)";
    let fields = format!(
        "bowline: fields of records are given, but no CORPUS is a JSONL, CSV, TSV or Parquet file {hint}\n"
    );
    let table =
        format!("bowline: options for CSV and TSV files are given, but no CORPUS is such a file {hint}\n");
    for (options, notice) in [
        (&["--text-field", "text", "corpus"][..], fields.as_str()),
        (&["--id-field", "id", "corpus"], &fields),
        (&["--text-field", "text", "corpus", "a.jsonl"], ""),
        (&["--delimiter", ";", "a.jsonl"], &table),
        (&["--no-header", "corpus"], &table),
        (&["--delimiter", ",", "a.jsonl", "a.csv"], ""),
    ] {
        let finished = embed_piped(&dir, "", options).run().expect(0);
        let notices: String = finished
            .stderr
            .lines()
            .filter(|line| line.starts_with("bowline: "))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(notices, notice, "{options:?}");
    }
}

#[test]
fn events_as_json() {
    let dir = pets();
    dir.add(b"d\x1b\xFF", b"\xFF");
    let lines = |options: &[&str], code: i32| -> Vec<Value> {
        let finished =
            embed_piped(&dir, RECORDS, &[options, &["--progress", "json"]].concat()).run().expect(code);
        assert_eq!(finished.stdout, "");
        finished.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let found = lines(&["--glob", "*.md", "--glob", "*", "--text-field", "a", "corpus"], 3);
    let of = |event: &str| found.iter().filter(|line| line["event"] == event).cloned().collect::<Vec<_>>();
    let phases: Vec<_> =
        of("phase").iter().map(|line| (line["phase"].clone(), line["total"].clone())).collect();
    assert_eq!(phases[..2], [(json!("walk"), Value::Null), (json!("tally"), json!(4))]);
    assert_eq!(
        phases.iter().map(|(phase, _)| phase).collect::<Vec<_>>(),
        ["walk", "tally", "merge", "emit", "publish"]
    );
    let progress = of("progress");
    let last = progress.iter().rfind(|line| line["phase"] == "tally").expect("progress");
    assert_eq!((&last["done"], &last["total"], &last["bytes"]), (&json!(4), &json!(4), &json!(22)));
    let notices = of("notice");
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(notices.iter().any(|line| line["hint"] == "--input-format reads any file as one of records"));
    let failures = of("failure");
    assert_eq!(
        (failures.len(), &failures[0]["path"], &failures[0]["cause"]),
        (1, &json!("d\u{1b}\\xFF"), &json!("invalid UTF-8 at byte 0"))
    );
    assert!(failures[0]["hint"].as_str().is_some_and(|hint| hint.contains("--encoding")));
    let summary = found.last().expect("lines");
    assert_eq!(
        (&summary["event"], &summary["documents"], &summary["failed"]),
        (&json!("summary"), &json!(4), &json!(1))
    );
    assert_eq!((&summary["tokens"], &summary["columns"]), (&json!(6), &json!(4)));
    assert!(summary["seconds"].is_f64() && summary["output"].is_string());
    // Quiet lines tell how far the run is, and no more.
    let quiet = lines(&["--quiet", "--input-format", "lines", "-"], 0);
    assert!(quiet.iter().all(|line| line["event"] == "phase" || line["event"] == "progress"), "{quiet:?}");
    assert!(quiet.iter().any(|line| line["phase"] == "copy"), "{quiet:?}");
    assert!(quiet.iter().any(|line| line["total_bytes"] == RECORDS.len()), "{quiet:?}");
    // An error is the only line that is none.
    let finished = dir.bowline(&["embed", "-o", "other", "--progress", "json", "nowhere"]).run().expect(1);
    let last = finished.stderr.lines().last().expect("an error");
    assert_eq!(last, "bowline: nowhere: No such file or directory");
}
