//! One bundle for each rule, structurally perfect and properly sealed, to which the rule says no.

use lanyard_domain::device::Command;
use lanyard_domain::event::{Appraisal, Event, StreamKind};
use lanyard_domain::id::{OperatorId, StreamId};
use lanyard_domain::operator::Role;
use lanyard_domain::statement::Action;
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::trust::{Reason, Strength, Verdict};
use lanyard_ledger::bundle::Outcome;

use super::super::testkit::*;
use super::super::*;

/// The check that says no, and words of its answer.
fn refused(bytes: &[u8], check: &str, words: &str) {
    let report = verify(bytes, &trust());
    let flaw = report.flaw.clone().unwrap_or_else(|| panic!("{check} ({words}): not refused: {report:#?}"));
    assert!(flaw.starts_with(&format!("{check}: ")) && flaw.contains(words), "{check} ({words}): {flaw}");
    assert_eq!(report.outcome, Outcome::Contradicted);
}

/// A good story, bent; the claim is the good story's.
fn bent(check: &str, words: &str, bend: impl FnOnce(&mut Story)) {
    let mut story = Story::good();
    let claim = story.claim_of_reading();
    bend(&mut story);
    refused(&story.bundle(&claim), check, words);
}

/// A good story, bent, and honestly exported.
fn honest(check: &str, words: &str, bend: impl FnOnce(&mut Story)) {
    let mut story = Story::good();
    bend(&mut story);
    let claim = story.claim_of_reading();
    refused(&story.bundle(&claim), check, words);
}

/// A good story, and a claim that says otherwise.
fn lie(check: &str, words: &str, bend: impl FnOnce(&mut Claim)) {
    let story = Story::good();
    let mut claim = story.claim_of_reading();
    bend(&mut claim);
    refused(&story.bundle(&claim), check, words);
}

/// A good story of which the exporter does not show all.
fn hidden(check: &str, words: &str, hide: impl Fn(&Event) -> bool) {
    let story = Story::good();
    let text = story.claim_of_reading().to_text().unwrap();
    let bytes = story.bundle_of(&text, |leaf| !hide(leaf.line().unwrap().event.as_ref().unwrap()));
    refused(&bytes, check, words);
}

// R114
#[test]
fn a_claim_that_differs_from_the_chain_in_any_member_is_refused() {
    lie("log", "is about log `other`", |c| c.origin = "other".to_owned());
    lie("successor", "the claim stops at", |c| c.as_of_pos -= 1);
    lie("reading", "another time", |c| c.at = c.at.plus_seconds(1));
    lie("state", "verdict", |c| c.state.verdict = Verdict::Degraded);
    lie("state", "stage", |c| c.state.stage = "retired".to_owned());
    lie("state", "strength", |c| c.state.strength = Strength::Measured);
    lie("state", "A-999", |c| c.state.serial = "A-999".to_owned());
    lie("state", "state", |c| c.state.vendor = "Other".to_owned());
    lie("state", "state", |c| c.state.model = "Pump 8".to_owned());
    lie("state", "state", |c| c.state.reasons = vec![Reason::new("x", "y")]);
    lie("state", "releases", |c| c.state.firmware = None);
    lie("state", "releases", |c| c.state.ai_model = c.state.firmware.clone());
    lie("state", "evidence", |c| c.state.evidence_pos = Some(3));
    lie("state", "evidence", |c| c.state.evidence_sha256 = None);
    lie("state", "certificates", |c| c.state.certificates.clear());
}

// R114
#[test]
fn a_claim_that_differs_from_the_gateways_record_is_refused() {
    let reading = |words: &str, bend: fn(&mut ReadingFacts)| {
        lie("reading", words, |c| bend(c.reading.as_mut().unwrap()));
    };
    reading("decision", |r| r.decision = lanyard_domain::id::DecisionId::from_random([1; 16]));
    reading("another answer", |r| r.location = None);
    reading("another answer", |r| r.status = 200);
    reading("another answer", |r| r.response_sha256 = Digest([9; 32]));
    reading("another time", |r| r.decided_at = START);
    reading("another decision", |r| r.allowed = false);
    reading("another verdict", |r| r.verdict = Some(Verdict::Degraded));
    reading("another certificate", |r| r.certificate_sha256 = None);
    reading("another request", |r| r.request_sha256 = None);
    reading("another forwarded request", |r| r.forwarded_sha256 = None);
    let story = Story::good();
    let mut claim = story.claim_of_reading();
    claim.reading.as_mut().unwrap().gateway = lanyard_domain::id::GatewayId::from_random([1; 16]);
    let bytes = story.raw_bundle_with_gateway(&claim.to_text().unwrap());
    refused(&bytes, "reading", "do not stand in the stream of gateway");
}

#[test]
fn a_claim_about_a_time_after_its_own_export_is_refused() {
    let story = Story::good();
    let mut claim = story.claim_at(story.now);
    claim.at = story.now.plus_seconds(60);
    claim.as_of_pos = story.main.len() as u64;
    refused(&story.bundle(&claim), "successor", "after its own export");
}

#[test]
fn an_export_on_another_devices_stream_closes_nothing() {
    let story = Story::good();
    let mut claim = story.claim_at(story.now);
    claim.device = other_device();
    refused(&story.raw_bundle(&claim.to_text().unwrap()), "closing", "not an export of evidence about this");
}

#[test]
fn what_is_no_claim_and_what_is_no_event_is_refused() {
    let story = Story::good();
    refused(&story.raw_bundle("{}"), "claim", "cannot be read");
    let claim = story.claim_at(story.now).to_text().unwrap();
    let mut lying = story.clone();
    lying.find(|e| matches!(e, Event::DeviceInService {})).header_kind = Some(9);
    refused(&lying.raw_bundle(&claim), "events", "of kind 10, its header says 9");
    for (kind, event) in [
        (StreamKind::Release, Event::DeviceInService {}),
        (StreamKind::Device, story.gateway[1].event.clone()),
        (StreamKind::Gateway, Event::DeviceRetired {}),
    ] {
        let mut lying = story.clone();
        lying.add(kind, other_device(), OperatorId::from_bytes([0; 16]), event);
        refused(&lying.raw_bundle(&claim), "events", "does not belong to a stream of kind");
    }
}

#[test]
fn a_log_that_does_not_name_its_key_first_or_goes_back_in_time_is_refused() {
    bent("log", "otherwise than the checkpoint", |s| {
        if let Event::LedgerStarted { vkey, .. } = &mut s.main[0].event {
            vkey.push('x');
        }
    });
    hidden("log", "not shown", |e| matches!(e, Event::LedgerStarted { .. }));
    bent("order", "goes back", |s| s.main[0].time = s.now);
}

// R114: properly signed by everyone, and still a lie.
#[test]
fn trusted_where_the_chain_says_untrusted_is_refused() {
    let mut story = Story::good();
    let good = story.claim_at(story.now);
    story.attest(b"tampered");
    let mut claim = story.claim_at(story.now);
    claim.state = good.state.clone();
    refused(&story.bundle(&claim), "state", "verdict: the claim says `Trusted`, the chain says `Untrusted`");
    // The older state as if it were the newest: the chain shows the successor.
    let old = Claim { at: story.now, ..good };
    refused(&story.bundle(&old), "successor", "the claim stops at");
}

// R114
#[test]
fn a_withdrawal_that_the_chain_reflects_cannot_be_left_out() {
    let mut story = Story::good();
    let good = story.claim_at(story.now);
    story.withdraw_release();
    story.decide(vec![Command::Reassess], OperatorId::from_bytes([0; 16]));
    let honest = story.claim_at(story.now);
    assert_eq!(verify(&story.bundle(&honest), &trust()).flaw, None);
    let claim = Claim { state: good.state, ..honest };
    let text = claim.to_text().unwrap();
    let bytes = story.bundle_of(&text, |leaf| leaf.header.kind != 42);
    refused(&bytes, "stated verdict", "the chain states `untrusted`, the claim says `trusted`");
}

// I1, R100
#[test]
fn a_decision_that_nobody_signed_is_refused() {
    let approval = |e: &Event| matches!(e, Event::DeviceApproved { role: Role::Security, .. });
    let sign = |story: &mut Story, by: &Person, log: &str, action: Action| {
        let signed = by.sign_for(log, START, action);
        let draft = story.find(approval);
        draft.event = Event::DeviceApproved { role: Role::Security, statement: signed };
        draft.actor = by.id;
    };
    let approve = |role| Action::ApproveDevice { device: device(), role };
    let (sam, bea, mia) = (&PEOPLE.sam, &PEOPLE.bea, &PEOPLE.mia);
    bent("signatures", "the signature is not by operator", |s| {
        if let Event::DeviceApproved { statement, .. } = &mut s.find(approval).event {
            statement.signature.0[5] ^= 1;
        }
    });
    bent("signatures", "cannot be read", |s| {
        if let Event::DeviceApproved { statement, .. } = &mut s.find(approval).event {
            statement.text.push('x');
        }
    });
    bent("signatures", "meant for log", |s| sign(s, sam, "other", approve(Role::Security)));
    bent("signatures", "not what was recorded", |s| sign(s, sam, ORIGIN, approve(Role::Biomedical)));
    bent("signatures", "not what was recorded", |s| {
        let action = Action::ApproveDevice { device: other_device(), role: Role::Security };
        sign(s, sam, ORIGIN, action);
    });
    bent("signatures", "holds no role", |s| sign(s, &PEOPLE.ada, ORIGIN, approve(Role::Security)));
    bent("signatures", "says that", |s| s.find(approval).actor = bea.id);
    // The server puts its own key under an operator's decision.
    bent("signatures", "does not show who", |s| {
        sign(s, mia, ORIGIN, approve(Role::Security));
        s.main.retain(|d| d.stream != mia.id.into());
        // Keep positions: a leaf of another stream takes the place.
        let noise = s.main[0].clone();
        s.main.insert(
            7,
            Draft {
                stream: other_device().into(),
                kind: StreamKind::Device,
                time: s.main[6].time,
                event: Event::DeviceInService {},
                ..noise
            },
        );
    });
}

// I1
#[test]
fn operators_count_from_when_they_are_added_until_they_are_removed() {
    bent("signatures", "had no rights any more", |s| {
        let removed = Action::RemoveOperator { operator: PEOPLE.sam.id };
        let statement = PEOPLE.ada.sign(s.now, removed);
        let at = s.main.iter().position(|d| d.stream == PEOPLE.mia.id.into()).unwrap();
        let draft = &mut s.main[at];
        draft.stream = PEOPLE.sam.id.into();
        draft.event = Event::OperatorRemoved { statement };
    });
    bent("signatures", "was added only later", |s| {
        let at = |id: OperatorId| s.main.iter().position(|d| d.stream == id.into()).unwrap();
        let (rita, last) = (at(PEOPLE.rita.id), s.main.len() - 1);
        let time = s.main[last].time;
        let mut late = s.main[rita].clone();
        late.time = time;
        // Rita's place is taken by an event of another device; she comes last.
        s.main[rita].stream = other_device().into();
        s.main[rita].kind = StreamKind::Device;
        s.main[rita].event = Event::DeviceInService {};
        s.main.push(late);
    });
    bent("signatures", "another operator's key", |s| {
        let sam = PEOPLE.sam.public_key();
        let draft = s.find(|e| matches!(e, Event::OperatorAdded { public_key, .. } if *public_key == PEOPLE.bea.public_key()));
        if let Event::OperatorAdded { public_key, .. } = &mut draft.event {
            *public_key = sam;
        }
    });
    bent("signatures", "more than one operator", |s| {
        let draft = s.find(|e| matches!(e, Event::OperatorAdded { public_key, .. } if *public_key == PEOPLE.bea.public_key()));
        if let Event::OperatorAdded { statement, .. } = &mut draft.event {
            *statement = None;
        }
    });
}

// I1: each statement is by the key that its operator had where it stands.
#[test]
fn a_replaced_key_counts_for_what_was_recorded_before_and_for_nothing_after() {
    let (bea, ada, now) = (&PEOPLE.bea, &PEOPLE.ada, PEOPLE.bea.with_key_of(0x70));
    let mut story = Story::good();
    story.quarantined_and_released(bea);
    story.replace_key(ada, bea.id, &now);
    story.quarantined_and_released(&now);
    let report = verify(&story.bundle(&story.claim_at(story.now)), &trust());
    assert_eq!(report.flaw, None);
    assert_ne!(report.outcome, Outcome::Contradicted);

    bent("signatures", "the signature is not by operator", |s| {
        s.replace_key(ada, bea.id, &now);
        s.quarantined_and_released(bea);
    });
    bent("signatures", "the signature is not by operator", |s| {
        s.quarantined_and_released(&now);
        s.replace_key(ada, bea.id, &now);
    });
    bent("signatures", "replaced their own key", |s| s.replace_key(ada, ada.id, &ada.with_key_of(0x70)));
    bent("signatures", "is or was an operator's already", |s| {
        s.replace_key(ada, bea.id, &now);
        s.replace_key(ada, bea.id, bea);
    });
    bent("signatures", "is or was an operator's already", |s| s.replace_key(ada, bea.id, &PEOPLE.sam));
    bent("signatures", "holds no role", |s| s.replace_key(&PEOPLE.sam, bea.id, &now));
    bent("signatures", "had no rights any more", |s| {
        let statement = ada.sign(s.now, Action::RemoveOperator { operator: bea.id });
        s.add(StreamKind::Operator, bea.id, ada.id, Event::OperatorRemoved { statement });
        s.replace_key(ada, bea.id, &now);
    });
    // The event names another key than the one that was signed.
    bent("signatures", "not what was recorded", |s| {
        s.replace_key(ada, bea.id, &now);
        let draft = s.find(|e| matches!(e, Event::OperatorKeyReplaced { .. }));
        if let Event::OperatorKeyReplaced { public_key, .. } = &mut draft.event {
            *public_key = PEOPLE.bea.with_key_of(0x71).public_key();
        }
    });
    // An exporter who leaves the replacement out has a gap in the operator's stream, or statements that nobody signed.
    let mut story = Story::good();
    story.replace_key(ada, bea.id, &now);
    story.quarantined_and_released(&now);
    let text = story.claim_at(story.now).to_text().unwrap();
    let hidden = story.bundle_of(&text, |leaf| leaf.header.kind != 62);
    refused(&hidden, "signatures", "the signature is not by operator");
    // Its payload erased, nothing can be said of what came after.
    let mut story = Story::good();
    story.replace_key(ada, bea.id, &now);
    story.quarantined_and_released(&now);
    story.find(|e| matches!(e, Event::OperatorKeyReplaced { .. })).erased = true;
    let report = verify(&story.bundle(&story.claim_at(story.now)), &trust());
    assert_eq!(report.flaw, None);
}

#[test]
fn a_statement_counts_once() {
    bent("signatures", "carried out before", |s| {
        let statement = PEOPLE.sam.sign(s.now, Action::ReleaseDevice { device: device() });
        for _ in 0..2 {
            let event = Event::QuarantineReleased { statement: statement.clone() };
            s.add(StreamKind::Device, device(), PEOPLE.sam.id, event);
        }
    });
}

// I1
#[test]
fn one_person_in_two_roles_is_refused() {
    let story = |approve: fn(&mut Story)| {
        let mut story = Story::begin();
        story.register();
        approve(&mut story);
        story.enroll();
        story.attest(b"kernel");
        story.read();
        let claim = story.claim_of_reading();
        story.bundle(&claim)
    };
    let twice = story(|s| {
        s.approved_by(&PEOPLE.mia, Role::Security);
        s.approved_by(&PEOPLE.mia, Role::Biomedical);
    });
    refused(&twice, "two people", "one person approved it twice");
    let own = story(|s| {
        let registered = s.find(|e| matches!(e, Event::DeviceRegistered { .. }));
        let Event::DeviceRegistered { record, statement } = &mut registered.event else { unreachable!() };
        let action = Action::RegisterDevice { device: device(), record: record.clone() };
        *statement = PEOPLE.mia.sign(START, action);
        registered.actor = PEOPLE.mia.id;
        s.approved_by(&PEOPLE.mia, Role::Security);
        s.approved_by(&PEOPLE.bea, Role::Biomedical);
    });
    refused(&own, "two people", "who registered the device approved it");
    let same_role = story(|s| {
        s.approved_by(&PEOPLE.sam, Role::Security);
        s.approved_by(&PEOPLE.mia, Role::Security);
    });
    refused(&same_role, "two people", "approved twice for `security`");
    let auditor = story(|s| {
        s.approved_by(&PEOPLE.sam, Role::Security);
        s.approved_by(&PEOPLE.mia, Role::Auditor);
    });
    refused(&auditor, "two people", "which approves nothing");
}

// I1
#[test]
fn an_identity_without_two_approvals_is_refused() {
    honest("two people", "with 1 of two approvals", |s| {
        // The log forgot to ask the biomedical engineer; it records two approvals for the fold, one after the binding.
        let at = |fits: fn(&Event) -> bool| s.main.iter().position(|d| fits(&d.event)).unwrap();
        let approval = at(|e| matches!(e, Event::DeviceApproved { role: Role::Biomedical, .. }));
        let bound = at(|e| matches!(e, Event::IdentityBound { .. }));
        let (a, b) = (s.main[approval].time, s.main[bound].time);
        s.main.swap(approval, bound);
        (s.main[approval].time, s.main[bound].time) = (a, b);
    });
    bent("two people", "neither person nor evidence", |s| {
        let reasons = vec![Reason::new("x", "because")];
        let event = Event::DeviceQuarantined { reasons, statement: None };
        s.add(StreamKind::Device, device(), OperatorId::from_bytes([0; 16]), Event::DeviceInService {});
        s.add(StreamKind::Device, device(), OperatorId::from_bytes([0; 16]), event);
    });
}

// R63
#[test]
fn a_release_of_one_person_or_of_nobody_is_refused() {
    bent("releases", "by the same person", |s| {
        let statement = PEOPLE.sam.sign(
            START,
            Action::ProposeRelease {
                release: release(),
                record: match &s.find(|e| matches!(e, Event::ReleaseProposed { .. })).event {
                    Event::ReleaseProposed { record, .. } => record.clone(),
                    _ => unreachable!(),
                },
            },
        );
        let draft = s.find(|e| matches!(e, Event::ReleaseProposed { .. }));
        draft.actor = PEOPLE.sam.id;
        if let Event::ReleaseProposed { statement: signed, .. } = &mut draft.event {
            *signed = statement;
        }
    });
    hidden("state", "verdict", |e| {
        matches!(e, Event::ReleaseProposed { .. } | Event::ReleaseApproved { .. })
    });
    // The claim admits that no release is known: then the one that evidence matched is missed.
    let story = Story::good();
    let mut claim = story.claim_at(story.now);
    claim.state.firmware = None;
    claim.state.verdict = Verdict::Untrusted;
    let code = "firmware_release_ended";
    claim.state.reasons =
        vec![Reason::new(code, "The firmware release that it runs is not approved any more.")];
    let text = claim.to_text().unwrap();
    let bytes = story.bundle_of(&text, |leaf| !(40..=42).contains(&leaf.header.kind));
    refused(&bytes, "releases", "is not shown as approved");
    bent("releases", "without having been proposed", |s| {
        let statement = PEOPLE.sam.sign(
            START,
            Action::ApproveRelease { release: lanyard_domain::id::ReleaseId::from_random([0x99; 16]) },
        );
        let id = StreamId::from_bytes(*lanyard_domain::id::ReleaseId::from_random([0x99; 16]).as_bytes());
        s.add(StreamKind::Release, id, PEOPLE.sam.id, Event::ReleaseApproved { statement });
    });
}

#[test]
fn a_hardware_key_that_is_not_what_it_is_said_to_be_is_refused() {
    let bound = |e: &Event| matches!(e, Event::IdentityBound { .. });
    let bend = |words: &str, bend: fn(&mut Blob, &mut Digest, &mut Option<String>)| {
        honest("identity", words, |s| {
            let Event::IdentityBound { ak_public, ak_name_sha256, grade, .. } = &mut s.find(bound).event
            else {
                unreachable!()
            };
            bend(ak_public, ak_name_sha256, grade);
        });
    };
    bend("another name", |_, name, _| name.0[0] ^= 1);
    bend("its grade", |_, _, grade| *grade = Some("EAL 7".to_owned()));
    bend("public area", |ak, _, _| ak.0.push(0));
    // An unrestricted key signs whatever it is given.
    bend("restricted", |ak, _, _| ak.0[5] &= !1);
    hidden("identity", "not shown as accepted", |e| matches!(e, Event::EndorsementAdded { .. }));
}

#[test]
fn a_nonce_that_binds_something_else_is_refused() {
    let appraised = |e: &Event| matches!(e, Event::EvidenceAppraised { .. });
    let bend = |words: &str, bend: fn(&mut String, &mut Digest, &mut u64)| {
        bent("attestation", words, |s| {
            let Event::EvidenceAppraised { purpose, channel, checkpoint_size, .. } =
                &mut s.find(appraised).event
            else {
                unreachable!()
            };
            bend(purpose, channel, checkpoint_size);
        });
    };
    bend("does not bind", |purpose, _, _| *purpose = "attest".to_owned());
    bend("unknown purpose", |purpose, _, _| *purpose = "certify".to_owned());
    bend("does not bind", |_, channel, _| channel.0[0] ^= 1);
    bend("does not bind", |_, _, size| *size -= 1);
}

/// Replaces the checkpoint that the enrolment's nonce names, and the nonce with it.
fn rebind(story: &mut Story, to_size: u64, to_root: Digest) {
    use lanyard_attest::freshness::{CheckpointRef, Purpose, qualifying_data};
    let draft = story.find(|e| matches!(e, Event::EvidenceAppraised { .. }));
    let Event::EvidenceAppraised { nonce, channel, checkpoint_size, checkpoint_root, .. } = &mut draft.event
    else {
        unreachable!()
    };
    let reference = CheckpointRef { size: to_size, root: to_root.0 };
    (*checkpoint_size, *checkpoint_root) = (to_size, to_root);
    *nonce = Digest(qualifying_data(Purpose::Enroll, &reference, *device().as_bytes(), channel.0));
}

#[test]
fn a_nonce_of_a_checkpoint_that_was_not_yet_or_never_there_is_refused() {
    bent("attestation", "later than itself", |s| rebind(s, 900, Digest([5; 32])));
    bent("attestation", "name different checkpoints of size", |s| {
        let sizes = s.main.iter().filter_map(|d| match &d.event {
            Event::EvidenceAppraised { checkpoint_size, .. } => Some(*checkpoint_size),
            _ => None,
        });
        let sizes: Vec<u64> = sizes.collect();
        // Both of the two later attestations name the size of the enrolment's, under another root.
        rebind(s, sizes[0], Digest([5; 32]));
        let second = s.main.iter().rposition(|d| matches!(d.event, Event::EvidenceAppraised { .. })).unwrap();
        let Event::EvidenceAppraised { nonce, channel, checkpoint_size, checkpoint_root, .. } =
            &mut s.main[second].event
        else {
            unreachable!()
        };
        use lanyard_attest::freshness::{CheckpointRef, Purpose, qualifying_data};
        (*checkpoint_size, *checkpoint_root) = (sizes[0], Digest([6; 32]));
        let reference = CheckpointRef { size: sizes[0], root: [6; 32] };
        *nonce = Digest(qualifying_data(Purpose::Attest, &reference, *device().as_bytes(), channel.0));
    });
}

// R81: the server cannot call a tampered device good.
#[test]
fn an_appraisal_that_the_evidence_does_not_bear_out_is_refused() {
    let mut story = Story::good();
    story.attest(b"tampered");
    let last = story.main.iter().rposition(|d| matches!(d.event, Event::EvidenceAppraised { .. })).unwrap();
    story.main.truncate(last + 1);
    let Event::EvidenceAppraised { appraisal, firmware, findings, verdict, reasons, .. } =
        &mut story.main[last].event
    else {
        unreachable!()
    };
    (*appraisal, *firmware, *verdict) = (Appraisal::Affirming, Some(release()), Verdict::Trusted);
    findings.clear();
    reasons.clear();
    let claim = story.claim_at(story.now);
    assert_eq!(claim.state.verdict, Verdict::Trusted);
    refused(&story.bundle(&claim), "attestation", "another result than recorded");
}

#[test]
fn evidence_of_another_key_or_for_another_nonce_is_refused() {
    for (words, other_key) in
        [("was not signed by this device's security chip", true), ("answer the current question", false)]
    {
        let mut story = Story::good();
        story.attest(b"kernel");
        let last =
            story.main.iter().rposition(|d| matches!(d.event, Event::EvidenceAppraised { .. })).unwrap();
        let Event::EvidenceAppraised { nonce, evidence_sha256, boot, .. } = &mut story.main[last].event
        else {
            unreachable!()
        };
        let clock = crate::appraise::clock_info(*boot);
        let bytes = match other_key {
            true => SoftAk::new().evidence(b"kernel", &nonce.0, clock),
            false => story.ak.evidence(b"kernel", &[1; 32], clock),
        };
        *evidence_sha256 = crate::digest::sha256(&bytes);
        story.evidence.push(bytes);
        let claim = story.claim_at(story.now);
        refused(&story.bundle(&claim), "attestation", words);
    }
}

#[test]
fn certificates_are_the_intended_ones_of_this_device_and_this_authority() {
    let issued = |e: &Event| matches!(e, Event::CertificateIssued { .. });
    bent("certificates", "another digest", |s| {
        if let Event::CertificateIssued { certificate, .. } = &mut s.find(issued).event {
            certificate.0[100] ^= 1;
        }
    });
    bent("certificates", "says otherwise than recorded", |s| {
        if let Event::CertificateIssued { not_after, .. } = &mut s.find(issued).event {
            *not_after = not_after.plus_seconds(86_400);
        }
    });
    bent("certificates", "no intent to sign exactly this", |s| {
        let intended = |e: &Event| matches!(e, Event::IssuanceIntended { .. });
        if let Event::IssuanceIntended { tbs_sha256, .. } = &mut s.find(intended).event {
            tbs_sha256.0[0] ^= 1;
        }
    });
    hidden(
        "certificates",
        "no path to a trusted authority",
        |e| matches!(e, Event::AuthorityCreated { name, .. } if name.starts_with("issuing")),
    );
    hidden(
        "certificates",
        "no trust anchor",
        |e| matches!(e, Event::AuthorityCreated { name, .. } if name.starts_with("root")),
    );
    bent("certificates", "has another digest than recorded", |s| {
        if let Event::AuthorityCreated { certificate_sha256, .. } = &mut s.main[2].event {
            certificate_sha256.0[0] ^= 1;
        }
    });
    // The certificate of this device, told as if it were another's.
    let mut story = Story::good();
    let claim = Claim { device: other_device(), ..story.claim_at(story.now) };
    for draft in story.main.iter_mut().filter(|d| d.stream == device().into() && d.event.kind() > 2) {
        draft.stream = other_device().into();
    }
    let report = verify(&story.raw_bundle(&claim.to_text().unwrap()), &Default::default());
    let check = report.check("certificates").unwrap();
    assert_eq!((report.outcome, check.result), (Outcome::Contradicted, CheckResult::Failed));
    assert!(check.detail.contains("it names device"), "{check:?}");
}

// I4
#[test]
fn a_decision_that_the_chain_does_not_bear_out_is_refused() {
    let decided = |words: &str, bend: fn(&mut lanyard_domain::event::AccessRecord)| {
        honest("reading", words, |s| bend(s.decided()));
    };
    decided("refused it", |r| r.allowed = false);
    decided("names no policy", |r| r.policy.clear());
    decided("other evidence", |r| r.evidence_pos = None);
    decided("other evidence", |r| r.evidence_sha256 = Some(Digest([8; 32])));
    decided("other releases", |r| r.firmware = None);
    decided("not one of the device's valid ones", |r| r.certificate_sha256 = Some(Digest([8; 32])));
    decided("held the device untrusted", |r| r.verdict = Some(Verdict::Untrusted));
    decided("held the device untrusted", |r| r.verdict = None);
    decided("the gateway held it degraded", |r| r.verdict = Some(Verdict::Degraded));
    decided("to have heard what came after", |r| r.heard_pos = r.heard_pos.saturating_add(1));
}

// R81
#[test]
fn a_reading_that_was_not_taken_or_whose_gateway_does_not_serve_the_site_is_refused() {
    let complete = |words: &str, bend: fn(&mut Draft)| honest("reading", words, |s| bend(&mut s.gateway[2]));
    complete("answered with 500", |d| {
        if let Event::AccessCompleted { status, .. } = &mut d.event {
            *status = 500;
        }
    });
    bent("reading", "its completion is not", |s| {
        if let Event::AccessCompleted { decision, .. } = &mut s.gateway[2].event {
            *decision = lanyard_domain::id::DecisionId::from_random([1; 16]);
        }
    });
    let added = |e: &Event| matches!(e, Event::GatewayAdded { .. });
    honest("signatures", "not what was recorded", |s| {
        if let Event::GatewayAdded { site, .. } = &mut s.find(added).event {
            *site = "south-campus".to_owned();
        }
    });
    honest("reading", "serves site `south-campus`", |s| {
        if let Event::GatewayAdded { site, statement, .. } = &mut s.find(added).event {
            (*site, *statement) = ("south-campus".to_owned(), None);
        }
    });
    honest("reading", "the anchor does not hold", |s| {
        let anchor = |e: &Event| matches!(e, Event::GatewayCheckpointAnchored { .. });
        if let Event::GatewayCheckpointAnchored { gateway, .. } = &mut s.find(anchor).event {
            *gateway = lanyard_domain::id::GatewayId::from_random([1; 16]);
        }
    });
    let story = Story::good();
    let text = story.claim_at(story.now).to_text().unwrap();
    refused(&story.raw_bundle_with_gateway(&text), "reading", "the claim is not about a reading");
    refused(
        &story.raw_bundle(&story.claim_of_reading().to_text().unwrap()),
        "reading",
        "is not in the gateway's log",
    );
}

// I6
#[test]
fn a_reading_that_distrust_overtook_is_said_not_to_be_proven() {
    let mut story = Story::good();
    story.main.truncate(story.main.len() - 1);
    let anchor =
        story.main.iter().position(|d| matches!(d.event, Event::GatewayCheckpointAnchored { .. })).unwrap();
    let tail = story.main.split_off(anchor);
    story.now = story.main[anchor - 1].time;
    story.attest(b"tampered");
    story.now = story.now.plus_seconds(60);
    for draft in &mut story.gateway {
        draft.time = story.now;
    }
    let anchor = tail.into_iter().next().unwrap();
    story.add(anchor.kind, anchor.stream, anchor.actor, anchor.event);
    let report = verify(&story.bundle(&story.claim_of_reading()), &trust());
    assert_eq!(report.flaw, None);
    let reading = report.check("reading").unwrap();
    assert_eq!(reading.result, CheckResult::NotProven);
    assert!(reading.detail.contains("had heard only up to position"), "{reading:?}");
    assert!(report.not_proven.iter().any(|w| w.contains("had already recorded")));
}

#[test]
fn what_was_erased_is_not_proven_and_not_contradicted() {
    let erase = |fits: fn(&Event) -> bool| {
        let mut story = Story::good();
        let claim = story.claim_of_reading();
        story.find(fits).erased = true;
        verify(&story.bundle(&claim), &trust())
    };
    let unproven = |report: &Report| -> Vec<&'static str> {
        report.checks.iter().filter(|c| c.result == CheckResult::NotProven).map(|c| c.name).collect()
    };
    for (fits, names) in [
        (
            (|e| matches!(e, Event::DeviceRegistered { .. })) as fn(&Event) -> bool,
            &["events", "state", "stated verdict", "two people", "attestation"][..],
        ),
        (|e| matches!(e, Event::DeviceApproved { .. }), &["events", "state", "stated verdict", "two people"]),
        (
            |e| matches!(e, Event::OperatorAdded { public_key, .. } if *public_key == PEOPLE.sam.public_key()),
            &["events", "signatures"],
        ),
        (|e| matches!(e, Event::IssuanceIntended { .. }), &["events", "state", "stated verdict"]),
    ] {
        let report = erase(fits);
        assert_eq!((report.outcome, &report.flaw), (Outcome::PayloadErased, &None));
        assert_eq!(unproven(&report), names);
    }
}

#[test]
fn evidence_that_is_not_attached_is_said_not_to_be_proven() {
    let mut story = Story::good();
    story.evidence.clear();
    let report = verify(&story.bundle(&story.claim_of_reading()), &trust());
    assert_eq!((report.outcome, report.flaw.as_deref()), (Outcome::Proved, None));
    assert_eq!(report.check("attestation").unwrap().result, CheckResult::NotProven);
}
