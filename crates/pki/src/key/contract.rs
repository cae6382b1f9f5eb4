//! What every [`KeyBackend`] must do, as one function that each implementation's tests run.
//!
//! It returns the first broken promise as text and does not panic, so that `lanyard doctor`-like commands may
//! run it against a hardware module in the field. It leaves some keys behind whose labels start with `prefix`.
//! A kind that the backend cannot make must be refused as such; P-256 and P-384 every backend can.

use std::thread;

use aws_lc_rs::rsa::{Pkcs1PublicEncryptingKey, PublicEncryptingKey};

use super::transport::content_key;
use super::{KeyBackend, KeyEntry, KeyError, KeyKind, KeyLabel, KeyUse};
use crate::spki::PublicKey;

/// Every backend makes these.
const ALWAYS: [KeyKind; 2] = [KeyKind::P256, KeyKind::P384];

/// Runs the contract against `backend`; `prefix` must be a fresh label prefix such as `contract-1`. Returns the kinds
/// that the backend has.
pub fn check(backend: &dyn KeyBackend, prefix: &str) -> Result<Vec<KeyKind>, String> {
    let mut kinds = Vec::new();
    for kind in KeyKind::ALL {
        let probe = label(prefix, &format!("probe-{kind}"))?;
        match backend.generate(&probe, kind) {
            Ok(_) => kinds.push(kind),
            Err(KeyError::Unsupported(refused)) if refused == kind && !ALWAYS.contains(&kind) => {}
            Err(other) => return Err(format!("generate a key of kind {kind}: {other}")),
        }
    }
    check_kinds(backend, prefix, &kinds)?;
    Ok(kinds)
}

/// Runs the contract for exactly these kinds; all others the backend must refuse.
pub fn check_kinds(backend: &dyn KeyBackend, prefix: &str, kinds: &[KeyKind]) -> Result<(), String> {
    for kind in KeyKind::ALL {
        let name = label(prefix, kind.as_str())?;
        if kinds.contains(&kind) {
            unknown_label_is_not_found(backend, &name)?;
            makes_and_signs(backend, &name, kind).map_err(|e| format!("kind {kind}: {e}"))?;
        } else {
            hold(
                matches!(backend.generate(&name, kind), Err(KeyError::Unsupported(k)) if k == kind),
                "a kind that the backend does not have is refused as such",
            )?;
            unknown_label_is_not_found(backend, &name)?;
        }
    }
    if kinds.contains(&KeyKind::Rsa2048) {
        decrypts(backend, &label(prefix, "decrypts")?)?;
    }
    makes_no_other_to_decrypt(backend, &label(prefix, "decrypts-not")?)?;
    list_is_whole_and_in_order(backend, prefix, kinds)?;
    one_of_two_who_use_a_label_wins(backend, &label(prefix, "race")?)?;
    many_sign_at_once(backend, prefix, kinds)
}

fn label(prefix: &str, suffix: &str) -> Result<KeyLabel, String> {
    format!("{prefix}-{suffix}").parse().map_err(|e| format!("{e}"))
}

fn unknown_label_is_not_found(backend: &dyn KeyBackend, label: &KeyLabel) -> Result<(), String> {
    let not_found = |e: &KeyError| matches!(e, KeyError::NotFound(l) if l == label);
    hold(backend.sign(label, b"x").as_ref().is_err_and(not_found), "sign with an unknown label is NotFound")?;
    hold(
        backend.public_spki(label).as_ref().is_err_and(not_found),
        "public_spki of an unknown label is NotFound",
    )?;
    hold(
        backend.decrypt(label, &[0; 256]).as_ref().is_err_and(not_found),
        "decrypt with an unknown label is NotFound",
    )
}

fn makes_and_signs(backend: &dyn KeyBackend, label: &KeyLabel, kind: KeyKind) -> Result<(), String> {
    let spki = backend.generate(label, kind).map_err(|e| format!("generate: {e}"))?;
    let key = PublicKey::parse(&spki).map_err(|e| format!("generated key: {e}"))?;
    hold(key.kind() == kind.public(), "generate makes a key of the kind asked for")?;
    let again = backend.public_spki(label).map_err(|e| format!("public_spki: {e}"))?;
    hold(again == spki, "public_spki returns the key that generate returned")?;
    signatures_verify(backend, label, kind, &key)?;
    for refused in [backend.generate(label, kind), backend.generate(label, KeyKind::P256)] {
        hold(
            matches!(refused, Err(KeyError::Exists(l)) if l == *label),
            "a label is used once: generate refuses an existing one",
        )?;
    }
    let unchanged = backend.public_spki(label).map_err(|e| format!("public_spki: {e}"))?;
    hold(unchanged == spki, "a refused generate leaves the key as it was")?;
    hold(
        matches!(backend.decrypt(label, &[0; 256]), Err(KeyError::CannotDecrypt(l)) if l == *label),
        "a key that was made to sign does not decrypt",
    )
}

fn signatures_verify(
    backend: &dyn KeyBackend,
    label: &KeyLabel,
    kind: KeyKind,
    key: &PublicKey,
) -> Result<(), String> {
    for message in [&b""[..], b"abc", &[0x5a; 20_000]] {
        let signature = backend.sign(label, message).map_err(|e| format!("sign: {e}"))?;
        let algorithm = kind.signature_oid();
        hold(
            key.verify(&algorithm, message, &signature).is_ok(),
            "a signature verifies with the public key",
        )?;
        hold(
            key.verify(&algorithm, b"another message", &signature).is_err(),
            "a signature is bound to its message",
        )?;
    }
    Ok(())
}

fn decrypts(backend: &dyn KeyBackend, label: &KeyLabel) -> Result<(), String> {
    let spki = backend
        .generate_to_decrypt(label, KeyKind::Rsa2048)
        .map_err(|e| format!("generate_to_decrypt: {e}"))?;
    let key = PublicKey::parse(&spki).map_err(|e| format!("generated key: {e}"))?;
    signatures_verify(backend, label, KeyKind::Rsa2048, &key)?;
    for secret in [&[0x42; 16][..], &[0x43; 24], &[0x44; 32], b"", &[0x45; 245]] {
        let ciphertext = encrypt_to(&spki, secret)?;
        let opened = backend.decrypt(label, &ciphertext).map_err(|e| format!("decrypt: {e}"))?;
        hold(opened == secret, "decrypt returns what was encrypted")?;
    }
    let good = encrypt_to(&spki, &[0x42; 16])?;
    let flipped = |at: usize| {
        let mut changed = good.clone();
        if let Some(byte) = changed.get_mut(at) {
            *byte ^= 1;
        }
        changed
    };
    let longer = [good.as_slice(), &[0]].concat();
    // The number must be below the modulus (RFC 8017 5.1.2).
    let above = vec![0xff; 256];
    for wrong in [
        flipped(0),
        flipped(128),
        flipped(255),
        longer,
        above,
        vec![0; 256],
        Vec::new(),
        good.iter().copied().take(255).collect(),
    ] {
        // A backend may hide a wrong padding behind random bytes; whatever else it says is one and the same.
        match backend.decrypt(label, &wrong) {
            Err(KeyError::NotDecrypted) => {}
            Ok(other) => hold(other != [0x42; 16], "a changed ciphertext does not give the secret")?,
            Err(other) => return Err(format!("broken promise: decrypt has one error, not `{other}`")),
        }
        let key = content_key(backend, label, &wrong, 16).map_err(|e| format!("content_key: {e}"))?;
        hold(key.len() == 16 && *key != [0x42; 16], "content_key hides a wrong ciphertext")?;
    }
    let key = content_key(backend, label, &good, 16).map_err(|e| format!("content_key: {e}"))?;
    hold(*key == [0x42; 16], "content_key opens a right ciphertext")
}

fn makes_no_other_to_decrypt(backend: &dyn KeyBackend, label: &KeyLabel) -> Result<(), String> {
    for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519, KeyKind::MlDsa65] {
        hold(
            matches!(backend.generate_to_decrypt(label, kind), Err(KeyError::CannotDecrypt(l)) if l == *label),
            "only RSA keys are made to decrypt",
        )?;
    }
    unknown_label_is_not_found(backend, label)
}

fn list_is_whole_and_in_order(
    backend: &dyn KeyBackend,
    prefix: &str,
    kinds: &[KeyKind],
) -> Result<(), String> {
    let listed = backend.list().map_err(|e| format!("list: {e}"))?;
    hold(listed.is_sorted_by(|a, b| a.label < b.label), "list is ordered by label and names each once")?;
    let mut expected = Vec::new();
    for kind in kinds {
        expected.push(KeyEntry { label: label(prefix, kind.as_str())?, kind: *kind, usage: KeyUse::Sign });
    }
    if kinds.contains(&KeyKind::Rsa2048) {
        let (kind, usage) = (KeyKind::Rsa2048, KeyUse::SignAndDecrypt);
        expected.push(KeyEntry { label: label(prefix, "decrypts")?, kind, usage });
    }
    hold(expected.iter().all(|e| listed.contains(e)), "list says of each key its kind and use")
}

fn one_of_two_who_use_a_label_wins(backend: &dyn KeyBackend, label: &KeyLabel) -> Result<(), String> {
    let made: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..2).map(|_| scope.spawn(|| backend.generate(label, KeyKind::P256))).collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    });
    let mut winners = Vec::new();
    for result in made {
        match result {
            Ok(Ok(spki)) => winners.push(spki),
            Ok(Err(KeyError::Exists(_))) => {}
            Ok(Err(other)) => return Err(format!("generate by two at once: {other}")),
            Err(_) => return Err("broken promise: generate does not panic".into()),
        }
    }
    hold(winners.len() == 1, "of two who make a key under one label one wins")?;
    let kept = backend.public_spki(label).map_err(|e| format!("public_spki: {e}"))?;
    hold(winners.first() == Some(&kept), "the key of the one who won is the one that is kept")
}

/// Eight threads, each with each key: sessions, handles and locks of a backend must not get mixed up.
fn many_sign_at_once(backend: &dyn KeyBackend, prefix: &str, kinds: &[KeyKind]) -> Result<(), String> {
    let mut keys = Vec::new();
    for kind in kinds {
        let name = label(prefix, kind.as_str())?;
        let spki = backend.public_spki(&name).map_err(|e| format!("public_spki: {e}"))?;
        keys.push((name, *kind, PublicKey::parse(&spki).map_err(|e| e.to_string())?));
    }
    let sign_with_all = |thread: u8| {
        for round in 0..4u8 {
            for (name, kind, key) in &keys {
                let message = [thread, round, *kind as u8];
                let signature = backend.sign(name, &message).map_err(|e| format!("sign at once: {e}"))?;
                hold(
                    key.verify(&kind.signature_oid(), &message, &signature).is_ok(),
                    "who signs at the same time as others gets their own signature",
                )?;
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let sign_with_all = &sign_with_all;
                scope.spawn(move || sign_with_all(n))
            })
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().map_err(|_| "broken promise: sign does not panic".to_owned())?
        })
    })
}

/// Encrypts as a client of SCEP does, with PKCS#1 v1.5.
pub(super) fn encrypt_to(spki: &[u8], secret: &[u8]) -> Result<Vec<u8>, String> {
    let failed = |_| "encrypting to the public key failed".to_owned();
    let key = PublicEncryptingKey::from_der(spki).map_err(|e| format!("public key: {e}"))?;
    let key = Pkcs1PublicEncryptingKey::new(key).map_err(failed)?;
    let mut out = vec![0; key.ciphertext_size()];
    let length = key.encrypt(secret, &mut out).map_err(failed)?.len();
    out.truncate(length);
    Ok(out)
}

fn hold(fact: bool, promise: &str) -> Result<(), String> {
    if fact { Ok(()) } else { Err(format!("broken promise: {promise}")) }
}
