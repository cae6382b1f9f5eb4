//! What is known about revoked attestation certificates, and what to do when nothing is.
//!
//! Makers differ: Microsoft and ST publish CRLs, Google a list of serial numbers for all its authorities, many
//! nothing. So the input is any number of lists of both kinds, and the result has three values: good, revoked,
//! unknown. What unknown means is the operator's choice, and the choice is made in words ([`OnUnknown`]).
//! In scope: lists that were handed in. Out of scope: fetching them.

use std::collections::BTreeSet;

use der::Decode;
use lanyard_domain::time::Timestamp;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, ExtendedKeyUsageValidator, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_cert::Certificate;

use super::StatementRefusal;

/// A maker's whole CRL: 100 000 entries of 35 bytes are 3.5 MB (measured); some room above.
const MAX_CRL_BYTES: usize = 8 * 1024 * 1024;

/// What to do when no list says anything about an attestation certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknown {
    /// Take it, and say in the result that it is unknown.
    Accept,
    /// Refuse.
    Refuse,
}

/// Whether absence from a list of serial numbers says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// The list is its issuer's whole knowledge: who is not on it is good.
    Complete,
    /// Somebody's notes: who is not on it is unknown.
    Partial,
}

/// Revoked serial numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialList {
    issuer: Option<Vec<u8>>,
    serials: BTreeSet<Vec<u8>>,
    coverage: Coverage,
    valid_until: Timestamp,
}

impl SerialList {
    /// A list of serial numbers (big-endian). `issuer`: the DER name whose certificates are meant; none means every
    /// certificate of the chain, as in Google's list. After `valid_until` it still revokes but no longer says good.
    pub fn new(
        issuer: Option<Vec<u8>>,
        serials: impl IntoIterator<Item = Vec<u8>>,
        coverage: Coverage,
        valid_until: Timestamp,
    ) -> Self {
        Self { issuer, serials: serials.into_iter().map(|s| plain(&s)).collect(), coverage, valid_until }
    }

    fn covers(&self, issuer: &[u8]) -> bool {
        self.issuer.as_deref().is_none_or(|own| own == issuer)
    }
}

/// A CRL that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the revocation list cannot be used: {0}")]
pub struct BadList(String);

/// All that is known.
#[derive(Debug)]
pub struct Revocation {
    crls: Vec<CertRevocationList<'static>>,
    serials: Vec<SerialList>,
    on_unknown: OnUnknown,
}

/// What the lists say about an attestation certificate that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevocationStatus {
    /// A current list of its issuer does not name it.
    Good,
    /// No current list speaks of it, and policy lets that pass. The sentence says why.
    Unknown(&'static str),
}

impl Revocation {
    /// No lists yet.
    pub const fn new(on_unknown: OnUnknown) -> Self {
        Self { crls: Vec::new(), serials: Vec::new(), on_unknown }
    }

    /// Adds a CRL in DER. Its signature is checked against the chain when it is used. Fuzz entry point.
    pub fn add_crl(&mut self, der: &[u8]) -> Result<(), BadList> {
        if der.len() > MAX_CRL_BYTES {
            return Err(BadList(format!("{} bytes, at most {MAX_CRL_BYTES} are read", der.len())));
        }
        let list = OwnedCertRevocationList::from_der(der).map_err(|e| BadList(e.to_string()))?;
        self.crls.push(list.into());
        Ok(())
    }

    /// Adds a list of serial numbers.
    pub fn add_serials(&mut self, list: SerialList) {
        self.serials.push(list);
    }
}

/// One path whose signatures were checked.
pub(super) struct CheckedPath<'a> {
    pub leaf: &'a EndEntityCert<'a>,
    pub anchors: &'a [TrustAnchor<'a>],
    pub intermediates: &'a [CertificateDer<'a>],
    /// Leaf and the intermediates that were used.
    pub used: &'a [Vec<u8>],
    pub time: UnixTime,
    pub now: Timestamp,
}

pub(super) fn check(
    revocation: &Revocation,
    path: &CheckedPath<'_>,
) -> Result<RevocationStatus, StatementRefusal> {
    let by_serials = by_serials(&revocation.serials, path)?;
    let by_crls = by_crls(&revocation.crls, path)?;
    match [by_serials, by_crls]
        .into_iter()
        .flatten()
        .min_by_key(|s| matches!(s, RevocationStatus::Unknown(_)))
    {
        Some(RevocationStatus::Good) => Ok(RevocationStatus::Good),
        other => {
            let why = match other {
                Some(RevocationStatus::Unknown(why)) => why,
                _ => "no revocation list is registered",
            };
            match revocation.on_unknown {
                OnUnknown::Accept => Ok(RevocationStatus::Unknown(why)),
                OnUnknown::Refuse => Err(StatementRefusal::RevocationUnknown(why)),
            }
        }
    }
}

fn by_serials(
    lists: &[SerialList],
    path: &CheckedPath<'_>,
) -> Result<Option<RevocationStatus>, StatementRefusal> {
    if lists.is_empty() {
        return Ok(None);
    }
    let mut leaf_is_covered = false;
    for (position, der) in path.used.iter().enumerate() {
        let malformed = |e: der::Error| StatementRefusal::Certificate { position, why: e.to_string() };
        let parsed = Certificate::from_der(der).map_err(malformed)?;
        let issuer = der::Encode::to_der(parsed.tbs_certificate().issuer()).map_err(malformed)?;
        let serial = plain(parsed.tbs_certificate().serial_number().as_bytes());
        for list in lists.iter().filter(|l| l.covers(&issuer)) {
            if list.serials.contains(&serial) {
                return Err(StatementRefusal::Revoked { serial: crate::check::hex(&serial) });
            }
            let speaks = list.coverage == Coverage::Complete && path.now <= list.valid_until;
            leaf_is_covered |= position == 0 && speaks;
        }
    }
    Ok(Some(if leaf_is_covered {
        RevocationStatus::Good
    } else {
        RevocationStatus::Unknown("no current and complete list covers its issuer")
    }))
}

fn by_crls(
    lists: &[CertRevocationList<'static>],
    path: &CheckedPath<'_>,
) -> Result<Option<RevocationStatus>, StatementRefusal> {
    let lists: Vec<&CertRevocationList<'_>> = lists.iter().collect();
    let Ok(builder) = RevocationOptionsBuilder::new(&lists) else { return Ok(None) };
    // First the whole chain, where even an old list revokes.
    let whole = builder
        .with_depth(RevocationCheckDepth::Chain)
        .with_status_policy(UnknownStatusPolicy::Allow)
        .with_expiration_policy(ExpirationPolicy::Ignore)
        .build();
    verdict(path, whole)?;
    // Then whether a current list speaks of the leaf.
    let Ok(builder) = RevocationOptionsBuilder::new(&lists) else { return Ok(None) };
    let leaf = builder
        .with_depth(RevocationCheckDepth::EndEntity)
        .with_status_policy(UnknownStatusPolicy::Deny)
        .with_expiration_policy(ExpirationPolicy::Enforce)
        .build();
    verdict(path, leaf).map(Some)
}

fn verdict(
    path: &CheckedPath<'_>,
    options: webpki::RevocationOptions<'_>,
) -> Result<RevocationStatus, StatementRefusal> {
    use webpki::Error as E;
    let outcome = path.leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        path.anchors,
        path.intermediates,
        path.time,
        AnyUsage,
        Some(options),
        None,
    );
    match outcome {
        Ok(_) => Ok(RevocationStatus::Good),
        Err(E::CertRevoked) => {
            let leaf = path.used.first().and_then(|der| Certificate::from_der(der).ok());
            let serial = leaf.map(|c| plain(c.tbs_certificate().serial_number().as_bytes()));
            Err(StatementRefusal::Revoked { serial: crate::check::hex(&serial.unwrap_or_default()) })
        }
        Err(E::UnknownRevocationStatus) => {
            Ok(RevocationStatus::Unknown("no list of its issuer is registered"))
        }
        Err(E::CrlExpired { .. }) => Ok(RevocationStatus::Unknown("the list of its issuer is out of date")),
        // A list whose signature or issuer does not fit says nothing.
        Err(_) => Ok(RevocationStatus::Unknown("the list of its issuer does not verify")),
    }
}

/// Purposes are the format's rule, checked before.
pub(super) struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: webpki::KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

/// Without leading zeros: lists and certificates differ in whether they write the sign octet.
fn plain(serial: &[u8]) -> Vec<u8> {
    serial.iter().copied().skip_while(|b| *b == 0).collect()
}
