//! Who gets through the TLS handshake: known devices of this site that are not distrusted, with a current certificate.
//!
//! A certificate that the control plane issued a moment ago may arrive before the feed tells of it; it passes here, and
//! the first request waits for the feed ([`FEED_LAG`]). Without this a renewal would cost a request (I7).
//! In scope: one pure rule, used by handshakes and by probes (I11). Out of scope: chain and dates (`lanyard_pki::path`).

use std::sync::Arc;
use std::time::Duration;

use lanyard_api::clock::Clock;
use lanyard_domain::access::DeviceView;
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::Verdict;
use lanyard_pki::certificate::{Certificate, PeerIdentity};
use lanyard_pki::tls::{Gate, Refusal};

use crate::state::State;

/// How long a request waits for the feed to tell of its certificate.
pub const FEED_LAG: Duration = Duration::from_millis(1500);
/// Device certificates begin 15 minutes before they are issued (pki's profile); ten more for a clock of ours that is ahead, and one
/// for the feed. Whoever is let in by this alone is served nothing until the feed tells of its certificate.
const JUST_ISSUED_SECONDS: i64 = 26 * 60;

/// The gate of this gateway.
pub fn gate(state: Arc<State>, clock: Clock) -> Gate {
    Gate::new(move |chain| admit(&state, chain.leaf(), chain.identity(), clock.now()).map(|_| ()))
}

/// The device behind a certificate, if it may connect.
pub fn admit(
    state: &State,
    leaf: &Certificate,
    identity: PeerIdentity,
    now: Timestamp,
) -> Result<Arc<DeviceView>, Refusal> {
    let PeerIdentity::Device(device) = identity else {
        return Err(Refusal(format!("{identity} is not a device")));
    };
    if state.facts().is_some_and(|facts| facts.distrusts(leaf.issuer_der())) {
        return Err(Refusal(format!("the authority that issued {} is compromised", leaf.serial())));
    }
    let view = state
        .view(device)
        .ok_or_else(|| Refusal(format!("device {device} is not registered at this site, or was retired")))?;
    if view.verdict_at(now) == Verdict::Untrusted {
        return Err(Refusal(format!("device {device} is not trusted")));
    }
    let current = view.certificates.contains(&Digest(leaf.thumbprint()));
    let just_issued = leaf.not_before() > now.plus_seconds(-JUST_ISSUED_SECONDS);
    if current || just_issued {
        return Ok(view);
    }
    Err(Refusal(format!("the certificate {} is not a current one of device {device}", leaf.serial())))
}
