//! PKCS#10 (RFC 2986): read a request and check that its sender holds the key; build one.
//!
//! What a request asks for besides its key (names, extensions, lifetime) is ignored on purpose: names come from
//! the record, the rest from the profile. In scope: size limit, key kind and strength, proof of possession.
//! Out of scope: who may ask (control), attributes of enrolment protocols (enroll).

use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader};
use spki::AlgorithmIdentifierRef;
use x509_cert::request::CertReqInfo;

use crate::oid;
use crate::spki::{KeyRefused, PublicKey, PublicKeyKind, SignatureRefused};
use crate::tbs;
use crate::write;

/// A P-256 request has about 300 bytes, an RSA-8192 one with long names about 3 KiB, an ML-DSA-65 one about 6 KiB.
pub const MAX_CSR_BYTES: usize = 16 * 1024;

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Longer than [`MAX_CSR_BYTES`].
    #[error("certificate request has {0} bytes, at most {MAX_CSR_BYTES} are read")]
    TooLarge(usize),
    /// Not DER of RFC 2986.
    #[error("certificate request is malformed: {0}")]
    Malformed(String),
    /// The key in it is not accepted.
    #[error("certificate request: {0}")]
    Key(#[from] KeyRefused),
    /// The sender has not shown that it holds the key.
    #[error("certificate request: proof of possession failed, {0}")]
    Possession(#[from] SignatureRefused),
    /// The signature is over something in which the key does not stand.
    #[error("certificate request: what was signed does not hold the key, so it proves nothing about it")]
    KeyNotSigned,
}

/// A request whose signature was made with the private part of its key. Made only by [`verify`]
/// and [`possession`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCsr {
    key: PublicKey,
    subject: Vec<String>,
}

impl VerifiedCsr {
    /// The SubjectPublicKeyInfo of the requested certificate.
    pub fn spki_der(&self) -> &[u8] {
        self.key.der()
    }
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub fn spki_sha256(&self) -> [u8; 32] {
        self.key.sha256()
    }
    /// What key it is.
    pub fn key_kind(&self) -> PublicKeyKind {
        self.key.kind()
    }
    /// The key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }
    /// The texts of the request's subject: whom the key's holder says it is for. Never copied into a certificate; for
    /// protocols that do not bind a request to its sender otherwise. Empty for [`possession`].
    pub fn subject(&self) -> &[String] {
        &self.subject
    }
}

/// Reads a DER request and checks its proof of possession. Fuzz entry point.
pub fn verify(der: &[u8]) -> Result<VerifiedCsr, CsrError> {
    read(der, PublicKey::verify)
}

/// The same for a device that may know no better hash than SHA-1 ([`PublicKey::verify_legacy`]): a collision would
/// have to be made by who holds the key, and gains nothing.
pub fn verify_legacy(der: &[u8]) -> Result<VerifiedCsr, CsrError> {
    read(der, PublicKey::verify_legacy)
}

type Check = fn(&PublicKey, &ObjectIdentifier, &[u8], &[u8]) -> Result<(), SignatureRefused>;

fn read(der: &[u8], check: Check) -> Result<VerifiedCsr, CsrError> {
    if der.len() > MAX_CSR_BYTES {
        return Err(CsrError::TooLarge(der.len()));
    }
    let parts = split(der).map_err(|e| CsrError::Malformed(e.to_string()))?;
    // Read as a whole, so that nothing malformed passes beside the key.
    let info = CertReqInfo::from_der(parts.info).map_err(|e| CsrError::Malformed(e.to_string()))?;
    let spki = spki_of(parts.info).map_err(|e| CsrError::Malformed(e.to_string()))?;
    let key = PublicKey::parse(spki)?;
    let signature =
        parts.signature.as_bytes().ok_or_else(|| CsrError::Malformed("signature has unused bits".into()))?;
    check(&key, &parts.algorithm.oid, parts.info, signature)?;
    let texts = info.subject.iter().filter_map(|a| std::str::from_utf8(a.value.value()).ok());
    Ok(VerifiedCsr { key, subject: texts.map(str::to_owned).collect() })
}

/// The key that signed a statement of another protocol in which it stands itself, CRMF's CertRequest (RFC 4211 4.1).
///
/// The signed bytes must hold the key: else they would be a signature of anything, replayed for this.
pub fn possession(
    spki_der: &[u8],
    signed: &[u8],
    algorithm: &ObjectIdentifier,
    signature: &[u8],
) -> Result<VerifiedCsr, CsrError> {
    if signed.len() > MAX_CSR_BYTES {
        return Err(CsrError::TooLarge(signed.len()));
    }
    let key = PublicKey::parse(spki_der)?;
    // Without its outer tag: CRMF tags the key anew, what stands inside of it is the same.
    let content = AnyRef::from_der(spki_der).map_err(|e| CsrError::Malformed(e.to_string()))?.value();
    if !signed.windows(content.len()).any(|window| window == content) {
        return Err(CsrError::KeyNotSigned);
    }
    key.verify(algorithm, signed, signature)?;
    Ok(VerifiedCsr { key, subject: Vec::new() })
}

struct Parts<'a> {
    info: &'a [u8],
    algorithm: AlgorithmIdentifierRef<'a>,
    signature: BitStringRef<'a>,
}

// The signature is over the bytes as sent: they are cut out, never encoded again.
fn split(der: &[u8]) -> der::Result<Parts<'_>> {
    let mut reader = SliceReader::new(der)?;
    let parts = reader.sequence(|r| {
        Ok::<_, der::Error>(Parts { info: r.tlv_bytes()?, algorithm: r.decode()?, signature: r.decode()? })
    })?;
    reader.finish()?;
    Ok(parts)
}

fn spki_of(info: &[u8]) -> der::Result<&[u8]> {
    let mut reader = SliceReader::new(info)?;
    reader.sequence(|r| {
        // version, subject
        r.tlv_bytes()?;
        r.tlv_bytes()?;
        let spki = r.tlv_bytes()?;
        // attributes
        r.tlv_bytes()?;
        Ok(spki)
    })
}

/// Why a request could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildCsrError<E: std::error::Error> {
    /// The key is not one that we would certify.
    #[error("certificate request: {0}")]
    Key(#[from] KeyRefused),
    /// The common name is empty or too long.
    #[error(
        "common name `{0}` must have 1 to 64 characters (RFC 5280 ub-common-name) and no control characters"
    )]
    CommonName(String),
    /// The signer failed.
    #[error("signing the certificate request failed: {0}")]
    Signer(#[source] E),
    /// The signer signed with another key or another hash.
    #[error("the signature over the certificate request does not verify with its own key: {0}")]
    WrongSigner(#[source] CsrError),
}

/// Builds a request for a key that may live elsewhere (TPM, key store): `sign` gets the bytes to sign and returns
/// the signature as it stands in X.509 (DER for ECDSA), over SHA-256 for P-256 and RSA, SHA-384 for P-384, and over the
/// bytes themselves for Ed25519 and ML-DSA.
///
/// The result is verified before it is returned, so that a wrong signer is seen here and not at the server.
pub fn build<E: std::error::Error>(
    spki_der: &[u8],
    common_name: &str,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, BuildCsrError<E>> {
    if !(1..=64).contains(&common_name.chars().count()) || common_name.chars().any(char::is_control) {
        return Err(BuildCsrError::CommonName(common_name.chars().take(80).collect()));
    }
    let mut subject = Vec::new();
    write::tlv(&mut subject, write::SEQUENCE, |o| {
        write::rdn(o, &oid::COMMON_NAME, write::UTF8_STRING, common_name);
    });
    build_with(spki_der, &subject, &[], sign)
}

/// The same for a subject (DER of a Name) and extensions (DER, one after the other) that are asked for.
pub(crate) fn build_with<E: std::error::Error>(
    spki_der: &[u8],
    subject: &[u8],
    extensions: &[u8],
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, BuildCsrError<E>> {
    let key = PublicKey::parse(spki_der)?;
    let mut info = Vec::with_capacity(256);
    write::tlv(&mut info, write::SEQUENCE, |o| {
        write::bytes(o, write::INTEGER, &[0]);
        o.extend_from_slice(subject);
        o.extend_from_slice(spki_der);
        // RFC 2986 4.1: the attributes are not optional; none is an empty set.
        write::tlv(o, write::context_constructed(0), |o| {
            if extensions.is_empty() {
                return;
            }
            // RFC 2985 5.4.2: extensionRequest.
            write::tlv(o, write::SEQUENCE, |o| {
                write::oid(o, &oid::EXTENSION_REQUEST);
                write::tlv(o, write::SET, |o| write::bytes(o, write::SEQUENCE, extensions));
            });
        });
    });
    let signature = sign(&info).map_err(BuildCsrError::Signer)?;
    let mut der = Vec::with_capacity(info.len() + signature.len() + 32);
    write::tlv(&mut der, write::SEQUENCE, |o| {
        o.extend_from_slice(&info);
        signature_algorithm(o, key.kind());
        write::bit_string(o, &signature);
    });
    verify(&der).map_err(BuildCsrError::WrongSigner)?;
    Ok(der)
}

/// Writes the AlgorithmIdentifier of the signatures that our software keys make: SHA-256 for P-256 and RSA, SHA-384 for
/// P-384, the key's own for the others.
pub fn signature_algorithm(out: &mut Vec<u8>, kind: PublicKeyKind) {
    out.extend(tbs::algorithm_identifier(&match kind {
        PublicKeyKind::P256 => oid::ECDSA_WITH_SHA256,
        PublicKeyKind::P384 => oid::ECDSA_WITH_SHA384,
        PublicKeyKind::Ed25519 => oid::ED25519,
        PublicKeyKind::Rsa(_) => oid::SHA256_WITH_RSA,
        PublicKeyKind::MlDsa65 => oid::ML_DSA_65,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeyBackend, KeyError, KeyKind, KeyLabel, MemoryKeys};

    fn good(kind: KeyKind) -> Vec<u8> {
        let keys = MemoryKeys::default();
        let label: KeyLabel = "device".parse().unwrap();
        let spki = keys.generate(&label, kind).unwrap();
        build(&spki, "pump", |tbs| keys.sign(&label, tbs)).unwrap()
    }

    #[test]
    fn what_is_built_verifies() {
        for kind in KeyKind::ALL {
            let csr = verify(&good(kind)).unwrap();
            assert_eq!(csr.key_kind(), kind.public());
            assert_eq!(csr.spki_sha256(), crate::spki::sha256(csr.spki_der()));
        }
    }

    // I1: a signature proves a key only where the key stands in what was signed.
    #[test]
    fn possession_needs_the_key_among_the_signed_bytes() {
        let keys = MemoryKeys::default();
        let (a, b): (KeyLabel, KeyLabel) = ("a".parse().unwrap(), "b".parse().unwrap());
        let spki = keys.generate(&a, KeyKind::P256).unwrap();
        let other = keys.generate(&b, KeyKind::P256).unwrap();
        // As CRMF has it: the outer tag is another one.
        let signed = |spki: &[u8]| [&[0x30, 0x5b, 0xa6], &spki[1..]].concat();
        let prove = |message: &[u8], signer: &KeyLabel| {
            let signature = keys.sign(signer, message).unwrap();
            possession(&spki, message, &oid::ECDSA_WITH_SHA256, &signature)
        };
        assert_eq!(prove(&signed(&spki), &a).unwrap().spki_der(), spki);
        assert_eq!(prove(&signed(&other), &a), Err(CsrError::KeyNotSigned));
        assert_eq!(prove(b"", &a), Err(CsrError::KeyNotSigned));
        assert_eq!(prove(&signed(&spki), &b), Err(CsrError::Possession(SignatureRefused::Invalid)));
        let large = [signed(&spki), vec![0; MAX_CSR_BYTES]].concat();
        assert_eq!(prove(&large, &a), Err(CsrError::TooLarge(large.len())));
        let signature = keys.sign(&a, &signed(&spki)).unwrap();
        assert_eq!(
            possession(&spki, &signed(&spki), &oid::ED25519, &signature),
            Err(CsrError::Possession(SignatureRefused::Algorithm))
        );
        assert!(matches!(possession(b"", b"", &oid::ED25519, b""), Err(CsrError::Key(_))));
    }

    // I12
    #[test]
    fn a_cut_at_any_byte_and_a_flip_of_any_bit_are_refused() {
        let der = good(KeyKind::P256);
        for at in 0..der.len() {
            assert!(verify(&der[..at]).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut changed = der.clone();
                changed[at] ^= 1 << bit;
                assert!(verify(&changed).is_err(), "flip of bit {bit} at {at}");
            }
        }
        assert!(verify(&[der.as_slice(), &[0]].concat()).is_err(), "a byte after the end");
    }

    #[test]
    fn a_request_beyond_the_size_limit_is_not_read() {
        assert_eq!(verify(&vec![0x30; MAX_CSR_BYTES + 1]), Err(CsrError::TooLarge(MAX_CSR_BYTES + 1)));
        assert!(matches!(verify(&vec![0x30; MAX_CSR_BYTES]), Err(CsrError::Malformed(_))));
    }

    // I1: a key is certified for who holds it only.
    #[test]
    fn a_request_signed_with_another_key_is_refused() {
        let keys = MemoryKeys::default();
        let (a, b): (KeyLabel, KeyLabel) = ("a".parse().unwrap(), "b".parse().unwrap());
        let spki = keys.generate(&a, KeyKind::P256).unwrap();
        keys.generate(&b, KeyKind::P256).unwrap();
        assert!(matches!(
            build(&spki, "pump", |tbs| keys.sign(&b, tbs)),
            Err(BuildCsrError::WrongSigner(CsrError::Possession(SignatureRefused::Invalid)))
        ));
        assert!(matches!(
            build(&spki, "pump", |_| Err(KeyError::NotFound(a.clone()))),
            Err(BuildCsrError::Signer(KeyError::NotFound(_)))
        ));
        for name in ["", "a\u{7}", &"x".repeat(65)] {
            assert!(matches!(
                build(&spki, name, |tbs| keys.sign(&a, tbs)),
                Err(BuildCsrError::CommonName(_))
            ));
        }
    }
}
