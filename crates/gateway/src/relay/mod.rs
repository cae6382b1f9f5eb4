//! From a device's connection to the EHR and back: bytes in, guard, log, EHR, log, bytes out.
//!
//! One request: [`Relay::answer`] -> `identify` -> `Guard::screen` -> read body -> `Guard::decide` -> `carry_out`
//! (log decision -> EHR -> log completion). Each request is decided anew, also on a connection that is already open.
//! In scope: sockets' side of things. Out of scope: rules (`fhir`), TLS (`lanyard_pki::tls`), limits (`lanyard_api::listen`).

pub mod upstream;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
    RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use lanyard_api::clock::Clock;
use lanyard_api::listen::{BodyError, Peer, read_body};
use lanyard_domain::access::{self, DeviceView};
use lanyard_domain::id::{DeviceId, StreamId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::{Certificate, PeerIdentity};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::cut::{Connections, Registration};
use crate::fhir::answer::{self, Body};
use crate::fhir::outcome::{FHIR_JSON, Issue, Refusal};
use crate::fhir::request::{Head, UNSUPPORTED};
use crate::fhir::{Caller, Circumstances, Forward, Guard, Ids, Ruling, denied, too_long};
use crate::gate::FEED_LAG;
use crate::log::{Completion, DecisionLog};
use crate::state::State;
use crate::token::{self, Expected, Granted};
use upstream::Ehr;

/// A body of 1 MiB in this time is 280 kbit/s.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Names the decision in every answer, for the one who asks why.
const DECISION: HeaderName = HeaderName::from_static("x-lanyard-decision");

/// What all connections share.
#[derive(Debug)]
pub struct Relay {
    /// Rules.
    pub guard: Guard,
    /// Devices.
    pub state: Arc<State>,
    /// Log.
    pub log: DecisionLog,
    /// EHR.
    pub ehr: Ehr,
    /// Open connections.
    pub connections: Arc<Connections>,
    /// Time.
    pub clock: Clock,
    /// Audience of tokens.
    pub audience: String,
    /// Requests on their way to the EHR; they end in the log even when the device goes.
    pub tasks: TaskTracker,
}

/// The service of one connection: `lanyard_api::listen` clones it for each, and drops it when the connection ends.
#[derive(Debug)]
pub struct Service {
    relay: Arc<Relay>,
    connection: Arc<Connection>,
}

#[derive(Debug, Default)]
struct Connection {
    who: OnceLock<Option<Who>>,
    /// The last token and what it granted: a device uses one for minutes, its signature is checked once.
    token: Mutex<Option<(String, Granted)>>,
}

#[derive(Debug)]
struct Who {
    device: DeviceId,
    certificate: Digest,
    _registration: Registration,
}

impl Service {
    /// The service to serve with.
    pub fn new(relay: Arc<Relay>) -> Service {
        Service { relay, connection: Arc::default() }
    }
}

impl Clone for Service {
    fn clone(&self) -> Service {
        Service::new(self.relay.clone())
    }
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (relay, connection) = (self.relay.clone(), self.connection.clone());
        Box::pin(async move { Ok(relay.answer(&connection, request).await) })
    }
}

/// How a request ends for the device.
enum End {
    Answer(Box<answer::Answer>, Bytes),
    Refusal(Refusal),
}

impl Relay {
    async fn answer(
        self: Arc<Self>,
        connection: &Connection,
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        let at = match self.circumstances() {
            Ok(at) => at,
            Err(refusal) => return refused(&refusal, None),
        };
        let Some(peer) = request.extensions().get::<Peer>().cloned() else {
            return refused(&unidentified(), None);
        };
        let Some(who) = self.identify(connection, &peer) else {
            self.log.refused(self.guard.refuse(unidentified(), None, &at).record, at.now);
            peer.connection.close_after_answer();
            return refused(&unidentified(), Some(&at));
        };
        let end = self.rule(connection, who, request, at).await;
        if let End::Refusal(refusal) = &end
            && closes(refusal)
        {
            // Whoever lost trust has no business on this connection; the refusal still goes out.
            peer.connection.close_after_answer();
        }
        match end {
            End::Answer(answer, upstream) => answered(*answer, upstream, &at),
            End::Refusal(refusal) => refused(&refusal, Some(&at)),
        }
    }

    fn circumstances(&self) -> Result<Circumstances, Refusal> {
        let mut random = [0u8; 48];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| {
            Refusal::new(
                503,
                Issue::NoStore,
                "no_randomness",
                "The gateway cannot make ids; try again later.",
            )
        })?;
        let (now, heard_pos) = (self.clock.now(), self.state.heard_pos());
        Ok(Circumstances { now, heard_pos, ids: Ids::from_random(random) })
    }

    /// Who the connection belongs to, found out once; the chain was verified in the handshake.
    fn identify<'c>(&self, connection: &'c Connection, peer: &Peer) -> Option<&'c Who> {
        connection
            .who
            .get_or_init(|| {
                let leaf = Certificate::parse(peer.leaf()?).ok()?;
                let Ok(PeerIdentity::Device(device)) = leaf.identity() else { return None };
                let _registration = self.connections.register(device, peer.connection.clone());
                Some(Who { device, certificate: Digest(leaf.thumbprint()), _registration })
            })
            .as_ref()
    }

    async fn rule(
        self: &Arc<Self>,
        connection: &Connection,
        who: &Who,
        request: Request<Incoming>,
        at: Circumstances,
    ) -> End {
        let Some(view) = self.view(who).await else {
            let refusal = Refusal::new(
                401,
                Issue::Login,
                "device_unknown",
                "This device is not registered at this site, or was retired.",
            );
            self.log.refused(self.guard.refuse(refusal.clone(), None, &at).record, at.now);
            return End::Refusal(refusal);
        };
        let (parts, body) = request.into_parts();
        let refuse = |refusal: Refusal, view: &DeviceView| {
            let caller = Caller { view, certificate: &who.certificate, token_scopes: None };
            self.log.refused(self.guard.refuse(refusal.clone(), Some(&caller), &at).record, at.now);
            End::Refusal(refusal)
        };
        let granted = match self.token(connection, who, &parts.headers, &view, at.now) {
            Ok(granted) => granted,
            Err(refusal) => return refuse(refusal, &view),
        };
        let token_scopes = granted.as_ref().map(|g| g.scopes.as_slice());
        let head = head(&parts);
        let caller = Caller { view: &view, certificate: &who.certificate, token_scopes };
        let has_body = match self.guard.screen(&head, &caller, at.now) {
            Ok(request) => request.has_body(),
            Err(refusal) => return refuse(refusal, &view),
        };
        let body = if has_body {
            match read_body(body, self.guard.max_body(), BODY_TIMEOUT).await {
                Ok(body) => body,
                Err(error) => return refuse(unreadable(&error, self.guard.max_body()), &view),
            }
        } else {
            Bytes::new()
        };
        // The body may have taken its time: what counts is what is known now.
        let (now, heard_pos) = (self.clock.now(), self.state.heard_pos());
        let at = Circumstances { now, heard_pos, ..at };
        let view = self.state.view(who.device).unwrap_or(view);
        let caller = Caller { view: &view, certificate: &who.certificate, token_scopes };
        match self.guard.decide(&head, &body, &caller, &at) {
            Ruling::Refuse(refused) => {
                self.log.refused(refused.record, at.now);
                End::Refusal(refused.refusal)
            }
            Ruling::Forward(forward) => self.carry_out(*forward, who.device, who.certificate).await,
        }
    }

    /// The device's view; waits a moment for the feed when its certificate may be newer than what the feed told.
    async fn view(&self, who: &Who) -> Option<Arc<DeviceView>> {
        let mut changes = self.state.changes();
        let view = self.state.view(who.device)?;
        if view.certificates.contains(&who.certificate) {
            return Some(view);
        }
        let told = async {
            loop {
                changes.changed().await.ok()?;
                let view = self.state.view(who.device)?;
                if view.certificates.contains(&who.certificate) {
                    return Some(view);
                }
            }
        };
        match tokio::time::timeout(FEED_LAG, told).await {
            Ok(view) => view,
            Err(_) => self.state.view(who.device),
        }
    }

    fn token(
        &self,
        connection: &Connection,
        who: &Who,
        headers: &HeaderMap,
        view: &DeviceView,
        now: Timestamp,
    ) -> Result<Option<Granted>, Refusal> {
        let Some(token) = token::bearer(headers.get(AUTHORIZATION).map(HeaderValue::as_bytes))? else {
            return Ok(None);
        };
        // After distrust a token is no token (R56), whatever it says.
        if let Err(refusal) = access::authenticate(view, &who.certificate, now).map_err(|d| denied(&d)) {
            return Err(Refusal { status: 401, issue: Issue::Login, ..refusal });
        }
        let mut last = connection.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, granted)) = last.as_ref()
            && known == token
            && now < granted.expires
        {
            return Ok(Some(granted.clone()));
        }
        let facts = self.state.facts().ok_or_else(|| {
            Refusal::new(
                503,
                Issue::Transient,
                "no_state",
                "The gateway has not heard from the control plane yet.",
            )
        })?;
        let expected = Expected {
            issuer: &facts.token_issuer,
            audience: &self.audience,
            device: who.device,
            certificate: &who.certificate,
            now,
        };
        let granted = token::check(token, &facts.token_keys, &expected)?;
        *last = Some((token.to_owned(), granted.clone()));
        Ok(Some(granted))
    }

    /// Runs to its end even when the device's connection is cut: what was forwarded must be completed in the log.
    async fn carry_out(self: &Arc<Self>, forward: Forward, device: DeviceId, certificate: Digest) -> End {
        let relay = self.clone();
        let task: JoinHandle<End> = self.tasks.spawn(async move {
            relay.forward(forward, device, certificate).await.unwrap_or_else(End::Refusal)
        });
        task.await.unwrap_or_else(|_| End::Refusal(not_recorded()))
    }

    async fn forward(&self, forward: Forward, device: DeviceId, certificate: Digest) -> Result<End, Refusal> {
        let Forward { record, upstream, expect, .. } = forward;
        let decision = record.decision;
        // INVARIANT (I3): nothing leaves before its decision is on disk.
        self.log.decided(record, self.clock.now()).await.map_err(|_| not_recorded())?;
        let still = self.still_trusted(device, &certificate);
        let answered = match still {
            Ok(()) => self.ehr.send(upstream).await,
            Err(refusal) => Err(refusal),
        };
        let (outcome, body) = match answered {
            Ok(answered) => (answer::judge(&expect, answered.status, &answered.body), answered.body),
            Err(refusal) => (Err(refusal), Bytes::new()),
        };
        let (status, written) = match &outcome {
            Ok(answer) => (answer.status, answer.written.clone()),
            Err(refusal) => (refusal.status, Vec::new()),
        };
        let done = Completion {
            decision,
            stream: Some(StreamId::from(device)),
            status,
            written,
            response_sha256: Digest(lanyard_ledger::hash::sha256(&[&body]).0),
        };
        // INVARIANT (I3): no success is reported before it is on disk.
        self.log.completed(done, self.clock.now()).await.map_err(|_| not_recorded())?;
        outcome.map(|answer| End::Answer(Box::new(answer), body))
    }

    /// The append took a moment; a distrust in that moment still counts.
    fn still_trusted(&self, device: DeviceId, certificate: &Digest) -> Result<(), Refusal> {
        let view = self.state.view(device).ok_or_else(unidentified)?;
        access::authenticate(&view, certificate, self.clock.now()).map(|_| ()).map_err(|d| denied(&d))
    }
}

fn head(parts: &http::request::Parts) -> Head<'_> {
    let text = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    Head {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query(),
        content_type: text(CONTENT_TYPE),
        accept: text(ACCEPT),
        unsupported: UNSUPPORTED.into_iter().find(|name| parts.headers.contains_key(*name)),
    }
}

fn unidentified() -> Refusal {
    Refusal::new(
        401,
        Issue::Login,
        "no_device_certificate",
        "Only devices with a certificate may connect here.",
    )
}

fn not_recorded() -> Refusal {
    Refusal::new(
        503,
        Issue::NoStore,
        "not_recorded",
        "The gateway could not record the decision or its outcome; search before sending again.",
    )
}

fn unreadable(error: &BodyError, most: usize) -> Refusal {
    match error {
        BodyError::TooLarge(_) => too_long(most),
        BodyError::TooSlow(_) => {
            Refusal::new(408, Issue::Timeout, "body_too_slow", "The body did not arrive in time.")
        }
        BodyError::Broken(_) => Refusal::new(400, Issue::Structure, "body_broke_off", "The body broke off."),
    }
}

/// Refusals after which the connection has no further use.
fn closes(refusal: &Refusal) -> bool {
    matches!(refusal.status, 401 | 408 | 413)
        || (refusal.status == 403
            && !refusal
                .reasons
                .iter()
                .any(|r| matches!(r.code.as_str(), "not_in_scope" | "not_in_token_scope")))
}

fn answered(answer: answer::Answer, upstream: Bytes, at: &Circumstances) -> Response<Full<Bytes>> {
    let body = match answer.body {
        Body::Empty => Bytes::new(),
        Body::Upstream => upstream,
        Body::Own(text) => Bytes::from(text),
    };
    let mut response = plain(answer.status, body, Some(at));
    if let Some(location) = answer.location.and_then(|l| HeaderValue::from_str(&l).ok()) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn refused(refusal: &Refusal, at: Option<&Circumstances>) -> Response<Full<Bytes>> {
    let mut response = plain(refusal.status, Bytes::from(refusal.body()), at);
    let extra = match refusal.status {
        // RFC 6750 3: a refused token is named as such; RFC 9110 11.6.1: 401 always has a challenge.
        401 => Some((WWW_AUTHENTICATE, "Bearer realm=\"lanyard\", error=\"invalid_token\"")),
        405 => Some((ALLOW, "GET, POST, PUT, DELETE")),
        503 => Some((RETRY_AFTER, "5")),
        _ => None,
    };
    if let Some((name, value)) = extra {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn plain(status: u16, body: Bytes, at: Option<&Circumstances>) -> Response<Full<Bytes>> {
    let empty = body.is_empty();
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !empty {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(FHIR_JSON));
    }
    if let Some(id) = at.and_then(|at| HeaderValue::from_str(&at.ids.decision.to_string()).ok()) {
        headers.insert(DECISION, id);
    }
    response
}
