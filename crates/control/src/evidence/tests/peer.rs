//! The Python verifier, written from `docs/evidence-bundle.md` and the event catalogue alone, agrees on the outcome: of
//! good bundles, of mutated ones, and of those that are structurally perfect and tell a lie.

use std::process::Command;

use lanyard_domain::compromise::CompromiseMode;
use lanyard_domain::event::{Appraisal, Event, StreamKind};
use lanyard_domain::maker::MakerReason;
use lanyard_domain::operator::Role;
use lanyard_domain::statement::Action;
use lanyard_domain::text::Digest;
use lanyard_domain::trust::Verdict;
use lanyard_ledger::bundle::Outcome;

use super::super::testkit::*;
use super::super::*;
use super::authorities::{ENDS, ISSUING, compromise, in_service, read_after};
use super::makers::{listed, other};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/interop/bundle/verify.py");

pub(super) type File = (String, Vec<u8>);

// R114, R115
#[test]
fn the_python_verifier_agrees_on_good_mutated_and_lying_bundles() {
    let mut files = good();
    let original = files[0].1.clone();
    let good_ones = files.len();
    files.extend(lies());
    let lies_end = files.len();
    files.extend(mutated(&original));
    let ours: Vec<String> =
        files.iter().map(|(_, bytes)| verify(bytes, &trust()).outcome.words().to_owned()).collect();
    let theirs = python(&files);
    assert_eq!(theirs.len(), files.len());
    for (index, (name, _)) in files.iter().enumerate() {
        assert_eq!(ours[index], theirs[index].0, "{name}: ours, then Python's ({})", theirs[index].1);
        let contradicted = ours[index] == Outcome::Contradicted.words();
        assert_eq!(contradicted, index >= good_ones, "{name}");
        let meant = (good_ones..lies_end).contains(&index);
        let part = name.split(':').next().unwrap_or_default();
        assert!(!meant || theirs[index].1 == part, "{name}: Python blames {}", theirs[index].1);
    }
}

fn file(name: &str, story: &Story, claim: &Claim) -> File {
    (name.to_owned(), story.bundle(claim))
}

/// Each with another outcome or another moment of a life.
fn good() -> Vec<File> {
    let mut story = Story::good();
    let reading = story.claim_of_reading();
    let mut files = vec![file("reading", &story, &reading)];
    for draft in story.main.clone().iter().skip(13) {
        if draft.stream == device().into() {
            files.push(file(&format!("state at {}", draft.time), &story, &story.claim_at(draft.time)));
        }
    }
    let erased = [
        |e: &Event| matches!(e, Event::DeviceRegistered { .. }),
        |e: &Event| matches!(e, Event::OperatorAdded { name, .. } if name == "Sam"),
        |e: &Event| matches!(e, Event::IssuanceIntended { .. }),
    ];
    for (n, fits) in erased.into_iter().enumerate() {
        let mut story = Story::good();
        story.find(fits).erased = true;
        files.push(file(&format!("erased {n}"), &story, &reading));
    }
    let last = story.now;
    for after in [1_000, 20_000, 100_000] {
        story.now = last.plus_seconds(after + 1);
        files.push(file(&format!("{after} s later"), &story, &story.claim_at(last.plus_seconds(after))));
    }
    story.attest(b"tampered");
    files.push(file("tampered and cut off", &story, &story.claim_at(story.now)));
    let story = listed();
    files.push(file("revoked by its maker", &story, &story.claim_at(story.now)));
    let mut story = Story::good();
    story.withdraw_release();
    files.push(file("release withdrawn", &story, &story.claim_at(story.now)));
    files.extend(authorities());
    let now = PEOPLE.bea.with_key_of(0x70);
    for erased in [false, true] {
        let mut story = Story::good();
        story.quarantined_and_released(&PEOPLE.bea);
        story.replace_key(&PEOPLE.ada, PEOPLE.bea.id, &now);
        story.quarantined_and_released(&now);
        story.find(|e| matches!(e, Event::OperatorKeyReplaced { .. })).erased = erased;
        files.push(file(&format!("key replaced, erased: {erased}"), &story, &story.claim_at(story.now)));
    }
    files
}

/// Readings from before an authority's end, and states after it.
fn authorities() -> Vec<File> {
    let mut files = Vec::new();
    for (how, end) in ENDS {
        let mut story = Story::good();
        let reading = story.claim_of_reading();
        end(&mut story, ISSUING);
        files.push(file(&format!("read before its authority was {how}"), &story, &reading));
        files.push(file(&format!("state when its authority is {how}"), &story, &story.claim_at(story.now)));
        let mut unheard = in_service();
        let heard = unheard.main.len() as u64 - 1;
        end(&mut unheard, ISSUING);
        unheard.read();
        unheard.decided().heard_pos = heard;
        unheard.attest(b"kernel");
        let reading = unheard.claim_of_reading();
        files.push(file(&format!("read without having heard that it was {how}"), &unheard, &reading));
        story.main.last_mut().unwrap().erased = true;
        files.push(file(&format!("{how}, withheld"), &story, &story.claim_at(story.now)));
    }
    let replaced = |story: &mut Story, name: &str| compromise(story, name, CompromiseMode::ReplaceFirst);
    let (story, claim) = read_after(replaced, ISSUING);
    files.push(file("read while it was being replaced", &story, &claim));
    files
}

/// Properly sealed, properly named after what is wrong: the part that Python must blame, then words.
fn lies() -> Vec<File> {
    let mut files = Vec::new();
    let good = Story::good();
    let claim = good.claim_of_reading();
    let mut claimed = |name: &str, bend: fn(&mut Claim)| {
        let mut claim = claim.clone();
        bend(&mut claim);
        files.push(file(name, &good, &claim));
    };
    claimed("log: another origin", |c| c.origin = "other".to_owned());
    claimed("successor: one event less", |c| c.as_of_pos -= 1);
    claimed("state: degraded", |c| c.state.verdict = Verdict::Degraded);
    claimed("state: serial", |c| c.state.serial = "A-999".to_owned());
    claimed("state: stage", |c| c.state.stage = "retired".to_owned());
    claimed("reading: status", |c| c.reading.as_mut().unwrap().status = 200);
    claimed("reading: request", |c| c.reading.as_mut().unwrap().request_sha256 = None);

    let mut story = Story::good();
    let before = story.claim_at(story.now);
    story.attest(b"tampered");
    let after = story.claim_at(story.now);
    let trusted = Claim { state: before.state.clone(), ..after };
    files.push(file("state: trusted where the chain says untrusted", &story, &trusted));
    let stale = Claim { at: story.now, ..before };
    files.push(file("successor: the older state as the newest", &story, &stale));
    let (story, lied) = called_good(story);
    files.push(file("attestation: tampered called good", &story, &lied));

    for (how, end) in ENDS {
        for name in [ISSUING, "root-g1"] {
            let (story, claim) = read_after(end, name);
            files.push(file(&format!("reading: its authority {name} was {how}"), &story, &claim));
        }
        let mut story = Story::good();
        let before = story.claim_at(story.now);
        end(&mut story, ISSUING);
        let lie = Claim { state: before.state, ..story.claim_at(story.now) };
        files.push(file(&format!("state: its authority was {how}"), &story, &lie));
    }

    let mut bent = |name: &str, bend: fn(&mut Story)| {
        let mut story = Story::good();
        bend(&mut story);
        files.push(file(name, &story, &claim));
    };
    bent("log: another key", |s| {
        if let Event::LedgerStarted { vkey, .. } = &mut s.main[0].event {
            vkey.push('x');
        }
    });
    bent("order: time goes back", |s| s.main[0].time = s.now);
    bent("signatures: by the key that was replaced", |s| {
        s.replace_key(&PEOPLE.ada, PEOPLE.bea.id, &PEOPLE.bea.with_key_of(0x70));
        s.quarantined_and_released(&PEOPLE.bea);
    });
    bent("signatures: by a key of later", |s| {
        let now = PEOPLE.bea.with_key_of(0x70);
        s.quarantined_and_released(&now);
        s.replace_key(&PEOPLE.ada, PEOPLE.bea.id, &now);
    });
    bent("signatures: replaced her own key", |s| {
        s.replace_key(&PEOPLE.ada, PEOPLE.ada.id, &PEOPLE.ada.with_key_of(0x70));
    });
    bent("signatures: another operator's key", |s| s.replace_key(&PEOPLE.ada, PEOPLE.bea.id, &PEOPLE.sam));
    bent("signatures: a key for somebody removed", |s| {
        let statement = PEOPLE.ada.sign(s.now, Action::RemoveOperator { operator: PEOPLE.bea.id });
        s.add(StreamKind::Operator, PEOPLE.bea.id, PEOPLE.ada.id, Event::OperatorRemoved { statement });
        s.replace_key(&PEOPLE.ada, PEOPLE.bea.id, &PEOPLE.bea.with_key_of(0x70));
    });
    bent("signatures: forged", |s| {
        let approved = |e: &Event| matches!(e, Event::DeviceApproved { .. });
        if let Event::DeviceApproved { statement, .. } = &mut s.find(approved).event {
            statement.signature.0[5] ^= 1;
        }
    });
    bent("signatures: not what was recorded", |s| {
        let registered = |e: &Event| matches!(e, Event::DeviceRegistered { .. });
        if let Event::DeviceRegistered { record, .. } = &mut s.find(registered).event {
            record.purpose = "dialysis".to_owned();
        }
    });
    bent("signatures: another actor", |s| {
        let approved = |e: &Event| matches!(e, Event::DeviceApproved { .. });
        s.find(approved).actor = PEOPLE.bea.id;
    });
    bent("attestation: nonce", |s| {
        let appraised = |e: &Event| matches!(e, Event::EvidenceAppraised { .. });
        if let Event::EvidenceAppraised { channel, .. } = &mut s.find(appraised).event {
            channel.0[0] ^= 1;
        }
    });
    bent("identity: another name", |s| {
        let bound = |e: &Event| matches!(e, Event::IdentityBound { .. });
        if let Event::IdentityBound { ak_name_sha256, .. } = &mut s.find(bound).event {
            ak_name_sha256.0[0] ^= 1;
        }
    });
    let mut decided = |name: &str, bend: fn(&mut Story)| {
        let mut story = Story::good();
        bend(&mut story);
        files.push(file(name, &story, &story.claim_of_reading()));
    };
    decided("reading: refused", |s| s.decided().allowed = false);
    decided("reading: other evidence", |s| s.decided().evidence_sha256 = Some(Digest([8; 32])));
    decided("reading: other certificate", |s| s.decided().certificate_sha256 = Some(Digest([8; 32])));
    decided("reading: untrusted", |s| s.decided().verdict = Some(Verdict::Untrusted));
    decided("reading: not taken", |s| {
        if let Event::AccessCompleted { status, .. } = &mut s.gateway[2].event {
            *status = 500;
        }
    });
    let mut story = Story::begin();
    story.register();
    story.approved_by(&PEOPLE.mia, Role::Security);
    story.approved_by(&PEOPLE.mia, Role::Biomedical);
    story.enroll();
    files.push(file("two people: one person twice", &story, &story.claim_at(story.now)));
    let mut by_list = |name: &str, bend: fn(&mut Story)| {
        let mut story = listed();
        bend(&mut story);
        files.push(file(name, &story, &story.claim_at(story.now)));
    };
    by_list("makers: another reason", |s| {
        let found = |e: &Event| matches!(e, Event::MakerRevocationFound { .. });
        if let Event::MakerRevocationFound { reason, .. } = &mut s.find(found).event {
            *reason = MakerReason::CaCompromise;
        }
    });
    by_list("makers: a list that was never taken", |s| {
        let found = |e: &Event| matches!(e, Event::MakerRevocationFound { .. });
        if let Event::MakerRevocationFound { list_sha256, .. } = &mut s.find(found).event {
            list_sha256.0[0] ^= 1;
        }
    });
    by_list("makers: believed although listed", |s| {
        let shown = |e: &Event| matches!(e, Event::MakerCertificatesShown { .. });
        if let Event::MakerCertificatesShown { certificates, .. } = &mut s.find(shown).event {
            certificates[0].serial = other().to_string();
        }
    });
    by_list("makers: another number", |s| {
        let taken = |e: &Event| matches!(e, Event::MakerListTaken { .. });
        if let Event::MakerListTaken { number, .. } = &mut s.find(taken).event {
            *number = Some("0x09".to_owned());
        }
    });
    let (story, lied) = other_key();
    files.push(file("attestation: another key", &story, &lied));
    files
}

/// The server calls the last, tampered state good.
fn called_good(mut story: Story) -> (Story, Claim) {
    let last = story.main.iter().rposition(|d| matches!(d.event, Event::EvidenceAppraised { .. })).unwrap();
    story.main.truncate(last + 1);
    if let Event::EvidenceAppraised { appraisal, firmware, findings, verdict, reasons, .. } =
        &mut story.main[last].event
    {
        (*appraisal, *firmware, *verdict) = (Appraisal::Affirming, Some(release()), Verdict::Trusted);
        findings.clear();
        reasons.clear();
    }
    let claim = story.claim_at(story.now);
    (story, claim)
}

/// A quote of another TPM under this device's name.
fn other_key() -> (Story, Claim) {
    let mut story = Story::good();
    let last = story.main.iter().rposition(|d| matches!(d.event, Event::EvidenceAppraised { .. })).unwrap();
    let Event::EvidenceAppraised { nonce, evidence_sha256, boot, .. } = &mut story.main[last].event else {
        unreachable!()
    };
    let bytes = SoftAk::new().evidence(b"kernel", &nonce.0, crate::appraise::clock_info(*boot));
    *evidence_sha256 = crate::digest::sha256(&bytes);
    story.evidence.push(bytes);
    let claim = story.claim_at(story.now);
    (story, claim)
}

/// Fifty changes of some bytes, the same in every run.
fn mutated(original: &[u8]) -> Vec<File> {
    let mut state = 0x1a2b_3c4d_5e6f_7081u64;
    let mut below = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    let mutate = |n: usize| {
        let mut bytes = original.to_vec();
        let at = below(bytes.len());
        match n % 4 {
            0 => bytes[at] ^= 1 << below(8),
            1 => bytes[at] = bytes[at].wrapping_add(1 + below(255) as u8),
            2 => drop(bytes.drain(at..(at + 1 + below(40)).min(original.len()))),
            _ => bytes.insert(at, below(256) as u8),
        }
        (format!("mutation {n}"), bytes)
    };
    (0..50).map(mutate).collect()
}

/// Outcome and part for each file, in order.
pub(super) fn python(files: &[File]) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let trust = trust();
    let mut command = Command::new("python3");
    command.arg(SCRIPT).arg("--log-vkey").arg(&trust.main_log_vkeys.unwrap()[0]).args(["--quorum", "1"]);
    command.arg("--witness").arg(&trust.witness_vkeys[0]);
    for (n, (_, bytes)) in files.iter().enumerate() {
        let path = folder.path().join(n.to_string());
        std::fs::write(&path, bytes).unwrap();
        command.arg(path);
    }
    let hint = "run `cargo xtask peers` for python3 with the package `cryptography`";
    let output = command.output().unwrap_or_else(|error| panic!("cannot start python3 ({error}): {hint}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && errors.is_empty(), "{errors}\n{hint}");
    let verdict = |line: &str| {
        let answer: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |member: &str| answer[member].as_str().unwrap_or_default().to_owned();
        (text("outcome"), text("part"))
    };
    String::from_utf8(output.stdout).unwrap().lines().map(verdict).collect()
}
