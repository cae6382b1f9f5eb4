//! The issuing authority as use cases hold it: issuer, profiles, key backend; and the permit that an issuance needs.

use std::sync::Arc;

use lanyard_attest::tpm::certify::CertifiedKey;
use lanyard_domain::id::{DeviceId, IssuanceId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_pki::authority::Issuer;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::csr::VerifiedCsr;
use lanyard_pki::issue::{Lifetime, Prepared, prepare};
use lanyard_pki::key::KeyBackend;
use lanyard_pki::name::Naming;
use lanyard_pki::profile::{Profile, ProfileName, SubjectFacts};
use lanyard_pki::serial::Serial;

use crate::digest::random;
use crate::plane::ControlError;

/// What issues.
pub struct Authority {
    issuer: Issuer,
    root: Certificate,
    keys: Arc<dyn KeyBackend>,
    device: Profile,
    gateway: Profile,
    control: Profile,
}

/// What every device issuance rests on: an approved record, a key that the device's own TPM holds, good evidence on
/// this very connection. Made only in this crate, where those proofs meet; consumed by [`Authority::prepare_device`].
pub struct IssuancePermit {
    pub(crate) device: DeviceId,
    pub(crate) csr: VerifiedCsr,
}

impl IssuancePermit {
    /// A permit from the proofs, when they fit together.
    pub(crate) fn new(device: DeviceId, key: &CertifiedKey, csr: VerifiedCsr) -> Result<Self, ControlError> {
        if csr.spki_der() != key.spki_der() {
            return Err(ControlError::refused(
                "csr_key_not_certified",
                "the request's key is not the key that the device's TPM certified",
            ));
        }
        Ok(Self { device, csr })
    }
}

/// An issuance that is linted and named but not signed.
pub struct PreparedIssuance {
    /// Its id.
    pub issuance: IssuanceId,
    /// Signed once.
    pub prepared: Prepared,
    /// Which profile, as it stands in the event.
    pub profile: String,
}

impl Authority {
    /// An authority over the newest issuing CA.
    pub fn new(issuer: Issuer, root: Certificate, keys: Arc<dyn KeyBackend>, naming: &Naming) -> Self {
        Self {
            issuer,
            root,
            keys,
            device: Profile::new(ProfileName::DeviceLdevid, naming.clone()),
            gateway: Profile::new(ProfileName::GatewayServer, naming.clone()),
            control: Profile::new(ProfileName::ControlServer, naming.clone()),
        }
    }

    /// The trust anchor.
    pub fn root(&self) -> &Certificate {
        &self.root
    }

    /// `leaf` and its issuer, PEM; the root is with those who verify.
    pub fn chain_pem(&self, leaf: &Certificate) -> String {
        format!("{}{}", leaf.to_pem(), self.issuer.certificate().to_pem())
    }

    /// Makes a device certificate ready.
    pub(crate) fn prepare_device(
        &self,
        permit: IssuancePermit,
        lifetime: Lifetime,
        now: Timestamp,
    ) -> Result<PreparedIssuance, ControlError> {
        self.prepare(&self.device, &permit.csr, &SubjectFacts::Device { id: permit.device }, lifetime, now)
    }

    /// Makes a gateway certificate ready.
    pub(crate) fn prepare_gateway(
        &self,
        csr: &VerifiedCsr,
        subject: &SubjectFacts,
        now: Timestamp,
    ) -> Result<PreparedIssuance, ControlError> {
        self.prepare(&self.gateway, csr, subject, Lifetime::Default, now)
    }

    /// Makes the control plane's own server certificate ready.
    pub(crate) fn prepare_control(
        &self,
        csr: &VerifiedCsr,
        subject: &SubjectFacts,
        now: Timestamp,
    ) -> Result<PreparedIssuance, ControlError> {
        self.prepare(&self.control, csr, subject, Lifetime::Default, now)
    }

    fn prepare(
        &self,
        profile: &Profile,
        csr: &VerifiedCsr,
        subject: &SubjectFacts,
        lifetime: Lifetime,
        now: Timestamp,
    ) -> Result<PreparedIssuance, ControlError> {
        let serial = Serial::from_random(random()?);
        let prepared = prepare(profile, csr, subject, &self.issuer, lifetime, serial, now)
            .map_err(|e| ControlError::refused("certificate_not_prepared", e.to_string()))?;
        Ok(PreparedIssuance {
            issuance: IssuanceId::from_random(random()?),
            prepared,
            profile: profile.name().to_owned(),
        })
    }

    /// Signs. The intent has been recorded; the result is recorded before anyone sees it.
    pub(crate) fn sign(&self, prepared: Prepared) -> Result<Certificate, ControlError> {
        prepared
            .sign(self.keys.as_ref())
            .map_err(|e| ControlError::Unavailable(format!("the signing key: {e}")))
    }
}

/// Whether a certificate can be an endorsement anchor: readable, and a CA.
pub(crate) fn check_anchor(der: &[u8]) -> Result<(), ControlError> {
    let certificate = Certificate::parse(der).map_err(|e| ControlError::malformed("certificate", e))?;
    if !certificate.is_ca() {
        return Err(ControlError::malformed(
            "certificate",
            "it is not a CA certificate (basicConstraints does not assert cA); register the maker's issuing or root CA",
        ));
    }
    Ok(())
}

/// Digest of a certificate as events name it.
pub fn thumbprint(certificate: &Certificate) -> Digest {
    Digest(certificate.thumbprint())
}
