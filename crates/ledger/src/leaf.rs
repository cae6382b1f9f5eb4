//! A log entry: fixed header plus commitment to the payload, and its RFC 6962 leaf hash.
//!
//! Layout (big-endian, 164 bytes, nothing optional):
//!
//! ```text
//! offset  size  field
//!      0     1  version, always 1
//!      1     2  kind           what happened (number of the event kind)
//!      3     8  pos            position in the log, from 0
//!     11     8  time_micros    sequencer's time, microseconds since 1970 UTC, never before an earlier entry's
//!     19     1  stream_kind    what the stream is about (device, release, operator, ...)
//!     20    16  stream         random id of the stream
//!     36     8  seq            number of this entry in its stream, from 0
//!     44     8  prev.pos       position of the stream's entry before; 2^64-1 when seq is 0
//!     52    32  prev.leaf      leaf hash of that entry; zeros when seq is 0
//!     84    16  actor          pseudonymous id of who caused it; zeros for the system itself
//!    100    32  policy         hash of the policy text in force
//!    132    32  commitment     SHA-256("lanyard c1" || salt || payload)
//! ```
//!
//! In scope: these bytes. Out of scope: the payload (erasable, stored beside the log) and its encoding.
//! The header holds no personal data: ids are random, and names live in the payload or in mutable tables.
//! To change the layout, add a version: old leaves must hash as before for ever.

use crate::hash::{Hash, sha256};

/// Length of every entry in bytes.
pub const ENTRY_LEN: usize = 164;
/// Length of the salt of a commitment.
pub const SALT_LEN: usize = 32;

const VERSION: u8 = 1;
const COMMIT_PREFIX: &[u8] = b"lanyard c1";
const NO_PREV: u64 = u64::MAX;

/// The public part of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafHeader {
    /// What happened; offset 1.
    pub kind: u16,
    /// Position in the log; offset 3.
    pub pos: u64,
    /// The sequencer's time in microseconds since 1970 UTC; offset 11.
    pub time_micros: i64,
    /// What the stream is about; offset 19.
    pub stream_kind: u8,
    /// Random id of the stream; offset 20.
    pub stream: [u8; 16],
    /// Number of this entry in its stream, from 0; offset 36.
    pub seq: u64,
    /// The stream's entry before, present exactly when `seq` is above 0; offset 44.
    pub prev: Option<Prev>,
    /// Pseudonymous id of who caused it; offset 84.
    pub actor: [u8; 16],
    /// Hash of the policy in force; offset 100.
    pub policy: Hash,
}

/// Link to the entry before in the same stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prev {
    /// Its position in the log.
    pub pos: u64,
    /// Its leaf hash.
    pub leaf: Hash,
}

/// Why bytes are not a log entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Wrong length.
    #[error("log entry has {0} bytes, expected {ENTRY_LEN}")]
    Length(usize),
    /// Unknown layout version.
    #[error("log entry has version {0}, expected {VERSION}")]
    Version(u8),
    /// `prev` and `seq` contradict each other.
    #[error(
        "log entry with seq {seq} has a previous position {prev_pos} and a previous leaf that do not fit it"
    )]
    Prev {
        /// Number in the stream.
        seq: u64,
        /// Previous position as read.
        prev_pos: u64,
    },
}

/// The entry's bytes. A header whose `prev` contradicts its `seq` gives bytes that [`decode`] refuses.
pub fn encode(header: &LeafHeader, commitment: &Hash) -> [u8; ENTRY_LEN] {
    let prev = header.prev.unwrap_or(Prev { pos: NO_PREV, leaf: Hash::ZERO });
    let mut writer = Writer { out: [0; ENTRY_LEN], at: 0 };
    writer.put(&[VERSION]);
    writer.put(&header.kind.to_be_bytes());
    writer.put(&header.pos.to_be_bytes());
    writer.put(&header.time_micros.to_be_bytes());
    writer.put(&[header.stream_kind]);
    writer.put(&header.stream);
    writer.put(&header.seq.to_be_bytes());
    writer.put(&prev.pos.to_be_bytes());
    writer.put(&prev.leaf.0);
    writer.put(&header.actor);
    writer.put(&header.policy.0);
    writer.put(&commitment.0);
    writer.out
}

/// Header and commitment of an entry; what it returns encodes to the same bytes.
pub fn decode(entry: &[u8]) -> Result<(LeafHeader, Hash), Malformed> {
    let mut reader = Reader { rest: entry };
    let parsed = reader.entry();
    match parsed {
        Some(parsed) if reader.rest.is_empty() => parsed,
        _ => Err(Malformed::Length(entry.len())),
    }
}

/// Commitment to a payload under a random salt: without the salt it says nothing about the payload.
pub fn commit(salt: &[u8; SALT_LEN], payload: &[u8]) -> Hash {
    sha256(&[COMMIT_PREFIX, salt, payload])
}

/// RFC 6962 2.1: SHA-256(0x00 || entry).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256(&[&[0x00], entry])
}

struct Writer {
    out: [u8; ENTRY_LEN],
    at: usize,
}

impl Writer {
    fn put(&mut self, bytes: &[u8]) {
        // The fields of the layout add up to ENTRY_LEN; a test compares the bytes.
        if let Some(room) = self.out.get_mut(self.at..self.at + bytes.len()) {
            room.copy_from_slice(bytes);
        }
        self.at += bytes.len();
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*head)
    }

    fn entry(&mut self) -> Option<Result<(LeafHeader, Hash), Malformed>> {
        let [version] = self.take::<1>()?;
        if version != VERSION {
            return Some(Err(Malformed::Version(version)));
        }
        let kind = u16::from_be_bytes(self.take()?);
        let pos = u64::from_be_bytes(self.take()?);
        let time_micros = i64::from_be_bytes(self.take()?);
        let [stream_kind] = self.take::<1>()?;
        let stream = self.take()?;
        let seq = u64::from_be_bytes(self.take()?);
        let prev = Prev { pos: u64::from_be_bytes(self.take()?), leaf: Hash(self.take()?) };
        let actor = self.take()?;
        let policy = Hash(self.take()?);
        let commitment = Hash(self.take()?);
        let first = prev.pos == NO_PREV && prev.leaf == Hash::ZERO;
        let prev = match (seq, first) {
            (0, true) => None,
            // A chain only points back.
            (1.., false) if prev.pos < pos => Some(prev),
            _ => return Some(Err(Malformed::Prev { seq, prev_pos: prev.pos })),
        };
        let header = LeafHeader { kind, pos, time_micros, stream_kind, stream, seq, prev, actor, policy };
        Some(Ok((header, commitment)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(pos: u64, seq: u64) -> LeafHeader {
        LeafHeader {
            kind: 0x0102,
            pos,
            time_micros: -5,
            stream_kind: 9,
            stream: [0xaa; 16],
            seq,
            prev: (seq > 0).then(|| Prev { pos: pos - 1, leaf: Hash([0xbb; 32]) }),
            actor: [0xcc; 16],
            policy: Hash([0xdd; 32]),
        }
    }

    #[test]
    fn fields_lie_at_their_documented_offsets() {
        let entry = encode(&header(7, 3), &Hash([0xee; 32]));
        assert_eq!(entry[0], 1);
        assert_eq!(entry[1..3], [1, 2]);
        assert_eq!(entry[3..11], 7u64.to_be_bytes());
        assert_eq!(entry[11..19], (-5i64).to_be_bytes());
        assert_eq!(entry[19], 9);
        assert_eq!(entry[20..36], [0xaa; 16]);
        assert_eq!(entry[36..44], 3u64.to_be_bytes());
        assert_eq!(entry[44..52], 6u64.to_be_bytes());
        assert_eq!(entry[52..84], [0xbb; 32]);
        assert_eq!(entry[84..100], [0xcc; 16]);
        assert_eq!(entry[100..132], [0xdd; 32]);
        assert_eq!(entry[132..164], [0xee; 32]);
    }

    #[test]
    fn first_of_a_stream_has_no_previous_and_others_have_one() {
        let first = encode(&header(7, 0), &Hash::ZERO);
        assert_eq!(decode(&first), Ok((header(7, 0), Hash::ZERO)));
        let none_but_later = LeafHeader { prev: None, ..header(7, 3) };
        let some_but_first = LeafHeader { prev: header(7, 3).prev, ..header(7, 0) };
        let points_ahead = LeafHeader { prev: Some(Prev { pos: 7, leaf: Hash::ZERO }), ..header(7, 3) };
        for bad in [none_but_later, some_but_first, points_ahead] {
            assert!(matches!(decode(&encode(&bad, &Hash::ZERO)), Err(Malformed::Prev { .. })), "{bad:?}");
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        let entry = encode(&header(7, 3), &Hash::ZERO);
        for len in 0..ENTRY_LEN {
            assert_eq!(decode(&entry[..len]), Err(Malformed::Length(len)));
        }
        assert_eq!(decode(&[&entry[..], &[0]].concat()), Err(Malformed::Length(ENTRY_LEN + 1)));
    }

    #[test]
    fn a_flipped_bit_never_reads_as_the_same_entry() {
        for seq in [0, 3] {
            let entry = encode(&header(7, seq), &Hash([0xee; 32]));
            for bit in 0..ENTRY_LEN * 8 {
                let mut flipped = entry;
                flipped[bit / 8] ^= 1 << (bit % 8);
                if let Ok((h, c)) = decode(&flipped) {
                    assert_eq!(encode(&h, &c), flipped, "bit {bit}");
                }
                assert_ne!(leaf_hash(&flipped), leaf_hash(&entry));
            }
        }
    }

    #[test]
    fn commitment_depends_on_salt_and_payload() {
        let c = commit(&[1; 32], b"payload");
        assert_ne!(c, commit(&[2; 32], b"payload"));
        assert_ne!(c, commit(&[1; 32], b"payloae"));
        assert_eq!(c, sha256(&[b"lanyard c1", &[1; 32], b"payload"]));
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(mut bytes in proptest::collection::vec(any::<u8>(), ENTRY_LEN), first: bool) {
            bytes[0] = VERSION;
            if first {
                bytes[36..44].fill(0);
                bytes[44..52].fill(0xff);
                bytes[52..84].fill(0);
            }
            if let Ok((h, c)) = decode(&bytes) {
                prop_assert_eq!(&encode(&h, &c)[..], &bytes[..]);
            }
        }
    }
}
