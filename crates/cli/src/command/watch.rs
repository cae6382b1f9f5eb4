//! `lanyard watch`: servers of the hospital whose certificates are watched, whoever issued them.

use clap::{Args, Subcommand};
use lanyard_api::pki::WatchedLine;
use lanyard_domain::statement::Action;
use lanyard_domain::watched::WatchRecord;

use super::Desk;
use crate::exit::Failure;
use crate::output::Column;

/// What to watch.
#[derive(Debug, Subcommand)]
pub enum WatchCommand {
    /// Have a server watched; one that is on the list gets this owner, site and purpose.
    Add(AddArgs),
    /// All that are watched, those that end first above.
    #[command(visible_alias = "ls")]
    List,
    /// Take a server off the list.
    Remove {
        /// As it was added.
        #[arg(value_name = "HOST:PORT")]
        address: String,
        /// Why; stands in the ledger.
        #[arg(long)]
        reason: String,
    },
}

/// Arguments of `add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Where it listens with TLS from the first byte on.
    #[arg(value_name = "HOST:PORT")]
    address: String,
    /// Who answers for it now: a role or team address.
    #[arg(long)]
    owner: String,
    /// Site.
    #[arg(long)]
    site: String,
    /// What depends on it, in a sentence.
    #[arg(long)]
    purpose: String,
    /// Why; stands in the ledger.
    #[arg(long, default_value = "its certificate must not end unseen")]
    reason: String,
}

const COLUMNS: [Column<WatchedLine>; 8] = [
    Column::new("ADDRESS", |l| l.record.address.clone()),
    Column::new("STANDING", |l| l.standing.clone()),
    Column::new("UNTIL", |l| l.certificate.as_ref().map(|c| c.not_after.to_string()).unwrap_or_default()),
    Column::new("SITE", |l| l.record.site.clone()),
    Column::new("OWNER", |l| l.record.owner.clone()),
    Column::new("ISSUER", |l| l.certificate.as_ref().map(|c| c.issuer.clone()).unwrap_or_default()),
    Column::new("LAST LOOK", |l| match (&l.looked_at, &l.fault) {
        (Some(at), Some(fault)) => format!("{at}: {fault}"),
        (Some(at), None) => at.to_string(),
        (None, _) => String::new(),
    }),
    Column::new("PURPOSE", |l| l.record.purpose.clone()),
];

/// Runs one.
pub async fn run(command: WatchCommand, desk: &Desk) -> anyhow::Result<()> {
    let mut session = desk.session()?;
    match command {
        WatchCommand::Add(args) => {
            let record = WatchRecord {
                address: args.address,
                site: args.site,
                owner: args.owner,
                purpose: args.purpose,
            };
            record.check().map_err(|e| Failure::usage(e.to_string()))?;
            desk.recorded(&session.decide(Action::WatchServer { record }, &args.reason).await?)
        }
        WatchCommand::List => {
            let lines: Vec<WatchedLine> = session.read("/v1/watched").await?;
            desk.output.list(&lines, &COLUMNS, "no server is watched")
        }
        WatchCommand::Remove { address, reason } => {
            desk.recorded(&session.decide(Action::UnwatchServer { address }, &reason).await?)
        }
    }
}
