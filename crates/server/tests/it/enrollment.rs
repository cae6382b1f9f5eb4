//! From hardware key to certificate to trust, and every way in which that is refused.

use std::sync::Arc;

use lanyard_agent::AgentError;
use lanyard_agent::tpm::RootOfTrust;
use lanyard_agent::tpm::soft::{MakerCa, SoftTpm};
use lanyard_api::client::CallError;
use lanyard_api::operator::EventLine;
use lanyard_api::problem::Problem;
use lanyard_domain::id::ReleaseId;
use lanyard_domain::statement::Action;
use lanyard_domain::trust::Verdict;

use crate::hospital::{Firmware, Hospital, record};

fn maker(hospital: &Hospital) -> MakerCa {
    MakerCa::new("Acme Silicon", hospital.clock.now()).unwrap()
}

fn tpm(maker: &MakerCa, serial: &str) -> Arc<SoftTpm> {
    Arc::new(SoftTpm::in_memory(maker, "Chip 2", serial).unwrap())
}

fn problem(error: &AgentError) -> &Problem {
    match error {
        AgentError::Call(CallError::Refused(problem)) => problem,
        other => panic!("expected a refusal: {other}"),
    }
}

fn code(error: &AgentError) -> &str {
    problem(error).code()
}

/// A hospital with an accepted maker, an approved release and one admitted pump.
struct Ward {
    _dir: tempfile::TempDir,
    hospital: Hospital,
    maker: MakerCa,
    firmware: Firmware,
}

async fn ward() -> Ward {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let maker = maker(&hospital);
    hospital.accept_maker(&maker).await;
    let firmware = Firmware::new("2.1", 2);
    hospital.release(&firmware).await;
    Ward { _dir: dir, hospital, maker, firmware }
}

// R42, R49: a restart would leave a revoked certificate out of the lists, were its payload gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_cannot_be_erased_before_its_end() {
    let Ward { hospital, maker, firmware, _dir } = ward().await;
    let device = hospital.admitted("P-1").await;
    let tpm = tpm(&maker, "P-1");
    firmware.boot(&tpm);
    hospital.agent("P-1", &tpm, &firmware).enroll().await.unwrap();
    hospital.decide(&hospital.biomed, Action::RetireDevice { device }).await.unwrap();
    crate::restart::until(async || hospital.device(device).await.stage == "retired").await;
    let events: Vec<EventLine> =
        hospital.look(&hospital.security, &format!("/v1/devices/{device}/events")).await.unwrap();
    let is_issued = |e: &&EventLine| e.event.as_ref().unwrap()["event"] == "certificate_issued";
    let pos = events.iter().find(is_issued).unwrap().pos;
    let erase = |pos| Action::ErasePayload { pos, legal_basis: "GDPR Art. 17".into() };
    assert_eq!(hospital.decide(&hospital.admin, erase(pos)).await.unwrap_err().code(), "payload_in_use");
    // What nobody asks about any more may go.
    let registered = events[0].pos;
    hospital.decide(&hospital.admin, erase(registered)).await.unwrap();
    hospital.running.shutdown().await;
}

// R34, R36, R37, R42, R58, I1, I3
#[tokio::test(flavor = "multi_thread")]
async fn a_device_earns_its_identity_and_is_trusted() {
    let Ward { hospital, maker, firmware, _dir } = ward().await;
    let device = hospital.admitted("P-1").await;
    let tpm = tpm(&maker, "P-1");
    firmware.boot(&tpm);
    let agent = hospital.agent("P-1", &tpm, &firmware);
    let issued = agent.enroll().await.unwrap();
    assert_eq!((issued.device, issued.standing.verdict), (device, Verdict::Trusted));
    assert_eq!(issued.standing.stage, "in-service");

    let standing = agent.attest().await.unwrap();
    assert_eq!(standing.verdict, Verdict::Trusted, "{standing:?}");
    agent.renew().await.unwrap();
    let token = agent.token(None).await.unwrap();
    assert_eq!((token.expires_in, token.scope.as_str()), (300, "system/Observation.c"));

    let events: Vec<EventLine> =
        hospital.look(&hospital.security, &format!("/v1/devices/{device}/events")).await.unwrap();
    let kinds: Vec<String> =
        events.iter().map(|e| e.event.as_ref().unwrap()["event"].as_str().unwrap().to_owned()).collect();
    let intended = kinds.iter().position(|k| k == "issuance_intended").unwrap();
    let issued = kinds.iter().position(|k| k == "certificate_issued").unwrap();
    assert!(intended < issued, "{kinds:?}");
    assert_eq!(hospital.device(device).await.certificates.len(), 2, "the old certificate stays valid");
    hospital.running.shutdown().await;
}

// R7, R31, R35, I1
#[tokio::test(flavor = "multi_thread")]
async fn unregistered_unapproved_and_unendorsed_devices_are_refused_with_their_reason() {
    let Ward { hospital, maker, firmware, _dir } = ward().await;
    let chip = tpm(&maker, "P-1");
    firmware.boot(&chip);
    let agent = hospital.agent("P-1", &chip, &firmware);
    assert_eq!(code(&agent.enroll().await.unwrap_err()), "not_registered");
    let device = hospital.register(record("P-1")).await.unwrap();
    assert_eq!(code(&agent.enroll().await.unwrap_err()), "not_approved");
    hospital.approve(device).await;

    let stranger = MakerCa::new("Somebody", hospital.clock.now()).unwrap();
    let foreign = tpm(&stranger, "P-1");
    firmware.boot(&foreign);
    let refused = hospital.agent("P-1", &foreign, &firmware).enroll().await.unwrap_err();
    assert_eq!(code(&refused), "not_endorsed");
    agent.enroll().await.unwrap();
    hospital.running.shutdown().await;
}

// R24, R38, I2
#[tokio::test(flavor = "multi_thread")]
async fn one_hardware_key_is_one_record() {
    let Ward { hospital, maker, firmware, _dir } = ward().await;
    let first = hospital.admitted("P-1").await;
    hospital.admitted("P-2").await;
    let chip = tpm(&maker, "P-1");
    firmware.boot(&chip);
    hospital.agent("P-1", &chip, &firmware).enroll().await.unwrap();
    // The same chip under another label.
    let refused = hospital.agent("P-2", &chip, &firmware).enroll().await.unwrap_err();
    assert_eq!(code(&refused), "hardware_key_reused");
    // Another chip under the same label.
    let other = tpm(&maker, "P-1b");
    firmware.boot(&other);
    std::fs::remove_dir_all(hospital.devices.path().join("P-1")).unwrap();
    let refused = hospital.agent("P-1", &other, &firmware).enroll().await.unwrap_err();
    assert_eq!(code(&refused), "other_hardware");
    let alarms = async |device| {
        let events: Vec<EventLine> =
            hospital.look(&hospital.security, &format!("/v1/devices/{device}/events")).await.unwrap();
        let alarms = events.iter().filter(|e| e.event.as_ref().unwrap()["event"] == "alarm_raised");
        alarms.map(|e| e.event.as_ref().unwrap()["code"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(alarms(first).await, ["hardware_key_reused", "clone_suspected"]);
    // Again and again: refused each time, written down five times a minute.
    for _ in 0..7 {
        let refused = hospital.agent("P-2", &chip, &firmware).enroll().await.unwrap_err();
        assert_eq!(code(&refused), "hardware_key_reused");
    }
    let count = alarms(first).await.iter().filter(|a| *a == "hardware_key_reused").count();
    assert_eq!(count, 5);
    // The clone raised an alarm on the owner's chain.
    let events: Vec<EventLine> =
        hospital.look(&hospital.security, &format!("/v1/devices/{first}/events")).await.unwrap();
    assert!(events.iter().any(|e| e.event.as_ref().unwrap()["event"] == "alarm_raised"));
    hospital.running.shutdown().await;
}

// R61, R65, I5
#[tokio::test(flavor = "multi_thread")]
async fn tampered_firmware_cuts_the_device_off_until_it_is_restored_and_released() {
    let Ward { hospital, maker, firmware, _dir } = ward().await;
    let device = hospital.admitted("P-1").await;
    let chip = tpm(&maker, "P-1");
    firmware.boot(&chip);
    let agent = hospital.agent("P-1", &chip, &firmware);
    agent.enroll().await.unwrap();

    // Something extended a PCR and left no trace in the log: the chip's own word is enough.
    chip.pcr_extend(9, &[0x66; 32]).unwrap();
    let standing = agent.attest().await.unwrap();
    assert_eq!((standing.verdict, standing.stage.as_str()), (Verdict::Untrusted, "quarantined"));
    assert!(standing.reasons.iter().any(|r| r.code == "event_log_mismatch"), "{standing:?}");
    assert!(agent.token(None).await.is_err(), "no token after distrust");
    let tampered = Firmware::new("2.1-patched", 2);
    tampered.boot(&chip);
    let bad = hospital.agent("P-1", &chip, &tampered);
    let standing = bad.attest().await.unwrap();
    assert_eq!((standing.verdict, standing.stage.as_str()), (Verdict::Untrusted, "quarantined"));
    assert!(!standing.reasons.is_empty() && !standing.restore.is_empty());
    assert!(bad.token(None).await.is_err(), "no token after distrust");

    firmware.boot(&chip);
    let good = hospital.agent("P-1", &chip, &firmware);
    assert_eq!(
        good.attest().await.unwrap().verdict,
        Verdict::Untrusted,
        "good evidence alone does not release"
    );
    hospital.decide(&hospital.security, Action::ReleaseDevice { device }).await.unwrap();
    assert_eq!(good.attest().await.unwrap().verdict, Verdict::Trusted);
    good.token(None).await.unwrap();
    hospital.running.shutdown().await;
}

// R61, R63
#[tokio::test(flavor = "multi_thread")]
async fn a_downgraded_release_is_refused_by_name() {
    let Ward { hospital, maker, firmware, _dir } = ward().await;
    let old = Firmware::new("1.0", 1);
    hospital.release(&old).await;
    hospital.admitted("P-1").await;
    let chip = tpm(&maker, "P-1");
    old.boot(&chip);
    let refused = hospital.agent("P-1", &chip, &old).enroll().await.unwrap_err();
    let problem = problem(&refused);
    assert!(problem.reasons.iter().any(|r| r.code == "firmware_downgraded"), "{problem:?}");
    drop(firmware);
    hospital.running.shutdown().await;
}

// R64
#[tokio::test(flavor = "multi_thread")]
async fn withdrawing_a_release_ends_the_trust_of_its_devices_at_once() {
    let Ward { hospital, maker, firmware, _dir } = ward().await;
    let device = hospital.admitted("P-1").await;
    let chip = tpm(&maker, "P-1");
    firmware.boot(&chip);
    hospital.agent("P-1", &chip, &firmware).enroll().await.unwrap();
    let detail = hospital.device(device).await;
    assert_eq!(detail.verdict, Verdict::Trusted);
    let release: ReleaseId = detail.firmware.unwrap().release;
    let gateway = lanyard_domain::id::GatewayId::from_random([9; 16]);
    let (_, mut items) = hospital.running.state.feeds.open(gateway, "north");
    let withdrawn = hospital.decide(&hospital.biomed, Action::WithdrawRelease { release }).await.unwrap().pos;
    assert_eq!(hospital.device(device).await.verdict, Verdict::Untrusted);
    // I6: gateways hear of it with the withdrawal itself, not when each device's chain has been written.
    let told = loop {
        match &*items.recv().await.unwrap() {
            lanyard_api::gateway::FeedItem::Changed { pos, view } => break (*pos, view.device, view.verdict),
            _ => continue,
        }
    };
    assert_eq!(told, (withdrawn, device, Verdict::Untrusted));
    hospital.running.shutdown().await;
}

// R60, I5
#[tokio::test(flavor = "multi_thread")]
async fn silence_is_stale_then_untrusted_and_heals_by_itself() {
    let Ward { hospital, maker, firmware, _dir } = ward().await;
    let device = hospital.admitted("P-1").await;
    let chip = tpm(&maker, "P-1");
    firmware.boot(&chip);
    let agent = hospital.agent("P-1", &chip, &firmware);
    agent.enroll().await.unwrap();
    hospital.clock.advance(301);
    let detail = hospital.device(device).await;
    assert_eq!(detail.verdict, Verdict::Degraded);
    assert_eq!(detail.reasons[0].code, "evidence_stale");
    hospital.clock.advance(3_600);
    assert_eq!(hospital.device(device).await.verdict, Verdict::Untrusted);
    // The log was idle for an hour: the next seal publishes a checkpoint that is recent again.
    crate::restart::until(async || agent.attest().await.is_ok_and(|s| s.verdict == Verdict::Trusted)).await;
    hospital.running.shutdown().await;
}

// I12
#[tokio::test(flavor = "multi_thread")]
async fn a_device_in_a_loop_cannot_fill_the_log() {
    let Ward { hospital, maker, firmware, _dir } = ward().await;
    let device = hospital.admitted("P-1").await;
    let chip = tpm(&maker, "P-1");
    firmware.boot(&chip);
    let agent = hospital.agent("P-1", &chip, &firmware);
    agent.enroll().await.unwrap();
    let mut taken = 0;
    let refused = loop {
        match agent.attest().await {
            Ok(_) => taken += 1,
            Err(refused) => break refused,
        }
        assert!(taken <= 120, "nothing bounds it");
    };
    assert_eq!((code(&refused), problem(&refused).status), ("too_often", 429));
    assert_eq!(hospital.device(device).await.verdict, Verdict::Trusted, "what it proved still counts");
    hospital.running.shutdown().await;
}
