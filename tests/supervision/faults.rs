//! Documents that crash, hang or panic on purpose (`workers/src/faults.rs`): each fails alone.
//!
//! The rows of all other documents are compared with those of a run on the same corpus without the fault.

use super::{refused_beside, workers_lost};
use crate::records::jsonl;
use crate::support::faults::{FAULTS, fault};
use crate::support::wrapper::{can_confine, failing, unprivileged};
use crate::support::{
    Dir, Invocation, Random, Refused, Running, assert_costs_only_themselves, assert_same_bytes, processes,
};
use nix::errno::Errno;
use nix::libc::SYS_landlock_create_ruleset;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use nix::unistd::mkfifo;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

/// Documents of a corpus besides the fault.
const OTHERS: usize = 199;

/// A limit that a document that exhausts memory reaches soon.
const LITTLE_MEMORY: [&str; 2] = ["--worker-memory", "64M"];

/// A corpus of plain documents. Their names allow another name before, between and after them.
fn plain() -> Dir {
    let mut random = Random::new(5);
    let files: Vec<_> = (0..OTHERS).map(|row| (format!("{row:03}.txt"), random.text(20))).collect();
    Dir::with_corpus(&files)
}

/// Puts the fault at the first, a middle and the last place of the first batch, for several numbers of workers.
fn assert_fault_costs_only_itself(what: &str) {
    let cause = FAULTS.iter().find(|(name, _)| *name == what).expect("a fault of the table").1;
    let dir = plain();
    let clean = dir.embedded(&["--norm", "l2"]);
    for workers in [1, 2, 5] {
        let batch = (OTHERS + 1) / (4 * workers);
        for row in [0, batch / 2, batch - 1] {
            // Sorts before the plain document of that number.
            let path = format!("{row:03}.a");
            dir.add(path.as_bytes(), fault(what).as_bytes());
            let context = format!("{what} at row {row} with {workers} workers");
            let workers = workers.to_string();
            // A document that ends by itself must not time out before, on a busy machine.
            let patience = if what == "hang" { "0.5" } else { "10" };
            let options = ["--norm", "l2", "--workers", &workers, "--force", "--document-timeout", patience];
            dir.embed_to("faulty", &[&options[..], &LITTLE_MEMORY].concat()).run().expect(3);
            assert_costs_only_themselves(&clean, &dir.output("faulty"), &[(row, cause)], &context);
            fs::remove_file(dir.path("corpus").join(path)).unwrap();
        }
    }
    assert_eq!(dir.entries(), ["corpus", "faulty", "out"]);
}

#[test]
fn segmentation_fault() {
    assert_fault_costs_only_itself("segv");
}

#[test]
fn abort() {
    assert_fault_costs_only_itself("abort");
}

#[test]
fn stack_overflow() {
    assert_fault_costs_only_itself("overflow");
}

/// A worker's stack has a limit even if the shell allows an unlimited one.
#[test]
fn a_stack_overflow_ends_whatever_the_shell_allows() {
    let dir = plain();
    dir.add(b"000.a", fault("overflow").as_bytes());
    let wrapper = ["sh", "-c", "ulimit -s unlimited 2>/dev/null; exec \"$@\"", "sh"];
    let arguments = ["embed", "--no-sync", "--output", "out", "--document-timeout", "20", "corpus"];
    dir.through(&wrapper).args(&arguments).run().expect(3);
    assert_eq!(dir.output("out").failures(), [(0, "its worker was killed by SIGSEGV".to_owned())]);
}

#[test]
fn exit() {
    assert_fault_costs_only_itself("exit");
}

#[test]
fn panic() {
    assert_fault_costs_only_itself("panic");
}

#[test]
fn hang() {
    assert_fault_costs_only_itself("hang");
}

#[test]
fn memory() {
    assert_fault_costs_only_itself("memory");
}

/// A worker writes records to a scratch file many at a time. If it dies, those that it had not written are counted again.
#[test]
fn a_crash_where_rows_lie_in_scratch_files_costs_only_its_document() {
    let mut random = Random::new(7);
    let texts: Vec<String> = (0..OTHERS)
        .map(|row| match row {
            60 | 61 | 150 => fault("segv"),
            _ => random.text(if row == 100 { 60_000 } else { 20 }),
        })
        .collect();
    let files: Vec<_> = texts.iter().enumerate().map(|(row, text)| (format!("{row:03}.txt"), text)).collect();
    let records = Dir::with_corpus(&[("all.jsonl", String::from_utf8(jsonl(&texts)).unwrap())]);
    for (dir, format) in [(Dir::with_corpus(&files), &[][..]), (records, &["--input-format", "jsonl"])] {
        let reference = dir.embedded_with(3, format);
        let failed: Vec<usize> = reference.failures().iter().map(|(row, _)| *row).collect();
        assert_eq!(failed, [60, 61, 150], "{format:?}");
        for workers in ["1", "2", "5"] {
            let little = ["--memory", "100K", "--workers", workers, "--force", "--report", "report.json"];
            dir.embed_to("little", &[format, &little, &LITTLE_MEMORY].concat()).run().expect(3);
            assert!(dir.report()["scratch_bytes"].as_u64() > Some(0), "{format:?}, {workers} workers");
            assert_same_bytes(&reference, &dir.output("little"), &format!("{format:?}, {workers} workers"));
        }
    }
}

/// A document is not blamed for a crash that happens only in a worker that has counted others before.
#[test]
fn a_document_that_crashes_once_is_done_again_alone() {
    let dir = plain();
    let rows = [10, 20, 150];
    rows.iter().for_each(|row| dir.add(format!("{row:03}.a").as_bytes(), fault("crowded").as_bytes()));
    for workers in ["1", "2", "5", "13"] {
        dir.embed_to(workers, &["--workers", workers, "--report", "report.json"]).run().expect(0);
        // With 13 workers, each document may be the first of its worker.
        assert!(workers == "13" || workers_lost(&dir) > 0, "{workers} workers: none was lost");
        assert_same_bytes(&dir.output("1"), &dir.output(workers), &format!("{workers} workers"));
    }
}

/// A document that overwrites its worker's earlier records and crashes costs these records, which are counted again. It
/// can't reach the records of other workers. Records in files, of a checkpoint or beyond the memory, can't be overwritten.
#[test]
fn a_document_that_writes_wildly_costs_only_itself() {
    let dir = plain();
    let clean = dir.embedded(&["--norm", "l2"]);
    for row in [0, 30, 180] {
        let path = format!("{row:03}.a");
        dir.add(path.as_bytes(), fault("scribble").as_bytes());
        for (workers, place) in [
            ("1", &[][..]),
            ("2", &[]),
            ("5", &[]),
            ("2", &["--resume"]),
            ("2", &["--memory", "100K", "--worker-memory", "64M"]),
            ("2", &["--memory", "1M", "--worker-memory", "64M"]),
        ] {
            let options = [&["--norm", "l2", "--workers", workers, "--force"], place].concat();
            dir.embed_to("faulty", &options).run().expect(3);
            let context = format!("row {row} with {workers} workers, {place:?}");
            let cause = "its worker was killed by SIGABRT";
            assert_costs_only_themselves(&clean, &dir.output("faulty"), &[(row, cause)], &context);
        }
        fs::remove_file(dir.path("corpus").join(path)).unwrap();
    }
}

/// The forbidden actions that succeeded in a worker, and the sandbox that confined it. `invoked` makes the run.
fn confined(what: &str, invoked: impl FnOnce(&Dir) -> Invocation) -> (Vec<String>, String) {
    let dir = plain();
    dir.add(b"000.a", fault(what).as_bytes());
    let _modes = [".", "corpus"].map(|path| dir.chmod(path, 0o777));
    invoked(&dir)
        .args(&["--no-sync", "--workers", "2", "--report", "report.json", "-o", "out", "corpus"])
        .run()
        .expect(0);
    let sandbox = dir.report()["sandbox"].as_str().expect("a name").to_owned();
    assert_eq!(fs::read_dir(dir.path("corpus")).unwrap().count(), OTHERS + 1, "nothing was changed");
    assert_eq!(dir.entries(), ["corpus", "out", "report.json"]);
    let terms = dir.output("out").terms().into_iter();
    (terms.filter(|term| term.starts_with("not_refused_")).collect(), sandbox)
}

/// A worker tries every way out, and the test names each open one.
#[test]
fn a_worker_can_not_leave_its_sandbox() {
    if !can_confine("auto") {
        return;
    }
    let sandbox = |name: &'static str| move |dir: &Dir| dir.bowline(&["embed", "--sandbox", name]);
    let (not_refused, auto) = confined("escape", sandbox("auto"));
    assert!(not_refused.is_empty(), "auto, {auto}: {not_refused:?}");
    if let Some(wrapper) = unprivileged() {
        let (not_refused, auto) = confined("escape", |dir| dir.through(&wrapper).args(&["embed"]));
        assert!(not_refused.is_empty(), "unprivileged, {auto}: {not_refused:?}");
    }
    // Without Landlock, other processes can't be looked into either.
    let domain = [Refused(SYS_landlock_create_ruleset, None)];
    for wrapper in [Some(Vec::new()), unprivileged()].into_iter().flatten() {
        let run = |dir: &Dir| dir.through(&wrapper).args(&["embed"]).refusing(&domain, Errno::ENOSYS);
        assert_eq!(confined("escape", run), (vec![], "seccomp".to_owned()), "{wrapper:?}");
    }
    if can_confine("strict") {
        for what in ["escape", "peek"] {
            assert_eq!(confined(what, sandbox("strict")), (vec![], "seccomp and landlock".to_owned()));
        }
        assert_eq!(auto, "seccomp and landlock");
    }
    // `peek` succeeds unless the sandbox is strict, which shows that the test reports open ways.
    let peeked = vec!["not_refused_reading_elsewhere".to_owned()];
    assert_eq!(confined("peek", sandbox("auto")), (peeked.clone(), auto));
    assert_eq!(confined("peek", sandbox("off")), (peeked, "none".to_owned()));
}

#[test]
fn a_strict_sandbox_is_whole_or_an_error() {
    let dir = plain();
    let line = |options: &[&str]| {
        let options = [&["--sandbox", "strict"], options].concat();
        dir.embed(&options).run().expect(2).line().to_owned()
    };
    let expected = "the strict sandbox is not available with threads or inline mode";
    assert_eq!(
        (line(&["--mode", "threads"]).as_str(), line(&["--mode", "inline"]).as_str()),
        (expected, expected)
    );
    assert!(line(&["--follow"]).contains("followed links"));
    if !can_confine("strict") {
        return;
    }
    let reference = dir.embedded(&[]);
    dir.embed_to("strict", &["--sandbox", "strict"]).run().expect(0);
    assert_same_bytes(&reference, &dir.output("strict"), "strict");
    // If CORPUS is a file, only that file may be read.
    dir.bowline(&["embed", "-o", "one", "--sandbox", "strict", "corpus/000.txt"]).run().expect(0);
}

/// One of each kind, side by side.
fn several() -> Dir {
    let dir = plain();
    for (number, (what, _)) in FAULTS.iter().enumerate() {
        dir.add(format!("{:03}.{what}", number * 30 / 4).as_bytes(), fault(what).as_bytes());
    }
    dir
}

#[test]
fn faults_of_every_kind_have_the_same_outcome_for_any_number_of_workers() {
    let dir = several();
    let embedded = |workers: &str| {
        let options = [&["--workers", workers, "--document-timeout", "2"], &LITTLE_MEMORY[..]].concat();
        let finished = dir.embed_to(workers, &options).run().expect(3);
        assert_eq!(finished.stderr.lines().count(), FAULTS.len() + 2, "{}", finished.stderr);
        dir.output(workers)
    };
    let reference = embedded("1");
    let mut causes: Vec<_> = reference.failures().into_iter().map(|(_, cause)| cause).collect();
    let mut expected = FAULTS.map(|(_, cause)| cause);
    causes.sort();
    expected.sort();
    assert_eq!(causes, expected);
    for workers in ["2", "13"] {
        assert_same_bytes(&reference, &embedded(workers), &format!("{workers} workers"));
    }
}

#[test]
fn the_summary_names_the_document_and_its_cause() {
    let dir = plain();
    dir.add(b"bad.txt", fault("segv").as_bytes());
    let finished = dir.embed(&[]).run().expect(3);
    let expected = "bowline: bad.txt: its worker was killed by SIGSEGV\n200 documents, 1 failed, ";
    assert!(finished.stderr.starts_with(expected), "{}", finished.stderr);
}

#[test]
fn a_panic_is_the_same_in_every_mode() {
    let dir = plain();
    for name in ["000.a", "100.a", "100.b", "zzz"] {
        dir.add(name.as_bytes(), fault("panic").as_bytes());
    }
    let embedded = |mode: &str, workers: &str| {
        let output = format!("{mode}-{workers}");
        let finished = dir.embed_to(&output, &["--mode", mode, "--workers", workers]).run().expect(3);
        assert!(
            finished.stderr.starts_with("bowline: 000.a: the analyzer panicked\n"),
            "{}",
            finished.stderr
        );
        dir.output(&output)
    };
    let reference = embedded("inline", "1");
    assert_eq!(reference.failures().into_iter().map(|(row, _)| row).collect::<Vec<_>>(), [0, 101, 102, 202]);
    for mode in ["processes", "threads"] {
        for workers in ["1", "2", "5"] {
            assert_same_bytes(
                &reference,
                &embedded(mode, workers),
                &format!("{mode} with {workers} workers"),
            );
        }
    }
}

#[test]
fn too_many_faults_end_the_run() {
    let dir = plain();
    (0..8).for_each(|number| dir.add(format!("{number}.segv").as_bytes(), fault("segv").as_bytes()));
    let line = "more than 7 documents have crashed their worker (--max-crashes allows more)";
    for workers in ["1", "2", "5"] {
        let finished = dir.embed(&["--workers", workers, "--max-crashes", "7"]).run().expect(1);
        assert_eq!((finished.line(), dir.entries()), (line, vec!["corpus".to_owned()]));
    }
    let output = dir.embedded_with(3, &["--max-crashes", "8"]);
    // The option's earlier name.
    let finished = dir.embed(&["--force", "--max-failures", "7"]).run().expect(1);
    assert_eq!(finished.line(), line);
    assert_eq!(output.failures().len(), 8);
}

#[test]
fn nothing_but_faults_is_no_storm() {
    let files: Vec<_> = (0..300).map(|number| (format!("{number}.txt"), fault("abort"))).collect();
    let dir = Dir::with_corpus(&files);
    let finished = dir.embed(&["--workers", "5"]).limit(Duration::from_secs(20)).run().expect(1);
    let line = "more than 100 documents have crashed their worker (--max-crashes allows more)";
    assert_eq!((finished.line(), dir.entries()), (line, vec!["corpus".to_owned()]));
}

#[test]
fn a_hang_ends_a_threaded_run() {
    let dir = plain();
    dir.add(b"017.hang", fault("hang").as_bytes());
    for mode in ["threads", "inline"] {
        let options = ["--mode", mode, "--workers", "2", "--document-timeout", "0.5"];
        let finished = dir.embed(&options).limit(Duration::from_secs(10)).run().expect(1);
        let line = "017.hang: a document makes no progress (--mode processes would skip it)";
        assert_eq!((finished.line(), dir.entries()), (line, vec!["corpus".to_owned()]));
    }
}

#[test]
fn a_second_sigint_ends_a_run_that_does_not_heed_the_first() {
    let dir = Dir::with_corpus(&[("a.txt", "text")]);
    // No program ever reads from the pipe, so the run waits.
    mkfifo(&dir.path("report"), Mode::S_IRWXU).unwrap();
    let mut run = dir.embed(&["--report", "report"]).start();
    run.until("its handler", |run| processes::catches(run.pid(), Signal::SIGINT));
    while !run.is_over() {
        // Two signals that come at the same time count as one.
        std::thread::sleep(Duration::from_millis(100));
        run.signal(Signal::SIGINT);
    }
    run.wait().expect(130);
    assert!(!dir.path("out").exists());
}

#[test]
fn a_killed_coordinator_takes_a_worker_along_that_heeds_nothing() {
    let dir = Dir::with_corpus(&[("a.txt", fault("hang"))]);
    let mut run = dir.embed(&[]).start();
    hold_by_document(&mut run);
    run.signal(Signal::SIGKILL);
    assert_eq!(run.wait().status.code(), None);
    assert_eq!(dir.entries(), ["corpus", "out.partial"]);
}

/// A worker's open files: no lock, no file of the output, no channel of another worker.
#[test]
fn a_worker_holds_nothing_but_its_own() {
    let files: Vec<_> = (0..5).map(|number| (format!("{number}.txt"), fault("hang"))).collect();
    let dir = Dir::with_corpus(&files);
    if !can_confine("auto") {
        return;
    }
    for (options, segments) in [(&[][..], 0), (&["--resume"], 1)] {
        let options = [&["--workers", "5", "--report", "report.json"], options].concat();
        let mut run = dir.embed(&options).start();
        run.until("its workers are at work", |run| {
            let workers = run.workers();
            workers.len() == 5 && workers.into_iter().all(has_document)
        });
        for worker in run.workers() {
            let open = processes::open_files(worker);
            let count = |what: &str| open.iter().filter(|path| path.contains(what)).count();
            // Its channels and its standard streams; the corpus and its document.
            assert_eq!((count("socket:"), count("/corpus")), (5, 2), "{open:?}");
            assert_eq!(count(".checkpoint/"), segments, "{open:?}");
            assert_eq!(open.len(), 7 + segments, "{open:?}");
            assert!(!processes::has_lock(worker));
        }
        run.signal(Signal::SIGTERM);
        run.wait().expect(143);
    }
}

/// Whether a worker has a document open. It keeps the document open while it counts the words.
fn has_document(worker: Pid) -> bool {
    processes::open_files(worker).iter().any(|path| path.ends_with(".txt"))
}

/// Sends a signal to each new worker that holds a document, `times` times or until the run is over.
fn signal_new_workers(run: &mut Running, signal: Signal, times: usize) {
    let mut met = Vec::new();
    while met.len() < times && !run.is_over() {
        for worker in run.workers() {
            if !met.contains(&worker) && has_document(worker) {
                // On a busy machine the worker may have finished the document.
                let _ = kill(worker, signal);
                met.push(worker);
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn kills_from_outside_condemn_no_document() {
    let dir = Dir::with_corpus(&[("a.txt", fault("slow"))]);
    let reference = dir.embedded(&[]);
    let mut run = dir.embed_to("disturbed", &["--workers", "1", "--report", "report.json"]).start();
    signal_new_workers(&mut run, Signal::SIGKILL, 5);
    run.wait().expect(0);
    assert!(workers_lost(&dir) > 0, "none was killed");
    assert_same_bytes(&reference, &dir.output("disturbed"), "killed five times in the same document");
}

/// The worker closes its channels, so that neither side can send a message.
#[test]
fn a_worker_that_closes_its_channels_holds_nobody_up() {
    let dir = Dir::with_corpus(&[("a.txt", fault("deaf"))]);
    let finished = dir.embed(&["--workers", "1"]).limit(Duration::from_secs(15)).run().expect(1);
    let line = "another program keeps killing the workers (20 times at the same place)";
    assert_eq!((finished.line(), dir.entries()), (line, vec!["corpus".to_owned()]));
}

/// Holds a run with a document that hangs.
fn hold_by_document(run: &mut Running) {
    run.until("its lock and its worker", |run| processes::has_lock(run.pid()) && !run.workers().is_empty());
}

#[test]
fn a_second_run_beside_one_that_hangs_fails_at_once() {
    let dir = Dir::with_corpus(&[("a.txt", fault("hang"))]);
    let (line, first) = refused_beside(&dir, dir.embed(&[]), hold_by_document);
    assert!(line.contains("/out.partial: another run is writing it"), "{line}");
    first.signal(Signal::SIGTERM);
    first.wait().expect(143);
    assert_eq!(dir.entries(), ["corpus"]);
}

#[test]
fn a_file_that_vanishes_after_the_walk_fails() {
    let dir = slow(17);
    let mut run = dir.embed(&["--workers", "1"]).start();
    run.until("its worker", |run| !run.workers().is_empty());
    fs::remove_file(dir.path("corpus/198.txt")).unwrap();
    let finished = run.wait().expect(3);
    assert!(finished.stderr.starts_with("bowline: 198.txt: vanished\n"), "{}", finished.stderr);
    assert_eq!(dir.output("out").failures(), [(OTHERS + 17 - 1, "vanished".to_owned())]);
}

/// A folder on the path of a document, or the document, becomes a link to a place outside the corpus.
#[test]
fn a_link_swapped_in_after_the_walk_is_not_followed() {
    let auto = ["processes", "threads", "inline"].map(|mode| vec!["--mode", mode]);
    let strict = can_confine("strict").then(|| vec!["--sandbox", "strict"]);
    let others = [vec!["--sandbox", "off"], vec!["--resume"], vec!["--max-reads", "1"]];
    for options in auto.into_iter().chain(strict).chain(others) {
        let dir = Dir::with_corpus(&[("000.txt", fault("wait"))]);
        for path in ["deep/er/m/passwd", "m/passwd", "n.txt", "other/passwd", "vanished/passwd"] {
            dir.add(path.as_bytes(), b"public");
        }
        dir.write("etc/passwd", "secret");
        let mut run = dir.embed(&options).args(&["--workers", "1"]).start();
        run.until("its first document", |run| run.workers().into_iter().chain([run.pid()]).any(has_document));
        for (path, target) in [("deep/er/m", "etc"), ("m", "etc"), ("n.txt", "etc/passwd")] {
            let path = dir.path("corpus").join(path);
            fs::rename(&path, dir.path(format!("was.{}", path.file_name().unwrap().display()))).unwrap();
            std::os::unix::fs::symlink(dir.path(target), path).unwrap();
            let _ = fs::remove_dir_all(dir.path("was.m"));
        }
        fs::remove_dir_all(dir.path("corpus/vanished")).unwrap();
        dir.write("corpus/vanished", "a file now");
        dir.write("go", "");
        run.wait().expect(3);
        let output = dir.output("out");
        let link = "a link in its path".to_owned();
        let failures = [(1, link.clone()), (2, link.clone()), (3, link), (5, "vanished".to_owned())];
        assert_eq!(output.failures(), failures, "{options:?}");
        assert!(output.terms().iter().all(|term| term != "secret"), "{options:?}");
    }
}

/// A worker that has a folder open stays in it, and reads the files of the corpus.
#[test]
fn a_folder_that_is_swapped_while_its_documents_are_read_is_kept() {
    let dir = Dir::with_corpus(&[("m/000.txt", fault("wait")), ("m/passwd", "public".to_owned())]);
    dir.write("etc/passwd", "secret");
    let mut run = dir.embed(&["--workers", "1"]).start();
    run.until("its first document", |run| run.workers().into_iter().any(has_document));
    fs::rename(dir.path("corpus/m"), dir.path("moved")).unwrap();
    std::os::unix::fs::symlink("../etc", dir.path("corpus/m")).unwrap();
    dir.write("go", "");
    run.wait().expect(0);
    assert!(dir.output("out").terms().iter().any(|term| term == "public"));
    assert!(dir.output("out").terms().iter().all(|term| term != "secret"));
}

#[test]
fn a_read_that_fails_once_is_tried_again() {
    for mode in ["processes", "threads", "inline"] {
        let dir = Dir::with_corpus(&[
            ("a.txt", "plain".to_owned()),
            ("b.txt", fault("unreadable once")),
            ("c.txt", fault("unreadable")),
            ("d.txt", fault("unreadable once")),
        ]);
        let output = dir.embedded_with(3, &["--mode", mode]);
        assert_eq!(output.failures(), [(2, "I/O error".to_owned())], "{mode}");
        let lines = output.vocabulary();
        assert!(lines.contains(&("onlyinthefault".to_owned(), 2)), "{mode}: {lines:?}");
    }
}

/// The system refuses the read, in the middle of a large document.
#[test]
fn a_piece_that_can_not_be_read_once_is_read_again() {
    let dir = plain();
    dir.add(b"100.a", "several words ".repeat((9 << 20) / 14).as_bytes());
    let expected = dir.embedded(&[]);
    for (at, code) in [("inject=read:error=EIO:when=2", 0), ("inject=read:error=EIO:when=2+", 3)] {
        let Some(mut wrapper) = failing(at) else { return };
        wrapper.extend(["-f", "-P", "corpus/100.a"]);
        for mode in ["processes", "threads", "inline"] {
            let arguments =
                ["embed", "--no-sync", "--force", "--workers", "1", "--output", "found", "--mode", mode];
            dir.through(&wrapper).args(&arguments).args(&["corpus"]).run().expect(code);
            match code {
                0 => assert_same_bytes(&expected, &dir.output("found"), mode),
                _ => assert_eq!(dir.output("found").failures(), [(100, "I/O error".to_owned())], "{mode}"),
            }
        }
    }
}

#[test]
fn a_large_file_that_changes_while_it_is_read_fails() {
    let dir = plain();
    let clean = dir.embedded(&[]);
    // Each attempt waits for 50 ms after the first piece.
    let large = fault("slow") + &" onlyinthefault".repeat((9 << 20) / 15);
    dir.add(b"100.a", large.as_bytes());
    let path = dir.path("corpus/100.a");
    type Change = fn(&fs::File);
    let grown: Change = |mut file| file.write_all(b" more").unwrap();
    let written_over: Change = |file| file.write_all_at(b" more", 9 << 20).unwrap();
    let changes = [("grown", grown), ("written over", written_over)];
    for (workers, (what, change)) in ["1", "2"].into_iter().flat_map(|workers| changes.map(|c| (workers, c)))
    {
        let file = fs::File::options().write(true).append(what == "grown").open(&path).unwrap();
        let mut run = dir.embed_to("disturbed", &["--workers", workers, "--force"]).start();
        while !run.is_over() {
            change(&file);
            std::thread::sleep(Duration::from_millis(1));
        }
        run.wait().expect(3);
        let (found, context) = (dir.output("disturbed"), format!("{what}, {workers} workers"));
        assert_costs_only_themselves(&clean, &found, &[(100, "changed while being read")], &context);
    }
}

/// Slow documents before the others, of 50 ms each.
fn slow(documents: usize) -> Dir {
    let dir = plain();
    (0..documents).for_each(|number| dir.add(format!("000.{number}").as_bytes(), fault("slow").as_bytes()));
    dir
}

/// A terminal stops the whole job. The clocks must not run while it is stopped.
#[test]
fn nothing_times_out_while_the_job_is_stopped() {
    let dir = Dir::with_corpus(&[("a.txt", fault("hang"))]);
    for mode in ["processes", "threads"] {
        let mut run = dir.embed(&["--mode", mode, "--workers", "1", "--document-timeout", "2"]).start();
        let is_thread = mode == "threads";
        run.until("its document", |run| match is_thread {
            true => has_document(run.pid()),
            false => run.workers().into_iter().any(has_document),
        });
        let workers = run.workers();
        run.signal_all(Signal::SIGTSTP);
        run.until("its stop", |run| processes::is_stopped(run.pid()));
        std::thread::sleep(Duration::from_millis(2200));
        run.signal_all(Signal::SIGCONT);
        // 0.4 s of its 2 s are over now.
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(run.workers(), workers, "{mode}");
        run.signal(Signal::SIGTERM);
        run.wait().expect(143);
    }
}

/// A stop from outside never condemns a document, however often it happens.
#[test]
fn a_stopped_worker_never_condemns() {
    let dir = Dir::with_corpus(&[("a.txt", fault("slow"))]);
    let options = ["--workers", "1", "--document-timeout", "0.3", "--report", "report.json"];
    let mut run = dir.embed(&options).start();
    signal_new_workers(&mut run, Signal::SIGSTOP, 2);
    run.wait().expect(0);
    assert!(workers_lost(&dir) > 0, "none was stopped");
}

#[test]
fn a_hang_keeps_no_run_from_being_ended() {
    let dir = Dir::with_corpus(&[("a.txt", fault("hang"))]);
    for mode in ["processes", "threads", "inline"] {
        let mut run = dir.embed(&["--mode", mode]).limit(Duration::from_secs(10)).start();
        run.until("its lock", |run| processes::has_lock(run.pid()));
        std::thread::sleep(Duration::from_millis(200));
        run.signal(Signal::SIGTERM);
        run.wait().expect(143);
        assert_eq!(dir.entries(), ["corpus"]);
    }
}

/// If the kernel kills a worker because memory is exhausted, the document is to blame, although the kill comes from
/// outside.
#[test]
fn a_kill_for_want_of_memory_condemns_the_document() {
    let Some(wrapper) = crate::support::wrapper::little_memory("300000000") else { return };
    let dir = plain();
    let clean = dir.embedded(&[]);
    dir.add(b"000.a", fault("memory").as_bytes());
    // The worker's own memory limit ends it before the kernel must.
    for options in [&["--worker-memory", "100G"][..], &[]] {
        let arguments = ["embed", "--no-sync", "--force", "--workers", "2", "--output", "faulty"];
        let run = dir.through(&wrapper).args(&arguments).args(options).args(&["corpus"]);
        run.limit(Duration::from_secs(60)).run().expect(3);
        assert_costs_only_themselves(&clean, &dir.output("faulty"), &[(0, "out of memory")], "little memory");
    }
}

#[test]
fn a_crash_of_a_thread_ends_the_run_and_names_the_document() {
    let causes = [
        ("segv", "its worker was killed by SIGSEGV"),
        ("abort", "its worker was killed by SIGABRT"),
        ("overflow", "its worker was killed by SIGSEGV"),
        ("exit", "its worker ended the program"),
        ("memory", "out of memory"),
    ];
    for (what, cause) in causes {
        let dir = plain();
        dir.add(b"017.bad", fault(what).as_bytes());
        for (mode, workers) in [("threads", "1"), ("threads", "2"), ("threads", "5"), ("inline", "1")] {
            let options = [&["--mode", mode, "--workers", workers], &LITTLE_MEMORY[..]].concat();
            let finished = dir.embed(&options).run().expect(1);
            let line = format!("bowline: 017.bad: {cause} (--mode processes would skip it)");
            let told = finished.stderr.lines().last().unwrap_or_default();
            assert_eq!((told, dir.entries()), (line.as_str(), vec!["corpus".to_owned()]), "{what}");
        }
    }
}
