//! Suite `faults`: the output of each mode after a fault in the middle of a run. Workers are killed, and the program is
//! killed and resumed. Builds with the feature `faults` also add documents that crash, hang and exhaust memory.

use crate::bench::{Bench, Scratch};
use crate::comparison::{Comparison, Contender, PARALLEL, RunReport, first_difference};
use crate::process::{Ended, Watch};
use crate::process_tree::{children, signal_thread, worker_threads};
use crate::python::Crash;
use crate::results::{Claim, Column, Holds, Suite, Table};
use anyhow::{Context as _, Result};
use bowline::output::remove_output;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// The claims that this suite checks.
pub const CLAIMS: [&str; 2] = [
    "A crash of a process leaves the others running; a crash of a thread ends all threads",
    "A pool whose worker is killed hangs, or loses everything",
];

/// The sum of all delays, for two workers: the run must last until the fault.
const DELAY: Duration = Duration::from_millis(1500);

/// The time between the first sign of work and the fault.
const HIT_AFTER: Duration = Duration::from_millis(250);

/// The largest factor by which a run is lengthened if it ended before the fault.
const MAX_PATIENCE: u32 = 4;

/// The longest delay of a read.
const LONGEST_LATENCY: Duration = Duration::from_secs(3);

/// Workers of each run.
const WORKERS: u32 = 2;

/// The fault of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// SIGSEGV for a worker, which is a thread or a process.
    WorkerCrashes,
    /// SIGKILL for a worker process. A thread can't be killed alone.
    WorkerKilled,
    /// SIGKILL for all worker processes at once.
    AllKilled,
    /// SIGKILL for the program, which is then run again with `--resume`.
    Resumed,
    /// A document does this to the worker that reads it.
    Document(&'static str),
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Fault::WorkerCrashes => "a worker that crashes (SIGSEGV)",
            Fault::WorkerKilled => "kill -9 of a worker process",
            Fault::AllKilled => "kill -9 of all worker processes",
            Fault::Resumed => "kill -9 of the program, then --resume",
            Fault::Document("segv") => "a document that crashes",
            Fault::Document("hang") => "a document that hangs",
            Fault::Document("memory") => "a document that exhausts memory",
            Fault::Document(what) => what,
        }
    }
}

/// All faults that this build can cause, each with the modes in which it can happen.
fn faults() -> Vec<(Fault, &'static str)> {
    let by_signals = [Fault::WorkerCrashes, Fault::WorkerKilled, Fault::AllKilled, Fault::Resumed];
    let documents = ["segv", "hang", "memory"].map(Fault::Document);
    let documents = documents.into_iter().filter(|_| cfg!(feature = "faults"));
    let all = by_signals.into_iter().chain(documents);
    all.flat_map(|fault| PARALLEL.map(|mode| (fault, mode)))
        .filter(|(fault, mode)| {
            *mode == "processes" || !matches!(fault, Fault::WorkerKilled | Fault::AllKilled)
        })
        .collect()
}

/// The pools of Python in which a worker is killed.
const POOLS: [&str; 3] = ["ThreadPoolExecutor", "multiprocessing.Pool", "ProcessPoolExecutor"];

/// The number of runs of the suite.
pub fn steps(bench: &Bench) -> u64 {
    (faults().len() + bench.pythons.len() * POOLS.len()) as u64
}

struct Outcome {
    fault: Fault,
    mode: &'static str,
    delivered: Delivered,
    code: String,
    seconds: f64,
}

/// The result of one of Python's pools.
struct PoolCrash {
    program: String,
    pool: &'static str,
    crash: Crash,
    seconds: f64,
}

/// The output after a run.
#[derive(PartialEq, Eq, Debug)]
enum Delivered {
    /// The right output, byte by byte.
    All,
    /// The right output without the fault document, which is named with this cause.
    AllBut(String),
    /// No output, and the reason if the run gave one.
    Nothing(String),
    /// A wrong output.
    Wrong(String),
    /// The run ended before the fault.
    Missed,
}

impl Delivered {
    fn display(&self) -> String {
        match self {
            Delivered::All => "everything, the same bytes".to_owned(),
            Delivered::AllBut(cause) => format!("everything but the document, named: {cause}"),
            Delivered::Nothing(why) if why.is_empty() => "nothing".to_owned(),
            Delivered::Nothing(why) => format!("nothing: {why}"),
            Delivered::Wrong(file) => format!("WRONG: {file} differs"),
            Delivered::Missed => "not tried: the run ended before the fault".to_owned(),
        }
    }
}

/// Runs the suite.
///
/// # Errors
/// If a run can't be started. A run that fails is a result, not an error.
pub fn run(bench: &Bench) -> Result<Suite> {
    let planted = bench.runner.scratch.beneath("planted")?;
    // In place of the fault document, a document that fails in every mode because it is not text. The others are the
    // same.
    fs::write(planted.path().join("fault.txt"), "\0")?;
    let mut corpus = bench.corpus.to_vec();
    if cfg!(feature = "faults") {
        corpus.push(planted.path().to_owned());
    }
    let (comparison, _) = Comparison::new(bench.runner, &corpus)?;
    let mut outcomes = Vec::new();
    for (fault, mode) in faults() {
        outcomes.push(inject(bench, &comparison, &planted, fault, mode)?);
        bench.runner.step();
    }
    let mut tables = vec![table(&outcomes)];
    let mut python = Vec::new();
    for program in &bench.pythons {
        for pool in POOLS {
            if let Some((crash, seconds)) = bench.beside(program.crash(bench.runner, pool))? {
                python.push(PoolCrash { program: program.name(), pool, crash, seconds });
            }
            bench.runner.step();
        }
    }
    let claims = vec![claim(&outcomes), pool_claim(&outcomes, &python)];
    if !python.is_empty() {
        tables.push(python_table(python));
    }
    let by_documents = match cfg!(feature = "faults") {
        true => {
            "Fault documents lie among the others. The runs without a fault document have a document that is not text in its place, so their exit code is 3."
        }
        false => "A build with the feature `faults` also adds documents that crash, hang and exhaust memory.",
    };
    let about = format!(
        "Each run has {WORKERS} workers and a fault in its middle. Reads are delayed, so that a run takes 1 to 2 s. {by_documents} The output is compared with that of an undisturbed run, byte by byte."
    );
    Ok(Suite { name: "faults", title: "Faults", about, tables, figures: Vec::new(), claims })
}

/// One fault. The runs get longer until the fault comes before the end, since the time until the first documents are
/// counted depends on the machine.
fn inject(
    bench: &Bench,
    comparison: &Comparison,
    planted: &Scratch,
    fault: Fault,
    mode: &'static str,
) -> Result<Outcome> {
    let mut patience = 1;
    loop {
        let outcome = attempt(bench, comparison, planted, fault, mode, patience)?;
        if outcome.delivered != Delivered::Missed || patience >= MAX_PATIENCE {
            return Ok(outcome);
        }
        patience *= 2;
    }
}

/// One run with one fault. The run takes `patience` times as long, and the fault comes later by the same factor.
fn attempt(
    bench: &Bench,
    comparison: &Comparison,
    planted: &Scratch,
    fault: Fault,
    mode: &'static str,
    patience: u32,
) -> Result<Outcome> {
    let place = bench.runner.scratch.beneath("suffering")?;
    let (output, report) = (place.path().join("output"), place.path().join("report.json"));
    let documents = bench.facts.documents.clamp(1, 1 << 30) as u32;
    let latency = (DELAY * patience * WORKERS / documents).min(LONGEST_LATENCY);
    let latency = format!("{:.3}", latency.as_secs_f64() * 1000.0);
    let slow = Contender::new(mode, WORKERS).with(&["--read-latency", &latency]);
    // Runs with a fault, and returns whether the fault came before the end.
    let hit = |contender: &Contender, victims: Victims| -> Result<(Ended, bool)> {
        let mut killer = Killer { victims, after: HIT_AFTER * patience, first_seen: None, has_hit: false };
        let mut look = |pid| killer.look(pid);
        let watch = Watch { every: Duration::from_millis(5), with: &mut look };
        let ended = comparison.embed(contender, &output, &report, Some(watch))?;
        Ok((ended, killer.has_hit))
    };
    let (ended, has_hit) = match fault {
        Fault::WorkerCrashes => hit(&slow, Victims::Crashing)?,
        Fault::WorkerKilled => hit(&slow, Victims::Worker)?,
        Fault::AllKilled => hit(&slow, Victims::Workers)?,
        Fault::Resumed => {
            let resuming = slow.with(&["--resume"]);
            let (killed, _) = hit(&resuming, Victims::Program)?;
            let was_over = output.exists();
            if was_over {
                remove_output(&output)?;
            }
            let ended = comparison.embed(&resuming, &output, &report, None)?;
            // A run that started again would have the same output, so the report is checked.
            let has_resumed = RunReport::read(&report).is_ok_and(|report| report.resumed > 0);
            (Ended { seconds: killed.seconds + ended.seconds, ..ended }, !was_over && has_resumed)
        }
        Fault::Document(what) => {
            let document = planted.path().join("fault.txt");
            fs::write(&document, format!("bowline-fault: {what}\nwords"))?;
            let limits = ["--document-timeout", "1", "--worker-memory", "96M"];
            let ended =
                comparison.embed(&Contender::new(mode, WORKERS).with(&limits), &output, &report, None);
            fs::write(&document, "\0")?;
            (ended?, true)
        }
    };
    let delivered = match has_hit {
        true => delivered(&comparison.reference(), &output, &ended)?,
        false => Delivered::Missed,
    };
    Ok(Outcome { fault, mode, delivered, code: code(&ended), seconds: ended.seconds })
}

/// The target that is killed: the first one by SIGSEGV, the others by SIGKILL.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Victims {
    Crashing,
    Worker,
    Workers,
    Program,
}

/// Kills the target a while after the first workers (processes or threads) were seen.
struct Killer {
    victims: Victims,
    after: Duration,
    first_seen: Option<Instant>,
    has_hit: bool,
}

impl Killer {
    fn look(&mut self, program: Pid) {
        if self.has_hit {
            return;
        }
        let (workers, threads) = (children(program), worker_threads(program));
        if workers.is_empty() && threads.is_empty() {
            return;
        }
        if self.first_seen.get_or_insert_with(Instant::now).elapsed() > self.after {
            let kill_all = |victims: &[Pid]| {
                victims.iter().filter(|&&victim| kill(victim, Signal::SIGKILL).is_ok()).count() > 0
            };
            self.has_hit = match self.victims {
                Victims::Program => kill_all(&[program]),
                Victims::Workers => kill_all(&workers),
                Victims::Worker => kill_all(&workers[..workers.len().min(1)]),
                Victims::Crashing => match workers.first() {
                    Some(&worker) => kill(worker, Signal::SIGSEGV).is_ok(),
                    None => signal_thread(program, threads[0], Signal::SIGSEGV).is_ok(),
                },
            };
        }
    }
}

fn code(ended: &Ended) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match ended.status {
        None => "none: the run hung".to_owned(),
        Some(status) => match (status.code(), status.signal()) {
            (Some(code), _) => code.to_string(),
            (None, signal) => format!("signal {}", signal.unwrap_or(0)),
        },
    }
}

/// Compares the output of a run with that of an undisturbed run.
fn delivered(reference: &Path, output: &Path, ended: &Ended) -> Result<Delivered> {
    if !output.exists() {
        // The directory of the document is left out.
        let line = ended.stderr.lines().next().unwrap_or_default();
        let why = line.split_once("fault.txt: ").map_or(line, |(_, why)| why);
        return Ok(Delivered::Nothing(why.trim_start_matches("bowline: ").to_owned()));
    }
    if first_difference(reference, output)?.is_none() {
        return Ok(Delivered::All);
    }
    for file in ["matrix.npz", "vocabulary.jsonl", "manifest.json"] {
        if fs::read(reference.join(file))? != fs::read(output.join(file))? {
            return Ok(Delivered::Wrong(file.to_owned()));
        }
    }
    // The fault document is the last one.
    let lines = |directory: &Path| fs::read_to_string(directory.join("documents.jsonl"));
    let (expected, found) = (lines(reference)?, lines(output)?);
    let last = found.trim_end().rfind('\n').map_or(0, |end| end + 1);
    if expected.get(..last) != found.get(..last) {
        return Ok(Delivered::Wrong("documents.jsonl".to_owned()));
    }
    #[derive(Deserialize)]
    struct Line {
        cause: String,
    }
    let line: Line = serde_json::from_str(&found[last..]).context("the line of the document to blame")?;
    Ok(Delivered::AllBut(line.cause))
}

fn table(outcomes: &[Outcome]) -> Table {
    let rows = outcomes.iter().map(|outcome| {
        vec![
            outcome.fault.name().into(),
            outcome.mode.into(),
            outcome.delivered.display().into(),
            outcome.code.as_str().into(),
            outcome.seconds.into(),
        ]
    });
    Table {
        name: "faults",
        title: "Output after a fault".to_owned(),
        columns: Column::all(&[
            ("fault", "fault", 0),
            ("mode", "mode", 0),
            ("delivered", "delivered", 0),
            ("exit_code", "exit code", 0),
            ("seconds", "seconds", 1),
        ]),
        rows: rows.collect(),
        found: claim(outcomes).why,
    }
}

fn claim(outcomes: &[Outcome]) -> Claim {
    // A killed program survives in no mode. Its resumed runs are counted instead.
    let counts = |o: &&Outcome| o.fault != Fault::Resumed && o.delivered != Delivered::Missed;
    let is_right = |outcome: &&Outcome| matches!(outcome.delivered, Delivered::All | Delivered::AllBut(_));
    let survived = |mode: &str| {
        let of_mode: Vec<_> = outcomes.iter().filter(|o| o.mode == mode).filter(counts).collect();
        (of_mode.iter().copied().filter(is_right).count(), of_mode.len())
    };
    let ((processes, of_processes), (threads, of_threads)) = (survived("processes"), survived("threads"));
    let holds = match (processes == of_processes, threads == 0) {
        _ if of_processes == 0 || of_threads == 0 => Holds::NotMeasured,
        (true, true) => Holds::Yes,
        (false, _) => Holds::No,
        _ => Holds::Partly,
    };
    let resumed =
        outcomes.iter().filter(|o| o.fault == Fault::Resumed && o.delivered == Delivered::All).count();
    let why = format!(
        "Processes survive {processes} of {of_processes} faults with all other rows right, threads {threads} of {of_threads}. With --resume, a killed program finishes with the same bytes in {resumed} of {} modes.",
        PARALLEL.len()
    );
    let brief =
        format!("processes survive {processes} of {of_processes} faults, threads {threads} of {of_threads}");
    Claim { claim: CLAIMS[0], holds, why, brief: Some(brief) }
}

fn pool_claim(outcomes: &[Outcome], python: &[PoolCrash]) -> Claim {
    let ours = outcomes.iter().find(|o| o.mode == "processes" && o.fault == Fault::WorkerKilled);
    let theirs = python
        .iter()
        .map(|PoolCrash { program, pool, crash, .. }| format!("{pool} of {program}: {}", crash.display()));
    let theirs: Vec<_> = theirs.collect();
    let told = ours.map(|outcome| outcome.delivered.display()).unwrap_or_default();
    Claim {
        claim: CLAIMS[1],
        holds: match ours.map(|outcome| &outcome.delivered) {
            Some(Delivered::All) => Holds::No,
            None | Some(Delivered::Missed) => Holds::NotMeasured,
            Some(_) => Holds::Yes,
        },
        why: format!(
            "bowline's processes deliver {told}.{}",
            if theirs.is_empty() { String::new() } else { format!(" {}.", theirs.join("; ")) }
        ),
        brief: None,
    }
}

fn python_table(python: Vec<PoolCrash>) -> Table {
    let hung = python.iter().filter(|found| found.crash == Crash::Hangs).count();
    let delivering = python.iter().filter(|found| matches!(found.crash, Crash::Delivers(_))).count();
    let all = python.len();
    let rows = python.into_iter().map(|found| {
        vec![found.program.into(), found.pool.into(), found.crash.display().into(), found.seconds.into()]
    });
    Table {
        name: "python_faults",
        title: "A killed worker in Python".to_owned(),
        columns: Column::all(&[
            ("program", "program", 0),
            ("pool", "pool", 0),
            ("delivered", "delivered", 0),
            ("seconds", "seconds", 1),
        ]),
        rows: rows.collect(),
        found: format!(
            "Each pool gets eight tasks, and the worker of the fourth is killed by SIGKILL. {delivering} of {all} pools return results, {hung} never end."
        ),
    }
}
