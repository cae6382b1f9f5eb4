//! One session on the token: opened, logged in, dropped when it is lost, and what is asked of it.

use std::collections::HashMap;
use std::sync::{Arc, RwLockReadGuard};

use cryptoki::context::Function;
use cryptoki::error::Error;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use cryptoki::slot::Slot;
use lanyard_pki::key::{KeyEntry, KeyError, KeyLabel, KeyUse};
use lanyard_pki::spki::PublicKeyKind;

use crate::error::{HsmError, meaning};
use crate::key;
use crate::mechanism;
use crate::module::{Life, Module};
use crate::token::{Known, Token};
use crate::workers::{Reply, Request};

pub(crate) struct Connection {
    token: Arc<Token>,
    open: Option<Open>,
}

struct Open {
    session: Session,
    slot: Slot,
    generation: u64,
    keys: HashMap<KeyLabel, Held>,
}

/// A key's handle in this session, and what it is.
#[derive(Clone)]
struct Held {
    handle: ObjectHandle,
    known: Arc<Known>,
}

/// Inside the library, with a session.
struct Inside<'a> {
    token: &'a Token,
    module: &'a Module,
    life: RwLockReadGuard<'a, Life>,
    open: &'a mut Open,
}

impl Connection {
    pub(crate) fn new(token: Arc<Token>) -> Self {
        Self { token, open: None }
    }

    /// Does what is asked. A session that was there before may have died meanwhile: then once more with a fresh one.
    pub(crate) fn answer(&mut self, request: &Request) -> Result<Reply, HsmError> {
        let had_session = self.open.is_some();
        let mut answer = self.once(request);
        if had_session && is_lost(&answer) {
            self.forget();
            answer = self.once(request);
        }
        if is_lost(&answer) {
            self.forget();
        }
        answer
    }

    fn once(&mut self, request: &Request) -> Result<Reply, HsmError> {
        let token = self.token.clone();
        let module = token.module()?;
        let mut inside = self.enter(&token, &module)?;
        match request {
            Request::Connect => mechanism::kinds(module.context(), inside.open.slot).map(Reply::Kinds),
            Request::Generate { label, kind, usage } => inside.generate(label, *kind, *usage),
            Request::Public(label) => Ok(Reply::Bytes(inside.key(label)?.known.public.der().to_vec())),
            Request::Sign { label, message } => inside.sign(label, message),
            Request::Decrypt { label, ciphertext } => inside.decrypt(label, ciphertext),
            Request::List => inside.list(),
        }
    }

    fn enter<'a>(&'a mut self, token: &'a Token, module: &'a Module) -> Result<Inside<'a>, HsmError> {
        let mut life = module.enter();
        // Of an earlier life of the library: its handle may be somebody else's now, so it is not closed.
        if self.open.as_ref().is_some_and(|open| open.generation != life.generation) {
            self.open = None;
        }
        if self.open.is_none() {
            let open = match connect(token, module, &life) {
                Err(first @ (HsmError::Lost(_) | HsmError::NoToken { .. })) => {
                    let generation = life.generation;
                    drop(life);
                    if let Err(HsmError::Lost(why)) = module.revive(generation) {
                        return Err(with(first, &why));
                    }
                    life = module.enter();
                    connect(token, module, &life)?
                }
                other => other?,
            };
            self.open = Some(open);
        }
        let open = self.open.as_mut().ok_or_else(|| HsmError::Lost("it has no session".into()))?;
        Ok(Inside { token, module, life, open })
    }

    /// Gives the session back, if it is still one of this life of the library.
    pub(crate) fn forget(&mut self) {
        let (Some(open), Ok(module)) = (self.open.take(), self.token.module()) else { return };
        let life = module.enter();
        if open.generation == life.generation {
            // Of a lost token it cannot be closed; it ends with the library's life.
            let _ = open.session.close();
        }
    }
}

fn is_lost(answer: &Result<Reply, HsmError>) -> bool {
    matches!(answer, Err(HsmError::Lost(_) | HsmError::WrongSignature(_)))
}

/// The reason, and why the library was not initialised again.
fn with(error: HsmError, why: &str) -> HsmError {
    match error {
        HsmError::Lost(first) => HsmError::Lost(format!("{first}; not initialised again, {why}")),
        other => other,
    }
}

fn connect(token: &Token, module: &Module, life: &Life) -> Result<Open, HsmError> {
    let slot = module.slot(life, &token.config)?;
    // Read-only: signing writes nothing, and network modules count sessions that may write.
    let session = module.context().open_ro_session_no_drop(slot).map_err(|e| meaning(e, "open a session"))?;
    if let Err(error) = token.login(&session) {
        let _ = session.close();
        return Err(error);
    }
    Ok(Open { session, slot, generation: life.generation, keys: HashMap::new() })
}

impl Inside<'_> {
    /// The key under a label, found and proved at its first use in this session.
    fn key(&mut self, label: &KeyLabel) -> Result<Held, HsmError> {
        if let Some(held) = self.open.keys.get(label) {
            return Ok(held.clone());
        }
        let Some(handle) = key::find(&self.open.session, label)? else {
            self.is_there()?;
            return Err(KeyError::NotFound(label.clone()).into());
        };
        let publics = key::publics(&self.open.session, label)?;
        let seen = key::read(&self.open.session, label, handle, &publics)?;
        let known = self
            .token
            .remember(label, seen)
            .ok_or_else(|| HsmError::from(KeyError::NotTheCertifiedKey(label.clone())))?;
        let held = Held { handle, known };
        self.open.keys.insert(label.clone(), held.clone());
        Ok(held)
    }

    /// Whether the token can be asked at all. Some modules answer "no such object" for a token that is gone.
    fn is_there(&self) -> Result<(), HsmError> {
        let slot = match self.module.slot(&self.life, &self.token.config) {
            Ok(slot) => slot,
            Err(HsmError::NoToken { .. }) => return Err(HsmError::Lost("its token is gone".into())),
            Err(other) => return Err(other),
        };
        if slot == self.open.slot { Ok(()) } else { Err(HsmError::Lost("its token moved".into())) }
    }

    fn sign(&mut self, label: &KeyLabel, message: &[u8]) -> Result<Reply, HsmError> {
        let held = self.key(label)?;
        let signature = key::sign(&self.open.session, held.handle, held.known.kind, message)?;
        // A handle may have become another object's, and a fault in an RSA signature gives the key away: nothing
        // leaves that does not verify. 40 microseconds for P-256, beside a module's millisecond.
        let algorithm = held.known.kind.signature_oid();
        if held.known.public.verify(&algorithm, message, &signature).is_err() {
            return Err(HsmError::WrongSignature(label.clone()));
        }
        Ok(Reply::Bytes(signature))
    }

    fn decrypt(&mut self, label: &KeyLabel, ciphertext: &[u8]) -> Result<Reply, HsmError> {
        let held = self.key(label)?;
        let PublicKeyKind::Rsa(bits) = held.known.public.kind() else {
            return Err(KeyError::CannotDecrypt(label.clone()).into());
        };
        if held.known.usage != KeyUse::SignAndDecrypt {
            return Err(KeyError::CannotDecrypt(label.clone()).into());
        }
        // RFC 8017 7.2.2, step 1: asks for nothing secret, so the module is not bothered.
        if ciphertext.len() != bits.div_ceil(8) {
            return Err(KeyError::NotDecrypted.into());
        }
        match self.open.session.decrypt(&Mechanism::RsaPkcs, held.handle, ciphertext) {
            Ok(plain) => Ok(Reply::Bytes(plain)),
            // Modules have many words for a wrong padding, GENERAL_ERROR among them. It is one as long as the module is
            // there; which word it was, nobody gets to know.
            Err(Error::Pkcs11(_, Function::Decrypt))
                if self.open.session.get_session_info().is_ok() && self.is_there().is_ok() =>
            {
                Err(KeyError::NotDecrypted.into())
            }
            Err(other) => Err(meaning(other, "decrypt")),
        }
    }

    fn list(&mut self) -> Result<Reply, HsmError> {
        let mut entries = Vec::new();
        for label in key::labels(&self.open.session)? {
            match self.key(&label) {
                Ok(Held { known, .. }) => {
                    entries.push(KeyEntry { label, kind: known.kind, usage: known.usage });
                }
                // Keys of others on a shared token: of another kind, without the right to sign, two of one label.
                Err(HsmError::Refused(_) | HsmError::Key(KeyError::NotFound(_))) => {}
                Err(other) => return Err(other),
            }
        }
        self.is_there()?;
        Ok(Reply::Keys(entries))
    }

    fn generate(
        &mut self,
        label: &KeyLabel,
        kind: lanyard_pki::key::KeyKind,
        usage: KeyUse,
    ) -> Result<Reply, HsmError> {
        let token = self.token;
        let _one_at_a_time = self.module.making();
        if token.known(label).is_some() || key::is_taken(&self.open.session, label)? {
            return Err(KeyError::Exists(label.clone()).into());
        }
        let writer = self
            .module
            .context()
            .open_rw_session_no_drop(self.open.slot)
            .map_err(|e| meaning(e, "open a session that writes"))?;
        let made = key::generate(&writer, label, kind, usage);
        let _ = writer.close();
        let seen = made?;
        let spki = seen.public.der().to_vec();
        if token.remember(label, seen).is_none() {
            return Err(KeyError::Exists(label.clone()).into());
        }
        Ok(Reply::Bytes(spki))
    }
}
