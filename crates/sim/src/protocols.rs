//! A fleet that does not speak one protocol: devices enroll and renew by our own, by EST, CMP or ACME, with the real agent.
//!
//! In scope: who speaks what, the one-time secret or the maker's certificate that it takes, carrying it out, counting. Out of
//! scope: starting a control plane, and speed.
//! To add a protocol: the agent's `Protocol`, and here what a device of it needs before it asks.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use lanyard_agent::AgentError;
use lanyard_agent::protocol::{Enrollment, OneTimeSecret, Patience, Protocol};
use lanyard_agent::tpm::RootOfTrust;
use lanyard_api::client::Server;
use lanyard_api::clock::Clock;
use lanyard_domain::id::{DeviceId, SecretId};
use lanyard_domain::statement::Action;
use lanyard_domain::tier::Tier;
use serde::Serialize;

use crate::device::{DeviceError, Manufactured, Network, VirtualDevice};
use crate::fleet::{Admission, concurrently, plain_record};
use crate::maker::Maker;
use crate::operators::DeskError;
use crate::rng::{SeededRng, fresh};

/// Technicians use a secret within the day.
const SECRET_SECONDS: i64 = 86_400;
/// On one machine everything is answered within seconds, also under load.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// What the devices of a fleet speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// All the same.
    One(Protocol),
    /// In turn.
    Mixed,
}

/// A text names no mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the protocol is none of `native`, `est`, `acme`, `cmp`, `mixed`")]
pub struct UnknownMix;

impl FromStr for Mix {
    type Err = UnknownMix;

    fn from_str(text: &str) -> Result<Self, UnknownMix> {
        match text {
            "mixed" => Ok(Self::Mixed),
            one => one.parse().map(Self::One).map_err(|_| UnknownMix),
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(protocol) => protocol.fmt(f),
            Self::Mixed => f.write_str("mixed"),
        }
    }
}

impl Mix {
    /// What the `index`th device speaks.
    pub fn of(self, index: usize) -> Protocol {
        match self {
            Self::One(protocol) => protocol,
            Self::Mixed => {
                Protocol::ALL.into_iter().cycle().nth(index % Protocol::ALL.len()).unwrap_or_default()
            }
        }
    }
}

/// A device that is registered, approved and connected, and has asked for nothing yet.
#[derive(Clone)]
pub struct Member {
    /// The device.
    pub device: Arc<VirtualDevice>,
    /// Its record.
    pub id: DeviceId,
    /// What it speaks.
    pub protocol: Protocol,
    secret: Option<OneTimeSecret>,
}

/// Why a device did not become a member.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The people.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// The secret, or the statement's certificate.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The server gave no secret.
    #[error("the control plane answered without the secret that was asked for")]
    NoSecret,
    /// Its folder.
    #[error("cannot write `{0}`: {1}")]
    Write(std::path::PathBuf, #[source] std::io::Error),
}

/// Where a fleet finds what it needs.
pub struct Surroundings {
    /// Control planes and what devices trust.
    pub network: Network,
    /// Where EST, CMP and ACME are served.
    pub fronts: Vec<Server>,
    /// Who made the chips.
    pub maker: Arc<Maker>,
    /// The people.
    pub admission: Admission,
    /// The time.
    pub clock: Clock,
    /// Readings.
    pub rng: SeededRng,
}

impl Surroundings {
    /// Registers, approves and connects one device. What is in its folder then is what a technician would bring.
    pub async fn join(
        &self,
        made: Manufactured,
        protocol: Protocol,
        home: &Path,
    ) -> Result<Member, JoinError> {
        let mut record = plain_record(made.class, &made.serial);
        // A secret proves no chip, so records of high tiers take none.
        if matches!(protocol, Protocol::Est | Protocol::Cmp) {
            record.tier = Tier::Standard;
        }
        let id = self.admission.register(record).await?;
        self.admission.approve(id).await?;
        let secret = match protocol {
            Protocol::Est | Protocol::Cmp => Some(self.secret(id).await?),
            Protocol::Native | Protocol::Acme => None,
        };
        let mut enrollment = Enrollment {
            protocol,
            servers: self.fronts.iter().map(ToString::to_string).collect(),
            ..Enrollment::default()
        };
        if protocol == Protocol::Acme {
            let pem = self
                .maker
                .attestation_certificate(made.tpm.as_ref(), &made.serial)
                .map_err(DeviceError::from)?;
            let path = home.join(format!("{}.ak.pem", made.serial));
            std::fs::write(&path, pem).map_err(|e| JoinError::Write(path.clone(), e))?;
            enrollment.attestation_certificates = Some(path);
        }
        let device = made.install_by(&self.network, enrollment, &self.clock, &self.rng)?;
        Ok(Member { device: Arc::new(device), id, protocol, secret })
    }

    async fn secret(&self, device: DeviceId) -> Result<OneTimeSecret, JoinError> {
        let secret = SecretId::from_random(fresh().map_err(DeskError::from)?);
        let expires = self.clock.now().plus_seconds(SECRET_SECONDS);
        let action = Action::IssueSecret { device, secret, expires };
        let recorded = self.admission.desk.decide(&self.admission.registrar, action, "unpacked").await?;
        Ok(OneTimeSecret::parse(&recorded.secret.ok_or(JoinError::NoSecret)?)?)
    }
}

/// What came of the devices of one protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// How many speak it.
    pub devices: usize,
    /// Certificates by enrollment.
    pub enrolled: usize,
    /// Certificates by renewal.
    pub renewed: usize,
    /// Attempts that the control plane refused.
    pub refused: usize,
    /// Attempts that failed otherwise.
    pub failed: usize,
}

/// What became of one device.
#[derive(Debug, Default)]
pub struct Life {
    /// As in a [`Tally`] of one.
    pub tally: Tally,
    /// What went wrong; it stopped there.
    pub error: Option<String>,
}

/// Each member enrolls, and then renews so many times; `limit` at a time, outcomes in the order of `members`.
pub async fn live(members: &[Member], renewals: u32, limit: usize) -> Vec<Life> {
    concurrently(members.to_vec(), limit, move |member| async move {
        let mut life = Life { tally: Tally { devices: 1, ..Tally::default() }, error: None };
        let agent = &member.device.agent;
        match agent.enroll_by(member.protocol, member.secret.clone(), Patience::of(PATIENCE)).await {
            Ok(_) => life.tally.enrolled += 1,
            Err(error) => return life.ended(&member, &error),
        }
        for _ in 0..renewals {
            match agent.renew_by(Patience::of(PATIENCE)).await {
                Ok(_) => life.tally.renewed += 1,
                Err(error) => return life.ended(&member, &error),
            }
        }
        life
    })
    .await
}

impl Life {
    fn ended(mut self, member: &Member, error: &AgentError) -> Self {
        match error.is_refusal() {
            true => self.tally.refused += 1,
            false => self.tally.failed += 1,
        }
        self.error = Some(format!("{} ({}): {error}", member.device.serial, member.protocol));
        self
    }
}

/// The counts of each protocol that is spoken, in their own order.
pub fn count(members: &[Member], lives: &[Life]) -> Vec<(Protocol, Tally)> {
    let of = |protocol: Protocol| {
        let own = members.iter().zip(lives).filter(move |(member, _)| member.protocol == protocol);
        let sum = own.fold(Tally::default(), |sum, (_, life)| sum.and(life.tally));
        (protocol, sum)
    };
    Protocol::ALL.into_iter().map(of).filter(|(_, tally)| tally.devices > 0).collect()
}

impl Tally {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            devices: self.devices + other.devices,
            enrolled: self.enrolled + other.enrolled,
            renewed: self.renewed + other.renewed,
            refused: self.refused + other.refused,
            failed: self.failed + other.failed,
        }
    }
}

/// The maker's certificate of a chip's attestation key, PEM.
impl Maker {
    fn attestation_certificate(
        &self,
        chip: &dyn RootOfTrust,
        device: &str,
    ) -> Result<String, lanyard_agent::tpm::TpmError> {
        let der = self.certify_attestation_key(&chip.ensure_ak()?.public, device)?;
        let body = data_encoding::BASE64.encode(&der);
        let lines: Vec<&str> =
            body.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        Ok(format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixed_fleet_speaks_each_protocol_in_turn() {
        let mix: Mix = "mixed".parse().unwrap();
        let spoken: Vec<Protocol> = (0..8).map(|index| mix.of(index)).collect();
        assert_eq!(spoken[..4], Protocol::ALL);
        assert_eq!(spoken[4..], Protocol::ALL);
        assert_eq!("cmp".parse::<Mix>().unwrap().of(7), Protocol::Cmp);
        assert_eq!("scep".parse::<Mix>(), Err(UnknownMix));
        for text in ["native", "est", "acme", "cmp", "mixed"] {
            assert_eq!(text.parse::<Mix>().unwrap().to_string(), text);
        }
    }
}
