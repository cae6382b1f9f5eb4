//! What the roles that run (control plane, gateway, agent) share: passphrase, log lines, the signal to stop, and how a
//! gateway is put together from its directory.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use lanyard_api::client::Server;
use lanyard_api::clock::Clock;
use lanyard_api::listen::Limits;
use lanyard_control::digest::random;
use lanyard_domain::id::GatewayId;
use lanyard_gateway::fhir::Guard;
use lanyard_gateway::{GatewayConfig, GatewayKeys};
use lanyard_pki::key::passphrase::{self, Passphrase};
use lanyard_pki::key::seal::{Cost, Sealer};
use lanyard_pki::key::{SealedDirectory, SoftwareKeys};
use lanyard_server::config::{GatewaySettings, Settings};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::exit::Failure;
use crate::files;

/// The environment variable with the passphrase.
const VARIABLE: &str = "LANYARD_PASSPHRASE";
/// The systemd credential with the passphrase.
const CREDENTIAL: &str = "lanyard-passphrase";

/// Where the passphrase comes from.
#[derive(Debug, Clone, Args)]
pub struct Secret {
    /// File with the passphrase of the sealed keys, mode 0600. Without it: the environment variable LANYARD_PASSPHRASE,
    /// then the systemd credential `lanyard-passphrase`.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl Secret {
    /// The passphrase, from the first place that has one.
    pub fn passphrase(&self) -> anyhow::Result<Passphrase> {
        if let Some(path) = &self.passphrase_file {
            return Ok(passphrase::from_file(path)?);
        }
        if std::env::var_os(VARIABLE).is_some() {
            return Ok(passphrase::from_env(VARIABLE)?);
        }
        if std::env::var_os("CREDENTIALS_DIRECTORY").is_some() {
            return Ok(passphrase::from_credential(CREDENTIAL)?);
        }
        Err(Failure::usage(format!(
            "no passphrase for the sealed keys: make one with `(umask 077; openssl rand -base64 24 > passphrase)` and give \
             it by --passphrase-file passphrase, or set {VARIABLE}, or let systemd pass the credential `{CREDENTIAL}`"
        )))
    }
}

/// The settings of a file, or the defaults.
pub fn settings(file: Option<&Path>) -> anyhow::Result<Settings> {
    Ok(file.map(Settings::read).transpose()?.unwrap_or_default())
}

/// Log lines to standard error. `RUST_LOG` refines what the configuration says.
pub fn log_lines(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // A second initialisation (tests in one process) keeps the first.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colour)
        .with_writer(std::io::stderr)
        .try_init();
}

/// Completes at SIGTERM or Ctrl-C.
pub async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        _ = terminate.recv() => {}
        pressed = tokio::signal::ctrl_c() => pressed.context("cannot listen for Ctrl-C")?,
    }
    Ok(())
}

/// A gateway's directory: who it is, and its keys.
///
/// `gateway.json` lost: the gateway has a new id, and its key, which the ledger knows under the old one, is refused:
/// restore the file. Rolled back: nothing, it does not change. Written by an attacker: the wrong control plane or anchors;
/// devices are then refused, because their certificates chain to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Home {
    /// Its id.
    pub gateway: GatewayId,
    /// Control planes; empty for the one in the same process.
    pub control: Vec<String>,
    /// Main log.
    pub origin: String,
    /// Trust anchors, PEM.
    pub anchors_pem: String,
}

const HOME_FILE: &str = "gateway.json";

impl Home {
    /// The home in a directory, when there is one.
    pub fn read(dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = dir.join(HOME_FILE);
        let Some(text) = files::read_text_if_exists(&path)? else { return Ok(None) };
        let home = serde_json::from_str(&text).map_err(|e| {
            Failure::usage(format!("`{}` cannot be read: {e}; restore it from a backup", path.display()))
        })?;
        Ok(Some(home))
    }

    /// A new one.
    pub fn create(dir: &Path, control: Vec<String>, origin: &str, anchors_pem: &str) -> anyhow::Result<Self> {
        let home = Self {
            gateway: GatewayId::from_random(random()?),
            control,
            origin: origin.to_owned(),
            anchors_pem: anchors_pem.to_owned(),
        };
        files::replace_private(&dir.join(HOME_FILE), serde_json::to_string_pretty(&home)?.as_bytes())?;
        Ok(home)
    }

    /// Its keys, made at the first call.
    pub fn keys(dir: &Path, passphrase: Passphrase) -> anyhow::Result<GatewayKeys> {
        let sealed = SealedDirectory::open(&dir.join("keys"), Sealer::new(passphrase, Cost::STANDARD));
        let store = sealed.and_then(SoftwareKeys::open).context("cannot open the gateway's sealed keys")?;
        GatewayKeys::open(Arc::new(store)).context("cannot open the gateway's keys")
    }

    /// What the gateway is started with.
    pub fn config(
        &self,
        settings: &GatewaySettings,
        dir: &Path,
        control: Vec<Server>,
        clock: &Clock,
    ) -> anyhow::Result<GatewayConfig> {
        Ok(GatewayConfig {
            id: self.gateway,
            site: settings.site.clone(),
            log_origin: self.origin.clone(),
            listen: settings.listen,
            control,
            anchors_pem: self.anchors_pem.clone(),
            data_dir: dir.to_owned(),
            anchor_dir: settings.anchor_dir.clone(),
            ehr_base_url: settings.upstream.clone(),
            ehr_bearer: settings.upstream_token_file.as_deref().map(token).transpose()?,
            ehr_ca_pem: settings.upstream_ca.as_deref().map(files::read_text).transpose()?,
            ehr_timeout: Duration::from_secs(settings.upstream_timeout_seconds),
            max_body: Guard::MAX_BODY,
            limits: Limits::default(),
            clock: clock.clone(),
        })
    }
}

/// A secret of one line, in a file that only its owner can read.
fn token(path: &Path) -> anyhow::Result<String> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |e| Failure::usage(format!("cannot read `{}`: {e}", path.display()));
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Failure::usage(format!(
            "`{0}` can be read by others (mode {mode:03o}): run `chmod 600 {0}`, and replace the token if it was exposed",
            path.display()
        )));
    }
    Ok(files::read_text(path)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    // I10
    #[test]
    fn a_token_or_passphrase_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        let secret = Secret { passphrase_file: Some(path.clone()) };
        for (mode, accepted) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(token(&path).is_ok(), accepted, "{mode:o}");
            assert_eq!(secret.passphrase().is_ok(), accepted, "{mode:o}");
        }
    }

    #[test]
    fn a_gateways_home_reads_back_and_a_damaged_one_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Home::read(dir.path()).unwrap(), None);
        let made = Home::create(dir.path(), vec!["one:1".into()], "o", "pem").unwrap();
        assert_eq!(Home::read(dir.path()).unwrap(), Some(made));
        let path = dir.path().join(HOME_FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        for end in 0..text.len() {
            std::fs::write(&path, text.get(..end).unwrap()).unwrap();
            assert!(Home::read(dir.path()).is_err(), "cut at {end}");
        }
    }
}
