//! Renewal: a new key in the other slot, certified and requested, with fresh evidence; over the old certificate.

use lanyard_api::device::{Issued, RenewRequest};
use lanyard_attest::freshness::Purpose;

use crate::agent::Agent;
use crate::error::AgentError;
use crate::proof::issuance;

impl Agent {
    /// Renews the certificate. Until it has succeeded, and for open connections after it, the old one serves.
    pub async fn renew(&self) -> Result<Issued, AgentError> {
        let (mut channel, identity) = self.connect().await?;
        let bound = self.bind(&mut channel, &identity).await?;
        let pcrs = identity.pcrs.clone();
        let (request, slot) = self
            .blocking(move |parts| {
                // The way back, if there was one, ends here: its slot is needed. The connection shows that the
                // current certificate works.
                parts.identities.confirm()?;
                let slot = parts.identities.next_slot();
                let proof = issuance(parts, slot, Purpose::Attest, &bound, &pcrs)?;
                Ok((RenewRequest { proof }, slot))
            })
            .await?;
        let issued: Issued = self.call(&mut channel, "/v1/renew", &request).await?;
        self.take(issued, identity.device, slot, identity.pcrs).await
    }
}
