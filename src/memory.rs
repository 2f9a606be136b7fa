//! The memory that a run may take, and its division: one sum, of which segments, tables, workers and the coordinator get
//! their parts.

use crate::error::{ErrorKind, Fault};
use anyhow::Result;
use bowline_workers::counted::counted;
use nix::sys::resource::{RLIM_INFINITY, Resource, UsageWho, getrlimit, getrusage};
use procfs::{FromRead as _, ProcessCGroup, ProcessCGroups};
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
    /// Each worker's own memory, within the memory of the run.
    pub worker: Option<u64>,
}

/// How a run's memory is divided, in bytes. The parts together are no more than the run may take, unless the options
/// themselves ask for more.
#[derive(Debug, PartialEq)]
pub(crate) struct MemoryShares {
    /// For segments and tables, before scratch files are used, and for what the coordinator keeps of the walk.
    pub maps: u64,
    /// Addresses for maps of scratch files beyond them; `u64::MAX` where there is no limit.
    pub addresses: u64,
    /// For each worker's own memory.
    pub worker: u64,
    /// Of that, for its lexicon: a table that grows is there twice, the new one twice as large as the old.
    pub lexicon: u64,
}

/// What limits a run beside its options, in bytes.
#[derive(Clone, Copy, Debug)]
struct Machine {
    /// Memory that can be had.
    available: u64,
    /// Addresses for the maps of a process (`ulimit -v`); `u64::MAX` where there is no limit.
    addresses: u64,
    /// Private memory of a process (`ulimit -d`, `ulimit -v`).
    private: u64,
}

impl Machine {
    fn now() -> Self {
        // The maps take one half of the addresses that each process has, and the rest of what it does the other.
        let addresses = addresses_left().map_or(u64::MAX, |left| left / 2);
        let private = data_left().unwrap_or(u64::MAX).min(addresses);
        Machine { available: available_memory(), addresses, private }
    }
}

impl MemoryShares {
    /// How many workers there is memory for, by the same division; one at least.
    pub fn most_workers(limits: MemoryLimits) -> usize {
        MemoryShares::most_workers_on(Machine::now(), limits)
    }

    fn most_workers_on(machine: Machine, limits: MemoryLimits) -> usize {
        let total = limits.run.unwrap_or(machine.available);
        let workers = match limits.worker {
            Some(worker) => total / worker.max(1),
            None => total / 2 / MIN_WORKER_MEMORY,
        };
        workers.max(1) as usize
    }

    /// Divides what the options allow, or else what there is.
    ///
    /// # Errors
    /// If that is too little for so many workers.
    pub fn new(limits: MemoryLimits, workers: usize) -> Result<Self> {
        MemoryShares::new_on(Machine::now(), limits, workers)
    }

    fn new_on(machine: Machine, limits: MemoryLimits, workers: usize) -> Result<Self> {
        let workers = workers as u64;
        let Machine { available, addresses, private } = machine;
        if private < MIN_WORKER_MEMORY {
            let left = private >> 20;
            let help =
                format!("ulimit -v and ulimit -d leave {left}M of memory to a worker, which needs 32M");
            return Err(Fault::new(ErrorKind::Usage, help).into());
        }
        let total = limits.run.unwrap_or(available);
        let worker = limits.worker.unwrap_or(total / 2 / workers).min(private);
        if worker < MIN_WORKER_MEMORY {
            let needed = (2 * workers * MIN_WORKER_MEMORY) >> 20;
            return Err(match limits.worker {
                Some(_) => Fault::new(ErrorKind::WorkerMemory, "a worker needs 32M of memory at least"),
                None => Fault::new(
                    ErrorKind::RunMemory,
                    format!(
                        "{} {needed}M of memory at least",
                        counted(workers, "worker needs", "workers need")
                    ),
                ),
            }
            .into());
        }
        // An estimate of what is available leaves an eighth to the kernel's own: page tables, pages of scratch files.
        let most = if limits.run.is_some() { total / 2 } else { total / 8 * 3 };
        let left = total.saturating_sub(worker.saturating_mul(workers));
        let maps = left.clamp(total / 16, most.max(total / 16)).min(addresses);
        Ok(MemoryShares { maps, addresses, worker, lexicon: (worker / 4).min(LEXICON_BYTES) })
    }
}

/// How many workers there is memory for if no option says how much each may take; one at least.
pub fn workers_in_memory() -> usize {
    MemoryShares::most_workers(MemoryLimits::default())
}

/// Bytes of memory that can be had, which the page cache may have until then.
pub fn available_memory() -> u64 {
    available(Path::new("/"))
}

/// Bytes that can be had without swapping, by the kernel's estimate, within the limits of this process's control groups;
/// 1 GiB where it gives none. `root` holds `proc` and `sys`.
fn available(root: &Path) -> u64 {
    let machine = kernel_bytes(root.join("proc/meminfo"), "MemAvailable:").unwrap_or(1 << 30);
    let groups = memory_groups(root);
    groups.iter().filter_map(|(version, group)| version.left(root, group)).fold(machine, u64::min)
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

/// Bytes of private memory that this process has in memory.
pub fn private_memory() -> u64 {
    kernel_bytes("/proc/self/status", "RssAnon:").unwrap_or_else(peak_memory)
}

/// Number of processes that the kernel has killed for lack of memory in this process's control group, or on the machine if
/// no group counts them.
pub fn kills_for_memory() -> u64 {
    let root = Path::new("/");
    let of_group = memory_groups(root).iter().find_map(|(version, group)| version.kills(root, group));
    let of_machine = || procfs::vmstat().ok()?.get("oom_kill").and_then(|&kills| kills.try_into().ok());
    of_group.or_else(of_machine).unwrap_or(0)
}

/// Where the memory groups of a version of control groups are, and the names of their files.
#[derive(Debug, PartialEq)]
struct GroupVersion {
    /// The directory of all groups, beneath the root.
    root: &'static str,
    /// Files that hold a limit in bytes, or `max`: the kernel ends or slows down processes beyond it.
    limits: &'static [&'static str],
    /// The line of `memory.stat` with the least limit of this group and those that it is in, which may be out of sight.
    inherited: Option<&'static str>,
    /// Holds the use in bytes, files that are kept in memory included.
    usage: &'static str,
    /// Lines of `memory.stat` with bytes that give way to whatever else needs memory: of files, and the kernel's own.
    reclaimable: &'static [&'static str],
    /// Has a line `oom_kill n`.
    events: &'static str,
}

const VERSION_1: GroupVersion = GroupVersion {
    root: "sys/fs/cgroup/memory",
    limits: &["memory.limit_in_bytes"],
    inherited: Some("hierarchical_memory_limit"),
    usage: "memory.usage_in_bytes",
    reclaimable: &["total_inactive_file", "total_active_file"],
    events: "memory.oom_control",
};

const VERSION_2: GroupVersion = GroupVersion {
    root: "sys/fs/cgroup",
    limits: &["memory.max", "memory.high"],
    inherited: None,
    usage: "memory.current",
    reclaimable: &["inactive_file", "active_file", "slab_reclaimable"],
    events: "memory.events",
};

impl GroupVersion {
    /// The least that is left in a group or in one that it is in.
    fn left(&self, root: &Path, group: &Path) -> Option<u64> {
        self.dirs(root, group).filter_map(|dir| self.left_in(&dir)).min()
    }

    /// What is left in the group of a directory.
    fn left_in(&self, dir: &Path) -> Option<u64> {
        let number = |file: &str| fs::read_to_string(dir.join(file)).ok()?.trim().parse::<u64>().ok();
        let counter = |name: &&str| counter(&dir.join("memory.stat"), name);
        let own = self.limits.iter().filter_map(|file| number(file));
        let limit = own.chain(self.inherited.as_ref().and_then(counter)).min()?;
        let reclaimable = self.reclaimable.iter().filter_map(counter).sum();
        let used = number(self.usage)?.saturating_sub(reclaimable);
        Some(limit.saturating_sub(used))
    }

    /// How many processes of the group the kernel has killed for want of memory.
    fn kills(&self, root: &Path, group: &Path) -> Option<u64> {
        self.dirs(root, group).find_map(|dir| counter(&dir.join(self.events), "oom_kill"))
    }

    /// The directory of a group, and those of the groups that it is in. A container may see its own group as the root.
    fn dirs(&self, root: &Path, group: &Path) -> impl Iterator<Item = PathBuf> {
        let root = root.join(self.root);
        group.ancestors().map(move |group| root.join(group))
    }
}

/// The memory groups that this process is in; none where there is no `/proc`.
fn memory_groups(root: &Path) -> Vec<(GroupVersion, PathBuf)> {
    let groups = ProcessCGroups::from_file(root.join("proc/self/cgroup"));
    groups.into_iter().flatten().filter_map(memory_group).collect()
}

/// The version and the path of a control group, if it limits memory (cgroups(7)).
fn memory_group(group: ProcessCGroup) -> Option<(GroupVersion, PathBuf)> {
    let version = match group.controllers.as_slice() {
        [] => VERSION_2,
        controllers if controllers.iter().any(|controller| controller == "memory") => VERSION_1,
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
pub fn kernel_bytes(file: impl AsRef<Path>, field: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = rest.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    const MIB: u64 = 1 << 20;

    fn machine(available: u64) -> Machine {
        Machine { available, addresses: u64::MAX, private: u64::MAX }
    }

    /// A directory with these files beneath it.
    fn files(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = root.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        root
    }

    #[test]
    fn all_parts_come_from_one_sum() {
        for available in [64, 100, 1 << 10, 24 << 10, 3 << 20].map(|mib| mib * MIB) {
            let most = MemoryShares::most_workers_on(machine(available), MemoryLimits::default());
            for workers in [1, 2, 3, 16, 500].into_iter().filter(|&workers| workers <= most) {
                let sum = |limits: MemoryLimits, machine| {
                    let MemoryShares { maps, worker, .. } =
                        MemoryShares::new_on(machine, limits, workers).unwrap();
                    maps + workers as u64 * worker
                };
                assert!(sum(MemoryLimits::default(), machine(available)) <= available / 8 * 7 + 8);
                let run = MemoryLimits { run: Some(available), worker: None };
                // The machine does not limit what an option asks for, since pages of files and swap may give way.
                assert!((available - 2 * workers as u64..=available).contains(&sum(run, machine(MIB))));
                let both = MemoryLimits { run: Some(available), worker: Some(MIN_WORKER_MEMORY) };
                assert!(sum(both, machine(MIB)) <= available / 16 * 17);
            }
        }
    }

    #[test]
    fn workers_are_as_many_as_the_sum_has_room_for() {
        let most = |available, run, worker| {
            MemoryShares::most_workers_on(machine(available), MemoryLimits { run, worker })
        };
        assert_eq!(most(640 * MIB, None, None), 10);
        assert_eq!(most(640 * MIB, Some(128 * MIB), None), 2);
        assert_eq!(most(640 * MIB, Some(128 * MIB), Some(64 * MIB)), 2);
        assert_eq!(most(640 * MIB, None, Some(64 * MIB)), 10);
        assert_eq!(most(0, Some(1), Some(0)), 1);
    }

    #[test]
    fn limits_of_a_process_bound_the_parts() {
        let limited = Machine { available: 4096 * MIB, addresses: 100 * MIB, private: 80 * MIB };
        let shares = MemoryShares::new_on(limited, MemoryLimits::default(), 2).unwrap();
        let lexicon = 20 * MIB;
        let expected = MemoryShares { maps: 100 * MIB, addresses: 100 * MIB, worker: 80 * MIB, lexicon };
        assert_eq!(shares, expected);
        let none = Machine { private: 31 * MIB, ..limited };
        let error = MemoryShares::new_on(none, MemoryLimits::default(), 1).unwrap_err().to_string();
        assert_eq!(error, "ulimit -v and ulimit -d leave 31M of memory to a worker, which needs 32M");
    }

    #[test]
    fn the_least_limit_of_the_machine_and_of_all_groups_counts() {
        let meminfo = ("proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n");
        let of = |more: &[(&str, &str)]| available(files(&[&[meminfo], more].concat()).path());
        assert_eq!(of(&[]), 8000 << 10);
        let group = ("proc/self/cgroup", "0::/a/b\n");
        assert_eq!(of(&[group]), 8000 << 10);
        let own = [
            group,
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/b/memory.high", "5000\n"),
            ("sys/fs/cgroup/a/b/memory.current", "700\n"),
            ("sys/fs/cgroup/a/b/memory.stat", "anon 300\ninactive_file 100\nslab_reclaimable 50\n"),
        ];
        assert_eq!(of(&own), 5000 - (700 - 150));
        let parent = [("sys/fs/cgroup/a/memory.max", "4000\n"), ("sys/fs/cgroup/a/memory.current", "1000\n")];
        assert_eq!(of(&[&own[..], &parent].concat()), 3000);
        // Version 1, also where the group lies in another one that a container does not see.
        let old = [
            ("proc/self/cgroup", "9:cpu,memory:/c\n1:name=systemd:/x\n0::/c\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "900\n"),
            ("sys/fs/cgroup/memory/memory.stat", "hierarchical_memory_limit 2000\ntotal_active_file 400\n"),
        ];
        assert_eq!(of(&old), 1500);
        assert_eq!(available(files(&[]).path()), 1 << 30);
    }

    /// As in a container that has just built a program: full of cached files.
    #[test]
    fn files_that_are_kept_in_memory_are_not_in_the_way() {
        for (version, prefix) in [(VERSION_1, "total_"), (VERSION_2, "")] {
            let dir = tempfile::tempdir().unwrap();
            let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
            write(version.limits[0], "4000\n");
            write(version.usage, "3990\n");
            assert_eq!(version.left_in(dir.path()), Some(10));
            let stat = format!("anon 90\n{prefix}inactive_file 3000\n{prefix}active_file 800\n");
            write("memory.stat", &stat);
            assert_eq!(version.left_in(dir.path()), Some(3810));
            write(version.limits[0], "max\n");
            assert_eq!(version.left_in(dir.path()), None);
        }
    }

    #[test]
    fn there_is_memory() {
        assert!(available(Path::new("/")) > 1 << 20);
    }
}
