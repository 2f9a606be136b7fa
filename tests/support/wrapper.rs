//! Commands that run the program as another user, or with its own disk, if the machine allows it.
//!
//! If it does not, a notice on standard error names the test that was left out. Nothing here outlives the run: the disk
//! lies in the run's own mount namespace.

use super::invocation::bowline;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

/// The user `nobody`.
const SETPRIV: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// The command that lets a shell command mount.
const UNSHARE: [&str; 6] = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"];

/// Mounts a disk of that size on `disk`, runs the arguments, and lists the files left there.
const ON_SMALL_DISK: &str =
    "mount -t tmpfs -o size=$0 tmpfs disk || exit 77; \"$@\"; code=$?; ls -A disk; exit $code";

/// Whether the tests run as root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// A command under which permissions apply. It is empty unless the tests run as root.
pub fn unprivileged() -> Option<Vec<&'static str>> {
    if !is_root() {
        return Some(Vec::new());
    }
    let program = bowline();
    let program = program.to_str().expect("a path of UTF-8");
    let probe = [&SETPRIV[1..], &[program, "--version"]].concat();
    works(SETPRIV[0], &probe, "permissions: setpriv can't run the program as nobody")
        .then(|| SETPRIV.to_vec())
}

/// A command under which the program runs as another user than the tests. The tests are root and may change owners.
pub fn another_user() -> Option<Vec<&'static str>> {
    let user = unprivileged().filter(|user| !user.is_empty());
    if user.is_none() {
        let _ = writeln!(std::io::stderr(), "\nnot tried: files of another user, which only root can make");
    }
    user
}

/// A command under which `disk`, a directory of the test, is a disk of this size. `,nr_inodes=N` behind the size limits its
/// files. It prints the files left there.
pub fn small_disk(size: &str) -> Option<Vec<&str>> {
    let probe = [&UNSHARE[1..], &["mount -t tmpfs tmpfs /mnt"]].concat();
    let wrapper = [&UNSHARE[..], &[ON_SMALL_DISK, size]].concat();
    works(UNSHARE[0], &probe, "a full disk: no tmpfs can be mounted").then_some(wrapper)
}

/// Mounts the file system in `image` on `disk`, runs the arguments, copies `disk/out` to `copied` and lists the
/// files left on the disk. The file system is ext4. It is made, or grows, to the size `$0`, with blocks of `$1` bytes. By
/// default, a small one has room for a dozen files, however large it grows.
const ON_EXT4: &str = r#"
block=$1; shift; PATH=$PATH:/usr/sbin:/sbin
if [ -e image ]; then truncate -s $0 image && resize2fs -f image; else truncate -s $0 image && mkfs.ext4 -q -F -b $block -m 0 -N 256 image; fi >/dev/null 2>&1 &&
mount -o loop image disk || exit 77
"$@"; code=$?
[ ! -d disk/out ] || cp -r disk/out copied
ls -A disk | grep -v lost+found
umount disk; exit $code"#;

/// Exit code of [`ext4`]'s command if a file system of that size can't be made.
pub const NO_DISK: i32 = 77;

/// Whether [`ext4`] works here: it needs root and loop devices.
pub fn has_ext4() -> bool {
    let script =
        "cd $(mktemp -d) && mkdir disk && sh -c \"$0\" 1M 1024 true; code=$?; rm -r $PWD; exit $code";
    works(
        "unshare",
        &["--mount", "sh", "-c", script, ON_EXT4],
        "full disks: no ext4 in a file can be mounted",
    )
}

/// A command under which `disk`, a directory of the test, is an ext4 of this size and block size (bytes). It lies in
/// the file `image`, which the next run uses again unless it is removed. The command prints the files left on the disk,
/// and copies the output `disk/out` to `copied`.
pub fn ext4<'a>(size: &'a str, block: &'a str) -> Vec<&'a str> {
    vec!["unshare", "--mount", "sh", "-c", ON_EXT4, size, block]
}

/// Puts itself into a new control group (cgroups(7), version 2 or 1) of `$1` bytes, runs the other arguments, and
/// removes it.
const IN_LITTLE_MEMORY: &str = r#"
bytes=$1; shift
group() { sed -n "s/^[0-9]*:$1://p" /proc/self/cgroup; }
for place in "/sys/fs/cgroup$(group)/ memory.max" "/sys/fs/cgroup/memory$(group memory)/ memory.limit_in_bytes"; do
    set_limit=${place#* } parent=${place%% *} own=${place%% *}bowline-test-$$
    mkdir "$own" 2>/dev/null || continue
    # Where no control groups are mounted, a new directory is empty.
    if [ -e "$own/$set_limit" ] && echo $bytes 2>/dev/null > "$own/$set_limit" && echo $$ 2>/dev/null > "$own/cgroup.procs"; then
        "$@"; code=$?
        echo $$ > "$parent/cgroup.procs"; rmdir "$own"; exit $code
    fi
    rmdir "$own"
done
exit 77"#;

/// A command under which the kernel kills processes that together take more than `bytes` bytes. Pages of files count, but
/// give way.
pub fn little_memory(bytes: &'static str) -> Option<Vec<&'static str>> {
    let wrapper = ["sh", "-c", IN_LITTLE_MEMORY, "sh", bytes];
    let probe = [&wrapper[1..], &["true"]].concat();
    works(wrapper[0], &probe, "want of memory: no control group can be made").then(|| wrapper.to_vec())
}

/// A command under which `/dev/shm` is almost too small for any file.
pub fn tiny_dev_shm() -> Option<Vec<&'static str>> {
    let script = "mount -t tmpfs -o size=4k tmpfs /dev/shm || exit 77; exec \"$@\"";
    let probe = [&UNSHARE[1..], &[script, "sh", "true"]].concat();
    let wrapper = [&UNSHARE[..], &[script, "sh"]].concat();
    works(UNSHARE[0], &probe, "a tiny /dev/shm: no tmpfs can be mounted").then_some(wrapper)
}

/// A command under which there are no devices, no `/proc` and no `/sys`, as in a directory used as root (chroot(2)).
pub fn bare_machine() -> Option<Vec<&'static str>> {
    let script = "for d in /dev /proc /sys; do mount -t tmpfs -o ro tmpfs $d || exit 77; done; exec \"$@\"";
    let probe = [&UNSHARE[1..], &[script, "sh", "true"]].concat();
    let wrapper = [&UNSHARE[..], &[script, "sh"]].concat();
    works(UNSHARE[0], &probe, "no /dev, /proc and /sys: no tmpfs can be mounted there").then_some(wrapper)
}

/// Whether this kernel can confine workers in that way. Old kernels lack parts of it.
pub fn can_confine(sandbox: &str) -> bool {
    let dir = super::Dir::with_corpus(&[("a.txt", "one two")]);
    let confines = dir.embed(&["--sandbox", sandbox, "--report", "report.json"]).run().status.success()
        && fs::read_to_string(dir.path("report.json")).is_ok_and(|report| report.contains("seccomp"));
    if !confines {
        let _ =
            writeln!(std::io::stderr(), "\nnot tried: a sandbox, which this kernel can't make ({sandbox})");
    }
    confines
}

/// A command under which the program has 1 GiB of address space. Requests for more memory fail.
pub fn few_addresses() -> Vec<&'static str> {
    vec!["sh", "-c", "ulimit -v 1048576; exec \"$@\"", "sh"]
}

/// A command under which a system call of the coordinator fails, in the syntax of `strace -e`: `inject=CALL:error=...`.
pub fn failing(call: &str) -> Option<Vec<&str>> {
    let wrapper = vec!["strace", "-qq", "-o", "/dev/null", "-e", call];
    let probe = [&wrapper[1..], &["true"]].concat();
    works("strace", &probe, "system calls that fail: there is no strace").then_some(wrapper)
}

/// The same, only for calls on the file or folder with this absolute path.
pub fn failing_at<'a>(call: &'a str, path: &'a str) -> Option<Vec<&'a str>> {
    let wrapper = failing(call)?;
    Some([&wrapper[..1], &["-P", path], &wrapper[1..]].concat())
}

/// A command under which `disk`, a directory of the test, lies on a file system that can't reserve disk.
pub fn disk_without_reservation() -> Option<Vec<&'static str>> {
    let script = "mount -t ramfs ramfs disk || exit 77; exec \"$@\"";
    let probe = [&UNSHARE[1..], &["mount -t ramfs ramfs /mnt"]].concat();
    let wrapper = [&UNSHARE[..], &[script, "sh"]].concat();
    works(UNSHARE[0], &probe, "a disk without reservation: no ramfs can be mounted").then_some(wrapper)
}

/// A command that limits the number of processes and threads of the program's user.
pub fn few_processes(limit: &'static str) -> Option<Vec<&'static str>> {
    let user = unprivileged()?;
    let wrapper = [&user[..], &["prlimit", limit]].concat();
    let probe = ["--nproc=1000", "true"];
    works("prlimit", &probe, "few processes: there is no prlimit").then_some(wrapper)
}

fn works(program: &str, arguments: &[&str], otherwise: &str) -> bool {
    let probe = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let works = probe.is_ok_and(|status| status.success());
    if !works {
        // Bypasses the harness, which hides the output of passing tests. A failure to write a notice does not fail the
        // test.
        let _ = writeln!(std::io::stderr(), "\nnot tried: {otherwise}");
    }
    works
}
