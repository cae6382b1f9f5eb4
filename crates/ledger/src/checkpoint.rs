//! C2SP tlog-checkpoint: origin, size and root of a log as the text of a signed note.
//!
//! In scope: exactly three lines; extension lines are refused, as the specification now asks of logs. Out of scope:
//! deciding when to sign (`lanyard-store`): a log must never sign two checkpoints that contradict each other.

use std::fmt;

use data_encoding::BASE64;

use crate::base64;
use crate::hash::Hash;
use crate::note::{MAX_NAME_LEN, Note, NoteError, NoteSigner, NoteVerifier};

/// Origin, a 20-digit size, 44 characters of root, three newlines.
const MAX_TEXT_LEN: usize = MAX_NAME_LEN + 20 + 44 + 3;

/// What a log commits to at one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log, also the name of its key.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
}

/// Why a checkpoint is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The text is not a checkpoint.
    #[error("checkpoint is malformed: {0}")]
    Malformed(&'static str),
    /// A checkpoint of another log.
    #[error("checkpoint is of log `{found}`, expected `{expected}`")]
    Origin {
        /// Origin line.
        found: String,
        /// Name of the key.
        expected: String,
    },
    /// The note or its signature.
    #[error(transparent)]
    Note(#[from] NoteError),
}

impl Checkpoint {
    /// Parses the note text strictly: what it returns writes the same bytes.
    pub fn parse(text: &str) -> Result<Checkpoint, CheckpointError> {
        let bad = CheckpointError::Malformed;
        if text.len() > MAX_TEXT_LEN {
            return Err(bad("too long"));
        }
        let body = text.strip_suffix('\n').ok_or(bad("no final newline"))?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(bad("expected the three lines origin, size, root"));
        };
        if origin.is_empty() || origin.len() > MAX_NAME_LEN || origin.chars().any(char::is_control) {
            return Err(bad("origin is empty, too long or has control characters"));
        }
        let size = decimal(size).ok_or(bad("size is not a decimal number without leading zeroes"))?;
        let root = base64::decode(root)
            .and_then(|b| Hash::from_slice(&b))
            .ok_or(bad("root is not 32 bytes in canonical base64"))?;
        Ok(Checkpoint { origin: origin.to_owned(), size, root })
    }

    /// Signs it with the log's key, whose name is the origin.
    pub fn sign(&self, signer: &NoteSigner) -> Result<Note, CheckpointError> {
        self.expect_origin(signer.verifier().name())?;
        let text = self.to_string();
        Checkpoint::parse(&text)?;
        Ok(signer.sign(&text)?)
    }

    /// Parses a signed checkpoint and verifies the log's signature; the key's name must be the origin.
    pub fn open(note: &[u8], log: &NoteVerifier) -> Result<(Checkpoint, Note), CheckpointError> {
        let note = Note::parse(note)?;
        log.verify(&note)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        checkpoint.expect_origin(log.name())?;
        Ok((checkpoint, note))
    }

    fn expect_origin(&self, expected: &str) -> Result<(), CheckpointError> {
        if self.origin == expected {
            return Ok(());
        }
        Err(CheckpointError::Origin { found: self.origin.clone(), expected: expected.to_owned() })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(&self.root.0))
    }
}

/// A decimal number in its one spelling.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (canonical && digits).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::sha256;

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: "log.example/ward".to_owned(), size: 20_852_163, root: sha256(&[b"root"]) }
    }

    #[test]
    fn the_specification_example_parses_and_writes_back() {
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let parsed = Checkpoint::parse(text).unwrap();
        assert_eq!((parsed.origin.as_str(), parsed.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(parsed.to_string(), text);
    }

    #[test]
    fn a_signed_checkpoint_opens_with_its_key_only() {
        let signer = NoteSigner::from_seed("log.example/ward", &[1; 32]).unwrap();
        let note = checkpoint().sign(&signer).unwrap().to_string();
        let (opened, _) = Checkpoint::open(note.as_bytes(), signer.verifier()).unwrap();
        assert_eq!(opened, checkpoint());
        let other_key = NoteSigner::from_seed("log.example/ward", &[2; 32]).unwrap();
        assert!(Checkpoint::open(note.as_bytes(), other_key.verifier()).is_err());
        let other_log = NoteSigner::from_seed("log.example/lab", &[1; 32]).unwrap();
        assert!(matches!(checkpoint().sign(&other_log), Err(CheckpointError::Origin { .. })));
        let foreign = other_log.sign(&checkpoint().to_string()).unwrap().to_string();
        let refused = Checkpoint::open(foreign.as_bytes(), other_log.verifier());
        assert!(matches!(refused, Err(CheckpointError::Origin { .. })));
    }

    #[test]
    fn every_truncation_and_bit_flip_of_a_signed_checkpoint_is_refused() {
        let signer = NoteSigner::from_seed("log.example/ward", &[1; 32]).unwrap();
        let note = checkpoint().sign(&signer).unwrap().to_string().into_bytes();
        for len in 0..note.len() {
            assert!(Checkpoint::open(&note[..len], signer.verifier()).is_err());
        }
        for bit in 0..note.len() * 8 {
            let mut flipped = note.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Checkpoint::open(&flipped, signer.verifier()).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        let root = BASE64.encode(&[0; 32]);
        for bad in [
            format!("o\n01\n{root}\n"),
            format!("o\n+1\n{root}\n"),
            format!("o\n\n{root}\n"),
            format!("o\n18446744073709551616\n{root}\n"),
            format!("o\n1\n{root}"),
            format!("o\n1\n{root}\nextension\n"),
            format!("\n1\n{root}\n"),
            "o\n1\nAAAA\n".to_owned(),
            format!("o\n1\n{}\n", root.replace("A=", "B=")),
            format!("{}\n1\n{root}\n", "o".repeat(256)),
        ] {
            assert!(Checkpoint::parse(&bad).is_err(), "{bad:?}");
        }
        assert!(Checkpoint::parse(&format!("o\n0\n{root}\n")).is_ok());
    }
}
