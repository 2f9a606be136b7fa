//! Errors of the output: paths that exist or cannot be written, files of earlier runs, two runs to one output, and full
//! disks.

use super::{pets, refused, shown};
use crate::support::{Dir, processes, wrapper};
use nix::sys::stat::Mode;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

#[test]
fn output_that_exists() {
    let dir = pets();
    let before = dir.embedded(&[]).files();
    let line = refused(&dir, dir.embed(&["--dense"]), 1);
    assert_eq!(line, format!("{}: exists already (--force replaces it)", shown(&dir, "out")));
    assert_eq!(dir.output("out").files(), before);
    fs::create_dir(dir.path("empty")).unwrap();
    let line = refused(&dir, dir.embed_to("empty", &[]), 1);
    assert_eq!(line, format!("{}: exists already (--force replaces it)", shown(&dir, "empty")));
}

#[test]
fn force_replaces_nothing_but_an_output() {
    let dir = pets();
    dir.write("precious/thesis.txt", "years of work");
    dir.write("file", "more work");
    symlink("precious", dir.path("link")).unwrap();
    symlink("nowhere", dir.path("dangling")).unwrap();
    nix::unistd::mkfifo(&dir.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    dir.embed_to("annotated", &[]).run().expect(0);
    dir.write("annotated/notes.txt", "what I found");
    dir.write("half/matrix.npz", "");
    for (target, why) in [
        ("precious", "contains thesis.txt, which is not a file of an output"),
        ("precious/", "contains thesis.txt, which is not a file of an output"),
        ("annotated", "contains notes.txt, which is not a file of an output"),
        ("corpus", "contains a.txt, which is not a file of an output"),
        ("half", "has no manifest.json"),
        ("file", "is a file"),
        ("link", "is a symbolic link"),
        ("dangling", "is a symbolic link"),
        ("pipe", "is a special file"),
    ] {
        // The message is the same with `--force` and without: it must not recommend an option that does not help.
        for options in [&[][..], &["--force"]] {
            let line = refused(&dir, dir.embed_to(target, options), 1);
            let path = shown(&dir, target.trim_end_matches('/'));
            let advice = "so it is never replaced (--output names another place)";
            assert_eq!(line, format!("{path}: exists and {why}, {advice}"));
        }
    }
    assert_eq!(fs::read(dir.path("precious/thesis.txt")).unwrap(), b"years of work");
    assert_eq!(fs::read(dir.path("annotated/notes.txt")).unwrap(), b"what I found");
    assert_eq!(fs::read(dir.path("file")).unwrap(), b"more work");
}

/// The error comes before the run, not at its end.
#[test]
fn an_output_that_may_not_be_replaced() {
    let Some(user) = wrapper::unprivileged() else { return };
    let dir = pets();
    fs::create_dir(dir.path("open")).unwrap();
    dir.embed_to("open/out", &[]).run().expect(0);
    let (_place, _output) = (dir.chmod("open", 0o777), dir.chmod("open/out", 0o555));
    let run = dir.through(&user).args(&["embed", "--force", "-o", "open/out", "corpus"]);
    let line = refused(&dir, run, 1);
    let expected = format!("{}: cannot be replaced: ", shown(&dir, "open/out"));
    assert!(line.starts_with(&expected) && line.contains("Permission denied"), "{line}");
    assert!(!dir.path("open/out.partial").exists());
    let _output = dir.chmod("open/out", 0);
    let run = dir.through(&user).args(&["embed", "--force", "-o", "open/out", "corpus"]);
    let line = refused(&dir, run, 1);
    let cannot = "exists and can't be read: Permission denied";
    assert!(line.starts_with(&format!("{}: {cannot}", shown(&dir, "open/out"))), "{line}");
}

#[test]
fn an_output_without_a_name() {
    let dir = pets();
    for target in ["..", ".", "/", "corpus/.."] {
        let line = refused(&dir, dir.embed_to(target, &["--force"]), 1);
        assert_eq!(
            line,
            format!(
                "{target}: not the name of a directory to create (--output takes the name of the directory that is made)"
            )
        );
    }
}

#[test]
fn a_failing_run_keeps_the_output_that_it_was_to_replace() {
    let dir = pets();
    let before = dir.embedded(&[]).files();
    let line = refused(&dir, dir.bowline(&["embed", "--force", "-o", "out", "nowhere"]), 1);
    assert!(line.starts_with("nowhere: "), "{line}");
    assert_eq!(dir.output("out").files(), before);
}

#[test]
fn parent_of_the_output_is_missing() {
    let dir = pets();
    let line = refused(&dir, dir.embed_to("no/such/out", &[]), 1);
    let cannot_hold = "cannot hold the output";
    let expected = format!("{}: {cannot_hold}: No such file or directory", shown(&dir, "no/such"));
    assert!(line.starts_with(&expected), "{line}");
    let line = refused(&dir, dir.embed_to("corpus/a.txt/out", &[]), 1);
    let expected = format!("{}: {cannot_hold}: Not a directory", shown(&dir, "corpus/a.txt"));
    assert!(line.starts_with(&expected), "{line}");
}

#[test]
fn report_that_cannot_be_written() {
    let dir = pets();
    let line = refused(&dir, dir.embed(&["--report", "no/such/report.json"]), 1);
    assert!(line.starts_with("no/such/report.json: No such file or directory"), "{line}");
}

#[test]
fn parent_of_the_output_is_not_writable() {
    let Some(user) = wrapper::unprivileged() else { return };
    let dir = pets();
    fs::create_dir(dir.path("locked")).unwrap();
    let _mode = dir.chmod("locked", 0o555);
    let arguments = ["embed", "-o", "locked/out", "corpus"];
    let line = refused(&dir, dir.through(&user).args(&arguments), 1);
    let expected = format!("{}: cannot be written: ", shown(&dir, "locked/out.partial"));
    assert!(line.starts_with(&expected) && line.contains("Permission denied"), "{line}");
}

/// The line of a run whose output lies on a disk of 16 KiB. The wrapper prints the files left there: none.
fn on_small_disk(dir: &Dir) -> Option<String> {
    let disk = wrapper::small_disk("16k")?;
    fs::create_dir(dir.path("disk")).unwrap();
    Some(refused(dir, dir.through(&disk).args(&["embed", "-o", "disk/out", "corpus"]), 1))
}

/// The number of bytes that a line reports as needed.
fn bytes_needed(line: &str) -> Option<u64> {
    line.split("needs ").nth(1)?.split(' ').next()?.parse().ok()
}

#[test]
fn disk_too_small_for_the_matrix() {
    let text: String = (0..5000).map(|number| format!("word{number} ")).collect();
    let Some(line) = on_small_disk(&Dir::with_corpus(&[("a.txt", text)])) else { return };
    // 5000 cells of 8 bytes.
    assert!(bytes_needed(&line).is_some_and(|bytes| (40_000..44_000).contains(&bytes)), "{line}");
    assert!(line.contains("--output") && line.contains("No space left on device"), "{line}");
    let free = line.split("and ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    assert!(free.is_some_and(|free| free <= 16_384), "{line}");
}

#[test]
fn disk_too_small_for_the_list_of_documents() {
    let name = "a-name-of-some-length-".repeat(5);
    let files: Vec<_> = (0..200).map(|number| (format!("{name}{number}.txt"), "word")).collect();
    let dir = Dir::with_corpus(&files);
    let Some(line) = on_small_disk(&dir) else { return };
    // 200 lines of more than a hundred bytes.
    assert!(bytes_needed(&line).is_some_and(|bytes| (30_000..50_000).contains(&bytes)), "{line}");
    assert!(line.starts_with("documents.jsonl needs ") && line.contains("No space left on device"), "{line}");
}

#[test]
fn what_a_killed_run_left_is_replaced_with_a_notice() {
    let dir = pets();
    let expected = dir.embedded(&[]).files();
    for (quiet, options) in [(false, &["--force"][..]), (true, &["--force", "--quiet"])] {
        for name in ["matrix.npz", "documents.jsonl", ".tmpa1B2c3", "out.0123abcd.checkpoint/0/plan"] {
            dir.write(format!("out.partial/{name}"), "half");
        }
        let finished = dir.embed(options).run().expect(0);
        let notice =
            format!("bowline: {}: left by a run that did not finish; replaced\n", shown(&dir, "out.partial"));
        assert_eq!(finished.stderr.contains(&notice), !quiet, "{}", finished.stderr);
        assert_eq!(
            (dir.output("out").files(), dir.entries()),
            (expected.clone(), vec!["corpus".into(), "out".into()])
        );
    }
}

/// A file or directory with the partial name that no run has made is not removed.
#[test]
fn what_no_run_has_left_stays() {
    let dir = pets();
    dir.write("precious/thesis.txt", "years of work");
    dir.write("foreign.partial/chapters/one.txt", "years of work");
    dir.write("mixed.partial/matrix.npz", "half");
    dir.write("mixed.partial/mixed.0123abcd.checkpoint/0/plan", "");
    dir.write("mixed.partial/mixed.0123abcd.checkpoint/0/thesis.txt", "years of work");
    symlink("precious", dir.path("link.partial")).unwrap();
    dir.write("file.partial", "more work");
    nix::unistd::mkfifo(&dir.path("pipe.partial"), Mode::S_IRWXU).unwrap();
    for (target, said) in [
        ("foreign", "contains chapters, which no run has made, so it is not replaced"),
        (
            "mixed",
            "contains mixed.0123abcd.checkpoint/0/thesis.txt, which no run has made, so it is not replaced",
        ),
        ("link", "is a symbolic link, and no run has left it"),
        ("file", "is a file, and no run has left it"),
        ("pipe", "is a special file, and no run has left it"),
    ] {
        for options in [&[][..], &["--force"], &["--resume"]] {
            let line = refused(&dir, dir.embed_to(target, options), 1);
            let path = shown(&dir, &format!("{target}.partial"));
            assert_eq!(line, format!("{path}: {said} (remove it, or --output names another place)"));
        }
    }
    assert_eq!(fs::read(dir.path("mixed.partial/matrix.npz")).unwrap(), b"half");
    assert_eq!(fs::read(dir.path("precious/thesis.txt")).unwrap(), b"years of work");
    assert_eq!(fs::read(dir.path("foreign.partial/chapters/one.txt")).unwrap(), b"years of work");
    assert_eq!(fs::read(dir.path("file.partial")).unwrap(), b"more work");
}

/// On network file systems, two directories can't be exchanged in one step.
#[test]
fn a_file_system_that_only_renames_is_enough() {
    let Some(wrapper) = wrapper::failing("inject=renameat2:error=EINVAL") else { return };
    let dir = pets();
    let expected = dir.embed_to("expected", &["--dense"]).run().expect(0);
    assert!(!expected.stderr.is_empty());
    let expected = dir.output("expected").files();
    for options in [&["--dense"][..], &["--dense", "--force"]] {
        let arguments = ["embed", "--output", "out", "corpus"];
        dir.through(&wrapper).args(&arguments).args(options).run().expect(0);
        assert_eq!(
            (dir.output("out").files(), dir.entries()),
            (expected.clone(), vec!["corpus".into(), "expected".into(), "out".into()])
        );
    }
}

#[test]
fn disk_too_small_for_a_list_of_buckets() {
    let Some(disk) = wrapper::small_disk("64k") else { return };
    let text: String = (0..5000).map(|number| format!("word{number} ")).collect();
    let dir = Dir::with_corpus(&[("a.txt", text)]);
    fs::create_dir(dir.path("disk")).unwrap();
    let options = ["--features", "hashed", "--n-features", "10", "--hash-terms"];
    let run = dir.through(&disk).args(&["embed", "-o", "disk/out", "corpus"]).args(&options);
    let line = refused(&dir, run, 1);
    let begins = format!("{} needs more than ", shown(&dir, "disk/out.partial/hash_terms.jsonl"));
    assert!(
        line.starts_with(&begins)
            && line.contains("are free: ")
            && line.ends_with(" (--output names another place)"),
        "{line}"
    );
    // The file's own bytes were free before.
    let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(matches!(numbers[..], [needed, free] if free >= needed && free > 30_000), "{line}");
}

/// While a replaced output is removed, it has the partial name.
#[test]
fn an_output_that_is_being_replaced_is_not_taken_for_what_is_left() {
    let Some(wrapper) = wrapper::failing("inject=renameat2:delay_exit=5000000") else { return };
    let dir = pets();
    dir.embedded(&[]);
    let inode = |name: &str| fs::metadata(dir.path(name)).map(|metadata| metadata.ino()).ok();
    let replaced = inode("out");
    let mut first = dir.through(&wrapper).args(&["embed", "--force", "-o", "out", "corpus"]).start();
    first.until("the new output's name", |_| inode("out.partial") == replaced);
    let line = dir.embed(&["--force"]).run().expect(1).line().to_owned();
    assert!(line.contains("/out.partial: another run is writing it"), "{line}");
    first.wait().expect(0);
    assert_eq!(dir.entries(), ["corpus", "out"]);
}

/// A run may get the lock of a directory that has been renamed in the meantime.
#[test]
fn a_lock_on_what_another_run_has_just_finished_is_none() {
    let Some(wrapper) = wrapper::failing("inject=flock:delay_enter=4000000:when=1") else { return };
    for (options, code) in [(&[][..], 1), (&["--force"], 0)] {
        let dir = pets();
        fs::create_dir(dir.path("out.partial")).unwrap();
        let mut second = dir.through(&wrapper).args(&["embed", "-o", "out", "corpus"]).args(options).start();
        second.until("it has the directory open, and waits", |second| {
            let open = second.children().into_iter().flat_map(processes::open_files);
            open.into_iter().any(|path| path.ends_with("/out.partial"))
        });
        dir.embed(&[]).run().expect(0);
        let finished = second.wait().expect(code);
        assert!(code == 0 || finished.line().ends_with("/out: exists already (--force replaces it)"));
        assert_eq!(dir.entries(), ["corpus", "out"]);
    }
}
