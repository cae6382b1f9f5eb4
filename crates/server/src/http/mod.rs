//! HTTP: routes, who asks, and how outcomes read. No rule lives here.
//!
//! To add a call: its types in `lanyard-api`, a handler in the file of its audience, a line in [`router`].

pub mod compromise;
pub mod device;
pub mod evidence;
pub mod files;
pub mod gateway;
pub mod makers;
pub mod nonces;
pub mod operator;
pub mod peer;
pub mod pki;
pub mod problem;
pub mod watched;

use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use lanyard_api::device::MAX_BODY;
use lanyard_api::listen::{BodyError, read_body};

use tokio::sync::Semaphore;

use crate::state::State;
use problem::Answer;

/// 6 MiB in this time is 1.7 Mbit/s; evidence of the usual 64 KiB is 18 kbit/s.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// What a stranger may send in a call that says who they are: a certificate request, or an endorsement chain of some
/// certificates of 2 KiB.
const SMALL_BODY: usize = 128 << 10;
/// Larger bodies in memory at a time, whoever sends them: 32 of 6 MiB are 192 MiB. One address may hold thousands of connections.
static LARGE_BODIES: Semaphore = Semaphore::const_new(32);

/// All calls of the control plane.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/v1/about", get(operator::about))
        .route("/v1/bootstrap", post(operator::bootstrap))
        .route("/v1/statements", post(operator::statements))
        .route("/v1/devices", get(operator::devices))
        .route("/v1/devices/{id}", get(operator::device))
        .route("/v1/devices/{id}/events", get(operator::events))
        .route("/v1/releases", get(operator::releases))
        .route("/v1/releases/{id}", get(operator::release))
        .route("/v1/operators", get(operator::operators))
        .route("/v1/gateways", get(operator::gateways))
        .route("/v1/certificates", get(pki::certificates))
        .route("/v1/profiles", get(pki::profiles))
        .route("/v1/applications", get(pki::applications))
        .route("/v1/watched", get(watched::watched))
        .route("/v1/endorsements", get(makers::endorsements))
        .route("/v1/renewals", get(pki::renewals))
        .route("/v1/authorities", get(pki::authorities))
        .route("/v1/files/challenge", post(files::challenge))
        .route("/v1/files/look", post(files::look))
        .route("/v1/files/request", post(files::request))
        .route("/v1/sites", get(pki::sites))
        .route("/v1/compromises", get(compromise::compromises))
        .route("/v1/authorities/{name}/request", get(pki::authority_request))
        .route("/v1/evidence/claim", post(evidence::claim))
        .route("/v1/evidence/bundle", post(evidence::bundle))
        .route("/v1/checkpoint", get(device::checkpoint))
        .route("/v1/enroll/begin", post(device::enroll_begin))
        .route("/v1/enroll/finish", post(device::enroll_finish))
        .route("/v1/attest", post(device::attest))
        .route("/v1/standing", get(device::whereabouts))
        .route("/v1/renew", post(device::renew))
        .route("/v1/token", post(device::token))
        .route("/v1/jwks", get(device::jwks))
        .route("/v1/gateway/certificate", post(gateway::certificate))
        .route("/v1/gateway/feed", get(gateway::feed))
        .route("/v1/gateway/answer", post(gateway::answer))
        .route("/v1/gateway/anchor", post(gateway::anchor))
        .fallback(|| async {
            Answer::new(StatusCode::NOT_FOUND, "no_such_call", "there is no such call here")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(to_the_end))
        .with_state(state)
}

/// Reads the whole body first, within limits; then carries the call out to its end even when whoever asked goes away:
/// between an intent and its certificate (I3), or half-way through the devices of a withdrawn release.
async fn to_the_end(request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let most = match parts.uri.path() {
        "/v1/bootstrap" | "/v1/gateway/certificate" | "/v1/enroll/begin" | "/v1/token" => SMALL_BODY,
        _ => MAX_BODY,
    };
    // A body without a length may become as long as it likes.
    let may_be_large = body.size_hint().upper().is_none_or(|length| length > SMALL_BODY as u64);
    let place = if may_be_large && most > SMALL_BODY {
        let Ok(place) = LARGE_BODIES.try_acquire() else { return too_many_large().into_response() };
        Some(place)
    } else {
        None
    };
    let body = match read_body(body, most, BODY_TIMEOUT).await {
        Ok(body) => body,
        Err(error) => return unreadable(&error).into_response(),
    };
    parts.extensions.insert(peer::WholeBody(body.clone()));
    let call = next.run(Request::from_parts(parts, Body::from(body)));
    let call = async move {
        let answer = call.await;
        drop(place);
        answer
    };
    tokio::spawn(call).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a call died; please report it");
        Answer::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_fault",
            "internal fault; the server's log has it",
        )
        .into_response()
    })
}

fn too_many_large() -> Answer {
    Answer::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "too many large requests are being read; come again in some seconds",
    )
}

fn unreadable(error: &BodyError) -> Answer {
    let (status, code) = match error {
        BodyError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
        BodyError::TooSlow(_) => (StatusCode::REQUEST_TIMEOUT, "body_too_slow"),
        BodyError::Broken(_) => (StatusCode::BAD_REQUEST, "body_broke_off"),
    };
    Answer::new(status, code, error.to_string())
}

#[cfg(test)]
mod tests {
    use hyper_util::service::TowerToHyperService;
    use lanyard_api::listen::{Limits, serve_plain};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// Sends a request and so much of its body.
    async fn sends(address: std::net::SocketAddr, head: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("POST /call HTTP/1.1\r\nhost: here\r\nconnection: close\r\n{head}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        stream
    }

    async fn answer(mut stream: TcpStream) -> String {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    // I7: one host cannot fill the memory of the control plane, and small calls go on while it tries.
    #[tokio::test]
    async fn large_bodies_share_places_and_small_ones_need_none() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/call", post(|| async { "done" }));
        let service = TowerToHyperService::new(routes.layer(middleware::from_fn(to_the_end)));
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve_plain(listener, Limits::default(), stop.clone(), service));
        let all = LARGE_BODIES.available_permits();
        let large = format!("content-length: {}", MAX_BODY);
        let mut held = Vec::new();
        for n in 0..all {
            // Some say how long they are, some do not; none ends.
            let (head, body) =
                if n % 2 == 0 { (large.as_str(), "x") } else { ("transfer-encoding: chunked", "1\r\nx\r\n") };
            held.push(sends(address, head, body.as_bytes()).await);
        }
        while LARGE_BODIES.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        for head in [large.as_str(), "transfer-encoding: chunked"] {
            let refused = answer(sends(address, head, b"").await).await;
            assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
            assert!(refused.contains("retry-after: 2") && refused.contains("busy"), "{refused}");
        }
        let small = answer(sends(address, "content-length: 5", b"small").await).await;
        assert!(small.starts_with("HTTP/1.1 200"), "{small}");
        // Who goes away leaves its place.
        drop(held);
        while LARGE_BODIES.available_permits() < all {
            tokio::task::yield_now().await;
        }
        let body = vec![b'x'; SMALL_BODY + 1];
        let whole = answer(sends(address, &format!("content-length: {}", body.len()), &body).await).await;
        assert!(whole.starts_with("HTTP/1.1 200"), "{whole}");
        stop.cancel();
        server.await.unwrap();
    }
}
