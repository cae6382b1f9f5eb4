//! `lanyard ca`: our certificate authorities and their generations.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use lanyard_api::pki::{AuthorityLine, AuthorityRequest};
use lanyard_domain::authority::{AuthorityPurpose, KeyStore};
use lanyard_domain::statement::Action;
use lanyard_domain::text::Blob;
use lanyard_pki::certificate::{Certificate, chain_from_pem};

use super::ceremony::CeremonyCommand;
use super::{Desk, compromise};
use crate::exit::Failure;
use crate::files;
use crate::output::Column;

/// What to do with authorities.
#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Create an issuing authority below the root. It is trusted from then on and issues nothing until it is activated.
    Create {
        /// Its name, never used before: `issuing-2`, `legacy-north`.
        name: String,
        /// What it is for: `devices`, or `legacy` for RSA and SCEP.
        #[arg(long, default_value = "devices")]
        purpose: AuthorityPurpose,
        /// The site that it issues for; all without.
        #[arg(long)]
        site: Option<String>,
        /// Where its key is made and stays: `sealed`, or `pkcs11` for the hardware module of the configuration.
        #[arg(long, default_value = "sealed")]
        keys: KeyStore,
        /// Why; stands in the ledger.
        #[arg(long, default_value = "a new generation")]
        reason: String,
    },
    /// Order an authority that the hospital's own CA is to certify: its key is made, and its request (PKCS#10, PEM) is for that CA.
    Request {
        /// Its name, never used before: `issuing-h1`; `root-h1` for a root of ours below theirs.
        name: String,
        /// The root above, a PEM file: the chain must end in it, and it will be trusted.
        #[arg(long, value_name = "FILE", required_unless_present = "again")]
        under: Option<PathBuf>,
        /// What it is for: `devices`, `legacy`, or `root` for one that signs our issuing authorities.
        #[arg(long, default_value = "devices")]
        purpose: AuthorityPurpose,
        /// The site that it issues for; all without.
        #[arg(long)]
        site: Option<String>,
        /// Where its key is made and stays: `sealed`, or `pkcs11`.
        #[arg(long, default_value = "sealed")]
        keys: KeyStore,
        /// Where to write the request; to standard output without.
        #[arg(short, long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Only write the request of an authority that was ordered before.
        #[arg(long, conflicts_with_all = ["under", "site"])]
        again: bool,
        /// Why; stands in the ledger.
        #[arg(long, default_value = "certified by the hospital's own CA")]
        reason: String,
    },
    /// Take the certificate that the hospital's CA made for a request. Another person than who ordered it must.
    Import {
        /// Which.
        name: String,
        /// PEM: our certificate, and the CAs between it and the root.
        file: PathBuf,
        /// Why; stands in the ledger.
        #[arg(long, default_value = "signed by the hospital's own CA")]
        reason: String,
    },
    /// Let an authority issue in the place of the one before it. Another person than who created it must.
    Activate {
        /// Which.
        name: String,
        /// Why; stands in the ledger.
        #[arg(long, default_value = "in use everywhere it has to be known")]
        reason: String,
    },
    /// End the trust in an authority that has drained.
    Retire {
        /// Which.
        name: String,
        /// Why; stands in the ledger.
        #[arg(long, default_value = "drained")]
        reason: String,
    },
    /// Say that an authority's key is in other hands, or may be: its fleet is re-enrolled in the order of clinical risk, and
    /// what it issued is revoked. Another person confirms it (`confirm`); `status` shows how far it is.
    Compromise(compromise::CompromiseArgs),
    /// A root under shares of several people, on a machine without network: make it, look at it, sign with it, deal anew.
    #[command(subcommand)]
    Ceremony(CeremonyCommand),
    /// All authorities, with what still drains.
    List,
    /// The certificate of one, PEM, and what stands above it up to a root that is not ours.
    Get {
        /// Which.
        name: String,
    },
}

const COLUMNS: [Column<AuthorityLine>; 8] = [
    Column::new("NAME", |a| a.name.clone()),
    Column::new("PURPOSE", |a| a.purpose.to_string()),
    Column::new("SITE", |a| a.site.clone().unwrap_or_else(|| "all".to_owned())),
    Column::new("STATE", |a| a.state.to_string()),
    Column::new("IN USE", |a| a.live.to_string()),
    Column::new("UNTIL", |a| a.not_after.map(|t| t.to_string()).unwrap_or_default()),
    Column::new("SUBJECT", |a| a.subject.clone()),
    Column::new("KEY", |a| match &a.trouble {
        None => a.keys.to_string(),
        Some(trouble) => format!("{}, AWAY: {trouble}", a.keys),
    }),
];

/// The one certificate of a PEM file.
fn one(path: &Path) -> anyhow::Result<Certificate> {
    let shown = chain_from_pem(&files::read(path)?)
        .map_err(|e| Failure::usage(format!("`{}`: {e}", path.display())))?;
    match <[Certificate; 1]>::try_from(shown) {
        Ok([one]) => Ok(one),
        Err(many) => Err(Failure::usage(format!(
            "`{}` holds {} certificates; it must hold the root and nothing else",
            path.display(),
            many.len()
        ))),
    }
}

/// What a file holds as a statement has it: ours, then its issuer and so on to the root, which is added when it is not there.
fn in_order(path: &Path, root: Vec<Certificate>) -> anyhow::Result<(Blob, Vec<Blob>)> {
    let mut rest = chain_from_pem(&files::read(path)?)
        .map_err(|e| Failure::usage(format!("`{}`: {e}", path.display())))?;
    for root in root.into_iter().filter(|root| !rest.contains(root)).collect::<Vec<_>>() {
        rest.push(root);
    }
    // Ours is the one that signed none of the others.
    let signs =
        |c: &Certificate| rest.iter().any(|other| other != c && other.issuer_der() == c.subject_der());
    let first = rest.iter().position(|c| !signs(c)).unwrap_or_default();
    let ours = (first < rest.len())
        .then(|| rest.remove(first))
        .ok_or_else(|| Failure::usage(format!("`{}` holds no certificate", path.display())))?;
    let mut ordered: Vec<Certificate> = Vec::new();
    let mut issuer = ours.issuer_der().to_vec();
    while let Some(at) = rest.iter().position(|c| c.subject_der() == issuer) {
        let next = rest.remove(at);
        issuer = next.issuer_der().to_vec();
        ordered.push(next);
    }
    // What does not fit goes along: the server says why it does not.
    ordered.extend(rest);
    let blob = |c: &Certificate| Blob(c.der().to_vec());
    Ok((blob(&ours), ordered.iter().map(blob).collect()))
}

/// Runs one.
pub async fn run(command: CaCommand, desk: &Desk) -> anyhow::Result<()> {
    let mut session = desk.session()?;
    let (action, reason) = match command {
        CaCommand::Create { name, purpose, site, keys, reason } => {
            (Action::CreateAuthority { name, purpose, site, keys }, reason)
        }
        CaCommand::Request { name, under, purpose, site, keys, file, again, reason } => {
            if !again {
                let path = under.ok_or_else(|| Failure::usage("--under is missing".to_owned()))?;
                let under = Blob(one(&path)?.der().to_vec());
                let action = Action::RequestAuthority { name: name.clone(), purpose, site, keys, under };
                let recorded = session.decide(action, &reason).await?;
                eprintln!("{}", recorded.outcome);
            }
            let request: AuthorityRequest = session.read(&format!("/v1/authorities/{name}/request")).await?;
            return match file {
                Some(path) => files::create_new(&path, request.pem.as_bytes()),
                None => desk.output.one(&request, |r| r.pem.trim_end().to_owned()),
            };
        }
        CaCommand::Import { name, file, reason } => {
            let lines: Vec<AuthorityLine> = session.read("/v1/authorities").await?;
            let under = lines.into_iter().find(|a| a.name == name).and_then(|a| a.under_pem);
            let root = under.map(|pem| chain_from_pem(pem.as_bytes())).transpose()?.unwrap_or_default();
            let (certificate, above) = in_order(&file, root)?;
            (Action::ImportAuthority { name, certificate, above }, reason)
        }
        CaCommand::Activate { name, reason } => (Action::ActivateAuthority { name }, reason),
        CaCommand::Retire { name, reason } => (Action::RetireAuthority { name }, reason),
        CaCommand::Compromise(args) => return compromise::run(args, session, desk).await,
        CaCommand::Ceremony(ceremony) => return super::ceremony::run(ceremony, desk.output),
        CaCommand::List => {
            let lines: Vec<AuthorityLine> = session.read("/v1/authorities").await?;
            return desk.output.list(&lines, &COLUMNS, "there is no authority");
        }
        CaCommand::Get { name } => {
            let lines: Vec<AuthorityLine> = session.read("/v1/authorities").await?;
            let line = lines.into_iter().find(|a| a.name == name).ok_or_else(|| {
                Failure::refused(format!("there is no authority `{name}`; `lanyard ca list` shows all"))
            })?;
            return desk.output.one(&line, |a| format!("{}{}", a.certificate_pem, a.above_pem));
        }
    };
    desk.recorded(&session.decide(action, &reason).await?)
}
