//! What the operator lets ACME do: which challenges, which profiles, for how long.

use std::collections::{BTreeMap, BTreeSet};

use super::challenge::ChallengeKind;
use super::identifier::Identifier;

/// How long orders live, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Until a new order must be finalized.
    pub open_seconds: u32,
    /// For how long a person may take to decide about a finalized order.
    pub waiting_seconds: u32,
    /// For how long the certificate of a done order can be fetched, and an invalid order be read.
    pub done_seconds: u32,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            // A device answers within a minute; a technician with a lego command within the day.
            open_seconds: 24 * 3600,
            // Over a weekend and a public holiday, and some days to ask back.
            waiting_seconds: 7 * 24 * 3600,
            // A device that lost its connection at the last step comes back within a day.
            done_seconds: 24 * 3600,
        }
    }
}

/// The operator's choices.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The challenges that are offered at all. `device-attest-01` alone serves devices; the others are for
    /// applications and gateways.
    pub challenges: BTreeSet<ChallengeKind>,
    /// Whether an account must be bound by an enrollment secret (device attestation draft 6.1.1 recommends it).
    pub binding: BindingPolicy,
    /// The profiles that may be asked for: name and sentence.
    pub profiles: BTreeMap<String, String>,
    /// Whether a device's identifiers may stand in a certificate request (draft, 7.4).
    pub device_names: DeviceNames,
    /// How long orders live.
    pub lifetimes: Lifetimes,
}

/// Whether accounts are bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingPolicy {
    /// Each.
    Required,
    /// Those that want.
    Optional,
}

/// Whether identifiers of devices may stand in certificate requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceNames {
    /// They may, when they equal the order's; the certificate's names come from the record all the same.
    Allowed,
    /// They may not: certificates that tell nobody which device it is.
    Refused,
}

impl Default for Policy {
    /// Devices that attest, with bound accounts.
    fn default() -> Self {
        Self {
            challenges: [ChallengeKind::DeviceAttest01].into(),
            binding: BindingPolicy::Required,
            profiles: BTreeMap::new(),
            device_names: DeviceNames::Allowed,
            lifetimes: Lifetimes::default(),
        }
    }
}

impl Policy {
    /// The challenges that are offered for an identifier; none means that it is not served.
    pub fn challenges_for(&self, identifier: &Identifier) -> Vec<ChallengeKind> {
        self.challenges.iter().copied().filter(|kind| kind.fits(identifier)).collect()
    }
}
