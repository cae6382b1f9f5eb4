//! The key that signs access tokens (JWT, ES256) and its public form.

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use lanyard_api::device::{Confirmation, TOKEN_AUDIENCE, TokenClaims};
use lanyard_control::digest::{random, sha256};
use lanyard_control::token::TokenPermit;
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;

/// The signing key. Lost: gateways refuse tokens until they have heard of the new one, within a second. Rolled back:
/// nothing, tokens live five minutes. Written by an attacker: they can make tokens, which still act only together with
/// the device's own TLS key.
pub struct TokenKey {
    encoding: EncodingKey,
    kid: String,
    jwks: String,
    issuer: String,
}

/// Why no token could be made.
#[derive(Debug, thiserror::Error)]
pub enum TokenFault {
    /// The key cannot be read.
    #[error("the token key cannot be used: {0}")]
    Key(String),
    /// Signing failed.
    #[error(transparent)]
    Jwt(#[from] jsonwebtoken::errors::Error),
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] lanyard_control::digest::NoRandomness),
}

impl TokenKey {
    /// A new P-256 key, PKCS#8.
    pub fn generate() -> Result<Vec<u8>, TokenFault> {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
        let rng = aws_lc_rs::rand::SystemRandom::new();
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng)
            .map(|document| document.as_ref().to_vec())
            .map_err(|e| TokenFault::Key(e.to_string()))
    }

    /// A key from PKCS#8; `issuer` goes into every token.
    pub fn new(pkcs8: &[u8], issuer: &str) -> Result<Self, TokenFault> {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .map_err(|e| TokenFault::Key(e.to_string()))?;
        // Uncompressed point: 0x04, x, y (SEC 1 2.3.3).
        let point = pair.public_key().as_ref();
        let coordinates = point.strip_prefix(&[4]).filter(|p| p.len() == 64);
        let (x, y) = coordinates
            .and_then(|p| p.split_at_checked(32))
            .ok_or_else(|| TokenFault::Key("the public key is not a P-256 point".to_owned()))?;
        let kid: String = sha256(point).to_string().chars().take(16).collect();
        let jwks = serde_json::json!({"keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
            "x": BASE64URL_NOPAD.encode(x), "y": BASE64URL_NOPAD.encode(y),
        }]})
        .to_string();
        Ok(Self { encoding: EncodingKey::from_ec_der(pkcs8), kid, jwks, issuer: issuer.to_owned() })
    }

    /// RFC 7517 key set.
    pub fn jwks(&self) -> &str {
        &self.jwks
    }

    /// Issuer claim.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Signs a token for what was permitted, bound to the certificate (RFC 8705 3.1).
    pub fn sign(
        &self,
        permit: &TokenPermit,
        certificate: &Digest,
        now: Timestamp,
    ) -> Result<String, TokenFault> {
        let scopes: Vec<String> = permit.scopes.iter().map(ToString::to_string).collect();
        let claims = TokenClaims {
            iss: self.issuer.clone(),
            sub: permit.device.urn(),
            device: permit.device,
            aud: TOKEN_AUDIENCE.to_owned(),
            iat: now.as_seconds(),
            exp: permit.expires.as_seconds(),
            jti: BASE64URL_NOPAD.encode(&random::<16>()?),
            scope: scopes.join(" "),
            cnf: Confirmation { x5t_s256: BASE64URL_NOPAD.encode(&certificate.0) },
        };
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(self.kid.clone());
        Ok(encode(&header, &claims, &self.encoding)?)
    }
}
