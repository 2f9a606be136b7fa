//! The start of workers on machines that lack or forbid something: workers start without it, or one line names it.

use crate::support::wrapper::{bare_machine, can_confine, is_root};
use crate::support::{Dir, Refused, assert_same_bytes};
use nix::errno::Errno;
use nix::libc;

/// Documents of a corpus in which every worker gets some.
const DOCUMENTS: usize = 100;

const MODES: [&[&str]; 5] = [
    &[],
    &["--resume"],
    &["--memory", "96M", "--worker-memory", "64M"],
    &["--mode", "threads"],
    &["--mode", "inline"],
];

#[test]
fn a_machine_without_devices_and_proc_is_enough() {
    let Some(wrapper) = bare_machine() else { return };
    let dir = Dir::with_generated(DOCUMENTS);
    let reference = dir.embedded(&[]);
    let confined: &[&[&str]] =
        if can_confine("strict") { &[&["--sandbox", "strict"], &["--sandbox", "auto"]] } else { &[] };
    for options in MODES.iter().chain(confined) {
        let options =
            [&["embed", "--force", "--no-sync", "--workers", "2", "--output", "bare"], *options].concat();
        let finished = dir.through(&wrapper).args(&options).args(&["corpus"]).run().expect(0);
        assert!(!finished.stderr.contains("sandbox"), "{}", finished.stderr);
        assert_same_bytes(&reference, &dir.output("bare"), &options.join(" "));
    }
    // Only this option needs it.
    let permits = ["embed", "--max-reads", "1", "--output", "permits", "corpus"];
    let finished = dir.through(&wrapper).args(&permits).run().expect(1);
    assert!(finished.line().starts_with("opening the permits to read in /proc: "));
}

/// Limits of addresses, private memory, stack and locked memory (`ulimit`), in KiB.
#[test]
fn limits_of_the_shell_are_heeded() {
    let dir = Dir::with_generated(DOCUMENTS);
    let reference = dir.embedded(&[]);
    let limited = |limit: &str, options: &[&str]| {
        let script = format!("ulimit {limit} && exec \"$@\"");
        let wrapper = ["sh", "-c", &script, "sh"];
        let arguments = ["embed", "--force", "--no-sync", "--output", "limited", "corpus"];
        dir.through(&wrapper).args(&arguments).args(options).workers(Some("2")).run()
    };
    for limit in ["-v 2000000", "-v 400000", "-d 500000", "-s 256", "-Ss 128", "-l 0", "-c 0"] {
        for options in MODES {
            limited(limit, options).expect(0);
            assert_same_bytes(&reference, &dir.output("limited"), &format!("{limit} {options:?}"));
        }
    }
    for limit in ["-v 60000", "-d 30000"] {
        let finished = limited(limit, &[]).expect(2);
        let line = finished.line();
        assert!(
            line.starts_with("ulimit -v and ulimit -d leave ") && line.ends_with(", which needs 32M"),
            "{line}"
        );
    }
}

/// Rows that need more addresses than the limit allows: the run fails with one line that names the limit.
#[test]
fn too_few_addresses_for_the_rows_are_reported() {
    let dir = Dir::with_corpus(&[("a.txt", "one two")]);
    for document in 0..40 {
        let words: Vec<String> = (0..10_000).map(|word| format!("w{document}x{word}")).collect();
        dir.add(format!("{document}.txt").as_bytes(), words.join(" ").as_bytes());
    }
    for options in [&[][..], &["--resume"]] {
        let options =
            [&["embed", "--output", "out", "--ngrams", "1:3", "--workers", "1"], options, &["corpus"]]
                .concat();
        // The least sufficient number depends on the program's own size. With a little less, any allocation may be the one
        // that fails.
        let limits = (60_000..130_000).step_by(3500);
        let failed = limits.filter(|limit| {
            let shell = format!("ulimit -v {limit}; exec \"$@\"");
            let finished = dir.through(&["sh", "-c", &shell, "sh"]).args(&options).args(&["--force"]).run();
            let (status, stderr) = (finished.status, &finished.stderr);
            if status.code() == Some(0) {
                return false;
            }
            assert!(matches!(status.code(), Some(1 | 2)), "{limit}: {status:?}: {stderr}");
            // A run that resumes says so before.
            let (line, earlier) = stderr
                .trim_end()
                .rsplit_once('\n')
                .map_or((&**stderr, ""), |(earlier, line)| (line, earlier));
            assert!(earlier.is_empty() || earlier.starts_with("bowline: resuming: "), "{limit}: {stderr}");
            assert!(line.starts_with("bowline: ") && line.contains("ulimit -v"), "{limit}: {stderr}");
            true
        });
        assert!(failed.count() > 0, "60 MB of addresses are too few for any build");
    }
}

#[test]
fn a_list_that_needs_more_memory_than_there_is_is_reported() {
    let dir = Dir::with_corpus(&[("a.txt", "one two")]);
    let shell = "ulimit -v 150000; yes abcdefgh | head -c 200000000 | \"$@\"";
    let finished = dir
        .through(&["sh", "-c", shell, "sh"])
        .args(&["embed", "--output", "out", "--files-from", "-"])
        .run();
    assert_eq!(finished.status.code(), Some(1), "{:?}: {}", finished.status, finished.stderr);
    assert!(finished.line().contains("the system gives no more memory"), "{}", finished.line());
    // Another run is possible with what it leaves behind.
    assert_eq!(dir.embed(&[]).run().status.code(), Some(0));
}

/// A call such as `prctl` or `setrlimit`, with that first or second argument.
fn with(call: libc::c_long, argument: u8, value: libc::c_int) -> Refused {
    Refused(call, Some((argument, value as u64)))
}

#[test]
fn calls_that_are_forbidden_are_done_without_or_named() {
    if !can_confine("auto") {
        return;
    }
    let dir = Dir::with_generated(DOCUMENTS);
    let reference = dir.embedded(&[]);
    let any = |call: libc::c_long| Refused(call, None);
    // Calls that a worker can do without.
    for (call, errno) in [
        (libc::SYS_close_range, Errno::ENOSYS),
        (libc::SYS_close_range, Errno::EPERM),
        (libc::SYS_statx, Errno::ENOSYS),
        (libc::SYS_sched_getaffinity, Errno::EPERM),
        (libc::SYS_madvise, Errno::EPERM),
        (libc::SYS_fadvise64, Errno::EPERM),
        (libc::SYS_landlock_create_ruleset, Errno::ENOSYS),
        (libc::SYS_landlock_create_ruleset, Errno::EPERM),
    ] {
        let run = dir.embed_to("without", &["--force"]).refusing(&[any(call)], errno).run().expect(0);
        assert!(!run.stderr.contains("bowline: "), "{}", run.stderr);
        assert_same_bytes(&reference, &dir.output("without"), &format!("call {call}, {errno}"));
    }
    // Calls that a worker needs.
    let mut steps = vec![
        (
            with(libc::SYS_prctl, 0, libc::PR_SET_PDEATHSIG),
            "asking to end with the coordinator (prctl PR_SET_PDEATHSIG)",
        ),
        (
            with(libc::SYS_prlimit64, 1, libc::RLIMIT_CORE as libc::c_int),
            "turning core files off (setrlimit RLIMIT_CORE)",
        ),
        (
            with(libc::SYS_prlimit64, 1, libc::RLIMIT_DATA as libc::c_int),
            "limiting its memory (setrlimit RLIMIT_DATA)",
        ),
    ];
    if is_root() {
        steps.push((any(libc::SYS_capset), "giving up capabilities (capset)"));
    }
    for (refused, step) in steps {
        let run = dir.embed_to("refused", &[]).refusing(&[refused], Errno::EPERM).run().expect(1);
        let expected = format!(
            "cannot start a worker: {step}: Operation not permitted (os error 1) (--mode threads needs no processes)"
        );
        assert_eq!(run.line(), expected);
    }
    let memory = any(libc::SYS_memfd_create);
    let run = dir.embed_to("refused", &[]).refusing(&[memory], Errno::ENOSYS).run().expect(1);
    assert_eq!(run.line(), "mapping the heartbeats: memfd_create: Function not implemented");
    let pairs = any(libc::SYS_socketpair);
    let run = dir.embed_to("refused", &[]).refusing(&[pairs], Errno::EPERM).run().expect(1);
    assert!(run.line().starts_with("opening a "), "{}", run.line());
    assert_eq!(dir.entries(), ["corpus", "out", "without"]);
}

/// The effect of `--sandbox` if the kernel or a container refuses a part of it.
#[test]
fn a_sandbox_that_can_not_be_had_is_reported() {
    if !can_confine("strict") {
        return;
    }
    let filter = Refused(libc::SYS_seccomp, None);
    let ruleset = Refused(libc::SYS_landlock_create_ruleset, None);
    let domain = Refused(libc::SYS_landlock_restrict_self, None);
    let no_filter = |cause: &str| {
        format!(
            "bowline: workers run without a filter of system calls: applying a seccomp filter (seccomp): {cause} (--sandbox off accepts this)\n"
        )
    };
    let (forbidden, missing) =
        ("Operation not permitted (os error 1)", "Function not implemented (os error 38)");
    let dir = Dir::with_generated(DOCUMENTS);
    let reference = dir.embedded(&[]);
    for (refused, errno, sandbox, notice) in [
        (&[][..], Errno::EPERM, "seccomp and landlock", String::new()),
        (&[filter], Errno::EPERM, "landlock", no_filter(forbidden)),
        (&[filter], Errno::ENOSYS, "landlock", no_filter(missing)),
        (&[ruleset], Errno::ENOSYS, "seccomp", String::new()),
        (&[domain], Errno::EPERM, "seccomp", String::new()),
        (&[filter, ruleset], Errno::EPERM, "none", no_filter(forbidden)),
        (&[filter, domain], Errno::ENOSYS, "none", no_filter(missing)),
    ] {
        let options = ["--force", "--report", "report.json"];
        let run = dir.embed_to("auto", &options).refusing(refused, errno).run().expect(0);
        let said: Vec<&str> =
            run.stderr.split_inclusive('\n').filter(|line| line.starts_with("bowline: ")).collect();
        assert_eq!((said.concat(), dir.report()["sandbox"].as_str()), (notice, Some(sandbox)));
        assert_same_bytes(&reference, &dir.output("auto"), sandbox);
    }
    for (refused, errno, cause) in [
        (filter, Errno::EPERM, format!("applying a seccomp filter (seccomp): {forbidden}")),
        (domain, Errno::EPERM, format!("entering a Landlock domain (landlock_restrict_self): {forbidden}")),
        (
            ruleset,
            Errno::ENOSYS,
            "Landlock can't be had: this kernel has none, or a container forbids it".to_owned(),
        ),
        (ruleset, Errno::EPERM, format!("Landlock can't be had: {forbidden}")),
        (
            ruleset,
            Errno::EOPNOTSUPP,
            "Landlock can't be had: it is not in the kernel's list of security modules (lsm=)".to_owned(),
        ),
    ] {
        let run =
            dir.embed_to("strict", &["--sandbox", "strict"]).refusing(&[refused], errno).run().expect(1);
        assert_eq!(
            run.line(),
            format!("the strict sandbox is not available: {cause} (--sandbox auto takes what there is)")
        );
    }
    assert!(!dir.path("strict").exists());
}
