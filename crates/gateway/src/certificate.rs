//! The gateway's own certificate: asked for with the registered key, renewed at two thirds of its life, kept for a start
//! without the control plane.
//!
//! State and its loss: `certificate.pem` is public. Lost: asked for again. Rolled back: expires sooner. Written by an
//! attacker: its key is not ours, it is not used.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use lanyard_api::client::{CallError, Client};
use lanyard_api::clock::Clock;
use lanyard_api::gateway::{GatewayCertificateReply, GatewayCertificateRequest};
use lanyard_domain::id::GatewayId;
use lanyard_domain::text::Blob;
use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::{Certificate, CertificateError, PeerIdentity, chain_from_pem};
use lanyard_pki::csr::{self, BuildCsrError};
use lanyard_pki::key::KeyError;
use lanyard_pki::tls::{IdentityStore, TlsError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::GatewayKeys;
use crate::state::State;

/// While there is no certificate nothing works: try often.
const WITHOUT: Duration = Duration::from_secs(1);
/// While the old one is good there is time: a third of two days holds 190 tries.
const WITH: Duration = Duration::from_secs(300);

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFault {
    /// The control plane.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The request.
    #[error(transparent)]
    Request(#[from] BuildCsrError<KeyError>),
    /// Our key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The answer.
    #[error(transparent)]
    Answer(#[from] CertificateError),
    /// Not for our key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// For someone else, or past its end.
    #[error("the certificate does not name this gateway or is past its end")]
    NotOurs,
    /// The file.
    #[error("the certificate is not kept: {0}")]
    Io(#[from] std::io::Error),
}

/// Keeps the identity current.
#[derive(Debug)]
pub struct Keeper {
    /// Who we are.
    pub gateway: GatewayId,
    /// Our key.
    pub keys: GatewayKeys,
    /// Without certificate: the request proves the key.
    pub client: Client,
    /// Where it is used.
    pub identity: Arc<IdentityStore>,
    /// Where it is kept.
    pub file: PathBuf,
    /// Says which authorities are compromised.
    pub state: Arc<State>,
    /// Time.
    pub clock: Clock,
}

impl Keeper {
    /// Uses the kept certificate if it is still good.
    pub fn load(&self) -> Option<Certificate> {
        let pem = std::fs::read(&self.file).ok()?;
        match self.adopt(&pem) {
            Ok(leaf) => Some(leaf),
            Err(error) => {
                tracing::warn!(%error, "the kept certificate is not used");
                None
            }
        }
    }

    /// Renews until `stop`; `ready` becomes true with the first certificate.
    pub async fn run(
        self,
        mut current: Option<Certificate>,
        ready: watch::Sender<bool>,
        stop: CancellationToken,
    ) {
        let mut heard = self.state.changes();
        loop {
            if current.is_some() {
                ready.send_replace(true);
            }
            let renew_at = current.as_ref().map(|leaf| self.due(leaf));
            let wait = match renew_at {
                None => Duration::ZERO,
                // Never asleep for long: the clock may be set.
                Some(at) => {
                    Duration::from_micros(u64::try_from(at.micros_since(self.clock.now())).unwrap_or(0))
                }
            };
            if !wait.is_zero() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(wait.min(WITH)) => {}
                    // The sender lives in `self.state`.
                    _ = heard.changed() => {}
                }
                continue;
            }
            let fetched = tokio::select! {
                () = stop.cancelled() => return,
                fetched = self.fetch() => fetched,
            };
            match fetched {
                // The authority that issues is still the compromised one: no reason to ask in a loop.
                Ok(leaf) if self.is_compromised(&leaf) => {
                    current = Some(leaf);
                    tracing::warn!("the new certificate is by a compromised authority too; trying again");
                    tokio::select! { () = stop.cancelled() => return, () = tokio::time::sleep(WITHOUT) => {} }
                }
                Ok(leaf) => {
                    tracing::info!(cert.serial = %leaf.serial(), not_after = %leaf.not_after(), "gateway certified");
                    current = Some(leaf);
                }
                Err(error) => {
                    tracing::warn!(%error, "no new certificate; trying again");
                    let replaced = current.as_ref().is_some_and(|leaf| self.is_compromised(leaf));
                    let pause = if current.is_some() && !replaced { WITH } else { WITHOUT };
                    tokio::select! { () = stop.cancelled() => return, () = tokio::time::sleep(pause) => {} }
                }
            }
        }
    }

    /// When it is to be renewed: at two thirds of its life, or now when its authority is compromised.
    fn due(&self, leaf: &Certificate) -> Timestamp {
        if self.is_compromised(leaf) { self.clock.now() } else { leaf.renew_at() }
    }

    fn is_compromised(&self, leaf: &Certificate) -> bool {
        self.state.facts().is_some_and(|facts| facts.replaces(leaf.issuer_der()))
    }

    async fn fetch(&self) -> Result<Certificate, CertificateFault> {
        let spki = self.keys.backend.public_spki(&self.keys.tls)?;
        let name = self.gateway.to_string();
        let csr = csr::build(&spki, &name, |message| self.keys.backend.sign(&self.keys.tls, message))?;
        let request = GatewayCertificateRequest { gateway: self.gateway, csr: Blob(csr) };
        let mut channel = self.client.connect().await?;
        let reply: GatewayCertificateReply =
            channel.call(Method::POST, "/v1/gateway/certificate", Some(&request)).await?;
        let leaf = self.adopt(reply.chain_pem.as_bytes())?;
        let fresh = self.file.with_extension("new");
        std::fs::write(&fresh, &reply.chain_pem)?;
        std::fs::rename(&fresh, &self.file)?;
        Ok(leaf)
    }

    fn adopt(&self, pem: &[u8]) -> Result<Certificate, CertificateFault> {
        let chain = chain_from_pem(pem)?;
        let leaf = chain.first().ok_or(CertificateFault::NotOurs)?.clone();
        let ours = leaf.identity() == Ok(PeerIdentity::Gateway(self.gateway));
        if !ours || leaf.not_after() <= self.clock.now() {
            return Err(CertificateFault::NotOurs);
        }
        self.identity.replace(&chain, self.keys.backend.clone(), self.keys.tls.clone())?;
        Ok(leaf)
    }
}
