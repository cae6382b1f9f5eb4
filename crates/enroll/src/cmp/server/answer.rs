//! The last two steps: from what became of a request to a message, protected as the request was.

use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::write;

use crate::cmp::cert_reply::CertReply;
use crate::cmp::header::{CMP2000, CMP2021, Header, NONCE_BYTES};
use crate::cmp::information::{self, Answers};
use crate::cmp::mac::MacAlgorithm;
use crate::cmp::message::{Kind, Unprotected};
use crate::cmp::name::same;
use crate::cmp::poll::NotYet;
use crate::cmp::status::{FailInfo, Status, StatusInfo};
use crate::cmp::transactions::{Transactions, Waiting};
use crate::cmp::{CONTENT_TYPE, Fresh, revocation};
use crate::secret::Secret;
use crate::{Outcome, Reply};

use super::Server;
use super::accept::{Abort, Asked, Confirm, Enroll, Inform, Revoke};

/// What an answer takes over from the message that it answers.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    version: i64,
    peer: Option<Vec<u8>>,
    transaction: Option<Vec<u8>>,
    peer_nonce: Option<Vec<u8>>,
    peer_key_id: Option<Vec<u8>>,
    pub protect: Protect,
}

/// How the answer is protected.
#[derive(Debug, Clone)]
pub(super) enum Protect {
    /// By our signature; also as long as the sender has proven nothing.
    Sign,
    /// With the secret that the sender has proven, the same algorithm, another salt.
    Mac(Secret, MacAlgorithm),
}

impl Exchange {
    pub fn with(header: &Header) -> Self {
        Self {
            // RFC 9810 7: answer in the version of the request, or in ours if that is none.
            version: header.version.clamp(CMP2000, CMP2021),
            peer: header.sender.clone(),
            transaction: header.transaction.clone(),
            peer_nonce: header.sender_nonce.clone(),
            peer_key_id: header.sender_key_id.clone(),
            protect: Protect::Sign,
        }
    }
}

/// What became of a revocation request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevocationOutcome {
    /// It is revoked, and that is recorded.
    Revoked,
    /// It was before.
    AlreadyRevoked,
    /// There is no such certificate of ours.
    Unknown,
    /// No.
    Refused {
        /// Stable code, snake case.
        code: String,
        /// A sentence.
        why: String,
    },
    /// Not now.
    Unavailable {
        /// A sentence.
        why: String,
    },
}

/// An answer without its protection.
#[derive(Debug)]
pub struct Draft {
    exchange: Exchange,
    kind: Kind,
    content: Vec<u8>,
    implicit_confirm: bool,
    confirm_by: Option<Timestamp>,
    /// Of the certificate in it, DER each.
    issuers: Vec<Vec<u8>>,
    fresh: Fresh,
    now: Timestamp,
}

impl Draft {
    fn new(exchange: Exchange, kind: Kind, content: Vec<u8>, fresh: Fresh, now: Timestamp) -> Self {
        let issuers = Vec::new();
        Self { exchange, kind, content, implicit_confirm: false, confirm_by: None, issuers, fresh, now }
    }

    pub(super) fn error(exchange: Exchange, fail: FailInfo, why: &str, fresh: Fresh, now: Timestamp) -> Self {
        let mut content = Vec::with_capacity(64);
        write::tlv(&mut content, write::SEQUENCE, |o| StatusInfo::rejection(fail, why).write(o));
        Self::new(exchange, Kind::Error, content, fresh, now)
    }

    fn confirmed(exchange: Exchange, fresh: Fresh, now: Timestamp) -> Self {
        Self::new(exchange, Kind::PkiConf, vec![5, 0], fresh, now)
    }

    /// Makes the protection. `sign` gets the bytes to sign with the key of the server's certificate and returns the
    /// signature as it stands in X.509; it is not called for an answer that a MAC protects.
    pub fn sign<E>(
        self,
        server: &Server,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<Reply, E> {
        let signer = server.chain.first();
        let mac = match &self.exchange.protect {
            Protect::Sign => None,
            Protect::Mac(secret, algorithm) => Some((secret, algorithm.with_salt(&self.fresh.salt))),
        };
        let header = Header {
            version: self.exchange.version,
            sender: signer.map(|signer| signer.subject_der().to_vec()),
            recipient: self.exchange.peer.clone(),
            time: Some(self.now),
            protection: Some(mac.as_ref().map_or_else(|| server.algorithm.clone(), |(_, m)| m.to_der())),
            sender_key_id: match &mac {
                Some(_) => self.exchange.peer_key_id.clone(),
                None => signer.and_then(Certificate::subject_key_id).map(<[u8]>::to_vec),
            },
            transaction: self.exchange.transaction.clone(),
            sender_nonce: Some(self.fresh.nonce.to_vec()),
            recipient_nonce: self.exchange.peer_nonce.clone(),
            implicit_confirm: self.implicit_confirm,
            confirm_by: self.confirm_by,
            profile: None,
        };
        let message = Unprotected::new(&header, self.kind, &self.content);
        // RFC 9483 3.3: the signer first, then its issuers, then those of the certificate in the body.
        let mut extra: Vec<&[u8]> = Vec::new();
        if mac.is_none() {
            extra.extend(server.chain.iter().map(|c| c.der().as_ref()));
        }
        for issuer in &self.issuers {
            if !extra.contains(&issuer.as_slice()) {
                extra.push(issuer);
            }
        }
        let protection = match mac {
            Some((secret, algorithm)) => algorithm.tag(secret.reveal().as_bytes(), &message.protected()),
            None => sign(&message.protected())?,
        };
        let body = message.with(&protection, &extra);
        // RFC 9811 3.5: errors of CMP are no errors of HTTP.
        Ok(Reply::new(200, CONTENT_TYPE, body).with("cache-control", "no-store"))
    }
}

impl Enroll {
    /// Takes the outcome. Under the caller's lock.
    pub fn answer(
        self,
        server: &Server,
        outcome: &Outcome,
        transactions: &mut Transactions,
        fresh: Fresh,
        now: Timestamp,
    ) -> Draft {
        match outcome {
            Outcome::Issued { chain } => self.issued(server, chain, transactions, fresh, now),
            Outcome::Pending { retry_after_seconds, why } => {
                self.pending(*retry_after_seconds, why, transactions, fresh, now)
            }
            Outcome::Refused { code, why } => {
                let status = StatusInfo::rejection(FailInfo::NotAuthorized, format!("{code}: {why}"));
                self.without(status, transactions, fresh, now)
            }
            Outcome::Unavailable { why } => {
                let status = StatusInfo::rejection(FailInfo::SystemUnavail, why.as_str());
                self.without(status, transactions, fresh, now)
            }
        }
    }

    fn issued(
        self,
        server: &Server,
        chain: &[Vec<u8>],
        transactions: &mut Transactions,
        fresh: Fresh,
        now: Timestamp,
    ) -> Draft {
        let leaf = chain.first().and_then(|der| Certificate::parse(der).ok());
        // A certificate for another key must not go out, whatever went wrong before.
        let leaf = leaf.filter(|leaf| leaf.spki_sha256() == self.waiting.csr.spki_sha256());
        let Some(leaf) = leaf else {
            let status = StatusInfo::rejection(
                FailInfo::SystemFailure,
                "the certificate that was issued is not for the key of this request",
            );
            return self.without(status, transactions, fresh, now);
        };
        let roots = match (&self.exchange.protect, self.waiting.kind.reply()) {
            // RFC 9483 4.1.1 and 4.1.5: only what a shared secret protects may say whom to trust.
            (Protect::Mac(..), Kind::Ip) => server.roots.iter().map(|c| c.der().as_ref()).collect(),
            _ => Vec::new(),
        };
        let reply = CertReply {
            request_id: self.waiting.kind.request_id(),
            status: granted(&self.waiting, &leaf),
            certificate: Some(leaf.der()),
            ca_pubs: roots,
        };
        let mut draft = Draft::new(self.exchange, self.waiting.kind.reply(), reply.write(), fresh, now);
        draft.issuers = chain.iter().skip(1).cloned().collect();
        if self.waiting.implicit_confirm {
            draft.implicit_confirm = true;
            transactions.end_confirmed(&self.transaction, self.sender, &leaf, now);
        } else {
            // RFC 9810 5.1.1.2: until when a certConf is waited for.
            draft.confirm_by = Some(transactions.confirm_by(now));
            let nonce = draft.fresh.nonce;
            transactions.await_confirmation(&self.transaction, self.sender, leaf, nonce, now);
        }
        draft
    }

    fn pending(
        self,
        after_seconds: u32,
        why: &str,
        transactions: &mut Transactions,
        fresh: Fresh,
        now: Timestamp,
    ) -> Draft {
        let request_id = self.waiting.kind.request_id();
        let (kind, content) = match self.asked {
            Asked::First => {
                let status = StatusInfo::new(Status::Waiting, why);
                let reply = CertReply { request_id, status, certificate: None, ca_pubs: Vec::new() };
                (self.waiting.kind.reply(), reply.write())
            }
            Asked::Again => {
                let not_yet =
                    NotYet { request_id, after_seconds: i64::from(after_seconds), why: why.to_owned() };
                (Kind::PollRep, not_yet.write())
            }
        };
        let nonce: [u8; NONCE_BYTES] = fresh.nonce;
        transactions.wait(&self.transaction, self.sender, self.waiting, nonce, now);
        Draft::new(self.exchange, kind, content, fresh, now)
    }

    fn without(
        self,
        status: StatusInfo,
        transactions: &mut Transactions,
        fresh: Fresh,
        now: Timestamp,
    ) -> Draft {
        transactions.forget(&self.transaction);
        let request_id = self.waiting.kind.request_id();
        let reply = CertReply { request_id, status, certificate: None, ca_pubs: Vec::new() };
        Draft::new(self.exchange, self.waiting.kind.reply(), reply.write(), fresh, now)
    }
}

/// RFC 9810 5.2.3: grantedWithMods where the certificate differs from the wish; the client is to look.
fn granted(waiting: &Waiting, leaf: &Certificate) -> StatusInfo {
    let wish = &waiting.wish;
    let as_wished = !wish.more && wish.subject.as_ref().is_none_or(|s| same(s, leaf.subject_der()));
    if as_wished {
        StatusInfo::new(Status::Accepted, "")
    } else {
        let why = "names, extensions and validity come from the device's record and the profile, not from the request";
        StatusInfo::new(Status::GrantedWithMods, why)
    }
}

impl Confirm {
    /// pkiConf.
    pub fn answer(self, fresh: Fresh, now: Timestamp) -> Draft {
        Draft::confirmed(self.exchange, fresh, now)
    }
}

impl Abort {
    /// pkiConf (RFC 9483 3.6.3).
    pub fn answer(self, fresh: Fresh, now: Timestamp) -> Draft {
        Draft::confirmed(self.exchange, fresh, now)
    }
}

impl Revoke {
    /// rp.
    pub fn answer(self, outcome: &RevocationOutcome, fresh: Fresh, now: Timestamp) -> Draft {
        let status = match outcome {
            RevocationOutcome::Revoked => StatusInfo::new(Status::Accepted, ""),
            RevocationOutcome::AlreadyRevoked => {
                StatusInfo::rejection(FailInfo::CertRevoked, "the certificate is revoked already")
            }
            RevocationOutcome::Unknown => {
                StatusInfo::rejection(FailInfo::BadCertId, "this authority issued no such certificate")
            }
            RevocationOutcome::Refused { code, why } => {
                StatusInfo::rejection(FailInfo::NotAuthorized, format!("{code}: {why}"))
            }
            RevocationOutcome::Unavailable { why } => {
                StatusInfo::rejection(FailInfo::SystemUnavail, why.as_str())
            }
        };
        let content = revocation::write_reply(&status, &self.request.certificate);
        Draft::new(self.exchange, Kind::Rp, content, fresh, now)
    }
}

impl Inform {
    /// genp.
    pub fn answer(self, answers: &Answers, fresh: Fresh, now: Timestamp) -> Draft {
        let content = information::write_answers(&self.questions, answers);
        Draft::new(self.exchange, Kind::Genp, content, fresh, now)
    }

    /// An error: who asks is nobody who is known, say.
    pub fn refuse(self, fail: FailInfo, why: &str, fresh: Fresh, now: Timestamp) -> Draft {
        Draft::error(self.exchange, fail, why, fresh, now)
    }
}
