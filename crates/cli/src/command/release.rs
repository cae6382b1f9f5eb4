//! `lanyard release`: firmware and AI model releases, from a golden device to approval by a second person.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use lanyard_api::operator::{Recorded, ReleaseDetail, ReleaseLine};
use lanyard_attest::tcg::BASELINE_PCRS;
use lanyard_control::digest::{random, sha256};
use lanyard_domain::id::ReleaseId;
use lanyard_domain::release::{ReleaseContent, ReleaseRecord};
use lanyard_domain::statement::Action;
use lanyard_domain::time::Timestamp;
use serde::Serialize;

use super::{Desk, golden};
use crate::exit::Failure;
use crate::files;
use crate::output::{Column, emit, facts};
use crate::session::Session;

/// What to do with releases. RELEASE is an id or the start of one.
#[derive(Debug, Subcommand)]
pub enum ReleaseCommand {
    /// Make a release file from a golden device's event log, or from an AI model's manifest. No server needed.
    Measure(MeasureArgs),
    /// Propose a release from its file; a second person must approve it.
    Add {
        /// The release file.
        file: PathBuf,
        /// Why; stands in the ledger.
        #[arg(long, default_value = "release proposed")]
        reason: String,
    },
    /// Approve a release that someone else proposed.
    Approve(Decision),
    /// Withdraw a release: devices that run it lose trust at once.
    Withdraw(Decision),
    /// List releases.
    List,
    /// One release, as it was proposed.
    Get {
        /// Which.
        release: String,
    },
}

/// A decision about one release.
#[derive(Debug, Args)]
pub struct Decision {
    /// Which release.
    release: String,
    /// Why; stands in the ledger.
    #[arg(long)]
    reason: String,
}

/// Arguments of `measure`.
#[derive(Debug, Args)]
pub struct MeasureArgs {
    /// Maker, as on the label.
    #[arg(long)]
    vendor: String,
    /// Model, as on the label.
    #[arg(long)]
    model: String,
    /// Version as its maker prints it.
    #[arg(long = "release-version", value_name = "VERSION")]
    version: String,
    /// Counts up with each security fix.
    #[arg(long, default_value_t = 1)]
    security_version: u32,
    /// Releases below this stop being acceptable; the release's own security version without it.
    #[arg(long)]
    minimum_security_version: Option<u32>,
    /// End of the approval's window: a warning after it, never a cut.
    #[arg(long, value_name = "TIME")]
    not_after: Option<Timestamp>,
    #[command(flatten)]
    what: What,
    /// PCRs that the release fixes.
    #[arg(long, value_delimiter = ',', default_values_t = BASELINE_PCRS, conflicts_with = "manifest")]
    pcrs: Vec<u8>,
    /// Where the release goes; standard output without it. Not overwritten.
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// What is measured; one of the two.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct What {
    /// TCG event log of a golden device, such as /sys/kernel/security/tpm0/binary_bios_measurements.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Manifest of an AI model: the file that lists its files and thresholds.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
}

const COLUMNS: [Column<ReleaseLine>; 6] = [
    Column::new("RELEASE", |r| r.release.to_string()),
    Column::new("KIND", |r| r.kind.clone()),
    Column::new("VENDOR", |r| r.vendor.clone()),
    Column::new("MODEL", |r| r.model.clone()),
    Column::new("VERSION", |r| r.version.clone()),
    Column::new("STATE", |r| format!("{:?}", r.state).to_lowercase()),
];

/// Runs one.
pub async fn run(command: ReleaseCommand, desk: &Desk) -> anyhow::Result<()> {
    match command {
        ReleaseCommand::Measure(args) => measure(&args),
        ReleaseCommand::Add { file, reason } => add(&file, &reason, desk).await,
        ReleaseCommand::Approve(d) => decide(d, |release| Action::ApproveRelease { release }, desk).await,
        ReleaseCommand::Withdraw(d) => decide(d, |release| Action::WithdrawRelease { release }, desk).await,
        ReleaseCommand::List => {
            let lines: Vec<ReleaseLine> = desk.session()?.read("/v1/releases").await?;
            desk.output.list(&lines, &COLUMNS, "no release yet")
        }
        ReleaseCommand::Get { release } => {
            let mut session = desk.session()?;
            let id = resolve(&mut session, &release).await?;
            let detail: ReleaseDetail = session.read(&format!("/v1/releases/{id}")).await?;
            desk.output.one(&detail, text)
        }
    }
}

fn measure(args: &MeasureArgs) -> anyhow::Result<()> {
    let content = match (&args.what.log, &args.what.manifest) {
        (Some(log), _) => golden::firmware(&files::read(log)?, &args.pcrs)?,
        (None, Some(manifest)) => ReleaseContent::Model { manifest_digest: sha256(&files::read(manifest)?) },
        (None, None) => return Err(Failure::usage("name what is measured: --log FILE or --manifest FILE")),
    };
    let record = ReleaseRecord {
        vendor: args.vendor.clone(),
        model: args.model.clone(),
        version: args.version.clone(),
        security_version: args.security_version,
        minimum_security_version: args.minimum_security_version.unwrap_or(args.security_version),
        not_after: args.not_after,
        content,
    };
    record.check()?;
    let json = serde_json::to_string_pretty(&record)? + "\n";
    let Some(file) = &args.file else {
        emit(&json);
        return Ok(());
    };
    files::create_new(file, json.as_bytes())?;
    emit(&format!("wrote {0}\nnext: lanyard release add {0}\n", file.display()));
    Ok(())
}

#[derive(Serialize)]
struct Proposed {
    release: ReleaseId,
    recorded: Recorded,
}

async fn add(file: &Path, reason: &str, desk: &Desk) -> anyhow::Result<()> {
    let record: ReleaseRecord = serde_json::from_str(&files::read_text(file)?)
        .map_err(|e| Failure::usage(format!("`{}` is not a release: {e}", file.display())))?;
    record.check()?;
    let release = ReleaseId::from_random(random()?);
    let recorded = desk.session()?.decide(Action::ProposeRelease { release, record }, reason).await?;
    desk.output.one(&Proposed { release, recorded }, |p| {
        let r = &p.recorded;
        format!(
            "{} (position {}, {})\nnext, by somebody else: lanyard release approve {} --reason WHY",
            r.outcome, r.pos, r.level, p.release
        )
    })
}

async fn decide(
    decision: Decision,
    action: impl FnOnce(ReleaseId) -> Action,
    desk: &Desk,
) -> anyhow::Result<()> {
    let mut session = desk.session()?;
    let release = resolve(&mut session, &decision.release).await?;
    desk.recorded(&session.decide(action(release), &decision.reason).await?)
}

async fn resolve(session: &mut Session, text: &str) -> anyhow::Result<ReleaseId> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let lines: Vec<ReleaseLine> = session.read("/v1/releases").await?;
    let found: Vec<ReleaseId> =
        lines.iter().map(|r| r.release).filter(|id| id.to_string().starts_with(text)).collect();
    match found.as_slice() {
        [one] if !text.is_empty() => Ok(*one),
        [] => {
            Err(Failure::refused(format!("there is no release `{text}`; `lanyard release list` shows them")))
        }
        many => Err(Failure::usage(format!("`{text}` fits {} releases; write more of the id", many.len()))),
    }
}

fn text(detail: &ReleaseDetail) -> String {
    let r = &detail.record;
    let (kind, content) = match &r.content {
        ReleaseContent::Model { manifest_digest } => ("AI model", format!("manifest {manifest_digest}")),
        ReleaseContent::Firmware { pcrs, events } => {
            let values: Vec<String> = pcrs.iter().map(|p| format!("PCR {:<2} {}", p.pcr, p.value)).collect();
            ("firmware", format!("{}\n{} events", values.join("\n"), events.len()))
        }
    };
    facts(&[
        ("release", detail.release.to_string()),
        ("kind", kind.to_owned()),
        ("vendor", r.vendor.clone()),
        ("model", r.model.clone()),
        ("version", r.version.clone()),
        ("security version", format!("{} (minimum {})", r.security_version, r.minimum_security_version)),
        ("approval ends", r.not_after.map(|t| t.to_string()).unwrap_or_default()),
        ("state", format!("{:?}", detail.state).to_lowercase()),
        ("content", content),
    ])
}
