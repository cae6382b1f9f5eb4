//! Initial device identities (IEEE 802.1AR-2018): the certificate that a maker put into a device, checked against the
//! makers' roots that the hospital accepts.
//!
//! In scope: the chain at one moment, and what the certificate calls the device: serialNumber in the subject, the
//! hardware module name of RFC 4108, the permanent identifier of RFC 4043. Out of scope: whether that device is
//! registered, and proof that the sender holds the key (the TLS handshake, or the request's own signature).
//!
//! To read one more form of name: a field of [`VerifiedIdevid`], an arm in `Names::take`, a test where it is bad.

use std::fmt;

use der::asn1::{Any, Ia5StringRef, ObjectIdentifier, PrintableStringRef, Utf8StringRef};
use der::{Decode, Sequence, Tag, Tagged};
use lanyard_domain::time::Timestamp;
use rustls_pki_types::CertificateDer;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{GeneralName, HardwareModuleName, OtherName};

use crate::certificate::Certificate;
use crate::oid;
use crate::path::generic::{self, Policy, Strictness, Usage};
use crate::path::revocation::Revocation;
use crate::path::{AnchoredPath, Anchors, PathError, Purpose};

/// X.520 bounds a serialNumber at 64 characters; serials of hardware and their makers' prefixes stay below twice that.
const LONGEST_NAME: usize = 128;

/// Why a chain is not the identity of a maker's device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdevidError {
    /// The chain is not good.
    #[error("maker's certificate: {0}")]
    Path(#[from] PathError),
    /// A name cannot be read.
    #[error("maker's certificate: {form} is malformed: {rule}")]
    Name {
        /// Which form of name.
        form: NameForm,
        /// What is wrong.
        rule: &'static str,
    },
    /// The same form of name twice: which one counts would be up to the reader.
    #[error("maker's certificate: {0} stands in it more than once")]
    Ambiguous(NameForm),
    /// It names no device: a certificate of the maker's for something else.
    #[error(
        "maker's certificate names no device: it needs a serialNumber in its subject, a hardwareModuleName or a \
         permanentIdentifier (IEEE 802.1AR)"
    )]
    NamesNoDevice,
}

/// How a maker names a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameForm {
    /// serialNumber, 2.5.4.5, in the subject.
    SerialNumber,
    /// hardwareModuleName of RFC 4108.
    HardwareModule,
    /// permanentIdentifier of RFC 4043.
    PermanentIdentifier,
    /// subjectAltName as a whole.
    AltNames,
}

impl fmt::Display for NameForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NameForm::SerialNumber => "serialNumber",
            NameForm::HardwareModule => "hardwareModuleName",
            NameForm::PermanentIdentifier => "permanentIdentifier",
            NameForm::AltNames => "subjectAltName",
        })
    }
}

/// A hardware module and its serial number (RFC 4108 5).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HardwareModule {
    /// Kind of hardware, as its maker numbers them.
    pub kind: ObjectIdentifier,
    /// Serial number: octets, often text.
    pub serial: Vec<u8>,
}

/// A name that a device keeps over all its certificates (RFC 4043 2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PermanentIdentifier {
    /// The identifier.
    pub value: String,
    /// Who assigned it; without one, the issuer of the certificate.
    pub assigner: Option<ObjectIdentifier>,
}

/// A maker's certificate for a device whose chain was good. Made only by [`verify`].
#[derive(Debug, Clone)]
pub struct VerifiedIdevid {
    path: AnchoredPath,
    names: Names,
    verified_at: Timestamp,
}

impl VerifiedIdevid {
    /// SHA-256 of the device key's SubjectPublicKeyInfo.
    pub fn spki_sha256(&self) -> [u8; 32] {
        self.path.leaf().spki_sha256()
    }
    /// SHA-256 of the certificate.
    pub fn certificate_sha256(&self) -> [u8; 32] {
        self.path.leaf().thumbprint()
    }
    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        self.path.leaf()
    }
    /// serialNumber in the subject.
    pub fn serial_number(&self) -> Option<&str> {
        self.names.serial_number.as_deref()
    }
    /// hardwareModuleName in the subjectAltName.
    pub fn hardware_module(&self) -> Option<&HardwareModule> {
        self.names.hardware_module.as_ref()
    }
    /// permanentIdentifier in the subjectAltName.
    pub fn permanent_identifier(&self) -> Option<&PermanentIdentifier> {
        self.names.permanent_identifier.as_ref()
    }
    /// SHA-256 of the maker's root: which maker it was.
    pub fn anchor_sha256(&self) -> [u8; 32] {
        self.path.anchor().thumbprint()
    }
    /// The moment for which it was checked.
    pub fn verified_at(&self) -> Timestamp {
        self.verified_at
    }
}

/// Checks a maker's chain, the device's certificate first, against the `makers` that are accepted.
///
/// A validity without end (99991231235959Z, RFC 5280 4.1.2.5) is as good as any; extendedKeyUsage and keyUsage need not
/// be there, and bind where they are.
pub fn verify(
    chain: &[CertificateDer<'_>],
    makers: &Anchors,
    revocation: Revocation<'_>,
    now: Timestamp,
) -> Result<VerifiedIdevid, IdevidError> {
    let policy = Policy {
        strictness: Strictness::Maker,
        revocation,
        ..Policy::strict(Usage::TlsIfNamed(Purpose::Client), now)
    };
    let path = generic::validate(chain, makers, &policy)?;
    let names = Names::read(path.leaf())?;
    Ok(VerifiedIdevid { path, names, verified_at: now })
}

#[derive(Debug, Clone, Default)]
struct Names {
    serial_number: Option<String>,
    hardware_module: Option<HardwareModule>,
    permanent_identifier: Option<PermanentIdentifier>,
}

/// RFC 4043 2. Each part may be absent.
#[derive(Sequence)]
struct RawPermanentIdentifier<'a> {
    value: Option<Utf8StringRef<'a>>,
    assigner: Option<ObjectIdentifier>,
}

impl Names {
    fn read(certificate: &Certificate) -> Result<Self, IdevidError> {
        let unread = |form, rule| IdevidError::Name { form, rule };
        let parsed = x509_cert::Certificate::from_der(certificate.der())
            .map_err(|_| unread(NameForm::AltNames, "the certificate cannot be read"))?;
        let tbs = parsed.tbs_certificate();
        let mut names = Names::default();
        for attribute in tbs.subject().iter().filter(|a| a.oid == oid::SERIAL_NUMBER) {
            let text = serial_text(&attribute.value)?;
            put(&mut names.serial_number, text, NameForm::SerialNumber)?;
        }
        let extensions = tbs.extensions().map(Vec::as_slice).unwrap_or_default();
        for extension in extensions.iter().filter(|e| e.extn_id == oid::SUBJECT_ALT_NAME) {
            let alt_names = SubjectAltName::from_der(extension.extn_value.as_bytes())
                .map_err(|_| unread(NameForm::AltNames, "not a sequence of names"))?;
            for name in &alt_names.0 {
                if let GeneralName::OtherName(other) = name {
                    names.take(other)?;
                }
            }
        }
        if names.serial_number.is_none()
            && names.hardware_module.is_none()
            && names.permanent_identifier.is_none()
        {
            return Err(IdevidError::NamesNoDevice);
        }
        Ok(names)
    }

    fn take(&mut self, other: &OtherName) -> Result<(), IdevidError> {
        match other.type_id {
            oid::HARDWARE_MODULE_NAME => {
                let form = NameForm::HardwareModule;
                let malformed = |rule| IdevidError::Name { form, rule };
                let name: HardwareModuleName = other
                    .value
                    .decode_as()
                    .map_err(|_| malformed("not a kind and a serial number (RFC 4108 5)"))?;
                let serial = name.hw_serial_num.as_bytes();
                if serial.is_empty() || serial.len() > LONGEST_NAME {
                    return Err(malformed("a serial number has 1 to 128 octets"));
                }
                let module = HardwareModule { kind: name.hw_type, serial: serial.to_vec() };
                put(&mut self.hardware_module, module, form)
            }
            oid::PERMANENT_IDENTIFIER => {
                let form = NameForm::PermanentIdentifier;
                let malformed = |rule| IdevidError::Name { form, rule };
                let raw: RawPermanentIdentifier<'_> = other
                    .value
                    .decode_as()
                    .map_err(|_| malformed("not a value and an assigner (RFC 4043 2)"))?;
                let value = match raw.value {
                    Some(value) => checked(value.as_str(), form)?,
                    // RFC 4043 2: without a value, the serialNumber of the subject is it. The subject was read before.
                    None => self
                        .serial_number
                        .clone()
                        .ok_or(malformed("neither a value nor a serialNumber in the subject"))?,
                };
                put(
                    &mut self.permanent_identifier,
                    PermanentIdentifier { value, assigner: raw.assigner },
                    form,
                )
            }
            _ => Ok(()),
        }
    }
}

fn put<T>(place: &mut Option<T>, found: T, form: NameForm) -> Result<(), IdevidError> {
    match place.replace(found) {
        None => Ok(()),
        Some(_) => Err(IdevidError::Ambiguous(form)),
    }
}

/// X.520: a PrintableString; makers also write the two other types that hold the same characters.
fn serial_text(value: &Any) -> Result<String, IdevidError> {
    let form = NameForm::SerialNumber;
    let malformed = |_| IdevidError::Name { form, rule: "its characters are not those of its string type" };
    let text = match value.tag() {
        Tag::PrintableString => value.decode_as::<PrintableStringRef<'_>>().map_err(malformed)?.as_str(),
        Tag::Utf8String => value.decode_as::<Utf8StringRef<'_>>().map_err(malformed)?.as_str(),
        Tag::Ia5String => value.decode_as::<Ia5StringRef<'_>>().map_err(malformed)?.as_str(),
        _ => return Err(IdevidError::Name { form, rule: "use PrintableString or UTF8String" }),
    };
    checked(text, form)
}

fn checked(text: &str, form: NameForm) -> Result<String, IdevidError> {
    if text.is_empty() || text.len() > LONGEST_NAME {
        return Err(IdevidError::Name { form, rule: "it has 1 to 128 octets" });
    }
    // It will stand in lists and logs that people read.
    if text.chars().any(char::is_control) {
        return Err(IdevidError::Name { form, rule: "control characters are not accepted" });
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
