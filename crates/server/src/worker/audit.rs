//! After a stop that was not clean: the whole log is read and checked while we serve (docs/adr/0012). The start has checked what can
//! have been written at the time. A log that is found damaged ends the process: nothing more is signed on it.

use std::time::Duration;

use lanyard_store::AuditError;
use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::state::State;

/// When it could not be read: the storage may come back.
const PAUSE: Duration = Duration::from_secs(60);

pub(super) async fn run(state: State, shutdown: CancellationToken) {
    let store = state.control.journal.store();
    while store.audit_due() {
        // As much rest as work: half of one core at most, and the disk is free for others half of the time.
        let audited = tokio::select! {
            () = shutdown.cancelled() => return,
            audited = store.audit(tokio::time::sleep) => audited,
        };
        match audited {
            Ok(()) => {
                tracing::info!("the last stop was not clean; the whole log was checked and is as it must be")
            }
            Err(error @ AuditError::Damaged(_)) => {
                tracing::error!(%error, "the last stop was not clean, and the check found damage; stopping. Keep this directory, restore the log from a backup, and run `lanyard ledger check`");
                state.control.journal.broken().cancel();
                return;
            }
            Err(AuditError::Read(error)) => {
                tracing::warn!(%error, "the log could not be checked after a stop that was not clean; trying again");
                if !next_round(&shutdown, PAUSE).await {
                    return;
                }
            }
        }
    }
}
