//! Suite `scaling`: the same corpus from a warm cache, by one worker, by threads and by processes, with the time of
//! each phase.

use crate::bench::{Bench, listed};
use crate::comparison::{
    Comparison, Contender, PARALLEL, Run, all_modes, comparison, ratios, seconds_by_workers, spread,
};
use crate::python::{self, Sample, Times, Way};
use crate::results::{Cell, Claim, Column, Figure, FigureKind, Holds, Point, Series, Spread, Suite, Table};
use anyhow::Result;
use bowline_workers::counted::counted;
use std::fs;
use std::time::Duration;

/// The claims that this suite checks.
pub const CLAIMS: [&str; 4] = [
    "Threads do not speed up computation",
    "Processes give a linear speed-up of computation",
    "A process costs more to start than a thread",
    "Processes must copy their data to each other",
];

/// The phases of a run.
const PHASES: [&str; 5] = ["walk", "tally", "merge", "emit", "publish"];

/// Documents of one word, for the cost of a run with almost no work.
const TINY_DOCUMENTS: usize = 64;

/// The factor of rounds on this corpus, whose runs are short.
const TINY_ROUNDS: u32 = 4;

fn contenders(bench: &Bench) -> Vec<Contender> {
    let workers = bench.workers_or(bench.up_to_cores());
    let most = workers.iter().copied().max().unwrap_or(1);
    let mut all = all_modes(&workers);
    all.push(Contender::new("processes", most).with(&["--sandbox", "off"]));
    all
}

fn python_ways(bench: &Bench) -> Vec<(Way, u32)> {
    python::ways(&bench.workers_or(vec![bench.cores.max(2)]))
}

/// The number of runs of the suite.
pub fn steps(bench: &Bench) -> u64 {
    let python = bench.pythons.len() as u64 * python_ways(bench).len() as u64 * u64::from(bench.slow_runs);
    u64::from(bench.runs * (1 + TINY_ROUNDS)) * contenders(bench).len() as u64 + python
}

/// Runs the suite.
///
/// # Errors
/// If a run fails, or outputs differ.
pub fn run(bench: &Bench) -> Result<Suite> {
    let contenders = contenders(bench);
    let runs = bench.comparison.rounds(&contenders, bench.runs, || {})?;
    let tiny = tiny(bench, &contenders)?;
    let all: Vec<_> = contenders
        .iter()
        .zip(runs)
        .zip(tiny)
        .map(|((contender, runs), tiny)| Row {
            contender,
            seconds: spread(&runs, |run| run.seconds),
            tiny: spread(&tiny, |run| run.seconds * 1000.0),
            tiny_runs: tiny,
            runs,
        })
        .collect();
    let rows = Rows { all, cores: bench.cores };
    let mut tables = vec![rows.times(), rows.phases(), rows.costs()];
    let mut figures = vec![rows.speed_up_figure(), rows.seconds_figure()];
    let python = Beside::measured(bench, &rows)?;
    if !python.all.is_empty() {
        tables.push(python.table());
        figures.push(python.figure());
    }
    let claims = rows.claims(&python);
    let about = format!(
        "Each run is the whole command in a new process: it finds and reads the files, counts, merges, writes and syncs the output. {} of each variant, alternating, from a warm cache; all outputs had the same bytes. The last row is without the sandbox that worker processes have by default.",
        counted(bench.runs, "run", "runs")
    );
    Ok(Suite { name: "scaling", title: "Computation", about, tables, figures, claims })
}

/// The same variants on a tiny corpus.
fn tiny(bench: &Bench, contenders: &[Contender]) -> Result<Vec<Vec<Run>>> {
    let corpus = bench.runner.scratch.beneath("tiny")?;
    for number in 0..TINY_DOCUMENTS {
        fs::write(corpus.path().join(format!("{number:02}.txt")), "word")?;
    }
    let (comparison, _) = Comparison::new(bench.runner, &[corpus.path().to_owned()])?;
    comparison.rounds(contenders, bench.runs * TINY_ROUNDS, || {})
}

struct Row<'a> {
    contender: &'a Contender,
    runs: Vec<Run>,
    seconds: Spread,
    /// Runs on the tiny corpus.
    tiny_runs: Vec<Run>,
    /// Their milliseconds.
    tiny: Spread,
}

impl Row<'_> {
    fn name(&self) -> Cell {
        match self.contender.options.is_empty() {
            true => self.contender.mode.into(),
            false => format!("{}, no sandbox", self.contender.mode).into(),
        }
    }

    fn workers(&self) -> Cell {
        u64::from(self.contender.workers).into()
    }

    /// Milliseconds of each of [`PHASES`].
    fn phases(&self) -> [f64; PHASES.len()] {
        PHASES.map(|name| self.median(|run| run.report.phase(name) * 1000.0))
    }

    fn median(&self, figure: impl Fn(&Run) -> f64) -> f64 {
        spread(&self.runs, figure).median
    }
}

struct Rows<'a> {
    all: Vec<Row<'a>>,
    cores: u32,
}

impl Rows<'_> {
    /// How many times as fast as one worker inline, in the medians.
    fn speed_up(&self, row: &Row) -> f64 {
        self.all[0].seconds.median / row.seconds.median
    }

    /// The speed-up in percent of the ideal for this number of workers and cores.
    fn of_ideal(&self, row: &Row) -> f64 {
        100.0 * self.speed_up(row) / f64::from(row.contender.workers.min(self.cores))
    }

    /// The speed-up in percent of the number of workers.
    fn efficiency(&self, row: &Row) -> f64 {
        100.0 * self.speed_up(row) / f64::from(row.contender.workers)
    }

    fn of(&self, mode: &str) -> impl Iterator<Item = &Row<'_>> {
        self.all.iter().filter(move |row| row.contender.mode == mode && row.contender.options.is_empty())
    }

    /// The row of a mode with one worker for each core, or else with the largest number below, or else with the
    /// smallest.
    fn at_cores(&self, mode: &str) -> &Row<'_> {
        let fits = |row: &&Row| row.contender.workers <= self.cores.max(1);
        let most = self.of(mode).filter(fits).max_by_key(|row| row.contender.workers);
        most.or_else(|| self.of(mode).min_by_key(|row| row.contender.workers)).unwrap_or(&self.all[0])
    }

    fn times(&self) -> Table {
        let rows = self.all.iter().map(|row| {
            let megabytes = row.runs[0].report.bytes as f64 / 1e6;
            vec![
                row.name(),
                row.workers(),
                row.seconds.clone().into(),
                self.speed_up(row).into(),
                self.efficiency(row).into(),
                (megabytes / row.seconds.median).into(),
                row.tiny.clone().into(),
            ]
        });
        let (threads, processes) = (self.at_cores("threads"), self.at_cores("processes"));
        Table {
            name: "times",
            title: "Time".to_owned(),
            columns: Column::all(&[
                ("mode", "mode", 0),
                ("workers", "workers", 0),
                ("seconds", "seconds", 3),
                ("speed_up", "speed-up", 2),
                ("efficiency_percent", "efficiency, %", 0),
                ("megabytes_per_second", "MB/s", 0),
                ("start_up_milliseconds", "start-up, ms", 1),
            ]),
            rows: rows.collect(),
            found: format!(
                "Compared with one worker, {} are {:.2} times and {} {:.2} times as fast; {}. Start-up is the whole command on {TINY_DOCUMENTS} documents of one word: {:.1} ms with threads, {:.1} ms with processes.",
                counted(threads.contender.workers, "thread", "threads"),
                self.speed_up(threads),
                counted(processes.contender.workers, "process", "processes"),
                self.speed_up(processes),
                self.comparison(),
                threads.tiny.median,
                processes.tiny.median,
            ),
        }
    }

    /// Which of the two modes is faster, in words. One is called faster only if it was in every round.
    fn comparison(&self) -> String {
        let (threads, processes) = (self.at_cores("threads"), self.at_cores("processes"));
        comparison(&processes.runs, &threads.runs)
    }

    fn phases(&self) -> Table {
        let rows = self.all.iter().map(|row| {
            let start = row.median(|run| run.report.start_seconds * 1000.0);
            let started = row.median(|run| run.report.workers_started as f64);
            let cells = [row.name(), row.workers()].into_iter().chain(row.phases().map(Cell::from));
            cells.chain([started.into(), start.into()]).collect()
        });
        let one = self.all[0].phases();
        let many = self.at_cores("processes").phases();
        let gains = PHASES.iter().zip(one.iter().zip(many)).filter(|(_, (one, _))| **one > 1.0);
        let gains: Vec<_> = gains.map(|(name, (one, many))| format!("{name} {:.2}", one / many)).collect();
        Table {
            name: "phases",
            title: "Time of each phase, ms".to_owned(),
            columns: Column::all(&[
                ("mode", "mode", 0),
                ("workers", "workers", 0),
                ("walk_milliseconds", "walk", 1),
                ("tally_milliseconds", "tally", 1),
                ("merge_milliseconds", "merge", 1),
                ("emit_milliseconds", "emit", 1),
                ("publish_milliseconds", "publish", 1),
                ("workers_started", "started", 0),
                ("start_milliseconds", "start of workers", 2),
            ]),
            rows: rows.collect(),
            found: format!(
                "Speed-up by phase, {}: {}. Two generations of workers are started: the first counts, the second merges and writes.",
                counted(self.at_cores("processes").contender.workers, "process", "processes"),
                if gains.is_empty() { "none takes a millisecond".to_owned() } else { listed(&gains) }
            ),
        }
    }

    /// The phases in which a variant takes more than an even share of the time of one worker, in words.
    fn losses(&self, row: &Row) -> String {
        let share = f64::from(row.contender.workers.min(self.cores));
        let mut losses: Vec<_> = PHASES
            .iter()
            .zip(row.phases())
            .zip(self.all[0].phases())
            .map(|((&name, many), one)| (name, many - one / share))
            .collect();
        losses.retain(|(_, lost)| *lost >= 1.0);
        losses.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let told: Vec<_> = losses.iter().map(|(name, lost)| format!("{name} {lost:.0} ms")).collect();
        match told.is_empty() {
            true => "No phase takes a millisecond more than its share.".to_owned(),
            false => format!("Time beyond an even share of the time of one worker: {}.", listed(&told)),
        }
    }

    fn costs(&self) -> Table {
        let rows = self.all.iter().map(|row| {
            vec![
                row.name(),
                row.workers(),
                row.median(|run| run.usage.user_seconds).into(),
                row.median(|run| run.usage.system_seconds).into(),
                row.median(|run| run.usage.page_faults as f64).into(),
                row.median(|run| run.usage.switches as f64).into(),
                row.median(|run| run.report.messages as f64).into(),
            ]
        });
        let (threads, processes) = (self.at_cores("threads"), self.at_cores("processes"));
        let cpu = |row: &Row| row.median(|run| run.usage.user_seconds + run.usage.system_seconds);
        let faults = |row: &Row| row.median(|run| run.usage.page_faults as f64);
        Table {
            name: "costs",
            title: "Resources".to_owned(),
            columns: Column::all(&[
                ("mode", "mode", 0),
                ("workers", "workers", 0),
                ("user_seconds", "user, s", 3),
                ("system_seconds", "system, s", 3),
                ("page_faults", "page faults", 0),
                ("context_switches", "switches", 0),
                ("messages", "messages", 0),
            ]),
            rows: rows.collect(),
            found: format!(
                "With {}, processes take {:.3} s of processor time and {:.0} page faults, threads {:.3} s and {:.0}, one worker inline {:.3} s and {:.0}. Messages are small, since documents, rows and terms lie in shared maps.",
                counted(processes.contender.workers, "worker", "workers"),
                cpu(processes),
                faults(processes),
                cpu(threads),
                faults(threads),
                cpu(&self.all[0]),
                faults(&self.all[0]),
            ),
        }
    }

    fn speed_up_figure(&self) -> Figure {
        let base = self.all[0].seconds.median;
        let measured = PARALLEL.map(|mode| {
            Series::measured(
                mode,
                self.of(mode).map(|row| Point::at(row.contender.workers.into(), &row.seconds.gain_on(base))),
            )
        });
        let workers: Vec<u32> = self.of("processes").map(|row| row.contender.workers).collect();
        let (threads, processes) = (self.at_cores("threads"), self.at_cores("processes"));
        Figure {
            name: "speed_up",
            title: "Speed-up over one worker inline".to_owned(),
            kind: FigureKind::Lines,
            x_label: "workers".to_owned(),
            y_label: "times as fast".to_owned(),
            series: measured.into_iter().chain([ideal(&workers, self.cores)]).collect(),
            found: format!(
                "{} reach {:.0} % of the ideal and {} {:.0} %. The dashed line is the ideal: the number of workers, up to the number of cores.",
                counted(threads.contender.workers, "thread", "threads"),
                self.of_ideal(threads),
                counted(processes.contender.workers, "process", "processes"),
                self.of_ideal(processes)
            ),
        }
    }

    fn seconds_figure(&self) -> Figure {
        Figure {
            name: "seconds",
            title: "The whole command".to_owned(),
            kind: FigureKind::Bars,
            x_label: String::new(),
            y_label: "seconds".to_owned(),
            series: seconds_by_workers(self.all.iter().map(|row| (row.contender, row.seconds.clone()))),
            found: format!(
                "Medians, with the fastest and the slowest run. With {}, {}.",
                counted(self.at_cores("processes").contender.workers, "worker", "workers"),
                self.comparison()
            ),
        }
    }

    fn claims(&self, python: &Beside) -> Vec<Claim> {
        let (threads, processes) = (self.at_cores("threads"), self.at_cores("processes"));
        let workers = processes.contender.workers;
        let of_ideal = self.of_ideal(processes);
        let gains = |row: &Row| self.speed_up(row) > 1.2;
        let (cpu_bound, because) = match (gains(threads), gains(processes)) {
            _ if workers.min(self.cores) < 2 => (Holds::NotMeasured, "This needs two cores and two workers."),
            (true, _) => (
                Holds::No,
                "The global lock of an interpreter prevents threads from computing at the same time. Rust has no such lock.",
            ),
            (false, true) => (Holds::Yes, "Processes gain more here."),
            (false, false) => (
                Holds::NotMeasured,
                "Processes gain nothing, either: the corpus is too small, or other programs used the cores.",
            ),
        };
        let linear = match of_ideal {
            _ if cpu_bound == Holds::NotMeasured => Holds::NotMeasured,
            90.0.. => Holds::Yes,
            60.0.. => Holds::Partly,
            _ => Holds::No,
        };
        let dearer = ratios(&processes.tiny_runs, &threads.tiny_runs);
        let dearer = match (dearer.min > 1.0, dearer.median > 1.0) {
            (true, _) => Holds::Yes,
            (_, true) => Holds::Partly,
            _ => Holds::No,
        };
        vec![
            Claim {
                claim: CLAIMS[0],
                holds: cpu_bound,
                why: format!(
                    "{} of bowline's: {:.2} times as fast as one worker{}. {because}",
                    counted(workers, "thread", "threads"),
                    self.speed_up(threads),
                    python.display(Way::Threads),
                ),
                brief: Some(format!(
                    "on {} with {} threads are {:.2} times and processes {:.2} times as fast as one worker",
                    counted(self.cores, "core", "cores"),
                    counted(workers, "worker", "workers"),
                    self.speed_up(threads),
                    self.speed_up(processes)
                )),
            },
            Claim {
                claim: CLAIMS[1],
                holds: linear,
                why: format!(
                    "{} of bowline's: {:.2} times as fast as one worker{}, {of_ideal:.0} % of linear. {}",
                    counted(workers, "process", "processes"),
                    self.speed_up(processes),
                    python.display(Way::Processes),
                    self.losses(processes),
                ),
                brief: None,
            },
            Claim {
                claim: CLAIMS[2],
                holds: dearer,
                why: format!(
                    "With {}, on a tiny corpus processes take {:.1} ms and threads {:.1} ms; of this, a fork takes {:.2} ms for each of {:.0} workers.",
                    counted(workers, "worker", "workers"),
                    processes.tiny.median,
                    threads.tiny.median,
                    spread(&processes.tiny_runs, |run| {
                        1000.0 * run.report.start_seconds / run.report.workers_started as f64
                    })
                    .median,
                    spread(&processes.tiny_runs, |run| run.report.workers_started as f64).median,
                ),
                brief: None,
            },
            Claim {
                claim: CLAIMS[3],
                holds: Holds::No,
                why: format!(
                    "Coordinator and workers exchanged {:.0} messages of less than 512 bytes for {} documents. All other data lies in shared maps.",
                    processes.median(|run| run.report.messages as f64),
                    processes.runs[0].report.documents
                ),
                brief: None,
            },
        ]
    }
}

/// The ideal speed-up: the number of workers, up to the number of cores.
pub fn ideal(workers: &[u32], most: u32) -> Series {
    let point = |workers: u32| Point::at(workers.into(), &Spread::of(vec![workers.min(most).into()]));
    let mut at: Vec<u32> = workers.iter().copied().chain([1]).collect();
    let last = at.iter().copied().max().unwrap_or(1);
    at.extend((most < last).then_some(most));
    at.sort_unstable();
    at.dedup();
    Series::ideal("ideal", at.into_iter().map(point))
}

/// The times of one Python.
struct PythonTimes {
    program: String,
    /// In the order of the ways, sequential first.
    times: Vec<Times>,
}

/// The times of all Pythons, and bowline's own rows.
struct Beside<'a> {
    rows: &'a Rows<'a>,
    sample: Sample,
    ways: Vec<(Way, u32)>,
    /// None if there is no Python or no document for it.
    all: Vec<PythonTimes>,
}

impl<'a> Beside<'a> {
    fn measured(bench: &Bench, rows: &'a Rows<'a>) -> Result<Self> {
        let sample = Sample::of(&bench.documents, bench.corpus, bench.facts.bytes, &bench.runner.scratch)?;
        let (ways, mut all) = (python_ways(bench), Vec::new());
        for program in bench.pythons.iter().filter(|_| sample.bytes > 0) {
            let (runner, rounds) = (bench.runner, bench.slow_runs);
            let times = bench.beside(program.embed(runner, &ways, &sample, Duration::ZERO, rounds))?;
            all.extend(times.map(|times| PythonTimes { program: program.name(), times }));
        }
        Ok(Beside { rows, sample, ways, all })
    }

    /// The speed-ups over sequential by a way, by number of workers, in a part of the times.
    fn gains<'t>(
        &self,
        python: &'t PythonTimes,
        way: Way,
        part: fn(&'t Times) -> &'t Spread,
    ) -> impl Iterator<Item = (u32, Spread)> {
        let of_way = self.ways.iter().zip(&python.times).filter(move |((found, _), _)| *found == way);
        of_way
            .map(move |(&(_, workers), times)| (workers, part(times).gain_on(part(&python.times[0]).median)))
    }

    fn best_gain<'t>(&self, python: &'t PythonTimes, way: Way, part: fn(&'t Times) -> &'t Spread) -> f64 {
        self.gains(python, way, part).map(|(_, gain)| gain.median).fold(0.0, f64::max)
    }

    /// The best speed-ups by a way of all Pythons, in words.
    fn display(&self, way: Way) -> String {
        let gains = self.all.iter().map(|python| {
            format!("{:.2} in {}", self.best_gain(python, way, |times| &times.seconds), python.program)
        });
        let gains: Vec<_> = gains.collect();
        if gains.is_empty() { String::new() } else { format!(" (at best {})", listed(&gains)) }
    }

    fn rate(&self, seconds: &Spread) -> f64 {
        self.sample.bytes as f64 / 1e6 / seconds.median
    }

    fn table(&self) -> Table {
        let rows = self.all.iter().flat_map(|python| {
            self.ways.iter().zip(&python.times).map(|(&(way, workers), Times { seconds, bags })| {
                vec![
                    python.program.as_str().into(),
                    way.name().into(),
                    u64::from(workers).into(),
                    seconds.clone().into(),
                    (python.times[0].seconds.median / seconds.median).into(),
                    self.rate(seconds).into(),
                    bags.median.into(),
                ]
            })
        });
        let found = self.all.iter().map(|python| {
            let gains = Way::PARALLEL.map(|way| {
                let whole = self.best_gain(python, way, |times| &times.seconds);
                let bags = self.best_gain(python, way, |times| &times.bags);
                format!("{whole:.2} by {} ({bags:.2} in making bags)", way.name())
            });
            format!("{} gains {}", python.program, listed(&gains))
        });
        let best = self.all.iter().flat_map(|python| &python.times).map(|times| self.rate(&times.seconds));
        let processes = self.rows.at_cores("processes");
        let rate = processes.runs[0].report.bytes as f64 / 1e6 / processes.seconds.median;
        Table {
            name: "python",
            title: format!(
                "The same in Python: {} documents, {:.1} MB",
                self.sample.documents,
                self.sample.bytes as f64 / 1e6
            ),
            columns: Column::all(&[
                ("program", "program", 0),
                ("mode", "mode", 0),
                ("workers", "workers", 0),
                ("seconds", "seconds", 3),
                ("speed_up", "speed-up", 2),
                ("megabytes_per_second", "MB/s", 1),
                ("bag_seconds", "bags alone, s", 3),
            ]),
            rows: rows.collect(),
            found: format!(
                "{}; the start of Python and the combination of the bags are not divided among workers. bowline's processes are {:.0} times as fast as the best of them (which make dictionaries in memory and write nothing).",
                listed(&found.collect::<Vec<_>>()),
                rate / best.fold(0.0, f64::max)
            ),
        }
    }

    fn figure(&self) -> Figure {
        let bar = |workers: u32, gain: &Spread| Point::bar(counted(workers, "worker", "workers"), gain);
        let measured = |row: &&Row| self.ways.contains(&(Way::Processes, row.contender.workers));
        let base = self.rows.all[0].seconds.median;
        let ours = PARALLEL.map(|mode| {
            let of_mode = self.rows.of(mode).filter(measured);
            let bars = of_mode.map(|row| bar(row.contender.workers, &row.seconds.gain_on(base)));
            Series::measured(format!("bowline, {mode}"), bars)
        });
        let theirs = self.all.iter().flat_map(|times| {
            Way::PARALLEL.map(|way| {
                let bars =
                    self.gains(times, way, |times| &times.seconds).map(|(workers, gain)| bar(workers, &gain));
                Series::measured(format!("{}, {}", times.program, way.name()), bars)
            })
        });
        Figure {
            name: "speed_up_of_python",
            title: "Speed-up, compared with Python".to_owned(),
            kind: FigureKind::Bars,
            x_label: String::new(),
            y_label: "times as fast as one worker".to_owned(),
            series: ours.into_iter().chain(theirs).filter(|series| !series.points.is_empty()).collect(),
            found: "Each speed-up is relative to the program's own single worker. In a Python with a global lock, one thread computes at a time.".to_owned(),
        }
    }
}
