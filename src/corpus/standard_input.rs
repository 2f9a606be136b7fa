//! Standard input as a CORPUS. A file is read in place; a pipe is copied into an unnamed scratch file first, so that it can
//! be cut, read by several workers, and read again after a death.

use crate::pipe;
use anyhow::{Context as _, Result};
use bowline_workers::mapped::{shortage, unnamed_file};
use bowline_workers::split::Compression;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::File;
use std::io::{self, IsTerminal as _, Seek as _, Write as _, stdin};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};
use std::path::Path;
use std::sync::atomic::AtomicUsize;

/// Bytes that are copied at a time.
const CHUNK: usize = 1 << 20;

/// Names of standard input. Behind all but the first, a worker process finds another file than the coordinator.
const STANDARD_INPUT: [&str; 4] = ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];

/// Whether a CORPUS or a list is standard input.
pub fn is_standard_input(path: &Path) -> bool {
    STANDARD_INPUT.iter().any(|name| path.as_os_str() == *name)
}

/// Standard input, checked and not read yet.
pub struct StandardInput {
    file: File,
    /// Whether workers can read it from its beginning.
    is_in_place: bool,
}

/// A file of which any part can be read.
pub struct Settled {
    /// The file.
    pub file: File,
    /// How it is compressed, by its first bytes.
    pub compression: Option<Compression>,
    /// Bytes that were copied.
    pub copied: u64,
}

impl StandardInput {
    /// Checks that standard input can be a CORPUS.
    ///
    /// # Errors
    /// Why it can't: it is closed, a terminal, or neither a file nor a pipe.
    pub fn open() -> Result<Self, &'static str> {
        if stdin().is_terminal() {
            return Err("is a terminal: pipe the text in, or redirect a file");
        }
        let closed = |_: io::Error| "is closed: pipe the text in, or redirect a file";
        // A descriptor of its own, since that of standard input is replaced in workers.
        let mut file = File::from(stdin().as_fd().try_clone_to_owned().map_err(closed)?);
        let kind = file.metadata().map_err(closed)?.file_type();
        if kind.is_dir() {
            return Err("is a directory: give its path as CORPUS, instead of the redirection");
        }
        if kind.is_char_device() || kind.is_block_device() {
            // The runtime opens /dev/null in place of a closed descriptor.
            return Err("is closed or a device: pipe the text in, or redirect a file");
        }
        let flags = fcntl(&file, FcntlArg::F_GETFL).map_err(|_| closed(io::ErrorKind::Other.into()))?;
        let access = OFlag::from_bits_truncate(flags) & OFlag::O_ACCMODE;
        if access == OFlag::O_WRONLY {
            return Err("is open for writing only: redirect with `<`");
        }
        // No worker gets a descriptor by which it could change a file of the user's.
        let is_in_place = kind.is_file()
            && access == OFlag::O_RDONLY
            && file.stream_position().is_ok_and(|position| position == 0);
        Ok(StandardInput { file, is_in_place })
    }

    /// A file with its bytes: itself, or a copy in the directory `scratch`. `copied` is called with the number of bytes
    /// copied so far. `interrupted` holds the number of a signal that asked the run to end.
    ///
    /// # Errors
    /// The system's, or that of being interrupted.
    pub fn settle(
        self,
        scratch: &Path,
        copied: &mut dyn FnMut(u64),
        interrupted: &AtomicUsize,
    ) -> Result<Settled> {
        let (file, copied) = match self.is_in_place {
            true => (self.file, 0),
            false => self.copy(scratch, copied, interrupted)?,
        };
        let mut beginning = [0; 16];
        // An error shows again when the file is read.
        let bytes = file.read_at(&mut beginning, 0).unwrap_or(0);
        let compression = Compression::of_beginning(&beginning[..bytes]);
        Ok(Settled { file, compression, copied })
    }

    fn copy(
        self,
        scratch: &Path,
        progress: &mut dyn FnMut(u64),
        interrupted: &AtomicUsize,
    ) -> Result<(File, u64)> {
        let mut copy = unnamed_file(scratch).context("-: making a scratch file for a copy")?;
        let mut buffer = vec![0; CHUNK];
        let mut copied = 0;
        progress(copied);
        loop {
            let bytes = pipe::read(&self.file, &mut buffer, interrupted);
            let bytes = bytes.context("-: reading standard input")?;
            if bytes == 0 {
                // Workers need not write to it.
                let read_only = File::open(format!("/proc/self/fd/{}", copy.as_raw_fd()));
                return Ok((read_only.unwrap_or(copy), copied));
            }
            copy.write_all(&buffer[..bytes])
                .map_err(|error| shortage(&copy, scratch, copied + bytes as u64, error))
                .context("-: copying standard input to a scratch file")?;
            copied += bytes as u64;
            progress(copied);
        }
    }
}
