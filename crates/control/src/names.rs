//! Whose name is it? A certificate for a name or an address is one owner's to answer for: an application that passed for a
//! gateway or for the control plane would be given what devices send. Whoever comes second is refused (I2).
//!
//! Gateways and the control plane may share names: they are ours, and small sites run both on one host. Applications on one
//! host may share its address, never a DNS name.
//! In scope: names of records that are in use. Out of scope: control over a name (ACME's challenges).

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

use lanyard_domain::application::{ApplicationRecord, Stage};
use lanyard_domain::event::Event;
use lanyard_pki::certificate::Certificate;

use crate::plane::ControlError;
use crate::world::World;

/// The newest certificate of the control plane's listeners, with their names and addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    certificate: Option<Vec<u8>>,
    dns: Vec<String>,
    ips: Vec<IpAddr>,
    issuer: Vec<u8>,
}

impl Own {
    /// After an event that certifies the control plane anew. A certificate that cannot be read changes no names.
    pub(crate) fn follow(&mut self, event: &Event) {
        let Event::ServerCertified { certificate, .. } = event else { return };
        if let Ok(read) = Certificate::parse(&certificate.0) {
            self.dns = read.dns_names().to_vec();
            self.ips = read.ip_addresses().to_vec();
            self.issuer = read.issuer_der().to_vec();
        }
        self.certificate = Some(certificate.0.clone());
    }

    /// The certificate, DER.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }

    /// Addresses that listeners are reached at.
    pub(crate) fn ips(&self) -> &[IpAddr] {
        &self.ips
    }

    /// Whether that certificate is by the authority with this name (DER).
    pub fn is_by(&self, issuer_der: &[u8]) -> bool {
        self.issuer == issuer_der
    }
}

/// Whether an application may be registered with what its record names.
pub(crate) fn free_for_application(world: &World, record: &ApplicationRecord) -> Result<(), ControlError> {
    if let Some((name, by)) = record.dns.iter().find_map(|n| Some((n, world.by_name(n)?))) {
        return Err(taken(name, &format!("application `{}`", by.record.name)));
    }
    free_of_machines(world, record)
}

/// Whether none of an application's names is one of ours. Asked at its registration, and again at each issuance: an older log
/// may have let both in.
pub(crate) fn free_of_machines(world: &World, record: &ApplicationRecord) -> Result<(), ControlError> {
    let own = &world.own;
    let ours = own.dns.iter().find(|n| record.serves(n)).cloned();
    let ours = ours.or_else(|| own.ips.iter().find(|ip| record.ips.contains(ip)).map(IpAddr::to_string));
    if let Some(name) = ours {
        return Err(taken(&name, "the control plane"));
    }
    let in_use = world.gateways.values().filter(|gateway| !gateway.removed);
    for gateway in in_use {
        if let Some(name) = gateway.names.iter().find(|name| has(record, name)) {
            return Err(taken(name, &format!("gateway {}", gateway.id)));
        }
    }
    Ok(())
}

/// Whether a gateway or the control plane may have these names: none is an application's.
pub(crate) fn free_for_machine(world: &World, names: &[String]) -> Result<(), ControlError> {
    let in_use = world.applications.values().filter(|a| a.stage != Stage::Removed);
    for application in in_use {
        if let Some(name) = names.iter().find(|name| has(&application.record, name)) {
            let whose = format!(
                "application `{}` ({}); remove that one first, or choose another name",
                application.record.name, application.id
            );
            return Err(taken(name, &whose));
        }
    }
    Ok(())
}

/// Whether it is one of the record's names or addresses, however the address is written.
fn has(record: &ApplicationRecord, name: &str) -> bool {
    match name.parse::<IpAddr>() {
        Ok(address) => record.ips.contains(&address),
        Err(_) => record.serves(name),
    }
}

fn taken(name: &str, whose: &str) -> ControlError {
    ControlError::refused("name_taken", format!("`{name}` is a name of {whose}"))
}

#[cfg(test)]
mod tests {
    use lanyard_domain::event::StreamKind;
    use lanyard_domain::id::{ApplicationId, GatewayId, OperatorId, StreamId};
    use lanyard_domain::statement::SignedStatement;
    use lanyard_domain::text::{Blob, Digest};
    use lanyard_domain::time::Timestamp;

    use super::*;
    use crate::world::Origin;

    fn record(name: &str, dns: &[&str], ips: &[&str]) -> ApplicationRecord {
        ApplicationRecord {
            name: name.to_owned(),
            dns: dns.iter().map(|d| (*d).to_owned()).collect(),
            ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
            site: "north".to_owned(),
            owner: "imaging".to_owned(),
            purpose: "viewing".to_owned(),
            profiles: Vec::new(),
        }
    }

    fn statement() -> SignedStatement {
        SignedStatement { text: String::new(), signature: Blob(Vec::new()) }
    }

    fn apply(world: &mut World, kind: StreamKind, stream: StreamId, event: &Event) {
        let origin = Origin {
            stream,
            stream_kind: kind as u8,
            pos: world.next_pos,
            time: Timestamp::from_seconds(1_800_000_000),
            actor: OperatorId::from_bytes([1; 16]),
        };
        world.apply(origin, Some(event));
    }

    fn with_application(world: &mut World, id: u8, record: ApplicationRecord) {
        let event = Event::ApplicationRegistered { record, statement: statement() };
        apply(world, StreamKind::Application, ApplicationId::from_bytes([id; 16]).into(), &event);
    }

    fn with_gateway(world: &mut World, names: &[&str]) -> StreamId {
        let stream = GatewayId::from_bytes([7; 16]).into();
        let event = Event::GatewayAdded {
            site: "north".to_owned(),
            vkey: String::new(),
            spki_sha256: Digest([1; 32]),
            names: names.iter().map(|n| (*n).to_owned()).collect(),
            statement: None,
        };
        apply(world, StreamKind::Gateway, stream, &event);
        stream
    }

    fn why(answer: Result<(), ControlError>) -> String {
        match answer.unwrap_err() {
            ControlError::Refused(refused) => format!("{}: {}", refused.code, refused.text),
            other => panic!("expected a refusal: {other}"),
        }
    }

    // I2
    #[test]
    fn an_application_cannot_take_a_name_or_address_of_a_gateway_that_is_in_use() {
        let mut world = World::default();
        let gateway = with_gateway(&mut world, &["Gateway.Hospital.example", "10.0.0.9", "2001:db8::0:1"]);
        for wish in [
            record("viewer", &["viewer.hospital.example", "gateway.hospital.example"], &[]),
            record("viewer", &["viewer.hospital.example"], &["10.0.0.9"]),
            record("viewer", &["viewer.hospital.example"], &["2001:db8::1"]),
        ] {
            let refused = why(free_for_application(&world, &wish));
            assert!(refused.starts_with("name_taken") && refused.contains("name of gateway"), "{refused}");
        }
        let removed = Event::GatewayRemoved { reason: None, statement: statement() };
        apply(&mut world, StreamKind::Gateway, gateway, &removed);
        free_for_application(&world, &record("viewer", &["gateway.hospital.example"], &["10.0.0.9"]))
            .unwrap();
    }

    // I2
    #[test]
    fn a_gateway_cannot_take_a_name_or_address_of_an_application_that_is_in_use() {
        let mut world = World::default();
        with_application(&mut world, 1, record("viewer", &["viewer.hospital.example"], &["10.0.0.8"]));
        for name in ["VIEWER.hospital.example", "10.0.0.8"] {
            let refused = why(free_for_machine(&world, &["gw.hospital.example".to_owned(), name.to_owned()]));
            assert!(refused.contains(&format!("`{name}` is a name of application `viewer`")), "{refused}");
        }
        free_for_machine(&world, &["gw.hospital.example".to_owned(), "10.0.0.7".to_owned()]).unwrap();
        let removed = Event::ApplicationRemoved { statement: statement() };
        apply(&mut world, StreamKind::Application, ApplicationId::from_bytes([1; 16]).into(), &removed);
        free_for_machine(&world, &["viewer.hospital.example".to_owned(), "10.0.0.8".to_owned()]).unwrap();
    }

    // I2
    #[test]
    fn a_dns_name_is_one_applications_and_an_address_may_be_two() {
        let mut world = World::default();
        let first = record("viewer", &["viewer.hospital.example"], &["10.0.0.8"]);
        with_application(&mut world, 1, first.clone());
        for second in [record("other", &["viewer.hospital.example"], &[]), first] {
            let refused = why(free_for_application(&world, &second));
            assert!(refused.contains("name of application `viewer`"), "{refused}");
        }
        free_for_application(&world, &record("other", &["other.hospital.example"], &["10.0.0.8"])).unwrap();
    }

    // I2: what was let in by an older log gets no certificate, and the control plane's own names come from the log.
    #[test]
    fn an_application_cannot_take_a_name_or_address_of_the_control_plane() {
        let mut world = World::default();
        world.own = Own {
            certificate: None,
            dns: vec!["lanyard.hospital.example".to_owned()],
            ips: vec!["10.0.0.1".parse().unwrap()],
            issuer: Vec::new(),
        };
        for wish in [
            record("viewer", &["lanyard.hospital.example"], &[]),
            record("viewer", &["viewer.hospital.example"], &["10.0.0.1"]),
        ] {
            let refused = why(free_of_machines(&world, &wish));
            assert!(refused.ends_with("is a name of the control plane"), "{refused}");
        }
        free_of_machines(&world, &record("viewer", &["viewer.hospital.example"], &["10.0.0.2"])).unwrap();
    }
}
