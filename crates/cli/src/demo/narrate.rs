//! The narration: progress bars on a terminal, plain lines when piped, nothing with `--json`.
//!
//! Lines go to standard output, bars to standard error, so that a pipe gets the story without the motion.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::report::StageResult;

/// Fits a terminal of 100 columns.
const WIDTH: usize = 98;

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
            // Whoever closed the pipe wants no more lines; the demo still ends in order.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    }

    /// Begins a stage.
    pub(super) fn begin(self, title: &str) -> Scene {
        self.say(&format!("\n{title}"));
        let bar = (self == Voice::Terminal).then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(80));
            bar
        });
        Scene { voice: self, bar }
    }
}

/// A stage while it is told.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    voice: Voice,
    bar: Option<ProgressBar>,
}

impl Scene {
    /// A fact on the way.
    pub(super) fn note(&self, line: impl AsRef<str>) {
        for line in wrapped(line.as_ref(), "     - ", "       ") {
            match &self.bar {
                Some(bar) => bar.suspend(|| self.voice.say(&line)),
                None => self.voice.say(&line),
            }
        }
    }

    /// Turns the spinner into a bar of `length` steps.
    pub(super) fn count(&self, length: usize) {
        let Some(bar) = &self.bar else { return };
        bar.set_length(u64::try_from(length).unwrap_or(u64::MAX));
        if let Ok(style) = ProgressStyle::with_template("  {spinner} [{bar:40}] {pos}/{len}") {
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
        let mark = if result.ok { "  ok " } else { "FAIL " };
        wrapped(&result.detail, mark, "     ").iter().for_each(|line| self.voice.say(line));
    }
}

/// Lines of at most [`WIDTH`] characters, unless a single word is longer; the first behind `first`, the others behind `rest`.
fn wrapped(text: &str, first: &str, rest: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut line, mut is_empty) = (first.to_owned(), true);
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::replace(&mut line, rest.to_owned()));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_wrapped_between_words() {
        let text = "word ".repeat(60);
        let lines = wrapped(&text, "  ok ", "     ");
        assert!(lines.len() > 2 && lines.iter().all(|l| l.chars().count() <= WIDTH));
        assert!(lines[0].starts_with("  ok word") && lines[1].starts_with("     word"));
        assert_eq!(lines.iter().flat_map(|l| l.split_whitespace()).filter(|w| *w == "word").count(), 60);
        assert_eq!(wrapped("", "a ", "b "), ["a "]);
        assert_eq!(wrapped(&"x".repeat(200), "", "").len(), 1);
    }

    #[test]
    fn a_json_report_is_not_mixed_with_narration() {
        assert_eq!(Voice::of(true), Voice::Silent);
    }
}
