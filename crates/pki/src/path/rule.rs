//! The rules that rustls-webpki does not have, one variant each with its clause.
//!
//! In scope: what a single certificate says, given where it stands in the path (end entity, issuer, anchor) and how
//! strict the caller is. Out of scope: signatures, validity, name constraints, path lengths below the anchor (webpki's
//! part, [`super::generic`]), and which names are ours ([`super::validate`]).
//!
//! To add a rule: a variant, its sentence, a line in `end_entity`, `issuer` or `anchor`, and a row in the test
//! `every_rule_refuses` or its neighbours for issuers and anchors.

use std::fmt;

use der::asn1::ObjectIdentifier;

use super::generic::{Strictness, Usage};
use crate::certificate::Certificate;
use crate::facts::Facts;
use crate::oid;

/// A rule of ours that webpki does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// An end entity must not be a CA (RFC 5280 4.2.1.9).
    EndEntityIsCa,
    /// An end entity must have keyUsage with digitalSignature (RFC 5280 4.2.1.3; TLS 1.3 signs).
    NoDigitalSignature,
    /// An end entity must not assert keyCertSign or cRLSign (RFC 5280 4.2.1.3 and 4.2.1.9).
    EndEntityMaySign,
    /// extendedKeyUsage must be there and name the purpose itself (RFC 5280 4.2.1.12).
    PurposeNotNamed,
    /// anyExtendedKeyUsage is a wildcard.
    AnyPurpose,
    /// authorityKeyIdentifier must be there (RFC 5280 4.2.1.1).
    NoAuthorityKeyId,
    /// subjectKeyIdentifier must be there in a CA certificate (RFC 5280 4.2.1.2).
    NoSubjectKeyId,
    /// The key is of no accepted kind or strength.
    WeakKey,
    /// Names are not of a form that our profiles write.
    ForeignNames,
    /// It does not say noRevAvail, and where else its revocation is known nobody can look here; or it says both (RFC 9608).
    RevocationUnknown,
    /// A CA must have keyUsage with keyCertSign (RFC 5280 4.2.1.3, 6.1.4 n).
    IssuerMayNotSign,
    /// basicConstraints with cA must be there and be critical (RFC 5280 4.2.1.9, 6.1.4 k).
    IssuerIsNoCa,
    /// A CA must have a name (RFC 5280 4.1.2.6).
    IssuerWithoutName,
    /// An end entity without subject must have a critical subjectAltName (RFC 5280 4.1.2.6).
    Nameless,
    /// nameConstraints belong into CA certificates only (RFC 5280 4.2.1.10).
    ConstraintsOnEndEntity,
    /// nameConstraints must be critical (RFC 5280 4.2.1.10).
    ConstraintsNotCritical,
    /// nameConstraints must constrain something (RFC 5280 4.2.1.10).
    ConstraintsEmpty,
    /// pathLenConstraint stands beside cA only (RFC 5280 4.2.1.9).
    PathLengthWithoutCa,
    /// A critical extension that is not processed (RFC 5280 4.2, 6.1.4 o, 6.1.5 f).
    UnknownCritical,
    /// Certificate policies are demanded, critical or not, and we do not process them (RFC 5280 4.2.1.11, 4.2.1.14).
    PoliciesDemanded,
    /// More CAs below the anchor than its own pathLenConstraint allows (RFC 5937).
    AnchorPathLength,
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
            Rule::NoSubjectKeyId => "subjectKeyIdentifier of a CA is missing",
            Rule::WeakKey => "the key is of no accepted kind or strength",
            Rule::ForeignNames => "the alternative names are not of a form that we issue",
            Rule::RevocationUnknown => "it is not marked noRevAvail and its revocation cannot be checked, or it says two things about it",
            Rule::IssuerMayNotSign => "keyUsage of a CA must assert keyCertSign",
            Rule::IssuerIsNoCa => "a CA must assert cA in a critical basicConstraints",
            Rule::IssuerWithoutName => "a CA must have a subject",
            Rule::Nameless => "without a subject, subjectAltName must be there and critical",
            Rule::ConstraintsOnEndEntity => "nameConstraints stand in a certificate that is no CA's",
            Rule::ConstraintsNotCritical => "nameConstraints must be critical",
            Rule::ConstraintsEmpty => "nameConstraints constrain nothing",
            Rule::PathLengthWithoutCa => "pathLenConstraint stands in a certificate that is no CA's",
            Rule::UnknownCritical => "a critical extension is not one that we process",
            Rule::PoliciesDemanded => "it demands certificate policies, which are not processed",
            Rule::AnchorPathLength => "there are more CAs below the anchor than its pathLenConstraint allows",
        })
    }
}

/// What webpki and we process. A critical extension outside of this list is one whose meaning would be lost.
pub(super) const PROCESSED: &[ObjectIdentifier] = &[
    oid::BASIC_CONSTRAINTS,
    oid::KEY_USAGE,
    oid::EXTENDED_KEY_USAGE,
    oid::SUBJECT_ALT_NAME,
    oid::NAME_CONSTRAINTS,
    oid::CRL_DISTRIBUTION_POINTS,
];

/// The rules on the certificate that the peer says is its own.
pub(super) fn end_entity(leaf: &Certificate, usage: Usage, strictness: Strictness) -> Result<(), Rule> {
    let facts = leaf.facts();
    if facts.is_ca() {
        return Err(Rule::EndEntityIsCa);
    }
    if facts.key_usage.is_some_and(|u| u.key_cert_sign() || u.crl_sign()) {
        return Err(Rule::EndEntityMaySign);
    }
    end_entity_usage(facts, usage)?;
    if facts.key.is_err() {
        return Err(Rule::WeakKey);
    }
    if facts.name_constraints.is_some() {
        return Err(Rule::ConstraintsOnEndEntity);
    }
    known_critical(facts)?;
    if strictness == Strictness::Rfc5280 {
        if facts.authority_key_id.is_none() {
            return Err(Rule::NoAuthorityKeyId);
        }
        if facts.basic_constraints.as_ref().is_some_and(|b| b.path_len_constraint.is_some()) {
            return Err(Rule::PathLengthWithoutCa);
        }
        let named_by_san = facts.alt_names.as_ref().is_some_and(|n| n.critical && !n.is_empty());
        if facts.subject_is_empty && !named_by_san {
            return Err(Rule::Nameless);
        }
    }
    Ok(())
}

fn end_entity_usage(facts: &Facts, usage: Usage) -> Result<(), Rule> {
    let signs = facts.key_usage.map(|u| u.digital_signature());
    match usage {
        Usage::Tls(_) if signs != Some(true) => return Err(Rule::NoDigitalSignature),
        // IEEE 802.1AR-2018 8.10.3 recommends keyUsage and does not require it; what it says counts.
        Usage::TlsIfNamed(_) if signs == Some(false) => return Err(Rule::NoDigitalSignature),
        _ => {}
    }
    let Some(wanted) = usage.purpose() else { return Ok(()) };
    match (facts.extended_key_usage.as_deref(), usage) {
        (None, Usage::TlsIfNamed(_)) => Ok(()),
        (None, _) => Err(Rule::PurposeNotNamed),
        (Some(named), Usage::TlsIfNamed(_)) if named.contains(&oid::ANY_EXTENDED_KEY_USAGE) => Ok(()),
        (Some(named), _) if named.contains(&oid::ANY_EXTENDED_KEY_USAGE) => Err(Rule::AnyPurpose),
        (Some(named), _) if named.contains(&wanted) => Ok(()),
        (Some(_), _) => Err(Rule::PurposeNotNamed),
    }
}

/// The rules on a CA between the end entity and the anchor.
pub(super) fn issuer(issuer: &Certificate, usage: Usage, strictness: Strictness) -> Result<(), Rule> {
    let facts = issuer.facts();
    authority(facts)?;
    ca_usage(facts, usage)?;
    if strictness == Strictness::Rfc5280 {
        if facts.criticality(&oid::BASIC_CONSTRAINTS) != Some(true) {
            return Err(Rule::IssuerIsNoCa);
        }
        if facts.key_usage.is_none() {
            return Err(Rule::IssuerMayNotSign);
        }
        if facts.authority_key_id.is_none() && !facts.is_self_issued() {
            return Err(Rule::NoAuthorityKeyId);
        }
        if facts.subject_key_id.is_none() {
            return Err(Rule::NoSubjectKeyId);
        }
        if facts.criticality(&oid::NAME_CONSTRAINTS) == Some(false) {
            return Err(Rule::ConstraintsNotCritical);
        }
    }
    Ok(())
}

/// The rules on a trust anchor in a path with `issuers` below it. It is trusted because a person said so; what it
/// says about its own use still binds (RFC 5937).
pub(super) fn anchor(anchor: &Certificate, issuers: &[Certificate], usage: Usage) -> Result<(), Rule> {
    let facts = anchor.facts();
    ca_usage(facts, usage)?;
    let most = facts.basic_constraints.as_ref().and_then(|b| b.path_len_constraint);
    if most.is_some_and(|most| counted(issuers) > usize::from(most)) {
        return Err(Rule::AnchorPathLength);
    }
    Ok(())
}

/// How many CAs of a path count for its length: RFC 5280 6.1.4 l leaves the self-issued ones out.
pub(super) fn counted(issuers: &[Certificate]) -> usize {
    issuers.iter().filter(|c| !c.facts().is_self_issued()).count()
}

/// What each CA must be, issuer or anchor, whoever made it.
pub(super) fn authority(facts: &Facts) -> Result<(), Rule> {
    if !facts.is_ca() {
        return Err(Rule::IssuerIsNoCa);
    }
    // RFC 5280 6.1.4 n: when keyUsage is there. Roots of hardware makers may have none.
    if facts.key_usage.is_some_and(|u| !u.key_cert_sign()) {
        return Err(Rule::IssuerMayNotSign);
    }
    if facts.key.is_err() {
        return Err(Rule::WeakKey);
    }
    if facts.subject_is_empty {
        return Err(Rule::IssuerWithoutName);
    }
    if let Some(constraints) = &facts.name_constraints {
        let subtrees = [&constraints.permitted_subtrees, &constraints.excluded_subtrees];
        // RFC 5280 4.2.1.10: not an empty sequence, and GeneralSubtrees has at least one element.
        if subtrees.iter().all(|s| s.is_none())
            || subtrees.iter().any(|s| s.as_ref().is_some_and(Vec::is_empty))
        {
            return Err(Rule::ConstraintsEmpty);
        }
    }
    // Only a path without them means the same with and without policy processing.
    let demands = |id| facts.criticality(id).is_some();
    if demands(&oid::POLICY_CONSTRAINTS) || demands(&oid::INHIBIT_ANY_POLICY) {
        return Err(Rule::PoliciesDemanded);
    }
    known_critical(facts)
}

/// A CA that names purposes is bound to them.
fn ca_usage(facts: &Facts, usage: Usage) -> Result<(), Rule> {
    let (Some(wanted), Some(named)) = (usage.purpose(), facts.extended_key_usage.as_deref()) else {
        return Ok(());
    };
    // Makers' CAs name the wildcard; a CA for a hospital's TLS has no reason to.
    let any_will_do = !matches!(usage, Usage::Tls(_));
    if named.contains(&wanted) || (any_will_do && named.contains(&oid::ANY_EXTENDED_KEY_USAGE)) {
        return Ok(());
    }
    Err(Rule::PurposeNotNamed)
}

fn known_critical(facts: &Facts) -> Result<(), Rule> {
    let unknown = facts.extensions.iter().any(|(id, critical)| *critical && !PROCESSED.contains(id));
    if unknown { Err(Rule::UnknownCritical) } else { Ok(()) }
}
