//! Exit codes: what scripts branch on. They are part of the interface (`lanyard --help` and README list them).
//!
//! Each error reaches `main` as an `anyhow::Error`; [`code_of`] looks through its causes for the first one that says who
//! must act. To add a cause: an arm in [`judge`].

use std::error::Error;
use std::fmt;

use lanyard_agent::AgentError;
use lanyard_agent::tpm::TpmError;
use lanyard_api::client::{BadServer, CallError};
use lanyard_api::signing::KeyFileError;
use lanyard_domain::id::BadId;
use lanyard_domain::text::FieldError;
use lanyard_domain::time::BadTime;
use lanyard_enroll::offline::FileError;
use lanyard_pki::key::passphrase::PassphraseError;
use lanyard_pki::key::shares::SharesError;
use lanyard_server::config::ConfigError;
use lanyard_store::CheckError;

/// How the program ends when it did not do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// A rule said no; asking again the same way gives the same answer.
    Refused = 1,
    /// The command, a file or a value is wrong; nothing was asked of anyone.
    Usage = 2,
    /// Nobody answered, or not now; try again later.
    Unreachable = 3,
    /// Evidence is contradicted, a log does not check, or a server is not the pinned one.
    Contradicted = 4,
    /// A fault of this program or of the machine that it runs on.
    Internal = 5,
}

/// An error that knows its exit code.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    text: String,
}

impl Failure {
    /// A rule said no.
    pub fn refused(text: impl Into<String>) -> anyhow::Error {
        Self { exit: Exit::Refused, text: text.into() }.into()
    }
    /// The caller must write something else.
    pub fn usage(text: impl Into<String>) -> anyhow::Error {
        Self { exit: Exit::Usage, text: text.into() }.into()
    }
    /// Try again later.
    pub fn unreachable(text: impl Into<String>) -> anyhow::Error {
        Self { exit: Exit::Unreachable, text: text.into() }.into()
    }
    /// A check failed.
    pub fn contradicted(text: impl Into<String>) -> anyhow::Error {
        Self { exit: Exit::Contradicted, text: text.into() }.into()
    }
    /// This program or machine failed.
    pub fn internal(text: impl Into<String>) -> anyhow::Error {
        Self { exit: Exit::Internal, text: text.into() }.into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Failure {}

/// The exit code of an error: that of its outermost cause that has one.
pub fn code_of(error: &anyhow::Error) -> Exit {
    error.chain().find_map(judge).unwrap_or(Exit::Internal)
}

/// The error and its causes in one line; a cause that its effect has told already is not told twice.
pub fn in_words(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let words = cause.to_string();
        if text.is_empty() {
            text = words;
        } else if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
    }
    text
}

fn judge(cause: &(dyn Error + 'static)) -> Option<Exit> {
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return Some(failure.exit);
    }
    if let Some(call) = cause.downcast_ref::<CallError>() {
        return Some(of_call(call));
    }
    if let Some(agent) = cause.downcast_ref::<AgentError>() {
        return Some(of_agent(agent));
    }
    if let Some(check) = cause.downcast_ref::<CheckError>() {
        return Some(match check {
            CheckError::Difference(_) | CheckError::Anchor(_) => Exit::Contradicted,
            CheckError::NoLog(_) => Exit::Usage,
            CheckError::Sqlite(_) => Exit::Internal,
        });
    }
    let usage = cause.is::<FieldError>()
        || cause.is::<BadServer>()
        || cause.is::<BadId>()
        || cause.is::<BadTime>()
        || cause.is::<ConfigError>()
        || cause.is::<KeyFileError>()
        || cause.is::<PassphraseError>()
        || cause.is::<SharesError>();
    usage.then_some(Exit::Usage)
}

fn of_call(error: &CallError) -> Exit {
    match error {
        transient if transient.is_transient() => Exit::Unreachable,
        CallError::Refused(problem) if problem.status >= 500 => Exit::Internal,
        CallError::Refused(_) | CallError::Status { .. } => Exit::Refused,
        // An alert is the other side's no to us; any other TLS error is our no to them.
        CallError::Tls { source: rustls::Error::AlertReceived(_), .. } => Exit::Refused,
        CallError::Tls { .. } => Exit::Contradicted,
        _ => Exit::Internal,
    }
}

fn of_agent(error: &AgentError) -> Exit {
    match error {
        AgentError::Call(call) => of_call(call),
        AgentError::Unasked(why) => of_agent(why),
        AgentError::TurnedAway { .. } => Exit::Refused,
        AgentError::Pending { .. } | AgentError::Busy { .. } => Exit::Unreachable,
        AgentError::Acme(error) if error.is_refusal() => Exit::Refused,
        AgentError::Acme(error) if error.is_temporary() => Exit::Unreachable,
        AgentError::Secret(_) | AgentError::Attestation(_) | AgentError::NoFront => Exit::Usage,
        AgentError::Token(_) | AgentError::NotEnrolled => Exit::Refused,
        AgentError::Config(_) | AgentError::Measure(_) | AgentError::NothingKept => Exit::Usage,
        // Another signer than the pinned one, or somebody changed what it signed.
        AgentError::File(FileError::Signature | FileError::Signer(_) | FileError::NotControlPlane(_)) => {
            Exit::Contradicted
        }
        AgentError::File(_) => Exit::Usage,
        AgentError::FileExpired { .. }
        | AgentError::NotAwaited
        | AgentError::OtherRequest
        | AgentError::Answer(_)
        | AgentError::Root(TpmError::CredentialMismatch) => Exit::Refused,
        AgentError::Root(TpmError::Unavailable(_) | TpmError::Locked(_)) => Exit::Unreachable,
        AgentError::Root(TpmError::NotFound(_) | TpmError::KeyNotOfThisTpm(_)) => Exit::Usage,
        _ => Exit::Internal,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use lanyard_api::problem::Problem;

    use super::*;

    fn refused(status: u16) -> CallError {
        CallError::Refused(Problem::new(status, "code", "title", "detail"))
    }

    #[test]
    fn each_cause_has_its_exit_code_however_deep_it_lies() {
        let unreachable = std::io::Error::other("refused");
        let cases: Vec<(anyhow::Error, Exit)> = vec![
            (refused(403).into(), Exit::Refused),
            (refused(409).into(), Exit::Refused),
            (refused(503).into(), Exit::Unreachable),
            (CallError::Unavailable { what: "x".into(), source: unreachable }.into(), Exit::Unreachable),
            (
                CallError::Tls { server: "s".into(), source: rustls::Error::DecryptError }.into(),
                Exit::Contradicted,
            ),
            (FieldError::new("site", "rule", "found").into(), Exit::Usage),
            (
                "x".parse::<lanyard_api::client::Server>()
                    .map(|_| ())
                    .err()
                    .map_or_else(|| Failure::usage("x is an address"), anyhow::Error::from),
                Exit::Usage,
            ),
            (AgentError::NotEnrolled.into(), Exit::Refused),
            (Failure::contradicted("leaf 3"), Exit::Contradicted),
            (anyhow::anyhow!("surprise"), Exit::Internal),
        ];
        for (error, exit) in cases {
            let text = error.to_string();
            assert_eq!(code_of(&error), exit, "{text}");
            let deeper = Err::<(), _>(error).context("while doing something").unwrap_err();
            assert_eq!(code_of(&deeper), exit, "{text}, deeper");
        }
    }

    #[test]
    fn a_cause_is_told_once() {
        let inner = std::io::Error::other("connection refused");
        let call = CallError::Unavailable { what: "connecting to `x:1` failed".into(), source: inner };
        let error = anyhow::Error::from(call).context("cannot log in");
        let text = in_words(&error);
        assert_eq!(text.matches("connection refused").count(), 1, "{text}");
        assert!(text.starts_with("cannot log in: connecting to `x:1` failed"), "{text}");
    }

    #[test]
    fn codes_are_those_of_the_readme() {
        for (exit, code) in [
            (Exit::Refused, 1),
            (Exit::Usage, 2),
            (Exit::Unreachable, 3),
            (Exit::Contradicted, 4),
            (Exit::Internal, 5),
        ] {
            assert_eq!(exit as u8, code);
        }
    }
}
