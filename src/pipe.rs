//! Files and pipes that the user names: opened and read so that a signal ends the wait for the other end of a pipe.

use crate::cancel;
use anyhow::{Result, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::{File, FileType};
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::AtomicUsize;

/// Milliseconds between two looks at whether a signal has asked the run to end, while a pipe is empty.
const LOOK: u16 = 50;

/// Opens a list: a file, or a pipe whose writer may come later.
///
/// # Errors
/// The system's, or that it is neither a file nor a pipe.
pub fn open_list(path: &Path) -> Result<File> {
    let judge = |kind: FileType| {
        ensure!(!kind.is_dir(), "a directory, not a list");
        ensure!(kind.is_file() || kind.is_fifo(), "neither a file nor a pipe");
        Ok(())
    };
    // The opening of a device may do something.
    judge(std::fs::metadata(path)?.file_type())?;
    // Without O_NONBLOCK the opening of a pipe would wait for its writer, and no signal would end that.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    judge(file.metadata()?.file_type())?;
    Ok(file)
}

/// Reads once, waiting until `file` has bytes or has ended: 0 bytes are its end. `interrupted` holds the number of a signal
/// that asked the run to end.
///
/// # Errors
/// The system's, or that of being interrupted.
pub fn read(mut file: &File, into: &mut [u8], interrupted: &AtomicUsize) -> Result<usize> {
    loop {
        wait_for_bytes(file, interrupted)?;
        match file.read(into) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            read => return Ok(read?),
        }
    }
}

/// Waits until `file` has bytes or has ended. A pipe that has had no writer yet has not.
fn wait_for_bytes(file: &File, interrupted: &AtomicUsize) -> Result<()> {
    loop {
        cancel::check(interrupted)?;
        match poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLIN)], PollTimeout::from(LOOK)) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
}
