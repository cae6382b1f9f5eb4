//! How far the replacement is: for each class of risk how many are where, and who needs a person, with the owner who is named in
//! the record now.

use lanyard_domain::compromise::{CompromisePlan, RiskClass};
use lanyard_domain::device::Stage;
use lanyard_domain::event::StreamKind;
use lanyard_domain::id::{OperatorId, StreamId};
use lanyard_domain::time::Timestamp;

use super::round::{Held, Left, application, device, gateway};
use super::{Compromise, Holder};
use crate::journal::Journal;
use crate::plane::Control;
use crate::world::World;

/// From a holder's turn until its silence is worth a person's look: the longest that a device waits between two attestations is
/// much longer for tier `low`, but nothing is lost by a look.
pub const OVERDUE_SECONDS: i64 = 3_600;
/// Named in one report; beyond, numbers say enough.
const MOST_NAMED: usize = 1_000;

/// Where a holder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// It has certificates by others alone.
    Replaced,
    /// It has a new one in the place of each, and its use is waited for.
    Settling,
    /// Its turn has not come.
    Waiting,
    /// It was told.
    Told,
    /// It was told long ago.
    Overdue,
    /// It has none that counts: off the air.
    OffTheAir,
    /// It needs none any more: retired or removed.
    Gone,
}

/// A class of risk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassProgress {
    /// Which.
    pub class: RiskClass,
    /// Holders at the confirmation.
    pub total: usize,
    /// How many are where, in the order of [`Place`].
    pub places: [usize; 7],
}

impl ClassProgress {
    /// How many are there.
    pub fn at(&self, place: Place) -> usize {
        self.places.get(place as usize).copied().unwrap_or_default()
    }
}

/// A holder that does not help itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// Its class.
    pub class: RiskClass,
    /// Which.
    pub id: StreamId,
    /// Where it is.
    pub place: Place,
    /// Name in its record.
    pub name: String,
    /// Site.
    pub site: String,
    /// Who answers for it.
    pub owner: String,
    /// What is known of why.
    pub why: String,
    /// When its certificates are or were revoked.
    pub deadline: Timestamp,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Of which authority.
    pub name: String,
    /// Which issues in its place.
    pub successor: String,
    /// What was decided.
    pub plan: CompromisePlan,
    /// Who declared it.
    pub declared_by: OperatorId,
    /// When it was set in force.
    pub confirmed_at: Option<Timestamp>,
    /// When nothing was left of it.
    pub ended_at: Option<Timestamp>,
    /// By class, most risk first.
    pub classes: Vec<ClassProgress>,
    /// Who needs a person; most risk first, at most a thousand.
    pub stuck: Vec<Stuck>,
}

fn place(
    world: &World,
    compromise: &Compromise,
    holder: Holder,
    now: Timestamp,
) -> Option<(Place, Timestamp)> {
    let (turn, deadline) = compromise.times(holder)?;
    let issuer = compromise.confirmed.as_ref()?.issuer?;
    if is_gone(world, holder.id) {
        return Some((Place::Gone, deadline));
    }
    let mut held = Held::of(world, issuer, holder, now);
    if compromise.is_distrusted() {
        held.by_it.clear();
    }
    let place = match (held.by_it.is_empty(), held.left) {
        (true, Left::InUse) => Place::Replaced,
        (true, Left::Unseen) => Place::Settling,
        (true, Left::Nothing) => Place::OffTheAir,
        (false, _) if held.by_it.iter().all(|c| c.replaced) => Place::Settling,
        (false, _) if now < turn => Place::Waiting,
        (false, _) if now.seconds_since(turn) < OVERDUE_SECONDS => Place::Told,
        (false, _) => Place::Overdue,
    };
    Some((place, deadline))
}

fn is_gone(world: &World, id: StreamId) -> bool {
    if let Some(device) = device(world, id) {
        return matches!(device.stage, Stage::Retiring | Stage::Retired) || device.barred.is_some();
    }
    if let Some(application) = application(world, id) {
        return application.stage == lanyard_domain::application::Stage::Removed;
    }
    gateway(world, id).is_none_or(|gateway| gateway.removed)
}

fn stuck(world: &World, holder: Holder, place: Place, deadline: Timestamp) -> Stuck {
    let (kind, why) = if let Some(device) = device(world, holder.id) {
        let why = match (&device.stage, place) {
            (Stage::Quarantined { .. }, _) => "it is quarantined: release it, or retire it".to_owned(),
            (_, Place::OffTheAir) => {
                "it has no certificate that counts: it must enroll anew with its hardware or a one-time secret"
                    .to_owned()
            }
            _ => {
                let last = device.evidence.as_ref().map(|e| format!("it attested last at {}", e.at));
                format!("{}; it has not asked for another certificate", last.as_deref().unwrap_or("it never attested"))
            }
        };
        (StreamKind::Device, why)
    } else if application(world, holder.id).is_some() {
        let why = "its ACME client has not renewed: run it, or look whether it follows renewal information";
        (StreamKind::Application, why.to_owned())
    } else {
        (StreamKind::Gateway, "the gateway is not connected, or cannot reach the control plane".to_owned())
    };
    let who = world.described(kind, holder.id);
    let (name, site, owner) = who.map(|who| (who.name, who.site, who.owner)).unwrap_or_default();
    Stuck { class: holder.class, id: holder.id, place, name, site, owner, why, deadline }
}

impl<J: Journal> Control<J> {
    /// How far each compromise is; the newest last.
    pub fn progress(&self, now: Timestamp) -> Vec<Progress> {
        let world = self.world();
        world.compromises.iter().map(|compromise| progress(&world, compromise, now)).collect()
    }
}

pub(super) fn progress(world: &World, compromise: &Compromise, now: Timestamp) -> Progress {
    let mut classes = RiskClass::ALL.map(|class| ClassProgress { class, total: 0, places: [0; 7] }).to_vec();
    let mut found = Vec::new();
    for holder in compromise.confirmed.iter().flat_map(|c| &c.holders) {
        let Some((place, deadline)) = place(world, compromise, *holder, now) else { continue };
        if let Some(class) = classes.iter_mut().find(|c| c.class == holder.class) {
            class.total += 1;
            if let Some(count) = class.places.get_mut(place as usize) {
                *count += 1;
            }
        }
        if matches!(place, Place::Overdue | Place::OffTheAir) && found.len() < MOST_NAMED {
            found.push(stuck(world, *holder, place, deadline));
        }
    }
    Progress {
        name: compromise.name.clone(),
        successor: compromise.successor.clone(),
        plan: compromise.plan,
        declared_by: compromise.declared_by,
        confirmed_at: compromise.confirmed.as_ref().map(|c| c.at),
        ended_at: compromise.ended,
        classes,
        stuck: found,
    }
}
