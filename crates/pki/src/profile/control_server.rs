//! The control plane's own server certificate. Server only: it opens no connection that a device accepts.

use crate::name::Naming;
use crate::oid;
use crate::spki::PublicKey;

use super::{
    AltNames, Attribute, DAY, MINUTE, Names, Role, SHORT_LIVED, Spec, SubjectError, SubjectFacts,
    subject_name,
};

pub(super) const SPEC: Spec = Spec {
    name: "control_server",
    role: Role::EndEntity,
    extended_key_usages: &[oid::SERVER_AUTH],
    // It issues its own; as long as it is down nobody needs the certificate.
    default_lifetime_seconds: 2 * DAY,
    longest_lifetime_seconds: SHORT_LIVED,
    // What devices verify, in TLS and under the answers of CMP, and theirs are the late clocks: as late as CMP takes
    // messages from them. With less, each renewal would turn them away for minutes.
    backdate_seconds: 15 * MINUTE,
    subject,
};

fn subject(naming: &Naming, facts: &SubjectFacts, _key: &PublicKey) -> Option<Result<Names, SubjectError>> {
    let SubjectFacts::Control { addresses } = facts else { return None };
    let own = format!("control.{}", naming.domain);
    let mut dns = vec![own.as_str()];
    dns.extend(addresses.dns().iter().map(|n| n.as_str()));
    Some(Ok(Names {
        subject: subject_name(naming, &[Attribute::CommonName("control plane")]),
        alt_names: AltNames { dns, ips: addresses.ips(), ..AltNames::default() }.extension(),
    }))
}
