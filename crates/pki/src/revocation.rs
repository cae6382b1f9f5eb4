//! Words that revocation lists and OCSP share: why and when a certificate was revoked, what a relying party may
//! conclude, and how old an answer may be.
//!
//! In scope: values and the judgement of age. Out of scope: lists ([`crate::crl`]), answers ([`crate::ocsp`]), and
//! who may revoke what (control).

use std::fmt;

use lanyard_domain::time::Timestamp;

/// Why a certificate was revoked: CRLReason of RFC 5280 5.3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// None given. It is written by leaving the reason out.
    Unspecified,
    /// The subject's key is known to others, or may be: lost, stolen, compromised.
    KeyCompromise,
    /// The key of a CA is known to others.
    CaCompromise,
    /// The subject belongs elsewhere now: transferred.
    AffiliationChanged,
    /// Another certificate stands in its place.
    Superseded,
    /// The subject is no longer in service: retired, recalled.
    CessationOfOperation,
    /// Held; may come back.
    CertificateHold,
    /// In a delta list: no longer held, or expired.
    RemoveFromCrl,
    /// A right that the certificate asserts was taken away.
    PrivilegeWithdrawn,
    /// The key of an attribute authority is known to others.
    AaCompromise,
}

impl Reason {
    /// Every reason; 7 is not used by the standard.
    pub const ALL: [Reason; 10] = [
        Reason::Unspecified,
        Reason::KeyCompromise,
        Reason::CaCompromise,
        Reason::AffiliationChanged,
        Reason::Superseded,
        Reason::CessationOfOperation,
        Reason::CertificateHold,
        Reason::RemoveFromCrl,
        Reason::PrivilegeWithdrawn,
        Reason::AaCompromise,
    ];

    /// The number in CRLReason.
    pub const fn code(self) -> u8 {
        match self {
            Reason::Unspecified => 0,
            Reason::KeyCompromise => 1,
            Reason::CaCompromise => 2,
            Reason::AffiliationChanged => 3,
            Reason::Superseded => 4,
            Reason::CessationOfOperation => 5,
            Reason::CertificateHold => 6,
            Reason::RemoveFromCrl => 8,
            Reason::PrivilegeWithdrawn => 9,
            Reason::AaCompromise => 10,
        }
    }

    /// The reason with this number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The name in the standard.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Unspecified => "unspecified",
            Reason::KeyCompromise => "keyCompromise",
            Reason::CaCompromise => "cACompromise",
            Reason::AffiliationChanged => "affiliationChanged",
            Reason::Superseded => "superseded",
            Reason::CessationOfOperation => "cessationOfOperation",
            Reason::CertificateHold => "certificateHold",
            Reason::RemoveFromCrl => "removeFromCRL",
            Reason::PrivilegeWithdrawn => "privilegeWithdrawn",
            Reason::AaCompromise => "aACompromise",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// When and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// From when on the certificate is not to be trusted; whole seconds are written.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
}

/// What a list or an answer says about one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not revoked, said by the right issuer and fresh.
    Good,
    /// Revoked. Also from an old list: a revocation does not wear off.
    Revoked(Revocation),
    /// The list or answer does not speak of this certificate.
    Unknown,
    /// It would be good, but the list or answer is too old, or from the future.
    Stale,
}

/// How old a list or an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// The moment of the judgement.
    pub now: Timestamp,
    /// How far the clocks of issuer and verifier may differ.
    pub skew_seconds: i64,
    /// The longest age of one that names no nextUpdate; RFC 5280 5.1.2.5 wants one, makers forget it.
    pub longest_age_seconds: i64,
}

impl Freshness {
    /// With five minutes of skew (what Kerberos made every hospital network hold) and a day without nextUpdate.
    pub const fn at(now: Timestamp) -> Self {
        Self { now, skew_seconds: 5 * 60, longest_age_seconds: 24 * 60 * 60 }
    }

    pub(crate) fn holds(&self, this_update: Timestamp, next_update: Option<Timestamp>) -> bool {
        let until = next_update.unwrap_or(this_update.plus_seconds(self.longest_age_seconds));
        this_update <= self.now.plus_seconds(self.skew_seconds)
            && self.now <= until.plus_seconds(self.skew_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_one_number_and_seven_is_none() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(reason));
        }
        for code in [7, 11, 255] {
            assert_eq!(Reason::from_code(code), None);
        }
    }

    #[test]
    fn what_is_too_old_or_from_the_future_is_not_fresh() {
        let at = Timestamp::from_seconds;
        let fresh = Freshness { now: at(1000), skew_seconds: 10, longest_age_seconds: 100 };
        for (this, next, holds) in [
            (1000, Some(1000), true),
            (1010, Some(2000), true),
            (1011, Some(2000), false),
            (0, Some(990), true),
            (0, Some(989), false),
            (890, None, true),
            (889, None, false),
        ] {
            assert_eq!(fresh.holds(at(this), next.map(at)), holds, "{this} {next:?}");
        }
    }
}
