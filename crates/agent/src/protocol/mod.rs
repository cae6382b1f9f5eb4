//! Enrollment by the standard protocols (EST, ACME, CMP) in place of our own: for hospitals that have one way for all
//! makers, and for control planes that are not ours. Renewal goes by the protocol that the certificate came by.
//!
//! An attempt is safe to repeat and to break off anywhere: key and request are kept before the first message goes out
//! ([`pending`]), so whoever comes back asks for the same certificate with the same key; the current identity is not
//! touched until the new one is on disk, and its key goes only after the new one was used ([`crate::identity`]).
//!
//! In scope: carrying the engines of `lanyard_enroll` over this agent's HTTP, waiting within bounds, what is kept. Out of
//! scope: the protocols themselves, evidence (only our own enrollment and [`crate::attest`] bring any, but for ACME's
//! statement about the key).
//!
//! To add a protocol: a variant of [`Protocol`], a file with its attempt, its arm in `Agent::attempt`.

mod accept;
mod acme;
mod carry;
mod cmp;
mod est;
pub mod pending;
mod statement;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use lanyard_api::client::{BadServer, Client, Server};
use lanyard_api::device::{Issued, Standing};
use lanyard_domain::text::{FieldError, check_text};
use lanyard_enroll::secret::SecretId;
use lanyard_pki::certificate::Certificate;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::agent::Agent;
use crate::error::AgentError;
use crate::identity::{Identity, Slot};
use crate::state;
pub(crate) use acme::HeldAccount;
use pending::{Pending, Purpose};
pub use statement::attestation_object;

/// A secret of ours has 41 characters; one of another server's a few more.
const MAX_SECRET: usize = 256;
/// As in the server's own configuration.
const MAX_SERVERS: usize = 16;

/// How a device gets its certificates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Our own: with evidence of the device's state, every time.
    #[default]
    Native,
    /// RFC 7030: a one-time secret first, the current certificate after that.
    Est,
    /// RFC 8555 with device-attest-01: the TPM speaks for each new key.
    Acme,
    /// RFC 9810: a one-time secret first, the current certificate after that.
    Cmp,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Native, Self::Est, Self::Acme, Self::Cmp];

    /// Whether it is our own.
    pub fn is_native(&self) -> bool {
        *self == Self::Native
    }

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Est => "est",
            Self::Acme => "acme",
            Self::Cmp => "cmp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text names no protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the protocol is none of `native`, `est`, `acme`, `cmp`")]
pub struct UnknownProtocol;

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(text: &str) -> Result<Self, UnknownProtocol> {
        Self::ALL.into_iter().find(|p| p.as_str() == text).ok_or(UnknownProtocol)
    }
}

/// The table `[enrollment]` of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrollment {
    /// How the first certificate is got.
    #[serde(default, skip_serializing_if = "Protocol::is_native")]
    pub protocol: Protocol,
    /// Where EST, ACME and CMP are served (`[enroll] listen` of the server), `host:port`, asked in this order. For ACME the
    /// name must be the one that the server's own addresses have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
    /// The certificate profile to ask for; absent means the record's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// File with the one-time secret for the first certificate (EST, CMP; ACME if the account is to be bound).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// For ACME: the maker's certificate of the attestation key and its issuers without the root, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation_certificates: Option<PathBuf>,
}

impl Enrollment {
    /// Whether nothing is set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks all values.
    pub fn check(&self) -> Result<(), FieldError> {
        if let Some(profile) = &self.profile {
            check_text("enrollment.profile", profile, 64)?;
        }
        self.addresses()
            .map_err(|e| FieldError::new("enrollment.servers", &e.to_string(), &self.servers.join(", ")))?;
        if self.servers.len() > MAX_SERVERS {
            let rule = format!("at most {MAX_SERVERS} are named");
            return Err(FieldError::new("enrollment.servers", &rule, &self.servers.len().to_string()));
        }
        if !self.protocol.is_native() && self.servers.is_empty() {
            let rule = format!("`{}` needs at least one", self.protocol);
            return Err(FieldError::new("enrollment.servers", &rule, ""));
        }
        Ok(())
    }

    /// The one-time secret, if a file with one is named. A file that is gone was used and put away. Blocks.
    pub(crate) fn secret(&self) -> Result<Option<OneTimeSecret>, AgentError> {
        let Some(path) = &self.secret_file else { return Ok(None) };
        OneTimeSecret::read(path)
    }

    pub(crate) fn addresses(&self) -> Result<Vec<Server>, BadServer> {
        self.servers.iter().map(|text| text.parse()).collect()
    }
}

/// A one-time secret as a person was shown it.
#[derive(Clone)]
pub struct OneTimeSecret(Zeroizing<String>);

impl fmt::Debug for OneTimeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimeSecret([redacted])")
    }
}

impl OneTimeSecret {
    /// Reads it; white space around it does not count.
    pub fn parse(text: &str) -> Result<Self, AgentError> {
        let text = text.trim();
        let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        if !(8..=MAX_SECRET).contains(&text.len()) || !plain {
            return Err(AgentError::Secret(
                "it has 8 to 256 visible ASCII characters and no colon: give it as `lanyard device secret` showed it",
            ));
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// That of a file; `None` when it does not exist. Blocks.
    pub fn read(path: &Path) -> Result<Option<Self>, AgentError> {
        let Some(bytes) = state::read_bytes(path)?.map(Zeroizing::new) else { return Ok(None) };
        let text = std::str::from_utf8(&bytes).map_err(|_| AgentError::Secret("the file holds no text"))?;
        Self::parse(text).map(Some)
    }

    fn reveal(&self) -> &str {
        &self.0
    }

    /// The secret's id: what CMP calls reference and ACME key identifier. For ours the part before the first dash.
    fn id(&self) -> String {
        let id = self.0.split('-').next().unwrap_or_default();
        id.parse::<SecretId>().map_or_else(|_| id.to_owned(), |id| id.to_string())
    }
}

/// How long an attempt may wait for people and queues.
#[derive(Debug, Clone, Copy)]
pub struct Patience(Instant);

impl Patience {
    /// From now on.
    pub fn of(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    /// Waits `seconds`, if there is that much time; at the end a last short wait is none.
    async fn wait(self, seconds: u32) -> bool {
        let until = Instant::now() + Duration::from_secs(u64::from(seconds.max(1)));
        if until > self.0 {
            return false;
        }
        tokio::time::sleep_until(until).await;
        true
    }

    fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Connections to the protocols' front.
#[derive(Debug, Clone)]
pub(crate) struct Fronts {
    /// Shows no certificate.
    pub(crate) anonymous: Client,
    /// Shows the newest one.
    pub(crate) mutual: Client,
}

impl Agent {
    /// Earns an identity by `protocol`. For EST and CMP the secret is the proof; for ACME it binds the account, and may be
    /// left out where the server lets hardware speak for itself.
    pub async fn enroll_by(
        &self,
        protocol: Protocol,
        secret: Option<OneTimeSecret>,
        patience: Patience,
    ) -> Result<Standing, AgentError> {
        if protocol.is_native() {
            return self.enroll().await.map(|issued| issued.standing);
        }
        if secret.is_none() && matches!(protocol, Protocol::Est | Protocol::Cmp) {
            return Err(AgentError::Secret(
                "a first certificate by EST or CMP needs one: have it made with `lanyard device secret`",
            ));
        }
        self.make_room().await?;
        self.attempt(protocol, Purpose::First, secret, patience).await
    }

    /// Renews by the protocol that the certificate came by.
    pub async fn renew_by(&self, patience: Patience) -> Result<Standing, AgentError> {
        let identity = self.parts.identities.current().ok_or(AgentError::NotEnrolled)?;
        if identity.protocol.is_native() {
            return self.renew().await.map(|issued| issued.standing);
        }
        self.make_room().await?;
        self.attempt(identity.protocol, Purpose::Renewal, None, patience).await
    }

    /// The slot of the next key may still hold the way back: that ends only when the current certificate was seen to work.
    async fn make_room(&self) -> Result<(), AgentError> {
        if self.parts.identities.has_way_back() {
            self.standing().await?;
        }
        Ok(())
    }

    async fn attempt(
        &self,
        protocol: Protocol,
        purpose: Purpose,
        secret: Option<OneTimeSecret>,
        patience: Patience,
    ) -> Result<Standing, AgentError> {
        let pending = self.blocking(move |parts| parts.pending.begin(parts, protocol, purpose)).await?;
        let issued = match protocol {
            Protocol::Est => self.by_est(&pending, secret.as_ref(), patience).await,
            Protocol::Acme => self.by_acme(&pending, secret.as_ref(), patience).await,
            Protocol::Cmp => self.by_cmp(&pending, secret.as_ref(), patience).await,
            Protocol::Native => Err(AgentError::NoFront),
        };
        // A refusal is about this request: the next one starts afresh.
        if issued.as_ref().is_err_and(AgentError::is_refusal) {
            self.blocking(|parts| parts.pending.forget()).await?;
        }
        issued?;
        let standing = self.standing().await.map_err(|e| AgentError::Unasked(Box::new(e)));
        // A first one is kept until it was used: what nobody is seen to have taken may be given up by those who issued it, and
        // the same key gets another by the same secret.
        if standing.is_ok() || purpose == Purpose::Renewal {
            self.blocking(|parts| parts.pending.forget()).await?;
        }
        standing
    }

    /// Shows itself, with evidence where it was enrolled with evidence, and hears where it stands.
    pub async fn show(&self) -> Result<Standing, AgentError> {
        match self.parts.identities.current() {
            Some(identity) if !identity.protocol.is_native() => self.standing().await,
            _ => self.attest().await,
        }
    }

    /// Takes a certificate for the pending key: checked first, on disk second, offered to new connections third.
    async fn install(
        &self,
        pending: &Pending,
        certificate: &Certificate,
        others: &[Certificate],
    ) -> Result<Identity, AgentError> {
        let identity = accept::identity(self, pending, certificate, others)?;
        let installed = identity.clone();
        self.blocking(move |parts| parts.identities.install(installed)).await?;
        let now = self.parts.clock.now();
        self.parts.status.send_modify(|status| {
            status.device = Some(identity.device);
            status.heard_at = Some(now);
            status.not_after = Some(identity.not_after);
            status.renew_at = Some(identity.renew_at);
        });
        tracing::info!(device.id = %identity.device, protocol = %identity.protocol, not_after = %identity.not_after,
            "device has a new certificate");
        Ok(identity)
    }

    /// Where the device stands, asked with the current certificate: its use is what ends the one before it.
    pub async fn standing(&self) -> Result<Standing, AgentError> {
        let (mut channel, _) = self.connect().await?;
        let standing: Standing = self.ask(&mut channel, "/v1/standing").await?;
        self.heard(&standing).await?;
        Ok(standing)
    }

    pub(crate) fn fronts(&self) -> Result<&Fronts, AgentError> {
        self.parts.fronts.as_ref().ok_or(AgentError::NoFront)
    }
}

/// What an [`Issued`] of our own protocol is as an identity.
pub(crate) fn native(issued: &Issued, slot: Slot, pcrs: Vec<u8>) -> Identity {
    Identity {
        device: issued.device,
        slot,
        chain_pem: issued.chain_pem.clone(),
        renew_at: issued.renew_at,
        not_after: issued.not_after,
        pcrs,
        protocol: Protocol::Native,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // I10
    #[test]
    fn a_secret_is_read_as_it_was_shown_and_not_shown_again() {
        let secret = OneTimeSecret::parse(" aeaqcaib-aaaa-bbbb\n").unwrap();
        assert_eq!((secret.reveal(), secret.id().as_str()), ("aeaqcaib-aaaa-bbbb", "aeaqcaib"));
        assert!(!format!("{secret:?}").contains("aaaa"));
        for bad in ["", "short", "has a space inside", "user:aeaqcaib-aaaa", &"x".repeat(MAX_SECRET + 1)] {
            assert!(matches!(OneTimeSecret::parse(bad), Err(AgentError::Secret(_))), "{bad}");
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        assert!(OneTimeSecret::read(&file).unwrap().is_none());
        std::fs::write(&file, [0xff; 20]).unwrap();
        assert!(OneTimeSecret::read(&file).is_err());
        std::fs::write(&file, "aeaqcaib-aaaa-bbbb\n").unwrap();
        assert!(OneTimeSecret::read(&file).unwrap().is_some());
    }

    #[test]
    fn protocols_read_back_as_written() {
        for protocol in Protocol::ALL {
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
        }
        assert_eq!("scep".parse::<Protocol>(), Err(UnknownProtocol));
    }

    #[test]
    fn each_rule_of_the_table_says_no() {
        let good =
            Enrollment { protocol: Protocol::Est, servers: vec!["a:1".into()], ..Enrollment::default() };
        assert_eq!(good.check(), Ok(()));
        for bad in [
            Enrollment { servers: vec![], ..good.clone() },
            Enrollment { servers: vec!["no port:x".into()], ..good.clone() },
            Enrollment { servers: vec!["a:1".into(); MAX_SERVERS + 1], ..good.clone() },
            Enrollment { profile: Some(String::new()), ..good.clone() },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        let written = toml::to_string(&good).unwrap();
        assert_eq!(toml::from_str::<Enrollment>(&written).unwrap(), good);
    }
}
