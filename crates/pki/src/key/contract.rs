//! What every [`KeyBackend`] must do, as one function that each implementation's tests run.
//!
//! It returns the first broken promise as text and does not panic, so that `lanyard doctor`-like commands may
//! run it against a hardware module in the field. It leaves two keys behind whose labels start with `prefix`.

use super::{KeyBackend, KeyError, KeyKind, KeyLabel};
use crate::spki::{PublicKey, PublicKeyKind};

/// Runs the contract against `backend`; `prefix` must be a fresh label prefix such as `contract-1`.
pub fn check(backend: &dyn KeyBackend, prefix: &str) -> Result<(), String> {
    for (suffix, kind, expected) in
        [("a", KeyKind::P256, PublicKeyKind::P256), ("b", KeyKind::P384, PublicKeyKind::P384)]
    {
        let label: KeyLabel = format!("{prefix}-{suffix}").parse().map_err(|e| format!("{e}"))?;
        unknown_label_is_not_found(backend, &label)?;
        let spki = backend.generate(&label, kind).map_err(|e| format!("generate: {e}"))?;
        let key = PublicKey::parse(&spki).map_err(|e| format!("generated key: {e}"))?;
        hold(key.kind() == expected, "generate makes a key of the kind asked for")?;
        let again = backend.public_spki(&label).map_err(|e| format!("public_spki: {e}"))?;
        hold(again == spki, "public_spki returns the key that generate returned")?;
        signatures_verify(backend, &label, kind, &key)?;
        hold(
            matches!(backend.generate(&label, kind), Err(KeyError::Exists(l)) if l == label),
            "a label is used once: generate refuses an existing one",
        )?;
        let unchanged = backend.public_spki(&label).map_err(|e| format!("public_spki: {e}"))?;
        hold(unchanged == spki, "a refused generate leaves the key as it was")?;
        let listed = backend.list().map_err(|e| format!("list: {e}"))?;
        hold(
            listed.iter().filter(|e| e.label == label && e.kind == kind).count() == 1,
            "list names each key once",
        )?;
        hold(listed.is_sorted_by(|a, b| a.label <= b.label), "list is ordered by label")?;
    }
    Ok(())
}

fn unknown_label_is_not_found(backend: &dyn KeyBackend, label: &KeyLabel) -> Result<(), String> {
    let not_found = |e: &KeyError| matches!(e, KeyError::NotFound(l) if l == label);
    hold(backend.sign(label, b"x").as_ref().is_err_and(not_found), "sign with an unknown label is NotFound")?;
    hold(
        backend.public_spki(label).as_ref().is_err_and(not_found),
        "public_spki of an unknown label is NotFound",
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

fn hold(fact: bool, promise: &str) -> Result<(), String> {
    if fact { Ok(()) } else { Err(format!("broken promise: {promise}")) }
}
