//! Any bytes as lines, JSONL, CSV or TSV: the documents of the parts of a file are those of the whole.
//!
//! A byte chooses the format, one the settings, and four are places to cut; the rest is the file.

use super::files::unnamed;
use bowline_workers::analyzer::decode::DecodeError;
use bowline_workers::records::RecordSettings;
use bowline_workers::records::whole::Reading;
use bowline_workers::split::RecordFormat;

const FORMATS: [RecordFormat; 4] =
    [RecordFormat::Lines, RecordFormat::Jsonl, RecordFormat::Csv, RecordFormat::Tsv];

/// The settings that a byte chooses.
fn settings(byte: u8) -> (RecordSettings, DecodeError) {
    let bit = |bit: u8| byte >> bit & 1 == 1;
    let has_header = !bit(0);
    let name = |name: &str, number: &str| if has_header { name } else { number }.to_owned();
    let mut text_fields = vec![name("text", "1")];
    if bit(1) {
        text_fields.insert(0, name("title", "2"));
    }
    let records = RecordSettings {
        text_fields,
        id_field: bit(2).then(|| name("id", "3")),
        delimiter: bit(3).then_some(b';'),
        has_header,
        hidden: false,
        max_bytes: if bit(4) { 20 } else { u64::MAX },
    };
    let policies = [DecodeError::Strict, DecodeError::Replace, DecodeError::Ignore];
    (records, policies[usize::from(byte >> 5) % policies.len()])
}

/// Reads one file.
pub fn run(data: &[u8]) {
    let Some((&[format, chosen, places @ ..], bytes)) = data.split_first_chunk::<6>() else { return };
    let (records, decode_error) = settings(chosen);
    let reading = Reading {
        format: FORMATS[usize::from(format) % FORMATS.len()],
        records,
        decode_error,
        ..Reading::of(RecordFormat::Lines)
    };
    let file = unnamed(bytes);
    let mut cuts: Vec<u64> =
        places.iter().map(|&place| 3 + bytes.len() as u64 * u64::from(place) / 255).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let documents = |cuts: &[u64]| reading.documents(&file, cuts).expect("a file").expect("few documents");
    let whole = documents(&[]);
    assert!(whole.len() <= bytes.len() + 1, "a document has a line");
    // A header that can't be read fails each part.
    if whole.len() == 1 && whole[0].failure.is_some() {
        return;
    }
    assert_eq!(documents(&cuts), whole);
}
