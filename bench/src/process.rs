//! A measured program. It runs in its own process group, and the wait for it does not poll, which would disturb it. It
//! is ended with all that it started if this program is asked to end or its time is up.
//!
//! Knows a command, a time limit and the resources that the command used, but no suite or mode.

#![expect(unsafe_code, reason = "a program that is measured must not outlive this one")]

use anyhow::{Context as _, Result};
use bowline::cancel;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, killpg};
use nix::sys::time::TimeVal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

/// How often the signals and the clock are checked while nothing happens.
const PATIENCE: Duration = Duration::from_millis(200);

/// A program that has ended.
pub struct Ended {
    /// Its exit status; none if its time was up.
    pub status: Option<ExitStatus>,
    /// From its start to its end.
    pub seconds: f64,
    /// Its standard error.
    pub stderr: String,
    /// The resources that it and its reaped children used.
    pub usage: FamilyUsage,
}

/// The resources that a program and its children used (getrusage(2)).
#[derive(Clone, Copy, Debug, Default)]
pub struct FamilyUsage {
    /// Seconds of processor time in user mode.
    pub user_seconds: f64,
    /// Seconds of processor time in the kernel.
    pub system_seconds: f64,
    /// Page faults, of both kinds.
    pub page_faults: u64,
    /// Context switches, voluntary and involuntary.
    pub switches: u64,
    /// Bytes read from storage.
    pub bytes_read: u64,
}

/// Bytes of a block in getrusage(2).
const BLOCK: u64 = 512;

impl FamilyUsage {
    /// The usage of all children so far.
    fn so_far() -> Self {
        let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else { return Self::default() };
        let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 * 1e-6;
        FamilyUsage {
            user_seconds: seconds(usage.user_time()),
            system_seconds: seconds(usage.system_time()),
            page_faults: (usage.minor_page_faults() + usage.major_page_faults()) as u64,
            switches: (usage.voluntary_context_switches() + usage.involuntary_context_switches()) as u64,
            bytes_read: usage.block_reads() as u64 * BLOCK,
        }
    }

    fn since(self, before: Self) -> Self {
        FamilyUsage {
            user_seconds: self.user_seconds - before.user_seconds,
            system_seconds: self.system_seconds - before.system_seconds,
            page_faults: self.page_faults - before.page_faults,
            switches: self.switches - before.switches,
            bytes_read: self.bytes_read - before.bytes_read,
        }
    }
}

/// A function that is called repeatedly with the process of a program while it runs.
pub struct Watch<'a> {
    /// Time between two calls.
    pub every: Duration,
    /// The call.
    pub with: &'a mut dyn FnMut(Pid),
}

/// Runs a program to its end, or for `limit`.
///
/// # Errors
/// If it can't be started, or a signal asks this program to end.
pub fn run(
    command: &mut Command,
    interrupted: &AtomicUsize,
    limit: Option<Duration>,
    mut watch: Option<Watch>,
) -> Result<Ended> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    // SAFETY: between fork and exec it makes one call of the kernel, and neither allocates nor locks.
    unsafe { command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?)) };
    let before = FamilyUsage::so_far();
    let began = Instant::now();
    let child = command.spawn().with_context(|| format!("{:?}: cannot be started", command.get_program()))?;
    let mut family = ProcessTree { child, is_over: false };
    let mut pipe = family.child.stderr.take().context("standard error is a pipe")?;
    let mut stderr = Vec::new();
    let pid = family.pid();
    let is_over = loop {
        let patience = watch.as_ref().map_or(PATIENCE, |watch| watch.every);
        let mut waited = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
        let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        match poll(&mut waited, patience) {
            Ok(0) | Err(Errno::EINTR) => {}
            // The program wrote something, or all writers are gone.
            Ok(_) => {
                let mut bytes = [0; 4096];
                match pipe.read(&mut bytes)? {
                    0 => break true,
                    read => stderr.extend_from_slice(&bytes[..read]),
                }
            }
            Err(errno) => return Err(errno).context("waiting for a program"),
        }
        cancel::check(interrupted)?;
        if let Some(watch) = &mut watch {
            (watch.with)(pid);
        }
        if limit.is_some_and(|limit| began.elapsed() > limit) {
            break false;
        }
    };
    let status = match is_over {
        true => Some(family.wait()?),
        false => None,
    };
    let seconds = began.elapsed().as_secs_f64();
    drop(family);
    let usage = FamilyUsage::so_far().since(before);
    Ok(Ended { status, seconds, stderr: String::from_utf8_lossy(&stderr).trim().to_owned(), usage })
}

/// A program and the processes that it has started. They are ended when dropped.
struct ProcessTree {
    child: Child,
    /// Whether no process is left to end.
    is_over: bool,
}

impl ProcessTree {
    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Waits for the end of a program whose children are gone.
    fn wait(&mut self) -> io::Result<ExitStatus> {
        self.is_over = true;
        self.child.wait()
    }
}

impl Drop for ProcessTree {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        // A run gets a moment to remove its files. The group's number belongs to it until it is waited for.
        let _ = killpg(self.pid(), Signal::SIGTERM);
        let asked = Instant::now();
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let is_there = || matches!(waitid(Id::Pid(self.pid()), flags), Ok(WaitStatus::StillAlive));
        while is_there() && asked.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::kill;
    use procfs::process::{ProcState, Process};
    use std::sync::atomic::Ordering;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn ended(script: &str, limit: Option<Duration>) -> Ended {
        run(&mut sh(script), &AtomicUsize::new(0), limit, None).expect("a shell")
    }

    #[test]
    fn its_end_is_told() {
        let ended = ended("echo words >&2; exit 3", None);
        assert_eq!((ended.status.and_then(|s| s.code()), ended.stderr.as_str()), (Some(3), "words"));
        assert!(ended.seconds > 0.0 && ended.usage.page_faults > 0);
    }

    #[test]
    fn time_that_is_up_ends_its_children_too() {
        let ended = ended("sleep 60 & echo $! >&2; sleep 60", Some(Duration::from_secs(1)));
        assert!(ended.status.is_none());
        let child = Pid::from_raw(ended.stderr.parse().expect("the child's number"));
        let began = Instant::now();
        while kill(child, None).is_ok() {
            // It may be a zombie until its new parent reaps it.
            let state = Process::new(child.as_raw()).and_then(|process| process.stat()?.state());
            if state.is_ok_and(|state| state == ProcState::Zombie) {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "it is still there");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_signal_ends_it() {
        let interrupted = AtomicUsize::new(0);
        let mut calls = 0;
        let mut interrupt = |_| {
            calls += 1;
            interrupted.store(15, Ordering::Relaxed);
        };
        let watch = Watch { every: Duration::from_millis(5), with: &mut interrupt };
        let error = run(&mut sh("sleep 60"), &interrupted, None, Some(watch)).err().expect("interrupted");
        assert!(matches!(
            error.downcast_ref(),
            Some(bowline::Fault { kind: bowline::ErrorKind::Interrupted(15), .. })
        ));
        assert_eq!(calls, 1);
    }
}
