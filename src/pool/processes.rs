//! A process a worker, forked from the coordinator, over two `ipc-channel`s each.
//!
//! The coordinator is single-threaded for as long as this pool is in use, so that it can fork at any time. A copy
//! of a channel's end that is alive anywhere keeps the channel open, and a death would go unseen: a child closes
//! every descriptor that it doesn't need, and the parent drops the child's ends after the fork. `ipc-channel` tells
//! no descriptor's number; a new pair takes the two lowest free ones (POSIX, `socketpair`).

#![expect(unsafe_code, reason = "fork, and what only a forked child may do")]

use super::limits::limit_data;
use super::sandbox::{Refusal, Sandbox};
use super::worker_pool::{End, PoolError, PoolEvent, WorkerId, WorkerPool};
use bowline_workers::crash::end_silently;
use bowline_workers::protocol::{Report, StartStep, Task};
use bowline_workers::serve::{ProcessLink, serve};
use bowline_workers::worker::Worker;
use ipc_channel::TrySelectError;
use ipc_channel::ipc::{self, IpcReceiverSet, IpcSelectionResult, IpcSender};
use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl::{set_dumpable, set_pdeathsig};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, fork, getpid, getppid};
use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// The pool of the default mode.
pub struct Processes {
    channels: IpcReceiverSet,
    workers: BTreeMap<WorkerId, Process>,
    /// Which worker a report channel is of.
    reporters: BTreeMap<u64, WorkerId>,
    sandbox: Sandbox,
    /// Why the sandbox has no filter of system calls, though one was asked for.
    unfiltered: Option<String>,
    capacity: usize,
    /// Workers' standard input, output and error: one end of a pair whose other end is closed. It can be read, to its end at
    /// once, and what is written is lost. Unlike `/dev/null` it needs no file system.
    nothing: UnixStream,
}

struct Process {
    pid: Pid,
    tasks: IpcSender<Task>,
}

/// Descriptors that the coordinator holds for each worker: an end of each of its two channels, and those of the one before
/// it until that has left.
const FILES_A_WORKER: u64 = 4;

/// Descriptors that a run needs beside those: the output's files, the workers' standard streams.
const OTHER_FILES: u64 = 13;

/// How many workers there are descriptors for.
fn capacity() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    // Counted by hand: before Linux 6.2, `procfs` counts `.` and `..`, too.
    let listed = std::fs::read_dir("/proc/self/fd").map(|open| open.count() as u64);
    let open =
        listed.unwrap_or_else(|_| (0..limit.min(1024) as RawFd).filter(|&fd| is_open(fd)).count() as u64);
    (limit.saturating_sub(open + OTHER_FILES) / FILES_A_WORKER) as usize
}

fn system(what: &'static str) -> impl Fn(io::Error) -> PoolError {
    move |source| PoolError::System { what, source }
}

impl Processes {
    /// A pool without workers, which will live in `sandbox`, as far as a first process can enter it. The calling process
    /// has no other thread.
    ///
    /// # Errors
    /// If the system has no descriptor or process left, or refuses what the strict sandbox needs.
    pub fn new(mut sandbox: Sandbox) -> Result<Self, PoolError> {
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
        let (nothing, _) = UnixStream::pair().map_err(system("opening a pair of sockets"))?;
        let mut unfiltered = None;
        while let Err((step, cause)) = try_out(&mut sandbox)? {
            if step == StartStep::Filter {
                unfiltered = Some(format!("{}: {cause}", step.name()));
            }
            sandbox.without((step, cause))?;
        }
        if !sandbox.is_open() && sandbox.lets_see_processes() {
            // What a worker may read includes the files of `/proc`. Those of its coordinator, and of its fellows, which inherit
            // this, now belong to root (proc(5)). Where the system refuses that, nothing else can be done.
            let _ = set_dumpable(false);
        }
        let (workers, reporters) = (BTreeMap::new(), BTreeMap::new());
        Ok(Processes { channels, workers, reporters, sandbox, unfiltered, capacity, nothing })
    }
}

/// How often a first process may be stopped or killed from outside.
const MAX_TRIES: usize = 20;

/// Has a first process enter the sandbox, and returns what was refused. Only a try shows what a container forbids. If no try
/// is left alone, nothing is known to be refused: the workers themselves report it then.
fn try_out(sandbox: &mut Sandbox) -> Result<Result<(), Refusal>, PoolError> {
    if sandbox.is_open() {
        return Ok(Ok(()));
    }
    for _ in 0..MAX_TRIES {
        if let Some(tried) = try_once(sandbox)? {
            return Ok(tried);
        }
    }
    Ok(Ok(()))
}

/// As [`try_out`]; nothing if something from outside has stopped or killed the process.
fn try_once(sandbox: &mut Sandbox) -> Result<Option<Result<(), Refusal>>, PoolError> {
    let (mut answer, mut answers) = io::pipe().map_err(system("opening a pipe"))?;
    // SAFETY: this process has one thread, so the child's memory is in a whole state and it may do anything.
    let child = match unsafe { fork() }.map_err(no_process)? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            // Without it, the worker still ends by itself, unless another process stops it.
            let _ = set_pdeathsig(Signal::SIGKILL);
            let entered = catch_unwind(AssertUnwindSafe(|| {
                sandbox.enter_domain().and_then(|()| sandbox.enter_filter())
            }));
            let (step, errno) = match entered {
                Ok(Ok(())) => (ENTERED, 0),
                Ok(Err((step, error))) => (step as u8, error.raw_os_error().unwrap_or(0)),
                Err(_) => (StartStep::Filter as u8, 0),
            };
            // A filter that is in force lets this through, or the answer is missing.
            let _ = answers.write_all(&[&[step], &errno.to_ne_bytes()[..]].concat());
            // SAFETY: ends this process at once, without destructors of what belongs to the parent.
            unsafe { libc::_exit(0) }
        }
    };
    drop(answers);
    loop {
        match waitpid(child, Some(WaitPidFlag::WUNTRACED)) {
            Ok(WaitStatus::Stopped(..)) => {
                // It may be gone already.
                let _ = kill(child, Signal::SIGKILL);
            }
            // The way in which a filter above this program refuses.
            Ok(WaitStatus::Signaled(_, Signal::SIGSYS, _)) => {
                return Ok(Some(Err((
                    StartStep::Filter,
                    io::Error::other("the process was killed by SIGSYS"),
                ))));
            }
            Ok(WaitStatus::Signaled(..)) => return Ok(None),
            Ok(WaitStatus::Exited(..)) | Err(Errno::ECHILD) => break,
            Ok(_) | Err(_) => {}
        }
    }
    let mut read = [0; 5];
    let [step, errno @ ..] = match answer.read_exact(&mut read) {
        Ok(()) => read,
        Err(_) => [StartStep::Filter as u8, 0, 0, 0, 0],
    };
    let refused = if step == StartStep::Domain as u8 { StartStep::Domain } else { StartStep::Filter };
    Ok(Some(match step {
        ENTERED => Ok(()),
        _ => Err((refused, start_error(i32::from_ne_bytes(errno)))),
    }))
}

/// What a process answers that has entered its sandbox: the number of no step.
const ENTERED: u8 = u8::MAX;

/// The system's error of that number; 0 for none.
fn start_error(errno: i32) -> io::Error {
    match errno {
        0 => io::Error::other("the system gives no reason"),
        errno => io::Error::from_raw_os_error(errno),
    }
}

fn no_process(errno: Errno) -> PoolError {
    PoolError::NoWorker(errno.into())
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
        match unsafe { fork() }.map_err(no_process)? {
            ForkResult::Child => live(
                worker,
                ProcessLink { tasks, reports },
                Inherited { kept, coordinator, sandbox: &mut self.sandbox, nothing: &self.nothing },
            ),
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
                    if let Report::Unstarted { step, errno } = report {
                        return Err(PoolError::Unstarted { step, cause: start_error(errno) });
                    }
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

    fn unfiltered(&self) -> Option<&str> {
        self.unfiltered.as_deref()
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

/// Waits for a child that has closed its channels or was killed, and returns how it ended.
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

/// Whether a descriptor of that number is open.
fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD only asks, of any number.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// The two lowest free descriptors: those that the next pair of sockets will have.
fn lowest_free() -> [RawFd; 2] {
    let mut free = (0..RawFd::MAX).filter(|&fd| !is_open(fd));
    [free.next().unwrap_or(RawFd::MAX), free.next().unwrap_or(RawFd::MAX)]
}

/// What a child has of its coordinator.
struct Inherited<'a> {
    /// The descriptors that it needs.
    kept: Vec<RawFd>,
    coordinator: Pid,
    sandbox: &'a mut Sandbox,
    nothing: &'a UnixStream,
}

/// The child's whole life. What it inherited is never dropped: it leaves by `_exit`.
fn live(worker: Worker, mut link: ProcessLink, inherited: Inherited) -> ! {
    let settled = catch_unwind(AssertUnwindSafe(|| settle(inherited, worker.memory())));
    let code = match settled.unwrap_or(Err((StartStep::Panic, Errno::UnknownErrno.into()))) {
        Ok(()) => catch_unwind(AssertUnwindSafe(|| serve(worker, &mut link))).map_or(101, |()| 0),
        Err((step, error)) => {
            // Where even that fails, the code is all that the coordinator sees.
            let errno = error.raw_os_error().unwrap_or(0);
            let _ = link.reports.send(Report::Unstarted { step, errno });
            100
        }
    };
    // SAFETY: ends this process at once, without destructors of what belongs to the parent.
    unsafe { libc::_exit(code) }
}

/// Bytes of a worker's stack, at most: the usual limit.
const STACK: u64 = 8 << 20;

/// Makes the child independent of all but its coordinator.
fn settle(inherited: Inherited, memory: u64) -> Result<(), Refusal> {
    let Inherited { mut kept, coordinator, sandbox, nothing } = inherited;
    let at = |step: StartStep| move |errno: Errno| (step, io::Error::from(errno));
    set_pdeathsig(Signal::SIGKILL).map_err(at(StartStep::ParentDeath))?;
    if getppid() != coordinator {
        // It died before the line above.
        return Err(at(StartStep::ParentDeath)(Errno::ESRCH));
    }
    // A terminal sends these to the whole group: it is the coordinator's to react.
    for ignored in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: no handler is installed.
        unsafe { signal(ignored, SigHandler::SigIgn) }.map_err(at(StartStep::Signals))?;
    }
    // The runtime's own handlers print: a worker never does. The one of SIGBUS that notes lost maps stays.
    // SAFETY: no handler is installed.
    unsafe { signal(Signal::SIGSEGV, SigHandler::SigDfl) }.map_err(at(StartStep::Signals))?;
    end_silently();
    // No core is dumped: into a file it would need room for a page, and a program that is to get it on its standard input is
    // not started at this one limit (core(5) leaves it out; `do_coredump` in the kernel's fs/coredump.c has it).
    limit(Resource::RLIMIT_CORE, |_, most| most.min(1)).map_err(at(StartStep::CoreLimit))?;
    // What has no end on the stack ends soon, and what needs the usual stack has it, whatever the shell allows
    // (`ulimit -s unlimited`, `ulimit -Ss 64`).
    limit(Resource::RLIMIT_STACK, |_, most| most.min(STACK)).map_err(at(StartStep::StackLimit))?;
    limit_data(Some(memory)).map_err(|error| (StartStep::MemoryLimit, error))?;
    let streams = dup2_stdin(nothing).and_then(|()| dup2_stdout(nothing)).and_then(|()| dup2_stderr(nothing));
    streams.map_err(at(StartStep::StandardStreams))?;
    if !sandbox.is_open() {
        drop_capabilities().map_err(at(StartStep::Capabilities))?;
    }
    // The ruleset's descriptor is open until here.
    sandbox.enter_domain()?;
    kept.extend([0, 1, 2]);
    close_others(kept).map_err(at(StartStep::Descriptors))?;
    sandbox.enter_filter()
}

/// Sets a soft limit to what `of` makes of the soft and the hard one.
fn limit(resource: Resource, of: impl Fn(u64, u64) -> u64) -> nix::Result<()> {
    let (soft, hard) = getrlimit(resource)?;
    setrlimit(resource, of(soft, hard), hard)
}

/// What capget(2) takes: version 3 of it, and this process.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}

/// Half of the capabilities of a process, a bit each.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Capabilities {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `CAP_DAC_OVERRIDE` and `CAP_DAC_READ_SEARCH`, of the first half: to read what root may read.
const READING: u32 = 1 << 1 | 1 << 2;

/// Gives up what only root can do (capabilities(7)), but for reading: with `CAP_PERFMON`, no Landlock keeps a process from
/// the environment of others.
fn drop_capabilities() -> nix::Result<()> {
    let mut header = CapabilityHeader { version: 0x2008_0522, pid: 0 };
    let mut held = [Capabilities::default(); 2];
    let (to_header, to_held) = (&raw mut header, held.as_mut_ptr());
    // SAFETY: the kernel writes to the two halves, and to the header its version.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, to_header, to_held) })?;
    let kept = |capabilities: u32, half: usize| if half == 0 { capabilities & READING } else { 0 };
    if held.iter().enumerate().all(|(half, held)| held.permitted == kept(held.permitted, half)) {
        return Ok(());
    }
    for (half, held) in held.iter_mut().enumerate() {
        let [effective, permitted] = [held.effective, held.permitted].map(|held| kept(held, half));
        *held = Capabilities { effective, permitted, inheritable: 0 };
    }
    // SAFETY: the kernel reads both.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw const header, held.as_ptr()) }).map(drop)
}

/// Closes every descriptor but those.
fn close_others(mut kept: Vec<RawFd>) -> nix::Result<()> {
    kept.sort_unstable();
    let mut first: libc::c_uint = 0;
    let end = RawFd::MAX;
    for fd in kept.into_iter().chain([end]).map(|fd| fd as libc::c_uint) {
        if first < fd {
            close_range(first, fd - 1)?;
        }
        first = fd + 1;
    }
    Ok(())
}

/// Closes the descriptors from `first` to `last`.
fn close_range(first: libc::c_uint, last: libc::c_uint) -> nix::Result<()> {
    // SAFETY: what is closed is the parent's; the child never uses nor drops it.
    match Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }) {
        Ok(_) => return Ok(()),
        // Older than Linux 5.9, or forbidden.
        Err(Errno::ENOSYS | Errno::EPERM) => {}
        Err(errno) => return Err(errno),
    }
    // Where they can't be listed, the limit bounds their numbers: it was as high when they were opened, at least.
    // Listed by hand: `procfs` opens each descriptor in turn, and drops those that it can't.
    let listed = std::fs::read_dir("/proc/self/fd").map(|open| {
        open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect::<Vec<libc::c_uint>>()
    });
    let open = match listed {
        Ok(open) => open,
        Err(_) => {
            let (most, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
            (first..=last.min(most.min(1 << 20) as libc::c_uint)).collect()
        }
    };
    for fd in open.into_iter().filter(|fd| (first..=last).contains(fd)) {
        // SAFETY: as above. One that is not open, as that of the list itself, does no harm.
        unsafe { libc::close(fd as RawFd) };
    }
    Ok(())
}
