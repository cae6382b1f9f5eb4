//! A bound on recorded refusals: a hostile or broken device must not fill the disk.
//!
//! Per device a bucket of 20 refusals that refills one a second: at most 86,400 leaves of about 1.2 kB a day, 100 MB, and
//! that only by a device that is refused all day. What is left out is counted, and the next recorded refusal says how many.
//! Peers without identity share one bucket.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use lanyard_domain::id::DeviceId;
use lanyard_domain::time::Timestamp;

const BURST: i64 = 20;
const MICROS_PER_REFILL: i64 = 1_000_000;
/// Only registered devices have buckets of their own; beyond this many the oldest knowledge is dropped.
const MAX_BUCKETS: usize = 50_000;

#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<HashMap<Option<DeviceId>, Bucket>>);

#[derive(Debug)]
struct Bucket {
    left: i64,
    at: Timestamp,
    suppressed: u64,
}

impl Denials {
    /// Whether to record this refusal; if so, how many before it were not.
    pub(super) fn admit(&self, device: Option<DeviceId>, now: Timestamp) -> Option<u64> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&device) {
            buckets.clear();
        }
        let fresh = || Bucket { left: BURST, at: now, suppressed: 0 };
        let bucket = buckets.entry(device).or_insert_with(fresh);
        let refill = now.micros_since(bucket.at).max(0) / MICROS_PER_REFILL;
        if refill > 0 {
            bucket.left = bucket.left.saturating_add(refill).min(BURST);
            bucket.at = now;
        }
        if bucket.left == 0 {
            bucket.suppressed += 1;
            return None;
        }
        bucket.left -= 1;
        Some(std::mem::take(&mut bucket.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_counted_not_recorded() {
        let denials = Denials::default();
        let device = Some(DeviceId::from_random([1; 16]));
        let at = |ms: i64| Timestamp::from_micros(ms * 1000);
        let recorded = (0..1000).filter(|_| denials.admit(device, at(0)).is_some()).count();
        assert_eq!(recorded, 20);
        assert_eq!(denials.admit(None, at(0)), Some(0), "others have their own bucket");
        assert_eq!(denials.admit(device, at(999)), None);
        assert_eq!(denials.admit(device, at(1000)), Some(981));
        assert_eq!(denials.admit(device, at(1001)), None);
        assert_eq!((0..100).filter(|_| denials.admit(device, at(3_600_000)).is_some()).count(), 20);
    }
}
