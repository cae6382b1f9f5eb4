//! ACME (RFC 8555), with renewal information (RFC 9773), external account binding, profiles
//! (draft-ietf-acme-profiles) and device attestation ([`DEVICE_ATTEST_DRAFT`]); sans-IO.
//!
//! A request goes through [`Server::open`] and [`Server::receive`], which answers with a [`Step`]: a reply, or something that the caller
//! must do first (record an account, look at a name, issue, revoke) before it asks for the reply. Accounts are plain
//! values that the caller keeps ([`Account`], port [`Records`]); orders live in memory ([`Orders`]) and a restart
//! makes clients begin again, which they do by themselves.
//!
//! [`client`] is the other side: the same messages as a client makes and reads them.
//!
//! In scope: JWS, nonces, typed requests, order state, what was proven. Out of scope: HTTP, DNS lookups, who may
//! have a certificate (control), pre-authorization (`newAuthz`), wildcards, terms of service.
//!
//! To add a challenge: a file in `challenge/`, a variant of [`ChallengeKind`], its lines in `challenge/mod.rs`, a
//! row in the test of its no. To add a resource: a variant of `urls::Route`, its line in `server/mod.rs`.

mod account;
mod base64url;
mod challenge;
pub mod client;
mod csr;
mod digest;
mod eab;
mod id;
mod identifier;
mod jwk;
mod jws;
mod nonce;
mod order;
mod orders;
mod payload;
mod policy;
mod problem;
mod renewal;
mod seed;
mod server;
#[cfg(test)]
mod testkit;
#[cfg(test)]
mod tests;
mod urls;

pub use account::{Account, AccountChange, AccountStatus, Binding, Registration};
pub use challenge::{
    ChallengeKind, Failure, FailureKind, Target, Validation, dns_wire, dns01, http01, key_authorization,
    tls_alpn01,
};
pub use csr::requested_names;
pub use id::{AccountId, OrderId};
pub use identifier::{BadIdentifier, Identifier};
pub use jwk::Jwk;
pub use jws::{MAX_BODY_BYTES, Message, Protected};
pub use nonce::{BadNonce, Nonces};
pub use order::{Authorization, Challenge, Order, OrderStatus, ProvenIdentifier, ProvenOrder};
pub use orders::{Limits, Orders};
pub use payload::NewOrder;
pub use policy::{BindingPolicy, DeviceNames, Lifetimes, Policy};
pub use problem::{ErrorType, Problem};
pub use renewal::{CertId, RenewalInfo};
pub use seed::Seed;
pub use server::{
    Method, Opened, Predecessor, Records, Request, RevocationOutcome, RevocationRequest, RevokedBy, Server,
    State, Step,
};
pub use urls::{BadUrl, Urls};

/// The device attestation draft whose rules hold here. A later draft is a change of this line and of what it names.
pub const DEVICE_ATTEST_DRAFT: &str = "draft-ietf-acme-device-attest-09";
