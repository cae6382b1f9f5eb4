//! One-time enrollment secrets, revocation, late renewal.

use lanyard_domain::device::Command;
use lanyard_domain::event::RevocationReason;
use lanyard_domain::id::{DeviceId, SecretId};
use lanyard_domain::time::Timestamp;

use super::{Accepted, Done};
use crate::journal::Journal;
use crate::plane::{Control, ControlError};

impl<J: Journal> Control<J> {
    /// 40 random bits chosen by the person's program: a second use of one would let a secret name two subjects.
    pub(super) fn secret_is_new(&self, secret: SecretId) -> Result<(), ControlError> {
        if self.world().by_secret(secret).is_none() {
            return Ok(());
        }
        Err(ControlError::refused(
            "secret_exists",
            format!("secret `{secret}` exists already; sign a new statement with another id"),
        ))
    }

    pub(super) async fn issue_secret(
        &self,
        accepted: Accepted,
        id: DeviceId,
        secret: SecretId,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        self.secret_is_new(secret)?;
        let appended = self
            .by_operator(&accepted, id, now, |by, statement| Command::IssueSecret {
                by,
                secret,
                expires,
                statement,
            })
            .await?;
        let mut done = Done::new(
            appended,
            format!("good once, for this device, until {expires}; it is shown here and nowhere else"),
        );
        // A statement is carried out once, so a secret is shown once.
        done.secret = Some(self.secrets.derive(secret, id.into(), expires));
        Ok(done)
    }

    pub(super) async fn revoke_device(
        &self,
        accepted: Accepted,
        id: DeviceId,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let appended = self
            .by_operator(&accepted, id, now, |by, statement| Command::Revoke { by, reason, statement })
            .await?;
        Ok(Done::new(
            appended,
            "revoked and cut off on every path; it gets no certificate until a person releases it",
        ))
    }

    pub(super) async fn revoke_certificates(
        &self,
        accepted: Accepted,
        id: DeviceId,
        serials: Vec<String>,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let count = serials.len();
        let appended = self
            .by_operator(&accepted, id, now, |by, statement| Command::RevokeCertificates {
                by,
                serials: serials.clone(),
                reason,
                statement,
            })
            .await?;
        Ok(Done::new(appended, format!("revoked {count} of its certificates; it may ask for another")))
    }

    pub(super) async fn allow_late_renewal(
        &self,
        accepted: Accepted,
        id: DeviceId,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Done, ControlError> {
        let appended = self
            .by_operator(&accepted, id, now, |by, statement| Command::AllowLateRenewal {
                by,
                until,
                statement,
            })
            .await?;
        Ok(Done::new(appended, format!("it may renew with its ended certificate until {until}")))
    }
}
