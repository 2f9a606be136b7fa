//! What a run has counted, kept on disk so that another one can go on from it (`--resume`).
//!
//! A checkpoint is a directory with one folder per run: a `plan`, which defines the keys of the run, and its segments.
//! A run writes to its own folder only, and takes from those of earlier runs each record of a document that is the same
//! file still, by size and time of modification. It counts on nothing but the page cache: what a crash of the machine
//! spoils, checksums find, and it is done again.

use crate::folder::Folder;
use crate::output::checkpoint::{CHECKPOINT, PLAN, RUN, named, number};
use anyhow::{Context as _, Result};
use bowline_workers::documents::Documents;
use bowline_workers::mapped::{Store, shortage};
use bowline_workers::opener::Opener;
use bowline_workers::protocol::Batch;
use bowline_workers::segment::{Key, Record, RowNumbers, Segment};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
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
    /// The rows that they are of now, each with its record's offset. No row is in two of them.
    pub rows: Vec<(usize, usize)>,
}

impl Earlier {
    /// The records of the rows.
    pub fn records(&self) -> impl Iterator<Item = (usize, Record<'_>)> {
        self.rows.iter().filter_map(|&(row, offset)| Some((row, Record::at(self.segment.bytes(), offset)?)))
    }
}

/// What an earlier run's keys meant.
#[derive(Serialize, Deserialize)]
struct Plan {
    identity: String,
    /// First row and number of documents of each batch.
    batches: Vec<(u64, u32)>,
    /// First row of each root.
    roots: Vec<usize>,
    rows: usize,
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
        documents: &Documents,
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
            rows: rows_by_path(documents),
            taken: vec![false; documents.len()],
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
    pub fn begin(&self, documents: &Documents, batches: &[Batch]) -> io::Result<()> {
        let plan = Plan {
            identity: self.identity.clone(),
            batches: batches.iter().map(|batch| (batch.first_row, batch.end)).collect(),
            roots: documents.first_rows().collect(),
            rows: documents.len(),
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

/// Rows by root and path.
fn rows_by_path(documents: &Documents) -> HashMap<(usize, &[u8]), usize> {
    (0..documents.len()).map(|row| ((documents.root(row), documents.path(row)), row)).collect()
}

/// What was found of this run's documents so far.
struct Found<'a> {
    documents: &'a Documents,
    opener: Opener,
    interrupted: &'a AtomicUsize,
    rows: HashMap<(usize, &'a [u8]), usize>,
    taken: Vec<bool>,
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
            file.read_to_end(&mut plan)?;
        }
        let Some((plan, rows)) = read_plan(&plan, |root, path| self.rows.get(&(root, path)).copied()) else {
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
            let rows = self.in_segment(&segment, &plan, &rows);
            match rows.is_empty() {
                true => file.set_len(0)?,
                false => earlier.push(Earlier { segment, rows }),
            }
        }
        Ok(earlier)
    }

    /// The rows of a segment's records that no earlier segment has and whose document is still the same file.
    fn in_segment(&mut self, segment: &Segment, plan: &Plan, rows: &[Option<usize>]) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for record in segment.records().filter(|record| record.failure().is_none()) {
            let Key { batch, ordinal } = record.key();
            let first = plan.batches.get(batch as usize).filter(|&&(_, documents)| ordinal < documents);
            let old =
                first.and_then(|&(first, _)| usize::try_from(first).ok()?.checked_add(ordinal as usize));
            let Some(row) = old.and_then(|old| *rows.get(old)?) else { continue };
            if !self.taken[row] && self.opener.source(self.documents, row) == Some(record.source()) {
                self.taken[row] = true;
                found.push((row, record.offset()));
            }
        }
        found
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
    (rows.len() == plan.rows).then_some((plan, rows))
}
