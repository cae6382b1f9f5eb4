//! Challenges: what a client must do to show that an identifier is its own.
//!
//! For http-01, dns-01 and tls-alpn-01 somebody must look from outside: the engine says at what ([`Target`]), the
//! caller looks and lets the checker of the same file judge what it found. `device-attest-01` needs no look: the
//! proof is in the response.

mod device_attest01;
pub mod dns01;
pub mod dns_wire;
pub mod http01;
pub mod tls_alpn01;

use std::str::FromStr;

pub(super) use device_attest01::verify as verify_attestation;

use super::id::OrderId;
use super::identifier::Identifier;
use super::jwk::Jwk;
use super::problem::{ErrorType, Problem};

/// The kind of a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChallengeKind {
    /// Device attestation draft 5.
    DeviceAttest01,
    /// RFC 8555 8.3.
    Http01,
    /// RFC 8555 8.4.
    Dns01,
    /// RFC 8737.
    TlsAlpn01,
}

impl ChallengeKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::DeviceAttest01, Self::Http01, Self::Dns01, Self::TlsAlpn01];

    /// As it stands in `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeviceAttest01 => "device-attest-01",
            Self::Http01 => "http-01",
            Self::Dns01 => "dns-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }

    /// Whether it can prove such an identifier. RFC 8738 7: there is no dns-01 for addresses.
    pub const fn fits(self, identifier: &Identifier) -> bool {
        match self {
            Self::DeviceAttest01 => identifier.is_device(),
            Self::Dns01 => matches!(identifier, Identifier::Dns(_)),
            Self::Http01 | Self::TlsAlpn01 => matches!(identifier, Identifier::Dns(_) | Identifier::Ip(_)),
        }
    }
}

impl FromStr for ChallengeKind {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| Problem::not_found("challenge"))
    }
}

/// RFC 8555 8.1: the token and the thumbprint of the account's key.
pub fn key_authorization(token: &str, key: &Jwk) -> String {
    format!("{token}.{}", key.thumbprint_text())
}

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// GET this URL; [`http01::check`] judges the body.
    Http {
        /// The URL.
        url: String,
    },
    /// Ask for TXT records of this name; [`dns01::check`] judges them.
    Dns {
        /// The name.
        name: String,
    },
    /// TLS to port 443 with ALPN `acme-tls/1` and this server name; [`tls_alpn01::check`] judges the certificate.
    Tls {
        /// SNI.
        server_name: String,
    },
}

/// A look that is to be taken. What came of it goes to [`super::Server::validated`] with the same value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validation {
    pub(super) order: OrderId,
    pub(super) authorization: usize,
    /// Which challenge.
    pub kind: ChallengeKind,
    /// Whose.
    pub identifier: Identifier,
    /// The challenge's token.
    pub token: String,
    /// What must be found.
    pub key_authorization: String,
}

impl Validation {
    /// Where to look. None for `device-attest-01`, which is never looked at.
    pub fn target(&self) -> Option<Target> {
        match self.kind {
            ChallengeKind::Http01 => Some(Target::Http { url: http01::url(&self.identifier, &self.token) }),
            ChallengeKind::Dns01 => Some(Target::Dns { name: dns01::name(&self.identifier) }),
            ChallengeKind::TlsAlpn01 => {
                Some(Target::Tls { server_name: tls_alpn01::server_name(&self.identifier) })
            }
            ChallengeKind::DeviceAttest01 => None,
        }
    }
}

/// Why a look did not prove the identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub kind: FailureKind,
    /// A sentence for whoever runs the client; nothing of what the target said beyond its first characters.
    pub detail: String,
}

/// What went wrong in a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// No connection.
    Connection,
    /// DNS failed.
    Dns,
    /// TLS failed.
    Tls,
    /// Another answer than the key authorization.
    Incorrect,
}

impl Failure {
    pub(super) fn incorrect(detail: impl Into<String>) -> Self {
        Self { kind: FailureKind::Incorrect, detail: detail.into() }
    }

    pub(super) fn problem(self, identifier: &Identifier) -> Problem {
        let kind = match self.kind {
            FailureKind::Connection => ErrorType::Connection,
            FailureKind::Dns => ErrorType::Dns,
            FailureKind::Tls => ErrorType::Tls,
            FailureKind::Incorrect => ErrorType::IncorrectResponse,
        };
        Problem::new(kind, self.detail.clone()).about(identifier.clone(), kind, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acme::testkit::ClientKey;

    #[test]
    fn each_challenge_fits_its_identifiers_only() {
        let identifier = |kind, value| Identifier::parse(kind, value).unwrap();
        for (identifier, expected) in [
            (identifier("dns", "a.example"), &["http-01", "dns-01", "tls-alpn-01"][..]),
            (identifier("ip", "10.0.0.1"), &["http-01", "tls-alpn-01"]),
            (identifier("permanent-identifier", "SN"), &["device-attest-01"]),
            (identifier("hardware-module", "SN/1.2.3"), &["device-attest-01"]),
        ] {
            let fits = ChallengeKind::ALL.into_iter().filter(|k| k.fits(&identifier));
            assert_eq!(fits.map(ChallengeKind::as_str).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_key_authorization_is_token_and_thumbprint() {
        let key = Jwk::parse(&ClientKey::p256().jwk()).unwrap();
        let text = key_authorization("token", &key);
        assert_eq!(text.split_once('.').unwrap(), ("token", key.thumbprint_text().as_str()));
    }
}
