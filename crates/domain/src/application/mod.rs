//! Applications: servers and services of the hospital that get certificates by ACME (EHR front ends, PACS, gateways that are
//! not ours). Not devices: they prove nothing about what runs, and no data path trusts them for it.
//!
//! As with devices, [`Application::decide`] holds the rules and [`Application::apply`] is the only thing that changes one.
//! In scope: registered and approved names. Out of scope: proving control over a name (ACME's challenges).

mod decide;
#[cfg(test)]
mod tests;

pub use decide::Command;

use serde::{Deserialize, Serialize};

use crate::credential::{Certificate, Intended, OpenSecret};
use crate::device::Recorded;
use crate::event::Event;
use crate::id::{ApplicationId, OperatorId};
use crate::text::{FieldError, check_slug, check_text};

/// More names than this are several applications.
const MOST_NAMES: usize = 32;
/// A server and a client certificate, and their successors while a template is being replaced.
const MOST_PROFILES: usize = 4;

/// What a hospital writes down about an application before it may have certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicationRecord {
    /// Slug, unique: `pacs-viewer`.
    pub name: String,
    /// DNS names that it serves; each is one application's.
    pub dns: Vec<String>,
    /// IP addresses that it serves.
    #[serde(default)]
    pub ips: Vec<std::net::IpAddr>,
    /// Site slug.
    pub site: String,
    /// Who answers for it: a role or team address.
    pub owner: String,
    /// What for, in a sentence.
    pub purpose: String,
    /// Labels of the certificate profiles that it may ask for; the first is what it gets without asking. None named: what
    /// applications get by default, and no other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
}

impl ApplicationRecord {
    /// Checks every field; the first broken rule is named.
    pub fn check(&self) -> Result<(), FieldError> {
        check_slug("name", &self.name)?;
        check_slug("site", &self.site)?;
        check_text("owner", &self.owner, 128)?;
        check_text("purpose", &self.purpose, 256)?;
        let names = self.dns.len() + self.ips.len();
        if !(1..=MOST_NAMES).contains(&names) {
            let rule = format!("must list 1 to {MOST_NAMES} names and addresses");
            return Err(FieldError::new("dns", &rule, &names.to_string()));
        }
        if self.profiles.len() > MOST_PROFILES {
            let rule = format!("must list at most {MOST_PROFILES} profiles");
            return Err(FieldError::new("profiles", &rule, &self.profiles.len().to_string()));
        }
        self.profiles.iter().try_for_each(|label| check_slug("profiles", label))?;
        self.dns.iter().try_for_each(|name| check_dns(name))
    }

    /// Whether it serves this name, in the spelling of DNS.
    pub fn serves(&self, name: &str) -> bool {
        self.dns.iter().any(|n| n.eq_ignore_ascii_case(name))
    }
}

/// RFC 1035 2.3.1 in lower case, no wildcard: what a certificate says is what was approved.
fn check_dns(name: &str) -> Result<(), FieldError> {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    if name.len() <= 253 && name.contains('.') && name.split('.').all(label) {
        return Ok(());
    }
    Err(FieldError::new("dns", "each must be a full DNS name in lower case, without wildcard", name))
}

/// Where an application is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Written down, waiting for security.
    Registered,
    /// May have certificates.
    Approved,
    /// The end.
    Removed,
}

impl Stage {
    /// Its name as printed.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Registered => "registered",
            Stage::Approved => "approved",
            Stage::Removed => "removed",
        }
    }
}

/// An application as folded from its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Which.
    pub id: ApplicationId,
    /// Events so far in its stream.
    pub seq: u64,
    /// What was registered.
    #[serde(with = "crate::text::in_words")]
    pub record: ApplicationRecord,
    /// Who asked; may not approve.
    pub requester: OperatorId,
    /// Where it is in its life.
    pub stage: Stage,
    /// Certificates that may be used.
    pub certificates: Vec<Certificate>,
    /// Intents whose certificate is not recorded yet.
    pub pending: Vec<Intended>,
    /// The last one-time secret made for it.
    pub secret: Option<Box<OpenSecret>>,
}

impl Application {
    /// The application that an `ApplicationRegistered` event brings into being; any other first event is none.
    pub fn begin(id: ApplicationId, event: &Event, requester: OperatorId) -> Option<Self> {
        let Event::ApplicationRegistered { record, .. } = event else { return None };
        Some(Self {
            id,
            seq: 1,
            record: record.clone(),
            requester,
            stage: Stage::Registered,
            certificates: Vec::new(),
            pending: Vec::new(),
            secret: None,
        })
    }

    /// The application after `event`.
    pub fn apply(mut self, event: &Event, recorded: Recorded) -> Self {
        self.seq += 1;
        match event {
            Event::ApplicationApproved { .. } => self.stage = Stage::Approved,
            Event::ApplicationRemoved { .. } => self.stage = Stage::Removed,
            Event::EnrollmentSecretIssued { .. } | Event::EnrollmentSecretUsed { .. } => {
                OpenSecret::follow(&mut self.secret, event);
            }
            Event::IssuanceIntended { .. } | Event::IssuanceAbandoned { .. } => {
                Intended::follow(&mut self.pending, event);
            }
            Event::CertificateIssued { .. } => {
                self.certificates.retain(|c| c.not_after > recorded.time);
                self.certificates.extend(Certificate::issued(event, &mut self.pending, recorded));
            }
            Event::CertificateRevoked { serial, .. } => self.certificates.retain(|c| c.serial != *serial),
            // Audit facts.
            _ => {}
        }
        self
    }
}
