//! FHIR requests per second through the gateway, beside nginx as a relay with mutual TLS: the same load, bodies and
//! upstream, connections kept.
//!
//! nginx looks at certificates and passes bytes on. The gateway also decides each request, makes a Provenance, and has
//! decision and outcome on disk before it answers (I3): with few connections its rate is the disk's.
//! Load, relay and upstream share this machine's cores, the same for both.

use anyhow::{Context, Result};
use bytes::Bytes;
use lanyard_sim::tls;

use crate::hospital::Hospital;
use crate::load::{self, Caller, Load, Outcome};
use crate::nginx::{Nginx, open_to_workers};
use crate::table::{Row, quantile};
use crate::{Settings, cpu, material};

/// Devices of a ward, of a floor, of a hospital that all send at the same moment.
const CONNECTIONS: [usize; 3] = [16, 128, 512];
const PATH: &str = "/fhir/Observation";

pub fn run(settings: &Settings, hospital: &Hospital) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    open_to_workers(folder.path())?;
    material::make(folder.path())?;
    let plain = material::client(folder.path())?;
    let mut devices = Vec::new();
    for device in &hospital.devices {
        let identities = device.agent.identities().clone();
        let tls = tls::as_device(&hospital.control.anchors_pem, &hospital.clock, identities)?;
        devices.push(Caller { tls, body: Bytes::from(device.reading()?) });
    }
    hospital.runtime.block_on(async {
        let nginx = Nginx::start(folder.path(), hospital.upstream)?;
        let mut rows = Vec::new();
        for connections in CONNECTIONS {
            let callers = devices.get(..connections).with_context(|| {
                format!("{connections} connections need as many devices: use a larger `--devices`")
            })?;
            let anonymous: Vec<Caller> =
                callers.iter().map(|c| Caller { tls: plain.clone(), body: c.body.clone() }).collect();
            let load = |address| Load { address, path: PATH, time: settings.time };
            let limit = load::run(&load(nginx.address), &anonymous).await.context("nginx")?;
            let before = cpu::used()?;
            let ours = load::run(&load(hospital.gateway()), callers).await.context("gateway")?;
            let busy = cpu::used()?.saturating_sub(before).as_secs_f64() / settings.time.as_secs_f64();
            rows.push(row(connections, ours, limit, busy));
        }
        Ok(rows)
    })
}

/// `busy`: cores that load, gateway and upstream had while ours ran; below all cores, the rest waited for the disk.
fn row(connections: usize, mut ours: Outcome, mut limit: Outcome, busy: f64) -> Row {
    Row {
        ours: Some(ours.rate),
        limit: Some(limit.rate),
        target: "ratio >= 0.5",
        note: format!(
            "ours {}, {busy:.1} of {} cores; limit: nginx, {}",
            spread(&mut ours),
            cpu::cores(),
            spread(&mut limit)
        ),
        ..Row::rate(format!("FHIR writes, mTLS, {connections} connections"))
    }
}

fn spread(outcome: &mut Outcome) -> String {
    let (p50, p99) = (quantile(&mut outcome.times, 0.5), quantile(&mut outcome.times, 0.99));
    format!("p50 {p50:.2} ms p99 {p99:.2} ms")
}
