//! Add and remove operators; the first one is admitted by the bootstrap secret.

use lanyard_domain::event::{Event, StreamKind};
use lanyard_domain::id::OperatorId;
use lanyard_domain::operator::Role;
use lanyard_domain::text::{Digest, check_text};
use lanyard_domain::time::Timestamp;

use super::{Accepted, Done};
use crate::journal::{Entry, Journal};
use crate::plane::{Control, ControlError};

/// Who the first operator is to be. The caller has checked the bootstrap secret.
#[derive(Debug, Clone)]
pub struct FirstOperator {
    /// New id.
    pub id: OperatorId,
    /// Display name.
    pub name: String,
    /// Roles; must contain admin.
    pub roles: Vec<Role>,
    /// Ed25519 public key.
    pub public_key: Digest,
}

impl<J: Journal> Control<J> {
    /// Admits the first operator, once.
    pub async fn bootstrap(&self, first: FirstOperator, now: Timestamp) -> Result<Done, ControlError> {
        check_text("name", &first.name, 128).map_err(|e| ControlError::malformed("name", e))?;
        if !first.roles.contains(&Role::Admin) {
            return Err(ControlError::refused(
                "role_missing",
                "the first operator must hold the admin role to add others",
            ));
        }
        let _changing = self.operators.lock().await;
        let (appended, ()) = self
            .record(now, |world| {
                if !world.operators.is_empty() {
                    return Err(ControlError::refused(
                        "already_bootstrapped",
                        "the first operator was added already; ask an admin",
                    ));
                }
                let event = Event::OperatorAdded {
                    name: first.name.clone(),
                    roles: first.roles.clone(),
                    public_key: first.public_key,
                    statement: None,
                };
                Ok((vec![entry(first.id, first.id, 0, event)], ()))
            })
            .await?;
        Ok(Done::new(appended, "first operator added; the bootstrap secret no longer works"))
    }

    pub(super) async fn add_operator(
        &self,
        accepted: Accepted,
        id: OperatorId,
        name: String,
        roles: Vec<Role>,
        public_key: Digest,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        check_text("name", &name, 128).map_err(|e| ControlError::malformed("name", e))?;
        let _changing = self.operators.lock().await;
        let (appended, ()) = self
            .record(now, |world| {
                // One key, one person: a second id for the same key would be two heads under one hat (I1).
                let taken = world.operators.values().any(|o| o.public_key == public_key);
                if world.operators.contains_key(&id) || taken {
                    return Err(ControlError::refused(
                        "operator_exists",
                        "this operator or this key is known already",
                    ));
                }
                let event = Event::OperatorAdded {
                    name: name.clone(),
                    roles: roles.clone(),
                    public_key,
                    statement: Some(accepted.signed.clone()),
                };
                let mut entry = entry(id, accepted.by.id, 0, event);
                entry.once = accepted.once();
                Ok((vec![entry], ()))
            })
            .await?;
        Ok(Done::new(appended, format!("added operator {id}")))
    }

    pub(super) async fn remove_operator(
        &self,
        accepted: Accepted,
        id: OperatorId,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let _changing = self.operators.lock().await;
        let (appended, ()) = self
            .record(now, |world| {
                let known = world
                    .operators
                    .get(&id)
                    .filter(|o| o.active)
                    .ok_or_else(|| ControlError::NotFound { what: "active operator", id: id.to_string() })?;
                let admins = world.operators.values().filter(|o| o.may(&[Role::Admin])).count();
                if admins == 1 && known.may(&[Role::Admin]) {
                    return Err(ControlError::refused(
                        "last_admin",
                        "the last admin cannot be removed; add another first",
                    ));
                }
                let seq = world.operator_seq.get(&id).copied().unwrap_or_default();
                let event = Event::OperatorRemoved { statement: accepted.signed.clone() };
                let mut entry = entry(id, accepted.by.id, seq, event);
                entry.once = accepted.once();
                Ok((vec![entry], ()))
            })
            .await?;
        Ok(Done::new(appended, format!("operator {id} has no rights any more")))
    }
}

fn entry(id: OperatorId, actor: OperatorId, expected_seq: u64, event: Event) -> Entry {
    Entry::new((id.into(), StreamKind::Operator), expected_seq, actor, vec![event])
}
