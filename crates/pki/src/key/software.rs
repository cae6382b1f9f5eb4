//! The sealed software backend: keys made in this process, kept as sealed files, open in memory while it runs.
//!
//! For installations without a hardware module. Root on the machine can read the keys from memory; a stolen disk
//! or backup without the passphrase cannot give them away.

use super::seal::SealError;
use super::{KeyBackend, KeyEntry, KeyError, KeyKind, KeyLabel, LoadedKey, MemoryKeys, SealedDirectory};

/// The file name extension of a key; other secrets of the directory have `.secret`.
const EXTENSION: &str = "key";

/// A [`KeyBackend`] over a [`SealedDirectory`].
#[derive(Debug)]
pub struct SoftwareKeys {
    directory: SealedDirectory,
    loaded: MemoryKeys,
}

impl SoftwareKeys {
    /// Opens all keys of the directory; one that does not open is an error, not a gap.
    pub fn open(directory: SealedDirectory) -> Result<Self, KeyError> {
        let loaded = MemoryKeys::default();
        for label in directory.labels(EXTENSION)? {
            loaded.insert(&label, read(&directory, &label)?)?;
        }
        Ok(Self { directory, loaded })
    }

    /// The other secrets of the same directory.
    pub fn secrets(&self) -> &SealedDirectory {
        &self.directory
    }
}

fn read(directory: &SealedDirectory, label: &KeyLabel) -> Result<LoadedKey, KeyError> {
    // The kind stands in the purpose, which is authenticated; a key is one of two kinds.
    for kind in [KeyKind::P256, KeyKind::P384] {
        match directory.read(label, EXTENSION, &purpose(label, kind)) {
            Ok(Some(pkcs8)) => return LoadedKey::from_pkcs8(kind, &pkcs8),
            Ok(None) => return Err(KeyError::NotFound(label.clone())),
            Err(KeyError::Sealed { source: SealError::OtherPurpose { found, .. }, .. })
                if kind == KeyKind::P256 && found == purpose(label, KeyKind::P384) => {}
            Err(other) => return Err(other),
        }
    }
    Err(KeyError::NotFound(label.clone()))
}

fn purpose(label: &KeyLabel, kind: KeyKind) -> String {
    format!("key {} {label}", kind.as_str())
}

impl KeyBackend for SoftwareKeys {
    fn generate(&self, label: &KeyLabel, kind: KeyKind) -> Result<Vec<u8>, KeyError> {
        let key = LoadedKey::generate(kind)?;
        let spki = key.spki.clone();
        // Durable first: a key that signs and is gone after a crash would leave certificates without an issuer.
        let pkcs8 = key.pair.to_pkcs8v1().map_err(|_| KeyError::Crypto("encode a key pair"))?;
        self.directory.write_new(label, EXTENSION, &purpose(label, kind), pkcs8.as_ref())?;
        self.loaded.insert(label, key)?;
        Ok(spki)
    }

    fn public_spki(&self, label: &KeyLabel) -> Result<Vec<u8>, KeyError> {
        self.loaded.public_spki(label)
    }

    fn sign(&self, label: &KeyLabel, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.loaded.sign(label, message)
    }

    fn list(&self) -> Result<Vec<KeyEntry>, KeyError> {
        self.loaded.list()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::contract;
    use super::super::passphrase::Passphrase;
    use super::super::seal::{Cost, Sealer};
    use super::*;

    fn open(path: &std::path::Path, passphrase: &str) -> Result<SoftwareKeys, KeyError> {
        let passphrase = Passphrase::from_bytes(passphrase.into(), "test").unwrap();
        SoftwareKeys::open(SealedDirectory::open(path, Sealer::new(passphrase, Cost::LEAST))?)
    }

    #[test]
    fn software_keys_keep_the_contract_and_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let keys = open(&path, "correct horse battery").unwrap();
        assert_eq!(contract::check(&keys, "contract"), Ok(()));
        let again = open(&path, "correct horse battery").unwrap();
        assert_eq!(again.list().unwrap(), keys.list().unwrap());
        for entry in keys.list().unwrap() {
            assert_eq!(again.public_spki(&entry.label).unwrap(), keys.public_spki(&entry.label).unwrap());
            assert!(again.sign(&entry.label, b"x").is_ok());
        }
    }

    // I10
    #[test]
    fn a_changed_key_file_and_a_wrong_passphrase_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let label: KeyLabel = "root".parse().unwrap();
        open(&path, "correct horse battery").unwrap().generate(&label, KeyKind::P384).unwrap();
        assert!(matches!(
            open(&path, "correct horse batterz"),
            Err(KeyError::Sealed { source: SealError::WrongPassphrase, .. })
        ));
        let file = path.join("root.key");
        let good = fs::read(&file).unwrap();
        // The middle and the end; every byte of the format is flipped in the tests of `seal`.
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            fs::write(&file, &bad).unwrap();
            assert!(matches!(open(&path, "correct horse battery"), Err(KeyError::Sealed { .. })), "{at}");
        }
        fs::write(&file, &good).unwrap();
        // A key of one label copied to another would sign as another authority.
        fs::copy(&file, path.join("issuing.key")).unwrap();
        assert!(matches!(open(&path, "correct horse battery"), Err(KeyError::Sealed { .. })));
    }

    #[test]
    fn the_private_key_is_not_in_the_file_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let keys = open(&path, "correct horse battery").unwrap();
        let label: KeyLabel = "root".parse().unwrap();
        keys.generate(&label, KeyKind::P256).unwrap();
        let sealed = fs::read(path.join("root.key")).unwrap();
        // DER of id-ecPublicKey stands in every PKCS#8 EC key.
        let marker = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
        assert!(!sealed.windows(marker.len()).any(|w| w == marker));
        assert!(!format!("{keys:?}").contains("correct horse"));
    }
}
