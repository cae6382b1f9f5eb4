//! One order with its authorizations and challenges: `decide` says what a command leads to or why not, `apply` makes
//! it so ([`transition`]). Nothing else changes an order.
//!
//! RFC 8555 7.1.6: pending -> ready -> processing -> valid, or invalid from each. `processing` also stands for
//! "a person must decide": the caller's [`crate::Outcome::Pending`], tried again when the client polls.

mod proven;
mod transition;

use lanyard_domain::time::Timestamp;
use lanyard_pki::csr::VerifiedCsr;

pub use proven::{ProvenIdentifier, ProvenOrder};
pub(super) use transition::Command;

use super::account::{Account, Binding};
use super::base64url;
use super::challenge::ChallengeKind;
use super::id::{AccountId, OrderId};
use super::identifier::Identifier;
use super::payload::NewOrder;
use super::policy::Lifetimes;
use super::problem::Problem;
use super::seed::Seed;

/// RFC 8555 7.1.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderStatus {
    /// Authorizations are open.
    Pending,
    /// All are proven; a certificate request may come.
    Ready,
    /// The certificate request is being decided about.
    Processing,
    /// The certificate is there.
    Valid,
    /// It ended without.
    Invalid,
}

impl OrderStatus {
    /// As it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Processing => "processing",
            Self::Valid => "valid",
            Self::Invalid => "invalid",
        }
    }
}

/// One way to prove an identifier.
#[derive(Debug, Clone)]
pub struct Challenge {
    pub(in crate::acme) kind: ChallengeKind,
    pub(in crate::acme) token: String,
    pub(in crate::acme) state: ChallengeState,
}

#[derive(Debug, Clone)]
pub(in crate::acme) enum ChallengeState {
    Pending,
    /// Somebody looks.
    Processing,
    Valid {
        at: Timestamp,
    },
    Invalid {
        at: Timestamp,
        problem: Problem,
    },
}

/// One identifier of an order.
#[derive(Debug, Clone)]
pub struct Authorization {
    pub(in crate::acme) identifier: Identifier,
    pub(in crate::acme) state: AuthorizationState,
    pub(in crate::acme) challenges: Vec<Challenge>,
}

#[derive(Debug, Clone)]
pub(in crate::acme) enum AuthorizationState {
    Pending,
    Valid(ProvenIdentifier),
    Invalid,
    Deactivated,
}

/// An order.
#[derive(Debug, Clone)]
pub struct Order {
    pub(in crate::acme) id: OrderId,
    pub(in crate::acme) account: AccountId,
    binding: Option<Binding>,
    pub(in crate::acme) request: NewOrder,
    pub(in crate::acme) authorizations: Vec<Authorization>,
    pub(in crate::acme) state: OrderState,
    pub(in crate::acme) expires: Timestamp,
}

#[derive(Debug, Clone)]
pub(in crate::acme) enum OrderState {
    /// Pending or ready, as the authorizations say.
    Open,
    Processing {
        csr: Box<VerifiedCsr>,
        next_try: Timestamp,
        /// Until then somebody is issuing.
        lease: Option<Timestamp>,
    },
    Valid {
        /// The chain, and its alternates.
        chains: Vec<Vec<Vec<u8>>>,
    },
    Invalid {
        problem: Problem,
    },
}

impl Order {
    /// A new order; each challenge gets its own token of 256 bits.
    pub(in crate::acme) fn new(
        request: NewOrder,
        account: &Account,
        challenges: impl Fn(&Identifier) -> Vec<ChallengeKind>,
        seed: &Seed,
        now: Timestamp,
        lifetimes: &Lifetimes,
    ) -> Self {
        let mut number = 0;
        let mut token = || {
            number += 1;
            // Device attestation draft 8 asks for 128 bits at least.
            base64url::encode(&seed.derive::<32>("challenge token", number))
        };
        let authorizations = request.identifiers.iter().map(|identifier| Authorization {
            identifier: identifier.clone(),
            state: AuthorizationState::Pending,
            challenges: challenges(identifier)
                .into_iter()
                .map(|kind| Challenge { kind, token: token(), state: ChallengeState::Pending })
                .collect(),
        });
        Self {
            id: OrderId::from_random(seed.derive("order", 0)),
            account: account.id,
            binding: account.binding,
            authorizations: authorizations.collect(),
            request,
            state: OrderState::Open,
            expires: now.plus_seconds(i64::from(lifetimes.open_seconds)),
        }
    }

    /// Which.
    pub fn id(&self) -> OrderId {
        self.id
    }

    /// How it stands.
    pub fn status(&self, now: Timestamp) -> OrderStatus {
        match self.state {
            OrderState::Open if now > self.expires => OrderStatus::Invalid,
            OrderState::Open => {
                let proven = |a: &Authorization| matches!(a.state, AuthorizationState::Valid(_));
                if self.authorizations.iter().all(proven) { OrderStatus::Ready } else { OrderStatus::Pending }
            }
            OrderState::Processing { .. } => OrderStatus::Processing,
            OrderState::Valid { .. } => OrderStatus::Valid,
            OrderState::Invalid { .. } => OrderStatus::Invalid,
        }
    }

    /// Whether its account speaks for a record.
    pub(in crate::acme) fn is_bound(&self) -> bool {
        self.binding.is_some()
    }

    /// Seconds until a poll can find something new; none when there is nothing to wait for.
    pub(in crate::acme) fn retry_after(&self, now: Timestamp) -> Option<i64> {
        match &self.state {
            OrderState::Processing { next_try, .. } => Some(next_try.seconds_since(now).max(1)),
            // Somebody looks at a challenge.
            OrderState::Open if self.is_looked_at() => Some(3),
            _ => None,
        }
    }

    fn is_looked_at(&self) -> bool {
        let challenges = self.authorizations.iter().flat_map(|a| &a.challenges);
        challenges.into_iter().any(|c| matches!(c.state, ChallengeState::Processing))
    }

    pub(in crate::acme) fn challenge(&self, authorization: usize, kind: ChallengeKind) -> Option<&Challenge> {
        self.authorizations.get(authorization)?.challenges.iter().find(|c| c.kind == kind)
    }
}
