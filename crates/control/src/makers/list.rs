//! A maker's list: read (bounded), then verified against the authority that a person accepted.
//!
//! Two forms: CRLs (RFC 5280 5), which the maker signs and numbers; and status lists, JSON as Android publishes it for the
//! attestation keys of all its makers, which nobody signs: whoever hands one in vouches for it by their statement.
//! To add a form: a variant of [`Form`], an arm in [`read`], a seed in the fuzz target.

use std::collections::BTreeMap;

use lanyard_domain::maker::MakerReason;
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::crl::{Crl, Number, VerifiedCrl};
use lanyard_pki::revocation::Reason;
use lanyard_pki::serial::Serial;
use serde::{Deserialize, Serialize};

use crate::digest::sha256;

/// 18 000 entries of a CRL with 36 bytes. In base64, with three issuers of 16 KiB, it stays below the 1 MiB of a statement and of a
/// payload in an evidence file. Makers' lists have some hundred entries.
pub const MAX_LIST_BYTES: usize = 640 * 1024;
/// Known makers have at most three authorities below their root.
const MAX_ISSUERS: usize = 3;
/// 40 hex digits, and room for zeros in front.
const MAX_SERIAL_TEXT: usize = 64;

/// Why bytes are no list that can be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListRefused {
    /// Longer than [`MAX_LIST_BYTES`].
    #[error("list has {0} bytes, at most {MAX_LIST_BYTES} are taken: ask the maker for its list in parts")]
    TooLarge(usize),
    /// Neither a CRL nor a status list.
    #[error("list is neither a CRL in DER nor a status list in JSON: {0}")]
    Malformed(String),
    /// A status list entry that cannot be understood.
    #[error("status list: entry `{serial}`: {rule}")]
    Entry {
        /// As it is written there, cut.
        serial: String,
        /// What is wrong.
        rule: &'static str,
    },
    /// Only what changed.
    #[error("list says only what changed since another one (a delta): give the complete one")]
    Delta,
    /// A certificate between list and authority.
    #[error("issuer {position}: {why}")]
    Issuer {
        /// Counted from the list's issuer, from 1.
        position: usize,
        /// What is wrong.
        why: String,
    },
    /// The list is not by whom it should be.
    #[error("list is not by {issuer}: {why}")]
    NotByIssuer {
        /// The name of the certificate that it was compared with.
        issuer: String,
        /// What is wrong.
        why: String,
    },
    /// A status list speaks of an authority as a whole.
    #[error("a status list has no issuer of its own: leave the issuers out")]
    NoIssuers,
    /// The authority's own certificate.
    #[error("the accepted authority cannot be read: {0}")]
    Authority(String),
}

/// What kind of list it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// Signed by the issuer of the certificates that it names.
    Crl,
    /// Signed by nobody; names certificates of a whole authority.
    Status,
}

/// An entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Since when, where the list says it.
    pub at: Option<Timestamp>,
    /// Why.
    pub reason: MakerReason,
}

/// What a list says that belongs to the authority it was given for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// What kind it is.
    pub form: Form,
    /// Whose certificates it names ([`issuer_sha256`]); the digest of the authority's certificate for a status list.
    pub issuer: Digest,
    /// Its issuer's name in words.
    pub issuer_name: String,
    /// Which part of them, when it is a list of a part.
    pub part: Option<String>,
    /// Its number.
    pub number: Option<Number>,
    /// As of when, where the list says it.
    pub this_update: Option<Timestamp>,
    /// When the next one is there at the latest.
    pub next_update: Option<Timestamp>,
    /// The certificates that it names.
    pub entries: BTreeMap<Serial, Listed>,
}

impl Contents {
    /// One list takes the place of another with this key.
    pub fn key(&self) -> Digest {
        let part = self.part.as_deref().map(|part| format!("part {part}")).unwrap_or_default();
        sha256(&[self.issuer.0.as_slice(), part.as_bytes()].concat())
    }
}

/// How events and lists name an issuer: its name and its key, so that another generation under the same name is another.
pub fn issuer_sha256(issuer: &Certificate) -> Digest {
    sha256(&[issuer.subject_der(), &issuer.spki_sha256()].concat())
}

/// Reads a list of `authority` (DER), by itself or by the first of `issuers` (DER, each signed by the next, the last by the
/// authority). Fuzz entry point.
pub fn verify(list: &[u8], issuers: &[&[u8]], authority: &[u8]) -> Result<Contents, ListRefused> {
    if list.len() > MAX_LIST_BYTES {
        return Err(ListRefused::TooLarge(list.len()));
    }
    let authority = Certificate::parse(authority).map_err(|e| ListRefused::Authority(e.to_string()))?;
    if list.first() == Some(&b'{') {
        if !issuers.is_empty() {
            return Err(ListRefused::NoIssuers);
        }
        return Ok(Contents {
            form: Form::Status,
            issuer: Digest(authority.thumbprint()),
            issuer_name: authority.subject_text(),
            part: None,
            number: None,
            this_update: None,
            next_update: None,
            entries: status_entries(list)?,
        });
    }
    let issuer = issuer(issuers, authority)?;
    let named =
        |why: String| ListRefused::NotByIssuer { issuer: format!("`{}`", issuer.subject_text()), why };
    let crl = Crl::parse(list).map_err(|e| ListRefused::Malformed(e.to_string()))?;
    let crl = crl.verify(&issuer).map_err(|e| named(e.to_string()))?;
    if crl.is_delta() {
        return Err(ListRefused::Delta);
    }
    Ok(Contents {
        form: Form::Crl,
        issuer: issuer_sha256(&issuer),
        issuer_name: issuer.subject_text(),
        part: crl.part(),
        number: crl.number(),
        this_update: Some(crl.this_update()),
        next_update: crl.next_update(),
        entries: crl_entries(&crl),
    })
}

/// The first of the issuers, when each is signed by the next and the last by the authority; else the authority.
fn issuer(issuers: &[&[u8]], authority: Certificate) -> Result<Certificate, ListRefused> {
    let refuse = |at: usize, why: String| ListRefused::Issuer { position: at + 1, why };
    if issuers.len() > MAX_ISSUERS {
        return Err(refuse(MAX_ISSUERS, format!("at most {MAX_ISSUERS} are taken")));
    }
    let mut above = authority;
    for (at, der) in issuers.iter().enumerate().rev() {
        let one = Certificate::parse(der).map_err(|e| refuse(at, e.to_string()))?;
        if !one.is_ca() {
            return Err(refuse(at, "it is not a CA certificate".to_owned()));
        }
        if one.issuer_der() != above.subject_der() || !one.is_signed_by(&above) {
            return Err(refuse(
                at,
                format!(
                    "`{}` did not issue it; give the list's issuer first, then those above it",
                    above.subject_text()
                ),
            ));
        }
        above = one;
    }
    Ok(above)
}

fn crl_entries(crl: &VerifiedCrl) -> BTreeMap<Serial, Listed> {
    let mut entries = BTreeMap::new();
    for (serial, revocation) in crl.revoked() {
        let reason = match revocation.reason {
            Reason::Unspecified => MakerReason::Unspecified,
            Reason::KeyCompromise => MakerReason::KeyCompromise,
            Reason::CaCompromise => MakerReason::CaCompromise,
            Reason::AffiliationChanged => MakerReason::AffiliationChanged,
            Reason::Superseded => MakerReason::Superseded,
            Reason::CessationOfOperation => MakerReason::CessationOfOperation,
            Reason::CertificateHold => MakerReason::CertificateHold,
            Reason::PrivilegeWithdrawn => MakerReason::PrivilegeWithdrawn,
            Reason::AaCompromise => MakerReason::AaCompromise,
            // For lists of what changed, which are not taken: it is on no list then.
            Reason::RemoveFromCrl => continue,
        };
        // The first of two with one serial number is the earlier revocation.
        entries.entry(serial).or_insert(Listed { at: Some(revocation.at), reason });
    }
    entries
}

/// A status list as Android publishes it. Members that are not known are for others.
#[derive(Deserialize)]
struct StatusList {
    entries: BTreeMap<String, StatusEntry>,
}

#[derive(Deserialize)]
struct StatusEntry {
    status: String,
    reason: Option<String>,
}

fn status_entries(json: &[u8]) -> Result<BTreeMap<Serial, Listed>, ListRefused> {
    let list: StatusList = serde_json::from_slice(json).map_err(|e| ListRefused::Malformed(e.to_string()))?;
    let mut entries = BTreeMap::new();
    for (text, entry) in list.entries {
        let refuse = |rule| ListRefused::Entry { serial: text.chars().take(48).collect(), rule };
        let plain = text.to_ascii_lowercase();
        if plain.len() > MAX_SERIAL_TEXT {
            return Err(refuse("its serial number is too long"));
        }
        let serial = plain
            .trim_start_matches('0')
            .parse::<Serial>()
            .map_err(|_| refuse("the key is not a serial number in hex"))?;
        let reason = match (entry.status.as_str(), entry.reason.as_deref()) {
            ("SUSPENDED", _) => MakerReason::CertificateHold,
            ("REVOKED", Some("KEY_COMPROMISE")) => MakerReason::KeyCompromise,
            ("REVOKED", Some("CA_COMPROMISE")) => MakerReason::CaCompromise,
            ("REVOKED", Some("SUPERSEDED")) => MakerReason::Superseded,
            ("REVOKED", Some("SOFTWARE_FLAW")) => MakerReason::SoftwareFlaw,
            ("REVOKED", _) => MakerReason::Unspecified,
            _ => return Err(refuse("its status is neither REVOKED nor SUSPENDED")),
        };
        if entries.insert(serial, Listed { at: None, reason }).is_some() {
            return Err(refuse("its serial number stands there twice"));
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests;
