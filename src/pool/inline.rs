//! One worker, performed by whoever waits for it: no process, no thread, no channel. The sequential base line.

use super::{PoolError, PoolEvent, WorkerId, WorkerPool};
use bowline_workers::protocol::{Report, Task};
use bowline_workers::worker::Worker;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The pool of the inline mode.
#[derive(Default)]
pub struct Inline {
    workers: BTreeMap<WorkerId, Worker>,
    tasks: VecDeque<(WorkerId, Task)>,
}

impl WorkerPool for Inline {
    fn start(&mut self, id: WorkerId, worker: Worker) -> Result<(), PoolError> {
        self.workers.insert(id, worker);
        Ok(())
    }

    fn send(&mut self, id: WorkerId, task: Task) {
        self.tasks.push_back((id, task));
    }

    fn wait(&mut self, _patience: Duration) -> Result<Vec<PoolEvent>, PoolError> {
        let Some((id, task)) = self.tasks.pop_front() else { return Ok(Vec::new()) };
        let Some(worker) = self.workers.get_mut(&id) else { return Ok(Vec::new()) };
        let report = worker.perform(task);
        if matches!(report, Report::Left(_)) {
            self.workers.remove(&id);
        }
        Ok(vec![PoolEvent::Reported(id, report)])
    }

    fn is_stopped(&mut self, _id: WorkerId) -> bool {
        false
    }

    fn end(&mut self, _id: WorkerId) -> Result<(), PoolError> {
        Err(PoolError::CannotEnd)
    }
}
