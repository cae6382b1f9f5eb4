//! Collect: from loaded leaves to a claim, and from a closed chain to the bundle's bytes. Loads nothing itself.
//!
//! The exporter's steps: load the device's chain and, of the system stream, [`SYSTEM_KINDS`]; call [`related`] and load what it names, until
//! it names nothing new; [`make_claim`]; have an operator sign its digest and append `EvidenceExported`; wait for a
//! checkpoint over that; load again, [`assemble`].

use std::collections::{BTreeSet, HashMap};

use lanyard_domain::event::{Event, EventError, StreamKind};
use lanyard_domain::id::{DeviceId, GatewayId, OperatorId, ReleaseId};
use lanyard_domain::release::Release;
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_ledger::Hash;
use lanyard_ledger::bundle::{BuildError, Builder, Opening, Outcome, TrustPolicy};
use lanyard_ledger::leaf::LeafHeader;
use lanyard_ledger::note::{Note, NoteError};

use super::authorities::{above, is_ending, named};
use super::claim::{CLAIM_FORMAT, Claim, ClaimError, ReadingFacts};
use super::history::{
    History, Horizon, Line, OPERATOR_ADDED, OPERATOR_KEY_REPLACED, OPERATOR_REMOVED, state_at,
};
use super::verify::{signed_by, verify};
use crate::digest::sha256;

/// Kinds of the system stream that a bundle can need; the stream's others (idle marks) need not be loaded.
pub const SYSTEM_KINDS: [u16; 9] = [100, 101, 102, 103, 109, 114, 115, 117, 118];

/// A leaf as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLeaf {
    /// The bytes that the tree hashes.
    pub entry: Vec<u8>,
    /// Its header.
    pub header: LeafHeader,
    /// Salt of the commitment; none once erased.
    pub salt: Option<[u8; 32]>,
    /// Payload; none once erased.
    pub payload: Option<Vec<u8>>,
}

impl StoredLeaf {
    /// The leaf with its event read.
    pub fn line(&self) -> Result<Line, CollectError> {
        Line::read(self.header, self.payload.as_deref())
            .map_err(|source| CollectError::Event { pos: self.header.pos, source })
    }
}

/// What a claim is to be about.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// The device's state at this time.
    Device {
        /// When.
        at: Timestamp,
    },
    /// A reading that a gateway let through: its two lines in the gateway's log.
    Reading {
        /// `AccessDecided`.
        decided: &'a Line,
        /// `AccessCompleted` of the same decision.
        completed: &'a Line,
    },
}

/// Why there is no claim or no bundle.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// A stored payload cannot be read.
    #[error("the event at position {pos} cannot be read")]
    Event {
        /// Where.
        pos: u64,
        /// Why.
        #[source]
        source: EventError,
    },
    /// The device did not exist at that time.
    #[error("device {0} has no state at that time: it was registered later, or its record was erased")]
    NoState(DeviceId),
    /// The future cannot be proven.
    #[error("`{0}` has not come yet; ask for a time in the past")]
    Future(Timestamp),
    /// Lines that do not make a reading.
    #[error("the gateway's lines are not a decision and its completion for this device")]
    NotAReading,
    /// No leaf closes the claim.
    #[error("no `evidence_exported` event of device {0} holds the claim's digest; append it first")]
    NotClosed(DeviceId),
    /// Claim.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// A checkpoint that is no note.
    #[error("the checkpoint cannot be read: {0}")]
    Note(#[from] NoteError),
    /// An inclusion proof could not be had.
    #[error("no inclusion proof for position {pos}: {why}")]
    Proof {
        /// Of which leaf.
        pos: u64,
        /// Why.
        why: String,
    },
    /// The structure does not hold.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Our own verifier says no: such a file is not handed out.
    #[error("the bundle does not verify: {0}")]
    Contradicted(String),
}

/// What else must be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Related {
    /// Operator streams: everyone who signed something that is shown.
    pub operators: Vec<OperatorId>,
    /// Release streams: all of this vendor and model, so that appraisals can be repeated.
    pub releases: Vec<ReleaseId>,
    /// Gateway stream: admission, and the one anchor that covers the decision.
    pub gateway: Option<GatewayId>,
    /// Endorsement authorities (certificate digests) in the system stream.
    pub endorsements: Vec<Digest>,
    /// Makers' lists by SHA-256, in the system stream.
    pub maker_lists: Vec<Digest>,
    /// Kept bytes by SHA-256: the attestation evidence.
    pub attachments: Vec<Digest>,
}

/// What else a bundle about this device needs, given what is loaded so far and all releases that are known. Call it
/// again after loading: added operators have signers too.
pub fn related(
    loaded: &History,
    device: DeviceId,
    known: &HashMap<ReleaseId, Release>,
    claim: Option<&Claim>,
) -> Related {
    let reading = claim.and_then(|c| c.reading.as_ref());
    let chain = || loaded.stream(StreamKind::Device, device).filter_map(|line| line.event.as_ref());
    let mut releases = BTreeSet::new();
    let mut endorsements = BTreeSet::new();
    let mut lists = BTreeSet::new();
    for event in chain() {
        match event {
            Event::DeviceRegistered { record, .. } => {
                let same = |r: &&Release| r.record.vendor == record.vendor && r.record.model == record.model;
                releases.extend(known.values().filter(same).map(|r| r.id));
            }
            Event::EvidenceAppraised { firmware, model, .. } => {
                releases.extend(firmware.iter().chain(model).copied());
            }
            Event::IdentityBound { endorsement_sha256, .. } => {
                endorsements.insert(*endorsement_sha256);
            }
            Event::MakerCertificatesShown { lists: asked, .. } => lists.extend(asked.iter().copied()),
            Event::MakerRevocationFound { list_sha256, .. } => {
                lists.insert(*list_sha256);
            }
            _ => {}
        }
    }
    // A list proves nothing without the authority that it is of.
    endorsements.extend(loaded.lines().iter().filter_map(|line| match &line.event {
        Some(Event::MakerListTaken { list_sha256, authority_sha256, .. }) if lists.contains(list_sha256) => {
            Some(*authority_sha256)
        }
        _ => None,
    }));
    let authorities = above(loaded, device);
    let keep = Keep {
        loaded,
        device,
        gateway: reading.map(|r| r.gateway),
        endorsements: &endorsements,
        authorities: &authorities,
        lists: &lists,
    };
    let signers = loaded.lines().iter().filter(|line| keep.but_operators(line)).filter_map(signed_by);
    let mut operators: BTreeSet<OperatorId> = signers.collect();
    loop {
        let added = |id: &OperatorId| {
            loaded.stream(StreamKind::Operator, *id).filter_map(signed_by).collect::<Vec<_>>()
        };
        let more: Vec<OperatorId> =
            operators.iter().flat_map(added).filter(|id| !operators.contains(id)).collect();
        if more.is_empty() {
            break;
        }
        operators.extend(more);
    }
    Related {
        operators: operators.into_iter().collect(),
        releases: releases.into_iter().collect(),
        gateway: reading.map(|r| r.gateway),
        attachments: claim.and_then(|c| c.state.evidence_sha256).into_iter().collect(),
        endorsements: endorsements.into_iter().collect(),
        maker_lists: lists.into_iter().collect(),
    }
}

/// Which loaded lines belong into the bundle; nobody's name goes out that the claim does not rest on.
struct Keep<'a> {
    loaded: &'a History,
    device: DeviceId,
    gateway: Option<GatewayId>,
    endorsements: &'a BTreeSet<Digest>,
    /// Above the device's certificates: what ended one of them decides about the claim.
    authorities: &'a BTreeSet<String>,
    lists: &'a BTreeSet<Digest>,
}

impl Keep<'_> {
    fn but_operators(&self, line: &Line) -> bool {
        match line.header.stream_kind {
            k if k == StreamKind::Device as u8 => line.is_of(StreamKind::Device, self.device),
            k if k == StreamKind::Release as u8 => true,
            k if k == StreamKind::Gateway as u8 => self.gateway.is_some_and(|id| {
                let wanted = matches!(
                    line.event,
                    Some(Event::GatewayAdded { .. } | Event::GatewayCheckpointAnchored { .. })
                );
                wanted && line.is_of(StreamKind::Gateway, id)
            }),
            k if k == StreamKind::System as u8 && is_ending(line) => {
                // Where nothing says whose end it was, it may be one of these.
                named(line).is_none_or(|name| self.authorities.contains(name))
            }
            k if k == StreamKind::System as u8 => match &line.event {
                Some(
                    Event::LedgerStarted { .. }
                    | Event::AuthorityCreated { .. }
                    | Event::AuthorityImported { .. },
                ) => true,
                Some(Event::EndorsementAdded { certificate_sha256, .. }) => {
                    self.endorsements.contains(certificate_sha256)
                }
                Some(Event::MakerListTaken { list_sha256, .. }) => self.lists.contains(list_sha256),
                Some(Event::PayloadErased { pos, .. }) => {
                    self.loaded.at(*pos).is_some_and(|erased| erased.is_of(StreamKind::Device, self.device))
                }
                _ => false,
            },
            _ => false,
        }
    }
}

/// The claim about `subject`, from the device's chain and its releases. `now` only refuses claims about the future.
pub fn make_claim(
    history: &History,
    origin: &str,
    device: DeviceId,
    subject: Subject<'_>,
    now: Timestamp,
) -> Result<Claim, CollectError> {
    let (at, horizon, reading) = match subject {
        Subject::Device { at } => (at, Horizon::Time(at), None),
        Subject::Reading { decided, completed } => {
            let (heard, facts) = reading(device, decided, completed)?;
            (decided.time(), Horizon::Heard(heard), Some(facts))
        }
    };
    if at > now {
        return Err(CollectError::Future(at));
    }
    let as_of = history.as_of(device, horizon).ok_or(CollectError::NoState(device))?;
    let state = state_at(history, device, horizon, at).ok_or(CollectError::NoState(device))?;
    Ok(Claim {
        format: CLAIM_FORMAT.to_owned(),
        origin: origin.to_owned(),
        device,
        at,
        as_of_pos: as_of.pos(),
        state,
        reading,
    })
}

fn reading(device: DeviceId, decided: &Line, completed: &Line) -> Result<(u64, ReadingFacts), CollectError> {
    let (
        Some(Event::AccessDecided(record)),
        Some(Event::AccessCompleted { decision, status, location, response_sha256 }),
    ) = (&decided.event, &completed.event)
    else {
        return Err(CollectError::NotAReading);
    };
    if record.decision != *decision || record.device != Some(device) {
        return Err(CollectError::NotAReading);
    }
    let facts = ReadingFacts {
        gateway: record.gateway,
        location: location.clone(),
        decision: record.decision,
        decided_at: decided.time(),
        allowed: record.allowed,
        verdict: record.verdict,
        certificate_sha256: record.certificate_sha256,
        request_sha256: record.request_sha256,
        forwarded_sha256: record.forwarded_sha256,
        response_sha256: *response_sha256,
        status: *status,
    };
    Ok((record.heard_pos, facts))
}

/// Where an inclusion proof comes from: position to path, for the size of the checkpoint given beside it.
pub type ProofSource<'a> = &'a dyn Fn(u64) -> Result<Vec<Hash>, String>;

/// A gateway's log.
pub struct GatewayPart<'a> {
    /// Its verifier key.
    pub vkey: &'a str,
    /// Its checkpoint exactly as the main log anchored it.
    pub note: &'a str,
    /// The decision and its completion.
    pub leaves: Vec<StoredLeaf>,
    /// Proofs to that checkpoint.
    pub proof: ProofSource<'a>,
}

/// All that a bundle is made of.
pub struct Parts<'a> {
    /// The claim, as signed.
    pub claim: &'a str,
    /// The main log's verifier key.
    pub vkey: &'a str,
    /// A checkpoint of it that covers the closing leaf.
    pub note: &'a str,
    /// Verifier keys of witnesses whose lines are kept.
    pub witnesses: &'a [String],
    /// Leaves of the main log: the device's chain, [`SYSTEM_KINDS`], and what [`related`] named. What is not needed is
    /// left out.
    pub main: Vec<StoredLeaf>,
    /// Proofs to that checkpoint.
    pub proof: ProofSource<'a>,
    /// The gateway's log, when the claim is about a reading.
    pub gateway: Option<GatewayPart<'a>>,
    /// Files by what [`related`] named.
    pub attachments: Vec<Vec<u8>>,
}

/// The bundle. It is verified, meaning included, before it is handed out.
pub fn assemble(parts: Parts<'_>) -> Result<Vec<u8>, CollectError> {
    let bytes = put_together(parts)?;
    let report = verify(&bytes, &TrustPolicy::default());
    match report.outcome {
        Outcome::Contradicted => Err(CollectError::Contradicted(report.flaw.unwrap_or_default())),
        _ => Ok(bytes),
    }
}

/// The bundle, its structure verified; what it means is not looked at.
pub(super) fn put_together(parts: Parts<'_>) -> Result<Vec<u8>, CollectError> {
    let claim = Claim::parse(parts.claim.as_bytes())?;
    let history = History::new(parts.main.iter().map(StoredLeaf::line).collect::<Result<_, _>>()?);
    let closing = closing(&history, &claim, Claim::digest_of(parts.claim))?;
    let related = related(&history, claim.device, &HashMap::new(), Some(&claim));
    let endorsements: BTreeSet<Digest> = related.endorsements.iter().copied().collect();
    let authorities = above(&history, claim.device);
    let lists: BTreeSet<Digest> = related.maker_lists.iter().copied().collect();
    let keep = Keep {
        loaded: &history,
        device: claim.device,
        gateway: related.gateway,
        endorsements: &endorsements,
        authorities: &authorities,
        lists: &lists,
    };
    let anchored = parts.gateway.as_ref().map(|g| sha256(g.note.as_bytes()));
    let wanted = |line: &Line| match (&line.event, line.header.stream_kind) {
        (_, k) if k == StreamKind::Device as u8 => keep.but_operators(line) && line.pos() <= closing,
        (Some(Event::GatewayCheckpointAnchored { note_sha256, .. }), _) => {
            keep.but_operators(line) && Some(*note_sha256) == anchored
        }
        (_, k) if k == StreamKind::Operator as u8 => {
            related.operators.contains(&OperatorId::from(line.stream()))
                && [OPERATOR_ADDED, OPERATOR_REMOVED, OPERATOR_KEY_REPLACED].contains(&line.header.kind)
        }
        _ => keep.but_operators(line),
    };
    let note = Note::parse(parts.note.as_bytes())?;
    let mut builder = Builder::new(parts.claim.as_bytes().to_vec(), parts.vkey, &note, parts.witnesses)?;
    let mut main = parts.main;
    main.retain(|leaf| history.at(leaf.header.pos).is_some_and(wanted));
    add(&mut builder, 0, main, parts.proof)?;
    if let Some(gateway) = parts.gateway {
        let log = builder.sub_log(gateway.vkey, gateway.note, parts.witnesses)?;
        add(&mut builder, log, gateway.leaves, gateway.proof)?;
    }
    for file in parts.attachments.into_iter().filter(|f| related.attachments.contains(&sha256(f))) {
        builder.attach(file);
    }
    Ok(builder.build()?)
}

/// Position of the last export of this claim.
fn closing(history: &History, claim: &Claim, digest: Digest) -> Result<u64, CollectError> {
    history
        .stream(StreamKind::Device, claim.device)
        .filter(|l| matches!(&l.event, Some(Event::EvidenceExported { claim_sha256, .. }) if *claim_sha256 == digest))
        .last()
        .map(Line::pos)
        .ok_or(CollectError::NotClosed(claim.device))
}

fn add(
    builder: &mut Builder,
    log: usize,
    mut leaves: Vec<StoredLeaf>,
    proof: ProofSource<'_>,
) -> Result<(), CollectError> {
    leaves.sort_by_key(|leaf| leaf.header.pos);
    leaves.dedup_by_key(|leaf| leaf.header.pos);
    // A leaf that a later one names needs no proof; a long chain then costs one lookup, not thousands.
    let named: BTreeSet<u64> = leaves.iter().filter_map(|leaf| Some(leaf.header.prev?.pos)).collect();
    for leaf in &leaves {
        let pos = leaf.header.pos;
        let path = match named.contains(&pos) {
            true => Vec::new(),
            false => proof(pos).map_err(|why| CollectError::Proof { pos, why })?,
        };
        let opening = match (&leaf.salt, &leaf.payload) {
            (Some(salt), Some(payload)) => Some(Opening { salt, payload }),
            _ => None,
        };
        builder.leaf(log, &leaf.entry, opening, path)?;
    }
    Ok(())
}
