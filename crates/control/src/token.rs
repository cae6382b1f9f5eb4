//! Token: a short-lived credential bound to the certificate (RFC 8705), granted only while the device is trusted.

use lanyard_domain::access::{Allowed, DeniedKind, DeviceView, POLICY, authenticate};
use lanyard_domain::device::Command;
use lanyard_domain::id::{DeviceId, OperatorId, StreamId};
use lanyard_domain::record::Scope;
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;

use crate::journal::Journal;
use crate::pace::Act;
use crate::plane::{Control, ControlError, Extras, Refused, find};

/// Lifetime of a token: shorter than any overlap of certificates, long enough that a pump asks 12 times an hour.
pub const TOKEN_SECONDS: i64 = 300;

/// A decision that a token may be signed; made only here.
pub struct TokenPermit {
    /// Whose.
    pub device: DeviceId,
    /// Granted scopes.
    pub scopes: Vec<Scope>,
    /// Its end.
    pub expires: Timestamp,
    certificate: Digest,
}

impl<J: Journal> Control<J> {
    /// Whether this device, on this certificate, may have a token now; `wanted` narrows its record's scopes.
    pub fn may_have_token(
        &self,
        id: DeviceId,
        certificate: Digest,
        wanted: Option<&[Scope]>,
        now: Timestamp,
    ) -> Result<TokenPermit, ControlError> {
        let world = self.world();
        let view = world.view(find(&world, id)?, now);
        let allowed = admitted(&view, &certificate, now)?;
        let scopes: Vec<Scope> = match wanted {
            None => view.scopes.clone(),
            Some(wanted) => view.scopes.iter().filter(|s| wanted.contains(s)).cloned().collect(),
        };
        if scopes.is_empty() {
            return Err(ControlError::refused(
                "not_in_scope",
                "none of the asked scopes is in the device's record",
            ));
        }
        self.paces.admit(id.into(), Act::Token, now)?;
        Ok(TokenPermit {
            device: allowed.device(),
            scopes,
            expires: now.plus_seconds(TOKEN_SECONDS),
            certificate,
        })
    }

    /// Records the grant; the token goes out only after this.
    pub async fn record_token(
        &self,
        permit: &TokenPermit,
        token_sha256: Digest,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        let actor = OperatorId::from(StreamId::from(permit.device));
        self.on_device(permit.device, actor, now, Extras::default(), |world, device| {
            // Once more on the state that the record is made on: distrust may have come in between.
            admitted(&world.view(device, now), &permit.certificate, now)?;
            Ok(vec![Command::GrantToken {
                token_sha256,
                certificate_sha256: permit.certificate,
                scopes: permit.scopes.iter().map(ToString::to_string).collect(),
                expires: permit.expires,
            }])
        })
        .await?;
        Ok(())
    }
}

/// The one question that every enforcement point of the control plane asks.
pub fn admitted(view: &DeviceView, certificate: &Digest, now: Timestamp) -> Result<Allowed, ControlError> {
    authenticate(view, certificate, now).map_err(|denied| {
        let (code, text) = match denied.kind {
            DeniedKind::Credential => {
                ("certificate_not_current", "this certificate is not one of the device's current ones")
            }
            DeniedKind::Untrusted => ("device_untrusted", "the device is not trusted now"),
            DeniedKind::Scope => ("not_in_scope", "the device's record does not allow this"),
        };
        Refused::new(code, format!("{text} (policy {POLICY})")).because(denied.reasons).into()
    })
}
