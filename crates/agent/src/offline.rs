//! Enrollment and renewal by files that a person carries, for a device without network (docs/protocols/offline.md).
//!
//! The key is made before the request is written, and what waits for a response stands in `offline.json` before the request
//! leaves this program: whatever is cut short is asked for again. A response is taken once: for the request that waits, by
//! the control plane that this device trusts, in time, for the key in the slot. The certificate is on disk before the wait ends.

use std::path::PathBuf;

use lanyard_api::clock::Clock;
use lanyard_attest::freshness::CheckpointRef;
use lanyard_attest::freshness::Purpose;
use lanyard_attest::tcg::QUOTED_PCRS;
use lanyard_attest::tpm::structures::{Public, spki_der};
use lanyard_domain::id::DeviceId;
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::offline::{
    Attested, Challenge, Keys, RequestFile, Response, TicketFor, Unsigned, request_sha256,
};
use lanyard_enroll::secret::id_of;
use lanyard_pki::certificate::{Certificate, PeerIdentity};
use lanyard_pki::csr;
use lanyard_pki::path::{Purpose as TlsPurpose, validate};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use crate::agent::{Agent, Parts};
use crate::error::AgentError;
use crate::identity::{Identity, Slot};
use crate::proof::{Binding, issuance};
use crate::protocol::Protocol;
use crate::state;
use crate::tpm::KeySlot;

/// What a request is made with.
#[derive(Debug, Clone)]
pub enum RequestWith {
    /// A challenge file, for evidence.
    Challenge(Vec<u8>),
    /// A one-time enrollment secret.
    Secret(String),
}

/// What an accepted response brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Installed {
    /// Which device this is.
    pub device: DeviceId,
    /// End of its certificate.
    pub not_after: Timestamp,
    /// When to ask for the next.
    pub renew_at: Timestamp,
}

/// The content of `offline.json`: the request that waits for its response.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waiting {
    request_sha256: Digest,
    /// Where its key is.
    slot: Slot,
    /// PCRs to quote from then on.
    pcrs: Vec<u8>,
    /// Which device this is, where the challenge said so.
    device: Option<DeviceId>,
}

impl Agent {
    /// The keys file: who this device says it is, and the public keys of its root of trust.
    pub async fn keys_file(&self) -> Result<Vec<u8>, AgentError> {
        self.blocking(|parts| Ok(keys(parts)?.encode())).await
    }

    /// A request file. One waits at a time: a new one takes the place of the one before.
    pub async fn request_file(&self, with: RequestWith) -> Result<Vec<u8>, AgentError> {
        self.blocking(move |parts| {
            let file = waiting_file(parts)?;
            let now = parts.clock.now();
            // Checked before a key is made.
            let challenge = match &with {
                RequestWith::Challenge(bytes) => Some(read_challenge(parts, bytes, now)?),
                RequestWith::Secret(_) => None,
            };
            // The way back, if there was one, ends here: its slot is needed.
            parts.identities.confirm()?;
            let slot = parts.identities.next_slot();
            let (unsigned, pcrs, device) = match (&with, challenge) {
                (RequestWith::Challenge(_), Some(challenge)) => {
                    let (device, pcrs) = (challenge.ticket.device, challenge.pcrs.clone());
                    (attested(parts, slot, challenge)?, pcrs, Some(device))
                }
                (RequestWith::Secret(text), _) => (secret(parts, slot, text)?, QUOTED_PCRS.to_vec(), None),
                (RequestWith::Challenge(_), None) => return Err(AgentError::Stopping),
            };
            let request_sha256 = request_sha256(unsigned.content());
            let signed = unsigned.sign(|bytes| parts.root.sign_tls(slot, bytes))?;
            state::write(&file, &Waiting { request_sha256, slot: slot.into(), pcrs, device })?;
            Ok(signed)
        })
        .await
    }

    /// Takes a response, if it is the one that this device waits for.
    pub async fn accept_file(&self, bytes: Vec<u8>) -> Result<Installed, AgentError> {
        let installed = self.blocking(move |parts| accept(parts, &bytes)).await?;
        self.parts.status.send_modify(|status| {
            status.device = Some(installed.device);
            status.not_after = Some(installed.not_after);
            status.renew_at = Some(installed.renew_at);
        });
        tracing::info!(device.id = %installed.device, not_after = %installed.not_after, "device has a new certificate, by file");
        Ok(installed)
    }
}

fn waiting_file(parts: &Parts) -> Result<PathBuf, AgentError> {
    let dir = parts.config.state_dir.as_ref().ok_or(AgentError::NothingKept)?;
    Ok(dir.join("offline.json"))
}

fn keys(parts: &Parts) -> Result<Keys, AgentError> {
    let config = &parts.config;
    Ok(Keys {
        vendor: config.vendor.clone(),
        model: config.model.clone(),
        serial: config.serial.clone(),
        ek_certificates: parts.root.ek_certificate_chain()?,
        ek_public: parts.root.ek_public()?,
        ak_public: parts.root.ensure_ak()?.public,
    })
}

fn read_challenge(parts: &Parts, bytes: &[u8], now: Timestamp) -> Result<Challenge, AgentError> {
    let challenge = Challenge::verify(bytes, &parts.config.anchors()?, now)?;
    let expires = challenge.ticket.expires;
    if now > expires {
        return Err(AgentError::FileExpired { what: "challenge", expires, now });
    }
    if let Some(known) = parts.identities.current().map(|identity| identity.device)
        && known != challenge.ticket.device
    {
        return Err(AgentError::Answer(format!(
            "the challenge is for device {}, this is {known}",
            challenge.ticket.device
        )));
    }
    Ok(challenge)
}

/// Key, certification and evidence, as over a connection; the challenge's id stands where that has its channel binding.
fn attested(parts: &Parts, slot: KeySlot, challenge: Challenge) -> Result<Unsigned, AgentError> {
    let ticket = challenge.ticket;
    let (enroll, purpose) = match ticket.purpose {
        TicketFor::Enroll { .. } => {
            let opened =
                parts.root.activate_credential(&challenge.credential_blob, &challenge.encrypted_secret)?;
            (Some((keys(parts)?, opened)), Purpose::Enroll)
        }
        TicketFor::Renew => (None, Purpose::Attest),
    };
    let bound = Binding {
        device: ticket.device,
        checkpoint: CheckpointRef { size: ticket.checkpoint_size, root: ticket.checkpoint_root.0 },
        channel: ticket.id(),
    };
    let proof = issuance(parts, slot, purpose, &bound, &challenge.pcrs)?;
    let answer = Attested {
        ticket,
        enroll,
        tls_public: proof.tls_public.0,
        certify: proof.certify.0,
        certify_signature: proof.certify_signature.0,
        evidence: proof.evidence.0,
    };
    Ok(RequestFile::with_challenge(&proof.csr.0, &answer))
}

fn secret(parts: &Parts, slot: KeySlot, typed: &str) -> Result<Unsigned, AgentError> {
    // As the server forgives it: people type it.
    let text = typed.trim().to_ascii_lowercase();
    let id = id_of(&text).map_err(|e| AgentError::Csr(format!("the one-time secret: {e}")))?;
    let failed = |e: String| AgentError::Csr(e);
    let public = Public::parse(&parts.root.create_tls_key(slot)?).map_err(|e| failed(e.to_string()))?;
    // The name is nobody's business: the record has it.
    let csr = csr::build(&spki_der(&public), "device", |bytes| parts.root.sign_tls(slot, bytes))
        .map_err(|e| failed(e.to_string()))?;
    Ok(RequestFile::with_secret(&csr, id, &text))
}

fn accept(parts: &Parts, bytes: &[u8]) -> Result<Installed, AgentError> {
    let file = waiting_file(parts)?;
    let now = parts.clock.now();
    let response = Response::verify(bytes, &parts.config.anchors()?, now)?;
    let waiting: Waiting = state::read(&file)?.ok_or(AgentError::NotAwaited)?;
    if waiting.request_sha256 != response.request_sha256 {
        return Err(AgentError::OtherRequest);
    }
    if now > response.expires {
        return Err(AgentError::FileExpired { what: "response", expires: response.expires, now });
    }
    let (chain_pem, leaf) = check(parts, &waiting, &response, &parts.clock)?;
    let installed =
        Installed { device: response.device, not_after: leaf.not_after(), renew_at: response.renew_at };
    // After a crash between the two: it is installed already.
    if parts.identities.leaf().as_ref() != Some(leaf.der()) {
        parts.identities.install(Identity {
            device: response.device,
            slot: waiting.slot,
            chain_pem,
            renew_at: response.renew_at,
            not_after: leaf.not_after(),
            pcrs: waiting.pcrs,
            protocol: Protocol::Native,
        })?;
    }
    state::remove(&file)?;
    Ok(installed)
}

/// The certificate is this device's, by the authority that it trusts.
fn check(
    parts: &Parts,
    waiting: &Waiting,
    response: &Response,
    clock: &Clock,
) -> Result<(String, Certificate), AgentError> {
    let unfit = |why: String| AgentError::Answer(format!("the certificate in the response: {why}"));
    let chain: Vec<CertificateDer<'_>> =
        response.chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let verified = validate(&chain, &parts.config.anchors()?, TlsPurpose::Client, clock.now())
        .map_err(|e| unfit(e.to_string()))?;
    let named = verified.identity();
    let known = waiting.device.is_none_or(|device| device == response.device);
    if named != PeerIdentity::Device(response.device) || !known {
        return Err(unfit(format!("it is for {named}")));
    }
    let pem = |c: &Certificate| c.to_pem();
    let chain_pem = std::iter::once(verified.leaf()).chain(verified.issuers()).map(pem).collect();
    Ok((chain_pem, verified.leaf().clone()))
}
