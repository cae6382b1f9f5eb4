//! A medical device's operational certificate (LDevID, IEEE 802.1AR): a client that signs, nothing else.
//!
//! The id stands in a URI SAN (what we read), a DNS SAN (FreeRADIUS 3.2.1 sees only this form) and the subject's
//! serialNumber. No maker's serial, no place, no person (R46): the record has them, the certificate is shown to
//! every peer.

use crate::name::Naming;
use crate::oid;
use crate::spki::PublicKey;

use super::{
    AltNames, Attribute, DAY, MINUTE, Names, Role, SHORT_LIVED, Spec, SubjectError, SubjectFacts,
    subject_name,
};

pub(super) const SPEC: Spec = Spec {
    name: "device_ldevid",
    role: Role::EndEntity,
    extended_key_usages: &[oid::CLIENT_AUTH],
    // 24 h: renewed at 16 h, which leaves a night without the control plane before anything lapses.
    default_lifetime_seconds: DAY,
    longest_lifetime_seconds: SHORT_LIVED,
    // Whoever's clock is ten minutes late, the device itself or a gateway, takes a certificate in the second in which it is made;
    // five more for the way there, as much as for the control plane's own.
    backdate_seconds: 15 * MINUTE,
    subject,
};

fn subject(naming: &Naming, facts: &SubjectFacts, _key: &PublicKey) -> Option<Result<Names, SubjectError>> {
    let (SubjectFacts::Device { id } | SubjectFacts::DeviceHardware { id, .. }) = facts else { return None };
    let text = id.to_string();
    let (dns, uri) = (format!("{text}.device.{}", naming.domain), id.urn());
    Some(Ok(Names {
        subject: subject_name(naming, &[Attribute::SerialNumber(&text)]),
        alt_names: AltNames { dns: vec![&dns], uri: Some(&uri), ..AltNames::default() }.extension(),
    }))
}
