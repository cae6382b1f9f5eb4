//! Who is it? From what a sender showed to the registered device, or why not (R7: unknown is refused).

use std::collections::BTreeSet;

use lanyard_attest::tpm::structures::{Public, spki_der};
use lanyard_attest::webauthn::AttestedKey;
use lanyard_domain::authority::AuthorityPurpose;
use lanyard_domain::device::MakerIdentity;
use lanyard_domain::endorsement::EndorsementUse;
use lanyard_domain::event::AlarmCode;
use lanyard_domain::id::{DeviceId, SecretId, StreamId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::Authentication;
use lanyard_enroll::acme::{Identifier, ProvenOrder};
use lanyard_pki::certificate::{Certificate, PeerIdentity};
use lanyard_pki::idevid::{self, VerifiedIdevid};
use lanyard_pki::path::revocation::Revocation;
use lanyard_pki::path::{Anchors, PathError, Purpose, validate, validate_expired, validate_recorded};
use rustls_pki_types::CertificateDer;

use crate::digest::sha256;
use crate::journal::{Claim, Journal, Space};
use crate::makers::ask::Shown;
use crate::plane::{Control, ControlError, Refused, find};
use crate::world::{Subject, World};

/// A device, and by what it was recognised.
pub(super) struct Recognised {
    pub(super) device: DeviceId,
    pub(super) proven: Proven,
}

/// What proved it.
#[derive(Clone)]
pub(super) enum Proven {
    /// A one-time secret that is its own.
    Secret(SecretId),
    /// One of its current certificates; `by`: what the authority that issued it is for.
    Current { by: AuthorityPurpose },
    /// The last of its certificates, which has ended.
    Ended { at: Timestamp, by: AuthorityPurpose },
    /// A key that its maker vouches for.
    MakerKey {
        format: String,
        key: MakerIdentity,
        certificate_sha256: Digest,
        endorsement_sha256: Digest,
        shown: Shown,
    },
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
            Authentication::Order(order) => self.by_order(order, now).await,
        }
    }

    /// Whether whoever showed this is anyone, before anything is kept for them: a self-made certificate proves its own key
    /// to an engine, and nothing else.
    pub async fn knows(&self, authentication: &Authentication, now: Timestamp) -> Result<(), ControlError> {
        match authentication {
            // ACME orders are kept for accounts, which are somebody.
            Authentication::Order(_) => Ok(()),
            shown => self.device_of(shown, now).await.map(|_| ()),
        }
    }

    /// Which device showed this.
    pub async fn device_of(
        &self,
        authentication: &Authentication,
        now: Timestamp,
    ) -> Result<DeviceId, ControlError> {
        match authentication {
            Authentication::Secret(proven) => match self.world().by_secret(proven.id()) {
                Some((Subject::Device(device), _)) => Ok(device),
                _ => Err(no_such_secret()),
            },
            Authentication::Certificate(chain) => self.by_certificate(chain, now).await.map(|r| r.device),
            Authentication::Order(_) => Err(ControlError::refused("not_a_device", "an order is no device's")),
        }
    }

    fn by_secret(&self, secret: SecretId, key: &Digest, now: Timestamp) -> Result<Recognised, ControlError> {
        let world = self.world();
        let Some((Subject::Device(device), _)) = world.by_secret(secret) else {
            return Err(no_such_secret());
        };
        let device = find(&world, device)?;
        device.secret_for(secret, key, now)?;
        Ok(Recognised { device: device.id, proven: Proven::Secret(secret) })
    }

    pub(super) async fn by_certificate(
        &self,
        chain: &[Vec<u8>],
        now: Timestamp,
    ) -> Result<Recognised, ControlError> {
        let leaf = chain
            .first()
            .ok_or_else(|| ControlError::refused("certificate_needed", "the request shows no certificate"))?;
        let leaf = Certificate::parse(leaf).map_err(|e| ControlError::malformed("certificate", e))?;
        // Clients that send the leaf alone are usual in CMP and SCEP: the issuer is ours to know.
        let (anchor, above, by) = {
            let issuers = self.authority.issuers();
            let issuer = issuers.of(&leaf);
            if issuer.is_some_and(|ca| ca.distrusted) {
                return Err(issuer_compromised());
            }
            let Some(issuer) = issuer else {
                drop(issuers);
                return self.by_makers_certificate(chain, now).await;
            };
            // Below a root that we made the issuer is the anchor: that it is ours says the ledger, so the root's signature on it,
            // the dearest of the path, is not checked with each request. Nor is the issuer's on what the ledger has (ADR 16):
            // asking for that comes first, and whatever it does not know is looked at in full.
            if issuer.is_below_own_root() {
                let named = validate_recorded(
                    &leaf,
                    issuer.certificate(),
                    Purpose::Client,
                    now,
                    |named, digest| matches!(named, PeerIdentity::Device(id) if self.has_certificate(id, digest)),
                );
                if let Some(PeerIdentity::Device(device)) = named {
                    let proven = Proven::Current { by: issuer.purpose };
                    drop(issuers);
                    self.note_use(device, &leaf, now).await;
                    return Ok(Recognised { device, proven });
                }
                (vec![issuer.certificate().clone()], Vec::new(), issuer.purpose)
            } else {
                let above = [std::slice::from_ref(issuer.certificate()), issuer.above()].concat();
                (issuers.roots().to_vec(), above, issuer.purpose)
            }
        };
        let anchors = Anchors::new(anchor)
            .map_err(|e| ControlError::Bug(format!("authorities of ours are no anchors: {e}")))?;
        let path: Vec<_> = std::iter::once(&leaf).chain(&above).map(|c| c.der().clone()).collect();
        let invalid = |e: PathError| ControlError::refused("certificate_invalid", e.to_string());
        // One that has ended proves nothing today; whether it is enough to renew is weighed by the device's own rules.
        let (identity, proven) = match validate(&path, &anchors, Purpose::Client, now) {
            Ok(verified) => (verified.identity(), Proven::Current { by }),
            Err(PathError::Expired { .. }) => {
                let ended = validate_expired(&path, &anchors, Purpose::Client, now).map_err(invalid)?;
                (ended.identity(), Proven::Ended { at: leaf.not_after(), by })
            }
            Err(error) => return Err(invalid(error)),
        };
        let PeerIdentity::Device(device) = identity else {
            return Err(ControlError::refused("not_a_device", "this call is for devices"));
        };
        self.known_certificate(device, &leaf, proven, now).await
    }

    /// A factory certificate (IDevID) of an accepted maker, for the device that was registered with its serial number.
    async fn by_makers_certificate(
        &self,
        chain: &[Vec<u8>],
        now: Timestamp,
    ) -> Result<Recognised, ControlError> {
        let (idevid, proven) = makers_key(&self.world(), chain, now)?;
        let recognised =
            self.whose_key(&serial_numbers(&idevid), Digest(idevid.spki_sha256()), proven, now).await?;
        self.believed(recognised, now).await
    }

    /// An ACME order for a device: the maker of the attested key says whose it is (draft-ietf-acme-device-attest 5). An account
    /// that is bound to a record speaks for no other.
    async fn by_order(&self, order: &ProvenOrder, now: Timestamp) -> Result<Recognised, ControlError> {
        let attested = order
            .attested()
            .ok_or_else(|| ControlError::Bug("an order for a device that no statement proved".to_owned()))?;
        let mut names = Vec::new();
        for proven in order.identifiers() {
            match proven.identifier() {
                Identifier::Permanent { value, .. } => names.push(value.as_str()),
                Identifier::Module { serial, .. } => names.push(serial.as_str()),
                Identifier::Dns(_) | Identifier::Ip(_) => {}
            }
            // Two statements in one order would leave open which of them is kept and counts.
            if proven.attested().is_some_and(|other| {
                (other.spki_sha256(), other.attestation_key_sha256())
                    != (attested.spki_sha256(), attested.attestation_key_sha256())
            }) {
                return Err(ControlError::refused(
                    "two_statements",
                    "an order is proven by one device's key",
                ));
            }
        }
        let (key, proven) = attested_key(&self.world(), attested)?;
        let recognised = self.whose_key(&names, key, proven, now).await?;
        let recognised = self.believed(recognised, now).await?;
        match order.binding() {
            Some(bound) if bound.record != StreamId::from(recognised.device) => Err(ControlError::refused(
                "account_of_another",
                "the account is bound to another record than the device that the order is for",
            )),
            _ => Ok(recognised),
        }
    }

    /// A device whose hardware's maker has not taken its word back.
    async fn believed(&self, recognised: Recognised, now: Timestamp) -> Result<Recognised, ControlError> {
        if let Proven::MakerKey { shown, .. } = &recognised.proven {
            self.ask_lists(recognised.device, shown, now).await?;
        }
        Ok(recognised)
    }

    /// The device that was registered under one of these names and may have this key.
    async fn whose_key(
        &self,
        names: &[&str],
        key: Digest,
        proven: Proven,
        now: Timestamp,
    ) -> Result<Recognised, ControlError> {
        let (owner, named) = {
            let world = self.world();
            let named = named_devices(&world, names);
            match world.by_endorsement_key(&key) {
                None => {
                    return Ok(Recognised { device: the_one(&world, names, key, &named)?, proven });
                }
                Some(owner) => (owner, named),
            }
        };
        if named.contains(&owner) {
            return Ok(Recognised { device: owner, proven });
        }
        // I2: the maker, or whoever has its key, vouches for one key under two names.
        let refused = Refused::new(
            "hardware_key_reused",
            format!("this key belongs to device {owner}; the same hardware cannot be two devices"),
        );
        for id in named.into_iter().chain([owner]) {
            self.alarm(id, AlarmCode::HardwareKeyReused, &refused, now).await;
        }
        Err(refused.into())
    }

    /// The certificate must be one that the device's chain still has: not revoked, not superseded.
    async fn known_certificate(
        &self,
        device: DeviceId,
        leaf: &Certificate,
        proven: Proven,
        now: Timestamp,
    ) -> Result<Recognised, ControlError> {
        find(&self.world(), device)?;
        if self.has_certificate(device, &leaf.thumbprint()) {
            if let Proven::Current { .. } = proven {
                self.note_use(device, leaf, now).await;
            }
            return Ok(Recognised { device, proven });
        }
        let refused = Refused::new(
            "certificate_not_current",
            "this certificate was revoked, or another has taken its place",
        );
        // Somebody holds the key of a certificate that must not be used any more.
        self.alarm(device, AlarmCode::RevokedCertificateUsed, &refused, now).await;
        Err(refused.into())
    }

    /// Whether the device's chain has the certificate with this SHA-256, and nothing ended it.
    fn has_certificate(&self, device: DeviceId, digest: &[u8; 32]) -> bool {
        let world = self.world();
        let known = world.devices.get(&device);
        known.is_some_and(|device| device.certificates.iter().any(|c| c.sha256.0 == *digest))
    }

    /// R44: for a device that talks to nobody else of ours, the first use of a certificate here ends the one before.
    async fn note_use(&self, device: DeviceId, leaf: &Certificate, now: Timestamp) {
        let thumbprint = Digest(leaf.thumbprint());
        if self.is_first_use(device, &thumbprint)
            && let Err(error) = self.see_certificate(device, &thumbprint, now).await
        {
            tracing::debug!(device.id = %device, %error, "the first use of a certificate was not noted yet");
        }
    }
}

/// For whoever shows a certificate by an authority of which nothing counts any more.
pub(crate) fn issuer_compromised() -> ControlError {
    ControlError::refused(
        "issuer_compromised",
        "the authority that issued this certificate is compromised, and nothing that it signed counts: enroll anew, with the \
         device's hardware or a one-time secret",
    )
}

fn no_such_secret() -> ControlError {
    ControlError::refused(
        "secret_unknown",
        "this enrollment secret is not, or no longer, one of a device; have a new one made",
    )
}

/// The key that an accepted maker's certificate is for, as far as its chain is good.
fn makers_key(
    world: &World,
    chain: &[Vec<u8>],
    now: Timestamp,
) -> Result<(VerifiedIdevid, Proven), ControlError> {
    let stranger = |why: String| {
        ControlError::refused(
            "certificate_not_ours",
            format!(
                "the certificate is neither by an authority of ours nor by an accepted maker's: {why}; \
                 `lanyard endorsement add` accepts a maker"
            ),
        )
    };
    let makers: Vec<Certificate> = world
        .endorsements
        .iter()
        .filter(|e| e.accepts(EndorsementUse::Idevid))
        .filter_map(|e| Certificate::parse(&e.certificate).ok())
        .collect();
    let makers = Anchors::new(makers).map_err(|e| stranger(e.to_string()))?;
    let shown = chain;
    let chain: Vec<CertificateDer<'_>> = chain.iter().map(|c| CertificateDer::from(c.as_slice())).collect();
    // Lists that makers publish are asked in one place for all that makers vouch for: `makers::ask`.
    let idevid =
        idevid::verify(&chain, &makers, Revocation::NotAsked, now).map_err(|e| stranger(e.to_string()))?;
    let anchor = Digest(idevid.anchor_sha256());
    let maker = world.endorsements.iter().find(|e| e.sha256 == anchor).ok_or_else(|| {
        ControlError::Bug("a factory certificate by an authority that is not in the world".to_owned())
    })?;
    let proven = Proven::MakerKey {
        format: "idevid".to_owned(),
        key: MakerIdentity { key_sha256: Digest(idevid.spki_sha256()), grade: maker.grade.clone() },
        certificate_sha256: Digest(idevid.certificate_sha256()),
        endorsement_sha256: anchor,
        shown: Shown::of(shown.iter().map(Vec::as_slice), maker),
    };
    Ok((idevid, proven))
}

/// The hardware key behind a statement, and what proves it. A TPM's is its attestation key, and where our agent has bound that
/// one, the endorsement key that stands for it; else the attested key itself.
fn attested_key(world: &World, attested: &AttestedKey) -> Result<(Digest, Proven), ControlError> {
    let [certificate, .., root] = attested.chain() else {
        return Err(ControlError::Bug("a statement without a chain".to_owned()));
    };
    let anchor = world.endorsements.iter().find(|e| e.certificate == *root).ok_or_else(|| {
        ControlError::refused("not_endorsed", "the maker's authority of the statement is not accepted")
    })?;
    let own = Digest(attested.attestation_key_sha256().unwrap_or_else(|| attested.spki_sha256()));
    let key_sha256 =
        attested.attestation_key_sha256().and_then(|ak| bound_tpm(world, attested, ak)).unwrap_or(own);
    let proven = Proven::MakerKey {
        format: attested.format().as_str().to_owned(),
        key: MakerIdentity { key_sha256, grade: anchor.grade.clone() },
        certificate_sha256: sha256(certificate),
        endorsement_sha256: anchor.sha256,
        shown: Shown::of(attested.chain().iter().map(|der| &**der), anchor),
    };
    Ok((key_sha256, proven))
}

/// The endorsement key of the registered device that the statement names and whose attestation key made it.
fn bound_tpm(world: &World, attested: &AttestedKey, ak: [u8; 32]) -> Option<Digest> {
    let claims = attested.claims();
    let modules = claims.modules.iter().filter_map(|m| std::str::from_utf8(&m.serial).ok());
    let names: Vec<&str> = claims.permanent.iter().map(|p| p.value.as_str()).chain(modules).collect();
    named_devices(world, &names).into_iter().find_map(|id| {
        let tpm = world.devices.get(&id)?.identity.as_ref()?.tpm()?;
        let public = Public::parse(&tpm.ak_public).ok()?;
        (sha256(&spki_der(&public)) == Digest(ak)).then_some(tpm.ek_sha256)
    })
}

/// The serial numbers that a maker's certificate has, in the forms that there are.
fn serial_numbers(idevid: &VerifiedIdevid) -> Vec<&str> {
    let module = idevid.hardware_module().and_then(|m| std::str::from_utf8(&m.serial).ok());
    let permanent = idevid.permanent_identifier().map(|p| p.value.as_str());
    [idevid.serial_number(), module, permanent].into_iter().flatten().collect()
}

/// The devices that were registered with one of them.
fn named_devices(world: &World, names: &[&str]) -> BTreeSet<DeviceId> {
    names.iter().flat_map(|name| world.by_serial_number(name)).map(|d| d.id).collect()
}

/// The one that is meant. Two that fit are none: a person must say which (`ek_sha256` in the record).
fn the_one(
    world: &World,
    names: &[&str],
    key: Digest,
    named: &BTreeSet<DeviceId>,
) -> Result<DeviceId, ControlError> {
    let mut found: Vec<DeviceId> = named.iter().copied().collect();
    if found.len() > 1 {
        found.retain(|id| world.devices.get(id).is_some_and(|d| d.record.ek_sha256 == Some(key)));
    }
    let names = || names.join("` or `");
    match found.as_slice() {
        [one] => Ok(*one),
        [] if named.is_empty() => Err(ControlError::refused(
            "not_registered",
            format!(
                "no device with serial number `{}` is registered; register and approve it first",
                names()
            ),
        )),
        _ => Err(ControlError::refused(
            "ambiguous_serial",
            format!(
                "{} registered devices have serial number `{}`: put this key's digest into the right one's record as ek_sha256: {key}",
                named.len(),
                names()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use lanyard_domain::event::{Event, StreamKind};
    use lanyard_domain::text::Blob;

    use super::*;
    use crate::evidence::testkit::START;
    use crate::plane::tests::house::{House, device};

    // R53, I2, ADR 16: what the ledger has is known by its digest. The same certificate under another signature is not what it has: it is
    // looked at in full, and refused without an alarm, because anybody could have made it.
    #[test]
    fn a_certificate_is_known_by_its_digest() {
        let house = House::new();
        let certificate = house.certify_device().unwrap();
        let asked = |der: &[u8], now| {
            let shown = Authentication::Certificate(vec![der.to_vec()]);
            house.control.device_of(&shown, now).now_or_never().unwrap()
        };
        let refused = |der: &[u8], now| match asked(der, now) {
            Err(ControlError::Refused(refused)) => refused.code,
            other => panic!("{other:?}"),
        };
        assert_eq!(asked(certificate.der(), START).unwrap(), device());
        let mut changed = certificate.der().to_vec();
        *changed.last_mut().unwrap() ^= 1;
        let alarms = || house.recorded(17);
        assert_eq!((refused(&changed, START).as_str(), alarms()), ("certificate_invalid", 0));
        // Before and behind its validity a record is none.
        let (early, late) =
            (certificate.not_before().plus_seconds(-1), certificate.not_after().plus_seconds(1));
        assert_eq!(refused(certificate.der(), early), "certificate_invalid");
        assert!(asked(certificate.der(), late).is_ok(), "whose it was, for a renewal");
        let recorded = Event::CertificateIssued {
            issuance: lanyard_domain::id::IssuanceId::from_bytes([9; 16]),
            serial: certificate.serial().to_string(),
            certificate_sha256: sha256(&changed),
            certificate: Blob(changed.clone()),
            spki_sha256: Digest(certificate.spki_sha256()),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
        };
        house.write(StreamKind::Device, StreamId::from(device()), recorded);
        assert_eq!(asked(&changed, START).unwrap(), device());
        assert_eq!(alarms(), 0);
    }
}
