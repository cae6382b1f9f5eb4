//! The public areas that we ask a TPM to fill in: one per key role, used by both backends.
//!
//! The endorsement templates (L-1, L-2) and the attribute sets of the other roles are `lanyard_attest`'s,
//! because the verifier checks keys against them. To add a role: one function here and its check there.

use lanyard_attest::tpm::keys::{AK_ATTRIBUTES, TLS_ATTRIBUTES};
use lanyard_attest::tpm::structures::{Attributes, Curve, HashAlg, Key, Public, Scheme, Symmetric};

/// The attestation key: restricted ECDSA P-256.
pub(super) fn attestation_key() -> Public {
    signing(AK_ATTRIBUTES)
}

/// A TLS key: ECDSA P-256. Its auth value is empty, so dictionary-attack protection would guard nothing, and
/// a lockout caused by someone else's wrong passwords must not stop a device's TLS: hence noDA.
pub(super) fn tls_key() -> Public {
    signing(TLS_ATTRIBUTES.with(Attributes::NO_DA))
}

/// The storage root key: TCG TPM v2.0 Provisioning Guidance 7.5.1, P-256.
pub(super) fn storage_root_key() -> Public {
    let attributes = Attributes::FIXED_TPM
        .with(Attributes::FIXED_PARENT)
        .with(Attributes::SENSITIVE_DATA_ORIGIN)
        .with(Attributes::USER_WITH_AUTH)
        .with(Attributes::NO_DA)
        .with(Attributes::RESTRICTED)
        .with(Attributes::DECRYPT);
    let key = Key::Ecc {
        symmetric: Symmetric::AesCfb { bits: 128 },
        scheme: Scheme::Null,
        curve: Curve::P256,
        x: vec![0; 32],
        y: vec![0; 32],
    };
    Public { name_alg: HashAlg::Sha256, attributes, auth_policy: Vec::new(), key }
}

fn signing(attributes: Attributes) -> Public {
    let key = Key::Ecc {
        symmetric: Symmetric::Null,
        scheme: Scheme::Ecdsa(HashAlg::Sha256),
        curve: Curve::P256,
        x: Vec::new(),
        y: Vec::new(),
    };
    Public { name_alg: HashAlg::Sha256, attributes, auth_policy: Vec::new(), key }
}
