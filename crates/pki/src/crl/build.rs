//! Making a list in two steps: [`prepare`] makes and lints the bytes, [`Prepared::sign`] consumes them.
//!
//! As with certificates, the caller may record between the steps what is about to be signed; for lists that matters
//! less (a list grants nothing), but a list that fails a lint never exists, not even in a cache of somebody else.

use lanyard_domain::time::Timestamp;

use super::entry::write_entry;
use super::facts::{ListFacts, MAX_CRL_BYTES};
use super::lint::{self, IssuerView, Linted};
use super::number::Number;
use crate::authority::Issuer;
use crate::key::{KeyBackend, KeyError, KeyLabel};
use crate::lint::Finding;
use crate::oid;
use crate::revocation::Revocation;
use crate::serial::Serial;
use crate::spki::sha256;
use crate::tbs;
use crate::uri::HttpUri;
use crate::write::{self, Critical};

/// How far thisUpdate may lie before now, so that relying parties whose clocks are late do not find the list to be
/// from the future: as far as certificates are back-dated.
pub const BACKDATE_SECONDS: i64 = 5 * 60;

/// 56 octets each at most (see [`MAX_CRL_BYTES`]); who has more wants more shards.
pub const MAX_ENTRIES: usize = (MAX_CRL_BYTES - 64 * 1024) / 56;

/// One revoked certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Which.
    pub serial: Serial,
    /// When and why.
    pub revocation: Revocation,
}

/// Which of the issuer's certificates the list speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of them. For a CA with few certificates, as a root.
    All,
    /// The end entities that name this address as their distribution point: one shard.
    Users(HttpUri),
}

/// Complete or the difference to an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Everything that is revoked.
    Complete {
        /// Where the newest difference is, if there are any.
        freshest: Option<HttpUri>,
    },
    /// What changed since the complete list with this number.
    Delta {
        /// Its number.
        base: u64,
    },
}

/// What a list shall say.
#[derive(Debug, Clone)]
pub struct Contents<'a> {
    /// Grows with every list of this issuer and scope; a complete list and a delta of one moment share it.
    pub number: u64,
    /// Of which certificates.
    pub scope: &'a Scope,
    /// Complete or delta.
    pub kind: &'a Kind,
    /// As of when; see [`BACKDATE_SECONDS`].
    pub this_update: Timestamp,
    /// When the next one is there at the latest: after this nobody needs to believe it.
    pub next_update: Timestamp,
    /// In any order.
    pub entries: &'a [Entry],
}

/// Why a list was not prepared. Nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// Too many for one list.
    #[error("{0} entries in one revocation list, at most {MAX_ENTRIES}: use more shards")]
    TooManyEntries(usize),
    /// A rule does not hold.
    #[error("revocation list refused before signing: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Lint(Vec<Finding>),
    /// Our own bytes do not parse; a bug.
    #[error("bug: the prepared revocation list does not parse: {0}")]
    Unparseable(String),
}

/// A list that is linted and not yet signed.
#[derive(Debug)]
#[must_use = "a prepared list does nothing until it is signed"]
pub struct Prepared {
    tbs: Vec<u8>,
    tbs_sha256: [u8; 32],
    number: u64,
    this_update: Timestamp,
    next_update: Timestamp,
    entries: usize,
    issuer: KeyLabel,
    issuer_spki: Vec<u8>,
    signature_algorithm: Vec<u8>,
}

/// A list as it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCrl {
    /// The bytes.
    pub der: Vec<u8>,
    /// Its number.
    pub number: u64,
    /// As of when.
    pub this_update: Timestamp,
    /// Until when.
    pub next_update: Timestamp,
    /// How many entries it has.
    pub entries: usize,
}

/// Makes the bytes of a list and runs every lint on them. Signs nothing.
pub fn prepare(issuer: &Issuer, contents: &Contents<'_>) -> Result<Prepared, PrepareError> {
    if contents.entries.len() > MAX_ENTRIES {
        return Err(PrepareError::TooManyEntries(contents.entries.len()));
    }
    let side = issuer.side();
    let tbs = encode(contents, side.signature_algorithm, side.view.subject, side.authority_key_id);
    // The lints see what the reader reads from the bytes, not what we meant to write.
    let facts = ListFacts::read(&tbs).map_err(|e| PrepareError::Unparseable(e.to_string()))?;
    let view = IssuerView {
        subject: side.view.subject,
        key_id: side.view.key_id,
        signature_algorithm: side.view.signature_algorithm,
        may_sign_lists: issuer.certificate().facts().key_usage.is_some_and(|usage| usage.crl_sign()),
    };
    let findings =
        lint::run(&Linted { facts: &facts, issuer: view, scope: contents.scope, kind: contents.kind });
    if !findings.is_empty() {
        return Err(PrepareError::Lint(findings));
    }
    Ok(Prepared {
        tbs_sha256: sha256(&tbs),
        tbs,
        number: contents.number,
        // As they stand in the list: whole seconds.
        this_update: facts.this_update.at,
        next_update: facts.next_update.map_or(contents.next_update, |t| t.at),
        entries: facts.entries.len(),
        issuer: side.label.clone(),
        issuer_spki: side.key.der().to_vec(),
        signature_algorithm: side.signature_algorithm.to_vec(),
    })
}

impl Prepared {
    /// SHA-256 of the bytes that will be signed.
    pub fn tbs_sha256(&self) -> [u8; 32] {
        self.tbs_sha256
    }

    /// The CRL number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Signs with the issuer's key. The label must still hold the key of the CA certificate.
    pub fn sign(self, backend: &dyn KeyBackend) -> Result<SignedCrl, KeyError> {
        if backend.public_spki(&self.issuer)? != self.issuer_spki {
            return Err(KeyError::NotTheCertifiedKey(self.issuer));
        }
        let signature = backend.sign(&self.issuer, &self.tbs)?;
        let mut der = Vec::with_capacity(self.tbs.len() + signature.len() + 64);
        write::tlv(&mut der, write::SEQUENCE, |o| {
            o.extend_from_slice(&self.tbs);
            o.extend_from_slice(&self.signature_algorithm);
            write::bit_string(o, &signature);
        });
        Ok(SignedCrl {
            der,
            number: self.number,
            this_update: self.this_update,
            next_update: self.next_update,
            entries: self.entries,
        })
    }
}

/// TBSCertList (RFC 5280 5.1.2).
fn encode(contents: &Contents<'_>, algorithm: &[u8], issuer: &[u8], authority_key_id: &[u8]) -> Vec<u8> {
    // By serial number: one content has one encoding, whatever the order of the caller's table.
    let mut entries = contents.entries.to_vec();
    entries.sort_by_key(|entry| entry.serial);
    let mut out = Vec::with_capacity(512 + entries.len() * 56);
    write::tlv(&mut out, write::SEQUENCE, |o| {
        // Version v2 is written as 1.
        write::bytes(o, write::INTEGER, &[1]);
        o.extend_from_slice(algorithm);
        o.extend_from_slice(issuer);
        write::time(o, contents.this_update);
        write::time(o, contents.next_update);
        // RFC 5280 5.1.2.6: left out when nothing is revoked.
        if !entries.is_empty() {
            write::tlv(o, write::SEQUENCE, |o| entries.iter().for_each(|entry| write_entry(o, entry)));
        }
        write::tlv(o, write::context_constructed(0), |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                o.extend_from_slice(authority_key_id);
                integer_extension(o, &oid::CRL_NUMBER, Critical::No, contents.number);
                if let Scope::Users(uri) = contents.scope {
                    issuing_distribution_point(o, uri);
                }
                match contents.kind {
                    Kind::Complete { freshest: None } => {}
                    // RFC 5280 5.2.6: where the delta is.
                    Kind::Complete { freshest: Some(uri) } => {
                        tbs::distribution_point(o, &oid::FRESHEST_CRL, uri);
                    }
                    Kind::Delta { base } => {
                        integer_extension(o, &oid::DELTA_CRL_INDICATOR, Critical::Yes, *base);
                    }
                }
            });
        });
    });
    out
}

fn integer_extension(out: &mut Vec<u8>, id: &der::asn1::ObjectIdentifier, critical: Critical, number: u64) {
    write::extension(out, id, critical, |o| {
        write::bytes(o, write::INTEGER, &Number::from(number).der_content());
    });
}

/// RFC 5280 5.2.5: critical; the same address as in the certificates, or they are not covered by it.
fn issuing_distribution_point(out: &mut Vec<u8>, uri: &HttpUri) {
    write::extension(out, &oid::ISSUING_DISTRIBUTION_POINT, Critical::Yes, |o| {
        write::tlv(o, write::SEQUENCE, |o| {
            tbs::full_name(o, uri);
            // onlyContainsUserCerts
            write::bytes(o, write::context(1), &[0xff]);
        });
    });
}
