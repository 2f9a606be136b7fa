//! `--progress json`: each [`Event`] and the result of a run as a line of JSON on standard error, for programs.
//!
//! The names of events and fields are an interface: they may get company, but keep their names and meanings.

use super::hints;
use super::messages;
use super::report::Report;
use crate::corpus::display_path;
use crate::event::{Event, Phase};
use crate::job::{FailedDocument, Summary};
use serde::Serialize;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, Instant};

/// Time between two lines of progress, at least.
const INTERVAL: Duration = Duration::from_millis(100);

/// Writes the lines.
pub struct EventLines {
    /// Whether notices, failures and the summary are left out.
    quiet: bool,
    began: Instant,
    phase: Phase,
    total: Option<u64>,
    total_bytes: Option<u64>,
    /// When the last line of progress was written.
    last: Option<Instant>,
    /// Units and bytes that no line has shown yet.
    pending: Option<(u64, u64)>,
}

/// A line.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Phase {
        phase: &'static str,
        total: Option<u64>,
        seconds: f64,
    },
    Progress {
        phase: &'static str,
        done: u64,
        total: Option<u64>,
        bytes: u64,
        total_bytes: Option<u64>,
        seconds: f64,
    },
    Notice {
        text: String,
        hint: Option<String>,
    },
    WorkerLost {
        seconds: f64,
    },
    Unreadable {
        path: String,
        cause: &'a str,
    },
    Failure {
        path: &'a str,
        cause: String,
        hint: Option<&'static str>,
    },
    Summary {
        output: String,
        documents: u64,
        failed: u64,
        left_out: u64,
        resumed: u64,
        tokens: u64,
        unknown: u64,
        columns: u64,
        nonzeros: u64,
        bytes: u64,
        seconds: f64,
    },
}

impl EventLines {
    /// A writer. If `quiet`, it writes phases, progress and lost workers only.
    pub fn new(quiet: bool) -> Self {
        EventLines {
            quiet,
            began: Instant::now(),
            phase: Phase::Walk,
            total: None,
            total_bytes: None,
            last: None,
            pending: None,
        }
    }

    /// Writes the line of an event. Progress is written a few times a second, and at the end of each phase.
    pub fn on_event(&mut self, event: &Event) {
        match event {
            Event::PhaseBegan(phase, total) => {
                self.flush();
                self.phase = *phase;
                self.total = (*total > 0).then_some(*total);
                (self.total_bytes, self.last) = (None, None);
                write(&Line::Phase { phase: phase.name(), total: self.total, seconds: self.seconds() });
            }
            Event::TotalBytes(bytes) => (self.total, self.total_bytes) = (None, Some(*bytes)),
            Event::Advanced(units, bytes) => {
                self.pending = Some((*units, *bytes));
                if self.last.is_none_or(|last| last.elapsed() >= INTERVAL) {
                    self.flush();
                }
            }
            Event::WorkerLost => write(&Line::WorkerLost { seconds: self.seconds() }),
            Event::Notice(notice) if !self.quiet => {
                write(&Line::Notice { text: notice.to_string(), hint: hints::of_notice(&notice.kind) });
            }
            Event::Notice(_) | Event::WorkerLeft(_) => {}
        }
    }

    /// Writes the lines of the result.
    pub fn summarise(&self, report: &Report, summary: &Summary) {
        if self.quiet {
            return;
        }
        for (path, cause) in &summary.unreadable {
            write(&Line::Unreadable { path: display_path(path.as_os_str().as_bytes()), cause });
        }
        for FailedDocument { document, failure, cause } in &summary.failures {
            write(&Line::Failure { path: document, cause: cause.clone(), hint: hints::of_failure(*failure) });
        }
        write(&Line::Summary {
            output: display_path(summary.output.as_os_str().as_bytes()),
            documents: report.documents,
            failed: report.failed,
            left_out: summary.left_out,
            resumed: report.resumed,
            tokens: report.tokens,
            unknown: report.unknown,
            columns: report.columns,
            nonzeros: report.nonzeros,
            bytes: report.bytes,
            seconds: report.seconds,
        });
    }

    /// Writes the progress that no line has shown yet.
    fn flush(&mut self) {
        if let Some((done, bytes)) = self.pending.take() {
            self.last = Some(Instant::now());
            let (phase, total, total_bytes) = (self.phase.name(), self.total, self.total_bytes);
            write(&Line::Progress { phase, done, total, bytes, total_bytes, seconds: self.seconds() });
        }
    }

    fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

fn write(line: &Line) {
    // A line has nothing that JSON lacks. If standard error is closed there is nowhere to report it.
    if let Ok(mut text) = messages::json_line(line) {
        text.push('\n');
        let _ = io::stderr().write_all(text.as_bytes());
    }
}
