//! The same tasks in Python, if it is installed. The script `peer.py` uses the standard library only. Each run has a
//! new interpreter and is timed from outside, as bowline's runs are.
//!
//! Python gets a sample of the corpus, every N-th document, so that it takes seconds and not minutes. Its speed-up and
//! its rate are compared with bowline's. The smaller the sample, the larger the share of its start in the time.

use crate::bench::{Runner, Scratch, rotated};
use crate::process::{self, Ended};
use crate::results::Spread;
use anyhow::{Context as _, Result, bail};
use bowline::corpus::{Corpus, display_path};
use bowline_workers::opener::Opener;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Names of interpreters: the usual one, and builds without a global lock.
const PROGRAMS: [&str; 3] = ["python3", "python3.14t", "python3.13t"];

/// The script.
const SCRIPT: &str = include_str!("peer.py");

/// Approximate bytes of the sample.
const SAMPLE: u64 = 20 << 20;

/// The most documents of the sample.
const SAMPLE_DOCUMENTS: usize = 6000;

/// Updates of a counter, of all workers together.
const UPDATES: u64 = 400_000;

/// Rounds at a lock, of all workers together, and rounds that each wake a worker.
const ROUNDS: (u64, u64) = (40_000, 4_000);

/// The time limit of a run.
const LIMIT: Duration = Duration::from_secs(120);

/// A pool that does not end within this time hangs.
const HANGS: Duration = Duration::from_secs(8);

/// An interpreter.
#[derive(Debug)]
pub struct Python {
    program: &'static str,
    version: String,
    /// Whether it has a global lock.
    has_lock: bool,
}

/// How Python makes a bag of words of each document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// One document after the other.
    Sequential,
    /// By a pool of threads.
    Threads,
    /// By a pool of processes.
    Processes,
}

impl Way {
    /// The ways with several workers.
    pub const PARALLEL: [Way; 2] = [Way::Threads, Way::Processes];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Way::Sequential => "sequential",
            Way::Threads => "threads",
            Way::Processes => "processes",
        }
    }
}

/// All ways, by number of workers.
pub fn ways(workers: &[u32]) -> Vec<(Way, u32)> {
    let several =
        Way::PARALLEL.into_iter().flat_map(|way| workers.iter().map(move |&workers| (way, workers)));
    std::iter::once((Way::Sequential, 1)).chain(several).collect()
}

/// The result of a pool whose worker is killed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Crash {
    /// It never ends.
    Hangs,
    /// The program ends with it.
    Ends,
    /// It raises this exception and returns nothing.
    Fails(String),
    /// It returns this many of eight results.
    Delivers(u64),
}

impl Crash {
    /// The name in tables.
    pub fn display(&self) -> String {
        match self {
            Crash::Hangs => format!("hangs: ended after {} s", HANGS.as_secs()),
            Crash::Ends => "nothing: the program ended".to_owned(),
            Crash::Fails(exception) => format!("nothing: {exception}"),
            Crash::Delivers(results) => format!("{results} of 8 results"),
        }
    }
}

/// A finished count of tokens.
#[derive(Deserialize, Clone, Debug)]
pub struct Counted {
    /// Threads or processes.
    pub mode: String,
    /// With or without a lock.
    pub way: String,
    /// Its time.
    pub seconds: f64,
    /// Updates.
    pub truth: u64,
    /// The resulting count.
    pub value: u64,
}

/// The cost of a round of one means of synchronisation, over its runs.
#[derive(Clone, Debug)]
pub struct Cost {
    /// Its name in the suite `locks`.
    pub means: String,
    /// Threads or processes.
    pub mode: String,
    /// Number of workers.
    pub workers: u64,
    /// Nanoseconds for each round, of all workers together.
    pub times: Spread,
}

/// The same for one run.
#[derive(Deserialize)]
struct RunCost {
    means: String,
    mode: String,
    workers: u64,
    nanoseconds: f64,
}

#[derive(Deserialize)]
struct About {
    version: String,
    has_lock: bool,
}

/// The times of a way, over its runs.
#[derive(Clone, Debug)]
pub struct Times {
    /// The whole program.
    pub seconds: Spread,
    /// Making the bags of words, the part that is divided among workers.
    pub bags: Spread,
}

#[derive(Deserialize)]
struct Embedded {
    bag_seconds: f64,
    #[serde(flatten)]
    facts: Facts,
}

/// The counts of a run, which are the same in all ways.
#[derive(Deserialize, PartialEq, Eq, Clone, Debug)]
struct Facts {
    tokens: u64,
    columns: u64,
    nonzeros: u64,
}

/// Documents for Python.
pub struct Sample {
    listing: Scratch,
    /// How many there are.
    pub documents: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl Sample {
    /// Takes every N-th document of a corpus.
    ///
    /// # Errors
    /// If the list can't be written.
    pub fn of(corpus: &Corpus, roots: &[PathBuf], bytes: u64, scratch: &Scratch) -> Result<Self> {
        let documents = &corpus.documents;
        let by_bytes = bytes.div_ceil(SAMPLE).max(1) as usize;
        let step = by_bytes.max(documents.len().div_ceil(SAMPLE_DOCUMENTS)).max(1);
        let directory = scratch.beneath("sample")?;
        let mut file = fs::File::create(directory.path().join("list"))?;
        let mut sample = Sample { listing: directory, documents: 0, bytes: 0 };
        let mut opener = Opener::default();
        for row in (0..documents.len()).step_by(step) {
            // A CORPUS that is a file is its document's path.
            let root = &roots[documents.root(row)];
            let path = std::ffi::OsStr::from_bytes(documents.path(row));
            let path = if root.is_dir() { root.join(path) } else { root.clone() };
            if let Some(source) = opener.source(documents, row) {
                file.write_all(std::path::absolute(&path)?.as_os_str().as_bytes())?;
                file.write_all(b"\0")?;
                sample.documents += 1;
                sample.bytes += source.bytes;
            }
        }
        Ok(sample)
    }

    fn path(&self) -> PathBuf {
        self.listing.path().join("list")
    }
}

impl Python {
    /// The interpreters of this machine.
    ///
    /// # Errors
    /// If a signal asks this program to end.
    pub fn find(runner: &Runner) -> Result<Vec<Python>> {
        let mut found = Vec::new();
        for program in PROGRAMS {
            let python = Python { program, version: String::new(), has_lock: true };
            // An interpreter that is not installed can't be started.
            match python.ask::<About>(runner, &["about".into()], LIMIT) {
                Ok((_, Some(About { version, has_lock }))) => {
                    let python = Python { program, version, has_lock };
                    // One interpreter may have two names.
                    if found.iter().all(|other: &Python| other.name() != python.name()) {
                        found.push(python);
                    }
                }
                Ok(_) => {}
                Err(error) if crate::bench::is_interruption(&error) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(found)
    }

    /// The name in tables.
    pub fn name(&self) -> String {
        let lock = if self.has_lock { "" } else { ", no global lock" };
        format!("Python {}{lock}", self.version)
    }

    /// Whether only one of its threads computes at a time.
    pub fn has_lock(&self) -> bool {
        self.has_lock
    }

    /// The times of `rounds` alternating runs of each way, on `sample`, with each read delayed by `latency`.
    ///
    /// # Errors
    /// If a run fails, or if the counts of two ways differ.
    pub fn embed(
        &self,
        runner: &Runner,
        ways: &[(Way, u32)],
        sample: &Sample,
        latency: Duration,
        rounds: u32,
    ) -> Result<Vec<Times>> {
        let mut times = vec![(Vec::new(), Vec::new()); ways.len()];
        let mut expected: Option<Facts> = None;
        for number in rotated(rounds, ways.len()) {
            let (way, workers) = ways[number];
            let arguments = [
                "embed".into(),
                way.name().into(),
                workers.to_string().into(),
                latency.as_secs_f64().to_string().into(),
                sample.path().into_os_string(),
            ];
            let (ended, found) = self.ask::<Embedded>(runner, &arguments, LIMIT)?;
            let Some(Embedded { bag_seconds, facts }) = found else {
                bail!("{} ({}): {}", self.name(), way.name(), why(&ended));
            };
            if *expected.get_or_insert_with(|| facts.clone()) != facts {
                bail!("{} has other counts with {}: no table", self.name(), way.name());
            }
            let (seconds, bags) = &mut times[number];
            seconds.push(ended.seconds);
            bags.push(bag_seconds);
            runner.step();
        }
        let spreads = |(seconds, bags)| Times { seconds: Spread::of(seconds), bags: Spread::of(bags) };
        Ok(times.into_iter().map(spreads).collect())
    }

    /// Tokens counted together, in all ways and modes.
    ///
    /// # Errors
    /// If it fails.
    pub fn count(&self, runner: &Runner, workers: usize) -> Result<Vec<Counted>> {
        let arguments = ["counters".into(), workers.to_string().into(), UPDATES.to_string().into()];
        let (ended, counted) = self.ask(runner, &arguments, LIMIT)?;
        counted.with_context(|| format!("{}: {}", self.name(), why(&ended)))
    }

    /// The costs of locks, semaphores, events and conditions, alone and contended, in both modes, in `runs` runs.
    ///
    /// # Errors
    /// If it fails.
    pub fn locks(&self, runner: &Runner, workers: usize, runs: u32) -> Result<Vec<Cost>> {
        let mut costs = Vec::new();
        for _ in 0..runs {
            costs.push(self.locks_once(runner, workers)?);
            runner.step();
        }
        // All runs have the same rows.
        let times = |row: usize| {
            Spread::of(costs.iter().filter_map(|run| run.get(row)).map(|cost| cost.nanoseconds).collect())
        };
        let rows = costs.first().into_iter().flatten().enumerate().map(|(row, cost)| Cost {
            means: cost.means.clone(),
            mode: cost.mode.clone(),
            workers: cost.workers,
            times: times(row),
        });
        Ok(rows.collect())
    }

    fn locks_once(&self, runner: &Runner, workers: usize) -> Result<Vec<RunCost>> {
        let (rounds, waking) = ROUNDS;
        let numbers = [workers.to_string(), rounds.to_string(), waking.to_string()];
        let arguments: Vec<OsString> =
            std::iter::once("locks".to_owned()).chain(numbers).map(OsString::from).collect();
        let (ended, costs) = self.ask(runner, &arguments, LIMIT)?;
        costs.with_context(|| format!("{}: {}", self.name(), why(&ended)))
    }

    /// The result of a pool if a worker is killed, and its time in seconds.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn crash(&self, runner: &Runner, way: &str) -> Result<(Crash, f64)> {
        #[derive(Deserialize)]
        struct Done {
            done: u64,
        }
        let (ended, done) = self.ask::<Done>(runner, &["crash".into(), way.into()], HANGS)?;
        let crash = match (&ended.status, done) {
            (None, _) => Crash::Hangs,
            (Some(_), Some(Done { done })) => Crash::Delivers(done),
            (Some(status), None) if status.signal().is_some() => Crash::Ends,
            (Some(_), None) => Crash::Fails(last_line(&ended.stderr).to_owned()),
        };
        Ok((crash, ended.seconds))
    }

    /// Runs a task and reads its result.
    fn ask<T: DeserializeOwned>(
        &self,
        runner: &Runner,
        arguments: &[OsString],
        limit: Duration,
    ) -> Result<(Ended, Option<T>)> {
        let (script, out) = (runner.scratch.path().join("peer.py"), runner.scratch.path().join("peer.json"));
        if !script.exists() {
            fs::write(&script, SCRIPT).with_context(|| display_path(script.as_os_str().as_bytes()))?;
        }
        let mut command = Command::new(self.program);
        // Python writes no cache beside the script.
        command.arg("-B").arg(&script).arg(&out).args(arguments);
        let ended = process::run(&mut command, runner.interrupted, Some(limit), None)?;
        let result = ended.status.filter(|status| status.success()).and_then(|_| read(&out));
        // The next run must not find this result.
        let _ = fs::remove_file(&out);
        Ok((ended, result))
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Why a run has no result.
fn why(ended: &Ended) -> String {
    match ended.status {
        None => format!("took longer than {} s", LIMIT.as_secs()),
        Some(_) => last_line(&ended.stderr).to_owned(),
    }
}

/// The last line of an interpreter's error names the exception.
fn last_line(text: &str) -> &str {
    let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no error message");
    line.split_once(": ").map_or(line, |(name, _)| name.rsplit('.').next().unwrap_or(name))
}
