//! revokeCert (RFC 8555 7.6): signed by an account, or by the certificate's own key.

use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;

use super::super::account::Account;
use super::super::jws::Payload;
use super::super::payload;
use super::super::problem::{ErrorType, Problem};
use super::super::seed::Seed;
use super::{Server, Signer, State, Step};
use crate::Reply;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevokedBy {
    /// An account. Whether it may (it made the order, or holds authorizations for all names) the caller decides.
    Account(Box<Account>),
    /// Whoever holds the certificate's key; that is enough.
    CertificateKey,
}

/// A certificate is to be revoked.
#[derive(Debug, Clone)]
pub struct RevocationRequest {
    /// Which. That it is one of ours is not checked.
    pub certificate: Certificate,
    /// RFC 5280 5.3.1; one that a client may give.
    pub reason: u8,
    /// Who asks.
    pub by: RevokedBy,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevocationOutcome {
    /// Recorded; it takes effect everywhere.
    Revoked,
    /// Was already.
    AlreadyRevoked,
    /// The account may not.
    NotAllowed,
    /// Not one of ours.
    Unknown,
}

pub(super) fn request(signer: Signer, payload: &Payload) -> Result<Step, Problem> {
    let (der, reason) = payload::revocation(payload)?;
    let certificate = Certificate::parse(&der).map_err(|e| Problem::malformed(e.to_string()))?;
    let by = match signer {
        Signer::Account(account) => RevokedBy::Account(account),
        Signer::Key(key) if key.public_key().sha256() == certificate.spki_sha256() => {
            RevokedBy::CertificateKey
        }
        Signer::Key(_) => {
            let text = "the request is signed neither by an account nor by the certificate's key";
            return Err(Problem::new(ErrorType::Unauthorized, text));
        }
    };
    Ok(Step::Revoke(Box::new(RevocationRequest { certificate, reason, by })))
}

impl Server {
    /// The reply after [`Step::Revoke`].
    pub fn revoked(&self, state: &State, outcome: RevocationOutcome, seed: &Seed, now: Timestamp) -> Reply {
        let reply = match outcome {
            RevocationOutcome::Revoked => Reply::empty(200),
            RevocationOutcome::AlreadyRevoked => {
                Problem::new(ErrorType::AlreadyRevoked, "the certificate was revoked before").to_reply()
            }
            RevocationOutcome::NotAllowed => {
                let text = "this account may not revoke this certificate";
                Problem::new(ErrorType::Unauthorized, text).to_reply()
            }
            RevocationOutcome::Unknown => Problem::not_found("certificate").to_reply(),
        };
        self.finish(reply, state, seed, now)
    }
}
