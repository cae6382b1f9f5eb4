//! `lanyard up` and `lanyard serve`: the control plane, with or without a gateway beside it.
//!
//! The first start makes everything and prints the bootstrap secret and the next command; each later one resumes.
//! SIGTERM and Ctrl-C end it after open answers; a log that cannot go on ends it with exit code 5, because only a new
//! start can find out what is on disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use lanyard_api::client::Server;
use lanyard_api::clock::Clock;
use lanyard_control::carry_out::NewGateway;
use lanyard_gateway::{Gateway, RunningGateway};
use lanyard_server::config::Settings;
use lanyard_server::{ControlPlane, Running};
use rustls_pki_types::ServerName;
use serde::Serialize;

use super::role::{Home, Secret, log_lines, settings, stop_signal};
use crate::exit::Failure;
use crate::files;
use crate::output::{Output, facts};
use crate::tls;

/// A gateway in the same process is certified in two calls; this is a slow disk's time for them.
const READY: Duration = Duration::from_secs(30);

/// Arguments.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Where everything lies; made at the first start.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Configuration; docs/lanyard.toml has every key.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    secret: Secret,
}

/// What runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roles {
    /// `lanyard serve`.
    ControlPlane,
    /// `lanyard up`.
    ControlPlaneAndGateway,
}

#[derive(Serialize)]
struct Started {
    control_plane: String,
    gateway: Option<String>,
    enroll: Option<String>,
    pki_http: Option<String>,
    origin: String,
    log_vkey: String,
    fingerprint: String,
    anchors: PathBuf,
    bootstrap_secret: Option<String>,
}

/// Runs until it is told to stop.
pub async fn run(args: UpArgs, roles: Roles, output: Output) -> anyhow::Result<()> {
    let settings = settings(args.config.as_deref())?;
    log_lines(&settings.log);
    let clock = Clock::system();
    // Asked for first: a start that is refused leaves nothing behind.
    let passphrase = args.secret.passphrase()?;
    // Sealed keys make a directory of others worthless, but the ledger names people and devices: nobody else reads it.
    private_dir(&args.data)?;
    let config = settings.control_plane(&args.data);
    let mut control = ControlPlane::start(config, passphrase, clock.clone()).await?;
    let anchors = args.data.join("anchors.pem");
    files::replace_public(&anchors, control.anchors_pem.as_bytes())?;
    let gateway = match roles {
        Roles::ControlPlane => None,
        Roles::ControlPlaneAndGateway => Some(own_gateway(&args, &settings, &control, &clock).await?),
    };
    let started = Started {
        control_plane: control.address.to_string(),
        gateway: gateway.as_ref().map(|g| g.fhir_addr.to_string()),
        enroll: control.enroll_address.map(|a| a.to_string()),
        pki_http: control.http_address.map(|a| a.to_string()),
        origin: control.origin.clone(),
        log_vkey: control.log_vkey.clone(),
        fingerprint: tls::fingerprint(&control.anchors_pem)?,
        anchors,
        bootstrap_secret: control.bootstrap_secret.take(),
    };
    output.one(&started, |s| greeting(s, &settings))?;
    // The secret has been shown once; it is not kept.
    drop(started);

    let broken = control.broken();
    let outcome = tokio::select! {
        stop = stop_signal() => stop,
        () = broken.cancelled() => Err(Failure::internal(
            "the log cannot go on: it is not known whether its last write is on disk. Nothing that was acknowledged is \
             lost; start again, which finds out. If it happens again, check disk and file system",
        )),
    };
    tracing::info!("stopping: answers under way are finished first");
    // The gateway first: it still has a decision log to anchor.
    if let Some(gateway) = gateway {
        gateway.shutdown().await;
    }
    control.shutdown().await;
    outcome
}

fn private_dir(dir: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| Failure::usage(format!("cannot make the data directory `{}`: {e}", dir.display())))
}

async fn own_gateway(
    args: &UpArgs,
    settings: &Settings,
    control: &Running,
    clock: &Clock,
) -> anyhow::Result<RunningGateway> {
    let dir = settings.gateway.dir.clone().unwrap_or_else(|| args.data.join("gateway"));
    let home = match Home::read(&dir)? {
        Some(home) if home.origin == control.origin => home,
        Some(home) => {
            return Err(Failure::usage(format!(
                "gateway directory `{}` belongs to the log `{}`, not `{}`",
                dir.display(),
                home.origin,
                control.origin
            )));
        }
        None => Home::create(&dir, Vec::new(), &control.origin, &control.anchors_pem)?,
    };
    let keys = Home::keys(&dir, args.secret.passphrase()?)?;
    let admission = NewGateway {
        id: home.gateway,
        site: settings.gateway.site.clone(),
        spki_sha256: keys.spki_sha256()?,
        vkey: keys.vkey(&control.origin, home.gateway)?,
        names: settings.gateway.names.clone(),
    };
    control
        .state
        .control
        .admit_own_gateway(admission, clock.now())
        .await
        .context("the ledger does not admit the gateway of this process")?;
    let config = home.config(&settings.gateway, &dir, vec![here(control, settings)?], clock)?;
    let gateway = Gateway::start(config, keys).await.context("cannot start the gateway")?;
    match tokio::time::timeout(READY, gateway.ready()).await {
        Ok(()) => Ok(gateway),
        Err(_) => Err(Failure::internal(format!(
            "the gateway got no certificate from the control plane of this process within {} s",
            READY.as_secs()
        ))),
    }
}

/// The control plane of this process as its gateway dials it: by loopback when it listens everywhere.
fn here(control: &Running, settings: &Settings) -> anyhow::Result<Server> {
    let mut address = control.address;
    if address.ip().is_unspecified() {
        let loopback =
            if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    let server: Server = address.to_string().parse()?;
    let name = settings.names.first().context("the configuration has no name")?;
    Ok(server
        .with_name(ServerName::try_from(name.clone()).context("the first of `names` is no server name")?))
}

fn greeting(started: &Started, settings: &Settings) -> String {
    let dial = |address: &str, names: &[String]| {
        let port = address.rsplit(':').next().unwrap_or_default().to_owned();
        format!("{}:{port}", names.first().map_or("localhost", String::as_str))
    };
    let server = dial(&started.control_plane, &settings.names);
    let mut text = facts(&[
        ("control plane", format!("https://{server} (listens on {})", started.control_plane)),
        (
            "gateway",
            started.gateway.as_ref().map_or_else(String::new, |gateway| {
                format!(
                    "https://{}/fhir for site `{}`, in front of {}",
                    dial(gateway, &settings.gateway.names),
                    settings.gateway.site,
                    settings.gateway.upstream
                )
            }),
        ),
        (
            "enrollment",
            started.enroll.as_ref().map_or_else(String::new, |address| {
                format!("https://{} (EST, ACME, CMP)", dial(address, &settings.enroll.names))
            }),
        ),
        (
            "revocation",
            started.pki_http.as_ref().map_or_else(String::new, |address| {
                format!("http://{} (OCSP, CRL, CMP, SCEP)", dial(address, &settings.enroll.names))
            }),
        ),
        ("log", started.origin.clone()),
        ("log key", started.log_vkey.clone()),
        ("anchors", started.anchors.display().to_string()),
        ("fingerprint", started.fingerprint.clone()),
    ]);
    let login = format!("lanyard login --server {server} --fingerprint {}", started.fingerprint);
    match &started.bootstrap_secret {
        Some(secret) => {
            text += &format!(
                "\nThere is no operator yet. This secret admits the first one, once; it is not shown again by this start:\n\
                 \n  {secret}\n\nNext, on the first operator's desk:\n\n  {login}\n  \
                 lanyard operator init \"YOUR NAME\" --secret {secret} --roles admin,registrar\n"
            );
        }
        None => text += &format!("\nOperators reach it after: {login}\n"),
    }
    text
}
