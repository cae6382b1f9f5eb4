//! Extended key purposes by name, and those that no device, application or gateway is given.
//!
//! To add a name: its line in [`NAMED`]. To refuse one more: its line in [`RESERVED`].

use std::fmt;
use std::str::FromStr;

use der::asn1::ObjectIdentifier;

use crate::oid;

/// Purposes with a name, as RFC 5280 4.2.1.12, RFC 4334 2 and IEEE 11073-20701 spell them.
const NAMED: [(&str, ObjectIdentifier); 5] = [
    ("clientAuth", oid::CLIENT_AUTH),
    ("serverAuth", oid::SERVER_AUTH),
    ("eapOverLAN", oid::EAP_OVER_LAN),
    ("sdcServiceProvider", oid::SDC_SERVICE_PROVIDER),
    ("sdcServiceConsumer", oid::SDC_SERVICE_CONSUMER),
];

/// Purposes that would let their holder speak for others: the OID and what it would let him do.
const RESERVED: [(&str, &str); 15] = [
    ("1.3.6.1.5.5.7.3.3", "sign programs (codeSigning)"),
    ("1.3.6.1.5.5.7.3.4", "sign mail; that is a person's or a mailbox's purpose (emailProtection)"),
    ("1.3.6.1.5.5.7.3.8", "sign time stamps (timeStamping)"),
    ("1.3.6.1.5.5.7.3.9", "answer whether certificates are revoked, its own included (OCSPSigning)"),
    ("1.3.6.1.5.5.7.3.27", "speak as the CA in enrollment (cmcCA)"),
    ("1.3.6.1.5.5.7.3.28", "enroll others as a registration authority (cmcRA)"),
    ("1.3.6.1.5.5.7.3.29", "receive archived private keys (cmcArchive)"),
    ("1.3.6.1.5.5.7.3.32", "generate keys for others (cmKGA)"),
    ("1.3.6.1.5.2.3.4", "log on by Kerberos as a person (pkinit client)"),
    ("1.3.6.1.5.2.3.5", "speak as a Kerberos key distribution centre"),
    ("1.3.6.1.4.1.311.20.2.1", "request certificates for others (enrollment agent)"),
    ("1.3.6.1.4.1.311.20.2.2", "log on as a person (smart card logon)"),
    ("2.23.133.8.1", "pass for a TPM's endorsement key"),
    ("2.23.133.8.2", "pass for a platform's attribute certificate"),
    ("2.23.133.8.3", "pass for a TPM's attestation key"),
];

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPurpose(ObjectIdentifier);

impl KeyPurpose {
    /// Its identifier.
    pub fn oid(self) -> ObjectIdentifier {
        self.0
    }

    /// What it would let its holder do, if it belongs to authorities, attestation or persons.
    pub fn reserved_for(self) -> Option<&'static str> {
        let text = self.0.to_string();
        RESERVED.iter().find(|(oid, _)| *oid == text).map(|(_, what)| *what)
    }
}

impl From<ObjectIdentifier> for KeyPurpose {
    fn from(oid: ObjectIdentifier) -> Self {
        Self(oid)
    }
}

impl fmt::Display for KeyPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMED.iter().find(|(_, oid)| *oid == self.0) {
            Some((name, _)) => f.write_str(name),
            None => fmt::Display::fmt(&self.0, f),
        }
    }
}

/// Why a text is not a purpose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no purpose: use clientAuth, serverAuth, eapOverLAN, sdcServiceProvider, sdcServiceConsumer or a dotted OID"
)]
pub struct BadPurpose(String);

impl FromStr for KeyPurpose {
    type Err = BadPurpose;

    fn from_str(text: &str) -> Result<Self, BadPurpose> {
        if let Some((_, oid)) = NAMED.iter().find(|(name, _)| *name == text) {
            return Ok(Self(*oid));
        }
        text.parse().map(Self).map_err(|_| BadPurpose(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_are_read_by_name_and_by_oid() {
        for (name, oid) in NAMED {
            assert_eq!(name.parse::<KeyPurpose>().map(KeyPurpose::oid), Ok(oid));
            assert_eq!(oid.to_string().parse::<KeyPurpose>().unwrap().to_string(), name);
        }
        assert_eq!("1.2.3.4".parse::<KeyPurpose>().unwrap().to_string(), "1.2.3.4");
        for text in ["", "clientauth", "any", "1", "1.2.3.", "9.9.9"] {
            assert!(text.parse::<KeyPurpose>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_reserved_purpose_is_an_oid_and_no_named_one_is_reserved() {
        for (text, _) in RESERVED {
            assert!(text.parse::<KeyPurpose>().unwrap().reserved_for().is_some(), "{text}");
        }
        assert!(NAMED.iter().all(|(_, oid)| KeyPurpose(*oid).reserved_for().is_none()));
    }
}
