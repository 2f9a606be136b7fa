//! A run: source -> pool -> coordinator -> output, its phases in order. The one place that names the modes.
//!
//! It prints nothing, and changes nothing of the process that it is in but what its caller gives it ([`ThreadGuards`](crate::pool::ThreadGuards)). With
//! [`Mode::Processes`] it forks.

use crate::cancel::Cancel;
use crate::coordinator::{
    Checkpoint, Columns, Finish, FinishJob, IdfSource, Merged, RunError, Supervision, Tallied, TallyJob,
    Totals, cut, cut_shard, tally, total_bytes,
};
use crate::corpus::{self, Corpus, CorpusError, Source, WalkOptions, display_path, is_standard_input};
use crate::error::{Error, ErrorKind, Fault};
use crate::event::{Event, Notice, NoticeKind, Phase};
use crate::folder::{Folder, Refusal};
use crate::job::{FailedDocument, Job, RunOptions, Summary};
use crate::memory::{MemoryShares, available_memory, kills_for_memory, private_memory};
use crate::model::{Model, earlier_idf};
use crate::output::{
    CountedOutput, Counts, DOCUMENTS, Format, HASH_TERMS, IDF, Loading, MANIFEST, ManifestFile, MatrixFile,
    OutputDirectory, OutputOptions, Part, VOCABULARY, check_scratch, load, mergeable, refuse_too_wide,
    reserve, unmergeable, write_hash_terms, write_idf, write_vocabulary,
};
use crate::pool::{Confinement, Mode, PoolError, Processes, Sandbox, Threads, WorkerPool};
use crate::settings::{FeatureKind, Pruning, Setting, Settings, WeightKind, needs};
use crate::term_notices;
use anyhow::{Context as _, Result};
use bowline_workers::count::{CountSettings, Features};
use bowline_workers::counted::counted;
use bowline_workers::heartbeat::Heartbeats;
use bowline_workers::mapped::{Store, is_full, is_in_memory};
use bowline_workers::pieces::{PieceFormat, Shape};
use bowline_workers::plan::{Container, Files};
use bowline_workers::read_limit::ReadLimits;
use bowline_workers::reader::ReadSettings;
use bowline_workers::records::unpacking_memory;
use bowline_workers::split::{OPENING, Split};
use bowline_workers::tally::TallySettings;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};

/// Failed documents that a summary names.
const NAMED_FAILURES: usize = 10;

/// Embeds documents: reads, counts, merges, weighs and writes them. `events` is called for what happens meanwhile, by the
/// calling thread.
///
/// # Errors
/// The reason why the run could not finish. It then writes no output, and an earlier output stays.
pub fn run(job: &Job, events: &mut dyn FnMut(Event), cancel: &Cancel) -> Result<Summary, Error> {
    embed(job, events, cancel.flag()).map_err(of_run)
}

/// An error of a run, with its kind. If a disk is full and the error has no other kind, this is the disk of the scratch
/// files.
pub(crate) fn of_run(error: anyhow::Error) -> Error {
    let is_disk_full = error.chain().any(|cause| cause.downcast_ref().is_some_and(is_full));
    let error = classified(error);
    match error.kind() {
        ErrorKind::Other if is_disk_full => Error::new(ErrorKind::ScratchPlace, error.into_cause()),
        _ => error,
    }
}

/// An error with its kind.
pub(crate) fn classified(error: anyhow::Error) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(error) => return error,
        Err(error) => error,
    };
    let of_run = error.downcast_ref().map(RunError::kind);
    let of_pool = || error.downcast_ref().map(PoolError::kind);
    let of_corpus = || error.downcast_ref().map(CorpusError::kind);
    match of_run.or_else(of_pool).or_else(of_corpus) {
        Some(kind) if error.downcast_ref::<Fault>().is_none() => Error::new(kind, error),
        _ => error.into(),
    }
}

/// The checked inputs of the phases.
struct Resolved<'a> {
    settings: &'a Settings,
    model: Option<&'a Model>,
    tally: TallySettings,
    finish: FinishJob,
    workers: usize,
    /// Bytes of memory for segments and tables, and of addresses for those in scratch files.
    maps: u64,
    addresses: u64,
    /// Bytes of memory that a worker may sort terms in.
    run_bytes: usize,
}

impl<'a> Resolved<'a> {
    fn new(job: &'a Job, notices: &mut dyn FnMut(Notice)) -> Result<Self> {
        let Job { settings, sink, options, .. } = job;
        refuse_half_a_sandbox(job)?;
        refuse_impossible_input(job)?;
        if sink.hash_terms && settings.columns.features != FeatureKind::Hashed {
            return Err(needs(Setting::HashTerms, Setting::Features, "hashed", "").into());
        }
        let cores = match options.mode {
            Mode::Inline => 1,
            _ => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let workers = match options.workers {
            Some(workers) if options.mode != Mode::Inline => workers.max(1),
            _ => cores.min(MemoryShares::most_workers(options.memory)),
        };
        let memory = MemoryShares::new(options.memory, workers)?;
        let model = job.model.as_ref();
        let (features, columns) = columns(settings, model, sink.hash_terms);
        let is_list = model.is_some_and(|model| model.earlier.is_none());
        let records = job.source.records.settings(settings.text.reading().max_bytes, job.source.hidden);
        let finish = FinishJob {
            columns,
            idf: idf_source(settings, model)?,
            counts_columns: settings.columns.fixed_vocabulary && is_list,
            values: settings.values.cells(),
            container: match sink.format {
                Format::Npz => Container::Sparse,
                Format::Npy => Container::Dense,
                Format::Mtx => Container::Pieces(PieceFormat::Mtx),
                Format::Svmlight => Container::Pieces(PieceFormat::Svmlight),
                Format::Parquet => Container::Pieces(PieceFormat::Parquet),
                Format::Arrow => Container::Pieces(PieceFormat::Arrow),
            },
            worker_memory: memory.worker,
            records: records.clone(),
            may_be_empty: job.source.shard.is_some(),
        };
        let tally = TallySettings {
            reading: ReadSettings {
                unpacking_memory: unpacking_memory(memory.worker),
                ..settings.text.reading()
            },
            records,
            counting: CountSettings {
                text: settings.text.analysis()?,
                term_filter: settings.text.term_filter()?,
                features,
                lexicon_bytes: memory.lexicon as usize,
            },
            worker_memory: memory.worker,
        };
        term_notices::never_equal(settings, model, &tally.counting.term_filter)?
            .into_iter()
            .for_each(&mut *notices);
        if options.workers.is_none() && workers < cores {
            let text = format!("memory limits the run to {workers} of {cores} workers");
            notices(Notice::new(NoticeKind::FewerForMemory, text));
        }
        let MemoryShares { maps, addresses, worker, .. } = memory;
        let run_bytes = (worker / 2) as usize;
        Ok(Resolved { settings, model, tally, finish, workers, maps, addresses, run_bytes })
    }
}

/// What workers count, and what columns come of it.
fn columns(settings: &Settings, model: Option<&Model>, hash_terms: bool) -> (Features, Columns) {
    let vocabulary = model.and_then(|model| model.vocabulary.clone());
    match (settings.columns.buckets(), vocabulary) {
        (Some(buckets), _) if hash_terms => (Features::Vocabulary, Columns::NamedBuckets(buckets)),
        (Some(buckets), _) => (Features::Hashed(buckets), Columns::Given(buckets.n_features as u64)),
        (None, Some(fixed)) => {
            let columns = Columns::Given(fixed.terms().len() as u64);
            (Features::Fixed(fixed), columns)
        }
        (None, None) => (Features::Vocabulary, Columns::Terms(settings.columns.pruning())),
    }
}

/// Where the run's idf comes from.
fn idf_source(settings: &Settings, model: Option<&Model>) -> Result<IdfSource> {
    let earlier = model.and_then(|model| model.earlier.as_ref());
    Ok(match (earlier, settings.values.idf()) {
        (_, None) => IdfSource::None,
        (None, Some(formula)) => IdfSource::Corpus(formula),
        (Some(earlier), Some(_)) => {
            if settings.values.weight == WeightKind::Bm25 && earlier.mean_length == 0.0 {
                anyhow::bail!("the earlier output has no tokens, so bm25 has no mean length");
            }
            IdfSource::Earlier(earlier_idf(earlier, settings)?.unwrap_or_default(), earlier.mean_length)
        }
    })
}

fn embed(job: &Job, events: &mut dyn FnMut(Event), interrupted: &Arc<AtomicUsize>) -> Result<Summary> {
    let cuts_text = job.settings.text.encoding.is_utf8();
    let mut cut_all = |corpus: &Corpus, workers| {
        let Corpus { documents, records, .. } = corpus;
        match job.source.shard {
            None => cut(documents.len(), records, workers, cuts_text),
            Some(shard) => cut_shard(shard, documents.len(), records, workers, cuts_text),
        }
    };
    let (output, done) = embed_splits(job, &mut cut_all, events, interrupted)?;
    publish(output, done, events, interrupted)
}

/// Gives a complete output its name.
fn publish(
    output: OutputDirectory,
    done: Done,
    events: &mut dyn FnMut(Event),
    interrupted: &AtomicUsize,
) -> Result<Summary> {
    events(Event::PhaseBegan(Phase::Publish, 0));
    output.publish(|| Ok(RunError::if_interrupted(interrupted)?))?;
    done.notices.into_iter().for_each(|notice| events(Event::Notice(notice)));
    Ok(done.summary)
}

/// Merges the rows of outputs into one. The job's source is these outputs.
pub(crate) fn run_counted(
    job: &Job,
    outputs: Vec<CountedOutput>,
    events: &mut dyn FnMut(Event),
    interrupted: &Arc<AtomicUsize>,
) -> Result<Summary> {
    let mut notice = |notice: Notice| events(Event::Notice(notice));
    let resolved = Resolved::new(job, &mut notice)?;
    let (output, directory) = begin_output(job, &mut notice)?;
    let store = Store::bounded(resolved.maps, Some(directory), resolved.addresses);
    let corpus = Corpus::default();
    let splits = Vec::new().into();
    let phases = Phases { job, resolved: &resolved, output: &output, corpus: &corpus, splits: &splits };
    let done = phases.run(store, Counting::Done(outputs), events, interrupted)?;
    let target = output.target().to_owned();
    let summary = Summary { output: target, ..done.summary };
    publish(output, Done { summary, ..done }, events, interrupted)
}

/// What is known of the documents' terms before the workers start.
enum Counting {
    /// Documents are to be counted, but for those that an earlier run has counted.
    Open(Option<Checkpoint>),
    /// All were counted, in these outputs.
    Done(Vec<CountedOutput>),
}

/// The directory of the output while it is made, and that of scratch files.
fn begin_output(job: &Job, notice: &mut dyn FnMut(Notice)) -> Result<(OutputDirectory, PathBuf)> {
    let RunOptions { scratch, resume, .. } = &job.options;
    let options = OutputOptions {
        force: job.sink.force,
        sync: job.sink.sync,
        resume: *resume,
        scratch: scratch.clone(),
    };
    let output = OutputDirectory::begin(&job.sink.directory, options, notice)?;
    scratch.as_deref().map_or(Ok(()), check_scratch)?;
    let directory = scratch.as_deref().unwrap_or(output.partial()).to_owned();
    Ok((output, directory))
}

/// As [`run()`], for the splits that `cut` makes of the corpus with this number of workers. The output is not published:
/// `read` gets its directory and the summary, and then it is removed.
pub(crate) fn run_unpublished<T>(
    job: &Job,
    cut: &mut CutCorpus,
    events: &mut dyn FnMut(Event),
    cancel: &Cancel,
    read: impl FnOnce(&Path, &Summary) -> Result<T>,
) -> Result<T> {
    let (output, done) = embed_splits(job, cut, events, cancel.flag())?;
    read(output.partial(), &done.summary)
}

/// Cuts the corpus, or a part of it, into splits for this number of workers, in the order of rows.
pub(crate) type CutCorpus<'a> = dyn FnMut(&Corpus, usize) -> Vec<Split> + 'a;

/// Embeds the documents of the splits that `cut` makes. The output is complete and not published yet.
fn embed_splits(
    job: &Job,
    cut: &mut CutCorpus,
    events: &mut dyn FnMut(Event),
    interrupted: &Arc<AtomicUsize>,
) -> Result<(OutputDirectory, Done)> {
    events(Event::PhaseBegan(Phase::Walk, 0));
    let mut notice = |notice: Notice| events(Event::Notice(notice));
    let resolved = Resolved::new(job, &mut notice)?;
    if let Some(why) = job.source.shard.and(unmergeable(&job.settings)) {
        notice(Notice::plain(format!("the parts can't be merged: {}", why.replacen("it ", "each ", 1))));
    }
    let (output, directory) = begin_output(job, &mut notice)?;
    let before_walk = private_memory();
    let walk = WalkOptions {
        threads: resolved.workers,
        interrupted: interrupted.clone(),
        scratch: Some(directory.clone()),
        own: output.own().chain(job.options.own.clone()).filter_map(|path| identity(&path)).collect(),
    };
    let mut copied = 0;
    let mut is_copying = false;
    let corpus = corpus::discover(&job.source, &walk, &mut |bytes| {
        if !std::mem::replace(&mut is_copying, true) {
            events(Event::PhaseBegan(Phase::Copy, 0));
        }
        // One event for each MiB is enough.
        if bytes - copied >= 1 << 20 {
            copied = bytes;
            events(Event::Advanced(0, bytes));
        }
    });
    RunError::if_interrupted(interrupted)?;
    let corpus = corpus?;
    let mut notice = |notice: Notice| events(Event::Notice(notice));
    corpus.notices.iter().cloned().for_each(&mut notice);
    // The list of documents stays in the coordinator's memory to the end.
    let walked = private_memory().saturating_sub(before_walk);
    let store = Store::bounded(resolved.maps.saturating_sub(walked), Some(directory), resolved.addresses);
    let splits: Arc<[Split]> = cut(&corpus, resolved.workers).into();
    let checkpoint = output.checkpoint()?.map(|directory| {
        open_checkpoint(job, &resolved, &directory, (&corpus, &splits), &store, interrupted)
    });
    RunError::if_interrupted(interrupted)?;
    let checkpoint = checkpoint.transpose()?;
    let resumed = checkpoint.as_ref().map_or(0, Checkpoint::documents);
    if checkpoint.as_ref().is_some_and(Checkpoint::has_others) {
        let text = "checkpoint ignored: it was made with other settings or another corpus";
        notice(Notice::plain(text.to_owned()));
    }
    if resumed > 0 {
        let of = counted(corpus.documents.len() as u64, "document", "documents");
        notice(Notice::plain(format!("resuming: an earlier run has counted {resumed} of {of}")));
    }
    let done = Phases { job, resolved: &resolved, output: &output, corpus: &corpus, splits: &splits }.run(
        store,
        Counting::Open(checkpoint),
        events,
        interrupted,
    )?;
    let target = output.target().to_owned();
    let Corpus { unreadable, left_out, .. } = corpus;
    let left_out = left_out + done.summary.left_out;
    let summary = Summary { output: target, unreadable, left_out, resumed: resumed as u64, ..done.summary };
    Ok((output, Done { summary, ..done }))
}

/// What earlier runs have counted for the same output from the same corpora, in the same way.
fn open_checkpoint(
    job: &Job,
    resolved: &Resolved,
    directory: &Folder,
    (corpus, splits): (&Corpus, &[Split]),
    store: &Store,
    interrupted: &AtomicUsize,
) -> Result<Checkpoint> {
    let numbers = resolved.tally.counting.row_numbers();
    let terms = job.model.as_ref().and_then(|model| model.vocabulary.as_ref());
    let mut checksum = crc32fast::Hasher::new();
    for term in terms.iter().flat_map(|vocabulary| vocabulary.terms()) {
        checksum.update(&(term.len() as u64).to_le_bytes());
        checksum.update(term);
    }
    let canonical = |path: &Path| {
        let path = std::fs::canonicalize(path).with_context(|| path.display().to_string())?;
        Ok(display_path(path.as_os_str().as_bytes()))
    };
    let corpora = job.source.paths.iter().map(|path| canonical(path));
    // The paths of a list may be relative to the working directory.
    let list = job.source.list.iter().map(|_| canonical(Path::new(".")));
    let identity = serde_json::to_string(&(
        env!("CARGO_PKG_VERSION"),
        &job.settings,
        job.sink.hash_terms,
        &job.source.records,
        // Hidden members of archives count among the others.
        job.source.hidden && splits.iter().filter_map(Split::records).any(|range| range.format.is_archive()),
        checksum.finalize(),
        corpora.chain(list).collect::<Result<Vec<_>>>()?,
    ))?;
    let checkpoint =
        Checkpoint::open(directory, identity, (&corpus.documents, splits), numbers, store, interrupted);
    let shown = || display_path(directory.path().as_os_str().as_bytes());
    let foreign = match job.options.scratch {
        Some(_) => ErrorKind::ScratchForeign,
        None => ErrorKind::OutputForeign,
    };
    checkpoint.map_err(|error| Refusal::of_kind_or(foreign, error, shown))
}

/// A pool without workers.
fn pool(
    options: &RunOptions,
    source: &Source,
    corpus: &Corpus,
    workers: usize,
) -> Result<Box<dyn WorkerPool>> {
    Ok(match options.mode {
        Mode::Processes => {
            // Standard input is open already.
            let named = source.paths.iter().filter(|path| !is_standard_input(path));
            let named: Vec<PathBuf> = named.cloned().collect();
            let path = |row| OsStr::from_bytes(corpus.documents.path(row)).into();
            let listed = corpus.listed.clone().map(path);
            Box::new(Processes::new(Sandbox::new(options.confinement, &named, listed)?)?)
        }
        // Inline is one worker. It runs in a thread so that the coordinator can watch it.
        Mode::Threads | Mode::Inline => Box::new(Threads::new(workers, options.guards)?),
    })
}

/// Strict means that all of it is enforced.
fn refuse_half_a_sandbox(job: &Job) -> Result<(), Fault> {
    let wrong = |with: &str| {
        Err(Fault::new(ErrorKind::Usage, format!("the strict sandbox is not available with {with}")))
    };
    match job.options.confinement {
        Confinement::Strict if job.options.mode != Mode::Processes => wrong("threads or inline mode"),
        Confinement::Strict if job.source.follow => wrong("followed links: they may lead out of the corpus"),
        _ => Ok(()),
    }
}

/// Standard input can be read once, and not compared with that of an earlier run.
fn refuse_impossible_input(job: &Job) -> Result<(), Fault> {
    let wrong = |text: &str| Err(Fault::new(ErrorKind::Usage, text));
    let source = &job.source;
    let of_corpus = source.paths.iter().filter(|path| is_standard_input(path)).count();
    let of_list = source.list.iter().filter(|list| list.is_standard_input()).count();
    match of_corpus + of_list {
        2.. => wrong("-: standard input can be read once only"),
        1 if of_corpus == 1 && job.options.resume => {
            wrong("-: a run on standard input can't be resumed: put its text into a file")
        }
        _ => Ok(()),
    }
}

/// The phases that workers take part in.
struct Phases<'a> {
    job: &'a Job,
    resolved: &'a Resolved<'a>,
    output: &'a OutputDirectory,
    corpus: &'a Corpus,
    splits: &'a Arc<[Split]>,
}

/// What they have done.
struct Done {
    /// Without what only the walk knows.
    summary: Summary,
    notices: Vec<Notice>,
}

impl Phases<'_> {
    /// Runs a pool of workers through all of them.
    fn run(
        &self,
        store: Store,
        counting: Counting,
        events: &mut dyn FnMut(Event),
        interrupted: &Arc<AtomicUsize>,
    ) -> Result<Done> {
        let Phases { job, resolved, corpus, splits, .. } = *self;
        let options = &job.options;
        let wanted = resolved.workers;
        let mut pool = pool(options, &job.source, corpus, wanted)?;
        if let Some(why) = pool.unfiltered() {
            let text = format!("workers run without a filter of system calls: {why}");
            events(Event::Notice(Notice::new(NoticeKind::Unfiltered, text)));
        }
        let workers = wanted.min(pool.capacity());
        if workers < wanted {
            let text = format!("the limit of open files allows {workers} of {wanted} workers");
            events(Event::Notice(Notice::new(NoticeKind::FewerForFiles, text)));
        }
        let mut supervision = Supervision {
            pool: pool.as_mut(),
            workers,
            patience: options.document_timeout,
            interrupted: interrupted.clone(),
            events,
            now: &Instant::now,
            kills_for_memory: &kills_for_memory,
            heartbeats: Heartbeats::new(workers).context("mapping the heartbeats")?,
            started: 0,
            starting: Duration::ZERO,
            messages: 0,
        };
        let mut settings = resolved.tally.clone();
        // The page cache can't hold them for a later run, and to make room for each page takes longer than to drop it.
        settings.reading.drops_behind = total_bytes(splits).is_some_and(|bytes| bytes > available_memory());
        let tally_job = TallyJob {
            documents: corpus.documents.clone(),
            splits: splits.clone(),
            settings,
            store,
            read_limits: ReadLimits::new(options.max_reads, options.read_latency)
                .context("making the permits to read")?,
            max_crashes: options.max_crashes,
            run_bytes: resolved.run_bytes,
        };
        let done = self.tally_and_finish(&tally_job, counting, &mut supervision);
        // Other errors may be a consequence of this one.
        tally_job.store.check()?;
        let Supervision { started, starting, messages, .. } = supervision;
        // The pool goes first: what its workers still hold must not outlive the output.
        let mut done = done.map_err(|error| named(error, corpus, splits))?;
        done.summary.sandbox = pool.confinement();
        done.summary.scratch_bytes += corpus.copied;
        done.notices.extend(scratch_in_memory(&tally_job.store, done.summary.scratch_bytes));
        Ok(Done {
            summary: Summary { workers, workers_started: started.into(), starting, messages, ..done.summary },
            ..done
        })
    }

    /// The rows of outputs, loaded.
    fn load(
        &self,
        outputs: Vec<CountedOutput>,
        store: &Store,
        supervision: &mut Supervision,
    ) -> Result<Tallied> {
        let Supervision { events, interrupted, .. } = supervision;
        events(Event::PhaseBegan(Phase::Tally, outputs.iter().map(CountedOutput::rows).sum()));
        // Tables of the second half that are accessed at random get memory, too.
        let reserved = store.reserve_quarter();
        let loading = Loading {
            store,
            counts_occurrences: matches!(
                self.resolved.finish.columns,
                Columns::Terms(Pruning { max_features: Some(_), .. })
            ),
            threads: self.resolved.workers,
            interrupted,
            documents: &AtomicU64::new(0),
        };
        let mut loaded = load(&outputs, &loading, &mut |documents| events(Event::Advanced(documents, 0)))?;
        // The records of a file that several parts have read are numbered through.
        let mut before: Option<(String, u64)> = None;
        for (output, loaded) in outputs.iter().zip(&mut loaded) {
            let continues = output.manifest.shard.is_some_and(|part| part.continues_file);
            if let Some((path, next)) = before.as_ref().filter(|_| continues) {
                loaded.continue_from(path, *next);
            }
            // A part without documents changes nothing.
            if loaded.rows() > 0 {
                before = loaded.end();
            }
        }
        drop(reserved);
        let (mut totals, mut rows) = (Totals::default(), 0);
        let segments = loaded.into_iter().map(|output| {
            let first = rows;
            rows += output.rows() as usize;
            output.into_segment(&mut totals, first)
        });
        let segments = segments.collect();
        Ok(Tallied::of_outputs(segments, totals, store)?)
    }

    /// The phases, and the files that they fill.
    fn tally_and_finish(
        &self,
        tally_job: &TallyJob,
        counting: Counting,
        supervision: &mut Supervision,
    ) -> Result<Done> {
        let Phases { job, resolved, output, .. } = *self;
        let store = &tally_job.store;
        let memory_before = store.memory_share(1);
        let tallied = match counting {
            Counting::Open(checkpoint) => tally(tally_job, checkpoint, supervision)?,
            Counting::Done(outputs) => self.load(outputs, store, supervision)?,
        };
        let totals = tallied.totals.clone();
        if tallied.places.is_empty() && job.source.shard.is_none() {
            let path = job.source.first().to_owned();
            return Err(CorpusError::Empty { path, why: None, left_out: totals.left_out > 0 }.into());
        }
        let container = resolved.finish.container;
        let mut matrix = MatrixFile::new(container, output.create(MatrixFile::name(container))?)?;
        let finds_terms = matches!(resolved.finish.columns, Columns::Terms(_));
        let files = Files {
            matrix: matrix.handle()?,
            documents: output.create(DOCUMENTS)?,
            terms: finds_terms.then(|| output.create(VOCABULARY)).transpose()?,
        };
        let line_files =
            (files.documents.try_clone()?, files.terms.as_ref().map(File::try_clone).transpose()?);
        let finish_job = resolved.finish.clone();
        let mut finish = Finish::new(tallied, finish_job, files, store, supervision)?;
        let merged = finish.merge(supervision)?;
        let rows = finish.rows() as u64;
        let Resolved { settings, model, .. } = *resolved;
        refuse_too_wide(container, merged.columns, finish.indptr())?;
        let shape = Shape {
            rows,
            columns: merged.columns,
            nonzeros: merged.nonzeros,
            dtype: resolved.finish.values.dtype,
        };
        let layout = match finish.measure_pieces(supervision) {
            Ok(pieces) => matrix.lay_out(&shape, pieces)?,
            Err(error) => return Err(term_notices::explained(error, settings, model, &finish)),
        };
        let (document_bytes, term_bytes) = finish.line_bytes();
        reserve(&line_files.0, DOCUMENTS, document_bytes)?;
        line_files.1.as_ref().map_or(Ok(()), |file| reserve(file, VOCABULARY, term_bytes))?;
        let emitted = finish.emit(layout, supervision);
        let emitted = emitted.map_err(|error| term_notices::explained(error, settings, model, &finish))?;
        matrix.finish(&layout, finish.indptr(), [emitted.indices, emitted.data])?;
        write_columns(job, output, &finish, &merged)?;
        let counts = counts(&totals, rows, &merged, finish.mean_length());
        let manifest = ManifestFile {
            bowline: env!("CARGO_PKG_VERSION").to_owned(),
            matrix: MatrixFile::name(container).to_owned(),
            settings: job.settings.clone(),
            counts,
            merge: mergeable(settings, MatrixFile::name(container), job.sink.hash_terms),
            shard: job.source.shard.map(|shard| Part {
                shard,
                continues_file: self
                    .splits
                    .first()
                    .and_then(Split::records)
                    .is_some_and(|range| range.start > 0),
            }),
        };
        output.write(MANIFEST, |out| manifest.write(out))?;
        let failures = totals.failed.iter().take(NAMED_FAILURES);
        let records = &resolved.tally.records;
        let failures = failures.map(|&(row, failure)| FailedDocument {
            document: finish.name(row).to_string(),
            failure,
            cause: finish.cause(row).unwrap_or_else(|| failure.with_fields(records).to_string()),
        });
        let failures = failures.collect();
        Ok(Done {
            summary: Summary {
                output: PathBuf::new(),
                counts,
                bytes: totals.bytes,
                failures,
                unreadable: Vec::new(),
                left_out: totals.left_out,
                resumed: 0,
                workers: 0,
                workers_started: 0,
                starting: Duration::ZERO,
                messages: 0,
                scratch_bytes: store.on_disk(),
                map_bytes: memory_before.saturating_sub(store.memory_share(1)) as u64 + store.on_disk(),
                sandbox: "none",
            },
            notices: term_notices::after_run(settings, model, &counts, &finish),
        })
    }
}

/// The notice that scratch files were used, have these bytes, and lie in memory.
fn scratch_in_memory(store: &Store, bytes: u64) -> Option<Notice> {
    let directory = store.scratch().filter(|directory| bytes > 0 && is_in_memory(directory))?;
    let shown = display_path(directory.as_os_str().as_bytes());
    let text = format!("{shown} is in memory, and the scratch files in it took {bytes} bytes");
    Some(Notice::new(NoticeKind::ScratchInMemory, text))
}

/// What was counted.
fn counts(totals: &Totals, rows: u64, merged: &Merged, mean_length: f64) -> Counts {
    Counts {
        documents: rows,
        failed: totals.failed.len() as u64,
        columns: merged.columns,
        nonzeros: merged.nonzeros,
        tokens: totals.tokens,
        unknown: totals.unknown,
        mean_length,
    }
}

/// What is known of the columns and not written by workers: terms of buckets or of a given vocabulary, idf.
fn write_columns(job: &Job, output: &OutputDirectory, finish: &Finish, merged: &Merged) -> Result<()> {
    if let Some(buckets) = job.settings.columns.buckets() {
        if job.sink.hash_terms {
            let terms = finish.terms_of_buckets(buckets).context("mapping the terms of buckets")?;
            output.write(HASH_TERMS, |out| write_hash_terms(out, terms.iter()))?;
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

/// An error about a row, with the document's path.
fn named(error: anyhow::Error, corpus: &Corpus, splits: &[Split]) -> anyhow::Error {
    let document = match error.downcast_ref::<RunError>() {
        Some(RunError::Stuck(Some(key)) | RunError::Crashed(_, Some(key))) => *key,
        _ => return error,
    };
    let Some(split) = splits.get(document.split as usize) else { return error };
    let path = corpus.documents.shown(split.file_of(document.ordinal));
    error.context(match split.records() {
        None => path,
        Some(_) if document.ordinal == OPENING => path,
        // How many records are before the range is not known yet.
        Some(range) if range.start > 0 => {
            format!("{path}: record {} of those from byte {} on", document.ordinal, range.start)
        }
        Some(_) => format!("{path}: record {}", document.ordinal),
    })
}

/// Device and inode of a file or directory.
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}
