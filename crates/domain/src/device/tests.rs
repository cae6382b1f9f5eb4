//! Random lives of a device against the invariants, and each rule that says no.

mod credentials;

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::event::{AlarmCode, Probe, RevocationReason};
use crate::id::{IssuanceId, SecretId};
use crate::maker::{MakerCertificate, MakerFinding, MakerReason};
use crate::operator::Operator;
use crate::record::DeviceRecord;
use crate::release::{ReferencePcr, Release, ReleaseContent, ReleaseRecord, ReleaseState};
use crate::statement::SignedStatement;
use crate::text::Blob;
use crate::tier::Tier;
use crate::trust::{Strength, evaluate};

const START: i64 = 1_795_305_600;

fn record() -> DeviceRecord {
    DeviceRecord {
        vendor: "Acme".into(),
        model: "Pump X".into(),
        serial: "P-1".into(),
        site: "north".into(),
        owner: "biomed-team".into(),
        department: "ICU".into(),
        purpose: "infusion".into(),
        class: "infusion-pump".into(),
        tier: Tier::Critical,
        ai: false,
        scopes: vec!["system/Observation.c".parse().unwrap()],
        ae_title: None,
        zone: "icu-pumps".into(),
        ek_sha256: None,
    }
}

fn operator(n: u8, roles: &[Role]) -> Operator {
    Operator {
        id: OperatorId::from_bytes([n; 16]),
        name: format!("operator {n}"),
        roles: roles.to_vec(),
        public_key: Digest([n; 32]),
        active: true,
    }
}

fn signed() -> SignedStatement {
    SignedStatement { text: "{}".into(), signature: Blob(vec![0; 64]) }
}

fn release_id() -> ReleaseId {
    ReleaseId::from_bytes([9; 16])
}

fn releases(state: ReleaseState) -> HashMap<ReleaseId, Release> {
    let release = Release {
        id: release_id(),
        record: ReleaseRecord {
            vendor: "Acme".into(),
            model: "Pump X".into(),
            version: "1.0".into(),
            security_version: 1,
            minimum_security_version: 1,
            not_after: None,
            content: ReleaseContent::Firmware {
                pcrs: vec![ReferencePcr { pcr: 0, value: Digest([1; 32]) }],
                events: vec![],
            },
        },
        state,
        proposer: OperatorId::from_bytes([1; 16]),
        seq: 2,
    };
    HashMap::from([(release_id(), release)])
}

fn facts(n: u64, appraisal: Appraisal) -> AppraisalFacts {
    AppraisalFacts {
        appraisal,
        evidence_sha256: Digest([n as u8; 32]),
        purpose: "attest",
        nonce: Digest([n as u8; 32]),
        channel: Digest([2; 32]),
        checkpoint_size: n,
        checkpoint_root: Digest([3; 32]),
        boot: BootState { reset_count: 1, restart_count: 0, clock: n, safe: true },
        firmware: (appraisal != Appraisal::Contraindicated).then(release_id),
        model: None,
        findings: match appraisal {
            Appraisal::Contraindicated => {
                vec![Reason::new("firmware_unapproved", "It runs unapproved firmware.")]
            }
            _ => vec![],
        },
    }
}

fn bind(key: u8) -> Command<'static> {
    Command::BindIdentity {
        ek_sha256: Digest([key; 32]),
        ek_certificate_sha256: Digest([1; 32]),
        endorsement_sha256: Digest([2; 32]),
        ak_public: vec![key],
        ak_name_sha256: Digest([key; 32]),
        grade: None,
    }
}

fn intend(n: u8) -> Command<'static> {
    Command::IntendIssuance {
        basis: Basis::Evidence,
        issuance: IssuanceId::from_bytes([n; 16]),
        protocol: "enroll".into(),
        profile: "device".into(),
        serial: format!("{n:02x}"),
        spki_sha256: Digest([n; 32]),
        tbs_sha256: Digest([n; 32]),
        evidence_sha256: Digest([n; 32]),
    }
}

fn certify(n: u8, at: Timestamp) -> Command<'static> {
    Command::RecordCertificate {
        issuance: IssuanceId::from_bytes([n; 16]),
        serial: format!("{n:02x}"),
        certificate: vec![n],
        certificate_sha256: Digest([n; 32]),
        spki_sha256: Digest([n; 32]),
        not_before: at.plus_seconds(-300),
        not_after: at.plus_seconds(86_100),
    }
}

/// A device and the log position and clock that its next event gets.
struct Life {
    device: Device,
    log: Vec<Event>,
    now: Timestamp,
    releases: HashMap<ReleaseId, Release>,
}

impl Life {
    fn registered() -> Self {
        let by = operator(1, &[Role::Registrar]);
        let first = Device::register(record(), &by, signed()).unwrap().events.remove(0);
        let now = Timestamp::from_seconds(START);
        let device =
            Device::begin(DeviceId::from_bytes([7; 16]), &first, by.id, Recorded { pos: 0, time: now })
                .unwrap();
        Self { device, log: vec![first], now, releases: releases(ReleaseState::Approved) }
    }

    fn try_as(&mut self, actor: OperatorId, command: Command<'_>) -> Result<(), &'static str> {
        let context = Context { now: self.now, releases: &self.releases };
        let transition = self.device.decide(command, context).map_err(|r| r.code)?;
        for event in transition.events {
            let recorded = Recorded { pos: self.log.len() as u64, time: self.now };
            self.device = self.device.clone().apply(&event, actor, recorded);
            self.log.push(event);
        }
        Ok(())
    }

    fn try_(&mut self, command: Command<'_>) -> Result<(), &'static str> {
        self.try_as(OperatorId::from_bytes([0; 16]), command)
    }

    fn approve(&mut self, n: u8, role: Role) -> Result<(), &'static str> {
        let by = operator(n, &[role]);
        self.try_as(by.id, Command::Approve { by: &by, role, statement: signed() })
    }

    fn in_service() -> Self {
        let mut life = Self::registered();
        life.approve(2, Role::Security).unwrap();
        life.approve(3, Role::Biomedical).unwrap();
        life.try_(bind(1)).unwrap();
        life.try_(Command::RecordAppraisal(facts(1, Appraisal::Affirming))).unwrap();
        life.try_(intend(1)).unwrap();
        let now = life.now;
        life.try_(certify(1, now)).unwrap();
        life
    }

    fn verdict(&self) -> Verdict {
        evaluate(&self.device, &self.releases, self.now).verdict
    }
}

// R32, R33, I1
#[test]
fn approval_takes_two_other_people_in_two_roles() {
    let mut life = Life::registered();
    let both = operator(1, &[Role::Registrar, Role::Security, Role::Biomedical]);
    let by_requester = Command::Approve { by: &both, role: Role::Security, statement: signed() };
    assert_eq!(life.try_as(both.id, by_requester), Err("requester_cannot_approve"));

    life.approve(2, Role::Security).unwrap();
    let same_person = operator(2, &[Role::Security, Role::Biomedical]);
    let again = Command::Approve { by: &same_person, role: Role::Biomedical, statement: signed() };
    assert_eq!(life.try_as(same_person.id, again), Err("one_person_one_role"));
    assert_eq!(life.approve(3, Role::Security), Err("already_approved"));
    assert_eq!(life.approve(3, Role::Auditor), Err("role_cannot_approve"));
    let wrong_role = operator(3, &[Role::Auditor]);
    let without = Command::Approve { by: &wrong_role, role: Role::Biomedical, statement: signed() };
    assert_eq!(life.try_as(wrong_role.id, without), Err("role_missing"));
    assert!(matches!(life.device.stage, Stage::Registered(_)));

    life.approve(3, Role::Biomedical).unwrap();
    assert_eq!(life.device.stage, Stage::Approved);
}

// R31, I1
#[test]
fn an_unapproved_device_gets_no_identity_and_no_certificate() {
    let mut life = Life::registered();
    for command in [bind(1), intend(1), Command::RecordAppraisal(facts(1, Appraisal::Affirming))] {
        assert_eq!(life.try_(command), Err("not_approved"));
    }
    assert_eq!(life.verdict(), Verdict::Untrusted);
}

// R38, R39, I2
#[test]
fn a_record_is_bound_to_one_hardware_key_for_ever() {
    let mut life = Life::in_service();
    assert_eq!(life.try_(bind(2)), Err("other_hardware"));
    assert_eq!(life.try_(bind(1)), Ok(()));
    life.device.record.ek_sha256 = Some(Digest([9; 32]));
    assert_eq!(life.try_(bind(1)), Err("not_the_purchased_hardware"));
}

// R37
#[test]
fn a_device_is_in_service_and_trusted_once_it_has_proven_itself() {
    let life = Life::in_service();
    assert_eq!(life.device.stage, Stage::InService);
    assert_eq!((life.verdict(), life.device.recorded), (Verdict::Trusted, Verdict::Trusted));
    assert_eq!(crate::trust::strength(&life.device, life.now), Strength::Measured);
}

// R61, R65, I5
#[test]
fn contraindicated_evidence_cuts_a_device_off_until_a_person_releases_it() {
    let mut life = Life::in_service();
    life.try_(Command::RecordAppraisal(facts(2, Appraisal::Contraindicated))).unwrap();
    assert!(matches!(life.device.stage, Stage::Quarantined { .. }));
    assert_eq!((life.verdict(), life.device.recorded), (Verdict::Untrusted, Verdict::Untrusted));
    // Good evidence alone does not restore it.
    life.try_(Command::RecordAppraisal(facts(3, Appraisal::Affirming))).unwrap();
    assert_eq!(life.verdict(), Verdict::Untrusted);
    let nobody = operator(4, &[Role::Registrar]);
    assert_eq!(life.try_(Command::Release { by: &nobody, statement: signed() }), Err("role_missing"));
    let person = operator(2, &[Role::Security]);
    life.try_(Command::Release { by: &person, statement: signed() }).unwrap();
    assert_eq!((life.device.stage.clone(), life.verdict()), (Stage::InService, Verdict::Trusted));
}

// R65, I5
#[test]
fn a_release_alone_does_not_restore_a_device_that_still_shows_bad_evidence() {
    let mut life = Life::in_service();
    life.try_(Command::RecordAppraisal(facts(2, Appraisal::Contraindicated))).unwrap();
    let person = operator(2, &[Role::Security]);
    life.try_(Command::Release { by: &person, statement: signed() }).unwrap();
    assert_eq!(life.verdict(), Verdict::Untrusted);
}

// R60, I5
#[test]
fn trust_decays_by_tier_and_heals_with_good_evidence() {
    for tier in Tier::ALL {
        let mut life = Life::in_service();
        life.device.record.tier = tier;
        let rules = tier.rules();
        // The certificate must outlive the grace of the slowest tier for this test's question.
        life.device.certificates[0].not_after = life.now.plus_seconds(rules.grace_seconds * 2);
        let start = life.now;
        life.now = start.plus_seconds(rules.fresh_seconds);
        assert_eq!(life.verdict(), Verdict::Trusted);
        life.now = start.plus_seconds(rules.fresh_seconds + 1);
        assert_eq!(life.verdict(), Verdict::Degraded);
        life.now = start.plus_seconds(rules.grace_seconds + 1);
        assert_eq!(life.verdict(), Verdict::Untrusted);
        life.try_(Command::RecordAppraisal(facts(2, Appraisal::Affirming))).unwrap();
        assert_eq!(life.verdict(), Verdict::Trusted, "{tier:?}");
    }
}

#[test]
fn evidence_that_comes_before_the_last_is_a_replay() {
    let mut life = Life::in_service();
    life.try_(Command::RecordAppraisal(facts(5, Appraisal::Affirming))).unwrap();
    assert_eq!(life.try_(Command::RecordAppraisal(facts(5, Appraisal::Affirming))), Err("evidence_replayed"));
    assert_eq!(life.try_(Command::RecordAppraisal(facts(4, Appraisal::Affirming))), Err("evidence_replayed"));
    // A power cut: the clock starts again, the reset count does not.
    let mut rebooted = facts(6, Appraisal::Affirming);
    rebooted.boot = BootState { reset_count: 2, restart_count: 0, clock: 1, safe: false };
    assert_eq!(life.try_(Command::RecordAppraisal(rebooted)), Ok(()));
}

// R39: TPM2_Clear sets the counters to zero and ends the attestation key; the same chip can enroll again.
#[test]
fn counters_begin_anew_with_a_new_key_on_the_same_hardware_only() {
    let mut life = Life::in_service();
    life.try_(Command::RecordAppraisal(facts(5, Appraisal::Affirming))).unwrap();
    let mut cleared = facts(6, Appraisal::Affirming);
    cleared.boot = BootState { reset_count: 0, restart_count: 0, clock: 3, safe: true };
    let again = |ak: Vec<u8>, life: &Life| {
        let mut command = bind(1);
        if let Command::BindIdentity { ek_sha256, ak_public, .. } = &mut command {
            *ek_sha256 = life.device.identity.as_ref().unwrap().tpm().unwrap().ek_sha256;
            *ak_public = ak;
        }
        command
    };
    let same = life.device.identity.as_ref().unwrap().tpm().unwrap().ak_public.clone();
    life.try_(again(same, &life)).unwrap();
    assert_eq!(life.try_(Command::RecordAppraisal(cleared.clone())), Err("evidence_replayed"));
    life.try_(again(vec![0xaf; 8], &life)).unwrap();
    assert_eq!(life.try_(Command::RecordAppraisal(cleared)), Ok(()));
}

// R64
#[test]
fn a_withdrawn_release_ends_the_trust_of_devices_that_run_it() {
    let mut life = Life::in_service();
    life.releases = releases(ReleaseState::Withdrawn);
    assert_eq!(life.verdict(), Verdict::Untrusted);
    life.try_(Command::Reassess).unwrap();
    assert_eq!(life.device.recorded, Verdict::Untrusted);
}

// R49, R123, R125, R126, I11
#[test]
fn retired_device_cannot_renew() {
    let mut life = Life::in_service();
    let person = operator(3, &[Role::Biomedical]);
    life.try_(intend(2)).unwrap();
    life.try_(Command::Retire { by: &person, statement: signed() }).unwrap();
    assert!(life.device.certificates.is_empty() && life.device.former.len() == 1);
    let now = life.now;
    // Signed between intent and retirement: it must never be seen.
    assert_eq!(life.try_(certify(2, now)), Err("retired"));
    for command in [bind(1), intend(3), Command::RecordAppraisal(facts(9, Appraisal::Affirming))] {
        assert_eq!(life.try_(command), Err("retired"));
    }
    let probe =
        |refused| Probe { point: "token".into(), credential: "01".into(), refused, answer: String::new() };
    life.try_(Command::RecordProbes { probes: vec![] }).unwrap();
    life.try_(Command::RecordProbes { probes: vec![probe(true), probe(false)] }).unwrap();
    assert_eq!(life.device.stage, Stage::Retiring);
    life.try_(Command::RecordProbes { probes: vec![probe(true)] }).unwrap();
    assert_eq!(life.device.stage, Stage::Retired);
    assert_eq!(life.try_(Command::Retire { by: &person, statement: signed() }), Err("wrong_stage"));
}

#[test]
fn a_certificate_without_an_intent_is_refused() {
    let mut life = Life::in_service();
    let now = life.now;
    assert_eq!(life.try_(certify(8, now)), Err("not_intended"));
}

/// One step of a random life.
#[derive(Debug, Clone)]
enum Step {
    Approve(u8, Role),
    Bind(u8),
    Intend(u8),
    Certify(u8),
    Appraise(u64, Appraisal),
    Quarantine(u8),
    Release(u8),
    Retire(u8),
    Probe(bool),
    Wait(i64),
    Alarm,
    Withdraw,
    Secret(u8),
    UseSecret(u8, u8),
    MakerKey(u8),
    IntendOn(u8, Basis),
    Revoke(u8),
    RevokeOne(u8),
    See(u8),
    Supersede,
    LateRenewal(u8),
    Listed(u8, MakerReason),
}

fn step() -> impl Strategy<Value = Step> {
    let role =
        prop_oneof![Just(Role::Security), Just(Role::Biomedical), Just(Role::Admin), Just(Role::Registrar)];
    let appraisal = prop_oneof![4 => Just(Appraisal::Affirming), 1 => Just(Appraisal::Contraindicated), 1 => Just(Appraisal::Warning)];
    let ended = Timestamp::from_seconds(START);
    let basis = prop_oneof![
        Just(Basis::Credential),
        Just(Basis::HardwareKey),
        Just(Basis::EndedCertificate { ended }),
    ];
    prop_oneof![
        6 => (1u8..5, role).prop_map(|(n, r)| Step::Approve(n, r)),
        3 => (1u8..3).prop_map(Step::Bind),
        3 => (1u8..6).prop_map(Step::Intend),
        3 => (1u8..6).prop_map(Step::Certify),
        4 => (1u64..60, appraisal).prop_map(|(n, a)| Step::Appraise(n, a)),
        1 => (1u8..5).prop_map(Step::Quarantine),
        2 => (1u8..5).prop_map(Step::Release),
        1 => (1u8..5).prop_map(Step::Retire),
        1 => any::<bool>().prop_map(Step::Probe),
        2 => (0i64..5_000).prop_map(Step::Wait),
        1 => Just(Step::Alarm),
        1 => Just(Step::Withdraw),
        2 => (1u8..3).prop_map(Step::Secret),
        2 => (1u8..3, 1u8..6).prop_map(|(s, k)| Step::UseSecret(s, k)),
        1 => (1u8..3).prop_map(Step::MakerKey),
        3 => (1u8..6, basis).prop_map(|(n, b)| Step::IntendOn(n, b)),
        1 => (1u8..5).prop_map(Step::Revoke),
        1 => (1u8..6).prop_map(Step::RevokeOne),
        1 => (1u8..6).prop_map(Step::See),
        1 => Just(Step::Supersede),
        1 => (1u8..5).prop_map(Step::LateRenewal),
        1 => (1u8..3, proptest::sample::select(MakerReason::ALL.to_vec())).prop_map(|(n, r)| Step::Listed(n, r)),
    ]
}

/// Operator 1 registers; 2 holds both approving roles, 3 and 4 one each.
fn roles(n: u8) -> Vec<Role> {
    match n {
        1 => vec![Role::Registrar, Role::Security, Role::Biomedical],
        2 => vec![Role::Security, Role::Biomedical],
        3 => vec![Role::Security],
        _ => vec![Role::Biomedical],
    }
}

fn take(life: &mut Life, step: &Step) {
    let now = life.now;
    let by = |n: u8| operator(n, &roles(n));
    let _ = match step {
        Step::Approve(n, role) => {
            let by = by(*n);
            life.try_as(by.id, Command::Approve { by: &by, role: *role, statement: signed() })
        }
        Step::Bind(key) => life.try_(bind(*key)),
        Step::Intend(n) => life.try_(intend(*n)),
        Step::Certify(n) => life.try_(certify(*n, now)),
        Step::Appraise(n, appraisal) => life.try_(Command::RecordAppraisal(facts(*n, *appraisal))),
        Step::Quarantine(n) => {
            life.try_(Command::Quarantine { by: &by(*n), statement: signed(), reason: "drill".into() })
        }
        Step::Release(n) => life.try_(Command::Release { by: &by(*n), statement: signed() }),
        Step::Retire(n) => life.try_(Command::Retire { by: &by(*n), statement: signed() }),
        Step::Probe(refused) => {
            let probe = Probe {
                point: "token".into(),
                credential: "01".into(),
                refused: *refused,
                answer: String::new(),
            };
            life.try_(Command::RecordProbes { probes: vec![probe] })
        }
        Step::Wait(seconds) => {
            life.now = life.now.plus_seconds(*seconds);
            life.try_(Command::Reassess)
        }
        Step::Alarm => {
            life.try_(Command::RaiseAlarm { code: AlarmCode::EvidenceBroken, detail: "drill".into() })
        }
        Step::Secret(n) => {
            let by = by(3);
            let expires = now.plus_seconds(3_600);
            let secret = SecretId::from_random([*n; 5]);
            life.try_as(by.id, Command::IssueSecret { by: &by, secret, expires, statement: signed() })
        }
        Step::UseSecret(n, key) => life.try_(Command::UseSecret {
            secret: SecretId::from_random([*n; 5]),
            spki_sha256: Digest([*key; 32]),
        }),
        Step::MakerKey(n) => life.try_(Command::BindMakerKey {
            format: "idevid".into(),
            key: MakerIdentity { key_sha256: Digest([*n; 32]), grade: None },
            certificate_sha256: Digest([1; 32]),
            endorsement_sha256: Digest([2; 32]),
        }),
        Step::IntendOn(n, basis) => {
            let mut command = intend(*n);
            if let Command::IntendIssuance { basis: on, .. } = &mut command {
                *on = *basis;
            }
            life.try_(command)
        }
        Step::Revoke(n) => {
            life.try_(Command::Revoke { by: &by(*n), reason: RevocationReason::Lost, statement: signed() })
        }
        Step::RevokeOne(n) => life.try_(Command::RevokeCertificates {
            by: &by(3),
            serials: vec![format!("{n:02x}")],
            reason: RevocationReason::Compromised,
            statement: signed(),
        }),
        Step::See(n) => life.try_(Command::SeeCertificate { serial: format!("{n:02x}") }),
        Step::Supersede => {
            let serials = life.device.certificates.iter().map(|c| c.serial.clone()).collect();
            life.try_(Command::Supersede { serials })
        }
        Step::LateRenewal(n) => {
            let until = now.plus_seconds(3_600);
            life.try_(Command::AllowLateRenewal { by: &by(*n), until, statement: signed() })
        }
        Step::Listed(n, reason) => life.try_(Command::FindMakerRevocation(MakerFinding {
            list_sha256: Digest([*n; 32]),
            certificate: MakerCertificate { issuer_sha256: Digest([*n; 32]), serial: format!("{n:02x}") },
            revoked_at: None,
            reason: *reason,
        })),
        Step::Withdraw => {
            life.releases = releases(ReleaseState::Withdrawn);
            life.try_(Command::Reassess)
        }
    };
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    // I1, I2, I4, I5, I11
    #[test]
    fn no_list_of_commands_breaks_an_invariant(steps in proptest::collection::vec(step(), 1..80)) {
        let mut life = Life::registered();
        let mut retired = false;
        for step in &steps {
            take(&mut life, step);
            check_invariants(&life, &mut retired)?;
        }
        // The log alone rebuilds the device.
        let first = life.log.first().unwrap();
        let at = Recorded { pos: 0, time: Timestamp::from_seconds(START) };
        let rebuilt = Device::begin(life.device.id, first, OperatorId::from_bytes([1; 16]), at).unwrap();
        prop_assert_eq!(life.log.len() as u64, life.device.seq);
        prop_assert_eq!(rebuilt.record, life.device.record);
    }
}

fn check_invariants(life: &Life, retired: &mut bool) -> Result<(), TestCaseError> {
    let approvals: Vec<Role> = life
        .log
        .iter()
        .filter_map(|e| match e {
            Event::DeviceApproved { role, .. } => Some(*role),
            _ => None,
        })
        .collect();
    // I1: a credential only after both approvals.
    if life.log.iter().any(|e| matches!(e, Event::IssuanceIntended { .. } | Event::CertificateIssued { .. }))
    {
        prop_assert!(approvals.contains(&Role::Security) && approvals.contains(&Role::Biomedical));
    }
    // I2: one hardware key.
    let keys: std::collections::BTreeSet<Digest> = life
        .log
        .iter()
        .filter_map(|e| match e {
            Event::IdentityBound { ek_sha256, .. } => Some(*ek_sha256),
            Event::MakerKeyBound { key_sha256, .. } => Some(*key_sha256),
            _ => None,
        })
        .collect();
    prop_assert!(keys.len() <= 1);
    // I3: every certificate has its intent before it.
    let mut intended = Vec::new();
    for event in &life.log {
        match event {
            Event::IssuanceIntended { issuance, .. } => intended.push(*issuance),
            Event::CertificateIssued { issuance, .. } => prop_assert!(intended.contains(issuance)),
            _ => {}
        }
    }
    // I4: what is not trusted says why, and what would restore it.
    let trust = evaluate(&life.device, &life.releases, life.now);
    prop_assert_eq!(trust.verdict == Verdict::Trusted, trust.reasons.is_empty());
    prop_assert_eq!(trust.verdict == Verdict::Trusted, trust.restore.is_empty());
    // I5: trusted means proven, approved, certified and fresh.
    if trust.verdict == Verdict::Trusted {
        let evidence = life.device.evidence.as_ref().unwrap();
        prop_assert!(evidence.appraisal != Appraisal::Contraindicated);
        prop_assert!(life.now <= evidence.at.plus_seconds(Tier::Critical.rules().fresh_seconds));
        let tpm = life.device.identity.as_ref().and_then(Identity::tpm);
        prop_assert!(tpm.is_some() && life.device.has_valid_certificate(life.now));
        prop_assert_eq!(life.releases[&release_id()].state, ReleaseState::Approved);
    }
    // What the chain says is what holds: a reader never has to compute trust.
    if !matches!(life.log.last(), Some(Event::DeviceRegistered { .. })) {
        let stale = trust.verdict != life.device.recorded;
        prop_assert!(!stale, "chain says {:?}, {:?} holds", life.device.recorded, trust.verdict);
    }
    // R49: who is revoked as a whole holds nothing.
    prop_assert!(life.device.barred.is_none() || life.device.certificates.is_empty());
    prop_assert!(life.device.barred.is_none() || trust.verdict == Verdict::Untrusted);
    // Retirement is terminal.
    prop_assert!(!*retired || life.device.stage == Stage::Retired);
    *retired |= life.device.stage == Stage::Retired;
    Ok(())
}
