//! Runs the seeds of the fuzz targets, and every input that once failed, through the functions that `make fuzz` runs
//! (`fuzz/src`). `make fuzz-stable` also runs mutated seeds, without a nightly compiler and without knowing the branches that
//! an input takes.

#[expect(dead_code, reason = "no documents are made here")]
#[path = "support/random.rs"]
mod random;
#[path = "../fuzz/src/lib.rs"]
mod targets;

use random::Random;
use std::env;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The time limit of one input, in a build without optimisation.
const LIMIT: Duration = Duration::from_secs(10);

/// The seeds of one target.
fn seeds(target: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut seeds: Vec<_> =
        fs::read_dir(directory).expect("seeds").map(|seed| seed.unwrap().path()).collect();
    seeds.sort();
    assert!(seeds.len() >= 5, "{target} has seeds");
    seeds
}

/// Runs all seeds of one target.
fn run_all(target: &str, run: fn(&[u8])) {
    for seed in seeds(target) {
        // If the test panics, this line names the seed.
        println!("{}", seed.display());
        let began = Instant::now();
        run(&fs::read(&seed).expect("a seed"));
        assert!(began.elapsed() < LIMIT, "{} took {:?}", seed.display(), began.elapsed());
    }
}

/// A target and its function.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 10] = [
    ("records", targets::records::run),
    ("parquet", targets::parquet::run),
    ("archive", targets::archive::run),
    ("encoding", targets::encoding::run),
    ("analyze", targets::analyze::run),
    ("token_pattern", targets::token_pattern::run),
    ("vocabulary", targets::vocabulary::run),
    ("manifest", targets::manifest::run),
    ("matrix", targets::matrix::run),
    ("segment", |segment| _ = targets::segment::run(segment)),
];

/// Changes a few places of an input: bits, bytes, numbers; parts that are removed, repeated, or taken from another one.
fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..1 + random.below(6) {
        let place = random.below(input.len() + 1);
        let longest = random.pick(&[2, 9, 60]).expect("a length");
        let length = 1 + random.below(longest);
        let end = input.len().min(place + length);
        match random.below(7) {
            0 if place < end => input[place] ^= 1 << random.below(8),
            1 if place < end => input[place] = random.below(256) as u8,
            2 => {
                let byte = random.pick(&[0, 1, 0x7F, 0x80, 0xFF]).expect("a byte");
                input[place..end].fill(byte);
            }
            3 => drop(input.drain(place..end)),
            4 => {
                let part = input[place..end].to_vec();
                input.splice(place..place, part);
            }
            5 if !other.is_empty() => {
                let from = random.below(other.len());
                let part = &other[from..other.len().min(from + length)];
                input.splice(place..end, part.iter().copied());
            }
            _ => input.insert(place, random.pick(b"\n\"\\,{}\0\xFF;:\t'").expect("a byte")),
        }
    }
}

/// FUZZ_SECONDS is the time of each target, FUZZ_TARGETS names some of them, FUZZ_SEED chooses the mutations.
#[test]
#[ignore = "takes minutes: make fuzz-stable"]
fn mutated_seeds() {
    let number =
        |name: &str, default| env::var(name).map_or(default, |value| value.parse().expect("a number"));
    let names = env::var("FUZZ_TARGETS").unwrap_or_default();
    let failures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    let mut failed = Vec::new();
    for (target, run) in TARGETS {
        if !names.is_empty() && !names.split(' ').any(|name| name == target) {
            continue;
        }
        let inputs: Vec<_> = seeds(target).iter().map(|seed| fs::read(seed).expect("a seed")).collect();
        let mut random = Random::new(number("FUZZ_SEED", 1));
        let (began, mut runs) = (Instant::now(), 0u64);
        let mut causes = 0;
        while began.elapsed() < Duration::from_secs(number("FUZZ_SECONDS", 60)) && causes < 5 {
            let mut input = inputs[random.below(inputs.len())].clone();
            let other = &inputs[random.below(inputs.len())];
            mutate(&mut input, other, &mut random);
            let is_sound = || {
                let started = Instant::now();
                catch_unwind(|| run(&input)).is_ok() && started.elapsed() < LIMIT
            };
            runs += 1;
            // A busy machine may delay one run beyond the limit, and hardly two.
            if !is_sound() && !is_sound() {
                causes += 1;
                fs::create_dir_all(&failures).expect("a directory");
                let path = failures.join(format!("{target}-{runs}"));
                fs::write(&path, &input).expect("the input that failed");
                failed.push(path);
            }
        }
        println!("{target}: {runs} inputs");
    }
    assert!(failed.is_empty(), "failed inputs: {failed:?}");
}

#[test]
fn analyze() {
    run_all("analyze", targets::analyze::run);
}

#[test]
fn archive() {
    run_all("archive", targets::archive::run);
}

#[test]
fn encoding() {
    run_all("encoding", targets::encoding::run);
}

#[test]
fn manifest() {
    run_all("manifest", targets::manifest::run);
}

#[test]
fn matrix() {
    run_all("matrix", targets::matrix::run);
}

#[test]
fn parquet() {
    run_all("parquet", targets::parquet::run);
}

#[test]
fn records() {
    run_all("records", targets::records::run);
}

#[test]
fn segment() {
    run_all("segment", |segment| _ = targets::segment::run(segment));
}

/// One seed contains records that a later run would take over.
#[test]
fn segments_are_recovered() {
    let seed = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/segment/recovered");
    assert!(targets::segment::run(&fs::read(seed).expect("a seed")) >= 2);
}

#[test]
fn token_pattern() {
    run_all("token_pattern", targets::token_pattern::run);
}

#[test]
fn vocabulary() {
    run_all("vocabulary", targets::vocabulary::run);
}
