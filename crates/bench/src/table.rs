//! The table: ours, the limit, the ratio; and how rates are taken.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cpu;

/// One line.
#[derive(Debug, Clone)]
pub struct Row {
    /// What is measured.
    pub what: String,
    /// In which unit.
    pub unit: &'static str,
    /// Ours; none for a line that only shows a limit.
    pub ours: Option<f64>,
    /// What this machine, or someone else's program on it, does at most.
    pub limit: Option<f64>,
    /// What we aim at, in words.
    pub target: &'static str,
    /// What the limit is, and under which load.
    pub note: String,
}

impl Row {
    /// An empty line for something per second.
    pub fn rate(what: impl Into<String>) -> Row {
        Row { what: what.into(), unit: "/s", ours: None, limit: None, target: "", note: String::new() }
    }

    /// A line that only shows what the machine can do.
    pub fn limit(what: &str, rate: f64) -> Row {
        Row { limit: Some(rate), ..Row::rate(what) }
    }
}

/// The table as text.
pub fn render(rows: &[Row]) -> String {
    let mut out = String::new();
    let wide = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
    let what = wide(&mut rows.iter().map(|row| row.what.chars().count())).max(4);
    let target = wide(&mut rows.iter().map(|row| row.target.chars().count())).max(6);
    let mut line = |cells: [&str; 7]| {
        let [name, unit, ours, limit, ratio, aim, note] = cells;
        let line =
            format!("{name:<what$}  {unit:<6}  {ours:>9}  {limit:>9}  {ratio:>5}  {aim:<target$}  {note}");
        // Writing into a string cannot fail.
        let _ = writeln!(out, "{}", line.trim_end());
    };
    line(["what", "unit", "ours", "limit", "ratio", "target", "notes"]);
    for row in rows {
        let ours = row.ours.map(number).unwrap_or_default();
        let limit = row.limit.map(number).unwrap_or_default();
        let ratio = match (row.ours, row.limit) {
            (Some(ours), Some(limit)) if limit > 0.0 => format!("{:.2}", ours / limit),
            _ => String::new(),
        };
        line([&row.what, row.unit, &ours, &limit, &ratio, row.target, &row.note]);
    }
    out
}

/// Whole numbers with separators; small ones keep a decimal.
fn number(rate: f64) -> String {
    if rate < 100.0 {
        return format!("{rate:.1}");
    }
    let digits = format!("{rate:.0}");
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// How often `work` runs in a second of processor time, on this thread, over about `time`: what else the machine does
/// meanwhile does not count against it.
pub fn rate(time: Duration, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    // Caches and clocks settle in the first tenth, which is not counted.
    let warm = Instant::now();
    while warm.elapsed() < time / 10 {
        work()?;
    }
    let (start, before) = (Instant::now(), cpu::used_by_thread()?);
    let mut count = 0usize;
    while start.elapsed() < time {
        work()?;
        count += 1;
    }
    Ok(cpu::per_core(count, before, cpu::used_by_thread()?))
}

/// The rate of doing two things one after the other.
pub fn in_sequence(a: f64, b: f64) -> f64 {
    1.0 / (1.0 / a + 1.0 / b)
}

/// The `part` (0 to 1) quantile in milliseconds; the list is sorted by this.
pub fn quantile(times: &mut [Duration], part: f64) -> f64 {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of an index is an index"
    )]
    let at = (last as f64 * part) as usize;
    times.get(at).map(|time| time.as_secs_f64() * 1000.0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_rate_limit_and_ratio() {
        let row = Row {
            ours: Some(1_500.4),
            limit: Some(3_000.0),
            target: ">= 1k",
            note: "raw".to_owned(),
            ..Row::rate("things")
        };
        let slow = Row { unit: "ms", ours: Some(12.34), ..Row::rate("slow") };
        let text = render(&[row, Row::limit("only", 1_234_567.0), slow]);
        assert!(text.contains("1,500      3,000   0.50  >= 1k   raw"), "{text}");
        assert!(text.contains("1,234,567"), "{text}");
        assert!(text.contains("ms           12.3\n"), "{text}");
    }

    #[test]
    fn quantiles_are_taken_from_the_sorted_list() {
        let mut times: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!((quantile(&mut times, 0.5), quantile(&mut times, 0.99)), (50.0, 99.0));
        assert_eq!(quantile(&mut [], 0.5), 0.0);
    }
}
