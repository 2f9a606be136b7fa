//! Members of an archive, one after the other.
//!
//! Owns which members are documents, the decompression of members whose names ask for it, and members as [`Records`]. A
//! member's name is shown and never used to open anything.

use crate::analyzer::chunks::{Chunk, ChunkBoundary};
use crate::failure::Failure;
use crate::reader::{Pieces, ReadSettings};
use crate::records::unpack::Unpacker;
use crate::records::{About, Records};
use crate::split::Compression;
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
            .map(|(_, compression)| Unpacker::new(compression.into(), 0, self.memory));
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

/// The members of an archive as documents.
pub(crate) struct MemberRecords<M> {
    members: M,
    settings: ReadSettings,
    chunk_boundary: ChunkBoundary,
    pieces: Pieces,
    about: About,
}

impl<M: Members> MemberRecords<M> {
    /// Reads those members that `settings` accept, and cuts them at `chunk_boundary`.
    pub(crate) fn new(members: M, settings: ReadSettings, chunk_boundary: ChunkBoundary) -> Self {
        let pieces = Pieces::new(settings, chunk_boundary);
        MemberRecords { members, settings, chunk_boundary, pieces, about: About::default() }
    }

    /// Goes to the next member. Its path is known even if it fails.
    fn advance(&mut self) -> Option<Result<(), Failure>> {
        let next = self.members.next_member()?;
        let path = self.members.path();
        let member = (!path.is_empty()).then(|| path.to_vec());
        self.about = About { member, ..About::default() };
        Some(next)
    }

    /// Reads the first chunk of the current member.
    fn begin(&mut self, text: &mut Vec<u8>) -> Result<Chunk, Failure> {
        match self.members.size() {
            Some(bytes) if bytes > self.settings.max_bytes => Err(Failure::TooLarge(bytes)),
            _ => {
                self.pieces = Pieces::new(self.settings, self.chunk_boundary);
                self.more(text)
            }
        }
    }
}

impl<M: Members> Records for MemberRecords<M> {
    fn next(&mut self, text: &mut Vec<u8>) -> Option<Result<Chunk, Failure>> {
        let next = self.advance()?;
        Some(next.and_then(|()| self.begin(text)))
    }

    fn more(&mut self, text: &mut Vec<u8>) -> Result<Chunk, Failure> {
        let chunk = self.pieces.next(&mut Current(&mut self.members), text)?;
        self.about.encoding = self.pieces.guessed();
        self.about.bytes = Some(self.pieces.taken());
        Ok(chunk)
    }

    fn skip(&mut self, _text: &mut Vec<u8>) -> bool {
        self.advance().is_some()
    }

    fn left_out(&self) -> u64 {
        self.members.left_out()
    }

    fn about(&self) -> &About {
        &self.about
    }
}

/// The bytes of the current member.
struct Current<'a>(&'a mut dyn Members);

impl Read for Current<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Ok(self.0.read_member(into)?)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::records::tar::Tar;
    use std::io::{Cursor, Write as _};

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
    fn members_are_documents() {
        let mut builder = ::tar::Builder::new(Vec::new());
        let long = "a word ".repeat(50_000);
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(b"packed").unwrap();
        let packed = packer.finish().unwrap();
        let large = "x".repeat(500_001);
        for (name, bytes) in [
            ("long", long.as_bytes()),
            ("d/a.txt.gz", &packed),
            ("binary", b"\0"),
            ("large", large.as_bytes()),
            ("cut.gz", &packed[..20]),
            ("passed over", b"text"),
            ("last", b"text"),
        ] {
            let mut header = ::tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, name, bytes).unwrap();
        }
        let archive = Cursor::new(builder.into_inner().unwrap());
        let members = UnpackedMembers::new(Tar::new(Box::new(archive), None, false), 1 << 20);
        let settings = ReadSettings { max_bytes: 500_000, window: 10_000, ..ReadSettings::default() };
        let mut records = MemberRecords::new(members, settings, ChunkBoundary::BehindSpaces);
        let mut text = Vec::new();
        let mut next = |records: &mut MemberRecords<_>| {
            let mut whole = Vec::new();
            let mut chunk = records.next(&mut text).expect("a member");
            loop {
                match chunk {
                    Ok(Chunk { is_last, .. }) => {
                        whole.extend_from_slice(&text);
                        if is_last {
                            break;
                        }
                    }
                    Err(failure) => return (records.about().member.clone().unwrap(), Err(failure)),
                }
                chunk = records.more(&mut text);
            }
            (records.about().member.clone().unwrap(), Ok(whole))
        };
        assert_eq!(next(&mut records), (b"long".to_vec(), Ok(long.into_bytes())));
        assert_eq!(next(&mut records), (b"d/a.txt.gz".to_vec(), Ok(b"packed".to_vec())));
        assert_eq!(next(&mut records), (b"binary".to_vec(), Err(Failure::Binary)));
        assert_eq!(next(&mut records), (b"large".to_vec(), Err(Failure::TooLarge(500_001))));
        assert_eq!(next(&mut records), (b"cut.gz".to_vec(), Err(Failure::Truncated(20))));
        assert!(records.skip(&mut Vec::new()));
        assert_eq!(next(&mut records), (b"last".to_vec(), Ok(b"text".to_vec())));
        assert!(records.next(&mut Vec::new()).is_none());
        assert!(!records.skip(&mut Vec::new()));
        assert_eq!(records.left_out(), 0);
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
