//! What a run has counted, kept on disk so that another one can go on from it (`--resume`).
//!
//! A checkpoint is a directory with one folder per run: a `plan`, which defines the keys of the run, and its segments.
//! A run writes to its own folder only, and takes from those of earlier runs each record of a document that is the same
//! file still, by size and time of modification. It counts on nothing but the page cache: what a crash of the machine
//! spoils, checksums find, and it is done again.

use crate::folder::Folder;
use crate::output::checkpoint::{CHECKPOINT, PLAN, RUN, named, number};
use anyhow::{Context as _, Result};
use bowline_workers::crash::handling_failed_allocations;
use bowline_workers::documents::Documents;
use bowline_workers::mapped::{Store, shortage};
use bowline_workers::opener::Opener;
use bowline_workers::segment::{Record, RowNumbers, Segment};
use bowline_workers::split::{Key, Split, SplitKind};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The directory, and this run's folder in it.
#[derive(Debug)]
pub struct Checkpoint {
    folder: Folder,
    /// What a run's records depend on, besides the documents.
    identity: String,
    segments: u32,
    earlier: Vec<Earlier>,
    has_others: bool,
}

/// A segment of an earlier run.
#[derive(Debug)]
pub struct Earlier {
    /// Its records.
    pub segment: Segment,
    /// The documents that they are of now, each with its record's offset. No document is in two of them.
    pub rows: Vec<(Key, usize)>,
    /// The splits whose end it has.
    pub ends: Vec<SplitEnd>,
}

/// The end of a split.
#[derive(Clone, Copy, Debug)]
pub struct SplitEnd {
    /// Behind its last document.
    pub key: Key,
    /// Number of members of its archive that are no documents.
    pub left_out: u64,
}

impl Earlier {
    /// The records of the documents.
    pub fn records(&self) -> impl Iterator<Item = (Key, Record<'_>)> {
        self.rows.iter().filter_map(|&(key, offset)| Some((key, Record::at(self.segment.bytes(), offset)?)))
    }
}

/// What an earlier run's keys meant.
#[derive(Serialize, Deserialize)]
struct Plan {
    identity: String,
    splits: Vec<Split>,
    /// First file of each root.
    roots: Vec<usize>,
    files: usize,
}

impl Checkpoint {
    /// Opens the checkpoint in `directory`. Of what earlier runs have left it keeps what is of use: records made under the same
    /// `identity`, of documents that have not changed.
    ///
    /// # Errors
    /// If there is something that no run of this user has left there; the system's; or, with nothing lost, that of being
    /// interrupted, once `interrupted` has a signal's number.
    pub fn open(
        directory: &Folder,
        identity: String,
        (documents, splits): (&Documents, &[Split]),
        numbers: RowNumbers,
        store: &Store,
        interrupted: &AtomicUsize,
    ) -> Result<Self> {
        directory.refuse_foreign(CHECKPOINT)?;
        let names = directory.names()?;
        let mut runs: Vec<u32> = names.iter().filter_map(|name| number(name.as_bytes())).collect();
        runs.sort_unstable();
        let next = runs.last().map_or(Some(0), |number| number.checked_add(1));
        let next = next.context("a run has the last number that there is")?;
        let mut found = Found {
            files: files_by_path(documents),
            splits,
            taken: HashSet::new(),
            has_others: false,
            documents,
            opener: Opener::default(),
            interrupted,
        };
        let mut earlier = Vec::new();
        for name in runs.into_iter().map(named) {
            let Some(folder) = directory.own(&name)? else { continue };
            let of_run = found.in_run(&folder, &identity, numbers, store)?;
            // What can't be read now is not gone.
            store.check()?;
            if of_run.is_empty() {
                directory.remove_opened(&name, &folder, RUN)?;
            }
            earlier.extend(of_run);
        }
        let name = named(next);
        let made = directory.make(&name, Mode::S_IRWXU)?;
        let (folder, _) = made.context("the folder of this run vanished")?;
        Ok(Checkpoint { folder, identity, segments: 0, earlier, has_others: found.has_others })
    }

    /// Whether there was something of a run with another identity, which is gone now.
    pub fn has_others(&self) -> bool {
        self.has_others
    }

    /// How many documents earlier runs have counted.
    pub fn documents(&self) -> usize {
        self.earlier.iter().map(|earlier| earlier.rows.len()).sum()
    }

    /// Hands out what earlier runs have counted, once.
    pub fn take_earlier(&mut self) -> Vec<Earlier> {
        std::mem::take(&mut self.earlier)
    }

    /// Writes down what this run's keys will mean: before any segment is made.
    ///
    /// # Errors
    /// The system's.
    pub fn begin(&self, documents: &Documents, splits: &[Split]) -> io::Result<()> {
        let plan = Plan {
            identity: self.identity.clone(),
            splits: splits.to_vec(),
            roots: documents.first_rows().collect(),
            files: documents.len(),
        };
        let mut text = serde_json::to_vec(&plan)?;
        text.push(b'\n');
        for row in 0..documents.len() {
            text.extend_from_slice(documents.path(row));
            text.push(0);
        }
        let mut out = self.folder.create(OsStr::new(PLAN))?;
        out.write_all(&crc32fast::hash(&text).to_le_bytes())
            .and_then(|()| out.write_all(&text))
            .map_err(|error| shortage(&out, self.folder.path(), text.len() as u64, error))
    }

    /// A file for another segment of this run.
    ///
    /// # Errors
    /// The system's.
    pub fn segment(&mut self) -> io::Result<File> {
        let name = named(self.segments);
        self.segments += 1;
        self.folder.create(&name)
    }
}

/// Files by root and path.
fn files_by_path(documents: &Documents) -> HashMap<(usize, &[u8]), usize> {
    (0..documents.len()).map(|row| ((documents.root(row), documents.path(row)), row)).collect()
}

/// What was found of this run's documents so far.
struct Found<'a> {
    documents: &'a Documents,
    opener: Opener,
    interrupted: &'a AtomicUsize,
    files: HashMap<(usize, &'a [u8]), usize>,
    /// The splits of this run, in the order of files.
    splits: &'a [Split],
    taken: HashSet<Key>,
    has_others: bool,
}

impl Found<'_> {
    /// The segments of the run in `folder` that hold something new. What can't be read as a run's is nothing.
    fn in_run(
        &mut self,
        folder: &Folder,
        identity: &str,
        numbers: RowNumbers,
        store: &Store,
    ) -> Result<Vec<Earlier>> {
        let mut plan = Vec::new();
        if let Some(mut file) = folder.own_file(OsStr::new(PLAN), OFlag::O_RDONLY)? {
            handling_failed_allocations(|| file.read_to_end(&mut plan))?;
        }
        let Some((plan, files)) = read_plan(&plan, |root, path| self.files.get(&(root, path)).copied())
        else {
            return Ok(Vec::new());
        };
        if plan.identity != identity {
            self.has_others = true;
            return Ok(Vec::new());
        }
        let mut earlier = Vec::new();
        for number in 0.. {
            // As large as all rows of a worker, each of them is read twice.
            if self.interrupted.load(Ordering::Relaxed) != 0 {
                return Err(io::Error::from(io::ErrorKind::Interrupted).into());
            }
            let Some(file) = folder.own_file(&named(number), OFlag::O_RDWR)? else { break };
            let segment = Segment::recover(&file, numbers, store)?;
            let (rows, ends) = self.in_segment(&segment, &plan, &files);
            match rows.is_empty() {
                true => file.set_len(0)?,
                false => earlier.push(Earlier { segment, rows, ends }),
            }
        }
        Ok(earlier)
    }

    /// The documents of a segment's records that no earlier segment has and whose file is still the same; and where splits
    /// end.
    fn in_segment(
        &mut self,
        segment: &Segment,
        plan: &Plan,
        files: &[Option<usize>],
    ) -> (Vec<(Key, usize)>, Vec<SplitEnd>) {
        let (mut found, mut ends) = (Vec::new(), Vec::new());
        let records = segment.records().filter(|record| record.failure().is_none() && !record.may_go_on());
        for record in records {
            let Key { split, ordinal } = record.key();
            let Some(&split) = plan.splits.get(split as usize) else { continue };
            let Some(key) = self.key_now(split, ordinal, files, record) else { continue };
            if record.ends_split() {
                ends.push(SplitEnd { key, left_out: record.left_out() });
            } else if self.taken.insert(key) {
                found.push((key, record.offset()));
            }
        }
        (found, ends)
    }

    /// The key of a document of an earlier run's split, or of the split's end; `None` if there is no such document now.
    fn key_now(
        &mut self,
        earlier: Split,
        ordinal: u32,
        files: &[Option<usize>],
        record: Record,
    ) -> Option<Key> {
        let Split { file, kind } = earlier;
        let file_now = |offset: u32| {
            let old = usize::try_from(file).ok()?.checked_add(offset as usize)?;
            *files.get(old)?
        };
        match kind {
            SplitKind::Files(number) => {
                let file = file_now((ordinal < number).then_some(ordinal)?)?;
                let index = self.splits.partition_point(|split| split.file <= file as u64).checked_sub(1)?;
                let split = self.splits[index];
                let ordinal = (file as u64 - split.file) as u32;
                let is_in = split.documents().is_some_and(|files| ordinal < files);
                let is_same = is_in && self.opener.source(self.documents, file) == Some(record.source());
                is_same.then_some(Key { split: index as u32, ordinal })
            }
            SplitKind::Records(_) => {
                let now = Split { file: file_now(0)? as u64, kind };
                let first = self.splits.partition_point(|split| split.file < now.file);
                let same = self.splits[first..].iter().take_while(|split| split.file == now.file);
                let index = first + same.take_while(|&&split| split != now).count();
                (self.splits.get(index) == Some(&now)).then_some(Key { split: index as u32, ordinal })
            }
        }
    }
}

/// A plan, and for each of its rows what `row_of` its root and path is now. Nothing if the file is not whole.
fn read_plan(
    file: &[u8],
    row_of: impl Fn(usize, &[u8]) -> Option<usize>,
) -> Option<(Plan, Vec<Option<usize>>)> {
    let (checksum, text) = file.split_first_chunk()?;
    if crc32fast::hash(text) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (line, paths) = text.split_at(text.iter().position(|&byte| byte == b'\n')? + 1);
    let plan: Plan = serde_json::from_slice(line).ok()?;
    let paths = paths.strip_suffix(b"\0")?.split(|&byte| byte == 0);
    let mut rows = Vec::new();
    for (row, path) in paths.enumerate() {
        let root = plan.roots.partition_point(|&first| first <= row).checked_sub(1)?;
        rows.push(row_of(root, path));
    }
    (rows.len() == plan.files).then_some((plan, rows))
}
