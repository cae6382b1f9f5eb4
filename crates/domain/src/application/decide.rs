//! The rules of an application's life.

use super::{Application, ApplicationRecord, Stage};
use crate::credential::{Certificate, Intended, OpenSecret};
use crate::device::{Refusal, Transition, replaced_account, require};
use crate::event::{Event, RevocationReason};
use crate::id::{IssuanceId, SecretId};
use crate::operator::Operator;
use crate::rights;
use crate::statement::SignedStatement;
use crate::text::{Blob, Digest};
use crate::time::Timestamp;

/// One for each of the hosts that an application may have names for, and their successors.
const MOST_CERTIFICATES: usize = 128;

/// What someone or something wants done to an application.
#[derive(Debug, Clone)]
pub enum Command<'a> {
    /// Approve for security.
    Approve { by: &'a Operator, statement: SignedStatement },
    /// End it: its certificates are revoked.
    Remove { by: &'a Operator, statement: SignedStatement },
    /// Have a one-time secret made (ACME external account binding).
    IssueSecret { by: &'a Operator, secret: SecretId, expires: Timestamp, statement: SignedStatement },
    /// Bind an ACME account by it.
    BindAccount { secret: SecretId, account_sha256: Digest, jwk: String },
    /// Give its account another key.
    ReplaceAccount { account_sha256: Digest, by_sha256: Digest, jwk: String },
    /// End its account.
    EndAccount { account_sha256: Digest },
    /// Say what is about to be signed.
    IntendIssuance {
        issuance: IssuanceId,
        protocol: String,
        profile: String,
        serial: String,
        spki_sha256: Digest,
        tbs_sha256: Digest,
    },
    /// Record what was signed.
    RecordCertificate {
        issuance: IssuanceId,
        serial: String,
        certificate: Vec<u8>,
        certificate_sha256: Digest,
        spki_sha256: Digest,
        not_before: Timestamp,
        not_after: Timestamp,
    },
    /// Give an intent up.
    AbandonIssuance { issuance: IssuanceId, why: String },
    /// Revoke certificates by order of a person.
    RevokeCertificates {
        by: &'a Operator,
        serials: Vec<String>,
        reason: RevocationReason,
        statement: SignedStatement,
    },
    /// Revoke one at the request of who holds its account or key (RFC 8555 7.6).
    RevokeOwn { serial: String, reason: RevocationReason },
}

impl Application {
    /// The first event of an application.
    pub fn register(
        record: ApplicationRecord,
        by: &Operator,
        statement: SignedStatement,
    ) -> Result<Transition, Refusal> {
        require(by, rights::REGISTER_APPLICATION)?;
        record.check().map_err(|e| Refusal::new("record_invalid", e.to_string()))?;
        Ok(Transition { events: vec![Event::ApplicationRegistered { record, statement }] })
    }

    /// The events that `command` leads to, or why it is refused.
    pub fn decide(&self, command: Command<'_>, now: Timestamp) -> Result<Transition, Refusal> {
        self.rule(command, now).map(|events| Transition { events })
    }

    fn rule(&self, command: Command<'_>, now: Timestamp) -> Result<Vec<Event>, Refusal> {
        match command {
            Command::Approve { by, statement } => self.approve(by, statement),
            Command::Remove { by, statement } => {
                require(by, rights::REMOVE_APPLICATION)?;
                if self.stage == Stage::Removed {
                    return Err(self.removed());
                }
                let revoked = self.certificates.iter().map(|c| Event::CertificateRevoked {
                    serial: c.serial.clone(),
                    reason: RevocationReason::Retired,
                });
                Ok(std::iter::once(Event::ApplicationRemoved { statement }).chain(revoked).collect())
            }
            Command::IssueSecret { by, secret, expires, statement } => {
                require(by, rights::ISSUE_APPLICATION_SECRET)?;
                if self.stage == Stage::Removed {
                    return Err(self.removed());
                }
                OpenSecret::may_end_at(expires, now)?;
                Ok(vec![Event::EnrollmentSecretIssued { secret, expires, statement }])
            }
            Command::BindAccount { secret, account_sha256, jwk } => {
                self.bind_account(secret, account_sha256, jwk, now)
            }
            Command::ReplaceAccount { account_sha256, by_sha256, jwk } => {
                Ok(replaced_account(account_sha256, by_sha256, jwk))
            }
            Command::EndAccount { account_sha256 } => {
                Ok(vec![Event::AcmeAccountEnded { account_sha256, successor: None }])
            }
            Command::IntendIssuance { issuance, protocol, profile, serial, spki_sha256, tbs_sha256 } => {
                self.may_have_certificates()?;
                Certificate::leaves_room(&self.certificates, MOST_CERTIFICATES, now)?;
                Ok(vec![Event::IssuanceIntended {
                    issuance,
                    protocol,
                    profile,
                    serial,
                    spki_sha256,
                    tbs_sha256,
                    evidence_sha256: Digest::default(),
                }])
            }
            Command::RecordCertificate {
                issuance,
                serial,
                certificate,
                certificate_sha256,
                spki_sha256,
                not_before,
                not_after,
            } => {
                Intended::is_among(issuance, &self.pending)?;
                // Between intent and record it may have been removed: the certificate must then never be seen.
                self.may_have_certificates()?;
                Ok(vec![Event::CertificateIssued {
                    issuance,
                    serial,
                    certificate: Blob(certificate),
                    certificate_sha256,
                    spki_sha256,
                    not_before,
                    not_after,
                }])
            }
            Command::AbandonIssuance { issuance, why } => {
                Intended::is_among(issuance, &self.pending)?;
                Ok(vec![Event::IssuanceAbandoned { issuance, why }])
            }
            Command::RevokeCertificates { by, serials, reason, statement } => {
                require(by, rights::REVOKE_APPLICATION_CERTIFICATES)?;
                if serials.is_empty() {
                    return Err(Refusal::new("no_certificate_named", "name at least one serial number"));
                }
                for serial in &serials {
                    Certificate::is_current(serial, &self.certificates)?;
                }
                let mut events =
                    vec![Event::RevocationOrdered { reason, serials: serials.clone(), statement }];
                let revoked = serials.into_iter().map(|serial| Event::CertificateRevoked { serial, reason });
                events.extend(revoked);
                Ok(events)
            }
            Command::RevokeOwn { serial, reason } => {
                Certificate::is_current(&serial, &self.certificates)?;
                Ok(vec![Event::CertificateRevoked { serial, reason }])
            }
        }
    }

    fn approve(&self, by: &Operator, statement: SignedStatement) -> Result<Vec<Event>, Refusal> {
        require(by, rights::APPROVE_APPLICATION)?;
        match self.stage {
            Stage::Registered => {}
            Stage::Approved => return Err(Refusal::new("already_approved", "it is approved already")),
            Stage::Removed => return Err(self.removed()),
        }
        // I1
        if self.requester == by.id {
            return Err(Refusal::new(
                "requester_cannot_approve",
                "who registered an application may not approve it; another person must",
            ));
        }
        Ok(vec![Event::ApplicationApproved { statement }])
    }

    fn bind_account(
        &self,
        secret: SecretId,
        account_sha256: Digest,
        jwk: String,
        now: Timestamp,
    ) -> Result<Vec<Event>, Refusal> {
        let open = self.secret.as_deref().filter(|s| s.id == secret).ok_or_else(|| {
            Refusal::new("secret_unknown", "this secret is not, or no longer, the one of this application")
        })?;
        if now > open.expires {
            return Err(Refusal::new("secret_expired", "this secret has expired; have a new one made"));
        }
        if open.used_for.is_some_and(|account| account != account_sha256) {
            return Err(Refusal::new("secret_used", "this secret was used for another account"));
        }
        Ok(vec![
            Event::EnrollmentSecretUsed { secret, spki_sha256: account_sha256 },
            Event::AcmeAccountBound { account_sha256, jwk },
        ])
    }

    /// I1
    fn may_have_certificates(&self) -> Result<(), Refusal> {
        match self.stage {
            Stage::Approved => Ok(()),
            Stage::Registered => Err(Refusal::new(
                "not_approved",
                "this application is registered but not yet approved by security",
            )),
            Stage::Removed => Err(self.removed()),
        }
    }

    fn removed(&self) -> Refusal {
        Refusal::new("wrong_stage", "this application was removed; register a new one")
    }
}
