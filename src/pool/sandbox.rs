//! What a worker process may do: compute, read files, and write to what was opened for it. Nothing else, so that a
//! document that takes over its worker has gained little.
//!
//! A seccomp filter allows the calls that a worker needs and refuses all others with EPERM (seccomp(2)): no sockets, no
//! programs, no processes or threads, no file opened for writing, created, renamed or removed, no signals but its own
//! abort. Landlock, in the strict form, allows reading beneath the corpus only (landlock(7)).

use super::PoolError;
use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _,
};
use nix::libc;
use nix::unistd::{Pid, getpid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// How much of it is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Confinement {
    /// The seccomp filter, where the kernel has it.
    Auto,
    /// Both, or an error.
    Strict,
    /// None.
    Off,
}

/// What workers are confined by.
#[derive(Debug)]
pub struct Sandbox {
    is_filtered: bool,
    /// What may be read; none: everything.
    readable: Option<Vec<PathBuf>>,
}

/// The oldest Landlock that knows all ways to change a file by its path (Linux 6.2).
const LANDLOCK: ABI = ABI::V3;

/// Calls that are allowed with any arguments.
const ALLOWED: &[libc::c_long] = &[
    // Memory.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    // Files that are open, or are opened for reading.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_fstat,
    // glibc asks for it where a file system has no `fallocate` of its own.
    libc::SYS_fstatfs,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fcntl,
    libc::SYS_close,
    // Channels that are open.
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_ppoll,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    // Time, randomness, and what the runtime asks for.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getrusage,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
];

/// Bits of `openat`'s flags that would change a file.
const CHANGING: libc::c_int = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND;

fn unavailable(what: &'static str) -> impl Fn(String) -> PoolError {
    move |cause| PoolError::System { what, source: io::Error::other(cause) }
}

impl Sandbox {
    /// The sandbox that is asked for, as far as this machine has it. Only what lies beneath `readable` may be read, in
    /// the strict form.
    ///
    /// # Errors
    /// If the strict form is asked for and something of it can't be enforced.
    pub fn new(confinement: Confinement, readable: &[PathBuf]) -> Result<Self, PoolError> {
        let is_strict = confinement == Confinement::Strict;
        if confinement == Confinement::Off {
            return Ok(Sandbox { is_filtered: false, readable: None });
        }
        // Made once without being applied, as Landlock below.
        let is_filtered = has_seccomp() && filter(getpid()).is_some();
        if is_strict && !is_filtered {
            return Err(unavailable("--sandbox strict")("this kernel has no seccomp filters".into()));
        }
        if is_strict {
            // Made once without being entered: what it lacks shows here and not in a worker.
            ruleset(readable).map_err(unavailable("--sandbox strict"))?;
        }
        Ok(Sandbox { is_filtered, readable: is_strict.then(|| readable.to_vec()) })
    }

    /// What is enforced, for the report.
    pub fn name(&self) -> &'static str {
        match (self.is_filtered, &self.readable) {
            (false, _) => "none",
            (true, None) => "seccomp",
            (true, Some(_)) => "seccomp and landlock",
        }
    }

    /// Confines the calling process for good.
    ///
    /// # Errors
    /// If the system refuses. The process is to end then.
    pub fn enter(&self) -> Result<(), String> {
        if let Some(readable) = &self.readable {
            ruleset(readable)?.restrict_self().map_err(|error| error.to_string())?;
        }
        if self.is_filtered {
            let filter = filter(getpid()).ok_or("no filter")?;
            // Sets no_new_privs, too.
            apply_filter(&filter).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// Whether the kernel has filters that refuse (seccomp(2), `/proc/sys/kernel/seccomp/actions_avail`).
fn has_seccomp() -> bool {
    std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail")
        .is_ok_and(|actions| actions.split_whitespace().any(|action| action == "errno"))
}

/// The filter of the process `own`; none on a kind of machine that it can't be made for.
fn filter(own: Pid) -> Option<BpfProgram> {
    let is = |argument: u8, operator: SeccompCmpOp, value: u64| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).ok()
    };
    let only = |conditions: Vec<SeccompCondition>| SeccompRule::new(conditions).ok();
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|&call| (call, Vec::new())).collect();
    rules.insert(libc::SYS_openat, vec![only(vec![is(2, SeccompCmpOp::MaskedEq(CHANGING as u64), 0)?])?]);
    let own = is(0, SeccompCmpOp::Eq, own.as_raw() as u64)?;
    let abort = is(2, SeccompCmpOp::Eq, libc::SIGABRT as u64)?;
    rules.insert(libc::SYS_tgkill, vec![only(vec![own, abort])?]);
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let filter =
        SeccompFilter::new(rules, refused, SeccompAction::Allow, std::env::consts::ARCH.try_into().ok()?);
    filter.ok()?.try_into().ok()
}

/// Nothing but reading, beneath `readable`. All or an error.
fn ruleset(readable: &[PathBuf]) -> Result<landlock::RulesetCreated, String> {
    let text = |error: landlock::RulesetError| error.to_string();
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(LANDLOCK))
        .and_then(Ruleset::create)
        .map_err(text)?;
    for path in readable {
        let shown = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let opened = PathFd::new(path).map_err(|error| shown(&error))?;
        let reading = match path.is_dir() {
            true => AccessFs::ReadFile | AccessFs::ReadDir,
            false => AccessFs::ReadFile.into(),
        };
        ruleset = ruleset.add_rule(PathBeneath::new(opened, reading)).map_err(text)?;
    }
    Ok(ruleset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_can_be_made() {
        assert!(filter(getpid()).is_some_and(|program| program.len() > ALLOWED.len()));
        assert_eq!(Sandbox::new(Confinement::Off, &[]).unwrap().name(), "none");
    }
}
