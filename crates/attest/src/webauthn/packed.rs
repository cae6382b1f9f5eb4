//! Format `packed` (WebAuthn 8.2): the maker certified the key that signs attToBeSigned.
//!
//! In a browser the signature also covers authenticator data with the credential's key. ACME's does not: what is
//! signed is the key authorization alone. So the one key that such a statement can speak of is the certified key
//! itself, and that is the attested key here; a request for another key is refused at finalize.
//! The rules of 8.2.1 for the certificate hold; self attestation (no `x5c`) is refused.

use der::asn1::ObjectIdentifier;
use lanyard_domain::time::Timestamp;

use super::asn1::{self, Reader};
use super::attested::Details;
use super::certificate::AttestationCertificate;
use super::chain::{self, Purpose};
use super::cose::Algorithm;
use super::{AttestationObject, AttestedKey, Claims, Expected, Format, StatementRefusal, Trust};
use crate::check::hex;
use crate::wire::Malformed;

const COUNTRY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.6");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const ORGANIZATIONAL_UNIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// id-fido-gen-ce-aaguid.
const AAGUID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.45724.1.1.4");
/// id-fido-gen-ce-sernum, of enterprise attestation (WebAuthn Level 3, 8.2.2).
const SERIAL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.45724.1.1.2");

pub(super) fn verify(
    object: &AttestationObject,
    expected: &Expected<'_>,
    trust: &Trust,
    now: Timestamp,
) -> Result<AttestedKey, StatementRefusal> {
    let statement = object.statement();
    let number = statement.algorithm.ok_or(StatementRefusal::Missing("alg"))?;
    let signature = statement.signature.as_deref().ok_or(StatementRefusal::Missing("sig"))?;
    if statement.certificates.is_none() {
        return Err(StatementRefusal::SelfAttestation);
    }
    let chain = chain::check(object, Format::Packed, Purpose::Any, trust, now)?;
    let (aaguid, serials) = check_profile(&chain.leaf)?;
    if let (Some(certified), Some(data)) = (aaguid, object.auth_data()) {
        // 8.2: the extension and the authenticator data name the same model.
        if model_of(data) != Some(certified) {
            return Err(StatementRefusal::Model(hex(&certified)));
        }
    }
    if !trust.models.is_empty() && !aaguid.is_some_and(|model| trust.models.contains(&model)) {
        return Err(StatementRefusal::Model(aaguid.map(|a| hex(&a)).unwrap_or_default()));
    }
    let algorithm = Algorithm::of(number, chain.leaf.key())?;
    algorithm.verify(chain.leaf.key(), expected.signed, signature)?;
    let spki = chain.leaf.key().der().to_vec();
    let claims = Claims { serials, ..Claims::default() };
    let details = Details { aaguid, ..Details::default() };
    Ok(AttestedKey::new(spki, Format::Packed, chain, claims, details, object))
}

/// WebAuthn 8.2.1 and 8.2.2: model and serial number, where the certificate names them.
fn check_profile(leaf: &AttestationCertificate) -> Result<(Option<[u8; 16]>, Vec<String>), StatementRefusal> {
    let broken = |rule| Err(StatementRefusal::Profile(rule));
    if !leaf.is_version_three() {
        return broken("its version is 3");
    }
    if leaf.subject(&COUNTRY).is_none_or(|c| c.len() != 2) {
        return broken("its subject has a country of two letters");
    }
    if leaf.subject(&ORGANIZATION).is_none_or(str::is_empty) {
        return broken("its subject names the maker as organization");
    }
    if leaf.subject(&ORGANIZATIONAL_UNIT) != Some("Authenticator Attestation") {
        return broken("its organizational unit is `Authenticator Attestation`");
    }
    if leaf.subject(&COMMON_NAME).is_none_or(str::is_empty) {
        return broken("its subject has a common name");
    }
    if leaf.says_ca()? != Some(false) {
        return broken("basicConstraints is there with cA false");
    }
    let mut aaguid = None;
    if let Some(found) = leaf.extension(&AAGUID) {
        if found.critical {
            return broken("the AAGUID extension is not critical");
        }
        let value = octets("AAGUID extension", found.value)?;
        let sixteen = value.try_into();
        aaguid = Some(sixteen.map_err(|_| Malformed::Invalid { field: "AAGUID", rule: "it has 16 bytes" })?);
    }
    let mut serials = Vec::new();
    if let Some(found) = leaf.extension(&SERIAL) {
        if found.critical {
            return broken("the serial number extension is not critical");
        }
        let value = octets("serial number extension", found.value)?;
        // The text as which it is compared with an order: itself where it is one, else in hexadecimal.
        let text =
            std::str::from_utf8(value).ok().filter(|t| !t.is_empty() && !t.chars().any(char::is_control));
        serials.push(text.map_or_else(|| hex(value), str::to_owned));
    }
    Ok((aaguid, serials))
}

fn octets<'a>(field: &'static str, value: &'a [u8]) -> Result<&'a [u8], Malformed> {
    let mut reader = Reader::new(field, value);
    let content = reader.expect(asn1::OCTET_STRING)?;
    reader.finish()?;
    Ok(content)
}

/// The AAGUID in authenticator data: after RP id hash (32), flags (1) and counter (4), if the flags say so.
fn model_of(auth_data: &[u8]) -> Option<[u8; 16]> {
    const ATTESTED_CREDENTIAL_DATA: u8 = 1 << 6;
    let flags = *auth_data.get(32)?;
    let model = auth_data.get(37..53)?;
    (flags & ATTESTED_CREDENTIAL_DATA != 0).then(|| model.try_into().ok())?
}
