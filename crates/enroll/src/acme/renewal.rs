//! ACME renewal information (RFC 9773): when to renew, by certificate.

use std::fmt;
use std::str::FromStr;

use der::Decode;
use lanyard_domain::time::Timestamp;
use serde_json::json;
use x509_cert::Certificate;
use x509_cert::ext::pkix::AuthorityKeyIdentifier;

use super::base64url;
use super::problem::Problem;
use crate::Reply;

/// RFC 5280 4.2.1.2 makes key identifiers of 20 octets, others take up to a SHA-512 digest.
const MAX_KEY_ID: usize = 64;
/// RFC 5280 4.1.2.2: 20 octets, and one for the sign.
const MAX_SERIAL: usize = 21;

/// Which certificate: its issuer's key identifier and its serial number (RFC 9773 4.1).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertId {
    key_id: Vec<u8>,
    /// The content octets of the INTEGER, sign octet included.
    serial: Vec<u8>,
}

impl CertId {
    /// The id of a certificate. None when it has no authority key identifier.
    pub fn of(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let tbs = certificate.tbs_certificate();
        let (_, authority) = tbs.get_extension::<AuthorityKeyIdentifier>().ok()??;
        let key_id = authority.key_identifier?.as_bytes().to_vec();
        Some(Self { key_id, serial: tbs.serial_number().as_bytes().to_vec() })
    }

    /// The issuer's key identifier.
    pub fn key_id(&self) -> &[u8] {
        &self.key_id
    }

    /// The serial number as the certificate writes it (big-endian, with the sign octet where it has one).
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }
}

impl fmt::Display for CertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", base64url::encode(&self.key_id), base64url::encode(&self.serial))
    }
}

impl fmt::Debug for CertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CertId {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let malformed = || {
            Problem::malformed("a certificate is named by `<key identifier>.<serial number>` (RFC 9773 4.1)")
        };
        let (key_id, serial) = text.split_once('.').ok_or_else(malformed)?;
        let key_id = base64url::decode("certID", key_id)?;
        let serial = base64url::decode("certID", serial)?;
        // Shortest form of a positive INTEGER, so that a certificate has one id.
        let positive = match serial.as_slice() {
            [0, second, ..] => *second >= 0x80,
            [first, ..] => *first < 0x80 && *first > 0,
            [] => false,
        };
        if !(1..=MAX_KEY_ID).contains(&key_id.len()) || serial.len() > MAX_SERIAL || !positive {
            return Err(malformed());
        }
        Ok(Self { key_id, serial })
    }
}

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalInfo {
    /// The window begins; in the past means now.
    pub start: Timestamp,
    /// The window ends.
    pub end: Timestamp,
    /// A page that says why, for people.
    pub explanation_url: Option<String>,
    /// When to ask again (RFC 9773 4.3).
    pub retry_after_seconds: u32,
}

impl RenewalInfo {
    pub(super) fn to_reply(&self) -> Reply {
        // RFC 9773 4.2: the end is after the start; a window of no length would be no window.
        let end = if self.end > self.start { self.end } else { self.start.plus_seconds(1) };
        let mut body = json!({
            "suggestedWindow": { "start": rfc3339(self.start), "end": rfc3339(end) },
        });
        if let (Some(url), Some(fields)) = (&self.explanation_url, body.as_object_mut()) {
            fields.insert("explanationURL".into(), json!(url));
        }
        // RFC 9773 4.3.2: clients take anything below a minute for a minute, anything above a day for a day.
        let retry_after = self.retry_after_seconds.clamp(60, 24 * 3600);
        Reply::new(200, "application/json", body.to_string().into_bytes())
            .with("retry-after", retry_after.to_string())
    }
}

/// RFC 3339 with whole seconds: some clients read no fractions.
pub(super) fn rfc3339(at: Timestamp) -> String {
    let (year, month, day, hour, minute, second) = at.civil();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 9773 4.1
    #[test]
    fn the_example_of_the_rfc_is_read_and_written() {
        let id: CertId = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".parse().unwrap();
        assert_eq!(id.serial(), [0, 0x87, 0x65, 0x43, 0x21]);
        assert_eq!(id.key_id()[..4], [0x69, 0x88, 0x5b, 0x6b]);
        assert_eq!(id.to_string(), "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
    }

    // I12
    #[test]
    fn other_texts_name_no_certificate() {
        let long = base64url::encode(&[1; 65]);
        for bad in [
            "",
            ".",
            "AQ",
            "AQ.",
            ".AQ",
            "AQ.AQ.AQ",
            "AQ==.AQ",
            "AQ.AA",
            "AQ.AAE",
            "AQ.gA",
            &format!("{long}.AQ"),
            &format!("AQ.{}", base64url::encode(&[1; 22])),
        ] {
            assert!(bad.parse::<CertId>().is_err(), "{bad}");
        }
    }

    // R44
    #[test]
    fn the_window_is_told_with_when_to_ask_again() {
        let info = RenewalInfo {
            start: "2026-12-01T02:00:00Z".parse().unwrap(),
            end: "2026-12-01T04:00:00.5Z".parse().unwrap(),
            explanation_url: Some("https://lanyard.hospital.example/maintenance".into()),
            retry_after_seconds: 5,
        };
        let reply = info.to_reply();
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(body["suggestedWindow"]["start"], "2026-12-01T02:00:00Z");
        assert_eq!(body["suggestedWindow"]["end"], "2026-12-01T04:00:00Z");
        assert_eq!(body["explanationURL"], "https://lanyard.hospital.example/maintenance");
        assert!(reply.headers.contains(&("retry-after", "60".into())));
        let empty = RenewalInfo { end: info.start, explanation_url: None, ..info }.to_reply();
        let body: serde_json::Value = serde_json::from_slice(&empty.body).unwrap();
        assert_eq!(body["suggestedWindow"]["end"], "2026-12-01T02:00:01Z");
        assert!(body.get("explanationURL").is_none());
    }
}
