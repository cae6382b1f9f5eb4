//! What other programs see of our keys, which of theirs we take, and what an attacker's objects change.

use std::fs;
use std::sync::Barrier;
use std::thread::{scope, sleep};
use std::time::Duration;

use aws_lc_rs::digest;
use cryptoki::context::Pkcs11;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use lanyard_hsm::Hsm;
use lanyard_pki::authority::{self, Generation, Issuer};
use lanyard_pki::csr;
use lanyard_pki::issue::{self, Lifetime};
use lanyard_pki::key::{KeyBackend, KeyEntry, KeyError, KeyKind, KeyLabel, KeyUse, MemoryKeys};
use lanyard_pki::name::Naming;
use lanyard_pki::path::{Anchors, Purpose, validate};
use lanyard_pki::profile::{Profile, ProfileName, SubjectFacts};
use lanyard_pki::serial::Serial;
use lanyard_pki::spki::PublicKey;

use crate::place::{alone, softhsm};

fn label(text: &str) -> KeyLabel {
    text.parse().unwrap()
}

fn signs(hsm: &dyn KeyBackend, name: &str, kind: KeyKind) {
    let key = PublicKey::parse(&hsm.public_spki(&label(name)).unwrap()).unwrap();
    let signature = hsm.sign(&label(name), b"x").unwrap();
    assert_eq!(key.verify(&kind.signature_oid(), b"x", &signature), Ok(()), "{name}");
}

/// A key made beside the backend, in this process.
fn make(name: &str, private: &[Attribute]) {
    let library = Pkcs11::new(softhsm()).unwrap();
    let slot = library.get_slots_with_initialized_token().unwrap()[0];
    let session = library.open_rw_session(slot).unwrap();
    let named = [Attribute::Token(true), Attribute::Label(name.into())];
    let curve = Attribute::EcParams(vec![6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
    let closed = [Attribute::Sensitive(true), Attribute::Extractable(false)];
    let (public, private) = ([&named[..], &[curve]].concat(), [&named[..], &closed, private].concat());
    session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).unwrap();
}

// I10
#[test]
fn another_program_sees_keys_that_cannot_leave() {
    alone(module_path!(), "another_program_sees_keys_that_cannot_leave", |place| {
        let hsm = place.open();
        let spki = hsm.generate(&label("issuing-g1"), KeyKind::P256).unwrap();
        hsm.generate(&label("scep-ca"), KeyKind::Rsa2048).unwrap();
        hsm.generate_to_decrypt(&label("scep-ra"), KeyKind::Rsa2048).unwrap();
        let id = digest::digest(&digest::SHA256, &spki);
        let id: String = id.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        let seen = place.tool(&["--list-objects"]);
        let object = |class: &str, name: &str| {
            let all = seen.split("Private Key Object").flat_map(|part| part.split("Public Key Object"));
            let found: Vec<&str> =
                all.filter(|part| part.contains(&format!("label:      {name}\n"))).collect();
            assert_eq!(found.len(), 2, "{name} in {seen}");
            let is_private = |text: &&&str| text.contains("sensitive");
            let wanted = found.iter().find(|text| is_private(text) == (class == "private"));
            (*wanted.unwrap()).to_owned()
        };
        for name in ["issuing-g1", "scep-ca", "scep-ra"] {
            let private = object("private", name);
            assert!(private.contains("sensitive, always sensitive, never extractable, local"), "{private}");
        }
        for class in ["private", "public"] {
            assert!(object(class, "issuing-g1").contains(&id), "{seen}");
        }
        let usage = |name| object("private", name).lines().find(|l| l.contains("Usage:")).unwrap().to_owned();
        assert!(usage("scep-ca").ends_with("sign"), "{}", usage("scep-ca"));
        assert!(usage("scep-ra").ends_with("decrypt, sign"), "{}", usage("scep-ra"));
    });
}

#[test]
fn keys_of_another_program_are_taken_when_they_cannot_leave() {
    alone(module_path!(), "keys_of_another_program_are_taken_when_they_cannot_leave", |place| {
        let tool_makes = |kind: &str, name: &str, more: &[&str]| {
            let args = ["--keypairgen", "--key-type", kind, "--label", name, "--id", "a1"];
            place.tool(&[&args, more].concat());
        };
        tool_makes("EC:prime256v1", "theirs", &["--usage-sign"]);
        tool_makes("EC:secp384r1", "theirs-384", &["--usage-sign"]);
        tool_makes("rsa:2048", "theirs-rsa", &["--usage-sign"]);
        tool_makes("EC:prime256v1", "loose", &["--usage-sign", "--extractable"]);
        tool_makes("EC:secp521r1", "unknown-curve", &["--usage-sign"]);
        tool_makes("EC:prime256v1", "asks", &["--usage-sign", "--always-auth"]);
        tool_makes("EC:prime256v1", "Not Ours", &["--usage-sign"]);
        tool_makes("EC:prime256v1", "twin", &["--usage-sign"]);
        tool_makes("EC:prime256v1", "twin", &["--usage-sign"]);
        let hsm = place.open();
        // The tool cannot say no to signing.
        make("derives", &[Attribute::Sign(false)]);
        let entry = |name: &str, kind, usage| KeyEntry { label: label(name), kind, usage };
        assert_eq!(
            hsm.list().unwrap(),
            [
                entry("theirs", KeyKind::P256, KeyUse::Sign),
                entry("theirs-384", KeyKind::P384, KeyUse::Sign),
                // The tool says nothing of decrypting, and SoftHSM then allows it: no key for an authority.
                entry("theirs-rsa", KeyKind::Rsa2048, KeyUse::SignAndDecrypt)
            ]
        );
        signs(&hsm, "theirs", KeyKind::P256);
        signs(&hsm, "theirs-384", KeyKind::P384);
        signs(&hsm, "theirs-rsa", KeyKind::Rsa2048);
        for (name, why) in [
            ("loose", "read out"),
            ("unknown-curve", "kind"),
            ("derives", "not made to sign"),
            ("asks", "each signature"),
            ("twin", "2 private keys"),
        ] {
            let refused = hsm.sign(&label(name), b"x").unwrap_err();
            assert!(matches!(&refused, KeyError::Refused(_)), "{name}: {refused}");
            assert!(refused.to_string().contains(why), "{name}: {refused}");
            // And their labels are taken.
            assert!(matches!(hsm.generate(&label(name), KeyKind::P256), Err(KeyError::Exists(_))), "{name}");
        }
    });
}

/// Whoever can open a session can write public objects, without any PIN.
#[test]
fn a_forged_public_key_object_is_not_believed() {
    alone(module_path!(), "a_forged_public_key_object_is_not_believed", |place| {
        let hsm = place.open();
        let spki = hsm.generate(&label("issuing-g1"), KeyKind::P256).unwrap();
        drop(hsm);
        let forged = MemoryKeys::default();
        fs::write(place.file("forged.der"), forged.generate(&label("x"), KeyKind::P256).unwrap()).unwrap();
        fs::write(place.file("other.der"), forged.generate(&label("y"), KeyKind::Rsa2048).unwrap()).unwrap();
        for file in ["forged.der", "other.der"] {
            place.tool_without_pin(&["--write-object", file, "--type", "pubkey", "--label", "issuing-g1"]);
        }
        let hsm = place.open();
        assert_eq!(hsm.public_spki(&label("issuing-g1")).unwrap(), spki);
        signs(&hsm, "issuing-g1", KeyKind::P256);
        // With the true one gone there is nothing to believe.
        drop(hsm);
        let id = digest::digest(&digest::SHA256, &spki);
        let id: String = id.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        place.tool_without_pin(&["--delete-object", "--type", "pubkey", "--id", &id]);
        let refused = place.open().public_spki(&label("issuing-g1")).unwrap_err();
        assert!(matches!(&refused, KeyError::Refused(_)), "{refused}");
    });
}

/// A restored token, or an operator's mistake: the label holds another key from one moment to the next.
#[test]
fn a_key_that_is_replaced_under_its_label_does_not_sign() {
    alone(module_path!(), "a_key_that_is_replaced_under_its_label_does_not_sign", |place| {
        let hsm = place.open();
        let spki = hsm.generate(&label("issuing-g1"), KeyKind::P256).unwrap();
        signs(&hsm, "issuing-g1", KeyKind::P256);
        for class in ["privkey", "pubkey"] {
            place.tool(&["--delete-object", "--type", class, "--label", "issuing-g1"]);
        }
        let gone = hsm.sign(&label("issuing-g1"), b"x").unwrap_err();
        assert!(matches!(&gone, KeyError::NotFound(_)), "{gone}");
        // The label was used, whatever became of the key.
        assert!(matches!(hsm.generate(&label("issuing-g1"), KeyKind::P256), Err(KeyError::Exists(_))));
        place.tool(&["--keypairgen", "--key-type", "EC:prime256v1", "--label", "issuing-g1", "--usage-sign"]);
        // With four sessions each has to notice by itself.
        for _ in 0..12 {
            let refused = hsm.sign(&label("issuing-g1"), b"x").unwrap_err();
            assert!(matches!(&refused, KeyError::NotTheCertifiedKey(_)), "{refused}");
        }
        assert_eq!(hsm.public_spki(&label("issuing-g1")).unwrap(), spki);
    });
}

// R35, R42
#[test]
fn authorities_in_a_token_issue() {
    alone(module_path!(), "authorities_in_a_token_issue", |place| {
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        let hsm = place.open();
        let naming = Naming::new("General Hospital", "hospital.example").unwrap();
        let serial = |n| Serial::from_random([n; 16]);
        for (number, root_kind, issuing_kind) in [
            (1, KeyKind::P384, KeyKind::P256),
            (2, KeyKind::Rsa3072, KeyKind::Rsa2048),
            (3, KeyKind::Ed25519, KeyKind::Ed25519),
        ] {
            let generation = |what: &str, kind, n| {
                let label = label(&format!("{what}-g{number}"));
                hsm.generate(&label, kind).unwrap();
                Generation { number, label, serial: serial(n) }
            };
            let (root, issuing) = (generation("root", root_kind, 1), generation("issuing", issuing_kind, 2));
            let prepared = authority::prepare_root(&naming, &root, &hsm, now).unwrap();
            let root = Issuer::new(prepared.sign(&hsm).unwrap(), root.label, &hsm).unwrap();
            let prepared = authority::prepare_issuing(&naming, &issuing, &root, None, &hsm, now).unwrap();
            let issuing = Issuer::new(prepared.sign(&hsm).unwrap(), issuing.label, &hsm).unwrap();
            let device = MemoryKeys::default();
            let spki = device.generate(&label("tls"), KeyKind::P256).unwrap();
            let request = csr::build(&spki, "pump", |m| device.sign(&label("tls"), m)).unwrap();
            let id = lanyard_domain::id::DeviceId::from_random([7; 16]);
            let profile = Profile::new(ProfileName::DeviceLdevid, naming.clone());
            let certificate = issue::prepare(
                &profile,
                &csr::verify(&request).unwrap(),
                &SubjectFacts::Device { id },
                &issuing,
                Lifetime::Default,
                serial(3),
                now,
            )
            .unwrap()
            .sign(&hsm)
            .unwrap();
            let anchors = Anchors::new(vec![root.certificate().clone()]).unwrap();
            let chain = [certificate.der().clone(), issuing.certificate().der().clone()];
            validate(&chain, &anchors, Purpose::Client, now).unwrap();
        }
        // A SCEP RA's key in the token makes no authority.
        hsm.generate_to_decrypt(&label("scep-ra"), KeyKind::Rsa2048).unwrap();
        let generation = Generation { number: 9, label: label("scep-ra"), serial: serial(9) };
        let own = authority::prepare_root(&naming, &generation, &hsm, now).unwrap().sign(&hsm).unwrap();
        assert!(Issuer::new(own, label("scep-ra"), &hsm).is_err());
    });
}

/// Both make a key under the label at the same moment.
fn race(servers: [&Hsm; 2], name: &KeyLabel) -> Vec<Result<Vec<u8>, KeyError>> {
    let both = Barrier::new(2);
    scope(|scope| {
        let threads = servers.map(|hsm| {
            let both = &both;
            scope.spawn(move || {
                both.wait();
                hsm.generate(name, KeyKind::P256)
            })
        });
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn two_backends_of_one_process_make_one_key_of_a_label() {
    alone(module_path!(), "two_backends_of_one_process_make_one_key_of_a_label", |place| {
        let (one, two) = (place.open(), place.open());
        for n in 0..20 {
            let name = label(&format!("race-{n}"));
            let made = race([&one, &two], &name);
            let spki = made.iter().flatten().next().unwrap();
            assert!(made.iter().any(|r| matches!(r, Err(KeyError::Exists(_)))), "{name}");
            for hsm in [&one, &two] {
                assert_eq!(&hsm.public_spki(&name).unwrap(), spki, "{name}");
            }
        }
        assert_eq!(place.open().list().unwrap().len(), 20);
    });
}

/// PKCS#11 has no lock over programs: somebody may use a label between our look and our key. An RSA key takes long enough
/// to be overtaken.
#[test]
fn who_is_overtaken_while_making_a_key_steps_back() {
    alone(module_path!(), "who_is_overtaken_while_making_a_key_steps_back", |place| {
        let hsm = place.open();
        for n in 0..10 {
            let name = label(&format!("race-{n}"));
            let made = scope(|scope| {
                let slow = scope.spawn(|| hsm.generate(&name, KeyKind::Rsa4096));
                sleep(Duration::from_millis(20));
                make(name.as_str(), &[]);
                slow.join().unwrap()
            });
            match made {
                Err(KeyError::Exists(_)) => {
                    // Theirs is there, whole, and ours is gone.
                    let seen = place.tool(&["--list-objects"]);
                    let count = |class: &str| seen.matches(class).count();
                    assert_eq!((count("Private Key Object"), count("Public Key Object")), (1, 1), "{seen}");
                    signs(&hsm, name.as_str(), KeyKind::P256);
                    return;
                }
                // It was quick, and there are two now.
                Ok(_) => {
                    let refused = place.open().sign(&name, b"x").unwrap_err();
                    assert!(refused.to_string().contains("2 private keys"), "{refused}");
                    for class in ["privkey", "pubkey"] {
                        for _ in 0..2 {
                            place.tool(&["--delete-object", "--type", class, "--label", name.as_str()]);
                        }
                    }
                }
                Err(other) => panic!("{other}"),
            }
        }
        panic!("ten RSA keys were made before an elliptic one");
    });
}
