//! A log that lost or changed history is refused before it signs anything.

use std::fs;
use std::path::Path;

use crate::support::{Log, ORIGIN, append, at, signer};
use lanyard_ledger::note::NoteSigner;
use lanyard_store::anchor::AnchorError;
use lanyard_store::{AppendError, LostAnchor, OpenError, Options, Store};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// A log with a backup at three events, and five events at the end, sealed.
async fn with_backup(log: &Log) -> std::path::PathBuf {
    let backup = log.root.path().join("backup");
    let store = log.open();
    store.append(append(1, 0, 3)).await.unwrap();
    store.seal(at(1)).await.unwrap().unwrap();
    store.close().await.unwrap();
    copy(&log.dir(), &backup);
    let store = log.open();
    store.append(append(1, 3, 2)).await.unwrap();
    store.seal(at(2)).await.unwrap().unwrap();
    store.close().await.unwrap();
    backup
}

fn restore(log: &Log, backup: &Path) {
    fs::remove_dir_all(log.dir()).unwrap();
    copy(backup, &log.dir());
}

// I7
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_old_copy_is_refused() {
    let log = Log::new();
    let backup = with_backup(&log).await;
    let anchored = fs::read(log.anchor_dir().join("checkpoint")).unwrap();
    restore(&log, &backup);
    assert!(matches!(log.try_open(), Err(OpenError::Behind { size: 3, anchored: 5 })));
    fs::remove_dir_all(log.dir()).unwrap();
    assert!(matches!(log.try_open(), Err(OpenError::Behind { size: 0, anchored: 5 })));
    assert_eq!(fs::read(log.anchor_dir().join("checkpoint")).unwrap(), anchored);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_grew_differently_is_a_fork() {
    let log = Log::new();
    let backup = with_backup(&log).await;
    restore(&log, &backup);
    // The copy runs with an anchor of its own and then meets the true one.
    let elsewhere = log.root.path().join("other-anchor");
    let lost = Options { lost_anchor: LostAnchor::WriteBack, ..Options::new(signer(), elsewhere) };
    let store = Store::open(&log.dir(), lost).unwrap();
    store.append(append(9, 0, 10)).await.unwrap();
    store.close().await.unwrap();
    assert!(matches!(log.try_open(), Err(OpenError::Fork { size: 5, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_or_rolled_back_anchor_needs_an_operators_word() {
    let log = Log::new();
    drop(with_backup(&log).await);
    fs::remove_dir_all(log.anchor_dir()).unwrap();
    assert!(matches!(log.try_open(), Err(OpenError::AnchorLost { anchored: 0, recorded: 5 })));
    let store =
        Store::open(&log.dir(), Options { lost_anchor: LostAnchor::WriteBack, ..log.options() }).unwrap();
    store.close().await.unwrap();
    assert_eq!(log.check().anchored, Some(5));
    log.open().close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_or_damaged_anchor_is_refused() {
    let log = Log::new();
    drop(with_backup(&log).await);
    let file = log.anchor_dir().join("checkpoint");
    let mut note = fs::read(&file).unwrap();
    let last = note.len() - 10;
    note[last] ^= 1;
    fs::write(&file, &note).unwrap();
    assert!(matches!(log.try_open(), Err(OpenError::Anchor(AnchorError::Foreign { .. }))));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anchor_that_someone_else_moved_stops_signing() {
    let log = Log::new();
    let store = log.open();
    store.append(append(1, 0, 3)).await.unwrap();
    store.seal(at(1)).await.unwrap().unwrap();
    let file = log.anchor_dir().join("checkpoint");
    fs::remove_file(&file).unwrap();
    store.append(append(1, 3, 3)).await.unwrap();
    let refused = store.seal(at(2)).await.unwrap_err();
    assert!(refused.to_string().contains("nothing will be signed"), "{refused}");
    assert_eq!(store.latest_checkpoint().unwrap().size, 3);
    assert!(!file.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_never_share_a_log_or_an_anchor() {
    let log = Log::new();
    let store = log.open();
    assert!(matches!(log.try_open(), Err(OpenError::Held(_))));
    let elsewhere = log.root.path().join("second");
    let second = Store::open(&elsewhere, log.options());
    assert!(matches!(second, Err(OpenError::Anchor(AnchorError::Held(_)))));
    store.close().await.unwrap();
    log.open().close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_or_origin_is_refused() {
    let log = Log::new();
    log.open().close().await.unwrap();
    let other = NoteSigner::from_seed(ORIGIN, &[8; 32]).unwrap();
    let opened = Store::open(&log.dir(), Options::new(other, log.anchor_dir()));
    assert!(matches!(opened, Err(OpenError::OtherLog { .. })));
    let renamed = Options { origin: "log.example/lab".to_owned(), ..log.options() };
    assert!(matches!(Store::open(&log.dir(), renamed), Err(OpenError::OtherKey { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_was_replaced_hits_no_row_and_stops() {
    let log = Log::new();
    let store = log.open();
    store.append(append(1, 0, 2)).await.unwrap();
    // As if another process had taken over in spite of the lock.
    let other = rusqlite::Connection::open(log.dir().join("log.db")).unwrap();
    other.execute("UPDATE head SET epoch = epoch + 1", []).unwrap();
    drop(other);
    for _ in 0..2 {
        let refused = store.append(append(1, 2, 1)).await;
        assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
    }
    assert_eq!(store.head().size, 2);
    store.close().await.unwrap();
    let store = log.open();
    assert_eq!(store.append(append(1, 2, 1)).await.unwrap().first_pos, 2);
    store.close().await.unwrap();
    log.check();
}
