//! A simulated maker of TPMs: a certification authority that signs the certificate of each endorsement key, and of
//! attestation keys.
//!
//! What: [`MakerCa`], a P-256 root that issues straight to the chips, after the TCG EK credential profile:
//! empty subject, critical subjectAltName with maker, model and version of the chip, extended key usage
//! 2.23.133.8.1, no end of validity.
//! Why: what a hospital registers as an endorsement authority must be a certificate, also in the demo and in
//! tests. It is as trustworthy as its name says: not at all outside a simulation.
//!
//! State (what [`MakerCa::export`] gives): lost, no more chips of this maker can be made; rolled back,
//! nothing; known to or written by an attacker, the attacker makes chips that this simulated maker vouches
//! for.
//!
//! Out of scope: revocation, intermediates, platform certificates. To add an extension: one `extension(..)`
//! line.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use lanyard_attest::tpm::structures::{Key, Public, spki_der};
use lanyard_domain::time::Timestamp;
use zeroize::Zeroizing;

use crate::tpm::TpmError;
use crate::tpm::container::{self, Kind};
use crate::tpm::der::{sequence, tlv, unsigned};

/// Attributes of a name stay below X.520's upper bound for the common name.
const MAX_TEXT: usize = 64;
/// "LNYD" as vendor id, in the form of the TCG vendor id registry.
const VENDOR: &str = "id:4C4E5944";
/// Version of the simulated chip's firmware as the profile writes it; the same value as in its quotes.
const CHIP_VERSION: &str = "id:00010000";
/// RFC 5280 4.1.2.5: "no well-defined expiration date".
const NO_END: &[u8] = b"99991231235959Z";

// Object identifiers, DER-encoded with tag and length.
const ECDSA_SHA256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
const SERIAL_NUMBER: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x05];
const TPM_MANUFACTURER: &[u8] = &[0x06, 0x05, 0x67, 0x81, 0x05, 0x02, 0x01];
const TPM_MODEL: &[u8] = &[0x06, 0x05, 0x67, 0x81, 0x05, 0x02, 0x02];
const TPM_VERSION: &[u8] = &[0x06, 0x05, 0x67, 0x81, 0x05, 0x02, 0x03];
const TPM_SPECIFICATION: &[u8] = &[0x06, 0x05, 0x67, 0x81, 0x05, 0x02, 0x10];
const EK_CERTIFICATE: &[u8] = &[0x06, 0x05, 0x67, 0x81, 0x05, 0x08, 0x01];
const AK_CERTIFICATE: &[u8] = &[0x06, 0x05, 0x67, 0x81, 0x05, 0x08, 0x03];
const PERMANENT_IDENTIFIER: &[u8] = &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x08, 0x03];

/// The last byte of `id-ce` (2.5.29) extensions.
#[derive(Clone, Copy)]
enum Extension {
    DirectoryAttributes = 9,
    SubjectKeyId = 14,
    KeyUsage = 15,
    SubjectAltName = 17,
    BasicConstraints = 19,
    CrlNumber = 20,
    ReasonCode = 21,
    AuthorityKeyId = 35,
    ExtendedKeyUsage = 37,
}

#[derive(Clone, Copy, PartialEq)]
enum Critical {
    Yes,
    No,
}

/// A simulated maker's certification authority.
pub struct MakerCa {
    key: EcdsaKeyPair,
    name: String,
    root: Vec<u8>,
    not_before: Timestamp,
}

impl MakerCa {
    /// A new authority called `name`, whose certificates are valid from `now` on.
    pub fn new(name: &str, now: Timestamp) -> Result<Self, TpmError> {
        checked_text("maker name", name)?;
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
            .map_err(|_| TpmError::Crypto("key generation"))?;
        let mut ca = Self { key, name: name.to_owned(), root: Vec::new(), not_before: now };
        let mut serial = [0; 16];
        aws_lc_rs::rand::fill(&mut serial).map_err(|_| TpmError::Crypto("random numbers"))?;
        let extensions = [
            // pathLenConstraint 0: the root signs chips only.
            extension(
                Extension::BasicConstraints,
                Critical::Yes,
                &sequence(&[&[1, 1, 0xff], &unsigned(&[0])]),
            ),
            // keyCertSign, cRLSign
            extension(Extension::KeyUsage, Critical::Yes, &[0x03, 0x02, 0x01, 0x06]),
            extension(Extension::SubjectKeyId, Critical::No, &tlv(0x04, &ca.key_id())),
        ];
        ca.root = ca.sign(serial, &ca.subject(), &ca.spki(), &extensions)?;
        Ok(ca)
    }

    /// The root certificate, DER: what a hospital registers as endorsement authority.
    pub fn root_der(&self) -> &[u8] {
        &self.root
    }

    /// The name given at its making.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Everything needed to go on later. It holds the private key: keep it as a secret.
    pub fn export(&self) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let key = self.key.to_pkcs8v1().map_err(|_| TpmError::Crypto("key encoding"))?;
        let not_before = self.not_before.as_micros().to_be_bytes();
        let fields: [&[u8]; 4] = [self.name.as_bytes(), &not_before, &self.root, key.as_ref()];
        Ok(Zeroizing::new(container::encode(Kind::Maker, &fields)))
    }

    /// Reads what [`MakerCa::export`] gave.
    pub fn import(bytes: &[u8]) -> Result<Self, TpmError> {
        let malformed = |why: &str| TpmError::malformed("maker", why);
        let [name, not_before, root, key] =
            <[Vec<u8>; 4]>::try_from(container::decode("maker", Kind::Maker, bytes)?)
                .map_err(|_| malformed("a maker has four fields"))?;
        let name = String::from_utf8(name).map_err(|_| malformed("the name is not UTF-8"))?;
        let not_before = <[u8; 8]>::try_from(not_before).map_err(|_| malformed("a time has 8 bytes"))?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &Zeroizing::new(key))
            .map_err(|_| malformed("the key is not a P-256 key"))?;
        Ok(Self { key, name, root, not_before: Timestamp::from_micros(i64::from_be_bytes(not_before)) })
    }

    /// Certificate of the endorsement key of one chip, DER.
    pub(super) fn certify(&self, ek: &Public, model: &str, serial: &str) -> Result<Vec<u8>, TpmError> {
        checked_text("model", model)?;
        checked_text("serial", serial)?;
        // One endorsement key, one serial number; the set bits keep it positive and 16 bytes long.
        let name = digest(&SHA256, &ek.encode());
        let mut number = [0; 16];
        number.iter_mut().zip(name.as_ref()).for_each(|(to, from)| *to = *from);
        if let Some(first) = number.first_mut() {
            *first = *first & 0x7f | 0x40;
        }
        let chip = [
            relative_name(TPM_MANUFACTURER, VENDOR),
            relative_name(TPM_MODEL, model),
            relative_name(TPM_VERSION, CHIP_VERSION),
            relative_name(SERIAL_NUMBER, serial),
        ]
        .concat();
        // GeneralName directoryName [4] is explicit, because Name is a CHOICE.
        let directory_name = sequence(&[&tlv(0xa4, &tlv(0x30, &chip))]);
        // Family 2.0, level 0, revision 138.
        let specification = sequence(&[&tlv(0x0c, b"2.0"), &unsigned(&[0]), &unsigned(&[138])]);
        let attributes = sequence(&[&sequence(&[TPM_SPECIFICATION, &tlv(0x31, &specification)])]);
        let key_usage: &[u8] = match ek.key {
            Key::Rsa { .. } => &[0x03, 0x02, 0x05, 0x20], // keyEncipherment
            Key::Ecc { .. } => &[0x03, 0x02, 0x03, 0x08], // keyAgreement
        };
        let extensions = [
            extension(Extension::SubjectAltName, Critical::Yes, &directory_name),
            extension(Extension::BasicConstraints, Critical::Yes, &sequence(&[])),
            extension(Extension::KeyUsage, Critical::Yes, key_usage),
            extension(Extension::ExtendedKeyUsage, Critical::No, &sequence(&[EK_CERTIFICATE])),
            extension(Extension::DirectoryAttributes, Critical::No, &attributes),
            extension(Extension::AuthorityKeyId, Critical::No, &sequence(&[&tlv(0x80, &self.key_id())])),
        ];
        self.sign(number, &sequence(&[]), &spki_der(ek), &extensions)
    }

    /// Certificate of an attestation key (TPMT_PUBLIC), DER, after WebAuthn 8.3.1: the chip as in the endorsement
    /// certificate, and whose it is as permanentIdentifier (RFC 4043). What a maker does who knows the device that the chip
    /// is soldered into.
    pub fn certify_attestation_key(&self, ak: &[u8], model: &str, device: &str) -> Result<Vec<u8>, TpmError> {
        checked_text("model", model)?;
        checked_text("device", device)?;
        let ak = Public::parse(ak).map_err(|e| TpmError::malformed("attestation key", e.to_string()))?;
        let name = digest(&SHA256, &ak.encode());
        let mut number = [0; 16];
        number.iter_mut().zip(name.as_ref()).for_each(|(to, from)| *to = *from);
        let chip = [
            relative_name(TPM_MANUFACTURER, VENDOR),
            relative_name(TPM_MODEL, model),
            relative_name(TPM_VERSION, CHIP_VERSION),
        ]
        .concat();
        let permanent = sequence(&[&tlv(0x0c, device.as_bytes())]);
        let names = sequence(&[
            &tlv(0xa4, &tlv(0x30, &chip)),
            &tlv(0xa0, &[PERMANENT_IDENTIFIER, &tlv(0xa0, &permanent)].concat()),
        ]);
        let extensions = [
            extension(Extension::SubjectAltName, Critical::Yes, &names),
            extension(Extension::BasicConstraints, Critical::Yes, &sequence(&[])),
            extension(Extension::KeyUsage, Critical::Yes, &[0x03, 0x02, 0x07, 0x80]), // digitalSignature
            extension(Extension::ExtendedKeyUsage, Critical::No, &sequence(&[AK_CERTIFICATE])),
            extension(Extension::AuthorityKeyId, Critical::No, &sequence(&[&tlv(0x80, &self.key_id())])),
        ];
        self.sign(number, &sequence(&[]), &spki_der(&ak), &extensions)
    }

    /// The maker's list of the certificates that it revoked (RFC 5280 5), DER: serial numbers with CRLReason codes, as of
    /// `this_update`, the next one by `next_update`.
    pub fn revocation_list(
        &self,
        number: u32,
        (this_update, next_update): (Timestamp, Timestamp),
        revoked: &[(Vec<u8>, u8)],
    ) -> Result<Vec<u8>, TpmError> {
        let algorithm = sequence(&[ECDSA_SHA256]);
        let entry = |(serial, reason): &(Vec<u8>, u8)| {
            let reason = extension(Extension::ReasonCode, Critical::No, &tlv(0x0a, &[*reason]));
            sequence(&[&unsigned(serial), &time(this_update), &sequence(&[&reason])])
        };
        let entries = revoked.iter().map(entry).collect::<Vec<_>>().concat();
        // An empty sequence must be left out (5.1.2.6).
        let entries = if entries.is_empty() { Vec::new() } else { tlv(0x30, &entries) };
        let extensions = [
            extension(Extension::AuthorityKeyId, Critical::No, &sequence(&[&tlv(0x80, &self.key_id())])),
            extension(Extension::CrlNumber, Critical::No, &unsigned(&number.to_be_bytes())),
        ];
        let tbs = sequence(&[
            &unsigned(&[1]), // version 2
            &algorithm,
            &self.subject(),
            &time(this_update),
            &time(next_update),
            &entries,
            &tlv(0xa0, &tlv(0x30, &extensions.concat())),
        ]);
        self.signed(&tbs, &algorithm)
    }

    // RFC 5280 4.1
    fn sign(
        &self,
        mut serial: [u8; 16],
        subject: &[u8],
        spki: &[u8],
        extensions: &[Vec<u8>],
    ) -> Result<Vec<u8>, TpmError> {
        if let Some(first) = serial.first_mut() {
            *first = *first & 0x7f | 0x40;
        }
        let algorithm = sequence(&[ECDSA_SHA256]);
        let validity = sequence(&[&time(self.not_before), &tlv(0x18, NO_END)]);
        let tbs = sequence(&[
            &tlv(0xa0, &unsigned(&[2])), // version 3
            &unsigned(&serial),
            &algorithm,
            &self.subject(),
            &validity,
            subject,
            spki,
            &tlv(0xa3, &tlv(0x30, &extensions.concat())),
        ]);
        self.signed(&tbs, &algorithm)
    }

    fn signed(&self, tbs: &[u8], algorithm: &[u8]) -> Result<Vec<u8>, TpmError> {
        let signature = self
            .key
            .sign(&SystemRandom::new(), tbs)
            .map_err(|_| TpmError::Crypto("certificate signature"))?;
        Ok(sequence(&[tbs, algorithm, &tlv(0x03, &[&[0], signature.as_ref()].concat())]))
    }

    fn subject(&self) -> Vec<u8> {
        sequence(&[&relative_name(COMMON_NAME, &self.name)])
    }

    fn spki(&self) -> Vec<u8> {
        let algorithm = [
            0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
            0xce, 0x3d, 0x03, 0x01, 0x07,
        ];
        sequence(&[&algorithm, &tlv(0x03, &[&[0], self.key.public_key().as_ref()].concat())])
    }

    // RFC 5280 4.2.1.2, method 1: a name for the key, no security rests on SHA-1 here.
    fn key_id(&self) -> Vec<u8> {
        digest(&SHA1_FOR_LEGACY_USE_ONLY, self.key.public_key().as_ref()).as_ref().to_vec()
    }
}

fn checked_text(what: &str, text: &str) -> Result<(), TpmError> {
    if text.is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control) {
        return Err(TpmError::malformed(what, format!("1 to {MAX_TEXT} bytes without control characters")));
    }
    Ok(())
}

/// RelativeDistinguishedName with one attribute, UTF8String.
fn relative_name(oid: &[u8], value: &str) -> Vec<u8> {
    tlv(0x31, &sequence(&[oid, &tlv(0x0c, value.as_bytes())]))
}

fn extension(id: Extension, critical: Critical, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical == Critical::Yes { &[1, 1, 0xff] } else { &[] };
    sequence(&[&[0x06, 0x03, 0x55, 0x1d, id as u8], critical, &tlv(0x04, value)])
}

/// RFC 5280 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050.
fn time(at: Timestamp) -> Vec<u8> {
    let (year, month, day, hour, minute, second) = at.civil();
    let rest = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    if (1950..2050).contains(&year) {
        tlv(0x17, format!("{:02}{rest}", year % 100).as_bytes())
    } else {
        tlv(0x18, format!("{year:04}{rest}").as_bytes())
    }
}
