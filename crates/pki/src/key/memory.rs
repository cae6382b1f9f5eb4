//! Keys that live and die with the process: for tests, the simulator and keys that are made anew at each start.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::{PoisonError, RwLock};

use super::{KeyBackend, KeyEntry, KeyError, KeyKind, KeyLabel, KeyUse, LoadedKey};

/// A [`KeyBackend`] without storage.
#[derive(Default)]
pub struct MemoryKeys {
    keys: RwLock<BTreeMap<KeyLabel, LoadedKey>>,
}

impl fmt::Debug for MemoryKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryKeys([redacted])")
    }
}

impl MemoryKeys {
    /// Takes in a key that was read back from a sealed file.
    pub(super) fn insert(&self, label: &KeyLabel, key: LoadedKey) -> Result<(), KeyError> {
        // A poisoned lock: the map has no half-done state, every write is one insert.
        match self.keys.write().unwrap_or_else(PoisonError::into_inner).entry(label.clone()) {
            Entry::Occupied(_) => Err(KeyError::Exists(label.clone())),
            Entry::Vacant(slot) => {
                slot.insert(key);
                Ok(())
            }
        }
    }

    fn make(&self, label: &KeyLabel, kind: KeyKind, usage: KeyUse) -> Result<Vec<u8>, KeyError> {
        // Looked at before the work, because an RSA key takes seconds, and again by `insert`, because of others.
        if self.keys.read().unwrap_or_else(PoisonError::into_inner).contains_key(label) {
            return Err(KeyError::Exists(label.clone()));
        }
        let key = LoadedKey::generate(kind, usage)?;
        let spki = key.spki.clone();
        self.insert(label, key)?;
        Ok(spki)
    }

    fn with<T>(
        &self,
        label: &KeyLabel,
        use_key: impl FnOnce(&LoadedKey) -> Result<T, KeyError>,
    ) -> Result<T, KeyError> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        use_key(keys.get(label).ok_or_else(|| KeyError::NotFound(label.clone()))?)
    }
}

impl KeyBackend for MemoryKeys {
    fn generate(&self, label: &KeyLabel, kind: KeyKind) -> Result<Vec<u8>, KeyError> {
        self.make(label, kind, KeyUse::Sign)
    }

    fn generate_to_decrypt(&self, label: &KeyLabel, kind: KeyKind) -> Result<Vec<u8>, KeyError> {
        if !kind.fits(KeyUse::SignAndDecrypt) {
            return Err(KeyError::CannotDecrypt(label.clone()));
        }
        self.make(label, kind, KeyUse::SignAndDecrypt)
    }

    fn public_spki(&self, label: &KeyLabel) -> Result<Vec<u8>, KeyError> {
        self.with(label, |key| Ok(key.spki.clone()))
    }

    fn sign(&self, label: &KeyLabel, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.with(label, |key| key.sign(message))
    }

    fn decrypt(&self, label: &KeyLabel, ciphertext: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.with(label, |key| key.decrypt(label, ciphertext))
    }

    fn list(&self) -> Result<Vec<KeyEntry>, KeyError> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let entry = |(label, key): (&KeyLabel, &LoadedKey)| KeyEntry {
            label: label.clone(),
            kind: key.kind,
            usage: key.usage,
        };
        Ok(keys.iter().map(entry).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_keys_keep_the_contract() {
        let keys = MemoryKeys::default();
        assert_eq!(super::super::contract::check_kinds(&keys, "contract", &KeyKind::ALL), Ok(()));
    }

    #[test]
    fn keys_do_not_print_themselves() {
        let keys = MemoryKeys::default();
        keys.generate(&"a".parse().unwrap(), KeyKind::P256).unwrap();
        assert_eq!(format!("{keys:?}"), "MemoryKeys([redacted])");
    }
}
