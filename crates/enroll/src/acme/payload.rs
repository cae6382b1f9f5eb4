//! What clients send inside of their messages, as types. Members that are not known are ignored (RFC 8555 7.3).

use serde::Deserialize;
use serde_json::value::RawValue;

use super::account::check_contacts;
use super::base64url;
use super::identifier::{BadIdentifier, Identifier};
use super::jwk::{Jwk, RawJwk};
use super::jws::Payload;
use super::problem::{ErrorType, Problem};
use super::renewal::CertId;

/// A gateway of a site has a handful of names.
pub(super) const MAX_IDENTIFIERS: usize = 16;
/// A device, and the chip in it; each authorization may hold a statement of 32 KiB.
const MAX_DEVICE_IDENTIFIERS: usize = 2;
/// Profile names are file names.
const MAX_PROFILE: usize = 64;

/// newAccount (RFC 8555 7.3).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewAccount {
    #[serde(default)]
    pub contact: Vec<String>,
    #[serde(default)]
    pub only_return_existing: bool,
    pub external_account_binding: Option<Box<RawValue>>,
}

/// An account's own resource (RFC 8555 7.3.2, 7.3.6).
#[derive(Deserialize)]
pub(super) struct AccountUpdate {
    pub contact: Option<Vec<String>>,
    pub status: Option<String>,
}

/// An authorization's own resource (RFC 8555 7.5.2).
#[derive(Deserialize)]
pub(super) struct AuthorizationUpdate {
    pub status: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawNewOrder {
    identifiers: Vec<RawIdentifier>,
    not_before: Option<serde::de::IgnoredAny>,
    not_after: Option<serde::de::IgnoredAny>,
    replaces: Option<String>,
    profile: Option<String>,
}

#[derive(Deserialize)]
struct RawIdentifier {
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

#[derive(Deserialize)]
struct RawFinalize {
    csr: String,
}

#[derive(Deserialize)]
struct RawRevoke {
    certificate: String,
    reason: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawKeyChange {
    account: String,
    old_key: RawJwk,
}

/// newOrder (RFC 8555 7.4), checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// What the certificate is for, each once, at least one.
    pub identifiers: Vec<Identifier>,
    /// The profile that is asked for.
    pub profile: Option<String>,
    /// The certificate that this one takes the place of.
    pub replaces: Option<CertId>,
}

impl NewOrder {
    /// Reads the payload's JSON. Fuzz entry point.
    pub fn parse(json: &[u8]) -> Result<Self, Problem> {
        let raw: RawNewOrder = serde_json::from_slice(json)
            .map_err(|e| Problem::malformed(format!("the payload is not an order: column {}", e.column())))?;
        Self::check(raw)
    }

    pub(super) fn read(payload: &Payload) -> Result<Self, Problem> {
        Self::parse(payload.bytes())
    }

    fn check(raw: RawNewOrder) -> Result<Self, Problem> {
        // RFC 8555 7.4: what cannot be fulfilled is refused, not dropped.
        if raw.not_before.is_some() || raw.not_after.is_some() {
            let text = "`notBefore` and `notAfter` cannot be asked for: the profile sets the validity";
            return Err(Problem::malformed(text));
        }
        if !(1..=MAX_IDENTIFIERS).contains(&raw.identifiers.len()) {
            return Err(Problem::malformed(format!("an order has 1 to {MAX_IDENTIFIERS} identifiers")));
        }
        let mut identifiers = Vec::with_capacity(raw.identifiers.len());
        for one in &raw.identifiers {
            let found = Identifier::parse(&one.kind, &one.value).map_err(refusal)?;
            if identifiers.contains(&found) {
                return Err(Problem::malformed("an order has each identifier once"));
            }
            identifiers.push(found);
        }
        if identifiers.iter().filter(|i| i.is_device()).count() > MAX_DEVICE_IDENTIFIERS {
            return Err(Problem::malformed("an order is for one device: its own identifier and its chip's"));
        }
        if raw.profile.as_ref().is_some_and(|p| p.len() > MAX_PROFILE) {
            return Err(Problem::new(ErrorType::InvalidProfile, "no profile has so long a name"));
        }
        let replaces = raw.replaces.map(|text| text.parse()).transpose()?;
        Ok(Self { identifiers, profile: raw.profile, replaces })
    }
}

fn refusal(error: BadIdentifier) -> Problem {
    let kind = match &error {
        BadIdentifier::Type => ErrorType::UnsupportedIdentifier,
        // Device attestation draft 3.1: an identifier that breaks the grammar is `malformed`.
        BadIdentifier::Value { kind: "permanent-identifier" | "hardware-module", .. } => ErrorType::Malformed,
        BadIdentifier::Value { .. } => ErrorType::RejectedIdentifier,
    };
    Problem::new(kind, error.to_string())
}

impl NewAccount {
    pub(super) fn read(payload: &Payload) -> Result<Self, Problem> {
        let out: Self = payload.read("new account")?;
        check_contacts(&out.contact)?;
        Ok(out)
    }
}

/// The DER certificate request of finalize (RFC 8555 7.4).
pub(super) fn certificate_request(payload: &Payload) -> Result<Vec<u8>, Problem> {
    let raw: RawFinalize = payload.read("finalize request")?;
    base64url::decode("csr", &raw.csr)
}

/// Certificate and reason of revokeCert (RFC 8555 7.6).
pub(super) fn revocation(payload: &Payload) -> Result<(Vec<u8>, u8), Problem> {
    let raw: RawRevoke = payload.read("revocation request")?;
    let reason = raw.reason.unwrap_or(0);
    // RFC 5280 5.3.1. What only we may say: 2 and 10 are of authorities, 6 and 8 of lists, 7 is unused.
    if !matches!(reason, 0 | 1 | 3 | 4 | 5 | 9) {
        let text = "`reason` is one of 0, 1, 3, 4, 5 and 9 (RFC 5280 5.3.1)";
        return Err(Problem::new(ErrorType::BadRevocationReason, text));
    }
    let reason = u8::try_from(reason).unwrap_or(0);
    Ok((base64url::decode("certificate", &raw.certificate)?, reason))
}

/// Account URL and old key of keyChange's inner message (RFC 8555 7.3.5).
pub(super) fn key_change(payload: &Payload) -> Result<(String, Jwk), Problem> {
    let raw: RawKeyChange = payload.read("key change")?;
    Ok((raw.account, Jwk::read(&raw.old_key)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(json: &str) -> ErrorType {
        NewOrder::parse(json.as_bytes()).unwrap_err().kind()
    }

    #[test]
    fn an_order_is_read_with_its_extensions() {
        let order = NewOrder::parse(
            br#"{"identifiers":[{"type":"permanent-identifier","value":"SN-1"},
                {"type":"hardware-module","value":"M/1.2.3"}],"profile":"infusion",
                "replaces":"aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE","whatever":1}"#,
        )
        .unwrap();
        assert_eq!(order.identifiers.len(), 2);
        assert_eq!(order.profile.as_deref(), Some("infusion"));
        assert_eq!(order.replaces.unwrap().to_string(), "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
    }

    // I12
    #[test]
    fn each_rule_of_an_order_says_no() {
        let dns = |n: usize| format!(r#"{{"type":"dns","value":"a{n}.example"}}"#);
        let order = |list: &[String], more: &str| format!(r#"{{"identifiers":[{}]{more}}}"#, list.join(","));
        let device = |n: usize| format!(r#"{{"type":"permanent-identifier","value":"SN{n}"}}"#);
        for (json, expected) in [
            ("".to_owned(), ErrorType::Malformed),
            ("[]".into(), ErrorType::Malformed),
            ("{}".into(), ErrorType::Malformed),
            (order(&[], ""), ErrorType::Malformed),
            (order(&(0..17).map(dns).collect::<Vec<_>>(), ""), ErrorType::Malformed),
            (order(&[dns(1), dns(1)], ""), ErrorType::Malformed),
            (order(&(0..3).map(device).collect::<Vec<_>>(), ""), ErrorType::Malformed),
            (order(&[dns(1)], r#","notAfter":"2027-01-01T00:00:00Z""#), ErrorType::Malformed),
            (order(&[dns(1)], r#","notBefore":"2027-01-01T00:00:00Z""#), ErrorType::Malformed),
            (order(&[dns(1)], r#","replaces":"x""#), ErrorType::Malformed),
            (order(&[dns(1)], &format!(r#","profile":"{}""#, "p".repeat(65))), ErrorType::InvalidProfile),
            (order(&[r#"{"type":"email","value":"a@b"}"#.into()], ""), ErrorType::UnsupportedIdentifier),
            (order(&[r#"{"type":"dns","value":"*.example"}"#.into()], ""), ErrorType::RejectedIdentifier),
            (order(&[r#"{"type":"hardware-module","value":"M"}"#.into()], ""), ErrorType::Malformed),
            (format!("{}1{}", "[".repeat(5000), "]".repeat(5000)), ErrorType::Malformed),
        ] {
            assert_eq!(kind(&json), expected, "{json:.80}");
        }
        let good = order(&[dns(1)], "");
        for n in 0..good.len() {
            assert!(NewOrder::parse(&good.as_bytes()[..n]).is_err(), "{n}");
        }
    }
}
