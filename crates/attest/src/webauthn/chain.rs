//! From the certificates of a statement to a root that an operator registered for its format.
//!
//! webpki builds the path. Two rules are ours: a root counts only for its format (who may vouch for phones may not
//! for TPMs), and only inside of its own validity, which webpki does not look at.

use std::time::Duration;

use der::Decode;
use der::asn1::ObjectIdentifier;
use lanyard_domain::time::Timestamp;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_cert::Certificate;

use super::certificate::AttestationCertificate;
use super::revocation::{self, AnyUsage, CheckedPath, RevocationStatus};
use super::{AttestationObject, Format, StatementRefusal, Trust};

/// A maker's CA as an operator registered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Name under which it was registered.
    pub name: String,
    /// The format for which it is trusted.
    pub format: Format,
    /// Certificate, DER. Whoever registers it vouches for it; it need not be self-signed.
    pub certificate: Vec<u8>,
}

/// What the chain proves.
pub(super) struct Chain {
    pub leaf: AttestationCertificate,
    pub anchor: String,
    /// Leaf, the intermediates that were used, anchor.
    pub certificates: Vec<Vec<u8>>,
    pub revocation: RevocationStatus,
}

impl Chain {
    /// Whether an issuer of the attestation certificate, or the root, has this extension.
    pub(super) fn issuers_have(&self, id: &ObjectIdentifier) -> Result<bool, StatementRefusal> {
        let mut found = false;
        for (position, der) in self.certificates.iter().enumerate().skip(1) {
            let malformed = |e: der::Error| StatementRefusal::Certificate { position, why: e.to_string() };
            let parsed = Certificate::from_der(der).map_err(malformed)?;
            found |=
                parsed.tbs_certificate().extensions().is_some_and(|e| e.iter().any(|e| e.extn_id == *id));
        }
        Ok(found)
    }
}

/// Which purposes the certificates may name.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// This one, wherever there are purposes at all (content octets of the identifier).
    Named(&'static [u8]),
    /// Any: the format does not use them.
    Any,
}

pub(super) fn check(
    object: &AttestationObject,
    format: Format,
    purpose: Purpose,
    trust: &Trust,
    now: Timestamp,
) -> Result<Chain, StatementRefusal> {
    let certificates = object.statement().certificates.as_deref().ok_or(StatementRefusal::Missing("x5c"))?;
    let (first, others) = certificates.split_first().ok_or(StatementRefusal::Missing("x5c"))?;
    let leaf = AttestationCertificate::parse(first)?;
    let roots = roots(trust, format, now)?;
    let anchors: Vec<TrustAnchor<'_>> = roots.iter().map(|(_, _, anchor)| anchor.clone()).collect();
    let der = CertificateDer::from(first.as_slice());
    let end_entity = EndEntityCert::try_from(&der).map_err(|e| refusal(e, &leaf))?;
    let intermediates: Vec<CertificateDer<'_>> =
        others.iter().map(|c| CertificateDer::from(c.as_slice())).collect();
    let seconds = u64::try_from(now.as_seconds()).unwrap_or(0);
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let algorithms = webpki::ALL_VERIFICATION_ALGS;
    let path = match purpose {
        Purpose::Named(id) => {
            let usage = KeyUsage::required_if_present(id);
            end_entity.verify_for_usage(algorithms, &anchors, &intermediates, time, usage, None, None)
        }
        Purpose::Any => {
            end_entity.verify_for_usage(algorithms, &anchors, &intermediates, time, AnyUsage, None, None)
        }
    };
    let path = path.map_err(|e| refusal(e, &leaf))?;
    let mut used = vec![first.clone()];
    used.extend(path.intermediate_certificates().map(|c| c.der().to_vec()));
    let (name, root, _) = roots
        .iter()
        .find(|(_, _, anchor)| anchor == path.anchor())
        .ok_or_else(|| StatementRefusal::Path("the chain ends at no registered root".to_owned()))?;
    let checked = CheckedPath {
        leaf: &end_entity,
        anchors: &anchors,
        intermediates: &intermediates,
        used: &used,
        time,
        now,
    };
    let revocation = revocation::check(&trust.revocation, &checked)?;
    used.push(root.to_vec());
    Ok(Chain { leaf, anchor: (*name).to_owned(), certificates: used, revocation })
}

type Root<'a> = (&'a str, &'a [u8], TrustAnchor<'a>);

fn roots(trust: &Trust, format: Format, now: Timestamp) -> Result<Vec<Root<'_>>, StatementRefusal> {
    let mut out = Vec::new();
    let mut any = false;
    for anchor in trust.anchors.iter().filter(|a| a.format == format) {
        any = true;
        let unusable = || StatementRefusal::UnusableAnchor(anchor.name.clone());
        let parsed = Certificate::from_der(&anchor.certificate).map_err(|_| unusable())?;
        let validity = parsed.tbs_certificate().validity();
        let at = |time: &x509_cert::time::Time| {
            Timestamp::from_seconds(i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX))
        };
        if now < at(&validity.not_before) || at(&validity.not_after) < now {
            continue;
        }
        let der = CertificateDer::from(anchor.certificate.as_slice());
        let trusted = anchor_from_trusted_cert(&der).map_err(|_| unusable())?.to_owned();
        out.push((anchor.name.as_str(), anchor.certificate.as_slice(), trusted));
    }
    match (any, out.is_empty()) {
        (false, _) => Err(StatementRefusal::NoAnchor(format)),
        (true, true) => {
            Err(StatementRefusal::Path("every registered root is outside of its validity".into()))
        }
        (true, false) => Ok(out),
    }
}

fn refusal(error: webpki::Error, leaf: &AttestationCertificate) -> StatementRefusal {
    use webpki::Error as E;
    match error {
        E::UnknownIssuer => StatementRefusal::UnknownAuthority { issuer: leaf.issuer_text() },
        E::CertExpired { .. } => StatementRefusal::Expired,
        E::CertNotValidYet { .. } => StatementRefusal::NotYetValid,
        // RFC 5280 4.2. Windows marks certificatePolicies so.
        E::UnsupportedCriticalExtension => StatementRefusal::Profile(
            "no extension is critical that is not understood here (certificatePolicies is such a one)",
        ),
        E::CaUsedAsEndEntity => StatementRefusal::Profile("an attestation certificate is not a CA's"),
        other => StatementRefusal::Path(other.to_string()),
    }
}
