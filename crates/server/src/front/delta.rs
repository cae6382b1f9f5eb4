//! Differences to long lists (RFC 5280 5.2.4): what they count from, and the last ones made.
//!
//! A difference counts from a complete list that was served, the oldest that a relying party may still hold; whoever has that or
//! a later one can apply it. A start begins with a new complete list: who holds one from before fetches that first.
//! In scope: which list that is. Out of scope: which lists are long (`pki::profile::RevocationUris`), what they say.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use lanyard_domain::time::Timestamp;
use lanyard_pki::crl::SignedCrl;
use lanyard_pki::crl::shard::Place;

/// Complete lists are good for a day; an hour more for those that were fetched in their last minute.
const KEEP_SECONDS: i64 = 25 * 3_600;
/// One to count from for each hour: a difference is never more than an hour longer than it must be.
const APART_SECONDS: i64 = 3_600;
/// A difference is made anew after so long without any revocation, so that its own time is recent.
const FRESH_SECONDS: i64 = 600;

/// A complete list: its number, and when it was made.
type Base = (u64, Timestamp);

#[derive(Default)]
pub(crate) struct Deltas {
    bases: Mutex<HashMap<Place, VecDeque<Base>>>,
    made: Mutex<HashMap<Place, Made>>,
}

struct Made {
    revocations: u64,
    at: Timestamp,
    list: Arc<SignedCrl>,
}

impl Deltas {
    /// Remembers a complete list that is about to be served.
    pub(super) fn note(&self, place: &Place, list: &SignedCrl, now: Timestamp) {
        let mut bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        let of_place = bases.entry(place.clone()).or_default();
        let apart = |(_, last): &Base| now.seconds_since(*last) >= APART_SECONDS;
        if of_place.back().is_none_or(apart) {
            of_place.push_back((list.number, now));
        }
        while of_place.len() > 1
            && of_place.front().is_some_and(|(_, made)| now.seconds_since(*made) > KEEP_SECONDS)
        {
            of_place.pop_front();
        }
    }

    /// What a difference counts from now: a list that is not of this very moment.
    pub(super) fn base(&self, place: &Place, now: Timestamp) -> Option<Base> {
        let bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        bases.get(place)?.front().copied().filter(|(_, made)| *made < now)
    }

    /// The last difference, if nothing was revoked since.
    pub(super) fn ready(&self, place: &Place, revocations: u64, now: Timestamp) -> Option<Arc<SignedCrl>> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |m: &&Made| m.revocations == revocations && now.seconds_since(m.at) < FRESH_SECONDS;
        made.get(place).filter(fits).map(|m| Arc::clone(&m.list))
    }

    /// Keeps one. Only of places that exist, so strangers cannot make it grow.
    pub(super) fn keep(
        &self,
        place: &Place,
        list: SignedCrl,
        revocations: u64,
        now: Timestamp,
    ) -> Arc<SignedCrl> {
        let list = Arc::new(list);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.insert(place.clone(), Made { revocations, at: now, list: Arc::clone(&list) });
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_795_348_800);

    fn list(number: u64) -> SignedCrl {
        let (this_update, next_update) = (START, START.plus_seconds(86_400));
        SignedCrl { der: Vec::new(), number, this_update, next_update, entries: 0 }
    }

    // R49: whoever holds a complete list that is good can apply the difference.
    #[test]
    fn a_difference_counts_from_the_oldest_list_that_is_still_good() {
        let (deltas, place) = (Deltas::default(), "aa/32/0.crl".parse::<Place>().unwrap());
        assert_eq!(deltas.base(&place, START), None);
        for minutes in 0..60 * 60 {
            let now = START.plus_seconds(minutes * 60);
            deltas.note(&place, &list(u64::try_from(minutes).unwrap()), now);
        }
        let now = START.plus_seconds(60 * 3_600);
        let (number, made) = deltas.base(&place, now).unwrap();
        let age = now.seconds_since(made);
        assert!((24 * 3_600..=26 * 3_600).contains(&age), "{age}");
        assert_eq!(START.plus_seconds(i64::try_from(number).unwrap() * 60), made);
        assert!(deltas.bases.lock().unwrap()[&place].len() <= 26);
        assert_eq!(deltas.base(&place, made), None, "it is not before itself");
    }

    #[test]
    fn a_difference_is_made_anew_when_something_was_revoked_or_it_grows_old() {
        let (deltas, place) = (Deltas::default(), "aa/32/0.crl".parse::<Place>().unwrap());
        deltas.keep(&place, list(7), 3, START);
        assert_eq!(deltas.ready(&place, 3, START.plus_seconds(60)).unwrap().number, 7);
        assert!(deltas.ready(&place, 4, START).is_none());
        assert!(deltas.ready(&place, 3, START.plus_seconds(FRESH_SECONDS)).is_none());
    }
}
