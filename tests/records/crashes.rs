//! Records that crash their worker, hang or wait on purpose (`workers/src/faults.rs`).
//!
//! Only builds with the feature `faults` have such documents: `make test-release` leaves this module out by its name.

use super::faults::assert_fails;
use super::{compressed, embed, file, id, jsonl, tar, texts};
use crate::support::faults::{FAULTS, fault};
use crate::support::{Dir, assert_same_but_causes, processes};
use nix::sys::signal::Signal;
use std::fs::{self, File};
use std::io::Write as _;

/// The lines of a corpus, of which that at `place` is another.
fn with_line(texts: &[String], place: usize, line: &str) -> Vec<u8> {
    let mut lines: Vec<_> = jsonl(texts).split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    lines[place] = line.as_bytes().to_vec();
    lines.concat()
}

/// A record that harms its worker gives the same output as one without a text, but for the cause.
#[test]
fn a_record_that_harms_its_worker_costs_only_itself() {
    let texts = texts(160, 15);
    let dir = Dir::new();
    for (number, (what, cause)) in FAULTS.into_iter().enumerate() {
        for (turn, ending) in ["", ".gz", ".zst"].into_iter().enumerate() {
            let place = [0, 77, 159][(number + turn) % 3];
            let name = format!("a.jsonl{ending}");
            let write = |text: &str| {
                let record = serde_json::json!({"id": id(place), text: fault(what)}).to_string() + "\n";
                let bytes = with_line(&texts, place, &record);
                dir.write(&name, if ending.is_empty() { bytes } else { compressed(&bytes, &ending[1..]) });
            };
            write("other");
            let workers = ["1", "2", "5"][number % 3];
            let patience = if what == "hang" { "0.5" } else { "20" };
            let options = ["--workers", workers, "--worker-memory", "64M", "--document-timeout", patience];
            let (clean, _) = embed(&dir, 3, "clean", &options, &[&name]);
            assert_fails(&clean, 160, &[(place, "no field \"text\"")], "clean");
            write("text");
            let (found, _) = embed(&dir, 3, "found", &options, &[&name]);
            let context = format!("{what} at {place} of {name}, {workers} workers");
            assert_same_but_causes(&clean, &found, &[(place, cause)], &context);
        }
    }
}

/// Several bad records of one stream, in each mode that survives them.
#[test]
fn many_bad_records_of_one_stream() {
    let mut texts = texts(120, 10);
    for place in [3, 4, 5, 60, 118, 119] {
        texts[place] = fault("abort");
    }
    texts[90] = fault("panic");
    let dir = Dir::new();
    let abort = "its worker was killed by SIGABRT";
    let mut failed: Vec<_> = [3, 4, 5, 60, 118, 119].map(|row| (row, abort)).to_vec();
    failed.insert(4, (90, "the analyzer panicked"));
    let mut reference: Option<Vec<(String, Vec<u8>)>> = None;
    for format in ["jsonl", "csv"] {
        for (ending, workers) in [("", "1"), ("", "3"), (".xz", "1"), (".bz2", "5")] {
            let bytes = file(&texts, format);
            let name = "a".to_owned() + "." + format + ending;
            dir.write(&name, if ending.is_empty() { bytes } else { compressed(&bytes, &ending[1..]) });
            let (output, _) = embed(&dir, 3, "out", &["--workers", workers], &[&name]);
            assert_fails(&output, 120, &failed, &name);
            let mut files = output.files();
            files.remove("documents.jsonl");
            let files: Vec<_> = files.into_iter().collect();
            assert!(reference.get_or_insert_with(|| files.clone()) == &files, "{name}");
        }
    }
}

/// What happens to a record file between the walk and the read, and while it is read.
#[test]
fn a_record_file_that_changes_is_named() {
    for mode in ["processes", "threads", "inline"] {
        let texts = texts(40, 15);
        let large: Vec<String> = super::texts(900, 150);
        let mut waiting = jsonl(&texts);
        let wait = serde_json::json!({"text": fault("wait")}).to_string() + "\n";
        waiting.splice(0..0, wait.into_bytes());
        waiting.extend(jsonl(&large));
        let dir = Dir::new();
        dir.write("a.jsonl", &waiting);
        assert!(waiting.len() > 600_000 && waiting.len() < 1 << 21);
        let others = ["gone.jsonl", "grown.csv", "less.jsonl.gz", "other.tar", "same.jsonl"];
        let write = |name: &str, texts: &[String]| {
            let (name, compression) = match name.strip_suffix(".gz") {
                Some(stem) => (stem, Some("gz")),
                None => (name, None),
            };
            let bytes = file(texts, name.rsplit('.').next().expect("an ending"));
            match compression {
                Some(ending) => dir.write(format!("{name}.{ending}"), compressed(&bytes, ending)),
                None => dir.write(name, bytes),
            }
        };
        others.iter().for_each(|name| write(name, &texts));
        let files = [&["a.jsonl"], &others[..]].concat();
        let arguments = ["embed", "--no-sync", "--output", "out", "--workers", "1", "--mode", mode];
        let mut run = dir.bowline(&arguments).args(&files).start();
        let reads = |pid| processes::open_files(pid).iter().any(|path| path.ends_with("a.jsonl"));
        run.until("its first document", |run| run.workers().into_iter().chain([run.pid()]).any(reads));
        // The first range is in the buffer, and it waits in the first document.
        File::options()
            .append(true)
            .open(dir.path("a.jsonl"))
            .unwrap()
            .write_all(b"{\"text\":\"more\"}\n")
            .unwrap();
        fs::remove_file(dir.path("gone.jsonl")).unwrap();
        write("grown.csv", &[&texts[..], &texts[..3]].concat());
        write("less.jsonl.gz", &texts[..20]);
        write("other.tar", &texts);
        dir.write("go", "");
        run.wait().expect(3);
        let output = dir.output("out");
        let failed = |file: &str| -> Vec<_> {
            let lines = output.documents().into_iter().filter(|line| line.path == file);
            lines.filter_map(|line| Some((line.record, line.cause?))).collect()
        };
        let changed = "changed while being read".to_owned();
        assert_eq!(failed("gone.jsonl"), [(Some(0), "vanished".to_owned())], "{mode}");
        for file in ["grown.csv", "less.jsonl.gz"] {
            assert_eq!(failed(file), [(Some(0), changed.clone())], "{mode}: {file}");
        }
        assert_eq!(failed("other.tar"), [(None, changed.clone())], "{mode}");
        assert_eq!(failed("same.jsonl"), [], "{mode}");
        let of_first = failed("a.jsonl");
        assert!(
            !of_first.is_empty() && of_first.iter().all(|(_, cause)| *cause == changed),
            "{mode}: {of_first:?}"
        );
    }
}

/// Members that are no documents count, also if an earlier run has read their archive.
#[test]
fn a_later_run_counts_the_members_that_are_left_out() {
    let dir = Dir::new();
    dir.write("a.tar", tar(&[("one", b"the cat"), (".hidden", b"no"), ("two", b"the dog"), ("d/.b", b"no")]));
    let wait = serde_json::json!({"text": fault("wait")}).to_string();
    dir.write("b.jsonl", wait + "\n{\"text\": \"the end\"}\n");
    let run = || {
        let arguments = ["embed", "--no-sync", "--resume", "--output", "out", "--workers", "1"];
        dir.bowline(&arguments).args(&["a.tar", "b.jsonl"])
    };
    let mut killed = run().start();
    let reads = |pid| processes::open_files(pid).iter().any(|path| path.ends_with("b.jsonl"));
    killed.until("the second file", |run| run.workers().into_iter().any(reads));
    killed.signal(Signal::SIGKILL);
    killed.wait();
    dir.write("go", "");
    let said = run().run().expect(0).stderr;
    assert!(said.contains("an earlier run has counted 2 "), "{said}");
    assert!(said.contains("4 documents, 2 entries left out, "), "{said}");
}
