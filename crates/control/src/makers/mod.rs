//! What makers of devices say that they revoked: lists that people hand in, asked whenever hardware speaks for a device, and drawn
//! on for the devices that use it already.
//!
//! [`list`] reads and verifies one list, [`ask`] compares what a device shows with the lists that were taken, [`round`] finds
//! devices in use that a list names. The statement is carried out in `carry_out::makers`; the effect on one device is
//! `domain::device::makers`. In scope: lists of endorsement keys, factory certificates and attestation keys. Out of scope:
//! fetching (an operator, or their cron job, hands a file in), and our own lists ([`crate::revocation`]).

pub mod ask;
pub mod list;
pub mod round;

use std::collections::BTreeMap;

use lanyard_domain::event::Event;
use lanyard_domain::id::DeviceId;
use lanyard_domain::maker::MakerReason;
use lanyard_domain::statement::{Action, SignedStatement};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_pki::crl::Number;
use lanyard_pki::serial::Serial;
use serde::{Deserialize, Serialize};

use self::ask::certificate_key;
use self::list::{Contents, Form, Listed, verify};
use crate::world::World;

/// How long a list counts as current that does not say when the next one comes: RFC 5280 5.1.2.5 wants it said; a month is what
/// makers that forget it keep to.
pub const WITHOUT_NEXT_UPDATE_SECONDS: i64 = 30 * 86_400;
/// From here on before its end people are told that the next list is due: a week has working days in it.
pub const LAPSES_SOON_SECONDS: i64 = 7 * 86_400;
/// Some makers with some lists each.
pub const MOST_LISTS: usize = 256;

/// A list as the world keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakerList {
    /// The accepted authority that it was given for.
    pub authority: Digest,
    /// What kind it is.
    pub form: Form,
    /// Whose certificates it names.
    pub issuer: Digest,
    /// That issuer's name in words.
    pub issuer_name: String,
    /// Which part of them, when it is a list of a part.
    pub part: Option<String>,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Its number.
    pub number: Option<Number>,
    /// As of when.
    pub this_update: Timestamp,
    /// When the next one is there at the latest, as it says.
    pub next_update: Option<Timestamp>,
    /// Position of the event that took it.
    pub pos: u64,
    /// The certificates that it names.
    pub entries: BTreeMap<Serial, Listed>,
}

/// How a list stands with its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListStanding {
    /// The next one is not due.
    Current,
    /// It is time to fetch the next one.
    LapsesSoon,
    /// What it does not name is not known to be good any more.
    Stale,
}

impl MakerList {
    fn new(contents: Contents, authority: Digest, sha256: Digest, this_update: Timestamp, pos: u64) -> Self {
        Self {
            authority,
            form: contents.form,
            issuer: contents.issuer,
            issuer_name: contents.issuer_name,
            part: contents.part,
            sha256,
            number: contents.number,
            this_update,
            next_update: contents.next_update,
            pos,
            entries: contents.entries,
        }
    }

    /// Until when it is current.
    pub fn until(&self) -> Timestamp {
        self.next_update.unwrap_or(self.this_update.plus_seconds(WITHOUT_NEXT_UPDATE_SECONDS))
    }

    /// Whether it is out of date.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now > self.until()
    }

    /// How it stands with its age.
    pub fn standing(&self, now: Timestamp) -> ListStanding {
        match self.until().seconds_since(now) {
            left if left < 0 => ListStanding::Stale,
            left if left < self.told_before() => ListStanding::LapsesSoon,
            _ => ListStanding::Current,
        }
    }

    /// Of a list that lives for days only, the last third.
    fn told_before(&self) -> i64 {
        (self.until().seconds_since(self.this_update) / 3).min(LAPSES_SOON_SECONDS)
    }

    /// What people call it.
    pub fn name(&self) -> String {
        let number = self.number.map(|n| format!(" {n}")).unwrap_or_default();
        let part = self.part.as_ref().map(|part| format!(" ({part})")).unwrap_or_default();
        format!("list{number} of `{}`{part} as of {}", self.issuer_name, self.this_update)
    }
}

/// The list that a person's statement hands in: its bytes stand in the log once.
pub(crate) fn list_in(statement: &SignedStatement) -> Option<Vec<u8>> {
    match statement.parse().ok()?.action {
        Action::TakeMakerList { list, .. } => Some(list.0),
        _ => None,
    }
}

/// A certificate of a device that a list names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The list, as people call it.
    pub list: String,
    /// Its SHA-256.
    pub list_sha256: Digest,
    /// Whose certificates it names.
    pub issuer: Digest,
    /// The certificate.
    pub serial: Serial,
    /// What the list says of it.
    pub listed: Listed,
}

/// What was drawn from a list for a device: once for each certificate and reason.
pub(crate) type Finding = (DeviceId, [u8; 16], MakerReason);

impl World {
    /// A list was taken. What was drawn from the one before it and stands no longer in this one may be drawn again one day.
    pub(crate) fn take_maker_list(&mut self, event: &Event, pos: u64) {
        let Event::MakerListTaken { authority_sha256, issuers, list_sha256, this_update, statement, .. } =
            event
        else {
            return;
        };
        let Some(list) = list_in(statement) else { return };
        let issuers: Vec<&[u8]> = issuers.iter().map(|i| i.0.as_slice()).collect();
        let Some(authority) = self.endorsements.iter().find(|e| e.sha256 == *authority_sha256) else {
            return;
        };
        let contents = match verify(&list, &issuers, &authority.certificate) {
            Ok(contents) => contents,
            Err(error) => {
                // It was recorded by a program that could read it.
                tracing::error!(%error, pos, "a maker's list in the log cannot be used: take a newer one");
                return;
            }
        };
        let key = contents.key();
        let new = MakerList::new(contents, *authority_sha256, *list_sha256, *this_update, pos);
        if let Some(old) = self.maker_lists.insert(key, new) {
            let new = self.maker_lists.get(&key);
            let gone = |serial: &&Serial| !new.is_some_and(|list| list.entries.contains_key(*serial));
            let gone: std::collections::BTreeSet<[u8; 16]> = (old.entries.keys().filter(gone))
                .map(|serial| certificate_key(&old.issuer, serial))
                .collect();
            if !gone.is_empty() {
                self.maker_findings.retain(|(_, certificate, _)| !gone.contains(certificate));
            }
        }
    }

    /// What a device's events say of its maker's certificates.
    pub(crate) fn follow_makers(&mut self, device: DeviceId, event: &Event) {
        match event {
            Event::MakerCertificatesShown { endorsement_sha256, certificates, .. } => {
                let by_status = self.has_status_lists(endorsement_sha256);
                for certificate in certificates {
                    let Ok(serial) = certificate.serial.parse::<Serial>() else { continue };
                    let mut known = |issuer: &Digest| {
                        self.maker_certificates.insert((certificate_key(issuer, &serial), device));
                    };
                    known(&certificate.issuer_sha256);
                    if by_status {
                        known(endorsement_sha256);
                    }
                }
            }
            Event::MakerRevocationFound { issuer_sha256, serial, reason, .. } => {
                if let Ok(serial) = serial.parse::<Serial>() {
                    self.maker_findings.insert((device, certificate_key(issuer_sha256, &serial), *reason));
                }
            }
            _ => {}
        }
    }
}
