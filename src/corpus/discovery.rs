//! The CORPUS arguments: checks, opens and walks each one, and words the errors and notices about them.
//!
//! Rows are sorted by the bytes of the path relative to its CORPUS (`PathBuf` orders otherwise: it puts `a/x` before
//! `a.txt`), CORPUS after CORPUS.

use super::globs::{GlobUse, Globs};
use super::path_list::PathList;
use super::records::{self, RecordFile, RecordFiles, format_of_name};
use super::standard_input::{Settled, StandardInput, is_standard_input};
use super::walk::{Inode, Walk, add_folders_above};
use crate::coordinator::Shard;
use crate::error::ErrorKind;
use crate::event::{Notice, NoticeKind};
use anyhow::Result;
use bowline_workers::documents::{Documents, Source as FileState, display_path};
use bowline_workers::opener::Opener;
use bowline_workers::records::RecordSettings;
use bowline_workers::split::{Compression, RecordFormat};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, stat};
use serde::Serialize;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::ops::Range;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// Where documents are, and which files are documents.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Directories, which are walked, files, and `-` for standard input; rows are in this order, and sorted by path within each.
    pub paths: Vec<PathBuf>,
    /// A list of further files, whose rows are behind those and in the list's order. A file that does not exist is a failed
    /// document.
    pub list: Option<PathList>,
    /// Globs that choose among the files of directories: `*.txt`, `sub/**`, or with a leading `!` what is left out. The last one
    /// that matches decides.
    pub globs: Vec<String>,
    /// Whether hidden files and folders are documents too.
    pub hidden: bool,
    /// Whether links are followed. Then each file and folder is taken once: by the first path that leads to it, in
    /// the order of names, folder by folder.
    pub follow: bool,
    /// How files are read.
    pub format: InputFormat,
    /// How the documents of record files are found.
    pub records: RecordOptions,
    /// Which part of the corpus is embedded, if not all of it.
    pub shard: Option<Shard>,
}

/// How files are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum InputFormat {
    /// A file that is a CORPUS by its name; a file of a directory as one document.
    #[default]
    Auto,
    /// Each file as one document.
    Files,
    /// Each file as one of many documents; of a directory, all files.
    Lines,
    /// Each file as one of many documents; of a directory, the files with such a name. This is true of the next formats, too.
    Jsonl,
    /// Comma-separated values.
    Csv,
    /// Tab-separated values.
    Tsv,
    /// Parquet files.
    Parquet,
    /// Tape archives.
    Tar,
    /// ZIP archives.
    Zip,
}

impl InputFormat {
    /// The format of all files, if each contains many documents.
    fn records(self) -> Option<RecordFormat> {
        Some(match self {
            InputFormat::Auto | InputFormat::Files => return None,
            InputFormat::Lines => RecordFormat::Lines,
            InputFormat::Jsonl => RecordFormat::Jsonl,
            InputFormat::Csv => RecordFormat::Csv,
            InputFormat::Tsv => RecordFormat::Tsv,
            InputFormat::Parquet => RecordFormat::Parquet,
            InputFormat::Tar => RecordFormat::Tar,
            InputFormat::Zip => RecordFormat::Zip,
        })
    }
}

impl Source {
    /// The first CORPUS, or else the list: stands for all of them in messages.
    pub fn first(&self) -> &Path {
        let first = self.paths.first().or(self.list.as_ref().map(|list| &list.path));
        first.map_or(Path::new(""), |path| path)
    }
}

/// How the documents of record files are found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct RecordOptions {
    /// The fields whose texts are the document; `text` if there are none.
    pub text_fields: Vec<String>,
    /// The field of the identifier; `id` or `_id`, if a record has it, by default.
    pub id_field: Option<String>,
    /// The character between two fields of a CSV file; by default a comma, and a tab in TSV files.
    pub delimiter: Option<u8>,
    /// Whether the first record of a CSV file is a document.
    pub no_header: bool,
}

impl RecordOptions {
    /// As workers take them, with `max_bytes` bytes in a document at most, and with `hidden` members of archives.
    pub fn settings(&self, max_bytes: u64, hidden: bool) -> RecordSettings {
        let default = || if self.no_header { "1" } else { "text" }.to_owned();
        let mut text_fields = self.text_fields.clone();
        if text_fields.is_empty() {
            text_fields.push(default());
        }
        RecordSettings {
            text_fields,
            id_field: self.id_field.clone(),
            delimiter: self.delimiter,
            has_header: !self.no_header,
            hidden,
            max_bytes,
        }
    }
}

/// How a corpus is walked.
#[derive(Clone, Debug, Default)]
pub struct WalkOptions {
    /// Threads that read folders, unless links are followed.
    pub threads: usize,
    /// Not 0 once the walk is to end where it is.
    pub interrupted: Arc<AtomicUsize>,
    /// Device and inode of what the run writes itself: no documents, wherever it lies.
    pub own: Vec<(u64, u64)>,
    /// The directory for a copy of standard input; nothing if it can't be a CORPUS.
    pub scratch: Option<PathBuf>,
}

/// The documents, and what is not among them.
#[derive(Debug, Default)]
pub struct Corpus {
    /// The files, in order.
    pub documents: Arc<Documents>,
    /// Those of them that contain many documents, in the same order.
    pub records: Vec<RecordFile>,
    /// The rows of the files of a list.
    pub listed: Range<usize>,
    /// Bytes of standard input that were copied to a scratch file.
    pub copied: u64,
    /// Entries left out because they are hidden, excluded by a glob, links, or special files.
    pub left_out: u64,
    /// Directories that could not be read, and why.
    pub unreadable: Vec<(PathBuf, String)>,
    /// What people should know before they rely on the documents.
    pub notices: Vec<Notice>,
}

/// Why a corpus can't be made out.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// A CORPUS that can't be opened.
    #[error("{}: {}{}", shown(path), words(*cause), hint(path, *cause))]
    Unreadable {
        /// The CORPUS.
        path: PathBuf,
        /// What the system says.
        cause: Errno,
    },
    /// Standard input that is no CORPUS.
    #[error("-: standard input {0} (./- is a file of that name)")]
    StandardInput(&'static str),
    /// A CORPUS that is neither a directory nor a file.
    #[error(
        "{}: neither a directory nor a regular file: put its text into a file, or pipe it to standard input and give -",
        shown(path)
    )]
    Special {
        /// The CORPUS.
        path: PathBuf,
    },
    /// A kind of input that this version can't read.
    #[error("{}: {ending} files are not supported: unpack it first", shown(path))]
    Unsupported {
        /// The CORPUS.
        path: PathBuf,
        /// The ending of its name.
        ending: String,
    },
    /// Nothing to embed.
    #[error("{}: no documents found{}", shown(path), why.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
    Empty {
        /// The first CORPUS.
        path: PathBuf,
        /// What may have left them out.
        why: Option<Notice>,
        /// Whether files were left out.
        left_out: bool,
    },
}

impl CorpusError {
    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            CorpusError::Unreadable { path, cause: Errno::ENOENT } if looks_like_pattern(path) => {
                ErrorKind::Unexpanded
            }
            CorpusError::Empty { why: Some(why), .. } if why.kind == NoticeKind::HiddenLeftOut => {
                ErrorKind::HiddenLeftOut
            }
            CorpusError::Empty { why: None, left_out: true, .. } => ErrorKind::AllLeftOut,
            _ => ErrorKind::Other,
        }
    }
}

/// Whether a path may have been meant for a shell to expand.
fn looks_like_pattern(path: &Path) -> bool {
    path.as_os_str().as_bytes().iter().any(|byte| b"*?[{".contains(byte))
}

fn shown(path: &Path) -> String {
    display_path(path.as_os_str().as_bytes())
}

/// The system's words for an error.
fn words(errno: Errno) -> &'static str {
    match errno {
        Errno::EMFILE => "Too many open files (ulimit -n allows more)",
        errno => errno.desc(),
    }
}

/// What may be meant by a CORPUS that isn't there.
fn hint(path: &Path, cause: Errno) -> &'static str {
    let name = path.as_os_str().as_bytes();
    let has = |part: &[u8]| name.windows(part.len()).any(|window| window == part);
    match cause {
        Errno::ENOENT if has(b"://") => " (download it first: a CORPUS is a directory or a file)",
        Errno::ENOENT if name.starts_with(b"~") => {
            " (the shell expands ~ only at the beginning and unquoted)"
        }
        _ => "",
    }
}

/// A CORPUS that was looked at.
enum Argument {
    Directory(OwnedFd),
    File,
    StandardInput(StandardInput),
}

impl Argument {
    fn open(path: &Path, options: &WalkOptions) -> Result<Self, CorpusError> {
        if is_standard_input(path) {
            let input = match options.scratch {
                Some(_) => StandardInput::open(),
                None => Err("can be read once only: put its text into a file"),
            };
            return input.map(Argument::StandardInput).map_err(CorpusError::StandardInput);
        }
        let unreadable = |cause| CorpusError::Unreadable { path: path.to_owned(), cause };
        let kind = stat(path).map_err(unreadable)?.st_mode;
        match SFlag::from_bits_truncate(kind) & SFlag::S_IFMT {
            SFlag::S_IFDIR => {
                let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
                open(path, flags, Mode::empty()).map(Argument::Directory).map_err(unreadable)
            }
            SFlag::S_IFREG => match records::unknown_ending(path.as_os_str().as_bytes()) {
                Some(ending) => Err(CorpusError::Unsupported { path: path.to_owned(), ending }),
                None => Ok(Argument::File),
            },
            _ => Err(CorpusError::Special { path: path.to_owned() }),
        }
    }
}

/// Finds the documents of all paths of `source`, in their order; some of them, if it was interrupted. While standard input is
/// copied, `copied` is called with the number of bytes so far.
///
/// # Errors
/// If one of them can't be opened, or if they contain no documents.
pub fn discover(source: &Source, options: &WalkOptions, copied: &mut dyn FnMut(u64)) -> Result<Corpus> {
    let globs = Globs::new(&source.globs)?;
    let arguments = &source.paths;
    let opened = arguments.iter().map(|path| Argument::open(path, options)).collect::<Result<Vec<_>, _>>()?;
    let directories = opened.iter().filter_map(|argument| match argument {
        Argument::Directory(directory) => Some(directory),
        Argument::File | Argument::StandardInput(_) => None,
    });
    let has_directories = directories.clone().next().is_some();
    let mut above = HashSet::new();
    if source.follow {
        directories.for_each(|directory| add_folders_above(directory, &mut above));
    }
    let documents = Documents::following(source.follow);
    let mut discovery = Discovery {
        source,
        options,
        globs: &globs,
        above,
        documents,
        left_out: 0,
        unreadable: Vec::new(),
        links_up: Vec::new(),
        records: Vec::new(),
        listed: 0..0,
        copied: 0,
        looks: RecordFiles::default(),
        used: GlobUse::default(),
    };
    for (path, argument) in arguments.iter().zip(opened) {
        match argument {
            Argument::Directory(directory) => {
                discovery.add_directory(path, directory, arguments.len() == 1 && source.list.is_none());
            }
            Argument::File => discovery.add_file(path),
            Argument::StandardInput(input) => {
                let scratch = options.scratch.as_deref().unwrap_or(Path::new("."));
                let settled = input.settle(scratch, copied, &options.interrupted)?;
                discovery.add_standard_input(path, settled);
            }
        }
    }
    if let Some(list) = &source.list {
        discovery.add_list(list)?;
    }
    discovery.measure();
    Ok(discovery.finish(source.first(), has_directories)?)
}

/// What has been found so far.
struct Discovery<'a> {
    source: &'a Source,
    options: &'a WalkOptions,
    globs: &'a Globs,
    /// The folders that contain a CORPUS, where links are followed.
    above: HashSet<Inode>,
    documents: Documents,
    left_out: u64,
    unreadable: Vec<(PathBuf, String)>,
    /// Links that lead to a folder above, as they are written.
    links_up: Vec<String>,
    records: Vec<RecordFile>,
    listed: Range<usize>,
    copied: u64,
    /// Files of directories that look like record files.
    looks: RecordFiles,
    used: GlobUse,
}

impl Discovery<'_> {
    fn add_directory(&mut self, argument: &Path, directory: OwnedFd, is_single: bool) {
        let Source { hidden, follow, .. } = self.source;
        let WalkOptions { threads, interrupted, own, .. } = self.options;
        let walk = Walk {
            root: directory.as_fd(),
            globs: self.globs,
            hidden: *hidden,
            follow: *follow,
            own,
            interrupted,
        };
        let found = walk.run(*threads, &self.above);
        let mut written = argument.as_os_str().as_bytes().to_vec();
        if written.last() != Some(&b'/') {
            written.push(b'/');
        }
        self.left_out += found.left_out;
        self.used.merge(&found.used);
        self.links_up.extend(found.links_up.iter().map(|path| display_path(&[&written, &path[..]].concat())));
        self.unreadable.extend(found.unreadable.into_iter().map(|(path, errno)| {
            let path =
                if path.is_empty() { argument.to_owned() } else { argument.join(OsStr::from_bytes(&path)) };
            let cause = match errno {
                // It was a folder when the folder above it was read.
                Errno::ELOOP if !follow => "replaced by a link meanwhile",
                errno => words(errno),
            };
            (path, cause.to_owned())
        }));
        self.unreadable.sort();
        let wanted = self.source.format.records();
        let prefix = if is_single { Vec::new() } else { written.clone() };
        self.documents.add_root(Some(directory), prefix);
        found.files.for_each(|path| {
            match wanted {
                None if self.source.format == InputFormat::Auto => self.looks.count(&written, path),
                None => {}
                Some(wanted) => {
                    let by_name = format_of_name(path);
                    if wanted != RecordFormat::Lines && by_name.0 != Some(wanted) {
                        self.left_out += 1;
                        return;
                    }
                    self.add_record_file(by_name);
                }
            }
            self.documents.add(path);
        });
    }

    /// Adds a CORPUS that is a file.
    fn add_file(&mut self, path: &Path) {
        let path = path.as_os_str().as_bytes();
        self.documents.add_root(None, Vec::new());
        self.add_record_file(format_of_name(path));
        self.documents.add(path);
    }

    /// Adds standard input, which has no name that says its format.
    fn add_standard_input(&mut self, path: &Path, input: Settled) {
        let Settled { file, compression, copied } = input;
        self.copied += copied;
        self.add_record_file((None, compression));
        self.documents.add_open(file, path.as_os_str().as_bytes(), compression);
    }

    /// Adds the files of a list, each as if it were a CORPUS.
    fn add_list(&mut self, list: &PathList) -> Result<()> {
        self.documents.add_list();
        let first = self.documents.len();
        list.read(&self.options.interrupted, &mut |path| {
            self.add_record_file(format_of_name(path));
            self.documents.add(path);
        })?;
        self.listed = first..self.documents.len();
        Ok(())
    }

    /// Takes the next file for one of records, if it is: by what its name says under `auto`.
    fn add_record_file(&mut self, (by_name, compression): (Option<RecordFormat>, Option<Compression>)) {
        let format = match self.source.format {
            InputFormat::Auto => by_name,
            format => format.records(),
        };
        if let Some(format) = format {
            let (file, source) = (self.documents.len(), FileState::default());
            self.records.push(RecordFile { file, format, compression, source });
        }
    }

    /// What to say about options for records that no file has.
    fn without_records(&self) -> Option<Notice> {
        let RecordOptions { text_fields, id_field, delimiter, no_header } = &self.source.records;
        let has = |is: fn(RecordFormat) -> bool| self.records.iter().any(|record| is(record.format));
        let has_fields = has(|format| format.has_fields());
        let text = if (!text_fields.is_empty() || id_field.is_some()) && !has_fields {
            "fields of records are given, but no CORPUS is a JSONL, CSV, TSV or Parquet file"
        } else if (delimiter.is_some() || *no_header) && !has(RecordFormat::is_table) {
            "options for CSV and TSV files are given, but no CORPUS is such a file"
        } else {
            return None;
        };
        Some(Notice::new(NoticeKind::NoRecords, text.to_owned()))
    }

    /// Gets the sizes of record files. What can't be had is found out again by the worker that opens the file.
    fn measure(&mut self) {
        let mut opener = Opener::default();
        for record in &mut self.records {
            record.source = opener.source(&self.documents, record.file).unwrap_or_default();
        }
    }

    /// The corpus, or why there is none. `first` is the first CORPUS.
    fn finish(self, first: &Path, has_directories: bool) -> Result<Corpus, CorpusError> {
        let globs = match (self.globs.is_empty(), has_directories) {
            (true, _) => None,
            (false, true) => self.globs.advice(&self.used),
            (false, false) => {
                let text = "globs apply to the files of a directory, but no CORPUS is a directory";
                Some(Notice::new(NoticeKind::GlobsWithoutDirectory, text.to_owned()))
            }
        };
        let links = self.links_up.first().map(|link| {
            let count = self.links_up.len();
            let links = if count == 1 { "link" } else { "links" };
            Notice::plain(format!(
                "left out {count} {links} to folders above them or above CORPUS, such as {link}"
            ))
        });
        if self.documents.is_empty() {
            let unreadable = self.unreadable.first();
            let unreadable =
                unreadable.map(|(path, cause)| Notice::plain(format!("{}: {cause}", shown(path))));
            let (why, left_out) = (unreadable.or(globs).or(links), self.left_out > 0);
            return Err(CorpusError::Empty { path: first.to_owned(), why, left_out });
        }
        let without_records = self.without_records();
        let Discovery { documents, left_out, unreadable, records, listed, copied, looks, .. } = self;
        let notices = [globs, links, looks.notice(), without_records].into_iter().flatten().collect();
        let documents = Arc::new(documents);
        Ok(Corpus { documents, records, listed, copied, left_out, unreadable, notices })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_that_is_interrupted_ends() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..1000 {
            let folder = dir.path().join(format!("{}", number / 50));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(format!("{number}.txt")), "text").unwrap();
        }
        for (follow, threads) in [(false, 1), (false, 2), (true, 1)] {
            let found = |signal: usize| {
                let interrupted = Arc::new(AtomicUsize::new(signal));
                let paths = vec![dir.path().to_owned()];
                let source = Source { paths, follow, ..Source::default() };
                let options = WalkOptions { threads, interrupted, ..WalkOptions::default() };
                discover(&source, &options, &mut |_| ()).map_or(0, |corpus| corpus.documents.len())
            };
            assert_eq!(found(0), 1000);
            assert!(found(15) < 100, "{follow} {threads}");
        }
    }
}
