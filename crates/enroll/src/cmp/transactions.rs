//! What the server must remember between two messages of one client: that a request waits for a person, and that a
//! certificate was given out and not confirmed yet (RFC 9810 5.3.18, 5.3.22).
//!
//! Pure and bounded; the server holds one behind a lock and never across an act. Whatever becomes of a certificate that
//! is not confirmed at once is told as [`Settled`], and the caller decides by policy what follows.
//!
//! | state | lost | rolled back | written by an attacker |
//! |---|---|---|---|
//! | this, in memory | at a restart: a pollReq or certConf is answered that the transaction is not known, and the client begins anew with the same key; certificates not confirmed by then stay as they are in the log | cannot be: it is not stored | he is in the process and has worse |

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::csr::VerifiedCsr;

use super::crmf::Wish;
use super::header::NONCE_BYTES;
use super::message::EnrollKind;
use crate::secret::SecretId;

/// A transaction's number, chosen by the client: 128 bits or a little more.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionId(pub(super) Vec<u8>);

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who protects the messages of a transaction. All of them by the same (RFC 9483 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sender {
    /// By a one-time secret.
    Secret(SecretId),
    /// By the key of the certificate with this thumbprint.
    Certificate([u8; 32]),
}

/// How much is remembered, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionLimits {
    /// Open at once. An entry is below 4 KiB (a key, a certificate), so 4096 of them are 16 MiB.
    pub open: usize,
    /// Open of one sender: a device that starts anew pushes its own oldest one out, and nobody else's.
    pub per_sender: usize,
    /// Numbers of ended ones, 64 bytes each at most: 65,536 are 8 MiB with their index.
    pub ended: usize,
    /// How long the use case may take: a transaction that nobody answered is dropped.
    pub working_seconds: u32,
    /// How long a request waits for a person without being asked about.
    pub waiting_seconds: u32,
    /// How long a certificate may stay unconfirmed.
    pub confirm_seconds: u32,
    /// How long an ended number is not taken again: twice the tolerance of the clock check, so that a message cannot be
    /// replayed while its messageTime is still good.
    pub ended_seconds: u32,
}

impl Default for TransactionLimits {
    fn default() -> Self {
        Self {
            open: 4096,
            per_sender: 4,
            ended: 65_536,
            working_seconds: 120,
            // A weekend and a holiday: the technician asks on Friday, the approver is back on Tuesday.
            waiting_seconds: 4 * 86_400,
            // A device writes the certificate to flash and may restart before it says so.
            confirm_seconds: 600,
            ended_seconds: 1_800,
        }
    }
}

/// A certificate whose transaction is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The transaction.
    pub transaction: TransactionId,
    /// Who asked for it.
    pub sender: Sender,
    /// What was issued.
    pub certificate: Certificate,
    /// How it ended.
    pub how: Settlement,
}

/// How the transaction of a certificate ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// The client has it and takes it.
    Confirmed,
    /// The client has it and does not want it, with its words: revoke it.
    Rejected(String),
    /// The client confirmed another certificate than the one that was issued.
    OtherCertificate,
    /// Nothing was heard in time: the client may have it or not.
    TimedOut,
    /// The same client began so many new transactions that this one was dropped.
    Displaced,
}

/// Why a transaction does not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotBegun {
    InUse,
    Full,
}

/// Why a message does not belong to a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoTransaction {
    Unknown,
    OtherSender,
    OtherNonce,
    /// It is there, but does not wait for such a message.
    NotNow,
}

/// A request that waits for a person.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub csr: VerifiedCsr,
    pub kind: EnrollKind,
    pub profile: Option<String>,
    pub wish: Wish,
    pub implicit_confirm: bool,
}

#[derive(Debug, Clone)]
enum State {
    /// The use case has it.
    Working,
    Waiting(Box<Waiting>),
    Unconfirmed(Box<Certificate>),
}

#[derive(Debug, Clone)]
struct Entry {
    sender: Sender,
    expires: Timestamp,
    /// The nonce that we sent last: the client's next message must show it.
    nonce: [u8; NONCE_BYTES],
    state: State,
}

/// The transactions that are not over.
#[derive(Debug)]
pub struct Transactions {
    limits: TransactionLimits,
    open: BTreeMap<TransactionId, Entry>,
    by_expiry: BTreeSet<(Timestamp, TransactionId)>,
    by_sender: BTreeMap<Sender, VecDeque<TransactionId>>,
    ended: BTreeSet<TransactionId>,
    ended_in_order: VecDeque<(Timestamp, TransactionId)>,
    settled: Vec<Settled>,
}

impl Transactions {
    /// None yet.
    pub fn new(limits: TransactionLimits) -> Self {
        Self {
            limits,
            open: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            by_sender: BTreeMap::new(),
            ended: BTreeSet::new(),
            ended_in_order: VecDeque::new(),
            settled: Vec::new(),
        }
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// What became of certificates since the last call. To be drained after every message and every [`Self::expire`].
    #[must_use = "a certificate that was not confirmed must be kept or revoked by policy"]
    pub fn take_settled(&mut self) -> Vec<Settled> {
        std::mem::take(&mut self.settled)
    }

    /// Drops what is over time. Called with each message; to be called now and then besides, so that a certificate whose
    /// client has gone is told of.
    pub fn expire(&mut self, now: Timestamp) {
        while let Some((expires, id)) = self.by_expiry.first().cloned() {
            if expires >= now {
                break;
            }
            self.end(&id, Settlement::TimedOut, now);
        }
        while self.ended_in_order.front().is_some_and(|(until, _)| *until < now) {
            self.forget_oldest_ended();
        }
    }

    pub(super) fn confirm_by(&self, now: Timestamp) -> Timestamp {
        now.plus_seconds(i64::from(self.limits.confirm_seconds))
    }

    /// Takes a new number in; before anything is done for it, so that there is room for what comes of it.
    pub(super) fn begin(
        &mut self,
        id: &TransactionId,
        sender: Sender,
        now: Timestamp,
    ) -> Result<(), NotBegun> {
        self.expire(now);
        if self.is_in_use(id) {
            return Err(NotBegun::InUse);
        }
        let own = self.by_sender.get(&sender);
        if own.is_some_and(|ids| ids.len() >= self.limits.per_sender) {
            if let Some(oldest) = own.and_then(|ids| ids.front()).cloned() {
                self.end(&oldest, Settlement::Displaced, now);
            }
        } else if self.open.len() >= self.limits.open {
            return Err(NotBegun::Full);
        }
        let expires = now.plus_seconds(i64::from(self.limits.working_seconds));
        self.put(id, Entry { sender, expires, nonce: [0; NONCE_BYTES], state: State::Working });
        Ok(())
    }

    /// Remembers that the request waits.
    pub(super) fn wait(
        &mut self,
        id: &TransactionId,
        sender: Sender,
        waiting: Waiting,
        nonce: [u8; NONCE_BYTES],
        now: Timestamp,
    ) {
        let expires = now.plus_seconds(i64::from(self.limits.waiting_seconds));
        self.put(id, Entry { sender, expires, nonce, state: State::Waiting(Box::new(waiting)) });
    }

    /// Remembers that the certificate was given out.
    pub(super) fn await_confirmation(
        &mut self,
        id: &TransactionId,
        sender: Sender,
        certificate: Certificate,
        nonce: [u8; NONCE_BYTES],
        now: Timestamp,
    ) {
        let state = State::Unconfirmed(Box::new(certificate));
        self.put(id, Entry { sender, expires: self.confirm_by(now), nonce, state });
    }

    /// The request that `sender` asks about, showing `nonce`.
    pub(super) fn waiting(
        &self,
        id: &TransactionId,
        sender: Sender,
        nonce: Option<&[u8]>,
    ) -> Result<Waiting, NoTransaction> {
        match &self.find(id, sender, nonce)?.state {
            State::Waiting(waiting) => Ok((**waiting).clone()),
            _ => Err(NoTransaction::NotNow),
        }
    }

    /// The certificate that `sender` confirms, showing `nonce`. It stays open until [`Self::end`].
    pub(super) fn unconfirmed(
        &self,
        id: &TransactionId,
        sender: Sender,
        nonce: Option<&[u8]>,
    ) -> Result<Certificate, NoTransaction> {
        match &self.find(id, sender, nonce)?.state {
            State::Unconfirmed(certificate) => Ok((**certificate).clone()),
            _ => Err(NoTransaction::NotNow),
        }
    }

    /// That `sender` has this transaction open, whatever it waits for.
    pub(super) fn is_of(
        &self,
        id: &TransactionId,
        sender: Sender,
        nonce: Option<&[u8]>,
    ) -> Result<(), NoTransaction> {
        self.find(id, sender, nonce).map(|_| ())
    }

    fn find(
        &self,
        id: &TransactionId,
        sender: Sender,
        nonce: Option<&[u8]>,
    ) -> Result<&Entry, NoTransaction> {
        let entry = self.open.get(id).ok_or(NoTransaction::Unknown)?;
        if entry.sender != sender {
            return Err(NoTransaction::OtherSender);
        }
        // While the use case works there is no nonce yet that a client could show.
        if matches!(entry.state, State::Working) {
            return Err(NoTransaction::NotNow);
        }
        if nonce != Some(&entry.nonce) { Err(NoTransaction::OtherNonce) } else { Ok(entry) }
    }

    /// The transaction is over; its number is not taken again for a while. `how` is told if it had a certificate.
    pub(super) fn end(&mut self, id: &TransactionId, how: Settlement, now: Timestamp) {
        let Some(entry) = self.remove(id) else { return };
        self.ended(id, now);
        if let State::Unconfirmed(certificate) = entry.state {
            self.settle(
                Settled { transaction: id.clone(), sender: entry.sender, certificate: *certificate, how },
                now,
            );
        }
    }

    /// The client asked for it to count as confirmed at once.
    pub(super) fn end_confirmed(
        &mut self,
        id: &TransactionId,
        sender: Sender,
        certificate: &Certificate,
        now: Timestamp,
    ) {
        self.end(id, Settlement::Confirmed, now);
        if let Some(other) = self.holding(sender, certificate).first() {
            self.end(other, Settlement::Confirmed, now);
        }
    }

    /// Whoever lost an answer and asks again with the same secret and key is given the same certificate, in another
    /// transaction. What the client says of it in one of them holds for all; silence in one says nothing while another is open.
    fn settle(&mut self, settled: Settled, now: Timestamp) {
        let others = self.holding(settled.sender, &settled.certificate);
        match settled.how {
            Settlement::TimedOut | Settlement::Displaced => {
                if !others.is_empty() || self.is_working_for(settled.sender) {
                    return;
                }
            }
            Settlement::Confirmed | Settlement::Rejected(_) | Settlement::OtherCertificate => {
                for other in &others {
                    self.remove(other);
                    self.ended(other, now);
                }
            }
        }
        self.settled.push(settled);
    }

    /// The transactions in which `sender` was given this certificate and has said nothing yet.
    fn holding(&self, sender: Sender, certificate: &Certificate) -> Vec<TransactionId> {
        let holds = |id: &&TransactionId| {
            let state = self.open.get(*id).map(|entry| &entry.state);
            matches!(state, Some(State::Unconfirmed(held)) if **held == *certificate)
        };
        self.by_sender.get(&sender).into_iter().flatten().filter(holds).cloned().collect()
    }

    /// Whether an answer to `sender` is being made, with a certificate that it may have been given before.
    fn is_working_for(&self, sender: Sender) -> bool {
        let working =
            |id: &TransactionId| self.open.get(id).is_some_and(|entry| matches!(entry.state, State::Working));
        self.by_sender.get(&sender).is_some_and(|ids| ids.iter().any(working))
    }

    /// Nothing came of it: it is dropped, and its number too. Else strangers, whose requests are all refused, could push
    /// the numbers out that matter.
    pub(super) fn forget(&mut self, id: &TransactionId) {
        self.remove(id);
    }

    /// Whether a number is taken.
    pub(super) fn is_in_use(&self, id: &TransactionId) -> bool {
        self.open.contains_key(id) || self.ended.contains(id)
    }

    fn ended(&mut self, id: &TransactionId, now: Timestamp) {
        if self.ended.len() >= self.limits.ended {
            self.forget_oldest_ended();
        }
        if self.ended.insert(id.clone()) {
            let until = now.plus_seconds(i64::from(self.limits.ended_seconds));
            self.ended_in_order.push_back((until, id.clone()));
        }
    }

    fn forget_oldest_ended(&mut self) {
        if let Some((_, id)) = self.ended_in_order.pop_front() {
            self.ended.remove(&id);
        }
    }

    fn put(&mut self, id: &TransactionId, entry: Entry) {
        self.remove(id);
        self.by_expiry.insert((entry.expires, id.clone()));
        self.by_sender.entry(entry.sender).or_default().push_back(id.clone());
        self.open.insert(id.clone(), entry);
    }

    fn remove(&mut self, id: &TransactionId) -> Option<Entry> {
        let entry = self.open.remove(id)?;
        self.by_expiry.remove(&(entry.expires, id.clone()));
        if let Some(own) = self.by_sender.get_mut(&entry.sender) {
            own.retain(|other| other != id);
            if own.is_empty() {
                self.by_sender.remove(&entry.sender);
            }
        }
        Some(entry)
    }
}
