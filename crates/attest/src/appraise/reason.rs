//! Reasons: a stable code for machines, a sentence for a nurse manager.
//!
//! To add one: a variant with its family and code, and where it is raised its sentence.

use serde::Serialize;

use crate::check::CheckName;

/// How much a reason weighs; the order is the order in which reasons are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Something to look at.
    Notice,
    /// Good evidence of something that is not approved.
    Policy,
    /// The evidence or the policy proves nothing.
    Evidence,
}

/// Stable code of a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// There was nothing to compare with.
    PolicyChecksNothing,
    /// The attestation key is not fit to attest.
    AttestationKeyUnfit,
    /// The quote is not signed by the identity's attestation key.
    QuoteSignatureInvalid,
    /// The signed bytes are not a quote.
    QuoteMalformed,
    /// Another nonce: made earlier, or for another device, channel or purpose.
    NonceMismatch,
    /// The quote does not cover the PCRs reported or required.
    PcrSelectionMismatch,
    /// The reported values are not those quoted.
    PcrDigestMismatch,
    /// Counters or clock went back.
    CountersWentBack,
    /// The event log does not parse.
    EventLogMalformed,
    /// The event log does not explain the quoted values.
    EventLogMismatch,
    /// No release has these measurements.
    FirmwareUnapproved,
    /// The release was withdrawn.
    FirmwareWithdrawn,
    /// The release is below the minimum security version.
    FirmwareDowngraded,
    /// The release's approval window is over.
    FirmwareWindowOver,
    /// A model, or something else beside the firmware, that no release knows.
    ModelUnapproved,
    /// The model release was withdrawn.
    ModelWithdrawn,
    /// No model was measured.
    ModelMissing,
    /// A model on a device that has none.
    ModelUnexpected,
    /// The model's approval window is over.
    ModelWindowOver,
}

impl ReasonCode {
    /// The code as it is stored.
    pub const fn code(self) -> &'static str {
        match self {
            Self::PolicyChecksNothing => "policy_checks_nothing",
            Self::AttestationKeyUnfit => "attestation_key_unfit",
            Self::QuoteSignatureInvalid => "quote_signature_invalid",
            Self::QuoteMalformed => "quote_malformed",
            Self::NonceMismatch => "nonce_mismatch",
            Self::PcrSelectionMismatch => "pcr_selection_mismatch",
            Self::PcrDigestMismatch => "pcr_digest_mismatch",
            Self::CountersWentBack => "counters_went_back",
            Self::EventLogMalformed => "event_log_malformed",
            Self::EventLogMismatch => "event_log_mismatch",
            Self::FirmwareUnapproved => "firmware_unapproved",
            Self::FirmwareWithdrawn => "firmware_withdrawn",
            Self::FirmwareDowngraded => "firmware_downgraded",
            Self::FirmwareWindowOver => "firmware_window_over",
            Self::ModelUnapproved => "model_unapproved",
            Self::ModelWithdrawn => "model_withdrawn",
            Self::ModelMissing => "model_missing",
            Self::ModelUnexpected => "model_unexpected",
            Self::ModelWindowOver => "model_window_over",
        }
    }

    /// How much it weighs.
    pub const fn family(self) -> Family {
        match self {
            Self::PolicyChecksNothing
            | Self::AttestationKeyUnfit
            | Self::QuoteSignatureInvalid
            | Self::QuoteMalformed
            | Self::NonceMismatch
            | Self::PcrSelectionMismatch
            | Self::PcrDigestMismatch
            | Self::CountersWentBack => Family::Evidence,
            // The quote is the chip's own word, now: measurements that no record explains are a state nobody approved,
            // whether the record or the device was tampered with.
            Self::EventLogMalformed
            | Self::EventLogMismatch
            | Self::FirmwareUnapproved
            | Self::FirmwareWithdrawn
            | Self::FirmwareDowngraded
            | Self::ModelUnapproved
            | Self::ModelWithdrawn
            | Self::ModelMissing
            | Self::ModelUnexpected => Family::Policy,
            Self::FirmwareWindowOver | Self::ModelWindowOver => Family::Notice,
        }
    }

    /// Whether it looks like old evidence sent again.
    pub const fn is_replay(self) -> bool {
        matches!(self, Self::NonceMismatch | Self::CountersWentBack)
    }
}

/// A reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Code.
    pub code: ReasonCode,
    /// Sentence.
    pub text: String,
}

impl From<Reason> for lanyard_domain::trust::Reason {
    fn from(reason: Reason) -> Self {
        Self::new(reason.code.code(), reason.text)
    }
}

/// The reason behind a failed check of the quote.
pub(super) const fn of_quote_check(name: CheckName) -> (ReasonCode, &'static str) {
    match name {
        CheckName::AttestationKey => (
            ReasonCode::AttestationKeyUnfit,
            "The key that should vouch for the device is not one that only a security chip can use.",
        ),
        CheckName::QuoteSignature => (
            ReasonCode::QuoteSignatureInvalid,
            "The proof was not signed by this device's security chip, or was changed on the way.",
        ),
        CheckName::Freshness => (
            ReasonCode::NonceMismatch,
            "The proof does not answer the current question: it was made earlier, or for another device or \
             connection.",
        ),
        CheckName::PcrSelection | CheckName::PcrCoverage => (
            ReasonCode::PcrSelectionMismatch,
            "The proof does not cover everything that must be measured on this device.",
        ),
        CheckName::PcrDigest => (
            ReasonCode::PcrDigestMismatch,
            "The reported measurements are not the ones that the security chip signed.",
        ),
        _ => (ReasonCode::QuoteMalformed, "What the device sent is not a proof of its state."),
    }
}
