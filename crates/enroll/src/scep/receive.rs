//! From the HTTP request to what is wished, or to the reply where nothing has to be decided.

use std::fmt;

use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::{Certificate, MAX_CHAIN};
use lanyard_pki::csr::VerifiedCsr;
use zeroize::Zeroizing;

use super::algorithm::Algorithms;
use super::asn1::Malformed;
use super::ber;
use super::cipher::Cipher;
use super::envelope::{self, Recipient};
use super::message::{self, Head, MessageType, TransactionId};
use super::peer::Peer;
use super::refusal::{Refusal, Telling};
use super::responder::{Fresh, Responder};
use super::route::{self, Incoming, MAX_MESSAGE_BYTES, Operation};
use super::signed::{self, Signed};
use super::transactions::{Key, Known, Transactions};
use crate::reply::Reply;
use crate::request::{Authentication, EnrollmentRequest, Protocol};
use crate::secret::SecretProven;

/// A reply, and why it is a refusal if it is one: for the log.
#[derive(Debug)]
pub struct Done {
    /// To send.
    pub reply: Reply,
    /// Why the wish was not followed.
    pub refusal: Option<Refusal>,
}

/// What came of a request.
#[derive(Debug)]
pub enum Received {
    /// It was not admitted: to be asked again.
    Later,
    /// Nothing to decide.
    Done(Done),
    /// Something to decide.
    Asked(Box<Asked>),
}

/// A wish, and what its reply needs.
#[derive(Debug)]
pub struct Asked {
    /// To be answered by the caller.
    pub wish: Wish,
    /// To be given back with the answer.
    pub exchange: Exchange,
}

/// What a client wants.
#[derive(Debug)]
pub enum Wish {
    /// A first certificate, for a secret that the caller must prove.
    Enroll(Enrollment),
    /// A certificate: a renewal, or a request that waited, put to the rules again.
    Decide(EnrollmentRequest),
}

/// A PKCSReq: signature and key are checked, the secret is not.
pub struct Enrollment {
    challenge: Zeroizing<String>,
    csr: VerifiedCsr,
    profile: Option<String>,
}

impl Enrollment {
    /// The challengePassword: for `secret::id_of` and `Secret::prove`.
    pub fn challenge(&self) -> &str {
        &self.challenge
    }

    /// The request, once the secret is proven.
    pub fn proven(self, secret: SecretProven) -> EnrollmentRequest {
        EnrollmentRequest {
            protocol: Protocol::Scep,
            profile: self.profile,
            csr: self.csr,
            authentication: Authentication::Secret(secret),
        }
    }
}

impl fmt::Debug for Enrollment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Enrollment({:?}, profile {:?}, challenge [redacted])", self.csr, self.profile)
    }
}

/// One message and its reply.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub(super) head: Head,
    pub(super) recipient: Recipient,
    pub(super) cipher: Cipher,
    pub(super) key: [u8; 32],
}

impl Exchange {
    /// The client's name for the enrollment.
    pub fn transaction(&self) -> &TransactionId {
        &self.head.transaction
    }

    pub(super) fn transaction_key(&self) -> Key {
        Key { signer: self.key, transaction: self.head.transaction.clone() }
    }
}

/// What an opened message comes to.
enum Opened {
    Wish(Wish, Exchange),
    /// The certificate of a request that waited, again: its reply may have been lost.
    Again(Vec<Vec<u8>>, Exchange),
}

impl Responder {
    /// Takes a request. `decrypt` undoes RSAES-PKCS1-v1_5 with the responder's key (its error may mean anything: it is not
    /// told apart from a wrong key), `sign` makes a RSASSA-PKCS1-v1_5 signature with SHA-256 over the bytes it gets. `admit` is
    /// asked before the first of these, once: what is no message, or needs no key, costs its reading and nothing else.
    ///
    /// Fuzz entry point.
    pub fn receive<D, S: fmt::Display>(
        &self,
        incoming: &Incoming<'_>,
        decrypt: impl FnOnce(&[u8]) -> Result<Vec<u8>, D>,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, S>,
        admit: impl FnOnce() -> bool,
        (transactions, now, fresh): (&Transactions, Timestamp, &Fresh),
    ) -> Received {
        let (profile, operation) = match route::route(incoming) {
            Ok(routed) => routed,
            Err(error) => return Received::Done(by_http(error.into())),
        };
        let ber = match operation {
            Operation::Pki(ber) => ber,
            Operation::Capabilities => return Received::Done(as_wished(self.capabilities())),
            Operation::CaCertificate => return Received::Done(as_wished(self.ca_certificate())),
            Operation::NextCaCertificate => {
                if !admit() {
                    return Received::Later;
                }
                return Received::Done(match self.next_ca_certificate(sign) {
                    Some(Ok(reply)) => as_wished(reply),
                    Some(Err(error)) => by_http(Refusal::Answer(error.to_string())),
                    None => by_http(Refusal::NoNextCertificate),
                });
            }
        };
        // Up to here nobody can be answered by name: no transactionID, no nonce.
        let der = match ber::to_der(&ber, MAX_MESSAGE_BYTES) {
            Ok(der) => der,
            Err(error) => return Received::Done(by_http(error.into())),
        };
        let read = signed::read(&der).and_then(|signed| message::head(&signed).map(|head| (signed, head)));
        let (signed, head) = match read {
            Ok(read) => read,
            Err(error) => return Received::Done(by_http(Refusal::Unreadable(error))),
        };
        if !admit() {
            return Received::Later;
        }
        match self.open(&signed, &head, profile, decrypt, (transactions, now), fresh) {
            Ok(Opened::Wish(wish, exchange)) => Received::Asked(Box::new(Asked { wish, exchange })),
            Ok(Opened::Again(chain, exchange)) => {
                Received::Done(self.success(&exchange, &chain, sign, fresh))
            }
            Err(refusal) => Received::Done(self.refuse(&head, refusal, sign, fresh)),
        }
    }

    fn open<D>(
        &self,
        signed: &Signed<'_>,
        head: &Head,
        profile: Option<String>,
        decrypt: impl FnOnce(&[u8]) -> Result<Vec<u8>, D>,
        (transactions, now): (&Transactions, Timestamp),
        fresh: &Fresh,
    ) -> Result<Opened, Refusal> {
        let accepted = self.algorithms();
        let certificate = signed.certificate()?;
        let peer = Peer::read(&certificate)?;
        signed.verify(&peer.key, accepted)?;
        let message_type = MessageType::read(&head.message_type)?;
        let content = signed.content.ok_or(Malformed("the message has no content (RFC 8894 3.1)"))?;
        let content = ber::to_der(content, MAX_MESSAGE_BYTES)?;
        let envelope = envelope::read(&content, |serial| self.is_addressed(serial), accepted)?;
        let exchange = Exchange {
            head: head.clone(),
            recipient: Recipient {
                issuer: peer.issuer.to_vec(),
                serial: peer.serial.to_vec(),
                spki: peer.key.der().to_vec(),
            },
            cipher: envelope.cipher,
            key: peer.key.sha256(),
        };
        let wish = match message_type {
            // Not opened: transactionID and key say which request it is about, see `envelope`.
            MessageType::CertPoll => {
                return match transactions.find(&exchange.transaction_key(), now) {
                    Some(Known::Waiting(request)) => {
                        Ok(Opened::Wish(Wish::Decide(request.clone()), exchange))
                    }
                    Some(Known::Issued(chain)) => Ok(Opened::Again(chain.to_vec(), exchange)),
                    None => Err(Refusal::UnknownTransaction),
                };
            }
            MessageType::GetCert | MessageType::GetCrl => return Err(Refusal::NotServed),
            MessageType::PkcsReq | MessageType::RenewalReq => {
                let content = envelope.open(decrypt, fresh.key())?;
                let request = message::request(&content, envelope.cipher.block_bytes(), accepted)?;
                let authenticated = by(message_type, &request.csr, signed, &peer, accepted)?;
                // micromdm's client and certmonger do not poll: they send the same request again. But a renewal after the
                // certificate was issued is a new one: many clients make the transactionID of the key, which may stay.
                match (transactions.find(&exchange.transaction_key(), now), &authenticated) {
                    (Some(Known::Waiting(waiting)), _) if waiting.csr == request.csr => {
                        return Ok(Opened::Wish(Wish::Decide(waiting.clone()), exchange));
                    }
                    (Some(Known::Issued(chain)), By::Secret) => {
                        return Ok(Opened::Again(chain.to_vec(), exchange));
                    }
                    _ => {}
                }
                match authenticated {
                    By::Secret => {
                        let challenge = request.challenge.ok_or(Refusal::NoChallenge)?;
                        Wish::Enroll(Enrollment { challenge, csr: request.csr, profile })
                    }
                    By::Certificate(chain) => Wish::Decide(EnrollmentRequest {
                        protocol: Protocol::Scep,
                        profile,
                        csr: request.csr,
                        authentication: Authentication::Certificate(chain),
                    }),
                }
            }
        };
        Ok(Opened::Wish(wish, exchange))
    }
}

/// How the sender of a request shows who it is.
enum By {
    Secret,
    Certificate(Vec<Vec<u8>>),
}

/// By the certificate that signed the message, where one was issued: certmonger and others renew with a PKCSReq, as the
/// drafts before RFC 8894 had it. Else by a secret, and then key and certificate must be the sender's own (RFC 8894 2.3).
fn by(
    message_type: MessageType,
    csr: &VerifiedCsr,
    signed: &Signed<'_>,
    peer: &Peer<'_>,
    accepted: Algorithms,
) -> Result<By, Refusal> {
    if !peer.is_self_issued() {
        return renewal_chain(signed, peer).map(By::Certificate);
    }
    if message_type == MessageType::RenewalReq {
        return Err(Refusal::RenewalSelfSigned);
    }
    if *csr.key() != peer.key {
        return Err(Refusal::OtherKey);
    }
    if !peer.is_self_signed(accepted) {
        return Err(Refusal::NotSelfSigned);
    }
    Ok(By::Secret)
}

/// The certificate that is to be renewed, and what else came with it. Whether it is ours is decided by the rules.
fn renewal_chain(signed: &Signed<'_>, peer: &Peer<'_>) -> Result<Vec<Vec<u8>>, Refusal> {
    Certificate::parse(peer.der).map_err(Refusal::RenewalCertificate)?;
    let others = signed.certificates.iter().map(|other| other.whole).filter(|other| *other != peer.der);
    Ok(std::iter::once(peer.der).chain(others).take(MAX_CHAIN).map(<[u8]>::to_vec).collect())
}

fn as_wished(reply: Reply) -> Done {
    Done { reply, refusal: None }
}

/// A refusal that no CertRep can tell.
pub(super) fn by_http(refusal: Refusal) -> Done {
    let status = match refusal.telling() {
        Telling::Http(status) => status,
        Telling::CertRep(_) => 400,
    };
    let mut reply = Reply::new(status, "text/plain; charset=utf-8", format!("{refusal}\n"));
    if status == 405 {
        reply = reply.with("allow", "GET, POST");
    }
    if status == 503 {
        // A minute: our key store or log is away, and clients that retry at once would only add to it.
        reply = reply.with("retry-after", "60");
    }
    Done { reply, refusal: Some(refusal) }
}
