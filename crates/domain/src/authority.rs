//! Our certificate authorities as the log knows them: what each is for, and where it is in its life.
//!
//! A generation is created (and trusted) before it is activated (and issues), so that every relying party has it before the
//! first certificate by it is shown; it drains while its last certificates live, and is retired when none is left (I7).

use serde::{Deserialize, Serialize};

use crate::text::{FieldError, check_slug};

/// What an issuing authority signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorityPurpose {
    /// The trust anchor above the others; signs authorities only.
    Root,
    /// Devices, gateways, the control plane.
    Devices,
    /// Devices that can only SCEP and RSA (R40); kept apart, so that relying parties can choose not to trust it.
    Legacy,
}

impl AuthorityPurpose {
    /// All.
    pub const ALL: [AuthorityPurpose; 3] =
        [AuthorityPurpose::Root, AuthorityPurpose::Devices, AuthorityPurpose::Legacy];

    /// As it stands in events and commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            AuthorityPurpose::Root => "root",
            AuthorityPurpose::Devices => "devices",
            AuthorityPurpose::Legacy => "legacy",
        }
    }
}

impl std::fmt::Display for AuthorityPurpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for AuthorityPurpose {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        Self::ALL
            .into_iter()
            .find(|p| p.as_str() == text)
            .ok_or_else(|| FieldError::new("purpose", "must be root, devices or legacy", text))
    }
}

/// Where an authority's key is made and stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyStore {
    /// A file of the control plane, sealed under its passphrase. What stands in no event is this one.
    #[default]
    Sealed,
    /// The hardware module that the control plane is configured with.
    Pkcs11,
}

impl KeyStore {
    /// All.
    pub const ALL: [KeyStore; 2] = [KeyStore::Sealed, KeyStore::Pkcs11];

    /// As it stands in events, commands and the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            KeyStore::Sealed => "sealed",
            KeyStore::Pkcs11 => "pkcs11",
        }
    }

    /// Whether it is the one that events leave out.
    pub fn is_sealed(&self) -> bool {
        *self == KeyStore::Sealed
    }
}

impl std::fmt::Display for KeyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for KeyStore {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        Self::ALL
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| FieldError::new("keys", "must be sealed or pkcs11", text))
    }
}

/// Where an authority is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorityState {
    /// Ordered, its certificate not recorded yet.
    Planned,
    /// Trusted, issues nothing yet.
    Created,
    /// Issues.
    Active,
    /// A newer one issues in its place; what it issued stays valid.
    Draining,
    /// Its key is in other hands, or may be: nothing is issued, and what it issued is being replaced.
    Compromised,
    /// Revoked for that, and nothing of it is left.
    Revoked,
    /// Not trusted any more.
    Retired,
}

impl std::fmt::Display for AuthorityState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AuthorityState::Planned => "planned",
            AuthorityState::Created => "created",
            AuthorityState::Active => "active",
            AuthorityState::Draining => "draining",
            AuthorityState::Compromised => "compromised",
            AuthorityState::Revoked => "revoked",
            AuthorityState::Retired => "retired",
        })
    }
}

/// The name of an authority is also the label of its key: a slug that fits both.
pub fn check_name(name: &str) -> Result<(), FieldError> {
    check_slug("name", name)?;
    if name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Ok(());
    }
    Err(FieldError::new("name", "must start with a letter", name))
}
