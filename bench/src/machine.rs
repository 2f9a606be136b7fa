//! The machine that a benchmark runs on, as its kernel reports it.

use crate::results::Machine;
use nix::sys::utsname::uname;
use procfs::{CpuInfo, CpuTime, Current as _, CurrentSI as _, KernelStats, Meminfo};
use std::time::Duration;

/// This machine.
pub fn this_machine() -> Machine {
    let processors = CpuInfo::current().ok();
    let kernel = uname().map(|name| format!("{} {}", name.sysname().display(), name.release().display()));
    Machine {
        processor: processors.as_ref().and_then(processor).unwrap_or(std::env::consts::ARCH).to_owned(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory: Meminfo::current().map_or(0, |memory| memory.mem_total),
        busy_percent: busy_percent().unwrap_or(0.0),
        kernel: kernel.unwrap_or_else(|_| std::env::consts::OS.to_owned()),
    }
}

/// How long the load of other programs is measured.
const WATCHED: Duration = Duration::from_millis(500);

/// The share of the processors' time that other programs use while this one sleeps.
fn busy_percent() -> Option<f64> {
    let now = || KernelStats::current().ok().map(|stats| times(&stats.total));
    let (idle, all) = now()?;
    std::thread::sleep(WATCHED);
    let (idle_later, all_later) = now()?;
    // The kernel's count of time spent waiting for storage may decrease.
    let idle = idle_later.saturating_sub(idle) as f64 / all_later.saturating_sub(all).max(1) as f64;
    Some((100.0 * (1.0 - idle)).clamp(0.0, 100.0))
}

/// The idle time and all time of all processors together, in the kernel's ticks (proc_stat(5)).
fn times(cpu: &CpuTime) -> (u64, u64) {
    let idle = cpu.idle + cpu.iowait.unwrap_or(0);
    // User time includes guest time.
    let others = [cpu.irq, cpu.softirq, cpu.steal].into_iter().flatten().sum::<u64>();
    (idle, cpu.user + cpu.nice + cpu.system + idle + others)
}

/// The processor's name, which `/proc/cpuinfo` contains on some architectures only.
fn processor(processors: &CpuInfo) -> Option<&str> {
    processors.model_name(0).or_else(|| processors.fields.get("Model").map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_processors_and_memory() {
        let machine = this_machine();
        assert!((0.0..=100.0).contains(&machine.busy_percent));
        assert!(machine.cores >= 1 && machine.memory > 0 && !machine.processor.is_empty());
    }
}
