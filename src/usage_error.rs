//! Wrong usage that clap can't see, such as options that contradict each other: exit code 2.

/// What was wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);
