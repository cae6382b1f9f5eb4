//! Lints of revocation lists: what must hold for every list that we sign, checked on the bytes about to be signed.
//!
//! As [`crate::lint`] for certificates: one rule, one file, one clause. In scope: what RFC 5280 5 asks of an issuer,
//! and that a list is what was ordered (scope, delta). Out of scope: lists of others ([`super::Crl`]).
//!
//! To add one: a file with a `LINT`, its line in [`ALL`], and a row in the test table `every_lint_says_no`.

mod authority_key_id;
mod critical_extensions;
mod delta_base;
mod entries_present;
mod extensions_once;
mod freshest_crl;
mod issuer_may_sign;
mod issuer_name;
mod issuing_distribution_point;
mod next_update;
mod number;
mod reasons;
mod serials_once;
mod signature_algorithm;
mod time_form;
mod version_two;

use der::asn1::ObjectIdentifier;

use super::build::{Kind, Scope};
use super::facts::ListFacts;
use crate::lint::Finding;

/// All lints, in the order of their names.
pub const ALL: &[Lint] = &[
    authority_key_id::LINT,
    critical_extensions::LINT,
    delta_base::LINT,
    entries_present::LINT,
    extensions_once::LINT,
    freshest_crl::LINT,
    issuer_may_sign::LINT,
    issuer_name::LINT,
    issuing_distribution_point::LINT,
    next_update::LINT,
    number::LINT,
    reasons::LINT,
    serials_once::LINT,
    signature_algorithm::LINT,
    time_form::LINT,
    version_two::LINT,
];

/// One rule.
pub struct Lint {
    /// Its name: `crl_` and its file.
    pub name: &'static str,
    /// Where the rule is written.
    pub clause: &'static str,
    check: fn(&Linted<'_>) -> Result<(), String>,
}

impl std::fmt::Debug for Lint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.clause)
    }
}

/// What is linted: the list to be, and what it must fit.
pub(super) struct Linted<'a> {
    pub facts: &'a ListFacts,
    pub issuer: IssuerView<'a>,
    pub scope: &'a Scope,
    pub kind: &'a Kind,
}

/// What the lints need to know of the signing CA.
#[derive(Clone, Copy)]
pub(super) struct IssuerView<'a> {
    pub subject: &'a [u8],
    pub key_id: &'a [u8],
    pub signature_algorithm: ObjectIdentifier,
    pub may_sign_lists: bool,
}

/// Runs every lint.
pub(super) fn run(linted: &Linted<'_>) -> Vec<Finding> {
    ALL.iter()
        .filter_map(|lint| {
            let detail = (lint.check)(linted).err()?;
            Some(Finding { lint: lint.name, clause: lint.clause, detail })
        })
        .collect()
}

#[cfg(test)]
mod tests;
