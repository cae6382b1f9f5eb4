//! Format `android-key` (WebAuthn 8.4): Android's key store certifies the key and describes it (KeyDescription).
//!
//! Only the list that the hardware enforces is believed; what the operating system enforces is its own word.
//! The challenge of the description is the digest of the key authorization, or the key authorization itself: the
//! key store takes up to 128 bytes and clients do both. In scope: challenge, level, origin, purpose, all
//! applications, attested serial number. Out of scope: verified boot (Lanyard's devices measure it by TPM).

use der::asn1::ObjectIdentifier;
use lanyard_domain::time::Timestamp;

use super::asn1::{self, Reader};
use super::attested::Details;
use super::chain::{self, Purpose};
use super::cose::Algorithm;
use super::{
    AttestationObject, AttestedKey, Claims, Expected, Format, SecurityLevel, StatementRefusal, Trust,
};
use crate::check::same;
use crate::wire::Malformed;

/// The key attestation extension.
const KEY_DESCRIPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.1.17");

// Tags of an AuthorizationList (keymaster's numbers).
const PURPOSE: u32 = 1;
const ALL_APPLICATIONS: u32 = 600;
const ORIGIN: u32 = 702;
const ATTESTATION_ID_SERIAL: u32 = 713;

const PURPOSE_SIGN: u32 = 2;
const PURPOSE_VERIFY: u32 = 3;
const ORIGIN_GENERATED: u32 = 0;

pub(super) fn verify(
    object: &AttestationObject,
    expected: &Expected<'_>,
    trust: &Trust,
    now: Timestamp,
) -> Result<AttestedKey, StatementRefusal> {
    let statement = object.statement();
    let number = statement.algorithm.ok_or(StatementRefusal::Missing("alg"))?;
    let signature = statement.signature.as_deref().ok_or(StatementRefusal::Missing("sig"))?;
    let chain = chain::check(object, Format::AndroidKey, Purpose::Any, trust, now)?;
    // A key that attests (purpose ATTEST_KEY) may have been imported, so that somebody outside has it and writes any
    // description with it. Only the description nearest to the root is the hardware's own; here it is the only one.
    if chain.issuers_have(&KEY_DESCRIPTION)? {
        return Err(StatementRefusal::Profile("no issuer of it is itself a described key"));
    }
    let algorithm = Algorithm::of(number, chain.leaf.key())?;
    algorithm.verify(chain.leaf.key(), expected.signed, signature)?;

    let extension = chain.leaf.extension(&KEY_DESCRIPTION);
    let extension = extension.ok_or(StatementRefusal::Profile("it has a key description extension"))?;
    let description = KeyDescription::parse(extension.value)?;
    if !same(description.challenge, &expected.challenge) && !same(description.challenge, expected.signed) {
        return Err(StatementRefusal::Challenge);
    }
    let broken = |rule| Err(StatementRefusal::KeyRule(rule));
    if description.level < trust.android_level {
        return broken("its key store has not the security level that policy asks for");
    }
    if description.software.all_applications || description.hardware.all_applications {
        return broken("it belongs to one application: `allApplications` must be absent");
    }
    if description.hardware.origin != Some(ORIGIN_GENERATED) {
        return broken("it was generated in the hardware that guards it (`origin`)");
    }
    // A key that may also attest could certify keys of its own; one that decrypts serves two protocols.
    let purposes = &description.hardware.purposes;
    if !purposes.contains(&PURPOSE_SIGN)
        || purposes.iter().any(|p| !matches!(*p, PURPOSE_SIGN | PURPOSE_VERIFY))
    {
        return broken("its purpose is to sign, and nothing else");
    }
    let claims = Claims { serials: description.hardware.serial.into_iter().collect(), ..Claims::default() };
    let details = Details { level: Some(description.level), ..Details::default() };
    let spki = chain.leaf.key().der().to_vec();
    Ok(AttestedKey::new(spki, Format::AndroidKey, chain, claims, details, object))
}

struct KeyDescription<'a> {
    challenge: &'a [u8],
    /// The lesser of attestation and key store level.
    level: SecurityLevel,
    software: Authorizations,
    hardware: Authorizations,
}

#[derive(Default)]
struct Authorizations {
    purposes: Vec<u32>,
    origin: Option<u32>,
    all_applications: bool,
    serial: Option<String>,
}

impl<'a> KeyDescription<'a> {
    fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        let mut outer = Reader::new("key description", value);
        let mut reader = outer.inside(asn1::SEQUENCE)?;
        outer.finish()?;
        // attestationVersion
        reader.small(asn1::INTEGER)?;
        let attestation = level(reader.small(asn1::ENUMERATED)?)?;
        // keymasterVersion or keyMintVersion
        reader.small(asn1::INTEGER)?;
        let store = level(reader.small(asn1::ENUMERATED)?)?;
        let challenge = reader.expect(asn1::OCTET_STRING)?;
        // uniqueId
        reader.expect(asn1::OCTET_STRING)?;
        let software = Authorizations::read(reader.inside(asn1::SEQUENCE)?)?;
        let hardware = Authorizations::read(reader.inside(asn1::SEQUENCE)?)?;
        reader.finish()?;
        Ok(Self { challenge, level: attestation.min(store), software, hardware })
    }
}

impl Authorizations {
    fn read(mut reader: Reader<'_>) -> Result<Self, Malformed> {
        let mut out = Self::default();
        while !reader.is_empty() {
            let entry = reader.next()?;
            let bad = Malformed::Invalid { field: "authorization list", rule: "each entry is tagged" };
            if !entry.tag.is_explicit() {
                return Err(bad);
            }
            let mut value = Reader::new("authorization list", entry.content);
            match entry.tag.number() {
                PURPOSE => {
                    let mut set = value.inside(asn1::SET)?;
                    while !set.is_empty() {
                        out.purposes.push(set.small(asn1::INTEGER)?);
                    }
                }
                ORIGIN => out.origin = Some(value.small(asn1::INTEGER)?),
                ALL_APPLICATIONS => {
                    out.all_applications = true;
                    continue;
                }
                ATTESTATION_ID_SERIAL => {
                    let text = std::str::from_utf8(value.expect(asn1::OCTET_STRING)?).ok();
                    out.serial = text.filter(|t| !t.is_empty()).map(str::to_owned);
                }
                // What does not bear on the decision is for the evidence's reader.
                _ => continue,
            }
            value.finish()?;
        }
        Ok(out)
    }
}

fn level(number: u32) -> Result<SecurityLevel, Malformed> {
    match number {
        0 => Ok(SecurityLevel::Software),
        1 => Ok(SecurityLevel::TrustedEnvironment),
        2 => Ok(SecurityLevel::StrongBox),
        found => Err(Malformed::Unsupported { field: "security level", found: found.into() }),
    }
}
