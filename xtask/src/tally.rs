//! Counts of tests, read from what test runners print.
//!
//! Two spellings are known: cargo's `test result: ok. 3 passed; 0 failed; ...`, and the closing line of our
//! interop suites, `3 passed, 0 failed` alone on a line.

use std::fmt;
use std::ops::AddAssign;

/// How many tests passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// The counts in one line of cargo's test output.
pub fn cargo_line(line: &str) -> Option<Tally> {
    let rest = line.strip_prefix("test result: ")?;
    let (_, counts) = rest.split_once(". ")?;
    let mut parts = counts.split("; ");
    let passed = parts.next()?.strip_suffix(" passed")?.parse().ok()?;
    let failed = parts.next()?.strip_suffix(" failed")?.parse().ok()?;
    Some(Tally { passed, failed })
}

/// The counts in the closing line of an interop suite.
pub fn suite_line(line: &str) -> Option<Tally> {
    let (passed, failed) = line.trim().split_once(", ")?;
    Some(Tally {
        passed: passed.strip_suffix(" passed")?.parse().ok()?,
        failed: failed.strip_suffix(" failed")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_results_are_counted() {
        for (line, expected) in [
            (
                "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s",
                Some(Tally { passed: 12, failed: 0 }),
            ),
            (
                "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
                Some(Tally { passed: 3, failed: 2 }),
            ),
            ("test result_is_read ... ok", None),
            ("running 3 tests", None),
        ] {
            assert_eq!(cargo_line(line), expected, "{line}");
        }
    }

    #[test]
    fn only_a_closing_line_of_its_own_is_a_suites_result() {
        for (line, expected) in [
            ("7 passed, 1 failed", Some(Tally { passed: 7, failed: 1 })),
            ("all 7 passed, 1 failed", None),
            ("7 passed", None),
            ("-1 passed, 0 failed", None),
        ] {
            assert_eq!(suite_line(line), expected, "{line}");
        }
    }
}
