//! `lanyard operator`: people and their keys. A key is made where its owner sits and never travels; what travels is a
//! request line with the public half.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use lanyard_api::operator::{Bootstrap, OperatorLine, Recorded};
use lanyard_api::signing::OperatorKey;
use lanyard_control::digest::random;
use lanyard_domain::id::OperatorId;
use lanyard_domain::operator::Role;
use lanyard_domain::statement::Action;
use lanyard_domain::text::{Digest, check_text};
use serde::Serialize;

use super::Desk;
use crate::exit::Failure;
use crate::output::Column;
use crate::profile::Profile;
use crate::session;

/// First word of a request line, with its version.
const REQUEST: &str = "lanyard-operator/1";

/// What to do with people.
#[derive(Debug, Subcommand)]
pub enum OperatorCommand {
    /// Become the first operator with the bootstrap secret.
    Init(InitArgs),
    /// Make your key and print the line that an admin needs to add you.
    Key(KeyArgs),
    /// Add an operator from their request line.
    Add(AddArgs),
    /// Take the rights away of a person who leaves. Who lost a key stays the same person: `replace-key`.
    Remove(RemoveArgs),
    /// Give an operator whose key was lost or stolen a new one, from their request line.
    ReplaceKey(ReplaceKeyArgs),
    /// List operators.
    List,
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Display name.
    name: String,
    /// The secret that the first start printed.
    #[arg(long, env = "LANYARD_BOOTSTRAP_SECRET", hide_env_values = true)]
    secret: String,
    /// Roles; the first operator needs admin.
    #[arg(long, value_delimiter = ',', default_value = "admin")]
    roles: Vec<Role>,
    /// Where the private key goes; beside the profile without it.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// Arguments of `key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// Display name.
    name: String,
    /// Your id, if you are an operator already and need another key (`lanyard operator list` tells it); with --profile for a new
    /// profile.
    #[arg(long, value_name = "ID")]
    operator: Option<OperatorId>,
    /// Where the private key goes; beside the profile without it.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// Arguments of `add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// The line that `lanyard operator key` printed, in quotes.
    request: String,
    /// What they may do: admin, registrar, security, biomedical, auditor.
    #[arg(long, value_delimiter = ',', required = true)]
    roles: Vec<Role>,
    /// Why; stands in the ledger.
    #[arg(long, default_value = "operator added")]
    reason: String,
}

/// Arguments of `remove`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Their id.
    operator: OperatorId,
    /// Why; stands in the ledger.
    #[arg(long)]
    reason: String,
}

/// Arguments of `replace-key`.
#[derive(Debug, Args)]
pub struct ReplaceKeyArgs {
    /// The line that `lanyard operator key NAME --operator ID` printed, in quotes.
    request: String,
    /// Why; stands in the ledger.
    #[arg(long)]
    reason: String,
}

const COLUMNS: [Column<OperatorLine>; 4] = [
    Column::new("OPERATOR", |o| o.operator.to_string()),
    Column::new("NAME", |o| o.name.clone()),
    Column::new("ROLES", |o| o.roles.iter().map(Role::to_string).collect::<Vec<_>>().join(",")),
    Column::new("ACTIVE", |o| if o.active { "yes" } else { "no" }.to_owned()),
];

/// Runs one.
pub async fn run(command: OperatorCommand, desk: &Desk) -> anyhow::Result<()> {
    match command {
        OperatorCommand::Init(args) => init(args, desk).await,
        OperatorCommand::Key(args) => key(&args, desk),
        OperatorCommand::Add(args) => {
            let request = Request::parse(&args.request)?;
            let action = Action::AddOperator {
                operator: request.operator,
                name: request.name,
                roles: args.roles,
                public_key: request.public_key,
            };
            desk.recorded(&desk.session()?.decide(action, &args.reason).await?)
        }
        OperatorCommand::Remove(args) => {
            let action = Action::RemoveOperator { operator: args.operator };
            desk.recorded(&desk.session()?.decide(action, &args.reason).await?)
        }
        OperatorCommand::ReplaceKey(args) => {
            let Request { operator, public_key, .. } = Request::parse(&args.request)?;
            let action = Action::ReplaceOperatorKey { operator, public_key };
            desk.recorded(&desk.session()?.decide(action, &args.reason).await?)
        }
        OperatorCommand::List => {
            let lines: Vec<OperatorLine> = desk.session()?.read("/v1/operators").await?;
            desk.output.list(&lines, &COLUMNS, "no operator yet")
        }
    }
}

async fn init(args: InitArgs, desk: &Desk) -> anyhow::Result<()> {
    let pinned = Profile::read(&desk.profile)?.pinned()?.clone();
    // The key is on disk before anyone knows its public half: an answer that is lost costs nothing.
    let me = identity(&args.name, None, args.key_file.as_deref(), &desk.profile)?;
    let request = Bootstrap {
        secret: args.secret,
        operator: me.operator,
        name: me.name,
        roles: args.roles,
        public_key: me.public_key,
    };
    let mut channel = session::client(&pinned)?.connect().await?;
    let recorded: Recorded = channel.call(http::Method::POST, "/v1/bootstrap", Some(&request)).await?;
    desk.recorded(&recorded)
}

fn key(args: &KeyArgs, desk: &Desk) -> anyhow::Result<()> {
    let me = identity(&args.name, args.operator, args.key_file.as_deref(), &desk.profile)?;
    let runs = match args.operator {
        Some(_) => "replace-key 'LINE' --reason TEXT",
        None => "add 'LINE' --roles ROLES",
    };
    desk.output.one(&me, |me| {
        format!("give this line to an admin, who runs `lanyard operator {runs}`:\n{}\n", me.line())
    })
}

/// The operator of a profile; the first call makes the key, and the id unless the person has one, later ones give the same.
fn identity(
    name: &str,
    known: Option<OperatorId>,
    key_file: Option<&Path>,
    path: &Path,
) -> anyhow::Result<Request> {
    check_text("name", name, 128)?;
    let mut profile = Profile::read(path)?;
    if let (Some(operator), Some(_)) = (profile.operator, &profile.key_file) {
        if profile.name.as_deref() != Some(name) {
            let owner = profile.name.unwrap_or_default();
            return Err(Failure::usage(format!(
                "profile `{}` belongs to `{owner}` already; name another one with --profile FILE",
                path.display()
            )));
        }
        if known.is_some_and(|known| known != operator) {
            return Err(Failure::usage(format!(
                "profile `{}` belongs to operator {operator} already; name another one with --profile FILE",
                path.display()
            )));
        }
        let key = OperatorKey::read(&profile.key_path(path)?)?;
        return Ok(Request { operator, public_key: key.public_key(), name: name.to_owned() });
    }
    let default = PathBuf::from(path.file_name().unwrap_or_default()).with_extension("key");
    let file = match key_file {
        Some(file) => std::path::absolute(file).context("cannot tell where the key file is")?,
        None => default,
    };
    // Written first: a profile that names a key that is not there would be a dead end.
    profile.key_file = Some(file);
    profile.name = Some(name.to_owned());
    profile.operator = Some(match known {
        Some(known) => known,
        None => OperatorId::from_random(random()?),
    });
    profile.write(path)?;
    let key_path = profile.key_path(path)?;
    let key = OperatorKey::generate()?;
    if let Err(error) = key.write(&key_path) {
        (profile.key_file, profile.name, profile.operator) = (None, None, None);
        profile.write(path)?;
        return Err(error.into());
    }
    let operator = profile.operator.context("the profile has just got an operator")?;
    Ok(Request { operator, public_key: key.public_key(), name: name.to_owned() })
}

/// What an admin needs to know of a new operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Request {
    operator: OperatorId,
    public_key: Digest,
    name: String,
}

impl Request {
    fn line(&self) -> String {
        format!("{REQUEST} {} {} {}", self.operator, self.public_key, self.name)
    }

    fn parse(line: &str) -> anyhow::Result<Self> {
        let refuse = || {
            Failure::usage(format!(
                "`{}` is not a request line: expected `{REQUEST} ID KEY NAME` in quotes, as `lanyard operator key` prints it",
                line.chars().take(80).collect::<String>()
            ))
        };
        let mut words = line.trim().splitn(4, ' ');
        let mut next = || words.next().ok_or_else(refuse);
        if next()? != REQUEST {
            return Err(refuse());
        }
        let operator = next()?.parse().map_err(|_| refuse())?;
        let public_key = next()?.parse().map_err(|_| refuse())?;
        let name = next()?.to_owned();
        check_text("name", &name, 128)?;
        Ok(Self { operator, public_key, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_line_reads_back_and_every_cut_of_its_head_is_refused() {
        let request = Request {
            operator: OperatorId::from_random([4; 16]),
            public_key: Digest([5; 32]),
            name: "Anna Maria Berg".into(),
        };
        let line = request.line();
        assert_eq!(Request::parse(&line).unwrap(), request);
        for end in 0..=line.len() - request.name.len() {
            assert!(Request::parse(line.get(..end).unwrap()).is_err(), "cut at {end}");
        }
        assert!(Request::parse(&line.replace("/1", "/2")).is_err());
    }

    // I10
    #[test]
    fn a_key_is_made_once_for_one_person() {
        let dir = tempfile::tempdir().unwrap();
        let profile = dir.path().join("anna.toml");
        let first = identity("Anna", None, None, &profile).unwrap();
        assert_eq!(identity("Anna", None, None, &profile).unwrap(), first);
        assert!(dir.path().join("anna.key").is_file());
        assert!(identity("Ben", None, None, &profile).unwrap_err().to_string().contains("belongs to `Anna`"));
    }

    // I1
    #[test]
    fn another_key_is_for_the_same_person_and_in_another_profile() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("anna.toml"), dir.path().join("anna-2.toml"));
        let first = identity("Anna", None, None, &old).unwrap();
        let other = OperatorId::from_random([9; 16]);
        let refused = identity("Anna", Some(other), None, &old).unwrap_err().to_string();
        assert!(refused.contains("belongs to operator"), "{refused}");
        let second = identity("Anna", Some(first.operator), None, &new).unwrap();
        assert_eq!((second.operator, second.name.as_str()), (first.operator, "Anna"));
        assert_ne!(second.public_key, first.public_key);
        assert_eq!(
            identity("Anna", Some(first.operator), None, &new).unwrap(),
            second,
            "the same when asked again"
        );
    }

    #[test]
    fn an_existing_key_file_is_not_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let profile = dir.path().join("anna.toml");
        std::fs::write(dir.path().join("anna.key"), "something").unwrap();
        assert!(identity("Anna", None, None, &profile).unwrap_err().to_string().contains("exists already"));
        assert_eq!(Profile::read(&profile).unwrap().operator, None);
    }
}
