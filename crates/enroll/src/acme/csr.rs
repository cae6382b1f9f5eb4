//! The certificate request at finalize: key, and names against the order's (RFC 8555 7.4, device attestation draft
//! 3.2 and 4.2).
//!
//! Certificates are made from the record, not from the request; the names are compared because a client that asks
//! for one thing and signs for another is broken or worse.

use std::collections::BTreeSet;

use der::asn1::{Any, ObjectIdentifier, OctetString};
use der::{Decode, Sequence};
use lanyard_pki::csr::{self, VerifiedCsr};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::request::CertReq;

use super::identifier::Identifier;
use super::policy::DeviceNames;
use super::problem::{ErrorType, Problem};

const EXTENSION_REQUEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const PERMANENT_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.8.3");
const HARDWARE_MODULE_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.8.4");

/// RFC 4043 2.
#[derive(Sequence)]
struct PermanentIdentifier {
    #[asn1(optional = "true")]
    value: Option<String>,
    #[asn1(optional = "true")]
    assigner: Option<ObjectIdentifier>,
}

/// RFC 4108 5.
#[derive(Sequence)]
struct HardwareModuleName {
    kind: ObjectIdentifier,
    serial: OctetString,
}

/// Reads a request and checks it against the identifiers of its order.
pub(super) fn check(
    der: &[u8],
    ordered: &[Identifier],
    device_names: DeviceNames,
) -> Result<VerifiedCsr, Problem> {
    let verified = csr::verify(der).map_err(|e| bad(e.to_string()))?;
    let asked = requested_names(der, ordered)?;
    let ordered: BTreeSet<&Identifier> = ordered.iter().collect();
    for name in &asked {
        if !ordered.contains(name) {
            let text =
                format!("the certificate request asks for a `{}` that is not in the order", name.kind());
            return Err(bad(text));
        }
        if name.is_device() && device_names == DeviceNames::Refused {
            return Err(bad("the identifiers of a device stay out of its certificate here: leave them out"));
        }
    }
    // The identifiers of devices may be left out; all others must be there.
    if let Some(missing) = ordered.iter().find(|name| !name.is_device() && !asked.contains(**name)) {
        return Err(bad(format!("the certificate request lacks `{missing}`, which the order has")));
    }
    Ok(verified)
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(ErrorType::BadCsr, detail)
}

/// The names that a request asks for in an order of these identifiers. Proves nothing. Fuzz entry point.
pub fn requested_names(der: &[u8], ordered: &[Identifier]) -> Result<BTreeSet<Identifier>, Problem> {
    if der.len() > csr::MAX_CSR_BYTES {
        return Err(bad("certificate request is too long"));
    }
    let request =
        CertReq::from_der(der).map_err(|e| bad(format!("certificate request is malformed: {e}")))?;
    let mut out = BTreeSet::new();
    for name in alt_names(&request)? {
        out.insert(identifier(&name)?);
    }
    // RFC 8555 7.4: a name may stand in the common name, in the alternative names, or in both. Where no DNS name is
    // ordered the common name is some text.
    if ordered.iter().any(|i| matches!(i, Identifier::Dns(_))) {
        let mut attributes = request.info.subject.iter().filter(|a| a.oid == COMMON_NAME);
        if let Some(common) = attributes.next() {
            let text = std::str::from_utf8(common.value.value()).unwrap_or_default().to_ascii_lowercase();
            let name = Identifier::parse("ip", &text).or_else(|_| Identifier::parse("dns", &text));
            out.insert(name.map_err(|e| bad(format!("common name: {e}")))?);
        }
    }
    Ok(out)
}

fn alt_names(request: &CertReq) -> Result<Vec<GeneralName>, Problem> {
    let malformed = |e: der::Error| bad(format!("certificate request is malformed: {e}"));
    let mut found: Option<Vec<GeneralName>> = None;
    for attribute in request.info.attributes.iter().filter(|a| a.oid == EXTENSION_REQUEST) {
        for value in attribute.values.iter() {
            let extensions: Vec<Extension> = value.decode_as().map_err(malformed)?;
            for extension in extensions.iter().filter(|e| e.extn_id == SUBJECT_ALT_NAME) {
                let SubjectAltName(names) =
                    SubjectAltName::from_der(extension.extn_value.as_bytes()).map_err(malformed)?;
                if found.replace(names).is_some() {
                    return Err(bad("the certificate request has alternative names twice"));
                }
            }
        }
    }
    Ok(found.unwrap_or_default())
}

fn identifier(name: &GeneralName) -> Result<Identifier, Problem> {
    let odd = || bad("the certificate request has an alternative name of a form that no order can have");
    match name {
        GeneralName::DnsName(found) => {
            Identifier::parse("dns", &found.as_str().to_ascii_lowercase()).map_err(|e| bad(e.to_string()))
        }
        GeneralName::IpAddress(found) => {
            let octets = found.as_bytes();
            let four = <[u8; 4]>::try_from(octets).map(std::net::IpAddr::from);
            let address = four.or_else(|_| <[u8; 16]>::try_from(octets).map(std::net::IpAddr::from));
            address.map(Identifier::Ip).map_err(|_| odd())
        }
        GeneralName::OtherName(other) => other_name(&other.type_id, &other.value).ok_or_else(odd)?,
        _ => Err(odd()),
    }
}

/// Draft, 3.2 and 4.2: the text of the order is made again from the name, and compared octet for octet. A `/` in the
/// name itself would make another name of it.
fn other_name(id: &ObjectIdentifier, value: &Any) -> Option<Result<Identifier, Problem>> {
    let (kind, text) = match *id {
        PERMANENT_IDENTIFIER => {
            let found: PermanentIdentifier = value.decode_as().ok()?;
            let value = found.value.filter(|v| !v.contains('/'))?;
            let text = found.assigner.map_or_else(|| value.clone(), |oid| format!("{value}/{oid}"));
            ("permanent-identifier", text)
        }
        HARDWARE_MODULE_NAME => {
            let found: HardwareModuleName = value.decode_as().ok()?;
            let serial = std::str::from_utf8(found.serial.as_bytes()).ok().filter(|s| !s.contains('/'))?;
            ("hardware-module", format!("{serial}/{}", found.kind))
        }
        _ => return None,
    };
    Some(Identifier::parse(kind, &text).map_err(|e| bad(e.to_string())))
}
