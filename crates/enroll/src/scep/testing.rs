//! For the tests of this module: a responder with a fixed key, what real clients sent to it, and a client of our own that
//! can be told to do things wrong.

use std::sync::LazyLock;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, Pkcs1PrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use lanyard_domain::id::StreamId;
use lanyard_domain::time::Timestamp;
use lanyard_pki::{csr, write};

use super::cipher::Cipher;
use super::envelope::{self, ContentKey, Recipient};
use super::message::{self, TransactionId};
use super::signed::{self, Attribute, Signer};
use super::*;
use crate::request::{Authentication, EnrollmentRequest, Protocol};
use crate::secret::{SecretId, SecretKey};

pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_795_305_600);
/// What the recorded clients had been given.
pub(super) const CHALLENGE: &str = "ufegy2lq-4nnkxq7sm5brqvd3jq6y2tkn3x5a6wqe";

pub(super) const RESPONDER: &[u8] = include_bytes!("../../tests/data/scep/responder.der");
const RESPONDER_KEY: &[u8] = include_bytes!("../../tests/data/scep/responder.key.der");
const ISSUING: &[u8] = include_bytes!("../../tests/data/scep/issuing.der");
const MICROMDM: &[u8] = include_bytes!("../../tests/data/scep/micromdm-pkcsreq.der");
const STRONGSWAN: &[u8] = include_bytes!("../../tests/data/scep/strongswan-pkcsreq.der");
const CERTMONGER_QUERY: &str = include_str!("../../tests/data/scep/certmonger-pkcsreq.query");

/// Name of the client and its PKCSReq.
pub(super) fn recorded() -> Vec<(&'static str, Vec<u8>)> {
    let incoming = Incoming { method: "GET", path: "/scep", query: CERTMONGER_QUERY, body: b"" };
    let Ok((_, route::Operation::Pki(certmonger))) = route::route(&incoming) else { panic!("certmonger") };
    vec![
        ("strongSwan pki 5.9.8", STRONGSWAN.to_vec()),
        ("micromdm scepclient 2.1.0", MICROMDM.to_vec()),
        ("certmonger 0.79.17", certmonger),
    ]
}

pub(super) fn issuing() -> Vec<u8> {
    ISSUING.to_vec()
}

pub(super) fn responder(algorithms: Algorithms) -> Responder {
    Responder::new(RESPONDER, &[issuing()], algorithms).unwrap()
}

pub(super) fn decrypt(wrapped: &[u8]) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
    unwrap_key(RESPONDER_KEY, wrapped)
}

pub(super) fn sign(message: &[u8]) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
    sign_with(&RsaKeyPair::from_pkcs8(RESPONDER_KEY).unwrap(), message)
}

fn unwrap_key(pkcs8: &[u8], wrapped: &[u8]) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
    let key = Pkcs1PrivateDecryptingKey::new(PrivateDecryptingKey::from_pkcs8(pkcs8).unwrap()).unwrap();
    let mut out = vec![0; key.min_output_size()];
    key.decrypt(wrapped, &mut out).map(|plain| plain.to_vec())
}

fn sign_with(key: &RsaKeyPair, message: &[u8]) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)?;
    Ok(signature)
}

pub(super) fn fresh() -> Fresh {
    let mut bytes = [0; 64];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    Fresh::from_random(bytes)
}

/// Gives a message to a responder, by POST.
pub(super) fn receive(responder: &Responder, body: &[u8], transactions: &Transactions) -> Received {
    responder.receive(&post(body), decrypt, sign, || true, (transactions, NOW, &fresh()))
}

pub(super) fn post(body: &[u8]) -> Incoming<'_> {
    Incoming { method: "POST", path: "/scep/pump", query: "operation=PKIOperation", body }
}

pub(super) fn asked(received: Received) -> Asked {
    match received {
        Received::Asked(asked) => *asked,
        other => panic!("{other:?}"),
    }
}

pub(super) fn done(received: Received) -> Done {
    match received {
        Received::Done(done) => done,
        other => panic!("{other:?}"),
    }
}

/// A device: a key and a certificate for it.
pub(super) struct Device {
    key: RsaKeyPair,
    pkcs8: Vec<u8>,
    pub spki: Vec<u8>,
    pub certificate: Vec<u8>,
}

pub(super) static DEVICE: LazyLock<Device> = LazyLock::new(|| Device::new(Issuer::Itself, SERIAL));
pub(super) static OTHER: LazyLock<Device> = LazyLock::new(|| Device::new(Issuer::Itself, SERIAL));
/// A device with a certificate that a CA has signed (any: whether it is ours is not decided here).
pub(super) static ENROLLED: LazyLock<Device> = LazyLock::new(|| Device::new(Issuer::Another, SERIAL));

/// A device whose certificate names itself as issuer, but is signed by another.
pub(super) static PRETENDER: LazyLock<Device> = LazyLock::new(|| {
    let mut device = Device::new(Issuer::Itself, SERIAL);
    let last = device.certificate.len() - 1;
    device.certificate[last] ^= 1;
    device
});

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Issuer {
    Itself,
    Another,
}

impl Device {
    /// A new key.
    pub fn new(issuer: Issuer, serial: &[u8]) -> Self {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = key.as_der().unwrap();
        let pkcs8 = pkcs8.as_ref().to_vec();
        let spki: aws_lc_rs::encoding::PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        let spki = spki.as_ref().to_vec();
        let certificate = certificate(&key, &spki, issuer, serial);
        Self { key, pkcs8, spki, certificate }
    }

    /// One whose certificate has this key; it signs with another.
    pub fn with_key(spki: &[u8]) -> Self {
        let device = Self::new(Issuer::Itself, SERIAL);
        let certificate = certificate(&device.key, spki, Issuer::Itself, SERIAL);
        Self { certificate, ..device }
    }

    /// A PKCS #10 with this challenge.
    pub fn csr(&self, challenge: Option<&str>) -> Vec<u8> {
        let mut info = Vec::new();
        write::tlv(&mut info, write::SEQUENCE, |o| {
            write::bytes(o, write::INTEGER, &[0]);
            name(o, "device");
            o.extend_from_slice(&self.spki);
            write::tlv(o, write::context_constructed(0), |o| {
                let Some(challenge) = challenge else { return };
                write::tlv(o, write::SEQUENCE, |o| {
                    write::oid(o, &oid::CHALLENGE_PASSWORD);
                    write::tlv(o, write::SET, |o| write::bytes(o, write::UTF8_STRING, challenge.as_bytes()));
                });
            });
        });
        signed_by(&self.key, &info)
    }

    /// Opens a CertRep for this device: its attributes (pkiStatus, failInfo) and what was in the envelope.
    pub fn open(&self, body: &[u8]) -> Opened {
        let signed = signed::read(body).unwrap();
        let certificate = signed.certificate().unwrap();
        assert_eq!(certificate.whole, RESPONDER);
        let peer = peer::Peer::read(&certificate).unwrap();
        signed.verify(&peer.key, Algorithms::Current).unwrap();
        let text = |id| signed.attribute(id).map(|value| String::from_utf8(value.content.to_vec()).unwrap());
        assert_eq!(text(&oid::MESSAGE_TYPE).as_deref(), Some("3"));
        let own = asn1::one(&self.certificate, write::SEQUENCE, "").unwrap();
        let (_, serial) = peer::issuer_and_serial(&own).unwrap();
        let mut cipher = None;
        let content = signed.content.filter(|content| !content.is_empty()).map(|content| {
            let envelope = envelope::read(content, |s| s == serial, Algorithms::Legacy).unwrap();
            cipher = Some(envelope.cipher);
            let text = envelope.open(|wrapped| unwrap_key(&self.pkcs8, wrapped), &[0; 32]).unwrap();
            let padding = usize::from(*text.last().unwrap());
            text[..text.len() - padding].to_vec()
        });
        Opened {
            status: text(&oid::PKI_STATUS).unwrap(),
            fail_info: text(&oid::FAIL_INFO),
            text: text(&oid::FAIL_INFO_TEXT),
            transaction: text(&oid::TRANSACTION_ID).unwrap(),
            recipient_nonce: signed.attribute(&oid::RECIPIENT_NONCE).unwrap().content.to_vec(),
            content,
            cipher,
        }
    }
}

/// A CertRep, opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub status: String,
    pub fail_info: Option<String>,
    pub text: Option<String>,
    pub transaction: String,
    pub recipient_nonce: Vec<u8>,
    pub content: Option<Vec<u8>>,
    pub cipher: Option<Cipher>,
}

/// A pkiMessage of a client, to be changed before it is made.
pub(super) struct Draft<'a> {
    pub device: &'a Device,
    pub message_type: &'a str,
    pub transaction: &'a str,
    pub content: Vec<u8>,
    pub cipher: Cipher,
    pub to: &'a [u8],
    /// Changes the EnvelopedData.
    pub spoil: fn(&mut Vec<u8>),
    /// Changes the attributes.
    pub attributes: fn(&mut Vec<Attribute>),
}

pub(super) const NONCE: [u8; 16] = [0xab; 16];

impl<'a> Draft<'a> {
    pub fn new(device: &'a Device, message_type: &'a str, content: Vec<u8>) -> Self {
        Self {
            device,
            message_type,
            transaction: "transaction-1",
            content,
            cipher: Cipher::Aes128,
            to: RESPONDER,
            spoil: |_| {},
            attributes: |_| {},
        }
    }

    pub fn pkcs_req(device: &'a Device) -> Self {
        Self::new(device, "19", device.csr(Some(CHALLENGE)))
    }

    pub fn cert_poll(device: &'a Device) -> Self {
        let mut content = Vec::new();
        write::tlv(&mut content, write::SEQUENCE, |o| {
            name(o, "SCEP Issuing CA");
            name(o, "device");
        });
        Self::new(device, "20", content)
    }

    pub fn make(&self) -> Vec<u8> {
        let recipient = {
            let whole = asn1::one(self.to, write::SEQUENCE, "").unwrap();
            let peer = peer::Peer::read(&whole).unwrap();
            let (issuer, serial) = (peer.issuer.to_vec(), peer.serial.to_vec());
            Recipient { issuer, serial, spki: peer.key.der().to_vec() }
        };
        let fresh = ContentKey { key: fresh_key(), iv: &[3; 16] };
        let mut sealed = envelope::seal(&self.content, self.cipher, &recipient, &fresh).unwrap();
        (self.spoil)(&mut sealed);
        let string = |text: &str| {
            let mut out = Vec::new();
            write::bytes(&mut out, write::PRINTABLE_STRING, text.as_bytes());
            out
        };
        let mut attributes = vec![
            (oid::MESSAGE_TYPE, string(self.message_type)),
            (oid::TRANSACTION_ID, string(self.transaction)),
            (oid::SENDER_NONCE, [&[write::OCTET_STRING, 16][..], &NONCE].concat()),
        ];
        (self.attributes)(&mut attributes);
        let own = asn1::one(&self.device.certificate, write::SEQUENCE, "").unwrap();
        let (issuer, serial) = peer::issuer_and_serial(&own).unwrap();
        let signer = Signer { certificate: &self.device.certificate, issuer, serial };
        signed::write(&sealed, attributes, &signer, |message| sign_with(&self.device.key, message)).unwrap()
    }
}

/// Constant, and no weak key of DES.
fn fresh_key() -> &'static [u8; 32] {
    static KEY: LazyLock<[u8; 32]> = LazyLock::new(|| std::array::from_fn(|at| at as u8 * 7 + 1));
    &KEY
}

pub(super) fn name(out: &mut Vec<u8>, common_name: &str) {
    let id = der::asn1::ObjectIdentifier::new_unwrap("2.5.4.3");
    write::tlv(out, write::SEQUENCE, |o| write::rdn(o, &id, write::UTF8_STRING, common_name));
}

/// Of every device here.
pub(super) const SERIAL: &[u8] = &[0x41, 7];

fn certificate(key: &RsaKeyPair, spki: &[u8], issuer: Issuer, serial: &[u8]) -> Vec<u8> {
    let mut tbs = Vec::new();
    write::tlv(&mut tbs, write::SEQUENCE, |o| {
        write::tlv(o, write::context_constructed(0), |o| write::bytes(o, write::INTEGER, &[2]));
        write::bytes(o, write::INTEGER, serial);
        signed::algorithm_identifier(o, &oid::SHA256_WITH_RSA);
        name(o, if issuer == Issuer::Itself { "device" } else { "SCEP Issuing CA" });
        write::tlv(o, write::SEQUENCE, |o| {
            write::time(o, NOW);
            write::time(o, NOW.plus_seconds(86_400));
        });
        name(o, "device");
        o.extend_from_slice(spki);
    });
    signed_by(key, &tbs)
}

fn signed_by(key: &RsaKeyPair, tbs: &[u8]) -> Vec<u8> {
    let signature = sign_with(key, tbs).unwrap();
    let mut out = Vec::new();
    write::tlv(&mut out, write::SEQUENCE, |o| {
        o.extend_from_slice(tbs);
        signed::algorithm_identifier(o, &oid::SHA256_WITH_RSA);
        write::bit_string(o, &signature);
    });
    out
}

pub(super) fn transaction(text: &str) -> TransactionId {
    let draft = Draft { transaction: text, ..Draft::pkcs_req(&DEVICE) }.make();
    message::head(&signed::read(&draft).unwrap()).unwrap().transaction
}

/// A request with a proven secret.
pub(super) fn request() -> EnrollmentRequest {
    request_of(&DEVICE)
}

pub(super) fn request_of(device: &Device) -> EnrollmentRequest {
    let key = SecretKey::new([7; 32]);
    let secret = key.derive(SecretId::from_random([1; 5]), StreamId::from_bytes([2; 16]), NOW);
    EnrollmentRequest {
        protocol: Protocol::Scep,
        profile: None,
        csr: csr::verify(&device.csr(None)).unwrap(),
        authentication: Authentication::Secret(secret.prove(secret.reveal()).unwrap()),
    }
}

/// The same value in BER: indefinite lengths wherever they may be, OCTET STRINGs in two pieces.
pub(super) fn to_ber(der: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for element in asn1::list(der, "").unwrap() {
        match element.tag {
            write::OCTET_STRING => {
                let (first, second) = element.content.split_at(element.content.len() / 2);
                out.extend([0x24, 0x80]);
                for piece in [first, second] {
                    write::bytes(&mut out, write::OCTET_STRING, piece);
                }
                out.extend([0, 0]);
            }
            tag if tag & 0x20 != 0 => {
                out.extend([tag, 0x80]);
                out.extend(to_ber(element.content));
                out.extend([0, 0]);
            }
            _ => out.extend_from_slice(element.whole),
        }
    }
    out
}
