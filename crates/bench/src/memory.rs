//! Resident memory per registered device: what 100,000 devices in service add to the control plane's world.
//!
//! Only the world: what a device that is connected costs in TLS and buffers is the listener's limit, and the log on disk
//! does not stay in memory. Exact only while the process is new (freed memory would be used again), so it runs first.

use anyhow::{Context, Result};
use lanyard_control::world::{Origin, World};
use lanyard_domain::event::{Event, StreamKind};
use lanyard_domain::id::DeviceId;

use crate::table::Row;
use crate::{Settings, life};

const DEVICES: u32 = 100_000;

pub fn run(_: &Settings) -> Result<Vec<Row>> {
    let before = resident()?;
    let mut world = World::default();
    for number in 0..DEVICES {
        fold(&mut world, life::device(number), life::in_service(number)?);
    }
    let each = settled()?.saturating_sub(before) as f64 / f64::from(DEVICES);
    let events = world.next_pos / u64::from(DEVICES);
    let inline = size_of::<lanyard_domain::device::Device>();
    Ok(vec![Row {
        unit: "bytes",
        ours: Some(each),
        target: "< 2,000",
        note: format!(
            "{DEVICES} devices in service, {events} events each; {inline} bytes are the device itself without its texts"
        ),
        ..Row::rate("memory per device, resident")
    }])
}

/// Folds one device's events, as the journal does.
pub fn fold(world: &mut World, device: DeviceId, events: Vec<Event>) {
    for event in events {
        let origin = Origin {
            stream: device.into(),
            stream_kind: StreamKind::Device as u8,
            pos: world.next_pos,
            time: life::NOW,
            actor: life::actor(),
        };
        world.apply(origin, Some(&event));
    }
}

/// Resident set in bytes, once the allocator has given back what was freed while tables grew: it takes a second over it, and looks
/// when it is asked for memory.
fn settled() -> Result<u64> {
    let mut least = resident()?;
    for _ in 0..30 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        drop(std::hint::black_box(vec![1u8; 1 << 20]));
        least = least.min(resident()?);
    }
    Ok(least)
}

/// Resident set in bytes.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS is not a number")?;
    Ok(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resident_set_grows_with_what_is_written() {
        let before = resident().unwrap();
        let block = vec![1u8; 32 << 20];
        assert!(resident().unwrap() > before + (16 << 20));
        drop(block);
    }
}
