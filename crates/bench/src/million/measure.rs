//! Starts the server in each way in which it can have ended, and asks it what operators and relying parties ask.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::Method;
use lanyard_api::client::{Channel, Client};
use lanyard_api::clock::Clock;
use lanyard_api::pki::InventoryLine;
use lanyard_api::signing::{OperatorKey, sign_request};
use lanyard_pki::certificate::{Certificate, chain_from_pem};
use lanyard_pki::crl::Crl;
use lanyard_pki::crl::shard::{Place, Shards};
use lanyard_sim::rng::fresh;
use lanyard_sim::tls;

use super::child::Server;
use super::{HTTP_URL, Home, Made};
use crate::table::{Row, quantile};

/// Of each filter.
const CALLS: usize = 40;
/// Certificates between the last snapshot and the kill: two events each, just fewer than make the server write the next one.
const TAIL: usize = 65_000;
const START: &str = "< 5,000 ms";
const FILTER: &str = "p99 < 200 ms";
const LIST: &str = "p99 < 20 ms";

pub async fn measure(home: &Home, made: &Made) -> Result<Vec<Row>> {
    let snapshot = home.data().join("world.snapshot");
    let _none = std::fs::remove_file(&snapshot);
    let mut rows = Vec::new();
    let mut server = Server::start(home)?;
    rows.push(start("start without a snapshot (another build's)", &server, "", made));
    // A long fold writes it before it serves.
    if !snapshot.exists() {
        server.tell("keep", "kept")?;
    }
    let began = Instant::now();
    server.tell("keep", "kept")?;
    let size = std::fs::metadata(&snapshot)?.len();
    rows.push(Row {
        unit: "ms",
        ours: Some(began.elapsed().as_secs_f64() * 1_000.0),
        note: format!("{} MB; read, folded on and written again, beside the world in use", size / 1_000_000),
        ..Row::rate("the next snapshot")
    });
    server.stop()?;

    let mut server = Server::start(home)?;
    ensure!(server.resumed_at > 0, "the snapshot was not used");
    rows.push(start("start after a clean stop", &server, START, made));
    rows.push(memory(&server, made)?);
    let caller = Caller::new(home, made, &mut server)?;
    rows.extend(caller.filters(made).await?);
    rows.extend(lists(&server.http, &caller, made)?);
    server.tell(&format!("issue {}", TAIL.min(made.devices / 2)), "issued")?;
    server.kill()?;

    let mut server = Server::start(home)?;
    let began = Instant::now();
    ensure!(server.resumed_at > 0, "the snapshot was not used");
    rows.push(start("start after kill -9", &server, START, made));
    rows.push(Row { what: "memory after that".to_owned(), ..memory(&server, made)? });
    server.tell("audit", "audited")?;
    rows.push(Row {
        unit: "ms",
        ours: Some(began.elapsed().as_secs_f64() * 1_000.0),
        note: "beside the work, resting as long as it works".to_owned(),
        ..Row::rate("audit of the whole log after that")
    });
    server.stop()?;
    Ok(rows)
}

fn start(what: &str, server: &Server, target: &'static str, made: &Made) -> Row {
    Row {
        unit: "ms",
        ours: Some(server.took.as_secs_f64() * 1_000.0),
        target,
        note: format!(
            "{} certificates; {} events from the snapshot; {:.1} s of processor time",
            made.certificates,
            server.resumed_at,
            server.worked.as_secs_f64()
        ),
        ..Row::rate(what)
    }
}

fn memory(server: &Server, made: &Made) -> Result<Row> {
    let (now, most) = server.memory()?;
    Ok(Row {
        unit: "bytes",
        ours: Some(now as f64 / made.certificates as f64),
        target: "",
        note: format!(
            "resident {} MB (at most {} MB so far), {} devices with {} certificates",
            now / 1_000_000,
            most / 1_000_000,
            made.devices,
            made.certificates
        ),
        ..Row::rate("memory for each certificate")
    })
}

struct Caller<'a> {
    client: Client,
    clock: Clock,
    key: OperatorKey,
    made: &'a Made,
    anchors: Vec<Certificate>,
}

impl<'a> Caller<'a> {
    fn new(home: &Home, made: &'a Made, server: &mut Server) -> Result<Self> {
        let clock = Clock::system();
        let anchors = server.tell("anchors", "anchors")?.replace('|', "\n");
        let client = Client::new(vec![server.address.parse()?], tls::anonymous(&anchors, &clock)?);
        let anchors = chain_from_pem(anchors.as_bytes())?;
        Ok(Self { client, clock, key: home.key()?, made, anchors })
    }

    async fn list(&self, channel: &mut Channel, filter: &str) -> Result<Vec<InventoryLine>> {
        let path = format!("/v1/certificates?{filter}");
        let (target, now) = (path.parse()?, self.clock.now());
        let headers = sign_request(self.made.operator, &self.key, &Method::GET, &target, now, fresh()?, &[]);
        Ok(channel.call_with(Method::GET, &path, &headers, None::<&()>).await?)
    }

    /// Each over one connection, one call after the other: what an operator waits for.
    async fn filters(&self, made: &Made) -> Result<Vec<Row>> {
        let mut channel = self.client.connect().await?;
        let some = self.list(&mut channel, "site=cardiology&limit=200").await?;
        let one = some.get(some.len() / 2).context("a site without certificates")?;
        let (subject, serial) = (one.subject.as_str(), one.serial.as_str());
        let filters = [
            ("none", String::new()),
            ("expiring 20%", "expiring_percent=20".to_owned()),
            ("expiring 1%: none fits", "expiring_percent=1".to_owned()),
            ("site", "site=cardiology".to_owned()),
            ("owner", "owner=biomed-7@hospital.example".to_owned()),
            ("device", format!("subject={subject}")),
            ("issuer", "issuer=issuing-1".to_owned()),
            ("profile", "profile=listed-monitor".to_owned()),
            ("serial", format!("serial={serial}")),
            ("revoked", "revoked=true".to_owned()),
            ("site, expiring, not revoked", "site=children&expiring_percent=30&revoked=false".to_owned()),
            ("page after", format!("site=cardiology&after={serial}")),
        ];
        let mut rows = Vec::new();
        for (what, filter) in filters {
            let (mut times, mut lines) = (Vec::new(), 0);
            for _ in 0..CALLS {
                let began = Instant::now();
                lines = self.list(&mut channel, &filter).await?.len();
                times.push(began.elapsed());
            }
            let (p50, p99) = (quantile(&mut times, 0.5), quantile(&mut times, 0.99));
            rows.push(Row {
                unit: "ms",
                ours: Some(p99),
                target: FILTER,
                note: format!("p50 {p50:.1}; {lines} lines of {}", made.certificates),
                ..Row::rate(format!("cert ls: {what}"))
            });
        }
        Ok(rows)
    }
}

/// Every list once, and its difference: none was made yet, so each answer is one that was made for it.
fn lists(address: &str, caller: &Caller<'_>, made: &Made) -> Result<Vec<Row>> {
    let bundle = chain_from_pem(&get(&format!("http://{address}/pki/bundle.pem"))?.0)?;
    let issuing = bundle
        .iter()
        .find(|c| !caller.anchors.iter().any(|root| root.der() == c.der()))
        .context("no issuing authority")?;
    let key_id = issuing.subject_key_id().context("an authority without a key id")?;
    let (mut times, mut deltas, mut entries, mut bytes, mut most) = (Vec::new(), Vec::new(), 0, 0, 0);
    for place in Place::all(key_id, Shards::DEFAULT) {
        let (der, took) = get(&format!("http://{address}/crl/{place}"))?;
        let list = Crl::parse(&der)?.verify(issuing)?;
        let listed = list.revoked().count();
        entries += listed;
        most = most.max(listed);
        bytes = bytes.max(der.len());
        times.push(took);
        for delta in list.freshest() {
            let path = delta.strip_prefix(HTTP_URL).context("a difference is elsewhere")?;
            let (der, took) = get(&format!("http://{address}{path}"))?;
            ensure!(Crl::parse(&der)?.verify(issuing)?.is_delta(), "`{delta}` is no difference");
            deltas.push(took);
        }
    }
    ensure!(entries == made.revoked, "{entries} entries in all lists, {} were revoked", made.revoked);
    let (p50, p99) = (quantile(&mut times, 0.5), quantile(&mut times, 1.0));
    let list = Row {
        unit: "ms",
        ours: Some(p99),
        target: LIST,
        note: format!(
            "p50 {p50:.1}; slowest of {} lists, asked by curl; together {entries} entries, at most {most} ({bytes} bytes)",
            times.len()
        ),
        ..Row::rate("CRL shard made and sent")
    };
    let delta = Row {
        unit: "ms",
        ours: (!deltas.is_empty()).then(|| quantile(&mut deltas, 1.0)),
        target: LIST,
        note: format!("slowest of {}; lists below some thousand entries have none", deltas.len()),
        ..Row::rate("difference to a CRL shard made and sent")
    };
    Ok(vec![list, delta])
}

/// Content, and the time from the request to its last byte.
fn get(url: &str) -> Result<(Vec<u8>, Duration)> {
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--output",
            "-",
            "--write-out",
            "%{stderr}%{time_total}",
        ])
        .arg(url)
        .output()
        .context("cannot start curl: run `cargo xtask peers`")?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{told}");
    Ok((output.stdout, Duration::from_secs_f64(told.trim().parse()?)))
}
