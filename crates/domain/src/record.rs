//! The device record: what is registered before anything connects (R31), parsed once into values that
//! cannot be wrong inside. It is the one source from which certificate, FHIR scopes, AE title and zone come.

use serde::{Deserialize, Serialize};

use crate::text::{Digest, FieldError, check_slug, check_text};
use crate::tier::Tier;

/// What a hospital writes down about a device before it may connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceRecord {
    /// Maker, as on the label.
    pub vendor: String,
    /// Model designation, as on the label.
    pub model: String,
    /// Serial number, unique within vendor and model.
    pub serial: String,
    /// Site slug, for example `north-campus`.
    pub site: String,
    /// Who answers for it: a role or team address, never a person's private data.
    pub owner: String,
    /// Owning department.
    pub department: String,
    /// Clinical purpose in a sentence.
    pub purpose: String,
    /// Device class slug, for example `infusion-pump`.
    pub class: String,
    /// Policy tier.
    pub tier: Tier,
    /// Whether an AI model runs on it, which must then be attested (R62).
    #[serde(default)]
    pub ai: bool,
    /// SMART scopes it may use, for example `system/Observation.c` (R41).
    pub scopes: Vec<Scope>,
    /// DICOM application entity title, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ae_title: Option<String>,
    /// Network zone slug.
    pub zone: String,
    /// SHA-256 of the endorsement key's SubjectPublicKeyInfo from the purchase list, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ek_sha256: Option<Digest>,
}

impl DeviceRecord {
    /// Checks every field; the first broken rule is named.
    pub fn check(&self) -> Result<(), FieldError> {
        check_text("vendor", &self.vendor, 64)?;
        check_text("model", &self.model, 64)?;
        check_text("serial", &self.serial, 64)?;
        check_slug("site", &self.site)?;
        check_text("owner", &self.owner, 128)?;
        check_text("department", &self.department, 64)?;
        check_text("purpose", &self.purpose, 256)?;
        check_slug("class", &self.class)?;
        check_slug("zone", &self.zone)?;
        if let Some(ae) = &self.ae_title {
            check_ae_title(ae)?;
        }
        // 32 scopes: a device that needs more is a workstation and wants an application identity.
        if self.scopes.len() > 32 {
            return Err(FieldError::new(
                "scopes",
                "must list at most 32 scopes",
                &self.scopes.len().to_string(),
            ));
        }
        Ok(())
    }
}

/// PS3.5 6.2 (AE): 1 to 16 characters of the default repertoire, no backslash, no leading or trailing space.
fn check_ae_title(value: &str) -> Result<(), FieldError> {
    let fits = (1..=16).contains(&value.len())
        && value.trim() == value
        && value.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'\\');
    if fits {
        return Ok(());
    }
    Err(FieldError::new(
        "ae_title",
        "must be 1 to 16 printable ASCII characters without backslash and without space at its ends",
        value,
    ))
}

/// A SMART v2 system scope: a FHIR resource type and what may be done with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    resource: String,
    letters: u8,
}

/// What a scope may allow; in SMART's order c, r, u, d, s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// `c`: create.
    Create,
    /// `r`: read.
    Read,
    /// `u`: update.
    Update,
    /// `d`: delete.
    Delete,
    /// `s`: search.
    Search,
}

const LETTERS: [(char, Permission); 5] = [
    ('c', Permission::Create),
    ('r', Permission::Read),
    ('u', Permission::Update),
    ('d', Permission::Delete),
    ('s', Permission::Search),
];

impl Scope {
    /// Whether this scope allows `permission` on resources of type `resource`.
    pub fn allows(&self, resource: &str, permission: Permission) -> bool {
        self.resource == resource && self.letters & (1 << permission as u8) != 0
    }
    /// The FHIR resource type.
    pub fn resource(&self) -> &str {
        &self.resource
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "system/{}.", self.resource)?;
        for (letter, permission) in LETTERS {
            if self.letters & (1 << permission as u8) != 0 {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

impl std::str::FromStr for Scope {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let refuse = || {
            FieldError::new(
                "scopes",
                "each must read system/<ResourceType>.<letters of cruds in that order>, without wildcard",
                text,
            )
        };
        let (resource, letters) =
            text.strip_prefix("system/").and_then(|rest| rest.split_once('.')).ok_or_else(refuse)?;
        // Default deny and least privilege (R69): a wildcard resource is not a scope for a device.
        let named = (2..=64).contains(&resource.len())
            && resource.bytes().all(|b| b.is_ascii_alphabetic())
            && resource.starts_with(|c: char| c.is_ascii_uppercase());
        let mut bits = 0u8;
        for c in letters.chars() {
            let (_, permission) = LETTERS.iter().find(|(l, _)| *l == c).ok_or_else(refuse)?;
            let bit = 1u8 << *permission as u8;
            if bits >= bit {
                return Err(refuse());
            }
            bits |= bit;
        }
        if !named || bits == 0 {
            return Err(refuse());
        }
        Ok(Self { resource: resource.to_owned(), letters: bits })
    }
}

impl Serialize for Scope {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R41, R69
    #[test]
    fn scopes_are_exact_and_have_no_wildcards() {
        for good in ["system/Observation.c", "system/Patient.rs", "system/Observation.cruds"] {
            assert_eq!(good.parse::<Scope>().map(|s| s.to_string()), Ok(good.to_owned()));
        }
        for bad in [
            "system/*.c",
            "user/Observation.c",
            "system/Observation.",
            "system/Observation.rc",
            "system/Observation.cc",
            "",
            "system/observation.c",
        ] {
            assert!(bad.parse::<Scope>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_scope_allows_only_its_letters_and_resource() {
        let scope: Scope = "system/Observation.c".parse().unwrap();
        assert!(scope.allows("Observation", Permission::Create));
        assert!(!scope.allows("Observation", Permission::Read));
        assert!(!scope.allows("Patient", Permission::Create));
    }
}
