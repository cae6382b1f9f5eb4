//! SCEP (RFC 8894), server side: for devices that speak nothing newer.
//!
//! Why it is kept apart: a SCEP message is opened with RSAES-PKCS1-v1_5, its clients sign with SHA-1 and encrypt with DES
//! where they know no better, and its one secret travels in the request. So it has an RSA issuing CA of its own, whose
//! answers are signed and opened by a certificate that does nothing else, and it is off until a site needs it
//! (docs/protocols/scep.md).
//!
//! The way of a request: [`Responder::receive`] takes the HTTP request and gives a [`Received`]: either what to send back,
//! or an [`Asked`], whose [`Wish`] the caller answers; [`Responder::answer`] makes the reply. Keys are closures, time and
//! randomness are arguments, and what waits for a person lies in [`Transactions`].
//!
//! In scope: GetCACaps, GetCACert, GetNextCACert; PKCSReq, RenewalReq, CertPoll; the CMS that these need, from BER on.
//! Out of scope: GetCert and GetCRL (why: `envelope.rs`), sockets, the challenge's worth (`crate::secret`), who may have a
//! certificate; keys other than RSA, which SCEP could only encrypt to with a password.
//!
//! To add a message type: `message.rs` (its number and its content), a [`Wish`] in `receive.rs`, an [`Answer`]. To
//! add a cipher or a digest: `cipher.rs`, `algorithm.rs`, and a word in [`Responder`]'s capabilities.

mod algorithm;
mod answer;
mod asn1;
mod ber;
mod cipher;
mod envelope;
mod message;
mod oid;
mod peer;
mod receive;
mod refusal;
mod responder;
mod route;
mod signed;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod transactions;

pub use algorithm::Algorithms;
pub use answer::Answer;
pub use asn1::Malformed;
pub use ber::{BerError, to_der};
pub use message::TransactionId;
pub use receive::{Asked, Done, Enrollment, Exchange, Received, Wish};
pub use refusal::{FailInfo, Refusal};
pub use responder::{Fresh, Responder, SetupError};
pub use route::{Incoming, MAX_MESSAGE_BYTES, RouteError};
pub use transactions::{MAX_WAITING, Transactions};
