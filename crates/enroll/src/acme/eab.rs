//! External account binding (RFC 8555 7.3.4): the new account's key, MACed with an enrollment secret.
//!
//! `kid` is the secret's id and the MAC key is the secret's whole text; clients that want the key in base64url get
//! the base64url of the text. The secret is one-time: the caller records its use with the account.

use aws_lc_rs::hmac;
use serde_json::value::RawValue;

use super::jwk::Jwk;
use super::jws::{KeyReference, Message};
use super::problem::{ErrorType, Problem};
use crate::secret::{Secret, SecretId, SecretProven};

/// Checks the binding of `account_key` in a request that went to `url`; `secret` finds a secret that is still good.
pub(super) fn verify(
    binding: &RawValue,
    account_key: &Jwk,
    url: &str,
    secret: impl FnOnce(SecretId) -> Option<Secret>,
) -> Result<SecretProven, Problem> {
    let refused =
        |text: &str| Problem::new(ErrorType::Unauthorized, format!("externalAccountBinding: {text}"));
    let message = Message::parse(binding.get().as_bytes())?;
    let header = message.header();
    if header.algorithm != "HS256" {
        let text = "externalAccountBinding: `alg` is `HS256`";
        return Err(Problem::new(ErrorType::BadSignatureAlgorithm, text));
    }
    if header.nonce.is_some() {
        return Err(Problem::malformed(
            "externalAccountBinding: it has no nonce of its own (RFC 8555 7.3.4)",
        ));
    }
    if header.url != url {
        return Err(refused("its `url` is not that of the outer request"));
    }
    let KeyReference::Name(kid) = &header.key else {
        return Err(Problem::malformed("externalAccountBinding: `kid` names the enrollment secret"));
    };
    let bound: Jwk = Jwk::read(&message.proven_payload().read("JSON Web Key")?)?;
    if bound.thumbprint() != account_key.thumbprint() {
        return Err(refused("its payload is not the account's key"));
    }
    // One sentence for an unknown, a used, an expired and a wrong secret: ids are not to be tried out.
    let wrong =
        || refused("the enrollment secret is unknown, used or expired, or the MAC is not made with it");
    let id: SecretId = kid.parse().map_err(|_| wrong())?;
    let secret = secret(id).ok_or_else(wrong)?;
    let check = |key: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::verify(&key, message.signed(), message.signature()).is_ok()
    };
    secret.prove_mac(check).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use lanyard_domain::id::StreamId;
    use lanyard_domain::time::Timestamp;

    use super::*;
    use crate::acme::testkit::{ClientKey, eab};
    use crate::secret::SecretKey;

    const URL: &str = "https://ca.hospital.example/acme/new-account";

    fn secret() -> Secret {
        let id = SecretId::from_random([1; 5]);
        SecretKey::new([7; 32]).derive(id, StreamId::from_bytes([2; 16]), Timestamp::from_seconds(3))
    }

    fn run(binding: &str, key: &ClientKey) -> Result<SecretProven, Problem> {
        let binding: Box<RawValue> = serde_json::from_str(binding).unwrap();
        let known = |id| (id == secret().id()).then(secret);
        verify(&binding, &Jwk::parse(&key.jwk()).unwrap(), URL, known)
    }

    fn good(key: &ClientKey) -> String {
        eab(&secret().id().to_string(), secret().reveal(), URL, &key.jwk())
    }

    // R36
    #[test]
    fn whoever_knows_the_secret_binds_an_account() {
        let key = ClientKey::p256();
        assert_eq!(run(&good(&key), &key).unwrap().id(), secret().id());
    }

    // R36
    #[test]
    fn each_rule_of_a_binding_says_no() {
        let key = ClientKey::p256();
        let id = secret().id().to_string();
        let text = secret().reveal().to_owned();
        let other_id = SecretId::from_random([9; 5]).to_string();
        let cases = [
            ("another secret's text", eab(&id, &format!("{text}x"), URL, &key.jwk())),
            ("an unknown secret", eab(&other_id, &text, URL, &key.jwk())),
            ("no id at all", eab("kid", &text, URL, &key.jwk())),
            ("another url", eab(&id, &text, "https://ca.hospital.example/acme/new-order", &key.jwk())),
            ("another account's key", eab(&id, &text, URL, &ClientKey::p256().jwk())),
        ];
        for (what, binding) in cases {
            assert_eq!(run(&binding, &key).unwrap_err().kind(), ErrorType::Unauthorized, "{what}");
        }
        let signed = crate::acme::testkit::jws(&key, &format!(r#""url":"{URL}","kid":"{id}""#), &key.jwk());
        let refused = run(std::str::from_utf8(&signed).unwrap(), &key).unwrap_err();
        assert_eq!(refused.kind(), ErrorType::BadSignatureAlgorithm, "a signature is no MAC");
    }

    // I12
    #[test]
    fn a_flipped_bit_of_a_binding_is_noticed() {
        let key = ClientKey::p256();
        let binding = good(&key);
        for at in 0..binding.len() {
            let mut bad = binding.clone().into_bytes();
            bad[at] ^= 1;
            let Ok(bad) = String::from_utf8(bad) else { continue };
            if serde_json::from_str::<Box<RawValue>>(&bad).is_ok() {
                assert!(run(&bad, &key).is_err(), "byte {at}");
            }
        }
    }
}
