//! The command line's grammar. What a command does is in `command/`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::command::{
    agent, application, ca, cert, completions, device, endorsement, enroll, evidence, fleet, gateway, ledger,
    login, operator, profile, release, site, up, verify, watch,
};
use crate::demo::DemoArgs;
use crate::output::Format;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused by a rule; the reason is printed
  2  the command, a file or a value is wrong
  3  not reachable, or not now: try again
  4  evidence is contradicted, a log does not check, or the server is not the pinned one
  5  internal fault";

/// Identity control plane for medical devices.
#[derive(Debug, Parser)]
#[command(name = "lanyard", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// How results are printed.
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub output: Format,
    /// The operator's profile; `~/.config/lanyard/profile.toml` without it.
    #[arg(long, global = true, env = "LANYARD_PROFILE", value_name = "FILE")]
    pub profile: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// A virtual hospital on this machine: the whole main job, narrated.
    Demo(DemoArgs),
    /// A control plane and a fleet on this machine: devices enroll and renew by EST, CMP, ACME and our own protocol.
    Simulate(fleet::SimulateFleet),
    /// Run control plane and gateway in one process.
    Up(up::UpArgs),
    /// Run the control plane alone.
    Serve(up::UpArgs),
    /// Make, admit and run gateways.
    #[command(subcommand)]
    Gateway(gateway::GatewayCommand),
    /// What runs on a device: enroll, prove, renew, send.
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// Recognise a control plane by its fingerprint and pin it in the profile.
    Login(login::LoginArgs),
    /// People: the first one, more of them, their keys.
    #[command(subcommand)]
    Operator(operator::OperatorCommand),
    /// Devices: register, approve, look, cut, retire.
    #[command(subcommand)]
    Device(device::DeviceCommand),
    /// Certificates: what is issued, what ends soon, revoke.
    #[command(subcommand)]
    Cert(cert::CertCommand),
    /// Certificate authorities: create a generation, let it issue, drain, retire.
    #[command(subcommand)]
    Ca(ca::CaCommand),
    /// Sites: when certificates of their devices may be replaced.
    #[command(subcommand)]
    Site(site::SiteCommand),
    /// Certificate profiles of device classes and applications: lint, propose, approve.
    #[command(subcommand)]
    Profile(profile::ProfileCommand),
    /// Servers and services of the hospital that get certificates by ACME.
    #[command(subcommand)]
    Application(application::ApplicationCommand),
    /// Firmware and AI model releases.
    #[command(subcommand)]
    Release(release::ReleaseCommand),
    /// Makers whose hardware may enroll.
    #[command(subcommand)]
    Endorsement(endorsement::EndorsementCommand),
    /// Devices without network: challenges, requests and responses as files.
    #[command(subcommand)]
    Enroll(enroll::EnrollCommand),
    /// Export evidence as a file that anyone can verify offline.
    #[command(subcommand)]
    Evidence(evidence::EvidenceCommand),
    /// Verify an evidence file; no server needed.
    Verify(verify::VerifyArgs),
    /// Certificates of others' servers (PACS, EHR, RADIUS): watched for changes and for their end.
    #[command(subcommand)]
    Watch(watch::WatchCommand),
    /// The ledger itself: check it, erase a payload.
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Print a completion script for a shell.
    Completions(completions::CompletionsArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    /// clap takes the one for the other then, and panics where their types differ.
    #[test]
    fn no_command_has_an_option_by_the_name_of_one_of_all_commands() {
        fn walk(command: &clap::Command, of_all: &[&str]) {
            for inner in command.get_subcommands() {
                let own = inner.get_arguments().filter(|a| !a.is_global_set()).map(|a| a.get_id().as_str());
                let taken: Vec<&str> = own.filter(|id| of_all.contains(id)).collect();
                assert!(taken.is_empty(), "{}: {taken:?}", inner.get_name());
                walk(inner, of_all);
            }
        }
        let root = Cli::command();
        let of_all: Vec<&str> =
            root.get_arguments().filter(|a| a.is_global_set()).map(|a| a.get_id().as_str()).collect();
        assert!(of_all.contains(&"profile"));
        walk(&root, &of_all);
    }

    #[test]
    fn what_is_not_a_command_is_refused() {
        for (line, accepted) in [
            ("device list", true),
            ("device list -o json --stage in-service", true),
            ("-o json device get abc", true),
            ("device approve abc --role security", true),
            ("device approve abc", false),
            ("device secret abc", true),
            ("device secret abc --for 3d", true),
            ("device secret abc --for soon", false),
            ("device revoke abc --because stolen --reason x", true),
            ("device revoke abc --because bored --reason x", false),
            ("cert ls --expiring 20%", true),
            ("cert ls --expiring 120%", false),
            ("--profile anna.toml cert ls --made-by device_ldevid", true),
            ("ca create issuing-2", true),
            ("ca create legacy-north --purpose legacy --site north", true),
            ("ca create x --purpose fun", false),
            ("device approve abc --role janitor", false),
            ("device list -o xml", false),
            ("device", false),
            ("evidence at dev 2026-11-22T00:00:00Z -f out", true),
            ("evidence at dev yesterday -f out", false),
            ("evidence at dev now", false),
            ("verify file --quorum 2 --witness a+b+c", true),
            ("operator init Anna --secret s --roles admin,registrar", true),
            ("operator init Anna --secret s --roles admin,boss", false),
            ("ledger check", false),
            ("ledger erase 5 --basis GDPR-17", true),
            ("ledger erase five --basis GDPR-17", false),
            ("completions bash", true),
            ("completions csh", false),
            ("watch add pacs:2762 --owner imaging --site north --purpose images", true),
            ("watch add pacs:2762 --site north --purpose images", false),
            ("watch remove pacs:2762", false),
            ("enroll challenge keys --out c", true),
            ("enroll challenge --device abc --out c", true),
            ("enroll challenge keys --device abc --out c", false),
            ("enroll challenge --out c", false),
            ("enroll file request --out response --again", true),
            ("enroll file request", false),
            ("agent request --config a --tpm-dir d --out k", true),
            ("agent request --config a --tpm-dir d --out r --challenge c --secret-file s", false),
            ("agent accept --config a --tpm-dir d response", true),
            ("agent run --config a.toml --tpm-dir d", true),
            ("agent enroll --config a.toml --tpm-dir d --protocol est --secret-file s --wait 30s", true),
            ("agent enroll --config a.toml --tpm-dir d --protocol scep", false),
            ("agent renew --config a.toml --tpm-dir d", true),
            ("simulate --devices 4 --protocol mixed --renewals 2", true),
            ("simulate --protocol scep", false),
            ("simulate --devices 0", false),
            ("agent run --config a.toml", false),
            ("agent run --config a.toml --tpm-dir x --tcti y", false),
        ] {
            let words = std::iter::once("lanyard").chain(line.split(' '));
            assert_eq!(Cli::try_parse_from(words).is_ok(), accepted, "{line}");
        }
    }
}
