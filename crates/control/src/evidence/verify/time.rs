//! When: time is bracketed by the log, not believed; and what stays unproven whatever a bundle holds.

use lanyard_domain::event::Event;

use super::{Case, Finding, Horizon, not_proven, passed};

/// The evidence that the claim rests on came after one leaf and before another.
pub(super) fn bracket(case: &Case<'_>) -> Finding {
    let Some(line) = case.claim.state.evidence_pos.and_then(|pos| case.main.at(pos)) else {
        return passed("the claim rests on no evidence");
    };
    let Some(Event::EvidenceAppraised { checkpoint_size, .. }) = &line.event else {
        return not_proven("the appraisal that the claim rests on was erased or is withheld");
    };
    let earlier = case.main.lines().iter().rev().find(|l| l.pos() < *checkpoint_size);
    let after = earlier.map_or_else(
        || "an unknown time".to_owned(),
        |l| format!("the leaf at position {} ({})", l.pos(), l.time()),
    );
    passed(format!(
        "the evidence was made after {after}, since its nonce names the checkpoint of size {checkpoint_size}, and \
         before the leaf at position {} ({})",
        line.pos(),
        line.time()
    ))
}

/// What no bundle of this format proves.
pub(super) fn words(case: &Case<'_>) -> Vec<String> {
    let mut words = Vec::new();
    if case.claim.state.evidence_pos.is_some() {
        words.push(
            "the checkpoint that the evidence's nonce names is not itself shown to be an ancestor of the bundle's \
             checkpoint"
                .to_owned(),
        );
        words.push(
            "the maker's endorsement certificate of the hardware key is not in the bundle: that the key is in a TPM \
             rests on the log's record that it was activated"
                .to_owned(),
        );
    }
    words.push(
        "a withdrawal of a release, or the end of an authority (retired, compromised), that no event of the device's chain \
         reflects yet could be left out"
            .to_owned(),
    );
    let bootstrapped = case
        .main
        .lines()
        .iter()
        .any(|l| matches!(l.event, Some(Event::OperatorAdded { statement: None, .. })));
    if bootstrapped {
        words
            .push("the first operator was admitted by the bootstrap secret, on the server's word".to_owned());
    }
    let own = |l: &super::Line| matches!(l.event, Some(Event::GatewayAdded { statement: None, .. }));
    if case.main.lines().iter().any(own) {
        words.push(
            "the gateway runs in the server's own process and was admitted on the server's word".to_owned(),
        );
    }
    if let Horizon::Heard(pos) = case.horizon {
        words.push(format!(
            "the device's state is that of position {pos}, up to which the gateway had heard, at the gateway's time"
        ));
    }
    words
}
