//! The inventory of certificates: every one that was issued and has not ended, whose it is, by which authority, and whether
//! it was revoked. Folded from events, so OCSP, CRLs and lists say what the log says.
//!
//! In scope: serial numbers and their state. Out of scope: the certificates' bytes (they are in the log, at `pos`).

mod rows;

use serde::{Deserialize, Serialize};

use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use lanyard_domain::event::{RevocationReason, StreamKind};
use lanyard_domain::id::StreamId;
use lanyard_domain::time::Timestamp;
use lanyard_pki::serial::Serial;
use rows::Rows;
pub use rows::{HolderIndex, Row};

/// RFC 5280 3.3: a revoked certificate stays on the list until one list after its end has been issued; a day is longer
/// than any list of ours lives.
const KEEP_AFTER_END_SECONDS: i64 = 86_400;

/// Revocations that those who keep answers can catch up with one by one; beyond, they forget all.
const MOST_RECENT: usize = 4_096;

/// An authority, by the digest of its subject name: what a certificate says of its issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IssuerIndex(u16);

/// A certificate profile, by its name; see [`Inventory::profile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProfileIndex(u16);

/// A certificate that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Whose.
    pub subject: StreamId,
    /// Kind code of that stream.
    pub subject_kind: u8,
    /// By which authority.
    pub issuer: IssuerIndex,
    /// By which profile, where the event's stream says it.
    pub profile: Option<ProfileIndex>,
    /// Position of the event that has its bytes.
    pub pos: u64,
    /// Its beginning.
    pub not_before: Timestamp,
    /// Its end.
    pub not_after: Timestamp,
}

/// That a certificate was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: RevocationReason,
    /// The certificate's end.
    pub not_after: Timestamp,
}

/// What is known of a serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Issued, not ended or not long ago, not revoked.
    Good(Entry),
    /// Revoked.
    Revoked(Revoked),
    /// Never issued by that authority, or ended long ago.
    Unknown,
}

/// All certificates that have not ended.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    issuers: Vec<Vec<u8>>,
    profiles: Vec<Box<str>>,
    /// In parts of their own in a snapshot.
    #[serde(skip)]
    rows: Rows,
    revoked: BTreeMap<(IssuerIndex, Serial), Revoked>,
    /// Grows whenever something is revoked: whoever keeps lists knows when theirs is old.
    revocations: u64,
    /// The last of them, newest last.
    recent: VecDeque<(IssuerIndex, Serial)>,
    sweep_at: usize,
}

impl Inventory {
    /// The index of an issuer, by its Name as DER.
    pub fn issuer(&self, name: &[u8]) -> Option<IssuerIndex> {
        let at = self.issuers.iter().position(|known| known == name)?;
        u16::try_from(at).ok().map(IssuerIndex)
    }

    /// Takes in what a snapshot has in parts of its own: first who holds certificates, of which there are so many.
    pub(crate) fn restore(&mut self, holders: Vec<StreamId>, count: usize) {
        self.rows.restore(holders, count);
    }

    /// Some of these. `false`: they do not belong to those holders.
    pub(crate) fn restore_some(&mut self, some: Vec<Row>) -> bool {
        self.rows.restore_some(some)
    }

    /// All are there.
    pub(crate) fn restored(&mut self) {
        self.rows.restored();
    }

    /// Who holds certificates, in the order of ids, and where each holder stands among them.
    pub(crate) fn ranked(&self) -> (Vec<StreamId>, Vec<HolderIndex>) {
        self.rows.ranked()
    }

    pub(crate) fn issued(
        &mut self,
        certificate: &[u8],
        serial: &str,
        subject: (StreamId, u8),
        at: (u64, Timestamp),
        validity: (Timestamp, Timestamp),
    ) {
        let (Ok(serial), Some(name)) = (serial.parse::<Serial>(), issuer_of(certificate)) else { return };
        let Some(issuer) = self.issuer(name).or_else(|| self.new_issuer(name)) else { return };
        let (pos, now) = at;
        let (subject, subject_kind) = subject;
        let (not_before, not_after) = validity;
        let entry = Entry { subject, subject_kind, issuer, profile: None, pos, not_before, not_after };
        let revoked = self.revoked.contains_key(&(issuer, serial));
        self.rows.insert(serial, &entry, revoked);
        self.sweep(now);
    }

    /// By which profile the certificate was made; known once its stream has folded the event.
    pub(crate) fn made_by(&mut self, serial: &str, profile: &str) {
        let Ok(serial) = serial.parse::<Serial>() else { return };
        let Some(index) = self.profile(profile).or_else(|| self.new_profile(profile)) else { return };
        if let Some(row) = self.rows.get_mut(&serial) {
            row.profile = Some(index);
        }
    }

    /// The index of a profile that certificates were made by.
    pub fn profile(&self, name: &str) -> Option<ProfileIndex> {
        let at = self.profiles.iter().position(|known| **known == *name)?;
        u16::try_from(at).ok().map(ProfileIndex)
    }

    /// The profile's name.
    pub fn profile_name(&self, index: ProfileIndex) -> &str {
        self.profiles.get(usize::from(index.0)).map_or("", |name| name)
    }

    fn new_profile(&mut self, name: &str) -> Option<ProfileIndex> {
        let index = u16::try_from(self.profiles.len()).ok()?;
        self.profiles.push(name.into());
        Some(ProfileIndex(index))
    }

    fn new_issuer(&mut self, name: &[u8]) -> Option<IssuerIndex> {
        let index = u16::try_from(self.issuers.len()).ok()?;
        self.issuers.push(name.to_vec());
        Some(IssuerIndex(index))
    }

    pub(crate) fn revoke(&mut self, serial: &str, reason: RevocationReason, at: Timestamp) {
        let Ok(serial) = serial.parse::<Serial>() else { return };
        let Some(row) = self.rows.get(&serial) else { return };
        let (issuer, not_after) = (row.issuer, row.not_after);
        self.note((issuer, serial), Revoked { at, reason, not_after });
    }

    /// Revokes all that is left of an authority's, because that is compromised. Once in an authority's life; of a million some
    /// seconds in which nothing else is folded.
    pub(crate) fn distrust(&mut self, issuer: IssuerIndex, at: Timestamp) {
        let mut of_it: Vec<(Serial, Timestamp)> = self
            .rows
            .iter()
            .filter(|row| row.issuer == issuer && !row.revoked)
            .map(|row| (row.serial, row.not_after))
            .collect();
        // In one order: the log folds to one world.
        of_it.sort_unstable();
        for (serial, not_after) in of_it {
            self.note(
                (issuer, serial),
                Revoked { at, reason: RevocationReason::IssuerCompromised, not_after },
            );
        }
    }

    /// The first reason stands: a second order cannot make an earlier theft a routine replacement.
    fn note(&mut self, which: (IssuerIndex, Serial), revoked: Revoked) {
        if let Some(row) = self.rows.get_mut(&which.1).filter(|row| row.issuer == which.0) {
            row.revoked = true;
        }
        self.revocations += 1;
        if self.recent.len() == MOST_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(which);
        self.revoked.entry(which).or_insert(revoked);
    }

    /// Who issued it.
    pub fn issuer_of(&self, serial: &Serial) -> Option<IssuerIndex> {
        self.row(serial).map(|row| row.issuer)
    }

    /// Whether it was revoked.
    pub fn is_revoked(&self, serial: &Serial) -> bool {
        self.row(serial).is_some_and(|row| row.revoked)
    }

    /// Certificates of an authority that have not ended and are not revoked, our own (responders, listeners) left out.
    pub fn living(&self, issuer: IssuerIndex, now: Timestamp) -> impl Iterator<Item = Entry> + '_ {
        let lives = move |row: &&Row| {
            row.issuer == issuer
                && row.subject_kind != StreamKind::System as u8
                && row.not_after >= now
                && !row.revoked
        };
        self.rows.iter().filter(lives).map(|row| self.rows.entry(row))
    }

    /// Forgets what ended, each time the number has doubled: the cost of it is spread over what was issued since.
    fn sweep(&mut self, now: Timestamp) {
        if self.rows.len() < self.sweep_at.max(4_096) {
            return;
        }
        let kept = |end: Timestamp| end.plus_seconds(KEEP_AFTER_END_SECONDS) > now;
        self.rows.retain(|row| kept(row.not_after));
        self.revoked.retain(|_, r| kept(r.not_after));
        // What is forgotten of one number may be remembered of a later certificate with the same.
        for row in self.rows.iter_mut().filter(|row| row.revoked) {
            row.revoked = self.revoked.contains_key(&(row.issuer, row.serial));
        }
        self.sweep_at = self.rows.len() * 2;
    }

    /// What is known of a serial number of an authority.
    pub fn status(&self, issuer: IssuerIndex, serial: &Serial) -> Status {
        if let Some(revoked) = self.revoked.get(&(issuer, *serial)) {
            return Status::Revoked(*revoked);
        }
        match self.rows.get(serial) {
            Some(row) if row.issuer == issuer => Status::Good(self.rows.entry(row)),
            _ => Status::Unknown,
        }
    }

    /// What was revoked of an authority's, in the order of serial numbers.
    pub fn revoked_by(&self, issuer: IssuerIndex) -> impl Iterator<Item = (&Serial, &Revoked)> + '_ {
        let first = Serial::least();
        self.revoked
            .range((issuer, first)..)
            .take_while(move |((by, _), _)| *by == issuer)
            .map(|((_, serial), revoked)| (serial, revoked))
    }

    /// Certificates that have not ended, in no order.
    pub fn rows(&self) -> impl Iterator<Item = &Row> + '_ {
        self.rows.iter()
    }

    /// A row as an entry, with its holder's name.
    pub fn entry_of(&self, row: &Row) -> Entry {
        self.rows.entry(row)
    }

    /// Those that are wanted, the first `most` in the order of their ends: one walk over all of them, however many fit.
    pub fn first_to_end(&self, most: usize, wanted: impl Fn(&Row) -> bool) -> Vec<(Serial, Entry)> {
        let mut first = BinaryHeap::new();
        for row in self.rows.iter() {
            let place = (row.not_after, row.serial);
            // The order first: it leaves out most of them once the heap is full.
            let fits = first.len() < most || first.peek().is_some_and(|last| place < *last);
            if fits && wanted(row) {
                first.push(place);
                if first.len() > most {
                    first.pop();
                }
            }
        }
        let sorted = first.into_sorted_vec();
        sorted.into_iter().filter_map(|(_, serial)| Some((serial, self.entry(&serial)?))).collect()
    }

    /// The certificate with this serial number.
    pub fn entry(&self, serial: &Serial) -> Option<Entry> {
        self.row(serial).map(|row| self.rows.entry(row))
    }

    /// The same as it is stored.
    pub fn row(&self, serial: &Serial) -> Option<&Row> {
        self.rows.get(serial)
    }

    /// The holders among these, as a list of all holders' places.
    pub fn holders(&self, some: impl Iterator<Item = StreamId>) -> Vec<bool> {
        let mut all = vec![false; self.rows.holders()];
        for place in some.filter_map(|subject| self.rows.holder(subject)) {
            if let Some(one) = all.get_mut(place.place()) {
                *one = true;
            }
        }
        all
    }

    /// The end of the certificate that the event at this position has, if one of these.
    pub fn end_of_event(&self, pos: u64) -> Option<Timestamp> {
        self.rows.iter().find(|row| row.pos == pos).map(|row| row.not_after)
    }

    /// How many of an authority's have not ended and are not revoked at `now`: what still drains. Our own (responders, listeners)
    /// do not count: they are there as long as the authority is.
    pub fn live(&self, issuer: IssuerIndex, now: Timestamp) -> usize {
        self.living(issuer, now).count()
    }

    /// What was revoked after the first `seen` revocations: issuer's name (DER) and serial number. `None` when that is longer
    /// ago than is remembered: then everything that was kept may be wrong.
    pub fn revoked_since(&self, seen: u64) -> Option<Vec<(Vec<u8>, Serial)>> {
        let missed = usize::try_from(self.revocations.checked_sub(seen)?).ok()?;
        if missed > self.recent.len() {
            return None;
        }
        let name = |index: &IssuerIndex| self.issuers.get(usize::from(index.0)).cloned().unwrap_or_default();
        Some(self.recent.iter().rev().take(missed).map(|(index, serial)| (name(index), *serial)).collect())
    }

    /// How often something was revoked so far.
    pub fn revocations(&self) -> u64 {
        self.revocations
    }
}

/// The issuer's Name in a certificate, cut out without reading the rest (RFC 5280 4.1): the fold sees every certificate
/// there ever was.
fn issuer_of(der: &[u8]) -> Option<&[u8]> {
    let certificate = content(der)?;
    let mut rest = content(certificate)?;
    // version [0], serialNumber, signature
    for _ in 0..3 {
        rest = rest.get(whole(rest)?..)?;
    }
    rest.get(..whole(rest)?)
}

fn content(der: &[u8]) -> Option<&[u8]> {
    let (header, length) = head(der)?;
    der.get(header..header.checked_add(length)?)
}

fn whole(der: &[u8]) -> Option<usize> {
    let (header, length) = head(der)?;
    header.checked_add(length)
}

/// Lengths of header and content (X.690 8.1.3), definite and below 64 KiB.
fn head(der: &[u8]) -> Option<(usize, usize)> {
    match der {
        [_, n, ..] if *n < 0x80 => Some((2, usize::from(*n))),
        [_, 0x81, n, ..] => Some((3, usize::from(*n))),
        [_, 0x82, h, l, ..] => Some((4, usize::from(u16::from_be_bytes([*h, *l])))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000 + seconds)
    }

    /// Only as much of a certificate as the inventory looks at: an issuer's name of one byte.
    fn certificate(issuer: u8) -> Vec<u8> {
        vec![0x30, 13, 0x30, 11, 0xa0, 0, 0x02, 1, 1, 0x30, 0, 0x30, 2, 0x31, issuer]
    }

    fn filled(count: u32) -> Inventory {
        let mut inventory = Inventory::default();
        for n in 0..count {
            let serial = format!("4{n:031x}");
            // No order of ends in the order of their making.
            let end = at(DAY + i64::from(n.wrapping_mul(2_654_435_761) % 100_000));
            let subject = (StreamId::from_bytes([(n % 7) as u8; 16]), 1);
            inventory.issued(
                &certificate((n % 2) as u8),
                &serial,
                subject,
                (u64::from(n), at(0)),
                (at(0), end),
            );
            inventory.made_by(&serial, if n % 3 == 0 { "a" } else { "b" });
        }
        inventory
    }

    // R48
    #[test]
    fn the_first_to_end_are_those_that_a_whole_sort_has_first() {
        let inventory = filled(3_000);
        let profile = inventory.profile("a");
        let issuer = inventory.issuer(&[0x30, 2, 0x31, 1]);
        assert!(profile.is_some() && issuer.is_some());
        let wanted = |row: &Row| row.profile == profile && Some(row.issuer) == issuer;
        let mut all: Vec<(Serial, Entry)> = inventory
            .rows()
            .filter(|row| wanted(row))
            .map(|row| (row.serial, inventory.entry_of(row)))
            .collect();
        all.sort_unstable_by_key(|(serial, e)| (e.not_after, *serial));
        assert_eq!(all.len(), 500);
        for most in [0, 1, 17, 499, 500, 5_000] {
            let expected: Vec<_> = all.iter().take(most).copied().collect();
            assert_eq!(inventory.first_to_end(most, wanted), expected, "{most}");
        }
    }
}
