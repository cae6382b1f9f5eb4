//! A renewal by ACME after the certificate has ended. There is no renewal in ACME but a new order, for which the hardware speaks
//! anew; so no tier waits for a person, tier critical must have shown its firmware lately, and who was revoked stays out.

use std::sync::Arc;

use lanyard_agent::Agent;
use lanyard_agent::protocol::Protocol;
use lanyard_agent::tpm::soft::SoftTpm;
use lanyard_domain::event::RevocationReason;
use lanyard_domain::record::DeviceRecord;
use lanyard_domain::statement::Action;
use lanyard_domain::tier::Tier;

use crate::hospital::{client, record, start};
use crate::protocols::{Pump, Ward, enroll, seconds, ward};

async fn enrolled(ward: &Ward, tier: Tier, serial: &str) -> Pump {
    let pump = ward.pump_of(DeviceRecord { tier, ..record(serial) }, Protocol::Acme).await;
    ward.hospital.approve(pump.id).await;
    ward.firmware.boot(&pump.tpm);
    if tier == Tier::Critical {
        // Our own protocol first: without evidence there is none by any other.
        ward.agent(&pump).enroll().await.unwrap();
    }
    enroll(&ward.agent(&pump), &pump, Protocol::Acme).await.unwrap_or_else(|e| panic!("{serial}: {e}"));
    pump
}

async fn asleep(ward: Ward, seconds: i64) -> Ward {
    let Ward { dir, mut hospital, maker, firmware } = ward;
    hospital.running.shutdown().await;
    hospital.clock.advance(seconds);
    hospital.running = start(dir.path(), &hospital.clock).await;
    hospital.client = client(&hospital.running, &hospital.clock);
    Ward { dir, hospital, maker, firmware }
}

fn has_ended(ward: &Ward, agent: &Agent) -> bool {
    agent.identities().current().unwrap().not_after < ward.hospital.clock.now()
}

/// What each certificate rests on: the digest of the statement that came with its order.
async fn statements(ward: &Ward, pump: &Pump) -> Vec<String> {
    let events = ward.events(pump.id).await;
    let intents = events.iter().filter(|e| e["event"] == "issuance_intended" && e["protocol"] == "acme");
    intents.map(|e| e["evidence_sha256"].as_str().unwrap().to_owned()).collect()
}

// R43, R44, R57, R66
#[tokio::test(flavor = "multi_thread")]
async fn after_its_end_a_certificate_by_acme_comes_back_by_a_new_word_of_its_hardware() {
    let ward = ward().await;
    ward.hospital.release(&ward.firmware).await;
    let mut pumps = Vec::new();
    for tier in [Tier::High, Tier::Standard, Tier::Low] {
        pumps.push(enrolled(&ward, tier, &format!("SN-{tier}")).await);
    }
    let critical = enrolled(&ward, Tier::Critical, "SN-critical").await;
    let stolen = enrolled(&ward, Tier::Standard, "SN-stolen").await;
    let copied = enrolled(&ward, Tier::Low, "SN-copied").await;

    let ward = asleep(ward, 3 * 86_400).await;
    for pump in &pumps {
        let agent = ward.agent(pump);
        assert!(has_ended(&ward, &agent));
        agent.renew_by(seconds(60)).await.unwrap_or_else(|e| panic!("{}: {e}", pump.serial));
        assert!(!has_ended(&ward, &agent));
        let [first, second] = statements(&ward, pump).await.try_into().unwrap();
        assert_ne!(first, second, "{}: attested anew", pump.serial);
    }

    // Tier critical: its evidence is days old. Our own protocol shows it anew, then ACME is served too.
    let agent = ward.agent(&critical);
    let refused = agent.renew_by(seconds(60)).await.unwrap_err();
    assert!(refused.is_refusal() && refused.to_string().contains("attest"), "{refused}");
    assert_eq!(statements(&ward, &critical).await.len(), 1);
    agent.enroll().await.unwrap();
    enroll(&agent, &critical, Protocol::Acme).await.unwrap();

    // Revoked while it slept: its hardware does not undo what a person ordered.
    let order = Action::RevokeDevice { device: stolen.id, reason: RevocationReason::Stolen };
    ward.hospital.decide(&ward.hospital.security, order).await.unwrap();
    let refused = ward.agent(&stolen).renew_by(seconds(60)).await.unwrap_err();
    assert!(refused.is_refusal() && refused.to_string().contains("stolen"), "{refused}");

    // Its files on another chip: the maker vouches for that one too, and it is not this device's.
    let chip = Arc::new(SoftTpm::in_memory(&ward.maker, "Chip 2", "elsewhere").unwrap());
    let copy = Pump { id: copied.id, serial: copied.serial.clone(), tpm: chip, secret: None };
    ward.certify(&copy, &ward.maker, &copy.serial);
    std::fs::remove_dir_all(ward.hospital.devices.path().join(&copy.serial)).unwrap();
    let refused = enroll(&ward.agent(&copy), &copy, Protocol::Acme).await.unwrap_err();
    assert!(refused.is_refusal() && refused.to_string().contains("hardware"), "{refused}");

    // The 90 days are about certificates that speak for themselves. Here it is the hardware, however long it slept.
    let ward = asleep(ward, 200 * 86_400).await;
    for pump in &pumps {
        let agent = ward.agent(pump);
        assert!(has_ended(&ward, &agent));
        agent.renew_by(seconds(60)).await.unwrap_or_else(|e| panic!("{}: {e}", pump.serial));
        assert_eq!(statements(&ward, pump).await.len(), 3);
    }
    ward.hospital.running.shutdown().await;
}
