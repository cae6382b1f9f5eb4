//! Compromised authorities: what was replaced is revoked, what waits too long is revoked at its deadline, and the authority itself
//! when nothing by it is in use. Each round is decided anew from the log, so it does not matter where the last one was cut short.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use lanyard_control::compromise::Holder;
use lanyard_control::compromise::round::Due;
use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::state::State;

/// A successor that is in use ends its predecessor within seconds.
const PAUSE: Duration = Duration::from_secs(2);
/// As the drift worker: some milliseconds in which no event is folded.
const STEP: usize = 4_096;
/// Appends that wait for the disk together: group commit takes them in one write.
const AT_ONCE: usize = 64;

pub(super) async fn run(state: State, shutdown: CancellationToken) {
    // Who has nothing by the authority any more never gets anything by it again: not looked at twice.
    let mut waiting: HashMap<String, Vec<Holder>> = HashMap::new();
    while next_round(&shutdown, PAUSE).await {
        let running = state.control.running_compromises();
        waiting.retain(|name, _| running.contains(name));
        for name in running {
            let holders = waiting.remove(&name).unwrap_or_else(|| state.control.affected(&name));
            let left = round(&state, &shutdown, &name, holders).await;
            if shutdown.is_cancelled() {
                return;
            }
            if left.is_empty() {
                match state.control.end_compromise(&name, state.clock.now()).await {
                    Ok(true) => {
                        tracing::warn!(%name, "a compromised authority is revoked; nothing by it is in use")
                    }
                    Ok(false) => {}
                    Err(error) => {
                        tracing::error!(%error, %name, "a compromised authority could not be revoked; trying again")
                    }
                }
            }
            waiting.insert(name, left);
        }
    }
}

/// Revokes what is due, those of more risk first; returns who is still waited for.
async fn round(state: &State, shutdown: &CancellationToken, name: &str, holders: Vec<Holder>) -> Vec<Holder> {
    let mut left = Vec::new();
    for some in holders.chunks(STEP) {
        if shutdown.is_cancelled() {
            return left;
        }
        let found = state.control.due_for(name, some, state.clock.now());
        let mut due = Vec::new();
        for (holder, what) in found {
            match what {
                Due::Nothing => {}
                Due::Later => left.push(holder),
                Due::Revoke { .. } => {
                    left.push(holder);
                    due.push(holder);
                }
            }
        }
        let revocations = stream::iter(due).map(async |holder| {
            let done = state.control.revoke_compromised(name, holder, state.clock.now()).await;
            if let Err(error) = done {
                tracing::warn!(holder.id = %holder.id, %error, "a certificate by a compromised authority could not be revoked; trying again");
            }
        });
        revocations.buffered(AT_ONCE).for_each(async |()| {}).await;
        tokio::task::yield_now().await;
    }
    left
}
