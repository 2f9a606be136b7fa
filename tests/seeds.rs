//! Runs the seeds of the fuzz targets, and every input that once failed, through the functions that `make fuzz` runs
//! (`fuzz/src`).

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// The time limit of one input, in a build without optimisation.
const LIMIT: Duration = Duration::from_secs(10);

/// Runs all seeds of one target.
fn run_all(target: &str, run: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut seeds: Vec<_> =
        fs::read_dir(directory).expect("seeds").map(|seed| seed.unwrap().path()).collect();
    seeds.sort();
    assert!(seeds.len() >= 5, "{target} has seeds");
    for seed in seeds {
        // If the test panics, this line names the seed.
        println!("{}", seed.display());
        let began = Instant::now();
        run(&fs::read(&seed).expect("a seed"));
        assert!(began.elapsed() < LIMIT, "{} took {:?}", seed.display(), began.elapsed());
    }
}

#[test]
fn analyze() {
    run_all("analyze", targets::analyze::run);
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
