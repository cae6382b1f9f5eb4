//! Random requests against the store and against the rules written down a second time, as plainly as possible.

use std::collections::HashMap;

use crate::support::{Log, append, at, id};
use lanyard_store::{Append, AppendError, Claim, StreamId};
use proptest::prelude::*;

/// What the rules need to remember.
#[derive(Clone, Default)]
struct Model {
    streams: HashMap<StreamId, (u8, u64)>,
    owners: HashMap<(u8, [u8; 32]), StreamId>,
    keys: HashMap<[u8; 32], u64>,
    size: u64,
    time: i64,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Recorded(Vec<(u64, u64, i64)>),
    Duplicate(u64),
    Conflict(u64),
    Kind(u8),
    Taken(StreamId),
    NoSuchEvent(u64),
    Refused,
}

impl Model {
    fn request(&mut self, appends: &[Append]) -> Verdict {
        let mut next = self.clone();
        let mut recorded = Vec::new();
        let mut keys = Vec::new();
        for a in appends {
            if let Some(key) = a.idempotency {
                if let Some(pos) = self.keys.get(&key) {
                    return Verdict::Duplicate(*pos);
                }
                if keys.contains(&key) {
                    return Verdict::Refused;
                }
                keys.push(key);
            }
            let (kind, seq) = *next.streams.entry(a.stream).or_insert((a.stream_kind, 0));
            if seq != a.expected_seq {
                return Verdict::Conflict(seq);
            }
            if kind != a.stream_kind {
                return Verdict::Kind(kind);
            }
            for claim in &a.claims {
                let owner = *next.owners.entry((claim.space, claim.key)).or_insert(a.stream);
                if owner != a.stream {
                    return Verdict::Taken(owner);
                }
            }
            if let Some(pos) = a.erase.iter().find(|pos| **pos >= self.size) {
                return Verdict::NoSuchEvent(*pos);
            }
            next.time = next.time.max(a.now.as_micros());
            let count = a.events.len() as u64;
            next.streams.insert(a.stream, (kind, seq + count));
            next.keys.extend(a.idempotency.map(|key| (key, next.size)));
            recorded.push((next.size, seq + count, next.time));
            next.size += count;
        }
        *self = next;
        Verdict::Recorded(recorded)
    }
}

/// A request as drawn: stream, offset to the right version, events, kind, claim, key, seconds, erased position.
type Drawn = (u64, i8, u64, u8, Option<u8>, Option<u8>, i64, Option<u64>);

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    let offset = prop_oneof![9 => Just(0i8), 1 => -1i8..=1];
    let kind = prop_oneof![9 => Just(1u8), 1 => Just(2u8)];
    let claim = proptest::option::weighted(0.3, 0..6u8);
    let key = proptest::option::weighted(0.2, 0..20u8);
    let erase = proptest::option::weighted(0.1, 0..60u64);
    let one = (0..5u64, offset, 1..4u64, kind, claim, key, 0..50i64, erase);
    proptest::collection::vec(one, 1..4)
}

fn request(model: &Model, drawn: &[Drawn]) -> Vec<Append> {
    let mut next: HashMap<u64, u64> = HashMap::new();
    drawn
        .iter()
        .map(|(n, offset, count, kind, claim, key, seconds, erase)| {
            let seq = next.entry(*n).or_insert_with(|| model.streams.get(&id(*n)).map_or(0, |s| s.1));
            let expected = seq.saturating_add_signed(i64::from(*offset));
            *seq += count;
            Append {
                stream_kind: *kind,
                claims: claim.map(|c| Claim { space: 1, key: [c; 32] }).into_iter().collect(),
                idempotency: key.map(|k| [k; 32]),
                now: at(*seconds),
                erase: erase.iter().copied().collect(),
                ..append(*n, expected, *count)
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_store_decides_as_the_rules_say(
        requests in proptest::collection::vec((drawn(), proptest::bool::weighted(0.1)), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let log = Log::new();
        let mut model = Model::default();
        runtime.block_on(async {
            let mut store = log.open();
            for (drawn, restart) in requests {
                if restart {
                    store.seal(at(60)).await.unwrap();
                    store.close().await.unwrap();
                    store = log.open();
                }
                let appends = request(&model, &drawn);
                let expected = model.request(&appends);
                let found = match store.append_many(appends).await {
                    Ok(done) => Verdict::Recorded(
                        done.iter().map(|d| (d.first_pos, d.next_seq, d.time.as_micros())).collect(),
                    ),
                    Err(AppendError::Duplicate(first)) => Verdict::Duplicate(first.first_pos),
                    Err(AppendError::Conflict { found, .. }) => Verdict::Conflict(found),
                    Err(AppendError::StreamKind { found, .. }) => Verdict::Kind(found),
                    Err(AppendError::ClaimTaken { owner, .. }) => Verdict::Taken(owner),
                    Err(AppendError::NoSuchEvent(pos)) => Verdict::NoSuchEvent(pos),
                    Err(AppendError::Unavailable(_)) => Verdict::Refused,
                    Err(other) => panic!("{other}"),
                };
                assert_eq!(found, expected);
            }
            assert_eq!(store.head().size, model.size);
            store.close().await.unwrap();
        });
        let report = log.check();
        prop_assert_eq!((report.events, report.claims), (model.size, model.owners.len() as u64));
    }
}
