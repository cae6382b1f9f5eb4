//! Evidence export: loads what a bundle needs from the log and from the gateway, has the device's chain closed by an
//! operator's signed statement, and hands the parts to `control::evidence`, which says what they mean.

use std::collections::{BTreeSet, HashMap};

use lanyard_api::gateway::{Answer, ProvenLeaf, Question};
use lanyard_api::operator::EvidenceRequest;
use lanyard_control::evidence::{
    Claim, CollectError, GatewayPart, History, Line, Parts, Related, SYSTEM_KINDS, StoredLeaf, Subject,
    assemble, make_claim, related,
};
use lanyard_control::plane::ControlError;
use lanyard_control::world::Anchored;
use lanyard_domain::event::{Event, StreamKind};
use lanyard_domain::id::{DeviceId, GatewayId, StreamId};
use lanyard_domain::statement::SignedStatement;
use lanyard_domain::time::Timestamp;
use lanyard_ledger::hash::Hash;
use lanyard_ledger::leaf;
use lanyard_store::StoredEvent;

use crate::state::State;
use crate::worker::seal_once;

/// The longest chain that is exported whole: at the 64 MiB of a bundle, some 1.5 kB an event.
const MOST_EVENTS: usize = 40_000;

/// A reading as its gateway proves it.
struct Reading {
    gateway: GatewayId,
    device: DeviceId,
    leaves: Vec<StoredLeaf>,
    proofs: HashMap<u64, Vec<Hash>>,
    anchored: Anchored,
    vkey: String,
}

/// The claim that would be exported.
pub(crate) async fn claim(
    state: &State,
    request: EvidenceRequest,
    now: Timestamp,
) -> Result<(Claim, String), ControlError> {
    let (device, at, reading) = match request {
        EvidenceRequest::Device { device, at } => (device, Some(at), None),
        EvidenceRequest::Reading { location } => {
            let reading = find_reading(state, &location).await?;
            (reading.device, None, Some(reading))
        }
    };
    let main = load(state, device, reading.as_ref(), None).await?;
    let history = history(&main)?;
    let origin = state.control.world().origin.clone().unwrap_or_default();
    let lines = reading.as_ref().map(|r| lines(&r.leaves)).transpose()?;
    let subject = match (at, lines.as_deref()) {
        (Some(at), _) => Subject::Device { at },
        (None, Some([decided, completed])) => Subject::Reading { decided, completed },
        _ => return Err(ControlError::Bug("a reading without its two events".to_owned())),
    };
    let claim = make_claim(&history, &origin, device, subject, now).map_err(collect_error)?;
    let text = claim.to_text().map_err(|e| ControlError::Bug(e.to_string()))?;
    Ok((claim, text))
}

/// Closes the chain with the operator's statement and makes the bundle.
pub(crate) async fn bundle(
    state: &State,
    text: &str,
    statement: &SignedStatement,
    now: Timestamp,
) -> Result<Vec<u8>, ControlError> {
    let claim = Claim::parse(text.as_bytes()).map_err(|e| ControlError::malformed("claim", e))?;
    let reading = match claim.reading.as_ref().and_then(|r| r.location.clone()) {
        Some(location) => Some(find_reading(state, &location).await?),
        None => None,
    };
    let closed_at = state.control.close_for_export(statement, &claim, Claim::digest_of(text), now).await?;
    let note = sealed_over(state, closed_at).await?;
    let size = lanyard_ledger::note::Note::parse(note.as_bytes())
        .ok()
        .and_then(|n| lanyard_ledger::checkpoint::Checkpoint::parse(n.text()).ok())
        .map(|c| c.size)
        .ok_or_else(|| ControlError::Bug("our own checkpoint cannot be read".to_owned()))?;
    let main = load(state, claim.device, reading.as_ref(), Some(&claim)).await?;
    let proofs = proofs(state, &main, size).await?;
    let attachments = attachments(state, &main, &claim).await?;
    let (text, vkey) = (text.to_owned(), state.log_vkey.to_string());
    let made = tokio::task::spawn_blocking(move || {
        let proof = |pos: u64| proofs.get(&pos).cloned().ok_or_else(|| "not loaded".to_owned());
        let sub = |pos: u64| {
            let known = reading.as_ref().and_then(|r| r.proofs.get(&pos)).cloned();
            known.ok_or_else(|| "the gateway did not prove it".to_owned())
        };
        let gateway = reading.as_ref().map(|r| GatewayPart {
            vkey: &r.vkey,
            note: &r.anchored.note,
            leaves: r.leaves.clone(),
            proof: &sub,
        });
        assemble(Parts {
            claim: &text,
            vkey: &vkey,
            note: &note,
            witnesses: &[],
            main,
            proof: &proof,
            gateway,
            attachments,
        })
    });
    made.await.map_err(|e| ControlError::Bug(e.to_string()))?.map_err(collect_error)
}

/// The reading, from whichever gateway knows it.
async fn find_reading(state: &State, location: &str) -> Result<Reading, ControlError> {
    let gateways: Vec<(GatewayId, String)> =
        state.control.world().gateways.values().map(|g| (g.id, g.vkey.clone())).collect();
    let mut away = Vec::new();
    for (gateway, vkey) in gateways {
        let question = Question::Reading { location: location.to_owned() };
        match state.feeds.ask(gateway, question).await {
            Ok(Answer::Reading { leaves, checkpoint }) if !leaves.is_empty() => {
                return reading(state, gateway, vkey, leaves, &checkpoint).await;
            }
            Ok(_) => {}
            Err(unanswered) => away.push(unanswered.to_string()),
        }
    }
    if away.is_empty() {
        return Err(ControlError::NotFound {
            what: "reading that a gateway accepted",
            id: location.to_owned(),
        });
    }
    Err(ControlError::Unavailable(format!(
        "the reading was not found, but not every gateway could be asked: {}",
        away.join("; ")
    )))
}

async fn reading(
    state: &State,
    gateway: GatewayId,
    vkey: String,
    proven: Vec<ProvenLeaf>,
    checkpoint: &str,
) -> Result<Reading, ControlError> {
    let malformed = |what: String| {
        ControlError::Unavailable(format!("gateway {gateway} answered what cannot be used: {what}"))
    };
    let mut leaves = Vec::new();
    let mut proofs = HashMap::new();
    for one in proven {
        let (header, _) = leaf::decode(&one.entry.0).map_err(|e| malformed(e.to_string()))?;
        proofs.insert(header.pos, one.proof.iter().map(|d| Hash(d.0)).collect());
        let salt = one.salt.and_then(|s| s.0.try_into().ok());
        leaves.push(StoredLeaf { entry: one.entry.0, header, salt, payload: one.payload.map(|p| p.0) });
    }
    let device = lines(&leaves)?
        .iter()
        .find_map(|line| match &line.event {
            Some(Event::AccessDecided(record)) => record.device,
            _ => None,
        })
        .ok_or_else(|| malformed("no decision about a device".to_owned()))?;
    let anchored = anchored(state, gateway, checkpoint)?;
    Ok(Reading { gateway, device, leaves, proofs, anchored, vkey })
}

/// The anchor of exactly that checkpoint. The gateway had our answer to it before it proved the reading, and we answer when
/// it is folded: another one here means that the gateway has anchored again since.
fn anchored(state: &State, gateway: GatewayId, checkpoint: &str) -> Result<Anchored, ControlError> {
    let newest = state.control.world().gateways.get(&gateway).and_then(|g| g.anchored.clone());
    newest.filter(|anchored| anchored.note == checkpoint).ok_or_else(|| {
        ControlError::Unavailable(format!(
            "the decision log of gateway {gateway} moved on while it was asked; try again"
        ))
    })
}

/// A published checkpoint that covers a position.
async fn sealed_over(state: &State, pos: u64) -> Result<String, ControlError> {
    let unavailable =
        |e: String| ControlError::Unavailable(format!("the log could not be sealed over the export: {e}"));
    seal_once(state).await.map_err(|e| unavailable(e.to_string()))?;
    let store = state.control.journal.store();
    let covering = store.latest_checkpoint().filter(|c| c.size > pos);
    covering.map(|c| c.note).ok_or_else(|| unavailable("no checkpoint covers it yet".to_owned()))
}

/// All leaves of the main log that the bundle may need.
async fn load(
    state: &State,
    device: DeviceId,
    reading: Option<&Reading>,
    claim: Option<&Claim>,
) -> Result<Vec<StoredLeaf>, ControlError> {
    let mut leaves = stream(state, device.into()).await?;
    leaves.extend(system(state).await?);
    if let Some(reading) = reading {
        let added = state.control.world().gateways.get(&reading.gateway).map(|g| g.added_pos);
        for pos in added.into_iter().chain([reading.anchored.pos]) {
            leaves.extend(at(state, pos).await?);
        }
    }
    let mut loaded: BTreeSet<StreamId> = BTreeSet::new();
    loop {
        let known = state.control.world().releases.clone();
        let Related { operators, releases, .. } = related(&history(&leaves)?, device, &known, claim);
        let wanted =
            operators.into_iter().map(StreamId::from).chain(releases.into_iter().map(StreamId::from));
        let more: Vec<StreamId> = wanted.filter(|id| loaded.insert(*id)).collect();
        if more.is_empty() {
            return Ok(leaves);
        }
        for id in more {
            leaves.extend(stream(state, id).await?);
        }
    }
}

async fn stream(state: &State, id: StreamId) -> Result<Vec<StoredLeaf>, ControlError> {
    let mut leaves = Vec::new();
    loop {
        let from = leaves.last().map_or(0, |l: &StoredLeaf| l.header.seq + 1);
        let batch =
            state.control.journal.store().stream(*id.as_bytes(), from, 1_024).await.map_err(read_error)?;
        if batch.is_empty() {
            return Ok(leaves);
        }
        leaves.extend(batch.into_iter().map(stored));
        if leaves.len() > MOST_EVENTS {
            return Err(ControlError::refused(
                "chain_too_long",
                format!(
                    "stream {id} has more than {MOST_EVENTS} events; a bundle cannot hold its whole chain yet"
                ),
            ));
        }
    }
}

/// The system stream without its heartbeats and our own TLS certificates.
async fn system(state: &State) -> Result<Vec<StoredLeaf>, ControlError> {
    let mut leaves = stream(state, StreamId::SYSTEM).await?;
    leaves.retain(|leaf| SYSTEM_KINDS.contains(&leaf.header.kind));
    Ok(leaves)
}

async fn at(state: &State, pos: u64) -> Result<Option<StoredLeaf>, ControlError> {
    Ok(state.control.journal.store().event(pos).await.map_err(read_error)?.map(stored))
}

async fn proofs(
    state: &State,
    leaves: &[StoredLeaf],
    size: u64,
) -> Result<HashMap<u64, Vec<Hash>>, ControlError> {
    // A leaf that a later one names is proven by the chain; but of the system stream not every leaf comes along.
    let whole = leaves.iter().filter(|leaf| leaf.header.stream_kind != StreamKind::System as u8);
    let named: BTreeSet<u64> = whole.filter_map(|leaf| Some(leaf.header.prev?.pos)).collect();
    let mut proofs = HashMap::new();
    for leaf in leaves.iter().filter(|l| !named.contains(&l.header.pos) && l.header.pos < size) {
        let pos = leaf.header.pos;
        proofs
            .insert(pos, state.control.journal.store().inclusion_proof(pos, size).await.map_err(read_error)?);
    }
    Ok(proofs)
}

async fn attachments(
    state: &State,
    leaves: &[StoredLeaf],
    claim: &Claim,
) -> Result<Vec<Vec<u8>>, ControlError> {
    let wanted = related(&history(leaves)?, claim.device, &HashMap::new(), Some(claim)).attachments;
    let mut files = Vec::new();
    for digest in wanted {
        files.extend(state.control.journal.store().blob(digest.0).await.map_err(read_error)?);
    }
    Ok(files)
}

fn stored(event: StoredEvent) -> StoredLeaf {
    StoredLeaf { entry: event.entry, header: event.header, salt: event.salt, payload: event.payload }
}

fn lines(leaves: &[StoredLeaf]) -> Result<Vec<Line>, ControlError> {
    leaves.iter().map(StoredLeaf::line).collect::<Result<_, _>>().map_err(collect_error)
}

fn history(leaves: &[StoredLeaf]) -> Result<History, ControlError> {
    Ok(History::new(lines(leaves)?))
}

fn read_error(error: lanyard_store::ReadError) -> ControlError {
    ControlError::Unavailable(error.to_string())
}

fn collect_error(error: CollectError) -> ControlError {
    match error {
        CollectError::NoState(_) | CollectError::Future(_) => {
            ControlError::refused("no_evidence", error.to_string())
        }
        CollectError::NotAReading => ControlError::refused("not_a_reading", error.to_string()),
        other => ControlError::Bug(other.to_string()),
    }
}
