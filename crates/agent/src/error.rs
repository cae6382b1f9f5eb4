//! Why the agent could not do something, sorted by who must act: the network (try again), the control plane's people
//! (refused), or this device's people (the rest).

use std::io;
use std::path::PathBuf;

use lanyard_api::client::CallError;
use lanyard_api::device::TokenError;
use lanyard_api::exporter::NoChannelBinding;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::acme::client::ClientError;
use lanyard_enroll::offline::FileError;

use crate::config::ConfigError;
use crate::measure::MeasureError;
use crate::protocol::Protocol;
use crate::tpm::TpmError;

/// Why a step of the agent failed.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The configuration breaks a rule.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The root of trust.
    #[error(transparent)]
    Root(#[from] TpmError),
    /// The measurements.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// The control plane.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The token endpoint's own form of refusal (RFC 6749 5.2).
    #[error("token refused: `{}`, {}", .0.error, .0.error_description)]
    Token(TokenError),
    /// The state directory.
    #[error("cannot access `{path}`: {source}")]
    State {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A state file that cannot be read: it is not used and not overwritten.
    #[error("`{path}` is damaged: {why}; move it away to enroll afresh with the same hardware key")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// The rule it breaks.
        why: String,
    },
    /// The control plane answered something that does not fit what was asked.
    #[error("the control plane's answer does not fit: {0}; nothing was changed")]
    Answer(String),
    /// The certificate request could not be made.
    #[error("{0}")]
    Csr(String),
    /// Asked for something that needs an identity.
    #[error("this device has no identity yet; enroll it first")]
    NotEnrolled,
    /// A file that was carried here, or is to be carried.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file that comes too late.
    #[error(
        "the {what} was good until {expires}, now it is {now}: get a new one, or set this device's clock"
    )]
    FileExpired {
        /// Which file.
        what: &'static str,
        /// Its end.
        expires: Timestamp,
        /// This device's time.
        now: Timestamp,
    },
    /// A response, and nothing was asked.
    #[error(
        "no request of this device waits for a response: it was accepted already, or made on another device"
    )]
    NotAwaited,
    /// A response to something else.
    #[error(
        "this response answers another request than the last one of this device: carry the right file, or ask again"
    )]
    OtherRequest,
    /// Files need a memory between two runs.
    #[error(
        "requests by file need `state_dir` in the agent's configuration: what waits for a response is kept there"
    )]
    NothingKept,
    /// An enrollment by a standard protocol waits for a person; ask again, with what is kept in `pending.json`.
    #[error("{protocol}: waiting, ask again in {retry_after_seconds} s: {why}")]
    Pending {
        /// By which protocol.
        protocol: Protocol,
        /// When to ask again.
        retry_after_seconds: u32,
        /// What is waited for, in the server's words.
        why: String,
    },
    /// The server cannot now.
    #[error("{protocol}: the server cannot now, ask again in {retry_after_seconds} s: {why}")]
    Busy {
        /// By which protocol.
        protocol: Protocol,
        /// When to ask again.
        retry_after_seconds: u32,
        /// The server's words.
        why: String,
    },
    /// The server said no.
    #[error("{protocol}: refused: {why}")]
    TurnedAway {
        /// By which protocol.
        protocol: Protocol,
        /// The server's words.
        why: String,
    },
    /// An answer that is not what the protocol says, or not believed.
    #[error("{protocol}: {why}; nothing was changed")]
    Odd {
        /// By which protocol.
        protocol: Protocol,
        /// The rule it breaks.
        why: String,
    },
    /// ACME, in the engine's words.
    #[error("acme: {0}")]
    Acme(#[from] ClientError),
    /// A one-time secret is missing or cannot be one.
    #[error("enrollment secret: {0}")]
    Secret(&'static str),
    /// The maker's certificate of the attestation key.
    #[error("attestation certificates: {0}")]
    Attestation(String),
    /// The certificate is installed, and its first use failed.
    #[error(
        "the certificate is here, but where the device stands could not be asked: {0}; `lanyard agent attest` asks again"
    )]
    Unasked(#[source] Box<AgentError>),
    /// No server for the protocol is configured.
    #[error(
        "the configuration names no `enrollment.servers`: add where the hospital serves EST, ACME and CMP"
    )]
    NoFront,
    /// A task of this program ended before its work was done.
    #[error("the agent is stopping")]
    Stopping,
}

/// How the run loop takes a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// The way or the server is down: back off and try again, at another server if there is one.
    Retry,
    /// An answer: it is reported, and asked again at the usual pace.
    Wait,
}

impl AgentError {
    /// How the run loop takes it.
    pub fn reaction(&self) -> Reaction {
        match self {
            AgentError::Call(call) if call.is_transient() => Reaction::Retry,
            AgentError::Busy { .. } => Reaction::Retry,
            AgentError::Unasked(why) => why.reaction(),
            AgentError::Acme(error) if error.is_temporary() => Reaction::Retry,
            // A full disk or a busy TPM passes.
            AgentError::State { .. } | AgentError::Root(TpmError::Unavailable(_) | TpmError::Locked(_)) => {
                Reaction::Retry
            }
            _ => Reaction::Wait,
        }
    }

    /// The code of its refusal, if the control plane gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            AgentError::Call(CallError::Refused(problem)) => Some(problem.code()),
            _ => None,
        }
    }

    /// When the other side wants to be asked again, if it said so.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            AgentError::Pending { retry_after_seconds, .. } => Some(*retry_after_seconds),
            _ => None,
        }
    }

    /// Whether the control plane said no.
    pub fn is_refusal(&self) -> bool {
        // An alert is the other side's no to our certificate; other TLS errors are our no to theirs.
        let alert = |e: &rustls::Error| matches!(e, rustls::Error::AlertReceived(_));
        match self {
            AgentError::Token(_) | AgentError::TurnedAway { .. } => true,
            AgentError::Acme(error) => error.is_refusal(),
            AgentError::Call(CallError::Tls { source, .. }) => alert(source),
            AgentError::Call(call @ CallError::Refused(_)) => !call.is_transient(),
            _ => false,
        }
    }
}

impl From<NoChannelBinding> for AgentError {
    fn from(missing: NoChannelBinding) -> Self {
        AgentError::Call(missing.into())
    }
}
