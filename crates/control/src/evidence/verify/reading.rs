//! The reading: the gateway's log is anchored, the gateway was admitted for this site, it allowed exactly this request on
//! exactly this evidence, and the system behind it took it.

use lanyard_domain::event::{AccessRecord, Event, StreamKind};
use lanyard_domain::id::GatewayId;
use lanyard_domain::trust::Verdict;
use lanyard_ledger::bundle::Anchor;

use super::super::authorities::{Ended, is_ending};
use super::super::claim::{Claim, ReadingFacts};
use super::super::history::state_at;
use super::{Case, Finding, Horizon, Line, not_proven, passed};
use crate::digest::sha256;

/// A decision is recorded within this time after it was made; a verdict may have aged by a step meanwhile.
const RECORD_DELAY_SECONDS: i64 = 5;

/// Up to where the main log counts for the claim.
pub(super) fn horizon(claim: &Claim, gateway: &[Line]) -> Result<Horizon, String> {
    match &claim.reading {
        None => Ok(Horizon::Time(claim.at)),
        Some(facts) => Ok(Horizon::Heard(decided(facts, gateway)?.1.heard_pos)),
    }
}

fn decided<'a>(facts: &ReadingFacts, gateway: &'a [Line]) -> Result<(&'a Line, &'a AccessRecord), String> {
    let found = gateway.iter().find_map(|line| match &line.event {
        Some(Event::AccessDecided(record)) if record.decision == facts.decision => Some((line, &**record)),
        _ => None,
    });
    found.ok_or_else(|| format!("decision {} is not in the gateway's log here", facts.decision))
}

/// All of it.
pub(super) fn reading(case: &Case<'_>) -> Finding {
    let Some(facts) = &case.claim.reading else {
        return match case.verified.logs.len() {
            1 => passed("the claim is not about a reading"),
            _ => Err("a gateway's log is shown, but the claim is not about a reading".to_owned()),
        };
    };
    let anchor = anchored(case, facts.gateway)?;
    let (line, record) = decided(facts, &case.gateway)?;
    as_claimed(case, facts, line, record)?;
    allowed(case, record)?;
    completed(case, facts, line)?;
    if record.heard_pos >= anchor.pos() {
        return Err(
            "the gateway claims to have heard what came after its own checkpoint was anchored".to_owned()
        );
    }
    if let Some(overtaken) = overtaken(case, record) {
        return not_proven(overtaken);
    }
    passed(format!(
        "gateway {} allowed `{}` on evidence at position {}; it was answered with {}",
        facts.gateway,
        record.interaction,
        record.evidence_pos.map(|p| p.to_string()).unwrap_or_default(),
        facts.status
    ))
}

/// The line that anchors the gateway's checkpoint, when admission and anchor are what they must be.
fn anchored<'a>(case: &'a Case<'_>, gateway: GatewayId) -> Result<&'a Line, String> {
    let line = |index: usize| case.verified.leaves.get(index).and_then(|leaf| case.main.at(leaf.header.pos));
    let (Some(Anchor { vkey_leaf, note_leaf, .. }), Some(log)) =
        (case.verified.anchors.first(), case.verified.logs.get(1))
    else {
        return Err("the gateway's log is not in the bundle".to_owned());
    };
    let (Some(added), Some(note)) = (line(*vkey_leaf), line(*note_leaf)) else {
        return Err("the gateway's log is not anchored".to_owned());
    };
    if ![added, note].iter().all(|line| line.is_of(StreamKind::Gateway, gateway)) {
        return Err(format!("admission and anchor do not stand in the stream of gateway {gateway}"));
    }
    match &added.event {
        Some(Event::GatewayAdded { vkey, site, .. }) if vkey == log.vkey => of_site(case, site)?,
        _ => return Err("no admission of the gateway names the key of its log".to_owned()),
    }
    match &note.event {
        Some(Event::GatewayCheckpointAnchored { gateway: id, size, note: text, note_sha256, vkey })
            if *id == gateway
                && *size == log.checkpoint.size
                && vkey == log.vkey
                && sha256(text.as_bytes()) == *note_sha256 =>
        {
            Ok(note)
        }
        _ => Err("the anchor does not hold the gateway's checkpoint".to_owned()),
    }
}

/// A gateway speaks for the devices of its site only.
fn of_site(case: &Case<'_>, site: &str) -> Result<(), String> {
    let registered = case.events().find_map(|(_, event)| match event {
        Event::DeviceRegistered { record, .. } => Some(&record.site),
        _ => None,
    });
    match registered {
        Some(home) if home != site => {
            Err(format!("the gateway serves site `{site}`, the device is of `{home}`"))
        }
        _ => Ok(()),
    }
}

fn as_claimed(
    case: &Case<'_>,
    facts: &ReadingFacts,
    line: &Line,
    record: &AccessRecord,
) -> Result<(), String> {
    let claimed = case.claim;
    let same = [
        ("device", record.device == Some(claimed.device) && line.is_of(StreamKind::Device, claimed.device)),
        ("gateway", record.gateway == facts.gateway),
        ("time", line.time() == facts.decided_at && claimed.at == facts.decided_at),
        ("decision", record.allowed == facts.allowed),
        ("verdict", record.verdict == facts.verdict),
        ("certificate", record.certificate_sha256 == facts.certificate_sha256),
        ("request", record.request_sha256 == facts.request_sha256),
        ("forwarded request", record.forwarded_sha256 == facts.forwarded_sha256),
    ];
    match same.iter().find(|(_, holds)| !holds) {
        None => Ok(()),
        Some((what, _)) => Err(format!("the claim says another {what} than the gateway recorded")),
    }
}

/// I4: the decision names policy, evidence and verdict, and they are those of the chain.
fn allowed(case: &Case<'_>, record: &AccessRecord) -> Result<(), String> {
    let state = &case.claim.state;
    if !record.allowed {
        return Err("the gateway refused it".to_owned());
    }
    if record.policy.is_empty() {
        return Err("the decision names no policy".to_owned());
    }
    if (record.evidence_pos, record.evidence_sha256) != (state.evidence_pos, state.evidence_sha256)
        || record.evidence_pos.is_none()
    {
        return Err("the decision rests on other evidence than the device's last".to_owned());
    }
    let releases = (state.firmware.as_ref().map(|r| r.id), state.ai_model.as_ref().map(|r| r.id));
    if (record.firmware, record.model) != releases {
        return Err("the decision names other releases than the device ran".to_owned());
    }
    let ended = Ended::of(&case.main, |line| case.horizon.includes(line));
    let shown = record.certificate_sha256.as_ref();
    if let Some(name) = shown.and_then(|shown| ended.end_of(&case.main, case.claim.device, shown)) {
        return Err(format!(
            "it was allowed by a certificate of authority `{name}`, of which nothing counted any more"
        ));
    }
    match shown {
        Some(shown) if state.certificates.contains(shown) => {}
        _ => return Err("the certificate shown is not one of the device's valid ones".to_owned()),
    }
    let Some(verdict) = record.verdict.filter(|v| *v != Verdict::Untrusted) else {
        return Err("it was allowed although the gateway held the device untrusted".to_owned());
    };
    if state.verdict == Verdict::Untrusted && !case.state_is_erased() {
        return Err("it was allowed although the device was untrusted".to_owned());
    }
    let a_moment_before = case.claim.at.plus_seconds(-RECORD_DELAY_SECONDS);
    let then = state_at(&case.main, case.claim.device, case.horizon, a_moment_before).map(|s| s.verdict);
    if verdict != state.verdict && Some(verdict) != then && !case.state_is_erased() {
        return Err(format!("the gateway held it {verdict}, the chain says {}", state.verdict));
    }
    Ok(())
}

/// The system behind the gateway took it.
fn completed(case: &Case<'_>, facts: &ReadingFacts, decided: &Line) -> Result<(), String> {
    let later = case.gateway.iter().filter(|line| line.pos() > decided.pos());
    let completion = later.filter_map(|line| line.event.as_ref()).find_map(|event| match event {
        Event::AccessCompleted { decision, status, location, response_sha256 }
            if *decision == facts.decision =>
        {
            Some((*status, location, *response_sha256))
        }
        _ => None,
    });
    let Some((status, location, response)) = completion else {
        return Err("its completion is not in the gateway's log here".to_owned());
    };
    if (status, location, response) != (facts.status, &facts.location, facts.response_sha256) {
        return Err("the claim says another answer than the gateway recorded".to_owned());
    }
    if !(200..300).contains(&status) {
        return Err(format!("the system behind the gateway answered with {status}"));
    }
    Ok(())
}

/// Whether the log had recorded a loss of trust that the gateway had not heard of when it decided. A gateway that is cut
/// off may go on for as long as its tier allows; the reader must know.
fn overtaken(case: &Case<'_>, record: &AccessRecord) -> Option<String> {
    let at = case.claim.at;
    let decides = |l: &&Line| l.is_of(StreamKind::Device, case.claim.device) || is_ending(l);
    let mut lines = case.main.lines().iter().filter(decides);
    let unheard = lines.rfind(|l| l.pos() > record.heard_pos && l.time() <= at)?;
    let by_then = state_at(&case.main, case.claim.device, Horizon::Time(at), at)?;
    (by_then.verdict == Verdict::Untrusted).then(|| {
        format!(
            "when the gateway decided, the log had already recorded, up to position {}, that the device is not trusted; \
             the gateway had heard only up to position {}",
            unheard.pos(),
            record.heard_pos
        )
    })
}
