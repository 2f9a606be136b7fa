//! Bag-of-words document embeddings of a corpus: scikit-learn's answers, by processes or threads, in bounded memory.
//!
//! [`run()`] embeds the documents of a [`Source`] by [`Settings`] into a directory, the [`Sink`]:
//!
//! ```
//! use bowline::{Base, Cancel, Job, RunOptions, SettingsBuilder, Sink, Source, WeightKind, run};
//!
//! # let scratch = tempfile::tempdir()?;
//! # let directory = scratch.path();
//! # std::fs::create_dir(directory.join("corpus"))?;
//! std::fs::write(directory.join("corpus/a.txt"), "the cat sat")?;
//! std::fs::write(directory.join("corpus/b.txt"), "the dog")?;
//! let settings = SettingsBuilder { weight: Some(WeightKind::Tfidf), ..SettingsBuilder::default() };
//! let job = Job {
//!     source: Source { paths: vec![directory.join("corpus")], ..Source::default() },
//!     settings: settings.build(Base::default())?,
//!     model: None,
//!     sink: Sink::new(directory.join("embeddings")),
//!     options: RunOptions::default(),
//! };
//! let summary = run(&job, &mut |_event| (), &Cancel::new())?;
//! assert_eq!((summary.counts.documents, summary.counts.columns), (2, 4));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! docs/ARCHITECTURE.md lists who imports whom. `cli` is the command line, which is left out without the feature of that name.

pub mod cancel;
#[cfg(feature = "cli")]
pub mod cli;
mod coordinator;
pub mod corpus;
mod error;
mod estimate;
mod event;
mod file_format;
mod folder;
mod job;
pub mod memory;
mod merge;
mod model;
mod never_equal;
pub mod output;
mod pipe;
pub mod pool;
mod run;
mod settings;
mod term_notices;
mod word_list;

pub use cancel::Cancel;
pub use coordinator::Shard;
pub use corpus::Source;
pub use error::{Error, ErrorKind, Fault};
pub use estimate::{Estimate, FailedShare, Interval, estimate};
pub use event::{Event, Notice, NoticeKind, Phase};
pub use job::{FailedDocument, Job, RunOptions, Sink, Summary};
pub use memory::MemoryLimits;
pub use merge::{MergeJob, merge};
pub use model::Model;
pub use output::{Format, ManifestFile, Output};
pub use pool::{Confinement, Mode, ThreadGuards};
pub use run::run;
pub use settings::{
    AnalyzerKind, Base, Binary, Bm25, ColumnSettings, DEFAULT_PATTERN, DecodeError, Df, Dtype, Encoding,
    FeatureKind, NgramSizes, Norm, Pruning, Setting, Settings, SettingsBuilder, SettingsError, StopWordList,
    StripAccents, Text, TokenizerKind, Values, WeightKind,
};

/// The stop words that `name` names: the built-in list of a language, or the words of a file, one a line. `trims` drops white space
/// around the words of a file. `cancel` ends the wait for a pipe.
///
/// # Errors
/// If it is neither, or the file is not a list or can't be read.
pub fn stop_words(name: &str, trims: bool, cancel: &Cancel) -> Result<StopWordList, Error> {
    word_list::stop_words(name, trims, cancel.flag()).map_err(run::classified)
}
