//! Certificate lints: what must hold for everything that we sign, checked on the bytes about to be signed.
//!
//! They are ours and run before every signature: a linter that runs afterwards finds certificates that exist
//! already. One rule, one file, one clause. In scope: what RFC 5280, RFC 9608 and our profiles promise. Out of
//! scope: what a *peer's* certificate must fulfil ([`crate::path`]).
//!
//! To add one: a file with a `LINT`, its line in [`ALL`], and a row in the test table `every_lint_says_no`.

mod access_pointers;
mod alt_name_forms;
mod alt_name_present;
mod any_purpose;
mod authority_key_id;
mod basic_constraints;
mod crl_point;
mod encipherment;
mod extended_key_usage;
mod extensions_once;
mod issuer_may_sign;
mod issuer_name;
mod key_of_profile;
mod key_strength;
mod key_usage;
mod lifetime_of_profile;
mod names_recognised;
mod no_rev_avail;
mod ocsp_signing;
mod serial;
mod serial_entropy;
mod signature_algorithm;
mod subject_attributes;
mod subject_key_id;
mod subject_present;
mod time_form;
mod validity_order;
mod version_three;
mod within_issuer;

use std::fmt;

use der::asn1::ObjectIdentifier;
use lanyard_domain::time::Timestamp;

use crate::certificate::PeerIdentity;
use crate::facts::Facts;
use crate::profile::revocation::Pointers;
use crate::profile::{Role, Terms};

/// All lints, in the order of their names.
pub const ALL: &[Lint] = &[
    access_pointers::LINT,
    alt_name_forms::LINT,
    alt_name_present::LINT,
    any_purpose::LINT,
    authority_key_id::LINT,
    basic_constraints::LINT,
    crl_point::LINT,
    encipherment::LINT,
    extended_key_usage::LINT,
    extensions_once::LINT,
    issuer_may_sign::LINT,
    issuer_name::LINT,
    key_of_profile::LINT,
    key_strength::LINT,
    key_usage::LINT,
    lifetime_of_profile::LINT,
    names_recognised::LINT,
    no_rev_avail::LINT,
    ocsp_signing::LINT,
    serial::LINT,
    serial_entropy::LINT,
    signature_algorithm::LINT,
    subject_attributes::LINT,
    subject_key_id::LINT,
    subject_present::LINT,
    time_form::LINT,
    validity_order::LINT,
    version_three::LINT,
    within_issuer::LINT,
];

/// One rule.
pub struct Lint {
    /// Its name, also its file.
    pub name: &'static str,
    /// Where the rule is written.
    pub clause: &'static str,
    check: fn(&Linted<'_>) -> Result<(), String>,
}

impl fmt::Debug for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.clause)
    }
}

/// What is linted: the certificate to be, and what it must fit.
pub(crate) struct Linted<'a> {
    pub facts: &'a Facts,
    pub role: Role,
    /// What the profile says.
    pub terms: &'a Terms,
    /// Whom the names must be recognised as.
    pub identity: Option<PeerIdentity>,
    /// Where its revocation must be found; `None` where there is no list.
    pub pointers: Option<&'a Pointers>,
    pub issuer: IssuerView<'a>,
}

/// What the lints need to know of the signing CA.
#[derive(Clone, Copy)]
pub(crate) struct IssuerView<'a> {
    pub subject: &'a [u8],
    pub key_id: &'a [u8],
    pub signature_algorithm: ObjectIdentifier,
    pub path_len: Option<u8>,
    /// `None` for a root that signs itself.
    pub validity: Option<(Timestamp, Timestamp)>,
}

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub lint: &'static str,
    /// Where it is written.
    pub clause: &'static str,
    /// What was found.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.lint, self.detail, self.clause)
    }
}

/// Runs every lint.
pub(crate) fn run(linted: &Linted<'_>) -> Vec<Finding> {
    ALL.iter()
        .filter_map(|lint| {
            let detail = (lint.check)(linted).err()?;
            Some(Finding { lint: lint.name, clause: lint.clause, detail })
        })
        .collect()
}

#[cfg(test)]
mod tests;
