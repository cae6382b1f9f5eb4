//! Which lists still say what is so: a count for each place, which rises when something that stands in that list was revoked. A
//! revocation elsewhere costs no signature here, the root's least of all, which may be a hardware module's.
//!
//! In scope: counting. Out of scope: keeping lists (`revocation`, `delta`).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use lanyard_pki::crl::shard::{Place, Shards};
use lanyard_pki::serial::Serial;

/// What was counted up to which revocation.
#[derive(Default)]
pub(crate) struct Versions(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    /// Revocations of the inventory that are counted here.
    seen: u64,
    /// Times when too much was revoked to say where.
    everywhere: u64,
    /// By key identifier of the authority and serial number's place.
    at: HashMap<Place, u64>,
}

impl Versions {
    /// The count of `place`, after everything up to `now` was counted: `since` gives key identifier and serial number of what was
    /// revoked after so many, or none when that is too much to tell.
    pub(crate) fn of(
        &self,
        place: &Place,
        shards: Shards,
        now: u64,
        since: impl FnOnce(u64) -> Option<Vec<(Vec<u8>, Serial)>>,
    ) -> u64 {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.seen < now {
            match since(counts.seen) {
                None => counts.everywhere += 1,
                Some(revoked) => {
                    for (key_id, serial) in revoked {
                        *counts.at.entry(Place::of(&key_id, shards, &serial)).or_default() += 1;
                    }
                }
            }
            counts.seen = now;
        }
        counts.everywhere + counts.at.get(place).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R49: a list is made anew when something in it was revoked, and not for what is in another.
    #[test]
    fn a_revocation_makes_its_own_list_anew_and_no_other() {
        let shards = Shards::new(32).unwrap();
        let serial = |n: u8| Serial::from_random([n; 16]);
        let (versions, ours) = (Versions::default(), Place::of(&[1; 20], shards, &serial(1)));
        let other = Place::of(&[2; 20], shards, &serial(1));
        let of = |place: &Place, now, revoked: Option<Vec<(Vec<u8>, Serial)>>| {
            versions.of(place, shards, now, |_| revoked)
        };
        assert_eq!(of(&ours, 0, None), 0);
        assert_eq!(of(&ours, 1, Some(vec![(vec![1; 20], serial(1))])), 1);
        assert_eq!((of(&ours, 1, None), of(&other, 1, None)), (1, 0), "counted once");
        assert_eq!(of(&other, 2, Some(vec![(vec![2; 20], serial(1))])), 1);
        assert_eq!(of(&ours, 2, None), 1);
        assert_eq!(of(&ours, 9_000, None), 2, "too much at once: all");
        assert_eq!(of(&other, 9_000, None), 2);
    }
}
