//! Rules about credentials: one-time secrets, keys that are not in a TPM, who may be issued a certificate on what proof,
//! revocation, renewal after the end.
//!
//! A certificate says who a device is; whether it is trusted is computed elsewhere and asks for more.

use super::decide::{Refusal, require};
use super::{Device, Identity, MakerIdentity, Stage};
use crate::credential::{Certificate, LONGEST_SECRET_SECONDS, OpenSecret};
use crate::event::{Appraisal, Event, RevocationReason};
use crate::id::SecretId;
use crate::operator::Operator;
use crate::rights;
use crate::statement::SignedStatement;
use crate::text::Digest;
use crate::tier::Tier;
use crate::time::Timestamp;
use crate::trust::{Reason, Strength};

/// A device that was switched off may come back this long after its last certificate ended; then it enrolls anew.
pub const LATE_RENEWAL_SECONDS: i64 = 90 * 86_400;
/// Who renewed late and lost the answer asks again within a day.
const ASK_AGAIN_SECONDS: i64 = 86_400;
/// A certificate or two for each use, and their successors.
const MOST_CERTIFICATES: usize = 32;
/// As long as a secret: both are a person's word that a device is about to ask.
pub const LONGEST_LATE_ALLOWANCE_SECONDS: i64 = LONGEST_SECRET_SECONDS;

/// Refusals that a person's decision will lift: the device is told to wait and ask again.
pub const WAITS_FOR_A_PERSON: [&str; 2] = ["not_approved", "late_renewal_not_allowed"];

/// What is over in a moment: whoever asks again with the same key gets the certificate that is being made.
pub const BEING_ISSUED: &str = "being_issued";

/// What a request for a certificate rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Evidence that was appraised together with the request.
    Evidence,
    /// A key in hardware that its maker vouches for spoke for this very request.
    HardwareKey,
    /// A secret or a current certificate; evidence may be on record.
    Credential,
    /// A certificate of ours that has ended.
    EndedCertificate {
        /// When it ended.
        ended: Timestamp,
    },
}

impl Device {
    /// I1: no credential without a registered and approved record. A quarantined device keeps its identity, so that it
    /// can prove itself again; its verdict keeps it from everything else. A revoked one waits for a person.
    pub(super) fn may_hold_identity(&self) -> Result<(), Refusal> {
        match self.stage {
            Stage::Registered(_) => Err(Refusal::new(
                "not_approved",
                "this device is registered but not yet approved by security and biomedical engineering",
            )),
            Stage::Retiring | Stage::Retired => {
                Err(Refusal::new("retired", "this device is retired; it gets no credential again"))
            }
            _ => match self.barred {
                Some(reason) => Err(Refusal::new(
                    "revoked",
                    format!(
                        "this device was revoked ({reason}); a security or biomedical operator must release it first"
                    ),
                )),
                None => Ok(()),
            },
        }
    }

    /// Whether a certificate for this key may be issued on this basis (R66: the proof follows the tier).
    pub(super) fn may_be_issued(&self, basis: Basis, spki: &Digest, now: Timestamp) -> Result<(), Refusal> {
        self.may_hold_identity()?;
        let Some(identity) = &self.identity else {
            return Err(Refusal::new("no_identity", "no key is bound to this device; it must enroll"));
        };
        if self.lost_keys.contains(spki) {
            return Err(Refusal::new(
                "key_compromised",
                "a certificate for this key was revoked because others may know it: make a new key on the device",
            ));
        }
        Certificate::leaves_room(&self.certificates, MOST_CERTIFICATES, now)?;
        if basis == Basis::Evidence {
            return Ok(());
        }
        let least = self.record.tier.rules().least_for_certificate;
        let rooted = match identity {
            Identity::Soft => Strength::SoftKey,
            Identity::Tpm(_) | Identity::Maker(_) => Strength::HardwareKey,
        };
        // Renewal always re-attests: who can, must (R57, R60).
        let must_attest = matches!(identity, Identity::Tpm(_)) || least >= Strength::Measured;
        if rooted < least.min(Strength::HardwareKey) {
            return Err(Refusal::new(
                "key_too_weak_for_tier",
                format!(
                    "a device of tier `{}` needs a key in hardware that its maker vouches for: enroll with its TPM, \
                     its factory certificate (IDevID) or an attested key",
                    self.record.tier
                ),
            ));
        }
        // A copied certificate key must not become a second device: for a new key the hardware itself has to speak.
        if identity.hardware_key().is_some()
            && basis != Basis::HardwareKey
            && !self.certificates.iter().any(|c| c.spki_sha256 == *spki)
        {
            return Err(Refusal::new(
                "new_key_not_in_hardware",
                "this device's identity is a key in hardware: for a new key that hardware must vouch (its agent, its factory \
                 certificate or an attestation); with the key of its current certificate it may renew",
            ));
        }
        if must_attest {
            self.proven_lately(now)?;
        }
        match basis {
            Basis::EndedCertificate { ended } => self.may_renew_late(ended, now),
            _ => Ok(()),
        }
    }

    fn proven_lately(&self, now: Timestamp) -> Result<(), Refusal> {
        let fresh = self.record.tier.rules().fresh_seconds;
        let proven = self.evidence.as_ref().is_some_and(|e| {
            now <= e.at.plus_seconds(fresh)
                && e.appraisal != Appraisal::Contraindicated
                && e.firmware.is_some()
        });
        if proven {
            return Ok(());
        }
        Err(Refusal::new(
            "attest_first",
            format!(
                "this device must have proven its firmware within the last {fresh} s before it gets a certificate: \
                 attest, then ask again"
            ),
        ))
    }

    fn may_renew_late(&self, ended: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        if now.seconds_since(ended) > LATE_RENEWAL_SECONDS {
            return Err(Refusal::new(
                "ended_too_long_ago",
                format!(
                    "its last certificate ended more than {} days ago; it must enroll anew",
                    LATE_RENEWAL_SECONDS / 86_400
                ),
            ));
        }
        // An old certificate that ended while a newer one went on is no renewal that came too late. One that was given out within
        // the day and never seen may have been lost on its way.
        let is_lost =
            |c: &Certificate| c.seen_at.is_none() && now.seconds_since(c.not_before) <= ASK_AGAIN_SECONDS;
        if self.certificates.iter().any(|c| c.not_after > ended && !is_lost(c)) {
            return Err(Refusal::new(
                "not_its_last_certificate",
                "this certificate has ended and a later one was issued; ask with that one",
            ));
        }
        let by_itself = matches!(self.record.tier, Tier::Standard | Tier::Low);
        if by_itself || self.late_until.is_some_and(|until| now <= until) {
            return Ok(());
        }
        Err(Refusal::new(
            "late_renewal_not_allowed",
            format!(
                "its last certificate has ended, and for tier `{}` a person must allow the renewal: \
                 `lanyard device allow-late-renewal {}`",
                self.record.tier, self.id
            ),
        ))
    }

    pub(super) fn issue_secret(
        &self,
        by: &Operator,
        secret: SecretId,
        expires: Timestamp,
        statement: SignedStatement,
        now: Timestamp,
    ) -> Result<Vec<Event>, Refusal> {
        require(by, rights::ISSUE_SECRET)?;
        // Before the approvals too: the device may ask, and is told to wait.
        if !matches!(self.stage, Stage::Registered(_)) {
            self.may_hold_identity()?;
        }
        OpenSecret::may_end_at(expires, now)?;
        Ok(vec![Event::EnrollmentSecretIssued { secret, expires, statement }])
    }

    /// Whether `secret` may be used for this key: it is the open one, in time, and unused or used for the same key.
    pub fn secret_for(
        &self,
        secret: SecretId,
        spki: &Digest,
        now: Timestamp,
    ) -> Result<&OpenSecret, Refusal> {
        let open = self.secret.as_deref().filter(|s| s.id == secret).ok_or_else(|| {
            Refusal::new(
                "secret_unknown",
                "this enrollment secret is not, or no longer, the one of this device; have a new one made",
            )
        })?;
        if now > open.expires {
            return Err(Refusal::new(
                "secret_expired",
                "this enrollment secret has expired; have a new one made",
            ));
        }
        match open.used_for {
            Some(key) if key != *spki => Err(Refusal::new(
                "secret_used",
                "this enrollment secret was used for another key; it is good once, have a new one made",
            )),
            _ => Ok(open),
        }
    }

    pub(super) fn use_secret(
        &self,
        secret: SecretId,
        spki: Digest,
        now: Timestamp,
    ) -> Result<Vec<Event>, Refusal> {
        let open = self.secret_for(secret, &spki, now)?;
        // Who lost the answer is given the same certificate again, before it comes to this. A certificate that was revoked
        // or has ended does not come back by its secret.
        if open.answered {
            return Err(Refusal::new(
                "secret_used",
                "the certificate that this enrollment secret gave was revoked or has ended; have a new secret made, or \
                 renew with a certificate",
            ));
        }
        if open.used_for.is_some() {
            // The same request came twice, and the first is being signed: one secret gives one certificate.
            if !self.pending.is_empty() {
                return Err(Refusal::new(
                    BEING_ISSUED,
                    "a certificate for this device is being made at this moment; ask again with the same key",
                ));
            }
            return Ok(Vec::new());
        }
        let mut events = Vec::new();
        if self.identity.is_none() {
            events.push(Event::SoftKeyAccepted { secret });
        }
        events.push(Event::EnrollmentSecretUsed { secret, spki_sha256: spki });
        Ok(events)
    }

    /// An account speaks for the device; that is no identity: with an order the device still has to prove its key.
    pub(super) fn bind_account(
        &self,
        secret: SecretId,
        account_sha256: Digest,
        jwk: String,
        now: Timestamp,
    ) -> Result<Vec<Event>, Refusal> {
        // Before the approvals too: the device may ask, and is told to wait.
        if !matches!(self.stage, Stage::Registered(_)) {
            self.may_hold_identity()?;
        }
        let open = self.secret_for(secret, &account_sha256, now)?;
        if open.answered {
            return Err(Refusal::new("secret_used", "this enrollment secret was used; have a new one made"));
        }
        Ok(vec![
            Event::EnrollmentSecretUsed { secret, spki_sha256: account_sha256 },
            Event::AcmeAccountBound { account_sha256, jwk },
        ])
    }

    pub(super) fn bind_maker_key(
        &self,
        format: String,
        key: MakerIdentity,
        certificate_sha256: Digest,
        endorsement_sha256: Digest,
        now: Timestamp,
    ) -> Result<Vec<Event>, Refusal> {
        self.may_hold_identity()?;
        match &self.identity {
            Some(Identity::Maker(bound)) if bound.key_sha256 == key.key_sha256 => return Ok(Vec::new()),
            // A key in hardware takes the place of one in a file, never the other way round (I2).
            None | Some(Identity::Soft) => self.may_go_over_to(&key.key_sha256, now)?,
            Some(Identity::Maker(_) | Identity::Tpm(_)) => {
                return Err(Refusal::new(
                    "other_hardware",
                    "this record is bound to another hardware key; a replaced board is a new record linked by an operator",
                ));
            }
        }
        if self.record.ek_sha256.is_some_and(|expected| expected != key.key_sha256) {
            return Err(Refusal::new(
                "not_the_purchased_hardware",
                "its hardware key is not the one on the purchase list",
            ));
        }
        Ok(vec![Event::MakerKeyBound {
            format,
            key_sha256: key.key_sha256,
            certificate_sha256,
            endorsement_sha256,
            grade: key.grade,
        }])
    }

    /// A record that stands on a key in a file takes hardware only when a person vouches for it: by its key on the purchase
    /// list, or by a one-time secret that is still open. Else any genuine board of the maker could take the record over (I2).
    pub(super) fn may_go_over_to(&self, key: &Digest, now: Timestamp) -> Result<(), Refusal> {
        if self.identity != Some(Identity::Soft) || self.record.ek_sha256 == Some(*key) {
            return Ok(());
        }
        if self.secret.as_ref().is_some_and(|secret| !secret.answered && now <= secret.expires) {
            return Ok(());
        }
        Err(Refusal::new(
            "hardware_not_vouched_for",
            format!(
                "this record stands on a key in a file; before hardware takes its place a person must vouch for it: \
                 `lanyard device secret {}`, then ask again",
                self.id
            ),
        ))
    }

    pub(super) fn revoke(
        &self,
        by: &Operator,
        reason: RevocationReason,
        statement: SignedStatement,
    ) -> Result<Vec<Event>, Refusal> {
        require(by, rights::REVOKE_DEVICE)?;
        if matches!(self.stage, Stage::Retiring | Stage::Retired) {
            return Err(self.wrong_stage("revoked"));
        }
        if self.barred.is_some() {
            return Err(Refusal::new("revoked", "this device is revoked already"));
        }
        let mut events = vec![Event::RevocationOrdered { reason, serials: Vec::new(), statement }];
        events.extend(self.certificates.iter().map(|c| revoked(&c.serial, reason)));
        Ok(events)
    }

    pub(super) fn revoke_certificates(
        &self,
        by: &Operator,
        serials: Vec<String>,
        reason: RevocationReason,
        statement: SignedStatement,
    ) -> Result<Vec<Event>, Refusal> {
        require(by, rights::REVOKE_CERTIFICATES)?;
        serials.iter().try_for_each(|serial| Certificate::is_current(serial, &self.certificates))?;
        if serials.is_empty() {
            return Err(Refusal::new("no_certificate_named", "name at least one serial number"));
        }
        let events: Vec<Event> = serials.iter().map(|s| revoked(s, reason)).collect();
        Ok(std::iter::once(Event::RevocationOrdered { reason, serials, statement }).chain(events).collect())
    }

    /// A holder needs nobody's leave to have less; and the bar of a whole device is for people.
    pub(super) fn revoke_own(&self, serial: String, reason: RevocationReason) -> Result<Vec<Event>, Refusal> {
        Certificate::is_current(&serial, &self.certificates)?;
        Ok(vec![revoked(&serial, reason)])
    }

    pub(super) fn allow_late_renewal(
        &self,
        by: &Operator,
        until: Timestamp,
        statement: SignedStatement,
        now: Timestamp,
    ) -> Result<Vec<Event>, Refusal> {
        require(by, rights::ALLOW_LATE_RENEWAL)?;
        self.may_hold_identity()?;
        if !(1..=LONGEST_LATE_ALLOWANCE_SECONDS).contains(&until.seconds_since(now)) {
            return Err(Refusal::new(
                "allowance_lifetime",
                format!(
                    "a late renewal can be allowed for at most {} days from now",
                    LONGEST_LATE_ALLOWANCE_SECONDS / 86_400
                ),
            ));
        }
        Ok(vec![Event::LateRenewalAllowed { until, statement }])
    }

    /// First use of a certificate; a certificate that is not current, or was seen, gives nothing.
    pub(super) fn see_certificate(&self, serial: &str) -> Vec<Event> {
        let unseen = self.certificates.iter().any(|c| c.serial == serial && c.seen_at.is_none());
        if unseen { vec![Event::CertificateSeen { serial: serial.to_owned() }] } else { Vec::new() }
    }

    /// Certificates that a newer one, seen in use, has taken the place of (two-phase rotation, R44).
    pub(super) fn supersede(&self, serials: &[String]) -> Vec<Event> {
        let seen = || self.certificates.iter().filter(|c| c.seen_at.is_some());
        self.certificates
            .iter()
            .filter(|c| serials.contains(&c.serial) && seen().any(|newer| newer.succeeds(c)))
            .map(|c| revoked(&c.serial, RevocationReason::Superseded))
            .collect()
    }

    pub(super) fn bar(&mut self, reason: RevocationReason) {
        self.barred = Some(reason);
        if let Some(resume) = self.resume() {
            let why = Reason::new("revoked", format!("It was revoked: {reason}."));
            self.stage = Stage::Quarantined { resume, reasons: vec![why] };
        }
    }
}

/// RFC 8555 7.3.5: both keys signed for it.
pub(crate) fn replaced_account(account_sha256: Digest, by_sha256: Digest, jwk: String) -> Vec<Event> {
    vec![
        Event::AcmeAccountBound { account_sha256: by_sha256, jwk },
        Event::AcmeAccountEnded { account_sha256, successor: Some(by_sha256) },
    ]
}

fn revoked(serial: &str, reason: RevocationReason) -> Event {
    Event::CertificateRevoked { serial: serial.to_owned(), reason }
}
