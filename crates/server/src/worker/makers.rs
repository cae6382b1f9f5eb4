//! Makers' lists: what they say of devices in use is drawn on, should the call that took a list have been cut short; and people hear
//! when the next list is due.

use std::collections::HashMap;
use std::time::Duration;

use lanyard_control::makers::ListStanding;
use lanyard_domain::text::Digest;
use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::state::State;

/// A new list is looked through soon.
const PAUSE: Duration = Duration::from_secs(2);
/// And all of them once a minute: a device may have been bound in the moment in which a list was taken.
const EVERY: u32 = 30;
/// Devices at a time, so that a stop does not wait for all.
const STEP: usize = 1_024;

pub(super) async fn run(state: State, shutdown: CancellationToken) {
    let mut through = None;
    let mut said: HashMap<Digest, ListStanding> = HashMap::new();
    let mut round = 0;
    while next_round(&shutdown, PAUSE).await {
        let newest = state.control.world().newest_maker_list();
        if newest != through || round % EVERY == 0 {
            say_ages(&state, &mut said);
            if draw(&state, &shutdown).await {
                through = newest;
            }
        }
        round = round.wrapping_add(1);
    }
}

/// True when nothing is left.
async fn draw(state: &State, shutdown: &CancellationToken) -> bool {
    let mut left = state.control.newly_listed();
    while !left.is_empty() {
        if shutdown.is_cancelled() {
            return false;
        }
        let later = left.keys().nth(STEP).copied().map(|id| left.split_off(&id)).unwrap_or_default();
        if state.control.draw_from_lists(left, state.clock.now()).await > 0 {
            return false;
        }
        left = later;
    }
    true
}

/// Once for each list and standing.
fn say_ages(state: &State, said: &mut HashMap<Digest, ListStanding>) {
    let now = state.clock.now();
    let world = state.control.world();
    said.retain(|sha256, _| world.maker_lists.values().any(|list| list.sha256 == *sha256));
    for list in world.maker_lists.values() {
        let standing = list.standing(now);
        if said.insert(list.sha256, standing) == Some(standing) {
            continue;
        }
        let (name, until) = (list.name(), list.until());
        match standing {
            ListStanding::Current => {}
            ListStanding::LapsesSoon => {
                tracing::warn!(list = %name, %until, "a maker's list lapses soon: take the next one with `lanyard endorsement revocations`");
            }
            ListStanding::Stale => {
                tracing::error!(list = %name, %until, "a maker's list is out of date: devices of tier critical and high cannot enroll by this maker; take the newest one with `lanyard endorsement revocations`");
            }
        }
    }
}
