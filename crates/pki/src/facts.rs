//! What a certificate says, read once by x509-cert into plain values: the common ground of the lints (before
//! we sign) and of the path checks (on what a peer shows). Nothing here judges; absent is `None`.

use std::collections::HashSet;
use std::net::IpAddr;

use der::asn1::{ObjectIdentifier, OctetString};
use der::{Decode, Encode, Sequence};
use lanyard_domain::time::Timestamp;
use x509_cert::TbsCertificate;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName, OtherName};
use x509_cert::ext::pkix::{
    AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, CrlDistributionPoints,
    ExtendedKeyUsage, KeyUsage, NameConstraints, SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::time::Time;

use crate::oid;
use crate::spki::{KeyRefused, PublicKey, sha256};

/// The names that we read out of a subjectAltName; those of other forms, or malformed, are counted in `others`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AltNames {
    pub critical: bool,
    pub dns: Vec<String>,
    pub uris: Vec<String>,
    pub ips: Vec<IpAddr>,
    pub permanent_identifiers: Vec<PermanentIdentifier>,
    pub hardware_modules: Vec<HardwareModuleName>,
    pub others: usize,
}

impl AltNames {
    pub(crate) fn is_empty(&self) -> bool {
        *self == AltNames { critical: self.critical, ..AltNames::default() }
    }
}

/// RFC 4043 2.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(crate) struct PermanentIdentifier {
    #[asn1(optional = "true")]
    pub value: Option<String>,
    #[asn1(optional = "true")]
    pub assigner: Option<ObjectIdentifier>,
}

/// RFC 4108 5.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(crate) struct HardwareModuleName {
    pub hw_type: ObjectIdentifier,
    pub serial: OctetString,
}

/// One DistributionPoint (RFC 5280 4.2.1.13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CrlPoint {
    /// The URIs of its fullName.
    pub uris: Vec<String>,
    /// Whether it has these only: no other form of name, no reasons, no other issuer.
    pub plain: bool,
}

/// Which of the two time forms of RFC 5280 4.1.2.5 was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeForm {
    Utc,
    Generalized,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeFact {
    pub at: Timestamp,
    pub form: TimeForm,
}

/// noRevAvail as found (RFC 9608).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRevAvail {
    pub critical: bool,
    pub is_null: bool,
}

/// The parameters of the signature's AlgorithmIdentifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameters {
    Absent,
    Null,
    Other,
}

#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub version: u8,
    pub serial: Vec<u8>,
    pub signature_algorithm: ObjectIdentifier,
    pub signature_parameters: Parameters,
    pub issuer: Vec<u8>,
    pub subject: Vec<u8>,
    pub subject_is_empty: bool,
    /// The types of the subject's attributes, in order.
    pub subject_attributes: Vec<ObjectIdentifier>,
    pub not_before: TimeFact,
    pub not_after: TimeFact,
    pub spki_sha256: [u8; 32],
    pub key: Result<PublicKey, KeyRefused>,
    pub basic_constraints: Option<BasicConstraints>,
    pub key_usage: Option<KeyUsage>,
    pub extended_key_usage: Option<Vec<ObjectIdentifier>>,
    pub alt_names: Option<AltNames>,
    pub subject_key_id: Option<Vec<u8>>,
    pub authority_key_id: Option<Vec<u8>>,
    pub no_rev_avail: Option<NoRevAvail>,
    pub name_constraints: Option<NameConstraints>,
    /// CRL distribution point or freshest CRL.
    pub names_a_crl: bool,
    pub names_an_ocsp_responder: bool,
    pub crl_points: Vec<CrlPoint>,
    /// The methods of authorityInfoAccess; the location where it is a URI.
    pub access: Vec<(ObjectIdentifier, Option<String>)>,
    /// Every extension in order: id and whether it is critical.
    pub extensions: Vec<(ObjectIdentifier, bool)>,
}

impl Facts {
    pub(crate) fn from_tbs_der(tbs: &[u8]) -> der::Result<Self> {
        Self::read(&TbsCertificate::from_der(tbs)?)
    }

    pub(crate) fn read(tbs: &TbsCertificate) -> der::Result<Self> {
        let spki = tbs.subject_public_key_info().to_der()?;
        let mut facts = Facts {
            version: tbs.version() as u8,
            serial: tbs.serial_number().as_bytes().to_vec(),
            signature_algorithm: tbs.signature().oid,
            signature_parameters: match &tbs.signature().parameters {
                None => Parameters::Absent,
                Some(any) if any.is_null() => Parameters::Null,
                Some(_) => Parameters::Other,
            },
            issuer: tbs.issuer().to_der()?,
            subject: tbs.subject().to_der()?,
            subject_is_empty: tbs.subject().is_empty(),
            subject_attributes: tbs.subject().iter().map(|a| a.oid).collect(),
            not_before: time_fact(tbs.validity().not_before),
            not_after: time_fact(tbs.validity().not_after),
            spki_sha256: sha256(&spki),
            key: PublicKey::parse(&spki),
            basic_constraints: None,
            key_usage: None,
            extended_key_usage: None,
            alt_names: None,
            subject_key_id: None,
            authority_key_id: None,
            no_rev_avail: None,
            name_constraints: None,
            names_a_crl: false,
            names_an_ocsp_responder: false,
            crl_points: Vec::new(),
            access: Vec::new(),
            extensions: Vec::new(),
        };
        for extension in tbs.extensions().map(Vec::as_slice).unwrap_or_default() {
            facts.take_extension(extension)?;
        }
        Ok(facts)
    }

    fn take_extension(&mut self, extension: &Extension) -> der::Result<()> {
        let value = extension.extn_value.as_bytes();
        self.extensions.push((extension.extn_id, extension.critical));
        match extension.extn_id {
            oid::BASIC_CONSTRAINTS => self.basic_constraints = Some(BasicConstraints::from_der(value)?),
            oid::KEY_USAGE => self.key_usage = Some(KeyUsage::from_der(value)?),
            oid::EXTENDED_KEY_USAGE => {
                self.extended_key_usage = Some(ExtendedKeyUsage::from_der(value)?.0);
            }
            oid::SUBJECT_ALT_NAME => {
                self.alt_names = Some(alt_names(SubjectAltName::from_der(value)?, extension.critical));
            }
            oid::SUBJECT_KEY_IDENTIFIER => {
                self.subject_key_id = Some(SubjectKeyIdentifier::from_der(value)?.0.as_bytes().to_vec());
            }
            oid::AUTHORITY_KEY_IDENTIFIER => {
                let id = AuthorityKeyIdentifier::from_der(value)?.key_identifier;
                self.authority_key_id = id.map(|id| id.as_bytes().to_vec());
            }
            oid::NO_REV_AVAIL => {
                self.no_rev_avail =
                    Some(NoRevAvail { critical: extension.critical, is_null: value == [5, 0] });
            }
            oid::NAME_CONSTRAINTS => self.name_constraints = Some(NameConstraints::from_der(value)?),
            oid::CRL_DISTRIBUTION_POINTS => {
                self.names_a_crl = true;
                self.crl_points = crl_points(value);
            }
            oid::FRESHEST_CRL => self.names_a_crl = true,
            oid::AUTHORITY_INFO_ACCESS => {
                for access in AuthorityInfoAccessSyntax::from_der(value)?.0 {
                    self.names_an_ocsp_responder |= access.access_method == oid::OCSP;
                    self.access.push((access.access_method, uri(&access.access_location)));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The first extension that stands a second time.
    pub(crate) fn repeated_extension(&self) -> Option<ObjectIdentifier> {
        let mut seen = HashSet::new();
        self.extensions.iter().map(|(id, _)| *id).find(|id| !seen.insert(*id))
    }

    pub(crate) fn is_ca(&self) -> bool {
        self.basic_constraints.as_ref().is_some_and(|b| b.ca)
    }

    /// Whether it says that nobody will ever revoke it (RFC 9608), and nothing in it says otherwise.
    pub(crate) fn is_no_rev_avail(&self) -> bool {
        self.no_rev_avail.is_some() && !self.is_ca() && !self.is_listed()
    }

    /// Whether it says where its revocation would stand.
    pub(crate) fn is_listed(&self) -> bool {
        self.names_a_crl || self.names_an_ocsp_responder
    }

    pub(crate) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    pub(crate) fn criticality(&self, id: &ObjectIdentifier) -> Option<bool> {
        self.extensions.iter().find(|(found, _)| found == id).map(|(_, critical)| *critical)
    }
}

fn time_fact(time: Time) -> TimeFact {
    let form = match time {
        Time::UtcTime(_) => TimeForm::Utc,
        Time::GeneralTime(_) => TimeForm::Generalized,
    };
    // der's dates end with the year 9999, far inside of i64 seconds.
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    TimeFact { at: Timestamp::from_seconds(seconds), form }
}

fn alt_names(names: SubjectAltName, critical: bool) -> AltNames {
    let mut out = AltNames { critical, ..AltNames::default() };
    for name in names.0 {
        match name {
            GeneralName::DnsName(dns) => out.dns.push(dns.as_str().to_owned()),
            GeneralName::UniformResourceIdentifier(uri) => out.uris.push(uri.as_str().to_owned()),
            GeneralName::IpAddress(octets) => match ip(octets.as_bytes()) {
                Some(ip) => out.ips.push(ip),
                None => out.others += 1,
            },
            GeneralName::OtherName(other) => out.take_other(&other),
            _ => out.others += 1,
        }
    }
    out
}

impl AltNames {
    fn take_other(&mut self, other: &OtherName) {
        let value = other.value.to_der().unwrap_or_default();
        match other.type_id {
            oid::PERMANENT_IDENTIFIER => match PermanentIdentifier::from_der(&value) {
                Ok(name) => self.permanent_identifiers.push(name),
                Err(_) => self.others += 1,
            },
            oid::HARDWARE_MODULE_NAME => match HardwareModuleName::from_der(&value) {
                Ok(name) => self.hardware_modules.push(name),
                Err(_) => self.others += 1,
            },
            _ => self.others += 1,
        }
    }
}

/// The points of a list; an unreadable list is one point that says nothing, so that foreign certificates with odd ones
/// still parse and ours never pass.
fn crl_points(value: &[u8]) -> Vec<CrlPoint> {
    match CrlDistributionPoints::from_der(value) {
        Ok(points) => points.0.iter().map(crl_point).collect(),
        Err(_) => vec![CrlPoint { uris: Vec::new(), plain: false }],
    }
}

fn crl_point(point: &DistributionPoint) -> CrlPoint {
    let names = match &point.distribution_point {
        Some(DistributionPointName::FullName(names)) => names.as_slice(),
        _ => &[],
    };
    let uris: Vec<String> = names.iter().filter_map(uri).collect();
    let plain = uris.len() == names.len() && point.reasons.is_none() && point.crl_issuer.is_none();
    CrlPoint { uris, plain }
}

fn uri(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str().to_owned()),
        _ => None,
    }
}

fn ip(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}
