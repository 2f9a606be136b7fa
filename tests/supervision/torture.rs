//! Torture: random corpora with fault documents, embedded by runs whose workers and coordinators are killed, stopped
//! and continued at random moments, until each has finished; then compared, byte by byte, with an undisturbed inline
//! run on the same corpus without the fault documents. Before, the same corpus is embedded on disks that are too small,
//! if the test may mount them. It is also embedded while a folder of it is repeatedly replaced by a link to a folder
//! outside of the corpus: no word of that folder may be in the output. Each round does the same with a corpus of record
//! files of one format, without disks and links.
//!
//! `make torture SECONDS=1200 SEED=1`. A seed gives the same corpora, options and decisions again, but the
//! moments depend on the machine. The test names the seed of each round that fails, and fails at the end.

use crate::disks;
use crate::records;
use crate::support::faults::{FAULTS, fault};
use crate::support::wrapper::{NO_DISK, ext4, has_ext4};
use crate::support::{
    Dir, Output, Random, Running, assert_costs_only_themselves, assert_same_but_causes, assert_same_bytes,
    processes,
};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::ops::AddAssign;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// The time limit of a run.
const LIMIT: Duration = Duration::from_secs(120);

/// How long a worker may make no progress, in seconds: more than a busy machine takes for an innocent document, or for a
/// document that fills its memory.
const TIMEOUT: &str = "5";

/// The most workers that are killed in one run. A document may be held by twenty killed workers.
const MAX_KILLS: u64 = 15;

/// Options that each use another code path.
const WAYS: [&[&str]; 10] = [
    &[],
    &["--norm", "l2", "--weight", "tfidf"],
    &["--features", "hashed", "--n-features", "5000"],
    &["--ngrams", "1:2", "--min-df", "2", "--dtype", "f32"],
    &["--analyzer", "char-wb", "--ngrams", "2:3"],
    &["--max-features", "300", "--weight", "bm25"],
    &["--tokenizer", "unicode", "--stop-words", "english"],
    &["--token-pattern", r"\w+", "--weight", "binary"],
    &["--memory", "100K", "--worker-memory", "64M"],
    &["--features", "hashed", "--hash-terms", "--memory", "100K", "--worker-memory", "64M"],
];

/// The number of disturbances of each kind.
#[derive(Clone, Copy, Default)]
struct Deeds {
    runs: u64,
    worker_kills: u64,
    worker_stops: u64,
    job_stops: u64,
    coordinator_kills: u64,
    signals: u64,
    resumed: u64,
    planted: u64,
    full_disks: u64,
    swaps: u64,
}

impl AddAssign for Deeds {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.worker_kills += other.worker_kills;
        self.worker_stops += other.worker_stops;
        self.job_stops += other.job_stops;
        self.coordinator_kills += other.coordinator_kills;
        self.signals += other.signals;
        self.resumed += other.resumed;
        self.planted += other.planted;
        self.full_disks += other.full_disks;
        self.swaps += other.swaps;
    }
}

/// A number from the environment, which `make torture` sets.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

#[test]
#[ignore = "runs for as long as it is told to: make torture"]
fn torture() {
    let (limit, seed) = (Duration::from_secs(setting("TORTURE_SECONDS", 60)), setting("TORTURE_SEED", 1));
    let (began, mut told) = (Instant::now(), Instant::now());
    let has_disks = has_ext4();
    let (mut rounds, mut findings, mut all) = (0, Vec::new(), Deeds::default());
    // One round, repeated: its draws are the same each time, but its timing is not.
    let again = setting("TORTURE_ROUND", 0);
    while began.elapsed() < limit {
        let of_round = if again > 0 { again } else { seed.wrapping_mul(1_000_000) + rounds };
        let mut deeds = Deeds::default();
        let both = || {
            round_of_records(of_round, &mut deeds);
            round(of_round, has_disks, &mut deeds);
        };
        if catch_unwind(AssertUnwindSafe(both)).is_err() {
            println!("found by the round of seed {of_round}");
            findings.push(of_round);
        }
        all += deeds;
        rounds += 1;
        if told.elapsed() > Duration::from_secs(60) {
            told = Instant::now();
            summarise(began, rounds, &all, &findings);
        }
    }
    summarise(began, rounds, &all, &findings);
    assert!(findings.is_empty(), "{findings:?}");
}

fn summarise(began: Instant, rounds: u64, deeds: &Deeds, findings: &[u64]) {
    let Deeds { runs, worker_kills, worker_stops, job_stops, coordinator_kills, signals, resumed, .. } =
        deeds;
    let Deeds { planted, full_disks, swaps, .. } = deeds;
    println!(
        "{:.0} s: {rounds} rounds, {runs} runs, {planted} fault documents; {worker_kills} workers killed, \
         {worker_stops} stopped; {coordinator_kills} coordinators killed, {signals} ended by signals, {resumed} \
         resumed; {job_stops} jobs stopped and continued; {full_disks} full disks; {swaps} folders swapped for \
         links; {} findings {findings:?}",
        began.elapsed().as_secs_f64(),
        findings.len()
    );
}

/// One corpus, embedded once without disturbances and once with all of them.
fn round(seed: u64, has_disks: bool, deeds: &mut Deeds) {
    let mut random = Random::new(seed);
    let dir = corpus(&mut random);
    let way = random.pick(&WAYS).expect("a way");
    // If pruning leaves no term, there is no result to compare with.
    let Some(clean) = clean(&dir, way) else { return };
    let naturally_fails = !clean.failures().is_empty();
    // A separate generator, so that later draws are the same on a machine without such disks.
    if has_disks {
        fill_disks(&dir, way, &clean, &mut Random::new(!seed), deeds);
    }
    swap_links(&dir, &mut Random::new(!seed), deeds);
    let planted = plant(&dir, &mut random);
    deeds.planted += planted.len() as u64;
    let code = if naturally_fails || !planted.is_empty() { 3 } else { 0 };
    let survives = planted.values().all(|&cause| cause == "the analyzer panicked");
    finish(&dir, way, (code, survives), &mut random, deeds, &format!("seed {seed}, {planted:?}"));
    let found = dir.output("out");
    let failed = rows_of(&found, &planted);
    assert_costs_only_themselves(&clean, &found, &failed, &format!("seed {seed}"));
    assert_eq!(dir.entries(), ["clean", "corpus", "out"], "seed {seed}");
}

/// Embeds the corpus to `out` by disturbed runs, until one of them has ended with `code`. In modes other than processes only
/// if the program `survives` all documents.
fn finish(
    dir: &Dir,
    way: &[&str],
    (code, survives): (i32, bool),
    random: &mut Random,
    deeds: &mut Deeds,
    context: &str,
) {
    let mut interruptions = random.below(4);
    let resume = interruptions > 0 || random.below(4) == 0;
    for attempt in 0.. {
        let mode = match survives {
            true => random.pick(&["processes", "processes", "threads", "inline"]),
            false => Some("processes"),
        };
        let workers = random.pick(&["1", "2", "3", "5", "13"]).expect("a number");
        let sandbox = random.pick(&["auto", "strict", "off"]).filter(|_| mode == Some("processes"));
        let mut options = vec!["--mode", mode.unwrap_or_default(), "--workers", workers];
        options.extend(["--document-timeout", TIMEOUT, "--sandbox", sandbox.unwrap_or("auto")]);
        options.extend(resume.then_some("--resume"));
        if !way.contains(&"--worker-memory") {
            options.extend(["--worker-memory", "64M"]);
        }
        options.extend(way);
        let context = format!("{context}, attempt {attempt}: {options:?}");
        let mut run = dir.embed(&options).limit(LIMIT).start();
        deeds.runs += 1;
        deeds.resumed += u64::from(attempt > 0);
        let interrupted = disturb(&mut run, random, &mut interruptions, deeds);
        let ended = run.wait();
        match ended.status.code() {
            Some(ended) if ended == code => break,
            // A kill may come after the output got its name. Then the output is complete.
            None | Some(129 | 130 | 143) if interrupted && dir.path("out").exists() => break,
            None | Some(129 | 130 | 143) if interrupted => {}
            _ => panic!("{context}: {}\n{}", ended.status, ended.stderr),
        }
    }
}

/// As `round`, with record files, among whose records are fault documents.
fn round_of_records(seed: u64, deeds: &mut Deeds) {
    let mut random = Random::new(seed ^ 0x5EED);
    let format = random.pick(&records::FORMATS).expect("a format");
    let (mut files, mut failed, mut rows) = (Vec::new(), Vec::new(), 0);
    for number in 0..1 + random.below(4) {
        // The largest are several ranges.
        let words = random.pick(&[5, 60, 60, 900]).expect("a length");
        let mut texts = vec!["the first document has a few words".to_owned()];
        for _ in 0..random.below(500) {
            let words = random.below(words);
            texts.push(random.text(words));
        }
        let ending =
            random.pick(&["", ".gz", ".zst", ".bz2", ".xz"]).filter(|_| !matches!(format, "zip" | "parquet"));
        let mut faults = BTreeMap::new();
        for _ in 0..random.below(4) {
            let (what, cause) = random.pick(&FAULTS).expect("a fault");
            if what != "hang" || random.below(4) == 0 {
                faults.insert(random.below(texts.len()), (what, cause));
            }
        }
        failed.extend(faults.iter().map(|(record, (_, cause))| (rows + record, *cause)));
        rows += texts.len();
        // A text that fails in every format.
        faults.keys().for_each(|&record| texts[record] = "\0".to_owned());
        files.push((format!("{number}.{format}{}", ending.unwrap_or_default()), texts, faults));
    }
    let dir = Dir::new();
    let add = |name: &str, texts: &[String]| {
        let bytes = records::file(texts, format);
        let ending = name.rsplit('.').next().filter(|ending| records::COMPRESSIONS.contains(ending));
        dir.add(
            name.as_bytes(),
            &ending.map_or_else(|| bytes.clone(), |ending| records::compressed(&bytes, ending)),
        );
    };
    files.iter().for_each(|(name, texts, _)| add(name, texts));
    let way = [random.pick(&WAYS).expect("a way"), &["--input-format", format]].concat();
    let Some(clean) = clean(&dir, &way) else { return };
    for (name, texts, faults) in &mut files {
        // Lines have one line each.
        faults.iter().for_each(|(&record, (what, _))| texts[record] = format!("bowline-fault: {what}"));
        add(name, texts);
    }
    deeds.planted += failed.len() as u64;
    let code = if clean.failures().is_empty() { 0 } else { 3 };
    let survives = failed.iter().all(|(_, cause)| *cause == "the analyzer panicked");
    let names: Vec<_> = files.iter().map(|(name, ..)| name).collect();
    let context = format!("records of seed {seed}, {names:?}, {failed:?}");
    finish(&dir, &way, (code, survives), &mut random, deeds, &context);
    assert_same_but_causes(&clean, &dir.output("out"), &failed, &context);
    assert_eq!(dir.entries(), ["clean", "corpus", "out"], "{context}");
}

/// A corpus of ordinary documents, some of which fail by themselves.
fn corpus(random: &mut Random) -> Dir {
    let dir = Dir::with_corpus(&[("empty.txt", "")]);
    let most_words = random.pick(&[5, 50, 500]).expect("a length");
    for number in 0..50 + random.below(1000) {
        let content = match random.below(100) {
            0 => b"not \xFF text".to_vec(),
            1 => b"binary\0".to_vec(),
            _ => {
                let words = random.below(most_words);
                random.text(words).into_bytes()
            }
        };
        let folder = random.below(3);
        dir.add(format!("{folder}/{number}.txt").as_bytes(), &content);
    }
    dir
}

/// Embeds the corpus on small disks of random sizes, then resumes from the checkpoint on a large disk.
fn fill_disks(dir: &Dir, way: &[&str], clean: &Output, random: &mut Random, deeds: &mut Deeds) {
    fs::create_dir(dir.path("disk")).expect("a directory");
    let code = if clean.failures().is_empty() { 0 } else { 3 };
    for attempt in 0..3 {
        let block = random.pick(&["1024", "2048", "4096"]).expect("a size");
        let mode = random.pick(&["processes", "threads", "inline"]).expect("a mode");
        let place = random.pick(&[disks::RESUME, disks::SCRATCH]).expect("a place");
        for kibibytes in [200 + random.below(3000 >> attempt), 100 << 10] {
            let size = format!("{kibibytes}K");
            let arguments = [&["embed", "--no-sync", "--workers", "3", "--mode", mode], place, way].concat();
            let run = dir.through(&ext4(&size, block)).args(&arguments).args(&["corpus"]).limit(LIMIT);
            let finished = run.run();
            if finished.status.code() == Some(NO_DISK) {
                continue;
            }
            deeds.runs += 1;
            let context = format!("{arguments:?}, {size} of blocks of {block} bytes");
            if disks::is_done(&finished, code, true, &context) {
                assert_same_bytes(clean, &dir.output("copied"), &context);
                fs::remove_dir_all(dir.path("copied")).expect("an output");
                break;
            }
            assert!(kibibytes < 100 << 10, "{context}: {}", finished.stderr);
            deeds.full_disks += 1;
        }
        let _ = fs::remove_file(dir.path("image"));
    }
    fs::remove_dir(dir.path("disk")).expect("an empty directory");
}

/// A word that only documents outside of the corpus contain.
const SECRET: &str = "outsideofthecorpus";

/// Embeds the corpus while a folder of it is replaced by a link to a folder outside, which has files of the same names.
fn swap_links(dir: &Dir, random: &mut Random, deeds: &mut Deeds) {
    for entry in fs::read_dir(dir.path("corpus/0")).into_iter().flatten() {
        let name = entry.expect("a document").file_name();
        dir.write(dir.path("outside").join(name), SECRET);
    }
    if !dir.path("outside").exists() {
        return;
    }
    symlink(dir.path("outside"), dir.path("link")).expect("a link");
    let (folder, link) = (dir.path("corpus/0"), dir.path("link"));
    for mode in ["processes", "threads", "inline"] {
        let sandbox = random.pick(&["auto", "strict", "off"]).filter(|_| mode == "processes");
        let options = ["--mode", mode, "--workers", "2", "--sandbox", sandbox.unwrap_or("auto"), "--resume"];
        let mut run = dir.embed_to("swapped", &options).limit(LIMIT).start();
        let swap = || renameat2(AT_FDCWD, &folder, AT_FDCWD, &link, RenameFlags::RENAME_EXCHANGE);
        let mut swaps = 0;
        while !run.is_over() {
            swap().expect("a file system that can exchange names");
            swaps += 1;
            std::thread::sleep(Duration::from_micros(random.below(3000) as u64));
        }
        if swaps % 2 == 1 {
            swap().expect("a file system that can exchange names");
        }
        deeds.runs += 1;
        deeds.swaps += swaps;
        let ended = run.wait();
        match ended.status.code() {
            Some(0 | 3) => {
                let terms = fs::read(dir.path("swapped/vocabulary.jsonl")).expect("a vocabulary");
                let is_embedded = terms.windows(SECRET.len()).any(|word| word == SECRET.as_bytes());
                assert!(!is_embedded, "{options:?}: a document outside of the corpus was embedded");
                fs::remove_dir_all(dir.path("swapped")).expect("an output");
            }
            // The walk found only the link, or only documents without a term.
            Some(1) if ended.stderr.lines().count() == 1 => {}
            _ => panic!("{options:?}: {}\n{}", ended.status, ended.stderr),
        }
        let _ = fs::remove_dir_all(dir.path("swapped.partial"));
    }
    fs::remove_dir_all(dir.path("outside")).and_then(|()| fs::remove_file(&link)).expect("files of the test");
}

/// Adds fault documents. Returns the expected cause of each path.
fn plant(dir: &Dir, random: &mut Random) -> BTreeMap<String, &'static str> {
    let mut planted = BTreeMap::new();
    for number in 0..random.below(6).saturating_sub(1) {
        let (what, cause) = random.pick(&FAULTS).expect("a fault");
        // It takes twice the time limit.
        if what == "hang" && random.below(4) > 0 {
            continue;
        }
        let path = format!("{}/{}.{number}", random.below(3), random.below(1000));
        dir.add(path.as_bytes(), fault(what).as_bytes());
        planted.insert(path, cause);
    }
    planted
}

/// Disturbs a run until it ends. Returns whether it got a signal to end.
fn disturb(run: &mut Running, random: &mut Random, interruptions: &mut usize, deeds: &mut Deeds) -> bool {
    let (mut kills, mut stops) = (0, 0);
    let pause = random.pick(&[3, 10, 30]).expect("a pause");
    loop {
        std::thread::sleep(Duration::from_micros(random.below(2000 * pause) as u64));
        if run.is_over() {
            return false;
        }
        let workers: Vec<Pid> =
            run.workers().into_iter().filter(|&worker| processes::is_alive(worker)).collect();
        let open = processes::descriptors(run.pid());
        assert!(open < 40 + 4 * 13, "the coordinator has {open} descriptors");
        match random.below(20) {
            0..12 if kills < MAX_KILLS => {
                if let Some(worker) = random.pick(&workers) {
                    let is_killed = u64::from(kill(worker, Signal::SIGKILL).is_ok());
                    kills += is_killed;
                    deeds.worker_kills += is_killed;
                }
            }
            12 if stops == 0 => {
                if let Some(worker) = random.pick(&workers) {
                    stops += 1;
                    deeds.worker_stops += u64::from(kill(worker, Signal::SIGSTOP).is_ok());
                }
            }
            13 => {
                run.signal_all(Signal::SIGTSTP);
                std::thread::sleep(Duration::from_millis(30));
                run.signal_all(Signal::SIGCONT);
                deeds.job_stops += 1;
            }
            14..17 if *interruptions > 0 => {
                *interruptions -= 1;
                run.signal(Signal::SIGKILL);
                deeds.coordinator_kills += 1;
                return true;
            }
            17 if *interruptions > 0 => {
                *interruptions -= 1;
                run.signal(
                    random.pick(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]).expect("a signal"),
                );
                deeds.signals += 1;
                return true;
            }
            _ => {}
        }
    }
}

/// The output of an undisturbed inline run, or none if no term is left.
fn clean(dir: &Dir, way: &[&str]) -> Option<Output> {
    let ended = dir.embed_to("clean", &[&["--mode", "inline"], way].concat()).limit(LIMIT).run();
    match ended.status.code() {
        Some(0 | 3) => Some(dir.output("clean")),
        Some(1) if ended.stderr.contains("no term is left") => None,
        _ => panic!("{}: {}", ended.status, ended.stderr),
    }
}

/// The rows of these paths, with their documents.
fn rows_of<'a>(output: &Output, planted: &BTreeMap<String, &'a str>) -> Vec<(usize, &'a str)> {
    let paths = output.paths();
    let failed = paths.iter().enumerate().filter_map(|(row, path)| Some((row, *planted.get(path)?)));
    let failed: Vec<_> = failed.collect();
    assert_eq!(failed.len(), planted.len(), "{planted:?}");
    failed
}
