//! The second half of a run: a new generation of workers, which inherits every segment, sorts the terms and writes
//! the rows. All of its tasks may be done twice without harm, so a dead worker's are simply done again.

use super::crew::{Crew, Death, DeathCause, Job, Supervision, Work};
use super::merge::{Vocabulary, columns, merge};
use super::tally::Tallied;
use super::{Phase, RunError, RunEvent, system};
use bowline_workers::failure::Failure;
use bowline_workers::mapped::Table;
use bowline_workers::plan::{Container, Plan, SegmentPlan, SortedTerms, ValueSettings};
use bowline_workers::protocol::{Layout, Report, Task};
use bowline_workers::recorder::Recorder;
use bowline_workers::segment::{Record, Segment};
use bowline_workers::worker::Worker;
use crc32fast::Hasher;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Cells that a task writes, about.
const TASK_CELLS: u64 = 128 << 10;

/// How often the same task may cost its worker.
const MOST_ATTEMPTS: u32 = 20;

/// The second half of a run.
pub struct Finish {
    plan: Arc<Plan>,
    condemned: BTreeMap<usize, Failure>,
    crew: Crew,
}

/// What the merge has found.
#[derive(Debug)]
pub struct Merged {
    /// The terms; none for hashed features.
    pub vocabulary: Vocabulary,
    /// Stored cells of the matrix.
    pub nonzeros: u64,
}

/// What was written.
#[derive(Clone, Copy, Debug)]
pub struct Emitted {
    /// CRC-32 of all column indices.
    pub indices: u32,
    /// CRC-32 of all values.
    pub data: u32,
}

/// A document as it turned out.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Bytes of its file.
    pub bytes: u64,
    /// Terms counted.
    pub tokens: u64,
    /// Why it has no row, if so.
    pub failure: Option<Failure>,
}

impl Finish {
    /// Prepares the second half: `matrix` is the file that rows will be written to.
    ///
    /// # Errors
    /// If the system has no memory or descriptor for a map.
    pub fn new(
        tallied: Tallied,
        values: ValueSettings,
        container: Container,
        matrix: File,
        supervision: &Supervision,
    ) -> Result<Self, RunError> {
        let segments = tallied.segments.into_iter().map(segment_plan).collect::<Result<Vec<_>, _>>()?;
        let indptr = Table::new(tallied.places.len() + 1).map_err(system("mapping the row offsets"))?;
        let plan = Plan { segments, places: tallied.places, indptr, values, matrix, container };
        supervision.recorder.clear();
        Ok(Finish { plan: Arc::new(plan), condemned: tallied.condemned, crew: Crew::new(supervision) })
    }

    /// Sorts and merges the terms into a vocabulary (none if `hashed`), and lays out the rows.
    ///
    /// # Errors
    /// Whatever ends the run as a whole.
    pub fn merge(&mut self, hashed: bool, supervision: &mut Supervision) -> Result<Merged, RunError> {
        let segments = self.plan.segments.len() as u64;
        (supervision.events)(RunEvent::PhaseBegan(Phase::Merge, segments));
        let mut vocabulary = Vocabulary::default();
        if !hashed {
            let tasks = (0..segments as u32).map(|segment| Task::Sort { segment });
            let reports = self.perform(tasks.collect(), supervision)?;
            let mut counts = vec![0; segments as usize];
            for (task, report) in reports {
                match (task, report) {
                    (Task::Sort { segment }, Report::Sorted { terms }) => counts[segment as usize] = terms,
                    (task, report) => return Err(broken(task, report)),
                }
            }
            vocabulary = merge(&self.plan.segments, &counts)?;
            // Where every document has failed, the list of the causes is the result.
            if vocabulary.is_empty() && self.outcomes().any(|outcome| outcome.failure.is_none()) {
                return Err(RunError::EmptyVocabulary);
            }
        }
        let mut nonzeros = 0;
        for row in 0..self.plan.places.len() {
            self.plan.indptr[row].store(nonzeros, Ordering::Relaxed);
            nonzeros += self.plan.record(row).map_or(0, |record| record.nonzeros() as u64);
        }
        self.plan.indptr[self.plan.places.len()].store(nonzeros, Ordering::Relaxed);
        Ok(Merged { vocabulary, nonzeros })
    }

    /// Writes all rows where `layout` says, and sends the workers home.
    ///
    /// # Errors
    /// Whatever ends the run as a whole.
    pub fn emit(&mut self, layout: Layout, supervision: &mut Supervision) -> Result<Emitted, RunError> {
        (supervision.events)(RunEvent::PhaseBegan(Phase::Emit, self.plan.places.len() as u64));
        let mut reports = self.perform(self.emit_tasks(layout).collect(), supervision)?;
        self.crew.dismiss(supervision)?;
        reports.sort_unstable_by_key(|(task, _)| match task {
            Task::Emit { first, .. } => *first,
            _ => 0,
        });
        let (mut indices, mut data) = (Hasher::new(), Hasher::new());
        let index_size = if layout.wide { 8 } else { 4 };
        for (task, report) in reports {
            let (Task::Emit { first, last, .. }, Report::Emitted { indices: index_sum, data: data_sum }) =
                (task, report)
            else {
                return Err(broken(task, report));
            };
            let offset = |row: u64| self.plan.indptr[row as usize].load(Ordering::Relaxed);
            let cells = offset(last) - offset(first);
            indices.combine(&Hasher::new_with_initial_len(index_sum, cells * index_size));
            data.combine(&Hasher::new_with_initial_len(data_sum, cells * self.plan.values.dtype.size()));
        }
        Ok(Emitted { indices: indices.finalize(), data: data.finalize() })
    }

    /// First stored cell of each row, and behind the last row the number of all.
    pub fn indptr(&self) -> impl ExactSizeIterator<Item = u64> {
        self.plan.indptr.iter().map(|offset| offset.load(Ordering::Relaxed))
    }

    /// Each document as it turned out, in row order.
    pub fn outcomes(&self) -> impl Iterator<Item = Outcome> {
        (0..self.plan.places.len()).map(|row| match self.plan.record(row) {
            Some(record) => {
                Outcome { bytes: record.source().bytes, tokens: record.tokens(), failure: record.failure() }
            }
            None => Outcome { bytes: 0, tokens: 0, failure: self.condemned.get(&row).copied() },
        })
    }

    /// The segments, which hold the bytes of the vocabulary's terms.
    pub fn segments(&self) -> &[SegmentPlan] {
        &self.plan.segments
    }

    /// Rows cut so that each task writes about as many cells.
    fn emit_tasks(&self, layout: Layout) -> impl Iterator<Item = Task> {
        let rows = self.plan.places.len() as u64;
        let cells = move |first: u64, last: u64| match self.plan.container {
            Container::Sparse => {
                let offset = |row: u64| self.plan.indptr[row as usize].load(Ordering::Relaxed);
                offset(last) - offset(first)
            }
            Container::Dense => (last - first) * layout.columns,
        };
        let mut first = 0;
        std::iter::from_fn(move || {
            let mut last = (first < rows).then_some(first + 1)?;
            while last < rows && last - first < 4096 && cells(first, last) < TASK_CELLS {
                last += 1;
            }
            let task = Task::Emit { first, last, layout };
            first = last;
            Some(task)
        })
    }

    fn perform(
        &mut self,
        tasks: VecDeque<Task>,
        supervision: &mut Supervision,
    ) -> Result<Vec<(Task, Report)>, RunError> {
        let mut work = FinishWork {
            plan: self.plan.clone(),
            recorder: supervision.recorder.clone(),
            queue: tasks,
            reports: Vec::new(),
            attempts: 0,
        };
        self.crew.run(supervision, &mut work)?;
        Ok(work.reports)
    }
}

fn broken(task: Task, report: Report) -> RunError {
    match report {
        Report::Broken { errno } if errno != 0 => {
            RunError::System { what: "writing the matrix", source: std::io::Error::from_raw_os_error(errno) }
        }
        report => RunError::Broken(format!("{report:?} to {task:?}")),
    }
}

fn segment_plan(segment: Segment) -> Result<SegmentPlan, RunError> {
    let ids = segment.records().map(|record: Record| record.new_terms() as usize).sum();
    let sorted = SortedTerms::new(ids).map_err(system("mapping a table of terms"))?;
    Ok(SegmentPlan { segment, sorted, columns: columns(ids)? })
}

/// Tasks of which each may be done by any worker, and again.
struct FinishWork {
    plan: Arc<Plan>,
    recorder: Recorder,
    queue: VecDeque<Task>,
    reports: Vec<(Task, Report)>,
    attempts: u32,
}

impl Work for FinishWork {
    fn hire(&mut self, desk: usize) -> Result<Worker, RunError> {
        Ok(Worker::finishing(self.plan.clone(), self.recorder.pen(desk)))
    }

    fn is_pending(&self) -> bool {
        !self.queue.is_empty()
    }

    fn next(&mut self, _fresh: bool) -> Option<Job> {
        self.queue.pop_front().map(|task| Job { task, alone: false })
    }

    fn reported(&mut self, _desk: usize, task: Task, report: Report) -> Result<(), RunError> {
        if matches!(report, Report::Broken { .. }) {
            return Err(broken(task, report));
        }
        self.reports.push((task, report));
        Ok(())
    }

    fn returned(&mut self, tasks: Vec<Task>) {
        tasks.into_iter().rev().for_each(|task| self.queue.push_front(task));
    }

    fn lost(&mut self, _desk: usize, tasks: Vec<Task>, death: Death) -> Result<(), RunError> {
        self.attempts += 1;
        match death.cause {
            _ if self.attempts <= MOST_ATTEMPTS => {
                self.returned(tasks);
                Ok(())
            }
            DeathCause::Outside => Err(RunError::KilledAgain(MOST_ATTEMPTS)),
            cause => Err(RunError::Broken(format!("{cause:?} while finishing"))),
        }
    }

    fn done(&self) -> (u64, u64) {
        let rows = |(task, _): &(Task, Report)| match task {
            Task::Emit { first, last, .. } => last - first,
            _ => 1,
        };
        (self.reports.iter().map(rows).sum(), 0)
    }
}
