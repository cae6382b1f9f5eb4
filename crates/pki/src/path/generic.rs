//! Path validation of RFC 5280 6 for chains of any maker, with the rules of [`super::rule`] on top of rustls-webpki.
//!
//! webpki builds the path and checks signatures, validity, path lengths and name constraints; each path that it finds is
//! then held against our rules and the revocation lists, and the next one is tried when one is broken. In scope: one chain
//! at one moment under a [`Policy`]. Out of scope: whom the certificate names for us ([`super::validate`],
//! [`crate::idevid`]); certificate policies (RFC 5280 6.1.2 to 6.1.5, d to f): where a CA makes them critical the chain
//! is refused, see docs/pki-paths.md.
//!
//! To add an input of validation: a field of [`Policy`], and a test where it says no.

use std::cell::RefCell;

use der::asn1::ObjectIdentifier;
use lanyard_domain::time::Timestamp;
use rustls_pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, VerifiedPath};

use super::anchors::Anchors;
use super::explain::explain;
use super::revocation::{self, Revocation};
use super::rule::{self, Rule};
use super::{PathError, Purpose};
use crate::certificate::Certificate;
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

/// The end entity and six CAs: where webpki ends (its limit of sub CAs), and more than any maker's hierarchy has.
pub const LONGEST_CHAIN: usize = 7;

/// What the end entity's key is to be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// TLS: keyUsage and extendedKeyUsage must be there and say so themselves.
    Tls(Purpose),
    /// TLS, by a certificate that need not say so but must not say otherwise (IEEE 802.1AR).
    TlsIfNamed(Purpose),
    /// extendedKeyUsage must name this purpose; keyUsage is not asked.
    Named(ObjectIdentifier),
    /// Any; the caller knows what the anchors issue.
    Any,
}

impl Usage {
    pub(super) fn purpose(self) -> Option<ObjectIdentifier> {
        match self {
            Usage::Tls(Purpose::Client) | Usage::TlsIfNamed(Purpose::Client) => Some(oid::CLIENT_AUTH),
            Usage::Tls(Purpose::Server) | Usage::TlsIfNamed(Purpose::Server) => Some(oid::SERVER_AUTH),
            Usage::Named(purpose) => Some(purpose),
            Usage::Any => None,
        }
    }
}

/// How much of the certificate profile must be kept, beyond what keeps a path safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// RFC 5280 4.2 too: key identifiers, criticality, keyUsage of CAs. For hospitals' CAs and ours.
    Rfc5280,
    /// RFC 5280 6.1 only. For makers of hardware, whose certificates are in the field and cannot be changed.
    Maker,
}

/// Under which conditions a chain is good.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    /// What the key is used for.
    pub usage: Usage,
    /// The name that the end entity must have: DNS name or IP address in its subjectAltName.
    pub name: Option<&'a ServerName<'a>>,
    /// How many certificates may be shown, the end entity among them; at most [`LONGEST_CHAIN`] are read.
    pub longest_chain: usize,
    /// How many CAs may stand between end entity and anchor, self-issued ones not counted.
    pub most_issuers: usize,
    /// How much of the certificate profile counts.
    pub strictness: Strictness,
    /// How revocation is looked at.
    pub revocation: Revocation<'a>,
    /// The moment.
    pub now: Timestamp,
}

impl Policy<'_> {
    /// The strictest for `usage` at `now`: whole profile, no revocation needed because of noRevAvail, any name.
    pub fn strict(usage: Usage, now: Timestamp) -> Self {
        Self {
            usage,
            name: None,
            longest_chain: LONGEST_CHAIN,
            most_issuers: LONGEST_CHAIN,
            strictness: Strictness::Rfc5280,
            revocation: Revocation::NoneNeeded,
            now,
        }
    }
}

/// A path whose signatures, validity, constraints and rules hold under a [`Policy`]; says nothing about whom it names.
/// Made only by [`validate`] and what builds on it.
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
    /// The CAs between it and the anchor, nearest first.
    pub fn issuers(&self) -> &[Certificate] {
        &self.issuers
    }
    /// The trust anchor.
    pub fn anchor(&self) -> &Certificate {
        &self.anchor
    }
}

/// Checks a chain, the end entity first and the CAs in any order, under `policy`.
pub fn validate(
    chain: &[CertificateDer<'_>],
    anchors: &Anchors,
    policy: &Policy<'_>,
) -> Result<AnchoredPath, PathError> {
    let parsed = parse(chain, policy.longest_chain)?;
    end_entity(&parsed, policy)?;
    build(&parsed, anchors, policy)
}

pub(super) fn parse(chain: &[CertificateDer<'_>], longest: usize) -> Result<Vec<Certificate>, PathError> {
    let most = longest.min(LONGEST_CHAIN);
    if chain.len() > most {
        return Err(PathError::TooLong { shown: chain.len(), most });
    }
    chain
        .iter()
        .enumerate()
        .map(|(position, der)| {
            Certificate::parse(der).map_err(|source| PathError::Certificate { position, source })
        })
        .collect()
}

/// What can be said of the end entity alone. Before webpki's part: it costs no signature check, and its answer is the
/// more precise one.
pub(super) fn end_entity(parsed: &[Certificate], policy: &Policy<'_>) -> Result<(), PathError> {
    let leaf = parsed.first().ok_or(PathError::Empty)?;
    let refuse = |rule| PathError::Refused { position: 0, rule };
    rule::end_entity(leaf, policy.usage, policy.strictness).map_err(refuse)?;
    match policy.revocation {
        Revocation::NoneNeeded if !leaf.facts().is_no_rev_avail() => Err(refuse(Rule::RevocationUnknown)),
        // One of the two: without either nobody means to revoke it anywhere, with both one of them is a lie.
        Revocation::Elsewhere if leaf.facts().no_rev_avail.is_some() == leaf.facts().is_listed() => {
            Err(refuse(Rule::RevocationUnknown))
        }
        _ => Ok(()),
    }
}

/// Purposes are our rule, see [`rule::issuer`]: webpki's own cannot say "if named".
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

/// Finds a path to an anchor in which all holds. The end entity's own rules were checked before.
pub(super) fn build(
    parsed: &[Certificate],
    anchors: &Anchors,
    policy: &Policy<'_>,
) -> Result<AnchoredPath, PathError> {
    let Some((leaf, others)) = parsed.split_first() else { return Err(PathError::Empty) };
    let end_entity = EndEntityCert::try_from(leaf.der()).map_err(|e| PathError::Invalid(format!("{e:?}")))?;
    if let Some(name) = policy.name {
        end_entity.verify_is_valid_for_subject_name(name).map_err(|_| PathError::OtherName)?;
    }
    // webpki does not look at an anchor's validity: those outside of theirs are left out before it starts.
    let in_validity = |c: &Certificate| c.not_before() <= policy.now && policy.now <= c.not_after();
    let trust: Vec<TrustAnchor<'_>> = anchors
        .certificates
        .iter()
        .zip(&anchors.trust)
        .filter(|(certificate, _)| in_validity(certificate))
        .map(|(_, anchor)| anchor.clone())
        .collect();
    let intermediates: Vec<CertificateDer<'_>> = others.iter().map(|c| c.der().clone()).collect();
    let seconds = u64::try_from(policy.now.as_seconds()).unwrap_or(0);
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    // What our rules said of the last path that webpki found good.
    let refused = RefCell::new(None);
    let found = RefCell::new(None);
    let hold = |path: &VerifiedPath<'_>| match candidate(path, leaf, others, anchors, policy) {
        Ok(path) => {
            *found.borrow_mut() = Some(path);
            Ok(())
        }
        Err(error) => {
            *refused.borrow_mut() = Some(error);
            // Not fatal for webpki: it looks for another path.
            Err(webpki::Error::UnknownIssuer)
        }
    };
    let verified =
        end_entity.verify_for_usage(SIGNATURES, &trust, &intermediates, time, AnyUsage, None, Some(&hold));
    match verified {
        Ok(_) => found.into_inner().ok_or(PathError::UnknownIssuer),
        Err(error) => {
            // That a signed path broke a rule says more than that a second one was not found.
            let refused = refused.into_inner();
            Err(refused.unwrap_or_else(|| explain(error, parsed, anchors, policy.now)))
        }
    }
}

/// Our rules on a path that webpki found good.
fn candidate(
    path: &VerifiedPath<'_>,
    leaf: &Certificate,
    others: &[Certificate],
    anchors: &Anchors,
    policy: &Policy<'_>,
) -> Result<AnchoredPath, PathError> {
    let mut issuers = Vec::new();
    for used in path.intermediate_certificates() {
        let der = used.der();
        let (at, issuer) =
            others.iter().enumerate().find(|(_, c)| *c.der() == der).ok_or(PathError::UnknownIssuer)?;
        rule::issuer(issuer, policy.usage, policy.strictness)
            .map_err(|rule| PathError::Refused { position: at + 1, rule })?;
        issuers.push(issuer.clone());
    }
    let counted = rule::counted(&issuers);
    if counted > policy.most_issuers {
        return Err(PathError::TooDeep { issuers: counted, most: policy.most_issuers });
    }
    let anchor = anchor_of(path, anchors).ok_or(PathError::UnknownIssuer)?;
    rule::anchor(anchor, &issuers, policy.usage).map_err(|rule| PathError::RefusedAnchor { rule })?;
    if let Revocation::Crls(crls) = policy.revocation {
        revocation::check(crls, leaf, &issuers, anchor, policy.now)?;
    }
    Ok(AnchoredPath { leaf: leaf.clone(), issuers, anchor: anchor.clone() })
}

/// Name and key together: generations never share either, and an attacker has no anchor in the set.
fn anchor_of<'a>(path: &VerifiedPath<'_>, anchors: &'a Anchors) -> Option<&'a Certificate> {
    let found = path.anchor();
    let is_it = |t: &TrustAnchor<'_>| {
        t.subject == found.subject && t.subject_public_key_info == found.subject_public_key_info
    };
    anchors.certificates.iter().zip(&anchors.trust).find(|(_, t)| is_it(t)).map(|(c, _)| c)
}

#[cfg(test)]
mod tests;
