//! Requests that wait for a person, by transactionID and key (RFC 8894 2.5, 3.3.3): what a CertPoll finds.
//!
//! Only requests whose secret or certificate was found good and that the rules left pending come in here, so strangers
//! cannot fill it. In scope: the list, its limits, its forgetting. Out of scope: deciding; the request is put to the same
//! rules again at every poll. If the list is lost (a restart), a poll is refused with badCertId and the client sends
//! its request again. An attacker who writes it has requests put to the rules, no certificate.

use std::collections::BTreeMap;

use lanyard_domain::time::Timestamp;

use super::message::TransactionId;
use crate::request::{Authentication, EnrollmentRequest};

/// A site's largest roll-out in a week. A request of a new device has 2 KiB: 20 MB; of one that renews, with other
/// certificates beside its own, at most a message's 64 KiB.
pub const MAX_WAITING: usize = 10_000;
/// Under one secret: a device that made its key anew while it waited.
const MOST_OF_A_SECRET: usize = 4;
/// A request that nobody approved in two working weeks was forgotten.
const WAITING_SECONDS: i64 = 14 * 24 * 3600;
/// A reply that got lost is asked for again within a client's poll interval; strongSwan's is a minute, others' ten.
const ISSUED_SECONDS: i64 = 30 * 60;

/// Whose transaction: SHA-256 of the key that signs its messages, and the client's name for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub signer: [u8; 32],
    pub transaction: TransactionId,
}

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

#[derive(Debug)]
struct Entry {
    transaction: TransactionId,
    state: State,
    until: Timestamp,
}

/// The list: one transaction a key, or one device could fill it.
#[derive(Debug, Default)]
pub struct Transactions {
    entries: BTreeMap<[u8; 32], Entry>,
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
        let entry = self.entries.get(&key.signer)?;
        (entry.transaction == key.transaction && now < entry.until).then_some(match &entry.state {
            State::Waiting(request) => Known::Waiting(request),
            State::Issued(chain) => Known::Issued(chain),
        })
    }

    /// Keeps a request that waits, instead of what its key had before. The time counts from the first asking.
    pub(super) fn wait(&mut self, key: Key, request: EnrollmentRequest, now: Timestamp) -> Result<(), Full> {
        if matches!(self.find(&key, now), Some(Known::Waiting(waiting)) if waiting.csr == request.csr) {
            return Ok(());
        }
        self.entries.retain(|signer, entry| now < entry.until && *signer != key.signer);
        if self.entries.len() >= MAX_WAITING || self.of_its_secret(&request) >= MOST_OF_A_SECRET {
            return Err(Full);
        }
        let (state, until) = (State::Waiting(Box::new(request)), now.plus_seconds(WAITING_SECONDS));
        self.entries.insert(key.signer, Entry { transaction: key.transaction, state, until });
        Ok(())
    }

    /// How many wait by the secret of this request: it is good once, and must not fill the list with one key after the other.
    fn of_its_secret(&self, request: &EnrollmentRequest) -> usize {
        let secret = |request: &EnrollmentRequest| match &request.authentication {
            Authentication::Secret(proven) => Some(proven.id()),
            Authentication::Certificate(_) | Authentication::Order(_) => None,
        };
        let Some(own) = secret(request) else { return 0 };
        let waits = |entry: &&Entry| match &entry.state {
            State::Waiting(waiting) => secret(waiting) == Some(own),
            State::Issued(_) => false,
        };
        self.entries.values().filter(waits).count()
    }

    /// A request that waited got its certificate: kept for a while, for a reply that gets lost.
    pub(super) fn issued(&mut self, key: &Key, chain: &[Vec<u8>], now: Timestamp) {
        if let Some(entry) = self.entries.get_mut(&key.signer).filter(|e| e.transaction == key.transaction) {
            (entry.state, entry.until) = (State::Issued(chain.to_vec()), now.plus_seconds(ISSUED_SECONDS));
        }
    }

    /// A request that waited was refused.
    pub(super) fn forget(&mut self, key: &Key) {
        if self.entries.get(&key.signer).is_some_and(|entry| entry.transaction == key.transaction) {
            self.entries.remove(&key.signer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scep::testing;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_305_600);

    fn key(number: usize, transaction: &str) -> Key {
        let mut signer = [0; 32];
        signer[..8].copy_from_slice(&number.to_be_bytes());
        Key { signer, transaction: testing::transaction(transaction) }
    }

    fn is_waiting(list: &Transactions, key: &Key, seconds: i64) -> bool {
        matches!(list.find(key, NOW.plus_seconds(seconds)), Some(Known::Waiting(_)))
    }

    #[test]
    fn a_waiting_request_is_found_by_its_own_key_until_its_time_is_over() {
        let mut list = Transactions::default();
        list.wait(key(1, "t"), testing::request(), NOW).unwrap();
        // Asking again does not prolong it.
        list.wait(key(1, "t"), testing::request(), NOW.plus_seconds(100)).unwrap();
        assert!(is_waiting(&list, &key(1, "t"), 0));
        assert!(!is_waiting(&list, &key(2, "t"), 0), "another key");
        assert!(!is_waiting(&list, &key(1, "u"), 0), "another transaction");
        assert!(is_waiting(&list, &key(1, "t"), WAITING_SECONDS - 1));
        assert!(!is_waiting(&list, &key(1, "t"), WAITING_SECONDS));
    }

    #[test]
    fn a_key_has_one_transaction_the_last() {
        let mut list = Transactions::default();
        list.wait(key(1, "t"), testing::request(), NOW).unwrap();
        list.wait(key(1, "u"), testing::request(), NOW).unwrap();
        assert!(is_waiting(&list, &key(1, "u"), 0) && !is_waiting(&list, &key(1, "t"), 0));
        assert_eq!(list.len(), 1);
        // What is over for the one before is not over for this.
        list.forget(&key(1, "t"));
        list.issued(&key(1, "t"), &[vec![1]], NOW);
        assert!(is_waiting(&list, &key(1, "u"), 0));
        // Another request in the same transaction takes the place of the first.
        let other = testing::request_of(&testing::OTHER);
        list.wait(key(1, "u"), other.clone(), NOW).unwrap();
        assert!(matches!(list.find(&key(1, "u"), NOW), Some(Known::Waiting(r)) if r.csr == other.csr));
    }

    #[test]
    fn an_issued_certificate_is_kept_for_a_lost_reply_and_no_longer() {
        let (mut list, key) = (Transactions::default(), key(1, "t"));
        list.issued(&key, &[vec![1]], NOW);
        assert!(list.is_empty(), "what did not wait is not kept");
        list.wait(key.clone(), testing::request(), NOW).unwrap();
        list.issued(&key, &[vec![1]], NOW);
        assert!(matches!(list.find(&key, NOW), Some(Known::Issued([chain])) if *chain == [1]));
        assert!(list.find(&key, NOW.plus_seconds(ISSUED_SECONDS)).is_none());
        list.wait(key.clone(), testing::request(), NOW).unwrap();
        list.forget(&key);
        assert!(list.find(&key, NOW).is_none());
    }

    // I12
    #[test]
    fn the_list_is_bounded_and_makes_room_by_forgetting_what_is_over() {
        let mut list = Transactions::default();
        let (mut request, transaction) = (testing::request(), testing::transaction("t"));
        // As many devices as one asks: no secret is shared.
        request.authentication = Authentication::Certificate(Vec::new());
        for number in 0..MAX_WAITING {
            let entry = Entry {
                transaction: transaction.clone(),
                state: State::Waiting(Box::new(request.clone())),
                until: NOW.plus_seconds(1),
            };
            list.entries.insert(key(number, "t").signer, entry);
        }
        assert_eq!(list.wait(key(MAX_WAITING, "t"), request.clone(), NOW), Err(Full));
        assert_eq!(list.wait(key(1, "t"), request.clone(), NOW), Ok(()), "it waits already");
        assert_eq!(list.wait(key(1, "u"), request.clone(), NOW), Ok(()), "it takes its own place");
        assert_eq!(list.wait(key(MAX_WAITING, "t"), request, NOW.plus_seconds(1)), Ok(()));
        assert_eq!(list.len(), 2);
    }

    // I12: one secret, however many keys come with it.
    #[test]
    fn one_secret_does_not_fill_the_list() {
        let mut list = Transactions::default();
        for number in 0..MOST_OF_A_SECRET {
            list.wait(key(number, "t"), testing::request(), NOW).unwrap();
        }
        assert_eq!(list.wait(key(9, "t"), testing::request(), NOW), Err(Full));
        assert_eq!(list.wait(key(1, "u"), testing::request(), NOW), Ok(()), "it takes its own place");
        list.forget(&key(0, "t"));
        assert_eq!(list.wait(key(9, "t"), testing::request(), NOW), Ok(()));
    }
}
