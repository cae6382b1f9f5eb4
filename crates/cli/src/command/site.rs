//! `lanyard site`: when certificates of a site's devices may be replaced.

use clap::Subcommand;
use lanyard_api::pki::SiteLine;
use lanyard_domain::maintenance::Window;
use lanyard_domain::statement::Action;

use super::Desk;
use crate::output::Column;

/// What to do with sites.
#[derive(Debug, Subcommand)]
pub enum SiteCommand {
    /// Set a site's maintenance windows, in the place of those before: certificates are renewed inside one where one comes
    /// before their end.
    Windows {
        /// Which site.
        site: String,
        /// A window: a day (`mon` to `sun`, or `daily`), a time and an offset from UTC, such as `sat 02:00-05:00 +01:00`;
        /// more than once for several, not at all to have none.
        #[arg(long = "window", value_name = "WINDOW")]
        windows: Vec<Window>,
        /// Why; stands in the ledger.
        #[arg(long)]
        reason: String,
    },
    /// All sites that have windows.
    List,
}

const COLUMNS: [Column<SiteLine>; 2] = [
    Column::new("SITE", |s| s.site.clone()),
    Column::new("WINDOWS", |s| s.windows.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
];

/// Runs one.
pub async fn run(command: SiteCommand, desk: &Desk) -> anyhow::Result<()> {
    let mut session = desk.session()?;
    match command {
        SiteCommand::Windows { site, windows, reason } => {
            desk.recorded(&session.decide(Action::SetMaintenance { site, windows }, &reason).await?)
        }
        SiteCommand::List => {
            let lines: Vec<SiteLine> = session.read("/v1/sites").await?;
            desk.output.list(&lines, &COLUMNS, "no site has maintenance windows")
        }
    }
}
