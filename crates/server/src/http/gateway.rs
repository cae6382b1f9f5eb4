//! Gateways' calls: certificate, feed, answers, anchoring.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use lanyard_api::gateway::{
    AnchorReply, AnchorRequest, AnswerRequest, FeedItem, GatewayCertificateReply, GatewayCertificateRequest,
    Snapshot,
};
use lanyard_domain::id::GatewayId;
use lanyard_domain::text::Blob;
use tokio::sync::mpsc;

use super::peer::GatewayPeer;
use super::problem::Answer;
use crate::feed::Feeds;
use crate::state::State;

/// `POST /v1/gateway/certificate`: the admitted key proves itself by signing its request.
pub async fn certificate(
    Shared(state): Shared<State>,
    Json(request): Json<GatewayCertificateRequest>,
) -> Result<Json<GatewayCertificateReply>, Answer> {
    let (chain_pem, not_after) =
        state.control.certify_gateway(request.gateway, &request.csr.0, state.clock.now()).await?;
    Ok(Json(GatewayCertificateReply { chain_pem, not_after }))
}

/// `GET /v1/gateway/feed`: snapshot, then changes as they are recorded, for ever.
pub async fn feed(
    Shared(state): Shared<State>,
    GatewayPeer(gateway): GatewayPeer,
) -> Result<Response, Answer> {
    let site = {
        let world = state.control.world();
        world.gateways.get(&gateway).map(|g| g.site.clone()).unwrap_or_default()
    };
    // Opened before the snapshot is taken: a change in between is sent twice rather than never.
    let (id, items) = state.feeds.open(gateway, &site);
    let open = OpenFeed { feeds: Arc::clone(&state.feeds), id, items };
    // Removed since its certificate was looked at: the removal ended the feeds that were open then, and this one was not.
    if state.control.world().gateways.get(&gateway).is_none_or(|g| g.removed) {
        return Err(Answer::new(StatusCode::FORBIDDEN, "gateway_removed", "this gateway was removed"));
    }
    let first = line(&FeedItem::Snapshot(Box::new(snapshot(&state, gateway, &site))));
    tracing::info!(gateway.id = %gateway, %site, "gateway connected to its feed");
    let lines = stream::unfold((Some(first), open), |(first, mut open)| async move {
        match first {
            Some(first) => Some((Ok::<Bytes, Infallible>(first), (None, open))),
            None => open.items.recv().await.map(|item| (Ok(line(&item)), (None, open))),
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

/// Closes the feed when the connection goes, however it goes.
struct OpenFeed {
    feeds: Arc<Feeds>,
    id: u64,
    items: mpsc::Receiver<Arc<FeedItem>>,
}

impl Drop for OpenFeed {
    fn drop(&mut self) {
        self.feeds.close(self.id);
    }
}

fn line(item: &FeedItem) -> Bytes {
    // Our own types always encode; an empty line is skipped by the reader.
    let mut line = serde_json::to_vec(item).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

fn snapshot(state: &State, gateway: GatewayId, site: &str) -> Snapshot {
    let now = state.clock.now();
    let world = state.control.world();
    let issuers = world.compromised_issuers();
    Snapshot {
        gateway,
        site: site.to_owned(),
        // The last position that is in it, as the feed says it everywhere: evidence counts up to and with it.
        pos: world.next_pos.saturating_sub(1),
        time: now,
        log_vkey: state.log_vkey.to_string(),
        anchors_pem: state.control.authority.anchors_pem(),
        jwks: state.tokens.jwks().to_owned(),
        token_issuer: state.tokens.issuer().to_owned(),
        compromised_issuers: issuers.replaced.into_iter().map(Blob).collect(),
        distrusted_issuers: issuers.distrusted.into_iter().map(Blob).collect(),
        devices: world
            .devices
            .values()
            .filter(|d| d.record.site == site)
            .map(|d| world.view(d, now))
            .collect(),
    }
}

/// `POST /v1/gateway/answer`.
pub async fn answer(
    Shared(state): Shared<State>,
    GatewayPeer(gateway): GatewayPeer,
    Json(request): Json<AnswerRequest>,
) -> StatusCode {
    if state.feeds.answer(gateway, request.question, request.answer) {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::GONE
    }
}

/// `POST /v1/gateway/anchor`.
pub async fn anchor(
    Shared(state): Shared<State>,
    GatewayPeer(gateway): GatewayPeer,
    Json(request): Json<AnchorRequest>,
) -> Result<Json<AnchorReply>, Answer> {
    let (pos, anchored_size) = state
        .control
        .anchor_gateway(gateway, &request.checkpoint, &request.consistency, state.clock.now())
        .await?;
    Ok(Json(AnchorReply { pos, anchored_size }))
}
