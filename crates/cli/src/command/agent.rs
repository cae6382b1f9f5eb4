//! `lanyard agent`: what runs on a device. The root of trust is a software TPM in a directory, or (cargo feature `tpm`) a
//! real one behind a TCTI string.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand};
use lanyard_agent::measure::{BIOS_LOG, MeasuredFiles, ModelFile};
use lanyard_agent::offline::RequestWith;
use lanyard_agent::status::Status;
use lanyard_agent::tpm::RootOfTrust;
use lanyard_agent::tpm::soft::SoftTpm;
use lanyard_agent::{Agent, AgentConfig};
use lanyard_api::clock::Clock;
use lanyard_api::device::Standing;
use lanyard_domain::trust::{Reason, Verdict};
use serde::Serialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::device::Span;
use super::enrollment::{self, How, InitEnrollment};
use super::role::{log_lines, stop_signal};
use super::simulate::{self, SimulateArgs};
use crate::exit::Failure;
use crate::files;
use crate::output::{Output, facts};

/// What to do on a device.
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Write the agent's configuration.
    Init(InitArgs),
    /// Earn an identity: show the TPM's keys, prove the state, get a certificate; or get it by EST, ACME or CMP.
    Enroll {
        #[command(flatten)]
        device: Device,
        #[command(flatten)]
        how: How,
    },
    /// Renew the certificate now, by the protocol that it came by; `run` does so in time by itself.
    Renew {
        #[command(flatten)]
        device: Device,
        /// How long to wait for approvals and queues.
        #[arg(long, default_value = "10m", value_name = "TIME")]
        wait: Span,
    },
    /// The public part of the attestation key (PEM): what a maker certifies for ACME's device-attest-01.
    AttestationKey(Device),
    /// Prove the state once, now; a device that was enrolled without evidence shows its certificate.
    Attest(Device),
    /// Keep the identity alive: enroll if needed, attest when told, renew in time; for ever.
    Run(Device),
    /// Without network: write a file that a person carries to an operator, this device's keys or (with a challenge or a
    /// one-time secret) a request.
    Request(RequestArgs),
    /// Without network: take the response that a person brought.
    Accept {
        #[command(flatten)]
        device: Device,
        /// The response file.
        response: PathBuf,
    },
    /// How the device stands, as the agent heard last.
    Status {
        /// The agent's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Send a FHIR resource through the gateway.
    Send(SendArgs),
    /// Make a simulated device with a software TPM, or boot one again; for trials without hardware.
    Simulate(SimulateArgs),
}

/// Which device this is and where its root of trust is.
#[derive(Debug, Args)]
pub struct Device {
    /// The agent's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    root: Root,
}

/// Where keys live; one of the two.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Root {
    /// Directory of a software TPM.
    #[arg(long, value_name = "DIR")]
    tpm_dir: Option<PathBuf>,
    /// A TPM 2.0, such as `device:/dev/tpmrm0` or `swtpm:host=127.0.0.1,port=2321` (built with feature `tpm`).
    #[arg(long, value_name = "TCTI")]
    tcti: Option<String>,
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Control planes, asked in this order.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', required = true)]
    server: Vec<String>,
    /// Trust anchors, as `lanyard up` wrote them to `anchors.pem`.
    #[arg(long, value_name = "FILE")]
    anchors: PathBuf,
    /// Gateways that take this device's data.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    gateway: Vec<String>,
    /// Maker, as on the label.
    #[arg(long)]
    vendor: String,
    /// Model, as on the label.
    #[arg(long)]
    model: String,
    /// Serial number, as on the label.
    #[arg(long)]
    serial: String,
    /// Where identity and status are kept.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// The firmware's event log.
    #[arg(long, value_name = "FILE", default_value = BIOS_LOG)]
    event_log: PathBuf,
    /// AI models to measure, as name=manifest-file.
    #[arg(long, value_name = "NAME=FILE", value_delimiter = ',')]
    ai_model: Vec<String>,
    #[command(flatten)]
    enrollment: InitEnrollment,
    /// Where the configuration goes; not overwritten.
    #[arg(short = 'f', long, value_name = "FILE")]
    file: PathBuf,
}

/// Arguments of `request`.
#[derive(Debug, Args)]
pub struct RequestArgs {
    #[command(flatten)]
    device: Device,
    /// A challenge by `lanyard enroll challenge`: the request proves this device's state.
    #[arg(long, value_name = "FILE", conflicts_with = "secret_file")]
    challenge: Option<PathBuf>,
    /// A file with the one-time secret by `lanyard device secret`: the request proves that its maker knew it.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The file to carry; not overwritten.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Arguments of `send`.
#[derive(Debug, Args)]
pub struct SendArgs {
    #[command(flatten)]
    device: Device,
    /// The resource, JSON.
    file: PathBuf,
    /// Get a token first and show it beside the certificate.
    #[arg(long)]
    token: bool,
}

/// Runs one.
pub async fn run(command: AgentCommand, output: Output) -> anyhow::Result<()> {
    match command {
        AgentCommand::Init(args) => init(&args, output),
        AgentCommand::AttestationKey(device) => {
            let agent = open(&device).await?;
            let pem = enrollment::attestation_key(&agent).await?;
            output.one(&serde_json::json!({ "public_key": pem }), |_| pem.trim_end().to_owned())
        }
        AgentCommand::Enroll { device, how } => {
            let agent = open(&device).await?;
            let standing = enrollment::enroll(&agent, &how).await?;
            keep_status(&agent)?;
            enrolled(&agent, &standing, output)
        }
        AgentCommand::Renew { device, wait } => {
            let agent = open(&device).await?;
            let standing = enrollment::renew(&agent, wait).await?;
            keep_status(&agent)?;
            enrolled(&agent, &standing, output)
        }
        AgentCommand::Attest(device) => {
            let agent = open(&device).await?;
            let standing = agent.show().await?;
            keep_status(&agent)?;
            told(&standing, output)
        }
        AgentCommand::Run(device) => keep(&device).await,
        AgentCommand::Request(args) => request(&args, output).await,
        AgentCommand::Accept { device, response } => accept(&device, &response, output).await,
        AgentCommand::Status { config } => status(&config, output),
        AgentCommand::Send(args) => send(&args, output).await,
        AgentCommand::Simulate(args) => simulate::run(&args, output).await,
    }
}

async fn request(args: &RequestArgs, output: Output) -> anyhow::Result<()> {
    // Read first: nothing is made for a file that is not there.
    let with = match (&args.challenge, &args.secret_file) {
        (Some(file), _) => Some(RequestWith::Challenge(files::read(file)?)),
        (None, Some(file)) => Some(RequestWith::Secret(files::read_text(file)?)),
        (None, None) => None,
    };
    let agent = open(&args.device).await?;
    let (bytes, kind, next) = match with {
        Some(with) => (agent.request_file(with).await?, "request", "lanyard enroll file FILE --out RESPONSE"),
        None => (agent.keys_file().await?, "keys", "lanyard enroll challenge FILE --out CHALLENGE"),
    };
    files::create_new(&args.out, &bytes)?;
    let said = json!({"file": args.out, "kind": kind, "bytes": bytes.len()});
    output.one(&said, |_| {
        format!("wrote {}: {kind}\nnext, at an operator's machine: {next}", args.out.display())
    })
}

async fn accept(device: &Device, response: &Path, output: Output) -> anyhow::Result<()> {
    let bytes = files::read(response)?;
    let agent = open(device).await?;
    let installed = agent.accept_file(bytes).await?;
    keep_status(&agent)?;
    output.one(&installed, |i| {
        facts(&[
            ("device", i.device.to_string()),
            ("certificate until", i.not_after.to_string()),
            ("ask for the next from", i.renew_at.to_string()),
        ])
    })
}

fn init(args: &InitArgs, output: Output) -> anyhow::Result<()> {
    let config = AgentConfig {
        servers: args.server.clone(),
        anchors_pem: files::read_text(&args.anchors)?,
        state_dir: Some(std::path::absolute(&args.state)?),
        vendor: args.vendor.clone(),
        model: args.model.clone(),
        serial: args.serial.clone(),
        event_log: std::path::absolute(&args.event_log)?,
        models: args.ai_model.iter().map(|text| model_file(text)).collect::<anyhow::Result<_>>()?,
        gateways: args.gateway.clone(),
        enrollment: args.enrollment.table()?,
    };
    config.check().map_err(|e| Failure::usage(e.to_string()))?;
    files::create_new(&args.file, toml::to_string_pretty(&config)?.as_bytes())?;
    output.one(&config, |_| {
        format!(
            "wrote {0}\nnext, once the device is approved: lanyard agent enroll --config {0} --tpm-dir DIR (or --tcti TCTI)\n",
            args.file.display()
        )
    })
}

fn model_file(text: &str) -> anyhow::Result<ModelFile> {
    let (name, manifest) =
        text.split_once('=').filter(|(name, file)| !name.is_empty() && !file.is_empty()).ok_or_else(
            || Failure::usage(format!("`{text}` is not an AI model: write name=manifest-file")),
        )?;
    Ok(ModelFile { name: name.to_owned(), manifest: std::path::absolute(manifest)? })
}

fn config(path: &Path) -> anyhow::Result<AgentConfig> {
    AgentConfig::parse(&files::read_text(path)?)
        .map_err(|e| Failure::usage(format!("`{}`: {e}", path.display())))
}

async fn open(device: &Device) -> anyhow::Result<Agent> {
    log_lines("warn");
    let config = config(&device.config)?;
    let root = device.root.open(config.state_dir.clone());
    // Opening a chip and making keys may take a real TPM seconds.
    tokio::task::spawn_blocking(move || {
        let files =
            MeasuredFiles::new(config.event_log.clone(), config.models.clone(), config.state_dir.as_deref());
        Ok(Agent::new(config, root?, Arc::new(files), Clock::system())?)
    })
    .await
    .context("the agent did not start")?
}

impl Root {
    fn open(&self, state_dir: Option<PathBuf>) -> anyhow::Result<Arc<dyn RootOfTrust>> {
        match (&self.tpm_dir, &self.tcti) {
            (Some(dir), _) => {
                let chip = SoftTpm::open(dir).map_err(lanyard_agent::AgentError::from);
                let made = "`lanyard agent simulate` makes a software TPM";
                Ok(Arc::new(chip.with_context(|| {
                    format!("cannot open the software TPM in `{}`; {made}", dir.display())
                })?))
            }
            (None, Some(tcti)) => hardware(tcti, state_dir),
            (None, None) => Err(Failure::usage("name the root of trust: --tpm-dir DIR or --tcti TCTI")),
        }
    }
}

#[cfg(feature = "tpm")]
pub(super) fn hardware(tcti: &str, state_dir: Option<PathBuf>) -> anyhow::Result<Arc<dyn RootOfTrust>> {
    use lanyard_agent::tpm::tss::{HardwareOptions, HardwareTpm};
    let dir = state_dir.ok_or_else(|| {
        Failure::usage(
            "a TPM's key blobs are kept in the state directory: set `state_dir` in the agent's configuration",
        )
    })?;
    let chip = HardwareTpm::open(HardwareOptions::new(tcti, dir.join("tpm")))
        .map_err(lanyard_agent::AgentError::from);
    Ok(Arc::new(chip.with_context(|| format!("cannot use the TPM at `{tcti}`"))?))
}

#[cfg(not(feature = "tpm"))]
pub(super) fn hardware(tcti: &str, _state_dir: Option<PathBuf>) -> anyhow::Result<Arc<dyn RootOfTrust>> {
    Err(Failure::usage(format!(
        "`{tcti}` needs a build that talks to TPMs: cargo build --release --features tpm (with libtss2-dev installed)"
    )))
}

/// What `lanyard agent status` shows after a step by hand.
fn keep_status(agent: &Agent) -> anyhow::Result<()> {
    let status = agent.status().borrow().clone();
    match &agent.config().state_dir {
        Some(dir) => Ok(status.write(dir)?),
        None => Ok(()),
    }
}

/// One line for each reason, each once: a quarantine repeats what led to it.
pub(super) fn reasons(all: &[Reason]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for reason in all {
        let line = format!("{} [{}]", reason.text, reason.code);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.join("\n")
}

/// Prints where the device stands; not trusted is exit code 1, so that a script notices.
fn told(standing: &Standing, output: Output) -> anyhow::Result<()> {
    output.one(standing, |s| standing_text(s, output))?;
    match standing.verdict {
        Verdict::Untrusted => Err(Failure::refused("the device is not trusted; the reasons are above")),
        Verdict::Trusted | Verdict::Degraded => Ok(()),
    }
}

/// The same for a new certificate: one that came without evidence is there whatever the device is trusted with.
fn enrolled(agent: &Agent, standing: &Standing, output: Output) -> anyhow::Result<()> {
    if agent.identities().current().is_some_and(|identity| !identity.protocol.is_native()) {
        return output.one(standing, |s| standing_text(s, output));
    }
    told(standing, output)
}

fn standing_text(s: &Standing, output: Output) -> String {
    let verdict = s.verdict.to_string();
    facts(&[
        ("verdict", verdict.clone()),
        ("stage", s.stage.clone()),
        ("why", reasons(&s.reasons)),
        ("what would restore it", s.restore.join("\n")),
        ("recorded", format!("position {}, {}", s.pos, s.level)),
        ("attest again in", format!("{} s", s.next_in_seconds)),
    ])
    .replacen(&verdict, &output.tint(s.verdict, &verdict), 1)
}

async fn keep(device: &Device) -> anyhow::Result<()> {
    log_lines("info");
    let agent = open(device).await?;
    let stop = CancellationToken::new();
    let mut changes = agent.status();
    let run = agent.run(stop.clone());
    tokio::pin!(run);
    let signal = stop_signal();
    tokio::pin!(signal);
    loop {
        tokio::select! {
            () = &mut run => return Ok(()),
            outcome = &mut signal => {
                stop.cancel();
                run.await;
                return outcome;
            }
            Ok(()) = changes.changed() => {
                let status = changes.borrow_and_update().clone();
                if let Some(standing) = &status.standing {
                    let next = status.next_at.map(|t| t.to_string()).unwrap_or_default();
                    tracing::info!(verdict = %standing.verdict, stage = %standing.stage, %next, "status");
                }
            }
        }
    }
}

fn status(path: &Path, output: Output) -> anyhow::Result<()> {
    let dir = config(path)?.state_dir;
    let dir = dir.ok_or_else(|| Failure::usage("the configuration has no `state_dir`: nothing is kept"))?;
    let found = Status::read(&dir)?;
    let status = found.ok_or_else(|| {
        Failure::usage(format!("no agent has run with `{}` yet: lanyard agent run", dir.display()))
    })?;
    output.one(&status, |s| status_text(s, output))
}

fn status_text(s: &Status, output: Output) -> String {
    let or_empty =
        |time: Option<lanyard_domain::time::Timestamp>| time.map(|t| t.to_string()).unwrap_or_default();
    let next =
        s.next.map(|step| format!("{step:?} at {}", or_empty(s.next_at)).to_lowercase()).unwrap_or_default();
    let fault = s.fault.as_ref().map(|f| {
        let who = if f.refused { "refused" } else { "failed" };
        format!("{:?} {who} {} time(s), last at {}: {}", f.step, f.times, f.at, f.text)
    });
    let mut text = s.standing.as_ref().map(|standing| standing_text(standing, output)).unwrap_or_default();
    text += &facts(&[
        ("device", s.device.map_or_else(|| "not enrolled".to_owned(), |d| d.to_string())),
        ("heard at", or_empty(s.heard_at)),
        ("certificate until", or_empty(s.not_after)),
        ("renewed at", or_empty(s.renew_at)),
        ("next", next),
        ("fault", fault.unwrap_or_default()),
    ]);
    text
}

#[derive(Serialize)]
struct Sent {
    status: u16,
    location: Option<String>,
}

async fn send(args: &SendArgs, output: Output) -> anyhow::Result<()> {
    let body = files::read(&args.file)?;
    let path = fhir_path(&body).map_err(|e| Failure::usage(format!("`{}`: {e}", args.file.display())))?;
    let agent = open(&args.device).await?;
    if agent.config().gateways.is_empty() {
        return Err(Failure::usage(
            "the agent's configuration names no gateway: add `gateways = [\"host:port\"]`",
        ));
    }
    let token = if args.token { Some(agent.token(None).await?.access_token) } else { None };
    let reply = agent.configured_data_path()?.post(&path, body, token.as_deref()).await?;
    let sent = Sent { status: reply.status.as_u16(), location: reply.location.clone() };
    if reply.status.is_success() {
        return output.one(&sent, |s| format!("{} {}", s.status, s.location.clone().unwrap_or_default()));
    }
    let why = reply.diagnostics().unwrap_or_else(|| "no reason was given".to_owned());
    let text = format!("the gateway answered {}: {why}", sent.status);
    // 502 to 504 are the EHR's own failures: the data is still here, send again.
    Err(match sent.status {
        502..=504 => Failure::unreachable(text),
        _ => Failure::refused(text),
    })
}

/// Where a resource is posted: its type's path, a Bundle at the base.
fn fhir_path(body: &[u8]) -> Result<String, String> {
    let resource: serde_json::Value = serde_json::from_slice(body).map_err(|e| format!("not JSON: {e}"))?;
    match resource.get("resourceType").and_then(|t| t.as_str()) {
        Some("Bundle") => Ok("/fhir".to_owned()),
        Some(kind) if kind.bytes().all(|b| b.is_ascii_alphabetic()) => Ok(format!("/fhir/{kind}")),
        _ => Err("not a FHIR resource: `resourceType` is missing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_go_to_their_types_path() {
        for (body, path) in [
            (r#"{"resourceType":"Observation"}"#, Some("/fhir/Observation")),
            (r#"{"resourceType":"Bundle"}"#, Some("/fhir")),
            (r#"{"resourceType":"../x"}"#, None),
            (r#"{"resourceType":1}"#, None),
            ("{}", None),
            ("", None),
        ] {
            assert_eq!(fhir_path(body.as_bytes()).ok().as_deref(), path, "{body}");
        }
    }

    #[test]
    fn models_are_named_with_their_manifest() {
        assert_eq!(model_file("triage=/m.json").unwrap().name, "triage");
        for text in ["triage", "=file", "name="] {
            assert!(model_file(text).is_err(), "{text}");
        }
    }
}
