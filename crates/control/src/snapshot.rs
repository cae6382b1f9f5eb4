//! The folded world as bytes and back, so that a start need not fold the whole log.
//!
//! A snapshot is a cache and nothing else: it is what folding the events before [`World::next_pos`] gives, bit for bit,
//! and whoever has none folds them. It comes in parts, so that five million certificates are read by all cores at once: devices and
//! certificates, some thousands in each part, and one part with the rest. In scope: the encoding, which is one for one world
//! (maps are written in order of their keys, parts are cut at fixed numbers). Out of scope: where it lies, whether it is
//! ours and of this very log (`server::snapshot`).
//!
//! To add a field to the world: derive its type's encoding; a `HashMap` is written with [`sorted`].

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use lanyard_domain::device::Device;
use lanyard_domain::id::StreamId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::inventory::{HolderIndex, Row};
use crate::world::World;

/// Devices of one part: some megabytes where each has the most certificates that it may have.
const DEVICES: usize = 2_048;
/// Certificates of one part: four megabytes.
const CERTIFICATES: usize = 65_536;
/// Room that is made before they have come: beyond, it grows as they come.
const MOST_RESERVED: usize = 16 << 20;

/// Why bytes are no world.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSnapshot {
    /// They are not of this program's encoding.
    #[error("the snapshot cannot be read: {0}")]
    Malformed(#[from] postcard::Error),
    /// Something follows a part.
    #[error("a part of the snapshot has {0} bytes too many")]
    TooLong(usize),
    /// Parts are missing, or there are too many.
    #[error("the snapshot has not all of its parts")]
    Parts,
}

/// As it is written. The variants stand in the order of [`Part`]'s.
#[derive(Serialize)]
enum Written<'a> {
    Rest { world: &'a World, devices: usize, certificates: usize, holders: &'a [StreamId] },
    Devices(&'a [&'a Device]),
    Certificates(Vec<Row>),
}

/// A part that was read.
#[derive(Deserialize)]
pub enum Part {
    /// All but devices and certificates, of which there are so many.
    Rest {
        /// The world without them.
        world: Box<World>,
        /// Devices.
        devices: usize,
        /// Certificates.
        certificates: usize,
        /// Who holds them.
        holders: Vec<StreamId>,
    },
    /// Devices.
    Devices(Vec<Device>),
    /// Certificates of the inventory.
    Certificates(Vec<Row>),
}

impl Part {
    /// The part that was written as these bytes. Not for foreign bytes: they are authenticated before.
    pub fn read(bytes: &[u8]) -> Result<Self, BadSnapshot> {
        let (part, rest) = postcard::take_from_bytes(bytes)?;
        if rest.is_empty() { Ok(part) } else { Err(BadSnapshot::TooLong(rest.len())) }
    }
}

/// A world that is written part by part.
pub struct Cut<'a> {
    world: &'a World,
    devices: Vec<&'a Device>,
    certificates: Vec<&'a Row>,
    holders: Vec<StreamId>,
    /// Where each stands among them.
    ranks: Vec<HolderIndex>,
}

impl<'a> Cut<'a> {
    /// All of it.
    pub fn new(world: &'a World) -> Self {
        let mut devices: Vec<&Device> = world.devices.values().collect();
        devices.sort_unstable_by_key(|device| device.id);
        // Those that end first come first: so they lie in memory after a start, and lists ask for them in that order.
        let mut certificates: Vec<&Row> = world.inventory.rows().collect();
        certificates.sort_unstable_by_key(|row| (row.not_after, row.serial));
        let (holders, ranks) = world.inventory.ranked();
        Self { world, devices, certificates, holders, ranks }
    }

    /// How many parts it has.
    pub fn count(&self) -> usize {
        1 + self.devices.len().div_ceil(DEVICES) + self.certificates.len().div_ceil(CERTIFICATES)
    }

    fn certificates(&self, some: &[&Row]) -> Written<'_> {
        let rank = |row: &Row| self.ranks.get(row.holder.place()).copied().unwrap_or(row.holder);
        Written::Certificates(some.iter().map(|row| Row { holder: rank(row), ..**row }).collect())
    }

    /// Its parts as bytes, one after the other.
    pub fn parts(&self) -> impl Iterator<Item = Result<Vec<u8>, BadSnapshot>> + '_ {
        let (devices, certificates) = (self.devices.len(), self.certificates.len());
        let rest = Written::Rest { world: self.world, devices, certificates, holders: &self.holders };
        std::iter::once(rest)
            .chain(self.certificates.chunks(CERTIFICATES).map(|some| self.certificates(some)))
            .chain(self.devices.chunks(DEVICES).map(Written::Devices))
            .map(|part| Ok(postcard::to_allocvec(&part)?))
    }
}

/// A world that is put together again, whatever the order of the parts. Quickest where the rest comes first.
#[derive(Default)]
pub struct Assembly {
    rest: Option<(Box<World>, usize, usize)>,
    waiting: Vec<Part>,
}

impl Assembly {
    /// Takes a part in.
    pub fn add(&mut self, part: Part) -> Result<(), BadSnapshot> {
        match (part, &mut self.rest) {
            (Part::Rest { .. }, Some(_)) => return Err(BadSnapshot::Parts),
            (Part::Rest { mut world, devices, certificates, holders }, None) => {
                world.devices.reserve(devices.min(MOST_RESERVED));
                world.inventory.restore(holders, certificates.min(MOST_RESERVED));
                self.rest = Some((world, devices, certificates));
                for part in std::mem::take(&mut self.waiting) {
                    self.add(part)?;
                }
            }
            (part, None) => self.waiting.push(part),
            (Part::Devices(some), Some((world, ..))) => {
                world.devices.extend(some.into_iter().map(|device| (device.id, device)));
            }
            (Part::Certificates(some), Some((world, ..))) => {
                if !world.inventory.restore_some(some) {
                    return Err(BadSnapshot::Parts);
                }
            }
        }
        Ok(())
    }

    /// The world, once all parts are there.
    pub fn world(self) -> Result<World, BadSnapshot> {
        let (mut world, devices, certificates) = self.rest.ok_or(BadSnapshot::Parts)?;
        if (world.devices.len(), world.inventory.rows().count()) != (devices, certificates) {
            return Err(BadSnapshot::Parts);
        }
        world.inventory.restored();
        Ok(*world)
    }
}

impl World {
    /// As bytes, part by part.
    pub fn to_snapshot(&self) -> Result<Vec<Vec<u8>>, BadSnapshot> {
        Cut::new(self).parts().collect()
    }

    /// The world that [`World::to_snapshot`] wrote.
    pub fn from_snapshot(parts: &[Vec<u8>]) -> Result<Self, BadSnapshot> {
        let mut assembly = Assembly::default();
        for part in parts {
            assembly.add(Part::read(part)?)?;
        }
        assembly.world()
    }
}

/// A map in the order of its keys.
pub(crate) fn sorted<K, V, S>(map: &HashMap<K, V>, s: S) -> Result<S::Ok, S::Error>
where
    K: Serialize + Ord + Hash,
    V: Serialize,
    S: Serializer,
{
    s.collect_map(map.iter().collect::<BTreeMap<_, _>>())
}

/// Values that are shared, each written by itself.
pub(crate) mod shared {
    use super::{Arc, Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<T: Serialize, S: Serializer>(all: &[Arc<T>], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(all.iter().map(AsRef::<T>::as_ref))
    }

    pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Vec<Arc<T>>, D::Error> {
        Ok(Vec::<T>::deserialize(d)?.into_iter().map(Arc::new).collect())
    }
}
