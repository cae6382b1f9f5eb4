//! Whom a certificate names: facts from the record that the caller vouches for. Nothing of it comes from the request.

use std::net::IpAddr;

use lanyard_domain::id::{ApplicationId, DeviceId, GatewayId};

use crate::identity::{PeerIdentity, machine_name};
use crate::name::DnsName;

/// Whom a certificate names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectFacts {
    /// A device.
    Device {
        /// Its id.
        id: DeviceId,
    },
    /// A device and names that its hardware goes by; they are written only where the template asks for them.
    DeviceHardware {
        /// Its id.
        id: DeviceId,
        /// Names of the hardware.
        names: HardwareNames,
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
    /// An application of the hospital (PACS, EHR, RADIUS) and the addresses in its record.
    Application {
        /// Its id; without one its certificate is for its own clients, and Lanyard recognises no peer by it.
        id: Option<ApplicationId>,
        /// Its addresses.
        addresses: Addresses,
    },
    /// Who answers OCSP requests about the certificates of the CA that signs this one.
    OcspResponder,
    /// Who opens and answers SCEP messages for the CA that signs this one.
    ScepRa,
    /// A CA of this generation.
    Authority {
        /// Counted from 1.
        generation: u32,
    },
}

impl SubjectFacts {
    /// The peer that a certificate with these facts must be recognised as.
    pub(crate) fn identity(&self) -> Option<PeerIdentity> {
        match self {
            SubjectFacts::Device { id } | SubjectFacts::DeviceHardware { id, .. } => {
                Some(PeerIdentity::Device(*id))
            }
            SubjectFacts::Gateway { id, .. } => Some(PeerIdentity::Gateway(*id)),
            SubjectFacts::Control { .. } => Some(PeerIdentity::Control),
            SubjectFacts::Application { id, .. } => id.map(PeerIdentity::Application),
            SubjectFacts::OcspResponder | SubjectFacts::ScepRa | SubjectFacts::Authority { .. } => None,
        }
    }
}

/// Names of a device's hardware: what its maker calls it, and the serial number of its security module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HardwareNames {
    serial: Option<String>,
    module: Option<Vec<u8>>,
}

/// DNS names and IP addresses of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    dns: Vec<DnsName>,
    ips: Vec<IpAddr>,
}

/// More than this is not one server.
const MOST_ADDRESSES: usize = 32;
/// As in the record: a serial number has at most 64 characters.
const MOST_SERIAL: usize = 64;
/// A digest of 512 bits; serial numbers of chips are shorter.
const MOST_MODULE: usize = 64;

/// Why facts do not make a subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// Facts of another kind than the profile names.
    #[error("profile `{0}` does not certify this kind of subject")]
    WrongKind(String),
    /// A name in the form that we give to machines.
    #[error(
        "`{0}` has the form of a machine name (`<id>.device.`, `<id>.gateway.`, `<id>.application.` or `control.`): only its owner's profile writes it"
    )]
    ReservedName(DnsName),
    /// Too many.
    #[error("{0} addresses: a server has at most {MOST_ADDRESSES}")]
    TooManyAddresses(usize),
    /// A hardware name that cannot stand in a certificate.
    #[error("{0}")]
    HardwareName(&'static str),
    /// The template writes a name that the facts do not have.
    #[error("profile `{profile}` writes {form}, and the record has none")]
    Missing {
        /// Which profile.
        profile: String,
        /// Which form.
        form: &'static str,
    },
    /// The record has an address of a form that the template does not write.
    #[error(
        "the record has {form}, and profile `{profile}` does not write them: take them out of the record or use another profile"
    )]
    NotWritten {
        /// Which profile.
        profile: String,
        /// Which form.
        form: &'static str,
    },
    /// A name outside of the convention (R10).
    #[error("`{name}` lies under no DNS suffix of profile `{profile}`")]
    OutsideSuffixes {
        /// The name.
        name: DnsName,
        /// Which profile.
        profile: String,
    },
    /// More than 64 characters.
    #[error("`{0}` has more than 64 characters and cannot be a common name (RFC 5280 ub-common-name)")]
    LongCommonName(DnsName),
}

impl HardwareNames {
    /// The maker's serial number for permanentIdentifier, and the module's for hardwareModuleName (RFC 4108 5).
    pub fn new(serial: Option<&str>, module: Option<&[u8]>) -> Result<Self, SubjectError> {
        if let Some(serial) = serial {
            let length = serial.chars().count();
            if !(1..=MOST_SERIAL).contains(&length) || serial.trim() != serial {
                return Err(SubjectError::HardwareName(
                    "a serial number has 1 to 64 characters and no space at its ends",
                ));
            }
            // draft-ietf-acme-device-attest-09: `/` separates the serial number from its assigner.
            if serial.chars().any(|c| c.is_control() || c == '/') {
                return Err(SubjectError::HardwareName(
                    "a serial number has no control character and no `/`",
                ));
            }
        }
        if module.is_some_and(|m| !(1..=MOST_MODULE).contains(&m.len())) {
            return Err(SubjectError::HardwareName("the serial number of a module has 1 to 64 octets"));
        }
        Ok(Self { serial: serial.map(str::to_owned), module: module.map(<[u8]>::to_vec) })
    }

    /// The maker's serial number.
    pub fn serial(&self) -> Option<&str> {
        self.serial.as_deref()
    }

    /// The serial number of the security module.
    pub fn module(&self) -> Option<&[u8]> {
        self.module.as_deref()
    }
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

    pub(super) const fn none() -> Self {
        Self { dns: Vec::new(), ips: Vec::new() }
    }

    /// The DNS names.
    pub fn dns(&self) -> &[DnsName] {
        &self.dns
    }

    /// The IP addresses.
    pub fn ips(&self) -> &[IpAddr] {
        &self.ips
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R38: a server's operator cannot have himself named as a device.
    #[test]
    fn addresses_in_the_form_of_machine_names_are_refused() {
        let id = DeviceId::from_random([7; 16]);
        for name in [
            format!("{id}.device.hospital.example"),
            format!("{id}.gateway.x"),
            format!("{id}.application.x"),
            "control.x".into(),
        ] {
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

    #[test]
    fn hardware_names_that_are_empty_long_or_ambiguous_are_refused() {
        assert!(HardwareNames::new(Some("SN-1 ü"), Some(&[0; 64])).is_ok());
        for serial in ["", " a", "a/b", "a\n", &"x".repeat(65)] {
            assert!(HardwareNames::new(Some(serial), None).is_err(), "{serial:?}");
        }
        for module in [&[][..], &[0; 65]] {
            assert!(HardwareNames::new(None, Some(module)).is_err());
        }
    }
}
