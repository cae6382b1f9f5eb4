//! Signed answers, kept until half of their life is over: serving one is a look-up.
//!
//! Two things must not happen: that it grows without bound (strangers choose what is asked), and that an answer signed
//! before a revocation is put in after it. The first is a bound in bytes, oldest out first; for the second, who signs
//! takes a [`Ticket`] before looking at the records, and an answer whose ticket is older than a revocation is not kept.
//!
//! Only answers about certificates that exist are kept: of serial numbers that were never issued there are more than
//! memory, and each answer about one is signed anew.
//!
//! Not synchronised: the caller holds a lock, shared for [`ResponseCache::get`], which changes nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use lanyard_domain::time::Timestamp;

use super::cert_id::{Form, IssuerId};
use super::response::Response;
use crate::serial::Serial;

/// Map nodes, the key twice, header texts: what an answer costs besides its bytes.
const OVERHEAD_BYTES: usize = 512;

/// Under what an answer is kept: issuer, how the CertID is written, serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey {
    issuer: [u8; 32],
    form: Form,
    serial: Serial,
}

impl CacheKey {
    pub(super) fn new(issuer: [u8; 32], form: Form, serial: Serial) -> Self {
        Self { issuer, form, serial }
    }

    /// SHA-256 of the issuer's SubjectPublicKeyInfo.
    pub fn issuer(&self) -> [u8; 32] {
        self.issuer
    }

    /// The certificate's serial number.
    pub fn serial(&self) -> Serial {
        self.serial
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }
}

/// When somebody began to make an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "take it before the records are read, and give it back with the answer"]
pub struct Ticket {
    revocations: u64,
}

/// What became of an answer that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is in the cache.
    Yes,
    /// Something was revoked since the ticket was taken: the answer may be wrong for others, make it again.
    Outdated,
    /// It answers one request only (a nonce, several certificates, one that was never issued), or is larger than the
    /// cache.
    NotShareable,
}

struct Slot {
    response: Arc<Response>,
    /// Its place in `order`.
    turn: u64,
}

/// A bounded cache of signed answers.
pub struct ResponseCache {
    most_bytes: usize,
    bytes: usize,
    slots: HashMap<CacheKey, Slot>,
    /// Oldest first.
    order: BTreeMap<u64, CacheKey>,
    next_turn: u64,
    revocations: u64,
}

impl std::fmt::Debug for ResponseCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ResponseCache({} answers, {} of {} bytes)", self.slots.len(), self.bytes, self.most_bytes)
    }
}

impl ResponseCache {
    /// A cache of at most so many bytes. One answer of a P-256 responder costs about 1.4 kB: 100,000 fit in 140 MB.
    pub fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            bytes: 0,
            slots: HashMap::new(),
            order: BTreeMap::new(),
            next_turn: 0,
            revocations: 0,
        }
    }

    /// The answer under this key, if it is good at this moment.
    pub fn get(&self, key: &CacheKey, now: Timestamp) -> Option<&Arc<Response>> {
        self.slots.get(key).map(|slot| &slot.response).filter(|response| now < response.next_update())
    }

    /// Taken before the records are read.
    pub fn ticket(&self) -> Ticket {
        Ticket { revocations: self.revocations }
    }

    /// Keeps an answer; it takes the place of an older one.
    pub fn put(&mut self, ticket: Ticket, key: CacheKey, response: Arc<Response>) -> Kept {
        let cost = cost(&response);
        if !response.shareable || cost > self.most_bytes {
            return Kept::NotShareable;
        }
        // Any revocation, not only of this serial: they are rare, and the rule stays simple enough to be right.
        if ticket.revocations != self.revocations {
            return Kept::Outdated;
        }
        self.remove(&key);
        while self.bytes + cost > self.most_bytes {
            let Some((_, oldest)) = self.order.first_key_value() else { break };
            let oldest = *oldest;
            self.remove(&oldest);
        }
        let turn = self.next_turn;
        self.next_turn += 1;
        self.bytes += cost;
        self.order.insert(turn, key);
        self.slots.insert(key, Slot { response, turn });
        Kept::Yes
    }

    /// The standing of a certificate changed: its answers are gone, and none that is being made now is kept.
    pub fn revoked(&mut self, issuer: &IssuerId, serial: &Serial) {
        self.revocations += 1;
        for form in Form::ALL {
            self.remove(&CacheKey::new(issuer.spki_sha256(), form, *serial));
        }
    }

    /// All answers are gone: the responder's key was lost or stolen, or the records were restored.
    pub fn clear(&mut self) {
        self.revocations += 1;
        self.bytes = 0;
        self.slots.clear();
        self.order.clear();
    }

    /// Drops what is over, and names up to `most` answers that have lived for half of their time: to be signed again
    /// by [`super::Responder::respond_ahead`], before anybody waits for it.
    pub fn due(&mut self, now: Timestamp, most: usize) -> Vec<CacheKey> {
        let mut over = Vec::new();
        let mut due = Vec::new();
        for key in self.order.values() {
            let Some(slot) = self.slots.get(key) else { continue };
            if slot.response.next_update() <= now {
                over.push(*key);
            } else if due.len() == most || now < slot.response.refresh_at() {
                // In order of their making, and all live equally long but those of a responder's last hour.
                break;
            } else {
                due.push(*key);
            }
        }
        over.iter().for_each(|key| self.remove(key));
        due
    }

    /// How many answers there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// What they cost.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn remove(&mut self, key: &CacheKey) {
        if let Some(slot) = self.slots.remove(key) {
            self.order.remove(&slot.turn);
            self.bytes = self.bytes.saturating_sub(cost(&slot.response));
        }
    }
}

fn cost(response: &Response) -> usize {
    response.der.len() + OVERHEAD_BYTES
}
