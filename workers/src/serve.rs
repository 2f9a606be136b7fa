//! A worker's life: take a task, perform it, report, until it is told to leave or nobody is there any more. The
//! same over a process's channels and a thread's.

use crate::protocol::{Report, Task};
use crate::worker::Worker;
use ipc_channel::IpcError;
use ipc_channel::ipc::{IpcReceiver, IpcSender};
use std::io::ErrorKind;
use std::sync::mpsc::{Receiver, Sender};

/// The worker's end of its two channels.
pub trait Link {
    /// The next task; nothing if the coordinator is gone.
    fn next(&mut self) -> Option<Task>;
    /// Sends a report; false if the coordinator is gone.
    fn report(&mut self, report: Report) -> bool;
}

/// Between processes.
pub struct ProcessLink {
    /// Where tasks come from.
    pub tasks: IpcReceiver<Task>,
    /// Where reports go to.
    pub reports: IpcSender<Report>,
}

impl Link for ProcessLink {
    fn next(&mut self) -> Option<Task> {
        loop {
            match self.tasks.recv() {
                Ok(task) => return Some(task),
                // A signal that is handled elsewhere, such as a stop and a continuation.
                Err(IpcError::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    fn report(&mut self, report: Report) -> bool {
        self.reports.send(report).is_ok()
    }
}

/// Between threads. Reports of all workers go to one receiver, so each bears its worker's number.
pub struct ThreadLink {
    /// The worker's number.
    pub worker: u32,
    /// Where tasks come from.
    pub tasks: Receiver<Task>,
    /// Where reports go to.
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

/// Serves until told to leave.
pub fn serve(mut worker: Worker, link: &mut impl Link) {
    let _noting = worker.note_distress();
    while let Some(task) = link.next() {
        let report = worker.perform(task);
        if !link.report(report) || matches!(report, Report::Left(_)) {
            return;
        }
    }
}
