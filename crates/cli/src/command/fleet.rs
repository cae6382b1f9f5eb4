//! `lanyard simulate`: a control plane and a fleet on this machine; its devices enroll and renew by the protocols that are asked for,
//! with the real agent on software TPMs. What they report is compared with what the ledger has.
//!
//! In scope: starting both, people who admit the devices, the report. Out of scope: speed (`crates/bench`), a walk for people
//! (`lanyard demo`).

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use data_encoding::BASE32_NOPAD;
use lanyard_agent::protocol::Protocol;
use lanyard_api::client::{Client, Server};
use lanyard_api::clock::Clock;
use lanyard_domain::endorsement::EndorsementUse;
use lanyard_domain::id::ReleaseId;
use lanyard_domain::operator::Role;
use lanyard_domain::statement::Action;
use lanyard_domain::text::Blob;
use lanyard_pki::key::passphrase::Passphrase;
use lanyard_server::{Config, ControlPlane, Enroll, Running};
use lanyard_sim::catalogue::Class;
use lanyard_sim::device::{Network, Storage};
use lanyard_sim::fleet::{self, Admission, concurrently};
use lanyard_sim::maker::Maker;
use lanyard_sim::operators::{Desk, VirtualOperator};
use lanyard_sim::protocols::{Life, Member, Mix, Surroundings, Tally, count, live};
use lanyard_sim::rng::{SeededRng, fresh};
use lanyard_sim::tls;
use serde::Serialize;

use crate::exit::Failure;
use crate::output::Output;

/// A laptop's two cores sign for all of them.
const AT_ONCE: usize = 8;
/// As in the demo: a thousand software TPMs fit a laptop; more is a benchmark.
const MOST: usize = 2_000;
/// A record holds 32 certificates that are good, and their successors need room.
const MOST_RENEWALS: u32 = 8;
/// A failure of each kind tells enough.
const SHOWN_ERRORS: usize = 5;

/// Options.
#[derive(Debug, Clone, Args)]
pub struct SimulateFleet {
    /// How many devices.
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=MOST as u64))]
    devices: usize,
    /// What they speak: native, est, acme, cmp, or mixed for each in turn.
    #[arg(long, default_value = "mixed")]
    protocol: Mix,
    /// How often each renews after it has enrolled.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST_RENEWALS)))]
    renewals: u32,
}

/// The counts of one protocol, as devices say and as the ledger has them.
#[derive(Debug, Serialize)]
struct Line {
    protocol: Protocol,
    #[serde(flatten)]
    tally: Tally,
    /// Certificates that the control plane has for these devices.
    recorded: usize,
}

#[derive(Debug, Serialize)]
struct Report {
    protocols: Vec<Line>,
    errors: Vec<String>,
}

/// Runs it; a device that did not get what it asked for, or a certificate too many, ends with exit code 1.
pub async fn run(args: &SimulateFleet, output: Output) -> anyhow::Result<()> {
    super::role::log_lines("error");
    let dir = tempfile::Builder::new().prefix("lanyard-simulate-").tempdir()?;
    let clock = Clock::system();
    let (control, secret) = start(dir.path(), &clock).await?;
    let outcome = play(args, &control, &secret, dir.path(), &clock).await;
    control.shutdown().await;
    let report = outcome?;
    output.one(&report, text)?;
    let short = report.protocols.iter().any(|l| {
        l.tally.enrolled != l.tally.devices
            || l.tally.renewed != l.tally.devices * args.renewals as usize
            || l.recorded != l.tally.enrolled + l.tally.renewed
    });
    if short {
        return Err(Failure::refused("not every device got its certificates; the counts are above"));
    }
    Ok(())
}

async fn start(dir: &Path, clock: &Clock) -> anyhow::Result<(Running, String)> {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let config = Config {
        data_dir: dir.join("control"),
        anchor_dir: None,
        keys: lanyard_server::KeyPlaces::default(),
        listen: loopback,
        enroll: Enroll {
            listen: Some(loopback),
            names: names.clone(),
            acme_challenges: vec!["device-attest-01".to_owned()],
            ..Enroll::default()
        },
        watch: lanyard_server::watch::Bounds::default(),
        names,
        organization: "Simulated Hospital".to_owned(),
        domain: "simulated.example".to_owned(),
        origin: "simulated.example/lanyard".to_owned(),
    };
    let passphrase = BASE32_NOPAD.encode(&fresh::<32>()?);
    let passphrase =
        Passphrase::from_bytes(passphrase.into_bytes(), "the simulation's own random passphrase")?;
    let mut control = ControlPlane::start(config, passphrase, clock.clone()).await?;
    let secret = control.bootstrap_secret.take().context("the first start gave no bootstrap secret")?;
    Ok((control, secret))
}

async fn play(
    args: &SimulateFleet,
    control: &Running,
    secret: &str,
    dir: &Path,
    clock: &Clock,
) -> anyhow::Result<Report> {
    let server: Server = control.address.to_string().parse()?;
    let front = control.enroll_address.context("the control plane serves no enrollment protocols")?;
    let maker = Arc::new(Maker::new("Simulated Secure Chips", clock.now())?);
    let client = Client::new(vec![server.clone()], tls::anonymous(&control.anchors_pem, clock)?);
    let desk = Desk::new(client, clock.clone(), &control.origin);
    let admission = staff(desk, secret, &maker).await?;
    let network =
        Network { control: vec![server], gateways: Vec::new(), anchors_pem: control.anchors_pem.clone() };
    let surroundings = Arc::new(Surroundings {
        network,
        fronts: vec![front.to_string().parse()?],
        maker: maker.clone(),
        admission,
        clock: clock.clone(),
        rng: SeededRng::new(1),
    });
    let made = fleet::manufacture(0, args.devices, maker, Storage::Under(dir.join("devices"))).await?;
    let (mix, home): (Mix, Arc<Path>) = (args.protocol, dir.into());
    let joining = made.into_iter().enumerate().collect();
    let joined = concurrently(joining, AT_ONCE, move |(index, made)| {
        let (surroundings, home) = (surroundings.clone(), home.clone());
        async move { surroundings.join(made, mix.of(index), &home).await }
    });
    let members: Vec<Member> = joined.await.into_iter().collect::<Result<_, _>>()?;
    anyhow::ensure!(members.len() == args.devices, "a device got lost while it was admitted");
    let lives = live(&members, args.renewals, AT_ONCE).await;
    anyhow::ensure!(lives.len() == args.devices, "a device ended without an outcome");
    Ok(report(control, &members, &lives))
}

/// Four people; the maker of the chips, for our own protocol and for statements; and releases, for devices that attest.
async fn staff(desk: Desk, secret: &str, maker: &Maker) -> anyhow::Result<Admission> {
    let person = |name, role| VirtualOperator::new(name, &[role]).map(Arc::new);
    let admin = person("Ada Okafor", Role::Admin)?;
    let (registrar, security, biomedical) = (
        person("Ruben Lindqvist", Role::Registrar)?,
        person("Sofia Marchetti", Role::Security)?,
        person("Bilal Haddad", Role::Biomedical)?,
    );
    desk.bootstrap(&admin, secret).await.context("bootstrap")?;
    for hired in [&registrar, &security, &biomedical] {
        desk.decide(&admin, hired.admission(), "hired").await.context("admitting people")?;
    }
    let accept = Action::AddEndorsement {
        certificate: Blob(maker.root_der().to_vec()),
        grade: None,
        uses: vec![EndorsementUse::Ek, EndorsementUse::Tpm],
    };
    desk.decide(&security, accept, "maker of the chips").await.context("accepting the maker")?;
    for class in Class::ALL {
        for record in class.releases() {
            let release = ReleaseId::from_random(fresh()?);
            desk.decide(&biomedical, Action::ProposeRelease { release, record }, "as published").await?;
            desk.decide(&security, Action::ApproveRelease { release }, "compared").await?;
        }
    }
    Ok(Admission { desk, registrar, security, biomedical })
}

fn report(control: &Running, members: &[Member], lives: &[Life]) -> Report {
    let world = control.state.control.world();
    let recorded = |protocol: Protocol| {
        let own = members.iter().filter(|member| member.protocol == protocol);
        own.filter_map(|member| world.devices.get(&member.id)).map(|device| device.certificates.len()).sum()
    };
    let protocols = count(members, lives)
        .into_iter()
        .map(|(protocol, tally)| Line { protocol, tally, recorded: recorded(protocol) })
        .collect();
    let errors: BTreeSet<&String> = lives.iter().filter_map(|life| life.error.as_ref()).collect();
    Report { protocols, errors: errors.into_iter().take(SHOWN_ERRORS).cloned().collect() }
}

fn text(report: &Report) -> String {
    let mut text = format!(
        "{:<8} {:>7} {:>8} {:>7} {:>7} {:>6} {:>8}\n",
        "", "devices", "enrolled", "renewed", "refused", "failed", "recorded"
    );
    for Line { protocol, tally: t, recorded } in &report.protocols {
        text += &format!(
            "{:<8} {:>7} {:>8} {:>7} {:>7} {:>6} {recorded:>8}\n",
            protocol.as_str(),
            t.devices,
            t.enrolled,
            t.renewed,
            t.refused,
            t.failed
        );
    }
    for error in &report.errors {
        text += &format!("{error}\n");
    }
    text
}
