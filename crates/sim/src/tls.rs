//! TLS configurations of the simulation's people and attackers. Devices bring their own (the agent's).
//!
//! In scope: trust in the control plane's anchors; a certificate shown from someone else's store, for attackers that
//! sit on a device. Out of scope: turning verification off; nothing in the simulation does.

use std::sync::Arc;
use std::time::Duration;

use lanyard_agent::identity::Identities;
use lanyard_api::clock::Clock;
use rustls::client::Resumption;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};

/// Why a configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The anchors.
    #[error("trust anchors cannot be read: {0}; expected PEM certificates")]
    Anchors(String),
    /// rustls refused.
    #[error("TLS configuration: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Shows no certificate.
pub fn anonymous(anchors_pem: &str, clock: &Clock) -> Result<Arc<ClientConfig>, TlsError> {
    config(anchors_pem, clock, None)
}

/// Shows a device's newest certificate, by the device's own key.
pub fn as_device(
    anchors_pem: &str,
    clock: &Clock,
    identities: Arc<Identities>,
) -> Result<Arc<ClientConfig>, TlsError> {
    config(anchors_pem, clock, Some(identities))
}

fn config(
    anchors_pem: &str,
    clock: &Clock,
    identities: Option<Arc<Identities>>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    for anchor in CertificateDer::pem_slice_iter(anchors_pem.as_bytes()) {
        roots.add(anchor.map_err(|e| TlsError::Anchors(e.to_string()))?)?;
    }
    if roots.is_empty() {
        return Err(TlsError::Anchors("there is none".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_details(provider, Arc::new(SimulatedTime(clock.clone())))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots);
    let mut tls = match identities {
        Some(identities) => builder.with_client_cert_resolver(identities),
        None => builder.with_no_client_auth(),
    };
    tls.resumption = Resumption::disabled();
    Ok(Arc::new(tls))
}

/// rustls asks our clock, so that simulated time is one time.
#[derive(Debug)]
struct SimulatedTime(Clock);

impl TimeProvider for SimulatedTime {
    fn current_time(&self) -> Option<UnixTime> {
        let micros = u64::try_from(self.0.now().as_micros()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_micros(micros)))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use data_encoding::BASE64;
    use lanyard_domain::time::Timestamp;

    use super::*;
    use crate::maker::Maker;

    /// Some CA certificate.
    pub(crate) fn anchor() -> String {
        let maker = Maker::new("Chips", Timestamp::from_seconds(1_790_000_000)).unwrap();
        let body = BASE64.encode(maker.root_der());
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    }

    #[test]
    fn anchors_that_are_none_are_refused() {
        let clock = Clock::system();
        assert!(matches!(anonymous("", &clock), Err(TlsError::Anchors(_))));
        let damaged = anchor().replace("CERTIFICATE-----\nM", "CERTIFICATE-----\n!");
        assert!(matches!(anonymous(&damaged, &clock), Err(TlsError::Anchors(_))));
        assert!(anonymous(&anchor(), &clock).is_ok());
    }
}
