//! Documents that do harm on purpose, for the tests of supervision. Only in builds with the feature `faults`.
//!
//! A document whose text begins with `bowline-fault: WHAT` does WHAT to its worker.

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::kill;
use nix::unistd::getppid;
use std::cell::Cell;
use std::fs::File;
use std::hint::black_box;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Documents that this process has begun.
static DOCUMENTS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Attempts at documents that are hard to read.
    static ATTEMPTS: Cell<u32> = const { Cell::new(0) };
}

/// Does what the document asks for, if it asks. The error is that of a read.
#[expect(unsafe_code, reason = "a fault document crashes on purpose; never in a release build")]
pub(crate) fn act(text: &[u8]) -> Result<(), Errno> {
    let documents = DOCUMENTS.fetch_add(1, Ordering::Relaxed);
    let Some(rest) = text.strip_prefix(b"bowline-fault: ") else { return Ok(()) };
    let what = rest.split(|&b| b == b'\n').next().unwrap_or_default();
    match what {
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
        // At every other attempt of its thread.
        b"unreadable once" if ATTEMPTS.replace(ATTEMPTS.get() + 1).is_multiple_of(2) => {
            return Err(Errno::EIO);
        }
        // Until the test has made the file `go`.
        b"wait" => {
            while !std::path::Path::new("go").exists() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        b"slow" => std::thread::sleep(Duration::from_millis(50)),
        b"escape" => escape(),
        b"peek" => forbidden("reading outside of the corpus", std::fs::read("/etc/passwd")),
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

/// Writes over the records of all segments that this process has, as far as they are committed.
#[expect(unsafe_code, reason = "a wild write on purpose; never in a release build")]
fn scribble() {
    // The strict sandbox does not let it see where they are.
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    let (mut segments, mut pages) = (0, 0);
    for line in maps.lines().filter(|line| line.contains(" rw-s ")) {
        let range = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
        let [start, end] = [range.0, range.1].map(|end| usize::from_str_radix(end, 16).expect("an address"));
        // The recorder takes a page, and a segment more, unless memory is next to none.
        if end - start == 1 << 12 {
            pages += 1;
        } else {
            segments += 1;
            // The mark of what is committed is left as it is.
            // SAFETY: none for the program; the range is mapped, and may be written.
            unsafe { std::ptr::write_bytes((start + 64) as *mut u8, 0xA5, 1 << 10) };
        }
    }
    let has_its_own = segments == 1 || (segments, pages) == (0, 2);
    if !has_its_own {
        // A worker has no segment but its own: its cause shows how many it had.
        std::process::exit(40 + segments);
    }
}

/// Tries everything that the sandbox forbids, and panics if something works.
fn escape() {
    use std::fs;
    forbidden("a TCP socket", TcpListener::bind("127.0.0.1:0"));
    forbidden("a UDP socket", UdpSocket::bind("127.0.0.1:0"));
    forbidden("a local socket", UnixStream::pair());
    forbidden("a process", Command::new("true").spawn());
    forbidden("a thread", thread::Builder::new().spawn(|| ()));
    forbidden("creating a file", File::create("escaped"));
    forbidden("opening a file to write", File::options().append(true).open("/dev/null"));
    forbidden("a folder", fs::create_dir("escaped"));
    forbidden("renaming", fs::rename("corpus", "escaped"));
    forbidden("removing", fs::remove_file("corpus/000.txt"));
    forbidden("permissions", fs::set_permissions("corpus", fs::Permissions::from_mode(0o700)));
    forbidden("a signal", kill(getppid(), None).map_err(io::Error::from));
    if let Some(coordinator) = parent() {
        forbidden("an abort of the coordinator", abort(coordinator));
    }
    forbidden("a limit", setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(io::Error::from));
}

/// The number of this process's parent, which no system call tells here.
fn parent() -> Option<libc::pid_t> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

#[expect(unsafe_code, reason = "there is no other way to send a signal to a thread")]
fn abort(process: libc::pid_t) -> io::Result<()> {
    // SAFETY: the call takes numbers and touches no memory.
    match unsafe { libc::syscall(libc::SYS_tgkill, process, process, libc::SIGABRT) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Closes all that is open, and stays.
fn deaf() {
    for fd in 3..1000 {
        // Most are not open.
        let _ = nix::unistd::close(fd);
    }
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

fn forbidden<T>(what: &str, tried: io::Result<T>) {
    let refused = tried.err().map(|error| error.kind());
    assert_eq!(refused, Some(io::ErrorKind::PermissionDenied), "{what} is not forbidden");
}

#[expect(unconditional_recursion, reason = "overflows the stack on purpose")]
fn recurse(depth: u64) -> u64 {
    let page = black_box([depth; 512]);
    page[(depth % 512) as usize] + recurse(depth + 1)
}
