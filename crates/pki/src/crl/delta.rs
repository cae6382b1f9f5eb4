//! Applying a delta list to a complete one (RFC 5280 5.2.4): the result is what a new complete list would say.

use super::number::Number;
use super::read::VerifiedCrl;
use crate::revocation::Reason;

/// Why a delta does not belong to a complete list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeltaRefused {
    /// The one is no delta, or the other is one.
    #[error("a delta revocation list is applied to a complete one")]
    NotADelta,
    /// Issuer, key or scope differ.
    #[error("the delta is of another issuer, key or scope than the complete list (RFC 5280 5.2.4 (a), (b))")]
    OtherScope,
    /// One of the two has no number.
    #[error("a list without a CRL number cannot be combined (RFC 5280 5.2.3)")]
    NoNumber,
    /// It starts after the complete list.
    #[error("the delta starts at number {base}, the complete list has {number}: fetch a newer complete list")]
    Gap {
        /// From where it counts.
        base: Number,
        /// What the complete list has.
        number: Number,
    },
    /// It is not newer.
    #[error("the delta is not newer than the complete list (RFC 5280 5.2.4 (d))")]
    NotNewer,
}

impl VerifiedCrl {
    /// This complete list with what `delta` says changed.
    pub fn apply(mut self, delta: &VerifiedCrl) -> Result<VerifiedCrl, DeltaRefused> {
        let base = delta.facts.delta_base.filter(|_| !self.is_delta()).ok_or(DeltaRefused::NotADelta)?;
        let same_scope = self.facts.issuer == delta.facts.issuer
            && self.issuer_key_id == delta.issuer_key_id
            && self.facts.point == delta.facts.point;
        if !same_scope {
            return Err(DeltaRefused::OtherScope);
        }
        let (Some(number), Some(newer)) = (self.facts.number, delta.facts.number) else {
            return Err(DeltaRefused::NoNumber);
        };
        if number < base {
            return Err(DeltaRefused::Gap { base, number });
        }
        if newer <= number {
            return Err(DeltaRefused::NotNewer);
        }
        self.facts.entries.retain(|entry| delta.facts.entry(&entry.serial).is_none());
        let added = delta.facts.entries.iter().filter(|entry| entry.reason != Some(Reason::RemoveFromCrl));
        self.facts.entries.extend(added.cloned());
        self.facts.entries.sort_by_key(|entry| (entry.serial, entry.at.at));
        self.facts.number = delta.facts.number;
        self.facts.this_update = delta.facts.this_update;
        self.facts.next_update = delta.facts.next_update;
        Ok(self)
    }
}
