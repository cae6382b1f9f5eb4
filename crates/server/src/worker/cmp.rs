//! CMP: certificates that nobody confirmed in time are taken back.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::front;
use crate::state::State;

/// A client has ten minutes to confirm; half of one more is nothing.
const PAUSE: Duration = Duration::from_secs(30);

pub(super) async fn run(state: State, shutdown: CancellationToken) {
    while next_round(&shutdown, PAUSE).await {
        let due = state.cmp.due(state.clock.now());
        // What is not recorded is kept for the next round.
        front::record_settled(&state, due).await;
    }
}
