//! The client's side of ACME (RFC 8555), for the agent and the simulator: accounts with external binding, orders with
//! profiles and `replaces`, every challenge of [`super::ChallengeKind`], renewal information (RFC 9773), revocation; sans-IO.
//!
//! Each exchange is a value ([`Ordering`], [`RenewalQuery`], [`Revoking`]) with two functions: `next` says what to do, a
//! request to send mostly; `hear` takes the answer. The [`Client`] puts in front of it whatever must come first (directory,
//! nonce, account) and repeats what failed for its nonce alone. After a request whose answer never came, call `next`
//! again: it looks before it repeats what must not happen twice.
//!
//! In scope: messages, their limits, the order of steps, what to keep to go on after a restart. Out of scope: HTTP, TLS and
//! whom to trust there, making the certificate request and the attestation, putting files and records where challenges
//! want them, whether the certificate is of a trusted root, wildcards, pre-authorization, alternate chains.
//!
//! To add an exchange: a file with its value, its calls through [`Client`]; to add a resource: `resources.rs`.

mod challenge;
mod error;
mod key;
mod message;
mod order;
mod resources;
mod single;
mod wish;

use serde_json::{Value, json};
use zeroize::Zeroizing;

pub use challenge::{Proof, ToProve};
pub use error::ClientError;
pub use key::AccountKey;
pub use message::{Answer, MAX_ANSWER_BODY, Outgoing};
pub use order::Ordering;
pub use resources::{Directory, RenewalWindow, ServerProblem};
pub use single::{RenewalQuery, Revoking, Told};
pub use wish::{Issued, Next, Wish};

use super::renewal::CertId;
use message::Signer;
use resources::{origin, same_origin};

/// A nonce can be old (RFC 8555 6.5); one that comes with the refusal is not, unless something repeats answers.
const MAX_BAD_NONCES: u8 = 3;

/// An external account binding (RFC 8555 7.3.4): for our servers the one-time secret's id and whole text.
#[derive(Clone)]
pub struct AccountBinding {
    kid: String,
    secret: Zeroizing<Vec<u8>>,
}

impl AccountBinding {
    /// A binding by this key.
    pub fn new(kid: impl Into<String>, secret: impl Into<Vec<u8>>) -> Self {
        Self { kid: kid.into(), secret: Zeroizing::new(secret.into()) }
    }
}

impl std::fmt::Debug for AccountBinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AccountBinding({}, [redacted])", self.kid)
    }
}

/// A client of one server with one account.
#[derive(Debug)]
pub struct Client {
    directory_url: String,
    origin: String,
    key: AccountKey,
    binding: Option<AccountBinding>,
    contacts: Vec<String>,
    directory: Option<Directory>,
    account: Option<String>,
    nonce: Option<String>,
    /// What was sent last and not answered yet.
    sent: Option<Sent>,
    bad_nonces: u8,
    /// Whether the account was already made anew because the server did not know it.
    remade: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Sent {
    Directory,
    Nonce,
    Account,
    Call,
}

/// Where a call goes.
#[derive(Debug, Clone, PartialEq)]
enum Place {
    NewOrder,
    RevokeCert,
    RenewalInfo(CertId),
    Url(String),
}

/// One request of an exchange.
#[derive(Debug, Clone, PartialEq)]
struct Call {
    /// In words, for errors.
    what: &'static str,
    place: Place,
    /// None reads (POST-as-GET).
    payload: Option<Value>,
}

/// What an answer was to.
enum Heard {
    /// Something that comes first: go on.
    More,
    /// The call of the exchange, and it succeeded.
    Answered,
}

impl Client {
    /// A client of the server with this directory. Makes the account at its first need.
    pub fn new(directory_url: &str, key: AccountKey) -> Result<Self, ClientError> {
        Ok(Self {
            directory_url: directory_url.to_owned(),
            origin: origin(directory_url)?,
            key,
            binding: None,
            contacts: Vec::new(),
            directory: None,
            account: None,
            nonce: None,
            sent: None,
            bad_nonces: 0,
            remade: false,
        })
    }

    /// The same; a new account is bound.
    pub fn bound_by(mut self, binding: AccountBinding) -> Self {
        self.binding = Some(binding);
        self
    }

    /// The same; a new account has these contacts.
    pub fn with_contacts(mut self, contacts: Vec<String>) -> Self {
        self.contacts = contacts;
        self
    }

    /// The same with the account that was made before ([`Self::account`]).
    pub fn with_account(mut self, url: &str) -> Result<Self, ClientError> {
        same_origin(&self.origin, "account", url)?;
        self.account = Some(url.to_owned());
        Ok(self)
    }

    /// The account's address, once there is one. To be kept with the key.
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// The account's key.
    pub fn key(&self) -> &AccountKey {
        &self.key
    }

    /// The directory, once it was read.
    pub fn directory(&self) -> Option<&Directory> {
        self.directory.as_ref()
    }

    fn origin(&self) -> &str {
        &self.origin
    }

    /// The next request on the way to `call`.
    fn request(&mut self, call: &Call) -> Result<Outgoing, ClientError> {
        let Some(directory) = self.directory.clone() else {
            return Ok(self.send(Sent::Directory, Outgoing::open("GET", &self.directory_url)));
        };
        if let Place::RenewalInfo(id) = &call.place {
            // RFC 9773 4.1: no account and no signature.
            let base = directory.renewal_info.as_deref().ok_or_else(|| missing("renewalInfo"))?;
            return Ok(self.send(Sent::Call, Outgoing::open("GET", &format!("{base}/{id}"))));
        }
        let Some(nonce) = self.nonce.take() else {
            return Ok(self.send(Sent::Nonce, Outgoing::open("HEAD", &directory.new_nonce)));
        };
        let Some(account) = self.account.clone() else {
            let url = &directory.new_account;
            let payload = self.new_account(&directory)?;
            let outgoing = message::post(&self.key, Signer::Key, url, &nonce, Some(&payload))?;
            return Ok(self.send(Sent::Account, outgoing));
        };
        let url = match &call.place {
            Place::NewOrder => &directory.new_order,
            Place::RevokeCert => directory.revoke_cert.as_ref().ok_or_else(|| missing("revokeCert"))?,
            Place::Url(url) => url,
            Place::RenewalInfo(_) => return Err(missing("renewalInfo")),
        };
        let signer = Signer::Account(&account);
        let outgoing = message::post(&self.key, signer, url, &nonce, call.payload.as_ref())?;
        Ok(self.send(Sent::Call, outgoing))
    }

    fn send(&mut self, what: Sent, outgoing: Outgoing) -> Outgoing {
        self.sent = Some(what);
        outgoing
    }

    fn new_account(&self, directory: &Directory) -> Result<Value, ClientError> {
        let mut payload = json!({ "termsOfServiceAgreed": true });
        let Some(fields) = payload.as_object_mut() else { return Ok(payload) };
        if !self.contacts.is_empty() {
            fields.insert("contact".to_owned(), json!(self.contacts));
        }
        if let Some(binding) = &self.binding {
            let bound = message::binding(&self.key, &binding.kid, &binding.secret, &directory.new_account)?;
            fields.insert("externalAccountBinding".to_owned(), bound);
        }
        Ok(payload)
    }

    /// Takes the answer to the request that was made last.
    fn hear(&mut self, call: &Call, answer: &Answer<'_>) -> Result<Heard, ClientError> {
        let sent = self.sent.take().ok_or(ClientError::OutOfTurn("an answer"))?;
        if answer.body.len() > MAX_ANSWER_BODY {
            return Err(ClientError::TooLarge(answer.body.len()));
        }
        if let Some(nonce) = answer.nonce() {
            self.nonce = Some(nonce);
        }
        let what = match sent {
            Sent::Directory => "directory",
            Sent::Nonce => "newNonce",
            Sent::Account => "newAccount",
            Sent::Call => call.what,
        };
        if !(200..=299).contains(&answer.status) {
            return self.refused(sent, what, answer);
        }
        if matches!(sent, Sent::Account | Sent::Call) {
            self.bad_nonces = 0;
        }
        match sent {
            Sent::Directory => {
                let body = answer.content(what, "application/json")?;
                self.directory = Some(Directory::parse(&self.origin, body)?);
            }
            Sent::Nonce if self.nonce.is_none() => {
                let rule = "it has no `Replay-Nonce` of base64url (RFC 8555 7.2)".to_owned();
                return Err(ClientError::Malformed { what, rule });
            }
            Sent::Nonce => {}
            Sent::Account => {
                // RFC 8555 7.3: also for an account that was there already.
                let url = answer.location.ok_or_else(|| ClientError::Malformed {
                    what,
                    rule: "it has no `Location`, the account's address (RFC 8555 7.3)".to_owned(),
                })?;
                same_origin(&self.origin, "account", url)?;
                self.account = Some(url.to_owned());
            }
            Sent::Call => return Ok(Heard::Answered),
        }
        Ok(Heard::More)
    }

    fn refused(&mut self, sent: Sent, what: &'static str, answer: &Answer<'_>) -> Result<Heard, ClientError> {
        let problem = ServerProblem::parse(answer.status, answer.body);
        match (answer.status, problem.code.as_str()) {
            (_, "badNonce") if sent != Sent::Directory => {
                self.bad_nonces += 1;
                if self.bad_nonces > MAX_BAD_NONCES {
                    return Err(ClientError::Nonces(self.bad_nonces));
                }
                Ok(Heard::More)
            }
            // A server keeps no unbound accounts for ever; the same key makes it again, once.
            (_, "accountDoesNotExist") if sent == Sent::Call && !self.remade => {
                self.remade = true;
                self.account = None;
                Ok(Heard::More)
            }
            // RFC 6585 4, RFC 8555 6.6: too many requests are asked again too.
            (429 | 500..=599, _) if answer.status != 501 => Err(ClientError::Unavailable {
                what,
                retry_after_seconds: answer.retry_after_seconds(),
                why: problem.to_string(),
            }),
            (400..=499 | 501, _) => Err(ClientError::Refused { what, problem }),
            (status, _) => Err(ClientError::Status { what, status }),
        }
    }
}

fn missing(field: &'static str) -> ClientError {
    ClientError::Malformed { what: "directory", rule: format!("this server offers no `{field}`") }
}
