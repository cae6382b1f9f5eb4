//! Operators: the humans who register, approve, quarantine and retire. Kept apart from devices (R99); each has
//! an Ed25519 key of their own, so that not even the server can put words in their mouth.

use serde::{Deserialize, Serialize};

use crate::id::OperatorId;
use crate::text::Digest;

/// What an operator may do. One person may hold several, but never use two for one device (I1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Adds operators, gateways and endorsement authorities.
    Admin,
    /// Registers devices and proposes releases.
    Registrar,
    /// Approves for security; may quarantine and release.
    Security,
    /// Approves for biomedical engineering; may quarantine, release and retire.
    Biomedical,
    /// Reads everything, changes nothing but evidence exports.
    Auditor,
}

impl Role {
    /// All roles, in the order they are listed to people.
    pub const ALL: [Role; 5] =
        [Role::Admin, Role::Registrar, Role::Security, Role::Biomedical, Role::Auditor];
}

impl std::str::FromStr for Role {
    type Err = crate::text::FieldError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Role::ALL.into_iter().find(|r| r.to_string() == text).ok_or_else(|| {
            crate::text::FieldError::new(
                "role",
                "must be admin, registrar, security, biomedical or auditor",
                text,
            )
        })
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Role::Admin => "admin",
            Role::Registrar => "registrar",
            Role::Security => "security",
            Role::Biomedical => "biomedical",
            Role::Auditor => "auditor",
        })
    }
}

/// An operator as the log knows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// Pseudonymous id; the only thing of them in a leaf header.
    pub id: OperatorId,
    /// Display name; lives in an erasable payload.
    pub name: String,
    /// What they may do.
    pub roles: Vec<Role>,
    /// Ed25519 public key.
    pub public_key: Digest,
    /// Removed operators keep their history and lose their rights.
    pub active: bool,
}

impl Operator {
    /// Whether they are active and hold any of `wanted`.
    pub fn may(&self, wanted: &[Role]) -> bool {
        self.active && self.roles.iter().any(|r| wanted.contains(r))
    }
}
