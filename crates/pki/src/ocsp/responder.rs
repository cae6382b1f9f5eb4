//! Who answers: a delegated responder for the certificates of one issuer.
//!
//! What a certificate's standing is, the caller says ([`Standing`], from the ledger); this decides how it is said.
//! A serial number that the issuer never gave out is `revoked` by default (RFC 6960 2.2, the extended definition): only
//! who has the CA's key can have made such a certificate, and nobody shall take it for a good one.

use std::convert::Infallible;

use lanyard_domain::time::Timestamp;

use super::cache::CacheKey;
use super::cert_id::{CertId, IssuerId, sha1};
use super::delegate;
use super::request::Request;
use super::response::{self, CertStatus, Data, ErrorStatus, Response, Single};
use crate::authority::Issuer;
use crate::authority::prepare_service;
use crate::certificate::Certificate;
use crate::issue::{PrepareError, Prepared};
use crate::key::{KeyBackend, KeyError, KeyKind, KeyLabel};
use crate::name::Naming;
use crate::profile::{ProfileName, SubjectFacts};
use crate::revocation::{Reason, Revocation};
use crate::serial::Serial;
use crate::spki::{KeyRefused, PublicKeyKind};
use crate::tbs;

/// Why a responder's certificate was not prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareResponderError {
    /// The key backend failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key in the backend is refused.
    #[error("the responder's key: {0}")]
    PublicKey(#[from] KeyRefused),
    /// The certificate does not pass our rules.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
}

/// Makes the certificate of the responder whose key is under `label`, ready to be signed by `issuer`.
pub fn prepare_responder(
    naming: &Naming,
    label: &KeyLabel,
    issuer: &Issuer,
    serial: Serial,
    backend: &dyn KeyBackend,
    now: Timestamp,
) -> Result<Prepared, PrepareResponderError> {
    let what = (ProfileName::OcspResponder, SubjectFacts::OcspResponder);
    prepare_service(what, naming, label, issuer, serial, backend, now)
}

/// Why a certificate and a key do not make a responder.
#[derive(Debug, thiserror::Error)]
pub enum ResponderError {
    /// A rule of RFC 6960 4.2.2.2 does not hold.
    #[error("certificate `{serial}` cannot answer for this CA: {rule}")]
    NotAResponder {
        /// Its serial.
        serial: Serial,
        /// What is wrong.
        rule: &'static str,
    },
    /// The key store has no such key, or another one.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A key in a certificate is refused.
    #[error("OCSP responder: {0}")]
    PublicKey(#[from] KeyRefused),
}

/// What is said of a serial number that the issuer never gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeverIssued {
    /// `revoked`, on hold since 1970 (RFC 6960 2.2 and 4.4.8).
    Revoked,
    /// `unknown`.
    Unknown,
}

/// How a responder answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// From now to nextUpdate.
    pub validity_seconds: i64,
    /// From thisUpdate to now, for clients whose clocks are late.
    pub backdate_seconds: i64,
    /// How long a proxy may keep an answer.
    pub proxy_seconds: i64,
    /// What is said of unknown serial numbers.
    pub never_issued: NeverIssued,
}

impl Policy {
    /// An hour: a client that keeps answers keeps a wrong one no longer, and a responder that is down is felt after
    /// half of it. Five minutes back as certificates; a minute in proxies, because a revocation must not wait there.
    pub const DEFAULT: Policy = Policy {
        validity_seconds: 60 * 60,
        backdate_seconds: 5 * 60,
        proxy_seconds: 60,
        never_issued: NeverIssued::Revoked,
    };
}

/// What the records say of a serial number of the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Issued and not revoked (expired ones too: they end by themselves).
    Good,
    /// Revoked.
    Revoked(Revocation),
    /// Not in the records.
    NeverIssued,
}

/// Where the answer to a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// An error without signature.
    Error(ErrorStatus),
    /// The cache may have it under this key; else [`Responder::respond`], and the cache is given it.
    Cacheable(CacheKey),
    /// [`Responder::respond`], for this request alone.
    Fresh,
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum RespondError<E: std::error::Error = Infallible> {
    /// The records cannot be read now: answer [`ErrorStatus::TryLater`].
    #[error("the standing of a certificate is not known now: {0}")]
    Standing(#[source] E),
    /// The responder's certificate is over: answer [`ErrorStatus::TryLater`], and renew it.
    #[error("the OCSP responder's certificate expired at `{not_after}`: renew it")]
    Expired {
        /// Its last second.
        not_after: Timestamp,
    },
    /// The key backend failed: answer [`ErrorStatus::TryLater`].
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A delegated responder: certificate, issuer and key belong together, which is checked when it is made.
#[derive(Debug, Clone)]
pub struct Responder {
    certificate: Certificate,
    issuer: IssuerId,
    label: KeyLabel,
    spki: Vec<u8>,
    key_hash: [u8; 20],
    signature_algorithm: Vec<u8>,
    policy: Policy,
}

impl Responder {
    /// Pairs a responder's certificate with its key and the CA for which it answers.
    pub fn new(
        certificate: Certificate,
        issuer: &Certificate,
        label: KeyLabel,
        backend: &dyn KeyBackend,
        policy: Policy,
    ) -> Result<Self, ResponderError> {
        let refuse = |rule| ResponderError::NotAResponder { serial: certificate.serial(), rule };
        delegate::may_answer_for(&certificate, issuer).map_err(refuse)?;
        let key = certificate.public_key().map_err(Clone::clone)?;
        let kind = match key.kind() {
            PublicKeyKind::P256 => KeyKind::P256,
            PublicKeyKind::P384 => KeyKind::P384,
            _ => return Err(refuse("its key is neither P-256 nor P-384")),
        };
        if backend.public_spki(&label)? != key.der() {
            return Err(KeyError::NotTheCertifiedKey(label).into());
        }
        Ok(Self {
            issuer: IssuerId::of(issuer)?,
            key_hash: sha1(key.bits()),
            spki: key.der().to_vec(),
            signature_algorithm: tbs::algorithm_identifier(&kind.signature_oid()),
            certificate,
            label,
            policy,
        })
    }

    /// Its certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The CA for which it answers.
    pub fn issuer(&self) -> &IssuerId {
        &self.issuer
    }

    /// How it answers.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether one of the certificates asked about is of its issuer.
    pub fn knows(&self, request: &Request) -> bool {
        request.asked().iter().any(|id| self.issuer.issued(id))
    }

    /// Where the answer to this request comes from.
    pub fn plan(&self, request: &Request) -> Plan {
        if !self.knows(request) {
            return Plan::Error(ErrorStatus::Unauthorized);
        }
        match (request.asked(), request.nonce()) {
            ([only], None) => self.cache_key(only).map_or(Plan::Fresh, Plan::Cacheable),
            _ => Plan::Fresh,
        }
    }

    fn cache_key(&self, id: &CertId) -> Option<CacheKey> {
        Some(CacheKey::new(self.issuer.spki_sha256(), id.form()?, id.serial()?))
    }

    /// Signs an answer to this request.
    pub fn respond<E: std::error::Error>(
        &self,
        request: &Request,
        standing: impl FnMut(&Serial) -> Result<Standing, E>,
        backend: &dyn KeyBackend,
        now: Timestamp,
    ) -> Result<Response, RespondError<E>> {
        let ids: Vec<&CertId> = request.asked().iter().collect();
        self.answer(&ids, request.nonce(), standing, backend, now)
    }

    /// Signs the answer that stands in the cache under this key, before anybody asks. `None`: another issuer's key.
    pub fn respond_ahead<E: std::error::Error>(
        &self,
        key: &CacheKey,
        mut standing: impl FnMut(&Serial) -> Result<Standing, E>,
        backend: &dyn KeyBackend,
        now: Timestamp,
    ) -> Option<Result<Response, RespondError<E>>> {
        if key.issuer() != self.issuer.spki_sha256() {
            return None;
        }
        let id = self.issuer.cert_id(key.form(), &key.serial());
        Some(self.answer(&[&id], None, &mut standing, backend, now))
    }

    fn answer<E: std::error::Error>(
        &self,
        ids: &[&CertId],
        nonce: Option<&super::Nonce>,
        mut standing: impl FnMut(&Serial) -> Result<Standing, E>,
        backend: &dyn KeyBackend,
        now: Timestamp,
    ) -> Result<Response, RespondError<E>> {
        let now = Timestamp::from_seconds(now.as_seconds());
        let not_after = self.certificate.not_after();
        if not_after <= now {
            return Err(RespondError::Expired { not_after });
        }
        // No answer outlives the certificate that it is verified with.
        let next_update = now.plus_seconds(self.policy.validity_seconds).min(not_after);
        let mut singles = Vec::with_capacity(ids.len());
        let mut extended_revoke = false;
        let mut all_issued = true;
        for id in ids {
            let found = match (self.issuer.issued(id), id.serial()) {
                (false, _) => None,
                (true, None) => Some(Standing::NeverIssued),
                (true, Some(serial)) => Some(standing(&serial).map_err(RespondError::Standing)?),
            };
            all_issued &= matches!(found, Some(Standing::Good | Standing::Revoked(_)));
            let status = match (found, self.policy.never_issued) {
                (Some(Standing::Good), _) => CertStatus::Good,
                (Some(Standing::Revoked(revocation)), _) => CertStatus::Revoked(revocation),
                (Some(Standing::NeverIssued), NeverIssued::Revoked) => {
                    extended_revoke = true;
                    CertStatus::Revoked(NEVER_ISSUED)
                }
                (Some(Standing::NeverIssued), NeverIssued::Unknown) | (None, _) => CertStatus::Unknown,
            };
            singles.push(Single {
                cert_id: id.whole(),
                status,
                this_update: self.this_update(status, now),
                next_update,
            });
        }
        let this_update = singles.iter().map(|single| single.this_update).min().unwrap_or(now);
        let tbs = response::encode(&Data {
            responder: &self.key_hash,
            produced_at: now,
            singles: &singles,
            nonce,
            extended_revoke,
        });
        if backend.public_spki(&self.label)? != self.spki {
            return Err(KeyError::NotTheCertifiedKey(self.label.clone()).into());
        }
        let signature = backend.sign(&self.label, &tbs)?;
        let der = response::assemble(&tbs, &self.signature_algorithm, &signature, self.certificate.der());
        let shareable = nonce.is_none() && ids.len() == 1 && all_issued;
        Ok(Response::new(der, this_update, next_update, shareable))
    }

    /// RFC 6960 2.4: when the status is known to have been right. A revoked one was not before it was revoked.
    fn this_update(&self, status: CertStatus, now: Timestamp) -> Timestamp {
        let backdated = now.plus_seconds(-self.policy.backdate_seconds);
        match status {
            CertStatus::Revoked(revocation) => backdated.max(revocation.at).min(now),
            CertStatus::Good | CertStatus::Unknown => backdated,
        }
    }
}

/// RFC 6960 2.2: certificateHold, 1 January 1970.
const NEVER_ISSUED: Revocation =
    Revocation { at: Timestamp::from_seconds(0), reason: Reason::CertificateHold };
