//! What goes over HTTP: requests as JWS (RFC 8555 6.2), and what is needed of an answer.

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::error::ClientError;
use super::key::AccountKey;
use crate::acme::base64url::encode;

/// The longest answer is a chain of four certificates in PEM, 64 KiB at most.
pub const MAX_ANSWER_BODY: usize = 64 * 1024;
/// A day. A person decides meanwhile; a server that says more is asked the next day.
const LONGEST_RETRY_SECONDS: u32 = 86_400;
/// Servers that say nothing, or a date, are asked at the pace of common clients.
const DEFAULT_RETRY_SECONDS: u32 = 5;
/// Nonces of known servers have 20 to 60 characters; this fits a header line.
const MAX_NONCE: usize = 256;

/// A request to send.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// `GET`, `HEAD` or `POST`.
    pub method: &'static str,
    /// Where, `https://` and of the directory's own host.
    pub url: String,
    /// Header fields; names in lower case.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The body.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outgoing({} {}, {} bytes)", self.method, self.url, self.body.len())
    }
}

impl Outgoing {
    pub(super) fn open(method: &'static str, url: &str) -> Self {
        Self { method, url: url.to_owned(), headers: Vec::new(), body: Vec::new() }
    }
}

/// What the HTTP layer has of an answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answer<'a> {
    /// HTTP status code.
    pub status: u16,
    /// The header's value.
    pub content_type: Option<&'a str>,
    /// The header's value.
    pub location: Option<&'a str>,
    /// The header's value.
    pub replay_nonce: Option<&'a str>,
    /// The header's value.
    pub retry_after: Option<&'a str>,
    /// The whole body, at most [`MAX_ANSWER_BODY`] of it.
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// RFC 9110 10.2.3, the form in seconds. At least one: zero would be a busy loop.
    pub(super) fn retry_after_seconds(&self) -> u32 {
        let seconds = self.retry_after.and_then(|text| text.trim().parse::<u64>().ok());
        let bounded = seconds.map(|s| u32::try_from(s).unwrap_or(u32::MAX).clamp(1, LONGEST_RETRY_SECONDS));
        bounded.unwrap_or(DEFAULT_RETRY_SECONDS)
    }

    /// RFC 8555 6.5.1: base64url, anything else is to be ignored.
    pub(super) fn nonce(&self) -> Option<String> {
        let nonce = self.replay_nonce?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        ((1..=MAX_NONCE).contains(&nonce.len()) && nonce.bytes().all(plain)).then(|| nonce.to_owned())
    }

    /// The body of a success, if it is of the type.
    pub(super) fn content(&self, what: &'static str, expected: &'static str) -> Result<&[u8], ClientError> {
        let found = self.content_type.unwrap_or_default();
        let media_type = found.split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case(expected) {
            return Ok(self.body);
        }
        Err(ClientError::ContentType { what, found: found.chars().take(80).collect(), expected })
    }
}

/// Who signs: a new account by its key, all else by the account's address (RFC 8555 6.2).
#[derive(Clone, Copy)]
pub(super) enum Signer<'a> {
    Key,
    Account(&'a str),
}

/// A signed request; no payload is POST-as-GET.
pub(super) fn post(
    key: &AccountKey,
    signer: Signer<'_>,
    url: &str,
    nonce: &str,
    payload: Option<&Value>,
) -> Result<Outgoing, ClientError> {
    let mut header = json!({ "alg": key.jwk().algorithm(), "nonce": nonce, "url": url });
    if let Some(fields) = header.as_object_mut() {
        match signer {
            Signer::Key => fields.insert("jwk".to_owned(), jwk_value(key)),
            Signer::Account(kid) => fields.insert("kid".to_owned(), json!(kid)),
        };
    }
    let payload = payload.map(Value::to_string).unwrap_or_default();
    let body = flattened(&header, payload.as_bytes(), |message| key.sign(message))?;
    Ok(Outgoing {
        method: "POST",
        url: url.to_owned(),
        headers: vec![("content-type", "application/jose+json")],
        body: body.to_string().into_bytes(),
    })
}

/// RFC 8555 7.3.4: the account's key under the MAC of the secret.
pub(super) fn binding(
    key: &AccountKey,
    kid: &str,
    secret: &Zeroizing<Vec<u8>>,
    url: &str,
) -> Result<Value, ClientError> {
    let header = json!({ "alg": "HS256", "kid": kid, "url": url });
    let mac = hmac::Key::new(hmac::HMAC_SHA256, secret);
    flattened(&header, key.jwk().canonical().as_bytes(), |message| {
        Ok(hmac::sign(&mac, message).as_ref().to_vec())
    })
}

fn jwk_value(key: &AccountKey) -> Value {
    serde_json::from_str(&key.jwk().canonical()).unwrap_or_default()
}

fn flattened(
    header: &Value,
    payload: &[u8],
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, ClientError>,
) -> Result<Value, ClientError> {
    let (protected, payload) = (encode(header.to_string().as_bytes()), encode(payload));
    let signature = sign(format!("{protected}.{payload}").as_bytes())?;
    Ok(json!({ "protected": protected, "payload": payload, "signature": encode(&signature) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    // I12
    #[test]
    fn pauses_are_bounded_and_odd_nonces_are_not_used() {
        for (text, expected) in [
            (Some("0"), 1),
            (Some(" 7 "), 7),
            (Some("99999999999999999999"), DEFAULT_RETRY_SECONDS),
            (Some("4294967296"), LONGEST_RETRY_SECONDS),
            (Some("-1"), DEFAULT_RETRY_SECONDS),
            (Some("Fri, 27 Nov 2026 08:00:00 GMT"), DEFAULT_RETRY_SECONDS),
            (None, DEFAULT_RETRY_SECONDS),
        ] {
            let answer = Answer { retry_after: text, ..Answer::default() };
            assert_eq!(answer.retry_after_seconds(), expected, "{text:?}");
        }
        let long = "a".repeat(MAX_NONCE + 1);
        for (text, good) in [("aZ0-_", true), ("", false), ("a b", false), ("a\"", false), (&long, false)] {
            let answer = Answer { replay_nonce: Some(text), ..Answer::default() };
            assert_eq!(answer.nonce().is_some(), good, "{text}");
        }
    }
}
