//! Whether a certificate that came by a protocol is the device's own: for the pending key, of the hospital's authority, for
//! the same device as before. Nothing is installed before.

use lanyard_pki::certificate::{Certificate, MAX_CHAIN, PeerIdentity};
use lanyard_pki::csr;
use lanyard_pki::path::{Purpose, validate};

use super::pending::Pending;
use crate::agent::Agent;
use crate::error::AgentError;
use crate::identity::Identity;

/// The identity that a certificate makes.
pub(super) fn identity(
    agent: &Agent,
    pending: &Pending,
    certificate: &Certificate,
    others: &[Certificate],
) -> Result<Identity, AgentError> {
    let odd = |why: String| AgentError::Answer(format!("the new certificate: {why}"));
    let request = csr::verify(&pending.request.0).map_err(|e| AgentError::Csr(e.to_string()))?;
    if certificate.spki_sha256() != request.spki_sha256() {
        return Err(odd("it is not for the key that was asked for".to_owned()));
    }
    let chain = chain(certificate, others);
    let anchors = agent.config().anchors()?;
    let der: Vec<_> = chain.iter().map(|c| c.der().clone()).collect();
    let verified = validate(&der, &anchors, Purpose::Client, agent.parts.clock.now())
        .map_err(|e| odd(format!("{e}; is `anchors_pem` of this hospital, and the clock right?")))?;
    let PeerIdentity::Device(device) = verified.identity() else {
        return Err(odd(format!("it names `{}`, which is no device", verified.identity())));
    };
    if let Some(current) = agent.identities().current().filter(|current| current.device != device) {
        return Err(odd(format!("it names `{device}`, and this device is `{}`", current.device)));
    }
    Ok(Identity {
        device,
        slot: pending.slot,
        chain_pem: chain.iter().map(|c| c.to_pem()).collect(),
        renew_at: certificate.renew_at(),
        not_after: certificate.not_after(),
        pcrs: Vec::new(),
        protocol: pending.protocol,
    })
}

/// From the leaf up by names, without the root; the signatures are checked with the whole path.
fn chain<'a>(leaf: &'a Certificate, others: &'a [Certificate]) -> Vec<&'a Certificate> {
    let mut chain = vec![leaf];
    while let Some(last) = chain.last().copied().filter(|_| chain.len() < MAX_CHAIN) {
        let is_issuer = |c: &&Certificate| {
            c.is_ca() && c.subject_der() == last.issuer_der() && c.issuer_der() != c.subject_der()
        };
        // Two generations of an authority have two names; the same name twice is the same authority.
        let Some(issuer) = others.iter().find(|c| is_issuer(c)) else { break };
        chain.push(issuer);
    }
    chain
}
