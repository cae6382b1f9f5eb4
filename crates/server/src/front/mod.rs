//! Front ends: the protocols that devices, applications and relying parties speak, on listeners of their own. They are all
//! that a device network reaches of the authority; operators' calls and our own protocol live elsewhere (`crate::http`).
//!
//! Two listeners, each off unless configured: TLS for EST, ACME and CMP; plain HTTP for what is signed in itself and fetched
//! before there is any trust (CMP, SCEP, OCSP, CRLs, authorities' certificates).
//!
//! In scope: routes, bodies within limits, who the TLS peer is. Out of scope: wire formats (`lanyard-enroll`), rules
//! (`control::certify`). To add a protocol: a file with its routes, merged in [`tls_router`] or [`plain_router`].

pub(crate) mod acme;
mod bundle;
mod cmp;
mod delta;
mod est;
pub(crate) mod revocation;
pub(crate) mod scep;
mod share;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use lanyard_api::listen::{BodyError, Peer, read_body};
use lanyard_control::certify::{Certified, Circumstances, outcome};
use lanyard_domain::id::StreamId;
use lanyard_enroll::secret::{SecretProven, id_of};
use lanyard_enroll::{EnrollmentRequest, Outcome, Reply};

pub(crate) use cmp::{Desk as CmpDesk, record as record_settled};

use crate::state::State;

/// The largest request is a CMP message with a chain of four certificates of 16 KiB, base64 in SCEP's query: 128 KiB.
const MAX_BODY: usize = 128 << 10;
/// 128 KiB in this time is 70 kbit/s.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// What is served with TLS.
pub(crate) fn tls_router(state: State, acme: Option<Arc<acme::Acme>>) -> Router {
    let routes = est::routes().merge(cmp::routes());
    let routes = match acme {
        Some(acme) => routes.merge(acme::routes().layer(Extension(acme))),
        None => routes,
    };
    bounded(routes, state)
}

/// What is served without.
pub fn plain_router(state: State) -> Router {
    // Nothing that relying parties ask changes anything: their calls may die with their connections.
    let look = revocation::routes().layer(middleware::from_fn(within_limits)).with_state(state.clone());
    bounded(cmp::routes().merge(scep::routes()), state).merge(look)
}

fn bounded(routes: Router<State>, state: State) -> Router {
    routes
        .fallback(|| async { text(StatusCode::NOT_FOUND, "there is no such call here") })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(to_the_end))
        .with_state(state)
}

/// Reads the body within limits, then carries the call out to its end even when whoever asked goes away (I3).
async fn to_the_end(request: Request, next: Next) -> Response {
    let request = match whole(request).await {
        Ok(request) => request,
        Err(refused) => return refused,
    };
    tokio::spawn(next.run(request)).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a call died; please report it");
        text(StatusCode::INTERNAL_SERVER_ERROR, "internal fault; the server's log has it")
    })
}

/// The same limits, for calls that may be given up half way.
async fn within_limits(request: Request, next: Next) -> Response {
    match whole(request).await {
        Ok(request) => next.run(request).await,
        Err(refused) => refused,
    }
}

/// With its body in memory.
async fn whole(request: Request) -> Result<Request, Response> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    match read_body(body, MAX_BODY, BODY_TIMEOUT).await {
        Ok(body) => Ok(Request::from_parts(parts, Body::from(body))),
        Err(error) => {
            let status = match error {
                BodyError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
                BodyError::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
                BodyError::Broken(_) => StatusCode::BAD_REQUEST,
            };
            Err(text(status, &error.to_string()))
        }
    }
}

fn text(status: StatusCode, text: &str) -> Response {
    (status, format!("{text}\n")).into_response()
}

/// Who the TLS client is, as far as the handshake proved it: the chain whose leaf's key it holds. Whether that is anyone
/// is decided later.
pub(crate) struct Shown {
    /// DER, leaf first; empty when it showed none.
    pub(crate) chain: Vec<Vec<u8>>,
    /// Channel binding (RFC 9266), where the connection has one.
    pub(crate) channel: Option<[u8; 32]>,
}

impl<S: Sync> FromRequestParts<S> for Shown {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        let peer = parts.extensions.get::<Peer>().ok_or_else(|| {
            text(StatusCode::INTERNAL_SERVER_ERROR, "the request came without its connection")
        })?;
        Ok(Self { chain: peer.chain.iter().map(|c| c.to_vec()).collect(), channel: peer.exporter.ok() })
    }
}

/// Carries a request out.
async fn certify(state: &State, request: EnrollmentRequest) -> Outcome {
    certify_with(state, request, Circumstances::USUAL).await
}

/// The same under other circumstances.
async fn certify_with(state: &State, request: EnrollmentRequest, how: Circumstances<'_>) -> Outcome {
    let protocol = request.protocol.as_str();
    let certified = state.control.certify_with(request, how, state.clock.now()).await;
    match &certified {
        Ok(Certified::Issued { subject, chain }) => {
            let serial = chain.first().map(|c| c.serial().to_string()).unwrap_or_default();
            tracing::info!(subject = %StreamId::from(*subject), cert.serial = %serial, protocol, "issued a certificate");
        }
        Ok(Certified::Waiting { why }) => tracing::info!(protocol, %why, "a request waits for a person"),
        Err(error) => tracing::info!(protocol, %error, "a request for a certificate was refused"),
    }
    outcome(certified)
}

/// The secret that somebody says they know, as far as it is one of ours that could still be used; and whether it is it.
fn prove_secret(state: &State, presented: &str) -> Option<SecretProven> {
    let id = id_of(presented).ok()?;
    state.control.enrollment_secret(id, state.clock.now())?.prove(presented)
}

/// An engine's reply as axum sends it.
fn reply(reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    with_headers((status, reply.body).into_response(), reply.headers)
}

fn with_headers(mut response: Response, headers: Vec<(&'static str, String)>) -> Response {
    response.headers_mut().remove(header::CONTENT_TYPE);
    for (name, value) in headers {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => {
                response.headers_mut().append(name, value);
            }
            _ => tracing::error!(name, "an engine made a header that cannot be sent; please report it"),
        }
    }
    response
}
