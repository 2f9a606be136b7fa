//! `bowline bench`: each mode in a fresh process on the same corpus, in alternating runs; equal bytes or no table.
//!
//! A run is the whole command: from its start to its end, reading the files and writing the output included.

use crate::cli::BenchArgs;
use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// A way to run the same work.
struct Contestant {
    mode: &'static str,
    workers: u32,
    /// Seconds of each run.
    seconds: Vec<f64>,
}

/// The part of a run's report that the table shows.
#[derive(Deserialize)]
struct RunReport {
    bytes: u64,
    documents: u64,
}

/// Runs the command: a warm-up, then `--runs` rounds in which each contestant runs once.
///
/// # Errors
/// If a run can't finish, or two outputs differ.
pub fn bench(args: &BenchArgs) -> Result<()> {
    let scratch = Scratch::new()?;
    let mut contestants = contestants(&args.workers);
    let reference = scratch.0.join("reference");
    let (_, report) = run(&contestants[0], &args.corpus, &reference, &scratch.0)?;
    let bar = ProgressBar::new(args.runs as u64 * contestants.len() as u64)
        .with_style(ProgressStyle::with_template("measuring [{bar:30}] {pos}/{len} (left {eta})")?);
    for _ in 0..args.runs {
        for contestant in &mut contestants {
            let output = scratch.0.join("output");
            let (seconds, _) = run(contestant, &args.corpus, &output, &scratch.0)?;
            if let Some(file) = first_difference(&reference, &output)? {
                bail!(
                    "{file} differs between inline and {} with {} workers: no table",
                    contestant.mode,
                    contestant.workers
                );
            }
            fs::remove_dir_all(&output)?;
            contestant.seconds.push(seconds);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    print_table(&contestants, &report, args.runs);
    Ok(())
}

fn contestants(workers: &[u32]) -> Vec<Contestant> {
    let contestant = |mode, workers| Contestant { mode, workers, seconds: Vec::new() };
    let several = ["threads", "processes"]
        .into_iter()
        .flat_map(|mode| workers.iter().map(move |&workers| contestant(mode, workers)));
    std::iter::once(contestant("inline", 1)).chain(several).collect()
}

/// Embeds `corpus` to `output` in a fresh process, and tells the seconds and its report.
fn run(
    contestant: &Contestant,
    corpus: &[PathBuf],
    output: &Path,
    scratch: &Path,
) -> Result<(f64, RunReport)> {
    let report = scratch.join("report.json");
    let mut command = Command::new(std::env::current_exe().context("finding this program")?);
    command
        .args(["embed", "--progress", "never", "--mode", contestant.mode, "--workers"])
        .arg(contestant.workers.to_string())
        .arg("--report")
        .arg(&report)
        .arg("--output")
        .arg(output)
        .arg("--")
        .args(corpus)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let began = Instant::now();
    let outcome = command.output().context("starting this program")?;
    let seconds = began.elapsed().as_secs_f64();
    // 3: some documents could not be read or decoded, in every mode alike.
    if !matches!(outcome.status.code(), Some(0 | 3)) {
        bail!(
            "a run with --mode {} failed: {}",
            contestant.mode,
            String::from_utf8_lossy(&outcome.stderr).trim()
        );
    }
    let report = serde_json::from_slice(&fs::read(&report)?).context("reading a run's report")?;
    Ok((seconds, report))
}

/// The name of the first file in which two outputs differ.
fn first_difference(reference: &Path, output: &Path) -> Result<Option<String>> {
    let names = |directory: &Path| -> Result<Vec<_>> {
        let mut names =
            fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    };
    let expected = names(reference)?;
    if names(output)? != expected {
        return Ok(Some("the list of files".to_owned()));
    }
    for name in expected {
        if fs::read(reference.join(&name))? != fs::read(output.join(&name))? {
            return Ok(Some(name.to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

/// The middle value of an odd number of values, the mean of the two in the middle of an even one.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

fn print_table(contestants: &[Contestant], report: &RunReport, runs: u32) {
    let megabytes = report.bytes as f64 / 1e6;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "{} documents, {megabytes:.1} MB; {cores} cores; {runs} alternating runs of the whole command; same bytes every time",
        report.documents
    );
    println!("mode       workers  median s     min     max   MB/s  speed-up");
    let base = median(&contestants[0].seconds);
    for contestant in contestants {
        let seconds = &contestant.seconds;
        let median = median(seconds);
        println!(
            "{:<10} {:>7} {median:>9.3} {:>7.3} {:>7.3} {:>6.0} {:>9.2}",
            contestant.mode,
            contestant.workers,
            seconds.iter().copied().fold(f64::INFINITY, f64::min),
            seconds.iter().copied().fold(0.0, f64::max),
            megabytes / median,
            base / median
        );
    }
}

/// A directory for the runs' outputs, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("bowline-bench-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What can't be removed is left to the system's own cleaning of temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[7.0]), 7.0);
    }
}
