//! SCEP's own part: which authorities it is on for, the RA that opens and answers its messages, and two rules that the
//! protocol lacks.
//!
//! It is on where an authority of purpose `legacy` is active, and off elsewhere. The RA has a key of its own, which decrypts;
//! the authority's only signs. Its certificate is recorded like all others (I3), so it is the same after a restart.
//! In scope: making and finding the RA. Out of scope: messages (`lanyard-enroll`), what waits (the server).

use std::sync::Arc;

use lanyard_domain::authority::{AuthorityPurpose, AuthorityState};
use lanyard_domain::event::Event;
use lanyard_domain::id::DeviceId;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::{Authentication, EnrollmentRequest};
use lanyard_pki::authority::prepare_ra;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::key::{KeyBackend, KeyError, KeyKind, KeyLabel};
use lanyard_pki::profile::ProfileName;
use lanyard_pki::serial::Serial;

use crate::authority::IssuingCa;
use crate::digest::random;
use crate::journal::Journal;
use crate::plane::{Control, ControlError, find};

/// Who answers SCEP for one authority.
pub struct Ra {
    /// Its certificate.
    pub certificate: Certificate,
    /// The authority's.
    pub issuer: Certificate,
    /// What stands above that, its issuer first, the root left out.
    pub above: Vec<Certificate>,
    /// The authority that was made to follow it, and is not active yet.
    pub next: Option<Certificate>,
    /// Certificates of this key before, DER: clients still encrypt to them.
    pub former: Vec<Vec<u8>>,
    label: KeyLabel,
    keys: Arc<dyn KeyBackend>,
}

impl Ra {
    /// Undoes RSAES-PKCS1-v1_5.
    pub fn decrypt(&self, ciphertext: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.keys.decrypt(&self.label, ciphertext)
    }

    /// Signs by RSASSA-PKCS1-v1_5 with SHA-256.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.keys.sign(&self.label, message)
    }
}

impl<J: Journal> Control<J> {
    /// Names of the authorities that SCEP is on for.
    pub fn scep_authorities(&self) -> Vec<String> {
        let issuers = self.authority.issuers();
        issuers.issuing().iter().filter(|ca| is_on(ca)).map(|ca| ca.name.clone()).collect()
    }

    /// The RA of an authority that SCEP is on for; `None` while it has no certificate that is good.
    pub fn ra(&self, authority: &str, now: Timestamp) -> Result<Option<Ra>, ControlError> {
        let issuers = self.authority.issuers();
        let ca = on(issuers.issuing(), authority)?;
        let mut recorded = self.world().ras.get(authority).cloned().unwrap_or_default();
        let Some(newest) = recorded.pop() else { return Ok(None) };
        let certificate = Certificate::parse(&newest).map_err(|e| {
            ControlError::Bug(format!("the recorded RA of `{authority}` cannot be read: {e}"))
        })?;
        if now >= certificate.not_after() {
            return Ok(None);
        }
        let follows = |other: &&IssuingCa| {
            let same = other.purpose == ca.purpose && other.site == ca.site;
            same && other.state == AuthorityState::Created
        };
        let next = issuers.issuing().iter().rfind(follows);
        Ok(Some(Ra {
            certificate,
            issuer: ca.certificate().clone(),
            above: ca.above().to_vec(),
            next: next.map(|ca| ca.certificate().clone()),
            former: recorded,
            label: label(authority)?,
            keys: Arc::clone(&self.authority.keys) as Arc<dyn KeyBackend>,
        }))
    }

    /// Certifies the RA's key, which is made when there is none: intent, signature, record (I3).
    pub async fn certify_ra(&self, authority: &str, now: Timestamp) -> Result<(), ControlError> {
        let issuers = self.authority.issuers();
        let ca = on(issuers.issuing(), authority)?;
        let keys = self.authority.keys.as_ref();
        let label =
            self.own_key(label(authority)?, |keys, label| keys.generate_to_decrypt(label, KeyKind::Rsa3072))?;
        let serial = Serial::from_random(random()?);
        let prepared =
            prepare_ra(&self.authority.installation.naming, &label, ca.issuer()?, serial, keys, now)
                .map_err(|e| ControlError::refused("certificate_not_prepared", e.to_string()))?;
        self.certify_own(ProfileName::ScepRa.as_str(), prepared, now, |made| Event::RaCertified {
            issuance: made.issuance,
            authority: authority.to_owned(),
            serial: made.serial,
            certificate: made.certificate,
            certificate_sha256: made.certificate_sha256,
            not_after: made.not_after,
        })
        .await
        .map(|_| ())
    }

    /// What SCEP itself does not ask of a request.
    pub(crate) fn check_scep(
        &self,
        id: DeviceId,
        request: &EnrollmentRequest,
        authority: Option<&str>,
    ) -> Result<(), ControlError> {
        if let Some(asked) = authority {
            let site = find(&self.world(), id)?.record.site.clone();
            let issuers = self.authority.issuers();
            let own = issuers.active(AuthorityPurpose::Legacy, Some(&site)).map(|ca| ca.name.as_str());
            if own != Some(asked) {
                return Err(ControlError::refused(
                    "other_site",
                    format!("authority `{asked}` does not issue for the site of this device"),
                ));
            }
        }
        match &request.authentication {
            Authentication::Certificate(chain) => is_bound(id, request, chain.first()),
            // The request is signed by its own key and holds the secret.
            Authentication::Secret(_) | Authentication::Order(_) => Ok(()),
        }
    }
}

/// I2: a device asks for its own keys. The PKCS#10 in a renewal is signed by the new key and says nothing of who sends it:
/// a device could send somebody else's, seen on its way, and that key would be its own for ever. So the new key is the one
/// that signed the message, or its request names this device: nobody signs a request with another's name in it.
fn is_bound(id: DeviceId, request: &EnrollmentRequest, signer: Option<&Vec<u8>>) -> Result<(), ControlError> {
    let signer = signer.map(|der| Certificate::parse(der)).transpose();
    let signer = signer.map_err(|e| ControlError::malformed("certificate", e))?;
    let same_key = signer
        .and_then(|certificate| certificate.public_key().ok().map(|key| key.sha256()))
        .is_some_and(|sha256| sha256 == request.csr.spki_sha256());
    if same_key || request.csr.subject().iter().any(|text| *text == id.to_string()) {
        return Ok(());
    }
    Err(ControlError::refused(
        "request_not_bound",
        format!("a request for a new key must name its device: use the subject serialNumber={id}"),
    ))
}

fn is_on(ca: &IssuingCa) -> bool {
    ca.purpose == AuthorityPurpose::Legacy && ca.state == AuthorityState::Active
}

fn on<'a>(issuing: &'a [IssuingCa], authority: &str) -> Result<&'a IssuingCa, ControlError> {
    issuing
        .iter()
        .find(|ca| ca.name == authority && is_on(ca))
        .ok_or_else(|| ControlError::NotFound { what: "active legacy authority", id: authority.to_owned() })
}

/// Slugs end at 63 characters, labels at 64.
fn label(authority: &str) -> Result<KeyLabel, ControlError> {
    let label: String = format!("scep-{authority}").chars().take(64).collect();
    label.parse().map_err(|e| ControlError::malformed("authority", e))
}
