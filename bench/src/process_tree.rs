//! A process and its children, from outside: their numbers and their memory (proc(5)).

#![expect(unsafe_code, reason = "a signal to one thread of another process")]

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use procfs::process::{Process, Task, all_processes};

/// The current children of a process.
pub fn children(of: Pid) -> Vec<Pid> {
    let listed = Process::new(of.as_raw()).and_then(|process| process.task_main_thread()?.children());
    if let Ok(list) = listed {
        return list.into_iter().map(|pid| Pid::from_raw(pid as i32)).collect();
    }
    // This kernel does not have the list.
    let all = all_processes().into_iter().flatten().flatten().map(|process| Pid::from_raw(process.pid()));
    all.filter(|&pid| parent(pid) == Some(of)).collect()
}

/// The threads of a process whose names are those of workers; none if the process is gone.
pub fn worker_threads(of: Pid) -> Vec<Pid> {
    let tasks = Process::new(of.as_raw()).and_then(|process| process.tasks());
    let tasks = tasks.into_iter().flatten().flatten();
    let is_worker = |task: &Task| task.stat().is_ok_and(|stat| stat.comm.starts_with("worker "));
    tasks.filter(is_worker).map(|task| Pid::from_raw(task.tid)).collect()
}

/// Sends a signal to one thread of a process (tgkill(2)).
pub fn signal_thread(of: Pid, thread: Pid, signal: Signal) -> Result<(), Errno> {
    // SAFETY: the call takes three numbers and touches no memory of ours.
    let sent =
        unsafe { libc::syscall(libc::SYS_tgkill, of.as_raw(), thread.as_raw(), signal as libc::c_int) };
    Errno::result(sent).map(drop)
}

fn parent(of: Pid) -> Option<Pid> {
    let stat = Process::new(of.as_raw()).ok()?.stat().ok()?;
    Some(Pid::from_raw(stat.ppid))
}

/// Bytes of memory that processes take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MemoryUse {
    /// Private pages, and for shared pages the share of each process ("proportional set size").
    pub proportional: u64,
    /// Pages that no other process maps ("unique set size").
    pub unique: u64,
}

/// The memory of a process; none if it is gone.
pub fn memory(of: Pid) -> Option<MemoryUse> {
    let rollup = Process::new(of.as_raw()).ok()?.smaps_rollup().ok()?;
    let sizes = &rollup.memory_map_rollup.iter().next()?.extension.map;
    let bytes = |name: &str| sizes.get(name).copied();
    Some(MemoryUse { proportional: bytes("Pss")?, unique: bytes("Private_Clean")? + bytes("Private_Dirty")? })
}

/// The memory of a process and its children together.
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
