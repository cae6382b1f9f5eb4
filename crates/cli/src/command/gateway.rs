//! `lanyard gateway`: a gateway on a machine of its own. `init` makes its keys and a request file, an admin admits it with
//! `add`, `run` serves.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use lanyard_api::client::Server;
use lanyard_api::clock::Clock;
use lanyard_api::operator::GatewayLine;
use lanyard_domain::event::RevocationReason;
use lanyard_domain::id::GatewayId;
use lanyard_domain::statement::Action;
use lanyard_domain::text::{Digest, check_slug};
use lanyard_gateway::Gateway;
use lanyard_ledger::note::NoteVerifier;
use serde::{Deserialize, Serialize};

use super::Desk;
use super::role::{Home, Secret, log_lines, settings, stop_signal};
use crate::exit::Failure;
use crate::output::{Column, emit, facts};
use crate::{files, session};

/// What to do with gateways.
#[derive(Debug, Subcommand)]
pub enum GatewayCommand {
    /// On the gateway: make its keys and a request file for an admin.
    Init(InitArgs),
    /// As an admin: admit a gateway from its request file.
    Add {
        /// The request file.
        file: PathBuf,
        /// Why; stands in the ledger.
        #[arg(long, default_value = "gateway admitted")]
        reason: String,
    },
    /// As an admin or for security: end a gateway that was stolen, replaced or is out of use. It cannot come back.
    Remove {
        /// Its id.
        gateway: GatewayId,
        /// What happened: retired (so without this), lost, stolen or compromised. Its certificates are revoked for it.
        #[arg(long)]
        because: Option<RevocationReason>,
        /// Why; stands in the ledger.
        #[arg(long)]
        reason: String,
    },
    /// List gateways.
    List,
    /// On the gateway: serve.
    Run(RunArgs),
}

const COLUMNS: [Column<GatewayLine>; 5] = [
    Column::new("GATEWAY", |g| g.gateway.to_string()),
    Column::new("SITE", |g| g.site.clone()),
    Column::new("NAMES", |g| g.names.join(",")),
    Column::new("DECISIONS ANCHORED", |g| g.anchored_size.to_string()),
    Column::new("STATE", |g| {
        match (g.removed, g.connected) {
            (true, _) => "removed",
            (false, true) => "connected",
            (false, false) => "away",
        }
        .to_owned()
    }),
];

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The gateway's directory; made when absent.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Configuration; its [gateway] table counts.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The control plane; several, separated by commas, are asked in this order.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', required = true)]
    server: Vec<String>,
    /// The control plane's fingerprint, as `lanyard up` printed it.
    #[arg(long, value_name = "SHA256")]
    fingerprint: String,
    #[command(flatten)]
    secret: Secret,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The gateway's directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Configuration; its [gateway] table counts.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    secret: Secret,
}

/// What an admin admits; nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    gateway: GatewayId,
    site: String,
    spki_sha256: Digest,
    vkey: String,
    names: Vec<String>,
}

impl Request {
    fn parse(text: &str) -> Result<Self, String> {
        let request: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        check_slug("site", &request.site).map_err(|e| e.to_string())?;
        NoteVerifier::parse(&request.vkey).map_err(|e| format!("vkey: {e}"))?;
        Ok(request)
    }
}

/// Runs one.
pub async fn run(command: GatewayCommand, desk: Desk) -> anyhow::Result<()> {
    match command {
        GatewayCommand::Init(args) => init(args, &desk).await,
        GatewayCommand::Add { file, reason } => {
            let request = Request::parse(&files::read_text(&file)?).map_err(|e| {
                Failure::usage(format!("`{}` is not a gateway's request: {e}", file.display()))
            })?;
            let Request { gateway, site, spki_sha256, vkey, names } = request;
            let action = Action::AddGateway { gateway, site, spki_sha256, vkey, names };
            desk.recorded(&desk.session()?.decide(action, &reason).await?)
        }
        GatewayCommand::Remove { gateway, because, reason } => {
            let action = Action::RemoveGateway { gateway, reason: because };
            desk.recorded(&desk.session()?.decide(action, &reason).await?)
        }
        GatewayCommand::List => {
            let lines: Vec<GatewayLine> = desk.session()?.read("/v1/gateways").await?;
            desk.output.list(&lines, &COLUMNS, "no gateway yet")
        }
        GatewayCommand::Run(args) => serve(&args).await,
    }
}

async fn init(args: InitArgs, desk: &Desk) -> anyhow::Result<()> {
    let settings = settings(args.config.as_deref())?.gateway;
    // Asked for first: a start that is refused leaves nothing behind.
    let passphrase = args.secret.passphrase()?;
    let home = match Home::read(&args.data)? {
        Some(home) => home,
        None => {
            let about = session::recognise(addresses(&args.server)?, &args.fingerprint).await?;
            Home::create(&args.data, args.server.clone(), &about.origin, &about.anchors_pem)?
        }
    };
    let keys = Home::keys(&args.data, passphrase)?;
    let request = Request {
        gateway: home.gateway,
        site: settings.site,
        spki_sha256: keys.spki_sha256()?,
        vkey: keys.vkey(&home.origin, home.gateway)?,
        names: settings.names,
    };
    let file = args.data.join("request.json");
    files::replace_public(&file, (serde_json::to_string_pretty(&request)? + "\n").as_bytes())?;
    desk.output.one(&request, |r| {
        let pairs = [
            ("gateway", r.gateway.to_string()),
            ("site", r.site.clone()),
            ("TLS key", r.spki_sha256.to_string()),
            ("log key", r.vkey.clone()),
            ("request", file.display().to_string()),
        ];
        let (data, file) = (args.data.display(), file.display());
        format!("{}next, as an admin: lanyard gateway add {file}\nthen, here: lanyard gateway run --data {data}\n", facts(&pairs))
    })
}

fn addresses(texts: &[String]) -> anyhow::Result<Vec<Server>> {
    texts.iter().map(|t| Ok(t.parse()?)).collect()
}

async fn serve(args: &RunArgs) -> anyhow::Result<()> {
    let settings = settings(args.config.as_deref())?;
    log_lines(&settings.log);
    let home = home(&args.data)?;
    let keys = Home::keys(&args.data, args.secret.passphrase()?)?;
    let clock = Clock::system();
    let config = home.config(&settings.gateway, &args.data, addresses(&home.control)?, &clock)?;
    let gateway = Gateway::start(config, keys).await.context("cannot start the gateway")?;
    emit(&facts(&[
        ("gateway", home.gateway.to_string()),
        ("listens on", gateway.fhir_addr.to_string()),
        ("site", settings.gateway.site.clone()),
        ("control", home.control.join(", ")),
    ]));
    let stop = stop_signal();
    tokio::pin!(stop);
    let ready = tokio::select! {
        outcome = &mut stop => Some(outcome),
        () = gateway.ready() => None,
    };
    let outcome = match ready {
        Some(outcome) => outcome,
        None => {
            tracing::info!(
                devices = gateway.status().devices,
                "ready: certified, and the site's devices are known"
            );
            stop.await
        }
    };
    gateway.shutdown().await;
    outcome
}

fn home(dir: &Path) -> anyhow::Result<Home> {
    let home = Home::read(dir)?;
    let home = home.filter(|home| !home.control.is_empty());
    home.ok_or_else(|| {
        Failure::usage(format!(
            "`{0}` is not a gateway's directory: run `lanyard gateway init --data {0} --server HOST:PORT --fingerprint SHA256`",
            dir.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // I12
    #[test]
    fn every_cut_of_a_request_file_is_refused() {
        let key = lanyard_ledger::note::NoteSigner::from_seed("o/gateway/x", &[7; 32]).unwrap();
        let request = Request {
            gateway: GatewayId::from_random([1; 16]),
            site: "north".into(),
            spki_sha256: Digest([2; 32]),
            vkey: key.verifier().vkey(),
            names: vec!["gw.example".into()],
        };
        let text = serde_json::to_string_pretty(&request).unwrap();
        assert_eq!(Request::parse(&text).unwrap(), request);
        for end in 0..text.len() {
            assert!(Request::parse(text.get(..end).unwrap()).is_err(), "cut at {end}");
        }
        assert!(Request::parse(&text.replace("north", "North Campus")).unwrap_err().contains("site"));
        assert!(Request::parse(&text.replace("o/gateway/x+", "o/gateway/y+")).unwrap_err().contains("vkey"));
    }
}
