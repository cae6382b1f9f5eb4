//! Drift: a verdict that time (or a release) has changed is written into the device's chain. Enforcement does not wait
//! for this: gateways lower verdicts by their own clock.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::state::State;

/// Devices looked at in one go: some milliseconds in which no event is folded and no distrust told.
const STEP: usize = 4_096;
/// A scan of a million devices takes some 0.2 s; a record that is five seconds late cuts nobody late.
const PAUSE: Duration = Duration::from_secs(5);

pub(super) async fn run(state: State, shutdown: CancellationToken) {
    while next_round(&shutdown, PAUSE).await {
        for some in state.control.device_ids().chunks(STEP) {
            let now = state.clock.now();
            for device in state.control.drifted(some, now) {
                if shutdown.is_cancelled() {
                    return;
                }
                if let Err(error) = state.control.reassess(device, now).await {
                    tracing::warn!(device.id = %device, %error, "a changed verdict could not be recorded; trying again");
                }
            }
            tokio::task::yield_now().await;
        }
    }
}
