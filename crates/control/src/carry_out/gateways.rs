//! Admit gateways, certify their keys, anchor their decision logs.

use lanyard_domain::event::{Event, RevocationReason, StreamKind};
use lanyard_domain::id::{GatewayId, OperatorId};
use lanyard_domain::statement::SignedStatement;
use lanyard_domain::text::{Digest, check_slug};
use lanyard_domain::time::Timestamp;

use super::{Accepted, Done};
use crate::gateway::addresses;
use crate::journal::{Appended, Claim, Entry, Journal, Space};
use crate::names;
use crate::pace::Act;
use crate::plane::{Control, ControlError};
use crate::world::{Gateway, World};

/// Why a gateway is removed; retired where nothing is said.
const OF_A_GATEWAY: [RevocationReason; 4] = [
    RevocationReason::Retired,
    RevocationReason::Lost,
    RevocationReason::Stolen,
    RevocationReason::Compromised,
];

/// A gateway to admit.
#[derive(Debug, Clone)]
pub struct NewGateway {
    /// Its id.
    pub id: GatewayId,
    /// The site whose devices it may know.
    pub site: String,
    /// SHA-256 of its TLS key's SubjectPublicKeyInfo.
    pub spki_sha256: Digest,
    /// Its decision log's verifier key.
    pub vkey: String,
    /// Names that it serves.
    pub names: Vec<String>,
}

impl<J: Journal> Control<J> {
    pub(super) async fn admit_gateway(
        &self,
        accepted: Accepted,
        new: NewGateway,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let id = new.id;
        let appended = self
            .record_gateway(new, Some(accepted.signed.clone()), accepted.by.id, accepted.once(), now)
            .await?;
        Ok(Done::new(appended, format!("gateway {id} may now ask for its certificate")))
    }

    pub(super) async fn remove_gateway(
        &self,
        accepted: Accepted,
        id: GatewayId,
        reason: Option<RevocationReason>,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        if let Some(reason) = reason.filter(|r| !OF_A_GATEWAY.contains(r)) {
            return Err(ControlError::malformed(
                "reason",
                format!(
                    "a gateway is removed because it was retired, lost, stolen or compromised; found {reason}"
                ),
            ));
        }
        let event = Event::GatewayRemoved { reason, statement: accepted.signed.clone() };
        let (appended, ()) = self
            .record(now, |world| {
                let gateway = in_use(world, id)?;
                let mut entry = entry(id, accepted.by.id, gateway.seq, event.clone(), Vec::new());
                entry.once = accepted.once();
                Ok((vec![entry], ()))
            })
            .await?;
        Ok(Done::new(
            appended,
            format!(
                "gateway {id} is cut off for ever; its readings stay provable as far as they are anchored"
            ),
        ))
    }

    /// Admits the gateway that runs in this very process (`lanyard up`): the server vouches for it, no operator does.
    pub async fn admit_own_gateway(&self, new: NewGateway, now: Timestamp) -> Result<Done, ControlError> {
        let id = new.id;
        if self.world().gateways.contains_key(&id) {
            return Ok(Done::new(None, format!("gateway {id} was admitted before")));
        }
        let appended = self.record_gateway(new, None, OperatorId::from_bytes([0; 16]), None, now).await?;
        Ok(Done::new(appended, format!("gateway {id} runs in this process")))
    }

    async fn record_gateway(
        &self,
        new: NewGateway,
        statement: Option<SignedStatement>,
        actor: OperatorId,
        once: Option<Digest>,
        now: Timestamp,
    ) -> Result<Option<Appended>, ControlError> {
        check_slug("site", &new.site).map_err(|e| ControlError::malformed("site", e))?;
        lanyard_ledger::note::NoteVerifier::parse(&new.vkey)
            .map_err(|e| ControlError::malformed("vkey", e))?;
        if new.names.is_empty() || new.names.len() > 16 {
            return Err(ControlError::malformed("names", "must list 1 to 16 DNS names or addresses"));
        }
        // What no certificate could say would be admitted and never certified.
        addresses(&new.names)?;
        let _others_wait = self.operators.lock().await;
        let (appended, ()) = self
            .record(now, |world| {
                if world.gateways.contains_key(&new.id) {
                    return Err(ControlError::refused(
                        "gateway_exists",
                        format!("gateway {} exists already", new.id),
                    ));
                }
                names::free_for_machine(world, &new.names)?;
                let event = Event::GatewayAdded {
                    site: new.site.clone(),
                    vkey: new.vkey.clone(),
                    spki_sha256: new.spki_sha256,
                    names: new.names.clone(),
                    statement: statement.clone(),
                };
                let claims = vec![Claim { space: Space::TlsKey, key: new.spki_sha256 }];
                let mut entry = entry(new.id, actor, 0, event, claims);
                entry.once = once;
                Ok((vec![entry], ()))
            })
            .await?;
        Ok(appended)
    }

    /// Puts a gateway's signed checkpoint under the main log, after checking that it extends the one before.
    /// Returns the position of the anchor and the size anchored before.
    pub async fn anchor_gateway(
        &self,
        id: GatewayId,
        note: &str,
        consistency: &[Digest],
        now: Timestamp,
    ) -> Result<(u64, u64), ControlError> {
        self.paces.admit(id.into(), Act::Anchor, now)?;
        let (appended, (pos_known, before)) = self
            .record(now, |world| {
                let gateway = in_use(world, id)?;
                let (size, before) = extends(gateway, note, consistency)?;
                if let Some(anchored) = gateway.anchored.as_ref().filter(|a| a.size == size) {
                    return Ok((Vec::new(), (Some(anchored.pos), before)));
                }
                let event = Event::GatewayCheckpointAnchored {
                    gateway: id,
                    size,
                    note: note.to_owned(),
                    note_sha256: crate::digest::sha256(note.as_bytes()),
                    vkey: gateway.vkey.clone(),
                };
                Ok((
                    vec![entry(id, OperatorId::from_bytes([0; 16]), gateway.seq, event, Vec::new())],
                    (None, before),
                ))
            })
            .await?;
        let pos = appended.map(|a| a.pos).or(pos_known).unwrap_or_default();
        Ok((pos, before))
    }
}

/// The gateway, if it was admitted and not removed.
pub(crate) fn in_use(world: &World, id: GatewayId) -> Result<&Gateway, ControlError> {
    let gateway = world.gateways.get(&id).ok_or_else(|| {
        ControlError::refused("gateway_unknown", format!("gateway {id} has not been admitted"))
    })?;
    if gateway.removed {
        return Err(ControlError::refused(
            "gateway_removed",
            format!(
                "gateway {id} was removed; a gateway in its place needs keys and an admission of its own"
            ),
        ));
    }
    Ok(gateway)
}

/// Size of the new checkpoint and of the one anchored before, when the new one extends it.
fn extends(gateway: &Gateway, note: &str, consistency: &[Digest]) -> Result<(u64, u64), ControlError> {
    let verifier = lanyard_ledger::note::NoteVerifier::parse(&gateway.vkey).map_err(|e| {
        ControlError::Bug(format!("the recorded vkey of gateway {} cannot be read: {e}", gateway.id))
    })?;
    let open = |text: &str| {
        lanyard_ledger::checkpoint::Checkpoint::open(text.as_bytes(), &verifier)
            .map(|(checkpoint, _)| checkpoint)
            .map_err(|e| ControlError::malformed("checkpoint", e))
    };
    let new = open(note)?;
    let Some(anchored) = &gateway.anchored else { return Ok((new.size, 0)) };
    let old = open(&anchored.note)?;
    let proof: Vec<lanyard_ledger::hash::Hash> =
        consistency.iter().map(|d| lanyard_ledger::hash::Hash(d.0)).collect();
    lanyard_ledger::tree::verify_consistency(old.size, new.size, &proof, &old.root, &new.root).map_err(
        |e| {
            ControlError::refused(
                "gateway_log_forked",
                format!(
                    "the decision log of gateway {} at size {} does not extend its anchored size {}: {e}",
                    gateway.id, new.size, old.size
                ),
            )
        },
    )?;
    Ok((new.size, old.size))
}

pub(crate) fn entry(
    id: GatewayId,
    actor: OperatorId,
    expected_seq: u64,
    event: Event,
    claims: Vec<Claim>,
) -> Entry {
    let entry = Entry::new((id.into(), StreamKind::Gateway), expected_seq, actor, vec![event]);
    Entry { claims, ..entry }
}
