//! What is to be shown for one challenge, and that it is shown.

use serde_json::{Value, json};

use crate::acme::base64url::encode;
use crate::acme::challenge::{ChallengeKind, dns01, http01};
use crate::acme::digest::sha256;
use crate::acme::identifier::Identifier;

/// A challenge that waits for the caller. When its answer is in place, or made: [`super::Ordering::prove`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToProve {
    /// Whose.
    pub identifier: Identifier,
    /// How.
    pub kind: ChallengeKind,
    /// The challenge's token.
    pub token: String,
    /// Token and account key (RFC 8555 8.1).
    pub key_authorization: String,
}

impl ToProve {
    /// http-01 (RFC 8555 8.3): the server fetches this, and expects the key authorization.
    pub fn http_url(&self) -> String {
        http01::url(&self.identifier, &self.token)
    }

    /// dns-01 (RFC 8555 8.4): name and content of the TXT record.
    pub fn dns_record(&self) -> (String, String) {
        (dns01::name(&self.identifier), encode(&self.digest()))
    }

    /// SHA-256 of the key authorization: what a tls-alpn-01 certificate carries (RFC 8737 3), and what a TPM puts into a
    /// statement as extraData.
    pub fn digest(&self) -> [u8; 32] {
        sha256(self.key_authorization.as_bytes())
    }
}

/// The answer to a challenge.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// File, record or certificate is in place: the server may look.
    InPlace,
    /// A WebAuthn attestation object (device-attest-01).
    Attestation(Vec<u8>),
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InPlace => f.write_str("InPlace"),
            Self::Attestation(object) => write!(f, "Attestation({} bytes)", object.len()),
        }
    }
}

impl Proof {
    pub(super) fn fits(&self, kind: ChallengeKind) -> bool {
        matches!(self, Self::Attestation(_)) == (kind == ChallengeKind::DeviceAttest01)
    }

    pub(super) fn payload(&self) -> Value {
        match self {
            Self::InPlace => json!({}),
            Self::Attestation(object) => json!({ "attObj": encode(object) }),
        }
    }
}
