//! `lanyard endorsement`: makers whose hardware may enroll.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, Subcommand};
use lanyard_api::makers::{EndorsementLine, MakerListLine};
use lanyard_domain::endorsement::EndorsementUse;
use lanyard_domain::statement::Action;
use lanyard_domain::text::{Blob, Digest};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use serde::Serialize;

use super::Desk;
use crate::exit::Failure;
use crate::files;
use crate::output::Column;

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
    /// Accepted makers, and how old and how long their lists are.
    #[command(visible_alias = "ls")]
    List,
    /// Take a maker's list of the certificates that it revoked: hardware that stands on it cannot enroll, and devices that use it are
    /// cut off where the list says that their key is no longer to be believed.
    Revocations(RevocationsArgs),
}

/// Arguments of `revocations`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("file").required(true))]
pub struct RevocationsArgs {
    /// The accepted authority: the beginning of its digest, or words of its name (`lanyard endorsement list`).
    authority: String,
    /// Revocation list, PEM or DER, as the maker publishes it.
    #[arg(long, value_name = "FILE", group = "file")]
    crl: Option<PathBuf>,
    /// Status list, JSON, as Android publishes it for attestation keys. Nobody signs it: fetch it from its maker over TLS.
    #[arg(long, value_name = "FILE", group = "file")]
    status: Option<PathBuf>,
    /// Certificate of the list's issuer, when it is not the accepted authority itself; then those above it. More than once.
    #[arg(long = "issuer", value_name = "FILE", requires = "crl")]
    issuers: Vec<PathBuf>,
    /// Why; stands in the ledger.
    #[arg(long, default_value = "the maker's newest list")]
    reason: String,
}

const COLUMNS: [Column<Row>; 9] = [
    Column::new("MAKER", |r| r.maker.clone()),
    Column::new("DIGEST", |r| r.sha256.clone()),
    Column::new("ACCEPTED FOR", |r| r.uses.clone()),
    Column::new("LIST", |r| r.on(|l| l.number.clone().unwrap_or_else(|| l.form.clone()))),
    Column::new("OF", |r| {
        r.on(|l| l.issuer.clone() + &l.part.as_ref().map(|p| format!(" ({p})")).unwrap_or_default())
    }),
    Column::new("AS OF", |r| r.on(|l| l.this_update.to_string())),
    Column::new("UNTIL", |r| r.on(|l| format!("{}, {}", l.until, l.standing))),
    Column::new("ENTRIES", |r| r.on(|l| l.entries.to_string())),
    Column::new("OF OURS", |r| {
        r.on(|l| match l.open {
            0 => l.named.to_string(),
            open => format!("{}, {open} under way", l.named),
        })
    }),
];

/// A maker with one of its lists, or with none.
#[derive(Debug, Serialize)]
struct Row {
    maker: String,
    sha256: String,
    uses: String,
    grade: Option<String>,
    list: Option<MakerListLine>,
}

impl Row {
    fn all(makers: Vec<EndorsementLine>) -> Vec<Self> {
        let rows = |maker: EndorsementLine| {
            let row = |list: Option<MakerListLine>| Self {
                maker: maker.subject.clone(),
                sha256: maker.sha256.to_string(),
                uses: maker.uses.join(","),
                grade: maker.grade.clone(),
                list,
            };
            match maker.lists.as_slice() {
                [] => vec![row(None)],
                lists => lists.iter().map(|list| row(Some(list.clone()))).collect(),
            }
        };
        makers.into_iter().flat_map(rows).collect()
    }

    fn on(&self, text: impl Fn(&MakerListLine) -> String) -> String {
        self.list.as_ref().map(text).unwrap_or_else(|| "-".to_owned())
    }
}

/// Runs one.
pub async fn run(command: EndorsementCommand, desk: &Desk) -> anyhow::Result<()> {
    let mut session = desk.session()?;
    match command {
        EndorsementCommand::Add { file, grade, mut uses, reason } => {
            uses.sort_unstable();
            uses.dedup();
            let action =
                Action::AddEndorsement { certificate: Blob(in_file(&file, certificate)?), grade, uses };
            desk.recorded(&session.decide(action, &reason).await?)
        }
        EndorsementCommand::List => {
            let makers: Vec<EndorsementLine> = session.read("/v1/endorsements").await?;
            desk.output.list(&Row::all(makers), &COLUMNS, "no maker is accepted")
        }
        EndorsementCommand::Revocations(args) => {
            let list = match (&args.crl, &args.status) {
                (Some(file), _) => in_file(file, crl)?,
                (None, Some(file)) => in_file(file, status)?,
                (None, None) => return Err(Failure::usage("give the list with --crl or --status")),
            };
            let issuers: anyhow::Result<Vec<Blob>> =
                args.issuers.iter().map(|file| Ok(Blob(in_file(file, certificate)?))).collect();
            let makers: Vec<EndorsementLine> = session.read("/v1/endorsements").await?;
            let authority_sha256 = one_of(&makers, &args.authority).map_err(Failure::refused)?;
            let action = Action::TakeMakerList { authority_sha256, issuers: issuers?, list: Blob(list) };
            desk.recorded(&session.decide(action, &args.reason).await?)
        }
    }
}

fn in_file(path: &Path, read: fn(&[u8]) -> Result<Vec<u8>, String>) -> anyhow::Result<Vec<u8>> {
    read(&files::read(path)?).map_err(|why| Failure::usage(format!("`{}`: {why}", path.display())))
}

/// The authority that is meant by the beginning of its digest or by words of its name.
fn one_of(makers: &[EndorsementLine], meant: &str) -> Result<Digest, String> {
    let meant = meant.trim();
    let is_meant = |maker: &&EndorsementLine| {
        // Eight digits: what people read to each other.
        (meant.len() >= 8 && maker.sha256.to_string().starts_with(meant)) || maker.subject.contains(meant)
    };
    match makers.iter().filter(is_meant).collect::<Vec<_>>().as_slice() {
        [one] => Ok(one.sha256),
        [] => Err(format!("no accepted maker is called `{meant}`; `lanyard endorsement list` shows all")),
        many => Err(format!("`{meant}` fits {} accepted makers; say more, or give the digest", many.len())),
    }
}

/// DER of the one revocation list in the file.
fn crl(bytes: &[u8]) -> Result<Vec<u8>, String> {
    // A DER list begins with a SEQUENCE tag.
    if bytes.first() == Some(&0x30) {
        return Ok(bytes.to_vec());
    }
    let all: Result<Vec<CertificateRevocationListDer<'static>>, _> =
        CertificateRevocationListDer::pem_slice_iter(bytes).collect();
    match all.map_err(|e| format!("not a PEM revocation list: {e}"))?.as_slice() {
        [one] => Ok(one.to_vec()),
        [] => Err("holds no revocation list; expected PEM or DER".to_owned()),
        many => Err(format!("holds {} revocation lists; take one at a time", many.len())),
    }
}

/// A status list, without what an editor put before it.
fn status(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let list = bytes.trim_ascii();
    match list.first() {
        Some(b'{') => Ok(list.to_vec()),
        _ => Err("not a JSON object".to_owned()),
    }
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

    #[test]
    fn one_list_is_read_from_either_form() {
        let pem = "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n";
        assert_eq!(crl(pem.as_bytes()), Ok(vec![0x30, 0]));
        assert_eq!(crl(&[0x30, 0]), Ok(vec![0x30, 0]));
        assert!(crl(pem.repeat(2).as_bytes()).unwrap_err().contains("one at a time"));
        assert!(crl(PEM.as_bytes()).unwrap_err().contains("no revocation list"));
        assert_eq!(status(b" {}\n"), Ok(b"{}".to_vec()));
        assert!(status(b"[]").is_err());
    }

    #[test]
    fn a_maker_is_found_by_digest_or_name_and_never_guessed() {
        let maker = |n: u8, subject: &str| EndorsementLine {
            sha256: Digest([n; 32]),
            subject: subject.to_owned(),
            uses: vec![],
            grade: None,
            lists: vec![],
        };
        let makers = [maker(0x11, "CN=Acme Root"), maker(0x22, "CN=Acme EK CA"), maker(0x23, "CN=Other")];
        assert_eq!(one_of(&makers, "Acme Root"), Ok(Digest([0x11; 32])));
        assert_eq!(one_of(&makers, "22222222"), Ok(Digest([0x22; 32])));
        assert!(one_of(&makers, "2222").unwrap_err().contains("no accepted maker"));
        assert!(one_of(&makers, "Acme").unwrap_err().contains("fits 2"));
    }
}
