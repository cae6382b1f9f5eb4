//! A device's life as events, from registration to service, without the hours that it takes.
//!
//! The payloads have the sizes of real ones where they stay in memory; statements are not signed, no rule is asked.

use lanyard_domain::event::{Appraisal, BootState, Event};
use lanyard_domain::id::{DeviceId, IssuanceId, OperatorId, ReleaseId};
use lanyard_domain::operator::Role;
use lanyard_domain::record::DeviceRecord;
use lanyard_domain::statement::SignedStatement;
use lanyard_domain::text::{Blob, Digest, FieldError};
use lanyard_domain::tier::Tier;
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::Verdict;

/// When all of it happened.
pub const NOW: Timestamp = Timestamp::from_seconds(1_795_305_600);
/// Length of a TPMT_PUBLIC with a P-256 key.
const AK_PUBLIC: usize = 90;
/// Length of a device certificate.
const CERTIFICATE: usize = 620;

/// The `number`th device.
pub fn device(number: u32) -> DeviceId {
    DeviceId::from_random(bytes16(1, number))
}

/// Who does everything in these lives.
pub fn actor() -> OperatorId {
    OperatorId::from_random(bytes16(2, 0))
}

/// Registered, approved, bound to its keys.
pub fn admitted(number: u32) -> Result<Vec<Event>, FieldError> {
    let statement = SignedStatement { text: "{}".to_owned(), signature: Blob(vec![0; 64]) };
    let approved = |role| Event::DeviceApproved { role, statement: statement.clone() };
    Ok(vec![
        Event::DeviceRegistered { record: record(number)?, statement: statement.clone() },
        approved(Role::Security),
        approved(Role::Biomedical),
        Event::IdentityBound {
            ek_sha256: digest(3, number),
            ek_certificate_sha256: digest(4, number),
            endorsement_sha256: digest(5, 0),
            ak_public: Blob(vec![7; AK_PUBLIC]),
            ak_name_sha256: digest(6, number),
            grade: None,
        },
    ])
}

/// All that a device that came into service has in its chain, and a second attestation.
pub fn in_service(number: u32) -> Result<Vec<Event>, FieldError> {
    let issuance = IssuanceId::from_random(bytes16(7, number));
    let serial = format!("{number:032x}");
    let mut events = admitted(number)?;
    events.extend([
        appraised(number, 1, "enroll"),
        Event::IssuanceIntended {
            issuance,
            protocol: "enroll".to_owned(),
            profile: "device-ldevid".to_owned(),
            serial: serial.clone(),
            spki_sha256: digest(8, number),
            tbs_sha256: digest(9, number),
            evidence_sha256: digest(10, number),
        },
        Event::CertificateIssued {
            issuance,
            serial,
            certificate: Blob(vec![1; CERTIFICATE]),
            certificate_sha256: digest(11, number),
            spki_sha256: digest(8, number),
            not_before: NOW,
            not_after: NOW.plus_seconds(86_400),
        },
        appraised(number, 2, "attest"),
        Event::DeviceValidated {},
        Event::DeviceInService {},
        appraised(number, 3, "attest"),
    ]);
    Ok(events)
}

fn appraised(number: u32, round: u8, purpose: &str) -> Event {
    Event::EvidenceAppraised {
        appraisal: Appraisal::Affirming,
        evidence_sha256: digest(20 + round, number),
        purpose: purpose.to_owned(),
        nonce: digest(30 + round, number),
        channel: digest(40 + round, number),
        checkpoint_size: u64::from(number),
        checkpoint_root: digest(50, 0),
        boot: BootState { reset_count: 1, restart_count: 0, clock: u64::from(round), safe: true },
        firmware: Some(ReleaseId::from_random(bytes16(60, 0))),
        model: None,
        findings: Vec::new(),
        verdict: Verdict::Trusted,
        reasons: Vec::new(),
        fresh_until: NOW.plus_seconds(900),
        untrusted_after: NOW.plus_seconds(10_800),
    }
}

fn record(number: u32) -> Result<DeviceRecord, FieldError> {
    Ok(DeviceRecord {
        vendor: "Meridian Infusion".to_owned(),
        model: "Infusor 4".to_owned(),
        serial: format!("IP-{number:07}"),
        site: "north-campus".to_owned(),
        owner: "biomed-pumps@hospital.example".to_owned(),
        department: "Intensive care".to_owned(),
        purpose: "Continuous intravenous infusion".to_owned(),
        class: "infusion-pump".to_owned(),
        tier: Tier::Critical,
        ai: false,
        scopes: vec!["system/Observation.c".parse()?],
        ae_title: None,
        zone: "infusion".to_owned(),
        ek_sha256: Some(digest(3, number)),
    })
}

fn digest(kind: u8, number: u32) -> Digest {
    let mut bytes = [kind; 32];
    fill(&mut bytes, number);
    Digest(bytes)
}

fn bytes16(kind: u8, number: u32) -> [u8; 16] {
    let mut bytes = [kind; 16];
    fill(&mut bytes, number);
    bytes
}

fn fill(bytes: &mut [u8], number: u32) {
    for (to, from) in bytes.iter_mut().zip(number.to_be_bytes()) {
        *to = from;
    }
}

#[cfg(test)]
mod tests {
    use lanyard_control::world::World;

    use super::*;
    use crate::memory::fold;

    #[test]
    fn lives_lead_into_service() {
        let mut world = World::default();
        for number in 0..3 {
            fold(&mut world, device(number), in_service(number).unwrap());
        }
        assert_eq!(world.devices.len(), 3);
        for device in world.devices.values() {
            assert_eq!(device.stage.name(), "in-service");
            assert_eq!((device.certificates.len(), device.pending.len()), (1, 0));
            device.record.check().unwrap();
        }
    }
}
