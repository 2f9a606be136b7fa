//! Suite `io`: the same work with reads that wait. Each read is delayed, as by slow storage or a remote service. A
//! semaphore limits the concurrent reads. The files are also read from the disk instead of memory.

use crate::bench::{Bench, listed};
use crate::comparison::{Contender, PARALLEL, Run, all_modes, comparison, seconds_by_workers, spread};
use crate::locks;
use crate::python::{self, Python, Sample, Times, Way};
use crate::results::{Cell, Claim, Column, Figure, FigureKind, Holds, Point, Series, Spread, Suite, Table};
use crate::worker_group::Kind;
use anyhow::Result;
use bowline::corpus::Corpus;
use bowline_workers::counted::counted;
use bowline_workers::opener::Opener;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::unistd::sync;
use std::time::Duration;

/// The claims that this suite checks.
pub const CLAIMS: [&str; 2] =
    ["Threads speed up work that waits", "A semaphore limits the load on a service"];

/// The sum of all delays, for one worker: long compared with the computation, but short enough for a benchmark.
const DELAY: Duration = Duration::from_millis(2500);

/// The longest delay of a read.
const LONGEST_LATENCY: Duration = Duration::from_millis(50);

/// How often each worker passes a read limit, and how long it stays inside, when it does nothing else.
const AT_GATES: (u64, Duration) = (20, Duration::from_millis(1));

/// The delay of each read.
fn latency(bench: &Bench) -> Duration {
    let shared_out = DELAY / bench.facts.documents.clamp(1, u64::from(u32::MAX)) as u32;
    // Rounded to 0.01 ms for tables; sleeps are not more exact.
    let hundredths = (shared_out.as_micros() as u64).div_ceil(10).max(1);
    bench.read_latency.unwrap_or(Duration::from_micros(10 * hundredths).min(LONGEST_LATENCY))
}

fn milliseconds(latency: Duration) -> String {
    format!("{}", latency.as_micros() as f64 / 1000.0)
}

fn workers(bench: &Bench) -> Vec<u32> {
    bench.workers_or([1, 2, 4, 8].iter().map(|times| times * bench.cores).collect())
}

fn waiting(bench: &Bench) -> Vec<Contender> {
    let latency = milliseconds(latency(bench));
    all_modes(&workers(bench)).into_iter().map(|all| all.with(&["--read-latency", &latency])).collect()
}

/// The largest number of workers, with fewer reads at a time.
fn bounded(bench: &Bench) -> Vec<Contender> {
    let latency = milliseconds(latency(bench));
    let most = workers(bench).into_iter().max().unwrap_or(1);
    let permits = [most, most.div_ceil(2), most.div_ceil(4), 1];
    let mut permits: Vec<_> = permits.into_iter().collect();
    permits.dedup();
    let several = PARALLEL.into_iter().flat_map(|mode| permits.iter().map(move |n| (mode, n.to_string())));
    several
        .map(|(mode, permits)| {
            Contender::new(mode, most).with(&["--read-latency", &latency, "--max-reads", &permits])
        })
        .collect()
}

fn cold(bench: &Bench) -> Vec<Contender> {
    all_modes(&bench.workers_or(vec![1, bench.cores, 4 * bench.cores]))
}

/// The number of runs of the suite.
pub fn steps(bench: &Bench) -> u64 {
    let contenders = waiting(bench).len() + bounded(bench).len() + cold(bench).len();
    let ways = python::ways(&workers(bench)).len();
    u64::from(bench.slow_runs) * contenders as u64 + (bench.pythons.len().min(1) * ways) as u64
}

/// Runs the suite.
///
/// # Errors
/// If a run fails, or outputs differ.
pub fn run(bench: &Bench) -> Result<Suite> {
    let rounds = bench.slow_runs;
    let contenders = waiting(bench);
    let delayed = Delayed { bench, runs: bench.comparison.rounds(&contenders, rounds, || {})?, contenders };
    let contenders = bounded(bench);
    let runs = bench.comparison.rounds(&contenders, rounds, || {})?;
    let limited = Limited { bench, runs, most: most_within(&contenders)?, contenders };
    sync();
    let contenders = cold(bench);
    let runs = bench.comparison.rounds(&contenders, rounds, || forget(&bench.documents))?;
    let cold = Cold { contenders, runs };
    let python = match bench.pythons.first() {
        Some(program) => {
            let sample =
                Sample::of(&bench.documents, bench.corpus, bench.facts.bytes, &bench.runner.scratch)?;
            let ways = python::ways(&workers(bench));
            let latency = DELAY / (sample.documents.clamp(1, 1 << 30) as u32);
            let latency = bench.read_latency.unwrap_or(latency.min(LONGEST_LATENCY));
            let times = bench.beside(program.embed(bench.runner, &ways, &sample, latency, 1))?;
            times.map(|times| (program, latency, ways, times))
        }
        None => None,
    };
    let mut tables = vec![delayed.table(), limited.table(), cold.table()];
    tables.extend(
        python.as_ref().map(|(program, latency, ways, times)| python_table(program, *latency, ways, times)),
    );
    let about = format!(
        "Each read of a document is delayed by at least {} ms (--read-latency), while its worker waits; {rounds} alternating runs. Then the same with fewer reads at a time than workers (--max-reads), and without delay but with the files dropped from the page cache before each run.",
        milliseconds(latency(bench))
    );
    Ok(Suite {
        name: "io",
        title: "Waiting",
        about,
        tables,
        figures: vec![delayed.figure(), limited.figure(), cold.figure()],
        claims: vec![delayed.claim(), limited.claim()],
    })
}

/// The most workers that were inside the read limits of each contender at a time. Other workers use the same limits and
/// count how many are inside.
fn most_within(contenders: &[Contender]) -> Result<Vec<u64>> {
    let at_gates = |contender: &Contender| {
        let kind = if contender.mode == "threads" { Kind::Threads } else { Kind::Processes };
        let (rounds, stay) = AT_GATES;
        Ok(locks::at_gates(kind, contender.workers as usize, permits(contender), rounds, stay)?.most)
    };
    contenders.iter().map(at_gates).collect()
}

/// The permits of a contender, which are its last option.
fn permits(contender: &Contender) -> u32 {
    contender.options.last().and_then(|option| option.parse().ok()).unwrap_or(1)
}

/// Asks the system to drop the files of a corpus from memory. Pages in use or not yet written stay.
fn forget(corpus: &Corpus) {
    let mut opener = Opener::default();
    for row in 0..corpus.documents.len() {
        if let Ok(file) = opener.open(&corpus.documents, row) {
            // This is a hint. The bytes that are read from the disk again are measured.
            let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        }
    }
}

/// The first columns of all tables of this suite, and then `more`.
fn timed(more: &[(&'static str, &'static str, usize)]) -> Vec<Column> {
    let first = [("mode", "mode", 0), ("workers", "workers", 0), ("seconds", "seconds", 3)];
    Column::all(&[&first, more].concat())
}

fn cells(contender: &Contender, seconds: &Spread) -> Vec<Cell> {
    vec![contender.mode.into(), u64::from(contender.workers).into(), seconds.clone().into()]
}

/// The median seconds of one worker inline, which is the first row.
fn base(runs: &[Vec<Run>]) -> f64 {
    spread(&runs[0], |run| run.seconds).median
}

/// Runs with delayed reads.
struct Delayed<'a> {
    bench: &'a Bench<'a>,
    contenders: Vec<Contender>,
    runs: Vec<Vec<Run>>,
}

impl Delayed<'_> {
    fn rows(&self) -> impl Iterator<Item = (&Contender, Spread)> {
        self.contenders
            .iter()
            .zip(&self.runs)
            .map(|(contender, runs)| (contender, spread(runs, |run| run.seconds)))
    }

    /// The largest number of workers of a mode, and their speed-up.
    fn most(&self, mode: &str) -> (u32, f64) {
        let rows = self.rows().filter(|(contender, _)| contender.mode == mode);
        rows.map(|(contender, seconds)| (contender.workers, base(&self.runs) / seconds.median))
            .max_by_key(|&(workers, _)| workers)
            .unwrap_or((1, 1.0))
    }

    /// Whether more workers than cores are faster than as many as cores, or fewer.
    fn pays(&self, mode: &str) -> bool {
        let (cores, (most, gain)) = (self.bench.cores, self.most(mode));
        let within = self.rows().filter(|(found, _)| found.mode == mode && found.workers <= cores);
        let best = within.map(|(_, seconds)| base(&self.runs) / seconds.median).fold(1.0, f64::max);
        most > cores && gain > 1.2 * best
    }

    fn found(&self) -> String {
        let ((threads, by_threads), (processes, by_processes)) =
            (self.most("threads"), self.most("processes"));
        format!(
            "Compared with one worker, {} are {by_threads:.1} times and {} {by_processes:.1} times as fast, on {}.{}",
            counted(threads, "thread", "threads"),
            counted(processes, "process", "processes"),
            counted(self.bench.cores, "core", "cores"),
            if self.pays("threads") { " A worker that waits leaves its core to another." } else { "" }
        )
    }

    fn table(&self) -> Table {
        let rows = self.rows().map(|(contender, seconds)| {
            let gain = base(&self.runs) / seconds.median;
            cells(contender, &seconds).into_iter().chain([gain.into()]).collect()
        });
        Table {
            name: "latency",
            title: "Delayed reads".to_owned(),
            columns: timed(&[("speed_up", "speed-up", 2)]),
            rows: rows.collect(),
            found: self.found(),
        }
    }

    fn figure(&self) -> Figure {
        let series = PARALLEL.map(|mode| {
            Series::measured(
                mode,
                self.rows().filter(|(contender, _)| contender.mode == mode).map(|(contender, seconds)| {
                    Point::at(contender.workers.into(), &seconds.gain_on(base(&self.runs)))
                }),
            )
        });
        let workers = workers(self.bench);
        let ideal = crate::scaling::ideal(&workers, workers.iter().copied().max().unwrap_or(1));
        Figure {
            name: "speed_up_waiting",
            title: "Speed-up with delayed reads".to_owned(),
            kind: FigureKind::Lines,
            x_label: "workers".to_owned(),
            y_label: "times as fast".to_owned(),
            series: series.into_iter().chain([ideal]).collect(),
            found: self.found(),
        }
    }

    fn claim(&self) -> Claim {
        let (most, by_threads) = self.most("threads");
        let holds = match () {
            () if most <= self.bench.cores => Holds::NotMeasured,
            () if self.pays("threads") => Holds::Yes,
            () if by_threads > 1.2 => Holds::Partly,
            () => Holds::No,
        };
        let too = if self.pays("processes") { " Processes speed it up, too." } else { "" };
        let brief = format!(
            "with delayed reads {} are {by_threads:.1} times as fast as one worker",
            counted(most, "thread", "threads")
        );
        Claim { claim: CLAIMS[0], holds, why: self.found() + too, brief: Some(brief) }
    }
}

/// Runs with fewer reads at a time than workers.
struct Limited<'a> {
    bench: &'a Bench<'a>,
    contenders: Vec<Contender>,
    runs: Vec<Vec<Run>>,
    /// The most workers inside the read limits at a time.
    most: Vec<u64>,
}

/// A variant with fewer reads at a time than workers.
struct LimitedRow<'a> {
    contender: &'a Contender,
    permits: u64,
    seconds: Spread,
    /// The time of the delays alone, with this many reads at a time, in seconds.
    least: f64,
    most: u64,
}

impl Limited<'_> {
    fn rows(&self) -> impl Iterator<Item = LimitedRow<'_>> {
        let delays = latency(self.bench).as_secs_f64() * self.bench.facts.documents as f64;
        let all = self.contenders.iter().zip(&self.runs).zip(&self.most);
        all.map(move |((contender, runs), &most)| {
            let permits = permits(contender).into();
            let seconds = spread(runs, |run| run.seconds);
            LimitedRow { contender, permits, seconds, least: delays / permits as f64, most }
        })
    }

    fn table(&self) -> Table {
        let rows = self.rows().map(|row| {
            let more = [row.permits.into(), row.least.into(), row.most.into()];
            cells(row.contender, &row.seconds).into_iter().chain(more).collect()
        });
        Table {
            name: "max_reads",
            title: "A semaphore around reads".to_owned(),
            columns: timed(&[
                ("max_reads", "--max-reads", 0),
                ("least_seconds", "delays alone, s", 3),
                ("most_within", "most at a time", 0),
            ]),
            rows: rows.collect(),
            found: self.found(),
        }
    }

    /// Whether there were never more workers inside than permits, and no run took less time than its delays.
    fn is_bounded(&self) -> bool {
        self.rows().all(|row| row.most <= row.permits && row.seconds.min >= row.least)
    }

    fn found(&self) -> String {
        match self.is_bounded() {
            true => "Never were more threads or processes inside the limits than there are permits, and no run was faster than its delays alone.".to_owned(),
            false => "The limit was broken: more workers were inside than there are permits, or a run was faster than its delays alone.".to_owned(),
        }
    }

    fn figure(&self) -> Figure {
        let series = PARALLEL.map(|mode| {
            Series::measured(
                mode,
                self.rows()
                    .filter(|row| row.contender.mode == mode)
                    .map(|row| Point::bar(row.permits.to_string(), &row.seconds)),
            )
        });
        let least = Series::ideal(
            "delays alone",
            self.rows()
                .filter(|row| row.contender.mode == "threads")
                .map(|row| Point::bar(row.permits.to_string(), &Spread::of(vec![row.least]))),
        );
        Figure {
            name: "max_reads",
            title: format!(
                "{}, fewer reads at a time",
                counted(self.contenders[0].workers, "worker", "workers")
            ),
            kind: FigureKind::Bars,
            x_label: "--max-reads".to_owned(),
            y_label: "seconds".to_owned(),
            series: series.into_iter().chain([least]).collect(),
            found: self.found(),
        }
    }

    fn claim(&self) -> Claim {
        Claim {
            claim: CLAIMS[1],
            holds: if self.is_bounded() { Holds::Yes } else { Holds::No },
            why: format!(
                "{} A permit is a lock on one byte of a file, which the kernel frees when its holder dies.",
                self.found()
            ),
            brief: None,
        }
    }
}

/// Runs with the files dropped from the page cache.
struct Cold {
    contenders: Vec<Contender>,
    runs: Vec<Vec<Run>>,
}

impl Cold {
    /// Contenders with their seconds, and the MB that came from a disk.
    fn rows(&self) -> impl Iterator<Item = (&Contender, Spread, f64)> {
        self.contenders.iter().zip(&self.runs).map(|(contender, runs)| {
            let read = spread(runs, |run| run.usage.bytes_read as f64 / 1e6).median;
            (contender, spread(runs, |run| run.seconds), read)
        })
    }

    fn table(&self) -> Table {
        let rows = self.rows().map(|(contender, seconds, read)| {
            let gain = base(&self.runs) / seconds.median;
            cells(contender, &seconds).into_iter().chain([gain.into(), read.into()]).collect()
        });
        Table {
            name: "cold",
            title: "From the disk".to_owned(),
            columns: timed(&[("speed_up", "speed-up", 2), ("megabytes_read", "MB from disk", 1)]),
            rows: rows.collect(),
            found: self.found(),
        }
    }

    fn found(&self) -> String {
        let corpus = self.runs[0][0].report.bytes as f64 / 1e6;
        let least_read = self.rows().map(|(_, _, read)| read).fold(f64::INFINITY, f64::min);
        let most = self.contenders.iter().map(|contender| contender.workers).max().unwrap_or(1);
        let runs = PARALLEL.map(|mode| {
            let is_it = |contender: &Contender| contender.mode == mode && contender.workers == most;
            self.contenders.iter().position(is_it).map(|number| &self.runs[number])
        });
        match runs {
            [Some(threads), Some(processes)] if least_read > corpus / 2.0 => format!(
                "With {}, {}; processes are {:.2} times as fast as one worker inline.",
                counted(most, "worker", "workers"),
                comparison(processes, threads),
                base(&self.runs) / spread(processes, |run| run.seconds).median
            ),
            _ => format!(
                "The files did not come from a disk (only {least_read:.1} of {corpus:.1} MB did): this file system keeps them in memory, or did not drop them."
            ),
        }
    }

    fn figure(&self) -> Figure {
        Figure {
            name: "cold",
            title: "From the disk".to_owned(),
            kind: FigureKind::Bars,
            x_label: String::new(),
            y_label: "seconds".to_owned(),
            series: seconds_by_workers(self.rows().map(|(contender, seconds, _)| (contender, seconds))),
            found: self.found(),
        }
    }
}

fn python_table(program: &Python, latency: Duration, ways: &[(Way, u32)], times: &[Times]) -> Table {
    let base = times[0].seconds.median;
    let rows = ways.iter().zip(times).map(|(&(way, workers), Times { seconds, .. })| {
        vec![
            way.name().into(),
            u64::from(workers).into(),
            seconds.median.into(),
            (base / seconds.median).into(),
        ]
    });
    let best = |way: Way| {
        let of = ways.iter().zip(times).filter(|((found, _), _)| *found == way);
        of.map(|(_, times)| base / times.seconds.median).fold(0.0, f64::max)
    };
    let gains = Way::PARALLEL.map(|way| format!("{} {:.1}", way.name(), best(way)));
    Table {
        name: "python",
        title: format!(
            "The same in {}, each read delayed by {:.1} ms",
            program.name(),
            latency.as_secs_f64() * 1000.0
        ),
        columns: timed(&[("speed_up", "speed-up", 2)]),
        rows: rows.collect(),
        found: format!(
            "One run of each. Speed-up at best: {}.{}",
            listed(&gains),
            match program.has_lock() {
                true => " A thread that waits releases the global lock; threads that compute take turns.",
                false => "",
            }
        ),
    }
}
