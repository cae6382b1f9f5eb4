//! From a draft without problems to the validated [`Template`].

use lanyard_domain::tier::Tier;

use crate::profile::compiled::RenewalShare;
use crate::profile::convention::Convention;

use super::draft::{Draft, Span};
use super::vocabulary::{Base64Style, SubjectStyle};
use super::{Template, Validity};

/// `None` when a value does not parse; then a rule has said so.
pub(super) fn compile(draft: &Draft) -> Option<Template> {
    let name = draft.text("name")?.value.clone();
    let label = draft.text("enrollment.label").map_or_else(|| name.clone(), |label| label.value.clone());
    let renewal = match draft.number("validity.renew_at") {
        Some(written) => share(&written.value)?,
        None => RenewalShare::TWO_THIRDS,
    };
    Some(Template {
        label,
        name,
        description: draft.text("description")?.value.clone(),
        subject: draft.subject()?,
        classes: draft.items("classes").iter().map(|class| class.value.clone()).collect(),
        key_types: draft.key_types(),
        key_encipherment: draft.is_on("key.key_encipherment"),
        server_generated: draft.is_on("key.server_generated"),
        style: optional(draft, "names.subject", SubjectStyle::SerialNumber)?,
        forms: draft.forms(),
        assigner: draft.parsed("names.permanent_identifier_assigner"),
        hardware_type: draft.parsed("names.hardware_module_type"),
        purposes: draft.purposes().into_iter().map(|(purpose, _)| purpose).collect(),
        general: validity(draft.general()),
        tiers: Tier::ALL.map(|tier| validity(draft.of_tier(tier))),
        renewal,
        mode: draft.mode()?,
        est_base64: optional(draft, "enrollment.est_base64", Base64Style::AsRequest)?,
        convention: Convention {
            device_name: draft.pattern("convention.device_name"),
            ae_title: draft.pattern("convention.ae_title"),
            dns_suffixes: draft
                .items("convention.dns_suffixes")
                .iter()
                .map(|suffix| suffix.value.parse().ok())
                .collect::<Option<_>>()?,
        },
    })
}

fn optional<T: std::str::FromStr>(draft: &Draft, key: &str, default: T) -> Option<T> {
    if draft.has(key) { draft.parsed(key) } else { Some(default) }
}

fn validity(span: Span) -> Validity {
    Validity { default_seconds: span.default.seconds(), longest_seconds: span.longest.seconds() }
}

/// A decimal as a share of the lifetime.
pub(super) fn share(text: &str) -> Option<RenewalShare> {
    let decimals = text.strip_prefix("0.")?;
    if !(1..=4).contains(&decimals.len()) || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    RenewalShare::from_ten_thousandths(format!("{decimals:0<4}").parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_decimals_from_half_to_nine_tenths() {
        assert_eq!(share("0.5"), RenewalShare::from_ten_thousandths(5_000));
        assert_eq!(share("0.6667"), RenewalShare::from_ten_thousandths(6_667));
        for text in
            ["", "0.", "0.49", "0.91", "1.0", "0.66667", "5e-1", "0.5_0", "+0.5", "nan", "inf", "-0.5"]
        {
            assert_eq!(share(text), None, "{text}");
        }
    }
}
