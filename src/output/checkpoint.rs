//! The names in a checkpoint, the directory of a run that can be resumed. Only entries with these names are ever removed.

use crate::folder::{Contents, Made};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

/// The name of a run's plan.
pub(crate) const PLAN: &str = "plan";

/// What is in a checkpoint: the folders of runs.
pub(crate) const CHECKPOINT: Contents = Contents(|name| number(name).map(|_| Made::Folder(RUN)));

/// What is in the folder of a run: its plan and its segments.
pub(crate) const RUN: Contents =
    Contents(|name| (name == PLAN.as_bytes() || number(name).is_some()).then_some(Made::File));

/// The number of a run or a segment, whose name is as [`named`] writes it.
pub(crate) fn number(name: &[u8]) -> Option<u32> {
    let number = std::str::from_utf8(name).ok()?.parse().ok()?;
    (named(number).as_bytes() == name).then_some(number)
}

/// The name of a run or a segment.
pub(crate) fn named(number: u32) -> OsString {
    number.to_string().into()
}
