//! A short hunt on stable Rust: seeds, then random mutations of them, for a while.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::Target;
use crate::mutate::{Random, mutate};

/// What a hunt did.
pub struct Report {
    /// Inputs tried.
    pub runs: u64,
    /// The input that took longest, and how long.
    pub slowest: (Duration, usize),
    /// An input on which the target panicked.
    pub crash: Option<Vec<u8>>,
}

/// Tries the seeds and then mutations: at least `min_runs`, and for at least `time`. Ends at the first panic.
pub fn hunt(target: &Target, seed: u64, time: Duration, min_runs: u64) -> Report {
    let seeds = (target.seeds)();
    let mut random = Random::new(seed);
    let mut report = Report { runs: 0, slowest: (Duration::ZERO, 0), crash: None };
    for input in &seeds {
        try_one(target, input, &mut report);
    }
    let start = Instant::now();
    while report.crash.is_none() && (report.runs < min_runs || start.elapsed() < time) {
        let mut input = seeds.get(random.below(seeds.len())).cloned().unwrap_or_default();
        let other = seeds.get(random.below(seeds.len())).map(Vec::as_slice).unwrap_or_default();
        mutate(&mut input, other, &mut random);
        try_one(target, &input, &mut report);
    }
    report
}

fn try_one(target: &Target, input: &[u8], report: &mut Report) {
    let start = Instant::now();
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
        report.crash = Some(input.to_vec());
    }
    report.runs += 1;
    report.slowest = report.slowest.max((start.elapsed(), input.len()));
}
