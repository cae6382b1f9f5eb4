//! Which algorithms are read: digests and signatures here, content ciphers in [`super::cipher`].
//!
//! RFC 8894 2.9 asks for SHA-256 and AES-128-CBC; SHA-384, SHA-512 and AES-256 are read too. SHA-1 signatures and DES
//! envelopes are all that some devices (and micromdm's client) can do: they are read only where [`Algorithms::Legacy`]
//! says so, and what we sign is always SHA-256. MD5, RSASSA-PSS, RSAES-OAEP and keys other than RSA are not read.

use aws_lc_rs::digest;
use der::asn1::ObjectIdentifier;
use lanyard_pki::spki::{PublicKey, SignatureRefused};

use super::oid;

/// What a responder reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithms {
    /// SHA-256, SHA-384, SHA-512; AES-CBC.
    #[default]
    Current,
    /// These, and what was broken long ago: SHA-1 in signatures, DES and triple DES in envelopes.
    Legacy,
}

/// The digest of this object identifier, if it may be used.
pub(super) fn digest(oid: &ObjectIdentifier, accepted: Algorithms) -> Option<&'static digest::Algorithm> {
    match *oid {
        oid::SHA256 => Some(&digest::SHA256),
        oid::SHA384 => Some(&digest::SHA384),
        oid::SHA512 => Some(&digest::SHA512),
        oid::SHA1 if accepted == Algorithms::Legacy => Some(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        _ => None,
    }
}

/// A SignerInfo names its signature by the key's algorithm and leaves the digest to the other field, or names both
/// (RFC 3370 3.2). Either way this is the whole name; `None` when the two fields contradict each other.
pub(super) fn signature(digest: &ObjectIdentifier, signature: &ObjectIdentifier) -> Option<ObjectIdentifier> {
    let whole = match *digest {
        oid::SHA1 => oid::SHA1_WITH_RSA,
        oid::SHA256 => oid::SHA256_WITH_RSA,
        oid::SHA384 => oid::SHA384_WITH_RSA,
        oid::SHA512 => oid::SHA512_WITH_RSA,
        _ => return None,
    };
    (*signature == oid::RSA_ENCRYPTION || *signature == whole).then_some(whole)
}

/// Checks a signature over a message.
pub(super) fn verify(
    key: &PublicKey,
    algorithm: &ObjectIdentifier,
    message: &[u8],
    signature: &[u8],
    accepted: Algorithms,
) -> Result<(), SignatureRefused> {
    match accepted {
        Algorithms::Current => key.verify(algorithm, message, signature),
        Algorithms::Legacy => key.verify_legacy(algorithm, message, signature),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha1_is_read_only_where_legacy_is_allowed_and_md5_never() {
        let md5 = ObjectIdentifier::new_unwrap("1.2.840.113549.2.5");
        assert!(digest(&oid::SHA1, Algorithms::Current).is_none());
        assert!(digest(&oid::SHA1, Algorithms::Legacy).is_some());
        assert!(digest(&md5, Algorithms::Legacy).is_none());
    }

    #[test]
    fn a_signature_of_another_digest_is_no_name() {
        assert_eq!(signature(&oid::SHA256, &oid::RSA_ENCRYPTION), Some(oid::SHA256_WITH_RSA));
        assert_eq!(signature(&oid::SHA256, &oid::SHA256_WITH_RSA), Some(oid::SHA256_WITH_RSA));
        assert_eq!(signature(&oid::SHA256, &oid::SHA1_WITH_RSA), None);
        let pss = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
        assert_eq!(signature(&oid::SHA256, &pss), None);
    }
}
