//! Rules for templates: what must hold before a hospital's own text decides what certificates say.
//!
//! One rule, one file, one clause. In scope: the text of one template. Out of scope: the certificates made by it (they
//! are linted before each signature, [`crate::lint`]), and how several templates fit together
//! ([`super::Catalogue`]).
//!
//! To add one: a file with a `RULE`, its line in [`ALL`], its row in the test `every_rule_says_no`.

mod ae_title_fits;
mod assigner_with_form;
mod base64_style;
mod class_slug;
mod classes_are_of_devices;
mod convention_for_subject;
mod default_within_longest;
mod dns_suffix;
mod dns_suffix_given;
mod duration_form;
mod encipherment_needs_rsa;
pub(super) mod file_size;
mod gateway_short_lived;
mod hardware_names_need_hardware;
mod hardware_type_with_form;
mod identity_names;
mod key_type_known;
mod key_types_given;
pub(super) mod known_key;
mod label_slug;
pub(super) mod list_size;
mod list_without_repeats;
mod longest_bound;
mod name_slug;
mod naming_pattern;
mod no_any_purpose;
pub(super) mod no_person;
mod oid_form;
mod post_quantum_opt_in;
mod purpose_known;
mod purposes_for_subject;
mod renewal_share;
pub(super) mod required_key;
mod reserved_purpose;
mod revocation_mode;
mod san_for_subject;
mod san_form_known;
mod san_given;
mod short_lived_longest;
mod subject_kind;
mod subject_style;
pub(super) mod text_size;
mod tier_order;
pub(super) mod toml_syntax;
pub(super) mod value_type;

use std::fmt::Display;
use std::str::FromStr;

use lanyard_domain::text::check_slug;

use super::draft::{At, Draft};
use super::problem::Report;

/// All rules, in the order of their names.
pub const ALL: &[Rule] = &[
    ae_title_fits::RULE,
    assigner_with_form::RULE,
    base64_style::RULE,
    class_slug::RULE,
    classes_are_of_devices::RULE,
    convention_for_subject::RULE,
    default_within_longest::RULE,
    dns_suffix::RULE,
    dns_suffix_given::RULE,
    duration_form::RULE,
    encipherment_needs_rsa::RULE,
    file_size::RULE,
    gateway_short_lived::RULE,
    hardware_names_need_hardware::RULE,
    hardware_type_with_form::RULE,
    identity_names::RULE,
    key_type_known::RULE,
    key_types_given::RULE,
    known_key::RULE,
    label_slug::RULE,
    list_size::RULE,
    list_without_repeats::RULE,
    longest_bound::RULE,
    name_slug::RULE,
    naming_pattern::RULE,
    no_any_purpose::RULE,
    no_person::RULE,
    oid_form::RULE,
    post_quantum_opt_in::RULE,
    purpose_known::RULE,
    purposes_for_subject::RULE,
    renewal_share::RULE,
    required_key::RULE,
    reserved_purpose::RULE,
    revocation_mode::RULE,
    san_for_subject::RULE,
    san_form_known::RULE,
    san_given::RULE,
    short_lived_longest::RULE,
    subject_kind::RULE,
    subject_style::RULE,
    text_size::RULE,
    tier_order::RULE,
    toml_syntax::RULE,
    value_type::RULE,
];

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Its name, also its file.
    pub name: &'static str,
    /// Where it is written.
    pub clause: &'static str,
    check: Check,
}

#[derive(Debug)]
enum Check {
    /// Checked by [`super::document`], before there is a draft to look at.
    WhileReading,
    /// Checked on what was read.
    Whole(fn(&Draft, &mut Report<'_>)),
}

/// Runs every rule.
pub(super) fn run(draft: &Draft, report: &mut Report<'_>) {
    for rule in ALL {
        match rule.check {
            Check::Whole(check) => check(draft, report),
            Check::WhileReading => {}
        }
    }
}

/// The text of `key` is a `T`, where there is one.
fn word<T: FromStr>(draft: &Draft, report: &mut Report<'_>, rule: &Rule, key: &str)
where
    T::Err: Display,
{
    let Some(text) = draft.text(key) else { return };
    if let Err(bad) = text.value.parse::<T>() {
        report.breach(rule, text, bad.to_string());
    }
}

/// A name in lower-case letters, digits and hyphens.
fn slug(text: &At<String>, report: &mut Report<'_>, rule: &Rule) {
    if let Err(bad) = check_slug(&text.field, &text.value) {
        report.breach(rule, text, format!("`{}` {}", bad.found, bad.rule));
    }
}
