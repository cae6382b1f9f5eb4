//! Renewals that do not come: an alarm on the chain of each holder, once when its certificate is late and once when it has ended.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::state::State;

/// As the drift worker: some milliseconds in which no event is folded.
const STEP: usize = 4_096;
/// The shortest lifetime in use is some hours; a fifth of that is left when a renewal is late.
const PAUSE: Duration = Duration::from_secs(60);

pub(super) async fn run(state: State, shutdown: CancellationToken) {
    while next_round(&shutdown, PAUSE).await {
        for some in state.control.holders().chunks(STEP) {
            let now = state.clock.now();
            for late in state.control.newly_late(some, now) {
                if shutdown.is_cancelled() {
                    return;
                }
                tracing::warn!(holder.id = %late.holder.1, cert.serial = %late.serial, until = %late.not_after, "a certificate was not renewed in time");
                state.control.alarm_late_renewal(&late, now).await;
            }
            tokio::task::yield_now().await;
        }
    }
}
