//! Keeps the journal up to date without making the feed wait for the disk: one thread, in the order of the feed.
//!
//! Distrust acts before it is saved; a crash in between is a roll-back of milliseconds (see `journal`).

use std::sync::{Arc, mpsc};
use std::thread;

use lanyard_api::gateway::FeedItem;
use lanyard_domain::time::Timestamp;
use tokio::sync::watch;

use super::State;
use super::journal::{Entry, Journal, JournalError};

/// After so many bytes of changes the snapshot is written anew: about 40,000 changes of 1.6 kB.
const COMPACT_BYTES: u64 = 64 << 20;

/// The saver's handle; dropping it writes what is queued and ends the thread.
#[derive(Debug)]
pub struct Saver {
    queue: Option<mpsc::Sender<Entry>>,
    thread: Option<thread::JoinHandle<()>>,
    healthy: watch::Sender<bool>,
}

impl Saver {
    /// Starts with a journal whose entries `state` already holds.
    pub fn start(journal: Journal, state: Arc<State>) -> std::io::Result<Saver> {
        let (queue, jobs) = mpsc::channel();
        let healthy = watch::channel(true).0;
        let seen = healthy.clone();
        let thread = thread::Builder::new()
            .name("gateway-state".to_owned())
            .spawn(move || run(journal, &state, &jobs, &seen))?;
        Ok(Saver { queue: Some(queue), thread: Some(thread), healthy })
    }

    /// Queues an item that was applied. Heartbeats and questions change nothing and are not kept.
    pub fn save(&self, item: FeedItem, at: Timestamp) {
        if matches!(item, FeedItem::Heartbeat { .. } | FeedItem::Ask { .. }) {
            return;
        }
        // The receiver is gone only when its thread died, which `healthy` reports.
        let sent = self.queue.as_ref().is_some_and(|queue| queue.send(Entry { at, item }).is_ok());
        if !sent {
            self.healthy.send_replace(false);
        }
    }

    /// Whether the last write succeeded.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.healthy.subscribe()
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed by it; there is nothing left to save.
            let _ = thread.join();
        }
    }
}

fn run(mut journal: Journal, state: &State, jobs: &mpsc::Receiver<Entry>, healthy: &watch::Sender<bool>) {
    while let Ok(first) = jobs.recv() {
        let mut batch = vec![first];
        batch.extend(jobs.try_iter().take(1023));
        let outcome = write(&mut journal, state, batch);
        if let Err(error) = &outcome {
            tracing::error!(%error, "the gateway's state is not saved; a restart would start from older state");
        }
        healthy.send_replace(outcome.is_ok());
    }
}

/// Writes what counts of a batch: nothing before its last snapshot.
fn write(journal: &mut Journal, state: &State, batch: Vec<Entry>) -> Result<(), JournalError> {
    let last = batch.iter().rposition(|entry| matches!(entry.item, FeedItem::Snapshot(_)));
    let mut entries = batch.into_iter().skip(last.unwrap_or(0));
    let mut rest = Vec::new();
    if last.is_some()
        && let Some(snapshot) = entries.next()
    {
        journal.restart(&snapshot)?;
    }
    rest.extend(entries);
    if rest.is_empty() {
        return Ok(());
    }
    let at = rest.last().map_or_else(Timestamp::default, |entry| entry.at);
    if journal.bytes() <= COMPACT_BYTES && journal.append(&rest).is_ok() {
        return Ok(());
    }
    // Too long, or the first write after a start or a failure. The state holds these entries and perhaps later ones,
    // which are then written twice; applying them again changes nothing.
    match state.to_snapshot(at) {
        Some(snapshot) => journal.restart(&Entry { at, item: FeedItem::Snapshot(Box::new(snapshot)) }),
        None => Ok(()),
    }
}
