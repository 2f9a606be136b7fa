use super::*;
use parquet::basic::{BrotliLevel, Encoding, GzipLevel, ZstdLevel};
use parquet::data_type::ByteArray;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;
use std::io::{Seek as _, Write as _};

/// A document that was read: its text or failure, and its identifier.
type Document = (Result<String, Failure>, Option<String>);
/// A row of a file: a text, an identifier.
type Row = (Option<String>, Option<i64>);

const SCHEMA: &str = "message rows { optional binary text (UTF8); optional int64 id; }";

fn settings(text_fields: &[&str], id_field: Option<&str>) -> RecordSettings {
    RecordSettings {
        text_fields: text_fields.iter().map(ToString::to_string).collect(),
        id_field: id_field.map(str::to_owned),
        delimiter: None,
        hidden: false,
        has_header: true,
        max_bytes: 1 << 20,
    }
}

fn file_of(bytes: &[u8]) -> Arc<File> {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(bytes).expect("the bytes are written");
    Arc::new(file)
}

/// The documents of a range. Fails if they do not end.
fn read(mut records: ParquetRecords) -> Vec<Document> {
    let mut documents = Vec::new();
    let mut text = Vec::new();
    while let Some(found) = records.next(&mut text) {
        let found = found.map(|_| String::from_utf8_lossy(&text).into_owned());
        documents.push((found, records.about().id.clone()));
        assert!(documents.len() < 1_000_000);
    }
    documents
}

fn read_all(bytes: &[u8], settings: &RecordSettings) -> Vec<Document> {
    read(ParquetFiles::default().records(0, file_of(bytes), 0..bytes.len() as u64, settings))
}

/// A file with these groups of rows.
fn written(groups: &[Vec<Row>], properties: WriterProperties) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(SCHEMA).expect("a schema"));
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).expect("a writer");
    for rows in groups {
        let mut group = writer.next_row_group().expect("a group");
        let levels: Vec<i16> = rows.iter().map(|row| row.0.is_some().into()).collect();
        let texts: Vec<_> = rows.iter().filter_map(|row| row.0.as_deref().map(ByteArray::from)).collect();
        let mut column = group.next_column().expect("it works").expect("a column");
        column.typed::<ByteArrayType>().write_batch(&texts, Some(&levels), None).expect("it is written");
        column.close().expect("it is closed");
        let levels: Vec<i16> = rows.iter().map(|row| row.1.is_some().into()).collect();
        let ids: Vec<_> = rows.iter().filter_map(|row| row.1).collect();
        let mut column = group.next_column().expect("it works").expect("a column");
        column.typed::<Int64Type>().write_batch(&ids, Some(&levels), None).expect("it is written");
        column.close().expect("it is closed");
        group.close().expect("it is closed");
    }
    writer.into_inner().expect("the file is closed")
}

fn expected(rows: impl IntoIterator<Item = Row>) -> Vec<Document> {
    let document = |(text, id): Row| (text.ok_or(Failure::NullField(1)), id.map(|id| id.to_string()));
    rows.into_iter().map(document).collect()
}

fn numbered(rows: Range<i64>) -> Vec<Row> {
    rows.map(|row| (Some(format!("text of row {row}")), Some(row))).collect()
}

fn codecs() -> [Compression; 7] {
    [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4_RAW,
        Compression::LZ4,
    ]
}

fn properties(codec: Compression, encoding: Option<Encoding>, version: u8, page: usize) -> WriterProperties {
    let version = if version == 1 { WriterVersion::PARQUET_1_0 } else { WriterVersion::PARQUET_2_0 };
    let builder = WriterProperties::builder()
        .set_writer_version(version)
        .set_compression(codec)
        .set_dictionary_enabled(encoding.is_none())
        .set_write_batch_size(3)
        .set_dictionary_page_size_limit(2 * page)
        .set_data_page_size_limit(page)
        .set_data_page_row_count_limit(1 + page / 8);
    match encoding {
        Some(encoding) => builder.set_column_encoding("text".into(), encoding).build(),
        None => builder.build(),
    }
}

fn encodings() -> impl Strategy<Value = Option<Encoding>> {
    prop::sample::select(vec![
        None,
        Some(Encoding::PLAIN),
        Some(Encoding::DELTA_LENGTH_BYTE_ARRAY),
        Some(Encoding::DELTA_BYTE_ARRAY),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn ranges_have_each_row_once_and_in_order(
        groups in prop::collection::vec(
            prop::collection::vec((prop::option::weighted(0.9, "[a-c]{0,30}"), prop::option::of(any::<i64>())), 0..60),
            0..5,
        ),
        codec in prop::sample::select(codecs().to_vec()),
        encoding in encodings(),
        version in 1..=2u8,
        page in 8..500usize,
        cuts in prop::collection::vec(0.0..1.0f64, 0..6),
    ) {
        let bytes = written(&groups, properties(codec, encoding, version, page));
        let settings = settings(&["text"], None);
        let all = expected(groups.concat());
        prop_assert_eq!(&read_all(&bytes, &settings), &all);
        let size = bytes.len() as u64;
        let mut cuts: Vec<_> = cuts.iter().map(|cut| (cut * size as f64) as u64).chain([0, size]).collect();
        cuts.sort_unstable();
        let (mut files, file) = (ParquetFiles::default(), file_of(&bytes));
        let mut parts = Vec::new();
        for cut in cuts.windows(2) {
            parts.extend(read(files.records(3, file.clone(), cut[0]..cut[1], &settings)));
        }
        prop_assert_eq!(parts, all);
    }

    #[test]
    fn a_boundary_never_falls(rows in any::<u64>(), start in any::<u64>(), bytes in any::<u64>(), a in any::<u64>(), b in any::<u64>()) {
        let place = start..start.saturating_add(bytes);
        prop_assert!(boundary(rows, &place, a.min(b)) <= boundary(rows, &place, a.max(b)));
        prop_assert!(boundary(rows, &place, u64::MAX) == rows || place.start == u64::MAX);
        prop_assert_eq!(boundary(rows, &place, 0), 0);
    }
}

#[test]
fn rows_that_are_passed_over_are_documents() {
    let bytes = written(&[numbered(0..50), numbered(50..100)], properties(Compression::SNAPPY, None, 2, 64));
    let mut records =
        ParquetFiles::default().records(0, file_of(&bytes), 0..u64::MAX, &settings(&["text"], None));
    let mut text = b"kept".to_vec();
    for _ in 0..70 {
        assert!(records.skip(&mut text));
    }
    assert_eq!(read(records), expected(numbered(70..100)));
}

#[test]
fn the_position_of_the_file_stays() {
    let file = file_of(&written(&[numbered(0..9)], properties(Compression::SNAPPY, None, 1, 64)));
    (&*file).seek(std::io::SeekFrom::Start(7)).expect("a seek");
    let records = ParquetFiles::default().records(0, file.clone(), 0..u64::MAX, &settings(&["text"], None));
    assert_eq!(read(records).len(), 9);
    assert_eq!((&*file).stream_position().expect("a position"), 7);
}

/// A file with one row group of one row, all of whose columns are written by `fill`.
fn one_row(schema: &str, levels: &[(&[i16], &[i16])]) -> Vec<u8> {
    use parquet::column::writer::ColumnWriter;
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).expect("a writer");
    let mut group = writer.next_row_group().expect("a group");
    let mut levels = levels.iter();
    while let Some(mut column) = group.next_column().expect("it works") {
        let &(definition, repetition) = levels.next().expect("levels of each column");
        let [definition, repetition] =
            [definition, repetition].map(|of| Some(of).filter(|of| !of.is_empty()));
        match column.untyped() {
            ColumnWriter::ByteArrayColumnWriter(column) => {
                column.write_batch(&[ByteArray::from("word")], definition, repetition)
            }
            ColumnWriter::Int32ColumnWriter(column) => column.write_batch(&[-1], definition, repetition),
            ColumnWriter::Int64ColumnWriter(column) => column.write_batch(&[-1], definition, repetition),
            ColumnWriter::DoubleColumnWriter(column) => column.write_batch(&[0.5], definition, repetition),
            _ => panic!("a column of another type"),
        }
        .expect("it is written");
        column.close().expect("it is closed");
    }
    group.close().expect("it is closed");
    writer.into_inner().expect("the file is closed")
}

#[test]
fn fields_of_all_kinds() {
    let schema = "message rows { required binary text (UTF8); required binary raw; required binary json (JSON);
        required double number; required binary decimal (DECIMAL(4, 2)); optional group meta { optional binary text (UTF8); }
        repeated binary words (UTF8); optional group tags (LIST) { repeated group list { optional binary element (UTF8); } } }";
    let none: (&[i16], &[i16]) = (&[], &[]);
    let bytes = one_row(schema, &[none, none, none, none, none, (&[2], &[]), (&[1], &[0]), (&[3], &[0])]);
    let text_of = |fields: &[&str]| read_all(&bytes, &settings(fields, None)).remove(0).0;
    for field in ["text", "raw", "json", "meta.text"] {
        assert_eq!(text_of(&[field]), Ok("word".to_owned()));
    }
    assert_eq!(text_of(&["text", "meta.text", "raw"]), Ok("word\nword\nword".to_owned()));
    for field in ["number", "decimal", "words", "tags", "tags.list.element", "meta"] {
        assert_eq!(text_of(&["text", field]), Err(Failure::NotText(2)));
    }
    for field in ["", "t", "meta.", "meta.texts", "Text"] {
        assert_eq!(text_of(&["text", field, "number"]), Err(Failure::NoField(2)));
    }
}

#[test]
fn identifiers_of_all_kinds() {
    let none: (&[i16], &[i16]) = (&[], &[]);
    let of = |column: &str, field: Option<&str>| {
        let schema = format!("message rows {{ required binary text (UTF8); {column}; }}");
        read_all(&one_row(&schema, &[none, none]), &settings(&["text"], field)).remove(0)
    };
    let text = || Ok("word".to_owned());
    for (column, id) in [
        ("required binary id (UTF8)", Some("word")),
        ("required binary _id (UTF8)", Some("word")),
        ("required int32 id", Some("-1")),
        ("required int64 id", Some("-1")),
        ("required int32 id (UINT_32)", Some("4294967295")),
        ("required int64 id (INTEGER(64, false))", Some("18446744073709551615")),
        ("required int32 id (DATE)", None),
        ("required int64 id (TIMESTAMP_MILLIS)", None),
        ("required double id", None),
        ("required int64 other", None),
    ] {
        assert_eq!(of(column, None), (text(), id.map(str::to_owned)));
    }
    assert_eq!(of("required int64 other", Some("other")), (text(), Some("-1".to_owned())));
    assert_eq!(of("required int64 id", Some("other")), (Err(Failure::NoField(0)), None));
    assert_eq!(of("required double id", Some("id")), (Err(Failure::NotText(0)), None));
    let rows = vec![(Some("a".to_owned()), None), (Some("b".to_owned()), Some(1))];
    let bytes = written(&[rows], properties(Compression::SNAPPY, None, 1, 64));
    let found = read_all(&bytes, &settings(&["text"], Some("id")));
    assert_eq!(found, [(Err(Failure::NullField(0)), None), (Ok("b".to_owned()), Some("1".to_owned()))]);
}

#[test]
fn a_text_that_is_too_large() {
    let rows = ["12345", "123456", "1234"].map(|text| (Some(text.to_owned()), Some(1)));
    let bytes = written(&[rows.to_vec()], properties(Compression::SNAPPY, None, 1, 64));
    let of = |fields: &[&str]| {
        let found = read_all(&bytes, &RecordSettings { max_bytes: 5, ..settings(fields, None) });
        found.into_iter().map(|(text, _)| text).collect::<Vec<_>>()
    };
    assert_eq!(of(&["text"]), [Ok("12345".to_owned()), Err(Failure::TooLarge(6)), Ok("1234".to_owned())]);
    assert_eq!(of(&["text", "text"]), [11, 13, 9].map(|bytes| Err(Failure::TooLarge(bytes))));
}

#[test]
fn files_of_other_formats() {
    let bytes = written(&[numbered(0..9)], properties(Compression::SNAPPY, None, 1, 64));
    let only = |bytes: &[u8]| {
        let settings = settings(&["text"], None);
        // The number of documents does not depend on the cuts.
        assert_eq!(read(ParquetFiles::default().records(0, file_of(bytes), 1..u64::MAX, &settings)), []);
        let found = read_all(bytes, &settings);
        assert_eq!(found.len(), 1);
        found[0].0.clone().expect_err("a failure")
    };
    let size = bytes.len();
    assert_eq!(only(b""), Failure::OtherFormat);
    assert_eq!(only(b"text that is not Parquet"), Failure::OtherFormat);
    assert_eq!(only(&bytes[..size - 1]), Failure::Truncated(size as u64 - 1));
    let mut encrypted = bytes.clone();
    encrypted[size - 1] = b'E';
    assert_eq!(only(&encrypted), Failure::Encrypted);
    let mut long = bytes.clone();
    long[size - 8..size - 4].copy_from_slice(&(size as u32).to_le_bytes());
    assert_eq!(only(&long), Failure::Corrupt(size as u64 - 8));
}

#[test]
fn a_file_without_rows_has_no_documents() {
    for groups in [vec![], vec![vec![]], vec![vec![], vec![]]] {
        assert_eq!(read_all(&written(&groups, WriterProperties::default()), &settings(&["text"], None)), []);
    }
}

#[test]
fn a_file_that_shrinks() {
    let bytes =
        written(&[numbered(0..900)], properties(Compression::UNCOMPRESSED, Some(Encoding::PLAIN), 1, 2000));
    let file = file_of(&bytes);
    let mut records =
        ParquetFiles::default().records(0, file.clone(), 0..u64::MAX, &settings(&["text"], None));
    let mut text = Vec::new();
    assert!(records.next(&mut text).is_some_and(|found| found.is_ok()));
    file.set_len(3000).expect("the file is cut");
    assert_eq!(read(records).last(), Some(&(Err(Failure::Changed), None)));
}

/// Corrupts each byte in turn. Each result is some documents, and at most one fault, which is the last.
#[test]
fn corrupt_bytes() {
    let rows = || (0..12).map(|row| ((row != 5).then(|| format!("text {}", row / 2)), Some(row))).collect();
    let encodings = [
        None,
        Some(Encoding::PLAIN),
        Some(Encoding::DELTA_LENGTH_BYTE_ARRAY),
        Some(Encoding::DELTA_BYTE_ARRAY),
    ];
    let mut cases: Vec<_> =
        encodings.iter().flat_map(|&encoding| [1, 2].map(|v| (codecs()[0], encoding, v))).collect();
    cases.extend(codecs()[1..].iter().map(|&codec| (codec, None, 1)));
    for (codec, encoding, version) in cases {
        let bytes = written(&[rows(), rows()], properties(codec, encoding, version, 64));
        let settings = settings(&["text"], None);
        for place in 0..bytes.len() {
            for change in [0x01, 0x80] {
                let mut corrupt = bytes.clone();
                corrupt[place] ^= change;
                let found = read_all(&corrupt, &settings);
                let ends =
                    |(text, _): &Document| matches!(text, Err(Failure::Corrupt(_) | Failure::TooLarge(_)));
                let faults = found.iter().filter(|document| ends(document)).count();
                assert!(
                    faults == 0 || faults == 1 && found.last().is_some_and(ends),
                    "{codec} {place} {change}"
                );
            }
        }
    }
}

/// A page that claims 2 GiB in memory.
#[test]
fn a_page_that_claims_much_memory() {
    let text = "word ".repeat(300);
    let rows = vec![(Some(text.clone()), Some(1)); 3];
    let plain = Some(Encoding::PLAIN);
    for codec in [Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default()), Compression::LZ4_RAW] {
        let mut bytes = written(std::slice::from_ref(&rows), properties(codec, plain, 1, 100_000));
        // The first page header: its type, then its size in memory as a varint of 2 bytes.
        assert_eq!(bytes[4..7], [0x15, 0, 0x15]);
        bytes.splice(7..9, [0xfe, 0xff, 0xff, 0xff, 0x0f]);
        let found = read_all(&bytes, &settings(&["text"], None));
        assert_eq!(found, [(Err(Failure::TooLarge(i32::MAX as u64)), None)]);
    }
}

/// A dictionary that claims 2,147,483,647 values. Each would become a slice in memory.
#[test]
fn a_dictionary_that_claims_many_values() {
    let mut bytes = written(&[numbered(0..3)], properties(Compression::UNCOMPRESSED, None, 1, 1000));
    // In the first page header, the dictionary's own header is field 7, and the number of its values is field 1 of that.
    let values = bytes.windows(2).position(|pair| pair == [0x4c, 0x15]).expect("a dictionary") + 2;
    bytes.splice(values..=values, [0xfe, 0xff, 0xff, 0xff, 0x0f]);
    let found = read_all(&bytes, &settings(&["text"], None));
    assert!(matches!(found[..], [(Err(Failure::TooLarge(_)), None)]), "{found:?}");
}
