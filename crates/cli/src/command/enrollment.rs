//! `lanyard agent enroll`, and what `agent init` writes about it: by our own protocol or by EST, ACME or CMP.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use lanyard_agent::protocol::{Enrollment, OneTimeSecret, Patience, Protocol};
use lanyard_agent::{Agent, AgentError};
use lanyard_api::device::Standing;

use super::device::Span;
use crate::exit::Failure;

/// What `init` is told about enrollment.
#[derive(Debug, Args)]
pub struct InitEnrollment {
    /// How the first certificate is got: native, est, acme or cmp.
    #[arg(long, default_value = "native")]
    protocol: Protocol,
    /// Where EST, ACME and CMP are served, asked in this order; for ACME by the name that the server goes by.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    enrollment_server: Vec<String>,
    /// Certificate profile to ask for; without, the record says which.
    #[arg(long, value_name = "NAME")]
    certificate_profile: Option<String>,
    /// File with the one-time secret, for `agent run` to enroll by itself.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// For ACME: the maker's certificate of this device's attestation key, and its issuers (PEM).
    #[arg(long, value_name = "FILE")]
    attestation_certificates: Option<PathBuf>,
}

impl InitEnrollment {
    /// As it stands in the configuration.
    pub fn table(&self) -> anyhow::Result<Enrollment> {
        let absolute = |path: &Option<PathBuf>| path.as_ref().map(std::path::absolute).transpose();
        Ok(Enrollment {
            protocol: self.protocol,
            servers: self.enrollment_server.clone(),
            profile: self.certificate_profile.clone(),
            secret_file: absolute(&self.secret_file)?,
            attestation_certificates: absolute(&self.attestation_certificates)?,
        })
    }
}

/// How `enroll` goes.
#[derive(Debug, Args)]
pub struct How {
    /// By which protocol: native, est, acme or cmp; without, as the configuration says.
    #[arg(long)]
    protocol: Option<Protocol>,
    /// File with the one-time secret (EST, CMP; ACME where accounts are bound); without, the configuration's.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// How long to wait for approvals; a later call goes on where this one stopped.
    #[arg(long, default_value = "10m", value_name = "TIME")]
    wait: Span,
}

/// Earns an identity.
pub async fn enroll(agent: &Agent, how: &How) -> anyhow::Result<Standing> {
    let configured = &agent.config().enrollment;
    let protocol = how.protocol.unwrap_or(configured.protocol);
    let secret = match how.secret_file.as_ref().or(configured.secret_file.as_ref()) {
        // Our own protocol takes none, and a file of an earlier enrollment does not matter to it.
        Some(path) if protocol != Protocol::Native => {
            let read = OneTimeSecret::read(path)
                .map_err(|e| Failure::usage(format!("`{}`: {e}", path.display())))?;
            Some(read.ok_or_else(|| Failure::usage(format!("`{}` does not exist", path.display())))?)
        }
        _ => None,
    };
    let patience = Patience::of(Duration::from_secs(how.wait.seconds().unsigned_abs()));
    Ok(agent.enroll_by(protocol, secret, patience).await?)
}

/// Renews by the protocol that the certificate came by.
pub async fn renew(agent: &Agent, wait: Span) -> anyhow::Result<Standing> {
    Ok(agent.renew_by(Patience::of(Duration::from_secs(wait.seconds().unsigned_abs()))).await?)
}

/// The attestation key as PEM, for whoever certifies it.
pub async fn attestation_key(agent: &Agent) -> Result<String, AgentError> {
    let der = agent.attestation_key().await?;
    let body = data_encoding::BASE64.encode(&der);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    Ok(format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n")))
}
