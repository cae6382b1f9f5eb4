//! The folded world as bytes and back, so that a start need not fold the whole log.
//!
//! A snapshot is a cache and nothing else: it is what folding the events before [`World::next_pos`] gives, bit for bit,
//! and whoever has none folds them. In scope: the encoding, which is one for one world (maps are written in order of
//! their keys). Out of scope: where it lies, whether it is ours and of this very log (`server::snapshot`).
//!
//! To add a field to the world: derive its type's encoding; a `HashMap` is written with [`sorted`].

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::world::World;

/// Why bytes are no world.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSnapshot {
    /// They are not of this program's encoding.
    #[error("the snapshot cannot be read: {0}")]
    Malformed(#[from] postcard::Error),
    /// Something follows the world.
    #[error("the snapshot has {0} bytes too many")]
    TooLong(usize),
}

impl World {
    /// As bytes.
    pub fn to_snapshot(&self) -> Result<Vec<u8>, BadSnapshot> {
        Ok(postcard::to_allocvec(self)?)
    }

    /// The world that [`World::to_snapshot`] wrote. Not for foreign bytes: they are authenticated before.
    pub fn from_snapshot(bytes: &[u8]) -> Result<Self, BadSnapshot> {
        let (world, rest) = postcard::take_from_bytes(bytes)?;
        if rest.is_empty() { Ok(world) } else { Err(BadSnapshot::TooLong(rest.len())) }
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
