//! After a stop that was not clean: what the start checks at once, what the audit finds while the log is in use, and that what
//! was found is not forgotten.

use std::fs;

use crate::support::{Log, append, at};
use lanyard_store::{Append, AuditError, OpenError, Options, Store, Unclean};
use rusqlite::Connection;

/// As kill -9 leaves it.
fn died(log: &Log) {
    fs::write(log.dir().join("lock"), "in use\n").unwrap();
}

fn open(log: &Log) -> Result<Store, OpenError> {
    Store::open(&log.dir(), Options { unclean: Unclean::Tail, ..log.options() })
}

/// `big` requests of 4,000 events, then some small ones with kept bytes.
async fn filled(big: u64) -> Log {
    let log = Log::new();
    let store = log.open();
    for n in 0..big {
        store.append(append(0, n * 4_000, 4_000)).await.unwrap();
    }
    for n in 1..4 {
        let blobs = vec![b"evidence".to_vec()];
        store.append(Append { blobs, ..append(n, 0, 150) }).await.unwrap();
        store.seal(at(n as i64)).await.unwrap().unwrap();
    }
    store.close().await.unwrap();
    log
}

fn change(log: &Log, sql: &str) {
    let changed = Connection::open(log.dir().join("log.db")).unwrap().execute(sql, []).unwrap();
    assert!(changed > 0, "{sql}");
}

async fn audit(store: &Store) -> Result<(), AuditError> {
    store.audit(|_| std::future::ready(())).await
}

// I3
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_counts_as_clean_only_once_the_crash_before_it_was_audited() {
    let log = filled(0).await;
    let store = open(&log).unwrap();
    assert!(!store.audit_due(), "it was closed cleanly");
    store.close().await.unwrap();
    died(&log);
    for _ in 0..2 {
        let store = open(&log).unwrap();
        assert!(store.audit_due());
        store
            .append(append(9, store.stream_head([9; 16]).await.unwrap().map_or(0, |h| h.0), 0))
            .await
            .unwrap_err();
        store.close().await.unwrap();
    }
    let store = open(&log).unwrap();
    let before = store.head();
    audit(&store).await.unwrap();
    assert!(!store.audit_due());
    assert_eq!(store.head(), before);
    store.close().await.unwrap();
    assert!(!open(&log).unwrap().audit_due());
}

// I3: whatever of the newest events, their tiles and streams is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn damage_where_the_crash_was_refuses_the_start() {
    for sql in [
        "UPDATE event SET entry = (SELECT entry FROM event WHERE pos = 8) WHERE pos = 7",
        "UPDATE event SET entry = x'00' WHERE pos = 7",
        "DELETE FROM event WHERE pos = 7",
        "DELETE FROM event WHERE pos = 449",
        "UPDATE payload SET body = x'41' WHERE pos = 9",
        "UPDATE payload SET salt = zeroblob(32) WHERE pos = 449",
        "UPDATE payload SET salt = zeroblob(3) WHERE pos = 449",
        "UPDATE tile SET hashes = zeroblob(8192) WHERE level = 0 AND idx = 0",
        "DELETE FROM tile WHERE level = 0 AND idx = 0",
        "UPDATE tile SET hashes = zeroblob(32) WHERE level = 1",
        "UPDATE head SET root = zeroblob(32)",
        "UPDATE head SET time = time + 1",
        "UPDATE head SET next = 449",
        "UPDATE stream SET next_seq = next_seq - 1 WHERE no = 2",
        "UPDATE stream SET last_leaf = zeroblob(32) WHERE no = 2",
        "DELETE FROM stream WHERE no = 1",
    ] {
        let log = filled(0).await;
        change(&log, sql);
        died(&log);
        let refused = open(&log).map(|_| ()).unwrap_err();
        assert!(
            matches!(refused, OpenError::Damaged(_) | OpenError::Behind { .. } | OpenError::Fork { .. }),
            "{sql}: {refused}"
        );
    }
}

// I3: further back than a crash reaches the start does not look; the audit does, and what it finds is not forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn damage_further_back_is_found_while_the_log_is_in_use_and_by_each_start_from_then_on() {
    let log = filled(18).await;
    let file = log.dir().join("log.db");
    let whole = fs::read(&file).unwrap();
    for (sql, what) in [
        ("UPDATE payload SET body = x'41' WHERE pos = 9", "at position 9"),
        ("UPDATE event SET entry = (SELECT entry FROM event WHERE pos = 8) WHERE pos = 7", "at position 7"),
        ("DELETE FROM event WHERE pos = 4095", "at position 4095"),
        ("UPDATE tile SET hashes = zeroblob(8192) WHERE level = 0 AND idx = 1", "at position 256"),
        ("DELETE FROM tile WHERE level = 0 AND idx = 2", "at position 512"),
        ("UPDATE blob SET body = x'41'", "kept bytes"),
    ] {
        change(&log, sql);
        died(&log);
        let store = open(&log).unwrap_or_else(|e| panic!("{sql}: {e}"));
        let found = audit(&store).await.unwrap_err();
        assert!(matches!(&found, AuditError::Damaged(text) if text.contains(what)), "{sql}: {found}");
        assert!(store.audit_due());
        store.close().await.unwrap();
        for _ in 0..2 {
            let refused = open(&log).map(|_| ()).unwrap_err();
            assert!(matches!(refused, OpenError::Damaged(_)), "{sql}: {refused}");
        }
        // Restored: checked as a whole once, and good from then on.
        fs::write(&file, &whole).unwrap();
        open(&log).unwrap().close().await.unwrap();
        assert!(!log.dir().join("damaged").exists());
    }
}

// A page that is no page: SQLite's own complaint is damage, not a reason to try again.
#[tokio::test(flavor = "multi_thread")]
async fn pages_that_are_no_pages_are_damage() {
    let log = filled(18).await;
    let file = log.dir().join("log.db");
    let mut bytes = fs::read(&file).unwrap();
    let page: i64 = Connection::open(&file)
        .unwrap()
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'claim'", [], |row| row.get(0))
        .unwrap();
    let first = (usize::try_from(page).unwrap() - 1) * 4_096;
    bytes[first..first + 4_096].fill(0xa5);
    fs::write(&file, &bytes).unwrap();
    died(&log);
    let store = open(&log).unwrap();
    let found = audit(&store).await.unwrap_err();
    assert!(matches!(&found, AuditError::Damaged(_)), "{found}");
    store.close().await.unwrap();
}
