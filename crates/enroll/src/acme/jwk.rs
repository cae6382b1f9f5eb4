//! JSON Web Keys (RFC 7517, 7518) of accounts: read, refused when weak, written in the form of their thumbprint.

use aws_lc_rs::signature::{self, UnparsedPublicKey};
use der::asn1::{Any, BitString, ObjectIdentifier, UintRef};
use der::{Encode, Sequence};
use lanyard_pki::spki::PublicKey;
use serde::Deserialize;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use super::base64url::{decode, encode};
use super::problem::{ErrorType, Problem};

/// What `alg` of an account may be (RFC 7518 3.1, RFC 8037 3.1).
pub(super) const ALGORITHMS: [&str; 4] = ["ES256", "ES384", "EdDSA", "RS256"];

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// An account's key.
#[derive(Clone, PartialEq, Eq)]
pub struct Jwk {
    parameters: Parameters,
    spki: PublicKey,
    thumbprint: [u8; 32],
}

#[derive(Clone, PartialEq, Eq)]
enum Parameters {
    P256([u8; 64]),
    P384([u8; 96]),
    Ed25519([u8; 32]),
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
}

/// As it stands in JSON. Members that say nothing about the key (`alg`, `use`, `kid`) are ignored.
#[derive(Debug, Deserialize)]
pub(super) struct RawJwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    d: Option<serde::de::IgnoredAny>,
}

impl std::fmt::Debug for Jwk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Jwk({:?}, {})", self.spki.kind(), encode(&self.thumbprint))
    }
}

impl Jwk {
    /// Reads a key in JSON, as a client sends it or as [`Self::canonical`] wrote it.
    pub fn parse(json: &str) -> Result<Self, Problem> {
        let raw = serde_json::from_str(json)
            .map_err(|_| Problem::malformed("`jwk` is not a JSON Web Key (RFC 7517 4)"))?;
        Self::read(&raw)
    }

    pub(super) fn read(raw: &RawJwk) -> Result<Self, Problem> {
        if raw.d.is_some() {
            return Err(Problem::malformed(
                "`jwk` holds a private key: send the public one, and make a new key",
            ));
        }
        let member = |name: &'static str, value: &Option<String>| {
            let text =
                value.as_deref().ok_or_else(|| Problem::malformed(format!("`jwk` has no `{name}`")))?;
            decode(name, text)
        };
        let parameters = match (raw.kty.as_str(), raw.crv.as_deref()) {
            ("EC", Some("P-256")) => Parameters::P256(point(member("x", &raw.x)?, member("y", &raw.y)?)?),
            ("EC", Some("P-384")) => Parameters::P384(point(member("x", &raw.x)?, member("y", &raw.y)?)?),
            ("OKP", Some("Ed25519")) => {
                let x = member("x", &raw.x)?.try_into();
                Parameters::Ed25519(x.map_err(|_| Problem::malformed("`x` of an Ed25519 key has 32 bytes"))?)
            }
            ("RSA", None) => {
                Parameters::Rsa { modulus: member("n", &raw.n)?, exponent: member("e", &raw.e)? }
            }
            _ => {
                let text = "use a P-256, P-384, Ed25519 or RSA key (`kty`, `crv`)";
                return Err(Problem::new(ErrorType::BadPublicKey, text));
            }
        };
        if let Parameters::Rsa { modulus, exponent } = &parameters {
            // RFC 7518 2, Base64urlUInt: the fewest octets.
            if [modulus, exponent].iter().any(|i| i.first().is_none_or(|b| *b == 0)) {
                return Err(Problem::malformed("`n` and `e` have no leading zeros (RFC 7518 2)"));
            }
        }
        let spki = spki_der(&parameters).map_err(|_| {
            Problem::new(ErrorType::BadPublicKey, "the key cannot be written as X.509 writes keys")
        })?;
        let spki =
            PublicKey::parse(&spki).map_err(|e| Problem::new(ErrorType::BadPublicKey, e.to_string()))?;
        let thumbprint = super::digest::sha256(canonical(&parameters).as_bytes());
        Ok(Self { parameters, spki, thumbprint })
    }

    /// RFC 7638 3: the members that make the key, in order, without spaces. What to store.
    pub fn canonical(&self) -> String {
        canonical(&self.parameters)
    }

    /// SHA-256 of it.
    pub fn thumbprint(&self) -> [u8; 32] {
        self.thumbprint
    }

    /// The thumbprint as it stands in key authorizations.
    pub fn thumbprint_text(&self) -> String {
        encode(&self.thumbprint)
    }

    /// The same key as X.509 writes it.
    pub fn public_key(&self) -> &PublicKey {
        &self.spki
    }

    /// The one algorithm with which this key signs.
    pub const fn algorithm(&self) -> &'static str {
        match self.parameters {
            Parameters::P256(_) => "ES256",
            Parameters::P384(_) => "ES384",
            Parameters::Ed25519(_) => "EdDSA",
            Parameters::Rsa { .. } => "RS256",
        }
    }

    /// Checks a JWS signature (RFC 7518 3.3, 3.4; RFC 8037 3.1): ECDSA stands as r and s, not as DER.
    pub(super) fn verify(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> Result<(), Problem> {
        if algorithm != self.algorithm() {
            let text = format!("`alg` of this key is `{}`", self.algorithm());
            return Err(Problem::new(ErrorType::BadSignatureAlgorithm, text));
        }
        let outcome = match &self.parameters {
            Parameters::P256(point) => {
                let point = [&[4][..], point].concat();
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Parameters::P384(point) => {
                let point = [&[4][..], point].concat();
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point).verify(message, signature)
            }
            Parameters::Ed25519(x) => {
                UnparsedPublicKey::new(&signature::ED25519, x).verify(message, signature)
            }
            Parameters::Rsa { modulus, exponent } => {
                let key = signature::RsaPublicKeyComponents { n: modulus, e: exponent };
                key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
        };
        outcome
            .map_err(|_| Problem::malformed("the JWS signature does not verify with the key that it names"))
    }
}

fn point<const N: usize>(x: Vec<u8>, y: Vec<u8>) -> Result<[u8; N], Problem> {
    // RFC 7518 6.2.1.2: both have the full length of the field, so one key has one spelling.
    let whole = x.len() == N / 2 && y.len() == N / 2;
    let both: Result<[u8; N], _> = [x, y].concat().try_into();
    both.ok().filter(|_| whole).ok_or_else(|| {
        Problem::malformed(format!("`x` and `y` have {} bytes each (RFC 7518 6.2.1.2)", N / 2))
    })
}

fn canonical(parameters: &Parameters) -> String {
    let ec = |crv: &str, point: &[u8]| {
        let (x, y) = point.split_at_checked(point.len() / 2).unwrap_or_default();
        format!(r#"{{"crv":"{crv}","kty":"EC","x":"{}","y":"{}"}}"#, encode(x), encode(y))
    };
    match parameters {
        Parameters::P256(point) => ec("P-256", point),
        Parameters::P384(point) => ec("P-384", point),
        Parameters::Ed25519(x) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, encode(x)),
        Parameters::Rsa { modulus, exponent } => {
            format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, encode(exponent), encode(modulus))
        }
    }
}

#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

fn spki_der(parameters: &Parameters) -> der::Result<Vec<u8>> {
    let uncompressed = |point: &[u8]| [&[4], point].concat();
    let (oid, parameter, bits) = match parameters {
        Parameters::P256(point) => (EC_PUBLIC_KEY, Some(Any::encode_from(&P256)?), uncompressed(point)),
        Parameters::P384(point) => (EC_PUBLIC_KEY, Some(Any::encode_from(&P384)?), uncompressed(point)),
        Parameters::Ed25519(x) => (ED25519, None, x.to_vec()),
        Parameters::Rsa { modulus, exponent } => {
            let key = RsaPublicKey { modulus: UintRef::new(modulus)?, exponent: UintRef::new(exponent)? };
            (RSA_ENCRYPTION, Some(Any::null()), key.to_der()?)
        }
    };
    SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned { oid, parameters: parameter },
        subject_public_key: BitString::from_bytes(&bits)?,
    }
    .to_der()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acme::testkit::ClientKey;

    // RFC 7638 3.1
    const RFC7638: &str = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;

    #[test]
    fn the_thumbprint_of_rfc_7638_is_found() {
        let jwk = Jwk::parse(RFC7638).unwrap();
        assert_eq!(jwk.thumbprint_text(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert_eq!(Jwk::parse(&jwk.canonical()).unwrap(), jwk);
    }

    // RFC 8037 A.3
    #[test]
    fn the_thumbprint_of_rfc_8037_is_found() {
        let jwk =
            Jwk::parse(r#"{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#);
        assert_eq!(jwk.unwrap().thumbprint_text(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    // RFC 8037 A.4 and A.5
    #[test]
    fn the_signature_of_rfc_8037_verifies() {
        let jwk =
            Jwk::parse(r#"{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#)
                .unwrap();
        let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = decode(
            "signature",
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        )
        .unwrap();
        assert!(jwk.verify("EdDSA", message, &signature).is_ok());
        assert!(jwk.verify("EdDSA", b"other", &signature).is_err());
    }

    #[test]
    fn each_kind_of_key_signs_with_its_own_algorithm() {
        for key in ClientKey::all() {
            let jwk = Jwk::parse(&key.jwk()).unwrap();
            let signature = key.sign(b"message");
            assert!(jwk.verify(key.algorithm(), b"message", &signature).is_ok(), "{jwk:?}");
            for other in NAMES_TO_TRY {
                let outcome = jwk.verify(other, b"message", &signature);
                assert_eq!(outcome.is_ok(), *other == key.algorithm(), "{jwk:?} {other}");
            }
            assert!(jwk.verify(key.algorithm(), b"message", &signature[1..]).is_err());
            assert_eq!(Jwk::parse(&jwk.canonical()).unwrap(), jwk);
        }
    }

    const NAMES_TO_TRY: &[&str] = &["ES256", "ES384", "EdDSA", "RS256", "none", "HS256", "RS1", "es256", ""];

    #[test]
    fn weak_odd_and_private_keys_are_refused() {
        let p256 = ClientKey::p256().jwk();
        for (what, json) in [
            ("not JSON", "{".to_owned()),
            ("no kty", "{}".into()),
            ("a symmetric key", r#"{"kty":"oct","k":"AAAA"}"#.into()),
            ("another curve", p256.replace("P-256", "P-521")),
            ("the other curve", p256.replace("P-256", "P-384")),
            ("no y", r#"{"kty":"EC","crv":"P-256","x":"AA"}"#.into()),
            ("short coordinates", r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#.into()),
            ("a private key", p256.replace('}', r#","d":"AA"}"#)),
            ("RSA with a curve", RFC7638.replace(r#""e""#, r#""crv":"P-256","e""#)),
            ("exponent 3", RFC7638.replace("AQAB", "Aw")),
            ("a leading zero", RFC7638.replace("AQAB", "AAEAAQ")),
            ("1024 bits", format!(r#"{{"kty":"RSA","e":"AQAB","n":"{}"}}"#, encode(&[0xc1; 128]))),
            ("a member twice", p256.replace('}', r#","kty":"EC"}"#)),
        ] {
            assert!(Jwk::parse(&json).is_err(), "{what}");
        }
    }
}
