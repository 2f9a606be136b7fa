//! `--max-reads` and `--read-latency`: the limit of concurrent reads holds for all workers together, also when a worker
//! dies, and the output does not change.

use crate::records::{compressed, tar};
use crate::support::wrapper::can_confine;
use crate::support::{Dir, Random, assert_same_bytes};
use nix::sys::signal::{Signal, kill};
use std::time::Duration;

const MODES: [&str; 3] = ["processes", "threads", "inline"];

#[test]
fn the_bytes_do_not_depend_on_them() {
    let dir = Dir::with_generated(60);
    let expected = dir.embedded(&[]);
    for (number, mode) in MODES.iter().enumerate() {
        for (limits, reads) in
            [["--max-reads", "1"], ["--max-reads", "3"], ["--read-latency", "0.5"]].iter().enumerate()
        {
            let output = format!("out-{number}-{limits}");
            dir.embed_to(&output, &["--mode", mode, "--workers", "5"]).args(reads).run().expect(0);
            assert_same_bytes(&expected, &dir.output(&output), mode);
        }
    }
    if can_confine("strict") {
        dir.embed_to("strict", &["--sandbox", "strict", "--max-reads", "2"]).run().expect(0);
        assert_same_bytes(&expected, &dir.output("strict"), "strict");
    }
}

#[test]
fn reads_wait_for_each_other() {
    let dir = Dir::with_generated(40);
    for mode in ["processes", "threads"] {
        for (permits, least) in [("1", 800), ("3", 266)] {
            let limits =
                ["--max-reads", permits, "--read-latency", "20", "--workers", "6", "--mode", mode, "--force"];
            let finished = dir.embed(&limits).run().expect(0);
            assert!(finished.took >= Duration::from_millis(least), "{mode} {permits}: {:?}", finished.took);
        }
    }
}

#[test]
fn a_large_document_asks_for_each_of_its_pieces() {
    let dir = Dir::with_corpus(&[("large.txt", "word ".repeat(3 << 20))]);
    let finished = dir.embed(&["--max-reads", "1", "--read-latency", "100"]).run().expect(0);
    assert!(finished.took >= Duration::from_millis(300), "15 MiB are four pieces: {:?}", finished.took);
}

#[test]
fn a_worker_that_dies_with_its_permit_gives_it_back() {
    let dir = Dir::with_generated(60);
    let expected = dir.embedded(&[]);
    let limits = ["--max-reads", "1", "--read-latency", "20", "--workers", "3", "--report", "report.json"];
    let mut run = dir.embed_to("killed", &limits).start();
    for _ in 0..3 {
        while run.workers().len() < 3 && !run.is_over() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(30));
        // At any time, one worker reads, one waits and one counts.
        for worker in run.workers() {
            let _ = kill(worker, Signal::SIGKILL);
        }
    }
    run.wait().expect(0);
    let report = dir.report();
    assert!(report["workers_lost"].as_u64() >= Some(1), "none was killed: {report}");
    assert_same_bytes(&expected, &dir.output("killed"), "killed");
}

#[test]
fn waiting_for_a_permit_is_no_documents_fault() {
    let dir = Dir::with_generated(16);
    for mode in ["processes", "threads"] {
        let limits =
            ["--max-reads", "1", "--read-latency", "300", "--workers", "8", "--document-timeout", "1.5"];
        dir.embed(&limits).args(&["--force", "--mode", mode]).run().expect(0);
    }
}

/// A worker may read a large part of a file before its next document: a member that is left out, a line that is too long.
/// Each read takes a twentieth of the time limit, and the part several limits.
#[test]
fn a_worker_that_passes_over_a_large_part_of_a_file_does_not_time_out() {
    let dir = Dir::new();
    let mut random = Random::new(1);
    let large: String = (0..6 << 20).map(|_| char::from(b'a' + random.below(26) as u8)).collect();
    let members = tar(&[(".hidden", large.as_bytes()), ("a", b"the cat")]);
    let lines = format!("{{\"text\": \"{large}\"}}\n{{\"text\": \"the cat\"}}\n");
    let files = ["a.tar", "b.tar.gz", "c.jsonl.gz", "d.jsonl"];
    let gzip = |bytes: &[u8]| compressed(bytes, "gz");
    let contents = [members.clone(), gzip(&members), gzip(lines.as_bytes()), lines.clone().into_bytes()];
    files.iter().zip(contents).for_each(|(name, bytes)| dir.write(name, bytes));
    let limits = ["--read-latency", "75", "--document-timeout", "1.5", "--max-document-bytes", "1M"];
    let arguments = [&["embed", "--no-sync", "--workers", "4", "--output", "out"], &limits[..]].concat();
    dir.bowline(&arguments).args(&files).run().expect(3);
    let failed = dir.output("out").failures();
    assert_eq!(failed.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [2, 4], "{failed:?}");
    assert!(failed.iter().all(|(_, cause)| cause.starts_with("too large")), "{failed:?}");
}
