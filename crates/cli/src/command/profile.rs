//! `lanyard profile`: certificate profiles of device classes and applications.

use std::path::PathBuf;

use clap::Subcommand;
use lanyard_api::pki::ProfileLine;
use lanyard_domain::statement::Action;
use lanyard_pki::profile::template;

use super::Desk;
use crate::exit::Failure;
use crate::files;
use crate::output::Column;

/// What to do with profiles; docs/pki-profiles.md has every key of a profile.
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// Every problem of a profile, with line and clause; no server needed.
    Lint {
        /// The file.
        file: PathBuf,
    },
    /// Propose a profile, new or changed. Another person approves it.
    Propose {
        /// The file.
        file: PathBuf,
        /// Why; stands in the ledger.
        #[arg(long, default_value = "proposed")]
        reason: String,
    },
    /// Approve the proposed text of a profile: it is in force at every site.
    Approve {
        /// Its name.
        name: String,
        /// The text that is approved; the proposal must be it, byte for byte.
        file: PathBuf,
        /// Why; stands in the ledger.
        #[arg(long, default_value = "approved")]
        reason: String,
    },
    /// All profiles.
    List,
    /// The text of one: what is in force, or what is proposed.
    Get {
        /// Which.
        name: String,
        /// The proposed text.
        #[arg(long)]
        proposed: bool,
    },
}

const COLUMNS: [Column<ProfileLine>; 3] = [
    Column::new("NAME", |p| p.name.clone()),
    Column::new("IN FORCE", |p| if p.active.is_some() { "yes" } else { "no" }.to_owned()),
    Column::new("PROPOSED", |p| p.proposed_sha256.map(|d| d.to_string()).unwrap_or_default()),
];

/// Runs one.
pub async fn run(
    command: ProfileCommand,
    desk: impl Fn() -> anyhow::Result<Desk>,
    output: crate::output::Output,
) -> anyhow::Result<()> {
    match command {
        ProfileCommand::Lint { file } => lint(&file, output),
        ProfileCommand::Propose { file, reason } => {
            let text = files::read_text(&file)?;
            refuse_problems(&file, &text)?;
            let desk = desk()?;
            desk.recorded(&desk.session()?.decide(Action::ProposeProfile { text }, &reason).await?)
        }
        ProfileCommand::Approve { name, file, reason } => {
            let text = files::read_text(&file)?;
            let text_sha256 = lanyard_control::digest::sha256(text.as_bytes());
            let desk = desk()?;
            desk.recorded(
                &desk.session()?.decide(Action::ApproveProfile { name, text_sha256 }, &reason).await?,
            )
        }
        ProfileCommand::List => {
            let desk = desk()?;
            let lines: Vec<ProfileLine> = desk.session()?.read("/v1/profiles").await?;
            desk.output.list(&lines, &COLUMNS, "no profile but the built-in ones")
        }
        ProfileCommand::Get { name, proposed } => {
            let desk = desk()?;
            let lines: Vec<ProfileLine> = desk.session()?.read("/v1/profiles").await?;
            let line = lines.into_iter().find(|p| p.name == name);
            let text = line.and_then(|p| if proposed { p.proposed } else { p.active });
            let text =
                text.ok_or_else(|| Failure::refused(format!("there is no such text of profile `{name}`")))?;
            desk.output.one(&text, Clone::clone)
        }
    }
}

fn lint(file: &std::path::Path, output: crate::output::Output) -> anyhow::Result<()> {
    refuse_problems(file, &files::read_text(file)?)?;
    output.one(&"no problem found", |text| (*text).to_owned())
}

fn refuse_problems(file: &std::path::Path, text: &str) -> anyhow::Result<()> {
    let problems = template::lint(text);
    if problems.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = problems.iter().map(|p| format!("  {p}")).collect();
    Err(Failure::refused(format!(
        "`{}` has {} problem(s):\n{}",
        file.display(),
        problems.len(),
        lines.join("\n")
    )))
}
