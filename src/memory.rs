//! The memory that a run may take, and how it is shared out.

use crate::cli::EmbedArgs;
use crate::usage_error::UsageError;
use anyhow::Result;
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes a worker's lexicon may take, at most.
const LEXICON_BYTES: u64 = 1 << 30;

/// Bytes of memory that a worker needs to work at all.
const LEAST_WORKER_MEMORY: u64 = 32 << 20;

/// How a run's memory is shared out, in bytes.
pub struct MemoryShares {
    /// For segments and tables, before scratch files are used.
    pub maps: u64,
    /// For each worker's own memory.
    pub worker: u64,
    /// Of that, for its lexicon: a table that grows is there twice, the new one twice as large as the old.
    pub lexicon: u64,
}

impl MemoryShares {
    /// Shares out what the options allow, or else what there is.
    ///
    /// # Errors
    /// If that is too little for so many workers.
    pub fn new(args: &EmbedArgs, workers: usize) -> Result<Self> {
        let available = available();
        let workers = workers as u64;
        let worker = args.worker_memory.unwrap_or(match args.memory {
            Some(memory) => memory / 2 / workers,
            None => available / (workers + 1),
        });
        if worker < LEAST_WORKER_MEMORY {
            let help = match args.worker_memory {
                Some(_) => "--worker-memory must be 32M at least".to_owned(),
                None => format!(
                    "--memory must be {}M at least for {workers} workers, or --workers fewer",
                    (2 * workers * LEAST_WORKER_MEMORY) >> 20
                ),
            };
            return Err(UsageError(help).into());
        }
        let maps = args.memory.unwrap_or(available) / 2;
        Ok(MemoryShares { maps, worker, lexicon: (worker / 4).min(LEXICON_BYTES) })
    }
}

/// Bytes that can be had without swapping, by the kernel's estimate, within the limits of this process's control groups;
/// 1 GiB where it gives none.
fn available() -> u64 {
    let machine = kernel_bytes("/proc/meminfo", "MemAvailable:").unwrap_or(1 << 30);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let left =
        groups.lines().filter_map(memory_group).filter_map(|(root, group)| left_in_group(root, &group));
    left.fold(machine, u64::min)
}

/// A directory of memory groups, and the names of the files that tell a group's limit and its use, in bytes.
type GroupFiles = (&'static str, [&'static str; 2]);

/// The memory group of a line of `/proc/self/cgroup`, if it is one (cgroups(7)): of version 2, or of version 1.
fn memory_group(line: &str) -> Option<(GroupFiles, PathBuf)> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let files = match controllers {
        "" => ("/sys/fs/cgroup", ["memory.max", "memory.current"]),
        "memory" => ("/sys/fs/cgroup/memory", ["memory.limit_in_bytes", "memory.usage_in_bytes"]),
        _ => return None,
    };
    Some((files, PathBuf::from(path.trim_start_matches('/'))))
}

/// The least that is left in a group or in one that it is in. A container may see its own group as the root.
fn left_in_group((root, [limit, usage]): GroupFiles, group: &Path) -> Option<u64> {
    let number = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let left = |group: &Path| {
        let group = Path::new(root).join(group);
        Some(number(group.join(limit))?.saturating_sub(number(group.join(usage))?))
    };
    group.ancestors().filter_map(left).min()
}

/// How many processes the kernel has killed for want of memory since it was started.
pub fn kills_for_memory() -> u64 {
    let counters = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let kills = counters.lines().find_map(|line| line.strip_prefix("oom_kill "));
    kills.and_then(|kills| kills.parse().ok()).unwrap_or(0)
}

/// The number of bytes that the kernel tells in kB in the line of `file` that begins with `field`.
pub fn kernel_bytes(file: &str, field: &str) -> Option<u64> {
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
        let (files, group) = memory_group("0::/user.slice/a:b").unwrap();
        assert_eq!((files.0, group.to_str()), ("/sys/fs/cgroup", Some("user.slice/a:b")));
        let (files, group) = memory_group("4:memory:/").unwrap();
        assert_eq!((files.0, group.to_str()), ("/sys/fs/cgroup/memory", Some("")));
        assert!(memory_group("3:cpuset:/x").is_none() && memory_group("nonsense").is_none());
    }

    #[test]
    fn there_is_memory() {
        assert!(available() > 1 << 20);
    }
}
