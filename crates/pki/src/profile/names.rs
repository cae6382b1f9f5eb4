//! Subject and subjectAltName as bytes, from names that are checked already.

use std::net::IpAddr;

use der::asn1::ObjectIdentifier;

use crate::name::Naming;
use crate::oid;
use crate::write::{self, Critical};

/// Subject and alternative names of one certificate.
pub(crate) struct Names {
    /// DER of a Name.
    pub subject: Vec<u8>,
    /// DER of the subjectAltName extension; empty when there is none.
    pub alt_names: Vec<u8>,
}

/// The attributes behind `O` in a subject.
pub(crate) enum Attribute<'a> {
    /// serialNumber: an id (PrintableString by RFC 5280 appendix A.1).
    SerialNumber(&'a str),
    /// commonName.
    CommonName(&'a str),
}

/// Subject `O=<organization>` and these.
pub(super) fn subject_name(naming: &Naming, attributes: &[Attribute<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    write::tlv(&mut out, write::SEQUENCE, |o| {
        write::rdn(o, &oid::ORGANIZATION, write::UTF8_STRING, naming.organization.as_str());
        for attribute in attributes {
            match attribute {
                Attribute::SerialNumber(text) => {
                    write::rdn(o, &oid::SERIAL_NUMBER, write::PRINTABLE_STRING, text);
                }
                Attribute::CommonName(text) => write::rdn(o, &oid::COMMON_NAME, write::UTF8_STRING, text),
            }
        }
    });
    out
}

/// The names of a subjectAltName.
#[derive(Default)]
pub(super) struct AltNames<'a> {
    pub dns: Vec<&'a str>,
    pub uri: Option<&'a str>,
    pub ips: &'a [IpAddr],
    /// RFC 4043: a serial number and who assigned it.
    pub permanent_identifier: Option<(&'a str, &'a ObjectIdentifier)>,
    /// RFC 4108 5: the type of a module and its serial number.
    pub hardware_module: Option<(&'a ObjectIdentifier, &'a [u8])>,
}

impl AltNames<'_> {
    /// The extension. Not critical: the subject is never empty (RFC 5280 4.2.1.6), and some peers refuse a critical one
    /// in which they cannot read every form.
    pub(super) fn extension(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        write::extension(&mut out, &oid::SUBJECT_ALT_NAME, Critical::No, |o| {
            write::tlv(o, write::SEQUENCE, |o| self.write(o));
        });
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        for name in &self.dns {
            write::bytes(out, write::context(2), name.as_bytes());
        }
        if let Some(uri) = self.uri {
            write::bytes(out, write::context(6), uri.as_bytes());
        }
        for ip in self.ips {
            match ip {
                IpAddr::V4(v4) => write::bytes(out, write::context(7), &v4.octets()),
                IpAddr::V6(v6) => write::bytes(out, write::context(7), &v6.octets()),
            }
        }
        if let Some((serial, assigner)) = self.permanent_identifier {
            other_name(out, &oid::PERMANENT_IDENTIFIER, |o| {
                write::bytes(o, write::UTF8_STRING, serial.as_bytes());
                write::oid(o, assigner);
            });
        }
        if let Some((kind, serial)) = self.hardware_module {
            other_name(out, &oid::HARDWARE_MODULE_NAME, |o| {
                write::oid(o, kind);
                write::bytes(o, write::OCTET_STRING, serial);
            });
        }
    }
}

/// `[0] OtherName` whose value is a SEQUENCE.
fn other_name(out: &mut Vec<u8>, id: &ObjectIdentifier, value: impl FnOnce(&mut Vec<u8>)) {
    write::tlv(out, write::context_constructed(0), |o| {
        write::oid(o, id);
        write::tlv(o, write::context_constructed(0), |o| write::tlv(o, write::SEQUENCE, value));
    });
}
