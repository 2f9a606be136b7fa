//! Documents that harm their worker on purpose, for the tests of supervision. Only in builds with the feature `faults`.
//!
//! A document whose text begins with `bowline-fault: WHAT` does WHAT to its worker. A document that tries the operations
//! that the sandbox forbids gets other words as its text: `not_refused_` and the name of each operation that was allowed.

use crate::mapped::name;
use nix::errno::Errno;
use nix::libc;
use std::cell::Cell;
use std::ffi::CStr;
use std::fs::{self, File};
use std::hint::black_box;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Number of documents that this process has begun.
static DOCUMENTS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Attempts at documents whose read fails at first.
    static ATTEMPTS: Cell<u32> = const { Cell::new(0) };
}

/// Performs the fault that the document names, if it names one. The error is returned as that of a read.
#[expect(unsafe_code, reason = "a fault document crashes on purpose; never in a release build")]
pub(crate) fn act(text: &mut Vec<u8>) -> Result<(), Errno> {
    let documents = DOCUMENTS.fetch_add(1, Ordering::Relaxed);
    let Some(rest) = text.strip_prefix(b"bowline-fault: ") else { return Ok(()) };
    let what = rest.split(|&b| b == b'\n').next().unwrap_or_default().to_vec();
    match what.as_slice() {
        // SAFETY: none; this is the crash that the tests want.
        b"segv" => unsafe { std::ptr::null_mut::<u8>().write_volatile(1) },
        b"abort" => std::process::abort(),
        b"crowded" if documents > 0 => std::process::abort(),
        b"exit" => std::process::exit(7),
        b"panic" => panic!("a fault document"),
        b"hang" => loop {
            std::thread::sleep(Duration::from_secs(1));
        },
        b"deaf" => deaf(),
        b"scribble" => {
            scribble();
            std::process::abort();
        }
        b"unreadable" => return Err(Errno::EIO),
        // Fails at every other attempt of its thread.
        b"unreadable once" if ATTEMPTS.replace(ATTEMPTS.get() + 1).is_multiple_of(2) => {
            return Err(Errno::EIO);
        }
        // Waits until the test has created the file `go`.
        b"wait" => {
            while !std::path::Path::new("go").exists() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        b"slow" => std::thread::sleep(Duration::from_millis(50)),
        b"escape" => *text = shown(&escape()),
        b"peek" => *text = shown(&not_refused([("reading_elsewhere", tried(fs::read("/etc/passwd")))])),
        b"overflow" => {
            black_box(recurse(1));
        }
        b"memory" => {
            let mut eaten: Vec<Vec<u8>> = Vec::new();
            loop {
                eaten.push(black_box(vec![1; 16 << 20]));
            }
        }
        _ => {}
    }
    Ok(())
}

/// Overwrites the committed records of all segments in memory that this process can reach. Segments in files can't be
/// written through a map.
#[expect(unsafe_code, reason = "a wild write on purpose; never in a release build")]
fn scribble() {
    // The strict sandbox does not allow access to the list of maps. This code parses it itself, as below: the crate
    // does not take `procfs` only for tests.
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    let mut segments = 0;
    for line in maps.lines().filter(|line| line.contains(" rw-s ")) {
        let is = |name: &CStr| line.contains(&format!("/memfd:{} ", name.to_string_lossy()));
        segments += i32::from(is(name::LOG) || is(name::MARK));
        if is(name::LOG) {
            let start = line.split('-').next().expect("an address");
            let start = usize::from_str_radix(start, 16).expect("an address");
            // The mark of the committed bytes stays as it is.
            // SAFETY: none for the program; the range is mapped and writable.
            unsafe { std::ptr::write_bytes((start + 64) as *mut u8, 0xA5, 1 << 10) };
        }
    }
    if segments != 1 {
        // A worker has its own segment and no other: the exit code shows how many it had.
        std::process::exit(40 + segments);
    }
}

/// An attempt: its name, one word, and its result.
type Attempt = (&'static str, io::Result<()>);

fn tried<T>(result: io::Result<T>) -> io::Result<()> {
    result.map(drop)
}

/// The names of the attempts that were not refused.
fn not_refused(attempts: impl IntoIterator<Item = Attempt>) -> Vec<&'static str> {
    let is_refused = |result: &io::Result<()>| {
        result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    attempts.into_iter().filter(|(_, result)| !is_refused(result)).map(|(name, _)| name).collect()
}

/// The names as the words of a document.
fn shown(names: &[&str]) -> Vec<u8> {
    names.iter().flat_map(|name| format!("not_refused_{name} ").into_bytes()).collect()
}

/// Tries all that the sandbox forbids. Returns the names of the attempts that were not refused. The arguments of the
/// system calls are harmless where a call is allowed.
fn escape() -> Vec<&'static str> {
    let coordinator = relatives().first().copied().unwrap_or(1);
    [files(), processes(coordinator), commands(coordinator), calls(coordinator)]
        .map(not_refused)
        .into_iter()
        .flatten()
        .collect()
}

/// Access to files and similar objects through the standard library, including those of other processes.
fn files() -> Vec<Attempt> {
    let open =
        |flags: libc::c_int| tried(File::options().read(true).custom_flags(flags).open("corpus/000.txt"));
    let mut attempts = vec![
        ("a_tcp_socket", tried(TcpListener::bind("127.0.0.1:0"))),
        ("a_udp_socket", tried(UdpSocket::bind("127.0.0.1:0"))),
        ("a_local_socket", tried(UnixStream::pair())),
        ("a_process", tried(Command::new("true").spawn())),
        ("a_thread", tried(thread::Builder::new().spawn(|| ()))),
        ("creating_a_file", tried(File::create("escaped"))),
        ("opening_a_file_to_append", tried(File::options().append(true).open("corpus/000.txt"))),
        ("opening_a_file_to_write", tried(File::options().write(true).open("corpus/000.txt"))),
        ("opening_a_file_to_cut_it", open(libc::O_TRUNC)),
        ("opening_a_file_to_be_signalled", open(libc::O_ASYNC)),
        ("a_nameless_file", tried(File::options().write(true).custom_flags(libc::O_TMPFILE).open("."))),
        ("a_folder", fs::create_dir("escaped")),
        (
            "listing_a_folder",
            fs::read_dir("corpus").and_then(|mut entries| entries.next().map_or(Ok(()), tried)),
        ),
        ("renaming", fs::rename("corpus", "escaped")),
        ("removing", fs::remove_file("corpus/000.txt")),
        ("a_hard_link", fs::hard_link("corpus/000.txt", "escaped")),
        ("a_symbolic_link", std::os::unix::fs::symlink("corpus", "escaped")),
        ("permissions", fs::set_permissions("corpus", fs::Permissions::from_mode(0o700))),
    ];
    for relative in relatives() {
        for (name, file) in [
            ("the_memory_of_a_process", "mem"),
            ("the_environment_of_a_process", "environ"),
            ("the_maps_of_a_process", "maps"),
            ("a_descriptor_of_a_process", "fd/0"),
        ] {
            attempts.push((name, tried(File::open(format!("/proc/{relative}/{file}")))));
        }
    }
    attempts
}

/// The process ids of the coordinator and of its other workers, as far as this worker can find them.
fn relatives() -> Vec<libc::pid_t> {
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return Vec::new() };
    let parent = stat.rsplit_once(") ").and_then(|(_, fields)| fields.split(' ').nth(1)?.parse().ok());
    let Some(parent) = parent else { return Vec::new() };
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    let own = std::process::id() as libc::pid_t;
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    [parent].into_iter().chain(children.filter(|&child| child != own)).collect()
}

/// Makes a system call.
#[expect(unsafe_code, reason = "most of what is tried has no other form")]
fn call<const N: usize>(number: libc::c_long, arguments: [usize; N]) -> io::Result<()> {
    let argument = |index: usize| arguments.get(index).copied().unwrap_or(0);
    let [a, b, c, d, e, f] = std::array::from_fn(argument);
    // SAFETY: the callers pass numbers, null pointers with lengths of zero, and strings that live.
    tried(Errno::result(unsafe { libc::syscall(number, a, b, c, d, e, f) }).map_err(io::Error::from))
}

/// Signals to the coordinator, and reads of its memory.
fn processes(coordinator: libc::pid_t) -> Vec<Attempt> {
    let (pid, abort) = (coordinator as usize, libc::SIGABRT as usize);
    vec![
        ("kill", call(libc::SYS_kill, [pid, 0])),
        ("tkill", call(libc::SYS_tkill, [pid, 0])),
        ("tgkill", call(libc::SYS_tgkill, [pid, pid, 0])),
        ("an_abort_of_the_coordinator", call(libc::SYS_tgkill, [pid, pid, abort])),
        ("rt_sigqueueinfo", call(libc::SYS_rt_sigqueueinfo, [pid, 0, 0])),
        ("rt_tgsigqueueinfo", call(libc::SYS_rt_tgsigqueueinfo, [pid, pid, 0, 0])),
        ("pidfd_open", call(libc::SYS_pidfd_open, [pid, 0])),
        ("pidfd_send_signal", call(libc::SYS_pidfd_send_signal, [0, 0, 0, 0])),
        ("pidfd_getfd", call(libc::SYS_pidfd_getfd, [0, 0, 0])),
        ("ptrace", call(libc::SYS_ptrace, [libc::PTRACE_PEEKDATA as usize, pid, 0, 0])),
        ("process_vm_readv", call(libc::SYS_process_vm_readv, [pid, 0, 0, 0, 0, 0])),
        ("process_vm_writev", call(libc::SYS_process_vm_writev, [pid, 0, 0, 0, 0, 0])),
        ("process_madvise", call(libc::SYS_process_madvise, [0, 0, 0, 0, 0])),
        ("move_pages", call(libc::SYS_move_pages, [pid, 0, 0, 0, 0, 0])),
        ("kcmp", call(libc::SYS_kcmp, [pid, pid, 0, 0, 0])),
        ("prlimit64", call(libc::SYS_prlimit64, [pid, libc::RLIMIT_CORE as usize, 0, 0])),
        ("setpriority", call(libc::SYS_setpriority, [0, pid, 0])),
        ("sched_setaffinity", call(libc::SYS_sched_setaffinity, [pid, 0, 0])),
        ("sched_setscheduler", call(libc::SYS_sched_setscheduler, [pid, 0, 0])),
        ("setpgid", call(libc::SYS_setpgid, [0, 0])),
        ("setsid", call(libc::SYS_setsid, [])),
    ]
}

/// Commands, flags and advice that are forbidden for calls that are otherwise allowed.
fn commands(coordinator: libc::pid_t) -> Vec<Attempt> {
    let file = File::open("corpus/000.txt").or_else(|_| File::open("/dev/null"));
    let fd = file.as_ref().map_or(0, |file| file.as_raw_fd()) as usize;
    let fcntl =
        |command: libc::c_int, argument: usize| call(libc::SYS_fcntl, [fd, command as usize, argument]);
    let openat = |flags: libc::c_int| {
        let at = [libc::AT_FDCWD as usize, c"corpus/000.txt".as_ptr() as usize, flags as usize];
        call(libc::SYS_openat, at)
    };
    let exec = (libc::PROT_READ | libc::PROT_EXEC) as usize;
    let anonymous = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
    let madvise = |advice: libc::c_int| call(libc::SYS_madvise, [0, 0, advice as usize]);
    let futex = |operation: libc::c_int| call(libc::SYS_futex, [0, operation as usize, 0, 0, 0, 0]);
    vec![
        ("fcntl_setown", fcntl(libc::F_SETOWN, coordinator as usize)),
        ("fcntl_setown_ex", fcntl(15, 0)),
        ("fcntl_setsig", fcntl(10, libc::SIGKILL as usize)),
        ("fcntl_async", fcntl(libc::F_SETFL, libc::O_ASYNC as usize)),
        ("fcntl_notify", fcntl(libc::F_NOTIFY, 1)),
        ("fcntl_setlease", fcntl(libc::F_SETLEASE, 0)),
        ("fcntl_setlk", fcntl(libc::F_SETLK, 0)),
        ("fcntl_setpipe_sz", fcntl(libc::F_SETPIPE_SZ, 4096)),
        ("fcntl_add_seals", fcntl(libc::F_ADD_SEALS, 0)),
        ("fcntl_dupfd", fcntl(libc::F_DUPFD, 0)),
        ("openat_async", openat(libc::O_ASYNC)),
        ("openat_trunc", openat(libc::O_TRUNC)),
        ("openat_append", openat(libc::O_APPEND)),
        ("openat_direct", openat(libc::O_DIRECT)),
        ("mmap_exec", call(libc::SYS_mmap, [0, 4096, exec, anonymous, usize::MAX, 0])),
        ("mprotect_exec", call(libc::SYS_mprotect, [0, 0, exec])),
        ("mremap_fixed", call(libc::SYS_mremap, [0, 0, 0, libc::MREMAP_FIXED as usize])),
        ("madvise_hwpoison", madvise(libc::MADV_HWPOISON)),
        ("madvise_remove", madvise(libc::MADV_REMOVE)),
        ("madvise_mergeable", madvise(libc::MADV_MERGEABLE)),
        ("madvise_dofork", madvise(libc::MADV_DOFORK)),
        ("fallocate_punch", call(libc::SYS_fallocate, [fd, libc::FALLOC_FL_PUNCH_HOLE as usize | 1, 0, 1])),
        ("fadvise_noreuse", call(libc::SYS_fadvise64, [fd, 0, 0, libc::POSIX_FADV_NOREUSE as usize])),
        ("futex_shared", futex(libc::FUTEX_WAKE)),
        ("futex_lock_pi", futex(libc::FUTEX_LOCK_PI | libc::FUTEX_PRIVATE_FLAG)),
        ("futex_cmp_requeue", futex(libc::FUTEX_CMP_REQUEUE | libc::FUTEX_PRIVATE_FLAG)),
        ("sendmsg_oob", call(libc::SYS_sendmsg, [0, 0, libc::MSG_OOB as usize])),
        ("recvmsg_oob", call(libc::SYS_recvmsg, [0, 0, libc::MSG_OOB as usize])),
        ("recvmsg_peek", call(libc::SYS_recvmsg, [0, 0, libc::MSG_PEEK as usize])),
    ]
}

/// Calls that are forbidden with any arguments.
fn calls(coordinator: libc::pid_t) -> Vec<Attempt> {
    macro_rules! calls {
        ($($call:ident)*) => { vec![$((stringify!($call), call(libc::$call, [usize::MAX; 6]))),*] };
    }
    let mut attempts = calls![
        SYS_ioctl SYS_prctl SYS_seccomp SYS_personality SYS_capset SYS_setrlimit SYS_landlock_create_ruleset
        SYS_dup SYS_dup3 SYS_pipe2 SYS_eventfd2 SYS_signalfd4 SYS_timerfd_create SYS_timer_create SYS_memfd_create
        SYS_memfd_secret SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_ppoll SYS_pselect6 SYS_inotify_init1 SYS_fanotify_init
        SYS_getdents64 SYS_readlinkat SYS_faccessat SYS_openat2 SYS_open_by_handle_at SYS_name_to_handle_at
        SYS_truncate SYS_ftruncate SYS_unlinkat SYS_mkdirat SYS_mknodat SYS_linkat SYS_symlinkat SYS_renameat2
        SYS_fchmod SYS_fchmodat SYS_fchown SYS_fchownat SYS_utimensat SYS_setxattr SYS_fsetxattr SYS_flock SYS_fsync
        SYS_copy_file_range SYS_sendfile SYS_splice SYS_tee SYS_vmsplice SYS_process_mrelease
        SYS_socket SYS_socketpair SYS_bind SYS_connect SYS_listen SYS_accept4 SYS_shutdown SYS_getsockopt SYS_setsockopt
        SYS_sendto SYS_recvfrom SYS_sendmmsg SYS_recvmmsg SYS_getpeername
        SYS_execve SYS_execveat SYS_clone3 SYS_wait4 SYS_waitid SYS_unshare SYS_setns
        SYS_mount SYS_umount2 SYS_chroot SYS_pivot_root SYS_open_tree SYS_move_mount SYS_fsopen SYS_chdir SYS_fchdir
        SYS_setuid SYS_setgid SYS_setresuid SYS_setresgid SYS_setgroups SYS_setfsuid SYS_ioprio_set SYS_membarrier
        SYS_userfaultfd SYS_io_uring_setup SYS_io_setup SYS_bpf SYS_perf_event_open SYS_keyctl SYS_add_key
        SYS_request_key SYS_shmget SYS_shmat SYS_msgget SYS_semget SYS_mq_open SYS_mq_notify SYS_syslog SYS_acct
        SYS_mlock SYS_mlockall SYS_remap_file_pages SYS_rseq SYS_set_robust_list SYS_uname SYS_getppid
    ];
    // Neither call requests anything, if it is allowed.
    attempts.push(("clone", call(libc::SYS_clone, [libc::CLONE_SIGHAND as usize, 0, 0, 0, 0])));
    attempts.push(("get_robust_list", call(libc::SYS_get_robust_list, [coordinator as usize, 0, 0])));
    #[cfg(target_arch = "x86_64")]
    {
        attempts.extend(calls![SYS_open SYS_creat SYS_unlink SYS_poll SYS_epoll_wait SYS_dup2 SYS_arch_prctl SYS_modify_ldt]);
        // The other set of system call numbers of the processor (x32).
        attempts.push(("x32", call(libc::SYS_getpid | 0x4000_0000, [])));
    }
    attempts
}

/// Closes all descriptors and does not exit.
fn deaf() {
    for fd in 3..1000 {
        // Most descriptors are not open.
        let _ = nix::unistd::close(fd);
    }
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

#[expect(unconditional_recursion, reason = "overflows the stack on purpose")]
fn recurse(depth: u64) -> u64 {
    let page = black_box([depth; 512]);
    page[(depth % 512) as usize] + recurse(depth + 1)
}
