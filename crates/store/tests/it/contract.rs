//! What every engine under [`Store`] must do. Each case is a function over an open, empty store.

use crate::support::{Log, append, at, event, id};
use lanyard_store::append::MAX_REQUEST_BYTES;
use lanyard_store::{Append, AppendError, Claim, Level, OutboxItem, ReadError, SealError, Snapshot, Store};

async fn positions_are_dense_and_streams_chain(store: Store) {
    let a = store.append(append(1, 0, 2)).await.unwrap();
    let b = store.append(append(2, 0, 1)).await.unwrap();
    let c = store.append(append(1, 2, 1)).await.unwrap();
    assert_eq!((a.first_pos, b.first_pos, c.first_pos), (0, 2, 3));
    assert_eq!((a.next_seq, b.next_seq, c.next_seq), (2, 1, 3));
    let events = store.range(0, 100).await.unwrap();
    assert_eq!(events.iter().map(|e| e.header.pos).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let last = &events[3].header;
    assert_eq!((last.seq, last.prev.unwrap().pos, last.prev.unwrap().leaf), (2, 1, events[1].leaf));
    assert_eq!(events[0].payload.as_deref(), Some(&b"1/0"[..]));
    assert_eq!([events[0].leaf, events[1].leaf].to_vec(), a.leaves);
    assert_eq!(store.head().size, 4);
    assert_eq!(store.event(4).await.unwrap(), None);
    assert_eq!(store.event(2).await.unwrap().as_ref(), Some(&events[2]));
    assert_eq!(store.stream_head(id(1)).await.unwrap(), Some((3, 3)));
    assert_eq!(store.stream_head(id(9)).await.unwrap(), None);
}

async fn wrong_version_is_a_conflict_and_records_nothing(store: Store) {
    store.append(append(1, 0, 2)).await.unwrap();
    for wrong in [0, 1, 3, u64::MAX] {
        let expected = AppendError::Conflict { stream: id(1), expected: wrong, found: 2 };
        let request = Append { expected_seq: wrong, ..append(1, 0, 1) };
        assert_eq!(store.append(request).await, Err(expected));
    }
    let other_kind = Append { stream_kind: 2, ..append(1, 2, 1) };
    assert!(matches!(
        store.append(other_kind).await,
        Err(AppendError::StreamKind { expected: 2, found: 1, .. })
    ));
    assert_eq!(store.head().size, 2);
}

async fn what_a_decision_rests_on_must_not_have_moved_on(store: Store) {
    store.append(append(1, 0, 2)).await.unwrap();
    let resting = |n, seq, on, had| Append { steady: vec![(id(on), had)], ..append(n, seq, 1) };
    store.append(resting(2, 0, 1, 2)).await.unwrap();
    // A stream that nobody has written to yet can be rested on as well.
    store.append(resting(2, 1, 9, 0)).await.unwrap();
    let conflict = |stream, expected, found| AppendError::Conflict { stream: id(stream), expected, found };
    assert_eq!(store.append(resting(2, 2, 1, 1)).await, Err(conflict(1, 1, 2)));
    assert_eq!(store.append(resting(2, 2, 1, 3)).await, Err(conflict(1, 3, 2)));
    // In one request: what the request itself adds to it is no surprise.
    store.append_many(vec![append(1, 2, 1), resting(2, 2, 1, 2)]).await.unwrap();
    assert_eq!(store.head().size, 6);
}

async fn several_appends_are_recorded_together_or_not_at_all(store: Store) {
    let many = vec![append(1, 0, 1), append(2, 0, 2), append(1, 1, 1)];
    let done = store.append_many(many).await.unwrap();
    assert_eq!(done.iter().map(|d| d.first_pos).collect::<Vec<_>>(), [0, 1, 3]);
    let claim = Claim { space: 1, key: [1; 32] };
    let half = vec![Append { claims: vec![claim], ..append(3, 0, 1) }, append(2, 0, 1)];
    assert!(matches!(store.append_many(half).await, Err(AppendError::Conflict { .. })));
    assert_eq!(store.head().size, 4);
    assert_eq!(store.stream(id(3), 0, 10).await.unwrap(), []);
    assert_eq!(store.claim_owner(1, [1; 32]).await.unwrap(), None);
    let kinds = vec![append(5, 0, 1), Append { stream_kind: 9, ..append(5, 1, 1) }];
    assert!(matches!(store.append_many(kinds).await, Err(AppendError::StreamKind { .. })));
}

async fn a_claim_belongs_to_its_first_stream_for_ever(store: Store) {
    let claim =
        |n, seq, space, key| Append { claims: vec![Claim { space, key: [key; 32] }], ..append(n, seq, 1) };
    store.append(claim(1, 0, 1, 5)).await.unwrap();
    let taken = AppendError::ClaimTaken { space: 1, owner: id(1) };
    assert_eq!(store.append(claim(2, 0, 1, 5)).await, Err(taken.clone()));
    store.append(claim(1, 1, 1, 5)).await.unwrap();
    store.append(claim(2, 0, 2, 5)).await.unwrap();
    assert_eq!(store.claim_owner(1, [5; 32]).await.unwrap(), Some(id(1)));
    assert_eq!(store.claim_owner(2, [5; 32]).await.unwrap(), Some(id(2)));
    // Within one request as well.
    let both = vec![claim(3, 0, 1, 6), claim(4, 0, 1, 6)];
    let taken = AppendError::ClaimTaken { space: 1, owner: id(3) };
    assert_eq!(store.append_many(both).await, Err(taken));
    assert_eq!(store.claim_owner(1, [6; 32]).await.unwrap(), None);
}

async fn the_same_key_gets_the_first_answer(store: Store) {
    let request = Append { idempotency: Some([8; 32]), ..append(1, 0, 3) };
    let first = store.append(request.clone()).await.unwrap();
    store.append(append(1, 3, 1)).await.unwrap();
    assert_eq!(store.append(request.clone()).await, Err(AppendError::Duplicate(first.clone())));
    let other_version = Append { expected_seq: 77, ..request };
    assert_eq!(store.append(other_version).await, Err(AppendError::Duplicate(first)));
    assert_eq!(store.head().size, 4);
    let twice = vec![append(2, 0, 1), append(3, 0, 1)]
        .into_iter()
        .map(|a| Append { idempotency: Some([9; 32]), ..a })
        .collect();
    assert!(store.append_many(twice).await.is_err());
    assert_eq!(store.head().size, 4);
}

async fn a_key_is_forgotten_after_a_week_not_before(store: Store) {
    let day = 86_400;
    let keyed = |n, seconds| Append { idempotency: Some([8; 32]), now: at(seconds), ..append(n, 0, 1) };
    // An erasure makes the writer tidy up after its batch.
    let tidy = |seq, seconds| Append { erase: vec![0], now: at(seconds), ..append(9, seq, 1) };
    store.append(keyed(1, 0)).await.unwrap();
    store.append(tidy(0, 7 * day)).await.unwrap();
    assert!(matches!(store.append(keyed(2, 7 * day)).await, Err(AppendError::Duplicate(_))));
    store.append(tidy(1, 7 * day + 1)).await.unwrap();
    store.append(keyed(2, 7 * day + 1)).await.unwrap();
}

async fn recorded_time_never_goes_back(store: Store) {
    let with_time = |n, seconds| Append { now: at(seconds), ..append(n, 0, 1) };
    assert_eq!(store.append(with_time(1, 10)).await.unwrap().time, at(10));
    assert_eq!(store.append(with_time(2, 5)).await.unwrap().time, at(10));
    assert_eq!(store.append(with_time(3, 11)).await.unwrap().time, at(11));
    let times: Vec<_> = store.range(0, 9).await.unwrap().iter().map(|e| e.header.time_micros).collect();
    assert!(times.is_sorted());
}

async fn limits_are_refused_before_anything_is_recorded(store: Store) {
    let large = Append { events: vec![event(&"x".repeat(MAX_REQUEST_BYTES))], ..append(1, 0, 1) };
    assert_eq!(store.append(large).await, Err(AppendError::TooLarge));
    assert_eq!(store.append(append(1, 0, 4097)).await, Err(AppendError::TooLarge));
    assert_eq!(store.append(append(1, 0, 0)).await, Err(AppendError::Empty));
    assert_eq!(store.append_many(Vec::new()).await, Err(AppendError::Empty));
    let future = Append { erase: vec![0], ..append(1, 0, 1) };
    assert_eq!(store.append(future).await, Err(AppendError::NoSuchEvent(0)));
    assert_eq!(store.head().size, 0);
    store.append(append(1, 0, 4096)).await.unwrap();
}

async fn a_stream_reads_from_any_number(store: Store) {
    // 300 events cross several marks; another stream lies between them.
    for i in 0..75 {
        store.append_many(vec![append(1, i * 4, 4), append(2, i, 1)]).await.unwrap();
    }
    for (from, limit) in
        [(0, 300), (0, 1), (63, 1), (64, 1), (63, 3), (128, 64), (190, 500), (299, 9), (300, 9)]
    {
        let events = store.stream(id(1), from, limit).await.unwrap();
        let expected: Vec<u64> = (from..300.min(from + limit as u64)).collect();
        assert_eq!(events.iter().map(|e| e.header.seq).collect::<Vec<_>>(), expected, "{from} {limit}");
        for e in &events {
            assert_eq!(e.payload.as_deref(), Some(format!("1/{}", e.header.seq).as_bytes()));
        }
    }
    assert_eq!(store.stream(id(9), 0, 10).await.unwrap(), []);
    assert_eq!(store.range(370, 100).await.unwrap().len(), 5);
}

async fn blobs_and_labels_are_found_again(store: Store) {
    let (blob, key) = (b"evidence".to_vec(), [7; 32]);
    let with = |n, seq| Append { blobs: vec![blob.clone()], labels: vec![key, key], ..append(n, seq, 2) };
    store.append(with(1, 0)).await.unwrap();
    store.append(with(2, 0)).await.unwrap();
    let digest = lanyard_ledger::hash::sha256(&[&blob]).0;
    assert_eq!(store.blob(digest).await.unwrap(), Some(blob));
    assert_eq!(store.blob([0; 32]).await.unwrap(), None);
    assert_eq!(store.labelled(key, 10).await.unwrap(), [2, 0]);
    assert!(store.labelled([8; 32], 10).await.unwrap().is_empty());
}

async fn outbox_rows_stay_until_done(store: Store) {
    let item = |body: &str| OutboxItem { topic: 1, body: body.as_bytes().to_vec() };
    store.append(Append { outbox: vec![item("a"), item("b")], ..append(1, 0, 1) }).await.unwrap();
    let other = OutboxItem { topic: 2, body: Vec::new() };
    store.append(Append { outbox: vec![item("c"), other], ..append(1, 1, 1) }).await.unwrap();
    let rows = store.outbox_after(1, 0, 10).await.unwrap();
    assert_eq!(rows.iter().map(|r| r.body.as_slice()).collect::<Vec<_>>(), [b"a", b"b", b"c"]);
    assert!(rows.is_sorted_by_key(|r| r.id));
    assert_eq!(store.outbox_after(1, rows[0].id, 1).await.unwrap(), rows[1..2]);
    store.outbox_done(1, rows[1].id).await.unwrap();
    let left = store.outbox_after(1, 0, 10).await.unwrap();
    assert_eq!(left, [rows[0].clone(), rows[2].clone()]);
    assert_eq!(store.outbox_after(2, 0, 10).await.unwrap().len(), 1);
}

async fn snapshots_are_replaced(store: Store) {
    assert_eq!(store.snapshot_get("devices").await.unwrap(), None);
    for pos in [3, 7] {
        let snapshot = Snapshot { pos, body: vec![pos as u8; 3] };
        store.snapshot_put("devices", snapshot.clone()).await.unwrap();
        assert_eq!(store.snapshot_get("devices").await.unwrap(), Some(snapshot));
    }
}

async fn levels_rise_with_seal_and_are_absent_beyond_the_head(store: Store) {
    assert_eq!(store.seal(at(0)).await.unwrap(), None);
    store.append(append(1, 0, 2)).await.unwrap();
    assert_eq!(store.level_of(1), Some(Level::Durable));
    assert_eq!(store.level_of(2), None);
    let mut changes = store.subscribe_checkpoints();
    let sealed = store.seal(at(5)).await.unwrap().unwrap();
    assert!(changes.has_changed().unwrap());
    assert_eq!(changes.borrow_and_update().as_ref(), Some(&sealed));
    assert_eq!((sealed.size, sealed.root, sealed.time), (2, store.head().root, at(5)));
    assert_eq!(store.level_of(1), Some(Level::Sealed));
    assert_eq!(store.seal(at(6)).await.unwrap(), None);
    store.append(append(1, 2, 1)).await.unwrap();
    assert_eq!(store.level_of(2), Some(Level::Durable));
    store.seal(at(7)).await.unwrap().unwrap();
    assert_eq!(store.checkpoint_by_root(sealed.root).await.unwrap().as_ref(), Some(&sealed));
    assert_eq!(store.checkpoint_covering(1).await.unwrap().as_ref(), Some(&sealed));
    assert_eq!(store.checkpoint_covering(3).await.unwrap(), store.latest_checkpoint());
    assert_eq!(store.checkpoint_covering(4).await.unwrap(), None);
}

async fn proofs_beyond_the_head_are_refused(store: Store) {
    store.append(append(1, 0, 2)).await.unwrap();
    assert_eq!(store.inclusion_proof(0, 3).await, Err(ReadError::Range { index: 3, size: 2 }));
    assert_eq!(store.inclusion_proof(2, 2).await, Err(ReadError::Range { index: 2, size: 2 }));
    assert_eq!(store.consistency_proof(2, 1).await, Err(ReadError::Range { index: 2, size: 1 }));
    assert!(store.root_at(3).await.is_err());
}

async fn waiting_on_the_durable_head_sees_each_append(store: Store) {
    let mut head = store.durable_head();
    let from = head.borrow_and_update().size;
    let writer = tokio::spawn({
        let store = store.clone();
        async move { store.append(append(1, 0, 1)).await.unwrap() }
    });
    head.changed().await.unwrap();
    assert_eq!(store.range(from, 10).await.unwrap().len(), 1);
    writer.await.unwrap();
}

async fn a_closed_store_answers_unavailable(store: Store) {
    let other = store.clone();
    store.append(append(1, 0, 1)).await.unwrap();
    store.close().await.unwrap();
    assert!(matches!(other.append(append(1, 1, 1)).await, Err(AppendError::Unavailable(_))));
    assert!(matches!(other.seal(at(1)).await, Err(SealError::Unavailable(_))));
    // At once, without waiting for a connection that will not come.
    assert_eq!(other.event(0).await, Err(ReadError::Unavailable("the log was closed".to_owned())));
}

/// One test per line, each on a fresh log that is checked afterwards.
macro_rules! contract {
    ($($case:ident),* $(,)?) => { mod on_sqlite { $(
        #[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            let log = crate::support::Log::new();
            let store = log.open();
            super::$case(store.clone()).await;
            let _ = store.close().await;
            log.check();
        }
    )* } };
}

contract! {
    positions_are_dense_and_streams_chain,
    wrong_version_is_a_conflict_and_records_nothing,
    what_a_decision_rests_on_must_not_have_moved_on,
    several_appends_are_recorded_together_or_not_at_all,
    a_claim_belongs_to_its_first_stream_for_ever,
    the_same_key_gets_the_first_answer,
    a_key_is_forgotten_after_a_week_not_before,
    recorded_time_never_goes_back,
    limits_are_refused_before_anything_is_recorded,
    a_stream_reads_from_any_number,
    outbox_rows_stay_until_done,
    blobs_and_labels_are_found_again,
    snapshots_are_replaced,
    levels_rise_with_seal_and_are_absent_beyond_the_head,
    proofs_beyond_the_head_are_refused,
    waiting_on_the_durable_head_sees_each_append,
    a_closed_store_answers_unavailable,
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_as_before_after_a_restart() {
    let log = Log::new();
    let store = log.open();
    let claimed = Append { claims: vec![Claim { space: 1, key: [5; 32] }], ..append(1, 0, 300) };
    let keyed = Append { idempotency: Some([8; 32]), now: at(50), ..claimed };
    let first = store.append(keyed.clone()).await.unwrap();
    let sealed = store.seal(at(60)).await.unwrap();
    let (head, events) = (store.head(), store.range(0, 1000).await.unwrap());
    store.close().await.unwrap();
    let store = log.open();
    assert_eq!((store.head(), store.range(0, 1000).await.unwrap()), (head, events));
    assert_eq!(store.latest_checkpoint(), sealed);
    assert_eq!(store.level_of(299), Some(Level::Sealed));
    assert_eq!(store.append(keyed).await, Err(AppendError::Duplicate(first)));
    let stale = store.append(append(1, 299, 1)).await;
    assert_eq!(stale, Err(AppendError::Conflict { stream: id(1), expected: 299, found: 300 }));
    let taken = Append { claims: vec![Claim { space: 1, key: [5; 32] }], ..append(2, 0, 1) };
    assert!(matches!(store.append(taken).await, Err(AppendError::ClaimTaken { .. })));
    let next = store.append(append(1, 300, 1)).await.unwrap();
    assert_eq!((next.first_pos, next.time), (300, at(50)));
    store.close().await.unwrap();
    assert_eq!(log.check().events, 301);
}
