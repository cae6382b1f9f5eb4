//! Erase a payload: the leaf stays, its content goes, and the log says so.

use lanyard_domain::device::Stage;
use lanyard_domain::event::{Event, StreamKind};
use lanyard_domain::id::{DeviceId, OperatorId};
use lanyard_domain::text::check_text;
use lanyard_domain::time::Timestamp;

use super::{Accepted, Done};
use crate::journal::{Entry, Journal};
use crate::plane::{Control, ControlError};

impl<J: Journal> Control<J> {
    pub(super) async fn erase_payload(
        &self,
        accepted: Accepted,
        pos: u64,
        legal_basis: String,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        check_text("legal_basis", &legal_basis, 256)
            .map_err(|e| ControlError::malformed("legal_basis", e))?;
        self.may_erase(pos, now).await?;
        let event = Event::PayloadErased { pos, legal_basis, statement: accepted.signed.clone() };
        let (appended, ()) = self
            .record(now, |world| {
                if pos >= world.next_pos {
                    return Err(ControlError::NotFound { what: "event at position", id: pos.to_string() });
                }
                let mut entry = Entry::system(world, accepted.by.id, vec![event.clone()]);
                entry.once = accepted.once();
                entry.erase = vec![pos];
                Ok((vec![entry], ()))
            })
            .await?;
        Ok(Done::new(
            appended,
            format!("the payload at {pos} is gone; every proof over its leaf still holds"),
        ))
    }

    /// The world is rebuilt from payloads: what still holds someone's state cannot go before its holder has ended.
    async fn may_erase(&self, pos: u64, now: Timestamp) -> Result<(), ControlError> {
        let found = self.journal.event_at(pos).await.map_err(|e| ControlError::Unavailable(e.to_string()))?;
        let Some((stream, stream_kind, kind)) = found else {
            return Err(ControlError::NotFound { what: "event at position", id: pos.to_string() });
        };
        if ENDINGS.contains(&kind) {
            return Err(ControlError::refused(
                "payload_in_use",
                format!(
                    "the payload at {pos} ends someone's rights; without it a restart would give them back"
                ),
            ));
        }
        let world = self.world();
        // Also of a retired device: without its bytes a restart would leave it out of the lists, revoked as it is.
        if let Some(end) = world.inventory.end_of_event(pos).filter(|end| *end >= now) {
            return Err(ControlError::refused(
                "payload_in_use",
                format!(
                    "the payload at {pos} is a certificate that relying parties ask about until it ends, at {end}"
                ),
            ));
        }
        let ended = match stream_kind {
            _ if AUDIT_ONLY.contains(&kind) => true,
            k if k == StreamKind::Device as u8 => {
                world.devices.get(&DeviceId::from(stream)).is_none_or(|d| d.stage == Stage::Retired)
            }
            k if k == StreamKind::Operator as u8 => {
                world.operators.get(&OperatorId::from(stream)).is_none_or(|o| !o.active)
            }
            _ => false,
        };
        if ended {
            return Ok(());
        }
        Err(ControlError::refused(
            "payload_in_use",
            format!(
                "the payload at {pos} still holds the state of {stream}; retire the device or remove the operator first"
            ),
        ))
    }
}

/// Kinds that take something away for good: certificate revoked, quarantined, retirement begun, retired, operator
/// removed, operator's key replaced. A fold without them would find a retired device in service, a removed operator active
/// and a replaced key good.
const ENDINGS: [u16; 6] = [7, 12, 14, 16, 61, 62];

/// Kinds that change no state: alarms, tokens, probes, exports (see `Event::kind`).
const AUDIT_ONLY: [u16; 4] = [15, 17, 18, 19];
