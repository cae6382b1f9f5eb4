//! Finding in the world, and what enforcement points are told of it.

use lanyard_domain::access::{DeviceView, ReleaseName};
use lanyard_domain::application::Application;
use lanyard_domain::device::{Device, OpenSecret};
use lanyard_domain::event::StreamKind;
use lanyard_domain::id::{ApplicationId, DeviceId, GatewayId, ReleaseId, SecretId, StreamId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::{Verdict, evaluate};

use super::{Account, AccountKey, Subject, World, serial_key};
use crate::digest::{label_key, sha256};

/// Who holds certificates, as people know them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// `device`, `application` or `gateway`.
    pub kind: &'static str,
    /// Its id.
    pub subject: String,
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub site: String,
    /// Who answers for it now; empty for a gateway, which is its site's.
    pub owner: String,
}

impl World {
    /// The device, application or gateway with this stream.
    pub fn described(&self, kind: StreamKind, id: StreamId) -> Option<Described> {
        match kind {
            StreamKind::Device => {
                let device = self.devices.get(&DeviceId::from(id))?;
                let record = &device.record;
                Some(Described {
                    kind: "device",
                    subject: device.id.to_string(),
                    name: format!("{} {} {}", record.vendor, record.model, record.serial),
                    site: record.site.clone(),
                    owner: record.owner.clone(),
                })
            }
            StreamKind::Application => {
                let application = self.applications.get(&ApplicationId::from(id))?;
                let record = &application.record;
                Some(Described {
                    kind: "application",
                    subject: application.id.to_string(),
                    name: record.name.clone(),
                    site: record.site.clone(),
                    owner: record.owner.clone(),
                })
            }
            StreamKind::Gateway => self.gateways.get(&GatewayId::from(id)).map(|gateway| Described {
                kind: "gateway",
                subject: gateway.id.to_string(),
                name: gateway.names.join(" "),
                site: gateway.site.clone(),
                owner: String::new(),
            }),
            StreamKind::System | StreamKind::Release | StreamKind::Operator => None,
        }
    }

    /// Whom a one-time secret was made for, and the secret, if it is the last one made for them.
    pub fn by_secret(&self, secret: SecretId) -> Option<(Subject, &OpenSecret)> {
        let subject = *self.secrets.get(&secret)?;
        let open = match subject {
            Subject::Device(id) => self.devices.get(&id)?.secret.as_deref(),
            Subject::Application(id) => self.applications.get(&id)?.secret.as_deref(),
        };
        open.filter(|s| s.id == secret).map(|open| (subject, open))
    }

    /// The ACME account of this key (its RFC 7638 thumbprint).
    pub fn account(&self, account_sha256: &Digest) -> Option<&Account> {
        self.accounts.get(account_sha256)
    }

    /// The account at this address: the first half of its first key's thumbprint; and the thumbprint of its key now.
    pub fn account_at(&self, id: &AccountKey) -> Option<(Digest, &Account)> {
        let key = self.account_ids.get(id)?;
        self.accounts.get(key).map(|account| (*key, account))
    }

    /// The application that serves a DNS name.
    pub fn by_name(&self, dns: &str) -> Option<&Application> {
        self.application_names.get(dns).and_then(|id| self.applications.get(id))
    }

    /// Devices registered under this maker's serial number, whatever vendor and model.
    pub fn by_serial_number(&self, serial: &str) -> impl Iterator<Item = &Device> + '_ {
        let (key, serial) = (serial_key(serial), serial.to_owned());
        self.serial_numbers
            .range((key, DeviceId::from_bytes([0; 16]))..)
            .take_while(move |(found, _)| *found == key)
            .filter_map(|(_, id)| self.devices.get(id))
            .filter(move |device| device.record.serial == serial)
    }

    /// The device that was registered under this label.
    pub fn by_label(&self, vendor: &str, model: &str, serial: &str) -> Option<&Device> {
        self.labels.get(&label_key(vendor, model, serial)).and_then(|id| self.devices.get(id))
    }

    /// The device that an endorsement key belongs to, retired ones included.
    pub fn by_endorsement_key(&self, ek_sha256: &Digest) -> Option<DeviceId> {
        self.endorsement_keys.get(ek_sha256).copied()
    }

    /// Devices whose retirement still has to be proven.
    pub fn retiring(&self) -> impl Iterator<Item = DeviceId> + '_ {
        self.retiring.iter().copied()
    }

    /// The device that one of its current certificates names by thumbprint.
    pub fn holds(&self, device: DeviceId, certificate: &Digest) -> Option<&Device> {
        let is_it = |c: &lanyard_domain::device::Certificate| c.sha256 == *certificate && self.stands(c);
        self.devices.get(&device).filter(|d| d.certificates.iter().any(is_it))
    }

    /// Devices whose last evidence matched `release`.
    pub fn running(&self, release: ReleaseId) -> Vec<DeviceId> {
        let runs = |d: &&Device| {
            d.evidence.as_ref().is_some_and(|e| e.firmware == Some(release) || e.model == Some(release))
        };
        self.devices.values().filter(runs).map(|d| d.id).collect()
    }

    /// What an enforcement point keeps of a device.
    pub fn view(&self, device: &Device, now: Timestamp) -> DeviceView {
        let trust = evaluate(device, &self.releases, now);
        let name = |id: Option<ReleaseId>| {
            id.and_then(|id| self.releases.get(&id))
                .map(|r| ReleaseName { id: r.id, version: r.record.version.clone() })
        };
        let evidence = device.evidence.as_ref();
        // Degraded by time alone is left to the enforcement point's own clock: the view would age otherwise.
        let by_time_only = trust.verdict == Verdict::Degraded;
        DeviceView {
            device: device.id,
            site: device.record.site.clone(),
            vendor: device.record.vendor.clone(),
            model: device.record.model.clone(),
            serial: device.record.serial.clone(),
            tier: device.record.tier,
            ai: device.record.ai,
            scopes: device.record.scopes.clone(),
            verdict: if by_time_only { Verdict::Trusted } else { trust.verdict },
            reasons: if by_time_only { Vec::new() } else { trust.reasons },
            fresh_until: trust.fresh_until,
            untrusted_after: trust.untrusted_after,
            certificates: device.certificates.iter().filter(|c| self.stands(c)).map(|c| c.sha256).collect(),
            firmware: name(evidence.and_then(|e| e.firmware)),
            ai_model: name(evidence.and_then(|e| e.model)),
            evidence_pos: evidence.map(|e| e.pos),
            evidence_sha256: evidence.map(|e| e.sha256),
            as_of: device.last_pos,
        }
    }

    /// Digest of the policy in force, as it stands in leaf headers (I4).
    pub fn policy_digest() -> Digest {
        sha256(lanyard_domain::access::POLICY.as_bytes())
    }
}
