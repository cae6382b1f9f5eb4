//! Revocation and trust for relying parties: OCSP (RFC 6960), lists (RFC 5280), authorities' certificates and the bundles of
//! all that is trusted (`bundle`). Plain HTTP: each answer is signed in itself.
//!
//! Answers are kept ready and forgotten when what they say has changed. In scope: caches and their bounds. Out of scope:
//! what is said (`control::revocation`).

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use lanyard_domain::time::Timestamp;
use lanyard_pki::crl::SignedCrl;
use lanyard_pki::crl::shard::Place;
use lanyard_pki::ocsp::ResponseCache;
use lanyard_pki::ocsp::http::{self, Has, Reply};
use lanyard_pki::ocsp::{ErrorStatus, Plan, Request, Responder};
use lanyard_pki::serial::Serial;

use super::delta::Deltas;
use super::versions::Versions;
use super::{bundle, text};
use crate::state::State;

/// 100,000 answers of about 1.4 kB.
const CACHE_BYTES: usize = 140 << 20;
/// A list is made again after so long without any revocation: an hour of the day that it is good for.
const LIST_SECONDS: i64 = 3_600;
/// Answers that are signed for one request alone (nonces, unknown serial numbers) in a second. Each costs some 60 us of one
/// core: strangers can take a fifth of it.
const MOST_FRESH: u32 = 3_000;
/// Authorities whose lists are made at the same time; two that share a place wait for each other.
const MAKING: usize = 16;
/// Responders and what they have ready.
pub(crate) struct Desk {
    responders: RwLock<Vec<Arc<Serving>>>,
    cache: RwLock<ResponseCache>,
    lists: Mutex<HashMap<Place, List>>,
    deltas: Deltas,
    /// Held while a list is made, by authority: who waits for a key that does not answer keeps nobody else waiting.
    making: [tokio::sync::Mutex<()>; MAKING],
    versions: Versions,
    fresh: Mutex<(i64, u32)>,
    /// Revocations of the inventory that the caches know of.
    seen: Mutex<u64>,
}

/// A responder, for an authority of this name.
pub(crate) struct Serving {
    pub(crate) authority: String,
    pub(crate) responder: Responder,
    issuer_der: Vec<u8>,
}

struct List {
    version: u64,
    made: Timestamp,
    list: Arc<SignedCrl>,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            responders: RwLock::default(),
            cache: RwLock::new(ResponseCache::new(CACHE_BYTES)),
            lists: Mutex::default(),
            deltas: Deltas::default(),
            making: std::array::from_fn(|_| tokio::sync::Mutex::default()),
            versions: Versions::default(),
            fresh: Mutex::default(),
            seen: Mutex::default(),
        }
    }
}

impl Desk {
    /// The responders in use.
    pub(crate) fn responders(&self) -> Vec<Arc<Serving>> {
        self.responders.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A new one takes the place of the authority's last. Its answers stay good: they carry the certificate before.
    pub(crate) fn install(&self, authority: &str, responder: Responder) {
        let issuer_der = responder.certificate().issuer_der().to_vec();
        let serving = Arc::new(Serving { authority: authority.to_owned(), responder, issuer_der });
        let mut all = self.responders.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|r| r.authority != authority);
        all.push(serving);
    }

    /// The list at this place, if it is ready.
    fn ready(&self, place: &Place, version: u64, now: Timestamp) -> Option<Arc<SignedCrl>> {
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |l: &&List| l.version == version && now.seconds_since(l.made) < LIST_SECONDS;
        lists.get(place).filter(fits).map(|ready| Arc::clone(&ready.list))
    }

    /// Which version of the list at this place is so now.
    fn version(&self, state: &State, place: &Place) -> u64 {
        let issuers = state.control.authority.issuers();
        let world = state.control.world();
        // In a root's list stand authorities whose compromise has come to its end.
        if issuers.roots().iter().any(|root| root.subject_key_id() == Some(place.ca_key_id())) {
            return world.compromises.iter().filter(|c| c.ended.is_some()).count() as u64;
        }
        let inventory = &world.inventory;
        self.versions.of(place, place.shards(), inventory.revocations(), |seen| {
            let key_of = |(issuer, serial): (Vec<u8>, Serial)| {
                let ca = issuers.issuing().iter().find(|ca| ca.certificate().subject_der() == issuer)?;
                Some((ca.certificate().subject_key_id()?.to_vec(), serial))
            };
            Some(inventory.revoked_since(seen)?.into_iter().filter_map(key_of).collect())
        })
    }

    /// Forgets what was revoked since the last look. Called before anything is answered from what is kept.
    fn catch_up(&self, state: &State) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, since) = {
            let world = state.control.world();
            let now = world.inventory.revocations();
            if now == *seen {
                return;
            }
            (now, world.inventory.revoked_since(*seen))
        };
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        match since {
            None => cache.clear(),
            Some(revoked) => {
                for serving in self.responders() {
                    for (_, serial) in revoked.iter().filter(|(issuer, _)| *issuer == serving.issuer_der) {
                        cache.revoked(serving.responder.issuer(), serial);
                    }
                }
            }
        }
        *seen = now;
    }

    fn may_sign_fresh(&self, now: Timestamp) -> bool {
        let mut window = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        if window.0 != now.as_seconds() {
            *window = (now.as_seconds(), 0);
        }
        window.1 += 1;
        window.1 <= MOST_FRESH
    }
}

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/ocsp", post(ocsp_post))
        .route("/ocsp/", post(ocsp_post))
        .route("/ocsp/{*request}", get(ocsp_get))
        .route("/crl/{*place}", get(list))
        .route("/ca/{file}", get(authority))
        .route("/pki/bundle.pem", get(bundle::pem))
        .route("/pki/bundle.p7b", get(bundle::pkcs7))
        .route("/pki/bundle.json", get(bundle::spiffe))
}

async fn ocsp_get(Shared(state): Shared<State>, uri: Uri, headers: HeaderMap) -> Response {
    // As it was sent: base64 has slashes and escapes of its own.
    let path = uri.path().strip_prefix("/ocsp").unwrap_or_default();
    let has = Has(headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok()));
    let now = state.clock.now();
    let reply = match http::from_get(path) {
        Err(none) => none.reply(),
        Ok(der) => match answer(&state, &der, now) {
            Ok((response, serving)) => http::get(&response, serving.responder.policy(), has, now),
            Err(status) => http::error(status),
        },
    };
    send(reply)
}

async fn ocsp_post(Shared(state): Shared<State>, headers: HeaderMap, body: Bytes) -> Response {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let reply = match http::from_post(content_type, &body) {
        Err(none) => none.reply(),
        Ok(der) => match answer(&state, der, state.clock.now()) {
            Ok((response, _)) => http::post(&response),
            Err(status) => http::error(status),
        },
    };
    send(reply)
}

type Answered = (Arc<lanyard_pki::ocsp::Response>, Arc<Serving>);

fn answer(state: &State, der: &[u8], now: Timestamp) -> Result<Answered, ErrorStatus> {
    let request = Request::parse(der).map_err(|_| ErrorStatus::MalformedRequest)?;
    let desk = &state.revocation;
    let serving = desk.responders().into_iter().find(|s| s.responder.knows(&request));
    let serving = serving.ok_or(ErrorStatus::Unauthorized)?;
    desk.catch_up(state);
    let key = match serving.responder.plan(&request) {
        Plan::Error(status) => return Err(status),
        Plan::Fresh => None,
        Plan::Cacheable(key) => Some(key),
    };
    let ticket = {
        let cache = desk.cache.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = key.and_then(|key| cache.get(&key, now)) {
            return Ok((Arc::clone(ready), serving));
        }
        cache.ticket()
    };
    if !desk.may_sign_fresh(now) {
        return Err(ErrorStatus::TryLater);
    }
    let standing = |serial: &_| Ok::<_, Infallible>(state.control.standing_of(&serving.issuer_der, serial));
    let response =
        serving.responder.respond(&request, standing, state.control.keys(), now).map_err(|error| {
            tracing::error!(%error, authority = %serving.authority, "OCSP could not be answered");
            ErrorStatus::TryLater
        })?;
    let response = Arc::new(response);
    if let Some(key) = key {
        let mut cache = desk.cache.write().unwrap_or_else(PoisonError::into_inner);
        let _kept = cache.put(ticket, key, Arc::clone(&response));
    }
    Ok((response, serving))
}

fn send(reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = Bytes::from_owner(reply.body);
    super::with_headers((status, Body::from(body)).into_response(), reply.headers)
}

/// Signs again what will be asked for again, and forgets what is over.
pub(crate) fn refresh(state: &State) {
    let (desk, now) = (&state.revocation, state.clock.now());
    desk.catch_up(state);
    let (due, ticket) = {
        let mut cache = desk.cache.write().unwrap_or_else(PoisonError::into_inner);
        (cache.due(now, MOST_FRESH as usize), cache.ticket())
    };
    for key in due {
        for serving in desk.responders() {
            let standing =
                |serial: &_| Ok::<_, Infallible>(state.control.standing_of(&serving.issuer_der, serial));
            match serving.responder.respond_ahead(&key, standing, state.control.keys(), now) {
                None => {}
                Some(Ok(response)) => {
                    let mut cache = desk.cache.write().unwrap_or_else(PoisonError::into_inner);
                    let _kept = cache.put(ticket, key, Arc::new(response));
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "an OCSP answer could not be made again; it is made when asked for");
                    return;
                }
            }
        }
    }
}

async fn list(Shared(state): Shared<State>, Path(place): Path<String>) -> Response {
    let now = state.clock.now();
    let made = match (Place::of_delta(&place), place.parse::<Place>()) {
        (Some(place), _) => delta_at(&state, &place, now).await,
        (None, Ok(place)) => list_at(&state, &place, now).await,
        (None, Err(_)) => Ok(None),
    };
    match made {
        Ok(Some(list)) => {
            let body = (StatusCode::OK, list.der.clone()).into_response();
            let headers = vec![
                ("content-type", "application/pkix-crl".to_owned()),
                // A minute: a revocation must not wait in proxies.
                ("cache-control", "max-age=60, public, no-transform, must-revalidate".to_owned()),
            ];
            super::with_headers(body, headers)
        }
        Ok(None) => text(StatusCode::NOT_FOUND, "there is no such list here"),
        Err(error) => {
            tracing::error!(%error, "a revocation list could not be made");
            text(StatusCode::SERVICE_UNAVAILABLE, "the list cannot be made now; try again")
        }
    }
}

async fn list_at(
    state: &State,
    place: &Place,
    now: Timestamp,
) -> Result<Option<Arc<SignedCrl>>, lanyard_control::plane::ControlError> {
    let desk = &state.revocation;
    let version = desk.version(state, place);
    if let Some(ready) = desk.ready(place, version, now) {
        return Ok(Some(ready));
    }
    // A hundred relying parties that ask at once cost one signature. Only places that exist are kept, so strangers cannot make
    // it grow.
    let turn = place.ca_key_id().first().map_or(0, |byte| usize::from(*byte)) % MAKING;
    let _one_at_a_time = match desk.making.get(turn) {
        Some(making) => Some(making.lock().await),
        None => None,
    };
    if let Some(ready) = desk.ready(place, version, now) {
        return Ok(Some(ready));
    }
    let Some(made) = state.control.revocation_list(place, now)? else { return Ok(None) };
    let list = Arc::new(made);
    desk.deltas.note(place, &list, now);
    let mut lists = desk.lists.lock().unwrap_or_else(PoisonError::into_inner);
    lists.insert(place.clone(), List { version, made: now, list: Arc::clone(&list) });
    Ok(Some(list))
}

/// What changed since a complete list that relying parties may still have.
async fn delta_at(
    state: &State,
    place: &Place,
    now: Timestamp,
) -> Result<Option<Arc<SignedCrl>>, lanyard_control::plane::ControlError> {
    let desk = &state.revocation;
    // There is one to count from after this, if there is such a list.
    if list_at(state, place, now).await?.is_none() {
        return Ok(None);
    }
    // After that list, if it was made just now: a difference's number is above what it counts from.
    let now = state.clock.now();
    let version = desk.version(state, place);
    let Some(base) = desk.deltas.base(place, now) else { return Ok(None) };
    if let Some(ready) = desk.deltas.ready(place, version, now) {
        return Ok(Some(ready));
    }
    let Some(made) = state.control.delta_list(place, base, now)? else { return Ok(None) };
    Ok(Some(desk.deltas.keep(place, made, version, now)))
}

async fn authority(Shared(state): Shared<State>, Path(file): Path<String>) -> Response {
    let issuers = state.control.authority.issuers();
    let wanted = file.strip_suffix(".cer").and_then(|id| data_encoding::HEXLOWER.decode(id.as_bytes()).ok());
    let found = wanted.and_then(|id| {
        issuers
            .trusted()
            .into_iter()
            .find(|c| c.subject_key_id() == Some(id.as_slice()))
            .map(|c| c.der().to_vec())
    });
    match found {
        Some(der) => typed("application/pkix-cert", der),
        None => text(StatusCode::NOT_FOUND, "there is no such authority here"),
    }
}

pub(super) fn typed(content_type: &str, body: Vec<u8>) -> Response {
    super::with_headers(
        (StatusCode::OK, body).into_response(),
        vec![("content-type", content_type.to_owned())],
    )
}
