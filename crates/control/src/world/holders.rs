//! Events of those who hold certificates: devices and applications, with what they have alike.

use lanyard_domain::application::Application;
use lanyard_domain::device::{Device, Recorded, Stage};
use lanyard_domain::event::Event;
use lanyard_domain::id::{ApplicationId, DeviceId, SecretId};
use lanyard_domain::text::Digest;

use super::{Account, Origin, Subject, Touched, World, account_id, serial_key};
use crate::digest::label_key;

impl World {
    pub(super) fn apply_device(
        &mut self,
        origin: Origin,
        event: Option<&Event>,
        recorded: Recorded,
    ) -> Touched {
        let id = DeviceId::from(origin.stream);
        let secret = self.devices.get(&id).and_then(|d| d.secret.as_ref()).map(|s| s.id);
        self.apply_holdings(Subject::Device(id), secret, origin, event);
        if let Some(event) = event {
            self.follow_makers(id, event);
        }
        let next = match (self.devices.remove(&id), event) {
            (Some(device), Some(event)) => Some(device.apply(event, origin.actor, recorded)),
            (Some(mut device), None) => {
                device.seq += 1;
                device.last_pos = origin.pos;
                Some(device)
            }
            (None, Some(event)) => Device::begin(id, event, origin.actor, recorded),
            (None, None) => None,
        };
        if let Some(device) = next {
            self.note_profile(&device.certificates, event);
            if device.seq == 1 {
                let key = label_key(&device.record.vendor, &device.record.model, &device.record.serial);
                self.labels.insert(key, id);
                self.serial_numbers.insert((serial_key(&device.record.serial), id));
            }
            if let Some(identity) = &device.identity {
                // The first owner keeps it: a second binding is refused before it is recorded (I2).
                if let Some(key) = identity.hardware_key() {
                    self.endorsement_keys.entry(key).or_insert(id);
                }
            }
            if device.stage == Stage::Retiring {
                self.retiring.insert(id);
            } else {
                self.retiring.remove(&id);
            }
            self.devices.insert(id, device);
        }
        Touched::Device(id)
    }

    /// Which profile a certificate was made by says the intent before it, which only its holder remembers.
    fn note_profile(&mut self, held: &[lanyard_domain::device::Certificate], event: Option<&Event>) {
        let Some(Event::CertificateIssued { serial, .. }) = event else { return };
        if let Some(made) = held.iter().rfind(|c| c.serial == *serial) {
            self.inventory.made_by(serial, &made.profile);
        }
    }

    fn bind_account(&mut self, key: Digest, subject: Subject, jwk: &str) {
        // The first owner keeps it: a second binding is refused before it is recorded.
        self.accounts.entry(key).or_insert_with(|| Account {
            subject,
            jwk: jwk.to_owned(),
            first_sha256: key,
            ended: false,
        });
        self.account_ids.entry(account_id(&key)).or_insert(key);
    }

    /// The address goes on to the successor (RFC 8555 7.3.5); the old key never gets another.
    fn end_account(&mut self, key: &Digest, successor: Option<&Digest>) {
        let Some(ended) = self.accounts.get_mut(key) else { return };
        ended.ended = true;
        let first = ended.first_sha256;
        if let Some((successor, account)) = successor.and_then(|s| Some((*s, self.accounts.get_mut(s)?))) {
            account.first_sha256 = first;
            self.account_ids.remove(&account_id(&successor));
            self.account_ids.insert(account_id(&first), successor);
        }
    }

    /// What devices and applications have alike: certificates, one-time secrets (`secret` is the last one), ACME accounts.
    fn apply_holdings(
        &mut self,
        subject: Subject,
        secret: Option<SecretId>,
        origin: Origin,
        event: Option<&Event>,
    ) {
        match event {
            Some(Event::CertificateIssued { certificate, serial, not_before, not_after, .. }) => {
                self.take_stock(origin, &certificate.0, serial, (*not_before, *not_after));
            }
            Some(Event::CertificateRevoked { serial, reason }) => {
                self.inventory.revoke(serial, *reason, origin.time);
            }
            Some(Event::EnrollmentSecretIssued { secret: new, .. }) => {
                if let Some(before) = secret {
                    self.secrets.remove(&before);
                }
                self.secrets.insert(*new, subject);
            }
            Some(Event::AcmeAccountBound { account_sha256, jwk }) => {
                self.bind_account(*account_sha256, subject, jwk);
            }
            Some(Event::AcmeAccountEnded { account_sha256, successor }) => {
                self.end_account(account_sha256, successor.as_ref());
            }
            _ => {}
        }
    }

    pub(super) fn apply_application(
        &mut self,
        origin: Origin,
        event: Option<&Event>,
        recorded: Recorded,
    ) -> Touched {
        let id = ApplicationId::from(origin.stream);
        let secret = self.applications.get(&id).and_then(|a| a.secret.as_ref()).map(|s| s.id);
        self.apply_holdings(Subject::Application(id), secret, origin, event);
        if let Some(Event::ApplicationRemoved { .. }) = event {
            self.application_names.retain(|_, of| *of != id);
            for account in self.accounts.values_mut().filter(|a| a.subject == Subject::Application(id)) {
                account.ended = true;
            }
        }
        let next = match (self.applications.remove(&id), event) {
            (Some(application), Some(event)) => Some(application.apply(event, recorded)),
            (Some(mut application), None) => {
                application.seq += 1;
                Some(application)
            }
            (None, Some(event)) => Application::begin(id, event, origin.actor),
            (None, None) => None,
        };
        if let Some(application) = next {
            self.note_profile(&application.certificates, event);
            if application.seq == 1 {
                for name in &application.record.dns {
                    self.application_names.insert(name.clone(), id);
                }
            }
            self.applications.insert(id, application);
        }
        Touched::Nothing
    }
}
