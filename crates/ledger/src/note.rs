//! C2SP signed-note: a text with one or more signature lines, keys by name and key id.
//!
//! In scope: the container, Ed25519 (type 0x01), verifier keys ("vkeys"). Out of scope: what the text says
//! (`checkpoint`) and timestamped signatures over it (`cosign`).
//! To add a signature type: a variant of [`SignatureType`], its key length, and a verifier beside `cosign`.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use data_encoding::{BASE64, HEXLOWER};

use crate::base64;
use crate::hash::sha256;

/// A note with 64 post-quantum signatures (2,420 bytes each in base64, plus names) stays below this.
pub const MAX_NOTE_LEN: usize = 256 * 1024;
/// signed-note asks verifiers to accept at least 16.
pub const MAX_SIGNATURES: usize = 64;
/// Longest key name.
pub const MAX_NAME_LEN: usize = 255;

const DASH: &str = "\u{2014} ";

/// signed-note's signature type bytes that this crate knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureType {
    /// 0x01: Ed25519 over the note text.
    Ed25519,
    /// 0x04: timestamped Ed25519 cosignature.
    CosignatureEd25519,
    /// 0x06: timestamped ML-DSA-44 cosignature. Recognised in keys and skipped in notes; not yet verified.
    CosignatureMlDsa44,
}

impl SignatureType {
    /// The byte in key ids and vkeys.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::CosignatureEd25519 => 0x04,
            Self::CosignatureMlDsa44 => 0x06,
        }
    }

    /// Length of a public key.
    pub const fn key_len(self) -> usize {
        match self {
            Self::Ed25519 | Self::CosignatureEd25519 => 32,
            Self::CosignatureMlDsa44 => 1312,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Ed25519, Self::CosignatureEd25519, Self::CosignatureMlDsa44]
            .into_iter()
            .find(|t| t.byte() == byte)
    }
}

/// Why a note, key or signature is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not a signed note.
    #[error("note is malformed: {0}")]
    Malformed(&'static str),
    /// Not a verifier key.
    #[error("verifier key is malformed: {0}")]
    BadKey(&'static str),
    /// A name that signed-note does not allow.
    #[error("`{0}` is not a key name: 1 to 255 bytes without spaces, plus or control characters")]
    BadName(String),
    /// A key of a type that cannot be used here.
    #[error("key `{name}` has signature type {found:#04x}, expected {expected:#04x}")]
    WrongType {
        /// Key name.
        name: String,
        /// Type of the key.
        found: u8,
        /// Type needed.
        expected: u8,
    },
    /// No signature by this key.
    #[error("note has no signature by `{name}` with key id {key_id:08x}")]
    NoSignature {
        /// Key name.
        name: String,
        /// Key id.
        key_id: u32,
    },
    /// A signature by this key that does not verify.
    #[error("signature by `{name}` with key id {key_id:08x} is wrong")]
    BadSignature {
        /// Key name.
        name: String,
        /// Key id.
        key_id: u32,
    },
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Key name.
    pub name: String,
    /// Key id.
    pub key_id: u32,
    /// What follows the key id.
    pub bytes: Vec<u8>,
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [&self.key_id.to_be_bytes()[..], &self.bytes].concat();
        writeln!(f, "{DASH}{} {}", self.name, BASE64.encode(&blob))
    }
}

/// A parsed note; its signatures are not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// From a text and at least one signature.
    pub fn new(text: String, signatures: Vec<Signature>) -> Result<Note, NoteError> {
        Note::parse(Note { text, signatures }.to_string().as_bytes())
    }

    /// Parses strictly: what it returns writes the same bytes.
    pub fn parse(bytes: &[u8]) -> Result<Note, NoteError> {
        let bad = NoteError::Malformed;
        if bytes.len() > MAX_NOTE_LEN {
            return Err(bad("longer than 256 KiB"));
        }
        let all = std::str::from_utf8(bytes).map_err(|_| bad("not UTF-8"))?;
        if all.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(bad("control character"));
        }
        // The text is everything up to the last empty line, so it may itself hold empty lines.
        let (head, lines) = all.rsplit_once("\n\n").ok_or(bad("no empty line before the signatures"))?;
        let lines = lines.strip_suffix('\n').ok_or(bad("last signature line has no newline"))?;
        let signatures = lines.split('\n').map(parse_signature).collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(bad("more than 64 signatures"));
        }
        Ok(Note { text: format!("{head}\n"), signatures })
    }

    /// The signed text with its final newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signature lines, also of unknown keys.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds a signature line.
    pub fn push(&mut self, signature: Signature) -> Result<(), NoteError> {
        let mut signatures = self.signatures.clone();
        signatures.push(signature);
        *self = Note::new(self.text.clone(), signatures)?;
        Ok(())
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|s| fmt::Display::fmt(s, f))
    }
}

fn parse_signature(line: &str) -> Result<Signature, NoteError> {
    let bad = NoteError::Malformed;
    let (name, blob) = line
        .strip_prefix(DASH)
        .and_then(|rest| rest.split_once(' '))
        .ok_or(bad("signature line is not dash, name, base64"))?;
    check_name(name)?;
    let blob = base64::decode(blob).ok_or(bad("signature is not canonical base64"))?;
    let (key_id, bytes) = blob.split_first_chunk::<4>().ok_or(bad("signature is shorter than a key id"))?;
    if bytes.is_empty() {
        return Err(bad("signature is empty"));
    }
    Ok(Signature { name: name.to_owned(), key_id: u32::from_be_bytes(*key_id), bytes: bytes.to_vec() })
}

pub(crate) fn check_name(name: &str) -> Result<(), NoteError> {
    let allowed = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
    if name.is_empty() || name.len() > MAX_NAME_LEN || !name.chars().all(allowed) {
        return Err(NoteError::BadName(name.chars().take(64).collect()));
    }
    Ok(())
}

/// signed-note: first four bytes of SHA-256(name || 0x0A || type || public key).
pub fn key_id(name: &str, kind: SignatureType, public_key: &[u8]) -> u32 {
    let hash = sha256(&[name.as_bytes(), b"\n", &[kind.byte()], public_key]);
    let [a, b, c, d, ..] = hash.0;
    u32::from_be_bytes([a, b, c, d])
}

/// A public key with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteVerifier {
    name: String,
    kind: SignatureType,
    key_id: u32,
    key: Vec<u8>,
}

impl NoteVerifier {
    /// From its parts.
    pub fn new(name: &str, kind: SignatureType, key: &[u8]) -> Result<NoteVerifier, NoteError> {
        check_name(name)?;
        if key.len() != kind.key_len() {
            return Err(NoteError::BadKey("wrong key length for its type"));
        }
        Ok(NoteVerifier { name: name.to_owned(), kind, key_id: key_id(name, kind, key), key: key.to_vec() })
    }

    /// Parses a vkey: `name+key id in hex+base64(type || key)`.
    pub fn parse(vkey: &str) -> Result<NoteVerifier, NoteError> {
        let bad = NoteError::BadKey;
        // Longest: a name, a key id and an ML-DSA-44 key in base64.
        if vkey.len() > MAX_NAME_LEN + 10 + 1752 {
            return Err(bad("too long"));
        }
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(id), Some(blob)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad("expected name+keyid+base64"));
        };
        let blob = base64::decode(blob).ok_or(bad("key is not canonical base64"))?;
        let (kind, key) = blob.split_first().ok_or(bad("key is empty"))?;
        let kind = SignatureType::from_byte(*kind).ok_or(bad("unknown signature type"))?;
        let verifier = NoteVerifier::new(name, kind, key)?;
        if HEXLOWER.encode(&verifier.key_id.to_be_bytes()) != id {
            return Err(bad("key id does not fit name and key"));
        }
        Ok(verifier)
    }

    /// The vkey.
    pub fn vkey(&self) -> String {
        let blob = [&[self.kind.byte()][..], &self.key].concat();
        format!("{}+{:08x}+{}", self.name, self.key_id, BASE64.encode(&blob))
    }

    /// Key name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Key id.
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// What kind of signature this key makes.
    pub fn signature_type(&self) -> SignatureType {
        self.kind
    }

    /// The public key's bytes.
    pub fn public_key(&self) -> &[u8] {
        &self.key
    }

    /// Passes if this key signed the text and every signature line of this key is right; other keys are ignored.
    pub fn verify(&self, note: &Note) -> Result<(), NoteError> {
        self.expect_type(SignatureType::Ed25519)?;
        self.each_signature(note, |bytes| self.check(note.text().as_bytes(), bytes)).map(drop)
    }

    pub(crate) fn expect_type(&self, expected: SignatureType) -> Result<(), NoteError> {
        if self.kind == expected {
            return Ok(());
        }
        let (found, expected) = (self.kind.byte(), expected.byte());
        Err(NoteError::WrongType { name: self.name.clone(), found, expected })
    }

    /// Runs `check` over all lines of this key; the first line's result, an error if any line fails or none is there.
    pub(crate) fn each_signature<T>(
        &self,
        note: &Note,
        check: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<T, NoteError> {
        let (name, key_id) = (self.name.clone(), self.key_id);
        let mut first = None;
        for s in note.signatures().iter().filter(|s| s.name == self.name && s.key_id == self.key_id) {
            let value = check(&s.bytes).ok_or(NoteError::BadSignature { name: name.clone(), key_id })?;
            first.get_or_insert(value);
        }
        first.ok_or(NoteError::NoSignature { name, key_id })
    }

    pub(crate) fn check(&self, message: &[u8], signature: &[u8]) -> Option<()> {
        UnparsedPublicKey::new(&ED25519, &self.key).verify(message, signature).ok()
    }
}

/// An Ed25519 key with its name. Holds the private key; has no `Display` and its `Debug` shows the name only.
pub struct NoteSigner {
    pub(crate) verifier: NoteVerifier,
    pub(crate) key: Ed25519KeyPair,
}

impl NoteSigner {
    /// From a 32-byte seed.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<NoteSigner, NoteError> {
        NoteSigner::of_type(name, SignatureType::Ed25519, seed)
    }

    pub(crate) fn of_type(name: &str, kind: SignatureType, seed: &[u8; 32]) -> Result<NoteSigner, NoteError> {
        let key =
            Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::BadKey("seed is not usable"))?;
        let verifier = NoteVerifier::new(name, kind, key.public_key().as_ref())?;
        Ok(NoteSigner { verifier, key })
    }

    /// The public half.
    pub fn verifier(&self) -> &NoteVerifier {
        &self.verifier
    }

    /// Signs a text, which ends in a newline.
    pub fn sign(&self, text: &str) -> Result<Note, NoteError> {
        let bytes = self.key.sign(text.as_bytes()).as_ref().to_vec();
        let signature = Signature { name: self.verifier.name.clone(), key_id: self.verifier.key_id, bytes };
        let text = text.strip_suffix('\n').ok_or(NoteError::Malformed("text does not end in a newline"))?;
        Note::new(format!("{text}\n"), vec![signature])
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteSigner({}, [redacted])", self.verifier.name)
    }
}

#[cfg(test)]
#[path = "note_tests.rs"]
mod tests;
