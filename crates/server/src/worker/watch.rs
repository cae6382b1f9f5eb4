//! Others' certificates: a look at each watched server once an hour, a few at a time; what changed, and what ends soon.

use std::time::Duration;

use futures_util::StreamExt;
use lanyard_control::plane::ControlError;
use lanyard_domain::watched::WatchAlarm;
use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::state::State;
use crate::watch::{Bounds, LastLook, look};

/// A server that was just put on the list is looked at soon.
const PAUSE: Duration = Duration::from_secs(5);
/// After a start all are due: a thousand are then looked at within six minutes, three a second.
const AT_MOST: usize = 16;
/// Connections at a time.
const AT_ONCE: usize = 4;

pub(super) async fn run(state: State, bounds: Bounds, shutdown: CancellationToken) {
    while next_round(&shutdown, PAUSE).await {
        let now = state.clock.now();
        let (due, all): (Vec<String>, Vec<String>) = {
            let world = state.control.world();
            state.watch.keep(|address| world.watched.contains_key(address));
            let due = world.watched.keys().filter(|address| state.watch.is_due(address, now));
            let told = world.watched.values().filter(|watched| watched.due(now).is_some());
            (due.take(AT_MOST).cloned().collect(), told.map(|w| w.record.address.clone()).collect())
        };
        for address in all {
            tell(&address, state.control.told_by_time(&address, now).await);
        }
        let (state, bounds, shutdown) = (&state, &bounds, &shutdown);
        futures_util::stream::iter(due)
            .for_each_concurrent(AT_ONCE, |address| async move {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = one(state, bounds, &address) => {}
                }
            })
            .await;
    }
}

async fn one(state: &State, bounds: &Bounds, address: &str) {
    let found = look(address, bounds).await;
    let at = state.clock.now();
    let fault = match found {
        Ok(seen) => {
            tell(address, state.control.saw_server(address, &seen, at).await);
            None
        }
        Err(why) => {
            tracing::info!(address, %why, "a watched server showed no certificate");
            Some(why)
        }
    };
    state.watch.note(address, LastLook { at, fault });
}

fn tell(address: &str, told: Result<Vec<WatchAlarm>, ControlError>) {
    match told {
        Ok(alarms) => {
            for alarm in alarms {
                tracing::warn!(address, ?alarm, "a watched server's certificate needs its owner");
            }
        }
        Err(error) => {
            tracing::warn!(address, %error, "what a watched server showed was not recorded; trying again");
        }
    }
}
