//! ACME accounts that speak for a device or an application, and what their holders may ask beside certificates: another key,
//! the end, a revocation, when to renew.
//!
//! An account is bound by a one-time secret and stands in the stream of its record. In scope: what is recorded of it. Out of
//! scope: accounts without a binding (the server keeps them in memory), signatures (`lanyard-enroll`).

use lanyard_domain::application;
use lanyard_domain::authority::AuthorityState;
use lanyard_domain::device;
use lanyard_domain::event::RevocationReason;
use lanyard_domain::id::{OperatorId, StreamId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::acme::{CertId, Identifier, Predecessor, RenewalInfo, RevocationOutcome};
use lanyard_enroll::secret::SecretProven;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::serial::Serial;

use crate::certify::all_registered;
use crate::inventory::{Entry, Status};
use crate::journal::Journal;
use crate::plane::{Control, ControlError, Extras};
use crate::steering::suggested;
use crate::world::{Subject, World};

/// RFC 9773 4.3: a client that asks four times a day hears of an incident the same day.
const ASK_AGAIN_SECONDS: u32 = 6 * 3_600;
/// What is done to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountAct {
    /// Another key, JSON (RFC 7517) and its thumbprint.
    Replace {
        /// RFC 7638.
        by_sha256: Digest,
        /// The key.
        jwk: String,
    },
    /// Its end.
    End,
}

impl<J: Journal> Control<J> {
    /// Binds an account to the record that the secret was made for.
    pub async fn bind_account(
        &self,
        secret: &SecretProven,
        account_sha256: Digest,
        jwk: &str,
        now: Timestamp,
    ) -> Result<Subject, ControlError> {
        let id = secret.id();
        let subject = self.world().by_secret(id).map(|(subject, _)| subject).ok_or_else(|| {
            ControlError::refused(
                "secret_unknown",
                "this secret is not, or no longer, good; have a new one made",
            )
        })?;
        let actor = OperatorId::from(StreamId::from(subject));
        match subject {
            Subject::Device(device) => {
                self.on_device(device, actor, now, Extras::default(), |_, _| {
                    Ok(vec![device::Command::BindAccount { secret: id, account_sha256, jwk: jwk.to_owned() }])
                })
                .await?;
            }
            Subject::Application(application) => {
                self.on_application(application, actor, (None, Vec::new()), now, |_| {
                    Ok(vec![application::Command::BindAccount {
                        secret: id,
                        account_sha256,
                        jwk: jwk.to_owned(),
                    }])
                })
                .await?;
            }
        }
        Ok(subject)
    }

    /// Records another key for an account, or its end.
    pub async fn change_account(
        &self,
        account_sha256: Digest,
        act: &AccountAct,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        let subject = self
            .world()
            .account(&account_sha256)
            .filter(|account| !account.ended)
            .map(|account| account.subject)
            .ok_or_else(|| ControlError::refused("account_ended", "the account has ended"))?;
        let actor = OperatorId::from(StreamId::from(subject));
        match subject {
            Subject::Device(id) => {
                self.on_device(id, actor, now, Extras::default(), |_, _| {
                    Ok(vec![match act.clone() {
                        AccountAct::Replace { by_sha256, jwk } => {
                            device::Command::ReplaceAccount { account_sha256, by_sha256, jwk }
                        }
                        AccountAct::End => device::Command::EndAccount { account_sha256 },
                    }])
                })
                .await?;
            }
            Subject::Application(id) => {
                self.on_application(id, actor, (None, Vec::new()), now, |_| {
                    Ok(vec![match act.clone() {
                        AccountAct::Replace { by_sha256, jwk } => {
                            application::Command::ReplaceAccount { account_sha256, by_sha256, jwk }
                        }
                        AccountAct::End => application::Command::EndAccount { account_sha256 },
                    }])
                })
                .await?;
            }
        }
        Ok(())
    }

    /// Whether an order of this account for these identifiers could ever lead to a certificate; a person's approval may still
    /// be outstanding. `account` is whom it is bound to.
    pub fn may_order(
        &self,
        account: Option<StreamId>,
        identifiers: &[Identifier],
    ) -> Result<(), ControlError> {
        let world = self.world();
        let addresses: Vec<&Identifier> = identifiers.iter().filter(|i| !i.is_device()).collect();
        if addresses.is_empty() {
            return Ok(());
        }
        let application = account.and_then(|id| world.applications.get(&id.into())).ok_or_else(|| {
            ControlError::refused(
                "account_not_bound",
                "for addresses an account must be bound to their application (`lanyard application secret`)",
            )
        })?;
        if application.stage == application::Stage::Removed {
            return Err(ControlError::refused(
                "wrong_stage",
                "this application was removed; register a new one",
            ));
        }
        all_registered(application, identifiers.iter())
    }

    /// Revokes a certificate at the request of its key's holder, or of an account bound to its record (`account`).
    pub async fn revoke_for(
        &self,
        certificate: &Certificate,
        by: RevokedBy,
        reason: u8,
        now: Timestamp,
    ) -> Result<RevocationOutcome, ControlError> {
        let reason = RevocationReason::by_holder(reason).ok_or_else(|| {
            ControlError::malformed("reason", "must be one that a holder can give (RFC 5280 5.3.1)")
        })?;
        let sha256 = crate::authority::thumbprint(certificate);
        let serial = certificate.serial().to_string();
        let (entry, subject) = {
            let world = self.world();
            let entry = match status(&world, certificate.issuer_der(), &certificate.serial()) {
                Some(Status::Good(entry)) => entry,
                Some(Status::Revoked(_)) => return Ok(RevocationOutcome::AlreadyRevoked),
                Some(Status::Unknown) | None => return Ok(RevocationOutcome::Unknown),
            };
            // Not by issuer and serial number alone: whoever asks may have written both over a key of their own.
            let device = world.devices.get(&entry.subject.into());
            let application = world.applications.get(&entry.subject.into());
            let held = |held: &[device::Certificate]| held.iter().any(|c| c.sha256 == sha256);
            match (device, application) {
                (Some(device), _) if held(&device.certificates) => (entry, Subject::Device(device.id)),
                (_, Some(application)) if held(&application.certificates) => {
                    (entry, Subject::Application(application.id))
                }
                _ => return Ok(RevocationOutcome::Unknown),
            }
        };
        if let RevokedBy::Account(account) = by
            && account != Some(entry.subject)
        {
            return Ok(RevocationOutcome::NotAllowed);
        }
        let actor = OperatorId::from(entry.subject);
        match subject {
            Subject::Device(id) => {
                self.on_device(id, actor, now, Extras::default(), |_, _| {
                    Ok(vec![device::Command::RevokeOwn { serial: serial.clone(), reason }])
                })
                .await?;
            }
            Subject::Application(id) => {
                self.on_application(id, actor, (None, Vec::new()), now, |_| {
                    Ok(vec![application::Command::RevokeOwn { serial: serial.clone(), reason }])
                })
                .await?;
            }
        }
        Ok(RevocationOutcome::Revoked)
    }

    /// When to renew (RFC 9773 4.2): at its own place in the site's maintenance window or after two thirds of the lifetime, also
    /// while its authority drains (it outlives what it issued); at once where it was revoked, at its turn where its authority is
    /// compromised. `None`: not one of ours, or ended.
    pub fn renewal_info(&self, id: &CertId, now: Timestamp) -> Option<RenewalInfo> {
        let issuers = self.authority.issuers();
        let ca = issuers.issuing().iter().find(|i| i.certificate().subject_key_id() == Some(id.key_id()))?;
        let serial = Serial::from_der_content(id.serial()).ok()?;
        let told = |start: Timestamp, seconds: i64| RenewalInfo {
            start,
            end: start.plus_seconds(seconds.max(1)),
            explanation_url: None,
            retry_after_seconds: ASK_AGAIN_SECONDS,
        };
        let at_once = told(now.plus_seconds(-60), 30);
        match status(&self.world(), ca.certificate().subject_der(), &serial)? {
            Status::Unknown => None,
            Status::Revoked(_) => Some(at_once),
            Status::Good(_) if ca.state == AuthorityState::Compromised => {
                // In the order of risk; asked again within the hour, because the next step may follow.
                let turn = self.world().turn_of(&serial).unwrap_or(now);
                Some(RenewalInfo { retry_after_seconds: 3_600, ..told(turn.plus_seconds(-60), 120) })
            }
            Status::Good(entry) => {
                let world = self.world();
                let windows = world.windows_of(entry.subject, entry.subject_kind);
                let found = suggested(windows, (entry.not_before, entry.not_after), &serial);
                Some(told(found.start, found.end.seconds_since(found.start)))
            }
        }
    }

    /// What is known of a certificate that an order says it replaces (RFC 9773 5).
    pub fn predecessor(
        &self,
        account: Option<StreamId>,
        id: &CertId,
        identifiers: &[Identifier],
    ) -> Predecessor {
        let issuers = self.authority.issuers();
        let ca = issuers.issuing().iter().find(|i| i.certificate().subject_key_id() == Some(id.key_id()));
        let (Some(ca), Ok(serial)) = (ca, Serial::from_der_content(id.serial())) else {
            return Predecessor::Unknown;
        };
        let world = self.world();
        match status(&world, ca.certificate().subject_der(), &serial) {
            Some(Status::Good(entry)) if is_of(&world, &entry, account, identifiers) => Predecessor::Current,
            Some(Status::Good(_)) => Predecessor::Foreign,
            // One that was revoked has to be replaced; one that a newer one took the place of was.
            Some(Status::Revoked(revoked)) if revoked.reason == RevocationReason::Superseded => {
                Predecessor::Replaced
            }
            Some(Status::Revoked(_)) => Predecessor::Current,
            Some(Status::Unknown) | None => Predecessor::Unknown,
        }
    }
}

/// Who asks for a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokedBy {
    /// An account, and whom it is bound to.
    Account(Option<StreamId>),
    /// The holder of the certificate's key.
    Key,
}

/// Whose certificate it is: the account's record, or for an account of nobody the device that is named.
fn is_of(world: &World, entry: &Entry, account: Option<StreamId>, identifiers: &[Identifier]) -> bool {
    if let Some(record) = account {
        return record == entry.subject;
    }
    let Some(device) = world.devices.get(&entry.subject.into()) else { return false };
    identifiers.iter().all(|identifier| match identifier {
        Identifier::Permanent { value, .. } => *value == device.record.serial,
        Identifier::Module { serial, .. } => *serial == device.record.serial,
        Identifier::Dns(_) | Identifier::Ip(_) => false,
    })
}

fn status(world: &World, issuer_der: &[u8], serial: &Serial) -> Option<Status> {
    world.inventory.issuer(issuer_der).map(|issuer| world.inventory.status(issuer, serial))
}
