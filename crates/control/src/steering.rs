//! When a certificate is to be renewed, told to whoever asks: agents with their certificate and their attestations, ACME clients
//! by renewal information (RFC 9773). EST, CMP and SCEP have no such answer: their devices keep their own time.
//!
//! At two thirds of a lifetime, spread over its holders; inside a maintenance window of the site where one fits (R44); at its turn
//! when the authority is compromised. In scope: times. Out of scope: windows' arithmetic (`domain::maintenance`).

use lanyard_domain::event::StreamKind;
use lanyard_domain::id::{ApplicationId, DeviceId, GatewayId, StreamId};
use lanyard_domain::maintenance::{Stretch, Window, renewal_window};
use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::serial::Serial;

use crate::world::World;

/// Renewal is suggested at two thirds of a lifetime; spread over the next twelfth of it, so that what was issued in one night
/// does not come back in one hour. A quarter is left then.
const JITTER_SHARE: i64 = 12;
/// An agent spreads its renewal over a tenth of what is left after the time that it is told.
const AGENTS_SHARE: i64 = 10;

impl World {
    /// The windows of a site.
    pub fn windows(&self, site: &str) -> &[Window] {
        self.maintenance.get(site).map_or(&[], Vec::as_slice)
    }

    /// Whether anything of this site is registered.
    pub(crate) fn has_site(&self, site: &str) -> bool {
        self.devices.values().any(|d| d.record.site == site)
            || self.applications.values().any(|a| a.record.site == site)
            || self.gateways.values().any(|g| g.site == site)
    }

    /// The windows of the site of a device, application or gateway.
    pub(crate) fn windows_of(&self, id: StreamId, kind: u8) -> &[Window] {
        let site = if kind == StreamKind::Device as u8 {
            self.devices.get(&DeviceId::from(id)).map(|d| d.record.site.as_str())
        } else if kind == StreamKind::Application as u8 {
            self.applications.get(&ApplicationId::from(id)).map(|a| a.record.site.as_str())
        } else {
            self.gateways.get(&GatewayId::from(id)).map(|g| g.site.as_str())
        };
        site.map_or(&[], |site| self.windows(site))
    }
}

/// A stretch for one holder out of the time for all, so that they do not come at once.
pub(crate) fn suggested(windows: &[Window], validity: (Timestamp, Timestamp), serial: &Serial) -> Stretch {
    let (not_before, not_after) = validity;
    let place = i64::try_from(serial.low_u64() >> 33).unwrap_or_default();
    if let Some(window) = renewal_window(windows, not_before, not_after) {
        let whole = window.end.seconds_since(window.start).max(1);
        let own = (whole / 4).max(1);
        let start = window.start.plus_seconds(place % (whole - own).max(1));
        return Stretch { start, end: start.plus_seconds(own) };
    }
    let life = not_after.seconds_since(not_before).max(1);
    let spread = (life / JITTER_SHARE).max(1);
    let start = not_before.plus_seconds(life * 2 / 3 + place % spread);
    Stretch { start, end: start.plus_seconds((spread / 2).max(1)) }
}

/// The time that an agent is told with its certificate: in a window early enough that its own jitter stays in it.
pub(crate) fn told_to_agent(windows: &[Window], certificate: &Certificate) -> Timestamp {
    let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
    let Some(window) = renewal_window(windows, not_before, not_after) else { return certificate.renew_at() };
    let own = not_after.seconds_since(window.start) / AGENTS_SHARE;
    let room = window.end.seconds_since(window.start) - own;
    let place = i64::try_from(certificate.serial().low_u64() >> 33).unwrap_or_default();
    window.start.plus_seconds(if room > 0 { place % room } else { 0 })
}

/// Until when a renewal that has not come is not late, if its window lies that far back in the lifetime.
pub(crate) fn patience(windows: &[Window], not_before: Timestamp, not_after: Timestamp) -> Option<Timestamp> {
    renewal_window(windows, not_before, not_after).map(|window| window.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_795_348_800);

    // R44: what is suggested lies in the window, and two certificates are not suggested the same time.
    #[test]
    fn holders_are_spread_over_their_sites_window_and_without_one_over_a_twelfth_of_a_lifetime() {
        let windows: Vec<Window> = vec!["sat 02:00-05:00 +01:00".parse().unwrap()];
        let validity = (START, START.plus_seconds(30 * 86_400));
        let window = renewal_window(&windows, validity.0, validity.1).unwrap();
        let mut starts = std::collections::BTreeSet::new();
        for n in 0u8..100 {
            let serial = Serial::from_random(crate::digest::sha256(&[n]).0[..16].try_into().unwrap());
            let found = suggested(&windows, validity, &serial);
            assert!(window.start <= found.start && found.end <= window.end && found.start < found.end);
            starts.insert(found.start.as_seconds() / 600);
            let usual = suggested(&[], validity, &serial);
            let from = usual.start.seconds_since(START);
            assert!((20 * 86_400..23 * 86_400).contains(&from), "{from}");
        }
        assert!(starts.len() > 6, "three hours, ten minutes each: {starts:?}");
    }
}
