//! What a maker revoked: its hardware cannot enroll, and devices that use it are cut off.

use std::sync::Arc;

use lanyard_agent::AgentError;
use lanyard_agent::protocol::Protocol;
use lanyard_agent::tpm::RootOfTrust;
use lanyard_agent::tpm::soft::{MakerCa, SoftTpm};
use lanyard_api::client::CallError;
use lanyard_api::makers::EndorsementLine;
use lanyard_api::operator::{EventLine, Recorded};
use lanyard_api::problem::Problem;
use lanyard_control::journal::{Entry, Journal};
use lanyard_domain::event::Event;
use lanyard_domain::id::DeviceId;
use lanyard_domain::record::DeviceRecord;
use lanyard_domain::statement::Action;
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::tier::Tier;
use lanyard_pki::certificate::Certificate;

use crate::hospital::{Firmware, Hospital, record};
use crate::protocols;

const KEY_COMPROMISE: u8 = 1;
const HOLD: u8 = 6;

struct Ward {
    _dir: tempfile::TempDir,
    hospital: Hospital,
    maker: MakerCa,
    firmware: Firmware,
}

async fn ward() -> Ward {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let maker = MakerCa::new("Acme Silicon", hospital.clock.now().plus_seconds(-30 * 86_400)).unwrap();
    hospital.accept_maker(&maker).await;
    let firmware = Firmware::new("2.1", 2);
    hospital.release(&firmware).await;
    Ward { _dir: dir, hospital, maker, firmware }
}

fn authority(maker: &MakerCa) -> Digest {
    Digest(Certificate::parse(maker.root_der()).unwrap().thumbprint())
}

/// The octets of a certificate's serial number.
fn serial_of(der: &[u8]) -> Vec<u8> {
    Certificate::parse(der).unwrap().serial().der_content()
}

async fn take(
    hospital: &Hospital,
    maker: &MakerCa,
    number: u32,
    (from, until): (i64, i64),
    revoked: &[(Vec<u8>, u8)],
) -> Result<Recorded, Problem> {
    let now = hospital.clock.now();
    let times = (now.plus_seconds(from), now.plus_seconds(until));
    let list = Blob(maker.revocation_list(number, times, revoked).unwrap());
    let action = Action::TakeMakerList { authority_sha256: authority(maker), issuers: vec![], list };
    hospital.decide(&hospital.security, action).await
}

impl Ward {
    async fn pump(&self, serial: &str, tier: Tier) -> (DeviceId, Arc<SoftTpm>) {
        let device = self.hospital.register(DeviceRecord { tier, ..record(serial) }).await.unwrap();
        self.hospital.approve(device).await;
        let tpm = Arc::new(SoftTpm::in_memory(&self.maker, "Chip 2", serial).unwrap());
        self.firmware.boot(&tpm);
        (device, tpm)
    }

    async fn enroll(&self, serial: &str, tpm: &Arc<SoftTpm>) -> Result<(), String> {
        match self.hospital.agent(serial, tpm, &self.firmware).enroll().await {
            Ok(_) => Ok(()),
            Err(AgentError::Call(CallError::Refused(problem))) => Err(problem.code().to_owned()),
            Err(other) => panic!("{other}"),
        }
    }

    async fn take(
        &self,
        number: u32,
        times: (i64, i64),
        revoked: &[(Vec<u8>, u8)],
    ) -> Result<Recorded, Problem> {
        take(&self.hospital, &self.maker, number, times, revoked).await
    }
}

async fn events(hospital: &Hospital, device: DeviceId) -> Vec<serde_json::Value> {
    let path = format!("/v1/devices/{device}/events?limit=1000");
    let lines: Vec<EventLine> = hospital.look(&hospital.security, &path).await.unwrap();
    lines.into_iter().map(|line| serde_json::to_value(line.event).unwrap()).collect()
}

fn alarms(events: &[serde_json::Value]) -> Vec<&str> {
    events.iter().filter(|e| e["event"] == "alarm_raised").map(|e| e["code"].as_str().unwrap()).collect()
}

fn ek(tpm: &SoftTpm) -> Vec<u8> {
    serial_of(&tpm.ek_certificate_chain().unwrap()[0])
}

// R34, R35, R49, I6
#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_maker_revokes_it_is_cut_off_and_stays_out_until_the_maker_takes_it_back() {
    let ward = ward().await;
    let hospital = &ward.hospital;
    let ((device, tpm), (other, other_tpm)) =
        (ward.pump("P-1", Tier::Critical).await, ward.pump("P-2", Tier::Critical).await);
    let week = (-60, 7 * 86_400);
    let taken = ward.take(1, week, &[(vec![0x55], KEY_COMPROMISE)]).await.unwrap();
    assert!(taken.outcome.contains("1 revoked certificates, 1 new"), "{}", taken.outcome);
    ward.enroll("P-1", &tpm).await.unwrap();
    ward.enroll("P-2", &other_tpm).await.unwrap();
    assert_eq!(hospital.device(device).await.verdict.to_string(), "trusted");
    let shown = events(hospital, device).await;
    let shown = shown.iter().find(|e| e["event"] == "maker_certificates_shown").unwrap();
    assert_eq!(shown["lists"].as_array().unwrap().len(), 1, "{shown}");

    let taken = ward.take(2, (-30, 7 * 86_400), &[(ek(&tpm), KEY_COMPROMISE)]).await.unwrap();
    assert!(taken.outcome.contains("1 new and 1 no longer listed; 1 enrolled devices"), "{}", taken.outcome);
    let detail = hospital.device(device).await;
    assert_eq!((detail.verdict.to_string().as_str(), detail.stage.as_str()), ("untrusted", "quarantined"));
    assert!(detail.certificates.is_empty());
    assert!(detail.reasons.iter().any(|r| r.code == "maker_revoked"), "{:?}", detail.reasons);
    assert_eq!(alarms(&events(hospital, device).await), ["maker_revoked"]);
    assert_eq!(hospital.device(other).await.verdict.to_string(), "trusted", "another chip of the same maker");

    assert!(hospital.agent("P-1", &tpm, &ward.firmware).renew().await.is_err());
    assert_eq!(ward.enroll("P-1", &tpm).await.unwrap_err(), "maker_revoked");
    let release = Action::ReleaseDevice { device };
    assert_eq!(
        hospital.decide(&hospital.security, release.clone()).await.unwrap_err().code(),
        "maker_revoked"
    );
    assert_eq!(ward.take(2, (-20, 86_400), &[]).await.unwrap_err().code(), "list_older");
    assert_eq!(ward.take(1, (-10, 86_400), &[]).await.unwrap_err().code(), "list_older");

    let lines: Vec<EndorsementLine> = hospital.look(&hospital.security, "/v1/endorsements").await.unwrap();
    let list = &lines[0].lists[0];
    assert_eq!((list.number.as_deref(), list.entries, list.named, list.open), (Some("0x02"), 1, 1, 0));
    assert_eq!(list.standing, "current");

    ward.take(3, (-5, 7 * 86_400), &[]).await.unwrap();
    assert_eq!(ward.enroll("P-1", &tpm).await.unwrap_err(), "revoked", "a person decides");
    hospital.decide(&hospital.security, release).await.unwrap();
    ward.enroll("P-1", &tpm).await.unwrap();
    assert_eq!(hospital.device(device).await.verdict.to_string(), "trusted");
    ward.hospital.running.shutdown().await;
}

// R35, R66: who may harm at once may not be guessed about.
#[tokio::test(flavor = "multi_thread")]
async fn an_outdated_list_keeps_high_tiers_out_and_lets_low_ones_in_with_an_alarm() {
    let ward = ward().await;
    let ((high, high_tpm), (low, low_tpm)) =
        (ward.pump("P-1", Tier::High).await, ward.pump("P-2", Tier::Low).await);
    let taken = ward.take(1, (-8 * 86_400, -86_400), &[]).await.unwrap();
    assert!(taken.outcome.contains("out of date"), "{}", taken.outcome);
    assert_eq!(ward.enroll("P-1", &high_tpm).await.unwrap_err(), "maker_list_stale");
    ward.enroll("P-2", &low_tpm).await.unwrap();
    for device in [high, low] {
        let events = events(&ward.hospital, device).await;
        assert!(alarms(&events).contains(&"maker_list_stale"), "{events:?}");
    }
    ward.take(2, (-60, 86_400), &[]).await.unwrap();
    ward.enroll("P-1", &high_tpm).await.unwrap();
    ward.hospital.running.shutdown().await;
}

// R49, I12
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_anybody_else_or_from_tomorrow_is_not_taken() {
    let ward = ward().await;
    let hospital = &ward.hospital;
    let stranger = MakerCa::new("Acme Silicon", hospital.clock.now()).unwrap();
    let now = hospital.clock.now();
    let list = Blob(stranger.revocation_list(1, (now, now.plus_seconds(60)), &[]).unwrap());
    let action =
        |list| Action::TakeMakerList { authority_sha256: authority(&ward.maker), issuers: vec![], list };
    let problem = hospital.decide(&hospital.security, action(list)).await.unwrap_err();
    assert_eq!(problem.code(), "malformed");
    assert!(problem.detail.contains("list is not by `CN=Acme Silicon`"), "{}", problem.detail);
    let problem = take(hospital, &stranger, 1, (0, 60), &[]).await.unwrap_err();
    assert_eq!(problem.code(), "not_found");
    let problem = ward.take(1, (3_600, 7_200), &[]).await.unwrap_err();
    assert!(problem.detail.contains("still to come"), "{}", problem.detail);
    let status = Blob(br#"{"entries":{"9":{"status":"REVOKED"}}}"#.to_vec());
    let refused = hospital.decide(&hospital.security, action(status)).await.unwrap_err();
    assert_eq!(refused.code(), "wrong_use");
    let garbage = hospital.decide(&hospital.security, action(Blob(vec![0x30, 0]))).await.unwrap_err();
    assert_eq!(garbage.code(), "malformed");
    let by_registrar = Action::TakeMakerList {
        authority_sha256: authority(&ward.maker),
        issuers: vec![],
        list: Blob(ward.maker.revocation_list(1, (now, now.plus_seconds(60)), &[]).unwrap()),
    };
    let refused = hospital.decide(&hospital.registrar, by_registrar).await.unwrap_err();
    assert_eq!(refused.code(), "role_missing");
    ward.hospital.running.shutdown().await;
}

// R49, I3: the server stopped between the list and what follows from it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_list_says_is_drawn_even_when_the_call_that_took_it_was_cut_short() {
    let ward = ward().await;
    let hospital = &ward.hospital;
    let (device, tpm) = ward.pump("P-1", Tier::Standard).await;
    ward.enroll("P-1", &tpm).await.unwrap();
    let now = hospital.clock.now();
    let list = ward.maker.revocation_list(1, (now, now.plus_seconds(86_400)), &[(ek(&tpm), HOLD)]).unwrap();
    let authority_sha256 = authority(&ward.maker);
    let action = Action::TakeMakerList { authority_sha256, issuers: vec![], list: Blob(list.clone()) };
    let statement = hospital.statement(&hospital.security, action);
    let statement = lanyard_api::signing::sign_statement(&statement, &hospital.security.key).unwrap();
    let control = &hospital.running.state.control;
    let event = Event::MakerListTaken {
        authority_sha256,
        issuers: vec![],
        list_sha256: lanyard_control::digest::sha256(&list),
        number: Some("0x01".to_owned()),
        this_update: now,
        next_update: Some(now.plus_seconds(86_400)),
        statement,
    };
    let entry = Entry::system(&control.world(), hospital.security.id, vec![event]);
    control.journal.append(vec![entry], now).await.unwrap();
    crate::restart::until(async || hospital.device(device).await.stage == "quarantined").await;
    // It is held, not ended: its certificates stay, and a person may let it go on.
    assert_eq!(hospital.device(device).await.certificates.len(), 1);
    hospital.decide(&hospital.biomed, Action::ReleaseDevice { device }).await.unwrap();
    assert_eq!(hospital.device(device).await.verdict.to_string(), "trusted");
    assert!(control.newly_listed().is_empty(), "drawn once");
    ward.hospital.running.shutdown().await;
}

// R34, R36: the attestation key of a statement by ACME's device-attest-01.
#[tokio::test(flavor = "multi_thread")]
async fn an_attestation_key_that_its_maker_revoked_gets_no_certificate_by_acme() {
    let ward = protocols::ward().await;
    ward.hospital.release(&ward.firmware).await;
    let (good, listed) =
        (ward.admitted("P-1", Protocol::Acme).await, ward.admitted("P-2", Protocol::Acme).await);
    let pem = std::fs::read(ward.hospital.devices.path().join("P-2.pem")).unwrap();
    let ak = &lanyard_pki::certificate::chain_from_pem(&pem).unwrap()[0];
    let revoked = [(ak.serial().der_content(), KEY_COMPROMISE)];
    take(&ward.hospital, &ward.maker, 1, (-1, 86_400), &revoked).await.unwrap();
    for pump in [&good, &listed] {
        ward.firmware.boot(&pump.tpm);
    }
    protocols::enroll(&ward.agent(&good), &good, Protocol::Acme).await.unwrap();
    let refused = protocols::enroll(&ward.agent(&listed), &listed, Protocol::Acme).await.unwrap_err();
    assert!(refused.to_string().contains("as revoked"), "{refused}");
    let events = ward.events(listed.id).await;
    assert_eq!(alarms(&events), ["maker_revoked"], "{events:?}");
    // And when the one that has enrolled is listed too, it is found by its attestation key.
    let pem = std::fs::read(ward.hospital.devices.path().join("P-1.pem")).unwrap();
    let ak = &lanyard_pki::certificate::chain_from_pem(&pem).unwrap()[0];
    let revoked = [(ak.serial().der_content(), KEY_COMPROMISE)];
    take(&ward.hospital, &ward.maker, 2, (0, 86_400), &revoked).await.unwrap();
    assert_eq!(ward.hospital.device(good.id).await.stage, "quarantined");
    ward.hospital.running.shutdown().await;
}

// R49, I12
#[tokio::test(flavor = "multi_thread")]
async fn the_longest_list_is_taken_and_a_longer_one_is_refused_in_words() {
    let ward = ward().await;
    let serials = |count: u16| -> Vec<(Vec<u8>, u8)> {
        let serial = |n: u16| [&[0x40; 14][..], &n.to_be_bytes()].concat();
        (0..count).map(|n| (serial(n), KEY_COMPROMISE)).collect()
    };
    let refused = ward.take(1, (-60, 86_400), &serials(14_000)).await.unwrap_err();
    assert!(refused.detail.contains("at most 655360 are taken"), "{}", refused.detail);
    let taken = ward.take(1, (-60, 86_400), &serials(13_000)).await.unwrap();
    assert!(taken.outcome.contains("13000 revoked certificates, 13000 new"), "{}", taken.outcome);
    let (_, tpm) = ward.pump("P-1", Tier::Critical).await;
    ward.enroll("P-1", &tpm).await.unwrap();
    let next = [serials(13_000), vec![(ek(&tpm), KEY_COMPROMISE)]].concat();
    let taken = ward.take(2, (-30, 86_400), &next).await.unwrap();
    assert!(taken.outcome.contains("1 new and 0 no longer listed; 1 enrolled devices"), "{}", taken.outcome);
    ward.hospital.running.shutdown().await;
}
