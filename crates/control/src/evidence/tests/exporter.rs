//! The exporter: it asks for what is needed, leaves out what is not, and hands out nothing that does not verify.

use std::collections::HashMap;

use lanyard_domain::event::{Event, StreamKind};

use super::super::testkit::*;
use super::super::*;

#[test]
fn the_exporter_asks_for_signers_releases_gateway_and_evidence() {
    let story = Story::good();
    let claim = story.claim_of_reading();
    let world = story.world();
    let all = Sealed::new(ORIGIN, 1, &story.main).history();
    let only = |wanted: &dyn Fn(&Line) -> bool| {
        History::new(all.lines().iter().filter(|l| wanted(l)).cloned().collect())
    };
    let chain = only(&|l| l.is_of(StreamKind::Device, device()));
    let first = related(&chain, device(), &world.releases, None);
    let people = &*PEOPLE;
    assert_eq!(first.operators, [people.rita.id, people.sam.id, people.bea.id]);
    assert_eq!(first.releases, [release()]);
    assert_eq!((first.gateway, first.attachments.len(), first.endorsements.len()), (None, 0, 1));
    // Once their leaves are loaded, whoever added them is asked for too; Mia signed nothing and is not.
    let more = related(&all, device(), &world.releases, Some(&claim));
    assert_eq!(more.operators, [people.ada.id, people.rita.id, people.sam.id, people.bea.id]);
    assert_eq!(more.gateway, Some(gateway()));
    assert_eq!(more.attachments, [claim.state.evidence_sha256.unwrap()]);
    assert_eq!(related(&all, device(), &HashMap::new(), Some(&claim)).operators, more.operators);
}

// R100
#[test]
fn nothing_about_others_goes_into_a_bundle() {
    let story = Story::good();
    let bytes = story.bundle(&story.claim_of_reading());
    let verified = lanyard_ledger::bundle::verify(&bytes, &trust()).unwrap();
    for leaf in &verified.leaves {
        assert_ne!(leaf.header.stream, *other_device().as_bytes());
        assert_ne!(leaf.header.stream, *PEOPLE.mia.id.as_bytes());
    }
    assert_eq!(verified.attachments.len(), 1);
}

#[test]
fn a_bundle_that_is_contradicted_is_not_handed_out() {
    let story = Story::good();
    let claim = story.claim_of_reading();
    let text = claim.to_text().unwrap();
    let main = story.sealed(&text, &PEOPLE.sam);
    assert!(story.with_parts(&text, &main, assemble).is_ok());
    let mut lie = claim.clone();
    lie.state.serial = "A-999".to_owned();
    let text = lie.to_text().unwrap();
    let main = story.sealed(&text, &PEOPLE.sam);
    let refused = story.with_parts(&text, &main, assemble).unwrap_err();
    assert!(matches!(refused, CollectError::Contradicted(_)), "{refused}");
}

#[test]
fn no_claim_is_made_of_what_is_not_there() {
    let story = Story::good();
    let history = Sealed::new(ORIGIN, 1, &story.main).history();
    let make = |subject| make_claim(&history, ORIGIN, device(), subject, story.now);
    let before = Subject::Device { at: START };
    assert!(matches!(make(before), Err(CollectError::NoState(_))));
    let later = Subject::Device { at: story.now.plus_seconds(1) };
    assert!(matches!(make(later), Err(CollectError::Future(_))));
    let lines: Vec<Line> = story.sealed_gateway().leaves.iter().map(|l| l.line().unwrap()).collect();
    for (decided, completed) in [(&lines[0], &lines[2]), (&lines[2], &lines[1]), (&lines[1], &lines[1])] {
        let subject = Subject::Reading { decided, completed };
        assert!(matches!(make(subject), Err(CollectError::NotAReading)));
    }
    let text = story.claim_of_reading().to_text().unwrap();
    let open = Sealed::new(ORIGIN, 1, &story.main);
    let refused = story.with_parts(&text, &open, assemble).unwrap_err();
    assert!(matches!(refused, CollectError::NotClosed(_)), "{refused}");
}

#[test]
fn what_comes_after_the_export_is_left_out_and_an_earlier_export_stays() {
    let mut story = Story::good();
    let claim = story.claim_of_reading();
    let text = claim.to_text().unwrap();
    let claim_sha256 = Claim::digest_of(&text);
    let action = lanyard_domain::statement::Action::ExportEvidence { device: device(), claim_sha256 };
    let statement = PEOPLE.bea.sign(story.now, action);
    let exported = Event::EvidenceExported { claim_sha256, statement };
    story.add(StreamKind::Device, device(), PEOPLE.bea.id, exported);
    story.attest(b"kernel");
    let main = story.sealed(&text, &PEOPLE.sam);
    assert!(story.with_parts(&text, &main, assemble).is_ok());
}
