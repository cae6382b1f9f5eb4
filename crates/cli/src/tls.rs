//! TLS of the operator's side: pinned anchors, and the one connection before anything is pinned.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use lanyard_api::clock::Clock;
use lanyard_pki::certificate::{Certificate, chain_from_pem};
use lanyard_pki::path::Anchors;
use lanyard_pki::tls::{self, AnchorStore, Gate, IdentityStore, Peers};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::exit::Failure;

/// Trusts the control plane under exactly these anchors and shows no certificate.
pub fn pinned(anchors_pem: &str) -> anyhow::Result<Arc<ClientConfig>> {
    let anchors = Anchors::new(anchors(anchors_pem)?)?;
    let peers = Peers { anchors: AnchorStore::new(anchors), gate: Gate::control_plane() };
    let clock = Clock::system();
    let config = tls::client_config(IdentityStore::empty(), peers, tls::Clock::new(move || clock.now()))?;
    Ok(Arc::new(config))
}

/// What a person compares: SHA-256 of each anchor's DER, as `openssl x509 -fingerprint -sha256` shows it but in lower
/// case without colons; several are joined by a comma.
pub fn fingerprint(anchors_pem: &str) -> anyhow::Result<String> {
    let each: Vec<String> = anchors(anchors_pem)?.iter().map(|c| HEXLOWER.encode(&c.thumbprint())).collect();
    Ok(each.join(","))
}

/// Fingerprints as people paste them: any case, with or without colons.
pub fn same_fingerprint(given: &str, found: &str) -> bool {
    let plain =
        |text: &str| text.chars().filter(|c| !matches!(c, ':' | ' ')).collect::<String>().to_lowercase();
    plain(given) == plain(found)
}

fn anchors(pem: &str) -> anyhow::Result<Vec<Certificate>> {
    let anchors = chain_from_pem(pem.as_bytes()).map_err(|e| {
        Failure::usage(format!("trust anchors cannot be read: {e}; expected PEM certificates"))
    })?;
    if anchors.is_empty() {
        return Err(Failure::usage("there is no trust anchor; expected PEM certificates"));
    }
    Ok(anchors)
}

/// Accepts any server, for the one question whose answer the person then compares with a fingerprint. Nothing that
/// such a connection says is kept before a second, pinned connection has said the same.
pub fn unpinned() -> anyhow::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_compared_however_people_paste_them() {
        assert!(same_fingerprint("AB:CD:01", "abcd01"));
        assert!(same_fingerprint(" abcd01 ", "abcd01"));
        assert!(!same_fingerprint("abcd02", "abcd01"));
        assert!(!same_fingerprint("", "abcd01"));
    }

    #[test]
    fn no_anchor_is_no_trust() {
        for pem in ["", "text", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(pinned(pem).is_err() && fingerprint(pem).is_err(), "{pem}");
        }
    }
}
