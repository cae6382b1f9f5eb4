//! How long a person's revocation takes to be felt at a gateway while a fleet is connected and sends: from the moment the order
//! is sent until the device's open connection is cut, by each reason in turn. In it are the check of the order's signature, its
//! durable record, the push over the gateway's feed and the cut. A fifth of the fleet is revoked, one device after the other.
//!
//! In scope: the push of a decision. Out of scope: what starts with the device's own evidence ([`crate::distrust`]), and OCSP and
//! lists, which relying parties ask for.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lanyard_domain::event::RevocationReason;
use lanyard_domain::statement::Action;
use lanyard_sim::device::VirtualDevice;
use lanyard_sim::distrust::cut_after;

use crate::Settings;
use crate::distrust::at_work;
use crate::hospital::Hospital;
use crate::table::{Row, quantile};

const REASONS: [RevocationReason; 6] = [
    RevocationReason::Retired,
    RevocationReason::Transferred,
    RevocationReason::Recalled,
    RevocationReason::Lost,
    RevocationReason::Stolen,
    RevocationReason::Compromised,
];

pub fn run(_: &Settings, hospital: &Hospital) -> Result<Vec<Row>> {
    // The first fifth is [`crate::distrust`]'s, the last one is ours.
    let fifth = hospital.devices.len() / 5;
    let (rest, victims) = hospital.devices.split_at(hospital.devices.len() - fifth);
    let others = rest.get(fifth..).context("there are too few devices")?;
    let (times, connected) = hospital.runtime.block_on(revoke(hospital, victims, others))?;
    let (mut times, mut answered): (Vec<Duration>, Vec<Duration>) = times.into_iter().unzip();
    let (p50, p99) = (quantile(&mut times, 0.5), quantile(&mut times, 0.99));
    let max = quantile(&mut times, 1.0);
    let (order, slowest) = (quantile(&mut answered, 0.5), quantile(&mut answered, 1.0));
    Ok(vec![Row {
        unit: "ms",
        ours: Some(p99),
        target: "max < 1,000 ms",
        note: format!(
            "p50 {p50:.1} p99 {p99:.1} max {max:.1} ms, order to cut (the order is answered after p50 {order:.1} max {slowest:.1} ms); {} revocations by {} reasons, {connected} connections open",
            times.len(),
            REASONS.len()
        ),
        ..Row::rate("push, open connection cut")
    }])
}

async fn revoke(
    hospital: &Hospital,
    victims: &[Arc<VirtualDevice>],
    others: &[Arc<VirtualDevice>],
) -> Result<(Vec<(Duration, Duration)>, usize)> {
    let (connected, _sending) = at_work(hospital, victims, others).await?;
    let staff = &hospital.staff;
    let mut times = Vec::with_capacity(victims.len());
    for (victim, reason) in victims.iter().zip(REASONS.into_iter().cycle()) {
        let path = Arc::new(victim.another_path()?);
        let reply = victim.send_over(&path, None).await?;
        ensure!(reply.status.is_success(), "{} was refused before: {}", victim.serial, reply.status);
        let order = Action::RevokeDevice { device: victim.id()?, reason };
        let refused = OnceLock::new();
        let answered = OnceLock::new();
        let decided = async {
            let sent = Instant::now();
            if let Err(error) = staff.desk.decide(&staff.security, order, "measurement").await {
                // An order that was not carried out cuts nothing: this is then the reason.
                let _first = refused.set(error);
            }
            let _first = answered.set(sent.elapsed());
        };
        let cut = cut_after(path, decided).await;
        if let Some(error) = refused.into_inner() {
            return Err(error).with_context(|| format!("{} was not revoked", victim.serial));
        }
        let ((), after) = cut.with_context(|| format!("device {} revoked as {reason}", victim.serial))?;
        times.push((after, answered.into_inner().unwrap_or_default()));
    }
    for device in others {
        let reply = device.send().await?;
        ensure!(reply.status.is_success(), "{} was cut off too: {}", device.serial, reply.status);
    }
    Ok((times, connected))
}
