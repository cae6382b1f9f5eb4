//! Statements: what an operator signs. The exact text and its signature stand in the event, so that anyone can
//! check later who decided what, and the server cannot make one up.

use serde::{Deserialize, Serialize};

use crate::application::ApplicationRecord;
use crate::authority::{AuthorityPurpose, KeyStore};
use crate::compromise::CompromisePlan;
use crate::endorsement::EndorsementUse;
use crate::event::RevocationReason;
use crate::id::{ApplicationId, DeviceId, GatewayId, OperatorId, ReleaseId, SecretId};
use crate::maintenance::Window;
use crate::operator::Role;
use crate::record::DeviceRecord;
use crate::release::ReleaseRecord;
use crate::text::{Blob, Digest};
use crate::time::Timestamp;
use crate::watched::WatchRecord;

/// What is signed: these bytes, then the statement's JSON text.
pub const SIGNATURE_CONTEXT: &[u8] = b"lanyard statement v1\n";

/// Longest statement text in bytes: a golden event log of 4,096 events of some 120 bytes, doubled.
pub const MAX_STATEMENT: usize = 1 << 20;

/// One decision of one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The log it is meant for (its origin), so that it cannot be replayed at another hospital.
    pub log: String,
    /// Who signs.
    pub operator: OperatorId,
    /// When, by the signer's clock.
    pub at: Timestamp,
    /// 16 random bytes, so that two equal decisions are two statements and a replay is seen.
    pub nonce: Digest,
    /// Why, in the person's words; no patient data.
    pub reason: String,
    /// What is decided.
    pub action: Action,
}

/// What an operator can decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Add an operator.
    AddOperator {
        /// The new operator.
        operator: OperatorId,
        /// Display name.
        name: String,
        /// Roles.
        roles: Vec<Role>,
        /// Ed25519 public key.
        public_key: Digest,
    },
    /// Take an operator's rights away.
    RemoveOperator {
        /// Whose.
        operator: OperatorId,
    },
    /// Give an operator, who stays the same person, another key.
    ReplaceOperatorKey {
        /// Whose; never the signer's own.
        operator: OperatorId,
        /// Their new Ed25519 public key.
        public_key: Digest,
    },
    /// Register a device.
    RegisterDevice {
        /// Its new id.
        device: DeviceId,
        /// Its record.
        record: DeviceRecord,
    },
    /// Approve a registered device in one role.
    ApproveDevice {
        /// Which.
        device: DeviceId,
        /// As whom: security or biomedical.
        role: Role,
    },
    /// Cut a device off.
    QuarantineDevice {
        /// Which.
        device: DeviceId,
    },
    /// Let a quarantined device prove itself again.
    ReleaseDevice {
        /// Which.
        device: DeviceId,
    },
    /// Begin a device's retirement; its end is proven by refusal probes.
    RetireDevice {
        /// Which.
        device: DeviceId,
    },
    /// Have a one-time enrollment secret made for a device.
    IssueSecret {
        /// Which.
        device: DeviceId,
        /// Its new id.
        secret: SecretId,
        /// Until when it is good.
        expires: Timestamp,
    },
    /// Revoke a device: every certificate now, and no new one until it is released.
    RevokeDevice {
        /// Which.
        device: DeviceId,
        /// Why.
        reason: RevocationReason,
    },
    /// Revoke single certificates of a device; it may get others.
    RevokeCertificates {
        /// Whose.
        device: DeviceId,
        /// Serial numbers, lower-case hex.
        serials: Vec<String>,
        /// Why.
        reason: RevocationReason,
    },
    /// Let a device renew although its last certificate has ended.
    AllowLateRenewal {
        /// Which.
        device: DeviceId,
        /// Until when.
        until: Timestamp,
    },
    /// Register an application.
    RegisterApplication {
        /// Its new id.
        application: ApplicationId,
        /// Its record.
        record: ApplicationRecord,
    },
    /// Approve a registered application for security.
    ApproveApplication {
        /// Which.
        application: ApplicationId,
    },
    /// End an application: its certificates are revoked.
    RemoveApplication {
        /// Which.
        application: ApplicationId,
    },
    /// Have a one-time secret made for an application (ACME external account binding).
    IssueApplicationSecret {
        /// Which.
        application: ApplicationId,
        /// Its new id.
        secret: SecretId,
        /// Until when it is good.
        expires: Timestamp,
    },
    /// Revoke certificates of an application.
    RevokeApplicationCertificates {
        /// Whose.
        application: ApplicationId,
        /// Serial numbers, lower-case hex.
        serials: Vec<String>,
        /// Why.
        reason: RevocationReason,
    },
    /// Propose a firmware or model release.
    ProposeRelease {
        /// Its new id.
        release: ReleaseId,
        /// Its content.
        record: ReleaseRecord,
    },
    /// Approve a release that someone else proposed.
    ApproveRelease {
        /// Which.
        release: ReleaseId,
    },
    /// Withdraw a release: devices that run it lose trust.
    WithdrawRelease {
        /// Which.
        release: ReleaseId,
    },
    /// Accept a maker's endorsement authority (EK certificates chain to it).
    AddEndorsement {
        /// DER certificate.
        certificate: Blob,
        /// Certified grade of the roots of trust it endorses (FIPS 140, Common Criteria), when there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grade: Option<String>,
        /// What for; endorsement keys and factory certificates when none is named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        uses: Vec<EndorsementUse>,
    },
    /// Take a list of certificates that a maker revoked.
    TakeMakerList {
        /// The accepted authority that it is of or below.
        authority_sha256: Digest,
        /// DER certificates between the list's issuer, which comes first, and that authority; none when the authority signed it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        issuers: Vec<Blob>,
        /// A CRL in DER, or a status list as JSON.
        list: Blob,
    },
    /// Create an issuing authority (a new generation, or one for a site or a purpose). It is trusted, and issues nothing yet.
    CreateAuthority {
        /// Its name, never used before.
        name: String,
        /// What it is for.
        purpose: AuthorityPurpose,
        /// The site that it issues for; all without.
        site: Option<String>,
        /// Where its key is made.
        #[serde(default, skip_serializing_if = "KeyStore::is_sealed")]
        keys: KeyStore,
    },
    /// Make the key of an authority that somebody else's CA is to certify, and the request for it.
    RequestAuthority {
        /// Its name, never used before.
        name: String,
        /// What it is for; a root of ours can stand below another too.
        purpose: AuthorityPurpose,
        /// The site that it issues for; all without.
        site: Option<String>,
        /// Where its key is made.
        #[serde(default, skip_serializing_if = "KeyStore::is_sealed")]
        keys: KeyStore,
        /// The root (DER) that its certificate must end in, and that will be trusted.
        under: Blob,
    },
    /// Take the certificate that somebody else's CA made for that request.
    ImportAuthority {
        /// Which.
        name: String,
        /// Its certificate, DER.
        certificate: Blob,
        /// Those above, DER: its issuer first, the root last.
        above: Vec<Blob>,
    },
    /// Let an authority issue, in the place of the one of the same purpose and site before it.
    ActivateAuthority {
        /// Which.
        name: String,
    },
    /// End the trust in an authority.
    RetireAuthority {
        /// Which.
        name: String,
    },
    /// Say that the key of an authority is, or may be, in other hands, and what shall become of its certificates.
    DeclareCompromise {
        /// Which.
        name: String,
        /// The active authority that issues in its place.
        successor: String,
        /// How.
        plan: CompromisePlan,
    },
    /// Set in force what another person declared, in the same words.
    ConfirmCompromise {
        /// Which.
        name: String,
        /// The active authority that issues in its place.
        successor: String,
        /// How.
        plan: CompromisePlan,
    },
    /// Say when certificates of a site's devices may be replaced.
    SetMaintenance {
        /// Which site.
        site: String,
        /// Its windows; none to have none.
        windows: Vec<Window>,
    },
    /// Propose a certificate profile.
    ProposeProfile {
        /// A template's text.
        text: String,
    },
    /// Approve a proposed certificate profile.
    ApproveProfile {
        /// Its name.
        name: String,
        /// SHA-256 of the text that is approved.
        text_sha256: Digest,
    },
    /// Admit a gateway.
    AddGateway {
        /// Its new id.
        gateway: GatewayId,
        /// The site whose devices it may know.
        site: String,
        /// SHA-256 of the TLS key's SubjectPublicKeyInfo.
        spki_sha256: Digest,
        /// Its decision log's verifier key (C2SP vkey).
        vkey: String,
        /// DNS names and addresses it serves.
        names: Vec<String>,
    },
    /// End a gateway: stolen, replaced or out of use. Its certificates are revoked.
    RemoveGateway {
        /// Which.
        gateway: GatewayId,
        /// Why; retired without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<RevocationReason>,
    },
    /// Hand in a request file that a device without network made.
    HandInRequest {
        /// Whose it is.
        device: DeviceId,
        /// SHA-256 of what the device signed in it.
        request_sha256: Digest,
    },
    /// Have a server's certificate watched, or change what is written down about it.
    WatchServer {
        /// The record.
        record: WatchRecord,
    },
    /// No longer.
    UnwatchServer {
        /// `host:port`.
        address: String,
    },
    /// Delete the payload of one event.
    ErasePayload {
        /// Position in the log.
        pos: u64,
        /// Why the law asks for it.
        legal_basis: String,
    },
    /// Export evidence about a device; closes its chain at this point.
    ExportEvidence {
        /// Which.
        device: DeviceId,
        /// About what: SHA-256 of the claim.
        claim_sha256: Digest,
    },
}

/// A statement as it travels and as it is kept: exact text, signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedStatement {
    /// JSON text of a [`Statement`], byte for byte as signed.
    pub text: String,
    /// Ed25519 signature over [`SIGNATURE_CONTEXT`] and the text.
    pub signature: Blob,
}

/// Why a statement is refused before any rule is asked.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// Too long.
    #[error("statement has {0} bytes, at most {MAX_STATEMENT} are read")]
    TooLong(usize),
    /// Not the JSON we know.
    #[error("statement cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl SignedStatement {
    /// The statement inside. Says nothing about the signature.
    pub fn parse(&self) -> Result<Statement, StatementError> {
        if self.text.len() > MAX_STATEMENT {
            return Err(StatementError::TooLong(self.text.len()));
        }
        Ok(serde_json::from_str(&self.text)?)
    }

    /// The bytes that the signature covers.
    pub fn signed_bytes(&self) -> Vec<u8> {
        [SIGNATURE_CONTEXT, self.text.as_bytes()].concat()
    }
}
