//! Add and remove operators and replace their keys; the first one is admitted by the bootstrap secret.

use lanyard_domain::event::{Event, StreamKind};
use lanyard_domain::id::OperatorId;
use lanyard_domain::operator::{Operator, Role};
use lanyard_domain::text::{Digest, check_text};
use lanyard_domain::time::Timestamp;

use super::{Accepted, Done, open_work};
use crate::journal::{Entry, Journal};
use crate::plane::{Control, ControlError};
use crate::world::World;

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
        each_once(&first.roles)?;
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
        each_once(&roles)?;
        let _changing = self.operators.lock().await;
        let (appended, namesake) = self
            .record(now, |world| {
                // One key, one person: a second id for the same key would be two heads under one hat (I1).
                if world.operators.contains_key(&id) || is_somebodys(world, &public_key) {
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
                let same = |o: &&Operator| !o.active && o.name.trim().eq_ignore_ascii_case(name.trim());
                let namesake = world.operators.values().filter(same).map(|o| o.id).min();
                Ok((vec![entry], namesake))
            })
            .await?;
        // Two of them, and one admin has passed every two-person rule: somebody else is to look at it.
        if roles.iter().any(|role| [Role::Security, Role::Biomedical].contains(role)) {
            tracing::warn!(
                operator.id = %id,
                admin.id = %accepted.by.id,
                "an operator who may approve was added; somebody who is no admin should know that person"
            );
        }
        let again = match namesake {
            None => String::new(),
            Some(removed) => format!(
                "; the removed operator {removed} had the same name: one person with two ids passes for two, so remove this one if it is the same person"
            ),
        };
        Ok(Done::new(appended, format!("added operator {id}{again}")))
    }

    pub(super) async fn remove_operator(
        &self,
        accepted: Accepted,
        id: OperatorId,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let _changing = self.operators.lock().await;
        let (appended, open) = self
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
                Ok((vec![entry], open_work::of(world, id)))
            })
            .await?;
        Ok(Done::new(appended, format!("operator {id} has no rights any more{open}")))
    }

    /// The person stays who they are (I1): what they asked for and approved before is theirs, whichever key signed it.
    pub(super) async fn replace_operator_key(
        &self,
        accepted: Accepted,
        id: OperatorId,
        public_key: Digest,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        if accepted.by.id == id {
            return Err(ControlError::refused(
                "own_key",
                "nobody replaces their own key: whoever holds the old one could keep its owner out; ask another admin",
            ));
        }
        let _changing = self.operators.lock().await;
        let (appended, ()) = self
            .record(now, |world| {
                if !world.operators.get(&id).is_some_and(|o| o.active) {
                    return Err(ControlError::NotFound { what: "active operator", id: id.to_string() });
                }
                if is_somebodys(world, &public_key) {
                    return Err(ControlError::refused(
                        "operator_exists",
                        "public_key: this is or was an operator's key already; make a new one, in a profile of its own",
                    ));
                }
                let seq = world.operator_seq.get(&id).copied().unwrap_or_default();
                let statement = accepted.signed.clone();
                let event = Event::OperatorKeyReplaced { public_key, statement };
                let mut entry = entry(id, accepted.by.id, seq, event);
                entry.once = accepted.once();
                Ok((vec![entry], ()))
            })
            .await?;
        Ok(Done::new(appended, format!("operator {id} signs with the new key; the old one counts no more")))
    }
}

fn each_once(roles: &[Role]) -> Result<(), ControlError> {
    match roles.iter().enumerate().find(|(n, role)| roles.iter().take(*n).any(|before| before == *role)) {
        None => Ok(()),
        Some((_, twice)) => {
            Err(ControlError::malformed("roles", format!("each role once, but `{twice}` is named twice")))
        }
    }
}

/// Whether this is or was an operator's key.
fn is_somebodys(world: &World, key: &Digest) -> bool {
    world.former_keys.contains(key) || world.operators.values().any(|o| o.public_key == *key)
}

fn entry(id: OperatorId, actor: OperatorId, expected_seq: u64, event: Event) -> Entry {
    Entry::new((id.into(), StreamKind::Operator), expected_seq, actor, vec![event])
}
