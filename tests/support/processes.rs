//! Processes as the kernel tells of them in `/proc`: who is whose child, and what is left of a process group.
//!
//! A zombie is no process here: it holds nothing, and whether it is reaped is its new parent's affair.

use super::invocation::TICK;
use nix::sys::signal::killpg;
use nix::unistd::Pid;
use std::fs;
use std::time::{Duration, Instant};

/// The children of a process's first thread, in the order of their start.
pub fn children(parent: Pid) -> Vec<Pid> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    children.split_whitespace().map(|pid| Pid::from_raw(pid.parse().expect("a process's number"))).collect()
}

/// The members of a process group that are still there after `grace`.
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
    let processes = fs::read_dir("/proc").expect("the kernel's list of processes");
    let pids =
        processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().map(Pid::from_raw));
    pids.filter(|&pid| stat(pid).is_some_and(|(state, of)| of == group && !matches!(state, 'Z' | 'X')))
        .collect()
}

/// The state and the group of a process.
fn stat(pid: Pid) -> Option<(char, Pid)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may itself contain anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, Pid::from_raw(fields.nth(1)?.parse().ok()?)))
}

/// Whether a process is stopped.
pub fn is_stopped(pid: Pid) -> bool {
    stat(pid).is_some_and(|(state, _)| state == 'T')
}

/// Whether a process is there and no zombie.
pub fn is_alive(pid: Pid) -> bool {
    stat(pid).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// Whether a process holds the lock of a file.
pub fn has_lock(pid: Pid) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten();
    descriptors
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .any(|text| text.contains("lock:"))
}

/// Whether a process is in its sandbox.
pub fn is_confined(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line == "Seccomp:\t2")
}

/// What the descriptors of a process lead to.
pub fn open_files(pid: Pid) -> Vec<String> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
    let paths = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    paths.map(|path| path.to_string_lossy().into_owned()).collect()
}

/// How many descriptors a process has open; 0 if it is gone.
pub fn descriptors(pid: Pid) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// What the kernel says of a process: its state, and what it waits for.
pub fn describe(pid: Pid) -> String {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let status: Vec<String> = read("status").lines().take(8).map(str::to_owned).collect();
    format!("{pid}: {status:?}, waits in {:?}\n{}", read("wchan"), read("stack"))
}
