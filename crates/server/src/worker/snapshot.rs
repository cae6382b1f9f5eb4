//! Keeps a snapshot of the folded world that a start can go on from, on a thread of its own.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::snapshot::{KeepError, MOST_BEHIND};
use crate::state::State;

/// At the highest rates some 100,000 events are recorded meanwhile.
const PAUSE: Duration = Duration::from_secs(60);

/// `kept`: up to where the snapshot goes that the start found.
pub(super) async fn run(state: State, shutdown: CancellationToken, mut kept: u64) {
    while next_round(&shutdown, PAUSE).await {
        let recorded = state.control.world().next_pos;
        if recorded.saturating_sub(kept) < MOST_BEHIND {
            continue;
        }
        match keep(&state).await {
            Ok(size) => kept = size,
            Err(error) => {
                tracing::warn!(%error, "no snapshot of the folded log was written; the next start takes longer");
                // Not again and again: another as many events first.
                kept = recorded;
            }
        }
    }
}

/// Writes one now.
pub(crate) async fn keep(state: &State) -> Result<u64, KeepError> {
    let (store, cache) = (state.control.journal.store().clone(), state.snapshot.clone());
    let runtime = Handle::current();
    let folded = tokio::task::spawn_blocking(move || runtime.block_on(cache.keep(&store))).await;
    folded.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
