//! CMP (RFC 9810) over HTTP (RFC 9811), with TLS and without: every message carries its own proof, TLS adds nothing to it.
//! What a client may ask for stands in `docs/protocols/cmp.md`.
//!
//! In scope: the steps of the engine with the use cases in between, and what of it is recorded before it is answered (I3).
//! Out of scope: wire formats (`lanyard_enroll::cmp`), rules (`control::certify`). To serve one more kind of message: its
//! arm in [`act`].

mod answers;
mod desk;
mod settle;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::post;
use lanyard_control::certify::outcome;
use lanyard_control::digest::random;
use lanyard_control::plane::ControlError;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::cmp::server::{
    Draft, Endpoint, Enroll, NotReceived, Received, Reference, Refused, Request, Verified,
};
use lanyard_enroll::cmp::{FailInfo, Fresh};
use lanyard_enroll::secret::Secret;
use lanyard_enroll::{Authentication, Outcome, Reply};

use super::{certify, reply, text};
use crate::state::State;
pub(crate) use desk::Desk;
use desk::Signing;
pub(crate) use settle::record;

/// RFC 9811 3.3: the well-known path, and labels below it.
pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/.well-known/cmp", post(answer))
        .route("/.well-known/cmp/", post(answer))
        .route("/.well-known/cmp/{*rest}", post(answer))
}

async fn answer(Shared(state): Shared<State>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let endpoint = match Endpoint::from_path(uri.path()) {
        Ok(endpoint) => endpoint,
        Err(bad) => return text(StatusCode::NOT_FOUND, &bad.to_string()),
    };
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    match exchange(&state, &endpoint, content_type, &body).await {
        Ok(answer) => reply(answer),
        // RFC 9811 3.5: what is no PKIMessage is said in HTTP. The client asks again.
        Err(Unanswered(why)) => {
            tracing::warn!(%why, "a CMP message could not be answered for now");
            text(StatusCode::SERVICE_UNAVAILABLE, "not now, and it is the server's fault; ask again")
        }
    }
}

/// Why there is no PKIMessage to answer with: ours, every time.
struct Unanswered(String);

impl From<ControlError> for Unanswered {
    fn from(error: ControlError) -> Self {
        Self(error.to_string())
    }
}

fn fresh() -> Result<Fresh, Unanswered> {
    random().map(Fresh::from_random).map_err(|e| Unanswered(e.to_string()))
}

/// One message in, one out.
async fn exchange(
    state: &State,
    endpoint: &Endpoint,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<Reply, Unanswered> {
    let now = state.clock.now();
    let signing = state.cmp.signing(&state.control)?;
    let received = match signing.server.receive(body, content_type, endpoint, now) {
        Ok(received) => received,
        Err(NotReceived::Rejected(rejected)) => {
            tracing::info!(protocol = "cmp", why = %rejected, "what came is no message");
            return Ok(rejected.reply());
        }
        Err(NotReceived::Refused(refused)) => return signing.sign(turn_away(*refused, now)?),
    };
    let verified = match verify(state, received, now).await? {
        Ok(verified) => verified,
        Err(refused) => return signing.sign(turn_away(*refused, now)?),
    };
    if verified.opens_a_transaction()
        && let Err(unknown) = state.control.knows(verified.authentication(), now).await
    {
        return signing.sign(stranger(verified, unknown, now)?);
    }
    let transaction = verified.transaction().clone();
    let (request, settled) = state.cmp.locked(|open| verified.accept(&signing.server, open, now));
    if record(state, settled).await.contains(&transaction) {
        return Err(Unanswered("what the client says of its certificate was not recorded".to_owned()));
    }
    match request {
        Ok(request) => signing.sign(act(state, &signing, request).await?),
        Err(refused) => signing.sign(turn_away(*refused, now)?),
    }
}

/// The second step. A secret is looked up by the name that the message has for it.
async fn verify(
    state: &State,
    received: Received,
    now: Timestamp,
) -> Result<Result<Verified, Box<Refused>>, Unanswered> {
    let Some(secret) = secret(state, &received, now) else { return Ok(received.verify(None)) };
    // 10,000 iterations, the most that a client may ask for, are some 3 ms of computing: beside the requests of others, one at a
    // time, and a few under one secret, so that whoever overheard its name keeps neither the processors nor the others busy.
    let Some(_share) = state.cmp.macs.take(secret.id()) else {
        return Err(Unanswered("too many messages under one secret at a time".to_owned()));
    };
    let _turn = state.cmp.one_mac_at_a_time.lock().await;
    tokio::task::spawn_blocking(move || received.verify(Some(&secret)))
        .await
        .map_err(|died| Unanswered(died.to_string()))
}

fn secret(state: &State, received: &Received, now: Timestamp) -> Option<Secret> {
    let Reference::Secret(id) = received.reference() else { return None };
    match received.continues_a_transaction() {
        true => state.control.enrollment_secret_expired_too(id),
        false => state.control.enrollment_secret(id, now),
    }
}

fn turn_away(refused: Refused, now: Timestamp) -> Result<Draft, Unanswered> {
    tracing::info!(protocol = "cmp", why = %refused.refusal(), "a message was refused");
    Ok(refused.answer(fresh()?, now))
}

/// What is told to somebody who may prove a key, but is nobody who is known here.
fn stranger(verified: Verified, unknown: ControlError, now: Timestamp) -> Result<Draft, Unanswered> {
    let (fail, why) = no(verified.authentication(), unknown);
    tracing::info!(protocol = "cmp", %why, "a stranger was refused");
    Ok(verified.refuse(fail, &why, fresh()?, now))
}

/// RFC 9810 5.2.3, for whom this refusal is about.
fn no(who: &Authentication, error: ControlError) -> (FailInfo, String) {
    match (outcome(Err(error)), who) {
        (Outcome::Refused { code, why }, Authentication::Certificate(_)) => {
            (FailInfo::SignerNotTrusted, format!("{code}: {why}"))
        }
        (Outcome::Refused { code, why }, Authentication::Secret(_) | Authentication::Order(_)) => {
            (FailInfo::NotAuthorized, format!("{code}: {why}"))
        }
        (Outcome::Unavailable { why } | Outcome::Pending { why, .. }, _) => (FailInfo::SystemUnavail, why),
        (Outcome::Issued { .. }, _) => (FailInfo::SystemFailure, "internal fault".to_owned()),
    }
}

/// The fourth step: what is asked for is done, and recorded.
async fn act(state: &State, signing: &Signing, request: Request) -> Result<Draft, Unanswered> {
    match request {
        Request::Enroll(enroll) => enroll_one(state, signing, *enroll).await,
        Request::Confirm(confirm) => Ok(confirm.answer(fresh()?, state.clock.now())),
        Request::Abort(abort) => {
            tracing::info!(protocol = "cmp", why = ?abort.why, "a client gave a transaction up");
            Ok(abort.answer(fresh()?, state.clock.now()))
        }
        Request::Revoke(revoke) => {
            let outcome = answers::revoke(state, &revoke.request).await;
            Ok(revoke.answer(&outcome, fresh()?, state.clock.now()))
        }
        Request::Inform(inform) => {
            let now = state.clock.now();
            match answers::inform(state, &inform, now).await {
                Ok(answers) => Ok(inform.answer(&answers, fresh()?, now)),
                Err(unknown) => {
                    let (fail, why) = no(&inform.authentication, unknown);
                    Ok(inform.refuse(fail, &why, fresh()?, now))
                }
            }
        }
    }
}

async fn enroll_one(state: &State, signing: &Signing, enroll: Enroll) -> Result<Draft, Unanswered> {
    let outcome = certify(state, enroll.request.clone()).await;
    let (fresh, now) = (fresh()?, state.clock.now());
    let (draft, settled) =
        state.cmp.locked(|open| enroll.answer(&signing.server, &outcome, open, fresh, now));
    // Of transactions before this one only: this one has just begun.
    record(state, settled).await;
    Ok(draft)
}
