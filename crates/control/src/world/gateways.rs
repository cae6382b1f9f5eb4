//! Events of gateways.

use lanyard_domain::event::{Event, RevocationReason};
use lanyard_domain::id::GatewayId;

use super::{Anchored, Gateway, GatewayCertificate, Origin, Touched, World, settle};

impl World {
    pub(super) fn apply_gateway(&mut self, origin: Origin, event: Option<&Event>) -> Touched {
        let id = GatewayId::from(origin.stream);
        if let Some(Event::GatewayAdded { site, vkey, spki_sha256, names, .. }) = event {
            self.gateways.insert(
                id,
                Gateway {
                    id,
                    site: site.clone(),
                    vkey: vkey.clone(),
                    spki_sha256: *spki_sha256,
                    names: names.clone(),
                    certificates: Vec::new(),
                    anchored: None,
                    removed: false,
                    added_pos: origin.pos,
                    seq: 0,
                },
            );
        }
        let Some(gateway) = self.gateways.get_mut(&id) else { return Touched::Nothing };
        gateway.seq += 1;
        settle(&mut self.open_intents, Some(id), event);
        match event {
            Some(Event::GatewayCertified { certificate_sha256, not_after, certificate, serial }) => {
                // How long a gateway's lives says its profile; its beginning is of no use to anyone but lists.
                let validity = (origin.time, *not_after);
                self.inventory.issued(
                    &certificate.0,
                    serial,
                    (origin.stream, origin.stream_kind),
                    (origin.pos, origin.time),
                    validity,
                );
                gateway.certificates.retain(|c| c.not_after > origin.time);
                gateway.certificates.push(GatewayCertificate {
                    serial: serial.clone(),
                    sha256: *certificate_sha256,
                    not_after: *not_after,
                });
            }
            Some(Event::CertificateRevoked { serial, reason }) => {
                gateway.certificates.retain(|c| c.serial != *serial);
                self.inventory.revoke(serial, *reason, origin.time);
            }
            Some(Event::GatewayRemoved { reason, .. }) => {
                gateway.removed = true;
                let reason = reason.unwrap_or(RevocationReason::Retired);
                for certificate in gateway.certificates.drain(..) {
                    self.inventory.revoke(&certificate.serial, reason, origin.time);
                }
            }
            Some(Event::GatewayCheckpointAnchored { size, note, .. }) => {
                gateway.anchored = Some(Anchored { size: *size, note: note.clone(), pos: origin.pos });
            }
            _ => {}
        }
        Touched::Gateway(id)
    }
}
