//! OCSP responders: each authority that issued something has one, whose certificate is renewed in time; answers that are asked
//! for again are signed before somebody waits.

use std::time::Duration;

use lanyard_control::plane::ControlError;
use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::front::revocation::refresh;
use crate::state::State;

/// A new authority answers before its first certificate is looked up.
const PAUSE: Duration = Duration::from_secs(2);

pub(super) async fn run(state: State, shutdown: CancellationToken) {
    while next_round(&shutdown, PAUSE).await {
        certify_responders(&state).await;
        refresh(&state);
    }
}

/// Makes the responders that are missing or due.
pub(crate) async fn certify_responders(state: &State) {
    let serving = state.revocation.responders();
    for authority in state.control.answerable() {
        let now = state.clock.now();
        let mut renew_at =
            serving.iter().find(|s| s.authority == authority).map(|s| s.responder.certificate().renew_at());
        if renew_at.is_none()
            && let Some(kept) = state.control.kept_responder(&authority, now)
        {
            renew_at = Some(kept.certificate().renew_at());
            state.revocation.install(&authority, kept);
        }
        if renew_at.is_some_and(|at| now < at) {
            continue;
        }
        match state.control.certify_responder(&authority, now).await {
            Ok(responder) => state.revocation.install(&authority, responder),
            // Said once for each authority by the worker that watches keys.
            Err(ControlError::Unavailable(why)) => {
                tracing::debug!(%why, %authority, "an OCSP responder waits for its authority's key");
            }
            Err(error) => {
                tracing::error!(%error, %authority, "an OCSP responder could not be certified; trying again");
            }
        }
    }
}
