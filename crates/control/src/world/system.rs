//! Events of the control plane itself, and of what people decide about the whole hospital.

use std::sync::Arc;

use lanyard_domain::event::Event;
use lanyard_domain::watched::Watched;
use lanyard_pki::profile::ProfileName;

use super::{Endorsement, KnownAuthority, MOST_RAS, Origin, Touched, World, settle};

impl World {
    pub(super) fn apply_system(&mut self, origin: Origin, event: Option<&Event>) -> Touched {
        self.system_seq += 1;
        settle(&mut self.open_intents, None, event);
        if let Some(event) = event {
            self.own.follow(event);
            if self.follow_compromise(origin, event) {
                return Touched::Everyone;
            }
        }
        match event {
            Some(Event::LedgerStarted { origin, .. }) => self.origin = Some(origin.clone()),
            Some(Event::ServerCertified { certificate, serial, not_after, .. }) => {
                self.take_stock(origin, &certificate.0, serial, (origin.time, *not_after));
                self.inventory.made_by(serial, ProfileName::ControlServer.as_str());
            }
            Some(Event::ResponderCertified { authority, certificate, serial, not_after, .. }) => {
                self.take_stock(origin, &certificate.0, serial, (origin.time, *not_after));
                self.inventory.made_by(serial, ProfileName::OcspResponder.as_str());
                self.responders.insert(authority.clone(), certificate.0.clone());
            }
            Some(Event::RaCertified { authority, certificate, serial, not_after, .. }) => {
                self.take_stock(origin, &certificate.0, serial, (origin.time, *not_after));
                self.inventory.made_by(serial, ProfileName::ScepRa.as_str());
                let of_it = self.ras.entry(authority.clone()).or_default();
                of_it.push(certificate.0.clone());
                if of_it.len() > MOST_RAS {
                    of_it.remove(0);
                }
            }
            Some(Event::ProfileProposed { name, text, .. }) => {
                self.profiles.entry(name.clone()).or_default().proposed = Some((text.clone(), origin.actor));
            }
            Some(Event::ProfileApproved { name, .. }) => {
                if let Some(known) = self.profiles.get_mut(name) {
                    known.active = known.proposed.take().map(|(text, _)| text).or(known.active.take());
                }
            }
            Some(Event::MaintenanceSet { site, windows, .. }) if windows.is_empty() => {
                self.maintenance.remove(site);
            }
            Some(Event::MaintenanceSet { site, windows, .. }) => {
                self.maintenance.insert(site.clone(), windows.clone());
            }
            Some(Event::ServerWatched { record, .. }) => {
                let new = || Watched::new(record.clone());
                let watched = self.watched.entry(record.address.clone()).or_insert_with(new);
                watched.record = record.clone();
            }
            Some(Event::ServerUnwatched { address, .. }) => {
                self.watched.remove(address);
            }
            Some(Event::ServerSeen { address, certificate }) => {
                if let Some(watched) = self.watched.get_mut(address) {
                    watched.seen = Some(certificate.clone());
                    watched.told.clear();
                }
            }
            Some(Event::WatchAlarmRaised { address, alarm, .. }) => {
                if let Some(watched) = self.watched.get_mut(address) {
                    watched.told.push(*alarm);
                }
            }
            Some(Event::AuthorityPlanned { name, purpose, site, keys, under, .. }) => {
                self.authorities.push(KnownAuthority {
                    name: name.clone(),
                    certificate: Vec::new(),
                    purpose: *purpose,
                    site: site.clone(),
                    activated: None,
                    retired: false,
                    planner: Some(origin.actor),
                    keys: *keys,
                    under: under.as_ref().map(|root| root.0.clone()),
                    above: Vec::new(),
                });
            }
            Some(Event::AuthorityImported { name, certificate, above, .. }) => {
                if let Some(known) = self.authorities.iter_mut().find(|a| a.name == *name) {
                    known.certificate = certificate.0.clone();
                    known.above = above.iter().map(|c| c.0.clone()).collect();
                }
            }
            Some(Event::AuthorityCreated { name, certificate, keys, .. }) => {
                self.authority_created(name, &certificate.0, *keys, origin.pos);
            }
            Some(Event::AuthorityActivated { name, .. }) => {
                if let Some(known) = self.authorities.iter_mut().find(|a| a.name == *name) {
                    known.activated = Some(origin.pos);
                }
            }
            Some(Event::AuthorityRetired { name, .. }) => {
                if let Some(known) = self.authorities.iter_mut().find(|a| a.name == *name) {
                    known.retired = true;
                }
            }
            Some(taken @ Event::MakerListTaken { .. }) => self.take_maker_list(taken, origin.pos),
            Some(Event::EndorsementAdded { certificate, certificate_sha256, grade, uses, .. }) => {
                self.endorsements.push(Arc::new(Endorsement {
                    certificate: certificate.0.clone(),
                    sha256: *certificate_sha256,
                    grade: grade.clone(),
                    uses: uses.clone(),
                }));
            }
            _ => {}
        }
        Touched::Nothing
    }
}
