//! Two people behind every device and every release (I1), and a cause behind every quarantine.

use std::collections::{BTreeMap, BTreeSet};

use lanyard_domain::event::{Appraisal, Event, StreamKind};
use lanyard_domain::id::{OperatorId, ReleaseId};
use lanyard_domain::operator::Role;

use super::{Case, Finding, Line, not_proven, passed};

/// Kinds that give a device something: binding, intent, certificate (`Event::kind`).
const CREDENTIALS: [u16; 5] = [3, 4, 5, 20, 21];
/// Kind of an approval.
const APPROVED: u16 = 2;

/// Who asked, and who approved as what.
pub(super) fn two_people(case: &Case<'_>) -> Finding {
    let mut given: Vec<(Role, OperatorId)> = Vec::new();
    let mut requester = None;
    let mut unreadable = false;
    let mut before: Option<&Line> = None;
    for line in case.chain() {
        let by = line.actor();
        match &line.event {
            Some(Event::DeviceRegistered { .. }) => requester = Some(by),
            Some(Event::DeviceApproved { role, .. }) => {
                let pos = line.pos();
                if !matches!(role, Role::Security | Role::Biomedical) {
                    return Err(format!(
                        "the approval at position {pos} is for `{role}`, which approves nothing"
                    ));
                }
                if requester == Some(by) {
                    return Err(format!("who registered the device approved it at position {pos}"));
                }
                if given.iter().any(|(_, earlier)| *earlier == by) {
                    return Err(format!("one person approved it twice, last at position {pos}"));
                }
                if given.iter().any(|(earlier, _)| earlier == role) {
                    return Err(format!("it was approved twice for `{role}`, last at position {pos}"));
                }
                given.push((*role, by));
            }
            Some(Event::DeviceQuarantined { statement: None, .. }) => {
                let found = before.and_then(|l| l.event.as_ref());
                let caused = matches!(
                    found,
                    Some(
                        Event::EvidenceAppraised { appraisal: Appraisal::Contraindicated, .. }
                            | Event::MakerRevocationFound { .. }
                    )
                );
                // An erased cause is not a missing one.
                if !caused && before.is_some_and(|l| l.event.is_some()) {
                    return Err(format!(
                        "the quarantine at position {} has neither person nor evidence",
                        line.pos()
                    ));
                }
            }
            None if line.header.seq == 0 || line.header.kind == APPROVED => unreadable = true,
            _ => {}
        }
        if CREDENTIALS.contains(&line.header.kind) && given.len() < 2 && !unreadable {
            return Err(format!(
                "it was given an identity at position {} with {} of two approvals",
                line.pos(),
                given.len()
            ));
        }
        before = Some(line);
    }
    if unreadable {
        return not_proven("registration or approvals were erased or are withheld");
    }
    match given.as_slice() {
        [(_, first), (_, second)] => {
            let asked = requester.map(|r| r.to_string()).unwrap_or_default();
            passed(format!("asked for by {asked}, approved by {first} and {second}"))
        }
        _ => passed("not approved, and given no identity"),
    }
}

/// Releases that matter to the claim are shown, and each was proposed and approved by two.
pub(super) fn releases(case: &Case<'_>) -> Finding {
    let mut proposers: BTreeMap<ReleaseId, Option<OperatorId>> = BTreeMap::new();
    let mut approvers: BTreeMap<ReleaseId, OperatorId> = BTreeMap::new();
    let mut erased = BTreeSet::new();
    for line in case.main.lines().iter().filter(|l| l.header.stream_kind == StreamKind::Release as u8) {
        let (id, by) = (ReleaseId::from(line.stream()), line.actor());
        match &line.event {
            Some(Event::ReleaseProposed { .. }) => drop(proposers.insert(id, Some(by))),
            Some(Event::ReleaseApproved { .. }) => match proposers.get(&id) {
                None => return Err(format!("release {id} was approved without having been proposed")),
                Some(Some(proposer)) if *proposer == by => {
                    return Err(format!("release {id} was proposed and approved by the same person"));
                }
                Some(_) => drop(approvers.insert(id, by)),
            },
            Some(_) => {}
            None => {
                proposers.entry(id).or_insert(None);
                erased.insert(id);
            }
        }
    }
    let matched: BTreeSet<ReleaseId> = case
        .events()
        .filter_map(|(_, event)| match event {
            Event::EvidenceAppraised { firmware, model, .. } => Some([*firmware, *model]),
            _ => None,
        })
        .flatten()
        .flatten()
        .collect();
    for id in &matched {
        if erased.contains(id) {
            return not_proven(format!("release {id} was erased or is withheld"));
        }
        if !approvers.contains_key(id) {
            return Err(format!(
                "release {id}, which evidence of the device matched, is not shown as approved"
            ));
        }
    }
    passed(format!("{} matched by evidence, each proposed and approved by two people", matched.len()))
}
