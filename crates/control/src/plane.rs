//! The control plane's heart: the world, the log, the authority's keys; and the one loop by which anything is recorded.

use std::borrow::Cow;
use std::sync::{Arc, RwLock, RwLockReadGuard};

use lanyard_domain::device::{Command, Context, Device, Refusal};
use lanyard_domain::event::{Event, StreamKind};
use lanyard_domain::id::{DeviceId, OperatorId, StreamId};
use lanyard_domain::statement::StatementError;
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::Reason;
use lanyard_enroll::secret::SecretKey;

use crate::alarm::Alarms;
use crate::authority::Authority;
use crate::carry_out::signed_with;
use crate::digest::NoRandomness;
use crate::journal::{Appended, Claim, Entry, Journal, JournalError};
use crate::pace::Paces;
use crate::renewals::Told;
use crate::world::World;

/// How often a decision is made again when the stream moved on: each retry means that somebody else made progress.
const ATTEMPTS: u32 = 16;

/// Why a use case did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// A rule said no.
    #[error("{}", .0.text)]
    Refused(#[from] Refused),
    /// The peer's bytes cannot be read.
    #[error("{field}: {reason}")]
    Malformed {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such thing.
    #[error("there is no {what} `{id}`")]
    NotFound {
        /// What was looked up.
        what: &'static str,
        /// By which id.
        id: String,
    },
    /// Ask again later.
    #[error("{0}")]
    Unavailable(String),
    /// Our own mistake.
    #[error("internal fault: {0}")]
    Bug(String),
}

/// A refusal with reasons.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refused {
    /// Stable code.
    pub code: String,
    /// A sentence.
    pub text: String,
    /// More reasons, for people.
    pub reasons: Vec<Reason>,
}

impl Refused {
    /// A refusal of `code`.
    pub fn new(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.to_owned(), text: text.into(), reasons: Vec::new() }
    }
    /// The same with reasons.
    pub fn because(mut self, reasons: Vec<Reason>) -> Self {
        self.reasons = reasons;
        self
    }
}

impl From<Refusal> for ControlError {
    fn from(refusal: Refusal) -> Self {
        Refused::new(refusal.code, refusal.text).into()
    }
}
impl From<NoRandomness> for ControlError {
    fn from(e: NoRandomness) -> Self {
        ControlError::Unavailable(e.to_string())
    }
}
impl From<StatementError> for ControlError {
    fn from(e: StatementError) -> Self {
        ControlError::Malformed { field: "statement", reason: e.to_string() }
    }
}

impl ControlError {
    /// Malformed input in `field`.
    pub fn malformed(field: &'static str, reason: impl ToString) -> Self {
        let reason = reason.to_string();
        // An error about a field names it already.
        let bare = reason.strip_prefix(field).and_then(|rest| rest.strip_prefix(": "));
        ControlError::Malformed { field, reason: bare.unwrap_or(&reason).to_owned() }
    }
    /// A refusal of `code`.
    pub fn refused(code: &str, text: impl Into<String>) -> Self {
        Refused::new(code, text).into()
    }
}

/// What one use case wants recorded, beyond one device's events.
#[derive(Debug, Clone, Default)]
pub struct Extras {
    /// Claims.
    pub claims: Vec<Claim>,
    /// Bytes to keep beside the events.
    pub blobs: Vec<Vec<u8>>,
    /// The statement that this carries out.
    pub once: Option<Digest>,
}

/// The control plane.
pub struct Control<J: Journal> {
    /// Folded state; moved on, in log order, by the journal only.
    pub world: Arc<RwLock<World>>,
    /// The log.
    pub journal: J,
    /// Issuing authority.
    pub authority: Authority,
    /// Authenticates what enrolling devices bring back; lives as long as the process (a restart makes them begin again).
    pub(crate) enroll_key: [u8; 32],
    /// One-time enrollment secrets are derived from it.
    pub(crate) secrets: SecretKey,
    /// Bounds recorded alarms.
    pub(crate) alarms: Alarms,
    /// Late renewals that an alarm was raised for.
    pub(crate) told: Told,
    /// Bounds what one peer can have recorded.
    pub(crate) paces: Paces,
    /// Held while the set of operators or of applications changes: rules about all of them (the first, the last admin, one
    /// key for one person, one owner for a name) span streams, and the log's own check is by stream.
    pub(crate) operators: futures_util::lock::Mutex<()>,
    /// Held while an authority is made: an operator's call and a worker must not make one twice.
    pub(crate) making: futures_util::lock::Mutex<()>,
}

impl<J: Journal> Control<J> {
    /// A control plane over a world that has already been folded.
    pub fn new(
        world: Arc<RwLock<World>>,
        journal: J,
        authority: Authority,
        secrets: SecretKey,
    ) -> Result<Self, ControlError> {
        Ok(Self {
            world,
            journal,
            authority,
            enroll_key: crate::digest::random()?,
            secrets,
            alarms: Alarms::default(),
            told: Told::default(),
            paces: Paces::default(),
            operators: futures_util::lock::Mutex::default(),
            making: futures_util::lock::Mutex::default(),
        })
    }

    /// The world as of now. Never hold it over an await.
    pub fn world(&self) -> RwLockReadGuard<'_, World> {
        // A poisoned lock means that a fold panicked; folds have no panics, and a stale world is still a consistent one.
        self.world.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Decides on the newest world and records, again and again until no one was faster.
    pub(crate) async fn record<T>(
        &self,
        now: Timestamp,
        decide: impl Fn(&World) -> Result<(Vec<Entry>, T), ControlError> + Send + Sync,
    ) -> Result<(Option<Appended>, T), ControlError>
    where
        T: Send,
    {
        for _ in 0..ATTEMPTS {
            let (entries, reply) = {
                let world = self.world();
                let (mut entries, reply) = decide(&world)?;
                entries.retain(|e| !e.events.is_empty());
                entries.iter_mut().try_for_each(|entry| by_somebody_in_office(&world, entry))?;
                (entries, reply)
            };
            if entries.is_empty() {
                return Ok((None, reply));
            }
            match self.journal.append(entries, now).await {
                Ok(appended) => return Ok((Some(appended), reply)),
                Err(JournalError::Conflict) => {}
                Err(JournalError::ClaimTaken { space, owner }) => return Err(claim_taken(space, owner)),
                Err(repeated @ JournalError::Repeated(_)) => {
                    return Err(ControlError::refused("statement_replayed", repeated.to_string()));
                }
                Err(e) => return Err(ControlError::Unavailable(e.to_string())),
            }
        }
        Err(ControlError::Unavailable("too many changes to the same object at once; try again".to_owned()))
    }

    /// Records the events that commands to one device lead to, each decided on the state after the one before.
    pub(crate) async fn on_device<'a>(
        &self,
        id: DeviceId,
        actor: OperatorId,
        now: Timestamp,
        extras: Extras,
        commands: impl Fn(&World, &Device) -> Result<Vec<Command<'static>>, ControlError> + Send + Sync + 'a,
    ) -> Result<Option<Appended>, ControlError> {
        let (appended, ()) = self
            .record(now, |world| {
                let device = find(world, id)?;
                let events = decide_all(world, device, commands(world, device)?, now)?;
                Ok((vec![device_entry(device, actor, events, extras.clone())], ()))
            })
            .await?;
        Ok(appended)
    }
}

/// Whoever signed may have been removed, or their key replaced, since the signature was checked; what their statement leads to
/// is recorded only while they are in office with that key, and an end of either in between is a conflict.
fn by_somebody_in_office(world: &World, entry: &mut Entry) -> Result<(), ControlError> {
    if entry.once.is_none() {
        return Ok(());
    }
    let by = entry.actor;
    let Some(person) = world.operators.get(&by).filter(|by| by.active) else {
        return Err(ControlError::refused(
            "operator_unknown",
            format!("operator {by} is not known or no longer active"),
        ));
    };
    let stream = StreamId::from(by);
    let seq = world.operator_seq.get(&by).copied().unwrap_or_default();
    // Nothing but their addition: the key is the one that was checked.
    if seq > 1 {
        let statements = entry.events.iter().filter_map(Event::statement);
        statements.into_iter().try_for_each(|signed| signed_with(signed, &person.public_key))?;
    }
    if stream != entry.stream {
        entry.steady.push((stream, seq));
    }
    Ok(())
}

/// The device, or that there is none.
pub(crate) fn find(world: &World, id: DeviceId) -> Result<&Device, ControlError> {
    world.devices.get(&id).ok_or_else(|| ControlError::NotFound { what: "device", id: id.to_string() })
}

/// The events of several commands in a row.
pub(crate) fn decide_all(
    world: &World,
    device: &Device,
    commands: Vec<Command<'_>>,
    now: Timestamp,
) -> Result<Vec<Event>, ControlError> {
    let context = Context { now, releases: &world.releases };
    let mut device = Cow::Borrowed(device);
    let mut events = Vec::new();
    let mut commands = commands.into_iter().peekable();
    while let Some(command) = commands.next() {
        let transition = device.decide(command, context)?;
        // What the last one leads to nobody here decides on.
        if commands.peek().is_some() {
            let mut after = device.into_owned();
            for event in &transition.events {
                let recorded = lanyard_domain::device::Recorded { pos: after.last_pos, time: now };
                after = after.apply(event, OperatorId::from_bytes([0; 16]), recorded);
            }
            device = Cow::Owned(after);
        }
        events.extend(transition.events);
    }
    Ok(events)
}

/// An entry in a device's stream.
pub(crate) fn device_entry(device: &Device, actor: OperatorId, events: Vec<Event>, extras: Extras) -> Entry {
    let entry = Entry::new((device.id.into(), StreamKind::Device), device.seq, actor, events);
    Entry { claims: extras.claims, once: extras.once, blobs: extras.blobs, ..entry }
}

fn claim_taken(space: crate::journal::Space, owner: StreamId) -> ControlError {
    use crate::journal::Space;
    let (code, text) = match space {
        Space::Label => ("label_taken", "vendor, model and serial number are already registered as device"),
        Space::EndorsementKey => ("hardware_key_reused", "this endorsement key already belongs to device"),
        Space::AttestationKey => ("hardware_key_reused", "this attestation key already belongs to device"),
        Space::TlsKey => ("key_reused", "this key already belongs to"),
    };
    ControlError::refused(code, format!("{text} {owner}"))
}

#[cfg(test)]
pub(crate) mod tests;
