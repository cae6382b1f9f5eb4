//! SCEP per second (RFC 8894), end to end: HTTP, the CMS messages, the rules, intent and certificate on disk (two transactions),
//! the answer; on an authority of its own, as it always is. First certificates by one-time secret, then renewals signed with the
//! certificate that each device has.
//!
//! The server opens 50 messages a second and no more, on purpose: each costs it private operations of RSA, and any stranger can send
//! one. So the figure is that bound where the machine can do more, and what a message costs stands beside it. The limit is the
//! cryptography of one exchange: the envelope opened, the certificate signed (RSA-3072), the answer signed; two signatures of clients
//! checked, and for renewals the path of the shown certificate. Messages are made and answers opened without the clock.

mod message;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use lanyard_domain::authority::{AuthorityPurpose, KeyStore};
use lanyard_domain::statement::Action;
use lanyard_pki::certificate::Certificate;

use self::message::{Device, Kind};
use crate::hospital::Hospital;
use crate::queue::{self, Pass};
use crate::table::{Row, in_sequence, quantile, rate};
use crate::ward::{self, Bed, Kept};
use crate::{Settings, acme, cpu};

const AUTHORITY: &str = "legacy-1";
/// Connections that ask at the same time.
const AT_ONCE: usize = 8;
/// Devices: four seconds of what the server opens.
const DEVICES: usize = 200;
/// A message that the server does not open is sent again after this.
const PAUSE: Duration = Duration::from_millis(20);
/// The authority and its RA are made by workers of the control plane.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(settings: &Settings, hospital: &Hospital) -> Result<Vec<Row>> {
    let address = hospital.control.http_address.context("SCEP is not served")?;
    let ra = hospital.runtime.block_on(station(hospital, address))?;
    let beds = ward::admit(hospital, "SCEP", DEVICES)?;
    let devices = devices(hospital)?;
    let asks = |(device, bed): (&Arc<Device>, &Arc<Bed>)| {
        device.message(Kind::PkcsReq, &device.request(Some(&bed.secret))?, &device.own, &ra)
    };
    let first = devices.iter().zip(&beds).map(asks).collect::<Result<Vec<_>>>()?;
    let (first, answers) = hospital.runtime.block_on(exchange(address, first))?;
    let open = |(device, answer): (&Arc<Device>, &Bytes)| device.open(answer);
    let certificates = devices.iter().zip(&answers).map(open).collect::<Result<Vec<_>>>()?;
    let asks = |(device, shown): (&Arc<Device>, &Certificate)| {
        device.message(Kind::Renewal, &device.request(None)?, shown, &ra)
    };
    let renewals = devices.iter().zip(&certificates).map(asks).collect::<Result<Vec<_>>>()?;
    let (renewed, answers) = hospital.runtime.block_on(exchange(address, renewals))?;
    for opened in devices.iter().zip(&answers).map(open) {
        opened?;
    }

    let (two, three) = (rsa(settings.time, KeySize::Rsa2048)?, rsa(settings.time, KeySize::Rsa3072)?);
    let ra_bits = ra.public_key().map_err(|e| anyhow::anyhow!("the RA's key: {e}"))?.der().len();
    // The RA's key is of either size, by what its profile says.
    let ra_sign = if ra_bits < 350 { two.sign } else { three.sign };
    let signs = in_sequence(ra_sign / 2.0, three.sign);
    let cores = cpu::cores() as f64;
    let row = |what: &str, mut pass: Pass, verifies: f64| {
        let (p50, p99) = (quantile(&mut pass.times, 0.5), quantile(&mut pass.times, 0.99));
        Row {
            ours: Some(pass.rate),
            limit: Some(in_sequence(signs, two.verify / verifies) * cores),
            target: "bound: 50",
            note: format!(
                "{:.0} per core; the server opens 50 a second; p50 {p50:.0} ms p99 {p99:.0} ms with waiting for that; limit: three \
                 RSA private operations and {verifies} verifies on {cores} cores",
                pass.per_core
            ),
            ..Row::rate(what)
        }
    };
    Ok(vec![row("SCEP enroll by secret, RSA", first, 2.0), row("SCEP renewal, RSA", renewed, 3.0)])
}

/// The authority for old devices, active, and its RA's certificate.
async fn station(hospital: &Hospital, address: SocketAddr) -> Result<Certificate> {
    let (desk, security) = (&hospital.staff.desk, &hospital.staff.security);
    let name = AUTHORITY.to_owned();
    let create = Action::CreateAuthority {
        name: name.clone(),
        purpose: AuthorityPurpose::Legacy,
        site: None,
        keys: KeyStore::Sealed,
    };
    desk.decide(security, create, "old devices").await?;
    let activate = Action::ActivateAuthority { name };
    let begun = Instant::now();
    while let Err(error) = desk.decide(&hospital.admin, activate.clone(), "old devices").await {
        ensure!(begun.elapsed() < PATIENCE, "the authority for SCEP is not made: {error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut connection = acme::plain(address).await?;
    while begun.elapsed() < PATIENCE {
        let request = Request::get("/scep?operation=GetCACert").header(header::HOST, "localhost");
        connection.ready().await?;
        let answer = connection.send_request(request.body(Full::new(Bytes::new()))?).await?;
        let status = answer.status();
        answer.into_body().collect().await?;
        let ra = hospital.control.state.control.ra(AUTHORITY, hospital.clock.now())?;
        if let Some(ra) = ra.filter(|_| status == StatusCode::OK) {
            return Ok(ra.certificate);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the RA for SCEP is not made")
}

/// Keys of RSA take long to make: by all cores.
fn devices(hospital: &Hospital) -> Result<Vec<Arc<Device>>> {
    let now = hospital.clock.now();
    let make = || Device::new(now).map(Arc::new);
    let share = DEVICES.div_ceil(cpu::cores().max(1));
    let all: Vec<Result<Vec<_>>> = std::thread::scope(|scope| {
        let work = || (0..share).map(|_| make()).collect::<Result<Vec<_>>>();
        let threads: Vec<_> = (0..cpu::cores().max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| bail!("a thread ended"))).collect()
    });
    let mut devices = all.into_iter().collect::<Result<Vec<_>>>()?.concat();
    devices.truncate(DEVICES);
    Ok(devices)
}

/// Sends these, [`AT_ONCE`] at a time; the answers in their order.
async fn exchange(address: SocketAddr, messages: Vec<Vec<u8>>) -> Result<(Pass, Vec<Bytes>)> {
    let mut connections = Vec::new();
    for _ in 0..AT_ONCE {
        connections.push(acme::plain(address).await?);
    }
    queue::all(connections, messages.into_iter().map(Bytes::from), |mut connection, message| async move {
        let sent = Instant::now();
        let answer = post(&mut connection, &message).await?;
        Ok((connection, vec![sent.elapsed()], answer))
    })
    .await
}

async fn post(connection: &mut Kept, message: &Bytes) -> Result<Bytes> {
    let begun = Instant::now();
    loop {
        let request = Request::post("/scep?operation=PKIOperation")
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/x-pki-message");
        connection.ready().await?;
        let answer = connection.send_request(request.body(Full::new(message.clone()))?).await?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        match head.status {
            StatusCode::OK => return Ok(body),
            StatusCode::SERVICE_UNAVAILABLE if begun.elapsed() < PATIENCE => {
                tokio::time::sleep(PAUSE).await;
            }
            other => bail!("SCEP answered {other}: {}", String::from_utf8_lossy(&body)),
        }
    }
}

/// Rates of one core.
struct Rsa {
    sign: f64,
    verify: f64,
}

fn rsa(time: Duration, size: KeySize) -> Result<Rsa> {
    const MESSAGE: [u8; 500] = [7; 500];
    let key = RsaKeyPair::generate(size).context("cannot make an RSA key")?;
    let mut signature = vec![0; key.public_modulus_len()];
    let random = SystemRandom::new();
    let sign =
        rate(time, || key.sign(&RSA_PKCS1_SHA256, &random, &MESSAGE, &mut signature).context("cannot sign"))?;
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    let verify = rate(time, || public.verify(&MESSAGE, &signature).context("cannot verify"))?;
    Ok(Rsa { sign, verify })
}
