//! The compromise of one of our authorities: what people decide about it, and in which order its fleet is told to replace its
//! certificates.
//!
//! A device whose certificate ends before it has another is off the air, which harms a patient more than a certificate that
//! stands some hours longer; so what is to be replaced is replaced first and revoked after, those first with which most harm can
//! be done. Where the key is known to be in use by others there is no such order: everything is distrusted at once.
//! In scope: the plan and its arithmetic. Out of scope: carrying it out (`control::compromise`).

use serde::{Deserialize, Serialize};

use crate::id::StreamId;
use crate::text::FieldError;
use crate::tier::Tier;
use crate::time::Timestamp;

/// A device that is switched on once a month still finds its old certificate good.
pub const LONGEST_DEADLINE_SECONDS: i64 = 31 * 86_400;
/// A device needs some minutes: it asks at its next attestation.
pub const SHORTEST_DEADLINE_SECONDS: i64 = 600;
/// A thousand a second: what an authority signs on one core, so beyond it is no pace.
pub const MOST_PER_MINUTE: u32 = 60_000;

/// What becomes of its certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompromiseMode {
    /// Each is revoked when its successor was seen in use, or at its deadline.
    ReplaceFirst,
    /// All are distrusted at once; who had one must prove itself anew by its hardware or a person's secret.
    DistrustNow,
}

impl std::fmt::Display for CompromiseMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            CompromiseMode::ReplaceFirst => "replace first, revoke after",
            CompromiseMode::DistrustNow => "distrust now",
        })
    }
}

/// Until when certificates may wait for their successors, in seconds from the second person's confirmation on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deadlines {
    /// Devices of tier critical.
    pub critical: i64,
    /// Of tier high.
    pub high: i64,
    /// Of tier standard.
    pub standard: i64,
    /// Of tier low.
    pub low: i64,
    /// Applications and gateways.
    pub others: i64,
}

impl Deadlines {
    /// The same for all.
    pub const fn all(seconds: i64) -> Self {
        Self { critical: seconds, high: seconds, standard: seconds, low: seconds, others: seconds }
    }

    /// That of a class.
    pub const fn of(&self, class: RiskClass) -> i64 {
        match class {
            RiskClass::Device(Tier::Critical) => self.critical,
            RiskClass::Device(Tier::High) => self.high,
            RiskClass::Device(Tier::Standard) => self.standard,
            RiskClass::Device(Tier::Low) => self.low,
            RiskClass::Others => self.others,
        }
    }

    /// Sets that of a class.
    pub const fn set(&mut self, class: RiskClass, seconds: i64) {
        match class {
            RiskClass::Device(Tier::Critical) => self.critical = seconds,
            RiskClass::Device(Tier::High) => self.high = seconds,
            RiskClass::Device(Tier::Standard) => self.standard = seconds,
            RiskClass::Device(Tier::Low) => self.low = seconds,
            RiskClass::Others => self.others = seconds,
        }
    }
}

/// Holders that are told together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RiskClass {
    /// Devices of a tier.
    Device(Tier),
    /// Applications and gateways.
    Others,
}

impl RiskClass {
    /// All, in the order in which they are told.
    pub const ALL: [RiskClass; 5] = [
        RiskClass::Device(Tier::Critical),
        RiskClass::Device(Tier::High),
        RiskClass::Device(Tier::Standard),
        RiskClass::Device(Tier::Low),
        RiskClass::Others,
    ];
}

impl std::fmt::Display for RiskClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RiskClass::Device(tier) => tier.fmt(f),
            RiskClass::Others => f.write_str("others"),
        }
    }
}

impl std::str::FromStr for RiskClass {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        Self::ALL.into_iter().find(|class| class.to_string() == text).ok_or_else(|| {
            FieldError::new("risk class", "must be critical, high, standard, low or others", text)
        })
    }
}

/// What two people decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompromisePlan {
    /// What becomes of its certificates.
    pub mode: CompromiseMode,
    /// How many holders are told in a minute.
    pub per_minute: u32,
    /// Until when they may wait.
    pub deadlines: Deadlines,
}

impl CompromisePlan {
    /// Checks every field; the first broken rule is named.
    pub fn check(&self) -> Result<(), FieldError> {
        if !(1..=MOST_PER_MINUTE).contains(&self.per_minute) {
            let rule = format!("must be 1 to {MOST_PER_MINUTE} holders a minute");
            return Err(FieldError::new("per_minute", &rule, &self.per_minute.to_string()));
        }
        let bounds = SHORTEST_DEADLINE_SECONDS..=LONGEST_DEADLINE_SECONDS;
        let wrong = RiskClass::ALL.into_iter().find(|class| !bounds.contains(&self.deadlines.of(*class)));
        match wrong {
            None => Ok(()),
            Some(class) => Err(FieldError::new(
                &format!("deadlines.{class}"),
                &format!("must be {SHORTEST_DEADLINE_SECONDS} to {LONGEST_DEADLINE_SECONDS} seconds"),
                &self.deadlines.of(class).to_string(),
            )),
        }
    }

    /// When it is a holder's turn: after all classes of more risk, and within its own at a place that its id says, so that no
    /// order has to be kept. `counts` are the holders of each class, in the order of [`RiskClass::ALL`].
    pub fn turn(
        &self,
        from: Timestamp,
        counts: &[usize; 5],
        class: RiskClass,
        holder: StreamId,
    ) -> Timestamp {
        if self.mode == CompromiseMode::DistrustNow {
            return from;
        }
        let mut before = 0usize;
        let mut own = 0usize;
        for (each, count) in RiskClass::ALL.into_iter().zip(counts) {
            if each < class {
                before = before.saturating_add(*count);
            } else if each == class {
                own = *count;
            }
        }
        // The last two octets of an id are random: 65,536 places are enough to spread a class.
        let [.., high, low] = *holder.as_bytes();
        let place = u128::from(u16::from_be_bytes([high, low]));
        let rank = (before as u128) * 65_536 + place * (own as u128);
        let seconds = rank * 60 / 65_536 / u128::from(self.per_minute.max(1));
        from.plus_seconds(i64::try_from(seconds).unwrap_or(i64::MAX / 2_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(per_minute: u32) -> CompromisePlan {
        CompromisePlan {
            mode: CompromiseMode::ReplaceFirst,
            per_minute,
            deadlines: Deadlines::all(3 * 86_400),
        }
    }

    fn holder(place: u16) -> StreamId {
        let mut id = [7; 16];
        id[14..].copy_from_slice(&place.to_be_bytes());
        StreamId::from_bytes(id)
    }

    // R49: those with which most harm can be done come first, and no more at once than the pace says.
    #[test]
    fn holders_are_told_in_the_order_of_risk_at_the_pace_of_the_plan() {
        let counts = [120, 60, 0, 600, 30];
        let from = Timestamp::from_seconds(1_000_000);
        let turn = |class: &str, place| {
            plan(60).turn(from, &counts, class.parse().unwrap(), holder(place)).seconds_since(from)
        };
        assert_eq!((turn("critical", 0), turn("critical", u16::MAX)), (0, 119));
        assert_eq!((turn("high", 0), turn("high", 0x8000)), (120, 150));
        assert_eq!((turn("low", 0), turn("others", 0)), (180, 780));
        let slow = plan(1).turn(from, &[usize::MAX; 5], RiskClass::Others, holder(u16::MAX));
        assert!(slow > from, "no overflow");
        let now = CompromisePlan { mode: CompromiseMode::DistrustNow, ..plan(1) };
        assert_eq!(now.turn(from, &counts, RiskClass::Others, holder(9)), from);
    }

    #[test]
    fn a_plan_outside_of_its_bounds_is_refused_by_field() {
        plan(600).check().unwrap();
        assert!(plan(0).check().unwrap_err().to_string().contains("per_minute"));
        assert!(plan(MOST_PER_MINUTE + 1).check().is_err());
        for class in RiskClass::ALL {
            for seconds in [SHORTEST_DEADLINE_SECONDS - 1, LONGEST_DEADLINE_SECONDS + 1, i64::MIN] {
                let mut wrong = plan(600);
                wrong.deadlines.set(class, seconds);
                let why = wrong.check().unwrap_err().to_string();
                assert!(why.contains(&format!("deadlines.{class}")), "{why}");
            }
        }
        assert!("medium".parse::<RiskClass>().is_err());
    }
}
