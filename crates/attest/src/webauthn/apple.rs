//! Format `apple`: Apple's attestation CA certifies the key, and writes what it answers into the certificate.
//!
//! Two forms: that of browsers (WebAuthn 8.8), whose nonce extension is 1.2.840.113635.100.8.2, and that of managed
//! devices, which ACME meets: nonce in ...8.11.1, serial number in ...8.9.1, UDID in ...8.9.2. The CA signs before
//! the account key is known, so the nonce is the digest of the token alone (draft, section 5). It must be there:
//! without it an old statement would do, again and again.
//! Values of the device form stand bare in their extension; an OCTET STRING or UTF8String around them is taken too.

use der::asn1::ObjectIdentifier;
use lanyard_domain::time::Timestamp;

use super::asn1::{self, Reader, Tag};
use super::attested::Details;
use super::certificate::AttestationCertificate;
use super::chain::{self, Purpose};
use super::{AttestationObject, AttestedKey, Claims, Expected, Format, StatementRefusal, Trust};
use crate::check::same;
use crate::freshness::sha256;
use crate::wire::Malformed;

const BROWSER_NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.2");
const DEVICE_NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.11.1");
const SERIAL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.9.1");
const UDID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.9.2");
/// Apple's serial numbers have 10 to 12 characters, a UDID 25 or 40.
const MAX_IDENTIFIER: usize = 64;

pub(super) fn verify(
    object: &AttestationObject,
    expected: &Expected<'_>,
    trust: &Trust,
    now: Timestamp,
) -> Result<AttestedKey, StatementRefusal> {
    let chain = chain::check(object, Format::Apple, Purpose::Any, trust, now)?;
    if !same(&nonce(&chain.leaf)?, &sha256(expected.external)) {
        return Err(StatementRefusal::Challenge);
    }
    let serials = [SERIAL_NUMBER, UDID].iter().filter_map(|id| chain.leaf.extension(id));
    let serials = serials.map(|e| identifier(e.value)).collect::<Result<_, _>>()?;
    let spki = chain.leaf.key().der().to_vec();
    let claims = Claims { serials, ..Claims::default() };
    Ok(AttestedKey::new(spki, Format::Apple, chain, claims, Details::default(), object))
}

fn nonce(leaf: &AttestationCertificate) -> Result<[u8; 32], StatementRefusal> {
    const MISSING: StatementRefusal = StatementRefusal::Profile("it has a nonce extension");
    let (browser, device) = (leaf.extension(&BROWSER_NONCE), leaf.extension(&DEVICE_NONCE));
    let found = device.or(browser).ok_or(MISSING)?;
    if let Ok(bare) = found.value.try_into() {
        return Ok(bare);
    }
    let malformed = || Malformed::Invalid { field: "nonce extension", rule: "it holds 32 bytes" };
    let mut reader = Reader::new("nonce extension", found.value);
    let mut peeked = reader;
    let octets = if peeked.next()?.tag == asn1::SEQUENCE {
        let mut inside = reader.inside(asn1::SEQUENCE)?;
        let mut peeked = inside;
        // AppleAnonymousAttestation: SEQUENCE { nonce [1] EXPLICIT OCTET STRING }.
        if peeked.next()?.tag == Tag::explicit(1) {
            inside = inside.inside(Tag::explicit(1))?
        }
        let octets = inside.expect(asn1::OCTET_STRING)?;
        inside.finish()?;
        octets
    } else {
        reader.expect(asn1::OCTET_STRING)?
    };
    reader.finish()?;
    Ok(octets.try_into().map_err(|_| malformed())?)
}

fn identifier(value: &[u8]) -> Result<String, Malformed> {
    let wrapped = || {
        let mut reader = Reader::new("identifier extension", value);
        let content = reader.expect(asn1::UTF8_STRING).ok()?;
        reader.finish().ok().map(|()| content)
    };
    let bytes = wrapped().unwrap_or(value);
    let text = std::str::from_utf8(bytes).ok();
    text.filter(|t| (1..=MAX_IDENTIFIER).contains(&t.len()) && t.chars().all(|c| c.is_ascii_graphic()))
        .map(str::to_owned)
        .ok_or(Malformed::Invalid {
            field: "identifier extension",
            rule: "it is a text of 1 to 64 visible ASCII characters",
        })
}
