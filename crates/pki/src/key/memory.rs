//! Keys that live and die with the process: for tests, the simulator and keys that are made anew at each start.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::{PoisonError, RwLock};

use super::{KeyBackend, KeyEntry, KeyError, KeyKind, KeyLabel, LoadedKey};

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
        let key = LoadedKey::generate(kind)?;
        let spki = key.spki.clone();
        self.insert(label, key)?;
        Ok(spki)
    }

    fn public_spki(&self, label: &KeyLabel) -> Result<Vec<u8>, KeyError> {
        self.with(label, |key| Ok(key.spki.clone()))
    }

    fn sign(&self, label: &KeyLabel, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.with(label, |key| key.sign(message))
    }

    fn list(&self) -> Result<Vec<KeyEntry>, KeyError> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        Ok(keys.iter().map(|(label, key)| KeyEntry { label: label.clone(), kind: key.kind }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_keys_keep_the_contract() {
        assert_eq!(super::super::contract::check(&MemoryKeys::default(), "contract"), Ok(()));
    }

    #[test]
    fn keys_do_not_print_themselves() {
        let keys = MemoryKeys::default();
        keys.generate(&"a".parse().unwrap(), KeyKind::P256).unwrap();
        assert_eq!(format!("{keys:?}"), "MemoryKeys([redacted])");
    }
}
