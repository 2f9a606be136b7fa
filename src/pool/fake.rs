//! A pool for tests of the coordinator. Its workers run in the test's thread, one document a turn. They do their
//! tasks with the real engine, unless the test's script makes them die, stop or hang. The clock advances only while no
//! worker makes progress.

use super::worker_pool::{End, PoolError, PoolEvent, WorkerId, WorkerPool};
use bowline_workers::heartbeat::Crash;
use bowline_workers::protocol::{Report, Task};
use bowline_workers::split::{Key, Part};
use bowline_workers::worker::Worker;
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::os::fd::RawFd;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

/// What the script is asked about: a worker is about to do this.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The worker.
    pub worker: WorkerId,
    /// The task, or of a part the next document.
    pub task: Task,
    /// The document's row, if it is one.
    pub row: Option<u64>,
}

/// What happens to a worker.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// It does the task.
    Performs,
    /// It reports this instead.
    Reports(Report),
    /// It dies with the document in hand.
    Dies(End),
    /// It dies before it has taken the document up.
    DiesIdle(End),
    /// It notes this, and dies.
    Notes(Crash, End),
    /// The kernel kills it for want of memory.
    IsKilledForMemory,
    /// It spoils its records where they contain this text, and dies.
    Spoils(&'static str, End),
    /// It holds the document and does not move. The script is asked again.
    Holds,
    /// It moves, and is not done. The script is asked again.
    Moves,
    /// It has no document in hand and does not move. The script is asked again.
    Waits,
    /// It is stopped with the document in hand. The script is asked again.
    Stops,
    /// The whole job is stopped for that long, with the document in hand. The script is asked again.
    JobStops(Duration),
}

/// What the test and its pool share: the time, and the kernel's count of kills for want of memory.
pub struct World {
    /// The time.
    pub now: Cell<Instant>,
    /// The kernel's count.
    pub kills_for_memory: Cell<u64>,
}

impl World {
    /// A world at its beginning.
    pub fn at_rest() -> Self {
        World { now: Cell::new(Instant::now()), kills_for_memory: Cell::new(0) }
    }

    fn pass(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }
}

/// Workers that a script is about.
pub struct FakePool<'a> {
    world: &'a World,
    script: Box<dyn FnMut(Moment) -> Fate + 'a>,
    workers: BTreeMap<WorkerId, FakeWorker>,
    ended: Vec<PoolEvent>,
    /// Whether workers share a process, as threads do.
    pub is_shared: bool,
}

struct FakeWorker {
    worker: Worker,
    tasks: VecDeque<Task>,
    /// Whether it has taken up the next document already.
    has_begun: bool,
    is_stopped: bool,
}

/// What came of a worker's turn.
enum Turn {
    /// It did something.
    Worked,
    /// It did not.
    Idle,
    /// It has finished a task.
    Reported(Report),
    /// It is dead.
    Ended(End),
}

impl<'a> FakePool<'a> {
    /// A pool without workers.
    pub fn new(world: &'a World, script: impl FnMut(Moment) -> Fate + 'a) -> Self {
        let (workers, ended) = (BTreeMap::new(), Vec::new());
        FakePool { world, script: Box::new(script), workers, ended, is_shared: false }
    }

    /// Lets a worker do a task, or one document of a part.
    fn turn(&mut self, id: WorkerId) -> Turn {
        let Some(FakeWorker { worker, tasks, has_begun, is_stopped }) = self.workers.get_mut(&id) else {
            return Turn::Idle;
        };
        let Some(&task) = tasks.front() else { return Turn::Idle };
        let (task, document): (Task, Option<Key>) = match task {
            Task::Tally(part) => {
                let first = Part { end: part.end.min(part.start + 1), ..part };
                (Task::Tally(first), Some(part.key(part.start)))
            }
            task => (task, None),
        };
        let file = |part: Part| part.split.file_of(part.start) as u64;
        let row = match task {
            Task::Tally(part) => Some(file(part)),
            _ => None,
        };
        let fate = (self.script)(Moment { worker: id, task, row });
        let holds = !matches!(fate, Fate::Performs | Fate::Reports(_) | Fate::DiesIdle(_) | Fate::Waits);
        if let (Some(document), true, false) = (document, holds, *has_begun) {
            worker.heartbeat().begin(document);
        }
        *has_begun = holds;
        *is_stopped = matches!(fate, Fate::Stops);
        match fate {
            Fate::Performs => return perform(worker, tasks, task),
            Fate::Reports(report) => {
                tasks.pop_front();
                return Turn::Reported(report);
            }
            Fate::Dies(end) | Fate::DiesIdle(end) => return Turn::Ended(end),
            Fate::Notes(crash, end) => {
                worker.heartbeat().note(crash);
                // A thread that crashes stands still.
                return if self.is_shared { Turn::Idle } else { Turn::Ended(end) };
            }
            Fate::IsKilledForMemory => {
                self.world.kills_for_memory.set(self.world.kills_for_memory.get() + 1);
                return Turn::Ended(KILLED);
            }
            Fate::Spoils(text, end) => {
                worker.descriptors().into_iter().for_each(|file| spoil(file, text));
                return Turn::Ended(end);
            }
            Fate::Moves => worker.heartbeat().step(),
            Fate::JobStops(time) => self.world.pass(time),
            Fate::Holds | Fate::Waits | Fate::Stops => {}
        }
        Turn::Idle
    }
}

/// SIGKILL from outside.
pub const KILLED: End = End::Signalled(9);

/// Does a task, or the first document of a part.
fn perform(worker: &mut Worker, tasks: &mut VecDeque<Task>, task: Task) -> Turn {
    let report = worker.perform(task);
    if let (Some(Task::Tally(part)), Report::Tallied { end }) = (tasks.front_mut(), report)
        && end > part.start
    {
        part.start += 1;
        if part.start < part.end {
            return Turn::Worked;
        }
    }
    tasks.pop_front();
    Turn::Reported(report)
}

/// Writes over `text` in a worker's file, while another process has it mapped.
fn spoil(file: RawFd, text: &str) {
    let path = format!("/proc/self/fd/{file}");
    let file = File::options().read(true).write(true).open(path).expect("a scratch file");
    let mut bytes = vec![0; 64 << 10];
    let length = file.read_at(&mut bytes, 0).expect("a readable file");
    let at = bytes[..length].windows(text.len()).position(|window| window == text.as_bytes());
    file.write_all_at(b"?", at.expect("the text is in the file") as u64).expect("a file with room");
}

impl WorkerPool for FakePool<'_> {
    fn start(&mut self, id: WorkerId, worker: Worker) -> Result<(), PoolError> {
        let (tasks, has_begun, is_stopped) = (VecDeque::new(), false, false);
        self.workers.insert(id, FakeWorker { worker, tasks, has_begun, is_stopped });
        Ok(())
    }

    fn send(&mut self, id: WorkerId, task: Task) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.tasks.push_back(task);
        }
    }

    fn wait(&mut self, patience: Duration) -> Result<Vec<PoolEvent>, PoolError> {
        let mut events = std::mem::take(&mut self.ended);
        let mut is_idle = events.is_empty();
        for id in self.workers.keys().copied().collect::<Vec<_>>() {
            match self.turn(id) {
                Turn::Idle => continue,
                Turn::Worked => {}
                Turn::Reported(report) => {
                    events.push(PoolEvent::Reported(id, report));
                    if matches!(report, Report::Left(_)) {
                        self.workers.remove(&id);
                        events.push(PoolEvent::Ended(id, End::Exited(0)));
                    }
                }
                Turn::Ended(end) => {
                    self.workers.remove(&id);
                    events.push(PoolEvent::Ended(id, end));
                }
            }
            is_idle = false;
        }
        if is_idle {
            self.world.pass(patience);
        }
        Ok(events)
    }

    fn is_stopped(&mut self, id: WorkerId) -> bool {
        self.workers.get(&id).is_some_and(|worker| worker.is_stopped)
    }

    fn holds_crashed(&self) -> bool {
        self.is_shared
    }

    fn end(&mut self, id: WorkerId) -> Result<(), PoolError> {
        if self.is_shared {
            return Err(PoolError::CannotEnd);
        }
        if self.workers.remove(&id).is_some() {
            self.ended.push(PoolEvent::Ended(id, KILLED));
        }
        Ok(())
    }
}
