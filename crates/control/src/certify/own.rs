//! Certificates of our own services: the control plane's listeners, OCSP responders, SCEP's RAs. The key is ours, no record
//! has to be approved, and the rest is as for everyone: intent, signature, record (I3).
//!
//! In scope: keys and the three steps, once for all of them. Out of scope: what each certificate says (pki's profiles), when it
//! is time for another (the server's workers).

use lanyard_domain::event::Event;
use lanyard_domain::id::IssuanceId;
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::csr;
use lanyard_pki::issue::Prepared;
use lanyard_pki::key::{KeyBackend, KeyError, KeyLabel};
use lanyard_pki::profile::{ProfileName, SubjectFacts};

use super::issuer::{or_given_up, while_it_issues};
use crate::authority::thumbprint;
use crate::carry_out::gateway_entry;
use crate::digest::random;
use crate::gateway::addresses;
use crate::journal::{Entry, Journal};
use crate::names;
use crate::plane::{Control, ControlError};
use crate::upkeep::ITSELF;

/// What is recorded of a certificate, whosever it is.
pub(crate) struct Made {
    pub(crate) issuance: IssuanceId,
    pub(crate) serial: String,
    pub(crate) certificate: Blob,
    pub(crate) certificate_sha256: Digest,
    pub(crate) not_after: Timestamp,
}

impl<J: Journal> Control<J> {
    /// Certifies the control plane's own TLS key.
    pub async fn certify_self(
        &self,
        request: &[u8],
        names: &[String],
        now: Timestamp,
    ) -> Result<Certificate, ControlError> {
        let csr = csr::verify(request).map_err(|e| ControlError::malformed("csr", e))?;
        let subject = SubjectFacts::Control { addresses: addresses(names)? };
        let _others_wait = self.operators.lock().await;
        names::free_for_machine(&self.world(), names)?;
        let ready = self.authority.prepare_control(&csr, &subject, now)?;
        self.certify_own(&ready.profile, ready.prepared, now, |made| Event::ServerCertified {
            issuance: made.issuance,
            serial: made.serial,
            certificate: made.certificate,
            certificate_sha256: made.certificate_sha256,
            not_after: made.not_after,
        })
        .await
    }

    /// The newest certificate of the control plane's own key, if it is still good: for a start on which no authority can sign.
    pub fn own_certificate(&self, spki: &[u8], now: Timestamp) -> Option<Certificate> {
        let certificate = Certificate::parse(self.world().own.certificate()?).ok()?;
        let same_key = certificate.public_key().is_ok_and(|key| key.der() == spki);
        (same_key && certificate.not_before() <= now && now < certificate.not_after()).then_some(certificate)
    }

    /// Intent, signature, record. The certificate is given out after the last of them, or not at all.
    pub(crate) async fn certify_own(
        &self,
        profile: &str,
        prepared: Prepared,
        now: Timestamp,
        issued: impl FnOnce(Made) -> Event,
    ) -> Result<Certificate, ControlError> {
        let issuance = IssuanceId::from_random(random()?);
        self.on_system(intended(issuance, "self", profile, &prepared), now).await?;
        let issuer = prepared.issuer().clone();
        let certificate = match self.authority.sign(prepared) {
            Ok(certificate) => certificate,
            Err(error) => {
                self.give_up_own(issuance, &error.to_string(), now).await;
                return Err(error);
            }
        };
        let made = Made {
            issuance,
            serial: certificate.serial().to_string(),
            certificate: Blob(certificate.der().to_vec()),
            certificate_sha256: thumbprint(&certificate),
            not_after: certificate.not_after(),
        };
        let event = issued(made);
        // A compromised authority still says itself that nothing it signed counts; a root signs itself before it is one.
        let always = [ProfileName::OcspResponder, ProfileName::RootCa].map(|p| p.as_str()).contains(&profile);
        let recorded = self
            .record(now, |world| {
                let mut entry = Entry::system(world, ITSELF, vec![event.clone()]);
                if !always {
                    while_it_issues(world, &issuer, &mut entry)?;
                }
                Ok((vec![entry], ()))
            })
            .await;
        or_given_up(recorded, async |why| self.give_up_own(issuance, why, now).await).await?;
        Ok(certificate)
    }

    /// Says in the stream that an intent of ours or of a gateway came to nothing, if it is still open.
    pub(crate) async fn give_up_own(&self, issuance: IssuanceId, why: &str, now: Timestamp) {
        if let Err(error) = self.record_given_up(issuance, why, now).await {
            tracing::error!(%issuance, %error, "an abandoned issuance could not be recorded; recovery will");
        }
    }

    /// The same for all intents that are open: nobody is about to sign them any more. Returns how many.
    pub(crate) async fn recover_own(&self, why: &str, now: Timestamp) -> Result<usize, ControlError> {
        let open: Vec<IssuanceId> = self.world().open_intents.keys().copied().collect();
        for issuance in &open {
            self.record_given_up(*issuance, why, now).await?;
        }
        Ok(open.len())
    }

    async fn record_given_up(
        &self,
        issuance: IssuanceId,
        why: &str,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        self.record(now, |world| {
            let event = Event::IssuanceAbandoned { issuance, why: why.to_owned() };
            let entry = world.open_intents.get(&issuance).and_then(|intent| match intent.gateway {
                None => Some(Entry::system(world, ITSELF, vec![event])),
                Some(id) => {
                    let seq = world.gateways.get(&id)?.seq;
                    Some(gateway_entry(id, ITSELF, seq, event, Vec::new()))
                }
            });
            Ok((entry.into_iter().collect(), ()))
        })
        .await?;
        Ok(())
    }

    /// The label of a service's key, which `make` makes when there is none.
    pub(crate) fn own_key<T>(
        &self,
        label: KeyLabel,
        make: impl FnOnce(&dyn KeyBackend, &KeyLabel) -> Result<T, KeyError>,
    ) -> Result<KeyLabel, ControlError> {
        let keys = self.authority.keys.as_ref();
        let there = match keys.public_spki(&label) {
            Err(KeyError::NotFound(_)) => make(keys, &label).map(|_| ()),
            found => found.map(|_| ()),
        };
        there.map_err(|e| ControlError::Unavailable(e.to_string()))?;
        Ok(label)
    }

    pub(crate) async fn on_system(&self, event: Event, now: Timestamp) -> Result<(), ControlError> {
        self.record(now, |world| Ok((vec![Entry::system(world, ITSELF, vec![event.clone()])], ()))).await?;
        Ok(())
    }
}

/// The intent to issue what was prepared, by no evidence.
pub(crate) fn intended(issuance: IssuanceId, protocol: &str, profile: &str, prepared: &Prepared) -> Event {
    Event::IssuanceIntended {
        issuance,
        protocol: protocol.to_owned(),
        profile: profile.to_owned(),
        serial: prepared.serial().to_string(),
        spki_sha256: Digest(prepared.spki_sha256()),
        tbs_sha256: Digest(prepared.tbs_sha256()),
        evidence_sha256: Digest::default(),
    }
}
