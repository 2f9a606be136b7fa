//! The documents of a run: walks, filters and sorts the CORPUS arguments.

mod discovery;
mod globs;
mod path_list;
mod records;
mod standard_input;
mod walk;

pub use bowline_workers::documents::display_path;
pub use discovery::{Corpus, CorpusError, InputFormat, RecordOptions, Source, WalkOptions, discover};
pub use path_list::PathList;
pub use records::RecordFile;
pub use standard_input::is_standard_input;
