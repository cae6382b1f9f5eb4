//! `lanyard endorsement`: makers whose hardware may enroll.

use std::path::PathBuf;

use clap::Subcommand;
use lanyard_domain::endorsement::EndorsementUse;
use lanyard_domain::statement::Action;
use lanyard_domain::text::Blob;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::Desk;
use crate::exit::Failure;
use crate::files;

/// What to do with makers.
#[derive(Debug, Subcommand)]
pub enum EndorsementCommand {
    /// Accept a maker's endorsement authority: devices whose endorsement key certificates chain to it may enroll.
    Add {
        /// Its certificate, PEM or DER.
        file: PathBuf,
        /// Certified grade of the hardware it endorses, such as `Common Criteria EAL4+`.
        #[arg(long)]
        grade: Option<String>,
        /// What it is accepted for: `ek` (endorsement keys of TPMs), `idevid` (factory certificates), or attestation statements
        /// of ACME's device-attest-01: `tpm`, `packed`, `apple`, `android-key`. Several with commas; `ek,idevid` without it.
        #[arg(long = "use", value_delimiter = ',')]
        uses: Vec<EndorsementUse>,
        /// Why; stands in the ledger.
        #[arg(long, default_value = "maker's endorsement authority accepted")]
        reason: String,
    },
}

/// Runs one.
pub async fn run(command: EndorsementCommand, desk: &Desk) -> anyhow::Result<()> {
    let EndorsementCommand::Add { file, grade, mut uses, reason } = command;
    uses.sort_unstable();
    uses.dedup();
    let certificate = certificate(&files::read(&file)?)
        .map_err(|why| Failure::usage(format!("`{}`: {why}", file.display())))?;
    let action = Action::AddEndorsement { certificate: Blob(certificate), grade, uses };
    desk.recorded(&desk.session()?.decide(action, &reason).await?)
}

/// DER of the one certificate in the file. More than one would leave open which of them is accepted.
fn certificate(bytes: &[u8]) -> Result<Vec<u8>, String> {
    // A DER certificate begins with a SEQUENCE tag.
    if bytes.first() == Some(&0x30) {
        return Ok(bytes.to_vec());
    }
    let all: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match all.map_err(|e| format!("not a PEM certificate: {e}"))?.as_slice() {
        [one] => Ok(one.to_vec()),
        [] => Err("holds no certificate; expected PEM or DER".to_owned()),
        many => Err(format!("holds {} certificates; add one at a time", many.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

    #[test]
    fn one_certificate_is_read_from_either_form() {
        assert_eq!(certificate(PEM.as_bytes()), Ok(vec![0x30, 0]));
        assert_eq!(certificate(&[0x30, 0]), Ok(vec![0x30, 0]));
        assert!(certificate(PEM.repeat(2).as_bytes()).unwrap_err().contains("one at a time"));
        assert!(certificate(b"text").unwrap_err().contains("no certificate"));
        assert!(certificate(&[]).is_err());
    }
}
