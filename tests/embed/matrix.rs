//! The matrix, the vocabulary and the manifest: columns, weights, norms, value types and file formats.
//!
//! Hash values are the known answers of scikit-learn's `murmurhash3_32`.

use super::{assert_rows, ok, pets};
use crate::support::{Array, Dir, Npz};
use serde_json::json;

// h mod 8: hello 7 (+), world 5 (-), quick 5 (+), the 6 (-).
fn greetings() -> Dir {
    Dir::with_corpus(&[("1", "hello world quick"), ("2", "the the THE hello"), ("3", "quick world")])
}

#[test]
fn vocabulary_of_a_corpus() {
    let output = pets().embedded(&[]);
    let terms = [("cat", 2), ("cats", 1), ("dog", 2), ("sat", 1), ("the", 2)];
    assert_eq!(output.vocabulary(), terms.map(|(term, df)| (term.to_owned(), df)));
    assert_eq!(output.documents(), [ok("a.txt", 14, 3), ok("b.txt", 22, 5), ok("c.txt", 19, 4)]);
    let rows: [&[_]; 3] =
        [&[(0, 1.0), (2, 1.0), (4, 1.0)], &[(0, 2.0), (3, 1.0), (4, 2.0)], &[(1, 1.0), (2, 3.0)]];
    assert_rows(&output, 5, &rows);
    assert_eq!(output.csr().data.descr, "<i4");
    assert_eq!(
        output.files().into_keys().collect::<Vec<_>>(),
        ["documents.jsonl", "manifest.json", "matrix.npz", "vocabulary.jsonl"]
    );
}

#[test]
fn manifest_tells_settings_and_counts() {
    let expected = json!({
        "bowline": env!("CARGO_PKG_VERSION"),
        "matrix": "matrix.npz",
        "settings": {
            "text": {
                "max_document_bytes": null, "binary": "fail", "encoding": "utf-8",
                "decode_error": "strict", "lowercase": true,
                "strip_accents": null, "analyzer": "word", "ngrams": {"min": 1, "max": 1}, "tokenizer": "pattern",
                "token_pattern": r"(?u)\b\w\w+\b", "stop_words": null, "stem": null,
            },
            "columns": {
                "features": "vocabulary", "fixed_vocabulary": false, "min_df": 1, "max_df": 1.0,
                "max_features": null, "n_features": null, "alternate_sign": null,
            },
            "values": {
                "weight": "count", "sublinear_tf": false, "smooth_idf": true, "bm25": "lucene", "k1": 1.5,
                "b": 0.75, "delta": 0.5, "norm": "none", "dtype": "i32",
            },
        },
        "counts": {
            "documents": 3, "failed": 0, "columns": 5, "nonzeros": 8, "tokens": 12, "unknown": 0,
            "mean_length": 4.0,
        },
        "merge": "terms",
    });
    assert_eq!(pets().embedded(&[]).manifest(), expected);
    let options = [
        "--features",
        "hashed",
        "--n-features",
        "9",
        "--norm",
        "l1",
        "--max-document-bytes",
        "1K",
        "--dense",
    ];
    let manifest = pets().embedded(&options).manifest();
    let settings = &manifest["settings"];
    let (text, columns, values) = (&settings["text"], &settings["columns"], &settings["values"]);
    assert_eq!((&manifest["matrix"], &values["dtype"]), (&json!("matrix.npy"), &json!("f32")));
    assert_eq!((&columns["n_features"], &columns["alternate_sign"]), (&json!(9), &json!(true)));
    assert_eq!((&values["norm"], &text["max_document_bytes"]), (&json!("l1"), &json!(1024)));
}

#[test]
fn hashed_terms_have_the_columns_and_signs_of_scikit_learn() {
    let corpus =
        Dir::with_corpus(&[("1", "hello world, the quick 日本語"), ("2", "Hello hello \u{c9}\u{e9} the")]);
    let output = corpus.embedded(&["--features", "hashed"]);
    let first = [(286878, -1.0), (587725, 1.0), (639749, -1.0), (757097, -1.0), (784967, 1.0)];
    let csr = output.csr();
    assert_eq!(csr.shape, [2, 1 << 20]);
    assert_eq!(csr.rows()[0], first);
    let second = &csr.rows()[1];
    assert!(
        second.contains(&(286878, -1.0)) && second.contains(&(784967, 2.0)) && second.len() == 3,
        "{second:?}"
    );
    assert!(!output.files().contains_key("vocabulary.jsonl"));
    assert_eq!(output.documents()[1].tokens, 4);
}

#[test]
fn a_cancelled_pair_stays_as_a_stored_zero() {
    let output = greetings().embedded(&["--features", "hashed", "--n-features", "8"]);
    assert_rows(&output, 8, &[&[(5, 0.0), (7, 1.0)], &[(6, -3.0), (7, 1.0)], &[(5, 0.0)]]);
    assert_eq!(output.manifest()["counts"]["nonzeros"], 5);
}

#[test]
fn without_alternate_sign_all_terms_count_positively() {
    let output = greetings().embedded(&["--features", "hashed", "--n-features", "8", "--no-alternate-sign"]);
    assert_rows(&output, 8, &[&[(5, 2.0), (7, 1.0)], &[(6, 3.0), (7, 1.0)], &[(5, 2.0)]]);
}

#[test]
fn binary_weight_sets_stored_cells_to_one() {
    let output = pets().embedded(&["--weight", "binary"]);
    let rows: [&[_]; 3] =
        [&[(0, 1.0), (2, 1.0), (4, 1.0)], &[(0, 1.0), (3, 1.0), (4, 1.0)], &[(1, 1.0), (2, 1.0)]];
    assert_rows(&output, 5, &rows);
    let output = greetings().embedded(&["--weight", "binary", "--features", "hashed", "--n-features", "8"]);
    assert_rows(&output, 8, &[&[(5, 1.0), (7, 1.0)], &[(6, 1.0), (7, 1.0)], &[(5, 1.0)]]);
}

#[test]
fn norms_divide_rows_and_leave_zero_rows() {
    let dir = Dir::with_corpus(&[("1", "cat cat cat dog dog dog dog"), ("2", ""), ("3", "dog")]);
    let output = dir.embedded(&["--norm", "l2", "--dtype", "f64"]);
    assert_rows(&output, 2, &[&[(0, 0.6), (1, 0.8)], &[], &[(1, 1.0)]]);
    let output = dir.embedded(&["--norm", "l1", "--dtype", "f64", "--force"]);
    assert_rows(&output, 2, &[&[(0, 3.0 / 7.0), (1, 4.0 / 7.0)], &[], &[(1, 1.0)]]);
    let hashed = ["--norm", "l1", "--features", "hashed", "--n-features", "8"];
    assert_rows(
        &greetings().embedded(&hashed),
        8,
        &[&[(5, 0.0), (7, 1.0)], &[(6, -0.75), (7, 0.25)], &[(5, 0.0)]],
    );
}

#[test]
fn value_types() {
    let dir = pets();
    for (option, descr) in [("i32", "<i4"), ("i64", "<i8"), ("f32", "<f4"), ("f64", "<f8")] {
        let csr = dir.embedded(&["--force", "--dtype", option]).csr();
        assert_eq!((csr.data.descr.as_str(), csr.data.numbers()[3]), (descr, 2.0));
        let dense = dir.embedded(&["--force", "--dtype", option, "--dense"]).dense();
        assert_eq!((dense.descr.as_str(), dense.numbers()), (descr, csr.dense()));
    }
    let csr = dir.embedded(&["--force", "--norm", "l2"]).csr();
    assert_eq!((csr.data.descr.as_str(), csr.data.numbers()[0]), ("<f4", (1.0 / 3f64.sqrt()) as f32 as f64));
}

#[test]
fn dense_has_the_values_of_sparse() {
    let variants: [&[&str]; 4] = [
        &[],
        &["--weight", "binary", "--dtype", "i64"],
        &["--norm", "l2", "--dtype", "f64"],
        &["--features", "hashed", "--n-features", "13", "--norm", "l1"],
    ];
    let dir = Dir::with_corpus(&[
        ("1", "cat cat hello world"),
        ("2", ""),
        ("3", "quick dog"),
        ("4", "cat \u{fc}ber"),
    ]);
    for options in variants {
        let sparse = dir.embedded(&[options, &["--force"]].concat()).csr();
        let output = dir.embedded(&[options, &["--force", "--format", "npy"]].concat());
        let dense = output.dense();
        assert_eq!((dense.shape.as_slice(), &dense.descr), (&sparse.shape[..], &sparse.data.descr));
        assert_eq!(dense.numbers(), sparse.dense(), "{options:?}");
        assert_eq!(dense.header % 64, 0);
        assert!(!output.files().contains_key("matrix.npz"));
    }
}

#[test]
fn archive_is_sound_and_aligned() {
    let output = pets().embedded(&["--dtype", "f64"]);
    let members = Npz::read(&output.matrix()).0;
    let names = ["data.npy", "format.npy", "indices.npy", "indptr.npy", "shape.npy"];
    assert_eq!(members.keys().collect::<Vec<_>>(), names);
    for (name, member) in members {
        assert_eq!((member.offset + member.array.header as u64) % 64, 0, "the elements of {name}");
    }
}

#[test]
fn a_flipped_byte_is_seen_by_a_reader_of_the_archive() {
    let dir = pets();
    let output = dir.embedded(&[]);
    let members = Npz::read(&output.matrix()).0;
    let data = &members["data.npy"];
    let mut bytes = output.file("matrix.npz");
    bytes[data.offset as usize + data.array.header] ^= 1;
    dir.write("damaged.npz", bytes);
    let damaged = dir.path("damaged.npz");
    assert!(std::panic::catch_unwind(|| Npz::read(&damaged)).is_err(), "the checksum covers the elements");
}

/// The tests' own reader: it accepts NumPy's example of a header, and refuses wrong ones.
#[test]
fn reader_of_arrays_is_strict() {
    let bytes = |shape: &str, elements: &[u8]| {
        let text = format!("{{'descr': '<i4', 'fortran_order': False, 'shape': {shape}, }}\n");
        [&b"\x93NUMPY\x01\x00"[..], &(text.len() as u16).to_le_bytes(), text.as_bytes(), elements].concat()
    };
    assert_eq!(Array::parse(&bytes("(2,)", &[1, 0, 0, 0, 255, 255, 255, 255])).integers(), [1, -1]);
    assert!(std::panic::catch_unwind(|| Array::parse(&bytes("(3,)", &[0; 8]))).is_err());
    assert!(std::panic::catch_unwind(|| Array::parse(b"\x93NUMPY\x02\x00")).is_err());
}
