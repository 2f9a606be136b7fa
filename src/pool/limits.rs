//! The limit on a process's private memory.

use crate::memory::{kernel_bytes, peak_memory};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;

/// Lets this process take `memory` bytes of private memory beyond what it holds; none: as many as there are. Shared maps
/// don't count.
///
/// # Errors
/// The system's.
pub fn limit_data(memory: Option<u64>) -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_DATA)?;
    let soft = memory.map_or(hard, |memory| data_held().saturating_add(memory).min(hard));
    Ok(setrlimit(Resource::RLIMIT_DATA, soft, hard)?)
}

/// Bytes of private memory that this process holds, as `RLIMIT_DATA` counts them (proc_pid_status(5)).
fn data_held() -> u64 {
    kernel_bytes("/proc/self/status", "VmData:").unwrap_or_else(peak_memory)
}
