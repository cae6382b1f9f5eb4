//! Certificate revocation lists (RFC 5280 5): made in two steps like certificates, in shards, and read.
//!
//! The way of a list: [`prepare`] (bytes made and linted, nothing signed) -> [`Prepared::sign`] -> [`SignedCrl`].
//! The way back: [`Crl::parse`] -> [`Crl::verify`] -> [`VerifiedCrl::status`].
//!
//! A CA's certificates are spread over shards by their serial numbers ([`shard`]): each certificate names the list in
//! which it would stand, and a list is short enough to be made again at each revocation.
//!
//! In scope: version 2 lists of one issuer, complete, sharded and delta; lists of other makers for their endorsement
//! keys and IDevIDs. Out of scope: indirect lists (a list signed by another CA), fetching, where lists are stored.
//!
//! To add a lint see [`lint`].

mod build;
mod delta;
mod entry;
mod facts;
pub mod lint;
mod number;
mod read;
pub mod shard;

pub use build::{
    BACKDATE_SECONDS, Contents, Entry, Kind, MAX_ENTRIES, PrepareError, Prepared, Scope, SignedCrl, prepare,
};
pub use delta::DeltaRefused;
pub use facts::MAX_CRL_BYTES;
pub use number::Number;
pub use read::{Crl, CrlError, VerifiedCrl, VerifyError};

#[cfg(test)]
mod tests;
