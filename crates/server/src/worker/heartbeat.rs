//! Heartbeats: each second every gateway hears how far the log has come, so that it knows how old its state is.

use std::time::Duration;

use lanyard_api::gateway::FeedItem;
use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::state::State;

pub(super) async fn run(state: State, shutdown: CancellationToken) {
    // What has been told, not what the world has: a heartbeat must not overtake the change that it counts as heard.
    let folded = state.control.journal.folded();
    while next_round(&shutdown, Duration::from_secs(1)).await {
        // The last position, not the next: a decision counts everything up to and with what its gateway has heard.
        let pos = folded.borrow().saturating_sub(1);
        state.feeds.heartbeat(FeedItem::Heartbeat { pos, time: state.clock.now() });
    }
}
