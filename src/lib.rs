//! The coordinator's side of bowline: the commands, without the program around them.
//!
//! A library so that more than `main` can call them: the benchmarks (`bench/`) and the fuzz targets (`fuzz/`) do. docs/ARCHITECTURE.md lists who
//! imports whom.

pub mod bench_program;
pub mod cli;
mod coordinator;
pub mod corpus;
pub mod embed;
mod file_format;
mod folder;
pub mod inspect;
mod matrix;
pub mod memory;
mod model;
mod never_equal;
pub mod output;
pub mod pool;
mod progress;
mod report;
pub mod result_file;
pub mod say;
mod settings;
mod term_notices;
mod usage_error;
mod word_list;

pub use coordinator::RunError;
pub use output::ManifestFile;
pub use usage_error::UsageError;
