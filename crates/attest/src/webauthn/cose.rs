//! The COSE algorithms (RFC 9053, RFC 8812) that a statement may be signed with.
//!
//! SHA-1 (RS1, -65535) is refused although Windows still uses it: a chosen-prefix collision over certInfo is in
//! reach. To add one: a variant, its number, its key kind, its identifiers.

use der::asn1::ObjectIdentifier;
use lanyard_pki::spki::{PublicKey, PublicKeyKind};

use super::StatementRefusal;
use crate::tpm::structures::HashAlg;

const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Es256,
    Es384,
    EdDsa,
    Rs256,
}

impl Algorithm {
    /// The algorithm of this number, if `key` is of its kind (WebAuthn 5.8.5 fixes the curve of each).
    pub(super) fn of(number: i64, key: &PublicKey) -> Result<Self, StatementRefusal> {
        match (number, key.kind()) {
            (-7, PublicKeyKind::P256) => Ok(Self::Es256),
            (-35, PublicKeyKind::P384) => Ok(Self::Es384),
            (-8, PublicKeyKind::Ed25519) => Ok(Self::EdDsa),
            (-257, PublicKeyKind::Rsa(_)) => Ok(Self::Rs256),
            _ => Err(StatementRefusal::Algorithm(number)),
        }
    }

    /// The hash in it; Ed25519 has none that a TPM could use beside it.
    pub(super) const fn hash(self) -> Option<HashAlg> {
        match self {
            Self::Es256 | Self::Rs256 => Some(HashAlg::Sha256),
            Self::Es384 => Some(HashAlg::Sha384),
            Self::EdDsa => None,
        }
    }

    /// Checks a signature in X.509's form.
    pub(super) fn verify(
        self,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), StatementRefusal> {
        let id = match self {
            Self::Es256 => ECDSA_WITH_SHA256,
            Self::Es384 => ECDSA_WITH_SHA384,
            Self::EdDsa => ED25519,
            Self::Rs256 => SHA256_WITH_RSA,
        };
        key.verify(&id, message, signature).map_err(|_| StatementRefusal::Signature)
    }
}
