//! The operator's profile: which control plane, how it is recognised, who the operator is.
//!
//! Lost: log in again with the fingerprint, and keep the key file. Rolled back: an older server address or key file is
//! used; nothing else. Written by an attacker: it can send the operator to another control plane whose decisions would
//! be about another log, so that no signature of the operator is valid at the real one; it cannot sign. The private key
//! is in its own file (mode 0600), never here.

use std::path::{Path, PathBuf};

use anyhow::Context;
use lanyard_domain::id::OperatorId;
use serde::{Deserialize, Serialize};

use crate::exit::Failure;
use crate::files;

/// The profile file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// The operator, once a key was made.
    pub operator: Option<OperatorId>,
    /// Display name.
    pub name: Option<String>,
    /// Private key file, relative to the profile.
    pub key_file: Option<PathBuf>,
    /// Control plane, once logged in.
    pub server: Option<Pinned>,
}

/// A control plane that the operator has recognised by its fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// `host:port`.
    pub address: String,
    /// Name of its log.
    pub origin: String,
    /// Verifier key of its log.
    pub log_vkey: String,
    /// Its trust anchors, PEM.
    pub anchors_pem: String,
}

/// Where the profile is when nobody says: `$XDG_CONFIG_HOME` or `~/.config`.
pub fn default_path() -> anyhow::Result<PathBuf> {
    let base = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let base = base.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
    let base =
        base.ok_or_else(|| Failure::usage("no home directory: name the profile with --profile FILE"))?;
    Ok(base.join("lanyard").join("profile.toml"))
}

impl Profile {
    /// Reads a profile; an absent one is empty.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let Some(text) = files::read_text_if_exists(path)? else { return Ok(Self::default()) };
        Self::parse(&text).map_err(|e| Failure::usage(format!("profile `{}`: {e}", path.display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())
    }

    /// Writes it, for its owner only.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = toml::to_string_pretty(self).context("cannot write the profile as TOML")?;
        files::replace_private(path, text.as_bytes())
    }

    /// The pinned control plane.
    pub fn pinned(&self) -> anyhow::Result<&Pinned> {
        self.server.as_ref().ok_or_else(|| {
            Failure::usage(
                "this profile knows no control plane: run `lanyard login --server HOST:PORT` first",
            )
        })
    }

    /// The operator's key file, wherever the profile lies.
    pub fn key_path(&self, profile: &Path) -> anyhow::Result<PathBuf> {
        let file = self.key_file.as_ref().ok_or_else(|| {
            Failure::usage(
                "this profile has no operator: run `lanyard operator key NAME`, and have an admin add you",
            )
        })?;
        Ok(profile.parent().unwrap_or(Path::new(".")).join(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Profile {
        Profile {
            operator: Some(OperatorId::from_random([3; 16])),
            name: Some("Anna".into()),
            key_file: Some("anna.key".into()),
            server: Some(Pinned {
                address: "localhost:8443".into(),
                origin: "hospital.example/lanyard".into(),
                log_vkey: "hospital.example/lanyard+00000000+AA".into(),
                anchors_pem: "-----BEGIN CERTIFICATE-----\n".into(),
            }),
        }
    }

    #[test]
    fn a_profile_reads_back_as_written_and_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/anna.toml");
        assert_eq!(Profile::read(&path).unwrap(), Profile::default());
        full().write(&path).unwrap();
        assert_eq!(Profile::read(&path).unwrap(), full());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(full().key_path(&path).unwrap(), dir.path().join("deep/anna.key"));
    }

    #[test]
    fn a_wrong_key_in_a_profile_is_refused_with_line_and_column() {
        let error = Profile::parse("name = 'Anna'\nserverr = 1").unwrap_err();
        assert!(error.contains("line 2, column 1") && error.contains("serverr"), "{error}");
    }

    #[test]
    fn what_is_missing_is_said_with_the_command_that_mends_it() {
        let empty = Profile::default();
        assert!(empty.pinned().unwrap_err().to_string().contains("lanyard login"));
        assert!(empty.key_path(Path::new("x")).unwrap_err().to_string().contains("lanyard operator key"));
    }
}
