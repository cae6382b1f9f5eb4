//! Carrying out what operators sign: check the signature and the person, decide, record. One file per kind of
//! decision; to add one: a variant of `domain::statement::Action`, a file here, an arm in [`Control::carry_out`].

mod applications;
pub(crate) mod authorities;
mod compromise;
mod containment;
mod credentials;
mod devices;
mod endorsements;
mod erasure;
mod exports;
pub(crate) mod external;
mod gateways;
mod maintenance;
mod makers;
mod open_work;
mod operators;
mod profiles;
mod releases;
mod watched;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use lanyard_domain::operator::Operator;
use lanyard_domain::rights::{Right, right};
use lanyard_domain::statement::{Action, SignedStatement, Statement};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::secret::Secret;

use crate::digest::sha256;
use crate::journal::{Appended, Journal};
use crate::plane::{Control, ControlError};
use crate::world::World;

/// How far a signer's clock may be off: five minutes, as Kerberos and most token systems allow.
const SKEW_SECONDS: i64 = 300;

/// A statement whose signature and signer were checked; made only here.
pub struct Accepted {
    pub(crate) signed: SignedStatement,
    pub(crate) statement: Statement,
    pub(crate) by: Operator,
}

impl Accepted {
    /// What makes a second use of the same statement a refusal. The log remembers it for a week, a statement is stale
    /// after minutes.
    pub(crate) fn once(&self) -> Option<Digest> {
        Some(sha256(self.signed.text.as_bytes()))
    }
}

/// What was done.
#[derive(Debug, Clone)]
pub struct Done {
    /// Where it stands in the log.
    pub appended: Option<Appended>,
    /// What it came to, in a sentence.
    pub outcome: String,
    /// Devices whose trust may have changed with it beside the one named.
    pub reassess: Vec<lanyard_domain::id::DeviceId>,
    /// A one-time enrollment secret, for the person who asked for it.
    pub secret: Option<Secret>,
}

impl Done {
    pub(crate) fn new(appended: Option<Appended>, outcome: impl Into<String>) -> Self {
        Self { appended, outcome: outcome.into(), reassess: Vec::new(), secret: None }
    }
}

/// Whether this key made the statement's signature.
pub(crate) fn signed_with(signed: &SignedStatement, key: &Digest) -> Result<(), ControlError> {
    UnparsedPublicKey::new(&ED25519, key.0).verify(&signed.signed_bytes(), &signed.signature.0).map_err(
        |_| {
            ControlError::refused(
                "signature_invalid",
                "the statement's signature is not by that operator's key",
            )
        },
    )
}

/// Checks a statement against the world: signature by an active operator who may decide this, this log, a recent time.
pub(crate) fn accept(
    world: &World,
    signed: &SignedStatement,
    now: Timestamp,
) -> Result<Accepted, ControlError> {
    let statement = signed.parse()?;
    let by = world.operators.get(&statement.operator).filter(|o| o.active).ok_or_else(|| {
        ControlError::refused(
            "operator_unknown",
            format!("operator {} is not known or no longer active", statement.operator),
        )
    })?;
    signed_with(signed, &by.public_key)?;
    if world.origin.as_deref() != Some(statement.log.as_str()) {
        return Err(ControlError::refused(
            "other_log",
            format!("the statement is meant for log `{}`", statement.log),
        ));
    }
    if statement.at.seconds_since(now).abs() > SKEW_SECONDS {
        return Err(ControlError::refused(
            "statement_stale",
            format!(
                "the statement was signed at {}, more than {SKEW_SECONDS} s from now ({now}); check the clock and sign again",
                statement.at
            ),
        ));
    }
    require(by, right(&statement.action))?;
    Ok(Accepted { signed: signed.clone(), by: by.clone(), statement })
}

pub(crate) fn require(by: &Operator, Right { what, roles }: Right<'_>) -> Result<(), ControlError> {
    if by.may(roles) {
        return Ok(());
    }
    let names: Vec<String> = roles.iter().map(ToString::to_string).collect();
    Err(ControlError::refused(
        "role_missing",
        format!("to {what} an operator needs one of these roles: {}", names.join(", ")),
    ))
}

impl<J: Journal> Control<J> {
    /// Checks and carries out one signed statement.
    pub async fn carry_out(&self, signed: &SignedStatement, now: Timestamp) -> Result<Done, ControlError> {
        let accepted = accept(&self.world(), signed, now)?;
        match accepted.statement.action.clone() {
            Action::AddOperator { operator, name, roles, public_key } => {
                self.add_operator(accepted, operator, name, roles, public_key, now).await
            }
            Action::RemoveOperator { operator } => self.remove_operator(accepted, operator, now).await,
            Action::ReplaceOperatorKey { operator, public_key } => {
                self.replace_operator_key(accepted, operator, public_key, now).await
            }
            Action::RegisterDevice { device, record } => {
                self.register_device(accepted, device, record, now).await
            }
            Action::ApproveDevice { device, role } => self.approve_device(accepted, device, role, now).await,
            Action::QuarantineDevice { device } => self.quarantine_device(accepted, device, now).await,
            Action::ReleaseDevice { device } => self.release_device(accepted, device, now).await,
            Action::RetireDevice { device } => self.retire_device(accepted, device, now).await,
            Action::IssueSecret { device, secret, expires } => {
                self.issue_secret(accepted, device, secret, expires, now).await
            }
            Action::RevokeDevice { device, reason } => {
                self.revoke_device(accepted, device, reason, now).await
            }
            Action::RevokeCertificates { device, serials, reason } => {
                self.revoke_certificates(accepted, device, serials, reason, now).await
            }
            Action::AllowLateRenewal { device, until } => {
                self.allow_late_renewal(accepted, device, until, now).await
            }
            Action::RegisterApplication { application, record } => {
                self.register_application(accepted, application, record, now).await
            }
            Action::ApproveApplication { application } => {
                self.approve_application(accepted, application, now).await
            }
            Action::RemoveApplication { application } => {
                self.remove_application(accepted, application, now).await
            }
            Action::IssueApplicationSecret { application, secret, expires } => {
                self.issue_application_secret(accepted, application, secret, expires, now).await
            }
            Action::RevokeApplicationCertificates { application, serials, reason } => {
                self.revoke_application_certificates(accepted, application, serials, reason, now).await
            }
            Action::CreateAuthority { name, purpose, site, keys } => {
                self.create_authority(accepted, name, purpose, site, keys, now).await
            }
            Action::RequestAuthority { name, purpose, site, keys, under } => {
                let order = external::Order { name, purpose, site, keys, under };
                self.request_authority(accepted, order, now).await
            }
            Action::ImportAuthority { name, certificate, above } => {
                self.import_authority(accepted, name, (certificate, above), now).await
            }
            Action::ActivateAuthority { name } => self.activate_authority(accepted, name, now).await,
            Action::DeclareCompromise { name, successor, plan } => {
                self.declare_compromise(accepted, (name, successor), plan, now).await
            }
            Action::ConfirmCompromise { name, successor, plan } => {
                self.confirm_compromise(accepted, (name, successor), plan, now).await
            }
            Action::SetMaintenance { site, windows } => {
                self.set_maintenance(accepted, site, windows, now).await
            }
            Action::ProposeProfile { text } => self.propose_profile(accepted, text, now).await,
            Action::ApproveProfile { name, text_sha256 } => {
                self.approve_profile(accepted, name, text_sha256, now).await
            }
            Action::RetireAuthority { name } => self.retire_authority(accepted, name, now).await,
            Action::ProposeRelease { release, record } => {
                self.propose_release(accepted, release, record, now).await
            }
            Action::ApproveRelease { release } => self.approve_release(accepted, release, now).await,
            Action::WithdrawRelease { release } => self.withdraw_release(accepted, release, now).await,
            Action::AddEndorsement { certificate, grade, uses } => {
                self.add_endorsement(accepted, certificate.0, (grade, uses), now).await
            }
            Action::TakeMakerList { authority_sha256, issuers, list } => {
                self.take_maker_list(accepted, (authority_sha256, issuers), list.0, now).await
            }
            Action::AddGateway { gateway, site, spki_sha256, vkey, names } => {
                let facts = NewGateway { id: gateway, site, spki_sha256, vkey, names };
                self.admit_gateway(accepted, facts, now).await
            }
            Action::RemoveGateway { gateway, reason } => {
                self.remove_gateway(accepted, gateway, reason, now).await
            }
            Action::WatchServer { record } => self.watch_server(accepted, record, now).await,
            Action::UnwatchServer { address } => self.unwatch_server(accepted, address, now).await,
            Action::ErasePayload { pos, legal_basis } => {
                self.erase_payload(accepted, pos, legal_basis, now).await
            }
            Action::HandInRequest { .. } => Err(ControlError::refused(
                "wrong_call",
                "a statement that hands a request file in goes to the call for files, together with the file",
            )),
            Action::ExportEvidence { .. } => Err(ControlError::refused(
                "wrong_call",
                "an export statement goes to the evidence call together with its claim",
            )),
        }
    }
}

pub(crate) use applications::{entry as application_entry, find as find_application};
pub use gateways::NewGateway;
pub(crate) use gateways::{entry as gateway_entry, in_use as gateway_in_use};
pub use operators::FirstOperator;
