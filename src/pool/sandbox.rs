//! The sandbox of a worker process: it may compute, read files, and write to the files opened for it. A document that
//! takes over its worker can therefore do little.
//!
//! A seccomp filter allows the calls that a worker makes, with the commands and flags that it gives them, and refuses all
//! others with EPERM (seccomp(2)): no sockets, no programs, no processes or threads, no file opened for writing, created,
//! renamed or removed, no signals but its own abort, no memory to execute. A Landlock domain (landlock(7)) stands behind
//! it: it keeps the worker from the memory, descriptors and environment of every process outside (`/proc/PID/mem`), which
//! the filter can't tell from other files. In the strict form the domain allows reading beneath the corpus only.

use super::worker_pool::PoolError;
use bowline_workers::protocol::StartStep;
use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreated, RulesetCreatedAttr as _, Scope,
};
use nix::errno::Errno;
use nix::libc;
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{Pid, getpid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::path::PathBuf;

/// How much of it is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confinement {
    /// The filter and the domain, as far as the machine has them.
    Auto,
    /// Both, in the strict form, or an error.
    Strict,
    /// None.
    Off,
}

/// What workers are confined by.
#[derive(Debug)]
pub struct Sandbox {
    confinement: Confinement,
    is_filtered: bool,
    domain: Option<RulesetCreated>,
}

/// The oldest Landlock that knows all ways to change a file by its path (Linux 6.2).
const STRICT: ABI = ABI::V3;

/// Calls that are allowed with any arguments.
const ALLOWED: &[libc::c_long] = &[
    // Memory.
    libc::SYS_brk,
    libc::SYS_munmap,
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
    libc::SYS_close,
    // Time, randomness, and what the runtime asks for.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getrusage,
    libc::SYS_sched_yield,
    // glibc's allocator asks for it once its heap can't grow.
    libc::SYS_sched_getaffinity,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// What an argument of a call may be.
enum Argument {
    /// One of these.
    OneOf(&'static [libc::c_int]),
    /// Any combination of these bits.
    Bits(libc::c_int),
}
use Argument::{Bits, OneOf};

/// Calls that are allowed with these commands or flags only: the call, the number of the argument, and what it may be.
const BOUNDED: &[(libc::c_long, u8, Argument)] = &[
    // Nothing to execute.
    (libc::SYS_mmap, 2, Bits(libc::PROT_READ | libc::PROT_WRITE)),
    (libc::SYS_mprotect, 2, Bits(libc::PROT_READ | libc::PROT_WRITE)),
    (libc::SYS_mremap, 3, Bits(libc::MREMAP_MAYMOVE)),
    // Of the allocator's, `MADV_DONTNEED`.
    (
        libc::SYS_madvise,
        2,
        OneOf(&[libc::MADV_DONTNEED, libc::MADV_HUGEPAGE, libc::MADV_POPULATE_WRITE, libc::MADV_WILLNEED]),
    ),
    // No file is changed, nor asked to send a signal (`O_ASYNC`).
    (
        libc::SYS_openat,
        2,
        Bits(
            libc::O_CLOEXEC
                | libc::O_DIRECTORY
                | libc::O_LARGEFILE
                | libc::O_NOCTTY
                | libc::O_NOFOLLOW
                | libc::O_NONBLOCK
                | libc::O_PATH,
        ),
    ),
    (libc::SYS_fadvise64, 3, OneOf(&[libc::POSIX_FADV_WILLNEED, libc::POSIX_FADV_DONTNEED])),
    (libc::SYS_fallocate, 1, OneOf(&[0])),
    // Starts writing and waits for nothing.
    (libc::SYS_sync_file_range, 3, OneOf(&[libc::SYNC_FILE_RANGE_WRITE as libc::c_int])),
    // No owner, no signal, no lease, no notice.
    (libc::SYS_fcntl, 1, OneOf(FCNTL)),
    // The two channels.
    (libc::SYS_sendmsg, 2, Bits(libc::MSG_EOR | libc::MSG_NOSIGNAL)),
    (libc::SYS_recvmsg, 2, Bits(libc::MSG_CMSG_CLOEXEC)),
    (libc::SYS_futex, 1, OneOf(FUTEX)),
];

/// glibc asks for the flags where it reserves by writing; the locks are the permits of `--max-reads`; each reader of
/// standard input duplicates its descriptor.
const FCNTL: &[libc::c_int] =
    &[libc::F_GETFD, libc::F_GETFL, libc::F_DUPFD_CLOEXEC, libc::F_OFD_SETLK, libc::F_OFD_SETLKW];

/// Waiting and waking, between the threads of a process.
const FUTEX: &[libc::c_int] = &[
    libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
    libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
    libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG,
    libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME,
    libc::FUTEX_WAKE_BITSET | libc::FUTEX_PRIVATE_FLAG,
];

/// Why a worker could not enter its sandbox.
pub type Refusal = (StartStep, io::Error);

impl Sandbox {
    /// The sandbox that is asked for, as far as it can be seen from here. In the strict form, only what lies beneath
    /// `readable`, and the files `listed`, may be read. A listed path that is not a file gives no right.
    ///
    /// # Errors
    /// If the strict form is asked for and the machine lacks something of it.
    pub fn new(
        confinement: Confinement,
        readable: &[PathBuf],
        listed: impl Iterator<Item = PathBuf>,
    ) -> Result<Self, PoolError> {
        let domain = match confinement {
            Confinement::Off => None,
            Confinement::Auto => domain().ok(),
            Confinement::Strict => {
                let missing = |cause| PoolError::Strict { what: "Landlock can't be had", cause };
                Some(strict_domain(readable, listed).map_err(missing)?)
            }
        };
        Ok(Sandbox { confinement, is_filtered: confinement != Confinement::Off, domain })
    }

    /// What a try has shown that the machine refuses is left out.
    ///
    /// # Errors
    /// In the strict form, where nothing is.
    pub fn without(&mut self, (step, cause): Refusal) -> Result<(), PoolError> {
        if self.confinement == Confinement::Strict {
            return Err(PoolError::Strict { what: step.name(), cause });
        }
        match step {
            StartStep::Domain => self.domain = None,
            _ => self.is_filtered = false,
        }
        Ok(())
    }

    /// What is enforced, for the report.
    pub fn name(&self) -> &'static str {
        match (self.is_filtered, &self.domain) {
            (false, None) => "none",
            (true, None) => "seccomp",
            (false, Some(_)) => "landlock",
            (true, Some(_)) => "seccomp and landlock",
        }
    }

    /// Whether there is anything to enter.
    pub fn is_open(&self) -> bool {
        !self.is_filtered && self.domain.is_none()
    }

    /// Whether a worker could look into other processes of its user.
    pub fn lets_see_processes(&self) -> bool {
        self.domain.is_none()
    }

    /// The first half of confining the calling process for good: it still may make all system calls.
    ///
    /// # Errors
    /// If the system refuses. The process is to end then.
    pub fn enter_domain(&mut self) -> Result<(), Refusal> {
        // Sets no_new_privs, too, and closes the ruleset.
        self.domain.take().map_or(Ok(()), |domain| {
            domain.restrict_self().map(drop).map_err(|error| (StartStep::Domain, system_error(&error)))
        })
    }

    /// The second half.
    ///
    /// # Errors
    /// If the system refuses. The process is to end then.
    pub fn enter_filter(&self) -> Result<(), Refusal> {
        if !self.is_filtered {
            return Ok(());
        }
        let filter = filter(getpid()).ok_or((StartStep::Filter, io::ErrorKind::Unsupported.into()))?;
        // Sets no_new_privs, too.
        apply_filter(&filter).map_err(|error| {
            let error = match error {
                seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => error,
                other => io::Error::other(other.to_string()),
            };
            (StartStep::Filter, error)
        })
    }
}

/// The error of the system's behind that of a library.
fn system_error(error: &(dyn Error + 'static)) -> io::Error {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(errno) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return io::Error::from_raw_os_error(errno);
        }
        cause = error.source();
    }
    io::Error::other(error.to_string())
}

/// The filter of the process `own`; none on a kind of machine that it can't be made for.
fn filter(own: Pid) -> Option<BpfProgram> {
    let is = |argument: u8, operator: SeccompCmpOp, value: u64| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).ok()
    };
    let only = |conditions: Vec<SeccompCondition>| SeccompRule::new(conditions).ok();
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|&call| (call, Vec::new())).collect();
    for (call, argument, allowed) in BOUNDED {
        let conditions = match allowed {
            Bits(bits) => vec![is(*argument, SeccompCmpOp::MaskedEq(!bits as u32 as u64), 0)?],
            OneOf(values) => {
                let values = values.iter().map(|&value| is(*argument, SeccompCmpOp::Eq, value as u32 as u64));
                values.collect::<Option<_>>()?
            }
        };
        let allowed = conditions.into_iter().map(|condition| only(vec![condition]));
        rules.insert(*call, allowed.collect::<Option<_>>()?);
    }
    let own = is(0, SeccompCmpOp::Eq, own.as_raw() as u64)?;
    let abort = is(2, SeccompCmpOp::Eq, libc::SIGABRT as u64)?;
    rules.insert(libc::SYS_tgkill, vec![only(vec![own, abort])?]);
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let filter =
        SeccompFilter::new(rules, refused, SeccompAction::Allow, std::env::consts::ARCH.try_into().ok()?);
    filter.ok()?.try_into().ok()
}

/// Rights that are taken away everywhere by the domain that is not strict: all that change files by their paths, but for
/// cutting them to length. That one costs a walk to the root at each open, and the filter refuses it.
const CHANGING: ABI = ABI::V2;

/// No change of files, and nothing of the processes outside: not their memory, nor signals or abstract sockets where the
/// kernel knows these as scopes (Linux 6.12).
fn domain() -> Result<RulesetCreated, io::Error> {
    Errno::clear();
    // What this asks for is as old as Landlock itself, and so shows whether there is one.
    let whole = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_write(ABI::V1))
        .map(|ruleset| ruleset.set_compatibility(CompatLevel::BestEffort))
        .and_then(|ruleset| ruleset.handle_access(AccessFs::from_write(CHANGING)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(ABI::V6)))
        .and_then(Ruleset::create);
    whole.map_err(|error| landlock_error(&error))
}

/// Nothing but reading, beneath `readable`: all of it or an error; and of the files `listed`, where there are such files. And
/// the scopes, where the kernel has them.
fn strict_domain(
    readable: &[PathBuf],
    listed: impl Iterator<Item = PathBuf>,
) -> Result<RulesetCreated, io::Error> {
    Errno::clear();
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(STRICT))
        .map(|ruleset| ruleset.set_compatibility(CompatLevel::BestEffort))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(ABI::V6)))
        .and_then(Ruleset::create)
        .map_err(|error| landlock_error(&error))?
        .set_compatibility(CompatLevel::HardRequirement);
    for path in readable {
        let shown = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
        let opened = PathFd::new(path).map_err(|error| shown(&error))?;
        let reading = match path.is_dir() {
            true => AccessFs::ReadFile | AccessFs::ReadDir,
            false => AccessFs::ReadFile.into(),
        };
        ruleset = ruleset.add_rule(PathBeneath::new(opened, reading)).map_err(|error| shown(&error))?;
    }
    for path in listed {
        let Ok(opened) = PathFd::new(&path) else { continue };
        // What stands under the path may change between two looks at it: a directory would give a right to all beneath.
        if fstat(&opened).is_ok_and(|stat| is_file(stat.st_mode)) {
            let rule = PathBeneath::new(opened, AccessFs::ReadFile);
            ruleset = ruleset
                .add_rule(rule)
                .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        }
    }
    Ok(ruleset)
}

fn is_file(mode: u32) -> bool {
    SFlag::from_bits_truncate(mode) & SFlag::S_IFMT == SFlag::S_IFREG
}

/// Why there is no ruleset. The library asks the kernel for its version first; where that fails it makes no other call.
fn landlock_error(error: &(dyn Error + 'static)) -> io::Error {
    match Errno::last() {
        Errno::ENOSYS => io::Error::other("this kernel has none, or a container forbids it"),
        Errno::EOPNOTSUPP => io::Error::other("it is not in the kernel's list of security modules (lsm=)"),
        Errno::UnknownErrno => io::Error::other(format!("this kernel's is too old ({error})")),
        errno => io::Error::from(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_can_be_made() {
        assert!(filter(getpid()).is_some_and(|program| program.len() > ALLOWED.len()));
        assert_eq!(Sandbox::new(Confinement::Off, &[], std::iter::empty()).unwrap().name(), "none");
    }
}
