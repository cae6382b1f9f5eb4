//! Endorsement: the certificate with which a TPM's maker vouches for its endorsement key.
//!
//! The chain is built by webpki; three rules are ours, because webpki cannot see them: the leaf's purpose is
//! an endorsement key's, the certified key is the very key that the TPM shows, and the key has the role's
//! attributes. CAs are registered by the operator; none is built in. Out of scope: whether the maker revoked a
//! certificate of the chain, which is asked in one place for all that makers vouch for (control::makers).
//! To add a rule: a variant of [`EndorsementRefusal`], a step in [`verify`], a test that it says no.

use std::time::Duration;

use der::asn1::ObjectIdentifier;
use der::{Decode, Encode};
use lanyard_domain::time::Timestamp;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};

use super::keys::{KeyFlaw, check_ek};
use super::structures::{Key, Public, key_bits, spki_der};
use crate::freshness::sha256;

/// tcg-kp-EKCertificate.
const EKU_EK: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.8.1");
/// The same as DER content octets.
const EKU_EK_DER: &[u8] = &[0x67, 0x81, 0x05, 0x08, 0x01];
/// id-RSAES-OAEP: some makers mark the key so (RFC 4055 1.2).
const RSAES_OAEP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.7");
const TPM_MANUFACTURER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.1");
const TPM_MODEL: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.2");
const TPM_VERSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.3");

/// Real endorsement certificates have 1 to 2 KiB.
const MAX_CERTIFICATE: usize = 8 * 1024;
/// Known maker chains have at most three steps between the device and the root.
const MAX_INTERMEDIATES: usize = 4;

/// A maker's CA as an operator registered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndorsementCa {
    /// Name under which it was registered.
    pub name: String,
    /// Certificate, DER. Whoever registers it vouches for it; it need not be self-signed.
    pub certificate: Vec<u8>,
}

/// Why an endorsement is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndorsementRefusal {
    /// The key is no endorsement key.
    #[error("{0}")]
    Key(#[from] KeyFlaw),
    /// Too long, too many, or not a certificate.
    #[error("the endorsement certificate is malformed: {0}")]
    Malformed(String),
    /// The certificate is for another key: a certificate of another device.
    #[error("the endorsement certificate is for another key than this security chip's")]
    KeyMismatch,
    /// The certificate is for another purpose.
    #[error("the certificate is not for an endorsement key (extended key usage 2.23.133.8.1)")]
    WrongPurpose,
    /// A CA certificate where a device's belongs.
    #[error("the endorsement certificate is a certificate authority's own")]
    IsAuthority,
    /// No registered CA issued it.
    #[error("the endorsement certificate was issued by `{issuer}`, which is not a registered maker's CA")]
    UnknownAuthority {
        /// Issuer named by the certificate, cut to 120 characters.
        issuer: String,
    },
    /// Issued under a registered name but not signed by its key.
    #[error("the endorsement certificate is not signed by the CA that it names")]
    BadSignature,
    /// Outside its validity.
    #[error("a certificate of the endorsement chain has expired")]
    Expired,
    /// Before its validity.
    #[error("a certificate of the endorsement chain is not valid yet: check the clock")]
    NotYetValid,
    /// Any other rule of path validation.
    #[error("the endorsement chain breaks a rule of path validation: {0}")]
    Path(String),
    /// A registered CA cannot be used.
    #[error("the registered endorsement CA `{0}` is not a usable certificate: register it again")]
    UnusableAuthority(String),
}

impl EndorsementRefusal {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Key(_) => "ek_unfit",
            Self::Malformed(_) => "ek_certificate_malformed",
            Self::KeyMismatch => "ek_certificate_other_key",
            Self::WrongPurpose => "ek_certificate_purpose",
            Self::IsAuthority => "ek_certificate_is_ca",
            Self::UnknownAuthority { .. } => "ek_unknown_ca",
            Self::BadSignature => "ek_certificate_signature",
            Self::Expired => "ek_certificate_expired",
            Self::NotYetValid => "ek_certificate_not_yet_valid",
            Self::Path(_) => "ek_certificate_path",
            Self::UnusableAuthority(_) => "ek_ca_unusable",
        }
    }
}

/// Proof: a registered maker vouches for this endorsement key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndorsedKey {
    public: Public,
    authority: String,
    certificate_sha256: [u8; 32],
    chip: ChipIdentity,
}

/// What the maker says about the chip. Each is none where the certificate does not say it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChipIdentity {
    /// For example `id:494E5443`.
    pub manufacturer: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Firmware version.
    pub version: Option<String>,
}

impl EndorsedKey {
    /// The endorsement key.
    pub const fn public(&self) -> &Public {
        &self.public
    }
    /// SHA-256 of its SubjectPublicKeyInfo: the hardware identity that must be unique (I2).
    pub fn key_sha256(&self) -> [u8; 32] {
        key_sha256(&self.public)
    }
    /// Name of the registered CA.
    pub fn authority(&self) -> &str {
        &self.authority
    }
    /// SHA-256 of the certificate.
    pub const fn certificate_sha256(&self) -> [u8; 32] {
        self.certificate_sha256
    }
    /// The chip as its maker describes it.
    pub const fn chip(&self) -> &ChipIdentity {
        &self.chip
    }
}

/// SHA-256 of a key's SubjectPublicKeyInfo.
pub fn key_sha256(public: &Public) -> [u8; 32] {
    sha256(&spki_der(public))
}

/// Checks that a registered maker endorses `ek`.
pub fn verify(
    ek: &Public,
    certificate: &[u8],
    intermediates: &[Vec<u8>],
    authorities: &[EndorsementCa],
    now: Timestamp,
) -> Result<EndorsedKey, EndorsementRefusal> {
    check_ek(ek)?;
    if intermediates.len() > MAX_INTERMEDIATES {
        let many = format!("at most {MAX_INTERMEDIATES} intermediates, found {}", intermediates.len());
        return Err(EndorsementRefusal::Malformed(many));
    }
    for der in intermediates.iter().map(Vec::as_slice).chain([certificate]) {
        if der.len() > MAX_CERTIFICATE {
            let long = format!("at most {MAX_CERTIFICATE} bytes, found {}", der.len());
            return Err(EndorsementRefusal::Malformed(long));
        }
    }
    let parsed =
        Certificate::from_der(certificate).map_err(|e| EndorsementRefusal::Malformed(e.to_string()))?;
    let authority = chain(certificate, intermediates, authorities, now, &parsed)?;
    check_purpose(&parsed)?;
    check_key(ek, &parsed)?;
    Ok(EndorsedKey {
        public: ek.clone(),
        authority: authority.to_owned(),
        certificate_sha256: sha256(certificate),
        chip: chip(&parsed)?,
    })
}

fn chain<'a>(
    certificate: &[u8],
    intermediates: &[Vec<u8>],
    authorities: &'a [EndorsementCa],
    now: Timestamp,
    parsed: &Certificate,
) -> Result<&'a str, EndorsementRefusal> {
    let roots: Vec<CertificateDer<'_>> =
        authorities.iter().map(|a| CertificateDer::from(a.certificate.as_slice())).collect();
    let anchors = roots
        .iter()
        .zip(authorities)
        .map(|(der, a)| {
            anchor_from_trusted_cert(der).map_err(|_| EndorsementRefusal::UnusableAuthority(a.name.clone()))
        })
        .collect::<Result<Vec<TrustAnchor<'_>>, _>>()?;
    let leaf = CertificateDer::from(certificate);
    let leaf = EndEntityCert::try_from(&leaf).map_err(|e| EndorsementRefusal::Malformed(e.to_string()))?;
    let between: Vec<CertificateDer<'_>> =
        intermediates.iter().map(|i| CertificateDer::from(i.as_slice())).collect();
    let seconds = u64::try_from(now.as_seconds()).unwrap_or(0);
    let path = leaf
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &between,
            UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
            // `required` would ask it of the CA too, which has none; the leaf's is checked by us.
            KeyUsage::required_if_present(EKU_EK_DER),
            None,
            None,
        )
        .map_err(|e| refusal(e, parsed))?;
    let used = path.anchor();
    let name =
        anchors.iter().zip(authorities).find(|(anchor, _)| *anchor == used).map(|(_, a)| a.name.as_str());
    name.ok_or_else(|| EndorsementRefusal::Path("the chain ends at no registered authority".to_owned()))
}

fn refusal(error: webpki::Error, parsed: &Certificate) -> EndorsementRefusal {
    use webpki::Error as E;
    match error {
        E::UnknownIssuer => {
            let issuer = parsed.tbs_certificate().issuer().to_string();
            EndorsementRefusal::UnknownAuthority { issuer: printable(&issuer, 120) }
        }
        E::CertExpired { .. } => EndorsementRefusal::Expired,
        E::CertNotValidYet { .. } => EndorsementRefusal::NotYetValid,
        E::InvalidSignatureForPublicKey => EndorsementRefusal::BadSignature,
        E::CaUsedAsEndEntity => EndorsementRefusal::IsAuthority,
        E::RequiredEkuNotFoundContext(_) => EndorsementRefusal::WrongPurpose,
        other => EndorsementRefusal::Path(other.to_string()),
    }
}

fn check_purpose(certificate: &Certificate) -> Result<(), EndorsementRefusal> {
    let usage = certificate
        .tbs_certificate()
        .get_extension::<ExtendedKeyUsage>()
        .map_err(|e| EndorsementRefusal::Malformed(e.to_string()))?;
    match usage {
        Some((_, ExtendedKeyUsage(oids))) if oids.contains(&EKU_EK) => Ok(()),
        _ => Err(EndorsementRefusal::WrongPurpose),
    }
}

fn check_key(ek: &Public, certificate: &Certificate) -> Result<(), EndorsementRefusal> {
    let certified = certificate.tbs_certificate().subject_public_key_info();
    if certified.to_der().is_ok_and(|der| der == spki_der(ek)) {
        return Ok(());
    }
    // The same RSA key under the other algorithm identifier: compare the key itself.
    let oaep = matches!(ek.key, Key::Rsa { .. }) && certified.algorithm.oid == RSAES_OAEP;
    if oaep && certified.subject_public_key.raw_bytes() == key_bits(ek) {
        return Ok(());
    }
    Err(EndorsementRefusal::KeyMismatch)
}

/// TCG EK credential profile 3.2.9: manufacturer, model and version in a directory name of the SAN.
fn chip(certificate: &Certificate) -> Result<ChipIdentity, EndorsementRefusal> {
    let san = certificate
        .tbs_certificate()
        .get_extension::<SubjectAltName>()
        .map_err(|e| EndorsementRefusal::Malformed(e.to_string()))?;
    let mut chip = ChipIdentity::default();
    let names = san.map(|(_, SubjectAltName(names))| names).unwrap_or_default();
    for name in &names {
        let GeneralName::DirectoryName(name) = name else { continue };
        for attribute in name.iter() {
            let slot = match attribute.oid {
                TPM_MANUFACTURER => &mut chip.manufacturer,
                TPM_MODEL => &mut chip.model,
                TPM_VERSION => &mut chip.version,
                _ => continue,
            };
            if let Ok(text) = std::str::from_utf8(attribute.value.value()) {
                slot.get_or_insert_with(|| printable(text, 64));
            }
        }
    }
    Ok(chip)
}

fn printable(text: &str, limit: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(limit).collect()
}

#[cfg(test)]
mod tests;
