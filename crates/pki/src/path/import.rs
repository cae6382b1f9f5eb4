//! An authority of ours whose certificate somebody else signed: the hospital's own root, or a root made in a ceremony.
//!
//! Checked before it is believed, field by field, so that what comes out works with everything that later verifies under it:
//! our own path validation ([`super::generic`], the strict rules), devices, relying parties. In scope: one certificate for one
//! key of ours, and what stands above it up to the root that people named. Out of scope: whether that root is the hospital's
//! (people compare its fingerprint), and whether it has revoked us.
//!
//! To add a rule: a line in `ours`, `above` or `joined`, and a row in the test `every_rule_refuses`.

use std::fmt;
use std::net::IpAddr;

use lanyard_domain::time::Timestamp;
use x509_cert::ext::pkix::name::GeneralName;

use super::Purpose;
use super::generic::{Strictness, Usage};
use super::rule::{self, Rule};
use crate::certificate::{Certificate, MAX_CHAIN};
use crate::name::Naming;
use crate::oid;
use crate::read;

/// A new authority that ends sooner is not worth being made known everywhere.
const LEAST_SECONDS: i64 = 30 * 86_400;
/// An anchor's own path length, and what else it says, binds (RFC 5937).
const USAGES: [Usage; 2] = [Usage::Tls(Purpose::Client), Usage::Tls(Purpose::Server)];

/// A field of a certificate, by its name in RFC 5280.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the field of its name")]
pub enum Field {
    Issuer,
    Validity,
    Subject,
    SubjectPublicKeyInfo,
    SignatureAlgorithm,
    Signature,
    BasicConstraints,
    PathLenConstraint,
    KeyUsage,
    ExtendedKeyUsage,
    NameConstraints,
    SubjectKeyIdentifier,
    AuthorityKeyIdentifier,
    Extensions,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Issuer => "issuer",
            Field::Validity => "validity",
            Field::Subject => "subject",
            Field::SubjectPublicKeyInfo => "subjectPublicKeyInfo",
            Field::SignatureAlgorithm => "signatureAlgorithm",
            Field::Signature => "signature",
            Field::BasicConstraints => "basicConstraints",
            Field::PathLenConstraint => "pathLenConstraint",
            Field::KeyUsage => "keyUsage",
            Field::ExtendedKeyUsage => "extendedKeyUsage",
            Field::NameConstraints => "nameConstraints",
            Field::SubjectKeyIdentifier => "subjectKeyIdentifier",
            Field::AuthorityKeyIdentifier => "authorityKeyIdentifier",
            Field::Extensions => "extensions",
        })
    }
}

/// Why certificates are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// A rule does not hold.
    #[error("certificate `{subject}`: {field}: {rule}")]
    Refused {
        /// Whose.
        subject: String,
        /// Where.
        field: Field,
        /// What must hold, and what to do.
        rule: String,
    },
    /// None of them has the key of the request.
    #[error("no certificate here has the key of the request; have that request signed, not another one")]
    NotOurs,
    /// There is a gap below the root.
    #[error("the issuer of `{subject}` is missing: add the certificate of `{issuer}` to the file")]
    Gap {
        /// Whose issuer.
        subject: String,
        /// Its issuer's name.
        issuer: String,
    },
    /// A certificate that is of no use here.
    #[error("certificate `{0}` is not between ours and the root: take it out of the file")]
    Stray(String),
    /// More than devices and gateways read.
    #[error(
        "{found} CAs stand between ours and the root, at most {most} are read by devices and gateways: \
             have the request signed further up"
    )]
    TooLong {
        /// As many.
        found: usize,
        /// As many may.
        most: usize,
    },
}

/// What a certificate is to be good for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The SubjectPublicKeyInfo of our key, DER.
    pub spki: &'a [u8],
    /// CAs of ours that will stand below: none for an issuing authority, one for a root of ours below theirs.
    pub below: u8,
    /// The root that people named.
    pub root: &'a Certificate,
    /// What stands in the certificates that will be issued.
    pub naming: &'a Naming,
    /// Addresses of our own listeners and gateways.
    pub addresses: &'a [IpAddr],
    /// Subjects (DER) that other authorities have or had.
    pub taken: &'a [Vec<u8>],
    /// Now.
    pub now: Timestamp,
}

/// A certificate for a key of ours that passed every rule, and what stands above it. Made only by [`check`].
#[derive(Debug, Clone)]
pub struct Imported {
    certificate: Certificate,
    above: Vec<Certificate>,
}

impl Imported {
    /// Ours.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }
    /// Its issuer first, the root last.
    pub fn above(&self) -> &[Certificate] {
        &self.above
    }
}

/// That a root which people name can be one.
pub fn check_root(root: &Certificate, now: Timestamp) -> Result<(), ImportError> {
    if !root.facts().is_self_issued() {
        return Err(refused(root, Field::Issuer, "it is signed by another CA: name the root above it"));
    }
    in_validity(root, now)?;
    rule::authority(root.facts()).map_err(|rule| of_rule(root, rule))?;
    if root.subject_key_id().is_none() {
        return Err(refused(root, Field::SubjectKeyIdentifier, Rule::NoSubjectKeyId));
    }
    Ok(())
}

/// Checks what was brought: our certificate and the CAs above it, in any order, with or without the root.
pub fn check(shown: &[Certificate], wanted: &Wanted<'_>) -> Result<Imported, ImportError> {
    check_root(wanted.root, wanted.now)?;
    let is_ours = |c: &&Certificate| c.public_key().is_ok_and(|key| key.der() == wanted.spki);
    let certificate = shown.iter().find(is_ours).ok_or(ImportError::NotOurs)?.clone();
    ours(&certificate, wanted)?;
    let mut above: Vec<Certificate> = Vec::new();
    let mut last = certificate.clone();
    while last.subject_der() != wanted.root.subject_der() {
        let is_next = |c: &&Certificate| c.subject_der() == last.issuer_der() && c.der() != last.der();
        let next = match last.issuer_der() == wanted.root.subject_der() {
            true => wanted.root,
            false => shown.iter().find(is_next).ok_or_else(|| ImportError::Gap {
                subject: last.subject_text(),
                issuer: last.issuer_text(),
            })?,
        };
        // As many as are shown, and the root: a circle of names ends here.
        if above.len() > shown.len() {
            return Err(refused(&last, Field::Issuer, "the chain goes in a circle"));
        }
        let below = usize::from(wanted.below) + above.len() + 1;
        if above.is_empty() && next.der() == certificate.der() {
            return Err(refused(&certificate, Field::Issuer, "it is signed by itself"));
        }
        self::above(next, below, wanted)?;
        joined(&last, next)?;
        above.push(next.clone());
        last = next.clone();
    }
    let most = MAX_CHAIN.saturating_sub(2 + usize::from(wanted.below));
    let found = above.len().saturating_sub(1);
    if found > most {
        return Err(ImportError::TooLong { found, most });
    }
    let used = |c: &Certificate| c.der() == certificate.der() || above.iter().any(|a| a.der() == c.der());
    if let Some(stray) = shown.iter().find(|c| !used(c)) {
        return Err(ImportError::Stray(stray.subject_text()));
    }
    Ok(Imported { certificate, above })
}

fn ours(certificate: &Certificate, wanted: &Wanted<'_>) -> Result<(), ImportError> {
    let refuse = |field, rule: &str| Err(refused(certificate, field, rule));
    let facts = certificate.facts();
    if certificate.issuer_der() == certificate.subject_der()
        || certificate.subject_der() == wanted.root.subject_der()
    {
        return refuse(Field::Issuer, "it must be signed by a CA of the hospital, not by itself");
    }
    if wanted.taken.iter().any(|taken| taken == certificate.subject_der()) {
        return refuse(
            Field::Subject,
            "another authority has or had this name; each generation has one of its own, have the request's used",
        );
    }
    if certificate.not_after().seconds_since(wanted.now) < LEAST_SECONDS {
        return refuse(Field::Validity, "at least 30 days must be left");
    }
    if !facts.key_usage.is_some_and(|u| u.key_cert_sign() && u.crl_sign()) {
        return refuse(Field::KeyUsage, "must be there and assert keyCertSign and cRLSign");
    }
    above(certificate, usize::from(wanted.below), wanted)
}

/// What every CA of the path must be, ours included, with so many CAs below it.
fn above(ca: &Certificate, below: usize, wanted: &Wanted<'_>) -> Result<(), ImportError> {
    in_validity(ca, wanted.now)?;
    let is_root = ca.der() == wanted.root.der();
    for usage in USAGES {
        let held = match is_root {
            true => rule::authority(ca.facts()).and_then(|()| rule::anchor(ca, &[], usage)),
            false => rule::issuer(ca, usage, Strictness::Rfc5280),
        };
        held.map_err(|rule| of_rule(ca, rule))?;
    }
    let most = ca.facts().basic_constraints.as_ref().and_then(|b| b.path_len_constraint);
    if most.is_some_and(|most| usize::from(most) < below) {
        let rule = format!("must be absent or at least {below}: as many CAs stand below it");
        return Err(refused(ca, Field::PathLenConstraint, rule));
    }
    constraints(ca, wanted)
}

fn in_validity(ca: &Certificate, now: Timestamp) -> Result<(), ImportError> {
    if now < ca.not_before() {
        return Err(refused(
            ca,
            Field::Validity,
            format!("it begins at {}, later than now", ca.not_before()),
        ));
    }
    if now > ca.not_after() {
        return Err(refused(ca, Field::Validity, format!("it ended at {}", ca.not_after())));
    }
    Ok(())
}

/// That `child` was signed by `parent`, and says so.
fn joined(child: &Certificate, parent: &Certificate) -> Result<(), ImportError> {
    let named = child.facts().authority_key_id.as_deref();
    if named.is_some() && parent.subject_key_id().is_some() && named != parent.subject_key_id() {
        return Err(refused(
            child,
            Field::AuthorityKeyIdentifier,
            format!(
                "it names another key than that of `{}`: another generation of that CA signed it, add that one",
                parent.subject_text()
            ),
        ));
    }
    if child.not_after() > parent.not_after() {
        return Err(refused(
            child,
            Field::Validity,
            format!("it ends later than its issuer `{}`, {}", parent.subject_text(), parent.not_after()),
        ));
    }
    let key =
        parent.public_key().map_err(|why| refused(parent, Field::SubjectPublicKeyInfo, why.to_string()))?;
    let signed = read::signed(child.der(), "a certificate")
        .map_err(|why| refused(child, Field::Signature, why.to_string()))?;
    key.verify(&child.signature_algorithm(), signed.tbs, signed.signature).map_err(|why| match why {
        crate::spki::SignatureRefused::Algorithm => refused(
            child,
            Field::SignatureAlgorithm,
            "must be ECDSA or RSA (PKCS#1 v1.5) with SHA-256, SHA-384 or SHA-512, Ed25519 or ML-DSA-65, and of its issuer's kind",
        ),
        crate::spki::SignatureRefused::Invalid => refused(
            child,
            Field::Signature,
            format!("it was not made with the key of `{}`", parent.subject_text()),
        ),
    })
}

/// Forms of names that are constrained: every name that we write must be inside, and be comparable by those who verify.
fn constraints(ca: &Certificate, wanted: &Wanted<'_>) -> Result<(), ImportError> {
    let Some(found) = &ca.facts().name_constraints else { return Ok(()) };
    let refuse = |rule: String| Err(refused(ca, Field::NameConstraints, rule));
    let domain = wanted.naming.domain.as_str();
    let (mut dns, mut ip) = (Vec::new(), Vec::new());
    for subtree in found.permitted_subtrees.iter().flatten() {
        match &subtree.base {
            GeneralName::DnsName(name) => dns.push(name.as_str().to_owned()),
            GeneralName::IpAddress(range) => ip.push(range.as_bytes().to_vec()),
            GeneralName::Rfc822Name(_) => {}
            other => return refuse(unfit(other)),
        }
    }
    if !dns.is_empty() && !dns.iter().any(|base| within(domain, base)) {
        return refuse(format!("dNSName must permit `{domain}`; it permits {}", dns.join(", ")));
    }
    if let Some(outside) =
        wanted.addresses.iter().find(|a| !ip.is_empty() && !ip.iter().any(|r| covers(r, **a)))
    {
        return refuse(format!("iPAddress must permit {outside}, which our listeners are dialled by"));
    }
    for subtree in found.excluded_subtrees.iter().flatten() {
        match &subtree.base {
            GeneralName::DnsName(name) if within(domain, name.as_str()) || within(name.as_str(), domain) => {
                return refuse(format!(
                    "dNSName must not exclude `{}`, our domain is `{domain}`",
                    name.as_str()
                ));
            }
            GeneralName::DnsName(_) | GeneralName::Rfc822Name(_) => {}
            GeneralName::IpAddress(range) => {
                if let Some(inside) = wanted.addresses.iter().find(|a| covers(range.as_bytes(), **a)) {
                    return refuse(format!(
                        "iPAddress must not exclude {inside}, which our listeners are dialled by"
                    ));
                }
            }
            other => return refuse(unfit(other)),
        }
    }
    Ok(())
}

/// A device is named by `urn:uuid:` and its subject; verifiers (rustls-webpki) take constraints on these as a refusal.
fn unfit(name: &GeneralName) -> String {
    let form = match name {
        GeneralName::UniformResourceIdentifier(_) => "uniformResourceIdentifier",
        GeneralName::DirectoryName(_) => "directoryName",
        GeneralName::OtherName(_) => "otherName",
        _ => "this form of name",
    };
    format!(
        "{form} must not be constrained: devices are named by urn:uuid and by their subject; constrain dNSName"
    )
}

/// RFC 5280 4.2.1.10: a name is within a constraint when labels were added at its left.
fn within(name: &str, base: &str) -> bool {
    let (name, base) = (name.to_ascii_lowercase(), base.trim_start_matches('.').to_ascii_lowercase());
    base.is_empty() || name == base || name.strip_suffix(&base).is_some_and(|left| left.ends_with('.'))
}

/// RFC 5280 4.2.1.10: address and mask, each of 4 or of 16 bytes.
fn covers(range: &[u8], address: IpAddr) -> bool {
    let octets = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let Some((base, mask)) = range.split_at_checked(octets.len()) else { return false };
    mask.len() == octets.len() && octets.iter().zip(base).zip(mask).all(|((o, b), m)| o & m == b & m)
}

fn refused(certificate: &Certificate, field: Field, rule: impl fmt::Display) -> ImportError {
    ImportError::Refused { subject: certificate.subject_text(), field, rule: rule.to_string() }
}

fn of_rule(certificate: &Certificate, rule: Rule) -> ImportError {
    let field = match rule {
        Rule::IssuerIsNoCa | Rule::EndEntityIsCa => Field::BasicConstraints,
        Rule::PathLengthWithoutCa | Rule::AnchorPathLength => Field::PathLenConstraint,
        Rule::IssuerMayNotSign | Rule::EndEntityMaySign | Rule::NoDigitalSignature => Field::KeyUsage,
        Rule::PurposeNotNamed | Rule::AnyPurpose => {
            let rule = "a CA that names purposes must name clientAuth and serverAuth; or leave it out";
            return refused(certificate, Field::ExtendedKeyUsage, rule);
        }
        Rule::WeakKey => Field::SubjectPublicKeyInfo,
        Rule::NoAuthorityKeyId => Field::AuthorityKeyIdentifier,
        Rule::NoSubjectKeyId => Field::SubjectKeyIdentifier,
        Rule::IssuerWithoutName | Rule::Nameless | Rule::ForeignNames => Field::Subject,
        Rule::ConstraintsOnEndEntity | Rule::ConstraintsNotCritical | Rule::ConstraintsEmpty => {
            Field::NameConstraints
        }
        Rule::UnknownCritical => {
            let known = [oid::POLICY_CONSTRAINTS, oid::INHIBIT_ANY_POLICY];
            let critical = certificate
                .facts()
                .extensions
                .iter()
                .find(|(id, critical)| *critical && !rule::PROCESSED.contains(id) && !known.contains(id));
            let which = critical.map(|(id, _)| format!("{id}: ")).unwrap_or_default();
            return refused(certificate, Field::Extensions, format!("{which}{rule}"));
        }
        Rule::PoliciesDemanded | Rule::RevocationUnknown => Field::Extensions,
    };
    refused(certificate, field, rule)
}

#[cfg(test)]
mod tests;
