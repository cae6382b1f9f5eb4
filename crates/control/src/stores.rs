//! The places where keys are: sealed files, and a hardware module if there is one. Every key is asked for by its label; which
//! place an authority's is in stands in the ledger, and all keys of our services are sealed files.
//!
//! A module that is away costs nobody's time: what would need it is refused as "try later" before anything is begun, and
//! authorities whose keys are elsewhere do not notice. In scope: which place. Out of scope: loss and return (the store's own).
//! To add a place: a variant of `domain::authority::KeyStore`, its arm in [`KeyStores::of`].

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use lanyard_domain::authority::KeyStore;
use lanyard_pki::key::{KeyBackend, KeyEntry, KeyError, KeyKind, KeyLabel};

/// A store that can go away and come back.
pub trait Token: KeyBackend {
    /// Why nothing can be asked of it now; `None` while it answers.
    fn away(&self) -> Option<String>;
}

/// All stores, by label.
pub struct KeyStores {
    sealed: Arc<dyn KeyBackend>,
    token: Option<Arc<dyn Token>>,
    /// Labels that are not in sealed files.
    elsewhere: RwLock<HashMap<KeyLabel, KeyStore>>,
}

impl KeyStores {
    /// Sealed files, and a hardware module if one is configured.
    pub fn new(sealed: Arc<dyn KeyBackend>, token: Option<Arc<dyn Token>>) -> Self {
        Self { sealed, token, elsewhere: RwLock::default() }
    }

    /// Whether there is such a store here.
    pub(crate) fn has(&self, store: KeyStore) -> bool {
        store == KeyStore::Sealed || self.token.is_some()
    }

    /// From now on this label is looked for there.
    pub(crate) fn place(&self, label: &KeyLabel, store: KeyStore) {
        let mut elsewhere = self.elsewhere.write().unwrap_or_else(PoisonError::into_inner);
        match store {
            KeyStore::Sealed => elsewhere.remove(label),
            KeyStore::Pkcs11 => elsewhere.insert(label.clone(), store),
        };
    }

    /// That keys of this store can be used now.
    pub(crate) fn ready(&self, store: KeyStore) -> Result<(), KeyError> {
        match store {
            KeyStore::Sealed => Ok(()),
            KeyStore::Pkcs11 => {
                self.of(store)?;
                self.token
                    .as_ref()
                    .and_then(|t| t.away())
                    .map_or(Ok(()), |why| Err(KeyError::Unavailable(why)))
            }
        }
    }

    /// One of them.
    pub(crate) fn of(&self, store: KeyStore) -> Result<&dyn KeyBackend, KeyError> {
        match (store, &self.token) {
            (KeyStore::Sealed, _) => Ok(self.sealed.as_ref()),
            (KeyStore::Pkcs11, Some(token)) => Ok(token.as_ref()),
            (KeyStore::Pkcs11, None) => Err(KeyError::Unavailable(
                "there is no [keys.pkcs11] in the configuration; the key is in a hardware module".to_owned(),
            )),
        }
    }

    fn at(&self, label: &KeyLabel) -> Result<&dyn KeyBackend, KeyError> {
        let elsewhere = self.elsewhere.read().unwrap_or_else(PoisonError::into_inner);
        self.of(elsewhere.get(label).copied().unwrap_or_default())
    }
}

impl KeyBackend for KeyStores {
    fn generate(&self, label: &KeyLabel, kind: KeyKind) -> Result<Vec<u8>, KeyError> {
        self.at(label)?.generate(label, kind)
    }
    fn generate_to_decrypt(&self, label: &KeyLabel, kind: KeyKind) -> Result<Vec<u8>, KeyError> {
        self.at(label)?.generate_to_decrypt(label, kind)
    }
    fn public_spki(&self, label: &KeyLabel) -> Result<Vec<u8>, KeyError> {
        self.at(label)?.public_spki(label)
    }
    fn sign(&self, label: &KeyLabel, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.at(label)?.sign(label, message)
    }
    fn decrypt(&self, label: &KeyLabel, ciphertext: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.at(label)?.decrypt(label, ciphertext)
    }
    fn list(&self) -> Result<Vec<KeyEntry>, KeyError> {
        let mut all = self.sealed.list()?;
        if let Some(token) = &self.token {
            all.extend(token.list()?);
        }
        all.sort_by(|a, b| a.label.cmp(&b.label));
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use lanyard_pki::key::{MemoryKeys, contract};

    use super::*;

    #[derive(Default)]
    struct Module(MemoryKeys, RwLock<Option<String>>);

    impl KeyBackend for Module {
        fn generate(&self, label: &KeyLabel, kind: KeyKind) -> Result<Vec<u8>, KeyError> {
            self.0.generate(label, kind)
        }
        fn public_spki(&self, label: &KeyLabel) -> Result<Vec<u8>, KeyError> {
            self.0.public_spki(label)
        }
        fn sign(&self, label: &KeyLabel, message: &[u8]) -> Result<Vec<u8>, KeyError> {
            self.0.sign(label, message)
        }
        fn list(&self) -> Result<Vec<KeyEntry>, KeyError> {
            self.0.list()
        }
    }
    impl Token for Module {
        fn away(&self) -> Option<String> {
            self.1.read().unwrap().clone()
        }
    }

    #[test]
    fn the_stores_together_keep_the_contract_of_one() {
        let stores = KeyStores::new(Arc::new(MemoryKeys::default()), Some(Arc::new(Module::default())));
        assert_eq!(contract::check_kinds(&stores, "contract", &KeyKind::ALL), Ok(()));
    }

    // I10: a key is where the ledger says, and nowhere else.
    #[test]
    fn a_key_is_made_and_used_in_its_place_only() {
        let (sealed, module) = (Arc::new(MemoryKeys::default()), Arc::new(Module::default()));
        let stores = KeyStores::new(Arc::clone(&sealed) as _, Some(Arc::clone(&module) as _));
        let (here, there): (KeyLabel, KeyLabel) = ("here".parse().unwrap(), "there".parse().unwrap());
        stores.place(&there, KeyStore::Pkcs11);
        stores.generate(&here, KeyKind::P256).unwrap();
        stores.generate(&there, KeyKind::P256).unwrap();
        assert!(sealed.public_spki(&there).is_err() && module.public_spki(&here).is_err());
        assert!(stores.sign(&here, b"x").is_ok() && stores.sign(&there, b"x").is_ok());
        *module.1.write().unwrap() = Some("pulled out".into());
        assert!(stores.ready(KeyStore::Sealed).is_ok());
        let away = stores.ready(KeyStore::Pkcs11).unwrap_err().to_string();
        assert!(away.contains("pulled out"), "{away}");
        let none = KeyStores::new(sealed, None);
        assert!(none.has(KeyStore::Sealed) && !none.has(KeyStore::Pkcs11));
        none.place(&there, KeyStore::Pkcs11);
        assert!(matches!(none.sign(&there, b"x"), Err(KeyError::Unavailable(_))));
    }
}
