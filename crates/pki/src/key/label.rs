//! The name of a key in its backend.

use std::fmt;
use std::str::FromStr;

/// The name of a key or secret in its backend; also its file name, and its CKA_LABEL in a hardware module.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyLabel(String);

impl KeyLabel {
    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a key label: use 1 to 64 lower-case letters, digits and hyphens, a letter first")]
pub struct BadLabel(String);

impl FromStr for KeyLabel {
    type Err = BadLabel;

    fn from_str(text: &str) -> Result<Self, BadLabel> {
        // No dot and no slash: a label can be a file name and cannot leave its directory.
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && text.starts_with(|c: char| c.is_ascii_lowercase());
        if fits { Ok(Self(text.to_owned())) } else { Err(BadLabel(text.chars().take(80).collect())) }
    }
}

impl fmt::Display for KeyLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_leave_its_directory() {
        for text in ["", "../x", "a/b", "a.b", "A", "1a", "-a", &"a".repeat(65)] {
            assert!(text.parse::<KeyLabel>().is_err(), "{text}");
        }
        assert!("issuing-g1".parse::<KeyLabel>().is_ok());
    }
}
