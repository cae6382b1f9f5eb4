//! A child process appends under load and writes down what was acknowledged; it is killed at random moments, or the
//! storage fails under it. Afterwards every acknowledged event must be there and the whole log must check.
//!
//! The child is this test program itself, running [`child`] with the directory in its environment.
//! `LANYARD_CRASH_LOOPS=200` runs the full number of kills.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{Log, append, at, id};
use lanyard_store::{Append, AppendError, Claim, Store};

const DIR: &str = "LANYARD_CRASH_DIR";
const TASKS: u64 = 24;
/// Longest life of a child that nothing stops, so that a fault run ends.
const LIFE: Duration = Duration::from_millis(1200);

/// What the child wrote down.
#[derive(Default)]
struct Diary {
    acked: Vec<(u64, String)>,
    sealed: Vec<(u64, String)>,
    faults: Vec<String>,
}

/// Not a test of its own: does nothing unless a parent gave it a directory.
#[test]
fn child() {
    let Some(root) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let diary = OpenOptions::new().create(true).append(true).open(root.join("diary")).unwrap();
    let diary = Arc::new(Mutex::new(diary));
    let options = lanyard_store::Options::new(crate::support::signer(), root.join("anchor"));
    let store = match Store::open(&root.join("log"), options) {
        Ok(store) => store,
        Err(error) => return note(&diary, &format!("fault at open: {error}")),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let until = Instant::now() + LIFE;
        let mut tasks: Vec<_> =
            (0..TASKS).map(|n| tokio::spawn(appends(store.clone(), n, until, Arc::clone(&diary)))).collect();
        tasks.push(tokio::spawn(seals(store.clone(), until, diary)));
        for task in tasks {
            task.await.unwrap();
        }
    });
}

async fn appends(store: Store, n: u64, until: Instant, diary: Arc<Mutex<File>>) {
    let Ok(head) = store.stream_head(id(n)).await else { return note(&diary, "fault at read") };
    let (mut seq, mut refused) = (head.map_or(0, |(next, _)| next), 0);
    while Instant::now() < until {
        let count = 1 + seq % 3;
        let mut request = append(n, seq, count);
        request.claims = vec![Claim { space: 1, key: [n as u8; 32] }];
        if seq > 100 && seq.is_multiple_of(7) {
            request.erase = vec![store.head().size / 2];
        }
        match store.append_many(vec![request, Append { ..append(1000 + n, seq, count) }]).await {
            Ok(done) => {
                let leaves = done.iter().flat_map(|d| (d.first_pos..).zip(&d.leaves));
                let lines: String = leaves.map(|(pos, leaf)| format!("ack {pos} {leaf}\n")).collect();
                note(&diary, lines.trim_end());
                seq += count;
            }
            Err(AppendError::Busy) => tokio::task::yield_now().await,
            // Nothing was recorded, so the same request must fit again; after so many the writer is gone for good.
            Err(AppendError::Unavailable(why)) if refused < 20 => {
                note(&diary, &format!("fault at append: {why}"));
                refused += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(AppendError::Unavailable(_)) => return,
            Err(error @ AppendError::Unknown(_)) => {
                return note(&diary, &format!("fault at append: {error}"));
            }
            Err(error) => return note(&diary, &format!("broken promise: {error}")),
        }
    }
}

async fn seals(store: Store, until: Instant, diary: Arc<Mutex<File>>) {
    let mut seconds = 0;
    while Instant::now() < until {
        seconds += 1;
        match store.seal(at(seconds)).await {
            Ok(Some(c)) => note(&diary, &format!("seal {} {}", c.size, c.root)),
            Ok(None) => {}
            Err(error) => note(&diary, &format!("fault at seal: {error}")),
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// One write per call: a kill leaves whole lines, and at most the last is cut.
fn note(diary: &Mutex<File>, lines: &str) {
    diary.lock().unwrap().write_all(format!("{lines}\n").as_bytes()).unwrap();
}

fn read_diary(root: &Path) -> Diary {
    let text = fs::read_to_string(root.join("diary")).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    if !text.is_empty() && !text.ends_with('\n') {
        // The kill came in the middle of a write: the next child must not go on in that line.
        let end = if whole.is_empty() { 0 } else { whole.len() + 1 };
        OpenOptions::new().write(true).open(root.join("diary")).unwrap().set_len(end as u64).unwrap();
    }
    let mut diary = Diary::default();
    for line in whole.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["ack", pos, leaf] => diary.acked.push((pos.parse().unwrap(), leaf.to_owned())),
            ["seal", size, root] => diary.sealed.push((size.parse().unwrap(), root.to_owned())),
            ["broken", ..] => panic!("{line}"),
            _ => diary.faults.push(line.to_owned()),
        }
    }
    diary
}

fn spawn(mut command: Command, root: &Path) -> Child {
    command
        .args(["--exact", "crash::child", "--nocapture", "--test-threads=1"])
        .env(DIR, root)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn verify(log: &Log) -> Diary {
    let diary = read_diary(log.root.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = log.open();
        let mut leaves = Vec::new();
        while let Ok(events) = store.range(leaves.len() as u64, 4096).await
            && !events.is_empty()
        {
            leaves.extend(events.into_iter().map(|e| e.leaf.to_string()));
        }
        for (pos, leaf) in &diary.acked {
            assert_eq!(leaves.get(*pos as usize), Some(leaf), "acknowledged event {pos} is lost or changed");
        }
        for (size, root) in &diary.sealed {
            assert_eq!(store.root_at(*size).await.unwrap().to_string(), *root, "published checkpoint {size}");
        }
        store.close().await.unwrap();
    });
    log.check();
    diary
}

fn random_below(limit: u64) -> u64 {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    u64::from_be_bytes(bytes) % limit
}

fn loops(default: usize) -> usize {
    std::env::var("LANYARD_CRASH_LOOPS").ok().map_or(default, |n| n.parse().unwrap())
}

#[test]
fn no_acknowledged_event_is_lost_when_the_process_is_killed() {
    let (mut acked, mut sealed) = (0, 0);
    let total = loops(20);
    let mut log = Log::new();
    for round in 0..total {
        // The log grows over ten kills, so that recovery follows recovery.
        if round % 10 == 0 {
            log = Log::new();
        }
        let before = fs::metadata(log.root.path().join("diary")).map_or(0, |m| m.len());
        let mut child = spawn(Command::new(std::env::current_exe().unwrap()), log.root.path());
        if round % 4 != 0 {
            // Three of four die under load, the fourth anywhere, also while opening.
            let deadline = Instant::now() + Duration::from_secs(20);
            while fs::metadata(log.root.path().join("diary")).map_or(0, |m| m.len()) == before {
                assert!(Instant::now() < deadline, "the child does not append");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        std::thread::sleep(Duration::from_micros(random_below(120_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let diary = verify(&log);
        assert!(diary.faults.is_empty(), "{:?}", diary.faults);
        (acked, sealed) = (acked + diary.acked.len(), sealed + diary.sealed.len());
    }
    assert!(acked > total * 10, "only {acked} events were acknowledged in {total} rounds");
    println!(
        "{total} kills, {acked} acknowledged and {sealed} sealed looked for again after each, none lost"
    );
}

#[test]
fn no_acknowledged_event_is_lost_when_fsync_or_pwrite_fail() {
    assert!(Path::new("/usr/bin/fiu-run").exists(), "fiu-run is missing: run `cargo xtask peers`");
    for faults in
        [["posix/io/sync/fsync", "posix/io/sync/fdatasync"], ["posix/io/rw/pwrite", "posix/io/rw/pwrite64"]]
    {
        let (mut acked, mut hit) = (0, 0);
        for probability in ["0.002", "0.01", "0.05"] {
            // Twice on the same log: the second run opens what the first left.
            let log = Log::new();
            for _ in 0..2 {
                let mut command = Command::new("fiu-run");
                command.arg("-x").args(["-f", ""]);
                for name in faults {
                    command.arg("-c").arg(format!("enable_random name={name},probability={probability}"));
                }
                command.arg(std::env::current_exe().unwrap());
                let status = spawn(command, log.root.path()).wait().unwrap();
                let diary = verify(&log);
                (acked, hit) = (acked + diary.acked.len(), hit + diary.faults.len());
                // A child that ends badly without having noted a fault has a bug of its own.
                assert!(
                    status.success() || !diary.faults.is_empty(),
                    "{faults:?} at {probability}: {status}"
                );
            }
        }
        assert!(acked > 100, "{faults:?}: only {acked} acknowledged");
        assert!(hit > 0, "{faults:?}: no fault was ever hit");
        println!("{faults:?}: {acked} acknowledged, {hit} faults met, nothing lost");
    }
}
