//! The Python verifier, written from the docs page alone, agrees on outcome and part.

use std::process::Command;

use super::cases::{Case, bad, good};
use super::fixture::*;
use super::rules::judge;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/interop/bundle/verify.py");

#[test]
// R114, R115
fn the_python_verifier_agrees_on_good_bent_and_randomly_mutated_bundles() {
    let ledger = Ledger::new(Story::Full);
    let mut files: Vec<(String, Vec<u8>)> =
        good().into_iter().chain(bad()).map(|Case { name, bytes, .. }| (name.to_owned(), bytes)).collect();
    let original = ledger.bundle(2, &[]);
    let mut rng = Xorshift(0x1a2b_3c4d_5e6f_7081);
    for n in 0..300 {
        files.push((format!("mutation-{n}"), mutate(&original, &mut rng)));
    }
    let ours: Vec<(String, &str)> =
        files.iter().map(|(name, bytes)| (name.clone(), judge(bytes, &ledger.trust()))).collect();
    let theirs: Vec<(String, String)> =
        files.iter().map(|(name, _)| name.clone()).zip(python(&files, &ledger)).collect();
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!((&ours.0, ours.1), (&theirs.0, theirs.1.as_str()), "ours, then Python's");
    }
    assert_eq!(ours.len(), theirs.len());
    let refused =
        ours.iter().filter(|(name, words)| name.starts_with("mutation") && *words != "proved").count();
    assert_eq!(refused, 300, "every mutation changes the bundle and is refused");
}

/// Outcome words or part for each file, in order.
fn python(files: &[(String, Vec<u8>)], ledger: &Ledger) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("python3");
    command
        .arg(SCRIPT)
        .arg("--structure-only")
        .arg("--log-vkey")
        .arg(ledger.main.vkey())
        .args(["--quorum", "1"]);
    for witness in ledger.witness_vkeys() {
        command.arg("--witness").arg(witness);
    }
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        command.arg(path);
    }
    let hint = "run `cargo xtask peers` for python3 with the package `cryptography`";
    let output = command.output().unwrap_or_else(|error| panic!("cannot start python3 ({error}): {hint}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains("No module named"), "{errors}\n{hint}");
    assert_eq!(output.status.code(), Some(1), "{errors}");
    String::from_utf8(output.stdout).unwrap().lines().map(verdict).collect()
}

/// The script prints flat JSON with a space after each colon; the part is null unless contradicted.
fn verdict(line: &str) -> String {
    let text = |member: &str| {
        let (_, rest) = line.split_once(&format!("\"{member}\": \""))?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    text("part").or_else(|| text("outcome")).unwrap_or_else(|| panic!("not a verdict: {line}"))
}

/// Bits, bytes, insertions, deletions, repetitions, exchanges: whatever a disk, a network or a person may do.
fn mutate(original: &[u8], rng: &mut Xorshift) -> Vec<u8> {
    loop {
        let mut bytes = original.to_vec();
        let (at, to) = (rng.below(bytes.len()), rng.below(bytes.len()));
        let length = 1 + rng.below(40);
        match rng.below(7) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = rng.below(256) as u8,
            2 => bytes.insert(at, rng.below(256) as u8),
            3 => drop(bytes.drain(at..(at + length).min(original.len()))),
            4 => bytes.truncate(at),
            5 => bytes.swap(at, to),
            _ => {
                let piece = bytes[at..(at + length).min(original.len())].to_vec();
                let end = (to + piece.len()).min(bytes.len());
                bytes.splice(to..end, piece);
            }
        }
        if bytes != original {
            return bytes;
        }
    }
}

/// Fixed seed: a failing mutation fails again.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
