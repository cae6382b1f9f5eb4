//! A TLS client that looks: it takes whatever certificate a server shows, and makes sure of one thing only, that the server
//! holds its key. Nothing that is learnt so is trust. For tls-alpn-01 (RFC 8737), whose certificate no path validation accepts
//! (it is self-signed, with a critical extension that nobody else knows), and for watching when others' certificates end.

use std::sync::Arc;

use der::{Decode, Encode};
use lanyard_domain::time::Timestamp;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, PeerMisbehaved, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_cert::Certificate;

use super::TlsError;
use crate::certificate::MAX_CERTIFICATE_BYTES;

/// A configuration that takes any server, and offers these protocols (RFC 7301).
pub fn look_config(alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Any(provider)))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Any(Arc<CryptoProvider>);

impl Any {
    /// rustls's own check reads the certificate by webpki, which refuses extensions that it does not know.
    fn holds_key(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = public_key(certificate).ok_or(CertificateError::BadEncoding)?;
        let known = &self.0.signature_verification_algorithms.mapping;
        let algorithms = known.iter().find(|(scheme, _)| *scheme == signed.scheme).map(|(_, found)| *found);
        let algorithms = algorithms.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        // Several for one scheme in TLS 1.2, where it does not say the curve.
        let fits = algorithms.iter().filter(|a| a.public_key_alg_id().as_ref() == key.algorithm);
        let mut verified = fits.map(|a| a.verify_signature(&key.bits, message, signed.signature()));
        if verified.any(|outcome| outcome.is_ok()) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        Err(CertificateError::BadSignature.into())
    }
}

struct Key {
    /// The content of the AlgorithmIdentifier, as rustls has it.
    algorithm: Vec<u8>,
    bits: Vec<u8>,
}

fn public_key(certificate: &CertificateDer<'_>) -> Option<Key> {
    if certificate.len() > MAX_CERTIFICATE_BYTES {
        return None;
    }
    let parsed = Certificate::from_der(certificate).ok()?;
    let spki = parsed.tbs_certificate().subject_public_key_info();
    let algorithm = spki.algorithm.to_der().ok()?;
    let algorithm = der::asn1::AnyRef::from_der(&algorithm).ok()?.value().to_vec();
    Some(Key { algorithm, bits: spki.subject_public_key.as_bytes()?.to_vec() })
}

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.holds_key(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.holds_key(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What a certificate that was shown says; believed by nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Subject, RFC 4514, cut to 200 characters, without control characters.
    pub subject: String,
    /// Issuer, the same.
    pub issuer: String,
    /// Serial number, hex.
    pub serial: String,
    /// From.
    pub not_before: Timestamp,
    /// To.
    pub not_after: Timestamp,
}

/// Reads a certificate of anybody, without asking whether it keeps any rule. `None` when it is none. Fuzz entry point.
pub fn describe(der: &[u8]) -> Option<Described> {
    if der.len() > MAX_CERTIFICATE_BYTES {
        return None;
    }
    let parsed = Certificate::from_der(der).ok()?;
    let tbs = parsed.tbs_certificate();
    let time = |t: x509_cert::time::Time| {
        i64::try_from(t.to_unix_duration().as_secs()).ok().map(Timestamp::from_seconds)
    };
    let text = |name: &x509_cert::name::Name| {
        let plain = name.to_string();
        plain.chars().map(|c| if c.is_control() { '?' } else { c }).take(MAX_SHOWN).collect()
    };
    // RFC 5280 4.1.2.2: at most 20 octets; what is longer is somebody's joke.
    let serial = tbs.serial_number().as_bytes().iter().take(20).map(|b| format!("{b:02x}")).collect();
    Some(Described {
        subject: text(tbs.subject()),
        issuer: text(tbs.issuer()),
        serial,
        not_before: time(tbs.validity().not_before)?,
        not_after: time(tbs.validity().not_after)?,
    })
}

/// Characters of a foreign name that are kept: enough to recognise it.
const MAX_SHOWN: usize = 200;
