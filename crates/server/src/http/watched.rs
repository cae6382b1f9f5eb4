//! Operators' view of the servers that are watched.

use axum::Json;
use axum::extract::State as Shared;
use lanyard_api::pki::{InventoryLine, WatchedLine};
use lanyard_control::world::World;
use lanyard_domain::time::Timestamp;
use lanyard_domain::watched::{WatchAlarm, Watched};

use super::peer::OperatorPeer;
use crate::state::State;

/// `GET /v1/watched`.
pub async fn watched(Shared(state): Shared<State>, _who: OperatorPeer) -> Json<Vec<WatchedLine>> {
    let now = state.clock.now();
    let world = state.control.world();
    let line = |watched: &Watched| {
        let last = state.watch.last(&watched.record.address);
        WatchedLine {
            record: watched.record.clone(),
            standing: standing(watched, now).to_owned(),
            certificate: watched.seen.clone(),
            alarms: watched.told.clone(),
            looked_at: last.as_ref().map(|l| l.at),
            fault: last.and_then(|l| l.fault),
        }
    };
    let mut lines: Vec<WatchedLine> = world.watched.values().map(line).collect();
    lines.sort_by_key(|line| (line.certificate.as_ref().map(|c| c.not_after), line.record.address.clone()));
    Json(lines)
}

fn standing(watched: &Watched, now: Timestamp) -> &'static str {
    let untold = Watched { told: Vec::new(), ..watched.clone() };
    match (untold.due(now), &watched.seen) {
        (_, None) => "not seen yet",
        (Some(WatchAlarm::Ended), _) => "ended",
        (Some(_), _) => "ends soon",
        (None, Some(_)) if watched.told.contains(&WatchAlarm::Changed) => "changed",
        (None, Some(_)) => "in order",
    }
}

/// Their lines in the inventory of certificates. Ended ones too: until somebody renews them they are what is wrong.
pub(super) fn inventory(world: &World) -> impl Iterator<Item = InventoryLine> + '_ {
    world.watched.values().filter_map(|watched| {
        let (record, seen) = (&watched.record, watched.seen.as_ref()?);
        Some(InventoryLine {
            serial: seen.serial.clone(),
            kind: "watched".to_owned(),
            subject: String::new(),
            name: record.address.clone(),
            site: record.site.clone(),
            owner: record.owner.clone(),
            profile: String::new(),
            issuer: seen.issuer.clone(),
            not_before: seen.not_before,
            not_after: seen.not_after,
            seen: true,
            revoked: None,
            effect: format!("{}: clients refuse to talk to it", record.purpose),
        })
    })
}
