//! Who is it? From what a sender showed to the registered device, or why not (R7: unknown is refused).

use lanyard_domain::device::MakerIdentity;
use lanyard_domain::event::AlarmCode;
use lanyard_domain::id::{DeviceId, SecretId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::Authentication;
use lanyard_pki::certificate::{Certificate, PeerIdentity};
use lanyard_pki::path::{Anchors, Purpose, validate};

use crate::journal::{Claim, Journal, Space};
use crate::plane::{Control, ControlError, Refused, find};
use crate::world::Subject;

/// A device, and by what it was recognised.
pub(super) struct Recognised {
    pub(super) device: DeviceId,
    pub(super) proven: Proven,
}

/// What proved it.
pub(super) enum Proven {
    /// A one-time secret that is its own.
    Secret(SecretId),
    /// One of its current certificates.
    Current,
    /// The last of its certificates, which has ended.
    Ended { at: Timestamp },
    /// A key that its maker vouches for.
    MakerKey { format: String, key: MakerIdentity, certificate_sha256: Digest, endorsement_sha256: Digest },
}

impl Recognised {
    /// I2: a hardware key is this record's, for ever.
    pub(super) fn claim(&self) -> Option<Claim> {
        match &self.proven {
            Proven::MakerKey { key, .. } => Some(Claim { space: Space::EndorsementKey, key: key.key_sha256 }),
            _ => None,
        }
    }
}

impl<J: Journal> Control<J> {
    pub(super) async fn recognise_sender(
        &self,
        authentication: &Authentication,
        key: &Digest,
        now: Timestamp,
    ) -> Result<Recognised, ControlError> {
        match authentication {
            Authentication::Secret(proven) => self.by_secret(proven.id(), key, now),
            Authentication::Certificate(chain) => self.by_certificate(chain, now).await,
        }
    }

    fn by_secret(&self, secret: SecretId, key: &Digest, now: Timestamp) -> Result<Recognised, ControlError> {
        let world = self.world();
        let Some((Subject::Device(device), _)) = world.by_secret(secret) else {
            return Err(ControlError::refused(
                "secret_unknown",
                "this enrollment secret is not, or no longer, one of a device; have a new one made",
            ));
        };
        let device = find(&world, device)?;
        device.secret_for(secret, key, now)?;
        Ok(Recognised { device: device.id, proven: Proven::Secret(secret) })
    }

    async fn by_certificate(&self, chain: &[Vec<u8>], now: Timestamp) -> Result<Recognised, ControlError> {
        let malformed =
            |e: lanyard_pki::certificate::CertificateError| ControlError::malformed("certificate", e);
        let leaf = chain
            .first()
            .ok_or_else(|| ControlError::refused("certificate_needed", "the request shows no certificate"))?;
        let leaf = Certificate::parse(leaf).map_err(malformed)?;
        let (anchors, ours) = {
            let issuers = self.authority.issuers();
            let anchors = Anchors::new(issuers.roots().to_vec())
                .map_err(|e| ControlError::Bug(format!("our own roots are no anchors: {e}")))?;
            // Clients that send the leaf alone are usual in CMP and SCEP: the issuer is ours to know.
            (anchors, issuers.of(&leaf).map(|i| i.issuer.certificate().clone()))
        };
        let Some(issuer) = ours else {
            return Err(ControlError::refused(
                "certificate_not_ours",
                "the certificate is not by an authority of ours",
            ));
        };
        // One that has ended is judged by the last moment of its life; that it has ended is weighed by the device's rules.
        let ended = leaf.not_after() < now;
        let moment = if ended { leaf.not_after() } else { now };
        let path = [leaf.der().clone(), issuer.der().clone()];
        let verified = validate(&path, &anchors, Purpose::Client, moment)
            .map_err(|e| ControlError::refused("certificate_invalid", e.to_string()))?;
        let PeerIdentity::Device(device) = verified.identity() else {
            return Err(ControlError::refused("not_a_device", "this call is for devices"));
        };
        self.known_certificate(device, &leaf, ended, now).await
    }

    /// The certificate must be one that the device's chain still has: not revoked, not superseded.
    async fn known_certificate(
        &self,
        id: DeviceId,
        leaf: &Certificate,
        ended: bool,
        now: Timestamp,
    ) -> Result<Recognised, ControlError> {
        let thumbprint = Digest(leaf.thumbprint());
        let refused = {
            let world = self.world();
            let device = find(&world, id)?;
            if device.certificates.iter().any(|c| c.sha256 == thumbprint) {
                let proven = match ended {
                    true => Proven::Ended { at: leaf.not_after() },
                    false => Proven::Current,
                };
                return Ok(Recognised { device: id, proven });
            }
            let text = "this certificate was revoked, or another has taken its place";
            Refused::new("certificate_not_current", text)
        };
        // Somebody holds the key of a certificate that must not be used any more.
        self.alarm(id, AlarmCode::RevokedCertificateUsed, &refused, now).await;
        Err(refused.into())
    }
}
