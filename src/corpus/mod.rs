//! What the documents of a run are: CORPUS arguments walked, filtered and sorted.

mod walk;

pub use bowline_workers::documents::display_path;
pub use walk::{Corpus, WalkSettings, discover};
