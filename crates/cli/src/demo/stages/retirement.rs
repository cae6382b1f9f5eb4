//! Retirement with proof: every old credential is probed at every enforcement point, and the probes are recorded (I11,
//! R125).

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use lanyard_agent::AgentError;
use lanyard_api::client::CallError;
use lanyard_domain::event::{Event, Probe};
use lanyard_domain::id::DeviceId;
use lanyard_domain::statement::Action;
use lanyard_sim::catalogue::Class;

use super::data::accepted;
use crate::demo::narrate::Scene;
use crate::demo::story::Story;

/// Retires a monitor that has renewed and has a connection open.
pub(in crate::demo) async fn retire(story: &mut Story, scene: &Scene) -> anyhow::Result<String> {
    let device = story.device(Class::Monitor, 1)?.clone();
    let id = device.id()?;
    accepted(&device, device.send().await?).context("before its retirement")?;
    let action = Action::RetireDevice { device: id };
    story.house.desk.decide(&story.people.biomedical, action, "replaced by a newer model").await?;
    let stage = until_retired(story, id).await?;
    ensure!(stage == "retired", "after ten seconds it is still {stage}");
    tokio::time::timeout(Duration::from_secs(1), device.path.closed())
        .await
        .context("its open connection was not cut")?;

    let probes = probes(story, id).await?;
    ensure!(!probes.is_empty(), "no probes were recorded");
    let accepted_one = probes.iter().find(|p| !p.refused);
    ensure!(accepted_one.is_none(), "an old credential was accepted: {accepted_one:?}");
    let points: BTreeSet<&str> = probes.iter().map(|p| p.point.as_str()).collect();
    let credentials: BTreeSet<&str> = probes.iter().map(|p| p.credential.as_str()).collect();
    scene.note(format!("probed at: {}", points.iter().copied().collect::<Vec<_>>().join(", ")));

    // And as the device itself sees it.
    ensure!(device.agent.token(None).await.is_err(), "it still gets tokens");
    ensure!(device.agent.attest().await.is_err(), "its evidence is still taken");
    ensure!(!device.send().await.is_ok_and(|r| r.status.is_success()), "its data still arrives");
    let again = device.agent.enroll().await.err().context("it enrolled again")?;
    match &again {
        AgentError::Call(CallError::Refused(problem)) if problem.code() == "retired" => {}
        other => anyhow::bail!("enrolling again failed for another reason: {other}"),
    }
    Ok(format!(
        "{}: {} probes of {} old credentials at {} enforcement points, all refused and recorded",
        device.serial,
        probes.len(),
        credentials.len(),
        points.len()
    ))
}

/// The control plane probes by itself; this only waits.
async fn until_retired(story: &Story, id: DeviceId) -> anyhow::Result<String> {
    let mut stage = String::new();
    for _ in 0..200 {
        stage = story.detail(id).await?.stage;
        if stage == "retired" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(stage)
}

/// The probes as the device's own chain has them.
async fn probes(story: &Story, id: DeviceId) -> anyhow::Result<Vec<Probe>> {
    let probed = story.events(id).await?.into_iter().filter_map(|event| match event {
        Event::RefusalProbed { probes } => Some(probes),
        _ => None,
    });
    Ok(probed.flatten().collect())
}
