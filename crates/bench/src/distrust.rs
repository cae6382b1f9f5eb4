//! How long distrust takes while a whole fleet is connected and sends: from the moment a tampered device sends its
//! evidence until token, handshake, open connection and FHIR write are refused. A fifth of the fleet is tampered with,
//! one device after the other.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lanyard_sim::device::VirtualDevice;
use lanyard_sim::distrust::{DistrustTimes, measure};
use lanyard_sim::{faults, fleet};
use tokio_util::task::AbortOnDropHandle;

use crate::Settings;
use crate::hospital::{AT_ONCE, Hospital};
use crate::table::{Row, quantile};

/// A reading of each device this often; with 1000 devices, 100 a second.
const EVERY: Duration = Duration::from_secs(10);

type Path = (&'static str, fn(&DistrustTimes) -> f64);

const PATHS: [Path; 5] = [
    ("token", |t| t.token),
    ("new mTLS session", |t| t.mtls),
    ("open connection", |t| t.connection),
    ("FHIR write", |t| t.fhir),
    ("all paths", |t| t.max),
];

pub fn run(_: &Settings, hospital: &Hospital) -> Result<Vec<Row>> {
    let (victims, others) = hospital.devices.split_at(hospital.devices.len() / 5);
    let (times, connected) = hospital.runtime.block_on(tamper(hospital, victims, others))?;
    Ok(PATHS
        .into_iter()
        .map(|(name, of)| {
            let mut each: Vec<Duration> =
                times.iter().map(|times| Duration::from_secs_f64(of(times) / 1000.0)).collect();
            let (p50, p99) = (quantile(&mut each, 0.5), quantile(&mut each, 0.99));
            let max = quantile(&mut each, 1.0);
            Row {
                unit: "ms",
                ours: Some(p99),
                target: "p99 < 300 ms",
                note: format!(
                    "p50 {p50:.1} p99 {p99:.1} max {max:.1} ms; {} tamperings, {connected} devices connected",
                    each.len()
                ),
                ..Row::rate(format!("distrust, {name}"))
            }
        })
        .collect())
}

/// Everyone is connected, and the others go on sending as long as what is returned is kept. How many connections there are.
pub(crate) async fn at_work(
    hospital: &Hospital,
    victims: &[Arc<VirtualDevice>],
    others: &[Arc<VirtualDevice>],
) -> Result<(usize, Vec<AbortOnDropHandle<()>>)> {
    for devices in [victims, others] {
        for sent in fleet::connect(devices, AT_ONCE).await {
            let status = sent?;
            ensure!(status.is_success(), "a reading was answered {status}");
        }
    }
    let connected = hospital.connected();
    let sending =
        others.iter().enumerate().map(|(index, device)| keep_sending(device, index, others.len())).collect();
    Ok((connected, sending))
}

async fn tamper(
    hospital: &Hospital,
    victims: &[Arc<VirtualDevice>],
    others: &[Arc<VirtualDevice>],
) -> Result<(Vec<DistrustTimes>, usize)> {
    let (connected, _sending) = at_work(hospital, victims, others).await?;
    let mut times = Vec::with_capacity(victims.len());
    for victim in victims {
        faults::tamper(victim).await?;
        let seen = measure(victim).await.with_context(|| format!("device {}", victim.serial))?;
        times.push(seen.times);
    }
    for device in others {
        let reply = device.send().await?;
        ensure!(reply.status.is_success(), "{} was cut off too: {}", device.serial, reply.status);
    }
    Ok((times, connected))
}

/// Each device has its own moment within the period.
fn keep_sending(device: &Arc<VirtualDevice>, index: usize, of: usize) -> AbortOnDropHandle<()> {
    let device = device.clone();
    let first = EVERY.mul_f64(index as f64 / of.max(1) as f64);
    AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::time::sleep(first).await;
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tick.tick().await;
            // What a refused reading means is checked for each device at the end.
            let _ = device.send().await;
        }
    }))
}
