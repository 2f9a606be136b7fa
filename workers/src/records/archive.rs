//! Members of an archive, one after the other.
//!
//! Owns which members are documents and the decompression of members whose names ask for it. A member's name is shown and
//! never used to open anything.

use crate::failure::Failure;
use crate::records::unpack::{Compression, Unpacker};
use std::io::{self, Read};

/// An archive that is read from its start to its end.
pub(crate) trait Members {
    /// Goes to the next member that is a document. `None` behind the last one.
    ///
    /// A member that cannot be read is a document that fails. If nothing behind a fault can be read, it is the last.
    fn next_member(&mut self) -> Option<Result<(), Failure>>;

    /// The path of the current member as the archive has it, which may be absolute or contain `..`. Empty if a fault came
    /// before the path.
    fn path(&self) -> &[u8];

    /// The size of the current member that the archive claims, in bytes.
    fn size(&self) -> Option<u64>;

    /// Reads bytes of the current member, and returns their number: 0 at its end, or if `into` is empty.
    ///
    /// # Errors
    /// Why the member cannot be read further. All bytes before the fault were read.
    fn read_member(&mut self, into: &mut [u8]) -> Result<usize, Failure>;

    /// Number of members so far that were left out: links, devices, pipes and, unless they were asked for, hidden ones.
    /// Folders do not count.
    fn left_out(&self) -> u64;
}

/// Whether a component of the path begins with a dot, other than `.` and `..`.
pub(crate) fn is_hidden(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/').any(|name| name.starts_with(b".") && name != b"." && name != b"..")
}

/// The members of an archive; those whose names end in `.gz`, `.zst`, `.bz2` or `.xz` are decompressed. The place of a
/// fault in compressed data of a member is counted from the member's start.
pub(crate) struct UnpackedMembers<M> {
    members: M,
    memory: u64,
    unpacker: Option<Unpacker>,
}

impl<M: Members> UnpackedMembers<M> {
    /// Reads `members`. A decoder uses `memory` bytes at most, and 4 MiB more.
    pub(crate) fn new(members: M, memory: u64) -> Self {
        UnpackedMembers { members, memory, unpacker: None }
    }
}

impl<M: Members> Members for UnpackedMembers<M> {
    fn next_member(&mut self) -> Option<Result<(), Failure>> {
        self.unpacker = None;
        let next = self.members.next_member()?;
        self.unpacker = Compression::of_name(self.members.path())
            .map(|(compression, _)| Unpacker::new(compression, 0, self.memory));
        Some(next)
    }

    fn path(&self) -> &[u8] {
        self.members.path()
    }

    fn size(&self) -> Option<u64> {
        if self.unpacker.is_none() { self.members.size() } else { None }
    }

    fn read_member(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        match &mut self.unpacker {
            Some(unpacker) => unpacker.read(&mut Current(&mut self.members), into),
            None => self.members.read_member(into),
        }
    }

    fn left_out(&self) -> u64 {
        self.members.left_out()
    }
}

/// The bytes of the current member.
pub(crate) struct Current<'a>(pub(crate) &'a mut dyn Members);

impl Read for Current<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Ok(self.0.read_member(into)?)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A member in a test: its path, its bytes, and the fault behind them.
    pub(crate) type Found = (String, Vec<u8>, Option<Failure>);

    /// All members, and the number of those left out.
    pub(crate) fn read_all(members: &mut dyn Members) -> (Vec<Found>, u64) {
        let mut found = Vec::new();
        while let Some(next) = members.next_member() {
            let (mut bytes, mut buffer) = (Vec::new(), [0; 1000]);
            let failure = next.err().or_else(|| {
                loop {
                    match members.read_member(&mut buffer) {
                        Ok(0) => return None,
                        Ok(read) => bytes.extend_from_slice(&buffer[..read]),
                        Err(failure) => return Some(failure),
                    }
                }
            });
            found.push((String::from_utf8_lossy(members.path()).into_owned(), bytes, failure));
        }
        assert!(members.next_member().is_none());
        (found, members.left_out())
    }

    #[test]
    fn hidden_names() {
        for path in [".a", "a/.b/c", "/.x", "__MACOSX/._a"] {
            assert!(is_hidden(path.as_bytes()), "{path}");
        }
        for path in ["a", "./a", "../a", "/a/../b", "a.b/c.d", ""] {
            assert!(!is_hidden(path.as_bytes()), "{path}");
        }
    }
}
