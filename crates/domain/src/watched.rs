//! Servers of the hospital whose TLS certificates are watched, whoever issued them: PACS, EHR, RADIUS, gateways (R43, R51).
//!
//! What is here is the record, what was seen last, and when that is reason for an alarm. In scope: those rules. Out of scope:
//! connections, and where they may go (the server's configuration).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::text::{Digest, FieldError, check_slug, check_text};
use crate::time::Timestamp;

/// A PACS, an EHR, some RADIUS servers and gateways for each site of a group; a thousand is a network scan.
pub const MOST_WATCHED: usize = 1_000;
/// As devices': at four fifths of a lifetime whoever renews by hand has some days left.
const ENDING_PERCENT: i64 = 20;
/// Renewed before two thirds of its lifetime, a certificate was replaced for another reason.
const EARLY_PERCENT: i64 = 33;

/// What a hospital writes down about a server that it wants watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchRecord {
    /// `host:port`, the host a DNS name in lower case or an address (IPv6 in brackets).
    pub address: String,
    /// Site slug.
    pub site: String,
    /// Who answers for it now: a role or team address.
    pub owner: String,
    /// What depends on it, in a sentence.
    pub purpose: String,
}

impl WatchRecord {
    /// Checks every field; the first broken rule is named.
    pub fn check(&self) -> Result<(), FieldError> {
        check_slug("site", &self.site)?;
        check_text("owner", &self.owner, 128)?;
        check_text("purpose", &self.purpose, 256)?;
        host_and_port(&self.address).map(|_| ())
    }
}

/// Host and port of an address as it stands in a record: one spelling for one server.
pub fn host_and_port(address: &str) -> Result<(&str, u16), FieldError> {
    let bad = || {
        let rule = "must read host:port, the host a DNS name in lower case or an address, such as pacs.hospital.example:2762";
        FieldError::new("address", rule, address)
    };
    let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
    let number: u16 = port.parse().ok().filter(|n| *n > 0).ok_or_else(bad)?;
    if number.to_string() != port {
        return Err(bad());
    }
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let fits = match bracketed {
        Some(six) => six.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6() && ip.to_string() == six),
        None => {
            host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4() && ip.to_string() == host) || is_name(host)
        }
    };
    if fits { Ok((bracketed.unwrap_or(host), number)) } else { Err(bad()) }
}

/// RFC 1035 2.3.1 in lower case; the last label is not all digits, or it would be a misspelt address.
fn is_name(host: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253 && host.split('.').all(label) && !last.bytes().all(|b| b.is_ascii_digit())
}

/// A certificate as a server showed it; its own words, and nobody's proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenCertificate {
    /// SHA-256 of the DER.
    pub sha256: Digest,
    /// Subject, cut to 200 characters.
    pub subject: String,
    /// Issuer, cut to 200 characters.
    pub issuer: String,
    /// Serial number, hex.
    pub serial: String,
    /// From.
    pub not_before: Timestamp,
    /// To.
    pub not_after: Timestamp,
}

/// Why the owner of a watched server is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchAlarm {
    /// Another certificate long before the one before had to be renewed, by another issuer, or with an earlier end.
    Changed,
    /// A fifth of its lifetime is left.
    Ending,
    /// It has ended.
    Ended,
}

/// A server that is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// As people want it.
    pub record: WatchRecord,
    /// What it showed last.
    pub seen: Option<SeenCertificate>,
    /// What was told about that certificate.
    pub told: Vec<WatchAlarm>,
}

impl Watched {
    /// One that was not looked at yet.
    pub const fn new(record: WatchRecord) -> Self {
        Self { record, seen: None, told: Vec::new() }
    }

    /// Whether it is unexpected that `next` is shown from now on.
    pub fn is_unexpected(&self, next: &SeenCertificate, now: Timestamp) -> bool {
        let Some(before) = &self.seen else { return false };
        before.sha256 != next.sha256
            && (before.left_percent(now) > EARLY_PERCENT
                || before.issuer != next.issuer
                || next.not_after < before.not_after)
    }

    /// What its owner is to be told about the end of the certificate, and was not told yet.
    pub fn due(&self, now: Timestamp) -> Option<WatchAlarm> {
        let seen = self.seen.as_ref()?;
        let alarm = if now > seen.not_after {
            WatchAlarm::Ended
        } else if seen.left_percent(now) <= ENDING_PERCENT {
            WatchAlarm::Ending
        } else {
            return None;
        };
        (!self.told.contains(&alarm)).then_some(alarm)
    }
}

impl SeenCertificate {
    /// Share of the lifetime that is left, in per cent.
    pub fn left_percent(&self, now: Timestamp) -> i64 {
        let whole = self.not_after.seconds_since(self.not_before).max(1);
        self.not_after.seconds_since(now).max(0).saturating_mul(100) / whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(sha256: u8, issuer: &str, from: i64, to: i64) -> SeenCertificate {
        SeenCertificate {
            sha256: Digest([sha256; 32]),
            subject: "CN=pacs".into(),
            issuer: issuer.into(),
            serial: "01".into(),
            not_before: Timestamp::from_seconds(from),
            not_after: Timestamp::from_seconds(to),
        }
    }

    fn watched(seen: SeenCertificate) -> Watched {
        let record = WatchRecord {
            address: "pacs.hospital.example:2762".into(),
            site: "north".into(),
            owner: "imaging".into(),
            purpose: "images of the north".into(),
        };
        assert_eq!(record.check(), Ok(()));
        Watched { seen: Some(seen), ..Watched::new(record) }
    }

    // R43, R51
    #[test]
    fn the_owner_is_told_once_by_the_share_of_the_lifetime_that_is_left() {
        let mut watched = watched(seen(1, "CA", 0, 1_000));
        for (now, expected) in [
            (0, None),
            (790, None),
            (800, Some(WatchAlarm::Ending)),
            (1_000, Some(WatchAlarm::Ending)),
            (1_001, Some(WatchAlarm::Ended)),
        ] {
            assert_eq!(watched.due(Timestamp::from_seconds(now)), expected, "at {now}");
        }
        watched.told.push(WatchAlarm::Ending);
        assert_eq!(watched.due(Timestamp::from_seconds(900)), None);
        assert_eq!(watched.due(Timestamp::from_seconds(1_001)), Some(WatchAlarm::Ended));
        watched.told.push(WatchAlarm::Ended);
        assert_eq!(watched.due(Timestamp::from_seconds(9_999)), None);
    }

    #[test]
    fn a_renewal_is_expected_and_any_other_change_is_not() {
        let watched = watched(seen(1, "CA", 0, 1_000));
        for (next, now, unexpected, what) in [
            (seen(1, "CA", 0, 1_000), 100, false, "the same"),
            (seen(2, "CA", 700, 1_700), 700, false, "renewed in time"),
            (seen(2, "CA", 100, 1_100), 100, true, "long before its end"),
            (seen(2, "Other CA", 700, 1_700), 700, true, "by another issuer"),
            (seen(2, "CA", 0, 900), 800, true, "with an earlier end"),
            (seen(2, "CA", 2_000, 3_000), 2_000, false, "after its end"),
        ] {
            assert_eq!(watched.is_unexpected(&next, Timestamp::from_seconds(now)), unexpected, "{what}");
        }
        assert!(
            !Watched { seen: None, ..watched }
                .is_unexpected(&seen(9, "CA", 0, 1), Timestamp::from_seconds(0))
        );
    }

    // R10: one spelling for one server.
    #[test]
    fn an_address_has_one_spelling() {
        for good in ["pacs:2762", "pacs.hospital.example:443", "10.0.0.1:8443", "[2001:db8::1]:443"] {
            assert!(host_and_port(good).is_ok(), "{good}");
        }
        assert_eq!(host_and_port("[2001:db8::1]:443"), Ok(("2001:db8::1", 443)));
        for bad in [
            "",
            "pacs",
            "pacs:",
            "pacs:0",
            "pacs:0443",
            "pacs:65536",
            "PACS:443",
            "a b:443",
            ":443",
            "-a:443",
            "10.0.0.01:443",
            "10.0.0:443",
            "2001:db8::1:443",
            "[10.0.0.1]:443",
            "[2001:DB8::1]:443",
            "https://pacs:443",
            "user@pacs:443",
        ] {
            assert!(host_and_port(bad).is_err(), "{bad}");
        }
    }
}
