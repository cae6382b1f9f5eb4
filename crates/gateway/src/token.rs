//! Access tokens beside plain mutual TLS: a JWT of the control plane, bound to the certificate (RFC 8705 §3).
//!
//! In scope: signature (ES256 only), issuer, audience, times, `cnf`, device, scopes. Out of scope: whether the device is
//! trusted: a token never outlives the verdict, the guard decides again at each request (R56).
//! Any failure is 401 with `WWW-Authenticate` (RFC 6750 §3).

use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use lanyard_api::device::TokenClaims;
use lanyard_domain::id::DeviceId;
use lanyard_domain::record::Scope;
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;

use crate::fhir::outcome::{Issue, Refusal};

/// Longest token: ours have about 700 bytes.
const MAX_TOKEN: usize = 4096;
/// Clocks of control plane and gateway may differ by this.
const SKEW_SECONDS: i64 = 30;
/// Most keys: one in use, one before, one to come, per replica.
const MAX_KEYS: usize = 32;

/// The keys that sign tokens.
#[derive(Clone, Default)]
pub struct TokenKeys {
    keys: Vec<(Option<String>, DecodingKey)>,
}

impl std::fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenKeys({})", self.keys.len())
    }
}

/// Why a key set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadKeys {
    /// Not RFC 7517.
    #[error("not a JWK set: {0}")]
    Json(#[from] serde_json::Error),
    /// A key that cannot verify.
    #[error("a key of the set cannot be used: {0}")]
    Key(#[from] jsonwebtoken::errors::Error),
}

impl TokenKeys {
    /// Keys of a JWK set; an empty text is a set without keys (no token is accepted).
    pub fn from_jwks(text: &str) -> Result<TokenKeys, BadKeys> {
        if text.is_empty() {
            return Ok(TokenKeys::default());
        }
        let set: JwkSet = serde_json::from_str(text)?;
        let usable = |jwk: &&Jwk| matches!(jwk.common.key_algorithm, None | Some(KeyAlgorithm::ES256));
        let keys = set
            .keys
            .iter()
            .filter(usable)
            .take(MAX_KEYS)
            .map(|jwk| Ok((jwk.common.key_id.clone(), DecodingKey::from_jwk(jwk)?)))
            .collect::<Result<_, BadKeys>>()?;
        Ok(TokenKeys { keys })
    }
}

/// What a token must match.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The issuer of the snapshot.
    pub issuer: &'a str,
    /// Our audience.
    pub audience: &'a str,
    /// The device that the certificate names.
    pub device: DeviceId,
    /// Thumbprint of the certificate of this connection.
    pub certificate: &'a Digest,
    /// Now.
    pub now: Timestamp,
}

/// A token that held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// What it allows, at most.
    pub scopes: Vec<Scope>,
    /// When it ends.
    pub expires: Timestamp,
}

/// The bearer token of an `Authorization` header; `None` when there is no header. Fuzz entry point with [`check`].
pub fn bearer(authorization: Option<&[u8]>) -> Result<Option<&str>, Refusal> {
    let Some(value) = authorization else { return Ok(None) };
    let text = std::str::from_utf8(value).map_err(|_| refused("The Authorization header is not ASCII."))?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.len() > MAX_TOKEN {
        return Err(refused("Only bearer tokens of this hospital's token endpoint are accepted."));
    }
    Ok(Some(token))
}

/// Checks a token in full.
pub fn check(token: &str, keys: &TokenKeys, expected: &Expected<'_>) -> Result<Granted, Refusal> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| refused("The token is not a JWT."))?;
    // RFC 8725 3.1: the algorithm is ours to say, not the token's.
    if header.alg != Algorithm::ES256 {
        return Err(refused("The token is not signed with ES256."));
    }
    let named = |(kid, _): &&(Option<String>, DecodingKey)| header.kid.is_none() || *kid == header.kid;
    let mut validation = Validation::new(Algorithm::ES256);
    // Times are checked below, by the gateway's own clock; the others because they are plain comparisons.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let claims = keys
        .keys
        .iter()
        .filter(named)
        .find_map(|(_, key)| jsonwebtoken::decode::<TokenClaims>(token, key, &validation).ok())
        .ok_or_else(|| refused("The token's signature does not verify with the keys of the token endpoint."))?
        .claims;
    claims_hold(&claims, expected)?;
    let scopes = claims
        .scope
        .split_ascii_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|_| refused("The token's scope cannot be read."))?;
    Ok(Granted { scopes, expires: Timestamp::from_seconds(claims.exp) })
}

fn claims_hold(claims: &TokenClaims, expected: &Expected<'_>) -> Result<(), Refusal> {
    let now = expected.now.as_seconds();
    if claims.exp <= now {
        let mut refusal = refused("The token is past its end; fetch a new one.");
        refusal.issue = Issue::Expired;
        return Err(refusal);
    }
    if claims.iat > now.saturating_add(SKEW_SECONDS) {
        return Err(refused("The token was issued in the future; check the clocks."));
    }
    if claims.iss != expected.issuer || claims.aud != expected.audience {
        return Err(refused("The token is from another issuer or for another service."));
    }
    if claims.device != expected.device || claims.sub != expected.device.urn() {
        return Err(refused("The token belongs to another device."));
    }
    // RFC 8705 3.1. Thumbprints are public: no constant time needed.
    let thumbprint = data_encoding::BASE64URL_NOPAD.encode(&expected.certificate.0);
    if claims.cnf.x5t_s256 != thumbprint {
        return Err(refused("The token is bound to another certificate; fetch a new one with this one."));
    }
    Ok(())
}

fn refused(text: &str) -> Refusal {
    Refusal::new(401, Issue::Login, "token_refused", text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use data_encoding::BASE64URL_NOPAD;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use lanyard_api::device::Confirmation;

    const NOW: i64 = 1_795_305_600;

    fn key() -> (EncodingKey, String) {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref();
        let jwks = serde_json::json!({"keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "k1", "use": "sig",
            "x": BASE64URL_NOPAD.encode(&point[1..33]), "y": BASE64URL_NOPAD.encode(&point[33..65]),
        }]});
        (EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()), jwks.to_string())
    }

    fn claims() -> TokenClaims {
        let device = DeviceId::from_random([1; 16]);
        TokenClaims {
            iss: "https://lanyard.example".into(),
            sub: device.urn(),
            device,
            aud: "gw".into(),
            iat: NOW - 10,
            exp: NOW + 290,
            jti: "1".into(),
            scope: "system/Observation.c".into(),
            cnf: Confirmation { x5t_s256: BASE64URL_NOPAD.encode(&[7; 32]) },
        }
    }

    fn header(kid: &str) -> Header {
        Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) }
    }

    fn judge(token: &str, jwks: &str) -> Result<Granted, Refusal> {
        let keys = TokenKeys::from_jwks(jwks).unwrap();
        let expected = Expected {
            issuer: "https://lanyard.example",
            audience: "gw",
            device: DeviceId::from_random([1; 16]),
            certificate: &Digest([7; 32]),
            now: Timestamp::from_seconds(NOW),
        };
        check(token, &keys, &expected)
    }

    // R79, R56
    #[test]
    fn a_token_holds_only_for_its_device_certificate_issuer_audience_and_time() {
        let (key, jwks) = key();
        let sign = |claims: &TokenClaims| encode(&header("k1"), claims, &key).unwrap();
        let granted = judge(&sign(&claims()), &jwks).unwrap();
        assert_eq!(granted.scopes, ["system/Observation.c".parse().unwrap()]);
        type Change = fn(&mut TokenClaims);
        let changes: [(&str, Change); 9] = [
            ("expired", |c| c.exp = NOW),
            ("not yet", |c| c.iat = NOW + 31),
            ("issuer", |c| c.iss = "https://other.example".into()),
            ("audience", |c| c.aud = "other".into()),
            ("device", |c| c.device = DeviceId::from_random([2; 16])),
            ("subject", |c| c.sub = DeviceId::from_random([2; 16]).urn()),
            ("certificate", |c| c.cnf.x5t_s256 = BASE64URL_NOPAD.encode(&[8; 32])),
            ("empty cnf", |c| c.cnf.x5t_s256 = String::new()),
            ("scope", |c| c.scope = "system/*.c".into()),
        ];
        for (name, change) in changes {
            let mut claims = claims();
            change(&mut claims);
            let refusal = judge(&sign(&claims), &jwks).unwrap_err();
            assert_eq!(refusal.status, 401, "{name}");
        }
    }

    #[test]
    fn forged_cut_and_changed_tokens_are_refused() {
        let (signer, jwks) = key();
        let (other, other_jwks) = key();
        let token = encode(&header("k1"), &claims(), &signer).unwrap();
        assert!(judge(&token, &jwks).is_ok());
        assert!(judge(&token, &other_jwks).is_err(), "key of another endpoint");
        assert!(judge(&encode(&header("k1"), &claims(), &other).unwrap(), &jwks).is_err());
        assert!(judge(&encode(&header("k2"), &claims(), &signer).unwrap(), &jwks).is_err(), "unknown kid");
        assert!(judge(&token, "").is_err(), "no keys");
        let hmac = EncodingKey::from_secret(b"x");
        assert!(judge(&encode(&Header::new(Algorithm::HS256), &claims(), &hmac).unwrap(), &jwks).is_err());
        for cut in 0..token.len() {
            assert!(judge(token.get(..cut).unwrap(), &jwks).is_err(), "{cut}");
        }
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(judge(&changed, &jwks).is_err(), "{at}");
            }
        }
    }

    #[test]
    fn only_bearer_tokens_are_looked_at() {
        assert_eq!(bearer(None), Ok(None));
        assert_eq!(bearer(Some(b"Bearer abc")), Ok(Some("abc")));
        for bad in [&b"Basic abc"[..], b"Bearer", b"Bearer ", b"\xff", &[b'B'; 5000]] {
            assert_eq!(bearer(Some(bad)).unwrap_err().status, 401);
        }
    }
}
