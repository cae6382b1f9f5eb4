//! An enforcement gateway: server towards the devices of its site, client towards control plane and EHR.

use crate::name::Naming;
use crate::oid;
use crate::spki::PublicKey;
use crate::write;

use super::{
    DAY, MINUTE, Names, Role, SHORT_LIVED, Spec, SubjectError, SubjectFacts, alt_names, subject_name,
};

pub(super) const SPEC: Spec = Spec {
    name: "gateway_server",
    role: Role::EndEntity,
    extended_key_usages: &[oid::SERVER_AUTH, oid::CLIENT_AUTH],
    // Renewed at 32 h; a gateway rides out a control plane that is down for more than half a day.
    default_lifetime_seconds: 2 * DAY,
    longest_lifetime_seconds: SHORT_LIVED,
    // See device_ldevid: the devices' clocks are the late ones.
    backdate_seconds: 5 * MINUTE,
    subject,
};

fn subject(naming: &Naming, facts: &SubjectFacts, _key: &PublicKey) -> Option<Result<Names, SubjectError>> {
    let SubjectFacts::Gateway { id, addresses } = facts else { return None };
    let text = id.to_string();
    let own = format!("{text}.gateway.{}", naming.domain);
    let mut dns = vec![own.as_str()];
    dns.extend(addresses.dns.iter().map(|n| n.as_str()));
    Some(Ok(Names {
        subject: subject_name(naming, &oid::SERIAL_NUMBER, write::PRINTABLE_STRING, &text),
        alt_names: alt_names(Some(&format!("urn:uuid:{text}")), &dns, &addresses.ips),
    }))
}
