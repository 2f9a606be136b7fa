//! The machine that a benchmark ran on, by its kernel's own word.

use super::results::Machine;
use crate::memory::kernel_bytes;
use nix::sys::utsname::uname;
use std::fs;

/// This machine.
pub fn this_machine() -> Machine {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let kernel = uname().map(|name| format!("{} {}", name.sysname().display(), name.release().display()));
    Machine {
        processor: processor(&text).unwrap_or(std::env::consts::ARCH).to_owned(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory: kernel_bytes("/proc/meminfo", "MemTotal:").unwrap_or(0),
        load_average: load_average().unwrap_or(0.0),
        kernel: kernel.unwrap_or_else(|_| std::env::consts::OS.to_owned()),
    }
}

/// How many processes have wanted to run, on average over a minute (proc_loadavg(5)).
fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
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
        assert!(this_machine().cores >= 1 && this_machine().memory > 0);
    }
}
