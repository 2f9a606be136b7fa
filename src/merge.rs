//! Merges outputs: what is asked for, and which outputs go together.

use crate::Source;
use crate::cancel::Cancel;
use crate::coordinator::Shard;
use crate::error::{Error, ErrorKind, Fault};
use crate::event::Event;
use crate::job::{Job, RunOptions, Sink, Summary};
use crate::output::{CountedOutput, first_difference};
use crate::run::{of_run, run_counted};
use crate::settings::{Base, Settings, SettingsBuilder};
use anyhow::Result;
use std::path::PathBuf;

/// What a merge does.
#[derive(Clone, Debug)]
pub struct MergeJob {
    /// The directories of the outputs, in the order of rows.
    pub outputs: Vec<PathBuf>,
    /// The columns and the values of the merged output. How texts became terms, and buckets, are those of the outputs.
    pub settings: SettingsBuilder,
    /// Where the merged output goes.
    pub sink: Sink,
    /// How it is done.
    pub options: RunOptions,
}

/// Merges outputs that contain counts of all their terms, or hashed counts. The result is that of a run over all of their
/// documents.
///
/// # Errors
/// If the outputs do not go together, or as for [`run`](crate::run()). No output is written then.
pub fn merge(job: &MergeJob, events: &mut dyn FnMut(Event), cancel: &Cancel) -> Result<Summary, Error> {
    attempt(job, events, cancel).map_err(of_run)
}

fn attempt(job: &MergeJob, events: &mut dyn FnMut(Event), cancel: &Cancel) -> Result<Summary> {
    let outputs = job.outputs.iter().map(|path| CountedOutput::open(path)).collect::<Result<Vec<_>>>()?;
    let Some(first) = outputs.first() else {
        return Err(Fault::new(ErrorKind::Usage, "there is no output to merge").into());
    };
    for other in &outputs[1..] {
        let difference = first_difference(&first.manifest.settings, &other.manifest.settings)?;
        if let Some((name, [ours, theirs])) = difference {
            let text =
                format!("{}: its {name} is {theirs}, but that of {} is {ours}", other.shown, first.shown);
            return Err(Fault::new(ErrorKind::Usage, text).into());
        }
    }
    check_parts(&outputs)?;
    let settings = settings(&job.settings, &first.manifest.settings)?;
    let source = Source { paths: job.outputs.clone(), ..Source::default() };
    let run = Job {
        source,
        settings,
        model: None,
        sink: job.sink.clone(),
        options: RunOptions { resume: false, ..job.options.clone() },
    };
    run_counted(&run, outputs, events, cancel.flag())
}

/// The settings of the merged output.
fn settings(chosen: &SettingsBuilder, earlier: &Settings) -> Result<Settings> {
    let columns = &earlier.columns;
    let chosen = SettingsBuilder {
        features: Some(columns.features),
        n_features: columns.n_features,
        alternate_sign: columns.alternate_sign,
        ..chosen.clone()
    };
    let built = chosen.build(Base::default())?;
    Ok(Settings { text: earlier.text.clone(), ..built })
}

/// Refuses parts of a corpus that are not all of its parts in order.
fn check_parts(outputs: &[CountedOutput]) -> Result<(), Fault> {
    let wrong = |text: String| Err(Fault::new(ErrorKind::Usage, text));
    let parts = || outputs.iter().filter_map(|output| output.manifest.shard.map(|part| part.shard));
    let Some(Shard { of, .. }) = parts().next() else { return Ok(()) };
    for (output, expected) in outputs.iter().zip(1..) {
        match output.manifest.shard.map(|part| part.shard) {
            None => {
                return wrong(format!("{}: it is no part of a corpus, but other outputs are", output.shown));
            }
            Some(Shard { part, of: theirs }) if expected > of => {
                let shown = &output.shown;
                return wrong(format!("{shown}: it is part {part} of {theirs}, behind all {of} parts"));
            }
            Some(shard) if shard != (Shard { part: expected, of }) => {
                let (Shard { part, of: theirs }, shown) = (shard, &output.shown);
                return wrong(format!(
                    "{shown}: it is part {part} of {theirs}, where part {expected} of {of} is expected"
                ));
            }
            Some(_) => {}
        }
    }
    match outputs.len() as u32 {
        parts if parts < of => wrong(format!("part {} of {of} is missing", parts + 1)),
        _ => Ok(()),
    }
}
