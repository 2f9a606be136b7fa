//! Manual pages and completions of shells, made from the command line's own definition (clap_mangen, clap_complete).

use super::{CompletionsArgs, ManArgs};
use crate::corpus::display_path;
use anyhow::{Context as _, Result, ensure};
use clap::Command;
use clap_mangen::Man;
use nix::libc;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

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
        let (page, mut text) = (Man::new(page.clone()), Vec::new());
        page.render(&mut text)?;
        write_page(&args.directory.join(page.get_filename()), &text).with_context(shown)?;
    }
    Ok(())
}

/// Writes a file. Fails if something else has its name: a pipe would be waited for.
fn write_page(path: &Path, text: &[u8]) -> Result<()> {
    let mut file =
        File::options().write(true).create(true).truncate(false).custom_flags(libc::O_NONBLOCK).open(path)?;
    ensure!(file.metadata()?.is_file(), "{} is not a file", display_path(path.as_os_str().as_bytes()));
    file.set_len(0)?;
    Ok(file.write_all(text)?)
}
