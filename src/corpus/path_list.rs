//! Lists of files: a path a line, or paths that each end in a NUL.

use super::standard_input::is_standard_input;
use crate::error::{ErrorKind, Fault};
use crate::pipe;
use anyhow::{Context as _, Result, bail};
use bowline_workers::documents::display_path;
use std::fs::File;
use std::io::stdin;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 16;

/// Bytes of the longest path: the system opens none of 4096 bytes.
const LONGEST: usize = 1 << 16;

/// Bytes of the largest list; a stream without end is not a list.
const MAX_BYTES: u64 = 4 << 30;

/// A list of files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathList {
    /// The file or pipe that contains the list. `-` is standard input.
    pub path: PathBuf,
    /// Whether each path ends in a NUL, and not in a line end.
    pub null: bool,
}

impl PathList {
    /// Whether standard input contains it.
    pub fn is_standard_input(&self) -> bool {
        is_standard_input(&self.path)
    }

    /// Calls `each` with each path, in order. Empty ones are left out. `interrupted` holds the number of a signal that asked
    /// the run to end.
    ///
    /// # Errors
    /// If it can't be read or is not a list of paths, or that of being interrupted.
    pub fn read(&self, interrupted: &AtomicUsize, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        let shown = || display_path(self.path.as_os_str().as_bytes());
        let mut read = || {
            let file = match self.is_standard_input() {
                true => File::from(stdin().as_fd().try_clone_to_owned()?),
                false => pipe::open_list(&self.path)?,
            };
            let mut split = Split { null: self.null, line: Vec::new(), number: 0 };
            let mut buffer = vec![0; CHUNK];
            let mut total = 0;
            loop {
                let bytes = pipe::read(&file, &mut buffer, interrupted)?;
                split.add(&buffer[..bytes], each)?;
                total += bytes as u64;
                if bytes == 0 {
                    return split.end(each);
                }
                if total > MAX_BYTES {
                    bail!("more than {} GiB, too large for a list", MAX_BYTES >> 30);
                }
            }
        };
        read().with_context(shown)
    }
}

/// Cuts a list into paths.
struct Split {
    null: bool,
    /// The beginning of the next path.
    line: Vec<u8>,
    /// Number of paths so far, empty ones included.
    number: u64,
}

impl Split {
    /// Adds the next bytes of the list.
    fn add(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<()> {
        let end = if self.null { 0 } else { b'\n' };
        while let Some(length) = bytes.iter().position(|&byte| byte == end) {
            self.extend(&bytes[..length])?;
            self.finish(each)?;
            bytes = &bytes[length + 1..];
        }
        self.extend(bytes)
    }

    /// Ends the list: the last path may have no line end.
    fn end(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.finish(each)
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<()> {
        self.line.extend_from_slice(bytes);
        if self.line.len() > LONGEST {
            let unit = if self.null { "path" } else { "line" };
            let text = format!(
                "{unit} {}: longer than {LONGEST} bytes, so this is not a list of paths",
                self.number + 1
            );
            let kind = if self.null { ErrorKind::Other } else { ErrorKind::PathList };
            return Err(Fault::new(kind, text).into());
        }
        Ok(())
    }

    fn finish(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.number += 1;
        let mut path = &self.line[..];
        if !self.null {
            if self.number == 1 {
                path = path.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(path);
            }
            path = path.strip_suffix(b"\r").unwrap_or(path);
            if path.contains(&0) {
                let text = format!("line {}: has a NUL byte, and no path has one", self.number);
                return Err(Fault::new(ErrorKind::PathList, text).into());
            }
        }
        if !path.is_empty() {
            each(path);
        }
        self.line.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths of a list that arrives in parts of `size` bytes.
    fn paths(list: &[u8], null: bool, size: usize) -> Result<Vec<Vec<u8>>> {
        let mut split = Split { null, line: Vec::new(), number: 0 };
        let mut paths = Vec::new();
        let mut each = |path: &[u8]| paths.push(path.to_vec());
        for part in list.chunks(size) {
            split.add(part, &mut each)?;
        }
        split.end(&mut each)?;
        Ok(paths)
    }

    #[test]
    fn lines_and_nuls() {
        for size in [1, 3, 100] {
            let lines = |list: &[u8]| paths(list, false, size).unwrap();
            assert_eq!(lines(b"\xEF\xBB\xBFa\r\n\n./b c \nd\xFF"), [&b"a"[..], b"./b c ", b"d\xFF"]);
            assert_eq!(lines(b"\r\n\n"), [b""; 0]);
            assert_eq!(paths(b"a\nb\r\0\0c", true, size).unwrap(), [&b"a\nb\r"[..], b"c"]);
            let error = paths(b"a\nb\0c\n", false, size).unwrap_err();
            assert_eq!(error.to_string(), "line 2: has a NUL byte, and no path has one");
        }
        let long = vec![b'a'; LONGEST + 1];
        assert!(paths(&long, false, 1000).is_err() && paths(&long[1..], false, 1000).is_ok());
    }
}
