//! The memory that a run may take, and how it is shared out.

use crate::error::{ErrorKind, Fault};
use anyhow::Result;
use nix::sys::resource::{RLIM_INFINITY, Resource, UsageWho, getrlimit, getrusage};
use procfs::ProcessCGroup;
use procfs::process::Process;
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes a worker's lexicon may take, at most.
const LEXICON_BYTES: u64 = 1 << 30;

/// Bytes of memory that a worker needs to work at all.
const MIN_WORKER_MEMORY: u64 = 32 << 20;

/// What a run may take, in bytes; `None` for what is available.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MemoryLimits {
    /// The whole run: one half for what was counted, one for the workers.
    pub run: Option<u64>,
    /// Each worker's own memory.
    pub worker: Option<u64>,
}

/// How a run's memory is shared out, in bytes.
pub(crate) struct MemoryShares {
    /// For segments and tables, before scratch files are used.
    pub maps: u64,
    /// Addresses for maps of scratch files beyond them; `u64::MAX` where there is no limit.
    pub addresses: u64,
    /// For each worker's own memory.
    pub worker: u64,
    /// Of that, for its lexicon: a table that grows is there twice, the new one twice as large as the old.
    pub lexicon: u64,
}

impl MemoryShares {
    /// How many workers there is memory for, by the same rules; one at least.
    pub fn most_workers(limits: MemoryLimits) -> usize {
        let workers = match (limits.worker, limits.run) {
            (Some(_), _) => u64::MAX,
            (None, Some(memory)) => memory / 2 / MIN_WORKER_MEMORY,
            (None, None) => return workers_in_memory(),
        };
        workers.max(1) as usize
    }

    /// Shares out what the options allow, or else what there is.
    ///
    /// # Errors
    /// If that is too little for so many workers.
    pub fn new(limits: MemoryLimits, workers: usize) -> Result<Self> {
        let available = available();
        let workers = workers as u64;
        // The maps take one half of the addresses that each process has, and the rest of what it does the other.
        let addresses = addresses_left().map_or(u64::MAX, |left| left / 2);
        let allowed = data_left().unwrap_or(u64::MAX).min(addresses);
        if allowed < MIN_WORKER_MEMORY {
            let left = allowed >> 20;
            let help =
                format!("ulimit -v and ulimit -d leave {left}M of memory to a worker, which needs 32M");
            return Err(Fault::new(ErrorKind::Usage, help).into());
        }
        let worker = limits.worker.unwrap_or(match limits.run {
            Some(memory) => memory / 2 / workers,
            None => available / (workers + 1),
        });
        let worker = worker.min(allowed);
        if worker < MIN_WORKER_MEMORY {
            let needed = (2 * workers * MIN_WORKER_MEMORY) >> 20;
            return Err(match limits.worker {
                Some(_) => Fault::new(ErrorKind::WorkerMemory, "a worker needs 32M of memory at least"),
                None => Fault::new(
                    ErrorKind::RunMemory,
                    format!("{workers} workers need {needed}M of memory at least"),
                ),
            }
            .into());
        }
        let maps = (limits.run.unwrap_or(available) / 2).min(addresses);
        Ok(MemoryShares { maps, addresses, worker, lexicon: (worker / 4).min(LEXICON_BYTES) })
    }
}

/// How many workers there is memory for if no option says how much each may take; one at least.
pub fn workers_in_memory() -> usize {
    (available() / MIN_WORKER_MEMORY).saturating_sub(1).max(1) as usize
}

/// Bytes that can be had without swapping, by the kernel's estimate, within the limits of this process's control groups;
/// 1 GiB where it gives none.
fn available() -> u64 {
    let machine = kernel_bytes("/proc/meminfo", "MemAvailable:").unwrap_or(1 << 30);
    let groups = memory_groups();
    groups.iter().filter_map(|(version, group)| version.left(group)).fold(machine, u64::min)
}

/// Bytes that this process may still map, if there is a limit (`ulimit -v`). Each worker has as many.
fn addresses_left() -> Option<u64> {
    let (soft, _) = getrlimit(Resource::RLIMIT_AS).ok()?;
    left_of(soft, "VmSize:")
}

/// Bytes of private memory that a process may still take, if there is a limit (`ulimit -d`). A worker's own limit goes up
/// to the hard one.
fn data_left() -> Option<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_DATA).ok()?;
    left_of(hard, "VmData:")
}

/// What is left of a limit on the figure in that line of `/proc/self/status`.
fn left_of(limit: u64, field: &str) -> Option<u64> {
    let held = || kernel_bytes("/proc/self/status", field).unwrap_or_else(peak_memory);
    (limit != RLIM_INFINITY).then(|| limit.saturating_sub(held()))
}

/// Bytes of memory that this process has held at most: about what it holds, where there is no `/proc` to say so.
pub fn peak_memory() -> u64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| (usage.max_rss() as u64) << 10)
}

/// Number of processes that the kernel has killed for lack of memory in this process's control group, or on the machine if
/// no group counts them.
pub fn kills_for_memory() -> u64 {
    let of_group = memory_groups().iter().find_map(|(version, group)| version.kills(group));
    let of_machine = || procfs::vmstat().ok()?.get("oom_kill").and_then(|&kills| kills.try_into().ok());
    of_group.or_else(of_machine).unwrap_or(0)
}

/// Where the memory groups of a version of control groups are, and the names of their files.
#[derive(Debug, PartialEq)]
struct GroupVersion {
    root: &'static str,
    /// Holds the limit in bytes.
    limit: &'static str,
    /// Holds the use in bytes, files that are kept in memory included.
    usage: &'static str,
    /// Lines of `memory.stat` with bytes of such files, which give way to whatever else needs memory.
    files: [&'static str; 2],
    /// Has a line `oom_kill n`.
    events: &'static str,
}

const VERSION_1: GroupVersion = GroupVersion {
    root: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    files: ["total_inactive_file", "total_active_file"],
    events: "memory.oom_control",
};

const VERSION_2: GroupVersion = GroupVersion {
    root: "/sys/fs/cgroup",
    limit: "memory.max",
    usage: "memory.current",
    files: ["inactive_file", "active_file"],
    events: "memory.events",
};

impl GroupVersion {
    /// The least that is left in a group or in one that it is in.
    fn left(&self, group: &Path) -> Option<u64> {
        self.dirs(group).filter_map(|dir| self.left_in(&dir)).min()
    }

    /// What is left in the group of a directory.
    fn left_in(&self, dir: &Path) -> Option<u64> {
        let number = |file: &str| fs::read_to_string(dir.join(file)).ok()?.trim().parse::<u64>().ok();
        let files = self.files.iter().filter_map(|name| counter(&dir.join("memory.stat"), name)).sum();
        let used = number(self.usage)?.saturating_sub(files);
        Some(number(self.limit)?.saturating_sub(used))
    }

    /// How many processes of the group the kernel has killed for want of memory.
    fn kills(&self, group: &Path) -> Option<u64> {
        self.dirs(group).find_map(|dir| counter(&dir.join(self.events), "oom_kill"))
    }

    /// The directory of a group, and those of the groups that it is in. A container may see its own group as the root.
    fn dirs(&self, group: &Path) -> impl Iterator<Item = PathBuf> {
        group.ancestors().map(|group| Path::new(self.root).join(group))
    }
}

/// The memory groups that this process is in; none where there is no `/proc`.
fn memory_groups() -> Vec<(GroupVersion, PathBuf)> {
    let groups = Process::myself().and_then(|process| process.cgroups());
    groups.into_iter().flatten().filter_map(memory_group).collect()
}

/// The version and the path of a control group, if it limits memory (cgroups(7)).
fn memory_group(group: ProcessCGroup) -> Option<(GroupVersion, PathBuf)> {
    let version = match group.controllers.as_slice() {
        [] => VERSION_2,
        [controller] if controller == "memory" => VERSION_1,
        _ => return None,
    };
    Some((version, PathBuf::from(group.pathname.trim_start_matches('/'))))
}

/// The number behind a name in a file of lines `name number`.
fn counter(file: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(field, _)| *field == name)?.1.trim().parse().ok()
}

/// The number of bytes that the kernel gives in kB in the line of `file` that begins with `field`.
// Read by hand: `procfs` rejects the whole file if it lacks any of two dozen other lines, as under gVisor.
pub fn kernel_bytes(file: &str, field: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = rest.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use procfs::{FromRead as _, ProcessCGroups};

    #[test]
    fn memory_groups_of_both_versions() {
        let group = |line: &str| {
            let ProcessCGroups(mut groups) = ProcessCGroups::from_read(line.as_bytes()).unwrap();
            memory_group(groups.remove(0))
        };
        assert_eq!(group("0::/user.slice/a:b"), Some((VERSION_2, PathBuf::from("user.slice/a:b"))));
        assert_eq!(group("4:memory:/"), Some((VERSION_1, PathBuf::new())));
        assert_eq!(
            [group("3:cpuset:/x"), group("2:cpu,cpuacct:/"), group("1:name=systemd:/x")],
            [None, None, None]
        );
    }

    /// As in a container that has just built a program: full of cached files.
    #[test]
    fn files_that_are_kept_in_memory_are_not_in_the_way() {
        for (version, prefix) in [(VERSION_1, "total_"), (VERSION_2, "")] {
            let dir = tempfile::tempdir().unwrap();
            let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
            write(version.limit, "4000\n");
            write(version.usage, "3990\n");
            assert_eq!(version.left_in(dir.path()), Some(10));
            let stat = format!("anon 90\n{prefix}inactive_file 3000\n{prefix}active_file 800\n");
            write("memory.stat", &stat);
            assert_eq!(version.left_in(dir.path()), Some(3810));
            write(version.limit, "max\n");
            assert_eq!(version.left_in(dir.path()), None);
        }
    }

    #[test]
    fn there_is_memory() {
        assert!(available() > 1 << 20);
    }
}
