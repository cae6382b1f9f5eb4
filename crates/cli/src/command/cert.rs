//! `lanyard cert`: the inventory of certificates (R48), and revoking single ones.

use std::str::FromStr;

use clap::{Args, Subcommand};
use lanyard_api::pki::{InventoryLine, RenewalReport};
use lanyard_domain::event::RevocationReason;
use lanyard_domain::id::DeviceId;
use lanyard_domain::statement::Action;

use super::Desk;
use crate::exit::Failure;
use crate::output::Column;
use crate::session::query;

/// What to do with certificates.
#[derive(Debug, Subcommand)]
pub enum CertCommand {
    /// Every certificate that has not ended, those that end first above.
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// How renewals stand: who is late or stuck, and who answers for it.
    Renewals,
    /// Revoke single certificates of a device; it may get others. To take them all: `lanyard device revoke`.
    Revoke {
        /// Serial numbers, all of one device.
        #[arg(required = true)]
        serial: Vec<String>,
        /// What happened: retired, transferred, recalled, lost, stolen, compromised or superseded.
        #[arg(long)]
        because: RevocationReason,
        /// In words; stands in the ledger.
        #[arg(long)]
        reason: String,
    },
}

/// Filters; each narrows.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// At most this share of the lifetime is left: `20%`.
    #[arg(long, value_name = "SHARE")]
    expiring: Option<Percent>,
    /// Site.
    #[arg(long)]
    site: Option<String>,
    /// Who answers for it.
    #[arg(long)]
    owner: Option<String>,
    /// Profile that it was made by. `--profile` is the operator's own.
    #[arg(long, value_name = "PROFILE")]
    made_by: Option<String>,
    /// Name of the authority.
    #[arg(long)]
    issuer: Option<String>,
    /// Id of a device or gateway.
    #[arg(long)]
    subject: Option<String>,
    /// Only revoked ones.
    #[arg(long)]
    revoked: bool,
    /// At most so many lines.
    #[arg(long, default_value_t = 1_000)]
    limit: usize,
    /// Only those after this one: the last serial number of the page before.
    #[arg(long, value_name = "SERIAL")]
    after: Option<String>,
}

/// A share in per cent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(u32);

impl FromStr for Percent {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').unwrap_or(text).parse::<u32>().ok().filter(|n| *n <= 100);
        number.map(Percent).ok_or_else(|| format!("`{text}` is not a share: write 0% to 100%"))
    }
}

const COLUMNS: [Column<InventoryLine>; 9] = [
    Column::new("SERIAL", |c| c.serial.clone()),
    Column::new("KIND", |c| c.kind.clone()),
    Column::new("NAME", |c| c.name.clone()),
    Column::new("SITE", |c| c.site.clone()),
    Column::new("OWNER", |c| c.owner.clone()),
    Column::new("PROFILE", |c| c.profile.clone()),
    Column::new("ISSUER", |c| c.issuer.clone()),
    Column::new("UNTIL", |c| c.not_after.to_string()),
    Column::new("WHEN IT ENDS", |c| match &c.revoked {
        Some(revoked) => format!("revoked ({})", revoked.reason),
        None => c.effect.clone(),
    }),
];

/// Runs one.
pub async fn run(command: CertCommand, desk: &Desk) -> anyhow::Result<()> {
    let mut session = desk.session()?;
    match command {
        CertCommand::Ls(args) => {
            let filter = query(&[
                ("expiring_percent", args.expiring.map(|p| p.0.to_string())),
                ("site", args.site),
                ("owner", args.owner),
                ("profile", args.made_by),
                ("issuer", args.issuer),
                ("subject", args.subject),
                ("revoked", args.revoked.then(|| "true".to_owned())),
                ("limit", Some(args.limit.to_string())),
                ("after", args.after),
            ]);
            let lines: Vec<InventoryLine> = session.read(&format!("/v1/certificates{filter}")).await?;
            desk.output.list(&lines, &COLUMNS, "no certificate fits")
        }
        CertCommand::Renewals => {
            let report: RenewalReport = session.read("/v1/renewals").await?;
            desk.output.one(&report, renewals)
        }
        CertCommand::Revoke { serial, because, reason } => {
            let mut lines: Vec<InventoryLine> = Vec::new();
            for one in &serial {
                let filter = query(&[("serial", Some(one.clone()))]);
                lines.extend(session.read::<Vec<InventoryLine>>(&format!("/v1/certificates{filter}")).await?);
            }
            let device = owner(&lines, &serial)?;
            let action = Action::RevokeCertificates { device, serials: serial, reason: because };
            desk.recorded(&session.decide(action, &reason).await?)
        }
    }
}

fn renewals(report: &RenewalReport) -> String {
    let late = report.late.len();
    let in_time = report.watched.saturating_sub(late);
    let share = (in_time * 1_000).checked_div(report.watched).unwrap_or(1_000);
    let mut text = format!(
        "{} certificates watched, {} on time, {} renewing, {late} late or stuck: {}.{} % in time\n",
        report.watched,
        report.on_time,
        report.due,
        share / 10,
        share % 10
    );
    if let (Some(median), Some(worst)) = (report.median_lag_seconds, report.worst_lag_seconds) {
        text += &format!("behind two thirds of the lifetime: median {median} s, worst {worst} s\n");
    }
    for late in &report.late {
        let what = if late.ended { "stuck since" } else { "late, ends" };
        let owner = if late.owner.is_empty() { "whoever runs the site" } else { &late.owner };
        text += &format!(
            "{what} {}  {} {} ({}, {})  owner: {owner}\n",
            late.not_after, late.kind, late.name, late.subject, late.site
        );
    }
    text
}

/// The one device that has all of these.
fn owner(lines: &[InventoryLine], serials: &[String]) -> anyhow::Result<DeviceId> {
    let mut of: Option<DeviceId> = None;
    for serial in serials {
        // A watched server's certificate is others' making, its serial number too: it never stands before a device's.
        let of_it = || lines.iter().filter(|l| l.serial == *serial);
        let line = of_it().find(|l| l.kind == "device").or_else(|| of_it().next()).ok_or_else(|| {
            Failure::refused(format!("there is no certificate `{serial}`; `lanyard cert ls` shows all"))
        })?;
        let device = line.subject.parse().ok().filter(|_| line.kind == "device").ok_or_else(|| {
            Failure::refused(format!(
                "`{serial}` is the certificate of a {}: a gateway is removed with `lanyard gateway remove`",
                line.kind
            ))
        })?;
        if of.is_some_and(|before| before != device) {
            return Err(Failure::usage(
                "these serial numbers belong to several devices; revoke one device's at a time",
            ));
        }
        of = Some(device);
    }
    of.ok_or_else(|| Failure::usage("name at least one serial number"))
}

#[cfg(test)]
mod tests {
    use lanyard_domain::time::Timestamp;

    use super::*;

    fn line(kind: &str, subject: &str) -> InventoryLine {
        InventoryLine {
            serial: "4a".to_owned(),
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            name: String::new(),
            site: String::new(),
            owner: String::new(),
            profile: String::new(),
            issuer: String::new(),
            not_before: Timestamp::from_seconds(0),
            not_after: Timestamp::from_seconds(1),
            seen: true,
            revoked: None,
            effect: String::new(),
        }
    }

    // R49: whoever runs a watched server chooses the serial number that it shows.
    #[test]
    fn a_watched_server_cannot_keep_a_devices_certificate_from_being_revoked() {
        let device = DeviceId::from_bytes([7; 16]);
        let lines = [line("watched", ""), line("device", &device.to_string()), line("watched", "")];
        let serial = ["4a".to_owned()];
        assert_eq!(owner(&lines, &serial).unwrap(), device);
        assert!(owner(&lines[..1], &serial).is_err());
        assert!(owner(&lines, &["4b".to_owned()]).is_err());
    }

    #[test]
    fn a_share_is_a_percentage() {
        assert_eq!("20%".parse(), Ok(Percent(20)));
        assert_eq!("0".parse(), Ok(Percent(0)));
        for bad in ["", "%", "-1%", "101%", "a fifth"] {
            assert!(bad.parse::<Percent>().is_err(), "{bad}");
        }
    }
}
