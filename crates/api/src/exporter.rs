//! Channel binding (RFC 9266): 32 bytes that both ends of one TLS connection derive and nobody else can. Evidence
//! and certifications name them, so that a proof made for one connection is worthless on another.
//!
//! In scope: when the value exists. Out of scope: what is bound to it (`lanyard_attest::freshness`).

use rustls::{ConnectionCommon, ProtocolVersion, SideData};

/// RFC 9266 §2.
const LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// The value.
pub type ChannelBinding = [u8; 32];

/// The connection has no channel binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this connection has no channel binding: it needs TLS 1.3, or TLS 1.2 where both sides require the extended master secret"
)]
pub struct NoChannelBinding;

/// RFC 9266 §4.2: with TLS 1.2 the value is unique only under the extended master secret. rustls does not say
/// afterwards whether that was negotiated, so `ems_required` must come from the configuration that enforced it.
pub(crate) fn of<S: SideData>(
    connection: &ConnectionCommon<S>,
    ems_required: bool,
) -> Result<ChannelBinding, NoChannelBinding> {
    match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => {}
        Some(ProtocolVersion::TLSv1_2) if ems_required => {}
        _ => return Err(NoChannelBinding),
    }
    connection.export_keying_material([0u8; 32], LABEL, None).map_err(|_| NoChannelBinding)
}
