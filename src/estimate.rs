//! An estimate of a run: how many documents, columns and non-zeros, how many bytes, how much memory and time.
//!
//! Reads a sample of the corpus ([`sample`]) with the engine of a run, without pruning, into a temporary directory, which
//! is removed. Extrapolates from that ([`growth`]). A small corpus is read whole, as the run would read it; then the counts
//! are exact. Prints nothing.

mod growth;
mod sample;

use crate::cancel::Cancel;
use crate::coordinator::{RunError, cut};
use crate::corpus::{self, Corpus, WalkOptions};
use crate::error::{Error, ErrorKind, Fault};
use crate::event::{Event, Phase};
use crate::job::{Job, Summary};
use crate::memory::MemoryShares;
use crate::output::{
    DOCUMENTS, DocumentLine, Format, HASH_TERMS, IDF, MANIFEST, ManifestFile, TermLine, VOCABULARY,
};
use crate::run::{CutCorpus, identity, of_run, run_unpublished};
use crate::settings::{AnalyzerKind, Df, Settings};
use anyhow::{Context as _, Result, ensure};
use growth::{Guess, Spectrum};
use sample::{RANGE, Sample, Stratum, draw};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::Instant;

/// Seconds that the start of a phase takes, about.
const PHASE_START: f64 = 0.03;

/// A number, and where it lies with about 95 % confidence.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Interval<T> {
    /// The lower end.
    pub low: T,
    /// The number to expect.
    pub value: T,
    /// The upper end.
    pub high: T,
}

/// Documents of the sample that failed for a reason.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FailedShare {
    /// The cause.
    pub cause: String,
    /// Their share of the sample's documents.
    pub share: f64,
}

/// What a run is expected to come to.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct Estimate {
    /// Whether the whole corpus was read: then all counts and `output_bytes` are exact.
    pub is_exact: bool,
    /// Rows.
    pub documents: Interval<u64>,
    /// Rows whose document fails.
    pub failed: Interval<u64>,
    /// Terms counted.
    pub tokens: Interval<u64>,
    /// Columns.
    pub columns: Interval<u64>,
    /// Stored cells.
    pub nonzeros: Interval<u64>,
    /// Bytes of all files of the output.
    pub output_bytes: Interval<u64>,
    /// Bytes of rows and tables that the run holds, apart from the workers' own memory.
    pub map_bytes: Interval<u64>,
    /// Bytes of memory that it has for them. What exceeds it goes to scratch files.
    pub map_memory: u64,
    /// Bytes of scratch files.
    pub scratch_bytes: Interval<u64>,
    /// Bytes of its own memory that each worker may take.
    pub worker_memory: u64,
    /// Seconds.
    pub seconds: Interval<f64>,
    /// Workers.
    pub workers: u64,
    /// Documents that were read.
    pub sampled_documents: u64,
    /// Bytes of their text.
    pub sampled_bytes: u64,
    /// Documents of the sample that failed, by cause, the most frequent first.
    pub failures: Vec<FailedShare>,
}

/// Estimates what [`run`](crate::run()) would do. Writes nothing but temporary files, which it removes. The directory and
/// the options `force` and `resume` of the job do not matter.
///
/// # Errors
/// The reason why the run could not begin, or why the sample can't be read.
pub fn estimate(job: &Job, events: &mut dyn FnMut(Event), cancel: &Cancel) -> Result<Estimate, Error> {
    attempt(job, events, cancel).map_err(of_run)
}

/// The times of the phases of a run, in seconds.
#[derive(Default)]
struct Times {
    walk: f64,
    tally: f64,
    finish: f64,
}

fn attempt(job: &Job, events: &mut dyn FnMut(Event), cancel: &Cancel) -> Result<Estimate> {
    let settings = &job.settings;
    let began = Instant::now();
    let mut job = job.clone();
    // An output that is replaced is no part of the corpus.
    job.options.own.push(std::mem::take(&mut job.sink.directory));
    job.options.resume = false;
    job.sink.sync = false;
    let walk = WalkOptions {
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        interrupted: cancel.flag().clone(),
        own: job.options.own.iter().filter_map(|path| identity(path)).collect(),
        // Standard input can be read only once.
        scratch: None,
    };
    events(Event::PhaseBegan(Phase::Walk, 0));
    let corpus = corpus::discover(&job.source, &walk, &mut |_| ());
    RunError::if_interrupted(cancel.flag())?;
    let corpus = corpus?;
    let walked = began.elapsed().as_secs_f64();
    let cuts_text = settings.text.encoding.is_utf8();
    let sample = draw(&corpus, cuts_text, cost(settings));
    let cut_off = sample.iter().flat_map(|sample| &sample.cut_off);
    let cut_off: BTreeSet<String> = cut_off.map(|&file| corpus.documents.shown(file)).collect();
    let format = job.sink.format;
    // A dense matrix would take more disk than the sample is worth.
    if job.sink.format == Format::Npy {
        job.sink.format = Format::Npz;
    }
    if sample.is_some() {
        let columns = &mut job.settings.columns;
        (columns.min_df, columns.max_df, columns.max_features) = (Df::Documents(1), Df::Share(1.0), None);
    }
    let place = job.options.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let directory = tempfile::Builder::new().prefix("bowline-estimate-").tempdir_in(&place);
    let directory = directory.with_context(|| {
        let text = format!("{}: cannot hold the sample's temporary files", place.display());
        Fault::new(ErrorKind::ScratchPlace, text)
    })?;
    job.sink.directory = directory.path().join("sample");
    let files = corpus.documents.len();
    drop(corpus);
    let mut times = Times { walk: walked, ..Times::default() };
    let (mut phase, mut since) = (Phase::Walk, Instant::now());
    let mut timed = |event: Event| {
        if let Event::PhaseBegan(next, _) = event {
            let seconds = since.elapsed().as_secs_f64();
            match phase {
                Phase::Tally => times.tally += seconds,
                Phase::Merge | Phase::Emit => times.finish += seconds,
                Phase::Walk | Phase::Copy | Phase::Publish => {}
            }
            (phase, since) = (next, Instant::now());
        }
        events(event);
    };
    let mut has_changed = false;
    let mut splits = |corpus: &Corpus, workers: usize| match &sample {
        None => cut(corpus.documents.len(), &corpus.records, workers, cuts_text),
        Some(sample) if corpus.documents.len() == files => sample.splits.clone(),
        Some(_) => {
            has_changed = true;
            Vec::new()
        }
    };
    let splits: &mut CutCorpus = &mut splits;
    let measured = run_unpublished(&job, splits, &mut timed, cancel, |directory, summary| {
        let mut measured = Measured::read(directory, summary, &cut_off)?;
        if format == Format::Npy {
            // The manifest of the sample says that it can be merged, which a dense matrix can't.
            let mut manifest = ManifestFile::parse(&fs::read(directory.join(MANIFEST))?)?;
            manifest.merge = None;
            let mut bytes = Vec::new();
            manifest.write(&mut bytes)?;
            measured.sizes.insert(MANIFEST.to_owned(), bytes.len() as u64);
        }
        Ok(measured)
    });
    ensure!(!has_changed, "files were added to the corpus, or removed from it, since the sample was drawn");
    let measured = match &sample {
        None => measured?,
        Some(_) => measured.context("in a sample of the corpus")?,
    };
    let has_documents = measured.summary.counts.documents > 0;
    ensure!(
        has_documents || sample.is_none(),
        "no document begins in the sample of the corpus, so nothing can be estimated"
    );
    timed(Event::PhaseBegan(Phase::Publish, 0));
    let shares = MemoryShares::new(job.options.memory, measured.summary.workers)?;
    let has_fixed_columns = job.model.is_some() || settings.columns.n_features.is_some();
    let wanted = Wanted { settings, has_fixed_columns, format, shares, times };
    Ok(match &sample {
        None => wanted.exact(measured),
        Some(sample) => wanted.extrapolated(measured, sample),
    })
}

/// How many times as long a byte of text takes as with single words.
fn cost(settings: &Settings) -> u64 {
    let sizes = settings.text.ngrams;
    let sizes = u64::from(sizes.max - sizes.min + 1);
    match settings.text.analyzer {
        AnalyzerKind::Word => sizes.min(4),
        AnalyzerKind::Char | AnalyzerKind::CharWb => (4 * sizes).min(8),
    }
}

/// The documents of a part of the sample.
#[derive(Default)]
struct Documents {
    number: u64,
    failed: u64,
    bytes: u64,
    /// The sum of the squares of their bytes.
    squares: f64,
    tokens: u64,
    /// The squares of their tokens.
    token_squares: f64,
}

impl Documents {
    fn add(&mut self, line: &DocumentLine) {
        let (bytes, tokens) = (line.bytes as f64, line.tokens as f64);
        self.number += 1;
        self.failed += u64::from(line.status != "ok");
        self.bytes += line.bytes;
        self.squares += bytes * bytes;
        self.tokens += line.tokens;
        self.token_squares += tokens * tokens;
    }
}

/// What was found in the sample.
struct Measured {
    summary: Summary,
    /// Files of one document: whether each failed, and its tokens.
    files: Vec<(bool, u64)>,
    /// Documents of record files of which ranges were read, and of those of which the beginning was read.
    ranges: Documents,
    beginnings: Documents,
    causes: BTreeMap<String, u64>,
    frequencies: Vec<u64>,
    /// Bytes of each file of the output.
    sizes: BTreeMap<String, u64>,
}

/// Calls `each` with every line of a file of JSON lines.
fn each_line<T: DeserializeOwned>(path: &Path, mut each: impl FnMut(T)) -> Result<()> {
    let mut file = BufReader::new(File::open(path)?);
    let mut line = String::new();
    while file.read_line(&mut line)? > 0 {
        each(serde_json::from_str(&line)?);
        line.clear();
    }
    Ok(())
}

impl Measured {
    /// Reads the output in `directory`. The last document of each of the files `cut_off` does not count if it failed.
    fn read(directory: &Path, summary: &Summary, cut_off: &BTreeSet<String>) -> Result<Self> {
        let mut measured = Measured {
            summary: summary.clone(),
            files: Vec::new(),
            ranges: Documents::default(),
            beginnings: Documents::default(),
            causes: BTreeMap::new(),
            frequencies: Vec::new(),
            sizes: BTreeMap::new(),
        };
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            measured.sizes.insert(name, entry.metadata()?.len());
        }
        let mut held: Option<DocumentLine> = None;
        each_line(&directory.join(DOCUMENTS), |line: DocumentLine| {
            if let Some(last) = held.take() {
                measured.add_cut_off(&last, last.path != line.path);
            }
            match cut_off.contains(&*line.path) {
                true => held = Some(line),
                false => measured.add(&line, false),
            }
        })?;
        held.iter().for_each(|last| measured.add_cut_off(last, true));
        if directory.join(VOCABULARY).exists() {
            each_line(&directory.join(VOCABULARY), |line: TermLine| measured.frequencies.push(line.df))?;
        }
        Ok(measured)
    }

    /// Adds a document of a file that is cut off.
    fn add_cut_off(&mut self, line: &DocumentLine, is_last: bool) {
        if is_last && line.status != "ok" {
            let counts = &mut self.summary.counts;
            counts.documents -= 1;
            counts.failed -= 1;
        } else {
            self.add(line, true);
        }
    }

    fn add(&mut self, line: &DocumentLine, is_cut_off: bool) {
        if let Some(cause) = &line.cause {
            // Some causes end with a place or a size, which differs in each document.
            let ends = [" at byte", ", after", ": "].into_iter().filter_map(|end| cause.find(end));
            let cause = &cause[..ends.min().unwrap_or(cause.len())];
            *self.causes.entry(cause.to_owned()).or_default() += 1;
        }
        match (is_cut_off, line.record.is_none() && line.member.is_none()) {
            (true, _) => self.beginnings.add(line),
            (false, true) => self.files.push((line.status != "ok", line.tokens)),
            (false, false) => self.ranges.add(line),
        }
    }

    /// Bytes of a file of the output.
    fn size(&self, name: &str) -> f64 {
        self.sizes.get(name).map_or(0.0, |&bytes| bytes as f64)
    }

    fn failures(&self) -> Vec<FailedShare> {
        let all = self.summary.counts.documents.max(1) as f64;
        let share = |(cause, &number): (&String, &u64)| (number as f64 / all, cause.clone());
        let mut failures: Vec<_> = self.causes.iter().map(share).collect();
        failures.sort_by(|one, other| other.0.total_cmp(&one.0));
        failures.into_iter().map(|(share, cause)| FailedShare { cause, share }).collect()
    }
}

/// The run that is estimated.
struct Wanted<'a> {
    settings: &'a Settings,
    /// Whether the number of columns does not depend on the corpus.
    has_fixed_columns: bool,
    format: Format,
    shares: MemoryShares,
    times: Times,
}

/// A guess in whole numbers, of which there are `least` at least.
fn whole(guess: Guess, least: f64) -> Interval<u64> {
    let number = |value: f64| value.max(least).round() as u64;
    Interval { low: number(guess.low), value: number(guess.value), high: number(guess.high) }
}

/// Documents, failed ones and tokens.
struct Totals {
    documents: Guess,
    failed: Guess,
    tokens: Guess,
}

/// What the files of one document come to: by the regression of tokens on bytes, whose sum is known.
fn of_files(measured: &Measured, files: &sample::Files) -> Totals {
    let (all, number) = (files.fitting as f64, files.sampled.len() as f64);
    let pairs = || files.sampled.iter().zip(&measured.files).map(|(&x, &(_, y))| (x as f64, y as f64));
    let sum = |of: &dyn Fn((f64, f64)) -> f64| pairs().map(of).sum::<f64>();
    let least = number.max(1.0);
    let (x, y) = (sum(&|pair| pair.0) / least, sum(&|pair| pair.1) / least);
    let spread = sum(&|pair| (pair.0 - x).powi(2));
    let slope = if spread > 0.0 { sum(&|pair| (pair.0 - x) * (pair.1 - y)) / spread } else { 0.0 };
    let residuals = sum(&|pair| (pair.1 - y - slope * (pair.0 - x)).powi(2)) / (number - 2.0).max(1.0);
    let tokens = all * (y + slope * (files.mean_bytes - x)).max(0.0);
    // The slope is uncertain, too, where the means differ.
    let far = (files.mean_bytes - x).abs() / files.mean_bytes.max(1.0);
    let error = 2.0 * all * (residuals / least * (1.0 - number / all.max(1.0))).sqrt() + 0.1 * far * tokens;
    let tokens = Guess { low: (tokens - error).max(0.0), value: tokens, high: tokens + error };
    let tokens = tokens.plus(of_large(measured, files));
    let failed = measured.files.iter().filter(|(failed, _)| *failed).count() as f64;
    Totals {
        documents: Guess::exact(files.all as f64),
        failed: share(failed, number).map(|share| share * files.all as f64),
        tokens,
    }
}

/// Tokens of the files that are too large for the sample: as many per byte as in the sample, if they are like it.
fn of_large(measured: &Measured, files: &sample::Files) -> Guess {
    let bytes: u64 = files.sampled.iter().sum();
    let tokens: u64 = measured.files.iter().map(|&(_, tokens)| tokens).sum();
    let each = tokens as f64 / bytes.max(1) as f64;
    Guess::about(files.too_large as f64 * each, 0.6)
}

/// What record files come to, by the bytes of them that were read.
fn of_records(found: &Documents, stratum: &Stratum, clustering: f64, other: f64) -> Totals {
    let scale = stratum.bytes as f64 / stratum.sampled.max(1) as f64;
    let number = (found.number as f64).max(1.0);
    let deviation = |sum: f64, squares: f64| {
        let mean = sum / number;
        ((squares / number - mean * mean).max(0.0).sqrt() / mean.max(1.0)).max(0.1)
    };
    // Neighbours are alike, so they tell less than as many documents from anywhere.
    let rest = (1.0 - 1.0 / scale.max(1.0)).max(0.0);
    let error = |deviation: f64| 2.0 * clustering * deviation * (rest / number).sqrt() + other * rest;
    // Few documents begin in ranges that are shorter than one.
    let length = (found.bytes as f64 / number / RANGE as f64).min(1.0);
    let bytes = error(deviation(found.bytes as f64, found.squares).max(length));
    let tokens =
        error(deviation(found.tokens as f64, found.token_squares).max(length)).min(bytes).max(0.02 * rest);
    // The first document is in each sample, so it stands for itself.
    let others = found.number.saturating_sub(1) as f64;
    let total = others * scale + found.number.min(1) as f64;
    let around =
        |total: f64, error: f64| Guess { low: (total - error).max(0.0), value: total, high: total + error };
    let documents = around(total, bytes * number * scale);
    let failed = share(found.failed as f64, number).map(|share| share * documents.value);
    let each = found.tokens as f64 / number;
    Totals { documents, failed, tokens: around(total * each, tokens * number * scale * each) }
}

/// A share of a sample, with Wilson's interval.
fn share(hits: f64, number: f64) -> Guess {
    if number == 0.0 {
        return Guess::exact(0.0);
    }
    let (p, z) = (hits / number, 2.0);
    let middle = p + z * z / (2.0 * number);
    let half = z * (p * (1.0 - p) / number + z * z / (4.0 * number * number)).sqrt();
    let scale = 1.0 + z * z / number;
    Guess { low: ((middle - half) / scale).max(0.0), value: p, high: (middle + half) / scale }
}

impl Wanted<'_> {
    /// The estimate of a corpus that was read whole.
    fn exact(&self, measured: Measured) -> Estimate {
        let counts = measured.summary.counts;
        let bytes: f64 = measured.sizes.values().map(|&bytes| bytes as f64).sum();
        let dense = self.dense_bytes(counts.documents as f64, counts.columns as f64);
        let bytes = dense.map_or(bytes, |dense| bytes - measured.size("matrix.npz") + dense);
        let number = |value: u64| whole(Guess::exact(value as f64), 0.0);
        let maps = Guess::about(measured.summary.map_bytes as f64, 0.1);
        Estimate {
            is_exact: true,
            documents: number(counts.documents),
            failed: number(counts.failed),
            tokens: number(counts.tokens),
            columns: number(counts.columns),
            nonzeros: number(counts.nonzeros),
            ..self.rest(&measured, Guess::exact(bytes), maps, [1.0, 1.0])
        }
    }

    /// Bytes of a dense matrix, if that is the format.
    fn dense_bytes(&self, documents: f64, columns: f64) -> Option<f64> {
        let element = self.settings.values.dtype.size() as f64;
        (self.format == Format::Npy).then_some(128.0 + documents * columns * element)
    }

    /// The estimate of a corpus of which a sample was read.
    fn extrapolated(&self, measured: Measured, sample: &Sample) -> Estimate {
        let counts = measured.summary.counts;
        let parts = [
            of_files(&measured, &sample.files),
            of_records(&measured.ranges, &sample.ranges, 3.0, 0.0),
            of_records(&measured.beginnings, &sample.beginnings, 2.0, 0.2),
        ];
        let sum = |of: fn(&Totals) -> Guess| parts.iter().map(of).fold(Guess::exact(0.0), Guess::plus);
        let (documents, failed, tokens) =
            (sum(|part| part.documents), sum(|part| part.failed), sum(|part| part.tokens));
        // Cells per token are much the same in all documents of a kind.
        let ratio = tokens.map(|tokens| tokens / counts.tokens.max(1) as f64);
        let ok = counts.documents.saturating_sub(counts.failed);
        let spread = Guess::about(1.0, 0.01 + 0.3 / (ok.max(1) as f64).sqrt());
        // Long documents repeat their words more often, by an unknown factor.
        let long = of_large(&measured, &sample.files).value / tokens.value.max(1.0);
        let repeated = Guess { low: 1.0 - 0.9 * long, value: 1.0 - 0.5 * long, high: 1.0 };
        let cells = ratio.map(|ratio| ratio * counts.nonzeros as f64).times(spread).times(repeated);
        let corpus = (documents.value - failed.value).max(1.0);
        let share = |part: &Totals| part.tokens.value / tokens.value.max(1.0);
        let strata = [&sample.ranges, &sample.beginnings].into_iter().zip(&parts[1..]);
        let alike = [0, 1].map(|end| {
            let weighted = strata.clone().map(|(stratum, part)| stratum.alike[end] * share(part));
            weighted.sum::<f64>() + 0.3 * end as f64 * long
        });
        // Files too large for the sample have the words of many.
        let size = if long > 0.0 { corpus.max(ok as f64 * ratio.value) } else { corpus };
        let spectrum = Spectrum::new(measured.frequencies.iter().copied(), ok, size, alike);
        let (columns, kept) = self.pruned(&spectrum, counts.columns as f64, corpus);
        let nonzeros = cells.times(kept);
        let bytes = self.output_bytes(&measured, documents, columns, nonzeros, spectrum.at_least(1.0));
        let maps = measured.summary.map_bytes as f64;
        let terms = spectrum.at_least(1.0).map(|all| all / (measured.frequencies.len() as f64).max(1.0));
        let rows = (4.0 * counts.nonzeros as f64).min(maps);
        let value = rows * ratio.value + (maps - rows) * (terms.value * ratio.value).sqrt();
        let maps = Guess {
            low: rows * ratio.low + (maps - rows) * terms.low.min(ratio.low),
            value,
            high: (1.1 * maps * ratio.high).max(value),
        };
        Estimate {
            is_exact: false,
            documents: whole(documents, counts.documents as f64),
            failed: whole(failed, counts.failed as f64),
            tokens: whole(tokens, counts.tokens as f64),
            columns: whole(columns, 0.0),
            nonzeros: whole(nonzeros, 0.0),
            ..self.rest(&measured, bytes, maps, [ratio.value, terms.value.max(ratio.value.sqrt())])
        }
    }

    /// The number of columns, and the share of cells that are in them.
    fn pruned(&self, spectrum: &Spectrum, found: f64, corpus: f64) -> (Guess, Guess) {
        if self.has_fixed_columns {
            return (Guess::exact(found), Guess::exact(1.0));
        }
        let columns = &self.settings.columns;
        let (low, high) = (columns.min_df.of(corpus as u64), columns.max_df.of(corpus as u64));
        let least = if low <= 1.0 { 1.0 } else { low };
        let (mut terms, mut kept) = (spectrum.at_least(least), spectrum.cells_at_least(least));
        if least <= 1.0 {
            kept = Guess::exact(1.0);
        }
        let most = columns.max_features.map_or(f64::INFINITY, |most| most as f64);
        let without = |all: Guess, dropped: Guess| Guess {
            low: (all.low - dropped.high).max(0.0),
            value: (all.value - dropped.value).max(0.0),
            high: (all.high - dropped.low).max(0.0),
        };
        let (mut above, mut cells_above) = (Guess::exact(0.0), Guess::exact(0.0));
        if high < corpus.floor() {
            let next = match columns.max_df {
                Df::Documents(most) => most as f64 + 1.0,
                Df::Share(_) => high + 1e-6,
            };
            (above, cells_above) = (spectrum.at_least(next), spectrum.cells_at_least(next));
        }
        terms = without(terms, above);
        if terms.value > most {
            let df = spectrum.df_of_most_frequent(most + above.value).max(least);
            kept = spectrum.cells_at_least(df);
            // The most frequent terms are chosen by occurrences, which are not known here.
            kept = Guess { low: 0.93 * kept.low, high: (1.03 * kept.high).min(1.0), ..kept };
        }
        (terms.map(|terms| terms.min(most)), without(kept, cells_above))
    }

    /// Bytes of all files of the output.
    fn output_bytes(
        &self,
        measured: &Measured,
        documents: Guess,
        columns: Guess,
        nonzeros: Guess,
        terms: Guess,
    ) -> Guess {
        let counts = measured.summary.counts;
        let rows = counts.documents.max(1) as f64;
        let cells = counts.nonzeros.max(1) as f64;
        let matrix = measured
            .sizes
            .iter()
            .find(|(name, _)| name.starts_with("matrix."))
            .map_or(0.0, |(_, &size)| size as f64);
        let element = self.settings.values.dtype.size() as f64;
        let matrix = match (self.format, self.dense_bytes(1.0, 1.0)) {
            (_, Some(_)) => documents.times(columns).map(|cells| 128.0 + cells * element),
            (Format::Npz, _) => {
                let index = if nonzeros.value > f64::from(i32::MAX) { 8.0 } else { 4.0 };
                nonzeros.map(|cells| cells * (index + element)).plus(documents.map(|rows| rows * index))
            }
            // Numbers of rows and columns get longer.
            _ => {
                let digits = match self.format {
                    Format::Mtx => (columns.value.max(1.0) * documents.value.max(1.0)
                        / rows
                        / counts.columns.max(1) as f64)
                        .log10(),
                    Format::Svmlight => (columns.value.max(1.0) / counts.columns.max(1) as f64).log10(),
                    _ => 0.0,
                };
                let each = (matrix / cells + digits.max(-2.0)).max(1.0);
                nonzeros.map(|cells| cells * each).times(Guess::about(1.0, 0.05))
            }
        };
        let lines = documents.map(|documents| documents * measured.size(DOCUMENTS) / rows);
        let of_column = measured.size(VOCABULARY) / counts.columns.max(1) as f64;
        // Rare terms are longer than frequent ones.
        let longer = Guess { low: 0.95, value: 1.03, high: 1.2 };
        let vocabulary = columns.map(|columns| columns * of_column);
        let vocabulary = if self.has_fixed_columns { vocabulary } else { vocabulary.times(longer) };
        let found = (measured.frequencies.len() as f64).max(1.0);
        let named = match measured.frequencies.is_empty() {
            true => documents.map(|documents| (documents / rows).max(1.0).sqrt()),
            false => terms.map(|terms| terms / found),
        };
        // With hashed features, how many terms there are is not known.
        let named = Guess { low: 1.0, high: documents.high / rows, ..named };
        let named = named.map(|factor| factor * measured.size(HASH_TERMS));
        let fixed = Guess::exact(measured.size(MANIFEST) + measured.size(IDF));
        [lines, vocabulary, named, fixed].into_iter().fold(matrix, Guess::plus)
    }

    /// All but the counts. `factors` are those of the work of the first and of the second half.
    fn rest(&self, measured: &Measured, bytes: Guess, maps: Guess, factors: [f64; 2]) -> Estimate {
        let none = Interval { low: 0, value: 0, high: 0 };
        let memory = self.shares.maps;
        // All of a worker's rows may go to disk where some do not fit.
        let spilled = |held: f64| if held > memory as f64 { held } else { 0.0 };
        let least = (maps.low - memory as f64).max(0.0);
        let scratch = Guess { low: least, ..maps.map(spilled) };
        let Times { walk, tally, finish } = self.times;
        // The start of a phase takes the same time however long it is.
        let scaled = |seconds: f64, factor: f64| {
            let fixed = seconds.min(PHASE_START);
            fixed + (seconds - fixed) * factor
        };
        let work = scaled(tally, factors[0]) + scaled(finish, factors[1]);
        let seconds = walk + work + bytes.value / 1e9;
        let slow = bytes.high / 1e8;
        Estimate {
            is_exact: false,
            documents: none,
            failed: none,
            tokens: none,
            columns: none,
            nonzeros: none,
            output_bytes: whole(bytes, 0.0),
            map_bytes: whole(maps, 0.0),
            map_memory: memory,
            scratch_bytes: whole(scratch, 0.0),
            worker_memory: self.shares.worker,
            seconds: Interval { low: 0.3 * seconds, value: seconds, high: 2.5 * seconds + slow },
            workers: measured.summary.workers as u64,
            sampled_documents: measured.summary.counts.documents,
            sampled_bytes: measured.summary.bytes,
            failures: measured.failures(),
        }
    }
}
