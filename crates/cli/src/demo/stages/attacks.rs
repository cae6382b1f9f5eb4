//! Attacks, each refused for its own reason (R7, R38, R61, I2).

use anyhow::{Context as _, ensure};
use lanyard_agent::AgentError;
use lanyard_agent::tpm::TpmError;
use lanyard_api::client::CallError;
use lanyard_domain::trust::Verdict;
use lanyard_sim::catalogue::Class;
use lanyard_sim::faults::{self, Recorder};

use super::containment::release;
use crate::demo::narrate::Scene;
use crate::demo::story::{Story, refused_as, trusted};

/// Code and text of a refusal.
fn refusal(error: &CallError) -> Option<(&str, &str)> {
    match error {
        CallError::Refused(problem) => Some((problem.code(), problem.detail.as_str())),
        _ => None,
    }
}

fn agent_refusal(error: &AgentError) -> Option<(&str, &str)> {
    match error {
        AgentError::Call(call) => refusal(call),
        _ => None,
    }
}

/// Copied key file, other TPM; then the other TPM under the same label.
pub(in crate::demo) async fn clone(story: &mut Story, scene: &Scene) -> anyhow::Result<String> {
    let original = story.device(Class::Monitor, 0)?.clone();
    let dir = story.data_dir.join("attacker");
    let (network, clock, maker) = (story.house.network.clone(), story.clock.clone(), story.maker.clone());
    let copied = {
        let original = original.clone();
        tokio::task::spawn_blocking(move || faults::clone_disk(&original, &maker, &network, &clock, &dir))
            .await??
    };
    match &copied.copied_keys {
        Err(AgentError::Root(error @ TpmError::KeyNotOfThisTpm(_))) => {
            scene.note(format!("the other chip: {error}"));
        }
        Err(other) => anyhow::bail!("the copied keys failed for another reason: {other}"),
        Ok(()) => anyhow::bail!("the copied keys work on another chip"),
    }
    let enrolled = copied.impostor.agent.enroll().await;
    let error = enrolled.err().context("another chip enrolled under the same label")?;
    let text = refused_as("other_hardware", agent_refusal(&error)).with_context(|| error.to_string())?;
    trusted(&original.serial, &original.agent.attest().await?).context("the original suffers")?;
    Ok(format!(
        "copied keys do not open on another chip; that chip under the same label: {text} (other_hardware)"
    ))
}

/// Evidence that was good once, sent again.
pub(in crate::demo) async fn replay(story: &mut Story, _scene: &Scene) -> anyhow::Result<String> {
    let device = story.device(Class::Monitor, 0)?;
    let recorder = Recorder::on(device, &story.house.network, &story.clock)?;
    let recording = recorder.record(device).await.context("the recorded attestation")?;
    trusted(&device.serial, &recording.standing)?;
    let error = recorder.replay(&recording).await.err().context("recorded evidence was accepted again")?;
    let text = refused_as("evidence_replayed", refusal(&error)).with_context(|| error.to_string())?;
    Ok(format!("{text} (evidence_replayed)"))
}

/// An approved but older release, below the minimum security version.
pub(in crate::demo) async fn downgrade(story: &mut Story, scene: &Scene) -> anyhow::Result<String> {
    let device = story.device(Class::Pump, 2).or_else(|_| story.device(Class::Monitor, 0))?.clone();
    faults::downgrade(&device).await?;
    let standing = device.agent.attest().await.context("attesting with the older release")?;
    ensure!(standing.verdict == Verdict::Untrusted, "it is {}", standing.verdict);
    let reason = standing.reasons.iter().find(|r| r.code == "firmware_downgraded");
    let reason = reason.with_context(|| format!("the reasons are {:?}", standing.reasons))?.text.clone();
    release(story, &device).await?;
    scene.note(format!("{} is back on the required release, released by a person", device.serial));
    Ok(format!("{reason} (firmware_downgraded)"))
}

/// A chip of a known maker in a device that is in no record.
pub(in crate::demo) async fn unregistered(story: &mut Story, _scene: &Scene) -> anyhow::Result<String> {
    let stranger = faults::stranger(&story.maker, &story.house.network, &story.clock)?;
    let error = stranger.agent.enroll().await.err().context("an unregistered device enrolled")?;
    let text = refused_as("not_registered", agent_refusal(&error)).with_context(|| error.to_string())?;
    Ok(format!("{text} (not_registered)"))
}
