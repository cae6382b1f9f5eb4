//! A bound on recorded alarms: whoever knows a device's label and an endorsement certificate, both of them public, must
//! not fill the log with alarms about it, nor keep its chain busy so that a person's quarantine finds no place.
//!
//! At most [`EACH`] alarms of one kind about one device a minute, and [`ALL`] altogether; what is left out is counted, and
//! the next alarm that is recorded says how many. A restart forgets the counts, which costs a few alarms more.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use lanyard_domain::event::AlarmCode;
use lanyard_domain::id::DeviceId;
use lanyard_domain::time::Timestamp;

const WINDOW_SECONDS: i64 = 60;
/// A person who is called by the first does not need the sixth.
const EACH: u32 = 5;
/// 300 alarms of about 1 kB a minute are 430 MB a day at the worst.
const ALL: u32 = 300;
/// Beyond this, windows that are over are forgotten; [`ALL`] bounds those that are not.
const MOST: usize = 4_096;

/// What was raised lately.
#[derive(Debug, Default)]
pub(crate) struct Alarms(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    each: HashMap<(DeviceId, AlarmCode), Window>,
    all: Window,
}

#[derive(Debug, Default, Clone, Copy)]
struct Window {
    began: Timestamp,
    recorded: u32,
    left_out: u64,
}

impl Window {
    /// A clock that went back begins anew too: better an alarm too many than none for a year.
    fn turn(&mut self, now: Timestamp) {
        if !(0..WINDOW_SECONDS).contains(&now.seconds_since(self.began)) {
            (self.began, self.recorded) = (now, 0);
        }
    }
}

impl Alarms {
    /// Whether to record this one; if so, how many like it were left out before.
    pub(crate) fn admit(&self, device: DeviceId, code: AlarmCode, now: Timestamp) -> Option<u64> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Counts { each, all } = &mut *counts;
        all.turn(now);
        if each.len() >= MOST && !each.contains_key(&(device, code)) {
            each.retain(|_, w| (0..WINDOW_SECONDS).contains(&now.seconds_since(w.began)));
        }
        if all.recorded >= ALL && !each.contains_key(&(device, code)) {
            all.left_out += 1;
            return None;
        }
        let window = each.entry((device, code)).or_default();
        window.turn(now);
        if window.recorded >= EACH || all.recorded >= ALL {
            window.left_out += 1;
            return None;
        }
        window.recorded += 1;
        all.recorded += 1;
        Some(std::mem::take(&mut window.left_out) + std::mem::take(&mut all.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: AlarmCode = AlarmCode::HardwareKeyReused;

    fn device(n: u16) -> DeviceId {
        let mut bytes = [7; 16];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        DeviceId::from_random(bytes)
    }

    // I12
    #[test]
    fn a_flood_of_alarms_about_one_device_is_counted_not_recorded() {
        let alarms = Alarms::default();
        let at = |s: i64| Timestamp::from_seconds(1_000_000 + s);
        let recorded = (0..1_000).filter(|_| alarms.admit(device(1), CODE, at(0)).is_some()).count();
        assert_eq!(recorded, 5);
        assert_eq!(alarms.admit(device(1), AlarmCode::EvidenceBroken, at(1)), Some(0), "another kind");
        assert_eq!(alarms.admit(device(2), CODE, at(1)), Some(0), "another device");
        assert_eq!(alarms.admit(device(1), CODE, at(59)), None);
        assert_eq!(alarms.admit(device(1), CODE, at(60)), Some(996));
        assert_eq!(alarms.admit(device(1), CODE, at(-5_000)), Some(0), "the clock was set back");
    }

    #[test]
    fn a_flood_over_many_devices_is_bounded_too() {
        let alarms = Alarms::default();
        let at = |s: i64| Timestamp::from_seconds(1_000_000 + s);
        let recorded = (0..20_000).filter(|n| alarms.admit(device(*n), CODE, at(0)).is_some()).count();
        assert_eq!(recorded, 300);
        assert!(alarms.0.lock().unwrap().each.len() <= MOST);
        assert_eq!(alarms.admit(device(1), CODE, at(60)), Some(19_700));
    }
}
