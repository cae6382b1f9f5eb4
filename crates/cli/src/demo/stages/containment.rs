//! Distrust and its end: a tampered pump is cut off on every path, and comes back only through a person (I6, R61, R89).

use std::time::Duration;

use anyhow::{Context as _, ensure};
use lanyard_domain::trust::Verdict;
use lanyard_sim::{distrust, faults};

use super::data::accepted;
use crate::demo::narrate::Scene;
use crate::demo::story::{Story, trusted};

/// The promise: every path within a second.
const LIMIT_MS: f64 = 1_000.0;

/// Milliseconds from the evidence to the refusal on each path.
pub(in crate::demo) async fn distrust(story: &mut Story, scene: &Scene) -> anyhow::Result<String> {
    let victim = story.victim()?.clone();
    faults::tamper(&victim).await?;
    accepted(&victim, victim.send().await?).context("until it attests, nobody can know")?;
    let distrusted = distrust::measure(&victim).await?;
    let times = distrusted.times;
    let why: Vec<&str> = distrusted.standing.reasons.iter().map(|r| r.text.as_str()).collect();
    let why = why.first().copied().unwrap_or_default().to_owned();
    ensure!(distrusted.standing.stage == "quarantined", "it is {}", distrusted.standing.stage);
    let codes: Vec<&str> = distrusted.standing.reasons.iter().map(|r| r.code.as_str()).collect();
    ensure!(codes.contains(&"firmware_unapproved"), "the reasons are {codes:?}");
    scene.note(format!("attestation: {why}"));
    for (path, ms) in [
        ("token refused", times.token),
        ("new TLS handshake refused", times.mtls),
        ("open connection cut", times.connection),
        ("FHIR write refused", times.fhir),
    ] {
        scene.note(format!("{path:<28}{ms:>8.1} ms"));
    }
    story.distrust = Some(times);
    ensure!(times.max < LIMIT_MS, "the slowest path took {:.1} ms", times.max);

    // Nothing more arrives, and the device beside it goes on.
    let urn = victim.id()?.urn();
    let before = story.house.ehr.observations_of(&urn);
    let late = victim.send().await;
    ensure!(!late.is_ok_and(|r| r.status.is_success()), "a later write was accepted");
    tokio::time::sleep(Duration::from_millis(200)).await;
    ensure!(story.house.ehr.observations_of(&urn) == before, "a reading arrived after the refusal");
    let neighbour = story.neighbour()?;
    accepted(neighbour, neighbour.send().await?).context("the pump beside it was cut off too")?;
    Ok(format!(
        "cut off on all paths, the slowest after {:.1} ms (token {:.1}, handshake {:.1}, open connection {:.1}, FHIR \
         write {:.1}); its neighbour goes on. {why}",
        times.max, times.token, times.mtls, times.connection, times.fhir
    ))
}

/// Approved firmware alone is not enough: a person must release it, and it must prove itself.
pub(in crate::demo) async fn restore(story: &mut Story, scene: &Scene) -> anyhow::Result<String> {
    let victim = story.victim()?.clone();
    victim.boot_approved().await?;
    let alone = victim.agent.attest().await.context("attesting with approved firmware")?;
    ensure!(alone.verdict == Verdict::Untrusted, "good evidence alone made it {}", alone.verdict);
    scene.note(format!("approved firmware alone: still {}, {}", alone.stage, alone.restore.join(" ")));
    release(story, &victim).await?;
    Ok(format!(
        "{} runs approved firmware, {} released it, data flows again",
        victim.serial, story.people.security.name
    ))
}

/// Approved firmware, a person's release, a good attestation, and a reading that arrives.
pub(super) async fn release(
    story: &Story,
    device: &lanyard_sim::device::VirtualDevice,
) -> anyhow::Result<()> {
    trusted(&device.serial, &story.admission().restore(device).await?)?;
    // The gateway hears of the verdict a moment after the device does.
    for _ in 0..100 {
        if device.send().await.is_ok_and(|reply| reply.status == 201) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    accepted(device, device.send().await?).context("it is trusted, but its data does not flow").map(|_| ())
}
