//! Disks that are too small, of every size. A run succeeds or fails with one line that names the full disk. It never
//! ends by a signal, blames no document, and leaves only files that a later run needs.

use crate::support::wrapper::{NO_DISK, ext4, failing, has_ext4, small_disk};
use crate::support::{Dir, Finished, Output, assert_same_bytes};
use std::fs;

/// Options of a run, and the files that lie on the small disk.
#[derive(Clone, Copy, Debug)]
struct Case {
    mode: &'static str,
    block: &'static str,
    options: &'static [&'static str],
    place: &'static [&'static str],
}

/// The output lies on the disk.
const OUTPUT: &[&str] = &["--output", "disk/out"];
/// The output and the checkpoint lie on the disk.
pub const RESUME: &[&str] = &["--output", "disk/out", "--resume"];
/// The checkpoint lies on the disk.
pub const SCRATCH: &[&str] = &["--output", "copied", "--resume", "--scratch", "disk"];
/// The scratch files lie on the disk: rows and tables that do not fit into memory.
const LITTLE: &[&str] =
    &["--output", "copied", "--scratch", "disk", "--memory", "100K", "--worker-memory", "64M"];

/// Runs that each write other files and tables.
const WAYS: [&[&str]; 7] = [
    &["--ngrams", "1:2"],
    &["--max-features", "500", "--weight", "tfidf", "--norm", "l2"],
    &["--features", "hashed", "--n-features", "3000", "--hash-terms"],
    &["--format", "npy", "--features", "hashed", "--n-features", "700"],
    &["--vocabulary", "terms.txt", "--weight", "bm25"],
    &["--format", "arrow", "--norm", "l2"],
    &["--format", "parquet", "--ngrams", "1:2"],
];

/// A corpus, a list of terms for one of the cases, and the directory of the disk.
fn corpus(documents: usize) -> Dir {
    let dir = Dir::with_generated(documents);
    let terms: String = (0..26u8).map(|letter| format!("{0}{0}\n", (b'a' + letter) as char)).collect();
    dir.write("terms.txt", terms);
    fs::create_dir(dir.path("disk")).unwrap();
    dir
}

/// The output of a run with enough disk.
fn reference(dir: &Dir, options: &[&str]) -> Output {
    let _ = fs::remove_dir_all(dir.path("clean"));
    dir.embed_to("clean", options).run().expect(0);
    dir.output("clean")
}

/// Runs a case on a disk of `kibibytes`.
fn run(dir: &Dir, case: &Case, kibibytes: u64) -> Finished {
    let _ = fs::remove_dir_all(dir.path("copied"));
    let arguments =
        [&["embed", "--no-sync", "--workers", "3", "--mode", case.mode], case.place, case.options];
    let size = format!("{kibibytes}K");
    dir.through(&ext4(&size, case.block)).args(&arguments.concat()).args(&["corpus"]).run()
}

/// Requires that a run succeeds with `code`, or fails with the one line about a full disk and leaves only the files
/// that `--resume` keeps. Returns whether it succeeded.
#[track_caller]
pub fn is_done(finished: &Finished, code: i32, is_kept: bool, context: &str) -> bool {
    let (stdout, stderr) = (&finished.stdout, &finished.stderr);
    let left = stdout.lines().filter(|&name| name != "out").collect::<Vec<_>>();
    match finished.status.code() {
        Some(ended) if ended == code => {
            assert!(left.is_empty(), "{context}: {left:?} is left");
            return true;
        }
        Some(1) => {}
        _ => panic!("{context}: {}\n{stderr}", finished.status),
    }
    let kept = |name: &&str| is_kept && (*name == "out.partial" || name.ends_with(".checkpoint"));
    assert!(left.iter().all(kept) && left.len() <= 1, "{context}: {left:?} is left");
    assert!(!stdout.contains("out\n"), "{context}: an output of a run that failed");
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.contains(": resuming: ")).collect();
    let [line] = lines[..] else { panic!("{context}: not one line: {stderr}") };
    assert!(line.starts_with("bowline: ") && line.contains("No space left on device"), "{context}: {line}");
    let helps = line.contains("(--scratch ") || line.contains("(--output ");
    assert!(helps, "{context}: no option that helps: {line}");
    false
}

/// Tries a case on a new disk of that size. If files are kept, it resumes the run on a larger disk.
fn try_case(dir: &Dir, reference: &Output, case: &Case, kibibytes: u64) -> bool {
    let context = format!("{case:?}, {kibibytes} KiB");
    let _ = fs::remove_file(dir.path("image"));
    let finished = run(dir, case, kibibytes);
    if finished.status.code() == Some(NO_DISK) {
        return false;
    }
    let is_resumed = case.place.contains(&"--resume");
    let mut done = is_done(&finished, 0, is_resumed, &context);
    let was_done = done;
    if !done && is_resumed {
        done = is_done(&run(dir, case, 64 << 10), 0, true, &format!("{context}, then larger"));
        assert!(done, "{context}: no end on a larger disk");
    }
    if done {
        assert_same_bytes(reference, &dir.output("copied"), &context);
    }
    was_done
}

#[test]
fn a_full_disk_is_an_error_and_never_a_signal() {
    if !has_ext4() {
        return;
    }
    let dir = corpus(1200);
    for (options, places) in
        [(WAYS[0], &[RESUME, SCRATCH, LITTLE][..]), (WAYS[3], &[OUTPUT]), (WAYS[5], &[OUTPUT])]
    {
        let reference = reference(&dir, options);
        for &place in places {
            let mut done = 0;
            // From a disk that is almost too small for any file to a disk that is large enough.
            for (number, kibibytes) in [400, 900, 1700, 2600, 3500, 20_000].into_iter().enumerate() {
                let mode = ["processes", "threads", "inline"][number % 3];
                let case = Case { mode, block: "1024", options, place };
                done += u32::from(try_case(&dir, &reference, &case, kibibytes));
            }
            assert!((1..6).contains(&done), "{place:?}: {done} of 6 sizes are enough");
        }
    }
}

/// A disk that has bytes left, and no place for another file. The error says so, names the directory and the option that
/// moves these files.
#[test]
fn a_disk_without_room_for_a_file_is_an_error() {
    let dir = corpus(150);
    let options = &WAYS[2];
    let reference = reference(&dir, options);
    for (place, option) in
        [(OUTPUT, "(--output "), (RESUME, "(--"), (SCRATCH, "(--scratch "), (LITTLE, "(--scratch ")]
    {
        let (mut failed, mut done) = (0, false);
        for files in 2..60 {
            let size = format!("20m,nr_inodes={files}");
            let Some(wrapper) = small_disk(&size) else { return };
            let mode = ["processes", "threads", "inline"][files % 3];
            let _ = ["copied", "disk/out"].map(|out| fs::remove_dir_all(dir.path(out)));
            let arguments = [&["embed", "--no-sync", "--workers", "2", "--mode", mode], place, options];
            let finished = dir.through(&wrapper).args(&arguments.concat()).args(&["corpus"]).run();
            let context = format!("{place:?}, {files} files, {mode}");
            if is_done(&finished, 0, place.contains(&"--resume"), &context) {
                if dir.path("copied").exists() {
                    assert_same_bytes(&reference, &dir.output("copied"), &context);
                }
                done = true;
                break;
            }
            failed += 1;
            let line = &finished.stderr;
            assert!(line.contains("disk") && line.contains(" files are free: "), "{context}: {line}");
            assert!(line.contains(option), "{context}: {line}");
        }
        assert!(done && failed > 1, "{place:?}: {failed} numbers of files are too few");
    }
}

/// A reservation that does nothing leaves a table without disk blocks. Each access raises SIGBUS, as on a disk that
/// keeps no reservation.
#[test]
fn a_table_that_loses_its_disk_is_an_error_and_never_a_signal() {
    let dir = corpus(150);
    fs::create_dir(dir.path("scratch")).unwrap();
    let (mut lost, mut harmless) = (0, 0);
    for (options, mode) in [
        (WAYS[1], "processes"),
        (WAYS[1], "threads"),
        (WAYS[1], "inline"),
        (WAYS[2], "processes"),
        (WAYS[2], "threads"),
        (WAYS[4], "inline"),
    ] {
        let reference = reference(&dir, options);
        let little = ["--scratch", "scratch", "--memory", "100K", "--worker-memory", "64M"];
        let arguments = [&["--mode", mode, "--workers", "1"], &little[..], options].concat();
        // In this order: the tables of the coordinator, of the segment and of the columns, and files.
        for number in 1.. {
            let call = format!("inject=fallocate:retval=0:when={number}");
            let Some(wrapper) = failing(&call) else { return };
            let _ = fs::remove_dir_all(dir.path("out"));
            let finished = dir.through(&wrapper).args(&["embed", "--no-sync"]).args(&arguments);
            let finished = finished.args(&["--output", "out", "corpus"]).run();
            let context = format!("{mode} {options:?}, reservation {number}: {}", finished.stderr);
            assert!(fs::read_dir(dir.path("scratch")).unwrap().next().is_none(), "{context}");
            if finished.status.code() == Some(0) {
                assert_same_bytes(&reference, &dir.output("out"), &context);
                harmless += 1;
                if number > 20 {
                    break;
                }
                continue;
            }
            lost += 1;
            assert_eq!(finished.status.code(), Some(1), "{context}");
            let line = "bowline: a table in scratch was lost, since the disk is full or fails: No space left on device (os error 28) (--scratch names another directory)\n";
            assert_eq!(finished.stderr, line, "{context}");
            assert!(!dir.path("out").exists() && !dir.path("out.partial").exists(), "{context}");
        }
    }
    assert!(lost > 20 && harmless > 6, "{lost} lost tables, {harmless} that were not used");
}

/// All sizes, in small steps: `make full-disks`.
#[test]
#[ignore = "takes long: make full-disks"]
fn full_disks() {
    assert!(has_ext4(), "this needs root, unshare, mkfs.ext4 and loop devices");
    let dir = corpus(1200);
    let (mut runs, mut findings) = (0, 0);
    for options in WAYS {
        let reference = reference(&dir, options);
        for place in [OUTPUT, RESUME, SCRATCH, LITTLE] {
            for block in ["1024", "2048", "4096"] {
                for mode in ["processes", "threads", "inline"] {
                    let case = Case { mode, block, options, place };
                    let mut kibibytes = 200;
                    let tried = |kibibytes: u64| {
                        let tried = || try_case(&dir, &reference, &case, kibibytes);
                        std::panic::catch_unwind(std::panic::AssertUnwindSafe(tried))
                    };
                    loop {
                        runs += 1;
                        match tried(kibibytes) {
                            Ok(true) => break,
                            Ok(false) => {}
                            Err(_) => findings += 1,
                        }
                        kibibytes += (kibibytes / 10).max(64) / 4 * 4;
                        assert!(kibibytes < 64 << 10, "{case:?}: it never is enough");
                    }
                    println!("{case:?}: {kibibytes} KiB are enough; {runs} runs, {findings} findings");
                }
            }
        }
    }
    assert_eq!(findings, 0);
}
