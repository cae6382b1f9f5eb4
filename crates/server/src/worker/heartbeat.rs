//! Heartbeats: each second every gateway hears how far the log has come, so that it knows how old its state is.

use std::time::Duration;

use lanyard_api::gateway::FeedItem;
use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::state::State;

pub(super) async fn run(state: State, shutdown: CancellationToken) {
    while next_round(&shutdown, Duration::from_secs(1)).await {
        let pos = state.control.world().next_pos;
        state.feeds.heartbeat(FeedItem::Heartbeat { pos, time: state.clock.now() });
    }
}
