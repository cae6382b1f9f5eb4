//! `lanyard ledger`: check a log on its own disk, erase a payload by law.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lanyard_domain::statement::Action;
use lanyard_ledger::note::NoteVerifier;
use lanyard_server::keys::Keys;
use lanyard_store::{CheckReport, LostAnchor, Options, Store, Trust, check_each};
use serde_json::json;

use super::Desk;
use super::refold::Refold;
use super::role::{Home, Secret, settings};
use crate::exit::Failure;
use crate::output::{Output, facts};

/// What to do with the ledger.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Recompute tree, chains, signatures and what events fold to; report the first difference. Reads only; the control
    /// plane may be running.
    Check(CheckArgs),
    /// Write the newest checkpoint back to an anchor directory that was lost. Only for a stopped control plane or gateway,
    /// and never after restoring an old copy of its log: that would sign a second history.
    RestoreAnchor(RestoreArgs),
    /// Erase the payload of one event; its leaf and every proof stay.
    Erase {
        /// Position in the log.
        pos: u64,
        /// What the law asks for it, such as `GDPR Art. 17`; stands in the ledger.
        #[arg(long)]
        basis: String,
        /// Why; stands in the ledger.
        #[arg(long, default_value = "erasure")]
        reason: String,
    },
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The control plane's data directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where its checkpoints are anchored; `anchor` in the data directory without it.
    #[arg(long, value_name = "DIR")]
    anchor: Option<PathBuf>,
    /// The log's verifier key. Without it the log's own key is taken, which proves only that it agrees with itself.
    #[arg(long, value_name = "VKEY")]
    log_key: Option<String>,
}

/// Arguments of `restore-anchor`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The data directory of the control plane, or of a gateway.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where its checkpoints are anchored; in the data directory without it.
    #[arg(long, value_name = "DIR")]
    anchor: Option<PathBuf>,
    /// Configuration of the control plane; its origin counts.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Say that this log is the newest copy there is.
    #[arg(long, required = true)]
    newest_copy: bool,
    #[command(flatten)]
    secret: Secret,
}

/// Runs one.
pub async fn run(command: LedgerCommand, desk: impl FnOnce() -> anyhow::Result<Desk>) -> anyhow::Result<()> {
    let desk = desk()?;
    match command {
        LedgerCommand::Check(args) => {
            let output = desk.output;
            // A long log takes minutes of disk and processor.
            tokio::task::spawn_blocking(move || check(&args, output)).await?
        }
        LedgerCommand::RestoreAnchor(args) => restore_anchor(&args, desk.output).await,
        LedgerCommand::Erase { pos, basis, reason } => {
            let action = Action::ErasePayload { pos, legal_basis: basis };
            desk.recorded(&desk.session()?.decide(action, &reason).await?)
        }
    }
}

fn check(args: &CheckArgs, output: Output) -> anyhow::Result<()> {
    let log = args.log_key.as_deref().map(NoteVerifier::parse).transpose();
    let log = log.map_err(|e| Failure::usage(format!("--log-key is not a verifier key: {e}")))?;
    let pinned = log.is_some();
    let anchor_dir = Some(args.anchor.clone().unwrap_or_else(|| args.data.join("anchor")));
    let mut refold = Refold::default();
    let report = check_each(&args.data.join("log"), &Trust { log, anchor_dir }, &mut |header, payload| {
        refold.take(header, payload);
    })?;
    let folded = refold.finish().map_err(|d| Failure::contradicted(d.to_string()))?;
    let json = json!({
        "log": report.log,
        "pinned": pinned,
        "events": report.events,
        "erased": report.erased,
        "streams": report.streams,
        "claims": report.claims,
        "checkpoints": report.checkpoints,
        "root": report.root.to_string(),
        "anchored": report.anchored,
        "devices": folded.devices,
        "operators": folded.operators,
        "statements": folded.statements,
        "open_issuances": folded.open_issuances,
    });
    output.one(&json, |_| text(&report, &folded, pinned))
}

async fn restore_anchor(args: &RestoreArgs, output: Output) -> anyhow::Result<()> {
    let log = args.data.join("log");
    if !log.join("log.db").is_file() {
        return Err(Failure::usage(format!("`{}` holds no log", args.data.display())));
    }
    let passphrase = args.secret.passphrase()?;
    let (signer, default) = match Home::read(&args.data)? {
        Some(home) => {
            let name = lanyard_gateway::config::log_name(&home.origin, home.gateway);
            (Home::keys(&args.data, passphrase)?.signer(&name)?, "log-anchor")
        }
        None => {
            let origin = settings(args.config.as_deref())?.control_plane(&args.data).origin;
            (Keys::open(&args.data.join("keys"), passphrase, &origin)?.log, "anchor")
        }
    };
    let anchor = args.anchor.clone().unwrap_or_else(|| args.data.join(default));
    let options = Options { lost_anchor: LostAnchor::WriteBack, ..Options::new(signer, anchor.clone()) };
    let store = tokio::task::spawn_blocking(move || Store::open(&log, options)).await??;
    let size = store.latest_checkpoint().map_or(0, |c| c.size);
    store.close().await?;
    let json = json!({ "anchor": anchor, "events": size });
    output.one(&json, |_| format!("`{}` holds the checkpoint over {size} events again\n", anchor.display()))
}

fn text(report: &CheckReport, folded: &super::refold::Folded, pinned: bool) -> String {
    let key = if pinned { "the given one" } else { "its own: give --log-key to pin it" };
    let anchored =
        report.anchored.map_or("no checkpoint is anchored yet".to_owned(), |size| format!("{size} events"));
    let mut text = facts(&[
        ("log", report.log.clone()),
        ("key", key.to_owned()),
        ("events", format!("{} ({} erased) in {} streams", report.events, report.erased, report.streams)),
        ("claims", report.claims.to_string()),
        ("checkpoints", report.checkpoints.to_string()),
        ("root", report.root.to_string()),
        ("anchored", anchored),
        (
            "folded",
            format!(
                "{} devices, {} operators, {} signed decisions, {} issuances open",
                folded.devices, folded.operators, folded.statements, folded.open_issuances
            ),
        ),
    ]);
    text.push_str("no difference found\n");
    text
}
