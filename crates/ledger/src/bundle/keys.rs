//! Verifier keys and the signed checkpoints: every signature line is checked, and every witness is needed.

use super::flaw::{Flaw, Part};
use super::format::{Bundle, Log};
use super::verified::{Cosignature, LogHead, TrustPolicy};
use crate::checkpoint::Checkpoint;
use crate::cosign;
use crate::note::{Note, NoteVerifier, Signature, SignatureType};

/// signed-note writes it before each signature; the only character beyond ASCII in a bundle's note.
const DASH: char = '\u{2014}';

/// The keys of a bundle, parsed, in its order.
pub(super) struct Keyring {
    logs: Vec<NoteVerifier>,
    witnesses: Vec<NoteVerifier>,
}

/// Step 2: keys in their one spelling, and no public key twice: two names are not two witnesses.
pub(super) fn parse(bundle: &Bundle<'_>) -> Result<Keyring, Flaw> {
    let mut ring = Keyring { logs: Vec::new(), witnesses: Vec::new() };
    for (log, Log { vkey, .. }) in bundle.logs.iter().enumerate() {
        let key = ring.admit(vkey, SignatureType::Ed25519);
        ring.logs.push(key.map_err(|rule| Flaw::new(Part::LogKey { log }, rule))?);
    }
    let mut last = None;
    for (witness, vkey) in bundle.witnesses.iter().copied().enumerate() {
        let part = Part::WitnessKey { witness };
        if last.is_some_and(|last| last >= vkey) {
            return Err(Flaw::new(part, "witness keys do not ascend"));
        }
        let key = ring.admit(vkey, SignatureType::CosignatureEd25519);
        ring.witnesses.push(key.map_err(|rule| Flaw::new(part, rule))?);
        last = Some(vkey);
    }
    Ok(ring)
}

impl Keyring {
    fn admit(&self, vkey: &str, kind: SignatureType) -> Result<NoteVerifier, String> {
        if !vkey.chars().all(|c| c.is_ascii_graphic() && c != '"' && c != '\\') {
            return Err(
                "a key in a bundle is printable ASCII without space, quotation mark and backslash".into()
            );
        }
        let key = NoteVerifier::parse(vkey).map_err(|error| error.to_string())?;
        if key.signature_type() != kind {
            return Err(format!("key has not the signature type {:#04x}", kind.byte()));
        }
        if self.logs.iter().chain(&self.witnesses).any(|other| other.public_key() == key.public_key()) {
            return Err("public key occurs twice".into());
        }
        Ok(key)
    }
}

/// Step 4: the checkpoints of all logs, and who else signed the main one.
pub(super) fn check_notes<'a>(
    bundle: &Bundle<'a>,
    ring: &Keyring,
    trust: &TrustPolicy,
) -> Result<(Vec<LogHead<'a>>, Vec<Cosignature>), Flaw> {
    let mut heads = Vec::new();
    let mut notes = Vec::new();
    for (log, (Log { vkey, note }, key)) in bundle.logs.iter().zip(&ring.logs).enumerate() {
        let (note, checkpoint) =
            parse_note(note, key).map_err(|rule| Flaw::new(Part::Checkpoint { log }, rule))?;
        notes.push(note);
        heads.push(LogHead { vkey, checkpoint });
    }
    let mut signed = vec![false; ring.witnesses.len()];
    let mut cosignatures = Vec::new();
    for (log, (note, key)) in notes.iter().zip(&ring.logs).enumerate() {
        for (witness, time_seconds) in check_lines(log, note, key, &ring.witnesses)? {
            if let Some(flag) = signed.get_mut(witness) {
                *flag = true;
            }
            if log == 0 {
                let vkey = bundle.witnesses.get(witness).copied().unwrap_or_default().to_owned();
                let trusted = trust.witness_vkeys.contains(&vkey);
                cosignatures.push(Cosignature { vkey, time_seconds, trusted });
            }
        }
    }
    match signed.iter().position(|signed| !signed) {
        Some(witness) => {
            Err(Flaw::new(Part::WitnessKey { witness }, "this witness signed no checkpoint here"))
        }
        None => Ok((heads, cosignatures)),
    }
}

fn parse_note(note: &str, key: &NoteVerifier) -> Result<(Note, Checkpoint), String> {
    let plain = |line: &str| line.bytes().all(|b| matches!(b, b' '..=b'~'));
    if !note.split('\n').all(|line| plain(line.strip_prefix(DASH).unwrap_or(line))) {
        return Err("a note in a bundle is printable ASCII but for the dashes of its signatures".into());
    }
    let note = Note::parse(note.as_bytes()).map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
    if checkpoint.origin != key.name() {
        return Err(format!("is of log `{}`, its key of `{}`", checkpoint.origin, key.name()));
    }
    Ok((note, checkpoint))
}

/// The witnesses that signed, by index, with their times. Every line is by a listed key, once, and right.
fn check_lines(
    log: usize,
    note: &Note,
    key: &NoteVerifier,
    witnesses: &[NoteVerifier],
) -> Result<Vec<(usize, u64)>, Flaw> {
    let mut by_log = false;
    let mut signed: Vec<(usize, u64)> = Vec::new();
    for (line, signature) in note.signatures().iter().enumerate() {
        let flaw = |rule: String| Flaw::new(Part::Signature { log, line }, rule);
        if made_by(key, signature) {
            if by_log {
                return Err(flaw("the log signed twice".into()));
            }
            key.verify(note).map_err(|error| flaw(error.to_string()))?;
            by_log = true;
            continue;
        }
        let Some(witness) = witnesses.iter().position(|witness| made_by(witness, signature)) else {
            return Err(flaw(format!("no key of the bundle made the line of `{}`", signature.name)));
        };
        if signed.iter().any(|(other, _)| *other == witness) {
            return Err(flaw("the witness signed twice".into()));
        }
        let key = witnesses.get(witness).ok_or_else(|| flaw("no such witness".into()))?;
        signed.push((witness, cosign::verify(note, key).map_err(|error| flaw(error.to_string()))?));
    }
    if !by_log {
        let line = note.signatures().len();
        return Err(Flaw::new(Part::Signature { log, line }, "the log's own signature is missing"));
    }
    Ok(signed)
}

fn made_by(key: &NoteVerifier, signature: &Signature) -> bool {
    key.name() == signature.name && key.key_id() == signature.key_id
}
