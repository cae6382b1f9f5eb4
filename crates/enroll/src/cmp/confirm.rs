//! certConf (RFC 9810 5.3.18): the client says whether it takes the certificate, naming it by a hash.

use der::asn1::ObjectIdentifier;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::write;

use super::hash::Hash;
use super::oid;
use super::status::StatusInfo;
use super::tlv::{Malformed, Tlv, write_integer, write_plain_algorithm};

/// What a certConf says of the one certificate. None: of no certificate, which rejects it (RFC 9810 5.3.18).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Confirmation {
    pub hash: Vec<u8>,
    pub request_id: i64,
    /// None means accepted.
    pub status: Option<StatusInfo>,
    /// Only cmp2021 has it.
    pub hash_algorithm: Option<ObjectIdentifier>,
}

/// The statements in a certConf; two are read so that the second can be refused.
pub(super) fn read(body: Tlv<'_>) -> Result<Vec<Confirmation>, Malformed> {
    body.fields().all(2)?.into_iter().map(read_one).collect()
}

fn read_one(tlv: Tlv<'_>) -> Result<Confirmation, Malformed> {
    let mut fields = tlv.fields();
    let hash = fields.take(write::OCTET_STRING, "certHash")?.content.to_vec();
    let request_id = fields.take(write::INTEGER, "certConf.certReqId")?.integer()?;
    let status = match fields.optional(write::SEQUENCE, "certConf.statusInfo")? {
        Some(status) => Some(StatusInfo::read(status)?),
        None => None,
    };
    let hash_algorithm = match fields.optional(write::context_constructed(0), "certConf.hashAlg")? {
        Some(algorithm) => Some(algorithm.inner()?.plain_algorithm()?),
        None => None,
    };
    fields.finish()?;
    Ok(Confirmation { hash, request_id, status, hash_algorithm })
}

impl Confirmation {
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        write::tlv(&mut out, write::SEQUENCE, |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                write::bytes(o, write::OCTET_STRING, &self.hash);
                write_integer(o, self.request_id);
                if let Some(status) = &self.status {
                    status.write(o);
                }
                if let Some(algorithm) = &self.hash_algorithm {
                    write::tlv(o, write::context_constructed(0), |o| write_plain_algorithm(o, algorithm));
                }
            });
        });
        out
    }
}

/// The hash that names a certificate where no algorithm is said: that of the signature on it (RFC 9810 5.3.18); SHA-512
/// for Ed25519 (RFC 9481 3.3). None: an algorithm whose hash must be said.
pub(super) fn hash_of(certificate: &Certificate) -> Option<Hash> {
    match certificate.signature_algorithm() {
        oid::ECDSA_WITH_SHA256 | oid::SHA256_WITH_RSA => Some(Hash::Sha256),
        oid::ECDSA_WITH_SHA384 | oid::SHA384_WITH_RSA => Some(Hash::Sha384),
        oid::ECDSA_WITH_SHA512 | oid::SHA512_WITH_RSA | oid::ED25519 => Some(Hash::Sha512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmp::testing::Hospital;

    #[test]
    fn a_certificate_is_hashed_as_it_was_signed() {
        let hospital = Hospital::new();
        // The root signs with P-384, the issuing CA with P-256.
        assert_eq!(hash_of(hospital.root()), Some(Hash::Sha384));
        assert_eq!(hash_of(hospital.issuing()), Some(Hash::Sha384));
        assert_eq!(hash_of(&hospital.device.certificate), Some(Hash::Sha256));
    }
}
