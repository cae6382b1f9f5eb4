//! Applications: register, approve, secrets, revoke, remove.

use lanyard_domain::application::{Application, ApplicationRecord, Command};
use lanyard_domain::event::{Event, RevocationReason, StreamKind};
use lanyard_domain::id::{ApplicationId, OperatorId, SecretId};
use lanyard_domain::operator::Operator;
use lanyard_domain::statement::SignedStatement;
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;

use super::{Accepted, Done};
use crate::journal::{Appended, Claim, Entry, Journal};
use crate::names;
use crate::plane::{Control, ControlError};
use crate::world::World;

impl<J: Journal> Control<J> {
    pub(super) async fn register_application(
        &self,
        accepted: Accepted,
        id: ApplicationId,
        record: ApplicationRecord,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let _others_wait = self.operators.lock().await;
        let events = Application::register(record.clone(), &accepted.by, accepted.signed.clone())?.events;
        let (appended, ()) = self
            .record(now, |world| {
                if world.applications.contains_key(&id) {
                    return Err(ControlError::refused(
                        "application_exists",
                        format!("application {id} exists already"),
                    ));
                }
                names::free_for_application(world, &record)?;
                let mut entry = entry(id, 0, accepted.by.id, events.clone());
                entry.once = accepted.once();
                Ok((vec![entry], ()))
            })
            .await?;
        Ok(Done::new(appended, format!("registered application `{}` as {id}", record.name)))
    }

    pub(super) async fn approve_application(
        &self,
        accepted: Accepted,
        id: ApplicationId,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let appended = self
            .application_by(&accepted, id, now, |by, statement| Command::Approve { by, statement })
            .await?;
        Ok(Done::new(appended, "approved; it may have certificates for its registered names"))
    }

    pub(super) async fn remove_application(
        &self,
        accepted: Accepted,
        id: ApplicationId,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let appended = self
            .application_by(&accepted, id, now, |by, statement| Command::Remove { by, statement })
            .await?;
        Ok(Done::new(appended, "removed; its certificates are revoked"))
    }

    pub(super) async fn issue_application_secret(
        &self,
        accepted: Accepted,
        id: ApplicationId,
        secret: SecretId,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        self.secret_is_new(secret)?;
        let appended = self
            .application_by(&accepted, id, now, |by, statement| Command::IssueSecret {
                by,
                secret,
                expires,
                statement,
            })
            .await?;
        let mut done = Done::new(
            appended,
            format!("good once, for one ACME account, until {expires}; it is shown here and nowhere else"),
        );
        done.secret = Some(self.secrets.derive(secret, id.into(), expires));
        Ok(done)
    }

    pub(super) async fn revoke_application_certificates(
        &self,
        accepted: Accepted,
        id: ApplicationId,
        serials: Vec<String>,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let count = serials.len();
        let appended = self
            .application_by(&accepted, id, now, |by, statement| Command::RevokeCertificates {
                by,
                serials: serials.clone(),
                reason,
                statement,
            })
            .await?;
        Ok(Done::new(appended, format!("revoked {count} of its certificates")))
    }

    async fn application_by(
        &self,
        accepted: &Accepted,
        id: ApplicationId,
        now: Timestamp,
        command: impl for<'a> Fn(&'a Operator, SignedStatement) -> Command<'a> + Send + Sync,
    ) -> Result<Option<Appended>, ControlError> {
        self.on_application(id, accepted.by.id, (accepted.once(), Vec::new()), now, |_| {
            Ok(vec![command(&accepted.by, accepted.signed.clone())])
        })
        .await
    }

    /// Records what commands to one application lead to.
    pub(crate) async fn on_application<'a>(
        &self,
        id: ApplicationId,
        actor: OperatorId,
        extras: (Option<Digest>, Vec<Claim>),
        now: Timestamp,
        commands: impl Fn(&Application) -> Result<Vec<Command<'a>>, ControlError> + Send + Sync,
    ) -> Result<Option<Appended>, ControlError> {
        let (once, claims) = extras;
        let (appended, ()) = self
            .record(now, |world| {
                let application = find(world, id)?;
                let mut events = Vec::new();
                for command in commands(application)? {
                    events.extend(application.decide(command, now)?.events);
                }
                let mut entry = entry(id, application.seq, actor, events);
                entry.once = once;
                entry.claims = claims.clone();
                Ok((vec![entry], ()))
            })
            .await?;
        Ok(appended)
    }
}

/// The application, or that there is none.
pub(crate) fn find(world: &World, id: ApplicationId) -> Result<&Application, ControlError> {
    world
        .applications
        .get(&id)
        .ok_or_else(|| ControlError::NotFound { what: "application", id: id.to_string() })
}

pub(crate) fn entry(id: ApplicationId, expected_seq: u64, actor: OperatorId, events: Vec<Event>) -> Entry {
    Entry::new((id.into(), StreamKind::Application), expected_seq, actor, events)
}
