//! The coordinator's side of bowline: the commands, without the program around them.
//!
//! A library only so that more than `main` can call them: the fuzz targets do (`fuzz/`). docs/ARCHITECTURE.md tells who
//! imports whom.

pub mod bench;
pub mod cli;
mod coordinator;
mod corpus;
pub mod embed;
mod folder;
pub mod generate;
pub mod inspect;
mod matrix;
mod memory;
mod model;
mod output;
mod pool;
mod progress;
mod report;
mod result_file;
pub mod say;
mod settings;
mod usage_error;

pub use coordinator::RunError;
pub use output::ManifestFile;
pub use usage_error::UsageError;
