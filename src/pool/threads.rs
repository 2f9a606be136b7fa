//! A thread a worker, over the standard library's channels. Kept for the comparison with processes: same engine,
//! same tasks, private state per worker; a crash of one is the end of all.

use super::worker_pool::{End, PoolError, PoolEvent, WorkerId, WorkerPool};
use bowline_workers::protocol::{Report, Task};
use bowline_workers::serve::{ThreadLink, serve};
use bowline_workers::worker::Worker;
use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a program lets the pool do to the whole process. A library that lives in another program gives none of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadGuards {
    /// From then on a thread that crashes stands still and leaves word of it, so that the run can name its document.
    pub hold_crashed: Option<fn() -> io::Result<()>>,
    /// Limits the private memory of the process, in bytes beyond what it holds, or lifts the limit.
    pub limit_memory: Option<fn(Option<u64>) -> io::Result<()>>,
}

/// The pool of the threaded mode.
pub struct Threads {
    guards: ThreadGuards,
    workers: BTreeMap<WorkerId, (Sender<Task>, JoinHandle<()>)>,
    reports: Receiver<(WorkerId, Report)>,
    reporter: Sender<(WorkerId, Report)>,
    ends: Receiver<WorkerId>,
    ender: Sender<WorkerId>,
    /// Workers at a time.
    most: u64,
    /// Bytes that all threads together may take now.
    limit: Option<u64>,
}

impl Threads {
    /// A pool without workers, of whom there will be up to `workers` at a time.
    ///
    /// # Errors
    /// If crashes can't be watched for.
    pub fn new(workers: usize, guards: ThreadGuards) -> Result<Self, PoolError> {
        guards
            .hold_crashed
            .map_or(Ok(()), |hold| hold())
            .map_err(|source| PoolError::System { what: "watching for crashes", source })?;
        let (reporter, reports) = channel();
        let (ender, ends) = channel();
        Ok(Threads {
            guards,
            workers: BTreeMap::new(),
            reports,
            reporter,
            ends,
            ender,
            most: workers as u64,
            limit: None,
        })
    }

    /// Limits the memory of all threads together: there is no limit of one's own.
    fn limit_memory(&mut self, of_a_worker: u64) -> Result<(), PoolError> {
        let limit = Some(of_a_worker.saturating_mul(self.most));
        if let (Some(set), true) = (self.guards.limit_memory, self.limit != limit) {
            set(limit).map_err(|source| PoolError::System { what: "limiting memory", source })?;
            self.limit = limit;
        }
        Ok(())
    }

    /// Waits for a thread that has said its last word, so that nothing of it is left.
    fn join(&mut self, id: WorkerId) {
        if let Some((_, thread)) = self.workers.remove(&id) {
            // It catches its own panics.
            let _ = thread.join();
        }
    }
}

impl WorkerPool for Threads {
    fn start(&mut self, id: WorkerId, worker: Worker) -> Result<(), PoolError> {
        self.limit_memory(worker.memory())?;
        let (sender, tasks) = channel();
        let mut link = ThreadLink { worker: id, tasks, reports: self.reporter.clone() };
        let ender = self.ender.clone();
        let body = move || {
            if catch_unwind(AssertUnwindSafe(|| serve(worker, &mut link))).is_err() {
                // If the coordinator is gone, the report is not needed.
                let _ = ender.send(id);
            }
        };
        let thread = std::thread::Builder::new()
            .name(format!("worker {id}"))
            .spawn(body)
            .map_err(PoolError::NoWorker)?;
        self.workers.insert(id, (sender, thread));
        Ok(())
    }

    fn send(&mut self, id: WorkerId, task: Task) {
        if let Some((sender, _)) = self.workers.get(&id) {
            // A worker that has ended takes no task: its end is in the other channel.
            let _ = sender.send(task);
        }
    }

    fn wait(&mut self, patience: Duration) -> Result<Vec<PoolEvent>, PoolError> {
        // The pool holds a sender of its own: the channel is never closed, and an error means that time is up.
        let first = self.reports.recv_timeout(patience).ok();
        let reports: Vec<_> = first.into_iter().chain(self.reports.try_iter()).collect();
        let ends: Vec<_> = self.ends.try_iter().collect();
        let left = reports.iter().filter(|(_, report)| matches!(report, Report::Left(_))).map(|&(id, _)| id);
        for id in left.chain(ends.iter().copied()) {
            self.join(id);
        }
        let reported = reports.into_iter().map(|(id, report)| PoolEvent::Reported(id, report));
        let ended = ends.into_iter().map(|id| PoolEvent::Ended(id, End::Exited(101)));
        Ok(reported.chain(ended).collect())
    }

    fn is_stopped(&mut self, _id: WorkerId) -> bool {
        false
    }

    fn holds_crashed(&self) -> bool {
        self.guards.hold_crashed.is_some()
    }

    fn end(&mut self, _id: WorkerId) -> Result<(), PoolError> {
        Err(PoolError::CannotEnd)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let (Some(set), Some(_)) = (self.guards.limit_memory, self.limit) {
            // What comes after the workers is not theirs. If it fails, the limit stays.
            let _ = set(None);
        }
    }
}
