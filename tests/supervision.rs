//! Deaths, stops and signals: the results of a run that meets them. No process outlives the run.
//!
//! Every test waits with `support::Running::wait`, which requires that no process of the run is left: at once after an
//! ordinary end, within 1 s after a kill. Moments are drawn from seeds. The submodule `faults`, with the feature of
//! that name, adds documents that crash or hang.

#[cfg(feature = "faults")]
mod faults;
mod planted;
mod records;
mod resume;
mod start;
#[cfg(feature = "faults")]
mod torture;

use crate::support::{Dir, Invocation, Random, Running, assert_same_bytes, processes};
use nix::sys::signal::{Signal, kill};
use std::time::Duration;

/// Documents of a corpus that takes long enough to be disturbed.
const DOCUMENTS: usize = 2000;

/// The signals that end a run, each with the exit code.
const ENDING: [(Signal, i32); 3] = [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)];

/// The number of workers that a run with `--report report.json` has lost.
fn workers_lost(dir: &Dir) -> u64 {
    dir.report()["workers_lost"].as_u64().expect("a number")
}

/// Stops all workers, so that the run makes no progress.
fn hold_workers(run: &mut Running) {
    run.until("its workers are stopped", |run| {
        let workers = run.workers();
        // A worker may exit in between. Then the next workers are stopped.
        for &worker in &workers {
            let _ = kill(worker, Signal::SIGSTOP);
        }
        !workers.is_empty() && workers.into_iter().all(processes::is_stopped)
    });
}

/// Stops the coordinator once it holds the lock of its output.
fn hold_coordinator(run: &mut Running) {
    run.until("its lock", |run| processes::has_lock(run.pid()));
    run.signal(Signal::SIGSTOP);
    run.until("its stop", |run| processes::is_stopped(run.pid()));
}

/// Requires that a run ends with `code`, without a message, and leaves nothing beside the corpus.
#[track_caller]
fn assert_ends_without_trace(dir: &Dir, run: Running, code: i32, what: &str) {
    let finished = run.wait().expect(code);
    assert_eq!((finished.stderr.as_str(), dir.entries()), ("", vec!["corpus".to_owned()]), "{what}");
}

/// Kills some workers at random moments within `span`, and returns how many.
fn kill_workers(run: &mut Running, random: &mut Random, span: Duration) -> u32 {
    let mut killed = 0;
    for _ in 0..1 + random.below(3) {
        std::thread::sleep(Duration::from_micros(random.below(span.as_micros() as usize) as u64));
        if run.is_over() {
            break;
        }
        let workers: Vec<_> =
            run.workers().into_iter().filter(|&worker| processes::is_alive(worker)).collect();
        if let Some(worker) = random.pick(&workers) {
            killed += u32::from(kill(worker, Signal::SIGKILL).is_ok());
        }
    }
    killed
}

#[test]
fn killed_workers_cost_nothing() {
    let dir = Dir::with_generated(DOCUMENTS);
    let span = dir.embed(&["--workers", "2"]).run().expect(0).took;
    let reference = dir.output("out");
    let (mut killed, mut lost) = (0, 0);
    for seed in 0..20 {
        let workers = ["1", "2", "5"][seed % 3];
        let mut random = Random::new(seed as u64);
        // A run that ends before the first kill proves nothing, so it is repeated.
        let mut of_run = 0;
        while of_run == 0 {
            let options = ["--workers", workers, "--report", "report.json", "--force"];
            let mut run = dir.embed_to("disturbed", &options).start();
            of_run = kill_workers(&mut run, &mut random, span);
            run.wait().expect(0);
            let context = format!("seed {seed}, {workers} workers, {of_run} killed");
            assert_same_bytes(&reference, &dir.output("disturbed"), &context);
        }
        killed += of_run;
        lost += workers_lost(&dir);
    }
    // Workers that were killed after their last task are not counted as lost.
    assert!(lost >= 10 && lost <= killed as u64, "{lost} of {killed} killed workers were missed");
    assert_eq!(dir.entries(), ["corpus", "disturbed", "out", "report.json"]);
}

#[test]
fn a_killed_coordinator_takes_its_workers_along() {
    let dir = Dir::with_generated(DOCUMENTS);
    for workers in ["1", "2", "5"] {
        let mut run = dir.embed(&["--workers", workers]).start();
        hold_workers(&mut run);
        run.signal(Signal::SIGKILL);
        assert_eq!(run.wait().status.code(), None);
        assert_eq!(dir.entries(), ["corpus", "out.partial"], "no final output");
    }
    let next = dir.embed(&[]).run().expect(0);
    assert!(
        next.stderr.contains("/out.partial: left by a run that did not finish; replaced\n"),
        "{}",
        next.stderr
    );
    assert_eq!(dir.entries(), ["corpus", "out"]);
}

#[test]
fn a_coordinator_killed_at_any_moment_leaves_no_unfinished_output() {
    let dir = Dir::with_generated(DOCUMENTS);
    let span = dir.embed_to("clean", &[]).run().expect(0).took;
    let mut random = Random::new(9);
    for _ in 0..20 {
        let run = dir.embed_to("out", &["--force", "--workers", "3"]).start();
        std::thread::sleep(Duration::from_micros(random.below(span.as_micros() as usize) as u64));
        // The process may have ended. Its number stays in use until it is waited for.
        run.signal(Signal::SIGKILL);
        let ended = run.wait().status.code();
        let is_there = dir.path("out").exists();
        assert!(is_there || ended != Some(0), "{:?}", dir.entries());
        // An output that has its name is complete, even if the kill followed at once.
        if is_there {
            assert_same_bytes(&dir.output("clean"), &dir.output("out"), "the run that was faster");
            std::fs::remove_dir_all(dir.path("out")).unwrap();
        }
    }
    assert_same_bytes(&dir.output("clean"), &dir.embedded(&[]), "after twenty kills");
}

#[test]
fn signals_end_a_run_and_its_workers() {
    let dir = Dir::with_generated(DOCUMENTS);
    for (signal, code) in ENDING {
        for to_all in [false, true] {
            let mut run = dir.embed(&["--workers", "3"]).start();
            hold_workers(&mut run);
            match to_all {
                true => run.signal_all(signal),
                false => run.signal(signal),
            }
            assert_ends_without_trace(&dir, run, code, signal.as_str());
        }
    }
}

#[test]
fn signals_end_a_run_in_every_mode() {
    let dir = Dir::with_generated(DOCUMENTS);
    for mode in ["processes", "threads", "inline"] {
        for (signal, code) in ENDING {
            let mut run = dir.embed(&["--mode", mode]).start();
            hold_coordinator(&mut run);
            run.signal(signal);
            run.signal(Signal::SIGCONT);
            assert_ends_without_trace(&dir, run, code, &format!("{mode}: {signal}"));
        }
    }
}

/// nohup(1) and a shell's `&` start a program in this way.
#[test]
fn signals_that_were_ignored_from_the_start_are_ignored() {
    let dir = Dir::with_generated(DOCUMENTS);
    let reference = dir.embed_to("clean", &[]).run().expect(0);
    assert!(!reference.stderr.is_empty());
    for mode in ["processes", "threads", "inline"] {
        for (name, signal) in [("HUP", Signal::SIGHUP), ("INT", Signal::SIGINT)] {
            let wrapper = ["sh", "-c", "trap '' $0; exec \"$@\"", name];
            let arguments = ["embed", "--no-sync", "--output", "out", "--mode", mode, "corpus"];
            let mut run = dir.through(&wrapper).args(&arguments).start();
            hold_coordinator(&mut run);
            for _ in 0..2 {
                run.signal(signal);
            }
            run.signal(Signal::SIGCONT);
            run.wait().expect(0);
            assert_same_bytes(&dir.output("clean"), &dir.output("out"), &format!("{mode}: {name}"));
            std::fs::remove_dir_all(dir.path("out")).unwrap();
        }
    }
}

/// The message of a run to an output that `first` is writing.
fn refused_beside(dir: &Dir, first: Invocation, hold: fn(&mut Running)) -> (String, Running) {
    let mut first = first.start();
    hold(&mut first);
    let second = dir.embed(&[]).limit(Duration::from_secs(5)).run().expect(1);
    assert!(dir.path("out.partial").exists(), "the first run's files stay");
    (second.line().to_owned(), first)
}

#[test]
fn a_second_run_to_the_same_output_fails_at_once() {
    let dir = Dir::with_generated(DOCUMENTS);
    let holds: [fn(&mut Running); 2] = [hold_coordinator, hold_workers];
    for hold in holds {
        let (line, first) = refused_beside(&dir, dir.embed(&["--force"]), hold);
        assert!(line.contains("/out.partial: another run is writing it"), "{line}");
        first.signal_all(Signal::SIGCONT);
        first.wait().expect(0);
        assert_eq!(dir.output("out").documents().len(), DOCUMENTS);
        std::fs::remove_dir_all(dir.path("out")).unwrap();
    }
}

#[test]
fn the_refusal_names_the_run_that_is_there() {
    let dir = Dir::with_generated(DOCUMENTS);
    let (line, first) = refused_beside(&dir, dir.embed(&[]), hold_coordinator);
    assert!(line.contains(&first.pid().to_string()), "{line}");
}

/// Rows and tables that do not fit into memory lie in scratch files. The result is the same.
#[test]
fn little_memory_is_made_up_for_by_scratch_files() {
    let dir = Dir::with_generated(DOCUMENTS);
    // One row alone is larger than that memory.
    let large: String = (0..100_000).map(|word| format!("w{word} ")).collect();
    dir.add(b"0.large", large.as_bytes());
    std::fs::create_dir(dir.path("scratch")).unwrap();
    for options in
        [&["--norm", "l2"][..], &["--features", "hashed"], &["--ngrams", "1:2", "--max-features", "500"]]
    {
        let reference = dir.embedded(&[options, &["--force"]].concat());
        for (mode, workers) in [("processes", "1"), ("processes", "3"), ("threads", "2"), ("inline", "1")] {
            let little = [
                "--memory",
                "100K",
                "--worker-memory",
                "64M",
                "--mode",
                mode,
                "--workers",
                workers,
                "--scratch",
                "scratch",
                "--report",
                "report.json",
                "--force",
            ];
            dir.embed_to("little", &[options, &little].concat()).run().expect(0);
            assert_same_bytes(&reference, &dir.output("little"), &format!("{options:?} {mode} {workers}"));
            let scratch = dir.report()["scratch_bytes"].as_u64().expect("a number");
            assert!(scratch > 100 << 10, "{scratch} bytes");
            assert_eq!(std::fs::read_dir(dir.path("scratch")).unwrap().count(), 0, "files without a name");
        }
    }
}

#[test]
fn killed_workers_cost_nothing_where_rows_lie_in_scratch_files() {
    let dir = Dir::with_generated(DOCUMENTS);
    let reference = dir.embedded(&[]);
    let little = ["--memory", "100K", "--worker-memory", "64M", "--workers", "3", "--force"];
    let span = dir.embed_to("disturbed", &little).run().expect(0).took;
    let mut killed = 0;
    for seed in 0..10 {
        let mut run = dir.embed_to("disturbed", &little).start();
        killed += kill_workers(&mut run, &mut Random::new(seed), span);
        run.wait().expect(0);
        assert_same_bytes(&reference, &dir.output("disturbed"), &format!("seed {seed}, {killed} killed"));
    }
    assert!(killed > 0, "none was killed");
}

#[test]
fn a_scratch_disk_that_is_full_is_told() {
    let Some(wrapper) = crate::support::wrapper::small_disk("8m") else { return };
    // Each row has more than 1 MB, so the disk is full in the middle of the run.
    let large =
        |document: u32| -> String { (0..150_000).map(|word| format!("w{document}x{word} ")).collect() };
    let files: Vec<_> = (0..12).map(|document| (format!("{document}.txt"), large(document))).collect();
    let dir = Dir::with_corpus(&files);
    std::fs::create_dir(dir.path("disk")).unwrap();
    let little = ["--memory", "100K", "--worker-memory", "64M", "--scratch", "disk"];
    // Without a reservation of disk, a thread that writes would end the program, and a process would be replaced by one
    // that finds the disk full, too.
    for mode in ["processes", "threads", "inline"] {
        let arguments = ["embed", "--no-sync", "--output", "out", "--workers", "2", "--mode", mode];
        let finished = dir.through(&wrapper).args(&arguments).args(&little).args(&["corpus"]).run().expect(1);
        let line = finished.line();
        assert!(line.starts_with("the corpus's rows need more disk than the "), "{mode}: {line}");
        assert!(
            line.contains(" bytes so far, and ")
                && line.contains(" are free in disk: ")
                && line.contains(" (--scratch "),
            "{line}"
        );
    }
    // The rows fit, but not the tables of so many columns.
    let tables = ["--features", "hashed", "--weight", "tfidf", "--n-features", "4000000", "--workers", "1"];
    let small = Dir::with_corpus(&[("a.txt", "a cat"), ("b.txt", "a dog")]);
    std::fs::create_dir(small.path("disk")).unwrap();
    for mode in ["processes", "threads", "inline"] {
        let finished = small
            .through(&wrapper)
            .args(&["embed", "--no-sync", "--output", "out", "--mode", mode])
            .args(&little)
            .args(&tables)
            .args(&["corpus"])
            .run()
            .expect(1);
        let line = finished.line();
        assert!(
            line.contains("000000 bytes are needed in disk, and ") && line.contains(" (--scratch "),
            "{line}"
        );
        assert_eq!(
            (small.entries(), dir.entries()),
            (vec!["corpus".into(), "disk".into()], vec!["corpus".to_owned(), "disk".into()])
        );
    }
}

/// A checkpoint begins with a list of the documents.
#[test]
fn a_scratch_disk_that_is_full_at_the_start_is_told() {
    let Some(wrapper) = crate::support::wrapper::small_disk("1m") else { return };
    let name = "a-name-of-some-length-".repeat(10);
    let files: Vec<_> = (0..6000).map(|number| (format!("{name}{number}"), "")).collect();
    let dir = Dir::with_corpus(&files);
    std::fs::create_dir(dir.path("disk")).unwrap();
    let arguments = ["embed", "--resume", "--output", "out", "--scratch", "disk", "corpus"];
    let finished = dir.through(&wrapper).args(&arguments).run().expect(1);
    let line = finished.stderr.as_str();
    assert!(line.starts_with("bowline: writing the checkpoint: "), "{line}");
    assert!(line.contains(" bytes are needed in disk/") && line.contains(" (--scratch "), "{line}");
}

/// If the file system can't reserve disk, the C library writes to each block instead. The sandbox must allow that, too.
#[test]
fn scratch_files_need_no_file_system_that_reserves() {
    let Some(wrapper) = crate::support::wrapper::disk_without_reservation() else { return };
    let dir = Dir::with_generated(200);
    let reference = dir.embedded(&[]);
    std::fs::create_dir(dir.path("disk")).unwrap();
    let little = ["--memory", "100K", "--worker-memory", "64M"];
    for (sandbox, options) in ["auto", "strict", "off"]
        .into_iter()
        .filter(|sandbox| *sandbox == "off" || crate::support::wrapper::can_confine(sandbox))
        .flat_map(|sandbox| [(sandbox, &["--resume"][..]), (sandbox, &little)])
    {
        let arguments =
            ["embed", "--no-sync", "--force", "--output", "little", "--scratch", "disk", "--sandbox"];
        dir.through(&wrapper)
            .args(&arguments)
            .args(&[sandbox])
            .args(options)
            .args(&["corpus"])
            .run()
            .expect(0);
        assert_same_bytes(&reference, &dir.output("little"), sandbox);
    }
}

/// A limit of the shell that would end a program without a message.
#[test]
fn a_limit_of_the_size_of_files_is_told() {
    let dir = Dir::with_generated(200);
    for mode in ["processes", "threads", "inline"] {
        for (limit, option) in [("4", "--quiet"), ("100", "--quiet"), ("4", "--resume"), ("100", "--resume")]
        {
            let wrapper = ["sh", "-c", "ulimit -f $0; exec \"$@\"", limit];
            let arguments = ["embed", "--no-sync", "--output", "out", "--mode", mode, option, "corpus"];
            let finished = dir.through(&wrapper).args(&arguments).run().expect(1);
            assert!(
                finished.line().contains("File too large (os error 27) (ulimit -f allows more)"),
                "{mode} {limit} {option}: {}",
                finished.stderr
            );
            let _ = std::fs::remove_dir_all(dir.path("out.partial"));
        }
    }
}

#[test]
fn few_processes_are_enough_for_few_workers_or_told() {
    let dir = Dir::with_corpus(&[("a/b/c.txt", "one two"), ("d/e.txt", "three")]);
    let _mode = dir.chmod(".", 0o777);
    let mut refused = 0;
    for (mode, limit) in ["processes", "threads", "inline"]
        .into_iter()
        .flat_map(|mode| ["--nproc=1", "--nproc=2", "--nproc=3", "--nproc=6"].map(|limit| (mode, limit)))
    {
        let Some(wrapper) = crate::support::wrapper::few_processes(limit) else { return };
        let arguments = ["embed", "--force", "--output", "out", "--workers", "4", "--mode", mode, "corpus"];
        let finished = dir.through(&wrapper).args(&arguments).run();
        match finished.status.code() {
            Some(0) => assert_eq!(dir.output("out").documents().len(), 2),
            _ => {
                refused += 1;
                assert!(finished.expect(1).line().starts_with("starting a worker: "));
            }
        }
    }
    assert!(refused > 0, "one process is not enough");
}

#[test]
fn few_open_files_are_enough_for_few_workers() {
    let dir = Dir::with_generated(DOCUMENTS);
    let reference = dir.embedded(&[]);
    let limited = |files: &str, options: &[&str]| {
        let wrapper = ["sh", "-c", "ulimit -n $0; exec \"$@\"", files];
        let arguments = ["embed", "--no-sync", "--force", "--workers", "13", "--output", "little"];
        dir.through(&wrapper).args(&arguments).args(options).args(&["corpus"]).run()
    };
    for options in [&[][..], &["--resume"], &["--memory", "1M", "--worker-memory", "64M"]] {
        let finished = limited("32", options).expect(0);
        let notice = finished.stderr.lines().next().unwrap_or_default();
        let workers = notice
            .strip_prefix("bowline: the limit of open files allows ")
            .and_then(|rest| rest.strip_suffix(" of 13 workers (ulimit -n allows more)"))
            .unwrap_or_else(|| panic!("{}", finished.stderr));
        // The limit includes files that the tests' own parent has left open.
        assert!((1..=4).contains(&workers.parse::<u32>().unwrap()), "{notice}");
        assert_same_bytes(&reference, &dir.output("little"), "32 open files");
    }
    let mut refused = 0;
    for files in 6..32 {
        let finished = limited(&files.to_string(), &[]);
        match finished.status.code() {
            Some(0) => assert_same_bytes(&reference, &dir.output("little"), &files.to_string()),
            _ => {
                refused += 1;
                assert!(finished.expect(1).line().contains("open files"));
            }
        }
    }
    assert!(refused > 0, "six are not enough");
}

#[test]
fn shared_memory_needs_no_dev_shm() {
    let Some(wrapper) = crate::support::wrapper::tiny_dev_shm() else { return };
    let dir = Dir::with_generated(DOCUMENTS);
    let reference = dir.embedded(&[]);
    dir.through(&wrapper).args(&["embed", "--no-sync", "--output", "little", "corpus"]).run().expect(0);
    assert_same_bytes(&reference, &dir.output("little"), "a tiny /dev/shm");
}

/// A worker may be stopped while it counts a document, between two documents, or while it exits.
#[test]
fn workers_stopped_at_any_moment_keep_no_run_from_its_end() {
    let dir = Dir::with_generated(200);
    let span = dir.embed(&["--workers", "3"]).run().expect(0).took;
    let reference = dir.output("out");
    for seed in 0..40 {
        let options = ["--workers", "3", "--force", "--document-timeout", "0.2"];
        let run = dir.embed_to("disturbed", &options).limit(Duration::from_secs(10)).start();
        let mut random = Random::new(seed);
        std::thread::sleep(Duration::from_micros(random.below(span.as_micros() as usize) as u64));
        for worker in run.children() {
            // It may have exited.
            let _ = kill(worker, Signal::SIGSTOP);
        }
        run.wait().expect(0);
        assert_same_bytes(&reference, &dir.output("disturbed"), &format!("seed {seed}"));
    }
}

/// The run waits for a worker that is stopped while it exits, but a signal still ends the run.
#[test]
fn workers_stopped_at_any_moment_keep_no_run_from_a_signal() {
    let dir = Dir::with_generated(200);
    let span = dir.embed_to("clean", &["--workers", "3"]).run().expect(0).took;
    for seed in 0..60 {
        let mut run = dir.embed(&["--workers", "3", "--force"]).limit(Duration::from_secs(10)).start();
        let mut random = Random::new(seed);
        std::thread::sleep(Duration::from_micros(random.below(span.as_micros() as usize) as u64));
        for worker in run.children() {
            // It may have exited.
            let _ = kill(worker, Signal::SIGSTOP);
        }
        std::thread::sleep(Duration::from_millis(20));
        // Before the run has its handler, the signal would kill it.
        run.until("its handler", |run| {
            !processes::is_alive(run.pid()) || processes::catches(run.pid(), Signal::SIGTERM)
        });
        run.signal(Signal::SIGTERM);
        let code = run.wait().status.code();
        assert!(matches!(code, Some(0 | 143)), "seed {seed}: {code:?}");
    }
}

#[test]
fn memory_that_is_too_little_is_refused() {
    let dir = Dir::with_corpus(&[("a.txt", "one two")]);
    let line = |options: &[&str]| dir.embed(options).run().expect(2).line().to_owned();
    let memory = line(&["--memory", "64M", "--workers", "3"]);
    assert_eq!(
        memory,
        "3 workers need 192M of memory at least (--memory gives more, --workers asks for fewer)"
    );
    let one = line(&["--memory", "32M", "--workers", "1"]);
    assert!(one.starts_with("1 worker needs 64M of memory at least ("), "{one}");
    assert_eq!(
        line(&["--worker-memory", "1M"]),
        "a worker needs 32M of memory at least (--worker-memory gives more)"
    );
    let scratch = dir.embed(&["--scratch", "nowhere"]).run().expect(1);
    assert!(scratch.line().starts_with("nowhere: cannot hold scratch files: "));
    assert_eq!(dir.entries(), ["corpus"]);
}

/// Without `--workers`, a run has as many workers as memory allows.
#[test]
fn little_memory_is_enough_for_few_workers() {
    let dir = Dir::with_generated(DOCUMENTS);
    let reference = dir.embedded(&[]);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for mode in ["processes", "threads", "inline"] {
        let options = ["--memory", "64M", "--mode", mode, "--force", "--report", "report.json"];
        let finished = dir.embed_to("little", &options).workers(None).run().expect(0);
        let notice =
            format!("bowline: memory limits the run to 1 of {cores} workers (--memory gives more)\n");
        let has_more = cores > 1 && mode != "inline";
        assert_eq!(finished.stderr.starts_with(&notice), has_more, "{}", finished.stderr);
        assert_eq!(dir.report()["workers"], 1);
        assert_same_bytes(&reference, &dir.output("little"), mode);
    }
}
