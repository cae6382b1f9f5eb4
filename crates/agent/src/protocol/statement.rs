//! The `tpm` statement (WebAuthn 8.3) about a key of this device, for whoever asks by ACME's device-attest-01.

use lanyard_attest::tpm::structures::{Key, Public};
use lanyard_attest::webauthn::{Format, Statement, encode};

use crate::error::AgentError;
use crate::tpm::{KeySlot, RootOfTrust};

/// COSE: ECDSA with SHA-256 (RFC 9053 2.1), and RSA PKCS#1 v1.5 with SHA-256 (RFC 8812 2).
const ES256: i64 = -7;
const RS256: i64 = -257;

/// The attestation object: the key in `slot`, certified by the attestation key over `digest`, which is SHA-256 of the key
/// authorization (device attestation draft 5). `certificates` are the maker's for the attestation key, DER, its own first.
/// Blocks.
pub fn attestation_object(
    root: &dyn RootOfTrust,
    slot: KeySlot,
    certificates: Vec<Vec<u8>>,
    digest: &[u8; 32],
) -> Result<Vec<u8>, AgentError> {
    let ak = Public::parse(&root.ensure_ak()?.public).map_err(|e| AgentError::Csr(e.to_string()))?;
    let public = root.load_tls_key(slot)?;
    // WebAuthn 8.3: extraData is the digest, by the hash of `alg`.
    let certified = root.certify_tls_key(slot, digest)?;
    let statement = Statement {
        version: Some("2.0".to_owned()),
        algorithm: Some(match ak.key {
            Key::Ecc { .. } => ES256,
            Key::Rsa { .. } => RS256,
        }),
        signature: Some(certified.signature),
        certificates: Some(certificates),
        cert_info: Some(certified.attest),
        pub_area: Some(public),
    };
    Ok(encode(Format::Tpm.as_str(), &statement, None))
}
