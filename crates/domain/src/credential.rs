//! What devices and applications have in common as holders of certificates: certificates, intents, one-time secrets, and the
//! rules about them that do not ask whose they are.
//!
//! In scope: what is held, and its bounds. Out of scope: who may hold it (`device::credentials`, `application::decide`).

use serde::{Deserialize, Serialize};

use crate::device::{Recorded, Refusal};
use crate::event::Event;
use crate::id::{IssuanceId, SecretId};
use crate::text::Digest;
use crate::time::Timestamp;

/// A secret that is printed on a work order and used when the device is unpacked: a month, no longer.
pub const LONGEST_SECRET_SECONDS: i64 = 30 * 86_400;

/// A certificate that may still be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Serial number, hex.
    pub serial: String,
    /// SHA-256 of the DER.
    pub sha256: Digest,
    /// SHA-256 of the key's SubjectPublicKeyInfo.
    pub spki_sha256: Digest,
    /// From.
    pub not_before: Timestamp,
    /// To.
    pub not_after: Timestamp,
    /// Position of the event that has its bytes.
    pub pos: u64,
    /// Which profile it was made by; empty where the intent's payload was erased.
    pub profile: Box<str>,
    /// When it was first seen in use.
    pub seen_at: Option<Timestamp>,
}

impl Certificate {
    /// The one that a `CertificateIssued` event records, whose intent leaves `pending`; of any other event, none.
    pub(crate) fn issued(event: &Event, pending: &mut Vec<Intended>, recorded: Recorded) -> Option<Self> {
        let Event::CertificateIssued {
            issuance,
            serial,
            certificate_sha256,
            spki_sha256,
            not_before,
            not_after,
            ..
        } = event
        else {
            return None;
        };
        let intended = pending.iter().position(|p| p.issuance == *issuance);
        let profile = intended.map(|at| pending.swap_remove(at).profile).unwrap_or_default();
        Some(Self {
            serial: serial.clone(),
            sha256: *certificate_sha256,
            spki_sha256: *spki_sha256,
            not_before: *not_before,
            not_after: *not_after,
            pos: recorded.pos,
            profile,
            seen_at: None,
        })
    }

    /// Whether it is there to take that one's place: a later one by the same profile. One for another use (a second network
    /// port, mail) is no successor; where a class gets another profile, what stands by the old one ends on its day.
    pub fn succeeds(&self, older: &Self) -> bool {
        self.profile == older.profile && self.pos > older.pos
    }

    /// Drops what has ended at `now`, but for what its holder may have to renew by still: of each profile the last one that was seen
    /// in use (the oldest, if none was), as long as no successor was. The answer to a renewal may have been lost.
    pub(crate) fn drop_ended(all: &mut Vec<Self>, now: Timestamp) {
        let has_ended = |c: &&Self| c.not_after <= now;
        if !all.iter().any(|c| has_ended(&c)) {
            return;
        }
        let is_needed = |ended: &&Self| {
            let of_its_use = || all.iter().filter(has_ended).filter(|c| c.profile == ended.profile);
            let last = of_its_use().rfind(|c| c.seen_at.is_some()).or_else(|| of_its_use().next());
            last.is_some_and(|last| last.pos == ended.pos)
                && !all.iter().any(|c| c.seen_at.is_some() && c.succeeds(ended))
        };
        let needed: Vec<u64> = all.iter().filter(has_ended).filter(is_needed).map(|c| c.pos).collect();
        all.retain(|c| c.not_after > now || needed.contains(&c.pos));
    }

    /// Whether it is one of these.
    pub(crate) fn is_current(serial: &str, among: &[Self]) -> Result<(), Refusal> {
        if among.iter().any(|c| c.serial == serial) {
            return Ok(());
        }
        Err(Refusal::new(
            "certificate_not_current",
            format!("`{serial}` is not the serial number of a current certificate of this holder"),
        ))
    }

    /// Whether a holder of these may have another. A certificate or two for each use and their successors are needed; more is
    /// a loop, and all of it stands in memory.
    pub(crate) fn leaves_room(among: &[Self], most: usize, now: Timestamp) -> Result<(), Refusal> {
        if among.iter().filter(|c| c.not_after > now).count() < most {
            return Ok(());
        }
        Err(Refusal::new(
            "too_many_certificates",
            format!(
                "its holder has {most} certificates that have not ended; look for a loop in it, and revoke those that are \
                 not used: `lanyard cert ls`, `lanyard cert revoke`"
            ),
        ))
    }
}

/// An issuance whose certificate is not recorded yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intended {
    /// Which.
    pub issuance: IssuanceId,
    /// By which profile.
    pub profile: Box<str>,
}

impl Intended {
    /// Whether this issuance is one of those.
    pub(crate) fn is_among(issuance: IssuanceId, pending: &[Self]) -> Result<(), Refusal> {
        if pending.iter().any(|p| p.issuance == issuance) {
            return Ok(());
        }
        Err(Refusal::new("not_intended", format!("issuance {issuance} was not recorded as intended")))
    }

    /// Those after an event that intends an issuance or gives one up.
    pub(crate) fn follow(pending: &mut Vec<Self>, event: &Event) {
        match event {
            Event::IssuanceIntended { issuance, profile, .. } => {
                pending.push(Self { issuance: *issuance, profile: profile.as_str().into() });
            }
            Event::IssuanceAbandoned { issuance, .. } => pending.retain(|p| p.issuance != *issuance),
            _ => {}
        }
    }
}

/// A one-time enrollment secret that was given out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSecret {
    /// Which.
    pub id: SecretId,
    /// Until when it is good.
    pub expires: Timestamp,
    /// The key that it was used for.
    pub used_for: Option<Digest>,
    /// Whether a certificate for that key was issued: from then on it gives no other one.
    pub answered: bool,
}

impl OpenSecret {
    /// One that nobody has used.
    pub(crate) fn new(id: SecretId, expires: Timestamp) -> Self {
        Self { id, expires, used_for: None, answered: false }
    }

    /// Whether one may be made that ends at `expires`.
    pub(crate) fn may_end_at(expires: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        if (1..=LONGEST_SECRET_SECONDS).contains(&expires.seconds_since(now)) {
            return Ok(());
        }
        let days = LONGEST_SECRET_SECONDS / 86_400;
        Err(Refusal::new(
            "secret_lifetime",
            format!("an enrollment secret must end within {days} days from now"),
        ))
    }

    /// The holder's last one after an event that makes one or uses it.
    pub(crate) fn follow(last: &mut Option<Box<Self>>, event: &Event) {
        match event {
            Event::EnrollmentSecretIssued { secret, expires, .. } => {
                *last = Some(Box::new(Self::new(*secret, *expires)));
            }
            Event::EnrollmentSecretUsed { secret, spki_sha256 } => {
                if let Some(open) = last.as_mut().filter(|s| s.id == *secret) {
                    open.used_for = Some(*spki_sha256);
                }
            }
            _ => {}
        }
    }
}
