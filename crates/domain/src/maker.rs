//! What makers of devices say about certificates of theirs: by which a device was shown, and why one was revoked.
//!
//! In scope: values, and what a reason means for a device that is in use. Out of scope: the lists themselves and who signed
//! them (control::makers). To add a reason: a variant, its line in [`MakerReason::ALL`], its effect in [`MakerReason::effect`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::Digest;
use crate::time::Timestamp;
use crate::trust::Reason;

/// A certificate as its maker's lists name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MakerCertificate {
    /// Who issued it: SHA-256 over the DER of the issuer's name and the SHA-256 of its SubjectPublicKeyInfo.
    pub issuer_sha256: Digest,
    /// Its serial number, lower-case hex.
    pub serial: String,
}

/// Why a maker revoked a certificate: CRLReason of RFC 5280 5.3.1, and what else makers' own lists say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MakerReason {
    /// None given.
    Unspecified,
    /// The device's key is known to others, or may be.
    KeyCompromise,
    /// The maker's key is.
    CaCompromise,
    /// The device is somebody else's now.
    AffiliationChanged,
    /// Another certificate stands in its place.
    Superseded,
    /// The maker ended it.
    CessationOfOperation,
    /// Suspended; may come back.
    CertificateHold,
    /// A right that the certificate asserts was taken away.
    PrivilegeWithdrawn,
    /// The key of an attribute authority is known to others.
    AaCompromise,
    /// The software that guards the key is broken (Android's list).
    SoftwareFlaw,
}

/// What becomes of a device in use whose maker revoked its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MakerEffect {
    /// Its key proves nothing any more: cut off, its certificates revoked.
    Ends,
    /// Cut off until a person decides; its certificates stay.
    Suspends,
    /// Nothing is said against the key: people hear of it, the device goes on. It cannot enroll by that certificate again.
    Tells,
}

impl MakerReason {
    /// All.
    pub const ALL: [Self; 10] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::PrivilegeWithdrawn,
        Self::AaCompromise,
        Self::SoftwareFlaw,
    ];

    /// As it stands in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key_compromise",
            Self::CaCompromise => "ca_compromise",
            Self::AffiliationChanged => "affiliation_changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation_of_operation",
            Self::CertificateHold => "certificate_hold",
            Self::PrivilegeWithdrawn => "privilege_withdrawn",
            Self::AaCompromise => "aa_compromise",
            Self::SoftwareFlaw => "software_flaw",
        }
    }

    /// What it means for a device that is in use. A reason that is not given is taken for the worst (I5).
    pub const fn effect(self) -> MakerEffect {
        match self {
            Self::Unspecified
            | Self::KeyCompromise
            | Self::CaCompromise
            | Self::PrivilegeWithdrawn
            | Self::AaCompromise
            | Self::SoftwareFlaw => MakerEffect::Ends,
            Self::CertificateHold => MakerEffect::Suspends,
            Self::AffiliationChanged | Self::Superseded | Self::CessationOfOperation => MakerEffect::Tells,
        }
    }
}

impl fmt::Display for MakerReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// That a maker's list names a certificate of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakerFinding {
    /// SHA-256 of the list.
    pub list_sha256: Digest,
    /// The certificate.
    pub certificate: MakerCertificate,
    /// Since when, where the list says it.
    pub revoked_at: Option<Timestamp>,
    /// Why.
    pub reason: MakerReason,
}

/// Why a device is cut off whose maker revoked its certificate, in words.
pub fn maker_revoked(serial: &str, revoked_at: Option<Timestamp>, reason: MakerReason) -> Reason {
    let since = revoked_at.map(|at| format!(" as of {at}")).unwrap_or_default();
    Reason::new(
        "maker_revoked",
        format!(
            "Its maker revoked the certificate of its hardware (serial number {serial}){since}: {reason}."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_written_as_it_is_read() {
        for one in MakerReason::ALL {
            let text = format!("\"{one}\"");
            assert_eq!(serde_json::to_string(&one).unwrap(), text);
            assert_eq!(serde_json::from_str::<MakerReason>(&text).unwrap(), one);
        }
    }

    // R49, I5
    #[test]
    fn what_is_not_said_is_taken_for_the_worst() {
        assert_eq!(MakerReason::Unspecified.effect(), MakerEffect::Ends);
        let softer: Vec<MakerReason> =
            MakerReason::ALL.into_iter().filter(|r| r.effect() != MakerEffect::Ends).collect();
        assert_eq!(
            softer,
            [
                MakerReason::AffiliationChanged,
                MakerReason::Superseded,
                MakerReason::CessationOfOperation,
                MakerReason::CertificateHold
            ]
        );
    }
}
