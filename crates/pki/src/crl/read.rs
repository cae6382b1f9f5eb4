//! Reading a list, ours or another maker's: parse (bounded), verify (whose is it), then ask what it says.
//!
//! Three types for three states of knowledge: bytes, a [`Crl`] that nobody vouched for and that answers nothing, a
//! [`VerifiedCrl`] that does. What it says of a certificate follows RFC 5280 6.3.3: the right issuer and key, a scope
//! that covers the certificate, and age. When in doubt it says nothing ([`Status::Unknown`]).

use std::fmt;

use der::asn1::ObjectIdentifier;
use lanyard_domain::time::Timestamp;

use super::facts::{EntryFact, ListFacts, MAX_CRL_BYTES};
use super::number::Number;
use crate::certificate::Certificate;
use crate::oid;
use crate::read::signed;
use crate::revocation::{Freshness, Reason, Revocation, Status};
use crate::serial::Serial;
use crate::spki::{KeyRefused, SignatureRefused};

/// Why bytes are not a list that we read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// Longer than [`MAX_CRL_BYTES`].
    #[error("revocation list has {0} bytes, at most {MAX_CRL_BYTES} are read")]
    TooLarge(usize),
    /// Not DER of RFC 5280 5.
    #[error("revocation list is malformed: {0}")]
    Malformed(String),
    /// The two signature algorithm fields differ.
    #[error("revocation list has two different signature algorithms (RFC 5280 5.1.1.2)")]
    AlgorithmMismatch,
    /// RFC 5280 5.2 and 5.3: a list with a critical extension that one does not process must not be used.
    #[error("revocation list has the critical extension `{0}`, which is not processed here")]
    UnknownCritical(String),
    /// RFC 5280 5.2: who does not know the extension would take the list for another than it is, or refuse a good one.
    #[error("revocation list: extension `{0}` has the wrong criticality (RFC 5280 5.2)")]
    Criticality(String),
    /// It speaks of certificates of other issuers.
    #[error("revocation list is indirect: only lists of a certificate's own issuer are used")]
    Indirect,
}

/// Why a list is not the issuer's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Another name.
    #[error("revocation list is of another issuer than the certificate given")]
    OtherIssuer,
    /// The same name, another key generation.
    #[error("revocation list names another key of its issuer: fetch the one of this CA generation")]
    OtherKey,
    /// The issuer may not sign lists.
    #[error(
        "the issuer's certificate does not allow it to sign revocation lists (keyUsage, RFC 5280 4.2.1.3)"
    )]
    MayNotSign,
    /// The issuer's key is of no accepted kind.
    #[error("the issuer's key: {0}")]
    Key(#[from] KeyRefused),
    /// The signature does not hold.
    #[error("revocation list: {0}")]
    Signature(#[from] SignatureRefused),
}

/// A list that was parsed and that nobody vouched for.
#[derive(Clone)]
pub struct Crl {
    facts: ListFacts,
    tbs: Vec<u8>,
    signature: Vec<u8>,
}

impl fmt::Debug for Crl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crl(of {}, {} entries)", self.this_update(), self.facts.entries.len())
    }
}

impl Crl {
    /// Reads one DER list. Fuzz entry point.
    pub fn parse(der: &[u8]) -> Result<Self, CrlError> {
        if der.len() > MAX_CRL_BYTES {
            return Err(CrlError::TooLarge(der.len()));
        }
        let malformed = |e: crate::read::BadDer| CrlError::Malformed(e.to_string());
        let envelope = signed(der, "a CertificateList").map_err(malformed)?;
        envelope.rest.end("a CertificateList").map_err(malformed)?;
        let facts = ListFacts::read(envelope.tbs).map_err(malformed)?;
        if facts.signature_algorithm != envelope.algorithm.oid {
            return Err(CrlError::AlgorithmMismatch);
        }
        if let Some(twice) = facts.repeated_extension() {
            return Err(CrlError::Malformed(format!("extension `{twice}` stands twice")));
        }
        if let Some(id) = facts.unknown_critical {
            return Err(CrlError::UnknownCritical(id.to_string()));
        }
        if let Some((id, _)) =
            facts.extensions.iter().find(|(id, critical)| must_be(id).is_some_and(|must| must != *critical))
        {
            return Err(CrlError::Criticality(id.to_string()));
        }
        if facts.point.as_ref().is_some_and(|point| point.indirect) {
            return Err(CrlError::Indirect);
        }
        Ok(Self { facts, tbs: envelope.tbs.to_vec(), signature: envelope.signature.to_vec() })
    }

    /// DER of the issuer's name as the list says it: by it the issuer's certificate is found.
    pub fn issuer_der(&self) -> &[u8] {
        &self.facts.issuer
    }

    /// The key identifier of the issuer as the list says it.
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.facts.authority_key_id.as_deref()
    }

    /// As of when, as the list says it.
    pub fn this_update(&self) -> Timestamp {
        self.facts.this_update.at
    }
    /// When there is a newer one, as the list says it.
    pub fn next_update(&self) -> Option<Timestamp> {
        self.facts.next_update.map(|t| t.at)
    }

    /// Checks that `issuer` signed it and may do so. That the issuer is trusted is the caller's to know: it is the CA
    /// of a path that was validated.
    pub fn verify(self, issuer: &Certificate) -> Result<VerifiedCrl, VerifyError> {
        self.signed_by(issuer)?;
        Ok(VerifiedCrl { facts: self.facts, issuer_key_id: issuer.facts().subject_key_id.clone() })
    }

    /// What it says of a certificate of `issuer`; the signature is checked only when it says something.
    pub(crate) fn status(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        freshness: &Freshness,
    ) -> Result<Status, VerifyError> {
        let status = self.facts.status(certificate, issuer.facts().subject_key_id.as_deref(), freshness);
        if status != Status::Unknown {
            self.signed_by(issuer)?;
        }
        Ok(status)
    }

    fn signed_by(&self, issuer: &Certificate) -> Result<(), VerifyError> {
        let facts = issuer.facts();
        if issuer.subject_der() != self.facts.issuer {
            return Err(VerifyError::OtherIssuer);
        }
        if let (Some(named), Some(own)) = (&self.facts.authority_key_id, &facts.subject_key_id)
            && named != own
        {
            return Err(VerifyError::OtherKey);
        }
        // Roots of hardware makers may have no keyUsage; one that is there must fit (RFC 5280 6.3.3 (f)).
        if !facts.is_ca() || facts.key_usage.is_some_and(|usage| !usage.crl_sign()) {
            return Err(VerifyError::MayNotSign);
        }
        let key = issuer.public_key().map_err(Clone::clone)?;
        Ok(key.verify(&self.facts.signature_algorithm, &self.tbs, &self.signature)?)
    }
}

/// A list that its issuer signed. Made only by [`Crl::verify`].
#[derive(Debug, Clone)]
pub struct VerifiedCrl {
    pub(super) facts: ListFacts,
    pub(super) issuer_key_id: Option<Vec<u8>>,
}

impl VerifiedCrl {
    /// Its number, if it has one.
    pub fn number(&self) -> Option<Number> {
        self.facts.number
    }
    /// As of when.
    pub fn this_update(&self) -> Timestamp {
        self.facts.this_update.at
    }
    /// When the next one is there at the latest.
    pub fn next_update(&self) -> Option<Timestamp> {
        self.facts.next_update.map(|t| t.at)
    }
    /// Whether it says only what changed: then it is used through [`VerifiedCrl::apply`].
    pub fn is_delta(&self) -> bool {
        self.facts.delta_base.is_some()
    }
    /// Which part of its issuer's certificates it speaks of, in words that are the same for each list of that part; `None` for
    /// all of them.
    pub fn part(&self) -> Option<String> {
        let point = self.facts.point.as_ref()?;
        let kinds = [
            (point.only_user_certificates, "user certificates"),
            (point.only_authorities, "authorities"),
            (point.only_attribute_certificates, "attribute certificates"),
            (point.only_some_reasons, "some reasons"),
            (point.names.others > 0, "a place that is no address"),
        ];
        let kinds = kinds.iter().filter(|(only, _)| *only).map(|(_, what)| (*what).to_owned());
        Some(kinds.chain(point.names.uris.iter().cloned()).collect::<Vec<_>>().join(", "))
    }
    /// The revoked certificates, by serial number.
    pub fn revoked(&self) -> impl Iterator<Item = (Serial, Revocation)> + '_ {
        self.facts.entries.iter().map(|entry| (entry.serial, revocation(entry)))
    }
    /// The addresses of newer differences to it.
    pub fn freshest(&self) -> &[String] {
        self.facts.freshest.as_ref().map(|names| names.uris.as_slice()).unwrap_or_default()
    }

    /// Whether it is fresh at this moment.
    pub fn is_fresh(&self, freshness: &Freshness) -> bool {
        freshness.holds(self.this_update(), self.next_update())
    }

    /// What it says of a certificate.
    pub fn status(&self, certificate: &Certificate, freshness: &Freshness) -> Status {
        self.facts.status(certificate, self.issuer_key_id.as_deref(), freshness)
    }
}

/// What must and what must not be critical (RFC 5280 5.2.3 to 5.2.6); the others may be either.
fn must_be(extension: &ObjectIdentifier) -> Option<bool> {
    match *extension {
        oid::ISSUING_DISTRIBUTION_POINT | oid::DELTA_CRL_INDICATOR => Some(true),
        oid::CRL_NUMBER | oid::FRESHEST_CRL => Some(false),
        _ => None,
    }
}

impl ListFacts {
    fn status(
        &self,
        certificate: &Certificate,
        issuer_key_id: Option<&[u8]>,
        freshness: &Freshness,
    ) -> Status {
        if !self.covers(certificate, issuer_key_id) {
            return Status::Unknown;
        }
        if let Some(entry) = self.entry(&certificate.serial()) {
            // In a delta: the complete list is no longer to be believed about it, and this one says no more.
            if entry.reason == Some(Reason::RemoveFromCrl) {
                return Status::Unknown;
            }
            return Status::Revoked(revocation(entry));
        }
        let all_reasons = self.point.as_ref().is_none_or(|point| !point.only_some_reasons);
        if self.delta_base.is_some() || !all_reasons {
            return Status::Unknown;
        }
        let fresh = freshness.holds(self.this_update.at, self.next_update.map(|t| t.at));
        if fresh { Status::Good } else { Status::Stale }
    }

    /// The first entry with this serial.
    pub(super) fn entry(&self, serial: &Serial) -> Option<&EntryFact> {
        let at = self.entries.partition_point(|entry| entry.serial < *serial);
        self.entries.get(at).filter(|entry| entry.serial == *serial)
    }

    /// RFC 5280 6.3.3 (b): whether the certificate would stand in this list if it were revoked.
    fn covers(&self, certificate: &Certificate, issuer_key_id: Option<&[u8]>) -> bool {
        let facts = certificate.facts();
        if certificate.issuer_der() != self.issuer {
            return false;
        }
        if let (Some(named), Some(own)) = (&facts.authority_key_id, issuer_key_id)
            && named != own
        {
            return false;
        }
        let Some(point) = &self.point else { return true };
        let other_kind = point.only_attribute_certificates
            || (point.only_user_certificates && facts.is_ca())
            || (point.only_authorities && !facts.is_ca());
        // A point for some reasons only, or of another issuer, does not lead to this list.
        let mut own = facts.crl_points.iter().filter(|p| p.plain).flat_map(|p| &p.uris);
        let named = point.names.is_empty() || own.any(|uri| point.names.uris.contains(uri));
        !other_kind && named
    }
}

pub(super) fn revocation(entry: &EntryFact) -> Revocation {
    Revocation { at: entry.at.at, reason: entry.reason.unwrap_or(Reason::Unspecified) }
}
