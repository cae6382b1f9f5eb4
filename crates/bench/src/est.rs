//! EST per second, end to end: TLS, HTTP, the engine, the rules, intent and certificate on disk (two transactions), the
//! answer. First certificates by one-time secret over connections that are kept, then renewals by the certificate that each
//! device got, each on a connection of its own that is kept.
//!
//! The limit is the cryptography that each request needs, on all cores, with nothing else done: the request's signature checked,
//! the new certificate signed (whose certificate is shown is known by its digest). Requests are made and connections
//! opened before the clock starts: what clients compute is not in it, but their HTTP and TLS records are. The last row is a server
//! that only checks and signs (`bare`): what HTTP over TLS leaves of the limit here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use lanyard_enroll::est::client::{self, Answer, Answered, Outgoing, SecretLogin};
use lanyard_pki::certificate::Certificate;
use lanyard_pki::spki::PublicKey;
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::hospital::Hospital;
use crate::queue::{self, Pass};
use crate::table::{Row, in_sequence, quantile};
use crate::ward::{self, Bed, Kept};
use crate::{Settings, bare, cpu, material, p256};

/// Connections that ask at the same time.
const AT_ONCE: usize = 512;
/// Devices.
const DEVICES: usize = 768;
/// Renewals of each: 30 certificates a minute are its bound, and its first was one.
const RENEWALS: usize = 24;

pub fn run(settings: &Settings, hospital: &Hospital) -> Result<Vec<Row>> {
    let raw = p256::raw(settings.time)?;
    let address = hospital.control.enroll_address.context("EST is not served")?;
    let beds = ward::admit(hospital, "EST", DEVICES)?;
    let (first, certificates) = hospital.runtime.block_on(enroll(hospital, address, &beds))?;
    let renewed = hospital.runtime.block_on(renew(hospital, address, &beds, &certificates))?;
    let bare = bare(hospital, &beds, &certificates)?;
    let cores = cpu::cores() as f64;
    let row = |what: &str, mut pass: Pass, target: &'static str| {
        let (p50, p99) = (quantile(&mut pass.times, 0.5), quantile(&mut pass.times, 0.99));
        Row {
            ours: Some(pass.rate),
            limit: Some(in_sequence(raw.sign, raw.verify) * cores),
            target,
            note: format!(
                "{:.0} per core, both sides; {AT_ONCE} at once, p50 {p50:.0} ms p99 {p99:.0} ms; limit: a P-256 \
                 verify and a sign on {cores} cores",
                pass.per_core
            ),
            ..Row::rate(what)
        }
    };
    Ok(vec![
        row("EST enroll by secret, kept connections", first, ""),
        row("EST re-enroll, kept mTLS connections", renewed, "ratio >= 0.5"),
        row("bare: TLS, HTTP, one verify, one sign; no rules, no log", bare, ""),
    ])
}

/// One certificate for each, and those.
async fn enroll(
    hospital: &Hospital,
    address: SocketAddr,
    beds: &[Arc<Bed>],
) -> Result<(Pass, Vec<Certificate>)> {
    let client = ward::tls(&hospital.control.anchors_pem, None)?;
    let mut connections = Vec::new();
    for _ in 0..AT_ONCE {
        connections.push(ward::connect(address, &client).await?);
    }
    queue::all(connections, beds.to_vec(), |mut connection, bed| async move {
        let login = SecretLogin { user: "device".to_owned(), secret: Zeroizing::new(bed.secret.clone()) };
        let sent = Instant::now();
        let asked = client::enroll(None, &bed.csr, Some(&login));
        let certificate = ask(&mut connection, asked, &bed.public).await?;
        Ok((connection, vec![sent.elapsed()], certificate))
    })
    .await
}

/// [`RENEWALS`] for each, each over a connection with its own certificate.
async fn renew(
    hospital: &Hospital,
    address: SocketAddr,
    beds: &[Arc<Bed>],
    certificates: &[Certificate],
) -> Result<Pass> {
    let issuers = hospital.control.state.control.authority.issuers();
    let mut open = Vec::new();
    for (bed, certificate) in beds.iter().zip(certificates) {
        let issuer = issuers.of(certificate).context("an issuer is unknown")?.certificate();
        let chain: Vec<CertificateDer<'static>> =
            [certificate, issuer].map(|c| c.der().clone().into_owned()).to_vec();
        let client = ward::tls(&hospital.control.anchors_pem, Some((chain, &bed.key)))?;
        open.push((ward::connect(address, &client).await?, Arc::clone(bed)));
    }
    in_turns(open).await
}

/// The same requests by the same client to a server that is none, over connections that are kept.
fn bare(hospital: &Hospital, beds: &[Arc<Bed>], certificates: &[Certificate]) -> Result<Pass> {
    let folder = tempfile::tempdir()?;
    material::make(folder.path())?;
    let client = ward::tls(&std::fs::read_to_string(folder.path().join("ca.pem"))?, None)?;
    hospital.runtime.block_on(async {
        let (address, end) = bare::start(folder.path(), certificates).await?;
        let mut open = Vec::new();
        for bed in beds {
            open.push((ward::connect(address, &client).await?, Arc::clone(bed)));
        }
        let pass = in_turns(open).await;
        end.cancel();
        pass
    })
}

/// [`RENEWALS`] over each connection, [`AT_ONCE`] at a time.
async fn in_turns(open: Vec<(Kept, Arc<Bed>)>) -> Result<Pass> {
    let one = |(), (mut connection, bed): (Kept, Arc<Bed>)| async move {
        let mut times = Vec::new();
        for _ in 0..RENEWALS {
            let sent = Instant::now();
            ask(&mut connection, client::reenroll(None, &bed.csr), &bed.public).await?;
            times.push(sent.elapsed());
        }
        Ok(((), times, ()))
    };
    Ok(queue::all(vec![(); AT_ONCE], open, one).await?.0)
}

async fn ask(connection: &mut Kept, outgoing: Outgoing, key: &PublicKey) -> Result<Certificate> {
    let mut request =
        Request::builder().method(outgoing.method).uri(&outgoing.path).header(header::HOST, "localhost");
    for (name, value) in &outgoing.headers {
        request = request.header(*name, value);
    }
    connection.ready().await?;
    let response = connection.send_request(request.body(Full::new(Bytes::from(outgoing.body)))?).await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    let text = |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok());
    let answer = Answer {
        status: head.status.as_u16(),
        content_type: text("content-type"),
        retry_after: text("retry-after"),
        reason: text(client::REASON),
        body: &body,
    };
    match client::read_issued(&answer, key)? {
        Answered::Granted(issued) => Ok(issued.certificate),
        other => bail!("EST answered {other:?}"),
    }
}
