//! `--resume`: after an end at any point, a run continues from its checkpoint, with the bytes of an unbroken run.

use super::{DOCUMENTS, ENDING, hold_workers};
use crate::support::{Dir, Invocation, Output, Random, assert_same_bytes};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Number of documents that the last run with `--report report.json` found in a checkpoint.
pub(super) fn resumed(dir: &Dir) -> u64 {
    dir.report()["resumed"].as_u64().expect("a number")
}

pub(super) fn resume(dir: &Dir, options: &[&str]) -> Invocation {
    dir.embed(&[&["--resume", "--report", "report.json"], options].concat())
}

/// The output of an unbroken run.
fn clean(dir: &Dir, options: &[&str]) -> Output {
    dir.embed_to("clean", options).run().expect(0);
    dir.output("clean")
}

/// Bytes of the records of a few dozen documents. Some of these documents stay the same in any change of the corpus.
const A_WHILE: u64 = 30_000;

/// Runs with `options` until it has counted for a while, and ends it by `signal`.
pub(super) fn end_halfway(dir: &Dir, options: &[&str], signal: Signal) {
    // A run that ends before the signal is repeated.
    for attempt in 1.. {
        let mut run = resume(dir, options).start();
        while !run.is_over() && counted(dir) < A_WHILE {
            std::thread::sleep(Duration::from_micros(100));
        }
        // The process may have ended. Its number stays in use until it is waited for.
        run.signal(signal);
        let code = run.wait().status.code();
        if code != Some(0) && counted(dir) >= A_WHILE {
            return;
        }
        assert!(attempt < 20, "no run could be ended halfway");
        let _ = fs::remove_dir_all(dir.path("out"));
    }
}

fn is_number(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.parse::<u32>().is_ok())
}

/// The files of the kept segments.
fn segments(dir: &Dir) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.path("out.partial")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                // The other files are the plan, and unfinished files of the ended run.
                path if is_number(&path) => found.push(path),
                _ => {}
            }
        }
    }
    found
}

/// Bytes of records in the kept segments.
fn counted(dir: &Dir) -> u64 {
    segments(dir).iter().map(|path| mark(path)).sum()
}

/// Offset of a record's size in the record, in bytes (`workers/src/segment.rs`).
const SIZE: u64 = 48;

/// Bytes of the records in a segment. After the last record there are zeroes, or the file ends.
fn mark(path: &Path) -> u64 {
    let (mut end, mut size) = (0, [0; 8]);
    // The run may remove it at any time.
    let Ok(file) = fs::File::open(path) else { return 0 };
    while file.read_exact_at(&mut size, end + SIZE).is_ok()
        && (1..1 << 30).contains(&u64::from_ne_bytes(size))
    {
        end += u64::from_ne_bytes(size);
    }
    end
}

#[test]
fn a_run_that_is_killed_again_and_again_goes_on() {
    let dir = Dir::with_generated(DOCUMENTS);
    let span = dir.embed_to("clean", &[]).run().expect(0).took.as_micros() as usize * 3 / 2;
    let reference = dir.output("clean");
    let (mut kills, mut went_on) = (0, 0);
    for seed in 0..12 {
        let mut random = Random::new(seed);
        // The time grows with each kill, so that a run can end on a machine that has become slower.
        for span in (0..).map(|kills| span + kills * span / 4) {
            let mode = random.pick(&["processes", "processes", "threads", "inline"]).unwrap();
            let workers = random.pick(&["1", "2", "5", "13"]).unwrap();
            let run = resume(&dir, &["--mode", mode, "--workers", workers]).start();
            std::thread::sleep(Duration::from_micros(random.below(span) as u64));
            // The process may have ended. Its number stays in use until it is waited for.
            run.signal(Signal::SIGKILL);
            match run.wait().status.code() {
                // The kill may have come after the output got its name and before the run reported it.
                None if dir.path("out").exists() => break,
                None => kills += 1,
                code => {
                    assert_eq!(code, Some(0));
                    went_on += u64::from(resumed(&dir) > 0);
                    break;
                }
            }
            assert!(kills < 1000, "it never ends");
        }
        assert_same_bytes(&reference, &dir.output("out"), &format!("seed {seed}"));
        assert!(!dir.path("out.partial").exists());
        fs::remove_dir_all(dir.path("out")).unwrap();
    }
    assert!(kills > 0 && went_on > 0, "{kills} kills, {went_on} of 12 runs went on");
}

#[test]
fn signals_keep_what_was_counted() {
    let dir = Dir::with_generated(DOCUMENTS);
    let reference = clean(&dir, &[]);
    for (signal, code) in ENDING {
        end_halfway(&dir, &["--workers", "3"], signal);
        assert!(!dir.path("out.partial/matrix.npz").exists(), "what was only begun is gone");
        let finished = resume(&dir, &[]).run().expect(0);
        assert!(finished.stderr.contains("bowline: resuming: "), "{code}: {}", finished.stderr);
        assert!(resumed(&dir) > 0);
        assert_same_bytes(&reference, &dir.output("out"), &format!("{signal}"));
        fs::remove_dir_all(dir.path("out")).unwrap();
    }
}

#[test]
fn what_has_changed_meanwhile_is_read_again() {
    for options in [&[][..], &["--features", "hashed"], &["--ngrams", "1:2", "--min-df", "2"]] {
        let dir = Dir::with_generated(DOCUMENTS);
        end_halfway(&dir, &[options, &["--workers", "2"]].concat(), Signal::SIGKILL);
        for number in (1..DOCUMENTS).step_by(10) {
            let name = format!("{number}.txt");
            match number % 3 {
                0 => dir.add(name.as_bytes(), b"another text"),
                1 => fs::remove_file(dir.path("corpus").join(name)).unwrap(),
                _ => dir.add(format!("{number}.new").as_bytes(), b"a new one"),
            }
        }
        resume(&dir, options).run().expect(0);
        assert!(resumed(&dir) > 0);
        assert_same_bytes(&clean(&dir, options), &dir.output("out"), &format!("{options:?}"));
    }
}

/// The system's data about such a file do not show whether it has changed.
#[test]
fn a_file_whose_size_is_made_up_is_read_again() {
    let dir = Dir::with_generated(DOCUMENTS);
    let reference = clean(&dir, &["/proc/version"]);
    end_halfway(&dir, &["/proc/version", "--workers", "2"], Signal::SIGKILL);
    resume(&dir, &["/proc/version"]).run().expect(0);
    assert!((1..=DOCUMENTS as u64).contains(&resumed(&dir)));
    assert_same_bytes(&reference, &dir.output("out"), "resumed");
}

#[test]
fn another_way_of_counting_begins_anew() {
    let dir = Dir::with_generated(DOCUMENTS);
    end_halfway(&dir, &[], Signal::SIGKILL);
    let finished = resume(&dir, &["--no-lowercase"]).run().expect(0);
    assert!(finished.stderr.contains("checkpoint ignored: "), "{}", finished.stderr);
    assert_eq!(resumed(&dir), 0);
    assert_same_bytes(&clean(&dir, &["--no-lowercase"]), &dir.output("out"), "begun anew");
}

#[test]
fn without_the_option_nothing_is_kept_or_used() {
    let dir = Dir::with_generated(DOCUMENTS);
    end_halfway(&dir, &[], Signal::SIGKILL);
    let finished = dir.embed(&["--report", "report.json"]).run().expect(0);
    let told = "/out.partial: left by a run that did not finish; replaced (--resume goes on from it)\n";
    assert!(finished.stderr.contains(told), "{}", finished.stderr);
    assert_eq!(resumed(&dir), 0);
    assert_eq!(dir.entries(), ["corpus", "out", "report.json"]);
}

/// The result is right, whatever is done to the files.
#[test]
fn a_spoiled_checkpoint_costs_time_only() {
    let dir = Dir::with_generated(DOCUMENTS);
    let reference = clean(&dir, &[]);
    for seed in 0..20 {
        end_halfway(&dir, &["--workers", "2"], Signal::SIGKILL);
        let mut random = Random::new(seed);
        for path in segments(&dir) {
            let plan = path.with_file_name("plan");
            let spoiled = if random.below(8) == 0 { &plan } else { &path };
            let file = fs::File::options().write(true).open(spoiled).unwrap();
            let length = fs::metadata(spoiled).unwrap().len().clamp(1, 200_000);
            match random.below(5) {
                0 => file.set_len(random.below(length as usize) as u64).unwrap(),
                1 => file.write_all_at(b"????????", random.below(64) as u64).unwrap(),
                // A change somewhere in the records: a record that still parses has a wrong checksum.
                _ if spoiled == &path => {
                    let place = random.below(mark(&path).max(1) as usize) as u64;
                    file.write_all_at(b"x", place).unwrap();
                }
                _ => file.write_all_at(b"?", random.below(length as usize) as u64).unwrap(),
            }
        }
        resume(&dir, &[]).run().expect(0);
        assert_same_bytes(&reference, &dir.output("out"), &format!("seed {seed}"));
        fs::remove_dir_all(dir.path("out")).unwrap();
    }
}

#[test]
fn what_is_kept_may_lie_elsewhere() {
    let dir = Dir::with_generated(DOCUMENTS);
    fs::create_dir(dir.path("scratch")).unwrap();
    let kept = || fs::read_dir(dir.path("scratch")).unwrap().count();
    for finish in [&["--resume", "--scratch", "scratch"][..], &["--scratch", "scratch"]] {
        let mut run = dir.embed(&["--resume", "--scratch", "scratch"]).start();
        hold_workers(&mut run);
        run.signal(Signal::SIGTERM);
        run.wait().expect(143);
        assert_eq!((dir.entries(), kept()), (vec!["corpus".to_owned(), "scratch".to_owned()], 1));
        dir.embed(finish).run().expect(0);
        assert_eq!(kept(), 0);
        assert_same_bytes(&clean(&dir, &[]), &dir.output("out"), "elsewhere");
        fs::remove_dir_all(dir.path("out")).unwrap();
        fs::remove_dir_all(dir.path("clean")).unwrap();
    }
}

/// The checkpoint stays until the output has its name.
#[test]
fn a_publication_that_fails_costs_nothing_that_was_counted() {
    let dir = Dir::with_generated(DOCUMENTS);
    let reference = clean(&dir, &[]);
    let goes_on = |what: &str| {
        resume(&dir, &[]).run().expect(0);
        assert_eq!(resumed(&dir), DOCUMENTS as u64, "{what}");
        assert_same_bytes(&reference, &dir.output("out"), what);
        fs::remove_dir_all(dir.path("out")).unwrap();
    };
    let mut run = resume(&dir, &[]).start();
    hold_workers(&mut run);
    dir.write("out/thesis.txt", "somebody else's");
    run.signal_all(Signal::SIGCONT);
    let refused = run.wait().expect(1);
    assert!(refused.line().contains("/out: exists and contains thesis.txt"), "{}", refused.line());
    fs::remove_dir_all(dir.path("out")).unwrap();
    goes_on("the name was taken");
    let Some(wrapper) = crate::support::wrapper::failing("inject=fsync:error=EIO:when=2") else { return };
    let arguments = ["embed", "--resume", "--output", "out", "corpus"];
    let finished = dir.through(&wrapper).args(&arguments).run().expect(1);
    assert!(finished.line().contains("Input/output error"), "{}", finished.stderr);
    goes_on("a disk that fails");
}

/// A signal while the checkpoint is read, or while files are synced: no output is published, and no record is lost.
#[test]
fn signals_at_the_start_and_the_end_keep_what_was_counted() {
    let dir = Dir::with_generated(DOCUMENTS);
    let reference = clean(&dir, &[]);
    end_halfway(&dir, &[], Signal::SIGKILL);
    // The second directory that is made, or found, is the checkpoint.
    for at in ["inject=mkdirat:signal=SIGTERM:when=2", "inject=fsync:signal=SIGTERM:when=2"] {
        let Some(wrapper) = crate::support::wrapper::failing(at) else { return };
        let arguments = ["embed", "--resume", "--output", "out", "corpus"];
        let finished = dir.through(&wrapper).args(&arguments).run().expect(143);
        assert_eq!(finished.stderr.contains("resuming: "), at.contains("fsync"), "{}", finished.stderr);
        assert_eq!(dir.entries(), ["clean", "corpus", "out.partial", "report.json"], "{at}");
    }
    resume(&dir, &[]).run().expect(0);
    assert_eq!(resumed(&dir), DOCUMENTS as u64);
    assert_same_bytes(&reference, &dir.output("out"), "published in the end");
}

/// Neither a checkpoint nor an earlier output is part of the corpus in which it lies.
#[test]
fn an_output_in_its_corpus_is_no_document() {
    let dir = Dir::with_generated(DOCUMENTS);
    let reference = clean(&dir, &[]);
    let within = |options: &[&str]| {
        let arguments = ["embed", "--no-sync", "--output", "corpus/out", "--report", "corpus/report.json"];
        dir.bowline(&arguments).args(options).args(&["corpus"])
    };
    let mut run = within(&["--resume"]).start();
    hold_workers(&mut run);
    run.signal(Signal::SIGKILL);
    run.wait();
    assert!(dir.path("corpus/out.partial").is_dir());
    for options in [&["--resume"][..], &["--force"], &["--force", "--mode", "threads"]] {
        within(options).run().expect(0);
        assert_same_bytes(&reference, &dir.output("corpus/out"), &format!("{options:?}"));
    }
}
