//! Suite `memory`: the peak memory of all processes of a run, by number of workers. Shared pages count once.

use crate::bench::{Bench, rotated};
use crate::comparison::{Comparison, Contender, all_modes};
use crate::process::Watch;
use crate::process_tree::{MemoryUse, memory_of_family};
use crate::results::{Claim, Column, Figure, FigureKind, Holds, Point, Series, Spread, Suite, Table};
use anyhow::Result;
use bowline_workers::counted::counted;
use nix::unistd::Pid;
use std::time::Duration;

/// The claims that this suite checks.
pub const CLAIMS: [&str; 1] = ["Processes take more memory than threads"];

/// Time between two samples.
const EVERY: Duration = Duration::from_millis(3);

/// The most runs until one is sampled.
const TRIES: u32 = 5;

fn contenders(bench: &Bench) -> Vec<Contender> {
    all_modes(&bench.workers_or(vec![1, 2, 4, 8, bench.cores]))
}

/// The number of runs of the suite.
pub fn steps(bench: &Bench) -> u64 {
    u64::from(bench.slow_runs) * contenders(bench).len() as u64
}

struct Row<'a> {
    contender: &'a Contender,
    /// Peak memory in MB.
    proportional: Spread,
    unique: Spread,
}

/// Runs the suite.
///
/// # Errors
/// If a run fails, or outputs differ.
pub fn run(bench: &Bench) -> Result<Suite> {
    let contenders = contenders(bench);
    let mut peaks = vec![Vec::new(); contenders.len()];
    for number in rotated(bench.slow_runs, contenders.len()) {
        peaks[number].push(peak(&bench.comparison, &contenders[number])?);
    }
    let spread = |peaks: &[MemoryUse], bytes: fn(&MemoryUse) -> u64| {
        Spread::of(peaks.iter().map(|peak| bytes(peak) as f64 / 1e6).collect())
    };
    let rows = contenders.iter().zip(&peaks).map(|(contender, peaks)| Row {
        contender,
        proportional: spread(peaks, |peak| peak.proportional),
        unique: spread(peaks, |peak| peak.unique),
    });
    let rows: Vec<_> = rows.collect();
    let about = format!(
        "The peak of all processes of a run together, sampled every {} ms, in {} of each variant. Proportional: a page that several processes share counts once in total, except for pages of the program itself (a few MB), which bench shares, too. Unique: pages that no other process has.",
        EVERY.as_millis(),
        counted(bench.slow_runs, "run", "runs")
    );
    let claim = claim(&rows);
    let figure = figure(&rows, &claim.why);
    Ok(Suite {
        name: "memory",
        title: "Memory",
        about,
        tables: vec![table(&rows, &claim.why)],
        figures: vec![figure],
        claims: vec![claim],
    })
}

/// The peak memory of a run, or none if several runs ended before the first sample.
fn peak(comparison: &Comparison, contender: &Contender) -> Result<MemoryUse> {
    let mut peak = MemoryUse::default();
    for _ in 0..TRIES {
        let mut look = |pid: Pid| {
            let now = memory_of_family(pid);
            peak.proportional = peak.proportional.max(now.proportional);
            peak.unique = peak.unique.max(now.unique);
        };
        comparison.run(contender, Some(Watch { every: EVERY, with: &mut look }))?;
        if peak.proportional > 0 {
            break;
        }
    }
    Ok(peak)
}

fn table(rows: &[Row], found: &str) -> Table {
    let one = rows[0].proportional.median;
    let cells = rows.iter().map(|row| {
        let workers = row.contender.workers;
        let more = (row.proportional.median - one) / f64::from(workers.max(2) - 1);
        vec![
            row.contender.mode.into(),
            u64::from(workers).into(),
            row.proportional.clone().into(),
            row.unique.clone().into(),
            if workers > 1 { more.into() } else { crate::results::Cell::Missing },
        ]
    });
    Table {
        name: "memory",
        title: "Peak, MB".to_owned(),
        columns: Column::all(&[
            ("mode", "mode", 0),
            ("workers", "workers", 0),
            ("proportional_megabytes", "proportional", 1),
            ("unique_megabytes", "unique", 1),
            ("megabytes_a_worker", "each further worker", 1),
        ]),
        rows: cells.collect(),
        found: found.to_owned(),
    }
}

fn of<'a>(rows: &'a [Row<'a>], mode: &'static str) -> impl Iterator<Item = &'a Row<'a>> {
    rows.iter().filter(move |row| row.contender.mode == mode)
}

fn claim(rows: &[Row]) -> Claim {
    let most = |mode| of(rows, mode).max_by_key(|row| row.contender.workers).unwrap_or(&rows[0]);
    let (threads, processes) = (most("threads"), most("processes"));
    let ratio = processes.proportional.median / threads.proportional.median;
    let holds = match ratio {
        // A run ended before the first sample.
        _ if !ratio.is_finite() || ratio == 0.0 => Holds::NotMeasured,
        1.25.. => Holds::Yes,
        1.05.. => Holds::Partly,
        _ => Holds::No,
    };
    let why = format!(
        "At their peak, {} processes take {:.0} MB, as many threads {:.0} MB, one worker {:.0} MB. Rows lie in shared maps, and a fork copies only pages that are written. The largest part is the lexicon of each worker, in either mode.",
        processes.contender.workers,
        processes.proportional.median,
        threads.proportional.median,
        rows[0].proportional.median
    );
    let brief = format!(
        "{} processes take {ratio:.2} times the memory of as many threads",
        processes.contender.workers
    );
    Claim { claim: CLAIMS[0], holds, why, brief: Some(brief) }
}

fn figure(rows: &[Row], found: &str) -> Figure {
    let point = |row: &Row, spread: &Spread| Point::at(row.contender.workers.into(), spread);
    Figure {
        name: "memory",
        title: "Peak memory of all processes".to_owned(),
        kind: FigureKind::Lines,
        x_label: "workers".to_owned(),
        y_label: "MB".to_owned(),
        series: vec![
            Series::measured("threads", of(rows, "threads").map(|row| point(row, &row.proportional))),
            Series::measured("processes", of(rows, "processes").map(|row| point(row, &row.proportional))),
            Series::measured("processes, unique", of(rows, "processes").map(|row| point(row, &row.unique))),
        ],
        found: found.to_owned(),
    }
}
