//! A PKCS#11 library in this process: loaded once for all who use it, initialised again when it was lost.
//!
//! C_Initialize and C_Finalize act on the whole process, and C_Finalize while another thread is inside the library is
//! undefined (PKCS#11 3.1, 5.4). So every call is made under [`Module::enter`], and [`Module::revive`] runs only when
//! nobody is inside. A library is never unloaded: its threads and exit handlers may outlive any of our values.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, TryLockError};
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::slot::Slot;

use crate::config::Config;
use crate::error::{HsmError, meaning};

/// Not more often: each try may cost a network timeout inside the library, and takes every token of it away.
const REVIVE_EVERY: Duration = Duration::from_secs(1);

static MODULES: Mutex<BTreeMap<PathBuf, Arc<Module>>> = Mutex::new(BTreeMap::new());

pub(crate) struct Module {
    context: Pkcs11,
    life: RwLock<Life>,
    /// Held while making a key: PKCS#11 itself does not mind two keys of one label.
    making: Mutex<()>,
}

/// Between one C_Initialize and the next; sessions and handles are worth nothing beyond it.
pub(crate) struct Life {
    pub generation: u64,
    /// Whether the last C_Initialize succeeded.
    is_up: bool,
    /// Somebody else in this process initialised it: then it is not ours to finalise.
    is_ours: bool,
    since: Instant,
}

impl Module {
    /// The library at `path`, initialised.
    pub(crate) fn load(path: &Path) -> Result<Arc<Self>, HsmError> {
        let failed = |why: String| HsmError::Module { path: path.to_owned(), why };
        let real = fs::canonicalize(path).map_err(|e| failed(e.to_string()))?;
        let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.get(&real) {
            return Ok(module.clone());
        }
        let context = Pkcs11::new(&real).map_err(|e| failed(e.to_string()))?;
        let life = Life { generation: 0, is_up: false, is_ours: true, since: Instant::now() };
        let module = Arc::new(Self { context, life: RwLock::new(life), making: Mutex::new(()) });
        module.initialize(&mut module.life.write().unwrap_or_else(PoisonError::into_inner))?;
        modules.insert(real, module.clone());
        Ok(module)
    }

    fn initialize(&self, life: &mut Life) -> Result<(), HsmError> {
        life.generation += 1;
        life.is_up = false;
        // OS locking: our threads are inside at the same time (PKCS#11 3.1, 5.4.1).
        let outcome = self.context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
        life.since = Instant::now();
        match outcome {
            Ok(()) => life.is_ours = true,
            Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => life.is_ours = false,
            Err(other) => return Err(meaning(other, "initialise")),
        }
        life.is_up = true;
        Ok(())
    }

    pub(crate) fn context(&self) -> &Pkcs11 {
        &self.context
    }

    /// Leave to be inside the library, for as long as the guard lives.
    pub(crate) fn enter(&self) -> RwLockReadGuard<'_, Life> {
        self.life.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn making(&self) -> MutexGuard<'_, ()> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finalises and initialises, unless somebody did since `generation`. Fails when it is too soon, when the library
    /// is not ours, and when somebody is inside (perhaps stuck): then only a restart of the process helps.
    pub(crate) fn revive(&self, generation: u64) -> Result<(), HsmError> {
        let mut life = match self.life.try_write() {
            Ok(life) => life,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(HsmError::Lost(
                    "another call is inside the library (if that lasts, restart this process)".into(),
                ));
            }
        };
        if life.generation != generation && life.is_up {
            return Ok(());
        }
        if !life.is_ours {
            return Err(HsmError::Lost("it was initialised by other code of this process".into()));
        }
        if life.since.elapsed() < REVIVE_EVERY {
            return Err(HsmError::Lost("it was initialised a moment ago".into()));
        }
        // Whatever it answers: what counts is whether it comes up again.
        let _ = self.context.clone().finalize();
        self.initialize(&mut life)
    }

    /// The slot that holds the token. A slot that cannot tell what it holds may be the one: then it is lost, not absent.
    pub(crate) fn slot(&self, life: &Life, config: &Config) -> Result<Slot, HsmError> {
        if !life.is_up {
            return Err(HsmError::Lost("it is not initialised".into()));
        }
        let slots = self.context.get_slots_with_token().map_err(|e| meaning(e, "list its slots"))?;
        let (mut fitting, mut found, mut broken) = (Vec::new(), Vec::new(), None);
        for slot in slots {
            match self.context.get_token_info(slot) {
                Ok(info) if info.label() == config.token => {
                    found.push(format!("`{}` (serial `{}`)", info.label(), info.serial_number()));
                    if config.serial.as_deref().is_none_or(|serial| serial == info.serial_number()) {
                        fitting.push(slot);
                    }
                }
                Ok(info) if info.token_initialized() => found.push(format!("`{}`", info.label())),
                Ok(_) => {}
                Err(error) => broken = Some(error),
            }
        }
        match (fitting.as_slice(), broken) {
            ([slot], _) => Ok(*slot),
            ([], Some(error)) => Err(meaning(error, "read its tokens")),
            ([], None) => {
                let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
                Err(HsmError::NoToken { label: config.token.clone(), found })
            }
            (several, _) => Err(HsmError::Ambiguous(several.len(), config.token.clone())),
        }
    }

    /// Labels of all initialised tokens.
    pub(crate) fn token_labels(&self) -> Result<Vec<String>, HsmError> {
        let _inside = self.enter();
        let slots = self.context.get_slots_with_token().map_err(|e| meaning(e, "list its slots"))?;
        let mut labels = Vec::new();
        for slot in slots {
            let info = self.context.get_token_info(slot).map_err(|e| meaning(e, "read its tokens"))?;
            if info.token_initialized() {
                labels.push(info.label().to_owned());
            }
        }
        Ok(labels)
    }
}
