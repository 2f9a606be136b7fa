//! `--report`: the times and resources of a run, as JSON. Times and machine-dependent figures go here, never into the output.

use crate::event::{Event, Phase};
use crate::job::Summary;
use bowline_workers::protocol::Usage;
use serde::Serialize;
use std::time::Instant;

/// A run's report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of the program.
    pub bowline: &'static str,
    /// The mode of the workers.
    pub mode: String,
    /// Desks.
    pub workers: usize,
    /// Seconds of each phase, in order.
    pub phases: Vec<PhaseTime>,
    /// Seconds in all.
    pub seconds: f64,
    /// Rows.
    pub documents: u64,
    /// Rows whose document failed.
    pub failed: u64,
    /// Bytes of documents.
    pub bytes: u64,
    /// Terms counted.
    pub tokens: u64,
    /// Those of them that a given vocabulary does not have.
    pub unknown: u64,
    /// Columns.
    pub columns: u64,
    /// Stored cells.
    pub nonzeros: u64,
    /// Documents that an earlier run has counted.
    pub resumed: u64,
    /// Workers that died and whose work was done again.
    pub workers_lost: u64,
    /// Workers that were started, in both halves of the run.
    pub workers_started: u64,
    /// Seconds that it took the coordinator to start them.
    pub start_seconds: f64,
    /// Messages between the coordinator and workers, both ways.
    pub messages: u64,
    /// Bytes of rows, of tables and of a copy of standard input that lay in scratch files.
    pub scratch_bytes: u64,
    /// Bytes of rows and tables, in memory and in scratch files.
    pub map_bytes: u64,
    /// What kept workers from doing more than their work.
    pub sandbox: &'static str,
    /// What each worker used that left in peace.
    pub usage: Vec<Usage>,
}

/// A phase and its time.
#[derive(Clone, Debug, Serialize)]
pub struct PhaseTime {
    /// Its name.
    pub phase: &'static str,
    /// Its seconds.
    pub seconds: f64,
}

impl Report {
    /// The report of a run in the mode of that name, which is over.
    pub fn new(mode: String, summary: &Summary, mut stopwatch: Stopwatch) -> Self {
        stopwatch.lap("");
        let counts = &summary.counts;
        Report {
            bowline: env!("CARGO_PKG_VERSION"),
            mode,
            workers: summary.workers,
            seconds: stopwatch.seconds(),
            documents: counts.documents,
            failed: counts.failed,
            bytes: summary.bytes,
            tokens: counts.tokens,
            unknown: counts.unknown,
            columns: counts.columns,
            nonzeros: counts.nonzeros,
            resumed: summary.resumed,
            workers_lost: stopwatch.lost,
            workers_started: summary.workers_started,
            start_seconds: summary.starting.as_secs_f64(),
            messages: summary.messages,
            scratch_bytes: summary.scratch_bytes,
            map_bytes: summary.map_bytes,
            sandbox: summary.sandbox,
            usage: stopwatch.usage,
            phases: stopwatch.phases,
        }
    }
}

/// Gathers a report while the run goes on.
pub struct Stopwatch {
    began: Instant,
    lap: Instant,
    phase: &'static str,
    /// Phases that are over.
    pub phases: Vec<PhaseTime>,
    /// Workers that died.
    pub lost: u64,
    /// What workers used.
    pub usage: Vec<Usage>,
}

impl Stopwatch {
    /// Starts with the walk.
    pub fn start() -> Self {
        let now = Instant::now();
        Stopwatch { began: now, lap: now, phase: "walk", phases: Vec::new(), lost: 0, usage: Vec::new() }
    }

    /// Takes note of an event.
    pub fn on_event(&mut self, event: Event) {
        match event {
            Event::PhaseBegan(Phase::Walk, _) => {}
            Event::PhaseBegan(phase, _) => self.lap(phase.name()),
            Event::WorkerLost => self.lost += 1,
            Event::WorkerLeft(usage) => self.usage.push(usage),
            Event::TotalBytes(_) | Event::Advanced(..) | Event::Notice(_) => {}
        }
    }

    /// Ends the current phase and begins another.
    pub fn lap(&mut self, next: &'static str) {
        let now = Instant::now();
        let seconds = now.duration_since(self.lap).as_secs_f64();
        self.phases.push(PhaseTime { phase: self.phase, seconds });
        self.phase = next;
        self.lap = now;
    }

    /// Seconds of all phases that are over.
    pub fn seconds(&self) -> f64 {
        self.lap.duration_since(self.began).as_secs_f64()
    }
}
