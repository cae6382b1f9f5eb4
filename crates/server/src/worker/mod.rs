//! What runs beside requests: sealing, heartbeats, drift, proofs of retirement, late renewals, OCSP responders, RAs, the end of
//! replaced certificates, of those that CMP clients never confirmed and of compromised authorities, makers' lists, our own certificate, others',
//! keys that are away, the snapshot, the log's audit. One file each;
//! to add one: its file, a line in [`spawn`].

mod audit;
mod certificate;
mod cmp;
mod compromise;
mod drift;
mod hardware;
mod heartbeat;
mod keys;
mod makers;
mod renewal;
mod responder;
mod retirement;
mod rotation;
mod scep;
mod seal;
mod snapshot;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use lanyard_control::authority::KeyTrouble;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use certificate::{OwnCertificate, certify_self};
pub(crate) use keys::{complete_planned, say_troubles};
pub(crate) use responder::certify_responders;
pub(crate) use seal::seal_once;
pub(crate) use snapshot::keep as keep_snapshot;

use crate::hardware::Hardware;
use crate::state::State;
use crate::watch::Bounds;

/// Starts all workers.
pub(crate) fn spawn(
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
    state: &State,
    (troubles, hardware): (Vec<KeyTrouble>, Option<Arc<Hardware>>),
    own: OwnCertificate,
    kept: u64,
) {
    tasks.spawn(keys::run(state.clone(), shutdown.clone(), troubles));
    if let Some(hardware) = hardware {
        tasks.spawn(hardware::run(state.clone(), shutdown.clone(), hardware));
    }
    tasks.spawn(seal::run(state.clone(), shutdown.clone()));
    tasks.spawn(heartbeat::run(state.clone(), shutdown.clone()));
    tasks.spawn(drift::run(state.clone(), shutdown.clone()));
    if state.serves_revocation {
        tasks.spawn(responder::run(state.clone(), shutdown.clone()));
        tasks.spawn(scep::run(state.clone(), shutdown.clone()));
    }
    tasks.spawn(renewal::run(state.clone(), shutdown.clone()));
    tasks.spawn(rotation::run(state.clone(), shutdown.clone()));
    tasks.spawn(cmp::run(state.clone(), shutdown.clone()));
    tasks.spawn(compromise::run(state.clone(), shutdown.clone()));
    tasks.spawn(makers::run(state.clone(), shutdown.clone()));
    tasks.spawn(retirement::run(state.clone(), shutdown.clone()));
    tasks.spawn(audit::run(state.clone(), shutdown.clone()));
    tasks.spawn(snapshot::run(state.clone(), shutdown.clone(), kept));
    tasks.spawn(certificate::run(state.clone(), shutdown.clone(), Arc::new(own)));
}

/// Starts looking at others' servers.
pub(crate) fn watch_others(tasks: &TaskTracker, shutdown: &CancellationToken, state: &State, bounds: Bounds) {
    tasks.spawn(watch::run(state.clone(), bounds, shutdown.clone()));
}

/// Waits for the next round; false when it is time to stop.
async fn next_round(shutdown: &CancellationToken, pause: Duration) -> bool {
    tokio::select! {
        () = shutdown.cancelled() => false,
        () = tokio::time::sleep(pause) => true,
    }
}
