//! A run of the program: its start, the wait for it under a hard time limit, and checks of its exit code and its
//! messages.
//!
//! Each run has its own process group, so that processes that outlive it are found and end with the test.

use super::processes;
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigHandler, Signal, kill, killpg, signal};
use nix::unistd::Pid;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The time limit of a run, unless its test sets another. Runs take a fraction of a second.
const LIMIT: Duration = Duration::from_secs(30);

/// How often a waiting test checks its condition.
pub const TICK: Duration = Duration::from_millis(1);

/// The program to test. `BOWLINE_UNDER_TEST` names it (`make test-release`), or else it is the program that was built
/// with the tests. Cargo passes its path to the tests of its own package; other tests find it beside their own program.
pub fn bowline() -> PathBuf {
    if let Some(program) = std::env::var_os("BOWLINE_UNDER_TEST") {
        return program.into();
    }
    let own = option_env!("CARGO_BIN_EXE_bowline").map(PathBuf::from);
    let other = || {
        let bench = option_env!("CARGO_BIN_EXE_bowline-bench").unwrap_or_default();
        let program = Path::new(bench).with_file_name("bowline");
        assert!(program.exists(), "{program:?} is not built (cargo test --workspace builds it)");
        program
    };
    own.unwrap_or_else(other)
}

/// A run that has not started yet.
pub struct Invocation {
    command: Command,
    limit: Duration,
    /// The number of workers, added unless the arguments contain one.
    workers: Option<&'static str>,
    /// The file that replaces standard error.
    stderr: Option<File>,
    /// The directory for temporary files, in which no file may be left.
    temporary: TempDir,
}

impl Invocation {
    /// The program without arguments, in `directory`.
    pub fn new(directory: &Path) -> Self {
        Invocation::through(&[], directory)
    }

    /// The program as the last arguments of another command, which becomes the program or waits for it.
    pub fn through(wrapper: &[&str], directory: &Path) -> Self {
        let program = bowline();
        let mut words = wrapper.iter().map(OsStr::new).chain([program.as_os_str()]);
        let mut command = Command::new(words.next().expect("at least the program"));
        command.args(words).current_dir(directory).stdin(Stdio::null()).process_group(0);
        // No run may dump core.
        command.env("RUST_BACKTRACE", "1");
        command.env("NO_COLOR", "1").env_remove("CLICOLOR_FORCE");
        begin_alike(&mut command);
        let temporary = tempfile::tempdir().expect("a directory for temporary files");
        command.env("TMPDIR", temporary.path());
        Invocation { command, limit: LIMIT, workers: None, stderr: None, temporary }
    }

    /// Further arguments.
    pub fn args(mut self, arguments: &[impl AsRef<OsStr>]) -> Self {
        self.command.args(arguments);
        self
    }

    /// Runs in that directory instead.
    pub fn within(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Gives the program this standard input; by default it is empty.
    pub fn standard_input(mut self, from: impl Into<OwnedFd>) -> Self {
        self.command.stdin(from.into());
        self
    }

    /// Sends standard error to that path, so that the test does not read it.
    pub fn stderr_to(mut self, path: &str) -> Self {
        self.stderr = Some(File::options().write(true).open(path).expect("a place for standard error"));
        self
    }

    /// Sets the number of workers, unless the arguments contain one.
    pub fn workers(mut self, workers: Option<&'static str>) -> Self {
        self.workers = workers;
        self
    }

    /// Sets another time limit.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Makes the kernel refuse these calls, as a container's filter or an old kernel does.
    pub fn refusing(mut self, calls: &[Refused], errno: Errno) -> Self {
        let rules = calls.iter().map(|&Refused(call, argument)| {
            let only = |(argument, value)| {
                SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
                    .and_then(|condition| SeccompRule::new(vec![condition]))
                    .expect("a rule")
            };
            (call, argument.map(only).into_iter().collect())
        });
        let (refused, arch) = (SeccompAction::Errno(errno as u32), std::env::consts::ARCH.try_into());
        let filter =
            SeccompFilter::new(rules.collect(), SeccompAction::Allow, refused, arch.expect("a machine"));
        let program: BpfProgram = filter.and_then(TryInto::try_into).expect("a filter");
        begin_with(&mut self.command, move || {
            apply_filter(&program).map_err(|_| io::ErrorKind::Unsupported.into())
        });
        self
    }

    /// Starts the run and returns at once.
    pub fn start(mut self) -> Running {
        let stdout = tempfile::tempfile().expect("a file for standard output");
        let stderr = tempfile::tempfile().expect("a file for standard error");
        self.command.stdout(stdout.try_clone().expect("a descriptor"));
        let seen = || stderr.try_clone().expect("a descriptor");
        self.command.stderr(self.stderr.take().unwrap_or_else(seen));
        let says_workers =
            |argument: &OsStr| argument == "-w" || argument.as_encoded_bytes().starts_with(b"--workers");
        if let Some(workers) = self.workers.filter(|_| !self.command.get_args().any(says_workers)) {
            self.command.args(["--workers", workers]);
        }
        let described = format!("{:?}", self.command.get_args().collect::<Vec<_>>());
        let child = self.command.spawn().expect("the program starts");
        let (limit, temporary) = (self.limit, self.temporary);
        Running { child, began: Instant::now(), limit, stdout, stderr, described, temporary }
    }

    /// Starts the run and waits for its end.
    pub fn run(self) -> Finished {
        self.start().wait()
    }
}

/// Gives the program default signal handling and only its own files, however the tests themselves were started (nohup,
/// a shell's `&`, open files).
#[expect(unsafe_code, reason = "what runs between fork and exec")]
fn begin_alike(command: &mut Command) {
    let begin = || {
        for heeded in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            // SAFETY: no handler is installed.
            unsafe { signal(heeded, SigHandler::SigDfl) }?;
        }
        // SAFETY: nothing is closed before the program begins. A kernel that can't do it leaves them open.
        unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
        Ok(())
    };
    begin_with(command, begin);
}

/// Makes system calls before the program starts.
#[expect(unsafe_code, reason = "what runs between fork and exec")]
fn begin_with(command: &mut Command, begin: impl FnMut() -> io::Result<()> + Send + Sync + 'static) {
    // SAFETY: it makes system calls only, which a forked child may (signal-safety(7)).
    unsafe { command.pre_exec(begin) };
}

/// A system call that is refused, always or only if the argument with that number has that value.
#[derive(Clone, Copy)]
pub struct Refused(pub libc::c_long, pub Option<(u8, u64)>);

/// A run that has started. When dropped, it is killed with all processes that it started.
pub struct Running {
    child: Child,
    began: Instant,
    limit: Duration,
    stdout: File,
    stderr: File,
    described: String,
    temporary: TempDir,
}

impl Running {
    /// The coordinator.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Sends the coordinator a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the run is still there");
    }

    /// Sends the coordinator and its workers a signal, as a terminal does.
    pub fn signal_all(&self, signal: Signal) {
        killpg(self.pid(), signal).expect("the run is still there");
    }

    /// The current children of the coordinator: its workers, and the process that tries the sandbox.
    pub fn children(&self) -> Vec<Pid> {
        processes::children(self.pid())
    }

    /// The current workers.
    pub fn workers(&self) -> Vec<Pid> {
        self.children().into_iter().filter(|&child| processes::ignores_ends(child)).collect()
    }

    /// Whether the coordinator has ended.
    pub fn is_over(&mut self) -> bool {
        self.check_time("its end");
        self.child.try_wait().expect("a child of ours").is_some()
    }

    /// Waits until `happened` returns true. The time limit of the run still applies.
    pub fn until(&mut self, what: &str, mut happened: impl FnMut(&Running) -> bool) {
        while !happened(self) {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                panic!("{} ended ({status}) before: {what}\n{}", self.described, text(&mut self.stderr));
            }
            self.check_time(what);
            std::thread::sleep(TICK);
        }
    }

    /// Waits for the end. No worker and no temporary file may outlive the run; the workers of a killed run get 1 s.
    pub fn wait(mut self) -> Finished {
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                break status;
            }
            self.check_time("its end");
            std::thread::sleep(TICK);
        };
        let took = self.began.elapsed();
        let grace = if status.signal().is_some() { Duration::from_secs(1) } else { Duration::ZERO };
        let left = processes::left_of_group(self.pid(), grace);
        let described = || left.iter().map(|&pid| processes::describe(pid)).collect::<Vec<_>>();
        assert!(left.is_empty(), "{} ({status}) left the processes {:?}", self.described, described());
        let left: Vec<_> = self.temporary.path().read_dir().expect("its own directory").collect();
        assert!(left.is_empty(), "{} left the files {left:?}", self.described);
        Finished {
            status,
            took,
            stdout: text(&mut self.stdout),
            stderr: text(&mut self.stderr),
            described: std::mem::take(&mut self.described),
        }
    }

    fn check_time(&mut self, what: &str) {
        if self.began.elapsed() > self.limit {
            self.end();
            let (limit, described) = (self.limit, &self.described);
            panic!("{described} took more than {limit:?}, waiting for: {what}\n{}", text(&mut self.stderr));
        }
    }

    fn end(&mut self) {
        // It may be gone already, which is right.
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// A run that has ended.
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// Time from its start to its end.
    pub took: Duration,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    described: String,
}

impl Finished {
    /// Requires this exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        let Finished { status, described, stdout, stderr, .. } = &self;
        assert_eq!(status.code(), Some(code), "{described} ended by {status}\n{stdout}{stderr}");
        self
    }

    /// The only line that it wrote, to standard error, without its `bowline: `.
    #[track_caller]
    pub fn line(&self) -> &str {
        assert_eq!(self.stdout, "", "{}", self.described);
        let line = self.stderr.strip_suffix('\n').and_then(|line| line.strip_prefix("bowline: "));
        let line = line.filter(|line| !line.contains('\n'));
        line.unwrap_or_else(|| panic!("{}: not one line from bowline:\n{}", self.described, self.stderr))
    }
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("what a run wrote");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The repository, which contains the sample corpus and the goldens.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
