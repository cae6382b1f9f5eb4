//! Test kit: software TPMs of one maker, certificates of one CA, and a control plane that checks what it is sent.

mod plane;

use std::sync::{Arc, LazyLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::BASE64;
use lanyard_api::device::{Issued, Standing};
use lanyard_attest::tpm::structures::{Public, spki_der};
use lanyard_domain::id::DeviceId;
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::Verdict;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::tpm::soft::{MakerCa, SoftTpm};
use crate::tpm::{KeySlot, RootOfTrust};

pub(crate) use plane::{Fail, Plane};

pub(crate) const DEVICE: DeviceId = DeviceId::from_bytes([0x41; 16]);

static MAKER: LazyLock<MakerCa> =
    LazyLock::new(|| MakerCa::new("Acme Chips", Timestamp::from_seconds(1_700_000_000)).unwrap());
pub(crate) static CA: LazyLock<Authority> = LazyLock::new(Authority::new);

pub(crate) fn soft_tpm() -> SoftTpm {
    SoftTpm::in_memory(&MAKER, "chip", "1").unwrap()
}

pub(crate) fn anchors_pem() -> String {
    pem(&CA.certificate)
}

/// A certificate for the key in `slot`, as the control plane would answer.
pub(crate) fn issue(root: &dyn RootOfTrust, slot: KeySlot) -> Issued {
    let public = Public::parse(&root.load_tls_key(slot).unwrap()).unwrap();
    issued(&spki_der(&public), standing(300))
}

pub(crate) fn issued(spki: &[u8], standing: Standing) -> Issued {
    Issued {
        device: DEVICE,
        chain_pem: pem(&CA.certify(spki, "device")),
        renew_at: Timestamp::from_seconds(2_000_000_000),
        not_after: Timestamp::from_seconds(2_100_000_000),
        standing,
    }
}

pub(crate) fn standing(next_in_seconds: u32) -> Standing {
    Standing {
        verdict: Verdict::Trusted,
        reasons: vec![],
        restore: vec![],
        next_in_seconds,
        stage: "in_service".into(),
        pos: 7,
        level: "durable".into(),
    }
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", BASE64.encode(der))
}

/// A certification authority just good enough for loopback TLS; 2020 to 2049.
pub(crate) struct Authority {
    pub(crate) certificate: CertificateDer<'static>,
    key: EcdsaKeyPair,
}

impl Authority {
    fn new() -> Self {
        let key = new_key().1;
        let spki = spki(&key);
        Self { certificate: certificate(&key, &spki, "test ca", Kind::Ca), key }
    }

    pub(crate) fn certify(&self, spki: &[u8], name: &str) -> CertificateDer<'static> {
        certificate(&self.key, spki, name, Kind::Leaf)
    }

    /// A server's certificate and key for 127.0.0.1.
    pub(crate) fn server(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let (pkcs8, key) = new_key();
        let chain = vec![self.certify(&spki(&key), "server")];
        (chain, PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8)))
    }
}

#[derive(PartialEq)]
enum Kind {
    Ca,
    Leaf,
}

fn new_key() -> (Vec<u8>, EcdsaKeyPair) {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref()).unwrap();
    (pkcs8.as_ref().to_vec(), key)
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = match u16::try_from(body.len()).unwrap().to_be_bytes() {
        [0, n] if n < 0x80 => vec![n],
        [0, n] => vec![0x81, n],
        [high, low] => vec![0x82, high, low],
    };
    [&[tag], length.as_slice(), body.as_slice()].concat()
}

fn spki(key: &EcdsaKeyPair) -> Vec<u8> {
    let ec = [6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    let p256 = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    tlv(0x30, &[&tlv(0x30, &[&ec, &p256]), &tlv(0x03, &[&[0], key.public_key().as_ref()])])
}

fn named(name: &str) -> Vec<u8> {
    let cn = tlv(0x30, &[&[6, 3, 0x55, 4, 3], &tlv(0x0c, &[name.as_bytes()])]);
    tlv(0x30, &[&tlv(0x31, &[&cn])])
}

fn certificate(issuer: &EcdsaKeyPair, spki: &[u8], name: &str, kind: Kind) -> CertificateDer<'static> {
    let algorithm = tlv(0x30, &[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]);
    let dates = tlv(0x30, &[&tlv(0x17, &[b"200101000000Z"]), &tlv(0x17, &[b"491231235959Z"])]);
    let extension = match kind {
        Kind::Ca => tlv(0x30, &[&[6, 3, 0x55, 0x1d, 0x13], &tlv(0x04, &[&tlv(0x30, &[&[1, 1, 0xff]])])]),
        Kind::Leaf => {
            let names = tlv(0x30, &[&tlv(0x87, &[&[127, 0, 0, 1]])]);
            tlv(0x30, &[&[6, 3, 0x55, 0x1d, 0x11], &tlv(0x04, &[&names])])
        }
    };
    let mut serial = [0u8; 8];
    aws_lc_rs::rand::fill(&mut serial).unwrap();
    serial[0] = 1;
    let parts = [
        vec![0xa0, 3, 2, 1, 2],
        tlv(0x02, &[&serial]),
        algorithm.clone(),
        named("test ca"),
        dates,
        named(name),
        spki.to_vec(),
        tlv(0xa3, &[&tlv(0x30, &[&extension])]),
    ];
    let tbs = tlv(0x30, &[&parts.concat()]);
    let signature = issuer.sign(&SystemRandom::new(), &tbs).unwrap();
    tlv(0x30, &[&tbs, &algorithm, &tlv(0x03, &[&[0], signature.as_ref()])]).into()
}

/// rustls' provider with the CA as the only root.
pub(crate) fn server_config() -> rustls::ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CA.certificate.clone()).unwrap();
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .allow_unauthenticated()
            .build()
            .unwrap();
    let (chain, key) = CA.server();
    rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap()
}
