//! An authority's key is in other hands, or may be: its fleet is re-enrolled in the order of clinical risk, and what it issued is
//! revoked, each certificate when its successor is in use, the authority itself at the end (R49, I7).
//!
//! All of it is folded from the log and decided anew in each round, so that a round can be repeated, and a start goes on where a
//! stop cut it short. Nobody is issued to by it from the confirmation on.
//!
//! In scope: what stands ([`Compromise`]), what is due ([`round`]), how far it is ([`progress`]). Out of scope: people's
//! decisions (`carry_out::compromise`), telling devices (their attestation's answer, ARI, gateways' feeds).

pub mod progress;
pub mod round;
#[cfg(test)]
mod tests;

use lanyard_domain::compromise::{CompromiseMode, CompromisePlan, RiskClass};
use lanyard_domain::event::{Event, StreamKind};
use lanyard_domain::id::{ApplicationId, DeviceId, GatewayId, OperatorId, StreamId};
use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::serial::Serial;
use serde::{Deserialize, Serialize};

use crate::inventory::IssuerIndex;
use crate::world::{Origin, World};

/// A device, application or gateway that had a certificate when the compromise was confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Holder {
    /// When it is told: those of more risk first.
    pub class: RiskClass,
    /// Which.
    pub id: StreamId,
}

/// The compromise of one authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compromise {
    /// Of which.
    pub name: String,
    /// Which issues in its place.
    pub successor: String,
    /// What two people decided.
    pub plan: CompromisePlan,
    /// Who said so; may not confirm it.
    pub declared_by: OperatorId,
    /// Set in force.
    pub confirmed: Option<Confirmed>,
    /// When nothing was left of it.
    pub ended: Option<Timestamp>,
}

/// What was found when it was set in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// When.
    pub at: Timestamp,
    /// The authority in the inventory; none if it never issued.
    pub issuer: Option<IssuerIndex>,
    /// Holders of its certificates, in the order in which they are told.
    pub holders: Vec<Holder>,
    /// How many of each class, in the order of [`RiskClass::ALL`].
    pub counts: [usize; 5],
}

impl Compromise {
    /// Confirmed, and not at its end.
    pub fn is_running(&self) -> bool {
        self.confirmed.is_some() && self.ended.is_none()
    }

    /// Whether nothing that its authority signed counts any more.
    pub fn is_distrusted(&self) -> bool {
        self.ended.is_some() || (self.confirmed.is_some() && self.plan.mode == CompromiseMode::DistrustNow)
    }

    /// When it is this holder's turn, and until when it may wait. `None` before the confirmation.
    pub fn times(&self, holder: Holder) -> Option<(Timestamp, Timestamp)> {
        let confirmed = self.confirmed.as_ref()?;
        let turn = self.plan.turn(confirmed.at, &confirmed.counts, holder.class, holder.id);
        let deadline = match self.plan.mode {
            CompromiseMode::DistrustNow => confirmed.at,
            CompromiseMode::ReplaceFirst => confirmed.at.plus_seconds(self.plan.deadlines.of(holder.class)),
        };
        Some((turn, deadline))
    }
}

impl World {
    /// What a compromise's events mean. True when everyone who keeps a view must take it anew.
    pub(crate) fn follow_compromise(&mut self, origin: Origin, event: &Event) -> bool {
        match event {
            Event::AuthorityCompromiseDeclared { name, successor, plan, .. } => {
                self.compromises.retain(|c| c.name != *name || c.confirmed.is_some());
                self.compromises.push(Compromise {
                    name: name.clone(),
                    successor: successor.clone(),
                    plan: *plan,
                    declared_by: origin.actor,
                    confirmed: None,
                    ended: None,
                });
                false
            }
            Event::AuthorityCompromiseConfirmed { name, .. } => {
                let issuer = self.issuer_named(name);
                let holders = issuer.map(|issuer| self.holders(issuer, origin.time)).unwrap_or_default();
                let counts = RiskClass::ALL.map(|class| holders.iter().filter(|h| h.class == class).count());
                let confirmed = Confirmed { at: origin.time, issuer, holders, counts };
                let Some(open) = self.compromises.iter_mut().rfind(|c| c.name == *name) else { return false };
                open.confirmed = Some(confirmed);
                let distrusted = open.is_distrusted().then_some(issuer).flatten();
                if let Some(issuer) = distrusted {
                    self.inventory.distrust(issuer, origin.time);
                }
                true
            }
            Event::AuthorityRevoked { name, .. } => {
                let issuer = self.issuer_named(name);
                if let Some(running) = self.compromises.iter_mut().rfind(|c| c.name == *name) {
                    running.ended = Some(origin.time);
                }
                // What is left are certificates of our own services that others took the place of.
                if let Some(issuer) = issuer {
                    self.inventory.distrust(issuer, origin.time);
                }
                true
            }
            _ => false,
        }
    }

    /// The compromise of the authority with this name that was confirmed.
    pub fn compromise_of(&self, name: &str) -> Option<&Compromise> {
        self.compromises.iter().find(|c| c.name == name && c.confirmed.is_some())
    }

    fn issuer_named(&self, name: &str) -> Option<IssuerIndex> {
        let known = self.authorities.iter().find(|a| a.name == name)?;
        let certificate = Certificate::parse(&known.certificate).ok()?;
        self.inventory.issuer(certificate.subject_der())
    }

    /// Who has a certificate by this authority that has not ended.
    fn holders(&self, issuer: IssuerIndex, now: Timestamp) -> Vec<Holder> {
        let mut found: Vec<Holder> = self
            .inventory
            .living(issuer, now)
            .filter_map(|entry| self.holder(entry.subject, entry.subject_kind))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The holder with this stream. Our own services are none: they are told by nobody.
    pub(crate) fn holder(&self, id: StreamId, kind: u8) -> Option<Holder> {
        let class = if kind == StreamKind::Device as u8 {
            RiskClass::Device(self.devices.get(&DeviceId::from(id))?.record.tier)
        } else if kind == StreamKind::Application as u8 {
            self.applications.get(&ApplicationId::from(id)).map(|_| RiskClass::Others)?
        } else {
            self.gateways.get(&GatewayId::from(id)).map(|_| RiskClass::Others)?
        };
        Some(Holder { class, id })
    }

    /// The compromise that is being carried out of the authority that issued this certificate.
    fn running_for(&self, serial: &Serial) -> Option<&Compromise> {
        if self.compromises.is_empty() {
            return None;
        }
        let issuer = self.inventory.issuer_of(serial)?;
        self.compromises.iter().find(|c| {
            c.is_running() && c.confirmed.as_ref().is_some_and(|confirmed| confirmed.issuer == Some(issuer))
        })
    }

    /// When the holder of this certificate is to replace it, because its authority is compromised.
    pub fn turn_of(&self, serial: &Serial) -> Option<Timestamp> {
        let compromise = self.running_for(serial)?;
        let entry = self.inventory.entry(serial)?;
        let holder = self.holder(entry.subject, entry.subject_kind)?;
        compromise.times(holder).map(|(turn, _)| turn)
    }

    /// Whether a certificate still counts as far as its authority is concerned.
    pub fn stands(&self, certificate: &lanyard_domain::device::Certificate) -> bool {
        if !self.compromises.iter().any(Compromise::is_distrusted) {
            return true;
        }
        certificate.serial.parse::<Serial>().is_ok_and(|serial| !self.inventory.is_revoked(&serial))
    }

    /// Names (DER) of the authorities whose compromise was confirmed: those that are being replaced, and those of which nothing
    /// counts any more.
    pub fn compromised_issuers(&self) -> CompromisedIssuers {
        let mut found = CompromisedIssuers::default();
        for compromise in self.compromises.iter().filter(|c| c.confirmed.is_some()) {
            let known = self.authorities.iter().find(|a| a.name == compromise.name);
            let certificate = known.and_then(|known| Certificate::parse(&known.certificate).ok());
            let Some(name) = certificate.map(|c| c.subject_der().to_vec()) else { continue };
            match compromise.is_distrusted() {
                true => found.distrusted.push(name),
                false => found.replaced.push(name),
            }
        }
        found
    }
}

/// Names of compromised authorities, DER.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompromisedIssuers {
    /// What they issued is to be replaced, and counts until then.
    pub replaced: Vec<Vec<u8>>,
    /// Nothing that they signed counts.
    pub distrusted: Vec<Vec<u8>>,
}
