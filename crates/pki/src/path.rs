//! Path validation: from the chain that a peer shows to a [`VerifiedChain`] that says who it is.
//!
//! rustls-webpki builds the path and checks signatures, validity, path lengths and name constraints. It does not
//! ask for an extendedKeyUsage, reads no keyUsage of end entities, accepts expired anchors, weak RSA leaf keys
//! and missing key identifiers; those rules are ours and stand in [`Rule`]. In scope: one chain at one moment.
//! Out of scope: revocation (certificates are short-lived and say noRevAvail; distrust acts through
//! [`crate::tls::Gate`] and the decision at each request), and what the identity may do.
//!
//! To add a rule: a variant of [`Rule`], its line in [`leaf_rules`] or [`issuer_rules`], a row in the test
//! `every_rule_refuses`.

use std::fmt;

use lanyard_domain::time::Timestamp;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, KeyUsage};

use crate::certificate::{Certificate, CertificateError, MAX_CHAIN, PeerIdentity};
use crate::oid;

/// What we accept as a signature on a certificate: the same algorithms as on a request, see [`crate::spki`].
static SIGNATURES: &[&dyn SignatureVerificationAlgorithm] = &[
    webpki::aws_lc_rs::ECDSA_P256_SHA256,
    webpki::aws_lc_rs::ECDSA_P256_SHA384,
    webpki::aws_lc_rs::ECDSA_P384_SHA256,
    webpki::aws_lc_rs::ECDSA_P384_SHA384,
    webpki::aws_lc_rs::ED25519,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA384,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA512,
    webpki::aws_lc_rs::ML_DSA_65,
];

/// What the peer uses its certificate for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// TLS client.
    Client,
    /// TLS server.
    Server,
}

/// A rule of ours that webpki does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// An end entity must not be a CA (RFC 5280 4.2.1.9).
    EndEntityIsCa,
    /// An end entity must have keyUsage with digitalSignature (RFC 5280 4.2.1.3; TLS 1.3 signs).
    NoDigitalSignature,
    /// An end entity must not assert keyCertSign or cRLSign (RFC 5280 4.2.1.3).
    EndEntityMaySign,
    /// extendedKeyUsage must be there and name the purpose itself (RFC 5280 4.2.1.12).
    PurposeNotNamed,
    /// anyExtendedKeyUsage is a wildcard.
    AnyPurpose,
    /// authorityKeyIdentifier must be there (RFC 5280 4.2.1.1).
    NoAuthorityKeyId,
    /// The key is of no accepted kind or strength.
    WeakKey,
    /// Names are not of a form that our profiles write.
    ForeignNames,
    /// Without noRevAvail somebody means to revoke it by a list, and we read none (RFC 9608).
    RevocationUnknown,
    /// A CA must have keyUsage with keyCertSign (RFC 5280 4.2.1.3).
    IssuerMayNotSign,
    /// basicConstraints with cA must be there and be critical (RFC 5280 4.2.1.9).
    IssuerIsNoCa,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::EndEntityIsCa => "an end entity must not be a CA",
            Rule::NoDigitalSignature => "keyUsage must be there and assert digitalSignature",
            Rule::EndEntityMaySign => "an end entity must not assert keyCertSign or cRLSign",
            Rule::PurposeNotNamed => "extendedKeyUsage must name this purpose",
            Rule::AnyPurpose => "extendedKeyUsage must not be a wildcard",
            Rule::NoAuthorityKeyId => "authorityKeyIdentifier is missing",
            Rule::WeakKey => "the key is of no accepted kind or strength",
            Rule::ForeignNames => "the alternative names are not of a form that we issue",
            Rule::RevocationUnknown => "it is not marked noRevAvail and its revocation cannot be checked",
            Rule::IssuerMayNotSign => "keyUsage of a CA must assert keyCertSign",
            Rule::IssuerIsNoCa => "a CA must assert cA in a critical basicConstraints",
        })
    }
}

/// Why a chain is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No certificate at all.
    #[error("the peer showed no certificate")]
    Empty,
    /// More than a chain of ours can have.
    #[error("chain of {0} certificates, at most {MAX_CHAIN} are read")]
    TooLong(usize),
    /// One of them does not parse.
    #[error("certificate {position} of the chain: {source}")]
    Certificate {
        /// 0 is the peer's own.
        position: usize,
        /// Why.
        source: CertificateError,
    },
    /// After notAfter.
    #[error("certificate expired at `{not_after}`")]
    Expired {
        /// Its last second.
        not_after: Timestamp,
    },
    /// Before notBefore.
    #[error("certificate is valid from `{not_before}` on: check the clocks of issuer and verifier")]
    NotYetValid {
        /// Its first second.
        not_before: Timestamp,
    },
    /// Signed by nobody we trust.
    #[error("no path to a trusted authority")]
    UnknownIssuer,
    /// The authority that signed is trusted no longer, or not yet.
    #[error("the authority that signed is outside of its own validity: install the current CA generation")]
    AnchorOutsideValidity,
    /// A rule of ours.
    #[error("certificate {position} of the chain: {rule}")]
    Refused {
        /// 0 is the peer's own.
        position: usize,
        /// Which.
        rule: Rule,
    },
    /// Another rule of RFC 5280 6, as webpki names it.
    #[error("path validation failed: {0}")]
    Invalid(String),
}

/// Why certificates are no trust anchors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// An empty set would refuse everybody; that is never meant.
    #[error("no trust anchor given")]
    None,
    /// Not a CA certificate.
    #[error("trust anchor `{serial}`: {rule}")]
    NotAnAuthority {
        /// Its serial.
        serial: crate::serial::Serial,
        /// What is missing.
        rule: Rule,
    },
    /// webpki cannot read it.
    #[error("trust anchor `{serial}`: {why}")]
    Unreadable {
        /// Its serial.
        serial: crate::serial::Serial,
        /// Why.
        why: String,
    },
}

/// The authorities that we trust: all generations that are in use.
#[derive(Debug, Clone)]
pub struct Anchors {
    certificates: Vec<Certificate>,
    trust: Vec<TrustAnchor<'static>>,
}

impl Anchors {
    /// Checks that each is a CA and keeps them.
    pub fn new(certificates: Vec<Certificate>) -> Result<Self, AnchorError> {
        if certificates.is_empty() {
            return Err(AnchorError::None);
        }
        let mut trust = Vec::with_capacity(certificates.len());
        for certificate in &certificates {
            let serial = certificate.serial();
            let facts = certificate.facts();
            let refuse = |rule| AnchorError::NotAnAuthority { serial, rule };
            if !facts.is_ca() {
                return Err(refuse(Rule::IssuerIsNoCa));
            }
            // Roots of hardware makers may have no keyUsage; one that is there must fit.
            if facts.key_usage.is_some_and(|u| !u.key_cert_sign()) {
                return Err(refuse(Rule::IssuerMayNotSign));
            }
            if facts.key.is_err() {
                return Err(refuse(Rule::WeakKey));
            }
            let anchor = webpki::anchor_from_trusted_cert(certificate.der())
                .map_err(|e| AnchorError::Unreadable { serial, why: e.to_string() })?;
            trust.push(anchor.to_owned());
        }
        Ok(Self { certificates, trust })
    }

    /// The certificates.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }
}

/// A chain that was checked by [`validate`], and whom it names.
#[derive(Debug, Clone)]
pub struct VerifiedChain {
    path: AnchoredPath,
    identity: PeerIdentity,
    verified_at: Timestamp,
}

impl VerifiedChain {
    /// Whom the certificate names.
    pub fn identity(&self) -> PeerIdentity {
        self.identity
    }
    /// The peer's own certificate.
    pub fn leaf(&self) -> &Certificate {
        &self.path.leaf
    }
    /// The CAs between it and the anchor, nearest first.
    pub fn issuers(&self) -> &[Certificate] {
        &self.path.issuers
    }
    /// The trust anchor.
    pub fn anchor(&self) -> &Certificate {
        &self.path.anchor
    }
    /// The moment for which it was checked.
    pub fn verified_at(&self) -> Timestamp {
        self.verified_at
    }
}

/// A path whose signatures, validity and constraints hold, without the rules for certificates of ours. For chains
/// of other makers (endorsement key certificates); made only by [`chain_to_anchor`].
#[derive(Debug, Clone)]
pub struct AnchoredPath {
    leaf: Certificate,
    issuers: Vec<Certificate>,
    anchor: Certificate,
}

impl AnchoredPath {
    /// The end entity.
    pub fn leaf(&self) -> &Certificate {
        &self.leaf
    }
    /// The trust anchor.
    pub fn anchor(&self) -> &Certificate {
        &self.anchor
    }
}

/// Checks the chain that a peer showed, its own certificate first, for `purpose` at `now`.
pub fn validate(
    chain: &[CertificateDer<'_>],
    anchors: &Anchors,
    purpose: Purpose,
    now: Timestamp,
) -> Result<VerifiedChain, PathError> {
    let parsed = parse(chain)?;
    // Ours before webpki's: they cost no signature check, and their answer is the more precise one.
    let identity = match parsed.first() {
        Some(leaf) => leaf_rules(leaf, purpose).map_err(|rule| PathError::Refused { position: 0, rule })?,
        None => return Err(PathError::Empty),
    };
    let path = build(parsed, anchors, Some(purpose), now)?;
    for (position, issuer) in path.issuers.iter().enumerate() {
        issuer_rules(issuer).map_err(|rule| PathError::Refused { position: position + 1, rule })?;
    }
    Ok(VerifiedChain { path, identity, verified_at: now })
}

/// Checks signatures, validity and constraints of a chain that is not of our profiles, for any purpose.
pub fn chain_to_anchor(
    chain: &[CertificateDer<'_>],
    anchors: &Anchors,
    now: Timestamp,
) -> Result<AnchoredPath, PathError> {
    build(parse(chain)?, anchors, None, now)
}

fn parse(chain: &[CertificateDer<'_>]) -> Result<Vec<Certificate>, PathError> {
    if chain.len() > MAX_CHAIN {
        return Err(PathError::TooLong(chain.len()));
    }
    chain
        .iter()
        .enumerate()
        .map(|(position, der)| {
            Certificate::parse(der).map_err(|source| PathError::Certificate { position, source })
        })
        .collect()
}

fn leaf_rules(leaf: &Certificate, purpose: Purpose) -> Result<PeerIdentity, Rule> {
    let facts = leaf.facts();
    if facts.is_ca() {
        return Err(Rule::EndEntityIsCa);
    }
    let usage = facts.key_usage.ok_or(Rule::NoDigitalSignature)?;
    if usage.key_cert_sign() || usage.crl_sign() {
        return Err(Rule::EndEntityMaySign);
    }
    if !usage.digital_signature() {
        return Err(Rule::NoDigitalSignature);
    }
    let purposes = facts.extended_key_usage.as_deref().ok_or(Rule::PurposeNotNamed)?;
    if purposes.contains(&oid::ANY_EXTENDED_KEY_USAGE) {
        return Err(Rule::AnyPurpose);
    }
    let wanted = match purpose {
        Purpose::Client => oid::CLIENT_AUTH,
        Purpose::Server => oid::SERVER_AUTH,
    };
    if !purposes.contains(&wanted) {
        return Err(Rule::PurposeNotNamed);
    }
    if facts.authority_key_id.is_none() {
        return Err(Rule::NoAuthorityKeyId);
    }
    if facts.key.is_err() {
        return Err(Rule::WeakKey);
    }
    if facts.no_rev_avail.is_none() || facts.names_a_crl || facts.names_an_ocsp_responder {
        return Err(Rule::RevocationUnknown);
    }
    leaf.identity().map_err(|_| Rule::ForeignNames)
}

fn issuer_rules(issuer: &Certificate) -> Result<(), Rule> {
    let facts = issuer.facts();
    if !facts.is_ca() || facts.criticality(&oid::BASIC_CONSTRAINTS) != Some(true) {
        return Err(Rule::IssuerIsNoCa);
    }
    if !facts.key_usage.is_some_and(|u| u.key_cert_sign()) {
        return Err(Rule::IssuerMayNotSign);
    }
    if facts.authority_key_id.is_none() && !facts.is_self_issued() {
        return Err(Rule::NoAuthorityKeyId);
    }
    if facts.key.is_err() {
        return Err(Rule::WeakKey);
    }
    Ok(())
}

/// The extendedKeyUsage check of a path: the purpose where one is known.
struct Usage(Option<Purpose>);

impl ExtendedKeyUsageValidator for Usage {
    fn validate(&self, iter: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        match self.0 {
            // If present: a CA that names purposes is bound to them; a leaf without any was refused before.
            Some(Purpose::Client) => KeyUsage::client_auth().validate(iter),
            Some(Purpose::Server) => KeyUsage::server_auth().validate(iter),
            None => Ok(()),
        }
    }
}

fn build(
    parsed: Vec<Certificate>,
    anchors: &Anchors,
    purpose: Option<Purpose>,
    now: Timestamp,
) -> Result<AnchoredPath, PathError> {
    let Some((leaf, others)) = parsed.split_first() else { return Err(PathError::Empty) };
    let intermediates: Vec<CertificateDer<'_>> = others.iter().map(|c| c.der().clone()).collect();
    let end_entity = EndEntityCert::try_from(leaf.der()).map_err(|e| PathError::Invalid(e.to_string()))?;
    let in_validity = |c: &Certificate| c.not_before() <= now && now <= c.not_after();
    // webpki does not look at an anchor's validity: those outside of theirs are left out before it starts.
    let trust: Vec<TrustAnchor<'_>> = anchors
        .certificates
        .iter()
        .zip(&anchors.trust)
        .filter(|(certificate, _)| in_validity(certificate))
        .map(|(_, anchor)| anchor.clone())
        .collect();
    let seconds = u64::try_from(now.as_seconds()).unwrap_or(0);
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let verified = end_entity
        .verify_for_usage(SIGNATURES, &trust, &intermediates, time, Usage(purpose), None, None)
        .map_err(|e| explain(e, &parsed, anchors, now))?;
    let used = |der: &[u8]| others.iter().find(|c| c.der().as_ref() == der).cloned();
    let issuers = verified.intermediate_certificates().filter_map(|c| used(&c.der())).collect();
    // Name and key together: generations never share either, and an attacker has no anchor in the set.
    let found = verified.anchor();
    let anchor = anchors
        .certificates
        .iter()
        .zip(&anchors.trust)
        .find(|(_, t)| {
            t.subject == found.subject && t.subject_public_key_info == found.subject_public_key_info
        })
        .map(|(certificate, _)| certificate.clone())
        .ok_or(PathError::UnknownIssuer)?;
    Ok(AnchoredPath { leaf: leaf.clone(), issuers, anchor })
}

fn explain(error: webpki::Error, chain: &[Certificate], anchors: &Anchors, now: Timestamp) -> PathError {
    let at = |t: UnixTime| Timestamp::from_seconds(i64::try_from(t.as_secs()).unwrap_or(i64::MAX));
    match error {
        webpki::Error::CertExpired { not_after, .. } => PathError::Expired { not_after: at(not_after) },
        webpki::Error::CertNotValidYet { not_before, .. } => {
            PathError::NotYetValid { not_before: at(not_before) }
        }
        webpki::Error::UnknownIssuer => {
            let left_out = anchors.certificates.iter().any(|anchor| {
                (now < anchor.not_before() || anchor.not_after() < now)
                    && chain.iter().any(|c| c.issuer_der() == anchor.subject_der())
            });
            if left_out { PathError::AnchorOutsideValidity } else { PathError::UnknownIssuer }
        }
        other => PathError::Invalid(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests;
