//! Self-signed certificates and TLS configurations for tests on the loopback interface.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = match u16::try_from(body.len()).unwrap().to_be_bytes() {
        [0, n] if n < 0x80 => vec![n],
        [0, n] => vec![0x81, n],
        [high, low] => vec![0x82, high, low],
    };
    [&[tag], length.as_slice(), body.as_slice()].concat()
}

pub(crate) struct Party {
    pub(crate) certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Party {
    /// A self-signed certificate for `localhost` and 127.0.0.1, valid 2020 to 2049.
    pub(crate) fn new(name: &str) -> Self {
        let key =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref()).unwrap();
        let (ec, p256) =
            (&[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1], &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
        let algorithm = tlv(0x30, &[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]);
        let cn = tlv(0x30, &[&[6, 3, 0x55, 4, 3], &tlv(0x0c, &[name.as_bytes()])]);
        let subject = tlv(0x30, &[&tlv(0x31, &[&cn])]);
        let dates = tlv(0x30, &[&tlv(0x17, &[b"200101000000Z"]), &tlv(0x17, &[b"491231235959Z"])]);
        let spki = tlv(0x30, &[&tlv(0x30, &[ec, p256]), &tlv(0x03, &[&[0], pair.public_key().as_ref()])]);
        let names = tlv(0x30, &[&tlv(0x82, &[b"localhost"]), &tlv(0x87, &[&[127, 0, 0, 1]])]);
        let san = tlv(0x30, &[&[6, 3, 0x55, 0x1d, 0x11], &tlv(0x04, &[&names])]);
        let extensions = tlv(0xa3, &[&tlv(0x30, &[&san])]);
        let version = [0xa0, 3, 2, 1, 2];
        let serial = [2, 1, 1];
        let tbs = tlv(0x30, &[&version, &serial, &algorithm, &subject, &dates, &subject, &spki, &extensions]);
        let signature = pair.sign(&SystemRandom::new(), &tbs).unwrap();
        let der = tlv(0x30, &[&tbs, &algorithm, &tlv(0x03, &[&[0], signature.as_ref()])]);
        Self { certificate: der.into(), key: key.as_ref().to_vec() }
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()))
    }
}

pub(crate) const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
pub(crate) const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn roots(party: &Party) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(party.certificate.clone()).unwrap();
    roots
}

/// A server that takes clients without certificate and, of those with one, only `client`.
pub(crate) fn server_config(server: &Party, client: &Party) -> ServerConfig {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(client)), provider())
        .allow_unauthenticated()
        .build()
        .unwrap();
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(BOTH)
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![server.certificate.clone()], server.key())
        .unwrap()
}

pub(crate) fn client_config(
    server: &Party,
    client: Option<&Party>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots(server));
    match client {
        Some(c) => builder.with_client_auth_cert(vec![c.certificate.clone()], c.key()).unwrap(),
        None => builder.with_no_client_auth(),
    }
}
