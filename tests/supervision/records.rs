//! Kills of workers and of coordinators in runs over record files: no record is lost, and a run goes on inside a file.

use super::resume::{end_halfway, resume, resumed};
use super::{kill_workers, workers_lost};
use crate::records::{compressed, file, texts};
use crate::support::{Dir, Output, Random, assert_same_bytes};
use nix::sys::signal::Signal;
use std::fs;

/// Record files of a corpus: two ranges of a large file, a small file, and a compressed one.
fn corpus(format: &str) -> (Dir, [&str; 2]) {
    let dir = Dir::new();
    let bytes = file(&texts(1500, 170), format);
    dir.add(format!("a.{format}").as_bytes(), &bytes);
    dir.add(format!("b.{format}").as_bytes(), &file(&texts(50, 20), format));
    if !matches!(format, "zip" | "parquet") {
        dir.add(format!("c.{format}.zst").as_bytes(), &compressed(&file(&texts(1200, 60), format), "zst"));
    }
    let format =
        ["jsonl", "csv", "lines", "parquet", "zip", "tar"].into_iter().find(|known| *known == format);
    (dir, ["--input-format", format.expect("a format")])
}

fn clean(dir: &Dir, options: &[&str]) -> Output {
    let _ = fs::remove_dir_all(dir.path("clean"));
    dir.embed_to("clean", options).run().expect(0);
    dir.output("clean")
}

#[test]
fn killed_workers_cost_no_record() {
    let mut lost = 0;
    for format in ["jsonl", "csv", "tar", "parquet"] {
        let (dir, options) = corpus(format);
        let span = dir.embed(&options).run().expect(0).took;
        let reference = dir.output("out");
        for seed in 0..6 {
            let workers = ["1", "2", "5"][seed % 3];
            let mut random = Random::new(seed as u64);
            let others = ["--workers", workers, "--report", "report.json", "--force"];
            let mut run = dir.embed_to("disturbed", &[&options[..], &others].concat()).start();
            let killed = kill_workers(&mut run, &mut random, span);
            run.wait().expect(0);
            let context = format!("{format}, seed {seed}, {workers} workers, {killed} killed");
            assert_same_bytes(&reference, &dir.output("disturbed"), &context);
            lost += workers_lost(&dir);
        }
    }
    assert!(lost > 0, "none was killed");
}

#[test]
fn a_run_goes_on_inside_its_record_files() {
    for format in ["jsonl", "csv", "tar"] {
        let (dir, options) = corpus(format);
        let reference = clean(&dir, &options);
        for workers in ["1", "2", "7"] {
            end_halfway(&dir, &[&options[..], &["--workers", "2"]].concat(), Signal::SIGKILL);
            resume(&dir, &[&options[..], &["--workers", workers]].concat()).run().expect(0);
            assert!(resumed(&dir) > 0);
            assert_same_bytes(&reference, &dir.output("out"), &format!("{format}, {workers} workers"));
            fs::remove_dir_all(dir.path("out")).unwrap();
        }
    }
}

#[test]
fn a_record_file_that_has_changed_is_read_again() {
    for format in ["jsonl", "csv"] {
        let (dir, options) = corpus(format);
        end_halfway(&dir, &[&options[..], &["--workers", "1"]].concat(), Signal::SIGKILL);
        // Each file has other records in the same places.
        dir.add(format!("a.{format}").as_bytes(), &file(&texts(1400, 150), format));
        dir.add(format!("b.{format}").as_bytes(), &file(&texts(60, 20), format));
        fs::remove_file(dir.path(format!("corpus/c.{format}.zst"))).unwrap();
        resume(&dir, &options).run().expect(0);
        assert_eq!(resumed(&dir), 0, "{format}");
        assert_same_bytes(&clean(&dir, &options), &dir.output("out"), format);
    }
}

/// The hidden members of an archive count among the others.
#[test]
fn another_choice_of_members_begins_anew() {
    let dir = Dir::new();
    let mut builder = tar::Builder::new(Vec::new());
    for (number, text) in texts(1500, 100).iter().enumerate() {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        let hidden = if number % 2 == 0 { "." } else { "" };
        builder.append_data(&mut header, format!("{hidden}{number}"), text.as_bytes()).unwrap();
    }
    dir.add(b"a.tar", &builder.into_inner().unwrap());
    let options = ["--input-format", "tar"];
    end_halfway(&dir, &[&options[..], &["--workers", "1"]].concat(), Signal::SIGKILL);
    let all = [&options[..], &["--hidden"]].concat();
    let finished = resume(&dir, &all).run().expect(0);
    assert!(finished.stderr.contains("checkpoint ignored: "), "{}", finished.stderr);
    assert_same_bytes(&clean(&dir, &all), &dir.output("out"), "with hidden members");
}

/// The documents behind a temporary failure are read by the next run.
#[test]
fn a_stream_that_failed_is_read_on_by_the_next_run() {
    let dir = Dir::new();
    let bytes = compressed(&file(&texts(2000, 60), "jsonl"), "gz");
    dir.add(b"a.jsonl.gz", &bytes);
    dir.add(b"b.jsonl", &file(&texts(1500, 200), "jsonl"));
    let options = ["--input-format", "jsonl"];
    let reference = clean(&dir, &options);
    let Some(mut wrapper) = crate::support::wrapper::failing("inject=pread64:error=EIO:when=2+") else {
        return;
    };
    wrapper.extend(["-f", "-P", "corpus/a.jsonl.gz"]);
    let arguments = ["embed", "--resume", "--no-sync", "--output", "out", "--mode", "inline"];
    // A directory with a file of another kind takes the output's name, so that the checkpoint stays.
    let mut run = dir.through(&wrapper).args(&arguments).args(&options).args(&["corpus"]).start();
    run.until("its partial output", |_| dir.path("out.partial").is_dir());
    dir.write("out/thesis.txt", "another's");
    let refused = run.wait().expect(1);
    assert!(refused.stderr.contains("thesis.txt"), "{}", refused.stderr);
    fs::remove_dir_all(dir.path("out")).unwrap();
    resume(&dir, &options).run().expect(0);
    assert!(resumed(&dir) > 0);
    assert_same_bytes(&reference, &dir.output("out"), "read on");
}
