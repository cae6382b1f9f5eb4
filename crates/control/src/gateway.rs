//! Gateways' certificates: the registered key asks, the intent is recorded, the certificate is recorded, then given.

use std::net::IpAddr;

use lanyard_domain::event::{Event, StreamKind};
use lanyard_domain::id::{GatewayId, OperatorId, StreamId};
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::csr;
use lanyard_pki::name::DnsName;
use lanyard_pki::profile::{Addresses, SubjectFacts};

use crate::authority::thumbprint;
use crate::carry_out::{gateway_entry, gateway_in_use};
use crate::journal::{Entry, Journal};
use crate::pace::Act;
use crate::plane::{Control, ControlError};

impl<J: Journal> Control<J> {
    /// Certifies an admitted gateway's key.
    pub async fn certify_gateway(
        &self,
        id: GatewayId,
        request: &[u8],
        now: Timestamp,
    ) -> Result<(String, Timestamp), ControlError> {
        let csr = csr::verify(request).map_err(|e| ControlError::malformed("csr", e))?;
        let (names, site) = {
            let world = self.world();
            let gateway = gateway_in_use(&world, id)?;
            if gateway.spki_sha256 != Digest(csr.spki_sha256()) {
                return Err(ControlError::refused(
                    "other_key",
                    "the request's key is not the one that was admitted for this gateway",
                ));
            }
            (gateway.names.clone(), gateway.site.clone())
        };
        self.paces.admit(id.into(), Act::GatewayCertificate, now)?;
        let subject = SubjectFacts::Gateway { id, addresses: addresses(&names)? };
        let ready = self.authority.prepare_gateway(&csr, &subject, &site, now)?;
        let actor = OperatorId::from(StreamId::from(id));
        let intended = Event::IssuanceIntended {
            issuance: ready.issuance,
            protocol: "gateway".to_owned(),
            profile: ready.profile.to_string(),
            serial: ready.prepared.serial().to_string(),
            spki_sha256: Digest(ready.prepared.spki_sha256()),
            tbs_sha256: Digest(ready.prepared.tbs_sha256()),
            evidence_sha256: Digest::default(),
        };
        self.on_gateway(id, actor, intended, now).await?;
        let certificate = self.authority.sign(ready.prepared)?;
        let issued = Event::GatewayCertified {
            serial: certificate.serial().to_string(),
            certificate: Blob(certificate.der().to_vec()),
            certificate_sha256: thumbprint(&certificate),
            not_after: certificate.not_after(),
        };
        self.on_gateway(id, actor, issued, now).await?;
        Ok((self.authority.chain_pem(&certificate), certificate.not_after()))
    }

    /// Certifies the control plane's own TLS key: intent, signature, record, as for everyone else (I3).
    pub async fn certify_self(
        &self,
        request: &[u8],
        names: &[String],
        now: Timestamp,
    ) -> Result<Certificate, ControlError> {
        let csr = csr::verify(request).map_err(|e| ControlError::malformed("csr", e))?;
        let subject = SubjectFacts::Control { addresses: addresses(names)? };
        let ready = self.authority.prepare_control(&csr, &subject, now)?;
        let issuance = ready.issuance;
        let intended = Event::IssuanceIntended {
            issuance,
            protocol: "self".to_owned(),
            profile: ready.profile.to_string(),
            serial: ready.prepared.serial().to_string(),
            spki_sha256: Digest(ready.prepared.spki_sha256()),
            tbs_sha256: Digest(ready.prepared.tbs_sha256()),
            evidence_sha256: Digest::default(),
        };
        self.on_system(intended, now).await?;
        let certificate = self.authority.sign(ready.prepared)?;
        let issued = Event::ServerCertified {
            issuance,
            serial: certificate.serial().to_string(),
            certificate: Blob(certificate.der().to_vec()),
            certificate_sha256: thumbprint(&certificate),
            not_after: certificate.not_after(),
        };
        self.on_system(issued, now).await?;
        Ok(certificate)
    }

    pub(crate) async fn on_system(&self, event: Event, now: Timestamp) -> Result<(), ControlError> {
        self.record(now, |world| {
            let entry = Entry {
                stream: StreamId::SYSTEM,
                stream_kind: StreamKind::System,
                expected_seq: world.system_seq,
                actor: crate::upkeep::ITSELF,
                events: vec![event.clone()],
                claims: Vec::new(),
                once: None,
                blobs: Vec::new(),
                erase: Vec::new(),
            };
            Ok((vec![entry], ()))
        })
        .await?;
        Ok(())
    }

    async fn on_gateway(
        &self,
        id: GatewayId,
        actor: OperatorId,
        event: Event,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        self.record(now, |world| {
            let seq = gateway_in_use(world, id)?.seq;
            Ok((vec![gateway_entry(id, actor, seq, event.clone(), Vec::new())], ()))
        })
        .await?;
        Ok(())
    }
}

/// DNS names and IP addresses out of one list.
pub fn addresses(names: &[String]) -> Result<Addresses, ControlError> {
    let mut dns: Vec<DnsName> = Vec::new();
    let mut ips: Vec<IpAddr> = Vec::new();
    for name in names {
        match name.parse::<IpAddr>() {
            Ok(ip) => ips.push(ip),
            Err(_) => dns.push(name.parse().map_err(|e| ControlError::malformed("names", e))?),
        }
    }
    Addresses::new(dns, ips).map_err(|e| ControlError::malformed("names", e))
}
