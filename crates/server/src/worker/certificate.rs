//! The control plane's own TLS certificate: issued by our own authority at each start, renewed at two thirds.

use std::sync::Arc;
use std::time::Duration;

use lanyard_control::plane::ControlError;
use lanyard_pki::certificate::chain_from_pem;
use lanyard_pki::csr;
use lanyard_pki::key::{KeyBackend, SoftwareKeys};
use lanyard_pki::tls::IdentityStore;
use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::keys;
use crate::state::State;

/// A compromise is answered within seconds.
const PAUSE: Duration = Duration::from_secs(2);

/// What renewal needs.
pub(crate) struct OwnCertificate {
    pub(crate) keys: Arc<SoftwareKeys>,
    pub(crate) identity: Arc<IdentityStore>,
    pub(crate) names: Vec<String>,
    /// Seconds from the start until the next one should be made.
    pub(crate) due_in: i64,
}

/// While no authority can sign, we go on with what we have and ask again so often.
const RETRY_SECONDS: i64 = 60;

/// Issues and installs a certificate; returns the seconds until the next should be made.
pub(crate) async fn certify_self(
    state: &State,
    keys: &Arc<SoftwareKeys>,
    identity: &Arc<IdentityStore>,
    names: &[String],
) -> anyhow::Result<i64> {
    let now = state.clock.now();
    let label = keys::label(keys::TLS)?;
    let spki = keys.public_spki(&label)?;
    let request = csr::build(&spki, "control plane", |tbs| keys.sign(&label, tbs))?;
    let (certificate, due_in) = match state.control.certify_self(&request, names, now).await {
        Ok(certificate) => {
            let due_in = certificate.renew_at().seconds_since(now).max(1);
            (certificate, due_in)
        }
        Err(ControlError::Unavailable(why)) => {
            let kept = state.control.own_certificate(&spki, now).ok_or_else(|| {
                anyhow::anyhow!("no authority can certify the control plane itself, and its last certificate has ended: {why}")
            })?;
            tracing::error!(%why, until = %kept.not_after(), "our own certificate could not be made anew; going on with the one before");
            (kept, RETRY_SECONDS)
        }
        Err(error) => return Err(error.into()),
    };
    let chain = chain_from_pem(state.control.authority.chain_pem(&certificate).as_bytes())?;
    let backend: Arc<dyn KeyBackend> = Arc::clone(keys) as Arc<dyn KeyBackend>;
    identity.replace(&chain, Arc::clone(&backend), label.clone())?;
    // CMP signs its answers with it, and files for devices without network are signed with it.
    state.files.install(chain.clone(), Arc::clone(&backend), label.clone());
    state.cmp.install(chain, backend, label);
    Ok(due_in)
}

pub(super) async fn run(state: State, shutdown: CancellationToken, own: Arc<OwnCertificate>) {
    // The first one was made at the start.
    let mut elapsed = state.clock.now();
    let mut due_in = own.due_in;
    // After a failure, or when the authority that issues is still a compromised one.
    let mut not_before = elapsed;
    while next_round(&shutdown, PAUSE).await {
        let now = state.clock.now();
        // A compromised authority's certificate is replaced at once: whoever reaches us would be told that it is revoked.
        let compromised = state.control.shows_compromised();
        let due = now.seconds_since(elapsed) >= due_in;
        if (!due && !compromised) || now < not_before {
            continue;
        }
        not_before = now.plus_seconds(60);
        match certify_self(&state, &own.keys, &own.identity, &own.names).await {
            Ok(seconds) => (elapsed, due_in) = (now, seconds),
            Err(error) => {
                tracing::error!(%error, "our own certificate could not be renewed; trying again in a minute")
            }
        }
    }
}
