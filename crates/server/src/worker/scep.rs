//! Certificates of the RAs that answer SCEP, renewed in time.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::front::scep::ra;
use crate::state::State;

pub(super) async fn run(state: State, shutdown: CancellationToken) {
    while next_round(&shutdown, Duration::from_secs(60)).await {
        for authority in state.control.scep_authorities() {
            if let Err(error) = ra(&state, &authority, true).await {
                tracing::error!(%error, %authority, "a SCEP RA could not be certified; trying again in a minute");
            }
        }
    }
}
