//! Enroll and renew: from a hardware key to a certificate.
//!
//! Two round trips on one TLS connection, and nothing kept between them: the secret that only the device's TPM can
//! read is a MAC over what the first request said, so that the second proves the first.

use aws_lc_rs::{constant_time, hmac};
use lanyard_attest::freshness::{CheckpointRef, Purpose, qualifying_data};
use lanyard_attest::tpm::certify;
use lanyard_attest::tpm::credential::{Credential, make_credential};
use lanyard_attest::tpm::endorsement::{self, EndorsementCa};
use lanyard_attest::tpm::keys::{check_ak, check_ek};
use lanyard_attest::tpm::structures::Public;
use lanyard_domain::device::{Basis, Command, Device, Identity};
use lanyard_domain::endorsement::EndorsementUse;
use lanyard_domain::event::AlarmCode;
use lanyard_domain::id::{DeviceId, OperatorId, StreamId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::Protocol;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::csr;

use crate::appraise::{Appraised, Presented, bound_ak};
use crate::authority::{IssuancePermit, PreparedIssuance, Wish, thumbprint};
use crate::certify::issuer::{or_given_up, while_it_issues};
use crate::digest::sha256;
use crate::journal::{Claim, Journal, SealedAt, Space};
use crate::makers::ask::Shown;
use crate::offline::Hand;
use crate::pace::Act;
use crate::plane::{Control, ControlError, Extras, Refused, decide_all, device_entry, find};
use crate::steering::told_to_agent;

/// How long a device has to bring the secret back: a slow TPM needs seconds for each of four commands.
const ACTIVATION_SECONDS: i64 = 300;

/// Who a device says it is, and the keys of its TPM.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Maker.
    pub vendor: String,
    /// Model.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// EK certificate and intermediates, DER.
    pub ek_certificates: Vec<Vec<u8>>,
    /// TPMT_PUBLIC of the EK.
    pub ek_public: Vec<u8>,
    /// TPMT_PUBLIC of the AK.
    pub ak_public: Vec<u8>,
}

/// What an issuance rests on.
#[derive(Debug, Clone)]
pub struct Proof {
    /// Size of the checkpoint that the nonces name.
    pub checkpoint_size: u64,
    /// TPMT_PUBLIC of the TLS key.
    pub tls_public: Vec<u8>,
    /// TPMS_ATTEST by the AK over it.
    pub certify: Vec<u8>,
    /// TPMT_SIGNATURE of that.
    pub certify_signature: Vec<u8>,
    /// PKCS#10.
    pub csr: Vec<u8>,
    /// Evidence.
    pub evidence: Vec<u8>,
}

/// The first answer.
#[derive(Debug, Clone)]
pub struct Challenge {
    /// Registered as.
    pub device: DeviceId,
    /// Only that TPM opens it.
    pub credential: Credential,
    /// Until when.
    pub expires: Timestamp,
    /// What evidence must be bound to.
    pub checkpoint: SealedAt,
}

/// A certificate, recorded.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Whose.
    pub device: DeviceId,
    /// PEM, leaf first.
    pub chain_pem: String,
    /// When to renew.
    pub renew_at: Timestamp,
    /// Its end.
    pub not_after: Timestamp,
}

/// How an issuance that brings evidence came.
#[derive(Clone, Copy)]
pub(crate) enum Way<'a> {
    /// Over a connection: the device's own word.
    Live(&'static str),
    /// By a file that a person handed in.
    File(&'a Hand),
}

impl<'a> Way<'a> {
    fn protocol(self) -> &'static str {
        match self {
            Way::Live(protocol) => protocol,
            Way::File(_) => Protocol::File.as_str(),
        }
    }

    fn actor(self, device: DeviceId) -> OperatorId {
        match self {
            Way::Live(_) => OperatorId::from(StreamId::from(device)),
            Way::File(hand) => hand.actor(),
        }
    }

    fn once(self) -> Option<Digest> {
        match self {
            Way::Live(_) => None,
            Way::File(hand) => hand.once(),
        }
    }

    fn commands(self) -> Vec<Command<'a>> {
        match self {
            Way::Live(_) => Vec::new(),
            Way::File(hand) => vec![hand.command()],
        }
    }
}

/// Keys that are fit for their roles, with a maker's endorsement.
pub(crate) struct Keys {
    pub(crate) ek: Public,
    pub(crate) ak: Public,
    ek_sha256: Digest,
    ek_certificate_sha256: Digest,
    endorsement_sha256: Digest,
    grade: Option<String>,
    pub(crate) shown: Shown,
}

impl<J: Journal> Control<J> {
    /// First round: is this device registered, approved and endorsed? Then here is a secret for its TPM.
    pub async fn enroll_begin(
        &self,
        claimed: &Claimed,
        channel: [u8; 32],
        now: Timestamp,
    ) -> Result<Challenge, ControlError> {
        let (device, keys) = self.recognise(claimed, now).await?;
        let expires = now.plus_seconds(ACTIVATION_SECONDS);
        let secret = self.secret(claimed, channel, expires);
        let credential = make_credential(&keys.ek, &keys.ak.name(), secret.as_ref())
            .map_err(|e| ControlError::malformed("ek_public", e))?;
        let checkpoint = self
            .journal
            .newest_checkpoint()
            .ok_or_else(|| ControlError::Unavailable("no checkpoint has been published yet".to_owned()))?;
        Ok(Challenge { device, credential, expires, checkpoint })
    }

    /// Second round: the secret proves the TPM, the TPM proves the key, the quote proves the state.
    pub async fn enroll_finish(
        &self,
        claimed: &Claimed,
        expires: Timestamp,
        secret: &[u8],
        proof: Proof,
        channel: [u8; 32],
        now: Timestamp,
    ) -> Result<Issued, ControlError> {
        let (id, keys) = self.recognise(claimed, now).await?;
        if now > expires || expires > now.plus_seconds(ACTIVATION_SECONDS) {
            return Err(ControlError::refused(
                "activation_expired",
                "the credential has expired; begin again",
            ));
        }
        let expected = self.secret(claimed, channel, expires);
        if constant_time::verify_slices_are_equal(expected.as_ref(), secret).is_err() {
            let refused = Refused::new(
                "activation_failed",
                "the secret was not opened by this endorsement key on this connection: the attestation key is not in that TPM",
            );
            self.alarm(id, AlarmCode::CloneSuspected, &refused, now).await;
            return Err(refused.into());
        }
        let permit = self.permit(id, &keys.ak, &proof, (channel, None), now).await?;
        let presented = Presented {
            device: id,
            checkpoint_size: proof.checkpoint_size,
            channel,
            evidence: proof.evidence,
        };
        let appraised = self.appraise_or_alarm(presented, Purpose::Enroll, Some(&keys.ak), None, now).await?;
        let certificate = self.issue(id, permit, appraised, Some(&keys), Way::Live("enroll"), now).await?;
        Ok(self.issued(id, &certificate))
    }

    /// Renewal over mutual TLS: the same proofs but for activation, which enrollment has made once for this AK.
    pub async fn renew(
        &self,
        id: DeviceId,
        proof: Proof,
        channel: [u8; 32],
        now: Timestamp,
    ) -> Result<Issued, ControlError> {
        self.paces.admit(id.into(), Act::Proof, now)?;
        let ak = {
            let world = self.world();
            bound_ak(find(&world, id)?)?
        };
        let ak = ak.ok_or_else(|| ControlError::refused("no_identity", "this device has not enrolled"))?;
        let permit = self.permit(id, &ak, &proof, (channel, None), now).await?;
        let presented = Presented {
            device: id,
            checkpoint_size: proof.checkpoint_size,
            channel,
            evidence: proof.evidence,
        };
        let appraised = self.appraise_or_alarm(presented, Purpose::Attest, None, None, now).await?;
        let certificate = self.issue(id, permit, appraised, None, Way::Live("renew"), now).await?;
        Ok(self.issued(id, &certificate))
    }

    /// The registered device that this claims to be, and its keys; unknown is refused (R7).
    pub(crate) async fn recognise(
        &self,
        claimed: &Claimed,
        now: Timestamp,
    ) -> Result<(DeviceId, Keys), ControlError> {
        let (id, keys, bindable) = self.recognise_early(claimed, now).await?;
        bindable.map(|()| (id, keys))
    }

    /// The same, with what stands against a binding beside it: that it is not approved yet may pass.
    pub(crate) async fn recognise_early(
        &self,
        claimed: &Claimed,
        now: Timestamp,
    ) -> Result<(DeviceId, Keys, Result<(), ControlError>), ControlError> {
        let (id, keys, owner, bindable) = {
            let world = self.world();
            let device = world.by_label(&claimed.vendor, &claimed.model, &claimed.serial).ok_or_else(|| {
                ControlError::refused(
                    "not_registered",
                    "no device of this vendor, model and serial number is registered; register and approve it first",
                )
            })?;
            let keys = endorsed_keys(&world, claimed, now)?;
            let owner = world.by_endorsement_key(&keys.ek_sha256).filter(|owner| *owner != device.id);
            // A dry run of the binding rule: refuse before any secret is made.
            let bindable = decide_all(&world, device, vec![keys.command()], now).map(|_| ());
            (device.id, keys, owner, bindable)
        };
        if let Some(owner) = owner {
            let refused = Refused::new(
                "hardware_key_reused",
                format!(
                    "this endorsement key belongs to device {owner}; the same hardware cannot be two devices"
                ),
            );
            self.alarm(id, AlarmCode::HardwareKeyReused, &refused, now).await;
            self.alarm(owner, AlarmCode::HardwareKeyReused, &refused, now).await;
            return Err(refused.into());
        }
        self.ask_lists(id, &keys.shown, now).await?;
        // I2: alarmed too, though anyone with an endorsed key can cause it; `alarm` bounds that.
        if let Err(ControlError::Refused(refused)) = &bindable {
            match refused.code.as_str() {
                "retired" => self.alarm(id, AlarmCode::RetiredIdentityUsed, refused, now).await,
                "other_hardware" | "not_the_purchased_hardware" => {
                    self.alarm(id, AlarmCode::CloneSuspected, refused, now).await;
                }
                _ => {}
            }
        }
        Ok((id, keys, bindable))
    }

    fn secret(&self, claimed: &Claimed, channel: [u8; 32], expires: Timestamp) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.enroll_key));
        context.update(b"lanyard activation v1\0");
        context.update(&expires.as_micros().to_be_bytes());
        context.update(&channel);
        for part in [&claimed.ek_public, &claimed.ak_public] {
            context.update(&sha256(part).0);
        }
        context.update(&crate::digest::label_key(&claimed.vendor, &claimed.model, &claimed.serial).0);
        context.sign()
    }

    /// The key proofs: certified by the AK for this device, checkpoint and connection; requested by its holder. A challenge
    /// that was carried brings its checkpoint along.
    pub(crate) async fn permit(
        &self,
        id: DeviceId,
        ak: &Public,
        proof: &Proof,
        bound: ([u8; 32], Option<&SealedAt>),
        now: Timestamp,
    ) -> Result<IssuancePermit, ControlError> {
        let checked = self.check_key(id, ak, proof, bound, now);
        if let Err(ControlError::Refused(refused)) = &checked
            && refused.code == "key_not_certified"
        {
            self.alarm(id, AlarmCode::CloneSuspected, refused, now).await;
        }
        checked
    }

    fn check_key(
        &self,
        id: DeviceId,
        ak: &Public,
        proof: &Proof,
        (channel, carried): ([u8; 32], Option<&SealedAt>),
        now: Timestamp,
    ) -> Result<IssuancePermit, ControlError> {
        let rules = find(&self.world(), id)?.record.tier.rules();
        let checkpoint = match carried {
            Some(checkpoint) => checkpoint.clone(),
            None => self.fresh_checkpoint(proof.checkpoint_size, &rules, now)?,
        };
        let reference = CheckpointRef { size: checkpoint.size, root: checkpoint.root.0 };
        let nonce = qualifying_data(Purpose::Certify, &reference, *id.as_bytes(), channel);
        let tls = Public::parse(&proof.tls_public).map_err(|e| ControlError::malformed("tls_public", e))?;
        let key =
            certify::verify(ak, &proof.certify, &proof.certify_signature, &nonce, &tls).map_err(|e| {
                ControlError::refused(
                    "key_not_certified",
                    format!("the TLS key is not proven to be in the device's TPM: {e}"),
                )
            })?;
        let csr = csr::verify(&proof.csr).map_err(|e| ControlError::malformed("csr", e))?;
        IssuancePermit::new(id, &key, csr)
    }

    /// load -> decide -> record intent -> sign -> record certificate -> reply.
    pub(crate) async fn issue(
        &self,
        id: DeviceId,
        permit: IssuancePermit,
        appraised: Appraised,
        keys: Option<&Keys>,
        way: Way<'_>,
        now: Timestamp,
    ) -> Result<Certificate, ControlError> {
        let actor = way.actor(id);
        if appraised.contraindicated() {
            return Err(self.record_contraindicated(id, appraised, keys, way, now).await);
        }
        let spki = Digest(permit.csr.spki_sha256());
        let ready = {
            let world = self.world();
            self.authority.prepare_device(permit, find(&world, id)?, Wish::USUAL, now)?
        };
        let mut extras = appraised.extras();
        extras.claims.push(Claim { space: Space::TlsKey, key: spki });
        extras.claims.extend(keys.iter().flat_map(|k| k.claims()));
        extras.once = way.once();
        self.record(now, |world| {
            let device = find(world, id)?;
            let mut commands = way.commands();
            if let Some(keys) = keys {
                // On the newest world: a list may have been taken since the device was recognised.
                world.believes_maker(&keys.shown, device.record.tier, now)?;
            }
            commands.extend(binding(keys, device));
            commands.extend(keys.and_then(|keys| world.show_makers(id, &keys.shown, now)));
            commands.push(Command::RecordAppraisal(appraised.facts.clone()));
            commands.push(intent(&ready, way.protocol(), appraised.facts.evidence_sha256));
            let events = decide_all(world, device, commands, now)?;
            Ok((vec![device_entry(device, actor, events, extras.clone())], ()))
        })
        .await?;
        self.sign_and_record_certificate(id, ready, actor, now).await
    }

    /// When its agent is told to renew.
    pub(crate) fn told_to_renew(&self, id: DeviceId, certificate: &Certificate) -> Timestamp {
        let world = self.world();
        let site = world.devices.get(&id).map(|d| d.record.site.as_str()).unwrap_or_default();
        told_to_agent(world.windows(site), certificate)
    }

    fn issued(&self, id: DeviceId, certificate: &Certificate) -> Issued {
        Issued {
            device: id,
            chain_pem: self.authority.chain_pem(certificate),
            renew_at: self.told_to_renew(id, certificate),
            not_after: certificate.not_after(),
        }
    }

    /// Signs what was prepared and records it. Nobody has seen the certificate before this returns it (I3).
    pub(crate) async fn sign_and_record_certificate(
        &self,
        id: DeviceId,
        ready: PreparedIssuance,
        actor: OperatorId,
        now: Timestamp,
    ) -> Result<Certificate, ControlError> {
        let issuance = ready.issuance;
        let issuer = ready.prepared.issuer().clone();
        let certificate = match self.authority.sign(ready.prepared) {
            Ok(certificate) => certificate,
            Err(error) => {
                self.abandon(id, issuance, &error.to_string(), actor, now).await;
                return Err(error);
            }
        };
        let recorded = self
            .record(now, |world| {
                let device = find(world, id)?;
                let command = Command::RecordCertificate {
                    issuance,
                    serial: certificate.serial().to_string(),
                    certificate: certificate.der().to_vec(),
                    certificate_sha256: thumbprint(&certificate),
                    spki_sha256: Digest(certificate.spki_sha256()),
                    not_before: certificate.not_before(),
                    not_after: certificate.not_after(),
                };
                let events = decide_all(world, device, vec![command], now)?;
                let mut entry = device_entry(device, actor, events, Extras::default());
                while_it_issues(world, &issuer, &mut entry)?;
                Ok((vec![entry], ()))
            })
            .await;
        or_given_up(recorded, async |why| self.abandon(id, issuance, why, actor, now).await).await?;
        Ok(certificate)
    }

    /// Says in the chain that an intent came to nothing.
    async fn abandon(
        &self,
        id: DeviceId,
        issuance: lanyard_domain::id::IssuanceId,
        why: &str,
        actor: OperatorId,
        now: Timestamp,
    ) {
        let abandoned = self
            .on_device(id, actor, now, Extras::default(), |_, _| {
                Ok(vec![Command::AbandonIssuance { issuance, why: why.to_owned() }])
            })
            .await;
        if let Err(error) = abandoned {
            tracing::error!(device.id = %id, %error, "an abandoned issuance could not be recorded; recovery will");
        }
    }

    /// Unapproved state at enrollment or renewal: it is recorded, the device is cut off, no certificate is made.
    async fn record_contraindicated(
        &self,
        id: DeviceId,
        appraised: Appraised,
        keys: Option<&Keys>,
        way: Way<'_>,
        now: Timestamp,
    ) -> ControlError {
        let actor = way.actor(id);
        let mut extras = appraised.extras();
        extras.claims.extend(keys.iter().flat_map(|k| k.claims()));
        extras.once = way.once();
        let recorded = self
            .record(now, |world| {
                let device = find(world, id)?;
                let mut commands = way.commands();
                commands.extend(binding(keys, device));
                // What a list names that was taken meanwhile was never believed.
                let believed = keys.filter(|k| world.ask_makers(&k.shown, now).hit.is_none());
                commands.extend(believed.and_then(|keys| world.show_makers(id, &keys.shown, now)));
                commands.push(Command::RecordAppraisal(appraised.facts.clone()));
                let events = decide_all(world, device, commands, now)?;
                Ok((vec![device_entry(device, actor, events, extras.clone())], ()))
            })
            .await;
        match recorded {
            Ok(_) => Refused::new(
                "evidence_contraindicated",
                "its state is not an approved one; it gets no certificate and is in quarantine",
            )
            .because(appraised.facts.findings)
            .into(),
            Err(error) => error,
        }
    }
}

impl Keys {
    /// I2: these keys are this record's, for ever.
    fn claims(&self) -> [Claim; 2] {
        [
            Claim { space: Space::EndorsementKey, key: self.ek_sha256 },
            Claim { space: Space::AttestationKey, key: sha256(&self.ak.name()) },
        ]
    }

    fn command(&self) -> Command<'static> {
        Command::BindIdentity {
            ek_sha256: self.ek_sha256,
            ek_certificate_sha256: self.ek_certificate_sha256,
            endorsement_sha256: self.endorsement_sha256,
            ak_public: self.ak.encode(),
            ak_name_sha256: sha256(&self.ak.name()),
            grade: self.grade.clone(),
        }
    }
}

/// The binding, unless the same keys are bound already (re-enrollment on the same hardware anchor, R39).
fn binding(keys: Option<&Keys>, device: &Device) -> Vec<Command<'static>> {
    let Some(keys) = keys else { return Vec::new() };
    let tpm = device.identity.as_ref().and_then(Identity::tpm);
    let same = tpm.is_some_and(|i| i.ek_sha256 == keys.ek_sha256 && i.ak_public == keys.ak.encode());
    if same { Vec::new() } else { vec![keys.command()] }
}

fn intent(ready: &PreparedIssuance, protocol: &'static str, evidence_sha256: Digest) -> Command<'static> {
    Command::IntendIssuance {
        basis: Basis::Evidence,
        issuance: ready.issuance,
        protocol: protocol.to_owned(),
        profile: ready.profile.to_string(),
        serial: ready.prepared.serial().to_string(),
        spki_sha256: Digest(ready.prepared.spki_sha256()),
        tbs_sha256: Digest(ready.prepared.tbs_sha256()),
        evidence_sha256,
    }
}

fn endorsed_keys(
    world: &crate::world::World,
    claimed: &Claimed,
    now: Timestamp,
) -> Result<Keys, ControlError> {
    let ek = Public::parse(&claimed.ek_public).map_err(|e| ControlError::malformed("ek_public", e))?;
    let ak = Public::parse(&claimed.ak_public).map_err(|e| ControlError::malformed("ak_public", e))?;
    check_ek(&ek).map_err(|e| ControlError::refused("ek_unfit", e.to_string()))?;
    check_ak(&ak).map_err(|e| ControlError::refused("ak_unfit", e.to_string()))?;
    let Some((leaf, intermediates)) = claimed.ek_certificates.split_first() else {
        return Err(ControlError::refused(
            "not_endorsed",
            "the device sent no endorsement key certificate; its maker must provide one",
        ));
    };
    let authorities: Vec<EndorsementCa> = world
        .endorsements
        .iter()
        .filter(|e| e.accepts(EndorsementUse::Ek))
        .map(|e| EndorsementCa { name: e.sha256.to_string(), certificate: e.certificate.clone() })
        .collect();
    let endorsed = endorsement::verify(&ek, leaf, intermediates, &authorities, now).map_err(|e| {
        ControlError::refused(
            "not_endorsed",
            format!("no accepted maker vouches for this endorsement key: {e}"),
        )
    })?;
    let anchor =
        world.endorsements.iter().find(|e| e.sha256.to_string() == endorsed.authority()).ok_or_else(
            || ControlError::Bug("an endorsement by an authority that is not in the world".to_owned()),
        )?;
    Ok(Keys {
        ek_sha256: Digest(endorsed.key_sha256()),
        ek_certificate_sha256: Digest(endorsed.certificate_sha256()),
        endorsement_sha256: anchor.sha256,
        grade: anchor.grade.clone(),
        shown: Shown::of(claimed.ek_certificates.iter().map(Vec::as_slice), anchor),
        ek,
        ak,
    })
}
