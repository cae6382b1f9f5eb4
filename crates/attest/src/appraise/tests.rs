use lanyard_domain::id::ReleaseId;

use super::*;
use crate::tcg::build::{LogBuilder, pcr_after};
use crate::tcg::{BASELINE_PCRS, EV_NO_ACTION};
use crate::testkit::{SoftAk, clock};
use crate::tpm::structures::{Body, PcrSelection};

const NONCE: [u8; 32] = [9; 32];
const MODEL: [u8; 32] = [7; 32];
const NOW: Timestamp = Timestamp::from_seconds(1_795_305_600);

/// A device's boot: what differs from the golden one is given as text.
fn boot(kernel: &[u8], model: Option<[u8; 32]>) -> LogBuilder {
    let log = LogBuilder::new()
        .s_crtm_version("4.2.0")
        .firmware_blob(0, 0xFF00_0000, b"firmware volume")
        .secure_boot_variable(b"SecureBoot=1")
        .boot_application("\\EFI\\pump.efi", b"image")
        .separators()
        .ipl("vmlinuz", kernel);
    match model {
        Some(digest) => log.model("triage", digest),
        None => log,
    }
}

struct Case {
    ak: SoftAk,
    evidence: TpmEvidence,
    firmware: Vec<FirmwareReference>,
    models: Vec<ModelReference>,
    expect_model: ExpectModel,
    previous: Option<ClockInfo>,
    clock: ClockInfo,
}

impl Case {
    fn new(kernel: &[u8], model: Option<[u8; 32]>) -> Self {
        let mut case = Self {
            ak: SoftAk::new(),
            evidence: TpmEvidence { quote: vec![], signature: vec![], pcrs: vec![], event_log: vec![] },
            firmware: vec![release(1, b"kernel", 3)],
            models: vec![model_release(MODEL)],
            expect_model: if model.is_some() { ExpectModel::Required } else { ExpectModel::None },
            previous: None,
            clock: clock(5, 0, 10_000, true),
        };
        case.measure(boot(kernel, model));
        case
    }

    fn measure(&mut self, log: LogBuilder) {
        let (bytes, extends) = log.finish();
        self.evidence.event_log = bytes;
        self.evidence.pcrs = QUOTED_PCRS.iter().map(|p| (*p, pcr_after(&extends, *p))).collect();
        self.quote();
    }

    fn quote(&mut self) {
        let values: Vec<u8> = self.evidence.pcrs.iter().flat_map(|(_, v)| *v).collect();
        let pcrs: Vec<u8> = self.evidence.pcrs.iter().map(|(p, _)| *p).collect();
        let selection = PcrSelection::of(HashAlg::Sha256, &pcrs);
        let pcr_digest = HashAlg::Sha256.digest(&values);
        let mut attest = self.ak.attest(&NONCE, Body::Quote { selection, pcr_digest });
        attest.clock = self.clock;
        self.evidence.quote = attest.encode();
        self.evidence.signature = self.ak.sign(&self.evidence.quote);
    }

    fn appraise(&self) -> AttestationResult {
        appraise(&Appraisal {
            evidence: &self.evidence,
            ak: &self.ak.public,
            expected_nonce: &NONCE,
            firmware: &self.firmware,
            models: &self.models,
            expect_model: self.expect_model,
            previous: self.previous,
            now: NOW,
        })
    }

    fn expect(&self, verdict: Verdict, codes: &[&str]) -> AttestationResult {
        let result = self.appraise();
        let found: Vec<_> = result.why.iter().map(|r| r.code.code()).collect();
        assert_eq!((result.verdict, found.as_slice()), (verdict, codes), "{:#?}", result.why);
        assert_eq!(result.boot.is_none(), verdict == Verdict::Broken);
        result
    }
}

fn release(id: u8, kernel: &[u8], security_version: u32) -> FirmwareReference {
    let (bytes, extends) = boot(kernel, None).finish();
    let log = EventLog::parse(&bytes).unwrap();
    let events = log.events.iter().enumerate().map(|(i, e)| ReferenceEvent {
        pcr: u8::try_from(e.pcr).unwrap(),
        digest: e.digest(HashAlg::Sha256).unwrap().try_into().unwrap(),
        label: if e.pcr == 9 { "operating system kernel".to_owned() } else { format!("step {i}") },
    });
    FirmwareReference {
        release: ReleaseId::from_bytes([id; 16]),
        version: format!("4.{id}"),
        security_version,
        minimum_security_version: 1,
        pcrs: BASELINE_PCRS.iter().map(|p| (*p, pcr_after(&extends, *p))).collect(),
        events: events.collect(),
        status: ReferenceStatus::Approved,
        not_after: None,
    }
}

fn model_release(manifest_digest: [u8; 32]) -> ModelReference {
    ModelReference {
        release: ReleaseId::from_bytes([99; 16]),
        manifest_digest,
        version: "2.1".to_owned(),
        status: ReferenceStatus::Approved,
        not_after: None,
    }
}

#[test]
fn approved_firmware_and_model_are_affirmed() {
    let plain = Case::new(b"kernel", None).expect(Verdict::Affirming, &[]);
    assert_eq!(plain.firmware, Some(ReleaseId::from_bytes([1; 16])));
    assert_eq!((plain.model, plain.pcrs_compared, &plain.failing), (None, 5, &None));
    assert!(plain.checks.iter().all(|c| !c.failed()));
    let with_model = Case::new(b"kernel", Some(MODEL)).expect(Verdict::Affirming, &[]);
    assert_eq!(with_model.model, Some(ReleaseId::from_bytes([99; 16])));
}

// R61
#[test]
fn tampered_firmware_is_contraindicated_and_the_event_is_named() {
    let result = Case::new(b"tampered", None).expect(Verdict::Contraindicated, &["firmware_unapproved"]);
    let failing = result.failing.unwrap();
    assert_eq!((failing.pcr, failing.index), (9, Some(12)));
    assert_eq!(failing.expected_label.as_deref(), Some("operating system kernel"));
    assert_eq!(failing.found, Some(hex(&crate::freshness::sha256(b"tampered"))));
    assert_eq!(result.firmware, None);
    assert!(result.why[0].text.contains("`operating system kernel`"), "{}", result.why[0].text);
    let failed: Vec<_> = result.checks.iter().filter(|c| c.failed()).map(|c| c.name).collect();
    assert_eq!(failed, [CheckName::FirmwarePcr, CheckName::FirmwareRelease]);
}

#[test]
fn an_added_and_a_left_out_event_are_named() {
    let mut case = Case::new(b"kernel", None);
    case.measure(boot(b"kernel", None).ipl("rootkit.ko", b"rootkit"));
    let added = case.expect(Verdict::Contraindicated, &["firmware_unapproved"]).failing.unwrap();
    assert_eq!((added.index, added.expected), (Some(13), None));
    // The name that the log gives the event appears nowhere: nothing vouches for it.
    assert!(!format!("{:?}", case.appraise()).contains("rootkit.ko"));

    case.firmware[0] = release(1, b"kernel", 3);
    let (_, extends) = boot(b"kernel", None).ipl("init", b"init").finish();
    case.firmware[0].pcrs[4] = (9, pcr_after(&extends, 9));
    case.firmware[0].events.push(ReferenceEvent { pcr: 9, digest: [4; 32], label: "init".to_owned() });
    case.measure(boot(b"kernel", None));
    let missing = case.expect(Verdict::Contraindicated, &["firmware_unapproved"]).failing.unwrap();
    assert_eq!((missing.index, missing.expected_label.as_deref()), (None, Some("init")));

    case.firmware[0].events.clear();
    assert_eq!(case.expect(Verdict::Contraindicated, &["firmware_unapproved"]).failing, None);
}

// R61
#[test]
fn downgraded_withdrawn_and_outdated_releases_have_their_own_reasons() {
    let mut case = Case::new(b"old kernel", None);
    case.firmware.push(release(2, b"old kernel", 1));
    case.expect(Verdict::Affirming, &[]);
    case.firmware[0].minimum_security_version = 2;
    let result = case.expect(Verdict::Contraindicated, &["firmware_downgraded"]);
    assert_eq!(result.firmware, Some(ReleaseId::from_bytes([2; 16])));
    // A release that is withdrawn no longer sets the minimum.
    case.firmware[0].status = ReferenceStatus::Withdrawn;
    case.expect(Verdict::Affirming, &[]);

    let mut case = Case::new(b"kernel", None);
    case.firmware[0].status = ReferenceStatus::Withdrawn;
    case.expect(Verdict::Contraindicated, &["firmware_withdrawn"]);

    let mut case = Case::new(b"kernel", None);
    case.firmware[0].not_after = Some(NOW);
    case.expect(Verdict::Affirming, &[]);
    case.firmware[0].not_after = Some(NOW.plus_seconds(-1));
    case.expect(Verdict::Warning, &["firmware_window_over"]);
}

// R62
#[test]
fn models_are_approved_by_digest_alone() {
    let mut case = Case::new(b"kernel", Some([8; 32]));
    let result = case.expect(Verdict::Contraindicated, &["model_unapproved"]);
    assert_eq!(result.failing.map(|f| (f.pcr, f.index)), Some((MODEL_PCR, Some(13))));
    assert_eq!(result.firmware, Some(ReleaseId::from_bytes([1; 16])));

    case = Case::new(b"kernel", Some(MODEL));
    case.measure(boot(b"kernel", None));
    case.expect(Verdict::Contraindicated, &["model_missing"]);

    case = Case::new(b"kernel", Some(MODEL));
    case.models[0].status = ReferenceStatus::Withdrawn;
    case.expect(Verdict::Contraindicated, &["model_withdrawn"]);

    case = Case::new(b"kernel", Some(MODEL));
    case.models[0].not_after = Some(NOW.plus_seconds(-1));
    case.expect(Verdict::Warning, &["model_window_over"]);

    case = Case::new(b"kernel", Some(MODEL));
    case.expect_model = ExpectModel::None;
    case.expect(Verdict::Contraindicated, &["model_unexpected"]);
    case.models.clear();
    case.expect(Verdict::Contraindicated, &["model_unexpected"]);

    // A second, unknown model after the approved one, under the approved one's name.
    case = Case::new(b"kernel", Some(MODEL));
    case.measure(boot(b"kernel", Some(MODEL)).model("triage", [8; 32]));
    case.expect(Verdict::Contraindicated, &["model_unapproved"]);

    // What the firmware release itself measures there is no model.
    case = Case::new(b"kernel", Some([8; 32]));
    case.expect_model = ExpectModel::None;
    case.firmware[0].events.push(ReferenceEvent { pcr: 12, digest: [8; 32], label: "add-on".to_owned() });
    case.expect(Verdict::Affirming, &[]);
}

// I5
#[test]
fn a_policy_that_checks_nothing_affirms_nothing() {
    let mut case = Case::new(b"kernel", None);
    case.firmware[0].pcrs.clear();
    let result = case.expect(Verdict::Broken, &["policy_checks_nothing"]);
    assert_eq!(result.pcrs_compared, 0);
    case.firmware[0].pcrs = vec![(MODEL_PCR, [0; 32])];
    case.expect(Verdict::Broken, &["policy_checks_nothing"]);
    case.firmware.clear();
    case.expect(Verdict::Broken, &["policy_checks_nothing"]);

    let mut case = Case::new(b"kernel", Some(MODEL));
    case.models.clear();
    case.expect(Verdict::Broken, &["policy_checks_nothing", "model_unapproved"]);
}

// R38
#[test]
fn broken_evidence_has_its_own_reasons() {
    let mut case = Case::new(b"kernel", None);
    case.ak = SoftAk::new();
    case.expect(Verdict::Broken, &["quote_signature_invalid"]);

    let case = Case::new(b"kernel", None);
    let replayed = appraise(&Appraisal {
        evidence: &case.evidence,
        ak: &case.ak.public,
        expected_nonce: &[1; 32],
        firmware: &case.firmware,
        models: &case.models,
        expect_model: ExpectModel::None,
        previous: None,
        now: NOW,
    });
    assert_eq!(replayed.why[0].code, ReasonCode::NonceMismatch);
    assert!(replayed.why[0].code.is_replay());

    let mut case = Case::new(b"kernel", None);
    case.ak.public.attributes = crate::tpm::keys::TLS_ATTRIBUTES;
    case.expect(Verdict::Broken, &["attestation_key_unfit"]);

    let mut case = Case::new(b"kernel", None);
    case.evidence.pcrs[0].1 = [1; 32];
    case.expect(Verdict::Broken, &["pcr_digest_mismatch"]);

    // The model's PCR left out of the quote: it could hide a model.
    let mut case = Case::new(b"kernel", None);
    case.evidence.pcrs.pop();
    case.quote();
    case.expect(Verdict::Broken, &["pcr_selection_mismatch"]);

    let mut case = Case::new(b"kernel", None);
    case.firmware[0].pcrs.push((14, [0; 32]));
    case.expect(Verdict::Broken, &["pcr_selection_mismatch"]);

    let mut case = Case::new(b"kernel", None);
    case.evidence.quote.truncate(20);
    case.evidence.signature = case.ak.sign(&case.evidence.quote);
    case.expect(Verdict::Broken, &["quote_malformed"]);
}

#[test]
fn a_log_that_does_not_explain_the_quote_is_contraindicated() {
    let mut case = Case::new(b"tampered", None);
    // The log of the golden boot beside the quote of a tampered one.
    case.evidence.event_log = boot(b"kernel", None).finish().0;
    let result = case.expect(Verdict::Contraindicated, &["event_log_mismatch"]);
    assert!(result.why[0].text.contains("PCR 9"));
    case.evidence.event_log.pop();
    case.expect(Verdict::Contraindicated, &["event_log_malformed"]);
    case.evidence.event_log.clear();
    case.expect(Verdict::Contraindicated, &["event_log_malformed"]);
}

#[test]
fn a_boot_at_locality_3_is_replayed_from_its_starting_value() {
    let mut case = Case::new(b"kernel", None);
    let locality = [&b"StartupLocality\0"[..], &[3]].concat();
    let golden = boot(b"kernel", None).finish();
    let header = LogBuilder::new().finish().0.len();
    let mut log = LogBuilder::new().event(0, EV_NO_ACTION, [0; 32], &locality).finish().0;
    log.extend_from_slice(&golden.0[header..]);
    let value: [u8; 32] = replay(&EventLog::parse(&log).unwrap(), HashAlg::Sha256)
        .unwrap()
        .value(0)
        .unwrap()
        .try_into()
        .unwrap();
    assert_ne!(value, case.evidence.pcrs[0].1);
    case.evidence.event_log = log;
    case.expect(Verdict::Contraindicated, &["event_log_mismatch"]);
    case.evidence.pcrs[0].1 = value;
    case.firmware[0].pcrs[0].1 = value;
    case.quote();
    case.expect(Verdict::Affirming, &[]);
}

#[test]
fn counters_that_go_back_are_noticed_and_a_power_cut_is_no_fault() {
    let before = clock(5, 2, 10_000, true);
    let cases = [
        (clock(5, 2, 10_000, true), true, "same moment"),
        (clock(5, 2, 10_001, true), true, "later"),
        (clock(5, 3, 10_001, true), true, "resumed"),
        (clock(6, 0, 10_500, true), true, "rebooted in order"),
        (clock(6, 0, 400, false), true, "power cut: clock fell back and the TPM says so"),
        (clock(5, 2, 9_999, true), false, "clock back"),
        (clock(5, 2, 9_999, false), false, "clock back within one power cycle"),
        (clock(5, 1, 10_500, true), false, "restart count back"),
        (clock(4, 9, 99_000, true), false, "reset count back"),
        (clock(4, 9, 400, false), false, "reset count back after a power cut"),
        (clock(6, 0, 400, true), false, "clock back although the TPM calls it safe"),
    ];
    for (now, fine, what) in cases {
        let mut case = Case::new(b"kernel", None);
        case.previous = Some(before);
        case.clock = now;
        case.quote();
        let codes: &[&str] = if fine { &[] } else { &["counters_went_back"] };
        println!("{what}");
        case.expect(if fine { Verdict::Affirming } else { Verdict::Broken }, codes);
    }
}

// I5, I12
#[test]
fn no_flipped_bit_of_evidence_turns_tampered_into_approved() {
    let case = Case::new(b"tampered", Some([8; 32]));
    let bytes = case.evidence.encode();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let Ok(evidence) = TpmEvidence::parse(&flipped) else { continue };
        let result = appraise(&Appraisal {
            evidence: &evidence,
            ak: &case.ak.public,
            expected_nonce: &NONCE,
            firmware: &case.firmware,
            models: &case.models,
            expect_model: ExpectModel::Required,
            previous: None,
            now: NOW,
        });
        assert!(result.verdict >= Verdict::Contraindicated, "bit {bit}");
    }
}
