//! keyUsage is critical and fits role and key: digitalSignature, with keyEncipherment where the profile says so and the
//! key is RSA; or keyCertSign and cRLSign alone.

use super::{Lint, Linted};
use der::flagset::FlagSet;
use x509_cert::ext::pkix::KeyUsages;

use crate::oid;
use crate::profile::{KeyType, Role};

pub(super) const LINT: Lint = Lint { name: "key_usage", clause: "RFC 5280 4.2.1.3", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let Some(usage) = linted.facts.key_usage else { return Err("keyUsage is missing".into()) };
    if linted.facts.criticality(&oid::KEY_USAGE) != Some(true) {
        return Err("keyUsage is not critical".into());
    }
    let key = linted.facts.key.as_ref().map(|key| KeyType::of(key.kind()));
    let expected: FlagSet<KeyUsages> = match linted.role {
        Role::EndEntity if key.is_ok_and(|key| linted.terms.enciphers(key)) => {
            KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment
        }
        Role::EndEntity => KeyUsages::DigitalSignature.into(),
        Role::Authority { .. } => KeyUsages::KeyCertSign | KeyUsages::CRLSign,
    };
    if usage.0 == expected {
        Ok(())
    } else {
        Err(format!("keyUsage is {:?}, expected {expected:?}", usage.0))
    }
}
