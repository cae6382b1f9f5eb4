//! Data: Observations with Provenance, tokens, and renewal without a failed request (R55, R81, R44).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use lanyard_agent::fhir::Reply;
use lanyard_sim::catalogue::Class;
use lanyard_sim::device::{VirtualDevice, location_of};
use serde_json::Value;

use crate::demo::narrate::Scene;
use crate::demo::story::Story;

/// Renewals while data flows.
const RENEWALS: usize = 3;

/// One reading per device; the EHR has it, and what stands behind it.
pub(in crate::demo) async fn send(story: &mut Story, scene: &Scene) -> anyhow::Result<String> {
    scene.count(story.devices.len());
    for (index, device) in story.devices.iter().enumerate() {
        let location = accepted(device, device.send().await?)?;
        let resource = story.house.ehr.resource(&location);
        let resource = resource.with_context(|| format!("{location} is not in the EHR"))?;
        let provenance = story.house.ehr.provenance_of(&location);
        let provenance = provenance.with_context(|| format!("{location} has no Provenance"))?;
        check_provenance(story, device, &provenance).with_context(|| format!("Provenance of {location}"))?;
        let labelled = codes(&resource, "/meta/security").any(|code| code == "AIAST");
        let is_ai = device.class == Class::Ct;
        ensure!(labelled == is_ai, "{location}: AIAST label is {labelled}, AI is {is_ai}");
        if is_ai && story.reading.is_none() {
            story.reading = Some(location);
        }
        scene.reached(index + 1);
    }
    let device = story.neighbour()?;
    let free_text = device.reading()?.replacen("\"status\"", "\"note\":[{\"text\":\"hello\"}],\"status\"", 1);
    let reply = device.path.post("/fhir/Observation", free_text, None).await?;
    ensure!(reply.status == 422, "an Observation with free text got {}", reply.status);
    let wide = device.path.get("/fhir/Patient/sim-1", None).await?;
    ensure!(wide.status == 403, "reading a Patient without that scope got {}", wide.status);
    Ok(format!(
        "{} Observations, each in one transaction with a Provenance of device, firmware release, AI model release (CT, \
         labelled AIAST), attestation and decision; free text and reads out of scope were refused",
        story.devices.len()
    ))
}

/// Location of what was written, if it was.
pub(super) fn accepted(device: &VirtualDevice, reply: Reply) -> anyhow::Result<String> {
    ensure!(
        reply.status == 201,
        "{}'s reading got {}: {}",
        device.serial,
        reply.status,
        reply.diagnostics().unwrap_or_default()
    );
    location_of(&reply).with_context(|| format!("{}'s reading has no location", device.serial))
}

fn check_provenance(story: &Story, device: &VirtualDevice, provenance: &Value) -> anyhow::Result<()> {
    let id = device.id()?;
    let author = provenance.pointer("/agent/0/who/identifier/value").and_then(Value::as_str);
    ensure!(author == Some(id.urn().as_str()), "names the author {author:?}, not {}", id.urn());
    for (name, version, is_model) in [
        ("firmware-release", Some(device.class.firmware().version().to_owned()), false),
        ("model-release", device.class.ai_model().map(|m| m.version), true),
    ] {
        let found = extension(provenance, name).and_then(|e| part(e, "id"));
        let expected = version.and_then(|version| {
            let same = |r: &&_| is_same(r, device.class, &version, is_model);
            story.releases.iter().find(same).map(|r| format!("urn:uuid:{}", r.id))
        });
        ensure!(found.map(str::to_owned) == expected, "{name} is {found:?}, not {expected:?}");
    }
    for name in ["decision", "evidence-position", "approved-use", "verdict"] {
        let value = extension(provenance, name).and_then(|e| e.get("valueString")).and_then(Value::as_str);
        ensure!(value.is_some_and(|v| !v.is_empty()), "{name} is missing");
    }
    let evidence = provenance.pointer("/entity/0/what/identifier/value").and_then(Value::as_str);
    ensure!(evidence.is_some_and(|e| e.len() == 64), "the attestation's digest is missing");
    Ok(())
}

fn is_same(
    release: &crate::demo::story::ApprovedRelease,
    class: Class,
    version: &str,
    is_model: bool,
) -> bool {
    release.class == class && release.version == version && release.is_model == is_model
}

fn extension<'v>(provenance: &'v Value, name: &str) -> Option<&'v Value> {
    let url = format!("urn:lanyard:fhir:{name}");
    let list = provenance.get("extension")?.as_array()?;
    list.iter().find(|e| e.get("url").and_then(Value::as_str) == Some(&url))
}

fn part<'v>(extension: &'v Value, name: &str) -> Option<&'v str> {
    let list = extension.get("extension")?.as_array()?;
    let found = list.iter().find(|e| e.get("url").and_then(Value::as_str) == Some(name))?;
    found.get("valueString")?.as_str()
}

fn codes<'v>(resource: &'v Value, pointer: &str) -> impl Iterator<Item = &'v str> {
    let list = resource.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|coding| coding.get("code")?.as_str())
}

/// A token works with its own certificate only.
pub(in crate::demo) async fn token(story: &mut Story, _scene: &Scene) -> anyhow::Result<String> {
    let (owner, other) = (story.victim()?, story.neighbour()?);
    let token = owner.agent.token(None).await.context("no token")?;
    accepted(owner, owner.send_over(&owner.path, Some(&token.access_token)).await?)?;
    let stolen = other.send_over(&other.path, Some(&token.access_token)).await?;
    ensure!(stolen.status == 401, "a token with another certificate got {}", stolen.status);
    Ok(format!(
        "a {}-second token was accepted from its device and refused (401) from another one",
        token.expires_in
    ))
}

/// Renewals under load: no request fails, and the newest certificate serves.
pub(in crate::demo) async fn renew(story: &mut Story, scene: &Scene) -> anyhow::Result<String> {
    // The monitor that is retired later, so that it has several old certificates by then.
    let device = story.device(Class::Monitor, 1)?.clone();
    let stop = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicU64::new(0));
    let writer = tokio::spawn(keep_sending(device.clone(), stop.clone(), sent.clone()));
    let mut generations = vec![device.agent.identities().leaf()];
    scene.count(RENEWALS);
    for round in 0..RENEWALS {
        more_sent(&sent, 5).await?;
        device.agent.renew().await.context("renewal failed")?;
        generations.push(device.agent.identities().leaf());
        more_sent(&sent, 5).await?;
        scene.reached(round + 1);
    }
    stop.store(true, Ordering::SeqCst);
    let failures = writer.await.context("the writer ended early")?;
    ensure!(
        failures.is_empty(),
        "{} of {} requests failed: {}",
        failures.len(),
        total(&sent),
        failures.join("; ")
    );
    generations.dedup();
    ensure!(generations.len() == RENEWALS + 1, "only {} certificates were used", generations.len());
    Ok(format!("{RENEWALS} renewals, {} requests meanwhile, none failed", total(&sent)))
}

fn total(sent: &AtomicU64) -> u64 {
    sent.load(Ordering::SeqCst)
}

/// Waits until `count` more requests were answered.
async fn more_sent(sent: &AtomicU64, count: u64) -> anyhow::Result<()> {
    let wanted = total(sent) + count;
    for _ in 0..1_000 {
        if total(sent) >= wanted {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("data stopped flowing")
}

async fn keep_sending(
    device: Arc<VirtualDevice>,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
) -> Vec<String> {
    let mut failures = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        match device.send().await {
            Ok(reply) if reply.status == 201 => {}
            Ok(reply) => {
                failures.push(format!("{}: {}", reply.status, reply.diagnostics().unwrap_or_default()))
            }
            Err(error) => failures.push(error.to_string()),
        }
        sent.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    failures
}
