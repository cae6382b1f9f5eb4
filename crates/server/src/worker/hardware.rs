//! The hardware module's presence: looked for each second while it is away, and now and then while it is there, so that
//! people hear of its loss before somebody needs it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{complete_planned, next_round};
use crate::hardware::{Change, Hardware};
use crate::state::State;

const PAUSE: Duration = Duration::from_secs(1);
/// Rounds between two looks while nothing is missing: half a minute.
const ROUNDS: u32 = 30;

pub(super) async fn run(state: State, shutdown: CancellationToken, hardware: Arc<Hardware>) {
    let mut rounds = 0;
    while next_round(&shutdown, PAUSE).await {
        rounds += 1;
        if !hardware.is_away() && rounds < ROUNDS {
            continue;
        }
        rounds = 0;
        let asked = Arc::clone(&hardware);
        // A module that hangs keeps a thread for as long as its timeouts; nobody waits for it but this worker.
        let looked = tokio::task::spawn_blocking(move || asked.look());
        let change = tokio::select! {
            () = shutdown.cancelled() => return,
            change = looked => change,
        };
        match change {
            Ok(Change::None) => {}
            Ok(Change::Lost(why)) => {
                tracing::error!(%why, "the hardware module is away; its authorities sign nothing until it is back");
            }
            Ok(Change::Back) => {
                tracing::info!("the hardware module is back");
                if let Err(error) = state.control.look_for_keys() {
                    tracing::warn!(%error, "the keys of authorities could not be looked for; trying again");
                }
                complete_planned(&state).await;
            }
            Err(error) => tracing::error!(%error, "the look at the hardware module died; please report it"),
        }
        let stuck = hardware.stuck_sessions();
        if stuck > 0 {
            tracing::warn!(
                stuck,
                "calls into the hardware module do not come back; if it stays away, start the control plane again"
            );
        }
    }
}
