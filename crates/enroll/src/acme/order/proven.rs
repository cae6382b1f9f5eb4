//! What an order proves, as values that only an order can make.

use lanyard_attest::webauthn::AttestedKey;
use lanyard_domain::time::Timestamp;
use lanyard_pki::csr::VerifiedCsr;

use super::{AuthorizationState, Order, OrderState};
use crate::acme::account::Binding;
use crate::acme::challenge::ChallengeKind;
use crate::acme::id::{AccountId, OrderId};
use crate::acme::identifier::Identifier;

/// An identifier, and how it was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenIdentifier {
    pub(super) identifier: Identifier,
    pub(super) by: ChallengeKind,
    pub(super) at: Timestamp,
    pub(super) attested: Option<Box<AttestedKey>>,
}

impl ProvenIdentifier {
    /// Which.
    pub fn identifier(&self) -> &Identifier {
        &self.identifier
    }
    /// By which challenge.
    pub fn by(&self) -> ChallengeKind {
        self.by
    }
    /// When.
    pub fn at(&self) -> Timestamp {
        self.at
    }
    /// The statement, for `device-attest-01`.
    pub fn attested(&self) -> Option<&AttestedKey> {
        self.attested.as_deref()
    }
}

/// That an account's key signed for an order, that each identifier of it was proven, and that every key that was
/// attested is the key of the certificate request. Made only here, from an order that was finalized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenOrder {
    order: OrderId,
    account: AccountId,
    binding: Option<Binding>,
    identifiers: Vec<ProvenIdentifier>,
}

impl ProvenOrder {
    /// Which order: the same for each try of it.
    pub fn order(&self) -> OrderId {
        self.order
    }
    /// Whose.
    pub fn account(&self) -> AccountId {
        self.account
    }
    /// What the account was bound to when it was made.
    pub fn binding(&self) -> Option<Binding> {
        self.binding
    }
    /// What was proven, at least one.
    pub fn identifiers(&self) -> &[ProvenIdentifier] {
        &self.identifiers
    }
    /// The statement about the key of the request, if there is one.
    pub fn attested(&self) -> Option<&AttestedKey> {
        self.identifiers.iter().find_map(ProvenIdentifier::attested)
    }
}

impl Order {
    /// What was proven, for whom the order is; after [`Event::Enrolling`].
    pub(in crate::acme) fn proven(&self) -> Option<(ProvenOrder, VerifiedCsr)> {
        let OrderState::Processing { csr, .. } = &self.state else { return None };
        let identifiers = self.authorizations.iter().map(|a| match &a.state {
            AuthorizationState::Valid(proof) => Some(proof.clone()),
            _ => None,
        });
        let identifiers = identifiers.collect::<Option<Vec<_>>>()?;
        let proven =
            ProvenOrder { order: self.id, account: self.account, binding: self.binding, identifiers };
        Some((proven, (**csr).clone()))
    }
}
