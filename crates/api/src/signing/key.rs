//! An operator's personal key and its file: PKCS#8 PEM (RFC 8410), so that other tools read it, mode 0600.
//!
//! Lost: the operator is removed and added again with a new key. Rolled back: nothing, the key does not change.
//! Written by an attacker: their signatures do not match the public key that the log knows.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::BASE64;
use lanyard_domain::text::Digest;
use zeroize::Zeroizing;

/// RFC 8410 §7 without the optional public key: SEQUENCE { 0, { id-Ed25519 }, OCTET STRING { OCTET STRING(32) } }.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
/// The file has 119 bytes; more is another file.
const MAX_FILE: u64 = 4096;
const GROUP_AND_OTHERS: u32 = 0o077;

/// Why a key file was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Someone else on this machine can read it.
    #[error(
        "`{path}` can be read by others (mode {mode:03o}): run `chmod 600 {path}`, and replace the key if it was exposed"
    )]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Writing would destroy another key.
    #[error("`{0}` exists already and is not overwritten; choose another name or move it away")]
    Exists(PathBuf),
    /// Not the file we write.
    #[error("`{0}` is not an operator's key: expected an Ed25519 private key in PKCS#8 PEM")]
    Malformed(PathBuf),
    /// The system refused.
    #[error("cannot access `{path}`: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The random source failed.
    #[error("no randomness for a new key: the operating system's random source failed")]
    NoRandomness,
}

/// An operator's Ed25519 key.
pub struct OperatorKey {
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
}

impl OperatorKey {
    /// A new key.
    pub fn generate() -> Result<Self, KeyFileError> {
        let mut seed = Zeroizing::new([0u8; 32]);
        rand::fill(seed.as_mut_slice()).map_err(|_| KeyFileError::NoRandomness)?;
        Self::from_seed(seed).ok_or(KeyFileError::NoRandomness)
    }

    /// The key of a seed (RFC 8032 5.1.5).
    pub fn from_seed(seed: Zeroizing<[u8; 32]>) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).ok()?;
        Some(Self { seed, pair })
    }

    /// The public half, as `AddOperator` and `Bootstrap` name it.
    pub fn public_key(&self) -> Digest {
        // RFC 8032 5.1.5: always 32 bytes.
        Digest(self.pair.public_key().as_ref().try_into().unwrap_or_default())
    }

    /// Signs.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        // RFC 8032 5.1.6: always 64 bytes.
        self.pair.sign(message).as_ref().try_into().unwrap_or([0; 64])
    }

    /// Writes a new file that only its owner can read.
    pub fn write(&self, path: &Path) -> Result<(), KeyFileError> {
        let der = Zeroizing::new([PKCS8_PREFIX.as_slice(), self.seed.as_slice()].concat());
        let body = Zeroizing::new(BASE64.encode(&der));
        let text = Zeroizing::new(format!("{BEGIN}\n{}\n{END}\n", body.as_str()));
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|e| {
                match e.kind() {
                    ErrorKind::AlreadyExists => KeyFileError::Exists(path.to_owned()),
                    _ => io_error(path)(e),
                }
            })?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io_error(path))
    }

    /// Reads a key file, unless others can read it too.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let file = File::open(path).map_err(io_error(path))?;
        // Asked of the open file, not of the path: nobody can swap it in between.
        let mode = file.metadata().map_err(io_error(path))?.mode() & 0o777;
        if mode & GROUP_AND_OTHERS != 0 {
            return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
        }
        let mut text = Zeroizing::new(String::new());
        match file.take(MAX_FILE).read_to_string(&mut text) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::InvalidData => {
                return Err(KeyFileError::Malformed(path.to_owned()));
            }
            Err(e) => return Err(io_error(path)(e)),
        }
        parse(&text).ok_or_else(|| KeyFileError::Malformed(path.to_owned()))
    }
}

fn parse(text: &str) -> Option<OperatorKey> {
    let body = text.trim().strip_prefix(BEGIN)?.strip_suffix(END)?.trim();
    let der = Zeroizing::new(BASE64.decode(body.as_bytes()).ok()?);
    let seed: [u8; 32] = der.strip_prefix(&PKCS8_PREFIX)?.try_into().ok()?;
    OperatorKey::from_seed(Zeroizing::new(seed))
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> KeyFileError {
    let path = path.to_owned();
    move |source| KeyFileError::Io { path, source }
}

impl fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorKey({}, [redacted])", self.public_key())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    // I10
    #[test]
    fn key_file_is_private_reads_back_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("anna.key");
        let key = OperatorKey::generate().unwrap();
        key.write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(OperatorKey::read(&path).unwrap().public_key(), key.public_key());
        assert!(matches!(key.write(&path), Err(KeyFileError::Exists(_))));
        assert!(format!("{key:?}").ends_with("[redacted])"));
    }

    // I10
    #[test]
    fn key_file_that_others_can_read_is_refused_with_the_command_that_mends_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("anna.key");
        OperatorKey::generate().unwrap().write(&path).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o644, 0o610] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = OperatorKey::read(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::Exposed { mode: found, .. } if found == mode));
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn every_cut_of_a_key_file_is_malformed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("anna.key");
        OperatorKey::generate().unwrap().write(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for end in 0..text.trim_end().len() {
            fs::write(&path, &text.as_bytes()[..end]).unwrap();
            assert!(matches!(OperatorKey::read(&path), Err(KeyFileError::Malformed(_))), "cut at {end}");
        }
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(OperatorKey::read(&path), Err(KeyFileError::Malformed(_))));
        assert!(matches!(OperatorKey::read(&dir.path().join("none")), Err(KeyFileError::Io { .. })));
    }

    // RFC 8032 7.1, test 2.
    #[test]
    fn signature_is_that_of_the_published_vector() {
        let hex = |t: &str| data_encoding::HEXLOWER.decode(t.as_bytes()).unwrap();
        let seed: [u8; 32] =
            hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").try_into().unwrap();
        let key = OperatorKey::from_seed(Zeroizing::new(seed)).unwrap();
        assert_eq!(
            key.public_key().to_string(),
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
        );
        let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                         085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        assert_eq!(key.sign(&[0x72]).to_vec(), hex(signature));
    }
}
