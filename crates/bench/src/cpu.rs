//! What work costs in processor time: a rate per core, whatever number of threads did it.

use std::time::Duration;

use anyhow::{Context, Result};

/// USER_HZ of every Linux that we know; procfs counts in it (proc(5), `/proc/pid/stat`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time, user and system, that this process has had so far.
pub fn used() -> Result<Duration> {
    used_by("/proc/self/stat")
}

/// The same of another process.
pub fn used_by_process(id: u32) -> Result<Duration> {
    used_by(&format!("/proc/{id}/stat"))
}

/// The same of this thread alone.
pub fn used_by_thread() -> Result<Duration> {
    used_by("/proc/thread-self/stat")
}

fn used_by(file: &str) -> Result<Duration> {
    let stat = std::fs::read_to_string(file).with_context(|| format!("cannot read `{file}`"))?;
    used_of(&stat).with_context(|| format!("`{file}` is not as expected"))
}

fn used_of(stat: &str) -> Option<Duration> {
    // The program's name may hold spaces and brackets; fields are counted after the last bracket.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u32>().ok()?.checked_add(fields.next()?.parse().ok()?)?;
    Some(Duration::from_secs_f64(f64::from(ticks) / TICKS_PER_SECOND))
}

/// Cores of this machine.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How much work one core does in a second, when `count` pieces took the time between two [`used`].
pub fn per_core(count: usize, before: Duration, after: Duration) -> f64 {
    count as f64 / after.saturating_sub(before).as_secs_f64().max(1.0 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1";
        assert_eq!(used_of(stat), Some(Duration::from_secs(2)));
        assert_eq!(used_of("7 (a"), None);
        assert!(used().is_ok());
    }
}
