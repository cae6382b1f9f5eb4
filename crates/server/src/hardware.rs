//! The hardware module of the configuration, as authorities use it: opened when it is there, known to be away when it is not,
//! opened or logged in again when it returns. No restart, but for a refused PIN: that is not tried twice.
//!
//! Calls into it block. Each is made where it may ([`tokio::task::block_in_place`]), and no more than [`MOST_CALLS`] wait at once,
//! so that a module that hangs leaves threads for everything else. In scope: presence. Out of scope: sessions, which are the
//! crate `lanyard-hsm`'s; which authority's key is in it (control's `stores`).
//!
//! State: none of its own. The PIN is read anew when the module is opened, and kept in memory only by the module.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use lanyard_control::stores::Token;
use lanyard_hsm::{Config, Hsm, HsmError};
use lanyard_pki::key::passphrase::{PassphraseError, Pin};
use lanyard_pki::key::{KeyBackend, KeyEntry, KeyError, KeyKind, KeyLabel};
use tokio::runtime::{Handle, RuntimeFlavor};

/// Half of the threads that tokio has for blocking work: 512 less what the log and everything else needs.
const MOST_CALLS: usize = 256;
/// The environment variable with the PIN.
const VARIABLE: &str = "LANYARD_HSM_PIN";
/// The systemd credential with the PIN.
const CREDENTIAL: &str = "lanyard-hsm-pin";

/// A module, and where its PIN comes from.
#[derive(Debug, Clone)]
pub struct Pkcs11 {
    /// Which token of which module.
    pub config: Config,
    /// File with the PIN; without it the environment variable `LANYARD_HSM_PIN`, then the systemd credential `lanyard-hsm-pin`.
    pub pin_file: Option<PathBuf>,
}

impl Pkcs11 {
    fn pin(&self) -> Result<Pin, PassphraseError> {
        match &self.pin_file {
            Some(path) => Pin::from_file(path),
            None if std::env::var_os(VARIABLE).is_some() => Pin::from_env(VARIABLE),
            None => Pin::from_credential(CREDENTIAL),
        }
    }
}

/// What a look at the module found.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// As before.
    None,
    /// It was there at the last look.
    Lost(String),
    /// It was away at the last look.
    Back,
}

enum Module {
    Open(Arc<Hsm>),
    /// Not opened yet: try again.
    Closed(String),
    /// Trying again would do harm.
    Refused(String),
}

/// The module.
pub struct Hardware {
    setting: Pkcs11,
    module: RwLock<Module>,
    /// Why it is away, from the first call that fails to the look that finds it.
    away: RwLock<Option<String>>,
    /// What the last look found, for [`Change`].
    told: Mutex<Option<String>>,
    calls: AtomicUsize,
}

impl fmt::Debug for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hardware(`{}`)", self.setting.config.token)
    }
}

impl Hardware {
    /// Opens it. One that is not there is looked for later; everything that does not need it goes on.
    pub fn open(setting: Pkcs11) -> Self {
        let hardware = Self {
            module: RwLock::new(Module::Closed("not opened yet".to_owned())),
            away: RwLock::default(),
            told: Mutex::default(),
            calls: AtomicUsize::default(),
            setting,
        };
        if let Change::Lost(why) = hardware.look() {
            tracing::error!(%why, "the hardware module is not there; its authorities sign nothing until it is");
        }
        hardware
    }

    /// Whether it is away.
    pub fn is_away(&self) -> bool {
        self.away.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Calls that did not come back.
    pub fn stuck_sessions(&self) -> usize {
        match &*self.module.read().unwrap_or_else(PoisonError::into_inner) {
            Module::Open(hsm) => hsm.stuck_sessions(),
            Module::Closed(_) | Module::Refused(_) => 0,
        }
    }

    /// Looks whether it is there, and opens it if it never was. Blocks.
    pub fn look(&self) -> Change {
        let found = self.hsm().or_else(|_| self.reopen()).and_then(|hsm| hsm.list().map(|_| ()));
        let away = found.err().map(|error| error.to_string());
        (*self.away.write().unwrap_or_else(PoisonError::into_inner)).clone_from(&away);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let change = match (&*told, &away) {
            (None, Some(why)) => Change::Lost(why.clone()),
            (Some(_), None) => Change::Back,
            (None, None) | (Some(_), Some(_)) => Change::None,
        };
        *told = away;
        change
    }

    fn hsm(&self) -> Result<Arc<Hsm>, KeyError> {
        match &*self.module.read().unwrap_or_else(PoisonError::into_inner) {
            Module::Open(hsm) => Ok(Arc::clone(hsm)),
            Module::Closed(why) => Err(KeyError::Unavailable(why.clone())),
            Module::Refused(why) => Err(KeyError::Refused(why.clone())),
        }
    }

    fn reopen(&self) -> Result<Arc<Hsm>, KeyError> {
        if let Module::Refused(why) = &*self.module.read().unwrap_or_else(PoisonError::into_inner) {
            return Err(KeyError::Refused(why.clone()));
        }
        let opened = self
            .setting
            .pin()
            .map_err(|error| Module::Closed(error.to_string()))
            .and_then(|pin| Hsm::open(self.setting.config.clone(), pin).map_err(closed));
        let mut module = self.module.write().unwrap_or_else(PoisonError::into_inner);
        *module = match opened {
            Ok(hsm) => Module::Open(Arc::new(hsm)),
            Err(closed) => closed,
        };
        drop(module);
        self.hsm()
    }

    fn ask<T>(&self, call: impl FnOnce(&Hsm) -> Result<T, KeyError>) -> Result<T, KeyError> {
        let hsm = self.hsm()?;
        let _slot = Slot::take(&self.calls)?;
        let answer = where_it_may_block(|| call(&hsm));
        if let Err(error @ (KeyError::Unavailable(_) | KeyError::Refused(_))) = &answer {
            // From here on nothing is begun that would need it, until a look has found it again.
            self.away
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert_with(|| error.to_string());
        }
        answer
    }
}

fn closed(error: HsmError) -> Module {
    let why = error.to_string();
    match KeyError::from(error) {
        KeyError::Unavailable(_) => Module::Closed(why),
        _ => Module::Refused(why),
    }
}

/// One of the calls that may wait at once.
struct Slot<'a>(&'a AtomicUsize);

impl<'a> Slot<'a> {
    fn take(calls: &'a AtomicUsize) -> Result<Self, KeyError> {
        let slot = Self(calls);
        if slot.0.fetch_add(1, Ordering::SeqCst) < MOST_CALLS {
            return Ok(slot);
        }
        Err(KeyError::Unavailable(format!("{MOST_CALLS} calls wait for the hardware module already")))
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn where_it_may_block<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

impl KeyBackend for Hardware {
    fn generate(&self, label: &KeyLabel, kind: KeyKind) -> Result<Vec<u8>, KeyError> {
        self.ask(|hsm| hsm.generate(label, kind))
    }
    fn generate_to_decrypt(&self, label: &KeyLabel, kind: KeyKind) -> Result<Vec<u8>, KeyError> {
        self.ask(|hsm| hsm.generate_to_decrypt(label, kind))
    }
    fn public_spki(&self, label: &KeyLabel) -> Result<Vec<u8>, KeyError> {
        self.ask(|hsm| hsm.public_spki(label))
    }
    fn sign(&self, label: &KeyLabel, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.ask(|hsm| hsm.sign(label, message))
    }
    fn decrypt(&self, label: &KeyLabel, ciphertext: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.ask(|hsm| hsm.decrypt(label, ciphertext))
    }
    fn list(&self) -> Result<Vec<KeyEntry>, KeyError> {
        self.ask(Hsm::list)
    }
}

impl Token for Hardware {
    fn away(&self) -> Option<String> {
        self.away.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
