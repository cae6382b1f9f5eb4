//! A maker that puts a certificate into each device (IDevID, IEEE 802.1AR).

use lanyard_domain::endorsement::EndorsementUse;
use lanyard_domain::statement::Action;
use lanyard_domain::text::Blob;
use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::key::{KeyBackend, KeyKind, KeyLabel, MemoryKeys};
use lanyard_pki::oid;
use lanyard_pki::write::{self, Critical, SEQUENCE};

use crate::hospital::{Hospital, random};

pub struct Maker {
    keys: MemoryKeys,
    key: KeyLabel,
    since: Timestamp,
}

impl Maker {
    /// One whose factory certificates the hospital accepts.
    pub async fn accepted(hospital: &Hospital) -> Self {
        let (keys, key): (_, KeyLabel) = (MemoryKeys::default(), "maker".parse().unwrap());
        keys.generate(&key, KeyKind::P256).unwrap();
        let maker = Self { keys, key, since: hospital.clock.now() };
        let spki = maker.keys.public_spki(&maker.key).unwrap();
        let root = maker.certificate("Acme", None, &spki);
        let add = Action::AddEndorsement {
            certificate: Blob(root.der().to_vec()),
            grade: None,
            uses: vec![EndorsementUse::Idevid],
        };
        hospital.decide(&hospital.security, add).await.unwrap();
        maker
    }

    /// The certificate of the device with this key and serial number.
    pub fn certify(&self, spki: &[u8], serial: &str) -> Certificate {
        self.certificate("Acme", Some(serial), spki)
    }

    // RFC 5280 4.1
    fn certificate(&self, maker: &str, serial: Option<&str>, spki: &[u8]) -> Certificate {
        // 1.2.840.10045.4.3.2, ecdsa-with-SHA256
        let algorithm = [0x30, 0x0a, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
        let issuer = |out: &mut Vec<u8>| {
            write::tlv(out, SEQUENCE, |o| write::rdn(o, &oid::COMMON_NAME, 0x0c, maker));
        };
        let mut tbs = Vec::new();
        write::tlv(&mut tbs, SEQUENCE, |o| {
            write::tlv(o, 0xa0, |o| write::bytes(o, 2, &[2]));
            let mut number = random();
            number[0] = number[0] & 0x3f | 0x40;
            write::bytes(o, 2, &number);
            o.extend_from_slice(&algorithm);
            issuer(o);
            write::tlv(o, SEQUENCE, |o| {
                write::time(o, self.since.plus_seconds(-86_400));
                write::time(o, self.since.plus_seconds(20 * 365 * 86_400));
            });
            match serial {
                None => issuer(o),
                Some(serial) => {
                    write::tlv(o, SEQUENCE, |o| write::rdn(o, &oid::SERIAL_NUMBER, 0x13, serial));
                }
            }
            o.extend_from_slice(spki);
            write::tlv(o, 0xa3, |o| {
                write::tlv(o, SEQUENCE, |o| extensions(o, serial.is_none()));
            });
        });
        let signature = self.keys.sign(&self.key, &tbs).unwrap();
        let mut der = Vec::new();
        write::tlv(&mut der, SEQUENCE, |o| {
            o.extend_from_slice(&tbs);
            o.extend_from_slice(&algorithm);
            write::bit_string(o, &signature);
        });
        Certificate::parse(&der).unwrap()
    }
}

fn extensions(out: &mut Vec<u8>, is_ca: bool) {
    let (constraints, usage): (&[u8], [u8; 4]) = match is_ca {
        true => (&[0x30, 3, 1, 1, 0xff], [3, 2, 1, 6]),
        false => (&[0x30, 0], [3, 2, 7, 0x80]),
    };
    write::extension(out, &oid::BASIC_CONSTRAINTS, Critical::Yes, |o| o.extend_from_slice(constraints));
    write::extension(out, &oid::KEY_USAGE, Critical::Yes, |o| o.extend_from_slice(&usage));
}
