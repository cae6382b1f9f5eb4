//! `lanyard ca`: our certificate authorities and their generations.

use clap::Subcommand;
use lanyard_api::pki::AuthorityLine;
use lanyard_domain::authority::{AuthorityPurpose, KeyStore};
use lanyard_domain::statement::Action;

use super::{Desk, compromise};
use crate::exit::Failure;
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
    /// All authorities, with what still drains.
    List,
    /// The certificate of one, PEM.
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

/// Runs one.
pub async fn run(command: CaCommand, desk: &Desk) -> anyhow::Result<()> {
    let mut session = desk.session()?;
    let (action, reason) = match command {
        CaCommand::Create { name, purpose, site, keys, reason } => {
            (Action::CreateAuthority { name, purpose, site, keys }, reason)
        }
        CaCommand::Activate { name, reason } => (Action::ActivateAuthority { name }, reason),
        CaCommand::Retire { name, reason } => (Action::RetireAuthority { name }, reason),
        CaCommand::Compromise(args) => return compromise::run(args, session, desk).await,
        CaCommand::List => {
            let lines: Vec<AuthorityLine> = session.read("/v1/authorities").await?;
            return desk.output.list(&lines, &COLUMNS, "there is no authority");
        }
        CaCommand::Get { name } => {
            let lines: Vec<AuthorityLine> = session.read("/v1/authorities").await?;
            let line = lines.into_iter().find(|a| a.name == name).ok_or_else(|| {
                Failure::refused(format!("there is no authority `{name}`; `lanyard ca list` shows all"))
            })?;
            return desk.output.one(&line, |a| a.certificate_pem.clone());
        }
    };
    desk.recorded(&session.decide(action, &reason).await?)
}
