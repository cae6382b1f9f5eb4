//! Makers, their certificates and lists, and recorded statements, for the tests of the formats.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use der::Encode;
use der::asn1::ObjectIdentifier;
use lanyard_domain::time::Timestamp;

use super::{Anchor, Format, OnUnknown, Revocation, Trust};

pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_795_305_600);

pub(super) fn tlv(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u16::try_from(body.len()).unwrap().to_be_bytes() {
        [0, n] if n < 128 => out.push(n),
        [0, n] => out.extend([0x81, n]),
        [a, b] => out.extend([0x82, a, b]),
    }
    out.extend_from_slice(body);
    out
}

pub(super) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(super) fn oid(text: &str) -> Vec<u8> {
    ObjectIdentifier::new_unwrap(text).to_der().unwrap()
}

pub(super) fn name(parts: &[(&str, &str)]) -> Vec<u8> {
    let rdn = |(id, value): &(&str, &str)| tlv(0x31, &sequence(&[oid(id), tlv(0x0c, value.as_bytes())]));
    sequence(&parts.iter().map(rdn).collect::<Vec<_>>())
}

pub(super) fn extension(id: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    sequence(&[oid(id), flag.to_vec(), tlv(0x04, value)])
}

pub(super) fn constraints(ca: bool) -> Vec<u8> {
    let content: &[u8] = if ca { &[1, 1, 0xff] } else { &[] };
    extension("2.5.29.19", true, &tlv(0x30, content))
}

/// A P-256 key in software.
pub(super) struct Key(pub EcdsaKeyPair);

impl Key {
    pub(super) fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }
    pub(super) fn spki(&self) -> Vec<u8> {
        let algorithm = sequence(&[oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")]);
        sequence(&[algorithm, tlv(0x03, &[&[0], self.0.public_key().as_ref()].concat())])
    }
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }
}

/// A certificate to be.
#[derive(Clone)]
pub(super) struct Draft {
    pub version_three: bool,
    pub serial: u8,
    pub subject: Vec<u8>,
    pub valid: (&'static str, &'static str),
    pub spki: Vec<u8>,
    pub extensions: Vec<Vec<u8>>,
}

impl Draft {
    pub(super) fn new(spki: Vec<u8>, subject: Vec<u8>, extensions: Vec<Vec<u8>>) -> Self {
        Self {
            version_three: true,
            serial: 7,
            subject,
            valid: ("20200101000000Z", "99991231235959Z"),
            spki,
            extensions,
        }
    }
}

/// A maker's CA.
pub(super) struct Maker {
    pub key: Key,
    pub name: Vec<u8>,
}

impl Maker {
    pub(super) fn new(common_name: &str) -> Self {
        Self { key: Key::new(), name: name(&[("2.5.4.3", common_name)]) }
    }

    pub(super) fn root(&self) -> Vec<u8> {
        let draft = Draft::new(self.key.spki(), self.name.clone(), self.ca_extensions());
        self.issue(&draft)
    }

    pub(super) fn ca_extensions(&self) -> Vec<Vec<u8>> {
        // keyCertSign and cRLSign
        vec![constraints(true), extension("2.5.29.15", true, &[3, 2, 1, 6])]
    }

    pub(super) fn issue(&self, draft: &Draft) -> Vec<u8> {
        let algorithm = sequence(&[oid("1.2.840.10045.4.3.2")]);
        let time = |text: &str| tlv(0x18, text.as_bytes());
        let mut parts = vec![];
        if draft.version_three {
            parts.push(tlv(0xa0, &[2, 1, 2]));
        }
        parts.extend([
            tlv(0x02, &[draft.serial]),
            algorithm.clone(),
            self.name.clone(),
            sequence(&[time(draft.valid.0), time(draft.valid.1)]),
            draft.subject.clone(),
            draft.spki.clone(),
        ]);
        if draft.version_three {
            parts.push(tlv(0xa3, &sequence(&draft.extensions)));
        }
        self.sign(sequence(&parts), &algorithm)
    }

    /// A CRL of these serial numbers.
    pub(super) fn crl(&self, serials: &[u8], valid: (&str, &str)) -> Vec<u8> {
        let algorithm = sequence(&[oid("1.2.840.10045.4.3.2")]);
        let time = |text: &str| tlv(0x18, text.as_bytes());
        let entry = |serial: &u8| sequence(&[tlv(0x02, &[*serial]), time(valid.0)]);
        let entries = sequence(&serials.iter().map(entry).collect::<Vec<_>>());
        // RFC 5280 5.1.2.6: no entries, no list.
        let entries = if serials.is_empty() { vec![] } else { entries };
        let authority = extension("2.5.29.35", false, &sequence(&[tlv(0x80, &[1; 20])]));
        let number = extension("2.5.29.20", false, &[2, 1, 1]);
        let tbs = sequence(&[
            vec![2, 1, 1],
            algorithm.clone(),
            self.name.clone(),
            time(valid.0),
            time(valid.1),
            entries,
            tlv(0xa0, &sequence(&[authority, number])),
        ]);
        self.sign(tbs, &algorithm)
    }

    fn sign(&self, tbs: Vec<u8>, algorithm: &[u8]) -> Vec<u8> {
        let signature = self.key.sign(&tbs);
        sequence(&[tbs, algorithm.to_vec(), tlv(0x03, &[&[0], signature.as_slice()].concat())])
    }
}

pub(super) fn trust(format: Format, certificate: Vec<u8>) -> Trust {
    let anchor = Anchor { name: "maker".to_owned(), format, certificate };
    Trust::new(vec![anchor], Revocation::new(OnUnknown::Accept))
}

/// A recorded statement: root, attestation object, and the two things that it signs.
pub(super) struct Recorded {
    pub root: Vec<u8>,
    pub object: Vec<u8>,
    /// Authenticator data and client data hash.
    pub signed: Vec<u8>,
    pub client_data: Vec<u8>,
}

pub(super) fn recorded(text: &str) -> Recorded {
    let field = |wanted: &str| {
        let mut lines = text.lines().filter_map(|l| l.split_once(' '));
        let (_, value) = lines.find(|(key, _)| *key == wanted).unwrap();
        data_encoding::BASE64URL_NOPAD.decode(value.as_bytes()).unwrap()
    };
    let (object, client_data) = (field("attestation"), field("client_data"));
    let parsed = super::AttestationObject::parse(&object).unwrap();
    let hash = crate::freshness::sha256(&client_data);
    let signed = [parsed.auth_data().unwrap(), &hash].concat();
    Recorded { root: field("root"), object, signed, client_data }
}
