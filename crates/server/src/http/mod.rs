//! HTTP: routes, who asks, and how outcomes read. No rule lives here.
//!
//! To add a call: its types in `lanyard-api`, a handler in the file of its audience, a line in [`router`].

pub mod device;
pub mod evidence;
pub mod gateway;
pub mod nonces;
pub mod operator;
pub mod peer;
pub mod problem;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{get, post};
use lanyard_api::device::MAX_BODY;

use crate::state::State;
use problem::Answer;

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
        .route("/v1/evidence/claim", post(evidence::claim))
        .route("/v1/evidence/bundle", post(evidence::bundle))
        .route("/v1/checkpoint", get(device::checkpoint))
        .route("/v1/enroll/begin", post(device::enroll_begin))
        .route("/v1/enroll/finish", post(device::enroll_finish))
        .route("/v1/attest", post(device::attest))
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
        .with_state(state)
}
