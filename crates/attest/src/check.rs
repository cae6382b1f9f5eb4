//! A named check and its outcome: the smallest unit that a person can read in an attestation result.

use serde::Serialize;

/// What was checked. The code is stable: it is stored, filtered and documented by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckName {
    /// The quote is a TPMS_ATTEST of type quote, made by a TPM.
    QuoteStructure,
    /// The attestation key is fit to attest.
    AttestationKey,
    /// The attestation key signed the quote.
    QuoteSignature,
    /// The qualifying data is the expected nonce.
    Freshness,
    /// The quote covers exactly the reported PCRs of the SHA-256 bank.
    PcrSelection,
    /// The quote covers every PCR that appraisal needs.
    PcrCoverage,
    /// The quoted digest is the digest of the reported PCR values.
    PcrDigest,
    /// Counters and clock did not go back.
    BootCounters,
    /// The TPM was shut down in order.
    OrderlyShutdown,
    /// The event log is well formed.
    EventLog,
    /// Replaying the event log gives this PCR's quoted value.
    EventLogReplay,
    /// There are reference values to compare with.
    ReferenceValues,
    /// A PCR has the value of the firmware release.
    FirmwarePcr,
    /// The PCR values together are those of an approved firmware release.
    FirmwareRelease,
    /// The release's security version is not below the minimum.
    SecurityVersion,
    /// The model measured is an approved model release.
    ModelRelease,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It holds.
    Pass,
    /// It does not hold.
    Fail,
    /// Said for the reader; nothing depends on it.
    Info,
}

/// One check with what it expected and what it found. Texts hold no bytes that only the device vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked.
    pub name: CheckName,
    /// How it ended.
    pub outcome: Outcome,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// Whence the expectation, or which PCR or event.
    pub detail: String,
}

impl Check {
    /// A check that passes when `holds`.
    pub fn of(
        name: CheckName,
        holds: bool,
        expected: impl Into<String>,
        found: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        let outcome = if holds { Outcome::Pass } else { Outcome::Fail };
        Self { name, outcome, expected: expected.into(), found: found.into(), detail: detail.into() }
    }

    /// A remark.
    pub fn info(name: CheckName, found: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            name,
            outcome: Outcome::Info,
            expected: String::new(),
            found: found.into(),
            detail: detail.into(),
        }
    }

    /// Whether it failed.
    pub fn failed(&self) -> bool {
        self.outcome == Outcome::Fail
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// Equality without telling by time how many bytes agree.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}
