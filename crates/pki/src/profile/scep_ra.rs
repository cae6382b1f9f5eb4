//! A registration authority for SCEP (RFC 8894 2.1.1): its key opens what clients send and signs what they get, so that the
//! CA's own key never decrypts for strangers.
//!
//! RSA, because SCEP clients encrypt to it. Its purpose is that of an RA (id-kp-cmcRA, RFC 6402 2.10): no TLS server and no
//! device can pass with it.

use crate::name::Naming;
use crate::oid;
use crate::spki::PublicKey;

use super::{
    AltNames, Attribute, DAY, MINUTE, Names, Role, SHORT_LIVED, Spec, SubjectError, SubjectFacts,
    subject_name,
};

pub(super) const SPEC: Spec = Spec {
    name: "scep_ra",
    role: Role::EndEntity,
    extended_key_usages: &[oid::CMC_RA],
    // Renewed at two thirds like all others; a week bounds how long a stolen key can answer.
    default_lifetime_seconds: 7 * DAY,
    longest_lifetime_seconds: SHORT_LIVED,
    // See device_ldevid: the devices' clocks are the late ones.
    backdate_seconds: 5 * MINUTE,
    subject,
};

fn subject(naming: &Naming, facts: &SubjectFacts, key: &PublicKey) -> Option<Result<Names, SubjectError>> {
    let SubjectFacts::ScepRa = facts else { return None };
    // As ocsp_responder: successors are told apart in logs.
    let id = data_encoding::HEXLOWER.encode(key.key_id().first_chunk::<4>().unwrap_or(&[0; 4]));
    let common_name = format!("Lanyard SCEP RA {id}");
    let own = format!("scep.{}", naming.domain);
    Some(Ok(Names {
        subject: subject_name(naming, &[Attribute::CommonName(&common_name)]),
        alt_names: AltNames { dns: vec![&own], ..AltNames::default() }.extension(),
    }))
}
