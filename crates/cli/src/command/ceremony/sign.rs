//! Certify an issuing authority with a threshold of custodians.

use std::path::PathBuf;

use clap::Args;
use data_encoding::HEXLOWER;
use lanyard_api::clock::Clock;
use lanyard_control::digest::random;
use lanyard_pki::authority::{Issuer, prepare_requested};
use lanyard_pki::csr::{self, MAX_CSR_BYTES};
use lanyard_pki::name::Naming;
use lanyard_pki::profile::RevocationUris;
use lanyard_pki::serial::Serial;
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Serialize;

use super::{Directory, ROOT, absent, key_failure, one_certificate, opened, people, sealed_for};
use crate::exit::Failure;
use crate::files;
use crate::output::Output;

/// What is signed, and with what.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// The root's directory.
    dir: PathBuf,
    /// The root's certificate, PEM.
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// The request, PEM.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// SHA-256 of the request's key, from the minutes; asked for at this terminal without.
    #[arg(long, value_name = "HEX")]
    key_sha256: Option<String>,
    /// The server's public address (`[enroll] http_url`), if it has one: the certificate says that the root's is served there.
    #[arg(long, value_name = "URL")]
    http_url: Option<String>,
    /// Where to write the certificate, PEM.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// A file with a share; several. They are asked for at this terminal without.
    #[arg(long, value_name = "FILE")]
    share: Vec<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Signed {
    subject: String,
    issuer: String,
    serial: String,
    not_before: String,
    not_after: String,
    root_at: Option<String>,
    key_sha256: String,
    certificate_sha256: String,
}

pub(super) fn run(args: &SignArgs, output: Output) -> anyhow::Result<()> {
    let wrong = |why: String| Failure::usage(format!("`{}`: {why}", args.request.display()));
    absent(&args.out)?;
    let served = args.http_url.as_deref().map(served_at).transpose()?;
    let root = one_certificate(&args.certificate)?;
    let pem = files::read(&args.request)?;
    if pem.len() > MAX_CSR_BYTES * 2 {
        return Err(wrong(format!(
            "has {} bytes, a request in PEM has {} at most",
            pem.len(),
            MAX_CSR_BYTES * 2
        )));
    }
    let der = CertificateSigningRequestDer::from_pem_slice(&pem).map_err(|e| wrong(e.to_string()))?;
    let request = csr::verify(der.as_ref()).map_err(|e| wrong(e.to_string()))?;
    let organization = root.organization().unwrap_or_default();
    if request.subject().first() != Some(&organization) {
        return Err(Failure::refused(format!(
            "the request is of organisation `{}`, the root of `{organization}`",
            request.subject().first().map(String::as_str).unwrap_or_default()
        )));
    }
    // Compared before anybody's share is needed: somebody may have changed the file on its way.
    let key = HEXLOWER.encode(&request.spki_sha256());
    people::same_digest(args.key_sha256.as_deref(), &request.subject().join(", "), &key)?;
    let (set, threshold) = sealed_for(&args.dir)?;
    let shares = people::collect(&args.share, set, people::Wanted::Threshold(threshold))?;
    let keys = opened(&args.dir, &shares, Directory::Old)?;
    let root = Issuer::new(root, ROOT.parse()?, &keys).map_err(|e| Failure::contradicted(e.to_string()))?;
    let naming = Naming::new(&organization, "ceremony.invalid").map_err(|e| Failure::usage(e.to_string()))?;
    let (serial, now) = (Serial::from_random(random()?), Clock::system().now());
    let certificate = prepare_requested(&naming, &request, &root, served.as_ref(), serial, now)
        .map_err(|e| Failure::refused(e.to_string()))?
        .sign(&keys)
        .map_err(key_failure)?;
    files::create_new(&args.out, certificate.to_pem().as_bytes())?;
    let signed = Signed {
        subject: certificate.subject_text(),
        issuer: certificate.issuer_text(),
        serial: certificate.serial().to_string(),
        not_before: certificate.not_before().to_string(),
        not_after: certificate.not_after().to_string(),
        root_at: certificate.issuer_address(),
        key_sha256: key,
        certificate_sha256: HEXLOWER.encode(&certificate.thumbprint()),
    };
    output.one(&signed, |s| {
        format!(
            "for the minutes:\n  certified           {}\n  by                  {}\n  serial              {}\n  from                {}\n  until               {}\n  root is served at   {}\n  key, SHA-256        {}\n  certificate SHA-256 {}",
            s.subject, s.issuer, s.serial, s.not_before, s.not_after, s.root_at.as_deref().unwrap_or("no address"), s.key_sha256, s.certificate_sha256
        )
    })
}

/// Below the server's address; how many lists it has for its own authorities is not asked of a root.
fn served_at(http_url: &str) -> anyhow::Result<RevocationUris> {
    RevocationUris::below(http_url, 1).map_err(|e| Failure::usage(format!("--http-url: {e}")))
}
