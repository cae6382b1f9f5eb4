//! The attestation certificate, as far as the formats ask: version, subject, extensions, key.

use der::asn1::ObjectIdentifier;
use der::{Decode, Encode};
use lanyard_pki::spki::PublicKey;
use x509_cert::{Certificate, Version};

use super::StatementRefusal;
use super::asn1::{self, Reader};
use super::object::MAX_CERTIFICATE_BYTES;
use crate::wire::within;

const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");

#[derive(Debug, Clone)]
pub(super) struct AttestationCertificate {
    parsed: Certificate,
    key: PublicKey,
}

/// An extension as it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extension<'a> {
    pub critical: bool,
    pub value: &'a [u8],
}

impl AttestationCertificate {
    pub(super) fn parse(der: &[u8]) -> Result<Self, StatementRefusal> {
        within("certificate of x5c", der.len(), MAX_CERTIFICATE_BYTES)?;
        let malformed = |e: der::Error| StatementRefusal::Certificate { position: 0, why: e.to_string() };
        let parsed = Certificate::from_der(der).map_err(malformed)?;
        let spki = parsed.tbs_certificate().subject_public_key_info().to_der().map_err(malformed)?;
        let key = PublicKey::parse(&spki)?;
        let out = Self { parsed, key };
        // RFC 5280 4.2: readers differ in whether the first or the last of two counts.
        let all = out.extensions();
        if all.iter().enumerate().any(|(i, a)| all.iter().skip(i + 1).any(|b| a.extn_id == b.extn_id)) {
            return Err(StatementRefusal::Profile("no extension stands twice (RFC 5280 4.2)"));
        }
        Ok(out)
    }

    fn extensions(&self) -> &[x509_cert::ext::Extension] {
        self.parsed.tbs_certificate().extensions().map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn key(&self) -> &PublicKey {
        &self.key
    }

    pub(super) fn extension(&self, id: &ObjectIdentifier) -> Option<Extension<'_>> {
        let found = self.extensions().iter().find(|e| e.extn_id == *id)?;
        Some(Extension { critical: found.critical, value: found.extn_value.as_bytes() })
    }

    pub(super) fn is_version_three(&self) -> bool {
        self.parsed.tbs_certificate().version() == Version::V3
    }

    pub(super) fn has_empty_subject(&self) -> bool {
        self.parsed.tbs_certificate().subject().is_empty()
    }

    /// An attribute of the subject, as text.
    pub(super) fn subject(&self, id: &ObjectIdentifier) -> Option<&str> {
        let attribute = self.parsed.tbs_certificate().subject().iter().find(|a| a.oid == *id)?;
        std::str::from_utf8(attribute.value.value()).ok()
    }

    /// What basicConstraints says about cA; none without the extension.
    pub(super) fn says_ca(&self) -> Result<Option<bool>, StatementRefusal> {
        let Some(found) = self.extension(&BASIC_CONSTRAINTS) else { return Ok(None) };
        let mut inside = Reader::new("basicConstraints", found.value).inside(asn1::SEQUENCE)?;
        // X.690 11.5: FALSE is the default and left out.
        if inside.is_empty() { Ok(Some(false)) } else { Ok(Some(inside.next()?.tag == asn1::BOOLEAN)) }
    }

    /// The issuer's name as text, cut to what a line of a log takes.
    pub(super) fn issuer_text(&self) -> String {
        let issuer = self.parsed.tbs_certificate().issuer().to_string();
        issuer.chars().filter(|c| !c.is_control()).take(120).collect()
    }
}
