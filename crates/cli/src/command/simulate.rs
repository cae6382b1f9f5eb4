//! `lanyard agent simulate`: a device without hardware, for trials. A software TPM with a certificate of a simulated maker,
//! the event log of its firmware, PCRs that fit it. Booting again may change the firmware: that is how the walk of the
//! README tampers.
//!
//! What it makes proves nothing about a real device, and its maker's name says so.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use lanyard_agent::AgentError;
use lanyard_agent::tpm::RootOfTrust;
use lanyard_agent::tpm::soft::{MakerCa, Shutdown, SoftTpm};
use lanyard_api::clock::Clock;
use lanyard_pki::certificate::Certificate;
use lanyard_sim::firmware::Firmware;
use serde::Serialize;

use crate::exit::Failure;
use crate::files;
use crate::output::{Output, facts};

/// Arguments.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// The device's directory: software TPM in `tpm`, event log in `event.log`, its maker's certificate of the attestation key
    /// in `attestation.pem`. Made at the first call, booted at each.
    dir: PathBuf,
    #[command(flatten)]
    chip: ChipArgs,
    /// Maker of the device, as on the label.
    #[arg(long)]
    vendor: String,
    /// Model, as on the label.
    #[arg(long)]
    model: String,
    /// Serial number, as on the label.
    #[arg(long)]
    serial: String,
    /// Firmware version to boot.
    #[arg(long, default_value = "1.0.0")]
    firmware: String,
    /// Boot with this component changed, for example `kernel`.
    #[arg(long, value_name = "COMPONENT")]
    tamper: Option<String>,
}

/// Which chip; one of the two.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct ChipArgs {
    /// A software TPM of this simulated maker: its directory has its key, and `endorsement.der` for `lanyard endorsement
    /// add`. Made when absent.
    #[arg(long, value_name = "DIR")]
    maker: Option<PathBuf>,
    /// A TPM emulator such as swtpm that has just been switched on: its PCRs are extended as this firmware's boot would.
    #[arg(long, value_name = "TCTI")]
    tcti: Option<String>,
}

#[derive(Serialize)]
struct Simulated {
    tpm_dir: PathBuf,
    event_log: PathBuf,
    endorsement: Option<PathBuf>,
    attestation_certificates: Option<PathBuf>,
    firmware: String,
    events: usize,
    tampered: Option<String>,
}

/// Makes or boots the device.
pub async fn run(args: &SimulateArgs, output: Output) -> anyhow::Result<()> {
    let (tpm_dir, event_log) = (args.dir.join("tpm"), args.dir.join("event.log"));
    let firmware = Firmware::new(&args.vendor, &args.model, &args.firmware, 1);
    let booted = match &args.tamper {
        Some(component) => firmware.tampered(component),
        None => firmware.clone(),
    };
    let boot = booted.boot(None);
    if let Some(component) = args.tamper.as_deref().filter(|_| boot.log == firmware.boot(None).log) {
        return Err(Failure::usage(format!(
            "the firmware has no component `{component}`; try `kernel`, `boot loader` or `firmware volume`"
        )));
    }
    std::fs::create_dir_all(&args.dir).with_context(|| format!("cannot make `{}`", args.dir.display()))?;
    switch_on(args, &tpm_dir, boot.extends.clone()).await?;
    files::replace_public(&event_log, &boot.log)?;
    let done = Simulated {
        tpm_dir,
        event_log,
        endorsement: args.chip.maker.as_ref().map(|dir| dir.join(ENDORSEMENT)),
        attestation_certificates: args.chip.maker.as_ref().map(|_| args.dir.join(ATTESTATION)),
        firmware: booted.version().to_owned(),
        events: boot.events(),
        tampered: args.tamper.clone(),
    };
    output.one(&done, |d| {
        facts(&[
            ("software TPM", d.tpm_dir.display().to_string()),
            ("event log", format!("{} ({} events)", d.event_log.display(), d.events)),
            ("endorsement", shown(&d.endorsement)),
            ("attestation key", shown(&d.attestation_certificates)),
            ("firmware", d.firmware.clone()),
            ("changed", d.tampered.clone().unwrap_or_default()),
        ])
    })
}

fn shown(path: &Option<PathBuf>) -> String {
    path.as_ref().map(|p| p.display().to_string()).unwrap_or_default()
}

/// Power off and on where that can be done from here, then what the boot measures.
async fn switch_on(args: &SimulateArgs, tpm_dir: &Path, extends: Vec<(u8, [u8; 32])>) -> anyhow::Result<()> {
    let chip: Arc<dyn RootOfTrust> = match (&args.chip.maker, &args.chip.tcti) {
        (Some(maker_dir), _) => {
            let maker = maker(maker_dir)?;
            let tpm = if tpm_dir.join("chip.lyrt").exists() {
                SoftTpm::open(tpm_dir)
            } else {
                SoftTpm::manufacture(tpm_dir, &maker, &args.model, &args.serial)
            };
            let tpm = tpm.map_err(AgentError::from).context("the software TPM")?;
            tpm.reset(Shutdown::Orderly).map_err(AgentError::from).context("the software TPM")?;
            // The maker knows which device its chip went into.
            let ak = tpm.ensure_ak().map_err(AgentError::from).context("the software TPM")?;
            let leaf = maker.certify_attestation_key(&ak.public, &args.model, &args.serial);
            let leaf = leaf.map_err(AgentError::from).context("the simulated maker")?;
            let leaf = Certificate::parse(&leaf).context("the simulated maker")?;
            files::replace_public(&args.dir.join(ATTESTATION), leaf.to_pem().as_bytes())?;
            Arc::new(tpm)
        }
        (None, Some(tcti)) => {
            let (tcti, dir) = (tcti.clone(), args.dir.clone());
            tokio::task::spawn_blocking(move || super::agent::hardware(&tcti, Some(dir))).await??
        }
        (None, None) => return Err(Failure::usage("name the chip: --maker DIR or --tcti TCTI")),
    };
    tokio::task::spawn_blocking(move || {
        let extended: Result<(), _> =
            extends.iter().try_for_each(|(pcr, digest)| chip.pcr_extend(*pcr, digest));
        extended.map_err(AgentError::from).context("measuring the boot")
    })
    .await?
}

const MAKER: &str = "maker.key";
const ENDORSEMENT: &str = "endorsement.der";
const ATTESTATION: &str = "attestation.pem";

fn maker(dir: &Path) -> anyhow::Result<MakerCa> {
    let path = dir.join(MAKER);
    if path.exists() {
        return MakerCa::import(&files::read(&path)?)
            .map_err(AgentError::from)
            .context("the simulated maker");
    }
    let maker = MakerCa::new("Simulated Chips", Clock::system().now()).map_err(AgentError::from)?;
    files::replace_private(&path, &maker.export().map_err(AgentError::from)?)?;
    files::replace_public(&dir.join(ENDORSEMENT), maker.root_der())?;
    Ok(maker)
}
