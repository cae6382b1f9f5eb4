//! Identifiers of an order: `dns`, `ip` (RFC 8738), `permanent-identifier` and `hardware-module` (device attestation
//! draft, 3 and 4).

use std::fmt;
use std::net::IpAddr;

use der::asn1::ObjectIdentifier;
use lanyard_pki::name::DnsName;
use serde_json::{Value, json};

/// RFC 4043 has no limit; 255 octets are longer than any serial number seen.
const MAX_SERIAL: usize = 255;
/// A dotted OID of 20 arcs.
const MAX_OID: usize = 128;

/// What a certificate is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identifier {
    /// A DNS name.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// RFC 4043: a device by its maker's serial number.
    Permanent {
        /// The serial number, octet for octet.
        value: String,
        /// Who assigned it.
        assigner: Option<ObjectIdentifier>,
    },
    /// RFC 4108: a security chip by its type and serial number.
    Module {
        /// The serial number, octet for octet.
        serial: String,
        /// hwType.
        kind: ObjectIdentifier,
    },
}

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadIdentifier {
    /// A type that is not offered.
    #[error("identifiers are of type `dns`, `ip`, `permanent-identifier` or `hardware-module`")]
    Type,
    /// A value that breaks a rule of its type.
    #[error("`{kind}` identifier: {rule}")]
    Value {
        /// The type.
        kind: &'static str,
        /// The rule.
        rule: String,
    },
}

const DNS: &str = "dns";
const IP: &str = "ip";
const PERMANENT: &str = "permanent-identifier";
const MODULE: &str = "hardware-module";

impl Identifier {
    /// Reads type and value.
    pub fn parse(kind: &str, value: &str) -> Result<Self, BadIdentifier> {
        match kind {
            DNS => {
                let bad = |rule: String| BadIdentifier::Value { kind: DNS, rule };
                if value.starts_with("*.") {
                    return Err(bad(
                        "wildcards are not issued: a certificate names machines one by one".into()
                    ));
                }
                // RFC 8555 7.1.4 asks for lower case; DnsName takes nothing else.
                let name: DnsName = value.parse().map_err(|e| bad(format!("{e}")))?;
                Ok(Self::Dns(name.to_string()))
            }
            IP => {
                let bad = || BadIdentifier::Value { kind: IP, rule: "not an address".into() };
                let address: IpAddr = value.parse().map_err(|_| bad())?;
                // RFC 8738 3: the form of RFC 5952, so that one address has one text.
                if address.to_string() == value { Ok(Self::Ip(address)) } else { Err(bad()) }
            }
            PERMANENT => {
                let (serial, oid) = split(PERMANENT, value)?;
                Ok(Self::Permanent { value: serial, assigner: oid })
            }
            MODULE => {
                let (serial, oid) = split(MODULE, value)?;
                let rule = "it is `serial/type`, with the type's object identifier (draft, 4.1)".to_owned();
                let kind = oid.ok_or(BadIdentifier::Value { kind: MODULE, rule })?;
                Ok(Self::Module { serial, kind })
            }
            _ => Err(BadIdentifier::Type),
        }
    }

    /// Its type.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Dns(_) => DNS,
            Self::Ip(_) => IP,
            Self::Permanent { .. } => PERMANENT,
            Self::Module { .. } => MODULE,
        }
    }

    /// Whether it names a device and not an address.
    pub const fn is_device(&self) -> bool {
        matches!(self, Self::Permanent { .. } | Self::Module { .. })
    }

    pub(super) fn to_json(&self) -> Value {
        json!({ "type": self.kind(), "value": self.to_string() })
    }
}

/// The value, as it stands in an order.
impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => write!(f, "{address}"),
            Self::Permanent { value, assigner: None } => f.write_str(value),
            Self::Permanent { value, assigner: Some(oid) } => write!(f, "{value}/{oid}"),
            Self::Module { serial, kind } => write!(f, "{serial}/{kind}"),
        }
    }
}

/// Draft, 3.1 and 4.1: no `/` in the serial number, an object identifier behind one.
fn split(kind: &'static str, value: &str) -> Result<(String, Option<ObjectIdentifier>), BadIdentifier> {
    let bad = |rule: &str| BadIdentifier::Value { kind, rule: rule.to_owned() };
    let (serial, oid) = match value.split_once('/') {
        None => (value, None),
        Some((serial, oid)) => (serial, Some(oid)),
    };
    if !(1..=MAX_SERIAL).contains(&serial.len()) {
        return Err(bad("its serial number has 1 to 255 bytes"));
    }
    // The draft's grammar lets control characters pass; a line of a log or a label would not.
    if serial.chars().any(char::is_control) {
        return Err(bad("its serial number has no control characters"));
    }
    let Some(oid) = oid else { return Ok((serial.to_owned(), None)) };
    let parsed = if oid.len() <= MAX_OID { ObjectIdentifier::new(oid).ok() } else { None };
    // One object identifier has one text.
    let parsed = parsed.filter(|p| p.to_string() == oid);
    let rule = "behind the `/` stands an object identifier in dotted decimals";
    Ok((serial.to_owned(), Some(parsed.ok_or(bad(rule))?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_the_same() {
        for (kind, value) in [
            ("dns", "pacs.hospital.example"),
            ("ip", "10.1.2.3"),
            ("ip", "2001:db8::1"),
            ("permanent-identifier", "ABCDEF123456"),
            ("permanent-identifier", "ABCDEF123456/1.2.3.4"),
            ("permanent-identifier", "Gerät 7"),
            ("hardware-module", "ABCD/1.2.3.4"),
            ("hardware-module", "0102/2.23.133.1.2"),
        ] {
            let identifier = Identifier::parse(kind, value).unwrap();
            assert_eq!((identifier.kind(), identifier.to_string()), (kind, value.to_owned()));
        }
    }

    #[test]
    fn what_breaks_a_rule_is_not_an_identifier() {
        let long = "x".repeat(256);
        let long_oid = format!("a/1.2{}", ".1".repeat(70));
        for (kind, value) in [
            ("email", "a@b"),
            ("", ""),
            ("dns", ""),
            ("dns", "*.hospital.example"),
            ("dns", "PACS.hospital.example"),
            ("dns", "10.1.2.3"),
            ("ip", "10.1.2"),
            ("ip", "010.1.2.3"),
            ("ip", "2001:db8:0:0:0:0:0:1"),
            ("ip", "2001:DB8::1"),
            ("permanent-identifier", ""),
            ("permanent-identifier", "/1.2.3"),
            ("permanent-identifier", "a/"),
            ("permanent-identifier", "a/b"),
            ("permanent-identifier", "a/1.2.3/4"),
            ("permanent-identifier", "a/1.02.3"),
            ("permanent-identifier", "a/3.2.3"),
            ("permanent-identifier", "a/1.40.3"),
            ("permanent-identifier", "a\nb"),
            ("permanent-identifier", &long),
            ("permanent-identifier", &long_oid),
            ("hardware-module", "ABCD"),
            ("hardware-module", "/1.2.3"),
        ] {
            assert!(Identifier::parse(kind, value).is_err(), "{kind} {value}");
        }
    }
}
