//! `lanyard ca compromise`: an authority's key is in other hands, or may be.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use lanyard_api::compromise::{ClassLine, CompromiseReport, StuckLine};
use lanyard_domain::compromise::{CompromiseMode, CompromisePlan, Deadlines, RiskClass};
use lanyard_domain::statement::Action;

use super::Desk;
use super::device::Span;
use crate::exit::Failure;
use crate::session::Session;

/// Arguments of `ca compromise`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct CompromiseArgs {
    #[command(subcommand)]
    command: Option<CompromiseCommand>,
    #[command(flatten)]
    declare: DeclareArgs,
}

/// What else there is to do.
#[derive(Debug, Subcommand)]
pub enum CompromiseCommand {
    /// Set in force what another person declared: the authority issues nothing more, and its fleet is re-enrolled.
    Confirm {
        /// Which authority.
        name: String,
        /// Why; stands in the ledger.
        #[arg(long, default_value = "seen and agreed")]
        reason: String,
    },
    /// How far it is, by class of risk, and who needs a person.
    Status {
        /// Which authority; all without.
        name: Option<String>,
    },
}

/// Arguments of the declaration.
#[derive(Debug, Args)]
struct DeclareArgs {
    /// Which authority.
    #[arg(required = true)]
    name: Option<String>,
    /// The active authority that issues in its place.
    #[arg(long, value_name = "NAME", required = true)]
    replaced_by: Option<String>,
    /// The key is known to be in use by others: distrust everything at once; its holders must enroll anew.
    #[arg(long)]
    now: bool,
    /// Until when certificates may wait for their successors: `12h` for all, or `critical=4h`; more than once.
    #[arg(long, value_name = "[CLASS=]TIME", value_parser = deadline, default_values_t = [Deadline::default()])]
    deadline: Vec<Deadline>,
    /// How many devices are told in a minute.
    #[arg(long, default_value_t = 600)]
    per_minute: u32,
    /// Why; stands in the ledger.
    #[arg(long, required = true)]
    reason: Option<String>,
}

/// A deadline for a class or for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Deadline {
    class: Option<RiskClass>,
    seconds: i64,
}

impl Default for Deadline {
    /// A weekend.
    fn default() -> Self {
        Self { class: None, seconds: 3 * 86_400 }
    }
}

impl std::fmt::Display for Deadline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(class) = self.class {
            write!(f, "{class}=")?;
        }
        write!(f, "{}h", self.seconds / 3_600)
    }
}

fn deadline(text: &str) -> Result<Deadline, String> {
    let (class, time) = match text.split_once('=') {
        Some((class, time)) => (Some(class.parse::<RiskClass>().map_err(|e| e.to_string())?), time),
        None => (None, text),
    };
    let span: Span = time.parse()?;
    Ok(Deadline { class, seconds: span.seconds() })
}

/// What was said for all comes first, what was said for a class counts for it.
fn deadlines(said: &[Deadline]) -> Deadlines {
    let general = said.iter().rfind(|d| d.class.is_none()).copied().unwrap_or_default();
    let mut deadlines = Deadlines::all(general.seconds);
    for one in said {
        if let Some(class) = one.class {
            deadlines.set(class, one.seconds);
        }
    }
    deadlines
}

/// Runs it.
pub async fn run(args: CompromiseArgs, mut session: Session, desk: &Desk) -> anyhow::Result<()> {
    match args.command {
        Some(CompromiseCommand::Confirm { name, reason }) => {
            let reports: Vec<CompromiseReport> = session.read("/v1/compromises").await?;
            let open = reports.into_iter().rfind(|r| r.name == name && r.confirmed_at.is_none());
            let open = open.ok_or_else(|| {
                Failure::refused(format!(
                    "nothing about `{name}` waits for a confirmation: `lanyard ca compromise status`"
                ))
            })?;
            let CompromiseReport { successor, plan, .. } = open;
            let action = Action::ConfirmCompromise { name, successor, plan };
            desk.recorded(&session.decide(action, &reason).await?)
        }
        Some(CompromiseCommand::Status { name }) => {
            let mut reports: Vec<CompromiseReport> = session.read("/v1/compromises").await?;
            reports.retain(|r| name.as_ref().is_none_or(|name| r.name == *name));
            desk.output.one(&reports, |reports| status(reports))
        }
        None => {
            let DeclareArgs { name, replaced_by, now, deadline, per_minute, reason } = args.declare;
            // clap asks for all three.
            let (name, successor) = (name.unwrap_or_default(), replaced_by.unwrap_or_default());
            let mode = if now { CompromiseMode::DistrustNow } else { CompromiseMode::ReplaceFirst };
            let plan = CompromisePlan { mode, per_minute, deadlines: deadlines(&deadline) };
            plan.check()?;
            let action = Action::DeclareCompromise { name, successor, plan };
            desk.recorded(&session.decide(action, &reason.unwrap_or_default()).await?)
        }
    }
}

fn status(reports: &[CompromiseReport]) -> String {
    if reports.is_empty() {
        return "no authority is compromised\n".to_owned();
    }
    reports.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn one(report: &CompromiseReport) -> String {
    let stands = match (report.confirmed_at, report.ended_at) {
        (None, _) => "declared; another person must confirm it".to_owned(),
        (Some(at), None) => format!("since {at}"),
        (Some(at), Some(ended)) => format!("from {at} to {ended}; revoked"),
    };
    let plan = &report.plan;
    let mut text = format!(
        "{} -> {}: {}, {} a minute; {stands}\n{:<9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}  {}\n",
        report.name,
        report.successor,
        plan.mode,
        plan.per_minute,
        "CLASS",
        "TOTAL",
        "REPLACED",
        "SETTLING",
        "WAITING",
        "TOLD",
        "OVERDUE",
        "OFF-AIR",
        "GONE",
        "DEADLINE"
    );
    let hours: BTreeMap<String, i64> =
        RiskClass::ALL.iter().map(|c| (c.to_string(), plan.deadlines.of(*c) / 3_600)).collect();
    let line = |c: &ClassLine| {
        format!(
            "{:<9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}  {}h\n",
            c.class,
            c.total,
            c.replaced,
            c.settling,
            c.waiting,
            c.told,
            c.overdue,
            c.off_the_air,
            c.gone,
            hours.get(&c.class).copied().unwrap_or_default()
        )
    };
    text.extend(report.classes.iter().map(line));
    let stuck = |s: &StuckLine| {
        let how = if s.off_the_air { "off the air" } else { "overdue" };
        let owner = if s.owner.is_empty() { "nobody is named" } else { &s.owner };
        format!(
            "{how}: {} {} {} ({}), owner {owner}, deadline {}: {}\n",
            s.class, s.id, s.name, s.site, s.deadline, s.why
        )
    };
    text.extend(report.stuck.iter().map(stuck));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_for_all_or_for_a_class() {
        let said: Vec<Deadline> =
            ["critical=4h", "2d", "low=7d"].iter().map(|text| deadline(text).unwrap()).collect();
        let found = deadlines(&said);
        assert_eq!((found.critical, found.high, found.low), (4 * 3_600, 2 * 86_400, 7 * 86_400));
        assert_eq!((found.standard, found.others), (2 * 86_400, 2 * 86_400));
        assert!(deadline("medium=4h").is_err() && deadline("critical=soon").is_err());
        assert_eq!(Deadline::default().to_string(), "72h");
        assert_eq!(deadline(&Deadline::default().to_string()), Ok(Deadline::default()));
    }
}
