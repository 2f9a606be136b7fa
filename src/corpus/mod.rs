//! What the documents of a run are: CORPUS arguments walked, filtered and sorted.

mod discovery;
mod globs;
mod records;
mod walk;

pub use bowline_workers::documents::display_path;
pub use discovery::{Corpus, CorpusError, Source, WalkOptions, discover};
