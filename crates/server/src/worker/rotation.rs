//! Rotation: certificates that a newer one has taken the place of, and whose overlap is over, are ended.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::state::State;

/// As the drift worker: some milliseconds in which no event is folded.
const STEP: usize = 4_096;
/// The overlap is an hour; a minute more or less is nothing.
const PAUSE: Duration = Duration::from_secs(60);

pub(super) async fn run(state: State, shutdown: CancellationToken) {
    while next_round(&shutdown, PAUSE).await {
        for some in state.control.device_ids().chunks(STEP) {
            let now = state.clock.now();
            for device in state.control.superseded(some, now) {
                if shutdown.is_cancelled() {
                    return;
                }
                if let Err(error) = state.control.supersede(device, now).await {
                    tracing::warn!(device.id = %device, %error, "a replaced certificate could not be ended; trying again");
                }
            }
            tokio::task::yield_now().await;
        }
    }
}
