//! What a certificate proves ends with its authority (L1): retired, compromised, revoked. What came before stays proven.

use lanyard_domain::compromise::{CompromiseMode, CompromisePlan, Deadlines};
use lanyard_domain::event::{Event, StreamKind};
use lanyard_domain::id::{OperatorId, StreamId};
use lanyard_domain::statement::Action;
use lanyard_domain::trust::Verdict;
use lanyard_ledger::bundle::Outcome;

use super::super::testkit::*;
use super::super::*;

/// The authority that issued the device's certificate.
pub(super) const ISSUING: &str = "issuing-g1";

fn system(story: &mut Story, actor: OperatorId, event: Event) {
    story.add(StreamKind::System, StreamId::SYSTEM, actor, event);
}

/// Declared by one person, confirmed by another.
pub(super) fn compromise(story: &mut Story, name: &str, mode: CompromiseMode) {
    let plan = CompromisePlan { mode, per_minute: 600, deadlines: Deadlines::all(3_600) };
    let (name, successor) = (name.to_owned(), "issuing-g2".to_owned());
    let action = Action::DeclareCompromise { name: name.clone(), successor: successor.clone(), plan };
    let statement = PEOPLE.ada.sign(story.now, action);
    let declared = Event::AuthorityCompromiseDeclared {
        name: name.clone(),
        successor: successor.clone(),
        plan,
        statement,
    };
    system(story, PEOPLE.ada.id, declared);
    let action = Action::ConfirmCompromise { name: name.clone(), successor: successor.clone(), plan };
    let statement = PEOPLE.sam.sign(story.now, action);
    let confirmed = Event::AuthorityCompromiseConfirmed { name, successor, plan, statement };
    system(story, PEOPLE.sam.id, confirmed);
}

pub(super) fn retire(story: &mut Story, name: &str) {
    let name = name.to_owned();
    let statement = PEOPLE.ada.sign(story.now, Action::RetireAuthority { name: name.clone() });
    system(story, PEOPLE.ada.id, Event::AuthorityRetired { name, statement });
}

fn revoke(story: &mut Story, name: &str) {
    let event = Event::AuthorityRevoked { name: name.to_owned(), serial: "02".to_owned() };
    system(story, OperatorId::from_bytes([0; 16]), event);
}

/// What is done to a story about the authority with this name.
type End = fn(&mut Story, &str);

/// Each ends an authority, in its own way.
pub(super) const ENDS: [(&str, End); 3] = [
    ("retired", retire),
    ("distrusted", |story, name| compromise(story, name, CompromiseMode::DistrustNow)),
    ("revoked", |story, name| {
        compromise(story, name, CompromiseMode::ReplaceFirst);
        revoke(story, name);
    }),
];

/// In service, with a certificate of [`ISSUING`]; nothing read yet.
pub(super) fn in_service() -> Story {
    let mut story = Story::begin();
    story.register();
    story.approve();
    story.enroll();
    story.attest(b"kernel");
    story
}

/// Honestly exported: a gateway let it through after all.
pub(super) fn read_after(end: End, name: &str) -> (Story, Claim) {
    let mut story = in_service();
    end(&mut story, name);
    story.read();
    story.attest(b"kernel");
    let claim = story.claim_of_reading();
    (story, claim)
}

// R115, I4
#[test]
fn a_reading_by_a_certificate_whose_authority_had_ended_is_refused() {
    for (how, end) in ENDS {
        // The one above it, too: nothing below a root that is trusted no more counts.
        for name in [ISSUING, "root-g1"] {
            let (story, claim) = read_after(end, name);
            let report = verify(&story.bundle(&claim), &trust());
            let flaw = report.flaw.unwrap_or_else(|| panic!("{name} {how}: not refused"));
            assert!(
                flaw.starts_with("reading: ") && flaw.contains(&format!("`{name}`")),
                "{name} {how}: {flaw}"
            );
            assert_eq!(report.outcome, Outcome::Contradicted);
        }
    }
}

// R114, I4: what came later does not change what was.
#[test]
fn a_reading_from_before_its_authority_ended_stays_proved() {
    for (how, end) in ENDS {
        let mut story = Story::good();
        end(&mut story, ISSUING);
        story.attest(b"kernel");
        let report = verify(&story.bundle(&story.claim_of_reading()), &trust());
        assert_eq!((report.outcome, report.flaw), (Outcome::Proved, None), "{how}");
    }
}

// R114
#[test]
fn a_devices_state_counts_no_certificate_of_an_authority_that_has_ended() {
    for (how, end) in ENDS {
        let mut story = Story::good();
        let before = story.claim_at(story.now);
        assert_eq!((before.state.certificates.len(), before.state.verdict), (1, Verdict::Trusted));
        end(&mut story, ISSUING);
        let after = story.claim_at(story.now);
        assert_eq!((after.state.certificates.len(), after.state.verdict), (0, Verdict::Untrusted), "{how}");
        assert_eq!(verify(&story.bundle(&after), &trust()).flaw, None, "{how}");
        let lie = Claim { state: before.state, ..after };
        let report = verify(&story.bundle(&lie), &trust());
        assert!(report.flaw.is_some_and(|f| f.starts_with("state: ")), "{how}");
    }
}

// I7: replaced first, revoked after: until then its certificates are good.
#[test]
fn a_compromise_that_replaces_first_and_the_end_of_another_authority_change_nothing() {
    let replaced = |story: &mut Story, name: &str| compromise(story, name, CompromiseMode::ReplaceFirst);
    let (story, claim) = read_after(replaced, ISSUING);
    assert_eq!(verify(&story.bundle(&claim), &trust()).outcome, Outcome::Proved);
    let (story, claim) = read_after(retire, "issuing-g0");
    let bytes = story.bundle(&claim);
    assert_eq!(verify(&bytes, &trust()).outcome, Outcome::Proved);
    // Nor does the name of who ended it go out.
    let shown = lanyard_ledger::bundle::verify(&bytes, &trust()).unwrap();
    let retired = Event::AuthorityRetired {
        name: String::new(),
        statement: PEOPLE.ada.sign(START, Action::RetireAuthority { name: String::new() }),
    };
    assert!(shown.leaves.iter().all(|leaf| leaf.header.kind != retired.kind()));
}

// R115: a gateway that is cut off goes on for as long as its tier allows; the reader must know.
#[test]
fn an_end_that_the_gateway_had_not_heard_of_is_said() {
    for (how, end) in ENDS {
        let mut story = in_service();
        let heard = story.main.len() as u64 - 1;
        end(&mut story, ISSUING);
        story.read();
        story.decided().heard_pos = heard;
        story.attest(b"kernel");
        let report = verify(&story.bundle(&story.claim_of_reading()), &trust());
        assert_eq!(report.flaw, None, "{how}");
        let reading = report.check("reading").unwrap();
        assert_eq!(reading.result, CheckResult::NotProven, "{how}");
        assert!(reading.detail.contains("had heard only up to position"), "{how}: {}", reading.detail);
    }
}

#[test]
fn an_end_that_is_not_opened_leaves_the_state_unproven() {
    let mut story = Story::good();
    retire(&mut story, ISSUING);
    let claim = story.claim_at(story.now);
    story.main.last_mut().unwrap().erased = true;
    let report = verify(&story.bundle(&claim), &trust());
    assert_eq!(report.check("state").map(|c| c.result), Some(CheckResult::NotProven));
    assert_eq!(report.outcome, Outcome::PayloadErased);
}

#[test]
fn that_an_end_could_be_left_out_is_said() {
    let mut story = Story::good();
    let claim = story.claim_of_reading();
    story.attest(b"kernel");
    let report = verify(&story.bundle(&claim), &trust());
    assert!(report.not_proven.iter().any(|w| w.contains("authority")), "{:?}", report.not_proven);
}
