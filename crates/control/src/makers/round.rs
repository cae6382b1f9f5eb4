//! Devices in use whose maker revoked their hardware: found by the lists that were taken, each finding recorded once.
//!
//! A round reads the world and records what follows; a second one after it finds nothing to do. So it does not matter where a
//! stop interrupts it, and a device that was bound in the very moment in which a list was taken is found by the next.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use lanyard_domain::device::{Command, Stage};
use lanyard_domain::id::DeviceId;
use lanyard_domain::maker::{MakerCertificate, MakerEffect, MakerFinding, MakerReason};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;

use super::ask::certificate_key;
use super::{Hit, MakerList};
use crate::journal::Journal;
use crate::plane::{Control, ControlError, Extras};
use crate::upkeep::ITSELF;
use crate::world::World;

/// Appends that wait for the disk together: group commit takes them in one write.
const AT_ONCE: usize = 64;

/// Devices that lists name and for which nothing follows from it yet.
pub type NewlyListed = BTreeMap<DeviceId, Vec<Hit>>;

impl World {
    /// Devices that a list names, with what it says of them.
    fn listed_by<'a>(&'a self, list: &'a MakerList) -> impl Iterator<Item = (DeviceId, Hit)> + 'a {
        list.entries.keys().flat_map(move |serial| {
            let key = certificate_key(&list.issuer, serial);
            self.maker_certificates
                .range((key, DeviceId::from_bytes([0; 16]))..)
                .take_while(move |(found, _)| *found == key)
                .filter_map(move |(_, device)| Some((*device, list.hit(*serial)?)))
        })
    }

    fn is_drawn(&self, device: DeviceId, hit: &Hit) -> bool {
        let key = certificate_key(&hit.issuer, &hit.serial);
        self.maker_findings.contains(&(device, key, hit.listed.reason))
    }

    /// Devices for which something is still to be drawn from this list, and what.
    fn newly_listed_by(&self, list: &MakerList) -> Vec<(DeviceId, Hit)> {
        let over = |id: &DeviceId| {
            self.devices.get(id).is_none_or(|d| matches!(d.stage, Stage::Retiring | Stage::Retired))
        };
        self.listed_by(list).filter(|(id, hit)| !self.is_drawn(*id, hit) && !over(id)).collect()
    }

    /// The same of all lists.
    #[cfg(test)]
    pub(crate) fn newly_listed(&self) -> NewlyListed {
        gathered(self.maker_lists.values().flat_map(|list| self.newly_listed_by(list)))
    }

    /// How many enrolled devices this list names, and for how many of them nothing was drawn yet.
    fn named_by(&self, list: &MakerList) -> (usize, usize) {
        let mut named: BTreeMap<DeviceId, bool> = BTreeMap::new();
        for (id, hit) in self.listed_by(list) {
            *named.entry(id).or_default() |= !self.is_drawn(id, &hit);
        }
        (named.len(), named.values().filter(|open| **open).count())
    }

    fn still_says(&self, hit: &Hit) -> bool {
        let same = |list: &&MakerList| list.issuer == hit.issuer && list.sha256 == hit.list_sha256;
        self.maker_lists.values().find(same).is_some_and(|l| l.entries.get(&hit.serial) == Some(&hit.listed))
    }

    /// Where the newest list lies: with it all that lists say has changed.
    pub fn newest_maker_list(&self) -> Option<u64> {
        self.maker_lists.values().map(|list| list.pos).max()
    }

    /// The list that keeps a device from being let in again by a person. What was drawn is forgotten when its list no longer says so;
    /// what is still to be drawn follows on the device's own chain.
    pub(crate) fn kept_out_by_maker(&self, device: DeviceId) -> Option<Hit> {
        let ends = |reason: MakerReason| reason.effect() == MakerEffect::Ends;
        let of_it = self.maker_findings.range((device, [0; 16], MakerReason::Unspecified)..);
        if !of_it.take_while(|(found, ..)| *found == device).any(|(_, _, reason)| ends(*reason)) {
            return None;
        }
        let mut listed = self.maker_lists.values().flat_map(|list| self.listed_by(list));
        listed.find(|(id, hit)| *id == device && ends(hit.listed.reason)).map(|(_, hit)| hit)
    }
}

fn gathered(found: impl IntoIterator<Item = (DeviceId, Hit)>) -> NewlyListed {
    let mut all = NewlyListed::new();
    for (id, hit) in found {
        all.entry(id).or_default().push(hit);
    }
    all
}

impl From<Hit> for MakerFinding {
    fn from(hit: Hit) -> Self {
        Self {
            list_sha256: hit.list_sha256,
            certificate: MakerCertificate { issuer_sha256: hit.issuer, serial: hit.serial.to_string() },
            revoked_at: hit.listed.at,
            reason: hit.listed.reason,
        }
    }
}

impl<J: Journal> Control<J> {
    /// Devices for which something is still to be drawn from makers' lists, and what. Nothing is folded for a few milliseconds for
    /// each list, and what is folded in between is found the next time.
    pub fn newly_listed(&self) -> NewlyListed {
        gathered(self.list_by_list(World::newly_listed_by).into_iter().flat_map(|(_, found)| found))
    }

    /// By the key of each list: how many enrolled devices it names, and for how many of them nothing was drawn yet.
    pub fn named_by_lists(&self) -> BTreeMap<Digest, (usize, usize)> {
        self.list_by_list(World::named_by).into_iter().collect()
    }

    fn list_by_list<T>(&self, look: impl Fn(&World, &MakerList) -> T) -> Vec<(Digest, T)> {
        let keys: Vec<Digest> = self.world().maker_lists.keys().copied().collect();
        let one = |key: Digest| {
            let world = self.world();
            world.maker_lists.get(&key).map(|list| (key, look(&world, list)))
        };
        keys.into_iter().filter_map(one).collect()
    }

    /// Draws what lists say for each of these. Returns how many failed; they are found again.
    pub async fn draw_from_lists(&self, devices: NewlyListed, now: Timestamp) -> usize {
        let drawn = stream::iter(devices).map(async |(id, hits)| match self.draw_for(id, &hits, now).await {
            Ok(()) => 0,
            Err(error) => {
                tracing::warn!(device.id = %id, %error, "what a maker's list says of a device was not recorded; trying again");
                1
            }
        });
        drawn.buffered(AT_ONCE).fold(0, async |sum, failed| sum + failed).await
    }

    async fn draw_for(&self, id: DeviceId, hits: &[Hit], now: Timestamp) -> Result<(), ControlError> {
        self.on_device(id, ITSELF, now, Extras::default(), |world, device| {
            let due = |hit: &&Hit| world.still_says(hit) && !world.is_drawn(device.id, hit);
            let finding = |hit: &Hit| Command::FindMakerRevocation(hit.clone().into());
            Ok(hits.iter().filter(due).map(finding).collect())
        })
        .await?
        .inspect(
            |_| tracing::warn!(device.id = %id, "a device's maker revoked the certificate of its hardware"),
        );
        Ok(())
    }
}
