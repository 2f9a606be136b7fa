//! Any bytes as a segment's, as a worker leaves them that wrote where it should not: no record reaches beyond them.
//!
//! Two bytes tell where to look for a record beside the beginning; the rest are the segment.

use bowline_workers::row;
use bowline_workers::segment::{Record, records, term_at};

/// Reads the records of one segment.
pub fn run(data: &[u8]) {
    let Some((&place, rest)) = data.split_first_chunk() else { return };
    // A map begins with a page, so with a multiple of 8.
    let mut words = vec![0u64; rest.len().div_ceil(8)];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    bytes[..rest.len()].copy_from_slice(rest);
    let bytes = &bytes[..rest.len()];
    let mut end = 0;
    for record in records(bytes) {
        assert!(record.offset() >= end, "records do not overlap");
        end = record.offset() + 1;
        look(bytes, record);
    }
    if let Some(record) = Record::at(bytes, u16::from_le_bytes(place) as usize) {
        look(bytes, record);
    }
}

/// Asks a record for all it has.
fn look(bytes: &[u8], record: Record) {
    assert!(record.row().len() * 4 <= bytes.len() && record.term_bytes() <= bytes.len());
    assert!(row::pairs(record.row()).count() <= record.row().len());
    for offset in record.term_offsets() {
        assert!(term_at(bytes, offset).is_some(), "a term lies in its segment");
    }
    assert!(record.failure().is_none_or(|failure| !failure.to_string().is_empty()));
    let _ = (
        record.key(),
        record.source(),
        record.tokens(),
        record.unknown(),
        record.nonzeros(),
        record.is_intact(),
    );
}
