//! The lifecycle's rules: given a device and a command, the events that follow, or why not.

use super::credentials::{Basis, replaced_account};
use super::{Device, Identity, MakerIdentity, Recorded, Stage};
use crate::credential::Intended;
use crate::event::{AlarmCode, Appraisal, BootState, Event, FileProof, Probe, RevocationReason};
use crate::id::{IssuanceId, OperatorId, ReleaseId, SecretId};
use crate::maker::{MakerCertificate, MakerFinding};
use crate::operator::{Operator, Role};
use crate::record::DeviceRecord;
use crate::rights::{self, Right};
use crate::statement::SignedStatement;
use crate::text::{Blob, Digest};
use crate::time::Timestamp;
use crate::trust::{Reason, Releases, evaluate};

/// What someone or something wants done to a device.
#[derive(Debug, Clone)]
pub enum Command<'a> {
    /// Approve in one role.
    Approve { by: &'a Operator, role: Role, statement: SignedStatement },
    /// Bind the hardware key that activation has proven.
    BindIdentity {
        ek_sha256: Digest,
        ek_certificate_sha256: Digest,
        endorsement_sha256: Digest,
        ak_public: Vec<u8>,
        ak_name_sha256: Digest,
        grade: Option<String>,
    },
    /// Bind a maker's or attested key that was proven.
    BindMakerKey {
        format: String,
        key: MakerIdentity,
        certificate_sha256: Digest,
        endorsement_sha256: Digest,
    },
    /// Say by which of its maker's certificates its hardware spoke for it, and which lists were asked about them.
    ShowMakerCertificates {
        endorsement_sha256: Digest,
        certificates: Vec<MakerCertificate>,
        lists: Vec<Digest>,
    },
    /// Draw what follows from a maker's list that names one of those.
    FindMakerRevocation(MakerFinding),
    /// Have a one-time enrollment secret made.
    IssueSecret { by: &'a Operator, secret: SecretId, expires: Timestamp, statement: SignedStatement },
    /// Use it, for this key. Nothing to record when it was used for the same key before.
    UseSecret { secret: SecretId, spki_sha256: Digest },
    /// Say what is about to be signed.
    IntendIssuance {
        basis: Basis,
        issuance: IssuanceId,
        protocol: String,
        profile: String,
        serial: String,
        spki_sha256: Digest,
        tbs_sha256: Digest,
        evidence_sha256: Digest,
    },
    /// Record what was signed.
    RecordCertificate {
        issuance: IssuanceId,
        serial: String,
        certificate: Vec<u8>,
        certificate_sha256: Digest,
        spki_sha256: Digest,
        not_before: Timestamp,
        not_after: Timestamp,
    },
    /// Give an intent up.
    AbandonIssuance { issuance: IssuanceId, why: String },
    /// Record an appraisal of good evidence (broken evidence is an alarm and changes nothing).
    RecordAppraisal(AppraisalFacts),
    /// Look again: time has passed, or a release has changed.
    Reassess,
    /// Cut it off.
    Quarantine { by: &'a Operator, statement: SignedStatement, reason: String },
    /// Let it prove itself again.
    Release { by: &'a Operator, statement: SignedStatement },
    /// Begin its end.
    Retire { by: &'a Operator, statement: SignedStatement },
    /// Revoke it as a whole: every certificate, and no new one until it is released.
    Revoke { by: &'a Operator, reason: RevocationReason, statement: SignedStatement },
    /// Revoke single certificates.
    RevokeCertificates {
        by: &'a Operator,
        serials: Vec<String>,
        reason: RevocationReason,
        statement: SignedStatement,
    },
    /// Revoke one of its own certificates without a person: its holder gave it up, or never took it.
    RevokeOwn { serial: String, reason: RevocationReason },
    /// Let it renew although its last certificate has ended.
    AllowLateRenewal { by: &'a Operator, until: Timestamp, statement: SignedStatement },
    /// Bind an ACME account by a secret (RFC 8555 7.3.4).
    BindAccount { secret: SecretId, account_sha256: Digest, jwk: String },
    /// Give its account another key.
    ReplaceAccount { account_sha256: Digest, by_sha256: Digest, jwk: String },
    /// End its account.
    EndAccount { account_sha256: Digest },
    /// A certificate was used. Nothing to record but the first time.
    SeeCertificate { serial: String },
    /// Revoke those of these certificates that a newer one in use has taken the place of.
    Supersede { serials: Vec<String> },
    /// Record refusal probes; when every one was refused, the device is retired.
    RecordProbes { probes: Vec<Probe> },
    /// Raise an alarm on its chain.
    RaiseAlarm { code: AlarmCode, detail: String },
    /// Record that a token was granted.
    GrantToken { token_sha256: Digest, certificate_sha256: Digest, scopes: Vec<String>, expires: Timestamp },
    /// Use a request file that a person handed in.
    HandIn {
        by: &'a Operator,
        request_sha256: Digest,
        proof: FileProof,
        expires: Timestamp,
        statement: SignedStatement,
    },
    /// Close the chain at this point for an evidence export.
    ExportEvidence { by: &'a Operator, statement: SignedStatement, claim_sha256: Digest },
}

/// What an appraisal of good evidence found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppraisalFacts {
    /// Result.
    pub appraisal: Appraisal,
    /// Digest of the evidence as kept.
    pub evidence_sha256: Digest,
    /// What was asked: `attest` or `enroll`.
    pub purpose: &'static str,
    /// The nonce that it quotes.
    pub nonce: Digest,
    /// TLS channel binding that the nonce was made with.
    pub channel: Digest,
    /// Checkpoint that the nonce is bound to.
    pub checkpoint_size: u64,
    /// Its root.
    pub checkpoint_root: Digest,
    /// Where the TPM was in its life.
    pub boot: BootState,
    /// Firmware release matched.
    pub firmware: Option<ReleaseId>,
    /// Model release matched.
    pub model: Option<ReleaseId>,
    /// What stands against it.
    pub findings: Vec<Reason>,
}

/// What a decision may look at beside the device.
pub struct Context<'a, R: Releases> {
    /// Now.
    pub now: Timestamp,
    /// Releases.
    pub releases: &'a R,
}

// By hand: a derive would ask the same of `R`, which is only borrowed.
impl<R: Releases> Clone for Context<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<R: Releases> Copy for Context<'_, R> {}

/// The events of an accepted command, in order; never empty but for [`Command::Reassess`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// What to record.
    pub events: Vec<Event>,
}

/// Why a command is refused: code for machines, sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// Stable code, snake case.
    pub code: &'static str,
    /// A sentence.
    pub text: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

impl Device {
    /// The first event of a device. The requester is remembered: they may not approve (I1).
    pub fn register(
        record: DeviceRecord,
        by: &Operator,
        statement: SignedStatement,
    ) -> Result<Transition, Refusal> {
        require(by, rights::REGISTER_DEVICE)?;
        record.check().map_err(|e| Refusal::new("record_invalid", e.to_string()))?;
        Ok(Transition { events: vec![Event::DeviceRegistered { record, statement }] })
    }

    /// The events that `command` leads to at `context.now`, or why it is refused. Whenever the verdict that follows
    /// differs from the one the chain last stated, the chain states it: a reader never has to compute trust.
    pub fn decide<R: Releases>(
        &self,
        command: Command<'_>,
        context: Context<'_, R>,
    ) -> Result<Transition, Refusal> {
        let mut events = self.rule(command, context.now)?;
        let mut after = self.fold(&events, context.now);
        let trust = evaluate(&after, context.releases, context.now);
        for event in &mut events {
            if let Event::EvidenceAppraised { verdict, reasons, fresh_until, untrusted_after, .. } = event {
                *verdict = trust.verdict;
                *reasons = trust.reasons.clone();
                *fresh_until = trust.fresh_until.unwrap_or(context.now);
                *untrusted_after = trust.untrusted_after.unwrap_or(context.now);
                after.recorded = trust.verdict;
            }
        }
        if after.recorded != trust.verdict {
            events.push(Event::TrustChanged {
                from: after.recorded,
                to: trust.verdict,
                reasons: trust.reasons,
            });
        }
        Ok(Transition { events })
    }

    fn fold(&self, events: &[Event], now: Timestamp) -> Device {
        events.iter().fold(self.clone(), |device, event| {
            // Only the requester's identity depends on the actor of an event, and a device has that already.
            device.apply(event, OperatorId::from_bytes([0; 16]), Recorded { pos: 0, time: now })
        })
    }

    fn rule(&self, command: Command<'_>, now: Timestamp) -> Result<Vec<Event>, Refusal> {
        match command {
            Command::Approve { by, role, statement } => self.approve(by, role, statement),
            Command::BindIdentity {
                ek_sha256,
                ek_certificate_sha256,
                endorsement_sha256,
                ak_public,
                ak_name_sha256,
                grade,
            } => {
                self.may_hold_identity()?;
                self.same_hardware(&ek_sha256)?;
                self.may_go_over_to(&ek_sha256, now)?;
                Ok(vec![Event::IdentityBound {
                    ek_sha256,
                    ek_certificate_sha256,
                    endorsement_sha256,
                    ak_public: Blob(ak_public),
                    ak_name_sha256,
                    grade,
                }])
            }
            Command::BindMakerKey { format, key, certificate_sha256, endorsement_sha256 } => {
                self.bind_maker_key(format, key, certificate_sha256, endorsement_sha256, now)
            }
            Command::ShowMakerCertificates { endorsement_sha256, certificates, lists } => {
                self.may_hold_identity()?;
                Ok(vec![Event::MakerCertificatesShown { endorsement_sha256, certificates, lists }])
            }
            Command::FindMakerRevocation(finding) => Ok(self.find_maker_revocation(finding)),
            Command::IssueSecret { by, secret, expires, statement } => {
                self.issue_secret(by, secret, expires, statement, now)
            }
            Command::UseSecret { secret, spki_sha256 } => self.use_secret(secret, spki_sha256, now),
            Command::IntendIssuance {
                basis,
                issuance,
                protocol,
                profile,
                serial,
                spki_sha256,
                tbs_sha256,
                evidence_sha256,
            } => {
                self.may_be_issued(basis, &spki_sha256, now)?;
                Ok(vec![Event::IssuanceIntended {
                    issuance,
                    protocol,
                    profile,
                    serial,
                    spki_sha256,
                    tbs_sha256,
                    evidence_sha256,
                }])
            }
            Command::RecordCertificate {
                issuance,
                serial,
                certificate,
                certificate_sha256,
                spki_sha256,
                not_before,
                not_after,
            } => self.record_certificate(
                issuance,
                Event::CertificateIssued {
                    issuance,
                    serial,
                    certificate: Blob(certificate),
                    certificate_sha256,
                    spki_sha256,
                    not_before,
                    not_after,
                },
            ),
            Command::AbandonIssuance { issuance, why } => {
                Intended::is_among(issuance, &self.pending)?;
                Ok(vec![Event::IssuanceAbandoned { issuance, why }])
            }
            Command::RecordAppraisal(facts) => self.record_appraisal(facts),
            Command::Reassess => Ok(Vec::new()),
            Command::Quarantine { by, statement, reason } => {
                require(by, rights::QUARANTINE_DEVICE)?;
                if self.resume().is_none() {
                    return Err(self.wrong_stage("quarantined"));
                }
                let reasons =
                    vec![Reason::new("quarantined_by_operator", format!("An operator cut it off: {reason}"))];
                Ok(vec![Event::DeviceQuarantined { reasons, statement: Some(statement) }])
            }
            Command::Release { by, statement } => {
                require(by, rights::RELEASE_DEVICE)?;
                match self.stage {
                    Stage::Quarantined { .. } => Ok(vec![Event::QuarantineReleased { statement }]),
                    _ => Err(self.wrong_stage("released from quarantine")),
                }
            }
            Command::Retire { by, statement } => {
                require(by, rights::RETIRE_DEVICE)?;
                if matches!(self.stage, Stage::Retiring | Stage::Retired) {
                    return Err(self.wrong_stage("retired"));
                }
                let revoked = self.certificates.iter().map(|c| Event::CertificateRevoked {
                    serial: c.serial.clone(),
                    reason: RevocationReason::Retired,
                });
                Ok(std::iter::once(Event::RetirementBegun { statement }).chain(revoked).collect())
            }
            Command::Revoke { by, reason, statement } => self.revoke(by, reason, statement),
            Command::RevokeCertificates { by, serials, reason, statement } => {
                self.revoke_certificates(by, serials, reason, statement)
            }
            Command::AllowLateRenewal { by, until, statement } => {
                self.allow_late_renewal(by, until, statement, now)
            }
            Command::BindAccount { secret, account_sha256, jwk } => {
                self.bind_account(secret, account_sha256, jwk, now)
            }
            Command::ReplaceAccount { account_sha256, by_sha256, jwk } => {
                // Before the approvals too; nothing new comes into a life that has ended.
                if !matches!(self.stage, Stage::Registered(_)) {
                    self.may_hold_identity()?;
                }
                Ok(replaced_account(account_sha256, by_sha256, jwk))
            }
            Command::EndAccount { account_sha256 } => {
                Ok(vec![Event::AcmeAccountEnded { account_sha256, successor: None }])
            }
            Command::RevokeOwn { serial, reason } => self.revoke_own(serial, reason),
            Command::SeeCertificate { serial } => Ok(self.see_certificate(&serial)),
            Command::Supersede { serials } => Ok(self.supersede(&serials)),
            Command::RecordProbes { probes } => self.record_probes(probes),
            Command::RaiseAlarm { code, detail } => Ok(vec![Event::AlarmRaised { code, detail }]),
            Command::GrantToken { token_sha256, certificate_sha256, scopes, expires } => {
                Ok(vec![Event::TokenGranted { token_sha256, certificate_sha256, scopes, expires }])
            }
            Command::HandIn { by, request_sha256, proof, expires, statement } => {
                self.hand_in(by, request_sha256, proof, expires, statement, now)
            }
            Command::ExportEvidence { by, statement, claim_sha256 } => {
                require(by, rights::EXPORT_EVIDENCE)?;
                Ok(vec![Event::EvidenceExported { claim_sha256, statement }])
            }
        }
    }

    fn approve(&self, by: &Operator, role: Role, statement: SignedStatement) -> Result<Vec<Event>, Refusal> {
        if !matches!(role, Role::Security | Role::Biomedical) {
            return Err(Refusal::new(
                "role_cannot_approve",
                format!("`{role}` does not approve devices; security and biomedical do"),
            ));
        }
        require(by, rights::approve_device(&role))?;
        let Stage::Registered(approvals) = &self.stage else { return Err(self.wrong_stage("approved")) };
        if approvals.requester == by.id {
            return Err(Refusal::new(
                "requester_cannot_approve",
                "who registered a device may not approve it; another person must",
            ));
        }
        if approvals.given.iter().any(|(_, operator)| *operator == by.id) {
            return Err(Refusal::new(
                "one_person_one_role",
                "this operator approved it already in the other role; another person must",
            ));
        }
        if approvals.given.iter().any(|(given, _)| *given == role) {
            return Err(Refusal::new("already_approved", format!("it is already approved for {role}")));
        }
        Ok(vec![Event::DeviceApproved { role, statement }])
    }

    fn same_hardware(&self, ek_sha256: &Digest) -> Result<(), Refusal> {
        if self.record.ek_sha256.is_some_and(|expected| expected != *ek_sha256) {
            return Err(Refusal::new(
                "not_the_purchased_hardware",
                "its endorsement key is not the one on the purchase list",
            ));
        }
        let bound = self.identity.as_ref().and_then(Identity::hardware_key);
        if bound.is_some_and(|key| key != *ek_sha256) {
            return Err(Refusal::new(
                "other_hardware",
                "this record is bound to another hardware key; a replaced board is a new record linked by an operator",
            ));
        }
        Ok(())
    }

    fn record_certificate(&self, issuance: IssuanceId, issued: Event) -> Result<Vec<Event>, Refusal> {
        Intended::is_among(issuance, &self.pending)?;
        // Between intent and record the device may have been retired: the certificate must then never be seen.
        self.may_hold_identity()?;
        let mut events = vec![issued];
        let proven = self.evidence.as_ref().is_some_and(|e| e.appraisal != Appraisal::Contraindicated);
        if self.stage == Stage::Approved && proven {
            events.extend([Event::DeviceValidated {}, Event::DeviceInService {}]);
        }
        Ok(events)
    }

    fn record_appraisal(&self, facts: AppraisalFacts) -> Result<Vec<Event>, Refusal> {
        self.may_hold_identity()?;
        if self.identity.as_ref().and_then(Identity::tpm).is_none() {
            return Err(Refusal::new(
                "no_attestation_key",
                "no TPM is bound to this device, so nothing can prove what it runs; enroll it with its TPM first",
            ));
        }
        if let Some(last) = &self.evidence {
            fresh(last.boot, facts.boot)?;
            // The signed part, not the bytes: the log beside a quote can be spelled in more than one way.
            let same_quote = last.nonce == facts.nonce && last.boot == facts.boot;
            if same_quote || last.sha256 == facts.evidence_sha256 {
                return Err(Refusal::new("evidence_replayed", "this evidence was presented before"));
            }
            if facts.checkpoint_size < last.checkpoint_size {
                return Err(Refusal::new(
                    "evidence_replayed",
                    "this evidence is older than evidence already recorded",
                ));
            }
        }
        let contraindicated = facts.appraisal == Appraisal::Contraindicated;
        let findings = facts.findings.clone();
        let mut events = vec![Event::EvidenceAppraised {
            appraisal: facts.appraisal,
            evidence_sha256: facts.evidence_sha256,
            purpose: facts.purpose.to_owned(),
            nonce: facts.nonce,
            channel: facts.channel,
            checkpoint_size: facts.checkpoint_size,
            checkpoint_root: facts.checkpoint_root,
            boot: facts.boot,
            firmware: facts.firmware,
            model: facts.model,
            findings: facts.findings,
            // Filled in by `decide` from the state after all events of the transition.
            verdict: crate::trust::Verdict::Untrusted,
            reasons: Vec::new(),
            fresh_until: Timestamp::default(),
            untrusted_after: Timestamp::default(),
        }];
        if contraindicated && self.resume().is_some() {
            events.push(Event::DeviceQuarantined { reasons: findings, statement: None });
        } else if !contraindicated && self.stage == Stage::Enrolled {
            events.extend([Event::DeviceValidated {}, Event::DeviceInService {}]);
        }
        Ok(events)
    }

    fn record_probes(&self, probes: Vec<Probe>) -> Result<Vec<Event>, Refusal> {
        if self.stage != Stage::Retiring {
            return Err(self.wrong_stage("probed for refusal"));
        }
        // I11: an empty list proves nothing.
        let proven = !probes.is_empty() && probes.iter().all(|p| p.refused);
        let mut events = vec![Event::RefusalProbed { probes }];
        if proven {
            events.push(Event::DeviceRetired {});
        }
        Ok(events)
    }

    pub(super) fn wrong_stage(&self, what: &str) -> Refusal {
        Refusal::new("wrong_stage", format!("a device that is {} cannot be {what}", self.stage.name()))
    }
}

/// TPM counters never go back, and its clock never goes back within a reset (Part 1, 36). Where the clock is not `safe`
/// it may fall back after a power cut, but then the reset count has gone up. Equal counters are two quotes within one
/// millisecond; the nonce and the evidence's digest tell those from a replay.
fn fresh(last: BootState, new: BootState) -> Result<(), Refusal> {
    let before =
        (new.reset_count, new.restart_count, new.clock) < (last.reset_count, last.restart_count, last.clock);
    if !before {
        return Ok(());
    }
    Err(Refusal::new(
        "evidence_replayed",
        "its TPM counters come before those of the last evidence: a replay, or another TPM's state",
    ))
}

pub(crate) fn require(by: &Operator, Right { what, roles }: Right<'_>) -> Result<(), Refusal> {
    if by.may(roles) {
        return Ok(());
    }
    let names: Vec<String> = roles.iter().map(ToString::to_string).collect();
    Err(Refusal::new(
        "role_missing",
        format!("to {what} an active operator needs one of these roles: {}", names.join(", ")),
    ))
}
