//! SignedData (RFC 5652 5): the outer shell of every pkiMessage, read and verified; ours written; and the empty shell
//! that only carries certificates.
//!
//! In scope: one signer, named by issuer and serial number, with signed attributes, as RFC 8894 3 has it. Out of scope:
//! what the attributes say ([`super::message`]), several signers, countersignatures.

use aws_lc_rs::digest;
use der::asn1::ObjectIdentifier;
use lanyard_pki::spki::PublicKey;
use lanyard_pki::write;

use super::algorithm::{self, Algorithms};
use super::asn1::{self, CONTEXT_0, Element, Malformed};
use super::oid;
use super::peer;
use super::refusal::Refusal;

const NOT_SIGNED: &str = "the message is not a CMS SignedData (RFC 5652 5.1)";
const SIGNER: &str = "the SignerInfo is malformed: one is needed, with issuer and serial number and signed attributes \
                      (RFC 8894 3.1)";
const CERTIFICATES: &str = "the certificates of the SignedData are malformed";
const ATTRIBUTES: &str =
    "the signed attributes are malformed: each has one value and stands once (RFC 5652 11)";
const CONTEXT_1: u8 = write::context_constructed(1);

/// A SignedData as it was sent.
pub(super) struct Signed<'a> {
    /// The encapsulated content, if there is any.
    pub content: Option<&'a [u8]>,
    pub certificates: Vec<Element<'a>>,
    /// Object identifier and value of each signed attribute.
    attributes: Vec<(ObjectIdentifier, Element<'a>)>,
    signed_bytes: Vec<u8>,
    signer: (&'a [u8], &'a [u8]),
    digest: ObjectIdentifier,
    algorithm: ObjectIdentifier,
    signature: &'a [u8],
}

/// Reads one, out of DER.
pub(super) fn read(der: &[u8]) -> Result<Signed<'_>, Malformed> {
    let fields = content_info(der, &oid::SIGNED_DATA, NOT_SIGNED)?.parts(NOT_SIGNED)?;
    let [version, digests, encapsulated, rest @ ..] = fields.as_slice() else {
        return Err(Malformed(NOT_SIGNED));
    };
    version.version(NOT_SIGNED)?;
    digests.tagged(write::SET, NOT_SIGNED)?;
    let (certificates, rest) = match rest {
        [certificates, rest @ ..] if certificates.tag == CONTEXT_0 => {
            (certificates.parts(CERTIFICATES)?, rest)
        }
        rest => (Vec::new(), rest),
    };
    let signers = match rest {
        [signers] => signers,
        [crls, signers] if crls.tag == CONTEXT_1 => signers,
        _ => return Err(Malformed(NOT_SIGNED)),
    };
    let signers = signers.tagged(write::SET, SIGNER)?.parts(SIGNER)?;
    let [signer] = signers.as_slice() else { return Err(Malformed(SIGNER)) };
    let fields = signer.tagged(write::SEQUENCE, SIGNER)?.parts(SIGNER)?;
    let [version, id, digest, attributes, algorithm, signature, ..] = fields.as_slice() else {
        return Err(Malformed(SIGNER));
    };
    version.version(SIGNER)?;
    let id = id.tagged(write::SEQUENCE, SIGNER)?.parts(SIGNER)?;
    let [issuer, serial] = id.as_slice() else { return Err(Malformed(SIGNER)) };
    Ok(Signed {
        content: encapsulated_content(encapsulated)?,
        certificates,
        attributes: read_attributes(attributes)?,
        signed_bytes: signed_bytes(attributes.content),
        signer: (issuer.whole, serial.whole),
        digest: digest.algorithm(SIGNER)?.0,
        algorithm: algorithm.algorithm(SIGNER)?.0,
        signature: signature.tagged(write::OCTET_STRING, SIGNER)?.content,
    })
}

/// RFC 5652 5.4: the signature is over the attributes as a SET, whatever tag they travel under.
fn signed_bytes(attributes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(attributes.len() + 4);
    write::bytes(&mut out, write::SET, attributes);
    out
}

/// The content of a ContentInfo of this type.
pub(super) fn content_info<'a>(
    der: &'a [u8],
    content_type: &ObjectIdentifier,
    what: &'static str,
) -> Result<Element<'a>, Malformed> {
    let fields = asn1::one(der, write::SEQUENCE, what)?.parts(what)?;
    let [found, explicit] = fields.as_slice() else { return Err(Malformed(what)) };
    if found.oid(what)? != *content_type {
        return Err(Malformed(what));
    }
    asn1::one(explicit.tagged(CONTEXT_0, what)?.content, write::SEQUENCE, what)
}

fn encapsulated_content<'a>(encapsulated: &Element<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    let fields = encapsulated.tagged(write::SEQUENCE, NOT_SIGNED)?.parts(NOT_SIGNED)?;
    let (content_type, content) = match fields.as_slice() {
        [content_type] => (content_type, None),
        [content_type, explicit] => {
            let explicit = explicit.tagged(CONTEXT_0, NOT_SIGNED)?;
            (content_type, Some(asn1::one(explicit.content, write::OCTET_STRING, NOT_SIGNED)?.content))
        }
        _ => return Err(Malformed(NOT_SIGNED)),
    };
    // RFC 8894 3.1: the content type is data.
    if content_type.oid(NOT_SIGNED)? == oid::DATA { Ok(content) } else { Err(Malformed(NOT_SIGNED)) }
}

fn read_attributes<'a>(attributes: &Element<'a>) -> Result<Vec<(ObjectIdentifier, Element<'a>)>, Malformed> {
    let mut read: Vec<(ObjectIdentifier, Element<'a>)> = Vec::new();
    for attribute in attributes.tagged(CONTEXT_0, ATTRIBUTES)?.parts(ATTRIBUTES)? {
        let fields = attribute.tagged(write::SEQUENCE, ATTRIBUTES)?.parts(ATTRIBUTES)?;
        let [id, values] = fields.as_slice() else { return Err(Malformed(ATTRIBUTES)) };
        let values = values.tagged(write::SET, ATTRIBUTES)?.parts(ATTRIBUTES)?;
        let ([value], id) = (values.as_slice(), id.oid(ATTRIBUTES)?) else {
            return Err(Malformed(ATTRIBUTES));
        };
        // A second one of a kind would be read by one party and ignored by the other.
        if read.iter().any(|(other, _)| *other == id) {
            return Err(Malformed(ATTRIBUTES));
        }
        read.push((id, *value));
    }
    Ok(read)
}

impl<'a> Signed<'a> {
    /// The value of a signed attribute.
    pub fn attribute(&self, id: &ObjectIdentifier) -> Option<&Element<'a>> {
        self.attributes.iter().find(|(found, _)| found == id).map(|(_, value)| value)
    }

    /// The certificate that the SignerInfo names, among those that came with the message.
    pub fn certificate(&self) -> Result<Element<'a>, Refusal> {
        for certificate in &self.certificates {
            if peer::issuer_and_serial(certificate)? == self.signer {
                return Ok(*certificate);
            }
        }
        Err(Refusal::NoSignerCertificate)
    }

    /// Checks that this key signed the attributes, and that they hold the content's digest.
    pub fn verify(&self, key: &PublicKey, accepted: Algorithms) -> Result<(), Refusal> {
        let algorithm = algorithm::signature(&self.digest, &self.algorithm);
        let (Some(digest), Some(algorithm)) = (algorithm::digest(&self.digest, accepted), algorithm) else {
            return Err(Refusal::SignatureAlgorithm);
        };
        let content = digest::digest(digest, self.content.unwrap_or_default());
        let claimed = self.attribute(&oid::MESSAGE_DIGEST).ok_or(Malformed(ATTRIBUTES))?;
        let content_type = self.attribute(&oid::CONTENT_TYPE).ok_or(Malformed(ATTRIBUTES))?;
        if content_type.oid(ATTRIBUTES)? != oid::DATA {
            return Err(Malformed(ATTRIBUTES).into());
        }
        if claimed.tagged(write::OCTET_STRING, ATTRIBUTES)?.content != content.as_ref() {
            return Err(Refusal::MessageDigest);
        }
        algorithm::verify(key, &algorithm, &self.signed_bytes, self.signature, accepted)
            .map_err(|_| Refusal::Signature)
    }
}

/// Whose name stands under what we sign.
pub(super) struct Signer<'a> {
    pub certificate: &'a [u8],
    pub issuer: &'a [u8],
    pub serial: &'a [u8],
}

/// Object identifier and DER of the value.
pub(super) type Attribute = (ObjectIdentifier, Vec<u8>);

/// Writes a SignedData over `content` with these attributes and the two that always are; SHA-256 and RSA.
pub(super) fn write<E>(
    content: &[u8],
    mut attributes: Vec<Attribute>,
    signer: &Signer<'_>,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    let digest = digest::digest(&digest::SHA256, content);
    attributes.push((oid::CONTENT_TYPE, value(|o| write::oid(o, &oid::DATA))));
    attributes.push((oid::MESSAGE_DIGEST, value(|o| write::bytes(o, write::OCTET_STRING, digest.as_ref()))));
    let attributes = attribute_set(attributes);
    let signature = sign(&signed_bytes(&attributes))?;
    Ok(content_info_of(&oid::SIGNED_DATA, |o| {
        write::bytes(o, write::INTEGER, &[1]);
        write::tlv(o, write::SET, |o| algorithm_identifier(o, &oid::SHA256));
        write::tlv(o, write::SEQUENCE, |o| {
            write::oid(o, &oid::DATA);
            write::tlv(o, CONTEXT_0, |o| write::bytes(o, write::OCTET_STRING, content));
        });
        write::bytes(o, CONTEXT_0, signer.certificate);
        write::tlv(o, write::SET, |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                write::bytes(o, write::INTEGER, &[1]);
                write::tlv(o, write::SEQUENCE, |o| {
                    o.extend_from_slice(signer.issuer);
                    o.extend_from_slice(signer.serial);
                });
                algorithm_identifier(o, &oid::SHA256);
                write::bytes(o, CONTEXT_0, &attributes);
                // RFC 3370 3.2: every reader of CMS knows this name, PKCS#7 readers know only it.
                algorithm_identifier(o, &oid::RSA_ENCRYPTION);
                write::bytes(o, write::OCTET_STRING, &signature);
            });
        });
    }))
}

/// Writes a SignedData without content and signers (RFC 8894 3.4): certificates, in this order, because clients take the
/// first one as the answer.
pub(super) fn degenerate(certificates: &[Vec<u8>]) -> Vec<u8> {
    content_info_of(&oid::SIGNED_DATA, |o| {
        write::bytes(o, write::INTEGER, &[1]);
        write::bytes(o, write::SET, &[]);
        write::tlv(o, write::SEQUENCE, |o| write::oid(o, &oid::DATA));
        write::bytes(o, CONTEXT_0, &certificates.concat());
        write::bytes(o, write::SET, &[]);
    })
}

/// A ContentInfo.
pub(super) fn content_info_of(content_type: &ObjectIdentifier, fields: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    value(|o| {
        write::tlv(o, write::SEQUENCE, |o| {
            write::oid(o, content_type);
            write::tlv(o, CONTEXT_0, |o| write::tlv(o, write::SEQUENCE, fields));
        });
    })
}

/// An AlgorithmIdentifier with NULL as parameters (RFC 3370 2 and 3.2).
pub(super) fn algorithm_identifier(out: &mut Vec<u8>, id: &ObjectIdentifier) {
    write::tlv(out, write::SEQUENCE, |o| {
        write::oid(o, id);
        o.extend_from_slice(&[5, 0]);
    });
}

// X.690 11.6: the elements of a SET OF in ascending order of their encodings.
fn attribute_set(attributes: Vec<Attribute>) -> Vec<u8> {
    let mut encoded: Vec<Vec<u8>> = attributes
        .into_iter()
        .map(|(id, der)| {
            value(|o| {
                write::tlv(o, write::SEQUENCE, |o| {
                    write::oid(o, &id);
                    write::bytes(o, write::SET, &der);
                });
            })
        })
        .collect();
    encoded.sort();
    encoded.concat()
}

fn value(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}
