//! OCSP answers per second, asked by wrk over connections that are kept: ours by GET and POST, beside nginx serving a file
//! of an answer's size, and beside `openssl ocsp`.
//!
//! nginx is the limit: what it costs to send so many bytes without knowing what they say. `openssl ocsp` is the responder
//! that everybody has; it signs each answer anew and closes each connection. Load and server share the cores, in turns:
//! each round measures all of them, and the best round of each counts.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use lanyard_pki::certificate::{Certificate, chain_from_pem};
use lanyard_pki::ocsp::http::{REQUEST_TYPE, get_path};
use lanyard_pki::ocsp::{Ask, HashKind};
use lanyard_pki::serial::Serial;

use crate::hospital::Hospital;
use crate::nginx::{Nginx, free_port};
use crate::table::Row;
use crate::wrk::{self, Sent};
use crate::{Settings, cpu, material};

/// Of each server; the machine does other things too.
const ROUNDS: usize = 3;

#[derive(Default)]
struct Best {
    file: f64,
    openssl: f64,
    many: f64,
    get: f64,
    post: f64,
}

pub fn run(settings: &Settings, hospital: &Hospital) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    crate::nginx::open_to_workers(folder.path())?;
    material::make(folder.path())?;
    let ours = hospital.control.http_address.context("revocation is not served")?;
    let asks = asks(hospital)?;
    let (gets, posts): (Vec<Sent>, Vec<Sent>) = asks.iter().map(|ask| (by_get(ask), by_post(ask))).unzip();
    let size = fetch(ours, gets.first().context("nobody to ask about")?)?;
    let script = |name: &str, requests: &[Sent]| -> Result<std::path::PathBuf> {
        let file = folder.path().join(name);
        wrk::script(&file, requests)?;
        Ok(file)
    };
    let (get, post) = (script("get.lua", &gets)?, script("post.lua", &posts)?);
    std::fs::write(folder.path().join("answer"), vec![7_u8; size])?;
    let file = script("file.lua", &[Sent::get("/answer")])?;
    let nginx = Nginx::serve_files(folder.path())?;
    let openssl = OpensslOcsp::start(folder.path(), asks.len(), 1)?;
    let many = OpensslOcsp::start(folder.path(), asks.len(), cpu::cores())?;

    let mut best = Best::default();
    for _ in 0..ROUNDS {
        let round = |address, script: &Path| wrk::run(address, script, settings.time);
        best.file = best.file.max(round(nginx.address, &file).context("nginx")?);
        best.get = best.get.max(round(ours, &get).context("ours by GET")?);
        best.openssl = best.openssl.max(openssl.rate(settings.time).context("openssl ocsp")?);
        best.many = best.many.max(many.rate(settings.time).context("openssl ocsp -multi")?);
        best.post = best.post.max(round(ours, &post).context("ours by POST")?);
    }
    let row = |what: &str, ours: f64, limit: f64, target: &'static str, note: String| Row {
        ours: Some(ours),
        limit: Some(limit),
        target,
        note,
        ..Row::rate(what)
    };
    let served = format!(
        "{} certificates in turn, {} connections; limit: nginx, a file of {size} bytes",
        asks.len(),
        wrk::CONNECTIONS
    );
    let signed = format!(
        "limit: `openssl ocsp`, which signs each answer; with -multi {} it answers {:.0}, and 20 of it would be {:.1} of nginx",
        cpu::cores(),
        best.many,
        best.openssl * 20.0 / best.file
    );
    Ok(vec![
        row("OCSP by GET", best.get, best.file, "ratio >= 0.7", served.clone()),
        row("OCSP by POST", best.post, best.file, "ratio >= 0.7", served),
        row("OCSP by POST beside openssl", best.post, best.openssl, "ratio >= 20", signed),
    ])
}

/// About the certificate that each device has.
fn asks(hospital: &Hospital) -> Result<Vec<Vec<u8>>> {
    let issuers = hospital.control.state.control.authority.issuers();
    hospital
        .devices
        .iter()
        .map(|device| {
            let leaf = device.agent.identities().leaf().context("a device has no certificate")?;
            let leaf = Certificate::parse(&leaf)?;
            let issuer = issuers.of(&leaf).context("an issuer is unknown")?.issuer.certificate();
            Ok(Ask::new(issuer, &leaf.serial(), HashKind::Sha1, None)?.request())
        })
        .collect()
}

fn by_get(ask: &[u8]) -> Sent {
    let path = get_path(ask).map(|path| format!("/ocsp{path}"));
    path.map_or_else(|| by_post(ask), Sent::get)
}

fn by_post(ask: &[u8]) -> Sent {
    Sent { method: "POST", path: "/ocsp".to_owned(), content_type: Some(REQUEST_TYPE), body: ask.to_owned() }
}

/// How many bytes an answer has.
fn fetch(address: SocketAddr, request: &Sent) -> Result<usize> {
    let url = format!("http://{address}{}", request.path);
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--output",
            "/dev/null",
            "--write-out",
            "%{size_download}",
        ])
        .arg(url)
        .output()
        .context("cannot start curl: run `cargo xtask peers`")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}

/// The responder of OpenSSL over an index of its own.
struct OpensslOcsp {
    process: Child,
    address: SocketAddr,
    requests: Vec<Vec<u8>>,
}

impl OpensslOcsp {
    fn start(folder: &Path, count: usize, processes: usize) -> Result<OpensslOcsp> {
        // V: good; then end, revocation, serial number, file, subject (the text database of `openssl ca`).
        let line = |n: usize| format!("V\t350101000000Z\t\t{:08X}\tunknown\t/CN=device {n}\n", serial(n));
        std::fs::write(folder.join("index.txt"), (0..count).map(line).collect::<String>())?;
        let address = free_port()?;
        // Its children do not end with it: `timeout` ends the whole group, and bounds its life.
        let process = Command::new("timeout")
            .current_dir(folder)
            .args(["--kill-after=1", "600", "openssl", "ocsp", "-index", "index.txt"])
            .args(["-CA", "ca.pem", "-rsigner", "ca.pem", "-rkey", "ca.key", "-ndays", "1"])
            .args(["-port", &address.port().to_string()])
            .args((processes > 1).then(|| ["-multi".to_owned(), processes.to_string()]).into_iter().flatten())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start openssl: run `cargo xtask peers`")?;
        let pem = std::fs::read_to_string(folder.join("ca.pem"))?;
        let issuer = chain_from_pem(pem.as_bytes())?.into_iter().next().context("there is no CA")?;
        let request = |n| -> Result<Vec<u8>> {
            let serial: Serial = format!("{:08x}", serial(n)).parse()?;
            Ok(posted(&Ask::new(&issuer, &serial, HashKind::Sha1, None)?.request()))
        };
        let requests = (0..count).map(request).collect::<Result<Vec<_>>>()?;
        let mut running = OpensslOcsp { process, address, requests };
        running.wait()?;
        Ok(running)
    }

    fn wait(&mut self) -> Result<()> {
        let first = self.requests.first().context("nothing to ask")?;
        let start = Instant::now();
        while ask_once(self.address, first).is_err() {
            if let Some(status) = self.process.try_wait()? {
                bail!("openssl ocsp ended: {status}");
            }
            ensure!(start.elapsed() < Duration::from_secs(10), "openssl ocsp does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Answers per second: it closes each connection, so wrk is no client for it. Twice as many ask as there are cores.
    fn rate(&self, time: Duration) -> Result<f64> {
        let start = Instant::now();
        let one = |first: usize| -> Result<usize> {
            let mut count = 0;
            for request in self.requests.iter().cycle().skip(first) {
                if start.elapsed() >= time {
                    break;
                }
                ask_once(self.address, request)?;
                count += 1;
            }
            Ok(count)
        };
        let counts = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..2 * cpu::cores()).map(|n| scope.spawn(move || one(n * 7))).collect();
            let ended =
                asking.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a client died"))?);
            ended.collect::<Result<Vec<usize>>>()
        })?;
        Ok(counts.iter().sum::<usize>() as f64 / start.elapsed().as_secs_f64())
    }
}

impl Drop for OpensslOcsp {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// One connection, one answer.
fn ask_once(address: SocketAddr, request: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(request)?;
    let mut answer = Vec::with_capacity(2_048);
    stream.read_to_end(&mut answer)?;
    ensure!(answer.starts_with(b"HTTP/1.0 200"), "openssl ocsp: {}", String::from_utf8_lossy(&answer));
    Ok(())
}

fn posted(ask: &[u8]) -> Vec<u8> {
    let head =
        format!("POST / HTTP/1.0\r\nContent-Type: {REQUEST_TYPE}\r\nContent-Length: {}\r\n\r\n", ask.len());
    [head.as_bytes(), ask].concat()
}

/// Positive in DER, and of one length.
fn serial(n: usize) -> usize {
    0x1000_0000 + n
}
