//! Why a call did not give its answer: which server, what happened, what to do. Callers branch on the variants:
//! `Refused` is an answer, `Unavailable` is worth another try, the others are faults to look into.

use std::error::Error;
use std::io;

use hyper::StatusCode;

use crate::exporter::NoChannelBinding;
use crate::problem::Problem;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server understood and said no, with a reason.
    #[error("{0}")]
    Refused(Problem),
    /// An answer that is no success and carries no problem details.
    #[error("`{server}` answered {status}{}", excerpt_text(.excerpt))]
    Status {
        /// Which server.
        server: String,
        /// HTTP status.
        status: StatusCode,
        /// Start of the body.
        excerpt: String,
    },
    /// TLS said no: one side does not accept the other's certificate, or they have no protocol in common.
    #[error(
        "TLS with `{server}` failed: {source}; check the trust anchors, the server's name and this side's certificate"
    )]
    Tls {
        /// Which server.
        server: String,
        /// What TLS said.
        #[source]
        source: rustls::Error,
    },
    /// Nobody answered, or the connection broke: try again later.
    #[error("{what}: {source}; check the address, the network and whether the server runs")]
    Unavailable {
        /// Which server, doing what.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The server's answer cannot be read: another version, or not our server.
    #[error(
        "`{server}` sent an answer that cannot be read: {why}; check that it is a control plane of this version"
    )]
    Malformed {
        /// Which server.
        server: String,
        /// The rule it broke.
        why: String,
    },
    /// The request cannot be written: a fault of this program.
    #[error("request cannot be sent: {0}")]
    Request(String),
    /// The connection cannot carry a channel-bound call.
    #[error(transparent)]
    NoChannelBinding(#[from] NoChannelBinding),
}

impl CallError {
    /// Whether another try, perhaps at another server, may succeed without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            CallError::Unavailable { .. } => true,
            CallError::Status { status, .. } => transient_status(status.as_u16()),
            CallError::Refused(problem) => transient_status(problem.status),
            _ => false,
        }
    }

    pub(super) fn timed_out(what: String, seconds: u64) -> Self {
        let source = io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {seconds} s"));
        CallError::Unavailable { what, source }
    }

    /// Tells a TLS refusal from a broken connection. In TLS 1.3 the server's alert on our certificate arrives only
    /// with the first read (RFC 8446 4.6.2 leaves the client done before), so it hides in an HTTP error.
    pub(super) fn from_transport(
        server: &str,
        doing: &str,
        error: impl Error + Send + Sync + 'static,
    ) -> Self {
        if let Some(source) = tls_error(&error) {
            return CallError::Tls { server: server.to_owned(), source };
        }
        let what = format!("{doing} `{server}` failed");
        CallError::Unavailable { what, source: io::Error::other(describe(&error)) }
    }
}

/// 429, 502, 503, 504: the server is overloaded or on its way up; 500 is a fault that may be gone after a restart.
fn transient_status(status: u16) -> bool {
    matches!(status, 429 | 500 | 502 | 503 | 504)
}

pub(super) fn tls_error(error: &(dyn Error + 'static)) -> Option<rustls::Error> {
    let mut next = Some(error);
    while let Some(e) = next {
        if let Some(tls) = e.downcast_ref::<rustls::Error>() {
            return Some(tls.clone());
        }
        // `io::Error::source` skips the error that it wraps, so look at that one first.
        let inner = e.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(tls) = inner.and_then(|i| i.downcast_ref::<rustls::Error>()) {
            return Some(tls.clone());
        }
        next = e.source();
    }
    None
}

/// The chain of causes in one line: hyper's own text names only the outermost.
fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(e) = next {
        let cause = e.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        next = e.source();
    }
    text
}

fn excerpt_text(excerpt: &str) -> String {
    if excerpt.is_empty() { String::new() } else { format!(": {excerpt}") }
}
