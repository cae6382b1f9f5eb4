//! Enrollment and attestation of the whole fleet (R34, R36, R58, R62).

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use lanyard_domain::trust::Strength;
use lanyard_sim::device::VirtualDevice;
use lanyard_sim::fleet::{self, concurrently};

use crate::demo::narrate::Scene;
use crate::demo::story::{Story, trusted};

/// Two cores sign for all of them.
const AT_ONCE: usize = 8;
/// The demo's certificates live for a day.
const DAY_SECONDS: i64 = 86_400;

/// Each device earns its certificate.
pub(in crate::demo) async fn enroll(story: &mut Story, scene: &Scene) -> anyhow::Result<String> {
    for made in std::mem::take(&mut story.delivered) {
        let device = made.install(&story.house.network, &story.clock, &story.rng)?;
        story.devices.push(Arc::new(device));
    }
    scene.count(story.devices.len());
    let bar = scene.clone();
    let outcomes = fleet::enroll(&story.devices, AT_ONCE, move |done| bar.reached(done)).await;
    ensure!(outcomes.len() == story.devices.len(), "an enrollment ended without an outcome");
    all_registered(story)?;
    for ((device, outcome), registered) in story.devices.iter().zip(outcomes).zip(&story.registered) {
        let issued = outcome.with_context(|| format!("{} did not enroll", device.serial))?;
        ensure!(issued.device == *registered, "{} got the identity of another record", device.serial);
        trusted(&device.serial, &issued.standing)?;
        let lifetime = issued.not_after.seconds_since(story.clock.now());
        ensure!(
            (DAY_SECONDS - 3_600..=DAY_SECONDS).contains(&lifetime),
            "{}'s certificate lives {lifetime} s, not a day",
            device.serial
        );
    }
    Ok(format!(
        "{} devices: chain of the endorsement key, credential activation, TLS key certified by the TPM, 24-hour certificate",
        story.devices.len()
    ))
}

/// Each device proves what runs on it.
pub(in crate::demo) async fn attest(story: &mut Story, scene: &Scene) -> anyhow::Result<String> {
    scene.count(story.devices.len());
    let outcomes = concurrently(story.devices.clone(), AT_ONCE, |device: Arc<VirtualDevice>| async move {
        let standing = device.agent.attest().await;
        (device.serial.clone(), standing)
    });
    let outcomes = outcomes.await;
    ensure!(outcomes.len() == story.devices.len(), "an attestation ended without an outcome");
    for (serial, standing) in outcomes {
        trusted(&serial, &standing.with_context(|| format!("{serial} did not attest"))?)?;
    }
    all_registered(story)?;
    let mut with_model = 0;
    for (device, id) in story.devices.iter().zip(&story.registered) {
        let detail = story.detail(*id).await?;
        let firmware = detail.firmware.as_ref().map(|r| r.version.as_str());
        let expected = device.class.firmware();
        ensure!(
            firmware == Some(expected.version()),
            "{} runs {firmware:?}, not {}",
            device.serial,
            expected.version()
        );
        let model = detail.model.as_ref().map(|r| r.version.clone());
        let expected = device.class.ai_model().map(|m| m.version);
        ensure!(model == expected, "{} runs AI model {model:?}, not {expected:?}", device.serial);
        ensure!(
            detail.strength >= Strength::Measured,
            "{} reaches only strength {:?}",
            device.serial,
            detail.strength
        );
        with_model += usize::from(model.is_some());
    }
    Ok(format!(
        "{} devices trusted on fresh quotes and event logs; {with_model} with its AI model among what was measured",
        story.devices.len()
    ))
}

/// Devices and records are compared pairwise below; a missing record must not shorten the comparison.
fn all_registered(story: &Story) -> anyhow::Result<()> {
    let (devices, records) = (story.devices.len(), story.registered.len());
    ensure!(devices > 0 && devices == records, "{devices} devices are installed, {records} are registered");
    Ok(())
}
