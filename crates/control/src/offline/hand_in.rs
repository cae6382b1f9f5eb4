//! Handing a request file in: read it, know the device, see that it was not used; then the path of all issuances.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use lanyard_attest::freshness::Purpose;
use lanyard_domain::device::{WAITS_FOR_A_PERSON, used_before};
use lanyard_domain::event::{AlarmCode, FileProof};
use lanyard_domain::id::DeviceId;
use lanyard_domain::operator::Operator;
use lanyard_domain::rights::{HAND_IN_REQUEST, Right};
use lanyard_domain::statement::{Action, SignedStatement};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::offline::{
    Attested, Proof as FileProofOf, RequestFile, Response, TicketFor, VerifiedRequest,
};
use lanyard_enroll::secret::SecretProven;
use lanyard_enroll::{Authentication, EnrollmentRequest, Protocol};
use lanyard_pki::certificate::Certificate;

use super::challenge::claimed;
use super::{FileAbout, Hand, HandedIn, RESPONSE_SECONDS, sealed, unreadable};
use crate::appraise::{Presented, bound_ak};
use crate::carry_out::{accept, require};
use crate::certify::{Certified, Circumstances};
use crate::digest::sha256;
use crate::enroll::{Proof, Way};
use crate::journal::Journal;
use crate::pace::Act;
use crate::plane::{Control, ControlError, Refused, find};
use crate::world::Subject;

/// Whether a request that was answered is answered once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It is refused.
    No,
    /// With the same certificate: the response was lost.
    SameAnswer,
}

/// A file that was read, with what it proves.
struct Opened {
    request: VerifiedRequest,
    about: FileAbout,
    secret: Option<SecretProven>,
}

impl<J: Journal> Control<J> {
    /// What a request file is about, for the person who is to sign for it.
    pub fn look_at_file(
        &self,
        by: &Operator,
        file: &[u8],
        now: Timestamp,
    ) -> Result<FileAbout, ControlError> {
        require(by, Right { what: "look at a request file", ..HAND_IN_REQUEST })?;
        self.open_file(file, now).map(|opened| opened.about)
    }

    /// Carries a request file out that the person of `signed` hands in.
    pub async fn hand_in(
        &self,
        signed: &SignedStatement,
        file: &[u8],
        repeat: Repeat,
        now: Timestamp,
    ) -> Result<HandedIn, ControlError> {
        let accepted = accept(&self.world(), signed, now)?;
        let opened = self.open_file(file, now)?;
        let about = &opened.about;
        let id = about.device;
        match accepted.statement.action {
            Action::HandInRequest { device, request_sha256 }
                if (device, request_sha256) == (id, about.request_sha256) => {}
            Action::HandInRequest { .. } => {
                return Err(ControlError::refused(
                    "other_request",
                    "the statement is about another request file than the one sent",
                ));
            }
            _ => {
                return Err(ControlError::refused(
                    "wrong_statement",
                    "a request file needs a statement `hand_in_request`",
                ));
            }
        }
        self.paces.admit(id.into(), Act::Proof, now)?;
        let (request_sha256, proof, expires) = (about.request_sha256, about.proof, about.expires);
        // Seen here, before evidence that was appraised once is taken for somebody's replay.
        match (about.used, repeat) {
            (false, _) => {}
            (true, Repeat::No) => return Err(used_before().into()),
            (true, Repeat::SameAnswer) => {
                return self.answer_again(id, request_sha256, &opened.request, now).await;
            }
        }
        let hand = Hand { accepted, request_sha256, proof, expires };
        let issued = match (&opened.request.file().proof, opened.secret) {
            (FileProofOf::Challenge(attested), _) => {
                self.by_challenge(&hand, id, attested, &opened.request, now).await
            }
            (FileProofOf::Secret { .. }, Some(secret)) => {
                self.by_file_secret(&hand, secret, &opened.request, now).await
            }
            (FileProofOf::Secret { .. }, None) => {
                Err(ControlError::Bug("a request whose secret was not proven".to_owned()))
            }
        };
        match issued {
            Ok(chain) => Ok(HandedIn::Answered(self.response(id, request_sha256, &chain, now)?)),
            Err(ControlError::Refused(refused)) if WAITS_FOR_A_PERSON.contains(&refused.code.as_str()) => {
                Ok(HandedIn::Waiting { why: refused.text })
            }
            Err(error) => Err(error),
        }
    }

    fn response(
        &self,
        device: DeviceId,
        request_sha256: Digest,
        chain: &[Certificate],
        now: Timestamp,
    ) -> Result<Response, ControlError> {
        let leaf = chain.first().ok_or_else(|| ControlError::Bug("an empty chain was issued".to_owned()))?;
        Ok(Response {
            request_sha256,
            device,
            issued: now,
            expires: now.plus_seconds(RESPONSE_SECONDS).min(leaf.not_after()),
            renew_at: self.told_to_renew(device, leaf),
            chain: chain.iter().map(|c| c.der().to_vec()).collect(),
        })
    }

    /// Reads a file and recognises its device, challenge or secret. Everything here is said of an expired file too.
    fn open_file(&self, file: &[u8], now: Timestamp) -> Result<Opened, ControlError> {
        let request = RequestFile::verify(file).map_err(unreadable)?;
        let request_sha256 = request.sha256();
        let (device, proof, expires, secret) = match &request.file().proof {
            FileProofOf::Challenge(attested) => {
                let ticket = &attested.ticket;
                if !ticket.is_by(&self.secrets) {
                    return Err(ControlError::refused(
                        "challenge_not_ours",
                        "the challenge that it answers was not made by this control plane, or was changed: make one with \
                         `lanyard enroll challenge`",
                    ));
                }
                (ticket.device, FileProof::Challenge, ticket.expires, None)
            }
            FileProofOf::Secret { id, .. } => {
                let (subject, expires) = {
                    let world = self.world();
                    let found = world.by_secret(*id);
                    found.map(|(subject, open)| (subject, open.expires)).ok_or_else(unknown_secret)?
                };
                let Subject::Device(device) = subject else { return Err(unknown_secret()) };
                let secret = self.secrets.derive(*id, device.into(), expires);
                let proven = request.prove(&secret).map_err(unreadable)?;
                (device, FileProof::Secret, expires, Some(proven))
            }
        };
        let used = find(&self.world(), device)?.has_used_file(&request_sha256);
        if now > expires && !used {
            return Err(ControlError::refused(
                match proof {
                    FileProof::Challenge => "challenge_expired",
                    FileProof::Secret => "secret_expired",
                },
                format!(
                    "this file had to be handed in until {expires}; {}",
                    match proof {
                        FileProof::Challenge =>
                            "make another challenge: evidence must not be older than the device's tier allows",
                        FileProof::Secret => "have another one-time secret made for the device",
                    }
                ),
            ));
        }
        Ok(Opened { about: FileAbout { device, proof, request_sha256, expires, used }, request, secret })
    }

    async fn by_challenge(
        &self,
        hand: &Hand,
        id: DeviceId,
        attested: &Attested,
        request: &VerifiedRequest,
        now: Timestamp,
    ) -> Result<Vec<Certificate>, ControlError> {
        let ticket = &attested.ticket;
        let proof = Proof {
            checkpoint_size: ticket.checkpoint_size,
            tls_public: attested.tls_public.clone(),
            certify: attested.certify.clone(),
            certify_signature: attested.certify_signature.clone(),
            csr: request.file().csr.clone(),
            evidence: attested.evidence.clone(),
        };
        let (keys, purpose) = match (&ticket.purpose, &attested.enroll) {
            (TicketFor::Enroll { keys_sha256 }, Some((shown, opened))) => {
                if sha256(&shown.encode()) != *keys_sha256 {
                    return Err(ControlError::refused(
                        "other_keys",
                        "the challenge was made for another keys file than the one in this request",
                    ));
                }
                let (owner, keys) = self.recognise(&claimed(shown), now).await?;
                if owner != id {
                    return Err(ControlError::refused(
                        "other_record",
                        format!("the challenge was made for device {id}, these keys are of device {owner}"),
                    ));
                }
                if verify_slices_are_equal(&self.activation(ticket, shown), opened).is_err() {
                    let refused = Refused::new(
                        "activation_failed",
                        "the secret of the challenge was not opened by this endorsement key: the attestation key is not \
                         in that TPM",
                    );
                    self.alarm(id, AlarmCode::CloneSuspected, &refused, now).await;
                    return Err(refused.into());
                }
                (Some(keys), Purpose::Enroll)
            }
            _ => (None, Purpose::Attest),
        };
        let known = bound_ak(find(&self.world(), id)?)?;
        let ak = keys.as_ref().map(|k| &k.ak).or(known.as_ref()).cloned();
        let ak = ak.ok_or_else(|| ControlError::refused("no_identity", "no TPM is bound to this device"))?;
        let checkpoint = sealed(ticket);
        let permit = self.permit(id, &ak, &proof, (ticket.id(), Some(&checkpoint)), now).await?;
        let presented = Presented {
            device: id,
            checkpoint_size: ticket.checkpoint_size,
            channel: ticket.id(),
            evidence: proof.evidence,
        };
        let fresh = keys.is_some().then_some(&ak);
        let appraised = self.appraise_or_alarm(presented, purpose, fresh, Some(&checkpoint), now).await?;
        let leaf = self.issue(id, permit, appraised, keys.as_ref(), Way::File(hand), now).await?;
        Ok(self.authority.chain(&leaf))
    }

    async fn by_file_secret(
        &self,
        hand: &Hand,
        secret: SecretProven,
        request: &VerifiedRequest,
        now: Timestamp,
    ) -> Result<Vec<Certificate>, ControlError> {
        let wish = EnrollmentRequest {
            protocol: Protocol::File,
            profile: None,
            csr: request.csr().clone(),
            authentication: Authentication::Secret(secret),
        };
        match self.certify_device(wish, Circumstances::USUAL, Some(hand), now).await {
            Ok(Certified::Issued { chain, .. }) => Ok(chain),
            // As `hand_in` says it.
            Ok(Certified::Waiting { why }) => Err(ControlError::refused("not_approved", why)),
            Err(ControlError::Refused(refused)) => Err(with_a_way_out(refused).into()),
            Err(error) => Err(error),
        }
    }

    async fn answer_again(
        &self,
        id: DeviceId,
        request_sha256: Digest,
        request: &VerifiedRequest,
        now: Timestamp,
    ) -> Result<HandedIn, ControlError> {
        let key = Digest(request.csr().spki_sha256());
        match self.issued_before(id, &key, now).await? {
            Some(Certified::Issued { chain, .. }) => {
                Ok(HandedIn::Answered(self.response(id, request_sha256, &chain, now)?))
            }
            _ => Err(ControlError::refused(
                "request_used",
                "this request file was handed in before, and no certificate of its key is good now: it was refused then, or \
                 the control plane or its key store stopped before it was signed, or it was revoked or has ended since; \
                 have the device make a new request",
            )),
        }
    }
}

/// Without a connection there is one way to prove a state: say it where it is missing.
fn with_a_way_out(mut refused: Refused) -> Refused {
    if ["key_too_weak_for_tier", "attest_first", "new_key_not_in_hardware"].contains(&refused.code.as_str()) {
        refused.text.push_str(
            "; a device without network does so by a challenge file (`lanyard enroll challenge`), a one-time secret is \
             not enough",
        );
    }
    refused
}

fn unknown_secret() -> ControlError {
    ControlError::refused(
        "secret_unknown",
        "the one-time secret of this file is not, or no longer, one of a device; have a new one made",
    )
}
