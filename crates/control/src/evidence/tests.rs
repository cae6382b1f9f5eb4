//! What the checks say yes to, and for each of them a bundle to which it says no.

mod authorities;
mod catalogue;
mod exporter;
mod makers;
mod peer;
mod refusals;
mod rights;
mod snapshot;

use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::{Strength, Verdict};
use lanyard_ledger::bundle::Outcome;

use super::testkit::*;
use super::*;

fn report(story: &Story, claim: &Claim) -> Report {
    verify(&story.bundle(claim), &trust())
}

// R81, R114, R115, I4
#[test]
fn a_reading_of_a_device_in_an_approved_state_is_proved() {
    let story = Story::good();
    let claim = story.claim_of_reading();
    assert_eq!((claim.state.verdict, claim.state.strength), (Verdict::Trusted, Strength::Evaluated));
    let report = report(&story, &claim);
    assert_eq!((report.outcome, &report.flaw), (Outcome::Proved, &None));
    for check in &report.checks {
        assert_eq!(check.result, CheckResult::Passed, "{check:?}");
    }
    let reading = &report.check("reading").unwrap().detail;
    assert!(reading.contains("create Observation"), "{reading}");
    let time = &report.check("time").unwrap().detail;
    assert!(time.contains("after the leaf at position"), "{time}");
    assert!(report.not_proven.iter().any(|w| w.contains("epoch map")));
    assert!(report.not_proven.iter().any(|w| w.contains("ancestor")));
    assert_eq!(report.claim, Some(claim));
}

// R114
#[test]
fn a_state_at_a_time_is_proved_for_each_moment_of_a_life() {
    let story = Story::good();
    let times: Vec<Timestamp> = story.main.iter().map(|d| d.time).collect();
    let registered = story.main.iter().position(|d| d.stream == device().into()).unwrap();
    let mut verdicts = Vec::new();
    for at in times.into_iter().skip(registered) {
        let claim = story.claim_at(at);
        let report = report(&story, &claim);
        assert_eq!((report.outcome, report.flaw), (Outcome::Proved, None), "{at}");
        verdicts.push((claim.state.stage.clone(), claim.state.verdict));
    }
    verdicts.dedup();
    let stages: Vec<&str> = verdicts.iter().map(|(stage, _)| stage.as_str()).collect();
    assert_eq!(stages, ["registered", "approved", "in-service"]);
    assert_eq!(verdicts.last().unwrap().1, Verdict::Trusted);
}

// R114, I5
#[test]
fn without_word_from_the_device_the_proven_verdict_decays() {
    let mut story = Story::good();
    let last = story.now;
    for (after, verdict) in [(60, Verdict::Trusted), (1_000, Verdict::Degraded), (20_000, Verdict::Untrusted)]
    {
        story.now = last.plus_seconds(after + 1);
        let claim = story.claim_at(last.plus_seconds(after));
        assert_eq!(claim.state.verdict, verdict);
        assert_eq!(report(&story, &claim).flaw, None, "{after}");
    }
}

// R81
#[test]
fn a_tampered_device_is_proven_to_have_been_cut_off() {
    let mut story = Story::good();
    story.attest(b"tampered");
    let claim = story.claim_at(story.now);
    assert_eq!((claim.state.stage.as_str(), claim.state.verdict), ("quarantined", Verdict::Untrusted));
    assert_eq!(report(&story, &claim).flaw, None);
    // The reading before it stays proven: what came later does not change what was.
    assert_eq!(report(&story, &story.claim_of_reading()).outcome, Outcome::Proved);
}

#[test]
fn a_withdrawn_release_ends_trust_from_that_moment_on() {
    let mut story = Story::good();
    let before = story.now;
    story.withdraw_release();
    let after = story.now;
    assert_eq!(story.claim_at(before).state.verdict, Verdict::Trusted);
    let claim = story.claim_at(after);
    assert_eq!(claim.state.verdict, Verdict::Untrusted);
    assert_eq!(report(&story, &claim).flaw, None);
}

#[test]
fn a_release_withdrawn_between_an_appraisal_and_its_record_contradicts_nothing() {
    let mut story = Story::good();
    let facts = story.appraise(lanyard_attest::freshness::Purpose::Attest, b"kernel");
    story.withdraw_release();
    let record = lanyard_domain::device::Command::RecordAppraisal(facts);
    story.decide(vec![record], lanyard_domain::id::OperatorId::from_bytes([0; 16]));
    let claim = story.claim_at(story.now);
    // Good evidence of a release that is withdrawn by now: the fold still objects.
    assert_eq!(claim.state.verdict, Verdict::Untrusted);
    let report = report(&story, &claim);
    assert_eq!((report.flaw.as_deref(), report.outcome), (None, Outcome::Proved));
}

#[test]
fn trust_in_the_log_is_an_input_and_lowers_the_word() {
    let story = Story::good();
    let bytes = story.bundle(&story.claim_of_reading());
    let unwitnessed = verify(&bytes, &Default::default());
    assert_eq!(unwitnessed.outcome, Outcome::ProvedUnwitnessed);
    assert!(unwitnessed.not_proven.iter().any(|w| w.contains("fingerprint")));
    let pinned_other = lanyard_ledger::bundle::TrustPolicy {
        main_log_vkeys: Some(vec!["other+00000000+AA".to_owned()]),
        ..trust()
    };
    let refused = verify(&bytes, &pinned_other);
    assert_eq!((refused.outcome, refused.checks.len()), (Outcome::Contradicted, 1));
}

// I12
#[test]
fn a_claim_with_unknown_missing_or_repeated_members_is_refused() {
    let text = Story::good().claim_of_reading().to_text().unwrap();
    assert_eq!(Claim::parse(text.as_bytes()).unwrap().to_text().unwrap(), text);
    for bad in [
        text.replacen("\"at\"", "\"When\"", 1),
        text.replacen("\"origin\"", "\"x\":1,\"origin\"", 1),
        text.replacen("\"stage\"", "\"extra\":null,\"stage\"", 1),
        text.replacen("\"origin\"", "\"device\":\"x\",\"origin\"", 1),
        text.replacen(CLAIM_FORMAT, "lanyard-claim/2", 1),
        text.replacen("\"trusted\"", "\"splendid\"", 1),
        format!("{text}x"),
    ] {
        assert!(Claim::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    for length in 0..text.len() {
        assert!(Claim::parse(&text.as_bytes()[..length]).is_err(), "{length}");
    }
    assert!(Claim::parse(&vec![b' '; (1 << 20) + 1]).is_err());
}

// R115, I12
#[test]
fn a_flipped_bit_anywhere_is_refused_before_any_meaning_is_read() {
    let story = Story::good();
    let mut bytes = story.bundle(&story.claim_of_reading());
    // Every bit is the ledger's own test; here, that its answer is passed on.
    for bit in (0..bytes.len() * 8).step_by(997) {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let report = verify(&bytes, &trust());
        assert_eq!((report.outcome, report.checks.len()), (Outcome::Contradicted, 1), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    for length in (0..bytes.len()).step_by(211) {
        assert_eq!(verify(&bytes[..length], &trust()).outcome, Outcome::Contradicted);
    }
}
