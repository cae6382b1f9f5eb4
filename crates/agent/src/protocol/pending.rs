//! A certificate that was asked for and is not here yet: the key, the request, how far it is. Kept before the first message
//! goes out, so that an attempt that was broken off, by a power cut say, goes on with the same key: a one-time secret is good
//! for one key, and an order for one request.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lanyard_attest::tpm::structures::{Public, spki_der};
use lanyard_domain::text::Blob;
use lanyard_domain::time::Timestamp;
use lanyard_pki::csr;
use serde::{Deserialize, Serialize};

use super::Protocol;
use crate::agent::Parts;
use crate::error::AgentError;
use crate::identity::Slot;
use crate::state;
use crate::tpm::{KeySlot, RootOfTrust};

const FILE: &str = "pending.json";
/// Approvals take a week at the most before an order ends; then it is begun anew.
const LONGEST_SECONDS: i64 = 14 * 24 * 3600;

/// What the certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// The first one, or the first again.
    First,
    /// To follow the current one.
    Renewal,
}

/// The content of `pending.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// By what it is asked for.
    pub protocol: Protocol,
    /// What for.
    pub purpose: Purpose,
    /// Where the key is.
    pub slot: Slot,
    /// The certificate request, PKCS#10 DER.
    pub request: Blob,
    /// When it began.
    pub began: Timestamp,
    /// The order's address (ACME), once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
}

/// Where it is kept.
#[derive(Debug)]
pub(crate) struct PendingStore {
    file: Option<PathBuf>,
    held: Mutex<Option<Pending>>,
}

impl PendingStore {
    /// What is kept in `state_dir`.
    pub(crate) fn open(state_dir: Option<&Path>) -> Result<Self, AgentError> {
        let file = state_dir.map(|dir| dir.join(FILE));
        let held = match &file {
            Some(path) => state::read(path)?,
            None => None,
        };
        Ok(Self { file, held: Mutex::new(held) })
    }

    fn held(&self) -> MutexGuard<'_, Option<Pending>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes on, or begins: with a key in the root of trust and its request, on disk. Blocks.
    pub(super) fn begin(
        &self,
        parts: &Parts,
        protocol: Protocol,
        purpose: Purpose,
    ) -> Result<Pending, AgentError> {
        let (slot, now) = (parts.identities.next_slot(), parts.clock.now());
        let kept = self.held().clone();
        // A first certificate that came and was never seen to work: its key is the current one, and a secret is good for no other.
        let untried = |p: &Pending| {
            purpose == Purpose::First && !parts.identities.has_way_back() && p.slot != slot.into()
        };
        let fits = |p: &Pending| {
            p.protocol == protocol
                && p.purpose == purpose
                && (KeySlot::from(p.slot) == slot || untried(p))
                && now.seconds_since(p.began) <= LONGEST_SECONDS
                && is_of(&p.request.0, parts.root.as_ref(), p.slot.into())
        };
        if let Some(pending) = kept.filter(fits) {
            return Ok(pending);
        }
        let public = parts.root.create_tls_key(slot)?;
        let request = request(parts.root.as_ref(), slot, &public, &parts.config.serial)?;
        let pending =
            Pending { protocol, purpose, slot: slot.into(), request: Blob(request), began: now, order: None };
        self.keep(pending.clone())?;
        Ok(pending)
    }

    /// Replaces it. Blocks.
    pub(super) fn keep(&self, pending: Pending) -> Result<(), AgentError> {
        if let Some(path) = &self.file {
            state::write(path, &pending)?;
        }
        *self.held() = Some(pending);
        Ok(())
    }

    /// It is done, or over. Blocks.
    pub(super) fn forget(&self) -> Result<(), AgentError> {
        if let Some(path) = &self.file {
            state::remove(path)?;
        }
        *self.held() = None;
        Ok(())
    }
}

/// A request for the key in `slot`; its name is for people, certificates are named by the record.
fn request(
    root: &dyn RootOfTrust,
    slot: KeySlot,
    public: &[u8],
    serial: &str,
) -> Result<Vec<u8>, AgentError> {
    let public = Public::parse(public).map_err(|e| AgentError::Csr(e.to_string()))?;
    csr::build(&spki_der(&public), serial, |bytes| root.sign_tls(slot, bytes))
        .map_err(|e| AgentError::Csr(e.to_string()))
}

/// Whether the key in `slot` is still that of the request.
fn is_of(request: &[u8], root: &dyn RootOfTrust, slot: KeySlot) -> bool {
    let Ok(request) = csr::verify(request) else { return false };
    let Ok(public) = root.load_tls_key(slot) else { return false };
    Public::parse(&public).is_ok_and(|public| spki_der(&public) == request.spki_der())
}
