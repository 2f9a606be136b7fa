//! A directory that is held open, and the files in it, reached by its descriptor: what is renamed or swapped for a link in
//! the meantime leads nowhere else.
//!
//! Owns the rules for files that an earlier run may have left. A directory is entered only if it is no link and belongs to
//! the user of the run; a file is opened only if it is a regular one of that user's, with no second name. Nothing is removed
//! but what the program itself makes in such a directory ([`Contents`]).

use crate::error::{ErrorKind, Fault};
use anyhow::{Context as _, Result, bail};
use bowline_workers::documents::display_path;
use bowline_workers::mapped::no_file;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A directory that is held open.
#[derive(Debug)]
pub struct Folder {
    file: File,
    /// Where it was found: for messages.
    path: PathBuf,
    /// Whose files are the run's own: the user of the run, or the one that a file system shows for what the run has made, as a
    /// FAT disk does.
    user: Cell<u32>,
}

/// What the program makes in a directory, by name.
#[derive(Clone, Copy)]
pub struct Contents(pub fn(&[u8]) -> Option<Made>);

/// What the program makes under a name.
pub enum Made {
    /// A file.
    File,
    /// A directory, and what it makes in there.
    Folder(Contents),
}

/// Why something is not taken for the work of an earlier run.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", shown(path))]
pub struct Refusal {
    path: PathBuf,
    why: String,
}

impl Refusal {
    /// `error`, as an error of the kind `kind` if it is a refusal.
    pub fn of_kind(kind: ErrorKind, error: anyhow::Error) -> anyhow::Error {
        match error.downcast_ref::<Refusal>() {
            Some(refusal) => Fault::new(kind, refusal.to_string()).into(),
            None => error,
        }
    }

    /// The same; adds `context` to any other error.
    pub fn of_kind_or<C: Display + Send + Sync + 'static>(
        kind: ErrorKind,
        error: anyhow::Error,
        context: impl FnOnce() -> C,
    ) -> anyhow::Error {
        match error.is::<Refusal>() {
            true => Refusal::of_kind(kind, error),
            false => error.context(context()),
        }
    }
}

fn shown(path: &Path) -> String {
    display_path(path.as_os_str().as_bytes())
}

/// The kind of a file, by its mode.
pub fn kind(mode: u32) -> &'static str {
    match SFlag::from_bits_truncate(mode) & SFlag::S_IFMT {
        SFlag::S_IFDIR => "a directory",
        SFlag::S_IFREG => "a file",
        SFlag::S_IFLNK => "a symbolic link",
        _ => "a special file",
    }
}

impl Folder {
    /// Opens a directory that the user has named: it may be a link to one, and belong to any user.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let file = nix::fcntl::open(path, flags, Mode::empty())?.into();
        Ok(Folder { file, path: path.to_owned(), user: Cell::new(geteuid().as_raw()) })
    }

    /// Opens a directory in this one: never a pipe, which would be waited for, nor a link, which may lead to any files.
    ///
    /// # Errors
    /// The system's.
    pub fn beneath(&self, name: &OsStr) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&self.file, name, flags, Mode::empty())?.into();
        Ok(Folder { file, path: self.path.join(name), user: self.user.clone() })
    }

    /// Opens a directory in this one that an earlier run may have left; nothing if there is none.
    ///
    /// # Errors
    /// A [`Refusal`] if something else bears the name, or another user owns it; or the system's.
    pub fn own(&self, name: &OsStr) -> Result<Option<Self>> {
        let path = self.path.join(name);
        let judge = |mode: u32, user: u32| match kind(mode) {
            "a directory" => self.refuse_other_user(&path, user),
            kind => Err(Refusal { path: path.clone(), why: format!("is {kind}, and no run has left it") }),
        };
        // Looked at first, since another user's may not open; and once more, since it may be swapped in between.
        let Some(stat) = self.stat(name).with_context(|| shown(&path))? else { return Ok(None) };
        judge(stat.st_mode, stat.st_uid)?;
        let folder = match self.beneath(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.with_context(|| shown(&path))?,
        };
        let metadata = folder.file.metadata().with_context(|| shown(&path))?;
        judge(metadata.mode(), metadata.uid())?;
        Ok(Some(folder))
    }

    /// Opens a file in this directory that an earlier run may have left; nothing if there is none.
    ///
    /// # Errors
    /// A [`Refusal`] if it is no regular file, another user's, or has a second name; or the system's.
    pub fn own_file(&self, name: &OsStr, access: OFlag) -> Result<Option<File>> {
        let path = self.path.join(name);
        let judge = |mode: u32, user: u32, names: u64| {
            let why = match kind(mode) {
                "a file" if names == 1 => return self.refuse_other_user(&path, user),
                "a file" => "has a second name (a hard link), and no run has left it so".to_owned(),
                kind => format!("is {kind}, and no run has left it"),
            };
            Err(Refusal { path: path.clone(), why })
        };
        let Some(stat) = self.stat(name).with_context(|| shown(&path))? else { return Ok(None) };
        judge(stat.st_mode, stat.st_uid, 1)?;
        // A pipe that is there by now would be waited for.
        let flags = access | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = match openat(&self.file, name, flags, Mode::empty()) {
            Err(Errno::ENOENT) => return Ok(None),
            opened => File::from(opened.map_err(io::Error::from).with_context(|| shown(&path))?),
        };
        let metadata = file.metadata().with_context(|| shown(&path))?;
        judge(metadata.mode(), metadata.uid(), metadata.nlink())?;
        Ok(Some(file))
    }

    /// Opens a file in this directory for reading, of any user, also by a link.
    ///
    /// # Errors
    /// The system's, or that it is no regular file: a pipe would be waited for, and a device may have no end.
    pub fn input(&self, name: impl AsRef<OsStr>) -> Result<File> {
        let name = name.as_ref();
        let is_file = |mode: u32| if kind(mode) == "a file" { Ok(()) } else { bail!("not a file") };
        is_file(fstatat(&self.file, name, AtFlags::empty()).map_err(io::Error::from)?.st_mode)?;
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.file, name, flags, Mode::empty()).map_err(io::Error::from)?);
        is_file(file.metadata()?.mode())?;
        Ok(file)
    }

    /// Makes a directory in this one, or opens what an earlier run may have left under its name; and whether it was made. Nothing
    /// if it was there, and is gone now.
    ///
    /// # Errors
    /// As for [`Folder::own`].
    pub fn make(&self, name: &OsStr, mode: Mode) -> Result<Option<(Self, bool)>> {
        match mkdirat(&self.file, name, mode) {
            Err(Errno::EEXIST) => return Ok(self.own(name)?.map(|folder| (folder, false))),
            made => made.map_err(|errno| no_file(&self.path, errno.into()))?,
        }
        let folder = self.beneath(name)?;
        let user = folder.file.metadata()?.uid();
        self.user.set(user);
        folder.user.set(user);
        Ok(Some((folder, true)))
    }

    /// Makes a file in this directory, for reading and writing.
    ///
    /// # Errors
    /// The system's, also if the name is taken.
    pub fn create(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let made = openat(&self.file, name, flags, Mode::from_bits_truncate(0o666));
        Ok(made.map_err(|errno| no_file(&self.path, errno.into()))?.into())
    }

    /// What bears a name in this directory, if something does.
    ///
    /// # Errors
    /// The system's.
    pub fn stat(&self, name: &OsStr) -> io::Result<Option<FileStat>> {
        match fstatat(&self.file, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => Ok(None),
            stat => Ok(Some(stat?)),
        }
    }

    /// Whether a name in this directory is that of `folder`.
    pub fn leads_to(&self, name: &OsStr, folder: &Folder) -> bool {
        let now = self.stat(name).ok().flatten().map(|stat| (stat.st_dev, stat.st_ino));
        now.is_some() && now == folder.identity().ok()
    }

    /// Its device and inode.
    ///
    /// # Errors
    /// The system's.
    pub fn identity(&self) -> io::Result<(u64, u64)> {
        self.file.metadata().map(|metadata| (metadata.dev(), metadata.ino()))
    }

    /// The open directory.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names in it, sorted.
    ///
    /// # Errors
    /// The system's.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        // Another opening, with a place of its own in the list; this one may be for no reading at all.
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut entries = Dir::openat(&self.file, ".", flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in entries.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Syncs it to the disk.
    ///
    /// # Errors
    /// The system's.
    pub fn sync(&self) -> io::Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        File::from(openat(&self.file, ".", flags, Mode::empty())?).sync_all()
    }

    /// The path, from here on, of something that the program does not make in such a directory; nothing if there is no such
    /// thing.
    ///
    /// # Errors
    /// As for [`Folder::own`].
    pub fn foreign(&self, contents: Contents) -> Result<Option<PathBuf>> {
        for name in self.names().with_context(|| shown(&self.path))? {
            let stat = self.stat(&name).with_context(|| shown(&self.path))?;
            let is_folder = stat.is_some_and(|stat| kind(stat.st_mode) == "a directory");
            match (contents.0)(name.as_bytes()) {
                Some(Made::File) if !is_folder => {}
                Some(Made::Folder(inner)) => {
                    let Some(folder) = self.own(&name)? else { continue };
                    if let Some(path) = folder.foreign(inner)? {
                        return Ok(Some(Path::new(&name).join(path)));
                    }
                }
                _ => return Ok(Some(name.into())),
            }
        }
        Ok(None)
    }

    /// Whether there is a directory in this one that an earlier run has left.
    ///
    /// # Errors
    /// As for [`Folder::own`], and a [`Refusal`] if there is something in it that the program does not make.
    pub fn left(&self, name: &OsStr, contents: Contents) -> Result<bool> {
        match self.own(name)? {
            Some(folder) => folder.refuse_foreign(contents).map(|()| true),
            None => Ok(false),
        }
    }

    /// Fails if there is something that the program does not make in such a directory.
    ///
    /// # Errors
    /// That one, a [`Refusal`]; or as for [`Folder::own`].
    pub fn refuse_foreign(&self, contents: Contents) -> Result<()> {
        let Some(foreign) = self.foreign(contents)? else { return Ok(()) };
        let why = format!("contains {}, which no run has made, so it is not replaced", shown(&foreign));
        Err(Refusal { path: self.path.clone(), why }.into())
    }

    /// Removes what the program makes in such a directory, but for `kept`.
    ///
    /// # Errors
    /// A [`Refusal`] if there is something else: then nothing is removed. Or as for [`Folder::own`], or the system's.
    pub fn clear(&self, contents: Contents, kept: Option<&OsStr>) -> Result<()> {
        self.refuse_foreign(contents)?;
        for name in self.names().with_context(|| shown(&self.path))? {
            match (contents.0)(name.as_bytes()) {
                Some(Made::File) => self.unlink(&name, UnlinkatFlags::NoRemoveDir)?,
                Some(Made::Folder(inner)) if kept != Some(&name) => self.remove(&name, inner)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes a directory of the program's in this one, if it is there.
    ///
    /// # Errors
    /// As for [`Folder::clear`].
    pub fn remove(&self, name: &OsStr, contents: Contents) -> Result<()> {
        match self.own(name)? {
            Some(folder) => self.remove_opened(name, &folder, contents),
            None => Ok(()),
        }
    }

    /// Removes `folder` with what the program makes in it, and its `name` in this directory, unless it has been moved away.
    ///
    /// # Errors
    /// As for [`Folder::clear`].
    pub fn remove_opened(&self, name: &OsStr, folder: &Folder, contents: Contents) -> Result<()> {
        if !self.leads_to(name, folder) {
            return Ok(());
        }
        folder.clear(contents, None)?;
        self.unlink(name, UnlinkatFlags::RemoveDir)
    }

    fn refuse_other_user(&self, path: &Path, owner: u32) -> Result<(), Refusal> {
        if owner == self.user.get() {
            return Ok(());
        }
        let user = geteuid();
        let why = format!("belongs to user {owner}, but this run belongs to user {user}: it is not used");
        Err(Refusal { path: path.to_owned(), why })
    }

    fn unlink(&self, name: &OsStr, flag: UnlinkatFlags) -> Result<()> {
        let unlinked = unlinkat(&self.file, name, flag).map_err(io::Error::from);
        unlinked.with_context(|| shown(&self.path.join(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    const INNER: Contents = Contents(|name| (name == b"inner").then_some(Made::File));
    const OUTER: Contents = Contents(|name| match name {
        b"file" => Some(Made::File),
        b"folder" => Some(Made::Folder(INNER)),
        _ => None,
    });

    #[test]
    fn nothing_is_removed_but_what_the_program_makes() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("made/folder")).unwrap();
        fs::create_dir(path("precious")).unwrap();
        for name in ["made/file", "made/folder/inner", "made/folder/notes", "precious/inner"] {
            fs::write(path(name), name).unwrap();
        }
        let parent = Folder::open(dir.path()).unwrap();
        let made = parent.own(OsStr::new("made")).unwrap().unwrap();
        assert_eq!(made.foreign(OUTER).unwrap(), Some("folder/notes".into()));
        assert!(made.clear(OUTER, None).unwrap_err().is::<Refusal>());
        assert!(path("made/file").exists() && path("made/folder/inner").exists());
        fs::remove_file(path("made/folder/notes")).unwrap();
        made.clear(OUTER, Some(OsStr::new("folder"))).unwrap();
        assert_eq!(made.names().unwrap(), ["folder"]);
        // Nor what has another name by now.
        fs::rename(path("made"), path("moved")).unwrap();
        parent.remove_opened(OsStr::new("made"), &made, OUTER).unwrap();
        assert!(path("moved/folder").exists());
        fs::rename(path("moved"), path("made")).unwrap();
        // Never through a link.
        fs::remove_dir_all(path("made/folder")).unwrap();
        symlink(path("precious"), path("made/folder")).unwrap();
        assert!(parent.remove(OsStr::new("made"), OUTER).unwrap_err().is::<Refusal>());
        assert!(path("precious/inner").exists());
        fs::remove_file(path("made/folder")).unwrap();
        parent.remove(OsStr::new("made"), OUTER).unwrap();
        assert!(!path("made").exists());
    }

    #[test]
    fn a_file_is_used_only_if_a_run_may_have_left_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("one"), "").unwrap();
        fs::write(path("two"), "").unwrap();
        fs::hard_link(path("two"), path("twin")).unwrap();
        symlink("one", path("link")).unwrap();
        fs::create_dir(path("folder")).unwrap();
        nix::unistd::mkfifo(&path("pipe"), Mode::S_IRWXU).unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let open = |name: &str| folder.own_file(OsStr::new(name), OFlag::O_RDWR);
        assert!(open("one").unwrap().is_some() && open("none").unwrap().is_none());
        for name in ["two", "twin", "link", "folder", "pipe"] {
            assert!(open(name).unwrap_err().is::<Refusal>(), "{name}");
        }
        for name in ["one", "link", "pipe"] {
            assert!(folder.own(OsStr::new(name)).unwrap_err().is::<Refusal>(), "{name}");
        }
    }
}
