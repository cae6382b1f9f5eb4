//! Each step of the append and seal path fails in both ways: without and with effect. Nothing acknowledged may be lost,
//! nothing refused may be there, and only what nobody can know is answered with "unknown".

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Log, append, at};
use lanyard_store::fault::{Hook, Outcome, Step};
use lanyard_store::{AppendError, Options, Store};

/// A store whose `step` fails once when armed.
fn open(log: &Log, steps: &'static [(Step, Outcome)]) -> (Store, Arc<AtomicBool>) {
    let armed = Arc::new(AtomicBool::new(false));
    let hook = Hook(Some(Arc::new({
        let armed = Arc::clone(&armed);
        move |step| match steps.iter().find(|(s, _)| *s == step) {
            // The last step disarms, so that what follows works again.
            Some((s, outcome)) if armed.load(Ordering::SeqCst) => {
                if steps.last().is_some_and(|(last, _)| last == s) {
                    armed.store(false, Ordering::SeqCst);
                }
                *outcome
            }
            _ => Outcome::Normal,
        }
    })));
    (Store::open(&log.dir(), Options { faults: hook, ..log.options() }).unwrap(), armed)
}

async fn settle(log: &Log, store: Store, expected: u64) {
    let _ = store.close().await;
    let store = log.open();
    assert_eq!(store.head().size, expected);
    store.append(append(99, 0, 1)).await.unwrap();
    store.seal(at(90)).await.unwrap().unwrap();
    store.close().await.unwrap();
    assert_eq!(log.check().events, expected + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_failed_but_happened_is_acknowledged() {
    let log = Log::new();
    let (store, armed) = open(&log, &[(Step::Commit, Outcome::FailsWithEffect)]);
    store.append(append(1, 0, 2)).await.unwrap();
    armed.store(true, Ordering::SeqCst);
    let done = store.append(append(1, 2, 1)).await.unwrap();
    assert_eq!(done.first_pos, 2);
    assert!(!armed.load(Ordering::SeqCst), "the fault was not reached");
    // The writer went on.
    store.append(append(1, 3, 1)).await.unwrap();
    assert_eq!(store.range(0, 10).await.unwrap().len(), 4);
    settle(&log, store, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_failed_and_did_not_happen_is_refused_and_can_be_repeated() {
    let log = Log::new();
    let (store, armed) = open(&log, &[(Step::Commit, Outcome::FailsWithoutEffect)]);
    store.append(append(1, 0, 2)).await.unwrap();
    armed.store(true, Ordering::SeqCst);
    assert!(matches!(store.append(append(1, 2, 1)).await, Err(AppendError::Unavailable(_))));
    assert_eq!(store.head().size, 2);
    assert_eq!(store.append(append(1, 2, 1)).await.unwrap().first_pos, 2);
    settle(&log, store, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_log_cannot_be_read_back_the_answer_is_unknown_and_the_writer_stops() {
    for (outcome, size) in [(Outcome::FailsWithEffect, 3), (Outcome::FailsWithoutEffect, 2)] {
        let log = Log::new();
        let steps: &[_] = match outcome {
            Outcome::FailsWithEffect => {
                &[(Step::Commit, Outcome::FailsWithEffect), (Step::Recover, Outcome::FailsWithEffect)]
            }
            _ => &[(Step::Commit, Outcome::FailsWithoutEffect), (Step::Recover, Outcome::FailsWithEffect)],
        };
        let (store, armed) = open(&log, steps);
        store.append(append(1, 0, 2)).await.unwrap();
        armed.store(true, Ordering::SeqCst);
        assert!(matches!(store.append(append(1, 2, 1)).await, Err(AppendError::Unknown(_))));
        assert!(matches!(store.append(append(2, 0, 1)).await, Err(AppendError::Unavailable(_))));
        // What was durable before stays readable.
        assert_eq!(store.event(1).await.unwrap().unwrap().header.pos, 1);
        settle(&log, store, size).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_before_the_commit_records_nothing_and_stops_the_writer() {
    let log = Log::new();
    let (store, armed) = open(&log, &[(Step::Insert, Outcome::FailsWithEffect)]);
    store.append(append(1, 0, 2)).await.unwrap();
    armed.store(true, Ordering::SeqCst);
    assert!(matches!(store.append(append(1, 2, 1)).await, Err(AppendError::Unavailable(_))));
    assert!(matches!(store.append(append(1, 2, 1)).await, Err(AppendError::Unavailable(_))));
    settle(&log, store, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seal_that_fails_at_any_step_is_finished_by_the_next() {
    for step in [Step::Anchor, Step::RecordCheckpoint] {
        for outcome in [Outcome::FailsWithEffect, Outcome::FailsWithoutEffect] {
            for grow in [0, 2] {
                let log = Log::new();
                let steps: &[_] = match (step, outcome) {
                    (Step::Anchor, Outcome::FailsWithEffect) => &[(Step::Anchor, Outcome::FailsWithEffect)],
                    (Step::Anchor, _) => &[(Step::Anchor, Outcome::FailsWithoutEffect)],
                    (_, Outcome::FailsWithEffect) => &[(Step::RecordCheckpoint, Outcome::FailsWithEffect)],
                    _ => &[(Step::RecordCheckpoint, Outcome::FailsWithoutEffect)],
                };
                let (store, armed) = open(&log, steps);
                store.append(append(1, 0, 2)).await.unwrap();
                armed.store(true, Ordering::SeqCst);
                assert!(store.seal(at(1)).await.is_err());
                // Nobody saw a checkpoint that is not both anchored and recorded.
                assert_eq!(store.latest_checkpoint(), None);
                if grow > 0 {
                    store.append(append(1, 2, grow)).await.unwrap();
                }
                let sealed = store.seal(at(2)).await.unwrap().unwrap();
                assert_eq!(sealed.size, 2 + grow, "{step:?} {outcome:?}");
                settle(&log, store, 2 + grow).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_anchor_and_record_is_finished_after_the_restart() {
    let log = Log::new();
    let (store, armed) = open(&log, &[(Step::RecordCheckpoint, Outcome::FailsWithoutEffect)]);
    store.append(append(1, 0, 2)).await.unwrap();
    armed.store(true, Ordering::SeqCst);
    assert!(store.seal(at(1)).await.is_err());
    store.close().await.unwrap();
    let store = log.open();
    assert_eq!(store.latest_checkpoint(), None);
    assert_eq!(store.seal(at(2)).await.unwrap().unwrap().size, 2);
    settle(&log, store, 2).await;
}
