//! A delegated OCSP responder (RFC 6960 4.2.2.2): signs answers about one CA's certificates, nothing else.
//!
//! Its key works online while the CA's may rest. It carries nocheck: who asks about the responder itself would ask the
//! responder, so a stolen key is bounded by the short life instead (docs/pki-revocation.md).

use crate::name::Naming;
use crate::oid;
use crate::spki::PublicKey;

use super::{
    AltNames, Attribute, DAY, MINUTE, Names, Role, SHORT_LIVED, Spec, SubjectError, SubjectFacts,
    subject_name,
};

pub(super) const SPEC: Spec = Spec {
    name: "ocsp_responder",
    role: Role::EndEntity,
    extended_key_usages: &[oid::OCSP_SIGNING],
    // Renewed at two thirds like all others; a week bounds what a stolen responder key can say.
    default_lifetime_seconds: 7 * DAY,
    longest_lifetime_seconds: SHORT_LIVED,
    // See device_ldevid: relying parties' clocks are the late ones.
    backdate_seconds: 5 * MINUTE,
    subject,
};

fn subject(naming: &Naming, facts: &SubjectFacts, key: &PublicKey) -> Option<Result<Names, SubjectError>> {
    let SubjectFacts::OcspResponder = facts else { return None };
    // 32 bits of the key id: successive responders are told apart in logs.
    let id = data_encoding::HEXLOWER.encode(key.key_id().first_chunk::<4>().unwrap_or(&[0; 4]));
    let common_name = format!("Lanyard OCSP responder {id}");
    let own = format!("ocsp.{}", naming.domain);
    Some(Ok(Names {
        subject: subject_name(naming, &[Attribute::CommonName(&common_name)]),
        alt_names: AltNames { dns: vec![&own], ..AltNames::default() }.extension(),
    }))
}
