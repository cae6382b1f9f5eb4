//! Certify: from a request of any enrollment protocol to a certificate, to wait, or to a refusal.
//!
//! load (who is it? [`recognise`]) -> decide (the device's own rules) -> record the intent -> sign -> record -> reply: the same
//! path, the same record, approvals and tiers as for our own protocol (`crate::enroll`), which brings evidence along.
//!
//! In scope: one request. Out of scope: wire formats (`lanyard-enroll`), sockets.
//! To add a way to authenticate: a variant of `lanyard_enroll::Authentication`, its arm in [`recognise`].

mod application;
mod give_up;
pub(crate) mod issuer;
pub(crate) mod own;
mod recognise;

use lanyard_attest::webauthn::AttestedKey;
use lanyard_domain::authority::AuthorityPurpose;
use lanyard_domain::device::{BEING_ISSUED, Basis, Command, Device, Identity, WAITS_FOR_A_PERSON};
use lanyard_domain::event::AlarmCode;
use lanyard_domain::id::{DeviceId, OperatorId, SecretId, StreamId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::secret::Secret;
use lanyard_enroll::{Authentication, EnrollmentRequest, Outcome, Protocol};
use lanyard_pki::certificate::Certificate;

use crate::authority::{IssuancePermit, KeyOrigin, PreparedIssuance, Wish};
use crate::digest::sha256;
use crate::journal::{Claim, Journal, Space};
use crate::offline::Hand;
use crate::pace::Act;
use crate::plane::{Control, ControlError, Extras, decide_all, device_entry, find};
use crate::world::{Subject, World};
pub use application::all_registered;
pub use give_up::{GivenUp, NotTaken};
use recognise::{Proven, Recognised};

/// A person looks at a queue a few times an hour; a thousand waiting devices then ask three times a second.
const ASK_AGAIN_SECONDS: u32 = 300;

/// What a request came to.
#[derive(Debug, Clone)]
pub enum Certified {
    /// A certificate, recorded.
    Issued {
        /// Whose.
        subject: Subject,
        /// Leaf first, without the root.
        chain: Vec<Certificate>,
    },
    /// A person must decide first.
    Waiting {
        /// What for.
        why: String,
    },
}

/// What the protocol says of a request beside the request.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// Where the key was made.
    pub key: KeyOrigin,
    /// By this authority and no other (SCEP, whose address names it).
    pub authority: Option<&'a str>,
}

impl Circumstances<'_> {
    /// A key of the device's own, by whichever authority issues for it.
    pub const USUAL: Circumstances<'static> = Circumstances { key: KeyOrigin::Device, authority: None };
}

impl<J: Journal> Control<J> {
    /// The one-time secret of this id, for an engine that checks what a sender made with it. `None` when there is none
    /// that could still be used.
    pub fn enrollment_secret(&self, id: SecretId, now: Timestamp) -> Option<Secret> {
        let world = self.world();
        let (subject, open) = world.by_secret(id).filter(|(_, open)| now <= open.expires)?;
        Some(self.secrets.derive(id, subject.into(), open.expires))
    }

    /// The same whether it has expired or not: for a message that goes on with what was begun in time.
    pub fn enrollment_secret_expired_too(&self, id: SecretId) -> Option<Secret> {
        let world = self.world();
        let (subject, open) = world.by_secret(id)?;
        Some(self.secrets.derive(id, subject.into(), open.expires))
    }

    /// Carries one request out.
    pub async fn certify(
        &self,
        request: EnrollmentRequest,
        now: Timestamp,
    ) -> Result<Certified, ControlError> {
        self.certify_with(request, Circumstances::USUAL, now).await
    }

    /// The same under other circumstances.
    pub async fn certify_with(
        &self,
        request: EnrollmentRequest,
        how: Circumstances<'_>,
        now: Timestamp,
    ) -> Result<Certified, ControlError> {
        if let Authentication::Order(order) = &request.authentication
            && application::is_meant(order)?
        {
            return self.certify_application(order, &request, now).await;
        }
        self.certify_device(request, how, None, now).await
    }

    /// A device's request; `hand` says that a person handed it in, as a file.
    pub(crate) async fn certify_device(
        &self,
        request: EnrollmentRequest,
        how: Circumstances<'_>,
        hand: Option<&Hand>,
        now: Timestamp,
    ) -> Result<Certified, ControlError> {
        if let Some(profile) = request.profile.as_deref().filter(|name| !self.authority.offers(name)) {
            return Err(no_such_profile(profile));
        }
        let key = Digest(request.csr.spki_sha256());
        let recognised = self.recognise_sender(&request.authentication, &key, now).await?;
        let id = recognised.device;
        if matches!(request.protocol, Protocol::Scep) {
            self.check_scep(id, &request, how.authority)?;
        }
        self.paces.admit(id.into(), Act::Proof, now)?;
        // A file counts once, whatever its secret would allow.
        if hand.is_none()
            && let Some(again) = self.answered_before(id, &recognised.proven, &key, now).await?
        {
            return Ok(again);
        }
        let proven = recognised.proven.clone();
        match self.issue_to(recognised, request, how.key, hand, now).await {
            // The same request came twice: the other one has the certificate, or is about to.
            Err(ControlError::Refused(refused)) if hand.is_none() && refused.code == "secret_used" => {
                match self.answered_before(id, &proven, &key, now).await? {
                    Some(answered) => Ok(answered),
                    None => Err(refused.into()),
                }
            }
            Err(ControlError::Refused(refused)) if refused.code == BEING_ISSUED => {
                Err(ControlError::Unavailable(refused.text))
            }
            Err(ControlError::Refused(refused)) if WAITS_FOR_A_PERSON.contains(&refused.code.as_str()) => {
                Ok(Certified::Waiting { why: refused.text })
            }
            Err(ControlError::Refused(refused)) => {
                if let Some(code) = alarming(&refused.code) {
                    self.alarm(id, code, &refused, now).await;
                }
                Err(refused.into())
            }
            other => other,
        }
    }

    /// A secret is good once. Who lost the answer and asks again with the same key gets the same certificate.
    async fn answered_before(
        &self,
        device: DeviceId,
        proven: &Proven,
        key: &Digest,
        now: Timestamp,
    ) -> Result<Option<Certified>, ControlError> {
        let Proven::Secret(_) = proven else { return Ok(None) };
        let used = |device: &Device| device.secret.as_ref().is_some_and(|s| s.used_for == Some(*key));
        if !used(find(&self.world(), device)?) {
            return Ok(None);
        }
        self.issued_before(device, key, now).await
    }

    /// The certificate that this key of the device has, while it is good.
    pub(crate) async fn issued_before(
        &self,
        device: DeviceId,
        key: &Digest,
        now: Timestamp,
    ) -> Result<Option<Certified>, ControlError> {
        let made = |device: &Device| {
            let made = device.certificates.iter().rfind(|c| c.spki_sha256 == *key && c.not_after >= now);
            made.map(|c| c.pos)
        };
        let Some(pos) = made(find(&self.world(), device)?) else { return Ok(None) };
        let der =
            self.journal.certificate_at(pos).await.map_err(|e| ControlError::Unavailable(e.to_string()))?;
        // Its payload may have been erased: then a new certificate is made.
        let Some(der) = der else { return Ok(None) };
        let leaf = Certificate::parse(&der).map_err(|e| {
            ControlError::Bug(format!("the certificate recorded at {pos} cannot be read: {e}"))
        })?;
        let subject = Subject::Device(device);
        Ok(Some(Certified::Issued { subject, chain: self.authority.chain(&leaf) }))
    }

    async fn issue_to(
        &self,
        recognised: Recognised,
        request: EnrollmentRequest,
        key: KeyOrigin,
        hand: Option<&Hand>,
        now: Timestamp,
    ) -> Result<Certified, ControlError> {
        let id = recognised.device;
        let actor = hand.map_or_else(|| OperatorId::from(StreamId::from(id)), Hand::actor);
        let handed_in = || hand.map(Hand::command);
        let spki = Digest(request.csr.spki_sha256());
        let permit = IssuancePermit::recognised(id, request.csr.clone());
        let wish = Wish {
            profile: request.profile.as_deref(),
            purpose: purpose_for(&recognised.proven, request.protocol),
            key,
        };
        let ready = {
            let world = self.world();
            let device = find(&world, id)?;
            // A dry run: nothing is prepared, and no claim taken, for who will be refused or told to wait.
            let commands = commands(&world, &recognised, (device, spki, None), &request, now)?;
            decide_all(&world, device, handed_in().into_iter().chain(commands).collect(), now)?;
            self.paces.admit(id.into(), Act::Certificate, now)?;
            self.authority.prepare_device(permit, device, wish, now)?
        };
        let mut claims = vec![Claim { space: Space::TlsKey, key: spki }];
        claims.extend(recognised.claim());
        self.record(now, |world| {
            let device = find(world, id)?;
            let commands = commands(world, &recognised, (device, spki, Some(&ready)), &request, now)?;
            let commands = handed_in().into_iter().chain(commands).collect();
            let events = decide_all(world, device, commands, now)?;
            let blobs = statement(&request).map(<[u8]>::to_vec).into_iter().collect();
            let extras = Extras { claims: claims.clone(), blobs, once: hand.and_then(Hand::once) };
            Ok((vec![device_entry(device, actor, events, extras)], ()))
        })
        .await?;
        let leaf = self.sign_and_record_certificate(id, ready, actor, now).await?;
        Ok(Certified::Issued { subject: Subject::Device(id), chain: self.authority.chain(&leaf) })
    }
}

/// Legacy devices' certificates come from an authority that relying parties can choose not to trust. What such a certificate
/// vouches for stays there, whatever protocol it is shown to.
fn purpose_for(proven: &Proven, protocol: Protocol) -> AuthorityPurpose {
    let vouched = match proven {
        Proven::Current { by } | Proven::Ended { by, .. } => Some(*by),
        Proven::Secret(_) | Proven::MakerKey { .. } => None,
    };
    if vouched == Some(AuthorityPurpose::Legacy) || protocol == Protocol::Scep {
        return AuthorityPurpose::Legacy;
    }
    AuthorityPurpose::Devices
}

/// What to record before the signature. `ready` is absent in the dry run.
fn commands(
    world: &World,
    recognised: &Recognised,
    (device, spki, ready): (&Device, Digest, Option<&PreparedIssuance>),
    request: &EnrollmentRequest,
    now: Timestamp,
) -> Result<Vec<Command<'static>>, ControlError> {
    let mut commands = Vec::new();
    let basis = match &recognised.proven {
        Proven::Secret(secret) => {
            commands.push(Command::UseSecret { secret: *secret, spki_sha256: spki });
            Basis::Credential
        }
        Proven::MakerKey { format, key, certificate_sha256, endorsement_sha256, shown } => {
            let bound = device.identity.as_ref().and_then(Identity::hardware_key);
            if bound != Some(key.key_sha256) {
                commands.push(Command::BindMakerKey {
                    format: format.clone(),
                    key: key.clone(),
                    certificate_sha256: *certificate_sha256,
                    endorsement_sha256: *endorsement_sha256,
                });
            }
            // On the newest world: a list may have been taken since the device was recognised.
            world.believes_maker(shown, device.record.tier, now)?;
            commands.extend(world.show_makers(device.id, shown, now));
            Basis::HardwareKey
        }
        Proven::Current { .. } => Basis::Credential,
        Proven::Ended { at, .. } => Basis::EndedCertificate { ended: *at },
    };
    commands.push(Command::IntendIssuance {
        basis,
        issuance: ready.map_or(lanyard_domain::id::IssuanceId::from_bytes([0; 16]), |r| r.issuance),
        protocol: request.protocol.as_str().to_owned(),
        profile: ready.map(|r| r.profile.to_string()).unwrap_or_default(),
        serial: ready.map(|r| r.prepared.serial().to_string()).unwrap_or_default(),
        spki_sha256: spki,
        tbs_sha256: ready.map(|r| Digest(r.prepared.tbs_sha256())).unwrap_or_default(),
        // What this issuance rests on: the statement that came with it, else the device's last evidence.
        evidence_sha256: statement(request)
            .map(sha256)
            .or_else(|| device.evidence.as_ref().map(|e| e.sha256))
            .unwrap_or_default(),
    });
    Ok(commands)
}

/// The attestation statement about the request's key, if it brings one: kept beside the intent.
fn statement(request: &EnrollmentRequest) -> Option<&[u8]> {
    match &request.authentication {
        Authentication::Order(order) => order.attested().map(AttestedKey::statement),
        _ => None,
    }
}

/// That a request names a profile that is none.
pub fn no_such_profile(name: &str) -> ControlError {
    ControlError::refused(
        "profile_unknown",
        format!("there is no profile `{name}` for devices; ask without one, the record says which it is"),
    )
}

/// I2: what a person must hear of, beside the refusal.
fn alarming(code: &str) -> Option<AlarmCode> {
    match code {
        "retired" => Some(AlarmCode::RetiredIdentityUsed),
        "revoked" => Some(AlarmCode::RevokedCertificateUsed),
        "other_hardware" | "not_the_purchased_hardware" | "new_key_not_in_hardware" => {
            Some(AlarmCode::CloneSuspected)
        }
        "hardware_key_reused" | "key_reused" => Some(AlarmCode::HardwareKeyReused),
        _ => None,
    }
}

/// As an engine renders it.
pub fn outcome(certified: Result<Certified, ControlError>) -> Outcome {
    match certified {
        Ok(Certified::Issued { chain, .. }) => {
            Outcome::Issued { chain: chain.iter().map(|c| c.der().to_vec()).collect() }
        }
        Ok(Certified::Waiting { why }) => Outcome::Pending { retry_after_seconds: ASK_AGAIN_SECONDS, why },
        // RFC 6585 4: a bound that is over in a minute is no word that ends a device's attempts.
        Err(ControlError::Refused(refused)) if refused.code == "too_often" => {
            Outcome::Unavailable { why: refused.text }
        }
        Err(ControlError::Refused(refused)) => Outcome::Refused { code: refused.code, why: refused.text },
        Err(ControlError::Malformed { field, reason }) => {
            Outcome::Refused { code: "malformed".to_owned(), why: format!("{field}: {reason}") }
        }
        Err(ControlError::NotFound { what, id }) => {
            Outcome::Refused { code: "not_found".to_owned(), why: format!("there is no {what} `{id}`") }
        }
        Err(ControlError::Unavailable(why)) => {
            tracing::warn!(%why, "an enrollment was turned away for now");
            Outcome::Unavailable { why }
        }
        Err(ControlError::Bug(what)) => {
            tracing::error!(%what, "internal fault; please report it");
            Outcome::Unavailable { why: "internal fault; the server's log has it".to_owned() }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use lanyard_domain::event::{Event, StreamKind};
    use lanyard_domain::id::IssuanceId;
    use lanyard_domain::text::Blob;

    use super::*;
    use crate::evidence::testkit::START;
    use crate::plane::tests::house::{House, device, statement};

    // I3, R36: the same request comes twice at once (a client whose patience ended): one secret gives one certificate, and whoever
    // is second hears "later" or gets that very one, never that his secret is worth nothing.
    #[test]
    fn the_same_request_twice_at_once_gives_one_certificate() {
        let stream = StreamId::from(device());
        let (id, expires) = (SecretId::from_random([9; 5]), START.plus_seconds(3_600));
        for is_answered in [false, true] {
            let house = House::new();
            let opened = Event::EnrollmentSecretIssued { secret: id, expires, statement: statement() };
            house.write(StreamKind::Device, stream, opened);
            // Of the other one: any certificate will do for what was recorded for this key.
            let der = house.certify_gateway().unwrap().der().to_vec();
            let csr = house.csr("device-key");
            let spki_sha256 = Digest(lanyard_pki::csr::verify(&csr).unwrap().spki_sha256());
            let (issuance, serial) = (IssuanceId::from_bytes([3; 16]), "4a000000aa".to_owned());
            let mut first = vec![
                Event::EnrollmentSecretUsed { secret: id, spki_sha256 },
                Event::IssuanceIntended {
                    issuance,
                    protocol: "est".into(),
                    profile: "device_ldevid".into(),
                    serial: serial.clone(),
                    spki_sha256,
                    tbs_sha256: Digest::default(),
                    evidence_sha256: Digest::default(),
                },
            ];
            if is_answered {
                first.push(Event::CertificateIssued {
                    issuance,
                    serial,
                    certificate_sha256: sha256(&der),
                    certificate: Blob(der.clone()),
                    spki_sha256,
                    not_before: START,
                    not_after: START.plus_seconds(86_400),
                });
            }
            let before = (house.recorded(4), house.recorded(5));
            house.before(23, first.into_iter().map(|event| (StreamKind::Device, stream, event)).collect());
            let secret = house.control.secrets.derive(id, stream, expires);
            let request = EnrollmentRequest {
                protocol: Protocol::Est,
                profile: None,
                csr: lanyard_pki::csr::verify(&csr).unwrap(),
                authentication: Authentication::Secret(secret.prove(secret.reveal()).unwrap()),
            };
            let certified = house.control.certify_with(request, Circumstances::USUAL, START).now_or_never();
            match certified.unwrap() {
                Err(ControlError::Unavailable(why)) if !is_answered => {
                    assert!(why.contains("ask again"), "{why}")
                }
                Ok(Certified::Issued { chain, .. }) if is_answered => {
                    assert_eq!(chain[0].der().as_ref(), der)
                }
                other => panic!("{is_answered}: {other:?}"),
            }
            let after = (house.recorded(4), house.recorded(5));
            assert_eq!(after, (before.0 + 1, before.1 + usize::from(is_answered)), "only the other one's");
        }
    }

    // R44, I12: what is over in a minute is asked again; every other refusal is a refusal.
    #[test]
    fn a_device_that_asks_too_often_is_told_to_wait_and_not_that_it_is_refused() {
        let refused = |code| outcome(Err(ControlError::refused(code, "why")));
        assert_eq!(refused("too_often"), Outcome::Unavailable { why: "why".to_owned() });
        let of_another = Outcome::Refused { code: "too_many_certificates".to_owned(), why: "why".to_owned() };
        assert_eq!(refused("too_many_certificates"), of_another);
    }
}
