//! Certificate revocation lists as an input of path validation.
//!
//! webpki checks a list's signature, its cRLSign, its distribution point and the serial number. Ours on top: a list is
//! read once and bounded, the newest of an issuer's lists is asked first, a list past its nextUpdate is no answer, and
//! a list of one shard says nothing about a certificate that names no shard. In scope: complete lists, whole or by
//! distribution point. Out of scope: delta, indirect and per-reason lists (refused, never ignored), fetching, OCSP.

use std::collections::HashSet;
use std::fmt;

use der::{Decode, Header, Reader, SliceReader, Tag};
use lanyard_domain::time::Timestamp;
use webpki::{
    CertRevocationList, ExpirationPolicy, OwnedCertRevocationList, RevocationOptions,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_cert::ext::Extensions;
use x509_cert::time::Time;

use crate::certificate::Certificate;
use crate::oid;

/// 400,000 entries of 40 bytes (16-octet serial, date, reason) are 16 MB; a list that outgrew this is to be sharded.
pub const MAX_CRL_BYTES: usize = 16 * 1024 * 1024;

/// Why bytes are not a list that we can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// Longer than [`MAX_CRL_BYTES`].
    #[error("revocation list has {0} bytes, at most {MAX_CRL_BYTES} are read: ask its issuer for shards")]
    TooLarge(usize),
    /// Not DER of RFC 5280 5.
    #[error("revocation list is malformed: {0}")]
    Malformed(String),
    /// A delta, indirect or per-reason list, an unknown critical extension, or no nextUpdate.
    #[error("revocation list is of a kind that is not supported: {0}")]
    Unsupported(String),
}

/// A parsed revocation list. Whether it is to be believed is found out at each validation.
pub struct Crl {
    list: CertRevocationList<'static>,
    issuer: Vec<u8>,
    this_update: Timestamp,
}

impl fmt::Debug for Crl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crl(of {})", self.this_update)
    }
}

impl Crl {
    /// Reads one DER list. Fuzz entry point.
    pub fn parse(der: &[u8]) -> Result<Self, CrlError> {
        if der.len() > MAX_CRL_BYTES {
            return Err(CrlError::TooLarge(der.len()));
        }
        let head = Head::read(der).map_err(|e| CrlError::Malformed(e.to_string()))?;
        head.check()?;
        let list = OwnedCertRevocationList::from_der(der).map_err(explain)?;
        Ok(Self { list: list.into(), issuer: head.issuer, this_update: head.this_update })
    }

    /// DER of its issuer's name.
    pub fn issuer_der(&self) -> &[u8] {
        &self.issuer
    }
    /// When it was made.
    pub fn this_update(&self) -> Timestamp {
        self.this_update
    }
    /// Whether it is limited to a distribution point or a kind of certificates.
    fn is_partial(&self) -> bool {
        self.list.issuing_distribution_point().is_some()
    }
}

fn explain(error: webpki::Error) -> CrlError {
    use webpki::Error as E;
    match error {
        E::UnsupportedCrlVersion
        | E::UnsupportedDeltaCrl
        | E::UnsupportedIndirectCrl
        | E::UnsupportedRevocationReasonsPartitioning
        | E::UnsupportedCrlIssuingDistributionPoint
        | E::UnsupportedCriticalExtension => CrlError::Unsupported(format!("{error:?}")),
        other => CrlError::Malformed(format!("{other:?}")),
    }
}

/// What webpki keeps to itself or does not look at.
struct Head {
    issuer: Vec<u8>,
    this_update: Timestamp,
    extensions: Extensions,
}

impl Head {
    /// TBSCertList of RFC 5280 5.1, without its entries.
    fn read(der: &[u8]) -> der::Result<Self> {
        let mut list = SliceReader::new(der)?;
        list.sequence(|list| {
            let head = list.sequence(|tbs| {
                if Tag::peek(tbs)? == Tag::Integer {
                    tbs.tlv_bytes()?;
                }
                let _algorithm = tbs.tlv_bytes()?;
                let issuer = tbs.tlv_bytes()?.to_vec();
                let this_update = seconds(Time::decode(tbs)?);
                let mut extensions = Extensions::new();
                while !tbs.is_finished() {
                    let element = tbs.tlv_bytes()?;
                    // [0] EXPLICIT Extensions; before it stand nextUpdate and the entries.
                    if element.first() == Some(&0xa0) {
                        let mut tagged = SliceReader::new(element)?;
                        Header::decode(&mut tagged)?;
                        extensions = Extensions::decode(&mut tagged)?;
                        tagged.finish()?;
                    }
                }
                Ok::<_, der::Error>(Self { issuer, this_update, extensions })
            })?;
            let _algorithm = list.tlv_bytes()?;
            let _signature = list.tlv_bytes()?;
            Ok(head)
        })
    }

    /// The rules on a list's extensions that webpki does not have.
    fn check(&self) -> Result<(), CrlError> {
        let mut seen = HashSet::new();
        for extension in &self.extensions {
            if !seen.insert(extension.extn_id) {
                return Err(CrlError::Malformed(format!("extension `{}` stands twice", extension.extn_id)));
            }
            let fits = match extension.extn_id {
                // RFC 5280 5.2.3
                oid::CRL_NUMBER => !extension.critical,
                // RFC 5280 5.2.5: who does not know it must not take the list for a whole one.
                oid::ISSUING_DISTRIBUTION_POINT => extension.critical,
                _ => true,
            };
            if !fits {
                return Err(CrlError::Malformed(format!(
                    "extension `{}` has the wrong criticality (RFC 5280 5.2)",
                    extension.extn_id
                )));
            }
        }
        Ok(())
    }
}

fn seconds(time: Time) -> Timestamp {
    Timestamp::from_seconds(i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX))
}

/// How it is made sure that no certificate of a path was revoked.
#[derive(Debug, Clone, Copy)]
pub enum Revocation<'a> {
    /// The end entity must say that it is never revoked (RFC 9608).
    NoneNeeded,
    /// Lists are not read: the caller knows which certificates are current and asks for no other. The end entity says
    /// either that it is never revoked or where it would be listed.
    Elsewhere,
    /// Each certificate below the anchor must be on a side of one of these lists, and on the good one. An end entity
    /// that says noRevAvail needs none; its issuers still do.
    Crls(&'a [Crl]),
    /// Nobody asks. For makers that publish no lists; whoever chooses it answers for it.
    NotAsked,
}

/// The lists that webpki may see for this chain, newest first: it takes the first that fits.
pub(super) fn usable<'a>(crls: &'a [Crl], chain: &[Certificate]) -> Vec<&'a CertRevocationList<'static>> {
    let mut fitting: Vec<&Crl> = crls.iter().filter(|crl| !is_a_guess(crl, chain)).collect();
    fitting.sort_by_key(|crl| std::cmp::Reverse(crl.this_update));
    fitting.into_iter().map(|crl| &crl.list).collect()
}

/// RFC 5280 6.3.3 b 2 i: a list with a distribution point covers certificates that name it. webpki would take any shard
/// for a certificate that names none, and the certificate may stand in another.
fn is_a_guess(crl: &Crl, chain: &[Certificate]) -> bool {
    crl.is_partial()
        && chain.iter().any(|c| {
            c.issuer_der() == crl.issuer && c.facts().criticality(&oid::CRL_DISTRIBUTION_POINTS).is_none()
        })
}

/// Whether webpki is to end when it finds no list for a certificate.
pub(super) fn options<'a>(
    lists: &'a [&'a CertRevocationList<'a>],
    leaf: &Certificate,
) -> Option<RevocationOptions<'a>> {
    let builder = RevocationOptionsBuilder::new(lists).ok()?;
    // One policy for the whole path is all that webpki has: for a noRevAvail leaf it is lax, and `uncovered` is not.
    let unknown = match leaf.facts().is_no_rev_avail() {
        true => UnknownStatusPolicy::Allow,
        false => UnknownStatusPolicy::Deny,
    };
    Some(builder.with_status_policy(unknown).with_expiration_policy(ExpirationPolicy::Enforce).build())
}

/// The first issuer of a path that has no list; for the paths that [`options`] leaves open.
pub(super) fn uncovered<'a>(crls: &[Crl], issuers: &'a [Certificate]) -> Option<&'a Certificate> {
    // Only a whole list: webpki looks at it, or at a newer one, for every certificate of that issuer.
    let has_list = |c: &Certificate| crls.iter().any(|l| !l.is_partial() && l.issuer == c.issuer_der());
    issuers.iter().find(|c| !has_list(c))
}

#[cfg(test)]
mod tests;
