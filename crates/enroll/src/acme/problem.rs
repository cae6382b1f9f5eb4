//! ACME's problem documents (RFC 8555 6.7, RFC 9457): constant types, a sentence, subproblems by identifier.
//!
//! To add a type: a variant, its name, its status. Details never carry secrets; they may name what the client sent.

use serde_json::{Value, json};

use super::identifier::Identifier;
use crate::Reply;

/// The type, `urn:ietf:params:acme:error:...`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// The account that the request names does not exist.
    AccountDoesNotExist,
    /// RFC 9773 7.4: the certificate was replaced by another order.
    AlreadyReplaced,
    /// Revoked before.
    AlreadyRevoked,
    /// Device attestation draft 9.3.
    BadAttestationStatement,
    /// The certificate request does not fit.
    BadCsr,
    /// The nonce is unknown, old or used.
    BadNonce,
    /// A key that we do not accept.
    BadPublicKey,
    /// A revocation reason that a client may not give.
    BadRevocationReason,
    /// An algorithm that we do not accept.
    BadSignatureAlgorithm,
    /// The server could not connect to the validation target.
    Connection,
    /// A DNS query failed.
    Dns,
    /// An account needs an external binding.
    ExternalAccountRequired,
    /// What the validation target said is not the key authorization.
    IncorrectResponse,
    /// A contact URL that cannot be used.
    InvalidContact,
    /// Profiles draft: a profile that is not offered.
    InvalidProfile,
    /// The request is malformed.
    Malformed,
    /// The order is not ready to be finalized.
    OrderNotReady,
    /// Too much at once.
    RateLimited,
    /// No certificate for this identifier.
    RejectedIdentifier,
    /// Our own fault.
    ServerInternal,
    /// TLS with the validation target failed.
    Tls,
    /// Not allowed.
    Unauthorized,
    /// A contact URL of another scheme.
    UnsupportedContact,
    /// An identifier of a type that is not offered.
    UnsupportedIdentifier,
}

impl ErrorType {
    /// All of them, for the error catalogue.
    pub const ALL: [Self; 24] = [
        Self::AccountDoesNotExist,
        Self::AlreadyReplaced,
        Self::AlreadyRevoked,
        Self::BadAttestationStatement,
        Self::BadCsr,
        Self::BadNonce,
        Self::BadPublicKey,
        Self::BadRevocationReason,
        Self::BadSignatureAlgorithm,
        Self::Connection,
        Self::Dns,
        Self::ExternalAccountRequired,
        Self::IncorrectResponse,
        Self::InvalidContact,
        Self::InvalidProfile,
        Self::Malformed,
        Self::OrderNotReady,
        Self::RateLimited,
        Self::RejectedIdentifier,
        Self::ServerInternal,
        Self::Tls,
        Self::Unauthorized,
        Self::UnsupportedContact,
        Self::UnsupportedIdentifier,
    ];

    /// The last part of the URN.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountDoesNotExist => "accountDoesNotExist",
            Self::AlreadyReplaced => "alreadyReplaced",
            Self::AlreadyRevoked => "alreadyRevoked",
            Self::BadAttestationStatement => "badAttestationStatement",
            Self::BadCsr => "badCSR",
            Self::BadNonce => "badNonce",
            Self::BadPublicKey => "badPublicKey",
            Self::BadRevocationReason => "badRevocationReason",
            Self::BadSignatureAlgorithm => "badSignatureAlgorithm",
            Self::Connection => "connection",
            Self::Dns => "dns",
            Self::ExternalAccountRequired => "externalAccountRequired",
            Self::IncorrectResponse => "incorrectResponse",
            Self::InvalidContact => "invalidContact",
            Self::InvalidProfile => "invalidProfile",
            Self::Malformed => "malformed",
            Self::OrderNotReady => "orderNotReady",
            Self::RateLimited => "rateLimited",
            Self::RejectedIdentifier => "rejectedIdentifier",
            Self::ServerInternal => "serverInternal",
            Self::Tls => "tls",
            Self::Unauthorized => "unauthorized",
            Self::UnsupportedContact => "unsupportedContact",
            Self::UnsupportedIdentifier => "unsupportedIdentifier",
        }
    }

    const fn status(self) -> u16 {
        match self {
            Self::Unauthorized | Self::OrderNotReady | Self::ExternalAccountRequired => 403,
            // RFC 9773 5.
            Self::AlreadyReplaced => 409,
            Self::RateLimited => 429,
            Self::ServerInternal => 500,
            _ => 400,
        }
    }
}

/// One problem, as reply or inside of a challenge or an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    kind: ErrorType,
    status: u16,
    detail: String,
    subproblems: Vec<(Identifier, ErrorType, String)>,
    headers: Vec<(&'static str, String)>,
}

impl Problem {
    /// A problem with a sentence for whoever runs the client.
    pub fn new(kind: ErrorType, detail: impl Into<String>) -> Self {
        Self {
            kind,
            status: kind.status(),
            detail: detail.into(),
            subproblems: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// The commonest.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Malformed, detail)
    }

    /// There is nothing here (that this account may see).
    pub(super) fn not_found(what: &str) -> Self {
        Self::malformed(format!("there is no such {what} here for this account")).status(404)
    }

    pub(super) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn about(
        mut self,
        identifier: Identifier,
        kind: ErrorType,
        detail: impl Into<String>,
    ) -> Self {
        self.subproblems.push((identifier, kind, detail.into()));
        self
    }

    /// Its type.
    pub fn kind(&self) -> ErrorType {
        self.kind
    }

    /// The sentence.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The document.
    pub(super) fn to_json(&self) -> Value {
        let urn = |kind: ErrorType| format!("urn:ietf:params:acme:error:{}", kind.as_str());
        let mut out = json!({ "type": urn(self.kind), "detail": self.detail, "status": self.status });
        let Some(fields) = out.as_object_mut() else { return out };
        if self.kind == ErrorType::BadSignatureAlgorithm {
            // RFC 8555 6.2: the problem names what is accepted.
            fields.insert("algorithms".into(), json!(super::jwk::ALGORITHMS));
        }
        if !self.subproblems.is_empty() {
            let one = |(identifier, kind, detail): &(Identifier, ErrorType, String)| json!({ "type": urn(*kind), "detail": detail, "identifier": identifier.to_json() });
            fields.insert("subproblems".into(), self.subproblems.iter().map(one).collect());
        }
        out
    }

    /// As an answer.
    pub(super) fn to_reply(&self) -> Reply {
        let mut reply =
            Reply::new(self.status, "application/problem+json", self.to_json().to_string().into_bytes());
        reply.headers.extend(self.headers.iter().cloned());
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_type_its_sentence_and_its_identifiers() {
        let identifier: Identifier = Identifier::parse("dns", "pacs.hospital.example").unwrap();
        let problem = Problem::new(ErrorType::RejectedIdentifier, "no").about(
            identifier,
            ErrorType::RejectedIdentifier,
            "not one of ours",
        );
        let reply = problem.to_reply();
        assert_eq!(reply.status, 400);
        assert_eq!(reply.headers[0].1, "application/problem+json");
        let found: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(found["type"], "urn:ietf:params:acme:error:rejectedIdentifier");
        assert_eq!(found["subproblems"][0]["identifier"]["value"], "pacs.hospital.example");
        let found = Problem::new(ErrorType::BadSignatureAlgorithm, "no").to_json();
        assert_eq!(found["algorithms"][0], "ES256");
    }

    #[test]
    fn every_type_has_its_own_name() {
        let names: std::collections::BTreeSet<_> = ErrorType::ALL.iter().map(|t| t.as_str()).collect();
        assert_eq!(names.len(), ErrorType::ALL.len());
    }
}
