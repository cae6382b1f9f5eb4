//! Millions of issued certificates: what a restart, the inventory's filters and a revocation list cost then.
//!
//! A hospital is made by the real code (see [`generate`]): signed decisions, the devices' own rules, real certificates by the real
//! authority, all of it through the real journal into a real data directory. The server that is measured is a process of its
//! own ([`child`]), so that it can be killed, and its memory is nobody else's. In scope: start after a clean stop and after
//! kill -9, filters, lists, memory. Out of scope: issuing at that size (`durable`, `est`).
//!
//! `--certificates 5000000` is the size that is claimed; it takes 12 GB beside the program (or in `--data`, where it is kept and
//! used again) and a quarter of an hour.

mod child;
mod generate;
mod measure;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use lanyard_api::clock::Clock;
use lanyard_api::signing::OperatorKey;
use lanyard_domain::id::OperatorId;
use lanyard_pki::key::passphrase::Passphrase;
use lanyard_server::{Config, ControlPlane, Enroll, KeyPlaces, Running};

use crate::table::Row;
use crate::{Settings, disk};

pub use child::{ARGUMENT as SERVE, run as serve};

const ORIGIN: &str = "million.example/lanyard";
/// Says that a data directory is whole, and what is in it.
const WHOLE: &str = "whole.txt";
/// Where relying parties ask, as it stands in certificates; the bench asks where the server listens.
const HTTP_URL: &str = "http://pki.million.example";

pub fn run(settings: &Settings) -> Result<Vec<Row>> {
    let kept = settings.data.as_deref().map(|data| data.join(settings.certificates.to_string()));
    let own = if kept.is_none() { Some(disk::folder()?) } else { None };
    let folder = kept.as_deref().or(own.as_ref().map(|own| own.path())).context("there is no folder")?;
    std::fs::create_dir_all(folder)?;
    let home = Home::new(folder);
    let runtime = Arc::new(tokio::runtime::Builder::new_multi_thread().enable_all().build()?);
    let made = match home.made()? {
        Some(made) => made,
        None => runtime.block_on(generate::generate(&home, settings.certificates))?,
    };
    runtime.block_on(measure::measure(&home, &made))
}

/// A data directory of one control plane, and the key of a person who may look.
pub struct Home {
    folder: PathBuf,
}

/// What is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Certificates of devices, all valid.
    pub certificates: usize,
    /// Of these, revoked.
    pub revoked: usize,
    /// Devices.
    pub devices: usize,
    /// Who may look.
    pub operator: OperatorId,
}

impl Home {
    fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("control")
    }

    fn key_file(&self) -> PathBuf {
        self.folder.join("security.key")
    }

    fn key(&self) -> Result<OperatorKey> {
        Ok(OperatorKey::read(&self.key_file())?)
    }

    fn made(&self) -> Result<Option<Made>> {
        let Ok(text) = std::fs::read_to_string(self.folder.join(WHOLE)) else { return Ok(None) };
        let [certificates, revoked, devices, operator] =
            text.split_ascii_whitespace().collect::<Vec<_>>().try_into().ok().context("`whole.txt`")?;
        let (certificates, revoked, devices) = (certificates.parse()?, revoked.parse()?, devices.parse()?);
        Ok(Some(Made { certificates, revoked, devices, operator: operator.parse()? }))
    }

    fn whole(&self, made: &Made) -> Result<()> {
        let text = format!("{} {} {} {}\n", made.certificates, made.revoked, made.devices, made.operator);
        Ok(std::fs::write(self.folder.join(WHOLE), text)?)
    }

    async fn start(&self, clock: &Clock) -> Result<Running> {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let config = Config {
            data_dir: self.data(),
            anchor_dir: Some(self.folder.join("anchor")),
            listen: "127.0.0.1:0".parse()?,
            enroll: Enroll {
                listen: Some("127.0.0.1:0".parse()?),
                http_listen: Some("127.0.0.1:0".parse()?),
                names: names.clone(),
                http_url: Some(HTTP_URL.to_owned()),
                // As the configuration file has it where it says nothing.
                delta_entries: 1_000,
                ..Enroll::default()
            },
            watch: lanyard_server::watch::Bounds::default(),
            names,
            organization: "Bench Hospital".to_owned(),
            domain: "million.example".to_owned(),
            origin: ORIGIN.to_owned(),
            keys: KeyPlaces::default(),
        };
        // Seals keys of a data directory that is worth nothing.
        let passphrase =
            Passphrase::from_bytes(b"keys of a bench, worth nothing".to_vec(), "the bench's own")?;
        Ok(ControlPlane::start(config, passphrase, clock.clone()).await?)
    }
}
