//! An enforcement gateway: server towards the devices of its site, client towards control plane and EHR.

use crate::name::Naming;
use crate::oid;
use crate::spki::PublicKey;

use super::{
    AltNames, Attribute, DAY, MINUTE, Names, Role, SHORT_LIVED, Spec, SubjectError, SubjectFacts,
    subject_name,
};

pub(super) const SPEC: Spec = Spec {
    name: "gateway_server",
    role: Role::EndEntity,
    extended_key_usages: &[oid::SERVER_AUTH, oid::CLIENT_AUTH],
    // Renewed at 32 h; a gateway rides out a control plane that is down for more than half a day.
    default_lifetime_seconds: 2 * DAY,
    longest_lifetime_seconds: SHORT_LIVED,
    // See control_server: with less, each renewal turns late devices away for minutes.
    backdate_seconds: 15 * MINUTE,
    subject,
};

fn subject(naming: &Naming, facts: &SubjectFacts, _key: &PublicKey) -> Option<Result<Names, SubjectError>> {
    let SubjectFacts::Gateway { id, addresses } = facts else { return None };
    let text = id.to_string();
    let (own, uri) = (format!("{text}.gateway.{}", naming.domain), format!("urn:uuid:{text}"));
    let mut dns = vec![own.as_str()];
    dns.extend(addresses.dns().iter().map(|n| n.as_str()));
    Some(Ok(Names {
        subject: subject_name(naming, &[Attribute::SerialNumber(&text)]),
        alt_names: AltNames { dns, uri: Some(&uri), ips: addresses.ips(), ..AltNames::default() }.extension(),
    }))
}
