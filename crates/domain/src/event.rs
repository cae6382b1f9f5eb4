//! Events: everything that ever changes a state, in the past tense. Each is the JSON payload of one leaf; the
//! leaf's header carries the code of [`Event::kind`], the stream and the actor, never anything personal.
//!
//! To add an event: a variant here, a code in [`Event::kind`] (codes are never reused), its effect in `apply`
//! of the object it changes, a line in `docs/event-catalogue.md`.

use serde::{Deserialize, Serialize};

use crate::application::ApplicationRecord;
use crate::authority::{AuthorityPurpose, KeyStore};
use crate::compromise::CompromisePlan;
use crate::endorsement::EndorsementUse;
use crate::id::{DeviceId, GatewayId, IssuanceId, ReleaseId, SecretId};
use crate::maintenance::Window;
use crate::maker::{MakerCertificate, MakerReason};
use crate::operator::Role;
use crate::record::DeviceRecord;
use crate::release::ReleaseRecord;
use crate::statement::SignedStatement;
use crate::text::{Blob, Digest};
use crate::time::Timestamp;
use crate::trust::{Reason, Verdict};
use crate::watched::{SeenCertificate, WatchAlarm, WatchRecord};

/// What kind of object a stream belongs to; stands in the leaf header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum StreamKind {
    /// The log itself.
    System = 0,
    /// A device.
    Device = 1,
    /// A release.
    Release = 2,
    /// An operator.
    Operator = 3,
    /// A gateway.
    Gateway = 4,
    /// An application.
    Application = 5,
}

/// Where a TPM was in its life when it quoted; lets a replay or a reboot be told from a fresh quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootState {
    /// TPM resets so far.
    pub reset_count: u32,
    /// TPM restarts (resume) since the last reset.
    pub restart_count: u32,
    /// Milliseconds the TPM has been powered.
    pub clock: u64,
    /// Whether the clock is known not to have gone back.
    pub safe: bool,
}

/// What an appraisal found, without the trust that follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Appraisal {
    /// Evidence good, everything approved.
    Affirming,
    /// Evidence good, something to look at, nothing against.
    Warning,
    /// Evidence good, and it shows something that is not approved.
    Contraindicated,
}

/// Why a certificate was revoked (RFC 5280 5.3.1 names on the right where one fits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationReason {
    /// cessationOfOperation: the device's life is over.
    Retired,
    /// keyCompromise: the key, or the device that holds it, is in other hands.
    Compromised,
    /// superseded: a newer certificate is in use.
    Superseded,
    /// affiliationChanged: the device belongs to somebody else now.
    Transferred,
    /// cessationOfOperation: its maker or the authority called it back.
    Recalled,
    /// keyCompromise: nobody knows where it is.
    Lost,
    /// keyCompromise: somebody has it who should not.
    Stolen,
    /// keyCompromise of the issuing CA.
    IssuerCompromised,
    /// cessationOfOperation: its holder gave this certificate up, or never took it.
    GivenUp,
}

impl RevocationReason {
    /// All, in the order in which they are listed to people.
    pub const ALL: [RevocationReason; 9] = [
        RevocationReason::Retired,
        RevocationReason::Transferred,
        RevocationReason::Recalled,
        RevocationReason::Lost,
        RevocationReason::Stolen,
        RevocationReason::Compromised,
        RevocationReason::Superseded,
        RevocationReason::IssuerCompromised,
        RevocationReason::GivenUp,
    ];

    /// From the CRLReason that a certificate's own holder gives. `None` for what is not a holder's to say: that an authority
    /// is compromised (2, 10), and that it is for a while only (6, 8), because no revocation is taken back here.
    pub const fn by_holder(crl_reason: u8) -> Option<Self> {
        match crl_reason {
            1 => Some(RevocationReason::Compromised),
            3 => Some(RevocationReason::Transferred),
            4 => Some(RevocationReason::Superseded),
            // unspecified, cessationOfOperation, privilegeWithdrawn
            0 | 5 | 9 => Some(RevocationReason::GivenUp),
            _ => None,
        }
    }

    /// CRLReason, RFC 5280 5.3.1.
    pub const fn crl_reason(self) -> u8 {
        match self {
            RevocationReason::Compromised | RevocationReason::Lost | RevocationReason::Stolen => 1,
            RevocationReason::IssuerCompromised => 2,
            RevocationReason::Transferred => 3,
            RevocationReason::Superseded => 4,
            RevocationReason::Retired | RevocationReason::Recalled | RevocationReason::GivenUp => 5,
        }
    }

    /// As it stands in events and commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            RevocationReason::Retired => "retired",
            RevocationReason::Compromised => "compromised",
            RevocationReason::Superseded => "superseded",
            RevocationReason::Transferred => "transferred",
            RevocationReason::Recalled => "recalled",
            RevocationReason::Lost => "lost",
            RevocationReason::Stolen => "stolen",
            RevocationReason::IssuerCompromised => "issuer_compromised",
            RevocationReason::GivenUp => "given_up",
        }
    }
}

impl std::fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for RevocationReason {
    type Err = crate::text::FieldError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        RevocationReason::ALL.into_iter().find(|r| r.as_str() == text).ok_or_else(|| {
            let all: Vec<&str> = RevocationReason::ALL.into_iter().map(RevocationReason::as_str).collect();
            crate::text::FieldError::new("reason", &format!("must be one of {}", all.join(", ")), text)
        })
    }
}

/// Why an alarm was raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmCode {
    /// A hardware key that belongs to another record.
    HardwareKeyReused,
    /// An identity that tried to come back after retirement.
    RetiredIdentityUsed,
    /// A key copied to other hardware, or a key not in the TPM that it claims.
    CloneSuspected,
    /// Evidence that was used before.
    EvidenceReplayed,
    /// Evidence whose signature, nonce or structure does not hold.
    EvidenceBroken,
    /// The key of a certificate that was revoked, or that a newer one has replaced, was used to ask for another.
    RevokedCertificateUsed,
    /// A certificate was not renewed in time.
    RenewalLate,
    /// Its maker revoked the certificate of its hardware.
    MakerRevoked,
    /// Whether its maker revoked that certificate is not known: the maker's list is out of date.
    MakerListStale,
}

/// What a request file proves itself by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileProof {
    /// Evidence that answers a challenge file: it was made after the challenge.
    Challenge,
    /// A one-time secret: somebody who knew it made the request. When, it does not say.
    Secret,
}

impl std::fmt::Display for FileProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FileProof::Challenge => "challenge",
            FileProof::Secret => "secret",
        })
    }
}

/// The outcome of one refusal probe (I11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Enforcement point, for example `token`, `gateway mtls`, `gateway fhir`, `renewal`.
    pub point: String,
    /// Which old credential was offered: certificate serial or token digest.
    pub credential: String,
    /// Whether it was refused.
    pub refused: bool,
    /// What the point answered.
    pub answer: String,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    // -- device stream --
    /// Registered by one person.
    DeviceRegistered { record: DeviceRecord, statement: SignedStatement },
    /// Approved in one role.
    DeviceApproved { role: Role, statement: SignedStatement },
    /// The hardware key is now this record's, for ever (I2).
    IdentityBound {
        ek_sha256: Digest,
        ek_certificate_sha256: Digest,
        endorsement_sha256: Digest,
        ak_public: Blob,
        ak_name_sha256: Digest,
        grade: Option<String>,
    },
    /// What is about to be signed; the act that follows cannot be undone.
    IssuanceIntended {
        issuance: IssuanceId,
        protocol: String,
        profile: String,
        serial: String,
        spki_sha256: Digest,
        tbs_sha256: Digest,
        evidence_sha256: Digest,
    },
    /// The signature was made and is recorded here before anyone sees it.
    CertificateIssued {
        issuance: IssuanceId,
        serial: String,
        certificate: Blob,
        certificate_sha256: Digest,
        spki_sha256: Digest,
        not_before: Timestamp,
        not_after: Timestamp,
    },
    /// An intent that will never be a certificate (crash or refusal between record and act).
    IssuanceAbandoned { issuance: IssuanceId, why: String },
    /// A certificate is no longer accepted.
    CertificateRevoked { serial: String, reason: RevocationReason },
    /// Evidence was appraised. `verdict` and `reasons` are the device's trust after it.
    EvidenceAppraised {
        appraisal: Appraisal,
        evidence_sha256: Digest,
        /// What was asked: `attest` or `enroll`; part of the nonce.
        purpose: String,
        nonce: Digest,
        /// TLS channel binding (RFC 9266) that the nonce was made with, so that it can be recomputed offline.
        channel: Digest,
        checkpoint_size: u64,
        checkpoint_root: Digest,
        boot: BootState,
        firmware: Option<ReleaseId>,
        model: Option<ReleaseId>,
        findings: Vec<Reason>,
        verdict: Verdict,
        reasons: Vec<Reason>,
        fresh_until: Timestamp,
        untrusted_after: Timestamp,
    },
    /// First complete proof: the device may go live.
    DeviceValidated {},
    /// Live.
    DeviceInService {},
    /// Trust changed for a cause other than an appraisal (time, release, certificate).
    TrustChanged { from: Verdict, to: Verdict, reasons: Vec<Reason> },
    /// Cut off: by a person (`statement`) or by contraindicated evidence.
    DeviceQuarantined { reasons: Vec<Reason>, statement: Option<SignedStatement> },
    /// A person lets the device prove itself again.
    QuarantineReleased { statement: SignedStatement },
    /// Retirement has begun; from here every credential is refused.
    RetirementBegun { statement: SignedStatement },
    /// Old credentials were offered at every enforcement point.
    RefusalProbed { probes: Vec<Probe> },
    /// Terminal.
    DeviceRetired {},
    /// Someone must look at this.
    AlarmRaised { code: AlarmCode, detail: String },
    /// A token was granted.
    TokenGranted { token_sha256: Digest, certificate_sha256: Digest, scopes: Vec<String>, expires: Timestamp },
    /// Evidence was exported; closes the chain at this point, so that nothing before it can be left out.
    EvidenceExported { claim_sha256: Digest, statement: SignedStatement },

    /// A hardware key that is no TPM's endorsement key is now this record's, for ever (I2): a maker's device certificate
    /// (IDevID) or an attested key.
    MakerKeyBound {
        /// `idevid`, or the attestation statement's format.
        format: String,
        key_sha256: Digest,
        certificate_sha256: Digest,
        endorsement_sha256: Digest,
        grade: Option<String>,
    },
    /// The device's key lies in a file, for all that is known; a person's one-time secret vouched for it.
    SoftKeyAccepted { secret: SecretId },
    /// A person had a one-time enrollment secret made for this record. The secret itself is nowhere.
    EnrollmentSecretIssued { secret: SecretId, expires: Timestamp, statement: SignedStatement },
    /// It was used, for this key.
    EnrollmentSecretUsed { secret: SecretId, spki_sha256: Digest },
    /// A person ordered a revocation: of these certificates, or (none named) of the device. What it revokes follows.
    RevocationOrdered { reason: RevocationReason, serials: Vec<String>, statement: SignedStatement },
    /// A certificate was seen in use for the first time.
    CertificateSeen { serial: String },
    /// A person lets the device renew although its last certificate has ended, until then.
    LateRenewalAllowed { until: Timestamp, statement: SignedStatement },
    /// Its hardware spoke for it by these certificates of its maker, its own first; the makers' lists that were asked about them.
    MakerCertificatesShown {
        endorsement_sha256: Digest,
        certificates: Vec<MakerCertificate>,
        lists: Vec<Digest>,
    },
    /// A list by its maker names one of those certificates.
    MakerRevocationFound {
        list_sha256: Digest,
        issuer_sha256: Digest,
        serial: String,
        revoked_at: Option<Timestamp>,
        reason: MakerReason,
    },

    /// An ACME account speaks for this device or application from now on (RFC 8555 7.3.4).
    AcmeAccountBound { account_sha256: Digest, jwk: String },
    /// Its owner ended it, or (`successor`) gave it another key, which was bound just before (RFC 8555 7.3.5, 7.3.6).
    AcmeAccountEnded { account_sha256: Digest, successor: Option<Digest> },

    /// A person handed in a request file that the device, which has no network, had made. It counts once; what it led to
    /// follows.
    RequestFileHandedIn {
        request_sha256: Digest,
        proof: FileProof,
        expires: Timestamp,
        statement: SignedStatement,
    },

    // -- application stream (issuance, revocation and secrets as in a device's) --
    /// Registered by one person.
    ApplicationRegistered { record: ApplicationRecord, statement: SignedStatement },
    /// Approved for security by another.
    ApplicationApproved { statement: SignedStatement },
    /// Ended.
    ApplicationRemoved { statement: SignedStatement },

    // -- release stream --
    /// Proposed.
    ReleaseProposed { record: ReleaseRecord, statement: SignedStatement },
    /// Approved by a second person.
    ReleaseApproved { statement: SignedStatement },
    /// Withdrawn.
    ReleaseWithdrawn { statement: SignedStatement },

    // -- operator stream --
    /// Added. `statement` is absent only for the first operator, admitted by the bootstrap secret.
    OperatorAdded { name: String, roles: Vec<Role>, public_key: Digest, statement: Option<SignedStatement> },
    /// Rights ended.
    OperatorRemoved { statement: SignedStatement },
    /// Their key was replaced by another admin: the person is the same, the old key counts for nothing recorded after.
    OperatorKeyReplaced { public_key: Digest, statement: SignedStatement },

    // -- gateway stream --
    /// Admitted. `statement` is absent only for the gateway that `lanyard up` runs in the same process.
    GatewayAdded {
        site: String,
        vkey: String,
        spki_sha256: Digest,
        names: Vec<String>,
        statement: Option<SignedStatement>,
    },
    /// A gateway's TLS certificate.
    GatewayCertified { serial: String, certificate: Blob, certificate_sha256: Digest, not_after: Timestamp },
    /// The gateway's decision log, as of this checkpoint, lies under the main log.
    GatewayCheckpointAnchored {
        gateway: GatewayId,
        size: u64,
        note: String,
        note_sha256: Digest,
        vkey: String,
    },

    /// Ended: its certificates and its feed are no longer accepted, for ever.
    GatewayRemoved {
        /// Why; retired without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<RevocationReason>,
        statement: SignedStatement,
    },

    // -- system stream --
    /// First event of a log.
    LedgerStarted { origin: String, vkey: String, policy: String },
    /// An authority was created.
    AuthorityCreated {
        name: String,
        certificate: Blob,
        certificate_sha256: Digest,
        /// Where the key is, of those that nobody ordered (the first start's).
        #[serde(default, skip_serializing_if = "KeyStore::is_sealed")]
        keys: KeyStore,
    },
    /// The control plane's own TLS certificate; its intent stands before it.
    ServerCertified {
        issuance: IssuanceId,
        serial: String,
        certificate: Blob,
        certificate_sha256: Digest,
        not_after: Timestamp,
    },
    /// The certificate of an authority's OCSP responder; its intent stands before it.
    ResponderCertified {
        issuance: IssuanceId,
        authority: String,
        serial: String,
        certificate: Blob,
        certificate_sha256: Digest,
        not_after: Timestamp,
    },
    /// The certificate of the RA that answers SCEP for a legacy authority; its intent stands before it.
    RaCertified {
        issuance: IssuanceId,
        authority: String,
        serial: String,
        certificate: Blob,
        certificate_sha256: Digest,
        not_after: Timestamp,
    },
    /// A person ordered a new authority; its certificate follows.
    AuthorityPlanned {
        name: String,
        purpose: AuthorityPurpose,
        site: Option<String>,
        /// Where its key is made.
        #[serde(default, skip_serializing_if = "KeyStore::is_sealed")]
        keys: KeyStore,
        /// The root (DER) of somebody else that will stand above it; ours signs without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        under: Option<Blob>,
        statement: SignedStatement,
    },
    /// A certificate by somebody else for an authority that was ordered so; `above` is its issuer first, the root last.
    AuthorityImported {
        name: String,
        certificate: Blob,
        certificate_sha256: Digest,
        above: Vec<Blob>,
        statement: SignedStatement,
    },
    /// From here on it issues, in the place of the one before it.
    AuthorityActivated { name: String, statement: SignedStatement },
    /// It is not trusted any more.
    AuthorityRetired { name: String, statement: SignedStatement },
    /// A certificate profile was proposed: a template's text (docs/pki-profiles.md).
    ProfileProposed { name: String, text: String, statement: SignedStatement },
    /// That text is in force.
    ProfileApproved { name: String, text_sha256: Digest, statement: SignedStatement },
    /// A person said that an authority's key is in other hands, or may be. Nothing happens yet.
    AuthorityCompromiseDeclared {
        name: String,
        successor: String,
        plan: CompromisePlan,
        statement: SignedStatement,
    },
    /// Another person set that in force: it issues nothing more, and what it issued is replaced.
    AuthorityCompromiseConfirmed {
        name: String,
        successor: String,
        plan: CompromisePlan,
        statement: SignedStatement,
    },
    /// Nothing by a compromised authority is in use any more; its own certificate is revoked, and all that is left of it.
    AuthorityRevoked { name: String, serial: String },
    /// From here on these are a site's maintenance windows.
    MaintenanceSet { site: String, windows: Vec<Window>, statement: SignedStatement },
    /// A maker's endorsement authority was accepted.
    EndorsementAdded {
        certificate: Blob,
        certificate_sha256: Digest,
        grade: Option<String>,
        /// What for; see [`crate::endorsement::accepted_for`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        uses: Vec<EndorsementUse>,
        statement: SignedStatement,
    },
    /// A list of certificates that a maker revoked was taken, in the place of the one before it of the same issuer and scope.
    MakerListTaken {
        /// The accepted authority that it is of or below.
        authority_sha256: Digest,
        /// Between the list's issuer, which comes first, and that authority.
        issuers: Vec<Blob>,
        /// The list itself, the maker's own bytes, is in the statement and nowhere else.
        list_sha256: Digest,
        number: Option<String>,
        this_update: Timestamp,
        next_update: Option<Timestamp>,
        statement: SignedStatement,
    },
    /// A person wants this server's certificate watched, or changed what is written down about it.
    ServerWatched { record: WatchRecord, statement: SignedStatement },
    /// And no longer.
    ServerUnwatched { address: String, statement: SignedStatement },
    /// A watched server shows this certificate from now on.
    ServerSeen { address: String, certificate: SeenCertificate },
    /// The owner of a watched server must look at it.
    WatchAlarmRaised { address: String, alarm: WatchAlarm, certificate_sha256: Digest, detail: String },
    /// A payload was erased; its leaf stays.
    PayloadErased { pos: u64, legal_basis: String, statement: SignedStatement },
    /// Nothing was recorded for a minute; keeps checkpoints recent.
    LogIdle {},
    /// Reserved for the epoch map of design §6: commits to device -> (last position, state hash).
    EpochSealed { size: u64, map_root: Digest, time_source: String },

    // -- gateway decision logs (the sub-log of a gateway; stream = device) --
    /// One access decision.
    AccessDecided(Box<AccessRecord>),
    /// What the system behind the gateway did with an allowed request.
    AccessCompleted {
        decision: crate::id::DecisionId,
        status: u16,
        location: Option<String>,
        response_sha256: Digest,
    },
}

/// One access decision of a gateway, as recorded before the request is forwarded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessRecord {
    /// Its id; also in the Provenance.
    pub decision: crate::id::DecisionId,
    /// Which gateway decided.
    pub gateway: GatewayId,
    /// Which device asked; absent when the peer could not be identified.
    pub device: Option<DeviceId>,
    /// Thumbprint of its certificate.
    pub certificate_sha256: Option<Digest>,
    /// `fhir`, later `dicom`, `hl7v2`.
    pub path: String,
    /// For example `create Observation`.
    pub interaction: String,
    /// Allowed or not.
    pub allowed: bool,
    /// The device's verdict at that moment.
    pub verdict: Option<Verdict>,
    /// Why.
    pub reasons: Vec<Reason>,
    /// Which rules decided (I4).
    pub policy: String,
    /// Position in the main log of the appraisal it rests on.
    pub evidence_pos: Option<u64>,
    /// Digest of that evidence.
    pub evidence_sha256: Option<Digest>,
    /// Firmware release the device ran.
    pub firmware: Option<ReleaseId>,
    /// Model release the device ran.
    pub model: Option<ReleaseId>,
    /// Position in the main log up to which the gateway had heard.
    pub heard_pos: u64,
    /// SHA-256 of the request body as received.
    pub request_sha256: Option<Digest>,
    /// SHA-256 of what was sent on.
    pub forwarded_sha256: Option<Digest>,
}

/// Why a payload is not an event.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Not our JSON.
    #[error("event payload cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Payload and header disagree.
    #[error("event payload is of kind {payload}, its header says {header}")]
    KindMismatch {
        /// Code that the payload has.
        payload: u16,
        /// Code in the leaf header.
        header: u16,
    },
}

impl Event {
    /// The code in the leaf header. Never reuse one.
    pub const fn kind(&self) -> u16 {
        match self {
            Event::DeviceRegistered { .. } => 1,
            Event::DeviceApproved { .. } => 2,
            Event::IdentityBound { .. } => 3,
            Event::IssuanceIntended { .. } => 4,
            Event::CertificateIssued { .. } => 5,
            Event::IssuanceAbandoned { .. } => 6,
            Event::CertificateRevoked { .. } => 7,
            Event::EvidenceAppraised { .. } => 8,
            Event::DeviceValidated {} => 9,
            Event::DeviceInService {} => 10,
            Event::TrustChanged { .. } => 11,
            Event::DeviceQuarantined { .. } => 12,
            Event::QuarantineReleased { .. } => 13,
            Event::RetirementBegun { .. } => 14,
            Event::RefusalProbed { .. } => 15,
            Event::DeviceRetired {} => 16,
            Event::AlarmRaised { .. } => 17,
            Event::TokenGranted { .. } => 18,
            Event::EvidenceExported { .. } => 19,
            Event::MakerKeyBound { .. } => 20,
            Event::SoftKeyAccepted { .. } => 21,
            Event::EnrollmentSecretIssued { .. } => 22,
            Event::EnrollmentSecretUsed { .. } => 23,
            Event::RevocationOrdered { .. } => 24,
            Event::CertificateSeen { .. } => 25,
            Event::LateRenewalAllowed { .. } => 26,
            Event::AcmeAccountBound { .. } => 27,
            Event::AcmeAccountEnded { .. } => 28,
            Event::MakerCertificatesShown { .. } => 29,
            Event::MakerRevocationFound { .. } => 30,
            Event::RequestFileHandedIn { .. } => 32,
            Event::ReleaseProposed { .. } => 40,
            Event::ReleaseApproved { .. } => 41,
            Event::ReleaseWithdrawn { .. } => 42,
            Event::OperatorAdded { .. } => 60,
            Event::OperatorRemoved { .. } => 61,
            Event::OperatorKeyReplaced { .. } => 62,
            Event::GatewayAdded { .. } => 80,
            Event::GatewayCertified { .. } => 81,
            Event::GatewayCheckpointAnchored { .. } => 82,
            Event::GatewayRemoved { .. } => 83,
            Event::ApplicationRegistered { .. } => 90,
            Event::ApplicationApproved { .. } => 91,
            Event::ApplicationRemoved { .. } => 92,
            Event::ServerWatched { .. } => 94,
            Event::ServerUnwatched { .. } => 95,
            Event::ServerSeen { .. } => 96,
            Event::WatchAlarmRaised { .. } => 97,
            Event::LedgerStarted { .. } => 100,
            Event::AuthorityCreated { .. } => 101,
            Event::EndorsementAdded { .. } => 102,
            Event::PayloadErased { .. } => 103,
            Event::EpochSealed { .. } => 104,
            Event::LogIdle {} => 105,
            Event::ServerCertified { .. } => 106,
            Event::AuthorityPlanned { .. } => 107,
            Event::AuthorityActivated { .. } => 108,
            Event::AuthorityRetired { .. } => 109,
            Event::ProfileProposed { .. } => 110,
            Event::ProfileApproved { .. } => 111,
            Event::ResponderCertified { .. } => 112,
            Event::RaCertified { .. } => 113,
            Event::AuthorityImported { .. } => 114,
            Event::MakerListTaken { .. } => 115,
            Event::AuthorityCompromiseDeclared { .. } => 116,
            Event::AuthorityCompromiseConfirmed { .. } => 117,
            Event::AuthorityRevoked { .. } => 118,
            Event::MaintenanceSet { .. } => 119,
            Event::AccessDecided(_) => 120,
            Event::AccessCompleted { .. } => 121,
        }
    }

    /// The person's signed decision that the event carries. None for what no person decides, and for the three that a
    /// person need not have decided (the first operator, the gateway in the same process, a cut by evidence).
    pub const fn statement(&self) -> Option<&SignedStatement> {
        match self {
            Event::DeviceRegistered { statement, .. }
            | Event::DeviceApproved { statement, .. }
            | Event::QuarantineReleased { statement }
            | Event::RetirementBegun { statement }
            | Event::EvidenceExported { statement, .. }
            | Event::EnrollmentSecretIssued { statement, .. }
            | Event::RevocationOrdered { statement, .. }
            | Event::LateRenewalAllowed { statement, .. }
            | Event::RequestFileHandedIn { statement, .. }
            | Event::ApplicationRegistered { statement, .. }
            | Event::ApplicationApproved { statement }
            | Event::ApplicationRemoved { statement }
            | Event::ReleaseProposed { statement, .. }
            | Event::ReleaseApproved { statement }
            | Event::ReleaseWithdrawn { statement }
            | Event::OperatorRemoved { statement }
            | Event::OperatorKeyReplaced { statement, .. }
            | Event::EndorsementAdded { statement, .. }
            | Event::MakerListTaken { statement, .. }
            | Event::AuthorityPlanned { statement, .. }
            | Event::AuthorityImported { statement, .. }
            | Event::AuthorityActivated { statement, .. }
            | Event::AuthorityRetired { statement, .. }
            | Event::AuthorityCompromiseDeclared { statement, .. }
            | Event::MaintenanceSet { statement, .. }
            | Event::AuthorityCompromiseConfirmed { statement, .. }
            | Event::ProfileProposed { statement, .. }
            | Event::ProfileApproved { statement, .. }
            | Event::GatewayRemoved { statement, .. }
            | Event::ServerWatched { statement, .. }
            | Event::ServerUnwatched { statement, .. }
            | Event::PayloadErased { statement, .. } => Some(statement),
            Event::DeviceQuarantined { statement, .. }
            | Event::OperatorAdded { statement, .. }
            | Event::GatewayAdded { statement, .. } => statement.as_ref(),
            _ => None,
        }
    }

    /// The payload bytes as they are committed to.
    pub fn to_payload(&self) -> Result<Vec<u8>, EventError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Reads a payload back, and checks that it is what the header says.
    pub fn from_payload(kind: u16, payload: &[u8]) -> Result<Self, EventError> {
        let event: Event = serde_json::from_slice(payload)?;
        if event.kind() != kind {
            return Err(EventError::KindMismatch { payload: event.kind(), header: kind });
        }
        Ok(event)
    }
}
