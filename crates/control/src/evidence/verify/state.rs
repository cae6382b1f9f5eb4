//! The device's state: the closing leaf, nothing in between, and the claim equals what the chain folds to.

use lanyard_domain::event::Event;
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::Verdict;

use super::super::claim::{Claim, DeviceState};
use super::super::history::state_at;
use super::{Case, Finding, Horizon, Line, not_proven, passed};
use crate::digest::sha256;

/// The leaf that closes the claim is an export of this very claim, on the stream of the claimed device.
pub(super) fn closing(case: &Case<'_>) -> Finding {
    let line = closing_line(case)?;
    match &line.event {
        Some(Event::EvidenceExported { claim_sha256, .. })
            if line.is_of(lanyard_domain::event::StreamKind::Device, case.claim.device)
                && *claim_sha256 == sha256(case.verified.claim) =>
        {
            passed(format!("exported at position {}, {}", line.pos(), line.time()))
        }
        _ => {
            Err(format!("the leaf at position {} is not an export of evidence about this device", line.pos()))
        }
    }
}

fn closing_line<'a>(case: &'a Case<'_>) -> Result<&'a Line, String> {
    let leaf = case.verified.leaves.get(case.verified.closing);
    leaf.and_then(|leaf| case.main.at(leaf.header.pos)).ok_or_else(|| "there is no closing leaf".to_owned())
}

/// The claim counts the chain from its first event up to the last one within the horizon; the next one lies beyond it.
pub(super) fn successor(case: &Case<'_>) -> Finding {
    let Claim { device, as_of_pos, .. } = *case.claim;
    match case.chain().next() {
        Some(first) if first.header.seq == 0 => {}
        _ => return Err("the chain is not shown from its first event".to_owned()),
    }
    let last =
        case.main.as_of(device, case.horizon).ok_or("no event of the device lies before that moment")?;
    if last.pos() != as_of_pos {
        return Err(format!(
            "the last event that counts is at position {}, the claim stops at {as_of_pos}",
            last.pos()
        ));
    }
    let next = case.chain().find(|line| line.pos() > as_of_pos);
    let Some(next) = next.filter(|line| !case.horizon.includes(line)) else {
        return Err("the claim speaks of a time after its own export".to_owned());
    };
    let until = match case.horizon {
        Horizon::Time(at) => at.to_string(),
        Horizon::Heard(pos) => format!("position {pos}, up to which the gateway had heard"),
    };
    passed(format!(
        "the chain has {} events up to position {as_of_pos}; the next, at {}, lies after {until}",
        last.header.seq + 1,
        next.pos()
    ))
}

/// The claimed state is what the shown events fold to.
pub(super) fn recomputed(case: &Case<'_>) -> Finding {
    let Claim { device, at, state: claimed, .. } = case.claim;
    if case.state_is_erased() {
        return not_proven("events that the state is made of were erased or are withheld");
    }
    let state = state_at(&case.main, *device, case.horizon, *at)
        .ok_or("the chain does not begin with a registration")?;
    match difference(claimed, &state) {
        None => passed(format!("{}, {}, strength {}", state.stage, state.verdict, state.strength.level())),
        Some(difference) => Err(difference),
    }
}

fn difference(claimed: &DeviceState, found: &DeviceState) -> Option<String> {
    let say = |what: &str, claimed: &dyn std::fmt::Debug, found: &dyn std::fmt::Debug| {
        Some(format!("{what}: the claim says `{claimed:?}`, the chain says `{found:?}`"))
    };
    // Sentences may be reworded by a later version of this program; what they say is their code.
    let codes = |state: &DeviceState| state.reasons.iter().map(|r| r.code.clone()).collect::<Vec<_>>();
    let same = &DeviceState { reasons: found.reasons.clone(), ..claimed.clone() } == found;
    if same && codes(claimed) == codes(found) {
        return None;
    }
    if claimed.verdict != found.verdict {
        return say("verdict", &claimed.verdict, &found.verdict);
    }
    if claimed.stage != found.stage {
        return say("stage", &claimed.stage, &found.stage);
    }
    if (&claimed.firmware, &claimed.ai_model) != (&found.firmware, &found.ai_model) {
        return say("releases", &(&claimed.firmware, &claimed.ai_model), &(&found.firmware, &found.ai_model));
    }
    if claimed.certificates != found.certificates {
        return say("certificates", &claimed.certificates, &found.certificates);
    }
    if (claimed.evidence_pos, claimed.evidence_sha256) != (found.evidence_pos, found.evidence_sha256) {
        return say("evidence", &claimed.evidence_pos, &found.evidence_pos);
    }
    if claimed.strength != found.strength {
        return say("strength", &claimed.strength, &found.strength);
    }
    if codes(claimed) != codes(found) {
        return say("reasons", &codes(claimed), &codes(found));
    }
    say("state", claimed, found)
}

/// The log itself stated a verdict in the chain. It may be better than what is recomputed (time has passed since), never
/// worse: then something that the log knew is left out of the bundle.
pub(super) fn stated(case: &Case<'_>) -> Finding {
    if case.state_is_erased() {
        return not_proven("events that state a verdict may be among the erased ones");
    }
    let counted: Vec<_> = case.events().filter(|(line, _)| case.horizon.includes(line)).collect();
    let stated = stated_verdict(&counted, case.claim.at);
    if stated > case.claim.state.verdict {
        return Err(format!("the chain states `{stated}`, the claim says `{}`", case.claim.state.verdict));
    }
    passed(format!("the chain states `{stated}` for that moment"))
}

/// The last verdict that the chain states, lowered by the deadlines that it states.
fn stated_verdict(counted: &[(&Line, &Event)], at: Timestamp) -> Verdict {
    let mut verdict = Verdict::Untrusted;
    let mut by_time = Verdict::Untrusted;
    for (_, event) in counted {
        match event {
            Event::EvidenceAppraised { verdict: v, fresh_until, untrusted_after, .. } => {
                verdict = *v;
                by_time = match () {
                    () if at > *untrusted_after => Verdict::Untrusted,
                    () if at > *fresh_until => Verdict::Degraded,
                    () => Verdict::Trusted,
                };
            }
            Event::TrustChanged { to, .. } => verdict = *to,
            _ => {}
        }
    }
    verdict.max(by_time)
}
