//! Verify: what a bundle proves, in named checks and in words. No network, no clock, no store.
//!
//! The structure comes first (`lanyard_ledger::bundle::verify`): after it, every byte stands under the log's signature,
//! so what is left is whether the log's own story holds together. Each check answers passed, failed, or not proven;
//! what an exporter left out that he must show is *failed*, what the law had erased is *not proven*.
//!
//! To add a check: see [`super`].

mod attestation;
mod certificates;
mod lifecycle;
mod log;
mod makers;
mod reading;
mod state;
mod statements;
mod time;

use lanyard_domain::event::{Event, StreamKind};
use lanyard_ledger::bundle::{self, Outcome, TrustPolicy, Verified};

use super::authorities::is_ending;
use super::claim::Claim;
use super::history::{History, Horizon, Line};
#[cfg(test)]
pub(super) use log::may_stand;
pub(super) use statements::signed_by;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    /// It holds.
    Passed,
    /// It does not hold: the bundle is contradicted.
    Failed,
    /// The bundle does not say enough to tell.
    NotProven,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckLine {
    /// What was checked; stable.
    pub name: &'static str,
    /// How it ended.
    pub result: CheckResult,
    /// What was found, in words.
    pub detail: String,
}

/// The answer of a verification.
#[derive(Debug, Clone)]
pub struct Report {
    /// In one of the four words.
    pub outcome: Outcome,
    /// All checks in order; later ones are absent when an earlier one makes them pointless.
    pub checks: Vec<CheckLine>,
    /// What is claimed, once the structure holds.
    pub claim: Option<Claim>,
    /// What the bundle does not prove, in sentences.
    pub not_proven: Vec<String>,
    /// The part that fails, and why.
    pub flaw: Option<String>,
}

/// A check's finding; `Err` is a contradiction.
type Finding = Result<Answer, String>;

/// One rule, or a few that belong together.
type Check = fn(&Case<'_>) -> Finding;

enum Answer {
    Passed(String),
    NotProven(String),
}

fn passed(detail: impl Into<String>) -> Finding {
    Ok(Answer::Passed(detail.into()))
}

fn not_proven(detail: impl Into<String>) -> Finding {
    Ok(Answer::NotProven(detail.into()))
}

/// Everything a check may look at.
struct Case<'a> {
    verified: &'a Verified<'a>,
    claim: &'a Claim,
    /// The main log's lines.
    main: History,
    /// The gateway's lines.
    gateway: Vec<Line>,
    horizon: Horizon,
}

/// The checks above the structure, in the order of chapter 9 of `docs/evidence-bundle.md`.
const CHECKS: [(&str, Check); 14] = [
    ("log", log::first_event),
    ("order", log::times_ascend),
    ("closing", state::closing),
    ("successor", state::successor),
    ("state", state::recomputed),
    ("stated verdict", state::stated),
    ("signatures", statements::signatures),
    ("two people", lifecycle::two_people),
    ("releases", lifecycle::releases),
    ("identity", attestation::identity),
    ("attestation", attestation::attestation),
    ("makers", makers::lists),
    ("certificates", certificates::certificates),
    ("reading", reading::reading),
];

/// Verifies a bundle. Fuzz entry point.
pub fn verify(bytes: &[u8], trust: &TrustPolicy) -> Report {
    let mut report = Report {
        outcome: Outcome::Contradicted,
        checks: Vec::new(),
        claim: None,
        not_proven: Vec::new(),
        flaw: None,
    };
    let verified = match bundle::verify(bytes, trust) {
        Ok(verified) => verified,
        Err(flaw) => {
            report.take("structure", Err(flaw.to_string()));
            return report;
        }
    };
    report.not_proven = verified.not_proven.clone();
    let leaves = verified.leaves.len();
    report.take("structure", passed(format!("{leaves} leaves, all under the checkpoint's signature")));
    meaning(&verified, &mut report);
    if report.flaw.is_none() {
        report.outcome = verified.outcome();
    }
    report
}

fn meaning(verified: &Verified<'_>, report: &mut Report) {
    let claim = match Claim::parse(verified.claim) {
        Ok(claim) => claim,
        Err(error) => return report.take("claim", Err(error.to_string())),
    };
    report.claim = Some(claim.clone());
    report.take("claim", passed(format!("device {} at {}", claim.device, claim.at)));
    let (main, gateway) = match log::read(verified) {
        Ok(lines) => lines,
        Err(error) => return report.take("events", Err(error)),
    };
    let unopened = verified.leaves.iter().filter(|leaf| leaf.payload.is_none()).count();
    let detail = format!("{} events of the main log, {} of gateways", main.lines().len(), gateway.len());
    report.take(
        "events",
        match unopened {
            0 => passed(detail),
            n => not_proven(format!("{detail}; the content of {n} was erased or is withheld")),
        },
    );
    let horizon = match reading::horizon(&claim, &gateway) {
        Ok(horizon) => horizon,
        Err(error) => return report.take("reading", Err(error)),
    };
    let case = Case { verified, claim: &claim, main, gateway, horizon };
    for (name, check) in CHECKS {
        report.take(name, check(&case));
    }
    report.take("time", time::bracket(&case));
    report.not_proven.extend(time::words(&case));
}

impl Report {
    fn take(&mut self, name: &'static str, finding: Finding) {
        let (result, detail) = match finding {
            Ok(Answer::Passed(detail)) => (CheckResult::Passed, detail),
            Ok(Answer::NotProven(detail)) => {
                self.not_proven.push(format!("{name}: {detail}"));
                (CheckResult::NotProven, detail)
            }
            Err(detail) => {
                self.flaw.get_or_insert_with(|| format!("{name}: {detail}"));
                (CheckResult::Failed, detail)
            }
        };
        self.checks.push(CheckLine { name, result, detail });
    }

    /// The check of that name.
    pub fn check(&self, name: &str) -> Option<&CheckLine> {
        self.checks.iter().find(|check| check.name == name)
    }
}

impl Case<'_> {
    /// The chain of the device that the claim is about.
    fn chain(&self) -> impl Iterator<Item = &Line> {
        self.main.stream(StreamKind::Device, self.claim.device)
    }

    /// Its opened events with their lines.
    fn events(&self) -> impl Iterator<Item = (&Line, &Event)> {
        self.chain().filter_map(|line| Some((line, line.event.as_ref()?)))
    }

    /// Whether a payload that the state is made of, of the device, a release or an authority, is not there, up to the horizon.
    fn state_is_erased(&self) -> bool {
        let bears_state = |line: &Line| {
            let device =
                line.is_of(StreamKind::Device, self.claim.device) && !AUDIT_ONLY.contains(&line.header.kind);
            device || line.header.stream_kind == StreamKind::Release as u8 || is_ending(line)
        };
        self.main.lines().iter().any(|l| l.event.is_none() && bears_state(l) && self.horizon.includes(l))
    }
}

/// Kinds that change no state (`Event::kind`): probes, alarms, tokens, exports.
pub(super) const AUDIT_ONLY: [u16; 4] = [15, 17, 18, 19];
