//! CMP per second (RFC 9810, profile RFC 9483), end to end: TLS, HTTP, the engine, the rules, intent and certificate on disk (two
//! transactions), the answer; then the confirmation and its answer. First certificates by ir under a one-time secret (PBM), then
//! renewals by kur, signed with the certificate that each device has; over connections that are kept.
//!
//! The limit is the cryptography of the server alone, on all cores, with nothing else done. ir: four MACs of 500 rounds of
//! SHA-256, the request's proof of possession, the certificate's signature. kur: the signatures of two messages and the proof of
//! possession, then three signatures: certificate and two answers; the certificate shown is known by its digest. The client makes
//! and checks messages with the clock running, so its share of the cores is in our figure.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use lanyard_api::clock::Clock;
use lanyard_enroll::cmp::client::{Client, Credential, Mac, Progress, Trust, Verdict, Wish};
use lanyard_enroll::cmp::{CONTENT_TYPE, EnrollKind, Fresh};
use lanyard_pki::certificate::{Certificate, chain_from_pem};
use lanyard_pki::path::Anchors;
use lanyard_sim::rng::fresh;
use zeroize::Zeroizing;

use crate::hospital::Hospital;
use crate::queue::{self, Pass};
use crate::table::{Row, in_sequence, quantile, rate};
use crate::ward::{self, Bed, Kept};
use crate::{Settings, cpu, p256};

/// Connections that ask at the same time.
const AT_ONCE: usize = 128;
/// Devices.
const DEVICES: usize = 512;
/// Renewals of each: 30 certificates a minute are its bound, and its first was one.
const RENEWALS: usize = 16;
/// Rounds of our client's PBM, as of OpenSSL's.
const PBM_ROUNDS: usize = 500;

pub fn run(settings: &Settings, hospital: &Hospital) -> Result<Vec<Row>> {
    let raw = p256::raw(settings.time)?;
    let mac = pbm(settings.time)?;
    let address = hospital.control.enroll_address.context("CMP is not served")?;
    let beds = ward::admit(hospital, "CMP", DEVICES)?;
    let (first, certificates) = hospital.runtime.block_on(enroll(hospital, address, &beds))?;
    let renewed = hospital.runtime.block_on(renew(hospital, address, beds, certificates))?;
    let cores = cpu::cores() as f64;
    let row = |what: &str, mut pass: Pass, limit: f64, work: &str| {
        let (p50, p99) = (quantile(&mut pass.times, 0.5), quantile(&mut pass.times, 0.99));
        Row {
            ours: Some(pass.rate),
            limit: Some(limit * cores),
            note: format!(
                "{:.0} per core, both sides; {AT_ONCE} at once, two messages each, p50 {p50:.0} ms p99 {p99:.0} ms; limit: {work} on \
                 {cores} cores",
                pass.per_core
            ),
            ..Row::rate(what)
        }
    };
    let ir = in_sequence(mac / 4.0, in_sequence(raw.verify, raw.sign));
    let kur = in_sequence(raw.verify / 3.0, raw.sign / 3.0);
    Ok(vec![
        row("CMP enroll (ir) by secret, with certConf", first, ir, "four PBMs, a P-256 verify and a sign"),
        row("CMP re-enroll (kur), with certConf", renewed, kur, "three P-256 verifies and three signs"),
    ])
}

/// Keys of that MAC per second on one core.
fn pbm(time: Duration) -> Result<f64> {
    rate(time, || {
        let first = digest(&SHA256, &[7; 60]);
        let last = (1..PBM_ROUNDS).fold(first, |before, _| digest(&SHA256, before.as_ref()));
        ensure!(last.as_ref().len() == 32, "a digest has another length");
        Ok(())
    })
}

async fn enroll(
    hospital: &Hospital,
    address: SocketAddr,
    beds: &[Arc<Bed>],
) -> Result<(Pass, Vec<Certificate>)> {
    let tls = ward::tls(&hospital.control.anchors_pem, None)?;
    let mut connections = Vec::new();
    for _ in 0..AT_ONCE {
        connections.push(ward::connect(address, &tls).await?);
    }
    queue::all(connections, beds.to_vec(), |mut connection, bed| async move {
        let reference = bed.secret.split('-').next().unwrap_or_default().to_owned();
        let secret = Zeroizing::new(bed.secret.clone());
        let client = Client::new(Credential::Secret { reference, secret, mac: Mac::Pbm }, Trust::SecretOnly);
        let sent = Instant::now();
        let certificate = exchange(&mut connection, &client, &bed, EnrollKind::Initialization).await?;
        Ok((connection, vec![sent.elapsed()], certificate))
    })
    .await
}

/// [`RENEWALS`] for each, each in place of the one before, [`AT_ONCE`] devices at a time.
async fn renew(
    hospital: &Hospital,
    address: SocketAddr,
    beds: Vec<Arc<Bed>>,
    certificates: Vec<Certificate>,
) -> Result<Pass> {
    let tls = ward::tls(&hospital.control.anchors_pem, None)?;
    let anchors = Anchors::new(chain_from_pem(hospital.control.anchors_pem.as_bytes())?)?;
    let leaf = certificates.first().context("there is no certificate")?;
    let issuers = hospital.control.state.control.authority.issuers();
    let issuer = issuers.of(leaf).context("an issuer is unknown")?.certificate().clone();
    let mut connections = Vec::new();
    for _ in 0..AT_ONCE {
        connections.push(ward::connect(address, &tls).await?);
    }
    let one = move |mut connection, (bed, mut certificate): (Arc<Bed>, Certificate)| {
        let (anchors, issuer) = (anchors.clone(), issuer.clone());
        async move {
            let mut times = Vec::new();
            for _ in 0..RENEWALS {
                let credential = Credential::Certificate(vec![certificate, issuer.clone()]);
                let client =
                    Client::new(credential, Trust::ControlPlane(anchors.clone())).to(issuer.subject_der());
                let sent = Instant::now();
                certificate = exchange(&mut connection, &client, &bed, EnrollKind::KeyUpdate).await?;
                times.push(sent.elapsed());
            }
            Ok((connection, times, ()))
        }
    };
    Ok(queue::all(connections, beds.into_iter().zip(certificates), one).await?.0)
}

/// Request and confirmation, as our agent does it.
async fn exchange(
    connection: &mut Kept,
    client: &Client,
    bed: &Bed,
    kind: EnrollKind,
) -> Result<Certificate> {
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &bed.key)
        .map_err(|e| anyhow!("a device's key cannot be read: {e}"))?;
    let sign = |bytes: &[u8]| {
        let signed = key.sign(&SystemRandom::new(), bytes);
        signed.map(|s| s.as_ref().to_vec()).map_err(|_| std::io::Error::other("cannot sign"))
    };
    let now = || Clock::system().now();
    let wish = Wish {
        kind,
        key_or_request: bed.public.der(),
        common_name: "device",
        profile: None,
        implicit_confirm: false,
    };
    let (mut enrolling, message) =
        client.enroll(&wish, &sign, &sign, fresh()?, (Fresh::from_random(fresh()?), now()))?;
    let reply = post(connection, message).await?;
    let issued = match enrolling.read(client, &reply, now())? {
        Progress::Issued(issued) => *issued,
        Progress::Declined(declined) => bail!("CMP declined: {}", declined.why()),
        Progress::Wait { why, .. } => bail!("CMP lets a device wait: {why}"),
    };
    let mut unconfirmed = issued.unconfirmed.context("nobody waits for a confirmation")?;
    let confirm =
        unconfirmed.confirm(client, Verdict::Accept, &sign, (Fresh::from_random(fresh()?), now()))?;
    let reply = post(connection, confirm).await?;
    if let Err(declined) = unconfirmed.read(client, &reply, now())? {
        bail!("CMP declined a confirmation: {}", declined.why());
    }
    Ok(issued.certificate)
}

async fn post(connection: &mut Kept, message: Vec<u8>) -> Result<Bytes> {
    let request = Request::post("/.well-known/cmp")
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, CONTENT_TYPE);
    connection.ready().await?;
    let response = connection.send_request(request.body(Full::new(Bytes::from(message)))?).await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    ensure!(head.status == 200, "CMP answered {}: {}", head.status, String::from_utf8_lossy(&body));
    Ok(body)
}
