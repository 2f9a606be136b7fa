//! `bowline bench`: each mode in a fresh process on the same corpus; equal bytes or no table.
use crate::cli::BenchArgs;
use anyhow::Result;

/// Runs the command.
///
/// # Errors
/// If a run fails or two outputs differ.
pub fn bench(_args: &BenchArgs) -> Result<()> {
    Ok(())
}
