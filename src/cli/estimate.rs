//! `bowline embed --estimate`: prints what a run is expected to come to, as a table for people or as JSON for scripts.

use super::args::EmbedArgs;
use super::embed::print_notice;
use super::messages::{self, write_line};
use super::progress::Progress;
use super::values::EstimateFormat;
use crate::cancel::Cancel;
use crate::estimate::{self, Estimate, Interval};
use crate::event::Event;
use crate::job::Job;
use anyhow::Result;
use bowline_workers::counted::counted;
use std::io::{self, Write};

/// Estimates the run and prints the result. Returns true.
///
/// # Errors
/// The error that kept the sample from being read, or the writer's.
pub fn estimate(job: &Job, format: EstimateFormat, args: &EmbedArgs, cancel: &Cancel) -> Result<bool> {
    let mut progress = Progress::new(args.run.progress);
    let mut on_event = |event: Event| {
        progress.on_event(&event);
        match event {
            Event::Notice(notice) if !args.run.quiet => print_notice(&notice),
            _ => {}
        }
    };
    let estimate = estimate::estimate(job, &mut on_event, cancel);
    progress.clear();
    let estimate = estimate?;
    let out = &mut io::stdout().lock();
    match format {
        EstimateFormat::Json => writeln!(out, "{}", messages::json(&estimate)?)?,
        EstimateFormat::Text => print(out, &estimate)?,
    }
    out.flush()?;
    Ok(true)
}

fn print(out: &mut dyn Write, estimate: &Estimate) -> io::Result<()> {
    let mut line = |name: &str, value: String, between: Option<(String, String)>| {
        let between = between.map(|(low, high)| format!("  {low} to {high}")).unwrap_or_default();
        write_line(out, &format!("{name:<24}{value:>16}{between}"))
    };
    let mut row = |name: &str, interval: Interval<u64>, shown: fn(u64) -> String| {
        let Interval { low, value, high } = interval;
        line(name, shown(value), (low < high).then(|| (shown(low), shown(high))))
    };
    row("documents", estimate.documents, grouped)?;
    if estimate.failed.value > 0 {
        row("failed documents", estimate.failed, grouped)?;
    }
    row("tokens", estimate.tokens, grouped)?;
    row("columns", estimate.columns, grouped)?;
    row("non-zeros", estimate.nonzeros, grouped)?;
    row("bytes of output", estimate.output_bytes, size)?;
    row("memory of rows", estimate.map_bytes, size)?;
    if estimate.scratch_bytes.high > 0 {
        row("scratch files", estimate.scratch_bytes, size)?;
    }
    let Interval { low, value, high } = estimate.seconds;
    line("seconds", format!("{value:.1}"), Some((format!("{low:.1}"), format!("{high:.1}"))))?;
    let memory = size(estimate.map_memory);
    let held = estimate.map_bytes;
    let fits = match () {
        () if held.high <= estimate.map_memory => {
            format!("the rows fit into the {memory} of memory for them")
        }
        () if held.low > estimate.map_memory => {
            format!("the rows do not fit into the {memory} of memory for them: the rest takes scratch files")
        }
        () => {
            format!("the rows may not fit into the {memory} of memory for them: then they take scratch files")
        }
    };
    let workers = counted(estimate.workers, "worker", "workers");
    write_line(out, &format!("{fits}; {workers} may take {} each", size(estimate.worker_memory)))?;
    for failure in &estimate.failures {
        let share = 100.0 * failure.share;
        let share = if share < 0.1 { "less than 0.1".to_owned() } else { format!("about {share:.1}") };
        write_line(out, &format!("{share} % of documents would fail: {}", failure.cause))?;
    }
    if estimate.columns.value == 0 && !estimate.is_exact {
        write_line(out, "perhaps no term is left: then the run ends with an error and writes no output")?;
    }
    let documents = counted(estimate.sampled_documents, "document", "documents");
    let read = size(estimate.sampled_bytes);
    write_line(
        out,
        &match estimate.is_exact {
            true => format!("exact, but for memory and seconds: all was read, {documents}, {read}"),
            false => format!(
                "estimated from {documents}, {read}; about 95 % sure that each number is between the two"
            ),
        },
    )
}

/// A number with a comma between groups of three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = (digits.len() - 1) % 3 + 1;
    let (head, tail) = digits.split_at(first);
    let groups = tail.as_bytes().chunks(3).map(|group| String::from_utf8_lossy(group));
    std::iter::once(head.into()).chain(groups).collect::<Vec<_>>().join(",")
}

/// Bytes in a unit that fits.
fn size(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes < 1e3 => format!("{bytes} B"),
        bytes if bytes < 1e6 => format!("{:.1} kB", bytes / 1e3),
        bytes if bytes < 1e9 => format!("{:.1} MB", bytes / 1e6),
        bytes => format!("{:.1} GB", bytes / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        let numbers = [0, 12, 999, 1000, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "12", "999", "1,000", "1,234,567"]);
        assert_eq!([12, 1_500, 2_340_000, 5_000_000_000].map(size), ["12 B", "1.5 kB", "2.3 MB", "5.0 GB"]);
    }
}
