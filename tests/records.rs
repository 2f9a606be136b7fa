//! Record files, archives and compressed files: the same documents give the same rows in every format, whatever divides the
//! work; and a fault costs no other record.

#[cfg(feature = "faults")]
mod crashes;
mod faults;

use crate::support::{Dir, Output, Random, assert_same_bytes};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::json;
use std::io::{Cursor, Write as _};
use std::sync::Arc;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// The record formats, by the endings of their files.
pub(crate) const FORMATS: [&str; 7] = ["lines", "jsonl", "csv", "tsv", "parquet", "tar", "zip"];

/// The endings of compressed files.
pub(crate) const COMPRESSIONS: [&str; 4] = ["gz", "zst", "bz2", "xz"];

/// The workers of runs that must give the same bytes.
const CREWS: [&[&str]; 7] = [
    &["--mode", "inline"],
    &["--workers", "1"],
    &["--workers", "2"],
    &["--workers", "3", "--mode", "threads"],
    &["--workers", "3", "--memory", "100K", "--worker-memory", "64M"],
    &["--workers", "7"],
    &["--workers", "13"],
];

/// Texts with line ends, quotes, delimiters and unusual characters. Some are empty. Each has about `words` words, a few ten
/// times as many.
pub(crate) fn texts(number: usize, words: usize) -> Vec<String> {
    let mut random = Random::new(number as u64);
    let marks = ["\n", "\r\n", "\"", "\"\"", ",", "\t", "\\", ";", " ", "\u{e9}\u{2028}\u{1F431}", "\n\"\n,"];
    let mut text = || match random.below(20) {
        0 => String::new(),
        kind => {
            let words = words / 2 + random.below(words) + if kind == 1 { 9 * words } else { 0 };
            (0..=words / 10)
                .fold(String::new(), |text, _| text + &random.text(10) + random.pick(&marks).expect("a mark"))
        }
    };
    (0..number).map(|_| text()).collect()
}

/// The identifier of a document.
fn id(number: usize) -> String {
    format!("{number:05}.txt")
}

pub(crate) fn jsonl(texts: &[String]) -> Vec<u8> {
    let line =
        |(number, text)| format!("{}\n", json!({"id": id(number), "other": [{}, "text"], "text": text}));
    texts.iter().enumerate().map(line).collect::<String>().into_bytes()
}

fn table(texts: &[String], delimiter: char) -> Vec<u8> {
    let row = |id: &str, text: &str| format!("{id}{delimiter}\"{}\"\n", text.replace('"', "\"\""));
    let rows = texts.iter().enumerate().map(|(number, text)| row(&id(number), text));
    std::iter::once(row("id", "text")).chain(rows).collect::<String>().into_bytes()
}

/// Row groups of 100 rows.
fn parquet(texts: &[String]) -> Vec<u8> {
    let schema = "message records { required binary id (UTF8); required binary text (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let mut file = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut file, schema, Arc::new(WriterProperties::default())).unwrap();
    let ids: Vec<_> = (0..texts.len()).map(id).collect();
    for (ids, texts) in ids.chunks(100).zip(texts.chunks(100)) {
        let mut group = writer.next_row_group().unwrap();
        for values in [ids, texts] {
            let values: Vec<_> = values.iter().map(|value| ByteArray::from(value.as_str())).collect();
            let mut column = group.next_column().unwrap().expect("a column");
            column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
    file
}

pub(crate) fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        // The crate refuses some of the names of the tests.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// The texts as a file of a format. Lines have spaces for line ends.
pub(crate) fn file(texts: &[String], format: &str) -> Vec<u8> {
    let names: Vec<_> = (0..texts.len()).map(id).collect();
    let members: Vec<_> =
        names.iter().zip(texts).map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    match format {
        "lines" => texts.iter().map(|text| text.replace(['\n', '\r'], " ") + "\n").collect::<String>().into(),
        "jsonl" => jsonl(texts),
        "csv" => table(texts, ','),
        "tsv" => table(texts, '\t'),
        "parquet" => parquet(texts),
        "tar" => tar(&members),
        "zip" => zip(&members),
        _ => panic!("{format}"),
    }
}

pub(crate) fn compressed(bytes: &[u8], ending: &str) -> Vec<u8> {
    match ending {
        "gz" => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
        "zst" => {
            let mut writer = zstd::Encoder::new(Vec::new(), 3).unwrap();
            writer.include_checksum(true).unwrap();
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
        "bz2" => {
            let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
        "xz" => liblzma::encode_all(bytes, 0).unwrap(),
        _ => panic!("{ending}"),
    }
}

/// `bowline embed --output OUTPUT OPTIONS FILES...`, which must end with this exit code.
fn embed(dir: &Dir, code: i32, output: &str, options: &[&str], files: &[&str]) -> (Output, String) {
    let arguments = ["embed", "--no-sync", "--force", "--output", output];
    let run = dir.bowline(&arguments).args(options).args(files).workers(Some("2"));
    let finished = run.run().expect(code);
    (dir.output(output), finished.stderr)
}

/// Requires the same matrix and vocabulary.
#[track_caller]
fn assert_same_rows(expected: &Output, found: &Output, context: &str) {
    for name in ["matrix.npz", "vocabulary.jsonl"] {
        assert!(expected.file(name) == found.file(name), "{context}: {name}");
    }
}

/// A directory with `files/` and their embedding `expected`.
fn with_files(texts: &[String]) -> (Dir, Output) {
    let dir = Dir::new();
    texts.iter().enumerate().for_each(|(number, text)| dir.write(format!("files/{}", id(number)), text));
    let expected = embed(&dir, 0, "expected", &["--mode", "inline"], &["files"]).0;
    (dir, expected)
}

#[test]
fn every_format_gives_the_rows_of_the_files() {
    let texts = texts(301, 120);
    let (dir, expected) = with_files(&texts);
    for (place, format) in FORMATS.into_iter().enumerate() {
        let bytes = file(&texts, format);
        let mut files = vec![(format!("all.{format}"), bytes.clone())];
        if !matches!(format, "zip" | "parquet") {
            let compression = COMPRESSIONS[place % COMPRESSIONS.len()];
            files.push((format!("all.{format}.{compression}"), compressed(&bytes, compression)));
        }
        // The name says the format.
        let options: &[&str] = if format == "lines" { &["--input-format", "lines"] } else { &[] };
        for (name, bytes) in files {
            dir.write(&name, bytes);
            let found = embed(&dir, 0, "found", options, &[&name]).0;
            assert_same_rows(&expected, &found, &name);
            for (number, (line, text)) in found.documents().iter().zip(&texts).enumerate() {
                let is_archive = matches!(format, "tar" | "zip");
                let identifier = (format != "lines" && !is_archive).then(|| id(number));
                assert_eq!((&line.path, line.bytes), (&name, text.len() as u64));
                assert_eq!(line.record, (!is_archive).then_some(number as u64), "{name}");
                assert_eq!(
                    (&line.member, &line.id),
                    (&is_archive.then(|| id(number)), &identifier),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn compressed_members_are_read_to_the_end() {
    let texts = texts(120, 40);
    let (dir, expected) = with_files(&texts);
    let bytes = jsonl(&texts);
    for ending in COMPRESSIONS {
        let name = format!("all.jsonl.{ending}");
        dir.write(&name, bytes.chunks(9999).flat_map(|part| compressed(part, ending)).collect::<Vec<u8>>());
        assert_same_rows(&expected, &embed(&dir, 0, "found", &[], &[&name]).0, &name);
    }
    // Files of a directory are documents, in the order of their names, with the sizes of their texts.
    for (number, text) in texts.iter().enumerate() {
        let ending = COMPRESSIONS[number % 4];
        dir.write(format!("packed/{}.{ending}", id(number)), compressed(text.as_bytes(), ending));
    }
    let found = embed(&dir, 0, "found", &[], &["packed"]).0;
    assert_same_rows(&expected, &found, "packed files");
    let bytes = |output: &Output| output.documents().iter().map(|line| line.bytes).collect::<Vec<_>>();
    assert_eq!(bytes(&found), bytes(&expected));
}

/// About 5 MiB, which are several ranges.
#[test]
fn ranges_give_the_same_bytes_for_any_workers() {
    let texts = texts(3200, 230);
    let dir = Dir::new();
    let mut rows = None;
    for (format, other) in [("jsonl", "parquet"), ("csv", "csv.zst"), ("lines", "tsv"), ("zip", "tar")] {
        let name = format!("all.{format}");
        let bytes = file(&texts, format);
        assert!(bytes.len() > 4 << 20 || format == "zip", "{} bytes", bytes.len());
        dir.write(&name, bytes);
        let mut expected = None;
        let runs = if matches!(format, "csv" | "jsonl") { &CREWS[..] } else { &CREWS[4..6] };
        for run in runs {
            let options = [*run, &["--input-format", format, "--norm", "l2"]].concat();
            let found = embed(&dir, 0, &format!("{format}-{}", run.join("")), &options, &[&name]).0;
            match &expected {
                None => expected = Some(found),
                Some(expected) => assert_same_bytes(expected, &found, &format!("{format} {run:?}")),
            }
        }
        let expected = expected.expect("a run");
        let numbers = expected.documents().into_iter().map(|line| line.record);
        let is_archive = format == "zip";
        assert!(numbers.eq((0..3200).map(|number| (!is_archive).then_some(number))), "{format}");
        assert_same_rows(
            rows.get_or_insert(expected),
            &dir.output(&format!("{format}-{}", runs[0].join(""))),
            format,
        );
        let name = format!("other.{other}");
        let bytes = match other.strip_suffix(".zst") {
            Some(format) => compressed(&file(&texts, format), "zst"),
            None => file(&texts, other),
        };
        dir.write(&name, bytes);
        let found = embed(&dir, 0, "found", &["--norm", "l2", "--workers", "3"], &[&name]).0;
        assert_same_rows(rows.as_ref().expect("rows"), &found, other);
    }
}

#[test]
fn shards_and_plain_files_keep_their_order() {
    let texts = texts(90, 20);
    let (dir, expected) = with_files(&texts);
    dir.write("shards/a.jsonl", jsonl(&texts[..20]));
    dir.write("shards/b/c.jsonl.gz", compressed(&jsonl(&texts[20..40]), "gz"));
    dir.write("shards/d.jsonl", jsonl(&texts[40..70]));
    dir.write("shards/readme.txt", "not a shard");
    (70..80).for_each(|number| dir.write(format!("plain/{}", id(number)), &texts[number]));
    dir.write("last.csv", table(&texts[80..], ','));
    let (found, said) = embed(&dir, 0, "found", &["--input-format", "jsonl"], &["shards"]);
    assert!(said.contains("70 documents, 1 entry left out"), "{said}");
    let paths = [("a.jsonl", 20), ("b/c.jsonl.gz", 20), ("d.jsonl", 30)];
    let paths = paths
        .iter()
        .flat_map(|&(path, records)| (0..records).map(move |record| (path.to_owned(), Some(record))));
    assert!(found.documents().into_iter().map(|line| (line.path, line.record)).eq(paths));
    for workers in ["1", "3", "13"] {
        let files = ["shards/a.jsonl", "shards/b/c.jsonl.gz", "shards/d.jsonl", "plain", "last.csv"];
        let found = embed(&dir, 0, "found", &["--workers", workers], &files).0;
        assert_same_rows(&expected, &found, workers);
        let line = &found.documents()[75];
        assert_eq!((line.path.as_str(), line.record), ("plain/00075.txt", None));
        let line = &found.documents()[85];
        assert_eq!(
            (line.path.as_str(), line.record, line.id.as_deref()),
            ("last.csv", Some(5), Some("00005.txt"))
        );
    }
    // Without the option, a shard of a directory is one document, and a notice says so.
    let (found, said) = embed(&dir, 0, "found", &[], &["shards"]);
    assert_eq!(found.documents().len(), 4);
    assert!(said.contains("--input-format jsonl"), "{said}");
}

#[test]
fn record_files_in_other_encodings() {
    let texts = ["plain text", "Le caf\u{e9}, \u{e0} \"Paris\"\nune ville", "", "na\u{ef}ve \u{e9}t\u{e9}"]
        .map(str::to_owned);
    let (dir, expected) = with_files(&texts);
    let utf16 = |bytes: &[u8], mark: &str| {
        let text = mark.to_owned() + std::str::from_utf8(bytes).unwrap();
        text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()
    };
    let utf32 = |bytes: &[u8]| {
        let text = "\u{FEFF}".to_owned() + std::str::from_utf8(bytes).unwrap();
        text.chars().flat_map(|c| (c as u32).to_be_bytes()).collect::<Vec<u8>>()
    };
    let latin1 =
        |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().chars().map(|c| c as u8).collect::<Vec<u8>>();
    for format in ["lines", "jsonl", "csv", "tsv"] {
        let bytes = file(&texts, format);
        let name = format!("all.{format}");
        let cases = [
            ("utf-16", utf16(&bytes, "\u{FEFF}"), Some("UTF-16")),
            ("auto", utf16(&bytes, "\u{FEFF}"), Some("UTF-16")),
            ("utf-16le", utf16(&bytes, ""), None),
            ("utf-32", utf32(&bytes), Some("UTF-32")),
            ("latin1", latin1(&bytes), None),
        ];
        for (encoding, bytes, cause) in cases {
            for ending in ["", ".gz"] {
                let name = format!("{name}{ending}");
                dir.write(&name, if ending.is_empty() { bytes.clone() } else { compressed(&bytes, "gz") });
                let options = ["--input-format", format, "--encoding", encoding];
                let found = embed(&dir, 0, "found", &options, &[&name]).0;
                assert_same_rows(&expected, &found, &format!("{name} in {encoding}"));
                let guessed = (encoding == "auto").then_some("utf-16");
                let documents = found.documents();
                assert!(documents.iter().all(|line| line.encoding.as_deref() == guessed), "{name}");
                let (found, said) = embed(&dir, 3, "found", &["--input-format", format], &[&name]);
                assert!(said.contains("--encoding"), "{name} in {encoding}: {said}");
                if encoding == "utf-16le" && format != "lines" {
                    assert!(said.contains("binary, perhaps UTF-16 (--encoding utf-16le"), "{name}: {said}");
                }
                if let Some(cause) = cause {
                    assert_eq!(found.failures(), [(0, cause.to_owned())], "{name} in {encoding}");
                }
            }
        }
    }
}
