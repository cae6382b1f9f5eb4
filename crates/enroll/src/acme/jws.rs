//! ACME's messages: JWS in flattened JSON form (RFC 7515 7.2.2) under the rules of RFC 8555 6.2 to 6.4.
//!
//! [`Message::parse`] reads and bounds; the signature is checked where the key is known, and only then does a
//! message give its payload away ([`Message::verify`] returns it).

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::base64url::decode;
use super::jwk::{ALGORITHMS, Jwk, RawJwk};
use super::problem::{ErrorType, Problem};

/// An attestation object of 32 KiB is 44 KiB as base64url in its JSON and 58 KiB as payload; header with an RSA-8192
/// key and signature take 4 KiB more.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// A URL of ours has below 200 characters, a foreign `kid` of an EAB 41.
const MAX_TEXT: usize = 512;

/// The three parts, as they stand. `header` (unprotected) and `signatures` (general form) are refused by name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flattened {
    protected: String,
    payload: String,
    signature: String,
}

#[derive(Deserialize)]
struct RawHeader {
    alg: String,
    nonce: Option<String>,
    url: String,
    kid: Option<String>,
    jwk: Option<RawJwk>,
    crit: Option<serde::de::IgnoredAny>,
    b64: Option<serde::de::IgnoredAny>,
}

/// Which key a message says it is signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyReference {
    /// The key itself (`jwk`).
    Key(Box<Jwk>),
    /// A name (`kid`).
    Name(String),
}

/// The protected header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protected {
    pub(super) algorithm: String,
    pub(super) nonce: Option<String>,
    pub(super) url: String,
    pub(super) key: KeyReference,
}

/// A message whose signature was not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    header: Protected,
    payload: Vec<u8>,
    signed: String,
    signature: Vec<u8>,
}

impl Message {
    /// Reads a message. Fuzz entry point.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        if body.len() > MAX_BODY_BYTES {
            let text = format!("the body has {} bytes, at most {MAX_BODY_BYTES} are read", body.len());
            return Err(Problem::malformed(text).status(413));
        }
        let parts: Flattened = serde_json::from_slice(body).map_err(|_| {
            let text =
                "the body is not a JWS in flattened JSON form with `protected`, `payload` and `signature`";
            Problem::malformed(text)
        })?;
        Self::from_parts(parts)
    }

    fn from_parts(parts: Flattened) -> Result<Self, Problem> {
        let header: RawHeader = serde_json::from_slice(&decode("protected", &parts.protected)?)
            .map_err(|_| Problem::malformed("`protected` is not a JSON object with `alg` and `url`"))?;
        // RFC 7515 4.1.11: what must be understood and is not, ends it. RFC 7797: `b64` would be such a one.
        if header.crit.is_some() || header.b64.is_some() {
            return Err(Problem::malformed("`crit` and `b64` are not used in ACME"));
        }
        let texts = [Some(&header.url), header.nonce.as_ref(), header.kid.as_ref()];
        if texts.iter().flatten().any(|t| t.len() > MAX_TEXT) {
            return Err(Problem::malformed(format!(
                "`url`, `nonce` and `kid` have at most {MAX_TEXT} bytes"
            )));
        }
        // RFC 8555 6.2: one of the two, never both.
        let key = match (header.jwk, header.kid) {
            (Some(raw), None) => KeyReference::Key(Box::new(Jwk::read(&raw)?)),
            (None, Some(kid)) => KeyReference::Name(kid),
            _ => return Err(Problem::malformed("`protected` has either `jwk` or `kid` (RFC 8555 6.2)")),
        };
        let payload = decode("payload", &parts.payload)?;
        let signature = decode("signature", &parts.signature)?;
        Ok(Self {
            header: Protected { algorithm: header.alg, nonce: header.nonce, url: header.url, key },
            payload,
            signed: format!("{}.{}", parts.protected, parts.payload),
            signature,
        })
    }

    /// The header, not proven yet.
    pub fn header(&self) -> &Protected {
        &self.header
    }

    /// What the signature is over.
    pub(super) fn signed(&self) -> &[u8] {
        self.signed.as_bytes()
    }

    pub(super) fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Checks the signature with `key` and gives the payload.
    pub(super) fn verify(&self, key: &Jwk) -> Result<Payload, Problem> {
        if !ALGORITHMS.contains(&self.header.algorithm.as_str()) {
            let text = format!("`alg` is none of {}", ALGORITHMS.join(", "));
            return Err(Problem::new(ErrorType::BadSignatureAlgorithm, text));
        }
        key.verify(&self.header.algorithm, self.signed(), &self.signature)?;
        Ok(Payload(self.payload.clone()))
    }

    /// The payload of a message that a MAC proved ([`super::eab`]).
    pub(super) fn proven_payload(&self) -> Payload {
        Payload(self.payload.clone())
    }
}

/// A payload that whoever it says has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payload(Vec<u8>);

impl Payload {
    /// RFC 8555 6.3: POST-as-GET has the empty payload.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The payload as what it should be.
    pub(super) fn read<T: DeserializeOwned>(&self, what: &str) -> Result<T, Problem> {
        serde_json::from_slice(&self.0).map_err(|e| {
            // Line and column, not the text: serde_json would quote what it found.
            Problem::malformed(format!(
                "the payload is not a {what}: line {} column {}",
                e.line(),
                e.column()
            ))
        })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acme::testkit::{ClientKey, jws};

    const URL: &str = "https://ca.hospital.example/acme/new-account";

    fn good(key: &ClientKey) -> Vec<u8> {
        jws(key, &format!(r#""nonce":"n","url":"{URL}","jwk":{}"#, key.jwk()), "{}")
    }

    fn accepted(body: &[u8]) -> bool {
        Message::parse(body).is_ok_and(|m| match &m.header().key {
            KeyReference::Key(key) => m.verify(key).is_ok(),
            KeyReference::Name(_) => false,
        })
    }

    #[test]
    fn a_message_of_each_kind_of_key_gives_its_payload() {
        for key in ClientKey::all() {
            let message = Message::parse(&good(&key)).unwrap();
            let KeyReference::Key(jwk) = &message.header().key else { panic!() };
            let payload = message.verify(jwk).unwrap();
            assert_eq!((payload.bytes(), payload.is_empty()), (&b"{}"[..], false));
            assert_eq!(message.header().url, URL);
        }
    }

    // I12
    #[test]
    fn a_cut_or_flipped_message_is_never_accepted() {
        let body = good(&ClientKey::p256());
        for n in 0..body.len() {
            assert!(!accepted(&body[..n]), "cut to {n}");
            for bit in 0..8 {
                let mut bad = body.clone();
                bad[n] ^= 1 << bit;
                assert!(!accepted(&bad), "bit {bit} of byte {n}");
            }
        }
        assert!(!accepted(&[&body[..], b"x"].concat()));
    }

    // RFC 8555 6.2, rule by rule.
    #[test]
    fn each_rule_of_the_header_says_no() {
        let key = ClientKey::p256();
        let jwk = key.jwk();
        let with = |header: &str| Message::parse(&jws(&key, header, "{}"));
        for (what, header) in [
            ("neither jwk nor kid", r#""url":"u""#.to_owned()),
            ("both", format!(r#""url":"u","kid":"k","jwk":{jwk}"#)),
            ("no url", format!(r#""jwk":{jwk}"#)),
            ("crit", format!(r#""url":"u","crit":["exp"],"jwk":{jwk}"#)),
            ("b64", format!(r#""url":"u","b64":false,"jwk":{jwk}"#)),
            ("url twice", format!(r#""url":"u","url":"v","jwk":{jwk}"#)),
            ("a long url", format!(r#""url":"{}","jwk":{jwk}"#, "u".repeat(513))),
        ] {
            assert!(with(&header).is_err(), "{what}");
        }
        assert!(with(&format!(r#""url":"u","typ":"x","jwk":{jwk}"#)).is_ok(), "unknown members are ignored");
    }

    #[test]
    fn other_forms_of_jws_are_refused() {
        let body = String::from_utf8(good(&ClientKey::p256())).unwrap();
        for (what, bad) in [
            ("an unprotected header", body.replacen('{', r#"{"header":{},"#, 1)),
            ("the general form", body.replacen('{', r#"{"signatures":[],"#, 1)),
            ("the compact form", "a.b.c".to_owned()),
            ("a payload twice", body.replacen('{', r#"{"payload":"","#, 1)),
            ("padding", body.replacen(r#""payload":"e30""#, r#""payload":"e30=""#, 1)),
            ("nothing", String::new()),
        ] {
            assert_ne!(bad, body, "{what}");
            assert!(Message::parse(bad.as_bytes()).is_err(), "{what}");
        }
        let long = Message::parse(&vec![b' '; MAX_BODY_BYTES + 1]).unwrap_err();
        assert_eq!(long.to_reply().status, 413);
    }

    #[test]
    fn an_algorithm_that_is_not_offered_is_answered_with_those_that_are() {
        let key = ClientKey::p256();
        let body = String::from_utf8(good(&key)).unwrap();
        let header = super::super::base64url::encode(
            format!(r#"{{"alg":"none","url":"u","jwk":{}}}"#, key.jwk()).as_bytes(),
        );
        let (before, rest) = body.split_once(r#""protected":""#).unwrap();
        let (_, after) = rest.split_once('"').unwrap();
        let body = format!(r#"{before}"protected":"{header}"{after}"#);
        let message = Message::parse(body.as_bytes()).unwrap();
        let KeyReference::Key(jwk) = &message.header().key else { panic!() };
        assert_eq!(message.verify(jwk).unwrap_err().kind(), ErrorType::BadSignatureAlgorithm);
    }
}
