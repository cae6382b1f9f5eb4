//! From what was decided to the CertRep (RFC 8894 3.2.2, 3.3.2, 3.4).

use std::fmt;

use lanyard_domain::time::Timestamp;
use lanyard_pki::write;

use super::envelope;
use super::message::Head;
use super::oid;
use super::receive::{Done, Exchange, by_http};
use super::refusal::{Refusal, Telling};
use super::responder::{Fresh, Responder};
use super::signed::{self, Attribute};
use super::transactions::Transactions;
use crate::reply::Reply;
use crate::request::{EnrollmentRequest, Outcome};

/// failInfoText is for people; longer sentences are cut.
const MAX_TEXT_CHARS: usize = 200;

/// What the caller found.
#[derive(Debug)]
pub enum Answer {
    /// The rules decided about this request: `Wish::Decide`, or `Wish::Enroll` with its secret proven.
    Decided {
        /// What they decided about.
        request: Box<EnrollmentRequest>,
        /// What they decided.
        outcome: Outcome,
    },
    /// The challengePassword is no secret that is good now.
    WrongChallenge,
}

/// RFC 8894 3.2.1.3, with what belongs to each.
enum Status<'a> {
    Success(&'a [u8]),
    Failure(&'a Refusal),
    Pending,
}

impl Responder {
    /// Makes the reply to a wish. `sign` as in [`Responder::receive`].
    pub fn answer<S: fmt::Display>(
        &self,
        exchange: &Exchange,
        answer: Answer,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, S>,
        transactions: &mut Transactions,
        now: Timestamp,
        fresh: &Fresh,
    ) -> Done {
        let key = exchange.transaction_key();
        let refusal = match answer {
            Answer::Decided { request, outcome } => match outcome {
                Outcome::Issued { chain } => {
                    transactions.issued(&key, &chain, now);
                    return self.success(exchange, &chain, sign, fresh);
                }
                Outcome::Pending { .. } => {
                    if transactions.wait(key, *request, now).is_ok() {
                        return self.certrep(&exchange.head, &Status::Pending, sign, fresh);
                    }
                    Refusal::TooManyWaiting
                }
                Outcome::Refused { code, why } => {
                    transactions.forget(&key);
                    Refusal::Refused { code, why }
                }
                Outcome::Unavailable { why } => Refusal::Unavailable(why),
            },
            Answer::WrongChallenge => Refusal::WrongChallenge,
        };
        self.refuse(&exchange.head, refusal, sign, fresh)
    }

    pub(super) fn success<S: fmt::Display>(
        &self,
        exchange: &Exchange,
        chain: &[Vec<u8>],
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, S>,
        fresh: &Fresh,
    ) -> Done {
        let content = signed::degenerate(chain);
        match envelope::seal(&content, exchange.cipher, &exchange.recipient, &fresh.content_key()) {
            Some(sealed) => self.certrep(&exchange.head, &Status::Success(&sealed), sign, fresh),
            None => by_http(Refusal::Answer("it cannot be encrypted to the client's key".into())),
        }
    }

    pub(super) fn refuse<S: fmt::Display>(
        &self,
        head: &Head,
        refusal: Refusal,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, S>,
        fresh: &Fresh,
    ) -> Done {
        if matches!(refusal.telling(), Telling::Http(_)) {
            return by_http(refusal);
        }
        let done = self.certrep(head, &Status::Failure(&refusal), sign, fresh);
        Done { refusal: done.refusal.or(Some(refusal)), ..done }
    }

    fn certrep<S: fmt::Display>(
        &self,
        head: &Head,
        status: &Status<'_>,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, S>,
        fresh: &Fresh,
    ) -> Done {
        // RFC 8894 3.2.2: an envelope comes with success alone. Without any content OpenSSL's PKCS#7 does not verify the
        // signature, and so certmonger would not hear of the refusal: it is empty, not absent.
        let content = match status {
            Status::Success(sealed) => *sealed,
            Status::Failure(_) | Status::Pending => &[],
        };
        match signed::write(content, attributes(head, status, fresh), &self.signer(), sign) {
            Ok(body) => Done { reply: Reply::new(200, "application/x-pki-message", body), refusal: None },
            Err(error) => by_http(Refusal::Answer(error.to_string())),
        }
    }
}

fn attributes(head: &Head, status: &Status<'_>, fresh: &Fresh) -> Vec<Attribute> {
    let string = |text: &[u8]| der(write::PRINTABLE_STRING, text);
    let number = match status {
        Status::Success(_) => "0",
        Status::Failure(_) => "2",
        Status::Pending => "3",
    };
    let mut attributes = vec![
        (oid::MESSAGE_TYPE, string(b"3")),
        (oid::PKI_STATUS, string(number.as_bytes())),
        (oid::TRANSACTION_ID, string(head.transaction.as_bytes())),
        (oid::SENDER_NONCE, der(write::OCTET_STRING, fresh.nonce())),
        (oid::RECIPIENT_NONCE, der(write::OCTET_STRING, &head.sender_nonce)),
    ];
    if let Status::Failure(refusal) = status {
        if let Some(code) = refusal.fail_info() {
            attributes.push((oid::FAIL_INFO, string(code.as_str().as_bytes())));
        }
        let text: String = refusal.to_string().chars().take(MAX_TEXT_CHARS).collect();
        attributes.push((oid::FAIL_INFO_TEXT, der(write::UTF8_STRING, text.as_bytes())));
    }
    attributes
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write::bytes(&mut out, tag, content);
    out
}
