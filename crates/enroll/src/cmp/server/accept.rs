//! The third step: what the message is in its transaction, and what the caller is to do.

use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;

use crate::cmp::Fresh;
use crate::cmp::confirm::{self, Confirmation};
use crate::cmp::crmf::{CertRequest, CertificateId};
use crate::cmp::hash::Hash;
use crate::cmp::header::CMP2021;
use crate::cmp::information::Question;
use crate::cmp::message::EnrollKind;
use crate::cmp::status::{FailInfo, Status, StatusInfo};
use crate::cmp::transactions::{
    NoTransaction, NotBegun, Sender, Settlement, TransactionId, Transactions, Waiting,
};
use crate::{Authentication, EnrollmentRequest, Protocol};
use lanyard_pki::revocation::Reason;

use super::answer::{Draft, Exchange};
use super::receive::{Content, Verified};
use super::refusal::{Refusal, Refused};
use super::{ImplicitConfirm, Server};

/// What a client wants.
#[derive(Debug)]
pub enum Request {
    /// A certificate; also when it asks again about one that waits for a person.
    Enroll(Box<Enroll>),
    /// It said what it thinks of its certificate; that is among the settled.
    Confirm(Confirm),
    /// It gives the transaction up.
    Abort(Abort),
    /// A certificate revoked.
    Revoke(Box<Revoke>),
    /// To know something.
    Inform(Inform),
}

/// A certificate is wanted.
#[derive(Debug)]
pub struct Enroll {
    /// For the use case.
    pub request: EnrollmentRequest,
    pub(super) exchange: Exchange,
    pub(super) transaction: TransactionId,
    pub(super) sender: Sender,
    pub(super) waiting: Waiting,
    pub(super) asked: Asked,
}

/// Whether it is the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    First,
    Again,
}

impl Enroll {
    /// How it is asked for.
    pub fn kind(&self) -> EnrollKind {
        self.waiting.kind
    }

    /// Which transaction, for logs.
    pub fn transaction(&self) -> &TransactionId {
        &self.transaction
    }
}

/// A certificate was confirmed, or rejected.
#[derive(Debug)]
pub struct Confirm {
    pub(super) exchange: Exchange,
}

/// A transaction was given up.
#[derive(Debug)]
pub struct Abort {
    /// The client's words.
    pub why: String,
    pub(super) exchange: Exchange,
}

/// A certificate is to be revoked.
#[derive(Debug)]
pub struct Revoke {
    /// For the use case.
    pub request: RevocationRequest,
    pub(super) exchange: Exchange,
}

/// Which certificate is to be revoked, and who says so. Whether he may is the caller's to decide.
#[derive(Debug, Clone)]
pub struct RevocationRequest {
    /// Which.
    pub certificate: CertificateId,
    /// Why.
    pub reason: Reason,
    /// Who asks.
    pub authentication: Authentication,
    /// Whether the certificate itself signs: its holder may always give it up (RFC 9483 4.2).
    pub is_own: bool,
}

/// Questions.
#[derive(Debug)]
pub struct Inform {
    /// What is asked; the caller fills the answers in.
    pub questions: Vec<Question>,
    /// Who asks.
    pub authentication: Authentication,
    /// The profile that the questions are about.
    pub profile: Option<String>,
    pub(super) exchange: Exchange,
}

impl Verified {
    /// Who sent it.
    pub fn authentication(&self) -> &Authentication {
        &self.authentication
    }

    /// Which transaction, for logs.
    pub fn transaction(&self) -> &TransactionId {
        &self.transaction
    }

    /// Whether [`Self::accept`] would open a transaction for it: ir, cr, p10cr and kur do.
    pub fn opens_a_transaction(&self) -> bool {
        matches!(self.content, Content::Enroll(..))
    }

    /// An error: who sent it is nobody who is known, say. Before [`Self::accept`], so that strangers open no transactions.
    pub fn refuse(self, fail: FailInfo, why: &str, fresh: Fresh, now: Timestamp) -> Draft {
        Draft::error(self.exchange, fail, why, fresh, now)
    }

    /// Looks the transaction up, or begins it. Under the caller's lock; costs no cryptography but a hash.
    pub fn accept(
        mut self,
        server: &Server,
        transactions: &mut Transactions,
        now: Timestamp,
    ) -> Result<Request, Box<Refused>> {
        transactions.expire(now);
        let content = std::mem::replace(&mut self.content, Content::Inform(Vec::new()));
        match content {
            Content::Enroll(kind, request) => self.begin(server, transactions, kind, *request, now),
            Content::Poll(number) => self.poll(transactions, number),
            Content::Confirm(statements) => match self.confirm(transactions, &statements, now) {
                Ok(()) => Ok(Request::Confirm(Confirm { exchange: self.exchange })),
                Err(refusal) => Err(Refused::new(refusal, self.exchange)),
            },
            Content::Abort(status) => self.abort(transactions, &status, now),
            Content::Revoke(certificate, reason) => self.revoke(transactions, certificate, reason),
            Content::Inform(questions) => Ok(Request::Inform(Inform {
                questions,
                authentication: self.authentication,
                profile: self.profile,
                exchange: self.exchange,
            })),
        }
    }

    fn begin(
        self,
        server: &Server,
        transactions: &mut Transactions,
        kind: EnrollKind,
        request: CertRequest,
        now: Timestamp,
    ) -> Result<Request, Box<Refused>> {
        if let Err(why) = transactions.begin(&self.transaction, self.sender, now) {
            return Err(Refused::new(Refusal::from(why), self.exchange));
        }
        let granted = server.policy.implicit_confirm == ImplicitConfirm::Granted;
        let waiting = Waiting {
            csr: request.csr,
            kind,
            profile: self.profile.clone(),
            wish: request.wish,
            implicit_confirm: self.implicit_confirm && granted,
        };
        Ok(self.enroll(waiting, Asked::First))
    }

    fn poll(self, transactions: &Transactions, number: i64) -> Result<Request, Box<Refused>> {
        let nonce = self.shown_nonce.as_deref();
        match transactions.waiting(&self.transaction, self.sender, nonce) {
            Ok(waiting) if waiting.kind.is_meant_by(number) => Ok(self.enroll(waiting, Asked::Again)),
            Ok(_) => Err(Refused::new(Refusal::RequestId(number), self.exchange)),
            Err(why) => Err(Refused::new(Refusal::from(why), self.exchange)),
        }
    }

    fn enroll(self, waiting: Waiting, asked: Asked) -> Request {
        let request = EnrollmentRequest {
            protocol: Protocol::Cmp,
            profile: waiting.profile.clone(),
            csr: waiting.csr.clone(),
            authentication: self.authentication,
        };
        Request::Enroll(Box::new(Enroll {
            request,
            exchange: self.exchange,
            transaction: self.transaction,
            sender: self.sender,
            waiting,
            asked,
        }))
    }

    fn confirm(
        &self,
        transactions: &mut Transactions,
        statements: &[Confirmation],
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let (id, nonce) = (&self.transaction, self.shown_nonce.as_deref());
        let certificate = transactions.unconfirmed(id, self.sender, nonce)?;
        let statement = match statements {
            // RFC 9810 5.3.18: saying nothing of any certificate rejects it.
            [] => {
                transactions.end(id, Settlement::Rejected(String::new()), now);
                return Ok(());
            }
            [one] => one,
            _ => return Err(Refusal::Confirmation),
        };
        // -1 for PKCS#10; see EnrollKind::is_meant_by.
        if !(-1..=0).contains(&statement.request_id) {
            return Err(Refusal::RequestId(statement.request_id));
        }
        if !self.hashes_to(&certificate, statement)? {
            transactions.end(id, Settlement::OtherCertificate, now);
            return Err(Refusal::OtherCertificate);
        }
        let how = match &statement.status {
            None => Settlement::Confirmed,
            Some(StatusInfo { status: Status::Accepted | Status::GrantedWithMods, fail: 0, .. }) => {
                Settlement::Confirmed
            }
            Some(StatusInfo { status: Status::Rejection, text, .. }) => Settlement::Rejected(text.clone()),
            Some(_) => return Err(Refusal::Confirmation),
        };
        transactions.end(id, how, now);
        Ok(())
    }

    fn hashes_to(&self, certificate: &Certificate, statement: &Confirmation) -> Result<bool, Refusal> {
        let hash = match &statement.hash_algorithm {
            Some(_) if self.version != CMP2021 => return Err(Refusal::HashNeedsVersion3),
            Some(id) => Hash::of(id).filter(|hash| *hash != Hash::Sha1),
            None => confirm::hash_of(certificate),
        };
        let digest = hash.ok_or(Refusal::HashAlgorithm)?.digest(certificate.der());
        Ok(digest.as_ref() == statement.hash.as_slice())
    }

    fn abort(
        self,
        transactions: &mut Transactions,
        status: &StatusInfo,
        now: Timestamp,
    ) -> Result<Request, Box<Refused>> {
        let nonce = self.shown_nonce.as_deref();
        if let Err(why) = transactions.is_of(&self.transaction, self.sender, nonce) {
            return Err(Refused::new(Refusal::from(why), self.exchange));
        }
        transactions.end(&self.transaction, Settlement::Rejected(status.text.clone()), now);
        Ok(Request::Abort(Abort { why: status.text.clone(), exchange: self.exchange }))
    }

    fn revoke(
        self,
        transactions: &Transactions,
        certificate: CertificateId,
        reason: Reason,
    ) -> Result<Request, Box<Refused>> {
        // It is one message, and revoking twice is revoking once: nothing is remembered.
        if transactions.is_in_use(&self.transaction) {
            return Err(Refused::new(Refusal::TransactionInUse, self.exchange));
        }
        let is_own = self.signer.as_ref().is_some_and(|signer| certificate.names(signer));
        Ok(Request::Revoke(Box::new(Revoke {
            request: RevocationRequest { certificate, reason, authentication: self.authentication, is_own },
            exchange: self.exchange,
        })))
    }
}

impl From<NotBegun> for Refusal {
    fn from(why: NotBegun) -> Self {
        match why {
            NotBegun::InUse => Refusal::TransactionInUse,
            NotBegun::Full => Refusal::Full,
        }
    }
}

impl From<NoTransaction> for Refusal {
    fn from(why: NoTransaction) -> Self {
        match why {
            NoTransaction::Unknown => Refusal::UnknownTransaction,
            NoTransaction::OtherSender => Refusal::OtherSender,
            NoTransaction::OtherNonce => Refusal::RecipientNonce,
            NoTransaction::NotNow => Refusal::NotNow,
        }
    }
}
