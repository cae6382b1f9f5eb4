//! A suffix is a domain below which a hospital's names can lie.

use super::{Check, Draft, Report, Rule};
use crate::name::DnsName;

pub(super) const RULE: Rule = Rule { name: "dns_suffix", clause: "RFC 1123 2.1", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    for suffix in draft.items("convention.dns_suffixes") {
        match suffix.value.parse::<DnsName>() {
            Err(bad) => report.breach(&RULE, suffix, bad.to_string()),
            // `example` would let an application be named in any domain of that kind.
            Ok(name) if !name.as_str().contains('.') => {
                report.breach(
                    &RULE,
                    suffix,
                    format!("`{name}` has one label; name a domain of the hospital"),
                );
            }
            Ok(_) => {}
        }
    }
}
