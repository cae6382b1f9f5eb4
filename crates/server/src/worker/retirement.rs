//! Proof of retirement (I11): every old credential is offered at every enforcement point, by the very code that judges
//! real ones, and the answers are recorded. Only when all refuse is the device retired.

use std::time::Duration;

use futures_util::{StreamExt as _, future, stream};
use lanyard_api::gateway::{Answer, Question};
use lanyard_domain::event::{Event, Probe};
use lanyard_domain::id::{DeviceId, GatewayId, StreamId};
use lanyard_domain::text::Blob;
use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::state::State;

/// So many are proven at once: a site whose gateway is away must not keep other sites' devices waiting.
const AT_ONCE: usize = 64;
/// After a failure: the chain must not fill with the same answer, and a gateway that is away is not back at once.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

pub(super) async fn run(state: State, shutdown: CancellationToken) {
    let mut pause = Duration::from_millis(500);
    while next_round(&shutdown, pause).await {
        let proofs = stream::iter(state.control.retiring()).map(|device| attempt(&state, device));
        let failed = proofs.buffer_unordered(AT_ONCE).filter(|proven| future::ready(!proven)).count().await;
        pause = if failed == 0 { Duration::from_millis(500) } else { PAUSE_AFTER_FAILURE };
    }
}

async fn attempt(state: &State, device: DeviceId) -> bool {
    let proven = prove(state, device).await;
    if let Err(error) = &proven {
        tracing::warn!(device.id = %device, %error, "a retirement is not proven yet; trying again");
    }
    proven.is_ok()
}

async fn prove(state: &State, device: DeviceId) -> anyhow::Result<()> {
    let now = state.clock.now();
    let mut probes = state.control.probe_here(device, now)?;
    let certificates = certificates(state, device).await?;
    for gateway in gateways(state, device) {
        probes.extend(ask(state, gateway, device, &certificates).await?);
    }
    let accepted = probes.iter().find(|p| !p.refused);
    let accepted = accepted.map(|probe| probe.point.clone());
    state.control.record_probes(device, probes, state.clock.now()).await?;
    if let Some(point) = accepted {
        // An error waits before it tries again: the chain must not fill with the same answer.
        anyhow::bail!("its credential is still accepted at `{point}`");
    }
    Ok(())
}

/// The gateways of the device's site. One that is away cannot be proven: retirement waits for it.
fn gateways(state: &State, device: DeviceId) -> Vec<GatewayId> {
    let world = state.control.world();
    let Some(site) = world.devices.get(&device).map(|d| d.record.site.clone()) else { return Vec::new() };
    world.gateways.values().filter(|g| g.site == site && !g.removed).map(|g| g.id).collect()
}

async fn ask(
    state: &State,
    gateway: GatewayId,
    device: DeviceId,
    certificates: &[Blob],
) -> anyhow::Result<Vec<Probe>> {
    let question = Question::Probe { device, certificates: certificates.to_vec() };
    match state.feeds.ask(gateway, question).await? {
        // I11: a gateway that says nothing about a certificate has not refused it.
        Answer::Probed { probes } if probes.len() < certificates.len() => anyhow::bail!(
            "gateway {gateway} answered {} probes for {} certificates",
            probes.len(),
            certificates.len()
        ),
        Answer::Probed { probes } => Ok(probes),
        Answer::Reading { .. } => anyhow::bail!("gateway {gateway} answered another question"),
    }
}

/// Every certificate that the device ever had and that has not ended.
async fn certificates(state: &State, device: DeviceId) -> anyhow::Result<Vec<Blob>> {
    let now = state.clock.now();
    let mut from = 0;
    let mut found = Vec::new();
    loop {
        let stream = StreamId::from(device);
        let batch = state.control.journal.store().stream(*stream.as_bytes(), from, 1_024).await?;
        let Some(last) = batch.last() else { return Ok(found) };
        from = last.header.seq + 1;
        for stored in &batch {
            let Some(payload) = &stored.payload else { continue };
            if let Ok(Event::CertificateIssued { certificate, not_after, .. }) =
                Event::from_payload(stored.header.kind, payload)
                && not_after > now
            {
                found.push(certificate);
            }
        }
    }
}
