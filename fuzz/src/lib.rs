//! The bodies of the fuzz targets: one file for each reader of data that another program may have written. Each has one
//! function `run`, which panics if it finds a fault. libFuzzer calls it with generated inputs (`fuzz_targets/`), and
//! `tests/seeds.rs` with the files in `seeds/`, in every `make test`.
//!
//! Inputs are text where possible, so that seeds can be read. A NUL separates the parts of an input.

pub mod analyze;
pub mod archive;
pub mod encoding;
mod files;
pub mod manifest;
pub mod matrix;
pub mod parquet;
pub mod records;
pub mod segment;
pub mod token_pattern;
pub mod vocabulary;
