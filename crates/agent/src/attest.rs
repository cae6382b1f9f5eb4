//! Attestation in service: a quote over the PCRs, fresh by the newest checkpoint and bound to the connection.

use http::Method;
use lanyard_api::client::{CallError, Channel};
use lanyard_api::device::{AttestRequest, CheckpointReply, Standing};
use lanyard_attest::freshness::Purpose;
use lanyard_domain::text::Blob;

use crate::agent::Agent;
use crate::error::AgentError;
use crate::identity::Identity;
use crate::proof::{Binding, evidence};

impl Agent {
    /// Proves the device's state; says where it stands then.
    pub async fn attest(&self) -> Result<Standing, AgentError> {
        let (mut channel, identity) = self.connect().await?;
        let bound = self.bind(&mut channel, &identity).await?;
        let checkpoint_size = bound.checkpoint.size;
        let evidence =
            self.blocking(move |parts| evidence(parts, Purpose::Attest, &bound, &identity.pcrs)).await?;
        let request = AttestRequest { checkpoint_size, evidence: Blob(evidence) };
        let standing: Standing = self.call(&mut channel, "/v1/attest", &request).await?;
        self.heard(&standing).await?;
        Ok(standing)
    }

    /// A connection that shows the current certificate, and whose it is.
    pub(crate) async fn connect(&self) -> Result<(Channel, Identity), AgentError> {
        let identity = self.parts.identities.current().ok_or(AgentError::NotEnrolled)?;
        match self.parts.mutual.connect().await {
            Ok(channel) => Ok((channel, identity)),
            Err(e) => Err(self.given_back(e).await),
        }
    }

    /// What the next proof is bound to: this device, the newest checkpoint, this connection.
    pub(crate) async fn bind(
        &self,
        channel: &mut Channel,
        identity: &Identity,
    ) -> Result<Binding, AgentError> {
        let exporter = channel.exporter()?;
        let checkpoint: CheckpointReply = self.ask(channel, "/v1/checkpoint").await?;
        Ok(Binding::new(identity.device, &checkpoint, exporter))
    }

    /// A JSON `POST`.
    pub(crate) async fn call<Req: serde::Serialize, Rep: serde::de::DeserializeOwned>(
        &self,
        channel: &mut Channel,
        path: &str,
        request: &Req,
    ) -> Result<Rep, AgentError> {
        match channel.call(Method::POST, path, Some(request)).await {
            Ok(reply) => Ok(reply),
            Err(e) => Err(self.given_back(e).await),
        }
    }

    /// A JSON `GET`.
    pub(crate) async fn ask<Rep: serde::de::DeserializeOwned>(
        &self,
        channel: &mut Channel,
        path: &str,
    ) -> Result<Rep, AgentError> {
        match channel.call::<(), Rep>(Method::GET, path, None).await {
            Ok(reply) => Ok(reply),
            Err(e) => Err(self.given_back(e).await),
        }
    }

    /// A certificate that TLS refuses before it ever worked gives way to the one before.
    async fn given_back(&self, error: CallError) -> AgentError {
        if let CallError::Tls { source: rustls::Error::AlertReceived(alert), .. } = &error {
            let now = self.parts.clock.now();
            let back = self.blocking(move |parts| parts.identities.fall_back(now)).await;
            tracing::warn!(
                ?alert,
                to_former = matches!(back, Ok(true)),
                "the certificate was refused by TLS"
            );
        }
        error.into()
    }
}
