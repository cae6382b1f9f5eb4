//! X.509 for a hospital's devices: keys and their sealing, CSR checks, certificate profiles, lints,
//! issuance in two steps (prepare, sign), path validation with our own rules over webpki, TLS configuration.
//!
//! In scope: pure functions over bytes, time and randomness that come in as arguments; the only IO is the
//! key store's own directory ([`key`]). Out of scope: sockets, clocks, storage of certificates, enrolment
//! protocols, revocation lists (certificates live at most seven days and carry noRevAvail, RFC 9608;
//! distrust acts through [`tls::Gate`]).
//!
//! The way of a certificate: [`csr::verify`] -> [`issue::prepare`] (template made and linted, nothing
//! signed) -> the caller records the intent -> [`issue::Prepared::sign`] -> [`certificate::Certificate`].
//! The way back: [`path::validate`] -> [`path::VerifiedChain`] -> [`certificate::PeerIdentity`].
//!
//! To add a profile see [`profile`], a lint see [`lint`], a key backend see [`key`].

#![warn(missing_docs)]

pub mod authority;
pub mod certificate;
pub mod csr;
mod facts;
pub mod issue;
pub mod key;
pub mod lint;
pub mod name;
mod oid;
pub mod path;
pub mod profile;
pub mod serial;
pub mod spki;
mod tbs;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod write;
