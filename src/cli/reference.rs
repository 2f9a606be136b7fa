//! Manual pages and completions of shells, made from the command line's own definition (clap_mangen, clap_complete).

use super::{CompletionsArgs, ManArgs};
use crate::corpus::display_path;
use anyhow::{Context as _, Result};
use clap::Command;
use clap_mangen::Man;
use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;

/// Writes the completions of `command` for a shell to `out`.
///
/// # Errors
/// The writer's.
pub fn completions(args: &CompletionsArgs, mut command: Command, out: &mut impl Write) -> Result<()> {
    let name = command.get_name().to_owned();
    // The generator panics where it can't write, so it writes to memory first.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut text);
    Ok(out.write_all(&text)?)
}

/// Writes the manual pages of a command's own commands, as far as they are named: `NAME-COMMAND.1`, and `NAME.1` for itself if
/// its own name is among them.
///
/// # Errors
/// If the directory can't be written.
pub fn manual(args: &ManArgs, mut command: Command, names: &[&str]) -> Result<()> {
    let shown = || display_path(args.directory.as_os_str().as_bytes());
    command = command.disable_help_subcommand(true);
    command.build();
    let all = std::iter::once(&command).chain(command.get_subcommands());
    for page in all.filter(|page| names.contains(&page.get_name())) {
        Man::new(page.clone()).generate_to(&args.directory).with_context(shown)?;
    }
    Ok(())
}
