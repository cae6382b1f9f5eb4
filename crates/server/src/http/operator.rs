//! Operators' calls: decide (signed statements), look.

use axum::Json;
use axum::extract::{Path, Query, State as Shared};
use axum::http::StatusCode;
use futures_util::StreamExt;
use lanyard_api::operator::{
    About, Bootstrap, CertificateLine, DeviceDetail, DeviceLine, EventLine, GatewayLine, OperatorLine,
    Recorded, ReleaseDetail, ReleaseLine, StatementRequest,
};
use lanyard_control::carry_out::{Done, FirstOperator};
use lanyard_control::journal::Journal;
use lanyard_control::plane::ControlError;
use lanyard_control::world::World;
use lanyard_domain::device::{Device, Stage};
use lanyard_domain::id::{DeviceId, OperatorId, ReleaseId, StreamId};
use lanyard_domain::release::Release;
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::evaluate;
use lanyard_pki::path::Anchors;
use serde::Deserialize;

use super::peer::OperatorPeer;
use super::problem::Answer;
use crate::state::State;

/// `GET /v1/about`.
pub async fn about(Shared(state): Shared<State>) -> Json<About> {
    let world = state.control.world();
    Json(About {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        origin: world.origin.clone().unwrap_or_default(),
        log_vkey: state.log_vkey.to_string(),
        anchors_pem: state.control.authority.anchors_pem(),
        needs_bootstrap: world.operators.is_empty(),
    })
}

/// `POST /v1/bootstrap`.
pub async fn bootstrap(
    Shared(state): Shared<State>,
    Json(request): Json<Bootstrap>,
) -> Result<Json<Recorded>, Answer> {
    let matches = {
        let secret = state.bootstrap.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        secret.as_ref().is_some_and(|s| s.matches(&request.secret))
    };
    if !matches {
        tracing::warn!("someone tried to become the first operator with a wrong secret");
        let detail = "the bootstrap secret is wrong or was used already";
        return Err(Answer::new(StatusCode::FORBIDDEN, "bootstrap_refused", detail));
    }
    let first = FirstOperator {
        id: request.operator,
        name: request.name,
        roles: request.roles,
        public_key: request.public_key,
    };
    let done = state.control.bootstrap(first, state.clock.now()).await?;
    *state.bootstrap.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    Ok(Json(recorded(&state, done)))
}

/// `POST /v1/statements`: the signature inside is what authenticates.
pub async fn statements(
    Shared(state): Shared<State>,
    Json(request): Json<StatementRequest>,
) -> Result<Json<Recorded>, Answer> {
    let now = state.clock.now();
    let done = state.control.carry_out(&request.statement, now).await?;
    follow_anchors(&state);
    // The gateways have heard already; here the chains learn of it, many in one transaction. What fails, the drift
    // worker makes up for.
    let (control, devices) = (&state.control, done.reassess.clone());
    futures_util::stream::iter(devices)
        .for_each_concurrent(AT_ONCE, |device| async move {
            if let Err(error) = control.reassess(device, now).await {
                tracing::warn!(device.id = %device, %error, "a changed verdict could not be recorded yet");
            }
        })
        .await;
    Ok(Json(recorded(&state, done)))
}

/// When a root has come or gone: the next handshakes here know it, and the gateways begin again with a snapshot that has it.
fn follow_anchors(state: &State) {
    let issuers = state.control.authority.issuers();
    let known = state.peers.anchors.current();
    if known.certificates() == issuers.roots() {
        return;
    }
    match Anchors::new(issuers.roots().to_vec()) {
        Ok(anchors) => state.peers.anchors.replace(anchors),
        Err(error) => {
            tracing::error!(%error, "the roots in force cannot be used for connections; keeping those known");
            return;
        }
    }
    state.feeds.end_all();
}

/// Verdicts that are recorded at once after a release was withdrawn.
const AT_ONCE: usize = 256;

fn recorded(state: &State, done: Done) -> Recorded {
    let pos = done.appended.map(|a| a.pos).unwrap_or_default();
    let events = u32::from(done.appended.is_some());
    Recorded {
        pos,
        events,
        level: state.control.journal.level(pos).to_owned(),
        outcome: done.outcome,
        secret: done.secret.map(|s| s.reveal().to_owned()),
    }
}

/// Filters of the device list; each narrows.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceFilter {
    stage: Option<String>,
    verdict: Option<String>,
    site: Option<String>,
    class: Option<String>,
    /// Part of vendor, model, serial number or id.
    text: Option<String>,
    /// At most so many lines, 1,000 without it.
    limit: Option<usize>,
    /// Lines after this id.
    after: Option<DeviceId>,
}

/// `GET /v1/devices`.
pub async fn devices(
    Shared(state): Shared<State>,
    _who: OperatorPeer,
    Query(filter): Query<DeviceFilter>,
) -> Json<Vec<DeviceLine>> {
    let now = state.clock.now();
    let world = state.control.world();
    let after = |id: &&DeviceId| filter.after.is_none_or(|after| **id > after);
    let mut ids: Vec<DeviceId> = world.devices.keys().filter(after).copied().collect();
    ids.sort_unstable();
    // A line is made only for what may be shown: a page of a million devices costs a sort of their ids.
    let lines = ids
        .iter()
        .filter_map(|id| world.devices.get(id))
        .map(|d| device_line(&world, d, now))
        .filter(|line| wanted(line, &filter))
        .take(filter.limit.unwrap_or(1_000).min(100_000));
    Json(lines.collect())
}

fn wanted(line: &DeviceLine, filter: &DeviceFilter) -> bool {
    let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|w| w == found);
    let has = |text: &String| {
        [&line.vendor, &line.model, &line.serial].into_iter().any(|f| f.contains(text.as_str()))
            || line.device.to_string().contains(text.as_str())
    };
    is(&filter.stage, &line.stage)
        && is(&filter.verdict, &line.verdict.to_string())
        && is(&filter.site, &line.site)
        && is(&filter.class, &line.class)
        && filter.text.as_ref().is_none_or(has)
}

fn device_line(world: &World, device: &Device, now: Timestamp) -> DeviceLine {
    let trust = evaluate(device, &world.releases, now);
    DeviceLine {
        device: device.id,
        vendor: device.record.vendor.clone(),
        model: device.record.model.clone(),
        serial: device.record.serial.clone(),
        site: device.record.site.clone(),
        class: device.record.class.clone(),
        tier: device.record.tier,
        stage: device.stage.name().to_owned(),
        verdict: trust.verdict,
        strength: trust.strength,
        reason: trust.reasons.into_iter().next(),
    }
}

/// `GET /v1/devices/{id}`.
pub async fn device(
    Shared(state): Shared<State>,
    _who: OperatorPeer,
    Path(id): Path<DeviceId>,
) -> Result<Json<DeviceDetail>, Answer> {
    let world = state.control.world();
    let device = world.devices.get(&id).ok_or_else(|| not_found("device", id))?;
    let trust = evaluate(device, &world.releases, state.clock.now());
    let evidence = device.evidence.as_ref();
    let release = |id: Option<ReleaseId>| id.and_then(|id| world.releases.get(&id)).map(release_line);
    let approvals = match &device.stage {
        Stage::Registered(approvals) => approvals.given.clone(),
        _ => Vec::new(),
    };
    Ok(Json(DeviceDetail {
        device: id,
        record: device.record.clone(),
        stage: device.stage.name().to_owned(),
        approvals,
        verdict: trust.verdict,
        strength: trust.strength,
        reasons: trust.reasons,
        restore: trust.restore,
        fresh_until: trust.fresh_until,
        untrusted_after: trust.untrusted_after,
        certificates: device
            .certificates
            .iter()
            .map(|c| CertificateLine {
                serial: c.serial.clone(),
                sha256: c.sha256,
                not_before: c.not_before,
                not_after: c.not_after,
            })
            .collect(),
        firmware: release(evidence.and_then(|e| e.firmware)),
        model: release(evidence.and_then(|e| e.model)),
        evidence_pos: evidence.map(|e| e.pos),
        seq: device.seq,
    }))
}

/// Where in a stream to begin.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct From {
    from: Option<u64>,
    limit: Option<usize>,
}

/// `GET /v1/devices/{id}/events`.
pub async fn events(
    Shared(state): Shared<State>,
    _who: OperatorPeer,
    Path(id): Path<DeviceId>,
    Query(from): Query<From>,
) -> Result<Json<Vec<EventLine>>, Answer> {
    let stream = StreamId::from(id);
    let limit = from.limit.unwrap_or(1_000).min(4_096);
    let stored = state
        .control
        .journal
        .store()
        .stream(*stream.as_bytes(), from.from.unwrap_or_default(), limit)
        .await
        .map_err(|e| ControlError::Unavailable(e.to_string()))?;
    let lines = stored.into_iter().map(|event| EventLine {
        pos: event.header.pos,
        time: Timestamp::from_micros(event.header.time_micros),
        seq: event.header.seq,
        actor: OperatorId::from_bytes(event.header.actor),
        event: event.payload.and_then(|p| serde_json::from_slice(&p).ok()),
        level: state.control.journal.level(event.header.pos).to_owned(),
    });
    Ok(Json(lines.collect()))
}

/// `GET /v1/releases`.
pub async fn releases(Shared(state): Shared<State>, _who: OperatorPeer) -> Json<Vec<ReleaseLine>> {
    let world = state.control.world();
    let mut lines: Vec<ReleaseLine> = world.releases.values().map(release_line).collect();
    lines.sort_unstable_by_key(|line| line.release);
    Json(lines)
}

fn release_line(release: &Release) -> ReleaseLine {
    ReleaseLine {
        release: release.id,
        kind: if release.record.is_firmware() { "firmware" } else { "model" }.to_owned(),
        vendor: release.record.vendor.clone(),
        model: release.record.model.clone(),
        version: release.record.version.clone(),
        state: release.state,
    }
}

/// `GET /v1/releases/{id}`.
pub async fn release(
    Shared(state): Shared<State>,
    _who: OperatorPeer,
    Path(id): Path<ReleaseId>,
) -> Result<Json<ReleaseDetail>, Answer> {
    let world = state.control.world();
    let release = world.releases.get(&id).ok_or_else(|| not_found("release", id))?;
    Ok(Json(ReleaseDetail { release: id, record: release.record.clone(), state: release.state }))
}

/// `GET /v1/operators`.
pub async fn operators(Shared(state): Shared<State>, _who: OperatorPeer) -> Json<Vec<OperatorLine>> {
    let world = state.control.world();
    let mut lines: Vec<OperatorLine> = world
        .operators
        .values()
        .map(|o| OperatorLine {
            operator: o.id,
            name: o.name.clone(),
            roles: o.roles.clone(),
            active: o.active,
        })
        .collect();
    lines.sort_unstable_by_key(|line| line.operator);
    Json(lines)
}

/// `GET /v1/gateways`.
pub async fn gateways(Shared(state): Shared<State>, _who: OperatorPeer) -> Json<Vec<GatewayLine>> {
    let world = state.control.world();
    let mut lines: Vec<GatewayLine> = world
        .gateways
        .values()
        .map(|g| GatewayLine {
            gateway: g.id,
            site: g.site.clone(),
            names: g.names.clone(),
            connected: state.feeds.connected(g.id),
            anchored_size: g.anchored.as_ref().map_or(0, |a| a.size),
            removed: g.removed,
        })
        .collect();
    lines.sort_unstable_by_key(|line| line.gateway);
    Json(lines)
}

fn not_found(what: &'static str, id: impl ToString) -> Answer {
    ControlError::NotFound { what, id: id.to_string() }.into()
}
