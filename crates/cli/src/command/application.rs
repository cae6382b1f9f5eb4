//! `lanyard application`: servers and services of the hospital that get certificates by ACME.

use std::path::PathBuf;

use clap::Subcommand;
use lanyard_api::operator::Recorded;
use lanyard_api::pki::ApplicationLine;
use lanyard_control::digest::random;
use lanyard_domain::application::ApplicationRecord;
use lanyard_domain::id::{ApplicationId, SecretId};
use lanyard_domain::statement::Action;
use serde::Serialize;

use super::Desk;
use super::device::{SecretGiven, Span, secret_text};
use crate::exit::Failure;
use crate::files;
use crate::output::Column;
use crate::session::Session;

/// What to do with applications. APPLICATION is an id or a registered name.
#[derive(Debug, Subcommand)]
pub enum ApplicationCommand {
    /// Register an application from a JSON record: name, dns, site, owner, purpose.
    Register {
        /// The record.
        file: PathBuf,
        /// Why; stands in the ledger.
        #[arg(long, default_value = "registration")]
        reason: String,
    },
    /// Approve a registered application for security.
    Approve {
        /// Which.
        application: String,
        /// Why; stands in the ledger.
        #[arg(long, default_value = "approved")]
        reason: String,
    },
    /// Have a one-time secret made that binds one ACME account to it (external account binding).
    Secret {
        /// Which.
        application: String,
        /// How long it is good: `45m`, `12h`, `3d`; at most 30 days.
        #[arg(long = "for", default_value = "3d", value_name = "TIME")]
        time: Span,
        /// Why; stands in the ledger.
        #[arg(long, default_value = "account binding")]
        reason: String,
    },
    /// End an application: its certificates are revoked.
    Remove {
        /// Which.
        application: String,
        /// Why; stands in the ledger.
        #[arg(long)]
        reason: String,
    },
    /// All applications.
    List,
}

const COLUMNS: [Column<ApplicationLine>; 6] = [
    Column::new("APPLICATION", |a| a.application.to_string()),
    Column::new("NAME", |a| a.record.name.clone()),
    Column::new("SITE", |a| a.record.site.clone()),
    Column::new("STAGE", |a| a.stage.clone()),
    Column::new("OWNER", |a| a.record.owner.clone()),
    Column::new("DNS", |a| a.record.dns.join(" ")),
];

/// A new application.
#[derive(Debug, Serialize)]
struct Registered {
    application: ApplicationId,
    #[serde(flatten)]
    recorded: Recorded,
}

/// Runs one.
pub async fn run(command: ApplicationCommand, desk: &Desk) -> anyhow::Result<()> {
    let mut session = desk.session()?;
    match command {
        ApplicationCommand::Register { file, reason } => {
            let record: ApplicationRecord = serde_json::from_str(&files::read_text(&file)?).map_err(|e| {
                Failure::usage(format!("`{}` is not an application record: {e}", file.display()))
            })?;
            record.check()?;
            let application = ApplicationId::from_random(random()?);
            let action = Action::RegisterApplication { application, record };
            let recorded = session.decide(action, &reason).await?;
            desk.output.one(&Registered { application, recorded }, |r| {
                format!("{} (position {}, {})", r.recorded.outcome, r.recorded.pos, r.recorded.level)
            })
        }
        ApplicationCommand::Approve { application, reason } => {
            let application = resolve(&mut session, &application).await?;
            desk.recorded(&session.decide(Action::ApproveApplication { application }, &reason).await?)
        }
        ApplicationCommand::Secret { application, time, reason } => {
            let application = resolve(&mut session, &application).await?;
            let (secret, expires) = (SecretId::from_random(random()?), time.ahead_of_now());
            let action = Action::IssueApplicationSecret { application, secret, expires };
            let recorded = session.decide(action, &reason).await?;
            desk.output.one(&SecretGiven::new(application.to_string(), secret, &recorded)?, secret_text)
        }
        ApplicationCommand::Remove { application, reason } => {
            let application = resolve(&mut session, &application).await?;
            desk.recorded(&session.decide(Action::RemoveApplication { application }, &reason).await?)
        }
        ApplicationCommand::List => {
            let lines: Vec<ApplicationLine> = session.read("/v1/applications").await?;
            desk.output.list(&lines, &COLUMNS, "no application is registered")
        }
    }
}

/// The one application that is not removed and that `text` names.
async fn resolve(session: &mut Session, text: &str) -> anyhow::Result<ApplicationId> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let lines: Vec<ApplicationLine> = session.read("/v1/applications").await?;
    let found: Vec<&ApplicationLine> =
        lines.iter().filter(|a| a.record.name == text && a.stage != "removed").collect();
    match found.as_slice() {
        [one] => Ok(one.application),
        [] => Err(Failure::refused(format!(
            "there is no application `{text}`; `lanyard application list` shows all"
        ))),
        many => {
            Err(Failure::usage(format!("`{text}` is the name of {} applications: give the id", many.len())))
        }
    }
}
