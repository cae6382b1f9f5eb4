//! What the control plane signs: content, the signer's chain, a signature over both. The device accepts it under the anchors
//! that it pinned, from the control plane and from nobody else of the same hospital.

use lanyard_attest::wire::{Reader, put_tpm2b};
use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::PeerIdentity;
use lanyard_pki::oid;
use lanyard_pki::path::{Anchors, Purpose, validate};
use lanyard_pki::spki::{PublicKey, PublicKeyKind};
use rustls_pki_types::CertificateDer;

use super::read::{chain, put_chain};
use super::{CONTEXT, FileError};

/// ECDSA over P-384 has at most 104 bytes, RSA-4096 has 512.
const MAX_SIGNATURE: usize = 512;

/// A file that waits for its signature.
#[derive(Debug, Clone)]
pub struct Unsigned {
    bytes: Vec<u8>,
}

impl Unsigned {
    /// `content` by the control plane with this chain, its own certificate first.
    pub(super) fn by(mut content: Vec<u8>, signer: &[Vec<u8>]) -> Self {
        put_chain(&mut content, signer);
        Self { bytes: content }
    }

    /// `content` by a key that stands in it.
    pub(super) const fn by_itself(content: Vec<u8>) -> Self {
        Self { bytes: content }
    }

    /// What stands in the file before the signature.
    pub fn content(&self) -> &[u8] {
        &self.bytes
    }

    /// The file; `sign` gets the bytes to sign and returns the signature as X.509 has it.
    pub fn sign<E>(self, sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>) -> Result<Vec<u8>, E> {
        let signature = sign(&to_be_signed(&self.bytes))?;
        let mut file = self.bytes;
        put_tpm2b(&mut file, &signature);
        Ok(file)
    }
}

/// The end of a file: who signed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<'a> {
    /// Signer first; empty when a key in the file signed.
    signer: Vec<Vec<u8>>,
    content: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    /// Reads the signer's chain and the signature; nothing may follow.
    pub(super) fn read(file: &'a [u8], r: &mut Reader<'a>) -> Result<Self, FileError> {
        let signer = chain(r, "signer")?;
        Ok(Self { signer, ..Self::read_signature(file, r)? })
    }

    /// Reads the signature alone.
    pub(super) fn read_signature(file: &'a [u8], r: &mut Reader<'a>) -> Result<Self, FileError> {
        let content = file.get(..file.len().saturating_sub(r.left())).unwrap_or_default();
        let signature = r.tpm2b("signature", MAX_SIGNATURE)?;
        r.finish("signature")?;
        Ok(Self { signer: Vec::new(), content, signature })
    }

    /// What was signed, without the context.
    pub const fn content(&self) -> &'a [u8] {
        self.content
    }

    /// Whether this key signed.
    pub(super) fn verify(&self, key: &PublicKey) -> Result<(), FileError> {
        let algorithm = match key.kind() {
            PublicKeyKind::P256 => oid::ECDSA_WITH_SHA256,
            PublicKeyKind::P384 => oid::ECDSA_WITH_SHA384,
            PublicKeyKind::Ed25519 => oid::ED25519,
            PublicKeyKind::Rsa(_) => oid::SHA256_WITH_RSA,
            PublicKeyKind::MlDsa65 => oid::ML_DSA_65,
        };
        key.verify(&algorithm, &to_be_signed(self.content), self.signature).map_err(|_| FileError::Signature)
    }
}

/// Whether the control plane signed this, for whoever trusts `anchors`.
pub fn signed_by_control_plane(
    signed: &Signed<'_>,
    anchors: &Anchors,
    now: Timestamp,
) -> Result<(), FileError> {
    let shown: Vec<CertificateDer<'_>> =
        signed.signer.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let chain = validate(&shown, anchors, Purpose::Server, now)?;
    match chain.identity() {
        PeerIdentity::Control => signed.verify(chain.leaf().public_key().map_err(|_| FileError::Signature)?),
        other => Err(FileError::NotControlPlane(other.to_string())),
    }
}

pub(super) fn to_be_signed(content: &[u8]) -> Vec<u8> {
    [CONTEXT, content].concat()
}
