//! History: log lines with their events, and the one fold of them to a device's state at a moment.

use std::collections::HashMap;

use lanyard_domain::access::ReleaseName;
use lanyard_domain::event::{Event, EventError, StreamKind};
use lanyard_domain::id::{DeviceId, OperatorId, ReleaseId, StreamId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::evaluate;
use lanyard_ledger::leaf::LeafHeader;

use super::authorities::Ended;
use super::claim::DeviceState;
use crate::world::{Origin, World};

/// One line of a log: its header, and its event unless the payload was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Header of the leaf.
    pub header: LeafHeader,
    /// What happened.
    pub event: Option<Event>,
}

impl Line {
    /// Reads the payload; its kind must be the header's.
    pub fn read(header: LeafHeader, payload: Option<&[u8]>) -> Result<Self, EventError> {
        let event = payload.map(|p| Event::from_payload(header.kind, p)).transpose()?;
        Ok(Self { header, event })
    }

    /// Its position.
    pub fn pos(&self) -> u64 {
        self.header.pos
    }

    /// Its time, by the log.
    pub fn time(&self) -> Timestamp {
        Timestamp::from_micros(self.header.time_micros)
    }

    /// Its stream.
    pub fn stream(&self) -> StreamId {
        StreamId::from_bytes(self.header.stream)
    }

    /// Who caused it.
    pub fn actor(&self) -> OperatorId {
        OperatorId::from_bytes(self.header.actor)
    }

    /// Whether it is of this stream.
    pub fn is_of(&self, kind: StreamKind, stream: impl Into<StreamId>) -> bool {
        self.header.stream_kind == kind as u8 && self.stream() == stream.into()
    }
}

/// Up to where the main log counts for a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Horizon {
    /// All that the log recorded up to this time.
    Time(Timestamp),
    /// All that a gateway had heard: up to and with this position.
    Heard(u64),
}

impl Horizon {
    /// Whether a leaf lies before it.
    pub fn includes(self, line: &Line) -> bool {
        match self {
            Horizon::Time(at) => line.time() <= at,
            Horizon::Heard(pos) => line.pos() <= pos,
        }
    }
}

/// Lines of the main log, by position.
#[derive(Debug, Clone, Default)]
pub struct History {
    lines: Vec<Line>,
}

impl History {
    /// Sorts; a line that was given twice counts once.
    pub fn new(mut lines: Vec<Line>) -> Self {
        lines.sort_by_key(Line::pos);
        lines.dedup_by_key(|line| line.pos());
        Self { lines }
    }

    /// All lines.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The lines of one stream.
    pub fn stream(&self, kind: StreamKind, stream: impl Into<StreamId>) -> impl Iterator<Item = &Line> {
        let stream = stream.into();
        self.lines.iter().filter(move |line| line.is_of(kind, stream))
    }

    /// The line at a position.
    pub fn at(&self, pos: u64) -> Option<&Line> {
        self.lines.binary_search_by_key(&pos, Line::pos).ok().and_then(|i| self.lines.get(i))
    }

    /// The last event of a device's chain within the horizon.
    pub fn as_of(&self, device: DeviceId, horizon: Horizon) -> Option<&Line> {
        self.stream(StreamKind::Device, device).filter(|line| horizon.includes(line)).last()
    }

    /// What the lines for which `counts` holds fold to.
    pub fn world(&self, counts: impl Fn(&Line) -> bool) -> World {
        let mut world = World::default();
        for line in self.lines.iter().filter(|line| counts(line)) {
            let origin = Origin {
                stream: line.stream(),
                stream_kind: line.header.stream_kind,
                pos: line.pos(),
                time: line.time(),
                actor: line.actor(),
            };
            world.apply(origin, line.event.as_ref());
        }
        world
    }
}

/// The device's state at `at`, from what lies within the horizon; none if the chain does not bring it into being.
/// Exporter and verifier both call this, and nothing else says what a chain means.
pub fn state_at(history: &History, id: DeviceId, horizon: Horizon, at: Timestamp) -> Option<DeviceState> {
    let counts = |line: &Line| {
        let of_interest =
            line.header.stream_kind == StreamKind::Release as u8 || line.is_of(StreamKind::Device, id);
        of_interest && horizon.includes(line)
    };
    let world = history.world(counts);
    let mut device = world.devices.get(&id)?.clone();
    let ended = Ended::of(history, |line| horizon.includes(line));
    device.certificates.retain(|c| ended.end_of(history, id, &c.sha256).is_none());
    let trust = evaluate(&device, &world.releases, at);
    let name = |id: Option<ReleaseId>| {
        id.and_then(|id| world.releases.get(&id))
            .map(|r| ReleaseName { id: r.id, version: r.record.version.clone() })
    };
    let evidence = device.evidence.as_ref();
    let valid = device.certificates.iter().filter(|c| c.not_before <= at && at <= c.not_after);
    Some(DeviceState {
        vendor: device.record.vendor.clone(),
        model: device.record.model.clone(),
        serial: device.record.serial.clone(),
        stage: device.stage.name().to_owned(),
        verdict: trust.verdict,
        strength: trust.strength,
        reasons: trust.reasons,
        firmware: name(evidence.and_then(|e| e.firmware)),
        ai_model: name(evidence.and_then(|e| e.model)),
        evidence_pos: evidence.map(|e| e.pos),
        evidence_sha256: evidence.map(|e| e.sha256),
        certificates: valid.map(|c| c.sha256).collect(),
    })
}

/// Operators by id, with the line that added each.
pub(super) fn operators(history: &History) -> HashMap<OperatorId, &Line> {
    let added = history.lines().iter().filter(|line| {
        line.header.stream_kind == StreamKind::Operator as u8 && line.header.kind == OPERATOR_ADDED
    });
    added.map(|line| (OperatorId::from(line.stream()), line)).collect()
}

/// Codes that are looked for where the payload may be erased (`Event::kind`).
pub(super) const OPERATOR_ADDED: u16 = 60;
pub(super) const OPERATOR_REMOVED: u16 = 61;
pub(super) const OPERATOR_KEY_REPLACED: u16 = 62;

/// SHA-256 as the ledger writes it.
pub(super) fn hash(digest: &Digest) -> lanyard_ledger::Hash {
    lanyard_ledger::Hash(digest.0)
}
