//! Evidence: a reading's bundle is exported, verified offline, and does not survive the change of any byte (R114, R115).

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use http::Method;
use lanyard_api::operator::{EvidenceClaim, EvidenceExport, EvidenceFile, EvidenceRequest};
use lanyard_control::evidence::{CheckResult, verify};
use lanyard_domain::statement::Action;
use lanyard_ledger::bundle::{Outcome, TrustPolicy};

use crate::demo::narrate::Scene;
use crate::demo::story::Story;

/// Bytes that are flipped, one at a time, at places drawn from the seed.
const FLIPS: usize = 64;
/// Examples of what the verifier says.
const SHOWN: usize = 4;

/// Exports, verifies, flips.
pub(in crate::demo) async fn export(story: &mut Story, scene: &Scene) -> anyhow::Result<String> {
    let location = story.reading.clone().context("no reading of the CT was accepted")?;
    let bytes = bundle(story, &location).await?;
    let path = story.data_dir.join(format!("evidence-{}.bundle", location.replace('/', "-")));
    std::fs::write(&path, &bytes).with_context(|| format!("cannot write `{}`", path.display()))?;
    story.bundle = Some(path);

    let trust = TrustPolicy {
        main_log_vkeys: Some(vec![story.house.control.log_vkey.clone()]),
        ..TrustPolicy::default()
    };
    let report = verify(&bytes, &trust);
    ensure!(
        report.outcome == Outcome::ProvedUnwitnessed && report.flaw.is_none(),
        "the bundle is {}: {}",
        report.outcome.words(),
        report.flaw.unwrap_or_default()
    );
    let passed = report.checks.iter().filter(|c| c.result == CheckResult::Passed).count();
    let claim = report.claim.as_ref().context("the verifier read no claim")?;
    scene.note(format!(
        "{location}: {} {} was {} and {} when it was made; {passed} checks passed",
        claim.state.model, claim.state.serial, claim.state.stage, claim.state.verdict
    ));
    report.not_proven.iter().for_each(|what| scene.note(format!("not proven: {what}")));

    let mut rng = story.rng.fork("flips");
    let mut copy = bytes.clone();
    let mut shown = BTreeSet::new();
    for _ in 0..FLIPS {
        let at = rng.index(copy.len());
        let mask = u8::try_from(rng.between(1, 255)).unwrap_or(1);
        let said = flipped(&mut copy, at, mask, &trust)?;
        // One example of each kind of part; what stands in brackets says which one.
        let kind = said.split('(').next().unwrap_or_default().to_owned();
        if shown.len() < SHOWN && shown.insert(kind) {
            scene.note(format!("byte {at} changed: {said}"));
        }
    }
    ensure!(copy == bytes, "the flips were not undone");
    Ok(format!(
        "{location} of the CT: {} bytes, {}, {passed} checks; {FLIPS} bytes changed one at a time, {FLIPS} found",
        bytes.len(),
        report.outcome.words()
    ))
}

/// What the verifier says about the bundle with one byte changed; the byte is put back.
fn flipped(copy: &mut [u8], at: usize, mask: u8, trust: &TrustPolicy) -> anyhow::Result<String> {
    let flip = |copy: &mut [u8]| {
        if let Some(byte) = copy.get_mut(at) {
            *byte ^= mask;
        }
    };
    flip(copy);
    let report = verify(copy, trust);
    flip(copy);
    ensure!(
        report.outcome == Outcome::Contradicted,
        "byte {at} changed, and the bundle is still {}",
        report.outcome.words()
    );
    report.flaw.with_context(|| format!("byte {at} changed, and the verifier does not say what fails"))
}

/// The auditor asks what would be claimed, signs exactly that, and gets the file.
async fn bundle(story: &Story, location: &str) -> anyhow::Result<Vec<u8>> {
    let (desk, auditor) = (&story.house.desk, &story.people.auditor);
    let ask = EvidenceRequest::Reading { location: location.to_owned() };
    let claim: EvidenceClaim =
        desk.signed(auditor, Method::POST, "/v1/evidence/claim", Some(&ask)).await.context("the claim")?;
    let action = Action::ExportEvidence { device: claim.device, claim_sha256: claim.claim_sha256 };
    let statement = desk.sign(auditor, action, "quality review")?;
    let export = EvidenceExport { claim: claim.claim, statement };
    let file: EvidenceFile = desk
        .signed(auditor, Method::POST, "/v1/evidence/bundle", Some(&export))
        .await
        .context("the bundle")?;
    Ok(file.bundle.0)
}
