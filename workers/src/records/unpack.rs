//! Decompression: gzip, zstd, bzip2 and xz streams, of any number of members or frames.
//!
//! Owns the choice by a file's name and one loop over the four decoders. The decoders are driven directly, not through the
//! crates' readers: those lose the bytes that a call has decoded before it finds a fault, and do not know the place of the
//! fault. Here all bytes before a fault are delivered first. The memory of a decoder is bounded, whatever a stream claims.
//!
//! What follows the last member: zero bytes are padding, as for gzip(1). Anything else is a fault, also for gzip and
//! bzip2, whose tools ignore it with a warning: it may be data. A file without any byte is truncated, as for all four tools.

use crate::failure::Failure;
use crate::split::Compression;
use flate2::{Decompress, FlushDecompress, Status};
use liblzma::stream::{Action, Stream};
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, is_error_kind};

/// Bytes of compressed input that are read at a time: 64 KiB.
const INPUT: usize = 64 << 10;

/// Largest window of a zstd frame, as a power of two: 128 MiB, as in zstd(1). Frames of `--long=28` and more need more.
const MAX_WINDOW_LOG: u32 = 27;

/// Smallest window of a zstd frame, as a power of two: 1 KiB.
const MIN_WINDOW_LOG: u32 = 10;

/// Bytes of a zstd block's header.
const BLOCK_HEADER: usize = 3;

/// The bytes at the start of a member that identify its format, at most.
const MAGIC: usize = 6;

/// How a stream is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Method {
    /// Members of gzip, RFC 1952.
    Gzip,
    /// Frames of Zstandard, RFC 8878.
    Zstd,
    /// Streams of bzip2.
    Bzip2,
    /// Streams of xz.
    Xz,
    /// A single stream of bare deflate data, RFC 1951. Members of zip archives only; no file's name means it.
    Deflate,
}

impl From<Compression> for Method {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::Gzip => Method::Gzip,
            Compression::Zstd => Method::Zstd,
            Compression::Bzip2 => Method::Bzip2,
            Compression::Xz => Method::Xz,
        }
    }
}

impl Method {
    /// Whether a member of this format begins with these bytes. `None` if there are too few bytes to know.
    fn begins(self, bytes: &[u8]) -> Option<bool> {
        const SKIPPABLE: u8 = 0x50;
        let magic: &[u8] = match self {
            Method::Gzip => &[0x1f, 0x8b],
            Method::Bzip2 => b"BZh",
            Method::Xz => &[0xfd, b'7', b'z', b'X', b'Z', 0],
            Method::Zstd if bytes.first().is_some_and(|first| first & 0xf0 == SKIPPABLE) => {
                &[bytes[0], 0x2a, 0x4d, 0x18]
            }
            Method::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
            Method::Deflate => &[],
        };
        if bytes.len() >= magic.len() {
            return Some(bytes.starts_with(magic));
        }
        if magic.starts_with(bytes) { None } else { Some(false) }
    }
}

/// Decompresses a stream. Reading fails with a [`Failure`] inside the `io::Error`, behind all bytes before the fault.
pub(crate) struct Unpacked {
    source: Box<dyn Read + Send>,
    unpacker: Unpacker,
}

impl fmt::Debug for Unpacked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacked").finish_non_exhaustive()
    }
}

impl Unpacked {
    /// Decompresses `source`, whose first byte is at `start` of its file. The decoder uses `memory` bytes at most, and
    /// 4 MiB more.
    pub(crate) fn new(source: Box<dyn Read + Send>, compression: Method, start: u64, memory: u64) -> Self {
        Unpacked { source, unpacker: Unpacker::new(compression, start, memory) }
    }

    /// The place in the compressed file up to which its bytes were decoded.
    pub(crate) fn reached(&self) -> Arc<AtomicU64> {
        self.unpacker.reached.clone()
    }
}

impl Read for Unpacked {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Ok(self.unpacker.read(&mut *self.source, into)?)
    }
}

/// A decoder apart from its source, which each call is given.
pub(crate) struct Unpacker {
    compression: Method,
    memory: u64,
    input: Input,
    /// A place that others may read. It is set after each call.
    reached: Arc<AtomicU64>,
    state: State,
}

/// Where a decoder is in its stream.
enum State {
    /// Before the first member.
    Start,
    /// Behind a member.
    Between,
    Inside(Decoder),
    End,
    Failed(Failure),
}

impl Unpacker {
    /// See [`Unpacked::new`].
    pub(crate) fn new(compression: Method, start: u64, memory: u64) -> Self {
        let reached = Arc::new(AtomicU64::new(start));
        Unpacker { compression, memory, input: Input::new(start), reached, state: State::Start }
    }

    /// Decompresses bytes of `from` into `into`, and returns their number. Returns 0 at the end of the stream, or if
    /// `into` is empty.
    ///
    /// # Errors
    /// [`Failure::OtherFormat`] if the stream does not begin as its format does, [`Failure::Corrupt`] or
    /// [`Failure::Truncated`] with the place in the compressed file, [`Failure::OutOfMemory`] if the stream needs more
    /// memory than the decoder has, or the source's failure. The next call fails again.
    pub(crate) fn read(&mut self, from: &mut dyn Read, into: &mut [u8]) -> Result<usize, Failure> {
        if into.is_empty() {
            return Ok(0);
        }
        let read = self.advance(from, into);
        self.reached.store(self.input.place, Ordering::Relaxed);
        read.inspect_err(|&failure| self.state = State::Failed(failure))
    }

    fn advance(&mut self, from: &mut dyn Read, into: &mut [u8]) -> Result<usize, Failure> {
        loop {
            match &mut self.state {
                State::Start | State::Between => self.begin_member(from)?,
                State::End => return Ok(0),
                State::Failed(failure) => return Err(*failure),
                State::Inside(decoder) => {
                    self.input.fill(from, 1)?;
                    let step = decoder.step(self.input.bytes(), into);
                    self.input.consume(step.consumed);
                    let is_stuck = step.consumed == 0 && step.produced == 0;
                    match step.outcome {
                        Outcome::Ended => self.state = State::Between,
                        Outcome::Going if !is_stuck => {}
                        Outcome::Going if self.input.is_at_end() => {
                            self.state = State::Failed(Failure::Truncated(self.input.place));
                        }
                        Outcome::Going | Outcome::Corrupt => {
                            self.state = State::Failed(Failure::Corrupt(self.input.place));
                        }
                        Outcome::OutOfMemory => self.state = State::Failed(Failure::OutOfMemory),
                    }
                    if step.produced > 0 {
                        return Ok(step.produced);
                    }
                }
            }
        }
    }

    /// Begins the next member, or finds that there is none.
    fn begin_member(&mut self, from: &mut dyn Read) -> Result<(), Failure> {
        let is_first = matches!(self.state, State::Start);
        self.input.fill(from, MAGIC)?;
        let is_single = self.compression == Method::Deflate;
        if !is_first && (is_single || self.input.skip_padding(from)?) {
            self.state = State::End;
            return Ok(());
        }
        let place = self.input.place;
        match self.compression.begins(self.input.bytes()) {
            Some(true) => {}
            Some(false) if is_first => return Err(Failure::OtherFormat),
            Some(false) => return Err(Failure::Corrupt(place)),
            None => return Err(Failure::Truncated(place + self.input.bytes().len() as u64)),
        }
        self.state = State::Inside(Decoder::new(self.compression, self.memory)?);
        Ok(())
    }
}

/// Compressed bytes that were read and not decoded.
struct Input {
    buffer: Box<[u8]>,
    at: usize,
    end: usize,
    /// The place of the byte `at` in the file.
    place: u64,
    /// Whether the source has no more bytes.
    is_exhausted: bool,
}

impl Input {
    fn new(place: u64) -> Self {
        Input { buffer: vec![0; INPUT].into(), at: 0, end: 0, place, is_exhausted: false }
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.at..self.end]
    }

    fn is_at_end(&self) -> bool {
        self.is_exhausted && self.at == self.end
    }

    /// Reads until there are `least` bytes, or all of the source.
    fn fill(&mut self, from: &mut dyn Read, least: usize) -> Result<(), Failure> {
        while self.end - self.at < least && !self.is_exhausted {
            self.buffer.copy_within(self.at..self.end, 0);
            self.end -= self.at;
            self.at = 0;
            match from.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.is_exhausted = true,
                Ok(bytes) => self.end += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn consume(&mut self, bytes: usize) {
        self.at += bytes;
        self.place += bytes as u64;
    }

    /// Passes over zero bytes. Returns whether nothing follows them. A member may follow, as xz allows.
    fn skip_padding(&mut self, from: &mut dyn Read) -> Result<bool, Failure> {
        loop {
            self.fill(from, 1)?;
            let zeros = self.bytes().iter().take_while(|&&byte| byte == 0).count();
            self.consume(zeros);
            if self.is_at_end() {
                return Ok(true);
            }
            if self.at < self.end {
                self.fill(from, MAGIC)?;
                return Ok(false);
            }
        }
    }
}

/// The decoder of one member.
enum Decoder {
    /// Gzip or bare deflate. zlib-rs reads the header and checks the CRC-32.
    Inflate(Box<Decompress>),
    Zstd(Frame),
    Bzip2(bzip2::Decompress),
    Xz(Stream),
}

/// What a call of a decoder did.
struct Step {
    consumed: usize,
    produced: usize,
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Going,
    /// The member is complete.
    Ended,
    Corrupt,
    OutOfMemory,
}

impl Decoder {
    fn new(compression: Method, memory: u64) -> Result<Self, Failure> {
        Ok(match compression {
            // The window is 32 KiB.
            Method::Gzip => Decoder::Inflate(Box::new(Decompress::new_gzip(15))),
            Method::Deflate => Decoder::Inflate(Box::new(Decompress::new(false))),
            Method::Zstd => Decoder::Zstd(Frame::new(memory)?),
            // Not more than 3.7 MB, whatever the stream claims.
            Method::Bzip2 => Decoder::Bzip2(bzip2::Decompress::new(false)),
            Method::Xz => {
                Decoder::Xz(Stream::new_stream_decoder(memory, 0).map_err(|_| Failure::OutOfMemory)?)
            }
        })
    }

    /// Decodes some bytes of `input` into `into`, which is not empty. Bytes that were decoded before a fault count as
    /// produced.
    fn step(&mut self, input: &[u8], into: &mut [u8]) -> Step {
        // The counters are of 64 bits and never decrease.
        let since = |now: u64, before: u64| (now - before) as usize;
        match self {
            Decoder::Inflate(inflate) => {
                let (consumed, produced) = (inflate.total_in(), inflate.total_out());
                let outcome = match inflate.decompress(input, into, FlushDecompress::None) {
                    Ok(Status::StreamEnd) => Outcome::Ended,
                    Ok(Status::Ok | Status::BufError) => Outcome::Going,
                    Err(_) => Outcome::Corrupt,
                };
                Step {
                    consumed: since(inflate.total_in(), consumed),
                    produced: since(inflate.total_out(), produced),
                    outcome,
                }
            }
            Decoder::Zstd(frame) => frame.step(input, into),
            Decoder::Bzip2(bzip2) => {
                let (consumed, produced) = (bzip2.total_in(), bzip2.total_out());
                let outcome = match bzip2.decompress(input, into) {
                    Ok(bzip2::Status::StreamEnd) => Outcome::Ended,
                    Ok(bzip2::Status::MemNeeded) => Outcome::OutOfMemory,
                    Ok(_) => Outcome::Going,
                    Err(_) => Outcome::Corrupt,
                };
                Step {
                    consumed: since(bzip2.total_in(), consumed),
                    produced: since(bzip2.total_out(), produced),
                    outcome,
                }
            }
            Decoder::Xz(xz) => {
                use liblzma::stream::{Error, Status};
                let (consumed, produced) = (xz.total_in(), xz.total_out());
                let outcome = match xz.process(input, into, Action::Run) {
                    Ok(Status::StreamEnd) => Outcome::Ended,
                    Ok(_) => Outcome::Going,
                    Err(Error::MemLimit | Error::Mem) => Outcome::OutOfMemory,
                    Err(_) => Outcome::Corrupt,
                };
                Step {
                    consumed: since(xz.total_in(), consumed),
                    produced: since(xz.total_out(), produced),
                    outcome,
                }
            }
        }
    }
}

/// A frame of zstd.
///
/// A call that finds a fault gives none of the bytes that it has decoded. So no call decodes a block and also looks at what
/// follows the block.
struct Frame {
    context: DCtx<'static>,
    /// Bytes of the part that comes next (a header, or a block with the next block's header), as zstd asks for them.
    wanted: usize,
    /// Whether the last call filled its output, so that more may be ready.
    was_filled: bool,
}

impl Frame {
    fn new(memory: u64) -> Result<Self, Failure> {
        let mut context = DCtx::try_create().ok_or(Failure::OutOfMemory)?;
        let window = memory.max(1).ilog2().clamp(MIN_WINDOW_LOG, MAX_WINDOW_LOG);
        context.set_parameter(DParameter::WindowLogMax(window)).map_err(|_| Failure::OutOfMemory)?;
        Ok(Frame { context, wanted: 1, was_filled: false })
    }

    fn step(&mut self, input: &[u8], into: &mut [u8]) -> Step {
        if self.was_filled {
            let step = self.decode(&[], into);
            if step.produced > 0 || step.outcome != Outcome::Going {
                return step;
            }
        }
        let part = if self.wanted > BLOCK_HEADER { self.wanted - BLOCK_HEADER } else { self.wanted };
        self.decode(&input[..part.min(input.len())], into)
    }

    fn decode(&mut self, input: &[u8], into: &mut [u8]) -> Step {
        let room = into.len();
        let (mut input, mut output) = (InBuffer::around(input), OutBuffer::around(into));
        let outcome = match self.context.decompress_stream(&mut output, &mut input) {
            Ok(0) => Outcome::Ended,
            Ok(wanted) => {
                self.wanted = wanted;
                Outcome::Going
            }
            Err(code)
                if is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge)
                    || is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_memory_allocation) =>
            {
                Outcome::OutOfMemory
            }
            Err(_) => Outcome::Corrupt,
        };
        self.was_filled = output.pos() == room;
        Step { consumed: input.pos(), produced: output.pos(), outcome }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    /// Memory of a decoder in tests: 64 MiB.
    const MEMORY: u64 = 64 << 20;

    const ALL: [Method; 4] = [Method::Gzip, Method::Zstd, Method::Bzip2, Method::Xz];

    fn pack(compression: Method, text: &[u8]) -> Vec<u8> {
        match compression {
            Method::Gzip => {
                let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                packer.write_all(text).unwrap();
                packer.finish().unwrap()
            }
            Method::Zstd => {
                let mut packer = zstd::Encoder::new(Vec::new(), 3).unwrap();
                packer.include_checksum(true).unwrap();
                packer.write_all(text).unwrap();
                packer.finish().unwrap()
            }
            Method::Bzip2 => {
                let mut packer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                packer.write_all(text).unwrap();
                packer.finish().unwrap()
            }
            Method::Xz => {
                let mut packer = liblzma::write::XzEncoder::new(Vec::new(), 1);
                packer.write_all(text).unwrap();
                packer.finish().unwrap()
            }
            Method::Deflate => {
                let mut packer =
                    flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
                packer.write_all(text).unwrap();
                packer.finish().unwrap()
            }
        }
    }

    /// Text that does not compress to nothing.
    fn text(bytes: usize) -> Vec<u8> {
        let mut state = 1u32;
        let word = |state: &mut u32| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            format!("{:x} ", *state >> 12)
        };
        std::iter::repeat_with(|| word(&mut state)).flat_map(String::into_bytes).take(bytes).collect()
    }

    /// All bytes before the end or the fault. Reads `step` bytes at a time.
    fn unpack(compression: Method, packed: &[u8], step: usize) -> (Vec<u8>, Option<Failure>) {
        let mut unpacker = Unpacker::new(compression, 0, MEMORY);
        let (mut text, mut buffer, mut source) = (Vec::new(), vec![0; step], packed);
        loop {
            match unpacker.read(&mut source, &mut buffer) {
                Ok(0) => return (text, None),
                Ok(bytes) => text.extend_from_slice(&buffer[..bytes]),
                Err(failure) => {
                    assert_eq!(unpacker.read(&mut source, &mut buffer), Err(failure));
                    return (text, Some(failure));
                }
            }
        }
    }

    #[test]
    fn members_are_read_to_the_end() {
        for compression in ALL {
            for bytes in [0, 1, 1000, 300_000] {
                let (first, second) = (text(bytes), b"second member".to_vec());
                let mut packed = pack(compression, &first);
                packed.extend(pack(compression, b""));
                packed.extend(pack(compression, &second));
                let expected = [first, second].concat();
                for step in [1000, 65_536, 1 << 20] {
                    assert_eq!(
                        unpack(compression, &packed, step),
                        (expected.clone(), None),
                        "{compression:?}"
                    );
                }
                // Zero bytes between members and behind the last one.
                packed.extend([0; 512]);
                packed.extend(pack(compression, b"third"));
                packed.extend([0; 100_000]);
                let expected = [&expected[..], b"third"].concat();
                assert_eq!(unpack(compression, &packed, 65_536), (expected.clone(), None), "{compression:?}");
                // Anything else is a fault, behind all bytes before it.
                let place = packed.len() as u64;
                packed.extend(b"garbage");
                let (found, failure) = unpack(compression, &packed, 65_536);
                assert_eq!((found, failure), (expected, Some(Failure::Corrupt(place))), "{compression:?}");
            }
        }
    }

    #[test]
    fn zstd_skips_skippable_frames() {
        let mut packed = vec![0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, b'a', b'b', b'c'];
        packed.extend(pack(Method::Zstd, b"text"));
        packed.extend([0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
        assert_eq!(unpack(Method::Zstd, &packed, 100), (b"text".to_vec(), None));
    }

    #[test]
    fn other_formats_and_empty_files_fail() {
        for compression in ALL {
            let read = |packed: &[u8]| unpack(compression, packed, 100);
            assert_eq!(read(b"plain text"), (vec![], Some(Failure::OtherFormat)));
            assert_eq!(read(b"p"), (vec![], Some(Failure::OtherFormat)));
            assert_eq!(read(b""), (vec![], Some(Failure::Truncated(0))));
        }
    }

    #[test]
    fn truncation_at_every_byte_gives_a_prefix() {
        for compression in ALL {
            let whole = text(3000);
            let packed = pack(compression, &whole);
            let mut longest = 0;
            for end in 0..packed.len() {
                for step in [64, 4096] {
                    let (found, failure) = unpack(compression, &packed[..end], step);
                    assert_eq!(failure, Some(Failure::Truncated(end as u64)), "{compression:?} {end}");
                    assert!(whole.starts_with(&found), "{compression:?} {end}");
                    assert!(found.len() >= longest || step == 64);
                    longest = longest.max(found.len());
                }
            }
            assert!(longest > 0, "{compression:?}");
        }
    }

    #[test]
    fn all_blocks_before_a_fault_are_delivered() {
        // Blocks of zstd are 128 KiB at most, those of bzip2 100 kB here.
        let whole = text(1 << 20);
        for compression in ALL {
            let mut packed = pack(compression, &whole);
            let middle = packed.len() * 3 / 4;
            packed[middle..middle + 8].iter_mut().for_each(|byte| *byte ^= 0x55);
            for step in [1000, 65_536, 4 << 20] {
                let (found, failure) = unpack(compression, &packed, step);
                let Some(Failure::Corrupt(place)) = failure else { panic!("{compression:?}: {failure:?}") };
                let same = found.iter().zip(&whole).take_while(|(a, b)| a == b).count();
                assert!(same > 600_000, "{compression:?}: {same} of {}", found.len());
                assert!(place <= packed.len() as u64);
            }
        }
    }

    #[test]
    fn memory_is_limited() {
        let mut packer = zstd::Encoder::new(Vec::new(), 1).unwrap();
        packer.window_log(28).unwrap();
        packer.include_contentsize(false).unwrap();
        packer.write_all(b"text").unwrap();
        let packed = packer.finish().unwrap();
        assert_eq!(unpack(Method::Zstd, &packed, 100).1, Some(Failure::OutOfMemory));
        // The dictionary of preset 9 has 64 MiB, and the decoder needs a little more.
        let stream = Stream::new_easy_encoder(9, liblzma::stream::Check::Crc32).unwrap();
        let mut packer = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        packer.write_all(b"text").unwrap();
        let packed = packer.finish().unwrap();
        assert_eq!(unpack(Method::Xz, &packed, 100).1, Some(Failure::OutOfMemory));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn flipped_bytes_never_panic(at in 0.0..1.0, mask in 1u8.., which in 0..4usize, bytes in 1..20_000usize) {
            let compression = ALL[which];
            let mut packed = pack(compression, &text(bytes));
            let at = (packed.len() as f64 * at) as usize;
            packed[at] ^= mask;
            let (_, failure) = unpack(compression, &packed, 4096);
            if let Some(Failure::Corrupt(place) | Failure::Truncated(place)) = failure {
                prop_assert!(place <= packed.len() as u64);
            }
        }

        #[test]
        fn any_bytes_never_panic(packed in proptest::collection::vec(any::<u8>(), 0..300), which in 0..4usize) {
            let compression = ALL[which];
            let mut begun = pack(compression, b"")[..MAGIC].to_vec();
            begun.extend(packed);
            unpack(compression, &begun, 100);
        }
    }
}
