//! The command itself: the report, the summary, progress, help, and `--force`.

use super::pets;
use crate::support::Dir;
use serde_json::json;

#[test]
fn report_tells_phases_counts_and_usage() {
    let dir = Dir::with_corpus(&[("a", &b"cat dog cat"[..]), ("b", b"\xFF"), ("c", b"")]);
    dir.embed(&["--report", "report.json", "--workers", "2", "--mode", "processes"]).run().expect(3);
    let report = dir.report();
    let counts = json!({
        "bowline": env!("CARGO_PKG_VERSION"), "mode": "processes", "workers": 2, "documents": 3, "failed": 1,
        "bytes": 12, "tokens": 3, "columns": 2, "nonzeros": 2, "workers_lost": 0,
    });
    for (field, value) in counts.as_object().unwrap() {
        assert_eq!(&report[field], value, "{field}");
    }
    let phases = report["phases"].as_array().unwrap();
    let names: Vec<_> = phases.iter().map(|phase| phase["phase"].as_str().unwrap()).collect();
    assert_eq!(names, ["walk", "tally", "merge", "emit", "publish"]);
    let sum: f64 = phases.iter().map(|phase| phase["seconds"].as_f64().unwrap()).sum();
    let seconds = report["seconds"].as_f64().unwrap();
    assert!(sum > 0.0 && (sum - seconds).abs() < 1e-6, "{sum} of {seconds}");
    let usage = report["usage"].as_array().unwrap();
    assert!(!usage.is_empty() && usage.iter().all(|one| one["user_seconds"].as_f64().is_some()), "{usage:?}");
}

#[test]
fn summary_says_what_was_done() {
    let dir = pets();
    let finished = dir.embed(&[]).run().expect(0);
    let (counts, rest) = finished.stderr.split_once('\n').expect("two lines");
    assert_eq!(counts, "3 documents, 12 tokens, 5 columns, 8 non-zeros");
    assert!(rest.starts_with("0.0 MB in ") && rest.contains(" s, ") && rest.contains(" MB/s, in "), "{rest}");
    assert!(rest.ends_with("/out\n") && rest.matches('\n').count() == 1, "{rest}");
    assert_eq!(finished.stdout, "");
}

#[test]
fn summary_names_ten_failures_and_counts_the_others() {
    let names: Vec<_> = (10..23).map(|number| number.to_string()).collect();
    let files: Vec<_> = names.iter().map(|name| (name, b"\xFF")).collect();
    let dir = Dir::with_corpus(&files);
    let finished = dir.embed(&[]).run().expect(3);
    let lines: Vec<_> = finished.stderr.lines().collect();
    let first = "bowline: 10: invalid UTF-8 at byte 0 (--encoding names its encoding, or auto guesses it; ";
    assert!(lines[0].starts_with(first), "{lines:?}");
    assert!(lines[9].starts_with("bowline: 19: "), "{lines:?}");
    assert_eq!(lines[10], "bowline: and 3 more failed; documents.jsonl lists all");
    assert!(lines[11].starts_with("13 documents, 13 failed, 0 tokens, 0 columns, 0 non-zeros"), "{lines:?}");
    assert_eq!(lines.len(), 13);
}

#[test]
fn quiet_prints_nothing() {
    let dir = pets();
    for (options, code) in [(&["--quiet"][..], 0), (&["-q", "--force", "--max-document-bytes", "15"], 3)] {
        let finished = dir.embed(options).run().expect(code);
        assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("", ""));
    }
}

#[test]
fn progress_is_drawn_anywhere_if_asked_for() {
    let finished = pets().embed(&["--progress", "always", "--quiet"]).run().expect(0);
    assert!(finished.stderr.contains("walking"), "{}", finished.stderr);
    let finished = pets().embed(&["--progress", "never", "--quiet"]).run().expect(0);
    assert_eq!(finished.stderr, "");
}

#[test]
fn help_and_version_go_to_standard_output() {
    let dir = Dir::new();
    let version = dir.bowline(&["--version"]).run().expect(0);
    let expected = concat!("bowline ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!((version.stdout.as_str(), version.stderr.as_str()), (expected, ""));
    let help = dir.bowline(&["embed", "--help"]).run().expect(0);
    for heading in ["Output:", "Documents:", "Terms:", "Columns:", "Values:", "Running:"] {
        assert!(help.stdout.contains(heading), "{heading}");
    }
}

#[test]
fn force_replaces_an_output() {
    let dir = pets();
    dir.embedded(&["--dense"]);
    let output = dir.embedded(&["--force"]);
    assert!(!output.files().contains_key("matrix.npy"), "nothing of the old output stays");
    assert_eq!(dir.entries(), ["corpus", "out"]);
}

#[test]
fn output_may_be_an_empty_directory_if_forced() {
    let dir = pets();
    std::fs::create_dir(dir.path("out")).unwrap();
    assert_eq!(dir.embedded(&["--force"]).paths().len(), 3);
}

#[test]
fn synced_output_is_the_same() {
    let dir = pets();
    let fast = dir.embedded(&[]).files();
    dir.bowline(&["embed", "-o", "synced/", "corpus"]).run().expect(0);
    assert_eq!(dir.output("synced").files(), fast);
}
