//! The world: what all events of the log fold to, in memory. Rebuilt from the log at start, moved on in log order by
//! the journal, never written by anything else.
//!
//! In scope: its members, and which events reach which of them: a file for each kind of stream, what is found in it in
//! `look`. Out of scope: whether an event may be recorded; the inventory and compromises, which have files of their own. To add a
//! member: its encoding for snapshots (`crate::snapshot`).

mod authorities;
mod gateways;
mod holders;
mod known;
mod look;
mod system;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use lanyard_domain::application::Application;
use lanyard_domain::device::{Device, Recorded};
use lanyard_domain::event::{Event, StreamKind};
use lanyard_domain::id::{
    ApplicationId, DeviceId, GatewayId, IssuanceId, OperatorId, ReleaseId, SecretId, StreamId,
};
use lanyard_domain::maintenance::Window;
use lanyard_domain::operator::Operator;
use lanyard_domain::release::{Release, ReleaseState};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_domain::watched::Watched;
use lanyard_pki::certificate::Certificate;
use serde::{Deserialize, Serialize};

use crate::compromise::Compromise;
use crate::digest::sha256;
use crate::inventory::Inventory;
use crate::makers::{Finding, MakerList};
use crate::names::Own;
use crate::snapshot::{shared, sorted};

pub use known::{
    Account, Anchored, Endorsement, Gateway, GatewayCertificate, KnownAuthority, KnownProfile, OpenIntent,
    Subject,
};
pub use look::Described;

/// An RA's certificate is renewed every five days; clients that kept one for a month are still understood.
pub const MOST_RAS: usize = 7;

/// Everything that events fold to.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    /// Origin of the log, once it has started.
    pub origin: Option<String>,
    /// Next position.
    pub next_pos: u64,
    /// Time of the last event.
    pub last_time: Timestamp,
    /// Events so far in the system stream.
    pub system_seq: u64,
    /// Devices. In parts of their own in a snapshot.
    #[serde(skip)]
    pub devices: HashMap<DeviceId, Device>,
    #[serde(serialize_with = "sorted")]
    labels: HashMap<Digest, DeviceId>,
    #[serde(serialize_with = "sorted")]
    endorsement_keys: HashMap<Digest, DeviceId>,
    retiring: BTreeSet<DeviceId>,
    /// Releases.
    #[serde(serialize_with = "sorted")]
    pub releases: HashMap<ReleaseId, Release>,
    /// Operators.
    #[serde(serialize_with = "sorted")]
    pub operators: HashMap<OperatorId, Operator>,
    /// Events so far in each operator's stream.
    #[serde(serialize_with = "sorted")]
    pub operator_seq: HashMap<OperatorId, u64>,
    /// Position of each operator's first event.
    #[serde(serialize_with = "sorted")]
    pub operator_pos: HashMap<OperatorId, u64>,
    /// Keys that were some operator's until they were replaced: nobody's ever again.
    pub former_keys: BTreeSet<Digest>,
    /// Endorsement authorities.
    #[serde(with = "shared")]
    pub endorsements: Vec<Arc<Endorsement>>,
    /// Makers' lists of revoked certificates, each under its issuer and part.
    pub maker_lists: BTreeMap<Digest, MakerList>,
    /// By which certificates of their makers devices were shown.
    pub(crate) maker_certificates: BTreeSet<([u8; 16], DeviceId)>,
    /// What was drawn from lists for devices.
    pub(crate) maker_findings: BTreeSet<Finding>,
    /// Gateways.
    #[serde(serialize_with = "sorted")]
    pub gateways: HashMap<GatewayId, Gateway>,
    /// Our authorities, newest last.
    pub authorities: Vec<KnownAuthority>,
    /// What was about to be signed for ourselves or a gateway, and is neither recorded nor given up.
    pub open_intents: BTreeMap<IssuanceId, OpenIntent>,
    /// Certificates of the RAs that answer SCEP, by authority, newest last; at most [`MOST_RAS`] of each.
    #[serde(serialize_with = "sorted")]
    pub ras: HashMap<String, Vec<Vec<u8>>>,
    /// The newest certificate of each authority's OCSP responder.
    #[serde(serialize_with = "sorted")]
    pub responders: HashMap<String, Vec<u8>>,
    /// Certificate profiles by name.
    pub profiles: BTreeMap<String, KnownProfile>,
    /// Maintenance windows by site.
    pub maintenance: BTreeMap<String, Vec<Window>>,
    /// Compromises of authorities, oldest first.
    pub compromises: Vec<Compromise>,
    /// Certificates that have not ended.
    pub inventory: Inventory,
    /// Servers whose certificates are watched, by address.
    pub watched: BTreeMap<String, Watched>,
    /// Applications.
    #[serde(serialize_with = "sorted")]
    pub applications: HashMap<ApplicationId, Application>,
    #[serde(serialize_with = "sorted")]
    application_names: HashMap<String, ApplicationId>,
    /// The control plane's own listeners.
    pub own: Own,
    #[serde(serialize_with = "sorted")]
    accounts: HashMap<Digest, Account>,
    #[serde(serialize_with = "sorted")]
    account_ids: HashMap<AccountKey, Digest>,
    #[serde(serialize_with = "sorted")]
    secrets: HashMap<SecretId, Subject>,
    serial_numbers: BTreeSet<(SerialKey, DeviceId)>,
}

/// Where an event came from: the parts of a leaf header that the fold needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Stream.
    pub stream: StreamId,
    /// Its kind code.
    pub stream_kind: u8,
    /// Position.
    pub pos: u64,
    /// Time.
    pub time: Timestamp,
    /// Who.
    pub actor: OperatorId,
}

/// What an event touched, so that it can be told to those who keep a view of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touched {
    /// A device.
    Device(DeviceId),
    /// A release: every device that runs it may have changed.
    Release(ReleaseId),
    /// A gateway.
    Gateway(GatewayId),
    /// So much that every view has to be taken anew.
    Everyone,
    /// Nothing that anyone keeps a view of.
    Nothing,
}

/// The first bytes of a serial number's digest: what a million devices' index is sorted by in 24 bytes each.
type SerialKey = [u8; 8];

fn serial_key(serial: &str) -> SerialKey {
    sha256(serial.as_bytes()).0.first_chunk().copied().unwrap_or_default()
}

/// What an account's address is made of.
pub type AccountKey = [u8; 16];

/// The address of the account whose first key this is: nothing else needs to be recorded.
pub fn account_id(first: &Digest) -> AccountKey {
    first.0.first_chunk().copied().unwrap_or_default()
}

/// Opens an intent, and closes the one that was carried out or given up.
fn settle(open: &mut BTreeMap<IssuanceId, OpenIntent>, gateway: Option<GatewayId>, event: Option<&Event>) {
    match event {
        Some(Event::IssuanceIntended { issuance, serial, .. }) => {
            open.insert(*issuance, OpenIntent { serial: serial.clone(), gateway });
        }
        Some(Event::GatewayCertified { serial, .. }) => {
            open.retain(|_, intent| intent.gateway != gateway || intent.serial != *serial);
        }
        // Its own serial number, which the event does not repeat, names the intent.
        Some(Event::AuthorityCreated { certificate, .. }) => {
            if let Ok(made) = Certificate::parse(&certificate.0) {
                let serial = made.serial().to_string();
                open.retain(|_, intent| intent.serial != serial);
            }
        }
        Some(
            Event::IssuanceAbandoned { issuance, .. }
            | Event::ServerCertified { issuance, .. }
            | Event::ResponderCertified { issuance, .. }
            | Event::RaCertified { issuance, .. },
        ) => {
            open.remove(issuance);
        }
        _ => {}
    }
}

impl World {
    /// Folds one event in. A payload that was erased folds as nothing but its place in the stream.
    pub fn apply(&mut self, origin: Origin, event: Option<&Event>) -> Touched {
        self.next_pos = origin.pos + 1;
        self.last_time = self.last_time.max(origin.time);
        let recorded = Recorded { pos: origin.pos, time: origin.time };
        match origin.stream_kind {
            k if k == StreamKind::Device as u8 => self.apply_device(origin, event, recorded),
            k if k == StreamKind::Release as u8 => self.apply_release(origin, event),
            k if k == StreamKind::Operator as u8 => self.apply_operator(origin, event),
            k if k == StreamKind::Gateway as u8 => self.apply_gateway(origin, event),
            k if k == StreamKind::Application as u8 => self.apply_application(origin, event, recorded),
            _ => self.apply_system(origin, event),
        }
    }

    fn apply_release(&mut self, origin: Origin, event: Option<&Event>) -> Touched {
        let id = ReleaseId::from(origin.stream);
        if let Some(Event::ReleaseProposed { record, .. }) = event {
            self.releases.insert(
                id,
                Release {
                    id,
                    record: record.clone(),
                    state: ReleaseState::Proposed,
                    proposer: origin.actor,
                    seq: 0,
                },
            );
        }
        if let Some(release) = self.releases.get_mut(&id) {
            release.seq += 1;
            match event {
                Some(Event::ReleaseApproved { .. }) => release.state = ReleaseState::Approved,
                Some(Event::ReleaseWithdrawn { .. }) => release.state = ReleaseState::Withdrawn,
                _ => {}
            }
        }
        Touched::Release(id)
    }

    fn apply_operator(&mut self, origin: Origin, event: Option<&Event>) -> Touched {
        let id = OperatorId::from(origin.stream);
        *self.operator_seq.entry(id).or_default() += 1;
        match event {
            Some(Event::OperatorAdded { name, roles, public_key, .. }) => {
                let operator = Operator {
                    id,
                    name: name.clone(),
                    roles: roles.clone(),
                    public_key: *public_key,
                    active: true,
                };
                self.operators.insert(id, operator);
                self.operator_pos.insert(id, origin.pos);
            }
            Some(Event::OperatorRemoved { .. }) => {
                if let Some(operator) = self.operators.get_mut(&id) {
                    operator.active = false;
                }
            }
            Some(Event::OperatorKeyReplaced { public_key, .. }) => {
                // Whose addition was erased has no rights, and a key that stays known.
                let former = match self.operators.get_mut(&id) {
                    Some(operator) => std::mem::replace(&mut operator.public_key, *public_key),
                    None => *public_key,
                };
                self.former_keys.insert(former);
            }
            _ => {}
        }
        Touched::Nothing
    }

    fn take_stock(
        &mut self,
        origin: Origin,
        certificate: &[u8],
        serial: &str,
        validity: (Timestamp, Timestamp),
    ) {
        let subject = (origin.stream, origin.stream_kind);
        self.inventory.issued(certificate, serial, subject, (origin.pos, origin.time), validity);
    }
}
