//! Whom a certificate names: the forms that our profiles write, read back strictly.
//!
//! A device, a gateway and an application have their id twice, as `urn:uuid:` URI and as machine name among the DNS names,
//! and both must agree. A device may also have hardware names (RFC 4043, RFC 4108 5); they are no identity, the id is.
//! What no profile writes is refused, whatever else stands there: a second name is a second thing to be.
//! In scope: names. Out of scope: trust ([`crate::path`]).

use std::fmt;

use lanyard_domain::id::{ApplicationId, DeviceId, GatewayId};

use crate::facts::{AltNames, PermanentIdentifier};

/// Whom a certificate of ours names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerIdentity {
    /// A medical device.
    Device(DeviceId),
    /// An enforcement gateway.
    Gateway(GatewayId),
    /// The control plane.
    Control,
    /// An application of the hospital.
    Application(ApplicationId),
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerIdentity::Device(id) => write!(f, "device {id}"),
            PeerIdentity::Gateway(id) => write!(f, "gateway {id}"),
            PeerIdentity::Control => f.write_str("control plane"),
            PeerIdentity::Application(id) => write!(f, "application {id}"),
        }
    }
}

/// The names in a certificate do not have the form of one of our profiles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the alternative names are not of a form that we issue: {0}")]
pub struct NotOurs(pub(crate) &'static str);

impl AltNames {
    /// Whom these names name. Every name must have its place: what is left over could be read by somebody as another.
    pub(crate) fn identity(&self) -> Result<PeerIdentity, NotOurs> {
        if self.others > 0 {
            return Err(NotOurs("a form that no profile writes"));
        }
        let mut machines = self.dns.iter().filter_map(|n| machine_name(n));
        let machine = machines.next().ok_or(NotOurs("no machine name among the DNS names"))?;
        if machines.next().is_some() {
            return Err(NotOurs("more than one machine name"));
        }
        let hardware = self.permanent_identifiers.len() + self.hardware_modules.len();
        if hardware > 0 && !matches!(machine, MachineName::Device(_)) {
            return Err(NotOurs("a hardware name beside what is no device"));
        }
        match (machine, self.uris.as_slice()) {
            (MachineName::Device(id), [uri]) if *uri == id.urn() => {
                if self.dns.len() > 1 || !self.ips.is_empty() {
                    return Err(NotOurs("a device has no address names"));
                }
                self.check_hardware_names()?;
                Ok(PeerIdentity::Device(id))
            }
            (MachineName::Gateway(id), [uri]) if *uri == format!("urn:uuid:{id}") => {
                Ok(PeerIdentity::Gateway(id))
            }
            (MachineName::Application(id), [uri]) if *uri == format!("urn:uuid:{id}") => {
                Ok(PeerIdentity::Application(id))
            }
            (MachineName::Control, []) => Ok(PeerIdentity::Control),
            _ => Err(NotOurs("URI and DNS name do not name the same thing")),
        }
    }

    /// A device has at most one of each form, complete: two serial numbers are two devices.
    fn check_hardware_names(&self) -> Result<(), NotOurs> {
        if self.permanent_identifiers.len() > 1 || self.hardware_modules.len() > 1 {
            return Err(NotOurs("more than one hardware name of a form"));
        }
        // RFC 4043 2 leaves both fields optional; without a value it says "the same as the subject", without an assigner
        // nobody answers for its being unique.
        let complete =
            |p: &PermanentIdentifier| p.value.as_ref().is_some_and(|v| !v.is_empty()) && p.assigner.is_some();
        if !self.permanent_identifiers.iter().all(complete) {
            return Err(NotOurs("a permanent identifier without value or assigner"));
        }
        if self.hardware_modules.iter().any(|m| m.serial.as_bytes().is_empty()) {
            return Err(NotOurs("a hardware module without serial number"));
        }
        Ok(())
    }
}

/// A DNS name in the form that our profiles give to machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MachineName {
    Device(DeviceId),
    Gateway(GatewayId),
    Application(ApplicationId),
    Control,
}

/// Reads `<id>.device.<domain>`, `<id>.gateway.<domain>`, `<id>.application.<domain>` and `control.<domain>`.
pub(crate) fn machine_name(dns: &str) -> Option<MachineName> {
    let (first, rest) = dns.split_once('.')?;
    if first == "control" {
        return Some(MachineName::Control);
    }
    match rest.split_once('.')?.0 {
        "device" => first.parse().ok().map(MachineName::Device),
        "gateway" => first.parse().ok().map(MachineName::Gateway),
        "application" => first.parse().ok().map(MachineName::Application),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use der::asn1::{ObjectIdentifier, OctetString};

    use super::*;
    use crate::facts::HardwareModuleName;
    use crate::oid;
    use crate::testing;
    use crate::write;

    #[test]
    fn machine_names_are_read_in_their_own_form_only() {
        let id = testing::device_id();
        assert_eq!(machine_name(&format!("{id}.device.x.example")), Some(MachineName::Device(id)));
        assert_eq!(machine_name("control.x.example"), Some(MachineName::Control));
        for other in ["", "x", "pump.device.x", &format!("{id}.devices.x"), &format!("{id}.device")] {
            assert_eq!(machine_name(other), None, "{other}");
        }
    }

    fn device() -> AltNames {
        let id = testing::device_id();
        AltNames {
            dns: vec![format!("{id}.device.hospital.example")],
            uris: vec![id.urn()],
            ..AltNames::default()
        }
    }

    fn application() -> AltNames {
        let id = testing::application_id();
        AltNames {
            dns: vec![format!("{id}.application.hospital.example"), "pacs.hospital.example".into()],
            uris: vec![format!("urn:uuid:{id}")],
            ips: vec!["192.0.2.7".parse().unwrap()],
            ..AltNames::default()
        }
    }

    fn permanent(value: Option<&str>, assigner: Option<ObjectIdentifier>) -> PermanentIdentifier {
        PermanentIdentifier { value: value.map(str::to_owned), assigner }
    }

    fn module(serial: &[u8]) -> HardwareModuleName {
        HardwareModuleName { hw_type: oid::P256, serial: OctetString::new(serial).unwrap() }
    }

    #[test]
    fn devices_with_hardware_names_and_applications_are_recognised() {
        let id = PeerIdentity::Device(testing::device_id());
        assert_eq!(device().identity(), Ok(id));
        let mut named = device();
        named.permanent_identifiers = vec![permanent(Some("SN1"), Some(oid::P256))];
        named.hardware_modules = vec![module(b"1")];
        assert_eq!(named.identity(), Ok(id));
        assert_eq!(application().identity(), Ok(PeerIdentity::Application(testing::application_id())));
    }

    // R38: one certificate, one thing; a name that no profile writes is a second one.
    #[test]
    fn names_beside_those_of_the_profiles_are_refused() {
        type Good = fn() -> AltNames;
        type Edit = fn(&mut AltNames);
        let broken: [(&str, Good, Edit); 16] = [
            ("unknown form", device, |n| n.others = 1),
            ("no URI", device, |n| n.uris.clear()),
            ("two URIs", device, |n| n.uris.push("urn:x".into())),
            ("address of a device", device, |n| n.ips.push("192.0.2.7".parse().unwrap())),
            ("second DNS name of a device", device, |n| n.dns.push("pump.example".into())),
            ("two serial numbers", device, |n| {
                n.permanent_identifiers = vec![permanent(Some("1"), Some(oid::P256)); 2];
            }),
            ("two modules", device, |n| n.hardware_modules = vec![module(b"1"), module(b"2")]),
            ("no assigner", device, |n| n.permanent_identifiers = vec![permanent(Some("1"), None)]),
            ("no value", device, |n| n.permanent_identifiers = vec![permanent(None, Some(oid::P256))]),
            ("empty value", device, |n| n.permanent_identifiers = vec![permanent(Some(""), Some(oid::P256))]),
            ("empty module", device, |n| n.hardware_modules = vec![module(b"")]),
            ("hardware of an application", application, |n| n.hardware_modules = vec![module(b"1")]),
            ("application without URI", application, |n| n.uris.clear()),
            ("application with a device's URI", application, |n| n.uris = vec![testing::device_id().urn()]),
            ("two machine names", application, |n| n.dns.push("control.hospital.example".into())),
            ("application and device", application, |n| n.dns.extend(device().dns)),
        ];
        for (what, good, edit) in broken {
            let mut names = good();
            edit(&mut names);
            assert!(names.identity().is_err(), "{what}");
        }
        // An application without an id is nobody to us.
        let only_dns = AltNames { dns: vec!["pacs.hospital.example".into()], ..AltNames::default() };
        assert!(only_dns.identity().is_err());
    }

    /// A subjectAltName of a device with one more otherName.
    fn with_other(id: &ObjectIdentifier, value: &[u8]) -> Vec<u8> {
        let names = device();
        let mut out = Vec::new();
        write::extension(&mut out, &oid::SUBJECT_ALT_NAME, write::Critical::No, |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                write::bytes(o, write::context(2), names.dns[0].as_bytes());
                write::bytes(o, write::context(6), names.uris[0].as_bytes());
                write::tlv(o, write::context_constructed(0), |o| {
                    write::oid(o, id);
                    write::bytes(o, write::context_constructed(0), value);
                });
            });
        });
        out
    }

    // I12
    #[test]
    fn malformed_and_unknown_other_names_in_a_signed_certificate_are_refused() {
        let a = testing::Installation::new();
        let upn = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.20.2.3");
        // SEQUENCE { UTF8String "1", OBJECT IDENTIFIER 1.2.3 } and SEQUENCE { OBJECT IDENTIFIER 1.2.3, OCTET STRING 07 }
        let serial = [0x30, 7, 0x0c, 1, b'1', 6, 2, 0x2a, 3];
        let module = [0x30, 7, 6, 2, 0x2a, 3, 4, 1, 7];
        for (id, value, recognised) in [
            (oid::PERMANENT_IDENTIFIER, &serial[..], true),
            (oid::HARDWARE_MODULE_NAME, &module, true),
            (oid::PERMANENT_IDENTIFIER, &module, false),
            (oid::HARDWARE_MODULE_NAME, &serial, false),
            (oid::PERMANENT_IDENTIFIER, &[0x30, 0], false),
            (oid::PERMANENT_IDENTIFIER, &[0x0c, 1, b'1'], false),
            // Something after the two fields.
            (oid::PERMANENT_IDENTIFIER, &[0x30, 9, 0x0c, 1, b'1', 6, 2, 0x2a, 3, 5, 0], false),
            (upn, &[0x0c, 1, b'1'], false),
        ] {
            let forged = a.forge(|d| d.set("names", with_other(&id, value)));
            let found = forged.certificate.identity();
            assert_eq!(found.is_ok(), recognised, "{id} {value:?}: {found:?}");
        }
    }
}
