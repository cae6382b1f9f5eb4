//! C2SP tlog-cosignature v1 with Ed25519: a witness says that at a time this was the largest consistent checkpoint it saw.
//!
//! In scope: making and verifying type 0x04 lines. Out of scope: deciding to cosign (a witness must check consistency and
//! persist the size first); type 0x06 (ML-DSA-44), whose key type `note` already recognises.

use crate::note::{Note, NoteError, NoteSigner, NoteVerifier, Signature, SignatureType};

/// tlog-cosignature: a timestamp must not exceed 2^63 - 1.
const MAX_TIMESTAMP: u64 = i64::MAX as u64;

/// A witness's key.
#[derive(Debug)]
pub struct Cosigner(NoteSigner);

impl Cosigner {
    /// From a 32-byte seed.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Cosigner, NoteError> {
        NoteSigner::of_type(name, SignatureType::CosignatureEd25519, seed).map(Cosigner)
    }

    /// The public half, for [`verify`].
    pub fn verifier(&self) -> &NoteVerifier {
        self.0.verifier()
    }

    /// A cosignature line for the note's text at `seconds` since 1970.
    pub fn cosign(&self, note: &Note, seconds: u64) -> Result<Signature, NoteError> {
        if seconds > MAX_TIMESTAMP {
            return Err(NoteError::Malformed("cosignature time is above 2^63 - 1"));
        }
        let signature = self.0.key.sign(message(note.text(), seconds).as_bytes());
        let bytes = [&seconds.to_be_bytes()[..], signature.as_ref()].concat();
        Ok(Signature { name: self.verifier().name().to_owned(), key_id: self.verifier().key_id(), bytes })
    }
}

/// The time (seconds since 1970) at which this witness cosigned the note; the latest if it did so more than once.
pub fn verify(note: &Note, witness: &NoteVerifier) -> Result<u64, NoteError> {
    witness.expect_type(SignatureType::CosignatureEd25519)?;
    let latest = std::cell::Cell::new(0);
    witness.each_signature(note, |bytes| {
        let (seconds, signature) = bytes.split_first_chunk::<8>()?;
        let seconds = u64::from_be_bytes(*seconds);
        if seconds > MAX_TIMESTAMP {
            return None;
        }
        witness.check(message(note.text(), seconds).as_bytes(), signature)?;
        latest.set(latest.get().max(seconds));
        Some(())
    })?;
    Ok(latest.get())
}

fn message(text: &str, seconds: u64) -> String {
    format!("cosignature/v1\ntime {seconds}\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note() -> Note {
        let log = NoteSigner::from_seed("log.example", &[1; 32]).unwrap();
        log.sign("log.example\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n").unwrap()
    }

    #[test]
    fn a_cosigned_note_verifies_for_log_and_witness() {
        let witness = Cosigner::from_seed("w.example/w1", &[2; 32]).unwrap();
        let mut note = note();
        assert!(matches!(verify(&note, witness.verifier()), Err(NoteError::NoSignature { .. })));
        note.push(witness.cosign(&note, 1_679_315_147).unwrap()).unwrap();
        note.push(witness.cosign(&note, 1_679_315_999).unwrap()).unwrap();
        let read = Note::parse(note.to_string().as_bytes()).unwrap();
        let witness = NoteVerifier::parse(&witness.verifier().vkey()).unwrap();
        assert_eq!(verify(&read, &witness), Ok(1_679_315_999));
        let log = NoteSigner::from_seed("log.example", &[1; 32]).unwrap();
        assert_eq!(log.verifier().verify(&read), Ok(()));
    }

    #[test]
    fn another_time_text_or_key_is_refused() {
        let witness = Cosigner::from_seed("w.example/w1", &[2; 32]).unwrap();
        let line = witness.cosign(&note(), 100).unwrap();
        for bit in 0..line.bytes.len() * 8 {
            let mut flipped = line.clone();
            flipped.bytes[bit / 8] ^= 1 << (bit % 8);
            let mut note = note();
            note.push(flipped).unwrap();
            assert!(matches!(verify(&note, witness.verifier()), Err(NoteError::BadSignature { .. })));
        }
        let log = NoteSigner::from_seed("log.example", &[1; 32]).unwrap();
        let mut other = log.sign("other\n").unwrap();
        other.push(line).unwrap();
        assert!(verify(&other, witness.verifier()).is_err());
        // A log key is not a witness key, whatever its name.
        assert!(matches!(verify(&note(), log.verifier()), Err(NoteError::WrongType { .. })));
        assert!(witness.cosign(&note(), 1 << 63).is_err());
    }
}
