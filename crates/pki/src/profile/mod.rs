//! Certificate profiles: what a certificate of each kind says, how long it lives, whom it names.
//!
//! One file per profile and the list [`ALL`]. In scope: constant extensions (encoded once), subject and
//! alternative names from facts that the caller vouches for, lifetimes. Out of scope: keys and signing
//! ([`crate::issue`]), rules that hold for all of them ([`crate::lint`]).
//!
//! To add one: a file with a `SPEC`, its line in [`ALL`], its variant in [`ProfileName`]; if it names a new kind
//! of thing, a variant of [`SubjectFacts`] and of [`crate::certificate::PeerIdentity`].

mod ca;
mod control_server;
mod device_ldevid;
mod gateway_server;
mod ocsp_responder;

use std::fmt;
use std::net::IpAddr;

use der::asn1::ObjectIdentifier;
use lanyard_domain::id::{DeviceId, GatewayId};

use crate::certificate::machine_name;
use crate::name::{DnsName, Naming};
use crate::oid;
use crate::spki::PublicKey;
use crate::tbs;
use crate::write::{self, Critical};

/// Every profile.
pub const ALL: [ProfileName; 6] = [
    ProfileName::DeviceLdevid,
    ProfileName::GatewayServer,
    ProfileName::ControlServer,
    ProfileName::OcspResponder,
    ProfileName::RootCa,
    ProfileName::IssuingCa,
];

/// Names of the profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProfileName {
    /// A medical device: client only.
    DeviceLdevid,
    /// An enforcement gateway: server towards devices, client towards the control plane.
    GatewayServer,
    /// The control plane: server only.
    ControlServer,
    /// A delegated OCSP responder: signs answers about one CA's certificates.
    OcspResponder,
    /// Self-signed root.
    RootCa,
    /// The CA below the root that signs all others.
    IssuingCa,
}

impl ProfileName {
    fn spec(self) -> &'static Spec {
        match self {
            ProfileName::DeviceLdevid => &device_ldevid::SPEC,
            ProfileName::GatewayServer => &gateway_server::SPEC,
            ProfileName::ControlServer => &control_server::SPEC,
            ProfileName::OcspResponder => &ocsp_responder::SPEC,
            ProfileName::RootCa => &ca::ROOT,
            ProfileName::IssuingCa => &ca::ISSUING,
        }
    }

    /// The name as it stands in events and messages.
    pub fn as_str(self) -> &'static str {
        self.spec().name
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

pub(crate) const MINUTE: i64 = 60;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;
pub(crate) const YEAR: i64 = 365 * DAY;
/// The longest life of a certificate that nobody can revoke (the CA/Browser Forum's bound for short-lived ones).
pub(crate) const SHORT_LIVED: i64 = 7 * DAY;

/// What each profile's file states.
struct Spec {
    name: &'static str,
    role: Role,
    extended_key_usages: &'static [ObjectIdentifier],
    default_lifetime_seconds: i64,
    longest_lifetime_seconds: i64,
    /// How far notBefore lies before now.
    backdate_seconds: i64,
    subject: fn(&Naming, &SubjectFacts, &PublicKey) -> Option<Result<Names, SubjectError>>,
}

/// Whether the certificate may sign others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    EndEntity,
    Authority { path_len: Option<u8> },
}

/// Subject and alternative names of one certificate.
pub(crate) struct Names {
    /// DER of a Name.
    pub subject: Vec<u8>,
    /// DER of the subjectAltName extension; empty when there is none.
    pub alt_names: Vec<u8>,
}

/// Whom a certificate names. The caller vouches for it from the record; nothing of it comes from the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectFacts {
    /// A device.
    Device {
        /// Its id.
        id: DeviceId,
    },
    /// A gateway and the addresses at which devices reach it.
    Gateway {
        /// Its id.
        id: GatewayId,
        /// Its addresses.
        addresses: Addresses,
    },
    /// The control plane and the addresses at which all reach it.
    Control {
        /// Its addresses.
        addresses: Addresses,
    },
    /// Who answers OCSP requests about the certificates of the CA that signs this one.
    OcspResponder,
    /// A CA of this generation.
    Authority {
        /// Counted from 1.
        generation: u32,
    },
}

/// DNS names and IP addresses of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    dns: Vec<DnsName>,
    ips: Vec<IpAddr>,
}

/// More than this is not one server.
const MOST_ADDRESSES: usize = 32;

/// Why facts do not make a subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// Facts of another kind than the profile names.
    #[error("profile `{0}` does not certify this kind of subject")]
    WrongKind(ProfileName),
    /// A name in the form that we give to machines.
    #[error(
        "`{0}` has the form of a machine name (`<id>.device.`, `<id>.gateway.` or `control.`): only its owner's profile writes it"
    )]
    ReservedName(DnsName),
    /// Too many.
    #[error("{0} addresses: a server has at most {MOST_ADDRESSES}")]
    TooManyAddresses(usize),
}

impl Addresses {
    /// Addresses of one server; names in the form of machine names are refused.
    pub fn new(dns: Vec<DnsName>, ips: Vec<IpAddr>) -> Result<Self, SubjectError> {
        if let Some(name) = dns.iter().find(|n| machine_name(n.as_str()).is_some()) {
            return Err(SubjectError::ReservedName(name.clone()));
        }
        if dns.len() + ips.len() > MOST_ADDRESSES {
            return Err(SubjectError::TooManyAddresses(dns.len() + ips.len()));
        }
        Ok(Self { dns, ips })
    }
}

/// A lifetime out of the profile's range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a lifetime of {asked} s is out of range for profile `{profile}`: {least} to {longest} s")]
pub struct BadLifetime {
    asked: i64,
    profile: ProfileName,
    least: i64,
    longest: i64,
}

/// A profile, compiled for one installation: constant extensions are encoded, names and lifetime are checked.
#[derive(Debug, Clone)]
pub struct Profile {
    name: ProfileName,
    naming: Naming,
    lifetime_seconds: i64,
    constant_extensions: Vec<u8>,
}

impl Profile {
    /// The profile with its default lifetime.
    pub fn new(name: ProfileName, naming: Naming) -> Self {
        let spec = name.spec();
        Self {
            name,
            naming,
            lifetime_seconds: spec.default_lifetime_seconds,
            constant_extensions: constant_extensions(spec),
        }
    }

    /// The same with another default lifetime, as a tier may ask for.
    pub fn with_lifetime(mut self, seconds: i64) -> Result<Self, BadLifetime> {
        self.lifetime_seconds = self.checked_lifetime(seconds)?;
        Ok(self)
    }

    /// Its name.
    pub fn name(&self) -> ProfileName {
        self.name
    }

    /// From notBefore to notAfter.
    pub fn lifetime_seconds(&self) -> i64 {
        self.lifetime_seconds
    }

    pub(crate) fn checked_lifetime(&self, seconds: i64) -> Result<i64, BadLifetime> {
        let spec = self.name.spec();
        // Twice the back-dating, or it would be half over when it is made.
        let least = 2 * spec.backdate_seconds;
        if (least..=spec.longest_lifetime_seconds).contains(&seconds) {
            Ok(seconds)
        } else {
            let (profile, longest) = (self.name, spec.longest_lifetime_seconds);
            Err(BadLifetime { asked: seconds, profile, least, longest })
        }
    }

    pub(crate) fn backdate_seconds(&self) -> i64 {
        self.name.spec().backdate_seconds
    }

    pub(crate) fn role(&self) -> Role {
        self.name.spec().role
    }

    pub(crate) fn constant_extensions(&self) -> &[u8] {
        &self.constant_extensions
    }

    pub(crate) fn names(&self, facts: &SubjectFacts, key: &PublicKey) -> Result<Names, SubjectError> {
        (self.name.spec().subject)(&self.naming, facts, key).ok_or(SubjectError::WrongKind(self.name))?
    }
}

fn constant_extensions(spec: &Spec) -> Vec<u8> {
    let mut out = Vec::new();
    match spec.role {
        Role::EndEntity => {
            // digitalSignature is bit 0: one octet with seven unused bits. RFC 5280 4.2.1.3: critical.
            key_usage(&mut out, &[7, 0x80]);
            write::extension(&mut out, &oid::EXTENDED_KEY_USAGE, Critical::No, |o| {
                write::tlv(o, write::SEQUENCE, |o| {
                    for usage in spec.extended_key_usages {
                        write::oid(o, usage);
                    }
                });
            });
            // RFC 9608: there is no revocation list; the certificate ends before one would matter.
            out.extend(tbs::no_rev_avail());
            if spec.extended_key_usages.contains(&oid::OCSP_SIGNING) {
                out.extend(tbs::ocsp_no_check());
            }
        }
        Role::Authority { path_len } => {
            write::extension(&mut out, &oid::BASIC_CONSTRAINTS, Critical::Yes, |o| {
                write::tlv(o, write::SEQUENCE, |o| {
                    write::bytes(o, write::BOOLEAN, &[0xff]);
                    if let Some(n) = path_len {
                        write::bytes(o, write::INTEGER, &[n]);
                    }
                });
            });
            // keyCertSign (5) and cRLSign (6).
            key_usage(&mut out, &[1, 0x06]);
        }
    }
    out
}

fn key_usage(out: &mut Vec<u8>, bits: &[u8]) {
    write::extension(out, &oid::KEY_USAGE, Critical::Yes, |o| write::bytes(o, write::BIT_STRING, bits));
}

/// Subject `O=<organization>, <attribute>=<value>`.
fn subject_name(naming: &Naming, attribute: &ObjectIdentifier, tag: u8, value: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    write::tlv(&mut out, write::SEQUENCE, |o| {
        write::rdn(o, &oid::ORGANIZATION, write::UTF8_STRING, naming.organization.as_str());
        write::rdn(o, attribute, tag, value);
    });
    out
}

/// The subjectAltName extension. Not critical: the subject is never empty (RFC 5280 4.2.1.6), and some peers
/// refuse a critical one in which they cannot read every form.
fn alt_names(uri: Option<&str>, dns: &[&str], ips: &[IpAddr]) -> Vec<u8> {
    let mut out = Vec::with_capacity(192);
    write::extension(&mut out, &oid::SUBJECT_ALT_NAME, Critical::No, |o| {
        write::tlv(o, write::SEQUENCE, |o| {
            for name in dns {
                write::bytes(o, write::context(2), name.as_bytes());
            }
            if let Some(uri) = uri {
                write::bytes(o, write::context(6), uri.as_bytes());
            }
            for ip in ips {
                match ip {
                    IpAddr::V4(v4) => write::bytes(o, write::context(7), &v4.octets()),
                    IpAddr::V6(v6) => write::bytes(o, write::context(7), &v6.octets()),
                }
            }
        });
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming() -> Naming {
        Naming::new("General Hospital", "hospital.example").unwrap()
    }

    #[test]
    fn every_profile_is_in_the_list_once_and_stays_short_lived() {
        let mut names: Vec<_> = ALL.iter().map(|p| p.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for name in ALL {
            let spec = name.spec();
            let profile = Profile::new(name, naming());
            assert_eq!(
                profile.checked_lifetime(spec.default_lifetime_seconds),
                Ok(spec.default_lifetime_seconds)
            );
            if spec.role == Role::EndEntity {
                assert!(spec.longest_lifetime_seconds <= SHORT_LIVED, "{name}");
            }
        }
    }

    #[test]
    fn lifetimes_out_of_range_are_refused() {
        let device = Profile::new(ProfileName::DeviceLdevid, naming());
        for seconds in [-1, 0, 599, SHORT_LIVED + 1, i64::MAX] {
            assert!(device.clone().with_lifetime(seconds).is_err(), "{seconds}");
        }
        assert_eq!(device.with_lifetime(SHORT_LIVED).unwrap().lifetime_seconds(), SHORT_LIVED);
    }

    // R38: a server's operator cannot have himself named as a device.
    #[test]
    fn addresses_in_the_form_of_machine_names_are_refused() {
        let id = DeviceId::from_random([7; 16]);
        for name in [format!("{id}.device.hospital.example"), format!("{id}.gateway.x"), "control.x".into()] {
            assert!(
                matches!(
                    Addresses::new(vec![name.parse().unwrap()], vec![]),
                    Err(SubjectError::ReservedName(_))
                ),
                "{name}"
            );
        }
        let many = vec!["a.example".parse().unwrap(); MOST_ADDRESSES + 1];
        assert!(matches!(Addresses::new(many, vec![]), Err(SubjectError::TooManyAddresses(33))));
    }
}
