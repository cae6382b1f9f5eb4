//! X.509 for a hospital's devices: keys and their sealing, CSR checks, certificate profiles, lints,
//! issuance in two steps (prepare, sign), path validation with our own rules over webpki, TLS configuration,
//! bags of certificates (PKCS#7).
//!
//! In scope: pure functions over bytes, time and randomness that come in as arguments; the only IO is the
//! key store's own directory ([`key`]). Out of scope: sockets, clocks, storage of certificates, enrolment
//! protocols, fetching and serving revocation data. Certificates say how their revocation is known ([`profile`]); inside
//! of Lanyard distrust acts through [`tls::Gate`], and [`crl`] and [`ocsp`] are for relying parties that we do not operate.
//!
//! The way of a certificate: [`csr::verify`] -> [`issue::prepare`] (template made and linted, nothing
//! signed) -> the caller records the intent -> [`issue::Prepared::sign`] -> [`certificate::Certificate`].
//! The way back: [`path::validate`] -> [`path::VerifiedChain`] -> [`certificate::PeerIdentity`]; for a maker's
//! certificate [`idevid::verify`] -> [`idevid::VerifiedIdevid`].
//! Revocation: [`crl::prepare`], [`ocsp::Responder`]; of others: [`crl::Crl::parse`], [`ocsp::verify`].
//!
//! To add a profile see [`profile`], a lint see [`lint`], a key backend see [`key`].

#![warn(missing_docs)]

pub mod authority;
pub mod certificate;
pub mod crl;
pub mod csr;
mod facts;
mod identity;
pub mod idevid;
pub mod issue;
pub mod key;
pub mod lint;
pub mod name;
pub mod ocsp;
pub mod oid;
pub mod path;
pub mod pkcs7;
pub mod profile;
mod read;
pub mod revocation;
pub mod serial;
pub mod spki;
mod tbs;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod uri;
pub mod write;
