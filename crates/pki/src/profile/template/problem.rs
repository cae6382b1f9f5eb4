//! What is wrong with a template, and where.

use std::fmt;

use super::draft::At;
use super::rules::Rule;

/// More than this and the file is another kind of file.
const MOST_PROBLEMS: usize = 100;

/// One rule that a template breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// The key, with the position in a list: `usage.purposes[1]`; empty for the file as a whole.
    pub field: String,
    /// The rule's name, also its file.
    pub rule: &'static str,
    /// Where the rule is written.
    pub clause: &'static str,
    /// What was found and what to write instead.
    pub help: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{} [{}; {}]", self.help, self.rule, self.clause)
    }
}

/// Collects problems while a template is read and judged.
pub(super) struct Report<'a> {
    text: &'a str,
    found: Vec<(usize, Problem)>,
}

impl<'a> Report<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, found: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// A value that breaks a rule.
    pub(super) fn breach<T>(&mut self, rule: &Rule, value: &At<T>, help: impl Into<String>) {
        self.breach_at(rule, &value.field, value.at, help);
    }

    /// A key that breaks a rule, at this byte of the text.
    pub(super) fn breach_at(&mut self, rule: &Rule, field: &str, at: usize, help: impl Into<String>) {
        if self.found.len() == MOST_PROBLEMS {
            return;
        }
        let (line, column) = self.place(at);
        let problem = Problem {
            line,
            column,
            field: field.to_owned(),
            rule: rule.name,
            clause: rule.clause,
            help: help.into(),
        };
        self.found.push((at, problem));
    }

    fn place(&self, at: usize) -> (usize, usize) {
        let before = self.text.char_indices().take_while(|(i, _)| *i < at).map(|(_, c)| c);
        before.fold((1, 1), |(line, column), c| if c == '\n' { (line + 1, 1) } else { (line, column + 1) })
    }

    /// All of them, in the order of the file.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.found.sort_by(|(a, x), (b, y)| (a, x.rule).cmp(&(b, y.rule)));
        self.found.into_iter().map(|(_, problem)| problem).collect()
    }
}
