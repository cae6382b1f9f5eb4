//! What a maker revoked, in the chain and for whoever reads it later.

use lanyard_domain::device::{Command, Stage};
use lanyard_domain::endorsement::EndorsementUse;
use lanyard_domain::event::{AlarmCode, Event, RevocationReason, StreamKind};
use lanyard_domain::id::StreamId;
use lanyard_domain::maker::MakerReason;
use lanyard_domain::statement::Action;
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::trust::Verdict;
use lanyard_ledger::bundle::Outcome;
use lanyard_pki::serial::Serial;

use super::super::testkit::*;
use super::super::*;
use crate::makers::ask::Shown;

fn own() -> Serial {
    Serial::from_random([0x21; 16])
}

pub(super) fn other() -> Serial {
    Serial::from_random([0x22; 16])
}

/// In service, by hardware whose maker's list was asked and silent; then the next list names it.
pub(super) fn listed() -> Story {
    let mut story = Story::good();
    let first = story.take_maker_list(1, &[other()]);
    story.show_maker(own(), vec![first]);
    story.take_maker_list(2, &[other(), own()]);
    story.draw_from_lists();
    story
}

fn flaw(story: &Story) -> Option<String> {
    let claim = story.claim_at(story.now);
    verify(&story.bundle(&claim), &trust()).flaw
}

// R49, R61, I4
#[test]
fn a_device_that_its_maker_revoked_is_cut_off_and_the_bundle_proves_why() {
    let mut story = listed();
    let world = story.world();
    let found = world.devices[&device()].clone();
    assert!(matches!(found.stage, Stage::Quarantined { .. }), "{:?}", found.stage);
    assert_eq!(found.barred, Some(RevocationReason::Compromised));
    assert!(found.certificates.is_empty());
    assert_eq!(found.recorded, Verdict::Untrusted);
    let trust_now = lanyard_domain::trust::evaluate(&found, &world.releases, story.now);
    assert!(trust_now.reasons.iter().any(|r| r.code == "maker_revoked"), "{:?}", trust_now.reasons);
    let alarm = |d: &Draft| matches!(d.event, Event::AlarmRaised { code: AlarmCode::MakerRevoked, .. });
    assert!(story.main.iter().any(alarm));
    assert!(world.newly_listed().is_empty(), "drawn once");
    let before = story.main.len();
    story.draw_from_lists();
    assert_eq!(story.main.len(), before);

    let claim = story.claim_at(story.now);
    let report = verify(&story.bundle(&claim), &trust());
    assert_eq!(report.flaw, None);
    assert_ne!(report.outcome, Outcome::Contradicted);
    let check = report.checks.iter().find(|c| c.name == "makers").unwrap();
    assert!(
        check.detail.contains("asked 1 times") && check.detail.contains("1 revocations"),
        "{}",
        check.detail
    );
}

// R49, R39: nobody vouches for a key in its maker's place; when the maker takes it back, people decide.
#[test]
fn a_person_lets_it_in_again_only_when_the_maker_took_it_back() {
    let mut story = listed();
    assert!(story.world().kept_out_by_maker(device()).is_some());
    story.take_maker_list(3, &[other()]);
    let world = story.world();
    assert_eq!(world.kept_out_by_maker(device()), None);
    assert!(matches!(world.devices[&device()].stage, Stage::Quarantined { .. }), "a person decides");
    // And should the maker revoke it once more, it is drawn once more.
    story.take_maker_list(4, &[own()]);
    assert_eq!(story.world().newly_listed().len(), 1);
}

// R49, I7
#[test]
fn what_follows_depends_on_the_makers_reason() {
    let mut story = Story::good();
    let list = story.take_maker_list(1, &[]);
    story.show_maker(own(), vec![list]);
    let world = story.world();
    let device = &world.devices[&device()];
    let finding = |reason| lanyard_domain::maker::MakerFinding {
        list_sha256: list,
        certificate: lanyard_domain::maker::MakerCertificate {
            issuer_sha256: Digest::default(),
            serial: own().to_string(),
        },
        revoked_at: None,
        reason,
    };
    let after = |reason| {
        let commands = vec![Command::FindMakerRevocation(finding(reason))];
        let events = crate::plane::decide_all(&world, device, commands, story.now).unwrap();
        let has = |wanted: fn(&Event) -> bool| events.iter().any(wanted);
        (
            has(|e| matches!(e, Event::DeviceQuarantined { .. })),
            has(|e| matches!(e, Event::CertificateRevoked { .. })),
            has(|e| matches!(e, Event::AlarmRaised { .. })),
        )
    };
    assert_eq!(after(MakerReason::KeyCompromise), (true, true, true));
    assert_eq!(after(MakerReason::Unspecified), (true, true, true));
    assert_eq!(after(MakerReason::CertificateHold), (true, false, true));
    assert_eq!(after(MakerReason::Superseded), (false, false, true));
}

// R34, R35, R66
#[test]
fn hardware_is_believed_as_its_tier_demands() {
    use lanyard_domain::tier::Tier;
    let mut story = Story::good();
    let first = story.take_maker_list(1, &[other()]);
    story.show_maker(own(), vec![first]);
    let world = story.world();
    let root = &world.endorsements[0];
    let issuer = world.maker_lists.values().next().unwrap().issuer;
    let shown = |serial: Serial| Shown {
        endorsement: root.sha256,
        certificates: vec![lanyard_domain::maker::MakerCertificate {
            issuer_sha256: issuer,
            serial: serial.to_string(),
        }],
    };
    let code = |shown: &Shown, tier, at| world.believes_maker(shown, tier, at).err().map(|r| r.code);
    let (now, late) = (story.now, story.now.plus_seconds(30 * 86_400));
    for tier in Tier::ALL {
        assert_eq!(code(&shown(own()), tier, now), None);
        assert_eq!(code(&shown(other()), tier, now).as_deref(), Some("maker_revoked"));
        assert_eq!(
            code(&shown(other()), tier, late).as_deref(),
            Some("maker_revoked"),
            "it does not wear off"
        );
        let must_know = matches!(tier, Tier::Critical | Tier::High);
        let stale = code(&shown(own()), tier, late);
        assert_eq!(stale.as_deref(), must_know.then_some("maker_list_stale"), "{tier}");
    }
    let refused = world.believes_maker(&shown(other()), Tier::Low, now).unwrap_err();
    for part in ["0x01", &other().to_string(), "key_compromise", "as of", "lanyard endorsement revocations"] {
        assert!(refused.text.contains(part), "`{part}`: {}", refused.text);
    }
    // Another issuer's lists do not speak of it.
    let mut foreign = shown(other());
    foreign.certificates[0].issuer_sha256 = Digest([9; 32]);
    assert_eq!(code(&foreign, Tier::Critical, late), None);
    // What cannot be compared is not believed where there is a list to compare it with.
    let nothing = Shown { endorsement: root.sha256, certificates: vec![] };
    assert_eq!(code(&nothing, Tier::Low, now).as_deref(), Some("maker_certificate_unreadable"));
}

// R114, R34
#[test]
fn a_story_that_the_lists_do_not_tell_is_refused() {
    let refused = |words: &str, bend: &dyn Fn(&mut Story)| {
        let mut story = listed();
        bend(&mut story);
        let flaw = flaw(&story).unwrap_or_default();
        assert!(flaw.starts_with("makers: ") && flaw.contains(words), "{words}: {flaw}");
    };
    let found = |e: &Event| matches!(e, Event::MakerRevocationFound { .. });
    refused("does not say that", &|s| {
        let Event::MakerRevocationFound { reason, .. } = &mut s.find(found).event else { unreachable!() };
        *reason = MakerReason::CaCompromise;
    });
    refused("does not say that", &|s| {
        let Event::MakerRevocationFound { issuer_sha256, .. } = &mut s.find(found).event else {
            unreachable!()
        };
        issuer_sha256.0[0] ^= 1;
    });
    refused("not shown as taken before", &|s| {
        let Event::MakerRevocationFound { list_sha256, .. } = &mut s.find(found).event else {
            unreachable!()
        };
        list_sha256.0[0] ^= 1;
    });
    refused("was believed whose certificate", &|s| {
        let shown = |e: &Event| matches!(e, Event::MakerCertificatesShown { .. });
        let Event::MakerCertificatesShown { certificates, .. } = &mut s.find(shown).event else {
            unreachable!()
        };
        certificates[0].serial = other().to_string();
    });
    let taken = |e: &Event| matches!(e, Event::MakerListTaken { .. });
    refused("says otherwise than recorded", &|s| {
        let Event::MakerListTaken { number, .. } = &mut s.find(taken).event else { unreachable!() };
        *number = Some("0x09".to_owned());
    });
}

// R114
#[test]
fn a_quarantine_by_a_list_needs_the_finding_right_before_it() {
    let mut story = listed();
    let at = story.main.iter().position(|d| matches!(d.event, Event::MakerRevocationFound { .. })).unwrap();
    story.main.remove(at);
    let flaw = flaw(&story).unwrap_or_default();
    assert!(flaw.contains("neither person nor evidence"), "{flaw}");
}

// R114, I12: the longest list that is taken has a place in an evidence file.
#[test]
fn the_longest_list_fits_into_a_bundle() {
    let mut story = Story::good();
    let many = (0..13_300u16).map(|n| {
        let mut bytes = [0x31; 16];
        bytes[1..3].copy_from_slice(&n.to_be_bytes());
        Serial::from_random(bytes)
    });
    let revoked: Vec<Serial> = many.collect();
    let list = story.take_maker_list(1, &revoked);
    story.show_maker(own(), vec![list]);
    let taken = story.main.iter().rfind(|d| matches!(d.event, Event::MakerListTaken { .. })).unwrap();
    let bytes = taken.event.to_payload().unwrap().len();
    assert!((850_000..1 << 20).contains(&bytes), "{bytes}");
    assert_eq!(flaw(&story), None);
}

// R34, R49: a status list knows no issuers; whoever is below its authority is found by serial number.
#[test]
fn a_status_list_finds_a_device_by_its_authority() {
    let mut story = Story::good();
    let accepted = |e: &Event| matches!(e, Event::EndorsementAdded { .. });
    let Event::EndorsementAdded { uses, certificate_sha256, .. } = &mut story.find(accepted).event else {
        unreachable!()
    };
    *uses = vec![EndorsementUse::Ek, EndorsementUse::AndroidKey];
    let authority_sha256 = *certificate_sha256;
    story.show_maker(own(), vec![]);
    let list = format!(r#"{{"entries":{{"{}":{{"status":"REVOKED","reason":"SOFTWARE_FLAW"}}}}}}"#, own());
    let list_sha256 = crate::digest::sha256(list.as_bytes());
    let action = Action::TakeMakerList { authority_sha256, issuers: vec![], list: Blob(list.into_bytes()) };
    let taken = Event::MakerListTaken {
        authority_sha256,
        issuers: vec![],
        list_sha256,
        number: None,
        this_update: story.now,
        next_update: None,
        statement: PEOPLE.sam.sign(story.now, action),
    };
    story.add(StreamKind::System, StreamId::SYSTEM, PEOPLE.sam.id, taken);
    let found = story.world().newly_listed();
    assert_eq!(found[&device()][0].listed.reason, MakerReason::SoftwareFlaw);
    story.draw_from_lists();
    assert!(story.world().newly_listed().is_empty());
    let world = story.world();
    let shown = Shown { endorsement: authority_sha256, certificates: story_certificate(&story) };
    let refused = world.believes_maker(&shown, lanyard_domain::tier::Tier::Low, story.now).unwrap_err();
    assert_eq!(refused.code, "maker_revoked");
}

/// What the story's device showed.
fn story_certificate(story: &Story) -> Vec<lanyard_domain::maker::MakerCertificate> {
    let shown = story.main.iter().find_map(|d| match &d.event {
        Event::MakerCertificatesShown { certificates, .. } => Some(certificates.clone()),
        _ => None,
    });
    shown.unwrap()
}
