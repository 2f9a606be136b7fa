//! `--format`: the bytes of text files, and the cells of Parquet and Arrow files. The Parquet file is read by the reader of
//! the `parquet` crate; of the Arrow file the frame is checked here, and its contents by `make parity`.

use super::pets;
use crate::support::{Dir, Output, assert_same_bytes};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::json;
use std::fs::File;

/// The formats, and the names of their files.
const FORMATS: [(&str, &str); 6] = [
    ("npz", "matrix.npz"),
    ("npy", "matrix.npy"),
    ("mtx", "matrix.mtx"),
    ("svmlight", "matrix.svm"),
    ("parquet", "matrix.parquet"),
    ("arrow", "matrix.arrow"),
];

/// Documents with cells, without any, and one that fails.
fn mixed() -> Dir {
    let dir = Dir::with_corpus(&[("1", "cat cat cat dog dog dog dog"), ("2", ""), ("4 \u{e9}", "dog")]);
    dir.add(b"3\\\xFF", b"\xFF");
    dir
}

fn text(output: &Output, name: &str) -> String {
    String::from_utf8(output.file(name)).expect("text")
}

#[test]
fn matrix_market_text() {
    let dir = mixed();
    let mtx = |options: &[&str]| {
        let output = dir.embedded_with(3, &[&["--force", "--format", "mtx"], options].concat());
        text(&output, "matrix.mtx")
    };
    let head = |field| format!("%%MatrixMarket matrix coordinate {field} general\n4 2 3\n");
    assert_eq!(mtx(&[]), head("integer") + "1 1 3\n1 2 4\n4 2 1\n");
    assert_eq!(mtx(&["--dtype", "i64"]), head("integer") + "1 1 3\n1 2 4\n4 2 1\n");
    assert_eq!(mtx(&["--dtype", "f64"]), head("real") + "1 1 3.0\n1 2 4.0\n4 2 1.0\n");
    assert_eq!(mtx(&["--norm", "l1"]), head("real") + "1 1 0.42857143\n1 2 0.5714286\n4 2 1.0\n");
    let doubles = "1 1 0.42857142857142855\n1 2 0.5714285714285714\n4 2 1.0\n";
    assert_eq!(mtx(&["--norm", "l1", "--dtype", "f64"]), head("real") + doubles);
}

#[test]
fn svmlight_text() {
    let dir = mixed();
    let svm = |options: &[&str]| {
        let output = dir.embedded_with(3, &[&["--force", "--format", "svmlight"], options].concat());
        text(&output, "matrix.svm")
    };
    assert_eq!(svm(&[]), "0 0:3 1:4\n0\n0\n0 1:1\n");
    assert_eq!(svm(&["--norm", "l2", "--dtype", "f64"]), "0 0:0.6 1:0.8\n0\n0\n0 1:1.0\n");
}

/// A pair of terms that cancel out stays as a stored zero; the empty matrix has no line of a cell.
#[test]
fn zeroes_and_nothing() {
    let dir = Dir::with_corpus(&[("1", "hello world quick")]);
    let hashed = ["--features", "hashed", "--n-features", "8", "--dtype", "i32"];
    let output = dir.embedded(&[&["--format", "svmlight"], &hashed[..]].concat());
    assert_eq!(text(&output, "matrix.svm"), "0 5:0 7:1\n");
    let dir = Dir::new();
    dir.add(b"1", b"\xFF");
    for (format, name) in FORMATS {
        let output = dir.embedded_with(3, &["--force", "--format", format]);
        assert!(output.files().contains_key(name), "{format}");
    }
    let output = dir.embedded_with(3, &["--force", "--format", "mtx"]);
    assert_eq!(text(&output, "matrix.mtx"), "%%MatrixMarket matrix coordinate integer general\n1 0 0\n");
}

/// The rows of a Parquet file and its metadata.
fn parquet(dir: &Dir, name: &str) -> (Vec<Row>, ParquetMetaData) {
    let file = File::open(dir.path(name).join("matrix.parquet")).expect("a file");
    let reader = SerializedFileReader::new(file).expect("a Parquet file");
    let rows = reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect();
    (rows, reader.metadata().clone())
}

/// The elements of a list.
fn elements(field: &Field) -> Vec<f64> {
    let Field::ListInternal(list) = field else { panic!("no list: {field}") };
    let number = |field: &Field| match *field {
        Field::Int(number) => number as f64,
        Field::Long(number) => number as f64,
        Field::Float(number) => number as f64,
        Field::Double(number) => number,
        _ => panic!("no number: {field}"),
    };
    list.elements().iter().map(number).collect()
}

/// The cells of a row of a Parquet file.
fn cells(row: &Row) -> Vec<(usize, f64)> {
    let field = |name: &str| row.get_column_iter().find(|(column, _)| *column == name).expect("a column").1;
    let (indices, values) = (elements(field("indices")), elements(field("values")));
    assert_eq!(indices.len(), values.len());
    indices.into_iter().map(|index| index as usize).zip(values).collect()
}

#[test]
fn parquet_has_the_documents_and_cells_of_npz() {
    let dir = mixed();
    let variants: [&[&str]; 4] = [
        &[],
        &["--dtype", "i64"],
        &["--weight", "tfidf", "--norm", "l2"],
        &["--dtype", "f64", "--norm", "l1"],
    ];
    for options in variants {
        let expected = dir.embedded_with(3, &[&["--force"], options].concat());
        let (csr, paths) = (expected.csr(), expected.paths());
        dir.embedded_with(3, &[&["--force", "--format", "parquet"], options].concat());
        let (rows, metadata) = parquet(&dir, "out");
        assert_eq!(rows.iter().map(cells).collect::<Vec<_>>(), csr.rows(), "{options:?}");
        for (row, path) in rows.iter().zip(paths) {
            let names: Vec<_> = row.get_column_iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["path", "record", "id", "indices", "values"]);
            let fields: Vec<_> = row.get_column_iter().map(|(_, field)| field.clone()).take(3).collect();
            assert_eq!(fields, [Field::Str(path), Field::Null, Field::Null]);
        }
        let pairs = metadata.file_metadata().key_value_metadata().expect("metadata");
        let pairs: Vec<_> = pairs.iter().map(|pair| (pair.key.as_str(), pair.value.as_deref())).collect();
        assert_eq!(pairs, [("n_columns", Some("2"))]);
    }
}

/// Where a file has these bytes.
fn places(file: &[u8], bytes: &[u8]) -> Vec<usize> {
    (0..file.len()).filter(|&start| file[start..].starts_with(bytes)).collect()
}

#[test]
fn arrow_arrays_can_be_mapped() {
    let dir = mixed();
    let output = dir.embedded_with(3, &["--format", "arrow", "--dtype", "f64"]);
    let file = output.file("matrix.arrow");
    assert!(file.starts_with(b"ARROW1\0\0\xFF\xFF\xFF\xFF") && file.ends_with(b"ARROW1"));
    let footer = file.len() - 10;
    let length = i32::from_le_bytes(file[footer..footer + 4].try_into().unwrap()) as usize;
    assert_eq!(file[footer - length - 8..][..8], *b"\xFF\xFF\xFF\xFF\0\0\0\0", "the end of the messages");
    for array in [
        bytemuck::cast_slice(&[0i32, 2, 2, 2, 3]),
        bytemuck::cast_slice(&[0i32, 1, 1]),
        bytemuck::cast_slice(&[3f64, 4.0, 1.0]),
        "123\\\\\\xFF4 \u{e9}".as_bytes(),
    ] {
        let places = places(&file, array);
        assert!(places.iter().any(|place| place % 64 == 0), "{array:?} at {places:?}");
    }
}

/// Enough cells for several pieces, in which each format has some with an end in the middle of the work of a worker.
#[test]
fn the_bytes_depend_on_no_worker() {
    let dir = Dir::with_generated(3000);
    let options = ["--ngrams", "1:3", "--norm", "l2"];
    let npz = dir.embedded(&options).csr();
    assert!(npz.indices.len() > 2 * (256 << 10), "{} cells", npz.indices.len());
    for (format, name) in &FORMATS[2..] {
        let run = |directory: &str, other: &[&str]| {
            let options = [&["--force", "--format", format], &options[..], other].concat();
            dir.embed_to(directory, &options).workers(None).run().expect(0);
            dir.output(directory)
        };
        let expected = run("expected", &["--mode", "inline"]);
        assert!(expected.files().contains_key(*name));
        for other in [
            &["--workers", "1"][..],
            &["--workers", "2", "--worker-memory", "32M"],
            &["--workers", "3", "--memory", "100K", "--worker-memory", "64M"],
            &["--workers", "7", "--mode", "threads"],
        ] {
            assert_same_bytes(&expected, &run("found", other), &format!("{format} {other:?}"));
        }
    }
    dir.embed_to("found", &[&["--force", "--format", "parquet"], &options[..]].concat()).run().expect(0);
    let (rows, metadata) = parquet(&dir, "found");
    assert!(metadata.num_row_groups() > 2, "{} row groups", metadata.num_row_groups());
    assert!(rows.iter().map(cells).eq(npz.rows()), "the cells of the Parquet file");
}

#[test]
fn one_format_replaces_another() {
    let dir = pets();
    for (format, name) in FORMATS.into_iter().chain(FORMATS.into_iter().rev()) {
        let output = dir.embedded(&["--force", "--format", format]);
        let expected = ["documents.jsonl", "manifest.json", name, "vocabulary.jsonl"];
        assert_eq!(output.files().into_keys().collect::<Vec<_>>(), expected);
        assert_eq!(output.manifest()["matrix"], json!(name));
    }
    dir.embedded(&["--force", "--dense"]);
    let finished = dir.embed(&["--force", "--dense", "--format", "mtx"]).run().expect(2);
    assert!(finished.stderr.contains("--dense"), "{}", finished.stderr);
}

#[test]
fn an_earlier_output_may_have_any_format() {
    let dir = pets();
    let expected = dir.embedded(&["--weight", "tfidf"]).csr().rows();
    for (format, _) in FORMATS {
        let options = ["--weight", "tfidf", "--format", format];
        dir.embed_to("earlier", &[&["--force"], &options[..]].concat()).run().expect(0);
        let output = dir.embedded(&["--force", "--vocabulary", "earlier", "--weight", "tfidf"]);
        assert_eq!(output.csr().rows(), expected, "{format}");
    }
}

/// The message is that of npz, which `errors` tests.
#[test]
fn a_value_that_is_not_finite_is_refused_in_each_format() {
    let dir = Dir::with_corpus(&[("1", "zz yy"), ("2", "yy")]);
    dir.write("terms.txt", "yy\nzz\nxx\n");
    let options = ["--weight", "tfidf", "--no-smooth-idf", "--vocabulary"];
    dir.embed_to("earlier", &[&options[..], &["terms.txt"]].concat()).run().expect(0);
    dir.add(b"1", b"zz xx");
    let line = |format: &str| {
        let finished = dir.embed(&[&options[..], &["earlier", "--format", format]].concat()).run().expect(1);
        assert!(!dir.path("out").exists(), "{format}");
        finished.line().to_owned()
    };
    let expected = line("npz");
    assert!(expected.starts_with("1: the term `xx` has no idf"), "{expected}");
    for (format, _) in FORMATS {
        assert_eq!(line(format), expected, "{format}");
    }
}
