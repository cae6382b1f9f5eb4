//! The engine: one request in, one [`Step`] out: [`Server::open`] checks the signature, which is what costs, and needs no state for it;
//! [`Server::receive`] does the rest.
//!
//! A step that is no reply is for the caller to do; then it asks the function that the step names for the reply.
//! The seed of the request may be given to that function again.

mod accounts;
mod orders;
mod render;
mod revoke;

use lanyard_attest::webauthn::Trust;
use lanyard_domain::time::Timestamp;

pub use revoke::{RevocationOutcome, RevocationRequest, RevokedBy};

use super::account::{Account, AccountChange, AccountStatus, Registration};
use super::challenge::Validation;
use super::id::AccountId;
use super::id::OrderId;
use super::identifier::Identifier;
use super::jwk::Jwk;
use super::jws::{KeyReference, Message, Payload};
use super::nonce::Nonces;
use super::orders::Orders;
use super::policy::Policy;
use super::problem::{ErrorType, Problem};
use super::renewal::{CertId, RenewalInfo};
use super::seed::Seed;
use super::urls::{Route, Urls};
use crate::secret::{Secret, SecretId};
use crate::{EnrollmentRequest, Reply};

/// What the caller keeps.
pub trait Records {
    /// An account, whatever its status.
    fn account(&self, id: AccountId) -> Option<Account>;
    /// Whether an account that was read a moment ago is still valid, with the same key.
    fn stands(&self, account: &Account) -> bool {
        let now = self.account(account.id);
        now.is_some_and(|now| now.status == AccountStatus::Valid && now.key == account.key)
    }
    /// The account of a key (SHA-256 thumbprint, RFC 7638), whatever its status.
    fn account_of_key(&self, thumbprint: &[u8; 32]) -> Option<Account>;
    /// An enrollment secret that is given out, not used and not expired.
    fn secret(&self, id: SecretId) -> Option<Secret>;
    /// Why an order of `account` for `identifiers` could never lead to a certificate, as far as that is known before
    /// anything is proven. What is refused here is never looked at.
    fn refusal(&self, _account: &Account, _identifiers: &[Identifier]) -> Option<String> {
        None
    }
    /// What is known of a certificate that an order of `account` for `identifiers` would replace (RFC 9773 5).
    fn predecessor(&self, account: &Account, certificate: &CertId, identifiers: &[Identifier])
    -> Predecessor;
}

/// A certificate that an order says it replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Predecessor {
    /// Not one of ours.
    Unknown,
    /// Of another account, or for other identifiers.
    Foreign,
    /// Replaced already.
    Replaced,
    /// It can be replaced.
    Current,
}

/// An HTTP method, as far as ACME has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// POST.
    Post,
    /// Any other.
    Other,
}

/// An HTTP request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Method.
    pub method: Method,
    /// Path below the base URL, with its `/`; no query.
    pub path: &'a str,
    /// Content-Type.
    pub content_type: Option<&'a str>,
    /// Body, of which the caller reads at most [`super::MAX_BODY_BYTES`] and one byte.
    pub body: &'a [u8],
}

/// What is to be done.
#[derive(Debug)]
pub enum Step {
    /// Send this.
    Reply(Reply),
    /// Record an account and the use of its secret, then [`Server::registered`].
    Register(Box<Registration>),
    /// Record a change to an account, then [`Server::changed`].
    Change {
        /// The account as it is.
        account: Box<Account>,
        /// What it wants to be.
        change: AccountChange,
    },
    /// Take a look; then [`Server::validated`]. The reply is [`Server::looking`], at once or when the look is over: a client that
    /// is told at once what came of it does not ask again and again.
    Validate(Box<Validation>),
    /// Ask control for a certificate, then [`Server::enrolled`]. The same order comes again while it is pending.
    Enroll {
        /// Which order.
        order: OrderId,
        /// What it asks.
        request: Box<EnrollmentRequest>,
    },
    /// Revoke, then [`Server::revoked`].
    Revoke(Box<RevocationRequest>),
    /// Look up when this certificate should be renewed, then [`Server::renewal`].
    Renewal(CertId),
}

/// A request that was read and whose signature, if its resource wants one, was checked; or why not.
#[derive(Debug)]
pub struct Opened(Result<Asked, Problem>);

#[derive(Debug)]
enum Asked {
    /// What anyone may read.
    Openly(Openly),
    /// The nonce is still to be taken.
    Signed { route: Route, signer: Signer, payload: Payload, nonce: String },
}

#[derive(Debug)]
enum Openly {
    Directory,
    Nonce { status: u16 },
    Renewal(CertId),
}

/// What changes with requests; the server holds it in a mutex.
#[derive(Debug)]
pub struct State {
    /// Used nonces.
    pub nonces: Nonces,
    /// Open orders.
    pub orders: Orders,
}

/// The engine; holds what does not change with requests.
#[derive(Debug)]
pub struct Server {
    urls: Urls,
    policy: Policy,
    trust: Trust,
}

/// One request's surroundings.
struct Context<'a> {
    state: &'a mut State,
    records: &'a dyn Records,
    seed: &'a Seed,
    now: Timestamp,
}

/// Who signed.
#[derive(Debug)]
enum Signer {
    Account(Box<Account>),
    Key(Box<Jwk>),
}

impl Server {
    /// An engine at these addresses, under this policy, trusting these attestation roots.
    pub const fn new(urls: Urls, policy: Policy, trust: Trust) -> Self {
        Self { urls, policy, trust }
    }

    /// Reads a request: RFC 8555 6.2 to 6.4.
    pub fn open(&self, records: &dyn Records, request: &Request<'_>) -> Opened {
        Opened(self.asked(records, request))
    }

    /// Takes a request.
    pub fn receive(
        &self,
        state: &mut State,
        records: &dyn Records,
        opened: Opened,
        seed: &Seed,
        now: Timestamp,
    ) -> Step {
        let mut context = Context { state, records, seed, now };
        match opened.0.and_then(|asked| self.carry_out(&mut context, asked)) {
            Ok(step) => step,
            Err(problem) => Step::Reply(self.finish(problem.to_reply(), state, seed, now)),
        }
    }

    fn asked(&self, records: &dyn Records, request: &Request<'_>) -> Result<Asked, Problem> {
        let route = Route::parse(request.path).ok_or_else(|| Problem::not_found("resource"))?;
        let openly = match (route, request.method) {
            (Route::Directory, Method::Get | Method::Head) => Openly::Directory,
            // RFC 8555 7.2.
            (Route::NewNonce, Method::Head) => Openly::Nonce { status: 200 },
            (Route::NewNonce, Method::Get) => Openly::Nonce { status: 204 },
            // RFC 9773 4.1: no authentication, so that any client may ask.
            (Route::RenewalInfo(id), Method::Get) => Openly::Renewal(id),
            (Route::Directory | Route::NewNonce | Route::RenewalInfo(_) | Route::RenewalInfos, _) => {
                return Err(wrong_method("GET, HEAD"));
            }
            (route, Method::Post) => return self.signed(records, route, request),
            _ => return Err(wrong_method("POST")),
        };
        Ok(Asked::Openly(openly))
    }

    fn carry_out(&self, context: &mut Context<'_>, asked: Asked) -> Result<Step, Problem> {
        let (route, signer, payload, nonce) = match asked {
            Asked::Openly(Openly::Directory) => return Ok(Step::Reply(self.directory())),
            Asked::Openly(Openly::Renewal(id)) => return Ok(Step::Renewal(id)),
            Asked::Openly(Openly::Nonce { status }) => {
                return Ok(self.reply(Reply::empty(status), context));
            }
            Asked::Signed { route, signer, payload, nonce } => (route, signer, payload, nonce),
        };
        // RFC 8555 6.5: behind the signature, so that a nonce is used up only by whoever could sign.
        context
            .state
            .nonces
            .take(&nonce, context.now)
            .map_err(|e| Problem::new(ErrorType::BadNonce, e.to_string()))?;
        match &signer {
            // Another request may have ended it, or replaced its key, since the signature was checked.
            Signer::Account(account) if !context.records.stands(account) => {
                let text = "the account is not valid any more";
                Err(Problem::new(ErrorType::Unauthorized, text))
            }
            _ => self.post(context, &route, signer, &payload),
        }
    }

    fn post(
        &self,
        context: &mut Context<'_>,
        route: &Route,
        signer: Signer,
        payload: &Payload,
    ) -> Result<Step, Problem> {
        match (route, signer) {
            (Route::NewAccount, Signer::Key(key)) => self.new_account(context, *key, payload),
            (Route::RevokeCert, signer) => revoke::request(signer, payload),
            (_, Signer::Key(_)) => Err(Problem::malformed("this resource needs `kid`: the account's URL")),
            (Route::Account(id), Signer::Account(account)) => self.account(context, *id, &account, payload),
            (Route::Orders(id), Signer::Account(account)) => self.orders_of(context, *id, &account, payload),
            (Route::KeyChange, Signer::Account(account)) => self.key_change(context, &account, payload),
            (Route::NewOrder, Signer::Account(account)) => self.new_order(context, &account, payload),
            (Route::Order(id), Signer::Account(account)) => self.order(context, *id, &account, payload),
            (Route::Finalize(id), Signer::Account(account)) => self.finalize(context, *id, &account, payload),
            (Route::Authorization(id, at), Signer::Account(account)) => {
                self.authorization(context, (*id, *at), &account, payload)
            }
            (Route::Challenge(id, at, kind), Signer::Account(account)) => {
                self.challenge(context, (*id, *at, *kind), &account, payload)
            }
            (Route::Certificate(id, at), Signer::Account(account)) => {
                self.certificate(context, (*id, *at), &account, payload)
            }
            _ => Err(Problem::not_found("resource")),
        }
    }

    /// RFC 8555 6.2 to 6.4: form, address, key, signature; in this order.
    fn signed(&self, records: &dyn Records, route: Route, request: &Request<'_>) -> Result<Asked, Problem> {
        let essence = request.content_type.map(|t| t.split(';').next().unwrap_or_default().trim());
        if essence.is_none_or(|t| !t.eq_ignore_ascii_case("application/jose+json")) {
            let text = "the content type is `application/jose+json` (RFC 8555 6.2)";
            return Err(Problem::malformed(text).status(415));
        }
        let message = Message::parse(request.body)?;
        let header = message.header();
        // RFC 8555 6.4.
        if header.url != self.urls.to(&route) {
            let text = "`url` in the protected header is not the URL of this request";
            return Err(Problem::new(ErrorType::Unauthorized, text));
        }
        let (signer, payload) = match (&header.key, &route) {
            (KeyReference::Key(key), Route::NewAccount | Route::RevokeCert) => {
                (Signer::Key(key.clone()), message.verify(key)?)
            }
            (KeyReference::Name(_), Route::NewAccount) => {
                return Err(Problem::malformed("newAccount needs `jwk`, not `kid` (RFC 8555 6.2)"));
            }
            (KeyReference::Key(_), _) => {
                return Err(Problem::malformed("this resource needs `kid`: the account's URL"));
            }
            (KeyReference::Name(kid), _) => {
                let unknown = || {
                    let text = "`kid` is not the URL of an account here: make one with newAccount";
                    Problem::new(ErrorType::AccountDoesNotExist, text)
                };
                let account = self.urls.account(kid).and_then(|id| records.account(id));
                let account = account.ok_or_else(unknown)?;
                let payload = message.verify(&account.key)?;
                (Signer::Account(Box::new(account)), payload)
            }
        };
        let nonce = header.nonce.clone().unwrap_or_default();
        Ok(Asked::Signed { route, signer, payload, nonce })
    }

    /// The reply after [`Step::Renewal`]; none for a certificate that is not known.
    pub fn renewal(&self, info: Option<&RenewalInfo>) -> Reply {
        match info {
            Some(info) => info.to_reply(),
            None => Problem::not_found("certificate").to_reply(),
        }
    }

    /// The reply when the caller could not do a step: the log or the key store is away.
    pub fn unavailable(&self, state: &State, why: &str, seed: &Seed, now: Timestamp) -> Reply {
        let problem = Problem::new(ErrorType::ServerInternal, why).status(503).header("retry-after", "5");
        self.finish(problem.to_reply(), state, seed, now)
    }

    /// The reply when a rule of the caller's refused a step, with its sentence.
    pub fn refused(&self, state: &State, why: &str, seed: &Seed, now: Timestamp) -> Reply {
        self.finish(Problem::new(ErrorType::Unauthorized, why).to_reply(), state, seed, now)
    }

    fn reply(&self, reply: Reply, context: &Context<'_>) -> Step {
        Step::Reply(self.finish(reply, context.state, context.seed, context.now))
    }

    /// What every answer carries: a nonce (RFC 8555 6.5), the way to the directory (7.1), no caching (7.2).
    fn finish(&self, reply: Reply, state: &State, seed: &Seed, now: Timestamp) -> Reply {
        reply
            .with("replay-nonce", state.nonces.issue(seed.derive("nonce", 0), now))
            .with("link", format!("<{}>;rel=\"index\"", self.urls.to(&Route::Directory)))
            .with("cache-control", "no-store")
    }
}

fn wrong_method(allowed: &str) -> Problem {
    Problem::malformed("this resource is not reached by this method").status(405).header("allow", allowed)
}
