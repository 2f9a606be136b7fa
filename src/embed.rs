//! `bowline embed`: corpus -> pool -> coordinator -> output. The one place that names the modes.

use crate::cli::{Analyzer, EmbedArgs, Format, Mode, SandboxChoice, WeightChoice, name};
use crate::coordinator::{
    Checkpoint, Columns, Emitted, Finish, FinishJob, IdfSource, Merged, RunError, RunEvent, Supervision,
    TallyJob, tally,
};
use crate::corpus::{self, Corpus, WalkSettings, display_path};
use crate::folder::{Folder, Refusal};
use crate::memory::{MemoryShares, kills_for_memory};
use crate::model::{Model, earlier_idf};
use crate::output::{
    Counts, DOCUMENTS, HASH_TERMS, IDF, MANIFEST, ManifestFile, NpyFile, NpzFile, OutputDirectory,
    OutputOptions, VOCABULARY, reserve, write_hash_terms, write_idf, write_vocabulary,
};
use crate::pool::{Confinement, Processes, Sandbox, Threads, WorkerPool};
use crate::progress::Progress;
use crate::report::{Report, Stopwatch};
use crate::result_file::ResultFile;
use crate::say::say;
use crate::settings::Settings;
use crate::term_notices;
use crate::usage_error::UsageError;
use anyhow::{Context as _, Result};
use bowline_workers::gate::Gates;
use bowline_workers::mapped::Store;
use bowline_workers::plan::{Container, Dtype, Files};
use bowline_workers::protocol::Layout;
use bowline_workers::recorder::Recorder;
use bowline_workers::tally::{Features, TallySettings};
use nix::sys::prctl::set_timerslack;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

/// Failed documents that the summary names.
const NAMED_FAILURES: usize = 10;

/// All that a run needs to know, checked.
struct Job {
    /// What the user should know before the run.
    notices: Vec<String>,
    settings: Settings,
    model: Option<Model>,
    tally: TallySettings,
    finish: FinishJob,
    hash_terms: bool,
    workers: usize,
    /// Cores that no worker is for, since there is no memory for one.
    idle: usize,
    /// Bytes of memory for segments and tables, and of addresses for those in scratch files.
    maps: u64,
    addresses: u64,
}

impl Job {
    fn new(args: &EmbedArgs, interrupted: &AtomicUsize) -> Result<Self> {
        let cores = match args.mode {
            Mode::Inline => 1,
            _ => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let workers = match args.workers {
            Some(workers) if args.mode != Mode::Inline => workers as usize,
            _ => cores.min(MemoryShares::most_workers(args)),
        };
        let memory = MemoryShares::new(args, workers)?;
        let trims =
            args.analyzer.is_none_or(|analyzer| analyzer == Analyzer::Word) && args.token_pattern.is_none();
        let model =
            args.vocabulary.as_deref().map(|path| Model::read(path, trims, interrupted)).transpose()?;
        let earlier = model.as_ref().and_then(|model| model.earlier.as_ref());
        let earlier_settings = earlier.map(|earlier| &earlier.settings);
        let settings = Settings::resolve(args, earlier_settings, model.is_some(), interrupted)?;
        let vocabulary = model.as_ref().and_then(|model| model.vocabulary.clone());
        let (features, columns) = match (settings.columns.buckets(), vocabulary) {
            (Some(buckets), _) if args.hash_terms => (Features::Vocabulary, Columns::NamedBuckets(buckets)),
            (Some(buckets), _) => (Features::Hashed(buckets), Columns::Given(buckets.n_features as u64)),
            (None, Some(fixed)) => {
                let columns = Columns::Given(fixed.terms().len() as u64);
                (Features::Fixed(fixed), columns)
            }
            (None, None) => (Features::Vocabulary, Columns::Terms(settings.columns.pruning())),
        };
        let idf = match (earlier, settings.values.idf()) {
            (_, None) => IdfSource::None,
            (None, Some(formula)) => IdfSource::Corpus(formula),
            (Some(earlier), Some(_)) => {
                if settings.values.weight == WeightChoice::Bm25 && earlier.mean_length == 0.0 {
                    anyhow::bail!(
                        "the output given by --vocabulary has no tokens, so bm25 has no mean length"
                    );
                }
                let idf = earlier_idf(earlier, &settings)?.unwrap_or_default();
                IdfSource::Earlier(idf, earlier.mean_length)
            }
        };
        let is_dense = args.dense || args.format == Format::Npy;
        let finish = FinishJob {
            columns,
            idf,
            counts_columns: settings.columns.fixed_vocabulary && earlier.is_none(),
            values: settings.values.cells(),
            container: if is_dense { Container::Dense } else { Container::Sparse },
        };
        let tally = TallySettings {
            reading: settings.text.reading(),
            text: settings.text.analysis()?,
            sieve: settings.text.sieve()?,
            features,
            lexicon_bytes: memory.lexicon as usize,
            worker_memory: memory.worker,
        };
        let hash_terms = args.hash_terms;
        let idle = if args.workers.is_none() { cores - workers } else { 0 };
        let MemoryShares { maps, addresses, .. } = memory;
        let notices = term_notices::never_equal(&settings, model.as_ref(), &tally.sieve)?;
        Ok(Job { notices, settings, model, tally, finish, hash_terms, workers, idle, maps, addresses })
    }
}

/// Runs the command. `interrupted` holds the number of a signal that asked the run to end.
///
/// Returns whether every document was embedded.
///
/// # Errors
/// Whatever kept the run from finishing.
pub fn embed(args: &EmbedArgs, interrupted: Arc<AtomicUsize>) -> Result<bool> {
    refuse_half_a_sandbox(args)?;
    let job = Job::new(args, &interrupted)?;
    let mut stopwatch = Stopwatch::start();
    let notice = |notice: &str| {
        if !args.quiet {
            say(&format!("bowline: {notice}"));
        }
    };
    job.notices.iter().for_each(|text| notice(text));
    if job.idle > 0 {
        let (workers, cores) = (job.workers, job.workers + job.idle);
        notice(&format!("--workers {workers}, not {cores}: there is no memory for more (--memory)"));
    }
    let options = OutputOptions {
        force: args.force,
        sync: !args.no_sync,
        resume: args.resume,
        scratch: args.scratch.clone(),
    };
    let output = OutputDirectory::begin(&args.output, options, notice)?;
    args.scratch.as_deref().map_or(Ok(()), check_scratch)?;
    let scratch = args.scratch.as_deref().unwrap_or(output.partial());
    let store = Store::bounded(job.maps, Some(scratch.to_owned()), job.addresses);
    let report_file =
        args.report.as_deref().map(|path| ResultFile::promise(path, &interrupted)).transpose()?;
    let mut progress = Progress::new(args.progress);
    let workers = job.workers;
    let walk = WalkSettings {
        globs: args.globs.clone(),
        hidden: args.hidden,
        follow: args.follow,
        threads: workers,
        interrupted: interrupted.clone(),
        own: output.own().chain(args.report.clone()).filter_map(|path| identity(&path)).collect(),
    };
    let corpus = corpus::discover(&args.corpus, &walk);
    RunError::if_interrupted(&interrupted)?;
    let corpus = Arc::new(corpus?);
    corpus.notices.iter().for_each(|line| notice(line));
    let checkpoint = output
        .checkpoint()?
        .map(|directory| open_checkpoint(&job, args, &directory, &corpus, &store, &interrupted));
    RunError::if_interrupted(&interrupted)?;
    let checkpoint = checkpoint.transpose()?;
    let resumed = checkpoint.as_ref().map_or(0, Checkpoint::documents);
    if checkpoint.as_ref().is_some_and(Checkpoint::has_others) {
        notice("an earlier run has counted in another way, or another corpus: begun anew");
    }
    if resumed > 0 {
        let of = corpus.documents.len();
        notice(&format!("going on from {resumed} of {of} documents, which an earlier run has counted"));
    }

    let mut pool: Box<dyn WorkerPool> = match args.mode {
        Mode::Processes => {
            let pool = Processes::new(sandbox(args)?)?;
            if let Some(why) = pool.unfiltered() {
                notice(&format!(
                    "no sandbox keeps workers from system calls: {why} (--sandbox off wants none)"
                ));
            }
            Box::new(pool)
        }
        // Inline is one worker, in a thread only so that somebody watches it.
        Mode::Threads | Mode::Inline => Box::new(Threads::new(workers)?),
    };
    let wanted = workers;
    let workers = wanted.min(pool.capacity());
    if workers < wanted {
        notice(&format!("--workers {workers}, not {wanted}: no more open files are allowed (ulimit -n)"));
    }
    let mut events = |event: RunEvent| {
        progress.hear(event);
        stopwatch.hear(event);
    };
    let mut supervision = Supervision {
        pool: pool.as_mut(),
        workers,
        patience: Duration::from_secs_f64(args.document_timeout),
        interrupted: interrupted.clone(),
        events: &mut events,
        now: &Instant::now,
        kills_for_memory: &kills_for_memory,
        recorder: Recorder::new(workers).context("mapping the recorder")?,
        hired: 0,
        starting: Duration::ZERO,
        messages: 0,
    };
    let tally_job = TallyJob {
        documents: corpus.documents.clone(),
        settings: job.tally.clone(),
        store,
        gates: Gates::new(args.max_reads, args.read_latency).context("making the permits to read")?,
        max_failures: args.max_failures,
    };
    if !args.read_latency.is_zero() {
        // How late a sleep may end, which workers inherit: usually 0.05 ms. Where it can't be set, delays are a little longer.
        let _ = set_timerslack(1);
    }
    let embedded = run(&job, &tally_job, checkpoint, &output, &mut supervision);
    let Supervision { hired, starting, messages, .. } = supervision;
    // The pool goes first: what its workers still hold must not outlive the output.
    let embedded = embedded.map_err(|error| named(error, &corpus))?;
    let sandbox = pool.confinement();
    drop(pool);
    progress.clear();
    stopwatch.lap("publish");
    let target = output.target().to_owned();
    output.publish(|| Ok(RunError::if_interrupted(&interrupted)?))?;
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
        unknown: embedded.counts.unknown,
        resumed: resumed as u64,
        workers_lost: stopwatch.lost,
        workers_started: hired.into(),
        start_seconds: starting.as_secs_f64(),
        messages,
        scratch_bytes: embedded.scratch_bytes,
        sandbox,
        usage: stopwatch.usage,
        phases: stopwatch.phases,
    };
    if let Some(file) = report_file {
        file.write(&serde_json::to_vec_pretty(&report)?)?;
    }
    embedded.notices.iter().for_each(|text| notice(text));
    if !args.quiet {
        summarise(&report, &corpus, &embedded.failures, &target);
    }
    Ok(report.failed == 0 && corpus.unreadable.is_empty())
}

/// What earlier runs have counted for the same output from the same corpora, in the same way.
fn open_checkpoint(
    job: &Job,
    args: &EmbedArgs,
    directory: &Folder,
    corpus: &Corpus,
    store: &Store,
    interrupted: &AtomicUsize,
) -> Result<Checkpoint> {
    let numbers = match &job.tally.features {
        Features::Vocabulary => None,
        Features::Hashed(buckets) => Some(buckets.n_features as u64),
        Features::Fixed(vocabulary) => Some(vocabulary.terms().len() as u64),
    };
    let terms = job.model.as_ref().and_then(|model| model.vocabulary.as_ref());
    let mut checksum = crc32fast::Hasher::new();
    for term in terms.iter().flat_map(|vocabulary| vocabulary.terms()) {
        checksum.update(&(term.len() as u64).to_le_bytes());
        checksum.update(term);
    }
    let corpora = args.corpus.iter().map(|path| {
        let path = std::fs::canonicalize(path).with_context(|| path.display().to_string())?;
        Ok(display_path(path.as_os_str().as_bytes()))
    });
    let identity = serde_json::to_string(&(
        env!("CARGO_PKG_VERSION"),
        &job.settings,
        job.hash_terms,
        checksum.finalize(),
        corpora.collect::<Result<Vec<_>>>()?,
    ))?;
    let checkpoint = Checkpoint::open(directory, identity, &corpus.documents, numbers, store, interrupted);
    let shown = || display_path(directory.path().as_os_str().as_bytes());
    let way_out = if args.scratch.is_some() { "--scratch" } else { "--output" };
    checkpoint.map_err(|error| Refusal::with_way_out_or(error, way_out, shown))
}

/// What worker processes live in.
fn sandbox(args: &EmbedArgs) -> Result<Sandbox> {
    let confinement = match args.sandbox {
        SandboxChoice::Auto => Confinement::Auto,
        SandboxChoice::Strict => Confinement::Strict,
        SandboxChoice::Off => Confinement::Off,
    };
    Ok(Sandbox::new(confinement, &args.corpus)?)
}

/// Strict means that all of it is enforced.
fn refuse_half_a_sandbox(args: &EmbedArgs) -> Result<(), UsageError> {
    let wrong = |with: &str| Err(UsageError(format!("--sandbox strict can't be had with {with}")));
    match args.sandbox {
        SandboxChoice::Strict if args.mode != Mode::Processes => wrong("--mode threads or inline"),
        SandboxChoice::Strict if args.follow => wrong("--follow: links may lead out of the corpus"),
        _ => Ok(()),
    }
}

/// What the summary says.
struct Embedded {
    counts: Counts,
    bytes: u64,
    failures: Vec<String>,
    /// What the user should know, besides.
    notices: Vec<String>,
    scratch_bytes: u64,
}

/// The phases, and the files that they fill.
fn run(
    job: &Job,
    tally_job: &TallyJob,
    checkpoint: Option<Checkpoint>,
    output: &OutputDirectory,
    supervision: &mut Supervision,
) -> Result<Embedded> {
    let (documents, store) = (&tally_job.documents, &tally_job.store);
    let tallied = tally(tally_job, checkpoint, supervision)?;
    let totals = tallied.totals.clone();
    let mut matrix = MatrixFile::create(output, job.finish.container)?;
    let finds_terms = matches!(job.finish.columns, Columns::Terms(_));
    let files = Files {
        matrix: matrix.handle()?,
        documents: output.create(DOCUMENTS)?,
        terms: finds_terms.then(|| output.create(VOCABULARY)).transpose()?,
    };
    let line_files = (files.documents.try_clone()?, files.terms.as_ref().map(File::try_clone).transpose()?);
    let mut finish = Finish::new(tallied, documents.clone(), job.finish.clone(), files, store, supervision)?;
    let merged = finish.merge(supervision)?;
    let rows = documents.len() as u64;
    let layout = matrix.lay_out(rows, merged.columns, merged.nonzeros, job.finish.values.dtype)?;
    let (document_bytes, term_bytes) = finish.line_bytes();
    reserve(&line_files.0, DOCUMENTS, document_bytes)?;
    line_files.1.as_ref().map_or(Ok(()), |file| reserve(file, VOCABULARY, term_bytes))?;
    let emitted = finish.emit(layout, supervision);
    let (settings, model) = (&job.settings, job.model.as_ref());
    let emitted =
        emitted.map_err(|error| term_notices::explained(error, settings, model, &finish, documents))?;
    matrix.finish(&layout, &finish, emitted)?;
    write_columns(job, output, &finish, &merged)?;
    let counts = Counts {
        documents: rows,
        failed: totals.failed.len() as u64,
        columns: merged.columns,
        nonzeros: merged.nonzeros,
        tokens: totals.tokens,
        unknown: totals.unknown,
        mean_length: finish.mean_length(),
    };
    let manifest = ManifestFile {
        bowline: env!("CARGO_PKG_VERSION").to_owned(),
        matrix: MatrixFile::name(job.finish.container).to_owned(),
        settings: job.settings.clone(),
        counts,
    };
    output.write(MANIFEST, |out| manifest.write(out))?;
    let failures = totals.failed.iter().take(NAMED_FAILURES).map(|&(row, failure)| {
        let hint = failure.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{}: {failure}{hint}", documents.shown(row))
    });
    Ok(Embedded {
        counts,
        bytes: totals.bytes,
        failures: failures.collect(),
        notices: term_notices::after_run(settings, model, &counts, &finish),
        scratch_bytes: store.on_disk(),
    })
}

/// What is known of the columns and not written by workers: terms of buckets or of a given vocabulary, idf.
fn write_columns(job: &Job, output: &OutputDirectory, finish: &Finish, merged: &Merged) -> Result<()> {
    if let Some(buckets) = job.settings.columns.buckets() {
        if job.hash_terms {
            let named = finish.terms().map(|(bytes, term)| (buckets.bucket(bytes), bytes, term));
            output.write(HASH_TERMS, |out| write_hash_terms(out, named))?;
        }
        if job.settings.values.idf().is_some() {
            output.write(IDF, |out| write_idf(out, merged.columns, finish.idf()))?;
        }
        return Ok(());
    }
    let Some(model) = &job.model else { return Ok(()) };
    let given = model.vocabulary.iter().flat_map(|vocabulary| vocabulary.terms()).map(|term| &**term);
    // An earlier output's frequencies stay with the idf that was made of them.
    match &model.earlier {
        Some(earlier) => {
            let idf = earlier.idf.iter().flatten().copied();
            let terms = given.zip(earlier.frequencies.iter().copied());
            output.write(VOCABULARY, |out| write_vocabulary(out, terms, idf))
        }
        None => output
            .write(VOCABULARY, |out| write_vocabulary(out, given.zip(finish.frequencies()), finish.idf())),
    }
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
        Some(RunError::Stuck(Some(row)) | RunError::Crashed(_, Some(row))) => {
            let path = corpus.documents.shown(*row as usize);
            error.context(path)
        }
        _ => error,
    }
}

/// Device and inode of a file or directory.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Whether files can be made in the scratch directory: better known now than in the middle of the run.
fn check_scratch(directory: &Path) -> Result<()> {
    let shown = || {
        format!("{}: cannot hold scratch files (--scratch)", display_path(directory.as_os_str().as_bytes()))
    };
    tempfile::tempfile_in(directory).map(drop).with_context(shown)
}

fn summarise(report: &Report, corpus: &Corpus, failures: &[String], target: &std::path::Path) {
    for (path, cause) in &corpus.unreadable {
        say(&format!("bowline: {}: {cause}", display_path(path.as_os_str().as_bytes())));
    }
    for failure in failures {
        say(&format!("bowline: {failure}"));
    }
    if report.failed as usize > failures.len() {
        let more = report.failed as usize - failures.len();
        say(&format!("bowline: and {more} more failed, all of them in documents.jsonl"));
    }
    let mut parts = vec![format!("{} documents", report.documents)];
    if report.failed > 0 {
        parts.push(format!("{} failed", report.failed));
    }
    if corpus.left_out > 0 {
        parts.push(format!("{} entries left out", corpus.left_out));
    }
    parts.push(format!("{} tokens", report.tokens));
    if report.unknown > 0 {
        let share = 100.0 * report.unknown as f64 / report.tokens as f64;
        parts.push(format!("{share:.1} % of them unknown to the vocabulary"));
    }
    parts.push(format!("{} columns", report.columns));
    parts.push(format!("{} non-zeros", report.nonzeros));
    let megabytes = report.bytes as f64 / 1e6;
    say(&parts.join(", "));
    say(&format!(
        "{megabytes:.1} MB in {:.2} s, {:.0} MB/s, in {}",
        report.seconds,
        megabytes / report.seconds,
        display_path(target.as_os_str().as_bytes())
    ));
}
