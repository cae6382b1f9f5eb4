//! Enrollment: the device shows the keys of its root of trust, opens a credential that only that root can open, and
//! gets its first certificate (or a new first one after all others expired: same hardware, same record).
//!
//! Both requests go over one TLS connection, because everything in the second is bound to its exporter.

use http::Method;
use lanyard_api::device::{EnrollBegin, EnrollChallenge, EnrollFinish, Issued};
use lanyard_attest::freshness::Purpose;
use lanyard_domain::text::Blob;

use crate::agent::{Agent, Parts};
use crate::error::AgentError;
use crate::proof::{Binding, issuance};
use crate::protocol::native;

impl Agent {
    /// Earns an identity.
    pub async fn enroll(&self) -> Result<Issued, AgentError> {
        let mut channel = self.parts.anonymous.connect().await?;
        let binding = channel.exporter()?;
        let begin = self.blocking(introduce).await?;
        let challenge: EnrollChallenge = channel.call(Method::POST, "/v1/enroll/begin", Some(&begin)).await?;

        let (device, pcrs) = (challenge.device, challenge.pcrs.clone());
        let bound = Binding::new(device, &challenge.checkpoint, binding);
        let (finish, slot) = self
            .blocking(move |parts| {
                let secret = parts
                    .root
                    .activate_credential(&challenge.credential_blob.0, &challenge.encrypted_secret.0)?;
                let slot = parts.identities.next_slot();
                let proof = issuance(parts, slot, Purpose::Enroll, &bound, &challenge.pcrs)?;
                let expires = challenge.expires;
                Ok((EnrollFinish { begin, expires, secret: Blob(secret), proof }, slot))
            })
            .await?;
        let issued: Issued = channel.call(Method::POST, "/v1/enroll/finish", Some(&finish)).await?;
        self.take(issued, device, slot, pcrs).await
    }

    /// Installs what was issued, if it is for this device.
    pub(crate) async fn take(
        &self,
        issued: Issued,
        device: lanyard_domain::id::DeviceId,
        slot: crate::tpm::KeySlot,
        pcrs: Vec<u8>,
    ) -> Result<Issued, AgentError> {
        if issued.device != device {
            return Err(AgentError::Answer(format!(
                "certificate is for `{}`, not `{device}`",
                issued.device
            )));
        }
        let installed = native(&issued, slot.into(), pcrs);
        self.blocking(move |parts| parts.identities.install(installed)).await?;
        let now = self.parts.clock.now();
        self.parts.status.send_modify(|status| {
            status.device = Some(issued.device);
            status.standing = Some(issued.standing.clone());
            status.heard_at = Some(now);
            status.not_after = Some(issued.not_after);
            status.renew_at = Some(issued.renew_at);
        });
        tracing::info!(device.id = %issued.device, not_after = %issued.not_after, "device has a new certificate");
        Ok(issued)
    }
}

/// Who this device says it is, and the public keys of its root of trust.
fn introduce(parts: &Parts) -> Result<EnrollBegin, AgentError> {
    let config = &parts.config;
    Ok(EnrollBegin {
        vendor: config.vendor.clone(),
        model: config.model.clone(),
        serial: config.serial.clone(),
        ek_certificates: parts.root.ek_certificate_chain()?.into_iter().map(Blob).collect(),
        ek_public: Blob(parts.root.ek_public()?),
        ak_public: Blob(parts.root.ensure_ak()?.public),
    })
}
