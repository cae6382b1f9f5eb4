//! Who is asking: a device or a gateway by its certificate, an operator by their signature.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use lanyard_api::listen::Peer;
use lanyard_api::signing::{RequestFault, read_signed};
use lanyard_control::authority::thumbprint;
use lanyard_domain::id::{DeviceId, GatewayId};
use lanyard_domain::operator::Operator;
use lanyard_domain::text::Digest;
use lanyard_pki::certificate::PeerIdentity;
use lanyard_pki::path::{Purpose, VerifiedChain};

use super::problem::Answer;
use crate::state::State;

/// A device that showed one of its current certificates.
pub struct DevicePeer {
    /// Which.
    pub device: DeviceId,
    /// Thumbprint of the certificate.
    pub certificate: Digest,
    /// TLS channel binding.
    pub channel: [u8; 32],
}

/// A gateway that showed one of its current certificates.
pub struct GatewayPeer(pub GatewayId);

/// The body of a request as it was read: what an operator's signature is about. Every request of the router has it.
#[derive(Clone)]
pub(super) struct WholeBody(pub(super) Bytes);

/// An operator who signed the request, its body included.
pub struct OperatorPeer(pub Operator);

/// The channel binding of a connection whose client showed no certificate (enrollment).
pub struct Channel(pub [u8; 32]);

fn connection(parts: &Parts) -> Result<&Peer, Answer> {
    parts.extensions.get::<Peer>().ok_or_else(|| {
        Answer::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_fault",
            "the request came without its connection",
        )
    })
}

fn channel(peer: &Peer) -> Result<[u8; 32], Answer> {
    peer.exporter.map_err(|_| {
        Answer::new(
            StatusCode::BAD_REQUEST,
            "no_channel_binding",
            "this TLS connection has no channel binding; use TLS 1.3, or TLS 1.2 with extended master secret",
        )
    })
}

fn certified(parts: &Parts, state: &State) -> Result<VerifiedChain, Answer> {
    let peer = connection(parts)?;
    let needed = || {
        Answer::new(
            StatusCode::UNAUTHORIZED,
            "certificate_needed",
            "this call needs mutual TLS with a certificate of ours",
        )
    };
    if peer.chain.is_empty() {
        return Err(needed());
    }
    lanyard_pki::tls::peer(Some(&peer.chain), &state.peers, Purpose::Client, state.clock.now())
        .map_err(|e| Answer::new(StatusCode::UNAUTHORIZED, "certificate_invalid", e.to_string()))?
        .ok_or_else(needed)
}

impl FromRequestParts<State> for DevicePeer {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Answer> {
        let chain = certified(parts, state)?;
        let PeerIdentity::Device(device) = chain.identity() else {
            return Err(Answer::new(StatusCode::FORBIDDEN, "not_a_device", "this call is for devices"));
        };
        let certificate = thumbprint(chain.leaf());
        let distrusts = |issuer: &[u8]| {
            state.control.world().compromised_issuers().distrusted.iter().any(|name| name == issuer)
        };
        if state.control.world().holds(device, &certificate).is_none() {
            // Its agent proves its hardware anew, where with any other certificate it would go on asking.
            if distrusts(chain.leaf().issuer_der()) {
                return Err(Answer::new(
                    StatusCode::UNAUTHORIZED,
                    "issuer_compromised",
                    "the authority that issued this certificate is compromised: enroll anew",
                ));
            }
            return Err(Answer::new(
                StatusCode::UNAUTHORIZED,
                "certificate_not_current",
                "this certificate is not one of the device's current certificates",
            ));
        }
        if state.control.is_first_use(device, &certificate) {
            // Beside the call, which must not wait for it; what fails is noted at the next use.
            let (control, now) = (Arc::clone(&state.control), state.clock.now());
            tokio::spawn(async move {
                if let Err(error) = control.see_certificate(device, &certificate, now).await {
                    tracing::debug!(device.id = %device, %error, "the first use of a certificate was not noted yet");
                }
            });
        }
        Ok(Self { device, certificate, channel: channel(connection(parts)?)? })
    }
}

impl FromRequestParts<State> for GatewayPeer {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Answer> {
        let chain = certified(parts, state)?;
        let PeerIdentity::Gateway(gateway) = chain.identity() else {
            return Err(Answer::new(StatusCode::FORBIDDEN, "not_a_gateway", "this call is for gateways"));
        };
        let certificate = thumbprint(chain.leaf());
        let world = state.control.world();
        let current = world
            .gateways
            .get(&gateway)
            .is_some_and(|g| g.certificates.iter().any(|c| c.sha256 == certificate));
        if !current {
            return Err(Answer::new(
                StatusCode::UNAUTHORIZED,
                "certificate_not_current",
                "this certificate is not one of the gateway's current certificates",
            ));
        }
        Ok(Self(gateway))
    }
}

impl FromRequestParts<State> for OperatorPeer {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Answer> {
        let refuse = |code: &str, detail: String| Answer::new(StatusCode::UNAUTHORIZED, code, detail);
        let WholeBody(body) = parts.extensions.get::<WholeBody>().ok_or_else(|| {
            Answer::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal_fault",
                "the request came without its body",
            )
        })?;
        let signed = read_signed(&parts.method, &parts.uri, &parts.headers, body).map_err(|e| match e {
            RequestFault::OtherBody => refuse("signature_invalid", e.to_string()),
            _ => refuse("signature_needed", e.to_string()),
        })?;
        let now = state.clock.now();
        if !signed.is_fresh(now) {
            return Err(refuse(
                "request_stale",
                format!("the request was signed at {}; now it is {now}", signed.created()),
            ));
        }
        let operator = state.control.world().operators.get(&signed.operator()).filter(|o| o.active).cloned();
        let operator = operator.ok_or_else(|| {
            refuse("operator_unknown", format!("operator {} is not known or not active", signed.operator()))
        })?;
        signed.verify(&operator.public_key).map_err(|e| refuse("signature_invalid", e.to_string()))?;
        if !state.nonces.first_use(signed.nonce(), now) {
            return Err(refuse(
                "request_replayed",
                "this signed request was seen before; sign a new one".to_owned(),
            ));
        }
        Ok(Self(operator))
    }
}

impl FromRequestParts<State> for Channel {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, _state: &State) -> Result<Self, Answer> {
        Ok(Self(channel(connection(parts)?)?))
    }
}
