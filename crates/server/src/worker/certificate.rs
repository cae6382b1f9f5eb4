//! The control plane's own TLS certificate: issued by our own authority at each start, renewed at two thirds.

use std::sync::Arc;
use std::time::Duration;

use lanyard_pki::certificate::chain_from_pem;
use lanyard_pki::csr;
use lanyard_pki::key::{KeyBackend, SoftwareKeys};
use lanyard_pki::tls::IdentityStore;
use tokio_util::sync::CancellationToken;

use super::next_round;
use crate::keys;
use crate::state::State;

/// What renewal needs.
pub(crate) struct OwnCertificate {
    pub(crate) keys: Arc<SoftwareKeys>,
    pub(crate) identity: Arc<IdentityStore>,
    pub(crate) names: Vec<String>,
}

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
    let certificate = state.control.certify_self(&request, names, now).await?;
    let chain = chain_from_pem(state.control.authority.chain_pem(&certificate).as_bytes())?;
    let backend: Arc<dyn KeyBackend> = Arc::clone(keys) as Arc<dyn KeyBackend>;
    identity.replace(&chain, Arc::clone(&backend), label.clone())?;
    // CMP signs its answers with it, and files for devices without network are signed with it.
    state.files.install(chain.clone(), Arc::clone(&backend), label.clone());
    state.cmp.install(chain, backend, label);
    Ok(certificate.renew_at().seconds_since(now).max(1))
}

pub(super) async fn run(state: State, shutdown: CancellationToken, own: Arc<OwnCertificate>) {
    // The first one was made at the start; lifetimes are the profile's, so an hour is never late.
    let mut elapsed = state.clock.now();
    let mut due_in = 3_600;
    while next_round(&shutdown, Duration::from_secs(60)).await {
        let now = state.clock.now();
        if now.seconds_since(elapsed) < due_in {
            continue;
        }
        match certify_self(&state, &own.keys, &own.identity, &own.names).await {
            Ok(seconds) => (elapsed, due_in) = (now, seconds),
            Err(error) => {
                tracing::error!(%error, "our own certificate could not be renewed; trying again in a minute")
            }
        }
    }
}
