//! Challenges: for a device that nobody knows yet by its keys, for one that is enrolled by its record.

use lanyard_attest::tcg::QUOTED_PCRS;
use lanyard_attest::tpm::credential::make_credential;
use lanyard_domain::device::Identity;
use lanyard_domain::id::DeviceId;
use lanyard_domain::operator::Operator;
use lanyard_domain::rights::{HAND_IN_REQUEST, Right};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::offline::{Challenge, Keys, Ticket, TicketDraft, TicketFor};

use super::unreadable;
use crate::carry_out::require;
use crate::digest::{random, sha256};
use crate::enroll::Claimed;
use crate::journal::Journal;
use crate::plane::{Control, ControlError, find};

/// Whom a challenge is for.
#[derive(Debug, Clone)]
pub enum ChallengeFor {
    /// A device that shows the keys of its TPM: this keys file.
    Keys(Vec<u8>),
    /// A device whose TPM is bound to its record.
    Device(DeviceId),
}

impl<J: Journal> Control<J> {
    /// Makes a challenge. Nothing is kept of it, and nothing takes effect by it.
    pub async fn challenge_file(
        &self,
        by: &Operator,
        whom: ChallengeFor,
        now: Timestamp,
    ) -> Result<Challenge, ControlError> {
        require(by, Right { what: "make a challenge file", ..HAND_IN_REQUEST })?;
        match whom {
            ChallengeFor::Keys(file) => self.challenge_keys(&file, now).await,
            ChallengeFor::Device(id) => self.challenge_device(id, now),
        }
    }

    async fn challenge_keys(&self, file: &[u8], now: Timestamp) -> Result<Challenge, ControlError> {
        let shown = Keys::parse(file).map_err(unreadable)?;
        let (device, keys, bindable) = self.recognise_early(&claimed(&shown), now).await?;
        match bindable {
            // The approvals may come while the files are under way.
            Err(ControlError::Refused(refused)) if refused.code != "not_approved" => {
                return Err(refused.into());
            }
            Err(ControlError::Refused(_)) | Ok(()) => {}
            Err(other) => return Err(other),
        }
        let ticket = self.ticket(device, TicketFor::Enroll { keys_sha256: sha256(file) }, now)?;
        let secret = self.activation(&ticket, &shown);
        let credential = make_credential(&keys.ek, &keys.ak.name(), &secret)
            .map_err(|e| ControlError::malformed("EK", e))?;
        Ok(Challenge {
            ticket,
            pcrs: QUOTED_PCRS.to_vec(),
            credential_blob: credential.blob,
            encrypted_secret: credential.encrypted_secret,
        })
    }

    fn challenge_device(&self, id: DeviceId, now: Timestamp) -> Result<Challenge, ControlError> {
        let bound = {
            let world = self.world();
            find(&world, id)?.identity.as_ref().and_then(Identity::tpm).is_some()
        };
        if !bound {
            return Err(ControlError::refused(
                "no_identity",
                "no TPM is bound to this device yet: have it write its keys (`lanyard agent request --out FILE`) and \
                 make the challenge for that file",
            ));
        }
        let ticket = self.ticket(id, TicketFor::Renew, now)?;
        Ok(Challenge {
            ticket,
            pcrs: QUOTED_PCRS.to_vec(),
            credential_blob: Vec::new(),
            encrypted_secret: Vec::new(),
        })
    }

    /// Good for as long as evidence of the device's tier is fresh: so evidence that comes by file is at most that old when
    /// it is recorded.
    fn ticket(&self, device: DeviceId, purpose: TicketFor, now: Timestamp) -> Result<Ticket, ControlError> {
        let window = find(&self.world(), device)?.record.tier.rules().fresh_seconds;
        let checkpoint = self
            .journal
            .newest_checkpoint()
            .ok_or_else(|| ControlError::Unavailable("no checkpoint has been published yet".to_owned()))?;
        let draft = TicketDraft {
            device,
            purpose,
            issued: now,
            expires: now.plus_seconds(window),
            checkpoint: (checkpoint.size, checkpoint.root),
            nonce: random()?,
        };
        Ok(Ticket::new(draft, &self.secrets))
    }

    /// What only the TPM with these keys can open: made anew from the ticket when it comes back.
    pub(super) fn activation(&self, ticket: &Ticket, keys: &Keys) -> [u8; 32] {
        let (ek, ak): (Digest, Digest) = (sha256(&keys.ek_public), sha256(&keys.ak_public));
        self.secrets.tag(b"lanyard activation by file v1", &[&ticket.id(), &ek.0, &ak.0])
    }
}

pub(super) fn claimed(keys: &Keys) -> Claimed {
    Claimed {
        vendor: keys.vendor.clone(),
        model: keys.model.clone(),
        serial: keys.serial.clone(),
        ek_certificates: keys.ek_certificates.clone(),
        ek_public: keys.ek_public.clone(),
        ak_public: keys.ak_public.clone(),
    }
}
