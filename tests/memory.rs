//! `--memory` holds in every phase: what a run and its workers hold, which nothing but its end can free, is sampled while it
//! goes on. A peak between two samples is missed: then the test passes.

use crate::support::{Dir, Random, assert_same_bytes, processes, wrapper};
use std::fmt::Write as _;

/// Distinct terms of the corpus: more than any phase has memory for at once.
const TERMS: usize = 2_000_000;

/// What a run may hold under `--memory 64M`: a tenth more.
const MOST: u64 = (64 << 20) / 10 * 11;

#[test]
fn terms_beyond_memory_are_sorted_and_merged_within_it() {
    let text = |file: usize| -> String {
        // In no order, and with one prefix that is longer than the numbers that terms are compared by.
        (0..TERMS / 20)
            .map(|term| format!("oneprefix{:08}\n", (term * 7_919 + file * (TERMS / 20)) % TERMS))
            .collect()
    };
    let files: Vec<_> = (0..20).map(|file| (format!("{file}.txt"), text(file))).collect();
    let dir = Dir::with_corpus(&files);
    for options in
        [&[][..], &["--max-features", "10"], &["--features", "hashed", "--hash-terms", "--n-features", "999"]]
    {
        let roomy = ["--worker-memory", "1G", "--mode", "inline", "--force"];
        dir.embed_to("roomy", &[options, &roomy].concat()).run().expect(0);
        let little = ["--memory", "64M", "--worker-memory", "32M", "--workers", "2", "--force"];
        let mut run = dir.embed_to("little", &[options, &little].concat()).start();
        let mut held = Vec::new();
        while !run.is_over() {
            let family = run.children().into_iter().chain([run.pid()]);
            held.push(family.filter_map(processes::held).sum::<u64>());
        }
        run.wait().expect(0);
        assert_same_bytes(&dir.output("roomy"), &dir.output("little"), &options.join(" "));
        let most = held.iter().max().copied().unwrap_or(0);
        assert!(most < MOST, "{options:?}: {} MiB held", most >> 20);
    }
}

/// A worker that sorts terms has a limit, too. The earlier run had memory for a document whose terms must be sorted at
/// once; the run that goes on from it has not.
#[test]
fn a_worker_that_finishes_has_a_limit() {
    let mut text = String::new();
    for term in 0..1_500_000 {
        write!(text, "{term:08} ").expect("a string grows");
    }
    let dir = Dir::with_corpus(&[("a.txt", text)]);
    for (mode, line) in [("processes", "out of memory while finishing"), ("inline", "out of memory")] {
        let options = ["--resume", "--mode", mode, "--workers", "1", "--min-df", "2", "--max-df", "2"];
        let run = |memory| dir.embed(&[&options[..], &["--worker-memory", memory]].concat()).run();
        // No term is kept, so the run ends behind the sorting.
        assert!(run("1G").expect(1).line().contains("--min-df"));
        let resumed = run("32M").expect(1);
        let line = format!("bowline: {line} (--worker-memory and --memory give a worker more, ");
        let last = resumed.stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with(&line), "{mode}: {}", resumed.stderr);
        std::fs::remove_dir_all(dir.path("out.partial")).expect("the checkpoint is removed");
    }
}

/// A control group of 64 MB more than `--memory`, in which the pages of scratch files count. The tables and texts of the
/// n-grams are several times larger: a phase that touches them without an order, or has the kernel read around each page,
/// does not end within the limit of a test.
#[test]
fn ngrams_beyond_memory_are_embedded_in_a_control_group() {
    let Some(group) = wrapper::little_memory("134217728") else { return };
    let mut random = Random::new(5);
    let mut text = || -> String { (0..20_000).map(|_| format!("{:020} ", random.below(3_000))).collect() };
    let files: Vec<_> = (0..50).map(|file| (format!("{file}.txt"), text())).collect();
    let dir = Dir::with_corpus(&files);
    let ngrams = ["--ngrams", "1:3"];
    dir.embed_to("roomy", &ngrams).run().expect(0);
    let arguments = ["embed", "--no-sync", "--output", "little", "--workers", "1", "--memory", "64M"];
    dir.through(&group).args(&arguments).args(&ngrams).args(&["corpus"]).run().expect(0);
    assert_same_bytes(&dir.output("roomy"), &dir.output("little"), "in a control group");
}

/// Scratch files in memory spare none.
#[test]
fn scratch_files_in_memory_are_reported() {
    let disks = [wrapper::small_disk("64m"), wrapper::disk_without_reservation()];
    let dir = Dir::with_corpus(&[("a.txt", "one two three"), ("b.txt", "four")]);
    std::fs::create_dir(dir.path("disk")).expect("a directory");
    for disk in disks.into_iter().flatten() {
        let run = |memory| {
            let arguments =
                ["embed", "--no-sync", "--force", "--output", "out", "--scratch", "disk", "--memory", memory];
            let worker = ["--worker-memory", "64M", "--workers", "1", "corpus"];
            dir.through(&disk).args(&arguments).args(&worker).run().expect(0).stderr
        };
        let little = run("1K");
        let notice = little.lines().find(|line| line.contains("in memory"));
        let start = "bowline: disk is in memory, and the scratch files in it took ";
        let notice = notice.and_then(|line| line.strip_prefix(start)).unwrap_or_else(|| panic!("{little}"));
        assert!(notice.ends_with(" bytes (--scratch names a directory on a disk)"), "{little}");
        assert!(!run("256M").contains("in memory"), "no scratch file is needed");
    }
}
