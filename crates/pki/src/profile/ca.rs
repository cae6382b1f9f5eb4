//! Our own authorities: a self-signed root that signs issuing CAs, and an issuing CA that signs end entities.
//!
//! Every generation has its own key *and* its own subject: many roots with one subject send path building of
//! some peers (Go, OpenSSL) down the wrong branch after a rollover.

use crate::name::Naming;
use crate::spki::PublicKey;

use super::{Attribute, HOUR, Names, Role, Spec, SubjectError, SubjectFacts, YEAR, subject_name};

pub(super) const ROOT: Spec = Spec {
    name: "root_ca",
    role: Role::Authority { path_len: None },
    extended_key_usages: &[],
    // Longer than two issuing generations; a device's firmware may pin it.
    default_lifetime_seconds: 10 * YEAR,
    longest_lifetime_seconds: 25 * YEAR,
    // More than any end entity's back-dating, so that the first certificate lies within its issuer's validity.
    backdate_seconds: HOUR,
    subject: root_subject,
};

pub(super) const ISSUING: Spec = Spec {
    name: "issuing_ca",
    role: Role::Authority { path_len: Some(0) },
    extended_key_usages: &[],
    default_lifetime_seconds: 3 * YEAR,
    longest_lifetime_seconds: 5 * YEAR,
    // As the root's, never before it: both are made with the same `now`.
    backdate_seconds: HOUR,
    subject: issuing_subject,
};

fn root_subject(
    naming: &Naming,
    facts: &SubjectFacts,
    key: &PublicKey,
) -> Option<Result<Names, SubjectError>> {
    subject(naming, facts, key, "Root")
}

fn issuing_subject(
    naming: &Naming,
    facts: &SubjectFacts,
    key: &PublicKey,
) -> Option<Result<Names, SubjectError>> {
    subject(naming, facts, key, "Issuing")
}

fn subject(
    naming: &Naming,
    facts: &SubjectFacts,
    key: &PublicKey,
    what: &str,
) -> Option<Result<Names, SubjectError>> {
    let SubjectFacts::Authority { generation } = facts else { return None };
    // 32 bits of the key id: a second "generation 1" after a lost data directory is still another subject.
    let id = data_encoding::HEXLOWER.encode(key.key_id().first_chunk::<4>().unwrap_or(&[0; 4]));
    let common_name = format!("Lanyard {what} CA g{generation} {id}");
    Some(Ok(Names {
        subject: subject_name(naming, &[Attribute::CommonName(&common_name)]),
        alt_names: Vec::new(),
    }))
}
