//! The pages of a Parquet file, for the column readers of the `parquet` crate.
//!
//! Reads by `read_at` only. Checks what a page claims before the crate reserves memory for it, and keeps the place and
//! the cause of the first fault, which the crate's errors do not contain.

use super::thrift::{Flaw, PageSizes, check_deltas};
use crate::failure::Failure;
use crate::records::line_reader::KEPT_BUFFER;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::{ChunkReader, Length, SerializedPageReader};
use std::fs::File;
use std::io::{self, Read};
use std::mem::size_of;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that a page may have in memory: 256 MiB, or the size of the largest document if that is more. Writers make
/// pages of about 1 MiB, but some make one page of a column of a row group.
const MAX_PAGE_BYTES: u64 = 256 << 20;
/// Bytes of a page that are not of documents: their lengths, and levels.
const PAGE_OVERHEAD: u64 = 1 << 20;
/// Maximum bytes of a page header. It may contain the least and the greatest value of the page.
const MAX_HEADER_BYTES: usize = 16 << 20;
/// Bytes of a page header in the first attempt to read it.
const HEADER_BYTES: usize = 1 << 10;
/// Buffers that are kept for further pages: two for the texts, since a page is read before the values of the one before are
/// dropped, and two for the identifiers.
const KEPT_BUFFERS: usize = 4;

/// The bytes of a Parquet file.
#[derive(Clone, Debug)]
pub(super) struct FilePages(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: Arc<File>,
    /// Bytes of the file when it was opened.
    bytes: u64,
    /// Maximum bytes of a page in memory.
    max_page: u64,
    /// The place of the page that was read last.
    at: AtomicU64,
    fault: Mutex<Option<Failure>>,
    /// Buffers of pages that were dropped. The kernel would clear the memory of a new one.
    spare: Mutex<Vec<Vec<u8>>>,
}

impl Shared {
    /// A buffer of at least `bytes` bytes: the least spare one that is large enough, or a new one.
    fn buffer(&self, bytes: usize) -> Vec<u8> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let large = spare.iter().enumerate().filter(|(_, buffer)| buffer.len() >= bytes);
        match large.min_by_key(|(_, buffer)| buffer.len()) {
            Some((found, _)) => spare.swap_remove(found),
            None => vec![0; bytes],
        }
    }

    /// Keeps a buffer for another page, in the place of the least one if there are enough of them.
    fn keep(&self, buffer: Vec<u8>) {
        if buffer.len() > KEPT_BUFFER {
            return;
        }
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.push(buffer);
        if spare.len() > KEPT_BUFFERS
            && let Some((least, _)) = spare.iter().enumerate().min_by_key(|(_, buffer)| buffer.len())
        {
            spare.swap_remove(least);
        }
    }

    /// Reads bytes of the file as it was when it was opened.
    fn read_into(&self, at: u64, buffer: &mut [u8]) -> Result<(), Failure> {
        match self.file.read_exact_at(buffer, at) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Failure::Changed),
            Err(error) => Err(failure_of(&error)),
        }
    }

    /// Checks that bytes are within the file.
    fn check_place(&self, at: u64, bytes: usize) -> Result<(), Failure> {
        let is_within = at.checked_add(bytes as u64).is_some_and(|end| end <= self.bytes);
        if is_within { Ok(()) } else { Err(Failure::Corrupt(at)) }
    }
}

/// The bytes of a page, in a buffer that is kept for another page.
struct PageBytes {
    buffer: Vec<u8>,
    length: usize,
    shared: Arc<Shared>,
}

impl AsRef<[u8]> for PageBytes {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Drop for PageBytes {
    fn drop(&mut self) {
        self.shared.keep(std::mem::take(&mut self.buffer));
    }
}

impl FilePages {
    /// # Errors
    /// The system's, if the size of the file is not known.
    pub(super) fn new(file: Arc<File>, max_document: u64) -> Result<Self, Failure> {
        let bytes = file.metadata().map_err(|error| failure_of(&error))?.len();
        let max_page = MAX_PAGE_BYTES.max(max_document.saturating_add(PAGE_OVERHEAD)).min(i32::MAX as u64);
        Ok(FilePages(Arc::new(Shared {
            file,
            bytes,
            max_page,
            at: AtomicU64::new(0),
            fault: Mutex::new(None),
            spare: Mutex::new(Vec::new()),
        })))
    }

    /// Bytes of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.0.bytes
    }

    /// Reads bytes of the file as it was when it was opened.
    ///
    /// # Errors
    /// The system's; `Corrupt` if the bytes are not within the file; `Changed` if the file is shorter now.
    pub(super) fn read(&self, at: u64, bytes: usize) -> Result<Vec<u8>, Failure> {
        self.0.check_place(at, bytes)?;
        let mut buffer = vec![0; bytes];
        self.0.read_into(at, &mut buffer)?;
        Ok(buffer)
    }

    /// As [`FilePages::read`], into a buffer of an earlier page if there is one.
    fn read_page(&self, at: u64, length: usize) -> Result<Bytes, Failure> {
        self.0.check_place(at, length)?;
        let mut buffer = self.0.buffer(length);
        self.0.read_into(at, &mut buffer[..length])?;
        Ok(Bytes::from_owner(PageBytes { buffer, length, shared: self.0.clone() }))
    }

    /// The pages of a column in a row group.
    pub(super) fn of_column(&self, chunk: &ColumnChunkMetaData, rows: usize) -> Result<Box<dyn PageReader>> {
        let compression = chunk.compression();
        let inflated_here = match compression {
            Compression::GZIP(_) | Compression::BROTLI(_) => {
                Some(chunk.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?)
            }
            _ => None,
        };
        // Without the other formats that once went by the name of LZ4: the crate bounds them by nothing.
        let properties = ReaderProperties::builder().set_backward_compatible_lz4(false).build();
        let pages = SerializedPageReader::new_with_properties(
            Arc::new(self.clone()),
            inflated_here.as_ref().unwrap_or(chunk),
            rows,
            None,
            Arc::new(properties),
        )?;
        let is_optional = chunk.column_descr().max_def_level() > 0;
        Ok(Box::new(CheckedPages { pages, file: self.clone(), is_optional, compression }))
    }

    /// The cause of the crate's last error, or of its panic.
    pub(super) fn take_fault(&self) -> Failure {
        let fault = self.0.fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        fault.unwrap_or_else(|| Failure::Corrupt(self.0.at.load(Ordering::Relaxed)))
    }

    /// Keeps the cause of an error.
    fn fail(&self, failure: Failure) -> ParquetError {
        self.0.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        ParquetError::General(failure.to_string())
    }

    /// Checks the header of the page at `at`, and returns its bytes.
    fn header(&self, at: u64) -> Result<Vec<u8>, Failure> {
        self.0.at.store(at, Ordering::Relaxed);
        let in_file = usize::try_from(self.0.bytes.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut most = HEADER_BYTES;
        loop {
            let mut bytes = self.read(at, most.min(in_file))?;
            match PageSizes::read(&bytes) {
                Ok((sizes, length)) => {
                    let largest = sizes.compressed.max(sizes.uncompressed).unsigned_abs().into();
                    if sizes.compressed.unsigned_abs() as usize > in_file - length {
                        return Err(Failure::Corrupt(at));
                    }
                    if largest > self.0.max_page {
                        return Err(Failure::TooLarge(largest));
                    }
                    bytes.truncate(length);
                    return Ok(bytes);
                }
                Err(Flaw::Ended) if most < in_file.min(MAX_HEADER_BYTES) => most *= 4,
                Err(_) => return Err(Failure::Corrupt(at)),
            }
        }
    }
}

fn failure_of(error: &io::Error) -> Failure {
    Failure::System(error.raw_os_error().unwrap_or(nix::libc::EIO))
}

impl Length for FilePages {
    fn len(&self) -> u64 {
        self.0.bytes
    }
}

impl ChunkReader for FilePages {
    type T = HeaderBytes;

    /// A reader of the header of the page at `start`. The crate reads nothing else in this way.
    fn get_read(&self, start: u64) -> Result<HeaderBytes> {
        Ok(HeaderBytes { file: self.clone(), start, header: None })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.read_page(start, length).map_err(|failure| self.fail(failure))
    }
}

/// Reads the header of a page, which is checked first. Reads nothing of the file until then: the crate also makes readers
/// at other places, and does not use them.
pub(super) struct HeaderBytes {
    file: FilePages,
    start: u64,
    header: Option<io::Cursor<Vec<u8>>>,
}

impl Read for HeaderBytes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.header.is_none() {
            let header = self.file.header(self.start);
            self.header =
                Some(io::Cursor::new(header.map_err(|failure| io::Error::other(self.file.fail(failure)))?));
        }
        self.header.as_mut().map_or(Ok(0), |header| header.read(into))
    }
}

/// Pages whose counts of values fit their bytes.
///
/// Decompresses gzip and Brotli itself, since the crate does not stop at the size that the page claims.
struct CheckedPages {
    pages: SerializedPageReader<FilePages>,
    file: FilePages,
    /// Whether pages begin with definition levels.
    is_optional: bool,
    compression: Compression,
}

impl CheckedPages {
    fn inflate(&self, page: &mut Page) -> Result<()> {
        let (bytes, levels) = match page {
            Page::DataPageV2 { is_compressed: false, .. } => return Ok(()),
            Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
                (buf, def_levels_byte_len.saturating_add(*rep_levels_byte_len) as usize)
            }
            Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => (buf, 0),
        };
        let Some((levels, compressed)) = bytes.split_at_checked(levels) else {
            return Err(ParquetError::General("a page is shorter than its levels".to_owned()));
        };
        let mut inflated = levels.to_vec();
        let most = self.file.0.max_page;
        match self.compression {
            _ if compressed.is_empty() => 0,
            Compression::GZIP(_) => {
                MultiGzDecoder::new(compressed).take(most + 1).read_to_end(&mut inflated)?
            }
            Compression::BROTLI(_) => {
                brotli::Decompressor::new(compressed, 4096).take(most + 1).read_to_end(&mut inflated)?
            }
            _ => return Ok(()),
        };
        if inflated.len() as u64 > most {
            return Err(self.file.fail(Failure::LargerThan(most)));
        }
        *bytes = inflated.into();
        Ok(())
    }

    fn check(&self, mut page: Page) -> Result<Page> {
        if matches!(self.compression, Compression::GZIP(_) | Compression::BROTLI(_)) {
            self.inflate(&mut page)?;
        }
        let fits = match &page {
            // Each value has at least 4 bytes, and becomes a slice.
            Page::DictionaryPage { buf, num_values, .. } => {
                let slices =
                    u64::from(*num_values).saturating_mul(size_of::<parquet::data_type::ByteArray>() as u64);
                if slices.saturating_add(buf.len() as u64) > self.file.0.max_page {
                    return Err(self.file.fail(Failure::TooLarge(slices)));
                }
                u64::from(*num_values) <= buf.len() as u64 / 4
            }
            Page::DataPage { buf, num_values, encoding, def_level_encoding, .. } => {
                let levels = match (self.is_optional, *def_level_encoding) {
                    (false, _) => Some(0),
                    (true, Encoding::RLE) => {
                        buf.first_chunk().map(|&bytes| (u32::from_le_bytes(bytes) as usize).saturating_add(4))
                    }
                    // Not written since 2013, and never with an encoding of deltas.
                    (true, _) => None,
                };
                !is_delta(*encoding)
                    || levels
                        .and_then(|levels| buf.get(levels..))
                        .is_some_and(|values| deltas_fit(*encoding, values, *num_values))
            }
            Page::DataPageV2 {
                buf, num_values, encoding, def_levels_byte_len, rep_levels_byte_len, ..
            } => {
                let levels = def_levels_byte_len.saturating_add(*rep_levels_byte_len) as usize;
                let values = buf.get(levels..);
                values
                    .is_some_and(|values| !is_delta(*encoding) || deltas_fit(*encoding, values, *num_values))
            }
        };
        match fits {
            true => Ok(page),
            false => Err(ParquetError::General("a page has fewer bytes than values".to_owned())),
        }
    }
}

fn is_delta(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY)
}

/// Whether the lengths of delta-encoded values are not more than the values.
fn deltas_fit(encoding: Encoding, values: &[u8], most: u32) -> bool {
    let suffixes = match encoding {
        Encoding::DELTA_BYTE_ARRAY => check_deltas(values, most.into()),
        _ => Ok(values),
    };
    suffixes.and_then(|suffixes| check_deltas(suffixes, most.into())).is_ok()
}

impl Iterator for CheckedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        self.pages.get_next_page()?.map(|page| self.check(page)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn supports_deferred_dictionary(&self) -> bool {
        self.pages.supports_deferred_dictionary()
    }

    fn take_deferred_dictionary(&mut self) -> Result<Option<Page>> {
        self.pages.take_deferred_dictionary()?.map(|page| self.check(page)).transpose()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn buffers_of_pages_are_read_again() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"0123456789").expect("room");
        let pages = FilePages::new(Arc::new(file), 0).expect("a file");
        let spare = || pages.0.spare.lock().expect("no panic").iter().map(Vec::len).collect::<Vec<_>>();
        let first = pages.read_page(2, 6).expect("bytes");
        let second = pages.read_page(0, 4).expect("bytes");
        assert_eq!((&first[..], &second[..], spare()), (&b"234567"[..], &b"0123"[..], vec![]));
        drop(first);
        assert_eq!((&second.slice(1..)[..], spare()), (&b"123"[..], vec![6]));
        let third = pages.read_page(7, 3).expect("bytes");
        assert_eq!((&third[..], spare()), (&b"789"[..], vec![]));
        drop((second, third));
        assert_eq!(spare(), [4, 6]);
        assert_eq!(pages.read_page(8, 3).err(), Some(Failure::Corrupt(8)));
        let more: Vec<_> =
            (1..=KEPT_BUFFERS + 1).map(|length| pages.read_page(0, length).expect("bytes")).collect();
        drop(more);
        assert_eq!(spare().len(), KEPT_BUFFERS);
    }
}
