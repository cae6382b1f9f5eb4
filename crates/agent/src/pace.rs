//! When to try again: arithmetic only. Randomness spreads a fleet that was switched on, or cut off, together.

use std::time::Duration;

use lanyard_domain::time::Timestamp;

/// First wait after a failure; doubled each time.
const FIRST_MILLIS: u64 = 1_000;
/// Longest wait: a device is back at most five minutes after its control plane is.
const LONGEST_MILLIS: u64 = 300_000;

/// A random fraction of one, from the root of trust's or the system's random source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fraction(f64);

impl Fraction {
    #[cfg(test)]
    pub(crate) const HALF: Self = Self(0.5);

    pub(crate) fn from_random(bytes: [u8; 4]) -> Self {
        Self(f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX))
    }

    /// As a whole number of millionths.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between nothing and a million; a fraction is never negative"
    )]
    pub(crate) fn millionths(self) -> u32 {
        (self.0 * 1_000_000.0) as u32
    }

    /// A fresh one. Without randomness one half: pacing is no secret.
    pub(crate) fn fresh() -> Self {
        let mut bytes = [0x80, 0, 0, 0];
        if aws_lc_rs::rand::fill(&mut bytes).is_err() {
            bytes = [0x80, 0, 0, 0];
        }
        Self::from_random(bytes)
    }
}

/// Wait after the n-th failure in a row (from 1): exponential with full jitter, so that thousands of devices do not
/// come back in step.
pub(crate) fn back_off(failures: u32, r: Fraction) -> Duration {
    let doubled =
        FIRST_MILLIS.saturating_mul(1u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX));
    let ceiling = doubled.min(LONGEST_MILLIS);
    // Not below a tenth: a jitter of nothing would be hammering.
    Duration::from_millis(ceiling / 10 + scaled(ceiling - ceiling / 10, r))
}

/// `seconds` give or take a tenth.
pub(crate) fn about(seconds: u32, r: Fraction) -> Duration {
    let millis = u64::from(seconds) * 1_000;
    Duration::from_millis(millis - millis / 10 + scaled(millis / 5, r))
}

/// When to renew: at `renew_at` or up to a tenth of the rest later, which leaves nine tenths of it for retries.
pub(crate) fn renew_time(renew_at: Timestamp, not_after: Timestamp, r: Fraction) -> Timestamp {
    let rest = u64::try_from(not_after.micros_since(renew_at)).unwrap_or(0);
    let later = i64::try_from(scaled(rest / 10, r)).unwrap_or(0);
    Timestamp::from_micros(renew_at.as_micros().saturating_add(later))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a wait; precision does not matter and both factors are not negative"
)]
fn scaled(value: u64, r: Fraction) -> u64 {
    (value as f64 * r.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOW: Fraction = Fraction(0.0);
    const HIGH: Fraction = Fraction(1.0);

    #[test]
    fn back_off_doubles_up_to_five_minutes_and_never_overflows() {
        for (failures, ceiling) in [
            (1, 1_000),
            (2, 2_000),
            (5, 16_000),
            (9, 256_000),
            (10, 300_000),
            (64, 300_000),
            (u32::MAX, 300_000),
        ] {
            assert_eq!(back_off(failures, HIGH).as_millis(), ceiling, "{failures}");
            assert_eq!(back_off(failures, LOW).as_millis(), ceiling / 10, "{failures}");
        }
    }

    #[test]
    fn attestation_keeps_within_a_tenth_of_what_was_told() {
        assert_eq!((about(100, LOW).as_secs(), about(100, HIGH).as_secs()), (90, 110));
        assert_eq!(about(0, HIGH), Duration::ZERO);
        assert!(about(u32::MAX, HIGH).as_secs() > u64::from(u32::MAX));
    }

    // I7: 24 hours of lifetime leave at least 7 hours and 12 minutes of retries.
    #[test]
    fn renewal_starts_early_enough_to_be_retried() {
        let (renew_at, not_after) = (Timestamp::from_seconds(57_600), Timestamp::from_seconds(86_400));
        assert_eq!(renew_time(renew_at, not_after, LOW), renew_at);
        assert_eq!(not_after.seconds_since(renew_time(renew_at, not_after, HIGH)), 25_920);
        assert_eq!(renew_time(not_after, renew_at, HIGH), not_after);
    }
}
