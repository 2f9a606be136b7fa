//! `bowline bench`: every suite on a small corpus, the fields of the JSON file, the page, no table if outputs differ,
//! and no files left behind.
//!
//! These are the tests of the crate `bench`, since they need its program. They do not check times, which depend on the
//! machine. They check results that are the same on every machine: lost updates, the faults that each mode survives,
//! and the number of workers inside a semaphore.

mod generate;
#[expect(dead_code, unused_imports, reason = "support is for all tests, and these need a part of it")]
mod support;

use crate::support::processes::{is_alive, left_of_group};
use crate::support::{Dir, Finished, Invocation};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// `bench`, with a directory for its temporary files, which must be empty afterwards.
fn invocation(dir: &Dir, arguments: &[&str]) -> Invocation {
    fs::create_dir_all(dir.path("temporary")).unwrap();
    let temporary = format!("TMPDIR={}", dir.path("temporary").display());
    dir.through(&["env", &temporary]).args(&["bench"]).args(arguments).limit(Duration::from_secs(240))
}

fn bench(dir: &Dir, arguments: &[&str], code: i32) -> Finished {
    let finished = invocation(dir, arguments).run().expect(code);
    assert_eq!(left(dir), Vec::<String>::new(), "temporary files are left");
    finished
}

/// Whether the first run, the reference of the others, has ended.
fn has_reference(dir: &Dir) -> bool {
    let entries =
        |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut inside = entries(dir.path("temporary")).flat_map(entries);
    inside.any(|path| path.join("output/manifest.json").exists())
}

fn left(dir: &Dir) -> Vec<String> {
    let entries = fs::read_dir(dir.path("temporary")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// A small run of one suite. Returns the suite's part of the JSON file, and the whole file.
fn suite(name: &str, options: &[&str]) -> (Value, Value) {
    let dir = Dir::with_generated(60);
    let arguments =
        [&["--suite", name, "--json", "found.json", "--html", "page.html"], options, &["corpus"]].concat();
    let finished = bench(&dir, &arguments, 0);
    let found: Value = serde_json::from_slice(&fs::read(dir.path("found.json")).unwrap()).unwrap();
    assert_schema(&found);
    let suites = found["suites"].as_array().unwrap();
    assert_eq!(suites.len(), 1);
    assert_eq!(suites[0]["name"], name);
    assert_page(&fs::read_to_string(dir.path("page.html")).unwrap(), &suites[0]);
    let last = finished.stdout.lines().last().unwrap_or_default();
    assert_eq!(last, found["verdict"].as_str().unwrap(), "the verdict comes last");
    assert!(last.len() > 20, "{last}");
    (suites[0].clone(), found)
}

/// The fields of every JSON file, as docs/BENCHMARKS.md lists them.
fn assert_schema(found: &Value) {
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let sorted = |mut keys: Vec<&'static str>| {
        keys.sort_unstable();
        keys
    };
    let top =
        ["schema", "bowline", "machine", "corpus", "runs", "method", "suites", "claims", "notice", "verdict"];
    assert_eq!(keys(found), sorted(top.into()));
    assert_eq!(found["schema"], 1);
    assert_eq!(
        keys(&found["machine"]),
        sorted(vec!["processor", "cores", "memory", "kernel", "busy_percent"])
    );
    let corpus = ["paths", "documents", "failed", "bytes", "tokens", "columns", "nonzeros"];
    assert_eq!(keys(&found["corpus"]), sorted(corpus.into()));
    assert_eq!(found["corpus"]["documents"], 60);
    for suite in found["suites"].as_array().unwrap() {
        assert_eq!(keys(suite), sorted(vec!["name", "title", "about", "tables", "figures"]));
        for table in suite["tables"].as_array().unwrap() {
            assert_eq!(keys(table), sorted(vec!["name", "title", "rows", "found"]));
            assert!(
                !table["rows"].as_array().unwrap().is_empty() && !table["found"].as_str().unwrap().is_empty()
            );
        }
        for figure in suite["figures"].as_array().unwrap() {
            let fields = ["name", "title", "kind", "x_label", "y_label", "series", "found"];
            assert_eq!(keys(figure), sorted(fields.into()));
            for series in figure["series"].as_array().unwrap() {
                assert_eq!(keys(series), sorted(vec!["name", "is_ideal", "points"]));
            }
        }
    }
    for claim in found["claims"].as_array().unwrap() {
        assert_eq!(keys(claim), sorted(vec!["claim", "holds", "why"]));
    }
}

/// The page has a plot for each figure and a table for each table, and loads nothing from other places.
fn assert_page(page: &str, suite: &Value) {
    let count = |part: &str| page.matches(part).count();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
    assert_eq!(count("<figure>"), suite["figures"].as_array().unwrap().len());
    assert_eq!(count("class=\"plot\""), count("<figure>"));
    assert_eq!(count("<table>"), suite["tables"].as_array().unwrap().len() + 1, "and that of the claims");
    for reference in ["src=", "@import", "url(http", "<script", "<link"] {
        assert_eq!(count(reference), 0, "{reference}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf "), "a number that is none");
}

fn rows<'a>(suite: &'a Value, table: &str) -> &'a Vec<Value> {
    let table = suite["tables"].as_array().unwrap().iter().find(|found| found["name"] == table);
    table.expect("a table of that name")["rows"].as_array().unwrap()
}

/// The cells of two columns of a table.
fn pairs(suite: &Value, table: &str, columns: [&str; 2]) -> Vec<(String, u64)> {
    let pair =
        |row: &Value| (row[columns[0]].as_str().unwrap().to_owned(), row[columns[1]].as_u64().unwrap());
    rows(suite, table).iter().map(pair).collect()
}

fn owned(pairs: &[(&str, u64)]) -> Vec<(String, u64)> {
    pairs.iter().map(|&(mode, workers)| (mode.to_owned(), workers)).collect()
}

#[test]
fn scaling_has_a_row_for_each_mode_and_number_of_workers() {
    let (suite, found) = suite("scaling", &["--no-python", "--runs", "2", "--workers", "1,3"]);
    let expected = [
        ("inline", 1),
        ("threads", 1),
        ("threads", 3),
        ("processes", 1),
        ("processes", 3),
        ("processes, no sandbox", 3),
    ];
    for table in ["times", "phases", "costs"] {
        assert_eq!(pairs(&suite, table, ["mode", "workers"]), owned(&expected), "{table}");
    }
    for row in rows(&suite, "times") {
        let (seconds, speed_up) = (&row["seconds"], row["speed_up"].as_f64().unwrap());
        assert_eq!(seconds["values"].as_array().unwrap().len(), 2);
        assert!(seconds["min"].as_f64() <= seconds["median"].as_f64() && speed_up > 0.0);
    }
    let started: Vec<_> =
        rows(&suite, "phases").iter().map(|row| row["workers_started"].as_f64().unwrap()).collect();
    assert_eq!(started, [2.0, 2.0, 6.0, 2.0, 6.0, 6.0], "two generations");
    let messages: Vec<_> =
        rows(&suite, "costs").iter().map(|row| row["messages"].as_f64().unwrap()).collect();
    assert!(messages[0] > 4.0 && messages[0] == messages[1] && messages[1] == messages[3], "{messages:?}");
    let of = |suite: &str| {
        let claims = found["claims"].as_array().unwrap().iter();
        claims.filter(|claim| claim["why"].as_str().unwrap().contains(suite)).count()
    };
    assert!(of("--suite locks") > 0 && of("--suite scaling") == 0, "claims that were not looked at say so");
}

#[test]
fn a_corpus_that_changes_gives_no_table() {
    let dir = Dir::with_generated(60);
    let files = ["--json", "found.json", "--html", "page.html"];
    let mut run = invocation(&dir, &["--no-python", "--runs", "50", "corpus"]).args(&files).start();
    run.until("there is something to compare with", |_| has_reference(&dir));
    dir.add(b"1.txt", b"another text altogether");
    let finished = run.wait().expect(1);
    // The one line: there is nothing on standard output.
    let line = finished.line();
    assert!(line.contains(" differs between inline and ") && line.contains("no table"), "{line}");
    assert!(!dir.path("found.json").exists() && !dir.path("page.html").exists());
    assert_eq!(left(&dir), Vec::<String>::new());
}

#[test]
fn a_run_that_fails_is_no_row() {
    let dir = Dir::new();
    let finished = bench(&dir, &["--no-python", "nowhere"], 1);
    assert!(finished.line().contains("nowhere: No such file or directory"), "{}", finished.line());
    let dir = Dir::with_generated(3);
    for one_file in ["found", "./found", "corpus/../found"] {
        let finished = bench(&dir, &["--no-python", "--json", "found", "--html", one_file, "corpus"], 2);
        assert!(finished.line().ends_with("--json and --html can't be one file"), "{}", finished.line());
    }
    let finished = bench(&dir, &["--no-python", "--json", "corpus/found.json", "corpus"], 2);
    assert!(finished.line().contains("--json lies in the corpus"), "{}", finished.line());
    assert_eq!(dir.entries(), ["corpus", "temporary"], "nothing is left");
    let finished = bench(&dir, &["--html", "no/such/folder.html", "nowhere"], 1);
    assert!(finished.line().starts_with("no/such/folder.html: No such file"), "{}", finished.line());
}

#[test]
fn a_signal_ends_it_and_all_that_it_started() {
    let dir = Dir::with_generated(60);
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        for suite in ["scaling", "locks"] {
            let arguments = ["--no-python", "--runs", "50", "--suite", suite, "corpus"];
            let mut run = invocation(&dir, &arguments).start();
            let mut measured = Vec::new();
            run.until("something is measured", |run| {
                measured = run.children();
                has_reference(&dir) && !measured.is_empty()
            });
            run.signal(signal);
            let finished = run.wait().expect(code);
            assert_eq!((finished.stdout.as_str(), left(&dir)), ("", Vec::new()), "{suite}");
            for program in measured {
                // A measured program leads its own group. Its workers end within 1 s.
                assert_eq!(left_of_group(program, Duration::from_secs(1)), [], "{suite}");
                assert!(!is_alive(program), "{suite}");
            }
        }
    }
}

#[test]
fn waiting_pays_and_reads_are_bounded() {
    let options = ["--no-python", "--runs", "1", "--workers", "1,4", "--read-latency", "5"];
    let (suite, found) = suite("io", &options);
    let expected = [("inline", 1), ("threads", 1), ("threads", 4), ("processes", 1), ("processes", 4)];
    assert_eq!(pairs(&suite, "latency", ["mode", "workers"]), owned(&expected));
    let expected = [4, 2, 1].map(|permits| ("threads", permits));
    let bounded = pairs(&suite, "max_reads", ["mode", "max_reads"]);
    assert_eq!(bounded[..3], owned(&expected));
    for row in rows(&suite, "max_reads") {
        let least = 60.0 * 0.005 / row["max_reads"].as_f64().unwrap();
        assert!((row["least_seconds"].as_f64().unwrap() - least).abs() < 1e-9);
        assert!(row["seconds"]["min"].as_f64().unwrap() >= least, "{row}");
        assert!(row["most_within"].as_u64().unwrap() <= row["max_reads"].as_u64().unwrap(), "{row}");
    }
    assert_eq!(pairs(&suite, "cold", ["mode", "workers"]).len(), 5);
    let claims = found["claims"].as_array().unwrap();
    let semaphore = claims.iter().find(|claim| claim["claim"].as_str().unwrap().contains("semaphore"));
    assert_eq!(semaphore.unwrap()["holds"], "yes");
}

#[test]
fn updates_are_lost_where_nothing_protects_them_and_only_there() {
    let (suite, _) = suite("counters", &["--no-python", "--runs", "3"]);
    let rows = rows(&suite, "counters");
    assert_eq!(rows.len(), 8);
    for row in rows {
        let (truth, value) = (row["truth"].as_u64().unwrap(), row["value"].as_u64().unwrap());
        let least_lost = row["lost_percent"]["min"].as_f64().unwrap();
        match row["way"].as_str().unwrap() {
            "unsynchronised" => assert!(value < truth && least_lost > 0.0, "on every run: {row}"),
            _ => assert!(value == truth && row["lost_percent"]["max"] == 0.0, "{row}"),
        }
    }
}

#[test]
fn locks_keep_what_they_are_for_and_a_dead_holder_is_told() {
    let (suite, _) = suite("locks", &["--no-python", "--runs", "1"]);
    assert_eq!(rows(&suite, "costs").len(), 24, "six means, two kinds, alone and contended");
    let deaths: Vec<_> = rows(&suite, "deaths")
        .iter()
        .map(|row| (row["means"].as_str().unwrap(), row["outcome"].as_str().unwrap().starts_with("free")))
        .collect();
    let expected = [("lock", false), ("robust lock", true), ("semaphore", false), ("--max-reads", true)];
    assert_eq!(deaths, [expected, expected].concat());
}

#[test]
fn memory_is_that_of_all_processes() {
    let (suite, _) = suite("memory", &["--no-python", "--runs", "1", "--workers", "1,3"]);
    let rows = rows(&suite, "memory");
    assert_eq!(rows.len(), 5);
    for row in rows {
        let megabytes = |field: &str| row[field]["median"].as_f64().unwrap();
        assert!(megabytes("proportional_megabytes") > 0.5 && megabytes("unique_megabytes") > 0.1, "{row}");
    }
}

#[test]
fn processes_survive_what_ends_threads() {
    let (suite, _) = suite("faults", &["--no-python", "--runs", "1"]);
    let told = rows(&suite, "faults").iter().map(|row| {
        let text = |field: &str| row[field].as_str().unwrap().to_owned();
        (text("fault"), text("mode"), text("delivered"))
    });
    let told: Vec<_> = told.collect();
    let signals = [
        "a worker that crashes (SIGSEGV)",
        "kill -9 of a worker process",
        "kill -9 of all worker processes",
        "kill -9 of the program, then --resume",
    ];
    let documents = ["a document that crashes", "a document that hangs", "a document that exhausts memory"];
    assert_eq!(told.len(), 12);
    for (fault, mode, delivered) in told {
        let is_document = documents.contains(&fault.as_str());
        assert!(is_document || signals.contains(&fault.as_str()), "{fault}");
        let is_right = match (is_document, mode.as_str()) {
            (true, "processes") => delivered.starts_with("everything but the document, named: "),
            (false, "processes") => delivered == "everything, the same bytes",
            _ if fault.contains("--resume") => delivered == "everything, the same bytes",
            _ => delivered.starts_with("nothing"),
        };
        assert!(is_right, "{fault}, {mode}: {delivered}");
    }
}

#[test]
fn python_is_measured_beside_it() {
    let probe = ["-c", "import multiprocessing; multiprocessing.get_context('fork').Lock()"];
    let probed = std::process::Command::new("python3").args(probe).output();
    if !probed.is_ok_and(|probed| probed.status.success()) {
        eprintln!("left out: there is no python3 with locks between processes");
        return;
    }
    let (scaling, _) = suite("scaling", &["--runs", "1", "--workers", "2"]);
    let modes: Vec<_> = rows(&scaling, "python").iter().map(|row| row["mode"].as_str().unwrap()).collect();
    assert_eq!(modes[..3], ["sequential", "threads", "processes"]);
    let (counters, _) = suite("counters", &["--runs", "1"]);
    for row in rows(&counters, "python_counters") {
        assert!(row["way"] != "lock" || row["value"] == row["truth"], "{row}");
    }
    let (locks, _) = suite("locks", &["--runs", "1"]);
    let costs = rows(&locks, "python_costs");
    // Two modes; five means, alone and contended.
    assert_eq!(costs.len() % 20, 0, "{costs:?}");
    assert!(costs.iter().all(|row| row["nanoseconds"]["median"].as_f64().unwrap() > 0.0), "{costs:?}");
    let (faults, _) = suite("faults", &["--runs", "1"]);
    let hanging =
        rows(&faults, "python_faults").iter().find(|row| row["pool"] == "multiprocessing.Pool").unwrap();
    assert!(hanging["delivered"].as_str().unwrap().starts_with("hangs"), "{hanging}");
}
