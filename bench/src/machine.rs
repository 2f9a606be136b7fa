//! The machine that a benchmark ran on, by its kernel's own word.

use crate::results::Machine;
use bowline::memory::kernel_bytes;
use nix::sys::utsname::uname;
use std::fs;
use std::time::Duration;

/// This machine.
pub fn this_machine() -> Machine {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let kernel = uname().map(|name| format!("{} {}", name.sysname().display(), name.release().display()));
    Machine {
        processor: processor(&text).unwrap_or(std::env::consts::ARCH).to_owned(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory: kernel_bytes("/proc/meminfo", "MemTotal:").unwrap_or(0),
        busy_percent: busy_percent().unwrap_or(0.0),
        kernel: kernel.unwrap_or_else(|_| std::env::consts::OS.to_owned()),
    }
}

/// How long others are watched.
const WATCHED: Duration = Duration::from_millis(500);

/// How much of the processors' time is taken while this program sleeps.
fn busy_percent() -> Option<f64> {
    let times = || fs::read_to_string("/proc/stat").ok().as_deref().and_then(times);
    let (idle, all) = times()?;
    std::thread::sleep(WATCHED);
    let (idle_later, all_later) = times()?;
    // The time of waiting for storage may go down.
    let idle = idle_later.saturating_sub(idle) as f64 / all_later.saturating_sub(all).max(1) as f64;
    Some((100.0 * (1.0 - idle)).clamp(0.0, 100.0))
}

/// The idle time and all time of all processors together, in the kernel's ticks (proc_stat(5)).
fn times(text: &str) -> Option<(u64, u64)> {
    let times: Vec<u64> =
        text.lines().next()?.split_ascii_whitespace().skip(1).map_while(|time| time.parse().ok()).collect();
    // user, nice, system, idle, waiting for storage, ... ; guests' time is within the user's.
    Some((times.get(3)? + times.get(4)?, times.iter().take(8).sum()))
}

/// The processor's name in `/proc/cpuinfo`, which not every architecture tells.
fn processor(text: &str) -> Option<&str> {
    let line = text.lines().find(|line| line.starts_with("model name") || line.starts_with("Model"))?;
    line.split_once(':').map(|(_, name)| name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_has_a_name_or_none() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: Fast One\n"), Some("Fast One"));
        assert_eq!(processor("processor\t: 0\n"), None);
        assert_eq!(times("cpu  10 0 5 70 10 1 2 2 9 9\ncpu0 1"), Some((80, 100)));
        assert_eq!(times(""), None);
        assert!((0.0..=100.0).contains(&this_machine().busy_percent));
        assert!(this_machine().cores >= 1 && this_machine().memory > 0);
    }
}
