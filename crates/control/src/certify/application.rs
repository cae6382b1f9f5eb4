//! A certificate for an application, by an ACME order that proved its names (RFC 8555).
//!
//! The account says who asks, the challenges that the names are its own, the record whether it may have them. Same path as
//! for devices: decide -> record the intent -> sign -> record -> reply.
//! In scope: orders of `dns` and `ip` identifiers. Out of scope: devices ([`super::recognise`]).

use std::net::IpAddr;

use lanyard_domain::application::{Application, Command};
use lanyard_domain::device::WAITS_FOR_A_PERSON;
use lanyard_domain::id::{ApplicationId, IssuanceId, OperatorId, StreamId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::EnrollmentRequest;
use lanyard_enroll::acme::{Identifier, ProvenOrder};
use lanyard_pki::certificate::Certificate;
use lanyard_pki::name::DnsName;
use lanyard_pki::profile::Addresses;

use super::Certified;
use super::issuer::{or_given_up, while_it_issues};
use crate::authority::{PreparedIssuance, thumbprint};
use crate::carry_out::{application_entry, find_application as find};
use crate::journal::{Claim, Journal, Space};
use crate::names;
use crate::pace::Act;
use crate::plane::{Control, ControlError};
use crate::world::Subject;

/// Whether the order is an application's: all of its identifiers are addresses. Those of a device and addresses never stand in
/// one certificate.
pub(super) fn is_meant(order: &ProvenOrder) -> Result<bool, ControlError> {
    let devices = order.identifiers().iter().filter(|i| i.identifier().is_device()).count();
    match devices {
        0 => Ok(true),
        some if some == order.identifiers().len() => Ok(false),
        _ => Err(ControlError::refused(
            "mixed_identifiers",
            "an order is for a device or for addresses, not for both; make two",
        )),
    }
}

/// Whether each of these is in the record (I1): what a certificate says is what was approved.
pub fn all_registered<'a>(
    application: &Application,
    mut identifiers: impl Iterator<Item = &'a Identifier>,
) -> Result<(), ControlError> {
    let record = &application.record;
    let missing = identifiers.find(|identifier| match identifier {
        Identifier::Dns(name) => !record.serves(name),
        Identifier::Ip(address) => !record.ips.contains(address),
        Identifier::Permanent { .. } | Identifier::Module { .. } => true,
    });
    match missing {
        None => Ok(()),
        Some(identifier) => Err(ControlError::refused(
            "name_not_registered",
            format!("`{identifier}` is not in the record of application `{}`", record.name),
        )),
    }
}

impl<J: Journal> Control<J> {
    pub(super) async fn certify_application(
        &self,
        order: &ProvenOrder,
        request: &EnrollmentRequest,
        now: Timestamp,
    ) -> Result<Certified, ControlError> {
        let id = self.application_of(order)?;
        self.paces.admit(id.into(), Act::Proof, now)?;
        match self.issue_to_application(id, order, request, now).await {
            Err(ControlError::Refused(refused)) if WAITS_FOR_A_PERSON.contains(&refused.code.as_str()) => {
                Ok(Certified::Waiting { why: refused.text })
            }
            other => other,
        }
    }

    /// Whose account ordered. The account was bound when it was made; that it still stands is looked up now.
    fn application_of(&self, order: &ProvenOrder) -> Result<ApplicationId, ControlError> {
        let world = self.world();
        match world.account_at(order.account().as_bytes()) {
            Some((_, account)) if !account.ended => match account.subject {
                Subject::Application(id) => Ok(id),
                Subject::Device(_) => Err(ControlError::refused(
                    "account_of_a_device",
                    "this account is bound to a device; for addresses bind one to their application \
                     (`lanyard application secret`)",
                )),
            },
            _ => Err(ControlError::refused(
                "account_not_bound",
                "for addresses an account must be bound to their application (`lanyard application secret`)",
            )),
        }
    }

    async fn issue_to_application(
        &self,
        id: ApplicationId,
        order: &ProvenOrder,
        request: &EnrollmentRequest,
        now: Timestamp,
    ) -> Result<Certified, ControlError> {
        let actor = OperatorId::from(StreamId::from(id));
        let spki = Digest(request.csr.spki_sha256());
        let ready = {
            let world = self.world();
            let application = find(&world, id)?;
            all_registered(application, order.identifiers().iter().map(|i| i.identifier()))?;
            names::free_of_machines(&world, &application.record)?;
            // A dry run: nothing is prepared, and no claim taken, for who will be refused or told to wait.
            application.decide(intent(None, request), now)?;
            self.paces.admit(id.into(), Act::Certificate, now)?;
            let site = application.record.site.clone();
            let addresses = addresses(order)?;
            let asked = (request.profile.as_deref(), application.record.profiles.as_slice());
            self.authority.prepare_application(&request.csr, (id, addresses), &site, asked, now)?
        };
        let claims = vec![Claim { space: Space::TlsKey, key: spki }];
        self.on_application(id, actor, (None, claims), now, |application| {
            all_registered(application, order.identifiers().iter().map(|i| i.identifier()))?;
            Ok(vec![intent(Some(&ready), request)])
        })
        .await?;
        let issuance = ready.issuance;
        let issuer = ready.prepared.issuer().clone();
        let leaf = match self.authority.sign(ready.prepared) {
            Ok(leaf) => leaf,
            Err(error) => {
                self.abandon_application(id, issuance, &error.to_string(), actor, now).await;
                return Err(error);
            }
        };
        let recorded = self
            .record(now, |world| {
                let application = find(world, id)?;
                let events = application.decide(signed(issuance, &leaf), now)?.events;
                let mut entry = application_entry(id, application.seq, actor, events);
                while_it_issues(world, &issuer, &mut entry)?;
                Ok((vec![entry], ()))
            })
            .await;
        or_given_up(recorded, async |why| self.abandon_application(id, issuance, why, actor, now).await)
            .await?;
        Ok(Certified::Issued { subject: Subject::Application(id), chain: self.authority.chain(&leaf) })
    }

    /// Says in the stream that an intent came to nothing.
    pub(crate) async fn abandon_application(
        &self,
        id: ApplicationId,
        issuance: IssuanceId,
        why: &str,
        actor: OperatorId,
        now: Timestamp,
    ) {
        let abandoned = self
            .on_application(id, actor, (None, Vec::new()), now, |_| {
                Ok(vec![Command::AbandonIssuance { issuance, why: why.to_owned() }])
            })
            .await;
        if let Err(error) = abandoned {
            tracing::error!(application.id = %id, %error, "an abandoned issuance could not be recorded; recovery will");
        }
    }
}

/// What the certificate names: what was ordered, not all that the record has.
fn addresses(order: &ProvenOrder) -> Result<Addresses, ControlError> {
    let mut dns: Vec<DnsName> = Vec::new();
    let mut ips: Vec<IpAddr> = Vec::new();
    for proven in order.identifiers() {
        match proven.identifier() {
            Identifier::Dns(name) => {
                dns.push(name.parse().map_err(|e| ControlError::malformed("identifiers", e))?);
            }
            Identifier::Ip(address) => ips.push(*address),
            Identifier::Permanent { .. } | Identifier::Module { .. } => {}
        }
    }
    Addresses::new(dns, ips).map_err(|e| ControlError::refused("name_refused", e.to_string()))
}

/// What to record before the signature. `ready` is absent in the dry run.
fn intent(ready: Option<&PreparedIssuance>, request: &EnrollmentRequest) -> Command<'static> {
    Command::IntendIssuance {
        issuance: ready.map_or(IssuanceId::from_bytes([0; 16]), |r| r.issuance),
        protocol: request.protocol.as_str().to_owned(),
        profile: ready.map(|r| r.profile.clone()).unwrap_or_default(),
        serial: ready.map(|r| r.prepared.serial().to_string()).unwrap_or_default(),
        spki_sha256: Digest(request.csr.spki_sha256()),
        tbs_sha256: ready.map(|r| Digest(r.prepared.tbs_sha256())).unwrap_or_default(),
    }
}

fn signed(issuance: IssuanceId, leaf: &Certificate) -> Command<'static> {
    Command::RecordCertificate {
        issuance,
        serial: leaf.serial().to_string(),
        certificate: leaf.der().to_vec(),
        certificate_sha256: thumbprint(leaf),
        spki_sha256: Digest(leaf.spki_sha256()),
        not_before: leaf.not_before(),
        not_after: leaf.not_after(),
    }
}
