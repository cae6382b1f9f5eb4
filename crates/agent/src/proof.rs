//! The proofs of one issuance or attestation, made by the root of trust for one connection and one checkpoint.
//! Everything here blocks.

use lanyard_api::device::{CheckpointReply, IssuanceProof};
use lanyard_api::exporter::ChannelBinding;
use lanyard_attest::evidence::TpmEvidence;
use lanyard_attest::freshness::{CheckpointRef, Purpose, qualifying_data};
use lanyard_attest::tpm::structures::{Public, spki_der};
use lanyard_domain::id::DeviceId;
use lanyard_domain::text::Blob;
use lanyard_pki::csr;

use crate::agent::Parts;
use crate::error::AgentError;
use crate::tpm::KeySlot;

/// What a proof is bound to.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    pub(crate) device: DeviceId,
    pub(crate) checkpoint: CheckpointRef,
    pub(crate) channel: ChannelBinding,
}

impl Binding {
    pub(crate) fn new(device: DeviceId, checkpoint: &CheckpointReply, channel: ChannelBinding) -> Self {
        let checkpoint = CheckpointRef { size: checkpoint.size, root: checkpoint.root.0 };
        Self { device, checkpoint, channel }
    }

    fn nonce(&self, purpose: Purpose) -> [u8; 32] {
        qualifying_data(purpose, &self.checkpoint, *self.device.as_bytes(), self.channel)
    }
}

/// Quote and event log. The log is taken first: it may extend a model that the quote must then show.
pub(crate) fn evidence(
    parts: &Parts,
    purpose: Purpose,
    binding: &Binding,
    pcrs: &[u8],
) -> Result<Vec<u8>, AgentError> {
    let event_log = parts.measurements.event_log(parts.root.as_ref())?;
    parts.root.ensure_ak()?;
    let quote = parts.root.quote(&binding.nonce(purpose), pcrs)?;
    let evidence =
        TpmEvidence { quote: quote.attest, signature: quote.signature, pcrs: quote.pcrs, event_log };
    Ok(evidence.encode())
}

/// A new TLS key in `slot`, certified by the attestation key, its request, and evidence for `purpose`.
pub(crate) fn issuance(
    parts: &Parts,
    slot: KeySlot,
    purpose: Purpose,
    binding: &Binding,
    pcrs: &[u8],
) -> Result<IssuanceProof, AgentError> {
    let root = &parts.root;
    let tls_public = root.create_tls_key(slot)?;
    let certified = root.certify_tls_key(slot, &binding.nonce(Purpose::Certify))?;
    let public = Public::parse(&tls_public).map_err(|e| AgentError::Csr(e.to_string()))?;
    let csr = csr::build(&spki_der(&public), &binding.device.to_string(), |bytes| root.sign_tls(slot, bytes))
        .map_err(|e| AgentError::Csr(e.to_string()))?;
    Ok(IssuanceProof {
        checkpoint_size: binding.checkpoint.size,
        tls_public: Blob(tls_public),
        certify: Blob(certified.attest),
        certify_signature: Blob(certified.signature),
        csr: Blob(csr),
        evidence: Blob(evidence(parts, purpose, binding, pcrs)?),
    })
}
