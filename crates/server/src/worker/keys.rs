//! Keys of authorities that cannot be used: said once, looked for again, and used when they are back. Authorities that were
//! ordered and could not be made are made then.

use std::time::Duration;

use lanyard_control::authority::KeyTrouble;
use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::state::State;

/// A person who has put a file back looks at the log for so long.
const PAUSE: Duration = Duration::from_secs(5);

pub(super) async fn run(state: State, shutdown: CancellationToken, mut known: Vec<KeyTrouble>) {
    while next_round(&shutdown, PAUSE).await {
        if let Err(error) = state.control.look_for_keys() {
            tracing::warn!(%error, "the keys of authorities could not be looked for; trying again");
        }
        known = say_troubles(&state, known);
        complete_planned(&state).await;
    }
}

/// Says what has changed since `known`: which authority cannot sign, why, and what to do; and which can again.
pub(crate) fn say_troubles(state: &State, known: Vec<KeyTrouble>) -> Vec<KeyTrouble> {
    let troubles = state.control.key_troubles();
    for trouble in troubles.iter().filter(|t| !known.contains(t)) {
        tracing::error!(authority = %trouble.authority, "{trouble}");
    }
    for over in known.iter().filter(|k| !troubles.iter().any(|t| t.authority == k.authority)) {
        tracing::info!(authority = %over.authority, "the key of authority `{}` can be used again", over.authority);
    }
    troubles
}

/// Makes the authorities that were ordered and are not there yet. The root's key may be away in its safe: then they stay
/// planned, and everything else goes on.
pub(crate) async fn complete_planned(state: &State) {
    for name in state.control.planned_authorities() {
        match state.control.complete_authority(&name, state.clock.now()).await {
            Ok(()) => tracing::info!(authority = %name, "an authority that was ordered has been made"),
            Err(error) => {
                tracing::debug!(authority = %name, %error, "an authority that was ordered cannot be made yet")
            }
        }
    }
}
