//! The loop of a worker: receive a task, perform it, report.
//!
//! The loop ends after the task `Leave`, or when the coordinator is gone. It is the same over the channels of a process
//! and of a thread.

use crate::protocol::{Report, Task};
use crate::worker::Worker;
use ipc_channel::IpcError;
use ipc_channel::ipc::{IpcReceiver, IpcSender};
use std::io::ErrorKind;
use std::sync::mpsc::{Receiver, Sender};

/// The worker's end of its two channels.
pub trait Link {
    /// The next task; `None` if the coordinator is gone.
    fn next(&mut self) -> Option<Task>;
    /// Sends a report; false if the coordinator is gone.
    fn report(&mut self, report: Report) -> bool;
}

/// The link between processes.
pub struct ProcessLink {
    /// The channel of tasks.
    pub tasks: IpcReceiver<Task>,
    /// The channel of reports.
    pub reports: IpcSender<Report>,
}

impl Link for ProcessLink {
    fn next(&mut self) -> Option<Task> {
        loop {
            match self.tasks.recv() {
                Ok(task) => return Some(task),
                // A signal was handled meanwhile, such as a stop and a continuation.
                Err(IpcError::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    fn report(&mut self, report: Report) -> bool {
        self.reports.send(report).is_ok()
    }
}

/// The link between threads. The reports of all workers go to one receiver, so each carries its worker's number.
pub struct ThreadLink {
    /// The worker's number.
    pub worker: u32,
    /// The channel of tasks.
    pub tasks: Receiver<Task>,
    /// The channel of reports.
    pub reports: Sender<(u32, Report)>,
}

impl Link for ThreadLink {
    fn next(&mut self) -> Option<Task> {
        self.tasks.recv().ok()
    }

    fn report(&mut self, report: Report) -> bool {
        self.reports.send((self.worker, report)).is_ok()
    }
}

/// Serves tasks until `Leave`, or until the coordinator is gone.
pub fn serve(mut worker: Worker, link: &mut impl Link) {
    let _noting = worker.note_distress();
    while let Some(task) = link.next() {
        let report = worker.perform(task);
        if !link.report(report) || matches!(report, Report::Left(_)) {
            return;
        }
    }
}
