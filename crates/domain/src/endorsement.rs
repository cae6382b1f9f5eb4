//! What a maker's authority is accepted for. Who may vouch for phones may not for TPMs: each use is a person's decision.
//!
//! To add a use: a variant, its text in [`EndorsementUse::as_str`], its line in [`EndorsementUse::ALL`], and the place that
//! asks [`accepted_for`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::FieldError;

/// One thing that an authority's certificates prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndorsementUse {
    /// Endorsement keys of TPMs.
    Ek,
    /// Factory certificates (IEEE 802.1AR).
    Idevid,
    /// Attestation keys of TPMs (WebAuthn 8.3).
    Tpm,
    /// Attested keys (WebAuthn 8.2).
    Packed,
    /// Attested keys (WebAuthn 8.8).
    Apple,
    /// Attested keys (WebAuthn 8.4).
    AndroidKey,
}

impl EndorsementUse {
    /// All, in the order in which they are listed to people.
    pub const ALL: [Self; 6] =
        [Self::Ek, Self::Idevid, Self::Tpm, Self::Packed, Self::Apple, Self::AndroidKey];

    /// As it stands in events and commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ek => "ek",
            Self::Idevid => "idevid",
            Self::Tpm => "tpm",
            Self::Packed => "packed",
            Self::Apple => "apple",
            Self::AndroidKey => "android-key",
        }
    }
}

/// Whether an authority that was accepted with this list is accepted for `wanted`. None named means `ek` and `idevid`: so
/// were authorities accepted before there was a list.
pub fn accepted_for(uses: &[EndorsementUse], wanted: EndorsementUse) -> bool {
    match uses {
        [] => matches!(wanted, EndorsementUse::Ek | EndorsementUse::Idevid),
        named => named.contains(&wanted),
    }
}

impl fmt::Display for EndorsementUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EndorsementUse {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|u| u.as_str() == text).ok_or_else(|| {
            let all: Vec<&str> = Self::ALL.into_iter().map(Self::as_str).collect();
            FieldError::new("uses", &format!("must be one of {}", all.join(", ")), text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_use_is_written_as_it_is_read() {
        for one in EndorsementUse::ALL {
            assert_eq!(one.as_str().parse(), Ok(one));
            assert_eq!(serde_json::to_string(&one).unwrap(), format!("\"{one}\""));
        }
        assert!("u2f".parse::<EndorsementUse>().is_err());
    }

    #[test]
    fn an_authority_is_good_only_for_what_it_was_accepted_for() {
        for one in EndorsementUse::ALL {
            let usual = matches!(one, EndorsementUse::Ek | EndorsementUse::Idevid);
            assert_eq!(accepted_for(&[], one), usual, "{one}");
            assert_eq!(accepted_for(&[EndorsementUse::Packed], one), one == EndorsementUse::Packed, "{one}");
        }
    }
}
