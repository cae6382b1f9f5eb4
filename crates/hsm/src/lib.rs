//! Signing keys in a hardware module, over PKCS#11: [`Hsm`] is a [`pki::key::KeyBackend`](KeyBackend).
//!
//! In scope: one token of one module, found by its label; keys found by theirs; a bounded number of sessions; loss and
//! return of the module. Out of scope: initialising tokens and setting PINs (the module's own tools, by its officer), PIN
//! pads, moving keys in or out. A crate of its own because it loads a C library at run time (`cryptoki` wraps the
//! unsafe part), which no pure crate may.
//!
//! **Nothing here hangs.** A call into a C library cannot be broken off. So every such call runs on a thread of the
//! token's own (`workers`); who asked waits for as long as the configuration says and then gets
//! [`KeyError::Unavailable`], and asks that would wait behind nothing but stuck calls get it at once.
//!
//! **Loss and return.** Any sign of loss (device removed, session or handle invalid, a token whose objects are gone)
//! drops the session and tries once more with a fresh one. Where that fails the module is finalised and initialised
//! again, at most once a second and only when no call is inside it: software in front of network modules often comes
//! back in no other way. "No such key" is said only after the token was asked whether it is still there: a missing token
//! must not look like a missing CA key, for which somebody would make a new one.
//!
//! **What is believed.** A public key object can be written by whoever may write to the token without its PIN, and an
//! object handle may be given to another object. So a key's first use, and every signature, is verified with its
//! public key before it leaves this crate; a key that changes under its label while we run is refused.
//!
//! | state | lost | rolled back | written by an attacker |
//! |---|---|---|---|
//! | the token | its keys are gone: restore the module's own backup, or new CA generations | an older backup lacks newer keys, and says so by "no key"; a key of another state under an old label does not fit its CA certificate and is refused | without the PIN: public objects only, see above; with it he signs, and the module's log says so |
//! | the PIN | the module's officer sets a new one | refused once and not tried again until a restart, so that three starts cannot lock it | wrong PIN: the start fails, one wrong try is counted; *read*: he signs for as long as he reaches the module |
//!
//! To add a kind of key: `mechanism`, and its line in the tests' list of what the module has.

#![warn(missing_docs)]

mod config;
mod connection;
mod error;
mod key;
mod mechanism;
mod module;
mod token;
mod workers;

use std::fmt;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use lanyard_pki::key::passphrase::Pin;
use lanyard_pki::key::{KeyBackend, KeyEntry, KeyError, KeyKind, KeyLabel, KeyUse};

pub use config::Config;
pub use error::HsmError;

use token::Token;
use workers::{Reply, Request, Workers};

/// A token of a hardware module.
pub struct Hsm {
    workers: Workers,
    timeout: Duration,
    generate_timeout: Duration,
    kinds: Vec<KeyKind>,
    name: String,
}

impl fmt::Debug for Hsm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hsm({})", self.name)
    }
}

impl Hsm {
    /// Loads the module, finds the token and logs in. Blocks, for as long as [`Config::generate_timeout`] at most.
    pub fn open(config: Config, pin: Pin) -> Result<Self, HsmError> {
        let (timeout, generate_timeout) = (config.timeout, config.generate_timeout);
        let name = format!("`{}` in {}", config.token, config.module.display());
        let workers = Workers::start(Token::new(config, pin)?)?;
        let Reply::Kinds(kinds) = workers.ask(Request::Connect, generate_timeout)? else {
            return Err(HsmError::Lost("the worker gave another answer".into()));
        };
        Ok(Self { workers, timeout, generate_timeout, kinds, name })
    }

    /// The kinds of keys that the token makes.
    pub fn kinds(&self) -> &[KeyKind] {
        &self.kinds
    }

    /// Sessions in a call that did not come back while somebody waited for it. Above zero for long, and it is worth an
    /// alarm: the library cannot be initialised again while a call is inside, so a lost module may stay lost until this
    /// process is restarted.
    pub fn stuck_sessions(&self) -> usize {
        self.workers.stuck()
    }

    fn bytes(&self, request: Request, timeout: Duration) -> Result<Vec<u8>, KeyError> {
        match self.workers.ask(request, timeout)? {
            Reply::Bytes(bytes) => Ok(bytes),
            Reply::Kinds(_) | Reply::Keys(_) => {
                Err(KeyError::Unavailable("the worker gave another answer".into()))
            }
        }
    }

    fn make(&self, label: &KeyLabel, kind: KeyKind, usage: KeyUse) -> Result<Vec<u8>, KeyError> {
        if !kind.fits(usage) {
            return Err(KeyError::CannotDecrypt(label.clone()));
        }
        if !self.kinds.contains(&kind) {
            return Err(KeyError::Unsupported(kind));
        }
        self.bytes(Request::Generate { label: label.clone(), kind, usage }, self.generate_timeout)
    }
}

impl KeyBackend for Hsm {
    fn generate(&self, label: &KeyLabel, kind: KeyKind) -> Result<Vec<u8>, KeyError> {
        self.make(label, kind, KeyUse::Sign)
    }

    fn generate_to_decrypt(&self, label: &KeyLabel, kind: KeyKind) -> Result<Vec<u8>, KeyError> {
        self.make(label, kind, KeyUse::SignAndDecrypt)
    }

    fn public_spki(&self, label: &KeyLabel) -> Result<Vec<u8>, KeyError> {
        // What was seen once is not asked for again: each signature is checked against it.
        if let Some(known) = self.workers.token().known(label) {
            return Ok(known.public.der().to_vec());
        }
        self.bytes(Request::Public(label.clone()), self.timeout)
    }

    fn sign(&self, label: &KeyLabel, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.bytes(Request::Sign { label: label.clone(), message: message.to_vec() }, self.timeout)
    }

    fn decrypt(&self, label: &KeyLabel, ciphertext: &[u8]) -> Result<Vec<u8>, KeyError> {
        let ciphertext = ciphertext.to_vec();
        self.bytes(Request::Decrypt { label: label.clone(), ciphertext }, self.timeout)
    }

    fn list(&self) -> Result<Vec<KeyEntry>, KeyError> {
        match self.workers.ask(Request::List, self.generate_timeout)? {
            Reply::Keys(keys) => Ok(keys),
            Reply::Kinds(_) | Reply::Bytes(_) => {
                Err(KeyError::Unavailable("the worker gave another answer".into()))
            }
        }
    }
}

/// The tokens that a module has, by label, for whoever writes the configuration. Logs in nowhere. Waits at most `timeout`.
pub fn tokens(module: &Path, timeout: Duration) -> Result<Vec<String>, HsmError> {
    let (reply, answer) = sync_channel(1);
    let path = module.to_owned();
    thread::Builder::new()
        .name("hsm-tokens".into())
        .spawn(move || {
            let _ = reply.send(module::Module::load(&path).and_then(|module| module.token_labels()));
        })
        .map_err(|e| HsmError::Lost(format!("cannot start a thread: {e}")))?;
    let late = |_| HsmError::Lost(format!("no answer within {} s", timeout.as_secs_f32()));
    answer.recv_timeout(timeout).map_err(late)?
}
