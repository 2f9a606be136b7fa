//! Suite `locks`: the cost of each means of synchronisation, alone and contended, between threads and between
//! processes. Each run checks the invariant that the means protects. The suite also checks whether the means is free
//! after its holder has died.

use crate::bench::{Bench, listed, rotated};
use crate::counters::add_one;
use crate::python::{Cost, Python};
use crate::results::{Claim, Column, Figure, FigureKind, Holds, Point, Series, Spread, Suite, Table};
use crate::sync::{Condition, Event, Lock, LockKind, Semaphore, Taken};
use crate::worker_group::{self, KINDS, Kind};
use anyhow::{Context as _, Result, bail, ensure};
use bowline_workers::heartbeat::Heartbeats;
use bowline_workers::mapped::{self, Store};
use bowline_workers::read_limit::{ReadLimit, ReadLimits};
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// The claims that this suite checks.
pub const CLAIMS: [&str; 2] = [
    "A holder that takes its lock again waits for ever, unless the lock is re-entrant",
    "Events and conditions let workers wait for each other",
];

/// Rounds of a run, of all workers together, if no worker sleeps.
const ROUNDS: u64 = 400_000;

/// Rounds of a run if each round wakes a worker.
const WAKING_ROUNDS: u64 = 20_000;

/// Permits of the semaphores.
const PERMITS: u32 = 2;

/// The means of synchronisation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Means {
    Lock,
    Reentrant,
    Semaphore,
    RecordLocks,
    Event,
    Condition,
}

const MEANS: [Means; 6] =
    [Means::Lock, Means::Reentrant, Means::Semaphore, Means::RecordLocks, Means::Event, Means::Condition];

impl Means {
    fn name(self) -> &'static str {
        match self {
            Means::Lock => "lock",
            Means::Reentrant => "re-entrant lock",
            Means::Semaphore => "semaphore",
            Means::RecordLocks => "--max-reads",
            Means::Event => "event",
            Means::Condition => "condition",
        }
    }

    /// The steps of a round, and the invariant.
    fn about(self) -> (&'static str, &'static str) {
        match self {
            Means::Lock => ("lock, add one, unlock", "no update is lost"),
            Means::Reentrant => {
                ("lock twice, add one, unlock twice", "no update is lost; its holder may take it again")
            }
            Means::Semaphore => ("acquire, enter, leave, release", "no more than 2 are inside"),
            Means::RecordLocks => ("the same by locks on a file's bytes", "no more than 2 are inside"),
            Means::Event => {
                ("set and wait; contended: hand over to another", "writes before it are visible after it")
            }
            Means::Condition => (
                "put and take an item in one place; wait while full or empty",
                "each item is taken once, in order",
            ),
        }
    }

    /// Workers of a contended run.
    fn workers(self, cores: usize) -> usize {
        match self {
            Means::Lock | Means::Reentrant => cores.max(2),
            Means::Semaphore | Means::RecordLocks => 2 * cores.max(2),
            // One sets, one waits; one puts, one takes.
            Means::Event | Means::Condition => 2,
        }
    }

    /// The number of `rounds` for each of the workers. One worker puts an item and another takes it.
    fn done(self, workers: usize, rounds: u64) -> u64 {
        let each = rounds / workers as u64;
        if self == Means::Condition { each } else { each * workers as u64 }
    }

    fn rounds(self, workers: usize) -> u64 {
        match self {
            Means::RecordLocks => WAKING_ROUNDS,
            Means::Event | Means::Condition if workers > 1 => WAKING_ROUNDS,
            _ => ROUNDS,
        }
    }
}

/// The shared memory besides the means itself.
struct Words(mapped::Table<AtomicU64>);

impl Words {
    fn new() -> Result<Self> {
        Ok(Words(mapped::Table::new(4, &Store::unlimited()).context("mapping shared memory")?))
    }

    fn get(&self, word: usize) -> u64 {
        self.0[word].load(Ordering::Acquire)
    }
}

/// The seconds of a run of `rounds` rounds. Fails if a worker sees the invariant broken.
fn measure(means: Means, kind: Kind, workers: usize, rounds: u64) -> Result<f64> {
    let each = rounds / workers as u64;
    match means {
        Means::Lock => locked(LockKind::Plain, kind, workers, each),
        Means::Reentrant => locked(LockKind::Reentrant, kind, workers, each),
        Means::Semaphore => {
            let semaphore = Semaphore::new(PERMITS)?;
            no_more_than_permits(bounded(kind, workers, each, Duration::ZERO, &|_, within| {
                semaphore.acquire();
                within();
                semaphore.release();
            })?)
        }
        Means::RecordLocks => no_more_than_permits(at_gates(kind, workers, PERMITS, each, Duration::ZERO)?),
        Means::Event => handed_over(kind, workers, each),
        Means::Condition => put_and_taken(kind, workers, each),
    }
}

fn locked(lock_kind: LockKind, kind: Kind, workers: usize, each: u64) -> Result<f64> {
    let (lock, words) = (Lock::new(lock_kind)?, Words::new()?);
    let depth = if lock_kind == LockKind::Reentrant { 2 } else { 1 };
    let seconds = worker_group::run(kind, workers, &|_| {
        for _ in 0..each {
            (0..depth).for_each(|_| lock.lock());
            add_one(&words.0[0]);
            (0..depth).for_each(|_| lock.unlock());
        }
    })?;
    ensure!(words.get(0) == each * workers as u64, "a lock has lost updates");
    lock.lock();
    ensure!(
        lock.try_lock() == (lock_kind == LockKind::Reentrant),
        "a holder took its plain lock again, or could not take its re-entrant lock again"
    );
    Ok(seconds)
}

/// The result of workers at a read limit.
pub struct Bounded {
    seconds: f64,
    /// The most workers inside at a time.
    pub most: u64,
}

/// Runs `workers` workers that pass the read limits of `--max-reads`, each `each` times, and stay inside for `stay`.
///
/// # Errors
/// If the system lacks memory or locks.
pub fn at_gates(kind: Kind, workers: usize, permits: u32, each: u64, stay: Duration) -> Result<Bounded> {
    let heartbeats = Heartbeats::new(workers).context("mapping the heartbeats")?;
    let read_limits = ReadLimits::new(Some(permits), Duration::ZERO).context("making permits")?;
    let read_limits: Vec<_> = (0..workers)
        .map(|slot| read_limits.read_limit(slot, &heartbeats.heartbeat(slot)))
        .collect::<Result<_, _>>()
        .context("making permits")?;
    bounded(kind, workers, each, stay, &|number, within| {
        let permit = read_limits[number].enter();
        assert!(permit.is_ok(), "the system has room for a lock");
        within();
    })
}

fn no_more_than_permits(Bounded { seconds, most }: Bounded) -> Result<f64> {
    ensure!(most <= PERMITS.into(), "{most} workers were inside a semaphore with {PERMITS} permits");
    Ok(seconds)
}

fn bounded(
    kind: Kind,
    workers: usize,
    each: u64,
    stay: Duration,
    enter: &(dyn Fn(usize, &dyn Fn()) + Sync),
) -> Result<Bounded> {
    let words = Words::new()?;
    let (within, most, count) = (&words.0[0], &words.0[1], &words.0[2]);
    let seconds = worker_group::run(kind, workers, &|number| {
        for _ in 0..each {
            enter(number, &|| {
                most.fetch_max(within.fetch_add(1, Ordering::AcqRel) + 1, Ordering::AcqRel);
                count.fetch_add(1, Ordering::Relaxed);
                if !stay.is_zero() {
                    thread::sleep(stay);
                }
                within.fetch_sub(1, Ordering::AcqRel);
            });
        }
    })?;
    ensure!(words.get(2) == each * workers as u64, "a semaphore has let through too few");
    Ok(Bounded { seconds, most: words.get(1) })
}

/// One worker sets, waits and clears. Of two workers, one writes and sets; the other waits, checks and answers.
fn handed_over(kind: Kind, workers: usize, each: u64) -> Result<f64> {
    let (there, back, words) = (Event::new()?, Event::new()?, Words::new()?);
    let (written, wrong) = (&words.0[0], &words.0[1]);
    let seconds = worker_group::run(kind, workers, &|number| {
        for round in 1..=each {
            match (workers, number) {
                (1, _) => {
                    there.set();
                    there.wait();
                    there.clear();
                }
                (_, 0) => {
                    written.store(round, Ordering::Relaxed);
                    there.set();
                    back.wait();
                    back.clear();
                }
                _ => {
                    there.wait();
                    there.clear();
                    wrong.fetch_add(u64::from(written.load(Ordering::Relaxed) != round), Ordering::Relaxed);
                    back.set();
                }
            }
        }
    })?;
    ensure!(words.get(1) == 0, "writes before an event were not visible after it");
    Ok(seconds)
}

/// A queue with one place. One worker puts and takes. Of two workers, one puts and the other takes.
fn put_and_taken(kind: Kind, workers: usize, each: u64) -> Result<f64> {
    let (lock, changed, words) = (Lock::new(LockKind::Plain)?, Condition::new()?, Words::new()?);
    let (place, taken, wrong) = (&words.0[0], &words.0[1], &words.0[2]);
    let put = |item: u64| {
        lock.lock();
        while place.load(Ordering::Relaxed) != 0 {
            changed.wait(&lock);
        }
        place.store(item, Ordering::Relaxed);
        changed.notify_all();
        lock.unlock();
    };
    let take = |expected: u64| {
        lock.lock();
        while place.load(Ordering::Relaxed) == 0 {
            changed.wait(&lock);
        }
        let item = place.swap(0, Ordering::Relaxed);
        wrong.fetch_add(u64::from(item != expected), Ordering::Relaxed);
        add_one(taken);
        changed.notify_all();
        lock.unlock();
    };
    let seconds = worker_group::run(kind, workers, &|number| {
        for item in 1..=each {
            if number == 0 {
                put(item);
            }
            if number == 1 || workers == 1 {
                take(item);
            }
        }
    })?;
    ensure!(words.get(1) == each && words.get(2) == 0, "an item of a queue was lost, or taken out of order");
    Ok(seconds)
}

/// The number of runs of the suite.
pub fn steps(bench: &Bench) -> u64 {
    u64::from(bench.runs) * (MEANS.len() * KINDS.len() * 2) as u64
        + 1
        + bench.pythons.len() as u64 * u64::from(bench.slow_runs)
}

/// Runs the suite.
///
/// # Errors
/// If an invariant was broken.
pub fn run(bench: &Bench) -> Result<Suite> {
    let cases: Vec<_> = MEANS
        .iter()
        .flat_map(|&means| {
            let workers = [1, means.workers(bench.cores as usize)];
            workers.into_iter().flat_map(move |workers| KINDS.map(|kind| (means, workers, kind)))
        })
        .collect();
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); cases.len()];
    for number in rotated(bench.runs, cases.len()) {
        let (means, workers, kind) = cases[number];
        let rounds = means.rounds(workers);
        let seconds = measure(means, kind, workers, rounds)
            .with_context(|| format!("{} between {workers} {}", means.name(), kind.name()))?;
        times[number].push(seconds * 1e9 / means.done(workers, rounds) as f64);
        bench.step()?;
    }
    let costs: Vec<_> = cases
        .into_iter()
        .zip(times)
        .map(|((means, workers, kind), times)| MeansCost { means, workers, kind, times: Spread::of(times) })
        .collect();
    let deaths = deaths()?;
    bench.step()?;
    let mut tables = vec![cost_table(&costs), death_table(&deaths)];
    let mut python = Vec::new();
    for program in &bench.pythons {
        let workers = bench.cores.max(2) as usize;
        let costs = bench.beside(program.locks(bench.runner, workers, bench.slow_runs))?;
        python.extend(costs.map(|costs| (program, costs)));
    }
    if !python.is_empty() {
        tables.push(python_table(&python));
    }
    let about = "The C library's lock, re-entrant lock, semaphore and condition, an event made of them, and the record locks behind --max-reads; all in a map that is shared by threads and processes alike. Each run checks what the means is there to protect, and the suite ends with an error if that is broken.";
    Ok(Suite {
        name: "locks",
        title: "Locks, semaphores, events, conditions",
        about: about.to_owned(),
        tables,
        figures: cost_figures(&costs),
        claims: claims(&costs),
    })
}

/// The claims. The suite fails earlier if an invariant is broken.
fn claims(costs: &[MeansCost]) -> Vec<Claim> {
    let cost = |means: Means, kind: Kind| {
        costs
            .iter()
            .find(|c| c.means == means && c.kind == kind && c.workers > 1)
            .map_or(f64::NAN, |c| c.times.median)
    };
    let woken = |means: Means| {
        format!(
            "{:.1} µs between threads, {:.1} between processes",
            cost(means, Kind::Threads) / 1e3,
            cost(means, Kind::Processes) / 1e3
        )
    };
    vec![
        Claim {
            claim: CLAIMS[0],
            holds: Holds::Yes,
            why: "Each run tried both: the plain lock could not be taken again, the re-entrant lock could."
                .to_owned(),
            brief: None,
        },
        Claim {
            claim: CLAIMS[1],
            holds: Holds::Yes,
            why: format!(
                "Writes before an event were always visible after it ({} to hand over). Each item of a queue with one place was taken once and in order ({} per item).",
                woken(Means::Event),
                woken(Means::Condition)
            ),
            brief: Some(format!("a hand-over to another worker takes {}", woken(Means::Event))),
        },
    ]
}

struct MeansCost {
    means: Means,
    workers: usize,
    kind: Kind,
    /// Nanoseconds a round.
    times: Spread,
}

fn cost_table(costs: &[MeansCost]) -> Table {
    let rows = costs.iter().map(|cost| {
        let (round, invariant) = cost.means.about();
        vec![
            cost.means.name().into(),
            cost.kind.name().into(),
            (cost.workers as u64).into(),
            cost.times.clone().into(),
            round.into(),
            format!("{invariant}: held").into(),
        ]
    });
    let times = |means: Means, contended: bool| {
        let of = |kind: Kind| {
            let cost =
                costs.iter().find(|c| c.means == means && c.kind == kind && (c.workers > 1) == contended);
            cost.map_or(f64::NAN, |cost| cost.times.median)
        };
        (of(Kind::Threads), of(Kind::Processes))
    };
    let (alone, contended) = (times(Means::Lock, false), times(Means::Lock, true));
    let handed = times(Means::Event, true);
    Table {
        name: "costs",
        title: "Cost of a round".to_owned(),
        columns: Column::all(&[
            ("means", "means", 0),
            ("mode", "between", 0),
            ("workers", "workers", 0),
            ("nanoseconds", "ns per round", 0),
            ("round", "round", 0),
            ("invariant", "invariant", 0),
        ]),
        rows: rows.collect(),
        found: format!(
            "Alone, a lock costs {:.0} ns between threads and {:.0} ns between processes; contended {:.0} and {:.0}. A hand-over by an event costs {:.0} and {:.0} ns, since it wakes a worker.",
            alone.0, alone.1, contended.0, contended.1, handed.0, handed.1
        ),
    }
}

/// The costs of some means, contended.
fn cost_figure(costs: &[MeansCost], name: &'static str, title: &str, means: &[Means], found: &str) -> Figure {
    let series = KINDS.iter().map(|&kind| {
        Series::measured(
            kind.name(),
            costs
                .iter()
                .filter(|cost| cost.kind == kind && cost.workers > 1 && means.contains(&cost.means))
                .map(|cost| Point::bar(cost.means.name(), &cost.times)),
        )
    });
    Figure {
        name,
        title: title.to_owned(),
        kind: FigureKind::Bars,
        x_label: String::new(),
        y_label: "ns per round".to_owned(),
        series: series.collect(),
        found: found.to_owned(),
    }
}

/// Two figures, since a means that wakes a worker costs a hundred times as much.
fn cost_figures(costs: &[MeansCost]) -> Vec<Figure> {
    let (quick, slow) = MEANS.split_at(3);
    vec![
        cost_figure(
            costs,
            "contended_cost",
            "Contended: locks and semaphores",
            quick,
            "Threads and processes use the same objects. A process-shared lock works the same for both.",
        ),
        cost_figure(
            costs,
            "waking_cost",
            "Contended: means that call the kernel or wake a worker",
            slow,
            "A record lock is a system call. A hand-over wakes a worker that sleeps.",
        ),
    ]
}

/// How long a waiter waits for a means whose holder is dead.
const MOURNING: Duration = Duration::from_millis(300);

/// The same for a waiter that must be started first.
const PATIENCE: Duration = Duration::from_secs(10);

/// The state of a means after its holder has died.
struct Loss {
    what: &'static str,
    kind: Kind,
    taken: Taken,
}

/// For each means, a holder dies while it holds it: a thread by ending, a process by SIGKILL.
fn deaths() -> Result<Vec<Loss>> {
    let mut losses = Vec::new();
    for kind in KINDS {
        let lock = Lock::new(LockKind::Plain)?;
        die(kind, &|| lock.lock())?;
        losses.push(Loss { what: "lock", kind, taken: lock.lock_within(MOURNING) });
        let robust = Lock::new(LockKind::Robust)?;
        die(kind, &|| robust.lock())?;
        let taken = robust.lock_within(MOURNING);
        if taken != Taken::No {
            robust.unlock();
        }
        losses.push(Loss { what: "robust lock", kind, taken });
        let semaphore = Semaphore::new(1)?;
        die(kind, &|| semaphore.acquire())?;
        losses.push(Loss { what: "semaphore", kind, taken: semaphore.acquire_within(MOURNING) });
        losses.push(Loss { what: "--max-reads", kind, taken: permit_after_death(kind)? });
    }
    Ok(losses)
}

/// Whether a permit to read is free after its holder has died.
fn permit_after_death(kind: Kind) -> Result<Taken> {
    let heartbeats = Heartbeats::new(2).context("mapping the heartbeats")?;
    let read_limits = ReadLimits::new(Some(1), Duration::ZERO).context("making permits")?;
    // As with workers, only the holder has its read limit open. A thread drops it when it ends, a killed process does
    // not.
    die(kind, &|| {
        let read_limit = read_limits.read_limit(0, &heartbeats.heartbeat(0));
        std::mem::forget(read_limit.as_ref().map(ReadLimit::enter));
        if kind == Kind::Processes {
            std::mem::forget(read_limit);
        }
    })?;
    let waiter = read_limits.read_limit(1, &heartbeats.heartbeat(1)).context("making a permit")?;
    let waiting =
        worker_group::start_process(|| assert!(waiter.enter().is_ok(), "the system has room for a lock"))?;
    Ok(if worker_group::ends_within(waiting, PATIENCE)? { Taken::Yes } else { Taken::No })
}

/// Starts a worker that takes the means and dies.
fn die(kind: Kind, take: &(dyn Fn() + Sync)) -> Result<()> {
    match kind {
        Kind::Threads => {
            thread::scope(|scope| scope.spawn(take).join()).map_err(|_| anyhow::anyhow!("a thread panicked"))
        }
        Kind::Processes => {
            let child = worker_group::start_process(|| {
                take();
                let _ = raise(Signal::SIGKILL);
            })?;
            match waitpid(child, None)? {
                WaitStatus::Signaled(..) => Ok(()),
                status => bail!("a process should have died by a signal: {status:?}"),
            }
        }
    }
}

fn death_table(losses: &[Loss]) -> Table {
    let told = |taken: Taken| match taken {
        Taken::Yes => "free again",
        Taken::AfterDeath => "free again, and the next holder learns of the death",
        Taken::No => "held for ever: waiters hang",
    };
    let rows =
        losses.iter().map(|loss| vec![loss.what.into(), loss.kind.name().into(), told(loss.taken).into()]);
    let of = |are_stuck: bool| {
        let of_processes = losses.iter().filter(|loss| loss.kind == Kind::Processes);
        let all = of_processes.filter(|loss| (loss.taken == Taken::No) == are_stuck);
        listed(&all.map(|loss| loss.what.to_owned()).collect::<Vec<_>>())
    };
    Table {
        name: "deaths",
        title: "After the death of the holder".to_owned(),
        columns: Column::all(&[
            ("means", "means", 0),
            ("mode", "between", 0),
            ("outcome", "after its holder has died", 0),
        ]),
        rows: rows.collect(),
        found: format!(
            "If the process that holds them is killed, these stay taken: {}. This makes a pool hang. These are free again: {}.",
            of(true),
            of(false)
        ),
    }
}

fn python_table(programs: &[(&Python, Vec<Cost>)]) -> Table {
    let rows = programs.iter().flat_map(|(program, costs)| {
        costs.iter().map(|cost| {
            vec![
                program.name().into(),
                cost.means.as_str().into(),
                cost.mode.as_str().into(),
                cost.workers.into(),
                cost.times.clone().into(),
            ]
        })
    });
    let told = programs.iter().map(|(program, costs)| {
        let contended = |means: Means| {
            KINDS.map(|kind| {
                let is_it = |cost: &&Cost| {
                    cost.means == means.name() && cost.mode == kind.name() && cost.workers > 1
                };
                costs.iter().find(is_it).map_or(f64::NAN, |cost| cost.times.median)
            })
        };
        let ([lock_of_threads, lock], [event_of_threads, event]) =
            (contended(Means::Lock), contended(Means::Event));
        format!(
            "In {} a lock contended by two costs {lock_of_threads:.0} ns between threads and {lock:.0} ns between processes, and a hand-over by an event {event_of_threads:.0} and {event:.0} ns.",
            program.name()
        )
    });
    Table {
        name: "python_costs",
        title: "The same in Python".to_owned(),
        columns: Column::all(&[
            ("program", "program", 0),
            ("means", "means", 0),
            ("mode", "between", 0),
            ("workers", "workers", 0),
            ("nanoseconds", "ns per round", 0),
        ]),
        rows: rows.collect(),
        found: told
            .chain([
                "A round takes and gives back, without the work above. The start of the workers is included."
                    .to_owned(),
            ])
            .collect::<Vec<_>>()
            .join(" "),
    }
}
