//! The lines: every opened payload is the event that its header says, in a stream where it may stand.

use lanyard_domain::event::{Event, StreamKind};
use lanyard_ledger::bundle::Verified;

use super::{Case, Finding, History, Line, passed};

/// Reads all leaves: the main log's, and the gateway's.
pub(super) fn read(verified: &Verified<'_>) -> Result<(History, Vec<Line>), String> {
    let (mut main, mut gateway) = (Vec::new(), Vec::new());
    for leaf in &verified.leaves {
        let pos = leaf.header.pos;
        let line = Line::read(leaf.header, leaf.payload)
            .map_err(|e| format!("leaf (log {}, position {pos}): {e}", leaf.log))?;
        if !may_stand(leaf.log, line.header.kind, line.header.stream_kind) {
            return Err(format!(
                "leaf (log {}, position {pos}): an event of kind {} does not belong to a stream of kind {}",
                leaf.log, line.header.kind, line.header.stream_kind
            ));
        }
        match leaf.log {
            0 => main.push(line),
            1 => gateway.push(line),
            n => return Err(format!("log {n}: a claim rests on one gateway at most")),
        }
    }
    Ok((History::new(main), gateway))
}

/// The table of `docs/event-catalogue.md`.
pub(crate) fn may_stand(log: usize, kind: u16, stream_kind: u8) -> bool {
    let home = match kind {
        // An issuance is intended, or given up, for a device, for a gateway, or for the server itself.
        4 | 6 if log == 0 && [StreamKind::Gateway as u8, StreamKind::System as u8].contains(&stream_kind) => {
            return true;
        }
        // Applications have certificates and secrets as devices have.
        4..=7 | 22..=24 | 27 | 28 if log == 0 && stream_kind == StreamKind::Application as u8 => return true,
        // A gateway's certificate ends with a compromised authority.
        7 if log == 0 && stream_kind == StreamKind::Gateway as u8 => return true,
        // Whoever's renewal is late.
        17 if log == 0
            && [StreamKind::Gateway as u8, StreamKind::Application as u8].contains(&stream_kind) =>
        {
            return true;
        }
        1..=30 | 32 => StreamKind::Device,
        40..=42 => StreamKind::Release,
        60..=62 => StreamKind::Operator,
        80..=83 => StreamKind::Gateway,
        90..=92 => StreamKind::Application,
        94..=97 | 100..=119 => StreamKind::System,
        120..=121 => StreamKind::Device,
        _ => return false,
    };
    stream_kind == home as u8 && (log == 0) == (kind < 120)
}

/// The log's first event names the log itself.
pub(super) fn first_event(case: &Case<'_>) -> Finding {
    let head = case.verified.logs.first().ok_or("there is no main log")?;
    if case.claim.origin != head.checkpoint.origin {
        return Err(format!(
            "the claim is about log `{}`, the checkpoint is of `{}`",
            case.claim.origin, head.checkpoint.origin
        ));
    }
    match case.main.at(0).and_then(|line| line.event.as_ref()) {
        Some(Event::LedgerStarted { origin, vkey, .. })
            if *origin == head.checkpoint.origin && vkey == head.vkey =>
        {
            passed(format!("`{origin}`, and its first event names the key that signs its checkpoints"))
        }
        Some(Event::LedgerStarted { origin, .. }) => {
            Err(format!("its first event names `{origin}` or its key otherwise than the checkpoint"))
        }
        _ => Err("its first event, which names its key, is not shown".to_owned()),
    }
}

/// The sequencer never goes back in time.
pub(super) fn times_ascend(case: &Case<'_>) -> Finding {
    for lines in [case.main.lines(), &case.gateway] {
        for (before, after) in lines.iter().zip(lines.iter().skip(1)) {
            if after.time() < before.time() {
                return Err(format!(
                    "the log's time goes back between positions {} and {}",
                    before.pos(),
                    after.pos()
                ));
            }
        }
    }
    passed("times never go back with the position")
}
