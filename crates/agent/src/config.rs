//! What the agent must be told: where the control plane is, whom to trust, and what the device's label says.
//!
//! A wrong key or value is refused with its line and column (the TOML parser's) or its field and rule (ours).
//! To add a key: a field here with its default, its danger in the comment, and a line in [`AgentConfig::check`].

use std::path::PathBuf;

use lanyard_api::client::{BadServer, Server};
use lanyard_domain::text::{FieldError, check_text};
use lanyard_pki::certificate::chain_from_pem;
use lanyard_pki::path::Anchors;
use serde::{Deserialize, Serialize};

use crate::measure::{BIOS_LOG, ModelFile};
use crate::protocol::Enrollment;

/// A device has one to three control planes; more is a mistake.
const MAX_SERVERS: usize = 16;

/// The agent's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// Control planes, `host:port`, asked in this order.
    pub servers: Vec<String>,
    /// Trust anchors of the control plane, PEM. Whoever can write them can pose as the hospital.
    pub anchors_pem: String,
    /// Where identity and status are kept; absent means memory only, and an enrollment at each start.
    #[serde(default)]
    pub state_dir: Option<PathBuf>,
    /// Maker, as on the label and in the record.
    pub vendor: String,
    /// Model, as on the label and in the record.
    pub model: String,
    /// Serial number, as on the label and in the record.
    pub serial: String,
    /// Firmware's event log.
    #[serde(default = "default_event_log")]
    pub event_log: PathBuf,
    /// AI models that this device loads: their manifests are measured before the first quote.
    #[serde(default)]
    pub models: Vec<ModelFile>,
    /// Gateways, `host:port`, that take this device's data.
    #[serde(default)]
    pub gateways: Vec<String>,
    /// How this device enrolls, if not by our own protocol.
    #[serde(default, skip_serializing_if = "Enrollment::is_default")]
    pub enrollment: Enrollment,
}

fn default_event_log() -> PathBuf {
    PathBuf::from(BIOS_LOG)
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not TOML, an unknown key, or a value of the wrong kind; names line and column.
    #[error("configuration cannot be read: {0}")]
    Malformed(#[from] toml::de::Error),
    /// A value breaks a rule.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// An address.
    #[error("servers or gateways: {0}")]
    Server(#[from] BadServer),
    /// None or too many.
    #[error("servers: {0} are named; name 1 to {MAX_SERVERS}")]
    ServerCount(usize),
    /// The anchors.
    #[error("anchors_pem: {0}; put the control plane's CA certificate there, as `lanyard up` wrote it")]
    Anchors(String),
}

impl AgentConfig {
    /// Reads and checks TOML text.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)?;
        config.check()?;
        Ok(config)
    }

    /// Checks all values.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (field, value) in [("vendor", &self.vendor), ("model", &self.model), ("serial", &self.serial)] {
            // As in the device's record: what is longer cannot be registered.
            check_text(field, value, 64)?;
        }
        self.enrollment.check()?;
        self.servers()?;
        self.gateways()?;
        self.anchors()?;
        Ok(())
    }

    /// The control planes.
    pub fn servers(&self) -> Result<Vec<Server>, ConfigError> {
        if !(1..=MAX_SERVERS).contains(&self.servers.len()) {
            return Err(ConfigError::ServerCount(self.servers.len()));
        }
        addresses(&self.servers)
    }

    /// The gateways.
    pub fn gateways(&self) -> Result<Vec<Server>, ConfigError> {
        addresses(&self.gateways)
    }

    /// The trust anchors.
    pub fn anchors(&self) -> Result<Anchors, ConfigError> {
        let anchors = chain_from_pem(self.anchors_pem.as_bytes());
        let anchors = anchors.map_err(|e| ConfigError::Anchors(e.to_string()))?;
        Anchors::new(anchors).map_err(|e| ConfigError::Anchors(e.to_string()))
    }
}

fn addresses(texts: &[String]) -> Result<Vec<Server>, ConfigError> {
    texts.iter().map(|t| t.parse().map_err(ConfigError::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::anchors_pem;

    fn text(more: &str) -> String {
        format!(
            "servers = ['one:1', '[::1]:2']\nvendor = 'Acme'\nmodel = 'P1'\nserial = 'S1'\n{more}\nanchors_pem = '''\n{}'''\n",
            anchors_pem()
        )
    }

    #[test]
    fn a_short_configuration_gets_its_defaults() {
        let config = AgentConfig::parse(&text("")).unwrap();
        assert_eq!(config.servers().unwrap().len(), 2);
        assert_eq!(config.event_log, PathBuf::from(BIOS_LOG));
        assert_eq!((config.state_dir, config.models.len(), config.gateways.len()), (None, 0, 0));
    }

    #[test]
    fn a_wrong_key_or_value_is_refused_with_its_place() {
        for (change, expected) in [
            (text("sevrers = 1"), "line 5, column 1"),
            (text("event_log = 1"), "line 5, column 13"),
            (text("gateways = ['no port:x']"), "is not a server's address"),
            (text("").replace("'S1'", "''"), "serial: must not be empty"),
            (text("").replace("['one:1', '[::1]:2']", "[]"), "name 1 to 16"),
            (text("").replace("BEGIN CERT", "BEGIN WHAT"), "anchors_pem"),
            (text("").replace("vendor = 'Acme'\n", ""), "missing field `vendor`"),
            (text("enrollment = {protocol = 'est'}"), "enrollment.servers"),
            (text("enrollment = {protocol = 'scep'}"), "unknown variant `scep`"),
            (text("models = [{name = 'm', manifest = 'f', extra = 1}]"), "unknown field `extra`"),
        ] {
            let error = AgentConfig::parse(&change).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }
}
