//! Runs the same work in several variants. Each run is the whole command in a new process, runs alternate, and all
//! outputs must have the same bytes.

use crate::bench::{Runner, Scratch, rotated};
use crate::process::{self, Ended, FamilyUsage, Watch};
use crate::results::{Point, Series, Spread};
use anyhow::{Context as _, Result, bail};
use bowline::cli::bench_program::MEASURED;
use bowline::output::remove_output;
use bowline_workers::counted::counted;
use serde::Deserialize;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The time limit of a run; a run that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(1800);

/// Bytes of two files that are compared at a time.
const PIECE: usize = 256 << 10;

/// A variant of the same work.
#[derive(Clone, Debug, PartialEq)]
pub struct Contender {
    /// The value of `--mode`.
    pub mode: &'static str,
    /// Number of workers.
    pub workers: u32,
    /// Further options of `embed`.
    pub options: Vec<String>,
}

impl Contender {
    /// A mode with a number of workers.
    pub fn new(mode: &'static str, workers: u32) -> Self {
        Contender { mode, workers, options: Vec::new() }
    }

    /// Adds options.
    pub fn with(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|&option| option.to_owned()));
        self
    }
}

/// The modes with several workers, in the order of the tables.
pub const PARALLEL: [&str; 2] = ["threads", "processes"];

/// One worker inline, then threads and processes by number of workers.
pub fn all_modes(workers: &[u32]) -> Vec<Contender> {
    let several = PARALLEL.into_iter().flat_map(|mode| workers.iter().map(move |&n| Contender::new(mode, n)));
    std::iter::once(Contender::new("inline", 1)).chain(several).collect()
}

/// The report of a run (`--report`).
#[derive(Deserialize, Clone, Debug)]
pub struct RunReport {
    /// Documents.
    pub documents: u64,
    /// Documents that could not be read as text.
    pub failed: u64,
    /// Documents that an earlier run had counted.
    pub resumed: u64,
    /// Bytes of documents.
    pub bytes: u64,
    /// Terms counted.
    pub tokens: u64,
    /// Columns.
    pub columns: u64,
    /// Stored cells.
    pub nonzeros: u64,
    /// Workers that run at the same time.
    pub workers: u32,
    /// Workers that were started.
    pub workers_started: u64,
    /// Seconds that it took to start the workers.
    pub start_seconds: f64,
    /// Messages in both directions.
    pub messages: u64,
    phases: Vec<PhaseTime>,
}

#[derive(Deserialize, Clone, Debug)]
struct PhaseTime {
    phase: String,
    seconds: f64,
}

impl RunReport {
    /// Reads the report of a run.
    ///
    /// # Errors
    /// If the run wrote no report.
    pub fn read(path: &Path) -> Result<Self> {
        serde_json::from_slice(&fs::read(path)?).context("reading a run's report")
    }

    /// Seconds of a phase.
    pub fn phase(&self, name: &str) -> f64 {
        self.phases.iter().filter(|phase| phase.phase == name).map(|phase| phase.seconds).sum()
    }
}

/// A run that has succeeded.
#[derive(Clone, Debug)]
pub struct Run {
    /// Seconds from its start to its end.
    pub seconds: f64,
    /// Its report.
    pub report: RunReport,
    /// The resources that it used.
    pub usage: FamilyUsage,
}

/// The spread of a figure over runs.
pub fn spread(runs: &[Run], figure: impl Fn(&Run) -> f64) -> Spread {
    Spread::of(runs.iter().map(figure).collect())
}

/// The ratio of the times of two variants. Both times of a pair are from the same round, so that a drift of the machine
/// has no influence.
pub fn ratios(runs: &[Run], others: &[Run]) -> Spread {
    Spread::of(runs.iter().zip(others).map(|(run, other)| run.seconds / other.seconds).collect())
}

/// The least number of rounds in which one variant can be called faster.
const FEWEST_ROUNDS: usize = 3;

/// Which of the two modes is faster, in words. One is called faster only if it was in every round.
pub fn comparison(processes: &[Run], threads: &[Run]) -> String {
    let ratio = ratios(processes, threads);
    let (min, max, rounds) = (ratio.min, ratio.max, ratio.values.len());
    if rounds < FEWEST_ROUNDS {
        return format!(
            "processes take {:.2} times as long as threads, in too few runs to decide",
            ratio.median
        );
    }
    let said = match () {
        () if max < 1.0 => "processes are faster",
        () if min > 1.0 => "threads are faster",
        () => "neither is faster",
    };
    format!(
        "{said} in all of {rounds} rounds (processes take {:.2} times as long, {min:.2} to {max:.2})",
        ratio.median
    )
}

/// Bars of the seconds that variants take, in groups by number of workers. The inline worker is in the group of one
/// worker.
pub fn seconds_by_workers<'a>(ways: impl Iterator<Item = (&'a Contender, Spread)>) -> Vec<Series> {
    let ways: Vec<_> = ways.filter(|(way, _)| way.options.is_empty()).collect();
    let has_one = ways.iter().any(|(way, _)| way.mode != "inline" && way.workers == 1);
    let bars = |mode: &'static str| {
        let of_mode = ways.iter().filter(move |(way, _)| way.mode == mode);
        of_mode.map(|(way, seconds)| Point::bar(counted(way.workers, "worker", "workers"), seconds))
    };
    let inline = has_one.then_some("inline");
    PARALLEL.into_iter().chain(inline).map(|mode| Series::measured(mode, bars(mode))).collect()
}

/// Repeated runs on one corpus.
pub struct Comparison<'a> {
    runner: &'a Runner<'a>,
    /// The measured program.
    program: OsString,
    corpus: Vec<PathBuf>,
    /// The output that all others must equal.
    reference: Scratch,
}

impl<'a> Comparison<'a> {
    /// Embeds `corpus` once. The output is the reference, and the run reads the corpus into the page cache.
    ///
    /// # Errors
    /// If the run fails.
    pub fn new(runner: &'a Runner<'a>, corpus: &[PathBuf]) -> Result<(Self, Run)> {
        let reference = runner.scratch.beneath("reference")?;
        let comparison =
            Comparison { runner, program: measured_program()?, corpus: corpus.to_vec(), reference };
        let output = comparison.reference.path().join("output");
        let run = comparison.finished(&Contender::new("inline", 1), &output, None)?;
        Ok((comparison, run))
    }

    /// Runs all contenders `rounds` times. Each runs once a round, and each round starts with another one. `before` is
    /// called before each run.
    ///
    /// # Errors
    /// If a run can't finish, or an output differs from the reference.
    pub fn rounds(&self, contenders: &[Contender], rounds: u32, before: impl Fn()) -> Result<Vec<Vec<Run>>> {
        let mut runs = vec![Vec::new(); contenders.len()];
        for number in rotated(rounds, contenders.len()) {
            before();
            runs[number].push(self.run(&contenders[number], None)?);
        }
        Ok(runs)
    }

    /// One run of a contender.
    ///
    /// # Errors
    /// If it can't finish, or if its output differs from the reference.
    pub fn run(&self, contender: &Contender, watch: Option<Watch>) -> Result<Run> {
        let output = self.runner.scratch.path().join("output");
        let run = self.finished(contender, &output, watch)?;
        if let Some(file) = first_difference(&self.reference.path().join("output"), &output)? {
            bail!(
                "{file} differs between inline and {} with {} workers: no table (did the corpus change meanwhile?)",
                contender.mode,
                contender.workers
            );
        }
        remove_output(&output)?;
        self.runner.step();
        Ok(run)
    }

    fn finished(&self, contender: &Contender, output: &Path, watch: Option<Watch>) -> Result<Run> {
        let report = self.runner.scratch.path().join("report.json");
        let ended = self.embed(contender, output, &report, watch)?;
        // 3: some documents could not be read or decoded, in every mode.
        if !matches!(ended.status.and_then(|status| status.code()), Some(0 | 3)) {
            bail!("a run with --mode {} failed: {}", contender.mode, ended.stderr);
        }
        let report = RunReport::read(&report)?;
        if report.workers != contender.workers {
            let (had, wanted) = (report.workers, contender.workers);
            bail!(
                "only {had} workers could start, not {wanted} (--workers sets the number; raise ulimit -n)"
            );
        }
        Ok(Run { seconds: ended.seconds, report, usage: ended.usage })
    }

    /// One run, which may succeed or fail.
    ///
    /// # Errors
    /// If it can't be started, or if a signal asks this program to end.
    pub fn embed(
        &self,
        contender: &Contender,
        output: &Path,
        report: &Path,
        watch: Option<Watch>,
    ) -> Result<Ended> {
        let mut command = Command::new(&self.program);
        command
            .args(["embed", "--progress", "never", "--mode", contender.mode, "--workers"])
            .arg(contender.workers.to_string())
            .args(&contender.options)
            .arg("--report")
            .arg(report)
            .arg("--output")
            .arg(output)
            .arg("--")
            .args(&self.corpus);
        process::run(&mut command, self.runner.interrupted, Some(LIMIT), watch)
    }

    /// The directory of the reference output.
    pub fn reference(&self) -> PathBuf {
        self.reference.path().join("output")
    }
}

/// The measured program: the bowline that started this program, or the bowline beside it, or the first bowline in
/// `PATH`.
fn measured_program() -> Result<OsString> {
    if let Some(program) = std::env::var_os(MEASURED) {
        return Ok(program);
    }
    let beside = std::env::current_exe().context("finding this program")?.with_file_name("bowline");
    Ok(if beside.exists() { beside.into() } else { "bowline".into() })
}

/// The name of the first file in which two outputs differ.
///
/// # Errors
/// If a file can't be read.
pub fn first_difference(reference: &Path, output: &Path) -> Result<Option<String>> {
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
        if !are_equal(&reference.join(&name), &output.join(&name))? {
            return Ok(Some(name.to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

fn are_equal(one: &Path, other: &Path) -> io::Result<bool> {
    let open = |path| Ok::<_, io::Error>(BufReader::with_capacity(PIECE, File::open(path)?));
    let (mut one, mut other) = (open(one)?, open(other)?);
    loop {
        let (a, b) = (one.fill_buf()?, other.fill_buf()?);
        let both = a.len().min(b.len());
        if both == 0 {
            return Ok(a.len() == b.len());
        }
        if a[..both] != b[..both] {
            return Ok(false);
        }
        one.consume(both);
        other.consume(both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_or_a_file_makes_a_difference() {
        let dir = tempfile::tempdir().unwrap();
        let file = |path: &str, content: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        let difference = || first_difference(&dir.path().join("a"), &dir.path().join("b")).unwrap();
        file("a/one", "1");
        file("b/one", "1");
        assert_eq!(difference(), None);
        for longer in ["2", "12", ""] {
            file("b/one", longer);
            assert_eq!(difference().as_deref(), Some("one"));
        }
        file("a/two", "");
        assert_eq!(difference().as_deref(), Some("the list of files"));
    }

    #[test]
    fn contestants_of_all_modes() {
        let names: Vec<_> = all_modes(&[1, 4]).iter().map(|c| (c.mode, c.workers)).collect();
        assert_eq!(
            names,
            [("inline", 1), ("threads", 1), ("threads", 4), ("processes", 1), ("processes", 4)]
        );
    }
}
