//! ACME orders per second (RFC 8555), end to end: new order, authorization, dns-01 look, finalization, download, by our own client
//! over connections that are kept; beside Pebble 2.4, the test server of Let's Encrypt, in the same run with the same client.
//!
//! Each account is an application with a name of its own; records are shown by Pebble's challenge server to both. Accounts are
//! made and connections opened before the clock starts. Neither server is waited for longer than it works: where one says
//! "later", the client asks again after 2 ms.
//!
//! Ours has intent and certificate on disk before it answers (two transactions), checks records and policy, and keeps the evidence of
//! each order; Pebble keeps everything in memory. Pebble skips its random pauses and refuses no nonces; it signs by RSA, which is
//! its only way. Servers, client and DNS server share the cores.
//!
//! What client and DNS server cost beside Pebble, whose processor time is its own, says how many orders there could be at most here
//! with a server that costs nothing: a ratio above that cannot be measured with this client on these cores.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use lanyard_domain::application::ApplicationRecord;
use lanyard_domain::id::{ApplicationId, SecretId};
use lanyard_domain::statement::Action;
use lanyard_enroll::acme::client::{
    AccountBinding, AccountKey, Answer, Client, Next, Ordering, Outgoing, Proof, Wish,
};
use lanyard_enroll::acme::{ChallengeKind, Identifier};
use lanyard_sim::catalogue::SITE;
use lanyard_sim::fleet::concurrently;
use lanyard_sim::rng::fresh;
use rustls::ClientConfig;
use tokio::net::TcpStream;

use crate::hospital::{self, Hospital};
use crate::nginx::free_port;
use crate::table::{Row, quantile};
use crate::ward::{self, Kept};
use crate::{Settings, cpu, material};

/// Orders under way at a time with both servers. Pebble 2.4 stops answering for good when some dozens come at once.
const FEW: usize = 4;
/// With ours.
const MANY: usize = 48;
/// Accounts of each server; each orders once in a round.
const ACCOUNTS: usize = 400;
/// Rounds of ours for each number at once: one is over in half a second. Pebble has one: it would use a name's proof again.
const ROUNDS: usize = 3;
/// After so long without an end a server has stopped answering.
const PATIENCE: Duration = Duration::from_secs(60);
/// Asks until an order must be done.
const MOST_ASKS: usize = 2_000;

/// One account, and what it orders.
struct Subscriber {
    client: Client,
    identifier: Identifier,
    request: Vec<u8>,
}

/// A server, and whom to tell which record to show it.
struct Place {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    records: SocketAddr,
}

struct Pass {
    at_once: usize,
    rate: f64,
    times: Vec<Duration>,
    /// Processor time of this process and of the DNS server for each order.
    around: Duration,
}

pub fn run(_: &Settings, hospital: &Hospital) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    material::make(folder.path())?;
    let records = free_port()?;
    let dns = challenge_server(hospital.dns, records)?;
    let requests = requests(folder.path())?;

    let address = hospital.control.enroll_address.context("ACME is not served")?;
    let ours = Place { address, tls: ward::tls(&hospital.control.anchors_pem, None)?, records };
    let directory = format!("https://localhost:{}/acme/directory", address.port());
    let bindings = applications(hospital)?;
    let subscribers = requests
        .iter()
        .zip(bindings)
        .map(|((identifier, request), binding)| subscriber(&directory, identifier, request, Some(binding)));
    let measured =
        measure(hospital, &ours, &dns, subscribers.collect::<Result<_>>()?, &[(FEW, ROUNDS), (MANY, ROUNDS)]);
    let measured = measured.context("our server")?;

    let pebble = pebble(folder.path(), hospital.dns)?;
    let pem = std::fs::read_to_string(folder.path().join("ca.pem"))?;
    let theirs = Place { address: pebble.1, tls: ward::tls(&pem, None)?, records };
    let directory = format!("https://localhost:{}/dir", pebble.1.port());
    let subscribers =
        requests.iter().map(|(identifier, request)| subscriber(&directory, identifier, request, None));
    let beside = measure(hospital, &theirs, &dns, subscribers.collect::<Result<_>>()?, &[(FEW, 1)]);
    let beside = beside.context("Pebble")?.into_iter().next().context("Pebble was not measured")?;
    let (around, beside) = (beside.around.as_secs_f64(), beside.rate);
    let most = cpu::cores() as f64 / around;

    let row = |mut pass: Pass| {
        let (p50, p99) = (quantile(&mut pass.times, 0.5), quantile(&mut pass.times, 0.99));
        Row {
            ours: Some(pass.rate),
            limit: Some(beside),
            target: "ratio >= 3",
            note: format!(
                "dns-01, p50 {p50:.0} ms p99 {p99:.0} ms, on disk, {} cores with client and DNS server, which take {:.1} ms of an \
                 order: {most:.0} at most, ratio {:.1}, if a server cost nothing; limit: Pebble with {FEW} at once, in memory",
                cpu::cores(),
                around * 1_000.0,
                most / beside
            ),
            ..Row::rate(format!("ACME orders, {} at once", pass.at_once))
        }
    };
    Ok(measured.into_iter().map(row).collect())
}

fn subscriber(
    directory: &str,
    identifier: &Identifier,
    request: &[u8],
    binding: Option<AccountBinding>,
) -> Result<Subscriber> {
    let client = Client::new(directory, AccountKey::generate()?)?;
    let client = match binding {
        Some(binding) => client.bound_by(binding),
        None => client,
    };
    Ok(Subscriber { client, identifier: identifier.clone(), request: request.to_vec() })
}

/// An account for each without the clock, then an order with it in each round, so many at once.
fn measure(
    hospital: &Hospital,
    place: &Place,
    dns: &Running,
    mut all: Vec<Subscriber>,
    passes: &[(usize, usize)],
) -> Result<Vec<Pass>> {
    all = hospital.runtime.block_on(accounts(place, all))?;
    let used = || Ok::<_, anyhow::Error>(cpu::used()? + cpu::used_by_process(dns.0.id())?);
    let mut done = Vec::new();
    for (at_once, rounds) in passes {
        let (mut times, mut took, mut around) = (Vec::new(), Duration::ZERO, Duration::ZERO);
        for _ in 0..*rounds {
            hospital.runtime.block_on(clear(place.records))?;
            let connections = hospital.runtime.block_on(open(place, *at_once))?;
            let (start, before) = (Instant::now(), used()?);
            let round = async { tokio::time::timeout(PATIENCE, round(place, connections, all)).await };
            let ended =
                hospital.runtime.block_on(round).with_context(|| format!("no end within {PATIENCE:?}"))?;
            let of_round;
            (all, of_round) = ended?;
            took += start.elapsed();
            around += used()?.saturating_sub(before);
            times.extend(of_round);
        }
        let orders = times.len() as f64;
        let (rate, around) = (orders / took.as_secs_f64(), around.div_f64(orders));
        done.push(Pass { at_once: *at_once, rate, times, around });
    }
    Ok(done)
}

async fn accounts(place: &Place, mut all: Vec<Subscriber>) -> Result<Vec<Subscriber>> {
    let mut connection = ward::connect(place.address, &place.tls).await?;
    let host = format!("localhost:{}", place.address.port());
    let now = lanyard_api::clock::Clock::system().now();
    for subscriber in &mut all {
        // Given up as soon as the account is there.
        let mut ordering = Ordering::new(wish(&subscriber.identifier), now.plus_seconds(60))?;
        while subscriber.client.account().is_none() {
            let Next::Send(outgoing) = ordering.next(&mut subscriber.client, now)? else {
                bail!("an account is not made at once")
            };
            exchange(&mut connection, &host, outgoing, |answer| {
                ordering.hear(&mut subscriber.client, answer, now)
            })
            .await??;
        }
    }
    Ok(all)
}

fn wish(identifier: &Identifier) -> Wish {
    Wish {
        identifiers: vec![identifier.clone()],
        profile: None,
        replaces: None,
        challenges: vec![ChallengeKind::Dns01],
    }
}

/// To the server, and to what shows its records.
async fn open(place: &Place, count: usize) -> Result<Vec<(Kept, Kept)>> {
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push((ward::connect(place.address, &place.tls).await?, plain(place.records).await?));
    }
    Ok(connections)
}

async fn round(
    place: &Place,
    connections: Vec<(Kept, Kept)>,
    all: Vec<Subscriber>,
) -> Result<(Vec<Subscriber>, Vec<Duration>)> {
    let waiting = Arc::new(Mutex::new(VecDeque::from(all)));
    let mut tasks = Vec::new();
    for (mut connection, mut records) in connections {
        let host = format!("localhost:{}", place.address.port());
        let waiting = Arc::clone(&waiting);
        tasks.push(tokio::spawn(async move {
            let mut done = Vec::new();
            loop {
                let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some(mut subscriber) = next else { return Ok::<_, anyhow::Error>(done) };
                let begun = Instant::now();
                order(&mut connection, &mut records, &host, &mut subscriber).await?;
                done.push((subscriber, begun.elapsed()));
            }
        }));
    }
    let mut done = Vec::new();
    for task in tasks {
        done.extend(task.await??);
    }
    ensure!(done.len() == ACCOUNTS, "{} of {ACCOUNTS} orders came through", done.len());
    Ok(done.into_iter().unzip())
}

async fn order(
    connection: &mut Kept,
    records: &mut Kept,
    host: &str,
    subscriber: &mut Subscriber,
) -> Result<()> {
    let Subscriber { client, identifier, request } = subscriber;
    let mut now = lanyard_api::clock::Clock::system().now();
    let mut ordering = Ordering::new(wish(identifier), now.plus_seconds(86_400))?;
    let mut proven = 0;
    for _ in 0..MOST_ASKS {
        match ordering.next(client, now)? {
            Next::Send(outgoing) => {
                exchange(connection, host, outgoing, |answer| ordering.hear(client, answer, now)).await??
            }
            // The engine is told that the time has come.
            Next::Wait { until, .. } => {
                tokio::time::sleep(Duration::from_millis(2)).await;
                now = until;
            }
            Next::Prove(challenge) => {
                proven += 1;
                let (name, value) = challenge.dns_record();
                tell(records, "/set-txt", format!(r#"{{"host":"{name}.","value":"{value}"}}"#)).await?;
                ordering.prove(&Proof::InPlace)?;
            }
            Next::Finalize => ordering.finalize(request)?,
            Next::Done(_) => {
                ensure!(proven == 1, "an order was proven {proven} times: the servers did not do the same");
                return Ok(());
            }
        }
    }
    bail!("an order does not end")
}

async fn exchange<R>(
    connection: &mut Kept,
    host: &str,
    outgoing: Outgoing,
    hear: impl FnOnce(&Answer<'_>) -> R,
) -> Result<R> {
    let path = outgoing.url.splitn(4, '/').nth(3).context("an address has no path")?;
    let mut request = Request::builder()
        .method(outgoing.method)
        .uri(format!("/{path}"))
        .header(header::HOST, host)
        .header(header::USER_AGENT, "lanyard-bench");
    for (name, value) in &outgoing.headers {
        request = request.header(*name, *value);
    }
    connection.ready().await?;
    let response = connection.send_request(request.body(Full::new(Bytes::from(outgoing.body)))?).await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    let text = |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok());
    Ok(hear(&Answer {
        status: head.status.as_u16(),
        content_type: text("content-type"),
        location: text("location"),
        replay_nonce: text("replay-nonce"),
        retry_after: text("retry-after"),
        body: &body,
    }))
}

/// A name and a certificate request for it, for each account.
fn requests(folder: &Path) -> Result<Vec<(Identifier, Vec<u8>)>> {
    (0..ACCOUNTS)
        .map(|n| {
            let name = name(n);
            let made = Command::new("openssl")
                .current_dir(folder)
                .args([
                    "req",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-256",
                    "-nodes",
                    "-outform",
                    "DER",
                ])
                .args(["-keyout", "leaf.key", "-subj", &format!("/CN={name}")])
                .args(["-addext", &format!("subjectAltName=DNS:{name}")])
                .output()
                .context("cannot run openssl")?;
            ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
            Ok((Identifier::parse("dns", &name)?, made.stdout))
        })
        .collect()
}

fn name(n: usize) -> String {
    format!("viewer-{n}.bench.example")
}

/// Applications that a person registered and another approved, each with a secret that binds one account.
fn applications(hospital: &Hospital) -> Result<Vec<AccountBinding>> {
    let staff = hospital.staff.clone();
    let (control, clock) = (Arc::clone(&hospital.control.state.control), hospital.clock.clone());
    let one = move |n: usize| {
        let (staff, control, clock) = (staff.clone(), Arc::clone(&control), clock.clone());
        async move {
            let application = ApplicationId::from_random(fresh()?);
            let secret = SecretId::from_random(fresh()?);
            let expires = clock.now().plus_seconds(86_400);
            let record = ApplicationRecord {
                name: format!("viewer-{n}"),
                dns: vec![name(n)],
                ips: Vec::new(),
                site: SITE.to_owned(),
                owner: "it@hospital.example".to_owned(),
                purpose: "Load for measurements".to_owned(),
                profiles: Vec::new(),
            };
            let mut made = None;
            for (who, action) in [
                (&staff.registrar, Action::RegisterApplication { application, record }),
                (&staff.security, Action::ApproveApplication { application }),
                (&staff.registrar, Action::IssueApplicationSecret { application, secret, expires }),
            ] {
                let statement = staff.desk.sign(who, action, "measurement")?;
                made = control.carry_out(&statement, clock.now()).await?.secret;
            }
            let made = made.context("no secret was made")?;
            Ok(AccountBinding::new(secret.to_string(), made.reveal().as_bytes()))
        }
    };
    let all = concurrently((0..ACCOUNTS).collect(), hospital::AT_ONCE, one);
    hospital.runtime.block_on(all).into_iter().collect()
}

/// Tells the challenge server what to show.
async fn tell(records: &mut Kept, path: &str, body: String) -> Result<()> {
    let request = Request::post(path).header(header::HOST, "localhost");
    records.ready().await?;
    let told = records.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
    ensure!(told.status() == 200, "the challenge server answers {}", told.status());
    told.into_body().collect().await?;
    Ok(())
}

/// It shows nothing of the round before: records of many rounds do not fit into an answer.
async fn clear(records: SocketAddr) -> Result<()> {
    let mut records = plain(records).await?;
    for n in 0..ACCOUNTS {
        let body = format!(r#"{{"host":"_acme-challenge.{}."}}"#, name(n));
        tell(&mut records, "/clear-txt", body).await?;
    }
    Ok(())
}

/// A connection without TLS that is kept.
pub(crate) async fn plain(address: SocketAddr) -> Result<Kept> {
    let socket = TcpStream::connect(address).await.context("cannot reach the challenge server")?;
    socket.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(async move {
        // Its end is seen by the sender.
        let _ = connection.await;
    });
    Ok(sender)
}

/// A program that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn started(command: &mut Command, listens: SocketAddr) -> Result<Running> {
    let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let running =
        Running(process.with_context(|| format!("cannot run {command:?}: run `cargo xtask peers`"))?);
    for _ in 0..200 {
        if std::net::TcpStream::connect(listens).is_ok() {
            return Ok(running);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("nobody listens at {listens}")
}

fn challenge_server(dns: SocketAddr, management: SocketAddr) -> Result<Running> {
    let arguments = ["-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "", "-dns01"];
    let mut command = Command::new("pebble-challtestsrv");
    started(
        command.args(arguments).arg(dns.to_string()).args(["-management", &management.to_string()]),
        management,
    )
}

fn pebble(folder: &Path, dns: SocketAddr) -> Result<(Running, SocketAddr)> {
    let [address, management, http, alpn] = [free_port()?, free_port()?, free_port()?, free_port()?];
    let (path, http, alpn) = (folder.display(), http.port(), alpn.port());
    let config = format!(
        r#"{{"pebble":{{"listenAddress":"{address}","managementListenAddress":"{management}","certificate":"{path}/server.pem","privateKey":"{path}/server.key","httpPort":{http},"tlsPort":{alpn},"ocspResponderURL":"","externalAccountBindingRequired":false}}}}"#
    );
    let file = folder.join("pebble.json");
    std::fs::write(&file, config)?;
    let mut command = Command::new("pebble");
    command.arg("-config").arg(&file).args(["-dnsserver", &dns.to_string()]);
    for (name, value) in
        [("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "0"), ("PEBBLE_AUTHZREUSE", "0")]
    {
        command.env(name, value);
    }
    Ok((started(&mut command, address)?, address))
}
