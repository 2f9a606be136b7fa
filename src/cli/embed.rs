//! `bowline embed`: turns the options into a run, passes its events to the progress bar, the report and the notices, and
//! prints its result as a summary.

use super::args::{EmbedArgs, RunArgs, SinkArgs};
use super::estimate::estimate;
use super::event_lines::EventLines;
use super::hints;
use super::messages::say;
use super::progress::Progress;
use super::report::{Report, Stopwatch};
use super::result_file::ResultFile;
use super::values::Progress as When;
use crate::cancel::Cancel;
use crate::corpus::{InputFormat, PathList, RecordOptions, Source, display_path};
use crate::error::{Error, ErrorKind, Fault};
use crate::event::{Event, Notice};
use crate::job::{FailedDocument, Job, RunOptions, Sink, Summary};
use crate::model::Model;
use crate::output::Format;
use crate::pool::{ThreadGuards, limit_data};
use crate::run::run;
use crate::settings::{Base, Settings, SettingsBuilder, name};
use crate::word_list;
use anyhow::{Context as _, Result};
use bowline_workers::counted::counted;
use bowline_workers::crash::hold_crashed_threads;
use nix::sys::prctl::set_timerslack;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

/// The guards of worker threads. They change this process, which runs nothing else.
const GUARDS: ThreadGuards =
    ThreadGuards { hold_crashed: Some(hold_crashed_threads), limit_memory: Some(limit_data) };

/// Runs the command. Returns whether every document was embedded.
///
/// # Errors
/// The error that kept the run from finishing.
pub fn embed(args: &EmbedArgs, cancel: &Cancel) -> Result<bool> {
    let job = job(args, cancel)?;
    if let Some(format) = args.estimate {
        return estimate(&job, format, args, cancel);
    }
    if !args.read_latency.is_zero() {
        // Sleeps end up to this late (default: 0.05 ms); workers inherit it. If it can't be set, delays are slightly longer.
        let _ = set_timerslack(1);
    }
    perform(&args.run, cancel, |events| run(&job, events, cancel))
}

/// Runs `act`, passes its events to the progress bar, the report and the notices, and prints its result. Returns whether every
/// document was embedded.
///
/// # Errors
/// The error that kept it from finishing.
pub(super) fn perform(
    args: &RunArgs,
    cancel: &Cancel,
    act: impl FnOnce(&mut dyn FnMut(Event)) -> Result<Summary, Error>,
) -> Result<bool> {
    let report_file =
        args.report.as_deref().map(|path| ResultFile::promise(path, cancel.flag())).transpose()?;
    let mut stopwatch = Stopwatch::start();
    let mut progress = Progress::new(args.progress);
    let mut lines = (args.progress == When::Json).then(|| EventLines::new(args.quiet));
    let mut on_event = |event: Event| {
        progress.on_event(&event);
        if let Some(lines) = &mut lines {
            lines.on_event(&event);
        }
        match event {
            Event::Notice(notice) if !args.quiet && args.progress != When::Json => print_notice(&notice),
            event => stopwatch.on_event(event),
        }
    };
    let summary = act(&mut on_event);
    progress.clear();
    let summary = summary?;
    let report = Report::new(name(&args.mode), &summary, stopwatch);
    if let Some(file) = report_file {
        file.write(&serde_json::to_vec_pretty(&report)?)?;
    }
    match &lines {
        Some(lines) => lines.summarise(&report, &summary),
        None if args.quiet => {}
        None => summarise(&report, &summary),
    }
    Ok(summary.is_complete())
}

/// The run that the options ask for.
///
/// # Errors
/// Options that contradict each other or an earlier output; lists and outputs that can't be read.
pub fn job(args: &EmbedArgs, cancel: &Cancel) -> Result<Job> {
    refuse_useless(args)?;
    let mut settings = args.settings();
    let trims = settings.has_plain_words(None);
    let model = args.vocabulary.as_deref().map(|path| {
        let shown = || format!("--vocabulary {}", display_path(path.as_os_str().as_bytes()));
        Model::read_unnamed(path, trims, cancel.flag()).with_context(shown)
    });
    let model = model.transpose()?;
    let earlier = model.as_ref().and_then(|model| model.earlier.as_ref()).map(|earlier| &earlier.settings);
    add_stop_words(args, &mut settings, earlier, cancel)?;
    let settings = settings.build(Base { earlier, has_vocabulary: model.is_some() })?;
    Ok(Job {
        source: Source {
            paths: args.corpus.clone(),
            list: args.files_from.clone().map(|path| PathList { path, null: args.null }),
            globs: args.globs.clone(),
            hidden: args.hidden,
            follow: args.follow,
            format: args.input_format,
            records: RecordOptions {
                text_fields: args.text_fields.clone(),
                id_field: args.id_field.clone(),
                delimiter: args.delimiter,
                no_header: args.no_header,
            },
            shard: args.shard,
        },
        settings,
        model,
        sink: sink(args.output.clone().unwrap_or_default(), &args.sink, args.hash_terms),
        options: RunOptions {
            max_reads: args.max_reads,
            read_latency: args.read_latency,
            resume: args.resume,
            document_timeout: Duration::from_secs_f64(args.document_timeout),
            max_crashes: args.max_crashes,
            ..options(&args.run)
        },
    })
}

/// What is written to `directory`.
pub(super) fn sink(directory: PathBuf, args: &SinkArgs, hash_terms: bool) -> Sink {
    Sink {
        directory,
        format: if args.dense { Format::Npy } else { args.format },
        hash_terms,
        force: args.force,
        sync: !args.no_sync,
    }
}

/// How a run is done, as far as it is the same for each kind of run.
pub(super) fn options(args: &RunArgs) -> RunOptions {
    RunOptions {
        mode: args.mode,
        workers: args.workers.map(|workers| workers as usize),
        memory: args.memory(),
        scratch: args.scratch.clone(),
        confinement: args.sandbox,
        guards: GUARDS,
        own: args.report.iter().cloned().collect(),
        ..RunOptions::default()
    }
}

/// Refuses options that have no meaning with the input format, or without another option.
fn refuse_useless(args: &EmbedArgs) -> Result<(), Fault> {
    let needs =
        |option: &str, needed: &str| Err(Fault::new(ErrorKind::Usage, format!("{option} needs {needed}")));
    let format = args.input_format;
    let has_fields = matches!(
        format,
        InputFormat::Auto | InputFormat::Jsonl | InputFormat::Csv | InputFormat::Tsv | InputFormat::Parquet
    );
    let has_table = matches!(format, InputFormat::Auto | InputFormat::Csv | InputFormat::Tsv);
    let (fields, table) =
        ("--input-format auto, jsonl, csv, tsv or parquet", "--input-format auto, csv or tsv");
    match () {
        () if !args.text_fields.is_empty() && !has_fields => needs("--text-field", fields),
        () if args.id_field.is_some() && !has_fields => needs("--id-field", fields),
        () if args.delimiter.is_some() && !has_table => needs("--delimiter", table),
        () if args.no_header && !has_table => needs("--no-header", table),
        () if args.null && args.files_from.is_none() => needs("--null", "--files-from"),
        () => Ok(()),
    }
}

fn add_stop_words(
    args: &EmbedArgs,
    settings: &mut SettingsBuilder,
    earlier: Option<&Settings>,
    cancel: &Cancel,
) -> Result<()> {
    if let Some(list) = &args.stop_words {
        let trims = settings.has_plain_words(earlier);
        let shown = || format!("--stop-words {}", display_path(list.as_bytes()));
        settings.stop_words = Some(word_list::stop_words(list, trims, cancel.flag()).with_context(shown)?);
    }
    Ok(())
}

pub(super) fn print_notice(notice: &Notice) {
    let hint = hints::of_notice(&notice.kind).map(|hint| format!(" ({hint})")).unwrap_or_default();
    say(&format!("bowline: {notice}{hint}"));
}

fn summarise(report: &Report, summary: &Summary) {
    for (path, cause) in &summary.unreadable {
        say(&format!("bowline: {}: {cause}", display_path(path.as_os_str().as_bytes())));
    }
    for FailedDocument { document, failure, cause } in &summary.failures {
        let hint = hints::of_failure(*failure).map(|hint| format!(" ({hint})")).unwrap_or_default();
        say(&format!("bowline: {document}: {cause}{hint}"));
    }
    if report.failed as usize > summary.failures.len() {
        let more = report.failed as usize - summary.failures.len();
        say(&format!("bowline: and {more} more failed; documents.jsonl lists all"));
    }
    let mut parts = vec![counted(report.documents, "document", "documents")];
    if report.failed > 0 {
        parts.push(format!("{} failed", report.failed));
    }
    if summary.left_out > 0 {
        parts.push(counted(summary.left_out, "entry left out", "entries left out"));
    }
    parts.push(counted(report.tokens, "token", "tokens"));
    if report.unknown > 0 {
        let share = 100.0 * report.unknown as f64 / report.tokens as f64;
        parts.push(format!("{share:.1} % of them unknown to the vocabulary"));
    }
    parts.push(counted(report.columns, "column", "columns"));
    parts.push(counted(report.nonzeros, "non-zero", "non-zeros"));
    let megabytes = report.bytes as f64 / 1e6;
    say(&parts.join(", "));
    say(&format!(
        "{megabytes:.1} MB in {:.2} s, {:.0} MB/s, in {}",
        report.seconds,
        megabytes / report.seconds,
        display_path(summary.output.as_os_str().as_bytes())
    ));
}
