//! A start that goes on from a snapshot of the folded log, and all the times when it must not.

use std::path::{Path, PathBuf};

use lanyard_domain::statement::Action;

use crate::hospital::{Hospital, client, start};

fn file(dir: &Path) -> PathBuf {
    dir.join("world.snapshot")
}

/// Stops, lets `meanwhile` do what it wants with the data directory, starts. The devices are what they were.
async fn restarted(mut hospital: Hospital, dir: &Path, meanwhile: impl FnOnce()) -> Hospital {
    let known = devices(&hospital);
    hospital.running.shutdown().await;
    meanwhile();
    hospital.running = start(dir, &hospital.clock).await;
    hospital.client = client(&hospital.running, &hospital.clock);
    assert_eq!(devices(&hospital), known);
    hospital
}

fn devices(hospital: &Hospital) -> Vec<String> {
    let world = hospital.running.state.control.world();
    let mut all: Vec<String> = world.devices.values().map(|d| format!("{d:?}")).collect();
    all.sort_unstable();
    all
}

// R51, I3
#[tokio::test(flavor = "multi_thread")]
async fn a_start_goes_on_from_a_snapshot_and_folds_what_came_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    assert_eq!(hospital.running.resumed_at, 0);
    hospital.admitted("P-1").await;
    let kept = hospital.running.keep_snapshot().await.unwrap();
    hospital.admitted("P-2").await;
    let hospital = restarted(hospital, dir.path(), || {}).await;
    assert_eq!(hospital.running.resumed_at, kept);
    // What goes on from it is kept in turn.
    let later = hospital.running.keep_snapshot().await.unwrap();
    assert!(later > kept);
    hospital.admitted("P-3").await;
    let hospital = restarted(hospital, dir.path(), || {}).await;
    assert_eq!(hospital.running.resumed_at, later);
    hospital.running.shutdown().await;
}

// R51, I3, I12: damaged, cut short, another's, of another program, half written: each is left aside, nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_not_ours_as_we_wrote_it_is_left_aside() {
    let dir = tempfile::tempdir().unwrap();
    let mut hospital = Hospital::open(dir.path()).await;
    hospital.admitted("P-1").await;
    hospital.running.keep_snapshot().await.unwrap();
    let good = std::fs::read(file(dir.path())).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    // Magic, program, size, root, number of parts; length and digest of the first; the MAC behind three such lines; parts.
    let places = [3, 20, 55, 70, 91, 99, 110, 92 + 3 * 40 + 5, good.len() / 2, good.len() - 1];
    let mut bad: Vec<Vec<u8>> = places.map(flipped).to_vec();
    bad.extend([Vec::new(), good[..100].to_vec(), good[..good.len() - 1].to_vec(), vec![0; 4_096]]);
    bad.push([good.as_slice(), b"more"].concat());
    for bytes in bad {
        hospital =
            restarted(hospital, dir.path(), || std::fs::write(file(dir.path()), &bytes).unwrap()).await;
        assert_eq!(hospital.running.resumed_at, 0, "{} bytes", bytes.len());
    }
    // One that a kill cut short lies beside it and is never read.
    hospital = restarted(hospital, dir.path(), || {
        std::fs::write(file(dir.path()), &good).unwrap();
        std::fs::write(file(dir.path()).with_extension("unfinished"), &good[..50]).unwrap();
    })
    .await;
    assert!(hospital.running.resumed_at > 0);
    hospital.running.shutdown().await;
}

// I3: the snapshot of another log, and of this log's future (an old copy of the log was restored).
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_another_log_is_left_aside() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Hospital::open(one.path()).await;
    first.admitted("P-1").await;
    first.running.keep_snapshot().await.unwrap();
    let second = Hospital::open(other.path()).await;
    second.admitted("Q-1").await;
    let second = restarted(second, other.path(), || {
        std::fs::copy(file(one.path()), file(other.path())).unwrap();
    })
    .await;
    assert_eq!(second.running.resumed_at, 0);
    first.running.shutdown().await;
    second.running.shutdown().await;
}

// R51: what was erased from the log does not live on in a snapshot, nor come back by one.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_is_in_no_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let operator = hospital.registrar.id;
    hospital.decide(&hospital.admin, Action::RemoveOperator { operator }).await.unwrap();
    let kept = hospital.running.keep_snapshot().await.unwrap();
    let before = std::fs::read(file(dir.path())).unwrap();
    let named = |bytes: &[u8]| bytes.windows(16).any(|w| w == b"registrar person");
    assert!(named(&before), "people's names are in it");
    let pos = hospital.running.state.control.world().operator_pos[&operator];
    let erase = Action::ErasePayload { pos, legal_basis: "GDPR Art. 17".into() };
    hospital.decide(&hospital.admin, erase).await.unwrap();
    assert!(!file(dir.path()).exists(), "at once");
    // One that was there before (a backup): the log says that something in it was erased.
    let mut hospital = hospital;
    hospital.running.shutdown().await;
    std::fs::write(file(dir.path()), &before).unwrap();
    hospital.running = start(dir.path(), &hospital.clock).await;
    assert_eq!(hospital.running.resumed_at, 0);
    assert!(!file(dir.path()).exists());
    assert!(!hospital.running.state.control.world().operators.contains_key(&operator));
    assert!(hospital.running.keep_snapshot().await.unwrap() > kept);
    assert!(!named(&std::fs::read(file(dir.path())).unwrap()));
    hospital.running.shutdown().await;
}
