//! Names that go into certificates: DNS names and organization names, validated once at the door.
//!
//! Lower case only, no wildcards: one name has one spelling, and a certificate names exactly one thing (R46).

use std::fmt;
use std::str::FromStr;

/// Why a text cannot stand in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Not a host name.
    #[error("`{found}` is not a DNS name: {rule}")]
    Dns {
        /// The text, cut to 80 characters.
        found: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// Not an organization name.
    #[error("`{found}` is not an organization name: {rule}")]
    Organization {
        /// The text, cut to 80 characters.
        found: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
}

/// A host name in lower-case letters, digits and hyphens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(String);

impl DnsName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DnsName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = |rule| Err(BadName::Dns { found: text.chars().take(80).collect(), rule });
        // RFC 1035 2.3.4: 255 octets on the wire leave 253 characters.
        if text.len() > 253 {
            return bad("at most 253 characters (RFC 1035 2.3.4)");
        }
        for label in text.split('.') {
            if label.is_empty() || label.len() > 63 {
                return bad("labels have 1 to 63 characters (RFC 1035 2.3.4)");
            }
            if !label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
                return bad("use lower-case letters, digits and hyphens only, no wildcard");
            }
            if label.starts_with('-') || label.ends_with('-') {
                return bad("a label neither starts nor ends with a hyphen");
            }
        }
        // RFC 1123 2.1: a name whose last label is all digits would read as an address.
        if text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
            return bad("the last label is not all digits; give addresses as addresses");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The hospital group as it stands in every subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization(String);

impl Organization {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Organization {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = |rule| Err(BadName::Organization { found: text.chars().take(80).collect(), rule });
        // RFC 5280 appendix A.1: ub-organization-name is 64.
        if text.is_empty() || text.chars().count() > 64 {
            return bad("1 to 64 characters (RFC 5280 ub-organization-name)");
        }
        if text.chars().any(char::is_control) {
            return bad("no control characters");
        }
        if text.trim() != text {
            return bad("no space at either end");
        }
        Ok(Self(text.to_owned()))
    }
}

/// What all certificates of one installation have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// The `O` of every subject.
    pub organization: Organization,
    /// The domain under which machine names are made: `<id>.device.<domain>`.
    pub domain: DnsName,
}

impl Naming {
    /// Both names, checked; the domain leaves room for the longest name we put before it.
    pub fn new(organization: &str, domain: &str) -> Result<Self, BadName> {
        // `<36 characters>.application.` is 49 characters; 253 - 49 = 204.
        if domain.len() > 204 {
            return Err(BadName::Dns {
                found: domain.chars().take(80).collect(),
                rule: "at most 204 characters, so that `<id>.application.<domain>` still fits",
            });
        }
        Ok(Self { organization: organization.parse()?, domain: domain.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_second_meaning_are_refused() {
        for text in [
            "",
            ".",
            "a..b",
            "*.example",
            "Upper.example",
            "a_b",
            "-a",
            "a-",
            "10.0.0.1",
            "a.1",
            "a\0b",
            "ä.de",
        ] {
            assert!(text.parse::<DnsName>().is_err(), "{text}");
        }
        for text in ["localhost", "gw-1.north.example", "x1.y2"] {
            assert!(text.parse::<DnsName>().is_ok(), "{text}");
        }
        assert!("a".repeat(64).parse::<DnsName>().is_err());
    }

    #[test]
    fn organization_names_are_bounded() {
        assert!("St. Mary's Hospital Group".parse::<Organization>().is_ok());
        for text in ["", " a", "a\n", &"x".repeat(65)] {
            assert!(text.parse::<Organization>().is_err(), "{text:?}");
        }
        assert!(Naming::new("A", &format!("{}.example", "a.".repeat(105))).is_err());
    }
}
