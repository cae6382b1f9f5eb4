//! Devices in use whose maker revoked their hardware: found by the lists that were taken, each finding recorded once.
//!
//! A round reads the world and records what follows; a second one after it finds nothing to do. So it does not matter where a
//! stop interrupts it, and a device that was bound in the very moment in which a list was taken is found by the next.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use lanyard_domain::device::{Command, Stage};
use lanyard_domain::id::DeviceId;
use lanyard_domain::maker::{MakerCertificate, MakerEffect, MakerFinding};
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
    /// Devices that lists name, with what the lists say of them.
    pub fn listed_by_makers(&self) -> impl Iterator<Item = (DeviceId, Hit)> + '_ {
        self.maker_lists.values().flat_map(move |list| {
            list.entries.keys().flat_map(move |serial| {
                let key = certificate_key(&list.issuer, serial);
                self.maker_certificates
                    .range((key, DeviceId::from_bytes([0; 16]))..)
                    .take_while(move |(found, _)| *found == key)
                    .filter_map(move |(_, device)| Some((*device, list.hit(*serial)?)))
            })
        })
    }

    fn is_drawn(&self, device: DeviceId, hit: &Hit) -> bool {
        let key = certificate_key(&hit.issuer, &hit.serial);
        self.maker_findings.contains(&(device, key, hit.listed.reason))
    }

    /// Devices for which something is still to be drawn from lists, and what.
    pub fn newly_listed(&self) -> NewlyListed {
        let over = |id: &DeviceId| {
            self.devices.get(id).is_none_or(|d| matches!(d.stage, Stage::Retiring | Stage::Retired))
        };
        let mut found = NewlyListed::new();
        for (id, hit) in self.listed_by_makers().filter(|(id, hit)| !self.is_drawn(*id, hit) && !over(id)) {
            found.entry(id).or_default().push(hit);
        }
        found
    }

    /// By the position of each list that names enrolled devices: how many, and for how many of them nothing was drawn yet.
    pub fn named_by_lists(&self) -> BTreeMap<u64, (usize, usize)> {
        let mut named: BTreeMap<u64, BTreeMap<DeviceId, bool>> = BTreeMap::new();
        let positions: BTreeMap<Digest, u64> = self.maker_lists.values().map(|l| (l.sha256, l.pos)).collect();
        for (id, hit) in self.listed_by_makers() {
            let Some(pos) = positions.get(&hit.list_sha256) else { continue };
            let open = named.entry(*pos).or_default().entry(id).or_default();
            *open |= !self.is_drawn(id, &hit);
        }
        let count = |devices: BTreeMap<DeviceId, bool>| {
            (devices.len(), devices.values().filter(|open| **open).count())
        };
        named.into_iter().map(|(pos, devices)| (pos, count(devices))).collect()
    }

    fn still_says(&self, hit: &Hit) -> bool {
        let same = |list: &&MakerList| list.issuer == hit.issuer && list.sha256 == hit.list_sha256;
        self.maker_lists.values().find(same).is_some_and(|l| l.entries.get(&hit.serial) == Some(&hit.listed))
    }

    /// Where the newest list lies: with it all that lists say has changed.
    pub fn newest_maker_list(&self) -> Option<u64> {
        self.maker_lists.values().map(|list| list.pos).max()
    }

    /// The list that keeps a device from being let in again by a person.
    pub(crate) fn kept_out_by_maker(&self, device: DeviceId) -> Option<Hit> {
        let ends = |hit: &Hit| hit.listed.reason.effect() == MakerEffect::Ends;
        self.listed_by_makers().find(|(id, hit)| *id == device && ends(hit)).map(|(_, hit)| hit)
    }
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
    /// Devices for which something is still to be drawn from makers' lists, and what.
    pub fn newly_listed(&self) -> NewlyListed {
        self.world().newly_listed()
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
        .await?;
        tracing::warn!(device.id = %id, "a device's maker revoked the certificate of its hardware");
        Ok(())
    }
}
