//! Processes as the kernel reports them in `/proc`: parents and children, and the remaining members of a process group.
//!
//! A zombie does not count as a process: it holds nothing, and its new parent reaps it.

use super::invocation::TICK;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fs;
use std::time::{Duration, Instant};

/// The children of a process's first thread, in the order of their start.
pub fn children(parent: Pid) -> Vec<Pid> {
    if let Ok(children) = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")) {
        let pids = children.split_whitespace().map(|pid| pid.parse().expect("a process's number"));
        return pids.map(Pid::from_raw).collect();
    }
    // Not every kernel has this list.
    all().filter(|&pid| stat(pid).is_some_and(|stat| stat.parent == parent)).collect()
}

/// All processes.
fn all() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").expect("the kernel's list of processes");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().map(Pid::from_raw))
}

/// The members of a process group that still exist after `grace`.
pub fn left_of_group(group: Pid, grace: Duration) -> Vec<Pid> {
    let deadline = Instant::now() + grace;
    loop {
        let left = if killpg(group, None).is_ok() { members(group) } else { Vec::new() };
        if left.is_empty() || Instant::now() >= deadline {
            return left;
        }
        std::thread::sleep(TICK);
    }
}

fn members(group: Pid) -> Vec<Pid> {
    all().filter(|&pid| stat(pid).is_some_and(|stat| stat.group == group && stat.is_alive())).collect()
}

/// The kernel's short description of a process (proc(5), `stat`).
struct Stat {
    state: char,
    parent: Pid,
    group: Pid,
}

impl Stat {
    fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

fn stat(pid: Pid) -> Option<Stat> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may contain any character.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let mut pid = || Some(Pid::from_raw(fields.next()?.parse().ok()?));
    Some(Stat { state, parent: pid()?, group: pid()? })
}

/// Whether a process is stopped.
pub fn is_stopped(pid: Pid) -> bool {
    stat(pid).is_some_and(|stat| stat.state == 'T')
}

/// Whether a process exists and is not a zombie.
pub fn is_alive(pid: Pid) -> bool {
    stat(pid).is_some_and(|stat| stat.is_alive())
}

/// Whether a process ignores SIGHUP, SIGINT and SIGTERM: a worker does so from its start on, and no other child of a
/// coordinator.
pub fn ignores_ends(pid: Pid) -> bool {
    let ends = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM];
    ends.into_iter().all(|signal| has_signal(pid, "SigIgn:", signal))
}

/// Whether a process has a handler for a signal.
pub fn catches(pid: Pid, signal: Signal) -> bool {
    has_signal(pid, "SigCgt:", signal)
}

/// Whether a signal is in the mask of that name (proc_pid_status(5)).
fn has_signal(pid: Pid, mask: &str, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix(mask));
    let bits = bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0);
    bits & 1 << (signal as i32 - 1) != 0
}

/// Whether a process holds the lock of a file.
pub fn has_lock(pid: Pid) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten();
    descriptors
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .any(|text| text.contains("lock:"))
}

/// Bytes of memory that a process holds, which can't be dropped or written to a file: private memory, and its part of memory
/// files. None if the process is gone, or may not be looked at.
pub fn held(pid: Pid) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kib = |field: &str| -> Option<u64> {
        let line = rollup.lines().find_map(|line| line.strip_prefix(field))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    };
    Some((kib("Pss_Anon:")? + kib("Pss_Shmem:")?) << 10)
}

/// The targets of a process's descriptors.
pub fn open_files(pid: Pid) -> Vec<String> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
    let paths = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    paths.map(|path| path.to_string_lossy().into_owned()).collect()
}

/// How many descriptors a process has open; 0 if it is gone.
pub fn descriptors(pid: Pid) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// The state of a process, and the kernel function that it waits in.
pub fn describe(pid: Pid) -> String {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let status: Vec<String> = read("status").lines().take(8).map(str::to_owned).collect();
    format!("{pid}: {status:?}, waits in {:?}\n{}", read("wchan"), read("stack"))
}
