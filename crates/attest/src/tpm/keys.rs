//! Which key is fit for which role: endorsement, attestation and TLS keys by their attributes, and the two
//! endorsement key templates that we ask devices for.
//!
//! A key that fails here is refused before any of its signatures is looked at: an attestation key that is
//! not restricted would sign a quote that an attacker composed. To add a role: one `check_*` function, one
//! row per rule in its test.

use super::structures::{Attributes, Curve, HashAlg, Key, Public, Scheme, Symmetric};

/// PolicySecret(TPM_RH_ENDORSEMENT): TCG EK credential profile, PolicyA for SHA-256.
pub const EK_POLICY_A: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd,
    0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];

/// Attributes of the low-range templates: fixedTPM, fixedParent, sensitiveDataOrigin, adminWithPolicy,
/// restricted, decrypt.
pub const EK_ATTRIBUTES: Attributes = Attributes(0x0003_00B2);

/// Attributes of the attestation key that our agent creates.
pub const AK_ATTRIBUTES: Attributes = HARDWARE
    .with(Attributes::USER_WITH_AUTH)
    .with(Attributes::NO_DA)
    .with(Attributes::RESTRICTED)
    .with(Attributes::SIGN);

/// Attributes of the TLS key that our agent creates.
pub const TLS_ATTRIBUTES: Attributes = HARDWARE.with(Attributes::USER_WITH_AUTH).with(Attributes::SIGN);

/// Made in this TPM, and cannot leave it.
const HARDWARE: Attributes =
    Attributes::FIXED_TPM.with(Attributes::FIXED_PARENT).with(Attributes::SENSITIVE_DATA_ORIGIN);

/// Template L-1: RSA-2048.
pub fn ek_template_rsa2048() -> Public {
    ek_template(Key::Rsa {
        symmetric: Symmetric::AesCfb { bits: 128 },
        scheme: Scheme::Null,
        bits: 2048,
        exponent: 0,
        modulus: vec![0; 256],
    })
}

/// Template L-2: P-256.
pub fn ek_template_p256() -> Public {
    ek_template(Key::Ecc {
        symmetric: Symmetric::AesCfb { bits: 128 },
        scheme: Scheme::Null,
        curve: Curve::P256,
        x: vec![0; 32],
        y: vec![0; 32],
    })
}

fn ek_template(key: Key) -> Public {
    Public { name_alg: HashAlg::Sha256, attributes: EK_ATTRIBUTES, auth_policy: EK_POLICY_A.to_vec(), key }
}

/// Why a key is not fit for its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum KeyFlaw {
    /// An attribute that the role needs is missing.
    #[error("the {role} must have the attribute `{attribute}`")]
    Missing {
        /// Role.
        role: &'static str,
        /// Attribute.
        attribute: &'static str,
    },
    /// An attribute that the role forbids is set.
    #[error("the {role} must not have the attribute `{attribute}`")]
    Forbidden {
        /// Role.
        role: &'static str,
        /// Attribute.
        attribute: &'static str,
    },
    /// The key's scheme does not fit.
    #[error("the {role} has the wrong scheme: {rule}")]
    Scheme {
        /// Role.
        role: &'static str,
        /// The rule, in words.
        rule: &'static str,
    },
}

const NAMES: [(Attributes, &str); 8] = [
    (Attributes::FIXED_TPM, "fixedTPM"),
    (Attributes::FIXED_PARENT, "fixedParent"),
    (Attributes::SENSITIVE_DATA_ORIGIN, "sensitiveDataOrigin"),
    (Attributes::RESTRICTED, "restricted"),
    (Attributes::SIGN, "sign"),
    (Attributes::DECRYPT, "decrypt"),
    (Attributes::ENCRYPTED_DUPLICATION, "encryptedDuplication"),
    (Attributes::ST_CLEAR, "stClear"),
];

fn check(public: &Public, role: &'static str, must: Attributes, never: Attributes) -> Result<(), KeyFlaw> {
    for (bit, attribute) in NAMES {
        if must.contains(bit) && !public.attributes.contains(bit) {
            return Err(KeyFlaw::Missing { role, attribute });
        }
        if never.contains(bit) && public.attributes.contains(bit) {
            return Err(KeyFlaw::Forbidden { role, attribute });
        }
    }
    Ok(())
}

/// An endorsement key: a restricted storage key of this TPM.
pub fn check_ek(public: &Public) -> Result<(), KeyFlaw> {
    let role = "endorsement key";
    let must = HARDWARE.with(Attributes::RESTRICTED).with(Attributes::DECRYPT);
    check(public, role, must, Attributes::SIGN)?;
    if public.symmetric() == Symmetric::Null {
        return Err(KeyFlaw::Scheme { role, rule: "a storage key protects with AES-CFB" });
    }
    // The credential encryption of part 1, 24 names OAEP or ECDH by the key type; a fixed scheme is neither.
    if public.scheme() != Scheme::Null {
        return Err(KeyFlaw::Scheme { role, rule: "a storage key has no scheme of its own" });
    }
    Ok(())
}

/// An attestation key: signs only what the TPM made, and never decrypts.
pub fn check_ak(public: &Public) -> Result<(), KeyFlaw> {
    let role = "attestation key";
    let must = HARDWARE.with(Attributes::RESTRICTED).with(Attributes::SIGN);
    check(public, role, must, Attributes::DECRYPT.with(Attributes::ENCRYPTED_DUPLICATION))?;
    match (&public.key, public.scheme()) {
        (Key::Ecc { curve: Curve::P256, .. }, Scheme::Ecdsa(HashAlg::Sha256))
        | (Key::Ecc { curve: Curve::P384, .. }, Scheme::Ecdsa(HashAlg::Sha384))
        | (Key::Rsa { .. }, Scheme::Rsassa(HashAlg::Sha256)) => Ok(()),
        _ => Err(KeyFlaw::Scheme {
            role,
            rule: "use ECDSA P-256 with SHA-256, P-384 with SHA-384, or RSASSA with SHA-256",
        }),
    }
}

/// A TLS key: signs what the device gives it, made in and bound to this TPM.
pub fn check_tls_key(public: &Public) -> Result<(), KeyFlaw> {
    let role = "TLS key";
    // A TLS 1.3 handshake hash is not TPM-made, so a restricted key could not sign it; a decrypting key
    // would let one key serve two protocols.
    let never = Attributes::RESTRICTED.with(Attributes::DECRYPT).with(Attributes::ENCRYPTED_DUPLICATION);
    check(public, role, HARDWARE.with(Attributes::SIGN), never)?;
    match (&public.key, public.scheme()) {
        (Key::Ecc { .. }, Scheme::Null | Scheme::Ecdsa(_))
        | (Key::Rsa { .. }, Scheme::Null | Scheme::Rsassa(_) | Scheme::Rsapss(_)) => Ok(()),
        _ => Err(KeyFlaw::Scheme { role, rule: "a signing scheme or none" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ecc(attributes: Attributes, scheme: Scheme) -> Public {
        let key = Key::Ecc {
            symmetric: Symmetric::Null,
            scheme,
            curve: Curve::P256,
            x: vec![1; 32],
            y: vec![2; 32],
        };
        Public { name_alg: HashAlg::Sha256, attributes, auth_policy: vec![], key }
    }

    #[test]
    fn keys_of_our_agent_and_templates_are_fit() {
        assert_eq!(check_ek(&ek_template_rsa2048()), Ok(()));
        assert_eq!(check_ek(&ek_template_p256()), Ok(()));
        assert_eq!(check_ak(&ecc(AK_ATTRIBUTES, Scheme::Ecdsa(HashAlg::Sha256))), Ok(()));
        assert_eq!(check_tls_key(&ecc(TLS_ATTRIBUTES, Scheme::Ecdsa(HashAlg::Sha256))), Ok(()));
    }

    // R34
    #[test]
    fn each_missing_or_forbidden_attribute_makes_a_key_unfit() {
        let sig = Scheme::Ecdsa(HashAlg::Sha256);
        for (bit, attribute) in NAMES {
            let without = |all: Attributes| Attributes(all.0 & !bit.0);
            if AK_ATTRIBUTES.contains(bit) {
                let role = "attestation key";
                assert_eq!(
                    check_ak(&ecc(without(AK_ATTRIBUTES), sig)),
                    Err(KeyFlaw::Missing { role, attribute })
                );
            }
            if TLS_ATTRIBUTES.contains(bit) {
                let role = "TLS key";
                assert_eq!(
                    check_tls_key(&ecc(without(TLS_ATTRIBUTES), sig)),
                    Err(KeyFlaw::Missing { role, attribute })
                );
            }
            if EK_ATTRIBUTES.contains(bit) {
                let mut ek = ek_template_p256();
                ek.attributes = without(EK_ATTRIBUTES);
                let role = "endorsement key";
                assert_eq!(check_ek(&ek), Err(KeyFlaw::Missing { role, attribute }));
            }
        }
        let decrypting = ecc(AK_ATTRIBUTES.with(Attributes::DECRYPT), sig);
        assert!(matches!(check_ak(&decrypting), Err(KeyFlaw::Forbidden { attribute: "decrypt", .. })));
        let restricted = ecc(TLS_ATTRIBUTES.with(Attributes::RESTRICTED), sig);
        assert!(matches!(
            check_tls_key(&restricted),
            Err(KeyFlaw::Forbidden { attribute: "restricted", .. })
        ));
        let mut signing = ek_template_p256();
        signing.attributes = EK_ATTRIBUTES.with(Attributes::SIGN);
        assert!(matches!(check_ek(&signing), Err(KeyFlaw::Forbidden { attribute: "sign", .. })));
    }

    #[test]
    fn a_key_with_the_wrong_scheme_is_unfit() {
        for scheme in [Scheme::Null, Scheme::Ecdh(HashAlg::Sha256), Scheme::Ecdsa(HashAlg::Sha384)] {
            assert!(
                matches!(check_ak(&ecc(AK_ATTRIBUTES, scheme)), Err(KeyFlaw::Scheme { .. })),
                "{scheme:?}"
            );
        }
        let ecdh = ecc(TLS_ATTRIBUTES, Scheme::Ecdh(HashAlg::Sha256));
        assert!(matches!(check_tls_key(&ecdh), Err(KeyFlaw::Scheme { .. })));
        let plain = ecc(EK_ATTRIBUTES, Scheme::Null);
        assert!(matches!(check_ek(&plain), Err(KeyFlaw::Scheme { .. })));
    }
}
