//! What one person has begun or half approved and a second person has not yet decided: whoever removes that person hears of it.
//!
//! In scope: finding and naming it. Out of scope: ending it. What was decided in office stands; whether the next person still wants
//! to build on it is theirs to say.

use lanyard_domain::application;
use lanyard_domain::device::Stage;
use lanyard_domain::id::OperatorId;
use lanyard_domain::release::ReleaseState;

use crate::world::World;

/// So many are named; the others are counted.
const MOST: usize = 50;

/// As a sentence to follow "operator has no rights any more"; empty where nothing is open.
pub(super) fn of(world: &World, id: OperatorId) -> String {
    let mut open = devices(world, id);
    open.extend(others(world, id));
    if open.is_empty() {
        return String::new();
    }
    open.sort();
    let beyond = match open.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    open.truncate(MOST);
    format!(
        "; open, and still counting as theirs, so look at each before a second person approves it: {}{beyond}",
        open.join("; ")
    )
}

fn devices(world: &World, id: OperatorId) -> Vec<String> {
    let of = |device: &lanyard_domain::device::Device| {
        let Stage::Registered(approvals) = &device.stage else { return None };
        let record = &device.record;
        let label = format!("device {} ({}/{}/{})", device.id, record.vendor, record.model, record.serial);
        if let Some((role, _)) = approvals.given.iter().find(|(_, by)| *by == id) {
            return Some(format!("{label}, approved as {role}"));
        }
        (approvals.requester == id).then(|| format!("{label}, registered"))
    };
    world.devices.values().filter_map(of).collect()
}

fn others(world: &World, id: OperatorId) -> Vec<String> {
    let mut open = Vec::new();
    for release in world.releases.values() {
        if release.state == ReleaseState::Proposed && release.proposer == id {
            let record = &release.record;
            let what = format!("{} {} {}", record.vendor, record.model, record.version);
            open.push(format!("release {} ({what}), proposed", release.id));
        }
    }
    for (name, profile) in &world.profiles {
        if profile.proposed.as_ref().is_some_and(|(_, by)| *by == id) {
            open.push(format!("profile `{name}`, proposed"));
        }
    }
    for authority in &world.authorities {
        if authority.planner == Some(id) && authority.activated.is_none() && !authority.retired {
            open.push(format!("authority `{}`, ordered", authority.name));
        }
    }
    for compromise in &world.compromises {
        if compromise.declared_by == id && compromise.confirmed.is_none() && compromise.ended.is_none() {
            open.push(format!("compromise of authority `{}`, declared", compromise.name));
        }
    }
    for application in world.applications.values() {
        if application.stage == application::Stage::Registered && application.requester == id {
            open.push(format!("application `{}`, registered", application.record.name));
        }
    }
    open
}
