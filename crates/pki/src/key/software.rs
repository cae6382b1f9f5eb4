//! The sealed software backend: keys made in this process, kept as sealed files, open in memory while it runs.
//!
//! For installations without a hardware module. Root on the machine can read the keys from memory; a stolen disk
//! or backup without the passphrase cannot give them away.

use super::directory::KEY;
use super::{
    KeyBackend, KeyEntry, KeyError, KeyKind, KeyLabel, KeyUse, LoadedKey, MemoryKeys, SealedDirectory,
};

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
        for label in directory.labels(KEY)? {
            loaded.insert(&label, read(&directory, &label)?)?;
        }
        Ok(Self { directory, loaded })
    }

    /// Opens the keys that open, and says which do not: for a server, where one damaged file must not stop what the
    /// others do. Such a key is looked for again whenever it is asked for, so that a file that is put back is used.
    pub fn open_readable(directory: SealedDirectory) -> Result<(Self, Vec<(KeyLabel, KeyError)>), KeyError> {
        let labels = directory.labels(KEY)?;
        let keys = Self { directory, loaded: MemoryKeys::default() };
        let mut unreadable = Vec::new();
        for label in labels {
            if let Err(error) = keys.load(&label) {
                unreadable.push((label, error));
            }
        }
        Ok((keys, unreadable))
    }

    /// Takes a key that is not open yet from its file.
    fn load(&self, label: &KeyLabel) -> Result<(), KeyError> {
        let key = read(&self.directory, label)?;
        match self.loaded.insert(label, key) {
            // Somebody else was first, with the same file.
            Ok(()) | Err(KeyError::Exists(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Asks the open keys, and the directory when there is none of that label.
    fn find<T>(
        &self,
        label: &KeyLabel,
        ask: impl Fn(&MemoryKeys) -> Result<T, KeyError>,
    ) -> Result<T, KeyError> {
        match ask(&self.loaded) {
            Err(KeyError::NotFound(_)) => {
                self.load(label)?;
                ask(&self.loaded)
            }
            found => found,
        }
    }

    /// The other secrets of the same directory.
    pub fn secrets(&self) -> &SealedDirectory {
        &self.directory
    }
}

fn read(directory: &SealedDirectory, label: &KeyLabel) -> Result<LoadedKey, KeyError> {
    // Kind and use stand in the purpose, which is authenticated: a file cannot be made to open as another.
    let opened = directory.read(label, KEY)?.ok_or_else(|| KeyError::NotFound(label.clone()))?;
    for kind in KeyKind::ALL {
        for usage in [KeyUse::Sign, KeyUse::SignAndDecrypt] {
            if opened.purpose == purpose(label, kind, usage) {
                return LoadedKey::from_pkcs8(kind, usage, &opened.secret);
            }
        }
    }
    Err(directory.misplaced(label, KEY, format!("key {label}"), opened.purpose))
}

/// What is sealed into the file. The form for keys that sign is that of the first version: such files are in use.
fn purpose(label: &KeyLabel, kind: KeyKind, usage: KeyUse) -> String {
    match usage {
        KeyUse::Sign => format!("key {kind} {label}"),
        KeyUse::SignAndDecrypt => format!("key {kind}+decrypt {label}"),
    }
}

impl SoftwareKeys {
    fn make(&self, label: &KeyLabel, kind: KeyKind, usage: KeyUse) -> Result<Vec<u8>, KeyError> {
        if !kind.fits(usage) {
            return Err(KeyError::CannotDecrypt(label.clone()));
        }
        // Looked at before the work, because an RSA key takes seconds, and again when the file is written.
        if self.loaded.public_spki(label).is_ok() {
            return Err(KeyError::Exists(label.clone()));
        }
        let key = LoadedKey::generate(kind, usage)?;
        let spki = key.spki.clone();
        // Durable first: a key that signs and is gone after a crash would leave certificates without an issuer.
        self.directory.write_new(label, KEY, &purpose(label, kind, usage), &key.to_pkcs8()?)?;
        self.loaded.insert(label, key)?;
        Ok(spki)
    }
}

impl KeyBackend for SoftwareKeys {
    fn generate(&self, label: &KeyLabel, kind: KeyKind) -> Result<Vec<u8>, KeyError> {
        self.make(label, kind, KeyUse::Sign)
    }

    fn generate_to_decrypt(&self, label: &KeyLabel, kind: KeyKind) -> Result<Vec<u8>, KeyError> {
        self.make(label, kind, KeyUse::SignAndDecrypt)
    }

    fn public_spki(&self, label: &KeyLabel) -> Result<Vec<u8>, KeyError> {
        self.find(label, |keys| keys.public_spki(label))
    }

    fn sign(&self, label: &KeyLabel, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.find(label, |keys| keys.sign(label, message))
    }

    fn decrypt(&self, label: &KeyLabel, ciphertext: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.find(label, |keys| keys.decrypt(label, ciphertext))
    }

    fn list(&self) -> Result<Vec<KeyEntry>, KeyError> {
        self.loaded.list()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};

    use super::super::contract;
    use super::super::passphrase::Passphrase;
    use super::super::seal::{Cost, SealError, Sealer};
    use super::super::shares;
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
        assert_eq!(contract::check_kinds(&keys, "contract", &KeyKind::ALL), Ok(()));
        let again = open(&path, "correct horse battery").unwrap();
        assert_eq!(again.list().unwrap(), keys.list().unwrap());
        for entry in keys.list().unwrap() {
            assert_eq!(again.public_spki(&entry.label).unwrap(), keys.public_spki(&entry.label).unwrap());
            assert!(again.sign(&entry.label, b"x").is_ok());
        }
        // The use is sealed with the key.
        let label: KeyLabel = "contract-decrypts".parse().unwrap();
        let secret = contract::encrypt_to(&again.public_spki(&label).unwrap(), &[7; 16]).unwrap();
        assert_eq!(again.decrypt(&label, &secret).unwrap(), [7; 16]);
        let label: KeyLabel = "contract-rsa2048".parse().unwrap();
        let secret = contract::encrypt_to(&again.public_spki(&label).unwrap(), &[7; 16]).unwrap();
        assert!(matches!(again.decrypt(&label, &secret), Err(KeyError::CannotDecrypt(_))));
    }

    /// Written by the first release, when there were two kinds of keys: what is sealed once opens for ever.
    #[test]
    fn a_directory_of_the_first_release_opens() {
        let recorded = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/sealed-1");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
        for name in ["root-g1.key", "issuing-g1.key", "token-key.secret"] {
            fs::copy(recorded.join(name), path.join(name)).unwrap();
            fs::set_permissions(path.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let keys = open(&path, "correct horse battery").unwrap();
        for (label, kind, ends_with) in [
            ("issuing-g1", KeyKind::P256, "7ddb9603c56a8acf4a"),
            ("root-g1", KeyKind::P384, "7027481afcbb08"),
        ] {
            let label: KeyLabel = label.parse().unwrap();
            let spki = keys.public_spki(&label).unwrap();
            assert!(data_encoding::HEXLOWER.encode(&spki).ends_with(ends_with), "{label}");
            let signature = keys.sign(&label, b"x").unwrap();
            let public = crate::spki::PublicKey::parse(&spki).unwrap();
            assert_eq!(public.verify(&kind.signature_oid(), b"x", &signature), Ok(()));
        }
        let secret = keys.secrets().secret(&"token-key".parse().unwrap()).unwrap().unwrap();
        assert_eq!(secret.as_slice(), b"recorded secret");
        assert!(matches!(
            open(&path, "correct horse batterz"),
            Err(KeyError::Sealed { source: SealError::WrongPassphrase, .. })
        ));
    }

    #[test]
    fn a_root_under_shares_opens_with_the_people_and_not_with_a_passphrase() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root");
        let label: KeyLabel = "root-g2".parse().unwrap();
        let (key, dealt) = shares::deal(3, 5).unwrap();
        let sealed = SealedDirectory::open(&path, Sealer::of_shares(key)).unwrap();
        let spki = SoftwareKeys::open(sealed).unwrap().generate(&label, KeyKind::P384).unwrap();
        let typed: Vec<_> =
            [4, 0, 2].iter().map(|n| shares::Share::parse(&dealt[*n].to_text()).unwrap()).collect();
        let sealer = Sealer::of_shares(shares::combine(&typed).unwrap());
        let again = SoftwareKeys::open(SealedDirectory::open_existing(&path, sealer).unwrap()).unwrap();
        assert_eq!(again.public_spki(&label).unwrap(), spki);
        assert!(again.sign(&label, b"x").is_ok());
        assert!(matches!(
            open(&path, "correct horse battery"),
            Err(KeyError::Sealed { source: SealError::NeedsShares { threshold: 3, .. }, .. })
        ));
    }

    #[test]
    fn one_damaged_file_is_named_and_the_other_keys_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let keys = open(&path, "correct horse battery").unwrap();
        let (good, bad): (KeyLabel, KeyLabel) = ("good".parse().unwrap(), "bad".parse().unwrap());
        let spki = keys.generate(&bad, KeyKind::P256).unwrap();
        keys.generate(&good, KeyKind::P256).unwrap();
        let file = path.join("bad.key");
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        assert!(open(&path, "correct horse battery").is_err(), "a gateway's start stops");
        let passphrase = Passphrase::from_bytes("correct horse battery".into(), "test").unwrap();
        let sealed = SealedDirectory::open(&path, Sealer::new(passphrase, Cost::LEAST)).unwrap();
        let (keys, unreadable) = SoftwareKeys::open_readable(sealed).unwrap();
        assert_eq!(unreadable.iter().map(|(label, _)| label).collect::<Vec<_>>(), [&bad]);
        assert!(keys.sign(&good, b"x").is_ok());
        for answer in [keys.public_spki(&bad), keys.sign(&bad, b"x")] {
            assert!(matches!(answer, Err(KeyError::Sealed { .. })), "{answer:?}");
        }
        // It is not taken for a label that is free.
        assert!(matches!(keys.generate(&bad, KeyKind::P256), Err(KeyError::Exists(_))));
        fs::write(&file, &whole).unwrap();
        assert_eq!(keys.public_spki(&bad).unwrap(), spki);
        assert!(keys.sign(&bad, b"x").is_ok());
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
