//! The narration: progress bars on a terminal, plain lines when piped, nothing with `--json`.
//!
//! Lines go to standard output, bars to standard error, so that a pipe gets the story without the motion.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::report::StageResult;

/// How to tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    /// A person watches.
    Terminal,
    /// A file or another program reads.
    Plain,
    /// Only the report counts.
    Silent,
}

impl Voice {
    /// For this process.
    pub(super) fn of(json: bool) -> Self {
        match (json, std::io::stdout().is_terminal() && std::io::stderr().is_terminal()) {
            (true, _) => Voice::Silent,
            (false, true) => Voice::Terminal,
            (false, false) => Voice::Plain,
        }
    }

    /// A line.
    pub(super) fn say(self, line: &str) {
        if self != Voice::Silent {
            println!("{line}");
        }
    }

    /// Begins a stage.
    pub(super) fn begin(self, title: &str) -> Scene {
        let bar = match self {
            Voice::Terminal => {
                let bar = ProgressBar::new_spinner().with_message(title.to_owned());
                bar.enable_steady_tick(Duration::from_millis(80));
                Some(bar)
            }
            _ => None,
        };
        Scene { voice: self, title: title.to_owned(), bar }
    }
}

/// A stage while it is told.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    voice: Voice,
    title: String,
    bar: Option<ProgressBar>,
}

impl Scene {
    /// A fact on the way.
    pub(super) fn note(&self, line: impl AsRef<str>) {
        let line = format!("    {}", line.as_ref());
        match &self.bar {
            Some(bar) => bar.suspend(|| self.voice.say(&line)),
            None => self.voice.say(&line),
        }
    }

    /// Turns the spinner into a bar of `length` steps.
    pub(super) fn count(&self, length: usize) {
        let Some(bar) = &self.bar else { return };
        bar.set_length(u64::try_from(length).unwrap_or(u64::MAX));
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{bar:30}] {pos}/{len}") {
            bar.set_style(style.progress_chars("=> "));
        }
    }

    /// So many steps are done.
    pub(super) fn reached(&self, position: usize) {
        if let Some(bar) = &self.bar {
            bar.set_position(u64::try_from(position).unwrap_or(u64::MAX));
        }
    }

    /// Ends a stage.
    pub(super) fn end(self, result: &StageResult) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let mark = if result.ok { "ok  " } else { "FAIL" };
        self.voice.say(&format!("{mark} {}: {}", self.title, result.detail));
    }
}
