//! Requests that wait for a person, by transactionID and key (RFC 8894 2.5, 3.3.3): what a CertPoll finds.
//!
//! Only requests whose secret or certificate was found good and that the rules left pending come in here, so strangers
//! cannot fill it. In scope: the list, its limits, its forgetting. Out of scope: deciding; the request is put to the same
//! rules again at every poll. If the list is lost (a restart), a poll is refused with badCertId and the client sends
//! its request again. An attacker who writes it has requests put to the rules, no certificate.

use std::collections::BTreeMap;

use lanyard_domain::time::Timestamp;

use super::message::TransactionId;
use crate::request::EnrollmentRequest;

/// A site's largest roll-out in a week. A request of an RSA-4096 key with a chain to renew has at most 20 KiB, without
/// one 2 KiB: 20 MB for new devices.
pub const MAX_WAITING: usize = 10_000;
/// A request that nobody approved in two working weeks was forgotten.
const WAITING_SECONDS: i64 = 14 * 24 * 3600;
/// A reply that got lost is asked for again within a client's poll interval; strongSwan's is a minute, others' ten.
const ISSUED_SECONDS: i64 = 30 * 60;

/// Whose transaction: the client's name for it, and SHA-256 of the key that signs its messages.
pub(super) type Key = (TransactionId, [u8; 32]);

#[derive(Debug)]
enum State {
    Waiting(Box<EnrollmentRequest>),
    Issued(Vec<Vec<u8>>),
}

/// What is known about a transaction.
#[derive(Debug)]
pub(super) enum Known<'a> {
    Waiting(&'a EnrollmentRequest),
    Issued(&'a [Vec<u8>]),
}

/// The list.
#[derive(Debug, Default)]
pub struct Transactions {
    entries: BTreeMap<Key, (State, Timestamp)>,
}

/// The list is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl Transactions {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn find(&self, key: &Key, now: Timestamp) -> Option<Known<'_>> {
        let (state, until) = self.entries.get(key)?;
        (now < *until).then_some(match state {
            State::Waiting(request) => Known::Waiting(request),
            State::Issued(chain) => Known::Issued(chain),
        })
    }

    /// Keeps a request that waits. The time counts from the first asking.
    pub(super) fn wait(&mut self, key: Key, request: EnrollmentRequest, now: Timestamp) -> Result<(), Full> {
        if matches!(self.find(&key, now), Some(Known::Waiting(_))) {
            return Ok(());
        }
        self.entries.retain(|_, (_, until)| now < *until);
        if self.entries.len() >= MAX_WAITING {
            return Err(Full);
        }
        self.entries.insert(key, (State::Waiting(Box::new(request)), now.plus_seconds(WAITING_SECONDS)));
        Ok(())
    }

    /// A request that waited got its certificate: kept for a while, for a reply that gets lost.
    pub(super) fn issued(&mut self, key: Key, chain: &[Vec<u8>], now: Timestamp) {
        if let Some(entry) = self.entries.get_mut(&key) {
            *entry = (State::Issued(chain.to_vec()), now.plus_seconds(ISSUED_SECONDS));
        }
    }

    /// A request that waited was refused.
    pub(super) fn forget(&mut self, key: &Key) {
        self.entries.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scep::testing;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_305_600);

    fn key(number: usize) -> Key {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        (testing::transaction("t"), key)
    }

    #[test]
    fn a_waiting_request_is_found_by_its_own_key_until_its_time_is_over() {
        let mut list = Transactions::default();
        list.wait(key(1), testing::request(), NOW).unwrap();
        // Asking again does not prolong it.
        list.wait(key(1), testing::request(), NOW.plus_seconds(100)).unwrap();
        assert!(matches!(list.find(&key(1), NOW), Some(Known::Waiting(_))));
        assert!(list.find(&key(2), NOW).is_none(), "another key");
        assert!(list.find(&(testing::transaction("u"), key(1).1), NOW).is_none(), "another transaction");
        assert!(list.find(&key(1), NOW.plus_seconds(WAITING_SECONDS - 1)).is_some());
        assert!(list.find(&key(1), NOW.plus_seconds(WAITING_SECONDS)).is_none());
    }

    #[test]
    fn an_issued_certificate_is_kept_for_a_lost_reply_and_no_longer() {
        let mut list = Transactions::default();
        list.issued(key(1), &[vec![1]], NOW);
        assert!(list.is_empty(), "what did not wait is not kept");
        list.wait(key(1), testing::request(), NOW).unwrap();
        list.issued(key(1), &[vec![1]], NOW);
        assert!(matches!(list.find(&key(1), NOW), Some(Known::Issued([chain])) if *chain == [1]));
        assert!(list.find(&key(1), NOW.plus_seconds(ISSUED_SECONDS)).is_none());
        list.wait(key(1), testing::request(), NOW).unwrap();
        list.forget(&key(1));
        assert!(list.find(&key(1), NOW).is_none());
    }

    // I12
    #[test]
    fn the_list_is_bounded_and_makes_room_by_forgetting_what_is_over() {
        let mut list = Transactions::default();
        let request = testing::request();
        for number in 0..MAX_WAITING {
            list.entries
                .insert(key(number), (State::Waiting(Box::new(request.clone())), NOW.plus_seconds(1)));
        }
        assert_eq!(list.wait(key(MAX_WAITING), request.clone(), NOW), Err(Full));
        assert_eq!(list.wait(key(1), request.clone(), NOW), Ok(()), "it waits already");
        assert_eq!(list.wait(key(MAX_WAITING), request, NOW.plus_seconds(1)), Ok(()));
        assert_eq!(list.len(), 1);
    }
}
