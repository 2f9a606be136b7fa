//! The supervisor: a fixed number of slots with one worker each. It keeps the workers busy until the work is done.
//!
//! Owns the workers in the slots and their tasks in flight. It starts workers, hands out tasks, and detects deaths and
//! workers that make no progress. The [`Work`] defines the tasks and decides what a death means.

use super::RunError;
use crate::event::Event;
use crate::pool::{End, PoolError, PoolEvent, WorkerId, WorkerPool};
use bowline_workers::heartbeat::{Crash, Heartbeats};
use bowline_workers::protocol::{IN_FLIGHT, Report, Task};
use bowline_workers::worker::Worker;
use nix::sys::signal::Signal;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

/// The longest wait for a report before clocks and signals are checked.
const PATIENCE: Duration = Duration::from_millis(50);

/// A longer time between two checks of the clocks means that the coordinator itself was stopped.
const SUSPICIOUS_GAP: Duration = Duration::from_secs(1);

/// The work of a supervisor.
pub trait Work {
    /// A worker for a slot.
    fn new_worker(&mut self, slot: usize) -> Result<Worker, RunError>;
    /// Whether there is a task to hand out.
    fn is_pending(&self) -> bool;
    /// The next task. A worker that is `fresh` has done nothing yet, and has nothing else to do.
    fn next(&mut self, fresh: bool) -> Option<Job>;
    /// A task is done.
    fn reported(&mut self, slot: usize, task: Task, report: Report) -> Result<(), RunError>;
    /// Tasks that were handed out and never begun.
    fn returned(&mut self, tasks: Vec<Task>);
    /// The worker in a slot has died with these tasks in flight, in order.
    fn lost(&mut self, slot: usize, tasks: Vec<Task>, death: Death) -> Result<(), RunError>;
    /// How much is done, for progress: units and bytes.
    fn done(&self) -> (u64, u64);
    /// The time at which the next task that is held back becomes pending, if there is such a task.
    fn due(&self) -> Option<Instant> {
        None
    }
    /// Makes the tasks pending that were held back until `now`.
    fn release(&mut self, _now: Instant) {}
}

/// A task to hand out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Job {
    /// The task.
    pub task: Task,
    /// Whether its worker gets no other task until it has reported.
    pub alone: bool,
}

/// How a worker was lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Death {
    /// What ended it.
    pub cause: DeathCause,
    /// Whether it had been fresh and had nothing else to do.
    pub alone: bool,
    /// The time at which the coordinator detected it.
    pub at: Instant,
}

/// What ended a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeathCause {
    /// A signal that the worker itself raised.
    Signal(i32),
    /// It exited with this code.
    Exit(i32),
    /// It made no progress for too long and was ended.
    TimedOut,
    /// It asked for more memory than its limit.
    OutOfMemory,
    /// SIGKILL from another process, not for lack of memory.
    Outside,
}

/// The surroundings of a supervisor.
pub struct Supervision<'a> {
    /// The pool of workers.
    pub pool: &'a mut dyn WorkerPool,
    /// Number of slots.
    pub workers: usize,
    /// The longest time that a worker may make no progress.
    pub patience: Duration,
    /// The number of a signal that asked the run to end; 0 for none.
    pub interrupted: Arc<AtomicUsize>,
    /// Receives the events of the run.
    pub events: &'a mut dyn FnMut(Event),
    /// The clock that time limits and delays are measured by.
    pub now: &'a dyn Fn() -> Instant,
    /// Counts the processes that the kernel has killed for lack of memory.
    pub kills_for_memory: &'a dyn Fn() -> u64,
    /// Lines of the workers.
    pub heartbeats: Heartbeats,
    /// Number of workers started so far, in the whole run.
    pub started: WorkerId,
    /// Time that was taken to start them.
    pub starting: Duration,
    /// Messages sent to and received from them.
    pub messages: u64,
}

impl Supervision<'_> {
    /// Starts a worker and returns its number.
    fn start(&mut self, worker: Worker) -> Result<WorkerId, PoolError> {
        let (id, began) = (self.started, (self.now)());
        self.pool.start(id, worker)?;
        self.starting += (self.now)().saturating_duration_since(began);
        self.started += 1;
        Ok(id)
    }

    fn send(&mut self, worker: WorkerId, task: Task) {
        self.pool.send(worker, task);
        self.messages += 1;
    }

    /// What happened, after waiting a little for it, and not beyond `due`.
    fn wait(&mut self, due: Option<Instant>) -> Result<Vec<PoolEvent>, PoolError> {
        let left = due.map(|due| due.saturating_duration_since((self.now)()));
        let events = self.pool.wait(left.map_or(PATIENCE, |left| left.min(PATIENCE)))?;
        self.messages +=
            events.iter().filter(|event| matches!(event, PoolEvent::Reported(..))).count() as u64;
        Ok(events)
    }
}

struct WorkerSlot {
    worker: Option<WorkerId>,
    in_flight: VecDeque<Task>,
    /// The worker has been given nothing yet.
    fresh: bool,
    /// The task in flight is the worker's first and only one.
    alone: bool,
    /// The supervisor ended it because it made no progress.
    timed_out: bool,
    /// It was ended, for whatever reason.
    ended: bool,
    steps: u64,
    moved: Instant,
}

/// The workers in their slots.
pub struct Supervisor {
    slots: Vec<WorkerSlot>,
    /// The time of the last check of the clocks.
    looked: Instant,
    /// Processes that the kernel had killed for want of memory when it was last asked.
    killed_for_memory: u64,
}

impl Supervisor {
    /// Empty slots, in the number that `supervision` sets.
    pub fn new(supervision: &Supervision) -> Self {
        let now = (supervision.now)();
        let slot = || WorkerSlot {
            worker: None,
            in_flight: VecDeque::new(),
            fresh: true,
            alone: false,
            timed_out: false,
            ended: false,
            steps: 0,
            moved: now,
        };
        let slots = (0..supervision.workers).map(|_| slot()).collect();
        Supervisor { slots, looked: now, killed_for_memory: (supervision.kills_for_memory)() }
    }

    /// Does all of `work`.
    ///
    /// # Errors
    /// What the work makes of a report or a death, the pool's failures, and signals.
    pub fn run(&mut self, supervision: &mut Supervision, work: &mut dyn Work) -> Result<(), RunError> {
        loop {
            work.release((supervision.now)());
            // Each worker gets one task before any gets a second: there may be few tasks.
            for in_flight in 1..=IN_FLIGHT {
                for slot in 0..self.slots.len() {
                    self.hand_out(slot, in_flight, supervision, work)?;
                }
            }
            let due = work.due();
            if due.is_none() && self.slots.iter().all(|slot| slot.in_flight.is_empty()) {
                return Ok(());
            }
            for event in supervision.wait(due)? {
                self.hear(event, supervision, work)?;
            }
            self.look_at_clocks(supervision)?;
            let (units, bytes) = work.done();
            (supervision.events)(Event::Advanced(units, bytes));
            RunError::if_interrupted(&supervision.interrupted)?;
        }
    }

    /// Asks all workers to exit and collects their last reports. The workers may exit a little later.
    ///
    /// # Errors
    /// The pool's failures.
    pub fn shut_down(&mut self, supervision: &mut Supervision) -> Result<(), RunError> {
        for slot in &mut self.slots {
            if let Some(worker) = slot.worker {
                supervision.send(worker, Task::Leave);
                slot.in_flight.push_back(Task::Leave);
                slot.moved = (supervision.now)();
            }
        }
        while self.slots.iter().any(|slot| slot.worker.is_some()) {
            for event in supervision.wait(None)? {
                let (worker, usage) = match event {
                    PoolEvent::Reported(worker, Report::Left(usage)) => (worker, Some(usage)),
                    PoolEvent::Reported(..) => continue,
                    PoolEvent::Ended(worker, _) => (worker, None),
                };
                let Some(slot) = self.desk_of(worker) else { continue };
                self.slots[slot].worker = None;
                self.slots[slot].in_flight.clear();
                if let Some(usage) = usage {
                    (supervision.events)(Event::WorkerLeft(usage));
                }
            }
            self.look_at_clocks(supervision)?;
            RunError::if_interrupted(&supervision.interrupted)?;
        }
        Ok(())
    }

    fn desk_of(&self, worker: WorkerId) -> Option<usize> {
        self.slots.iter().position(|slot| slot.worker == Some(worker))
    }

    /// Gives the worker in a slot tasks until it has `most`.
    fn hand_out(
        &mut self,
        index: usize,
        most: usize,
        supervision: &mut Supervision,
        work: &mut dyn Work,
    ) -> Result<(), RunError> {
        let is_full = self.slots.iter().all(|slot| slot.worker.is_some());
        let slot = &mut self.slots[index];
        while slot.in_flight.len() < most && !slot.alone {
            if slot.worker.is_none() {
                if !work.is_pending() {
                    return Ok(());
                }
                slot.worker = Some(supervision.start(work.new_worker(index)?)?);
                slot.fresh = true;
                slot.timed_out = false;
                slot.ended = false;
            }
            let Some(worker) = slot.worker else { return Ok(()) };
            let Some(job) = work.next(slot.fresh) else {
                if is_full && !slot.fresh && slot.in_flight.is_empty() && work.is_pending() {
                    // The remaining tasks need a fresh worker, and no slot is free for one.
                    supervision.send(worker, Task::Leave);
                    slot.worker = None;
                    continue;
                }
                return Ok(());
            };
            if slot.in_flight.is_empty() {
                slot.moved = (supervision.now)();
            }
            supervision.send(worker, job.task);
            slot.in_flight.push_back(job.task);
            slot.fresh = false;
            slot.alone = job.alone;
        }
        Ok(())
    }

    fn hear(
        &mut self,
        event: PoolEvent,
        supervision: &mut Supervision,
        work: &mut dyn Work,
    ) -> Result<(), RunError> {
        let (PoolEvent::Reported(worker, _) | PoolEvent::Ended(worker, _)) = event;
        if let PoolEvent::Reported(_, Report::Left(usage)) = event {
            (supervision.events)(Event::WorkerLeft(usage));
        }
        // This worker was asked to exit, so its end has no further effect.
        let Some(index) = self.desk_of(worker) else { return Ok(()) };
        let slot = &mut self.slots[index];
        match event {
            PoolEvent::Reported(_, report) => {
                let Some(task) = slot.in_flight.pop_front() else { return Ok(()) };
                slot.alone = false;
                slot.moved = (supervision.now)();
                if matches!(report, Report::Retired { .. }) {
                    supervision.send(worker, Task::Leave);
                    slot.worker = None;
                    work.returned(slot.in_flight.drain(..).collect());
                }
                work.reported(index, task, report)
            }
            PoolEvent::Ended(_, end) => {
                let cause = self.cause(index, end, supervision);
                let slot = &mut self.slots[index];
                let death = Death { cause, alone: std::mem::take(&mut slot.alone), at: (supervision.now)() };
                slot.worker = None;
                let tasks = slot.in_flight.drain(..).collect();
                (supervision.events)(Event::WorkerLost);
                work.lost(index, tasks, death)
            }
        }
    }

    /// The cause of the end of the worker in a slot.
    fn cause(&mut self, index: usize, end: End, supervision: &Supervision) -> DeathCause {
        let slot = &self.slots[index];
        let crash = supervision.heartbeats.position(index).crash;
        match end {
            _ if slot.timed_out => DeathCause::TimedOut,
            End::Signalled(signal)
                if crash == Some(Crash::OutOfMemory) && signal == Signal::SIGABRT as i32 =>
            {
                DeathCause::OutOfMemory
            }
            End::Signalled(signal) if signal == Signal::SIGKILL as i32 => {
                let kills = (supervision.kills_for_memory)();
                let before = std::mem::replace(&mut self.killed_for_memory, kills);
                match kills > before && !slot.ended {
                    true => DeathCause::OutOfMemory,
                    false => DeathCause::Outside,
                }
            }
            End::Signalled(signal) => DeathCause::Signal(signal),
            End::Exited(code) => DeathCause::Exit(code),
        }
    }

    /// Ends every worker that has made no progress for too long.
    fn look_at_clocks(&mut self, supervision: &mut Supervision) -> Result<(), RunError> {
        let now = (supervision.now)();
        let gap = now.saturating_duration_since(self.looked);
        self.looked = now;
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if gap > SUSPICIOUS_GAP {
                // The whole job was stopped: no time has passed for its workers.
                slot.moved = now.min(slot.moved + gap);
            }
            let (Some(worker), false, false) = (slot.worker, slot.ended, slot.in_flight.is_empty()) else {
                continue;
            };
            let position = supervision.heartbeats.position(index);
            if supervision.pool.holds_crashed()
                && let Some(crash) = position.crash
            {
                return Err(RunError::Crashed(crash, position.document));
            }
            if position.steps != slot.steps {
                slot.steps = position.steps;
                slot.moved = now;
            } else if now.saturating_duration_since(slot.moved) > supervision.patience {
                // If another process has stopped the worker, its document is not at fault. A worker without a document may work
                // on something large: it doesn't hang.
                let is_stopped = supervision.pool.is_stopped(worker);
                if !is_stopped && position.document.is_none() {
                    continue;
                }
                slot.timed_out = !is_stopped;
                slot.ended = true;
                match supervision.pool.end(worker) {
                    Err(PoolError::CannotEnd) => return Err(RunError::Stuck(position.document)),
                    ended => ended?,
                }
            }
        }
        Ok(())
    }
}
