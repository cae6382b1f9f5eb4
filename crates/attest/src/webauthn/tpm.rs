//! Format `tpm` (WebAuthn 8.3): an attestation key, which a maker's or the hospital's attestation CA certified,
//! certifies the key of the request with TPM2_Certify.
//!
//! In scope: version 2.0, the certificate rules of 8.3.1, certInfo, pubArea, signature, attributes of the attested
//! key. The signature may be a TPMT_SIGNATURE (as the specification says) or the bare signature (as Windows sends).

use der::asn1::ObjectIdentifier;
use lanyard_domain::time::Timestamp;

use super::asn1::{self, Reader, Tag};
use super::attested::Details;
use super::certificate::AttestationCertificate;
use super::chain::{self, Purpose};
use super::cose::Algorithm;
use super::{
    AttestationObject, AttestedKey, Claims, Expected, Format, HardwareModule, PermanentIdentifier,
    StatementRefusal, Trust,
};
use crate::check::same;
use crate::tpm::endorsement::ChipIdentity;
use crate::tpm::keys::check_tls_key;
use crate::tpm::structures::{Attest, Body, Public, Signature, padded, spki_der};
use crate::wire::Malformed;

/// tcg-kp-AIKCertificate, content octets of 2.23.133.8.3.
const EKU_AK: &[u8] = &[0x67, 0x81, 0x05, 0x08, 0x03];
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
/// RFC 4043 and RFC 4108: id-on-permanentIdentifier and id-on-hardwareModuleName.
const PERMANENT_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.8.3");
const HARDWARE_MODULE_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.8.4");
/// TCG EK credential profile 3.2.9.
const TPM_MANUFACTURER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.1");
const TPM_MODEL: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.2");
const TPM_VERSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.3");

pub(super) fn verify(
    object: &AttestationObject,
    expected: &Expected<'_>,
    trust: &Trust,
    now: Timestamp,
) -> Result<AttestedKey, StatementRefusal> {
    let statement = object.statement();
    if statement.version.as_deref().ok_or(StatementRefusal::Missing("ver"))? != "2.0" {
        return Err(Malformed::Invalid { field: "ver", rule: "it is `2.0`" }.into());
    }
    let number = statement.algorithm.ok_or(StatementRefusal::Missing("alg"))?;
    let signature = statement.signature.as_deref().ok_or(StatementRefusal::Missing("sig"))?;
    let cert_info = statement.cert_info.as_deref().ok_or(StatementRefusal::Missing("certInfo"))?;
    let pub_area = statement.pub_area.as_deref().ok_or(StatementRefusal::Missing("pubArea"))?;

    let chain = chain::check(object, Format::Tpm, Purpose::Named(EKU_AK), trust, now)?;
    let names = check_profile(&chain.leaf)?;
    let algorithm = Algorithm::of(number, chain.leaf.key())?;
    let hash = algorithm.hash().ok_or(StatementRefusal::Algorithm(number))?;
    algorithm.verify(chain.leaf.key(), cert_info, &bare(signature, algorithm)?)?;

    // Attest::parse checks the magic: made by a TPM, not composed outside.
    let attest = Attest::parse(cert_info)?;
    let Body::Certify { name, .. } = &attest.body else { return Err(StatementRefusal::CertifiedName) };
    // 8.3: the hash is that of `alg`, over attToBeSigned.
    if !same(&attest.extra_data, &hash.digest(expected.signed)) {
        return Err(StatementRefusal::Challenge);
    }
    let public = Public::parse(pub_area)?;
    // Part 1, 16: the name is over the public area as sent.
    let computed = [&public.name_alg.id().to_be_bytes()[..], &public.name_alg.digest(pub_area)].concat();
    if !same(name, &computed) {
        return Err(StatementRefusal::CertifiedName);
    }
    check_tls_key(&public)?;
    let spki = spki_der(&public);
    lanyard_pki::spki::PublicKey::parse(&spki)?;

    let details = Details {
        attestation_key_sha256: Some(chain.leaf.key().sha256()),
        chip: names.chip,
        ..Details::default()
    };
    Ok(AttestedKey::new(spki, Format::Tpm, chain, names.claims, details, object))
}

/// The signature in X.509's form.
fn bare(signature: &[u8], algorithm: Algorithm) -> Result<Vec<u8>, StatementRefusal> {
    let Ok(structure) = Signature::parse(signature) else { return Ok(signature.to_vec()) };
    let (hash, size) = match algorithm {
        Algorithm::Es256 | Algorithm::Rs256 => (crate::tpm::structures::HashAlg::Sha256, 32),
        Algorithm::Es384 => (crate::tpm::structures::HashAlg::Sha384, 48),
        Algorithm::EdDsa => return Err(StatementRefusal::Signature),
    };
    match structure {
        Signature::Rsassa { hash: found, signature } if found == hash => Ok(signature),
        Signature::Ecdsa { hash: found, r, s } if found == hash => {
            let integer = |bytes: &[u8]| padded(bytes, size).map(|b| unsigned(&b));
            let (Some(r), Some(s)) = (integer(&r), integer(&s)) else {
                return Err(StatementRefusal::Signature);
            };
            let body = [r, s].concat();
            // Two integers of at most 51 octets each: the short form holds them.
            let length = u8::try_from(body.len()).map_err(|_| StatementRefusal::Signature)?;
            Ok([&[0x30, length][..], &body].concat())
        }
        _ => Err(StatementRefusal::Signature),
    }
}

fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let mut value: Vec<u8> = bytes.iter().copied().skip_while(|b| *b == 0).collect();
    if value.first().is_none_or(|b| *b >= 0x80) {
        value.insert(0, 0);
    }
    let length = u8::try_from(value.len()).unwrap_or(u8::MAX);
    [&[0x02, length][..], &value].concat()
}

/// What the names of an attestation key certificate say.
#[derive(Debug, Default)]
pub(super) struct Names {
    chip: ChipIdentity,
    claims: Claims,
}

/// WebAuthn 8.3.1.
pub(super) fn check_profile(leaf: &AttestationCertificate) -> Result<Names, StatementRefusal> {
    let broken = |rule| Err(StatementRefusal::Profile(rule));
    if !leaf.is_version_three() {
        return broken("its version is 3");
    }
    if !leaf.has_empty_subject() {
        return broken("its subject is empty");
    }
    if leaf.says_ca()? != Some(false) {
        return broken("basicConstraints is there with cA false");
    }
    let purposes = leaf.extension(&EXTENDED_KEY_USAGE);
    let mut named = false;
    if let Some(found) = purposes {
        let mut list = Reader::new("extendedKeyUsage", found.value).inside(asn1::SEQUENCE)?;
        while !list.is_empty() {
            named |= list.expect(asn1::OBJECT_IDENTIFIER)? == EKU_AK;
        }
    }
    if !named {
        return broken("extendedKeyUsage names 2.23.133.8.3 (attestation key)");
    }
    let Some(found) = leaf.extension(&SUBJECT_ALT_NAME) else {
        return broken("subjectAltName is there");
    };
    let names = read_names(found.value)?;
    let chip = &names.chip;
    if chip.manufacturer.is_none() || chip.model.is_none() || chip.version.is_none() {
        return broken("subjectAltName names the TPM's manufacturer, model and version");
    }
    Ok(names)
}

fn read_names(value: &[u8]) -> Result<Names, Malformed> {
    let mut reader = Reader::new("subjectAltName", value);
    let mut list = reader.inside(asn1::SEQUENCE)?;
    reader.finish()?;
    let mut names = Names::default();
    while !list.is_empty() {
        let name = list.next()?;
        if name.tag == Tag::explicit(4) {
            read_directory(name.content, &mut names.chip)?;
        } else if name.tag == Tag::explicit(0) {
            read_other(name.content, &mut names.claims)?;
        }
    }
    Ok(names)
}

fn read_directory(content: &[u8], chip: &mut ChipIdentity) -> Result<(), Malformed> {
    let mut sets = Reader::new("directoryName", content).inside(asn1::SEQUENCE)?;
    while !sets.is_empty() {
        let mut set = sets.inside(asn1::SET)?;
        while !set.is_empty() {
            let mut attribute = set.inside(asn1::SEQUENCE)?;
            let slot = match attribute.oid()? {
                TPM_MANUFACTURER => &mut chip.manufacturer,
                TPM_MODEL => &mut chip.model,
                TPM_VERSION => &mut chip.version,
                _ => continue,
            };
            if let Ok(text) = std::str::from_utf8(attribute.next()?.content) {
                slot.get_or_insert_with(|| text.chars().filter(|c| !c.is_control()).take(64).collect());
            }
        }
    }
    Ok(())
}

fn read_other(content: &[u8], claims: &mut Claims) -> Result<(), Malformed> {
    let mut reader = Reader::new("otherName", content);
    let id = reader.oid()?;
    let mut value = reader.inside(Tag::explicit(0))?;
    match id {
        PERMANENT_IDENTIFIER => {
            let mut inside = value.inside(asn1::SEQUENCE)?;
            let (mut text, mut assigner) = (None, None);
            while !inside.is_empty() {
                let mut peeked = inside;
                match peeked.next()?.tag {
                    asn1::UTF8_STRING => {
                        text = std::str::from_utf8(inside.expect(asn1::UTF8_STRING)?).ok().map(str::to_owned);
                    }
                    _ => assigner = Some(inside.oid()?),
                }
            }
            if let Some(value) = text {
                claims.permanent.push(PermanentIdentifier { value, assigner });
            }
        }
        HARDWARE_MODULE_NAME => {
            let mut inside = value.inside(asn1::SEQUENCE)?;
            let kind = inside.oid()?;
            let serial = inside.expect(asn1::OCTET_STRING)?.to_vec();
            inside.finish()?;
            claims.modules.push(HardwareModule { kind, serial });
        }
        _ => {}
    }
    Ok(())
}
