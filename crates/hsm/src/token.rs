//! What all workers of one token share: where it is, its PIN, and the keys that were seen.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::types::RawAuthPin;
use lanyard_pki::key::passphrase::Pin;
use lanyard_pki::key::{KeyKind, KeyLabel, KeyUse};
use lanyard_pki::spki::PublicKey;

use crate::config::Config;
use crate::error::{HsmError, meaning};
use crate::module::Module;

pub(crate) struct Token {
    pub config: Config,
    pin: RawAuthPin,
    /// Held while logging in, and remembers a refusal: four workers must not make four wrong tries of one.
    login: Mutex<Option<String>>,
    module: OnceLock<Arc<Module>>,
    /// By label, for as long as we run: a label that holds another key later is not believed.
    known: RwLock<BTreeMap<KeyLabel, Arc<Known>>>,
}

/// A key whose public part was checked against a signature of the private one.
#[derive(PartialEq)]
pub(crate) struct Known {
    pub kind: KeyKind,
    pub usage: KeyUse,
    pub public: PublicKey,
}

impl Token {
    pub(crate) fn new(config: Config, pin: Pin) -> Result<Self, HsmError> {
        config.check()?;
        Ok(Self {
            config,
            pin: RawAuthPin::new(Box::new(pin.as_bytes().to_vec())),
            login: Mutex::new(None),
            module: OnceLock::new(),
            known: RwLock::new(BTreeMap::new()),
        })
    }

    /// The library, loaded at the first call. On a worker's thread: loading may block.
    pub(crate) fn module(&self) -> Result<Arc<Module>, HsmError> {
        if let Some(module) = self.module.get() {
            return Ok(module.clone());
        }
        let module = Module::load(&self.config.module)?;
        Ok(self.module.get_or_init(|| module).clone())
    }

    /// Logs in; a refused PIN is refused for good.
    pub(crate) fn login(&self, session: &Session) -> Result<(), HsmError> {
        let mut refused = self.login.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = refused.as_ref() {
            return Err(HsmError::Pin(why.clone()));
        }
        match session.login_with_raw(UserType::User, &self.pin) {
            // The login is the process's, not the session's (PKCS#11 3.1, 5.6.8).
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(other) => {
                let meaning = meaning(other, "log in");
                if let HsmError::Pin(why) = &meaning {
                    *refused = Some(why.clone());
                }
                Err(meaning)
            }
        }
    }

    pub(crate) fn known(&self, label: &KeyLabel) -> Option<Arc<Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(label).cloned()
    }

    /// Remembers what was seen under a label; `None` when something else was seen there before.
    pub(crate) fn remember(&self, label: &KeyLabel, seen: Known) -> Option<Arc<Known>> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match known.get(label) {
            Some(kept) => (**kept == seen).then(|| kept.clone()),
            None => {
                let seen = Arc::new(seen);
                known.insert(label.clone(), seen.clone());
                Some(seen)
            }
        }
    }
}
