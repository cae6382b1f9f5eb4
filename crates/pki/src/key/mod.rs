//! Keys that sign: the [`KeyBackend`] seam, and the sealed software backend behind it.
//!
//! A key is generated in its backend and never leaves it (I10); callers hold a [`KeyLabel`]. In scope: the kinds of
//! keys ([`KeyKind`]) and their two uses ([`KeyUse`]), sealing of other secrets at rest ([`seal`]), where the
//! passphrase comes from ([`passphrase`]) and what stands in its place for a root ([`shares`]), RSA key transport
//! ([`transport`]). Out of scope: which key signs what (the caller's), hardware modules (they implement
//! [`KeyBackend`] in a crate of their own and run [`contract::check`]).
//!
//! To add a backend: implement [`KeyBackend`], run [`contract::check`] in its tests. To add a kind: see [`KeyKind`].
//!
//! | state | lost | rolled back | written by an attacker |
//! |---|---|---|---|
//! | a sealed key file | the CA key is gone: new CA generation, renew the fleet; restore it from a backup together with the passphrase | an older file under the same label holds another key: [`crate::authority::Issuer::new`] and every signature compare it with the CA certificate and refuse | without the passphrase no file that opens can be written; any changed byte, or a file moved to another label, is refused; he can delete or restore old files, see left |
//! | the passphrase | all sealed files are lost with it | the old passphrase opens the old files only | he can read every key of a copied directory: new CA generation |
//! | unseal shares | fewer than the threshold lost: seal anew under new shares; more: as the passphrase | shares of an older set open the files of that set only | fewer than the threshold read: nothing; more: as the passphrase |

pub mod contract;
mod directory;
mod kind;
mod label;
mod memory;
mod pair;
pub mod passphrase;
pub mod seal;
pub mod shares;
mod software;
pub mod transport;

use std::path::PathBuf;
use std::sync::Arc;

pub use directory::SealedDirectory;
pub use kind::{BadKind, KeyKind, KeyUse};
pub use label::{BadLabel, KeyLabel};
pub use memory::MemoryKeys;
use pair::LoadedKey;
pub use software::SoftwareKeys;

use seal::SealError;

/// One key of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEntry {
    /// Its name.
    pub label: KeyLabel,
    /// What it is.
    pub kind: KeyKind,
    /// What it may be used for.
    pub usage: KeyUse,
}

/// Why a backend did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No key under that label.
    #[error("no key `{0}` in the key store")]
    NotFound(KeyLabel),
    /// Labels are used once; a key is never overwritten.
    #[error("key `{0}` exists already: keys are never overwritten, choose another label")]
    Exists(KeyLabel),
    /// The key under the label is not the one that the caller's certificate speaks of.
    #[error(
        "key `{0}` is not the key of its CA certificate: the key store was restored from another state, restore the matching one"
    )]
    NotTheCertifiedKey(KeyLabel),
    /// The file or directory can be read or written by others.
    #[error(
        "`{}` has mode {mode:04o} and can be read by others: run `chmod {fix:o} {}`", .path.display(), .path.display()
    )]
    Exposed {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The permission bits it should have.
        fix: u32,
    },
    /// The sealed file does not open.
    #[error("sealed file `{}`: {source}", .path.display())]
    Sealed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SealError,
    },
    /// Reading or writing failed.
    #[error("`{}`: {source}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The cryptographic module refused.
    #[error("the cryptographic module failed to {0}")]
    Crypto(&'static str),
    /// The backend cannot make or use such keys.
    #[error("the key backend cannot make keys of kind `{0}`: choose another kind or another backend")]
    Unsupported(KeyKind),
    /// The key was made to sign only, or its kind cannot do more.
    #[error("key `{0}` signs only: what decrypts is an RSA key that was made to decrypt")]
    CannotDecrypt(KeyLabel),
    /// The ciphertext is none for this key. The same for every reason; see [`transport`].
    #[error("the ciphertext does not decrypt with this key")]
    NotDecrypted,
    /// The backend will not do it, now or later: a person has to look.
    #[error("the key backend refuses: {0}")]
    Refused(String),
    /// The backend is not reachable now (hardware module, network).
    #[error("the key backend is unavailable: {0}")]
    Unavailable(String),
}

/// A place where signing keys live. Keys are made inside and never come out.
///
/// A key's use is fixed when it is made. [`generate`](Self::generate) makes one that only signs: every authority
/// (an RSA one too), every TLS and OCSP key. [`generate_to_decrypt`](Self::generate_to_decrypt) makes an RSA key
/// that signs and decrypts: a SCEP RA, and nothing else. A backend refuses the use that a key was not made for,
/// so that a CA key is no decryption oracle and the key that strangers may send ciphertexts to signs no
/// certificate.
///
/// Calls may block: software for some milliseconds (RSA generation for seconds), a hardware module up to the
/// timeout it was opened with. Asynchronous callers use a thread for blocking work. A call that cannot be answered
/// ends in [`KeyError::Unavailable`], never in a hang, and may be tried again; only a `generate` that ended so may
/// have made its key: look with [`public_spki`](Self::public_spki) first.
pub trait KeyBackend: Send + Sync {
    /// Makes a key that only signs under a new label and returns its SubjectPublicKeyInfo. Durable when it returns.
    fn generate(&self, label: &KeyLabel, kind: KeyKind) -> Result<Vec<u8>, KeyError>;

    /// As [`generate`](Self::generate), for an RSA key that signs and decrypts.
    fn generate_to_decrypt(&self, label: &KeyLabel, kind: KeyKind) -> Result<Vec<u8>, KeyError> {
        let _ = kind;
        Err(KeyError::CannotDecrypt(label.clone()))
    }

    /// The SubjectPublicKeyInfo of a key.
    fn public_spki(&self, label: &KeyLabel) -> Result<Vec<u8>, KeyError>;

    /// A signature over `message` in the form that X.509 has it (DER for ECDSA), with the key kind's own algorithm.
    fn sign(&self, label: &KeyLabel, message: &[u8]) -> Result<Vec<u8>, KeyError>;

    /// Opens an RSA PKCS#1 v1.5 ciphertext. Every ciphertext that does not open gives [`KeyError::NotDecrypted`],
    /// or, with some backends, random bytes: [`transport::content_key`] makes the two look the same.
    fn decrypt(&self, label: &KeyLabel, ciphertext: &[u8]) -> Result<Vec<u8>, KeyError> {
        let _ = ciphertext;
        Err(KeyError::CannotDecrypt(label.clone()))
    }

    /// All keys, ordered by label.
    fn list(&self) -> Result<Vec<KeyEntry>, KeyError>;
}

impl<T: KeyBackend + ?Sized> KeyBackend for Arc<T> {
    fn generate(&self, label: &KeyLabel, kind: KeyKind) -> Result<Vec<u8>, KeyError> {
        (**self).generate(label, kind)
    }
    fn generate_to_decrypt(&self, label: &KeyLabel, kind: KeyKind) -> Result<Vec<u8>, KeyError> {
        (**self).generate_to_decrypt(label, kind)
    }
    fn public_spki(&self, label: &KeyLabel) -> Result<Vec<u8>, KeyError> {
        (**self).public_spki(label)
    }
    fn sign(&self, label: &KeyLabel, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        (**self).sign(label, message)
    }
    fn decrypt(&self, label: &KeyLabel, ciphertext: &[u8]) -> Result<Vec<u8>, KeyError> {
        (**self).decrypt(label, ciphertext)
    }
    fn list(&self) -> Result<Vec<KeyEntry>, KeyError> {
        (**self).list()
    }
}
