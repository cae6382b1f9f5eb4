//! Issuing in two steps: [`prepare`] makes and lints the bytes, [`Prepared::sign`] consumes them.
//!
//! Between the steps the caller records serial and digest as an intent (I3): a crash can then leave an intent
//! without a certificate, never a certificate without an intent. A [`Prepared`] is not `Clone`: it is signed once.

use lanyard_domain::time::Timestamp;

use crate::authority::Issuer;
use crate::certificate::Certificate;
use crate::crl::shard::Place;
use crate::csr::VerifiedCsr;
use crate::facts::Facts;
use crate::key::{KeyBackend, KeyError, KeyKind, KeyLabel};
use crate::lint::{self, Finding, IssuerView, Linted};
use crate::profile::revocation::{Pointers, Revocation};
use crate::profile::{BadLifetime, KeyNotAllowed, Profile, SubjectError, SubjectFacts};
use crate::serial::Serial;
use crate::spki::{PublicKey, sha256};
use crate::tbs::{self, Tbs};
use crate::uri::BadUri;
use crate::write;

/// How long the certificate shall live, from notBefore to notAfter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// As the profile says.
    Default,
    /// This long, within the profile's range.
    Seconds(i64),
}

/// Why a certificate was not prepared. Nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The facts do not fit the profile.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// The lifetime does not fit the profile.
    #[error(transparent)]
    Lifetime(#[from] BadLifetime),
    /// The key does not fit the profile.
    #[error(transparent)]
    Key(#[from] KeyNotAllowed),
    /// The issuer's key identifier is so long that the addresses below the base are none.
    #[error(transparent)]
    Address(#[from] BadUri),
    /// Somebody asks to have the CA's own key certified.
    #[error("the requested key is the key of the issuing CA")]
    IssuersOwnKey,
    /// A rule does not hold.
    #[error("certificate refused before signing: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Lint(Vec<Finding>),
    /// Our own bytes do not parse; a bug.
    #[error("bug: the prepared certificate does not parse: {0}")]
    Unparseable(String),
}

/// A certificate that is linted and not yet signed.
#[derive(Debug)]
#[must_use = "a prepared certificate does nothing until it is signed"]
pub struct Prepared {
    tbs: Vec<u8>,
    tbs_sha256: [u8; 32],
    serial: Serial,
    not_before: Timestamp,
    not_after: Timestamp,
    spki_sha256: [u8; 32],
    shard: Option<Place>,
    issuer: KeyLabel,
    issuer_kind: KeyKind,
    issuer_spki: Vec<u8>,
}

/// The signing side of an issuance: an [`Issuer`], or a root that signs itself.
pub(crate) struct IssuerSide<'a> {
    pub label: &'a KeyLabel,
    pub kind: KeyKind,
    pub key: &'a PublicKey,
    pub signature_algorithm: &'a [u8],
    pub authority_key_id: &'a [u8],
    pub view: IssuerView<'a>,
}

/// Makes the bytes of a certificate and runs every lint on them. Signs nothing.
pub fn prepare(
    profile: &Profile,
    csr: &VerifiedCsr,
    subject: &SubjectFacts,
    issuer: &Issuer,
    lifetime: Lifetime,
    serial: Serial,
    now: Timestamp,
) -> Result<Prepared, PrepareError> {
    let side = issuer.side();
    if csr.spki_sha256() == side.key.sha256() {
        return Err(PrepareError::IssuersOwnKey);
    }
    assemble(profile, csr.key(), subject, &side, lifetime, serial, now)
}

pub(crate) fn assemble(
    profile: &Profile,
    key: &PublicKey,
    subject: &SubjectFacts,
    issuer: &IssuerSide<'_>,
    lifetime: Lifetime,
    serial: Serial,
    now: Timestamp,
) -> Result<Prepared, PrepareError> {
    let seconds = match lifetime {
        Lifetime::Default => profile.lifetime_seconds(),
        Lifetime::Seconds(seconds) => profile.checked_lifetime(seconds)?,
    };
    let key_type = profile.checked_key(key)?;
    let names = profile.names(subject, key)?;
    // X.509 has whole seconds: what the certificate says and what we record is the same value.
    let backdated = Timestamp::from_seconds(now.as_seconds()).plus_seconds(-profile.terms().backdate_seconds);
    // An authority that somebody else certified a minute ago begins then, and nothing by it begins before. One that has not begun
    // yet issues nothing: a lint says so.
    let begun = issuer.view.validity.map(|(begins, _)| begins).filter(|begins| *begins <= now);
    let not_before = begun.map_or(backdated, |begins| backdated.max(begins));
    let not_after = not_before.plus_seconds(seconds);
    let pointers = match &profile.terms().revocation {
        Revocation::Lists(uris) => Some(uris.pointers(issuer.view.key_id, &serial)?),
        Revocation::RootsList(uris) => Some(uris.root_pointers(issuer.view.key_id, &serial)?),
        Revocation::RootOnly(uris) => Some(uris.root_only(issuer.view.key_id)?),
        Revocation::ShortLived | Revocation::NoCheck | Revocation::Unstated => None,
    };
    let [key_usage, constant] = profile.extensions(key_type);
    let tbs = Tbs {
        serial: &serial,
        signature_algorithm: issuer.signature_algorithm,
        issuer: issuer.view.subject,
        not_before,
        not_after,
        subject: &names.subject,
        spki: key.der(),
        extensions: &[
            &key_usage,
            &constant,
            &names.alt_names,
            &tbs::subject_key_id(&key.key_id()),
            issuer.authority_key_id,
            &pointers.as_ref().map(revocation_extensions).unwrap_or_default(),
        ],
    }
    .encode();
    // The lints see what x509-cert reads from the bytes, not what we meant to write.
    let facts = Facts::from_tbs_der(&tbs).map_err(|e| PrepareError::Unparseable(e.to_string()))?;
    let findings = lint::run(&Linted {
        facts: &facts,
        role: profile.terms().role,
        terms: profile.terms(),
        identity: subject.identity(),
        pointers: pointers.as_ref(),
        issuer: issuer.view,
    });
    if !findings.is_empty() {
        return Err(PrepareError::Lint(findings));
    }
    Ok(Prepared {
        tbs_sha256: sha256(&tbs),
        tbs,
        serial,
        not_before,
        not_after,
        spki_sha256: key.sha256(),
        shard: pointers.and_then(|pointers| pointers.place),
        issuer: issuer.label.clone(),
        issuer_kind: issuer.kind,
        issuer_spki: issuer.key.der().to_vec(),
    })
}

fn revocation_extensions(pointers: &Pointers) -> Vec<u8> {
    let mut out = pointers.crl.as_ref().map(tbs::crl_distribution_point).unwrap_or_default();
    out.extend(tbs::authority_info_access(pointers.ocsp.as_ref(), Some(&pointers.ca_issuers)));
    out
}

impl Prepared {
    /// The label of the key that will sign.
    pub fn issuer(&self) -> &KeyLabel {
        &self.issuer
    }
    /// SHA-256 of the bytes that will be signed: with the serial, the intent to record.
    pub fn tbs_sha256(&self) -> [u8; 32] {
        self.tbs_sha256
    }
    /// The serial number.
    pub fn serial(&self) -> Serial {
        self.serial
    }
    /// First second of the validity.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }
    /// Last second of the validity.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub fn spki_sha256(&self) -> [u8; 32] {
        self.spki_sha256
    }

    /// The revocation list in which it would stand; `None` for a short-lived one. To be recorded, as the text that
    /// [`Place`] has: it is decided here once, and another number of shards later does not change it.
    pub fn shard(&self) -> Option<&Place> {
        self.shard.as_ref()
    }

    /// Signs with the issuer's key. The label must still hold the key of the CA certificate.
    pub fn sign(self, backend: &dyn KeyBackend) -> Result<Certificate, KeyError> {
        if backend.public_spki(&self.issuer)? != self.issuer_spki {
            return Err(KeyError::NotTheCertifiedKey(self.issuer));
        }
        let signature = backend.sign(&self.issuer, &self.tbs)?;
        let mut der = Vec::with_capacity(self.tbs.len() + signature.len() + 32);
        write::tlv(&mut der, write::SEQUENCE, |o| {
            o.extend_from_slice(&self.tbs);
            o.extend(self.issuer_kind.signature_algorithm());
            write::bit_string(o, &signature);
        });
        // Parsed before signing already; what can still be wrong is a signature that is no DER.
        Certificate::parse(&der).map_err(|_| KeyError::Crypto("make a certificate of its signature"))
    }
}

#[cfg(test)]
mod tests;
