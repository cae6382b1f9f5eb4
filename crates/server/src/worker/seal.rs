//! Sealing: once a second, if something was recorded, a signed checkpoint is anchored and published. A log that nobody
//! writes to gets a heartbeat leaf each minute, so that fresh evidence always has a recent checkpoint to name.

use std::time::Duration;

use lanyard_control::journal::{Entry, Journal};
use lanyard_control::upkeep::ITSELF;
use lanyard_domain::event::Event;
use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::state::State;

const PAUSE: Duration = Duration::from_secs(1);
/// A fifth of the shortest window within which a checkpoint must have been the newest.
const IDLE_SECONDS: i64 = 60;

pub(super) async fn run(state: State, shutdown: CancellationToken) {
    while next_round(&shutdown, PAUSE).await {
        if let Err(error) = beat(&state).await {
            tracing::warn!(%error, "an idle log could not be given its heartbeat; trying again");
        }
        if let Err(error) = seal_once(&state).await {
            tracing::error!(%error, "the log could not be sealed; answers stay at level durable until it can");
        }
    }
    if let Err(error) = seal_once(&state).await {
        tracing::error!(%error, "the log could not be sealed at shutdown; the next start will");
    }
}

/// Seals what has been recorded, and publishes.
pub(crate) async fn seal_once(state: &State) -> anyhow::Result<()> {
    let journal = &state.control.journal;
    if let Some(checkpoint) = journal.store().seal(state.clock.now()).await? {
        journal.published(checkpoint);
    }
    Ok(())
}

async fn beat(state: &State) -> anyhow::Result<()> {
    let now = state.clock.now();
    let entry = {
        let world = state.control.world();
        if now.seconds_since(world.last_time) < IDLE_SECONDS {
            return Ok(());
        }
        Entry::system(&world, ITSELF, vec![Event::LogIdle {}])
    };
    state.control.journal.append(vec![entry], now).await?;
    Ok(())
}
