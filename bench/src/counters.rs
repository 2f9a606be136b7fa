//! Suite `counters`: one count of tokens that all workers add to, kept in four ways, by threads and by processes.
//!
//! The unsynchronised way is a load, an addition and a store, as `counter += 1` is in most languages. The words are
//! atomic so that the behaviour is defined: only whole updates can be lost.

use crate::bench::{Bench, listed, rotated};
use crate::python::{Counted, Python};
use crate::results::{Cell, Claim, Column, Figure, FigureKind, Holds, Point, Series, Spread, Suite, Table};
use crate::sync::{Lock, LockKind};
use crate::worker_group::{self, KINDS, Kind};
use anyhow::{Context as _, Result, ensure};
use bowline_workers::mapped::{self, Store};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

/// The claims that this suite checks.
pub const CLAIMS: [&str; 2] =
    ["A counter without a lock loses updates", "A lock makes the count right, at a price"];

/// Updates of a run, of all workers together. The number is large enough to lose unprotected updates on a single
/// processor, too. There an update is lost only if the scheduler switches workers in the middle of one.
const UPDATES: u64 = 400_000_000;

/// The same for atomic additions, which take longer.
const ATOMIC_UPDATES: u64 = 40_000_000;

/// The same with a lock, which takes much longer.
const LOCKED_UPDATES: u64 = 4_000_000;

/// Words of a cache line and of the line that the processor fetches with it. Counters of different workers do not share
/// such a pair.
const LINE: usize = 16;

/// How the count is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// One counter: load, add, store.
    Unsynchronised,
    /// One counter, and a lock around each update.
    Lock,
    /// One counter, and the processor's own addition.
    Atomic,
    /// One counter for each worker, summed at the end.
    Own,
}

const WAYS: [Way; 4] = [Way::Unsynchronised, Way::Lock, Way::Atomic, Way::Own];

impl Way {
    /// The name in tables.
    fn name(self) -> &'static str {
        match self {
            Way::Unsynchronised => "unsynchronised",
            Way::Lock => "lock",
            Way::Atomic => "atomic add",
            Way::Own => "one each, summed",
        }
    }

    fn updates(self) -> u64 {
        match self {
            Way::Unsynchronised | Way::Own => UPDATES,
            Way::Atomic => ATOMIC_UPDATES,
            Way::Lock => LOCKED_UPDATES,
        }
    }
}

/// Adds one by a load and a store. The result is right only if no other worker adds at the same time.
pub fn add_one(counter: &AtomicU64) {
    // The steps are kept apart: x86-64 has one instruction for all of them, which the scheduler can't interrupt.
    let value = black_box(counter.load(Ordering::Relaxed));
    counter.store(value + 1, Ordering::Relaxed);
}

/// One run: its time and its count.
struct Count {
    seconds: f64,
    truth: u64,
    value: u64,
}

/// Counts `updates` tokens with `workers` workers.
fn count(way: Way, kind: Kind, workers: usize, updates: u64) -> Result<Count> {
    let counters: mapped::Table<AtomicU64> =
        mapped::Table::new((workers + 1) * LINE, &Store::unlimited()).context("mapping counters")?;
    let lock = Lock::new(LockKind::Plain)?;
    let each = updates / workers as u64;
    let work = |number: usize| {
        let (shared, own) = (&counters[0], &counters[(number + 1) * LINE]);
        match way {
            Way::Unsynchronised => (0..each).for_each(|_| add_one(shared)),
            Way::Lock => (0..each).for_each(|_| {
                lock.lock();
                add_one(shared);
                lock.unlock();
            }),
            Way::Atomic => (0..each).for_each(|_| {
                shared.fetch_add(1, Ordering::Relaxed);
            }),
            Way::Own => (0..each).for_each(|_| add_one(own)),
        }
    };
    let seconds = worker_group::run(kind, workers, &work)?;
    let value = counters.iter().map(|counter| counter.load(Ordering::Acquire)).sum();
    Ok(Count { seconds, truth: each * workers as u64, value })
}

/// Workers that count together: one for each processor, and at least two.
fn workers(bench: &Bench) -> usize {
    bench.cores.max(2) as usize
}

/// The number of runs of the suite.
pub fn steps(bench: &Bench) -> u64 {
    u64::from(bench.runs) * (WAYS.len() * KINDS.len()) as u64 + bench.pythons.len() as u64
}

/// Runs the suite.
///
/// # Errors
/// If a synchronised way loses an update.
pub fn run(bench: &Bench) -> Result<Suite> {
    let workers = workers(bench);
    let ways: Vec<_> = WAYS.iter().flat_map(|&way| KINDS.map(|kind| (way, kind))).collect();
    let mut runs: Vec<Vec<Count>> = ways.iter().map(|_| Vec::new()).collect();
    for number in rotated(bench.runs, ways.len()) {
        let (way, kind) = ways[number];
        let count = count(way, kind, workers, way.updates())?;
        ensure!(
            way == Way::Unsynchronised || count.value == count.truth,
            "{} of {} updates remain with {} ({}): this machine's atomic operations or locks do not work",
            count.value,
            count.truth,
            kind.name(),
            way.name()
        );
        runs[number].push(count);
        bench.step()?;
    }
    let rows: Vec<_> =
        ways.iter().zip(&runs).map(|(&(way, kind), runs)| row(way, kind, workers, runs)).collect();
    let mut tables = vec![Table { found: found(&rows), ..table(rows.iter().map(Row::cells).collect()) }];
    let mut python = Vec::new();
    for program in &bench.pythons {
        let counted = bench.beside(program.count(bench.runner, workers))?.unwrap_or_default();
        python.extend(counted.into_iter().map(|counted| (program, counted)));
        bench.runner.step();
    }
    if !python.is_empty() {
        tables.push(python_table(&python, workers));
    }
    let figures = vec![lost_figure(&rows), cost_figure(&rows)];
    let about = format!(
        "{workers} workers count tokens together as fast as they can: {} million updates a run ({} with atomic additions, {} with a lock). The counter lies in a map that all workers share, both threads and processes.",
        UPDATES / 1_000_000,
        ATOMIC_UPDATES / 1_000_000,
        LOCKED_UPDATES / 1_000_000
    );
    let claims = claims(&rows, &tables[0].found);
    Ok(Suite { name: "counters", title: "A counter that all workers share", about, tables, figures, claims })
}

/// The results of all runs of one way.
struct Row {
    way: Way,
    kind: Kind,
    workers: usize,
    nanoseconds: Spread,
    truth: u64,
    /// The count of the worst run.
    value: u64,
    /// Share of updates that were lost.
    lost: Spread,
}

fn row(way: Way, kind: Kind, workers: usize, runs: &[Count]) -> Row {
    let lost = |count: &Count| (count.truth - count.value.min(count.truth)) as f64 / count.truth as f64;
    Row {
        way,
        kind,
        workers,
        nanoseconds: Spread::of(runs.iter().map(|count| count.seconds * 1e9 / count.truth as f64).collect()),
        truth: runs.iter().map(|count| count.truth).max().unwrap_or(0),
        value: runs.iter().map(|count| count.value).min().unwrap_or(0),
        lost: Spread::of(runs.iter().map(|count| 100.0 * lost(count)).collect()),
    }
}

impl Row {
    fn cells(&self) -> Vec<Cell> {
        vec![
            self.way.name().into(),
            self.kind.name().into(),
            (self.workers as u64).into(),
            self.nanoseconds.clone().into(),
            self.truth.into(),
            self.value.into(),
            self.lost.clone().into(),
        ]
    }
}

fn table(rows: Vec<Vec<Cell>>) -> Table {
    Table {
        name: "counters",
        title: "Time per update, and the resulting count".to_owned(),
        columns: Column::all(&[
            ("way", "way", 0),
            ("mode", "mode", 0),
            ("workers", "workers", 0),
            ("nanoseconds", "ns per update, all workers", 2),
            ("truth", "truth", 0),
            ("value", "worst value", 0),
            ("lost_percent", "lost, %", 1),
        ]),
        rows,
        found: String::new(),
    }
}

fn found(rows: &[Row]) -> String {
    let of = |way: Way| rows.iter().filter(move |row| row.way == way);
    let lost = of(Way::Unsynchronised)
        .map(|row| {
            format!("{} lost {:.1} to {:.1} % of the updates", row.kind.name(), row.lost.min, row.lost.max)
        })
        .collect::<Vec<_>>();
    format!(
        "Without synchronisation {} in the best and the worst run; the other three ways lost none. For all workers together, an update costs {} with a lock, {} as an atomic addition, and {} with one counter per worker.",
        listed(&lost),
        costs(rows, Way::Lock),
        costs(rows, Way::Atomic),
        costs(rows, Way::Own)
    )
}

/// The cost of an update in one way, between threads and between processes.
fn costs(rows: &[Row], way: Way) -> String {
    let of_kind = |row: &Row| format!("{:.1} ns ({})", row.nanoseconds.median, row.kind.name());
    listed(&rows.iter().filter(|row| row.way == way).map(of_kind).collect::<Vec<_>>())
}

/// Unprotected updates that were lost: the minimum and the maximum of all runs, in percent.
fn lost(rows: &[Row]) -> (f64, f64) {
    let lost = rows.iter().filter(|row| row.way == Way::Unsynchronised).map(|row| &row.lost);
    lost.fold((f64::INFINITY, 0.0), |(least, most), lost| (least.min(lost.min), most.max(lost.max)))
}

fn claims(rows: &[Row], found: &str) -> Vec<Claim> {
    let (least, most) = lost(rows);
    let (holds, brief) = match (least > 0.0, most > 0.0) {
        (true, _) => (Holds::Yes, "a counter without a lock loses updates in both"),
        (_, true) => (Holds::Partly, "a counter without a lock sometimes loses updates"),
        _ => (Holds::No, "a counter without a lock lost no update here"),
    };
    vec![
        Claim { claim: CLAIMS[0], holds, why: found.to_owned(), brief: Some(brief.to_owned()) },
        Claim {
            claim: CLAIMS[1],
            holds: Holds::Yes,
            why: format!(
                "With a lock no update was lost, at {} per update. One counter per worker, summed at the end, is also right, at {}.",
                costs(rows, Way::Lock),
                costs(rows, Way::Own)
            ),
            brief: None,
        },
    ]
}

fn series(rows: &[Row], point: impl Fn(&Row) -> Point) -> Vec<Series> {
    KINDS
        .iter()
        .map(|&kind| Series::measured(kind.name(), rows.iter().filter(|row| row.kind == kind).map(&point)))
        .collect()
}

fn lost_figure(rows: &[Row]) -> Figure {
    Figure {
        name: "lost_updates",
        title: "Lost updates".to_owned(),
        kind: FigureKind::Bars,
        x_label: String::new(),
        y_label: "% of the updates".to_owned(),
        series: series(rows, |row| Point::bar(row.way.name(), &row.lost)),
        found: match lost(rows) {
            (_, 0.0) => "In no run did a worker add between another worker's load and its store.".to_owned(),
            _ => "If two workers load the same value, add one and store, one update is lost. This happens between threads and between processes that share a map.".to_owned(),
        },
    }
}

fn cost_figure(rows: &[Row]) -> Figure {
    let mean = |way: Way| {
        let of_way = rows.iter().filter(|row| row.way == way).map(|row| row.nanoseconds.median);
        of_way.sum::<f64>() / KINDS.len() as f64
    };
    Figure {
        name: "cost_of_an_update",
        title: "Cost of an update".to_owned(),
        kind: FigureKind::Bars,
        x_label: String::new(),
        y_label: "ns, all workers together".to_owned(),
        series: series(rows, |row| Point::bar(row.way.name(), &row.nanoseconds)),
        found: format!(
            "A shared counter costs {:.0} times (lock) and {:.0} times (atomic) as much as one counter per worker. bowline's workers share no counter.",
            mean(Way::Lock) / mean(Way::Own),
            mean(Way::Atomic) / mean(Way::Own)
        ),
    }
}

fn python_table(counted: &[(&Python, Counted)], workers: usize) -> Table {
    let percent = |counted: &Counted| 100.0 * (counted.truth - counted.value) as f64 / counted.truth as f64;
    let rows = counted.iter().map(|(program, counted)| {
        vec![
            program.name().into(),
            counted.way.as_str().into(),
            counted.mode.as_str().into(),
            (workers as u64).into(),
            (counted.seconds * 1e9 / counted.truth as f64).into(),
            counted.truth.into(),
            counted.value.into(),
            percent(counted).into(),
        ]
    });
    let unsynchronised =
        counted.iter().filter(|(_, counted)| counted.way == "unsynchronised").map(|(program, counted)| {
            format!("{} of {} lose {:.1} %", counted.mode, program.name(), percent(counted))
        });
    Table {
        name: "python_counters",
        title: "The same in Python".to_owned(),
        columns: Column::all(&[
            ("program", "program", 0),
            ("way", "way", 0),
            ("mode", "mode", 0),
            ("workers", "workers", 0),
            ("nanoseconds", "ns an update", 0),
            ("truth", "truth", 0),
            ("value", "value", 0),
            ("lost_percent", "lost, %", 1),
        ]),
        rows: rows.collect(),
        found: format!(
            "The times include the start of the workers. Without synchronisation {}. A global lock makes single steps of the interpreter atomic, but not a load and a store together. Python does not guarantee that threads lose no update.",
            listed(&unsynchronised.collect::<Vec<_>>())
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_told_of_the_best_and_the_worst_run() {
        let count = |value| Count { seconds: 1.0, truth: 100, value };
        let rows = [
            row(Way::Unsynchronised, Kind::Threads, 2, &[count(90), count(60)]),
            row(Way::Unsynchronised, Kind::Processes, 2, &[count(80)]),
            row(Way::Lock, Kind::Threads, 2, &[count(100)]),
        ];
        assert_eq!(lost(&rows), (10.0, 40.0));
        assert_eq!((rows[0].value, rows[0].truth), (60, 100));
        assert_eq!(claims(&rows, "")[0].holds, Holds::Yes);
        let lucky = [row(Way::Unsynchronised, Kind::Threads, 2, &[count(100)])];
        assert_eq!(claims(&lucky, "")[0].holds, Holds::No);
    }
}
