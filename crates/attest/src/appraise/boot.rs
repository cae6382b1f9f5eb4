//! Clock and counters against those of the last accepted evidence.
//!
//! Reset and restart counts only grow while an identity lives: clearing the TPM destroys the attestation
//! key. The clock only grows within a reset; over a power cut it may fall back, and the TPM then says so by
//! `safe` = no. Devices get unplugged: that alone is no fault.

use super::{Findings, ReasonCode};
use crate::check::{Check, CheckName};
use crate::tpm::structures::ClockInfo;

pub(super) fn check(previous: Option<&ClockInfo>, now: &ClockInfo, findings: &mut Findings) {
    let shutdown = if now.safe { "in order" } else { "power was cut since the last orderly shutdown" };
    findings.checks.push(Check::info(CheckName::OrderlyShutdown, shutdown, "says how the TPM was stopped"));
    let Some(previous) = previous else {
        findings.checks.push(Check::info(
            CheckName::BootCounters,
            describe(now),
            "nothing earlier to compare",
        ));
        return;
    };
    let holds = went_on(previous, now);
    let expected = format!("not before {}", describe(previous));
    findings.checks.push(Check::of(CheckName::BootCounters, holds, expected, describe(now), ""));
    if !holds {
        findings.object(
            ReasonCode::CountersWentBack,
            "The security chip's own counters went back: the proof is older than one already seen, or comes \
             from a copy.",
        );
    }
}

fn went_on(previous: &ClockInfo, now: &ClockInfo) -> bool {
    match now.reset_count.cmp(&previous.reset_count) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => {
            now.restart_count >= previous.restart_count && now.clock >= previous.clock
        }
        std::cmp::Ordering::Greater => !now.safe || now.clock >= previous.clock,
    }
}

fn describe(c: &ClockInfo) -> String {
    format!("reset {}, restart {}, clock {} ms", c.reset_count, c.restart_count, c.clock)
}
