//! `bowline merge`: turns the options into a merge, and prints its result as `embed` does.

use super::args::{MergeArgs, columns_and_values};
use super::embed::{options, perform, sink};
use crate::cancel::Cancel;
use crate::merge::{self, MergeJob};
use anyhow::Result;

/// Runs the command. Returns whether every document was embedded.
///
/// # Errors
/// The error that kept the merge from finishing.
pub fn merge(args: &MergeArgs, cancel: &Cancel) -> Result<bool> {
    let job = MergeJob {
        outputs: args.outputs.clone(),
        settings: columns_and_values(&args.pruning, &args.values),
        sink: sink(args.output.clone(), &args.sink, false),
        options: options(&args.run),
    };
    perform(&args.run, cancel, |events| merge::merge(&job, events, cancel))
}
