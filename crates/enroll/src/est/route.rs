//! Which operation a path means (RFC 7030 3.2.2), and by which label.
//!
//! `/.well-known/est/{operation}` and `/.well-known/est/{label}/{operation}`; and `/{label}/.well-known/est/{operation}`,
//! because strongSwan puts what stands in its URL before the well-known part and has no other way to name a label.

use std::fmt;
use std::str::FromStr;

use super::error::EstError;

/// Where EST lives (RFC 7030 3.2.2).
pub const PREFIX: &str = "/.well-known/est/";

/// What RFC 7030 lets a client ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// 4.1: the CA certificates.
    CaCerts,
    /// 4.2: a first certificate.
    SimpleEnroll,
    /// 4.2.2: another certificate for who has one.
    SimpleReenroll,
    /// 4.3: the whole of CMC. Not offered.
    FullCmc,
    /// 4.4: a certificate and its key.
    ServerKeygen,
    /// 4.5: what to write into a request.
    CsrAttrs,
}

/// Every operation.
const ALL: [Operation; 6] = [
    Operation::CaCerts,
    Operation::SimpleEnroll,
    Operation::SimpleReenroll,
    Operation::FullCmc,
    Operation::ServerKeygen,
    Operation::CsrAttrs,
];

impl Operation {
    /// The last segment of the path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Operation::CaCerts => "cacerts",
            Operation::SimpleEnroll => "simpleenroll",
            Operation::SimpleReenroll => "simplereenroll",
            Operation::FullCmc => "fullcmc",
            Operation::ServerKeygen => "serverkeygen",
            Operation::CsrAttrs => "csrattrs",
        }
    }

    fn of(segment: &str) -> Option<Self> {
        ALL.into_iter().find(|operation| operation.as_str() == segment)
    }

    /// RFC 7030 3.2.2: the two that only read are GET, all others POST.
    pub(super) fn method(self) -> &'static str {
        match self {
            Operation::CaCerts | Operation::CsrAttrs => "GET",
            _ => "POST",
        }
    }
}

/// The name of a profile as it stands in a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

impl Label {
    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an EST label: use 1 to 64 letters, digits, `.`, `_` and `-`, a letter or digit first, not the name of an operation"
)]
pub struct BadLabel(String);

impl FromStr for Label {
    type Err = BadLabel;

    fn from_str(text: &str) -> Result<Self, BadLabel> {
        // RFC 7030 3.2.2: a label is not an operation path. Nothing that needs percent-encoding: one label, one path.
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && Operation::of(text).is_none();
        if fits { Ok(Self(text.to_owned())) } else { Err(BadLabel(text.chars().take(80).collect())) }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a path means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Under which label; without one the record says which profile.
    pub label: Option<Label>,
    /// What is asked for.
    pub operation: Operation,
}

/// Reads a path, without query. What is not EST's is an error like an operation that does not exist.
pub fn route(path: &str) -> Result<Route, EstError> {
    let unknown = || EstError::NoSuchOperation(path.chars().take(80).collect());
    let (before, after) = path.split_once(PREFIX).ok_or_else(unknown)?;
    let outer = match before {
        "" => None,
        before => Some(before.strip_prefix('/').ok_or_else(unknown)?),
    };
    let (inner, operation) = match after.split_once('/') {
        None => (None, after),
        Some((label, operation)) => (Some(label), operation),
    };
    let operation = Operation::of(operation).ok_or_else(unknown)?;
    let label = match (outer, inner) {
        (Some(_), Some(_)) => return Err(unknown()),
        (outer, inner) => outer.or(inner).map(str::parse).transpose()?,
    };
    Ok(Route { label, operation })
}

/// The path of an operation, for clients.
pub(super) fn path(label: Option<&Label>, operation: Operation) -> String {
    match label {
        Some(label) => format!("{PREFIX}{label}/{}", operation.as_str()),
        None => format!("{PREFIX}{}", operation.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_found_with_and_without_a_label() {
        let label: Label = "infusion-pumps.v2".parse().unwrap();
        for operation in ALL {
            let without = Route { label: None, operation };
            let with = Route { label: Some(label.clone()), operation };
            assert_eq!(route(&path(None, operation)), Ok(without));
            assert_eq!(route(&path(Some(&label), operation)), Ok(with.clone()));
            assert_eq!(route(&format!("/{label}/.well-known/est/{}", operation.as_str())), Ok(with));
        }
    }

    // I12
    #[test]
    fn other_paths_are_not_found() {
        for text in [
            "",
            "/",
            "/.well-known/est",
            "/.well-known/est/",
            "/.well-known/est/cacert",
            "/.well-known/est/CACERTS",
            "/.well-known/est/cacerts/",
            "/.well-known/est//cacerts",
            "/.well-known/est/a/b/cacerts",
            "/.well-known/est/cacerts/cacerts",
            "/.well-known/est/a%2fb/cacerts",
            "/.well-known/est/../cacerts",
            "/a/.well-known/est/b/cacerts",
            "/a/b/.well-known/est/cacerts",
            "a/.well-known/est/cacerts",
            "//.well-known/est/cacerts",
            "/.well-known/acme/cacerts",
        ] {
            assert_eq!(route(text).unwrap_err().status(), 404, "{text}");
        }
        let long = format!("{PREFIX}{}/cacerts", "a".repeat(65));
        assert!(matches!(route(&long), Err(EstError::Label(_))));
    }
}
