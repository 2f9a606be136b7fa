//! The progress bar: consumes [`Event`]s, emits nothing.
//!
//! Drawn on standard error, only on a terminal unless asked for, and only from the coordinator's own loop: no
//! thread of its own, since the coordinator forks.

use super::values::Progress as When;
use crate::event::{Event, Phase};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Instant;

/// Draws how far a run is.
pub struct Progress {
    bar: Option<ProgressBar>,
    began: Instant,
    /// Whether the bar is as long as all record files.
    is_in_bytes: bool,
}

impl Progress {
    /// A bar that is drawn in the cases of `when`.
    pub fn new(when: When) -> Self {
        let drawn = match when {
            When::Auto => std::io::stderr().is_terminal(),
            When::Always => true,
            When::Never | When::Json => false,
        };
        let bar = drawn.then(|| {
            let target = match std::io::stderr().is_terminal() {
                true => ProgressDrawTarget::stderr_with_hz(10),
                false => ProgressDrawTarget::term_like_with_hz(Box::new(PlainLines), 1),
            };
            let style = template("{prefix:>8} {elapsed}");
            ProgressBar::with_draw_target(None, target).with_style(style).with_prefix("walking")
        });
        Progress { bar, began: Instant::now(), is_in_bytes: false }
    }

    /// Updates the bar on an event.
    pub fn on_event(&mut self, event: &Event) {
        let Some(bar) = &self.bar else { return };
        match event {
            Event::PhaseBegan(Phase::Walk, _) => bar.tick(),
            Event::PhaseBegan(Phase::Copy, _) => {
                bar.set_prefix("reading");
                bar.reset();
                bar.set_style(template("{prefix:>8} {msg} {elapsed}"));
                self.began = Instant::now();
            }
            Event::PhaseBegan(Phase::Publish, _) => bar.finish_and_clear(),
            Event::PhaseBegan(phase, total) => {
                bar.set_prefix(match phase {
                    Phase::Tally => "counting",
                    Phase::Merge => "merging",
                    _ => "writing",
                });
                bar.reset();
                bar.set_length(*total);
                bar.set_style(template(
                    "{prefix:>8} [{bar:30}] {human_pos}/{human_len} {msg} {elapsed} (left {eta})",
                ));
                bar.set_message("");
                self.began = Instant::now();
                self.is_in_bytes = false;
            }
            Event::TotalBytes(bytes) => {
                self.is_in_bytes = true;
                bar.set_length(*bytes);
                bar.set_style(template(
                    "{prefix:>8} [{bar:30}] {bytes}/{total_bytes} {msg} {elapsed} (left {eta})",
                ));
            }
            Event::Advanced(units, bytes) if self.is_in_bytes => {
                let rate = *bytes as f64 / self.began.elapsed().as_secs_f64().max(1e-3);
                bar.set_message(format!("{units} documents, {}/s,", HumanBytes(rate as u64)));
                bar.set_position(*bytes);
            }
            Event::Advanced(units, bytes) => {
                if *bytes > 0 {
                    let rate = *bytes as f64 / self.began.elapsed().as_secs_f64().max(1e-3);
                    bar.set_message(format!("{}, {}/s,", HumanBytes(*bytes), HumanBytes(rate as u64)));
                }
                bar.set_position(*units);
            }
            Event::WorkerLost | Event::WorkerLeft(_) | Event::Notice(_) => {}
        }
    }

    /// Removes the bar from the screen.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn template(text: &str) -> ProgressStyle {
    ProgressStyle::with_template(text).expect("a template of our own").progress_chars("=> ")
}

/// Standard error that is not a terminal: prints one line each time the bar is drawn, and never erases it.
#[derive(Debug)]
struct PlainLines;

impl TermLike for PlainLines {
    fn width(&self) -> u16 {
        110
    }

    fn move_cursor_up(&self, _lines: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _lines: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _columns: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _columns: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        writeln!(io::stderr(), "{}", line.trim_end())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        match text.trim() {
            "" => Ok(()),
            text => writeln!(io::stderr(), "{text}"),
        }
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
