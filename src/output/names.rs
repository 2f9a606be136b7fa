//! The names of an output's files.

/// The file with a line a column.
pub const VOCABULARY: &str = "vocabulary.jsonl";
/// The file with a line a row.
pub const DOCUMENTS: &str = "documents.jsonl";
/// The file that describes the output.
pub const MANIFEST: &str = "manifest.json";
/// The array of the buckets' idf.
pub const IDF: &str = "idf.npy";
/// The file with a line a bucket.
pub const HASH_TERMS: &str = "hash_terms.jsonl";

/// All names that a file of an output may have.
pub(super) const FILES: [&str; 11] = [
    VOCABULARY,
    DOCUMENTS,
    MANIFEST,
    IDF,
    HASH_TERMS,
    "matrix.npz",
    "matrix.npy",
    "matrix.mtx",
    "matrix.svm",
    "matrix.parquet",
    "matrix.arrow",
];
