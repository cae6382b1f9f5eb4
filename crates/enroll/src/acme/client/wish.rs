//! What an order is for, what is to be done next for it, and what comes of it.

use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;
use serde_json::{Value, json};

use super::challenge::ToProve;
use super::message::Outgoing;
use crate::acme::challenge::ChallengeKind;
use crate::acme::identifier::Identifier;
use crate::acme::renewal::CertId;

/// What is ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// For what.
    pub identifiers: Vec<Identifier>,
    /// The profile, the server's choice without.
    pub profile: Option<String>,
    /// The certificate that this one takes the place of (RFC 9773 5).
    pub replaces: Option<CertId>,
    /// The challenges that the caller can answer, the best first.
    pub challenges: Vec<ChallengeKind>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Send this, and give the answer to [`Ordering::hear`].
    Send(Outgoing),
    /// Come again then.
    Wait {
        /// When.
        until: Timestamp,
        /// What is waited for.
        why: String,
    },
    /// Make ready what this challenge wants, then [`Ordering::prove`].
    Prove(Box<ToProve>),
    /// Every identifier is proven: make the certificate request, then [`Ordering::finalize`].
    Finalize,
    /// Here it is.
    Done(Box<Issued>),
}

/// A certificate for the key that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// It.
    pub certificate: Certificate,
    /// What came along for its path, in the server's order.
    pub issuers: Vec<Certificate>,
}

impl Wish {
    pub(super) fn payload(&self) -> Value {
        let identifiers: Vec<Value> = self.identifiers.iter().map(Identifier::to_json).collect();
        let mut payload = json!({ "identifiers": identifiers });
        if let Some(fields) = payload.as_object_mut() {
            if let Some(profile) = &self.profile {
                fields.insert("profile".to_owned(), json!(profile));
            }
            if let Some(replaces) = &self.replaces {
                fields.insert("replaces".to_owned(), json!(replaces.to_string()));
            }
        }
        payload
    }
}
