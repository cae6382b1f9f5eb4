//! device-attest-01 (device attestation draft 5): the proof comes with the response.

use lanyard_attest::webauthn::{AttestationObject, AttestedKey, Expected, Trust, verify as verify_statement};
use lanyard_domain::time::Timestamp;
use serde::Deserialize;

use crate::acme::base64url;
use crate::acme::identifier::Identifier;
use crate::acme::jws::Payload;
use crate::acme::problem::{ErrorType, Problem};

/// The response. Other fields are ignored, as the draft asks.
#[derive(Deserialize)]
struct Response {
    #[serde(rename = "attObj")]
    attestation: Option<String>,
    /// What a client sends that could not attest.
    error: Option<serde::de::IgnoredAny>,
}

/// Checks the three steps of the draft: the statement, what it answers, and whose it is. A problem of type
/// `badAttestationStatement` makes the challenge invalid; one of another type does not (the response was not one).
pub(in crate::acme) fn verify(
    payload: &Payload,
    identifier: &Identifier,
    token: &str,
    key_authorization: &str,
    trust: &Trust,
    now: Timestamp,
) -> Result<Box<AttestedKey>, Problem> {
    let response: Response = payload.read("device-attest-01 response")?;
    if response.error.is_some() {
        return Err(bad("the client could not attest, by its own word"));
    }
    let text = response
        .attestation
        .ok_or_else(|| Problem::malformed("the response to device-attest-01 is `{\"attObj\": ...}`"))?;
    let object = base64url::decode("attObj", &text).map_err(|p| bad(p.detail()))?;
    let object = AttestationObject::parse(&object).map_err(|e| bad(&e.to_string()))?;
    let expected = Expected::acme(token, key_authorization);
    let key = verify_statement(&object, &expected, trust, now).map_err(|e| bad(&e.to_string()))?;
    let claims = key.claims();
    let is_the_same = match identifier {
        Identifier::Permanent { value, assigner } => claims.has_permanent(value, assigner.as_ref()),
        Identifier::Module { serial, kind } => claims.has_module(serial, kind),
        Identifier::Dns(_) | Identifier::Ip(_) => false,
    };
    if !is_the_same {
        // Not which device it is: the draft's 7.2.
        let text = if claims.is_empty() {
            "the statement does not say which device it is of"
        } else {
            "the statement is of another device than the order names"
        };
        return Err(bad(text).about(identifier.clone(), ErrorType::RejectedIdentifier, text));
    }
    Ok(Box::new(key))
}

fn bad(detail: &str) -> Problem {
    Problem::new(ErrorType::BadAttestationStatement, detail)
}
