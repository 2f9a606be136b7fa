//! A process a worker, forked from the coordinator, over two `ipc-channel`s each.
//!
//! The coordinator is single-threaded for as long as this pool is in use, so that it can fork at any time. A copy
//! of a channel's end that is alive anywhere keeps the channel open, and a death would go unseen: a child closes
//! every descriptor that it doesn't need, and the parent drops the child's ends after the fork. `ipc-channel` tells
//! no descriptor's number; a new pair takes the two lowest free ones (POSIX, `socketpair`).

#![expect(unsafe_code, reason = "fork, and what only a forked child may do")]

use super::{End, PoolError, PoolEvent, Sandbox, WorkerId, WorkerPool, limit_data};
use bowline_workers::protocol::{Report, Task};
use bowline_workers::serve::{ProcessLink, serve};
use bowline_workers::worker::Worker;
use ipc_channel::TrySelectError;
use ipc_channel::ipc::{self, IpcReceiverSet, IpcSelectionResult, IpcSender};
use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, fork, getpid, getppid};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// The pool of the default mode.
pub struct Processes {
    channels: IpcReceiverSet,
    workers: BTreeMap<WorkerId, Process>,
    /// Which worker a report channel is of.
    reporters: BTreeMap<u64, WorkerId>,
    sandbox: Sandbox,
    capacity: usize,
}

struct Process {
    pid: Pid,
    tasks: IpcSender<Task>,
}

/// Descriptors that the coordinator holds for each worker: an end of each of its two channels, and those of the one before
/// it until that has left.
const FILES_A_WORKER: u64 = 4;

/// Descriptors that a run needs beside those: the output's files, a worker's own while it is started.
const OTHER_FILES: u64 = 13;

/// How many workers there are descriptors for.
fn capacity() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |open| open.count() as u64);
    (limit.saturating_sub(open + OTHER_FILES) / FILES_A_WORKER) as usize
}

fn system(what: &'static str) -> impl Fn(io::Error) -> PoolError {
    move |source| PoolError::System { what, source }
}

impl Processes {
    /// A pool without workers, who will live in `sandbox`. The calling process has no other thread.
    ///
    /// # Errors
    /// If the system has no descriptor left.
    pub fn new(sandbox: Sandbox) -> Result<Self, PoolError> {
        let capacity = match capacity() {
            0 => return Err(PoolError::TooFewFiles),
            capacity => capacity,
        };
        let channels = IpcReceiverSet::new().map_err(system("opening a set of channels"))?;
        // The first message of a process opens a pair of sockets to find out how long messages may be: a worker in
        // the sandbox could not. It inherits the answer.
        let (sender, receiver) = ipc::channel::<()>().map_err(system("opening a channel"))?;
        let sent = sender.send(()).is_ok() && receiver.try_recv_timeout(Duration::from_secs(10)).is_ok();
        if !sent {
            return Err(system("trying a channel")(io::ErrorKind::BrokenPipe.into()));
        }
        let (workers, reporters) = (BTreeMap::new(), BTreeMap::new());
        Ok(Processes { channels, workers, reporters, sandbox, capacity })
    }
}

impl WorkerPool for Processes {
    fn start(&mut self, id: WorkerId, worker: Worker) -> Result<(), PoolError> {
        let open = system("opening a channel");
        let task_ends = lowest_free();
        let (task_sender, tasks) = ipc::channel().map_err(&open)?;
        let report_ends = lowest_free();
        let (reports, report_receiver) = ipc::channel().map_err(&open)?;
        let mut kept = worker.descriptors();
        kept.extend([task_ends[1], report_ends[0]]);
        let coordinator = getpid();
        // SAFETY: this process has one thread, so the child's memory is in a whole state and it may do anything.
        match unsafe { fork() }
            .map_err(|errno| system("starting a worker (--workers asks for fewer)")(errno.into()))?
        {
            ForkResult::Child => {
                live(worker, ProcessLink { tasks, reports }, kept, coordinator, &self.sandbox)
            }
            ForkResult::Parent { child } => {
                drop((tasks, reports));
                let channel = self.channels.add(report_receiver).map_err(system("watching a channel"))?;
                self.reporters.insert(channel, id);
                self.workers.insert(id, Process { pid: child, tasks: task_sender });
                Ok(())
            }
        }
    }

    fn send(&mut self, id: WorkerId, task: Task) {
        if let Some(process) = self.workers.get(&id) {
            // Fails if the worker is dying: its report channel will close.
            let _ = process.tasks.send(task);
        }
    }

    fn wait(&mut self, patience: Duration) -> Result<Vec<PoolEvent>, PoolError> {
        let results = match self.channels.try_select_timeout(patience) {
            Ok(results) => results,
            Err(TrySelectError::Empty) => return Ok(Vec::new()),
            Err(TrySelectError::IoError(error)) => return Err(system("waiting for workers")(error)),
        };
        let mut events = Vec::new();
        for result in results {
            match result {
                IpcSelectionResult::MessageReceived(channel, message) => {
                    let report = message.to::<Report>().map_err(|_| {
                        system("reading a worker's report")(io::ErrorKind::InvalidData.into())
                    })?;
                    events.extend(self.reporters.get(&channel).map(|&id| PoolEvent::Reported(id, report)));
                }
                IpcSelectionResult::ChannelClosed(channel) => {
                    let Some(id) = self.reporters.remove(&channel) else { continue };
                    let Some(process) = self.workers.remove(&id) else { continue };
                    // It is on its way out, and nothing changes how. But if a document has made it close its channel, it
                    // might stay for ever.
                    let _ = kill(process.pid, Signal::SIGKILL);
                    events.push(PoolEvent::Ended(id, reap(process.pid)));
                }
            }
        }
        Ok(events)
    }

    fn is_stopped(&mut self, id: WorkerId) -> bool {
        let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let status = self.workers.get(&id).map(|process| waitid(Id::Pid(process.pid), flags));
        matches!(status, Some(Ok(WaitStatus::Stopped(..))))
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn confinement(&self) -> &'static str {
        self.sandbox.name()
    }

    fn end(&mut self, id: WorkerId) -> Result<(), PoolError> {
        if let Some(process) = self.workers.get(&id) {
            // It may be dead already.
            let _ = kill(process.pid, Signal::SIGKILL);
        }
        Ok(())
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for process in self.workers.values() {
            let _ = kill(process.pid, Signal::SIGKILL);
        }
        for process in self.workers.values() {
            reap(process.pid);
        }
    }
}

/// Waits for a child that has closed its channels or was killed, and tells how it ended.
fn reap(pid: Pid) -> End {
    loop {
        match waitpid(pid, None) {
            Ok(WaitStatus::Exited(_, code)) => return End::Exited(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => return End::Signalled(signal as i32),
            Ok(_) | Err(Errno::EINTR) => {}
            // Somebody else has waited for it.
            Err(_) => return End::Exited(0),
        }
    }
}

/// The two lowest free descriptors: those that the next pair of sockets will have.
fn lowest_free() -> [RawFd; 2] {
    // SAFETY: F_GETFD only asks, of any number.
    let is_free = |fd: &RawFd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } == -1;
    let mut free = (0..RawFd::MAX).filter(is_free);
    [free.next().unwrap_or(RawFd::MAX), free.next().unwrap_or(RawFd::MAX)]
}

/// The child's whole life. What it inherited is never dropped: it leaves by `_exit`.
fn live(worker: Worker, mut link: ProcessLink, kept: Vec<RawFd>, coordinator: Pid, sandbox: &Sandbox) -> ! {
    let alone = catch_unwind(AssertUnwindSafe(|| settle(kept, coordinator, worker.memory(), sandbox)))
        .is_ok_and(|settled| settled.is_ok());
    let code = match alone {
        true => catch_unwind(AssertUnwindSafe(|| serve(worker, &mut link))).map_or(101, |()| 0),
        false => 100,
    };
    // SAFETY: ends this process at once, without destructors of what belongs to the parent.
    unsafe { libc::_exit(code) }
}

/// Bytes of a worker's stack, at most: the usual limit.
const STACK: u64 = 8 << 20;

/// Makes the child independent of all but its coordinator.
fn settle(mut kept: Vec<RawFd>, coordinator: Pid, memory: Option<u64>, sandbox: &Sandbox) -> nix::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != coordinator {
        // It died before the line above.
        return Err(Errno::ESRCH);
    }
    // A terminal sends these to the whole group: it is the coordinator's to react.
    for ignored in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: no handler is installed.
        unsafe { signal(ignored, SigHandler::SigIgn) }?;
    }
    // The runtime's own handlers print: a worker never does.
    for fatal in [Signal::SIGSEGV, Signal::SIGBUS] {
        // SAFETY: no handler is installed.
        unsafe { signal(fatal, SigHandler::SigDfl) }?;
    }
    // No core is dumped: into a file it would need room for a page, and a program that is to get it on its standard input is
    // not started at this one limit (core(5) leaves it out; `do_coredump` in the kernel's fs/coredump.c has it).
    let (_, most) = getrlimit(Resource::RLIMIT_CORE)?;
    setrlimit(Resource::RLIMIT_CORE, most.min(1), most)?;
    // What has no end on the stack ends soon, whatever the shell allows (`ulimit -s unlimited`).
    let (stack, most) = getrlimit(Resource::RLIMIT_STACK)?;
    setrlimit(Resource::RLIMIT_STACK, stack.min(STACK), most)?;
    limit_data(memory).map_err(|_| Errno::EINVAL)?;
    let null = File::options().read(true).write(true).open("/dev/null").map_err(|_| Errno::ENOENT)?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    kept.extend([0, 1, 2]);
    close_others(kept);
    std::mem::forget(null);
    sandbox.enter().map_err(|_| Errno::EPERM)
}

/// Closes every descriptor but those.
fn close_others(mut kept: Vec<RawFd>) {
    kept.sort_unstable();
    let mut first: libc::c_uint = 0;
    for fd in kept.into_iter().map(|fd| fd as libc::c_uint) {
        if first < fd {
            // SAFETY: what is closed is the parent's; the child never uses nor drops it.
            unsafe { libc::syscall(libc::SYS_close_range, first, fd - 1, 0) };
        }
        first = fd + 1;
    }
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
}
