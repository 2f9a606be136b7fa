//! Any bytes as a tar or zip archive, plain or compressed, or as a compressed file of lines: documents or failures, in
//! bounded memory. The documents of a zip archive in two parts are those of the whole.
//!
//! A byte chooses the format, one is a place to cut; the rest is the file.

use super::files::unnamed;
use bowline_workers::records::whole::Reading;
use bowline_workers::split::{Compression, RecordFormat};

/// Formats and compressions, by number.
const FORMATS: [(RecordFormat, Option<Compression>); 10] = [
    (RecordFormat::Tar, None),
    (RecordFormat::Zip, None),
    (RecordFormat::Lines, Some(Compression::Gzip)),
    (RecordFormat::Lines, Some(Compression::Zstd)),
    (RecordFormat::Lines, Some(Compression::Bzip2)),
    (RecordFormat::Lines, Some(Compression::Xz)),
    (RecordFormat::Tar, Some(Compression::Gzip)),
    (RecordFormat::Tar, Some(Compression::Zstd)),
    (RecordFormat::Jsonl, Some(Compression::Bzip2)),
    (RecordFormat::Csv, Some(Compression::Xz)),
];

/// Reads one file.
pub fn run(data: &[u8]) {
    let Some((&[format, place], bytes)) = data.split_first_chunk::<2>() else { return };
    let (format, compression) = FORMATS[usize::from(format) % FORMATS.len()];
    let reading = Reading { compression, ..Reading::of(format) };
    let file = unnamed(bytes);
    let Some(whole) = reading.documents(&file, &[]).expect("a file") else { return };
    assert!(
        whole.iter().all(|document| document.failure.is_none_or(|failure| !failure.to_string().is_empty()))
    );
    if format == RecordFormat::Zip && compression.is_none() {
        let cut = 3 + bytes.len() as u64 * u64::from(place) / 255;
        let parts = reading.documents(&file, &[cut]).expect("a file");
        if whole.iter().all(|document| document.about.member.is_some()) {
            assert_eq!(parts, Some(whole));
        }
    }
}
