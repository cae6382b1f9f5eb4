//! Where a message was sent to: RFC 9811 3.3 puts the profile and RFC 9483 6.1 the operation into the path.

use crate::cmp::message::Kind;

/// The part of the path that all CMP has.
const PREFIX: &str = "/.well-known/cmp";
/// A label is a profile's name.
const MAX_LABEL_CHARS: usize = 64;

/// What a path says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Endpoint {
    /// The certificate profile.
    pub profile: Option<String>,
    /// The operation: then no other is served there.
    pub operation: Option<Operation>,
}

/// An operation that has a path of its own (RFC 9483 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// ir.
    Initialization,
    /// cr.
    Certification,
    /// kur.
    KeyUpdate,
    /// p10cr.
    Pkcs10,
    /// rr.
    Revocation,
    /// genm of one kind each.
    Information,
}

/// A path that is none of CMP's: HTTP 404.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no CMP endpoint: expected /.well-known/cmp[/p/<profile>][/<operation>] (RFC 9811 3.3, RFC 9483 6.1)"
)]
pub struct BadEndpoint;

impl Endpoint {
    /// Reads a path, without query.
    pub fn from_path(path: &str) -> Result<Self, BadEndpoint> {
        let rest = path.strip_prefix(PREFIX).ok_or(BadEndpoint)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.is_empty() {
            return Ok(Self::default());
        }
        let segments: Vec<&str> = rest.strip_prefix('/').ok_or(BadEndpoint)?.split('/').collect();
        match segments.as_slice() {
            ["p", profile] => Ok(Self { profile: Some(label(profile)?), operation: None }),
            ["p", profile, operation] => Ok(Self {
                profile: Some(label(profile)?),
                operation: Some(Operation::from_label(operation).ok_or(BadEndpoint)?),
            }),
            [operation] => Ok(Self {
                profile: None,
                operation: Some(Operation::from_label(operation).ok_or(BadEndpoint)?),
            }),
            _ => Err(BadEndpoint),
        }
    }

    /// Whether such a message may come here. Those that go on with a transaction may come wherever it began.
    pub(super) fn serves(&self, kind: Kind) -> bool {
        let Some(operation) = self.operation else { return true };
        match kind {
            Kind::Ir => operation == Operation::Initialization,
            Kind::Cr => operation == Operation::Certification,
            Kind::Kur => operation == Operation::KeyUpdate,
            Kind::P10cr => operation == Operation::Pkcs10,
            Kind::Rr => operation == Operation::Revocation,
            Kind::Genm => operation == Operation::Information,
            Kind::CertConf | Kind::PollReq | Kind::Error => true,
            _ => false,
        }
    }
}

impl Operation {
    fn from_label(label: &str) -> Option<Self> {
        Some(match label {
            "initialization" => Operation::Initialization,
            "certification" => Operation::Certification,
            "keyupdate" => Operation::KeyUpdate,
            "pkcs10" => Operation::Pkcs10,
            "revocation" => Operation::Revocation,
            "getcacerts" | "getrootupdate" | "getcertreqtemplate" | "getcrls" => Operation::Information,
            _ => return None,
        })
    }
}

/// Unreserved characters of a URI only, so that a label has one spelling and none is percent-encoded.
fn label(text: &str) -> Result<String, BadEndpoint> {
    let fits = (1..=MAX_LABEL_CHARS).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'));
    if fits { Ok(text.to_owned()) } else { Err(BadEndpoint) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_rfc_9811_and_9483_have_them() {
        let at = |path| Endpoint::from_path(path);
        assert_eq!(at("/.well-known/cmp"), Ok(Endpoint::default()));
        assert_eq!(at("/.well-known/cmp/"), Ok(Endpoint::default()));
        let profile = Some("infusion".to_owned());
        assert_eq!(
            at("/.well-known/cmp/p/infusion"),
            Ok(Endpoint { profile: profile.clone(), operation: None })
        );
        let operation = Some(Operation::KeyUpdate);
        assert_eq!(at("/.well-known/cmp/p/infusion/keyupdate"), Ok(Endpoint { profile, operation }));
        assert_eq!(at("/.well-known/cmp/keyupdate"), Ok(Endpoint { profile: None, operation }));
        for bad in [
            "",
            "/cmp",
            "/.well-known/cmpx",
            "/.well-known/cmp/p",
            "/.well-known/cmp/p/",
            "/.well-known/cmp/p//keyupdate",
            "/.well-known/cmp/p/a%2e/keyupdate",
            "/.well-known/cmp/p/a/keyupdate/x",
            "/.well-known/cmp/nested",
            &format!("/.well-known/cmp/p/{}", "a".repeat(65)),
        ] {
            assert_eq!(at(bad), Err(BadEndpoint), "{bad}");
        }
    }

    #[test]
    fn an_operations_path_serves_that_operation_and_what_follows_it() {
        let at = Endpoint::from_path("/.well-known/cmp/revocation").unwrap();
        assert!(at.serves(Kind::Rr) && at.serves(Kind::Error));
        for other in [Kind::Ir, Kind::Cr, Kind::Kur, Kind::P10cr, Kind::Genm, Kind::Ip] {
            assert!(!at.serves(other), "{other:?}");
        }
    }
}
