//! `lanyard device`: from purchase list to retirement.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use lanyard_api::client::CallError;
use lanyard_api::operator::{DeviceDetail, DeviceLine, EventLine, Recorded};
use lanyard_control::digest::random;
use lanyard_domain::event::RevocationReason;
use lanyard_domain::id::{DeviceId, SecretId};
use lanyard_domain::operator::Role;
use lanyard_domain::record::DeviceRecord;
use lanyard_domain::statement::Action;
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::Verdict;
use serde::Serialize;

use super::Desk;
use crate::exit::Failure;
use crate::files;
use crate::import::parse_csv;
use crate::output::{Column, Output, facts};
use crate::session::{Session, query};

/// What to do with devices. DEVICE is an id, `vendor/model/serial`, or a serial number or the start of an id that fits
/// one device only.
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// Register devices from a CSV file; a bad row is refused, the others go in.
    Import {
        /// The file; its first line names the columns.
        file: PathBuf,
        /// Why; stands in the ledger.
        #[arg(long, default_value = "import of a purchase list")]
        reason: String,
    },
    /// Register one device from a JSON record.
    Register {
        /// The record.
        file: PathBuf,
        /// Why; stands in the ledger.
        #[arg(long, default_value = "registration")]
        reason: String,
    },
    /// Approve a registered device in one role; two people must.
    Approve {
        /// Which devices.
        #[arg(required = true)]
        device: Vec<String>,
        /// As whom.
        #[arg(long)]
        role: Approver,
        /// Why; stands in the ledger.
        #[arg(long, default_value = "approved")]
        reason: String,
    },
    /// List devices.
    List(ListArgs),
    /// One device, the whole record.
    Get {
        /// Which.
        device: String,
    },
    /// One device in words: what is it, who issued its trust, what runs on it, where may it operate, is it trusted.
    Describe {
        /// Which.
        device: String,
    },
    /// What happened to a device, in order.
    Events {
        /// Which.
        device: String,
        /// From this event of its chain on.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// At most so many.
        #[arg(long, default_value_t = 1_000)]
        limit: usize,
    },
    /// Cut a device off at once.
    Quarantine(Decision),
    /// Let a quarantined device prove itself again.
    Release(Decision),
    /// Have a one-time enrollment secret made for a device that enrolls by EST, CMP, SCEP or ACME.
    Secret {
        /// Which.
        device: String,
        /// How long it is good: `45m`, `12h`, `3d`; at most 30 days.
        #[arg(long = "for", default_value = "3d", value_name = "TIME")]
        time: Span,
        /// Why; stands in the ledger.
        #[arg(long, default_value = "enrollment")]
        reason: String,
    },
    /// Revoke a device: every certificate now, and no new one until it is released.
    Revoke {
        /// Which.
        device: String,
        /// What happened: retired, transferred, recalled, lost, stolen or compromised.
        #[arg(long)]
        because: RevocationReason,
        /// In words; stands in the ledger.
        #[arg(long)]
        reason: String,
    },
    /// Let a device renew although its last certificate has ended.
    AllowLateRenewal {
        /// Which.
        device: String,
        /// For how long from now: `12h`, `3d`; at most 30 days.
        #[arg(long = "for", default_value = "3d", value_name = "TIME")]
        time: Span,
        /// Why; stands in the ledger.
        #[arg(long)]
        reason: String,
    },
    /// Retire a device for ever; its old credentials are then probed everywhere.
    Retire(Decision),
}

/// A decision about one device.
#[derive(Debug, Args)]
pub struct Decision {
    /// Which device.
    device: String,
    /// Why; stands in the ledger.
    #[arg(long)]
    reason: String,
}

/// The roles that approve.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Approver {
    /// For security.
    Security,
    /// For biomedical engineering.
    Biomedical,
}

/// Filters; each narrows.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Stage, such as in-service.
    #[arg(long)]
    stage: Option<String>,
    /// Verdict: trusted, degraded, untrusted.
    #[arg(long)]
    verdict: Option<String>,
    /// Site.
    #[arg(long)]
    site: Option<String>,
    /// Class.
    #[arg(long)]
    class: Option<String>,
    /// Part of vendor, model, serial number or id.
    #[arg(long)]
    text: Option<String>,
    /// At most so many lines.
    #[arg(long, default_value_t = 1_000)]
    limit: usize,
}

const COLUMNS: [Column<DeviceLine>; 8] = [
    Column::new("DEVICE", |d| d.device.to_string()),
    Column::new("VENDOR", |d| d.vendor.clone()),
    Column::new("MODEL", |d| d.model.clone()),
    Column::new("SERIAL", |d| d.serial.clone()),
    Column::new("SITE", |d| d.site.clone()),
    Column::new("STAGE", |d| d.stage.clone()),
    Column::verdict("VERDICT", |d| d.verdict.to_string(), |d| d.verdict),
    Column::new("WHY", |d| d.reason.as_ref().map(|r| r.text.clone()).unwrap_or_default()),
];

const EVENT_COLUMNS: [Column<EventLine>; 6] = [
    Column::new("SEQ", |e| e.seq.to_string()),
    Column::new("POS", |e| e.pos.to_string()),
    Column::new("TIME", |e| e.time.to_string()),
    Column::new("EVENT", event_name),
    Column::new("LEVEL", |e| e.level.clone()),
    Column::new("ACTOR", |e| e.actor.to_string()),
];

/// Runs one.
pub async fn run(command: DeviceCommand, desk: &Desk) -> anyhow::Result<()> {
    let mut session = desk.session()?;
    match command {
        DeviceCommand::Import { file, reason } => import(&file, &reason, &mut session, desk.output).await,
        DeviceCommand::Register { file, reason } => {
            let record: DeviceRecord = serde_json::from_str(&files::read_text(&file)?)
                .map_err(|e| Failure::usage(format!("`{}` is not a device record: {e}", file.display())))?;
            record.check()?;
            let (device, recorded) = register(&mut session, record, &reason).await?;
            desk.output.one(&Registered { device, recorded }, |r| {
                format!("{} (position {}, {})", r.recorded.outcome, r.recorded.pos, r.recorded.level)
            })
        }
        DeviceCommand::Approve { device, role, reason } => {
            let role = match role {
                Approver::Security => Role::Security,
                Approver::Biomedical => Role::Biomedical,
            };
            approve(&device, role, &reason, &mut session, desk.output).await
        }
        DeviceCommand::List(args) => {
            let lines = list(&args, &mut session).await?;
            desk.output.list(&lines, &COLUMNS, "no device fits")
        }
        DeviceCommand::Get { device } => {
            let detail = detail(&mut session, &device).await?;
            desk.output.one(&detail, get_text)
        }
        DeviceCommand::Describe { device } => {
            let detail = detail(&mut session, &device).await?;
            desk.output.one(&detail, |d| describe(d, desk.output))
        }
        DeviceCommand::Events { device, from, limit } => {
            let id = resolve(&mut session, &device).await?;
            let path = query(&[("from", Some(from.to_string())), ("limit", Some(limit.to_string()))]);
            let lines: Vec<EventLine> = session.read(&format!("/v1/devices/{id}/events{path}")).await?;
            desk.output.list(&lines, &EVENT_COLUMNS, "no event from there on")
        }
        DeviceCommand::Quarantine(d) => {
            decide(d, |device| Action::QuarantineDevice { device }, &mut session, desk).await
        }
        DeviceCommand::Release(d) => {
            decide(d, |device| Action::ReleaseDevice { device }, &mut session, desk).await
        }
        DeviceCommand::Secret { device, time, reason } => {
            let device = resolve(&mut session, &device).await?;
            let (secret, expires) = (SecretId::from_random(random()?), time.ahead_of_now());
            let recorded = session.decide(Action::IssueSecret { device, secret, expires }, &reason).await?;
            desk.output.one(&SecretGiven::new(device.to_string(), secret, &recorded)?, secret_text)
        }
        DeviceCommand::Revoke { device, because, reason } => {
            let device = resolve(&mut session, &device).await?;
            let action = Action::RevokeDevice { device, reason: because };
            desk.recorded(&session.decide(action, &reason).await?)
        }
        DeviceCommand::AllowLateRenewal { device, time, reason } => {
            let device = resolve(&mut session, &device).await?;
            let until = time.ahead_of_now();
            desk.recorded(&session.decide(Action::AllowLateRenewal { device, until }, &reason).await?)
        }
        DeviceCommand::Retire(d) => {
            decide(d, |device| Action::RetireDevice { device }, &mut session, desk).await
        }
    }
}

async fn decide(
    decision: Decision,
    action: impl FnOnce(DeviceId) -> Action,
    session: &mut Session,
    desk: &Desk,
) -> anyhow::Result<()> {
    let device = resolve(session, &decision.device).await?;
    desk.recorded(&session.decide(action(device), &decision.reason).await?)
}

async fn register(
    session: &mut Session,
    record: DeviceRecord,
    reason: &str,
) -> anyhow::Result<(DeviceId, Recorded)> {
    let device = DeviceId::from_random(random()?);
    let recorded = session.decide(Action::RegisterDevice { device, record }, reason).await?;
    Ok((device, recorded))
}

/// A length of time as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(i64);

impl Span {
    /// At least one.
    pub(super) fn seconds(self) -> i64 {
        self.0
    }

    /// The moment that lies so far ahead.
    pub(super) fn ahead_of_now(self) -> Timestamp {
        lanyard_api::clock::Clock::system().now().plus_seconds(self.0)
    }
}

impl std::str::FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a length of time: write 30s, 45m, 12h or 3d");
        let unit = text.chars().last().ok_or_else(bad)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(bad()),
        };
        let number: i64 = text.trim_end_matches(unit).parse().ok().filter(|n| *n > 0).ok_or_else(bad)?;
        number.checked_mul(seconds).map(Span).ok_or_else(bad)
    }
}

/// A one-time secret in the forms that clients want.
#[derive(Debug, Serialize)]
pub(super) struct SecretGiven {
    /// Id of the device or application.
    subject: String,
    /// CMP reference, ACME EAB key id.
    reference: SecretId,
    /// EST password, SCEP challenge password, CMP secret.
    secret: String,
    /// ACME EAB HMAC key, base64url.
    eab_hmac_key: String,
    recorded: Recorded,
}

impl SecretGiven {
    pub(super) fn new(subject: String, reference: SecretId, recorded: &Recorded) -> anyhow::Result<Self> {
        let secret = recorded
            .secret
            .clone()
            .ok_or_else(|| Failure::internal("the server recorded the secret and did not show it"))?;
        let eab_hmac_key = data_encoding::BASE64URL_NOPAD.encode(secret.as_bytes());
        // Once is enough.
        let recorded = Recorded { secret: None, ..recorded.clone() };
        Ok(Self { subject, reference, secret, eab_hmac_key, recorded })
    }
}

pub(super) fn secret_text(given: &SecretGiven) -> String {
    facts(&[
        ("secret", given.secret.clone()),
        ("reference", given.reference.to_string()),
        ("for", given.subject.clone()),
        ("EAB HMAC key", given.eab_hmac_key.clone()),
        ("", given.recorded.outcome.clone()),
    ])
}

/// What a registration came to.
#[derive(Debug, Serialize)]
struct Registered {
    device: DeviceId,
    recorded: Recorded,
}

/// What an import came to.
#[derive(Debug, Serialize)]
struct Imported {
    registered: Vec<ImportedRow>,
    refused: Vec<RefusedRow>,
}

#[derive(Debug, Serialize)]
struct ImportedRow {
    row: usize,
    device: DeviceId,
    label: String,
}

#[derive(Debug, Serialize)]
struct RefusedRow {
    row: usize,
    why: String,
}

async fn import(
    file: &std::path::Path,
    reason: &str,
    session: &mut Session,
    output: Output,
) -> anyhow::Result<()> {
    let bytes = files::read(file)?;
    let (good, bad) = parse_csv(bytes.as_slice());
    let refused = bad.iter().map(|e| RefusedRow { row: e.row, why: e.to_string() }).collect();
    let mut done = Imported { registered: Vec::new(), refused };
    for (row, record) in good {
        let label = format!("{}/{}/{}", record.vendor, record.model, record.serial);
        match register(session, record, reason).await {
            Ok((device, _)) => done.registered.push(ImportedRow { row, device, label }),
            // A refusal is about this row; anything else is about the connection and ends the import.
            Err(error) => match error.downcast_ref::<CallError>() {
                Some(CallError::Refused(problem)) if problem.status < 500 => {
                    done.refused.push(RefusedRow { row, why: format!("row {row}, {label}: {problem}") });
                }
                _ => {
                    let so_far = done.registered.len();
                    return Err(error.context(format!(
                        "the import stopped at row {row} after {so_far} devices; run it again: registered ones are refused as known"
                    )));
                }
            },
        }
    }
    output.one(&done, import_text)?;
    match done.refused.len() {
        0 => Ok(()),
        n => Err(Failure::refused(format!(
            "{n} row(s) were refused, {} device(s) registered",
            done.registered.len()
        ))),
    }
}

fn import_text(done: &Imported) -> String {
    let mut text = String::new();
    for row in &done.registered {
        text += &format!("row {}  {}  {}\n", row.row, row.device, row.label);
    }
    for row in &done.refused {
        text += &format!("refused: {}\n", row.why);
    }
    text + &format!("{} registered, {} refused\n", done.registered.len(), done.refused.len())
}

async fn approve(
    devices: &[String],
    role: Role,
    reason: &str,
    session: &mut Session,
    output: Output,
) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for device in devices {
        let device = resolve(session, device).await?;
        all.push(session.decide(Action::ApproveDevice { device, role }, reason).await?);
    }
    output.one(&all, |all| {
        all.iter().map(|r| format!("{} (position {}, {})\n", r.outcome, r.pos, r.level)).collect()
    })
}

async fn list(args: &ListArgs, session: &mut Session) -> anyhow::Result<Vec<DeviceLine>> {
    let filter = query(&[
        ("stage", args.stage.clone()),
        ("verdict", args.verdict.clone()),
        ("site", args.site.clone()),
        ("class", args.class.clone()),
        ("text", args.text.clone()),
        ("limit", Some(args.limit.to_string())),
    ]);
    session.read(&format!("/v1/devices{filter}")).await
}

async fn detail(session: &mut Session, device: &str) -> anyhow::Result<DeviceDetail> {
    let id = resolve(session, device).await?;
    session.read(&format!("/v1/devices/{id}")).await
}

/// The one device that `text` names.
pub async fn resolve(session: &mut Session, text: &str) -> anyhow::Result<DeviceId> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let wanted = Wanted::parse(text)?;
    let filter = query(&[("text", Some(wanted.search().to_owned())), ("limit", Some("1000".to_owned()))]);
    let lines: Vec<DeviceLine> = session.read(&format!("/v1/devices{filter}")).await?;
    choose(&lines, &wanted, text)
}

/// A device as people name it.
#[derive(Debug, PartialEq, Eq)]
enum Wanted<'a> {
    Label { vendor: &'a str, model: &'a str, serial: &'a str },
    Part(&'a str),
}

impl<'a> Wanted<'a> {
    fn parse(text: &'a str) -> anyhow::Result<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            [part] if !part.is_empty() => Ok(Wanted::Part(part)),
            [vendor, model, serial] if parts.iter().all(|p| !p.is_empty()) => {
                Ok(Wanted::Label { vendor, model, serial })
            }
            _ => Err(Failure::usage(format!(
                "`{text}` names no device: write an id, vendor/model/serial, a serial number or the start of an id"
            ))),
        }
    }

    fn search(&self) -> &'a str {
        match self {
            Wanted::Label { serial, .. } => serial,
            Wanted::Part(part) => part,
        }
    }

    fn fits(&self, line: &DeviceLine) -> bool {
        match self {
            Wanted::Label { vendor, model, serial } => {
                (line.vendor.as_str(), line.model.as_str(), line.serial.as_str())
                    == (*vendor, *model, *serial)
            }
            Wanted::Part(part) => line.serial == *part || line.device.to_string().starts_with(part),
        }
    }
}

fn choose(lines: &[DeviceLine], wanted: &Wanted<'_>, text: &str) -> anyhow::Result<DeviceId> {
    let found: Vec<&DeviceLine> = lines.iter().filter(|line| wanted.fits(line)).collect();
    match found.as_slice() {
        [one] => Ok(one.device),
        [] => Err(Failure::refused(format!(
            "there is no device `{text}`; `lanyard device list --text PART` searches"
        ))),
        many => {
            let names: Vec<String> = many
                .iter()
                .take(5)
                .map(|d| format!("{} ({}/{}/{})", d.device, d.vendor, d.model, d.serial))
                .collect();
            let count = many.len();
            Err(Failure::usage(format!(
                "`{text}` fits {count} devices, name one of them: {}",
                names.join(", ")
            )))
        }
    }
}

fn event_name(line: &EventLine) -> String {
    let Some(event) = &line.event else { return "(erased)".to_owned() };
    let text = |name: &str| event.get(name).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    let more = match text("event").as_str() {
        "device_approved" => text("role"),
        "evidence_appraised" => format!("{}, {}", text("appraisal"), text("verdict")),
        "trust_changed" => format!("{} to {}", text("from"), text("to")),
        "certificate_issued" | "certificate_revoked" => text("serial"),
        "alarm_raised" => text("code"),
        _ => String::new(),
    };
    if more.is_empty() { text("event") } else { format!("{}: {more}", text("event")) }
}

fn get_text(d: &DeviceDetail) -> String {
    let record = &d.record;
    let scopes: Vec<String> = record.scopes.iter().map(ToString::to_string).collect();
    let approvals: Vec<String> = d.approvals.iter().map(|(role, by)| format!("{role} by {by}")).collect();
    facts(&[
        ("device", d.device.to_string()),
        ("vendor", record.vendor.clone()),
        ("model", record.model.clone()),
        ("serial", record.serial.clone()),
        ("site", record.site.clone()),
        ("owner", record.owner.clone()),
        ("department", record.department.clone()),
        ("purpose", record.purpose.clone()),
        ("class", record.class.clone()),
        ("tier", format!("{:?}", record.tier).to_lowercase()),
        ("ai", if record.ai { "yes" } else { "no" }.to_owned()),
        ("scopes", scopes.join(" ")),
        ("AE title", record.ae_title.clone().unwrap_or_default()),
        ("zone", record.zone.clone()),
        ("stage", d.stage.clone()),
        ("approvals", approvals.join("\n")),
        ("verdict", d.verdict.to_string()),
        ("events", d.seq.to_string()),
    ])
}

/// The five questions (R22), in words.
fn describe(d: &DeviceDetail, output: Output) -> String {
    let record = &d.record;
    let releases: Vec<String> = [&d.firmware, &d.model]
        .into_iter()
        .flatten()
        .map(|r| format!("{} {} ({:?})", r.kind, r.version, r.state).to_lowercase())
        .collect();
    let certificates: Vec<String> = d
        .certificates
        .iter()
        .map(|c| format!("certificate {} until {}", c.serial, second(c.not_after)))
        .collect();
    let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
    let trusted = format!("{}, strength {} ({})", d.verdict, d.strength.level(), name_of(&d.strength));
    // A deadline says something only to a verdict that it can still lower.
    let falls = |from: Verdict| d.verdict <= from;
    let pairs = [
        (
            "what is it",
            format!("{} {}, serial {}: {}", record.vendor, record.model, record.serial, record.purpose),
        ),
        ("who issued its trust", or(certificates.join("\n"), "nobody yet")),
        ("what runs on it", or(releases.join("\n"), "not proven")),
        (
            "where may it operate",
            format!("site {}, zone {}, {}", record.site, record.zone, record.department),
        ),
        ("is it trusted", format!("{trusted}, {}", d.stage)),
        ("why", super::agent::reasons(&d.reasons)),
        ("what would restore it", d.restore.join("\n")),
        (
            "degrades by itself",
            d.fresh_until.filter(|_| falls(Verdict::Trusted)).map(second).unwrap_or_default(),
        ),
        (
            "untrusted by itself",
            d.untrusted_after.filter(|_| falls(Verdict::Degraded)).map(second).unwrap_or_default(),
        ),
    ];
    facts(&pairs).replacen(&trusted, &output.tint(d.verdict, &trusted), 1)
}

fn name_of(strength: &impl Serialize) -> String {
    let name = serde_json::to_value(strength).ok();
    name.and_then(|v| v.as_str().map(|s| s.replace('_', " "))).unwrap_or_default()
}

fn second(time: Timestamp) -> String {
    let (y, mo, d, h, mi, s) = time.civil();
    format!("{y:04}-{mo:02}-{d:02} {h:02}:{mi:02}:{s:02} UTC")
}
