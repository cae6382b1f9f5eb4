//! CSR attributes (RFC 7030 4.5 as RFC 8951 4 corrects it, RFC 9908): what a request should hold. Written twice in one
//! message: as a template for clients of RFC 9908, and as single attributes for older ones, which skip what they do not
//! know. A client that reads templates reads nothing else (RFC 9908 4).
//!
//! In scope: kind of key and extended key usages, the only things about a request that a profile asks for. Out of
//! scope: names, because those in a request are ignored, and what we would write here anybody could read.

use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};
use lanyard_pki::oid;
use lanyard_pki::spki::PublicKeyKind;
use lanyard_pki::write::{self, Critical};

/// RFC 9908 3.4
const TEMPLATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.61");
const EXTENSION_TEMPLATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.62");

/// Ours have about 150 bytes, with an RSA-8192 placeholder 1.2 KiB.
pub const MAX_CSRATTRS_BYTES: usize = 16 * 1024;
/// RFC 9908's longest example has six.
const MAX_ITEMS: usize = 64;

/// What a profile wants in a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CsrTemplate {
    /// The kind of key; any without.
    pub key: Option<PublicKeyKind>,
    /// The extended key usages that the certificate will have; none to leave them out.
    pub extended_key_usages: Vec<ObjectIdentifier>,
}

/// Why CSR attributes were not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCsrAttributes {
    /// Longer than [`MAX_CSRATTRS_BYTES`].
    #[error("CSR attributes have {0} bytes, at most {MAX_CSRATTRS_BYTES} are read")]
    TooLarge(usize),
    /// Not DER of RFC 8951 and RFC 9908.
    #[error("CSR attributes are malformed: {0}")]
    Malformed(String),
    /// More than anybody writes.
    #[error("more than {MAX_ITEMS} CSR attributes")]
    TooMany,
    /// The server wants a key that we do not make.
    #[error("the server asks for a key of algorithm or curve {0}: known are P-256, P-384, Ed25519 and RSA")]
    UnknownKey(ObjectIdentifier),
    /// An RSA length that is weak, or slow, or nobody's.
    #[error("the server asks for an RSA key of {0} bits: known are 2048 to 8192 in whole bytes")]
    RsaLength(usize),
}

impl From<der::Error> for BadCsrAttributes {
    fn from(error: der::Error) -> Self {
        BadCsrAttributes::Malformed(error.to_string())
    }
}

impl CsrTemplate {
    /// DER of CsrAttrs.
    pub fn to_der(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        write::tlv(&mut out, write::SEQUENCE, |o| {
            if let Some(key) = self.key {
                single_key(o, key);
            }
            self.extension_request(o);
            attribute(o, &TEMPLATE, |o| self.template(o));
        });
        out
    }

    /// CertificationRequestInfoTemplate. A subject would be a demand, so there is none (RFC 9908 3.4).
    fn template(&self, out: &mut Vec<u8>) {
        write::tlv(out, write::SEQUENCE, |o| {
            write::bytes(o, write::INTEGER, &[0]);
            if let Some(key) = self.key {
                write::tlv(o, write::context_constructed(0), |o| key_template(o, key));
            }
            // Not optional: without attributes it is an empty set.
            write::tlv(o, write::context_constructed(1), |o| self.extension_request(o));
        });
    }

    /// RFC 9908 3.2: one attribute, one value, all extensions in it. Their values are complete, so that the template
    /// too has ExtensionReq and not ExtensionReqTemplate (3.4).
    fn extension_request(&self, out: &mut Vec<u8>) {
        if self.extended_key_usages.is_empty() {
            return;
        }
        attribute(out, &oid::EXTENSION_REQUEST, |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                write::extension(o, &oid::EXTENDED_KEY_USAGE, Critical::No, |o| {
                    write::tlv(o, write::SEQUENCE, |o| {
                        self.extended_key_usages.iter().for_each(|usage| write::oid(o, usage));
                    });
                });
            });
        });
    }

    /// Reads the DER of CsrAttrs: of a template, else of single attributes; what is not known is skipped (RFC 8951 4.1).
    /// Fuzz entry point.
    pub fn from_der(der: &[u8]) -> Result<Self, BadCsrAttributes> {
        if der.len() > MAX_CSRATTRS_BYTES {
            return Err(BadCsrAttributes::TooLarge(der.len()));
        }
        let items = items(der)?;
        let template = items.iter().find(|item| item.id == TEMPLATE);
        match template.and_then(|item| item.value) {
            Some(template) => read_template(template),
            None => read_single(&items),
        }
    }
}

fn attribute(out: &mut Vec<u8>, id: &ObjectIdentifier, value: impl FnOnce(&mut Vec<u8>)) {
    write::tlv(out, write::SEQUENCE, |o| {
        write::oid(o, id);
        write::tlv(o, write::SET, value);
    });
}

/// RFC 8951 4.1: the key's algorithm is an attribute with its parameters as values; the signature's is an OID.
fn single_key(out: &mut Vec<u8>, key: PublicKeyKind) {
    match key {
        PublicKeyKind::P256 => {
            attribute(out, &oid::EC_PUBLIC_KEY, |o| write::oid(o, &oid::P256));
            write::oid(out, &oid::ECDSA_WITH_SHA256);
        }
        PublicKeyKind::P384 => {
            attribute(out, &oid::EC_PUBLIC_KEY, |o| write::oid(o, &oid::P384));
            write::oid(out, &oid::ECDSA_WITH_SHA384);
        }
        // No parameters, and one identifier for key and signature.
        PublicKeyKind::Ed25519 => write::oid(out, &oid::ED25519),
        PublicKeyKind::MlDsa65 => write::oid(out, &oid::ML_DSA_65),
        PublicKeyKind::Rsa(bits) => {
            attribute(out, &oid::RSA_ENCRYPTION, |o| {
                let be = (bits as u64).to_be_bytes();
                let mut content: Vec<u8> = be.into_iter().skip_while(|byte| *byte == 0).collect();
                // An INTEGER is signed.
                if content.first().is_none_or(|byte| *byte >= 0x80) {
                    content.insert(0, 0);
                }
                write::bytes(o, write::INTEGER, &content);
            });
            write::oid(out, &oid::SHA256_WITH_RSA);
        }
    }
}

/// The content of SubjectPublicKeyInfoTemplate.
fn key_template(out: &mut Vec<u8>, key: PublicKeyKind) {
    write::tlv(out, write::SEQUENCE, |o| match key {
        PublicKeyKind::P256 | PublicKeyKind::P384 => {
            write::oid(o, &oid::EC_PUBLIC_KEY);
            write::oid(o, if key == PublicKeyKind::P256 { &oid::P256 } else { &oid::P384 });
        }
        PublicKeyKind::Ed25519 => write::oid(o, &oid::ED25519),
        PublicKeyKind::MlDsa65 => write::oid(o, &oid::ML_DSA_65),
        PublicKeyKind::Rsa(_) => {
            write::oid(o, &oid::RSA_ENCRYPTION);
            o.extend_from_slice(&[5, 0]);
        }
    });
    // RFC 9908 3.4: only RSA has a placeholder, whose modulus tells the length.
    if let PublicKeyKind::Rsa(bits) = key {
        let mut placeholder = Vec::new();
        write::tlv(&mut placeholder, write::SEQUENCE, |o| {
            write::tlv(o, write::INTEGER, |o| {
                o.push(0);
                o.extend(std::iter::repeat_n(0xff, bits / 8));
            });
            write::bytes(o, write::INTEGER, &[1, 0, 1]);
        });
        write::bit_string(out, &placeholder);
    }
}

/// AttrOrOID.
struct Item<'a> {
    id: ObjectIdentifier,
    /// The first value, of an attribute.
    value: Option<AnyRef<'a>>,
}

fn items(der: &[u8]) -> Result<Vec<Item<'_>>, BadCsrAttributes> {
    let whole = AnyRef::from_der(der)?;
    whole.tag().assert_eq(Tag::Sequence).map_err(|e| BadCsrAttributes::Malformed(e.to_string()))?;
    attributes(whole.value())
}

/// OIDs and attributes, one after the other.
fn attributes(content: &[u8]) -> Result<Vec<Item<'_>>, BadCsrAttributes> {
    let mut reader = SliceReader::new(content)?;
    let mut out = Vec::new();
    while !reader.is_finished() {
        if out.len() == MAX_ITEMS {
            return Err(BadCsrAttributes::TooMany);
        }
        let any: AnyRef<'_> = reader.decode()?;
        out.push(match any.tag() {
            Tag::ObjectIdentifier => Item { id: any.decode_as()?, value: None },
            _ => any.sequence(|r| {
                let id = r.decode()?;
                let values: AnyRef<'_> = r.decode()?;
                values.tag().assert_eq(Tag::Set)?;
                let mut values = SliceReader::new(values.value())?;
                let value = if values.is_finished() { None } else { Some(values.decode()?) };
                Ok::<_, der::Error>(Item { id, value })
            })?,
        });
    }
    Ok(out)
}

fn read_single(items: &[Item<'_>]) -> Result<CsrTemplate, BadCsrAttributes> {
    let mut out = CsrTemplate::default();
    for item in items {
        match (item.id, item.value) {
            (oid::EC_PUBLIC_KEY, Some(curve)) => out.key = Some(curve_kind(curve.decode_as()?)?),
            (oid::RSA_ENCRYPTION, Some(bits)) => {
                let bits: u32 = bits.decode_as()?;
                out.key = Some(rsa_kind(bits as usize)?);
            }
            (oid::RSA_ENCRYPTION, None) => out.key = Some(PublicKeyKind::Rsa(DEFAULT_RSA_BITS)),
            (oid::ED25519, _) => out.key = Some(PublicKeyKind::Ed25519),
            (oid::ML_DSA_65, _) => out.key = Some(PublicKeyKind::MlDsa65),
            (oid::EXTENSION_REQUEST, Some(extensions)) => out.extended_key_usages = usages(extensions)?,
            _ => {}
        }
    }
    Ok(out)
}

/// A server that asks for RSA and names no length: what every certificate profile since 2014 accepts.
const DEFAULT_RSA_BITS: usize = 2048;

fn curve_kind(curve: ObjectIdentifier) -> Result<PublicKeyKind, BadCsrAttributes> {
    match curve {
        oid::P256 => Ok(PublicKeyKind::P256),
        oid::P384 => Ok(PublicKeyKind::P384),
        other => Err(BadCsrAttributes::UnknownKey(other)),
    }
}

fn read_template(template: AnyRef<'_>) -> Result<CsrTemplate, BadCsrAttributes> {
    template.tag().assert_eq(Tag::Sequence).map_err(|e| BadCsrAttributes::Malformed(e.to_string()))?;
    let mut reader = SliceReader::new(template.value())?;
    let version: u8 = reader.decode()?;
    if version != 0 {
        return Err(BadCsrAttributes::Malformed("version of the template is not v1 (RFC 9908 3.4)".into()));
    }
    let mut out = CsrTemplate::default();
    let mut next: AnyRef<'_> = reader.decode()?;
    // The subject: names are the record's.
    if next.tag() == Tag::Sequence {
        next = reader.decode()?;
    }
    if next.tag() == context(0) {
        out.key = Some(key_kind(next.value())?);
        next = reader.decode()?;
    }
    if next.tag() != context(1) {
        return Err(BadCsrAttributes::Malformed("template without attributes (RFC 9908 3.4)".into()));
    }
    reader.finish()?;
    for item in attributes(next.value())? {
        if let (oid::EXTENSION_REQUEST | EXTENSION_TEMPLATE, Some(extensions)) = (item.id, item.value) {
            out.extended_key_usages = usages(extensions)?;
        }
    }
    Ok(out)
}

const fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

fn key_kind(spki_template: &[u8]) -> Result<PublicKeyKind, BadCsrAttributes> {
    let mut reader = SliceReader::new(spki_template)?;
    let (algorithm, parameters) = reader.sequence(|r| {
        let algorithm: ObjectIdentifier = r.decode()?;
        let parameters: Option<AnyRef<'_>> = if r.is_finished() { None } else { Some(r.decode()?) };
        Ok::<_, der::Error>((algorithm, parameters))
    })?;
    let placeholder: Option<BitStringRef<'_>> =
        if reader.is_finished() { None } else { Some(reader.decode()?) };
    reader.finish()?;
    match algorithm {
        oid::EC_PUBLIC_KEY => {
            let curve =
                parameters.ok_or(BadCsrAttributes::Malformed("an EC key without its curve".into()))?;
            curve_kind(curve.decode_as()?)
        }
        oid::ED25519 => Ok(PublicKeyKind::Ed25519),
        oid::ML_DSA_65 => Ok(PublicKeyKind::MlDsa65),
        oid::RSA_ENCRYPTION => match placeholder.and_then(|bits| bits.as_bytes()) {
            Some(key) => rsa_kind(modulus_bits(key)?),
            None => Ok(PublicKeyKind::Rsa(DEFAULT_RSA_BITS)),
        },
        other => Err(BadCsrAttributes::UnknownKey(other)),
    }
}

/// The lengths that `PublicKey` accepts.
fn rsa_kind(bits: usize) -> Result<PublicKeyKind, BadCsrAttributes> {
    if (2048..=8192).contains(&bits) && bits.is_multiple_of(8) {
        Ok(PublicKeyKind::Rsa(bits))
    } else {
        Err(BadCsrAttributes::RsaLength(bits))
    }
}

/// The length of an RSAPublicKey (RFC 8017 A.1.1), in whole bytes.
fn modulus_bits(key: &[u8]) -> der::Result<usize> {
    let mut reader = SliceReader::new(key)?;
    let bits = reader.sequence(|r| {
        let modulus: UintRef<'_> = r.decode()?;
        r.decode::<UintRef<'_>>()?;
        Ok::<_, der::Error>(modulus.as_bytes().len() * 8)
    })?;
    reader.finish()?;
    Ok(bits)
}

/// The extended key usages of Extensions or ExtensionTemplates, whose values may be missing.
fn usages(extensions: AnyRef<'_>) -> Result<Vec<ObjectIdentifier>, BadCsrAttributes> {
    let mut out = Vec::new();
    let is_list = extensions.tag() == Tag::Sequence;
    // RFC 7030's own example has a bare OID here: no extension, so nothing for us.
    let mut reader = SliceReader::new(if is_list { extensions.value() } else { &[] })?;
    while !reader.is_finished() {
        let extension: AnyRef<'_> = reader.decode()?;
        let (id, value) = extension.sequence(|r| {
            let id: ObjectIdentifier = r.decode()?;
            let mut value = None;
            while !r.is_finished() {
                let field: AnyRef<'_> = r.decode()?;
                if field.tag() == Tag::OctetString {
                    value = Some(field.value());
                }
            }
            Ok::<_, der::Error>((id, value))
        })?;
        if let (oid::EXTENDED_KEY_USAGE, Some(value)) = (id, value) {
            out = Vec::<ObjectIdentifier>::from_der(value)?;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
