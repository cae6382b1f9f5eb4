//! One round: what is due for the holders of a compromised authority's certificates, and its end.
//!
//! A round reads the world and records what follows; a second one after it finds nothing to do. So it does not matter where a
//! stop interrupts it.

use lanyard_domain::application::Application;
use lanyard_domain::authority::AuthorityState;
use lanyard_domain::compromise::CompromiseMode;
use lanyard_domain::credential::Certificate;
use lanyard_domain::device::{self, Device};
use lanyard_domain::event::{AlarmCode, Event, RevocationReason};
use lanyard_domain::id::{ApplicationId, DeviceId, GatewayId, StreamId};
use lanyard_domain::time::Timestamp;
use lanyard_pki::serial::Serial;

use super::{Compromise, Holder};
use crate::carry_out::gateway_entry;
use crate::inventory::IssuerIndex;
use crate::journal::{Entry, Journal};
use crate::plane::{Control, ControlError, Extras};
use crate::upkeep::ITSELF;
use crate::world::{Gateway, World};

/// A gateway serves by its new certificate from the moment it has it; a minute for the handshakes that are under way.
const SETTLE_SECONDS: i64 = 60;

/// What a holder has beside certificates by the compromised authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Left {
    /// Nothing: it is off the air without them.
    #[default]
    Nothing,
    /// One that nobody saw it use: its answer may have been lost.
    Unseen,
    /// One that it uses.
    InUse,
}

/// What is to be done for a holder now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// It has no certificate by the compromised authority any more. That does not change again.
    Nothing,
    /// It may wait.
    Later,
    /// These are to be revoked.
    Revoke {
        /// Serial numbers.
        serials: Vec<String>,
        /// What it has beside them.
        left: Left,
    },
}

/// What a holder has, by issuer: certificates of the compromised authority, and whether it has others that count.
#[derive(Default)]
pub(super) struct Held {
    pub(super) by_it: Vec<Replaceable>,
    /// What else it has, for whichever use.
    pub(super) left: Left,
}

/// A certificate by the compromised authority.
pub(super) struct Replaceable {
    serial: String,
    /// Its holder has a successor of it by an authority that counts.
    pub(super) replaced: bool,
    /// And was seen to use it.
    in_use: bool,
}

impl Held {
    pub(super) fn of(world: &World, issuer: IssuerIndex, holder: Holder, now: Timestamp) -> Self {
        if let Some(device) = device(world, holder.id) {
            return of_holder(world, issuer, &device.certificates, now);
        }
        // An application's hosts do not show us which certificate they use: its old ones stand until the deadline.
        if let Some(application) = application(world, holder.id) {
            let mut held = of_holder(world, issuer, &application.certificates, now);
            held.by_it.iter_mut().for_each(|c| c.in_use = false);
            if held.left == Left::Unseen {
                held.left = Left::InUse;
            }
            return held;
        }
        gateway(world, holder.id)
            .map_or_else(Self::default, |gateway| of_gateway(world, issuer, gateway, now))
    }
}

fn of_holder(world: &World, issuer: IssuerIndex, certificates: &[Certificate], now: Timestamp) -> Held {
    let living = || certificates.iter().filter(|c| c.not_after > now);
    let counts = |c: &&Certificate| origin(world, &c.serial).is_some_and(|by| !is_compromised(world, by));
    let by_it = living().filter(|c| origin(world, &c.serial) == Some(issuer)).map(|certificate| {
        // One that is older is no successor: the holder has gone over from it to what must be replaced. Nor is one for another
        // use: it would lose the network with the certificate for that.
        let successors = || living().filter(counts).filter(|c| c.succeeds(certificate));
        Replaceable {
            serial: certificate.serial.clone(),
            replaced: successors().next().is_some(),
            in_use: successors().any(|c| c.seen_at.is_some()),
        }
    });
    let left = living().filter(counts).map(|c| if c.seen_at.is_some() { Left::InUse } else { Left::Unseen });
    Held { by_it: by_it.collect(), left: left.max().unwrap_or_default() }
}

fn of_gateway(world: &World, issuer: IssuerIndex, gateway: &Gateway, now: Timestamp) -> Held {
    let mut held = Held::default();
    let mut in_use = false;
    for certificate in gateway.certificates.iter().filter(|c| c.not_after > now) {
        let entry = certificate.serial.parse::<Serial>().ok().and_then(|s| world.inventory.entry(&s));
        match entry {
            Some(entry) if entry.issuer == issuer => held.by_it.push(Replaceable {
                serial: certificate.serial.clone(),
                replaced: false,
                in_use: false,
            }),
            Some(entry) if !is_compromised(world, entry.issuer) => {
                held.left = Left::InUse;
                in_use |= now.seconds_since(entry.not_before) >= SETTLE_SECONDS;
            }
            _ => {}
        }
    }
    for certificate in &mut held.by_it {
        (certificate.replaced, certificate.in_use) = (held.left == Left::InUse, in_use);
    }
    held
}

pub(super) fn device(world: &World, id: StreamId) -> Option<&Device> {
    world.devices.get(&DeviceId::from(id))
}

pub(super) fn application(world: &World, id: StreamId) -> Option<&Application> {
    world.applications.get(&ApplicationId::from(id))
}

pub(super) fn gateway(world: &World, id: StreamId) -> Option<&Gateway> {
    world.gateways.get(&GatewayId::from(id))
}

fn origin(world: &World, serial: &str) -> Option<IssuerIndex> {
    world.inventory.issuer_of(&serial.parse::<Serial>().ok()?)
}

fn is_compromised(world: &World, issuer: IssuerIndex) -> bool {
    let confirmed = world.compromises.iter().filter_map(|c| c.confirmed.as_ref());
    confirmed.filter_map(|c| c.issuer).any(|compromised| compromised == issuer)
}

pub(super) fn due(world: &World, compromise: &Compromise, holder: Holder, now: Timestamp) -> Due {
    let issuer = compromise.confirmed.as_ref().and_then(|c| c.issuer);
    let (Some(issuer), Some((_, deadline))) = (issuer, compromise.times(holder)) else { return Due::Nothing };
    let held = Held::of(world, issuer, holder, now);
    if held.by_it.is_empty() {
        return Due::Nothing;
    }
    let all = compromise.plan.mode == CompromiseMode::DistrustNow || now >= deadline;
    let serials: Vec<String> = held.by_it.into_iter().filter(|c| all || c.in_use).map(|c| c.serial).collect();
    match serials.is_empty() {
        true => Due::Later,
        false => Due::Revoke { serials, left: held.left },
    }
}

/// What a person has to hear of a device that has no other certificate in use at its deadline: its owner, on its chain.
fn off_the_air(name: &str, device: &Device, left: Left) -> Option<String> {
    let what = match left {
        Left::InUse => return None,
        Left::Nothing => "it has no other",
        Left::Unseen => "nobody saw it use the one that it was given: look whether it has it",
    };
    let owner = &device.record.owner;
    Some(format!(
        "issuer_compromised: its certificates by the compromised authority `{name}` were revoked and {what}; owner: {owner}"
    ))
}

impl<J: Journal> Control<J> {
    /// Authorities whose compromise is being carried out.
    pub fn running_compromises(&self) -> Vec<String> {
        let world = self.world();
        world.compromises.iter().filter(|c| c.is_running()).map(|c| c.name.clone()).collect()
    }

    /// Whether our own listeners show a certificate by a compromised authority.
    pub fn shows_compromised(&self) -> bool {
        let world = self.world();
        let issuers = world.compromised_issuers();
        issuers.replaced.iter().chain(&issuers.distrusted).any(|name| world.own.is_by(name))
    }

    /// Everyone who had a certificate by it, in the order in which they are told.
    pub fn affected(&self, name: &str) -> Vec<Holder> {
        let world = self.world();
        let confirmed = world.compromise_of(name).and_then(|c| c.confirmed.as_ref());
        confirmed.map(|c| c.holders.clone()).unwrap_or_default()
    }

    /// What is due for each of these. Give it some thousand at a time, as [`Control::drifted`].
    pub fn due_for(&self, name: &str, among: &[Holder], now: Timestamp) -> Vec<(Holder, Due)> {
        let world = self.world();
        let Some(compromise) = world.compromise_of(name) else { return Vec::new() };
        among.iter().map(|holder| (*holder, due(&world, compromise, *holder, now))).collect()
    }

    /// Revokes what is due for one holder; what it was told before counts no more, it is looked at again.
    pub async fn revoke_compromised(
        &self,
        name: &str,
        holder: Holder,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        let due = self.due_for(name, &[holder], now).pop();
        let Some((_, Due::Revoke { serials, left })) = due else { return Ok(()) };
        let reason = RevocationReason::IssuerCompromised;
        let id = holder.id;
        if device(&self.world(), id).is_some() {
            let id = DeviceId::from(id);
            self.on_device(id, ITSELF, now, Extras::default(), |_, device| {
                let current = |s: &&String| device.certificates.iter().any(|c| c.serial == **s);
                let revoke = |serial: &String| device::Command::RevokeOwn { serial: serial.clone(), reason };
                let mut commands: Vec<device::Command<'_>> =
                    serials.iter().filter(current).map(revoke).collect();
                // In one append with what it is about: a stop in between would swallow it.
                if let Some(detail) = off_the_air(name, device, left).filter(|_| !commands.is_empty()) {
                    commands.push(device::Command::RaiseAlarm { code: AlarmCode::RenewalLate, detail });
                }
                Ok(commands)
            })
            .await?;
            return Ok(());
        }
        if application(&self.world(), id).is_some() {
            self.on_application(id.into(), ITSELF, (None, Vec::new()), now, |application| {
                let current = |s: &&String| application.certificates.iter().any(|c| c.serial == **s);
                let revoke = |serial: &String| lanyard_domain::application::Command::RevokeOwn {
                    serial: serial.clone(),
                    reason,
                };
                Ok(serials.iter().filter(current).map(revoke).collect())
            })
            .await?;
            return Ok(());
        }
        self.revoke_gateways(id.into(), &serials, now).await
    }

    async fn revoke_gateways(
        &self,
        id: GatewayId,
        serials: &[String],
        now: Timestamp,
    ) -> Result<(), ControlError> {
        self.record(now, |world| {
            let Some(gateway) = world.gateways.get(&id) else { return Ok((Vec::new(), ())) };
            let current = |s: &&String| gateway.certificates.iter().any(|c| c.serial == **s);
            let revoked = |serial: &String| Event::CertificateRevoked {
                serial: serial.clone(),
                reason: RevocationReason::IssuerCompromised,
            };
            let events: Vec<Event> = serials.iter().filter(current).map(revoked).collect();
            let Some(first) = events.first() else { return Ok((Vec::new(), ())) };
            let mut entry = gateway_entry(id, ITSELF, gateway.seq, first.clone(), Vec::new());
            entry.events = events;
            Ok((vec![entry], ()))
        })
        .await?;
        Ok(())
    }

    /// Ends it: nothing by the authority is in use any more, and its own certificate is revoked. False while our own
    /// listeners still show a certificate by it.
    pub async fn end_compromise(&self, name: &str, now: Timestamp) -> Result<bool, ControlError> {
        let serial = {
            let world = self.world();
            let Some(known) = world.authorities.iter().find(|a| a.name == name) else { return Ok(false) };
            if world.authority_state(known) != AuthorityState::Compromised {
                return Ok(false);
            }
            let certificate = lanyard_pki::certificate::Certificate::parse(&known.certificate)
                .map_err(|e| ControlError::Bug(format!("the certificate of `{name}`: {e}")))?;
            if world.own.is_by(certificate.subject_der()) {
                return Ok(false);
            }
            certificate.serial().to_string()
        };
        let (appended, ()) = self
            .record(now, |world| {
                let of = world.authorities.iter().find(|a| a.name == name);
                let running = of.is_some_and(|a| world.authority_state(a) == AuthorityState::Compromised);
                let event = Event::AuthorityRevoked { name: name.to_owned(), serial: serial.clone() };
                let events = if running { vec![event] } else { Vec::new() };
                Ok((vec![Entry::system(world, ITSELF, events)], ()))
            })
            .await?;
        self.follow_authorities()?;
        Ok(appended.is_some())
    }
}
