//! Certificates name a device, an application or a gateway: no person, mailbox or department, in no form.
//!
//! Keys that would do it are found while reading; here the words in values.

use super::{Check, Draft, Report, Rule};

pub(in super::super) const RULE: Rule =
    Rule { name: "no_person", clause: "R46, GDPR 5 (1)(c)", check: Check::Whole(check) };

/// Forms of names that belong to people, as they are called elsewhere.
const PERSONAL: [&str; 13] = [
    "email",
    "mail",
    "rfc822",
    "rfc822name",
    "smtp",
    "upn",
    "user",
    "username",
    "person",
    "owner",
    "surname",
    "givenname",
    "contact",
];

fn check(draft: &Draft, report: &mut Report<'_>) {
    for item in draft.items("names.alternative").iter().chain(draft.text("names.subject")) {
        if is_personal(&item.value) {
            let help = "certificates are shown to every peer and name no person or mailbox; the owner stands in the record";
            report.breach(&RULE, item, help);
        }
    }
}

/// Whether a word belongs to people; the rules on forms leave it to this one.
pub(super) fn is_personal(word: &str) -> bool {
    let plain: String = word.chars().filter(char::is_ascii_alphanumeric).collect();
    word.contains('@') || PERSONAL.contains(&plain.to_ascii_lowercase().as_str())
}
