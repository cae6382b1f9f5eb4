//! C2SP tlog-proof v1: a text file that proves offline that one entry is in a log.
//!
//! In scope: the format and the check of inclusion under the log's signature. Out of scope: witness policy (the caller
//! verifies cosignatures of the returned note with `cosign`) and the meaning of `extra`, which nothing authenticates.

use std::fmt;

use data_encoding::BASE64;

use crate::base64;
use crate::checkpoint::{Checkpoint, CheckpointError, decimal};
use crate::hash::Hash;
use crate::note::{MAX_NOTE_LEN, Note, NoteVerifier};
use crate::tree::{MAX_PROOF_LEN, Refuted, verify_inclusion};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
/// Longest `extra` in bytes.
pub const MAX_EXTRA_LEN: usize = 64 * 1024;
/// Header lines, `extra` in base64, 64 hashes and the note.
const MAX_LEN: usize = 64 + MAX_EXTRA_LEN / 3 * 4 + 8 + 64 * 45 + MAX_NOTE_LEN;

/// An inclusion proof with its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Opaque data that nothing authenticates.
    pub extra: Option<Vec<u8>>,
    /// Position of the entry.
    pub index: u64,
    /// From the leaf's sibling to the root's child.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: Note,
}

/// Why a proof is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// Not a tlog-proof.
    #[error("tlog-proof is malformed: {0}")]
    Malformed(&'static str),
    /// Its checkpoint is not accepted.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The hashes do not lead from the leaf to the checkpoint's root.
    #[error(transparent)]
    Inclusion(#[from] Refuted),
}

impl TlogProof {
    /// Parses strictly: what it returns writes the same bytes.
    pub fn parse(bytes: &[u8]) -> Result<TlogProof, TlogProofError> {
        let bad = TlogProofError::Malformed;
        if bytes.len() > MAX_LEN {
            return Err(bad("too long"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| bad("not UTF-8"))?;
        let (head, note) = text.split_once("\n\n").ok_or(bad("no empty line before the checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(bad("first line is not `c2sp.org/tlog-proof@v1`"));
        }
        let mut extra = None;
        if let Some(value) = lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            let data = base64::decode(value).ok_or(bad("extra is not canonical base64"))?;
            if data.len() > MAX_EXTRA_LEN {
                return Err(bad("extra is longer than 64 KiB"));
            }
            extra = Some(data);
            lines.next();
        }
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .and_then(decimal)
            .ok_or(bad("no index line with a decimal number without leading zeroes"))?;
        let hashes = lines
            .map(|line| base64::decode(line).and_then(|b| Hash::from_slice(&b)))
            .collect::<Option<Vec<_>>>()
            .ok_or(bad("a hash is not 32 bytes in canonical base64"))?;
        if hashes.len() > MAX_PROOF_LEN {
            return Err(bad("more than 64 hashes"));
        }
        let checkpoint = Note::parse(note.as_bytes()).map_err(CheckpointError::from)?;
        Ok(TlogProof { extra, index, hashes, checkpoint })
    }

    /// Checks the log's signature and that the leaf is at the index of the checkpoint's tree.
    pub fn verify(&self, leaf: &Hash, log: &NoteVerifier) -> Result<Checkpoint, TlogProofError> {
        let (checkpoint, _) = Checkpoint::open(self.checkpoint.to_string().as_bytes(), log)?;
        verify_inclusion(leaf, self.index, checkpoint.size, &self.hashes, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.hashes {
            writeln!(f, "{}", BASE64.encode(&hash.0))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaf::leaf_hash;
    use crate::note::NoteSigner;
    use crate::tile::{MemoryTiles, TreeWriter};

    fn proof(index: u64, extra: Option<Vec<u8>>) -> (TlogProof, Hash, NoteSigner) {
        let leaves: Vec<Hash> = (0..11u8).map(|i| leaf_hash(&[i])).collect();
        let (mut tiles, mut writer) = (MemoryTiles::default(), TreeWriter::new());
        tiles.apply(writer.append(&leaves));
        let signer = NoteSigner::from_seed("log.example", &[1; 32]).unwrap();
        let checkpoint = Checkpoint { origin: "log.example".to_owned(), size: 11, root: writer.root() };
        let hashes = crate::tree::inclusion_proof(&tiles, index, 11).unwrap();
        let checkpoint = checkpoint.sign(&signer).unwrap();
        (TlogProof { extra, index, hashes, checkpoint }, leaves[index as usize], signer)
    }

    #[test]
    fn a_proof_writes_reads_and_verifies() {
        for (index, extra) in [(0, None), (7, Some(vec![1, 2, 3])), (10, Some(Vec::new()))] {
            let (proof, leaf, signer) = proof(index, extra);
            let read = TlogProof::parse(proof.to_string().as_bytes()).unwrap();
            assert_eq!(read, proof);
            assert_eq!(read.verify(&leaf, signer.verifier()).unwrap().size, 11);
            assert!(read.verify(&Hash::ZERO, signer.verifier()).is_err());
            let moved = TlogProof { index: (index + 1) % 11, ..read };
            assert!(matches!(moved.verify(&leaf, signer.verifier()), Err(TlogProofError::Inclusion(_))));
        }
    }

    #[test]
    fn every_truncation_and_bit_flip_is_refused() {
        let (proof, leaf, signer) = proof(7, None);
        let text = proof.to_string().into_bytes();
        let check = |bytes: &[u8]| TlogProof::parse(bytes).and_then(|p| p.verify(&leaf, signer.verifier()));
        assert!(check(&text).is_ok());
        for len in 0..text.len() {
            assert!(check(&text[..len]).is_err(), "{len}");
        }
        for bit in 0..text.len() * 8 {
            let mut flipped = text.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(check(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        let text = proof(7, None).0.to_string();
        let hash = BASE64.encode(&[0; 32]);
        for (from, to) in [
            ("tlog-proof@v1", "tlog-proof@v2"),
            ("index 7", "index 07"),
            ("index 7", "index -7"),
            ("index 7\n", ""),
            ("index 7", "extra AB==\nindex 7"),
            ("index 7", "index 7\nextra AAAA"),
            ("index 7", &format!("index 7\n{}", vec![hash; 65].join("\n"))),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            assert!(
                TlogProof::parse(changed.as_bytes()).is_err(),
                "{from} -> {}",
                to.chars().take(20).collect::<String>()
            );
        }
    }
}
