//! The bodies of the fuzz targets: one file for each thing that reads what others may have written, with one function
//! `run`, which panics where something is wrong. libFuzzer calls it with what it makes up (`fuzz_targets/`), and
//! `tests/seeds.rs` with what lies in `seeds/`, in every `make test`.
//!
//! An input is text where it can be, so that seeds can be read: several parts of it are parted by a NUL.

pub mod analyze;
mod files;
pub mod manifest;
pub mod matrix;
pub mod segment;
pub mod token_pattern;
pub mod vocabulary;
