//! A device and its life: the state that its events fold to, and the only rules that may add an event.
//!
//! [`Device::decide`] holds every lifecycle rule and is pure; [`Device::apply`] is the only thing that changes a
//! device. To add a command: a variant in [`Command`], its rule in `decide.rs`, and the test that says no.

mod credentials;
mod decide;
mod files;
mod makers;
#[cfg(test)]
mod tests;

pub(crate) use credentials::replaced_account;
pub use credentials::{
    BEING_ISSUED, Basis, LATE_RENEWAL_SECONDS, LONGEST_LATE_ALLOWANCE_SECONDS, WAITS_FOR_A_PERSON,
};
pub(crate) use decide::require;
pub use decide::{AppraisalFacts, Command, Context, Refusal, Transition};
pub use files::{UsedFile, used_before};

pub use crate::credential::{Certificate, Intended, LONGEST_SECRET_SECONDS, OpenSecret};
use serde::{Deserialize, Serialize};

use crate::event::{Appraisal, BootState, Event, RevocationReason};
use crate::id::{DeviceId, OperatorId, ReleaseId};
use crate::operator::Role;
use crate::record::DeviceRecord;
use crate::text::Digest;
use crate::time::Timestamp;
use crate::trust::{Reason, Verdict};

/// CRLReason of RFC 5280 5.3.1.
const KEY_COMPROMISE: u8 = 1;

/// Where a device is in its life. Each variant carries what only that stage has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Written down, waiting for two approvals.
    Registered(Approvals),
    /// Both approvals given; may enroll.
    Approved,
    /// Holds an identity, has not yet proven its state.
    Enrolled,
    /// Has proven its state once.
    Validated,
    /// Live.
    InService,
    /// Cut off until a person releases it; goes back to `resume` then.
    Quarantined {
        /// Where it stood.
        resume: Resume,
        /// Why it was cut off.
        reasons: Vec<Reason>,
    },
    /// Being retired: refused everywhere, refusal being proven.
    Retiring,
    /// The end.
    Retired,
}

impl Stage {
    /// Its name as printed.
    pub const fn name(&self) -> &'static str {
        match self {
            Stage::Registered(_) => "registered",
            Stage::Approved => "approved",
            Stage::Enrolled => "enrolled",
            Stage::Validated => "validated",
            Stage::InService => "in-service",
            Stage::Quarantined { .. } => "quarantined",
            Stage::Retiring => "retiring",
            Stage::Retired => "retired",
        }
    }
}

/// The stages that a quarantine can interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resume {
    /// Back to approved (quarantined before it enrolled).
    Approved,
    /// Back to enrolled.
    Enrolled,
    /// Back to validated.
    Validated,
    /// Back in service.
    InService,
}

/// Who asked, and who approved so far (I1: three different hats on at least two heads, never the requester's).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvals {
    /// Who registered it; may not approve it.
    pub requester: OperatorId,
    /// Who approved, as what. At most one per role.
    pub given: Vec<(Role, OperatorId)>,
}

/// The key that is this device. One in hardware is so for ever (I2); one in a file may be followed by one in hardware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Identity {
    /// A TPM's endorsement and attestation key.
    Tpm(TpmIdentity),
    /// A key that its maker certified (IDevID), or that an attestation statement says is in hardware.
    Maker(MakerIdentity),
    /// A key in a file, for all that is known; a one-time secret vouched for it.
    Soft,
}

impl Identity {
    /// The TPM, where there is one: only it can prove what the device runs.
    pub fn tpm(&self) -> Option<&TpmIdentity> {
        match self {
            Identity::Tpm(tpm) => Some(tpm),
            Identity::Maker(_) | Identity::Soft => None,
        }
    }

    /// SHA-256 of the hardware key's SubjectPublicKeyInfo.
    pub fn hardware_key(&self) -> Option<Digest> {
        match self {
            Identity::Tpm(tpm) => Some(tpm.ek_sha256),
            Identity::Maker(maker) => Some(maker.key_sha256),
            Identity::Soft => None,
        }
    }
}

/// A maker's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakerIdentity {
    /// SHA-256 of the key's SubjectPublicKeyInfo.
    pub key_sha256: Digest,
    /// Certified grade of what holds it, when its endorser has one.
    pub grade: Option<String>,
}

/// A TPM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TpmIdentity {
    /// SHA-256 of the endorsement key's SubjectPublicKeyInfo.
    pub ek_sha256: Digest,
    /// TPMT_PUBLIC of the attestation key.
    pub ak_public: Vec<u8>,
    /// Certified grade of the root of trust, when its endorser has one.
    pub grade: Option<String>,
}

/// The last appraisal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// When it was recorded.
    pub at: Timestamp,
    /// Position of its leaf.
    pub pos: u64,
    /// Its digest.
    pub sha256: Digest,
    /// The nonce that it quotes.
    pub nonce: Digest,
    /// Size of the checkpoint that it is fresh by; later evidence may not name an older one.
    pub checkpoint_size: u64,
    /// What it showed.
    pub appraisal: Appraisal,
    /// Firmware release that it matched.
    pub firmware: Option<ReleaseId>,
    /// Model release that it matched.
    pub model: Option<ReleaseId>,
    /// Where the TPM was in its life.
    pub boot: BootState,
    /// What stands against it.
    pub findings: Vec<Reason>,
}

/// A device as folded from its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Which.
    pub id: DeviceId,
    /// Events so far in its stream.
    pub seq: u64,
    /// Position of its last event.
    pub last_pos: u64,
    /// What was registered.
    #[serde(with = "crate::text::in_words")]
    pub record: DeviceRecord,
    /// Where it is in its life.
    pub stage: Stage,
    /// Its hardware key, once enrolled.
    pub identity: Option<Identity>,
    /// Certificates that may be used.
    pub certificates: Vec<Certificate>,
    /// Certificates that were revoked before their end: what a refusal probe offers (I11).
    pub former: Vec<Certificate>,
    /// Intents whose certificate is not recorded yet.
    pub pending: Vec<Intended>,
    /// The last one-time secret made for it.
    pub secret: Option<Box<OpenSecret>>,
    /// Revoked as a whole: no credential until a person releases it.
    pub barred: Option<RevocationReason>,
    /// Keys that others may know: certified for nobody again, not even for this device.
    pub lost_keys: Box<[Digest]>,
    /// Until when it may renew although its certificate has ended.
    pub late_until: Option<Timestamp>,
    /// Request files that were handed in and have not expired.
    pub handed_in: Box<[UsedFile]>,
    /// Its last appraisal.
    pub evidence: Option<Evidence>,
    /// The verdict that its chain last stated.
    pub recorded: Verdict,
}

/// Where and when an event was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Position in the log.
    pub pos: u64,
    /// Sequencer's time.
    pub time: Timestamp,
}

impl Device {
    /// The device that a `DeviceRegistered` event brings into being; any other first event is none.
    pub fn begin(id: DeviceId, event: &Event, requester: OperatorId, recorded: Recorded) -> Option<Self> {
        let Event::DeviceRegistered { record, .. } = event else { return None };
        Some(Self {
            id,
            seq: 1,
            last_pos: recorded.pos,
            record: record.clone(),
            stage: Stage::Registered(Approvals { requester, given: Vec::new() }),
            identity: None,
            certificates: Vec::new(),
            former: Vec::new(),
            pending: Vec::new(),
            secret: None,
            barred: None,
            lost_keys: Box::default(),
            late_until: None,
            handed_in: Box::default(),
            evidence: None,
            recorded: Verdict::Untrusted,
        })
    }

    /// The device after `event`. `actor` is the leaf header's actor.
    pub fn apply(mut self, event: &Event, actor: OperatorId, recorded: Recorded) -> Self {
        self.seq += 1;
        self.last_pos = recorded.pos;
        match event {
            Event::DeviceApproved { role, .. } => {
                if let Stage::Registered(approvals) = &mut self.stage {
                    approvals.given.push((*role, actor));
                    if approvals.given.len() == 2 {
                        self.stage = Stage::Approved;
                    }
                }
            }
            Event::IdentityBound { ek_sha256, ak_public, grade, .. } => {
                if let Some(start) = self.boot_before(&ak_public.0)
                    && let Some(evidence) = &mut self.evidence
                {
                    evidence.boot = start;
                }
                self.identity = Some(Identity::Tpm(TpmIdentity {
                    ek_sha256: *ek_sha256,
                    ak_public: ak_public.0.clone(),
                    grade: grade.clone(),
                }));
            }
            Event::MakerKeyBound { key_sha256, grade, .. } => {
                self.identity =
                    Some(Identity::Maker(MakerIdentity { key_sha256: *key_sha256, grade: grade.clone() }));
            }
            Event::SoftKeyAccepted { .. } => self.identity = Some(Identity::Soft),
            Event::EnrollmentSecretIssued { .. } | Event::EnrollmentSecretUsed { .. } => {
                OpenSecret::follow(&mut self.secret, event);
            }
            Event::RevocationOrdered { reason, serials, .. } if serials.is_empty() => self.bar(*reason),
            Event::CertificateSeen { serial } => {
                for certificate in self.certificates.iter_mut().filter(|c| c.serial == *serial) {
                    certificate.seen_at = Some(recorded.time);
                }
                // It has what it asked for: no word of a person is needed for it any more, and no ended one.
                self.late_until = None;
                Certificate::drop_ended(&mut self.certificates, recorded.time);
            }
            Event::LateRenewalAllowed { until, .. } => self.late_until = Some(*until),
            Event::MakerRevocationFound { serial, revoked_at, reason, .. } => {
                self.maker_revoked(serial, *revoked_at, *reason);
            }
            Event::RequestFileHandedIn { request_sha256, expires, .. } => {
                self.use_file(UsedFile { request_sha256: *request_sha256, expires: *expires }, recorded.time);
            }
            Event::IssuanceIntended { .. } | Event::IssuanceAbandoned { .. } => {
                Intended::follow(&mut self.pending, event);
            }
            Event::CertificateIssued { spki_sha256, .. } => {
                if let Some(open) = self.secret.as_mut().filter(|s| s.used_for == Some(*spki_sha256)) {
                    open.answered = true;
                }
                Certificate::drop_ended(&mut self.certificates, recorded.time);
                let issued = Certificate::issued(event, &mut self.pending, recorded);
                // A million devices with one certificate each: room for the usual four would be 300 MB of nothing.
                self.pending.shrink_to_fit();
                self.certificates.reserve_exact(1);
                self.certificates.extend(issued);
                if self.stage == Stage::Approved {
                    self.stage = Stage::Enrolled;
                }
            }
            Event::CertificateRevoked { serial, reason } => {
                let (gone, kept): (Vec<Certificate>, _) =
                    self.certificates.drain(..).partition(|c| &c.serial == serial);
                self.certificates = kept;
                if reason.crl_reason() == KEY_COMPROMISE {
                    let lost = gone.iter().map(|c| c.spki_sha256).filter(|key| !self.lost_keys.contains(key));
                    self.lost_keys = self.lost_keys.iter().copied().chain(lost).collect();
                }
                // One that nobody took was no answer: its secret is good for that key still.
                let untaken = |c: &Certificate| *reason == RevocationReason::GivenUp && c.seen_at.is_none();
                if let Some(open) = self.secret.as_mut()
                    && gone.iter().any(|c| untaken(c) && open.used_for == Some(c.spki_sha256))
                {
                    open.answered = false;
                }
                self.former.retain(|c| c.not_after > recorded.time);
                self.former.extend(gone);
            }
            Event::EvidenceAppraised {
                appraisal,
                evidence_sha256,
                nonce,
                checkpoint_size,
                boot,
                firmware,
                model,
                findings,
                verdict,
                ..
            } => {
                self.evidence = Some(Evidence {
                    at: recorded.time,
                    pos: recorded.pos,
                    sha256: *evidence_sha256,
                    nonce: *nonce,
                    checkpoint_size: *checkpoint_size,
                    appraisal: *appraisal,
                    firmware: *firmware,
                    model: *model,
                    boot: *boot,
                    findings: findings.clone(),
                });
                self.recorded = *verdict;
            }
            Event::DeviceValidated {} => self.stage = Stage::Validated,
            Event::DeviceInService {} => self.stage = Stage::InService,
            Event::TrustChanged { to, .. } => self.recorded = *to,
            Event::DeviceQuarantined { reasons, .. } => {
                if let Some(resume) = self.resume() {
                    self.stage = Stage::Quarantined { resume, reasons: reasons.clone() };
                }
            }
            Event::QuarantineReleased { .. } => {
                self.barred = None;
                if let Stage::Quarantined { resume, .. } = self.stage {
                    self.stage = resume.into();
                }
            }
            Event::RetirementBegun { .. } => self.stage = Stage::Retiring,
            Event::DeviceRetired {} => {
                self.stage = Stage::Retired;
                self.certificates.clear();
            }
            // Audit facts: they stand in the chain and change nothing.
            _ => {}
        }
        self
    }

    /// Whether one of its certificates is valid at `now`.
    pub fn has_valid_certificate(&self, now: Timestamp) -> bool {
        self.certificates.iter().any(|c| c.not_before <= now && now <= c.not_after)
    }

    /// The TPM counters that evidence by this attestation key must not come before. Clearing a TPM ends its keys and
    /// sets its counters to zero (Part 3, TPM2_Clear): with a new key on the same hardware they begin anew. Older
    /// quotes stay worthless: they are by the old key.
    pub fn boot_before(&self, ak_public: &[u8]) -> Option<BootState> {
        let last = self.evidence.as_ref()?.boot;
        let tpm = self.identity.as_ref().and_then(Identity::tpm);
        let same = tpm.is_some_and(|i| i.ak_public == ak_public);
        let start = BootState { reset_count: 0, restart_count: 0, clock: 0, safe: false };
        Some(if same { last } else { start })
    }

    fn resume(&self) -> Option<Resume> {
        match self.stage {
            Stage::Approved => Some(Resume::Approved),
            Stage::Enrolled => Some(Resume::Enrolled),
            Stage::Validated => Some(Resume::Validated),
            Stage::InService => Some(Resume::InService),
            _ => None,
        }
    }
}

impl From<Resume> for Stage {
    fn from(resume: Resume) -> Stage {
        match resume {
            Resume::Approved => Stage::Approved,
            Resume::Enrolled => Stage::Enrolled,
            Resume::Validated => Stage::Validated,
            Resume::InService => Stage::InService,
        }
    }
}
