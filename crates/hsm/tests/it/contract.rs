//! The one contract suite of key backends, on a token.

use std::time::Duration;

use lanyard_hsm::{Config, Hsm, HsmError};
use lanyard_pki::key::{KeyBackend, KeyKind, contract};

use crate::place::{PIN, TOKEN, alone, p11_kit_client, pin};

/// What SoftHSM2 2.6 has: all but ML-DSA.
const KINDS: [KeyKind; 6] =
    [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519, KeyKind::Rsa2048, KeyKind::Rsa3072, KeyKind::Rsa4096];

// R35
#[test]
fn a_token_keeps_the_contract_and_its_keys() {
    alone(module_path!(), "a_token_keeps_the_contract_and_its_keys", |place| {
        let hsm = place.open();
        assert_eq!(hsm.kinds(), KINDS);
        assert_eq!(contract::check_kinds(&hsm, "contract", &KINDS), Ok(()));
        let listed = hsm.list().unwrap();
        drop(hsm);
        // A second backend on the same token knows nothing from before.
        let again = place.open();
        assert_eq!(again.list().unwrap(), listed);
        for entry in listed {
            let spki = again.public_spki(&entry.label).unwrap();
            let key = lanyard_pki::spki::PublicKey::parse(&spki).unwrap();
            let signature = again.sign(&entry.label, b"x").unwrap();
            assert_eq!(key.verify(&entry.kind.signature_oid(), b"x", &signature), Ok(()));
        }
    });
}

/// The same token through another library and another process.
#[test]
fn a_token_behind_a_socket_keeps_the_contract() {
    alone(module_path!(), "a_token_behind_a_socket_keeps_the_contract", |place| {
        let _server = place.serve();
        let hsm = Hsm::open(Config::new(p11_kit_client(), TOKEN), pin(PIN)).unwrap();
        let kinds = contract::check(&hsm, "contract").unwrap();
        assert!(kinds.contains(&KeyKind::P256) && kinds.contains(&KeyKind::Rsa4096), "{kinds:?}");
    });
}

#[test]
fn one_session_is_enough_and_two_backends_share_a_library() {
    alone(module_path!(), "one_session_is_enough_and_two_backends_share_a_library", |place| {
        let mut config = place.config();
        config.sessions = 1;
        let one = Hsm::open(config, pin(PIN)).unwrap();
        let two = place.open();
        let few = [KeyKind::P256, KeyKind::P384];
        let label = "shared".parse().unwrap();
        let spki = one.generate(&label, KeyKind::P256).unwrap();
        assert_eq!(two.public_spki(&label).unwrap(), spki);
        for (hsm, prefix) in [(&one, "one"), (&two, "two")] {
            for kind in few {
                hsm.generate(&format!("{prefix}-{kind}").parse().unwrap(), kind).unwrap();
            }
        }
        assert_eq!(one.list().unwrap(), two.list().unwrap());
        drop(one);
        assert!(two.sign(&label, b"x").is_ok());
    });
}

#[test]
fn what_is_wrong_with_a_configuration_is_named() {
    alone(module_path!(), "what_is_wrong_with_a_configuration_is_named", |place| {
        let open = |edit: fn(&mut Config), digits: &str| {
            let mut config = place.config();
            edit(&mut config);
            Hsm::open(config, pin(digits)).unwrap_err()
        };
        let missing = open(|c| c.module = "/nonexistent/module.so".into(), PIN);
        assert!(matches!(&missing, HsmError::Module { .. }), "{missing}");
        let no_module = open(|c| c.module = std::env::current_exe().unwrap(), PIN);
        assert!(matches!(&no_module, HsmError::Module { .. }), "{no_module}");
        let other = open(|c| c.token = "other".into(), PIN);
        assert!(matches!(&other, HsmError::NoToken { .. }), "{other}");
        assert!(other.to_string().contains("`lanyard`"), "{other}");
        let serial = open(|c| c.serial = Some("0".into()), PIN);
        assert!(matches!(&serial, HsmError::NoToken { .. }), "{serial}");
        let wrong = open(|_| {}, "111111");
        assert!(matches!(&wrong, HsmError::Pin(_)), "{wrong}");
        assert!(!wrong.to_string().contains("111111"), "{wrong}");
        assert_eq!(lanyard_hsm::tokens(&place.config().module, Duration::from_secs(20)).unwrap(), [TOKEN]);
        assert!(place.open().list().unwrap().is_empty());
    });
}
