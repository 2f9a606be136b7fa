//! Any bytes as a Parquet file: documents or a failure, in bounded memory; the same documents in two parts.
//!
//! A byte is the place to cut; the rest is the file.

use super::files::unnamed;
use bowline_workers::records::RecordSettings;
use bowline_workers::records::whole::Reading;
use bowline_workers::split::RecordFormat;

/// Reads one file.
pub fn run(data: &[u8]) {
    let Some((&place, bytes)) = data.split_first() else { return };
    let text_fields = vec!["title".to_owned(), "text".to_owned()];
    for text_fields in [vec!["text".to_owned()], text_fields] {
        let records = RecordSettings { text_fields, ..RecordSettings::default() };
        let reading = Reading { records, ..Reading::of(RecordFormat::Parquet) };
        let file = unnamed(bytes);
        let cut = 3 + bytes.len() as u64 * u64::from(place) / 255;
        let whole = reading.documents(&file, &[]).expect("a file");
        let parts = reading.documents(&file, &[cut]).expect("a file");
        let (Some(whole), Some(parts)) = (whole, parts) else { return };
        if whole.iter().all(|document| document.failure.is_none()) {
            assert_eq!(parts, whole);
        }
    }
}
