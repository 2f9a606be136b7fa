//! `bowline bench`: checks the usual claims about threads and processes on the user's corpus.
//!
//! A suite measures one subject and returns tables, figures and claims ([`crate::results`]). `terminal`, `page` and the
//! JSON file show them without knowing any suite. `comparison` runs `embed` in new processes, `worker_group` runs one
//! small task in workers of one kind, and `python` runs the same tasks in Python. This process forks, so it has one
//! thread while no group of threads runs.

use crate::arguments::{BenchArgs, SuiteChoice};
use crate::comparison::{Comparison, Contender, Run};
use crate::python::Python;
use crate::results::{BenchReport, Claim, CorpusFacts, Holds, Machine, Suite};
use crate::terminal::in_words;
use crate::{counters, faults, io, locks, machine, memory, page, scaling, terminal};
use anyhow::{Context as _, Result};
use bowline::cli::result_file::ResultFile;
use bowline::corpus::{self, Corpus, WalkOptions, display_path};
use bowline::memory::workers_in_memory;
use bowline::{ErrorKind, Fault, Source, cancel};
use clap::ValueEnum as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::RefCell;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tempfile::TempDir;

/// The machine is busy if other programs take more than this percentage of its processors.
const BUSY: f64 = 15.0;

/// Runs of each variant without `--runs`.
const RUNS: u32 = 5;

/// The same for variants that take long.
const SLOW_RUNS: u32 = 3;

/// Raised when a field of the JSON file changes its meaning.
const SCHEMA: u32 = 1;

/// The settings of every measured run.
pub struct Runner<'a> {
    pub scratch: Scratch,
    pub interrupted: &'a AtomicUsize,
    pub bar: ProgressBar,
}

impl Runner<'_> {
    /// Called when a run has ended.
    pub fn step(&self) {
        self.bar.inc(1);
    }
}

/// The settings of all suites.
pub struct Bench<'a> {
    pub runner: &'a Runner<'a>,
    pub corpus: &'a [PathBuf],
    pub comparison: Comparison<'a>,
    /// The documents of the corpus, as the walk finds them.
    pub documents: Corpus,
    pub facts: CorpusFacts,
    /// Runs of each variant.
    pub runs: u32,
    /// Runs of variants that take long: with delayed reads, or in Python.
    pub slow_runs: u32,
    pub workers: Option<Vec<u32>>,
    pub read_latency: Option<Duration>,
    pub cores: u32,
    /// The machine before the first run.
    pub machine: Machine,
    pub pythons: Vec<Python>,
    /// Parts that could not be measured, with the reason.
    pub notes: RefCell<Vec<String>>,
}

impl Bench<'_> {
    /// The numbers of workers of `--workers`, or else the numbers in `usual` for which there is memory.
    pub fn workers_or(&self, usual: Vec<u32>) -> Vec<u32> {
        let mut workers = self.workers.clone().unwrap_or_else(|| {
            let most = workers_in_memory();
            usual.into_iter().filter(|&workers| workers as usize <= most).collect()
        });
        workers.sort_unstable();
        workers.dedup();
        workers
    }

    /// 1, 2, 4 and so on up to the number of cores.
    pub fn up_to_cores(&self) -> Vec<u32> {
        let doubled = std::iter::successors(Some(1), |workers| Some(workers * 2));
        let below = doubled.take_while(|&workers| workers < self.cores);
        below.chain([self.cores]).collect()
    }

    /// The measurements of Python. Returns none and adds a note with the reason if they failed, since the other results
    /// are still useful.
    ///
    /// # Errors
    /// If a signal asks this program to end.
    pub fn beside<T>(&self, measured: Result<T>) -> Result<Option<T>> {
        match measured {
            Ok(measured) => Ok(Some(measured)),
            Err(error) if is_interruption(&error) => Err(error),
            Err(error) => {
                self.notes.borrow_mut().push(format!("Not measured: {error:#}."));
                Ok(None)
            }
        }
    }

    /// Counts a finished measurement of this process, and fails if a signal asks this program to end.
    pub fn step(&self) -> Result<(), Fault> {
        self.runner.step();
        cancel::check(self.runner.interrupted)
    }
}

/// The name of a suite on the command line.
fn suite_name(suite: SuiteChoice) -> String {
    suite.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Whether the error is an interruption by a signal.
pub fn is_interruption(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Fault { kind: ErrorKind::Interrupted(_), .. }))
}

/// Runs the command. `interrupted` holds the number of a signal that asked it to end.
///
/// # Errors
/// If a run can't finish, two outputs differ, or a file can't be written.
pub fn bench(args: &BenchArgs, interrupted: &Arc<AtomicUsize>) -> Result<()> {
    let temporary = std::env::temp_dir();
    refuse_in_corpus(args, &temporary)?;
    let promise = |path| ResultFile::promise(path, interrupted);
    let json = args.json.as_deref().map(promise).transpose()?;
    let html = args.html.as_deref().map(promise).transpose()?;
    if let (Some(json), Some(html)) = (&json, &html)
        && json.is_same(html)?
    {
        return Err(Fault::new(ErrorKind::Usage, "--json and --html can't be one file").into());
    }
    let suites = args.suites();
    let scratch = Scratch::new(&temporary)?;
    let runner = Runner { scratch, interrupted, bar: ProgressBar::hidden() };
    let machine = machine::this_machine();
    let walk = WalkOptions { threads: 1, interrupted: interrupted.clone(), ..WalkOptions::default() };
    let source = Source { paths: args.corpus.clone(), ..Source::default() };
    let documents = corpus::discover(&source, &walk, &mut |_| ());
    cancel::check(interrupted)?;
    let documents = documents?;
    let (comparison, first) = Comparison::new(&runner, &args.corpus)?;
    if let Some(&most) = args.workers.iter().flatten().max() {
        // Fails now, not after the other suites, if the system can't start this many workers.
        comparison.run(&Contender::new("processes", most), None)?;
    }
    let bench = Bench {
        runner: &runner,
        corpus: &args.corpus,
        comparison,
        documents,
        facts: facts(&args.corpus, &first),
        runs: args.runs.unwrap_or(RUNS),
        slow_runs: args.runs.unwrap_or(SLOW_RUNS),
        workers: args.workers.clone(),
        read_latency: args.read_latency,
        cores: machine.cores as u32,
        machine,
        notes: RefCell::default(),
        pythons: if args.no_python { Vec::new() } else { Python::find(&runner)? },
    };
    let template = "{prefix:>8} [{bar:30}] {pos}/{len} runs, {elapsed} (left {eta})";
    runner.bar.set_position(0);
    runner.bar.set_style(ProgressStyle::with_template(template)?.progress_chars("=> "));
    runner.bar.set_length(suites.iter().map(|suite| steps(*suite, &bench)).sum());
    runner.bar.set_draw_target(ProgressDrawTarget::stderr());
    let mut found = Vec::new();
    for suite in &suites {
        runner.bar.set_prefix(suite_name(*suite));
        found.push(run(*suite, &bench)?);
    }
    runner.bar.finish_and_clear();
    let report = report(&bench, found);
    if let Some(file) = json {
        file.write(&serde_json::to_vec_pretty(&report)?)?;
    }
    if let Some(file) = html {
        file.write(page::page(&report)?.as_bytes())?;
    }
    let mut out = std::io::stdout().lock();
    terminal::write(&mut out, &report)?;
    Ok(out.flush()?)
}

/// Fails if an output or a temporary file would lie in the corpus, since a measurement must not change it.
fn refuse_in_corpus(args: &BenchArgs, temporary: &Path) -> Result<(), Fault> {
    let roots: Vec<_> = args.corpus.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let parent =
        |file: &PathBuf| file.parent().map_or_else(PathBuf::new, |parent| Path::new(".").join(parent));
    let places = [
        ("--json", args.json.as_ref().map(parent)),
        ("--html", args.html.as_ref().map(parent)),
        ("TMPDIR", Some(temporary.to_owned())),
    ];
    for (name, place) in places {
        let place = place.and_then(|place| place.canonicalize().ok());
        if place.is_some_and(|place| roots.iter().any(|root| place.starts_with(root))) {
            return Err(Fault::new(
                ErrorKind::Usage,
                format!("{name} lies in the corpus, which must not change"),
            ));
        }
    }
    Ok(())
}

/// Runs a suite. No other match distinguishes suites.
fn run(suite: SuiteChoice, bench: &Bench) -> Result<Suite> {
    match suite {
        SuiteChoice::Scaling => scaling::run(bench),
        SuiteChoice::Io => io::run(bench),
        SuiteChoice::Counters => counters::run(bench),
        SuiteChoice::Locks => locks::run(bench),
        SuiteChoice::Memory => memory::run(bench),
        SuiteChoice::Faults => faults::run(bench),
        SuiteChoice::All => unreachable!("`requested` replaces it by the others"),
    }
}

fn steps(suite: SuiteChoice, bench: &Bench) -> u64 {
    match suite {
        SuiteChoice::Scaling => scaling::steps(bench),
        SuiteChoice::Io => io::steps(bench),
        SuiteChoice::Counters => counters::steps(bench),
        SuiteChoice::Locks => locks::steps(bench),
        SuiteChoice::Memory => memory::steps(bench),
        SuiteChoice::Faults => faults::steps(bench),
        SuiteChoice::All => 0,
    }
}

fn facts(corpus: &[PathBuf], run: &Run) -> CorpusFacts {
    CorpusFacts {
        paths: corpus.iter().map(|path| display_path(path.as_os_str().as_bytes())).collect(),
        documents: run.report.documents,
        failed: run.report.failed,
        bytes: run.report.bytes,
        tokens: run.report.tokens,
        columns: run.report.columns,
        nonzeros: run.report.nonzeros,
    }
}

fn report(bench: &Bench, mut suites: Vec<Suite>) -> BenchReport {
    let all: [(&str, &[&'static str]); 6] = [
        ("scaling", &scaling::CLAIMS),
        ("io", &io::CLAIMS),
        ("counters", &counters::CLAIMS),
        ("locks", &locks::CLAIMS),
        ("memory", &memory::CLAIMS),
        ("faults", &faults::CLAIMS),
    ];
    let mut claims = Vec::new();
    for (name, texts) in all {
        match suites.iter_mut().find(|suite| suite.name == name) {
            Some(suite) => claims.append(&mut suite.claims),
            None => claims.extend(texts.iter().map(|&claim| Claim {
                claim,
                holds: Holds::NotMeasured,
                why: format!("--suite {name} checks it."),
                brief: None,
            })),
        }
    }
    let place =
        display_path(bench.runner.scratch.path().parent().unwrap_or(Path::new("/")).as_os_str().as_bytes());
    let whole_command = format!(
        "A run is the whole command in a new process. It includes finding and reading the files, writing the output to {place} and syncing it. The progress bar is off."
    );
    let method = [
        "All modes run the same engine, with the same batches of documents for the same number of workers. In every mode a worker has its own state.",
        &whole_command,
        "One run that does not count reads the files into memory. Then the variants alternate, and each round starts with another one, so that a drift of the machine affects all equally.",
        "Values are medians, with the minimum and the maximum. Threads or processes are called faster only if they were faster within each of three or more rounds.",
        "Every output is compared with the first one, byte by byte. If an output differs, bench prints no table.",
        "Python runs the same tasks with re, collections.Counter and the pools of its standard library, on every N-th document and without a warm-up run. It writes no output.",
    ];
    let busy = bench.machine.busy_percent;
    let notice = (busy > BUSY).then(|| {
        format!("Other programs used {busy:.0} % of the processors right before the runs, so the figures are unreliable. Run bench again on an idle machine.")
    });
    BenchReport {
        schema: SCHEMA,
        bowline: env!("CARGO_PKG_VERSION"),
        machine: bench.machine.clone(),
        corpus: bench.facts.clone(),
        runs: bench.runs,
        method: method.map(str::to_owned).into_iter().chain(bench.notes.take()).collect(),
        notice,
        verdict: verdict(&claims),
        suites,
        claims,
    }
}

/// All results in one line.
fn verdict(claims: &[Claim]) -> String {
    let all = claims.iter().filter(|claim| claim.holds != Holds::NotMeasured);
    let told: Vec<_> = all.filter_map(|claim| claim.brief.clone()).collect();
    if told.is_empty() {
        let all = claims.iter().filter(|claim| claim.holds != Holds::NotMeasured);
        let all: Vec<_> = all.map(|claim| format!("\"{}\" {}", claim.claim, in_words(claim.holds))).collect();
        return if all.is_empty() { "No claim was checked.".to_owned() } else { all.join("; ") + "." };
    }
    let mut text = told.join("; ");
    if let Some(first) = text.get(..1) {
        text = first.to_uppercase() + &text[1..];
    }
    text + "."
}

/// The indices of `ways` variants in the order of measurement: all in each round, and each round starts with another
/// one.
pub fn rotated(rounds: u32, ways: usize) -> impl Iterator<Item = usize> {
    (0..rounds as usize).flat_map(move |round| (0..ways).map(move |turn| (turn + round) % ways))
}

/// Words in a list: `a, b and c`.
pub fn listed(words: &[String]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// A directory for the files of runs, removed when dropped.
pub struct Scratch(TempDir);

impl Scratch {
    pub fn new(parent: &Path) -> Result<Self> {
        let made = tempfile::Builder::new().prefix("bowline-bench-").tempdir_in(parent);
        let shown =
            || format!("{} (TMPDIR names another directory)", display_path(parent.as_os_str().as_bytes()));
        made.map(Scratch).with_context(shown)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes an empty directory in it.
    pub fn beneath(&self, name: &str) -> Result<Self> {
        let made = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(self.path());
        made.map(Scratch).with_context(|| display_path(self.path().as_os_str().as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_comes_once_a_round_and_none_is_always_first() {
        assert_eq!(rotated(3, 3).collect::<Vec<_>>(), [0, 1, 2, 1, 2, 0, 2, 0, 1]);
        assert_eq!(rotated(2, 0).count(), 0);
    }

    #[test]
    fn words_are_listed() {
        let words = |words: &[&str]| listed(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        assert_eq!((words(&["a"]), words(&["a", "b", "c"])), ("a".to_owned(), "a, b and c".to_owned()));
    }
}
