//! An end entity names its purposes, client or server authentication or OCSP signing and no wildcard; our CAs name none.

use super::{Lint, Linted};
use crate::oid;
use crate::profile::Role;

pub(super) const LINT: Lint = Lint { name: "extended_key_usage", clause: "RFC 5280 4.2.1.12", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    match (&linted.facts.extended_key_usage, linted.role) {
        (None, Role::Authority { .. }) => Ok(()),
        (Some(_), Role::Authority { .. }) => Err("a CA of ours has no extendedKeyUsage".into()),
        (None, Role::EndEntity) => Err("extendedKeyUsage is missing".into()),
        (Some(usages), Role::EndEntity) => {
            if usages.is_empty() {
                return Err("extendedKeyUsage is empty".into());
            }
            match usages.iter().find(|u| ![oid::CLIENT_AUTH, oid::SERVER_AUTH, oid::OCSP_SIGNING].contains(u))
            {
                Some(other) => Err(format!("extendedKeyUsage `{other}` belongs to no profile")),
                None => Ok(()),
            }
        }
    }
}
