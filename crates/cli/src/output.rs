//! What commands print: a table for people, JSON for programs. Colour only where a person looks (a terminal, and
//! `NO_COLOR` unset); a broken pipe ends the output, not the program's word.
//!
//! To add a list: its columns beside its command, one [`Output::list`] call.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use lanyard_domain::trust::Verdict;
use serde::Serialize;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs: one JSON value.
    Json,
}

/// A column of a table.
pub struct Column<T> {
    title: &'static str,
    cell: fn(&T) -> String,
    verdict: Option<fn(&T) -> Verdict>,
}

impl<T> Column<T> {
    /// A plain column.
    pub const fn new(title: &'static str, cell: fn(&T) -> String) -> Self {
        Self { title, cell, verdict: None }
    }
    /// A column that shows a verdict, in its colour.
    pub const fn verdict(title: &'static str, cell: fn(&T) -> String, verdict: fn(&T) -> Verdict) -> Self {
        Self { title, cell, verdict: Some(verdict) }
    }
}

/// Where and how to print.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
    colour: bool,
}

impl Output {
    /// Output to this process's standard output.
    pub fn stdout(format: Format) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Self { format, colour: wanted && std::io::stdout().is_terminal() }
    }

    #[cfg(test)]
    const fn plain(format: Format) -> Self {
        Self { format, colour: false }
    }

    /// Whether a program reads it.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Prints many of a kind; `none` is what people see when there are none.
    pub fn list<T: Serialize>(&self, items: &[T], columns: &[Column<T>], none: &str) -> anyhow::Result<()> {
        emit(&self.render_list(items, columns, none)?);
        Ok(())
    }

    /// Prints one thing: `text` for people, its JSON for programs.
    pub fn one<T: Serialize>(&self, item: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        emit(&self.render_one(item, text)?);
        Ok(())
    }

    /// A verdict in its colour.
    pub fn tint(&self, verdict: Verdict, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        // SGR 32 green, 33 yellow, 31 red: readable on dark and light terminals.
        let code = match verdict {
            Verdict::Trusted => 32,
            Verdict::Degraded => 33,
            Verdict::Untrusted => 31,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    fn render_list<T: Serialize>(
        &self,
        items: &[T],
        columns: &[Column<T>],
        none: &str,
    ) -> anyhow::Result<String> {
        if self.is_json() {
            return Ok(serde_json::to_string_pretty(items)? + "\n");
        }
        if items.is_empty() {
            return Ok(format!("{none}\n"));
        }
        let rows: Vec<Vec<String>> =
            items.iter().map(|i| columns.iter().map(|c| tidy(&(c.cell)(i))).collect()).collect();
        let widths: Vec<usize> = columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
                cells.max().unwrap_or(0).max(column.title.len())
            })
            .collect();
        let mut text =
            line(columns.iter().map(|c| c.title.to_owned()).zip(widths.iter().copied()), |_, cell| cell);
        for (item, row) in items.iter().zip(rows) {
            text += &line(row.into_iter().zip(widths.iter().copied()), |at, cell| {
                match columns.get(at).and_then(|c| c.verdict) {
                    Some(verdict) => self.tint(verdict(item), &cell),
                    None => cell,
                }
            });
        }
        Ok(text)
    }

    fn render_one<T: Serialize>(&self, item: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<String> {
        if self.is_json() {
            return Ok(serde_json::to_string_pretty(item)? + "\n");
        }
        let mut text = text(item);
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Ok(text)
    }
}

/// One row; padding is outside of the colour, and none stands at the end of a line.
fn line(cells: impl Iterator<Item = (String, usize)>, paint: impl Fn(usize, String) -> String) -> String {
    let mut text = String::new();
    let mut owed = 0;
    for (at, (cell, width)) in cells.enumerate() {
        let length = cell.chars().count();
        let _ = write!(text, "{:owed$}{}", "", paint(at, cell));
        owed = width.saturating_sub(length) + 2;
    }
    text.push('\n');
    text
}

/// Text from outside must not move the cursor.
fn tidy(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Name and value, aligned; a value of several lines is indented.
pub fn facts(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        let mut lines = value.lines().map(tidy);
        let _ = writeln!(text, "{name:width$}  {}", lines.next().unwrap_or_default());
        for more in lines {
            let _ = writeln!(text, "{:width$}  {more}", "");
        }
    }
    text
}

/// Writes to standard output; a reader that went away (`| head`) is no error.
pub fn emit(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Line {
        name: &'static str,
        verdict: Verdict,
    }

    const COLUMNS: [Column<Line>; 2] = [
        Column::verdict("VERDICT", |l| l.verdict.to_string(), |l| l.verdict),
        Column::new("NAME", |l| l.name.to_owned()),
    ];
    const LINES: [Line; 2] = [
        Line { name: "pump\u{1b}[2J", verdict: Verdict::Trusted },
        Line { name: "ct", verdict: Verdict::Untrusted },
    ];

    #[test]
    fn a_table_is_aligned_and_cannot_be_broken_by_its_content() {
        let text = Output::plain(Format::Table).render_list(&LINES, &COLUMNS, "none").unwrap();
        assert_eq!(text, "VERDICT    NAME\ntrusted    pump [2J\nuntrusted  ct\n");
        let none: [Line; 0] = [];
        assert_eq!(
            Output::plain(Format::Table).render_list(&none, &COLUMNS, "none yet").unwrap(),
            "none yet\n"
        );
    }

    #[test]
    fn colour_does_not_move_columns() {
        let text = Output { format: Format::Table, colour: true }.render_list(&LINES, &COLUMNS, "").unwrap();
        assert!(text.contains("\x1b[32mtrusted\x1b[0m    pump"), "{text}");
        assert!(text.contains("\x1b[31muntrusted\x1b[0m  ct"), "{text}");
    }

    #[test]
    fn json_is_one_value_without_colour() {
        let text =
            Output { format: Format::Json, colour: true }.render_list(&LINES, &COLUMNS, "none").unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[1]["verdict"], "untrusted");
        let empty: [Line; 0] = [];
        let text = Output::plain(Format::Json).render_list(&empty, &COLUMNS, "none").unwrap();
        assert_eq!(text, "[]\n");
    }

    #[test]
    fn facts_are_aligned_and_empty_ones_left_out() {
        let text =
            facts(&[("stage", "approved".into()), ("why", "one\ntwo".into()), ("model", String::new())]);
        assert_eq!(text, "stage  approved\nwhy    one\n       two\n");
    }
}
