//! A process and its children, seen from outside: who they are, and the memory that they take (proc(5)).

#![expect(unsafe_code, reason = "a signal to one thread of another process")]

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::fs;

/// The children of a process that are there right now.
pub fn children(of: Pid) -> Vec<Pid> {
    if let Ok(list) = fs::read_to_string(format!("/proc/{of}/task/{of}/children")) {
        return list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok().map(Pid::from_raw)).collect();
    }
    // A kernel that keeps no such list.
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().map(Pid::from_raw));
    pids.filter(|&pid| parent(pid) == Some(of)).collect()
}

/// The threads of a process that are workers, by their names; none if it is gone.
pub fn worker_threads(of: Pid) -> Vec<Pid> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{of}/task")) else { return Vec::new() };
    let is_worker = |thread: &Pid| {
        let name = fs::read_to_string(format!("/proc/{of}/task/{thread}/comm"));
        name.is_ok_and(|name| name.starts_with("worker "))
    };
    let threads = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok().map(Pid::from_raw));
    threads.filter(is_worker).collect()
}

/// Sends a signal to one thread of a process (tgkill(2)).
pub fn signal_thread(of: Pid, thread: Pid, signal: Signal) -> Result<(), Errno> {
    // SAFETY: the call takes three numbers and touches no memory of ours.
    let sent =
        unsafe { libc::syscall(libc::SYS_tgkill, of.as_raw(), thread.as_raw(), signal as libc::c_int) };
    Errno::result(sent).map(drop)
}

/// The fourth field of `stat`; the second one is a name in parentheses, which may hold anything.
fn parent(of: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{of}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(1)?.parse().ok().map(Pid::from_raw)
}

/// Bytes of memory that processes take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MemoryUse {
    /// What is theirs, and their parts of what they share with others ("proportional set size").
    pub proportional: u64,
    /// What no other process has ("unique set size").
    pub unique: u64,
}

/// What a process takes; nothing if it is gone.
pub fn memory(of: Pid) -> Option<MemoryUse> {
    let text = fs::read_to_string(format!("/proc/{of}/smaps_rollup")).ok()?;
    let kib = |line: &str| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok();
    let mut memory = MemoryUse::default();
    for line in text.lines() {
        match line.split_once(':') {
            Some(("Pss", size)) => memory.proportional += kib(size)? << 10,
            Some(("Private_Clean" | "Private_Dirty", size)) => memory.unique += kib(size)? << 10,
            _ => {}
        }
    }
    Some(memory)
}

/// What a process and its children take together.
pub fn memory_of_family(of: Pid) -> MemoryUse {
    let all = [of].into_iter().chain(children(of)).filter_map(memory);
    all.fold(MemoryUse::default(), |sum, one| MemoryUse {
        proportional: sum.proportional + one.proportional,
        unique: sum.unique + one.unique,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_child_is_one_and_takes_memory() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep");
        let (me, pid) = (nix::unistd::getpid(), Pid::from_raw(child.id() as i32));
        assert_eq!(parent(pid), Some(me));
        let of_me = memory(me).expect("its own process");
        assert!(of_me.proportional > 1 << 20 && of_me.unique <= of_me.proportional);
        let of_child = memory(pid).expect("a child of ours");
        assert!(of_child.unique > 0 && of_child.unique <= of_child.proportional);
        assert!(memory_of_family(me).proportional >= of_me.proportional / 2);
        child.kill().and_then(|()| child.wait()).expect("a child of ours");
        assert_eq!((memory(pid), worker_threads(pid)), (None, Vec::new()));
    }
}
