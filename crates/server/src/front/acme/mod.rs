//! ACME (RFC 8555) over TLS: the engine's steps carried out, its replies sent.
//!
//! Accounts that a one-time secret bound are in the ledger. Those without are good for device attestation only and live in
//! memory, as orders and nonces do: a restart makes their owners begin again, which clients do by themselves.
//! In scope: which engine holds now, steps. Out of scope: the protocol (`lanyard_enroll::acme`), who may have what
//! (`lanyard_control::{accounts, certify}`).

mod alpn;
pub(crate) mod look;
mod records;
pub(crate) mod resolve;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Extension, State as Shared};
use axum::http::{self, HeaderMap, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::any;
use lanyard_attest::webauthn::{Anchor, Format, OnUnknown, Revocation, Trust};
use lanyard_control::accounts::{AccountAct, RevokedBy as Asked};
use lanyard_control::authority::Issuers;
use lanyard_control::digest::random;
use lanyard_control::plane::ControlError;
use lanyard_domain::endorsement::EndorsementUse;
use lanyard_domain::id::StreamId;
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::acme::{
    Account, AccountChange, AccountStatus, Binding, BindingPolicy, ChallengeKind, Limits, Method, Nonces,
    Orders, Policy, Registration, Request, RevocationRequest, RevokedBy, Seed, Server, State as EngineState,
    Step, Urls, Validation,
};
use lanyard_enroll::{Outcome, Reply};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{certify, reply, text};
use crate::state::State;
use look::Places;
use records::{Books, Unbound, id_of};

/// Clients use a nonce at once, or within the minute that a person needs to set a name up.
const NONCE_SECONDS: u32 = 3_600;
/// 32 bytes each: some 10 MB. An hour of 50 requests a second.
const USED_NONCES: usize = 200_000;
/// lego waits 30 s for an order that is being processed, certbot 90 s; who is approved within that time is served at once.
const ASK_AGAIN_SECONDS: u32 = 15;
/// A client that answers a challenge hears what came of the look, if it is over within this: most names answer in milliseconds. lego
/// and certbot wait half a minute for an answer, and else ask again every few seconds.
const LOOK_WITHIN: Duration = Duration::from_secs(2);

/// What the ACME front end holds.
pub(crate) struct Acme {
    urls: Urls,
    challenges: BTreeSet<ChallengeKind>,
    places: Places,
    orders: Mutex<EngineState>,
    unbound: Mutex<Unbound>,
    engine: Mutex<Option<Engine>>,
}

/// The engine, and what it was made from.
struct Engine {
    server: Arc<Server>,
    endorsements: usize,
    issuers: Arc<Issuers>,
}

impl Acme {
    /// At `https://NAME:PORT/acme`, with these challenges; `None` without any.
    pub(crate) fn new(
        name: &str,
        port: u16,
        challenges: &[String],
        places: Places,
    ) -> anyhow::Result<Option<Arc<Self>>> {
        if challenges.is_empty() {
            return Ok(None);
        }
        let host = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
        let urls = format!("https://{host}:{port}/acme").parse().context("the address of ACME")?;
        let kinds: Result<BTreeSet<ChallengeKind>, _> = challenges.iter().map(|c| c.parse()).collect();
        let challenges =
            kinds.map_err(|_| anyhow::anyhow!("enroll.acme_challenges names an unknown challenge"))?;
        Ok(Some(Arc::new(Self {
            urls,
            challenges,
            places,
            orders: Mutex::new(EngineState {
                nonces: Nonces::new(&random()?, NONCE_SECONDS, USED_NONCES),
                orders: Orders::new(Limits::default()),
            }),
            unbound: Mutex::default(),
            engine: Mutex::new(None),
        })))
    }

    fn orders(&self) -> MutexGuard<'_, EngineState> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unbound(&self) -> MutexGuard<'_, Unbound> {
        self.unbound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine for the makers and profiles of now.
    fn engine(&self, state: &State) -> Arc<Server> {
        let endorsements = state.control.world().endorsements.len();
        let issuers = state.control.authority.issuers();
        let mut kept = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = kept.as_ref()
            && engine.endorsements == endorsements
            && Arc::ptr_eq(&engine.issuers, &issuers)
        {
            return Arc::clone(&engine.server);
        }
        // An account that nobody bound can prove a device by its hardware; it can prove nothing else.
        let binding = if self.challenges.contains(&ChallengeKind::DeviceAttest01) {
            BindingPolicy::Optional
        } else {
            BindingPolicy::Required
        };
        let policy = Policy {
            challenges: self.challenges.clone(),
            binding,
            profiles: issuers.profiles().offered(),
            ..Policy::default()
        };
        let server = Arc::new(Server::new(self.urls.clone(), policy, trust(state)));
        *kept = Some(Engine { server: Arc::clone(&server), endorsements, issuers });
        server
    }
}

/// Each authority is an anchor for the formats that a person accepted it for, and for no other.
fn trust(state: &State) -> Trust {
    let world = state.control.world();
    let mut anchors = Vec::new();
    for endorsement in &world.endorsements {
        for format in Format::ALL.into_iter().filter(|f| endorsement.accepts(wanted(*f))) {
            anchors.push(Anchor {
                name: endorsement.sha256.to_string(),
                format,
                certificate: endorsement.certificate.clone(),
            });
        }
    }
    // Lists of makers are not fetched; a device that was stolen is revoked here, by its record.
    Trust::new(anchors, Revocation::new(OnUnknown::Accept))
}

const fn wanted(format: Format) -> EndorsementUse {
    match format {
        Format::Tpm => EndorsementUse::Tpm,
        Format::Packed => EndorsementUse::Packed,
        Format::Apple => EndorsementUse::Apple,
        Format::AndroidKey => EndorsementUse::AndroidKey,
    }
}

pub(super) fn routes() -> Router<State> {
    Router::new().route("/acme/{*resource}", any(answer))
}

async fn answer(
    Shared(state): Shared<State>,
    Extension(acme): Extension<Arc<Acme>>,
    method: http::Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let seed = match random() {
        Ok(bytes) => Seed::new(bytes),
        Err(error) => return text(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    };
    let request = Request {
        method: match method {
            http::Method::GET => Method::Get,
            http::Method::HEAD => Method::Head,
            http::Method::POST => Method::Post,
            _ => Method::Other,
        },
        path: uri.path().strip_prefix("/acme").unwrap_or_default(),
        content_type: headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()),
        body: &body,
    };
    let call = Call { server: acme.engine(&state), state, acme, seed };
    reply(call.carry_out(&request).await)
}

/// One request's surroundings.
struct Call {
    state: State,
    acme: Arc<Acme>,
    server: Arc<Server>,
    seed: Seed,
}

impl Call {
    fn now(&self) -> Timestamp {
        self.state.clock.now()
    }

    fn books(&self) -> Books<'_> {
        Books { state: &self.state, acme: &self.acme, now: self.now() }
    }

    async fn carry_out(&self, request: &Request<'_>) -> Reply {
        // The message's signature is checked before the lock. Behind it remain a statement's chain, a request's own signature and
        // the new key's: rare, and of accounts that have signed.
        let opened = self.server.open(&self.books(), request);
        let step =
            self.server.receive(&mut self.acme.orders(), &self.books(), opened, &self.seed, self.now());
        match step {
            Step::Reply(reply) => reply,
            Step::Register(wish) => self.register(*wish).await,
            Step::Change { account, change } => self.change(*account, change).await,
            Step::Validate(look) => {
                let look: Arc<Validation> = Arc::from(look);
                // Clients that have many names looked at before they ask once are not kept for each in turn.
                let alone = !look::is_busy_for(&look);
                let looking = self.look(Arc::clone(&look));
                if alone {
                    // The look goes on whether or not anybody waits for it.
                    let _ended = timeout(LOOK_WITHIN, looking).await;
                }
                self.server.looking(&self.acme.orders(), &look, &self.seed, self.now())
            }
            Step::Enroll { order, request } => {
                let outcome = match certify(&self.state, *request).await {
                    Outcome::Pending { why, .. } => {
                        Outcome::Pending { retry_after_seconds: ASK_AGAIN_SECONDS, why }
                    }
                    other => other,
                };
                self.server.enrolled(&mut self.acme.orders(), order, &outcome, &[], &self.seed, self.now())
            }
            Step::Revoke(request) => self.revoke(*request).await,
            Step::Renewal(id) => {
                self.server.renewal(self.state.control.renewal_info(&id, self.now()).as_ref())
            }
        }
    }

    async fn register(&self, wish: Registration) -> Reply {
        let thumbprint = Digest(wish.key.thumbprint());
        let mut account = Account {
            id: id_of(&thumbprint),
            key: wish.key,
            // Addresses of people are not kept: an account's owner is in its record.
            contacts: Vec::new(),
            status: AccountStatus::Valid,
            binding: None,
        };
        if let Some(secret) = &wish.secret {
            let jwk = account.key.canonical();
            match self.state.control.bind_account(secret, thumbprint, &jwk, self.now()).await {
                Ok(subject) => account.binding = Some(Binding { record: StreamId::from(subject) }),
                Err(error) => return self.failed(&error),
            }
        } else {
            self.acme.unbound().insert(account.clone());
        }
        self.server.registered(&self.acme.orders(), &account, &self.seed, self.now())
    }

    async fn change(&self, mut account: Account, change: AccountChange) -> Reply {
        if account.binding.is_some() {
            let act = match &change {
                AccountChange::Contacts(_) => None,
                AccountChange::Deactivate => Some(AccountAct::End),
                AccountChange::Key(key) => {
                    Some(AccountAct::Replace { by_sha256: Digest(key.thumbprint()), jwk: key.canonical() })
                }
            };
            if let Some(act) = act {
                let key = Digest(account.key.thumbprint());
                if let Err(error) = self.state.control.change_account(key, &act, self.now()).await {
                    return self.failed(&error);
                }
            }
        }
        match change {
            AccountChange::Contacts(_) => {}
            AccountChange::Deactivate => account.status = AccountStatus::Deactivated,
            AccountChange::Key(key) => account.key = *key,
        }
        if account.binding.is_none() {
            self.acme.unbound().replace(account.clone());
        }
        self.server.changed(&mut self.acme.orders(), &account, &self.seed, self.now())
    }

    /// Looks at a name beside the request; ends when what came of it stands in the order.
    fn look(&self, look: Arc<Validation>) -> JoinHandle<()> {
        let (state, acme, server) = (self.state.clone(), Arc::clone(&self.acme), Arc::clone(&self.server));
        tokio::spawn(async move {
            let outcome = look::take(&look, &acme.places).await;
            if let Err(failure) = &outcome {
                tracing::info!(identifier = %look.identifier, why = %failure.detail, "a look at a name failed");
            }
            server.validated(&mut acme.orders(), &look, outcome, state.clock.now());
        })
    }

    async fn revoke(&self, request: RevocationRequest) -> Reply {
        let by = match request.by {
            RevokedBy::Account(account) => Asked::Account(account.binding.map(|b| b.record)),
            RevokedBy::CertificateKey => Asked::Key,
        };
        match self.state.control.revoke_for(&request.certificate, by, request.reason, self.now()).await {
            Ok(outcome) => self.server.revoked(&self.acme.orders(), outcome, &self.seed, self.now()),
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&self, error: &ControlError) -> Reply {
        tracing::info!(%error, "a request of ACME was not carried out");
        let orders = self.acme.orders();
        match error {
            ControlError::Unavailable(_) | ControlError::Bug(_) => {
                self.server.unavailable(&orders, "the ledger is not available now", &self.seed, self.now())
            }
            refused => self.server.refused(&orders, &refused.to_string(), &self.seed, self.now()),
        }
    }
}
