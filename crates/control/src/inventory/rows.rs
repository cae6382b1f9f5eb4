//! Certificates in memory: one row of 56 bytes each in the order in which they came, found by serial number through a table of
//! indexes. Five million are 320 MB with that table, and one walk over them, in the order of memory, is some tens of
//! milliseconds.
//!
//! In scope: rows, who holds them, finding them. Out of scope: what is done with them (`inventory`).

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use lanyard_domain::id::StreamId;
use lanyard_domain::time::Timestamp;
use lanyard_pki::serial::Serial;
use serde::{Deserialize, Serialize};

use super::{Entry, IssuerIndex, ProfileIndex};

/// Who holds certificates, by number; see [`Rows::holder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HolderIndex(u32);

impl HolderIndex {
    /// As a place in a list of all holders.
    pub fn place(self) -> usize {
        self.0 as usize
    }
}

/// A certificate as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its serial number.
    pub serial: Serial,
    /// Whose.
    pub holder: HolderIndex,
    /// Position of the event that has its bytes.
    pub pos: u64,
    /// Its beginning.
    pub not_before: Timestamp,
    /// Its end.
    pub not_after: Timestamp,
    /// By which authority.
    pub issuer: IssuerIndex,
    /// By which profile, where the event's stream says it.
    pub profile: Option<ProfileIndex>,
    /// Kind code of the holder's stream.
    pub subject_kind: u8,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// All of them.
#[derive(Default)]
pub(super) struct Rows {
    rows: Vec<Row>,
    /// Places in `rows`, by serial number.
    places: HashTable<u32>,
    hasher: RandomState,
    holders: Vec<StreamId>,
    holder_places: HashMap<StreamId, HolderIndex>,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("certificates", &self.rows.len()).finish_non_exhaustive()
    }
}

/// The same certificates, wherever they lie in memory and whatever the numbers of their holders.
impl PartialEq for Rows {
    fn eq(&self, other: &Self) -> bool {
        let same = |row: &Row| {
            let found = other.get(&row.serial);
            found.is_some_and(|f| (f.revoked, other.entry(f)) == (row.revoked, self.entry(row)))
        };
        self.len() == other.len() && self.rows.iter().all(same)
    }
}

impl Eq for Rows {}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Row> {
        self.rows.iter()
    }

    /// To change what is known of them; their numbers stay.
    pub(super) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Row> {
        self.rows.iter_mut()
    }

    /// Makes room, where it is known how many come.
    pub(super) fn reserve(&mut self, more: usize) {
        self.rows.reserve_exact(more);
        let (rows, hasher) = (&self.rows, &self.hasher);
        self.places.reserve(more, |place| hash_at(rows, hasher, *place));
    }

    pub(super) fn get(&self, serial: &Serial) -> Option<&Row> {
        let place = self.places.find(self.hasher.hash_one(serial), |place| self.is_at(*place, serial))?;
        self.rows.get(*place as usize)
    }

    pub(super) fn get_mut(&mut self, serial: &Serial) -> Option<&mut Row> {
        let place = self.places.find(self.hasher.hash_one(serial), |place| self.is_at(*place, serial))?;
        self.rows.get_mut(*place as usize)
    }

    /// A second certificate of the same number takes the place of the first. `revoked`: one of that number may have been before,
    /// and was forgotten since.
    pub(super) fn insert(&mut self, serial: Serial, entry: &Entry, revoked: bool) {
        let row = Row { revoked, ..self.row(serial, entry) };
        if let Some(before) = self.get_mut(&serial) {
            *before = row;
            return;
        }
        self.push(row);
    }

    /// Begins with who holds certificates, and room for them.
    pub(super) fn restore(&mut self, holders: Vec<StreamId>, count: usize) {
        let places = (0..).zip(&holders).map(|(place, holder)| (*holder, HolderIndex(place)));
        self.holder_places = places.collect();
        self.holders = holders;
        // An eighth for those that follow, before the rows have to move.
        self.rows.reserve_exact(count + count / 8);
    }

    /// Takes in rows that are new. `false`: one is of a holder that is none.
    pub(super) fn restore_some(&mut self, mut some: Vec<Row>) -> bool {
        let known = some.iter().all(|row| row.holder.place() < self.holders.len());
        self.rows.append(&mut some);
        known
    }

    /// Makes all rows found by their numbers. In the order of the table's memory: five million places at random would be as many
    /// waits for it.
    pub(super) fn restored(&mut self) {
        let (rows, hasher) = (&self.rows, &self.hasher);
        // As the table is made for seven eighths of its places.
        let mask = (rows.len() * 8 / 7).next_power_of_two().wrapping_sub(1) as u64;
        let mut order: Vec<(u64, u32)> =
            (0..).zip(rows).map(|(place, row)| (hasher.hash_one(row.serial), place)).collect();
        order.sort_unstable_by_key(|(hash, _)| hash & mask);
        self.places.clear();
        self.places.reserve(rows.len(), |place| hash_at(rows, hasher, *place));
        for (hash, place) in order {
            self.places.insert_unique(hash, place, |place| hash_at(rows, hasher, *place));
        }
    }

    /// Holders of some certificate in the order of their ids, and each holder's place among those: one world has one order.
    pub(super) fn ranked(&self) -> (Vec<StreamId>, Vec<HolderIndex>) {
        let mut used = vec![false; self.holders.len()];
        for row in &self.rows {
            if let Some(one) = used.get_mut(row.holder.place()) {
                *one = true;
            }
        }
        let mut some: Vec<(StreamId, usize)> = self
            .holders
            .iter()
            .zip(&used)
            .enumerate()
            .filter(|(_, (_, used))| **used)
            .map(|(n, (id, _))| (*id, n))
            .collect();
        some.sort_unstable();
        let mut ranks = vec![HolderIndex(0); self.holders.len()];
        for (rank, (_, place)) in (0..).zip(&some) {
            if let Some(one) = ranks.get_mut(*place) {
                *one = HolderIndex(rank);
            }
        }
        (some.into_iter().map(|(id, _)| id).collect(), ranks)
    }

    fn row(&mut self, serial: Serial, entry: &Entry) -> Row {
        let holder = self.holder_of(entry.subject);
        let Entry { subject_kind, issuer, profile, pos, not_before, not_after, .. } = *entry;
        Row { serial, holder, pos, not_before, not_after, issuer, profile, subject_kind, revoked: false }
    }

    fn push(&mut self, row: Row) {
        // 2^32 rows would be 240 GB of them.
        let Ok(place) = u32::try_from(self.rows.len()) else { return };
        self.rows.push(row);
        let (rows, hasher) = (&self.rows, &self.hasher);
        self.places.insert_unique(hasher.hash_one(row.serial), place, |place| hash_at(rows, hasher, *place));
    }

    /// Keeps some, in their order. Holders of none are forgotten.
    pub(super) fn retain(&mut self, kept: impl Fn(&Row) -> bool) {
        let before = std::mem::take(self);
        let some = before.rows.iter().filter(|row| kept(row));
        self.reserve(some.clone().count());
        for row in some {
            let row = Row { revoked: row.revoked, ..self.row(row.serial, &before.entry(row)) };
            self.push(row);
        }
    }

    /// A row with its holder's name.
    pub(super) fn entry(&self, row: &Row) -> Entry {
        let subject = self.holders.get(row.holder.place()).copied().unwrap_or(StreamId::SYSTEM);
        let Row { subject_kind, issuer, profile, pos, not_before, not_after, .. } = *row;
        Entry { subject, subject_kind, issuer, profile, pos, not_before, not_after }
    }

    /// The number of a holder; of whoever holds nothing, none.
    pub(super) fn holder(&self, subject: StreamId) -> Option<HolderIndex> {
        self.holder_places.get(&subject).copied()
    }

    pub(super) fn holders(&self) -> usize {
        self.holders.len()
    }

    fn holder_of(&mut self, subject: StreamId) -> HolderIndex {
        let holders = &mut self.holders;
        *self.holder_places.entry(subject).or_insert_with(|| {
            holders.push(subject);
            HolderIndex(u32::try_from(holders.len() - 1).unwrap_or(u32::MAX))
        })
    }

    fn is_at(&self, place: u32, serial: &Serial) -> bool {
        self.rows.get(place as usize).is_some_and(|row| row.serial == *serial)
    }
}

fn hash_at(rows: &[Row], hasher: &RandomState, place: u32) -> u64 {
    rows.get(place as usize).map_or(0, |row| hasher.hash_one(row.serial))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_as_small_as_is_said() {
        assert_eq!(size_of::<Row>(), 56);
    }
}
