//! `bowline embed`: corpus -> pool -> coordinator -> output. The one place that names the modes.

use crate::cli::{
    Binary, DecodeErrorChoice, DtypeChoice, EmbedArgs, FeaturesChoice, Format, Mode, NormChoice, WeightChoice,
};
use crate::coordinator::{Emitted, Finish, Merged, RunError, RunEvent, Supervision, TallyJob, tally};
use crate::corpus::{self, Corpus, WalkSettings, display_path};
use crate::output::{
    Counts, Document, Manifest, NpyFile, NpzFile, OutputDirectory, write_documents, write_vocabulary,
};
use crate::pool::{Inline, Processes, Threads, WorkerPool};
use crate::progress::Progress;
use crate::report::{Report, Stopwatch};
use crate::usage_error::UsageError;
use anyhow::{Context as _, Result};
use bowline_workers::analyzer::TextSettings;
use bowline_workers::analyzer::decode::DecodeError;
use bowline_workers::documents::ReadSettings;
use bowline_workers::hashing::Buckets;
use bowline_workers::plan::{Container, Dtype, Norm, ValueSettings, Weight};
use bowline_workers::protocol::Layout;
use bowline_workers::recorder::Recorder;
use bowline_workers::tally::{Features, TallySettings};
use serde::Serialize;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

/// Failed documents that the summary names.
const NAMED_FAILURES: usize = 10;

/// Buckets of hashed features, as in scikit-learn.
const DEFAULT_FEATURES: u32 = 1 << 20;

/// The settings that change the result, as the manifest tells them.
#[derive(Clone, Debug, Serialize)]
struct ManifestSettings {
    analyzer: &'static str,
    lowercase: bool,
    decode_error: String,
    binary: String,
    max_document_bytes: Option<u64>,
    features: String,
    n_features: Option<u32>,
    alternate_sign: Option<bool>,
    weight: String,
    norm: String,
    dtype: String,
}

/// All that a run needs to know, checked.
struct Settings {
    tally: TallySettings,
    values: ValueSettings,
    container: Container,
    manifest: ManifestSettings,
}

/// The name of a value as the command line has it.
fn name(value: impl clap::ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn settings(args: &EmbedArgs) -> Result<Settings> {
    let hashed = args.features == FeaturesChoice::Hashed;
    if !hashed && args.n_features.is_some() {
        return Err(UsageError("--n-features needs --features hashed").into());
    }
    if !hashed && args.no_alternate_sign {
        return Err(UsageError("--no-alternate-sign needs --features hashed").into());
    }
    let has_norm = args.norm != NormChoice::None;
    let dtype = args.dtype.unwrap_or(if has_norm { DtypeChoice::F32 } else { DtypeChoice::I32 });
    if has_norm && matches!(dtype, DtypeChoice::I32 | DtypeChoice::I64) {
        return Err(UsageError("--norm needs --dtype f32 or f64: an integer can't hold its values").into());
    }
    let n_features = args.n_features.unwrap_or(DEFAULT_FEATURES);
    let features = match args.features {
        FeaturesChoice::Vocabulary => Features::Vocabulary,
        FeaturesChoice::Hashed => {
            Features::Hashed(Buckets { n_features, alternate_sign: !args.no_alternate_sign })
        }
    };
    let tally = TallySettings {
        reading: ReadSettings {
            max_bytes: args.max_document_bytes.unwrap_or(u64::MAX),
            embed_binary: args.binary == Binary::Embed,
        },
        text: TextSettings {
            lowercase: !args.no_lowercase,
            decode_error: match args.decode_error {
                DecodeErrorChoice::Strict => DecodeError::Strict,
                DecodeErrorChoice::Replace => DecodeError::Replace,
                DecodeErrorChoice::Ignore => DecodeError::Ignore,
            },
        },
        features,
        lexicon_bytes: 1 << 30,
    };
    let values = ValueSettings {
        weight: match args.weight {
            WeightChoice::Count => Weight::Count,
            WeightChoice::Binary => Weight::Binary,
        },
        norm: match args.norm {
            NormChoice::None => Norm::None,
            NormChoice::L1 => Norm::L1,
            NormChoice::L2 => Norm::L2,
        },
        dtype: match dtype {
            DtypeChoice::I32 => Dtype::I32,
            DtypeChoice::I64 => Dtype::I64,
            DtypeChoice::F32 => Dtype::F32,
            DtypeChoice::F64 => Dtype::F64,
        },
    };
    let manifest = ManifestSettings {
        analyzer: "word",
        lowercase: !args.no_lowercase,
        decode_error: name(args.decode_error),
        binary: name(args.binary),
        max_document_bytes: args.max_document_bytes,
        features: name(args.features),
        n_features: hashed.then_some(n_features),
        alternate_sign: hashed.then_some(!args.no_alternate_sign),
        weight: name(args.weight),
        norm: name(args.norm),
        dtype: name(dtype),
    };
    let dense = args.dense || args.format == Format::Npy;
    Ok(Settings {
        tally,
        values,
        container: if dense { Container::Dense } else { Container::Sparse },
        manifest,
    })
}

/// Runs the command. `interrupted` holds the number of a signal that asked the run to end.
///
/// Returns whether every document was embedded.
///
/// # Errors
/// Whatever kept the run from finishing.
pub fn embed(args: &EmbedArgs, interrupted: Arc<AtomicUsize>) -> Result<bool> {
    let settings = settings(args)?;
    let mut stopwatch = Stopwatch::start();
    let output = OutputDirectory::begin(&args.output, args.force, !args.no_sync, |notice| {
        if !args.quiet {
            eprintln!("bowline: {notice}");
        }
    })?;
    let report_file = args.report.as_ref().map(create_report).transpose()?;
    let mut progress = Progress::new(args.progress);
    let walk = WalkSettings { globs: args.globs.clone(), hidden: args.hidden };
    let corpus = Arc::new(corpus::discover(&args.corpus, &walk)?);

    let workers = match args.mode {
        Mode::Inline => 1,
        _ => match args.workers {
            Some(workers) => workers as usize,
            None => std::thread::available_parallelism().map_or(1, usize::from),
        },
    };
    let mut pool: Box<dyn WorkerPool> = match args.mode {
        Mode::Processes => Box::new(Processes::new()?),
        Mode::Threads => Box::new(Threads::new()),
        Mode::Inline => Box::new(Inline::default()),
    };
    let mut events = |event: RunEvent| {
        progress.hear(event);
        stopwatch.hear(event);
    };
    let mut supervision = Supervision {
        pool: pool.as_mut(),
        workers,
        patience: Duration::from_secs_f64(args.document_timeout),
        interrupted,
        events: &mut events,
        recorder: Recorder::new(workers).context("mapping the recorder")?,
        hired: 0,
    };
    let embedded = run(&settings, &corpus, args.max_failures, &output, &mut supervision);
    // The pool goes first: what its workers still hold must not outlive the output.
    let embedded = embedded.map_err(|error| named(error, &corpus))?;
    drop(pool);
    progress.clear();
    stopwatch.lap("publish");
    let target = output.target().to_owned();
    output.publish()?;
    stopwatch.lap("");

    let report = Report {
        bowline: env!("CARGO_PKG_VERSION"),
        mode: name(args.mode),
        workers,
        seconds: stopwatch.seconds(),
        documents: embedded.counts.documents,
        failed: embedded.counts.failed,
        bytes: embedded.bytes,
        tokens: embedded.counts.tokens,
        columns: embedded.counts.columns,
        nonzeros: embedded.counts.nonzeros,
        workers_lost: stopwatch.lost,
        usage: stopwatch.usage,
        phases: stopwatch.phases,
    };
    if let (Some(file), Some(path)) = (report_file, &args.report) {
        serde_json::to_writer_pretty(file, &report).with_context(|| path.display().to_string())?;
    }
    if !args.quiet {
        summarise(&report, &corpus, &embedded.failures, &target);
    }
    Ok(report.failed == 0 && corpus.unreadable.is_empty())
}

/// What the summary says.
struct Embedded {
    counts: Counts,
    bytes: u64,
    failures: Vec<String>,
}

/// The phases, and the files that they fill.
fn run(
    settings: &Settings,
    corpus: &Arc<Corpus>,
    max_failures: usize,
    output: &OutputDirectory,
    supervision: &mut Supervision,
) -> Result<Embedded> {
    let job = TallyJob {
        documents: corpus.documents.clone(),
        settings: settings.tally.clone(),
        segment_budget: available_memory() / 2,
        max_failures,
    };
    let tallied = tally(&job, supervision)?;
    let mut matrix = MatrixFile::create(output, settings.container)?;
    let mut finish =
        Finish::new(tallied, settings.values, settings.container, matrix.handle()?, supervision)?;
    let buckets = match settings.tally.features {
        Features::Vocabulary => None,
        Features::Hashed(buckets) => Some(buckets),
    };
    let merged = finish.merge(buckets.is_some(), supervision)?;
    let rows = corpus.documents.len() as u64;
    let columns = buckets.map_or(merged.vocabulary.len() as u64, |buckets| buckets.n_features as u64);
    let layout = matrix.lay_out(rows, columns, merged.nonzeros, settings.values.dtype)?;
    let emitted = finish.emit(layout, supervision)?;
    matrix.finish(&layout, &finish, emitted)?;
    if buckets.is_none() {
        output.write("vocabulary.jsonl", |out| {
            write_vocabulary(out, merged.vocabulary.terms(finish.segments()))
        })?;
    }
    write_rest(settings, corpus, output, &finish, &merged, columns)
}

/// The list of documents and the manifest.
fn write_rest(
    settings: &Settings,
    corpus: &Corpus,
    output: &OutputDirectory,
    finish: &Finish,
    merged: &Merged,
    columns: u64,
) -> Result<Embedded> {
    let (mut bytes, mut tokens, mut failed, mut failures) = (0, 0, 0, Vec::new());
    let documents = finish.outcomes().enumerate().map(|(row, outcome)| {
        let path = display_path(&corpus.path(row));
        bytes += outcome.bytes;
        tokens += outcome.tokens;
        if let Some(failure) = outcome.failure {
            failed += 1;
            if failures.len() < NAMED_FAILURES {
                let hint = failure.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
                failures.push(format!("{path}: {failure}{hint}"));
            }
        }
        let cause = outcome.failure.map(|failure| failure.to_string());
        Document { path, bytes: outcome.bytes, tokens: outcome.tokens, cause }
    });
    output.write("documents.jsonl", |out| write_documents(out, documents))?;
    let documents = corpus.documents.len() as u64;
    let mean_length = if documents > failed { tokens as f64 / (documents - failed) as f64 } else { 0.0 };
    let counts = Counts { documents, failed, columns, nonzeros: merged.nonzeros, tokens, mean_length };
    let matrix = MatrixFile::name(settings.container);
    let manifest =
        Manifest { bowline: env!("CARGO_PKG_VERSION"), matrix, settings: settings.manifest.clone(), counts };
    output.write("manifest.json", |out| manifest.write(out))?;
    Ok(Embedded { counts, bytes, failures })
}

/// The matrix's file, in one of its containers.
enum MatrixFile {
    Sparse(NpzFile, File),
    Dense(NpyFile, File),
}

impl MatrixFile {
    fn name(container: Container) -> &'static str {
        match container {
            Container::Sparse => "matrix.npz",
            Container::Dense => "matrix.npy",
        }
    }

    fn create(output: &OutputDirectory, container: Container) -> Result<Self> {
        let file = output.create(Self::name(container))?;
        let handle = file.try_clone()?;
        Ok(match container {
            Container::Sparse => MatrixFile::Sparse(NpzFile::new(file), handle),
            Container::Dense => MatrixFile::Dense(NpyFile::new(file), handle),
        })
    }

    /// The open file, for the workers.
    fn handle(&self) -> Result<File> {
        let (MatrixFile::Sparse(_, file) | MatrixFile::Dense(_, file)) = self;
        Ok(file.try_clone()?)
    }

    fn lay_out(&mut self, rows: u64, columns: u64, nonzeros: u64, dtype: Dtype) -> Result<Layout> {
        match self {
            MatrixFile::Sparse(npz, _) => npz.lay_out(rows, columns, nonzeros, dtype),
            MatrixFile::Dense(npy, _) => npy.lay_out(rows, columns, dtype),
        }
    }

    fn finish(self, layout: &Layout, finish: &Finish, emitted: Emitted) -> Result<()> {
        match self {
            MatrixFile::Sparse(npz, _) => npz.finish(layout, finish.indptr(), emitted.indices, emitted.data),
            MatrixFile::Dense(..) => Ok(()),
        }
    }
}

/// An error about a row, with the document's path.
fn named(error: anyhow::Error, corpus: &Corpus) -> anyhow::Error {
    match error.downcast_ref::<RunError>() {
        Some(RunError::Stuck(Some(row))) => {
            let path = display_path(&corpus.path(*row as usize));
            error.context(path)
        }
        _ => error,
    }
}

fn create_report(path: &std::path::PathBuf) -> Result<File> {
    File::create(path).with_context(|| display_path(path.as_os_str().as_bytes()))
}

/// Bytes of memory that can be had without swapping, by the kernel's estimate; 1 GiB where it gives none.
fn available_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.map_or(1 << 30, |kib| kib << 10)
}

fn summarise(report: &Report, corpus: &Corpus, failures: &[String], target: &std::path::Path) {
    for (path, cause) in &corpus.unreadable {
        eprintln!("bowline: {}: {cause}", display_path(path.as_os_str().as_bytes()));
    }
    for failure in failures {
        eprintln!("bowline: {failure}");
    }
    if report.failed as usize > failures.len() {
        let more = report.failed as usize - failures.len();
        eprintln!("bowline: and {more} more failed, all of them in documents.jsonl");
    }
    let mut parts = vec![format!("{} documents", report.documents)];
    if report.failed > 0 {
        parts.push(format!("{} failed", report.failed));
    }
    if corpus.left_out > 0 {
        parts.push(format!("{} entries left out", corpus.left_out));
    }
    parts.push(format!("{} tokens", report.tokens));
    parts.push(format!("{} columns", report.columns));
    parts.push(format!("{} non-zeros", report.nonzeros));
    let megabytes = report.bytes as f64 / 1e6;
    eprintln!(
        "{}\n{megabytes:.1} MB in {:.2} s, {:.0} MB/s, in {}",
        parts.join(", "),
        report.seconds,
        megabytes / report.seconds,
        display_path(target.as_os_str().as_bytes())
    );
}
