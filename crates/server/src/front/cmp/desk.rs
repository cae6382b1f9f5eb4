//! What stays between two CMP messages: open transactions, the certificate that answers are signed with, and what of
//! settled certificates the log did not take yet.
//!
//! All of it is in memory. After a restart a client is told that its transaction is not known and begins anew with the same
//! key; a certificate that was not confirmed by then stays as it is, until it ends.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use lanyard_control::authority::Issuers;
use lanyard_domain::id::SecretId;
use lanyard_enroll::Reply;
use lanyard_enroll::cmp::server::{Draft, Policy, Server};
use lanyard_enroll::cmp::{Settled, TransactionLimits, Transactions};
use lanyard_pki::certificate::Certificate;
use lanyard_pki::key::{KeyBackend, KeyLabel};

use super::Unanswered;
use crate::front::share::Shares;
use crate::state::Plane;

/// A client has one message under way, and one more when it did not wait for the answer.
const MACS_OF_ONE: usize = 4;

/// CMP's own state.
pub(crate) struct Desk {
    open: Mutex<Transactions>,
    signers: RwLock<Signers>,
    unrecorded: Mutex<Vec<Settled>>,
    /// See `verify`.
    pub(super) one_mac_at_a_time: tokio::sync::Mutex<()>,
    /// Messages under one secret that are checked or wait for it.
    pub(super) macs: Shares<SecretId>,
}

#[derive(Default)]
struct Signers {
    current: Option<Signer>,
    /// Names of signers before, DER: clients call us by them until they have seen the current one.
    former: Vec<Vec<u8>>,
    /// Made of `current` and the authorities that it holds; made again when either changes.
    signing: Option<Arc<Signing>>,
}

#[derive(Clone)]
struct Signer {
    /// Leaf first.
    chain: Vec<Certificate>,
    keys: Arc<dyn KeyBackend>,
    label: KeyLabel,
}

/// Who answers, and the key that goes with it.
pub(super) struct Signing {
    pub(super) server: Server,
    issuers: Arc<Issuers>,
    keys: Arc<dyn KeyBackend>,
    label: KeyLabel,
}

impl Signing {
    /// The fifth step.
    pub(super) fn sign(&self, draft: Draft) -> Result<Reply, Unanswered> {
        draft
            .sign(&self.server, |bytes| self.keys.sign(&self.label, bytes))
            .map_err(|e| Unanswered(format!("the key that signs answers: {e}")))
    }
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            open: Mutex::new(Transactions::new(TransactionLimits::default())),
            signers: RwLock::default(),
            unrecorded: Mutex::default(),
            one_mac_at_a_time: tokio::sync::Mutex::default(),
            macs: Shares::new(MACS_OF_ONE),
        }
    }
}

impl Desk {
    /// Answers are signed with this certificate from now on.
    pub(crate) fn install(&self, chain: Vec<Certificate>, keys: Arc<dyn KeyBackend>, label: KeyLabel) {
        let mut signers = self.signers.write().unwrap_or_else(PoisonError::into_inner);
        let name = |signer: &Signer| signer.chain.first().map(|c| c.subject_der().to_vec());
        let signer = Signer { chain, keys, label };
        if let Some(before) = signers.current.as_ref().and_then(name)
            && name(&signer).as_ref() != Some(&before)
            && !signers.former.contains(&before)
        {
            signers.former.push(before);
        }
        signers.current = Some(signer);
        signers.signing = None;
    }

    /// The certificate and the authorities that are in force.
    pub(super) fn signing(&self, control: &Plane) -> Result<Arc<Signing>, Unanswered> {
        let issuers = control.authority.issuers();
        let read = self.signers.read().unwrap_or_else(PoisonError::into_inner);
        let fits = read.signing.as_ref().filter(|signing| Arc::ptr_eq(&signing.issuers, &issuers));
        if let Some(signing) = fits {
            return Ok(Arc::clone(signing));
        }
        drop(read);
        let names = authorities(control);
        let mut signers = self.signers.write().unwrap_or_else(PoisonError::into_inner);
        let Some(Signer { chain, keys, label }) = signers.current.clone() else {
            return Err(Unanswered("there is no certificate yet to sign answers with".to_owned()));
        };
        let former_names = signers.former.iter().cloned().chain(names).collect();
        let policy = Policy { former_names, ..Policy::default() };
        let server = Server::new(chain, issuers.roots().to_vec(), policy)
            .map_err(|e| Unanswered(format!("our own certificate does not sign answers: {e}")))?;
        let signing = Arc::new(Signing { server, issuers, keys, label });
        signers.signing = Some(Arc::clone(&signing));
        Ok(signing)
    }

    /// Does something to the transactions; what became of certificates by it comes along, and is to be recorded.
    pub(super) fn locked<T>(&self, work: impl FnOnce(&mut Transactions) -> T) -> (T, Vec<Settled>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let done = work(&mut open);
        (done, open.take_settled())
    }

    /// Keeps what the log did not take. Bounded by the transactions that can be open: while the log is away nothing is
    /// issued.
    pub(super) fn keep(&self, settled: Settled) {
        self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner).push(settled);
    }

    /// What waited too long, and what could not be recorded before.
    pub(crate) fn due(&self, now: lanyard_domain::time::Timestamp) -> Vec<Settled> {
        let mut due = std::mem::take(&mut *self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner));
        due.extend(self.locked(|open| open.expire(now)).1);
        due
    }
}

/// The names of all authorities that ever were: each is one by which some device calls us (RFC 9483 3.1, recipient).
fn authorities(control: &Plane) -> Vec<Vec<u8>> {
    let world = control.world();
    let name = |der: &[u8]| Certificate::parse(der).ok().map(|c| c.subject_der().to_vec());
    world.authorities.iter().filter_map(|known| name(&known.certificate)).collect()
}
