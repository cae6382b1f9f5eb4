//! The TBSCertificate (RFC 5280 4.1.2) as bytes: constant parts come pre-encoded, the rest is spliced in.

use lanyard_domain::time::Timestamp;

use crate::oid;
use crate::serial::Serial;
use crate::uri::HttpUri;
use crate::write::{self, Critical};

/// All that varies between certificates, ready to be written.
pub(crate) struct Tbs<'a> {
    pub serial: &'a Serial,
    /// DER of the AlgorithmIdentifier of the issuer's signature.
    pub signature_algorithm: &'a [u8],
    /// DER of a Name.
    pub issuer: &'a [u8],
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// DER of a Name.
    pub subject: &'a [u8],
    pub spki: &'a [u8],
    /// DER of Extension values one after the other.
    pub extensions: &'a [&'a [u8]],
}

impl Tbs<'_> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(640);
        write::tlv(&mut out, write::SEQUENCE, |o| {
            // [0] EXPLICIT Version v3
            o.extend_from_slice(&[0xa0, 3, write::INTEGER, 1, 2]);
            write::bytes(o, write::INTEGER, &self.serial.der_content());
            o.extend_from_slice(self.signature_algorithm);
            o.extend_from_slice(self.issuer);
            write::tlv(o, write::SEQUENCE, |o| {
                write::time(o, self.not_before);
                write::time(o, self.not_after);
            });
            o.extend_from_slice(self.subject);
            o.extend_from_slice(self.spki);
            write::tlv(o, write::context_constructed(3), |o| {
                write::tlv(o, write::SEQUENCE, |o| {
                    for extension in self.extensions {
                        o.extend_from_slice(extension);
                    }
                });
            });
        });
        out
    }
}

pub(crate) fn subject_key_id(id: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    write::extension(&mut out, &oid::SUBJECT_KEY_IDENTIFIER, Critical::No, |o| {
        write::bytes(o, write::OCTET_STRING, id);
    });
    out
}

pub(crate) fn authority_key_id(id: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(36);
    write::extension(&mut out, &oid::AUTHORITY_KEY_IDENTIFIER, Critical::No, |o| {
        write::tlv(o, write::SEQUENCE, |o| write::bytes(o, write::context(0), id));
    });
    out
}

/// The value of noRevAvail is NULL, the extension is not critical (RFC 9608 2).
pub(crate) fn no_rev_avail() -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    write::extension(&mut out, &oid::NO_REV_AVAIL, Critical::No, |o| o.extend_from_slice(&[5, 0]));
    out
}

/// One DistributionPoint with one fullName URI (RFC 5280 4.2.1.13): relying parties differ in how they join several
/// points or names, and rustls-webpki wants exactly one.
pub(crate) fn crl_distribution_point(uri: &HttpUri) -> Vec<u8> {
    let mut out = Vec::with_capacity(uri.as_str().len() + 32);
    distribution_point(&mut out, &oid::CRL_DISTRIBUTION_POINTS, uri);
    out
}

/// cRLDistributionPoints, or freshestCRL, which has its form (RFC 5280 5.2.6).
pub(crate) fn distribution_point(out: &mut Vec<u8>, id: &der::asn1::ObjectIdentifier, uri: &HttpUri) {
    write::extension(out, id, Critical::No, |o| {
        write::tlv(o, write::SEQUENCE, |o| write::tlv(o, write::SEQUENCE, |o| full_name(o, uri)));
    });
}

/// distributionPoint [0] with fullName [0] and one URI [6].
pub(crate) fn full_name(out: &mut Vec<u8>, uri: &HttpUri) {
    write::tlv(out, write::context_constructed(0), |o| {
        write::tlv(o, write::context_constructed(0), |o| {
            write::bytes(o, write::context(6), uri.as_str().as_bytes());
        });
    });
}

/// Where the OCSP responder and the issuer's certificate are (RFC 5280 4.2.2.1); an absent one is left out, and with
/// both absent there is no extension.
pub(crate) fn authority_info_access(ocsp: Option<&HttpUri>, ca_issuers: Option<&HttpUri>) -> Vec<u8> {
    let mut out = Vec::with_capacity(192);
    if ocsp.is_none() && ca_issuers.is_none() {
        return out;
    }
    write::extension(&mut out, &oid::AUTHORITY_INFO_ACCESS, Critical::No, |o| {
        write::tlv(o, write::SEQUENCE, |o| {
            for (method, uri) in [(&oid::OCSP, ocsp), (&oid::CA_ISSUERS, ca_issuers)] {
                let Some(uri) = uri else { continue };
                write::tlv(o, write::SEQUENCE, |o| {
                    write::oid(o, method);
                    write::bytes(o, write::context(6), uri.as_str().as_bytes());
                });
            }
        });
    });
    out
}

/// The value of nocheck is NULL, the extension is not critical (RFC 6960 4.2.2.2.1).
pub(crate) fn ocsp_no_check() -> Vec<u8> {
    let mut out = Vec::with_capacity(24);
    write::extension(&mut out, &oid::OCSP_NO_CHECK, Critical::No, |o| o.extend_from_slice(&[write::NULL, 0]));
    out
}

/// The AlgorithmIdentifier of a signature. Those of RSA carry NULL (RFC 4055 5), those of ECDSA, Ed25519 and ML-DSA
/// nothing (RFC 5758 3.2, RFC 8410 3, RFC 9881 2).
pub(crate) fn algorithm_identifier(id: &der::asn1::ObjectIdentifier) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    write::tlv(&mut out, write::SEQUENCE, |o| {
        write::oid(o, id);
        if oid::is_rsa_signature(id) {
            o.extend_from_slice(&[5, 0]);
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use der::Decode;
    use x509_cert::ext::Extension;
    use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
    use x509_cert::ext::pkix::{AuthorityInfoAccessSyntax, CrlDistributionPoints};

    use super::*;

    fn uri(name: &GeneralName) -> &str {
        let GeneralName::UniformResourceIdentifier(uri) = name else { panic!("{name:?}") };
        uri.as_str()
    }

    #[test]
    fn a_distribution_point_reads_back_as_one_uri() {
        let extension = Extension::from_der(&crl_distribution_point(
            &"http://crl.hospital.example/a/7.crl".parse().unwrap(),
        ))
        .unwrap();
        assert!(!extension.critical);
        let points = CrlDistributionPoints::from_der(extension.extn_value.as_bytes()).unwrap().0;
        let [point] = points.as_slice() else { panic!("{points:?}") };
        assert!(point.reasons.is_none() && point.crl_issuer.is_none());
        let Some(DistributionPointName::FullName(names)) = &point.distribution_point else {
            panic!("{point:?}")
        };
        assert_eq!(names.iter().map(uri).collect::<Vec<_>>(), ["http://crl.hospital.example/a/7.crl"]);
    }

    #[test]
    fn access_reads_back_in_order_and_absent_ones_are_left_out() {
        let read = |ocsp: Option<&str>, issuers: Option<&str>| {
            let [ocsp, issuers] = [ocsp, issuers].map(|uri| uri.map(|uri| uri.parse().unwrap()));
            let der = authority_info_access(ocsp.as_ref(), issuers.as_ref());
            let extension = Extension::from_der(&der).unwrap();
            assert!(!extension.critical);
            let access = AuthorityInfoAccessSyntax::from_der(extension.extn_value.as_bytes()).unwrap();
            access.0.iter().map(|d| (d.access_method, uri(&d.access_location).to_owned())).collect::<Vec<_>>()
        };
        let (ocsp, issuers) = ("http://ocsp.hospital.example", "http://ca.hospital.example/a.cer");
        assert_eq!(
            read(Some(ocsp), Some(issuers)),
            [(oid::OCSP, ocsp.into()), (oid::CA_ISSUERS, issuers.into())]
        );
        assert_eq!(read(None, Some(issuers)), [(oid::CA_ISSUERS, issuers.into())]);
        assert!(authority_info_access(None, None).is_empty());
    }
}
