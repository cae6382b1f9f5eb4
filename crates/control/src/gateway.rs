//! Gateways' certificates: the registered key asks, the intent is recorded, the certificate is recorded, then given.

use std::net::IpAddr;

use lanyard_domain::event::Event;
use lanyard_domain::id::{GatewayId, OperatorId, StreamId};
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::time::Timestamp;
use lanyard_pki::csr;
use lanyard_pki::key::KeyLabel;
use lanyard_pki::name::DnsName;
use lanyard_pki::profile::{Addresses, SubjectFacts};

use crate::authority::thumbprint;
use crate::carry_out::{gateway_entry, gateway_in_use};
use crate::certify::issuer::{or_given_up, while_it_issues};
use crate::certify::own::intended;
use crate::journal::Journal;
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
        let intended = intended(ready.issuance, "gateway", &ready.profile, &ready.prepared);
        self.on_gateway(id, actor, intended, None, now).await?;
        let issuer = ready.prepared.issuer().clone();
        let certificate = match self.authority.sign(ready.prepared) {
            Ok(certificate) => certificate,
            Err(error) => {
                self.give_up_own(ready.issuance, &error.to_string(), now).await;
                return Err(error);
            }
        };
        let issued = Event::GatewayCertified {
            serial: certificate.serial().to_string(),
            certificate: Blob(certificate.der().to_vec()),
            certificate_sha256: thumbprint(&certificate),
            not_after: certificate.not_after(),
        };
        let recorded = self.on_gateway(id, actor, issued, Some(&issuer), now).await;
        or_given_up(recorded, async |why| self.give_up_own(ready.issuance, why, now).await).await?;
        Ok((self.authority.chain_pem(&certificate), certificate.not_after()))
    }

    async fn on_gateway(
        &self,
        id: GatewayId,
        actor: OperatorId,
        event: Event,
        signed_by: Option<&KeyLabel>,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        self.record(now, |world| {
            let seq = gateway_in_use(world, id)?.seq;
            let mut entry = gateway_entry(id, actor, seq, event.clone(), Vec::new());
            if let Some(issuer) = signed_by {
                while_it_issues(world, issuer, &mut entry)?;
            }
            Ok((vec![entry], ()))
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
