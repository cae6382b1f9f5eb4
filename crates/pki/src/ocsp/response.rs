//! An OCSP response (RFC 6960 4.2.1) as bytes: what a [`super::Responder`] decided, and the errors without signature.

use std::sync::Arc;

use lanyard_domain::time::Timestamp;

use super::http;
use super::nonce::Nonce;
use crate::oid;
use crate::revocation::{Reason, Revocation};
use crate::spki::sha256;
use crate::write::{self, Critical};

/// A response without an answer, and without a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorStatus {
    /// The request is none.
    MalformedRequest,
    /// Something is wrong here.
    InternalError,
    /// Not now.
    TryLater,
    /// This responder does not speak of that issuer's certificates (RFC 9919 3.2.3).
    Unauthorized,
}

impl ErrorStatus {
    /// The number in OCSPResponseStatus.
    pub const fn code(self) -> u8 {
        match self {
            ErrorStatus::MalformedRequest => 1,
            ErrorStatus::InternalError => 2,
            ErrorStatus::TryLater => 3,
            ErrorStatus::Unauthorized => 6,
        }
    }

    /// The whole response: five octets.
    pub const fn der(self) -> [u8; 5] {
        [write::SEQUENCE, 3, write::ENUMERATED, 1, self.code()]
    }
}

/// A signed answer, with all that HTTP needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub(super) der: Arc<[u8]>,
    pub(super) this_update: Timestamp,
    pub(super) next_update: Timestamp,
    /// Whether others may be given it too: no nonce, and one certificate, which exists.
    pub(super) shareable: bool,
    pub(super) etag: String,
    pub(super) last_modified: String,
    pub(super) expires: String,
}

impl Response {
    pub(super) fn new(der: Vec<u8>, this_update: Timestamp, next_update: Timestamp, shareable: bool) -> Self {
        // RFC 9919 7.2: the digest of the response, in hex.
        let etag = format!("\"{}\"", data_encoding::HEXLOWER.encode(&sha256(&der)));
        let (last_modified, expires) = (http::date(this_update), http::date(next_update));
        Self { der: der.into(), this_update, next_update, shareable, etag, last_modified, expires }
    }

    /// The bytes.
    pub fn der(&self) -> &Arc<[u8]> {
        &self.der
    }
    /// As of when; of several answers the earliest.
    pub fn this_update(&self) -> Timestamp {
        self.this_update
    }
    /// Until when; of several answers the earliest.
    pub fn next_update(&self) -> Timestamp {
        self.next_update
    }
    /// From this moment on a new one is to be made, while this one is still good: half of its life leaves as much
    /// for retries.
    pub fn refresh_at(&self) -> Timestamp {
        self.this_update.plus_seconds(self.next_update.seconds_since(self.this_update) / 2)
    }
}

/// CertStatus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CertStatus {
    Good,
    Revoked(Revocation),
    Unknown,
}

/// One SingleResponse to be.
pub(super) struct Single<'a> {
    pub cert_id: &'a [u8],
    pub status: CertStatus,
    pub this_update: Timestamp,
    pub next_update: Timestamp,
}

/// All that stands under the signature.
pub(super) struct Data<'a> {
    /// SHA-1 of the responder's key.
    pub responder: &'a [u8; 20],
    pub produced_at: Timestamp,
    pub singles: &'a [Single<'a>],
    pub nonce: Option<&'a Nonce>,
    /// A certificate that was never issued is called revoked.
    pub extended_revoke: bool,
}

/// ResponseData.
pub(super) fn encode(data: &Data<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 + 192 * data.singles.len());
    write::tlv(&mut out, write::SEQUENCE, |o| {
        // byKey: the name would be longer.
        write::tlv(o, write::context_constructed(2), |o| {
            write::bytes(o, write::OCTET_STRING, data.responder);
        });
        write::generalized_time(o, data.produced_at);
        write::tlv(o, write::SEQUENCE, |o| data.singles.iter().for_each(|single| write_single(o, single)));
        if data.nonce.is_some() || data.extended_revoke {
            write::tlv(o, write::context_constructed(1), |o| {
                write::tlv(o, write::SEQUENCE, |o| {
                    if let Some(nonce) = data.nonce {
                        nonce.write_extension(o);
                    }
                    // RFC 6960 4.4.8.
                    if data.extended_revoke {
                        write::extension(o, &oid::OCSP_EXTENDED_REVOKE, Critical::No, |o| {
                            write::bytes(o, write::NULL, &[]);
                        });
                    }
                });
            });
        }
    });
    out
}

fn write_single(out: &mut Vec<u8>, single: &Single<'_>) {
    write::tlv(out, write::SEQUENCE, |o| {
        o.extend_from_slice(single.cert_id);
        match single.status {
            CertStatus::Good => write::bytes(o, write::context(0), &[]),
            CertStatus::Unknown => write::bytes(o, write::context(2), &[]),
            CertStatus::Revoked(revocation) => write::tlv(o, write::context_constructed(1), |o| {
                write::generalized_time(o, revocation.at);
                // As in lists (RFC 5280 5.3.1): unspecified is said by leaving it out.
                if revocation.reason != Reason::Unspecified {
                    write::tlv(o, write::context_constructed(0), |o| {
                        write::bytes(o, write::ENUMERATED, &[revocation.reason.code()]);
                    });
                }
            }),
        }
        write::generalized_time(o, single.this_update);
        write::tlv(o, write::context_constructed(0), |o| write::generalized_time(o, single.next_update));
    });
}

/// OCSPResponse with a BasicOCSPResponse in it.
pub(super) fn assemble(tbs: &[u8], algorithm: &[u8], signature: &[u8], certificate: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(tbs.len() + signature.len() + certificate.len() + 96);
    write::tlv(&mut out, write::SEQUENCE, |o| {
        write::bytes(o, write::ENUMERATED, &[0]);
        write::tlv(o, write::context_constructed(0), |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                write::oid(o, &oid::OCSP_BASIC);
                write::tlv(o, write::OCTET_STRING, |o| {
                    write::tlv(o, write::SEQUENCE, |o| {
                        o.extend_from_slice(tbs);
                        o.extend_from_slice(algorithm);
                        write::bit_string(o, signature);
                        write::tlv(o, write::context_constructed(0), |o| {
                            write::bytes(o, write::SEQUENCE, certificate);
                        });
                    });
                });
            });
        });
    });
    out
}
