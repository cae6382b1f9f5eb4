//! One file per group of commands. A command parses what it was given, asks one session or starts one role, prints.

pub mod agent;
pub mod application;
pub mod ca;
pub mod ceremony;
pub mod cert;
pub mod completions;
pub mod compromise;
pub mod device;
pub mod endorsement;
pub mod enroll;
pub mod enrollment;
pub mod evidence;
pub mod fleet;
pub mod gateway;
pub mod golden;
pub mod ledger;
pub mod login;
pub mod operator;
pub mod profile;
pub mod refold;
pub mod release;
pub mod role;
pub mod simulate;
pub mod site;
pub mod up;
pub mod verify;
pub mod watch;

use std::path::PathBuf;

use lanyard_api::operator::Recorded;

use crate::args::{Cli, Command};
use crate::output::Output;
use crate::session::Session;

/// What every operator's command has at hand.
pub struct Desk {
    /// The profile file.
    pub profile: PathBuf,
    /// Where to print.
    pub output: Output,
}

impl Desk {
    /// The operator of the profile, at their control plane.
    pub fn session(&self) -> anyhow::Result<Session> {
        Session::open(&self.profile)
    }

    /// Prints what a decision came to.
    pub fn recorded(&self, recorded: &Recorded) -> anyhow::Result<()> {
        self.output.one(recorded, |r| format!("{} (position {}, {})", r.outcome, r.pos, r.level))
    }
}

/// Runs one command.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    let output = Output::stdout(cli.output);
    let desk = || -> anyhow::Result<Desk> {
        let profile = cli.profile.clone().map_or_else(crate::profile::default_path, Ok)?;
        Ok(Desk { profile, output })
    };
    match cli.command {
        Command::Demo(args) => crate::demo::run(args).await,
        Command::Simulate(args) => fleet::run(&args, output).await,
        Command::Up(args) => up::run(args, up::Roles::ControlPlaneAndGateway, output).await,
        Command::Serve(args) => up::run(args, up::Roles::ControlPlane, output).await,
        Command::Gateway(gateway) => gateway::run(gateway, desk()?).await,
        Command::Agent(agent) => agent::run(agent, output).await,
        Command::Login(args) => login::run(args, &desk()?).await,
        Command::Operator(operator) => operator::run(operator, &desk()?).await,
        Command::Device(device) => device::run(device, &desk()?).await,
        Command::Cert(cert) => cert::run(cert, &desk()?).await,
        Command::Profile(profile) => profile::run(profile, desk, output).await,
        Command::Application(application) => application::run(application, &desk()?).await,
        // Offline: no profile, no server.
        Command::Ca(ca::CaCommand::Ceremony(ceremony)) => ceremony::run(ceremony, output),
        Command::Ca(ca) => ca::run(ca, &desk()?).await,
        Command::Site(site) => site::run(site, &desk()?).await,
        Command::Release(release) => release::run(release, &desk()?).await,
        Command::Endorsement(endorsement) => endorsement::run(endorsement, &desk()?).await,
        Command::Enroll(enroll) => enroll::run(enroll, desk, output).await,
        Command::Evidence(evidence) => evidence::run(evidence, &desk()?).await,
        Command::Verify(args) => verify::run(&args, cli.profile.as_deref(), output),
        Command::Watch(watch) => watch::run(watch, &desk()?).await,
        Command::Ledger(ledger) => ledger::run(ledger, desk).await,
        Command::Completions(args) => completions::run(&args),
    }
}
