//! Whatever is changed in the database, the check names the place.

use crate::support::{Log, append, at, verifier};
use lanyard_store::{Append, CheckError, Claim, OutboxItem, Trust, check};
use rusqlite::Connection;

async fn full_log() -> Log {
    let log = Log::new();
    let store = log.open();
    for n in 0..4 {
        let claims = vec![Claim { space: 1, key: [n as u8; 32] }];
        let outbox = vec![OutboxItem { topic: 1, body: vec![1] }];
        let (idempotency, blobs) = (Some([n as u8; 32]), vec![b"evidence".to_vec()]);
        let request = Append { claims, outbox, idempotency, blobs, ..append(n, 0, 150) };
        store.append(request).await.unwrap();
        store.seal(at(n as i64)).await.unwrap().unwrap();
    }
    store.append(append(0, 150, 3)).await.unwrap();
    store.close().await.unwrap();
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tampering_is_found_and_named() {
    let log = full_log().await;
    let report = log.check();
    assert_eq!((report.events, report.streams, report.claims), (603, 4, 4));
    assert_eq!((report.checkpoints, report.anchored, report.erased), (4, Some(600), 0));
    let cases: &[(&str, &str, Option<u64>)] = &[
        (
            "UPDATE event SET entry = (SELECT entry FROM event WHERE pos = 8) WHERE pos = 7",
            "position in the entry",
            Some(7),
        ),
        (
            "UPDATE event SET entry = CAST(substr(entry, 1, 163) || x'00' AS BLOB) WHERE pos = 7",
            "payload commitment",
            Some(7),
        ),
        ("UPDATE event SET entry = x'00' WHERE pos = 7", "entry", Some(7)),
        ("DELETE FROM event WHERE pos = 7", "position of the next event", Some(7)),
        ("DELETE FROM event WHERE pos = 602", "events counted by the head", Some(602)),
        ("UPDATE payload SET body = x'41' WHERE pos = 9", "payload commitment", Some(9)),
        ("UPDATE payload SET salt = zeroblob(32) WHERE pos = 9", "payload commitment", Some(9)),
        ("INSERT INTO payload VALUES (900, zeroblob(32), x'')", "payload without event", Some(603)),
        ("UPDATE tile SET hashes = zeroblob(8192) WHERE level = 0 AND idx = 1", "tile", Some(256)),
        ("DELETE FROM tile WHERE level = 0 AND idx = 0", "tile", Some(0)),
        ("DELETE FROM tile WHERE level = 1", "tile", Some(0)),
        ("INSERT INTO tile VALUES (0, 5, zeroblob(8192))", "number of tiles", None),
        ("UPDATE head SET root = zeroblob(32)", "root in the head", Some(603)),
        ("UPDATE head SET time = time + 1", "time in the head", None),
        ("UPDATE head SET next = 602", "events counted by the head", None),
        ("UPDATE stream SET next_seq = next_seq - 1 WHERE no = 2", "stream head", Some(2)),
        ("UPDATE stream SET last_leaf = zeroblob(32) WHERE no = 2", "stream head", Some(2)),
        ("DELETE FROM stream WHERE no = 2", "number of streams", None),
        (
            "UPDATE stream_mark SET pos = pos + 1 WHERE stream_no = 1 AND block = 1",
            "mark of a stream",
            Some(214),
        ),
        ("DELETE FROM stream_mark WHERE stream_no = 1 AND block = 2", "mark of a stream", Some(278)),
        ("INSERT INTO stream_mark VALUES (1, 9, 5)", "number of stream marks", None),
        ("UPDATE claim SET stream = (SELECT id FROM stream WHERE no = 3) WHERE pos = 0", "claim", Some(0)),
        ("INSERT INTO idem VALUES (900, randomblob(32), 1, 1, 1)", "idempotency key without event", None),
        ("INSERT INTO label VALUES (zeroblob(32), 900)", "label without event", None),
        ("UPDATE blob SET body = x'41'", "digest of kept bytes", Some(1)),
        ("INSERT INTO outbox VALUES (1, 900 << 16, x'')", "outbox row without event", None),
        (
            "UPDATE ckpt SET note = replace(note, 'log.', 'lug.') WHERE size = 300",
            "signed checkpoint",
            Some(300),
        ),
        ("UPDATE ckpt SET size = 301 WHERE size = 300", "signed checkpoint", Some(301)),
        ("UPDATE ckpt SET root = zeroblob(32) WHERE size = 300", "signed checkpoint", Some(300)),
        ("UPDATE meta SET value = x'41'", "log key", None),
    ];
    for (sql, what, place) in cases {
        let copy = Log::new();
        std::fs::create_dir_all(copy.dir()).unwrap();
        std::fs::create_dir_all(copy.anchor_dir()).unwrap();
        std::fs::copy(log.dir().join("log.db"), copy.dir().join("log.db")).unwrap();
        std::fs::copy(log.anchor_dir().join("checkpoint"), copy.anchor_dir().join("checkpoint")).unwrap();
        let db = Connection::open(copy.dir().join("log.db")).unwrap();
        assert!(db.execute(sql, []).unwrap() > 0, "{sql}");
        drop(db);
        match check(&copy.dir(), &copy.trust()) {
            Err(CheckError::Difference(found)) => {
                assert_eq!(found.what, *what, "{sql}: {found}");
                assert_eq!(place.unwrap_or(found.at), found.at, "{sql}: {found}");
                assert_ne!(found.expected, found.found, "{sql}");
            }
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consistent_but_shorter_log_is_found_by_its_anchor() {
    let long = full_log().await;
    let short = Log::new();
    let store = short.open();
    store.append(append(0, 0, 10)).await.unwrap();
    store.close().await.unwrap();
    let trust = Trust { log: Some(verifier()), anchor_dir: Some(long.anchor_dir()) };
    match check(&short.dir(), &trust) {
        Err(CheckError::Difference(found)) => assert_eq!((found.what, found.at), ("size of the log", 10)),
        other => panic!("{other:?}"),
    }
    assert!(matches!(check(long.root.path(), &trust), Err(CheckError::NoLog(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_may_be_checked_while_it_is_written() {
    let log = Log::new();
    let store = log.open();
    store.append(append(1, 0, 10)).await.unwrap();
    assert_eq!(log.check().events, 10);
    store.append(append(1, 10, 1)).await.unwrap();
    assert_eq!(log.check().events, 11);
    store.close().await.unwrap();
}
