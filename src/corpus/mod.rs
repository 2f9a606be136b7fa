//! The documents of a run: walks, filters and sorts the CORPUS arguments.

mod discovery;
mod globs;
mod records;
mod walk;

pub use bowline_workers::documents::display_path;
pub use discovery::{Corpus, CorpusError, InputFormat, RecordOptions, Source, WalkOptions, discover};
pub use records::RecordFile;
