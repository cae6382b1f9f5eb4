//! `lanyard enroll`: the operator's end of enrollment by files, for devices without network (docs/protocols/offline.md). The
//! device's end is `lanyard agent request` and `lanyard agent accept`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use http::Method;
use lanyard_api::offline::{ChallengeFile, ChallengeRequest, FileAnswer, FileHandIn, FileLook, FileSeen};
use lanyard_domain::statement::Action;
use lanyard_domain::text::Blob;
use lanyard_enroll::offline::{Challenge, FileError, Keys, Kind, Proof, RequestFile, Response, TicketFor};
use serde::Serialize;
use serde_json::json;

use super::{Desk, device};
use crate::exit::Failure;
use crate::files;
use crate::output::{Output, facts};

/// Files of devices without network.
#[derive(Debug, Subcommand)]
pub enum EnrollCommand {
    /// Make a challenge: evidence that answers it is made after it.
    Challenge(ChallengeArgs),
    /// Hand a request file in, and get the response for the device.
    File(FileArgs),
    /// Say what a file is; nothing is asked of anyone, and no signature checked.
    Show {
        /// Any of the four kinds.
        file: PathBuf,
    },
}

/// Arguments of `challenge`.
#[derive(Debug, Args)]
pub struct ChallengeArgs {
    #[command(flatten)]
    whom: Whom,
    /// The challenge file; not overwritten.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// One of the two.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Whom {
    /// The keys file of a device that enrolls.
    #[arg(value_name = "KEYS")]
    keys: Option<PathBuf>,
    /// A device that has enrolled with a TPM, and renews.
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
}

/// Arguments of `file`.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// The request file.
    file: PathBuf,
    /// The response file; not overwritten.
    #[arg(long, value_name = "RESPONSE")]
    out: PathBuf,
    /// Why; stands in the ledger.
    #[arg(long, default_value = "request file of a device without network")]
    reason: String,
    /// The response was lost: the same certificate once more.
    #[arg(long)]
    again: bool,
}

/// Runs one.
pub async fn run(
    command: EnrollCommand,
    desk: impl Fn() -> anyhow::Result<Desk>,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        EnrollCommand::Challenge(args) => challenge(&args, &desk()?).await,
        EnrollCommand::File(args) => hand_in(&args, &desk()?).await,
        EnrollCommand::Show { file } => show(&file, output),
    }
}

async fn challenge(args: &ChallengeArgs, desk: &Desk) -> anyhow::Result<()> {
    absent(&args.out)?;
    let mut session = desk.session()?;
    let request = match (&args.whom.keys, &args.whom.device) {
        (Some(file), _) => {
            let bytes = files::read(file)?;
            Keys::parse(&bytes).map_err(|e| wrong(file, &e))?;
            ChallengeRequest::Keys { file: Blob(bytes) }
        }
        (None, Some(text)) => ChallengeRequest::Device { device: device::resolve(&mut session, text).await? },
        (None, None) => return Err(Failure::usage("name a keys file or --device")),
    };
    let made: ChallengeFile =
        session.signed_call(Method::POST, "/v1/files/challenge", Some(&request)).await?;
    files::create_new(&args.out, &made.file.0)?;
    desk.output.one(
        &json!({"file": args.out, "device": made.device, "expires": made.expires}),
        |_| {
            format!(
                "wrote {} for device {}\nthe request that answers it must be handed in until {}\nnext, on the device: \
                 lanyard agent request --challenge FILE --out REQUEST",
                args.out.display(),
                made.device,
                made.expires
            )
        },
    )
}

async fn hand_in(args: &FileArgs, desk: &Desk) -> anyhow::Result<()> {
    // Before anything is asked for: a request counts once.
    absent(&args.out)?;
    let bytes = files::read(&args.file)?;
    RequestFile::verify(&bytes).map_err(|e| wrong(&args.file, &e))?;
    let mut session = desk.session()?;
    let file = Blob(bytes);
    let look = FileLook { file: file.clone() };
    let seen: FileSeen = session.signed_call(Method::POST, "/v1/files/look", Some(&look)).await?;
    let action = Action::HandInRequest { device: seen.device, request_sha256: seen.request_sha256 };
    let statement = session.sign(action, &args.reason)?;
    let hand_in = FileHandIn { file, statement, again: args.again };
    match session.call("/v1/files/request", &hand_in).await? {
        FileAnswer::Issued { file, device, expires, not_after, verdict } => {
            files::create_new(&args.out, &file.0)?;
            let said = json!({
                "outcome": "issued", "file": args.out, "device": device, "label": seen.label, "proof": seen.proof,
                "expires": expires, "not_after": not_after, "verdict": verdict,
            });
            desk.output.one(&said, |_| {
                format!(
                    "wrote {} for {} ({device}), which is {verdict}\nthe device must accept it until {expires}: lanyard \
                     agent accept FILE",
                    args.out.display(),
                    seen.label
                )
            })
        }
        FileAnswer::Waiting { why } => Err(Failure::unreachable(format!(
            "{} ({}) waits: {why}; then hand the same file in again",
            seen.label, seen.device
        ))),
    }
}

fn absent(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        let path = path.display();
        return Err(Failure::usage(format!(
            "`{path}` exists already and is not overwritten; name another file"
        )));
    }
    Ok(())
}

fn wrong(path: &Path, error: &FileError) -> anyhow::Error {
    Failure::usage(format!("`{}`: {error}", path.display()))
}

#[derive(Debug, Serialize)]
struct Shown {
    kind: &'static str,
    facts: Vec<(&'static str, String)>,
}

fn show(path: &Path, output: Output) -> anyhow::Result<()> {
    let bytes = files::read(path)?;
    let shown = describe(&bytes).map_err(|e| wrong(path, &e))?;
    output.one(&shown, |s| {
        let kind = [("kind", s.kind.to_owned())];
        let rows: Vec<(&str, String)> = kind.into_iter().chain(s.facts.iter().cloned()).collect();
        facts(&rows)
    })
}

fn describe(bytes: &[u8]) -> Result<Shown, FileError> {
    let kind = Kind::of(bytes)?;
    let facts = match kind {
        Kind::Keys => {
            let keys = Keys::parse(bytes)?;
            vec![("vendor", keys.vendor), ("model", keys.model), ("serial", keys.serial)]
        }
        Kind::Challenge => {
            let (challenge, _) = Challenge::parse(bytes)?;
            let ticket = challenge.ticket;
            let purpose = match ticket.purpose {
                TicketFor::Enroll { .. } => "enroll",
                TicketFor::Renew => "renew",
            };
            vec![
                ("device", ticket.device.to_string()),
                ("for", purpose.to_owned()),
                ("issued", ticket.issued.to_string()),
                ("hand in until", ticket.expires.to_string()),
            ]
        }
        Kind::Request => {
            let request = RequestFile::verify(bytes)?;
            let digest = ("request", request.sha256().to_string());
            match &request.file().proof {
                Proof::Challenge(attested) => vec![
                    ("device", attested.ticket.device.to_string()),
                    ("proof", "challenge".to_owned()),
                    ("hand in until", attested.ticket.expires.to_string()),
                    digest,
                ],
                Proof::Secret { id, .. } => vec![("proof", format!("one-time secret {id}")), digest],
            }
        }
        Kind::Response => {
            let (response, _) = Response::parse(bytes)?;
            vec![
                ("device", response.device.to_string()),
                ("answers request", response.request_sha256.to_string()),
                ("issued", response.issued.to_string()),
                ("accept until", response.expires.to_string()),
            ]
        }
    };
    Ok(Shown { kind: kind.name(), facts })
}
