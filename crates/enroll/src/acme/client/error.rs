//! Why the client cannot go on: sorted by who must act. [`ClientError::Refused`] is the server's no,
//! [`ClientError::Unavailable`] passes by itself, the others are an odd server or a wrong call.

use lanyard_pki::certificate::CertificateError;

use super::resources::ServerProblem;

/// Why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// An account key that cannot be read or used.
    #[error("the account's key is not a P-256 key in PKCS#8: have a new one made")]
    AccountKey,
    /// A directory, or an address in an answer, that is not to be called.
    #[error("`{field}`: {rule}")]
    Url {
        /// Which.
        field: &'static str,
        /// What it breaks.
        rule: String,
    },
    /// A value that cannot be ordered.
    #[error("`{field}`: {rule}")]
    Wish {
        /// Which.
        field: &'static str,
        /// What it breaks.
        rule: String,
    },
    /// Longer than [`super::MAX_ANSWER_BODY`].
    #[error("the answer has {0} bytes, at most {max} are read", max = super::MAX_ANSWER_BODY)]
    TooLarge(usize),
    /// Success with something else in it.
    #[error("the answer to `{what}` is of type `{found}`, expected `{expected}`: is this an ACME server?")]
    ContentType {
        /// What was asked.
        what: &'static str,
        /// Cut to 80 characters.
        found: String,
        /// What ACME says.
        expected: &'static str,
    },
    /// Not the resource.
    #[error("the answer to `{what}` is not what RFC 8555 says: {rule}")]
    Malformed {
        /// What was asked.
        what: &'static str,
        /// What it breaks.
        rule: String,
    },
    /// The nonce was refused again and again.
    #[error(
        "the server refused {0} nonces one after the other: something between here and it repeats or caches answers"
    )]
    Nonces(u8),
    /// A status that does not belong here.
    #[error("the server answered `{what}` with HTTP status {status}: is this address an ACME server?")]
    Status {
        /// What was asked.
        what: &'static str,
        /// HTTP status code.
        status: u16,
    },
    /// The server's no.
    #[error("the server refused `{what}`: {problem}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Its words.
        problem: ServerProblem,
    },
    /// The server cannot now; the same may be asked again.
    #[error("the server cannot do `{what}` now, ask again in {retry_after_seconds} s: {why}")]
    Unavailable {
        /// What was asked.
        what: &'static str,
        /// When to ask again.
        retry_after_seconds: u32,
        /// Its words.
        why: String,
    },
    /// The order was given up by the server.
    #[error("the order ended: {0}")]
    OrderEnded(ServerProblem),
    /// An identifier could not be proven.
    #[error("`{identifier}` was not proven: {problem}")]
    NotProven {
        /// Which.
        identifier: String,
        /// The challenge's words.
        problem: ServerProblem,
    },
    /// None of the challenges that we can answer.
    #[error("the server offers {offered} for `{identifier}`, which this client was not told to answer")]
    NoChallenge {
        /// Which.
        identifier: String,
        /// The kinds, in backticks.
        offered: String,
    },
    /// The order is not done at the end that was set.
    #[error("the order was not done in time; it may be taken up again later: {0}")]
    Deadline(String),
    /// Called when there is nothing to do it to.
    #[error("{0} was given when the order does not wait for it")]
    OutOfTurn(&'static str),
    /// The certificate.
    #[error("the certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// It is for another key.
    #[error("the certificate is not for the key of the request")]
    OtherKey,
}

impl ClientError {
    /// Whether the same may be asked again without anybody changing anything.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Deadline(_))
    }

    /// Whether the server said no.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::OrderEnded(_) | Self::NotProven { .. })
    }

    /// The server's problem, where it sent one.
    pub fn problem(&self) -> Option<&ServerProblem> {
        match self {
            Self::Refused { problem, .. } | Self::NotProven { problem, .. } => Some(problem),
            Self::OrderEnded(problem) => Some(problem),
            _ => None,
        }
    }
}
